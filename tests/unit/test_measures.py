"""Measures against brute force and other libraries, and what they say of levels made to be alike or not."""

from __future__ import annotations

import itertools
from typing import Any

import mir_eval.onset
import numpy as np
import pytest
import scipy.spatial.distance
import scipy.stats
import stages
from hypothesis import given
from hypothesis import strategies as st

from beatweaver import _native, measures
from beatweaver.tokens import MIRROR, STATES

times = st.lists(st.floats(0, 5), max_size=25).map(lambda x: np.unique(np.round(x, 3)))
counts = st.lists(st.integers(0, 50), min_size=2, max_size=12)


# ---- onsets ---------------------------------------------------------------------------------------------------------


def test_f1_by_hand() -> None:
    f1, precision, recall = measures.onset_scores([1.0, 2.0, 3.0, 4.0], [1.04, 2.06, 3.0], 0.05)
    assert precision == pytest.approx(2 / 3)
    assert recall == pytest.approx(2 / 4)
    assert f1 == pytest.approx(2 * (2 / 3) * 0.5 / (2 / 3 + 0.5))
    assert measures.onset_scores([1.0], [1.01, 1.02], 0.05) == pytest.approx((2 / 3, 0.5, 1.0))
    assert measures.onset_scores([], [], 0.05) == (1.0, 1.0, 1.0)
    assert measures.onset_scores([], [1.0], 0.05) == measures.onset_scores([1.0], [], 0.05) == (0.0, 0.0, 0.0)


@given(times, times, st.sampled_from([0.0205, 0.0505, 0.3005]))
def test_matching_is_as_good_as_mir_evals(reference: Any, found: Any, w: float) -> None:
    pairs = measures.matched_onsets(reference, found, w)
    if len(reference) and len(found):
        precision = mir_eval.onset.f_measure(reference, found, window=w)[1]
        assert pairs == round(precision * len(found))
        f1 = 2 * pairs / (len(reference) + len(found))
        assert measures.onset_scores(reference, found, w)[0] == pytest.approx(f1)
    else:
        assert pairs == 0


def test_a_shift_is_found_and_taken_off() -> None:
    draw = np.random.default_rng(1)
    reference = np.cumsum(draw.uniform(0.15, 0.6, 200))
    for shift_s in (-0.04, -0.012, 0.0, 0.028):
        found = reference + shift_s + draw.normal(0, 0.002, 200)
        assert measures.onset_shift(reference, found) == pytest.approx(shift_s, abs=0.004)
    assert measures.onset_shift(reference, np.zeros(0)) == 0.0


# ---- distributions --------------------------------------------------------------------------------------------------


@given(counts, st.randoms(use_true_random=False))
def test_js_divergence_is_scipys(p: list[int], draw: np.random.Generator) -> None:
    q = [draw.randint(0, 9) for _ in p]  # type: ignore[attr-defined]
    if not sum(p) or not sum(q):
        with pytest.raises(ValueError, match="two histograms"):
            measures.js_divergence(p, q)
        return
    known = scipy.spatial.distance.jensenshannon(p, q, base=2) ** 2
    assert measures.js_divergence(p, q) == pytest.approx(known, abs=1e-9)
    assert measures.js_divergence(p, p) == pytest.approx(0, abs=1e-12)


def test_js_divergence_has_its_bounds() -> None:
    assert measures.js_divergence([1, 0, 0], [0, 1, 5]) == pytest.approx(1.0)
    assert measures.js_divergence([1, 2], [10, 20]) == 0.0
    with pytest.raises(ValueError, match="shapes"):
        measures.js_divergence([1, 2], [1, 2, 3])


@given(
    st.lists(
        st.tuples(st.integers(0, 40), st.integers(0, 1), st.integers(0, STATES - 1)),
        unique_by=lambda note: note[:2],
        max_size=30,
    )
)
def test_histograms_count_what_they_are_called(notes: list[tuple[int, int, int]]) -> None:
    notes.sort()
    slot, hand, state = (np.array([note[k] for note in notes], dtype=np.int64) for k in range(3))
    found = measures.histograms(slot, hand, state)
    assert list(found) == list(measures.DIVERGENCES)
    turns, moves = np.zeros(162), np.zeros(70)
    for side in (0, 1):
        own = [(what // 27, what // 9 % 3, what % 9) for _, hand_, what in notes if hand_ == side]
        for (x, y, cut), (then_x, then_y, then) in itertools.pairwise(own):
            turns[side * 81 + cut * 9 + then] += 1
            moves[side * 35 + (then_x - x + 3) * 5 + then_y - y + 2] += 1
    np.testing.assert_array_equal(found["js_turns"], turns)
    np.testing.assert_array_equal(found["js_moves"], moves)
    for name in ("js_columns", "js_rows", "js_cuts", "js_states"):
        assert found[name].sum() == len(notes)
    columns = [sum(side * 4 + what // 27 == place for _, side, what in notes) for place in range(8)]
    assert found["js_columns"].tolist() == columns


# ---- patterns -------------------------------------------------------------------------------------------------------

note = st.tuples(st.integers(0, 5), st.integers(0, 3), st.integers(0, 1), st.sampled_from([0, 13, 40, 107]))


@given(st.lists(note, max_size=60, unique_by=lambda n: n[:3]), st.integers(1, 3))
def test_repeated_bars_are_those_that_a_search_finds(rows: list[tuple[int, int, int, int]], least: int) -> None:
    rows = sorted(rows)
    bar, place, hand, state = (np.array([row[k] for row in rows], dtype=np.int64) for k in range(4))
    exact = mirrored = rhythm = counted = 0
    bars = [{row[1:] for row in rows if row[0] == k} for k in range(6)]
    for k, content in enumerate(bars):
        if len({row[0] for row in content}) < least:
            continue
        counted += 1
        earlier = [other for other in bars[:k] if len({row[0] for row in other}) >= least]
        mirror = {(at, 1 - side, int(MIRROR[what])) for at, side, what in content}
        exact += any(other == content for other in earlier)
        mirrored += any(other == mirror for other in earlier) and not any(other == content for other in earlier)
        rhythm += any({row[0] for row in other} == {row[0] for row in content} for other in earlier)
    wanted = [count / counted if counted else 0.0 for count in (exact, mirrored, rhythm)]
    found = measures.bar_repeats(bar, place, hand, state, onsets_min=least)
    assert [found["exact"], found["mirrored"], found["rhythm"]] == wanted


@given(st.lists(note, max_size=40))
def test_likeness_of_bars_is_the_index_of_jaccard(rows: list[tuple[int, int, int, int]]) -> None:
    bar, place, hand, state = (np.array([row[k] for row in rows], dtype=np.int64) for k in range(4))
    found = measures.bar_likeness(bar, place, hand, state % 9, 6, 4)
    sets = [{(row[1], row[2], row[3] % 9) for row in rows if row[0] == k} for k in range(6)]
    for i, j in itertools.product(range(6), repeat=2):
        either = len(sets[i] | sets[j])
        assert (np.isnan(found[i, j]) and not either) or found[i, j] == pytest.approx(len(sets[i] & sets[j]) / either)


def test_distinct_runs_by_hand() -> None:
    assert measures.distinct_ngrams(np.array([1, 2, 1, 2, 1, 2])) == pytest.approx(2 / 3)
    assert measures.distinct_ngrams(np.arange(9)) == 1.0
    assert measures.distinct_ngrams(np.arange(3)) is None


@given(times)
def test_peaks_against_all_spans(time_s: Any) -> None:
    wanted = max((sum(1 for t in time_s if at <= t < at + 1.0) for at in time_s), default=0)
    assert measures.peak_rate(time_s, 1.0) == wanted


@given(st.lists(st.booleans(), max_size=30))
def test_peak_share_against_all_runs(flags: list[bool]) -> None:
    wanted = max((sum(flags[i : i + 5]) / 5 for i in range(len(flags) - 4)), default=None)
    assert measures.peak_share(np.array(flags, dtype=bool), 5) == wanted


def test_even_notes_do_not_vary() -> None:
    assert measures.variation(np.arange(0, 40, 0.5)) == 0.0
    assert measures.variation(np.array([0.0, 1.0, 2.0, 3.0, 8.0])) == pytest.approx(1.0)
    assert measures.variation(np.zeros(0)) is None


@given(st.lists(st.tuples(st.integers(0, 5), st.integers(-3, 3)), min_size=3, max_size=30))
def test_rank_correlation_is_scipys(rows: list[tuple[int, int]]) -> None:
    x, y = np.array(rows, dtype=float).T
    found = measures.rank_correlation(x, y)
    if np.ptp(x) == 0 or np.ptp(y) == 0:
        assert found is None
    else:
        assert found == pytest.approx(scipy.stats.spearmanr(x, y).statistic, abs=1e-9)


def test_style_of_equal_levels_agrees_and_of_even_ones_does_not_spread() -> None:
    human = np.random.default_rng(0).random((12, 5))
    assert list(measures.style_agreement(human, human)) == pytest.approx([1.0, 1.0])
    spread, agree = measures.style_agreement(0.5 + 0.1 * (human - 0.5), human)
    assert spread == pytest.approx(0.1)
    assert agree == pytest.approx(1.0)
    spread, agree = measures.style_agreement(np.full((12, 5), 0.3), human)
    assert spread == pytest.approx(0.0)
    assert agree is None
    assert measures.style_agreement(human[:2], human[:2]) == (None, None)


# ---- intervals ------------------------------------------------------------------------------------------------------


def _mean(groups: list[list[float]]) -> float:
    return float(np.mean([value for group in groups for value in group]))


def test_the_interval_covers_the_truth_as_often_as_it_says() -> None:
    """30 songs of one to three levels around 0, the levels of a song alike: nine intervals of ten of 90 % hold 0."""
    draw = np.random.default_rng(5)
    held = 0
    for _ in range(150):
        songs = [list(draw.normal() + 0.2 * draw.normal(size=draw.integers(1, 4))) for _ in range(30)]
        interval = measures.bootstrap(songs, _mean, draws=200, level=0.9)
        assert interval is not None
        held += interval[0] <= 0 <= interval[1]
    assert 0.80 <= held / 150 <= 0.97


def test_songs_are_drawn_whole() -> None:
    """Copies of a level within its song tell nothing new, so they must not make the interval narrower."""
    draw = np.random.default_rng(2)
    values = draw.normal(size=15)
    single = measures.bootstrap([[v] for v in values], _mean)
    copied = measures.bootstrap([[v] * 9 for v in values], _mean)
    assert single is not None
    assert single == pytest.approx(copied)
    assert single[0] < np.mean(values) < single[1]
    assert measures.bootstrap([[1.0], [2.0]], lambda _: None) is None


def test_a_level_of_nothing_can_be_measured() -> None:
    sound, _ = stages.song(stages.grid(), 20.0)
    none: Any = {"beat": [], "x": [], "y": [], "color": [], "cut": []}
    level = measures.Played.of(_native.Difficulty.from_arrays(bpm=120, notes=none), sound, 0.0)
    found = measures.measured(level, {}, {})
    assert found["nps"] == 0.0 and found["doubles"] is None and found["js_states"] is None


# ---- the table ------------------------------------------------------------------------------------------------------


def test_every_metric_has_a_definition() -> None:
    groups = [metric.group for metric in measures.METRICS.values()]
    assert [group for group, _ in itertools.groupby(groups)] == list(dict.fromkeys(groups))
    assert all(metric.about for metric in measures.METRICS.values())
