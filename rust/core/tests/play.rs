//! Play over the human-made levels of the corpus, and over what is composed at random under the masks.
#![allow(clippy::print_stdout)]

#[path = "common/mod.rs"]
mod common;

use std::collections::BTreeMap;
use std::time::Instant;

use beatweaver_core::Limits;
use beatweaver_core::map::pack::Pack;
use beatweaver_core::map::{Category, Song};
use beatweaver_core::play::{Flow, Parities, Preset, check, facts};
use serde_json::Value;

/// Per 1,000 swings of one level: resets, broken and strained swings.
fn per_thousand(view: &Parities) -> [f64; 3] {
    let count = |n: usize| n as f64 * 1000.0 / view.flow.len() as f64;
    let flows = |flow: Flow| view.flow.iter().filter(|f| **f == flow).count();
    [count(view.reset.iter().filter(|r| **r).count()), count(flows(Flow::Broken)), count(flows(Flow::Strained))]
}

fn quantile(values: &mut [f64], q: f64) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(((values.len() as f64 - 1.0) * q).round() as usize).copied().unwrap_or(f64::NAN)
}

/// Every pack is read and judged; human levels hardly ever break parity.
#[test]
fn human_levels_flow() {
    let Some(root) = common::shared() else { return };
    let manifest: Vec<Value> =
        serde_json::from_slice(&std::fs::read(root.join("corpus/manifest.json")).expect("manifest")).expect("JSON");
    assert_eq!(manifest.len(), 476);
    let limits = Limits::default();
    let (mut levels, mut swings, mut seconds) = (0, 0, 0.0);
    let mut rates: [[Vec<f64>; 3]; 2] = Default::default();
    let (mut reach, mut bpm) = (Vec::new(), Vec::new());
    let mut rules: BTreeMap<(&str, &str), (u64, u64)> = BTreeMap::new();
    for row in &manifest {
        let path = root.join("corpus").join(row["file"].as_str().expect("file"));
        let pack = Pack::open(&path, &limits).expect("opens");
        let start = Instant::now();
        let found = check(&pack, &limits, Preset::Default).expect("reads");
        seconds += start.elapsed().as_secs_f64();
        let mut counts: BTreeMap<(&str, &str), u64> = BTreeMap::new();
        for finding in &found {
            assert!(!finding.message.is_empty() && finding.count == 1, "{finding:?}");
            *counts.entry((finding.severity.as_str(), finding.rule)).or_default() += 1;
        }
        for (rule, count) in counts {
            let entry = rules.entry(rule).or_default();
            *entry = (entry.0 + 1, entry.1 + count);
        }
        for preset in Preset::ALL {
            let again = check(&pack, &limits, preset).expect("reads");
            assert!(preset != Preset::Default || again == found, "the same level is judged in two ways");
        }
        let song = Song::read_maps(&pack, &limits).expect("reads");
        for level in &song.levels {
            let (Ok(d), Category::Vanilla | Category::Chroma) = (&level.level, level.category()) else { continue };
            let (Ok(clock), "Standard") = (song.clock(d), level.info.characteristic.as_str()) else { continue };
            let facts = facts(d, &clock);
            if facts.len() < 100 {
                continue;
            }
            levels += 1;
            swings += facts.len();
            for (view, rates) in [&facts.wrist, &facts.alternation].into_iter().zip(&mut rates) {
                assert_eq!(view.flow.len(), facts.len());
                for (value, rates) in per_thousand(view).into_iter().zip(rates) {
                    rates.push(value);
                }
            }
            for i in 0..facts.len() {
                if facts.gap_s[i].is_finite() && facts.gap_s[i] > 0.0 {
                    reach.push(facts.distance[i] / facts.gap_s[i]);
                    bpm.push(facts.effective_bpm[i]);
                }
            }
        }
    }
    println!("{levels} levels, {swings} swings; {:.0} packs/s on one core", manifest.len() as f64 / seconds);
    for (name, rates) in ["wrist", "alternation"].iter().zip(&mut rates) {
        for (what, rates) in ["resets", "broken", "strained"].iter().zip(rates) {
            let [low, median, high] = [0.25, 0.5, 0.75].map(|q| quantile(rates, q));
            let mean = rates.iter().sum::<f64>() / rates.len() as f64;
            println!("{name:12} {what:9} per 1,000 swings: quartiles {low:.1} {median:.1} {high:.1}, mean {mean:.1}");
        }
    }
    let [p50, p99, p999] = [0.5, 0.99, 0.999].map(|q| quantile(&mut reach, q));
    println!("cells/s: {p50:.1} {p99:.1} {p999:.1}");
    let [p50, p99, p999] = [0.5, 0.99, 0.999].map(|q| quantile(&mut bpm, q));
    println!("effective BPM: {p50:.1} {p99:.1} {p999:.1}");
    for ((severity, rule), (packs, all)) in &rules {
        println!("{severity:8} {rule:22} {packs:4} packs {all:7} findings");
    }
}
