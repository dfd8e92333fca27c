"""`beatweaver timing` for real: a song with a known grid, what the user gives, and what is no song."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import corpora
import numpy as np
import pytest
import soundfile
from click.testing import CliRunner, Result

from beatweaver.cli import main

RATE_HZ = 22_050
BPM, OFFSET_S = 128.0, 0.35


@pytest.fixture(scope="module")
def song(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """40 s of kick, snare and hat at 128 BPM, the first beat at 0.35 s."""
    draw = np.random.default_rng(3)
    samples = 0.001 * draw.standard_normal(40 * RATE_HZ)
    decay = np.exp(-np.arange(2000) / 300)
    kick = decay * np.sin(2 * np.pi * 60 * np.arange(2000) / RATE_HZ)
    for half in range(2 * int(38 * BPM / 60)):
        at = round((OFFSET_S + half * 30 / BPM) * RATE_HZ)
        samples[at : at + 2000] += 0.2 * decay * draw.standard_normal(2000) if half % 2 else kick
        if half % 4 == 2:
            samples[at : at + 2000] += 0.5 * decay * draw.standard_normal(2000)
    path = tmp_path_factory.mktemp("song") / "song.flac"
    soundfile.write(path, samples / np.abs(samples).max(), RATE_HZ)
    return path


def run(*words: object) -> Result:
    return CliRunner().invoke(main, ["timing", *map(str, words)])


def document(*words: object) -> dict[str, Any]:
    result = run(*words, "--json")
    assert result.exit_code == 0, result.output
    found: dict[str, Any] = json.loads(result.stdout)
    return found


def test_the_document_has_the_names_people_rely_on(song: Path) -> None:
    found = document(song)
    assert set(found) >= {"bpm", "offset_s", "metre", "confidence", "regions", "beats_s", "downbeats_s", "candidates"}
    assert found["bpm"] == pytest.approx(BPM, abs=0.02)
    beat_s = 60 / BPM
    miss = (found["offset_s"] - OFFSET_S + beat_s / 2) % beat_s - beat_s / 2
    assert abs(miss) < 0.015
    assert found["regions"] == [{"time_s": found["offset_s"], "beat": 0.0, "bpm": found["bpm"]}]
    assert np.diff(found["beats_s"]) == pytest.approx(beat_s, abs=1e-4)
    assert set(found["downbeats_s"]) <= set(found["beats_s"])
    assert found["candidates"][0]["bpm"] == pytest.approx(BPM, abs=0.5)


def test_a_person_is_told_the_tempo(song: Path) -> None:
    result = run(song)
    assert result.exit_code == 0
    assert result.output.startswith("128 BPM, first beat at 0.")
    assert "confidence" in result.output


def test_what_the_user_gives_wins(song: Path, tmp_path: Path) -> None:
    found = document(song, "--bpm", 100, "--offset", 0.5)
    assert (found["bpm"], found["offset_s"]) == (100.0, 0.5)
    level = corpora.save(tmp_path / "level.zip", 1, bpm=90.0)
    found = document(song, "--from-map", level)
    assert (found["bpm"], found["offset_s"]) == (90.0, 0.0)
    assert document(song, "--from-map", level, "--bpm", 91)["bpm"] == 91.0


def test_the_picture_is_drawn(song: Path, tmp_path: Path) -> None:
    document(song, "--plot", tmp_path / "grid.png")
    assert (tmp_path / "grid.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize(
    ("words", "kind"),
    [
        (["nowhere.ogg"], "FileNotFoundError"),
        (["text.ogg"], "AudioError"),
        (["song", "--bpm", "-3"], "ConfigError"),
        (["song", "--offset", "nan"], "ConfigError"),
        (["song", "--from-map", "text.ogg"], "MapError"),
    ],
)
def test_what_cannot_run_says_why(song: Path, tmp_path: Path, words: list[str], kind: str) -> None:
    (tmp_path / "text.ogg").write_text("no song")
    places = {"song": song, "nowhere.ogg": tmp_path / "nowhere.ogg", "text.ogg": tmp_path / "text.ogg"}
    result = run(*(places.get(word, word) for word in words), "--json")
    assert result.exit_code == 2
    assert json.loads(result.stdout)["error"]["type"] == kind
