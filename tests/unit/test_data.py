"""What the transformer is fed: held against slow truths, against other batches, and against another order of things."""

from __future__ import annotations

import math
import shutil
from collections.abc import Callable
from dataclasses import replace
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import shelf
import torch
from hypothesis import given
from hypothesis import strategies as st

from beatweaver import _native
from beatweaver.config import JOINT, ProcessConfig
from beatweaver.data import (
    ALIKE,
    Batch,
    Corpus,
    Level,
    Loader,
    NoteBatch,
    _augmented,
    _Drawn,
    _planned,
    alike_blocks,
    levelled,
    statistics,
    time_gaps,
)
from beatweaver.errors import ConfigError, StoreError
from beatweaver.model import BEGIN, STATISTICS, NoteSteps
from beatweaver.tokens import MIRROR, STATES, joint_vocabulary

NONE = np.zeros(0, dtype=np.int64)


@st.composite
def levels(draw: st.DrawFn) -> Level:
    """Levels of any notes, one of a hand at a slot."""
    count = draw(st.integers(16, 40))
    pairs = draw(st.lists(st.tuples(st.integers(0, 60), st.integers(0, 1)), min_size=16, max_size=count, unique=True))
    slot, hand = np.array(sorted(pairs), dtype=np.int64).T
    state = np.array(draw(st.lists(st.integers(0, STATES - 1), min_size=len(slot), max_size=len(slot))))
    return Level(
        name="drawn",
        difficulty="Expert",
        bpm=draw(st.floats(50, 300)),
        slot=slot,
        hand=hand,
        state=state,
        tokens=NONE,
        token_slot=NONE,
        weight=1.0,
        rhythm=True,
        statistics=statistics(slot, hand, state, 10.0),
    )


# ---- levels ---------------------------------------------------------------------------------------------------------


def test_the_mirror_of_states_is_left_for_right() -> None:
    for state in range(STATES):
        column, row, cut = state // 27, state // 9 % 3, state % 9
        other = int(MIRROR[state])
        assert (other // 27, other // 9 % 3) == (3 - column, row)
        # Up, down, left, right, up left, up right, down left, down right, any.
        sides = [(0, 1), (0, -1), (-1, 0), (1, 0), (-1, 1), (1, 1), (-1, -1), (1, -1), (0, 0)]
        assert sides[other % 9] == (-sides[cut][0], sides[cut][1])


@given(levels())
def test_a_level_mirrored_twice_is_the_level_and_plays_alike(level: Level) -> None:
    mirrored = level.mirrored()
    again = mirrored.mirrored()
    for name in ("slot", "hand", "state"):
        np.testing.assert_array_equal(getattr(again, name), getattr(level, name))
    assert sorted(zip(mirrored.slot, mirrored.hand, strict=True)) == list(
        zip(mirrored.slot, mirrored.hand, strict=True)
    )
    np.testing.assert_allclose(
        statistics(mirrored.slot, mirrored.hand, mirrored.state, 10.0), level.statistics, rtol=1e-12
    )


def test_statistics_are_what_they_are_called() -> None:
    # Sixteen notes in eight pairs: red in the outer left column going down, blue crossed over to it, any way, on top.
    slot = np.repeat(np.arange(8) * 12, 2)
    hand = np.tile([0, 1], 8)
    state = np.tile([1, (1 * 3 + 2) * 9 + 8], 8)
    state[-2] = (3 * 3) * 9 + 1
    found = dict(zip(STATISTICS, statistics(slot, hand, state, 4.0), strict=True))
    assert found == pytest.approx(
        {
            "nps": 4.0,
            "doubles": 1.0,
            "dots": 0.5,
            "crossed": 9 / 16,
            "vertical": 0.5,
            "jump": 3 / 14,
            "outer": 0.5,
            "top": 0.5,
        }
    )
    assert np.isnan(statistics(slot[:15], hand[:15], state[:15], 4.0)).all()


def _slowly(level: Level) -> list[dict[str, Any]]:
    """What the decoder is told at each step, by looking back through the whole level."""
    rows = []
    slot_s = 60.0 / level.bpm / 12
    notes = list(zip(level.slot.tolist(), level.hand.tolist(), level.state.tolist(), strict=True))
    for at, (slot, hand, state) in enumerate(notes):
        past = notes[:at]
        hands, since = [], []
        for side in (0, 1):
            own = [note for note in past if note[1] == side][::-1]
            hands += [own[0][2] if own else STATES, own[1][2] if len(own) > 1 else STATES]
            since.append((slot - own[0][0]) * slot_s if own else math.inf)
        before = max((s for s, _, _ in notes if s < slot), default=-math.inf)
        after = min((s for s, _, _ in notes if s > slot), default=math.inf)
        beside = sum(s == slot for s, _, _ in notes) == 2
        rows.append(
            {
                "last": past[-1][1] * STATES + past[-1][2] if past else BEGIN,
                "hands": hands,
                "gaps": time_gaps(
                    np.array([*since, (slot - before) * slot_s, (after - slot) * slot_s]),
                    np.array([(slot - before) / 12, (after - slot) / 12]),
                ),
                "kind": (1 + hand) if beside else 0,
                "target": hand * STATES + state,
            }
        )
    return rows


@given(levels(), st.integers(0, 15), st.integers(0, 36))
def test_steps_are_what_a_slow_look_back_finds(level: Level, first: int, start: int) -> None:
    drawn = _Drawn(level=level, start=start, song=0, slots=0, span=(first, 16), statistics=level.statistics, easy=1.0)
    given = _planned(drawn)
    wanted = _slowly(level)[first:16]
    for name in ("last", "hands", "kind", "target"):
        np.testing.assert_array_equal(given[name], [row[name] for row in wanted], err_msg=name)
    np.testing.assert_allclose(given["gaps"], [row["gaps"] for row in wanted], rtol=1e-5, atol=1e-6)
    np.testing.assert_array_equal(given["slot"], level.slot[first:16] - start)
    np.testing.assert_allclose(given["beat"], (level.slot[first:16] - start) / 12, rtol=1e-6)


# ---- songs ----------------------------------------------------------------------------------------------------------


@given(st.integers(1, 9), st.integers(1, 12), st.integers(0, 3), st.integers(0, 99))
def test_like_blocks_are_blocks(blocks: int, mels: int, rises: int, seed: int) -> None:
    features = np.random.default_rng(seed).standard_normal((blocks * 48, mels + rises)).astype(np.float32)
    if blocks > 5:
        features[48 * 5 : 48 * 6] = features[48:96]
    found = alike_blocks(features, mels)
    assert found.shape == (blocks, ALIKE)
    assert ((found >= 0) & (found < blocks)).all()
    if blocks > ALIKE:
        assert (found != np.arange(blocks)[:, None]).all()
        assert all(len(set(row)) == ALIKE for row in found.tolist())
    if blocks > 5:
        assert (found[5, 0], found[1, 0]) == (1, 5)


def test_how_loud_a_song_is_does_not_count_for_its_rises() -> None:
    features = np.abs(np.random.default_rng(0).standard_normal((96, 12))).astype(np.float32)
    louder = features.copy()
    louder[:, 8:] *= 7.0
    np.testing.assert_allclose(levelled(louder, 8), levelled(features, 8), atol=1e-4)
    assert np.isfinite(levelled(np.zeros_like(features), 8)).all()


@given(st.integers(0, 999), st.booleans(), st.sampled_from([0.0, 3.0]), st.sampled_from([0, 4]), st.floats(0, 0.5))
def test_changed_songs_keep_their_shape_and_the_original(
    seed: int, hide: bool, noise_db: float, bands: int, jitter: float
) -> None:
    rng = np.random.default_rng(seed)
    features = rng.standard_normal((96, 13)).astype(np.float32)
    kept = features.copy()
    train = shelf.training(spec_augment=hide, noise_db=noise_db, pitch_bands=bands, jitter_slots=jitter)
    changed = _augmented(features, 8, train, rng)
    assert changed.shape == features.shape and changed.dtype == np.float32
    assert np.isfinite(changed).all()
    np.testing.assert_array_equal(features, kept)
    if not (hide or noise_db or bands or jitter):
        np.testing.assert_array_equal(changed, features)


# ---- a corpus -------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def corpus(processed: Path) -> Corpus:
    return Corpus(processed, "train", shelf.model(), shelf.training())


def test_songs_are_whole_and_in_one_split(processed: Path) -> None:
    keys: list[str] = []
    names: list[str] = []
    for split, songs, heard in (("train", 7, 5), ("val", 1, 1), ("test", 1, 1)):
        corpus = Corpus(processed, split, shelf.model(), shelf.training())
        assert (len(corpus.songs), len(corpus.heard)) == (songs, heard)
        keys += [song.key for song in corpus.songs if song.key]
        names += [level.name.partition("/")[0] for level in corpus.levels]
    assert len(set(keys)) == len(keys) == 7
    assert set(names) == {*(f"map{seed}.zip" for seed in range(9)), "again.zip"}


def test_two_maps_of_a_song_are_one_song(corpus: Corpus) -> None:
    [song] = [song for song in corpus.songs if any("again" in level.name for level in song.levels)]
    assert {level.name.partition("/")[0] for level in song.levels} == {"map2.zip", "again.zip"}


def test_levels_that_are_left_out_are_counted(processed: Path) -> None:
    filters = ProcessConfig(min_difficulty="Hard")
    corpus = Corpus(processed, "train", shelf.model(), shelf.training(), filters)
    assert corpus.left_out == {"difficulty": 3}
    assert {level.difficulty for level in corpus.levels} == {"Hard", "ExpertPlus"}
    for filters, reason in (
        (ProcessConfig(characteristics=("OneSaber",)), "characteristic"),
        (ProcessConfig(min_bpm=121.0), "bpm"),
        (ProcessConfig(max_bpm=119.0), "bpm"),
    ):
        with pytest.raises(ConfigError, match=rf"found no level of split 'train' to use \(left out: .*'{reason}': 11"):
            Corpus(processed, "train", shelf.model(), shelf.training(), filters)
    one = Corpus(processed, "train", shelf.model(), shelf.training(), files={"map1.zip"})
    assert [level.name.partition("/")[0] for level in one.levels] == ["map1.zip"] * 2


def test_a_folder_that_is_none_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"found no index\.parquet, expected a folder made by `beatweaver process`"):
        Corpus(tmp_path, "train", shelf.model(), shelf.training())


def test_notes_that_do_not_lie_on_what_sounds_teach_no_rhythm(processed: Path) -> None:
    strict = Corpus(processed, "train", shelf.model(), shelf.training(onset_share_min=1.0))
    mild = Corpus(processed, "train", shelf.model(), shelf.training(onset_share_min=0.3))
    assert not any(level.rhythm for song in strict.silent for level in strict.songs[song].levels)
    assert sum(level.rhythm for level in strict.levels) < sum(level.rhythm for level in mild.levels)


# ---- batches --------------------------------------------------------------------------------------------------------


def _equal(one: Any, other: Any) -> None:
    for name in one.__dataclass_fields__:
        left, right = getattr(one, name), getattr(other, name)
        if isinstance(left, NoteBatch | NoteSteps):
            _equal(left, right)
        elif left is None or right is None:
            assert left is right
        else:
            torch.testing.assert_close(left, right, rtol=0, atol=0, equal_nan=True, msg=name)


def _row(batch: NoteBatch, row: int) -> dict[str, list[Any]]:
    """The steps of one level without what is behind its end."""
    count = int((batch.target[row] >= 0).sum())
    return {name: getattr(batch.steps, name)[row, :count].tolist() for name in NoteSteps.__dataclass_fields__} | {
        "target": batch.target[row, :count].tolist(),
        "condition": batch.condition[row].tolist(),
        "statistics": np.nan_to_num(batch.statistics[row].numpy(), nan=-1.0).tolist(),
    }


@pytest.mark.parametrize("vocab_size", [217, JOINT])
def test_a_song_is_the_same_in_any_batch(processed: Path, vocab_size: int) -> None:
    corpus = Corpus(processed, "train", shelf.model(vocab_size=vocab_size), shelf.training())
    again = Corpus(processed, "train", shelf.model(vocab_size=vocab_size), shelf.training())
    first, *others = corpus.heard
    alone = corpus.batch([first], [], [3, 1], augment=True)
    _equal(again.batch([first], [], [3, 1], augment=True), alone)
    among = again.batch([*others, first], corpus.silent, [3, 1], augment=True)
    slots = int(alone.length[0])
    assert int(among.length[-1]) == slots
    torch.testing.assert_close(among.audio[-1, :slots], alone.audio[0], rtol=0, atol=0)
    torch.testing.assert_close(among.alike[-1, : slots // 48], alone.alike[0], rtol=0, atol=0)
    assert not among.audio[-1, slots:].any()
    assert alone.heard is not None and among.heard is not None
    mine = [row for row, song in enumerate(among.heard.song.tolist()) if song == len(others)]
    assert [_row(among.heard, row) for row in mine] == [_row(alone.heard, row) for row in range(len(mine))]
    rhythm = among.rhythm_song == len(others)
    torch.testing.assert_close(among.onset[rhythm][:, :slots], alone.onset, rtol=0, atol=0)
    torch.testing.assert_close(among.both[rhythm][:, :slots], alone.both, rtol=0, atol=0)
    assert (among.onset[rhythm][:, slots:] == -1).all()
    assert (vocab_size == JOINT) == (len(alone.onset) == 0)
    # Another seed gives another batch.
    other = corpus.batch([first], [], [3, 2], augment=True)
    assert other.audio.shape != alone.audio.shape or not torch.equal(other.audio, alone.audio)


@pytest.mark.parametrize("mirror", [False, True])
def test_labels_are_the_notes_however_the_song_was_changed(processed: Path, mirror: bool) -> None:
    train = shelf.training(mirror=mirror, notes_per_level=4096, noise_db=9.0)
    corpus = Corpus(processed, "train", shelf.model(), train)
    song = next(i for i in corpus.heard if corpus.songs[i].levels[0].rhythm)
    level = corpus.songs[song].levels[0]
    starts, mirrored = set(), 0
    for seed in range(12):
        batch = corpus.batch([song], [], [seed], augment=True)
        assert batch.heard is not None
        steps = _row(batch.heard, 0)
        chosen = np.array(steps["target"])
        heard = np.array(steps["slot"])
        start = 12 * int(np.random.default_rng([seed, song]).integers(4))
        starts.add(start)
        inside = (level.slot >= start) & (level.slot - start < int(batch.length[0]))
        plain = (level.slot - start)[inside], (level.hand * STATES + level.state)[inside]
        turned = level.mirrored()
        other = (turned.slot - start)[inside], (turned.hand * STATES + turned.state)[inside]
        same = np.array_equal(chosen, plain[1])
        mirrored += not same
        np.testing.assert_array_equal(heard, plain[0])
        np.testing.assert_array_equal(chosen, plain[1] if same else other[1])
        onset, both = batch.onset[0].numpy(), batch.both[0].numpy()
        np.testing.assert_array_equal(np.flatnonzero(onset == 1), np.unique(heard))
        assert set(onset[heard[0] : heard[-1] + 1].tolist()) == {0.0, 1.0}
        assert (onset[: heard[0]] == -1).all() and (onset[heard[-1] + 1 :] == -1).all()
        twice = [slot for slot in np.unique(heard) if (heard == slot).sum() == 2]
        np.testing.assert_array_equal(np.flatnonzero(both == 1), twice)
        np.testing.assert_array_equal(np.flatnonzero(both == 0), sorted(set(heard.tolist()) - set(twice)))
    assert len(starts) > 1
    assert 0 < mirrored < 12 if mirror else mirrored == 0


@pytest.mark.parametrize("vocab_size", [217, JOINT])
def test_only_what_is_heard_of_a_long_song_is_learnt(processed: Path, vocab_size: int) -> None:
    model = shelf.model(max_audio_len=240, vocab_size=vocab_size)
    train = shelf.training(notes_per_level=16)
    corpus = Corpus(processed, "train", model, train)
    seen = set()
    for seed in range(6):
        batch = corpus.batch(corpus.heard, [], [seed], augment=True)
        assert batch.audio.shape[1] == 240
        assert batch.heard is not None
        there = batch.heard.target >= 0
        assert there.any(dim=1).all()
        slot = batch.heard.steps.slot[there]
        assert int(slot.min()) >= 0 and int(slot.max()) < 240
        seen |= set(slot.tolist())
        assert (batch.onset == 1).any(dim=1).all()
    assert max(seen) > 200
    # The first note is on the fourth beat: nothing of any level is in the first two bars of half a beat each.
    short = Corpus(processed, "train", shelf.model(max_audio_len=48), train)
    empty = short.batch(short.heard, [], [0], augment=False)
    assert empty.heard is None or vocab_size == JOINT
    assert len(empty.onset) == 0


def test_what_is_hidden_and_what_is_not(processed: Path) -> None:
    corpus = Corpus(processed, "train", shelf.model(), shelf.training(statistics_dropout=1.0))
    hidden = corpus.batch(corpus.heard, corpus.silent, [0], augment=True)
    shown = corpus.batch(corpus.heard, corpus.silent, [0], augment=False)
    assert hidden.heard is not None and shown.heard is not None and shown.silent is not None
    assert hidden.heard.statistics.isnan().all()
    assert not shown.heard.statistics.isnan().any()
    assert len(shown.silent.song) == len(corpus.silent) == 2


def test_a_batch_moves_as_a_whole(corpus: Corpus) -> None:
    batch = corpus.batch(corpus.heard[:1], corpus.silent, [0], augment=True)
    moved = batch.to(torch.device("cpu"))
    assert isinstance(moved, Batch)
    _equal(moved, batch)


# ---- the loader -----------------------------------------------------------------------------------------------------


@pytest.fixture
def load(corpus: Corpus) -> Any:
    opened: list[Loader] = []

    def opening(of: Corpus = corpus, **changes: Any) -> Loader:
        where = {name: changes.pop(name) for name in ("rank", "world", "first") if name in changes}
        opened.append(Loader(of, shelf.training(**changes), **where))
        return opened[-1]

    yield opening
    for loader in opened:
        loader.close()
        assert not loader.thread.is_alive()


Load = Callable[..., Loader]


def test_every_song_is_learnt_once_an_epoch(load: Load, corpus: Corpus) -> None:
    loader = load(batch_size=2)
    per_epoch = Loader.steps_per_epoch(corpus, loader.train)
    assert per_epoch == 3
    orders = []
    for epoch in range(4):
        songs = [loader.plan(epoch * per_epoch + index)[0] for index in range(per_epoch)]
        assert sorted(chain(*songs)) == corpus.heard
        orders.append(songs)
    assert any(order != orders[0] for order in orders)
    assert loader.plan(7) == loader.plan(7) != loader.plan(8)


def test_ranks_share_what_one_would_have(load: Load, corpus: Corpus) -> None:
    alone = load(batch_size=4, silent_levels=3)
    ranks = [load(batch_size=2, silent_levels=3, rank=rank, world=2) for rank in (0, 1)]
    for number in range(6):
        songs, silent, seed = alone.plan(number)
        shares = [loader.plan(number) for loader in ranks]
        assert sorted(shares[0][0] + shares[1][0]) == sorted(songs)
        assert sorted(shares[0][1] + shares[1][1]) == sorted(silent)
        assert shares[0][2] == shares[1][2] == seed
        # None twice, even where there are fewer than asked for.
        assert len(set(silent)) == len(silent) == min(3 * 4, len(corpus.silent))
        assert set(silent) <= set(corpus.silent)


def test_batches_begin_anywhere_as_if_all_before_had_been_seen(load: Load) -> None:
    whole = iter(load())
    expected = [next(whole) for _ in range(5)]
    late = iter(load(first=3))
    for batch in expected[3:]:
        _equal(next(late), batch)


def test_waiting_is_counted(load: Load) -> None:
    loader = load()
    next(iter(loader))
    assert loader.wait_s > 0


def test_what_goes_wrong_while_loading_reaches_the_caller(processed: Path, tmp_path: Path, load: Load) -> None:
    data = tmp_path / "data"
    shutil.copytree(processed, data)
    corpus = Corpus(data, "train", shelf.model(), shelf.training())
    for file in list((data / "slots").rglob("*.safetensors")):
        file.unlink()
    with pytest.raises(StoreError):
        next(iter(load(corpus)))


def test_official_maps_have_their_share(load: Load, corpus: Corpus) -> None:
    [official] = corpus.official
    assert any("map1.zip" in level.name for level in corpus.songs[official].levels)
    for ratio, count in ((0.0, 1), (0.4, 2), (1.0, 5)):
        loader = load(official_ratio=ratio, batch_size=2)
        for epoch in range(3):
            songs = list(chain(*(loader.plan(3 * epoch + index)[0] for index in range(3))))
            assert (len(songs), songs.count(official)) == (5, count)
    # Where there is none, all come as they are.
    other = load(_without(corpus), official_ratio=0.4)
    assert sorted(chain(*(other.plan(index)[0] for index in range(3)))) == corpus.heard


def _without(corpus: Corpus) -> Corpus:
    """The same corpus, none of its maps official."""
    other = Corpus.__new__(Corpus)
    vars(other).update(vars(corpus) | {"official": []})
    other.songs = [replace(song, official=False) for song in corpus.songs]
    return other


def test_a_corpus_without_any_audio_can_be_learnt_from(processed: Path, load: Load) -> None:
    files = {"map5.zip", "map6.zip"}
    corpus = Corpus(processed, "train", shelf.model(), shelf.training(), files=files)
    assert corpus.heard == []
    mean, scale = corpus.scales()
    assert not mean.any() and (scale == 1).all()
    batch = next(iter(load(corpus)))
    assert batch.heard is None and batch.silent is not None and len(batch.audio) == 0
    assert (batch.silent.target >= 0).any(dim=1).all()


def test_levels_that_break_parity_too_often_are_left_out(processed: Path) -> None:
    every = Corpus(processed, "train", shelf.model(), shelf.training())
    share = {}
    for pack in (processed.parent / "raw").glob("*.zip"):
        song = _native.load_song(pack)
        for level in song.difficulties:
            flow = _native.play_facts(level)["wrist_flow"]
            share[f"{pack.name}/{level.name}"] = float((flow == 2).mean())
    names = {level.name: share[f"{level.name.split('/')[0]}/{level.difficulty}"] for level in every.levels}
    middle = float(np.median(list(names.values())))
    assert 0 < middle < 1
    some = Corpus(processed, "train", shelf.model(), shelf.training(parity_breaks_max=middle))
    assert {level.name for level in some.levels} == {name for name, value in names.items() if value <= middle}
    assert some.left_out["parity-breaks"] == len(every.levels) - len(some.levels) > 0


def test_songs_that_the_store_lacks_are_not_taken_for_silent_ones(processed: Path, tmp_path: Path) -> None:
    whole = Corpus(processed, "train", shelf.model(), shelf.training())
    data = tmp_path / "data"
    shutil.copytree(processed, data)
    lost = next((data / "slots").rglob(f"{whole.songs[whole.heard[0]].key}.safetensors"))
    lost.unlink()
    some = Corpus(data, "train", shelf.model(), shelf.training())
    assert some.left_out["no-slots"] == len(whole.songs[whole.heard[0]].levels)
    assert len(some.heard) == len(whole.heard) - 1 and len(some.silent) == len(whole.silent)
    shutil.rmtree(data / "slots")
    with pytest.raises(ConfigError, match="found none of the songs' features that the index names"):
        Corpus(data, "train", shelf.model(), shelf.training())


def test_damaged_files_are_told_in_one_sentence(processed: Path, tmp_path: Path) -> None:
    data = tmp_path / "data"
    shutil.copytree(processed, data)
    shard = next(path for path in (data / "tokens").iterdir() if path.stat().st_size > 500)
    index = data / "index.parquet"
    for file in (shard, index):
        file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])
        with pytest.raises(ConfigError, match=rf"{file.name}: damaged: .*; run `beatweaver process` again"):
            Corpus(data, "train", shelf.model(), shelf.training())


def test_a_song_is_cut_at_a_block(processed: Path) -> None:
    corpus = Corpus(processed, "train", shelf.model(max_audio_len=5 * 48 + 16), shelf.training())
    batch = corpus.batch(corpus.heard[:1], [], [0], augment=False)
    assert batch.audio.shape[1] == int(batch.length[0]) == 5 * 48
    assert bool((batch.audio[0, -48:] != 0).any())


def test_joint_steps_are_tokens_and_the_ones_that_follow(processed: Path) -> None:
    corpus = Corpus(processed, "train", shelf.model(vocab_size=JOINT), shelf.training(notes_per_level=4096))
    vocab = joint_vocabulary()
    batch = corpus.batch([], corpus.silent, [0], augment=False)
    assert batch.silent is not None
    for row in range(2):
        steps = _row(batch.silent, row)
        tokens = np.array([*steps["last"], steps["target"][-1]], dtype=np.uint16)
        assert steps["last"][1:] == steps["target"][:-1]
        assert (tokens[0], tokens[-1]) == (vocab.bos, vocab.eos)
        beats = vocab.beats(tokens)
        np.testing.assert_allclose(np.array(steps["slot"]), np.round(beats[:-1] * 12), atol=1e-6)
        played = {tuple(pair) for pair in vocab.decode(tokens, bpm=120.0).notes()["beat"].reshape(-1, 1).tolist()}
        assert len(played) > 16


def test_tokens_in_a_mirror_are_the_notes_in_a_mirror(processed: Path) -> None:
    corpus = Corpus(processed, "train", shelf.model(vocab_size=JOINT), shelf.training())
    vocab = joint_vocabulary()

    def played(tokens: Any) -> list[tuple[float, int, int, int, int]]:
        notes = vocab.decode(tokens.astype(np.uint16), bpm=120.0).notes()
        return sorted(zip(*(notes[name].tolist() for name in ("beat", "color", "x", "y", "cut")), strict=True))

    cuts = (0, 1, 3, 2, 5, 4, 7, 6, 8)
    assert len(corpus.levels) > 1
    for level in corpus.levels:
        turned = level.mirrored()
        np.testing.assert_array_equal(turned.mirrored().tokens, level.tokens)
        want = sorted((beat, 1 - hand, 3 - x, y, cuts[cut]) for beat, hand, x, y, cut in played(level.tokens))
        assert played(turned.tokens) == want
        grammar = _native.Grammar(vocab, batch=1)
        mask = np.zeros((1, vocab.size), dtype=bool)
        for token in turned.tokens.astype(np.uint16):
            grammar.mask(mask)
            assert mask[0, token]
            grammar.push(np.array([token]))


def test_half_of_the_tokens_learnt_are_in_a_mirror(processed: Path) -> None:
    for mirror in (True, False):
        train = shelf.training(mirror=mirror, notes_per_level=4096)
        corpus = Corpus(processed, "train", shelf.model(vocab_size=JOINT), train)
        level = corpus.songs[corpus.silent[0]].levels[0]
        turned = 0
        for seed in range(12):
            batch = corpus.batch([], corpus.silent[:1], [seed], augment=True)
            assert batch.silent is not None
            target = np.array(_row(batch.silent, 0)["target"])
            plain, other = level.tokens[1:], level.mirrored().tokens[1:]
            assert np.array_equal(target, plain) or np.array_equal(target, other)
            turned += not np.array_equal(target, plain)
        assert 0 < turned < 12 if mirror else turned == 0
