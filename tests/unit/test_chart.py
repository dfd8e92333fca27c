"""The picture of a level: its size, that it shows the level, and what cannot be drawn."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import corpora
import numpy as np
import pytest
from PIL import Image

from beatweaver import _native, chart
from beatweaver.errors import ConfigError, MapError, MissingExtraError


def _pixels(path: Path) -> Any:
    with Image.open(path) as picture:
        assert picture.format == "PNG"
        return np.asarray(picture.convert("RGB")).astype(int)


def test_a_picture_has_the_size_it_says_and_shows_the_level(tmp_path: Path) -> None:
    added: dict[str, Any] = {
        "bombs": {"beat": [9.0, 17.0], "x": [0, 3]},
        "obstacles": {"beat": [12.0, 20.0], "duration_beats": [2, 1], "x": [0, 3], "width": [1, 1], "height": [5, 5]},
        "arcs": {"beat": [24.0], "tail_beat": [26.0], "x": [1], "tail_x": [2], "cut": [1], "tail_cut": [0]},
    }
    levels = [corpora.level(1, "Hard"), corpora.level(2, "Expert"), corpora.level(2, "ExpertPlus", **added)]
    pack = corpora.save(tmp_path / "pack.zip", 1, levels=levels)
    drawn = {}
    for name in ("Hard", "Expert", None):
        document = chart.draw(pack, tmp_path / f"{name}.png", difficulty=name)
        assert document["out"] == str(tmp_path / f"{name}.png")
        assert document["difficulty"] == (name or "ExpertPlus")
        drawn[name] = _pixels(tmp_path / f"{name}.png")
        assert drawn[name].shape == (document["height"], document["width"], 3)
    # The title tells the levels apart as well: below it the notes have to.
    assert (drawn["Hard"][80:] != drawn["Expert"][80:]).any(axis=2).mean() > 0.005
    assert (drawn["Expert"][80:] != drawn[None][80:]).any(axis=2).mean() > 0.002
    assert not list(tmp_path.glob(".*"))


def test_every_note_is_drawn_in_its_hands_colour(tmp_path: Path) -> None:
    shares = []
    for count, color in ((1, 0), (4, 0), (4, 1)):
        columns = {
            "beat": [8.0 + k for k in range(count)],
            "x": [1.0] * count,
            "y": [1.0] * count,
            "cut": [8.0] * count,
            "color": [float(color)] * count,
        }
        level = _native.Difficulty.from_arrays(name="Expert", bpm=120.0, notes=columns)
        pack = corpora.save(tmp_path / f"{count}{color}.zip", 0, levels=[level])
        chart.draw(pack, tmp_path / "out.png", from_s=0, to_s=8)
        pixels = _pixels(tmp_path / "out.png")
        red = (pixels[..., 0] > 180) & (pixels[..., 1] < 80) & (pixels[..., 2] < 90)
        is_blue = (pixels[..., 0] < 80) & (pixels[..., 2] > 180)
        shares.append((int(red.sum()), int(is_blue.sum())))
    (red1, blue1), (red4, blue4), (no_red, blue) = shares
    assert red1 > 10 and blue1 == 0 and blue4 == 0 and no_red == 0
    assert red4 == pytest.approx(4 * red1, rel=0.2)
    assert blue == pytest.approx(red4, rel=0.3)


def test_the_span_decides_the_height(tmp_path: Path) -> None:
    pack = corpora.save(tmp_path / "pack", 1, levels=[corpora.level(1, "Expert")])
    short = chart.draw(pack / "Info.dat", tmp_path / "a.png", from_s=4, to_s=9)
    long = chart.draw(pack, tmp_path / "b.png", from_s=0, to_s=25)
    assert long["height"] > short["height"]
    assert long["width"] == short["width"]


def test_a_level_without_its_song_is_drawn_without_sound(tmp_path: Path) -> None:
    pack = corpora.save(tmp_path / "pack", 1, levels=[corpora.level(1, "Expert")])
    chart.draw(pack, tmp_path / "heard.png")
    for sound in pack.glob("song.*"):
        sound.unlink()
    chart.draw(pack, tmp_path / "silent.png")
    heard, silent = _pixels(tmp_path / "heard.png"), _pixels(tmp_path / "silent.png")
    assert heard.shape == silent.shape
    assert (heard != silent).any()


def test_what_cannot_be_drawn_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pack = corpora.save(tmp_path / "pack.zip", 1, levels=[corpora.level(1, "Expert")])
    out = tmp_path / "out.png"
    with pytest.raises(ConfigError, match="no Standard level 'Easy', expected one of Expert"):
        chart.draw(pack, out, difficulty="Easy")
    for span in ((5.0, 5.0), (-1.0, 5.0), (0.0, 1e9), (float("nan"), 5.0)):
        with pytest.raises(ConfigError, match="found the span"):
            chart.draw(pack, out, from_s=span[0], to_s=span[1])
    other = [_native.Difficulty.from_arrays(characteristic="Lawless", name="Expert", bpm=120.0, notes={"beat": [4.0]})]
    with pytest.raises(MapError, match="no Standard level"):
        chart.draw(corpora.save(tmp_path / "lawless.zip", 2, levels=other), out)
    with pytest.raises(FileNotFoundError):
        chart.draw(tmp_path / "nowhere.zip", out)
    with pytest.raises(FileNotFoundError):
        chart.draw(pack, tmp_path / "no" / "folder.png", to_s=5)
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(MissingExtraError) as caught:
        chart.draw(pack, out)
    assert caught.value.hint == "pip install 'beatweaver[plot]'"
    assert not out.exists()
