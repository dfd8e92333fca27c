"""The store, its batches and the beat grid, against NumPy doing the same, and against damage and rivals."""

from __future__ import annotations

import gc
import json
import multiprocessing
import os
import random
import signal
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from beatweaver import _native
from beatweaver.config import AudioConfig
from beatweaver.errors import AudioError, ConfigError, StoreError

if TYPE_CHECKING:
    from numpy.typing import NDArray

SPEC = AudioConfig()


def key_of(name: str) -> str:
    return _native.Store.key(name.encode(), SPEC.canonical())


def song(seed: int, rows: int = 50, mels: int = 8) -> dict[str, NDArray[Any]]:
    draw = np.random.default_rng(seed)
    return {
        "mel": draw.normal(-40, 20, (rows, mels)).astype(np.float16),
        "onset": draw.random(rows, np.float32),
        "bands": draw.random((rows, 4), np.float32),
    }


def same(one: dict[str, NDArray[Any]], other: dict[str, NDArray[Any]]) -> bool:
    return one.keys() == other.keys() and all(
        one[name].dtype == other[name].dtype and np.array_equal(one[name], other[name]) for name in one
    )


# What is put is got -------------------------------------------------------------------------------------------------


@given(
    st.dictionaries(
        st.text(st.characters(exclude_categories=["Cs"]), max_size=8),
        st.tuples(st.lists(st.integers(0, 5), max_size=3), st.sampled_from(["f2", "f4"])),
        max_size=5,
    ),
    st.dictionaries(st.text(st.characters(exclude_categories=["Cs"]), max_size=8), st.text(max_size=8), max_size=3),
)
def test_any_arrays_come_back_as_views_that_cannot_be_written(
    tmp_path_factory: pytest.TempPathFactory, shapes: dict[str, tuple[list[int], str]], meta: dict[str, str]
) -> None:
    draw = np.random.default_rng(len(shapes))
    arrays = {name: np.asarray(draw.normal(0, 9, shape), kind) for name, (shape, kind) in shapes.items()}
    store = _native.Store(tmp_path_factory.mktemp("store"))
    key = key_of("song")
    assert store.get(key) is None
    assert store.meta(key) is None
    store.put(key, arrays, meta=meta)
    got = store.get(key)
    assert got is not None
    assert same(got, arrays)
    assert store.meta(key) == meta
    assert store.verify() == []
    for name, array in got.items():
        assert not array.flags.owndata and not array.flags.writeable and array.flags.c_contiguous
        with pytest.raises(ValueError, match="WRITEABLE"):
            array.setflags(write=True)
        assert array.shape == tuple(shapes[name][0])


def test_an_array_keeps_its_file_alive_after_all_else_is_gone(tmp_path: Path) -> None:
    store = _native.Store(tmp_path)
    truth = song(1, rows=50_000)
    store.put(key_of("song"), truth, meta={})
    got = store.get(key_of("song"))
    assert got is not None
    onset = got["onset"]
    store.put(key_of("song"), song(2), meta={})
    for file in tmp_path.iterdir():
        file.unlink()
    del got, store
    gc.collect()
    assert np.array_equal(onset, truth["onset"])


def test_the_file_is_an_ordinary_safetensors_file(tmp_path: Path) -> None:
    store = _native.Store(tmp_path)
    truth = song(3)
    store.put(key_of("song"), truth, meta={"spec": SPEC.canonical().decode()})
    data = (tmp_path / f"{key_of('song')}.safetensors").read_bytes()
    size = int.from_bytes(data[:8], "little")
    header = json.loads(data[8 : 8 + size])
    stamp = json.loads(header.pop("__metadata__")["beatweaver"])
    assert (stamp["key"], stamp["meta"]) == (key_of("song"), {"spec": SPEC.canonical().decode()})
    kinds = {"F16": np.float16, "F32": np.float32}
    read = {}
    for name, entry in header.items():
        begin, end = (8 + size + offset for offset in entry["data_offsets"])
        read[name] = np.frombuffer(data[begin:end], kinds[entry["dtype"]]).reshape(entry["shape"])
    assert same(read, truth)


def test_the_key_follows_from_sound_and_settings_alone() -> None:
    spec = SPEC.canonical()
    keys = [
        _native.Store.key(b"one", spec),
        _native.Store.key(b"two", spec),
        _native.Store.key(b"one", AudioConfig(hop=256).canonical()),
        _native.Store.key(b"one" + spec, b""),
        _native.Store.key(b"", b"one" + spec),
    ]
    assert len(set(keys)) == len(keys)
    assert _native.Store.key(b"one", AudioConfig().canonical()) == keys[0]
    # Golden: whoever changes how keys are made makes every store anew, and should mean to.
    assert _native.Store.key(b"one", b"{}") == "38d4ba27a3c7587df2630b57f9fb9932ffb8b63f5b780c699bb9beba030b9054"


# Damage --------------------------------------------------------------------------------------------------------------


def test_a_damaged_file_is_no_hit_or_found_by_verify(tmp_path: Path) -> None:
    store = _native.Store(tmp_path)
    truth = song(4)
    key = key_of("song")
    store.put(key, truth, meta={"spec": "{}"})
    path = tmp_path / f"{key}.safetensors"
    whole = path.read_bytes()
    header = 8 + int.from_bytes(whole[:8], "little")
    draw = random.Random(5)
    seen = {"missed": 0, "found": 0}
    for place in [*draw.sample(range(header), 150), *draw.sample(range(header, len(whole)), 50)]:
        hurt = bytearray(whole)
        hurt[place] ^= 1 << draw.randrange(8)
        path.write_bytes(hurt)
        got = store.get(key)
        if got is None:
            assert place < header
            seen["missed"] += 1
        elif place >= header:
            assert not same(got, truth)
        else:
            assert same(got, truth)
        if got is None or place >= header:
            assert store.verify() == [path.name]
            seen["found"] += 1
    assert seen["missed"] > 100
    for length in [0, 1, 7, 8, header - 1, header, len(whole) - 1]:
        path.write_bytes(whole[:length])
        assert store.get(key) is None, length
    path.write_bytes(whole + b"\0")
    assert store.get(key) is None
    store.put(key, truth, meta={"spec": "{}"})
    assert path.read_bytes() == whole


def test_a_file_that_is_another_songs_is_no_hit(tmp_path: Path) -> None:
    store = _native.Store(tmp_path)
    store.put(key_of("one"), song(6), meta={})
    (tmp_path / f"{key_of('one')}.safetensors").rename(tmp_path / f"{key_of('two')}.safetensors")
    assert store.get(key_of("two")) is None
    assert store.verify() == [f"{key_of('two')}.safetensors"]
    with pytest.raises(StoreError, match="no sound file"):
        store.gather([key_of("two")], np.zeros(1, np.int64), np.zeros((1, 2, 1), np.float32), names=["onset"])


def test_what_is_no_key_or_no_array_is_refused(tmp_path: Path) -> None:
    store = _native.Store(tmp_path)
    for name in ("", "../../etc/passwd", key_of("x").upper(), "x" * 64):
        with pytest.raises(StoreError, match="64 hexadecimal"):
            store.get(name)
        with pytest.raises(StoreError, match="64 hexadecimal"):
            store.put(name, {}, meta={})
    with pytest.raises(ConfigError, match="C-contiguous"):
        store.put(key_of("x"), {"a": np.zeros((4, 3), np.float32).T}, meta={})
    with pytest.raises(TypeError):
        store.put(key_of("x"), {"a": np.zeros(3)}, meta={})  # type: ignore[dict-item]
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(OSError, match="exists"):
        _native.Store(tmp_path / "file")
    assert repr(store) == f"<Store {tmp_path}>"


# Rivals --------------------------------------------------------------------------------------------------------------


def _put_for_ever(root: str, seed: int) -> None:
    store, draw = _native.Store(root), random.Random(seed)
    while True:
        number = draw.randrange(4)
        store.put(key_of(str(number)), song(number, rows=2000), meta={})


def test_many_processes_put_the_same_keys_and_are_killed_doing_so(tmp_path: Path) -> None:
    spawn = multiprocessing.get_context("spawn")
    rivals = [spawn.Process(target=_put_for_ever, args=(str(tmp_path), seed), daemon=True) for seed in range(3)]
    for rival in rivals:
        rival.start()
    store = _native.Store(tmp_path)
    truth = [song(number, rows=2000) for number in range(4)]
    hits, deadline = 0, time.monotonic() + 60
    while hits < 300 and time.monotonic() < deadline:
        number = hits % 4
        got = store.get(key_of(str(number)))
        if got is not None:
            assert same(got, truth[number])
            hits += 1
        elif hits:
            time.sleep(0.001)
    for rival in rivals:
        assert rival.pid is not None
        os.kill(rival.pid, signal.SIGKILL)
        rival.join()
    assert hits == 300
    assert store.verify() == []
    files = [file.name for file in tmp_path.iterdir() if not file.name.startswith(".")]
    assert sorted(files) == sorted(f"{key_of(str(number))}.safetensors" for number in range(4))


# Batches -------------------------------------------------------------------------------------------------------------


def brute(
    songs: dict[str, dict[str, NDArray[Any]]],
    keys: list[str],
    starts: Any,
    lengths: Any,
    pad: float,
    shape: Any,
    names: list[str],
) -> NDArray[np.float32]:
    """The batch, row by row."""
    out = np.full(shape, pad, np.float32)
    for b, key in enumerate(keys):
        parts = [songs[key][name].astype(np.float32) for name in names]
        wide = np.concatenate([part if part.ndim == 2 else part[:, None] for part in parts], axis=1)
        for t in range(int(lengths[b])):
            row = int(starts[b]) + t
            if 0 <= row < len(wide):
                out[b, t] = wide[row]
    return out


@given(st.data())
def test_a_batch_is_what_numpy_makes_of_the_songs(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    store = _native.Store(tmp_path_factory.mktemp("store"))
    songs = {key_of(str(seed)): song(seed, rows=data.draw(st.integers(0, 40)), mels=3) for seed in range(3)}
    for key, arrays in songs.items():
        store.put(key, arrays, meta={})
    names = data.draw(st.lists(st.sampled_from(["mel", "onset", "bands"]), min_size=1, max_size=4))
    rows, steps = data.draw(st.integers(0, 6)), data.draw(st.integers(0, 30))
    keys = data.draw(st.lists(st.sampled_from(sorted(songs)), min_size=rows, max_size=rows))
    starts = np.array(data.draw(st.lists(st.integers(-60, 80), min_size=rows, max_size=rows)), np.int64)
    lengths = np.array(data.draw(st.lists(st.integers(0, steps), min_size=rows, max_size=rows)), np.int64)
    shape = (rows, steps, sum({"mel": 3, "onset": 1, "bands": 4}[name] for name in names))
    out = np.full(shape, np.nan, np.float32)
    store.gather(keys, starts, out, names=names, lengths=lengths, pad=-80.0)
    np.testing.assert_array_equal(out, brute(songs, keys, starts, lengths, -80.0, shape, names))
    store.gather(keys, starts, out, names=names)
    np.testing.assert_array_equal(out, brute(songs, keys, starts, [steps] * rows, 0.0, shape, names))


def test_a_batch_that_does_not_fit_is_refused(tmp_path: Path) -> None:
    store = _native.Store(tmp_path)
    key = key_of("song")
    store.put(key, song(1), meta={})
    starts = np.zeros(2, np.int64)

    def gather(
        *, keys: Any = (key, key), starts: Any = starts, shape: Any = (2, 5, 8), names: Any = ("mel",), **more: Any
    ) -> None:
        store.gather(keys, starts, np.zeros(shape, np.float32), names=names, **more)

    gather()
    with pytest.raises(ConfigError, match="1 keys"):
        gather(keys=(key,))
    with pytest.raises(ConfigError, match="expected 2 each"):
        gather(starts=np.zeros(3, np.int64))
    with pytest.raises(ConfigError, match="3 lengths"):
        gather(lengths=np.zeros(3, np.int64))
    with pytest.raises(ConfigError, match="found 6"):
        gather(lengths=np.array([6, 0]))
    with pytest.raises(ConfigError, match="found -1 in row 1"):
        gather(lengths=np.array([0, -1]))
    with pytest.raises(StoreError, match="8 wide together, expected the 9"):
        gather(shape=(2, 5, 9))
    with pytest.raises(StoreError, match='no array "mels", it has bands, mel, onset'):
        gather(names=("mels",))
    with pytest.raises(StoreError, match="no sound file"):
        gather(keys=(key, key_of("absent")))
    with pytest.raises(StoreError, match="64 hexadecimal"):
        gather(keys=(key, "x"))
    for wrong in (np.zeros((8, 5, 2), np.float32).T, np.zeros((2, 5, 16), np.float32)[:, :, ::2]):
        with pytest.raises(ConfigError, match="C-contiguous"):
            store.gather([key, key], starts, wrong, names=["mel"])
    with pytest.raises(TypeError):
        store.gather([key, key], starts, np.zeros((2, 5, 8)), names=["mel"])  # type: ignore[arg-type]


# The beat grid -------------------------------------------------------------------------------------------------------


def brute_slots(
    arrays: dict[str, NDArray[Any]], clock: _native.TempoMap, audio_s: float, grid_offset: float, spec: AudioConfig
) -> dict[str, NDArray[np.float64]]:
    """Each slot as the mean of 4,001 points, its time found without the native clock's help."""
    per = spec.slots_per_beat
    slots = 0
    while float(clock.seconds(grid_offset + slots / per)) <= audio_s + 1e-9:
        slots += 1
    rate_hz = spec.sample_rate_hz / spec.hop
    lag_s = ((spec.n_fft // (2 * spec.hop)) * spec.hop + spec.hop / 2 - spec.n_fft / 4) / spec.sample_rate_hz + 0.004
    fine = np.linspace(0, 1, 4001)
    out = {}
    for name, lag in (("mel", 0.0), ("onset", lag_s), ("bands", lag_s)):
        rows = arrays[name].reshape(len(arrays[name]), -1).astype(np.float64)
        means = np.zeros((slots, rows.shape[1]))
        for k in range(slots):
            begin, end = clock.seconds(grid_offset + (k + np.array([-0.5, 0.5])) / per)
            at = (begin + (end - begin) * fine + lag) * rate_hz
            for column in range(rows.shape[1]):
                means[k, column] = np.interp(at, np.arange(len(rows)), rows[:, column]).mean()
        out[name] = means.reshape(slots, *arrays[name].shape[1:])
    return out


@given(st.floats(40, 320), st.floats(40, 320), st.floats(0, 8), st.floats(0, 0.99), st.floats(-0.3, 0.3))
def test_slots_are_the_means_of_the_frames_around_their_beats(
    bpm: float, then: float, change: float, grid_offset: float, offset_s: float
) -> None:
    spec = AudioConfig(n_fft=1024, hop=512, n_mels=6, band_edges_hz=(0.0, 11_025.0))
    draw = np.random.default_rng(0)
    samples = draw.normal(0, 0.1, 40_000).astype(np.float32) * (draw.random(40_000) < 0.3)
    arrays = _native.features(samples.astype(np.float32), spec.canonical())
    clock = _native.TempoMap([0, change], [bpm, then], offset_s=offset_s)
    audio_s = len(samples) / spec.sample_rate_hz
    found = _native.beat_slots(
        arrays, clock, spec_json=spec.canonical(), audio_s=audio_s, grid_offset_beats=grid_offset
    )
    truth = brute_slots(arrays, clock, audio_s, grid_offset, spec)
    for name, expected in truth.items():
        count = min(len(found[name]), len(expected))
        if len(found[name]) != len(expected):  # only rounding may decide about the last one
            assert abs(float(clock.seconds(grid_offset + count / spec.slots_per_beat)) - audio_s) < 1e-6
        np.testing.assert_allclose(found[name][:count], expected[:count], atol=2e-2, rtol=1e-3)


def test_a_click_shows_in_its_own_slot() -> None:
    spec = AudioConfig()
    draw = np.random.default_rng(1)
    clock = _native.TempoMap([0, 16], [100, 140], offset_s=0.21)
    samples = (0.003 * draw.standard_normal(22_050 * 20)).astype(np.float32)
    slots = [24, 33, 40, 66, 96, 150, 190, 222, 300, 337, 400]
    for at in clock.seconds(np.array(slots) / 12 + 0.3):
        begin = int(at * 22_050)
        samples[begin : begin + 2000] += (draw.standard_normal(2000) * np.exp(-np.arange(2000) / 300) * 0.4).astype(
            "f4"
        )
    arrays = _native.features(samples, spec.canonical())
    grid = _native.beat_slots(arrays, clock, spec_json=spec.canonical(), audio_s=20.0, grid_offset_beats=0.3)
    for slot in slots:
        near = grid["onset"][slot - 5 : slot + 6]
        assert int(np.argmax(near)) == 5, (slot, near)
        assert int(np.argmax(grid["bands"][slot - 5 : slot + 6].sum(axis=1))) == 5
    found = _native.onset_times(arrays["onset"], spec.canonical())
    errors = [np.abs(found - at).min() for at in clock.seconds(np.array(slots) / 12 + 0.3)]
    assert max(errors) < 0.02


def test_features_that_are_not_of_the_spec_are_refused() -> None:
    spec = SPEC.canonical()
    clock = _native.TempoMap([0], [120])
    arrays = _native.features(np.zeros(5000, np.float32), spec)
    assert {name: len(part) for name, part in arrays.items()} == {"mel": 10, "onset": 10, "bands": 10}
    grid = _native.beat_slots(arrays, clock, spec_json=spec, audio_s=5000 / 22_050)
    assert grid["mel"].shape == (6, 80)
    assert _native.beat_slots(arrays, clock, spec_json=spec, audio_s=0.1, grid_offset_beats=0.9)["mel"].shape == (0, 80)
    halves = {name: part.astype(np.float16) for name, part in arrays.items()}
    assert _native.beat_slots(halves, clock, spec_json=spec, audio_s=5000 / 22_050)["onset"].shape == (6,)
    for wrong in ({"mel": arrays["mel"]}, arrays | {"mel": arrays["mel"][:, 1:]}, arrays | {"bands": arrays["onset"]}):
        with pytest.raises(ConfigError, match="features"):
            _native.beat_slots(wrong, clock, spec_json=spec, audio_s=1.0)
    with pytest.raises(AudioError, match="slots"):
        _native.beat_slots(arrays, _native.TempoMap([0], [1e6]), spec_json=spec, audio_s=60.0)


def test_widths_are_those_of_the_arrays() -> None:
    for config in (AudioConfig(), AudioConfig(n_mels=40, band_edges_hz=())):
        arrays = _native.features(np.zeros(5000, np.float32), config.canonical())
        widths = {name: part.reshape(len(part), -1).shape[1] for name, part in arrays.items()}
        assert _native.feature_widths(config.canonical()) == widths
