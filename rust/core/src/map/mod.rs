//! The version-free model of a level, and the doors to read and write it.
//!
//! Wire formats live in [`v2`](self) (v1 and v2), v3 and v4; nothing outside of this module knows versions.
//! Objects are plain rows sorted by beat. What a row's file said beyond the model is kept in its [`Extra`], so that
//! writing the same version again loses nothing.

mod convert;
mod info;
mod json;
pub mod pack;
pub mod rules;
mod song;
mod v2;
mod v3;
mod v4;

pub use convert::Loss;
pub use info::{AudioData, AudioRegion, DifficultyInfo, Info, LoudnessRegion, RANKS, rank_of};
pub use json::{Extra, read_text};
pub use song::{Category, Files, Level, Song, SongLosses};

use serde::de::{Deserializer, Error as _, MapAccess, Visitor};

use crate::timing::TempoMap;
use crate::{Error, Limits, Place, Result, Warning};

/// Major format version: 1 to 4.
pub type Major = u8;

/// A format version as written in a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Version {
    /// Selects the layout.
    pub major: Major,
    /// Matters in four places only (format notes: 2.5, 3.3, 4.0.1, 4.1).
    pub minor: u8,
    /// Matters for Info 4.0.1 only.
    pub patch: u8,
}

impl std::fmt::Display for Version {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}.{}.{}", self.major, self.minor, self.patch)
    }
}

/// Defines the plain rows of the model: public fields, all defaulting to zero, compared and cloned by value.
macro_rules! rows {
    ($($(#[$doc:meta])* $name:ident { $($(#[$fdoc:meta])* $field:ident: $ty:ty),* $(,)? })*) => {$(
        $(#[$doc])*
        #[derive(Clone, Debug, Default, PartialEq)]
        pub struct $name { $($(#[$fdoc])* pub $field: $ty),* }
    )*};
}

rows! {
    /// A note to cut.
    Note {
        /// Beat in the level's axis.
        beat: f64,
        /// Column 0–3 from the left; other values belong to Mapping Extensions.
        x: i32,
        /// Row 0–2 from the bottom; other values belong to Mapping Extensions.
        y: i32,
        /// 0 left (red), 1 right (blue).
        color: i32,
        /// 0 up, 1 down, 2 left, 3 right, 4 up-left, 5 up-right, 6 down-left, 7 down-right, 8 any; ≥ 1000 Mapping Extensions.
        cut: i32,
        /// Degrees counter-clockwise added to the cut direction.
        angle: i32,
        /// Rotation lane in degrees (v4).
        lane: i32,
        /// What the file said beyond this.
        extra: Extra,
    }
    /// A bomb.
    Bomb {
        /// Beat in the level's axis.
        beat: f64,
        /// Column.
        x: i32,
        /// Row.
        y: i32,
        /// Rotation lane in degrees (v4).
        lane: i32,
        /// What the file said beyond this.
        extra: Extra,
    }
    /// A wall.
    Obstacle {
        /// Beat of the front.
        beat: f64,
        /// Length in beats.
        duration_beats: f64,
        /// Leftmost column.
        x: i32,
        /// Bottom row.
        y: i32,
        /// Columns covered.
        width: i32,
        /// Rows covered.
        height: i32,
        /// Rotation lane in degrees (v4).
        lane: i32,
        /// What the file said beyond this.
        extra: Extra,
    }
    /// An arc ("slider" in the files).
    Arc {
        /// Beat of the head.
        beat: f64,
        /// 0 left, 1 right.
        color: i32,
        /// Head column.
        x: i32,
        /// Head row.
        y: i32,
        /// Head direction.
        cut: i32,
        /// Head control point multiplier.
        multiplier: f64,
        /// Beat of the tail.
        tail_beat: f64,
        /// Tail column.
        tail_x: i32,
        /// Tail row.
        tail_y: i32,
        /// Tail direction.
        tail_cut: i32,
        /// Tail control point multiplier.
        tail_multiplier: f64,
        /// 0 straight, 1 clockwise, 2 counter-clockwise.
        mid_anchor: i32,
        /// Rotation lane of the head in degrees (v4).
        lane: i32,
        /// Rotation lane of the tail in degrees (v4).
        tail_lane: i32,
        /// What the file said beyond this.
        extra: Extra,
    }
    /// A chain ("burst slider" in the files).
    Chain {
        /// Beat of the head.
        beat: f64,
        /// 0 left, 1 right.
        color: i32,
        /// Head column.
        x: i32,
        /// Head row.
        y: i32,
        /// Head direction.
        cut: i32,
        /// Beat of the tail.
        tail_beat: f64,
        /// Tail column.
        tail_x: i32,
        /// Tail row.
        tail_y: i32,
        /// Slices, the head included.
        slices: i32,
        /// How much of the path the links cover; 0 crashes the game.
        squish: f64,
        /// Rotation lane of the head in degrees (v4).
        lane: i32,
        /// Rotation lane of the tail in degrees (v4).
        tail_lane: i32,
        /// What the file said beyond this.
        extra: Extra,
    }
    /// A basic event: light, ring, laser speed and the like.
    Light {
        /// Beat in the level's axis.
        beat: f64,
        /// Event type.
        kind: i32,
        /// Event value.
        value: i32,
        /// Brightness of a light, 1 = 100 %.
        brightness: f64,
        /// What the file said beyond this.
        extra: Extra,
    }
    /// Switches between the normal and the boost colours.
    Boost {
        /// Beat in the level's axis.
        beat: f64,
        /// Boost colours from here on.
        on: bool,
        /// What the file said beyond this.
        extra: Extra,
    }
    /// Turns the lanes of a 90° or 360° level.
    Rotation {
        /// Beat in the level's axis.
        beat: f64,
        /// 0 early (turns objects on the same beat as well), 1 late.
        late: i32,
        /// Degrees clockwise.
        degrees: f64,
        /// What the file said beyond this.
        extra: Extra,
    }
    /// A change of tempo (v2 and v3; in v4 the audio data holds the tempo).
    TempoEvent {
        /// Beat in the level's axis.
        beat: f64,
        /// Beats per minute from here on.
        bpm: f64,
        /// What the file said beyond this.
        extra: Extra,
    }
    /// A point for the game's tutorial figures.
    Waypoint {
        /// Beat in the level's axis.
        beat: f64,
        /// Column.
        x: i32,
        /// Row.
        y: i32,
        /// 0–7 as a cut direction, 9 none.
        direction: i32,
        /// What the file said beyond this.
        extra: Extra,
    }
    /// A change of the note jump speed (v4.1).
    NjsEvent {
        /// Beat in the level's axis.
        beat: f64,
        /// Metres per second relative to the base speed.
        delta: f64,
        /// 1 = keep the previous value.
        previous: i32,
        /// Easing code, −1 none.
        easing: i32,
        /// What the file said beyond this.
        extra: Extra,
    }
    /// Special event types switched on by a keyword.
    Keyword {
        /// The keyword.
        keyword: String,
        /// Event types.
        events: Vec<i32>,
        /// What the file said beyond this.
        extra: Extra,
    }
    /// Group lighting: events for one group of lights.
    EventBoxGroup {
        /// Beat in the level's axis.
        beat: f64,
        /// Group id of the environment.
        group: i32,
        /// Which property it drives.
        kind: GroupKind,
        /// Its boxes.
        boxes: Vec<EventBox>,
        /// What the file said beyond this.
        extra: Extra,
    }
    /// Part of a group: which lights, how spread, which events.
    EventBox {
        /// Which lights of the group.
        filter: IndexFilter,
        /// Spread over time.
        beat_distribution: f64,
        /// 1 wave, 2 step.
        beat_distribution_type: i32,
        /// Spread of the value.
        value_distribution: f64,
        /// 1 wave, 2 step.
        value_distribution_type: i32,
        /// Whether the spread affects the first event.
        affects_first: i32,
        /// Easing of the spread.
        easing: i32,
        /// 0 x, 1 y, 2 z (rotation and translation).
        axis: i32,
        /// Invert the axis (rotation and translation).
        invert: i32,
        /// Its events.
        events: Vec<BoxEvent>,
        /// What the file said beyond this.
        extra: Extra,
    }
    /// Chooses lights of a group.
    IndexFilter {
        /// Chunks the group is divided into first.
        chunks: i32,
        /// 1 division, 2 step and offset.
        kind: i32,
        /// Sections, or first index.
        p: i32,
        /// Which section, or step.
        t: i32,
        /// Count from the other end.
        reverse: i32,
        /// Bit 1 keep order, bit 2 random elements.
        random: i32,
        /// Seed of the random order.
        seed: i32,
        /// Share of the lights, 0 = no limit.
        limit: f64,
        /// Bit 1 duration, bit 2 distribution.
        limit_affects: i32,
        /// What the file said beyond this.
        extra: Extra,
    }
    /// One event of a box; fields that its kind does not have stay 0.
    BoxEvent {
        /// Beats after the group's beat.
        beat: f64,
        /// 1 = keep the previous value ("extend").
        previous: i32,
        /// Easing code, −1 = instant.
        easing: i32,
        /// Brightness, degrees, metres or effect value, by kind.
        value: f64,
        /// −1 none, 0 primary, 1 secondary, 2 white (colour only).
        color: i32,
        /// Strobe frequency per beat (colour only).
        strobe: i32,
        /// Strobe brightness (colour only).
        strobe_brightness: f64,
        /// Strobe fades (colour only).
        strobe_fade: i32,
        /// 0 automatic, 1 clockwise, 2 counter-clockwise (rotation only).
        direction: i32,
        /// Extra turns (rotation only).
        loops: i32,
        /// What the file said beyond this.
        extra: Extra,
    }
    /// An object of a list that the model has no word for (a note of type 2); written back to its own version only.
    Stray {
        /// Name of the list it stood in.
        list: String,
        /// The object as JSON.
        json: String,
    }
    /// Objects marked as fake by a mod: shown, never judged.
    Fakes {
        /// Fake notes.
        notes: Vec<Note>,
        /// Fake bombs.
        bombs: Vec<Bomb>,
        /// Fake walls.
        obstacles: Vec<Obstacle>,
        /// Fake chains.
        chains: Vec<Chain>,
    }
}

/// What a group of group lighting drives.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum GroupKind {
    /// Light colour and brightness.
    #[default]
    Color,
    /// Rotation of light fixtures.
    Rotation,
    /// Translation of light fixtures.
    Translation,
    /// Float effects.
    Fx,
}

/// One playable level: everything its file (v1–v3) or its two files (v4) say.
#[derive(Clone, Debug, PartialEq)]
pub struct Difficulty {
    /// Version of the file it was read from.
    pub version: Version,
    /// Notes, sorted by beat, as all rows below.
    pub notes: Vec<Note>,
    /// Bombs.
    pub bombs: Vec<Bomb>,
    /// Walls.
    pub obstacles: Vec<Obstacle>,
    /// Arcs.
    pub arcs: Vec<Arc>,
    /// Chains.
    pub chains: Vec<Chain>,
    /// Objects that only look like objects.
    pub fakes: Fakes,
    /// Basic events without the special types below.
    pub lights: Vec<Light>,
    /// Boost events.
    pub boosts: Vec<Boost>,
    /// Rotation events.
    pub rotations: Vec<Rotation>,
    /// Tempo events.
    pub tempo: Vec<TempoEvent>,
    /// Waypoints.
    pub waypoints: Vec<Waypoint>,
    /// Note jump speed events.
    pub njs_events: Vec<NjsEvent>,
    /// Keyword filters of special events.
    pub keywords: Vec<Keyword>,
    /// Group lighting.
    pub groups: Vec<EventBoxGroup>,
    /// Whether basic events drive group-lit environments.
    pub compatible_events: bool,
    /// Objects without a place in the model.
    pub strays: Vec<Stray>,
    /// Members of the level file beyond the model, custom data among them.
    pub extra: Extra,
    /// The same for the light show file (v4).
    pub light_extra: Extra,
}

impl Default for Difficulty {
    fn default() -> Self {
        Self {
            version: Version { major: 3, minor: 3, patch: 0 },
            notes: Vec::new(),
            bombs: Vec::new(),
            obstacles: Vec::new(),
            arcs: Vec::new(),
            chains: Vec::new(),
            fakes: Fakes::default(),
            lights: Vec::new(),
            boosts: Vec::new(),
            rotations: Vec::new(),
            tempo: Vec::new(),
            waypoints: Vec::new(),
            njs_events: Vec::new(),
            keywords: Vec::new(),
            groups: Vec::new(),
            compatible_events: false,
            strays: Vec::new(),
            extra: Extra::default(),
            light_extra: Extra::default(),
        }
    }
}

/// Figures of one level.
#[derive(Clone, Debug, PartialEq)]
pub struct Stats {
    /// Distinct beats with a note.
    pub onsets: u64,
    /// Basic events, boosts and events of group lighting.
    pub events: u64,
    /// Fake objects.
    pub fakes: u64,
    /// Time of the first note.
    pub first_note_s: Option<f64>,
    /// Time of the last note.
    pub last_note_s: Option<f64>,
    /// Notes per second between the first and the last; 0 for fewer than two beats.
    pub nps: f64,
}

/// A level file, the light show file that version 4 has beside it, and what was lost.
pub type Written = (Vec<u8>, Option<Vec<u8>>, Vec<Loss>);

/// Applies `$body` to every row collection of a difficulty that is ordered by `beat`.
macro_rules! for_each_row_kind {
    ($difficulty:expr, $rows:ident => $body:expr) => {{
        let d = $difficulty;
        {
            let $rows = &mut d.notes;
            $body;
        }
        {
            let $rows = &mut d.bombs;
            $body;
        }
        {
            let $rows = &mut d.obstacles;
            $body;
        }
        {
            let $rows = &mut d.arcs;
            $body;
        }
        {
            let $rows = &mut d.chains;
            $body;
        }
        {
            let $rows = &mut d.fakes.notes;
            $body;
        }
        {
            let $rows = &mut d.fakes.bombs;
            $body;
        }
        {
            let $rows = &mut d.fakes.obstacles;
            $body;
        }
        {
            let $rows = &mut d.fakes.chains;
            $body;
        }
        {
            let $rows = &mut d.lights;
            $body;
        }
        {
            let $rows = &mut d.boosts;
            $body;
        }
        {
            let $rows = &mut d.rotations;
            $body;
        }
        {
            let $rows = &mut d.tempo;
            $body;
        }
        {
            let $rows = &mut d.waypoints;
            $body;
        }
        {
            let $rows = &mut d.njs_events;
            $body;
        }
        {
            let $rows = &mut d.groups;
            $body;
        }
    }};
}
pub(crate) use for_each_row_kind;

/// Reads a level file of any version; a light show of version 4 is added with [`Difficulty::add_lightshow`].
///
/// # Errors
/// [`Error::Json`], [`Error::Version`], [`Error::Limit`], or [`Error::Map`] when it is JSON but no level.
///
/// ```
/// use beatweaver_core::{Limits, map::read_level};
/// let text = br#"{"_version":"2.0.0","_notes":[{"_time":4,"_lineIndex":1,"_lineLayer":0,"_type":0,"_cutDirection":1}]}"#;
/// let (level, warnings) = read_level(text, "Easy.dat", &Limits::default())?;
/// assert_eq!((level.notes[0].beat, level.notes[0].x, warnings.len()), (4.0, 1, 0));
/// # Ok::<(), beatweaver_core::Error>(())
/// ```
pub fn read_level(bytes: &[u8], file: &str, limits: &Limits) -> Result<(Difficulty, Vec<Warning>)> {
    let (text, mut warnings) = json::read_text(bytes, file, limits)?;
    let cx = json::Cx::new(file, limits);
    let reader = LevelReader::default();
    match json::parse(&reader, &text, &cx) {
        Err(_) if reader.second.get() => {}
        level => {
            let level = level?;
            warnings.extend(cx.into_warnings());
            return Ok((level, warnings));
        }
    }
    // Rare: both version fields are there, so which one holds has to be known before reading.
    let cx = json::Cx::new(file, limits);
    let level = json::parse(&LevelReader { both: true, ..LevelReader::default() }, &text, &cx)?;
    warnings.extend(cx.into_warnings());
    Ok((level, warnings))
}

/// Reads a level; unless it expects `both` version fields it stops at the second one.
#[derive(Default)]
struct LevelReader {
    both: bool,
    second: std::cell::Cell<bool>,
}

impl json::Reader for LevelReader {
    type Out = Difficulty;

    fn read<'de, D: Deserializer<'de>>(&self, text: &'de str, cx: &json::Cx, d: D) -> Result<Difficulty, D::Error> {
        let stated = json::peek_version(text);
        let read_version = |old: bool, text: &str| {
            info::version_of(text, cx.file, if old { "/_version" } else { "/version" }).map_err(|e| cx.fail(e))
        };
        let mut version = match &stated {
            Some((old, v)) => read_version(*old, v)?,
            None => {
                cx.warn("no-version", || "no version is stated; the layout was taken from the fields".into());
                let major =
                    if text.contains("\"colorNotesData\"") { 4 } else { 2 + u8::from(text.contains("\"colorNotes\"")) };
                Version { major, minor: 0, patch: 0 }
            }
        };
        let holds = |needle: &str| memchr::memmem::find(text.as_bytes(), needle.as_bytes()).is_some();
        // A file with both version fields is read by the newer one, whichever comes first.
        let other = match &stated {
            Some((true, _)) if self.both && holds("\"colorNotes\"") => Some("version"),
            Some((false, _)) if self.both => Some("_version"),
            _ => None,
        };
        if let Some((key, other)) = other.and_then(|key| json::peek(text, &[key])) {
            if key == "version" {
                version = read_version(false, &other)?;
            }
            cx.warn("two-versions", || {
                format!("both `_version` and `version` are stated; the fields of version {} were read", version.major)
            });
        }
        let alone = stated
            .as_ref()
            .filter(|_| !self.both)
            .map(|(old, _)| (if *old { "_version" } else { "version" }, &self.second));
        d.deserialize_any(LevelVisitor { cx, version, stated: stated.is_some(), alone })
    }
}

struct LevelVisitor<'a, 'c> {
    cx: &'a json::Cx<'c>,
    version: Version,
    stated: bool,
    /// The version field that is to be the only one, and where to say that it is not.
    alone: Option<(&'static str, &'a std::cell::Cell<bool>)>,
}

/// Feeds every member to the reader of one version.
macro_rules! read_members {
    ($map:ident, $cx:expr, $level:ident, $alone:expr) => {
        let mut known: Vec<std::borrow::Cow<str>> = Vec::new();
        while let Some(key) = $map.next_key_seed(json::Key)? {
            if key == "version" || key == "_version" {
                let alone: Option<(&str, &std::cell::Cell<bool>)> = $alone;
                if let Some((_, second)) = alone.filter(|(stated, _)| *stated != key) {
                    second.set(true);
                    return Err(A::Error::custom("two versions"));
                }
                $map.next_value::<serde::de::IgnoredAny>()?;
            } else if !$level.member(&key, $cx, &mut $map)? {
                $level.keep(&key, &mut $map)?;
            } else if known.contains(&key) {
                $cx.warn("member-twice", || format!("the member {key:?} is there more than once; all were read"));
            } else {
                known.push(key);
            }
        }
    };
}

/// Whether a file says nothing that is unknown: then it is what it was taken for, with everything left out.
fn nothing_unknown(extra: &Extra) -> bool {
    extra.members().keys().all(|key| key == "customData" || key == "_customData")
}

impl<'de> Visitor<'de> for LevelVisitor<'_, '_> {
    type Value = Difficulty;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("a level: a JSON object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Difficulty, A::Error> {
        let Self { cx, version, stated, alone } = self;
        let (level, recognised) = match version.major {
            1 | 2 => {
                let mut level = v2::LevelV2::new(version);
                read_members!(map, cx, level, alone);
                let recognised = level.recognised;
                (level.finish(), recognised)
            }
            3 => {
                let mut level = v3::LevelV3::new(version);
                read_members!(map, cx, level, alone);
                let recognised = level.recognised;
                (level.finish(cx), recognised)
            }
            _ => {
                let mut level = v4::LevelV4::default();
                read_members!(map, cx, level, alone);
                let recognised = level.recognised;
                (level.finish(version, cx), recognised)
            }
        };
        cx.checked().map_err(|e| cx.fail(e))?;
        // From game 1.31 on every list may be left out.
        let bare = stated && nothing_unknown(&level.extra);
        if !recognised && !bare {
            let problem = "found none of a level's lists (notes, bombs, walls, events), expected a Beat Saber level; \
                           a file of that name may belong to something else"
                .into();
            return Err(cx.fail(Error::Map { place: Place::file(cx.file), problem }));
        }
        Ok(level)
    }
}

/// Order of beats, for all numbers; 0 and -0 are one beat.
fn by_beat(a: f64, b: f64) -> std::cmp::Ordering {
    (a + 0.0).total_cmp(&(b + 0.0))
}

impl Difficulty {
    /// Adds the light show file of a version 4 level.
    ///
    /// # Errors
    /// As [`read_level`].
    pub fn add_lightshow(&mut self, bytes: &[u8], file: &str, limits: &Limits) -> Result<Vec<Warning>> {
        struct LightsReader;
        impl json::Reader for LightsReader {
            type Out = v4::LightsV4;
            fn read<'de, D: Deserializer<'de>>(
                &self,
                _: &'de str,
                cx: &json::Cx,
                d: D,
            ) -> Result<v4::LightsV4, D::Error> {
                struct LightsVisitor<'a, 'c>(&'a json::Cx<'c>);
                impl<'de> Visitor<'de> for LightsVisitor<'_, '_> {
                    type Value = v4::LightsV4;
                    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                        f.write_str("a light show: a JSON object")
                    }
                    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<v4::LightsV4, A::Error> {
                        let mut lights = v4::LightsV4::default();
                        read_members!(map, self.0, lights, None);
                        if !lights.recognised && !nothing_unknown(&lights.extra.clone().finish()) {
                            let problem =
                                "found none of a light show's lists, expected a light show of version 4".into();
                            return Err(self.0.fail(Error::Map { place: Place::file(self.0.file), problem }));
                        }
                        Ok(lights)
                    }
                }
                d.deserialize_any(LightsVisitor(cx))
            }
        }
        let (text, mut warnings) = json::read_text(bytes, file, limits)?;
        let cx = json::Cx::new(file, limits);
        let lights = json::parse(&LightsReader, &text, &cx)?;
        lights.finish(self, &cx);
        cx.checked()?;
        warnings.extend(cx.into_warnings());
        Ok(warnings)
    }

    /// The level in the layout of `major` (2, 3 or 4): the level file and, for 4, the light show file. What the layout
    /// cannot say is left out and reported.
    ///
    /// # Errors
    /// [`Error::Spec`] for another major version.
    pub fn write(&self, major: Major) -> Result<Written> {
        let (level, lost) = convert::level(self, major)?;
        Ok(match major {
            2 => (v2::write(&level), None, lost),
            3 => (v3::write(&level), None, lost),
            _ => {
                let (beatmap, lightshow) = v4::write(&level);
                (beatmap, Some(lightshow), lost)
            }
        })
    }

    /// Sort every kind of row by beat, keeping the file's order within a beat; groups of lights also by kind, since
    /// version 3 has a list for each, and strays by list.
    pub fn sort(&mut self) {
        self.strays.sort_by(|a, b| a.list.cmp(&b.list));
        self.groups.sort_by_key(|g| g.kind as u8);
        for_each_row_kind!(self, rows => if !rows.is_sorted_by(|a, b| a.beat <= b.beat) {
            rows.sort_by(|a, b| by_beat(a.beat, b.beat));
        });
    }

    /// The level with every beat moved by `beats`.
    pub fn shifted(&self, beats: f64) -> Self {
        let mut moved = self.clone();
        for_each_row_kind!(&mut moved, rows => for row in rows.iter_mut() { row.beat += beats; });
        for arc in &mut moved.arcs {
            arc.tail_beat += beats;
        }
        for chain in moved.chains.iter_mut().chain(&mut moved.fakes.chains) {
            chain.tail_beat += beats;
        }
        moved
    }

    /// Counts and figures that a person wants at a glance; times by `clock`.
    pub fn stats(&self, clock: &TempoMap) -> Stats {
        let first_note_s = self.notes.first().map(|n| clock.seconds(n.beat));
        let last_note_s = self.notes.last().map(|n| clock.seconds(n.beat));
        let span_s = last_note_s.unwrap_or(0.0) - first_note_s.unwrap_or(0.0);
        let group_events = self.groups.iter().flat_map(|g| &g.boxes).map(|b| b.events.len()).sum::<usize>();
        let fakes = &self.fakes;
        Stats {
            onsets: self.notes.chunk_by(|a, b| a.beat == b.beat).count() as u64,
            events: (self.lights.len() + self.boosts.len() + group_events) as u64,
            fakes: (fakes.notes.len() + fakes.bombs.len() + fakes.obstacles.len() + fakes.chains.len()) as u64,
            first_note_s,
            last_note_s,
            nps: if span_s > 0.0 { self.notes.len() as f64 / span_s } else { 0.0 },
        }
    }

    /// The beat at which the last object or event begins or ends, 0 for an empty level.
    pub fn last_beat(&self) -> f64 {
        let rows = [
            self.notes.last().map(|r| r.beat),
            self.bombs.last().map(|r| r.beat),
            self.lights.last().map(|r| r.beat),
            self.boosts.last().map(|r| r.beat),
            self.rotations.last().map(|r| r.beat),
            self.tempo.last().map(|r| r.beat),
            self.groups.last().map(|r| r.beat),
        ];
        let ends = self.obstacles.iter().map(|r| r.beat + r.duration_beats.max(0.0));
        let ends = ends.chain(self.arcs.iter().map(|r| r.beat.max(r.tail_beat)));
        let ends = ends.chain(self.chains.iter().map(|r| r.beat.max(r.tail_beat)));
        rows.into_iter().flatten().chain(ends).fold(0.0, f64::max)
    }

    /// The clock of this level: tempo events of v1–v3 over the song's base tempo. For v4 levels see [`Song::clock`].
    ///
    /// # Errors
    /// [`Error::Spec`] when `base_bpm` is not a tempo.
    pub fn clock(&self, base_bpm: f64) -> Result<TempoMap> {
        TempoMap::from_events(base_bpm, self.tempo.iter().map(|e| (e.beat, e.bpm)), 0.0)
    }
}
