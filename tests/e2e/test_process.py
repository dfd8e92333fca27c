"""`beatweaver process` for real: what it writes, and that nothing short of deleting files can break it."""

from __future__ import annotations

import json
import os
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
from beatweaver.config import AudioConfig, ProcessConfig, build, load
from beatweaver.errors import ConfigError, MapError
from beatweaver.process import process


def contents(folder: Path) -> dict[str, bytes]:
    return {str(f.relative_to(folder)): f.read_bytes() for f in sorted(folder.rglob("*")) if f.is_file()}


def rows(out: Path) -> list[dict[str, Any]]:
    return list(pq.read_table(out / "index.parquet").to_pylist())


def read_shard(path: Path) -> dict[str, np.ndarray]:
    """An own reader of the container, so that the writer is not judged by itself."""
    data = path.read_bytes()
    size = int.from_bytes(data[:8], "little")
    header = json.loads(data[8 : 8 + size])
    kinds = {"U8": np.uint8, "U16": np.uint16, "U32": np.uint32, "I64": np.int64}
    arrays = {}
    for name, entry in header.items():
        if name != "__metadata__":
            begin, end = (8 + size + offset for offset in entry["data_offsets"])
            arrays[name] = np.frombuffer(data[begin:end], kinds[entry["dtype"]]).reshape(entry["shape"])
    return arrays


def command(raw: Path, out: Path, *words: str) -> list[str]:
    return [sys.executable, "-m", "beatweaver", "process", str(raw), str(out), "--json", *words]


@pytest.fixture(scope="module")
def raw(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return corpora.corpus(tmp_path_factory.mktemp("corpus"))


@pytest.fixture(scope="module")
def done(raw: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("done")
    process(raw, out, ProcessConfig())
    return out


def test_the_summary_and_the_index_say_what_was_there(raw: Path, tmp_path: Path) -> None:
    seen: list[tuple[int, int]] = []
    summary = process(raw, tmp_path, ProcessConfig(), lambda *at: seen.append(at))
    assert summary["maps"] == {"found": 41, "ok": 40, "failed": 1, "skipped": 0}
    assert [f["path"] for f in summary["failed"]] == ["broken.zip"]
    assert "conflict" in summary["failed"][0]["message"]
    levels = sum(5 - seed % 5 for seed in range(40))
    assert summary["difficulties"] == levels
    assert summary["notes"] == levels * 128
    assert seen[-1] == (41, 41)
    index = rows(tmp_path)
    assert len(index) == levels + 1
    assert {row["split"] for row in index} <= {"train", "val", "test"}
    assert all(row["nps"] == pytest.approx(128 / 31.75) for row in index if not row["fault_type"])
    assert summary["songs"] == 3
    assert summary["audio_s"] == pytest.approx(3 * 37)
    settings = load(tmp_path / "config.json")
    assert build(ProcessConfig, settings) == ProcessConfig()
    assert build(AudioConfig, settings) == AudioConfig()


def test_every_row_leads_to_its_tokens_and_they_to_its_notes(raw: Path, done: Path) -> None:
    vocab = _native.Vocab(b'{"content":"full","divisions":48}')
    songs: dict[str, Any] = {}
    checked = 0
    shards = {int(f.name[6:11]): read_shard(f) for f in (done / "tokens").iterdir()}
    for row in rows(done):
        if row["row"] < 0:
            continue
        shard = shards[row["shard"]]
        begin, end = shard["offsets"][row["row"] : row["row"] + 2]
        tokens = shard["tokens"][begin:end]
        assert len(tokens) == row["tokens"]
        song = songs.setdefault(row["path"], _native.load_song(raw / row["path"]))
        [level] = [d for d in song.difficulties if d.name == row["difficulty"]]
        said = vocab.decode(tokens, bpm=song.bpm).notes()
        for column, values in level.notes().items():
            assert np.array_equal(said[column], values), (row["path"], column)
        checked += 1
    assert checked == sum(5 - seed % 5 for seed in range(40))


@pytest.mark.parametrize("threads", [1, 2, 5])
def test_the_bytes_do_not_depend_on_the_threads(raw: Path, done: Path, tmp_path: Path, threads: int) -> None:
    process(raw, tmp_path, ProcessConfig(threads=threads))
    one, other = contents(tmp_path), contents(done)
    one.pop("config.json"), other.pop("config.json")
    del one["index.parquet"], other["index.parquet"]  # both name the config, threads included
    assert one == other
    assert pq.read_table(tmp_path / "index.parquet").equals(pq.read_table(done / "index.parquet"))


def test_a_second_run_does_nothing_and_changes_no_byte(raw: Path, done: Path, tmp_path: Path) -> None:
    shutil.copytree(done, tmp_path, dirs_exist_ok=True)
    before = {f: f.stat().st_ino for f in (tmp_path / "tokens").iterdir()}
    summary = process(raw, tmp_path, ProcessConfig())
    # The broken pack is looked at again: it may have been mended without a change that shows.
    assert summary["maps"]["skipped"] >= 40
    assert {f: f.stat().st_ino for f in (tmp_path / "tokens").iterdir()} == before
    assert contents(tmp_path) == contents(done)


def test_only_what_changed_is_done_again(raw: Path, tmp_path: Path) -> None:
    mine, out = tmp_path / "raw", tmp_path / "out"
    shutil.copytree(raw, mine)
    process(mine, out, ProcessConfig())
    corpora.save(mine / "map1.zip", 100)
    (mine / "map2.zip").unlink()
    corpora.save(mine / "new.zip", 101)
    summary = process(mine, out, ProcessConfig())
    assert summary["maps"]["found"] == 41
    assert summary["maps"]["skipped"] in (38, 39)  # as above, the broken one
    fresh = tmp_path / "fresh"
    process(mine, fresh, ProcessConfig())
    assert contents(out) == contents(fresh)


def test_another_number_of_shards_keeps_the_work(raw: Path, done: Path, tmp_path: Path) -> None:
    shutil.copytree(done, tmp_path, dirs_exist_ok=True)
    for shards in (7, 32, 1):
        summary = process(raw, tmp_path, ProcessConfig(shards=shards))
        assert summary["maps"]["skipped"] >= 40
        assert len(list((tmp_path / "tokens").iterdir())) == shards
    fresh = tmp_path / "fresh"
    process(raw, fresh, ProcessConfig(shards=1))
    shutil.move(fresh, tmp_path.with_name("fresh"))
    assert contents(tmp_path) == contents(tmp_path.with_name("fresh"))


def test_other_filters_do_the_work_anew(raw: Path, done: Path, tmp_path: Path) -> None:
    shutil.copytree(done, tmp_path, dirs_exist_ok=True)
    assert process(raw, tmp_path, ProcessConfig(min_notes=21))["maps"]["skipped"] == 0
    fresh = tmp_path.with_name("fresh")
    process(raw, fresh, ProcessConfig(min_notes=21))
    assert contents(tmp_path) == contents(fresh)


@pytest.mark.parametrize("damage", [b"", b"garbage", b"\xff" * 8 + b"{}", None])
def test_a_damaged_shard_is_made_again(raw: Path, done: Path, tmp_path: Path, damage: bytes | None) -> None:
    shutil.copytree(done, tmp_path, dirs_exist_ok=True)
    shard = sorted((tmp_path / "tokens").iterdir())[3]
    shard.write_bytes(shard.read_bytes()[:-7] if damage is None else damage)
    (tmp_path / "tokens" / ".beatweaver-left").write_bytes(b"by a run that was killed")
    process(raw, tmp_path, ProcessConfig())
    assert contents(tmp_path) == contents(done)


def test_killed_at_any_moment_the_rest_is_done_later(raw: Path, done: Path, tmp_path: Path) -> None:
    draw = random.Random(7)
    killed = 0
    for _ in range(12):
        run = subprocess.Popen(command(raw, tmp_path), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        time.sleep(draw.uniform(0.05, 0.6))
        run.send_signal(signal.SIGKILL)
        killed += run.wait() == -signal.SIGKILL
        for shard in (tmp_path / "tokens").glob("shard-*"):
            read_shard(shard)  # whole, whatever happened
    assert killed
    process(raw, tmp_path, ProcessConfig())
    left = {name: data for name, data in contents(tmp_path).items() if not Path(name).name.startswith(".")}
    assert left == contents(done)


def test_ctrl_c_ends_the_run_with_a_word(tmp_path: Path) -> None:
    raw = tmp_path / "raw"
    one = corpora.save(raw / "map0.zip", 0, audio=corpora.sound(seconds=1.0)).read_bytes()
    copies = 12_000  # more than are done before the signal comes
    for copy in range(1, copies):
        (raw / f"map{copy}.zip").write_bytes(one)
    out = tmp_path / "out"
    run = subprocess.Popen(command(raw, out), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 60
    while not list(out.glob("tokens/shard-*")) and time.monotonic() < deadline and run.poll() is None:
        time.sleep(0.01)
    run.send_signal(signal.SIGINT)
    said, noted = run.communicate(timeout=60)
    assert run.returncode == 2, noted
    assert json.loads(said)["error"]["message"] == "interrupted"
    summary = process(raw, out, ProcessConfig())
    assert 0 < summary["maps"]["skipped"] < copies
    assert summary["filtered"] == {"duplicate": (copies - 1) * 5}


@pytest.mark.parametrize(
    ("setting", "value", "reason"),
    [
        ("min_difficulty", "ExpertPlus", "difficulty"),
        ("characteristics", ("OneSaber",), "characteristic"),
        ("min_bpm", 121.0, "bpm"),
        ("max_bpm", 119.0, "bpm"),
        ("min_notes", 129, "few-notes"),
        ("min_seconds", 32.0, "short"),
        ("max_onsets_per_min", 200.0, "dense"),
        ("max_wall_share", 0.5, "walls"),
        ("require_vanilla", True, "modded"),
    ],
)
def test_each_filter_is_counted(tmp_path: Path, setting: str, value: object, reason: str) -> None:
    walls = {"beat": list(range(200)), "duration_beats": [1] * 200, "width": [1] * 200, "height": [5] * 200}
    off_grid = corpora.level(1, "Expert").notes()
    off_grid["x"] = off_grid["x"] + 5
    levels = [corpora.level(0, "Easy", obstacles=walls), corpora.level(1, "Expert", notes=off_grid), corpora.level(2)]
    corpora.save(tmp_path / "raw" / "a.zip", 0, levels=levels)
    summary = process(tmp_path / "raw", tmp_path / "out", ProcessConfig(**{setting: value}))  # type: ignore[arg-type]
    expected = {"difficulty": 2, "walls": 1, "modded": 1}.get(reason, 3)
    assert summary["filtered"] == {reason: expected}
    assert summary["difficulties"] == 3 - expected
    assert [row["filter"] for row in rows(tmp_path / "out")].count(reason) == expected


def test_copies_count_once_and_songs_stay_in_one_split(tmp_path: Path) -> None:
    raw = tmp_path / "raw"
    corpora.save(raw / "b.zip", 1)
    shutil.copy(raw / "b.zip", raw / "a.zip")
    for seed in range(30):
        corpora.save(
            raw / f"one{seed}.zip", seed + 10, title=f"Hit No. {seed % 6}!", artist="The Band", mapper=str(seed)
        )
    process(raw, tmp_path / "out", ProcessConfig(splits=(0.4, 0.3, 0.3)))
    index = rows(tmp_path / "out")
    assert {row["path"] for row in index if row["filter"] == "duplicate"} == {"b.zip"}
    by_song: dict[str, set[str]] = {}
    for row in index:
        by_song.setdefault(row["song"], set()).add(row["split"])
    assert len(by_song) == 7
    assert all(len(splits) == 1 for splits in by_song.values())
    assert len(set.union(*by_song.values())) > 1


def test_the_manifest_names_splits_and_the_download_names_scores(tmp_path: Path) -> None:
    raw = tmp_path / "raw"
    for seed in range(4):
        corpora.save(raw / f"{seed}a - song.zip", seed)
    manifest = [{"file": "raw/0a - song.zip", "split": "test"}, {"file": "raw/1a - song.zip", "split": "val"}]
    (tmp_path / "manifest.json").write_text(json.dumps(manifest))
    digest = _native.load_song(raw / "2a - song.zip").hash
    scores = {"0A": {"score": 0.95, "upvotes": 19, "downvotes": 1}, digest.upper(): {"score": 0.5}}
    (raw / "beatsaver_scores.json").write_text(json.dumps(scores))
    process(raw, tmp_path / "out", ProcessConfig(splits=(1.0, 0.0, 0.0)))
    index = {row["path"][0]: row for row in rows(tmp_path / "out")}
    assert [index[key]["split"] for key in "0123"] == ["test", "val", "train", "train"]
    assert [index[key]["score"] for key in "0123"] == [0.95, None, 0.5, None]
    assert index["0"]["upvotes"] == 19
    (tmp_path / "manifest.json").write_text('[{"file": "raw/0a - song.zip", "split": "exam"}]')
    with pytest.raises(MapError, match="exam"):
        process(raw, tmp_path / "out", ProcessConfig())
    (raw / "beatsaver_scores.json").write_text("[")
    (tmp_path / "manifest.json").unlink()
    with pytest.raises(MapError, match="beatsaver_scores"):
        process(raw, tmp_path / "out", ProcessConfig())


def test_gold_is_vanilla_liked_and_ordinary(tmp_path: Path) -> None:
    raw = tmp_path / "raw"
    for seed, beats in enumerate((240, 240, 64)):
        levels = [corpora.level(seed, beats=beats), corpora.level(seed, "Hard", beats=beats)]
        corpora.save(raw / f"{seed}.zip", seed, levels=levels)
    scores = {"0": {"score": 0.93}, "1": {"score": 0.91}, "2": {"score": 0.99}}
    (raw / "beatsaver_scores.json").write_text(json.dumps(scores))
    process(raw, tmp_path / "out", ProcessConfig())
    gold = [(row["path"], row["difficulty"]) for row in rows(tmp_path / "out") if row["gold"]]
    assert gold == [("0.zip", "ExpertPlus")]


def test_what_cannot_run_says_why(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        process(tmp_path / "nowhere", tmp_path / "out", ProcessConfig())
    (tmp_path / "empty").mkdir()
    with pytest.raises(MapError, match="no level"):
        process(tmp_path / "empty", tmp_path / "out", ProcessConfig())
    with pytest.raises(ConfigError, match="min_difficulty"):
        _native.process(tmp_path, tmp_path, spec_json=b"{}")


def test_a_full_disk_is_said_and_damages_nothing(raw: Path, done: Path, tmp_path: Path) -> None:
    def small_files() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))

    run = subprocess.run(
        command(raw, tmp_path, "--no-audio", "--set", "shards=2"),
        capture_output=True,
        text=True,
        check=False,
        preexec_fn=small_files,
    )
    assert run.returncode == 2
    error = json.loads(run.stdout)["error"]
    assert error["type"] == "OSError"
    assert "too large" in error["message"]
    assert list((tmp_path / "tokens").iterdir()) == []
    process(raw, tmp_path, ProcessConfig())
    assert contents(tmp_path / "tokens") == contents(done / "tokens")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_folder_that_may_not_be_written_is_named(raw: Path, tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    with pytest.raises(PermissionError):
        process(raw, tmp_path / "out", ProcessConfig())


def test_the_command_exits_1_when_a_map_failed(raw: Path, tmp_path: Path) -> None:
    run = subprocess.run(command(raw, tmp_path), capture_output=True, text=True, check=False)
    assert run.returncode == 1
    summary = json.loads(run.stdout)
    keys = {
        "maps",
        "filtered",
        "failed",
        "difficulties",
        "notes",
        "tokens",
        "out_of_vocabulary",
        "audio_s",
        "songs",
        "seconds",
        "out",
    }
    assert set(summary) == keys
    (raw / "broken.zip").rename(tmp_path / "broken.zip")
    try:
        plain = subprocess.run(command(raw, tmp_path)[:-1], capture_output=True, text=True, check=False)
    finally:
        (tmp_path / "broken.zip").rename(raw / "broken.zip")
    assert plain.returncode == 0
    assert "40 of 40 maps read" in plain.stdout


def test_the_real_corpus(corpus: Path, tmp_path: Path) -> None:
    summary = process(corpus / "corpus" / "raw", tmp_path, ProcessConfig())
    assert summary["maps"]["found"] == 476
    manifest = json.loads((corpus / "corpus" / "manifest.json").read_text())
    missing = {
        row["file"].removeprefix("raw/") for row in manifest if any(d["notes"] is None for d in row["difficulties"])
    }
    assert {f["path"].partition("/")[0] for f in summary["failed"]} == missing
    seconds = {row["file"].removeprefix("raw/"): row["audio_seconds"] for row in manifest if row["audio_seconds"]}
    heard = {row["path"]: row["audio_s"] for row in rows(tmp_path) if row["audio_key"]}
    assert heard.keys() == {row["path"] for row in rows(tmp_path) if row["audio_present"]}
    assert len(seconds.keys() - heard.keys()) == 1  # its Info names a file that is not there, and the game plays none
    assert all(abs(heard[path] - seconds[path]) < 0.02 for path in heard)
    splits = {row["file"].removeprefix("raw/"): row["split"] for row in manifest}
    assert all(row["split"] == splits[row["path"]] for row in rows(tmp_path))


def test_tokens_count_beats_from_the_notes_own_grid(tmp_path: Path) -> None:
    beats = [4.37 + i / 2 for i in range(100)]
    level = corpora.level(1, notes={"beat": beats, "x": [1] * 100, "cut": [0, 1] * 50}, lights={"beat": beats})
    corpora.save(tmp_path / "raw" / "a.zip", 1, levels=[level])
    process(tmp_path / "raw", tmp_path / "out", ProcessConfig(shards=1))
    [row] = rows(tmp_path / "out")
    assert row["grid_offset_beats"] % 0.5 == pytest.approx(0.37, abs=1e-6)
    [shard] = (tmp_path / "out" / "tokens").iterdir()
    vocab = _native.Vocab(b'{"content":"full","divisions":48}')
    said = vocab.decode(read_shard(shard)["tokens"], bpm=120.0).notes()["beat"]
    assert said + row["grid_offset_beats"] == pytest.approx(beats, abs=1e-6)
