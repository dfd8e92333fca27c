//! Decoding and features for Python.

#![expect(clippy::needless_pass_by_value, reason = "PyO3 hands arguments over by value")]

use std::path::PathBuf;

use beatweaver_core::audio::{DecodeOptions, Decoded, Source, decode};
use beatweaver_core::features::{Extractor, FeatureSpec};
use beatweaver_core::{Error, Warning};
use numpy::ndarray::Array2;
use numpy::{IntoPyArray, PyArray1, PyArray2, PyReadonlyArray1};
use pyo3::exceptions::{PyOSError, PyRuntimeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict};

/// Stands in until the error door of this crate is there: the class tree of `beatweaver.errors` replaces it.
fn provisional_error(error: Error) -> PyErr {
    match error {
        Error::Io { path, source } => match source.raw_os_error() {
            // OSError picks its subclass (FileNotFoundError, PermissionError) from the number.
            Some(number) => PyOSError::new_err((number, source.to_string(), path)),
            None => PyOSError::new_err(format!("{}: {source}", path.display())),
        },
        error => PyValueError::new_err(format!("{}: {error}", error.kind())),
    }
}

/// A path or the bytes themselves.
#[derive(FromPyObject)]
pub(crate) enum SourceArg<'py> {
    #[pyo3(transparent)]
    Bytes(Bound<'py, PyBytes>),
    #[pyo3(transparent)]
    Path(PathBuf),
}

fn decode_detached(py: Python<'_>, source: &SourceArg<'_>, options: &DecodeOptions) -> PyResult<Decoded> {
    let result = match source {
        SourceArg::Path(path) => py.detach(|| decode(Source::Path(path), options)),
        SourceArg::Bytes(bytes) => {
            let bytes = bytes.as_bytes();
            py.detach(|| decode(Source::Bytes { name: "audio", bytes }, options))
        }
    };
    result.map_err(provisional_error)
}

/// Decode a song (path or bytes) to mono float32 samples `[T]`, nominally −1…1, at `sample_rate_hz`.
///
/// Raises OSError for a file that cannot be read, AudioError for one without sound, LimitError beyond `max_seconds`.
#[pyfunction]
#[pyo3(signature = (source, *, sample_rate_hz = 22_050, max_seconds = 1_800.0))]
pub(crate) fn decode_audio<'py>(
    py: Python<'py>,
    source: SourceArg<'py>,
    sample_rate_hz: u32,
    max_seconds: f64,
) -> PyResult<Bound<'py, PyArray1<f32>>> {
    let decoded = decode_detached(py, &source, &DecodeOptions { sample_rate_hz, max_seconds })?;
    Ok(decoded.samples.into_pyarray(py))
}

/// Decode as `decode_audio` does and return `(samples, info)`; `info` holds `sample_rate_hz`, `source_rate_hz`,
/// `channels`, `seconds`, `format`, `trimmed_start_samples` (of the source) and `warnings`, a list of (rule, message).
#[pyfunction]
#[pyo3(signature = (source, *, sample_rate_hz = 22_050, max_seconds = 1_800.0))]
pub(crate) fn decode_audio_with_info<'py>(
    py: Python<'py>,
    source: SourceArg<'py>,
    sample_rate_hz: u32,
    max_seconds: f64,
) -> PyResult<(Bound<'py, PyArray1<f32>>, Bound<'py, PyDict>)> {
    let decoded = decode_detached(py, &source, &DecodeOptions { sample_rate_hz, max_seconds })?;
    let info = PyDict::new(py);
    info.set_item("sample_rate_hz", decoded.sample_rate_hz)?;
    info.set_item("source_rate_hz", decoded.source_rate_hz)?;
    info.set_item("channels", decoded.channels)?;
    info.set_item("seconds", decoded.seconds)?;
    info.set_item("format", decoded.format.name())?;
    info.set_item("trimmed_start_samples", decoded.trimmed_start_samples)?;
    let pair = |warning: &Warning| (warning.rule, warning.message.clone());
    info.set_item("warnings", decoded.warnings.iter().map(pair).collect::<Vec<_>>())?;
    Ok((decoded.samples.into_pyarray(py), info))
}

fn extractor(spec_json: &[u8]) -> PyResult<Extractor> {
    FeatureSpec::from_json(spec_json).and_then(Extractor::new).map_err(provisional_error)
}

fn matrix(py: Python<'_>, rows: usize, columns: usize, values: Vec<f32>) -> PyResult<Bound<'_, PyArray2<f32>>> {
    let array = Array2::from_shape_vec((rows, columns), values);
    array.map(|array| array.into_pyarray(py)).map_err(|error| PyRuntimeError::new_err(error.to_string()))
}

/// Features of mono float32 `samples`: `mel` `[frames, mels]` in dB, `onset` `[frames]`, `bands` `[frames, b]`, float32.
///
/// `spec_json` is a FeatureSpec; `{}` means plan A's numbers. Raises ConfigError for a spec that is not valid.
#[pyfunction]
pub(crate) fn features<'py>(
    py: Python<'py>,
    samples: PyReadonlyArray1<'py, f32>,
    spec_json: &[u8],
) -> PyResult<Bound<'py, PyDict>> {
    let extractor = extractor(spec_json)?;
    let samples = samples.as_slice()?;
    let features = py.detach(|| extractor.extract(samples));
    let dict = PyDict::new(py);
    dict.set_item("mel", matrix(py, features.frames, extractor.spec().n_mels, features.mel)?)?;
    dict.set_item("onset", features.onset.into_pyarray(py))?;
    dict.set_item("bands", matrix(py, features.frames, extractor.bands(), features.bands)?)?;
    Ok(dict)
}

/// Log-mel spectrogram in dB with the onset strength as its last row, float32 `[mels + 1, frames]`.
#[pyfunction]
pub(crate) fn compute_mel_with_onset<'py>(
    py: Python<'py>,
    samples: PyReadonlyArray1<'py, f32>,
    spec_json: &[u8],
) -> PyResult<Bound<'py, PyArray2<f32>>> {
    let extractor = extractor(spec_json)?;
    let samples = samples.as_slice()?;
    let rows = py.detach(|| extractor.compute_mel_with_onset(samples));
    matrix(py, extractor.spec().n_mels + 1, extractor.spec().frames(samples.len()), rows)
}
