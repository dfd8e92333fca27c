//! Tokens against slow, plain re-implementations, under random input, and over the corpus.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::PathBuf;

use beatweaver_core::map::pack::Pack;
use beatweaver_core::map::{Arc, Bomb, Boost, Chain, Difficulty, Extra, Light, Note, Obstacle, Song, read_level};
use beatweaver_core::tokens::{
    BARS_MAX, Content, END, EVENTS_PER_ONSET_MAX, Encoded, Grammar, Kind, PAD, START, Vocab, VocabSpec, check_tokens,
};
use beatweaver_core::{Error, Limits};
use proptest::prelude::*;
use serde_json::{Value, json};

const OPEN: f64 = f64::INFINITY;

fn vocab(content: Content) -> Vocab {
    Vocab::new(&VocabSpec::new(content)).expect("a valid spec")
}

fn all() -> [Vocab; 3] {
    [Content::Notes, Content::Full, Content::Lights].map(vocab)
}

/// Tokens by their names: `names(&v, "START|DIFFICULTY Easy|…")`.
fn ids(vocab: &Vocab, text: &str) -> Vec<u16> {
    let names = vocab.names();
    let id = |name: &str| names.iter().position(|n| n == name).unwrap_or_else(|| panic!("no token {name:?}")) as u16;
    text.split('|').map(|name| id(name.trim())).collect()
}

fn text(vocab: &Vocab, tokens: &[u16]) -> String {
    let names = vocab.names();
    tokens.iter().map(|&id| names[usize::from(id)].as_str()).collect::<Vec<_>>().join("|")
}

/// Every prefix's mask must allow the next token.
fn accepted(vocab: &Vocab, tokens: &[u16]) -> Result<(), String> {
    let mut grammar = Grammar::new(vocab, 1);
    let mut mask = vec![false; vocab.size()];
    for (i, &id) in tokens.iter().enumerate() {
        grammar.mask(&mut mask).map_err(|e| e.to_string())?;
        if !mask[usize::from(id)] {
            return Err(format!(
                "token {i} ({}) is masked after {}",
                vocab.names()[usize::from(id)],
                text(vocab, &tokens[..i])
            ));
        }
        grammar.push(&[id]).map_err(|e| e.to_string())?;
    }
    Ok(())
}

// --------------------------------------------------------------------------------------------------------- oracles

fn tick48(beat: f64) -> Option<i64> {
    let tick = (beat * 48.0).round();
    (beat.is_finite() && tick >= 0.0 && tick < f64::from(BARS_MAX) * 192.0).then_some(tick as i64)
}

fn in_grid(x: i32, y: i32) -> bool {
    (0..4).contains(&x) && (0..3).contains(&y)
}

type ArcRest = (i64, i32, i32, i32, i64, i64, i32);
type ChainRest = (i32, i64, i32, i32, i32, i64);
type Head = (i64, i32, i32, i32, i32);

/// A level as sets of plain numbers: what the full vocabulary can say of it.
#[derive(Debug, Default, PartialEq)]
struct Played {
    notes: BTreeSet<(i64, i32, i32, i32, i32, i32)>,
    bombs: BTreeSet<(i64, i32, i32)>,
    walls: BTreeMap<Head, i64>,
    arcs: BTreeMap<Head, ArcRest>,
    chains: BTreeMap<(i64, i32, i32, i32), ChainRest>,
}

/// The slow way: object by object, asking everything that was taken before.
fn played(d: &Difficulty) -> Played {
    let mut out = Played::default();
    for n in &d.notes {
        let Some(t) = tick48(n.beat) else { continue };
        if !in_grid(n.x, n.y) || !(0..9).contains(&n.cut) || !(0..2).contains(&n.color) {
            continue;
        }
        if out.notes.iter().any(|o| (o.0, o.1, o.2) == (t, n.x, n.y)) {
            continue;
        }
        // The multiple of 15 nearest to the angle, in −165 … 180.
        let nearest =
            (-165..=180).step_by(15).min_by_key(|a| (n.angle - a).rem_euclid(360).min((a - n.angle).rem_euclid(360)));
        out.notes.insert((t, n.x, n.y, n.color, n.cut, nearest.expect("some")));
    }
    for b in &d.bombs {
        let Some(t) = tick48(b.beat) else { continue };
        if in_grid(b.x, b.y) && !out.notes.iter().any(|o| (o.0, o.1, o.2) == (t, b.x, b.y)) {
            out.bombs.insert((t, b.x, b.y));
        }
    }
    for w in &d.obstacles {
        let Some(t) = tick48(w.beat) else { continue };
        let inside = in_grid(w.x, w.y) && w.width >= 1 && w.x + w.width <= 4 && w.height >= 1 && w.y + w.height <= 5;
        if inside && w.duration_beats > 0.0 {
            let end = ((w.beat + w.duration_beats) * 48.0).round();
            let length = (end - t as f64).clamp(1.0, 64.0 * 48.0 - 1.0) as i64;
            let longest = out.walls.entry((t, w.x, w.y, w.width, w.height)).or_default();
            *longest = length.max(*longest);
        }
    }
    let span = |t: i64, tail: f64| {
        let ticks = (tail * 48.0).round() - t as f64;
        (1.0..64.0 * 48.0).contains(&ticks).then_some(ticks as i64)
    };
    let twentieths = |v: f64, low: f64, high: f64| (v.clamp(low, high) * 20.0).round() as i64;
    for a in &d.arcs {
        let Some(t) = tick48(a.beat) else { continue };
        let fine = in_grid(a.x, a.y)
            && in_grid(a.tail_x, a.tail_y)
            && [a.cut, a.tail_cut].iter().all(|c| (0..9).contains(c))
            && (0..2).contains(&a.color)
            && (0..3).contains(&a.mid_anchor);
        let Some(length) = span(t, a.tail_beat).filter(|_| fine) else { continue };
        let here = out.notes.iter().find(|n| (n.0, n.1, n.2) == (t, a.x, a.y));
        if here.is_some_and(|n| n.3 != a.color) || out.bombs.contains(&(t, a.x, a.y)) {
            continue;
        }
        let [head, tail] = [a.multiplier, a.tail_multiplier].map(|m| twentieths(m, -1.0, 3.0));
        let rest = (length, a.tail_x, a.tail_y, a.tail_cut, head, tail, a.mid_anchor);
        out.arcs.entry((t, a.color, a.x, a.y, a.cut)).or_insert(rest);
    }
    let mut tried = BTreeSet::new();
    for c in &d.chains {
        let Some(t) = tick48(c.beat) else { continue };
        let fine = in_grid(c.x, c.y)
            && in_grid(c.tail_x, c.tail_y)
            && (c.x, c.y) != (c.tail_x, c.tail_y)
            && (0..9).contains(&c.cut)
            && (0..2).contains(&c.color);
        let Some(length) = span(t, c.tail_beat).filter(|_| fine) else { continue };
        if !tried.insert((t, c.color, c.x, c.y)) {
            continue;
        }
        if out.notes.iter().any(|n| (n.0, n.1, n.2, n.3, n.4) == (t, c.x, c.y, c.color, c.cut)) {
            let rest = (c.cut, length, c.tail_x, c.tail_y, c.slices.clamp(1, 32), twentieths(c.squish, 0.05, 2.0));
            out.chains.insert((t, c.color, c.x, c.y), rest);
        }
    }
    out
}

/// The notes-only vocabulary once more, by hand.
fn notes_only(d: &Difficulty, difficulty: u16) -> Vec<u16> {
    let mut onsets: BTreeMap<i64, [Option<(i32, i32)>; 2]> = BTreeMap::new();
    let mut seen: BTreeSet<(i64, i32)> = BTreeSet::new();
    for n in &d.notes {
        let slot = (n.beat * 16.0).round();
        if !n.beat.is_finite() || slot < 0.0 || slot >= f64::from(BARS_MAX) * 64.0 {
            continue;
        }
        if !in_grid(n.x, n.y) || !(0..=8).contains(&n.cut) || (n.color != 0 && n.color != 1) {
            continue;
        }
        let (slot, cell) = (slot as i64, n.x * 3 + n.y);
        if !seen.insert((slot, cell)) {
            continue;
        }
        let hand = &mut onsets.entry(slot).or_default()[n.color as usize];
        if hand.is_none_or(|(other, _)| cell < other) {
            *hand = Some((cell, n.cut));
        }
    }
    let mut out = vec![1, 3 + difficulty];
    let mut bar = -1;
    for (slot, [left, right]) in onsets {
        while bar < slot / 64 {
            out.push(8);
            bar += 1;
        }
        out.push(9 + (slot % 64) as u16);
        out.push(left.map_or(73, |(cell, cut)| 74 + (cell * 9 + cut) as u16));
        out.push(right.map_or(182, |(cell, cut)| 183 + (cell * 9 + cut) as u16));
    }
    out.push(2);
    out
}

/// Lights as the vocabulary says them, in its order: tick, type, value, brightness, colour levels, ids.
type Shown = Vec<(i64, i32, i32, i64, Option<Vec<f64>>, Vec<u64>)>;

fn shown(d: &Difficulty) -> (Shown, BTreeMap<i64, bool>) {
    let mut lights: Shown = Vec::new();
    for e in &d.lights {
        let Some(t) = tick48(e.beat) else { continue };
        let is_light = [0, 1, 2, 3, 4, 6, 7, 10, 11].contains(&e.kind);
        let other = [8, 9, 12, 13, 16, 17, 18, 19, 40, 41, 42, 43].contains(&e.kind);
        if !(is_light && (0..=12).contains(&e.value) || other && (0..2_000_000_000).contains(&e.value)) {
            continue;
        }
        if !is_light {
            lights.push((t, e.kind, e.value.min(63), 20, None, Vec::new()));
            continue;
        }
        let custom = e.extra.custom();
        let find = |a: &str, b: &str| custom.get(a).or_else(|| custom.get(b)).cloned();
        let ids = match find("_lightID", "lightID") {
            Some(Value::Array(list)) => list,
            Some(one) => vec![one],
            None => Vec::new(),
        };
        let had = !ids.is_empty() || custom.contains_key("lightID") || custom.contains_key("_lightID");
        let ids: Option<BTreeSet<u64>> = ids.iter().map(|v| v.as_u64().filter(|&n| n < 256)).collect();
        let Some(ids) = ids.filter(|ids| if had { (1..=32).contains(&ids.len()) } else { true }) else { continue };
        let levels: Vec<f64> = (0..=32)
            .map(|k| f64::from(k) / 32.0)
            .chain((1..=16).map(|k| 1.0 + f64::from(k) / 16.0))
            .chain((1..=8).map(|k| 2.0 + f64::from(k) / 4.0))
            .chain((1..=8).map(|k| 4.0 + f64::from(k) / 2.0))
            .collect();
        let color = find("_color", "color").and_then(|v| {
            let mut list = v.as_array()?.iter().map(Value::as_f64).collect::<Option<Vec<f64>>>()?;
            if list.len() == 3 {
                list.push(1.0);
            }
            let nearest =
                |v: f64| *levels.iter().rev().min_by(|a, b| (*a - v).abs().total_cmp(&(*b - v).abs())).expect("levels");
            (list.len() == 4).then(|| list.into_iter().map(nearest).collect())
        });
        let brightness = (e.brightness.clamp(0.0, 3.0) * 20.0).round() as i64;
        lights.push((t, e.kind, e.value, brightness, color, ids.into_iter().collect()));
    }
    lights.sort_by_key(|l| (l.0, l.1));
    let boosts = d.boosts.iter().filter_map(|b| Some((tick48(b.beat)?, b.on))).collect();
    (lights, boosts)
}

// ------------------------------------------------------------------------------------------------------ generators

fn beats() -> impl Strategy<Value = f64> {
    prop_oneof![
        6 => (0..500_i32).prop_map(|t| f64::from(t) / 48.0),
        4 => (0..8_i32).prop_map(|t| f64::from(t) / 48.0),
        4 => 0.0..10.0_f64,
        2 => (0..40_i32).prop_map(|t| f64::from(t) / 4.0 + 0.004),
        1 => -1.0..0.0_f64,
        1 => prop_oneof![
            Just(f64::NAN), Just(f64::INFINITY), Just(-0.0), Just(1e300), Just(-1e300), Just(16383.999), Just(16383.98),
            Just(0.5 / 48.0), Just(-0.5 / 48.0), Just(1e-300)
        ],
    ]
}

/// Mostly `range`, sometimes anything.
fn near(range: std::ops::Range<i32>) -> impl Strategy<Value = i32> {
    prop_oneof![30 => range, 1 => -2..12_i32, 1 => any::<i32>()]
}

fn tails() -> impl Strategy<Value = f64> {
    prop_oneof![6 => (1..200_i32).prop_map(|t| f64::from(t) / 48.0), 2 => 0.0..70.0_f64, 1 => -2.0..0.001_f64, 1 => Just(f64::NAN), 1 => Just(1e18)]
}

/// Hundredths, so that no value lies half way between two steps.
fn hundredths(range: std::ops::Range<i32>) -> impl Strategy<Value = f64> {
    range.prop_map(|n| f64::from(n) / 100.0)
}

fn extras() -> impl Strategy<Value = Extra> {
    let extra = |members: Value| Extra::from_members(members.as_object().expect("an object"));
    prop_oneof![
        6 => Just(Extra::default()),
        1 => Just(extra(json!({"_cutDirection": 1}))),
        1 => Just(extra(json!({"_customData": {"_track": "a"}}))),
        1 => Just(extra(json!({"customData": {}, "odd": null}))),
    ]
}

fn light_extras() -> impl Strategy<Value = Extra> {
    let channel = prop_oneof![
        (0..=320_i32).prop_map(|n| f64::from(n) / 80.0 + 0.0001),
        Just(0.0),
        Just(1.0),
        Just(-3.0),
        Just(99.0)
    ];
    let color = prop_oneof![
        3 => Just(Value::Null),
        4 => proptest::collection::vec(channel, 2..6).prop_map(|c| json!(c)),
        1 => Just(json!("red")),
    ];
    let ids = prop_oneof![
        4 => Just(Value::Null),
        2 => (0..300_u64).prop_map(|n| json!(n)),
        3 => proptest::collection::vec(0..257_u64, 0..40).prop_map(|n| json!(n)),
        1 => Just(json!([1.5])),
    ];
    (color, ids, any::<[bool; 3]>()).prop_map(|(color, ids, [old, some, track])| {
        let mut custom = serde_json::Map::new();
        for (key, value) in [("color", color), ("lightID", ids)] {
            if !value.is_null() {
                custom.insert(if old { format!("_{key}") } else { key.into() }, value);
            }
        }
        if track {
            custom.insert("lockRotation".into(), true.into());
        }
        let mut extra = Extra::default();
        if some {
            extra.set(if old { "_customData" } else { "customData" }, custom.into());
        }
        extra
    })
}

prop_compose! {
    fn note()(beat in beats(), x in near(0..4), y in near(0..3), color in near(0..2), cut in near(0..9),
              angle in prop_oneof![6 => Just(0), 3 => -400..400_i32, 1 => any::<i32>()], lane in prop_oneof![9 => Just(0), 1 => Just(15)],
              extra in extras()) -> Note {
        Note { beat, x, y, color, cut, angle, lane, extra }
    }
}

fn level() -> impl Strategy<Value = Difficulty> {
    let bomb =
        (beats(), near(0..4), near(0..3), extras()).prop_map(|(beat, x, y, extra)| Bomb { beat, x, y, lane: 0, extra });
    let wall = (beats(), tails(), near(0..4), near(0..3), near(1..4), near(1..6)).prop_map(
        |(beat, duration_beats, x, y, width, height)| Obstacle {
            beat,
            duration_beats,
            x,
            y,
            width,
            height,
            ..Obstacle::default()
        },
    );
    let arc =
        (note(), tails(), near(0..4), near(0..3), near(0..9), hundredths(-200..400), hundredths(-200..400), near(0..3))
            .prop_map(|(n, tail, tail_x, tail_y, tail_cut, multiplier, tail_multiplier, mid_anchor)| Arc {
                beat: n.beat,
                color: n.color,
                x: n.x,
                y: n.y,
                cut: n.cut,
                multiplier,
                tail_beat: n.beat + tail,
                tail_x,
                tail_y,
                tail_cut,
                tail_multiplier,
                mid_anchor,
                lane: 0,
                tail_lane: 0,
                extra: n.extra,
            });
    let chain = (
        any::<prop::sample::Index>(),
        tails(),
        near(0..4),
        near(0..3),
        near(1..9),
        hundredths(-10..250),
        any::<bool>(),
    );
    (
        proptest::collection::vec(note(), 0..60),
        proptest::collection::vec(bomb, 0..20),
        proptest::collection::vec(wall, 0..12),
        proptest::collection::vec(arc, 0..12),
        proptest::collection::vec(chain, 0..8),
    )
        .prop_map(|(notes, bombs, mut obstacles, mut arcs, chains)| {
            // Half of the arcs and nearly all chains begin on a note.
            for (i, arc) in arcs.iter_mut().enumerate() {
                if let Some(n) = notes.get(i).filter(|_| i % 2 == 0) {
                    (arc.tail_beat, arc.beat) = (arc.tail_beat - arc.beat + n.beat, n.beat);
                    (arc.x, arc.y, arc.color) = (n.x, n.y, n.color);
                }
            }
            let chains = chains.into_iter().filter(|_| !notes.is_empty()).map(
                |(at, tail, tail_x, tail_y, slices, squish, twist)| {
                    let n = &notes[at.index(notes.len())];
                    Chain {
                        beat: n.beat,
                        color: n.color,
                        x: n.x,
                        y: n.y,
                        cut: n.cut + i32::from(twist && n.cut < 8),
                        tail_beat: n.beat + tail,
                        tail_x,
                        tail_y,
                        slices,
                        squish,
                        ..Chain::default()
                    }
                },
            );
            let mut chains: Vec<Chain> = chains.collect();
            // Objects that open alike and go on in another way.
            for i in 0..3 {
                if let Some(arc) = arcs.get(i).cloned() {
                    arcs.push(Arc { tail_beat: arc.tail_beat + 0.5, tail_x: 2, ..arc });
                }
                if let Some(wall) = obstacles.get(i).cloned() {
                    let duration_beats = wall.duration_beats + [0.5, -0.5, 0.0][i];
                    obstacles.push(Obstacle { duration_beats, ..wall });
                }
                if let Some(chain) = chains.get(i).cloned() {
                    chains.push(Chain { tail_beat: chain.tail_beat + 0.5, ..chain });
                }
            }
            Difficulty { chains, notes, bombs, obstacles, arcs, ..Difficulty::default() }
        })
}

fn show() -> impl Strategy<Value = Difficulty> {
    let kind = prop_oneof![8 => 0..20_i32, 1 => 40..44_i32, 1 => any::<i32>()];
    let value = prop_oneof![8 => 0..13_i32, 2 => 0..100_i32, 1 => any::<i32>(), 1 => Just(2_000_000_255)];
    let light = (beats(), kind, value, prop_oneof![4 => Just(1.0), 3 => hundredths(-20..400)], light_extras())
        .prop_map(|(beat, kind, value, brightness, extra)| Light { beat, kind, value, brightness, extra });
    let boost = (prop_oneof![beats(), (0..4_i32).prop_map(f64::from)], any::<bool>()).prop_map(|(beat, on)| Boost {
        beat,
        on,
        ..Boost::default()
    });
    (proptest::collection::vec(light, 0..60), proptest::collection::vec(boost, 0..8))
        .prop_map(|(lights, boosts)| Difficulty { lights, boosts, ..Difficulty::default() })
}

/// A sequence sampled under the grammar: each choice picks a kind, then an id of it.
fn sample(vocab: &Vocab, choices: &[(u16, u16)]) -> Vec<u16> {
    let mut grammar = Grammar::new(vocab, 1);
    let mut mask = vec![false; vocab.size()];
    let mut tokens = Vec::new();
    let mut allowed = |grammar: &Grammar| {
        grammar.mask(&mut mask).expect("sized");
        let ids: Vec<u16> = (0..vocab.size() as u16).filter(|&id| mask[usize::from(id)]).collect();
        assert!(!ids.is_empty(), "nothing may follow");
        ids
    };
    let mut step = |grammar: &mut Grammar, id: u16| {
        grammar.push(&[id]).expect("it was allowed");
        tokens.push(id);
    };
    for &(first, second) in choices {
        let ids = allowed(&grammar);
        let kinds: BTreeSet<Kind> = ids.iter().filter_map(|&id| vocab.kind_of(id)).map(|k| k.0).collect();
        // END would end most samples early, so it is drawn rarely.
        let kinds: Vec<Kind> = kinds.into_iter().filter(|&k| k != Kind::End || first > 65_000).collect();
        let Some(&kind) = kinds.get(usize::from(first) % kinds.len().max(1)) else { break };
        let ids: Vec<u16> = ids.into_iter().filter(|&id| vocab.range(kind).contains(&id)).collect();
        step(&mut grammar, ids[usize::from(second) % ids.len()]);
    }
    // The shortest way out: END where it may be, else whatever may be; every object is finite.
    for _ in 0..64 {
        let ids = allowed(&grammar);
        match ids.iter().find(|&&id| id == END || id == PAD) {
            Some(&PAD) => break,
            Some(&id) => step(&mut grammar, id),
            None => step(&mut grammar, ids[0]),
        }
    }
    tokens
}

fn choices() -> impl Strategy<Value = Vec<(u16, u16)>> {
    proptest::collection::vec(any::<(u16, u16)>(), 0..300)
}

fn contents() -> impl Strategy<Value = Content> {
    prop_oneof![Just(Content::Notes), Just(Content::Full), Just(Content::Lights)]
}

type LightRow = (f64, i32, i32, f64, Option<Value>, Option<Value>);

/// Rows without what versions spell differently.
#[derive(Debug, PartialEq)]
struct Rows {
    notes: Vec<Note>,
    bombs: Vec<Bomb>,
    walls: Vec<Obstacle>,
    arcs: Vec<Arc>,
    chains: Vec<Chain>,
    lights: Vec<LightRow>,
    boosts: Vec<Boost>,
}

fn rows(d: &Difficulty) -> Rows {
    let light = |e: &Light| {
        let custom = e.extra.custom();
        let find = |a: &str, b: &str| custom.get(a).or_else(|| custom.get(b)).cloned();
        (e.beat, e.kind, e.value, e.brightness, find("color", "_color"), find("lightID", "_lightID"))
    };
    Rows {
        notes: d.notes.clone(),
        bombs: d.bombs.clone(),
        walls: d.obstacles.clone(),
        arcs: d.arcs.clone(),
        chains: d.chains.clone(),
        lights: d.lights.iter().map(light).collect(),
        boosts: d.boosts.clone(),
    }
}

/// What every decoded level must be.
fn check_valid(d: &Difficulty) {
    let mut taken = BTreeSet::new();
    let beats: Vec<f64> = d.notes.iter().map(|n| n.beat).collect();
    assert!(beats.iter().all(|&b| b >= 0.0) && beats.is_sorted());
    for (beat, x, y) in d.notes.iter().map(|n| (n.beat, n.x, n.y)).chain(d.bombs.iter().map(|b| (b.beat, b.x, b.y))) {
        assert!(in_grid(x, y));
        assert!(taken.insert((beat.to_bits(), x, y)), "two objects at {beat} in {x},{y}");
    }
    assert!(
        d.notes.iter().all(|n| (0..9).contains(&n.cut) && (0..2).contains(&n.color) && (-165..=180).contains(&n.angle))
    );
    for w in &d.obstacles {
        assert!(w.duration_beats > 0.0 && w.width > 0 && w.height > 0 && in_grid(w.x, w.y));
        assert!(w.x + w.width <= 4 && w.y + w.height <= 5);
    }
    for a in &d.arcs {
        assert!(a.tail_beat > a.beat && in_grid(a.x, a.y) && in_grid(a.tail_x, a.tail_y));
        let here = |b: f64, x: i32, y: i32| b == a.beat && (x, y) == (a.x, a.y);
        assert!(!d.notes.iter().any(|n| here(n.beat, n.x, n.y) && n.color != a.color));
        assert!(!d.bombs.iter().any(|b| here(b.beat, b.x, b.y)));
    }
    for c in &d.chains {
        assert!(c.tail_beat > c.beat && in_grid(c.tail_x, c.tail_y) && (c.x, c.y) != (c.tail_x, c.tail_y));
        assert!(c.slices >= 1 && c.squish > 0.0);
        assert!(d.notes.iter().any(|n| (n.beat, n.x, n.y, n.color, n.cut) == (c.beat, c.x, c.y, c.color, c.cut)));
    }
    assert!(d.lights.iter().all(|e| e.value >= 0 && e.brightness >= 0.0));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn decode_of_encode_is_the_level_snapped(d in level()) {
        let vocab = vocab(Content::Full);
        let encoded = vocab.encode(&d, 7, 0.0, OPEN);
        accepted(&vocab, &encoded.tokens).map_err(TestCaseError::fail)?;
        let back = vocab.decode(&encoded.tokens).expect("decodes");
        let (want, got) = (played(&d), played(&back));
        prop_assert_eq!(&got, &want);
        // The oracle's sets hide repetition, so count as well; and what is not said must be counted.
        prop_assert_eq!(back.notes.len(), want.notes.len());
        prop_assert_eq!(back.bombs.len() + back.obstacles.len(), want.bombs.len() + want.walls.len());
        prop_assert_eq!(back.arcs.len() + back.chains.len(), want.arcs.len() + want.chains.len());
        check_valid(&back);
        let objects = |d: &Difficulty| (d.notes.len() + d.bombs.len() + d.obstacles.len() + d.arcs.len() + d.chains.len()) as u64;
        let lost: u64 = encoded.out_of_vocabulary.iter().filter(|(k, _)| !["custom-data", "rotation-lanes"].contains(k)).map(|(_, n)| n).sum();
        prop_assert_eq!(objects(&back) + lost + encoded.outside, objects(&d), "{:?}", encoded.out_of_vocabulary);
    }

    #[test]
    fn notes_only_is_what_a_naive_encoder_says(d in level()) {
        let vocab = vocab(Content::Notes);
        let encoded = vocab.encode(&d, 3, 0.0, OPEN);
        prop_assert_eq!(&encoded.tokens, &notes_only(&d, 1));
        accepted(&vocab, &encoded.tokens).map_err(TestCaseError::fail)?;
        let back = vocab.decode(&encoded.tokens).expect("decodes");
        check_valid(&back);
        let objects = d.notes.len() + d.bombs.len() + d.obstacles.len() + d.arcs.len() + d.chains.len();
        let kept = ["custom-data", "rotation-lanes", "note-angle"];
        let lost: u64 = encoded.out_of_vocabulary.iter().filter(|(k, _)| !kept.contains(k)).map(|(_, n)| n).sum();
        prop_assert_eq!(back.notes.len() as u64 + lost + encoded.outside, objects as u64);
    }

    #[test]
    fn lights_come_back_as_a_naive_reading_has_them(d in show()) {
        let vocab = vocab(Content::Lights);
        let encoded = vocab.encode(&d, 9, 0.0, OPEN);
        accepted(&vocab, &encoded.tokens).map_err(TestCaseError::fail)?;
        let back = vocab.decode(&encoded.tokens).expect("decodes");
        let (want, got) = (shown(&d), shown(&back));
        prop_assert_eq!(&got, &want);
        prop_assert_eq!((back.lights.len(), back.boosts.len()), (want.0.len(), want.1.len()));
        let kept = ["custom-data", "brightness-of-no-light"];
        let lost: u64 = encoded.out_of_vocabulary.iter().filter(|(k, _)| !kept.contains(k)).map(|(_, n)| n).sum();
        let all = (d.lights.len() + d.boosts.len()) as u64;
        prop_assert_eq!((back.lights.len() + back.boosts.len()) as u64 + lost + encoded.outside, all);
    }

    #[test]
    fn samples_of_the_grammar_are_valid_levels(content in contents(), choices in choices()) {
        let vocab = vocab(content);
        let tokens = sample(&vocab, &choices);
        let d = vocab.decode(&tokens).expect("what the grammar allows decodes");
        check_valid(&d);
        let encoded = vocab.encode(&d, 1, 0.0, OPEN);
        prop_assert!(encoded.out_of_vocabulary.is_empty() && encoded.rounded.is_empty() && encoded.snapped.count == 0);
        prop_assert_eq!(&vocab.decode(&encoded.tokens).expect("decodes"), &d);
        // A level has one spelling, but for what is no part of it: difficulty, statistics, empty bars at the end, padding.
        let plain = |tokens: &[u16]| {
            let silent = [Kind::Difficulty, Kind::End, Kind::Pad];
            let stats = vocab.range(Kind::StatNotes).start..vocab.range(Kind::StatChains).end;
            let keep = |id: &u16| !stats.contains(id) && vocab.kind_of(*id).is_some_and(|(kind, _)| !silent.contains(&kind));
            let mut plain: Vec<u16> = tokens.iter().copied().filter(keep).collect();
            plain.truncate(plain.iter().rposition(|id| !vocab.range(Kind::Bar).contains(id)).map_or(0, |last| last + 1));
            plain
        };
        prop_assert_eq!(plain(&encoded.tokens), plain(&tokens));
        let limits = Limits::default();
        for major in [2, 3, 4] {
            let (file, lightshow, lost) = d.write(major).expect("writes");
            let (mut back, warnings) = read_level(&file, "Sample.dat", &limits).expect("reads");
            if let Some(lightshow) = lightshow {
                back.add_lightshow(&lightshow, "Lights.dat", &limits).expect("reads");
            }
            prop_assert!(warnings.is_empty(), "{:?}", warnings);
            let mut want = d.clone();
            if major == 2 {
                let angles = want.notes.iter().filter(|n| n.angle != 0).count();
                prop_assert_eq!(lost.iter().map(|l| l.count).sum::<u64>(), (want.chains.len() + angles) as u64);
                want.chains.clear();
                want.notes.iter_mut().for_each(|n| n.angle = 0);
            } else {
                prop_assert!(lost.is_empty(), "{:?}", lost);
            }
            prop_assert_eq!(rows(&back), rows(&want), "version {}", major);
        }
    }

    #[test]
    fn decode_takes_any_ids(content in contents(), tokens in proptest::collection::vec(any::<u16>(), 0..40)) {
        match vocab(content).decode(&tokens) {
            Ok(_) => {}
            Err(Error::Token { index, .. }) => prop_assert!(index <= tokens.len()),
            Err(other) => prop_assert!(false, "{}", other),
        }
    }

    /// One token changed, dropped or added: an error at that place or later, or another level, and every place before is fine.
    #[test]
    fn decode_agrees_with_the_grammar(
        content in contents(), choices in choices(), at in any::<prop::sample::Index>(), id in 0..1500_u16, how in 0..3
    ) {
        let vocab = vocab(content);
        let mut tokens = sample(&vocab, &choices);
        let at = at.index(tokens.len());
        match how {
            0 => tokens[at] = id,
            1 => { tokens.remove(at); }
            _ => tokens.insert(at, id),
        }
        let mut grammar = Grammar::new(&vocab, 1);
        let refused = tokens.iter().position(|&id| grammar.push(&[id]).is_err());
        match vocab.decode(&tokens) {
            Ok(d) => {
                prop_assert!(refused.is_none());
                check_valid(&d);
            }
            Err(Error::Token { index, .. }) => {
                prop_assert!(index >= at);
                prop_assert_eq!(index, refused.unwrap_or(tokens.len()));
            }
            Err(other) => prop_assert!(false, "{}", other),
        }
    }

    #[test]
    fn a_fuzzer_finds_nothing(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
        check_tokens(&bytes);
    }

    #[test]
    fn windows_tile_the_level(d in level(), lights in show(), cut in 0.0..11.0_f64, content in contents()) {
        let mut d = Difficulty { lights: lights.lights, boosts: lights.boosts, ..d };
        // The last bar is counted from the window's first one, so a late window reaches further.
        d.notes.retain(|n| n.beat < 1000.0);
        d.bombs.retain(|n| n.beat < 1000.0);
        d.obstacles.retain(|n| n.beat < 1000.0);
        d.arcs.retain(|n| n.beat < 1000.0);
        d.chains.retain(|n| n.beat < 1000.0);
        d.lights.retain(|n| n.beat < 1000.0);
        d.boosts.retain(|n| n.beat < 1000.0);
        let vocab = vocab(content);
        let count = |e: &Encoded| {
            let d = vocab.decode(&e.tokens).expect("decodes");
            d.notes.len() + d.bombs.len() + d.obstacles.len() + d.arcs.len() + d.chains.len() + d.lights.len() + d.boosts.len()
        };
        let [whole, before, after] = [(0.0, OPEN), (0.0, cut), (cut, OPEN)].map(|(a, b)| vocab.encode(&d, 5, a, b));
        prop_assert_eq!(count(&before) + count(&after), count(&whole));
        let first = vocab.decode(&after.tokens).expect("decodes");
        prop_assert_eq!(after.first_beat % 4.0, 0.0);
        prop_assert!(after.first_beat <= cut + 0.02);
        prop_assert!(first.notes.iter().all(|n| n.beat + after.first_beat >= cut - 0.5 / 16.0));
        let bars = before.tokens.iter().filter(|&&id| vocab.kind_of(id) == Some((Kind::Bar, 0))).count();
        prop_assert_eq!(bars as f64, ((cut * 48.0).round() / 192.0).ceil());
    }

    #[test]
    fn beats_are_causal_and_those_of_the_objects(content in contents(), choices in choices()) {
        let vocab = vocab(content);
        let tokens = sample(&vocab, &choices);
        let beats = vocab.beats(&tokens);
        prop_assert!(beats.is_sorted());
        for end in [tokens.len() / 3, tokens.len() / 2, tokens.len()] {
            prop_assert_eq!(&vocab.beats(&tokens[..end]), &beats[..end]);
        }
        let d = vocab.decode(&tokens).expect("decodes");
        let at = |kinds: &[Kind]| -> Vec<f64> {
            let is = |id: &u16| vocab.kind_of(*id).is_some_and(|(k, _)| kinds.contains(&k));
            tokens.iter().zip(&beats).filter(|(id, _)| is(id)).map(|(_, &b)| b).collect()
        };
        let notes: Vec<f64> = d.notes.iter().map(|n| n.beat).collect();
        prop_assert_eq!(at(&[Kind::Left, Kind::Right, Kind::MoreLeft, Kind::MoreRight]), notes);
        prop_assert_eq!(at(&[Kind::Event]), d.lights.iter().map(|e| e.beat).collect::<Vec<_>>());
        prop_assert_eq!(at(&[Kind::Wall]), d.obstacles.iter().map(|w| w.beat).collect::<Vec<_>>());
    }
}

// -------------------------------------------------------------------------------------------------------- examples

#[test]
fn the_first_291_ids_are_fixed() {
    let fixed = [
        (Kind::Pad, 0..1),
        (Kind::Start, 1..2),
        (Kind::End, 2..3),
        (Kind::Difficulty, 3..8),
        (Kind::Bar, 8..9),
        (Kind::Pos, 9..73),
        (Kind::LeftEmpty, 73..74),
        (Kind::Left, 74..182),
        (Kind::RightEmpty, 182..183),
        (Kind::Right, 183..291),
    ];
    for vocab in [vocab(Content::Notes), vocab(Content::Full)] {
        for (kind, range) in fixed.clone() {
            assert_eq!(vocab.range(kind), range, "{kind:?}");
        }
    }
    assert_eq!((PAD, START, END), (0, 1, 2));
    assert_eq!(vocab(Content::Notes).size(), 291);
    // Column 2, row 1, down-right.
    assert_eq!(vocab(Content::Notes).names()[74 + (2 * 3 + 1) * 9 + 7], "LEFT 2,1 down-right");
}

#[test]
fn kinds_and_names_cover_every_id_once() {
    let mut hashes = BTreeSet::new();
    for vocab in all() {
        let names = vocab.names();
        assert_eq!(names.len(), vocab.size());
        assert_eq!(names.iter().collect::<BTreeSet<_>>().len(), vocab.size(), "names repeat");
        let mut next = 0;
        for &kind in Kind::ALL {
            let range = vocab.range(kind);
            for (value, id) in range.clone().enumerate() {
                assert_eq!((vocab.kind_of(id), id), (Some((kind, value as u16)), next));
                next += 1;
            }
            assert!(range.is_empty() || range.len() == usize::from(kind.size()));
        }
        assert_eq!(usize::from(next), vocab.size());
        assert_eq!(vocab.kind_of(next), None);
        assert_eq!(vocab.hash().len(), 64);
        hashes.insert(vocab.hash().to_owned());
    }
    assert_eq!(hashes.len(), 3);
    // Distinct names of kinds are what scripts go by.
    assert_eq!(Kind::ALL.iter().map(|k| k.name()).collect::<BTreeSet<_>>().len(), Kind::ALL.len());
}

#[test]
fn specs_are_read_strictly() {
    let spec = VocabSpec::from_json(br#"{"divisions": 48, "content": "full"}"#).expect("valid");
    assert_eq!(spec, VocabSpec::new(Content::Full));
    let json = serde_json::to_vec(&spec).expect("json");
    assert_eq!(VocabSpec::from_json(&json).expect("valid"), spec);
    for (bad, field) in [
        (r#"{"content":"full"}"#, "vocab"),
        (r#"{"content":"full","divisions":48,"size":291}"#, "vocab"),
        (r#"{"content":"melody","divisions":48}"#, "vocab.content"),
        (r#"{"content":"full","divisions":-1}"#, "vocab.divisions"),
        (r#"{"content":"full","divisions":48} x"#, "vocab"),
        (r#"{"content":"full","content":"full","divisions":48}"#, "vocab"),
        ("", "vocab"),
    ] {
        match VocabSpec::from_json(bad.as_bytes()) {
            Err(Error::Spec { field: found, .. }) => assert!(found.starts_with(field), "{bad}: {found}"),
            other => panic!("{bad}: {other:?}"),
        }
    }
    let odd = Vocab::new(&VocabSpec { content: Content::Full, divisions: 24 });
    assert!(matches!(odd, Err(Error::Spec { field, .. }) if field == "vocab.divisions"));
}

#[test]
fn an_onset_has_one_spelling() {
    let vocab = vocab(Content::Full);
    let note = |x, y, color, angle| Note { beat: 4.0 + 1.0 / 48.0, x, y, color, cut: 1, angle, ..Note::default() };
    let d = Difficulty {
        notes: vec![note(3, 0, 1, 0), note(1, 1, 0, 30), note(1, 0, 0, 0), note(2, 2, 1, -15)],
        bombs: vec![Bomb { beat: 4.02, x: 0, y: 0, ..Bomb::default() }],
        obstacles: vec![Obstacle {
            beat: 4.02,
            duration_beats: 1.5,
            x: 0,
            y: 0,
            width: 1,
            height: 5,
            ..Obstacle::default()
        }],
        arcs: vec![Arc {
            beat: 4.02,
            color: 1,
            x: 3,
            y: 0,
            cut: 1,
            multiplier: 1.0,
            tail_beat: 6.02,
            tail_x: 2,
            tail_y: 2,
            tail_cut: 0,
            tail_multiplier: 0.5,
            ..Arc::default()
        }],
        chains: vec![Chain {
            beat: 4.02,
            color: 0,
            x: 1,
            y: 0,
            cut: 1,
            tail_beat: 4.27,
            tail_x: 0,
            tail_y: 0,
            slices: 5,
            squish: 1.0,
            ..Chain::default()
        }],
        ..Difficulty::default()
    };
    let encoded = vocab.encode(&d, 9, 0.0, OPEN);
    let want = "START|DIFFICULTY ExpertPlus|BAR|BAR|POS 0|NUDGE +1/48|LEFT 1,0 down|RIGHT 2,2 down|MORE-LEFT 1,1 down|\
                LEFT-ANGLE 30|RIGHT-ANGLE -15|MORE-RIGHT 3,0 down|BOMB 0,0|WALL 0,0 1x5|SPAN-BEATS 1|SPAN-TICKS 24|\
                ARC-RIGHT 3,0 down|SPAN-BEATS 2|SPAN-TICKS 0|ARC-TAIL 2,2 up|ARC-MULTIPLIER 1|ARC-MULTIPLIER 0.5|MID-ANCHOR 0|\
                CHAIN-LEFT 1,0|SPAN-BEATS 0|SPAN-TICKS 12|CHAIN-TAIL 0,0|SLICES 5|SQUISH 1|END";
    assert_eq!(text(&vocab, &encoded.tokens), want);
    assert!(encoded.out_of_vocabulary.is_empty() && encoded.rounded.is_empty(), "{encoded:?}");
    assert_eq!(ids(&vocab, want), encoded.tokens);
}

#[test]
fn a_light_has_one_spelling() {
    let vocab = vocab(Content::Lights);
    let mut extra = Extra::default();
    extra.set("_customData", json!({"_color": [1, 0.5, 0, 2], "_lightID": [7, 3]}));
    let d = Difficulty {
        lights: vec![
            Light { beat: 1.0, kind: 12, value: 20, brightness: 1.0, extra: Extra::default() },
            Light { beat: 1.0, kind: 1, value: 3, brightness: 0.5, extra },
        ],
        boosts: vec![Boost { beat: 1.0, on: true, ..Boost::default() }],
        ..Difficulty::default()
    };
    let encoded = vocab.encode(&d, 1, 0.0, 8.0);
    let want = "START|DIFFICULTY Easy|BAR|POS 16|BOOST on|EVENT 1|VALUE 3|BRIGHTNESS 0.5|COLOR 1|COLOR 0.5|COLOR 0|COLOR 2|\
                LIGHT-ID 3|LIGHT-ID 7|EVENT 12|VALUE 20|BAR|END";
    assert_eq!(text(&vocab, &encoded.tokens), want);
    let back = vocab.decode(&encoded.tokens).expect("decodes");
    assert_eq!(
        back.lights[0].extra.custom(),
        *json!({"color": [1.0, 0.5, 0.0, 2.0], "lightID": [3, 7]}).as_object().expect("map")
    );
}

#[test]
fn what_cannot_be_said_is_counted() {
    let note = |beat, x, y, color, cut| Note { beat, x, y, color, cut, ..Note::default() };
    let mut mod_data = Extra::default();
    mod_data.set("customData", json!({"track": "a"}));
    let mut empty = Extra::default();
    empty.set("_customData", json!({}));
    let d = Difficulty {
        notes: vec![
            note(-1.0, 0, 0, 0, 0),
            note(f64::NAN, 0, 0, 0, 0),
            note(1e9, 0, 0, 0, 0),
            note(1.0, 1000, 0, 0, 0),
            note(1.0, 0, 3, 0, 0),
            note(1.0, 0, 0, 0, 1090),
            note(1.0, 0, 0, 3, 0),
            note(1.0, 0, 0, 0, 0),
            note(1.004, 0, 0, 1, 0),
            Note { lane: 15, angle: 22, extra: mod_data, ..note(2.0, 0, 0, 0, 0) },
            Note { angle: 330, extra: empty, ..note(3.0, 0, 0, 0, 0) },
        ],
        bombs: vec![Bomb { beat: 1.0, ..Bomb::default() }, Bomb { beat: 1.0, x: 9, ..Bomb::default() }],
        ..Difficulty::default()
    };
    let encoded = vocab(Content::Full).encode(&d, 4, 0.0, OPEN);
    let want = [
        ("beat-before-0", 1),
        ("beat-not-finite", 1),
        ("beat-too-late", 1),
        ("bomb-cell", 1),
        ("custom-data", 1),
        ("note-cell", 2),
        ("note-color", 1),
        ("note-direction", 1),
        ("rotation-lanes", 1),
        ("same-cell", 2),
    ];
    assert_eq!(encoded.out_of_vocabulary.into_iter().collect::<Vec<_>>(), want);
    assert_eq!(encoded.rounded.into_iter().collect::<Vec<_>>(), [("difficulty-rank", 1), ("note-angle", 1)]);
    assert_eq!(encoded.snapped.count, 1);
    assert!((encoded.snapped.max_error_beats - 0.004).abs() < 1e-9);
}

#[test]
fn the_grammar_is_bounded_at_every_edge() {
    let vocab = vocab(Content::Full);
    let allowed = |text: &str| -> BTreeSet<String> {
        let mut grammar = Grammar::new(&vocab, 1);
        for id in ids(&vocab, text) {
            grammar.push(&[id]).expect("allowed");
        }
        let mut mask = vec![false; vocab.size()];
        grammar.mask(&mut mask).expect("sized");
        vocab.names().into_iter().zip(mask).filter(|(_, may)| *may).map(|(name, _)| name).collect()
    };
    let start = "START|DIFFICULTY Easy|BAR|POS 63|NUDGE +2/48|LEFT-EMPTY|RIGHT-EMPTY";
    // Nothing was said yet, so the onset may not end.
    assert!(allowed(start).iter().all(|n| ["BOMB", "WALL", "ARC-LEFT", "ARC-RIGHT"].iter().any(|k| n.starts_with(k))));
    // The bar is full.
    let full = allowed(&format!("{start}|BOMB 0,0"));
    assert!(
        full.contains("BAR") && full.contains("END") && !full.iter().any(|n| n.starts_with("POS") || n == "BOMB 0,0")
    );
    assert!(!full.iter().any(|n| n.starts_with("ARC-LEFT 0,0")));
    // A POS may come again only with a NUDGE beyond.
    let again = allowed("START|DIFFICULTY Easy|BAR|POS 5|NUDGE +1/48|LEFT 0,0 up|RIGHT-EMPTY|POS 5");
    assert_eq!(again.into_iter().collect::<Vec<_>>(), ["NUDGE +2/48"]);
    // Of a length some part must be there.
    let span = allowed(&format!("{start}|WALL 3,2 1x3|SPAN-BEATS 0"));
    assert!(!span.contains("SPAN-TICKS 0") && span.contains("SPAN-TICKS 1") && span.len() == 47);
    // Notes of one cell exclude one another.
    let right = allowed("START|DIFFICULTY Easy|BAR|POS 0|LEFT 2,1 up");
    assert!(
        right.contains("RIGHT-EMPTY")
            && right.contains("RIGHT 2,0 up")
            && !right.iter().any(|n| n.starts_with("RIGHT 2,1"))
    );
    // Statistics rise.
    let header = allowed("START|DIFFICULTY Easy|STAT-DOTS 3");
    assert!(
        header.contains("STAT-WALLS 0")
            && !header.iter().any(|n| n.starts_with("STAT-DOTS") || n.starts_with("STAT-NOTES"))
    );
    assert_eq!(allowed("START|DIFFICULTY Easy|END|PAD").into_iter().collect::<Vec<_>>(), ["PAD"]);
}

#[test]
fn sequences_end_at_the_last_bar() {
    for vocab in all() {
        let mut grammar = Grammar::new(&vocab, 1);
        let bar = vocab.range(Kind::Bar).start;
        grammar.push(&[START]).expect("allowed");
        grammar.push(&[vocab.range(Kind::Difficulty).start]).expect("allowed");
        for _ in 0..BARS_MAX {
            grammar.push(&[bar]).expect("allowed");
        }
        let error = grammar.push(&[bar]).expect_err("one too many");
        assert!(error.to_string().contains("found BAR, expected END or POS"), "{error}");
        grammar.push(&[END]).expect("allowed");
    }
}

#[test]
fn events_of_an_onset_are_bounded() {
    let vocab = vocab(Content::Lights);
    let event = Light { beat: 2.0, kind: 8, value: 0, brightness: 1.0, extra: Extra::default() };
    let count = usize::from(EVENTS_PER_ONSET_MAX) + 3;
    let d = Difficulty { lights: vec![event; count], ..Difficulty::default() };
    let encoded = vocab.encode(&d, 1, 0.0, OPEN);
    assert_eq!(encoded.out_of_vocabulary, BTreeMap::from([("events-per-onset", 3)]));
    accepted(&vocab, &encoded.tokens).expect("accepted");
    let mut tokens = encoded.tokens;
    tokens.pop();
    let full = tokens.len();
    tokens.extend(ids(&vocab, "EVENT 8|VALUE 0|END"));
    assert!(matches!(vocab.decode(&tokens), Err(Error::Token { index, .. }) if index == full));
}

#[test]
fn windows_have_their_bars() {
    let vocab = vocab(Content::Notes);
    let d = Difficulty { notes: vec![Note { beat: 9.0, ..Note::default() }], ..Difficulty::default() };
    let says = |start, end| text(&vocab, &vocab.encode(&d, 1, start, end).tokens).replace("START|DIFFICULTY Easy|", "");
    assert_eq!(says(0.0, OPEN), "BAR|BAR|BAR|POS 16|LEFT 0,0 up|RIGHT-EMPTY|END");
    assert_eq!(says(8.0, 16.0), "BAR|POS 16|LEFT 0,0 up|RIGHT-EMPTY|BAR|END");
    assert_eq!(says(9.0, 9.5), "BAR|POS 16|LEFT 0,0 up|RIGHT-EMPTY|END");
    assert_eq!(says(0.0, 9.0), "BAR|BAR|BAR|END");
    assert_eq!(says(9.1, OPEN), "END");
    assert_eq!(says(5.0, 5.0), "END");
    assert_eq!(says(f64::NAN, f64::NAN), "END");
    assert_eq!(says(-7.0, -3.0), "END");
    assert_eq!(says(0.0, 1e300), says(0.0, OPEN));
    assert_eq!(vocab.encode(&d, 1, 9.0, OPEN).first_beat, 8.0);
    assert_eq!(vocab.encode(&d, 1, 9.1, OPEN).outside, 1);
    assert_eq!(vocab.encode(&d, 1, 1e300, OPEN).outside, 1);
}

#[test]
fn grammar_rows_are_independent() {
    let vocab = vocab(Content::Notes);
    let mut grammar = Grammar::new(&vocab, 2);
    grammar.push(&[START, START]).expect("allowed");
    grammar.push(&[3, 4]).expect("allowed");
    // A refused batch changes no row.
    assert!(matches!(grammar.push(&[8, 3]), Err(Error::Token { index: 1, id: 3, .. })));
    grammar.push(&[8, END]).expect("allowed");
    grammar.fork(&[1, 0, 0]).expect("rows");
    assert_eq!(grammar.batch(), 3);
    grammar.push(&[PAD, 9, 10]).expect("allowed");
    grammar.reset(0).expect("a row");
    let mut mask = vec![true; 3 * vocab.size()];
    grammar.mask(&mut mask).expect("sized");
    let first: Vec<usize> = (0..vocab.size()).filter(|&i| mask[i]).collect();
    assert_eq!(first, [usize::from(START)]);
    assert_eq!(mask[vocab.size()..2 * vocab.size()], mask[2 * vocab.size()..]);
    for error in [grammar.push(&[START]), grammar.mask(&mut [false; 3]), grammar.reset(3), grammar.fork(&[0, 3])] {
        assert!(matches!(error, Err(Error::Spec { .. })), "{error:?}");
    }
    assert_eq!(grammar.batch(), 3);
    assert!(matches!(grammar.push(&[9999, 9999, 9999]), Err(Error::Token { index: 0, id: 9999, .. })));
}

#[test]
fn a_sequence_must_reach_its_end() {
    let vocab = vocab(Content::Full);
    let whole = ids(&vocab, "START|DIFFICULTY Hard|BAR|POS 3|LEFT 0,0 up|RIGHT-EMPTY|END|PAD|PAD");
    assert_eq!(vocab.decode(&whole).expect("decodes").notes.len(), 1);
    for end in 0..6 {
        match vocab.decode(&whole[..end]) {
            Err(error @ Error::Token { index, .. }) if index == end => {
                assert!(error.to_string().contains("expected it to go on to END"), "{error}");
            }
            other => panic!("{other:?}"),
        }
    }
    let error = vocab.decode(&[START, 3, 8, 9, 9]).expect_err("two positions");
    assert_eq!(error.to_string(), "token 4 (id 9): found POS, expected NUDGE or LEFT-EMPTY or LEFT");
    let error = vocab.decode(&[START, 60_000]).expect_err("no such id");
    assert!(error.to_string().contains("beyond the vocabulary"), "{error}");
}

// ---------------------------------------------------------------------------------------------------------- corpus

/// The folder that holds `corpus/`, or `None` with the reason printed.
#[allow(clippy::print_stderr)]
fn shared() -> Option<PathBuf> {
    let root = std::env::var_os("BEATWEAVER_CORPUS")
        .map_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../../shared"), PathBuf::from);
    if root.join("corpus/manifest.json").is_file() {
        return Some(root);
    }
    eprintln!("skipped: no corpus at {} (set BEATWEAVER_CORPUS)", root.display());
    None
}

#[derive(Default)]
struct Totals {
    tokens: u64,
    longest: usize,
    snapped: u64,
    max_error_beats: f64,
    kinds: BTreeMap<&'static str, u64>,
    lost: BTreeMap<&'static str, u64>,
    rounded: BTreeMap<&'static str, u64>,
}

/// Every level of every map comes back from each vocabulary as the oracles say.
#[test]
#[allow(clippy::print_stdout)]
fn the_corpus_comes_back() {
    let Some(root) = shared() else { return };
    let limits = Limits::default();
    let mut paths: Vec<PathBuf> = std::fs::read_dir(root.join("corpus/raw"))
        .expect("raw maps")
        .map(|e| e.expect("entry").path())
        .filter(|p| p.extension().is_some_and(|e| e == "zip"))
        .collect();
    paths.sort();
    let vocabs = all();
    let mut totals = [const { None::<Totals> }; 3].map(Option::unwrap_or_default);
    let (mut levels, mut notes, mut off16, mut off48) = (0, 0_u64, 0_u64, 0_u64);
    for path in &paths {
        let pack = Pack::open(path, &limits).expect("pack opens");
        let song = Song::read_maps(&pack, &limits).expect("song reads");
        for entry in &song.levels {
            let Ok(d) = &entry.level else { continue };
            levels += 1;
            notes += d.notes.len() as u64;
            let off = |parts: f64| {
                d.notes.iter().filter(|n| ((n.beat * parts).round() / parts - n.beat).abs() > 1e-3).count()
            };
            off16 += off(16.0) as u64;
            off48 += off(48.0) as u64;
            let place = || format!("{} {}", path.display(), entry.info.file);
            for (vocab, total) in vocabs.iter().zip(&mut totals) {
                let encoded = vocab.encode(d, entry.info.rank, 0.0, OPEN);
                accepted(vocab, &encoded.tokens).unwrap_or_else(|e| panic!("{}: {e}", place()));
                let back = vocab.decode(&encoded.tokens).unwrap_or_else(|e| panic!("{}: {e}", place()));
                check_valid_fast(&back);
                match vocab.content() {
                    Content::Notes => {
                        let rank = (entry.info.rank.clamp(1, 9) as u16 - 1).div_ceil(2);
                        assert!(encoded.tokens == notes_only(d, rank), "{}", place());
                    }
                    Content::Full => assert_eq!(counts(&back), counts_said(d), "{}", place()),
                    Content::Lights => assert!(
                        shown(&back) == shown(d) || encoded.out_of_vocabulary.contains_key("events-per-onset"),
                        "{}",
                        place()
                    ),
                }
                let again = vocab.encode(&back, entry.info.rank, 0.0, OPEN);
                assert!(again.tokens == encoded.tokens && again.out_of_vocabulary.is_empty(), "{}", place());
                total.tokens += encoded.tokens.len() as u64;
                total.longest = total.longest.max(encoded.tokens.len());
                total.snapped += encoded.snapped.count;
                total.max_error_beats = total.max_error_beats.max(encoded.snapped.max_error_beats);
                for &id in &encoded.tokens {
                    let (kind, _) = vocab.kind_of(id).expect("known");
                    *total.kinds.entry(kind.name()).or_default() += 1;
                }
                for (sum, part) in [(&mut total.lost, encoded.out_of_vocabulary), (&mut total.rounded, encoded.rounded)]
                {
                    part.into_iter().for_each(|(k, n)| *sum.entry(k).or_default() += n);
                }
            }
        }
    }
    assert!(paths.len() >= 476 && levels > 1000, "{} maps, {levels} levels", paths.len());
    println!("{} maps, {levels} levels, {notes} notes", paths.len());
    println!(
        "{off16} notes ({:.1} %) off the 1/16 grid, {off48} ({:.1} %) off the 1/48 grid, by more than 0.001 beat",
        100.0 * off16 as f64 / notes as f64,
        100.0 * off48 as f64 / notes as f64
    );
    for (vocab, t) in vocabs.iter().zip(&totals) {
        println!(
            "{:?}: {} ids, {} tokens, longest {}, {} beats snapped, at most {:.5}",
            vocab.content(),
            vocab.size(),
            t.tokens,
            t.longest,
            t.snapped,
            t.max_error_beats
        );
        println!("  tokens {:?}", t.kinds);
        println!("  out of vocabulary {:?}", t.lost);
        println!("  rounded {:?}", t.rounded);
    }
}

/// As `check_valid`, for long levels: only what can be asked quickly.
fn check_valid_fast(d: &Difficulty) {
    let mut taken = BTreeSet::new();
    for (beat, x, y) in d.notes.iter().map(|n| (n.beat, n.x, n.y)).chain(d.bombs.iter().map(|b| (b.beat, b.x, b.y))) {
        assert!(beat >= 0.0 && in_grid(x, y) && taken.insert((beat.to_bits(), x, y)));
    }
    assert!(d.notes.is_sorted_by(|a, b| a.beat <= b.beat) && d.lights.is_sorted_by(|a, b| a.beat <= b.beat));
    assert!(d.arcs.iter().all(|a| a.tail_beat > a.beat) && d.chains.iter().all(|c| c.tail_beat > c.beat));
}

type Counts = [usize; 5];

fn counts(d: &Difficulty) -> Counts {
    [d.notes.len(), d.bombs.len(), d.obstacles.len(), d.arcs.len(), d.chains.len()]
}

/// `played`, counted, with the objects of each beat looked at alone: the plain oracle is quadratic.
fn counts_said(d: &Difficulty) -> Counts {
    let mut by_tick: HashMap<i64, Difficulty> = HashMap::new();
    macro_rules! spread {
        ($($rows:ident),*) => {$(
            for row in &d.$rows {
                if let Some(t) = tick48(row.beat) {
                    by_tick.entry(t).or_default().$rows.push(row.clone());
                }
            }
        )*};
    }
    spread!(notes, bombs, obstacles, arcs, chains);
    let mut sum = [0; 5];
    for d in by_tick.values() {
        let p = played(d);
        let counts = [p.notes.len(), p.bombs.len(), p.walls.len(), p.arcs.len(), p.chains.len()];
        sum.iter_mut().zip(counts).for_each(|(s, n)| *s += n);
    }
    sum
}
