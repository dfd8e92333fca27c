use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::io::Write;

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::error::Limits;
use crate::map::pack::{Pack, write_folder, zip_bytes};

type Files = BTreeMap<String, Vec<u8>>;

/// One Ogg page with one packet.
fn page(kind: u8, position: i64, serial: u32, packet: &[u8]) -> Vec<u8> {
    let mut page = b"OggS\0".to_vec();
    page.push(kind);
    page.extend_from_slice(&position.to_le_bytes());
    page.extend_from_slice(&serial.to_le_bytes());
    page.extend_from_slice(&[0; 8]);
    page.push(1);
    page.push(packet.len() as u8);
    page.extend_from_slice(packet);
    page
}

fn vorbis_header(rate: u32) -> Vec<u8> {
    let mut packet = b"\x01vorbis\0\0\0\0\x01".to_vec();
    packet.extend_from_slice(&rate.to_le_bytes());
    packet.extend_from_slice(&[0; 12]);
    packet.extend_from_slice(&[0xB8, 1]);
    packet
}

fn ogg(seconds: f64) -> Vec<u8> {
    let mut bytes = page(2, 0, 7, &vorbis_header(8000));
    bytes.extend(page(0, -1, 7, b"data"));
    bytes.extend(page(0, 100, 7, b"data"));
    bytes.extend(page(4, (seconds * 8000.0) as i64, 7, b"data"));
    bytes.extend(page(0, -1, 7, b"data"));
    bytes.extend(page(4, 9_999_999, 8, b"another stream"));
    bytes
}

fn png(width: u32, height: u32) -> Vec<u8> {
    let mut bytes = b"\x89PNG\r\n\x1a\n\0\0\0\x0dIHDR".to_vec();
    bytes.extend_from_slice(&width.to_be_bytes());
    bytes.extend_from_slice(&height.to_be_bytes());
    bytes.extend_from_slice(&[8, 2, 0, 0, 0, 0, 0, 0, 0]);
    bytes
}

fn jpeg(width: u16, height: u16) -> Vec<u8> {
    // Start, a comment, filler, a Huffman table, a restart marker, then the frame.
    let mut bytes = b"\xff\xd8\xff\xfe\0\x06abcd\xff\xff\xff\xc4\0\x03x\xff\xd0\xff\xc2\0\x0b\x08".to_vec();
    bytes.extend_from_slice(&height.to_be_bytes());
    bytes.extend_from_slice(&width.to_be_bytes());
    bytes.extend_from_slice(&[3, 0, 0, 0]);
    bytes
}

fn media() -> Files {
    Files::from([("song.egg".to_owned(), ogg(60.0)), ("cover.png".to_owned(), png(256, 256))])
}

fn put(files: &mut Files, name: &str, value: &Value) {
    files.insert(name.to_owned(), serde_json::to_vec(value).unwrap());
}

/// A valid level of 60 s at 120 BPM: Info 2.0.0, one level of 2.6.0.
fn v2() -> Files {
    let mut files = media();
    put(
        &mut files,
        "Info.dat",
        &json!({
            "_version": "2.0.0", "_songName": "Song", "_songSubName": "", "_songAuthorName": "Artist",
            "_levelAuthorName": "Mapper", "_beatsPerMinute": 120, "_songTimeOffset": 0, "_shuffle": 0,
            "_shufflePeriod": 0.5, "_previewStartTime": 20, "_previewDuration": 10, "_songFilename": "song.egg",
            "_coverImageFilename": "cover.png", "_environmentName": "DefaultEnvironment",
            "_allDirectionsEnvironmentName": "GlassDesertEnvironment", "_customData": {},
            "_difficultyBeatmapSets": [{"_beatmapCharacteristicName": "Standard", "_difficultyBeatmaps": [{
                "_difficulty": "Expert", "_difficultyRank": 7, "_beatmapFilename": "Expert.dat",
                "_noteJumpMovementSpeed": 16, "_noteJumpStartBeatOffset": 0, "_customData": {"_difficultyLabel": "Label"}
            }]}]
        }),
    );
    put(
        &mut files,
        "Expert.dat",
        &json!({
            "_version": "2.6.0",
            "_notes": [
                {"_time": 4, "_lineIndex": 1, "_lineLayer": 0, "_type": 0, "_cutDirection": 1},
                {"_time": 4, "_lineIndex": 2, "_lineLayer": 0, "_type": 1, "_cutDirection": 1},
                {"_time": 120, "_lineIndex": 3, "_lineLayer": 2, "_type": 3, "_cutDirection": 0}
            ],
            "_obstacles": [{"_time": 6, "_lineIndex": 0, "_type": 2, "_duration": 1, "_width": 1, "_lineLayer": 0, "_height": 5}],
            "_events": [{"_time": 0, "_type": 1, "_value": 1, "_floatValue": 1}],
            "_sliders": [{
                "_colorType": 0, "_headTime": 4, "_headLineIndex": 1, "_headLineLayer": 0, "_headCutDirection": 1,
                "_headControlPointLengthMultiplier": 1, "_tailTime": 6, "_tailLineIndex": 1, "_tailLineLayer": 2,
                "_tailCutDirection": 0, "_tailControlPointLengthMultiplier": 1, "_sliderMidAnchorMode": 0
            }],
            "_waypoints": [{"_time": 1, "_lineIndex": 1, "_lineLayer": 0, "_offsetDirection": 1}],
            "_specialEventsKeywordFilters": {"_keywords": [{"_keyword": "k", "_specialEvents": [40]}]},
            "_customData": {"_time": 1.5, "_BPMChanges": [{"_time": 0, "_BPM": 120, "_beatsPerBar": 4, "_metronomeOffset": 4}]}
        }),
    );
    files
}

fn filter3() -> Value {
    json!({"f": 1, "p": 1, "t": 0, "r": 0, "c": 0, "n": 0, "s": 0, "l": 0, "d": 0})
}

/// The same song with Info 2.1.0 and a level of 3.3.0 that writes every field out.
fn v3() -> Files {
    let mut files = v2();
    edit(&mut files, "Info.dat", |info| {
        info["_version"] = json!("2.1.0");
        info["_environmentNames"] = json!(["WeaveEnvironment"]);
        info["_colorSchemes"] = json!([{"useOverride": true, "colorScheme": {"colorSchemeId": "x", "saberAColor": {"r": 1, "g": 0, "b": 0, "a": 1}}}]);
        let map = &mut info["_difficultyBeatmapSets"][0]["_difficultyBeatmaps"][0];
        map["_environmentNameIdx"] = json!(0);
        map["_beatmapColorSchemeIdx"] = json!(0);
    });
    put(
        &mut files,
        "Expert.dat",
        &json!({
            "version": "3.3.0",
            "bpmEvents": [{"b": 0, "m": 120}],
            "rotationEvents": [{"b": 1, "e": 0, "r": 15}],
            "colorNotes": [{"b": 4, "x": 1, "y": 0, "c": 0, "d": 1, "a": 0}, {"b": 120, "x": 2, "y": 0, "c": 1, "d": 1, "a": 0}],
            "bombNotes": [{"b": 8, "x": 0, "y": 0}],
            "obstacles": [{"b": 6, "d": 1, "x": 0, "y": 0, "w": 1, "h": 5}],
            "sliders": [{"c": 0, "b": 4, "x": 1, "y": 0, "d": 1, "mu": 1, "tb": 5, "tx": 1, "ty": 2, "tc": 0, "tmu": 1, "m": 0}],
            "burstSliders": [{"c": 1, "b": 10, "x": 2, "y": 2, "d": 1, "tb": 10.25, "tx": 2, "ty": 0, "sc": 3, "s": 1}],
            "waypoints": [{"b": 1, "x": 1, "y": 0, "d": 1}],
            "basicBeatmapEvents": [{"b": 0, "et": 1, "i": 1, "f": 1}],
            "colorBoostBeatmapEvents": [{"b": 0, "o": true}],
            "lightColorEventBoxGroups": [{"b": 1, "g": 0, "e": [{
                "f": filter3(), "w": 1, "d": 1, "r": 1, "t": 1, "b": 1, "i": 0,
                "e": [{"b": 0, "i": 0, "c": 0, "s": 1, "f": 0, "sb": 0, "sf": 0}]
            }]}],
            "lightRotationEventBoxGroups": [{"b": 1, "g": 0, "e": [{
                "f": filter3(), "w": 1, "d": 1, "s": 1, "t": 1, "b": 1, "i": 0, "a": 0, "r": 0,
                "l": [{"b": 0, "p": 0, "e": 0, "l": 0, "r": 90, "o": 0}]
            }]}],
            "lightTranslationEventBoxGroups": [{"b": 1, "g": 0, "e": [{
                "f": filter3(), "w": 1, "d": 1, "s": 1, "t": 1, "b": 1, "i": 0, "a": 0, "r": 0,
                "l": [{"b": 0, "p": 0, "e": 0, "t": 1}]
            }]}],
            "vfxEventBoxGroups": [{"b": 1, "g": 0, "t": 1, "e": [{
                "f": filter3(), "w": 1, "d": 1, "s": 1, "t": 1, "i": 0, "b": 1, "l": [0]
            }]}],
            "_fxEventsCollection": {"_il": [], "_fl": [{"b": 0, "p": 0, "i": 0, "v": 1}]},
            "basicEventTypesWithKeywords": {"d": []},
            "useNormalEventsAsCompatibleEvents": true
        }),
    );
    files
}

/// The same song as v4: Info 4.0.1, level 4.1.0, lightshow and audio data 4.0.0, 120 then 60 BPM from half-way.
fn v4() -> Files {
    let mut files = media();
    put(
        &mut files,
        "Info.dat",
        &json!({
            "version": "4.0.1",
            "song": {"title": "Song", "subTitle": "", "author": "Artist"},
            "audio": {
                "songFilename": "song.egg", "songDuration": 60, "audioDataFilename": "AudioData.dat", "bpm": 120,
                "lufs": 0, "previewStartTime": 20, "previewDuration": 10
            },
            "songPreviewFilename": "song.egg", "coverImageFilename": "cover.png",
            "environmentNames": ["WeaveEnvironment"],
            "colorSchemes": [{"colorSchemeName": "x", "overrideNotes": true, "overrideLights": false, "saberAColor": "#FF0000FF"}],
            "difficultyBeatmaps": [{
                "characteristic": "Standard", "difficulty": "Expert",
                "beatmapAuthors": {"mappers": ["Mapper"], "lighters": []}, "environmentNameIdx": 0,
                "beatmapColorSchemeIdx": -1, "noteJumpMovementSpeed": 16, "noteJumpStartBeatOffset": 0,
                "beatmapDataFilename": "Expert.beatmap.dat", "lightshowDataFilename": "Expert.lightshow.dat",
                "customData": {"difficultyLabel": "Label"}
            }],
            "customData": {}
        }),
    );
    put(
        &mut files,
        "AudioData.dat",
        &json!({
            "version": "4.0.0", "songChecksum": "", "songSampleCount": 480_000, "songFrequency": 8000,
            "bpmData": [{"si": 0, "ei": 240_000, "sb": 0, "eb": 60}, {"si": 240_000, "ei": 480_000, "sb": 60, "eb": 90}],
            "lufsData": []
        }),
    );
    put(
        &mut files,
        "Expert.beatmap.dat",
        &json!({
            "version": "4.1.0",
            "colorNotes": [{"b": 4, "r": 0, "i": 0}, {"b": 90, "i": 1}],
            "colorNotesData": [{"x": 1, "y": 0, "c": 0, "d": 1, "a": 0}, {"x": 2, "y": 0, "c": 1, "d": 1, "a": 0}],
            "bombNotes": [{"b": 8}], "bombNotesData": [{}],
            "obstacles": [{"b": 6, "i": 0}], "obstaclesData": [{"d": 1, "x": 0, "y": 0, "w": 1, "h": 5}],
            "arcs": [{"hb": 4, "tb": 6, "hi": 0, "ti": 1, "ai": 0}], "arcsData": [{"m": 1, "tm": 1, "a": 0}],
            "chains": [{"hb": 10, "tb": 10.5, "i": 0, "ci": 0}], "chainsData": [{"tx": 1, "ty": 0, "c": 3, "s": 1}],
            "njsEvents": [{"b": 1, "i": 0}], "njsEventData": [{"d": 1, "p": 0, "e": 0}]
        }),
    );
    put(
        &mut files,
        "Expert.lightshow.dat",
        &json!({
            "version": "4.0.0",
            "basicEvents": [{"b": 1, "i": 0}], "basicEventsData": [{"t": 1, "i": 1, "f": 1}],
            "colorBoostEvents": [{"b": 1}], "colorBoostEventsData": [{"b": 1}],
            "waypoints": [{"b": 1}], "waypointsData": [{"x": 1, "y": 0, "d": 1}],
            "basicEventTypesWithKeywords": {"d": []},
            "eventBoxGroups": [
                {"b": 1, "g": 0, "t": 1, "e": [{"f": 0, "e": 0, "l": [{"b": 0, "i": 0}]}]},
                {"b": 1, "g": 0, "t": 2, "e": [{"l": [{}]}]},
                {"b": 1, "g": 0, "t": 3, "e": [{"l": [{}]}]},
                {"b": 1, "g": 0, "t": 4, "e": [{"l": [{}]}]}
            ],
            "indexFilters": [{"f": 1, "p": 1}],
            "lightColorEventBoxes": [{"w": 1, "d": 1}], "lightColorEvents": [{"c": 1, "b": 1}],
            "lightRotationEventBoxes": [{"a": 0}], "lightRotationEvents": [{"r": 1}],
            "lightTranslationEventBoxes": [{}], "lightTranslationEvents": [{"t": 1}],
            "fxEventBoxes": [{}], "floatFxEvents": [{"v": 1}],
            "useNormalEventsAsCompatibleEvents": true
        }),
    );
    files
}

fn edit(files: &mut Files, name: &str, change: impl FnOnce(&mut Value)) {
    let mut value = serde_json::from_slice(&files[name]).unwrap();
    change(&mut value);
    put(files, name, &value);
}

/// Sets what `pointer` names in `name`; the last part may be new.
fn set(files: &mut Files, name: &str, pointer: &str, to: Value) {
    edit(files, name, |value| {
        let (parent, key) = pointer.rsplit_once('/').unwrap();
        match value.pointer_mut(parent).unwrap() {
            Value::Array(items) if key == "-" => items.push(to),
            Value::Array(items) => items[key.parse::<usize>().unwrap()] = to,
            Value::Object(object) => {
                object.insert(key.to_owned(), to);
            }
            other => panic!("{pointer} goes into {other}"),
        }
    });
}

fn drop_key(files: &mut Files, name: &str, pointer: &str) {
    edit(files, name, |value| {
        let (parent, key) = pointer.rsplit_once('/').unwrap();
        value.pointer_mut(parent).unwrap().as_object_mut().unwrap().remove(key).unwrap();
    });
}

fn zipped(files: &Files) -> Vec<u8> {
    let list: Vec<_> = files.iter().map(|(name, bytes)| (name.clone(), Cow::Borrowed(bytes.as_slice()))).collect();
    zip_bytes(&list).unwrap()
}

fn check(files: &Files) -> Vec<Finding> {
    check_upload(&Pack::from_bytes("level.zip", zipped(files), &Limits::default()).unwrap()).unwrap()
}

fn ids(findings: &[Finding]) -> BTreeSet<&'static str> {
    findings.iter().map(|finding| finding.rule).collect()
}

/// What is changed in which valid level, and exactly which rules then have something to say.
struct Case {
    name: &'static str,
    base: fn() -> Files,
    expected: &'static [&'static str],
    change: fn(&mut Files),
}

const MAP2: &str = "/_difficultyBeatmapSets/0/_difficultyBeatmaps/0";
const MAP4: &str = "/difficultyBeatmaps/0";

macro_rules! cases {
    ($($base:ident $name:literal => [$($expected:literal),*] |$files:ident| $change:expr;)*) => {
        const CASES: &[Case] = &[$(Case {
            name: $name, base: $base, expected: &[$($expected),*],
            change: |$files| { $change; },
        }),*];
    };
}

cases! {
    // Package.
    v2 "a large zip" => ["zip-too-large", "audio-not-ogg-vorbis"] |f| f.insert("song.egg".into(), noise(UPLOAD_BYTES as usize));
    v2 "a folder in the zip" => ["zip-wrapped"] |f| *f = f.iter().map(|(k, v)| (format!("My level/{k}"), v.clone())).collect();
    v2 "two levels" => ["zip-wrapped", "several-levels"] |f| {
        *f = f.iter().flat_map(|(k, v)| [(format!("a/{k}"), v.clone()), (format!("bb/{k}"), v.clone())]).collect();
    };
    v2 "a shouted Info" => ["info-name-case"] |f| { let info = f.remove("Info.dat").unwrap(); f.insert("INFO.DAT".into(), info) };
    v2 "a small-letter Info" => [] |f| { let info = f.remove("Info.dat").unwrap(); f.insert("info.dat".into(), info) };
    v2 "an extra file" => ["file-unreferenced"] |f| f.insert("autosaves/x.dat".into(), vec![]);
    v2 "extra files that belong" => [] |f| {
        for name in ["BPMInfo.dat", "cinema-video.json", "bundleWindows2021.vivify", "bundleinfo.json"] { f.insert(name.into(), vec![]); }
    };
    v2 "a name in other case" => ["file-name-case"] |f| set(f, "Info.dat", "/_songFilename", json!("Song.egg"));
    v2 "a file used twice" => ["file-shared"] |f| set(f, "Info.dat", "/_difficultyBeatmapSets/-", json!({
        "_beatmapCharacteristicName": "OneSaber", "_difficultyBeatmaps": [{"_difficulty": "Expert", "_difficultyRank": 7,
        "_beatmapFilename": "Expert.dat", "_noteJumpMovementSpeed": 1}]}));

    // JSON.
    v2 "a trailing comma" => ["json-syntax"] |f| f.insert("Expert.dat".into(), b"{\"_version\":\"2.0.0\",}".to_vec());
    v2 "an empty level" => ["json-syntax"] |f| f.insert("Expert.dat".into(), vec![]);
    v2 "not text" => ["json-syntax"] |f| f.insert("Expert.dat".into(), b"{\"a\": \"\xff\"}".to_vec());
    v2 "half a UTF-16 unit" => ["json-syntax"] |f| f.insert("Expert.dat".into(), b"\xff\xfe{\0}".to_vec());
    v2 "a broken UTF-32" => ["json-syntax"] |f| f.insert("Expert.dat".into(), b"\xff\xfe\0\0{\0\0".to_vec());
    v2 "two documents" => ["json-syntax"] |f| f.get_mut("Expert.dat").unwrap().extend_from_slice(b"{}");
    v2 "a list for a level" => ["json-not-object"] |f| f.insert("Expert.dat".into(), b"[]".to_vec());
    v2 "a broken Info" => ["json-syntax"] |f| f.insert("Info.dat".into(), b"<<<<<<< HEAD".to_vec());
    v4 "a gzip level" => ["json-gzip"] |f| { let level = gzip(&f["Expert.beatmap.dat"]); f.insert("Expert.beatmap.dat".into(), level) };
    v4 "a damaged gzip level" => ["json-gzip", "json-syntax"] |f| f.insert("Expert.beatmap.dat".into(), b"\x1f\x8b\x08".to_vec());
    v2 "a byte order mark" => [] |f| f.get_mut("Info.dat").unwrap().splice(0..0, *b"\xef\xbb\xbf").for_each(drop);
    v2 "UTF-16 both ways and UTF-32" => [] |f| {
        let text = String::from_utf8(f["Info.dat"].clone()).unwrap();
        f.insert("Info.dat".into(), std::iter::once(0xFEFF).chain(text.encode_utf16()).flat_map(u16::to_le_bytes).collect());
        let text = String::from_utf8(f["Expert.dat"].clone()).unwrap();
        assert!(ids(&check(f)).is_empty());
        f.insert("Expert.dat".into(), std::iter::once(0xFEFF).chain(text.encode_utf16()).flat_map(u16::to_be_bytes).collect());
        assert!(ids(&check(f)).is_empty());
        f.insert("Expert.dat".into(), "\u{FEFF}".chars().chain(text.chars()).flat_map(|c| (c as u32).to_le_bytes()).collect())
    };
    v2 "both versions" => ["both-versions"] |f| set(f, "Expert.dat", "/version", json!("3.3.0"));
    v2 "both versions in Info" => ["both-versions"] |f| set(f, "Info.dat", "/version", json!("4.0.0"));
    v2 "a short version" => ["version-format"] |f| set(f, "Expert.dat", "/_version", json!("2.6"));
    v2 "a wordy version" => ["version-format"] |f| set(f, "Info.dat", "/_version", json!("2.0.x"));
    v2 "an unknown level version" => ["version-unknown"] |f| set(f, "Expert.dat", "/_version", json!("3.0.0"));
    v3 "an unknown new version" => ["version-unknown"] |f| set(f, "Expert.dat", "/version", json!("5.0.0"));
    v2 "an unknown Info version" => ["version-unknown"] |f| set(f, "Info.dat", "/_version", json!("3.0.0"));
    v4 "an unknown new Info version" => ["version-unknown"] |f| set(f, "Info.dat", "/version", json!("5.0.0"));
    v2 "no version" => ["missing-field"] |f| drop_key(f, "Expert.dat", "/_version");
    v2 "no Info version" => ["missing-field"] |f| drop_key(f, "Info.dat", "/_version");
    v2 "a version of another type" => ["wrong-type"] |f| set(f, "Expert.dat", "/_version", json!(2));
    v2 "an old level version" => [] |f| set(f, "Expert.dat", "/_version", json!("1.5.0"));
    v2 "an old Info" => ["v1-not-uploadable"] |f| put(f, "Info.dat", &json!({"songName": "x", "difficultyLevels": []}));
    v2 "an old Info with a version" => ["v1-not-uploadable"] |f| set(f, "Info.dat", "/_version", json!("1.0.0"));
    v2 "a v4 level" => ["v4-level-in-v2-info"] |f| { let level = v4()["Expert.beatmap.dat"].clone(); f.insert("Expert.dat".into(), level) };
    v4 "a v2 level under a v4 Info" => ["beat-outside-song"] |f| { let level = v2()["Expert.dat"].clone(); f.insert("Expert.beatmap.dat".into(), level) };

    // Fields, one of each kind and version.
    v2 "a missing Info field" => ["missing-field"] |f| drop_key(f, "Info.dat", "/_shuffle");
    v2 "a missing array" => ["missing-field"] |f| drop_key(f, "Expert.dat", "/_events");
    v2 "a missing number" => ["missing-field"] |f| drop_key(f, "Expert.dat", "/_obstacles/0/_width");
    v2 "a missing BPM change" => ["missing-field"] |f| drop_key(f, "Expert.dat", "/_customData/_BPMChanges/0/_BPM");
    v2 "null for a list" => ["null-value"] |f| set(f, "Expert.dat", "/_notes", Value::Null);
    v2 "null in a list" => ["null-value"] |f| set(f, "Expert.dat", "/_notes/-", Value::Null);
    v2 "null for an optional field" => ["null-value"] |f| set(f, "Expert.dat", "/_waypoints", Value::Null);
    v2 "text for a number" => ["wrong-type"] |f| set(f, "Expert.dat", "/_events/0/_time", json!("0"));
    v2 "text for a whole number" => ["wrong-type"] |f| set(f, "Expert.dat", "/_notes/0/_type", json!("0"));
    v2 "a number for a text" => ["wrong-type"] |f| set(f, "Info.dat", "/_songSubName", json!(1));
    v2 "an object for a list" => ["wrong-type"] |f| set(f, "Expert.dat", "/_events", json!({}));
    v2 "a list for an object" => ["wrong-type"] |f| set(f, "Expert.dat", "/_customData", json!([]));
    v2 "true in a list of objects" => ["wrong-type"] |f| set(f, "Expert.dat", "/_events/-", json!(true));
    v2 "a fraction for a whole number" => ["number-not-integer"] |f| set(f, "Expert.dat", "/_obstacles/0/_width", json!(0.9));
    v2 "1.0 for a whole number" => ["number-not-integer"] |f| set(f, "Expert.dat", "/_notes/0/_lineIndex", json!(1.0));
    v2 "a huge whole number" => ["number-not-integer"] |f| set(f, "Expert.dat", "/_events/0/_value", json!(1_u64 << 40));
    v2 "a 2.1 field before 2.1" => ["field-not-allowed"] |f| set(f, "Info.dat", "/_environmentNames", json!(["DefaultEnvironment"]));
    v2 "a 2.1 index before 2.1" => ["field-not-allowed"] |f| set(f, "Info.dat", &format!("{MAP2}/_environmentNameIdx"), json!(0));
    v2 "a special event of text" => ["wrong-type"] |f| set(f, "Expert.dat", "/_specialEventsKeywordFilters/_keywords/0/_specialEvents/0", json!("x"));
    v3 "defaults in 3.3" => ["chain-squish-zero", "wall-measure", "stacked-objects"] |f| {
        for (list, count) in [("colorNotes", 2), ("obstacles", 1), ("burstSliders", 1), ("sliders", 1), ("basicBeatmapEvents", 1)] {
            set(f, "Expert.dat", &format!("/{list}"), json!(vec![json!({}); count]));
        }
    };
    v3 "a missing array in 3.3" => ["missing-field"] |f| drop_key(f, "Expert.dat", "/waypoints");
    v3 "no vfx in 3.3" => ["missing-field"] |f| drop_key(f, "Expert.dat", "/vfxEventBoxGroups");
    v3 "no translation in 3.3" => ["missing-field"] |f| drop_key(f, "Expert.dat", "/lightTranslationEventBoxGroups");
    v3 "no index filter in 3.3" => ["missing-field"] |f| drop_key(f, "Expert.dat", "/lightColorEventBoxGroups/0/e/0/f");
    v3 "whole 3.2" => [] |f| down_to_3_2(f);
    v3 "a default in 3.2" => ["missing-field"] |f| { down_to_3_2(f); drop_key(f, "Expert.dat", "/colorNotes/0/a") };
    v3 "a filter default in 3.2" => ["missing-field"] |f| { down_to_3_2(f); drop_key(f, "Expert.dat", "/lightColorEventBoxGroups/0/e/0/f/l") };
    v3 "vfx in 3.2" => ["field-not-allowed"] |f| set(f, "Expert.dat", "/version", json!("3.2.0"));
    v3 "whole 3.0" => [] |f| down_to_3_0(f);
    v3 "a newer filter in 3.0" => ["field-not-allowed"] |f| {
        down_to_3_0(f);
        set(f, "Expert.dat", "/lightColorEventBoxGroups/0/e/0/f/c", json!(0));
    };
    v3 "translation in 3.0" => ["field-not-allowed"] |f| {
        down_to_3_0(f);
        set(f, "Expert.dat", "/lightTranslationEventBoxGroups", json!([]));
    };
    v3 "a number for true" => ["wrong-type"] |f| set(f, "Expert.dat", "/colorBoostBeatmapEvents/0/o", json!(1));
    v3 "a list for keywords" => ["wrong-type"] |f| set(f, "Expert.dat", "/basicEventTypesWithKeywords", json!([]));
    v4 "rotations in 4.1" => ["field-not-allowed"] |f| set(f, "Expert.beatmap.dat", "/spawnRotations", json!([]));
    v4 "rotations in 4.0" => [] |f| {
        for key in ["/njsEvents", "/njsEventData"] { drop_key(f, "Expert.beatmap.dat", key); }
        set(f, "Expert.beatmap.dat", "/version", json!("4.0.0"));
        set(f, "Expert.beatmap.dat", "/spawnRotations", json!([{"b": 1}]));
        set(f, "Expert.beatmap.dat", "/spawnRotationsData", json!([{"t": 0, "r": 15}]));
    };
    v4 "njs events in 4.0" => ["field-not-allowed"] |f| set(f, "Expert.beatmap.dat", "/version", json!("4.0.0"));
    v4 "no data array" => ["missing-field", "index-unresolved"] |f| drop_key(f, "Expert.beatmap.dat", "/arcsData");
    v4 "an old colour scheme switch" => ["field-not-allowed"] |f| set(f, "Info.dat", "/colorSchemes/0/useOverride", json!(true));
    v4 "no lightshow array" => ["missing-field"] |f| {
        set(f, "Expert.lightshow.dat", "/waypoints", json!([]));
        drop_key(f, "Expert.lightshow.dat", "/waypointsData");
    };
    v4 "no authors" => ["missing-field"] |f| drop_key(f, "Info.dat", &format!("{MAP4}/beatmapAuthors"));

    // Info.
    v2 "a blank name" => ["song-name-blank"] |f| set(f, "Info.dat", "/_songName", json!(" \t"));
    v4 "a blank title" => ["song-name-blank"] |f| set(f, "Info.dat", "/song/title", json!(""));
    v2 "100 characters" => [] |f| set(f, "Info.dat", "/_songName", json!("x".repeat(94)));
    v2 "101 characters" => ["metadata-too-long"] |f| set(f, "Info.dat", "/_songName", json!("x".repeat(95)));
    v4 "long authors" => ["metadata-too-long"] |f| set(f, "Info.dat", &format!("{MAP4}/beatmapAuthors/lighters"), json!(["y".repeat(89)]));
    v4 "authors that fit" => [] |f| set(f, "Info.dat", &format!("{MAP4}/beatmapAuthors/lighters"), json!(["y".repeat(88), "Mapper"]));
    v2 "9.9 BPM" => ["bpm-out-of-range", "beat-outside-song"] |f| set(f, "Info.dat", "/_beatsPerMinute", json!(9.9));
    v4 "1001 BPM" => ["bpm-out-of-range"] |f| set(f, "Info.dat", "/audio/bpm", json!(1001));
    v2 "1000 BPM" => [] |f| set(f, "Info.dat", "/_beatsPerMinute", json!(1000));
    v2 "an offset" => ["time-offset-nonzero"] |f| set(f, "Info.dat", "/_songTimeOffset", json!(0.1));
    v2 "a negative preview" => ["preview-negative"] |f| set(f, "Info.dat", "/_previewStartTime", json!(-1));
    v4 "a negative preview length" => ["preview-negative"] |f| set(f, "Info.dat", "/audio/previewDuration", json!(-1));
    v2 "an untouched preview" => ["preview-untouched"] |f| set(f, "Info.dat", "/_previewStartTime", json!(12));
    v2 "an unknown environment" => ["environment-unknown"] |f| set(f, "Info.dat", "/_environmentName", json!("MyEnvironment"));
    v3 "an unknown environment in the list" => ["environment-unknown"] |f| set(f, "Info.dat", "/_environmentNames/0", json!("MyEnvironment"));
    v4 "no environment" => ["environment-unknown"] |f| set(f, "Info.dat", "/environmentNames", json!([]));
    v2 "a turning set" => [] |f| set(f, "Info.dat", "/_difficultyBeatmapSets/0/_beatmapCharacteristicName", json!("90Degree"));
    v2 "a turning set elsewhere" => ["rotation-environment"] |f| {
        set(f, "Info.dat", "/_difficultyBeatmapSets/0/_beatmapCharacteristicName", json!("360Degree"));
        set(f, "Info.dat", "/_allDirectionsEnvironmentName", json!("DefaultEnvironment"));
    };
    v3 "an environment index" => ["environment-index"] |f| set(f, "Info.dat", &format!("{MAP2}/_environmentNameIdx"), json!(1));
    v4 "another environment index" => ["environment-index"] |f| set(f, "Info.dat", &format!("{MAP4}/environmentNameIdx"), json!(-1));
    v3 "a scheme index" => ["color-scheme-index"] |f| set(f, "Info.dat", &format!("{MAP2}/_beatmapColorSchemeIdx"), json!(-1));
    v4 "another scheme index" => ["color-scheme-index"] |f| set(f, "Info.dat", &format!("{MAP4}/beatmapColorSchemeIdx"), json!(1));
    v4 "a short colour" => ["color-not-hex"] |f| set(f, "Info.dat", "/colorSchemes/0/saberAColor", json!("FF0000"));
    v4 "a colour word" => ["color-not-hex"] |f| set(f, "Info.dat", "/colorSchemes/0/saberBColor", json!("scarlet!"));
    v2 "no sets" => ["difficulties-empty", "file-unreferenced"] |f| set(f, "Info.dat", "/_difficultyBeatmapSets", json!([]));
    v2 "an empty set" => ["difficulties-empty", "file-unreferenced"] |f| set(f, "Info.dat", "/_difficultyBeatmapSets/0/_difficultyBeatmaps", json!([]));
    v4 "no difficulties" => ["difficulties-empty", "file-unreferenced"] |f| set(f, "Info.dat", "/difficultyBeatmaps", json!([]));
    v2 "an unknown characteristic" => ["characteristic-unknown"] |f| set(f, "Info.dat", "/_difficultyBeatmapSets/0/_beatmapCharacteristicName", json!("Fun"));
    v2 "Legacy in 2.0" => ["characteristic-unknown"] |f| set(f, "Info.dat", "/_difficultyBeatmapSets/0/_beatmapCharacteristicName", json!("Legacy"));
    v3 "Legacy in 2.1" => [] |f| set(f, "Info.dat", "/_difficultyBeatmapSets/0/_beatmapCharacteristicName", json!("Legacy"));
    v2 "a set twice" => ["characteristic-repeated", "file-shared"] |f| edit(f, "Info.dat", |info| {
        let sets = info["_difficultyBeatmapSets"].as_array_mut().unwrap();
        sets.push(sets[0].clone());
    });
    v2 "an unknown difficulty" => ["difficulty-unknown", "rank-mismatch"] |f| set(f, "Info.dat", &format!("{MAP2}/_difficulty"), json!("Expert+"));
    v2 "a small-letter difficulty" => ["difficulty-name-case"] |f| set(f, "Info.dat", &format!("{MAP2}/_difficulty"), json!("expert"));
    v2 "a difficulty twice" => ["difficulty-repeated", "rank-repeated", "file-shared"] |f| edit(f, "Info.dat", |info| {
        let maps = info["_difficultyBeatmapSets"][0]["_difficultyBeatmaps"].as_array_mut().unwrap();
        maps.push(maps[0].clone());
    });
    v4 "a v4 difficulty twice" => ["difficulty-repeated", "file-shared"] |f| edit(f, "Info.dat", |info| {
        let maps = info["difficultyBeatmaps"].as_array_mut().unwrap();
        maps.push(maps[0].clone());
    });
    v2 "an unknown rank" => ["rank-unknown"] |f| set(f, "Info.dat", &format!("{MAP2}/_difficultyRank"), json!(6));
    v2 "another rank" => ["rank-mismatch"] |f| set(f, "Info.dat", &format!("{MAP2}/_difficultyRank"), json!(5));
    v2 "requirements outside" => ["misplaced-custom-data"] |f| set(f, "Info.dat", &format!("{MAP2}/_requirements"), json!([]));
    v2 "a label in the song's data" => ["misplaced-custom-data"] |f| set(f, "Info.dat", "/_customData/_difficultyLabel", json!("x"));
    v4 "colours outside" => ["misplaced-custom-data"] |f| set(f, "Info.dat", &format!("{MAP4}/_colorLeft"), json!({}));
    v2 "a long label" => ["difficulty-label-long"] |f| set(f, "Info.dat", &format!("{MAP2}/_customData/_difficultyLabel"), json!("x".repeat(31)));
    v2 "no jump speed" => ["njs-unset"] |f| set(f, "Info.dat", &format!("{MAP2}/_noteJumpMovementSpeed"), json!(0));
    v2 "no level" => ["difficulty-file-missing", "file-unreferenced"] |f| set(f, "Info.dat", &format!("{MAP2}/_beatmapFilename"), json!("Hard.dat"));
    v4 "no lightshow" => ["lightshow-file-missing", "file-unreferenced"] |f| set(f, "Info.dat", &format!("{MAP4}/lightshowDataFilename"), json!("x.dat"));
    v2 "no contributor icon" => ["icon-missing"] |f| set(f, "Info.dat", "/_customData/_contributors", json!([{"_iconPath": "me.png"}, {"_iconPath": ""}]));
    v4 "no characteristic icon" => ["icon-missing"] |f| set(f, "Info.dat", "/customData/characteristicData", json!([{"iconPath": "me.png"}]));
    v2 "a set icon" => [] |f| set(f, "Info.dat", "/_difficultyBeatmapSets/0/_customData", json!({"_characteristicIconImageFilename": "cover.png"}));

    // Audio, audio data, cover.
    v2 "no audio" => ["audio-missing"] |f| f.remove("song.egg");
    v2 "no audio, and what the gate then cannot judge" => ["audio-missing", "object-before-start"] |f| {
        f.remove("song.egg");
        set(f, "Expert.dat", "/_notes/0/_time", json!(-1));
        set(f, "Expert.dat", "/_notes/1/_time", json!(1e6));
    };
    v4 "another preview" => ["audio-missing"] |f| set(f, "Info.dat", "/songPreviewFilename", json!("preview.egg"));
    v2 "a WAV" => ["audio-not-ogg-vorbis"] |f| f.insert("song.egg".into(), b"RIFF....WAVE".to_vec());
    v2 "Opus" => ["audio-not-ogg-vorbis"] |f| f.insert("song.egg".into(), page(2, 0, 1, b"OpusHead\x01\x02"));
    v2 "a git-lfs pointer" => ["audio-not-ogg-vorbis"] |f| f.insert("song.egg".into(), b"version https://git-lfs.github.com/spec/v1".to_vec());
    v2 "an Ogg without an end" => ["audio-empty"] |f| f.insert("song.egg".into(), page(2, 0, 7, &vorbis_header(8000)));
    v2 "a short song" => ["audio-short", "beat-outside-song"] |f| f.insert("song.egg".into(), ogg(19.0));
    v4 "no audio data" => ["audio-data-missing"] |f| f.remove("AudioData.dat");
    v4 "a region behind the end" => ["audio-data-bounds"] |f| set(f, "AudioData.dat", "/bpmData/1/ei", json!(480_001));
    v4 "a region backwards" => ["audio-data-bounds", "audio-data-order"] |f| set(f, "AudioData.dat", "/bpmData/0/eb", json!(-1));
    v4 "no sample rate" => ["audio-data-bounds"] |f| set(f, "AudioData.dat", "/songFrequency", json!(0));
    v4 "a gap between regions" => ["audio-data-order"] |f| set(f, "AudioData.dat", "/bpmData/1/si", json!(240_001));
    v4 "a region field" => ["missing-field"] |f| {
        set(f, "AudioData.dat", "/bpmData/0/eb", json!(0));
        drop_key(f, "AudioData.dat", "/bpmData/1/sb");
    };
    v4 "audio data of the old kind" => [] |f| put(f, "AudioData.dat", &json!({
        "_version": "2.0.0", "_songSampleCount": 480_000, "_songFrequency": 8000,
        "_regions": [{"_startSampleIndex": 0, "_endSampleIndex": 480_000, "_startBeat": 0, "_endBeat": 120}]}));
    v2 "no cover" => ["cover-missing"] |f| f.remove("cover.png");
    v2 "a JPEG" => [] |f| f.insert("cover.png".into(), jpeg(300, 300));
    v2 "a GIF" => ["cover-format"] |f| f.insert("cover.png".into(), b"GIF89a".to_vec());
    v2 "a JPEG without a frame" => ["cover-format"] |f| f.insert("cover.png".into(), b"\xff\xd8\xff\xda".to_vec());
    v2 "a cut PNG" => ["cover-format"] |f| f.insert("cover.png".into(), png(256, 256)[..20].to_vec());
    v2 "a wide cover" => ["cover-not-square"] |f| f.insert("cover.png".into(), jpeg(301, 300));
    v2 "a small cover" => ["cover-too-small"] |f| f.insert("cover.png".into(), png(255, 255));

    // Levels.
    v2 "note type 2" => ["note-type"] |f| set(f, "Expert.dat", "/_notes/0/_type", json!(2));
    v2 "direction 9" => ["cut-direction"] |f| set(f, "Expert.dat", "/_notes/0/_cutDirection", json!(9));
    v2 "an angle without the mod" => ["precision-direction"] |f| set(f, "Expert.dat", "/_notes/0/_cutDirection", json!(1090));
    v2 "an angle with the mod" => [] |f| {
        require(f, "Mapping Extensions");
        set(f, "Expert.dat", "/_notes/0/_cutDirection", json!(1090));
        set(f, "Expert.dat", "/_notes/0/_lineIndex", json!(-1000));
    };
    v2 "a note before 0" => ["beat-outside-song"] |f| set(f, "Expert.dat", "/_notes/0/_time", json!(-0.5));
    v2 "a note after the end" => ["beat-outside-song"] |f| set(f, "Expert.dat", "/_notes/0/_time", json!(120.5));
    v2 "a wall before 0" => ["object-before-start"] |f| set(f, "Expert.dat", "/_obstacles/0/_time", json!(-0.5));
    v2 "a wall after the end" => ["object-after-audio"] |f| set(f, "Expert.dat", "/_obstacles/0/_time", json!(120.5));
    v2 "a slower clock than the gate knows" => ["object-after-audio"] |f|
        set(f, "Expert.dat", "/_events/-", json!({"_time": 60, "_type": 100, "_value": 0, "_floatValue": 110}));
    v2 "the same before 2.5, when type 100 meant nothing" => [] |f| {
        set(f, "Expert.dat", "/_version", json!("2.4.0"));
        set(f, "Expert.dat", "/_events/-", json!({"_time": 60, "_type": 100, "_value": 0, "_floatValue": 110}));
    };
    v2 "a tempo of 0" => ["tempo-invalid"] |f| set(f, "Expert.dat", "/_events/-", json!({"_time": 60, "_type": 100, "_value": 0}));
    v2 "an arc backwards" => ["arc-backwards"] |f| set(f, "Expert.dat", "/_sliders/0/_tailTime", json!(3));
    v2 "off the grid" => ["off-grid"] |f| set(f, "Expert.dat", "/_notes/0/_lineIndex", json!(4));
    v2 "off the grid, required" => [] |f| { require(f, "Noodle Extensions"); set(f, "Expert.dat", "/_notes/0/_lineLayer", json!(3)) };
    v2 "off the grid, but another mod" => ["off-grid"] |f| { require(f, "Chroma"); set(f, "Expert.dat", "/_notes/0/_lineLayer", json!(3)) };
    v2 "stacked notes" => ["stacked-objects"] |f| set(f, "Expert.dat", "/_notes/1/_lineIndex", json!(1));
    v2 "stacked fakes" => [] |f| {
        set(f, "Expert.dat", "/_notes/1/_lineIndex", json!(1));
        set(f, "Expert.dat", "/_notes/1/_customData", json!({"_fake": true}));
    };
    v2 "a wall without width" => ["wall-measure"] |f| set(f, "Expert.dat", "/_obstacles/0/_width", json!(0));
    v2 "a free wall without height" => ["wall-measure"] |f| drop_key(f, "Expert.dat", "/_obstacles/0/_height");
    v2 "a full wall without height" => [] |f| { drop_key(f, "Expert.dat", "/_obstacles/0/_height"); set(f, "Expert.dat", "/_obstacles/0/_type", json!(0)) };
    v3 "colour 2" => ["color-value"] |f| set(f, "Expert.dat", "/colorNotes/0/c", json!(2));
    v3 "rotation phase 2" => ["rotation-phase"] |f| set(f, "Expert.dat", "/rotationEvents/0/e", json!(2));
    v3 "distribution 0" => ["distribution-type"] |f| set(f, "Expert.dat", "/lightRotationEventBoxGroups/0/e/0/t", json!(0));
    v3 "transition 3" => ["light-transition"] |f| set(f, "Expert.dat", "/lightColorEventBoxGroups/0/e/0/e/0/i", json!(3));
    v3 "light colour 3" => ["light-color"] |f| set(f, "Expert.dat", "/lightColorEventBoxGroups/0/e/0/e/0/c", json!(3));
    v3 "fx type 3" => ["event-box-type"] |f| set(f, "Expert.dat", "/vfxEventBoxGroups/0/t", json!(3));
    v3 "a faster clock" => ["beat-outside-song"] |f| set(f, "Expert.dat", "/bpmEvents/0/m", json!(119));
    v3 "a chain before 0" => ["beat-outside-song"] |f| set(f, "Expert.dat", "/burstSliders/0/b", json!(-1));
    v3 "a chain's end after the end" => ["beat-outside-song"] |f| set(f, "Expert.dat", "/burstSliders/0/tb", json!(121));
    v3 "a bomb before 0" => ["object-before-start"] |f| set(f, "Expert.dat", "/bombNotes/0/b", json!(-1));
    v3 "an arc's end after the end" => ["object-after-audio"] |f| set(f, "Expert.dat", "/sliders/0/tb", json!(121));
    v3 "a chain backwards" => ["arc-backwards"] |f| set(f, "Expert.dat", "/burstSliders/0/tb", json!(9));
    v3 "no squish" => ["chain-squish-zero"] |f| set(f, "Expert.dat", "/burstSliders/0/s", json!(0));
    v3 "a tempo below 0" => ["tempo-invalid"] |f| set(f, "Expert.dat", "/bpmEvents/-", json!({"b": 3, "m": -1}));
    v3 "a bomb in a note" => ["stacked-objects"] |f| set(f, "Expert.dat", "/bombNotes/0", json!({"b": 4.0005, "x": 1, "y": 0}));
    v3 "a wall without height" => ["wall-measure"] |f| set(f, "Expert.dat", "/obstacles/0/h", json!(-1));
    v4 "a note without data" => ["index-unresolved"] |f| set(f, "Expert.beatmap.dat", "/colorNotes/0/i", json!(2));
    v4 "a negative index" => ["index-unresolved"] |f| set(f, "Expert.beatmap.dat", "/arcs/0/ti", json!(-1));
    v4 "a chain without data" => ["index-unresolved", "chain-squish-zero"] |f| set(f, "Expert.beatmap.dat", "/chains/0/ci", json!(1));
    v4 "a v4 note after the end" => ["beat-outside-song"] |f| set(f, "Expert.beatmap.dat", "/colorNotes/1/b", json!(90.01));
    v4 "a v4 wall before 0" => ["beat-outside-song"] |f| set(f, "Expert.beatmap.dat", "/obstacles/0/b", json!(-1));
    v4 "a v4 arc backwards" => ["head-after-tail"] |f| set(f, "Expert.beatmap.dat", "/arcs/0/tb", json!(3));
    v4 "a v4 colour" => ["color-value"] |f| set(f, "Expert.beatmap.dat", "/colorNotesData/0/c", json!(3));
    v4 "a light event after the end" => ["beat-outside-song"] |f| set(f, "Expert.lightshow.dat", "/basicEvents/0/b", json!(91));
    v4 "a group's event after the end" => ["beat-outside-song"] |f| set(f, "Expert.lightshow.dat", "/eventBoxGroups/0/e/0/l/0/b", json!(90));
    v4 "a group's event before 0" => ["beat-outside-song"] |f| set(f, "Expert.lightshow.dat", "/eventBoxGroups/0/e/0/l/0/b", json!(-2));
    v4 "group type 0" => ["event-box-type"] |f| set(f, "Expert.lightshow.dat", "/eventBoxGroups/0/t", json!(0));
    v4 "group type 5" => ["event-box-type"] |f| set(f, "Expert.lightshow.dat", "/eventBoxGroups/0/t", json!(5));
    v4 "a box without a filter" => ["index-unresolved"] |f| set(f, "Expert.lightshow.dat", "/indexFilters", json!([]));
    v4 "a box without events" => ["index-unresolved"] |f| set(f, "Expert.lightshow.dat", "/floatFxEvents", json!([]));
    v4 "a box of another kind" => ["index-unresolved"] |f| set(f, "Expert.lightshow.dat", "/lightRotationEventBoxes", json!([]));
    v4 "a lightshow of v3" => ["beat-outside-song"] |f| { let level = v3()["Expert.dat"].clone(); f.insert("Expert.lightshow.dat".into(), level) };
}

/// Rules that need more than a zip made of files; each has a test of its own below.
const ELSEWHERE: [&str; 5] = ["folder-wrapped", "duplicate-entry", "link-ignored", "file-too-large", "file-unreadable"];

fn require(files: &mut Files, name: &str) {
    set(files, "Info.dat", &format!("{MAP2}/_customData/_requirements"), json!([name]));
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

/// Bytes that do not compress.
fn noise(count: usize) -> Vec<u8> {
    let mut state = 1_u64;
    let mut next = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 56) as u8
    };
    (0..count).map(|_| next()).collect()
}

fn down_to_3_2(files: &mut Files) {
    set(files, "Expert.dat", "/version", json!("3.2.0"));
    drop_key(files, "Expert.dat", "/vfxEventBoxGroups");
    drop_key(files, "Expert.dat", "/_fxEventsCollection");
}

fn down_to_3_0(files: &mut Files) {
    down_to_3_2(files);
    set(files, "Expert.dat", "/version", json!("3.0.0"));
    drop_key(files, "Expert.dat", "/lightTranslationEventBoxGroups");
    for group in ["lightColorEventBoxGroups", "lightRotationEventBoxGroups"] {
        set(files, "Expert.dat", &format!("/{group}/0/e/0/f"), json!({"f": 1, "p": 1, "t": 0, "r": 0}));
    }
}

#[test]
fn valid_levels_have_no_findings() {
    for base in [v2, v3, v4] {
        assert_eq!(check(&base()), []);
    }
}

#[test]
fn each_change_breaks_its_rule_and_no_other() {
    let mut wrong = Vec::new();
    for case in CASES {
        let mut files = (case.base)();
        (case.change)(&mut files);
        let findings = check(&files);
        let expected: BTreeSet<&str> = case.expected.iter().copied().collect();
        if ids(&findings) != expected {
            wrong.push(format!("{}: expected {expected:?}, found {findings:#?}", case.name));
        }
        for finding in &findings {
            let (_, severity, _) = rules().iter().find(|(id, ..)| *id == finding.rule).unwrap();
            assert_eq!(finding.severity, *severity);
            assert!(finding.message.chars().count() > 10 && !finding.message.ends_with('.'), "{finding:?}");
            assert!(finding.place.is_empty() || finding.place.starts_with('/'), "{finding:?}");
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn every_rule_is_reached_by_a_test() {
    let reached: BTreeSet<&str> = CASES.iter().flat_map(|case| case.expected).chain(&ELSEWHERE).copied().collect();
    let all: BTreeSet<&str> = rules().iter().map(|(id, ..)| *id).collect();
    assert_eq!(reached, all);
    assert_eq!(all.len(), rules().len(), "two rules share a name");
    for (id, severity, text) in rules() {
        assert!(id.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-'), "{id}");
        assert!(!text.is_empty() && !severity.as_str().is_empty());
    }
}

#[test]
fn a_folder_can_be_checked_too() {
    let home = tempfile::tempdir().unwrap();
    let list: Vec<_> = v3().into_iter().map(|(name, bytes)| (format!("sub/{name}"), Cow::Owned(bytes))).collect();
    write_folder(&home.path().join("level"), &list).unwrap();
    let findings =
        |path: &str| ids(&check_upload(&Pack::open(&home.path().join(path), &Limits::default()).unwrap()).unwrap());
    assert_eq!(findings("level"), BTreeSet::from(["folder-wrapped"]));
    assert_eq!(findings("level/sub"), BTreeSet::new());
    #[cfg(unix)]
    {
        std::os::unix::fs::symlink(home.path(), home.path().join("level/sub/out")).unwrap();
        assert_eq!(findings("level/sub"), BTreeSet::from(["link-ignored"]));
    }
}

#[test]
fn files_too_large_or_damaged_are_findings() {
    let mut files = v2();
    let mut song = ogg(60.0);
    song.resize(MEMBER_BYTES as usize + 1, 0);
    files.insert("song.egg".into(), song);
    let findings = check(&files);
    assert_eq!(ids(&findings), BTreeSet::from(["file-too-large", "zip-too-large"]));
    assert_eq!(findings.iter().find(|finding| finding.rule == "file-too-large").unwrap().file, "song.egg");

    // JSON of that size is not even parsed.
    for name in ["Expert.dat", "Info.dat"] {
        let mut files = v2();
        files.insert(name.into(), vec![b' '; MEMBER_BYTES as usize + 1]);
        assert_eq!(ids(&check(&files)), BTreeSet::from(["file-too-large"]));
    }

    // The same zip under a limit that the audio exceeds, and one where a level's bytes are damaged.
    let limits = Limits { media_bytes: 1 << 20, ..Limits::default() };
    let pack = Pack::from_bytes("level.zip", zipped(&files), &limits).unwrap();
    assert!(ids(&check_upload(&pack).unwrap()).contains("file-unreadable"));
    let mut bytes = zipped(&v2());
    let name = b"Expert.dat";
    let at = bytes.windows(name.len()).position(|window| window == name).unwrap() + name.len() + 5;
    bytes[at] ^= 0xFF;
    let findings = check_upload(&Pack::from_bytes("level.zip", bytes, &Limits::default()).unwrap()).unwrap();
    assert_eq!(ids(&findings), BTreeSet::from(["file-unreadable"]));
    assert_eq!(findings[0].file, "Expert.dat");
}

#[test]
fn an_info_that_cannot_be_read_is_an_error() {
    let limits = Limits { json_bytes: 10, ..Limits::default() };
    let pack = Pack::from_bytes("level.zip", zipped(&v2()), &limits).unwrap();
    assert!(matches!(check_upload(&pack), Err(Error::Limit { .. })));
}

#[test]
fn a_file_listed_twice_is_a_finding() {
    // An entry of a valid archive takes the name of another, in both of its headers.
    let mut files = v2();
    files.insert("xxxxxx.dat".into(), b"{}".to_vec());
    let mut bytes = zipped(&files);
    for at in 0..bytes.len() - 10 {
        if bytes[at..].starts_with(b"xxxxxx.dat") {
            bytes[at..at + 10].copy_from_slice(b"Expert.dat");
        }
    }
    let findings = check_upload(&Pack::from_bytes("l", bytes, &Limits::default()).unwrap()).unwrap();
    assert!(ids(&findings).contains("duplicate-entry"), "{findings:#?}");
}

#[test]
fn findings_say_where_and_when() {
    let mut files = v4();
    set(&mut files, "Expert.beatmap.dat", "/colorNotes/1", json!({"b": 95, "i": 7}));
    let findings = check(&files);
    let [beat, index] = findings.as_slice() else { panic!("{findings:#?}") };
    assert_eq!((beat.file.as_str(), beat.place.as_str()), ("Expert.beatmap.dat", "/colorNotes/1"));
    assert_eq!((beat.characteristic.as_deref(), beat.difficulty.as_deref()), (Some("Standard"), Some("Expert")));
    // 60 beats at 120 BPM take 30 s, 35 more at 60 BPM take 35 s.
    assert_eq!((beat.beat, beat.time_s), (Some(95.0), Some(65.0)));
    assert_eq!(beat.message, "a note at beat 95 lies outside the song, which goes from beat 0 to 90.000; move it");
    assert_eq!((index.rule, index.place.as_str()), ("index-unresolved", "/colorNotes/1/i"));
    assert_eq!(index.message, "\"i\" is 7 and the list it points into has 2 entries; correct it");
}

#[test]
fn findings_of_one_rule_fold_after_twenty() {
    let mut files = v2();
    edit(&mut files, "Expert.dat", |level| {
        let note = json!({"_time": -1, "_lineIndex": 1, "_lineLayer": 0, "_type": 2, "_cutDirection": 1});
        level["_notes"] = json!(
            (0..50)
                .map(|i| {
                    let mut note = note.clone();
                    note["_time"] = json!(-1 - i);
                    note
                })
                .collect::<Vec<_>>()
        );
    });
    let findings = check(&files);
    for rule in ["beat-outside-song", "note-type"] {
        let counts: Vec<u64> =
            findings.iter().filter(|finding| finding.rule == rule).map(|finding| finding.count).collect();
        assert_eq!((counts.len(), counts.iter().sum::<u64>(), counts[19]), (20, 50, 31));
    }
}

#[test]
fn media_headers_are_read() {
    assert_eq!(vorbis_seconds(&ogg(12.5)), Ok(12.5));
    for cut in 0..80 {
        let _ = vorbis_seconds(&ogg(12.5)[..cut]);
    }
    assert_eq!(vorbis_seconds(&page(2, 0, 1, b"\x80theora")), Err("an Ogg file without Vorbis audio"));
    assert_eq!(vorbis_seconds(&page(2, 0, 1, &vorbis_header(0))), Err("an Ogg file with a damaged Vorbis header"));
    for (bytes, found) in
        [(b"ID3\x04".as_slice(), "an MP3 file"), (b"\xff\xfb", "an MP3 file"), (b"fLaC", "a FLAC file"), (b"", "empty")]
    {
        assert_eq!(vorbis_seconds(bytes), Err(found));
    }
    assert_eq!(image_size(&png(300, 200)), Some((300, 200)));
    assert_eq!(image_size(&jpeg(300, 200)), Some((300, 200)));
    for cut in 0..40 {
        let _ = (image_size(&jpeg(1, 1)[..cut.min(jpeg(1, 1).len())]), image_size(&png(1, 1)[..cut.min(33)]));
    }
}

/// Any JSON, with the keys the tables know often enough to reach deep.
fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        (-2000_i64..2000).prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        "[a-zA-Z.0-9]{0,8}".prop_map(Value::from),
        Just(json!("Expert.dat")),
        Just(json!("song.egg")),
    ];
    let keys = prop::sample::select(vec![
        "b",
        "i",
        "e",
        "t",
        "l",
        "f",
        "x",
        "y",
        "d",
        "m",
        "hb",
        "tb",
        "ai",
        "ci",
        "_time",
        "_type",
        "_value",
        "_floatValue",
        "_notes",
        "_events",
        "colorNotes",
        "bpmEvents",
        "obstacles",
        "arcs",
        "chains",
        "eventBoxGroups",
        "version",
        "_version",
        "_beatsPerMinute",
        "_difficultyBeatmapSets",
        "_difficultyBeatmaps",
        "difficultyBeatmaps",
        "audio",
        "song",
        "bpmData",
        "_customData",
    ]);
    leaf.prop_recursive(4, 40, 6, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
            prop::collection::vec((keys.clone(), inner), 0..6).prop_map(|pairs| Value::Object(
                pairs.into_iter().map(|(key, value)| (key.to_owned(), value)).collect()
            )),
        ]
    })
}

/// Pointers of all values in `value`.
fn pointers(value: &Value, at: &str, out: &mut Vec<String>) {
    match value {
        Value::Array(items) => {
            items.iter().enumerate().for_each(|(index, item)| pointers(item, &format!("{at}/{index}"), out));
        }
        Value::Object(object) => object.iter().for_each(|(key, item)| pointers(item, &format!("{at}/{key}"), out)),
        _ => {}
    }
    out.push(at.to_owned());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn nothing_put_anywhere_panics(
        base in prop::sample::select(vec![v2 as fn() -> Files, v3, v4]),
        file in any::<prop::sample::Index>(), spot in any::<prop::sample::Index>(), value in any_json(),
    ) {
        let mut files = base();
        let names: Vec<String> = files.keys().filter(|name| name.ends_with(".dat")).cloned().collect();
        let name = file.get(&names);
        edit(&mut files, name, |level| {
            let mut list = Vec::new();
            pointers(level, "", &mut list);
            let spot: &String = spot.get(&list);
            *level.pointer_mut(spot).unwrap() = value;
        });
        for finding in check(&files) {
            prop_assert!(rules().iter().any(|(id, ..)| *id == finding.rule));
        }
    }

    #[test]
    fn any_bytes_in_any_file_are_findings_at_most(
        base in prop::sample::select(vec![v2 as fn() -> Files, v3, v4]),
        file in any::<prop::sample::Index>(), bytes in prop::collection::vec(any::<u8>(), 0..200), keep in 0_usize..60,
    ) {
        let mut files = base();
        let names: Vec<String> = files.keys().cloned().collect();
        let content = files.get_mut(file.get(&names)).unwrap();
        content.truncate(keep);
        content.extend_from_slice(&bytes);
        check(&files);
    }
}
