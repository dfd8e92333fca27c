//! Vocabularies and their grammar as Python sees them.

#![expect(clippy::needless_pass_by_value, reason = "PyO3 hands arguments over by value")]

use beatweaver_core::Error;
use beatweaver_core::tokens::{self, Kind, VocabSpec};
use numpy::{IntoPyArray, PyReadonlyArray1, PyReadwriteArray2, PyUntypedArrayMethods};
use pyo3::prelude::*;
use pyo3::types::PyDict;
use std::sync::Mutex;

use crate::door;
use crate::error::to_python;
use crate::map::Difficulty;

/// A vocabulary: levels to token ids and back.
///
/// Example:
///     >>> vocab = Vocab(b'{"content":"notes","divisions":48}')
///     >>> vocab.size, vocab.pad, vocab.bos, vocab.eos
///     (291, 0, 1, 2)
#[pyclass(frozen, module = "beatweaver._native")]
pub(crate) struct Vocab(tokens::Vocab);

#[pymethods]
impl Vocab {
    /// The vocabulary that a spec asks for.
    ///
    /// Args:
    ///     spec_json: `content` (`notes`: the 291 ids of one note per hand; `full`: everything that is played; `lights`) and
    ///         `divisions` (48), as JSON.
    ///
    /// Raises:
    ///     ConfigError: not such a spec.
    #[new]
    #[pyo3(signature = (spec_json: "bytes"))]
    fn new(py: Python<'_>, spec_json: &[u8]) -> PyResult<Self> {
        let spec = VocabSpec::from_json(spec_json).map_err(|e| to_python(py, &e))?;
        tokens::Vocab::new(&spec).map(Self).map_err(|e| to_python(py, &e))
    }

    /// Number of ids.
    #[getter]
    fn size(&self) -> usize {
        self.0.size()
    }

    /// Identity: equal for equal tables of ids only.
    #[getter]
    fn hash(&self) -> &str {
        self.0.hash()
    }

    /// Id that fills up rows.
    #[getter]
    fn pad(&self) -> u16 {
        tokens::PAD
    }

    /// Id that begins a level.
    #[getter]
    fn bos(&self) -> u16 {
        tokens::START
    }

    /// Id that ends a level.
    #[getter]
    fn eos(&self) -> u16 {
        tokens::END
    }

    /// Names of all ids, in order.
    fn names(&self) -> Vec<String> {
        self.0.names()
    }

    /// Names of the kinds this vocabulary has.
    fn kinds(&self) -> Vec<&'static str> {
        Kind::ALL.iter().filter(|k| !self.0.range(**k).is_empty()).map(|k| k.name()).collect()
    }

    /// First id of a kind and the id after its last.
    ///
    /// Args:
    ///     kind: one of `kinds()`.
    ///
    /// Raises:
    ///     ConfigError: no such kind in this vocabulary.
    fn range(&self, py: Python<'_>, kind: &str) -> PyResult<(u16, u16)> {
        let range = Kind::ALL.iter().find(|k| k.name() == kind).map(|k| self.0.range(*k)).filter(|r| !r.is_empty());
        let range = range.ok_or_else(|| {
            let problem = format!("found {kind:?}, expected one of {}", self.kinds().join(", "));
            to_python(py, &Error::Spec { field: "kind".into(), problem })
        })?;
        Ok((range.start, range.end))
    }

    /// The level as tokens.
    ///
    /// Args:
    ///     difficulty: the level.
    ///     start_beat: first beat taken.
    ///     end_beat: beat after the last taken.
    ///
    /// Returns:
    ///     `tokens` uint16 `[N]`; `first_beat` of the first bar; `out_of_vocabulary` and `rounded`: counts of what could not be
    ///     said, or not exactly; `outside`: objects outside of the window; `snapped` and `max_error_beats`: beats moved onto
    ///     the grid.
    #[pyo3(signature = (
        difficulty: "Difficulty", *, start_beat: "float" = 0.0, end_beat: "float" = f64::INFINITY
    ) -> "dict[str, typing.Any]")]
    fn encode<'py>(
        &self,
        py: Python<'py>,
        difficulty: PyRef<'py, Difficulty>,
        start_beat: f64,
        end_beat: f64,
    ) -> PyResult<Bound<'py, PyDict>> {
        let (level, rank, vocab) = (difficulty.level.clone(), difficulty.info.rank, &self.0);
        let encoded = door::run(py, 0, move || Ok(vocab.encode(&level, rank, start_beat, end_beat)))?;
        let out = PyDict::new(py);
        out.set_item("tokens", encoded.tokens.into_pyarray(py))?;
        out.set_item("first_beat", encoded.first_beat)?;
        out.set_item("out_of_vocabulary", encoded.out_of_vocabulary)?;
        out.set_item("rounded", encoded.rounded)?;
        out.set_item("outside", encoded.outside)?;
        out.set_item("snapped", encoded.snapped.count)?;
        out.set_item("max_error_beats", encoded.snapped.max_error_beats)?;
        Ok(out)
    }

    /// The level that tokens say.
    ///
    /// Args:
    ///     tokens: uint16 `[N]`.
    ///     bpm: tempo of the song it belongs to.
    ///     characteristic: game mode.
    ///     njs: note jump speed in metres per second.
    ///
    /// Raises:
    ///     TokenError: not a sequence of this vocabulary; `where` and `found` say which token.
    ///     ConfigError: `bpm` is not a tempo.
    #[pyo3(signature = (
        tokens: "numpy.typing.NDArray[numpy.uint16]", *, bpm: "float", characteristic: "str" = "Standard", njs: "float" = 16.0
    ) -> "Difficulty")]
    fn decode(
        &self,
        py: Python<'_>,
        tokens: PyReadonlyArray1<'_, u16>,
        bpm: f64,
        characteristic: &str,
        njs: f64,
    ) -> PyResult<Difficulty> {
        let ids: Vec<u16> = tokens.as_array().iter().copied().collect();
        let level = self.0.decode(&ids).map_err(|e| to_python(py, &e))?;
        let rank = ids.iter().find_map(|&id| match self.0.kind_of(id) {
            Some((Kind::Difficulty, value)) => Some(i32::from(value) * 2 + 1),
            _ => None,
        });
        Difficulty::made(py, level, characteristic, rank.unwrap_or(9), bpm, njs, 0.0)
    }

    /// Beat of every token, which the tokens of one onset share.
    ///
    /// Args:
    ///     tokens: uint16 `[N]`.
    ///
    /// Returns:
    ///     float64 `[N]`.
    #[pyo3(signature = (
        tokens: "numpy.typing.NDArray[numpy.uint16]"
    ) -> "numpy.typing.NDArray[numpy.float64]")]
    fn beats<'py>(&self, py: Python<'py>, tokens: PyReadonlyArray1<'_, u16>) -> Bound<'py, PyAny> {
        let ids: Vec<u16> = tokens.as_array().iter().copied().collect();
        self.0.beats(&ids).into_pyarray(py).into_any()
    }
}

/// Which token may follow, for a batch of sequences.
///
/// Example:
///     >>> import numpy as np
///     >>> vocab = Vocab(b'{"content":"notes","divisions":48}')
///     >>> grammar = Grammar(vocab, batch=1)
///     >>> mask = np.zeros((1, vocab.size), bool)
///     >>> grammar.mask(mask)
///     >>> np.flatnonzero(mask[0]).tolist()
///     [1]
#[pyclass(frozen, module = "beatweaver._native")]
pub(crate) struct Grammar(Mutex<tokens::Grammar>, usize);

impl Grammar {
    fn with<T>(
        &self,
        py: Python<'_>,
        f: impl FnOnce(&mut tokens::Grammar) -> beatweaver_core::Result<T>,
    ) -> PyResult<T> {
        // A panic cannot leave it half-changed: states are replaced whole.
        let mut inner = self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        f(&mut inner).map_err(|e| to_python(py, &e))
    }
}

#[pymethods]
impl Grammar {
    /// A grammar at the beginning of `batch` sequences.
    ///
    /// Args:
    ///     vocab: the vocabulary.
    ///     batch: number of sequences.
    #[new]
    #[pyo3(signature = (vocab, *, batch))]
    fn new(vocab: PyRef<'_, Vocab>, batch: usize) -> Self {
        Self(Mutex::new(tokens::Grammar::new(&vocab.0, batch)), vocab.0.size())
    }

    /// Adds one token to every sequence.
    ///
    /// Args:
    ///     tokens: uint16 `[B]`.
    ///
    /// Raises:
    ///     TokenError: a token that may not follow; no sequence is changed then.
    #[pyo3(signature = (tokens: "numpy.typing.NDArray[numpy.uint16]") -> "None")]
    fn push(&self, py: Python<'_>, tokens: PyReadonlyArray1<'_, u16>) -> PyResult<()> {
        let ids: Vec<u16> = tokens.as_array().iter().copied().collect();
        self.with(py, |g| g.push(&ids))
    }

    /// Fills in which tokens may follow; never empty.
    ///
    /// Args:
    ///     out: bool `[B, V]`, C-contiguous, filled in place.
    ///
    /// Raises:
    ///     ConfigError: another shape, or not contiguous.
    #[pyo3(signature = (out: "numpy.typing.NDArray[numpy.bool_]") -> "None")]
    fn mask(&self, py: Python<'_>, mut out: PyReadwriteArray2<'_, bool>) -> PyResult<()> {
        let refuse = |problem: String| to_python(py, &Error::Spec { field: "out".into(), problem });
        let (shape, wanted) = ([out.shape()[0], out.shape()[1]], [self.with(py, |g| Ok(g.batch()))?, self.1]);
        if shape != wanted {
            return Err(refuse(format!("found shape {shape:?}, expected {wanted:?}")));
        }
        // A Fortran-ordered array is one slice as well, with the rows in the wrong place.
        let slice = if out.is_c_contiguous() { out.as_slice_mut().ok() } else { None };
        let slice =
            slice.ok_or_else(|| refuse("found an array that is not C-contiguous, expected one that is".into()))?;
        self.with(py, |g| g.mask(slice))
    }

    /// Puts one sequence back to the beginning.
    fn reset(&self, py: Python<'_>, row: usize) -> PyResult<()> {
        self.with(py, |g| g.reset(row))
    }

    /// Makes the batch anew from rows of the old one: sequence `i` becomes a copy of `rows[i]`.
    fn fork(&self, py: Python<'_>, rows: Vec<usize>) -> PyResult<()> {
        self.with(py, |g| g.fork(&rows))
    }
}
