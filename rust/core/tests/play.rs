//! Play over the human-made levels of the corpus, and over what is composed at random under the masks.
#![allow(clippy::print_stdout)]

#[path = "common/mod.rs"]
mod common;

use std::collections::BTreeMap;
use std::time::Instant;

use beatweaver_core::Limits;
use beatweaver_core::map::pack::Pack;
use beatweaver_core::map::rules::{Finding, Severity};
use beatweaver_core::map::{Category, Difficulty, DifficultyInfo, Note, Song};
use beatweaver_core::play::{
    CHOICES, Choice, Context, Flow, Hand, Parities, Preset, Reasons, Setup, State, check, facts, problems, reaction_s,
};
use beatweaver_core::timing::TempoMap;
use beatweaver_core::tokens::{Content, Kind, Vocab, VocabSpec};
use proptest::prelude::*;
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
    // Half of the levels break parity in less than 5 % of their swings, in both models.
    assert!(rates.iter_mut().all(|rates| quantile(&mut rates[1], 0.5) < 50.0));
    let [p50, p99, p999] = [0.5, 0.99, 0.999].map(|q| quantile(&mut reach, q));
    println!("cells/s: {p50:.1} {p99:.1} {p999:.1}");
    let [p50, p99, p999] = [0.5, 0.99, 0.999].map(|q| quantile(&mut bpm, q));
    println!("effective BPM: {p50:.1} {p99:.1} {p999:.1}");
    for ((severity, rule), (packs, all)) in &rules {
        println!("{severity:8} {rule:22} {packs:4} packs {all:7} findings");
    }
}

/// Numbers that look random, the same for the same seed.
struct Draw(u64);

impl Draw {
    fn below(&mut self, end: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        ((self.0 >> 33) as usize) % end
    }
}

/// A level of random choices among those allowed, and how many moments had none.
fn composed(seed: u64, clock: &TempoMap, setup: Setup, moments: usize) -> (Difficulty, usize) {
    let mut draw = Draw(seed);
    let mut state = State::new(clock.clone(), setup).expect("state");
    let (mut level, mut tick, mut empty) = (Difficulty::default(), 192usize, 0);
    let mut mask = [false; CHOICES];
    for _ in 0..moments {
        // From streams of 1/48 beat to pauses.
        tick += [1, 2, 3, 6, 12, 12, 24, 24, 48, 96][draw.below(10)];
        let beat = tick as f64 / 48.0;
        let hands = match draw.below(3) {
            0 => vec![Hand::Left],
            1 => vec![Hand::Right],
            _ => vec![Hand::Left, Hand::Right],
        };
        let mut before: Option<(State, Choice)> = None;
        for hand in hands {
            let allowed = state.mask(hand, beat, &mut mask);
            assert_eq!(allowed, mask.iter().filter(|a| **a).count());
            if let Some((alone, taken)) = &before {
                let mut beside = [false; CHOICES];
                assert_eq!((alone.mask_beside(hand, beat, *taken, &mut beside), beside), (allowed, mask));
            }
            if allowed == 0 {
                empty += 1;
                continue;
            }
            let nth = draw.below(allowed);
            let index = (0..CHOICES).filter(|&i| mask[i]).nth(nth).expect("allowed");
            let choice = Choice::at(index).expect("on the grid");
            before = Some((state.clone(), choice));
            state.push(hand, beat, choice).expect("follows");
            let [x, y, cut] = [choice.x, choice.y, choice.cut].map(i32::from);
            level.notes.push(Note { beat, x, y, color: hand as i32, cut, ..Note::default() });
        }
    }
    (level, empty)
}

proptest! {
    #![proptest_config(common::config(96))]

    /// What is composed under the masks breaks parity in neither model and has no error of play, nor anything else that was
    /// to be avoided.
    #[test]
    fn what_the_masks_allow_is_not_found_fault_with(
        seed in any::<u64>(), bpm in 60.0..240.0f64, njs in 4.0..24.0f64, rank in 0..5i32, later in prop::option::of(60.0..240.0f64),
    ) {
        let clock = TempoMap::from_events(bpm, later.map(|bpm| (10.0, bpm)), 0.0).expect("tempo");
        // The limits of speed follow the slowest tempo, so that is the song's.
        let bpm = later.map_or(bpm, |later| later.min(bpm));
        let info = DifficultyInfo { characteristic: "Standard".into(), difficulty: "Hard".into(), rank: rank * 2 + 1, njs, ..DifficultyInfo::default() };
        let setup = Setup { rank: info.rank, njs, reaction_s: reaction_s(njs, 0.0, bpm), bpm: None, avoid: Reasons::HARD };
        let (level, _) = composed(seed, &clock, setup, 120);
        prop_assume!(level.notes.iter().any(|n| n.color == 0) && level.notes.iter().any(|n| n.color == 1));
        let facts = facts(&level, &clock);
        for view in [&facts.wrist, &facts.alternation] {
            prop_assert!(view.flow.iter().all(|flow| *flow != Flow::Broken), "{:?}", level.notes);
            prop_assert!(view.reset.iter().all(|reset| !reset));
        }
        let context = Context { info: &info, bpm, clock: &clock, duration_s: None };
        let found = problems(&level, &facts, Preset::Default, &context);
        let avoided = |f: &&Finding| f.severity == Severity::Error || Reasons::named(f.rule).is_some_and(|r| Reasons::HARD.has(r));
        prop_assert_eq!(found.iter().find(avoided), None, "{:?}", level.notes);
    }
}

/// How often a hand that is told to play anywhere finds nothing allowed: the figure is for docs/experiments.md.
#[test]
fn masks_leave_something_to_choose() {
    let clock = TempoMap::constant(160.0, 0.0).expect("tempo");
    let mut shares = Vec::new();
    for avoid in [Reasons::HARD, Reasons::PARITY_BREAK | Reasons::PARITY_FLOW] {
        let setup = Setup { rank: 9, njs: 16.0, reaction_s: 0.5, bpm: None, avoid };
        let (notes, empty) = (0..20)
            .map(|seed| composed(seed, &clock, setup, 200))
            .fold((0, 0), |sum, (level, empty)| (sum.0 + level.notes.len(), sum.1 + empty));
        let share = empty as f64 / (notes + empty) as f64;
        println!("nothing allowed in {:.1} % of {} asked", share * 100.0, notes + empty);
        shares.push(share);
    }
    assert!(shares[0] < 0.5 && shares[1] < shares[0], "{shares:?}");
}

/// The numbers of choices are those of the tokens LEFT and RIGHT.
#[test]
fn choices_are_numbered_as_tokens() {
    let vocab = Vocab::new(&VocabSpec::new(Content::Notes)).expect("vocab");
    for (color, kind) in [(0, Kind::Left), (1, Kind::Right)] {
        assert_eq!(vocab.range(kind).len(), CHOICES);
        for index in 0..CHOICES {
            let choice = Choice::at(index).expect("on the grid");
            let [x, y, cut] = [choice.x, choice.y, choice.cut].map(i32::from);
            let level = Difficulty {
                notes: vec![Note { beat: 4.0, x, y, color, cut, ..Note::default() }],
                ..Difficulty::default()
            };
            let id = vocab.range(kind).start + index as u16;
            assert!(vocab.encode(&level, 9, 0.0, f64::INFINITY).tokens.contains(&id), "{choice:?}");
        }
    }
}
