//! Divan benchmarks of the map floor on a level made here: `cargo bench -p beatweaver-core`.
//!
//! The corpus-wide figures and the peers' are in `benchmarks/maps.py`.

use beatweaver_core::Limits;
use beatweaver_core::map::{Difficulty, Light, Note, Obstacle, read_level};
use beatweaver_core::timing::TempoMap;
use beatweaver_core::tokens::{Content, Grammar, Vocab, VocabSpec};
use divan::Bencher;
use divan::counter::BytesCount;

fn main() {
    divan::main();
}

/// A level of ordinary size: 1,000 notes, 100 walls, 2,000 light events.
fn level() -> Difficulty {
    let note = |i: i32| Note {
        beat: f64::from(i) / 2.0 + 0.125,
        x: i % 4,
        y: i % 3,
        color: i % 2,
        cut: i % 9,
        ..Note::default()
    };
    let wall = |i: i32| Obstacle {
        beat: f64::from(i) * 5.0,
        duration_beats: 1.5,
        x: i % 4,
        width: 1,
        height: 5,
        ..Obstacle::default()
    };
    let light =
        |i: i32| Light { beat: f64::from(i) / 4.0, kind: i % 5, value: i % 8, brightness: 1.0, ..Light::default() };
    Difficulty {
        notes: (0..1000).map(note).collect(),
        obstacles: (0..100).map(wall).collect(),
        lights: (0..2000).map(light).collect(),
        ..Difficulty::default()
    }
}

#[divan::bench(args = [2, 3, 4])]
fn parse(bencher: Bencher, major: u8) {
    let (bytes, _, _) = level().write(major).expect("writes");
    let limits = Limits::default();
    bencher.counter(BytesCount::of_slice(&bytes)).bench(|| read_level(&bytes, "Level.dat", &limits).expect("reads"));
}

#[divan::bench(args = [2, 3, 4])]
fn write(bencher: Bencher, major: u8) {
    let level = level();
    bencher.bench(|| level.write(major).expect("writes"));
}

#[divan::bench(args = [Content::Notes, Content::Full, Content::Lights])]
fn encode(bencher: Bencher, content: Content) {
    let (level, vocab) = (level(), Vocab::new(&VocabSpec::new(content)).expect("vocab"));
    bencher.bench(|| vocab.encode(&level, 9, 0.0, f64::INFINITY));
}

#[divan::bench]
fn grammar_step_of_eight(bencher: Bencher) {
    let vocab = Vocab::new(&VocabSpec::new(Content::Full)).expect("vocab");
    let tokens = vocab.encode(&level(), 9, 0.0, f64::INFINITY).tokens;
    let mut out = vec![false; 8 * vocab.size()];
    let mut grammar = Grammar::new(&vocab, 8);
    let mut next = tokens.iter().cycle();
    bencher.bench_local(|| {
        let token = *next.next().expect("endless");
        if token == beatweaver_core::tokens::START {
            (0..8).for_each(|row| grammar.reset(row).expect("row"));
        }
        grammar.push(&[token; 8]).expect("follows");
        grammar.mask(&mut out).expect("fits");
    });
}

#[divan::bench]
fn seconds_of_a_thousand_beats(bencher: Bencher) {
    let clock = TempoMap::from_events(120.0, (0..50).map(|i| (f64::from(i) * 10.0, 100.0 + f64::from(i))), 0.0);
    let clock = clock.expect("clock");
    bencher.bench(|| (0..1000).map(|i| clock.seconds(f64::from(i) / 2.0)).sum::<f64>());
}
