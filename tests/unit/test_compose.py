"""Structure, rhythm and placement: what they promise, on random songs and against brute force."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import stages
from hypothesis import given
from hypothesis import strategies as st

from beatweaver import _native, notes, rhythm, structure
from beatweaver.config import RANKS
from beatweaver.errors import CheckpointError, ConfigError
from beatweaver.rhythm import BOTH, LEFT, RIGHT
from beatweaver.tokens import MIRROR, SLOTS_PER_BEAT, STATES

clocks = st.builds(
    stages.grid,
    bpm=st.floats(70, 230),
    metre=st.sampled_from([3, 4, 5]),
    changes=st.sampled_from([(), ((24.0, 171.0),), ((16.0, 90.0), (40.0, 130.0))]),
)
songs = st.tuples(clocks, st.floats(5, 60), st.integers(0, 9))


def level_of(rows: list[tuple[float, int, int, int, int]]) -> dict[str, Any]:
    columns = np.array(rows, dtype=float).reshape(-1, 5).T
    return dict(zip(("beat", "x", "y", "color", "cut"), columns, strict=True))


# ---- structure ------------------------------------------------------------------------------------------------------


@given(songs)
def test_sections_cover_the_song_and_the_plan_keeps_its_mean(song: tuple[Any, float, int]) -> None:
    sound, plan = stages.song(*song)
    edges = [section.start_bar for section in plan.sections] + [plan.sections[-1].end_bar]
    assert edges[0] == 0
    assert edges[-1] == sound.bars
    assert edges == sorted(set(edges))
    assert all(0 <= section.energy <= 1 for section in plan.sections)
    seconds = np.diff(sound.bar_seconds())
    for name, rate in structure.plan(sound, RANKS, {"Expert": 5.0}).nps.items():
        wanted = 5.0 if name == "Expert" else structure.NPS[name]
        played = np.flatnonzero(rate > 0)
        assert (rate >= 0).all()
        if len(played):
            span = slice(played[0], played[-1] + 1)
            assert (rate[span] * seconds[span]).sum() / seconds[span].sum() == pytest.approx(wanted)
    assert sound.likeness.shape == (sound.bars, sound.bars)
    assert np.allclose(sound.likeness, sound.likeness.T)


def test_bars_that_sound_alike_are_alike_and_loud_parts_have_more_energy() -> None:
    sound, plan = stages.song(stages.grid(bpm=120.0), 128.0)  # eight calm bars, eight loud ones, and so on
    loud = (np.arange(sound.bars) // 8) % 2 == 1
    assert plan.energy[loud].mean() > plan.energy[~loud].mean() + 0.3
    assert {8, 16, 24} <= {section.start_bar for section in plan.sections}


def test_a_plan_comes_back_from_its_document(tmp_path: Path) -> None:
    sound, plan = stages.song(stages.grid(), 40.0)
    path = tmp_path / "plan.json"
    path.write_text(json.dumps(plan.document()))
    back = structure.read_plan(path, sound)
    assert back.sections == plan.sections
    for name, rate in plan.nps.items():
        assert np.allclose(back.nps[name], rate, atol=0.001)


@pytest.mark.parametrize(
    ("change", "where"),
    [
        (lambda d: d["bars"][2]["nps"].update(Expert="fast"), "/bars/2/nps/Expert"),
        (lambda d: d["bars"][2]["nps"].update(Expert=-1), "/bars/2/nps/Expert"),
        (lambda d: d["bars"][2]["nps"].update(Hardest=1), "Hardest"),
        (lambda d: d["bars"][2].pop("nps"), "/bars/2/nps"),
        (lambda d: d.update(metre=3), "bars"),
        (lambda d: d.update(version=99), "no plan"),
    ],
)
def test_a_wrong_plan_is_refused_with_its_place(tmp_path: Path, change: Any, where: str) -> None:
    sound, plan = stages.song(stages.grid(), 40.0)
    document = plan.document()
    change(document)
    path = tmp_path / "plan.json"
    path.write_text(json.dumps(document))
    with pytest.raises(ConfigError, match=where):
        structure.read_plan(path, sound)


# ---- rhythm ---------------------------------------------------------------------------------------------------------


def compose(song: tuple[Any, float, int], name: str, **options: Any) -> tuple[Any, rhythm.Rhythm]:
    sound, _ = stages.song(*song)
    onsets = {name: rhythm.expected_onsets(sound, name, structure.NPS[name], rhythm.classic_odds(sound))}
    plan = structure.plan(sound, [name], onsets=onsets)
    odds = rhythm.classic_odds(sound)
    return sound, rhythm.compose(sound, plan, name, np.random.default_rng(song[2]), taste(song[2]), odds, **options)


def taste(seed: int) -> rhythm.Taste:
    return rhythm.taste(np.random.default_rng(seed))


@given(songs, st.sampled_from(RANKS), st.floats(0, 3))
def test_onsets_keep_their_distance_their_span_and_their_hands(
    song: tuple[Any, float, int], name: str, first_s: float
) -> None:
    last_s = song[1] - 2.0
    sound, made = compose(song, name, first_s=first_s, last_s=last_s)
    style = rhythm.STYLES[name]
    time_s = sound.grid.seconds(made.slot / SLOTS_PER_BEAT)
    assert (np.diff(made.slot) > 0).all()
    assert (np.diff(time_s) >= style.gap_s - 1e-5).all()
    assert ((time_s >= first_s) & (time_s <= last_s)).all()
    assert set(made.hands.tolist()) <= {LEFT, RIGHT, BOTH}
    for hand in (LEFT, RIGHT):
        own = time_s[(made.hands & hand) > 0]
        # A lone hand may have to play where the other one is even later; never both of them too soon.
        assert (np.diff(own) >= style.gap_s - 1e-5).all()
    doubles = time_s[made.hands == BOTH]
    for at in doubles:
        others = time_s[np.abs(time_s - at) > 1e-9]
        assert not len(others) or np.abs(others - at).min() >= style.gap_s - 1e-5
    assert ((made.source >= -1) & (made.source < np.arange(sound.bars))).all()


@given(songs)
def test_bars_that_repeat_another_have_its_rhythm(song: tuple[Any, float, int]) -> None:
    sound, made = compose(song, "Expert")
    bars = [set(made.slot[made.slot // sound.bar_slots == bar] % sound.bar_slots) for bar in range(sound.bars)]
    for bar, source in enumerate(made.source):
        if source >= 0:
            assert bars[bar] == bars[source]


def test_bars_in_a_mirror_exchange_the_hands() -> None:
    sound, made = compose((stages.grid(bpm=120.0), 240.0, 3), "Expert", first_s=2.0)
    hands = dict(zip(made.slot.tolist(), made.hands.tolist(), strict=True))
    assert not (made.mirrored & (made.source < 0)).any()
    pairs = [
        (hands[slot], hands[slot - (slot // sound.bar_slots - int(made.source[bar])) * sound.bar_slots])
        for bar in np.flatnonzero(made.mirrored)
        for slot in made.slot[made.slot // sound.bar_slots == bar].tolist()
    ]
    alone = [(own, there) for own, there in pairs if own != BOTH and there != BOTH]
    assert alone
    assert np.mean([own != there for own, there in alone]) > 0.8


def test_tastes_differ_from_song_to_song_and_go_only_so_far() -> None:
    drawn = [rhythm.taste(np.random.default_rng(seed)) for seed in range(400)]
    for name, (median, spread) in rhythm.TASTE.items():
        logs = np.log([one[name] / median for one in drawn])
        assert np.abs(logs).max() <= 2.0 * spread + 1e-9
        assert abs(np.median(logs)) < 0.25 * spread
        assert 0.7 * spread < logs.std() < spread
    assert rhythm.taste(np.random.default_rng(5)) == drawn[5]


def test_a_plan_with_chance_has_like_phrases_in_like_sections() -> None:
    sound, _ = stages.song(stages.grid(), 90.0)
    onsets = {"Expert": np.ones(sound.bars)}
    even = structure.plan(sound, ["Expert"], onsets=onsets).nps["Expert"]
    plan = structure.plan(sound, ["Expert"], onsets=onsets, rng=np.random.default_rng(1))
    played = (even > 0) & (plan.nps["Expert"] > 0)
    ratio = np.where(played, plan.nps["Expert"], 1.0) / np.where(played, even, 1.0)
    by_place: dict[tuple[str, int], set[float]] = {}
    for section in plan.sections:
        for bar in range(section.start_bar, section.end_bar):
            if played[bar]:
                key = (section.name, (bar - section.start_bar) // 4)
                by_place.setdefault(key, set()).add(round(float(ratio[bar]), 6))
    assert all(len(values) == 1 for values in by_place.values())
    assert len(set.union(*by_place.values())) == len(by_place) > 1


def test_bars_with_little_to_play_rest() -> None:
    sound, _ = stages.song(stages.grid(), 90.0)
    onsets = np.ones(sound.bars)
    onsets[[0, 1, 7, 8, -1]] = [0.05, 0.3, 0.05, 0.3, 0.3]
    resting = structure.plan(sound, ["Expert"], onsets={"Expert": onsets}).nps["Expert"] == 0
    assert resting[[0, 1, 7, -1]].all()
    assert not resting[[2, 6, 8, 9]].any()


@given(songs)
def test_an_easier_rhythm_is_made_of_the_harder_one(song: tuple[Any, float, int]) -> None:
    _, hard = compose(song, "Hard")
    _, easy = compose(song, "Easy", within=hard)
    assert set(easy.slot.tolist()) <= set(hard.slot.tolist())


def test_onsets_are_where_something_sounds() -> None:
    sound, made = compose((stages.grid(bpm=120.0), 60.0, 1), "Hard")
    heard = sound.flux.sum(axis=1)
    assert heard[made.slot].mean() > 4 * heard.mean()


def test_silence_gets_no_notes() -> None:
    clock = stages.grid()
    sound, _ = stages.song(clock, 20.0)
    quiet = structure.Sound(
        flux=np.zeros_like(sound.flux),
        loudness_db=np.full(sound.bars, -80.0),
        likeness=sound.likeness,
        metre=sound.metre,
        grid=sound.grid,
    )
    plan = structure.plan(quiet, ["Expert"])
    assert not plan.nps["Expert"].any()
    odds = rhythm.classic_odds(quiet)
    assert not len(rhythm.compose(quiet, plan, "Expert", np.random.default_rng(0), taste(0), odds).slot)


# ---- notes ----------------------------------------------------------------------------------------------------------


def test_the_mirror_is_its_own_inverse_and_swaps_sides() -> None:
    assert (MIRROR[MIRROR] == np.arange(STATES)).all()
    left_bottom_down_left = (0 * 3 + 0) * 9 + 6
    assert MIRROR[left_bottom_down_left] == (3 * 3 + 0) * 9 + 7


def test_patterns_are_counted() -> None:
    up, down = (2 * 3 + 2) * 9 + 0, (2 * 3 + 0) * 9 + 1
    right = [(float(beat), 2, 0 if beat % 2 == 0 else 2, 1, 1 if beat % 2 == 0 else 0) for beat in range(8)]
    table = notes.fit([("Expert", level_of(right))])
    assert table.pair[2, :, down, up].sum() == 4
    assert table.pair[2, :, up, down].sum() == 3
    assert table.pair.sum() == 8
    assert table.count.sum() == 6
    assert table.after(2, 2, up, down).argmax() == up
    assert table.after(2, 2, up, down).sum() == pytest.approx(1)
    # The left hand's mirrored level says the same.
    left = [(beat, 3 - x, y, 0, cut) for beat, x, y, _, cut in right]
    other = notes.fit([("Expert", level_of(left))])
    assert (other.pair == table.pair).all()
    # Both together: each sees the other beside it.
    both = notes.fit([("Expert", level_of(sorted(right + left)))])
    assert both.beside[2, MIRROR[down], down] == 8
    assert both.near.sum() == 0


def test_a_table_comes_back_and_a_damaged_one_is_refused(tmp_path: Path) -> None:
    table = notes.fit([("Easy", level_of([(float(i), i % 4, 0, i % 2, 1) for i in range(20)]))])
    path = tmp_path / "patterns.safetensors"
    table.save(path, {"levels": 1})
    back = notes.PatternTable.load(path)
    for name in table.__slots__:
        assert (getattr(back, name) == getattr(table, name)).all()
    data = path.read_bytes()
    for broken in (
        data[:-1],
        data[:100],
        b"",
        b"x" * 500,
        data.replace(b"beatweaver-patterns-1", b"beatweaver-patterns-2"),
    ):
        path.write_bytes(broken)
        with pytest.raises(CheckpointError):
            notes.PatternTable.load(path)


def test_the_shipped_table_knows_every_group() -> None:
    table = notes.shipped()
    assert (table.pair.sum(axis=(1, 2, 3)) > 10_000).all()


@given(songs, st.sampled_from(RANKS))
def test_what_is_placed_breaks_no_parity_and_no_rule(song: tuple[Any, float, int], name: str) -> None:
    sound, beaten = compose(song, name, first_s=1.6, last_s=song[1] - 2.0)
    regions = sound.grid.regions
    clock = _native.TempoMap([row[1] for row in regions], [row[2] for row in regions])
    state = _native.PlayState(clock, rank=2 * RANKS.index(name) + 1, njs=16, reaction_s=0.6, bpm=sound.grid.bpm)
    placed = notes.place(beaten, sound, name, state, np.random.default_rng(song[2]), notes.shipped(), taste(song[2]))
    assert (np.diff(placed.beat) >= 0).all()
    count = int((beaten.hands == BOTH).sum() + len(beaten.hands))
    assert len(placed.beat) + placed.left_out == count
    arrays = placed.arrays()
    columns = np.stack([placed.beat, arrays["x"], arrays["y"]], axis=1)
    assert len(np.unique(columns, axis=0)) == len(columns)
    level = _native.Difficulty.from_arrays(
        name=name,
        bpm=sound.grid.bpm,
        notes=arrays,
        tempo={"beat": [row[1] for row in regions], "bpm": [row[2] for row in regions]},
    )
    facts = _native.play_facts(level)
    assert not (facts["wrist_flow"] == 2).any()
    assert not (facts["alternation_flow"] == 2).any()


def test_bars_of_one_loudness_do_not_overflow() -> None:
    """Found by chance: the slope over loudness of bars that are equally loud, carried on to one that is not."""
    sound, beaten = compose((stages.grid(bpm=96.5), 5.0, 1), "Easy")
    assert sound.bars == 3 and np.isfinite(beaten.weight).all()


def test_repeated_bars_repeat_their_notes() -> None:
    same: list[float] = []
    beside: list[float] = []
    for seed in range(4):
        sound, beaten = compose((stages.grid(bpm=120.0), 120.0, seed), "Expert", first_s=2.0)
        state = _native.PlayState(_native.TempoMap([0], [120]), njs=16)
        table, chance = notes.shipped(), np.random.default_rng(seed)
        placed = notes.place(beaten, sound, "Expert", state, chance, table, taste(seed))
        width = sound.metre
        bars: dict[int, set[tuple[float, int, int]]] = {}
        for beat, hand, chosen in zip(placed.beat.tolist(), placed.hand.tolist(), placed.state.tolist(), strict=True):
            bars.setdefault(int(beat // width), set()).add((round(beat % width, 3), hand, chosen))

        def shared(one: int, other: int, bars: dict[int, set[tuple[float, int, int]]] = bars) -> float:
            return len(bars.get(one, set()) & bars.get(other, set())) / max(len(bars.get(other, ())), 1)

        plain = (beaten.source >= 0) & ~beaten.mirrored
        pairs = [(bar, int(beaten.source[bar])) for bar in np.flatnonzero(plain).tolist()]
        assert pairs
        same += [shared(bar, source) for bar, source in pairs]
        beside += [shared(bar, source - 1) for bar, source in pairs if source]
    # What parity forbids is placed otherwise; still far more is alike than in the bar before the one repeated.
    assert float(np.mean(same)) > max(0.3, 3.0 * float(np.mean(beside)))
