//! Songs, levels and the clock as Python sees them.

// What comes from Python is handed over by value.
#![allow(clippy::needless_pass_by_value)]

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::convert::Infallible;
use std::path::PathBuf;
use std::sync::Arc;

use beatweaver_core::map::pack::{self, Pack};
use beatweaver_core::map::rules::{self, check_upload};
use beatweaver_core::map::{self as core_map, Boost, Category, Extra, Major};
use beatweaver_core::play;
use beatweaver_core::timing::{self, Region};
use beatweaver_core::{Error, Limits, Place, Warning};
use numpy::{AllowTypeChange, IntoPyArray, PyArrayLike1, PyArrayLikeDyn};
use pyo3::inspect::{PyStaticConstant, PyStaticExpr};
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyTuple};
use pyo3::{PyTypeInfo, type_hint_identifier, type_hint_subscript};

use crate::door;
use crate::error::to_python;

/// Python objects that carry their precise type into the stub, which a getter cannot say in a signature.
macro_rules! typed {
    ($($(#[$doc:meta])* $name:ident($target:ty): $hint:expr;)*) => {$(
        $(#[$doc])*
        pub(crate) struct $name<'py>(pub(crate) Bound<'py, $target>);

        impl<'py> IntoPyObject<'py> for $name<'py> {
            type Target = $target;
            type Output = Bound<'py, $target>;
            type Error = Infallible;
            const OUTPUT_TYPE: PyStaticExpr = $hint;

            fn into_pyobject(self, _: Python<'py>) -> Result<Self::Output, Infallible> {
                Ok(self.0)
            }
        }
    )*};
}

const TEXT: PyStaticExpr = type_hint_identifier!("builtins", "str");

typed! {
    /// What is known of one thing, by name.
    Record(PyDict): type_hint_subscript!(PyDict::TYPE_HINT, TEXT, type_hint_identifier!("typing", "Any"));
    /// Arrays of float64, by name.
    FloatColumns(PyDict): type_hint_subscript!(PyDict::TYPE_HINT, TEXT, type_hint_subscript!(
        type_hint_identifier!("numpy.typing", "NDArray"), type_hint_identifier!("numpy", "float64")
    ));
    /// Any number of levels.
    Difficulties(PyTuple): type_hint_subscript!(
        PyTuple::TYPE_HINT, Difficulty::TYPE_HINT, PyStaticExpr::Constant { value: PyStaticConstant::Ellipsis }
    );
}

/// Where beats lie in time, and back: piecewise constant tempo.
///
/// Example:
///     >>> clock = TempoMap([0, 4], [120, 60])
///     >>> clock.seconds([4, 5]).tolist()
///     [2.0, 3.0]
#[pyclass(frozen, module = "beatweaver._native")]
pub(crate) struct TempoMap(pub(crate) timing::TempoMap);

#[pymethods]
impl TempoMap {
    /// A clock from tempo changes.
    ///
    /// Args:
    ///     beats: `[N]` beats at which a tempo begins, in any order; the earliest one's tempo also holds before it.
    ///     bpms: `[N]` tempos in beats per minute.
    ///     offset_s: time of beat 0 in seconds.
    ///
    /// Raises:
    ///     ConfigError: no tempo, different lengths, a beat that is not finite, or a tempo that is not positive.
    #[new]
    #[pyo3(signature = (beats: "numpy.typing.ArrayLike", bpms: "numpy.typing.ArrayLike", *, offset_s: "float" = 0.0))]
    fn new(
        py: Python<'_>,
        beats: PyArrayLike1<'_, f64, AllowTypeChange>,
        bpms: PyArrayLike1<'_, f64, AllowTypeChange>,
        offset_s: f64,
    ) -> PyResult<Self> {
        let (beats, bpms) = (beats.as_array(), bpms.as_array());
        let refuse = |field: &str, problem| Err(to_python(py, &Error::Spec { field: field.into(), problem }));
        if beats.len() != bpms.len() || beats.is_empty() {
            let found =
                format!("found {} tempos for {} beats, expected one each and at least one", bpms.len(), beats.len());
            return refuse("bpms", found);
        }
        if let Some(bad) = beats.iter().find(|b| !b.is_finite()) {
            return refuse("beats", format!("found {bad}, expected finite numbers"));
        }
        if let Some(bad) = bpms.iter().find(|b| !timing::BPM_RANGE.contains(*b)) {
            return refuse("bpms", format!("found {bad}, expected a positive tempo"));
        }
        let events: Vec<(f64, f64)> = beats.iter().copied().zip(bpms.iter().copied()).collect();
        let first = events.iter().copied().reduce(|a, b| if b.0 < a.0 { b } else { a }).map_or(f64::NAN, |e| e.1);
        timing::TempoMap::from_events(first, events, offset_s).map(Self).map_err(|e| to_python(py, &e))
    }

    /// Times of beats.
    ///
    /// Args:
    ///     beats: one beat, or an array of any shape.
    ///
    /// Returns:
    ///     float64 of the same shape, seconds.
    #[pyo3(signature = (beats: "numpy.typing.ArrayLike") -> "numpy.typing.NDArray[numpy.float64]")]
    fn seconds<'py>(&self, py: Python<'py>, beats: PyArrayLikeDyn<'_, f64, AllowTypeChange>) -> Bound<'py, PyAny> {
        beats.as_array().mapv(|b| self.0.seconds(b)).into_pyarray(py).into_any()
    }

    /// Beats at times.
    ///
    /// Args:
    ///     seconds: one time in seconds, or an array of any shape.
    ///
    /// Returns:
    ///     float64 of the same shape, beats.
    #[pyo3(signature = (seconds: "numpy.typing.ArrayLike") -> "numpy.typing.NDArray[numpy.float64]")]
    fn beats<'py>(&self, py: Python<'py>, seconds: PyArrayLikeDyn<'_, f64, AllowTypeChange>) -> Bound<'py, PyAny> {
        seconds.as_array().mapv(|s| self.0.beats(s)).into_pyarray(py).into_any()
    }

    /// Beats moved to the coarsest subdivision that is near enough.
    ///
    /// Args:
    ///     beats: one beat, or an array of any shape.
    ///     divisions: parts of a beat to try, for example `(1, 2, 3, 4)`.
    ///     tolerance_beats: how far a beat may be moved, 1/96 unless given.
    ///
    /// Returns:
    ///     All of the same shape: float64 beats; uint16 the subdivision each lies on, 0 where nothing was near and the beat
    ///     stayed; float64 how far each was moved, in beats.
    #[pyo3(signature = (
        beats: "numpy.typing.ArrayLike", *, divisions: "collections.abc.Sequence[int]", tolerance_beats: "float" = 1.0 / 96.0
    ) -> "tuple[numpy.typing.NDArray[numpy.float64], numpy.typing.NDArray[numpy.uint16], numpy.typing.NDArray[numpy.float64]]")]
    #[staticmethod]
    fn snap<'py>(
        py: Python<'py>,
        beats: PyArrayLikeDyn<'_, f64, AllowTypeChange>,
        divisions: Vec<u16>,
        tolerance_beats: f64,
    ) -> PyResult<Bound<'py, PyTuple>> {
        let snapped = beats.as_array().map(|&b| timing::snap(b, &divisions, tolerance_beats));
        let (beats, parts) = (snapped.map(|s| s.beat), snapped.map(|s| s.division));
        let errors = snapped.map(|s| s.error_beats);
        (beats.into_pyarray(py), parts.into_pyarray(py), errors.into_pyarray(py)).into_pyobject(py)
    }

    /// The tempo regions: `beat`, `time_s` and `bpm` float64 `[R]`; each holds until the next one begins.
    #[getter]
    fn regions<'py>(&self, py: Python<'py>) -> PyResult<FloatColumns<'py>> {
        let column = |f: fn(&Region) -> f64| self.0.regions().iter().map(f).collect::<Vec<f64>>().into_pyarray(py);
        let out = PyDict::new(py);
        out.set_item("beat", column(|r| r.beat))?;
        out.set_item("time_s", column(|r| r.time_s))?;
        out.set_item("bpm", column(|r| r.bpm))?;
        Ok(FloatColumns(out))
    }

    fn __repr__(&self) -> String {
        let regions = self.0.regions();
        let bpms = regions.iter().map(|r| r.bpm);
        let (low, high) = (bpms.clone().fold(f64::INFINITY, f64::min), bpms.fold(0.0, f64::max));
        match regions.len() {
            1 => format!("<TempoMap {low} BPM>"),
            n => format!("<TempoMap {n} regions, {low} to {high} BPM>"),
        }
    }
}

/// Onsets matched to beats: each beat goes to the onset nearest to it.
///
/// Args:
///     onsets_s: `[N]` times in seconds.
///     beats_s: `[M]` times of beats in seconds, rising.
///     tolerance_s: onsets farther from every beat than this are not matched.
///
/// Returns:
///     `index` int64 `[N]` of the beat or −1, `error_s` float64 `[N]` onset minus beat, `matched` bool `[N]`.
#[pyfunction]
#[pyo3(signature = (
    onsets_s: "numpy.typing.ArrayLike", beats_s: "numpy.typing.ArrayLike", *, tolerance_s: "float" = 0.045
) -> "dict[str, numpy.typing.NDArray[typing.Any]]")]
pub(crate) fn align<'py>(
    py: Python<'py>,
    onsets_s: PyArrayLike1<'_, f64, AllowTypeChange>,
    beats_s: PyArrayLike1<'_, f64, AllowTypeChange>,
    tolerance_s: f64,
) -> PyResult<Bound<'py, PyDict>> {
    let onsets: Vec<f64> = onsets_s.as_array().iter().copied().collect();
    let beats: Vec<f64> = beats_s.as_array().iter().copied().collect();
    let found = timing::align(&onsets, &beats, tolerance_s);
    let out = PyDict::new(py);
    let index: Vec<i64> = found.iter().map(|m| m.map_or(-1, |m| m.0 as i64)).collect();
    let error: Vec<f64> = found.iter().map(|m| m.map_or(0.0, |m| m.1)).collect();
    let matched: Vec<bool> = found.iter().map(Option::is_some).collect();
    out.set_item("index", index.into_pyarray(py))?;
    out.set_item("error_s", error.into_pyarray(py))?;
    out.set_item("matched", matched.into_pyarray(py))?;
    Ok(out)
}

/// Columns of rows, by name, as a dict of arrays.
macro_rules! columns {
    ($py:expr, $rows:expr, { $($name:literal: $field:expr),* $(,)? }) => {{
        let out = PyDict::new($py);
        $(out.set_item($name, $rows.iter().map($field).collect::<Vec<_>>().into_pyarray($py))?;)*
        Ok(out)
    }};
}

/// One level: its objects as arrays, sorted by beat.
#[pyclass(frozen, module = "beatweaver._native")]
pub(crate) struct Difficulty {
    pub(crate) info: core_map::DifficultyInfo,
    pub(crate) level: Arc<core_map::Difficulty>,
    pub(crate) clock: timing::TempoMap,
    warnings: Vec<Warning>,
    category: &'static str,
}

#[pymethods]
impl Difficulty {
    /// Game mode, for example `Standard`.
    #[getter]
    fn characteristic(&self) -> &str {
        &self.info.characteristic
    }

    /// `Easy`, `Normal`, `Hard`, `Expert` or `ExpertPlus`.
    #[getter]
    fn name(&self) -> &str {
        &self.info.difficulty
    }

    /// 1, 3, 5, 7 or 9.
    #[getter]
    fn rank(&self) -> i32 {
        self.info.rank
    }

    /// Name shown in place of the difficulty, if any.
    #[getter]
    fn label(&self) -> Option<String> {
        self.info.label()
    }

    /// Level file inside of the pack.
    #[getter]
    fn file(&self) -> &str {
        &self.info.file
    }

    /// Format version of the level file.
    #[getter]
    fn version(&self) -> String {
        self.level.version.to_string()
    }

    /// Note jump speed in metres per second.
    #[getter]
    fn njs(&self) -> f64 {
        self.info.njs
    }

    /// Offset of the half jump duration in beats.
    #[getter]
    fn spawn_offset_beats(&self) -> f64 {
        self.info.spawn_offset_beats
    }

    /// `vanilla`, `chroma`, `mapping-extensions`, `noodle` or `vivify`.
    #[getter]
    fn category(&self) -> &str {
        self.category
    }

    /// Mods the level cannot be played without.
    #[getter]
    fn requirements(&self) -> Vec<String> {
        self.info.requirements()
    }

    /// Mods the level makes use of.
    #[getter]
    fn suggestions(&self) -> Vec<String> {
        self.info.suggestions()
    }

    /// The clock of this level.
    #[getter]
    fn tempo(&self) -> TempoMap {
        TempoMap(self.clock.clone())
    }

    /// What was odd in its files: `rule`, `file`, `where`, `message`, `count` each.
    #[getter]
    fn warnings<'py>(&self, py: Python<'py>) -> PyResult<Vec<Record<'py>>> {
        self.warnings.iter().map(|w| warning(py, w)).collect()
    }

    /// Figures at a glance: `notes`, `onsets`, `bombs`, `walls`, `arcs`, `chains`, `events`, `fakes`, `nps`, `first_note_s` and
    /// `last_note_s` (None without notes).
    #[pyo3(signature = () -> "dict[str, typing.Any]")]
    fn stats<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let (d, stats) = (&self.level, self.level.stats(&self.clock));
        let out = PyDict::new(py);
        out.set_item("notes", d.notes.len())?;
        out.set_item("onsets", stats.onsets)?;
        out.set_item("bombs", d.bombs.len())?;
        out.set_item("walls", d.obstacles.len())?;
        out.set_item("arcs", d.arcs.len())?;
        out.set_item("chains", d.chains.len())?;
        out.set_item("events", stats.events)?;
        out.set_item("fakes", stats.fakes)?;
        out.set_item("nps", stats.nps)?;
        out.set_item("first_note_s", stats.first_note_s)?;
        out.set_item("last_note_s", stats.last_note_s)?;
        Ok(out)
    }

    /// Notes without fakes.
    ///
    /// Returns:
    ///     `beat` and `time` float64 `[N]` (beats, seconds), `x` `y` `color` `cut` `angle` int32 `[N]`. Colour 0 is left, 1 right.
    ///     Cut 0 up, 1 down, 2 left, 3 right, 4 up-left, 5 up-right, 6 down-left, 7 down-right, 8 any; angle in degrees
    ///     counter-clockwise on top of it. Values off the 4×3 grid belong to mods.
    #[pyo3(signature = () -> "dict[str, numpy.typing.NDArray[typing.Any]]")]
    fn notes<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        columns!(py, self.level.notes, {
            "beat": |r| r.beat, "time": |r| self.clock.seconds(r.beat), "x": |r| r.x, "y": |r| r.y,
            "color": |r| r.color, "cut": |r| r.cut, "angle": |r| r.angle,
        })
    }

    /// Bombs without fakes.
    ///
    /// Returns:
    ///     `beat` and `time` float64 `[N]`, `x` `y` int32 `[N]`.
    #[pyo3(signature = () -> "dict[str, numpy.typing.NDArray[typing.Any]]")]
    fn bombs<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        columns!(py, self.level.bombs, {
            "beat": |r| r.beat, "time": |r| self.clock.seconds(r.beat), "x": |r| r.x, "y": |r| r.y,
        })
    }

    /// Walls without fakes.
    ///
    /// Returns:
    ///     `beat`, `time` and `duration_beats` float64 `[N]`, `x` `y` `width` `height` int32 `[N]`.
    #[pyo3(signature = () -> "dict[str, numpy.typing.NDArray[typing.Any]]")]
    fn obstacles<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        columns!(py, self.level.obstacles, {
            "beat": |r| r.beat, "time": |r| self.clock.seconds(r.beat), "duration_beats": |r| r.duration_beats,
            "x": |r| r.x, "y": |r| r.y, "width": |r| r.width, "height": |r| r.height,
        })
    }

    /// Arcs.
    ///
    /// Returns:
    ///     `beat` `time` `tail_beat` `tail_time` `multiplier` `tail_multiplier` float64 `[N]`;
    ///     `color` `x` `y` `cut` `tail_x` `tail_y` `tail_cut` `mid_anchor` int32 `[N]`.
    #[pyo3(signature = () -> "dict[str, numpy.typing.NDArray[typing.Any]]")]
    fn arcs<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        columns!(py, self.level.arcs, {
            "beat": |r| r.beat, "time": |r| self.clock.seconds(r.beat),
            "tail_beat": |r| r.tail_beat, "tail_time": |r| self.clock.seconds(r.tail_beat),
            "color": |r| r.color, "x": |r| r.x, "y": |r| r.y, "cut": |r| r.cut, "multiplier": |r| r.multiplier,
            "tail_x": |r| r.tail_x, "tail_y": |r| r.tail_y, "tail_cut": |r| r.tail_cut,
            "tail_multiplier": |r| r.tail_multiplier, "mid_anchor": |r| r.mid_anchor,
        })
    }

    /// Chains without fakes.
    ///
    /// Returns:
    ///     `beat` `time` `tail_beat` `tail_time` `squish` float64 `[N]`; `color` `x` `y` `cut` `tail_x` `tail_y` `slices` int32 `[N]`.
    #[pyo3(signature = () -> "dict[str, numpy.typing.NDArray[typing.Any]]")]
    fn chains<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        columns!(py, self.level.chains, {
            "beat": |r| r.beat, "time": |r| self.clock.seconds(r.beat),
            "tail_beat": |r| r.tail_beat, "tail_time": |r| self.clock.seconds(r.tail_beat),
            "color": |r| r.color, "x": |r| r.x, "y": |r| r.y, "cut": |r| r.cut,
            "tail_x": |r| r.tail_x, "tail_y": |r| r.tail_y, "slices": |r| r.slices, "squish": |r| r.squish,
        })
    }

    /// Basic events (lights, rings, lasers) without boosts.
    ///
    /// Returns:
    ///     `beat` `time` `brightness` float64 `[N]`, `kind` and `value` int32 `[N]`.
    #[pyo3(signature = () -> "dict[str, numpy.typing.NDArray[typing.Any]]")]
    fn lights<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        columns!(py, self.level.lights, {
            "beat": |r| r.beat, "time": |r| self.clock.seconds(r.beat), "kind": |r| r.kind, "value": |r| r.value,
            "brightness": |r| r.brightness,
        })
    }

    /// Boost events.
    ///
    /// Returns:
    ///     `beat` `time` float64 `[N]`, `on` bool `[N]`.
    #[pyo3(signature = () -> "dict[str, numpy.typing.NDArray[typing.Any]]")]
    fn boosts<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        columns!(py, self.level.boosts, {
            "beat": |r: &Boost| r.beat, "time": |r: &Boost| self.clock.seconds(r.beat), "on": |r: &Boost| r.on,
        })
    }

    /// What the file says of each note beyond its columns, as JSON text; the empty text where there is nothing.
    fn note_extras(&self) -> Vec<String> {
        let text =
            |e: &Extra| if e.is_empty() { String::new() } else { serde_json::Value::Object(e.members()).to_string() };
        self.level.notes.iter().map(|n| text(&n.extra)).collect()
    }

    /// A level from arrays, for writing with `save_song`.
    ///
    /// Args:
    ///     characteristic: game mode.
    ///     name: difficulty name.
    ///     bpm: tempo of the song it belongs to.
    ///     njs: note jump speed in metres per second.
    ///     spawn_offset_beats: offset of the half jump duration.
    ///     groups: `notes`, `bombs`, `obstacles`, `arcs`, `chains`, `lights`, `boosts`, `tempo` as the methods of that name
    ///         return them; `time` is ignored, columns left out are 0 (brightness 1, `bpm` of `tempo` required).
    ///
    /// Raises:
    ///     ConfigError: an unknown group or column, columns of different lengths, a beat that is not finite.
    #[staticmethod]
    #[pyo3(signature = (
        *, characteristic: "str" = "Standard", name: "str" = "ExpertPlus", bpm: "float", njs: "float" = 16.0,
        spawn_offset_beats: "float" = 0.0, **groups: "collections.abc.Mapping[str, numpy.typing.ArrayLike]"
    ) -> "Difficulty")]
    fn from_arrays(
        py: Python<'_>,
        characteristic: &str,
        name: &str,
        bpm: f64,
        njs: f64,
        spawn_offset_beats: f64,
        groups: Option<&Bound<'_, PyDict>>,
    ) -> PyResult<Self> {
        let level = crate::rows::level(py, groups)?;
        let rank = core_map::rank_of(name).map_or(0, |r| r.1);
        let mut made = Self::made(py, level, characteristic, rank, bpm, njs, spawn_offset_beats)?;
        // A name the game does not have is kept as it is.
        name.clone_into(&mut made.info.difficulty);
        made.info.file = format!("{name}{characteristic}.dat");
        Ok(made)
    }

    fn __repr__(&self) -> String {
        let d = &self.level;
        format!(
            "<Difficulty {} {} v{}: {} notes, {} bombs, {} walls>",
            self.info.characteristic,
            self.info.difficulty,
            d.version,
            d.notes.len(),
            d.bombs.len(),
            d.obstacles.len()
        )
    }
}

/// A level that cannot be read: what the Info says of it, and why.
type Fault = Box<(core_map::DifficultyInfo, Error)>;

impl Difficulty {
    /// A level made in code, at the place its characteristic and rank give it.
    pub(crate) fn made(
        py: Python<'_>,
        level: core_map::Difficulty,
        characteristic: &str,
        rank: i32,
        bpm: f64,
        njs: f64,
        spawn_offset_beats: f64,
    ) -> PyResult<Self> {
        let clock = level.clock(bpm).map_err(|e| to_python(py, &e))?;
        let name = core_map::RANKS.iter().find(|r| r.1 == rank).map_or("", |r| r.0);
        let info = core_map::DifficultyInfo {
            characteristic: characteristic.to_owned(),
            difficulty: name.to_owned(),
            rank,
            file: format!("{name}{characteristic}.dat"),
            njs,
            spawn_offset_beats,
            color_scheme: -1,
            ..core_map::DifficultyInfo::default()
        };
        Self::of(core_map::Level { info, level: Ok(level), warnings: Vec::new() }, |_| Ok(clock))
            .map_err(|fault| to_python(py, &fault.1))
    }

    /// A level as read or made; what the Info says of it and why, where it cannot be read.
    fn of(
        level: core_map::Level,
        clock: impl FnOnce(&core_map::Difficulty) -> beatweaver_core::Result<timing::TempoMap>,
    ) -> Result<Self, Fault> {
        let category = level.category().as_str();
        let core_map::Level { info, level, warnings } = level;
        match level.and_then(|d| Ok((clock(&d)?, d))) {
            Ok((clock, d)) => Ok(Self { info, level: Arc::new(d), clock, warnings, category }),
            Err(error) => Err(Box::new((info, error))),
        }
    }
}

fn warning<'py>(py: Python<'py>, w: &Warning) -> PyResult<Record<'py>> {
    let out = PyDict::new(py);
    out.set_item("rule", w.rule)?;
    out.set_item("file", &w.place.file)?;
    out.set_item("where", w.place.spot())?;
    out.set_item("message", &w.message)?;
    out.set_item("count", w.count)?;
    Ok(Record(out))
}

/// A song with its levels, as read from a pack.
#[pyclass(frozen, module = "beatweaver._native")]
pub(crate) struct Song {
    /// Without its levels, which are in the fields below.
    song: core_map::Song,
    difficulties: Vec<Py<Difficulty>>,
    faults: Vec<Fault>,
    tempo: timing::TempoMap,
    category: &'static str,
    requirements: Vec<String>,
    suggestions: Vec<String>,
}

#[pymethods]
impl Song {
    /// Title.
    #[getter]
    fn title(&self) -> &str {
        &self.song.info.title
    }

    /// Second line of the title.
    #[getter]
    fn subtitle(&self) -> &str {
        &self.song.info.subtitle
    }

    /// Who made the song.
    #[getter]
    fn artist(&self) -> &str {
        &self.song.info.artist
    }

    /// Who made the level.
    #[getter]
    fn mapper(&self) -> &str {
        &self.song.info.mapper
    }

    /// Base tempo in beats per minute.
    #[getter]
    fn bpm(&self) -> f64 {
        self.song.info.bpm
    }

    /// Shift of the audio against the objects in seconds; 0 in every level that may be uploaded.
    #[getter]
    fn offset_s(&self) -> f64 {
        self.song.info.offset_s
    }

    /// Name of the audio file.
    #[getter]
    fn audio_name(&self) -> &str {
        &self.song.info.audio_file
    }

    /// Whether the audio file is in the pack.
    #[getter]
    fn audio_present(&self) -> bool {
        self.song.audio_present
    }

    /// Length of the audio in seconds, if its header or the Info tells.
    #[getter]
    fn audio_seconds(&self) -> Option<f64> {
        self.song.audio_seconds()
    }

    /// Names of the stages that `difficulties` are played on, one each; empty where none is named.
    #[getter]
    fn environments(&self, py: Python<'_>) -> Vec<String> {
        self.difficulties.iter().map(|level| self.song.info.stage(&level.borrow(py).info).to_owned()).collect()
    }

    /// Name of the cover file.
    #[getter]
    fn cover_name(&self) -> &str {
        &self.song.info.cover_file
    }

    /// Version of the Info file.
    #[getter]
    fn info_version(&self) -> String {
        self.song.info.version.to_string()
    }

    /// Level hash as the game and BeatSaver compute it: 40 hexadecimal digits.
    #[getter]
    fn hash(&self) -> &str {
        &self.song.hash
    }

    /// Content key: the same for the same files, whatever the container.
    #[getter]
    fn key(&self) -> String {
        self.song.key.iter().map(|b| format!("{b:02x}")).collect()
    }

    /// Levels that could be read, in the Info's order.
    #[getter]
    fn difficulties<'py>(&self, py: Python<'py>) -> PyResult<Difficulties<'py>> {
        PyTuple::new(py, self.difficulties.iter().map(|d| d.clone_ref(py))).map(Difficulties)
    }

    /// Levels that could not be read: `characteristic`, `difficulty`, `file`, `error` (an exception) each.
    #[getter]
    fn faults<'py>(&self, py: Python<'py>) -> PyResult<Vec<Record<'py>>> {
        let row = |fault: &Fault| {
            let (info, error) = &**fault;
            let out = PyDict::new(py);
            out.set_item("characteristic", &info.characteristic)?;
            out.set_item("difficulty", &info.difficulty)?;
            out.set_item("file", &info.file)?;
            out.set_item("error", to_python(py, error).into_value(py))?;
            Ok(Record(out))
        };
        self.faults.iter().map(row).collect()
    }

    /// The strongest category among all levels, also those that could not be read.
    #[getter]
    fn category(&self) -> &str {
        self.category
    }

    /// Mods that some level cannot be played without.
    #[getter]
    fn requirements(&self) -> Vec<String> {
        self.requirements.clone()
    }

    /// Mods that some level makes use of.
    #[getter]
    fn suggestions(&self) -> Vec<String> {
        self.suggestions.clone()
    }

    /// The song's clock: of version 4 its audio data, before that the first level's tempo events.
    #[getter]
    fn tempo(&self) -> TempoMap {
        TempoMap(self.tempo.clone())
    }

    /// What was odd in the pack, the Info and the audio data: `rule`, `file`, `where`, `message`, `count` each.
    #[getter]
    fn warnings<'py>(&self, py: Python<'py>) -> PyResult<Vec<Record<'py>>> {
        self.song.warnings.iter().map(|w| warning(py, w)).collect()
    }

    fn __repr__(&self) -> String {
        let info = &self.song.info;
        format!(
            "<Song {:?} by {:?}, mapped by {:?}: {} levels>",
            info.title,
            info.artist,
            info.mapper,
            self.difficulties.len() + self.faults.len()
        )
    }
}

/// Reads a level pack: a folder, a zip, or a path to an Info file; every format version.
///
/// Args:
///     path: the pack.
///
/// Returns:
///     The song. Levels that cannot be read are listed in `faults`, oddities in `warnings`.
///
/// Raises:
///     MapError: no level there, or its Info cannot be read; `path`, `where`, `found`, `expected`, `hint` say more.
///     LimitError: hostile input.
///     OSError: the file system refused.
///
/// Example:
///     >>> song = load_song("my map.zip")                      # doctest: +SKIP
///     >>> song.difficulties[0].notes()["time"][:4]            # doctest: +SKIP
#[pyfunction]
#[pyo3(signature = (path: "str | os.PathLike[str]") -> "Song")]
pub(crate) fn load_song(py: Python<'_>, path: PathBuf) -> PyResult<Song> {
    Song::read(py, move |limits| Pack::open(&path, limits))
}

/// As `load_song`, from the bytes of a zip archive.
///
/// Args:
///     data: the archive.
///     name: what to call it in messages.
///
/// Returns:
///     The song.
///
/// Raises:
///     MapError: as `load_song`.
///     LimitError: hostile input.
#[pyfunction]
#[pyo3(signature = (data: "bytes", *, name: "str" = "archive.zip") -> "Song")]
pub(crate) fn load_song_bytes(py: Python<'_>, data: Vec<u8>, name: &str) -> PyResult<Song> {
    Song::read(py, move |limits| Pack::from_bytes(name, data, limits))
}

/// Categories a mod makes, strongest first.
const MODDED: [Category; 4] = [Category::Vivify, Category::Noodle, Category::MappingExtensions, Category::Chroma];

/// What the levels' Info entries list, each name once.
fn mods(levels: &[core_map::Level], listed: fn(&core_map::DifficultyInfo) -> Vec<String>) -> Vec<String> {
    let mut names: Vec<String> = Vec::new();
    for name in levels.iter().flat_map(|l| listed(&l.info)) {
        if !names.contains(&name) {
            names.push(name);
        }
    }
    names
}

impl Song {
    fn read(py: Python<'_>, open: impl FnOnce(&Limits) -> beatweaver_core::Result<Pack> + Send) -> PyResult<Self> {
        let (mut song, levels) = door::run(py, 0, move || {
            let limits = Limits::default();
            let pack = open(&limits)?;
            let mut song = core_map::Song::read(&pack, &limits)?;
            let levels = std::mem::take(&mut song.levels);
            let tempo = timing::TempoMap::constant(song.info.bpm, 0.0).map_err(|_| Error::Map {
                place: Place::file(pack.info_name()),
                problem: format!("found a tempo of {} BPM, expected a positive number", song.info.bpm),
            })?;
            let mut made = Self {
                category: MODDED
                    .into_iter()
                    .find(|c| levels.iter().any(|l| l.category() == *c))
                    .unwrap_or(Category::Vanilla)
                    .as_str(),
                requirements: mods(&levels, core_map::DifficultyInfo::requirements),
                suggestions: mods(&levels, core_map::DifficultyInfo::suggestions),
                song,
                difficulties: Vec::new(),
                faults: Vec::new(),
                tempo,
            };
            let mut read = Vec::new();
            for level in levels {
                match Difficulty::of(level, |d| made.song.clock(d)) {
                    Ok(level) => read.push(level),
                    Err(fault) => made.faults.push(fault),
                }
            }
            Ok((made, read))
        })?;
        if let Some(first) = levels.first() {
            song.tempo = first.clock.clone();
        }
        song.difficulties = levels.into_iter().map(|d| Py::new(py, d)).collect::<PyResult<_>>()?;
        Ok(song)
    }
}

/// Writes a new level pack from levels made with `Difficulty.from_arrays`.
///
/// Args:
///     path: ends in `.zip` for an archive, which replaces one of that name; anything else is a folder, new or empty.
///     difficulties: the levels; one of each characteristic and name, all made for the tempo `bpm`.
///     title: song title.
///     artist: who made the song.
///     mapper: who made the level.
///     bpm: base tempo.
///     audio: bytes of the Ogg Vorbis file, named `song.egg` in the pack.
///     cover: bytes of a square PNG or JPEG of at least 256 pixels, named `cover.png` or `cover.jpg`.
///     version: format version 2, 3 or 4.
///     environment: name of the stage.
///     preview_start_s: where the preview begins.
///     preview_duration_s: how long it is.
///     editor: program that made the level, as BeatSaver looks for it in the song's custom data.
///
/// Returns:
///     What the version cannot say: `difficulty`, `what`, `count` each.
///
/// Raises:
///     ConfigError: no level, a level twice, a level of another tempo, or no such version.
///     FileExistsError: the folder exists and is not empty.
///     OSError: the file system refused; nothing is left half-written.
///
/// Example:
///     >>> hard = Difficulty.from_arrays(name="Hard", bpm=120, notes={"beat": [4, 5], "x": [1, 2], "color": [0, 1]})
///     >>> save_song("my map.zip", [hard], title="Song", bpm=120, audio=ogg_bytes)             # doctest: +SKIP
#[pyfunction]
#[pyo3(signature = (
    path: "str | os.PathLike[str]", difficulties: "collections.abc.Sequence[Difficulty]", *, title: "str", artist: "str" = "",
    mapper: "str" = "", bpm: "float", audio: "bytes", cover: "bytes | None" = None,
    version: "typing.Literal[2, 3, 4]" = 3,
    environment: "str" = "DefaultEnvironment", preview_start_s: "float" = 0.0, preview_duration_s: "float" = 10.0,
    editor: "str" = ""
) -> "list[dict[str, typing.Any]]")]
#[allow(clippy::too_many_arguments)]
pub(crate) fn save_song<'py>(
    py: Python<'py>,
    path: PathBuf,
    difficulties: Vec<PyRef<'py, Difficulty>>,
    title: String,
    artist: &str,
    mapper: &str,
    bpm: f64,
    audio: Vec<u8>,
    cover: Option<Vec<u8>>,
    version: Major,
    environment: &str,
    preview_start_s: f64,
    preview_duration_s: f64,
    editor: &str,
) -> PyResult<Vec<Bound<'py, PyDict>>> {
    fit_together(&difficulties, bpm).map_err(|e| to_python(py, &e))?;
    let cover_file = match cover.as_deref() {
        Some([0x89, b'P', ..]) => "cover.png",
        Some(_) => "cover.jpg",
        None => "",
    };
    let mut extra = Extra::default();
    if !editor.is_empty() {
        let made_by = serde_json::json!({ "_editors": { "_lastEditedBy": editor, editor: { "version": env!("CARGO_PKG_VERSION") } } });
        extra.set("_customData", made_by);
    }
    let info = core_map::Info {
        title,
        artist: artist.to_owned(),
        mapper: mapper.to_owned(),
        bpm,
        preview_start_s,
        preview_duration_s,
        audio_file: "song.egg".into(),
        cover_file: cover_file.into(),
        environment: environment.to_owned(),
        extra,
        ..core_map::Info::default()
    };
    let levels: Vec<_> = difficulties.iter().map(|d| (d.info.clone(), (*d.level).clone())).collect();
    let lost = door::run(py, 0, move || {
        let song = core_map::Song::new(info, levels, Some(&audio));
        let (files, lost) = song.write(version)?;
        let mut files: Vec<(String, Cow<[u8]>)> = files.into_iter().map(|(n, b)| (n, Cow::Owned(b))).collect();
        files.push(("song.egg".into(), Cow::Owned(audio)));
        if let Some(cover) = cover {
            files.push((song.info.cover_file.clone(), Cow::Owned(cover)));
        }
        write_pack(&path, &files)?;
        Ok(lost)
    })?;
    losses(py, &lost, &[])
}

/// Refuses levels that would not be the same once they stand in one song.
fn fit_together(difficulties: &[PyRef<'_, Difficulty>], bpm: f64) -> beatweaver_core::Result<()> {
    let refuse = |field: &str, problem| Err(Error::Spec { field: field.to_owned(), problem });
    if difficulties.is_empty() {
        return refuse("difficulties", "found none, expected at least one".to_owned());
    }
    for (i, d) in difficulties.iter().enumerate() {
        let names = |d: &Difficulty| (d.info.characteristic.clone(), d.info.difficulty.clone());
        let (characteristic, name) = names(d);
        if difficulties[..i].iter().any(|other| names(other) == (characteristic.clone(), name.clone())) {
            return refuse("difficulties", format!("found {characteristic} {name} twice, expected one of each"));
        }
        if d.level.clock(bpm)? != d.clock {
            let problem = format!(
                "found {bpm}, but {characteristic} {name} has another tempo; make all levels with one `bpm` \
                 (`convert_song` keeps the tempo of a level that was read)"
            );
            return refuse("bpm", problem);
        }
    }
    Ok(())
}

fn write_pack(path: &std::path::Path, files: &[(String, Cow<[u8]>)]) -> beatweaver_core::Result<()> {
    if path.extension().is_some_and(|e| e.eq_ignore_ascii_case("zip")) {
        pack::write_zip(path, files)
    } else {
        pack::write_folder(path, files)
    }
}

fn losses<'py>(
    py: Python<'py>,
    lost: &[(String, core_map::Loss)],
    unread: &[String],
) -> PyResult<Vec<Bound<'py, PyDict>>> {
    let row = |(difficulty, loss): &(String, core_map::Loss)| {
        let out = PyDict::new(py);
        out.set_item("difficulty", difficulty)?;
        out.set_item("what", &loss.what)?;
        out.set_item("count", loss.count)?;
        out.set_item("whole", unread.contains(difficulty))?;
        Ok(out)
    };
    lost.iter().map(row).collect()
}

/// Writes a pack again in another format version; audio, cover and all other files go along.
///
/// Args:
///     path: the pack to read.
///     out: ends in `.zip` for an archive, which replaces one of that name; anything else is a folder, new or empty.
///     version: format version 2, 3 or 4.
///
/// Returns:
///     What the version cannot say: `difficulty` ("" for the song), `what`, `count` each. A level that could not be read is
///     left out and has `whole` True.
///
/// Raises:
///     MapError: as `load_song`, or no level of it can be read.
///     FileExistsError: the folder exists and is not empty.
///     ConfigError: no such version.
///     OSError: the file system refused; nothing is left half-written.
#[pyfunction]
#[pyo3(signature = (
    path: "str | os.PathLike[str]", out: "str | os.PathLike[str]", *, version: "typing.Literal[2, 3, 4]"
) -> "list[dict[str, typing.Any]]")]
pub(crate) fn convert_song(
    py: Python<'_>,
    path: PathBuf,
    out: PathBuf,
    version: Major,
) -> PyResult<Vec<Bound<'_, PyDict>>> {
    let (lost, unread) = door::run(py, 0, move || {
        let limits = Limits::default();
        let pack = Pack::open(&path, &limits)?;
        let song = core_map::Song::read(&pack, &limits)?;
        if song.levels.iter().all(|l| l.level.is_err()) {
            let problem = "found no level that can be read, expected at least one".into();
            return Err(Error::Map { place: Place::file(path.to_string_lossy()), problem });
        }
        let (files, lost) = song.write(version)?;
        let mut files: Vec<(String, Cow<[u8]>)> = files.into_iter().map(|(n, b)| (n, Cow::Owned(b))).collect();
        for name in song.other_files(&pack, version) {
            let bytes = pack.read(&name)?;
            files.push((name, Cow::Owned(bytes)));
        }
        write_pack(&out, &files)?;
        let unread = song.levels.iter().filter(|l| l.level.is_err());
        let unread = unread.map(|l| format!("{} {}", l.info.characteristic, l.info.difficulty)).collect::<Vec<_>>();
        Ok((lost, unread))
    })?;
    losses(py, &lost, &unread)
}

/// Writes a pack again with other lights in some of its levels; everything else stays as it is.
///
/// Args:
///     path: the pack to read.
///     out: ends in `.zip` for an archive, which replaces one of that name; anything else is a folder, new or empty.
///     lights: by characteristic and difficulty the groups `lights` and `boosts`, as `Difficulty.from_arrays` takes them.
///
/// Raises:
///     MapError: as `load_song`.
///     ConfigError: a level that is not there, cannot be read or shares its file; another group; a column that does not fit.
///     FileExistsError: the folder exists and is not empty.
///     OSError: the file system refused; nothing is left half-written.
#[pyfunction]
#[pyo3(signature = (
    path: "str | os.PathLike[str]", out: "str | os.PathLike[str]",
    lights: "collections.abc.Mapping[tuple[str, str], collections.abc.Mapping[str, collections.abc.Mapping[str, numpy.typing.ArrayLike]]]"
) -> "None")]
pub(crate) fn relight_song(
    py: Python<'_>,
    path: PathBuf,
    out: PathBuf,
    lights: BTreeMap<(String, String), Bound<'_, PyDict>>,
) -> PyResult<()> {
    let mut levels = Vec::new();
    for ((characteristic, difficulty), groups) in lights {
        for key in groups.keys() {
            let key: String = key.extract()?;
            if key != "lights" && key != "boosts" {
                let problem = format!("found the group {key:?}, expected lights and boosts");
                return Err(to_python(py, &Error::Spec { field: "lights".into(), problem }));
            }
        }
        levels.push((characteristic, difficulty, crate::rows::level(py, Some(&groups))?));
    }
    door::run(py, 0, move || {
        let limits = Limits::default();
        let pack = Pack::open(&path, &limits)?;
        let files = core_map::Song::read(&pack, &limits)?.relit(&pack, &levels)?;
        let files: Vec<(String, Cow<[u8]>)> = files.into_iter().map(|(n, b)| (n, Cow::Owned(b))).collect();
        write_pack(&out, &files)
    })
}

/// Would BeatSaver take it, do its files say what the format allows, and, if a preset is named, does it play well?
///
/// Args:
///     path: the pack.
///     preset: one of `play_presets()`, whose rules of play the levels are held against; None for files only.
///
/// Returns:
///     Findings: `rule`, `severity` (`error`, `rank`, `warning`, `info`), `characteristic`, `difficulty`, `file`, `where` (a JSON
///     pointer; of the rules of play the object in words), `beat`, `time_s`, `message`, `count` each. Those of the files come
///     first; those of play are never folded.
///
/// Raises:
///     MapError: no level there.
///     ConfigError: no such preset.
///     OSError: the file system refused.
#[pyfunction]
#[pyo3(signature = (
    path: "str | os.PathLike[str]", *, preset: "str | None" = None
) -> "list[dict[str, typing.Any]]")]
pub(crate) fn check_song<'py>(
    py: Python<'py>,
    path: PathBuf,
    preset: Option<&str>,
) -> PyResult<Vec<Bound<'py, PyDict>>> {
    let preset = preset.map(|name| crate::play::preset(py, name)).transpose()?;
    let findings = door::run(py, 0, move || {
        let limits = Limits::default();
        let pack = Pack::open(&path, &limits)?;
        let mut findings = check_upload(&pack)?;
        if let Some(preset) = preset {
            // A pack that cannot be read has findings that say why.
            findings.extend(play::check(&pack, &limits, preset).unwrap_or_default());
        }
        Ok(findings)
    })?;
    findings
        .into_iter()
        .map(|f| {
            let out = PyDict::new(py);
            out.set_item("rule", f.rule)?;
            out.set_item("severity", f.severity.as_str())?;
            out.set_item("characteristic", f.characteristic)?;
            out.set_item("difficulty", f.difficulty)?;
            out.set_item("file", f.file)?;
            out.set_item("where", f.place)?;
            out.set_item("beat", f.beat)?;
            out.set_item("time_s", f.time_s)?;
            out.set_item("message", f.message)?;
            out.set_item("count", f.count)?;
            Ok(out)
        })
        .collect()
}

/// Every rule of `check_song` about files; those of play are in `play_rules`.
///
/// Returns:
///     `(rule, severity, what it is about)` each.
#[pyfunction]
pub(crate) fn check_rules() -> Vec<(&'static str, &'static str, &'static str)> {
    rules::rules().iter().map(|(id, severity, about)| (*id, severity.as_str(), *about)).collect()
}
