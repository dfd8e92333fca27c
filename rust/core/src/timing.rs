//! The one clock: beats ↔ seconds over tempo regions, and snapping to subdivisions of a beat.

use crate::{Error, Result};

/// From `beat` (at `time_s`) on, one beat lasts `60 / bpm` seconds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Region {
    /// First beat of the region.
    pub beat: f64,
    /// Time of that beat in seconds.
    pub time_s: f64,
    /// Beats per minute, positive and finite.
    pub bpm: f64,
}

/// Piecewise linear map between beats and seconds, strictly increasing, defined for every finite number.
///
/// Before the first region its tempo is continued backwards, after the last one forwards.
///
/// ```
/// use beatweaver_core::timing::TempoMap;
/// let clock = TempoMap::from_events(120.0, [(4.0, 60.0)], 0.0)?;
/// assert_eq!(clock.seconds(4.0), 2.0);
/// assert_eq!(clock.seconds(5.0), 3.0);
/// assert_eq!(clock.beats(3.0), 5.0);
/// # Ok::<(), beatweaver_core::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct TempoMap {
    regions: Vec<Region>,
}

/// Beats this close are the same beat for the clock (the game works in 32-bit floats).
const SAME_BEAT: f64 = 1e-6;

/// Tempos outside of this range are no tempo (BeatSaver takes 10 to 1000): events that set them are skipped.
pub const BPM_RANGE: std::ops::RangeInclusive<f64> = 1e-3..=1e6;

fn is_tempo(bpm: f64) -> bool {
    BPM_RANGE.contains(&bpm)
}

impl TempoMap {
    /// One tempo for the whole song; beat 0 is at `offset_s` seconds.
    ///
    /// # Errors
    /// [`Error::Spec`] when `bpm` is not a tempo or `offset_s` is not finite.
    pub fn constant(bpm: f64, offset_s: f64) -> Result<Self> {
        Self::from_events(bpm, [], offset_s)
    }

    /// Tempo events of v2 (type 100, or 10 before 2.5) and v3 (`bpmEvents`): `base_bpm` holds before the first event.
    ///
    /// Events may come unsorted; of several on one beat the last one holds; those without a usable tempo are skipped.
    ///
    /// # Errors
    /// [`Error::Spec`] when `base_bpm` is not a tempo or `offset_s` is not finite.
    pub fn from_events(base_bpm: f64, events: impl IntoIterator<Item = (f64, f64)>, offset_s: f64) -> Result<Self> {
        if !is_tempo(base_bpm) {
            return Err(Error::Spec {
                field: "bpm".into(),
                problem: format!("found {base_bpm}, expected a positive tempo in beats per minute"),
            });
        }
        if !offset_s.is_finite() {
            return Err(Error::Spec {
                field: "offset_s".into(),
                problem: format!("found {offset_s}, expected seconds"),
            });
        }
        let mut events: Vec<(f64, f64)> =
            events.into_iter().filter(|&(beat, bpm)| beat.is_finite() && is_tempo(bpm)).collect();
        events.sort_by(|a, b| a.0.total_cmp(&b.0));
        let mut regions = vec![Region { beat: 0.0, time_s: offset_s, bpm: base_bpm }];
        // Events before beat 0 only set the tempo from beat 0 on: the song starts there.
        for (beat, bpm) in events {
            let last = regions[regions.len() - 1];
            if beat <= last.beat + SAME_BEAT {
                let end = regions.len() - 1;
                regions[end].bpm = bpm;
            } else {
                let time_s = last.time_s + (beat - last.beat) * 60.0 / last.bpm;
                regions.push(Region { beat, time_s, bpm });
            }
        }
        regions.dedup_by(|next, kept| next.bpm == kept.bpm);
        Ok(Self { regions })
    }

    /// Regions of a v4 audio data file (or of an analysis): each begins at a beat and a time, the tempo follows from the next one.
    ///
    /// `ends` is the beat and time at which the last region ends. Regions that do not advance in both are skipped.
    ///
    /// # Errors
    /// [`Error::Spec`] when fewer than two distinct points remain.
    pub fn from_points(points: &[(f64, f64)], ends: (f64, f64)) -> Result<Self> {
        let mut sorted: Vec<(f64, f64)> =
            points.iter().chain([&ends]).copied().filter(|p| p.0.is_finite() && p.1.is_finite()).collect();
        sorted.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.total_cmp(&b.1)));
        let mut regions: Vec<Region> = Vec::new();
        let mut open: Option<(f64, f64)> = None;
        for (beat, time_s) in sorted {
            if let Some((b0, t0)) = open {
                let bpm = (beat - b0) * 60.0 / (time_s - t0);
                if beat <= b0 + SAME_BEAT || time_s <= t0 || !is_tempo(bpm) {
                    continue;
                }
                regions.push(Region { beat: b0, time_s: t0, bpm });
            }
            open = Some((beat, time_s));
        }
        if regions.is_empty() {
            return Err(Error::Spec {
                field: "regions".into(),
                problem: "found no region that advances, expected beats and times that grow".into(),
            });
        }
        Ok(Self { regions })
    }

    /// The regions, in order; never empty.
    pub fn regions(&self) -> &[Region] {
        &self.regions
    }

    fn region_at(&self, key: impl Fn(&Region) -> f64, value: f64) -> &Region {
        let after = self.regions.partition_point(|r| key(r) <= value);
        &self.regions[after.saturating_sub(1)]
    }

    /// Seconds at `beat`.
    pub fn seconds(&self, beat: f64) -> f64 {
        let r = self.region_at(|r| r.beat, beat);
        r.time_s + (beat - r.beat) * 60.0 / r.bpm
    }

    /// Beat at `seconds`.
    pub fn beats(&self, seconds: f64) -> f64 {
        let r = self.region_at(|r| r.time_s, seconds);
        r.beat + (seconds - r.time_s) * r.bpm / 60.0
    }

    /// Tempo in force at `beat`.
    pub fn bpm_at(&self, beat: f64) -> f64 {
        self.region_at(|r| r.beat, beat).bpm
    }
}

/// A beat on a subdivision, and how far it was moved.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Snapped {
    /// The beat after snapping.
    pub beat: f64,
    /// The subdivision it lies on (4 = quarters of a beat); 0 when nothing was near enough and the beat stayed.
    pub division: u16,
    /// Signed distance moved, in beats.
    pub error_beats: f64,
}

/// Snap `beat` to the coarsest of `divisions` (parts of a beat, each ≥ 1) that lies within `tolerance_beats`.
///
/// Idempotent while the tolerance is below the least distance between two subdivisions.
///
/// ```
/// use beatweaver_core::timing::snap;
/// assert_eq!(snap(1.2504, &[1, 2, 4, 8], 0.01).beat, 1.25);
/// assert_eq!(snap(1.30, &[1, 2, 4, 8], 0.01).division, 0);
/// ```
pub fn snap(beat: f64, divisions: &[u16], tolerance_beats: f64) -> Snapped {
    let mut sorted: Vec<u16> = divisions.iter().copied().filter(|&d| d > 0).collect();
    sorted.sort_unstable();
    for division in sorted {
        let parts = f64::from(division);
        let on_grid = round(beat * parts) / parts;
        if (on_grid - beat).abs() <= tolerance_beats {
            return Snapped { beat: on_grid, division, error_beats: on_grid - beat };
        }
    }
    Snapped { beat, division: 0, error_beats: 0.0 }
}

/// `x.round()`, several times faster where processors have no instruction for it that every build may use.
pub(crate) fn round(x: f64) -> f64 {
    // From here on every float is whole.
    if x.abs() < 4_503_599_627_370_496.0 {
        let whole = x as i64 as f64;
        // The difference is exact, so halves go away from zero as they should; the sign of −0 means nothing here.
        if (x - whole).abs() >= 0.5 { whole + x.signum() } else { whole }
    } else {
        x
    }
}

/// Notes this close to a grid line lie on it, in beats.
const ON_GRID_BEATS: f64 = 1.0 / 96.0;
/// Share of notes on quarters of the beat from which on a grid is believed: as it stands, and after a shift.
const GRID_SHARE: [f64; 2] = [0.5, 0.8];
/// Fewer beats than this tell no grid.
const GRID_BEATS_MIN: usize = 16;

/// Where the notes' own grid lies in the level's axis: the beat, 0 ≤ b < 1, that their beats fall on.
///
/// Many older levels begin their song anywhere and kept the first beat's offset in the editor only, so that none of their
/// notes lies on a whole beat of the axis. 0 when the notes lie on quarters as they are, or on no common grid.
///
/// ```
/// use beatweaver_core::timing::grid_offset;
/// let beats: Vec<f64> = (0..40).map(|i| f64::from(i) * 0.5 + 0.37).collect();
/// assert!((grid_offset(&beats).rem_euclid(0.5) - 0.37).abs() < 1e-3);
/// assert_eq!(grid_offset(&[0.0, 1.0, 2.5]), 0.0);
/// ```
pub fn grid_offset(beats: &[f64]) -> f64 {
    const QUARTERS: f64 = 4.0;
    const BINS: usize = 96;
    if beats.len() < GRID_BEATS_MIN {
        return 0.0;
    }
    // Signed distance to the nearest line of a grid of `parts` a beat that begins at `offset`.
    let off = |beat: f64, offset: f64, parts: f64| {
        let at = (beat - offset) * parts;
        (at - round(at)) / parts
    };
    let on = |offset: f64, parts: f64| beats.iter().filter(|&&b| off(b, offset, parts).abs() <= ON_GRID_BEATS).count();
    let enough = |count: usize, share: f64| count as f64 >= share * beats.len() as f64;
    if enough(on(0.0, QUARTERS), GRID_SHARE[0]) {
        return 0.0;
    }
    // Of 96 places within the quarter the one that most notes lie on; sorted, so that none has to look at all of them.
    let mut places: Vec<f64> = beats.iter().map(|b| b * QUARTERS).map(|at| (at - at.floor()) / QUARTERS).collect();
    places.sort_unstable_by(f64::total_cmp);
    let between = |low: f64, high: f64| {
        let (from, to) = (places.partition_point(|&p| p < low), places.partition_point(|&p| p <= high));
        to.saturating_sub(from)
    };
    let near = |place: f64| {
        let (low, high) = (place - ON_GRID_BEATS, place + ON_GRID_BEATS);
        between(low, high) + between(low + 1.0 / QUARTERS, 1.0) + between(-1.0, high - 1.0 / QUARTERS)
    };
    let candidates = (0..BINS).map(|i| i as f64 / BINS as f64 / QUARTERS);
    let Some((_, coarse)) = candidates.map(|c| (near(c), c)).max_by_key(|c| c.0) else { return 0.0 };
    // The notes that agree say it more exactly.
    let near: Vec<f64> = beats.iter().map(|&b| off(b, coarse, QUARTERS)).filter(|e| e.abs() <= ON_GRID_BEATS).collect();
    let exact = coarse + near.iter().sum::<f64>() / near.len().max(1) as f64;
    if !enough(on(exact, QUARTERS), GRID_SHARE[1]) {
        return 0.0;
    }
    // Of the four quarters the one with most notes on whole beats, then on halves, begins the beat.
    let best = (0..4)
        .map(|q| exact + f64::from(q) / QUARTERS)
        .max_by_key(|&o| (2 * on(o, 1.0) + on(o, 2.0), -(o * 1e6) as i64));
    best.unwrap_or(exact).rem_euclid(1.0)
}

/// For each onset the nearest of `beats_s` (sorted, seconds): its index and the signed error in seconds, or `None` outside of
/// `tolerance_s`. Each beat is given to at most one onset, the nearest (ties: the earlier).
pub fn align(onsets_s: &[f64], beats_s: &[f64], tolerance_s: f64) -> Vec<Option<(usize, f64)>> {
    let mut matches: Vec<Option<(usize, f64)>> = Vec::with_capacity(onsets_s.len());
    let mut owner: Vec<Option<usize>> = vec![None; beats_s.len()];
    for (row, &onset) in onsets_s.iter().enumerate() {
        let after = beats_s.partition_point(|&b| b < onset);
        let nearest = [after.checked_sub(1), Some(after)]
            .into_iter()
            .flatten()
            .filter(|&i| i < beats_s.len())
            .min_by(|&a, &b| (beats_s[a] - onset).abs().total_cmp(&(beats_s[b] - onset).abs()));
        let found = nearest.map(|i| (i, onset - beats_s[i])).filter(|m| m.1.abs() <= tolerance_s);
        matches.push(found);
        if let Some((i, error)) = found {
            let better = match owner[i].and_then(|other: usize| matches[other].map(|m| (other, m.1))) {
                Some((other, kept)) if error.abs() < kept.abs() => {
                    matches[other] = None;
                    true
                }
                Some(_) => false,
                None => true,
            };
            if better {
                owner[i] = Some(row);
            } else {
                matches[row] = None;
            }
        }
    }
    matches
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn tempo_map() -> impl Strategy<Value = TempoMap> {
        (20.0..500.0f64, proptest::collection::vec((0.0..400.0f64, 20.0..500.0f64), 0..8), -2.0..2.0f64)
            .prop_map(|(bpm, events, offset)| TempoMap::from_events(bpm, events, offset).expect("valid tempos"))
    }

    proptest! {
        #[test]
        fn rounding_is_the_standard_one(x in prop_oneof![any::<f64>(), -1e4..1e4, (-9_000i32..9_000).prop_map(|n| f64::from(n) / 2.0)]) {
            prop_assert!(round(x) == x.round() || x.is_nan());
        }

        #[test]
        fn seconds_and_beats_are_inverse(map in tempo_map(), beat in -10.0..500.0f64) {
            prop_assert!((map.beats(map.seconds(beat)) - beat).abs() < 1e-9);
        }

        #[test]
        fn time_increases_with_beats(map in tempo_map(), beat in -10.0..500.0f64, step in 1e-6..5.0f64) {
            prop_assert!(map.seconds(beat + step) > map.seconds(beat));
        }

        /// Oracle: sum the duration of 1/1000-beat steps, each at the tempo in force at its middle.
        #[test]
        fn seconds_equal_a_sum_of_small_steps(map in tempo_map(), beats in 1u32..40) {
            let steps = beats * 1000;
            let sum: f64 = (0..steps).map(|k| 0.06 / map.bpm_at((f64::from(k) + 0.5) / 1000.0)).sum();
            let span = map.seconds(f64::from(beats)) - map.seconds(0.0);
            // A change of tempo inside of a step costs at most that step's own length.
            prop_assert!((span - sum).abs() < 0.003 * 8.0 + 1e-9, "{span} {sum}");
        }

        /// Two of these subdivisions are 1/24 of a beat apart at least; a wider tolerance would reach from one to the next.
        #[test]
        fn snapping_is_idempotent_and_within_tolerance(beat in -50.0..500.0f64, tolerance in 0.0..0.04f64) {
            let once = snap(beat, &[1, 2, 3, 4, 6, 8], tolerance);
            prop_assert!(once.error_beats.abs() <= tolerance);
            let twice = snap(once.beat, &[1, 2, 3, 4, 6, 8], tolerance);
            if once.division > 0 {
                prop_assert!((twice.beat - once.beat).abs() < 1e-12);
            }
        }

        /// Notes drawn on a grid that begins anywhere, most of them on whole and half beats, give that beginning back.
        #[test]
        fn the_grid_of_notes_is_found(
            offset in 0.02..0.98f64,
            slots in proptest::collection::vec((0u32..400, 0u32..8), 60..200),
            jitter in 0.0..0.002f64,
        ) {
            let beats: Vec<f64> = slots.iter().map(|&(beat, part)| {
                let part = [0.0, 0.0, 0.0, 0.0, 0.5, 0.5, 0.25, 0.75][part as usize];
                f64::from(beat) + part + offset + jitter
            }).collect();
            // Which quarter begins the beat is known only where whole beats carry the most notes.
            let at = |parts: [u32; 4]| slots.iter().filter(|s| parts.contains(&s.1)).count();
            prop_assume!(at([0, 1, 2, 3]) > at([4, 5, 4, 5]).max(at([6, 7, 6, 7])));
            let quarters = (offset + jitter) * 4.0;
            prop_assume!(((quarters - quarters.round()).abs() / 4.0 - ON_GRID_BEATS).abs() > 1e-6);
            let found = grid_offset(&beats);
            if (quarters - quarters.round()).abs() / 4.0 <= ON_GRID_BEATS {
                prop_assert_eq!(found, 0.0, "on quarters as they are");
            } else {
                let miss = (found - offset - jitter).rem_euclid(1.0);
                prop_assert!(miss.min(1.0 - miss) < 1e-6, "{} for {}", found, offset + jitter);
            }
        }

        #[test]
        fn notes_on_no_grid_have_none(seed in proptest::collection::vec(0.0..400.0f64, 100..300)) {
            let found = grid_offset(&seed);
            prop_assert_eq!(found, 0.0);
        }

        /// Oracle: no other free beat within the tolerance lies nearer to any onset.
        #[test]
        fn every_match_is_the_nearest_beat(
            mut onsets in proptest::collection::vec(0.0..20.0f64, 0..30),
            mut beats in proptest::collection::vec(0.0..20.0f64, 0..30),
        ) {
            onsets.sort_by(f64::total_cmp);
            beats.sort_by(f64::total_cmp);
            let found = align(&onsets, &beats, 0.3);
            let mut used: Vec<usize> = found.iter().flatten().map(|m| m.0).collect();
            let count = used.len();
            used.dedup();
            prop_assert_eq!(used.len(), count, "a beat was given away twice");
            for (row, m) in found.iter().enumerate() {
                let nearest = beats.iter().map(|b| (b - onsets[row]).abs()).fold(f64::INFINITY, f64::min);
                match m {
                    Some((_, error)) => prop_assert!((error.abs() - nearest).abs() < 1e-12),
                    None => prop_assert!(nearest > 0.3 || found.iter().flatten().any(|(i, error)|
                        ((beats[*i] - onsets[row]).abs() - nearest).abs() < 1e-12 && error.abs() <= nearest + 1e-12)),
                }
            }
        }
    }

    #[test]
    fn regions_of_an_audio_data_file_set_the_tempo() {
        let map = TempoMap::from_points(&[(0.0, 0.5), (8.0, 4.5)], (12.0, 8.5)).expect("two regions");
        assert_eq!(map.bpm_at(1.0), 120.0);
        assert_eq!(map.bpm_at(9.0), 60.0);
        assert_eq!(map.seconds(20.0), 16.5);
        assert_eq!(map.seconds(-1.0), 0.0);
    }

    #[test]
    fn a_bad_base_tempo_is_named() {
        for bpm in [0.0, -3.0, f64::NAN, f64::INFINITY] {
            assert!(matches!(TempoMap::constant(bpm, 0.0), Err(Error::Spec { field, .. }) if field == "bpm"));
        }
        assert!(TempoMap::constant(120.0, f64::NAN).is_err());
        assert!(TempoMap::from_points(&[(0.0, 0.0)], (0.0, 1.0)).is_err());
    }

    #[test]
    fn events_without_a_tempo_are_skipped_and_the_last_of_a_beat_holds() {
        let map = TempoMap::from_events(100.0, [(4.0, 0.0), (4.0, -5.0), (2.0, 50.0), (2.0, 200.0)], 0.0).expect("map");
        assert_eq!(map.regions().len(), 2);
        assert_eq!(map.bpm_at(3.0), 200.0);
    }
}
