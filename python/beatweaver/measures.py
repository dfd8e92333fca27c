"""Measures of levels: of one alone, of one against another, and of many at once; pure functions of arrays.

Above are plain measures. `METRICS` then names what is told of a level, and `Played` is the level it is told of: its
notes on the slots of a `Sound`, so that human and generated levels are measured alike. Times are seconds of the song.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import ArrayLike, NDArray

from beatweaver import _native, structure
from beatweaver.errors import MissingExtraError
from beatweaver.tokens import MIRROR, SLOTS_PER_BEAT, STATES

__all__ = [
    "DIVERGENCES",
    "METRICS",
    "STYLE",
    "Metric",
    "Played",
    "against_human",
    "bar_likeness",
    "bar_repeats",
    "bootstrap",
    "correlation",
    "difference",
    "distinct_ngrams",
    "floor_onsets",
    "histograms",
    "js_divergence",
    "matched_onsets",
    "measured",
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
        js_turns=("bit", "the same of hand and cut direction after the one before it"),
        js_moves=("bit", "the same of hand and columns and rows from its note before"),
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

STYLE: Final = tuple(
    name for name, metric in METRICS.items() if metric.group == "style" and not name.startswith("style_")
)
"""Rates of how a level is written."""
DIVERGENCES: Final = tuple(name for name in METRICS if name.startswith("js_"))
"""Divergences of a level's histograms from those of other songs' human levels."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Played:
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
    def of(cls, difficulty: _native.Difficulty, sound: structure.Sound, ahead_s: float) -> Played:
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
        """Column, row and cut as in `tokens.STATES`."""
        out: I64 = (self.x * 3 + self.y) * 9 + self.cut
        return out

    @property
    def onset_s(self) -> F64:
        """Times at which there are notes."""
        return np.unique(np.round(self.time_s, 3))

    @property
    def played_s(self) -> float:
        """Seconds from the first note to the last."""
        return float(np.ptp(self.time_s)) if len(self.time_s) else 0.0

    def histograms(self) -> dict[str, F64]:
        """Counts behind each of `DIVERGENCES`."""
        return histograms(self.slot, self.hand, self.state)


def histograms(slot: I64, hand: I64, state: I64) -> dict[str, F64]:
    """Counts behind each of `DIVERGENCES`: of a level's notes, sorted by slot."""
    gaps = np.diff(np.unique(slot)).astype(np.float64)
    ratio = np.clip(np.round(2.0 * np.log2(gaps[1:] / gaps[:-1])), -6, 6).astype(np.int64) + 6
    column, row, cut = state // 27, state // 9 % 3, state % 9
    turned: list[I64] = []
    moved: list[I64] = []
    for side in (0, 1):
        own = hand == side
        turned.append(side * 81 + cut[own][:-1] * 9 + cut[own][1:])
        moved.append(side * 35 + (np.diff(column[own]) + 3) * 5 + np.diff(row[own]) + 2)
    pairs = {
        "js_columns": (hand * 4 + column, 8),
        "js_rows": (hand * 3 + row, 6),
        "js_cuts": (hand * 9 + cut, 18),
        "js_states": (hand * STATES + state, 2 * STATES),
        "js_turns": (np.concatenate(turned), 162),
        "js_moves": (np.concatenate(moved), 70),
        "js_gap_ratios": (ratio, 13),
    }
    return {name: np.bincount(rows, minlength=size).astype(np.float64) for name, (rows, size) in pairs.items()}


def _style(level: Played) -> dict[str, float | None]:
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
        level.x.tolist(), level.hand.tolist(), level.slot.tolist(), [*level.slot[1:].tolist(), -1], strict=False
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


def measured(level: Played, counts: Mapping[str, int], others: Mapping[str, F64]) -> dict[str, float | None]:
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


def _structure(level: Played, bar: I64, place: I64) -> dict[str, float | None]:
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


def against_human(generated: Played, human: Played, pad_s: float, human_pad_s: float) -> dict[str, float | None]:
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


def floor_onsets(human: Played, sound: structure.Sound, pad_s: float) -> dict[str, F64]:
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
