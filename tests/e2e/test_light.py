"""`beatweaver light`: new lights, and nothing else, in packs of every version."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import corpora
import pytest
from click.testing import CliRunner, Result

from beatweaver import _native, lighting
from beatweaver.cli import main
from beatweaver.errors import ConfigError
from beatweaver.lighting import is_dark


def run(*words: object) -> Result:
    return CliRunner().invoke(main, ["light", *map(str, words)])


def played(level: Any) -> list[Any]:
    groups = (level.notes(), level.bombs(), level.obstacles(), level.arcs(), level.chains())
    return [{name: column.tolist() for name, column in group.items()} for group in groups]


def dark(seed: int, name: str) -> Any:
    return corpora.level(seed, name, lights={"beat": [], "kind": [], "value": []})


@pytest.mark.parametrize("version", [2, 3, 4])
@pytest.mark.parametrize("suffix", ["", ".zip"])
def test_only_the_lights_change(tmp_path: Path, version: int, suffix: str) -> None:
    source = corpora.save(tmp_path / "a.zip", 3, levels=[dark(1, "Hard"), corpora.level(2, "Expert")], version=version)
    out = tmp_path / f"b{suffix}"
    result = run(source, out, "--json")
    assert result.exit_code == 0, result.output
    document = json.loads(result.stdout)
    assert [row["difficulty"] for row in document["difficulties"]] == ["Hard", "Expert"]
    before, after = _native.load_song(source), _native.load_song(out)
    assert (after.title, after.bpm, after.audio_name) == (before.title, before.bpm, before.audio_name)
    for old, new, row in zip(before.difficulties, after.difficulties, document["difficulties"], strict=True):
        assert played(old) == played(new)
        assert new.version.split(".")[0] == str(version)
        assert not is_dark(new)
        assert row["light_events"] == len(new.lights()["beat"]) + len(new.boosts()["beat"])
    errors = [f for f in _native.check_song(out) if f["severity"] == "error" and not f["rule"].startswith("cover")]
    assert errors == [
        f for f in _native.check_song(source) if f["severity"] == "error" and not f["rule"].startswith("cover")
    ]


def test_keep_leaves_what_is_lit(tmp_path: Path) -> None:
    source = corpora.save(tmp_path / "a.zip", 3, levels=[dark(1, "Hard"), corpora.level(2, "Expert")])
    result = run(source, tmp_path / "b.zip", "--keep", "--json")
    assert [row["difficulty"] for row in json.loads(result.stdout)["difficulties"]] == ["Hard"]
    lit = [
        song.difficulties[1].lights()["beat"].tolist() for song in map(_native.load_song, (source, tmp_path / "b.zip"))
    ]
    assert lit[0] == lit[1]
    again = run(tmp_path / "b.zip", tmp_path / "c.zip", "--keep")
    assert again.exit_code == 0
    assert "lights already" in again.stdout


@pytest.mark.parametrize("version", [2, 4])
def test_a_stage_with_group_lights_is_said(tmp_path: Path, version: int) -> None:
    source = corpora.save(tmp_path / "a.zip", 3, environment="WeaveEnvironment", version=version)
    result = run(source, tmp_path / "b.zip", "--json")
    assert result.exit_code == 0, result.output
    (warning,) = json.loads(result.stdout)["warnings"]
    assert "WeaveEnvironment" in warning
    said = [line for line in run(source, tmp_path / "c.zip").stdout.splitlines() if "warning" in line]
    assert len(said) == 1
    plain = corpora.save(tmp_path / "d.zip", 3, environment="NiceEnvironment", version=version)
    assert json.loads(run(plain, tmp_path / "e.zip", "--json").stdout)["warnings"] == []


def test_stages_with_group_lights_are_stages(tmp_path: Path) -> None:
    for stage in lighting.GROUP_LIT:
        source = corpora.save(tmp_path / f"{stage}.zip", 3, environment=stage)
        assert "environment-unknown" not in {finding["rule"] for finding in _native.check_song(source)}
        assert set(_native.load_song(source).environments) == {stage}


def test_nothing_is_overwritten_and_no_level_is_no_level(tmp_path: Path) -> None:
    source = corpora.save(tmp_path / "a.zip", 3)
    data = source.read_bytes()
    assert run(source, source).exit_code == 2
    assert source.read_bytes() == data
    assert run(tmp_path / "missing.zip", tmp_path / "b.zip").exit_code == 2
    assert not (tmp_path / "b.zip").exists()


def test_what_cannot_be_relit_is_said(tmp_path: Path) -> None:
    source = corpora.save(tmp_path / "a.zip", 3)
    groups = {"lights": {"beat": [1.0]}}
    for lights in ({("Standard", "Impossible"): groups}, {("Standard", "Expert"): {"notes": {"beat": [1.0]}}}):
        with pytest.raises(ConfigError, match=r"lights|notes"):
            _native.relight_song(source, tmp_path / "b.zip", lights)
    assert not (tmp_path / "b.zip").exists()
