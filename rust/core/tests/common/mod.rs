//! Strategies for whole levels and songs of every version, and the corpus, shared by the test programs.
#![allow(dead_code, missing_docs, unreachable_pub, clippy::print_stderr)]

use std::borrow::Cow;
use std::path::PathBuf;

use beatweaver_core::Limits;
use beatweaver_core::map::pack::{Pack, zip_bytes};
use beatweaver_core::map::*;
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::{select, subsequence};
use serde_json::{Map, Value, json};

/// The folder that holds `corpus/`, or `None` with the reason printed.
pub fn shared() -> Option<PathBuf> {
    let root = std::env::var_os("BEATWEAVER_CORPUS")
        .map_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../../shared"), PathBuf::from);
    if root.join("corpus/manifest.json").is_file() {
        return Some(root);
    }
    eprintln!("skipped: no corpus at {} (set BEATWEAVER_CORPUS)", root.display());
    None
}

/// Packs of the corpus, sorted by name.
pub fn corpus_packs(root: &std::path::Path) -> Vec<PathBuf> {
    let folder = std::fs::read_dir(root.join("corpus/raw")).expect("corpus/raw");
    let mut paths: Vec<PathBuf> = folder.map(|e| e.expect("entry").path()).collect();
    paths.retain(|p| p.extension().is_some_and(|e| e == "zip"));
    paths.sort();
    paths
}

/// Property settings: this many cases, or `PROPTEST_CASES`; a failure prints its input, no file is written.
pub fn config(cases: u32) -> ProptestConfig {
    let asked = std::env::var("PROPTEST_CASES").ok().and_then(|n| n.parse().ok());
    let cases = asked.unwrap_or(cases);
    ProptestConfig { cases, failure_persistence: None, max_global_rejects: cases * 4, ..ProptestConfig::default() }
}

pub fn version(major: u8, minor: u8, patch: u8) -> Version {
    Version { major, minor, patch }
}

/// Reads back what [`Difficulty::write`] wrote; nothing that we write may cause a warning, but for notes that are none.
pub fn read_back(level: &[u8], lightshow: Option<&[u8]>) -> Difficulty {
    let limits = Limits::default();
    let (mut d, mut warnings) = read_level(level, "level.dat", &limits).expect("what was written reads");
    warnings.retain(|w| w.rule != "unknown-note-type");
    assert_eq!(warnings, [], "{}", String::from_utf8_lossy(level));
    if let Some(bytes) = lightshow {
        let warnings = d.add_lightshow(bytes, "lights.dat", &limits).expect("what was written reads");
        assert_eq!(warnings, [], "{}", String::from_utf8_lossy(bytes));
    }
    d
}

/// Fails with the lines that differ, of which a whole level has too many to print.
pub fn same<T: PartialEq + std::fmt::Debug>(found: &T, expected: &T) -> Result<(), TestCaseError> {
    if found == expected {
        return Ok(());
    }
    let (found, expected) = (format!("{found:#?}"), format!("{expected:#?}"));
    let lines = found.lines().zip(expected.lines()).enumerate().filter(|(_, (a, b))| a != b).take(8);
    let lines: Vec<String> =
        lines.map(|(n, (a, b))| format!("{n}: found {}, expected {}", a.trim(), b.trim())).collect();
    let (a, b) = (found.lines().count(), expected.lines().count());
    Err(TestCaseError::fail(format!("{a} lines for {b}\n{}", lines.join("\n"))))
}

// ------------------------------------------------------------------------------------------------------------- values

pub fn beat() -> impl Strategy<Value = f64> {
    prop_oneof![
        6 => (-64i32..20_000).prop_map(|n| f64::from(n) / 64.0),
        2 => (-4_000i32..300_000).prop_map(|n| f64::from(n) / 1000.0),
        1 => -10.0..300.0f64,
        1 => prop_oneof![Just(0.0), Just(-0.0), Just(4.0)],
    ]
}

pub fn number() -> impl Strategy<Value = f64> {
    prop_oneof![
        4 => (-100i32..100).prop_map(|n| f64::from(n) / 10.0),
        2 => prop_oneof![Just(0.0), Just(1.0), Just(-0.0), Just(1e15), Just(-1e15), Just(1e-7), Just(3e38), Just(9e15)],
        1 => prop::num::f64::NORMAL | prop::num::f64::SUBNORMAL | prop::num::f64::NEGATIVE | prop::num::f64::POSITIVE,
    ]
    .prop_filter("JSON has no infinity", |v| v.is_finite())
}

fn integer() -> impl Strategy<Value = i32> {
    prop_oneof![4 => 0..10i32, 1 => -1000..1000i32, 1 => any::<i32>()]
}

/// A place on the grid, of the game or of Mapping Extensions.
fn cell(size: i32) -> impl Strategy<Value = i32> {
    prop_oneof![8 => 0..size, 1 => -5000..5000i32, 1 => any::<i32>()]
}

fn cut() -> impl Strategy<Value = i32> {
    prop_oneof![8 => 0..9i32, 1 => 1000..2361i32, 1 => any::<i32>()]
}

fn text() -> impl Strategy<Value = String> {
    prop_oneof![3 => "[a-zA-Z0-9 ]{0,8}", 1 => any::<String>()]
}

/// Any JSON value.
pub fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        number().prop_map(Value::from),
        text().prop_map(Value::from),
    ];
    leaf.prop_recursive(3, 12, 4, |inner| {
        prop_oneof![
            vec(inner.clone(), 0..4).prop_map(Value::from),
            vec((text(), inner), 0..4).prop_map(|m| m.into_iter().collect())
        ]
    })
}

// ------------------------------------------------------------------------------------------------------------- extras

/// Custom data that every version can say, in the spelling of versions 1 and 2; the second is that of 3 and 4.
const KNOWN_CUSTOM: [(&str, &str); 8] = [
    ("_color", "color"),
    ("_position", "coordinates"),
    ("_rotation", "worldRotation"),
    ("_track", "track"),
    ("_animation", "animation"),
    ("_lightID", "lightID"),
    ("_scale", "size"),
    ("_nameFilter", "nameFilter"),
];

fn underscored(major: u8) -> bool {
    major <= 2
}

/// What a row says beyond the model: mostly nothing, else custom data and unknown fields.
pub fn extra(major: u8, foreign: bool) -> BoxedStrategy<Extra> {
    let known = subsequence(KNOWN_CUSTOM.to_vec(), 1..4).prop_flat_map(move |keys| {
        vec(any_json(), keys.len()).prop_map(move |values| {
            let name = |k: &(&str, &str)| if underscored(major) { k.0 } else { k.1 }.to_owned();
            keys.iter().map(name).zip(values).collect::<Map<_, _>>()
        })
    });
    let custom = known.prop_map(move |custom| {
        let mut members = Map::new();
        members.insert(if underscored(major) { "_customData" } else { "customData" }.into(), Value::Object(custom));
        members
    });
    let unknown = vec(("zz[a-z]{0,3}", any_json()), 0..3);
    if !foreign {
        return prop_oneof![6 => Just(Extra::default()), 1 => custom.prop_map(|m| Extra::from_members(&m))].boxed();
    }
    let both =
        (custom, unknown, vec(("[zZ\"\\\\é ]{0,4}", any_json()), 0..2)).prop_map(move |(mut members, unknown, odd)| {
            if let Some(Value::Object(custom)) = members.values_mut().next() {
                custom.extend(odd.into_iter().map(|(k, v)| (format!("odd{k}"), v)));
            }
            members.extend(unknown);
            Extra::from_members(&members)
        });
    prop_oneof![8 => Just(Extra::default()), 2 => both].boxed()
}

// --------------------------------------------------------------------------------------------------------------- rows

/// What one generated level may hold.
#[derive(Clone, Copy, Debug)]
pub struct Taste {
    /// Version of the level.
    pub major: u8,
    /// Only what versions 2, 3 and 4 can all say, so that nothing is lost anywhere.
    pub common: bool,
    /// Most rows of a kind.
    pub rows: usize,
}

impl Taste {
    fn extra(self) -> BoxedStrategy<Extra> {
        extra(self.major, !self.common)
    }
    /// A lane in degrees, where the version has lanes.
    fn lane(self) -> BoxedStrategy<i32> {
        if self.major == 4 && !self.common {
            prop_oneof![3 => Just(0), 1 => (-24..24i32).prop_map(|n| n * 15)].boxed()
        } else {
            Just(0).boxed()
        }
    }
}

fn note(t: Taste) -> BoxedStrategy<Note> {
    let angle = if t.major >= 3 && !t.common { prop_oneof![Just(0), -360..360i32].boxed() } else { Just(0).boxed() };
    let color = if t.major == 2 { (0..2i32).boxed() } else { prop_oneof![9 => 0..2i32, 1 => integer()].boxed() };
    let color = if t.common { (0..2i32).boxed() } else { color };
    (beat(), cell(4), cell(3), color, cut(), angle, t.lane(), t.extra())
        .prop_map(|(beat, x, y, color, cut, angle, lane, extra)| Note { beat, x, y, color, cut, angle, lane, extra })
        .boxed()
}

fn bomb(t: Taste) -> BoxedStrategy<Bomb> {
    (beat(), cell(4), cell(3), t.lane(), t.extra())
        .prop_map(|(beat, x, y, lane, extra)| Bomb { beat, x, y, lane, extra })
        .boxed()
}

fn obstacle(t: Taste) -> BoxedStrategy<Obstacle> {
    let size = prop_oneof![
        2 => Just((0, 5)),
        2 => Just((2, 3)),
        2 => (0..5i32, 0..6i32),
        1 => (0..1000i32, 0..4000i32).prop_map(|(y, h)| (y * 5 + 1000, h * 5 + 1000)),
        1 => (0..3001i32).prop_map(|h| (0, h * 5 + 1000)),
        1 => (any::<i32>(), any::<i32>()),
    ];
    (beat(), number(), cell(4), size, prop_oneof![4 => 1..5i32, 1 => any::<i32>()], t.lane(), t.extra())
        .prop_map(|(beat, duration_beats, x, (y, height), width, lane, extra)| Obstacle {
            beat,
            duration_beats,
            x,
            y,
            width,
            height,
            lane,
            extra,
        })
        .boxed()
}

fn arc(t: Taste) -> BoxedStrategy<Arc> {
    let head = (beat(), 0..2i32, cell(4), cell(3), cut(), number());
    let tail = (beat(), cell(4), cell(3), cut(), number(), 0..3i32);
    (head, tail, t.lane(), t.lane(), t.extra())
        .prop_map(|(h, tail, lane, tail_lane, extra)| {
            let (beat, color, x, y, cut, multiplier) = h;
            let (tail_beat, tail_x, tail_y, tail_cut, tail_multiplier, mid_anchor) = tail;
            Arc {
                beat,
                color,
                x,
                y,
                cut,
                multiplier,
                tail_beat,
                tail_x,
                tail_y,
                tail_cut,
                tail_multiplier,
                mid_anchor,
                lane,
                tail_lane,
                extra,
            }
        })
        .boxed()
}

fn chain(t: Taste) -> BoxedStrategy<Chain> {
    let head = (beat(), 0..2i32, cell(4), cell(3), cut());
    (head, (beat(), cell(4), cell(3)), 0..30i32, number(), t.lane(), t.lane(), t.extra())
        .prop_map(|((beat, color, x, y, cut), (tail_beat, tail_x, tail_y), slices, squish, lane, tail_lane, extra)| {
            Chain { beat, color, x, y, cut, tail_beat, tail_x, tail_y, slices, squish, lane, tail_lane, extra }
        })
        .boxed()
}

/// Event types that version 2 takes for something else.
const SPECIAL_EVENTS: [i32; 4] = [5, 14, 15, 100];

fn light(t: Taste) -> BoxedStrategy<Light> {
    let kind = prop_oneof![6 => 0..20i32, 1 => 40..44i32, 1 => Just(100), 1 => any::<i32>()];
    let special = t.major == 2 || t.common;
    let kind = kind.prop_filter("not a light", move |k| !(special && SPECIAL_EVENTS.contains(k)));
    let value = prop_oneof![6 => 0..13i32, 1 => 2_000_000_000..2_016_777_216i32, 1 => any::<i32>()];
    (beat(), kind, value, number(), t.extra())
        .prop_map(|(beat, kind, value, brightness, extra)| Light { beat, kind, value, brightness, extra })
        .boxed()
}

fn boost(t: Taste) -> BoxedStrategy<Boost> {
    (beat(), any::<bool>(), t.extra()).prop_map(|(beat, on, extra)| Boost { beat, on, extra }).boxed()
}

fn rotation(t: Taste) -> BoxedStrategy<Rotation> {
    let steps = select(vec![-60.0, -45.0, -30.0, -15.0, 15.0, 30.0, 45.0, 60.0]);
    let degrees = match t.major {
        2 => prop_oneof![3 => steps, 1 => (-360..2000i32).prop_map(f64::from)].boxed(),
        _ => {
            prop_oneof![3 => steps, 1 => (-48..48i32).prop_map(|n| f64::from(n) * 15.0), 1 => -800.0..800.0f64].boxed()
        }
    };
    (beat(), 0..2i32, degrees, t.extra())
        .prop_map(|(beat, late, degrees, extra)| Rotation { beat, late, degrees, extra })
        .boxed()
}

fn tempo(t: Taste) -> BoxedStrategy<TempoEvent> {
    let bpm = prop_oneof![6 => (20..600i32).prop_map(f64::from), 2 => 10.0..999.0f64, 1 => number()];
    (beat(), bpm, t.extra()).prop_map(|(beat, bpm, extra)| TempoEvent { beat, bpm, extra }).boxed()
}

fn waypoint(t: Taste) -> BoxedStrategy<Waypoint> {
    (beat(), cell(4), cell(3), 0..10i32, t.extra())
        .prop_map(|(beat, x, y, direction, extra)| Waypoint { beat, x, y, direction, extra })
        .boxed()
}

fn njs_event(t: Taste) -> BoxedStrategy<NjsEvent> {
    (beat(), number(), 0..2i32, -1..103i32, t.extra())
        .prop_map(|(beat, delta, previous, easing, extra)| NjsEvent { beat, delta, previous, easing, extra })
        .boxed()
}

fn keyword() -> BoxedStrategy<Keyword> {
    (text(), vec(integer(), 0..4))
        .prop_map(|(keyword, events)| Keyword { keyword, events, extra: Extra::default() })
        .boxed()
}

fn filter(t: Taste) -> BoxedStrategy<IndexFilter> {
    ((integer(), integer(), integer(), integer(), integer()), (integer(), integer(), number(), integer()), t.extra())
        .prop_map(|((chunks, kind, p, t, reverse), (random, seed, limit, limit_affects), extra)| IndexFilter {
            chunks,
            kind,
            p,
            t,
            reverse,
            random,
            seed,
            limit,
            limit_affects,
            extra,
        })
        .boxed()
}

fn box_event(t: Taste, kind: GroupKind) -> BoxedStrategy<BoxEvent> {
    let color = kind == GroupKind::Color;
    let step = if color && (t.major == 3 || t.common) {
        select(vec![(0, -1), (0, 0), (1, -1)]).boxed()
    } else {
        (0..2i32, -1..31i32).boxed()
    };
    let of_color = (integer(), integer(), number(), 0..2i32);
    let of_rotation = (0..3i32, integer());
    (beat(), step, number(), of_color, of_rotation, t.extra())
        .prop_map(move |(beat, (previous, easing), value, c, r, extra)| {
            let mut event = BoxEvent { beat, previous, easing, value, extra, ..BoxEvent::default() };
            if color {
                (event.color, event.strobe, event.strobe_brightness, event.strobe_fade) = c;
            }
            if kind == GroupKind::Rotation {
                (event.direction, event.loops) = r;
            }
            event
        })
        .boxed()
}

fn group(t: Taste) -> BoxedStrategy<EventBoxGroup> {
    let kind = select(vec![GroupKind::Color, GroupKind::Rotation, GroupKind::Translation, GroupKind::Fx]);
    kind.prop_flat_map(move |kind| {
        let axis = matches!(kind, GroupKind::Rotation | GroupKind::Translation);
        let spread = (number(), integer(), number(), integer(), 0..2i32, -1..31i32);
        let boxed = (filter(t), spread, (0..3i32, 0..2i32), vec(box_event(t, kind), 0..3), t.extra()).prop_map(
            move |(filter, spread, (a, i), events, extra)| {
                let (
                    beat_distribution,
                    beat_distribution_type,
                    value_distribution,
                    value_distribution_type,
                    affects_first,
                    easing,
                ) = spread;
                EventBox {
                    filter,
                    beat_distribution,
                    beat_distribution_type,
                    value_distribution,
                    value_distribution_type,
                    affects_first,
                    easing,
                    axis: if axis { a } else { 0 },
                    invert: if axis { i } else { 0 },
                    events,
                    extra,
                }
            },
        );
        (beat(), integer(), vec(boxed, 0..3), t.extra()).prop_map(move |(beat, group, boxes, extra)| EventBoxGroup {
            beat,
            group,
            kind,
            boxes,
            extra,
        })
    })
    .boxed()
}

/// None, mostly, or up to `most` of them: so that levels without a kind are common.
fn some<T: std::fmt::Debug>(row: impl Strategy<Value = T>, most: usize) -> impl Strategy<Value = Vec<T>> {
    prop_oneof![2 => Just(0), 3 => 0..most.max(1) + 1].prop_flat_map({
        let row = std::rc::Rc::new(row);
        move |n| vec(row.clone(), n)
    })
}

/// The same rows, only on request.
fn only<T: std::fmt::Debug>(on: bool, row: impl Strategy<Value = T>, most: usize) -> impl Strategy<Value = Vec<T>> {
    some(row, most).prop_map(move |rows| if on { rows } else { Vec::new() })
}

fn stray(t: Taste) -> BoxedStrategy<Stray> {
    match t.major {
        2 => (prop_oneof![Just(2), 4..99i32, Just(-1)], 0..500i32)
            .prop_map(|(kind, n)| Stray {
                list: "_notes".into(),
                json: format!(
                    r#"{{"_time":{n},"_lineIndex":1,"_lineLayer":0,"_type":{kind},"_cutDirection":{}}}"#,
                    n % 9
                ),
            })
            .boxed(),
        _ => any_json().prop_map(|v| Stray { list: "_il".into(), json: json!({ "b": v }).to_string() }).boxed(),
    }
}

/// Custom data of a level that is no list of fakes, and unknown members.
fn level_extra(t: Taste) -> BoxedStrategy<Extra> {
    if t.common {
        return Just(Extra::default()).boxed();
    }
    (vec(("_?[a-z]{1,6}", any_json()), 0..3), vec(("zz[a-z]{0,3}", any_json()), 0..3), any::<bool>())
        .prop_map(move |(custom, unknown, on)| {
            let mut members: Map<String, Value> = Map::new();
            if on && !custom.is_empty() {
                let name = if underscored(t.major) { "_customData" } else { "customData" };
                members.insert(name.into(), Value::Object(custom.into_iter().collect()));
            }
            members.extend(unknown);
            Extra::from_members(&members)
        })
        .boxed()
}

fn mark(extra: &mut Extra) {
    let mut custom = extra.custom();
    custom.insert("_fake".into(), true.into());
    extra.set("_customData", Value::Object(custom));
}

fn fakes(t: Taste) -> BoxedStrategy<Fakes> {
    if t.major == 4 || t.common {
        return Just(Fakes::default()).boxed();
    }
    (some(note(t), 2), some(bomb(t), 2), some(obstacle(t), 2), only(t.major == 3, chain(t), 2))
        .prop_map(move |(mut notes, mut bombs, mut obstacles, chains)| {
            if t.major == 2 {
                notes.iter_mut().for_each(|r| mark(&mut r.extra));
                bombs.iter_mut().for_each(|r| mark(&mut r.extra));
                obstacles.iter_mut().for_each(|r| mark(&mut r.extra));
            }
            Fakes { notes, bombs, obstacles, chains }
        })
        .boxed()
}

/// A level that version `t.major` can say in full.
pub fn difficulty(t: Taste) -> BoxedStrategy<Difficulty> {
    let n = t.rows;
    let objects = (
        some(note(t), n * 2),
        some(bomb(t), n),
        some(obstacle(t), n),
        some(arc(t), n),
        only(t.major > 2 && !t.common, chain(t), n),
        fakes(t),
    );
    let events = (
        some(light(t), n),
        some(boost(t), n),
        only(!t.common, rotation(t), n),
        only(t.major < 4 && !t.common, tempo(t), n),
        some(waypoint(t), n),
        only(t.major == 4, njs_event(t), n),
        some(keyword(), 2),
        only(t.major > 2 && !t.common, group(t), n),
    );
    let rest = (any::<bool>(), only(t.major < 4 && !t.common, stray(t), 2), level_extra(t), level_extra(t));
    (objects, events, rest)
        .prop_map(move |(objects, events, rest)| {
            let (notes, bombs, obstacles, arcs, chains, fakes) = objects;
            let (lights, boosts, mut rotations, tempo, waypoints, mut njs_events, keywords, groups) = events;
            let (compatible_events, strays, extra, light_extra) = rest;
            // One file of version 4 has either; which, by the first note's beat.
            if t.major == 4 && !rotations.is_empty() && !njs_events.is_empty() {
                if notes.len() % 2 == 0 { rotations.clear() } else { njs_events.clear() }
            }
            if t.common {
                njs_events.clear();
            }
            let mut d = Difficulty {
                version: match t.major {
                    2 => version(2, 6, 0),
                    3 => version(3, 3, 0),
                    _ if rotations.is_empty() => version(4, 1, 0),
                    _ => version(4, 0, 0),
                },
                notes,
                bombs,
                obstacles,
                arcs,
                chains,
                fakes,
                lights,
                boosts,
                rotations,
                tempo,
                waypoints,
                njs_events,
                keywords,
                groups,
                compatible_events: compatible_events || t.major == 2 || t.common,
                strays,
                extra,
                light_extra: if t.major == 4 { light_extra } else { Extra::default() },
            };
            d.sort();
            d
        })
        .boxed()
}

// -------------------------------------------------------------------------------------------------------------- songs

/// The bytes of a zip of these files.
pub fn zip(files: &[(String, Vec<u8>)]) -> Vec<u8> {
    let files: Vec<(String, Cow<[u8]>)> = files.iter().map(|(n, b)| (n.clone(), Cow::from(b.as_slice()))).collect();
    zip_bytes(&files).expect("zip")
}

/// Opens and reads a pack of these files.
pub fn read_song(files: &[(String, Vec<u8>)]) -> Song {
    let limits = Limits::default();
    let pack = Pack::from_bytes("song.zip", zip(files), &limits).expect("pack opens");
    Song::read(&pack, &limits).expect("song reads")
}
