"""The grid estimator on sound whose beats are known, and its odd inputs; alignment against a brute-force search."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from beatweaver import timing
from beatweaver.errors import ConfigError
from beatweaver.tokens import SLOTS_PER_BEAT

RATE_HZ = 22050


def drums(beats_s: np.ndarray, seconds: float, metre: int = 4, noise: float = 0.001, seed: int = 0) -> np.ndarray:
    """Kick on the first of a bar (and the third of four), snare on the other beats, softer hats on beats and halves."""
    rng = np.random.default_rng(seed)
    out = rng.standard_normal(int(seconds * RATE_HZ)) * noise
    t = np.arange(int(0.15 * RATE_HZ)) / RATE_HZ
    kick = np.sin(2 * np.pi * 60 * t) * np.exp(-t * 25) + 0.3 * rng.standard_normal(len(t)) * np.exp(-t * 300)
    snare = 0.7 * rng.standard_normal(len(t)) * np.exp(-t * 35)
    hat = 0.2 * np.diff(rng.standard_normal(len(t) + 1)) * np.exp(-t * 120)

    def put(sound: np.ndarray, at_s: float) -> None:
        i = round(at_s * RATE_HZ)
        if 0 <= i < len(out):
            out[i : i + len(sound)] += sound[: len(out) - i]

    for k, at_s in enumerate(beats_s):
        put(kick if k % metre in ((0, 2) if metre == 4 else (0,)) else snare, at_s)
        put(hat, at_s)
        if k + 1 < len(beats_s):
            put(hat, (at_s + beats_s[k + 1]) / 2)
    return out.astype(np.float32)


def even(bpm: float, first_s: float, seconds: float) -> np.ndarray:
    return np.arange(first_s, seconds, 60.0 / bpm)


def off_pulse_s(times_s: np.ndarray, beats_s: np.ndarray) -> np.ndarray:
    """Distance of each time to the nearest beat."""
    return np.abs(np.asarray(times_s)[:, None] - beats_s).min(axis=1)


OCTAVES = np.array([0.25, 0.5, 1.0, 2.0, 4.0])


@settings(max_examples=25, deadline=None)
@given(
    bpm=st.floats(60.0, 240.0),
    phase=st.floats(0.0, 1.0),
    noise=st.sampled_from([0.0, 0.001, 0.03]),
    seed=st.integers(0, 10),
)
def test_tempo_and_phase_of_any_steady_drums(bpm: float, phase: float, noise: float, seed: int) -> None:
    """The tempo is exact up to the octave, and every beat found lies on a beat or, at double tempo, a half beat."""
    seconds = 40.0
    beats = even(bpm, 0.2 + phase * 60.0 / bpm, seconds)
    grid = timing.estimate_grid(drums(beats, seconds, noise=noise, seed=seed))
    times = grid.bpm / bpm / OCTAVES
    assert np.min(np.abs(times - 1.0)) < 0.0005
    pulse = even(bpm * max(1.0, float(OCTAVES[np.argmin(np.abs(times - 1.0))])), float(beats[0]), seconds + 1)
    inside = grid.beats_s[(grid.beats_s >= beats[0] - 0.01) & (grid.beats_s < seconds - 1.0)]
    assert len(inside) > 20
    # A grid that took the half beat for the beat would still be on this pulse's half: allow it, the next test does not.
    error = np.minimum(off_pulse_s(inside, pulse), off_pulse_s(inside, pulse[:-1] + np.diff(pulse) / 2))
    assert error.max() < 0.008


@settings(max_examples=10, deadline=None)
@given(bpm=st.integers(100, 170), first_s=st.floats(0.1, 0.5))
def test_beats_not_off_beats_in_the_range_people_map(bpm: int, first_s: float) -> None:
    beats = even(bpm, first_s, 60.0)
    grid = timing.estimate_grid(drums(beats, 60.0))
    assert grid.bpm == pytest.approx(bpm, rel=1e-4)
    assert off_pulse_s(grid.beats_s[grid.beats_s > first_s - 0.01][:-1], beats).max() < 0.006
    assert grid.confidence > 0.5


@settings(max_examples=10, deadline=None)
@given(bpm=st.floats(80.0, 180.0), first_s=st.floats(0.0, 0.4))
def test_what_the_user_gives_wins(bpm: float, first_s: float) -> None:
    audio = drums(even(bpm, 0.25, 20.0), 20.0)
    grid = timing.estimate_grid(audio, bpm=bpm * 0.9, offset_s=first_s)
    assert grid.bpm == pytest.approx(bpm * 0.9)
    assert grid.offset_s == first_s
    assert grid.beats_s == pytest.approx(first_s + np.arange(len(grid.beats_s)) * 60.0 / (bpm * 0.9))
    assert grid.downbeats_s[0] == grid.beats_s[0]
    fitting = timing.estimate_grid(audio, bpm=bpm)
    assert (
        off_pulse_s(fitting.beats_s[1:-2], np.sort(np.r_[even(bpm, 0.25, 21), even(bpm, 0.25 + 30 / bpm, 21)])).max()
        < 0.008
    )
    assert fitting.confidence > grid.confidence


def test_a_jump_of_tempo_makes_two_regions() -> None:
    first = even(120.0, 0.3, 45.0)
    second = even(138.0, float(first[-1]) + 60.0 / 138.0, 90.0)
    grid = timing.estimate_grid(drums(np.concatenate([first, second]), 90.0))
    lasting = [
        r for r, end in zip(grid.regions, [*[r[0] for r in grid.regions[1:]], 90.0], strict=True) if end - r[0] > 5
    ]
    assert [r[2] for r in lasting] == [pytest.approx(120.0, abs=0.1), pytest.approx(138.0, abs=0.1)]
    assert lasting[1][0] == pytest.approx(first[-1], abs=1.1)
    assert np.percentile(off_pulse_s(grid.beats_s[1:-1], np.concatenate([first, second])), 90) < 0.01


def test_a_cut_keeps_the_tempo_and_moves_the_phase() -> None:
    beats = even(128.0, 0.3, 90.0)
    beats[beats > 45.0] += 0.17
    grid = timing.estimate_grid(drums(beats, 90.0))
    assert grid.bpm == pytest.approx(128.0, abs=0.05)
    assert np.percentile(off_pulse_s(grid.beats_s[1:-1], beats), 95) < 0.01


def test_a_ramp_is_followed() -> None:
    t = np.arange(0.0, 90.0, 0.001)
    turns = np.cumsum((110.0 + 20.0 * t / 90.0) / 60.0 * 0.001)
    beats = np.interp(np.arange(1, int(turns[-1])), turns, t)
    grid = timing.estimate_grid(drums(beats, 90.0))
    assert len(grid.regions) > 3
    assert np.percentile(off_pulse_s(grid.beats_s[1:-1], beats), 90) < 0.02


@pytest.mark.parametrize("metre", [3, 4])
def test_metre_and_downbeats(metre: int) -> None:
    beats = even(112.0, 0.4, 60.0)[1:]  # so that the first of a bar is not the first beat that fits
    audio = drums(beats, 60.0, metre=metre)
    chord = np.repeat(np.random.default_rng(1).integers(0, 12, len(beats) // metre + 1), metre)[: len(beats)]
    for at_s, note in zip(beats, chord, strict=True):
        i, n = round(at_s * RATE_HZ), round(60.0 / 112.0 * RATE_HZ)
        tone = 0.1 * np.sin(2 * np.pi * 220.0 * 2 ** (note / 12) * np.arange(n) / RATE_HZ)
        audio[i : i + n] += tone[: len(audio) - i].astype(np.float32)
    grid = timing.estimate_grid(audio)
    assert grid.bpm == pytest.approx(112.0)
    assert grid.metre == metre
    inside = grid.downbeats_s[(grid.downbeats_s > 1.0) & (grid.downbeats_s < 58.0)]
    assert off_pulse_s(inside, beats[::metre]).max() < 0.02


def test_the_whole_line_holds_together() -> None:
    first = even(120.0, 0.3, 30.0)
    grid = timing.estimate_grid(drums(np.r_[first, even(150.0, float(first[-1]) + 0.4, 60.0)], 60.0))
    time_s, beat, bpm = np.array(grid.regions).T
    assert (time_s[0], beat[0]) == (grid.offset_s, 0.0)
    assert np.diff(beat) == pytest.approx(np.diff(time_s) * bpm[:-1] / 60.0, abs=1e-6)
    assert grid.seconds(np.arange(len(grid.beats_s))) == pytest.approx(grid.beats_s)
    where = np.linspace(-5.0, 70.0, 301)
    assert grid.seconds(grid.beat(where)) == pytest.approx(where, abs=1e-9)
    assert (np.diff(grid.beats_s) > 0).all()
    assert sum(score for _, score in grid.candidates) == pytest.approx(1.0)
    assert set(grid.downbeats_s) <= set(grid.beats_s)


@pytest.mark.parametrize("seconds", [0.0, 0.001, 0.1, 1.0, 1.99, 2.01, 3.0, 5.0])
@pytest.mark.parametrize("kind", ["silence", "constant", "noise", "clicks", "nan", "inf"])
def test_short_and_odd_sound_gives_a_grid_and_no_false_confidence(kind: str, seconds: float) -> None:
    n = int(seconds * RATE_HZ)
    audio = np.random.default_rng(0).standard_normal(n).astype(np.float32) * 0.1
    if kind in ("silence", "constant"):
        audio[:] = 0.0 if kind == "silence" else 0.5
    elif kind == "clicks":
        audio = drums(even(120.0, 0.1, seconds), seconds) if n else audio
    elif kind in ("nan", "inf"):
        audio[::7] = np.nan if kind == "nan" else np.inf
    grid = timing.estimate_grid(audio)
    assert np.isfinite(grid.bpm) and grid.bpm > 0 and grid.offset_s >= 0.0
    assert 0.0 <= grid.confidence <= 1.0
    assert np.isfinite(grid.beats_s).all() and (grid.beats_s <= seconds + 1e-6).all()
    if kind != "clicks":
        assert grid.confidence < 0.4
    if seconds < 2.0 or kind == "silence":
        assert grid.confidence == 0.0


@settings(max_examples=8, deadline=None)
@given(seed=st.integers(0, 1000))
def test_noise_and_random_clicks_are_not_believed(seed: int) -> None:
    rng = np.random.default_rng(seed)
    noise = rng.standard_normal(60 * RATE_HZ).astype(np.float32) * 0.1
    assert timing.estimate_grid(noise).confidence < 0.4
    clicks = drums(np.sort(rng.uniform(0.0, 59.0, 200)), 60.0, metre=1)
    assert timing.estimate_grid(clicks).confidence < 0.4


def test_an_envelope_may_be_given_instead_of_sound() -> None:
    audio = drums(even(140.0, 0.2, 30.0), 30.0)
    envelope = timing.onset_envelope(audio)
    assert envelope.flux.shape[1] == 4 and (envelope.flux >= 0).all()
    assert envelope.chroma.shape[1] == 12
    given_, found = timing.estimate_grid(envelope), timing.estimate_grid(audio)
    assert given_.regions == found.regions and np.array_equal(given_.beats_s, found.beats_s)


def test_wrong_arguments_are_refused_by_name() -> None:
    with pytest.raises(ValueError, match="mono"):
        timing.estimate_grid(np.zeros((2, 1000)))
    for bpm in (0.0, -1.0, float("nan"), float("inf")):
        with pytest.raises(ConfigError, match="bpm"):
            timing.estimate_grid(np.zeros(1000), bpm=bpm)
    with pytest.raises(ConfigError, match="offset_s"):
        timing.estimate_grid(np.zeros(1000), offset_s=float("nan"))
    grid = timing.estimate_grid(np.zeros(1000))
    with pytest.raises(ValueError, match="index 1"):
        timing.align([0.0, float("nan")], grid)


@settings(max_examples=60, deadline=None)
@given(
    pieces=st.lists(st.tuples(st.floats(0.3, 8.0), st.floats(40.0, 300.0)), min_size=1, max_size=5),
    offset_s=st.floats(0.0, 2.0),
    onsets=st.lists(st.floats(-3.0, 40.0), max_size=30),
)
def test_alignment_equals_a_search_over_every_slot(
    pieces: list[tuple[float, float]], offset_s: float, onsets: list[float]
) -> None:
    regions, time_s, beat = [], offset_s, 0.0
    for beats, bpm in pieces:
        regions.append((time_s, beat, bpm))
        time_s, beat = time_s + beats * 60.0 / bpm, beat + beats
    grid = timing.Grid(
        bpm=pieces[0][1],
        offset_s=offset_s,
        metre=4,
        confidence=1.0,
        regions=tuple(regions),
        beats_s=np.zeros(0),
        downbeats_s=np.zeros(0),
        candidates=(),
    )
    slots = np.arange(-12 * 40, 12 * 260)
    places = grid.seconds(slots / SLOTS_PER_BEAT)
    found = timing.align(onsets, grid)
    assert len(found.slot) == len(onsets)
    for onset, slot, beat_, error in zip(onsets, found.slot, found.beat, found.error_s, strict=True):
        nearest = float(np.abs(places - onset).min())
        assert abs(error) == pytest.approx(nearest, abs=1e-9)
        assert float(grid.seconds(slot / SLOTS_PER_BEAT)) + error == pytest.approx(onset, abs=1e-9)
        assert beat_ == slot / 12


def test_the_picture_is_a_png(tmp_path) -> None:  # type: ignore[no-untyped-def]
    pytest.importorskip("matplotlib")
    audio = drums(even(125.0, 0.2, 30.0), 30.0)
    for sound in (audio, audio[: RATE_HZ // 2], np.zeros(0, dtype=np.float32)):
        timing.plot(sound, timing.estimate_grid(sound), tmp_path / "grid.png")
        assert (tmp_path / "grid.png").read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"
