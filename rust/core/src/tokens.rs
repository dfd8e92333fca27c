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

mod encode;
mod grammar;

pub use encode::{Encoded, Snapped};
pub use grammar::Grammar;

use std::ops::Range;

use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::map::RANKS;
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

    /// Beat of every token, counted from the first BAR, never falling: tokens of one onset share its beat, and a POS before
    /// its NUDGE has that of the POS. The beat of a token depends only on what stands before it and on itself.
    pub fn beats(&self, tokens: &[u16]) -> Vec<f64> {
        let (mut bars, mut pos, mut tick) = (0_usize, 0, 0);
        let beat_of = |&id: &u16| {
            match self.kind_of(id) {
                Some((Kind::Bar, _)) => {
                    bars += 1;
                    (pos, tick) = (0, 0);
                }
                Some((Kind::Pos, value)) => {
                    pos = usize::from(value * TICKS_PER_POS);
                    tick = tick.max(pos);
                }
                Some((Kind::Nudge, value)) => tick = tick.max(pos + usize::from(value) + 1),
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
