//! Levels as sequences of tokens: the vocabularies, both directions, and the grammar of what may follow.
//!
//! A vocabulary is a list of kinds; each kind owns a range of ids and a token's id is the range's offset plus its value.
//! A sequence reads
//!
//! ```text
//! START DIFFICULTY statistic* (BAR (POS [NUDGE] onset)*)* END PAD*
//! ```
//!
//! where an onset of the note vocabularies is `LEFT|LEFT-EMPTY RIGHT|RIGHT-EMPTY further*` and one of the light
//! vocabulary is `[BOOST] event*`, with at least one thing said. Positions rise strictly inside a bar, and so do the ids
//! that open the further objects of an onset: a level has one spelling. [`Grammar`] and [`Vocab::decode`] share one state
//! machine, so what the grammar lets through decodes, and nothing else does.
//!
//! Tokens speak beats only. Tempo is the business of [`crate::timing`], so tempo events are neither said nor counted.

use std::collections::BTreeMap;
use std::ops::Range;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::map::{Arc, Bomb, Boost, Chain, Difficulty, Extra, Light, Note, Obstacle, RANKS};
use crate::{Error, Result};

// ------------------------------------------------------------------------------------------------------- measures

/// Parts of a beat that positions and lengths are told in; a tick is one of them.
pub const TICKS_PER_BEAT: u16 = 48;
/// Beats of a bar, whatever the music's metre.
pub const BEATS_PER_BAR: u16 = 4;
/// Bars of the longest sequence; later content is counted as out of vocabulary.
pub const BARS_MAX: u16 = 4096;
/// Events of one onset in the light vocabulary.
pub const EVENTS_PER_ONSET_MAX: u16 = 128;
/// Light ids of one event.
pub const LIGHT_IDS_MAX: usize = 32;

const TICKS_PER_BAR: u16 = TICKS_PER_BEAT * BEATS_PER_BAR;
/// Ticks between two POS: a sixteenth of a beat.
const TICKS_PER_POS: u16 = 3;
const COLUMNS: u16 = 4;
const ROWS: u16 = 3;
const CELLS: u16 = COLUMNS * ROWS;
const CUTS: u16 = 9;
const NOTES: u16 = CELLS * CUTS;
const ANGLE_STEP: i32 = 15;
const ANGLES: u16 = 23;
/// Walls reach above the rows of notes: a full wall covers five.
const WALL_ROWS: u16 = 5;
const SPAN_BEATS: u16 = 64;
const BUCKETS: u16 = 8;
/// Steps of multipliers, squish and brightness, per unit.
const STEPS_PER_UNIT: f64 = 20.0;
const MULTIPLIER_MIN: f64 = -1.0;
const MULTIPLIERS: u16 = 81;
const SLICES: u16 = 32;
const SQUISHES: u16 = 40;
const EVENT_VALUES: u16 = 64;
/// Values of events that are lights: off, and four ways to be on in three colours.
const LIGHT_VALUES: u16 = 13;
const BRIGHTNESSES: u16 = 60;
const COLOR_LEVELS: u16 = 65;
const LIGHT_IDS: u16 = 256;
/// Types of basic events. Boost (5) and rotation (14, 15) are no events of the model.
const EVENT_TYPES: [i32; 21] = [0, 1, 2, 3, 4, 6, 7, 8, 9, 10, 11, 12, 13, 16, 17, 18, 19, 40, 41, 42, 43];
/// Those of them that are lights: they have a brightness, a colour and light ids.
const LIGHT_TYPES: [i32; 9] = [0, 1, 2, 3, 4, 6, 7, 10, 11];
/// Event values from here on are old Chroma colours.
const CHROMA_RGB: i32 = 2_000_000_000;
/// Moves up to this are the rounding of editors, not counted as moves.
const NOISE: f64 = 1e-3;

/// The shapes of walls inside the grid, (row, height) pairs by (column, width) pairs.
fn wall_shapes() -> impl Iterator<Item = [i32; 4]> {
    let (columns, rows, tops) = (i32::from(COLUMNS), i32::from(ROWS), i32::from(WALL_ROWS));
    (0..columns).flat_map(move |x| {
        (1..=columns - x)
            .flat_map(move |width| (0..rows).flat_map(move |y| (1..=tops - y).map(move |height| [x, y, width, height])))
    })
}

/// Level of a colour channel: fine up to 1, coarser up to 8.
fn color_value(level: u16) -> f64 {
    let level = f64::from(level);
    match level {
        0.0..=32.0 => level / 32.0,
        33.0..=48.0 => 1.0 + (level - 32.0) / 16.0,
        49.0..=56.0 => 2.0 + (level - 48.0) / 4.0,
        _ => 4.0 + (level - 56.0) / 2.0,
    }
}

fn color_level(value: f64) -> u16 {
    let level = match value {
        v if v <= 1.0 => v * 32.0,
        v if v <= 2.0 => 32.0 + (v - 1.0) * 16.0,
        v if v <= 4.0 => 48.0 + (v - 2.0) * 4.0,
        v => 56.0 + (v - 4.0) * 2.0,
    };
    // A float to integer cast saturates; NaN is 0.
    (level.round() as u16).min(COLOR_LEVELS - 1)
}

// ---------------------------------------------------------------------------------------------------------- kinds

macro_rules! kinds {
    ($($(#[$doc:meta])* $kind:ident = $name:literal, $size:expr;)*) => {
        /// What a token is about. The order is the order of ids.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[non_exhaustive]
        pub enum Kind { $($(#[$doc])* $kind,)* }

        impl Kind {
            /// Every kind, in order.
            pub const ALL: &[Kind] = &[$(Kind::$kind,)*];

            /// Stable upper-case name.
            pub fn name(self) -> &'static str {
                match self { $(Kind::$kind => $name,)* }
            }

            /// How many values it takes.
            pub fn size(self) -> u16 {
                match self { $(Kind::$kind => $size,)* }
            }
        }
    };
}

kinds! {
    /// Fills the rest of a row after END.
    Pad = "PAD", 1;
    /// Begins every sequence.
    Start = "START", 1;
    /// Ends every sequence.
    End = "END", 1;
    /// Easy, Normal, Hard, Expert, ExpertPlus.
    Difficulty = "DIFFICULTY", RANKS.len() as u16;
    /// A bar of four beats begins.
    Bar = "BAR", 1;
    /// Sixteenth of a beat inside the bar.
    Pos = "POS", TICKS_PER_BAR / TICKS_PER_POS;
    /// No left note.
    LeftEmpty = "LEFT-EMPTY", 1;
    /// A left note: ((column × 3) + row) × 9 + cut direction.
    Left = "LEFT", NOTES;
    /// No right note.
    RightEmpty = "RIGHT-EMPTY", 1;
    /// A right note, numbered as LEFT.
    Right = "RIGHT", NOTES;
    /// 1/48 or 2/48 beat after the POS.
    Nudge = "NUDGE", TICKS_PER_POS - 1;
    /// Angle offset of the onset's latest left note, in steps of 15 degrees: −165 … −15, 15 … 180.
    LeftAngle = "LEFT-ANGLE", ANGLES;
    /// A further left note on the same beat, numbered as LEFT, in a higher cell than the one before.
    MoreLeft = "MORE-LEFT", NOTES;
    /// Angle offset of the onset's latest right note.
    RightAngle = "RIGHT-ANGLE", ANGLES;
    /// A further right note on the same beat.
    MoreRight = "MORE-RIGHT", NOTES;
    /// A bomb: (column × 3) + row.
    Bomb = "BOMB", CELLS;
    /// A wall by its shape: column, width, row, height, the last running fastest; SPAN follows.
    Wall = "WALL", 120;
    /// Head of a left arc, numbered as LEFT; SPAN, ARC-TAIL, two ARC-MULTIPLIER and MID-ANCHOR follow.
    ArcLeft = "ARC-LEFT", NOTES;
    /// Head of a right arc.
    ArcRight = "ARC-RIGHT", NOTES;
    /// Head cell of a left chain, whose direction is that of the note there; SPAN, CHAIN-TAIL, SLICES and SQUISH follow.
    ChainLeft = "CHAIN-LEFT", CELLS;
    /// Head cell of a right chain.
    ChainRight = "CHAIN-RIGHT", CELLS;
    /// Whole beats from head to tail; SPAN-TICKS follows.
    SpanBeats = "SPAN-BEATS", SPAN_BEATS;
    /// Ticks (1/48 beat) on top of the whole beats.
    SpanTicks = "SPAN-TICKS", TICKS_PER_BEAT;
    /// Tail of an arc, numbered as LEFT.
    ArcTail = "ARC-TAIL", NOTES;
    /// Control point multiplier of an arc's end in steps of 0.05, from −1 to 3.
    ArcMultiplier = "ARC-MULTIPLIER", MULTIPLIERS;
    /// 0 straight, 1 clockwise, 2 counter-clockwise.
    MidAnchor = "MID-ANCHOR", 3;
    /// Tail cell of a chain.
    ChainTail = "CHAIN-TAIL", CELLS;
    /// Slices of a chain, 1 to 32.
    Slices = "SLICES", SLICES;
    /// Squish of a chain in steps of 0.05, from 0.05 to 2.
    Squish = "SQUISH", SQUISHES;
    /// Bucket of notes per second; this and the nine that follow condition a model on what a level is like.
    StatNotes = "STAT-NOTES-PER-SECOND", BUCKETS;
    /// Bucket of swings per second.
    StatSwings = "STAT-SWINGS-PER-SECOND", BUCKETS;
    /// Bucket of the share of onsets with both hands.
    StatDoubles = "STAT-DOUBLES", BUCKETS;
    /// Bucket of the share of notes without a direction.
    StatDots = "STAT-DOTS", BUCKETS;
    /// Bucket of the share of notes on the other hand's side.
    StatCrossovers = "STAT-CROSSOVERS", BUCKETS;
    /// Bucket of the share of up and down cuts.
    StatVertical = "STAT-VERTICAL", BUCKETS;
    /// Bucket of bombs per note.
    StatBombs = "STAT-BOMBS", BUCKETS;
    /// Bucket of walls per note.
    StatWalls = "STAT-WALLS", BUCKETS;
    /// Bucket of arcs per note.
    StatArcs = "STAT-ARCS", BUCKETS;
    /// Bucket of chains per note.
    StatChains = "STAT-CHAINS", BUCKETS;
    /// Normal colours, boost colours.
    Boost = "BOOST", 2;
    /// A basic event by its type; VALUE follows.
    Event = "EVENT", EVENT_TYPES.len() as u16;
    /// Value of an event: 0 to 12 of a light, 0 to 63 of a laser's speed and the like.
    Value = "VALUE", EVENT_VALUES;
    /// Brightness of a light in steps of 0.05 from 0 to 3; full brightness, 1, is not said.
    Brightness = "BRIGHTNESS", BRIGHTNESSES;
    /// A channel of a Chroma colour; four of them make red, green, blue, alpha.
    Color = "COLOR", COLOR_LEVELS;
    /// A Chroma light id; several rise strictly.
    LightId = "LIGHT-ID", LIGHT_IDS;
}

/// Id of PAD in every vocabulary.
pub const PAD: u16 = 0;
/// Id of START in every vocabulary.
pub const START: u16 = 1;
/// Id of END in every vocabulary.
pub const END: u16 = 2;

// ----------------------------------------------------------------------------------------------------- vocabulary

/// Which of the vocabularies.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Content {
    /// One note per hand on a grid of 1/16 beat: the ids 0 to 290 and nothing else.
    Notes,
    /// Everything that is played, on a grid of 1/48 beat. Its first 291 ids are those of [`Content::Notes`].
    Full,
    /// Light events and boosts, on a grid of 1/48 beat.
    Lights,
}

/// What a vocabulary is made of; crosses the language boundary as JSON, for example `{"content":"full","divisions":48}`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct VocabSpec {
    /// What it can say.
    pub content: Content,
    /// Parts of a beat that the ids are made for; 48.
    pub divisions: u16,
}

impl VocabSpec {
    /// A spec for `content`.
    pub fn new(content: Content) -> Self {
        Self { content, divisions: TICKS_PER_BEAT }
    }

    /// Parses JSON bytes.
    ///
    /// # Errors
    /// [`Error::Spec`] for anything but the two fields with valid values.
    pub fn from_json(bytes: &[u8]) -> Result<Self> {
        let mut de = serde_json::Deserializer::from_slice(bytes);
        let parsed: Result<Self, _> = serde_path_to_error::deserialize(&mut de);
        let fail = |field: String, problem: String| Error::Spec { field, problem };
        let spec = parsed.map_err(|e| {
            let path = e.path().to_string();
            let field = if path == "." { "vocab".to_owned() } else { format!("vocab.{path}") };
            fail(field, e.inner().to_string())
        })?;
        de.end().map_err(|e| fail("vocab".into(), e.to_string()))?;
        Ok(spec)
    }
}

/// A vocabulary: kinds with their ranges of ids. Cheap to clone.
///
/// ```
/// use beatweaver_core::map::{Difficulty, Note};
/// use beatweaver_core::tokens::{Content, Vocab, VocabSpec};
/// let vocab = Vocab::new(&VocabSpec::new(Content::Notes))?;
/// assert_eq!(vocab.size(), 291);
/// let note = Note { beat: 5.5, x: 1, color: 0, cut: 1, ..Note::default() };
/// let level = Difficulty { notes: vec![note], ..Difficulty::default() };
/// let encoded = vocab.encode(&level, 9, 0.0, f64::INFINITY);
/// let names = vocab.names();
/// let text: Vec<_> = encoded.tokens.iter().map(|&id| names[id as usize].as_str()).collect();
/// assert_eq!(text.join(" | "), "START | DIFFICULTY ExpertPlus | BAR | BAR | POS 24 | LEFT 1,0 down | RIGHT-EMPTY | END");
/// assert_eq!(vocab.decode(&encoded.tokens)?, level);
/// # Ok::<(), beatweaver_core::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Vocab {
    content: Content,
    /// Start of every kind's range by `Kind as usize`; absent kinds are empty ranges at 0.
    starts: [u16; Kind::ALL.len()],
    present: [bool; Kind::ALL.len()],
    size: u16,
    hash: String,
}

impl Vocab {
    /// The vocabulary that `spec` asks for.
    ///
    /// # Errors
    /// [`Error::Spec`] when `divisions` is not 48.
    pub fn new(spec: &VocabSpec) -> Result<Self> {
        if spec.divisions != TICKS_PER_BEAT {
            let problem = format!("found {}, expected {TICKS_PER_BEAT}", spec.divisions);
            return Err(Error::Spec { field: "vocab.divisions".into(), problem });
        }
        let mut vocab = Self {
            content: spec.content,
            starts: [0; Kind::ALL.len()],
            present: [false; Kind::ALL.len()],
            size: 0,
            hash: String::new(),
        };
        // The identity covers the spec and the table that came of it: another layout is another vocabulary.
        let mut identity = json!({ "content": spec.content, "divisions": spec.divisions }).to_string();
        for &kind in Kind::ALL {
            let shared = kind <= Kind::Pos;
            vocab.present[kind as usize] = match spec.content {
                Content::Notes => kind <= Kind::Right,
                Content::Full => kind < Kind::Boost,
                Content::Lights => shared || kind == Kind::Nudge || kind >= Kind::Boost,
            };
            if vocab.present[kind as usize] {
                vocab.starts[kind as usize] = vocab.size;
                vocab.size += kind.size();
                identity += &format!("\n{} {}", kind.name(), kind.size());
            }
        }
        vocab.hash = blake3::hash(identity.as_bytes()).to_hex().to_string();
        Ok(vocab)
    }

    /// Number of ids.
    pub fn size(&self) -> usize {
        usize::from(self.size)
    }

    /// Identity: 64 hexadecimal digits; equal exactly when ids mean the same.
    pub fn hash(&self) -> &str {
        &self.hash
    }

    /// What it can say.
    pub fn content(&self) -> Content {
        self.content
    }

    /// Ids of `kind`; empty where the vocabulary does not have it.
    pub fn range(&self, kind: Kind) -> Range<u16> {
        let start = self.starts[kind as usize];
        start..if self.present[kind as usize] { start + kind.size() } else { start }
    }

    /// Kind of `id` and its value inside the kind; `None` when the vocabulary has no such id.
    pub fn kind_of(&self, id: u16) -> Option<(Kind, u16)> {
        if id >= self.size {
            return None;
        }
        let kind = Kind::ALL.iter().rev().find(|&&k| self.present[k as usize] && self.starts[k as usize] <= id)?;
        Some((*kind, id - self.starts[*kind as usize]))
    }

    fn id(&self, kind: Kind, value: u16) -> u16 {
        self.starts[kind as usize] + value
    }

    /// What each id says, for people: one text per id.
    pub fn names(&self) -> Vec<String> {
        const CUT_NAMES: [&str; 9] =
            ["up", "down", "left", "right", "up-left", "up-right", "down-left", "down-right", "any"];
        let shapes: Vec<_> = wall_shapes().collect();
        let name = |id| {
            let (kind, value) = self.kind_of(id)?;
            let v = usize::from(value);
            let cell = |cell: u16| format!("{},{}", cell / ROWS, cell % ROWS);
            let text = match kind {
                Kind::Pad | Kind::Start | Kind::End | Kind::Bar | Kind::LeftEmpty | Kind::RightEmpty => {
                    return Some(kind.name().to_owned());
                }
                Kind::Difficulty => RANKS[v].0.to_owned(),
                Kind::Left
                | Kind::Right
                | Kind::MoreLeft
                | Kind::MoreRight
                | Kind::ArcLeft
                | Kind::ArcRight
                | Kind::ArcTail => format!("{} {}", cell(value / CUTS), CUT_NAMES[usize::from(value % CUTS)]),
                Kind::Nudge => format!("+{}/{TICKS_PER_BEAT}", v + 1),
                Kind::LeftAngle | Kind::RightAngle => angle_degrees(value).to_string(),
                Kind::Bomb | Kind::ChainLeft | Kind::ChainRight | Kind::ChainTail => cell(value),
                Kind::Wall => {
                    let [x, y, width, height] = shapes[v];
                    format!("{x},{y} {width}x{height}")
                }
                Kind::ArcMultiplier => multiplier(value).to_string(),
                Kind::Squish => squish(value).to_string(),
                Kind::Slices => (v + 1).to_string(),
                Kind::Boost => ["off", "on"][v].to_owned(),
                Kind::Event => EVENT_TYPES[v].to_string(),
                Kind::Brightness => brightness(value).to_string(),
                Kind::Color => color_value(value).to_string(),
                _ => v.to_string(),
            };
            Some(format!("{} {text}", kind.name()))
        };
        (0..self.size).filter_map(name).collect()
    }

    /// Beat of every token, counted from the first BAR: tokens of one onset share its beat, a POS before its NUDGE still has
    /// the beat of the POS. The beat of a token depends only on what stands before it and on itself.
    pub fn beats(&self, tokens: &[u16]) -> Vec<f64> {
        let (mut bars, mut tick) = (0_usize, 0);
        let beat_of = |&id: &u16| {
            match self.kind_of(id) {
                Some((Kind::Bar, _)) => {
                    bars += 1;
                    tick = 0;
                }
                Some((Kind::Pos, value)) => tick = usize::from(value * TICKS_PER_POS),
                Some((Kind::Nudge, value)) => tick += usize::from(value) + 1,
                _ => {}
            }
            let ticks = bars.saturating_sub(1) * usize::from(TICKS_PER_BAR) + tick;
            ticks as f64 / f64::from(TICKS_PER_BEAT)
        };
        tokens.iter().map(beat_of).collect()
    }
}

fn angle_degrees(value: u16) -> i32 {
    let step = i32::from(value) - 11;
    ANGLE_STEP * if step >= 0 { step + 1 } else { step }
}

fn multiplier(value: u16) -> f64 {
    (MULTIPLIER_MIN * STEPS_PER_UNIT + f64::from(value)) / STEPS_PER_UNIT
}

fn squish(value: u16) -> f64 {
    f64::from(value + 1) / STEPS_PER_UNIT
}

fn brightness(value: u16) -> f64 {
    let full = STEPS_PER_UNIT as u16;
    f64::from(if value >= full { value + 1 } else { value }) / STEPS_PER_UNIT
}

// --------------------------------------------------------------------------------------------------------- encode

/// How far beats were moved onto the grid.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Snapped {
    /// Beats (of heads and tails) moved by more than a thousandth of a beat.
    pub count: u64,
    /// The largest move in beats.
    pub max_error_beats: f64,
}

/// A level, or a window of one, in tokens, and an account of what the tokens do not say.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Encoded {
    /// START … END.
    pub tokens: Vec<u16>,
    /// Beat at which the first BAR begins.
    pub first_beat: f64,
    /// Content that is not in the tokens, by reason.
    pub out_of_vocabulary: BTreeMap<&'static str, u64>,
    /// Content that is in the tokens with another value than the level's, the nearest there is, by reason.
    pub rounded: BTreeMap<&'static str, u64>,
    /// Moves of beats.
    pub snapped: Snapped,
    /// Objects that lie outside of the window.
    pub outside: u64,
}

/// One object or event of an onset: its tokens after the first lie in `Encoder::fields`.
#[derive(Clone, Copy)]
struct Record {
    at: u32,
    len: u16,
}

struct Encoder<'a> {
    vocab: &'a Vocab,
    /// Ticks of the window.
    window: Range<i64>,
    /// Tick of the first BAR.
    origin: i64,
    /// Sort keys: tick from `origin`, then id of the first token, then index into `records`.
    keys: Vec<u64>,
    records: Vec<Record>,
    fields: Vec<u16>,
    out: Encoded,
}

const KEY_INDEX_BITS: u32 = 28;
const KEY_ID_BITS: u32 = 16;

impl Vocab {
    /// The objects of `difficulty` whose snapped beat lies in `start_beat..end_beat`, as tokens.
    ///
    /// Bars are multiples of four beats of the level's axis; the first BAR is the one that holds `start_beat` (0 when it is
    /// negative or no number). With a finite `end_beat` there is a BAR for every bar of the window, with an infinite one up
    /// to the last object. `rank` is 1, 3, 5, 7 or 9; another is rounded to the nearest and counted.
    pub fn encode(&self, difficulty: &Difficulty, rank: i32, start_beat: f64, end_beat: f64) -> Encoded {
        let last_tick = i64::from(BARS_MAX) * i64::from(TICKS_PER_BAR);
        let bound = |beat: f64| (beat * f64::from(TICKS_PER_BEAT)).round().clamp(0.0, 1e15) as i64;
        let start = bound(start_beat);
        let origin = start - start % i64::from(TICKS_PER_BAR);
        let window = start..bound(if end_beat.is_nan() { 0.0 } else { end_beat });
        let mut e = Encoder {
            vocab: self,
            origin,
            keys: Vec::with_capacity(difficulty.notes.len() + difficulty.lights.len()),
            records: Vec::new(),
            fields: Vec::new(),
            out: Encoded { first_beat: origin as f64 / f64::from(TICKS_PER_BEAT), ..Encoded::default() },
            window,
        };
        let steps = (f64::from(rank) - 1.0) / 2.0;
        let step = steps.round().clamp(0.0, (RANKS.len() - 1) as f64);
        e.round_if(steps != step, "difficulty-rank");
        e.out.tokens.extend([START, self.id(Kind::Difficulty, step as u16)]);
        match self.content {
            Content::Lights => e.take_lights(difficulty),
            Content::Notes | Content::Full => e.take_objects(difficulty),
        }
        e.keys.sort_unstable();
        let mut bars = e.write_onsets();
        let end = e.window.end.min(e.origin + last_tick);
        if end_beat.is_finite() && !e.window.is_empty() && e.window.end - e.origin <= last_tick {
            while e.origin + bars * i64::from(TICKS_PER_BAR) < end {
                e.out.tokens.push(self.id(Kind::Bar, 0));
                bars += 1;
            }
        }
        e.out.tokens.push(END);
        e.out
    }
}

impl Encoder<'_> {
    fn lose(&mut self, reason: &'static str, count: usize) {
        if count > 0 {
            *self.out.out_of_vocabulary.entry(reason).or_default() += count as u64;
        }
    }

    fn round_if(&mut self, moved: bool, reason: &'static str) {
        if moved {
            *self.out.rounded.entry(reason).or_default() += 1;
        }
    }

    /// Tick of `beat`, on the grid of the vocabulary.
    fn tick(&self, beat: f64) -> i64 {
        let parts = if self.vocab.content == Content::Notes { TICKS_PER_POS } else { 1 };
        let (ticks, parts) = (f64::from(TICKS_PER_BEAT), f64::from(parts));
        ((beat * (ticks / parts)).round() * parts).clamp(-1e14, 1e14) as i64
    }

    fn snap(&mut self, beat: f64, tick: i64) {
        let error = (tick as f64 / f64::from(TICKS_PER_BEAT) - beat).abs();
        let snapped = &mut self.out.snapped;
        snapped.count += u64::from(error > NOISE);
        snapped.max_error_beats = snapped.max_error_beats.max(error);
    }

    /// Tick of a head if it lies in the window; else counts it.
    fn head(&mut self, beat: f64) -> Option<i64> {
        if !beat.is_finite() {
            self.lose("beat-not-finite", 1);
            return None;
        }
        let tick = self.tick(beat);
        if tick < 0 && self.window.start == 0 {
            self.lose("beat-before-0", 1);
        } else if !self.window.contains(&tick) {
            self.out.outside += 1;
        } else if tick - self.origin >= i64::from(BARS_MAX) * i64::from(TICKS_PER_BAR) {
            self.lose("beat-too-late", 1);
        } else {
            return Some(tick);
        }
        None
    }

    /// Tokens of the way from `tick` to `tail_beat`; `None` when it is not 1 tick to 64 beats long.
    fn span(&mut self, tick: i64, tail_beat: f64) -> Option<[u16; 2]> {
        if !tail_beat.is_finite() {
            return None;
        }
        let tail = self.tick(tail_beat);
        let ticks = u16::try_from(tail - tick).ok()?;
        if !(1..SPAN_BEATS * TICKS_PER_BEAT).contains(&ticks) {
            return None;
        }
        self.snap(tail_beat, tail);
        Some(self.span_tokens(ticks))
    }

    fn span_tokens(&self, ticks: u16) -> [u16; 2] {
        let beats = self.vocab.id(Kind::SpanBeats, ticks / TICKS_PER_BEAT);
        [beats, self.vocab.id(Kind::SpanTicks, ticks % TICKS_PER_BEAT)]
    }

    /// Value of `kind` nearest to `value` where 0 is `min` and a step is 0.05.
    fn stepped(&mut self, kind: Kind, value: f64, min: f64, reason: &'static str) -> u16 {
        let step = ((value - min) * STEPS_PER_UNIT).round().clamp(0.0, f64::from(kind.size() - 1));
        let exact = (min * STEPS_PER_UNIT + step) / STEPS_PER_UNIT;
        // NaN is no value of a level; it becomes the smallest.
        self.round_if((value - exact).abs() > NOISE || value.is_nan(), reason);
        self.vocab.id(kind, step as u16)
    }

    /// Adds a record that opens with `id` at `tick`; `beat` is where the level has it.
    fn push(&mut self, beat: f64, tick: i64, id: u16, fields: &[u16]) {
        self.snap(beat, tick);
        let index = self.records.len() as u64;
        let at = self.fields.len() as u32;
        self.fields.extend_from_slice(fields);
        self.records.push(Record { at, len: fields.len() as u16 });
        let offset = (tick - self.origin) as u64;
        self.keys.push(offset << (KEY_ID_BITS + KEY_INDEX_BITS) | u64::from(id) << KEY_INDEX_BITS | index);
    }

    fn take_objects(&mut self, d: &Difficulty) {
        let vocab = self.vocab;
        let full = vocab.content == Content::Full;
        for note in &d.notes {
            let Some(tick) = self.head(note.beat) else { continue };
            let Some(cell) = cell(note.x, note.y) else {
                self.lose("note-cell", 1);
                continue;
            };
            let Some(cut) = small(note.cut, CUTS) else {
                self.lose("note-direction", 1);
                continue;
            };
            let Some(hand) = small(note.color, 2) else {
                self.lose("note-color", 1);
                continue;
            };
            self.lose_extras(&note.extra, note.lane != 0);
            let [kind, angle_kind] =
                [[Kind::Left, Kind::LeftAngle], [Kind::Right, Kind::RightAngle]][usize::from(hand)];
            let id = vocab.id(kind, cell * CUTS + cut);
            let degrees = note.angle.rem_euclid(360);
            if degrees == 0 {
                self.push(note.beat, tick, id, &[]);
            } else if full {
                self.round_if(degrees % ANGLE_STEP != 0, "note-angle");
                // Steps counter-clockwise, −11 … 12; what rounds to no turn needs no token.
                let step = (degrees + ANGLE_STEP / 2) / ANGLE_STEP % 24;
                let step = if step > 12 { step - 24 } else { step };
                let value = if step > 0 { step + 10 } else { step + 11 };
                let angle = [vocab.id(angle_kind, value as u16)];
                self.push(note.beat, tick, id, if step == 0 { &[] } else { &angle });
            } else {
                self.lose("note-angle", 1);
                self.push(note.beat, tick, id, &[]);
            }
        }
        if full {
            self.take_bombs_and_walls(d);
            self.take_arcs_and_chains(d);
        } else {
            self.lose("bombs", d.bombs.len());
            self.lose("walls", d.obstacles.len());
            self.lose("arcs", d.arcs.len());
            self.lose("chains", d.chains.len());
        }
        let fakes = &d.fakes;
        self.lose("fakes", fakes.notes.len() + fakes.bombs.len() + fakes.obstacles.len() + fakes.chains.len());
        self.lose("rotations", d.rotations.len());
        self.lose("njs-events", d.njs_events.len());
        self.lose("strays", d.strays.len());
        self.lose("level-data", usize::from(!d.extra.is_empty()));
    }

    fn take_bombs_and_walls(&mut self, d: &Difficulty) {
        let vocab = self.vocab;
        for bomb in &d.bombs {
            let Some(tick) = self.head(bomb.beat) else { continue };
            let Some(cell) = cell(bomb.x, bomb.y) else {
                self.lose("bomb-cell", 1);
                continue;
            };
            self.lose_extras(&bomb.extra, bomb.lane != 0);
            self.push(bomb.beat, tick, vocab.id(Kind::Bomb, cell), &[]);
        }
        for wall in &d.obstacles {
            let Some(tick) = self.head(wall.beat) else { continue };
            let shape = [wall.x, wall.y, wall.width, wall.height];
            let Some(shape) = wall_shapes().position(|s| s == shape) else {
                self.lose("wall-shape", 1);
                continue;
            };
            // NaN is no length either.
            if wall.duration_beats.is_nan() || wall.duration_beats <= 0.0 {
                self.lose("wall-length", 1);
                continue;
            }
            self.lose_extras(&wall.extra, wall.lane != 0);
            let end = wall.beat + wall.duration_beats;
            let span = self.span(tick, end).unwrap_or_else(|| {
                self.round_if(true, "wall-length");
                let longest = SPAN_BEATS * TICKS_PER_BEAT - 1;
                self.span_tokens(if self.tick(end) > tick { longest } else { 1 })
            });
            self.push(wall.beat, tick, vocab.id(Kind::Wall, shape as u16), &span);
        }
    }

    fn take_arcs_and_chains(&mut self, d: &Difficulty) {
        let vocab = self.vocab;
        for arc in &d.arcs {
            let Some(tick) = self.head(arc.beat) else { continue };
            let (Some(head), Some(tail)) = (cell(arc.x, arc.y), cell(arc.tail_x, arc.tail_y)) else {
                self.lose("arc-cell", 1);
                continue;
            };
            let (Some(cut), Some(tail_cut)) = (small(arc.cut, CUTS), small(arc.tail_cut, CUTS)) else {
                self.lose("arc-direction", 1);
                continue;
            };
            let Some(hand) = small(arc.color, 2) else {
                self.lose("arc-color", 1);
                continue;
            };
            let Some(mid_anchor) = small(arc.mid_anchor, Kind::MidAnchor.size()) else {
                self.lose("arc-mid-anchor", 1);
                continue;
            };
            let Some([beats, ticks]) = self.span(tick, arc.tail_beat) else {
                self.lose("arc-tail", 1);
                continue;
            };
            self.lose_extras(&arc.extra, arc.lane != 0 || arc.tail_lane != 0);
            let kind = [Kind::ArcLeft, Kind::ArcRight][usize::from(hand)];
            let fields = [
                beats,
                ticks,
                vocab.id(Kind::ArcTail, tail * CUTS + tail_cut),
                self.stepped(Kind::ArcMultiplier, arc.multiplier, MULTIPLIER_MIN, "arc-multiplier"),
                self.stepped(Kind::ArcMultiplier, arc.tail_multiplier, MULTIPLIER_MIN, "arc-multiplier"),
                vocab.id(Kind::MidAnchor, mid_anchor),
            ];
            self.push(arc.beat, tick, vocab.id(kind, head * CUTS + cut), &fields);
        }
        for chain in &d.chains {
            let Some(tick) = self.head(chain.beat) else { continue };
            let (Some(head), Some(tail)) = (cell(chain.x, chain.y), cell(chain.tail_x, chain.tail_y)) else {
                self.lose("chain-cell", 1);
                continue;
            };
            let Some(cut) = small(chain.cut, CUTS) else {
                self.lose("chain-direction", 1);
                continue;
            };
            let Some(hand) = small(chain.color, 2) else {
                self.lose("chain-color", 1);
                continue;
            };
            let span = if head == tail { None } else { self.span(tick, chain.tail_beat) };
            let Some([beats, ticks]) = span else {
                self.lose("chain-tail", 1);
                continue;
            };
            self.lose_extras(&chain.extra, chain.lane != 0 || chain.tail_lane != 0);
            let kind = [Kind::ChainLeft, Kind::ChainRight][usize::from(hand)];
            let slices = chain.slices.clamp(1, i32::from(SLICES));
            self.round_if(slices != chain.slices, "chain-slices");
            let fields = [
                beats,
                ticks,
                vocab.id(Kind::ChainTail, tail),
                vocab.id(Kind::Slices, slices as u16 - 1),
                self.stepped(Kind::Squish, chain.squish, squish(0), "chain-squish"),
                // Not a token: what the head note's direction must be.
                cut,
            ];
            self.push(chain.beat, tick, vocab.id(kind, head), &fields);
        }
    }

    fn take_lights(&mut self, d: &Difficulty) {
        let vocab = self.vocab;
        for boost in &d.boosts {
            let Some(tick) = self.head(boost.beat) else { continue };
            self.lose_extras(&boost.extra, false);
            self.push(boost.beat, tick, vocab.id(Kind::Boost, u16::from(boost.on)), &[]);
        }
        for event in &d.lights {
            let Some(tick) = self.head(event.beat) else { continue };
            let Some(kind) = EVENT_TYPES.iter().position(|&t| t == event.kind) else {
                self.lose("event-type", 1);
                continue;
            };
            let light = LIGHT_TYPES.contains(&event.kind);
            if event.value >= CHROMA_RGB {
                self.lose("old-chroma-color", 1);
                continue;
            }
            if event.value < 0 || (light && event.value >= i32::from(LIGHT_VALUES)) {
                self.lose("event-value", 1);
                continue;
            }
            let value = event.value.min(i32::from(EVENT_VALUES) - 1);
            let Some(chroma) = self.chroma(event, light) else { continue };
            self.round_if(value != event.value, "event-value");
            let mut fields = [0; 6 + LIGHT_IDS_MAX];
            let mut len = 0;
            let mut add = |ids: &[u16]| {
                fields[len..len + ids.len()].copy_from_slice(ids);
                len += ids.len();
            };
            add(&[vocab.id(Kind::Value, value as u16)]);
            if light {
                let steps = f64::from(BRIGHTNESSES);
                let step = (event.brightness * STEPS_PER_UNIT).round().clamp(0.0, steps);
                let moved = (step / STEPS_PER_UNIT - event.brightness).abs() > NOISE || event.brightness.is_nan();
                self.round_if(moved, "brightness");
                if step != STEPS_PER_UNIT {
                    let value = if step > STEPS_PER_UNIT { step - 1.0 } else { step };
                    add(&[vocab.id(Kind::Brightness, value as u16)]);
                }
            } else if event.brightness != 1.0 {
                self.lose("brightness-of-no-light", 1);
            }
            if let Some(color) = chroma.color {
                add(&color.map(|level| vocab.id(Kind::Color, level)));
            }
            add(&chroma.ids[..chroma.len].iter().map(|&n| vocab.id(Kind::LightId, n)).collect::<Vec<_>>());
            self.push(event.beat, tick, vocab.id(Kind::Event, kind as u16), &fields[..len]);
        }
        self.lose("group-lighting", d.groups.iter().flat_map(|g| &g.boxes).map(|b| b.events.len()).sum());
        self.lose("waypoints", d.waypoints.len());
        self.lose("keywords", d.keywords.len());
        self.lose("level-data", usize::from(!d.light_extra.is_empty()));
    }

    /// Colour and ids of an event's custom data; the rest is counted. `None` when the ids cannot be said: without them the
    /// event would mean every light.
    fn chroma(&mut self, event: &Light, light: bool) -> Option<Chroma> {
        let mut chroma = Chroma { color: None, ids: [0; LIGHT_IDS_MAX], len: 0 };
        let mut other = false;
        if event.extra.is_empty() {
            return Some(chroma);
        }
        for (key, value) in event.extra.members() {
            let custom = match (key.as_str(), value) {
                ("customData" | "_customData", Value::Object(custom)) => custom,
                (key, _) => {
                    other |= !MEANINGLESS.contains(&key);
                    continue;
                }
            };
            for (key, value) in &custom {
                match key.as_str() {
                    "color" | "_color" if light && chroma.color.is_none() => {
                        let channels = channels(value);
                        other |= channels.is_none();
                        chroma.color = channels.map(|c| c.map(color_level));
                        let exact = |c: &f64| (color_value(color_level(*c)) - c).abs() <= NOISE;
                        self.round_if(channels.is_some_and(|c| !c.iter().all(exact)), "color");
                    }
                    "lightID" | "_lightID" if light => {
                        let one = std::slice::from_ref(value);
                        let list = value.as_array().map_or(one, Vec::as_slice);
                        let mut ids = Vec::with_capacity(list.len());
                        for id in list {
                            let id =
                                id.as_f64().filter(|n| n.fract() == 0.0 && (0.0..f64::from(LIGHT_IDS)).contains(n));
                            ids.push(id.map(|n| n as u16));
                        }
                        ids.sort_unstable();
                        ids.dedup();
                        let sayable = ids.len() <= LIGHT_IDS_MAX && !ids.is_empty() && ids[0].is_some();
                        if !sayable {
                            self.lose("light-ids", 1);
                            return None;
                        }
                        chroma.len = ids.len();
                        chroma.ids.iter_mut().zip(ids.into_iter().flatten()).for_each(|(to, id)| *to = id);
                    }
                    _ => other = true,
                }
            }
        }
        self.lose("custom-data", usize::from(other || !event.extra.data_members().is_empty()));
        Some(chroma)
    }

    fn lose_extras(&mut self, extra: &Extra, lane: bool) {
        self.lose("rotation-lanes", usize::from(lane));
        if !extra.is_empty() {
            let says = |(key, value): (&String, &Value)| match (key.as_str(), value) {
                ("customData" | "_customData", Value::Object(custom)) => !custom.is_empty(),
                (key, _) => !MEANINGLESS.contains(&key),
            };
            let says = extra.members().iter().any(says) || !extra.data_members().is_empty();
            self.lose("custom-data", usize::from(says));
        }
    }

    /// Writes everything taken, onset by onset; returns how many bars were opened.
    fn write_onsets(&mut self) -> i64 {
        let keys = std::mem::take(&mut self.keys);
        let tick_of = |key: &u64| key >> (KEY_ID_BITS + KEY_INDEX_BITS);
        let mut bars = 0;
        for onset in keys.chunk_by(|a, b| tick_of(a) == tick_of(b)) {
            let tick = tick_of(&onset[0]);
            let (mark, bars_before) = (self.out.tokens.len(), bars);
            while bars <= (tick / u64::from(TICKS_PER_BAR)) as i64 {
                self.out.tokens.push(self.vocab.id(Kind::Bar, 0));
                bars += 1;
            }
            let tick = (tick % u64::from(TICKS_PER_BAR)) as u16;
            self.out.tokens.push(self.vocab.id(Kind::Pos, tick / TICKS_PER_POS));
            if tick % TICKS_PER_POS > 0 {
                self.out.tokens.push(self.vocab.id(Kind::Nudge, tick % TICKS_PER_POS - 1));
            }
            let said = match self.vocab.content {
                Content::Lights => self.write_events(onset),
                Content::Notes | Content::Full => self.write_objects(onset),
            };
            if !said {
                self.out.tokens.truncate(mark);
                bars = bars_before;
            }
        }
        bars
    }

    fn record(&self, key: u64) -> (u16, usize, Record) {
        let index = (key & ((1 << KEY_INDEX_BITS) - 1)) as usize;
        ((key >> KEY_INDEX_BITS) as u16, index, self.records[index])
    }

    fn fields(&self, record: Record) -> Range<usize> {
        record.at as usize..record.at as usize + usize::from(record.len)
    }

    /// Notes and all that goes with them; `false` when there was nothing to say.
    fn write_objects(&mut self, onset: &[u64]) -> bool {
        let vocab = self.vocab;
        let [left, right] = [vocab.range(Kind::Left), vocab.range(Kind::Right)];
        let notes = onset.partition_point(|&key| self.record(key).0 < right.end);
        let (notes, rest) = onset.split_at(notes);
        let cell_of = |id: u16| usize::from((if id < left.end { id - left.start } else { id - right.start }) / CUTS);
        // Of several notes in one cell the level's first stays.
        let mut first = [usize::MAX; CELLS as usize];
        for &key in notes {
            let (id, index, _) = self.record(key);
            let cell = cell_of(id);
            first[cell] = first[cell].min(index);
        }
        let mut occupied = 0_u16;
        let mut heads = [[None; CELLS as usize]; 2];
        for &key in notes {
            let (id, index, record) = self.record(key);
            let (cell, hand) = (cell_of(id), usize::from(id >= right.start));
            if first[cell] == index {
                occupied |= 1 << cell;
                heads[hand][cell] = Some((id, record));
            } else {
                self.lose("same-cell", 1);
            }
        }
        let mut said = false;
        let mut primary = [None; 2];
        for hand in 0..2 {
            primary[hand] = heads[hand].iter().position(Option::is_some);
            let empty = [Kind::LeftEmpty, Kind::RightEmpty][hand];
            let id = primary[hand].and_then(|cell| heads[hand][cell]).map_or(vocab.id(empty, 0), |(id, _)| id);
            self.out.tokens.push(id);
            said |= primary[hand].is_some();
        }
        for hand in 0..2 {
            let more = [Kind::MoreLeft, Kind::MoreRight][hand];
            let start = [left.start, right.start][hand];
            for (cell, &head) in heads[hand].iter().enumerate() {
                let Some((id, record)) = head else { continue };
                if primary[hand] != Some(cell) {
                    if vocab.content == Content::Notes {
                        self.lose("further-notes", 1);
                        continue;
                    }
                    self.out.tokens.push(vocab.id(more, id - start));
                }
                let fields = self.fields(record);
                self.out.tokens.extend_from_slice(&self.fields[fields]);
            }
        }
        let same_id = |a: &u64, b: &u64| a >> KEY_INDEX_BITS == b >> KEY_INDEX_BITS;
        for group in rest.chunk_by(same_id) {
            said |= self.write_rest(group, &heads, &mut occupied);
        }
        said
    }

    /// A bomb, wall, arc or chain: `group` holds those that open with the same token, of which one can be said.
    fn write_rest(&mut self, group: &[u64], heads: &Heads, occupied: &mut u16) -> bool {
        let vocab = self.vocab;
        let (id, _, mut record) = self.record(group[0]);
        let Some((kind, value)) = vocab.kind_of(id) else { return false };
        let hand = usize::from(matches!(kind, Kind::ArcRight | Kind::ChainRight));
        let refused = match kind {
            Kind::Bomb => {
                self.lose("same-cell", group.len() - 1);
                let taken = *occupied & 1 << value != 0;
                *occupied |= 1 << value;
                taken.then_some("same-cell")
            }
            Kind::Wall => {
                self.lose("same-wall", group.len() - 1);
                // The longest covers the others; the ids of a span grow with it.
                for &key in &group[1..] {
                    let other = self.record(key).2;
                    if self.fields[self.fields(other)] > self.fields[self.fields(record)] {
                        record = other;
                    }
                }
                None
            }
            Kind::ArcLeft | Kind::ArcRight => {
                self.lose("same-arc", group.len() - 1);
                let cell = usize::from(value / CUTS);
                (*occupied & 1 << cell != 0 && heads[hand][cell].is_none()).then_some("arc-on-other")
            }
            _ => {
                self.lose("same-chain", group.len() - 1);
                let start = vocab.range([Kind::Left, Kind::Right][hand]).start;
                match heads[hand][usize::from(value)] {
                    None => Some("chain-without-note"),
                    Some((note, _)) => {
                        record.len -= 1;
                        ((note - start) % CUTS != self.fields[self.fields(record).end]).then_some("chain-direction")
                    }
                }
            }
        };
        if let Some(reason) = refused {
            self.lose(reason, 1);
            return false;
        }
        self.out.tokens.push(id);
        let fields = self.fields(record);
        self.out.tokens.extend_from_slice(&self.fields[fields]);
        true
    }

    /// Boosts and events; `false` when there was nothing to say.
    fn write_events(&mut self, onset: &[u64]) -> bool {
        let event = self.vocab.range(Kind::Event).start;
        let boosts = onset.partition_point(|&key| self.record(key).0 < event);
        let (boosts, events) = onset.split_at(boosts);
        if let Some(&last) = boosts.iter().max_by_key(|&&key| self.record(key).1) {
            self.out.tokens.push(self.record(last).0);
            self.lose("same-boost", boosts.len() - 1);
        }
        let said = events.len().min(usize::from(EVENTS_PER_ONSET_MAX));
        self.lose("events-per-onset", events.len() - said);
        for &key in &events[..said] {
            let (id, _, record) = self.record(key);
            self.out.tokens.push(id);
            let fields = self.fields(record);
            self.out.tokens.extend_from_slice(&self.fields[fields]);
        }
        true
    }
}

/// Notes of an onset by hand and cell: the token of the note and its record.
type Heads = [[Option<(u16, Record)>; CELLS as usize]; 2];

struct Chroma {
    color: Option<[u16; 4]>,
    ids: [u16; LIGHT_IDS_MAX],
    len: usize,
}

/// Members that a file of another kind of event needs and that mean nothing here.
const MEANINGLESS: [&str; 3] = ["_value", "_floatValue", "_cutDirection"];

fn small(value: i32, size: u16) -> Option<u16> {
    u16::try_from(value).ok().filter(|&v| v < size)
}

fn cell(x: i32, y: i32) -> Option<u16> {
    Some(small(x, COLUMNS)? * ROWS + small(y, ROWS)?)
}

/// Red, green, blue and alpha of a Chroma colour; alpha may be left out.
fn channels(value: &Value) -> Option<[f64; 4]> {
    let list = value.as_array().filter(|l| (3..=4).contains(&l.len()))?;
    let mut out = [1.0; 4];
    for (to, channel) in out.iter_mut().zip(list) {
        *to = channel.as_f64()?;
    }
    Some(out)
}

// ---------------------------------------------------------------------------------------------------------- state

/// What a sequence waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Start,
    Difficulty,
    /// Statistics, or the first bar.
    Header,
    /// The next thing of an onset, or the next onset or bar.
    Onset,
    /// The NUDGE or the first thing of an onset.
    Pos,
    /// The first thing of an onset.
    Nudge,
    Right,
    SpanBeats,
    SpanTicks,
    ArcTail,
    HeadMultiplier,
    TailMultiplier,
    MidAnchor,
    ChainTail,
    Slices,
    Squish,
    Value,
    /// As many channels of a colour.
    Color(u8),
    Done,
}

/// One sequence in progress: enough to tell what may follow.
#[derive(Clone, Copy, Debug)]
struct State {
    stage: Stage,
    bars: u16,
    /// Tick of the latest POS with its NUDGE, and the first tick of the bar after the latest onset.
    tick: u16,
    free: u16,
    /// An onset is open; it has said nothing yet.
    open: bool,
    silent: bool,
    /// Lowest id that may open the next object of the onset, or tell the next statistic.
    bound: u16,
    /// Lowest id of the next detail of a light; `u16::MAX` when there is none to tell.
    detail: u16,
    /// Cells with a note of each hand, and with any object.
    hands: [u16; 2],
    occupied: u16,
    /// Lowest cell of a further note, by hand; `CELLS` when there can be none.
    more: [u16; 2],
    /// An angle may be given to the hand's latest note.
    angle: [bool; 2],
    /// Kind and value of the token that opened the current object.
    head: (Kind, u16),
    /// Whole beats of the current span.
    span: u16,
    /// Events of the onset, light ids of the event.
    events: u16,
    ids: u16,
}

impl State {
    const NEW: Self = Self {
        stage: Stage::Start,
        bars: 0,
        tick: 0,
        free: 0,
        open: false,
        silent: false,
        bound: 0,
        detail: u16::MAX,
        hands: [0; 2],
        occupied: 0,
        more: [CELLS; 2],
        angle: [false; 2],
        head: (Kind::Start, 0),
        span: 0,
        events: 0,
        ids: 0,
    };

    /// Calls `allow` with every range of ids that may follow; ranges may be empty, but never all of them.
    fn allowed(&self, vocab: &Vocab, mut allow: impl FnMut(Range<u16>)) {
        let all = |kind| vocab.range(kind);
        let from = |kind, value: u16| {
            let ids = vocab.range(kind);
            (ids.start + value).min(ids.end)..ids.end
        };
        match self.stage {
            Stage::Start => allow(all(Kind::Start)),
            Stage::Difficulty => allow(all(Kind::Difficulty)),
            Stage::Header => {
                allow(all(Kind::End));
                allow(all(Kind::Bar));
                let (first, last) = (all(Kind::StatNotes), all(Kind::StatChains));
                allow(first.start.max(self.bound).min(last.end)..last.end);
            }
            Stage::Onset => {
                if !self.silent {
                    allow(all(Kind::End));
                    if self.bars < BARS_MAX {
                        allow(all(Kind::Bar));
                    }
                    // The first POS of which some tick is free.
                    allow(from(Kind::Pos, self.free / TICKS_PER_POS));
                }
                if self.open {
                    self.allowed_next(vocab, &mut allow);
                }
            }
            Stage::Pos | Stage::Nudge => {
                if self.stage == Stage::Pos {
                    allow(from(Kind::Nudge, self.free.saturating_sub(self.tick + 1)));
                }
                if self.tick >= self.free {
                    allow(all(Kind::LeftEmpty));
                    allow(all(Kind::Left));
                    if vocab.content == Content::Lights {
                        self.allowed_next(vocab, &mut allow);
                    }
                }
            }
            Stage::Right => {
                // With bombs and the like to come an onset may be without notes.
                if vocab.content == Content::Full || !self.silent {
                    allow(all(Kind::RightEmpty));
                }
                cells(&all(Kind::Right), !self.occupied, &mut allow);
            }
            Stage::SpanBeats => allow(all(Kind::SpanBeats)),
            Stage::SpanTicks => allow(from(Kind::SpanTicks, u16::from(self.span == 0))),
            Stage::ArcTail => allow(all(Kind::ArcTail)),
            Stage::HeadMultiplier | Stage::TailMultiplier => allow(all(Kind::ArcMultiplier)),
            Stage::MidAnchor => allow(all(Kind::MidAnchor)),
            Stage::ChainTail => cells(&all(Kind::ChainTail), !(1 << self.head.1), &mut allow),
            Stage::Slices => allow(all(Kind::Slices)),
            Stage::Squish => allow(all(Kind::Squish)),
            Stage::Value => {
                let light = LIGHT_TYPES.contains(&EVENT_TYPES[usize::from(self.head.1)]);
                let start = all(Kind::Value).start;
                allow(start..start + if light { LIGHT_VALUES } else { EVENT_VALUES });
            }
            Stage::Color(_) => allow(all(Kind::Color)),
            Stage::Done => allow(all(Kind::Pad)),
        }
    }

    /// What may open the next object of the onset.
    fn allowed_next(&self, vocab: &Vocab, allow: &mut impl FnMut(Range<u16>)) {
        let bounded = |ids: Range<u16>| ids.start.max(self.bound).min(ids.end)..ids.end;
        if vocab.content == Content::Lights {
            for kind in [Kind::Brightness, Kind::Color] {
                let ids = vocab.range(kind);
                allow(if self.detail <= ids.start { ids } else { 0..0 });
            }
            if self.detail < u16::MAX && usize::from(self.ids) < LIGHT_IDS_MAX {
                let ids = vocab.range(Kind::LightId);
                allow(ids.start.max(self.detail)..ids.end);
            }
            if self.bound == 0 {
                allow(vocab.range(Kind::Boost));
            }
            if self.events < EVENTS_PER_ONSET_MAX {
                allow(bounded(vocab.range(Kind::Event)));
            }
            return;
        }
        for (hand, angle, more) in [(0, Kind::LeftAngle, Kind::MoreLeft), (1, Kind::RightAngle, Kind::MoreRight)] {
            if self.angle[hand] {
                allow(vocab.range(angle));
            }
            cells(&vocab.range(more), !self.occupied & !0 << self.more[hand], allow);
        }
        let mut bounded_cells = |kind, mask| cells(&vocab.range(kind), mask, &mut |ids| allow(bounded(ids)));
        bounded_cells(Kind::Bomb, !self.occupied);
        // An arc may begin in the open, but not on a bomb or on a note of the other hand.
        bounded_cells(Kind::ArcLeft, !self.occupied | self.hands[0]);
        bounded_cells(Kind::ArcRight, !self.occupied | self.hands[1]);
        bounded_cells(Kind::ChainLeft, self.hands[0]);
        bounded_cells(Kind::ChainRight, self.hands[1]);
        allow(bounded(vocab.range(Kind::Wall)));
    }

    fn allows(&self, vocab: &Vocab, id: u16) -> bool {
        let mut found = false;
        self.allowed(vocab, |ids| found |= ids.contains(&id));
        found
    }

    /// Takes a token; the state is as before when it is not allowed.
    fn push(&mut self, vocab: &Vocab, id: u16) -> Result<(Kind, u16), String> {
        let token = vocab.kind_of(id).filter(|_| self.allows(vocab, id));
        let Some((kind, value)) = token else {
            let name = vocab.kind_of(id).map_or("an id beyond the vocabulary", |(kind, _)| kind.name());
            let mut kinds: Vec<&str> = Vec::new();
            self.allowed(vocab, |ids| {
                kinds.extend(ids.filter_map(|id| vocab.kind_of(id)).map(|(kind, _)| kind.name()))
            });
            kinds.dedup();
            let same = if kinds.contains(&name) { " with another value" } else { "" };
            return Err(format!("found {name}, expected {}{same}", kinds.join(" or ")));
        };
        self.stage = self.after(vocab, kind, value, id);
        Ok((kind, value))
    }

    /// The stage after an allowed token, with the rest of the state brought up to date.
    fn after(&mut self, vocab: &Vocab, kind: Kind, value: u16, id: u16) -> Stage {
        match kind {
            Kind::Pad | Kind::End => Stage::Done,
            Kind::Start => Stage::Difficulty,
            Kind::Difficulty => Stage::Header,
            Kind::Bar => {
                *self = Self { bars: self.bars + 1, ..Self::NEW };
                Stage::Onset
            }
            Kind::Pos => {
                let (bars, free) = (self.bars, self.free);
                *self = Self { bars, free, tick: value * TICKS_PER_POS, open: true, silent: true, ..Self::NEW };
                Stage::Pos
            }
            Kind::Nudge => {
                self.tick += value + 1;
                Stage::Nudge
            }
            Kind::LeftEmpty | Kind::Left => {
                // A vocabulary without NUDGE has one onset for each POS.
                self.free = self.tick + if vocab.content == Content::Notes { TICKS_PER_POS } else { 1 };
                self.note(0, (kind == Kind::Left).then_some(value));
                Stage::Right
            }
            Kind::RightEmpty | Kind::Right => {
                self.note(1, (kind == Kind::Right).then_some(value));
                self.open = vocab.content == Content::Full;
                Stage::Onset
            }
            Kind::LeftAngle => {
                self.angle[0] = false;
                Stage::Onset
            }
            Kind::MoreLeft => {
                self.note(0, Some(value));
                Stage::Onset
            }
            Kind::RightAngle | Kind::MoreRight => {
                (self.more[0], self.angle) = (CELLS, [false; 2]);
                if kind == Kind::MoreRight {
                    self.note(1, Some(value));
                }
                Stage::Onset
            }
            Kind::Bomb | Kind::Wall | Kind::ArcLeft | Kind::ArcRight | Kind::ChainLeft | Kind::ChainRight => {
                (self.more, self.angle, self.bound) = ([CELLS; 2], [false; 2], id + 1);
                (self.head, self.silent) = ((kind, value), false);
                if kind == Kind::Bomb {
                    self.occupied |= 1 << value;
                    return Stage::Onset;
                }
                Stage::SpanBeats
            }
            Kind::SpanBeats => {
                self.span = value;
                Stage::SpanTicks
            }
            Kind::SpanTicks => match self.head.0 {
                Kind::ArcLeft | Kind::ArcRight => Stage::ArcTail,
                Kind::ChainLeft | Kind::ChainRight => Stage::ChainTail,
                _ => Stage::Onset,
            },
            Kind::ArcTail => Stage::HeadMultiplier,
            Kind::ArcMultiplier if self.stage == Stage::HeadMultiplier => Stage::TailMultiplier,
            Kind::ArcMultiplier => Stage::MidAnchor,
            Kind::ChainTail => Stage::Slices,
            Kind::Slices => Stage::Squish,
            Kind::MidAnchor | Kind::Squish => Stage::Onset,
            Kind::StatNotes
            | Kind::StatSwings
            | Kind::StatDoubles
            | Kind::StatDots
            | Kind::StatCrossovers
            | Kind::StatVertical
            | Kind::StatBombs
            | Kind::StatWalls
            | Kind::StatArcs
            | Kind::StatChains => {
                self.bound = vocab.range(kind).end;
                Stage::Header
            }
            Kind::Boost => {
                (self.free, self.silent, self.bound) = (self.tick + 1, false, vocab.range(kind).end);
                Stage::Onset
            }
            Kind::Event => {
                (self.free, self.silent, self.bound) = (self.tick + 1, false, id);
                (self.head, self.detail, self.ids) = ((kind, value), u16::MAX, 0);
                self.events += 1;
                Stage::Value
            }
            Kind::Value => {
                if LIGHT_TYPES.contains(&EVENT_TYPES[usize::from(self.head.1)]) {
                    self.detail = vocab.range(Kind::Brightness).start;
                }
                Stage::Onset
            }
            Kind::Brightness => {
                self.detail = vocab.range(Kind::Color).start;
                Stage::Onset
            }
            Kind::Color => match self.stage {
                Stage::Color(1) => Stage::Onset,
                Stage::Color(missing) => Stage::Color(missing - 1),
                _ => {
                    self.detail = vocab.range(Kind::LightId).start;
                    Stage::Color(3)
                }
            },
            Kind::LightId => {
                // After the last id this is beyond the range, and nothing is allowed.
                self.detail = id + 1;
                self.ids += 1;
                Stage::Onset
            }
        }
    }

    fn note(&mut self, hand: usize, note: Option<u16>) {
        if let Some(value) = note {
            let cell = value / CUTS;
            self.hands[hand] |= 1 << cell;
            self.occupied |= 1 << cell;
            self.silent = false;
            if self.open {
                (self.more[hand], self.angle[hand]) = (cell + 1, true);
            }
        }
    }
}

/// Calls `allow` with the ids of `range`, as many for each cell, whose cell is in `mask`.
fn cells(range: &Range<u16>, mask: u16, allow: &mut impl FnMut(Range<u16>)) {
    let each = (range.end - range.start) / CELLS;
    for cell in (0..CELLS).filter(|cell| mask >> cell & 1 == 1) {
        allow(range.start + cell * each..range.start + (cell + 1) * each);
    }
}

// --------------------------------------------------------------------------------------------------------- decode

/// An arc or chain while its fields come in.
#[derive(Default)]
struct Fields {
    values: [u16; 6],
    len: usize,
}

impl Vocab {
    /// The level that `tokens` tell, its beats counted from the first BAR. Difficulty and statistics are not part of a level.
    ///
    /// # Errors
    /// [`Error::Token`] with the index of the first token that may not stand where it stands, or the length of a sequence
    /// that stops before END.
    pub fn decode(&self, tokens: &[u16]) -> Result<Difficulty> {
        let mut state = State::NEW;
        let mut d = Difficulty::default();
        let mut fields = Fields::default();
        for (index, &id) in tokens.iter().enumerate() {
            let (kind, value) =
                state.push(self, id).map_err(|problem| Error::Token { index, id: u32::from(id), problem })?;
            take(&mut d, &state, &mut fields, kind, value);
        }
        if state.stage != Stage::Done {
            let id = tokens.last().map_or(u32::from(PAD), |&id| u32::from(id));
            let problem = "the sequence stops after this, expected it to go on to END".to_owned();
            return Err(Error::Token { index: tokens.len(), id, problem });
        }
        Ok(d)
    }
}

/// Adds what an allowed token says to the level; `state` is the state after it.
fn take(d: &mut Difficulty, state: &State, fields: &mut Fields, kind: Kind, value: u16) {
    let ticks = u32::from(state.bars.max(1) - 1) * u32::from(TICKS_PER_BAR) + u32::from(state.tick);
    let beats = |ticks: u32| f64::from(ticks) / f64::from(TICKS_PER_BEAT);
    let beat = beats(ticks);
    let place = |cell: u16| (i32::from(cell / ROWS), i32::from(cell % ROWS));
    if fields.len < fields.values.len() {
        fields.values[fields.len] = value;
        fields.len += 1;
    }
    let [span_beats, span_ticks, f2, f3, f4, f5] = fields.values;
    let span = u32::from(span_beats * TICKS_PER_BEAT + span_ticks);
    match kind {
        Kind::Left | Kind::MoreLeft | Kind::Right | Kind::MoreRight => {
            let (x, y) = place(value / CUTS);
            let color = i32::from(matches!(kind, Kind::Right | Kind::MoreRight));
            d.notes.push(Note { beat, x, y, color, cut: i32::from(value % CUTS), ..Note::default() });
        }
        Kind::LeftAngle | Kind::RightAngle => {
            let color = i32::from(kind == Kind::RightAngle);
            if let Some(note) = d.notes.iter_mut().rev().find(|note| note.color == color) {
                note.angle = angle_degrees(value);
            }
        }
        Kind::Bomb => {
            let (x, y) = place(value);
            d.bombs.push(Bomb { beat, x, y, ..Bomb::default() });
        }
        Kind::Wall | Kind::ArcLeft | Kind::ArcRight | Kind::ChainLeft | Kind::ChainRight => fields.len = 0,
        Kind::SpanTicks if state.head.0 == Kind::Wall => {
            if let Some([x, y, width, height]) = wall_shapes().nth(usize::from(state.head.1)) {
                let duration_beats = beats(span);
                d.obstacles.push(Obstacle { beat, duration_beats, x, y, width, height, ..Obstacle::default() });
            }
        }
        Kind::MidAnchor => {
            let (x, y) = place(state.head.1 / CUTS);
            let (tail_x, tail_y) = place(f2 / CUTS);
            d.arcs.push(Arc {
                beat,
                color: i32::from(state.head.0 == Kind::ArcRight),
                x,
                y,
                cut: i32::from(state.head.1 % CUTS),
                multiplier: multiplier(f3),
                tail_beat: beats(ticks + span),
                tail_x,
                tail_y,
                tail_cut: i32::from(f2 % CUTS),
                tail_multiplier: multiplier(f4),
                mid_anchor: i32::from(f5),
                ..Arc::default()
            });
        }
        Kind::Squish => {
            let (x, y) = place(state.head.1);
            let (tail_x, tail_y) = place(f2);
            let color = i32::from(state.head.0 == Kind::ChainRight);
            let head = d.notes.iter().rev().find(|n| (n.x, n.y, n.color) == (x, y, color));
            d.chains.push(Chain {
                beat,
                color,
                x,
                y,
                cut: head.map_or(0, |note| note.cut),
                tail_beat: beats(ticks + span),
                tail_x,
                tail_y,
                slices: i32::from(f3) + 1,
                squish: squish(f4),
                ..Chain::default()
            });
        }
        Kind::Boost => d.boosts.push(Boost { beat, on: value == 1, ..Boost::default() }),
        Kind::Value => {
            let kind = EVENT_TYPES[usize::from(state.head.1)];
            d.lights.push(Light { beat, kind, value: i32::from(value), brightness: 1.0, ..Light::default() });
            fields.len = 0;
        }
        Kind::Brightness | Kind::Color | Kind::LightId => {
            let Some(light) = d.lights.last_mut() else { return };
            if kind == Kind::Brightness {
                light.brightness = brightness(value);
                fields.len = 0;
            } else if kind == Kind::Color && state.stage == Stage::Onset {
                let [r, g, b, a, ..] = fields.values.map(color_value);
                set_custom(&mut light.extra, "color", [r, g, b, a].into_iter().map(Value::from).collect());
            } else if kind == Kind::LightId {
                let mut ids = light.extra.custom().remove("lightID").unwrap_or_else(|| json!([]));
                if let Some(ids) = ids.as_array_mut() {
                    ids.push(value.into());
                }
                set_custom(&mut light.extra, "lightID", ids);
            }
        }
        _ => {}
    }
}

fn set_custom(extra: &mut Extra, key: &str, value: Value) {
    let mut custom = extra.custom();
    custom.insert(key.to_owned(), value);
    extra.set("customData", Value::Object(custom));
}

// -------------------------------------------------------------------------------------------------------- grammar

/// Which token may follow, for a batch of sequences that grow together.
///
/// ```
/// use beatweaver_core::tokens::{Content, Grammar, START, Vocab, VocabSpec};
/// let vocab = Vocab::new(&VocabSpec::new(Content::Full))?;
/// let mut grammar = Grammar::new(&vocab, 2);
/// let mut mask = vec![false; 2 * vocab.size()];
/// grammar.mask(&mut mask)?;
/// assert!(mask[START as usize] && mask.iter().filter(|&&may| may).count() == 2);
/// grammar.push(&[START, START])?;
/// # Ok::<(), beatweaver_core::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Grammar {
    vocab: Vocab,
    rows: Vec<State>,
}

impl Grammar {
    /// `batch` rows, each before its START.
    pub fn new(vocab: &Vocab, batch: usize) -> Self {
        Self { vocab: vocab.clone(), rows: vec![State::NEW; batch] }
    }

    /// Number of rows.
    pub fn batch(&self) -> usize {
        self.rows.len()
    }

    /// Takes one token for each row.
    ///
    /// # Errors
    /// [`Error::Token`], its index being the row, for a token that may not follow; [`Error::Spec`] for another number of
    /// tokens than rows. No row has changed then.
    pub fn push(&mut self, tokens: &[u16]) -> Result<()> {
        self.expect("tokens", tokens.len(), self.rows.len())?;
        let mut rows = self.rows.clone();
        for (index, (row, &id)) in rows.iter_mut().zip(tokens).enumerate() {
            row.push(&self.vocab, id).map_err(|problem| Error::Token { index, id: u32::from(id), problem })?;
        }
        self.rows = rows;
        Ok(())
    }

    /// Fills `out`, rows × ids in row-major order, with whether the id may follow in the row. No row comes out empty: after
    /// END there is PAD.
    ///
    /// # Errors
    /// [`Error::Spec`] when `out` has another size.
    pub fn mask(&self, out: &mut [bool]) -> Result<()> {
        self.expect("out", out.len(), self.rows.len() * self.vocab.size())?;
        out.fill(false);
        for (row, out) in self.rows.iter().zip(out.chunks_exact_mut(self.vocab.size())) {
            row.allowed(&self.vocab, |ids| out[usize::from(ids.start)..usize::from(ids.end)].fill(true));
        }
        Ok(())
    }

    /// Puts `row` before its START again.
    ///
    /// # Errors
    /// [`Error::Spec`] when there is no such row.
    pub fn reset(&mut self, row: usize) -> Result<()> {
        let batch = self.rows.len();
        let state = self.rows.get_mut(row).ok_or_else(|| no_row(row, batch))?;
        *state = State::NEW;
        Ok(())
    }

    /// Replaces the rows by copies of `rows`, which may repeat, leave out and reorder: beams and samples that share a past.
    ///
    /// # Errors
    /// [`Error::Spec`] when one of them is not there; nothing has changed then.
    pub fn fork(&mut self, rows: &[usize]) -> Result<()> {
        let batch = self.rows.len();
        let copy = |&row: &usize| self.rows.get(row).copied().ok_or_else(|| no_row(row, batch));
        self.rows = rows.iter().map(copy).collect::<Result<_>>()?;
        Ok(())
    }

    fn expect(&self, field: &str, found: usize, expected: usize) -> Result<()> {
        if found == expected {
            return Ok(());
        }
        let batch = self.rows.len();
        let problem = format!("found {found} elements, expected {expected} for a batch of {batch}");
        Err(Error::Spec { field: field.into(), problem })
    }
}

fn no_row(row: usize, batch: usize) -> Error {
    Error::Spec { field: "row".into(), problem: format!("found {row}, expected less than the batch of {batch}") }
}

// ---------------------------------------------------------------------------------------------------------- replay

/// What a fuzzer calls with any bytes: panics where a property of this module does not hold.
///
/// The first byte chooses a vocabulary. The rest is read as ids, and then as choices among what the grammar allows.
#[doc(hidden)]
pub fn check_tokens(bytes: &[u8]) {
    let Some((&first, bytes)) = bytes.split_first() else { return };
    let content = [Content::Notes, Content::Full, Content::Lights][usize::from(first) % 3];
    let Ok(vocab) = Vocab::new(&VocabSpec::new(content)) else { return };
    let words = || bytes.chunks_exact(2).map(|b| u16::from_le_bytes([b[0], b[1]]));

    let raw: Vec<u16> = words().collect();
    assert_eq!(vocab.beats(&raw).len(), raw.len());
    check_round_trip(&vocab, &raw);

    let mut grammar = Grammar::new(&vocab, 1);
    let mut mask = vec![false; vocab.size()];
    let mut tokens = Vec::new();
    for word in words() {
        let sized = grammar.mask(&mut mask);
        assert!(sized.is_ok(), "{sized:?}");
        let allowed: Vec<u16> = (0..vocab.size() as u16).filter(|&id| mask[usize::from(id)]).collect();
        assert!(!allowed.is_empty(), "nothing may follow {tokens:?}");
        let id = allowed[usize::from(word) % allowed.len()];
        let pushed = grammar.push(&[id]);
        assert!(pushed.is_ok(), "{pushed:?} after {tokens:?}");
        tokens.push(id);
    }
    match vocab.decode(&tokens) {
        Ok(_) => assert!(check_round_trip(&vocab, &tokens)),
        Err(Error::Token { index, .. }) => assert_eq!(index, tokens.len(), "{tokens:?}"),
        Err(other) => panic!("{other}"),
    }
}

/// Whether `tokens` decode; if so, encoding and decoding again gives the same level and nothing is lost.
fn check_round_trip(vocab: &Vocab, tokens: &[u16]) -> bool {
    let level = match vocab.decode(tokens) {
        Ok(level) => level,
        Err(Error::Token { index, .. }) => {
            assert!(index <= tokens.len());
            return false;
        }
        Err(other) => panic!("{other}"),
    };
    let encoded = vocab.encode(&level, 1, 0.0, f64::INFINITY);
    assert!(encoded.out_of_vocabulary.is_empty() && encoded.rounded.is_empty(), "{encoded:?} from {tokens:?}");
    assert!(encoded.snapped.count == 0 && encoded.outside == 0, "{encoded:?} from {tokens:?}");
    let again = vocab.decode(&encoded.tokens);
    assert!(again.as_ref().is_ok_and(|again| *again == level), "{again:?} is not {level:?}");
    true
}
