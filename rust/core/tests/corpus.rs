//! The reader against real maps. Needs the corpus; without it every test here says so and passes over.

#![allow(clippy::print_stdout)] // What was counted belongs to the result.

mod common;

use std::collections::BTreeMap;

use beatweaver_core::Limits;
use beatweaver_core::map::pack::Pack;
use beatweaver_core::map::{Info, Song, Version, read_level, read_text};
use common::shared;
use serde_json::Value;

fn manifest(root: &std::path::Path) -> Vec<Value> {
    let text = std::fs::read(root.join("corpus/manifest.json")).expect("manifest");
    serde_json::from_slice(&text).expect("manifest is JSON")
}

/// Where the manifest's reader and this one differ, the manifest's is wrong in one of three ways, each checked here:
/// it counts objects that a mod marks as fake, it knows no version where a file states none, and it has no counts for
/// levels whose file is missing.
#[test]
fn counts_equal_the_manifest() {
    let Some(root) = shared() else { return };
    let limits = Limits::default();
    let (mut levels, mut with_fakes, mut missing, mut unversioned) = (0, 0, 0, 0);
    for row in manifest(&root) {
        let path = root.join("corpus").join(row["file"].as_str().expect("file"));
        let pack = Pack::open(&path, &limits).expect("pack opens");
        let song = Song::read(&pack, &limits).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
        let wanted = row["difficulties"].as_array().expect("difficulties");
        assert_eq!(song.levels.len(), wanted.len(), "{}", path.display());
        for want in wanted {
            levels += 1;
            let text = |key: &str| want[key].as_str().unwrap_or_default();
            let found = song.levels.iter().find(|l| {
                (l.info.characteristic.as_str(), l.info.difficulty.as_str(), l.info.file.as_str())
                    == (text("characteristic"), text("difficulty"), text("file"))
            });
            let id = format!("{} {} {}", row["id"], text("characteristic"), text("difficulty"));
            let d = match &found.unwrap_or_else(|| panic!("{id} not found")).level {
                Ok(d) => d,
                Err(error) => {
                    assert!(want["notes"].is_null() && error.to_string().contains("not in the pack"), "{id}: {error}");
                    missing += 1;
                    continue;
                }
            };
            let fakes = [d.fakes.notes.len(), d.fakes.bombs.len(), d.fakes.obstacles.len(), 0, d.fakes.chains.len()];
            let counts = [d.notes.len(), d.bombs.len(), d.obstacles.len(), d.arcs.len(), d.chains.len()];
            for (i, name) in ["notes", "bombs", "walls", "arcs", "chains"].into_iter().enumerate() {
                let want = want[name].as_u64().expect(name) as usize;
                assert!(counts[i] == want || counts[i] + fakes[i] == want, "{id}: {name} {} for {want}", counts[i]);
            }
            with_fakes += u32::from(fakes.iter().any(|&f| f > 0));
            // Before version 3 boosts, rotations and tempo changes are basic events as well.
            let special = d.boosts.len() + d.rotations.len() + d.tempo.len();
            let events = d.lights.len() + if d.version.major < 3 { special } else { 0 };
            assert_eq!(want["basic_events"].as_u64(), Some(events as u64), "{id}: events");
            if text("format_version").starts_with("none") {
                assert!(found.is_some_and(|l| l.warnings.iter().any(|w| w.rule == "no-version")), "{id}");
                unversioned += 1;
            } else {
                assert_eq!(text("format_version"), d.version.to_string(), "{id}");
            }
            let last = d.notes.last().map(|n| song.clock(d).expect("clock").seconds(n.beat));
            if let (Some(want), Some(got)) = (want["last_note_s"].as_f64(), last) {
                assert!((want - got).abs() < 0.002, "{id}: last note at {got}, manifest {want}");
            }
        }
    }
    println!("{levels} levels: {with_fakes} with fakes, {missing} missing, {unversioned} without a version");
}

// --------------------------------------------------------------------------- every level from and to its own version

/// How a source says something that the written file says otherwise, with the same meaning. Each is checked where it is
/// seen, counted, and the only way in which a member of a source may be missing.
#[derive(Default)]
struct Differences(BTreeMap<&'static str, (u64, String)>);

impl Differences {
    fn add(&mut self, rule: &'static str, example: impl FnOnce() -> String) {
        self.0.entry(rule).or_insert_with(|| (0, example())).0 += 1;
    }
}

fn number(value: &Value) -> Option<f64> {
    match value {
        Value::Bool(on) => Some(f64::from(u8::from(*on))),
        Value::String(text) => text.trim().parse().ok(),
        other => other.as_f64(),
    }
}

/// The beat of a row, whatever the version calls it.
fn beat(row: &Value) -> f64 {
    let key = ["_time", "_headTime", "hb", "b"].into_iter().find(|k| row.get(k).is_some());
    key.and_then(|k| number(&row[k])).unwrap_or(0.0) + 0.0
}

/// Whether everything that `source` says is in `out`; what is not, or differs, goes to `missing` with its path.
fn compare(source: &Value, out: &Value, path: &str, missing: &mut Vec<String>, seen: &mut Differences) {
    match (source, out) {
        (Value::Object(members), Value::Object(_)) => {
            for (key, value) in members {
                match out.get(key) {
                    Some(other) if other == value => {}
                    Some(other) => compare(value, other, &format!("{path}/{key}"), missing, seen),
                    None => missing.push(format!("{path}/{key} is gone")),
                }
            }
        }
        (Value::Array(rows), Value::Array(others)) if others.iter().all(Value::is_object) && !others.is_empty() => {
            rows_of(rows, others, path, missing, seen);
        }
        (Value::Array(items), Value::Array(others)) => {
            if items.len() != others.len() {
                missing.push(format!("{path} has {} items for {}", others.len(), items.len()));
            }
            for (item, other) in items.iter().zip(others) {
                compare(item, other, &format!("{path}/*"), missing, seen);
            }
        }
        (a, b) if a == b => {}
        (Value::Number(a), Value::Number(b)) if a.as_f64() == b.as_f64() => {}
        (Value::Number(a), Value::Number(b)) if a.as_f64().map(f64::trunc) == b.as_f64() => {
            seen.add("a fraction is dropped where the game has whole numbers", || format!("{path}: {a} is {b}"));
        }
        (Value::String(a), Value::Number(_)) if number(source) == number(out) => {
            seen.add("a number in quotes is written without them", || format!("{path}: {a:?}"));
        }
        (Value::Bool(_) | Value::Number(_), Value::Bool(_) | Value::Number(_)) if number(source) == number(out) => {
            seen.add("a flag is written as its version writes flags", || format!("{path}: {source} is {out}"));
        }
        (Value::Null, _) => seen.add("null is written as the default", || format!("{path}: {out}")),
        _ => missing.push(format!("{path}: found {out}, expected {source}")),
    }
}

/// Rows of a list in any order within a beat: version 2 has several kinds in one list.
fn rows_of(rows: &[Value], others: &[Value], path: &str, missing: &mut Vec<String>, seen: &mut Differences) {
    fn sorted(rows: &[Value]) -> Vec<(f64, &Value)> {
        let mut rows: Vec<_> = rows.iter().filter(|r| !r.is_null()).map(|r| (beat(r), r)).collect();
        rows.sort_by(|a, b| a.0.total_cmp(&b.0));
        rows
    }
    let nulls = rows.iter().filter(|r| r.is_null()).count();
    (0..nulls).for_each(|_| seen.add("null rows are left out", || path.to_owned()));
    let (rows, others) = (sorted(rows), sorted(others));
    if rows.len() != others.len() {
        missing.push(format!("{path} has {} rows for {}", others.len(), rows.len()));
        return;
    }
    let mut from = 0;
    let path = format!("{path}/*");
    for group in rows.chunk_by(|a, b| a.0 == b.0) {
        let mut left: Vec<&Value> = others[from..from + group.len()].iter().map(|r| r.1).collect();
        from += group.len();
        for (_, row) in group {
            let found = left.iter().position(|other| {
                let mut none = Vec::new();
                compare(row, other, "", &mut none, &mut Differences::default());
                none.is_empty()
            });
            let other = left.remove(found.unwrap_or(0));
            compare(row, other, &path, missing, seen);
        }
    }
}

/// A file of version 4 with the shared entries in place of the indices that point to them.
fn resolved(file: &Value) -> Value {
    const LISTS: [(&str, &[(&str, &str)]); 11] = [
        ("colorNotes", &[("i", "colorNotesData")]),
        ("bombNotes", &[("i", "bombNotesData")]),
        ("obstacles", &[("i", "obstaclesData")]),
        ("arcs", &[("hi", "colorNotesData"), ("ti", "colorNotesData"), ("ai", "arcsData")]),
        ("chains", &[("i", "colorNotesData"), ("ci", "chainsData")]),
        ("spawnRotations", &[("i", "spawnRotationsData")]),
        ("njsEvents", &[("i", "njsEventData")]),
        ("basicEvents", &[("i", "basicEventsData")]),
        ("colorBoostEvents", &[("i", "colorBoostEventsData")]),
        ("waypoints", &[("i", "waypointsData")]),
        ("eventBoxGroups", &[]),
    ];
    const BOXES: [(&str, &str); 4] = [
        ("lightColorEventBoxes", "lightColorEvents"),
        ("lightRotationEventBoxes", "lightRotationEvents"),
        ("lightTranslationEventBoxes", "lightTranslationEvents"),
        ("fxEventBoxes", "floatFxEvents"),
    ];
    let entry = |row: &Value, key: &str, list: &str| {
        let index = row.get(key).and_then(Value::as_u64).unwrap_or(0) as usize;
        file.get(list).and_then(|l| l.get(index)).cloned().unwrap_or_else(|| serde_json::json!({}))
    };
    let mut out = file.clone();
    for (list, keys) in LISTS {
        for row in out.get_mut(list).and_then(Value::as_array_mut).into_iter().flatten() {
            for (key, data) in keys {
                row[*key] = entry(row, key, data);
            }
            if list == "eventBoxGroups" {
                let (boxes, events) = BOXES[(row["t"].as_u64().unwrap_or(1) as usize).clamp(1, 4) - 1];
                for part in row["e"].as_array_mut().into_iter().flatten() {
                    part["f"] = entry(part, "f", "indexFilters");
                    part["e"] = entry(part, "e", boxes);
                    part["l"].as_array_mut().into_iter().flatten().for_each(|e| e["i"] = entry(e, "i", events));
                }
            }
        }
    }
    // What nothing points to means nothing.
    let shared = LISTS.iter().flat_map(|l| l.1).map(|k| k.1).chain(BOXES.iter().flat_map(|b| [b.0, b.1]));
    let members = out.as_object_mut().expect("an object");
    shared.chain(["indexFilters"]).for_each(|name| drop(members.remove(name)));
    out
}

/// The source in the layout that is written for it, where the layouts differ: version 1 and 2 become 2.6.
fn as_written(mut source: Value, version: Version, seen: &mut Differences) -> Value {
    for key in ["version", "_version"] {
        source.as_object_mut().expect("an object").remove(key);
    }
    let old = (version.major, version.minor) < (2, 5);
    let number = |row: &Value, key: &str| row.get(key).and_then(number);
    for wall in source.get_mut("_obstacles").and_then(Value::as_array_mut).into_iter().flatten() {
        let stated = wall.get("_lineLayer").is_some() || wall.get("_height").is_some();
        if wall.is_object() && number(wall, "_type") != Some(2.0) && stated {
            seen.add("row and height of a wall whose type says both are those of the type", || wall.to_string());
            let members = wall.as_object_mut().expect("an object");
            members.remove("_lineLayer");
            members.remove("_height");
        }
    }
    for event in source.get_mut("_events").and_then(Value::as_array_mut).into_iter().flatten() {
        let kind = number(event, "_type").unwrap_or(0.0);
        let value = number(event, "_value").unwrap_or(0.0);
        let float = number(event, "_floatValue");
        if kind == 10.0 && old && (13.0..2e9).contains(&value) {
            seen.add("a tempo as event type 10 of old files is one of type 100", || event.to_string());
            (event["_type"], event["_value"], event["_floatValue"]) = (100.into(), 0.into(), value.into());
        } else if kind == 100.0 && value > 12.0 && float.is_none_or(|f| f == 0.0 || f == 1.0) {
            seen.add("a tempo in the value of event type 100 is in its float", || event.to_string());
            (event["_value"], event["_floatValue"]) = (0.into(), value.into());
        } else if [5.0, 14.0, 15.0].contains(&kind) && float == Some(0.0) {
            seen.add("the float of an event that has no brightness is 1", || event.to_string());
            event["_floatValue"] = 1.into();
        }
        let steps = [-60.0, -45.0, -30.0, -15.0, 15.0, 30.0, 45.0, 60.0];
        if let Some(step) = steps.iter().position(|s| [14.0, 15.0].contains(&kind) && *s == value - 1360.0) {
            seen.add("a turn in degrees that has a number of its own is written as that", || event.to_string());
            event["_value"] = step.into();
        }
    }
    source
}

/// Parse, write in the same version, parse: equal, for every level; and every member of the source file is in the
/// written one, but for what [`as_written`] and [`compare`] name.
#[test]
fn every_level_comes_back_from_its_own_version() {
    let Some(root) = shared() else { return };
    let limits = Limits::default();
    let (mut levels, mut unreadable) = (0, 0);
    let (mut seen, mut missing) = (Differences::default(), Vec::new());
    for path in common::corpus_packs(&root) {
        let pack = Pack::open(&path, &limits).expect("pack opens");
        let song = Song::read_maps(&pack, &limits).expect("song reads");
        for level in &song.levels {
            let Ok(d) = &level.level else {
                unreadable += 1;
                continue;
            };
            levels += 1;
            let id = format!("{} {}", path.display(), level.info.file);
            let major = d.version.major.max(2);
            let (file, lights, lost) = d.write(major).expect("writes");
            assert_eq!(lost, [], "{id}");
            let (mut back, _) = read_level(&file, "level.dat", &limits).expect("reads back");
            if let Some(lights) = &lights {
                back.add_lightshow(lights, "lights.dat", &limits).expect("reads back");
            }
            back.version = d.version;
            assert!(back == *d, "{id} does not come back");

            let value = |bytes: &[u8]| {
                let (text, _) = read_text(bytes, "", &limits).expect("text");
                serde_json::from_str::<Value>(&text).ok()
            };
            let source = |name: &str| value(&pack.read(name).expect("file"));
            let mut gone = Vec::new();
            // Files with comments or trailing commas are read, but not by the strict reader of this test.
            let Some(said) = source(&level.info.file) else {
                seen.add("what is no JSON is left out", || id.clone());
                continue;
            };
            let said = as_written(said, d.version, &mut seen);
            let written = value(&file).expect("JSON");
            if major == 4 {
                compare(&resolved(&said), &resolved(&written), "", &mut gone, &mut seen);
                let mut said = source(&level.info.lightshow_file).expect("light show");
                said.as_object_mut().expect("an object").remove("version");
                let written = value(&lights.expect("light show")).expect("JSON");
                compare(&resolved(&said), &resolved(&written), "", &mut gone, &mut seen);
            } else {
                compare(&said, &written, "", &mut gone, &mut seen);
            }
            missing.extend(gone.into_iter().take(3).map(|what| format!("{id}: {what}")));
        }
    }
    println!("{levels} levels come back, {unreadable} could not be read");
    for (rule, (count, example)) in &seen.0 {
        println!("{count:6} × {rule}, for example {example}");
    }
    assert!(missing.is_empty(), "{} differences:\n{}", missing.len(), missing[..missing.len().min(40)].join("\n"));
}

/// Every pack as another version (each target in turn): the same notes at the same seconds, or a loss that says why not;
/// and its Info in its own version, unchanged.
#[test]
fn every_pack_converts_with_its_notes_and_seconds() {
    let Some(root) = shared() else { return };
    let limits = Limits::default();
    let (mut levels, mut notes, mut excused) = (0, 0, BTreeMap::<String, u64>::new());
    for (i, path) in common::corpus_packs(&root).iter().enumerate() {
        let id = path.display();
        let pack = Pack::open(path, &limits).expect("pack opens");
        let bytes = pack.read(pack.info_name()).expect("Info");
        let (info, _) = Info::read(&bytes, "Info.dat", &limits).expect("Info reads");
        let (mut back, _) =
            Info::read(&info.write(info.version.major.max(2)), "Info.dat", &limits).expect("reads back");
        back.version = info.version;
        for (now, before) in back.difficulties.iter_mut().zip(&info.difficulties) {
            // Version 1 names the audio file for each level.
            now.audio_file.clone_from(&before.audio_file);
        }
        assert_eq!(back, info, "{id}");

        let song = Song::read_maps(&pack, &limits).expect("song reads");
        let major = 2 + (i % 3) as u8;
        let (files, lost) = song.write(major).unwrap_or_else(|e| panic!("{id}: {e}"));
        let now = common::read_song(&files);
        let readable: Vec<_> = song.levels.iter().filter_map(|l| Some((&l.info, l.level.as_ref().ok()?))).collect();
        // An Info that mixes characteristics is put in their order.
        assert_eq!(now.levels.len(), readable.len(), "{id}");
        for (entry, before) in readable {
            levels += 1;
            let same = |l: &&beatweaver_core::map::Level| {
                l.info.characteristic == entry.characteristic && l.info.difficulty == entry.difficulty
            };
            let level = now.levels.iter().find(same).expect("the level").level.as_ref().expect("reads");
            let name = format!("{} {}", entry.characteristic, entry.difficulty);
            let mut told = lost.iter().filter(|l| l.0.is_empty() || l.0 == name).map(|l| l.1.what.as_str());
            let excuse = told.find(|what| {
                ["tempo changes", "time of beat 0", "notes of a colour"].iter().any(|start| what.starts_with(start))
            });
            if let Some(what) = excuse {
                *excused.entry(what.to_owned()).or_default() += 1;
                continue;
            }
            assert_eq!(level.notes.len(), before.notes.len(), "{id} {name}");
            let (clock, old) = (now.clock(level).expect("clock"), song.clock(before).expect("clock"));
            for (a, b) in level.notes.iter().zip(&before.notes) {
                notes += 1;
                assert_eq!((a.beat, a.x, a.y, a.color, a.cut), (b.beat, b.x, b.y, b.color, b.cut), "{id} {name}");
                let (a, b) = (clock.seconds(a.beat), old.seconds(b.beat));
                assert!((a - b).abs() < 0.001, "{id} {name}: {a} s for {b} s");
            }
        }
    }
    println!("{levels} levels, {notes} notes; left out for a reported loss: {excused:?}");
}
