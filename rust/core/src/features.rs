//! Frames of a song: log-mel spectrogram, onset strength and band fluxes, equal to librosa's by definition.
//!
//! Frame `t` is the window centred on sample `t · hop`; beyond both ends of the song lies silence, so `n` samples give
//! `1 + n / hop` frames. The onset rows carry librosa's shift as well: the rise from frame `t − 1` to frame `t` stands
//! at row `t + n_fft / (2 · hop)`, because a sound begins to show in a window half its length before the centre.

use std::borrow::Cow;
use std::ops::Range;
use std::sync::Arc;

use realfft::num_complex::Complex32;
use realfft::{RealFftPlanner, RealToComplex};
use serde::{Deserialize, Serialize};

use crate::audio::{MAX_RATE_HZ, MIN_RATE_HZ};
use crate::error::{Error, Result};

/// Power below which the logarithm is cut off (−100 dB), librosa's `amin`.
const MIN_POWER: f32 = 1e-10;
/// Samples are clamped to ± this, so that no sum of squares overflows; real audio stays within ±2 or so.
const MAX_SAMPLE: f32 = 1e6;

/// What the features are. Given as JSON from Python; the defaults are plan A's numbers.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
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
    /// Upper edge of the highest mel band; half the sample rate if absent.
    pub fmax_hz: Option<f64>,
    /// Exponent of the spectrum before the mel sums: 2 for power, 1 for magnitude. Decibels are right for both.
    pub power: f32,
    /// Decibels below the song's loudest mel value at which the spectrogram is cut off; no floor but −100 dB if absent.
    pub top_db: Option<f32>,
    /// Edges of the flux bands, rising: a mel band belongs to the flux band that its centre lies in.
    pub band_edges_hz: Vec<f64>,
}

impl Default for FeatureSpec {
    fn default() -> Self {
        Self {
            sample_rate_hz: 22_050,
            n_fft: 2_048,
            hop: 512,
            n_mels: 80,
            fmin_hz: 0.0,
            fmax_hz: None,
            power: 2.0,
            top_db: Some(80.0),
            band_edges_hz: vec![0.0, 200.0, 800.0, 3_200.0, 11_025.0],
        }
    }
}

impl FeatureSpec {
    /// Reads and checks a specification; absent fields have their defaults.
    ///
    /// # Errors
    /// [`Error::Spec`] with the field for JSON that is not such an object, unknown fields and impossible values.
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
    fft: Arc<dyn RealToComplex<f32>>,
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
        Ok(Self { fft: RealFftPlanner::<f32>::new().plan_fft_forward(n_fft), window, filters, bands, spec })
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
        let mut input = vec![0.0_f32; n_fft];
        let mut spectrum = vec![Complex32::default(); n_fft / 2 + 1];
        let mut scratch = self.fft.make_scratch_vec();
        // Longer than the spectrum, because the weights of the filters are filled up to whole blocks of lanes.
        let mut power = vec![0.0_f32; n_fft / 2 + 1 + LANES];
        let magnitude = self.spec.power == 1.0;
        // 10·log10 of a power, 20·log10 of a magnitude, both cut off at −100 dB.
        let (decibels, floor) = if magnitude { (20.0, MIN_POWER.sqrt()) } else { (10.0, MIN_POWER) };
        let scale = decibels * std::f32::consts::LOG10_E;
        let mut loudest = f32::NEG_INFINITY;

        for (frame, row) in mel.chunks_exact_mut(mels).enumerate() {
            self.window_frame(samples, frame * self.spec.hop, &mut input);
            if self.fft.process_with_scratch(&mut input, &mut spectrum, &mut scratch).is_err() {
                // Only wrong buffer lengths can fail, and these are made from the plan itself.
                debug_assert!(false, "buffers fit the transform");
                continue;
            }
            for (power, bin) in power.iter_mut().zip(&spectrum) {
                *power = bin.norm_sqr();
            }
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

    /// The window centred on sample `centre`, with silence beyond both ends.
    fn window_frame(&self, samples: &[f32], centre: usize, frame: &mut [f32]) {
        let half = self.spec.n_fft / 2;
        let before = half.saturating_sub(centre);
        let start = centre.saturating_sub(half);
        let heard = samples.get(start..(centre + half).min(samples.len())).unwrap_or_default();
        let end = before + heard.len();
        frame[..before].fill(0.0);
        frame[end..].fill(0.0);
        for ((out, sample), weight) in frame[before..end].iter_mut().zip(heard).zip(&self.window[before..end]) {
            *out = sample * weight;
        }
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

    fn extractor(change: impl FnOnce(&mut FeatureSpec)) -> Extractor {
        let mut spec = FeatureSpec {
            n_fft: 256,
            hop: 64,
            n_mels: 24,
            band_edges_hz: vec![0.0, 2_000.0, 11_025.0],
            ..FeatureSpec::default()
        };
        change(&mut spec);
        Extractor::new(spec).unwrap()
    }

    fn sound() -> impl Strategy<Value = Vec<f32>> {
        prop::collection::vec(-1.0_f32..1.0, 0..3_000)
    }

    #[test]
    fn defaults_are_plan_a_and_round_trip_through_json() {
        let spec = FeatureSpec::from_json(b"{}").unwrap();
        assert_eq!((spec.sample_rate_hz, spec.n_fft, spec.hop, spec.n_mels), (22_050, 2_048, 512, 80));
        assert_eq!(FeatureSpec::from_json(&serde_json::to_vec(&spec).unwrap()).unwrap(), spec);
        assert_eq!(spec.onset_shift(), 2);
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
        let spec = FeatureSpec { n_fft: 65_536, ..FeatureSpec::default() };
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
            band_edges_hz in prop::collection::vec(any::<f64>(), 0..4),
        ) {
            let spec = FeatureSpec { sample_rate_hz, n_fft, hop, n_mels, fmin_hz, fmax_hz, power, top_db, band_edges_hz };
            if let Ok(extractor) = Extractor::new(spec) {
                prop_assert!(extractor.extract(&[0.5; 100]).mel.iter().all(|value| value.is_finite()));
            }
        }
    }
}
