//! The reader against real maps. Needs the corpus; without it every test here says so and passes over.

#![allow(clippy::print_stdout)] // What was counted belongs to the result.

mod common;

use beatweaver_core::Limits;
use beatweaver_core::map::Song;
use beatweaver_core::map::pack::Pack;
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
