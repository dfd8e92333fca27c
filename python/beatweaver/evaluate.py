"""The ruler: generated levels beside human levels of the same songs, beside the floors, and beside the last run.

Above are measures of one level or of two, pure functions of arrays. Below they are read from every human level of a
split and from the level that is generated in its place: once on the grid of the human notes, once on the grid that is
estimated from the sound, as a user gets it. Times are seconds of the song, positions slots of the grid.
"""

from __future__ import annotations

import hashlib
import html
import json
import math
import shutil
import subprocess
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import ArrayLike, NDArray

from beatweaver import _native, generate, structure, timing
from beatweaver.audio import song_bytes
from beatweaver.config import RANKS, GenerateConfig, ProcessConfig
from beatweaver.errors import AudioError, BeatWeaverError, ConfigError, MapError, MissingExtraError
from beatweaver.files import write_atomic
from beatweaver.process import SPLITS, named_splits
from beatweaver.tokens import MIRROR, SLOTS_PER_BEAT, STATES

__all__ = [
    "DIFFICULTIES",
    "METRICS",
    "Metric",
    "bar_likeness",
    "bar_repeats",
    "bootstrap",
    "correlation",
    "difference",
    "distinct_ngrams",
    "evaluate",
    "js_divergence",
    "matched_onsets",
    "onset_scores",
    "onset_shift",
    "peak_rate",
    "peak_share",
    "rank_correlation",
    "style_agreement",
    "variation",
]

F64 = NDArray[np.float64]
I64 = NDArray[np.int64]

# ---- measures -------------------------------------------------------------------------------------------------------


def onset_scores(reference_s: ArrayLike, found_s: ArrayLike, window_s: float) -> tuple[float, float, float]:
    """F1, precision and recall of onsets matched one to one within `window_s`, as mir_eval matches them.

    Both without onsets agree (1, 1, 1); one without is all wrong.

    Raises:
        MissingExtraError: mir_eval is not installed.
    """
    try:
        import mir_eval.onset
    except ImportError as missing:
        raise MissingExtraError("mir_eval", extra="evaluate") from missing
    reference, found = np.asarray(reference_s, dtype=np.float64), np.asarray(found_s, dtype=np.float64)
    if not len(reference) or not len(found):
        same = float(len(reference) == len(found))
        return same, same, same
    scores = mir_eval.onset.f_measure(reference, found, window=window_s)
    return float(scores[0]), float(scores[1]), float(scores[2])


def matched_onsets(reference_s: F64, found_s: F64, window_s: float) -> int:
    """How many pairs a best one-to-one matching within `window_s` has; both sorted. Earliest with earliest is best."""
    i = j = count = 0
    while i < len(reference_s) and j < len(found_s):
        apart = found_s[j] - reference_s[i]
        if abs(apart) <= window_s:
            count, i, j = count + 1, i + 1, j + 1
        elif apart > 0:
            i += 1
        else:
            j += 1
    return count


def onset_shift(reference_s: F64, found_s: F64, *, window_s: float = 0.02, reach_s: float = 0.06) -> float:
    """Seconds by which all of `found_s` lie late at the best agreement within `reach_s`, in steps of 4 ms.

    Of equally good shifts the middle one of those nearest to none. A constant shift is a difference of taste or of
    decoders (methods of ChartGenEval), which the plain F1 punishes and the one after this shift does not.
    """
    steps = np.arange(-round(reach_s / 0.004), round(reach_s / 0.004) + 1) * 0.004
    counts = np.array([matched_onsets(reference_s, found_s - step, window_s) for step in steps])
    best = np.flatnonzero(counts == counts.max(initial=0))
    runs = np.split(best, np.flatnonzero(np.diff(best) > 1) + 1)
    middles = [round(float(steps[run].mean()), 6) for run in runs]
    return min(middles, key=abs) + 0.0  # no -0.0


def js_divergence(p: ArrayLike, q: ArrayLike) -> float:
    """Jensen-Shannon divergence of two histograms of the same bins, in bits: 0 for equal shapes, 1 for disjoint ones.

    Raises:
        ValueError: an empty histogram, or different numbers of bins.
    """
    one, other = np.asarray(p, dtype=np.float64), np.asarray(q, dtype=np.float64)
    if one.shape != other.shape or not one.sum() > 0 or not other.sum() > 0:
        raise ValueError(f"expected two histograms of equal bins with counts; found shapes {one.shape}, {other.shape}")
    one, other = one / one.sum(), other / other.sum()
    middle = (one + other) / 2

    def against(x: F64) -> float:
        some = x > 0
        return float((x[some] * np.log2(x[some] / middle[some])).sum())

    return max(0.0, (against(one) + against(other)) / 2)


def bar_repeats(bar: I64, place: I64, hand: I64, state: I64, *, onsets_min: int = 4) -> dict[str, float]:
    """Shares of the bars with `onsets_min` onsets or more that repeat an earlier bar.

    Args:
        bar: bar of each note.
        place: slot within its bar.
        hand: 0 left, 1 right.
        state: column, row and cut as in `tokens.STATES`.
        onsets_min: bars with fewer onsets are too easily alike and are not counted.

    Returns:
        `exact` (same notes), `mirrored` (same notes in a mirror with the hands exchanged, and not exact), `rhythm`
        (same places of onsets). All 0 without such bars.
    """
    seen: set[frozenset[tuple[int, int, int]]] = set()
    rhythms: set[frozenset[int]] = set()
    counted = exact = mirrored = rhythm = 0
    rows: dict[int, list[tuple[int, int, int]]] = {}
    for key, *note in zip(bar.tolist(), place.tolist(), hand.tolist(), state.tolist(), strict=True):
        rows.setdefault(key, []).append((note[0], note[1], note[2]))
    for key in sorted(rows):
        content = frozenset(rows[key])
        places = frozenset(at for at, _, _ in content)
        if len(places) < onsets_min:
            continue
        counted += 1
        mirror = frozenset((at, 1 - side, int(MIRROR[what])) for at, side, what in content)
        exact += content in seen
        mirrored += content not in seen and mirror in seen
        rhythm += places in rhythms
        seen.add(content)
        rhythms.add(places)
    return {
        name: count / counted if counted else 0.0
        for name, count in (("exact", exact), ("mirrored", mirrored), ("rhythm", rhythm))
    }


def bar_likeness(bar: I64, place: I64, hand: I64, cut: I64, bars: int, width: int) -> F64:
    """Jaccard index of the bars' notes (place, hand and cut direction): (bars, bars); NaN where both are empty."""
    has = np.zeros((bars, width * 18))
    has[bar, (place * 2 + hand) * 9 + cut] = 1.0
    both = has @ has.T
    size = has.sum(axis=1)
    either = size[:, None] + size[None, :] - both
    out: F64 = np.where(either > 0, both / np.maximum(either, 1.0), np.nan)
    return out


def distinct_ngrams(states: I64, n: int = 4) -> float | None:
    """Different runs of `n` states in a row, as a share of all such runs; None without any."""
    if len(states) < n:
        return None
    runs = np.lib.stride_tricks.sliding_window_view(states, n)
    return len(np.unique(runs, axis=0)) / len(runs)


def peak_rate(time_s: F64, window_s: float = 4.0) -> float:
    """Most notes in any span of `window_s` seconds, per second; times sorted."""
    if not len(time_s):
        return 0.0
    ahead = np.searchsorted(time_s, time_s + window_s, side="left") - np.arange(len(time_s))
    return float(ahead.max()) / window_s


def variation(time_s: F64, span_s: float = 4.0) -> float | None:
    """Standard deviation of the notes in whole spans of `span_s` seconds from the first on, against their mean."""
    spans = int(np.ptp(time_s) / span_s) if len(time_s) else 0
    if spans < 2:
        return None
    count = np.bincount(((time_s - time_s[0]) / span_s).astype(np.int64))[:spans]
    return float(count.std() / count.mean())


def peak_share(flags: NDArray[np.bool_], width: int) -> float | None:
    """Highest share of True in any `width` in a row; None with fewer."""
    if len(flags) < width:
        return None
    sums = np.cumsum(np.concatenate([[0], flags]))
    return float((sums[width:] - sums[:-width]).max()) / width


def correlation(x: F64, y: F64) -> float | None:
    """Pearson's correlation; None where either does not vary or there are fewer than three."""
    if len(x) < 3 or np.ptp(x) < 1e-12 or np.ptp(y) < 1e-12:
        return None
    return float(np.corrcoef(x, y)[0, 1])


def rank_correlation(x: ArrayLike, y: ArrayLike) -> float | None:
    """Spearman's correlation, ties sharing their mean rank; None where either does not vary."""
    return correlation(_ranks(np.asarray(x, dtype=np.float64)), _ranks(np.asarray(y, dtype=np.float64)))


def _ranks(x: F64) -> F64:
    _, where, counts = np.unique(x, return_inverse=True, return_counts=True)
    last = np.cumsum(counts)
    out: F64 = (last - (counts - 1) / 2.0)[where]
    return out


def style_agreement(generated: F64, human: F64) -> tuple[float | None, float | None]:
    """Spread and correlation of style rates over levels: arrays (levels, rates), rows of the same songs.

    Spread: the median over rates of the standard deviation of the generated ones against the human ones; below 1 the
    levels are more alike than people's. Correlation: the mean over rates of Pearson's. None with fewer than three
    levels.
    """
    if len(generated) < 3:
        return None, None
    vary = human.std(axis=0) > 1e-9
    spread = float(np.median(generated.std(axis=0)[vary] / human.std(axis=0)[vary])) if vary.any() else None
    agree = [correlation(generated[:, k], human[:, k]) for k in range(generated.shape[1])]
    known = [value for value in agree if value is not None]
    return spread, float(np.mean(known)) if known else None


def bootstrap(
    groups: Sequence[Any],
    statistic: Callable[[list[Any]], float | None],
    *,
    draws: int = 1000,
    level: float = 0.95,
    seed: int = 0,
) -> tuple[float, float] | None:
    """Percentile interval of `statistic` over `groups` (one per song) drawn with replacement; None if never known.

    Songs are drawn whole, so that levels of one song do not count as independent.
    """
    rng = np.random.default_rng(seed)
    values = []
    for _ in range(draws):
        value = statistic([groups[k] for k in rng.integers(0, len(groups), len(groups))])
        if value is not None and math.isfinite(value):
            values.append(value)
    if not values:
        return None
    low, high = np.quantile(values, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


def difference(now: float | None, before: object) -> float | None:
    """How much a value grew since an earlier run, where both are known."""
    known = isinstance(before, int | float) and not isinstance(before, bool)
    return None if now is None or not known else now - float(before)  # type: ignore[arg-type]


# ---- what is measured -----------------------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True, slots=True)
class Metric:
    """A row of the table."""

    group: str
    """Rows of a group stand together."""
    unit: str
    """What the number counts; "" for a share from 0 to 1 or a plain number."""
    about: str
    """Its definition in a line."""


def _metrics(group: str, **rows: tuple[str, str]) -> dict[str, Metric]:
    return {name: Metric(group=group, unit=unit, about=about) for name, (unit, about) in rows.items()}


METRICS: Final[Mapping[str, Metric]] = (
    _metrics(
        "onsets",
        onset_f1_20=("", "F1 of onsets within 20 ms (mir_eval)"),
        onset_f1_50=("", "F1 of onsets within 50 ms (mir_eval)"),
        onset_precision_50=("", "share of generated onsets that are human ones, 50 ms"),
        onset_recall_50=("", "share of human onsets that are generated, 50 ms"),
        onset_f1_50_span=("", "F1 at 50 ms of the onsets between the first and the last human one, as the floors are"),
        onset_shift_ms=("ms", "by how much the generated onsets lie late as a whole"),
        onset_f1_20_shifted=("", "F1 at 20 ms with that shift taken off"),
        onset_f1_50_shifted=("", "F1 at 50 ms with that shift taken off"),
    )
    | _metrics(
        "density",
        nps_asked=("1/s", "notes per second asked for: those of the human level"),
        nps=("1/s", "notes per second between the first and the last note"),
        nps_error=("%", "by how much the density misses what was asked"),
        nps_peak_4s=("1/s", "notes per second in the densest four seconds"),
        density_variation=("", "standard deviation of the notes in spans of four seconds, against their mean"),
    )
    | _metrics(
        "playability",
        errors_per_1000=("", "errors of play (`check`, preset default) per 1,000 notes, before any repair"),
        warnings_per_1000=("", "warnings of play per 1,000 notes"),
        parity_breaks_per_1000=("", "swings per 1,000 that break parity in MapCheck's model"),
        refused_per_1000=("", "draws per 1,000 notes that a mask took away: violations without masks"),
        left_out_per_1000=("", "notes per 1,000 for which nothing was allowed"),
    )
    | _metrics(
        "distribution",
        js_columns=("bit", "Jensen-Shannon divergence of hand and column from other songs' human levels"),
        js_rows=("bit", "the same of hand and row"),
        js_cuts=("bit", "the same of hand and cut direction"),
        js_states=("bit", "the same of hand, column, row and cut"),
        js_gap_ratios=("bit", "the same of the ratio of successive gaps between onsets"),
    )
    | _metrics(
        "style",
        doubles=("", "share of onsets with both hands"),
        doubles_alike=("", "share of those with equal or mirrored cuts"),
        doubles_level=("", "share of those in one row"),
        dots=("", "share of notes without direction"),
        diagonals=("", "share of notes cut diagonally"),
        verticals=("", "share of notes cut up or down"),
        top_row=("", "share of notes in the top row"),
        middle_row=("", "share of notes in the middle row"),
        outer_columns=("", "share of notes in the outermost columns"),
        crossovers=("", "share of swings with the hand on the other side"),
        crossed_peak=("", "highest share of notes on the other hand's side in any 16 notes"),
        column_jumps=("", "share of a hand's notes two columns or more from its last"),
        same_hand=("", "share of single notes after one of the same hand"),
        streams=("", "share of onsets in runs of six or more even ones, 0.25 s apart or less"),
        state_stays=("", "share of a hand's notes like the one before"),
        state_returns=("", "share of a hand's notes like the one before the last"),
        hands_apart_cells=("cells", "columns from the left to the right hand's last note, at each onset"),
        reach_cells=("cells", "cells from a hand's swing to its next"),
        style_spread=("", "spread of these rates over songs, against people's"),
        style_correlation=("", "correlation of these rates with those of the human level of the song"),
    )
    | _metrics(
        "patterns",
        distinct_4grams=("", "share of different runs of four states of a hand"),
        top_state=("", "share of the commonest state of a hand"),
        bars_exact=("", "bars that repeat an earlier one exactly (of those with 4 onsets or more)"),
        bars_mirrored=("", "bars that repeat an earlier one in a mirror"),
        bars_rhythm=("", "bars that repeat the rhythm of an earlier one"),
    )
    | _metrics(
        "structure",
        likeness_correlation=("", "correlation of the likeness of bars in sound and in notes"),
        loudness_correlation=("", "rank correlation of loudness and notes of the bars"),
        empty_bars_filled=("", "share of bars left empty by people that have notes"),
        weak_onsets=(
            "",
            "share of onsets where less sounds than at most quarters of a beat: in the lowest fourth of them",
        ),
    )
    | _metrics(
        "extras",
        bombs_per_min=("1/min", "bombs"),
        walls_per_min=("1/min", "walls"),
        arcs_per_min=("1/min", "arcs"),
        chains_per_min=("1/min", "chains"),
        lights_per_min=("1/min", "light events, boosts among them"),
    )
)
"""Every metric by name, in the order of the table."""

_STYLE: Final = tuple(
    name for name, metric in METRICS.items() if metric.group == "style" and not name.startswith("style_")
)
_JS: Final = tuple(name for name in METRICS if name.startswith("js_"))
GRIDS: Final = ("estimated", "true")
"""Grids that levels are generated on; metrics on the true one have the suffix below."""
_TRUE: Final = "_true_grid"


@dataclass(frozen=True, kw_only=True, slots=True)
class _Level:
    """The notes of a level on the 4 x 3 grid, sorted, on the slots of a `Sound`."""

    name: str
    time_s: F64
    x: I64
    y: I64
    hand: I64
    cut: I64
    slot: I64
    sound: structure.Sound
    facts: Mapping[str, NDArray[Any]]
    counts: Mapping[str, int]

    @classmethod
    def of(cls, difficulty: _native.Difficulty, sound: structure.Sound, ahead_s: float) -> _Level:
        """`ahead_s`: what is added to the level's times to get those of the sound's grid."""
        table = difficulty.notes()
        x, y, hand, cut = (np.asarray(table[name]).astype(np.int64) for name in ("x", "y", "color", "cut"))
        kept = (x >= 0) & (x < 4) & (y >= 0) & (y < 3) & (cut >= 0) & (cut < 9) & (hand >= 0) & (hand < 2)
        slot = np.round(sound.grid.beat(table["time"] + ahead_s) * SLOTS_PER_BEAT).astype(np.int64)
        kept &= (slot >= 0) & (slot < len(sound.flux))
        return cls(
            name=difficulty.name,
            time_s=table["time"][kept],
            x=x[kept],
            y=y[kept],
            hand=hand[kept],
            cut=cut[kept],
            slot=slot[kept],
            sound=sound,
            facts=_native.play_facts(difficulty),
            counts={
                "bombs": len(difficulty.bombs()["beat"]),
                "walls": len(difficulty.obstacles()["beat"]),
                "arcs": len(difficulty.arcs()["beat"]),
                "chains": len(difficulty.chains()["beat"]),
                "lights": len(difficulty.lights()["beat"]) + len(difficulty.boosts()["beat"]),
            },
        )

    @property
    def state(self) -> I64:
        out: I64 = (self.x * 3 + self.y) * 9 + self.cut
        return out

    @property
    def onset_s(self) -> F64:
        return np.unique(np.round(self.time_s, 3))

    @property
    def played_s(self) -> float:
        return float(np.ptp(self.time_s)) if len(self.time_s) else 0.0

    def histograms(self) -> dict[str, F64]:
        gaps = np.diff(np.unique(self.slot)).astype(np.float64)
        turns = np.round(2.0 * np.log2(gaps[1:] / gaps[:-1]))
        ratio = np.clip(turns, -6, 6).astype(np.int64) + 6
        pairs = {
            "js_columns": (self.hand * 4 + self.x, 8),
            "js_rows": (self.hand * 3 + self.y, 6),
            "js_cuts": (self.hand * 9 + self.cut, 18),
            "js_states": (self.hand * STATES + self.state, 2 * STATES),
            "js_gap_ratios": (ratio, 13),
        }
        return {name: np.bincount(rows, minlength=size).astype(np.float64) for name, (rows, size) in pairs.items()}


def _style(level: _Level) -> dict[str, float | None]:
    """Rates of how a level is written."""
    slots, first = np.unique(level.slot, return_index=True)
    hands = np.zeros(len(slots), dtype=np.int64)
    np.bitwise_or.at(hands, np.searchsorted(slots, level.slot), 1 << level.hand)
    single = hands < 3
    after = single[1:] & single[:-1]
    gaps = np.diff(level.time_s[first])
    even = (gaps[1:] <= 0.25) & (np.abs(np.diff(gaps)) <= 0.015)
    streamed = np.zeros(len(slots), dtype=bool)
    for run in np.split(np.flatnonzero(even), np.flatnonzero(np.diff(np.flatnonzero(even)) > 1) + 1):
        if len(run) >= 4:  # four equal neighbours of gaps are five gaps, six onsets
            streamed[run[0] : run[-1] + 3] = True
    stays: list[bool] = []
    returns: list[bool] = []
    jumps: list[bool] = []
    for hand in (0, 1):
        state = level.state[level.hand == hand]
        jumps += (np.abs(np.diff(level.x[level.hand == hand])) >= 2).tolist()
        stays += (state[1:] == state[:-1]).tolist()
        returns += (state[2:] == state[:-2]).tolist()
    apart = []
    last: dict[int, int] = {}
    for x, hand, slot, following in zip(
        level.x.tolist(), level.hand.tolist(), level.slot.tolist(), [*level.slot[1:].tolist(), -1], strict=True
    ):
        last[hand] = x
        if slot != following and len(last) == 2:
            apart.append(last[1] - last[0])
    distance = level.facts["distance"]
    rows = [np.flatnonzero(level.hand == hand) for hand in (0, 1)]
    _, one, other = np.intersect1d(level.slot[rows[0]], level.slot[rows[1]], return_indices=True)
    left, right = rows[0][one], rows[1][other]
    mirrored = MIRROR[level.state[left]] % 9
    crossed = (level.x >= 2) != (level.hand == 1)
    return {
        "doubles": _mean(hands == 3),
        "doubles_alike": _mean((level.cut[left] == level.cut[right]) | (mirrored == level.cut[right])),
        "doubles_level": _mean(level.y[left] == level.y[right]),
        "dots": _mean(level.cut == 8),
        "diagonals": _mean((level.cut >= 4) & (level.cut < 8)),
        "verticals": _mean(level.cut < 2),
        "top_row": _mean(level.y == 2),
        "middle_row": _mean(level.y == 1),
        "outer_columns": _mean((level.x == 0) | (level.x == 3)),
        "crossovers": _mean(level.facts["crossover"]),
        "crossed_peak": peak_share(crossed, 16),
        "column_jumps": _mean(jumps),
        "same_hand": _mean((hands[1:] == hands[:-1])[after]),
        "streams": _mean(streamed),
        "state_stays": _mean(stays),
        "state_returns": _mean(returns),
        "hands_apart_cells": _mean(apart),
        "reach_cells": _mean(distance[np.isfinite(distance)]),
    }


def _mean(values: Any) -> float | None:
    return float(np.mean(values)) if len(values) else None


def _measured(level: _Level, counts: Mapping[str, int], others: Mapping[str, F64]) -> dict[str, float | None]:
    """What can be said of a human level as of a generated one; `others`: histograms of other songs' human levels."""
    width = level.sound.bar_slots
    bar, place = level.slot // width, level.slot % width
    played_s, total = level.played_s, len(level.time_s)
    out: dict[str, float | None] = {
        "nps": total / played_s if played_s else 0.0,
        "nps_peak_4s": peak_rate(level.time_s),
        "density_variation": variation(level.time_s),
        "errors_per_1000": 1000.0 * counts.get("error", 0) / max(total, 1),
        "warnings_per_1000": 1000.0 * counts.get("warning", 0) / max(total, 1),
        "parity_breaks_per_1000": _per_1000(level.facts["wrist_flow"] == 2),
    }
    for name, own in level.histograms().items():
        known = name in others and own.sum() > 0 and others[name].sum() > 0
        out[name] = js_divergence(own, others[name]) if known else None
    out |= _style(level)
    grams = [distinct_ngrams(level.state[level.hand == hand]) for hand in (0, 1)]
    out["distinct_4grams"] = _mean([value for value in grams if value is not None])
    tops = [np.bincount(level.state[level.hand == hand]) for hand in (0, 1) if (level.hand == hand).any()]
    out["top_state"] = _mean([float(top.max() / top.sum()) for top in tops])
    repeats = bar_repeats(bar, place, level.hand, level.state)
    out |= {f"bars_{name}": value for name, value in repeats.items()}
    out |= _structure(level, bar, place)
    for name, count in level.counts.items():
        out[f"{name}_per_min"] = 60.0 * count / played_s if played_s else 0.0
    return out


def _per_1000(flags: NDArray[np.bool_]) -> float:
    return 1000.0 * float(flags.mean()) if len(flags) else 0.0


def _structure(level: _Level, bar: I64, place: I64) -> dict[str, float | None]:
    sound = level.sound
    likeness = bar_likeness(bar, place, level.hand, level.cut, sound.bars, sound.bar_slots)
    first, last = (int(bar.min()), int(bar.max()) + 1) if len(bar) else (0, 0)
    upper = np.triu_indices(last - first, k=1)
    in_notes, in_sound = likeness[first:last, first:last][upper], sound.likeness[first:last, first:last][upper]
    known = np.isfinite(in_notes)
    count = np.bincount(bar, minlength=sound.bars)[first:last]
    strength = sound.flux.sum(axis=1)
    quarters = np.arange(first * sound.bar_slots, last * sound.bar_slots, SLOTS_PER_BEAT // 4)
    weak = np.quantile(strength[quarters], 0.25) if len(quarters) else 0.0
    return {
        "likeness_correlation": correlation(in_sound[known], in_notes[known]),
        "loudness_correlation": rank_correlation(sound.loudness_db[first:last], count),
        "weak_onsets": _mean(strength[np.unique(level.slot)] < weak),
    }


def _against_human(generated: _Level, human: _Level, pad_s: float, human_pad_s: float) -> dict[str, float | None]:
    """Onsets and bars beside those of the human level.

    `pad_s`: by how much the times of the generated level lie after those of the song; `human_pad_s`: the same of the
    grid that the human level is read on.
    """
    found, wanted = generated.onset_s - pad_s, human.onset_s
    f1, precision, recall = onset_scores(wanted, found, 0.05)
    shift_s = onset_shift(wanted, found)
    inside = found[(found >= wanted[0] - 0.05) & (found <= wanted[-1] + 0.05)]
    width = human.sound.bar_slots
    empty = np.bincount(human.slot // width, minlength=human.sound.bars) == 0
    beat = human.sound.grid.beat(found + human_pad_s)
    filled = np.isin(np.arange(human.sound.bars), np.round(beat * SLOTS_PER_BEAT).astype(np.int64) // width)
    return {
        "onset_f1_20": onset_scores(wanted, found, 0.02)[0],
        "onset_f1_50": f1,
        "onset_precision_50": precision,
        "onset_recall_50": recall,
        "onset_f1_50_span": onset_scores(wanted, inside, 0.05)[0],
        "onset_shift_ms": 1000.0 * shift_s,
        "onset_f1_20_shifted": onset_scores(wanted, found - shift_s, 0.02)[0],
        "onset_f1_50_shifted": onset_scores(wanted, found - shift_s, 0.05)[0],
        "empty_bars_filled": _mean(filled[empty]),
    }


def _floors(human: _Level, sound: structure.Sound, pad_s: float) -> dict[str, F64]:
    """Onsets that need no model, in seconds of the song, between the first and the last human one."""
    wanted = human.onset_s
    slot_s = sound.grid.seconds(np.arange(len(sound.flux)) / SLOTS_PER_BEAT) - pad_s
    played = (slot_s >= wanted[0] - 0.01) & (slot_s <= wanted[-1] + 0.01)
    place = np.arange(len(slot_s)) % SLOTS_PER_BEAT
    strength = np.where(played & (place % 3 == 0), np.log1p(sound.flux.sum(axis=1)), -np.inf)
    count = min(len(np.unique(human.slot)), int(np.isfinite(strength).sum()))
    return {
        "metronome_half": slot_s[played & (place % 6 == 0)],
        "metronome_quarter": slot_s[played & (place % 3 == 0)],
        "flux": np.sort(slot_s[np.argsort(-strength, kind="stable")[:count]]),
    }


# ---- the run --------------------------------------------------------------------------------------------------------

_NOTES_MIN: Final = 50
"""Levels with fewer notes say nothing."""
_OF_THE_PACK: Final = ("progression",)
"""Rules that compare the levels of a pack: one level alone breaks them."""
_ON_GRID_SHARE: Final = 0.8
"""With less of the notes on quarters of the beat (within 0.02 beats) the grid of a level is not known."""
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
    human = _Level.of(candidate.difficulty, on_true.sound, on_true.pad_s)
    generated = {grid: _Level.of(draft.difficulty, draft.sound, 0.0) for grid, draft in drafts.items()}
    beside: dict[str, dict[str, float | None]] = {}
    floors: dict[str, dict[str, float]] = {}
    rules = {"human": _rules(candidate.pack, name)}
    for grid, draft in drafts.items():
        level = generated[grid]
        rules[grid] = _rules_of(draft, envelope.duration_s)
        found = _against_human(level, human, draft.pad_s, on_true.pad_s)
        got = len(level.time_s) / level.played_s if level.played_s else 0.0
        found |= {
            "nps_asked": asked,
            "nps_error": 100.0 * (got / asked - 1.0),
            "refused_per_1000": 1000.0 * draft.refused / max(len(level.time_s), 1),
            "left_out_per_1000": 1000.0 * draft.left_out / max(len(level.time_s), 1),
        }
        beside[grid] = found
        for floor, onsets in _floors(human, draft.sound, draft.pad_s).items():
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
        pool = {name: np.sum([own[name] for own in others], axis=0) for name in _JS} if others else {}
        row["metrics"] = {}
        for who, level in row["levels"].items():
            counts: Counter[str] = Counter()
            for (severity, _), count in row["rules"][who].items():
                counts[severity] += count
            row["metrics"][who] = _measured(level, counts, pool) | row["beside"].get(who, {})


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
            tables = [np.array([[row[who][rate] or 0.0 for rate in _STYLE] for row in rows]) for who in (grid, "human")]
            return style_agreement(*tables)[name == "style_correlation"]

        return styles

    def mean(groups: list[Any]) -> float | None:
        return _mean([v for group in groups for row in group if (v := row["metrics"][grid].get(name)) is not None])

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


_STYLESHEET: Final = """
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
        f"<style>{_STYLESHEET}</style><h1>Generated beside human levels</h1>",
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
