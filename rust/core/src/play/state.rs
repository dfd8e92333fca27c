//! What the hands did last, and what the next note would be after it: the machine behind facts, rules and composing.

use std::collections::VecDeque;
use std::ops::{BitAnd, BitOr, BitOrAssign};
use std::sync::Arc;

use super::parity::{Alternation, Flow, Judged, Parity, Wrist};
use super::table::*;
use super::{ANY, Hand, Placed, between_deg, cut_deg, direction, effective_bpm, suggestion};
use crate::timing::TempoMap;
use crate::{Error, Result};

const COLUMNS: u8 = 4;
const ROWS: u8 = 3;
const CUTS: u8 = 9;
/// Places and directions a note can have: four columns, three rows, eight arrows and the dot.
pub const CHOICES: usize = COLUMNS as usize * ROWS as usize * CUTS as usize;
/// Notes that are kept as simultaneous at most.
const RECENT_MAX: usize = 32;

/// A place and direction of a note; numbered as the tokens LEFT and RIGHT are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Choice {
    /// Column 0–3 from the left.
    pub x: u8,
    /// Row 0–2 from the bottom.
    pub y: u8,
    /// Cut direction 0–8 as in [`crate::map::Note`].
    pub cut: u8,
}

impl Choice {
    /// The choice of that number, ((column × 3) + row) × 9 + cut.
    pub fn at(index: usize) -> Option<Self> {
        let index = u8::try_from(index).ok().filter(|&index| usize::from(index) < CHOICES)?;
        Some(Self { x: index / CUTS / ROWS, y: index / CUTS % ROWS, cut: index % CUTS })
    }

    /// Its number; `None` off the grid.
    pub fn index(self) -> Option<usize> {
        let on_grid = self.x < COLUMNS && self.y < ROWS && self.cut < CUTS;
        on_grid.then(|| {
            (usize::from(self.x) * usize::from(ROWS) + usize::from(self.y)) * usize::from(CUTS) + usize::from(self.cut)
        })
    }
}

macro_rules! reasons {
    ($($(#[$doc:meta])* $name:ident $bit:literal $id:expr;)*) => {
        impl Reasons {
            $($(#[$doc])* pub const $name: Self = Self(1 << $bit);)*
            /// Each reason and its name, that of the rule where there is one.
            pub const NAMED: &[(Self, &'static str)] = &[$((Self::$name, $id)),*];
        }
    };
}

/// What speaks against a note: a set.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Reasons(u32);

reasons! {
    /// The wrist would have to reset.
    PARITY_BREAK 0 "parity-break";
    /// The wrist would have to turn far.
    PARITY_STRAIN 1 "parity-strain";
    /// By the directions alone the hand would have to reset.
    PARITY_FLOW 2 "parity-flow";
    /// Begins where the last swing went.
    DOUBLE_DIRECTIONAL 3 "double-directional";
    /// Too soon after the hand's last swing.
    EFFECTIVE_BPM 4 "effective-bpm";
    /// Another note is there.
    STACKED_NOTE 5 "stacked-note";
    /// Side by side with a note of the same hand.
    PARALLEL_NOTES 6 "parallel-notes";
    /// The hands would clash.
    HANDCLAP 7 "handclap";
    /// In the way of the other hand, or the other way round.
    HITBOX_PATH 8 "hitbox-path";
    /// Right behind a note of the other hand.
    HITBOX_INLINE 9 "hitbox-inline";
    /// Where the other hand's saber has just left.
    HITBOX_STAIR 10 "hitbox-stair";
    /// Points at a note of the other hand that just came.
    HITBOX_REVERSE_STAIR 11 "hitbox-reverse-stair";
    /// Right behind the hand's last note without a full turn.
    INLINE_ANGLE 12 "inline-angle";
    /// Up soon after inward and down.
    SHRADO_ANGLE 13 "shrado-angle";
    /// A slanted window in two moments.
    IMPROPER_WINDOW 14 "improper-window";
    /// The swing would be slow.
    SLOW_SLIDER 15 "slow-slider";
    /// The swing would change its speed.
    VARY_SWING 16 "vary-swing";
    /// Hidden by a note at eye level.
    VISION_BLOCK 17 "vision-block";
    /// Too far from the hand's last note for the time.
    REACH_SPEED 18 "reach-speed";
    /// The wrist would turn too fast.
    TURN_SPEED 19 "turn-speed";
}

impl Reasons {
    /// Nothing.
    pub const NONE: Self = Self(0);
    /// What a composer avoids unless told otherwise: everything but what is awkward only, or asked for by some presets.
    pub const HARD: Self = Self(((1 << 20) - 1) & !(Self::PARITY_STRAIN.0 | Self::SHRADO_ANGLE.0));

    /// Whether nothing is in the set.
    pub fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Whether the two sets share something.
    pub fn has(self, other: Self) -> bool {
        !(self & other).is_empty()
    }

    /// Names of what is in the set.
    pub fn names(self) -> impl Iterator<Item = &'static str> {
        Self::NAMED.iter().filter(move |(reason, _)| self.has(*reason)).map(|(_, name)| *name)
    }

    /// The reason of that name.
    pub fn named(name: &str) -> Option<Self> {
        Self::NAMED.iter().find(|(_, known)| *known == name).map(|(reason, _)| *reason)
    }

    fn when(self, holds: bool) -> Self {
        if holds { self } else { Self::NONE }
    }
}

impl BitOr for Reasons {
    type Output = Self;
    fn bitor(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

impl BitAnd for Reasons {
    type Output = Self;
    fn bitand(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }
}

impl BitOrAssign for Reasons {
    fn bitor_assign(&mut self, other: Self) {
        self.0 |= other.0;
    }
}

/// The numbers that a note is judged by, for one level and preset.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bounds {
    preset: Preset,
    njs: f64,
    /// Effective tempos: note to note, swing to swing.
    bpm: [f64; 2],
    /// Times from and to which an object hides another.
    vision_s: [f64; 2],
}

impl Bounds {
    pub(super) fn new(preset: Preset, rank: i32, njs: f64, bpm: f64, reaction_s: f64) -> Self {
        let windows: [f64; 10] = VISION_BLOCK.at(preset).unwrap_or([f64::NAN; 10]);
        let level = match rank {
            ..=1 => 0,
            2..=3 => 1,
            4..=5 => 2,
            6..=7 => 3,
            _ => 4,
        };
        let [note, swing] = EFFECTIVE_BPM.at(preset).unwrap_or([f64::INFINITY; 2]);
        // A song of no tempo lowers nothing.
        let song = if bpm > 0.0 { bpm * 2.0 } else { f64::INFINITY };
        Self {
            preset,
            njs,
            bpm: [note.min(song * 9.0 / 7.0), swing.min(song)],
            vision_s: [windows[level * 2], windows[level * 2 + 1].min(reaction_s)],
        }
    }

    /// Fastest swings: note to note, swing to swing.
    pub(super) fn effective_bpm(&self) -> [f64; 2] {
        self.bpm
    }

    pub(super) fn hides(&self, since_s: f64) -> bool {
        (self.vision_s[0]..=self.vision_s[1]).contains(&since_s)
    }
}

/// Something that comes towards the player.
#[derive(Clone, Copy, Debug)]
pub(super) enum Event {
    Note(Placed),
    /// A bomb by column and row.
    Bomb(f64, f64),
}

/// What one hand did last.
#[derive(Clone, Debug)]
struct Trail {
    /// Notes of the last swing.
    swing: Vec<Placed>,
    /// The parity that bombs before that swing forced.
    bomb: Option<Parity>,
    /// The parity that bombs since its beginning force.
    pending: Option<Parity>,
    /// The wrist before the swing.
    before: Wrist,
    /// What the swing is so far, and the wrist after it.
    judged: Option<(Judged, Wrist)>,
    alternation: Alternation,
    /// Time between the last two swings; NaN before the second.
    gap_s: f64,
    /// Direction of the last cut; NaN where it is not known.
    last_deg: f64,
    /// The swing began with a dot and had no arrow yet.
    dot: bool,
}

impl Default for Trail {
    fn default() -> Self {
        Self {
            swing: Vec::new(),
            bomb: None,
            pending: None,
            before: Wrist::default(),
            judged: None,
            alternation: Alternation::default(),
            gap_s: f64::NAN,
            last_deg: f64::NAN,
            dot: false,
        }
    }
}

impl Trail {
    fn begins(&self, note: &Placed) -> bool {
        let Some(last) = self.swing.last() else { return true };
        let gap_s = note.time_s - last.time_s;
        let turned =
            |other: &Placed| other.is_arrow() && between_deg(cut_deg(note.cut), cut_deg(other.cut)) >= SWING_TURN_DEG;
        (gap_s > SWING_SNAP_S && note.is_arrow() && self.swing.iter().any(turned))
            || self.swing.iter().any(|other| other.cells_to(note.x, note.y) <= INLINE_CELLS)
            || gap_s > SWING_GAP_S
            || self.swing.len() >= SWING_NOTES_MAX
    }

    /// Direction of the last cut as the swing after it has it: a dot went back.
    fn came_from_deg(&self) -> f64 {
        if self.dot { self.last_deg + 180.0 } else { self.last_deg }
    }

    fn wrist(&self) -> Wrist {
        self.judged.map_or(self.before, |(_, after)| after)
    }

    fn push(&mut self, note: Placed) {
        if self.begins(&note) {
            self.gap_s = self.swing.last().map_or(f64::NAN, |last| note.time_s - last.time_s);
            self.before = self.wrist();
            self.bomb = self.pending.take();
            self.last_deg = self.came_from_deg();
            self.dot = !note.is_arrow();
            self.swing.clear();
        }
        if note.is_arrow() {
            self.dot = false;
            self.last_deg = note.angle_deg;
        }
        self.swing.push(note);
        self.judged = Some(self.before.judge(note.hand, &self.swing, self.bomb));
        self.alternation = self.alternation.judge(note.hand, note.cut, note.beat).2;
    }

    /// The cell through which the last swing leaves.
    fn exit(&self) -> Option<(f64, f64)> {
        const STEPS: [(f64, f64); 8] =
            [(0.0, 1.0), (0.0, -1.0), (-1.0, 0.0), (1.0, 0.0), (-1.0, 1.0), (1.0, 1.0), (-1.0, -1.0), (1.0, -1.0)];
        let (last, step) = (self.swing.last()?, STEPS.get(usize::from(direction(&self.swing)?))?);
        Some((last.x + step.0, last.y + step.1))
    }
}

/// Both hands.
#[derive(Clone, Debug, Default)]
pub(super) struct Tracker {
    trails: [Trail; 2],
    /// Notes that may be simultaneous with the next one.
    recent: VecDeque<Placed>,
    /// When something last came at eye level, left and right of the middle.
    middle_s: [Option<f64>; 2],
}

impl Tracker {
    /// Whether a note begins a swing of its hand.
    pub(super) fn begins(&self, note: &Placed) -> bool {
        self.trails[note.hand as usize].begins(note)
    }

    /// Notes of a hand's last swing.
    pub(super) fn swing(&self, hand: Hand) -> &[Placed] {
        &self.trails[hand as usize].swing
    }

    /// What a hand's last swing is so far.
    pub(super) fn judged(&self, hand: Hand) -> Option<Judged> {
        self.trails[hand as usize].judged.map(|(judged, _)| judged)
    }

    /// Goes on by one object; objects come in the order of time.
    pub(super) fn push(&mut self, event: Event) {
        match event {
            Event::Note(note) => {
                self.trails[note.hand as usize].push(note);
                let now = note.time_s;
                while self.recent.front().is_some_and(|old| old.time_s < now - SAME_TIME_S)
                    || self.recent.len() >= RECENT_MAX
                {
                    self.recent.pop_front();
                }
                self.recent.push_back(note);
                self.seen(note.x, note.y, note.time_s);
            }
            Event::Bomb(x, y) => {
                let Some(suggested) = suggestion(y) else { return };
                for hand in [Hand::Left, Hand::Right] {
                    if x == hand.middle_column() {
                        let trail = &mut self.trails[hand as usize];
                        trail.pending = Some(suggested);
                        trail.last_deg = cut_deg(if suggested == Parity::Forehand { 0 } else { 1 });
                        trail.dot = false;
                    }
                }
            }
        }
    }

    /// Something came at a cell: at eye level it hides what follows.
    pub(super) fn seen(&mut self, x: f64, y: f64, time_s: f64) {
        for (half, column) in [1.0, 2.0].into_iter().enumerate() {
            if y == 1.0 && x == column {
                self.middle_s[half] = Some(time_s);
            }
        }
    }

    /// Whether something at a column would be hidden.
    pub(super) fn hidden(&self, x: f64, time_s: f64, bounds: &Bounds) -> bool {
        let half = usize::from(x > 1.5);
        self.middle_s[half].is_some_and(|last| bounds.hides(time_s - last))
    }

    /// What speaks against a note; `double` if the other hand is known to cut at the same time.
    pub(super) fn judge(&self, note: &Placed, bounds: &Bounds, double: bool) -> Reasons {
        let (own, other) = (&self.trails[note.hand as usize], &self.trails[note.hand.other() as usize]);
        let simultaneous = |old: &&Placed| note.time_s - old.time_s <= SAME_TIME_S;
        let mut found = Reasons::NONE;
        for old in self.recent.iter().filter(simultaneous) {
            found |= Reasons::STACKED_NOTE.when(old.cells_to(note.x, note.y) <= INLINE_CELLS);
            if old.hand == note.hand {
                found |= Reasons::PARALLEL_NOTES.when(parallel(old, note, bounds.preset));
            } else {
                found |= Reasons::HANDCLAP.when(handclap(old, note, bounds.preset))
                    | Reasons::HITBOX_PATH.when(in_path(old, note, bounds.preset));
            }
        }
        found |= between_hands(note, other, bounds, double);
        found |= Reasons::VISION_BLOCK.when(self.hidden(note.x, note.time_s, bounds));
        let (_, flow, _) = own.alternation.judge(note.hand, note.cut, note.beat);
        found |= Reasons::PARITY_FLOW.when(flow == Flow::Broken);
        found | if own.begins(note) { as_next_swing(note, own, bounds) } else { as_slider(note, own, bounds) }
    }
}

fn of_flow(flow: Flow) -> Reasons {
    match flow {
        Flow::Kept => Reasons::NONE,
        Flow::Strained => Reasons::PARITY_STRAIN,
        Flow::Broken => Reasons::PARITY_BREAK,
    }
}

/// A note that begins the hand's next swing.
fn as_next_swing(note: &Placed, own: &Trail, bounds: &Bounds) -> Reasons {
    let wrist = own.wrist();
    let (judged, after) = wrist.judge(note.hand, &[*note], own.pending);
    let mut found = of_flow(judged.flow);
    let (Some(first), Some(last)) = (own.swing.first(), own.swing.last()) else { return found };
    let gap_s = note.time_s - last.time_s;
    let too_fast = effective_bpm(gap_s) > bounds.bpm[0] || effective_bpm(note.time_s - first.time_s) > bounds.bpm[1];
    found |= Reasons::EFFECTIVE_BPM.when(too_fast);
    let cells = last.cells_to(note.x, note.y);
    found |= Reasons::REACH_SPEED.when(cells > REACH_CELLS_PER_S * gap_s);
    let turn_deg = match (wrist.rotation_deg, after.rotation_deg) {
        (Some(a), Some(b)) => (a - b).abs(),
        _ => 0.0,
    };
    found |= Reasons::TURN_SPEED.when(turn_deg > TURN_DEG_PER_S * gap_s);
    let last_deg = own.came_from_deg();
    if note.is_arrow() && last_deg.is_finite() {
        let turned = between_deg(cut_deg(note.cut), last_deg);
        let doubled = DOUBLE_DIRECTIONAL.at(bounds.preset).is_some_and(|[within]| turned <= within);
        let inline = INLINE_ANGLE.at(bounds.preset);
        let sharp = inline.is_some_and(|[within_s, deg]| cells <= INLINE_CELLS && gap_s <= within_s && turned <= deg);
        let inward = if note.hand == Hand::Left { 7 } else { 6 };
        let shrado = SHRADO_ANGLE.at(bounds.preset).is_some_and(|[within_s, from]| {
            note.cut == 0 && last_deg.rem_euclid(360.0) == cut_deg(inward) && cells >= from && gap_s <= within_s
        });
        found |= Reasons::DOUBLE_DIRECTIONAL.when(doubled)
            | Reasons::INLINE_ANGLE.when(sharp)
            | Reasons::SHRADO_ANGLE.when(shrado);
    }
    found
}

/// A note that goes on with the hand's swing.
fn as_slider(note: &Placed, own: &Trail, bounds: &Bounds) -> Reasons {
    let mut swing = own.swing.clone();
    swing.push(*note);
    let (judged, _) = own.before.judge(note.hand, &swing, own.bomb);
    let mut found = of_flow(judged.flow) | slider(&swing, bounds.preset);
    let back = DOUBLE_DIRECTIONAL
        .at(bounds.preset)
        .is_some_and(|[within]| own.dot && note.is_arrow() && between_deg(cut_deg(note.cut), own.last_deg) <= within);
    found |= Reasons::DOUBLE_DIRECTIONAL.when(back);
    found
}

/// What is wrong with the notes of one swing among themselves.
pub(super) fn slider(swing: &[Placed], preset: Preset) -> Reasons {
    let (mut slowest, mut fastest) = (0.0f64, f64::INFINITY);
    let (mut straight, mut bent) = (None, false);
    for pair in swing.windows(2) {
        let (a, b) = (&pair[0], &pair[1]);
        let cells = a.cells_to(b.x, b.y);
        let speed = (b.time_s - a.time_s) / if cells > 0.0 { cells } else { 1.0 };
        if along(a, b) {
            straight = straight.or(Some(speed));
        } else {
            bent |= cells > WINDOW_CELLS || diagonal(a, b);
        }
        (slowest, fastest) = (slowest.max(speed), fastest.min(speed));
    }
    // A curve is as fast as its straight part.
    if let (Some(speed), true) = (straight, bent) {
        (slowest, fastest) = (speed, speed);
    }
    let window = swing.split_first().is_some_and(|(first, rest)| {
        let apart = IMPROPER_WINDOW.at(preset);
        rest.iter().any(|note| {
            first.cells_to(note.x, note.y) > WINDOW_CELLS
                && !along(first, note)
                && !diagonal(first, note)
                && note.cut == first.cut
                && note.cut != ANY
                && apart.is_some_and(|[beats]| note.beat - first.beat >= beats)
        })
    });
    Reasons::SLOW_SLIDER.when(SLOW_SLIDER.at(preset).is_some_and(|[most]| slowest > most))
        | Reasons::VARY_SWING
            .when(VARY_SWING.at(preset).is_some_and(|[most]| slowest > 0.0 && slowest - fastest > most))
        | Reasons::IMPROPER_WINDOW.when(window)
}

const ALIGNED_CELLS: f64 = 1e-3;

fn along(a: &Placed, b: &Placed) -> bool {
    (a.x - b.x).abs() < ALIGNED_CELLS || (a.y - b.y).abs() < ALIGNED_CELLS
}

fn diagonal(a: &Placed, b: &Placed) -> bool {
    ((a.x - b.x).abs() - (a.y - b.y).abs()).abs() < ALIGNED_CELLS
}

fn parallel(a: &Placed, b: &Placed, preset: Preset) -> bool {
    PARALLEL_NOTES.at(preset).is_some_and(|[within, path]| {
        a.is_arrow()
            && b.is_arrow()
            && between_deg(a.angle_deg, b.angle_deg) <= within
            && a.off_deg(b.x, b.y) > path
            && b.off_deg(a.x, a.y) > path
    })
}

fn handclap(a: &Placed, b: &Placed, preset: Preset) -> bool {
    // Distances up to which the hands are near, at a diagonal, and two cells apart.
    const CELLS: [f64; 3] = [1.0, 1.5, 2.0];
    if !a.is_arrow() || !b.is_arrow() {
        return false;
    }
    HANDCLAP.at(preset).is_some_and(|[near, middle, far, away_near, away_far]: [f64; 5]| {
        let cells = a.cells_to(b.x, b.y);
        let (most, least) = {
            let (a, b) = (a.off_deg(b.x, b.y), b.off_deg(a.x, a.y));
            (a.max(b), a.min(b))
        };
        [near, middle, far].into_iter().zip(CELLS).any(|(deg, within)| cells <= within && most <= deg)
            || [away_near, away_far].into_iter().zip(CELLS).any(|(deg, within)| cells <= within && least >= deg)
    })
}

/// Whether one of two simultaneous notes lies where the other's saber comes from.
fn in_path(a: &Placed, b: &Placed, preset: Preset) -> bool {
    HITBOX_PATH.at(preset).is_some_and(|[cells, deg]| {
        a.cells_to(b.x, b.y) <= cells
            && ((a.is_arrow() && a.off_deg(b.x, b.y) > deg) || (b.is_arrow() && b.off_deg(a.x, a.y) > deg))
    })
}

/// Whether a bomb at a cell lies where a simultaneous note's saber comes from.
pub(super) fn bomb_in_path(note: &Placed, x: f64, y: f64, preset: Preset) -> bool {
    HITBOX_PATH
        .at(preset)
        .is_some_and(|[cells, deg]| note.is_arrow() && note.cells_to(x, y) <= cells && note.off_deg(x, y) > deg)
}

/// A note against what the other hand did last.
fn between_hands(note: &Placed, other: &Trail, bounds: &Bounds, double: bool) -> Reasons {
    let mut found = Reasons::NONE;
    for old in &other.swing {
        let since_s = note.time_s - old.time_s;
        let cells = old.cells_to(note.x, note.y);
        let inline = HITBOX_INLINE.at(bounds.preset);
        let inline = inline.is_some_and(|[reach]| cells <= INLINE_CELLS && bounds.njs * since_s < reach);
        let reverse = HITBOX_REVERSE_STAIR.at(bounds.preset).is_some_and(|[reach, slack, within, deg]| {
            old.is_arrow()
                && note.is_arrow()
                && since_s > SAME_TIME_S
                && bounds.njs * (since_s + slack) < reach
                && cells <= within
                && note.off_deg(old.x, old.y) <= deg
        });
        found |= Reasons::HITBOX_INLINE.when(inline) | Reasons::HITBOX_REVERSE_STAIR.when(reverse);
    }
    let since_s = other.swing.last().map_or(f64::INFINITY, |last| note.time_s - last.time_s);
    let left = HITBOX_STAIR.at(bounds.preset).is_some_and(|[within_s]| {
        !double
            && since_s > 0.0
            && since_s < within_s
            && since_s < other.gap_s
            && other.exit().is_some_and(|(x, y)| note.cells_to(x, y) <= INLINE_CELLS)
    });
    found | Reasons::HITBOX_STAIR.when(left)
}

/// What a composer has to say before the first note.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Setup {
    /// Difficulty: 1, 3, 5, 7 or 9.
    pub rank: i32,
    /// Note jump speed, metres per second.
    pub njs: f64,
    /// Time between a note's appearance and its cut, seconds.
    pub reaction_s: f64,
    /// Tempo of the song, which limits the speed of swings; the slowest of the clock if not given.
    pub bpm: Option<f64>,
    /// What keeps a note from being allowed.
    pub avoid: Reasons,
}

/// The hands of a level that is being composed, note by note: which note may come next.
///
/// Whatever is composed of allowed notes alone breaks parity in neither model, and no note of it has an error under
/// [`Preset::Default`]. What is put between the notes afterwards (bombs, walls, arcs) is the business of [`super::problems`].
///
/// ```
/// use beatweaver_core::play::{CHOICES, Choice, Hand, Reasons, Setup, State};
/// use beatweaver_core::timing::TempoMap;
/// let setup = Setup { rank: 9, njs: 16.0, reaction_s: 0.5, bpm: None, avoid: Reasons::HARD };
/// let mut state = State::new(TempoMap::constant(120.0, 0.0)?, setup)?;
/// let down = Choice { x: 1, y: 0, cut: 1 };
/// state.push(Hand::Left, 4.0, down)?;
/// assert!(state.judge(Hand::Left, 5.0, down).has(Reasons::PARITY_BREAK));
/// let mut mask = [false; CHOICES];
/// assert!(state.mask(Hand::Left, 5.0, &mut mask) > 0);
/// assert!(mask[Choice { x: 1, y: 2, cut: 0 }.index().unwrap_or(0)]);
/// # Ok::<(), beatweaver_core::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct State {
    clock: Arc<TempoMap>,
    tracker: Tracker,
    bounds: Bounds,
    avoid: Reasons,
    beat: f64,
}

impl State {
    /// The hands before the first note.
    ///
    /// # Errors
    /// [`Error::Spec`] when the note jump speed, the reaction time or the tempo is not positive.
    pub fn new(clock: TempoMap, setup: Setup) -> Result<Self> {
        let slowest = clock.regions().iter().map(|region| region.bpm).fold(f64::INFINITY, f64::min);
        let bpm = setup.bpm.unwrap_or(slowest);
        for (field, value) in [("njs", setup.njs), ("reaction_s", setup.reaction_s), ("bpm", bpm)] {
            if value.is_nan() || value <= 0.0 {
                let problem = format!("found {value}, expected more than 0");
                return Err(Error::Spec { field: field.into(), problem });
            }
        }
        let bounds = Bounds::new(Preset::Default, setup.rank, setup.njs, bpm, setup.reaction_s);
        let (clock, tracker) = (Arc::new(clock), Tracker::default());
        Ok(Self { clock, tracker, bounds, avoid: setup.avoid, beat: f64::NEG_INFINITY })
    }

    fn placed(&self, hand: Hand, beat: f64, choice: Choice) -> Placed {
        let (x, y) = (f64::from(choice.x), f64::from(choice.y));
        let cut = choice.cut.min(ANY);
        Placed { beat, time_s: self.clock.seconds(beat), hand, x, y, cut, angle_deg: cut_deg(cut) }
    }

    /// Everything that speaks against a note, avoided or not.
    pub fn judge(&self, hand: Hand, beat: f64, choice: Choice) -> Reasons {
        self.tracker.judge(&self.placed(hand, beat, choice), &self.bounds, false)
    }

    /// Says which notes a hand may cut at a beat, by [`Choice::index`], and gives their number. It may be none: then the
    /// hand has to rest.
    pub fn mask(&self, hand: Hand, beat: f64, out: &mut [bool; CHOICES]) -> usize {
        let mut allowed = 0;
        for (index, out) in out.iter_mut().enumerate() {
            *out = Choice::at(index).is_some_and(|choice| !self.judge(hand, beat, choice).has(self.avoid));
            allowed += usize::from(*out);
        }
        allowed
    }

    /// As [`State::mask`] for a hand whose other hand cuts `taken` at the same beat.
    pub fn mask_beside(&self, hand: Hand, beat: f64, taken: Choice, out: &mut [bool; CHOICES]) -> usize {
        let mut with = self.clone();
        with.tracker.push(Event::Note(self.placed(hand.other(), beat, taken)));
        with.mask(hand, beat, out)
    }

    /// Goes on by one note; both hands at one beat one after the other, in either order.
    ///
    /// # Errors
    /// [`Error::Spec`] for a beat before the last one or not finite, or a place off the grid; nothing is changed then.
    pub fn push(&mut self, hand: Hand, beat: f64, choice: Choice) -> Result<()> {
        if !beat.is_finite() || beat < self.beat {
            let problem = format!("found {beat}, expected {} or later", self.beat);
            return Err(Error::Spec { field: "beat".into(), problem });
        }
        if choice.index().is_none() {
            let problem = format!("found {choice:?}, expected column 0 to 3, row 0 to 2, cut 0 to 8");
            return Err(Error::Spec { field: "choice".into(), problem });
        }
        self.tracker.push(Event::Note(self.placed(hand, beat, choice)));
        self.beat = beat;
        Ok(())
    }
}
