"""The ruler: generated levels beside human levels of the same songs, beside the floors, and beside the last run.

Every human level of a split is measured, and so is the level that is generated in its place: once on the grid of the
human notes, once on the grid that is estimated from the sound, as a user gets it.
"""

from __future__ import annotations

import hashlib
import html
import json
import shutil
import subprocess
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from beatweaver import _native, generate, timing
from beatweaver.audio import song_bytes
from beatweaver.config import RANKS, GenerateConfig, ProcessConfig
from beatweaver.errors import AudioError, BeatWeaverError, ConfigError, MapError
from beatweaver.files import write_atomic
from beatweaver.measures import (
    DIVERGENCES,
    METRICS,
    STYLE,
    Played,
    against_human,
    bootstrap,
    difference,
    floor_onsets,
    measured,
    onset_scores,
    style_agreement,
)
from beatweaver.process import SPLITS, named_splits

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["DIFFICULTIES", "GRIDS", "evaluate"]

# ---- the run --------------------------------------------------------------------------------------------------------

_NOTES_MIN: Final = 50
"""Levels with fewer notes say nothing."""
_OF_THE_PACK: Final = ("progression",)
"""Rules that compare the levels of a pack: one level alone breaks them."""
_ON_GRID_SHARE: Final = 0.8
"""With less of the notes on quarters of the beat (within 0.02 beats) the grid of a level is not known."""
GRIDS: Final = ("estimated", "true")
"""Grids that levels are generated on; metrics on the true one have the suffix below."""
_TRUE: Final = "_true_grid"
DIFFICULTIES: Final = ("Expert", "ExpertPlus")
"""What is measured where nothing else is asked for."""


@dataclass(frozen=True, kw_only=True, slots=True)
class _Candidate:
    """A human level that can be measured."""

    pack: Path
    file: str
    song: str
    title: str
    difficulty: _native.Difficulty
    bpm: float
    first_beat_s: float


def evaluate(
    raw: Path,
    *,
    split: str = "val",
    config: GenerateConfig | None = None,
    weights: Path | None = None,
    songs: int | None = None,
    difficulties: Sequence[str] = DIFFICULTIES,
    out: Path | None = None,
    progress: Callable[[int, int], object] | None = None,
) -> dict[str, Any]:
    """Generate every level of a split anew and measure it beside the human one.

    Taken are Standard levels without mods, of one tempo, with their song, and with notes that lie on a grid.

    Args:
        raw: folder of packs; a manifest.json in or beside it names their splits.
        split: train, val, test, or all (which needs no manifest).
        config: engine, seed and whatever else levels are generated with; difficulty and density follow the human level.
        weights: a checkpoint, for the one in the package.
        songs: measure the first so many songs; None for all.
        difficulties: names of difficulties that are measured.
        out: folder for `evaluation.json`, `evaluation.html` and a line in `history.jsonl`; None writes nothing.
        progress: called with levels done and levels found.

    Returns:
        The document that `beatweaver evaluate --json` prints.

    Raises:
        ConfigError: an unknown split or difficulty, or no level of it that can be measured.
        MapError: no pack below `raw`, or its manifest cannot be read.
        MissingExtraError: mir_eval is not installed.
        OSError: the file system refused.
    """
    began = time.monotonic()
    onset_scores([0.0], [0.0], 0.05)  # a missing package is told before the work, not after it
    for name in difficulties:
        if name not in RANKS:
            raise ConfigError(f"found no difficulty {name!r}, expected one of {', '.join(RANKS)}", found=name)
    if songs is not None and songs < 1:
        raise ConfigError(f"songs: found {songs}, expected at least 1", where="songs", found=str(songs))
    candidates, skipped = _candidates(raw, split, difficulties, songs)
    given = json.loads((config or GenerateConfig()).canonical())
    config = GenerateConfig(**{**given, "difficulties": tuple(dict.fromkeys(difficulties))})
    engine = generate.engine_name(config)
    rows = []
    for done, row in enumerate(_levels(candidates, config, weights, skipped)):
        rows.append(row)
        if progress is not None:
            progress(done + 1, len(candidates))
    if not rows:
        raise ConfigError(f"{raw}: found no song of split {split} that can be heard", path=str(raw), expected="audio")
    _finish(rows)
    settings = {
        "split": split,
        "engine": engine,
        "difficulties": list(difficulties),
        "songs": songs,
        "generate": json.loads(config.canonical()),
        "weights": None if weights is None else hashlib.sha256(weights.read_bytes()).hexdigest(),
        "levels": sorted(f"{row['file']} {row['difficulty']} {row['hash']}" for row in rows),
    }
    digest = hashlib.sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest()
    document = _document(rows) | {
        "split": split,
        "engine": engine,
        "skipped": dict(skipped),
        "settings": digest,
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "commit": _commit(),
    }
    document["seconds"] = round(time.monotonic() - began, 1)
    if out is not None:
        _keep(document, out)
    return document


def _packs(raw: Path, split: str) -> list[tuple[str, Path]]:
    """Packs of the split: path below `raw`, and path."""
    if split not in (*SPLITS, "all"):
        raise ConfigError(f"found no split {split!r}, expected one of {', '.join(SPLITS)}, all", found=split)
    if not raw.exists():
        raise FileNotFoundError(2, "no such folder", str(raw))
    named = named_splits(raw)
    if split != "all" and not named:
        raise ConfigError(
            f"{raw}: found no manifest.json that names splits, in the folder or beside it",
            path=str(raw),
            hint="--split all takes every pack",
        )
    found = {path.relative_to(raw).as_posix(): path for path in raw.rglob("*.zip")} if raw.is_dir() else {}
    for info in raw.rglob("*") if raw.is_dir() else ():
        if info.name.lower() in ("info.dat", "info.json") and info.parent != raw:
            found[info.parent.relative_to(raw).as_posix()] = info.parent
    if not found:
        raise MapError(f"{raw}: found no pack, expected a folder of zips and map folders", path=str(raw))
    packs = [(name, path) for name, path in sorted(found.items()) if split in ("all", named.get(name))]
    if not packs:
        raise ConfigError(f"{raw}: found no pack of split {split}", path=str(raw), expected=f"packs of split {split}")
    return packs


def _candidates(
    raw: Path, split: str, difficulties: Sequence[str], songs: int | None
) -> tuple[list[_Candidate], Counter[str]]:
    """Human levels that can be measured, song by song, and why others cannot, counted."""
    skipped: Counter[str] = Counter()
    by_song: dict[str, list[_Candidate]] = {}
    config = json.loads(ProcessConfig().canonical())
    spec = json.dumps({key: value for key, value in config.items() if key not in ("splits", "threads")}).encode()
    for name, path in _packs(raw, split):
        with tempfile.TemporaryDirectory() as folder:
            # `process` knows where the notes' own grid lies.
            columns = _native.process(path, folder, spec_json=spec)
        try:
            song = _native.load_song(path)
        except BeatWeaverError:
            skipped["cannot be read"] += 1
            continue
        levels = {(level.characteristic, level.name): level for level in song.difficulties}
        for row in range(len(columns["path"])):
            mode, difficulty = columns["characteristic"][row], columns["difficulty"][row]
            if columns["fault_type"][row] or mode != "Standard" or difficulty not in difficulties:
                continue
            level = levels[mode, difficulty]
            reason = _unfit(level, song, float(columns["grid_offset_beats"][row]), int(columns["tempo_changes"][row]))
            if reason:
                skipped[reason] += 1
                continue
            candidate = _Candidate(
                pack=path,
                file=name,
                song=columns["song"][row] or name,
                title=" - ".join(filter(None, (song.artist, song.title))) or name,
                difficulty=level,
                bpm=song.bpm,
                first_beat_s=float(columns["grid_offset_beats"][row]) * 60.0 / song.bpm,
            )
            by_song.setdefault(candidate.song, []).append(candidate)
    chosen = list(by_song.values())[:songs]
    if not chosen:
        told = "; ".join(f"{count} {reason}" for reason, count in skipped.items())
        raise ConfigError(
            f"{raw}: found no {' or '.join(difficulties)} level of split {split} that can be measured"
            + (f" ({told})" if told else ""),
            path=str(raw),
            expected="Standard levels of one tempo with their song",
        )
    return [candidate for group in chosen for candidate in group], skipped


def _unfit(level: _native.Difficulty, song: _native.Song, offset_beats: float, tempo_changes: int) -> str | None:
    table = level.notes()
    if not song.audio_present:
        return "without audio"
    if level.category not in ("vanilla", "chroma"):
        return "with mods that move notes"
    if tempo_changes:
        return "with tempo changes"
    if len(table["beat"]) < _NOTES_MIN:
        return f"with fewer than {_NOTES_MIN} notes"
    quarters = (table["beat"] - offset_beats) * 4.0
    if float(np.mean(np.abs(quarters - np.round(quarters)) < 0.08)) < _ON_GRID_SHARE:
        return "with notes on no grid"
    return None


def _levels(
    candidates: Sequence[_Candidate], config: GenerateConfig, weights: Path | None, skipped: Counter[str]
) -> Iterable[dict[str, Any]]:
    """A row per level: the human one, those generated on either grid, and the floors."""
    timed = timing.TimingConfig()
    heard: tuple[Path, NDArray[np.float32], timing.Envelope] | None = None
    for candidate in candidates:
        song = _native.load_song(candidate.pack)
        if heard is None or heard[0] != candidate.pack:
            try:
                sound = song_bytes(candidate.pack, song.audio_name) or b""
                samples = _native.decode_audio(sound, sample_rate_hz=timed.sample_rate_hz)
            except AudioError:
                skipped["with audio that cannot be read"] += 1
                continue
            heard = (candidate.pack, samples, timing.onset_envelope(samples, config=timed))
        _, samples, envelope = heard
        if candidate.difficulty.notes()["time"][-1] > envelope.duration_s:
            skipped["longer than the song"] += 1
            continue
        yield _row(candidate, samples, envelope, song.hash, config, weights)


def _row(
    candidate: _Candidate,
    samples: NDArray[np.float32],
    envelope: timing.Envelope,
    digest: str,
    config: GenerateConfig,
    weights: Path | None,
) -> dict[str, Any]:
    name = candidate.difficulty.name
    stats = candidate.difficulty.notes()["time"]
    asked = min(max(len(stats) / max(float(np.ptp(stats)), 1e-9), 0.2), 20.0)
    asks = GenerateConfig(**{**json.loads(config.canonical()), "difficulties": (name,), "nps": asked})
    grids = {
        "estimated": timing.estimate_grid(envelope),
        "true": timing.estimate_grid(envelope, bpm=candidate.bpm, offset_s=candidate.first_beat_s),
    }
    drafts = {grid: generate.draft(samples, grids[grid], asks, weights=weights)[name] for grid in GRIDS}
    on_true = drafts["true"]
    human = Played.of(candidate.difficulty, on_true.sound, on_true.pad_s)
    generated = {grid: Played.of(draft.difficulty, draft.sound, 0.0) for grid, draft in drafts.items()}
    beside: dict[str, dict[str, float | None]] = {}
    floors: dict[str, dict[str, float]] = {}
    rules = {"human": _rules(candidate.pack, name)}
    for grid, draft in drafts.items():
        level = generated[grid]
        rules[grid] = _rules_of(draft, envelope.duration_s)
        found = against_human(level, human, draft.pad_s, on_true.pad_s)
        got = len(level.time_s) / level.played_s if level.played_s else 0.0
        found |= {
            "nps_asked": asked,
            "nps_error": 100.0 * (got / asked - 1.0),
            "refused_per_1000": 1000.0 * draft.refused / max(len(level.time_s), 1),
            "left_out_per_1000": 1000.0 * draft.left_out / max(len(level.time_s), 1),
        }
        beside[grid] = found
        for floor, onsets in floor_onsets(human, draft.sound, draft.pad_s).items():
            scores = {f"onset_f1_{ms}": onset_scores(human.onset_s, onsets, ms / 1000)[0] for ms in (20, 50)}
            floors[f"{floor}_{grid}_grid"] = scores
    beat_s = 60.0 / candidate.bpm
    phase = (grids["estimated"].offset_s - candidate.first_beat_s) / beat_s
    return {
        "song": candidate.song,
        "title": candidate.title,
        "file": candidate.file,
        "hash": digest,
        "difficulty": name,
        "bpm": candidate.bpm,
        "bpm_estimated": grids["estimated"].bpm,
        "phase_error_ms": 1000.0 * beat_s * (phase - round(phase)),
        "levels": {"human": human, **generated},
        "beside": beside,
        "floors": floors,
        "rules": rules,
    }


def _rules(pack: Path, difficulty: str) -> Counter[tuple[str, str]]:
    """What the rules of play find in a level: severity and rule, counted."""
    of_play = {rule["rule"] for rule in _native.play_rules()}
    return Counter(
        (finding["severity"], finding["rule"])
        for finding in _native.check_song(pack, preset="default")
        if finding["difficulty"] == difficulty
        and finding["characteristic"] == "Standard"
        and finding["rule"] in of_play
        and finding["rule"] not in _OF_THE_PACK
    )


def _rules_of(draft: generate.Draft, song_s: float) -> Counter[tuple[str, str]]:
    """The same for a level that was not written: the check reads packs, so one is made, with silence for a song."""
    rate_hz = 8000
    silence = _native.encode_vorbis(
        np.zeros(round((song_s + draft.pad_s) * rate_hz), dtype=np.float32), sample_rate_hz=rate_hz
    )
    with tempfile.TemporaryDirectory() as folder:
        pack = Path(folder, "level.zip")
        _native.save_song(pack, [draft.difficulty], title="draft", bpm=draft.sound.grid.bpm, audio=silence)
        return _rules(pack, draft.difficulty.name)


def _finish(rows: Sequence[dict[str, Any]]) -> None:
    """Adds the metrics of every level of every row: those that need the other songs' human levels as well."""
    histograms = [row["levels"]["human"].histograms() for row in rows]
    for row in rows:
        others = [
            own
            for other, own in zip(rows, histograms, strict=True)
            if other["song"] != row["song"] and other["difficulty"] == row["difficulty"]
        ]
        pool = {name: np.sum([own[name] for own in others], axis=0) for name in DIVERGENCES} if others else {}
        row["metrics"] = {}
        for who, level in row["levels"].items():
            counts: Counter[str] = Counter()
            for (severity, _), count in row["rules"][who].items():
                counts[severity] += count
            row["metrics"][who] = measured(level, counts, pool) | row["beside"].get(who, {})


def _document(rows: Sequence[dict[str, Any]]) -> dict[str, Any]:
    songs: dict[str, list[dict[str, Any]]] = {}
    for row in rows:
        songs.setdefault(row["song"], []).append(row)
    groups = list(songs.values())
    floors = {
        floor: {metric: float(np.mean([row["floors"][floor][metric] for row in rows])) for metric in scores}
        for floor, scores in rows[0]["floors"].items()
    }
    metrics: dict[str, dict[str, Any]] = {}
    for name in METRICS:
        human = [row["metrics"]["human"].get(name) for row in rows]
        known = [value for value in human if value is not None]
        quartiles = np.quantile(known, [0.25, 0.5, 0.75]).tolist() if known else None
        for grid in GRIDS:
            statistic = _statistic(name, grid)
            value = statistic(groups)
            draws = 300 if name.startswith("style_") else 2000
            interval = bootstrap(groups, statistic, draws=draws) if value is not None else None
            best = [
                scores[name] for floor, scores in floors.items() if floor.endswith(f"_{grid}_grid") and name in scores
            ]
            metrics[name + (_TRUE if grid == "true" else "")] = {
                "value": value,
                "low": interval[0] if interval else None,
                "high": interval[1] if interval else None,
                "human": dict(zip(("q25", "q50", "q75"), quartiles, strict=True)) if quartiles else None,
                "floor": max(best) if best else None,
            }
    return {
        "songs": len(songs),
        "levels": len(rows),
        "metrics": metrics,
        "baselines": floors,
        "rules": _rule_table(rows),
        "per_song": [_told(row) for row in rows],
    }


def _statistic(name: str, grid: str) -> Callable[[list[Any]], float | None]:
    """Value of a metric over groups of rows, one group per song."""
    if name in ("style_spread", "style_correlation"):

        def styles(groups: list[Any]) -> float | None:
            rows = [row["metrics"] for group in groups for row in group]
            tables = [np.array([[row[who][rate] or 0.0 for rate in STYLE] for row in rows]) for who in (grid, "human")]
            return style_agreement(*tables)[name == "style_correlation"]

        return styles

    def mean(groups: list[Any]) -> float | None:
        known = [v for group in groups for row in group if (v := row["metrics"][grid].get(name)) is not None]
        return float(np.mean(known)) if known else None

    return mean


def _rule_table(rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Findings of play per 1,000 notes by rule, the commonest of the generated ones first."""
    total = {who: sum(len(row["levels"][who].time_s) for row in rows) for who in ("human", *GRIDS)}
    counts: dict[str, Counter[tuple[str, str]]] = {who: Counter() for who in total}
    for who, row in ((who, row) for who in total for row in rows):
        counts[who].update(row["rules"][who])
    keys = sorted({key for count in counts.values() for key in count}, key=lambda key: (-counts["estimated"][key], key))
    return [
        {"rule": rule, "severity": severity}
        | {who: round(1000.0 * counts[who][severity, rule] / max(total[who], 1), 3) for who in total}
        for severity, rule in keys
    ]


def _told(row: Mapping[str, Any]) -> dict[str, Any]:
    kept = ("song", "title", "file", "difficulty", "bpm", "bpm_estimated", "phase_error_ms", "floors", "metrics")
    return {name: row[name] for name in kept}


def _commit() -> str | None:
    """The commit of these very sources, where git knows them."""
    git, here = shutil.which("git"), Path(__file__)
    if git is None:
        return None
    known = [git, "-C", str(here.parent), "ls-files", "--error-unmatch", here.name]
    head = [git, "-C", str(here.parent), "describe", "--always", "--dirty"]
    try:
        subprocess.run(known, check=True, capture_output=True, timeout=10)  # noqa: S603 - fixed words
        done = subprocess.run(head, check=True, capture_output=True, timeout=10, text=True)  # noqa: S603
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip() or None


# ---- keeping --------------------------------------------------------------------------------------------------------


def _keep(document: dict[str, Any], out: Path) -> None:
    """Writes the run into `out` and compares it with the last one of the same settings there."""
    out.mkdir(parents=True, exist_ok=True)
    history = out / "history.jsonl"
    lines = history.read_text("utf-8").splitlines() if history.exists() else []
    before: dict[str, Any] | None = None
    for number, line in enumerate(lines, 1):
        try:
            run = json.loads(line)
            same = run["settings"] == document["settings"]
            before = {"date": run["date"], "commit": run["commit"], "metrics": dict(run["metrics"])} if same else before
        except (ValueError, KeyError, TypeError) as error:
            raise ConfigError(
                f"{history}: line {number} is no run: {error}",
                path=str(history),
                where=f"line {number}",
                hint="take the line out",
            ) from None
    document["previous"] = None if before is None else {key: before[key] for key in ("date", "commit")}
    for name, metric in document["metrics"].items():
        metric["change"] = difference(metric["value"], before["metrics"].get(name)) if before else None
    run = {key: document[key] for key in ("date", "commit", "settings", "split", "engine", "songs", "levels")}
    run["metrics"] = {name: metric["value"] for name, metric in document["metrics"].items()}
    write_atomic(out / "evaluation.json", (json.dumps(document, indent=1, allow_nan=False) + "\n").encode())
    write_atomic(out / "evaluation.html", _page(document).encode())
    write_atomic(history, "".join(f"{line}\n" for line in [*lines, json.dumps(run, allow_nan=False)]).encode())


STYLESHEET: Final = """
body{font:15px/1.45 system-ui,sans-serif;margin:2rem auto;max-width:76rem;padding:0 1rem;color:#1c1f26;background:#fff}
table{border-collapse:collapse;margin:1rem 0 2rem}td,th{padding:.2rem .6rem;text-align:right;white-space:nowrap}
td:first-child,th:first-child{text-align:left}tr:nth-child(even){background:#f4f5f8}td.about{white-space:normal;
text-align:left;color:#5a6070;font-size:13px}svg{vertical-align:middle}.key{color:#5a6070}
@media(prefers-color-scheme:dark){body{color:#e6e8ee;background:#14161b}tr:nth-child(even){background:#1e2129}
td.about,.key{color:#9aa1b2}}
"""


def _page(document: Mapping[str, Any]) -> str:
    """The run as one HTML page that needs nothing else."""
    metrics = document["metrics"]
    parts = [
        "<!doctype html><html lang=en><meta charset=utf-8><title>BeatWeaver: evaluation</title>",
        f"<style>{STYLESHEET}</style><h1>Generated beside human levels</h1>",
        f"<p>Split {html.escape(document['split'])}, engine {html.escape(document['engine'])},",
        f"{document['songs']} songs, {document['levels']} levels, {document['date']},",
        f"commit {html.escape(str(document['commit']))}.</p>",
        "<p class=key>Grey: the middle half of the human levels, with their median. Blue: generated on the estimated",
        "grid, with its 95 % interval over songs. Green: on the true grid. Red: the best floor.</p>",
    ]
    for group in dict.fromkeys(metric.group for metric in METRICS.values()):
        parts.append(f"<h2>{group.capitalize()}</h2><table><tr><th>metric<th>estimated<th>true grid<th>human"
                     "<th>floor<th><th>change<th>")  # fmt: skip
        for name, metric in METRICS.items():
            if metric.group != group:
                continue
            one, other = metrics[name], metrics[name + _TRUE]
            human = one["human"]
            told = "–" if human is None else f"{_short(human['q25'])} / {_short(human['q50'])} / {_short(human['q75'])}"
            unit = f" ({metric.unit})" if metric.unit else ""
            parts.append(
                f"<tr><td>{name}{html.escape(unit)}<td>{_short(one['value'])}<td>{_short(other['value'])}<td>{told}"
                f"<td>{_short(one['floor'])}<td>{_range_svg(one, other)}<td>{_short(one.get('change'), sign=True)}"
                f"<td class=about>{html.escape(metric.about)}"
            )
        parts.append("</table>")
    parts.append("<h2>Floors</h2>" + _bars_svg(document))
    parts.append(
        "<h2>Findings of play per 1,000 notes</h2><table><tr><th>rule<th>severity<th>estimated<th>true<th>human"
    )
    parts += [
        f"<tr><td>{html.escape(row['rule'])}<td>{row['severity']}"
        + "".join(f"<td>{row[who]:.2f}" for who in ("estimated", "true", "human"))
        for row in document["rules"]
    ]
    parts.append("</table><h2>Level by level</h2><table><tr><th>level<th>difficulty<th>tempo<th>estimated"
                 "<th>phase (ms)<th>F1 50 ms<th>on true grid<th>notes/s asked<th>got")  # fmt: skip
    for row in document["per_song"]:
        of = row["metrics"]
        cells = (of["estimated"]["onset_f1_50"], of["true"]["onset_f1_50"], of["true"]["nps_asked"], of["true"]["nps"])
        parts.append(
            f"<tr><td>{html.escape(row['title'])}<td>{row['difficulty']}<td>{row['bpm']:g}<td>{row['bpm_estimated']:g}"
            f"<td>{row['phase_error_ms']:.1f}" + "".join(f"<td>{_short(cell)}" for cell in cells)
        )
    return "\n".join([*parts, "</table></html>"])


def _short(value: float | None, *, sign: bool = False) -> str:
    if value is None:
        return "–"
    digits = 3 if abs(value) < 10 else 1
    return f"{value:{'+' if sign else ''}.{digits}f}"


def _range_svg(one: Mapping[str, Any], other: Mapping[str, Any]) -> str:
    """The values on one line."""
    human = one["human"] or {}
    places = [one["value"], one["low"], one["high"], other["value"], one["floor"], *human.values()]
    known = [place for place in places if place is not None]
    if not known:
        return ""
    low, high = min(0.0, *known), max(known)
    width = 220.0

    def at(value: float) -> str:
        return f"{6 + (width - 12) * (value - low) / max(high - low, 1e-12):.1f}"

    marks = [f'<line x1="6" x2="{width - 6}" y1="9" y2="9" stroke="#8883"/>']
    if human:
        span = float(at(human["q75"])) - float(at(human["q25"]))
        marks.append(f'<rect x="{at(human["q25"])}" y="3" width="{max(span, 1):.1f}" height="12" fill="#8888"/>')
        marks.append(f'<rect x="{at(human["q50"])}" y="2" width="1.5" height="14" fill="currentColor"/>')
    if one["floor"] is not None:
        marks.append(f'<rect x="{at(one["floor"])}" y="1" width="2" height="16" fill="#d33"/>')
    if one["low"] is not None:
        marks.append(
            f'<line x1="{at(one["low"])}" x2="{at(one["high"])}" y1="9" y2="9" stroke="#27c" stroke-width="2"/>'
        )
    for metric, colour in ((other, "#2a5"), (one, "#27c")):
        if metric["value"] is not None:
            marks.append(f'<circle cx="{at(metric["value"])}" cy="9" r="3.5" fill="{colour}"/>')
    return f'<svg width="{width:.0f}" height="18">{"".join(marks)}</svg>'


def _bars_svg(document: Mapping[str, Any]) -> str:
    """F1 of the generated levels and of the floors, at both tolerances."""
    rows = [(name, scores) for name, scores in sorted(document["baselines"].items())]
    for grid, suffix in (("estimated", ""), ("true", _TRUE)):
        of = {metric: document["metrics"][metric + suffix]["value"] for metric in ("onset_f1_20", "onset_f1_50")}
        rows.append((f"generated_{grid}_grid", of))
    marks = []
    for row, (name, scores) in enumerate(rows):
        y = 22 * row
        colour = "#27c" if name.startswith("generated") else "#d338"
        marks.append(f'<text x="0" y="{y + 15}" fill="currentColor" font-size="13">{name.replace("_", " ")}</text>')
        for (metric, value), height in zip(scores.items(), (8, 8), strict=True):
            top = y + (2 if metric == "onset_f1_20" else 11)
            marks.append(f'<rect x="240" y="{top}" width="{500 * value:.1f}" height="{height}" fill="{colour}"/>')
            marks.append(
                f'<text x="{246 + 500 * value:.1f}" y="{top + 8}" fill="currentColor" font-size="9">{value:.3f} '
                f"({metric[-2:]} ms)</text>"
            )
    return f'<svg width="840" height="{22 * len(rows) + 4}">{"".join(marks)}</svg>'
