//! The rules of play, whom they hold for and with which numbers: data only, and the one home of these numbers.
//!
//! "MapCheck" is BS Map Check 2.7.1, whose presets these are; "bs-parity" is GalaxyMaster2's checker, which BeatSaver runs
//! on uploads of version 2. Names and numbers are facts about them; the rules here are written anew.

use crate::map::rules::Severity;

/// Whose standards a level is held against.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Preset {
    /// What any level should keep to.
    Default,
    /// Levels for people who are new to the game.
    Beginner,
    /// What ScoreSaber would rank.
    ScoreSaber,
    /// What BeatLeader would rank.
    BeatLeader,
}

impl Preset {
    /// Every preset, in the order of the tables' columns.
    pub const ALL: [Self; 4] = [Self::Default, Self::Beginner, Self::ScoreSaber, Self::BeatLeader];

    /// Lower-case name, as scripts see it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Default => "default",
            Self::Beginner => "beginner",
            Self::ScoreSaber => "scoresaber",
            Self::BeatLeader => "beatleader",
        }
    }

    /// The preset of that name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|preset| preset.as_str() == name)
    }
}

/// A number that a rule works with.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Limit {
    /// Its name, with the unit.
    pub name: &'static str,
    /// Its value in each preset, in the order of [`Preset::ALL`].
    pub values: [f64; 4],
}

/// A rule of play.
#[derive(Debug, PartialEq)]
pub struct Rule {
    /// Stable kebab-case name.
    pub id: &'static str,
    /// How bad it is to break it.
    pub severity: Severity,
    /// What breaks it.
    pub about: &'static str,
    /// Where rule and numbers come from.
    pub source: &'static str,
    /// The presets it holds in, in the order of [`Preset::ALL`].
    pub on: [bool; 4],
    /// Its numbers.
    pub limits: &'static [Limit],
}

impl Rule {
    /// Whether the rule holds.
    pub(super) fn holds(&self, preset: Preset) -> bool {
        self.on[preset as usize]
    }

    /// The rule's numbers in the order of the table, or `None` where it does not hold.
    pub(super) fn at<const N: usize>(&self, preset: Preset) -> Option<[f64; N]> {
        let value = |i: usize| self.limits.get(i).map_or(f64::NAN, |limit| limit.values[preset as usize]);
        self.holds(preset).then(|| std::array::from_fn(value))
    }
}

/// Every rule of play.
pub fn rules() -> &'static [&'static Rule] {
    TABLE
}

// ------------------------------------------------------------------------------------------------- what a swing is

/// Notes of one hand this close in time are one swing, unless their arrows or cells say otherwise (MapCheck), seconds.
pub(super) const SWING_GAP_S: f64 = 0.07;
/// Notes closer than this are cut at once, whatever their arrows (MapCheck), seconds.
pub(super) const SWING_SNAP_S: f64 = 0.005;
/// Arrows that differ by this much or more are not one swing (MapCheck), degrees.
pub(super) const SWING_TURN_DEG: f64 = 90.0;
/// Objects this close share a cell (MapCheck), cells.
pub(super) const INLINE_CELLS: f64 = 0.5;
/// Notes of a swing farther apart than this are a window (MapCheck), cells.
pub(super) const WINDOW_CELLS: f64 = 1.8;
/// Notes of one swing at most, so that no file makes the work grow with its square; the grid has twelve cells.
pub(super) const SWING_NOTES_MAX: usize = 64;
/// Objects this close in time are simultaneous (MapCheck), seconds.
pub(super) const SAME_TIME_S: f64 = 0.01;

/// Half of the jump that the game begins with, beats; halved while it is longer than [`HALF_JUMP_M`].
pub(super) const HALF_JUMP_BEATS: f64 = 4.0;
/// Metres of half a jump above which the game halves it.
pub(super) const HALF_JUMP_M: f64 = 17.999;

// ---------------------------------------------------------------------------------------------------- parity, wrists

/// How far the left hand's wrist turns, the right hand's mirrored (MapCheck), degrees.
pub(super) const WRIST_RANGE_DEG: (f64, f64) = (-155.0, 195.0);
/// A turn from swing to swing beyond this breaks parity (MapCheck), degrees.
pub(super) const TURN_BREAKS_DEG: f64 = 180.0;
/// A swing this near the end of the range breaks parity (MapCheck), degrees.
pub(super) const RANGE_BREAKS_DEG: f64 = 45.0;
/// A swing this near the end of the range is awkward (MapCheck), degrees.
pub(super) const RANGE_STRAINS_DEG: f64 = 90.0;
/// A turn from swing to swing beyond this is awkward (MapCheck's normal wrist), degrees.
pub(super) const TURN_STRAINS_DEG: f64 = 90.0;

/// Notes of one hand this close are one slider to bs-parity, beats.
pub(super) const SLIDER_BEATS: f64 = 1.0 / 8.0;
/// How far around a bomb bs-parity looks, beats.
pub(super) const BOMB_BEATS: f64 = 1.0 / 4.0;
/// What bs-parity lets beats differ by, beats.
pub(super) const BEAT_TOLERANCE: f64 = 1.0 / 128.0;
/// Objects looked at around one bomb at most.
pub(super) const BOMB_LOOK_AHEAD: usize = 64;

// ------------------------------------------------------------------------------------- what hands do, for composers

/// Fastest way of a hand from swing to swing that a composer may ask for: 99.9 % of 280,836 swings are slower, those of the
/// corpus' 338 levels that break parity in less than 0.5 % of their swings (docs/experiments.md), cells per second.
pub const REACH_CELLS_PER_S: f64 = 34.0;
/// The same for the turn of the wrist, degrees per second.
pub const TURN_DEG_PER_S: f64 = 410.0;

// --------------------------------------------------------------------------------------------------------- the rules

macro_rules! limits {
    ($($name:literal: $value:tt),*) => { &[$(Limit { name: $name, values: limits!(@ $value) }),*] };
    (@ [$a:expr, $b:expr, $c:expr, $d:expr]) => { [$a, $b, $c, $d] };
    (@ $all:tt) => { [$all; 4] };
}

macro_rules! rule_table {
    ($($name:ident $id:literal $severity:ident $on:expr, { $($limits:tt)* } $about:literal, $source:literal;)*) => {
        $(pub(super) static $name: Rule = Rule {
            id: $id,
            severity: Severity::$severity,
            about: $about,
            source: $source,
            on: $on,
            limits: limits!($($limits)*),
        };)*
        static TABLE: &[&Rule] = &[$(&$name),*];
    };
}

const ALL: [bool; 4] = [true; 4];
const NOT_RANKED: [bool; 4] = [true, true, false, false];

rule_table! {
    NOT_JUDGED "play-not-judged" Info ALL, {}
        "the level needs a mod that moves or turns notes, so its play was not judged", "own";
    PARITY_BREAK "parity-break" Error NOT_RANKED, { "range_margin_deg": RANGE_BREAKS_DEG, "turn_deg": TURN_BREAKS_DEG }
        "the wrist would have to turn beyond its range, so the hand has to reset first", "MapCheck parity";
    PARITY_STRAIN "parity-strain" Warning NOT_RANKED, { "range_margin_deg": RANGE_STRAINS_DEG, "turn_deg": TURN_STRAINS_DEG }
        "the wrist has to turn far, which is awkward", "MapCheck parity";
    PARITY_FLOW "parity-flow" Warning NOT_RANKED, { "slider_beats": SLIDER_BEATS, "bomb_beats": BOMB_BEATS }
        "two swings of a hand in a row go the same way, by the cut directions alone", "bs-parity";
    DOUBLE_DIRECTIONAL "double-directional" Warning ALL, { "within_deg": 45.0 }
        "a swing begins in the direction in which the hand's last one went", "MapCheck doubleDirectional";
    EFFECTIVE_BPM "effective-bpm" Warning ALL, { "note_to_note_bpm": 450.0, "swing_to_swing_bpm": 350.0 }
        "swings of a hand follow each other too fast; slow songs have a lower limit (their tempo times 18/7, and times 2)",
        "MapCheck effectiveBPM";
    EXCESSIVE_DOUBLES "excessive-doubles" Warning ALL, { "share": 0.6 }
        "both hands cut at once too often", "MapCheck excessiveDouble";
    STACKED_NOTE "stacked-note" Error ALL, { "within_s": SAME_TIME_S }
        "two notes in one cell at one time", "MapCheck stackedNote";
    STACKED_BOMB "stacked-bomb" Error ALL, { "within_s": 0.02 }
        "two bombs in one cell at nearly one time", "MapCheck stackedNote";
    PARALLEL_NOTES "parallel-notes" Error ALL, { "within_deg": 45.0, "path_deg": 30.0 }
        "two notes of one hand at one time that point the same way side by side, which no single swing cuts",
        "MapCheck parallelNotes";
    HANDCLAP "handclap" Error ALL, { "near_deg": 45.0, "middle_deg": 30.0, "far_deg": 15.0, "away_near_deg": 135.0, "away_far_deg": 160.0 }
        "the two hands cut towards or away from each other so close that the controllers clash", "MapCheck handclap";
    HITBOX_PATH "hitbox-path" Error ALL, { "within_cells": 2.0, "entry_deg": 150.0 }
        "a note of the other hand or a bomb lies where the saber has to come from, at the same time", "MapCheck hitboxPath";
    HITBOX_INLINE "hitbox-inline" Rank ALL, { "reach_m": 1.425 }
        "a note lies right behind one of the other hand, too close for the note jump speed", "MapCheck hitboxInline";
    HITBOX_STAIR "hitbox-stair" Rank ALL, { "within_s": 0.15 }
        "a note lies where the other hand's saber has just left", "MapCheck hitboxStair";
    HITBOX_REVERSE_STAIR "hitbox-reverse-stair" Rank ALL, { "reach_m": 1.425, "slack_s": 0.034_148_235_29, "within_cells": 1.5, "within_deg": 15.0 }
        "a note points at one of the other hand that came just before it, too close for the note jump speed",
        "MapCheck hitboxReverseStair";
    HAMMER_HIT "hammer-hit" Error ALL, { "before_s": 0.125, "after_s": 0.075, "within_cells": 2.0, "within_deg": 15.0 }
        "a bomb right behind or ahead of a cut", "MapCheck hammerHit";
    INLINE_ANGLE "inline-angle" Warning ALL, { "within_s": [0.15, 0.25, 0.15, 0.15], "within_deg": 90.0 }
        "a note right behind the hand's last one without a full turn between them", "MapCheck inlineAngle";
    SHRADO_ANGLE "shrado-angle" Warning [false, true, false, true], { "within_s": [0.15, 0.4, 0.15, 0.25], "from_cells": 1.0 }
        "an upward cut soon after an inward downward one somewhere else", "MapCheck shradoAngle";
    IMPROPER_WINDOW "improper-window" Error ALL, { "apart_beats": 0.001 }
        "the two notes of a slanted window are not at the same time", "MapCheck improperWindow";
    SLOW_SLIDER "slow-slider" Warning ALL, { "s_per_cell": [0.025, 0.02, 0.025, 0.025] }
        "the notes of one swing are far apart in time", "MapCheck slowSlider";
    VARY_SWING "vary-swing" Error ALL, { "s_per_cell": 0.001 }
        "the speed changes within one swing", "MapCheck varySwing";
    VISION_BLOCK "vision-block" Warning ALL, {
        "easy_from_s": [0.025, 0.1, 0.025, 0.025], "easy_to_s": [1.2, 0.75, 1.2, 1.2],
        "normal_from_s": [0.05, 0.1, 0.05, 0.05], "normal_to_s": [1.0, 0.75, 1.0, 1.0],
        "hard_from_s": [0.08, 0.1, 0.08, 0.08], "hard_to_s": 0.75,
        "expert_from_s": 0.1, "expert_to_s": [0.625, 0.75, 0.625, 0.625],
        "expert_plus_from_s": 0.1, "expert_plus_to_s": [0.5, 0.75, 0.5, 0.5]
    } "an object hides behind a note or bomb at eye level in the middle; never longer than the reaction time",
        "MapCheck visionBlock";
    OFF_BEAT "off-beat" Warning ALL, { "first_division": 8.0, "second_division": 6.0, "share": 0.01 }
        "a swing begins on none of the usual parts of a beat, counted from the grid that the notes lie on",
        "MapCheck acceptablePrec";
    ANGLE_OFFSET "angle-offset" Rank [false, false, true, false], { "step_deg": 45.0 }
        "an arrow is turned, or a dot by something else than 45 degrees", "MapCheck angleOffset";
    ONE_SABER "one-saber" Error ALL, {}
        "a left note in a OneSaber level", "MapCheck oneSaber";
    ONE_COLOR "one-color" Rank ALL, {}
        "all notes are for one hand, and the level is no OneSaber", "MapCheck oneSaber";
    IMPROPER_ARC "improper-arc" Error ALL, { "apart_beats": 0.001 }
        "an arc without length, or with an end on a bomb or on a note of the other hand", "MapCheck improperArc";
    IMPROPER_CHAIN "improper-chain" Error ALL, { "apart_beats": 0.001, "apart_cells": 0.1, "within_deg": 60.0 }
        "a chain without its head note, with a bomb in its head, of no length, or away from its arrow", "MapCheck improperChain";
    CENTER_WALL "center-wall" Error ALL, { "recovery_s": [0.25, 0.4, 0.25, 0.25] }
        "walls close both middle columns, at once or with too little time between", "MapCheck centerObstacle";
    RANKABLE_WALL "rankable-wall" Rank [false, false, true, false], {}
        "a wall that is neither a full nor a crouch wall, or reaches out of the grid", "MapCheck rankableObstacle";
    SHORT_WALL "short-wall" Warning ALL, { "shortest_s": 0.015 }
        "a wall in the middle is shorter than a frame", "MapCheck shortObstacle";
    INSUFFICIENT_LIGHT "insufficient-light" Rank ALL, { "events": 10.0 }
        "there is hardly any light", "MapCheck insufficientLight";
    UNLIT_BOMB "unlit-bomb" Warning ALL, { "before_s": 0.25, "fade_s": 1.0, "brightness": 0.25 }
        "no light is on when a bomb comes", "MapCheck unlitBomb";
    HOT_START "hot-start" Warning ALL, { "first_s": 1.5 }
        "the first object comes too soon after the song's start", "MapCheck hotStart";
    OUTRO "outro" Rank [true, true, true, false], { "least_s": 2.0, "most_s": 15.0 }
        "the last object comes too close to the song's end, or long before it nothing happens any more", "MapCheck outro";
    JUMP_SPEED "jump-speed" Warning ALL, { "least_m_per_s": 3.0, "most_m_per_s": 23.0 }
        "the note jump speed is very low or very high", "MapCheck NJS";
    JUMP_DISTANCE "jump-distance" Warning ALL, { "least_m": 18.0, "most_m": 36.0, "base": 1.07 }
        "notes appear too near or too far away; far also counts for the speed (18 m · base^-NJS + 18 m)", "MapCheck NJS";
    REACTION_TIME "reaction-time" Warning ALL, { "least_s": 0.42 }
        "there is little time between a note's appearance and its cut", "MapCheck NJS";
    CLAMPED_OFFSET "clamped-offset" Warning ALL, { "least_beats": 0.25 }
        "the spawn offset is so negative that the game does not follow it", "MapCheck NJS";
    VARIABLE_NJS "variable-njs" Warning [false, true, false, true], { "least_m_per_s": 4.0, "most_m_per_s": 24.0, "m_per_s2": 2.0 }
        "the note jump speed changes too far or too fast", "MapCheck vnjs";
    PROGRESSION "progression" Rank [true, false, true, false], {
        "song_s": 360.0, "short_s": 120.0, "middle_s": 240.0, "short_sps": 3.2, "middle_sps": 4.2, "long_sps": 5.2,
        "of_top": 0.4, "least_step": 0.1, "most_step": 0.4
    } "the easiest level is too hard, or the steps between levels are too small or too large, in swings per second",
        "MapCheck progression";
}
