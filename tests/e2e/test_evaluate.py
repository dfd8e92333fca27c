"""`beatweaver evaluate` and `plot` for real, on a corpus of two composed songs."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import corpora
import pytest
from click.testing import CliRunner, Result

from beatweaver import _native, demo, evaluate, generate, measures, timing
from beatweaver.cli import main
from beatweaver.config import GenerateConfig


def run(*words: object) -> Result:
    return CliRunner().invoke(main, list(map(str, words)))


@pytest.fixture(scope="module")
def raw(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two songs of val, each with a level that the engine made of it on its true grid, and another of train."""
    folder = tmp_path_factory.mktemp("corpus") / "raw"
    rows = []
    for seed, bpm in ((0, 128.0), (1, 140.0)):
        song = demo.compose(seed=seed, bpm=bpm)
        ogg = song.ogg()
        samples = _native.decode_audio(ogg, sample_rate_hz=timing.TimingConfig().sample_rate_hz)
        first_s = float(song.beats_s[0])
        grid = timing.estimate_grid(timing.onset_envelope(samples), bpm=bpm, offset_s=first_s)
        config = GenerateConfig(difficulties=("Expert",), nps=4.0, seed=9)
        made = generate.draft(samples, grid, config)["Expert"]
        notes = dict(made.difficulty.notes())
        # The level as a person would have it whose song is not padded.
        notes["beat"] = notes["beat"] - made.pad_s * bpm / 60.0
        level = _native.Difficulty.from_arrays(
            name="Expert", bpm=bpm, notes={k: notes[k] for k in ("beat", "x", "y", "color", "cut")}
        )
        corpora.save(folder / f"song{seed}.zip", seed, levels=[level], bpm=bpm, audio=ogg)
        rows.append({"file": f"raw/song{seed}.zip", "split": "val"})
    corpora.save(folder / "other.zip", 7, levels=[corpora.level(7, "Expert")])
    rows.append({"file": "raw/other.zip", "split": "train"})
    (folder.parent / "manifest.json").write_text(json.dumps(rows))
    return folder


def test_the_document_has_the_names_people_rely_on(raw: Path, tmp_path: Path) -> None:
    result = run("evaluate", raw, "--split", "val", "--out", tmp_path, "--json")
    assert result.exit_code == 0, result.output
    found: dict[str, Any] = json.loads(result.stdout)
    assert set(found) >= {"split", "engine", "songs", "metrics", "baselines", "per_song"}
    assert (found["split"], found["engine"], found["songs"], len(found["per_song"])) == ("val", "neural", 2, 2)
    assert set(found["metrics"]) == {name + suffix for name in measures.METRICS for suffix in ("", "_true_grid")}
    for metric in found["metrics"].values():
        assert set(metric) >= {"value", "low", "high", "human", "floor"}
        assert metric["human"] is None or set(metric["human"]) == {"q25", "q50", "q75"}
        if metric["low"] is not None:
            assert metric["low"] <= metric["value"] + 1e-9
            assert metric["value"] <= metric["high"] + 1e-9
    floors = found["baselines"]
    names = ("metronome_half", "metronome_quarter", "flux")
    assert set(floors) == {f"{name}_{grid}_grid" for name in names for grid in ("estimated", "true")}
    best = max(scores["onset_f1_50"] for name, scores in floors.items() if name.endswith("true_grid"))
    assert found["metrics"]["onset_f1_50_true_grid"]["floor"] == best
    # The "people" are the engine itself with another seed: on the same grid rhythm is decided by the sound alone.
    assert found["metrics"]["onset_f1_50_true_grid"]["value"] > 0.9
    assert found["metrics"]["errors_per_1000_true_grid"]["value"] == 0
    assert abs(found["per_song"][0]["bpm_estimated"] - 128) < 0.1

    page = (tmp_path / "evaluation.html").read_text("utf-8")
    assert "<svg" in page
    assert not re.search(r"(src|href)=|https?://|@import|url\(", page)
    assert all(name in page for name in measures.METRICS)
    assert json.loads((tmp_path / "evaluation.json").read_text("utf-8")) == found
    [line] = (tmp_path / "history.jsonl").read_text("utf-8").splitlines()
    assert json.loads(line)["metrics"]["nps"] == found["metrics"]["nps"]["value"]


def test_a_later_run_shows_the_difference(raw: Path, tmp_path: Path) -> None:
    words = ("evaluate", raw, "--split", "val", "--songs", 1, "--out", tmp_path)
    first = run(*words)
    assert first.exit_code == 0, first.output
    assert "change" not in first.output
    history = tmp_path / "history.jsonl"
    before = json.loads(history.read_text("utf-8"))
    before["metrics"]["nps"] -= 1.5
    history.write_text(json.dumps(before) + "\n")
    # A run of other settings is none to compare with.
    assert "change" not in run(*words, "--seed", 3).output
    again = run(*words, "--json")
    found = json.loads(again.stdout)
    assert found["previous"]["date"] == before["date"]
    assert found["metrics"]["nps"]["change"] == pytest.approx(1.5)
    assert found["metrics"]["doubles"]["change"] == 0.0
    assert len(history.read_text("utf-8").splitlines()) == 3
    assert "change" in run(*words).output
    history.write_text("no json\n")
    broken = run(*words)
    assert broken.exit_code == 2
    assert "line 1 is no run" in broken.output


def test_a_level_is_like_itself(raw: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Were the generated level the human one, F1 would be 1 and all that both have would be equal."""
    real = generate.draft

    def copied(samples: Any, grid: Any, config: Any, **options: Any) -> Any:
        [(name, made)] = real(samples, grid, config, **options).items()
        human = _native.load_song(raw / "song0.zip").difficulties[0]
        bpm = made.sound.grid.bpm
        notes = {key: human.notes()[key] for key in ("x", "y", "color", "cut")}
        notes["beat"] = (human.notes()["time"] + made.pad_s) * bpm / 60.0
        level = _native.Difficulty.from_arrays(name=name, bpm=bpm, notes=notes)
        return {name: generate.Draft(difficulty=level, sound=made.sound, pad_s=made.pad_s, left_out=0, refused=0)}

    monkeypatch.setattr(generate, "draft", copied)
    found = evaluate.evaluate(raw, split="val", songs=1)
    metrics = found["metrics"]
    for name in ("onset_f1_20", "onset_f1_50", "onset_precision_50", "onset_recall_50", "onset_f1_50_span"):
        assert metrics[f"{name}_true_grid"]["value"] == 1.0, name
    assert metrics["onset_shift_ms_true_grid"]["value"] == 0.0
    assert metrics["empty_bars_filled_true_grid"]["value"] in (0.0, None)
    assert metrics["nps_error_true_grid"]["value"] == pytest.approx(0.0, abs=1e-6)
    compared = 0
    for name in measures.METRICS:
        human, value = metrics[f"{name}_true_grid"]["human"], metrics[f"{name}_true_grid"]["value"]
        # The level begins later than the human one: that alone takes the warning of a hot start away.
        if human is not None and name != "warnings_per_1000":
            assert value == pytest.approx(human["q50"], abs=1e-6), name
            compared += 1
    assert compared > 25


def test_refusals(raw: Path, tmp_path: Path) -> None:
    for words, said in (
        (("evaluate", raw, "--split", "dev"), "is not one of"),
        (("evaluate", raw), "--split"),
        (("evaluate", tmp_path, "--split", "all"), "found no pack"),
        (("evaluate", raw, "--split", "test"), "no pack of split test"),
        (("evaluate", raw, "--split", "val", "--songs", 0), "--songs"),
        (("evaluate", raw, "--split", "val", "-d", "Extreme"), "no difficulty 'Extreme'"),
        (("plot", raw / "song0.zip"), "--out"),
        (("plot", raw / "song0.zip", "-o", tmp_path / "x.png", "-d", "Easy"), "no Standard level 'Easy'"),
        (("plot", raw / "song0.zip", "-o", tmp_path / "x.png", "--from", 9, "--to", 3), "found the span"),
    ):
        result = run(*words)
        assert result.exit_code == 2, words
        assert said in " ".join(result.output.split()), result.output


def test_plot_writes_what_it_says(raw: Path, tmp_path: Path) -> None:
    result = run("plot", raw / "song0.zip", "-o", tmp_path / "level.png", "--from", 5, "--to", 20, "--json")
    assert result.exit_code == 0, result.output
    document = json.loads(result.stdout)
    assert set(document) == {"out", "difficulty", "width", "height"}
    data = (tmp_path / "level.png").read_bytes()
    assert data[:8] == b"\x89PNG\r\n\x1a\n"
    size = [int.from_bytes(data[at : at + 4], "big") for at in (16, 20)]
    assert size == [document["width"], document["height"]]
    assert "ExpertPlus" not in document["difficulty"]
    assert str(document["width"]) in run("plot", raw / "song0.zip", "-o", tmp_path / "again.png", "--to", 20).output
