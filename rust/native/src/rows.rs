//! Columns from Python → rows of the model.

use beatweaver_core::Error;
use beatweaver_core::map::{Arc, Bomb, Boost, Chain, Difficulty, Light, Note, Obstacle, TempoEvent};
use numpy::{AllowTypeChange, PyArrayLike1};
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyMapping};

use crate::error::to_python;

/// The columns of one group.
struct Columns {
    group: &'static str,
    columns: Vec<(String, Vec<f64>)>,
    rows: usize,
}

impl Columns {
    fn read(py: Python<'_>, group: &'static str, known: &[&str], value: &Bound<'_, PyAny>) -> PyResult<Self> {
        let refuse = |problem: String| Err(to_python(py, &Error::Spec { field: group.to_owned(), problem }));
        let mut columns: Vec<(String, Vec<f64>)> = Vec::new();
        for item in value.cast::<PyMapping>()?.items()?.iter() {
            let (name, array): (String, PyArrayLike1<'_, f64, AllowTypeChange>) = item.extract()?;
            if !known.contains(&name.as_str()) && !DERIVED.contains(&name.as_str()) {
                return refuse(format!("found the column {name:?}, expected {}", known.join(", ")));
            }
            let column: Vec<f64> = array.as_array().iter().copied().collect();
            if let Some(row) = column.iter().position(|v| !v.is_finite()) {
                return refuse(format!("found {} in column {name:?}, row {row}, expected finite numbers", column[row]));
            }
            let whole = |v: &f64| v.fract() == 0.0 && (f64::from(i32::MIN)..=f64::from(i32::MAX)).contains(v);
            if !FLOATS.contains(&name.as_str())
                && let Some(row) = column.iter().position(|v| !whole(v))
            {
                let found = column[row];
                return refuse(format!("found {found} in column {name:?}, row {row}, expected 32-bit whole numbers"));
            }
            columns.push((name, column));
        }
        let rows = columns.first().map_or(0, |c| c.1.len());
        if let Some((name, column)) = columns.iter().find(|c| c.1.len() != rows) {
            return refuse(format!("found {} rows in column {name:?}, expected {rows} as in the first", column.len()));
        }
        Ok(Self { group, columns, rows })
    }

    /// Refuses a group that leaves out what it cannot do without.
    fn require(&self, py: Python<'_>, names: &[&str]) -> PyResult<()> {
        for name in names {
            if self.rows > 0 && !self.columns.iter().any(|c| c.0 == *name) {
                let problem = format!("found no column {name:?}, expected one");
                return Err(to_python(py, &Error::Spec { field: self.group.to_owned(), problem }));
            }
        }
        Ok(())
    }

    fn float(&self, name: &str, row: usize, absent: f64) -> f64 {
        self.columns.iter().find(|c| c.0 == name).map_or(absent, |c| c.1[row])
    }

    fn int(&self, name: &str, row: usize) -> i32 {
        self.float(name, row, 0.0) as i32
    }
}

/// Columns that follow from others: they come with arrays that were read, and are left aside.
const DERIVED: [&str; 3] = ["time", "tail_time", "time_s"];
/// Columns that are no whole numbers.
const FLOATS: [&str; 11] = [
    "beat",
    "tail_beat",
    "duration_beats",
    "multiplier",
    "tail_multiplier",
    "squish",
    "brightness",
    "bpm",
    "time",
    "tail_time",
    "time_s",
];
const NOTES: [&str; 6] = ["beat", "x", "y", "color", "cut", "angle"];
const BOMBS: [&str; 3] = ["beat", "x", "y"];
const OBSTACLES: [&str; 6] = ["beat", "duration_beats", "x", "y", "width", "height"];
const ARCS: [&str; 12] = [
    "beat",
    "color",
    "x",
    "y",
    "cut",
    "multiplier",
    "tail_beat",
    "tail_x",
    "tail_y",
    "tail_cut",
    "tail_multiplier",
    "mid_anchor",
];
const CHAINS: [&str; 10] = ["beat", "color", "x", "y", "cut", "tail_beat", "tail_x", "tail_y", "slices", "squish"];
const LIGHTS: [&str; 4] = ["beat", "kind", "value", "brightness"];
const BOOSTS: [&str; 2] = ["beat", "on"];
const TEMPO: [&str; 2] = ["beat", "bpm"];

/// A level from groups of columns.
pub(crate) fn level(py: Python<'_>, groups: Option<&Bound<'_, PyDict>>) -> PyResult<Difficulty> {
    let mut d = Difficulty::default();
    for (key, value) in groups.into_iter().flatten() {
        let key: String = key.extract()?;
        macro_rules! rows {
            ($name:literal, $known:expr, |$c:ident, $i:ident| $row:expr) => {{
                let $c = Columns::read(py, $name, &$known, &value)?;
                $c.require(py, &["beat"])?;
                (0..$c.rows).map(|$i| $row).collect()
            }};
        }
        match key.as_str() {
            "notes" => {
                d.notes = rows!("notes", NOTES, |c, i| Note {
                    beat: c.float("beat", i, 0.0),
                    x: c.int("x", i),
                    y: c.int("y", i),
                    color: c.int("color", i),
                    cut: c.int("cut", i),
                    angle: c.int("angle", i),
                    ..Note::default()
                });
            }
            "bombs" => {
                d.bombs = rows!("bombs", BOMBS, |c, i| Bomb {
                    beat: c.float("beat", i, 0.0),
                    x: c.int("x", i),
                    y: c.int("y", i),
                    ..Bomb::default()
                });
            }
            "obstacles" => {
                d.obstacles = rows!("obstacles", OBSTACLES, |c, i| Obstacle {
                    beat: c.float("beat", i, 0.0),
                    duration_beats: c.float("duration_beats", i, 0.0),
                    x: c.int("x", i),
                    y: c.int("y", i),
                    width: c.int("width", i),
                    height: c.int("height", i),
                    ..Obstacle::default()
                });
            }
            "arcs" => {
                d.arcs = rows!("arcs", ARCS, |c, i| Arc {
                    beat: c.float("beat", i, 0.0),
                    color: c.int("color", i),
                    x: c.int("x", i),
                    y: c.int("y", i),
                    cut: c.int("cut", i),
                    multiplier: c.float("multiplier", i, 1.0),
                    tail_beat: c.float("tail_beat", i, 0.0),
                    tail_x: c.int("tail_x", i),
                    tail_y: c.int("tail_y", i),
                    tail_cut: c.int("tail_cut", i),
                    tail_multiplier: c.float("tail_multiplier", i, 1.0),
                    mid_anchor: c.int("mid_anchor", i),
                    ..Arc::default()
                });
            }
            "chains" => {
                d.chains = rows!("chains", CHAINS, |c, i| Chain {
                    beat: c.float("beat", i, 0.0),
                    color: c.int("color", i),
                    x: c.int("x", i),
                    y: c.int("y", i),
                    cut: c.int("cut", i),
                    tail_beat: c.float("tail_beat", i, 0.0),
                    tail_x: c.int("tail_x", i),
                    tail_y: c.int("tail_y", i),
                    slices: c.int("slices", i),
                    squish: c.float("squish", i, 1.0),
                    ..Chain::default()
                });
            }
            "lights" => {
                d.lights = rows!("lights", LIGHTS, |c, i| Light {
                    beat: c.float("beat", i, 0.0),
                    kind: c.int("kind", i),
                    value: c.int("value", i),
                    brightness: c.float("brightness", i, 1.0),
                    ..Light::default()
                });
            }
            "boosts" => {
                d.boosts = rows!("boosts", BOOSTS, |c, i| Boost {
                    beat: c.float("beat", i, 0.0),
                    on: c.float("on", i, 0.0) != 0.0,
                    ..Boost::default()
                });
            }
            "tempo" => {
                let columns = Columns::read(py, "tempo", &TEMPO, &value)?;
                columns.require(py, &TEMPO)?;
                let row = |i| TempoEvent {
                    beat: columns.float("beat", i, 0.0),
                    bpm: columns.float("bpm", i, 0.0),
                    ..TempoEvent::default()
                };
                d.tempo = (0..columns.rows).map(row).collect();
            }
            other => {
                let problem = "expected notes, bombs, obstacles, arcs, chains, lights, boosts or tempo".into();
                return Err(to_python(py, &Error::Spec { field: other.to_owned(), problem }));
            }
        }
    }
    d.sort();
    Ok(d)
}
