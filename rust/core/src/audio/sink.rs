//! Where decoded frames go: kept back while they may be padding, then resampled block by block.

use std::ops::Range;

use rubato::audioadapter_buffers::direct::SequentialSlice;
use rubato::{FixedSync, Resampler as _, WindowFunction};

/// Frames of one resampling block on the side of the lower rate: the filter is flat to 97 % of that side's band.
const RESAMPLE_BLOCK_FRAMES: usize = 1_024;

/// Collects frames at the file's rate and turns them into samples at the wanted one, block by block.
pub(super) struct Sink {
    pub(super) source_rate_hz: u32,
    /// Frames that have left the lanes' `pending`, of which all have the same number.
    passed: u64,
    lanes: Vec<Lane>,
}

/// One channel of the result.
struct Lane {
    pending: Vec<f32>,
    resampler: Option<Resampler>,
    samples: Vec<f32>,
}

impl Sink {
    pub(super) fn new(source_rate_hz: u32, rate_hz: u32, lanes: usize) -> Result<Self, String> {
        let lane = || {
            let same = source_rate_hz == rate_hz;
            let resampler = if same { None } else { Some(Resampler::new(source_rate_hz, rate_hz)?) };
            Ok::<_, String>(Lane { pending: Vec::new(), resampler, samples: Vec::new() })
        };
        let lanes = (0..lanes).map(|_| lane()).collect::<Result<_, _>>()?;
        Ok(Self { source_rate_hz, passed: 0, lanes })
    }

    fn pending(&self) -> usize {
        self.lanes.first().map_or(0, |lane| lane.pending.len())
    }

    pub(super) fn frames(&self) -> u64 {
        self.passed + self.pending() as u64
    }

    pub(super) fn seconds(&self) -> f64 {
        self.frames() as f64 / f64::from(self.source_rate_hz)
    }

    /// Takes frames `range` of each of `planes`, one plane for each lane.
    pub(super) fn push(&mut self, planes: &[Vec<f32>], range: Range<usize>) {
        for (lane, plane) in self.lanes.iter_mut().zip(planes) {
            lane.pending.extend_from_slice(plane.get(range.clone()).unwrap_or_default());
        }
    }

    pub(super) fn push_silence(&mut self, frames: usize) {
        for lane in &mut self.lanes {
            lane.pending.resize(lane.pending.len() + frames, 0.0);
        }
    }

    pub(super) fn drop_last(&mut self, frames: usize) {
        for lane in &mut self.lanes {
            lane.pending.truncate(lane.pending.len().saturating_sub(frames));
        }
    }

    /// Passes on all pending frames but the last `keep`.
    pub(super) fn flush(&mut self, keep: usize) -> Result<(), String> {
        let ready = self.pending().saturating_sub(keep);
        let mut passed = 0;
        for lane in &mut self.lanes {
            passed = match &mut lane.resampler {
                None => {
                    lane.samples.extend_from_slice(&lane.pending[..ready]);
                    ready
                }
                Some(resampler) => resampler.push_blocks(&lane.pending[..ready], &mut lane.samples)?,
            };
            lane.pending.drain(..passed);
        }
        self.passed += passed as u64;
        Ok(())
    }

    /// The samples of each lane.
    pub(super) fn finish(mut self) -> Result<Vec<Vec<f32>>, String> {
        self.flush(0)?;
        let total = self.frames();
        for lane in &mut self.lanes {
            if let Some(resampler) = &mut lane.resampler {
                resampler.finish(&lane.pending, total, &mut lane.samples)?;
            }
        }
        Ok(self.lanes.into_iter().map(|lane| lane.samples).collect())
    }
}

/// A fixed-ratio FFT resampler with its delay taken out.
struct Resampler {
    inner: rubato::Fft<f32>,
    ratio: (u64, u64),
    /// Output samples still to be dropped: the filter's delay.
    delay: usize,
    block: Vec<f32>,
}

impl Resampler {
    fn new(from_hz: u32, to_hz: u32) -> Result<Self, String> {
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
        let chunk = units * (from_hz / gcd) as usize;
        let window = WindowFunction::BlackmanHarris2;
        let (from, to) = (from_hz as usize, to_hz as usize);
        let inner = rubato::Fft::new_custom(from, to, chunk, 1, 1, window, FixedSync::Both)
            .map_err(|error| format!("no resampling from {from_hz} to {to_hz} Hz: {error}"))?;
        let block = vec![0.0; inner.output_frames_max()];
        Ok(Self { delay: inner.output_delay(), inner, ratio: (u64::from(from_hz), u64::from(to_hz)), block })
    }

    /// Resamples as many whole blocks as `frames` holds and returns how many frames that were.
    fn push_blocks(&mut self, frames: &[f32], samples: &mut Vec<f32>) -> Result<usize, String> {
        let size = self.inner.input_frames_next();
        let blocks = frames.chunks_exact(size);
        let done = frames.len() - blocks.remainder().len();
        for block in blocks {
            self.process(block, samples)?;
        }
        Ok(done)
    }

    fn process(&mut self, block: &[f32], samples: &mut Vec<f32>) -> Result<(), String> {
        let space = self.block.len();
        let input = SequentialSlice::new(block, 1, block.len()).map_err(|error| error.to_string())?;
        let mut output = SequentialSlice::new_mut(&mut self.block, 1, space).map_err(|error| error.to_string())?;
        let (_, made) = self.inner.process_into_buffer(&input, &mut output, None).map_err(|error| error.to_string())?;
        let dropped = self.delay.min(made);
        self.delay -= dropped;
        samples.extend_from_slice(self.block.get(dropped..made).unwrap_or_default());
        Ok(())
    }

    /// Resamples the `rest` and silence until all of the `total` frames have come out.
    fn finish(&mut self, rest: &[f32], total: u64, samples: &mut Vec<f32>) -> Result<(), String> {
        let wanted = usize::try_from((total * self.ratio.1 + self.ratio.0 / 2) / self.ratio.0).unwrap_or(usize::MAX);
        let mut block = rest.to_vec();
        block.resize(self.inner.input_frames_next(), 0.0);
        while samples.len() < wanted {
            self.process(&block, samples)?;
            block.fill(0.0);
        }
        samples.truncate(wanted);
        Ok(())
    }
}
