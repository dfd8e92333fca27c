//! Odd files as they are found in the wild: each is read with a warning that says so, or refused with a sentence for a
//! person. One row per file; the files under `tests/golden/oddities` are our own copies of every kind of fault.

mod common;

use std::io::Write as _;
use std::path::{Path, PathBuf};

use beatweaver_core::map::{AudioData, Info, read_level};
use beatweaver_core::{Limits, Warning};

/// What reading a file gives, in a line: what it is and holds and every warning, or the kind of error and its sentence.
fn outcome(bytes: &[u8], file: &str, limits: &Limits) -> String {
    let odd = |warnings: &[Warning]| {
        let mut out = String::new();
        for w in warnings {
            let spot = w.place.spot();
            let at = if spot.is_empty() { String::new() } else { format!(" at {spot}") };
            out += &format!("; {} × {}{at}: {}", w.count, w.rule, w.message);
        }
        out
    };
    if file.contains("nfo") {
        return match Info::read(bytes, file, limits) {
            Ok((info, warnings)) => {
                let names: Vec<&str> = info.difficulties.iter().map(|d| d.difficulty.as_str()).collect();
                format!("Info {}, {} BPM, [{}]{}", info.version, info.bpm, names.join(" "), odd(&warnings))
            }
            Err(error) => format!("{}: {error}", error.kind()),
        };
    }
    match read_level(bytes, file, limits) {
        Ok((d, warnings)) => {
            let mut what = format!("level {}", d.version);
            let fakes = d.fakes.notes.len() + d.fakes.bombs.len() + d.fakes.obstacles.len() + d.fakes.chains.len();
            for (count, name) in [
                (d.notes.len(), "notes"),
                (d.bombs.len(), "bombs"),
                (d.obstacles.len(), "walls"),
                (d.arcs.len(), "arcs"),
                (d.chains.len(), "chains"),
                (d.lights.len(), "lights"),
                (d.boosts.len(), "boosts"),
                (d.tempo.len(), "tempo"),
                (d.njs_events.len(), "njs"),
                (d.groups.len(), "groups"),
                (fakes, "fakes"),
                (d.strays.len(), "strays"),
            ] {
                if count > 0 {
                    what += &format!(" {name} {count}");
                }
            }
            what + &odd(&warnings)
        }
        Err(error) => format!("{}: {error}", error.kind()),
    }
}

/// A message without what it quotes of the file, which is not ours.
fn unquoted(outcome: &str) -> String {
    for before in ["the text begins with ", "not valid JSON: found "] {
        if let Some((start, rest)) = outcome.split_once(before)
            && let Some((_, end)) = rest.split_once("\", expected")
        {
            return format!("{start}{before}…, expected{end}");
        }
    }
    outcome.to_owned()
}

/// Reads every file of a folder and compares with the table; each file has a row and each row a file.
fn check(folder: &Path, table: &[(&str, &str)], shown: impl Fn(&str) -> String) {
    let mut names: Vec<String> = std::fs::read_dir(folder)
        .expect("folder")
        .map(|e| e.expect("entry").file_name().to_string_lossy().into_owned())
        .collect();
    names.retain(|n| !n.starts_with('.'));
    names.sort();
    let mut wrong = Vec::new();
    for name in &names {
        let bytes = std::fs::read(folder.join(name)).expect("file");
        let found = outcome(&bytes, name, &Limits::default()).replace(&format!("{name}: "), "");
        let found = shown(&found);
        match table.iter().find(|row| row.0 == name) {
            Some(row) if row.1 == found => {}
            Some(_) | None => wrong.push(format!("({name:?}, {found:?}),")),
        }
    }
    let gone = table.iter().filter(|row| !names.iter().any(|n| n == row.0)).map(|row| row.0);
    assert_eq!(gone.collect::<Vec<_>>(), [] as [&str; 0], "rows without a file");
    assert!(wrong.is_empty(), "{} of {} files differ from the table:\n{}", wrong.len(), names.len(), wrong.join("\n"));
}

fn golden() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/golden/oddities")
}

#[test]
fn our_own_odd_files() {
    check(&golden(), GOLDEN, str::to_owned);
}

#[test]
fn odd_files_of_the_corpus() {
    let Some(root) = common::shared() else { return };
    check(&root.join("corpus/oddities"), CORPUS, unquoted);
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    encoder.write_all(bytes).expect("to memory");
    encoder.finish().expect("to memory")
}

fn of_level(text: &str) -> String {
    outcome(text.as_bytes(), "level.dat", &Limits::default())
}

#[test]
fn deep_nesting_is_kept_as_text_or_refused_without_recursion() {
    const DEPTH: usize = 100_000;
    let (open, close) = ("[".repeat(DEPTH), "]".repeat(DEPTH));
    let refused = "json: level.dat: line 1, column 1: found a list, expected a level: a JSON object";
    assert_eq!(of_level(&format!("{open}{close}")), refused);
    let refused = "json: level.dat: /_notes/0 (line 1, column 31): found a list, expected an object";
    assert_eq!(of_level(&format!(r#"{{"_version":"2.0.0","_notes":[{open}{close}]}}"#)), refused);
    // In a member that nobody knows it is carried along: the reader does not go down into it.
    let text =
        format!(r#"{{"_version":"2.0.0","_notes":[{{"_time":1,"_deep":{open}{close}}}],"_deeper":{open}{close}}}"#);
    let (level, _) = read_level(text.as_bytes(), "level.dat", &Limits::default()).expect("reads");
    let (bytes, _, lost) = level.write(2).expect("writes");
    assert_eq!((String::from_utf8_lossy(&bytes).matches(&open).count(), lost), (2, vec![]));
    // Another version does not take it, and says so.
    let (bytes, _, lost) = level.write(3).expect("writes");
    assert!(bytes.len() < 1000, "{}", bytes.len());
    let lost: Vec<_> = lost.iter().map(|l| (l.what.as_str(), l.count)).collect();
    assert_eq!(lost, [("field _deep", 1), ("field _deeper of the level", 1)]);
    let info = format!(r#"{{"_version":"2.1.0","_songName":"Own","_colorSchemes":{open}{close}}}"#);
    let found = outcome(info.as_bytes(), "Info.dat", &Limits::default());
    assert!(found.starts_with("json: Info.dat: line 1, ") && found.ends_with("recursion limit exceeded"), "{found}");
    let info = format!(r#"{{"_version":"2.1.0","_songName":"Own","_customData":{open}{close}}}"#);
    let (info, _) = Info::read(info.as_bytes(), "Info.dat", &Limits::default()).expect("reads");
    assert!(String::from_utf8_lossy(&info.write(2)).contains(&open));
}

#[test]
fn more_objects_than_the_limit_are_refused_wherever_they_are() {
    let rows = |n: usize| vec!["{}"; n].join(",");
    let most = Limits::default().objects as usize;
    let text = format!(r#"{{"_version":"2.0.0","_notes":[{}]}}"#, rows(most + 1));
    assert_eq!(of_level(&text), "limit: level.dat: /_notes: objects is 2000001, the limit is 2000000");
    let limits = Limits { objects: 10, ..Limits::default() };
    let read = |text: &str| outcome(text.as_bytes(), "level.dat", &limits);
    assert_eq!(read(&format!(r#"{{"version":"3.3.0","colorNotes":[{}]}}"#, rows(10))), "level 3.3.0 notes 10");
    let over = "limit: level.dat: /colorNotes: objects is 11, the limit is 10";
    assert_eq!(read(&format!(r#"{{"version":"3.3.0","colorNotes":[{}]}}"#, rows(11))), over);
    // Eleven boxes in three groups: many small lists count together.
    let group = format!(r#"{{"e":[{}]}}"#, rows(4));
    let text = format!(r#"{{"version":"3.3.0","lightColorEventBoxGroups":[{group},{group},{group}]}}"#);
    let over = "limit: level.dat: /lightColorEventBoxGroups/2/e: objects is 11, the limit is 10";
    assert_eq!(read(&text), over);
}

#[test]
fn a_shared_entry_is_not_copied_without_bound() {
    // 20 kB of custom data in one entry that a thousand notes point to.
    let limits = Limits { json_bytes: 1 << 20, ..Limits::default() };
    let entry = format!(r#"{{"x":1,"customData":{{"big":"{}"}}}}"#, "x".repeat(20_000));
    let notes = vec![r#"{"b":1,"i":0}"#; 1000].join(",");
    let text = format!(r#"{{"version":"4.0.0","colorNotes":[{notes}],"colorNotesData":[{entry}]}}"#);
    let found = outcome(text.as_bytes(), "level.dat", &limits);
    assert_eq!(found, "limit: level.dat: /colorNotes/999: json_bytes is 20023000, the limit is 1048576");
    let event = format!(r#"{{"v":1,"customData":{{"big":"{}"}}}}"#, "x".repeat(20_000));
    let uses = vec!["0"; 1000].join(",");
    let groups = format!(r#"[{{"b":1,"e":[{{"l":[{uses}]}}]}}]"#);
    let text =
        format!(r#"{{"version":"3.3.0","vfxEventBoxGroups":{groups},"_fxEventsCollection":{{"_fl":[{event}]}}}}"#);
    let found = outcome(text.as_bytes(), "level.dat", &limits);
    assert_eq!(found, "limit: level.dat: /vfxEventBoxGroups/0: json_bytes is 20023000, the limit is 1048576");
}

#[test]
fn compressed_files_unpack_to_the_limit_and_no_further() {
    let limits = Limits { json_bytes: 1 << 20, ..Limits::default() };
    let bomb = gzip(&vec![b' '; 64 << 20]);
    assert!(bomb.len() < 1 << 20);
    let found = outcome(&bomb, "level.dat", &limits);
    assert_eq!(found, "limit: level.dat: json_bytes is 1048577, the limit is 1048576");
    let found = outcome(&vec![b' '; 2 << 20], "level.dat", &limits);
    assert_eq!(found, "limit: level.dat: json_bytes is 2097152, the limit is 1048576");
    // Several streams in a row, a byte order mark inside: still a level.
    let text = r#"{"version":"4.0.0","colorNotes":[{"b":2}]}"#;
    let parts = [gzip(b"\xEF\xBB\xBF"), gzip(&text.as_bytes()[..9]), gzip(&text.as_bytes()[9..])].concat();
    let found = outcome(&parts, "level.dat", &limits);
    assert!(found.starts_with("level 4.0.0 notes 1; 1 × gzip") && found.contains("byte-order-mark"), "{found}");
}

#[test]
fn many_trailing_commas_are_read_in_one_pass() {
    // Every object has one. Counting lines for each of them would take minutes.
    let rows = vec!["{\"_time\":1,\"_type\":0,}"; 200_000].join(",\n");
    let found = of_level(&format!("{{\"_version\":\"2.0.0\",\"_notes\":[\n{rows}]}}"));
    let expected = "level 2.0.0 notes 200000; 200000 × trailing-comma at line 2, column 21: \
                    a trailing comma is not JSON; it was skipped";
    assert_eq!(found, expected);
}

#[test]
fn more_difficulties_than_the_limit_are_refused_in_every_version() {
    let limits = Limits { difficulties: 3, ..Limits::default() };
    let four = ["{}"; 4].join(",");
    for text in [
        format!(r#"{{"songName":"Own","difficultyLevels":[{four}]}}"#),
        format!(
            r#"{{"_version":"2.0.0","_songName":"Own","_difficultyBeatmapSets":[{{"_difficultyBeatmaps":[{four}]}}]}}"#
        ),
        format!(r#"{{"_version":"2.0.0","_songName":"Own","_difficultyBeatmapSets":[{four}]}}"#),
        format!(r#"{{"version":"4.0.1","difficultyBeatmaps":[{four}]}}"#),
    ] {
        let found = outcome(text.as_bytes(), "Info.dat", &limits);
        assert_eq!(found, "limit: Info.dat: difficulties is 4, the limit is 3");
    }
}

#[test]
fn audio_data_says_what_is_wrong_with_it() {
    let read = |text: &str| AudioData::read(text.as_bytes(), "AudioData.dat", &Limits::default());
    let refused = |text: &str| read(text).expect_err("refused").to_string();
    let wrong = "AudioData.dat: /bpmData/1/si (line 1, column 55): found the text \"x\", expected an integer";
    assert_eq!(refused(r#"{"version":"4.0.0","bpmData":[{"si":0,"ei":5},{"si":"x"}]}"#), wrong);
    assert_eq!(
        refused(r#"{"version":"7"}"#),
        "AudioData.dat: /version: found version \"7\", expected 1.x, 2.x, 3.x or 4.x"
    );
    let (data, warnings) =
        read(r#"{"version":"4.0.0","songFrequency":44100,"bpmData":[{"si":"0","ei":44100,"sb":0,"eb":2}]}"#)
            .expect("reads");
    assert_eq!((warnings[0].rule, warnings[0].place.spot()), ("text-for-number", "/bpmData/0/si".to_owned()));
    assert_eq!(data.clock().expect("a clock").bpm_at(1.0), 120.0);
    let (data, _) = read(r#"{"_version":"2.0.0","_songFrequency":44100,"_regions":[{"_startSampleIndex":0,"_endSampleIndex":88200,"_startBeat":0,"_endBeat":2}]}"#).expect("reads");
    assert_eq!(data.clock().expect("a clock").seconds(2.0), 2.0);
    assert!(read("{}").expect("reads").0.clock().is_none());
}

const GOLDEN: &[(&str, &str)] = &[
    ("array.dat", "json: line 1, column 1: found a list, expected a level: a JSON object"),
    ("blank.dat", "json: line 3, column 1: the file holds nothing but white space, expected JSON"),
    ("bom-only.dat", "json: line 1, column 1: the file holds nothing but white space, expected JSON"),
    ("bom-utf16be.dat", "level 2.2.0 notes 2; 1 × byte-order-mark: the file is UTF-16 or UTF-32, not UTF-8"),
    ("bom-utf16le.dat", "level 2.2.0 notes 2; 1 × byte-order-mark: the file is UTF-16 or UTF-32, not UTF-8"),
    ("bom-utf32le.dat", "level 2.2.0 notes 2; 1 × byte-order-mark: the file is UTF-16 or UTF-32, not UTF-8"),
    ("bom-utf8.dat", "level 2.2.0 notes 2; 1 × byte-order-mark: the file begins with a byte order mark"),
    (
        "both-versions-new-first.dat",
        "level 3.2.0 notes 1; 1 × two-versions: both `_version` and `version` are stated; the fields of version 3 were read",
    ),
    (
        "both-versions-old-first.dat",
        "level 3.2.0 notes 1; 1 × two-versions: both `_version` and `version` are stated; the fields of version 3 were read",
    ),
    ("comments.dat", "level 2.0.0 notes 1; 3 × comment at line 1, column 3: a comment is not JSON; it was skipped"),
    ("crlf.dat", "level 2.2.0 notes 2; 1 × crlf: lines end in CR LF"),
    ("cut-off.dat", "json: line 1, column 160: the file ends in the middle of the JSON document; it may be cut off"),
    (
        "duplicate-members.dat",
        "level 2.0.0 notes 2 lights 1; 1 × member-twice: the member \"_notes\" is there more than once; all were read",
    ),
    ("empty.dat", "json: the file is empty (0 bytes), expected JSON"),
    (
        "exponents.dat",
        "level 2.0.0 notes 2; 1 × float-for-integer at /_notes/0/_lineIndex: found 1.0, expected an integer",
    ),
    ("fakes-v3.dat", "level 3.2.0 notes 1 fakes 3"),
    (
        "floats-for-integers.dat",
        "level 2.0.0 notes 1 walls 1; 3 × float-for-integer at /_notes/0/_lineIndex: found 1.0, expected an integer; 1 × fraction-for-integer at /_obstacles/0/_width: found 0.9, expected an integer; the fraction was dropped",
    ),
    (
        "fx-without-collection-v3.dat",
        "level 3.3.0 groups 1; 2 × index-out-of-range at /vfxEventBoxGroups/0: found index 0 into _fl, which has 0 entries; read as all zero",
    ),
    ("gzip-cut-off.dat", "json: gzip data is damaged (incomplete deflate stream), expected JSON"),
    (
        "gzip-damaged.dat",
        "json: gzip data is damaged (corrupt gzip stream does not have a matching checksum), expected JSON",
    ),
    ("gzip.dat", "level 4.0.0 notes 1; 1 × gzip: the file is gzip-compressed; the game reads that for version 4 only"),
    ("huge-float-unknown.dat", "level 2.0.0 notes 1"),
    ("huge-float.dat", "json: line 1, column 44: not valid JSON: found \"9,\\\"_type\\\":0}]}\", number out of range"),
    (
        "huge-integers.dat",
        "level 2.0.0 lights 2; 2 × number-too-large at /_events/0/_value: found 99999999999, expected a 32-bit integer; it was clamped; 1 × float-for-integer at /_events/1/_value: found 1.2345678901234568e29, expected an integer",
    ),
    (
        "index-out-of-range-v4.dat",
        "level 4.1.0 notes 3 njs 1; 3 × index-out-of-range at /colorNotes/1: found index 7 into colorNotesData, which has 1 entries; read as all zero",
    ),
    ("info-missing-members.dat", "Info 2.0.0, 120 BPM, []; 1 × no-version: no version is stated; read as 2.0.0"),
    (
        "info-names.dat",
        "Info 2.0.0, 120 BPM, [Expert ExpertPlus Hard Demon]; 3 × difficulty-name: found difficulty \"expert\", expected \"Expert\"; read as that; 1 × difficulty-rank: found rank 6 for Hard, expected 5",
    ),
    (
        "info-set-twice.dat",
        "Info 2.0.0, 120 BPM, [Easy Hard]; 1 × characteristic-twice: found two sets for \"Standard\", expected one; they were joined",
    ),
    (
        "info-something-else.dat",
        "map: found none of a level's fields, expected a Beat Saber Info file; a file of that name may belong to something else",
    ),
    ("info-table.dat", "json: line 1, column 9: found 2459000.5, expected an object"),
    ("info-v1.json", "Info 1.0.0, 128 BPM, [Expert]"),
    (
        "info-wrong-type.dat",
        "json: /_difficultyBeatmapSets/0/_difficultyBeatmaps/0/_noteJumpMovementSpeed (line 1, column 115): found an object, expected a number",
    ),
    (
        "lfs-pointer.dat",
        "json: line 1, column 1: the file is a git-lfs pointer, expected JSON; fetch the real file with git lfs",
    ),
    ("list-is-object.dat", "json: /_notes (line 1, column 30): found an object, expected a list"),
    ("mapping-extensions.dat", "level 2.0.0 notes 1 walls 1"),
    (
        "merge-markers.dat",
        "json: line 3, column 1: git merge conflict markers are left in the file, expected JSON; resolve the conflict first",
    ),
    ("missing-colon.dat", "json: line 1, column 41: not valid JSON: found \"},\\\"_notes\\\":[]}\", expected `:`"),
    (
        "missing-comma.dat",
        "json: line 5, column 5: not valid JSON: found \"{\\\"_time\\\":6,\\\"_lin\", expected `,` or `]`; a comma may be missing",
    ),
    ("nan-bare.dat", "json: line 1, column 40: not valid JSON: found \"NaN,\\\"_type\\\":0}]}\", expected value"),
    ("nan-text.dat", "json: /_notes/0/_time (line 1, column 44): found the text \"NaN\", expected a number"),
    (
        "nested-v3.dat",
        "level 3.2.0 groups 2; 2 × text-for-number at /lightColorEventBoxGroups/1/e/0/f/c: found the text \"1\", expected an integer; read as one",
    ),
    ("no-data-v4.dat", "level 4.0.0 notes 2 bombs 1 walls 1 arcs 1 chains 1"),
    (
        "no-json.dat",
        "json: line 5, column 1: the text begins with \"#####\\n#   #\\n# @ \", expected JSON; a file of that name may belong to something else",
    ),
    (
        "no-version-v2.dat",
        "level 2.0.0 notes 1; 1 × no-version: no version is stated; the layout was taken from the fields",
    ),
    (
        "no-version-v3.dat",
        "level 3.0.0 notes 1; 1 × no-version: no version is stated; the layout was taken from the fields",
    ),
    (
        "no-version-v4.dat",
        "level 4.0.0 notes 1; 1 × no-version: no version is stated; the layout was taken from the fields",
    ),
    (
        "not-a-level.dat",
        "map: found none of a level's lists (notes, bombs, walls, events), expected a Beat Saber level; a file of that name may belong to something else",
    ),
    ("not-utf8.dat", "json: byte 20 is not UTF-8, expected JSON text"),
    (
        "note-types.dat",
        "level 2.0.0 notes 1 bombs 1 strays 2; 2 × unknown-note-type at /_notes/1: found note type 2, expected 0, 1 or 3; it is kept aside",
    ),
    (
        "nulls.dat",
        "level 2.0.0 notes 2; 1 × null-object at /_notes/0: found null, expected an object; it was skipped; 1 × null-value at /_notes/1/_time: found null, expected a number; the default was taken; 1 × null-list at /_obstacles: found null, expected a list; it was read as empty",
    ),
    ("old-tempo.dat", "level 2.0.0 notes 1 lights 1 tempo 1"),
    ("omitted-everything-v3.dat", "level 3.3.0"),
    ("omitted-v2.dat", "level 2.0.0 notes 2 walls 1 lights 1"),
    ("omitted-v3.dat", "level 3.3.0 notes 2 bombs 1 walls 1 lights 1 groups 1"),
    ("omitted-v4.dat", "level 4.0.0 notes 2 bombs 1"),
    ("row-is-number.dat", "json: /_notes/1 (line 1, column 101): found 7, expected an object"),
    (
        "texts-for-numbers.dat",
        "level 2.0.0 notes 1 lights 1; 7 × text-for-number at /_notes/0/_time: found the text \"4.5\", expected a number; read as one",
    ),
    (
        "trailing-commas.dat",
        "level 2.0.0 notes 2; 4 × trailing-comma at line 4, column 25: a trailing comma is not JSON; it was skipped",
    ),
    (
        "two-documents.dat",
        "json: line 2, column 1: more text follows the end of the JSON document, expected one document; keep only one of them",
    ),
    ("unsorted-and-negative.dat", "level 2.0.0 notes 3 lights 1"),
    ("version-1.5.json", "level 1.5.0 notes 1 lights 1"),
    ("version-9.dat", "version: /version: found version \"9.0.0\", expected 1.x, 2.x, 3.x or 4.x"),
    ("version-number.dat", "level 3.0.0 notes 1"),
    ("version-word.dat", "version: /_version: found version \"two\", expected 1.x, 2.x, 3.x or 4.x"),
    ("word-for-number.dat", "json: /_notes/1/_time (line 1, column 115): found the text \"four\", expected a number"),
];

const CORPUS: &[(&str, &str)] = &[
    ("01_empty.dat", "json: the file is empty (0 bytes), expected JSON"),
    (
        "02_utf8-bom-crlf-v1.json",
        "level 1.5.0 notes 763 lights 28; 1 × byte-order-mark: the file begins with a byte order mark",
    ),
    (
        "03_git-conflict-markers-info.dat",
        "json: line 1, column 1: git merge conflict markers are left in the file, expected JSON; resolve the conflict first",
    ),
    (
        "04_git-conflict-markers-difficulty.dat",
        "json: line 1, column 1: git merge conflict markers are left in the file, expected JSON; resolve the conflict first",
    ),
    (
        "05_git-conflict-markers-info2.dat",
        "json: line 1, column 1: git merge conflict markers are left in the file, expected JSON; resolve the conflict first",
    ),
    (
        "06_git-conflict-markers-inside.dat",
        "json: line 6863, column 1: git merge conflict markers are left in the file, expected JSON; resolve the conflict first",
    ),
    ("07_hash-comments-info.dat", "json: line 18, column 3: not valid JSON: found …, expected `:`"),
    (
        "08_trailing-comma-info.dat",
        "Info 2.0.0, 127 BPM, [Easy]; 1 × trailing-comma at line 46, column 10: a trailing comma is not JSON; it was skipped",
    ),
    (
        "09_slash-slash-comments.dat",
        "level 2.0.0 notes 1290 bombs 25; 13 × comment at line 2800, column 4: a comment is not JSON; it was skipped",
    ),
    (
        "10_missing-comma-info.dat",
        "json: line 41, column 3: not valid JSON: found …, expected `,` or `]`; a comma may be missing",
    ),
    (
        "11_v4-snippet-missing-comma.dat",
        "json: line 91, column 3: not valid JSON: found …, expected `,` or `}`; a comma may be missing",
    ),
    (
        "12_two-json-documents-info.dat",
        "json: line 2, column 1: more text follows the end of the JSON document, expected one document; keep only one of them",
    ),
    (
        "13_two-json-documents-v1-info.json",
        "json: line 2, column 1: more text follows the end of the JSON document, expected one document; keep only one of them",
    ),
    (
        "14_trailing-commas-everywhere.dat",
        "level 2.0.0 notes 26 walls 5 lights 13; 1 × crlf: lines end in CR LF; 44 × trailing-comma at line 1, column 89: a trailing comma is not JSON; it was skipped",
    ),
    (
        "15_not-beat-saber-Info.dat",
        "json: line 1, column 1: the text begins with …, expected JSON; a file of that name may belong to something else",
    ),
    (
        "16_not-beat-saber-Hard.dat",
        "json: line 10, column 3: the text begins with …, expected JSON; a file of that name may belong to something else",
    ),
    (
        "17_no-version-field.dat",
        "level 2.0.0 notes 22; 1 × no-version: no version is stated; the layout was taken from the fields",
    ),
    ("18_v15-difficulty.dat", "level 1.5.0 notes 64"),
    (
        "19_string-type.dat",
        "level 2.0.0 notes 28; 28 × text-for-number at /_notes/0/_type: found the text \"1\", expected an integer; read as one",
    ),
    ("20_note-without-cutDirection.dat", "level 2.2.0 notes 984"),
    ("21_cutdirection-precision.dat", "level 2.0.0 notes 485 bombs 64 walls 222 lights 355"),
    ("22_lineindex-precision.dat", "level 2.0.0 notes 674 lights 5"),
    ("23_linelayer-out.dat", "level 2.0.0 notes 1218 walls 43 lights 1044"),
    ("24_wall-type-huge.dat", "level 2.0.0 notes 93 walls 228"),
    ("25_negative-duration-wall.dat", "level 2.2.0 notes 658 bombs 16 walls 70 lights 787"),
    ("26_zero-or-negative-width-wall.dat", "level 2.0.0 notes 236 walls 118 lights 540"),
    (
        "27_float-width-wall.dat",
        "level 2.0.0 notes 137 walls 32 lights 57; 1 × crlf: lines end in CR LF; 32 × fraction-for-integer at /_obstacles/0/_width: found 0.9, expected an integer; the fraction was dropped; 226 × trailing-comma at line 1, column 88: a trailing comma is not JSON; it was skipped",
    ),
    ("28_negative-time-notes.dat", "level 2.2.0 notes 1323 bombs 46 walls 284 lights 4142 boosts 1"),
    ("29_negative-time-events.dat", "level 2.0.0 notes 417 walls 3 lights 137"),
    ("30_unsorted-notes.dat", "level 2.0.0 notes 90 bombs 11 walls 4"),
    ("31_stacked-notes.dat", "level 2.0.0 notes 80 bombs 45 walls 1"),
    ("32_exponent-numbers.dat", "level 2.0.0 notes 93 walls 228"),
    (
        "33_v2-and-v3-merged.dat",
        "level 3.2.0 notes 1132 bombs 14 walls 2 arcs 9 chains 3 lights 143; 1 × two-versions: both `_version` and `version` are stated; the fields of version 3 were read",
    ),
    ("34_v4-omitted-fields.dat", "level 4.0.0 notes 78 bombs 63 walls 15 arcs 9"),
    ("35_v4-njsEvents.dat", "level 4.1.0 notes 1107 bombs 212 walls 1359 arcs 310 chains 7 njs 13"),
    (
        "36_lowercase-difficulty-info.dat",
        "Info 2.0.0, 123.046875 BPM, [Expert]; 1 × null-value at /_difficultyBeatmapSets/0/_difficultyBeatmaps/0/_difficultyRank: found null, expected an integer; the default was taken; 1 × difficulty-name: found difficulty \"expert\", expected \"Expert\"; read as that",
    ),
    (
        "37_wrong-rank-info.dat",
        "Info 2.6.0, 128 BPM, [Normal Hard]; 1 × difficulty-rank: found rank 6 for Hard, expected 5",
    ),
    ("38_difficulty-twice-info.dat", "Info 2.0.0, 110 BPM, [Hard Hard Expert]"),
    ("39_njs-zero-info.dat", "Info 2.0.0, 128 BPM, [Hard]"),
    (
        "40_songTimeOffset-info.dat",
        "Info 2.6.0, 128 BPM, [Normal Hard]; 1 × difficulty-rank: found rank 6 for Hard, expected 5",
    ),
    ("41_cover-case-info.dat", "Info 2.0.0, 143 BPM, [Expert]"),
    ("42_audio-renamed-info.dat", "Info 2.0.0, 93 BPM, [Expert]"),
    (
        "43_info-missing-keys.dat",
        "Info 2.0.0, 120 BPM, [Easy Normal Hard Expert ExpertPlus]; 1 × no-version: no version is stated; read as 2.0.0",
    ),
    ("44_fake-notes.dat", "level 3.3.0 notes 207 walls 28 arcs 17 fakes 23"),
    ("45_event-type-10.dat", "level 2.2.0 notes 103 lights 27"),
];
