//! The store of arrays for Python: views of the mapped files, and batches.

#![expect(clippy::needless_pass_by_value, reason = "PyO3 hands arguments over by value")]

use std::collections::BTreeMap;
use std::path::PathBuf;

use beatweaver_core::Error;
use beatweaver_core::store::{self, Request, Tensor, Values};
use half::f16;
use numpy::ndarray::{ArrayViewD, IxDyn};
use numpy::{
    Element, PyArrayDyn, PyArrayMethods, PyReadonlyArray1, PyReadonlyArrayDyn, PyReadwriteArray3, PyUntypedArrayMethods,
};
use pyo3::prelude::*;
use pyo3::types::PyDict;

use crate::door;
use crate::error::to_python;

/// A mapped file, kept alive by the arrays that view it: their `base`.
#[pyclass(frozen)]
struct Mapped(store::Entry);

/// An array to put.
#[derive(FromPyObject)]
enum Numbers<'py> {
    #[pyo3(transparent)]
    F32(PyReadonlyArrayDyn<'py, f32>),
    #[pyo3(transparent)]
    F16(PyReadonlyArrayDyn<'py, f16>),
}

impl Numbers<'_> {
    /// The array where it lies, if it is C-contiguous.
    fn tensor(&self) -> Option<Tensor<'_>> {
        let (shape, values) = match self {
            Self::F32(array) if array.is_c_contiguous() => (array.shape(), Values::F32(array.as_slice().ok()?)),
            Self::F16(array) if array.is_c_contiguous() => (array.shape(), Values::F16(array.as_slice().ok()?)),
            _ => return None,
        };
        Some(Tensor { shape: shape.to_vec(), values })
    }
}

fn not_contiguous(field: &str) -> Error {
    let problem = "found an array that is not C-contiguous, expected one that is".into();
    Error::Spec { field: field.into(), problem }
}

fn view<'py, T: Element>(base: &Bound<'py, Mapped>, shape: &[usize], values: &[T]) -> PyResult<Bound<'py, PyAny>> {
    let view = ArrayViewD::from_shape(IxDyn(shape), values);
    let view = view.map_err(|e| {
        let problem = e.to_string();
        to_python(base.py(), &Error::Store { key: "array".into(), problem })
    })?;
    // SAFETY: `values` lie in the map that `base` owns. `base` is frozen, so it neither moves nor ends the map while the
    // array holds it, and the array is made read-only below, before anything else can see it.
    let array = unsafe { PyArrayDyn::borrow_from_array(&view, base.clone().into_any()) };
    array.readwrite().make_nonwriteable();
    Ok(array.into_any())
}

/// A folder of arrays by content key, one safetensors file each; any number of processes may read and write it.
///
/// Example:
///     >>> store = Store("processed/features")                                                    # doctest: +SKIP
///     >>> store.put(Store.key(ogg_bytes, spec_json), {"mel": mel}, meta={})                      # doctest: +SKIP
#[pyclass(frozen, module = "beatweaver._native")]
pub(crate) struct Store(store::Store);

#[pymethods]
impl Store {
    /// The store in a folder, which is made if need be.
    ///
    /// Raises:
    ///     OSError: the file system refused.
    #[new]
    #[pyo3(signature = (root: "str | os.PathLike[str]"))]
    fn new(py: Python<'_>, root: PathBuf) -> PyResult<Self> {
        door::run(py, 0, move || store::Store::open(root)).map(Self)
    }

    /// Key of what follows from a source under some settings.
    ///
    /// Args:
    ///     source: bytes of the audio file, or whatever else the content follows from.
    ///     spec_json: the settings, `AudioConfig.canonical()`; other bytes give another key, even if they mean the same.
    ///
    /// Returns:
    ///     64 hexadecimal digits.
    #[staticmethod]
    fn key(py: Python<'_>, source: &[u8], spec_json: &[u8]) -> PyResult<String> {
        door::run(py, 0, || Ok(store::Store::key(source, spec_json)))
    }

    /// The arrays of a key, as read-only views of the file, without a copy.
    ///
    /// Returns:
    ///     float32 and float16 arrays by name; None if there is no file, or one that is cut short, of another key or damaged
    ///     in its header. `verify` reads the numbers as well.
    ///
    /// Raises:
    ///     StoreError: not a key.
    ///     OSError: the file system refused.
    #[pyo3(signature = (
        key: "str"
    ) -> "dict[str, numpy.typing.NDArray[numpy.float32] | numpy.typing.NDArray[numpy.float16]] | None")]
    fn get<'py>(&self, py: Python<'py>, key: &str) -> PyResult<Option<Bound<'py, PyDict>>> {
        let Some(entry) = self.0.get(key).map_err(|e| to_python(py, &e))? else { return Ok(None) };
        let base = Bound::new(py, Mapped(entry))?;
        let arrays = PyDict::new(py);
        let entry = &base.get().0;
        for name in entry.names() {
            if let Some(Tensor { shape, values }) = entry.tensor(name) {
                let array = match values {
                    Values::F16(values) => view(&base, &shape, values)?,
                    Values::F32(values) => view(&base, &shape, values)?,
                };
                arrays.set_item(name, array)?;
            }
        }
        Ok(Some(arrays))
    }

    /// What was put with the arrays of a key; None as for `get`.
    ///
    /// Raises:
    ///     StoreError: not a key.
    ///     OSError: the file system refused.
    fn meta(&self, py: Python<'_>, key: &str) -> PyResult<Option<BTreeMap<String, String>>> {
        let entry = self.0.get(key).map_err(|e| to_python(py, &e))?;
        Ok(entry.map(|entry| entry.meta().clone()))
    }

    /// Writes the arrays of a key, whole or not at all, in place of what is there.
    ///
    /// Args:
    ///     key: as `key` makes it.
    ///     arrays: C-contiguous float32 and float16 arrays by name.
    ///     meta: texts to keep with them.
    ///
    /// Raises:
    ///     StoreError: not a key.
    ///     ConfigError: an array that is not C-contiguous.
    ///     OSError: the file system refused; nothing is left half-written.
    #[pyo3(signature = (
        key: "str",
        arrays: "collections.abc.Mapping[str, numpy.typing.NDArray[numpy.float32] | numpy.typing.NDArray[numpy.float16]]",
        *, meta: "dict[str, str]"
    ) -> "None")]
    fn put(
        &self,
        py: Python<'_>,
        key: &str,
        arrays: BTreeMap<String, Numbers<'_>>,
        meta: BTreeMap<String, String>,
    ) -> PyResult<()> {
        let mut tensors = Vec::with_capacity(arrays.len());
        for (name, array) in &arrays {
            let tensor = array.tensor().ok_or_else(|| to_python(py, &not_contiguous(name)))?;
            tensors.push((name.as_str(), tensor));
        }
        door::run(py, 0, || self.0.put(key, &tensors, &meta))
    }

    /// Reads every byte of every file.
    ///
    /// Returns:
    ///     Names of the files that are not as they were put, sorted.
    ///
    /// Raises:
    ///     OSError: the file system refused.
    fn verify(&self, py: Python<'_>) -> PyResult<Vec<String>> {
        door::run(py, 0, || self.0.verify())
    }

    /// Fills a batch with windows of songs, in parallel.
    ///
    /// Args:
    ///     keys: `[B]`, one key for each row of the batch.
    ///     starts: int64 `[B]`, the row (slot or frame) of the song that comes first; may be negative or beyond the end.
    ///     out: float32 `[B, T, C]`, C-contiguous, filled in place. C is the width of the arrays together.
    ///     names: the arrays, side by side in this order.
    ///     lengths: int64 `[B]`, rows wanted, at most T; all T if absent.
    ///     pad: what stands outside of the song and behind the length.
    ///
    /// Raises:
    ///     StoreError: a key or an array that is not there, or another width than C.
    ///     ConfigError: shapes that do not fit one another, or `out` is not C-contiguous.
    ///     OSError: the file system refused.
    #[pyo3(signature = (
        keys: "collections.abc.Sequence[str]", starts: "numpy.typing.NDArray[numpy.int64]",
        out: "numpy.typing.NDArray[numpy.float32]", *, names: "collections.abc.Sequence[str]",
        lengths: "numpy.typing.NDArray[numpy.int64] | None" = None, pad: "float" = 0.0
    ) -> "None")]
    #[expect(clippy::too_many_arguments, reason = "a batch has that many parts")]
    fn gather(
        &self,
        py: Python<'_>,
        keys: Vec<String>,
        starts: PyReadonlyArray1<'_, i64>,
        mut out: PyReadwriteArray3<'_, f32>,
        names: Vec<String>,
        lengths: Option<PyReadonlyArray1<'_, i64>>,
        pad: f32,
    ) -> PyResult<()> {
        let refuse = |field: &str, problem: String| to_python(py, &Error::Spec { field: field.into(), problem });
        let &[rows, steps, _] = out.shape() else { return Err(refuse("out", "expected three axes".into())) };
        let found = lengths.as_ref().map_or(rows, |lengths| lengths.len());
        if [keys.len(), starts.len(), found] != [rows; 3] {
            let problem = format!(
                "found {} keys, {} starts and {found} lengths, expected {rows} each, one for each row of the batch",
                keys.len(),
                starts.len()
            );
            return Err(refuse("keys", problem));
        }
        let mut requests = Vec::with_capacity(rows);
        for (row, key) in keys.iter().enumerate() {
            let length = match &lengths {
                None => steps,
                Some(lengths) => {
                    let length = lengths.as_array()[row];
                    let problem = || format!("found {length} in row {row}, expected 0 to {steps}");
                    usize::try_from(length).map_err(|_| refuse("lengths", problem()))?
                }
            };
            requests.push(Request { key, start: starts.as_array()[row], length });
        }
        let contiguous = out.is_c_contiguous();
        let slice = out.as_slice_mut().ok().filter(|_| contiguous);
        let slice = slice.ok_or_else(|| to_python(py, &not_contiguous("out")))?;
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        door::run(py, 0, || self.0.gather(&names, &requests, steps, pad, slice))
    }

    fn __repr__(&self) -> String {
        format!("<Store {}>", self.0.root().display())
    }
}
