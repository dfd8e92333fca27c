//! The Python module `beatweaver._native`: a list of what it exports, and nothing else.

mod audio;

use pyo3::prelude::*;

/// The native half of BeatWeaver.
#[pymodule(gil_used = false)]
mod _native {
    #[pymodule_export]
    use super::audio::{compute_mel_with_onset, decode_audio, decode_audio_with_info, features};
}
