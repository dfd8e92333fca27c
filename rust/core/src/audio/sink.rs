//! Where decoded frames go: kept back while they may be padding, then resampled block by block.

use std::ops::Range;
use std::sync::Arc;

use rustfft::num_complex::Complex32;
use rustfft::{Fft, FftPlanner};

/// Frames of one resampling block on the side of the lower rate: the filter is flat to 97 % of that side's band.
const RESAMPLE_BLOCK_FRAMES: usize = 1_024;
/// Middle of the filter's slope, in bins of one block below the end of the band: half the width of the main lobe of its window.
const CUTOFF_BELOW_BAND: f64 = 13.75;

/// Collects frames at the file's rate and turns them into samples at the wanted one, block by block.
pub(super) struct Sink {
    pub(super) source_rate_hz: u32,
    /// Frames that have left the lanes' `pending`, of which all have the same number; none without resampling.
    passed: u64,
    lanes: Vec<Lane>,
}

/// One channel of the result.
struct Lane {
    /// Frames for the resampler; without one they are `samples` at once.
    pending: Vec<f32>,
    resampler: Option<Resampler>,
    samples: Vec<f32>,
}

impl Lane {
    /// Where frames go first.
    fn held(&mut self) -> &mut Vec<f32> {
        if self.resampler.is_some() { &mut self.pending } else { &mut self.samples }
    }
}

impl Sink {
    pub(super) fn new(source_rate_hz: u32, rate_hz: u32, lanes: usize) -> Self {
        let lane = || {
            let same = source_rate_hz == rate_hz;
            let resampler = if same { None } else { Some(Resampler::new(source_rate_hz, rate_hz)) };
            Lane { pending: Vec::new(), resampler, samples: Vec::new() }
        };
        Self { source_rate_hz, passed: 0, lanes: (0..lanes).map(|_| lane()).collect() }
    }

    pub(super) fn frames(&self) -> u64 {
        let held = |lane: &Lane| if lane.resampler.is_some() { lane.pending.len() } else { lane.samples.len() };
        self.passed + self.lanes.first().map_or(0, held) as u64
    }

    pub(super) fn seconds(&self) -> f64 {
        self.frames() as f64 / f64::from(self.source_rate_hz)
    }

    /// Takes frames `range` of each of `planes`, one plane for each lane.
    pub(super) fn push(&mut self, planes: &[Vec<f32>], range: Range<usize>) {
        for (lane, plane) in self.lanes.iter_mut().zip(planes) {
            lane.held().extend_from_slice(plane.get(range.clone()).unwrap_or_default());
        }
    }

    pub(super) fn push_silence(&mut self, frames: usize) {
        for lane in &mut self.lanes {
            let held = lane.held();
            held.resize(held.len() + frames, 0.0);
        }
    }

    pub(super) fn drop_last(&mut self, frames: usize) {
        for lane in &mut self.lanes {
            let held = lane.held();
            held.truncate(held.len().saturating_sub(frames));
        }
    }

    /// Resamples all pending frames but the last `keep`.
    pub(super) fn flush(&mut self, keep: usize) {
        let mut passed = 0;
        for Lane { pending, resampler, samples } in &mut self.lanes {
            if let Some(resampler) = resampler {
                passed = resampler.push_blocks(&pending[..pending.len().saturating_sub(keep)], samples);
                pending.drain(..passed);
            }
        }
        self.passed += passed as u64;
    }

    /// The samples of each lane.
    pub(super) fn finish(mut self) -> Vec<Vec<f32>> {
        self.flush(0);
        let total = self.frames();
        for lane in &mut self.lanes {
            if let Some(resampler) = &mut lane.resampler {
                resampler.finish(&lane.pending, total, &mut lane.samples);
            }
        }
        self.lanes.into_iter().map(|lane| lane.samples).collect()
    }
}

/// Changes the rate by a fixed ratio: blocks are filtered and cut to the new band, or filled up to it, as spectra, and added
/// where they overlap.
///
/// Two blocks at a time are the two parts of one complex transform: the filter is real in both domains and keeps them
/// apart, so that the parts of real transforms need not be put together (docs/experiments.md).
struct Resampler {
    forward: Arc<dyn Fft<f32>>,
    inverse: Arc<dyn Fft<f32>>,
    /// Response of the filter from frequency 0 to below the end of the lower rate's band, 1 at 0 but for the transforms' scale.
    response: Vec<f32>,
    ratio: (u64, u64),
    /// Output samples still to be dropped: the filter's delay, half a block.
    delay: usize,
    /// What the last block adds to the next.
    overlap: Vec<f32>,
    spectrum: Vec<Complex32>,
    cut: Vec<Complex32>,
    scratch: Vec<Complex32>,
}

impl Resampler {
    fn new(from_hz: u32, to_hz: u32) -> Self {
        let gcd = {
            let (mut a, mut b) = (from_hz, to_hz);
            while b > 0 {
                (a, b) = (b, a % b);
            }
            a
        };
        // An even number of the smallest blocks makes the filter's delay a whole number of samples on both sides.
        let unit = (from_hz / gcd).min(to_hz / gcd) as usize;
        let units = RESAMPLE_BLOCK_FRAMES.div_ceil(unit).next_multiple_of(2);
        let (taken, made) = (units * (from_hz / gcd) as usize, units * (to_hz / gcd) as usize);
        let mut planner = FftPlanner::new();
        let (forward, inverse) = (planner.plan_fft_forward(2 * taken), planner.plan_fft_inverse(2 * made));
        let scratch = forward.get_inplace_scratch_len().max(inverse.get_inplace_scratch_len());
        Self {
            response: response(forward.as_ref(), taken.min(made)),
            forward,
            inverse,
            ratio: (u64::from(from_hz), u64::from(to_hz)),
            delay: made / 2,
            overlap: vec![0.0; made],
            spectrum: vec![Complex32::default(); 2 * taken],
            cut: vec![Complex32::default(); 2 * made],
            scratch: vec![Complex32::default(); scratch],
        }
    }

    /// Resamples as many whole pairs of blocks as `frames` holds and returns how many frames that were.
    fn push_blocks(&mut self, frames: &[f32], samples: &mut Vec<f32>) -> usize {
        let blocks = frames.chunks_exact(self.spectrum.len());
        let done = frames.len() - blocks.remainder().len();
        for block in blocks {
            self.process(block, samples);
        }
        done
    }

    /// Resamples two blocks.
    fn process(&mut self, blocks: &[f32], samples: &mut Vec<f32>) {
        let (first, second) = blocks.split_at(blocks.len() / 2);
        let (sound, silence) = self.spectrum.split_at_mut(first.len());
        for (value, (&re, &im)) in sound.iter_mut().zip(first.iter().zip(second)) {
            *value = Complex32::new(re, im);
        }
        silence.fill(Complex32::default());
        self.forward.process_with_scratch(&mut self.spectrum, &mut self.scratch);

        // Frequencies from 0 up are at the front, those from -1 down at the back.
        let kept = self.response.len();
        self.cut.fill(Complex32::default());
        for ((value, bin), response) in self.cut.iter_mut().zip(&self.spectrum).zip(&self.response) {
            *value = bin * response;
        }
        let below = self.cut.iter_mut().rev().zip(self.spectrum.iter().rev()).take(kept - 1);
        for ((value, bin), response) in below.zip(self.response.iter().skip(1)) {
            *value = bin * response;
        }
        self.inverse.process_with_scratch(&mut self.cut, &mut self.scratch);

        // The filter reaches half a block to both sides: what comes before the block is at the end of the circle.
        let made = self.overlap.len();
        self.cut.rotate_right(made / 2);
        let (now, then) = self.cut.split_at(made);
        let dropped = self.delay.min(2 * made);
        self.delay -= dropped;
        let start = samples.len();
        samples.extend(self.overlap.iter().zip(now).map(|(before, now)| before + now.re));
        samples.extend(then.iter().zip(now).map(|(before, now)| before.re + now.im));
        samples.drain(start..start + dropped);
        for (overlap, then) in self.overlap.iter_mut().zip(then) {
            *overlap = then.im;
        }
    }

    /// Resamples the `rest` and silence until all of the `total` frames have come out.
    fn finish(&mut self, rest: &[f32], total: u64, samples: &mut Vec<f32>) {
        let wanted = usize::try_from((total * self.ratio.1 + self.ratio.0 / 2) / self.ratio.0).unwrap_or(usize::MAX);
        let mut blocks = rest.to_vec();
        blocks.resize(self.spectrum.len(), 0.0);
        while samples.len() < wanted {
            self.process(&blocks, samples);
            blocks.fill(0.0);
        }
        samples.truncate(wanted);
    }
}

/// Response of the low-pass filter of half the length of `forward` around time 0, in the first `kept` bins of `forward`.
///
/// A windowed sinc: within 0.01 dB up to 97 % of the band that the bins reach over, and below −140 dB beyond it.
fn response(forward: &dyn Fft<f32>, kept: usize) -> Vec<f32> {
    let length = forward.len() / 2;
    // Of the input's band; the side lobes of the window end where the band does.
    let cutoff = (1.0 - CUTOFF_BELOW_BAND / kept as f64) * kept as f64 / length as f64;
    let tap = |at: usize| {
        let turn = std::f64::consts::TAU * at as f64 / length as f64;
        let window = 0.358_75 + 0.488_29 * turn.cos() + 0.141_28 * (2.0 * turn).cos() + 0.011_68 * (3.0 * turn).cos();
        let x = std::f64::consts::PI * cutoff * at as f64;
        window * window * if at == 0 { 1.0 } else { x.sin() / x }
    };
    let taps: Vec<f64> = (0..length / 2).map(tap).collect();
    let sum = 2.0 * taps.iter().sum::<f64>() - taps[0];
    let mut filter = vec![Complex32::default(); 2 * length];
    for (at, tap) in taps.into_iter().enumerate() {
        let value = Complex32::from((tap / sum / (2 * length) as f64) as f32);
        filter[at] = value;
        filter[(2 * length - at) % (2 * length)] = value;
    }
    forward.process(&mut filter);
    filter.iter().take(kept).map(|bin| bin.re).collect()
}
