"""Whole corpora made in code, for tests: small packs, varied, nobody's work."""

from __future__ import annotations

import io
import random
import wave
import zipfile
from collections.abc import Iterable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from beatweaver import _native

DIFFICULTIES = ("Easy", "Normal", "Hard", "Expert", "ExpertPlus")


def level(seed: int, name: str = "ExpertPlus", *, beats: int = 64, bpm: float = 120.0, **groups: Any) -> Any:
    """A level of one note per half beat, its places and directions drawn by `seed`."""
    draw = random.Random(seed)
    count = beats * 2
    notes = {
        "beat": [4 + i / 2 for i in range(count)],
        "x": [draw.randrange(4) for _ in range(count)],
        "y": [draw.randrange(3) for _ in range(count)],
        "color": [i % 2 for i in range(count)],
        "cut": [draw.randrange(9) for _ in range(count)],
    }
    lights = {"beat": list(range(beats)), "kind": [draw.randrange(5) for _ in range(beats)], "value": [1] * beats}
    columns: dict[str, Any] = {"notes": notes, "lights": lights} | groups
    return _native.Difficulty.from_arrays(name=name, bpm=bpm, **columns)


def clicks(seed: int, at_s: Iterable[float], seconds: float, *, rate_hz: int = 8000) -> bytes:
    """A wav file with a click at each of these times, and a little noise, drawn by `seed`."""
    draw = np.random.default_rng(seed)
    samples = 0.01 * draw.standard_normal(int(seconds * rate_hz))
    for time_s in at_s:
        begin = int(time_s * rate_hz)
        click = 0.5 * draw.standard_normal(400) * np.exp(-np.arange(400) / 60)
        samples[begin : begin + 400] += click[: len(samples) - begin]
    file = io.BytesIO()
    with wave.open(file, "wb") as writer:
        writer.setnchannels(1)
        writer.setsampwidth(1)
        writer.setframerate(rate_hz)
        writer.writeframes((np.clip(samples, -1, 1) * 127 + 128).astype(np.uint8).tobytes())
    return file.getvalue()


@cache
def sound(seed: int = 0, *, seconds: float = 37.0, bpm: float = 120.0, rate_hz: int = 8000) -> bytes:
    """Clicks on each half beat from the fourth beat on."""
    return clicks(seed, [half * 30 / bpm for half in range(8, int(seconds * bpm / 30))], seconds, rate_hz=rate_hz)


def save(path: Path, seed: int, *, levels: list[Any] | None = None, bpm: float = 120.0, **info: Any) -> Path:
    """A pack at `path` (a zip if it ends so); title, artist and song follow from the seed unless given."""
    path.parent.mkdir(parents=True, exist_ok=True)
    known = {"title": f"Song {seed}", "artist": f"Artist {seed}", "mapper": "tests", "audio": sound(seed % 3)}
    levels = levels or [level(seed, name, bpm=bpm) for name in DIFFICULTIES[seed % 5 :]]
    _native.save_song(path, levels, bpm=bpm, **known | info)
    return path


def broken(path: Path) -> Path:
    """A pack whose Info is no JSON."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("Info.dat", "<<<<<<< HEAD\n{")
    return path


def corpus(root: Path, count: int = 40) -> Path:
    """A folder of `count` zips and folders, a broken pack and a file that is none."""
    for seed in range(count):
        save(root / ("deep/er" if seed % 7 == 0 else "") / (f"map{seed}.zip" if seed % 3 else f"map{seed}"), seed)
    broken(root / "broken.zip")
    (root / "readme.txt").write_text("not a map")
    return root
