"""The command line changes only on purpose: help texts and options are snapshots."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import click
import snapshot
from click.testing import CliRunner

from beatweaver.cli import main


def _commands(group: click.Group, path: str = "beatweaver") -> Iterator[tuple[str, click.Command]]:
    yield path, group
    for name, command in sorted(group.commands.items()):
        yield f"{path} {name}", command


def test_help_texts() -> None:
    texts = []
    for path, _ in _commands(main):
        result = CliRunner().invoke(main, [*path.split()[1:], "--help"], terminal_width=100)
        assert result.exit_code == 0
        texts.append(f"$ {path} --help\n{result.stdout}\n")
    snapshot.check("help.txt", "".join(texts))


def test_options() -> None:
    lines = []
    for path, command in _commands(main):
        for parameter in command.params:
            spelled = " ".join([*parameter.opts, *parameter.secondary_opts])
            lines.append(f"{path}: {spelled}\n")
    snapshot.check("options.txt", "".join(lines))


def test_every_command_has_help_json_and_described_options() -> None:
    for path, command in _commands(main):
        assert command.help, path
        options = [parameter for parameter in command.params if isinstance(parameter, click.Option)]
        assert all(option.help for option in options), path
        if command is not main:
            assert {"--json", "--traceback"} <= {name for option in options for name in option.opts}, path


def test_the_readme_names_the_commands_there_are(root: Path) -> None:
    text = (root / "README.md").read_text("utf-8")
    listed = set(re.findall(r"^\| `beatweaver ([a-z]+)", text, re.MULTILINE))
    assert listed == set(main.commands)
    assert set(re.findall(r"beatweaver ([a-z]+)`", text)) <= listed
