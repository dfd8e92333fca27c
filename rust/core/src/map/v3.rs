//! Level files of version 3, both directions. What is written is 3.3.

use serde::de::MapAccess;
use serde_json::Value;

use super::json::{self, Cx, Each, Extra, Into, Json, Keeper, Out, Reader, Write, wire};
use super::{
    Arc, Bomb, Boost, BoxEvent, Chain, Difficulty, EventBox, EventBoxGroup, GroupKind, IndexFilter, Keyword, Light,
    Note, Obstacle, Rotation, Stray, TempoEvent, Version, Waypoint,
};

/// What is written.
pub(super) const WRITTEN: Version = Version { major: 3, minor: 3, patch: 0 };

wire! {
    NoteV3 { beat: f64 = "b", x: i32 = "x", y: i32 = "y", color: i32 = "c", cut: i32 = "d", angle: i32 = "a" }
    BombV3 { beat: f64 = "b", x: i32 = "x", y: i32 = "y" }
    ObstacleV3 { beat: f64 = "b", x: i32 = "x", y: i32 = "y", duration: f64 = "d", width: i32 = "w", height: i32 = "h" }
    SliderV3 {
        color: i32 = "c", beat: f64 = "b", x: i32 = "x", y: i32 = "y", cut: i32 = "d", multiplier: f64 = "mu",
        tail_beat: f64 = "tb", tail_x: i32 = "tx", tail_y: i32 = "ty", tail_cut: i32 = "tc", tail_multiplier: f64 = "tmu",
        mid_anchor: i32 = "m",
    }
    BurstV3 {
        color: i32 = "c", beat: f64 = "b", x: i32 = "x", y: i32 = "y", cut: i32 = "d", tail_beat: f64 = "tb",
        tail_x: i32 = "tx", tail_y: i32 = "ty", slices: i32 = "sc", squish: f64 = "s",
    }
    WaypointV3 { beat: f64 = "b", x: i32 = "x", y: i32 = "y", direction: i32 = "d" }
    EventV3 { beat: f64 = "b", kind: i32 = "et", value: i32 = "i", brightness: f64 = "f" }
    BoostV3 { beat: f64 = "b", on: bool = "o" }
    RotationV3 { beat: f64 = "b", late: i32 = "e", degrees: f64 = "r" }
    TempoV3 { beat: f64 = "b", bpm: f64 = "m" }
    KeywordsV3 { keywords: Vec<KeywordV3> = "d" }
    KeywordV3 { keyword: String = "k", events: Vec<i32> = "e" }
    // Index filters are written alike in versions 3 and 4.
    FilterWire {
        chunks: i32 = "c", kind: i32 = "f" or 1, p: i32 = "p", t: i32 = "t", reverse: i32 = "r", random: i32 = "n",
        seed: i32 = "s", limit: f64 = "l", limit_affects: i32 = "d",
    }
    ColorGroupV3 { beat: f64 = "b", group: i32 = "g", boxes: Vec<ColorBoxV3> = "e" }
    ColorBoxV3 {
        filter: FilterWire = "f", beat_distribution: f64 = "w", beat_distribution_type: i32 = "d" or 1,
        value_distribution: f64 = "r", value_distribution_type: i32 = "t" or 1, affects_first: i32 = "b", easing: i32 = "i",
        events: Vec<ColorEventV3> = "e",
    }
    ColorEventV3 {
        beat: f64 = "b", transition: i32 = "i", color: i32 = "c", value: f64 = "s", strobe: i32 = "f",
        strobe_brightness: f64 = "sb", strobe_fade: i32 = "sf",
    }
    RotationGroupV3 { beat: f64 = "b", group: i32 = "g", boxes: Vec<RotationBoxV3> = "e" }
    RotationBoxV3 {
        filter: FilterWire = "f", beat_distribution: f64 = "w", beat_distribution_type: i32 = "d" or 1,
        value_distribution: f64 = "s", value_distribution_type: i32 = "t" or 1, affects_first: i32 = "b", easing: i32 = "i",
        axis: i32 = "a", invert: i32 = "r", events: Vec<RotationEventV3> = "l",
    }
    RotationEventV3 {
        beat: f64 = "b", previous: i32 = "p", easing: i32 = "e", value: f64 = "r", direction: i32 = "o", loops: i32 = "l",
    }
    TranslationGroupV3 { beat: f64 = "b", group: i32 = "g", boxes: Vec<TranslationBoxV3> = "e" }
    TranslationBoxV3 {
        filter: FilterWire = "f", beat_distribution: f64 = "w", beat_distribution_type: i32 = "d" or 1,
        value_distribution: f64 = "s", value_distribution_type: i32 = "t" or 1, affects_first: i32 = "b", easing: i32 = "i",
        axis: i32 = "a", invert: i32 = "r", events: Vec<TranslationEventV3> = "l",
    }
    TranslationEventV3 { beat: f64 = "b", previous: i32 = "p", easing: i32 = "e", value: f64 = "t" }
    // Only float effects (1) exist in the game.
    FxGroupV3 { beat: f64 = "b", group: i32 = "g", kind: i32 = "t" or 1, boxes: Vec<FxBoxV3> = "e" }
    FxBoxV3 {
        filter: FilterWire = "f", beat_distribution: f64 = "w", beat_distribution_type: i32 = "d" or 1,
        value_distribution: f64 = "s", value_distribution_type: i32 = "t" or 1, affects_first: i32 = "b", easing: i32 = "i",
        events: Vec<i32> = "l",
    }
    FxEventsV3 { floats: Vec<FxEventV3> = "_fl", ints: Json = "_il" }
    FxEventV3 { beat: f64 = "b", previous: i32 = "p", easing: i32 = "i", value: f64 = "v" }
}

pub(super) const KEYWORDS: &str = "basicEventTypesWithKeywords";
const FX_EVENTS: &str = "_fxEventsCollection";

/// The lists that mods keep fake objects in, inside the level's custom data.
pub(super) const FAKES: [&str; 4] = ["fakeColorNotes", "fakeBombNotes", "fakeObstacles", "fakeBurstSliders"];

/// A level file of version 3 while it is read.
pub(super) struct LevelV3 {
    pub(super) level: Difficulty,
    /// Any member that only a level has was seen.
    pub(super) recognised: bool,
    extra: Keeper,
    // Float effects are listed apart from the boxes that use them, in either order.
    fx_groups: Vec<FxGroupV3>,
    fx_events: FxEventsV3,
}

impl LevelV3 {
    pub(super) fn new(version: Version) -> Self {
        Self {
            level: Difficulty { version, ..Difficulty::default() },
            recognised: false,
            extra: Keeper::default(),
            fx_groups: Vec::new(),
            fx_events: FxEventsV3::default(),
        }
    }

    /// Reads one member; `false` leaves the value unread.
    pub(super) fn member<'de, A: MapAccess<'de>>(&mut self, key: &str, cx: &Cx, map: &mut A) -> Result<bool, A::Error> {
        let d = &mut self.level;
        match key {
            "colorNotes" => map.next_value_seed(Each::new(cx, "colorNotes", |r: NoteV3| d.notes.push(r.into())))?,
            "bombNotes" => map.next_value_seed(Each::new(cx, "bombNotes", |r: BombV3| d.bombs.push(r.into())))?,
            "obstacles" => {
                map.next_value_seed(Each::new(cx, "obstacles", |r: ObstacleV3| d.obstacles.push(r.into())))?;
            }
            "sliders" => map.next_value_seed(Each::new(cx, "sliders", |r: SliderV3| d.arcs.push(r.into())))?,
            "burstSliders" => {
                map.next_value_seed(Each::new(cx, "burstSliders", |r: BurstV3| d.chains.push(r.into())))?;
            }
            "basicBeatmapEvents" => map.next_value_seed(Each::new(cx, "basicBeatmapEvents", |r: EventV3| {
                let EventV3 { beat, kind, value, brightness, extra } = r;
                d.lights.push(Light { beat, kind, value, brightness, extra });
            }))?,
            "colorBoostBeatmapEvents" => {
                map.next_value_seed(Each::new(cx, "colorBoostBeatmapEvents", |r: BoostV3| {
                    d.boosts.push(Boost { beat: r.beat, on: r.on, extra: r.extra });
                }))?;
            }
            "rotationEvents" => map.next_value_seed(Each::new(cx, "rotationEvents", |r: RotationV3| {
                d.rotations.push(Rotation { beat: r.beat, late: r.late, degrees: r.degrees, extra: r.extra });
            }))?,
            "bpmEvents" => map.next_value_seed(Each::new(cx, "bpmEvents", |r: TempoV3| {
                d.tempo.push(TempoEvent { beat: r.beat, bpm: r.bpm, extra: r.extra });
            }))?,
            "waypoints" => map.next_value_seed(Each::new(cx, "waypoints", |r: WaypointV3| {
                let WaypointV3 { beat, x, y, direction, extra } = r;
                d.waypoints.push(Waypoint { beat, x, y, direction, extra });
            }))?,
            "lightColorEventBoxGroups" => {
                let push = |r: ColorGroupV3| d.groups.push(r.into());
                map.next_value_seed(Each::new(cx, "lightColorEventBoxGroups", push))?;
            }
            "lightRotationEventBoxGroups" => {
                let push = |r: RotationGroupV3| d.groups.push(r.into());
                map.next_value_seed(Each::new(cx, "lightRotationEventBoxGroups", push))?;
            }
            "lightTranslationEventBoxGroups" => {
                let push = |r: TranslationGroupV3| d.groups.push(r.into());
                map.next_value_seed(Each::new(cx, "lightTranslationEventBoxGroups", push))?;
            }
            "vfxEventBoxGroups" => {
                let groups = &mut self.fx_groups;
                map.next_value_seed(Each::new(cx, "vfxEventBoxGroups", |r: FxGroupV3| groups.push(r)))?;
            }
            FX_EVENTS => {
                cx.at_key(FX_EVENTS);
                map.next_value_seed(Into(cx, &mut self.fx_events))?;
            }
            KEYWORDS => {
                let mut filters = KeywordsV3::default();
                cx.at_key(KEYWORDS);
                map.next_value_seed(Into(cx, &mut filters))?;
                d.strays.extend(Stray::rest(KEYWORDS, &filters.extra));
                d.keywords = keywords_from(filters.keywords);
                return Ok(true);
            }
            "useNormalEventsAsCompatibleEvents" => {
                cx.at_key("useNormalEventsAsCompatibleEvents");
                map.next_value_seed(Into(cx, &mut d.compatible_events))?;
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

    pub(super) fn finish(mut self, cx: &Cx) -> Difficulty {
        let FxEventsV3 { floats, ints, mut extra } = self.fx_events;
        let mut used = vec![false; floats.len()];
        for (i, group) in self.fx_groups.into_iter().enumerate() {
            cx.at_row("vfxEventBoxGroups", i);
            self.level.groups.push(fx_group(group, &floats, &mut used, cx));
        }
        // Events that no box points to, and integer effects, which the game does not have.
        let unused = floats.iter().zip(&used).filter(|(_, used)| !**used);
        self.level.strays.extend(unused.map(|(event, _)| Stray::new("_fl", event)));
        match ints.0 {
            Some(Value::Array(ints)) => {
                self.level.strays.extend(ints.iter().map(|e| Stray { list: "_il".into(), json: e.to_string() }));
            }
            Some(other) if !other.is_null() => extra.set("_il", other),
            _ => {}
        }
        self.level.strays.extend(Stray::rest(FX_EVENTS, &extra));
        self.level.extra = self.extra.finish();
        take_fakes(&mut self.level, cx);
        self.level.sort();
        self.level
    }
}

/// Moves the fake objects of the custom data into their own rows.
fn take_fakes(d: &mut Difficulty, cx: &Cx) {
    struct Rows<T>(std::marker::PhantomData<T>);
    impl<T: Default + json::Read> Reader for Rows<T> {
        type Out = Vec<T>;
        fn read<'de, D: serde::Deserializer<'de>>(&self, _: &'de str, cx: &Cx, d: D) -> Result<Vec<T>, D::Error> {
            let mut rows = Vec::new();
            Into(cx, &mut rows).deserialize(d)?;
            Ok(rows)
        }
    }
    use serde::de::DeserializeSeed;
    fn rows<T: Default + json::Read>(value: &Value, cx: &Cx) -> Option<Vec<T>> {
        // Custom data may hold anything; what is not a list of objects stays where it is.
        json::parse(&Rows::<T>(std::marker::PhantomData), &value.to_string(), &cx.part()).ok()
    }
    if !d.extra.own().contains("\"fake") {
        return;
    }
    let Some(Value::Object(mut custom)) = d.extra.get("customData") else { return };
    let mut changed = false;
    for key in FAKES {
        let Some(list) = custom.get(key).filter(|l| l.as_array().is_some_and(|l| !l.is_empty())) else { continue };
        let taken = match key {
            "fakeColorNotes" => {
                rows::<NoteV3>(list, cx).map(|r| d.fakes.notes.extend(r.into_iter().map(Note::from))).is_some()
            }
            "fakeBombNotes" => {
                rows::<BombV3>(list, cx).map(|r| d.fakes.bombs.extend(r.into_iter().map(Bomb::from))).is_some()
            }
            "fakeObstacles" => rows::<ObstacleV3>(list, cx)
                .map(|r| d.fakes.obstacles.extend(r.into_iter().map(Obstacle::from)))
                .is_some(),
            _ => rows::<BurstV3>(list, cx).map(|r| d.fakes.chains.extend(r.into_iter().map(Chain::from))).is_some(),
        };
        if taken {
            custom.shift_remove(key);
            changed = true;
        }
    }
    if changed && custom.is_empty() {
        d.extra.remove("customData");
    } else if changed {
        d.extra.set("customData", Value::Object(custom));
    }
}

pub(super) fn keywords_from(rows: Vec<KeywordV3>) -> Vec<Keyword> {
    rows.into_iter().map(|k| Keyword { keyword: k.keyword, events: k.events, extra: k.extra }).collect()
}

pub(super) fn keywords_wire(d: &Difficulty) -> KeywordsV3 {
    let row = |k: &Keyword| KeywordV3 { keyword: k.keyword.clone(), events: k.events.clone(), extra: k.extra.clone() };
    KeywordsV3 { keywords: d.keywords.iter().map(row).collect(), extra: Stray::rest_of(&d.strays, KEYWORDS) }
}

/// Both directions between a wire row and a model row with the same field names; the model's other fields stay 0.
macro_rules! same_fields {
    ($($wire:ident <=> $model:ident { $($w:ident = $m:ident),* })*) => {$(
        impl From<$wire> for $model {
            fn from(w: $wire) -> Self {
                #[allow(clippy::needless_update)]
                Self { $($m: w.$w.into(),)* extra: w.extra, ..Self::default() }
            }
        }
        impl From<&$model> for $wire {
            fn from(m: &$model) -> Self {
                Self { $($w: m.$m.clone().into(),)* extra: m.extra.without_data() }
            }
        }
    )*};
}
same_fields! {
    NoteV3 <=> Note { beat = beat, x = x, y = y, color = color, cut = cut, angle = angle }
    BombV3 <=> Bomb { beat = beat, x = x, y = y }
    ObstacleV3 <=> Obstacle { beat = beat, x = x, y = y, duration = duration_beats, width = width, height = height }
    SliderV3 <=> Arc {
        color = color, beat = beat, x = x, y = y, cut = cut, multiplier = multiplier, tail_beat = tail_beat,
        tail_x = tail_x, tail_y = tail_y, tail_cut = tail_cut, tail_multiplier = tail_multiplier, mid_anchor = mid_anchor
    }
    BurstV3 <=> Chain {
        color = color, beat = beat, x = x, y = y, cut = cut, tail_beat = tail_beat, tail_x = tail_x, tail_y = tail_y,
        slices = slices, squish = squish
    }
    FilterWire <=> IndexFilter {
        chunks = chunks, kind = kind, p = p, t = t, reverse = reverse, random = random, seed = seed, limit = limit,
        limit_affects = limit_affects
    }
    RotationEventV3 <=> BoxEvent {
        beat = beat, previous = previous, easing = easing, value = value, direction = direction, loops = loops
    }
    TranslationEventV3 <=> BoxEvent { beat = beat, previous = previous, easing = easing, value = value }
    FxEventV3 <=> BoxEvent { beat = beat, previous = previous, easing = easing, value = value }
}

/// Version 3 says instant, transition, extend in one number; the model says it as version 4 does.
pub(super) fn transition_of(previous: i32, easing: i32) -> i32 {
    match (previous, easing) {
        (0, -1) => 0,
        (0, _) => 1,
        _ => 2,
    }
}

/// The inverse of [`transition_of`], where version 3 is exact.
pub(super) fn previous_and_easing(transition: i32) -> Option<(i32, i32)> {
    match transition {
        0 => Some((0, -1)),
        1 => Some((0, 0)),
        2 => Some((1, -1)),
        _ => None,
    }
}

impl From<ColorEventV3> for BoxEvent {
    fn from(mut w: ColorEventV3) -> Self {
        let (previous, easing) = previous_and_easing(w.transition).unwrap_or_else(|| {
            w.extra.set("i", w.transition.into());
            (0, -1)
        });
        Self {
            beat: w.beat,
            previous,
            easing,
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

impl From<&BoxEvent> for ColorEventV3 {
    fn from(m: &BoxEvent) -> Self {
        Self {
            beat: m.beat,
            transition: transition_of(m.previous, m.easing),
            color: m.color,
            value: m.value,
            strobe: m.strobe,
            strobe_brightness: m.strobe_brightness,
            strobe_fade: m.strobe_fade,
            extra: m.extra.without_data(),
        }
    }
}

/// Boxes and groups of one kind, both directions. `[axis]` marks the kinds that turn or move something.
macro_rules! groups {
    ($($kind:ident $group:ident $boxed:ident [$($axis:ident)*])*) => {$(
        impl From<$boxed> for EventBox {
            fn from(w: $boxed) -> Self {
                #[allow(clippy::needless_update)]
                Self {
                    filter: w.filter.into(),
                    beat_distribution: w.beat_distribution,
                    beat_distribution_type: w.beat_distribution_type,
                    value_distribution: w.value_distribution,
                    value_distribution_type: w.value_distribution_type,
                    affects_first: w.affects_first,
                    easing: w.easing,
                    $($axis: w.$axis,)*
                    events: w.events.into_iter().map(BoxEvent::from).collect(),
                    extra: w.extra,
                    ..Self::default()
                }
            }
        }
        impl From<&EventBox> for $boxed {
            fn from(m: &EventBox) -> Self {
                Self {
                    filter: (&m.filter).into(),
                    beat_distribution: m.beat_distribution,
                    beat_distribution_type: m.beat_distribution_type,
                    value_distribution: m.value_distribution,
                    value_distribution_type: m.value_distribution_type,
                    affects_first: m.affects_first,
                    easing: m.easing,
                    $($axis: m.$axis,)*
                    events: m.events.iter().map(std::convert::Into::into).collect(),
                    extra: m.extra.without_data(),
                }
            }
        }
        impl From<$group> for EventBoxGroup {
            fn from(w: $group) -> Self {
                let boxes = w.boxes.into_iter().map(EventBox::from).collect();
                Self { beat: w.beat, group: w.group, kind: GroupKind::$kind, boxes, extra: w.extra }
            }
        }
        impl From<&EventBoxGroup> for $group {
            fn from(m: &EventBoxGroup) -> Self {
                let boxes = m.boxes.iter().map(std::convert::Into::into).collect();
                Self { beat: m.beat, group: m.group, boxes, extra: m.extra.without_data() }
            }
        }
    )*};
}
groups! {
    Color ColorGroupV3 ColorBoxV3 []
    Rotation RotationGroupV3 RotationBoxV3 [axis invert]
    Translation TranslationGroupV3 TranslationBoxV3 [axis invert]
}

fn fx_group(w: FxGroupV3, events: &[FxEventV3], used: &mut [bool], cx: &Cx) -> EventBoxGroup {
    let mut extra = w.extra;
    if w.kind != 1 {
        extra.set("t", w.kind.into());
    }
    let mut event = |index: &i32| {
        let Some((i, event)) = usize::try_from(*index).ok().and_then(|i| Some((i, events.get(i)?))) else {
            cx.warn("index-out-of-range", || {
                format!("found index {index} into _fl, which has {} entries; read as all zero", events.len())
            });
            return BoxEvent::default();
        };
        used[i] = true;
        if cx.may_copy(&event.extra) { event.clone().into() } else { BoxEvent::default() }
    };
    let boxes = w.boxes.into_iter().map(|b| EventBox {
        filter: b.filter.into(),
        beat_distribution: b.beat_distribution,
        beat_distribution_type: b.beat_distribution_type,
        value_distribution: b.value_distribution,
        value_distribution_type: b.value_distribution_type,
        affects_first: b.affects_first,
        easing: b.easing,
        events: b.events.iter().map(&mut event).collect(),
        extra: b.extra,
        ..EventBox::default()
    });
    EventBoxGroup { beat: w.beat, group: w.group, kind: GroupKind::Fx, boxes: boxes.collect(), extra }
}

/// A level as a 3.3 file. What 3.3 cannot say must have been removed before (see `convert`).
pub(super) fn write(d: &Difficulty) -> Vec<u8> {
    fn rows<'a, M, W: From<&'a M>>(rows: &'a [M]) -> impl Iterator<Item = W> {
        rows.iter().map(W::from)
    }
    let of_kind = |kind| d.groups.iter().filter(move |g| g.kind == kind);
    let mut fx_events: Vec<FxEventV3> = Vec::new();
    let fx_groups: Vec<FxGroupV3> = of_kind(GroupKind::Fx)
        .map(|g| FxGroupV3 {
            beat: g.beat,
            group: g.group,
            kind: 1,
            boxes: g
                .boxes
                .iter()
                .map(|b| FxBoxV3 {
                    filter: (&b.filter).into(),
                    beat_distribution: b.beat_distribution,
                    beat_distribution_type: b.beat_distribution_type,
                    value_distribution: b.value_distribution,
                    value_distribution_type: b.value_distribution_type,
                    affects_first: b.affects_first,
                    easing: b.easing,
                    events: b
                        .events
                        .iter()
                        .map(|e| {
                            fx_events.push(e.into());
                            fx_events.len() as i32 - 1
                        })
                        .collect(),
                    extra: b.extra.without_data(),
                })
                .collect(),
            extra: g.extra.without_data(),
        })
        .collect();
    let mut out = Out::default();
    out.object(&with_fakes(d), |out| {
        out.member("version", &WRITTEN.to_string());
        out.list("bpmEvents", d.tempo.iter().map(|e| TempoV3 { beat: e.beat, bpm: e.bpm, extra: e.extra.clone() }));
        out.list(
            "rotationEvents",
            d.rotations.iter().map(|e| RotationV3 {
                beat: e.beat,
                late: e.late,
                degrees: e.degrees,
                extra: e.extra.clone(),
            }),
        );
        out.list("colorNotes", rows::<_, NoteV3>(&d.notes));
        out.list("bombNotes", rows::<_, BombV3>(&d.bombs));
        out.list("obstacles", rows::<_, ObstacleV3>(&d.obstacles));
        out.list("sliders", rows::<_, SliderV3>(&d.arcs));
        out.list("burstSliders", rows::<_, BurstV3>(&d.chains));
        out.list(
            "waypoints",
            d.waypoints.iter().map(|w| WaypointV3 {
                beat: w.beat,
                x: w.x,
                y: w.y,
                direction: w.direction,
                extra: w.extra.without_data(),
            }),
        );
        out.list(
            "basicBeatmapEvents",
            d.lights.iter().map(|e| EventV3 {
                beat: e.beat,
                kind: e.kind,
                value: e.value,
                brightness: e.brightness,
                extra: e.extra.without_data(),
            }),
        );
        out.list(
            "colorBoostBeatmapEvents",
            d.boosts.iter().map(|e| BoostV3 { beat: e.beat, on: e.on, extra: e.extra.without_data() }),
        );
        out.list("lightColorEventBoxGroups", of_kind(GroupKind::Color).map(ColorGroupV3::from));
        out.list("lightRotationEventBoxGroups", of_kind(GroupKind::Rotation).map(RotationGroupV3::from));
        out.list("lightTranslationEventBoxGroups", of_kind(GroupKind::Translation).map(TranslationGroupV3::from));
        out.list("vfxEventBoxGroups", fx_groups);
        out.member(FX_EVENTS, &FxEventsWritten { floats: &fx_events, strays: &d.strays });
        out.member(KEYWORDS, &keywords_wire(d));
        out.member("useNormalEventsAsCompatibleEvents", &d.compatible_events);
    });
    out.into_bytes()
}

struct FxEventsWritten<'a> {
    floats: &'a [FxEventV3],
    strays: &'a [Stray],
}

impl Write for FxEventsWritten<'_> {
    fn write(&self, out: &mut Out) {
        out.object(&Stray::rest_of(self.strays, FX_EVENTS), |out| {
            out.with_strays("_fl", self.floats, self.strays);
            out.with_strays("_il", [] as [&FxEventV3; 0], self.strays);
        });
    }
}

/// The level's extras with the fake objects back in the custom data.
fn with_fakes(d: &Difficulty) -> Extra {
    fn list<'a, M, W: From<&'a M> + Write>(rows: &'a [M]) -> Value {
        let mut out = Out::default();
        rows.iter().map(W::from).collect::<Vec<W>>().write(&mut out);
        serde_json::from_slice(&out.into_bytes()).unwrap_or_default()
    }
    let fakes = &d.fakes;
    if fakes == &super::Fakes::default() {
        return d.extra.clone();
    }
    let lists = [
        list::<_, NoteV3>(&fakes.notes),
        list::<_, BombV3>(&fakes.bombs),
        list::<_, ObstacleV3>(&fakes.obstacles),
        list::<_, BurstV3>(&fakes.chains),
    ];
    let mut custom = d.extra.custom();
    for (key, list) in FAKES.iter().zip(lists) {
        if list.as_array().is_some_and(|l| !l.is_empty()) {
            custom.insert((*key).to_owned(), list);
        }
    }
    let mut extra = d.extra.clone();
    extra.set("customData", Value::Object(custom));
    extra
}
