//! The facts of play: swings, parity, speed, and what is wrong with them.
//!
//! [`facts`] turns a level's notes into swings, [`problems`] holds a level against a [`Preset`] of the [`rules`], and
//! [`State`] tells a composer, note by note, what may come next; all three use the same machine, so what a composer is let
//! do is not found fault with afterwards.
//!
//! Directions are in degrees, 0 down and growing counter-clockwise (90 right); distances in cells; hands are the colours of
//! the notes. The rules are those of the validators mappers use, named in the table of rules with each one's source.

mod parity;
mod problems;
mod state;
mod table;
#[cfg(test)]
mod tests;

use parity::{Alternation, Judged};
pub use parity::{Flow, Parity};
pub use problems::{Context, check, problems, reaction_s};
pub use state::{CHOICES, Choice, Reasons, Setup, State};
use state::{Event, Tracker};
pub use table::{Limit, Preset, REACH_CELLS_PER_S, Rule, TURN_DEG_PER_S, rules};

use crate::map;
use crate::timing::TempoMap;

/// The cut direction of a dot.
pub(crate) const ANY: u8 = 8;

/// A hand; its number is the colour of its notes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Hand {
    /// The left hand, red.
    Left = 0,
    /// The right hand, blue.
    Right = 1,
}

impl Hand {
    /// The hand that cuts notes of this colour.
    pub fn of_color(color: i32) -> Option<Self> {
        match color {
            0 => Some(Self::Left),
            1 => Some(Self::Right),
            _ => None,
        }
    }

    fn other(self) -> Self {
        if self == Self::Left { Self::Right } else { Self::Left }
    }

    /// Lower-case name.
    pub fn as_str(self) -> &'static str {
        if self == Self::Left { "left" } else { "right" }
    }

    /// The hand's own middle column.
    fn middle_column(self) -> f64 {
        if self == Self::Left { 1.0 } else { 2.0 }
    }
}

/// A note where and when its hand meets it.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Placed {
    beat: f64,
    time_s: f64,
    hand: Hand,
    x: f64,
    y: f64,
    /// 0 to 8; directions of Mapping Extensions go to the nearest.
    cut: u8,
    /// Direction with its offset; of dots the offset alone.
    angle_deg: f64,
}

/// Direction of a cut from 0 to 7, degrees.
fn cut_deg(cut: u8) -> f64 {
    const DEG: [f64; 9] = [180.0, 0.0, 270.0, 90.0, 225.0, 135.0, 315.0, 45.0, 0.0];
    DEG.get(usize::from(cut)).copied().unwrap_or(0.0)
}

/// The cut whose direction is nearest.
fn nearest_cut(deg: f64) -> u8 {
    const CUTS: [u8; 8] = [1, 7, 3, 5, 0, 4, 2, 6];
    // A cast saturates; NaN is 0.
    CUTS[((deg / 45.0).round().rem_euclid(8.0) as usize).min(7)]
}

/// A coordinate of the grid; of Mapping Extensions thousandths of a cell.
fn coordinate(value: i32) -> f64 {
    match value {
        1000.. => f64::from(value - 1000) / 1000.0,
        ..=-1000 => f64::from(value + 1000) / 1000.0,
        _ => f64::from(value),
    }
}

/// The smaller angle between two directions, 0 to 180 degrees.
fn between_deg(a: f64, b: f64) -> f64 {
    let d = (a - b).rem_euclid(360.0);
    d.min(360.0 - d)
}

impl Placed {
    fn of(note: &map::Note, clock: &TempoMap) -> Option<Self> {
        let hand = Hand::of_color(note.color)?;
        let (cut, deg) = match note.cut {
            cut @ 0..=7 => (cut as u8, cut_deg(cut as u8)),
            // Clockwise from down.
            cut @ 1000..=1360 => (nearest_cut(f64::from(1000 - cut)), f64::from(1000 - cut)),
            _ => (ANY, 0.0),
        };
        Some(Self {
            beat: note.beat,
            time_s: clock.seconds(note.beat),
            hand,
            x: coordinate(note.x),
            y: coordinate(note.y),
            cut,
            angle_deg: (deg + f64::from(note.angle)).rem_euclid(360.0),
        })
    }

    fn cells_to(&self, x: f64, y: f64) -> f64 {
        (x - self.x).hypot(y - self.y)
    }

    /// How far its direction is off the way to a cell, 0 to 180 degrees.
    fn off_deg(&self, x: f64, y: f64) -> f64 {
        between_deg(self.angle_deg, way_deg((self.x, self.y), (x, y)))
    }

    fn is_arrow(&self) -> bool {
        self.cut != ANY
    }
}

/// Direction from one cell to another.
fn way_deg(from: (f64, f64), to: (f64, f64)) -> f64 {
    (to.1 - from.1).atan2(to.0 - from.0).to_degrees() + 90.0
}

/// The cut direction of a whole swing: that of its last arrow, else the way its dots go.
fn direction(swing: &[Placed]) -> Option<u8> {
    let arrow = swing.iter().rev().find(|note| note.is_arrow()).map(|note| note.cut);
    arrow.or_else(|| way_of_dots(swing).map(nearest_cut))
}

fn way_of_dots(swing: &[Placed]) -> Option<f64> {
    let (first, last) = (swing.first()?, swing.last()?);
    let moved = last.time_s > first.time_s && (first.x, first.y) != (last.x, last.y);
    moved.then(|| way_deg((first.x, first.y), (last.x, last.y)).rem_euclid(360.0))
}

/// One parity model's view of the swings.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Parities {
    /// Which side of the hand leads.
    pub parity: Vec<Parity>,
    /// How the swing follows the hand's last one.
    pub flow: Vec<Flow>,
    /// The hand's last swing had the same parity: because of a bomb, or because parity was broken.
    pub reset: Vec<bool>,
}

/// The swings of a level, a row each, in the order of their first notes.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Facts {
    /// Time of the first note, seconds.
    pub time_s: Vec<f64>,
    /// Its beat.
    pub beat: Vec<f64>,
    /// Which hand.
    pub hand: Vec<Hand>,
    /// Direction of the cut, degrees; NaN for dots that do not say.
    pub angle_deg: Vec<f64>,
    /// Way of the hand since the last note of its swing before, cells; 0 for its first swing.
    pub distance: Vec<f64>,
    /// Time since the last note of the hand's swing before, seconds; infinite for its first swing.
    pub gap_s: Vec<f64>,
    /// Effective tempo from that note to this swing: that of a stream of one swing each half beat.
    pub effective_bpm: Vec<f64>,
    /// The same from the first note of one swing to that of the next.
    pub swing_bpm: Vec<f64>,
    /// The first note lies in the other hand's half.
    pub crossover: Vec<bool>,
    /// MapCheck's model: the wrist's angle.
    pub wrist: Parities,
    /// bs-parity's model: cut directions alone.
    pub alternation: Parities,
    /// Row of the first note in the level's notes.
    pub first_note: Vec<u32>,
    /// Row of the last one; between the two every note of the hand belongs to the swing.
    pub last_note: Vec<u32>,
}

impl Facts {
    /// Number of swings.
    pub fn len(&self) -> usize {
        self.time_s.len()
    }

    /// Whether there is no swing.
    pub fn is_empty(&self) -> bool {
        self.time_s.is_empty()
    }
}

/// The swings of a level. Notes without a hand are left out, and so are fakes.
///
/// ```
/// use beatweaver_core::map::{Difficulty, Note};
/// use beatweaver_core::play::{Flow, Parity, facts};
/// use beatweaver_core::timing::TempoMap;
/// let note = |beat: f64, cut| Note { beat, x: 1, color: 0, cut, ..Note::default() };
/// let level = Difficulty { notes: vec![note(4.0, 1), note(5.0, 0), note(6.0, 0)], ..Difficulty::default() };
/// let facts = facts(&level, &TempoMap::constant(120.0, 0.0)?);
/// assert_eq!(facts.wrist.parity, [Parity::Forehand, Parity::Backhand, Parity::Backhand]);
/// assert_eq!(facts.wrist.flow, [Flow::Kept, Flow::Kept, Flow::Broken]);
/// assert_eq!(facts.effective_bpm[1..], [60.0, 60.0]);
/// # Ok::<(), beatweaver_core::Error>(())
/// ```
pub fn facts(level: &map::Difficulty, clock: &TempoMap) -> Facts {
    let placed: Vec<Option<Placed>> = level.notes.iter().map(|note| Placed::of(note, clock)).collect();
    let alternation = alternate(level, &placed);
    let mut out = Facts::default();
    let mut tracker = Tracker::default();
    let mut rows: [Option<usize>; 2] = [None; 2];
    let mut bombs = level.bombs.iter().peekable();
    for (index, note) in placed.iter().enumerate().filter_map(|(i, note)| note.map(|note| (i, note))) {
        // A bomb beside a note forces what comes after it.
        while let Some(bomb) = bombs.next_if(|bomb| bomb.beat < note.beat) {
            tracker.push(Event::Bomb(coordinate(bomb.x), coordinate(bomb.y)));
        }
        let hand = note.hand as usize;
        let before = rows[hand];
        let mut same_slider = false;
        let begins = tracker.begins(&note);
        if begins {
            let swing = tracker.swing(note.hand);
            let (first, last) = (swing.first(), swing.last());
            let gap = |last: Option<&Placed>| last.map_or(f64::INFINITY, |last| note.time_s - last.time_s);
            rows[hand] = Some(out.len());
            same_slider = last.is_some_and(|last| parity::one_slider(last.beat, note.beat));
            out.time_s.push(note.time_s);
            out.beat.push(note.beat);
            out.hand.push(note.hand);
            out.angle_deg.push(f64::NAN);
            out.distance.push(last.map_or(0.0, |last| last.cells_to(note.x, note.y)));
            out.gap_s.push(gap(last));
            out.effective_bpm.push(effective_bpm(gap(last)));
            out.swing_bpm.push(effective_bpm(gap(first)));
            out.crossover.push(if note.hand == Hand::Left { note.x > 1.5 } else { note.x < 1.5 });
            out.first_note.push(index as u32);
            out.last_note.push(index as u32);
        }
        tracker.push(Event::Note(note));
        let (Some(row), Some(judged)) = (rows[hand], tracker.judged(note.hand)) else { continue };
        if let Some(last) = out.last_note.get_mut(row) {
            *last = index as u32;
        }
        let swing = tracker.swing(note.hand);
        let arrow = swing.iter().rev().find(|note| note.is_arrow()).map(|note| note.angle_deg);
        if let Some(angle) = out.angle_deg.get_mut(row) {
            *angle = arrow.or_else(|| way_of_dots(swing)).unwrap_or(f64::NAN);
        }
        out.wrist.set(row, judged);
        if let Some((parity, flow)) = alternation.get(index).copied().flatten() {
            if begins {
                // Against the last note, since what is one swing here may be two to bs-parity, and the other way round.
                let last = before.and_then(|row| out.last_note.get(row).copied());
                let last = last.and_then(|index| alternation.get(index as usize).copied().flatten());
                let last = last.map(|(parity, _)| parity);
                out.alternation.set(row, Judged { parity, flow, reset: last == Some(parity) && !same_slider });
            } else if let Some(worst) = out.alternation.flow.get_mut(row) {
                *worst = (*worst).max(flow);
            }
        }
    }
    out
}

impl Parities {
    fn set(&mut self, row: usize, judged: Judged) {
        if row == self.parity.len() {
            self.parity.push(judged.parity);
            self.flow.push(judged.flow);
            self.reset.push(judged.reset);
        } else if let (Some(parity), Some(flow), Some(reset)) =
            (self.parity.get_mut(row), self.flow.get_mut(row), self.reset.get_mut(row))
        {
            (*parity, *flow, *reset) = (judged.parity, judged.flow, judged.reset);
        }
    }
}

/// Tempo of a stream of half beats with this time between its notes.
fn effective_bpm(gap_s: f64) -> f64 {
    30.0 / gap_s
}

/// bs-parity's view of every note.
fn alternate(level: &map::Difficulty, placed: &[Option<Placed>]) -> Vec<Option<(Parity, Flow)>> {
    enum Seen<'a> {
        Note(usize, &'a Placed),
        Bomb(f64, f64, f64),
    }
    let notes = placed.iter().enumerate().filter_map(|(i, note)| note.as_ref().map(|note| Seen::Note(i, note)));
    let bombs = level.bombs.iter().map(|bomb| Seen::Bomb(bomb.beat, coordinate(bomb.x), coordinate(bomb.y)));
    let beat = |seen: &Seen| match seen {
        Seen::Note(_, note) => note.beat,
        Seen::Bomb(beat, ..) => *beat,
    };
    let mut all: Vec<Seen> = notes.chain(bombs).collect();
    all.sort_by(|a, b| beat(a).total_cmp(&beat(b)));
    // Per note, whether the hand's next one goes on with its slider.
    let mut goes_on = vec![false; placed.len()];
    let mut last: [Option<(usize, f64)>; 2] = [None; 2];
    for (index, note) in placed.iter().enumerate().filter_map(|(i, note)| note.map(|note| (i, note))) {
        if let Some((before, beat)) = last[note.hand as usize].replace((index, note.beat)) {
            goes_on[before] = parity::one_slider(beat, note.beat);
        }
    }
    let mut hands = [Hand::Left, Hand::Right].map(|hand| {
        let first = placed.iter().flatten().find(|note| note.hand == hand);
        first.map_or_else(Alternation::default, |note| Alternation::before(hand, note.cut))
    });
    let mut out = vec![None; placed.len()];
    for (at, seen) in all.iter().enumerate() {
        match *seen {
            Seen::Note(index, note) => {
                let state = &mut hands[note.hand as usize];
                let (parity, flow, after) = state.judge(note.hand, note.cut, note.beat);
                out[index] = Some((parity, flow));
                *state = after;
                if goes_on[index] {
                    state.join();
                }
            }
            Seen::Bomb(when, x, y) => {
                let Some(suggested) = suggestion(y).filter(|_| x == 1.0 || x == 2.0) else { continue };
                let soon = all[at + 1..].iter().take(table::BOMB_LOOK_AHEAD);
                let soon = soon.take_while(|next| beat(next) - when - table::BOMB_BEATS <= table::BEAT_TOLERANCE);
                let soon: Vec<&Seen> = soon.collect();
                for hand in [Hand::Left, Hand::Right] {
                    let skipped = soon.iter().any(|next| match **next {
                        Seen::Note(_, note) => note.hand == hand && !parity::agrees(hand, suggested, note.cut),
                        Seen::Bomb(_, x, y) => {
                            x == hand.middle_column() && suggestion(y).is_some_and(|other| other != suggested)
                        }
                    });
                    hands[hand as usize].bomb(suggested, when, skipped);
                }
            }
        }
    }
    out
}

/// The parity that a bomb in a middle column asks for next: it lies where the hand would go.
fn suggestion(y: f64) -> Option<Parity> {
    if y == 0.0 {
        Some(Parity::Forehand)
    } else if y == 2.0 {
        Some(Parity::Backhand)
    } else {
        None
    }
}
