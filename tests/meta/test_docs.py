"""The pages people copy from: examples run and print what they say, the rules are those there are."""

from __future__ import annotations

import contextlib
import io
import os
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import packs
from click.testing import CliRunner

from beatweaver import _native
from beatweaver.cli import main

if TYPE_CHECKING:
    import pytest

FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def _examples(page: Path) -> list[tuple[int, str, str | None]]:
    """Line, code, and the text that follows as its output."""
    text = page.read_text("utf-8")
    blocks = [(text.count("\n", 0, m.start()) + 2, m[1], m[2]) for m in FENCE.finditer(text)]
    found = []
    for (line, kind, body), (_, following, output) in zip(blocks, [*blocks[1:], (0, "", "")], strict=True):
        if kind == "python":
            found.append((line, body, output if following == "text" else None))
    assert sum(kind == "text" for _, kind, _ in blocks) == sum(output is not None for _, _, output in found)
    return found


def test_the_examples_print_what_they_say(root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    page = root / "docs" / "scripts.md"
    easy = packs.level("Easy", notes={"beat": [4, 6, 8, 10], "x": [1, 2, 1, 2], "color": [0, 1, 0, 1], "cut": [1] * 4})
    notes = {"beat": range(4, 12), "x": [1, 2] * 4, "color": [0, 1] * 4, "cut": [1] * 8}
    wall = {"beat": [14], "duration_beats": [1], "width": [1], "height": [5]}
    hard = packs.level("Hard", notes=notes, bombs={"beat": [5, 7], "x": [0, 3]}, obstacles=wall)
    packs.save(tmp_path / "my map.zip", easy, hard)
    (tmp_path / "song.egg").write_bytes(packs.AUDIO)
    (tmp_path / "cover.png").write_bytes(packs.cover())
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {}
    examples = _examples(page)
    assert len(examples) > 10
    for line, code, output in examples:
        said = io.StringIO()
        with contextlib.redirect_stdout(said):
            # Padded, so that a traceback names the line of the page.
            exec(compile("\n" * (line - 1) + code, str(page), "exec"), names)  # noqa: S102 - our own page
        assert said.getvalue() == (output or ""), f"{page.name}:{line}"


def test_every_rule_is_on_the_page(root: Path) -> None:
    page = root / "docs" / "findings.md"
    before, heading, _ = page.read_text("utf-8").partition("## Rules\n")
    assert heading
    order = ("error", "rank", "warning", "info")
    rules = sorted(_native.check_rules(), key=lambda rule: order.index(rule[1]))
    rows = "".join(f"| `{name}` | {severity} | {about} |\n" for name, severity, about in rules)
    wanted = f"{before}{heading}\n| rule | severity | what it is about |\n| --- | --- | --- |\n{rows}"
    if os.environ.get("UPDATE_SNAPSHOTS"):
        page.write_text(wanted, "utf-8")
    assert page.read_text("utf-8") == wanted, "docs/findings.md is out of date: UPDATE_SNAPSHOTS=1 writes it anew"


def test_every_rule_of_play_is_on_the_page(root: Path) -> None:
    page = root / "docs" / "rules.md"
    before, heading, _ = page.read_text("utf-8").partition("## Rules\n")
    assert heading
    presets = _native.play_presets()
    order = ("error", "rank", "warning", "info")
    rows = []
    for rule in sorted(_native.play_rules(), key=lambda rule: order.index(rule["severity"])):
        columns = []
        for at, preset in enumerate(presets):
            numbers = [f"{name} {values[at]:g}" for name, values in rule["limits"].items()]
            columns.append("<br>".join(numbers) or "yes" if preset in rule["presets"] else "-")
        told = ("as default" if at and column == columns[0] else column for at, column in enumerate(columns))
        rows.append(
            f"| `{rule['rule']}` | {rule['severity']} | {rule['about']} | {' | '.join(told)} | {rule['source']} |\n"
        )
    head = f"| rule | severity | what breaks it | {' | '.join(presets)} | from |\n"
    wanted = f"{before}{heading}\n{head}|{' --- |' * (len(presets) + 4)}\n{''.join(rows)}"
    if os.environ.get("UPDATE_SNAPSHOTS"):
        page.write_text(wanted, "utf-8")
    assert page.read_text("utf-8") == wanted, "docs/rules.md is out of date: UPDATE_SNAPSHOTS=1 writes it anew"


def _readme_level(path: Path) -> Path:
    shared: dict[str, Any] = {
        "tempo": {"beat": [20], "bpm": [140]},
        "lights": {"beat": np.arange(38), "kind": [1, 4] * 19, "value": [5, 1] * 19},
    }

    def notes(step: float) -> dict[str, Any]:
        beats = np.arange(4, 38, step)
        side = np.arange(len(beats)) % 2
        return {"beat": beats, "x": 1 + side, "color": side, "cut": np.arange(len(beats)) // 2 % 2}

    levels = [
        packs.level("Easy", notes=notes(1), **shared),
        packs.level(
            "ExpertPlus",
            notes=notes(0.25),
            bombs={"beat": [6, 10, 14], "x": [0, 3, 0]},
            obstacles={"beat": [8, 16], "duration_beats": [2, 2], "x": [0, 3], "width": [1, 1], "height": [5, 5]},
            arcs={"beat": [4], "tail_beat": [6], "x": [1], "tail_x": [2]},
            **shared,
        ),
        packs.level("Hard", "OneSaber", notes=notes(0.5), **shared),
    ]
    return packs.save(path, *levels, title="Song of the Readme")


def test_the_readme_shows_what_inspect_prints(root: Path, tmp_path: Path) -> None:
    text = (root / "README.md").read_text("utf-8")
    shown = re.search(r"^\$ beatweaver inspect [^\n]+\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    assert shown is not None
    path = str(_readme_level(tmp_path / "level.zip"))
    printed = CliRunner().invoke(main, ["inspect", path], env={"COLUMNS": "100"}).stdout
    # The hash is that of the bytes: it changes whenever the writer does.
    one, other = (re.sub(r"[0-9a-f]{40}", "hash", said) for said in (printed, shown[1]))
    assert [line.rstrip() for line in one.splitlines()] == other.splitlines()
