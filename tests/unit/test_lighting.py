"""Light shows on random notes: never dark, calm in calm parts, in step with hands and phrases, the same by seed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import corpora
import numpy as np
import pytest
import stages
from hypothesis import given
from hypothesis import strategies as st

from beatweaver import _native, lighting

SPIN = 8
NOTHING: dict[str, np.ndarray[Any, Any]] = {"beat": np.empty(0), "color": np.empty(0, dtype=np.uint8)}


def show(
    *, seconds: float = 180.0, nps: float = 4.6, seed: int = 0, clock: Any = None, heard: bool = True
) -> tuple[Any, Any, Any, Any]:
    clock = clock or stages.grid(bpm=128.0)
    sound, plan = stages.song(clock, seconds, seed)
    notes = stages.notes(clock, seconds, nps, seed)
    out = lighting.light(
        notes,
        clock,
        plan=plan if heard else None,
        sound=sound if heard else None,
        rng=np.random.default_rng(seed),
        end_s=seconds,
    )
    return notes, out, clock, plan


def same(a: Any, b: Any) -> bool:
    return all(np.array_equal(a[group][name], b[group][name]) for group in a for name in a[group])


@given(
    bpm=st.floats(40.0, 300.0),
    metre=st.sampled_from([3, 4, 5, 7]),
    offset_s=st.floats(-2.0, 2.0),
    change=st.none() | st.tuples(st.integers(5, 60).map(float), st.floats(40.0, 300.0)),
    nps=st.floats(0.1, 12.0),
    seed=st.integers(0, 10_000),
    seconds=st.floats(0.2, 90.0),
    heard=st.booleans(),
)
def test_never_dark_and_nothing_out_of_place(
    bpm: float,
    metre: int,
    offset_s: float,
    change: tuple[float, float] | None,
    nps: float,
    seed: int,
    seconds: float,
    heard: bool,
) -> None:
    clock = stages.grid(bpm=bpm, metre=metre, offset_s=offset_s, changes=(change,) if change else ())
    _, out, _, _ = show(seconds=seconds, nps=nps, seed=seed, clock=clock, heard=heard)
    # From the beginning of the audio, or from beat 0 where that is later, to the end.
    assert stages.light_faults(out, clock, max(float(clock.seconds(0.0)), 0.0), seconds) == []


@pytest.mark.parametrize("heard", [True, False])
@pytest.mark.parametrize("nps", [1.4, 2.2, 3.2, 4.6, 6.2])
@pytest.mark.parametrize("bpm", [75.0, 128.0, 200.0])
def test_as_many_events_as_people_place(bpm: float, nps: float, heard: bool) -> None:
    """Between the lowest tenth of lit Easy maps and the upper quartile of Expert ones; 200 or more in three minutes."""
    _, out, _, _ = show(nps=nps, clock=stages.grid(bpm=bpm), heard=heard)
    per_minute = len(out["lights"]["beat"]) / 3.0
    assert 176 <= per_minute <= 1043
    lit = np.isin(out["lights"]["kind"], lighting.LIGHT_KINDS) & (out["lights"]["value"] != 0)
    assert lit.sum() >= 200


def moods(plan: Any, clock: Any) -> tuple[np.ndarray, np.ndarray]:
    """Seconds of bars in loud and in quiet parts of the song of `stages`, which take turns every eight bars."""
    bars = np.arange(len(plan.energy))
    return (bars // 8) % 2 == 1, clock.seconds(np.append(bars, len(bars)) * plan.metre)


def test_boosts_begin_with_loud_parts_and_end_with_them() -> None:
    _, out, clock, plan = show()
    loud, _ = moods(plan, clock)
    on = out["boosts"]["beat"][out["boosts"]["on"]]
    off = out["boosts"]["beat"][~out["boosts"]["on"]]
    assert len(on) >= 3
    starts = (on / plan.metre).astype(int)
    assert loud[starts].mean() == 1.0
    assert loud[np.minimum((off / plan.metre).astype(int), len(loud) - 1)].mean() < 0.5


def test_calm_where_the_song_is_calm() -> None:
    _, out, clock, plan = show(nps=3.0)
    loud, edges = moods(plan, clock)
    bar = np.searchsorted(edges, clock.seconds(out["lights"]["beat"]) + 1e-6) - 1
    per_bar = np.bincount(bar, minlength=len(loud))[: len(loud)]
    assert per_bar[loud].mean() > 1.5 * per_bar[~loud].mean()
    flashes = np.isin(out["lights"]["value"], (2, 6))
    assert flashes[loud[bar]].mean() > flashes[~loud[bar]].mean()


def test_a_phrase_begins_with_a_spin_and_another_colour() -> None:
    _, out, clock, plan = show()
    lights = out["lights"]
    starts = np.flatnonzero(np.diff(plan.phrases(), prepend=-1)) * plan.metre
    starts = starts[clock.seconds(starts) < 178]
    spins = lights["beat"][lights["kind"] == SPIN]
    assert all(np.abs(spins - start).min() < 1e-6 for start in starts)
    back = lights["kind"] == 0
    colours = [int(lights["value"][back & (np.abs(lights["beat"] - start) < 1e-6)][0] > 4) for start in starts]
    assert set(np.abs(np.diff(colours)).tolist()) == {1}


def test_lasers_follow_their_hand() -> None:
    clock = stages.grid(bpm=128.0)
    notes = stages.notes(clock, 60.0, 4.0)
    out = lighting.light(notes, clock, plan=None, sound=None, rng=np.random.default_rng(0), end_s=60.0)
    lights = out["lights"]
    for color, kind in ((0, 2), (1, 3)):
        own, other = (notes["beat"][notes["color"] == c] for c in (color, 1 - color))
        only_other = np.setdiff1d(other, own)
        events = lights["beat"][(lights["kind"] == kind) & (lights["value"] != 0)]
        with_own = np.isin(events.round(4), own.round(4)).mean()
        with_other = np.isin(events.round(4), only_other.round(4)).mean()
        # The rest go on by themselves where the hand rests.
        assert with_own > 0.7 > 0.1 > with_other


def test_lights_go_on_without_notes() -> None:
    clock = stages.grid(bpm=100.0)
    out = lighting.light(NOTHING, clock, plan=None, sound=None, rng=np.random.default_rng(0), end_s=30.0)
    assert stages.light_faults(out, clock, 0.0, 30.0) == []
    assert (np.isin(out["lights"]["kind"], lighting.LIGHT_KINDS)).sum() > lighting.DARK


@pytest.mark.parametrize("end_s", [0.0, -1.0])
def test_a_song_without_length_has_no_lights(end_s: float) -> None:
    out = lighting.light(NOTHING, stages.grid(), plan=None, sound=None, rng=np.random.default_rng(0), end_s=end_s)
    assert len(out["lights"]["beat"]) == len(out["boosts"]["beat"]) == 0


def test_the_same_seed_gives_the_same_lights() -> None:
    assert same(show(seed=5)[1], show(seed=5)[1])
    clock = stages.grid()
    notes = stages.notes(clock, 60.0, 4.0)
    first, second = (
        lighting.light(notes, clock, plan=None, sound=None, rng=np.random.default_rng(seed), end_s=60.0)
        for seed in (1, 2)
    )
    assert not same(first, second)


def test_the_rules_of_these_tests_see_the_dark() -> None:
    _, out, clock, _ = show()
    lights = out["lights"]
    time_s = clock.seconds(lights["beat"])
    lights["value"][np.isin(lights["kind"], lighting.LIGHT_KINDS) & (time_s > 60) & (time_s < 75)] = 0
    [(first, last)] = stages.dark_spans(out, clock, 0.0, 180.0)
    assert 60 < first < 70 < last < 80
    lights["beat"][0] = 1e6
    lights["value"][:] = 99
    found = " ".join(stages.light_faults(out, clock, 0.0, 180.0))
    assert "nothing in the last 15 s" not in found
    lights["value"][:] = 0
    lights["brightness"][1] = -1.0
    lights["beat"][:], out["boosts"]["beat"][:] = 5.0, 5.0
    more = " ".join(stages.light_faults({**out, "groups": {}}, clock, 0.0, 180.0))
    for said in ("insufficient light: 0", "a brightness", "nothing in the last 15 s", "group lights"):
        assert said in more
    assert "not in order" in found and "outside of the song" in found and "does not know" in found


def test_written_and_read_again(tmp_path: Path) -> None:
    notes, out, _, _ = show(seconds=60.0)
    level = _native.Difficulty.from_arrays(name="Expert", bpm=128.0, notes=notes, **out)
    corpora.save(tmp_path / "map.zip", 0, levels=[level], bpm=128.0)
    [read] = _native.load_song(tmp_path / "map.zip").difficulties
    for group in ("lights", "boosts"):
        for name, column in out[group].items():
            assert getattr(read, group)()[name] == pytest.approx(column, abs=1e-4), (group, name)
    assert not lighting.is_dark(read)


def test_levels_of_a_song_that_are_dark_get_lights(tmp_path: Path) -> None:
    dark = {"beat": [1.0] * 10 + [2.0] * 90, "kind": [0] * 10 + [1] * 45 + [8] * 45, "value": [1] * 10 + [0] * 90}
    levels = [
        corpora.level(1, "Hard"),
        corpora.level(1, "Expert", lights=dark),
        corpora.level(1, "ExpertPlus", lights={"beat": []}),
    ]
    song = _native.load_song(corpora.save(tmp_path / "map.zip", 1, levels=levels))
    assert [lighting.is_dark(level) for level in song.difficulties] == [False, True, True]
    assert set(lighting.light_song(song, only_dark=True)) == {("Standard", "Expert"), ("Standard", "ExpertPlus")}
    everything = lighting.light_song(song)
    assert set(everything) == {("Standard", name) for name in ("Hard", "Expert", "ExpertPlus")}
    last_s = float(song.difficulties[0].notes()["time"].max())
    for out in everything.values():
        assert stages.light_faults(out, stages.grid(bpm=120.0), 0.0, last_s + 2.0) == []
    assert all(same(out, lighting.light_song(song)[key]) for key, out in everything.items())


def test_a_level_with_group_lights_is_not_dark(tmp_path: Path) -> None:
    corpora.save(tmp_path / "map", 1, levels=[corpora.level(1, "Expert", lights={"beat": []})])
    [file] = [name for name in (tmp_path / "map").iterdir() if name.name.startswith("Expert")]
    document = json.loads(file.read_text("utf-8"))
    index_filter = {"c": 0, "f": 1, "p": 1, "t": 0, "r": 0, "n": 0, "s": 0, "l": 0, "d": 0}
    event = {"b": 0, "i": 0, "c": 0, "s": 1, "f": 0, "sb": 0, "sf": 0}
    box = {"f": index_filter, "w": 0, "d": 1, "r": 0, "t": 1, "b": 0, "i": 0, "e": [event]}
    document["lightColorEventBoxGroups"] = [{"b": 4, "g": 0, "e": [box]}]
    assert lighting.is_dark(_native.load_song(tmp_path / "map").difficulties[0])
    file.write_text(json.dumps(document), "utf-8")
    assert not lighting.is_dark(_native.load_song(tmp_path / "map").difficulties[0])


@pytest.mark.parametrize("offset", [0.0, 0.37, 1.5, 2.98, 3.25])
def test_bars_of_a_level_begin_where_its_notes_say(offset: float) -> None:
    """Notes on beats and halves counted from an odd place, two at once on the first of each bar."""
    draw = np.random.default_rng(1)
    beats = np.concatenate([8 + offset + np.arange(0, 120, 4)] * 2 + [9 + offset + draw.integers(0, 230, 150) / 2])
    order = np.argsort(beats, kind="stable")
    notes = {"beat": beats[order], "x": np.arange(len(beats)) % 4, "color": np.arange(len(beats)) % 2}
    tempo = {"beat": [0.0, 60.0], "bpm": [120.0, 150.0]}
    level = _native.Difficulty.from_arrays(bpm=120.0, notes=notes, tempo=tempo)
    out = lighting.light_level(level, np.random.default_rng(0))
    clock = stages.grid(bpm=120.0, changes=((60.0, 150.0),))
    end_s = float(clock.seconds(beats.max())) + 2.0
    assert stages.light_faults(out, clock, 0.0, end_s) == []
    spins = out["lights"]["beat"][out["lights"]["kind"] == SPIN]
    assert (np.abs((spins[1:] - offset + 0.1) % 4 - 0.1) < 0.03).all()
    assert len(spins) > 8


def test_on_human_levels(corpus: Path) -> None:
    """Thirty human levels lit anew: never dark, as many events as human light shows have."""
    rates: list[float] = []
    for path in sorted((corpus / "corpus/raw").glob("*.zip"))[::12]:
        song = _native.load_song(path)
        for level in song.difficulties[:1]:
            notes, regions = level.notes(), level.tempo.regions
            if len(notes["beat"]) < 100 or regions["beat"][0] != 0 or regions["time_s"][0] != 0 or len(rates) >= 30:
                continue
            clock = stages.grid(
                bpm=float(regions["bpm"][0]),
                changes=tuple(zip(regions["beat"][1:].tolist(), regions["bpm"][1:].tolist(), strict=True)),
            )
            end_s = float(notes["time"].max()) + 3.0
            out = lighting.light_level(level, np.random.default_rng(0), end_s=end_s)
            assert stages.light_faults(out, clock, 0.0, end_s) == [], path.name
            rates.append(len(out["lights"]["beat"]) / end_s * 60.0)
    assert len(rates) == 30
    assert 259 <= np.median(rates) <= 1043
    assert max(rates) <= 1830
