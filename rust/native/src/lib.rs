//! The Python module `beatweaver._native`: a list of what it exports, and nothing else.

use pyo3::prelude::*;

/// The native half of BeatWeaver.
#[pymodule(gil_used = false)]
mod _native {}
