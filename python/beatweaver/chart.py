"""A level as a picture: notes in their lanes over the sound, sections, density, and what the check finds.

Time runs from left to right in rows, as music is written. The four columns of a level are four lanes, the leftmost at
the bottom; inside its lane a note stands as high as its row. An arrow points where the saber goes, as players see it.
"""

from __future__ import annotations

import io
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from beatweaver import _native, structure, timing
from beatweaver.audio import song_bytes
from beatweaver.config import RANKS
from beatweaver.errors import AudioError, ConfigError, MapError, MissingExtraError

__all__ = ["draw"]

F64 = NDArray[np.float64]

_ROW_S: Final = 10.0
"""Seconds of a row."""
_WIDTH_PX: Final = 1800
_ROW_PX: Final = 230
_EDGE_PX: Final = 70
"""Above the first row, for the title, and below the last, for the key."""
_SECONDS_MAX: Final = 30 * 60.0
_COLOURS: Final = ("#c8323c", "#2878c8")
_CUTS: Final = ((0, 1), (0, -1), (-1, 0), (1, 0), (-1, 1), (1, 1), (-1, -1), (1, -1), None)
"""Where the saber goes, by cut direction."""
_SEVERITIES: Final = {"error": "#d00000", "rank": "#a000a0", "warning": "#d08000", "info": "#808080"}
_SECTIONS: Final = ("#8dd3c7", "#fdb462", "#b3de69", "#bebada", "#fb8072", "#80b1d3", "#fccde5", "#d9d9d9")
_DENSITY_S: Final = 2.0
"""Window of the density curve."""
_DENSITY_TOP: Final = 12.0
"""Notes per second at its upper edge."""


def draw(
    path: Path,
    out: Path,
    *,
    difficulty: str | None = None,
    from_s: float = 0.0,
    to_s: float | None = None,
) -> dict[str, Any]:
    """Draw a Standard level of the pack `path` as PNG at `out`; a level without its song gets no sound and no sections.

    Args:
        path: a folder, a zip or an Info file.
        out: the PNG; one of that name is replaced.
        difficulty: its name as the game writes it; None for the hardest.
        from_s: first second that is drawn.
        to_s: last second; None for two seconds after the last note.

    Returns:
        `out`, `difficulty`, `width` and `height` in pixels.

    Raises:
        MissingExtraError: matplotlib is not installed.
        MapError: no level there, or it cannot be read.
        ConfigError: no such difficulty, or no time between `from_s` and `to_s`.
        OSError: the file system refused.
    """
    try:
        from matplotlib.figure import Figure
    except ImportError as missing:
        raise MissingExtraError("matplotlib", extra="plot") from missing
    song = _native.load_song(path)
    level = _chosen(song, path, difficulty)
    table = level.notes()
    if to_s is None:
        to_s = max(float(table["time"][-1]) + 2.0 if len(table["time"]) else 0.0, from_s + 1.0)
    if not 0 <= from_s < to_s <= _SECONDS_MAX:
        raise ConfigError(
            f"found the span {from_s:g} to {to_s:g} s, expected a beginning before its end, to {_SECONDS_MAX:g} s",
            where="span",
        )
    heard = _heard(song, level, path)
    rows = max(1, int(np.ceil((to_s - from_s) / _ROW_S - 1e-9)))
    height = rows * _ROW_PX + 2 * _EDGE_PX
    figure = Figure(figsize=(_WIDTH_PX / 100, height / 100), dpi=100, facecolor="white")
    findings = [
        finding
        for finding in _native.check_song(path, preset="default")
        if finding["difficulty"] == level.name
        and finding["characteristic"] == level.characteristic
        and finding["time_s"] is not None
    ]
    for row in range(rows):
        top = 1.0 - (_EDGE_PX + row * _ROW_PX) / height
        lanes = figure.add_axes((0.035, top - 0.86 * _ROW_PX / height, 0.955, 0.78 * _ROW_PX / height))
        begin = from_s + row * _ROW_S
        _row(lanes, level, heard, findings, begin, begin + _ROW_S, to_s)
    title = " – ".join(filter(None, (song.artist, song.title))) or path.name
    figure.text(
        0.035, 1.0 - 30 / height, f"{title}: {level.name}, {len(table['time'])} notes, {song.bpm:g} BPM", fontsize=13
    )
    key = (
        "red, blue: left and right hand; arrow: where the saber goes; white dot: any direction; star: bomb; "
        "grey: wall; line: arc or chain;\n"
        f"curve below: notes per second, to {_DENSITY_TOP:g}; triangles: findings (red error, orange warning)"
    )
    figure.text(0.035, 22 / height, key, fontsize=9, color="0.35")
    sink = io.BytesIO()
    figure.savefig(sink, format="png", dpi=100)
    temporary = out.with_name(f".{out.name}.{os.getpid()}")
    try:
        with temporary.open("wb") as file:
            file.write(sink.getvalue())
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(out)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    return {"out": str(out), "difficulty": level.name, "width": _WIDTH_PX, "height": height}


def _chosen(song: _native.Song, path: Path, difficulty: str | None) -> _native.Difficulty:
    levels = {level.name: level for level in song.difficulties if level.characteristic == "Standard"}
    if not levels:
        raise MapError(f"{path}: found no Standard level that can be read", path=str(path), expected="a Standard level")
    if difficulty is None:
        return max(levels.values(), key=lambda level: RANKS.index(level.name) if level.name in RANKS else -1)
    if difficulty not in levels:
        raise ConfigError(
            f"{path}: found no Standard level {difficulty!r}, expected one of {', '.join(levels)}",
            path=str(path),
            found=difficulty,
        )
    return levels[difficulty]


@dataclass(frozen=True, kw_only=True, slots=True)
class _Heard:
    """The sound of a level, and the bar lines of its clock."""

    peaks: F64
    """Highest level of each hundredth of a second, 0 to 1."""
    sections: Sequence[tuple[float, float, str, float]]
    """From, to, name, energy."""
    grid: timing.Grid


def _heard(song: _native.Song, level: _native.Difficulty, path: Path) -> _Heard:
    grid = timing.grid_of(level.tempo)
    config = timing.TimingConfig()
    sound = song_bytes(path, song.audio_name) if song.audio_present else None
    try:
        samples = None if sound is None else _native.decode_audio(sound, sample_rate_hz=config.sample_rate_hz)
    except AudioError:
        samples = None
    if samples is None or not len(samples):
        return _Heard(peaks=np.zeros(0), sections=(), grid=grid)
    step = config.sample_rate_hz // 100
    whole = np.abs(np.pad(samples, (0, -len(samples) % step))).reshape(-1, step).max(axis=1).astype(np.float64)
    listened = structure.listen(timing.onset_envelope(samples, config=config), grid)
    bars_s = listened.bar_seconds()
    sections = structure.plan(listened, [level.name if level.name in RANKS else RANKS[-1]]).sections
    return _Heard(
        peaks=whole / max(float(whole.max()), 1e-9),
        sections=tuple((bars_s[s.start_bar], bars_s[s.end_bar], s.name, s.energy) for s in sections),
        grid=grid,
    )


def _row(
    axes: Any,
    level: _native.Difficulty,
    heard: _Heard,
    findings: Sequence[Mapping[str, Any]],
    begin: float,
    end: float,
    last: float,
) -> None:
    """One row from `begin` to `end`; what comes after `last` stays empty. Lane k reaches from k to k + 1."""
    shown = min(end, last)
    axes.set(xlim=(begin, end), ylim=(-0.75, 4.45))
    axes.tick_params(labelsize=7, length=2)
    axes.set_xticks(np.arange(np.ceil(begin), end + 0.01, 1.0))
    axes.set_yticks([0.5, 1.5, 2.5, 3.5], ["outer left", "left", "right", "outer right"], fontsize=7)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    if len(heard.peaks):
        first, stop = int(begin * 100), min(int(shown * 100), len(heard.peaks))
        at = np.arange(first, max(stop, first)) / 100.0
        height = 2.0 * heard.peaks[first : first + len(at)]
        axes.fill_between(at, 2.0 - height, 2.0 + height, color="#dfe6ef", lw=0, zorder=0)
    for start_s, end_s, name, energy in heard.sections:
        if start_s < shown and end_s > begin:
            colour = _SECTIONS[(ord(name[0]) - ord("A")) % len(_SECTIONS)]
            left, right = max(start_s, begin), min(end_s, shown)
            axes.fill_between([left, right], 4.12, 4.42, color=colour, lw=0)
            axes.text(left + 0.03, 4.17, f"{name} ({energy:.1f})", fontsize=7)
    for lane in range(5):
        axes.axhline(lane, color="0.8", lw=0.6, zorder=1)
    first_beat, last_beat = (float(heard.grid.beat(at_s)) for at_s in (begin, shown))
    beats = np.arange(np.ceil(first_beat - 1e-6), last_beat + 1e-6)
    for beat, at_s in zip(beats, heard.grid.seconds(beats), strict=True):
        axes.plot([at_s, at_s], [0, 4], color="0.72", lw=0.9 if beat % 4 == 0 else 0.3, zorder=1)
    _objects(axes, level, begin, shown)
    table = level.notes()
    at = np.arange(begin, shown, 0.1)
    inside = np.searchsorted(table["time"], [at - _DENSITY_S / 2, at + _DENSITY_S / 2])
    density = np.minimum((inside[1] - inside[0]) / _DENSITY_S / _DENSITY_TOP, 1.0)
    axes.fill_between(at, -0.74, -0.74 + 0.68 * density, color="0.55", lw=0)
    for severity, colour in _SEVERITIES.items():
        times = [f["time_s"] for f in findings if f["severity"] == severity and begin <= f["time_s"] < shown]
        if times:
            axes.scatter(times, [4.04] * len(times), marker="v", s=14, color=colour, lw=0, zorder=5)


def _height(column: Any, row: Any) -> Any:
    return np.asarray(column) + 0.2 + 0.3 * np.asarray(row)


def _objects(axes: Any, level: _native.Difficulty, begin: float, end: float) -> None:
    def seen(table: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
        inside = (table["time"] >= begin) & (table["time"] < end)
        return {name: column[inside] for name, column in table.items()}

    walls = level.obstacles()
    ends = level.tempo.seconds(walls["beat"] + walls["duration_beats"])
    for at_s, end_s, x, y, width in zip(walls["time"], ends, walls["x"], walls["y"], walls["width"], strict=True):
        left, right = max(at_s, begin), min(max(end_s, at_s + 0.02), end)
        if right > left:
            for lane in range(max(x, 0), min(x + width, 4)):
                low = lane + (0.65 if y >= 2 else 0.05)
                axes.fill_between([left, right], low, lane + 0.95, color="0.4", alpha=0.45, lw=0, zorder=2)
    for group, style in ((level.arcs(), "-"), (level.chains(), ":")):
        rows = zip(*(group[n] for n in ("time", "tail_time", "x", "y", "tail_x", "tail_y", "color")), strict=True)
        for at_s, tail_s, x, y, tail_x, tail_y, color in rows:
            if at_s < end and tail_s > begin:
                heights = [_height(x, y), _height(tail_x, tail_y)]
                axes.plot([at_s, tail_s], heights, style, color=_COLOURS[color & 1], lw=1.6, alpha=0.6, zorder=3)
    bombs = seen(level.bombs())
    axes.scatter(bombs["time"], _height(bombs["x"], bombs["y"]), marker="*", s=26, color="black", lw=0, zorder=4)
    notes = seen(level.notes())
    where = _height(notes["x"], notes["y"])
    for color in (0, 1):
        own = notes["color"] == color
        axes.scatter(notes["time"][own], where[own], marker="s", s=30, color=_COLOURS[color], lw=0, zorder=4)
    cuts = notes["cut"]
    arrows = cuts < 8
    tips = np.array([_CUTS[cut] if cut < 8 else (0, 0) for cut in np.minimum(cuts, 8)], dtype=float).reshape(-1, 2)
    tips /= np.maximum(np.linalg.norm(tips, axis=1, keepdims=True), 1.0)
    axes.scatter(notes["time"][~arrows], where[~arrows], marker="o", s=7, color="white", lw=0, zorder=5)
    axes.quiver(
        notes["time"][arrows],
        where[arrows],
        tips[arrows, 0],
        tips[arrows, 1],
        color="black",
        angles="uv",
        pivot="tail",
        units="inches",
        scale_units="inches",
        scale=1 / 0.11,
        width=0.02,
        headwidth=3.0,
        headlength=3.0,
        headaxislength=3.0,
        zorder=5,
    )
