//! Decoding and features for Python.

#![expect(clippy::needless_pass_by_value, reason = "PyO3 hands arguments over by value")]

use std::collections::BTreeMap;
use std::path::PathBuf;

use beatweaver_core::audio::{self, DecodeOptions, Decoded, PrepareOptions, Source, Tags, decode, prepare};
use beatweaver_core::features::{Extractor, FeatureSpec, Features, onset_times_s, to_slots};
use beatweaver_core::{Error, Result, Warning};
use numpy::ndarray::Array2;
use numpy::{
    AllowTypeChange, IntoPyArray, PyArray1, PyArray2, PyArrayLikeDyn, PyReadonlyArray1, PyReadonlyArrayDyn,
    PyUntypedArrayMethods,
};
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict};

use crate::door;
use crate::error::to_python;
use crate::map::TempoMap;

/// A path or the bytes themselves.
#[derive(FromPyObject)]
pub(crate) enum SourceArg<'py> {
    #[pyo3(transparent)]
    Bytes(Bound<'py, PyBytes>),
    #[pyo3(transparent)]
    Path(PathBuf),
}

impl SourceArg<'_> {
    /// Runs `work` on the source behind the door.
    fn run<T: Send>(&self, py: Python<'_>, work: impl FnOnce(Source<'_>) -> Result<T> + Send) -> PyResult<T> {
        match self {
            Self::Path(path) => door::run(py, 0, || work(Source::Path(path))),
            Self::Bytes(bytes) => {
                let bytes = bytes.as_bytes();
                door::run(py, 0, || work(Source::Bytes { name: "audio", bytes }))
            }
        }
    }
}

fn decode_source(py: Python<'_>, source: &SourceArg<'_>, options: &DecodeOptions) -> PyResult<Decoded> {
    source.run(py, |source| decode(source, options))
}

fn pairs(warnings: &[Warning]) -> Vec<(&'static str, String)> {
    warnings.iter().map(|warning| (warning.rule, warning.message.clone())).collect()
}

/// Decodes a song to mono samples; time 0 is the first heard sample.
///
/// Args:
///     source: path or bytes of a wav, ogg, mp3, flac, m4a or aac file; told by its content, not by its name.
///     sample_rate_hz: rate of the samples returned.
///     max_seconds: longer songs are refused.
///
/// Returns:
///     float32 `[T]`, nominally −1 to 1.
///
/// Raises:
///     AudioError: no sound in it, or a codec that is not supported.
///     LimitError: longer than `max_seconds`, or too many channels.
///     OSError: the file system refused.
#[pyfunction]
#[pyo3(signature = (
    source: "str | os.PathLike[str] | bytes", *, sample_rate_hz: "int" = 22_050, max_seconds: "float" = 1_800.0
) -> "numpy.typing.NDArray[numpy.float32]")]
pub(crate) fn decode_audio<'py>(
    py: Python<'py>,
    source: SourceArg<'py>,
    sample_rate_hz: u32,
    max_seconds: f64,
) -> PyResult<Bound<'py, PyArray1<f32>>> {
    let decoded = decode_source(py, &source, &DecodeOptions { sample_rate_hz, max_seconds })?;
    Ok(decoded.samples.into_pyarray(py))
}

/// As `decode_audio`, with what the file says of itself.
///
/// Args:
///     source: path or bytes.
///     sample_rate_hz: rate of the samples returned.
///     max_seconds: longer songs are refused.
///
/// Returns:
///     The samples, and `sample_rate_hz`, `source_rate_hz`, `channels`, `seconds`, `format`, `trimmed_start_samples` (of the
///     source) and `warnings`, a list of (rule, message).
///
/// Raises:
///     AudioError: as `decode_audio`.
///     LimitError: as `decode_audio`.
///     OSError: the file system refused.
#[pyfunction]
#[pyo3(signature = (
    source: "str | os.PathLike[str] | bytes", *, sample_rate_hz: "int" = 22_050, max_seconds: "float" = 1_800.0
) -> "tuple[numpy.typing.NDArray[numpy.float32], dict[str, typing.Any]]")]
pub(crate) fn decode_audio_with_info<'py>(
    py: Python<'py>,
    source: SourceArg<'py>,
    sample_rate_hz: u32,
    max_seconds: f64,
) -> PyResult<(Bound<'py, PyArray1<f32>>, Bound<'py, PyDict>)> {
    let decoded = decode_source(py, &source, &DecodeOptions { sample_rate_hz, max_seconds })?;
    let info = PyDict::new(py);
    info.set_item("sample_rate_hz", decoded.sample_rate_hz)?;
    info.set_item("source_rate_hz", decoded.source_rate_hz)?;
    info.set_item("channels", decoded.channels)?;
    info.set_item("seconds", decoded.seconds)?;
    info.set_item("format", decoded.format.name())?;
    info.set_item("trimmed_start_samples", decoded.trimmed_start_samples)?;
    info.set_item("warnings", pairs(&decoded.warnings))?;
    Ok((decoded.samples.into_pyarray(py), info))
}

/// The file, its samples, and what is known about it.
type PreparedParts<'py> = (Bound<'py, PyBytes>, Bound<'py, PyArray1<f32>>, Bound<'py, PyDict>);

/// Makes the Ogg Vorbis file of a level from any song, and decodes that very file for analysis.
///
/// Sound Ogg Vorbis without tags is copied byte for byte if no silence is to be put before it; with tags only these are
/// taken out. Everything else is decoded, padded and encoded once, at 44.1 or 48 kHz.
///
/// Args:
///     source: path or bytes.
///     pad_s: silence before the song, 0 to 60 seconds.
///     sample_rate_hz: rate of the samples returned.
///     max_seconds: longer songs are refused.
///
/// Returns:
///     The file, float32 mono samples `[T]` decoded from it, and `action` ("copied", "untagged", "encoded"), `pad_s` (in whole
///     samples), `rate_hz`, `channels` and `seconds` of the file, `source_format` and `warnings`, a list of (rule, message).
///
/// Raises:
///     AudioError: as `decode_audio`.
///     ConfigError: an impossible pad or rate.
///     LimitError: as `decode_audio`.
///     OSError: the file system refused.
#[pyfunction]
#[pyo3(signature = (
    source: "str | os.PathLike[str] | bytes", *, pad_s: "float" = 0.0, sample_rate_hz: "int" = 22_050,
    max_seconds: "float" = 1_800.0
) -> "tuple[bytes, numpy.typing.NDArray[numpy.float32], dict[str, typing.Any]]")]
pub(crate) fn prepare_audio<'py>(
    py: Python<'py>,
    source: SourceArg<'py>,
    pad_s: f64,
    sample_rate_hz: u32,
    max_seconds: f64,
) -> PyResult<PreparedParts<'py>> {
    let options = PrepareOptions { pad_s, sample_rate_hz, max_seconds };
    let prepared = source.run(py, |source| prepare(source, &options))?;
    let info = PyDict::new(py);
    info.set_item("action", prepared.action.name())?;
    info.set_item("pad_s", prepared.pad_s)?;
    info.set_item("rate_hz", prepared.heard.source_rate_hz)?;
    info.set_item("channels", prepared.heard.channels)?;
    info.set_item("seconds", prepared.heard.seconds)?;
    info.set_item("source_format", prepared.source_format.name())?;
    info.set_item("warnings", pairs(&prepared.warnings))?;
    Ok((PyBytes::new(py, &prepared.ogg), prepared.heard.samples.into_pyarray(py), info))
}

/// Encodes samples as Ogg Vorbis of quality 5, without tags; equal samples give equal bytes on one machine.
///
/// Args:
///     samples: float32 `[T]` or `[T, channels]` of one or two channels; what is not finite counts as 0.
///     sample_rate_hz: their rate, 8 000 to 192 000.
///
/// Returns:
///     The file; decoded it has exactly T samples, the first at time 0.
///
/// Raises:
///     AudioError: no samples.
///     ConfigError: another shape or rate.
#[pyfunction]
#[pyo3(signature = (samples: "numpy.typing.NDArray[numpy.float32]", *, sample_rate_hz: "int") -> "bytes")]
pub(crate) fn encode_vorbis<'py>(
    py: Python<'py>,
    samples: PyReadonlyArrayDyn<'py, f32>,
    sample_rate_hz: u32,
) -> PyResult<Bound<'py, PyBytes>> {
    let array = samples.as_array();
    let lanes: Vec<Vec<f32>> = match array.shape() {
        [_] => vec![array.iter().copied().collect()],
        [_, 1 | 2] => array.columns().into_iter().map(|lane| lane.to_vec()).collect(),
        shape => {
            let problem = format!("found the shape {shape:?}, expected (T,) or (T, 1 or 2)");
            return Err(to_python(py, &Error::Spec { field: "samples".into(), problem }));
        }
    };
    let ogg = door::run(py, 0, || audio::encode_vorbis(&lanes, sample_rate_hz))?;
    Ok(PyBytes::new(py, &ogg))
}

/// Reads what an audio file says about its song; damaged tags count as missing.
///
/// Args:
///     source: path or bytes.
///
/// Returns:
///     `title`, `artist` and `album` (one line of at most 500 characters, or None), and `cover`: the bytes of a PNG or JPEG
///     of at most 16 MiB, or None.
///
/// Raises:
///     AudioError: it is no audio.
///     LimitError: it is too large.
///     OSError: the file system refused.
#[pyfunction]
#[pyo3(signature = (source: "str | os.PathLike[str] | bytes") -> "dict[str, typing.Any]")]
pub(crate) fn read_tags<'py>(py: Python<'py>, source: SourceArg<'py>) -> PyResult<Bound<'py, PyDict>> {
    let Tags { title, artist, album, cover } = source.run(py, audio::read_tags)?;
    let tags = PyDict::new(py);
    tags.set_item("title", title)?;
    tags.set_item("artist", artist)?;
    tags.set_item("album", album)?;
    tags.set_item("cover", cover.map(|cover| PyBytes::new(py, &cover.bytes)))?;
    Ok(tags)
}

fn extractor(py: Python<'_>, spec_json: &[u8]) -> PyResult<Extractor> {
    FeatureSpec::from_json(spec_json).and_then(Extractor::new).map_err(|e| to_python(py, &e))
}

fn matrix(py: Python<'_>, rows: usize, columns: usize, values: Vec<f32>) -> PyResult<Bound<'_, PyArray2<f32>>> {
    let array = Array2::from_shape_vec((rows, columns), values);
    let problem = |e: numpy::ndarray::ShapeError| Error::Spec { field: "features".into(), problem: e.to_string() };
    array.map(|array| array.into_pyarray(py)).map_err(|e| to_python(py, &problem(e)))
}

/// Features of a song.
///
/// Args:
///     samples: float32 `[T]` at the spec's sample rate; what is not finite counts as 0.
///     spec_json: `AudioConfig.canonical()`.
///
/// Returns:
///     `mel` `[frames, mels]` in dB, `onset` `[frames]`, `bands` `[frames, b]`, all float32; frames = 1 + T // hop.
///
/// Raises:
///     ConfigError: not a valid spec.
#[pyfunction]
#[pyo3(signature = (
    samples: "numpy.typing.NDArray[numpy.float32]", spec_json: "bytes"
) -> "dict[str, numpy.typing.NDArray[numpy.float32]]")]
pub(crate) fn features<'py>(
    py: Python<'py>,
    samples: PyReadonlyArray1<'py, f32>,
    spec_json: &[u8],
) -> PyResult<Bound<'py, PyDict>> {
    let extractor = extractor(py, spec_json)?;
    let samples = samples.as_slice()?;
    let features = door::run(py, 0, || Ok(extractor.extract(samples)))?;
    arrays(py, &extractor, features)
}

fn arrays<'py>(py: Python<'py>, extractor: &Extractor, features: Features) -> PyResult<Bound<'py, PyDict>> {
    let dict = PyDict::new(py);
    dict.set_item("mel", matrix(py, features.frames, extractor.spec().n_mels, features.mel)?)?;
    dict.set_item("onset", features.onset.into_pyarray(py))?;
    dict.set_item("bands", matrix(py, features.frames, extractor.bands(), features.bands)?)?;
    Ok(dict)
}

/// Width of each array of features under a spec; what a spec means is checked here.
///
/// Args:
///     spec_json: `AudioConfig.canonical()`.
///
/// Returns:
///     Numbers of one frame or slot: `mel`, `onset` (1) and `bands`.
///
/// Raises:
///     ConfigError: not a valid spec.
#[pyfunction]
pub(crate) fn feature_widths(py: Python<'_>, spec_json: &[u8]) -> PyResult<BTreeMap<&'static str, usize>> {
    let extractor = extractor(py, spec_json)?;
    Ok(BTreeMap::from([("mel", extractor.spec().n_mels), ("onset", 1), ("bands", extractor.bands())]))
}

/// Features on the beat grid: slot k is their mean around beat `grid_offset_beats + k / slots_per_beat`, half way to its
/// neighbours; the lag of the onset rows is taken off.
///
/// Args:
///     features: `mel`, `onset` and `bands` as `features` gives them.
///     tempo: where the beats lie.
///     spec_json: `AudioConfig.canonical()`.
///     audio_s: length of the song; the last slot is the last whose centre it reaches.
///     grid_offset_beats: the beat of slot 0.
///
/// Returns:
///     `mel` `[slots, mels]`, `onset` `[slots]`, `bands` `[slots, b]`, all float32.
///
/// Raises:
///     ConfigError: not a valid spec, or features of another one.
///     AudioError: more slots than can be meant.
#[pyfunction]
#[pyo3(signature = (
    features: "collections.abc.Mapping[str, numpy.typing.NDArray[numpy.float32] | numpy.typing.NDArray[numpy.float16]]",
    tempo: "TempoMap", *, spec_json: "bytes", audio_s: "float", grid_offset_beats: "float" = 0.0
) -> "dict[str, numpy.typing.NDArray[numpy.float32]]")]
pub(crate) fn beat_slots<'py>(
    py: Python<'py>,
    features: BTreeMap<String, PyArrayLikeDyn<'py, f32, AllowTypeChange>>,
    tempo: &TempoMap,
    spec_json: &[u8],
    audio_s: f64,
    grid_offset_beats: f64,
) -> PyResult<Bound<'py, PyDict>> {
    let extractor = extractor(py, spec_json)?;
    let spec = extractor.spec();
    let frames = features.get("onset").map_or(0, |onset| onset.len());
    let part = |name: &str, width: usize| {
        let found = features.get(name).filter(|array| array.shape()[0] == frames && array.len() == frames * width);
        let problem = || format!("expected `{name}` of {frames} frames with {width} numbers each");
        let refuse = || to_python(py, &Error::Spec { field: "features".into(), problem: problem() });
        found.map(|array| array.as_array().iter().copied().collect::<Vec<f32>>()).ok_or_else(refuse)
    };
    let song = Features {
        frames,
        mel: part("mel", spec.n_mels)?,
        onset: part("onset", 1)?,
        bands: part("bands", extractor.bands())?,
    };
    let slots =
        door::run(py, 0, || Ok(to_slots(&song, spec, &spec.slot_edges_s(&tempo.0, grid_offset_beats, audio_s)?)))?;
    arrays(py, &extractor, slots)
}

/// Times of the onsets that the rows of onset strength show, their lag taken off.
///
/// Args:
///     onset: float32 `[frames]`, as `features` gives it.
///     spec_json: `AudioConfig.canonical()`.
///
/// Returns:
///     float64 `[N]`, seconds, rising.
///
/// Raises:
///     ConfigError: not a valid spec.
#[pyfunction]
#[pyo3(signature = (
    onset: "numpy.typing.NDArray[numpy.float32]", spec_json: "bytes"
) -> "numpy.typing.NDArray[numpy.float64]")]
pub(crate) fn onset_times<'py>(
    py: Python<'py>,
    onset: PyReadonlyArray1<'py, f32>,
    spec_json: &[u8],
) -> PyResult<Bound<'py, PyArray1<f64>>> {
    let extractor = extractor(py, spec_json)?;
    let onset = onset.as_slice()?;
    Ok(door::run(py, 0, || Ok(onset_times_s(onset, extractor.spec())))?.into_pyarray(py))
}

/// Log-mel spectrogram in dB with the onset strength as its last row.
///
/// Args:
///     samples: float32 `[T]` at the spec's sample rate.
///     spec_json: as for `features`.
///
/// Returns:
///     float32 `[mels + 1, frames]`.
///
/// Raises:
///     ConfigError: not a valid spec.
#[pyfunction]
#[pyo3(signature = (
    samples: "numpy.typing.NDArray[numpy.float32]", spec_json: "bytes"
) -> "numpy.typing.NDArray[numpy.float32]")]
pub(crate) fn compute_mel_with_onset<'py>(
    py: Python<'py>,
    samples: PyReadonlyArray1<'py, f32>,
    spec_json: &[u8],
) -> PyResult<Bound<'py, PyArray2<f32>>> {
    let extractor = extractor(py, spec_json)?;
    let samples = samples.as_slice()?;
    let rows = door::run(py, 0, || Ok(extractor.compute_mel_with_onset(samples)))?;
    matrix(py, extractor.spec().n_mels + 1, extractor.spec().frames(samples.len()), rows)
}
