//! Every human-made map of the corpus is opened and checked; nothing may panic, and what an independent reader wrote
//! down about the maps must hold here too. Skipped, with the reason, where the corpus is absent.
#![allow(clippy::print_stdout)]

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Instant;

use beatweaver_core::Limits;
use beatweaver_core::map::pack::Pack;
use beatweaver_core::map::rules::{Finding, Severity, check_upload};
use serde_json::Value;

fn shared() -> Option<PathBuf> {
    let path = std::env::var_os("BEATWEAVER_CORPUS")
        .map_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../../shared"), PathBuf::from);
    if path.join("corpus/manifest.json").is_file() {
        return Some(path);
    }
    println!(
        "skipped: there is no corpus at {}; set BEATWEAVER_CORPUS to the folder that holds corpus/",
        path.display()
    );
    None
}

/// Oddities the manifest notes, in its words, and the rules one of which must then have spoken.
const ORACLE: &[(&str, &[&str])] = &[
    ("notes stacked on same beat+cell", &["stacked-objects"]),
    ("note._lineIndex out of 0..3", &["off-grid"]),
    ("note._lineLayer out of 0..2", &["off-grid"]),
    ("note._cutDirection out of 0..8", &["cut-direction", "precision-direction"]),
    ("note at negative time", &["beat-outside-song", "object-before-start"]),
    ("no version field", &["missing-field"]),
];

#[test]
fn every_map_is_checked() {
    let Some(shared) = shared() else { return };
    let manifest: Vec<Value> =
        serde_json::from_slice(&std::fs::read(shared.join("corpus/manifest.json")).unwrap()).unwrap();
    assert_eq!(manifest.len(), 476);
    // Per rule: maps with it, and findings in all.
    let mut rules: BTreeMap<(Severity, &str), (u64, u64)> = BTreeMap::new();
    let (mut clean, mut bytes, mut renamed, mut agreed) = (0, 0, 0, 0);
    let start = Instant::now();
    for row in &manifest {
        let id = row["id"].as_str().unwrap();
        let path = shared.join("corpus").join(row["file"].as_str().unwrap());
        let pack = Pack::open(&path, &Limits::default()).unwrap_or_else(|error| panic!("{id}: {error}"));
        bytes += pack.archive_bytes().unwrap();
        let info = pack.info_name().to_lowercase();
        let v1 = row["info_version"] == "1.x (info.json)";
        assert_eq!(info, if v1 { "info.json" } else { "info.dat" }, "{id}");
        let findings = check_upload(&pack).unwrap_or_else(|error| panic!("{id}: {error}"));
        let errors = findings.iter().filter(|finding| finding.severity == Severity::Error).count();
        // The corpus leaves covers, icons and most audio out.
        let left_out = ["audio-missing", "cover-missing", "icon-missing"];
        let others = |finding: &&Finding| finding.severity == Severity::Error && !left_out.contains(&finding.rule);
        clean += u64::from(findings.iter().filter(others).count() == 0);
        assert_eq!(v1, findings.iter().any(|finding| finding.rule == "v1-not-uploadable"), "{id}");
        if v1 {
            assert_eq!(errors, 1, "{id}: {findings:#?}");
        } else {
            // Audio the independent reader could measure is there and real, or lies under another name than Info's.
            let bad = ["audio-missing", "audio-not-ogg-vorbis", "audio-empty"];
            let silent = findings.iter().any(|finding| bad.contains(&finding.rule));
            if silent && !row["audio_seconds"].is_null() {
                let stray = findings.iter().any(|finding| {
                    finding.rule == "file-unreferenced"
                        && (finding.file.ends_with("egg") || finding.file.ends_with("ogg"))
                });
                assert!(stray, "{id}: {findings:#?}");
                renamed += 1;
            }
            assert!(silent || !row["audio_seconds"].is_null(), "{id}: audio nobody else found");
            for map in row["difficulties"].as_array().unwrap() {
                let odd = |text: &str| map["oddities"].get(text).is_some();
                let found = |rule: &str| {
                    findings.iter().any(|finding| finding.rule == rule && finding.file == map["file"].as_str().unwrap())
                };
                for (text, rules) in ORACLE {
                    if odd(text) && row["mods"]["required"].as_array().is_some_and(Vec::is_empty) {
                        assert!(rules.iter().any(|rule| found(rule)), "{id} {}: {text}", map["file"]);
                        agreed += 1;
                    }
                }
            }
        }
        let mut counts: BTreeMap<(Severity, &str), u64> = BTreeMap::new();
        for finding in &findings {
            *counts.entry((finding.severity, finding.rule)).or_default() += finding.count;
        }
        for (rule, count) in counts {
            let (maps, all) = rules.entry(rule).or_default();
            *maps += 1;
            *all += count;
        }
    }
    let seconds = start.elapsed().as_secs_f64();
    println!(
        "{} maps, {:.1} MB zipped, {clean} without an error but for media the corpus leaves out, {seconds:.2} s, {:.0} maps/s on one core",
        manifest.len(),
        bytes as f64 / 1e6,
        manifest.len() as f64 / seconds
    );
    println!("audio under another name in {renamed} maps; {agreed} oddities of the manifest found again");
    for ((severity, rule), (maps, all)) in &rules {
        println!("{:8} {rule:28} {maps:4} maps {all:7} findings", severity.as_str());
    }
    assert!(agreed > 20, "{agreed}");
    assert_eq!(rules[&(Severity::Error, "v1-not-uploadable")].0, 9);
}
