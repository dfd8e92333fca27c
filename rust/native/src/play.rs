//! The facts of play, its rules, and what a composer asks, as Python sees them.

#![expect(clippy::needless_pass_by_value, reason = "PyO3 hands arguments over by value")]

use std::sync::Mutex;

use beatweaver_core::Error;
use beatweaver_core::play::{self, CHOICES, Choice, Hand, Parities, Preset, Reasons, Setup};
use numpy::{IntoPyArray, PyReadwriteArray1, PyUntypedArrayMethods};
use pyo3::prelude::*;
use pyo3::types::PyDict;

use crate::door;
use crate::error::to_python;
use crate::map::{Difficulty, TempoMap};

fn refuse(py: Python<'_>, field: &str, problem: String) -> PyErr {
    to_python(py, &Error::Spec { field: field.to_owned(), problem })
}

/// The preset of a name.
pub(crate) fn preset(py: Python<'_>, name: &str) -> PyResult<Preset> {
    Preset::named(name).ok_or_else(|| {
        let known: Vec<_> = Preset::ALL.iter().map(|preset| preset.as_str()).collect();
        refuse(py, "preset", format!("found {name:?}, expected one of {}", known.join(", ")))
    })
}

/// The swings of a level: which hand, how fast, and whether its parity holds.
///
/// Args:
///     difficulty: the level.
///     tempo: its clock; the level's own unless given.
///
/// Returns:
///     A row per swing, in the order of their first notes, `[S]` each. float64: `time` and `beat` of the first note, `angle`
///     (degrees, 0 down, counter-clockwise; NaN for dots that do not say), `distance` (cells from the hand's swing before),
///     `gap_s` (since its last note, infinite for the first), `effective_bpm` (from that note) and `swing_bpm` (from that
///     swing's first). uint8: `hand` (0 left, 1 right). bool: `crossover`. uint32: `first_note` and `last_note`, rows of
///     `notes()`. And of two models, MapCheck's (`wrist`) and bs-parity's (`alternation`): `wrist_parity` uint8 (0 forehand,
///     1 backhand), `wrist_flow` uint8 (0 kept, 1 awkward, 2 broken), `wrist_reset` bool (the parity of the hand's swing
///     before once more), and the same with `alternation`.
///
/// Example:
///     >>> level = Difficulty.from_arrays(bpm=120, notes={"beat": [4, 5], "color": [0, 0], "cut": [1, 1]})
///     >>> play_facts(level)["wrist_flow"].tolist()
///     [0, 2]
#[pyfunction]
#[pyo3(signature = (
    difficulty: "Difficulty", tempo: "TempoMap | None" = None
) -> "dict[str, numpy.typing.NDArray[typing.Any]]")]
pub(crate) fn play_facts<'py>(
    py: Python<'py>,
    difficulty: PyRef<'py, Difficulty>,
    tempo: Option<PyRef<'py, TempoMap>>,
) -> PyResult<Bound<'py, PyDict>> {
    let level = difficulty.level.clone();
    let clock = tempo.map_or_else(|| difficulty.clock.clone(), |tempo| tempo.0.clone());
    let facts = door::run(py, 0, move || Ok(play::facts(&level, &clock)))?;
    let out = PyDict::new(py);
    out.set_item("time", facts.time_s.into_pyarray(py))?;
    out.set_item("beat", facts.beat.into_pyarray(py))?;
    out.set_item("hand", facts.hand.iter().map(|hand| *hand as u8).collect::<Vec<_>>().into_pyarray(py))?;
    out.set_item("angle", facts.angle_deg.into_pyarray(py))?;
    out.set_item("distance", facts.distance.into_pyarray(py))?;
    out.set_item("gap_s", facts.gap_s.into_pyarray(py))?;
    out.set_item("effective_bpm", facts.effective_bpm.into_pyarray(py))?;
    out.set_item("swing_bpm", facts.swing_bpm.into_pyarray(py))?;
    out.set_item("crossover", facts.crossover.into_pyarray(py))?;
    out.set_item("first_note", facts.first_note.into_pyarray(py))?;
    out.set_item("last_note", facts.last_note.into_pyarray(py))?;
    for (name, view) in [("wrist", facts.wrist), ("alternation", facts.alternation)] {
        let Parities { parity, flow, reset } = view;
        let parity: Vec<u8> = parity.into_iter().map(|parity| parity as u8).collect();
        let flow: Vec<u8> = flow.into_iter().map(|flow| flow as u8).collect();
        out.set_item(format!("{name}_parity"), parity.into_pyarray(py))?;
        out.set_item(format!("{name}_flow"), flow.into_pyarray(py))?;
        out.set_item(format!("{name}_reset"), reset.into_pyarray(py))?;
    }
    Ok(out)
}

/// Every rule of play.
///
/// Returns:
///     `rule`, `severity`, `about`, `source` (the validator it is from), `presets` (names of those it holds in) and `limits` (by
///     name the value in each preset, in the order of `play_presets`) each.
#[pyfunction]
#[pyo3(signature = () -> "list[dict[str, typing.Any]]")]
pub(crate) fn play_rules(py: Python<'_>) -> PyResult<Vec<Bound<'_, PyDict>>> {
    let row = |rule: &&'static play::Rule| {
        let out = PyDict::new(py);
        out.set_item("rule", rule.id)?;
        out.set_item("severity", rule.severity.as_str())?;
        out.set_item("about", rule.about)?;
        out.set_item("source", rule.source)?;
        let on = Preset::ALL.into_iter().zip(rule.on).filter(|(_, on)| *on).map(|(preset, _)| preset.as_str());
        out.set_item("presets", on.collect::<Vec<_>>())?;
        let limits = PyDict::new(py);
        for limit in rule.limits {
            limits.set_item(limit.name, limit.values.to_vec())?;
        }
        out.set_item("limits", limits)?;
        Ok(out)
    };
    play::rules().iter().map(row).collect()
}

/// Names of the presets that a level can be held against.
#[pyfunction]
pub(crate) fn play_presets() -> Vec<&'static str> {
    Preset::ALL.iter().map(|preset| preset.as_str()).collect()
}

/// The hands of a level that is being composed, note by note: which note may come next.
///
/// A note is a choice 0 to 107, ((column × 3) + row) × 9 + cut, as the tokens LEFT and RIGHT are numbered. Whatever is composed
/// of allowed notes alone breaks parity in neither model, and none of its notes has an error under the preset `default`.
///
/// Example:
///     >>> import numpy as np
///     >>> state = PlayState(TempoMap([0], [120]), njs=16)
///     >>> state.push(0, 4, 28)
///     >>> mask = np.zeros(108, bool)
///     >>> state.mask(0, 5, mask) == mask.sum(), bool(mask[28])
///     (True, False)
///     >>> state.judge(0, 5, 28)
///     ['parity-break', 'parity-flow', 'double-directional']
#[pyclass(frozen, module = "beatweaver._native")]
pub(crate) struct PlayState(Mutex<play::State>);

impl PlayState {
    fn with<T>(&self, work: impl FnOnce(&mut play::State) -> T) -> T {
        // A panic cannot leave it half-changed: a note is checked before it is added.
        work(&mut self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner))
    }

    fn fill(
        &self,
        py: Python<'_>,
        hand: u8,
        mut out: PyReadwriteArray1<'_, bool>,
        work: impl FnOnce(&play::State, Hand, &mut [bool; CHOICES]) -> usize,
    ) -> PyResult<usize> {
        let hand = hand_of(py, hand)?;
        let length = out.len();
        let slice = if out.is_c_contiguous() { out.as_slice_mut().ok() } else { None };
        let array = slice.and_then(|slice| <&mut [bool; CHOICES]>::try_from(slice).ok());
        let array = array.ok_or_else(|| {
            refuse(py, "out", format!("found {length} values, or not contiguous ones, expected {CHOICES} in a row"))
        })?;
        Ok(self.with(|state| work(state, hand, array)))
    }
}

fn hand_of(py: Python<'_>, hand: u8) -> PyResult<Hand> {
    let found = Hand::of_color(hand.into());
    found.ok_or_else(|| refuse(py, "hand", format!("found {hand}, expected 0 (left) or 1 (right)")))
}

fn choice_of(py: Python<'_>, choice: usize) -> PyResult<Choice> {
    Choice::at(choice).ok_or_else(|| refuse(py, "choice", format!("found {choice}, expected 0 to {}", CHOICES - 1)))
}

#[pymethods]
impl PlayState {
    /// The hands before the first note.
    ///
    /// Args:
    ///     tempo: the level's clock.
    ///     rank: difficulty: 1, 3, 5, 7 or 9.
    ///     njs: note jump speed in metres per second.
    ///     reaction_s: time between a note's appearance and its cut.
    ///     bpm: tempo of the song, which limits the speed of swings; the slowest of `tempo` unless given.
    ///     avoid: names of what keeps a note from being allowed, of `PlayState.reasons()`; `PlayState.hard()` unless given.
    ///
    /// Raises:
    ///     ConfigError: a speed or time that is not positive, or an unknown name.
    #[new]
    #[pyo3(signature = (
        tempo: "TempoMap", *, rank: "int" = 9, njs: "float" = 16.0, reaction_s: "float" = 0.5, bpm: "float | None" = None,
        avoid: "collections.abc.Sequence[str] | None" = None
    ))]
    fn new(
        py: Python<'_>,
        tempo: PyRef<'_, TempoMap>,
        rank: i32,
        njs: f64,
        reaction_s: f64,
        bpm: Option<f64>,
        avoid: Option<Vec<String>>,
    ) -> PyResult<Self> {
        let avoid = match avoid {
            None => Reasons::HARD,
            Some(names) => names.iter().try_fold(Reasons::NONE, |set, name| {
                let found = Reasons::named(name).ok_or_else(|| {
                    refuse(py, "avoid", format!("found {name:?}, expected one of {}", Self::reasons().join(", ")))
                });
                found.map(|reason| set | reason)
            })?,
        };
        let setup = Setup { rank, njs, reaction_s, bpm, avoid };
        let state = play::State::new(tempo.0.clone(), setup).map_err(|error| to_python(py, &error))?;
        Ok(Self(Mutex::new(state)))
    }

    /// Names of everything that can speak against a note.
    #[staticmethod]
    fn reasons() -> Vec<&'static str> {
        Reasons::NAMED.iter().map(|(_, name)| *name).collect()
    }

    /// Names of what is avoided unless told otherwise.
    #[staticmethod]
    fn hard() -> Vec<&'static str> {
        Reasons::HARD.names().collect()
    }

    /// Says which notes a hand may cut at a beat; it may be none, then the hand has to rest.
    ///
    /// Args:
    ///     hand: 0 left, 1 right.
    ///     beat: where.
    ///     out: bool `[108]`, C-contiguous, filled in place.
    ///
    /// Returns:
    ///     How many are allowed.
    ///
    /// Raises:
    ///     ConfigError: no such hand, or another shape.
    #[pyo3(signature = (hand: "int", beat: "float", out: "numpy.typing.NDArray[numpy.bool_]") -> "int")]
    fn mask(&self, py: Python<'_>, hand: u8, beat: f64, out: PyReadwriteArray1<'_, bool>) -> PyResult<usize> {
        self.fill(py, hand, out, |state, hand, out| state.mask(hand, beat, out))
    }

    /// As `mask`, for a hand whose other hand cuts `taken` at the same beat.
    ///
    /// Args:
    ///     hand: 0 left, 1 right.
    ///     beat: where.
    ///     taken: the other hand's choice.
    ///     out: bool `[108]`, C-contiguous, filled in place.
    ///
    /// Returns:
    ///     How many are allowed.
    ///
    /// Raises:
    ///     ConfigError: no such hand or choice, or another shape.
    #[pyo3(signature = (hand: "int", beat: "float", taken: "int", out: "numpy.typing.NDArray[numpy.bool_]") -> "int")]
    fn mask_beside(
        &self,
        py: Python<'_>,
        hand: u8,
        beat: f64,
        taken: usize,
        out: PyReadwriteArray1<'_, bool>,
    ) -> PyResult<usize> {
        let taken = choice_of(py, taken)?;
        self.fill(py, hand, out, |state, hand, out| state.mask_beside(hand, beat, taken, out))
    }

    /// Everything that speaks against a note, avoided or not.
    ///
    /// Args:
    ///     hand: 0 left, 1 right.
    ///     beat: where.
    ///     choice: place and direction.
    ///
    /// Returns:
    ///     Names of `PlayState.reasons()`.
    ///
    /// Raises:
    ///     ConfigError: no such hand or choice.
    #[pyo3(signature = (hand: "int", beat: "float", choice: "int") -> "list[str]")]
    fn judge(&self, py: Python<'_>, hand: u8, beat: f64, choice: usize) -> PyResult<Vec<&'static str>> {
        let (hand, choice) = (hand_of(py, hand)?, choice_of(py, choice)?);
        Ok(self.with(|state| state.judge(hand, beat, choice).names().collect()))
    }

    /// Goes on by one note, allowed or not; both hands at one beat one after the other.
    ///
    /// Args:
    ///     hand: 0 left, 1 right.
    ///     beat: where; not before the last one.
    ///     choice: place and direction.
    ///
    /// Raises:
    ///     ConfigError: no such hand or choice, or a beat before the last one; nothing is changed then.
    #[pyo3(signature = (hand: "int", beat: "float", choice: "int") -> "None")]
    fn push(&self, py: Python<'_>, hand: u8, beat: f64, choice: usize) -> PyResult<()> {
        let (hand, choice) = (hand_of(py, hand)?, choice_of(py, choice)?);
        self.with(|state| state.push(hand, beat, choice)).map_err(|error| to_python(py, &error))
    }

    /// A state that goes on from here on its own.
    fn copy(&self) -> Self {
        Self(Mutex::new(self.with(|state| state.clone())))
    }
}
