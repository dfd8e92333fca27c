//! Level and light show files of version 4, both directions. What is written is 4.1 with light shows of 4.0.

use std::collections::HashMap;

use serde::de::MapAccess;

use super::json::{Cx, Each, Extra, Into, Keeper, Out, Verbatim, Wire, Write, wire};
use super::v3::{FilterWire, KEYWORDS, KeywordsV3, keywords_from, keywords_wire};
use super::{
    Arc, Bomb, Boost, BoxEvent, Chain, Difficulty, EventBox, EventBoxGroup, GroupKind, Light, NjsEvent, Note, Obstacle,
    Rotation, Stray, Version, Waypoint,
};

/// What is written, unless the level still turns by events: only 4.0 has those.
pub(super) const WRITTEN: Version = Version { major: 4, minor: 1, patch: 0 };
const WITH_ROTATIONS: Version = Version { major: 4, minor: 0, patch: 0 };
/// What light shows are written as.
const LIGHTSHOW: Version = Version { major: 4, minor: 0, patch: 0 };

wire! {
    // An object: where it is, and which shared entry describes it.
    ObjectV4 { beat: f64 = "b", lane: i32 = "r", index: i32 = "i" }
    EventV4 { beat: f64 = "b", index: i32 = "i" }
    NoteData { x: i32 = "x", y: i32 = "y", color: i32 = "c", cut: i32 = "d", angle: i32 = "a" }
    BombData { x: i32 = "x", y: i32 = "y" }
    ObstacleData { duration: f64 = "d", x: i32 = "x", y: i32 = "y", width: i32 = "w", height: i32 = "h" }
    ArcV4 {
        beat: f64 = "hb", tail_beat: f64 = "tb", lane: i32 = "hr", tail_lane: i32 = "tr",
        head: i32 = "hi", tail: i32 = "ti", index: i32 = "ai",
    }
    ArcData { multiplier: f64 = "m", tail_multiplier: f64 = "tm", mid_anchor: i32 = "a" }
    ChainV4 {
        beat: f64 = "hb", tail_beat: f64 = "tb", lane: i32 = "hr", tail_lane: i32 = "tr", head: i32 = "i", index: i32 = "ci",
    }
    ChainData { tail_x: i32 = "tx", tail_y: i32 = "ty", slices: i32 = "c", squish: f64 = "s" }
    // Sources disagree about the letter of early/late: `t` or `e`. Both are read, `t` is written.
    RotationData { late: i32 = "t", late_too: i32 = "e", degrees: f64 = "r" }
    RotationDataWritten { late: i32 = "t", degrees: f64 = "r" }
    NjsData { delta: f64 = "d", previous: i32 = "p", easing: i32 = "e" }
    LightData { kind: i32 = "t", value: i32 = "i", brightness: f64 = "f" }
    BoostData { on: i32 = "b" }
    WaypointData { x: i32 = "x", y: i32 = "y", direction: i32 = "d" }
    GroupV4 { beat: f64 = "b", group: i32 = "g", kind: i32 = "t", boxes: Vec<BoxRef> = "e" }
    BoxRef { filter: i32 = "f", index: i32 = "e", events: Vec<EventV4> = "l" }
    BoxData {
        beat_distribution: f64 = "w", beat_distribution_type: i32 = "d" or 1, value_distribution: f64 = "s",
        value_distribution_type: i32 = "t" or 1, affects_first: i32 = "b", easing: i32 = "e",
    }
    AxisBoxData {
        beat_distribution: f64 = "w", beat_distribution_type: i32 = "d" or 1, value_distribution: f64 = "s",
        value_distribution_type: i32 = "t" or 1, affects_first: i32 = "b", easing: i32 = "e", axis: i32 = "a",
        invert: i32 = "f",
    }
    ColorData {
        previous: i32 = "p", easing: i32 = "e", color: i32 = "c", value: f64 = "b", strobe: i32 = "f",
        strobe_brightness: f64 = "sb", strobe_fade: i32 = "sf",
    }
    TurnData { previous: i32 = "p", easing: i32 = "e", value: f64 = "r", direction: i32 = "d", loops: i32 = "l" }
    MoveData { previous: i32 = "p", easing: i32 = "e", value: f64 = "t" }
    FxData { previous: i32 = "p", easing: i32 = "e", value: f64 = "v" }
}

/// The shared entry `index`; what is missing is all zero, and said.
fn entry<T: Wire + Clone>(list: &[T], index: i32, name: &str, cx: &Cx) -> T {
    let Some(found) = usize::try_from(index).ok().and_then(|i| list.get(i)) else {
        // No entries at all is how editors write a level of default objects.
        if !(list.is_empty() && index == 0) {
            cx.warn("index-out-of-range", || {
                format!("found index {index} into {name}, which has {} entries; read as all zero", list.len())
            });
        }
        return T::default();
    };
    if cx.may_copy(found.kept()) { found.clone() } else { T::default() }
}

/// Rows one by one, each named as the place of what is odd about it.
fn each_row<'a, T>(name: &'static str, rows: Vec<T>, cx: &'a Cx) -> impl Iterator<Item = T> + use<'a, T> {
    rows.into_iter().enumerate().map(move |(i, row)| {
        cx.at_row(name, i);
        row
    })
}

/// Declares the lists of a file: a struct that collects them and a `member` function that reads them.
macro_rules! lists {
    (
        $(#[$doc:meta])* $name:ident { $($field:ident: $row:ty = $key:literal),* $(,)? }
        and { $($single:ident: $ty:ty = $single_key:tt),* $(,)? }
    ) => {
        $(#[$doc])*
        #[derive(Default)]
        pub(super) struct $name {
            $($field: Vec<$row>,)*
            $($single: $ty,)*
            /// Any list that only such a file has was seen.
            pub(super) recognised: bool,
            pub(super) extra: Keeper,
        }
        impl $name {
            /// Reads one member; `false` leaves the value unread.
            pub(super) fn member<'de, A: MapAccess<'de>>(
                &mut self, key: &str, cx: &Cx, map: &mut A,
            ) -> Result<bool, A::Error> {
                match key {
                    $($key => {
                        let rows = &mut self.$field;
                        map.next_value_seed(Each::new(cx, $key, |row: $row| rows.push(row)))?;
                        self.recognised = true;
                    })*
                    $($single_key => {
                        cx.at_key($single_key);
                        map.next_value_seed(Into(cx, &mut self.$single))?;
                    })*
                    _ => return Ok(false),
                }
                Ok(true)
            }

            /// Keeps an unknown member.
            pub(super) fn keep<'de, A: MapAccess<'de>>(&mut self, key: &str, map: &mut A) -> Result<(), A::Error> {
                self.extra.take(key, map)
            }
        }
    };
}

lists! {
    /// A level file of version 4 while it is read.
    LevelV4 {
        notes: ObjectV4 = "colorNotes",
        note_data: NoteData = "colorNotesData",
        bombs: ObjectV4 = "bombNotes",
        bomb_data: BombData = "bombNotesData",
        obstacles: ObjectV4 = "obstacles",
        obstacle_data: ObstacleData = "obstaclesData",
        arcs: ArcV4 = "arcs",
        arc_data: ArcData = "arcsData",
        chains: ChainV4 = "chains",
        chain_data: ChainData = "chainsData",
        rotations: EventV4 = "spawnRotations",
        rotation_data: RotationData = "spawnRotationsData",
        njs_events: EventV4 = "njsEvents",
        njs_data: NjsData = "njsEventData",
    } and {}
}

lists! {
    /// A light show file of version 4 while it is read.
    LightsV4 {
        lights: EventV4 = "basicEvents",
        light_data: LightData = "basicEventsData",
        boosts: EventV4 = "colorBoostEvents",
        boost_data: BoostData = "colorBoostEventsData",
        waypoints: EventV4 = "waypoints",
        waypoint_data: WaypointData = "waypointsData",
        groups: GroupV4 = "eventBoxGroups",
        filters: FilterWire = "indexFilters",
        color_boxes: BoxData = "lightColorEventBoxes",
        color_events: ColorData = "lightColorEvents",
        rotation_boxes: AxisBoxData = "lightRotationEventBoxes",
        rotation_events: TurnData = "lightRotationEvents",
        translation_boxes: AxisBoxData = "lightTranslationEventBoxes",
        translation_events: MoveData = "lightTranslationEvents",
        fx_boxes: BoxData = "fxEventBoxes",
        fx_events: FxData = "floatFxEvents",
    } and {
        keywords: KeywordsV3 = KEYWORDS,
        compatible_events: bool = "useNormalEventsAsCompatibleEvents",
    }
}

/// Members of a note entry that the row of an arc or chain does not repeat; `color` is the row's own.
fn rest(data: &NoteData, color: i32) -> String {
    let mut extra = data.extra.clone();
    if data.angle != 0 {
        extra.set("a", data.angle.into());
    }
    if data.color != color {
        extra.set("c", data.color.into());
    }
    extra.own().to_owned()
}

impl LevelV4 {
    pub(super) fn finish(self, version: Version, cx: &Cx) -> Difficulty {
        let mut d = Difficulty { version, ..Difficulty::default() };
        for ObjectV4 { beat, lane, index, mut extra } in each_row("colorNotes", self.notes, cx) {
            let data = entry(&self.note_data, index, "colorNotesData", cx);
            extra.keep_data("i", data.extra.own());
            let NoteData { x, y, color, cut, angle, .. } = data;
            d.notes.push(Note { beat, x, y, color, cut, angle, lane, extra });
        }
        for ObjectV4 { beat, lane, index, mut extra } in each_row("bombNotes", self.bombs, cx) {
            let data = entry(&self.bomb_data, index, "bombNotesData", cx);
            extra.keep_data("i", data.extra.own());
            d.bombs.push(Bomb { beat, x: data.x, y: data.y, lane, extra });
        }
        for ObjectV4 { beat, lane, index, mut extra } in each_row("obstacles", self.obstacles, cx) {
            let data = entry(&self.obstacle_data, index, "obstaclesData", cx);
            extra.keep_data("i", data.extra.own());
            let ObstacleData { duration: duration_beats, x, y, width, height, .. } = data;
            d.obstacles.push(Obstacle { beat, duration_beats, x, y, width, height, lane, extra });
        }
        for row in each_row("arcs", self.arcs, cx) {
            let head = entry(&self.note_data, row.head, "colorNotesData", cx);
            let tail = entry(&self.note_data, row.tail, "colorNotesData", cx);
            let data = entry(&self.arc_data, row.index, "arcsData", cx);
            let mut extra = row.extra;
            extra.keep_data("hi", &rest(&head, head.color));
            // The tail's own colour says nothing; it is kept where it differs.
            extra.keep_data("ti", &rest(&tail, head.color));
            extra.keep_data("ai", data.extra.own());
            d.arcs.push(Arc {
                beat: row.beat,
                color: head.color,
                x: head.x,
                y: head.y,
                cut: head.cut,
                multiplier: data.multiplier,
                tail_beat: row.tail_beat,
                tail_x: tail.x,
                tail_y: tail.y,
                tail_cut: tail.cut,
                tail_multiplier: data.tail_multiplier,
                mid_anchor: data.mid_anchor,
                lane: row.lane,
                tail_lane: row.tail_lane,
                extra,
            });
        }
        for row in each_row("chains", self.chains, cx) {
            let head = entry(&self.note_data, row.head, "colorNotesData", cx);
            let data = entry(&self.chain_data, row.index, "chainsData", cx);
            let mut extra = row.extra;
            extra.keep_data("i", &rest(&head, head.color));
            extra.keep_data("ci", data.extra.own());
            d.chains.push(Chain {
                beat: row.beat,
                color: head.color,
                x: head.x,
                y: head.y,
                cut: head.cut,
                tail_beat: row.tail_beat,
                tail_x: data.tail_x,
                tail_y: data.tail_y,
                slices: data.slices,
                squish: data.squish,
                lane: row.lane,
                tail_lane: row.tail_lane,
                extra,
            });
        }
        for EventV4 { beat, index, mut extra } in each_row("spawnRotations", self.rotations, cx) {
            let data = entry(&self.rotation_data, index, "spawnRotationsData", cx);
            extra.keep_data("i", data.extra.own());
            d.rotations.push(Rotation { beat, late: data.late | data.late_too, degrees: data.degrees, extra });
        }
        for EventV4 { beat, index, mut extra } in each_row("njsEvents", self.njs_events, cx) {
            let data = entry(&self.njs_data, index, "njsEventData", cx);
            extra.keep_data("i", data.extra.own());
            d.njs_events.push(NjsEvent {
                beat,
                delta: data.delta,
                previous: data.previous,
                easing: data.easing,
                extra,
            });
        }
        d.extra = self.extra.finish();
        d.sort();
        d
    }
}

impl From<ColorData> for BoxEvent {
    fn from(w: ColorData) -> Self {
        Self {
            previous: w.previous,
            easing: w.easing,
            value: w.value,
            color: w.color,
            strobe: w.strobe,
            strobe_brightness: w.strobe_brightness,
            strobe_fade: w.strobe_fade,
            extra: w.extra,
            ..Self::default()
        }
    }
}

impl From<TurnData> for BoxEvent {
    fn from(w: TurnData) -> Self {
        let TurnData { previous, easing, value, direction, loops, extra } = w;
        Self { previous, easing, value, direction, loops, extra, ..Self::default() }
    }
}

impl From<MoveData> for BoxEvent {
    fn from(w: MoveData) -> Self {
        Self { previous: w.previous, easing: w.easing, value: w.value, extra: w.extra, ..Self::default() }
    }
}

impl From<FxData> for BoxEvent {
    fn from(w: FxData) -> Self {
        Self { previous: w.previous, easing: w.easing, value: w.value, extra: w.extra, ..Self::default() }
    }
}

impl From<BoxData> for EventBox {
    fn from(w: BoxData) -> Self {
        Self {
            beat_distribution: w.beat_distribution,
            beat_distribution_type: w.beat_distribution_type,
            value_distribution: w.value_distribution,
            value_distribution_type: w.value_distribution_type,
            affects_first: w.affects_first,
            easing: w.easing,
            extra: w.extra,
            ..Self::default()
        }
    }
}

impl From<AxisBoxData> for EventBox {
    fn from(w: AxisBoxData) -> Self {
        Self {
            beat_distribution: w.beat_distribution,
            beat_distribution_type: w.beat_distribution_type,
            value_distribution: w.value_distribution,
            value_distribution_type: w.value_distribution_type,
            affects_first: w.affects_first,
            easing: w.easing,
            axis: w.axis,
            invert: w.invert,
            extra: w.extra,
            ..Self::default()
        }
    }
}

impl LightsV4 {
    /// Adds the light show to its level.
    pub(super) fn finish(mut self, d: &mut Difficulty, cx: &Cx) {
        for EventV4 { beat, index, mut extra } in each_row("basicEvents", std::mem::take(&mut self.lights), cx) {
            let data = entry(&self.light_data, index, "basicEventsData", cx);
            extra.keep_data("i", data.extra.own());
            let LightData { kind, value, brightness, .. } = data;
            d.lights.push(Light { beat, kind, value, brightness, extra });
        }
        for EventV4 { beat, index, mut extra } in each_row("colorBoostEvents", std::mem::take(&mut self.boosts), cx) {
            let data = entry(&self.boost_data, index, "colorBoostEventsData", cx);
            extra.keep_data("i", data.extra.own());
            d.boosts.push(Boost { beat, on: data.on != 0, extra });
        }
        for EventV4 { beat, index, mut extra } in each_row("waypoints", std::mem::take(&mut self.waypoints), cx) {
            let data = entry(&self.waypoint_data, index, "waypointsData", cx);
            extra.keep_data("i", data.extra.own());
            d.waypoints.push(Waypoint { beat, x: data.x, y: data.y, direction: data.direction, extra });
        }
        for (i, group) in self.groups.iter().enumerate() {
            cx.at_row("eventBoxGroups", i);
            let kind = match group.kind {
                2 => GroupKind::Rotation,
                3 => GroupKind::Translation,
                4 => GroupKind::Fx,
                _ => GroupKind::Color,
            };
            let mut extra = group.extra.clone();
            if !(1..=4).contains(&group.kind) {
                extra.set("t", group.kind.into());
            }
            let boxes = group.boxes.iter().map(|b| {
                let (mut row, data): (EventBox, _) = match kind {
                    GroupKind::Color => entry(&self.color_boxes, b.index, "lightColorEventBoxes", cx).into_row(),
                    GroupKind::Rotation => {
                        entry(&self.rotation_boxes, b.index, "lightRotationEventBoxes", cx).into_row()
                    }
                    GroupKind::Translation => {
                        entry(&self.translation_boxes, b.index, "lightTranslationEventBoxes", cx).into_row()
                    }
                    GroupKind::Fx => entry(&self.fx_boxes, b.index, "fxEventBoxes", cx).into_row(),
                };
                row.extra = b.extra.clone();
                row.extra.keep_data("e", &data);
                let filter = entry(&self.filters, b.filter, "indexFilters", cx);
                row.filter = filter.into();
                row.events = b.events.iter().map(|e| self.event(kind, e, cx)).collect();
                row
            });
            d.groups.push(EventBoxGroup { beat: group.beat, group: group.group, kind, boxes: boxes.collect(), extra });
        }
        d.strays.extend(Stray::rest(KEYWORDS, &self.keywords.extra));
        d.keywords = keywords_from(self.keywords.keywords);
        d.compatible_events = self.compatible_events;
        d.light_extra = self.extra.finish();
        d.sort();
    }

    fn event(&self, kind: GroupKind, e: &EventV4, cx: &Cx) -> BoxEvent {
        let mut row: BoxEvent = match kind {
            GroupKind::Color => entry(&self.color_events, e.index, "lightColorEvents", cx).into(),
            GroupKind::Rotation => entry(&self.rotation_events, e.index, "lightRotationEvents", cx).into(),
            GroupKind::Translation => entry(&self.translation_events, e.index, "lightTranslationEvents", cx).into(),
            GroupKind::Fx => entry(&self.fx_events, e.index, "floatFxEvents", cx).into(),
        };
        let data = std::mem::replace(&mut row.extra, e.extra.clone());
        row.extra.keep_data("i", data.own());
        row.beat = e.beat;
        row
    }
}

/// A box and the text of what its entry said beyond the model.
trait IntoRow: std::convert::Into<EventBox> {
    fn into_row(self) -> (EventBox, String) {
        let mut row: EventBox = self.into();
        let extra = std::mem::take(&mut row.extra);
        (row, extra.own().to_owned())
    }
}
impl IntoRow for BoxData {}
impl IntoRow for AxisBoxData {}

/// A list of shared entries under construction: equal entries are written once, in order of first use.
#[derive(Default)]
struct Table {
    texts: Vec<String>,
    index: HashMap<String, i32>,
}

impl Table {
    fn index(&mut self, row: &impl Write) -> i32 {
        let mut out = Out::default();
        row.write(&mut out);
        let text = String::from_utf8_lossy(&out.into_bytes()).into_owned();
        if let Some(&known) = self.index.get(&text) {
            return known;
        }
        let next = self.texts.len() as i32;
        self.texts.push(text.clone());
        self.index.insert(text, next);
        next
    }

    fn write(&self, out: &mut Out, key: &str) {
        out.list(key, self.texts.iter().map(|t| Verbatim(t)));
    }
}

/// A level as a 4.x level file and a light show file. What they cannot say must have been removed before (see `convert`).
pub(super) fn write(d: &Difficulty) -> (Vec<u8>, Vec<u8>) {
    (write_level(d), write_lightshow(d))
}

fn write_level(d: &Difficulty) -> Vec<u8> {
    let (mut notes, mut bombs, mut walls) = (Table::default(), Table::default(), Table::default());
    let (mut arcs, mut chains, mut turns, mut speeds) =
        (Table::default(), Table::default(), Table::default(), Table::default());
    let object = |beat, lane, index, extra: &Extra| ObjectV4 { beat, lane, index, extra: extra.without_data() };
    let note_rows: Vec<_> = d
        .notes
        .iter()
        .map(|n| {
            let Note { beat, x, y, color, cut, angle, lane, extra } = n;
            let data = NoteData { x: *x, y: *y, color: *color, cut: *cut, angle: *angle, extra: extra.data_of("i") };
            object(*beat, *lane, notes.index(&data), extra)
        })
        .collect();
    let bomb_rows: Vec<_> = d
        .bombs
        .iter()
        .map(|b| {
            object(b.beat, b.lane, bombs.index(&BombData { x: b.x, y: b.y, extra: b.extra.data_of("i") }), &b.extra)
        })
        .collect();
    let wall_rows: Vec<_> = d
        .obstacles
        .iter()
        .map(|o| {
            let data = ObstacleData {
                duration: o.duration_beats,
                x: o.x,
                y: o.y,
                width: o.width,
                height: o.height,
                extra: o.extra.data_of("i"),
            };
            object(o.beat, o.lane, walls.index(&data), &o.extra)
        })
        .collect();
    let arc_rows: Vec<_> = d
        .arcs
        .iter()
        .map(|a| {
            let end = |x, y, cut, name| NoteData { x, y, color: a.color, cut, angle: 0, extra: a.extra.data_of(name) };
            ArcV4 {
                beat: a.beat,
                tail_beat: a.tail_beat,
                lane: a.lane,
                tail_lane: a.tail_lane,
                head: notes.index(&end(a.x, a.y, a.cut, "hi")),
                tail: notes.index(&end(a.tail_x, a.tail_y, a.tail_cut, "ti")),
                index: arcs.index(&ArcData {
                    multiplier: a.multiplier,
                    tail_multiplier: a.tail_multiplier,
                    mid_anchor: a.mid_anchor,
                    extra: a.extra.data_of("ai"),
                }),
                extra: a.extra.without_data(),
            }
        })
        .collect();
    let chain_rows: Vec<_> = d
        .chains
        .iter()
        .map(|c| {
            let extra = c.extra.data_of("i");
            let head = NoteData { x: c.x, y: c.y, color: c.color, cut: c.cut, angle: 0, extra };
            let extra = c.extra.data_of("ci");
            let data = ChainData { tail_x: c.tail_x, tail_y: c.tail_y, slices: c.slices, squish: c.squish, extra };
            ChainV4 {
                beat: c.beat,
                tail_beat: c.tail_beat,
                lane: c.lane,
                tail_lane: c.tail_lane,
                head: notes.index(&head),
                index: chains.index(&data),
                extra: c.extra.without_data(),
            }
        })
        .collect();
    let turn_rows: Vec<_> = d
        .rotations
        .iter()
        .map(|r| {
            let data = RotationDataWritten { late: r.late, degrees: r.degrees, extra: r.extra.data_of("i") };
            EventV4 { beat: r.beat, index: turns.index(&data), extra: r.extra.without_data() }
        })
        .collect();
    let speed_rows: Vec<_> = d
        .njs_events
        .iter()
        .map(|e| {
            let data = NjsData { delta: e.delta, previous: e.previous, easing: e.easing, extra: e.extra.data_of("i") };
            EventV4 { beat: e.beat, index: speeds.index(&data), extra: e.extra.without_data() }
        })
        .collect();
    let turning = !d.rotations.is_empty() && d.njs_events.is_empty();
    let mut out = Out::default();
    out.object(&d.extra, |out| {
        out.member("version", &(if turning { WITH_ROTATIONS } else { WRITTEN }).to_string());
        out.list("colorNotes", note_rows);
        notes.write(out, "colorNotesData");
        out.list("bombNotes", bomb_rows);
        bombs.write(out, "bombNotesData");
        out.list("obstacles", wall_rows);
        walls.write(out, "obstaclesData");
        out.list("arcs", arc_rows);
        arcs.write(out, "arcsData");
        out.list("chains", chain_rows);
        chains.write(out, "chainsData");
        if turning {
            out.list("spawnRotations", turn_rows);
            turns.write(out, "spawnRotationsData");
        } else {
            out.list("njsEvents", speed_rows);
            speeds.write(out, "njsEventData");
        }
    });
    out.into_bytes()
}

fn write_lightshow(d: &Difficulty) -> Vec<u8> {
    let (mut lights, mut boosts, mut waypoints) = (Table::default(), Table::default(), Table::default());
    let event = |beat, index, extra: &Extra| EventV4 { beat, index, extra: extra.without_data() };
    let light_rows: Vec<_> = d
        .lights
        .iter()
        .map(|e| {
            let extra = e.extra.data_of("i");
            let data = LightData { kind: e.kind, value: e.value, brightness: e.brightness, extra };
            event(e.beat, lights.index(&data), &e.extra)
        })
        .collect();
    let boost_rows: Vec<_> = d
        .boosts
        .iter()
        .map(|e| {
            let data = BoostData { on: i32::from(e.on), extra: e.extra.data_of("i") };
            event(e.beat, boosts.index(&data), &e.extra)
        })
        .collect();
    let waypoint_rows: Vec<_> = d
        .waypoints
        .iter()
        .map(|w| {
            let data = WaypointData { x: w.x, y: w.y, direction: w.direction, extra: w.extra.data_of("i") };
            event(w.beat, waypoints.index(&data), &w.extra)
        })
        .collect();
    // Boxes and events by kind, in the order of `GroupKind`.
    let mut boxes: [Table; 4] = Default::default();
    let mut events: [Table; 4] = Default::default();
    let mut filters = Table::default();
    let group_rows: Vec<_> = d
        .groups
        .iter()
        .map(|g| {
            let refs = g.boxes.iter().map(|b| BoxRef {
                filter: filters.index(&FilterWire::from(&b.filter)),
                index: box_index(&mut boxes[g.kind as usize], g.kind, b),
                events: b
                    .events
                    .iter()
                    .map(|e| event(e.beat, event_index(&mut events[g.kind as usize], g.kind, e), &e.extra))
                    .collect(),
                extra: b.extra.without_data(),
            });
            let boxes = refs.collect();
            GroupV4 { beat: g.beat, group: g.group, kind: g.kind as i32 + 1, boxes, extra: g.extra.without_data() }
        })
        .collect();
    let mut out = Out::default();
    out.object(&d.light_extra, |out| {
        out.member("version", &LIGHTSHOW.to_string());
        out.list("basicEvents", light_rows);
        lights.write(out, "basicEventsData");
        out.list("colorBoostEvents", boost_rows);
        boosts.write(out, "colorBoostEventsData");
        out.list("waypoints", waypoint_rows);
        waypoints.write(out, "waypointsData");
        out.member(KEYWORDS, &keywords_wire(d));
        out.list("eventBoxGroups", group_rows);
        filters.write(out, "indexFilters");
        let names = [
            ("lightColorEventBoxes", "lightColorEvents"),
            ("lightRotationEventBoxes", "lightRotationEvents"),
            ("lightTranslationEventBoxes", "lightTranslationEvents"),
            ("fxEventBoxes", "floatFxEvents"),
        ];
        for ((boxes, events), (box_key, event_key)) in boxes.iter().zip(&events).zip(names) {
            boxes.write(out, box_key);
            events.write(out, event_key);
        }
        out.member("useNormalEventsAsCompatibleEvents", &d.compatible_events);
    });
    out.into_bytes()
}

fn box_index(table: &mut Table, kind: GroupKind, b: &EventBox) -> i32 {
    let EventBox {
        beat_distribution,
        beat_distribution_type,
        value_distribution,
        value_distribution_type,
        affects_first,
        easing,
        axis,
        invert,
        ..
    } = *b;
    let extra = b.extra.data_of("e");
    match kind {
        GroupKind::Color | GroupKind::Fx => table.index(&BoxData {
            beat_distribution,
            beat_distribution_type,
            value_distribution,
            value_distribution_type,
            affects_first,
            easing,
            extra,
        }),
        GroupKind::Rotation | GroupKind::Translation => table.index(&AxisBoxData {
            beat_distribution,
            beat_distribution_type,
            value_distribution,
            value_distribution_type,
            affects_first,
            easing,
            axis,
            invert,
            extra,
        }),
    }
}

fn event_index(table: &mut Table, kind: GroupKind, e: &BoxEvent) -> i32 {
    let BoxEvent { previous, easing, value, color, strobe, strobe_brightness, strobe_fade, direction, loops, .. } = *e;
    let extra = e.extra.data_of("i");
    match kind {
        GroupKind::Color => {
            table.index(&ColorData { previous, easing, color, value, strobe, strobe_brightness, strobe_fade, extra })
        }
        GroupKind::Rotation => table.index(&TurnData { previous, easing, value, direction, loops, extra }),
        GroupKind::Translation => table.index(&MoveData { previous, easing, value, extra }),
        GroupKind::Fx => table.index(&FxData { previous, easing, value, extra }),
    }
}
