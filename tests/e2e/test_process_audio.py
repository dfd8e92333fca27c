"""`beatweaver process` and the songs: what is stored, how it lies to the notes, what may happen."""

from __future__ import annotations

import json
import random
import resource
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import corpora
import numpy as np
import pyarrow.parquet as pq
import pytest

from beatweaver import _native
from beatweaver.config import AudioConfig, ProcessConfig
from beatweaver.errors import ConfigError
from beatweaver.process import process

SPEC = AudioConfig().canonical()


def rows(out: Path) -> list[dict[str, Any]]:
    return list(pq.read_table(out / "index.parquet").to_pylist())


def contents(folder: Path) -> dict[str, bytes]:
    files = (f for f in sorted(folder.rglob("*")) if f.is_file() and not f.name.startswith("."))
    return {str(f.relative_to(folder)): f.read_bytes() for f in files}


def intact(out: Path) -> bool:
    return not any(_native.Store(out / name).verify() for name in ("features", "slots"))


@pytest.fixture(scope="module")
def raw(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twelve packs, each with a song of its own, zips and folders."""
    folder = tmp_path_factory.mktemp("songs")
    for seed in range(12):
        name = f"map{seed}.zip" if seed % 3 else f"map{seed}"
        corpora.save(folder / name, seed, audio=corpora.sound(seed, seconds=37.0 + seed / 8))
    return folder


@pytest.fixture(scope="module")
def done(raw: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("done")
    process(raw, out, ProcessConfig())
    return out


def test_the_store_holds_each_song_and_the_index_says_how_it_fits(done: Path) -> None:
    features, slots = _native.Store(done / "features"), _native.Store(done / "slots")
    index = rows(done)
    assert len({row["audio_key"] for row in index}) == 12
    for row in index:
        seed = int(Path(row["path"]).stem.removeprefix("map"))
        sound = corpora.sound(seed, seconds=37.0 + seed / 8)
        assert row["audio_key"] == _native.Store.key(sound, SPEC)
        assert row["audio_s"] == pytest.approx(37.0 + seed / 8, abs=1e-4)
        samples = _native.decode_audio(sound, sample_rate_hz=22_050)
        truth = _native.features(samples, SPEC)
        stored = features.get(row["audio_key"])
        assert stored is not None
        np.testing.assert_array_equal(stored["mel"], truth["mel"].astype(np.float16))
        np.testing.assert_array_equal(stored["onset"], truth["onset"])
        np.testing.assert_array_equal(stored["bands"], truth["bands"])
        assert json.loads((features.meta(row["audio_key"]) or {})["spec"]) == json.loads(SPEC)
        grid = slots.get(row["slots_key"])
        assert grid is not None
        clock = _native.TempoMap([0], [120])
        expected = _native.beat_slots(
            {name: np.asarray(part, np.float32) for name, part in stored.items()},
            clock,
            spec_json=SPEC,
            audio_s=row["audio_s"],
        )
        assert row["slots"] == len(grid["onset"]) == int(row["audio_s"] * 24) + 1
        np.testing.assert_array_equal(grid["mel"], expected["mel"].astype(np.float16))
        np.testing.assert_array_equal(grid["onset"], expected["onset"])
        # There is a click on every note. Clicks rise faster than music, for which the lag was measured.
        assert row["audio_onset_share"] > 0.95
        assert abs(row["audio_offset_ms"]) < 20
        assert row["audio_silent_share"] == 0
        assert row["audio_shorter_than_map"] is False
        assert row["audio_fault_type"] == row["audio_fault_message"] == ""


def test_slot_and_token_count_beats_from_the_same_place(tmp_path: Path) -> None:
    beats = np.array([4.37 + i / 2 for i in range(64)])
    level = corpora.level(1, notes={"beat": beats, "x": [1] * 64, "cut": [0, 1] * 32})
    plain = np.frombuffer(corpora.sound(3)[44:], np.uint8)
    late = corpora.sound(3)[:44] + np.concatenate([plain[-1480:], plain[:-1480]]).tobytes()  # 0.185 s are 0.37 beats
    corpora.save(tmp_path / "raw" / "a.zip", 1, levels=[level], audio=late)
    process(tmp_path / "raw", tmp_path / "out", ProcessConfig())
    [row] = rows(tmp_path / "out")
    assert row["grid_offset_beats"] % 0.5 == pytest.approx(0.37, abs=1e-6)
    grid = _native.Store(tmp_path / "out" / "slots").get(row["slots_key"])
    assert grid is not None
    at = (beats - row["grid_offset_beats"]) * 12
    np.testing.assert_allclose(at, np.round(at), atol=1e-6)
    onset = grid["onset"]
    for slot in np.round(at).astype(int):
        assert int(np.argmax(onset[slot - 2 : slot + 4])) == 2, slot
    # A batch that begins at a note's slot begins with its onset.
    out = np.zeros((3, 6, 85), np.float32)
    wanted = np.round(at[[3, 20, 40]]).astype(np.int64)
    _native.Store(tmp_path / "out" / "slots").gather(
        [row["slots_key"]] * 3, wanted, out, names=["mel", "onset", "bands"]
    )
    np.testing.assert_array_equal(out[:, 0, 80], onset[wanted])


def test_notes_that_are_late_are_seen_to_be_late(tmp_path: Path) -> None:
    for name, shift in (("early", -0.04), ("late", 0.04)):
        notes = {"beat": [4 + i / 2 + shift for i in range(64)], "x": [1] * 64}
        corpora.save(tmp_path / "raw" / f"{name}.zip", 1, levels=[corpora.level(1, notes=notes)])
    off = {"beat": [4.25 + i / 2 for i in range(64)], "x": [1] * 64}
    corpora.save(tmp_path / "raw" / "off.zip", 1, levels=[corpora.level(1, notes=off, beats=64)])
    long = corpora.level(1, beats=80)
    corpora.save(tmp_path / "raw" / "long.zip", 1, levels=[long])
    corpora.save(tmp_path / "raw" / "silent.zip", 1, audio=silence(37.0))
    process(tmp_path / "raw", tmp_path / "out", ProcessConfig(characteristics=("Standard",)))
    index = {Path(row["path"]).stem: row for row in rows(tmp_path / "out") if row["difficulty"] == "ExpertPlus"}
    assert index["late"]["audio_offset_ms"] - index["early"]["audio_offset_ms"] == pytest.approx(40, abs=4)
    assert index["off"]["audio_onset_share"] < 0.1
    assert index["long"]["audio_shorter_than_map"] is True
    assert index["early"]["audio_shorter_than_map"] is False
    assert index["silent"]["audio_silent_share"] == 1
    assert (index["silent"]["audio_onset_share"], index["silent"]["audio_offset_ms"]) == (0, None)


def silence(seconds: float) -> bytes:
    noisy = corpora.sound(0, seconds=seconds)
    return noisy[:44] + b"\x80" * (len(noisy) - 44)


def test_one_song_in_two_packs_is_stored_once(tmp_path: Path) -> None:
    raw, out = tmp_path / "raw", tmp_path / "out"
    for seed, name in enumerate(("a.zip", "b", "c.zip")):
        corpora.save(raw / name, seed, audio=corpora.sound(0), mapper=name)
    slower = [corpora.level(1, bpm=100.0), corpora.level(2, "Hard", bpm=100.0)]
    corpora.save(raw / "d.zip", 9, levels=slower, bpm=100.0, audio=corpora.sound(0))
    summary = process(raw, out, ProcessConfig())
    assert (summary["songs"], summary["audio_s"]) == (1, pytest.approx(37))
    assert len(list((out / "features").iterdir())) == 1
    assert len(list((out / "slots").iterdir())) == 2  # at 120 and at 100 beats a minute
    assert len({row["slots_key"] for row in rows(out)}) == 2


def test_a_song_that_cannot_be_heard_is_a_row_with_a_reason(tmp_path: Path) -> None:
    raw, out = tmp_path / "raw", tmp_path / "out"
    corpora.save(raw / "good.zip", 4)
    corpora.save(raw / "bad.zip", 4, mapper="another", audio=b"OggS not really")
    corpora.save(raw / "mute", 4, mapper="a third")
    next(file for file in (raw / "mute").iterdir() if file.suffix in (".egg", ".ogg")).unlink()
    mad = corpora.level(1, tempo={"beat": [1.0, 64.0], "bpm": [120.0, 900_000.0]})
    corpora.save(raw / "mad.zip", 4, levels=[mad])
    summary = process(raw, out, ProcessConfig())
    failed = {fault["path"].partition("/")[0]: fault for fault in summary["failed"]}
    assert failed.keys() == {"bad.zip", "mad.zip"}
    assert failed["bad.zip"]["type"] == "audio"
    assert "slots" in failed["mad.zip"]["message"]
    assert summary["maps"]["failed"] == 2
    index = {row["path"]: row for row in rows(out)}
    assert index["bad.zip"]["audio_fault_type"] == "audio"
    assert index["bad.zip"]["audio_key"] == index["bad.zip"]["slots_key"] == ""
    assert (index["mad.zip"]["slots_key"], index["mad.zip"]["slots"]) == ("", 0)
    assert index["mad.zip"]["audio_key"] == index["good.zip"]["audio_key"]
    assert (index["mute"]["audio_key"], index["mute"]["audio_s"], index["mute"]["audio_fault_type"]) == ("", None, "")
    assert all(row["row"] >= 0 for row in index.values())
    again = process(raw, out, ProcessConfig())
    assert again["failed"] == summary["failed"]
    assert again["maps"]["skipped"] == 4


def test_without_audio_there_is_none(raw: Path, done: Path, tmp_path: Path) -> None:
    run = command(raw, tmp_path, "--no-audio")
    said = json.loads(subprocess.run(run, capture_output=True, text=True, check=True).stdout)
    assert (said["songs"], said["audio_s"]) == (0, 0)
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["config.json", "index.parquet", "tokens"]
    assert "hop" not in json.loads((tmp_path / "config.json").read_text())
    index = rows(tmp_path)
    assert {row["audio_key"] for row in index} == {""}
    assert {row["audio_s"] for row in index} == {row["audio_shorter_than_map"] for row in index} == {None}
    assert pq.read_table(tmp_path / "index.parquet").schema.equals(pq.read_table(done / "index.parquet").schema)
    said = json.loads(subprocess.run(run[:-1], capture_output=True, text=True, check=True).stdout)
    assert (said["songs"], said["maps"]["skipped"]) == (12, 0)
    assert contents(tmp_path) == contents(done)


def test_other_settings_make_other_songs(raw: Path, done: Path, tmp_path: Path) -> None:
    shutil.copytree(done, tmp_path, dirs_exist_ok=True)
    summary = process(raw, tmp_path, ProcessConfig(), audio=AudioConfig(n_mels=40))
    assert summary["maps"]["skipped"] == 0
    assert len(list((tmp_path / "features").iterdir())) == 24
    stored = _native.Store(tmp_path / "features").get(rows(tmp_path)[0]["audio_key"])
    assert stored is not None
    assert stored["mel"].shape[1] == 40
    with pytest.raises(ConfigError, match="hop"):
        _native.process(raw, tmp_path, spec_json=spec_of(ProcessConfig()), audio_json=SPEC.replace(b"512", b"1"))


def spec_of(config: ProcessConfig) -> bytes:
    settings = json.loads(config.canonical())
    return json.dumps({key: value for key, value in settings.items() if key not in ("splits", "threads")}).encode()


def command(raw: Path, out: Path, *words: str) -> list[str]:
    return [sys.executable, "-m", "beatweaver", "process", str(raw), str(out), "--json", *words]


# What may happen on the way ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("threads", [1, 3])
def test_the_store_does_not_depend_on_the_threads(raw: Path, done: Path, tmp_path: Path, threads: int) -> None:
    process(raw, tmp_path, ProcessConfig(threads=threads))
    for name in ("features", "slots", "tokens"):
        assert contents(tmp_path / name) == contents(done / name)
    assert pq.read_table(tmp_path / "index.parquet").equals(pq.read_table(done / "index.parquet"))


def test_killed_at_any_moment_the_songs_are_whole_and_the_rest_is_done_later(
    raw: Path, done: Path, tmp_path: Path
) -> None:
    draw = random.Random(11)
    killed, grown = 0, set()
    for _ in range(14):
        run = subprocess.Popen(command(raw, tmp_path), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        time.sleep(draw.uniform(0.1, 0.8))
        run.send_signal(signal.SIGKILL)
        killed += run.wait() == -signal.SIGKILL
        if (tmp_path / "features").is_dir():
            assert intact(tmp_path)
            grown.add(len(list((tmp_path / "features").glob("*.safetensors"))))
    assert killed
    process(raw, tmp_path, ProcessConfig())
    assert contents(tmp_path) == contents(done)


@pytest.mark.parametrize("limit", [20_000, 200_000, 350_000])
def test_a_full_disk_is_said_and_leaves_no_damaged_song(raw: Path, done: Path, tmp_path: Path, limit: int) -> None:
    def small_files() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))

    run = subprocess.run(command(raw, tmp_path), capture_output=True, text=True, check=False, preexec_fn=small_files)
    assert (run.returncode == 2) == (max(len(data) for data in contents(done).values()) > limit), run.stderr
    if run.returncode == 2:
        error = json.loads(run.stdout)["error"]
        assert error["type"] == "OSError"
        assert "too large" in error["message"]
    assert intact(tmp_path)
    assert not list(tmp_path.rglob(".beatweaver-*"))
    process(raw, tmp_path, ProcessConfig())
    assert contents(tmp_path) == contents(done)


def test_what_is_gone_or_damaged_is_made_again_and_nothing_else(raw: Path, done: Path, tmp_path: Path) -> None:
    shutil.copytree(done, tmp_path, dirs_exist_ok=True)
    features, slots = sorted((tmp_path / "features").iterdir()), sorted((tmp_path / "slots").iterdir())
    features[0].unlink()
    features[1].write_bytes(features[1].read_bytes()[:-1])
    features[2].write_bytes(b"")
    slots[3].unlink()
    keys = {file.stem for file in (*features[:3], slots[3])}
    touched = {row["path"] for row in rows(done) if {row["audio_key"], row["slots_key"]} & keys}
    kept = {file: file.stat().st_ino for file in (*features[3:], *slots[4:])}
    summary = process(raw, tmp_path, ProcessConfig())
    assert summary["maps"]["skipped"] == 12 - len(touched)
    assert contents(tmp_path) == contents(done)
    assert {file: file.stat().st_ino for file in kept} == kept


def test_another_song_in_a_folder_is_heard(raw: Path, tmp_path: Path) -> None:
    mine, out = tmp_path / "raw", tmp_path / "out"
    shutil.copytree(raw, mine)
    process(mine, out, ProcessConfig())
    [song] = [file for file in (mine / "map3").iterdir() if file.suffix in (".egg", ".ogg")]
    song.write_bytes(corpora.sound(77))
    assert process(mine, out, ProcessConfig())["maps"]["skipped"] == 11
    [key] = {row["audio_key"] for row in rows(out) if row["path"] == "map3"}
    assert key == _native.Store.key(corpora.sound(77), SPEC)
