//! A folder of packs → token shards and the columns of their index.

#![expect(clippy::needless_pass_by_value, reason = "PyO3 hands arguments over by value")]

use std::path::PathBuf;

use beatweaver_core::Limits;
use beatweaver_core::corpus::{self, LevelRecord, Outcome, PackRecord, Spec};
use numpy::IntoPyArray;
use pyo3::prelude::*;
use pyo3::types::PyDict;

use crate::door;
use crate::error::to_python;

/// Reads, filters and encodes every level pack below `root` into token shards in `out`; what an earlier run left is kept.
///
/// Args:
///     root: a folder that holds packs (zips, or folders with an Info file), or one pack.
///     out: folder to write to; `tokens/` is made in it, and `features/` and `slots/` (as `Store` reads them) with audio.
///     spec_json: `ProcessConfig` without `splits` and `threads`, as JSON.
///     audio_json: `AudioConfig.canonical()` to hear the songs as well; None leaves them.
///     threads: 0 for `BEATWEAVER_THREADS` or all cores.
///     progress: called with packs done and packs found, at most ten times a second.
///
/// Returns:
///     One column per field, one row per level (a pack that could not be read is one row): texts as lists, numbers as
///     arrays. `fault_type` and `fault_message` say why a row could not be read, `filter` why it is not in the tokens,
///     `shard` and `row` where its tokens are (−1: nowhere). Of the sound: `audio_key` in `features/`, `slots_key` and `slots`
///     in `slots/` (empty and 0: not there), `audio_fault_type` and `audio_fault_message`, and lists with None where there
///     is no sound: `audio_s`, `audio_silent_share`, `audio_onset_share`, `audio_offset_ms`, `audio_shorter_than_map`. Further `shards` and `reused`: how many shards there are, and
///     how many packs an earlier run had done.
///
/// Raises:
///     ConfigError: `spec_json` or `audio_json` is not valid.
///     MapError: no pack below `root`.
///     OSError: the file system refused.
///     KeyboardInterrupt: Ctrl-C; what is written stays valid, and running again goes on from there.
#[pyfunction]
#[pyo3(signature = (
    root: "str | os.PathLike[str]", out: "str | os.PathLike[str]", *, spec_json: "bytes",
    audio_json: "bytes | None" = None, threads: "int" = 0,
    progress: "collections.abc.Callable[[int, int], object] | None" = None
) -> "dict[str, typing.Any]")]
pub(crate) fn process<'py>(
    py: Python<'py>,
    root: PathBuf,
    out: PathBuf,
    spec_json: Vec<u8>,
    audio_json: Option<Vec<u8>>,
    threads: usize,
    progress: Option<Bound<'py, PyAny>>,
) -> PyResult<Bound<'py, PyDict>> {
    let spec = Spec::from_json(&spec_json).map_err(|e| to_python(py, &e))?;
    let outcome = door::run_watched(py, threads, progress.as_ref(), move |watch| {
        corpus::process(&root, &out, &spec, audio_json.as_deref(), &Limits::default(), watch)
    })?;
    columns(py, &outcome)
}

/// One row of the index: a level, or a pack without any.
struct Row<'a> {
    pack: &'a PackRecord,
    level: &'a LevelRecord,
    shard: i64,
}

fn columns<'py>(py: Python<'py>, outcome: &Outcome) -> PyResult<Bound<'py, PyDict>> {
    let nothing = LevelRecord { row: -1, ..LevelRecord::default() };
    let mut rows: Vec<Row> = Vec::new();
    for (pack, &shard) in outcome.packs.iter().zip(&outcome.shard_of) {
        let row = |level| Row { pack, level, shard: i64::from(shard) };
        if pack.levels.is_empty() {
            rows.push(row(&nothing));
        }
        rows.extend(pack.levels.iter().map(row));
    }
    let out = PyDict::new(py);
    let text = |name: &str, f: fn(&Row<'_>) -> String| out.set_item(name, rows.iter().map(f).collect::<Vec<_>>());
    let count = |name: &str, f: fn(&LevelRecord) -> u64| {
        out.set_item(name, rows.iter().map(|r| f(r.level) as i64).collect::<Vec<_>>().into_pyarray(py))
    };
    let float = |name: &str, f: fn(&Row<'_>) -> f64| {
        out.set_item(name, rows.iter().map(f).collect::<Vec<_>>().into_pyarray(py))
    };
    text("path", |r| r.pack.path.clone())?;
    text("key", |r| r.pack.song.key.clone())?;
    text("hash", |r| r.pack.song.hash.clone())?;
    text("song", |r| r.pack.song.song.clone())?;
    text("title", |r| r.pack.song.title.clone())?;
    text("artist", |r| r.pack.song.artist.clone())?;
    text("mapper", |r| r.pack.song.mapper.clone())?;
    float("bpm", |r| r.pack.song.bpm)?;
    text("info_version", |r| r.pack.song.info_version.clone())?;
    text("audio_file", |r| r.pack.song.audio_file.clone())?;
    out.set_item("audio_present", rows.iter().map(|r| r.pack.song.audio_present).collect::<Vec<_>>().into_pyarray(py))?;
    text("characteristic", |r| r.level.characteristic.clone())?;
    text("difficulty", |r| r.level.difficulty.clone())?;
    text("file", |r| r.level.file.clone())?;
    text("version", |r| r.level.version.clone())?;
    text("category", |r| r.level.category.clone())?;
    text("requirements", |r| r.level.requirements.join(","))?;
    text("suggestions", |r| r.level.suggestions.join(","))?;
    float("njs", |r| r.level.njs)?;
    float("spawn_offset_beats", |r| r.level.spawn_offset_beats)?;
    float("grid_offset_beats", |r| r.level.grid_offset_beats)?;
    count("tempo_changes", |l| l.tempo_changes)?;
    count("notes", |l| l.notes)?;
    count("onsets", |l| l.onsets)?;
    count("bombs", |l| l.bombs)?;
    count("walls", |l| l.walls)?;
    count("arcs", |l| l.arcs)?;
    count("chains", |l| l.chains)?;
    count("events", |l| l.events)?;
    count("fakes", |l| l.fakes)?;
    float("first_note_s", |r| r.level.first_note_s)?;
    float("last_note_s", |r| r.level.last_note_s)?;
    float("nps", |r| r.level.nps)?;
    count("tokens", |l| l.tokens)?;
    count("light_tokens", |l| l.light_tokens)?;
    text("out_of_vocabulary", |r| serde_json::json!(r.level.out_of_vocabulary).to_string())?;
    out.set_item(
        "warnings",
        rows.iter().map(|r| (r.level.warnings + r.pack.song.warnings) as i64).collect::<Vec<_>>().into_pyarray(py),
    )?;
    text("filter", |r| r.level.filter.clone())?;
    let fault = |r: &Row<'_>| r.pack.fault.clone().or_else(|| r.level.fault.clone()).unwrap_or_default();
    out.set_item("fault_type", rows.iter().map(|r| fault(r).kind).collect::<Vec<_>>())?;
    out.set_item("fault_message", rows.iter().map(|r| fault(r).message).collect::<Vec<_>>())?;
    let pack_sound = |r: &Row<'_>| r.pack.sound.clone().filter(|sound| sound.fault.is_none());
    let level_sound = |r: &Row<'_>| r.level.sound.clone().unwrap_or_default();
    let optional =
        |name: &str, f: &dyn Fn(&Row<'_>) -> Option<f64>| out.set_item(name, rows.iter().map(f).collect::<Vec<_>>());
    out.set_item("audio_key", rows.iter().map(|r| pack_sound(r).unwrap_or_default().key).collect::<Vec<_>>())?;
    optional("audio_s", &|r| pack_sound(r).map(|sound| sound.seconds))?;
    optional("audio_silent_share", &|r| pack_sound(r).map(|sound| sound.silent_share))?;
    optional("audio_onset_share", &|r| r.level.sound.as_ref().map(|sound| sound.onset_share))?;
    optional("audio_offset_ms", &|r| r.level.sound.as_ref().and_then(|sound| sound.offset_ms))?;
    let shorter = |r: &Row<'_>| r.level.sound.as_ref().map(|sound| sound.audio_shorter_than_map);
    out.set_item("audio_shorter_than_map", rows.iter().map(shorter).collect::<Vec<_>>())?;
    let fault = |r: &Row<'_>| {
        r.pack.sound.clone().and_then(|sound| sound.fault).or_else(|| level_sound(r).fault).unwrap_or_default()
    };
    out.set_item("audio_fault_type", rows.iter().map(|r| fault(r).kind).collect::<Vec<_>>())?;
    out.set_item("audio_fault_message", rows.iter().map(|r| fault(r).message).collect::<Vec<_>>())?;
    out.set_item("slots_key", rows.iter().map(|r| level_sound(r).grid).collect::<Vec<_>>())?;
    out.set_item("slots", rows.iter().map(|r| level_sound(r).slots as i64).collect::<Vec<_>>().into_pyarray(py))?;
    let place = |f: fn(&Row<'_>) -> i64| rows.iter().map(f).collect::<Vec<_>>().into_pyarray(py);
    out.set_item("shard", place(|r| if r.level.row < 0 { -1 } else { r.shard }))?;
    out.set_item("row", place(|r| r.level.row))?;
    out.set_item("shards", outcome.shards)?;
    out.set_item("reused", outcome.reused)?;
    Ok(out)
}
