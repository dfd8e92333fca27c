"""The composed song: is what it says of itself true, and does it sound like a song?"""

from __future__ import annotations

from typing import Any

import librosa
import mir_eval
import numpy as np
import pytest

from beatweaver import audio, demo, timing
from beatweaver.errors import ConfigError

RATE_HZ = 22_050
SHORT = (("verse", 4), ("drop", 4), ("outro", 4))


@pytest.fixture(scope="module")
def song() -> demo.DemoSong:
    return demo.compose()


def mono(song: demo.DemoSong) -> Any:
    """As analysis hears it: encoded, decoded, mixed down."""
    return audio.prepare(song.ogg(), sample_rate_hz=RATE_HZ).samples


def rms_db(song: demo.DemoSong, section: demo.Section) -> float:
    start, end = (round(edge_s * song.sample_rate_hz) for edge_s in section[1:])
    return float(10 * np.log10((song.samples[start:end] ** 2).mean()))


def test_the_whole_song_is_a_minute_long_and_says_what_is_in_it(song: demo.DemoSong) -> None:
    assert song.samples.dtype == np.float32 and song.samples.ndim == 2 and song.samples.shape[1] == 2
    assert song.samples.flags.c_contiguous
    assert 60.0 < len(song.samples) / song.sample_rate_hz < 75.0
    assert [section.name for section in song.sections] == ["intro", "verse", "drop", "verse", "drop", "outro"]
    starts, ends = [s.start_s for s in song.sections], [s.end_s for s in song.sections]
    assert starts[0] == song.offset_s == song.beats_s[0]
    assert starts[1:] == ends[:-1]
    assert ends[-1] == pytest.approx(song.beats_s[-1] + 60 / song.bpm)
    assert np.diff(song.beats_s) == pytest.approx(60 / song.bpm)
    assert np.array_equal(song.downbeats_s, song.beats_s[:: song.metre])
    assert all(np.abs(song.downbeats_s - start).min() < 1e-9 for start in starts)


def test_it_does_not_clip_and_grows_louder_to_the_drop(song: demo.DemoSong) -> None:
    assert np.abs(song.samples).max() == pytest.approx(0.89, abs=1e-5)
    assert abs(float(song.samples.mean())) < 0.005
    intro, verse, drop, verse2, drop2, outro = (rms_db(song, section) for section in song.sections)
    assert intro + 3 < verse and verse + 2 < drop
    assert outro + 3 < drop2
    assert verse2 == pytest.approx(verse, abs=0.5) and drop2 == pytest.approx(drop, abs=0.1)


def test_it_begins_in_silence_and_ends_by_itself(song: demo.DemoSong) -> None:
    first = round(song.offset_s * song.sample_rate_hz)
    assert np.abs(song.samples[: first - 1]).max() == 0.0
    assert np.abs(song.samples[first : first + 2_000]).max() > 0.05
    tail = song.samples[round(song.sections[-1].end_s * song.sample_rate_hz) :]
    thirds = [float(np.abs(part).max()) for part in np.array_split(tail, 3)]
    assert thirds[0] > thirds[1] > thirds[2] > 0
    assert np.abs(song.samples[-100:]).max() < 1e-3


def test_left_and_right_differ_but_agree(song: demo.DemoSong) -> None:
    left, right = song.samples.T
    assert 0.5 < float(np.corrcoef(left, right)[0, 1]) < 0.99


def test_it_is_the_same_every_time_and_another_with_another_seed() -> None:
    first, again, other = (demo.compose(form=SHORT, seed=seed) for seed in (4, 4, 5))
    assert np.array_equal(first.samples, again.samples)
    assert first.samples.shape == other.samples.shape
    assert np.abs(first.samples - other.samples).max() > 0.1


def test_timing_finds_tempo_beats_and_bars(song: demo.DemoSong) -> None:
    grid = timing.estimate_grid(mono(song))
    assert grid.bpm == pytest.approx(song.bpm, abs=0.01)
    assert grid.metre == song.metre
    assert len(grid.regions) == 1 and grid.confidence > 0.6
    assert grid.offset_s == pytest.approx(song.offset_s, abs=0.005)
    inside = grid.downbeats_s[grid.downbeats_s < song.sections[-1].end_s - 0.1]
    assert np.abs(inside[:, None] - song.downbeats_s).min(axis=1).max() < 0.005


@pytest.mark.parametrize(
    ("bpm", "metre", "offset_s", "seed"),
    [(140.0, 3, 0.7, 3), (174.0, 4, 0.0, 5), (110.0, 3, 0.25, 9), (120.5, 4, 1.234, 1), (150.0, 4, 3.0, 8)],
)
def test_other_songs_are_as_they_say(bpm: float, metre: int, offset_s: float, seed: int) -> None:
    song = demo.compose(bpm=bpm, metre=metre, offset_s=offset_s, seed=seed)
    grid = timing.estimate_grid(mono(song))
    assert grid.bpm == pytest.approx(bpm, abs=0.02) and grid.metre == metre
    for found, true in ((grid.beats_s, song.beats_s), (grid.downbeats_s, song.downbeats_s)):
        inside = found[(found > offset_s - 0.1) & (found < song.sections[-1].end_s - 0.1)]
        assert np.abs(inside[:, None] - true).min(axis=1).max() < 0.006


def test_librosa_agrees_about_tempo_and_beats(song: demo.DemoSong) -> None:
    tempo, beats_s = librosa.beat.beat_track(y=mono(song), sr=RATE_HZ, units="time")
    assert float(np.ravel(tempo)[0]) == pytest.approx(song.bpm, rel=0.02)
    # Within 70 ms, as the field counts: its frames are 23 ms long and its beats late by two of them.
    start, end = song.sections[1].start_s, song.sections[-1].start_s
    heard, true = (times_s[(times_s >= start - 0.1) & (times_s < end)] for times_s in (beats_s, song.beats_s))
    assert mir_eval.beat.f_measure(true, heard) > 0.95


def test_sections_of_one_name_sound_alike(song: demo.DemoSong) -> None:
    # Mean colour of each section: a drop is nearer to the other drop than to anything else.
    colours = []
    for section in song.sections:
        start, end = (round(edge_s * song.sample_rate_hz) for edge_s in section[1:])
        mel = librosa.feature.melspectrogram(y=song.samples[start:end].mean(axis=1), sr=song.sample_rate_hz)
        colours.append(librosa.power_to_db(mel).mean(axis=1))
    distance = np.linalg.norm(np.array(colours)[:, None] - np.array(colours), axis=2) + 1e9 * np.eye(len(colours))
    names = [section.name for section in song.sections]
    for name in ("verse", "drop"):
        first, second = (place for place, other in enumerate(names) if other == name)
        assert distance[first].argmin() == second and distance[second].argmin() == first


@pytest.mark.parametrize(
    ("arguments", "field"),
    [
        ({"bpm": 59.9}, "bpm"),
        ({"bpm": float("nan")}, "bpm"),
        ({"metre": 5}, "metre"),
        ({"offset_s": -0.1}, "offset_s"),
        ({"form": ()}, "form"),
        ({"form": (("bridge", 4),)}, "form"),
        ({"form": (("verse", 0),)}, "form"),
    ],
)
def test_wrong_arguments_are_refused_by_name(arguments: dict[str, Any], field: str) -> None:
    with pytest.raises(ConfigError, match=f"{field}: found"):
        demo.compose(**arguments)


@pytest.mark.parametrize("form", [(("outro", 1),), (("intro", 1),), (("drop", 1), ("drop", 1)), (("verse", 3),)])
@pytest.mark.parametrize("metre", [3, 4])
def test_any_form_makes_a_song(form: tuple[tuple[str, int], ...], metre: int) -> None:
    song = demo.compose(form=form, metre=metre, bpm=240.0)
    bars = sum(count for _, count in form)
    assert len(song.downbeats_s) == bars and len(song.beats_s) == bars * metre
    assert np.isfinite(song.samples).all() and np.abs(song.samples).max() == pytest.approx(0.89, abs=1e-5)
