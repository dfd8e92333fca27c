//! Frames of a song: log-mel spectrogram, onset strength and band fluxes, equal to librosa's by definition.
//!
//! Frame `t` is the window centred on sample `t · hop`; beyond both ends of the song lies silence, so `n` samples give
//! `1 + n / hop` frames. The onset rows carry librosa's shift as well: the rise from frame `t − 1` to frame `t` stands
//! at row `t + n_fft / (2 · hop)`, because a sound begins to show in a window half its length before the centre. In music it
//! takes until a quarter of the window for the rise to be steepest: [`FeatureSpec::onset_lag_s`] is what is left of the shift.
//!
//! [`to_slots`] brings the frames of a song onto the beat grid, `slots_per_beat` of them a beat.

use std::borrow::Cow;
use std::ops::Range;
use std::sync::Arc;

use rustfft::num_complex::Complex32;
use rustfft::{Fft, FftPlanner};
use serde::{Deserialize, Serialize};
use wide::f32x4;

use crate::audio::{MAX_RATE_HZ, MIN_RATE_HZ};
use crate::error::{Error, Result};
use crate::timing::TempoMap;

/// Power below which the logarithm is cut off (−100 dB), librosa's `amin`.
const MIN_POWER: f32 = 1e-10;
/// Samples are clamped to ± this, so that no sum of squares overflows; real audio stays within ±2 or so.
const MAX_SAMPLE: f32 = 1e6;

/// Time from the onset that a chart names to the steepest rise of its sound: instruments need it to speak. Median over 36
/// annotated songs, all of hop and window lengths tried (docs/experiments.md).
const ATTACK_S: f64 = 0.004;
/// Most slots of one song: 10,900 beats at 12 a beat. Levels that play with the tempo would ask for any number.
const SLOTS_MAX: u64 = 1 << 17;
/// An onset is a row that no other within this time exceeds, and that stands out of the mean within [`AROUND_S`].
const ALONE_S: f64 = 0.03;
const AROUND_S: f64 = 0.1;
/// By how much, in means of the song.
const STANDS_OUT: f32 = 0.5;
/// A frame this far below the song's loudest band is silent, as is one that is hardly above digital silence.
const SILENT_DB: f32 = 60.0;
const NOTHING_DB: f32 = -90.0;

/// What the features are, as the JSON of Python's `AudioConfig`, which is the home of these numbers: none has a default here.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FeatureSpec {
    /// Sample rate of the input.
    pub sample_rate_hz: u32,
    /// Window and transform length in samples, even.
    pub n_fft: usize,
    /// Samples from one frame to the next.
    pub hop: usize,
    /// Mel bands (Slaney's scale and area norm).
    pub n_mels: usize,
    /// Lower edge of the lowest mel band.
    pub fmin_hz: f64,
    /// Upper edge of the highest mel band; half the sample rate if null.
    #[serde(deserialize_with = "Option::deserialize")] // so that it must be there
    pub fmax_hz: Option<f64>,
    /// Exponent of the spectrum before the mel sums: 2 for power, 1 for magnitude. Decibels are right for both.
    pub power: f32,
    /// Decibels below the song's loudest mel value at which the spectrogram is cut off; no floor but −100 dB if null.
    #[serde(deserialize_with = "Option::deserialize")]
    pub top_db: Option<f32>,
    /// Edges of the flux bands, rising: a mel band belongs to the flux band that its centre lies in.
    pub band_edges_hz: Vec<f64>,
    /// Slots that a beat is cut into.
    pub slots_per_beat: u32,
}

impl FeatureSpec {
    /// Reads and checks a specification.
    ///
    /// # Errors
    /// [`Error::Spec`] with the field for JSON that is not such an object, absent and unknown fields and impossible values.
    pub fn from_json(json: &[u8]) -> Result<Self> {
        if !json.trim_ascii_start().starts_with(b"{") {
            return Err(Error::Spec { field: ".".into(), problem: "expected a JSON object of settings".into() });
        }
        let mut reader = serde_json::Deserializer::from_slice(json);
        let spec: Self = serde_path_to_error::deserialize(&mut reader)
            .map_err(|error| Error::Spec { field: error.path().to_string(), problem: error.inner().to_string() })?;
        reader.end().map_err(|error| Error::Spec { field: ".".into(), problem: error.to_string() })?;
        spec.check()?;
        Ok(spec)
    }

    /// Upper edge of the highest mel band.
    pub fn top_hz(&self) -> f64 {
        self.fmax_hz.unwrap_or_else(|| f64::from(self.sample_rate_hz) / 2.0)
    }

    /// Number of frames of `samples` samples.
    pub fn frames(&self, samples: usize) -> usize {
        1 + samples / self.hop.max(1)
    }

    /// Rows by which the onset features are delayed against the frame in which the rise shows.
    pub fn onset_shift(&self) -> usize {
        self.n_fft / (2 * self.hop.max(1))
    }

    /// By how much the onset rows stand behind the onsets of the music: an onset at `s` seconds shows most in the row at
    /// `s + onset_lag_s()`.
    pub fn onset_lag_s(&self) -> f64 {
        // A rise between two frames is steepest when the sound is a quarter of the window before the middle of the two.
        let (hop, shift) = (self.hop as f64, self.onset_shift() as f64);
        (shift * hop + hop / 2.0 - self.n_fft as f64 / 4.0) / f64::from(self.sample_rate_hz) + ATTACK_S
    }

    /// Frames, or rows of the onset features, a second.
    pub fn frame_rate_hz(&self) -> f64 {
        f64::from(self.sample_rate_hz) / self.hop.max(1) as f64
    }

    /// Times of the boundaries between the slots of a song of `audio_s` seconds, one more than there are slots.
    ///
    /// Slot `k` is centred on beat `grid_offset_beats + k / slots_per_beat` of `clock` and reaches half way to its
    /// neighbours; the last one is the last whose centre the song reaches. A song that ends before slot 0 has none.
    ///
    /// # Errors
    /// [`Error::Audio`] when a tempo makes them too many.
    pub fn slot_edges_s(&self, clock: &TempoMap, grid_offset_beats: f64, audio_s: f64) -> Result<Vec<f64>> {
        let parts = f64::from(self.slots_per_beat);
        let last = ((clock.beats(audio_s) - grid_offset_beats) * parts).floor();
        if last.is_nan() || last >= SLOTS_MAX as f64 {
            let problem = format!("found {last} slots of the beat grid in {audio_s} s, expected below {SLOTS_MAX}");
            return Err(Error::Audio { path: "beat grid".into(), problem });
        }
        let slots = if last < 0.0 { 0 } else { last as u64 + 1 };
        Ok((0..=slots).map(|k| clock.seconds(grid_offset_beats + (k as f64 - 0.5) / parts)).collect())
    }

    fn check(&self) -> Result<()> {
        let fail = |field: &str, found: String, expected: String| {
            Err(Error::Spec { field: field.into(), problem: format!("found {found}, expected {expected}") })
        };
        if !(MIN_RATE_HZ..=MAX_RATE_HZ).contains(&self.sample_rate_hz) {
            return fail("sample_rate_hz", self.sample_rate_hz.to_string(), format!("{MIN_RATE_HZ} to {MAX_RATE_HZ}"));
        }
        if !(16..=65_536).contains(&self.n_fft) || !self.n_fft.is_multiple_of(2) {
            return fail("n_fft", self.n_fft.to_string(), "an even number from 16 to 65536".into());
        }
        if !(16..=self.n_fft).contains(&self.hop) {
            return fail("hop", self.hop.to_string(), format!("16 to n_fft ({})", self.n_fft));
        }
        if !(1..=512).contains(&self.n_mels) {
            return fail("n_mels", self.n_mels.to_string(), "1 to 512".into());
        }
        let nyquist_hz = f64::from(self.sample_rate_hz) / 2.0;
        let top_hz = self.top_hz();
        if !(top_hz > 0.0 && top_hz <= nyquist_hz) {
            return fail("fmax_hz", top_hz.to_string(), format!("more than 0 and at most {nyquist_hz}"));
        }
        if !(0.0..top_hz).contains(&self.fmin_hz) {
            return fail("fmin_hz", self.fmin_hz.to_string(), format!("0 to below fmax_hz ({top_hz})"));
        }
        if self.power != 1.0 && self.power != 2.0 {
            return fail("power", self.power.to_string(), "1 or 2".into());
        }
        if let Some(top_db) = self.top_db.filter(|&top_db| !(top_db > 0.0 && top_db <= 1_000.0)) {
            return fail("top_db", top_db.to_string(), "more than 0 and at most 1000, or null".into());
        }
        let edges = &self.band_edges_hz;
        if edges.len() == 1 || edges.len() > 65 || !edges.is_sorted_by(|a, b| a < b) {
            return fail("band_edges_hz", format!("{edges:?}"), "none, or 2 to 65 rising frequencies".into());
        }
        if !(1..=96).contains(&self.slots_per_beat) {
            return fail("slots_per_beat", self.slots_per_beat.to_string(), "1 to 96".into());
        }
        Ok(())
    }
}

/// Features of one song. All values are finite.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Features {
    /// Number of frames.
    pub frames: usize,
    /// Log-mel spectrogram in dB (re 1), `[frames, n_mels]`, row-major.
    pub mel: Vec<f32>,
    /// Onset strength, `[frames]`: mean over the mel bands of the rise in dB since the frame before.
    pub onset: Vec<f32>,
    /// The same mean over the mel bands of each flux band, `[frames, bands]`, row-major.
    pub bands: Vec<f32>,
}

/// Everything that depends on the specification alone: window, transform, filters. Made once, used for many songs, from
/// any number of threads.
#[derive(Clone)]
pub struct Extractor {
    spec: FeatureSpec,
    window: Vec<f32>,
    spectrum: Spectrum,
    filters: Vec<Filter>,
    bands: Vec<Range<usize>>,
}

/// One mel band: the first bin it hears and its weights from there on, filled up with zeros to whole blocks of lanes.
#[derive(Clone)]
struct Filter {
    first: usize,
    weights: Vec<f32>,
}

impl Extractor {
    /// Prepares extraction for a specification.
    ///
    /// # Errors
    /// [`Error::Spec`] for impossible values, and for a flux band that no mel band lies in.
    pub fn new(spec: FeatureSpec) -> Result<Self> {
        spec.check()?;
        let n_fft = spec.n_fft;
        let step = std::f64::consts::TAU / n_fft as f64;
        let window = (0..n_fft).map(|n| (0.5 - 0.5 * (step * n as f64).cos()) as f32).collect();
        let edges_hz = mel_edges_hz(&spec);
        let bin_hz = f64::from(spec.sample_rate_hz) / n_fft as f64;
        let filters = edges_hz.windows(3).map(|edges| mel_filter(edges, bin_hz, n_fft / 2 + 1)).collect();
        let bands = flux_bands(&spec, &edges_hz)?;
        Ok(Self { spectrum: Spectrum::new(n_fft), window, filters, bands, spec })
    }

    /// The specification this was made for.
    pub fn spec(&self) -> &FeatureSpec {
        &self.spec
    }

    /// Number of flux bands.
    pub fn bands(&self) -> usize {
        self.bands.len()
    }

    /// Features of mono `samples` at the specification's rate. Samples that are not finite count as 0.
    pub fn extract(&self, samples: &[f32]) -> Features {
        let samples = finite(samples);
        let mel = self.log_mel(&samples);
        let frames = self.spec.frames(samples.len());
        let (onset, bands) = self.rises(&mel, frames);
        Features { frames, mel, onset, bands }
    }

    /// Log-mel spectrogram with the onset strength as its last row, `[n_mels + 1, frames]`, row-major.
    pub fn compute_mel_with_onset(&self, samples: &[f32]) -> Vec<f32> {
        let features = self.extract(samples);
        let (frames, mels) = (features.frames, self.spec.n_mels);
        let mut rows = Vec::with_capacity((mels + 1) * frames);
        for band in 0..mels {
            rows.extend(features.mel.iter().skip(band).step_by(mels));
        }
        rows.extend_from_slice(&features.onset);
        rows
    }

    fn log_mel(&self, samples: &[f32]) -> Vec<f32> {
        let (n_fft, mels) = (self.spec.n_fft, self.spec.n_mels);
        let frames = self.spec.frames(samples.len());
        let mut mel = vec![0.0_f32; frames * mels];
        let mut workspace = self.spectrum.workspace();
        let mut edge = vec![0.0_f32; n_fft];
        // Longer than the spectrum, because the weights of the filters are filled up to whole blocks of lanes.
        let mut power = vec![0.0_f32; n_fft / 2 + 1 + LANES];
        let magnitude = self.spec.power == 1.0;
        // 10·log10 of a power, 20·log10 of a magnitude, both cut off at −100 dB.
        let (decibels, floor) = if magnitude { (20.0, MIN_POWER.sqrt()) } else { (10.0, MIN_POWER) };
        let scale = decibels * std::f32::consts::LOG10_E;
        let mut loudest = f32::NEG_INFINITY;

        for (frame, row) in mel.chunks_exact_mut(mels).enumerate() {
            let heard = frame_at(samples, frame * self.spec.hop, &mut edge);
            self.spectrum.power(heard, &self.window, &mut workspace, &mut power);
            if magnitude {
                for power in &mut power {
                    *power = power.sqrt();
                }
            }
            for (value, filter) in row.iter_mut().zip(&self.filters) {
                *value = dot(&filter.weights, power.get(filter.first..).unwrap_or_default());
            }
            for value in row.iter_mut() {
                *value = scale * ln(value.max(floor));
            }
            loudest = row.iter().fold(loudest, |loudest, &value| loudest.max(value));
        }
        if let Some(top_db) = self.spec.top_db {
            let floor = loudest - top_db;
            for value in &mut mel {
                *value = value.max(floor);
            }
        }
        mel
    }

    /// Onset strength and band fluxes: mean rises, shifted as librosa shifts them.
    fn rises(&self, mel: &[f32], frames: usize) -> (Vec<f32>, Vec<f32>) {
        let (mels, shift, n_bands) = (self.spec.n_mels, self.spec.onset_shift(), self.bands.len());
        let mut onset = vec![0.0_f32; frames];
        let mut bands = vec![0.0_f32; frames * n_bands];
        let mut rise = vec![0.0_f32; mels];
        let pairs = mel.chunks_exact(mels).zip(mel.chunks_exact(mels).skip(1));
        for (row, (before, now)) in (shift + 1..frames).zip(pairs) {
            for ((rise, before), now) in rise.iter_mut().zip(before).zip(now) {
                *rise = (now - before).max(0.0);
            }
            onset[row] = mean(&rise);
            for (value, band) in bands[row * n_bands..].iter_mut().zip(&self.bands) {
                *value = mean(rise.get(band.clone()).unwrap_or_default());
            }
        }
        (onset, bands)
    }
}

/// `features` on a beat grid: slot k is their mean from `edges_s[k]` to `edges_s[k + 1]`, as [`FeatureSpec::slot_edges_s`] makes them.
///
/// The mean is that of the straight lines through the rows, so slots narrower than a frame are interpolated and wider ones
/// lose nothing; before the first row and behind the last one they are continued. The lag of the onset rows is taken off.
/// The rise is averaged, not its highest value taken: where a slot is about as long as a frame, the highest value of a slot
/// is often that of its neighbour's onset (docs/experiments.md).
pub fn to_slots(features: &Features, spec: &FeatureSpec, edges_s: &[f64]) -> Features {
    let rate_hz = spec.frame_rate_hz();
    let means = |rows: &[f32], width: usize, lag_s: f64| {
        let mut out = vec![0.0; edges_s.len().saturating_sub(1) * width];
        if width > 0 && rows.len() >= width {
            for (slot, edges) in out.chunks_exact_mut(width).zip(edges_s.windows(2)) {
                mean_between(rows, (edges[0] + lag_s) * rate_hz, (edges[1] + lag_s) * rate_hz, slot);
            }
        }
        out
    };
    let lag_s = spec.onset_lag_s();
    let n_bands = spec.band_edges_hz.len().saturating_sub(1);
    Features {
        frames: edges_s.len().saturating_sub(1),
        mel: means(&features.mel, spec.n_mels, 0.0),
        onset: means(&features.onset, 1, lag_s),
        bands: means(&features.bands, n_bands, lag_s),
    }
}

/// Narrower spans, in rows, count as this wide: below it the area under a line is lost in rounding.
const SPAN_MIN: f64 = 1e-6;

/// Mean of the lines through `rows`, one at each whole number, from `begin` to `end`; `out` has the width of a row.
fn mean_between(rows: &[f32], begin: f64, end: f64, out: &mut [f32]) {
    let width = out.len();
    let last = rows.len() / width - 1;
    let (low, high) = (-1.0, last as f64 + 1.0);
    let end = end.max(begin + SPAN_MIN);
    let mut add = |row: usize, area: f64| {
        let weight = (area / (end - begin)) as f32;
        for (out, value) in out.iter_mut().zip(&rows[row * width..]) {
            *out += weight * value;
        }
    };
    // Each row weighs as much as its triangle, which falls to 0 at its neighbours, has area between the ends.
    let area = |x: f64| if x < 0.0 { 0.5 * (x + 1.0).powi(2) } else { 1.0 - 0.5 * (1.0 - x).powi(2) };
    let below = |x: f64, row: f64| area((x - row).clamp(-1.0, 1.0));
    let (from, to) = (begin.clamp(low, high), end.clamp(low, high));
    add(0, (end.min(low) - begin).max(0.0));
    add(last, (end - begin.max(high)).max(0.0));
    let mut row = from.floor();
    while row < to + 1.0 {
        let weight = below(to, row) - below(from, row);
        if weight > 0.0 {
            add(row.clamp(0.0, last as f64) as usize, weight);
        }
        row += 1.0;
    }
}

/// Times in seconds of the onsets that the rows of onset strength show, their lag taken off, rising.
///
/// Each is a row that no other within 30 ms exceeds and that stands out of its surroundings, its place refined by a parabola.
pub fn onset_times_s(onset: &[f32], spec: &FeatureSpec) -> Vec<f64> {
    let rate_hz = spec.frame_rate_hz();
    let alone = ((ALONE_S * rate_hz).round() as usize).max(1);
    let around = ((AROUND_S * rate_hz).round() as usize).max(1);
    let least = STANDS_OUT * mean(onset);
    let near = |row: usize, reach: usize| &onset[row.saturating_sub(reach)..(row + reach + 1).min(onset.len())];
    let mut times_s = Vec::new();
    for (row, &value) in onset.iter().enumerate() {
        let earlier = &onset[row.saturating_sub(alone)..row];
        // Of equal neighbours the first counts.
        let peak = earlier.iter().all(|&v| v < value) && near(row, alone).iter().all(|&v| v <= value);
        if value > 0.0 && peak && value >= mean(near(row, around)) + least {
            let sides = (row.checked_sub(1).and_then(|r| onset.get(r)), onset.get(row + 1));
            let shift = if let (Some(&left), Some(&right)) = sides {
                let bend = f64::from(left - 2.0 * value + right);
                if bend < 0.0 { 0.5 * f64::from(left - right) / bend } else { 0.0 }
            } else {
                0.0
            };
            times_s.push((row as f64 + shift) / rate_hz - spec.onset_lag_s());
        }
    }
    times_s
}

/// Share of frames, 0 to 1, in which nothing is heard: 60 dB below the loudest band of the song, or nothing at all.
pub fn silent_share(mel: &[f32], n_mels: usize) -> f64 {
    let floor = (mel.iter().copied().fold(f32::NEG_INFINITY, f32::max) - SILENT_DB).max(NOTHING_DB);
    let frames = mel.chunks_exact(n_mels.max(1));
    let count = frames.len().max(1);
    frames.filter(|frame| frame.iter().all(|&value| value <= floor)).count() as f64 / count as f64
}

/// The samples of the window centred on sample `centre`; where it reaches beyond an end of the song, copied into `edge`
/// with silence around them.
fn frame_at<'a>(samples: &'a [f32], centre: usize, edge: &'a mut [f32]) -> &'a [f32] {
    let half = edge.len() / 2;
    let before = half.saturating_sub(centre);
    let start = centre.saturating_sub(half);
    let heard = samples.get(start..(centre + half).min(samples.len())).unwrap_or_default();
    if heard.len() == edge.len() {
        return heard;
    }
    edge.fill(0.0);
    edge[before..before + heard.len()].copy_from_slice(heard);
    edge
}

/// Power spectra of real frames: one complex transform of half the length, whose bins are parted and squared in one pass
/// of vector code, in two thirds of the time of a real transform from a library and a pass that squares.
#[derive(Clone)]
struct Spectrum {
    half: Arc<dyn Fft<f32>>,
    /// Half the cosine and half the sine of the bins from 1 to below a quarter of the frame's length.
    cos: Vec<f32>,
    sin: Vec<f32>,
}

/// What [`Spectrum::power`] works in.
struct Workspace {
    frame: Vec<Complex32>,
    bins: Vec<Complex32>,
    scratch: Vec<Complex32>,
}

impl Spectrum {
    /// For frames of `n_fft` samples, an even number.
    fn new(n_fft: usize) -> Self {
        let half = n_fft / 2;
        let turns = (1..half.div_ceil(2)).map(|bin| std::f64::consts::TAU * bin as f64 / n_fft as f64);
        Self {
            half: FftPlanner::new().plan_fft_forward(half),
            cos: turns.clone().map(|turn| (0.5 * turn.cos()) as f32).collect(),
            sin: turns.map(|turn| (0.5 * turn.sin()) as f32).collect(),
        }
    }

    fn workspace(&self) -> Workspace {
        let zeros = |length: usize| vec![Complex32::default(); length];
        let half = self.half.len();
        Workspace { frame: zeros(half), bins: zeros(half), scratch: zeros(self.half.get_outofplace_scratch_len()) }
    }

    /// Fills the first `n_fft / 2 + 1` of `power` with the squared magnitudes of the bins of `frame` under `window`.
    fn power(&self, frame: &[f32], window: &[f32], work: &mut Workspace, power: &mut [f32]) {
        // Even samples are the real parts, odd ones the imaginary.
        let pairs = frame.as_chunks::<2>().0.iter().zip(window.as_chunks::<2>().0);
        for (value, (sample, weight)) in work.frame.iter_mut().zip(pairs) {
            *value = Complex32::new(sample[0] * weight[0], sample[1] * weight[1]);
        }
        self.half.process_outofplace_with_scratch(&mut work.frame, &mut work.bins, &mut work.scratch);

        let (bins, half) = (&work.bins[..], self.half.len());
        power[0] = (bins[0].re + bins[0].im).powi(2);
        power[half] = (bins[0].re - bins[0].im).powi(2);
        if half.is_multiple_of(2) {
            power[half / 2] = bins[half / 2].norm_sqr();
        }
        // Bins `k` and `half - k` come of the same two, so the loop runs from both ends to the middle.
        let count = self.cos.len();
        let (low, high) = power[1..half].split_at_mut(half - 1 - count);
        let (low_blocks, low_rest) = low[..count].as_chunks_mut();
        let (high_rest, high_blocks) = high.as_rchunks_mut();
        let (front_blocks, front_rest) = bins[1..=count].as_chunks();
        let (back_rest, back_blocks) = bins[half - count..].as_rchunks();
        let (cos_blocks, cos_rest) = self.cos.as_chunks();
        let (sin_blocks, sin_rest) = self.sin.as_chunks();
        let out = low_blocks.iter_mut().zip(high_blocks.iter_mut().rev());
        let bins = front_blocks.iter().zip(back_blocks.iter().rev());
        for (((low, high), (front, back)), (cos, sin)) in out.zip(bins).zip(cos_blocks.iter().zip(sin_blocks)) {
            (*low, *high) = mirrored_powers(front, back, cos, sin);
        }
        // What does not fill a block, in a block that zeros fill up.
        let rest = low_rest.len();
        let (mut front, mut back) = ([Complex32::default(); 4], [Complex32::default(); 4]);
        let (mut cos, mut sin) = ([0.0; 4], [0.0; 4]);
        front[..rest].copy_from_slice(front_rest);
        back[4 - rest..].copy_from_slice(back_rest);
        cos[..rest].copy_from_slice(cos_rest);
        sin[..rest].copy_from_slice(sin_rest);
        let (low, high) = mirrored_powers(&front, &back, &cos, &sin);
        low_rest.copy_from_slice(&low[..rest]);
        high_rest.copy_from_slice(&high[4 - rest..]);
    }
}

/// Powers of four bins of a real transform, and of the four that lie as far from its end, in the order of the bins.
///
/// `front` and `back` are the same bins of the complex transform of its even and odd samples, `cos` and `sin` half those of
/// the first four. Each bin is found before it is squared: the difference of two powers would lose a soft one beside a
/// loud one. In explicit lanes, because the compiler finds none in a loop that runs both ways.
fn mirrored_powers(
    front: &[Complex32; 4],
    back: &[Complex32; 4],
    cos: &[f32; 4],
    sin: &[f32; 4],
) -> ([f32; 4], [f32; 4]) {
    let (cos, sin) = (f32x4::new(*cos), f32x4::new(*sin));
    let (front_re, front_im) = (f32x4::new(front.map(|bin| bin.re)), f32x4::new(front.map(|bin| bin.im)));
    let [a, b, c, d] = *back;
    let (back_re, back_im) = (f32x4::new([d.re, c.re, b.re, a.re]), f32x4::new([d.im, c.im, b.im, a.im]));
    let (even_re, even_im) = (0.5 * (front_re + back_re), 0.5 * (front_im - back_im));
    let (odd_re, odd_im) = (front_im + back_im, back_re - front_re);
    let (turned_re, turned_im) = (cos * odd_re + sin * odd_im, cos * odd_im - sin * odd_re);
    let (sum_re, sum_im) = (even_re + turned_re, even_im + turned_im);
    let (rest_re, rest_im) = (even_re - turned_re, even_im - turned_im);
    let [a, b, c, d] = (rest_re * rest_re + rest_im * rest_im).to_array();
    ((sum_re * sum_re + sum_im * sum_im).to_array(), [d, c, b, a])
}

/// Sums run in this many lanes, so that the compiler can make vector code of them.
const LANES: usize = 8;

fn mean(values: &[f32]) -> f32 {
    let blocks = values.chunks_exact(LANES);
    let rest: f32 = blocks.remainder().iter().sum();
    let mut lanes = [0.0_f32; LANES];
    for block in blocks {
        for (lane, value) in lanes.iter_mut().zip(block) {
            *lane += value;
        }
    }
    (lanes.iter().sum::<f32>() + rest) / values.len().max(1) as f32
}

/// Sum of products over whole blocks of lanes; both slices are made to hold them.
fn dot(a: &[f32], b: &[f32]) -> f32 {
    let mut lanes = [0.0_f32; LANES];
    for (a, b) in a.chunks_exact(LANES).zip(b.chunks_exact(LANES)) {
        for ((lane, a), b) in lanes.iter_mut().zip(a).zip(b) {
            *lane += a * b;
        }
    }
    lanes.iter().sum()
}

/// Natural logarithm of a normal positive number, to 2e-7 of 1 or of itself: a fifth of the time of the library's,
/// because the loop around it is vector code.
fn ln(x: f32) -> f32 {
    // x = m · 2^e with m within √½ … √2, and ln m = 2 artanh((m − 1) / (m + 1)), whose series converges fast there.
    const SQRT_HALF: u32 = 0x3f35_04f3;
    let bits = x.to_bits().wrapping_sub(SQRT_HALF);
    let exponent = (bits.cast_signed() >> 23) as f32;
    let m = f32::from_bits((bits & 0x007f_ffff) + SQRT_HALF);
    let t = (m - 1.0) / (m + 1.0);
    let t2 = t * t;
    let series = 2.0 + t2 * (2.0 / 3.0 + t2 * (2.0 / 5.0 + t2 * (2.0 / 7.0 + t2 * (2.0 / 9.0))));
    exponent * std::f32::consts::LN_2 + t * series
}

/// `samples` with what is not finite as 0 and what is absurdly loud clamped; copied only if there is any of it.
fn finite(samples: &[f32]) -> Cow<'_, [f32]> {
    // Without a short cut, so that it is vector code.
    if samples.iter().fold(true, |fine, sample| fine & (sample.abs() <= MAX_SAMPLE)) {
        return Cow::Borrowed(samples);
    }
    let clean = |&sample: &f32| if sample.is_finite() { sample.clamp(-MAX_SAMPLE, MAX_SAMPLE) } else { 0.0 };
    Cow::Owned(samples.iter().map(clean).collect())
}

/// Slaney's mel scale: linear to 1 kHz, logarithmic above.
const MEL_LINEAR_HZ: f64 = 200.0 / 3.0;
const MEL_BREAK_HZ: f64 = 1_000.0;
const MEL_BREAK: f64 = MEL_BREAK_HZ / MEL_LINEAR_HZ;

fn mel_log_step() -> f64 {
    6.4_f64.ln() / 27.0
}

fn hz_to_mel(hz: f64) -> f64 {
    if hz < MEL_BREAK_HZ { hz / MEL_LINEAR_HZ } else { MEL_BREAK + (hz / MEL_BREAK_HZ).ln() / mel_log_step() }
}

fn mel_to_hz(mel: f64) -> f64 {
    if mel < MEL_BREAK { mel * MEL_LINEAR_HZ } else { MEL_BREAK_HZ * (mel_log_step() * (mel - MEL_BREAK)).exp() }
}

/// Edges of the mel bands, `n_mels + 2` of them: band `m` rises from edge `m` to its centre `m + 1` and falls to `m + 2`.
fn mel_edges_hz(spec: &FeatureSpec) -> Vec<f64> {
    let (low, high) = (hz_to_mel(spec.fmin_hz), hz_to_mel(spec.top_hz()));
    let steps = spec.n_mels + 1;
    (0..=steps).map(|step| mel_to_hz(low + (high - low) * step as f64 / steps as f64)).collect()
}

fn mel_filter(edges_hz: &[f64], bin_hz: f64, bins: usize) -> Filter {
    let &[low, centre, high] = edges_hz else { return Filter { first: 0, weights: Vec::new() } };
    let norm = 2.0 / (high - low);
    let weight = |bin: usize| {
        let hz = bin as f64 * bin_hz;
        ((hz - low) / (centre - low)).min((high - hz) / (high - centre)).max(0.0) * norm
    };
    let first = (0..bins).find(|&bin| weight(bin) > 0.0).unwrap_or(0);
    let heard = (first..bins).map(weight).take_while(|&weight| weight > 0.0);
    let mut weights: Vec<f32> = heard.map(|weight| weight as f32).collect();
    weights.resize(weights.len().next_multiple_of(LANES), 0.0);
    Filter { first, weights }
}

fn flux_bands(spec: &FeatureSpec, edges_hz: &[f64]) -> Result<Vec<Range<usize>>> {
    let centres_hz = edges_hz.get(1..=spec.n_mels).unwrap_or_default();
    let bands = spec.band_edges_hz.windows(2).map(|edges| {
        let first = centres_hz.partition_point(|&centre| centre < edges[0]);
        let end = centres_hz.partition_point(|&centre| centre < edges[1]);
        if first < end {
            return Ok(first..end);
        }
        let problem =
            format!("no mel band has its centre from {} to {} Hz, widen it or raise n_mels", edges[0], edges[1]);
        Err(Error::Spec { field: "band_edges_hz".into(), problem })
    });
    bands.collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn spec() -> FeatureSpec {
        FeatureSpec {
            sample_rate_hz: 22_050,
            n_fft: 256,
            hop: 64,
            n_mels: 24,
            fmin_hz: 0.0,
            fmax_hz: None,
            power: 2.0,
            top_db: Some(80.0),
            band_edges_hz: vec![0.0, 2_000.0, 11_025.0],
            slots_per_beat: 12,
        }
    }

    fn extractor(change: impl FnOnce(&mut FeatureSpec)) -> Extractor {
        let mut spec = spec();
        change(&mut spec);
        Extractor::new(spec).unwrap()
    }

    fn sound() -> impl Strategy<Value = Vec<f32>> {
        prop::collection::vec(-1.0_f32..1.0, 0..3_000)
    }

    #[test]
    fn a_spec_comes_back_and_every_field_must_be_there() {
        let json = serde_json::to_value(spec()).unwrap();
        let read = |json: &serde_json::Value| FeatureSpec::from_json(json.to_string().as_bytes());
        assert_eq!(read(&json).unwrap(), spec());
        for name in json.as_object().unwrap().keys() {
            let mut less = json.clone();
            less.as_object_mut().unwrap().remove(name);
            assert!(matches!(read(&less), Err(Error::Spec { problem, .. }) if problem.contains(name)), "{name}");
        }
        let plan_a = FeatureSpec { n_fft: 2_048, hop: 512, ..spec() };
        assert_eq!(plan_a.onset_shift(), 2);
        assert!((plan_a.onset_lag_s() - 0.0388).abs() < 1e-4);
    }

    #[test]
    fn slots_reach_from_the_first_beat_of_the_grid_to_the_end_of_the_song() {
        let spec = spec();
        let clock = TempoMap::from_events(120.0, [(2.0, 60.0)], 0.0).unwrap();
        let edges_s = spec.slot_edges_s(&clock, 0.25, 2.0).unwrap();
        // 2 s are beat 3, that is 2.75 beats behind the first slot.
        assert_eq!(edges_s.len(), 33 + 2);
        assert!((edges_s[0] - (0.25 - 0.5 / 12.0) / 2.0).abs() < 1e-12);
        assert!((edges_s[34] - (2.0 + 0.5 / 12.0)).abs() < 1e-12);
        assert_eq!(spec.slot_edges_s(&clock, 0.25, 0.1).unwrap().len(), 1);
        assert_eq!(to_slots(&Features::default(), &spec, &[0.0]).frames, 0);
        let mad = TempoMap::constant(1e6, 0.0).unwrap();
        assert!(matches!(spec.slot_edges_s(&mad, 0.0, 100.0), Err(Error::Audio { .. })));
        assert!(spec.slot_edges_s(&clock, 0.0, f64::NAN).is_err());
    }

    #[test]
    fn clicks_are_found_where_they_are() {
        let spec = FeatureSpec { n_fft: 2_048, hop: 512, n_mels: 40, ..spec() };
        let extractor = Extractor::new(spec).unwrap();
        let spec = extractor.spec();
        let mut state = 1_u32;
        let mut noise = || {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            f32::from_bits(state >> 9 | 0x3f80_0000) * 2.0 - 3.0
        };
        let mut samples: Vec<f32> = (0..22_050 * 10).map(|_| 0.01 * noise()).collect();
        let clicks_s: Vec<f64> = (1..18).map(|k| f64::from(k) * 0.517).collect();
        for &at in &clicks_s {
            for (i, sample) in samples[(at * 22_050.0) as usize..].iter_mut().take(1_500).enumerate() {
                *sample += 0.5 * (-(i as f32) / 300.0).exp() * noise();
            }
        }
        let found_s = onset_times_s(&extractor.extract(&samples).onset, spec);
        let matched = crate::timing::align(&clicks_s, &found_s, 0.02);
        assert!(matched.iter().all(Option::is_some), "{found_s:?}");
        assert!(onset_times_s(&[0.0; 50], spec).is_empty());
        assert!(onset_times_s(&[], spec).is_empty());
        assert_eq!(onset_times_s(&[0.0, 0.0, 0.0, 5.0, 5.0, 0.0, 0.0, 0.0], spec).len(), 1);
    }

    #[test]
    fn silence_is_what_lies_far_below_the_song() {
        assert_eq!(silent_share(&[-100.0, -100.0, -99.0, -100.0], 2), 1.0);
        assert_eq!(silent_share(&[-70.0, -70.0, 0.0, -80.0, -59.0, -70.0, -61.0, -80.0], 2), 0.5);
        assert_eq!(silent_share(&[], 2), 0.0);
    }

    #[test]
    fn ln_is_the_logarithm() {
        let mut x = 1e-10_f32;
        while x < 1e20 {
            let truth = f64::from(x).ln();
            assert!((f64::from(ln(x)) - truth).abs() <= 2e-7 * truth.abs().max(1.0), "{x}");
            x *= 1.0007;
        }
    }

    #[test]
    fn a_mel_filter_has_unit_area_whatever_its_width() {
        // Slaney's norm: the triangle's height is 2 / width, so that its area in Hz is 1.
        let spec = FeatureSpec { n_fft: 65_536, n_mels: 80, ..spec() };
        let bin_hz = f64::from(spec.sample_rate_hz) / spec.n_fft as f64;
        for edges in mel_edges_hz(&spec).windows(3) {
            let filter = mel_filter(edges, bin_hz, spec.n_fft / 2 + 1);
            let area: f64 = filter.weights.iter().map(|&weight| f64::from(weight)).sum::<f64>() * bin_hz;
            assert!((area - 1.0).abs() < 1e-3, "{edges:?} {area}");
        }
    }

    proptest! {
        #[test]
        fn one_frame_for_each_hop_and_one_more(samples in sound(), hop in 16_usize..256) {
            let extractor = extractor(|spec| spec.hop = hop);
            let features = extractor.extract(&samples);
            prop_assert_eq!(features.frames, 1 + samples.len() / hop);
            prop_assert_eq!(features.mel.len(), features.frames * 24);
            prop_assert_eq!(features.onset.len(), features.frames);
            prop_assert_eq!(features.bands.len(), features.frames * 2);
        }

        /// Oracle: the sum that defines a bin, in double precision.
        #[test]
        fn powers_are_those_of_the_transform_by_definition(half in 8_usize..80, samples in prop::collection::vec(-1.0_f32..1.0, 160)) {
            let (frame, window) = (&samples[..2 * half], vec![0.5_f32; 2 * half]);
            let spectrum = Spectrum::new(2 * half);
            let mut power = vec![0.0; half + 1];
            spectrum.power(frame, &window, &mut spectrum.workspace(), &mut power);
            for (bin, &found) in power.iter().enumerate() {
                let turn = std::f64::consts::TAU * bin as f64 / (2 * half) as f64;
                let part = |wave: fn(f64) -> f64| {
                    frame.iter().enumerate().map(|(n, &x)| 0.5 * f64::from(x) * wave(turn * n as f64)).sum::<f64>()
                };
                let truth = part(f64::cos).powi(2) + part(f64::sin).powi(2);
                prop_assert!((f64::from(found) - truth).abs() < 1e-5 * (1.0 + truth), "{bin} of {half}: {found} {truth}");
            }
        }

        #[test]
        fn later_by_whole_hops_is_later_by_whole_frames(samples in sound(), hops in 0_usize..9) {
            let extractor = extractor(|spec| spec.top_db = None);
            let mut later = vec![0.0; hops * 64];
            later.extend_from_slice(&samples);
            let (now, then) = (extractor.extract(&samples), extractor.extract(&later));
            prop_assert_eq!(then.frames, now.frames + hops);
            prop_assert_eq!(&then.mel[hops * 24..], &now.mel[..]);
            // The first row of the onset has no frame before it unless there is silence.
            let first = hops + extractor.spec().onset_shift() + 1;
            let tail = |rows: &[f32], from: usize| rows.get(from..).unwrap_or_default().to_vec();
            prop_assert_eq!(tail(&then.onset, first), tail(&now.onset, first - hops));
            prop_assert_eq!(tail(&then.bands, first * 2), tail(&now.bands, (first - hops) * 2));
        }

        #[test]
        fn gain_changes_the_level_and_nothing_else(samples in sound(), gain in 0.1_f32..10.0) {
            let extractor = extractor(|spec| spec.top_db = Some(60.0));
            let louder: Vec<f32> = samples.iter().map(|sample| sample * gain).collect();
            let (soft, loud) = (extractor.extract(&samples), extractor.extract(&louder));
            let level = 20.0 * gain.log10();
            // A band without a bin inside stays at the floor of −100 dB.
            for (soft, loud) in soft.mel.iter().zip(&loud.mel).filter(|(soft, _)| **soft > -80.0) {
                prop_assert!((loud - soft - level).abs() < 0.01, "{soft} {loud} {level}");
            }
        }

        #[test]
        fn onset_is_the_mean_rise_of_the_mel_rows(samples in sound()) {
            let extractor = extractor(|_| {});
            let features = extractor.extract(&samples);
            let shift = extractor.spec().onset_shift();
            for (row, &onset) in features.onset.iter().enumerate() {
                let rise = row.checked_sub(shift).filter(|&now| now > 0).map_or(0.0, |now| {
                    let frame = |at: usize| &features.mel[at * 24..(at + 1) * 24];
                    frame(now).iter().zip(frame(now - 1)).map(|(now, before)| f64::from((now - before).max(0.0))).sum()
                });
                prop_assert!((f64::from(onset) - rise / 24.0).abs() < 1e-4);
            }
        }

        /// Oracle: a thousand points of each slot, on the lines through the rows.
        #[test]
        fn a_slot_is_the_mean_of_the_song_between_its_edges(
            frames in prop::collection::vec((-9.0_f32..9.0, -9.0_f32..9.0), 1..30), begin in -6.0_f64..30.0,
            spans in prop::collection::vec(0.01_f64..4.0, 0..5),
        ) {
            let spec = FeatureSpec { n_mels: 2, ..spec() };
            let onset: Vec<f32> = frames.iter().map(|f| f.0).collect();
            let pairs: Vec<f32> = frames.iter().flat_map(|f| [f.0, f.1]).collect();
            let song = Features { frames: frames.len(), mel: pairs.clone(), onset, bands: pairs };
            let mut rows = vec![begin];
            rows.extend(spans.iter().scan(begin, |row, span| { *row += span; Some(*row) }));
            let edges_s: Vec<f64> = rows.iter().map(|row| row / spec.frame_rate_hz()).collect();
            let slots = to_slots(&song, &spec, &edges_s);
            prop_assert_eq!((slots.frames, slots.mel.len()), (spans.len(), 2 * spans.len()));
            let at = |row: f64, right: bool| {
                let row = row.clamp(0.0, (frames.len() - 1) as f64);
                let value = |i: f64| { let f = frames[i as usize]; f64::from(if right { f.1 } else { f.0 }) };
                value(row.floor()) + (value(row.ceil()) - value(row.floor())) * (row - row.floor())
            };
            for (slot, edges) in rows.windows(2).enumerate() {
                let mean = |lag: f64, right: bool| {
                    (0..1_000).map(|i| edges[0] + (edges[1] - edges[0]) * (f64::from(i) + 0.5) / 1_000.0)
                        .map(|row| at(row + lag, right)).sum::<f64>() / 1_000.0
                };
                let lag = spec.onset_lag_s() * spec.frame_rate_hz();
                for (found, expected) in [
                    (slots.mel[slot * 2], mean(0.0, false)), (slots.mel[slot * 2 + 1], mean(0.0, true)),
                    (slots.onset[slot], mean(lag, false)), (slots.bands[slot * 2 + 1], mean(lag, true)),
                ] {
                    prop_assert!((f64::from(found) - expected).abs() < 1e-3, "{found} {expected}");
                }
            }
        }

        #[test]
        fn whatever_the_samples_the_features_are_finite(bits in prop::collection::vec(any::<u32>(), 0..1_500)) {
            let samples: Vec<f32> = bits.into_iter().map(f32::from_bits).collect();
            let features = extractor(|_| {}).extract(&samples);
            let all = features.mel.iter().chain(&features.onset).chain(&features.bands);
            prop_assert!(all.into_iter().all(|value| value.is_finite()));
        }

        #[test]
        fn any_spec_is_refused_or_works(
            sample_rate_hz in any::<u32>(), n_fft in 0_usize..5_000, hop in 0_usize..5_000, n_mels in 0_usize..600,
            fmin_hz in any::<f64>(), fmax_hz in any::<Option<f64>>(), power in any::<f32>(), top_db in any::<Option<f32>>(),
            band_edges_hz in prop::collection::vec(any::<f64>(), 0..4), slots_per_beat in 0_u32..100,
        ) {
            let spec = FeatureSpec {
                sample_rate_hz, n_fft, hop, n_mels, fmin_hz, fmax_hz, power, top_db, band_edges_hz, slots_per_beat,
            };
            if let Ok(extractor) = Extractor::new(spec) {
                prop_assert!(extractor.extract(&[0.5; 100]).mel.iter().all(|value| value.is_finite()));
            }
        }
    }
}
