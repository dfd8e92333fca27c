//! Two models of a hand's parity: which side of the hand leads, and whether the next swing can follow.
//!
//! [`Wrist`] is MapCheck's (bsmap's): the wrist has an angle and a range. [`Alternation`] is bs-parity's: cut directions
//! only. Where MapCheck takes the hand's state at the start from any bomb and leaves out the bombs before the very last
//! swing, only the hand's own middle column counts here, and all bombs do.

use super::table::{
    BEAT_TOLERANCE, BOMB_BEATS, RANGE_BREAKS_DEG, RANGE_STRAINS_DEG, SLIDER_BEATS, TURN_BREAKS_DEG, TURN_STRAINS_DEG,
    WRIST_RANGE_DEG,
};
use super::{ANY, Hand, Placed, direction};

/// Which side of the hand leads.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Parity {
    /// The palm: downward swings.
    Forehand = 0,
    /// The back of the hand: upward swings.
    Backhand = 1,
}

impl Parity {
    pub(super) fn other(self) -> Self {
        match self {
            Self::Forehand => Self::Backhand,
            Self::Backhand => Self::Forehand,
        }
    }
}

/// How a swing follows the hand's last one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Flow {
    /// It goes on.
    Kept = 0,
    /// It goes on, awkwardly.
    Strained = 1,
    /// The hand has to reset first.
    Broken = 2,
}

/// What a model says of a swing.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Judged {
    pub(super) parity: Parity,
    pub(super) flow: Flow,
    /// The hand's last swing had the same parity.
    pub(super) reset: bool,
}

/// Wrist angles of the left hand's swings, forehand and backhand, by cut; degrees.
const LEFT_DEG: [[f64; 8]; 2] =
    [[180.0, 0.0, -90.0, 90.0, -135.0, 135.0, -45.0, 45.0], [0.0, 180.0, 90.0, -90.0, 45.0, -45.0, 135.0, -135.0]];
/// The same for the right hand.
const RIGHT_DEG: [[f64; 8]; 2] =
    [[-180.0, 0.0, -90.0, 90.0, -135.0, 135.0, -45.0, 45.0], [0.0, -180.0, 90.0, -90.0, 45.0, -45.0, 135.0, -135.0]];

/// The wrist's angle in a swing.
pub(super) fn wrist_deg(hand: Hand, parity: Parity, cut: u8) -> f64 {
    let table = if hand == Hand::Left { &LEFT_DEG } else { &RIGHT_DEG };
    table[parity as usize].get(usize::from(cut)).copied().unwrap_or(0.0)
}

/// The parity with which a hand begins; up to the mirrored sideways cuts alike in both models.
fn natural(hand: Hand, cut: u8, y: f64) -> Parity {
    let forehand = match cut {
        1 | 6 | 7 => true,
        2 => hand == Hand::Right,
        3 => hand == Hand::Left,
        ANY => y < 0.5,
        _ => false,
    };
    if forehand { Parity::Forehand } else { Parity::Backhand }
}

/// A hand's wrist after a swing.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Wrist {
    /// Parity of the last swing.
    pub(super) held: Option<Parity>,
    /// Wrist angle of the last swing whose direction is known.
    pub(super) rotation_deg: Option<f64>,
}

impl Wrist {
    /// What a whole swing is, and the wrist after it; `bomb` is the parity that bombs before it force.
    pub(super) fn judge(self, hand: Hand, swing: &[Placed], bomb: Option<Parity>) -> (Judged, Self) {
        let cut = direction(swing);
        let Some(held) = bomb.map(Parity::other).or(self.held) else {
            let first = swing.iter().find(|note| note.cut != ANY).or(swing.first());
            let parity = first.map_or(Parity::Forehand, |note| natural(hand, note.cut, note.y));
            let rotation_deg = cut.map(|cut| wrist_deg(hand, parity, cut));
            return (Judged { parity, flow: Flow::Kept, reset: false }, Self { held: Some(parity), rotation_deg });
        };
        let last_deg = if bomb.is_some() { Some(0.0) } else { self.rotation_deg };
        let flow = cut.map_or(Flow::Kept, |cut| strain(hand, wrist_deg(hand, held.other(), cut), last_deg));
        // A broken swing is the last one's parity once more, but for bombs, which say what it is.
        let parity = match flow {
            Flow::Broken if bomb.is_none() => held,
            _ => held.other(),
        };
        let rotation_deg = cut.map(|cut| wrist_deg(hand, parity, cut)).or(last_deg);
        let reset = self.held == Some(parity);
        (Judged { parity, flow, reset }, Self { held: Some(parity), rotation_deg })
    }
}

fn strain(hand: Hand, deg: f64, last_deg: Option<f64>) -> Flow {
    let (low, high) = if hand == Hand::Left { WRIST_RANGE_DEG } else { (-WRIST_RANGE_DEG.1, -WRIST_RANGE_DEG.0) };
    let beyond = |margin: f64| deg < low + margin || deg > high - margin;
    let turn = last_deg.map_or(0.0, |last| (deg - last).abs());
    if turn > TURN_BREAKS_DEG || beyond(RANGE_BREAKS_DEG) {
        Flow::Broken
    } else if turn > TURN_STRAINS_DEG || beyond(RANGE_STRAINS_DEG) {
        Flow::Strained
    } else {
        Flow::Kept
    }
}

/// Whether a cut suits a parity, by direction alone.
fn suits(hand: Hand, parity: Parity, cut: u8) -> Flow {
    // The left hand is the right one's mirror.
    let cut = match (hand, cut) {
        (Hand::Right, cut) => cut,
        (Hand::Left, 2 | 4 | 6) => cut + 1,
        (Hand::Left, 3 | 5 | 7) => cut - 1,
        (Hand::Left, cut) => cut,
    };
    match (parity, cut) {
        (_, ANY) | (Parity::Forehand, 1 | 2 | 6 | 7) | (Parity::Backhand, 0 | 3 | 4 | 5 | 7) => Flow::Kept,
        (Parity::Forehand, 3 | 4) | (Parity::Backhand, 2) => Flow::Strained,
        _ => Flow::Broken,
    }
}

/// A hand in bs-parity's model: the parity of the next note.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Alternation {
    next: Option<Parity>,
    last_beat: Option<f64>,
    /// The flip for a slider that goes on was made already.
    joined: bool,
    flipped_beat: Option<f64>,
}

impl Alternation {
    /// The hand before its first note.
    pub(super) fn before(hand: Hand, first_cut: u8) -> Self {
        let forehand = suits(hand, Parity::Forehand, first_cut) == Flow::Kept;
        Self { next: Some(if forehand { Parity::Forehand } else { Parity::Backhand }), ..Self::default() }
    }

    /// What the note is, and the hand after it.
    pub(super) fn judge(self, hand: Hand, cut: u8, beat: f64) -> (Parity, Flow, Self) {
        let next = self.next.or(Self::before(hand, cut).next).unwrap_or(Parity::Forehand);
        let goes_on = !self.joined && self.last_beat.is_some_and(|last| one_slider(last, beat));
        let expected = if goes_on { next.other() } else { next };
        let flow = suits(hand, expected, cut);
        let mut after = Self { next: Some(expected), last_beat: Some(beat), joined: false, ..self };
        let parity = if flow == Flow::Broken {
            expected.other()
        } else {
            after.next = Some(expected.other());
            after.flipped_beat = Some(beat);
            expected
        };
        (parity, flow, after)
    }

    /// The hand's next note goes on with this one's slider: makes that flip now, which bombs between the two see.
    pub(super) fn join(&mut self) {
        self.next = self.next.map(Parity::other);
        self.joined = true;
        self.flipped_beat = self.last_beat;
    }

    /// A bomb suggests a parity; `skipped` where the objects that follow speak against it.
    pub(super) fn bomb(&mut self, suggested: Parity, beat: f64, skipped: bool) {
        let fresh = self.flipped_beat.is_some_and(|last| beat - last - BOMB_BEATS <= BEAT_TOLERANCE);
        if self.next == Some(suggested) {
            self.flipped_beat = Some(beat);
        } else if !skipped && !fresh && self.next.is_some() {
            self.next = Some(suggested);
            self.flipped_beat = Some(beat);
        }
    }
}

pub(super) fn one_slider(last: f64, beat: f64) -> bool {
    beat - last - SLIDER_BEATS <= BEAT_TOLERANCE
}

/// Whether a note agrees with the parity that a bomb before it suggests.
pub(super) fn agrees(hand: Hand, parity: Parity, cut: u8) -> bool {
    suits(hand, parity, cut) == Flow::Kept
}
