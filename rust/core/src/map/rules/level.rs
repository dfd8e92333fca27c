//! Levels, lightshows and the audio data that times them.

use super::table::*;
use super::tree::Value;
use super::{At, Check, Object, Scope, integer, list, number, objects, unreadable};
use crate::timing::TempoMap;

/// A v4 audio data file that passed its checks; positions in samples.
#[derive(Debug)]
pub(super) struct AudioData {
    frequency: f64,
    samples: f64,
    regions: Vec<Region>,
}

#[derive(Debug)]
struct Region {
    start: f64,
    end: f64,
    start_beat: f64,
    end_beat: f64,
}

impl AudioData {
    /// The tempo of the regions; the last one goes on.
    fn clock(&self) -> Option<TempoMap> {
        let sound = |region: &&Region| region.end_beat > region.start_beat && region.end > region.start;
        let starts: Vec<(f64, f64)> =
            self.regions.iter().filter(sound).map(|r| (r.start_beat, r.start / self.frequency)).collect();
        let last = self.regions.iter().filter(sound).max_by(|a, b| a.end_beat.total_cmp(&b.end_beat))?;
        TempoMap::from_points(&starts, (last.end_beat, last.end / self.frequency)).ok()
    }

    /// Where the gate sees the end: behind the last region the Info tempo holds.
    fn last_beat(&self, bpm: f64) -> f64 {
        let last = self.regions.iter().max_by(|a, b| a.end_beat.total_cmp(&b.end_beat));
        let (beat, end) = last.map_or((0.0, 0.0), |region| (region.end_beat, region.end));
        beat + (self.samples - end) / self.frequency / 60.0 * bpm
    }
}

/// What all difficulties of a level share.
#[derive(Default)]
pub(super) struct Song {
    pub(super) bpm: f64,
    pub(super) duration_s: Option<f64>,
    pub(super) audio_data: Option<AudioData>,
    pub(super) v4_info: bool,
}

/// A difficulty as Info names it.
pub(super) struct Entry {
    pub(super) characteristic: String,
    pub(super) difficulty: String,
    pub(super) level: String,
    pub(super) lightshow: Option<String>,
    /// Requires Mapping Extensions or Noodle Extensions.
    pub(super) modded: bool,
}

/// One level file being checked.
struct Level<'a> {
    scope: Scope<'a>,
    /// Last beat the gate accepts; `None` when the audio's length is unknown.
    last_beat: Option<f64>,
    duration_s: Option<f64>,
    modded: bool,
}

impl Check<'_> {
    /// Checks an audio data file; `Some` only when nothing is wrong with it, as the gate falls back otherwise.
    pub(super) fn audio_data(&mut self, name: &str, bytes: &[u8]) -> Option<AudioData> {
        let scope = Scope::file(name);
        let text = self.text(scope, bytes)?;
        let object = self.parse(scope, &text)?;
        let before = self.report.findings.len();
        let (version, newer) = self.version(scope, &object, (2, 0, 0), (4, 0, 0))?;
        let keys = if newer {
            ["songSampleCount", "songFrequency", "bpmData", "si", "ei", "sb", "eb"]
        } else {
            [
                "_songSampleCount",
                "_songFrequency",
                "_regions",
                "_startSampleIndex",
                "_endSampleIndex",
                "_startBeat",
                "_endBeat",
            ]
        };
        let fields: &[Field] = if newer { AUDIO_DATA4 } else { AUDIO_DATA2 };
        let root = At::Root;
        self.report.table(scope, version, &object, fields, &root);
        let samples = number(&object, keys[0]).unwrap_or_default();
        let frequency = number(&object, keys[1]).unwrap_or_default();
        if samples < 0.0 || frequency <= 0.0 {
            self.report.add(scope, AUDIO_DATA_BOUNDS, &root, None, || {
                format!("the song has {samples} samples at {frequency} Hz, expected positive numbers")
            });
        }
        let at = root.key(keys[2]);
        let mut regions: Vec<Region> = Vec::new();
        let mut gap = None;
        for (index, item) in objects(object.get(keys[2])) {
            let value = |key: &str| number(item, key).unwrap_or_default();
            let region = Region {
                start: value(keys[3]),
                end: value(keys[4]),
                start_beat: value(keys[5]),
                end_beat: value(keys[6]),
            };
            let ordered = 0.0 <= region.start && region.start <= region.end && region.end <= samples;
            if !ordered || region.start_beat < 0.0 || region.end_beat < region.start_beat {
                self.report.add(scope, AUDIO_DATA_BOUNDS, &at.item(index), Some(region.start_beat), || {
                    format!(
                        "the region goes from sample {} (beat {}) to sample {} (beat {}) of {samples}; it must run \
                         forwards inside the song",
                        region.start, region.start_beat, region.end, region.end_beat
                    )
                });
            }
            let follows = match regions.last() {
                Some(last) => last.end == region.start && (last.end_beat - region.start_beat).abs() <= SAME_BEAT,
                None => true,
            };
            if !follows {
                gap = gap.or(Some((index, region.start_beat)));
            }
            regions.push(region);
        }
        let sound = self.report.findings.len() == before;
        if let Some((index, beat)) = gap {
            self.report.add(scope, AUDIO_DATA_ORDER, &at.item(index), Some(beat), || {
                "a tempo region does not start where the one before it ends; close the gap or the overlap".to_owned()
            });
        }
        sound.then_some(AudioData { frequency, samples, regions })
    }

    pub(super) fn levels(&mut self, entries: &[Entry], song: &Song) {
        for entry in entries {
            let scope = Scope {
                file: "",
                characteristic: Some(&entry.characteristic),
                difficulty: Some(&entry.difficulty),
                clock: None,
            };
            for (name, lights) in [(Some(&entry.level), false), (entry.lightshow.as_ref(), true)] {
                let Some(name) = name.filter(|name| !name.is_empty()) else { continue };
                let scope = Scope { file: name, ..scope };
                if !self.checked.insert(name.clone()) {
                    // A lightshow is meant to be shared.
                    if !lights {
                        self.report.add(scope, FILE_SHARED, &At::Root, None, || {
                            "the file also serves another difficulty, so both play alike".to_owned()
                        });
                    }
                    continue;
                }
                // Already a finding, and the parsed tree would take many times that size.
                if self.pack.size(name).is_some_and(|size| size > MEMBER_BYTES) {
                    continue;
                }
                match self.pack.read(name) {
                    Ok(bytes) => {
                        if let Some(text) = self.text(scope, &bytes)
                            && let Some(object) = self.parse(scope, &text)
                        {
                            self.level(scope, &object, song, entry.modded, lights);
                        }
                    }
                    Err(error) => {
                        self.report.add(scope, FILE_UNREADABLE, &At::Root, None, || unreadable(&error));
                    }
                }
            }
        }
    }

    fn level(&mut self, scope: Scope, object: &Object, song: &Song, modded: bool, lights: bool) {
        let Some((version, newer)) = self.version(scope, object, (2, 0, 0), (3, 0, 0)) else { return };
        let layout = match (newer, version.0) {
            (true, 4) => 4,
            (true, _) => 3,
            (false, _) => 2,
        };
        if (newer && !matches!(version.0, 3 | 4)) || (!newer && !matches!(version.0, 1 | 2)) {
            let (key, expected) =
                if newer { ("version", "3.0.0 to 4.1.0") } else { ("_version", "1.5.0 to 2.6.0 for this layout") };
            self.unknown_version(scope, key, version, expected);
        }
        if layout == 4 && !song.v4_info {
            self.report.add(scope, V4_LEVEL_IN_V2_INFO, &At::Root.key("version"), None, || {
                "a v4 level cannot be played under a v2 Info; save the whole level in one version".to_owned()
            });
        }
        let events = match layout {
            2 if version >= (2, 5, 0) => tempo_events(object, "_events", "_time"),
            3 => tempo_events(object, "bpmEvents", "b"),
            _ => Vec::new(),
        };
        let list = if layout == 3 { "bpmEvents" } else { "_events" };
        for (index, beat, bpm) in events.iter().filter(|(_, _, bpm)| *bpm <= 0.0) {
            self.report.add(scope, TEMPO_INVALID, &At::Root.key(list).item(*index), Some(*beat), || {
                format!("the tempo change is to {bpm} BPM, expected more than 0; remove it")
            });
        }
        let events: Vec<(f64, f64)> = events.into_iter().map(|(_, beat, bpm)| (beat, bpm)).collect();
        let plain = TempoMap::from_events(song.bpm, events, 0.0).ok();
        let clock = match (&song.audio_data, layout) {
            (Some(data), 4) => data.clock().or(plain),
            _ => plain,
        };
        // The gate's own reckoning: audio data under a v4 Info, tempo events for v3, the Info tempo alone for v2.
        let last_beat = song.duration_s.filter(|_| song.bpm > 0.0).map(|duration_s| match (&song.audio_data, &clock) {
            (Some(data), _) => data.last_beat(song.bpm),
            (None, Some(clock)) if layout == 3 => clock.beats(duration_s),
            _ => duration_s * song.bpm / 60.0,
        });
        let scope = Scope { clock: clock.as_ref(), ..scope };
        let level = Level { scope, last_beat, duration_s: song.duration_s, modded };
        let fields: &[Field] = match (layout, lights) {
            (4, true) => LIGHTS4,
            (4, false) => LEVEL4,
            (3, _) => LEVEL3,
            _ => LEVEL2,
        };
        self.report.table(scope, version, object, fields, &At::Root);
        match (layout, lights) {
            (4, true) => self.lights4(&level, object),
            (4, false) => self.level4(&level, object),
            (3, _) => self.level3(&level, object),
            _ => self.level2(&level, object),
        }
    }

    /// An object's beat: refused outside the song where the gate looks (`gated`), remarked on elsewhere.
    fn beat(&mut self, level: &Level, at: &At, what: &str, beat: f64, gated: bool) {
        let scope = level.scope;
        if let Some(last) = level.last_beat.filter(|last| gated && !(0.0..=*last).contains(&beat)) {
            return self.report.add(scope, BEAT_OUTSIDE_SONG, at, Some(beat), || {
                format!("{what} at beat {beat} lies outside the song, which goes from beat 0 to {last:.3}; move it")
            });
        }
        if beat < 0.0 {
            self.report.add(scope, OBJECT_BEFORE_START, at, Some(beat), || {
                format!("{what} at beat {beat} comes before the song starts; move it")
            });
        }
        let time_s = scope.clock.map(|clock| clock.seconds(beat));
        if let Some((time_s, end_s)) =
            time_s.zip(level.duration_s).filter(|(time, end)| *time > end + AUDIO_END_SLACK_S)
        {
            self.report.add(scope, OBJECT_AFTER_AUDIO, at, Some(beat), || {
                format!("{what} at beat {beat} ({time_s:.2} s) comes after the audio ends ({end_s:.2} s); move it")
            });
        }
    }

    fn cell(&mut self, level: &Level, at: &At, what: &str, beat: f64, (x, y): (i64, i64)) {
        if !level.modded && (!(0..=3).contains(&x) || !(0..=2).contains(&y)) {
            self.report.add(level.scope, OFF_GRID, at, Some(beat), || {
                format!(
                    "{what} lies at column {x}, row {y}, outside 0-3 and 0-2; move it or require Mapping Extensions"
                )
            });
        }
    }

    fn direction(&mut self, level: &Level, at: &At, beat: f64, direction: i64) {
        if !level.modded && (1000..=1360).contains(&direction) {
            self.report.add(level.scope, PRECISION_DIRECTION, at, Some(beat), || {
                format!("cut direction {direction} needs Mapping Extensions, which this difficulty does not require")
            });
        }
    }

    fn wall(&mut self, level: &Level, at: &At, beat: f64, measures: [(&str, f64); 3]) {
        if level.modded {
            return;
        }
        if let Some((name, value)) = measures.iter().find(|(_, value)| *value <= 0.0) {
            self.report.add(level.scope, WALL_MEASURE, at, Some(beat), || {
                format!("the wall's {name} is {value}, expected more than 0; give it one or remove the wall")
            });
        }
    }

    /// Objects in one cell at one beat; each is (beat, column, row, list, index).
    fn stacked(&mut self, level: &Level, mut cells: Vec<(f64, i64, i64, &str, usize)>) {
        if level.modded {
            return;
        }
        cells.sort_by(|a, b| (a.1, a.2).cmp(&(b.1, b.2)).then(a.0.total_cmp(&b.0)));
        for pair in cells.windows(2) {
            let (first, second) = (&pair[0], &pair[1]);
            if (first.1, first.2) == (second.1, second.2) && second.0 - first.0 <= SAME_BEAT {
                let (root, index) = (At::Root, second.4);
                let list = root.key(second.3);
                let at = list.item(index);
                self.report.add(level.scope, STACKED, &at, Some(second.0), || {
                    let (column, row) = (second.1, second.2);
                    format!("two objects share column {column}, row {row} at beat {}; remove one", second.0)
                });
            }
        }
    }

    fn backwards(&mut self, level: &Level, at: &At, what: &str, rule: Rule, head: f64, tail: f64) {
        if head > tail {
            self.report.add(level.scope, rule, at, Some(head), || {
                format!("{what} starts at beat {head} and ends before that, at {tail}; swap its ends")
            });
        }
    }

    fn squish(&mut self, level: &Level, at: &At, beat: f64, squish: Option<f64>) {
        if !level.modded && squish.unwrap_or_default() == 0.0 {
            self.report.add(level.scope, CHAIN_SQUISH, at, Some(beat), || {
                "the chain's squish is 0, which crashes the game; 1 is the usual value".to_owned()
            });
        }
    }

    fn level2(&mut self, level: &Level, object: &Object) {
        let root = At::Root;
        let mut cells = Vec::new();
        let list = root.key("_notes");
        for (index, note) in objects(object.get("_notes")) {
            let at = list.item(index);
            let Some(beat) = number(note, "_time") else { continue };
            self.beat(level, &at, "a note", beat, true);
            let fake = note.get("_customData").and_then(|custom| custom.get("_fake")) == Some(&Value::Bool(true));
            if !fake {
                let cell = (integer(note, "_lineIndex"), integer(note, "_lineLayer"));
                self.cell(level, &at, "a note", beat, cell);
                self.direction(level, &at, beat, integer(note, "_cutDirection"));
                cells.push((beat, cell.0, cell.1, "_notes", index));
            }
        }
        self.stacked(level, cells);
        let list = root.key("_obstacles");
        for (index, wall) in objects(object.get("_obstacles")) {
            let at = list.item(index);
            let Some(beat) = number(wall, "_time") else { continue };
            self.beat(level, &at, "a wall", beat, false);
            let free = integer(wall, "_type") == 2;
            let height = if free { number(wall, "_height").unwrap_or_default() } else { 1.0 };
            let measure = |key| number(wall, key).unwrap_or(1.0);
            self.wall(
                level,
                &at,
                beat,
                [("duration", measure("_duration")), ("width", measure("_width")), ("height", height)],
            );
        }
        let list = root.key("_sliders");
        for (index, arc) in objects(object.get("_sliders")) {
            let at = list.item(index);
            let beats = (number(arc, "_headTime").unwrap_or_default(), number(arc, "_tailTime").unwrap_or_default());
            self.beat(level, &at, "an arc", beats.0, false);
            self.backwards(level, &at, "the arc", ARC_BACKWARDS, beats.0, beats.1);
            for end in [["_headLineIndex", "_headLineLayer"], ["_tailLineIndex", "_tailLineLayer"]] {
                self.cell(level, &at, "an arc's end", beats.0, (integer(arc, end[0]), integer(arc, end[1])));
            }
        }
    }

    fn level3(&mut self, level: &Level, object: &Object) {
        let root = At::Root;
        let mut cells = Vec::new();
        for (key, what, gated) in [("colorNotes", "a note", true), ("bombNotes", "a bomb", false)] {
            let list = root.key(key);
            for (index, item) in objects(object.get(key)) {
                let at = list.item(index);
                let beat = number(item, "b").unwrap_or_default();
                self.beat(level, &at, what, beat, gated);
                let cell = (integer(item, "x"), integer(item, "y"));
                self.cell(level, &at, what, beat, cell);
                self.direction(level, &at, beat, integer(item, "d"));
                cells.push((beat, cell.0, cell.1, key, index));
            }
        }
        self.stacked(level, cells);
        let list = root.key("obstacles");
        for (index, wall) in objects(object.get("obstacles")) {
            let at = list.item(index);
            let beat = number(wall, "b").unwrap_or_default();
            self.beat(level, &at, "a wall", beat, false);
            let measure = |key| number(wall, key).unwrap_or_default();
            self.wall(
                level,
                &at,
                beat,
                [("duration", measure("d")), ("width", measure("w")), ("height", measure("h"))],
            );
        }
        for (key, what, gated) in [("sliders", "an arc", false), ("burstSliders", "a chain", true)] {
            let list = root.key(key);
            for (index, item) in objects(object.get(key)) {
                let at = list.item(index);
                let (head, tail) = (number(item, "b").unwrap_or_default(), number(item, "tb").unwrap_or_default());
                self.beat(level, &at, what, head, gated);
                self.beat(level, &at, what, tail, gated);
                self.backwards(level, &at, what, ARC_BACKWARDS, head, tail);
                self.cell(level, &at, what, head, (integer(item, "x"), integer(item, "y")));
                self.cell(level, &at, what, tail, (integer(item, "tx"), integer(item, "ty")));
                if gated {
                    self.squish(level, &at, head, number(item, "s"));
                }
            }
        }
    }

    /// The data entry an index points at; a broken index is a finding. An index left out counts as 0.
    fn resolve<'v, 't>(
        &mut self,
        level: &Level,
        at: &At,
        item: &Object,
        key: &str,
        data: &'v [Value<'t>],
        always: bool,
    ) -> Option<&'v Object<'t>> {
        let index = integer(item, key);
        let entry = usize::try_from(index).ok().and_then(|index| data.get(index)).and_then(Value::as_object);
        if entry.is_none() && (always || item.contains_key(key)) {
            self.report.add(level.scope, INDEX_UNRESOLVED, &at.key(key), None, || {
                format!("{key:?} is {index} and the list it points into has {} entries; correct it", data.len())
            });
        }
        entry
    }

    fn level4(&mut self, level: &Level, object: &Object) {
        let root = At::Root;
        let empty = Object::default();
        let mut cells = Vec::new();
        let notes = list(object, "colorNotesData");
        for (key, data, what) in
            [("colorNotes", notes, "a note"), ("bombNotes", list(object, "bombNotesData"), "a bomb")]
        {
            let at = root.key(key);
            for (index, item) in objects(object.get(key)) {
                let at = at.item(index);
                let beat = number(item, "b").unwrap_or_default();
                self.beat(level, &at, what, beat, true);
                let data = self.resolve(level, &at, item, "i", data, false).unwrap_or(&empty);
                let cell = (integer(data, "x"), integer(data, "y"));
                self.cell(level, &at, what, beat, cell);
                self.direction(level, &at, beat, integer(data, "d"));
                cells.push((beat, cell.0, cell.1, key, index));
            }
        }
        self.stacked(level, cells);
        let at = root.key("obstacles");
        for (index, item) in objects(object.get("obstacles")) {
            let at = at.item(index);
            let beat = number(item, "b").unwrap_or_default();
            self.beat(level, &at, "a wall", beat, true);
            let data = self.resolve(level, &at, item, "i", list(object, "obstaclesData"), false).unwrap_or(&empty);
            let measure = |key| number(data, key).unwrap_or_default();
            self.wall(
                level,
                &at,
                beat,
                [("duration", measure("d")), ("width", measure("w")), ("height", measure("h"))],
            );
        }
        for (key, what) in [("arcs", "an arc"), ("chains", "a chain")] {
            let at = root.key(key);
            for (index, item) in objects(object.get(key)) {
                let at = at.item(index);
                let (head, tail) = (number(item, "hb").unwrap_or_default(), number(item, "tb").unwrap_or_default());
                self.beat(level, &at, what, head, true);
                self.beat(level, &at, what, tail, true);
                self.backwards(level, &at, what, HEAD_AFTER_TAIL, head, tail);
                if key == "arcs" {
                    for note in ["hi", "ti"] {
                        self.resolve(level, &at, item, note, notes, false);
                    }
                    self.resolve(level, &at, item, "ai", list(object, "arcsData"), false);
                } else {
                    self.resolve(level, &at, item, "i", notes, false);
                    let data =
                        self.resolve(level, &at, item, "ci", list(object, "chainsData"), false).unwrap_or(&empty);
                    self.cell(level, &at, what, tail, (integer(data, "tx"), integer(data, "ty")));
                    self.squish(level, &at, head, number(data, "s"));
                }
            }
        }
        for (key, data, what) in [
            ("spawnRotations", "spawnRotationsData", "a rotation"),
            ("njsEvents", "njsEventData", "a jump speed change"),
        ] {
            let at = root.key(key);
            for (index, item) in objects(object.get(key)) {
                let at = at.item(index);
                self.beat(level, &at, what, number(item, "b").unwrap_or_default(), true);
                self.resolve(level, &at, item, "i", list(object, data), false);
            }
        }
    }

    fn lights4(&mut self, level: &Level, object: &Object) {
        let root = At::Root;
        for (key, data, what) in [
            ("basicEvents", "basicEventsData", "a light event"),
            ("colorBoostEvents", "colorBoostEventsData", "a colour boost"),
            ("waypoints", "waypointsData", "a waypoint"),
        ] {
            let at = root.key(key);
            for (index, item) in objects(object.get(key)) {
                let at = at.item(index);
                self.beat(level, &at, what, number(item, "b").unwrap_or_default(), true);
                self.resolve(level, &at, item, "i", list(object, data), true);
            }
        }
        let groups = root.key("eventBoxGroups");
        for (index, group) in objects(object.get("eventBoxGroups")) {
            let at = groups.item(index);
            let beat = number(group, "b").unwrap_or_default();
            self.beat(level, &at, "a light group", beat, true);
            let kind = integer(group, "t");
            let arrays = usize::try_from(kind - 1).ok().and_then(|kind| GROUPS4.get(kind));
            if arrays.is_none() {
                self.report.add(level.scope, EVENT_BOX_TYPE, &at.key("t"), Some(beat), || {
                    format!("the light group's type is {kind}, expected 1 to 4")
                });
            }
            let boxes = at.key("e");
            for (index, item) in objects(group.get("e")) {
                let at = boxes.item(index);
                self.resolve(level, &at, item, "f", list(object, "indexFilters"), true);
                let Some((box_list, event_list)) = arrays else { continue };
                self.resolve(level, &at, item, "e", list(object, box_list), true);
                let events = at.key("l");
                for (index, event) in objects(item.get("l")) {
                    let at = events.item(index);
                    let beat = beat + number(event, "b").unwrap_or_default();
                    self.beat(level, &at, "a light event", beat, true);
                    self.resolve(level, &at, event, "i", list(object, event_list), true);
                }
            }
        }
    }
}

/// Position, beat and BPM of tempo changes: v2 events of type 100, or v3 `bpmEvents`.
fn tempo_events(object: &Object, key: &str, beat: &str) -> Vec<(usize, f64, f64)> {
    objects(object.get(key))
        .filter(|(_, event)| key == "bpmEvents" || integer(event, "_type") == 100)
        .filter_map(|(index, event)| {
            let bpm = if key == "bpmEvents" {
                number(event, "m").unwrap_or_default()
            } else {
                // Some editors write the tempo into the value.
                number(event, "_floatValue").or(number(event, "_value"))?
            };
            Some((index, number(event, beat).unwrap_or_default(), bpm))
        })
        .collect()
}
