"""What `evaluate` cannot measure is told in a sentence, counted, and said before the work."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import corpora
import numpy as np
import pytest

from beatweaver import _native, evaluate
from beatweaver.errors import ConfigError, MapError, MissingExtraError


def test_without_mir_eval_the_install_command_is_told(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setitem(__import__("sys").modules, "mir_eval", None)
    monkeypatch.setitem(__import__("sys").modules, "mir_eval.onset", None)
    with pytest.raises(MissingExtraError) as caught:
        evaluate.evaluate(tmp_path)
    assert caught.value.hint == "pip install 'beatweaver[evaluate]'"


def test_what_cannot_be_measured_is_told(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        evaluate.evaluate(tmp_path / "nowhere", split="all")
    with pytest.raises(MapError, match="no pack"):
        evaluate.evaluate(tmp_path, split="all")
    with pytest.raises(ConfigError, match="'dev', expected one of train, val, test, all"):
        evaluate.evaluate(tmp_path, split="dev")
    with pytest.raises(ConfigError, match="no difficulty 'Hardest'"):
        evaluate.evaluate(tmp_path, difficulties=["Hardest"])
    with pytest.raises(ConfigError, match="songs: found 0"):
        evaluate.evaluate(tmp_path, songs=0)
    corpora.save(tmp_path / "one.zip", 1, levels=[corpora.level(1, "Hard")])
    with pytest.raises(ConfigError, match=r"no manifest\.json") as caught:
        evaluate.evaluate(tmp_path, split="val")
    assert caught.value.hint == "--split all takes every pack"
    (tmp_path / "manifest.json").write_text(json.dumps([{"file": "one.zip", "split": "train"}]))
    with pytest.raises(ConfigError, match="no pack of split val"):
        evaluate.evaluate(tmp_path, split="val")
    with pytest.raises(ConfigError, match="no Expert or ExpertPlus level of split train"):
        evaluate.evaluate(tmp_path, split="train")


def test_why_levels_are_left_out_is_counted(tmp_path: Path) -> None:
    """No audio, few notes, notes on no grid, a change of tempo: each is named."""
    folder = corpora.save(tmp_path / "silent", 1, levels=[corpora.level(1, "Expert")])
    (folder / "song.egg").unlink()
    few: dict[str, Any] = {"beat": [4.0 + k for k in range(20)], "x": [1] * 20, "cut": [k % 2 for k in range(20)]}
    corpora.save(tmp_path / "few.zip", 2, levels=[_native.Difficulty.from_arrays(name="Expert", bpm=120, notes=few)])
    draw = np.random.default_rng(0)
    loose: dict[str, Any] = {
        "beat": np.sort(draw.uniform(4, 60, 100)),
        "x": [1] * 100,
        "cut": [k % 2 for k in range(100)],
    }
    corpora.save(tmp_path / "no.zip", 4, levels=[_native.Difficulty.from_arrays(name="Expert", bpm=120, notes=loose)])
    changing = corpora.level(5, "Expert", tempo={"beat": [16.0], "bpm": [140.0]})
    corpora.save(tmp_path / "tempo.zip", 5, levels=[changing])
    corpora.broken(tmp_path / "broken.zip")
    with pytest.raises(ConfigError, match="that can be measured") as caught:
        evaluate.evaluate(tmp_path, split="all")
    assert "1 cannot be read" in str(caught.value)
    for reason in ("1 without audio", "1 with fewer than 50 notes", "1 with notes on no grid", "1 with tempo changes"):
        assert reason in str(caught.value)


def test_sound_that_is_none_is_told(tmp_path: Path) -> None:
    corpora.save(tmp_path / "noise.zip", 1, levels=[corpora.level(1, "Expert")], audio=b"OggS" + bytes(400))
    with pytest.raises(ConfigError, match="that can be heard"):
        evaluate.evaluate(tmp_path, split="all")
