//! Level files of version 1 and 2, both directions. Version 1 is read as 2; what is written is 2.6.

use serde::de::MapAccess;
use serde_json::Value;

use super::json::{Cx, Each, Extra, Keeper, Out, wire};
use super::{
    Arc, Bomb, Boost, Difficulty, Keyword, Light, Note, Obstacle, Rotation, Stray, TempoEvent, Version, Waypoint,
    by_beat,
};

/// What is written.
pub(super) const WRITTEN: Version = Version { major: 2, minor: 6, patch: 0 };

const KEYWORDS: &str = "_specialEventsKeywordFilters";
const NOTE_LEFT: i32 = 0;
const NOTE_RIGHT: i32 = 1;
const NOTE_BOMB: i32 = 3;
const EVENT_BOOST: i32 = 5;
const EVENT_OLD_TEMPO: i32 = 10;
const EVENT_ROTATION_EARLY: i32 = 14;
const EVENT_ROTATION_LATE: i32 = 15;
const EVENT_TEMPO: i32 = 100;
/// Largest value that means a light; below 2.5 an event of type 10 with more than that is a tempo (real maps hold both).
const LIGHT_VALUE_MAX: i32 = 12;
/// Values from here on are old Chroma colours.
const CHROMA_RGB: i32 = 2_000_000_000;
/// Degrees of the rotation values 0–7.
const ROTATION_DEGREES: [f64; 8] = [-60.0, -45.0, -30.0, -15.0, 15.0, 30.0, 45.0, 60.0];
/// Mapping Extensions: value − 1360 = degrees.
const ROTATION_PRECISE: f64 = 1360.0;

wire! {
    NoteV2 {
        beat: f64 = "_time",
        x: i32 = "_lineIndex",
        y: i32 = "_lineLayer",
        kind: i32 = "_type",
        cut: i32 = "_cutDirection",
    }
    ObstacleV2 {
        beat: f64 = "_time",
        x: i32 = "_lineIndex",
        y: i32 = "_lineLayer",
        kind: i32 = "_type",
        duration: f64 = "_duration",
        width: i32 = "_width",
        height: i32 = "_height",
    }
    EventV2 {
        beat: f64 = "_time",
        kind: i32 = "_type",
        value: i32 = "_value",
        // Absent means full brightness: before 2.5 there was no brightness.
        float: f64 = "_floatValue" or 1.0,
    }
    SliderV2 {
        color: i32 = "_colorType",
        beat: f64 = "_headTime",
        x: i32 = "_headLineIndex",
        y: i32 = "_headLineLayer",
        multiplier: f64 = "_headControlPointLengthMultiplier",
        cut: i32 = "_headCutDirection",
        tail_beat: f64 = "_tailTime",
        tail_x: i32 = "_tailLineIndex",
        tail_y: i32 = "_tailLineLayer",
        tail_multiplier: f64 = "_tailControlPointLengthMultiplier",
        tail_cut: i32 = "_tailCutDirection",
        mid_anchor: i32 = "_sliderMidAnchorMode",
    }
    WaypointV2 {
        beat: f64 = "_time",
        x: i32 = "_lineIndex",
        y: i32 = "_lineLayer",
        direction: i32 = "_offsetDirection",
    }
    KeywordsV2 { keywords: Vec<KeywordV2> = "_keywords" }
    KeywordV2 { keyword: String = "_keyword", events: Vec<i32> = "_specialEvents" }
}

/// Whether an event of this type is no light but something that the model has a row of its own for.
pub(super) fn is_special_event(kind: i32) -> bool {
    [EVENT_BOOST, EVENT_ROTATION_EARLY, EVENT_ROTATION_LATE, EVENT_TEMPO].contains(&kind)
}

/// A level file of version 1 or 2 while it is read.
pub(super) struct LevelV2 {
    pub(super) level: Difficulty,
    /// Any member that only a level has was seen.
    pub(super) recognised: bool,
    extra: Keeper,
}

impl LevelV2 {
    pub(super) fn new(version: Version) -> Self {
        let level = Difficulty { version, compatible_events: true, ..Difficulty::default() };
        Self { level, recognised: false, extra: Keeper::default() }
    }

    /// Reads one member; `false` leaves the value unread.
    pub(super) fn member<'de, A: MapAccess<'de>>(&mut self, key: &str, cx: &Cx, map: &mut A) -> Result<bool, A::Error> {
        let d = &mut self.level;
        match key {
            "_notes" => map.next_value_seed(Each::new(cx, "_notes", |row: NoteV2| push_note(d, row, cx)))?,
            "_obstacles" => map.next_value_seed(Each::new(cx, "_obstacles", |row| push_obstacle(d, row)))?,
            "_events" => map.next_value_seed(Each::new(cx, "_events", |row| push_event(d, row)))?,
            "_sliders" => map.next_value_seed(Each::new(cx, "_sliders", |row: SliderV2| d.arcs.push(row.into())))?,
            "_waypoints" => map.next_value_seed(Each::new(cx, "_waypoints", |row: WaypointV2| {
                let WaypointV2 { beat, x, y, direction, extra } = row;
                d.waypoints.push(Waypoint { beat, x, y, direction, extra });
            }))?,
            KEYWORDS => {
                let mut filters = KeywordsV2::default();
                cx.at_key(KEYWORDS);
                map.next_value_seed(super::json::Into(cx, &mut filters))?;
                d.strays.extend(Stray::rest(KEYWORDS, &filters.extra));
                d.keywords = filters
                    .keywords
                    .into_iter()
                    .map(|k| Keyword { keyword: k.keyword, events: k.events, extra: k.extra })
                    .collect();
                return Ok(true);
            }
            _ => return Ok(false),
        }
        self.recognised = true;
        Ok(true)
    }

    /// Keeps an unknown member.
    pub(super) fn keep<'de, A: MapAccess<'de>>(&mut self, key: &str, map: &mut A) -> Result<(), A::Error> {
        self.extra.take(key, map)
    }

    pub(super) fn finish(mut self) -> Difficulty {
        self.level.extra = self.extra.finish();
        self.level.sort();
        self.level
    }
}

pub(super) fn is_fake(extra: &Extra) -> bool {
    !extra.is_empty()
        && memchr::memmem::find(extra.own().as_bytes(), b"\"_fake\"").is_some()
        && extra.custom().get("_fake") == Some(&Value::Bool(true))
}

fn push_note(d: &mut Difficulty, row: NoteV2, cx: &Cx) {
    let NoteV2 { beat, x, y, kind, cut, extra } = row;
    match kind {
        NOTE_LEFT | NOTE_RIGHT => {
            let fake = is_fake(&extra);
            let note = Note { beat, x, y, color: kind, cut, angle: 0, lane: 0, extra };
            if fake { d.fakes.notes.push(note) } else { d.notes.push(note) }
        }
        NOTE_BOMB => {
            let fake = is_fake(&extra);
            let mut bomb = Bomb { beat, x, y, lane: 0, extra };
            // Editors write any direction on bombs; it means nothing, but it is theirs.
            if cut != 0 {
                bomb.extra.set("_cutDirection", cut.into());
            }
            if fake { d.fakes.bombs.push(bomb) } else { d.bombs.push(bomb) }
        }
        _ => {
            cx.warn("unknown-note-type", || format!("found note type {kind}, expected 0, 1 or 3; it is kept aside"));
            d.strays.push(Stray::new("_notes", &NoteV2 { beat, x, y, kind, cut, extra }));
        }
    }
}

/// Mapping Extensions packs start row and height into the wall type; in "precise" units 1000 is the origin and 1000 a row.
fn precise_wall(kind: i32) -> Option<(i32, i32)> {
    match kind {
        1000..=4000 => Some((0, (kind - 1000) * 5 + 1000)),
        4001..=4_005_000 => Some(((kind - 4001) % 1000 * 5 + 1000, (kind - 4001) / 1000 * 5 + 1000)),
        _ => None,
    }
}

/// The wall type that says this start row and height, if any does without `_lineLayer` and `_height`.
fn wall_type(y: i32, height: i32) -> i32 {
    let parts = |v: i32| (v >= 1000 && (v - 1000) % 5 == 0).then(|| (v - 1000) / 5);
    let packed = match (y, height) {
        (0, 5) => Some(0),
        (2, 3) => Some(1),
        (0, h) => parts(h).map(|h| h + 1000),
        (y, h) => parts(y)
            .zip(parts(h))
            .filter(|(y, _)| *y < 1000)
            .and_then(|(y, h)| h.checked_mul(1000)?.checked_add(y + 4001)),
    };
    packed.filter(|&t| t < 2 || precise_wall(t) == Some((y, height))).unwrap_or(2)
}

fn push_obstacle(d: &mut Difficulty, row: ObstacleV2) {
    let ObstacleV2 { beat, x, y: layer, kind, duration, width, height: rows, mut extra } = row;
    let (y, height) = match kind {
        0 => (0, 5),
        1 => (2, 3),
        2 => (layer, rows),
        _ => precise_wall(kind).unwrap_or_else(|| {
            extra.set("_type", kind.into());
            (0, 5)
        }),
    };
    let fake = is_fake(&extra);
    let wall = Obstacle { beat, duration_beats: duration, x, y, width, height, lane: 0, extra };
    if fake { d.fakes.obstacles.push(wall) } else { d.obstacles.push(wall) }
}

fn push_event(d: &mut Difficulty, row: EventV2) {
    let EventV2 { beat, kind, value, float, mut extra } = row;
    let old = (d.version.major, d.version.minor) < (2, 5);
    // Where the brightness means nothing it is kept only if it is neither of the values that editors fill in.
    let keep_float = |extra: &mut Extra| {
        if float != 1.0 && float != 0.0 {
            extra.set("_floatValue", float.into());
        }
    };
    match kind {
        EVENT_BOOST => {
            keep_float(&mut extra);
            if value != 0 && value != 1 {
                extra.set("_value", value.into());
            }
            d.boosts.push(Boost { beat, on: value != 0, extra });
        }
        EVENT_ROTATION_EARLY | EVENT_ROTATION_LATE => {
            keep_float(&mut extra);
            let degrees = match value {
                0..=7 => ROTATION_DEGREES[value as usize],
                1000.. => f64::from(value) - ROTATION_PRECISE,
                _ => {
                    extra.set("_value", value.into());
                    0.0
                }
            };
            d.rotations.push(Rotation { beat, late: i32::from(kind == EVENT_ROTATION_LATE), degrees, extra });
        }
        EVENT_TEMPO => {
            // Some tools write the tempo into `_value` and leave the float out.
            let bpm = if (float == 1.0 || float == 0.0) && value > LIGHT_VALUE_MAX { f64::from(value) } else { float };
            if bpm == float && value != 0 {
                extra.set("_value", value.into());
            }
            d.tempo.push(TempoEvent { beat, bpm, extra });
        }
        EVENT_OLD_TEMPO if old && value > LIGHT_VALUE_MAX && value < CHROMA_RGB => {
            d.tempo.push(TempoEvent { beat, bpm: f64::from(value), extra });
        }
        _ => d.lights.push(Light { beat, kind, value, brightness: float, extra }),
    }
}

impl From<SliderV2> for Arc {
    fn from(s: SliderV2) -> Self {
        Self {
            beat: s.beat,
            color: s.color,
            x: s.x,
            y: s.y,
            cut: s.cut,
            multiplier: s.multiplier,
            tail_beat: s.tail_beat,
            tail_x: s.tail_x,
            tail_y: s.tail_y,
            tail_cut: s.tail_cut,
            tail_multiplier: s.tail_multiplier,
            mid_anchor: s.mid_anchor,
            lane: 0,
            tail_lane: 0,
            extra: s.extra,
        }
    }
}

fn note_row(n: &Note) -> NoteV2 {
    NoteV2 { beat: n.beat, x: n.x, y: n.y, kind: n.color, cut: n.cut, extra: n.extra.clone() }
}

fn bomb_row(b: &Bomb) -> NoteV2 {
    NoteV2 { beat: b.beat, x: b.x, y: b.y, kind: NOTE_BOMB, cut: 0, extra: b.extra.clone() }
}

fn obstacle_row(o: &Obstacle) -> ObstacleV2 {
    ObstacleV2 {
        beat: o.beat,
        x: o.x,
        y: o.y,
        kind: wall_type(o.y, o.height),
        duration: o.duration_beats,
        width: o.width,
        height: o.height,
        extra: o.extra.clone(),
    }
}

/// Rows of several lists as one, sorted by beat; on one beat the lists keep their order.
fn merged<T>(mut rows: Vec<T>, beat: impl Fn(&T) -> f64) -> Vec<T> {
    rows.sort_by(|a, b| by_beat(beat(a), beat(b)));
    rows
}

/// A level as a 2.6 file. What 2.6 cannot say must have been removed before (see `convert`).
pub(super) fn write(d: &Difficulty) -> Vec<u8> {
    let notes = d.notes.iter().chain(&d.fakes.notes).map(note_row);
    let bombs = d.bombs.iter().chain(&d.fakes.bombs).map(bomb_row);
    let notes = merged(notes.chain(bombs).collect(), |n| n.beat);
    let walls = d.obstacles.iter().chain(&d.fakes.obstacles).map(obstacle_row);
    let walls = merged(walls.collect(), |o| o.beat);
    let event = |beat, kind, value, float, extra: &Extra| EventV2 { beat, kind, value, float, extra: extra.clone() };
    let mut events: Vec<EventV2> = Vec::with_capacity(d.lights.len() + d.boosts.len() + d.rotations.len());
    events.extend(d.tempo.iter().map(|e| event(e.beat, EVENT_TEMPO, 0, e.bpm, &e.extra)));
    events.extend(d.rotations.iter().map(|e| {
        let kind = if e.late == 0 { EVENT_ROTATION_EARLY } else { EVENT_ROTATION_LATE };
        let step = ROTATION_DEGREES.iter().position(|&d| d == e.degrees);
        event(e.beat, kind, step.map_or((e.degrees + ROTATION_PRECISE).round() as i32, |s| s as i32), 1.0, &e.extra)
    }));
    events.extend(d.boosts.iter().map(|e| event(e.beat, EVENT_BOOST, i32::from(e.on), 1.0, &e.extra)));
    events.extend(d.lights.iter().map(|e| event(e.beat, e.kind, e.value, e.brightness, &e.extra)));
    let events = merged(events, |e| e.beat);
    let arcs = d.arcs.iter().map(|a| SliderV2 {
        color: a.color,
        beat: a.beat,
        x: a.x,
        y: a.y,
        multiplier: a.multiplier,
        cut: a.cut,
        tail_beat: a.tail_beat,
        tail_x: a.tail_x,
        tail_y: a.tail_y,
        tail_multiplier: a.tail_multiplier,
        tail_cut: a.tail_cut,
        mid_anchor: a.mid_anchor,
        extra: a.extra.clone(),
    });
    let waypoints = d.waypoints.iter().map(|w| {
        let Waypoint { beat, x, y, direction, extra } = w.clone();
        WaypointV2 { beat, x, y, direction, extra }
    });
    let keywords = d.keywords.iter().map(|k| {
        let Keyword { keyword, events, extra } = k.clone();
        KeywordV2 { keyword, events, extra }
    });
    let mut out = Out::default();
    out.object(&d.extra, |out| {
        out.member("_version", &WRITTEN.to_string());
        out.with_strays("_notes", notes, &d.strays);
        out.with_strays("_obstacles", walls, &d.strays);
        out.with_strays("_events", events, &d.strays);
        out.list("_sliders", arcs);
        out.list("_waypoints", waypoints);
        let extra = Stray::rest_of(&d.strays, KEYWORDS);
        out.member(KEYWORDS, &KeywordsV2 { keywords: keywords.collect(), extra });
    });
    out.into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wall_types_of_mapping_extensions_come_back() {
        for kind in (0..=1).chain(1000..=4000).chain((4001..4_005_000).step_by(997)) {
            let (y, height) = match kind {
                0 => (0, 5),
                1 => (2, 3),
                _ => precise_wall(kind).expect("precise"),
            };
            assert_eq!(wall_type(y, height), kind, "{y} {height}");
        }
        assert_eq!(wall_type(1, 2), 2);
    }
}
