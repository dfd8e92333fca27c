"""A small processed corpus to learn from, made in code: songs in which there is a click on every note."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import corpora
import numpy as np

from beatweaver.config import ModelConfig, ProcessConfig, TrainConfig
from beatweaver.process import process

BPM = 120.0
MODEL: dict[str, Any] = {
    "conv_blocks": 2,
    "encoder_layers": 1,
    "encoder_dim": 16,
    "encoder_heads": 2,
    "encoder_ff_dim": 16,
    "decoder_layers": 1,
    "decoder_dim": 16,
    "decoder_heads": 2,
    "decoder_ff_dim": 16,
    "kv_groups": 2,
    "dropout": 0.0,
}
TRAIN: dict[str, Any] = {
    "device": "cpu",
    "batch_size": 2,
    "notes_per_level": 32,
    "silent_levels": 1,
    "warmup_steps": 2,
    "max_epochs": 2,
    "early_stopping_patience": 0,
}


def model(**changes: Any) -> ModelConfig:
    """The smallest transformer that has every part."""
    return ModelConfig(**MODEL | changes)


def training(**changes: Any) -> TrainConfig:
    """A short training on the CPU."""
    return TrainConfig(**TRAIN | changes)


def level(seed: int, name: str, beats: int) -> tuple[Any, list[float]]:
    """A level with a note on some of the half beats from the fourth on, sometimes of both hands, and its beats."""
    draw = np.random.default_rng(seed)
    onsets = [4 + half / 2 for half in range(2 * (beats - 6)) if draw.random() < 0.7]
    notes: dict[str, list[float]] = {"beat": [], "x": [], "y": [], "color": [], "cut": []}
    for number, beat in enumerate(onsets):
        both = draw.random() < 0.25
        for hand in (0, 1) if both else (number % 2,):
            row = (beat, 1 + hand, int(draw.integers(3)), hand, int(draw.integers(2)))
            for key, value in zip(notes, row, strict=True):
                notes[key].append(value)
    return corpora.level(seed, name, bpm=BPM, notes=notes), onsets


def fill(raw: Path, seeds: Iterable[int]) -> None:
    """Five songs to learn from, one of them official, two without audio, one to validate and one to test with.

    The third one is here twice, by another mapper and with notes that are not all on clicks.
    """
    manifest = []
    for seed in seeds:
        name = f"map{seed}.zip"
        beats = 44 + 6 * (seed % 4)
        levels = [level(seed, "ExpertPlus", beats)]
        if seed % 2:
            levels.append(level(seed, "Easy", beats))
        clicks = [beat * 60 / BPM for beat in levels[0][1]]
        heard = corpora.clicks(seed, clicks, beats * 60 / BPM) if seed not in (5, 6) else b"OggS not really"
        mapper = "Beat Games" if seed == 1 else "tests"
        corpora.save(raw / name, seed, levels=[made for made, _ in levels], audio=heard, mapper=mapper)
        manifest.append({"file": f"raw/{name}", "split": {7: "val", 8: "test"}.get(seed, "train")})
        if seed == 2:
            corpora.save(raw / "again.zip", seed, levels=[level(100, "Hard", beats)[0]], audio=heard, mapper="another")
    (raw.parent / "manifest.json").write_text(json.dumps(manifest))


def processed(folder: Path, seeds: Iterable[int] = range(9)) -> Path:
    """`fill`, processed; of `seeds` 7 is to validate and 8 to test with."""
    fill(folder / "raw", seeds)
    process(folder / "raw", folder / "data", ProcessConfig(threads=1))
    return folder / "data"
