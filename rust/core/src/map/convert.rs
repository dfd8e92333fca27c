//! What a level loses, and what changes its form, when it goes to another version. Writers assume this was done.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use super::{BoxEvent, Difficulty, Extra, GroupKind, Major, Rotation, by_beat, for_each_row_kind, v2, v3};
use crate::{Error, Result};

/// Something the target version cannot say, and how often it occurred.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Loss {
    /// What was lost, in a mapper's words.
    pub what: String,
    /// How many.
    pub count: u64,
}

/// Losses by what was lost.
#[derive(Default)]
pub(super) struct Losses(BTreeMap<String, u64>);

impl Losses {
    pub(super) fn add(&mut self, what: impl Into<String>, count: usize) {
        if count > 0 {
            *self.0.entry(what.into()).or_default() += count as u64;
        }
    }

    pub(super) fn into_vec(self) -> Vec<Loss> {
        self.0.into_iter().map(|(what, count)| Loss { what, count }).collect()
    }
}

/// Versions 1 and 2 mark their custom data with underscores.
fn underscored(major: Major) -> bool {
    major <= 2
}

/// The level as version `major` can say it.
pub(super) fn level(source: &Difficulty, major: Major) -> Result<(Difficulty, Vec<Loss>)> {
    if !(2..=4).contains(&major) {
        let problem = format!("found {major}, expected 2, 3 or 4");
        return Err(Error::Spec { field: "version".into(), problem });
    }
    let mut d = source.clone();
    let mut lost = Losses::default();
    if major < 4 {
        lost.add("note jump speed events", d.njs_events.len());
        d.njs_events.clear();
        lanes_to_rotations(&mut d, &mut lost);
        lost.add("easing of light colour transitions", d.groups.iter_mut().map(drop_easing).sum());
    } else if !(source.version.major == 4 && d.njs_events.is_empty()) {
        rotations_to_lanes(&mut d, &mut lost);
    }
    let same = source.version.major == major || (source.version.major == 1 && major == 2);
    if major == 2 {
        lost.add("chains", d.chains.len());
        d.chains.clear();
        lost.add("fake chains", d.fakes.chains.len());
        d.fakes.chains.clear();
        let events = |g: &super::EventBoxGroup| g.boxes.iter().map(|b| b.events.len()).sum::<usize>().max(1);
        lost.add("group lighting events", d.groups.iter().map(events).sum());
        d.groups.clear();
        let mut angles = 0;
        for note in d.notes.iter_mut().chain(&mut d.fakes.notes) {
            angles += usize::from(std::mem::take(&mut note.angle) != 0);
        }
        lost.add("note angle offsets", angles);
        if !same {
            let lights = d.lights.len();
            d.lights.retain(|l| !v2::is_special_event(l.kind));
            let what = "basic events of types that mean something else in version 2 (5, 14, 15, 100)";
            lost.add(what, lights - d.lights.len());
            // The type of a note is its colour there, and other types are no notes.
            let colored = |n: &super::Note| n.color == 0 || n.color == 1;
            let other = |rows: &[super::Note]| rows.iter().filter(|n| !colored(n)).count();
            lost.add("notes of a colour other than 0 and 1", other(&d.notes) + other(&d.fakes.notes));
            d.notes.retain(colored);
            d.fakes.notes.retain(colored);
            split_rotations(&mut d, &mut lost);
        }
        // Version 2 always drives its lights by basic events.
        d.compatible_events = true;
    }
    if major == 4 {
        // A whole song keeps them: it writes the audio data file.
        lost.add("tempo changes (version 4 has them in the audio data file)", d.tempo.len());
        d.tempo.clear();
        let fakes = d.fakes.notes.len() + d.fakes.bombs.len() + d.fakes.obstacles.len() + d.fakes.chains.len();
        lost.add("fake objects", fakes);
        d.fakes = super::Fakes::default();
    }
    if !same {
        for stray in std::mem::take(&mut d.strays) {
            lost.add(format!("unknown objects in {}", stray.list), 1);
        }
        let (from, to) = (source.version.major, major);
        for_each_row_kind!(&mut d, rows => for row in rows.iter_mut() {
            row.extra = object_extra(&row.extra, from, to, &mut lost);
        });
        for boxed in d.groups.iter_mut().flat_map(|g| &mut g.boxes) {
            boxed.extra = object_extra(&boxed.extra, from, to, &mut lost);
            boxed.filter.extra = object_extra(&boxed.filter.extra, from, to, &mut lost);
            for event in &mut boxed.events {
                event.extra = object_extra(&event.extra, from, to, &mut lost);
            }
        }
        for keyword in &mut d.keywords {
            keyword.extra = object_extra(&keyword.extra, from, to, &mut lost);
        }
        d.extra = level_extra(&d.extra, from, to, &mut lost);
        let light = std::mem::take(&mut d.light_extra);
        for key in light.members().keys() {
            lost.add(format!("light show field {key}"), 1);
        }
    }
    if major == 2 {
        mark_fakes(&mut d);
    }
    d.sort();
    Ok((d, lost.into_vec()))
}

/// Moves lights to where the upload gate looks for them in version 4: those before the song to its first beat, where they
/// are what the stage begins with, and none after its end.
pub(super) fn lights_within(d: &mut Difficulty, last_beat: f64) -> Vec<Loss> {
    let mut lost = Losses::default();
    let mut early = 0;
    let mut begin = |beat: &mut f64| {
        if *beat < 0.0 {
            *beat = 0.0;
            early += 1;
        }
    };
    d.lights.iter_mut().for_each(|row| begin(&mut row.beat));
    d.boosts.iter_mut().for_each(|row| begin(&mut row.beat));
    d.groups.iter_mut().for_each(|row| begin(&mut row.beat));
    lost.add("places of light events before beat 0 (moved to beat 0)", early);
    let count = |d: &Difficulty| {
        let events = d.groups.iter().flat_map(|g| &g.boxes).map(|b| b.events.len()).sum::<usize>();
        d.lights.len() + d.boosts.len() + d.groups.len() + events
    };
    let before = count(d);
    d.lights.retain(|row| row.beat <= last_beat);
    d.boosts.retain(|row| row.beat <= last_beat);
    d.groups.retain(|row| row.beat <= last_beat);
    for group in &mut d.groups {
        for boxed in &mut group.boxes {
            boxed.events.retain(|event| group.beat + event.beat <= last_beat);
        }
    }
    lost.add("light events after the end of the song", before - count(d));
    lost.into_vec()
}

/// Version 3 knows instant, linear and extend; other easings become linear. Returns how many did.
fn drop_easing(group: &mut super::EventBoxGroup) -> usize {
    if group.kind != GroupKind::Color {
        return 0;
    }
    let mut count = 0;
    for event in group.boxes.iter_mut().flat_map(|b| &mut b.events) {
        let BoxEvent { previous, easing, .. } = *event;
        let exact = v3::previous_and_easing(v3::transition_of(previous, easing)).unwrap_or((previous, easing));
        if exact != (previous, easing) {
            (event.previous, event.easing) = exact;
            count += 1;
        }
    }
    count
}

/// Turns lanes of objects (4.1) into rotation events (all others).
fn lanes_to_rotations(d: &mut Difficulty, lost: &mut Losses) {
    let mut lanes: Vec<(f64, i32)> = Vec::new();
    lanes.extend(d.notes.iter().map(|r| (r.beat, r.lane)));
    lanes.extend(d.bombs.iter().map(|r| (r.beat, r.lane)));
    lanes.extend(d.obstacles.iter().map(|r| (r.beat, r.lane)));
    lanes.extend(d.arcs.iter().flat_map(|r| [(r.beat, r.lane), (r.tail_beat, r.tail_lane)]));
    lanes.extend(d.chains.iter().flat_map(|r| [(r.beat, r.lane), (r.tail_beat, r.tail_lane)]));
    if lanes.iter().all(|l| l.1 == 0) {
        return;
    }
    lanes.sort_by(|a, b| a.0.total_cmp(&b.0));
    let (mut now, mut conflicts) = (0, 0);
    for beat in lanes.chunk_by(|a, b| a.0 == b.0) {
        let lane = beat[0].1;
        conflicts += beat.iter().filter(|l| l.1 != lane).count();
        if lane != now {
            let degrees = f64::from(lane.wrapping_sub(now));
            d.rotations.push(Rotation { beat: beat[0].0, late: 0, degrees, extra: Extra::default() });
            now = lane;
        }
    }
    lost.add("rotation lanes that differ on one beat", conflicts);
    for row in &mut d.notes {
        row.lane = 0;
    }
    for row in &mut d.bombs {
        row.lane = 0;
    }
    for row in &mut d.obstacles {
        row.lane = 0;
    }
    for row in &mut d.arcs {
        (row.lane, row.tail_lane) = (0, 0);
    }
    for row in &mut d.chains {
        (row.lane, row.tail_lane) = (0, 0);
    }
}

/// Turns rotation events into lanes of objects, which is all that 4.1 knows.
fn rotations_to_lanes(d: &mut Difficulty, lost: &mut Losses) {
    let events = std::mem::take(&mut d.rotations);
    if events.is_empty() {
        return;
    }
    lost.add("fractions of rotation degrees", events.iter().filter(|e| e.degrees.fract() != 0.0).count());
    lost.add("extra fields of rotation events", events.iter().filter(|e| !e.extra.is_empty()).count());
    // Early events turn the objects of their own beat, late ones only those after it.
    let mut steps: Vec<(f64, bool, f64)> = events.iter().map(|e| (e.beat, e.late != 0, e.degrees)).collect();
    steps.sort_by(|a, b| by_beat(a.0, b.0).then(a.1.cmp(&b.1)));
    let mut sums = Vec::with_capacity(steps.len());
    let mut sum = 0.0;
    for step in &steps {
        sum += step.2;
        sums.push(sum);
    }
    let lane = |beat: f64| {
        let passed = steps.partition_point(|s| s.0 < beat || (s.0 == beat && !s.1));
        passed.checked_sub(1).map_or(0, |i: usize| sums[i] as i32)
    };
    for row in &mut d.notes {
        row.lane = row.lane.saturating_add(lane(row.beat));
    }
    for row in &mut d.bombs {
        row.lane = row.lane.saturating_add(lane(row.beat));
    }
    for row in &mut d.obstacles {
        row.lane = row.lane.saturating_add(lane(row.beat));
    }
    for row in &mut d.arcs {
        row.lane = row.lane.saturating_add(lane(row.beat));
        row.tail_lane = row.tail_lane.saturating_add(lane(row.tail_beat));
    }
    for row in &mut d.chains {
        row.lane = row.lane.saturating_add(lane(row.beat));
        row.tail_lane = row.tail_lane.saturating_add(lane(row.tail_beat));
    }
}

/// Steps that a rotation event of version 2 can take without a mod, largest first.
const STEPS: [f64; 4] = [60.0, 45.0, 30.0, 15.0];

/// Writes turns that version 2 has no value for as several events on one beat.
fn split_rotations(d: &mut Difficulty, lost: &mut Losses) {
    let mut out = Vec::with_capacity(d.rotations.len());
    let mut odd = 0;
    for mut event in std::mem::take(&mut d.rotations) {
        // Whole turns say nothing.
        event.degrees %= 360.0;
        let mut left = event.degrees.abs();
        if left % 15.0 != 0.0 {
            odd += 1;
            out.push(event);
            continue;
        }
        if left == 0.0 && !event.extra.is_empty() {
            lost.add("extra fields of rotation events that turn nothing", 1);
        }
        let mut extra = event.extra;
        while left > 0.0 {
            let step = STEPS.into_iter().find(|&s| s <= left).unwrap_or(left);
            left -= step;
            let degrees = step.copysign(event.degrees);
            out.push(Rotation { beat: event.beat, late: event.late, degrees, extra: std::mem::take(&mut extra) });
        }
    }
    lost.add("rotations that are no multiple of 15 degrees (written for Mapping Extensions)", odd);
    d.rotations = out;
}

/// Custom data of objects: version 2 name, version 3 name.
const OBJECT_KEYS: [(&str, &str); 20] = [
    ("_color", "color"),
    ("_lightID", "lightID"),
    ("_position", "coordinates"),
    ("_rotation", "worldRotation"),
    ("_localRotation", "localRotation"),
    ("_scale", "size"),
    ("_flip", "flip"),
    ("_track", "track"),
    ("_noteJumpMovementSpeed", "noteJumpMovementSpeed"),
    ("_noteJumpStartBeatOffset", "noteJumpStartBeatOffset"),
    ("_disableNoteGravity", "disableNoteGravity"),
    ("_disableNoteLook", "disableNoteLook"),
    ("_lockPosition", "lockRotation"),
    ("_speed", "speed"),
    ("_preciseSpeed", "speed"),
    ("_direction", "direction"),
    ("_nameFilter", "nameFilter"),
    ("_prop", "prop"),
    ("_step", "step"),
    ("_animation", "animation"),
];
/// The same where the meaning is turned around.
const INVERTED_KEYS: [(&str, &str); 2] = [("_disableSpawnEffect", "spawnEffect"), ("_interactable", "uninteractable")];
/// Members of an override that only repeat what the model says, or mean nothing.
const MEANINGLESS: [&str; 3] = ["_value", "_floatValue", "_cutDirection"];

fn object_extra(extra: &Extra, from: Major, to: Major, lost: &mut Losses) -> Extra {
    if extra.is_empty() {
        return Extra::default();
    }
    for entry in extra.data_members().values().filter_map(Value::as_object) {
        for key in entry.keys() {
            lost.add(format!("field {key} of a shared entry"), 1);
        }
    }
    let mut members = Map::new();
    for (key, value) in extra.members() {
        match (key.as_str(), value) {
            ("_customData" | "customData", Value::Object(custom)) => {
                let custom = custom_data(custom, from, to, lost);
                if !custom.is_empty() {
                    let name = if underscored(to) { "_customData" } else { "customData" };
                    lost.add("a second custom data object", usize::from(members.contains_key(name)));
                    members.entry(name).or_insert(Value::Object(custom));
                }
            }
            (key, _) if underscored(from) && MEANINGLESS.contains(&key) => {}
            (key, _) => lost.add(format!("field {key}"), 1),
        }
    }
    Extra::from_members(&members)
}

fn custom_data(custom: Map<String, Value>, from: Major, to: Major, lost: &mut Losses) -> Map<String, Value> {
    if underscored(from) == underscored(to) {
        return custom;
    }
    let mut out = Map::new();
    for (key, value) in custom {
        // The old name first, then the new one.
        let pair = |p: &(&'static str, &'static str)| if underscored(from) { *p } else { (p.1, p.0) };
        let new = |pairs: &[_]| pairs.iter().map(pair).find(|p| p.0 == key).map(|p| p.1);
        if let Some(new) = new(&OBJECT_KEYS) {
            lost.add(format!("custom data {key}"), usize::from(out.contains_key(new)));
            out.entry(new).or_insert(value);
        } else if let (Some(new), Value::Bool(on)) = (new(&INVERTED_KEYS), &value) {
            out.insert(new.into(), Value::Bool(!on));
        } else if key != "_fake" {
            lost.add(format!("custom data {key}"), 1);
        }
    }
    out
}

/// Version 2 marks fakes on the object; the others keep them apart.
fn mark_fakes(d: &mut Difficulty) {
    let mark = |extra: &mut Extra| {
        if !v2::is_fake(extra) {
            let mut custom = extra.custom();
            custom.insert("_fake".into(), Value::Bool(true));
            extra.set("_customData", Value::Object(custom));
        }
    };
    d.fakes.notes.iter_mut().for_each(|r| mark(&mut r.extra));
    d.fakes.bombs.iter_mut().for_each(|r| mark(&mut r.extra));
    d.fakes.obstacles.iter_mut().for_each(|r| mark(&mut r.extra));
}

/// Custom data of a level that keeps its inner form under the other name.
const LEVEL_KEYS: [(&str, &str); 1] = [("_time", "time")];
/// Names in version 2 and after it.
type Names = (&'static str, &'static str);
/// Lists of it, and the names of their items' members.
const LEVEL_LISTS: [(&str, &str, &[Names]); 2] = [
    ("_bookmarks", "bookmarks", &[("_time", "b"), ("_name", "n"), ("_color", "c")]),
    (
        "_BPMChanges",
        "BPMChanges",
        &[("_time", "b"), ("_BPM", "m"), ("_bpm", "m"), ("_beatsPerBar", "p"), ("_metronomeOffset", "o")],
    ),
];

fn level_extra(extra: &Extra, from: Major, to: Major, lost: &mut Losses) -> Extra {
    let mut members = extra.members();
    let mut custom = Map::new();
    for name in ["customData", "_customData"] {
        if let Some(Value::Object(more)) = members.get(name) {
            let taken = more.clone();
            lost.add("a second custom data object of the level", usize::from(!custom.is_empty()));
            if custom.is_empty() {
                custom = taken;
            }
            members.shift_remove(name);
        }
    }
    // Old files keep the editor's lists at the top level.
    for name in ["_BPMChanges", "_bookmarks", "_time"] {
        if underscored(from)
            && !underscored(to)
            && !custom.contains_key(name)
            && let Some(value) = members.shift_remove(name)
        {
            custom.insert(name.into(), value);
        }
    }
    // Version 4 has no word for fakes; its mods' own must not become those of version 3.
    for name in v3::FAKES.iter().filter(|_| from == 4) {
        lost.add(format!("custom data {name} of the level"), usize::from(custom.shift_remove(*name).is_some()));
    }
    for key in members.keys() {
        lost.add(format!("field {key} of the level"), 1);
    }
    if underscored(from) != underscored(to) {
        let pick = |pair: &(&'static str, &'static str)| if underscored(from) { *pair } else { (pair.1, pair.0) };
        let mut out = Map::new();
        for (key, value) in custom {
            let plain = LEVEL_KEYS.iter().map(pick).find(|p| p.0 == key);
            let list = LEVEL_LISTS.iter().map(|l| (pick(&(l.0, l.1)), l.2)).find(|l| l.0.0 == key);
            if let Some((_, new)) = plain {
                out.insert(new.into(), value);
            } else if let (Some(((_, new), names)), Value::Array(items)) = (list, &value) {
                let rename = |item: &Value| {
                    let Some(item) = item.as_object() else { return item.clone() };
                    let name = |k: &String| names.iter().map(pick).find(|p| p.0 == k).map_or(k.clone(), |p| p.1.into());
                    Value::Object(item.iter().map(|(k, v)| (name(k), v.clone())).collect())
                };
                out.insert(new.into(), items.iter().map(rename).collect());
            } else {
                lost.add(format!("custom data {key} of the level"), 1);
            }
        }
        custom = out;
    }
    if custom.is_empty() {
        return Extra::default();
    }
    let name = if underscored(to) { "_customData" } else { "customData" };
    let mut extra = Extra::default();
    extra.set(name, Value::Object(custom));
    extra
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::map::{Boost, Light};

    #[test]
    fn lights_outside_of_the_song_are_moved_or_left_out_and_said() {
        let light = |beat| Light { beat, kind: 1, value: 1, brightness: 1.0, extra: Extra::default() };
        let mut d = Difficulty {
            lights: [-2.0, 0.0, 8.0, 8.5].map(light).into(),
            boosts: vec![Boost { beat: -1.0, on: true, extra: Extra::default() }],
            ..Difficulty::default()
        };
        let lost = lights_within(&mut d, 8.0);
        assert_eq!(d.lights.iter().map(|l| l.beat).collect::<Vec<_>>(), [0.0, 0.0, 8.0]);
        assert_eq!(d.boosts[0].beat, 0.0);
        assert_eq!(lost.iter().map(|l| l.count).collect::<Vec<_>>(), [1, 2]);
        assert_eq!(lights_within(&mut d, 8.0), []);
    }
}
