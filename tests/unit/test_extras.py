"""Bombs, walls, arcs and chains on random and on human notes: no rule broken, as many as people place."""

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

from beatweaver import _native, config, extras
from beatweaver.errors import ConfigError
from beatweaver.extras import Extras, Level

DIFFICULTIES = {"Easy": 1.4, "Normal": 2.2, "Hard": 3.2, "Expert": 4.6, "ExpertPlus": 6.2}
GROUPS = ("bombs", "obstacles", "arcs", "chains")


def made(
    difficulty: str = "Expert",
    *,
    seconds: float = 180.0,
    seed: int = 0,
    nps: float | None = None,
    clock: Any = None,
    **options: Any,
) -> tuple[dict[str, np.ndarray[Any, Any]], Extras, Any]:
    clock = clock or stages.grid(bpm=128.0)
    sound, plan = stages.song(clock, seconds, seed)
    notes = stages.notes(clock, seconds, nps or DIFFICULTIES[difficulty], seed)
    out = extras.add(notes, sound, plan, difficulty, np.random.default_rng(seed), end_s=seconds, **options)
    return notes, out, clock


def count(out: Extras) -> dict[str, int]:
    return {group: len(getattr(out, group)["beat"]) for group in GROUPS}


def same(a: Extras, b: Extras) -> bool:
    return all(
        np.array_equal(column, getattr(b, group)[name])
        for group in GROUPS
        for name, column in getattr(a, group).items()
    )


@given(
    difficulty=st.sampled_from(list(DIFFICULTIES)),
    bpm=st.floats(55.0, 260.0),
    metre=st.sampled_from([3, 4, 5]),
    offset_s=st.floats(-0.3, 1.5),
    change=st.none() | st.tuples(st.integers(5, 60).map(float), st.floats(50.0, 280.0)),
    nps=st.floats(0.3, 11.0),
    seed=st.integers(0, 10_000),
    bombs=st.sampled_from(config.LEVELS),
    walls=st.sampled_from(config.LEVELS),
    switches=st.tuples(st.booleans(), st.booleans()),
    seconds=st.floats(1.0, 60.0),
)
def test_no_rule_is_broken(
    difficulty: str,
    bpm: float,
    metre: int,
    offset_s: float,
    change: tuple[float, float] | None,
    nps: float,
    seed: int,
    bombs: Level,
    walls: Level,
    switches: tuple[bool, bool],
    seconds: float,
) -> None:
    clock = stages.grid(bpm=bpm, metre=metre, offset_s=offset_s, changes=(change,) if change else ())
    notes, out, _ = made(
        difficulty,
        seconds=seconds,
        seed=seed,
        nps=nps,
        clock=clock,
        bombs=bombs,
        walls=walls,
        decorative_walls=switches[0],
        rankable=switches[1],
    )
    assert stages.faults(notes, out, clock, difficulty, seconds) == []
    assert bombs != "none" or not len(out.bombs["beat"])
    assert walls != "none" or (out.obstacles["x"] < -1).sum() * 2 == len(out.obstacles["x"])
    for group in GROUPS:
        assert (np.diff(getattr(out, group)["beat"]) >= 0).all()


@pytest.mark.parametrize("seed", range(8))
def test_an_ordinary_expert_level_gets_what_was_asked_for(seed: int) -> None:
    """Three minutes of Expert: 20 to 60 bombs, 30 to 80 walls, 10 to 40 arcs and chains."""
    clock = stages.grid(bpm=(90.0, 110.0, 120.0, 128.0, 140.0, 150.0, 174.0, 200.0)[seed], metre=3 if seed == 3 else 4)
    _, out, _ = made(seed=seed, clock=clock)
    found = count(out)
    assert 20 <= found["bombs"] <= 60
    assert 30 <= found["obstacles"] <= 80
    assert 10 <= found["arcs"] + found["chains"] <= 40


@pytest.mark.parametrize("difficulty", DIFFICULTIES)
def test_levels_of_bombs_and_walls_rise(difficulty: str) -> None:
    # Few notes, so that there is room for whatever is asked.
    found = [count(made(difficulty, nps=1.5, bombs=level, walls=level)[1]) for level in config.LEVELS]
    for group in ("bombs", "obstacles"):
        numbers = [each[group] for each in found]
        assert numbers[0] == 0
        assert numbers == sorted(set(numbers)), numbers


def test_easy_levels_have_no_chains_and_few_arcs() -> None:
    for difficulty in ("Easy", "Normal"):
        found = count(made(difficulty)[1])
        assert found["chains"] == 0
        assert found["arcs"] <= 6


def test_rankable_has_no_chains_and_no_decoration() -> None:
    _, out, _ = made(rankable=True, decorative_walls=True)
    assert count(out)["chains"] == 0
    assert count(out)["arcs"] > 0
    assert (out.obstacles["x"] >= 0).all()
    assert count(made()[1])["chains"] > 0, "the rule would hold for want of chains"


def test_decoration_stands_beside_the_track_in_pairs_and_needs_no_mod() -> None:
    _, plain, _ = made()
    notes, out, _ = made(decorative_walls=True)
    beside = (out.obstacles["x"] < 0) | (out.obstacles["x"] > 3)
    assert beside.sum() > 20
    assert (~beside).sum() == count(plain)["obstacles"]
    left, right = (out.obstacles["beat"][beside & side] for side in (out.obstacles["x"] < 0, out.obstacles["x"] > 3))
    assert np.array_equal(left, right)
    level = _native.Difficulty.from_arrays(bpm=128.0, notes=notes, obstacles=out.obstacles)
    assert level.requirements == []


def test_the_same_seed_gives_the_same_objects() -> None:
    assert same(made(seed=3)[1], made(seed=3)[1])
    clock = stages.grid(bpm=128.0)
    sound, plan = stages.song(clock, 120.0, 3)
    notes = stages.notes(clock, 120.0, 4.0, 3)
    first, second = (
        extras.add(notes, sound, plan, "Expert", np.random.default_rng(seed), end_s=120.0) for seed in (1, 2)
    )
    assert not same(first, second)


def test_notes_stay_as_they_are() -> None:
    clock = stages.grid(bpm=128.0)
    sound, plan = stages.song(clock, 60.0)
    notes = stages.notes(clock, 60.0, 4.0)
    before = {name: column.copy() for name, column in notes.items()}
    extras.add(notes, sound, plan, "Expert", np.random.default_rng(0), end_s=60.0)
    assert all(np.array_equal(before[name], notes[name]) for name in before)


@pytest.mark.parametrize("rows", [0, 1, 2])
@pytest.mark.parametrize("seconds", [0.1, 3.0, 5.0])
def test_few_notes_and_short_songs(rows: int, seconds: float) -> None:
    clock = stages.grid()
    sound, plan = stages.song(clock, seconds)
    notes = {
        "beat": np.array([3.0, 5.0])[:rows],
        **{name: np.array([0, 1], dtype=np.uint8)[:rows] for name in ("x", "y", "color", "cut")},
    }
    out = extras.add(notes, sound, plan, "Expert", np.random.default_rng(0), end_s=seconds)
    assert stages.faults(notes, out, clock, "Expert", seconds) == []
    assert sum(count(out).values()) == 0
    assert set(out.obstacles) == {"beat", "duration_beats", "x", "y", "width", "height"}


def test_a_song_without_sound() -> None:
    clock = stages.grid()
    sound, plan = stages.song(clock, 60.0)
    sound.flux[:] = 0.0
    notes = stages.notes(clock, 60.0, 3.0)
    out = extras.add(notes, sound, plan, "Hard", np.random.default_rng(0), end_s=60.0)
    assert stages.faults(notes, out, clock, "Hard", 60.0) == []
    assert count(out)["obstacles"] > 0


@pytest.mark.parametrize(
    ("options", "name"),
    [({"bombs": "many"}, "bombs"), ({"walls": ""}, "walls"), ({"difficulty": "Hardest"}, "difficulty")],
)
def test_what_is_not_known_is_refused(options: dict[str, str], name: str) -> None:
    clock = stages.grid()
    sound, plan = stages.song(clock, 10.0)
    notes = stages.notes(clock, 10.0, 2.0)
    with pytest.raises(ConfigError, match=rf"^{name}: found '.*', expected one of "):
        extras.add(
            notes,
            sound,
            plan,
            options.pop("difficulty", "Hard"),
            np.random.default_rng(0),
            end_s=10.0,
            **options,  # type: ignore[arg-type]
        )


def test_bombs_and_walls_lie_on_accents_more_than_by_chance() -> None:
    clock = stages.grid(bpm=128.0)
    sound, plan = stages.song(clock, 180.0)
    notes = stages.notes(clock, 180.0, 3.0)
    out = extras.add(notes, sound, plan, "Expert", np.random.default_rng(0), end_s=180.0)
    total = np.log1p(sound.flux.sum(axis=1))
    walls = total[np.round(out.obstacles["beat"] * 12).astype(int)]
    assert walls.mean() > 1.2 * total[::6].mean()
    bombs = total[np.round(out.bombs["beat"] * 12).astype(int)]
    assert bombs.mean() > 1.2 * total[::3].mean()


def test_arcs_lie_where_hands_rest() -> None:
    notes, out, clock = made(nps=3.0)
    lengths = clock.seconds(out.arcs["tail_beat"]) - clock.seconds(out.arcs["beat"])
    gaps = np.concatenate([np.diff(clock.seconds(notes["beat"][notes["color"] == color])) for color in (0, 1)])
    assert np.median(lengths) > np.median(gaps)
    assert lengths.max() <= 3.0


def test_written_and_read_again(tmp_path: Path) -> None:
    notes, out, _ = made(seconds=60.0)
    groups = {group: getattr(out, group) for group in GROUPS}
    level = _native.Difficulty.from_arrays(name="Expert", bpm=128.0, notes=notes, **groups)
    corpora.save(tmp_path / "map.zip", 0, levels=[level], bpm=128.0)
    [read] = _native.load_song(tmp_path / "map.zip").difficulties
    for group, columns in groups.items():
        for name, column in columns.items():
            assert getattr(read, group)()[name] == pytest.approx(column, abs=1e-4), (group, name)
    findings = {f["rule"] for f in _native.check_song(tmp_path / "map.zip") if f["severity"] in ("error", "rank")}
    plain = _native.Difficulty.from_arrays(name="Expert", bpm=128.0, notes=notes)
    corpora.save(tmp_path / "plain.zip", 0, levels=[plain], bpm=128.0)
    without = {f["rule"] for f in _native.check_song(tmp_path / "plain.zip") if f["severity"] in ("error", "rank")}
    assert findings <= without


def _spoiled(notes: Any, out: Extras, how: str) -> Extras:
    copy = {group: {name: column.copy() for name, column in getattr(out, group).items()} for group in GROUPS}
    bombs, walls, arcs, chains = (copy[group] for group in GROUPS)
    late = int(np.searchsorted(notes["beat"], 30.0))
    match how:
        case "with a note" | "hammer hit" | "hidden by a note":
            shift = {"with a note": 0.0, "hammer hit": 0.1, "hidden by a note": 0.8}[how]
            row = late
            if how == "hidden by a note":
                row = next(i for i in range(late, 9999) if notes["y"][i] == 1 and notes["x"][i] in (1, 2))
            bombs["beat"][0], bombs["x"][0] = notes["beat"][row] + shift, notes["x"][row]
            bombs["y"][0] = notes["y"][row]
        case "resets a hand":
            bombs["x"][0] = 1
        case "stacked":
            for name in bombs:
                bombs[name][1] = bombs[name][0]
        case "in a wall":
            bombs["beat"][0], bombs["x"][0], bombs["y"][0] = walls["beat"][0], walls["x"][0], 2
        case "note inside":
            walls["beat"][0], walls["x"][0], walls["y"][0] = notes["beat"][late], notes["x"][late], 0
        case "two wide in the middle":
            walls["x"][0], walls["width"][0], walls["y"][0], walls["height"][0] = 1, 2, 0, 5
        case "no size":
            walls["duration_beats"][0] = 0.0
        case "not rankable":
            walls["height"][0] = 4
        case "no way between":
            walls["beat"][1], walls["width"][:2], walls["x"][:2] = walls["beat"][0], 2, (0, 2)
            walls["y"][:2], walls["height"][:2] = 0, 5
        case "no note at an end":
            arcs["tail_x"][0] = 3 - arcs["tail_x"][0]
        case "over another note":
            arcs["tail_beat"][0] += 40
        case "shape":
            arcs["multiplier"][0] = 2.0
        case "no head":
            chains["cut"][0] = (chains["cut"][0] + 1) % 8
        case "links":
            chains["slices"][0] = 1
        case "hot start":
            walls["beat"][0] = 0.5
        case "outro":
            walls["duration_beats"][-1] = 99.0
        case _:
            raise AssertionError(how)
    return Extras(**copy)


@pytest.mark.parametrize(
    "how",
    [
        *("with a note", "hammer hit", "hidden by a note", "resets a hand", "stacked", "in a wall", "note inside"),
        *("two wide in the middle", "no size", "not rankable", "no way between", "no note at an end"),
        *("over another note", "shape", "no head", "links", "hot start", "outro"),
    ],
)
def test_the_rules_of_these_tests_see_what_is_wrong(how: str) -> None:
    notes, out, clock = made(nps=2.5, seconds=60.0)
    assert stages.faults(notes, out, clock, "Expert", 60.0) == []
    found = stages.faults(notes, _spoiled(notes, out, how), clock, "Expert", 60.0)
    assert any(how in fault for fault in found), found


@pytest.mark.slow
def test_on_human_notes(corpus: Path) -> None:
    """Thirty human levels: nothing broken, and of each kind what human maps have, between the quartiles."""
    rows = [row for row in json.loads((corpus / "corpus/manifest.json").read_text("utf-8")) if row["vanilla_gameplay"]]
    draw = np.random.default_rng(7)
    rates: dict[str, list[tuple[float, float, float]]] = {}
    taken = 0
    for index in draw.permutation(len(rows)):
        song = _native.load_song(corpus / "corpus" / rows[index]["file"])
        for level in song.difficulties:
            notes = {
                name: column for name, column in level.notes().items() if name in ("beat", "x", "y", "color", "cut")
            }
            on_grid = (notes["x"] >= 0) & (notes["x"] < 4) & (notes["y"] >= 0) & (notes["y"] < 3) & (notes["cut"] < 9)
            notes = {name: column[on_grid & (notes["beat"] >= 0)] for name, column in notes.items()}
            regions = level.tempo.regions
            playable = level.characteristic == "Standard" and 100 <= len(notes["beat"]) <= 1500
            if not playable or regions["beat"][0] != 0 or taken >= 30:
                continue
            clock = stages.grid(
                bpm=float(regions["bpm"][0]),
                changes=tuple(zip(regions["beat"][1:].tolist(), regions["bpm"][1:].tolist(), strict=True)),
            )
            seconds = clock.seconds(notes["beat"])
            end_s = float(seconds[-1]) + 4.0
            sound, plan = stages.song(clock, end_s, taken)
            out = extras.add(notes, sound, plan, level.name, np.random.default_rng(taken), end_s=end_s)
            assert stages.faults(notes, out, clock, level.name, end_s) == [], rows[index]["id"]
            minutes = float(seconds[-1] - seconds[0]) / 60.0
            found = count(out)
            sliders = found["arcs"] + found["chains"]
            rates.setdefault(level.name, []).append(
                (found["bombs"] / minutes, found["obstacles"] / minutes, sliders / minutes)
            )
            taken += 1
    assert taken == 30
    lower = {"Easy": 1.6, "Normal": 2.3, "Hard": 3.0, "Expert": 3.4, "ExpertPlus": 3.7}
    upper = {"Easy": 9.2, "Normal": 11.3, "Hard": 21.3, "Expert": 20.4, "ExpertPlus": 29.1}
    for name, levels in rates.items():
        bombs, walls, sliders = np.median(np.array(levels), axis=0)
        assert lower[name] <= bombs <= upper[name], (name, levels)
        assert 4.2 <= walls <= 29.3, (name, levels)
        assert 0 < sliders <= 12, (name, levels)
