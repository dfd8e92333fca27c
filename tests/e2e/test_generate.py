"""`generate`, `demo` and `train` for real: a composed song in, levels out, and everything that is no song."""

from __future__ import annotations

import dataclasses
import io
import itertools
import json
import os
import subprocess
import sys
import wave
import zipfile
from pathlib import Path
from typing import Any

import corpora
import numpy as np
import pytest
from click.testing import CliRunner, Result

from beatweaver import _native, demo
from beatweaver.cli import main
from beatweaver.config import RANKS

BPM, OFFSET_S = 126.0, 0.4


def run(*words: object) -> Result:
    return CliRunner().invoke(main, [str(word) for word in words])


def wav(seconds: float, samples: np.ndarray[Any, Any] | None = None) -> bytes:
    rate_hz = 8000
    if samples is None:
        samples = np.zeros(int(seconds * rate_hz))
    file = io.BytesIO()
    with wave.open(file, "wb") as writer:
        writer.setnchannels(1)
        writer.setsampwidth(2)
        writer.setframerate(rate_hz)
        writer.writeframes((np.clip(samples, -1, 1) * 32767).astype("<i2").tobytes())
    return file.getvalue()


@pytest.fixture(scope="module")
def song(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Half a minute of dance music whose tempo and first beat are known."""
    made = demo.compose(bpm=BPM, offset_s=OFFSET_S, form=(("verse", 6), ("drop", 8), ("outro", 2)))
    path = tmp_path_factory.mktemp("song") / "Nobody - A Song.ogg"
    path.write_bytes(made.ogg())
    return path


@pytest.fixture(scope="module")
def made(song: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    """The level of that song, and what the command said."""
    target = tmp_path_factory.mktemp("made") / "level.zip"
    result = run("generate", song, "-o", target, "--json")
    assert result.exit_code == 0, result.output
    [document] = json.loads(result.stdout)["results"]
    return target, document


def test_the_document_says_what_the_level_is(made: tuple[Path, dict[str, Any]]) -> None:
    target, document = made
    assert document["ok"]
    assert document["error"] is None
    assert document["zip"] == str(target)
    assert set(document["seconds"]) == {"prepare", "listen", "compose", "dress", "write"}
    assert abs(document["timing"]["bpm"] - BPM) < 0.05
    assert [row["difficulty"] for row in document["difficulties"]] == list(RANKS)
    levels = {level.name: level for level in _native.load_song(target).difficulties}
    for row in document["difficulties"]:
        level = levels[row["difficulty"]]
        beats = level.notes()["time"]
        assert row["notes"] == len(beats)
        assert row["nps"] == pytest.approx(len(beats) / (beats.max() - beats.min()), abs=0.01)
        assert abs(row["nps"] / row["nps_target"] - 1) < 0.35, "near what was asked even in half a minute"
        assert row["light_events"] == len(level.lights()["beat"]) + len(level.boosts()["beat"])
        assert (row["bombs"], row["walls"]) == (len(level.bombs()["beat"]), len(level.obstacles()["beat"]))
    rates = [row["nps"] for row in document["difficulties"]]
    assert rates == sorted(rates)


def test_the_level_has_no_error_and_is_fit_to_play(made: tuple[Path, dict[str, Any]]) -> None:
    target, _ = made
    findings = _native.check_song(target, preset="default")
    assert [f for f in findings if f["severity"] == "error"] == []
    song = _native.load_song(target)
    end_s = song.audio_seconds
    assert end_s is not None
    for level in song.difficulties:
        facts = _native.play_facts(level)
        assert not (facts["wrist_flow"] == 2).any()
        assert not (facts["alternation_flow"] == 2).any()
        for group in (level.notes(), level.bombs(), level.chains(), level.arcs()):
            assert (group["time"] >= 1.5).all()
            assert (group["time"] <= end_s - 2.0).all()
        assert set(level.notes()["color"].tolist()) == {0, 1}


def test_easier_difficulties_play_on_onsets_of_the_harder_ones(made: tuple[Path, dict[str, Any]]) -> None:
    levels = sorted(_native.load_song(made[0]).difficulties, key=lambda level: level.rank)
    beats = [set(np.round(level.notes()["beat"], 3).tolist()) for level in levels]
    for easier, harder in itertools.pairwise(beats):
        # A note of the harder one may have been left out where no place was allowed.
        assert len(easier - harder) <= max(1, 0.08 * len(easier))


def test_notes_lie_on_the_song(made: tuple[Path, dict[str, Any]]) -> None:
    target, document = made
    truth = demo.compose(bpm=BPM, offset_s=OFFSET_S, form=(("verse", 6), ("drop", 8), ("outro", 2)))
    pad_s = document["timing"]["offset_s"]
    level = _native.load_song(target).difficulties[-1]
    quarter_s = 60 / BPM / 4
    off = (level.notes()["time"] - pad_s - truth.offset_s + quarter_s / 2) % quarter_s - quarter_s / 2
    assert np.median(np.abs(off)) < 0.012
    bar_s = 4 * 60 / BPM
    first_bar_s = (truth.offset_s + pad_s) % bar_s
    assert min(first_bar_s, bar_s - first_bar_s) < 0.012, "bar lines begin at time 0"


def test_the_pack_is_complete_and_says_who_made_it(made: tuple[Path, dict[str, Any]]) -> None:
    from PIL import Image

    target, _ = made
    with zipfile.ZipFile(target) as pack:
        names = set(pack.namelist())
        info = json.loads(pack.read("Info.dat"))
        with Image.open(io.BytesIO(pack.read("cover.png"))) as cover:
            assert cover.size[0] == cover.size[1] >= 256
        assert pack.read("song.egg").startswith(b"OggS")
    assert len(names - {"Info.dat", "song.egg", "cover.png"}) == len(RANKS)
    assert (info["_songName"], info["_songAuthorName"]) == ("A Song", "Nobody")
    assert "BeatWeaver" in info["_levelAuthorName"]
    assert info["_customData"]["_editors"]["_lastEditedBy"] == "BeatWeaver"
    assert info["_songTimeOffset"] == 0
    assert 0 < info["_previewStartTime"] < 32


def test_the_same_seed_gives_the_same_bytes_and_another_one_another_level(
    made: tuple[Path, dict[str, Any]], song: Path, tmp_path: Path
) -> None:
    again, other = tmp_path / "again.zip", tmp_path / "other.zip"
    assert run("generate", song, "-o", again).exit_code == 0
    assert run("generate", song, "-o", other, "--seed", 1).exit_code == 0
    assert again.read_bytes() == made[0].read_bytes()
    notes = [_native.load_song(path).difficulties[-1].notes() for path in (again, other)]
    assert len(notes[0]["x"]) != len(notes[1]["x"]) or (notes[0]["x"] != notes[1]["x"]).any()


@pytest.mark.parametrize(("version", "major"), [("v2", "2"), ("v3", "3"), ("v4", "4")])
def test_every_format_is_taken(song: Path, tmp_path: Path, version: str, major: str) -> None:
    target = tmp_path / "level.zip"
    assert run("generate", song, "-o", target, "--format", version, "-d", "Hard").exit_code == 0
    [level] = _native.load_song(target).difficulties
    assert level.version.startswith(major)
    assert [f for f in _native.check_song(target) if f["severity"] == "error"] == []


def test_what_is_asked_for_is_what_comes(song: Path, tmp_path: Path) -> None:
    plain, dense = tmp_path / "plain.zip", tmp_path / "dense.zip"
    words = ("generate", song, "-d", "Expert", "--json")
    few = json.loads(run(*words, "-o", plain, "--nps", 2, "--bombs", "none", "--walls", "none", "--rankable").stdout)
    many = json.loads(run(*words, "-o", dense, "--nps", 5, "--bombs", "high", "--walls", "high").stdout)
    [few], [many] = few["results"][0]["difficulties"], many["results"][0]["difficulties"]
    assert (few["bombs"], few["walls"], few["chains"]) == (0, 0, 0)
    assert many["bombs"] > 0
    assert many["walls"] > 0
    assert few["nps"] == pytest.approx(2, rel=0.3), "in half a minute a few notes are much"
    assert many["nps"] == pytest.approx(5, rel=0.3)


def test_the_tempo_given_wins(song: Path, tmp_path: Path) -> None:
    result = run(
        "generate", song, "-o", tmp_path / "x.zip", "-d", "Easy", "--bpm", BPM / 2, "--offset", OFFSET_S, "--json"
    )
    [document] = json.loads(result.stdout)["results"]
    assert document["timing"]["bpm"] == pytest.approx(BPM / 2)


def test_a_plan_can_be_edited_and_handed_back(song: Path, tmp_path: Path) -> None:
    plan = tmp_path / "plan.json"
    assert run("generate", song, "-o", tmp_path / "a.zip", "-d", "Expert", "--plan-out", plan).exit_code == 0
    document = json.loads(plan.read_text())
    for bar in document["bars"][5:8]:
        bar["nps"]["Expert"] = 0
    plan.write_text(json.dumps(document))
    target = tmp_path / "b.zip"
    assert run("generate", song, "-o", target, "-d", "Expert", "--plan", plan).exit_code == 0
    beats = _native.load_song(target).difficulties[0].notes()["beat"]
    assert not ((beats >= 5 * 4) & (beats < 8 * 4)).any()
    assert (beats < 5 * 4).any()
    assert (beats >= 8 * 4).any()
    document["bars"].pop()
    plan.write_text(json.dumps(document))
    refused = run("generate", song, "-o", tmp_path / "c.zip", "-d", "Expert", "--plan", plan)
    assert refused.exit_code == 2
    assert "bars" in refused.stderr
    plan.write_text("[]")
    assert run("generate", song, "-o", tmp_path / "c.zip", "--plan", plan).exit_code == 2
    assert not (tmp_path / "c.zip").exists()


def test_one_bad_song_does_not_stop_the_others(song: Path, tmp_path: Path) -> None:
    bad = tmp_path / "bad.mp3"
    bad.write_bytes(b"this is no music" * 100)
    out = tmp_path / "out"
    result = run("generate", bad, song, tmp_path / "missing.ogg", "-o", out, "-d", "Easy", "--json")
    assert result.exit_code == 1
    first, second, third = json.loads(result.stdout)["results"]
    assert (first["ok"], second["ok"], third["ok"]) == (False, True, False)
    assert first["error"]["type"] == "AudioError"
    assert third["error"]["type"] == "FileNotFoundError"
    assert [path.name for path in out.iterdir()] == [f"{song.stem}.zip"]


@pytest.mark.parametrize(
    ("data", "word"),
    [
        (b"", "empty"),
        (b"RIFF", "audio"),
        (wav(20.0), "silent"),
        (wav(2.0, 0.1 * np.random.default_rng(0).standard_normal(16_000)), "2.0 s"),
        (wav(0.0, np.zeros(0)), ""),
    ],
    ids=["empty", "cut", "silence", "two seconds", "no samples"],
)
def test_what_is_no_song_is_refused_in_a_sentence(tmp_path: Path, data: bytes, word: str) -> None:
    path = tmp_path / "song.wav"
    path.write_bytes(data)
    result = run("generate", path, "-o", tmp_path / "out", "--json")
    assert result.exit_code == 1
    [document] = json.loads(result.stdout)["results"]
    assert document["zip"] is None
    assert word in document["error"]["message"]
    assert not list(tmp_path.glob("out/*"))


def test_what_is_no_song_but_a_broadcast_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "long.wav"
    path.write_bytes(wav(15.2 * 60))
    result = run("generate", path, "-o", tmp_path / "x.zip", "--json")
    assert result.exit_code == 1
    assert "longer than 15 min" in json.loads(result.stdout)["results"][0]["error"]["message"]


def test_six_channels_are_one_song(tmp_path: Path) -> None:
    import soundfile

    made = demo.compose(form=(("drop", 8),))
    path = tmp_path / "six.flac"
    mono = made.samples.mean(axis=1)
    soundfile.write(path, np.stack([mono] * 6, axis=1), made.sample_rate_hz)
    target = tmp_path / "six.zip"
    assert run("generate", path, "-o", target, "-d", "Hard").exit_code == 0
    assert [f for f in _native.check_song(target, preset="default") if f["severity"] == "error"] == []


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no limit of file sizes to run into")
def test_a_full_disk_is_said_and_leaves_nothing(song: Path, tmp_path: Path) -> None:
    import resource

    def small_files_only() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, 50_000))

    command = [sys.executable, "-m", "beatweaver", "generate", str(song), "-o", str(tmp_path / "x.zip"), "-d", "Easy"]
    ended = subprocess.run(command, capture_output=True, text=True, check=False, preexec_fn=small_files_only)
    assert ended.returncode == 2
    assert "large" in ended.stderr
    assert list(tmp_path.iterdir()) == []


def test_noise_gives_a_level_that_does_not_claim_to_know_the_beat(tmp_path: Path) -> None:
    path = tmp_path / "noise.wav"
    path.write_bytes(wav(0.0, 0.2 * np.random.default_rng(1).standard_normal(20 * 8000)))
    result = run("generate", path, "-o", tmp_path / "noise.zip", "-d", "Normal", "--json")
    assert result.exit_code == 0, result.output
    assert json.loads(result.stdout)["results"][0]["timing"]["confidence"] < 0.5


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--difficulty", "Hardest"), "did you mean Hard"),
        (("--nps", 90), "nps"),
        (("--format", "v5"), "format"),
        (("--bombs", "many"), "bombs"),
        (("--engine", "psychic"), "engine"),
        (("--set", "seed=-1"), "seed"),
        (("--install", "/no/such/folder"), "CustomLevels"),
        (("--patterns", "/no/such/file"), "No such file"),
    ],
)
def test_impossible_wishes_are_refused(song: Path, tmp_path: Path, words: tuple[object, ...], said: str) -> None:
    result = run("generate", song, "-o", tmp_path / "x.zip", *words)
    assert result.exit_code == 2
    assert said in result.stderr
    assert not (tmp_path / "x.zip").exists()


def test_levels_are_installed_as_folders_beside_each_other(song: Path, tmp_path: Path) -> None:
    for _ in range(2):
        assert run("generate", song, "--install", tmp_path, "-d", "Easy").exit_code == 0
    assert sorted(path.name for path in tmp_path.iterdir()) == [song.stem, f"{song.stem} (2)"]
    assert _native.load_song(tmp_path / song.stem).title == "A Song"


def test_nothing_is_left_where_writing_is_refused(song: Path, tmp_path: Path) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("in the way")
    result = run("generate", song, "-o", blocked / "x.zip", "-d", "Easy")
    assert result.exit_code == 2
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file"]


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may write anywhere")
def test_a_folder_that_may_not_be_written_is_named(song: Path, tmp_path: Path) -> None:
    home = tmp_path / "closed"
    home.mkdir(mode=0o500)
    result = run("generate", song, "-o", home / "x.zip", "-d", "Easy")
    assert result.exit_code == 2
    assert str(home) in result.stderr
    assert list(home.iterdir()) == []


def test_demo_composes_and_makes_a_level(tmp_path: Path) -> None:
    result = run("demo", "-o", tmp_path / "demo")
    assert result.exit_code == 0, result.output
    assert "CustomLevels" in result.stdout
    [level] = (tmp_path / "demo").glob("*.zip")
    assert len(_native.load_song(level).difficulties) == 5


def test_patterns_are_learnt_from_processed_maps_and_played(song: Path, tmp_path: Path) -> None:
    raw = tmp_path / "raw"
    for seed in range(0, 15, 5):
        corpora.save(raw / f"{seed}.zip", seed)
    config = ("--set", "splits=[1,0,0]", "--set", "min_seconds=1")
    assert run("process", raw, tmp_path / "data", "--no-audio", *config).exit_code == 0
    trained = run("train", tmp_path / "data", "--out", tmp_path / "run", "--engine", "classic", "--json")
    assert trained.exit_code == 0, trained.output
    weights = json.loads(trained.stdout)["weights"]
    target = tmp_path / "own.zip"
    assert run("generate", song, "-o", target, "-d", "Expert", "--patterns", weights).exit_code == 0
    assert [f for f in _native.check_song(target, preset="default") if f["severity"] == "error"] == []
    Path(weights).write_bytes(Path(weights).read_bytes()[:-40])
    assert run("generate", song, "-o", target, "--patterns", weights).exit_code == 2
    for engine in ("classic", "neural", "psychic"):
        assert run("train", tmp_path / "raw", "--out", tmp_path / "run", "--engine", engine).exit_code == 2
    # Levels without their songs, none of them held out: nothing to validate with.
    assert run("train", tmp_path / "data", "--out", tmp_path / "run").exit_code == 2


def test_a_checkpoint_of_ones_own_is_played_and_a_damaged_one_refused(song: Path, tmp_path: Path) -> None:
    import torch

    from beatweaver import checkpoint, config, data
    from beatweaver.model import Loom

    settings = config.load(Path(__file__).parents[2] / "configs" / "tiny.json")
    audio = config.build(config.AudioConfig, settings)
    target = tmp_path / "own.zip"
    weights = tmp_path / "model.safetensors"
    for vocab_size in (config.PLANNED, config.JOINT):
        model = config.build(config.ModelConfig, settings | {"vocab_size": vocab_size})
        torch.manual_seed(0)
        checkpoint.save(Loom(model, data.feature_width(model, audio)), weights, audio, {})
        options = ("-d", "Hard", "-d", "Expert", "--weights", weights, "--engine", "neural")
        made = run("generate", song, "-o", target, *options, "--json")
        assert made.exit_code == 0, made.output
        levels = json.loads(made.stdout)["results"][0]["difficulties"]
        assert all(level["parity_errors"] == 0 and level["notes"] > 0 for level in levels)
        assert [f for f in _native.check_song(target, preset="default") if f["severity"] == "error"] == []
    target.unlink()
    fine, _, _ = checkpoint.load(weights)
    checkpoint.save(fine, weights, dataclasses.replace(audio, sample_rate_hz=44_100), {})
    refused = run("generate", song, "-o", target, "--weights", weights)
    assert refused.exit_code == 2
    assert "found weights that hear at 44100 Hz, expected 22050" in refused.output
    weights.write_bytes(weights.read_bytes()[:-40])
    refused = run("generate", song, "-o", target, "--weights", weights)
    assert refused.exit_code == 2
    assert "damaged" in refused.output
    assert not target.exists()
