"""The only module that prints: results on standard output, everything else on standard error.

Rich is imported inside the functions that draw with it, so that `--help` and `--json` do not pay for it.
"""

from __future__ import annotations

import json
import os
import sys
import traceback
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager
from enum import IntEnum
from typing import TYPE_CHECKING, TextIO

from beatweaver.errors import BeatWeaverError

if TYPE_CHECKING:
    from rich.console import Console

__all__ = ["ExitCode", "Output", "discard_stdout", "prepare_streams"]


class ExitCode(IntEnum):
    """What the shell is told."""

    OK = 0
    """Done, nothing to report."""
    FINDINGS = 1
    """Done, and something was found wrong or some items failed."""
    FAILED = 2
    """Could not run."""


class Output:
    """Where one command writes.

    Args:
        as_json: one JSON document is the only thing on standard output.
        stdout: for results; the process's own when None.
        stderr: for progress, notes and errors; the process's own when None.
    """

    def __init__(self, *, as_json: bool = False, stdout: TextIO | None = None, stderr: TextIO | None = None) -> None:
        self.as_json = as_json
        self._stdout = stdout
        self._stderr = stderr

    def result(self, document: object, draw: Callable[[], None], *, one_line: bool = False) -> None:
        """The outcome of a command: `document` with `--json`, on one line after events, otherwise what `draw` shows."""
        if self.as_json:
            self._document(document, indent=None if one_line else 2)
        else:
            draw()

    def line(self, text: str = "", *, indent: int = 0, style: str = "") -> None:
        """One line of a result; an indented one keeps its indentation where a terminal has to wrap it."""
        from rich.padding import Padding
        from rich.text import Text

        console = self._rich(self._stdout or sys.stdout)
        if indent and console.is_terminal:
            console.print(Padding(Text(_shown(text), style), (0, 0, 0, indent), expand=False))
        else:
            console.print(Text(" " * indent + _shown(text), style), soft_wrap=True)

    def table(
        self,
        columns: Sequence[str],
        rows: Iterable[Sequence[object]],
        *,
        title: str | None = None,
        right: Collection[str] = (),
        indent: int = 0,
    ) -> None:
        """A result as a table; columns of numbers and those in `right` are aligned right, None is left empty."""
        from rich.box import SIMPLE_HEAD
        from rich.padding import Padding
        from rich.table import Table
        from rich.text import Text

        cells = [list(row) for row in rows]
        look = Table(
            title=None if title is None else Text(_shown(title)),
            title_justify="left",
            header_style="bold",
            box=SIMPLE_HEAD,
            show_edge=False,
            pad_edge=False,
            collapse_padding=True,
        )
        for index, column in enumerate(columns):
            numeric = bool(cells) and all(row[index] is None or isinstance(row[index], int | float) for row in cells)
            if numeric or column in right:
                look.add_column(Text(column), justify="right", no_wrap=True)
            else:
                look.add_column(Text(column), overflow="fold")
        for row in cells:
            look.add_row(*(Text("" if cell is None else _shown(str(cell))) for cell in row))
        self._rich(self._stdout or sys.stdout).print(Padding(look, (0, 0, 0, indent), expand=False))

    def note(self, text: str) -> None:
        """A remark that is not part of the result."""
        from rich.text import Text

        self._rich(self._stderr or sys.stderr).print(Text(_shown(text), "dim"), soft_wrap=True)

    def event(self, document: object, text: str) -> None:
        """Something that happened on the way: a JSON line of the output with `--json`, otherwise a remark."""
        if self.as_json:
            self._document(document, indent=None)
        else:
            self.note(text)

    @contextmanager
    def progress(self, what: str) -> Iterator[Callable[[int, int], None]]:
        """A bar on standard error while the block runs; the value is a function of how much is done, and of how much.

        Shown on a terminal only: a log keeps its lines whole.
        """
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

        console = self._rich(self._stderr or sys.stderr)
        columns = (
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
        )
        with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
            task = bar.add_task(what, total=None)
            yield lambda done, total: bar.update(task, completed=done, total=total)

    def error(self, error: BaseException, *, full: bool = False) -> None:
        """An expected error: one line and what to do about it; with `full` the traceback stands before it.

        With `--json` the document `{"error": {...}}` goes to standard output as well.
        """
        self._failure(error, getattr(error, "hint", None), full=full)

    def bug(self, error: BaseException, *, full: bool = False) -> None:
        """An error nobody expected: it ends with how to report it."""
        again = "" if full else ", what the same command prints with --traceback,"
        hint = (
            "this is a bug in beatweaver; please report it with the output of `beatweaver doctor`"
            f"{again} and the input if you may share it"
        )
        self._failure(error, hint, full=full)

    def _failure(self, error: BaseException, hint: str | None, *, full: bool) -> None:
        console = self._rich(self._stderr or sys.stderr)
        if full:
            text = "".join(traceback.format_exception(error))
            console.print(text, markup=False, highlight=False, soft_wrap=True, end="")
        for label, style, said in (("error", "bold red", _message(error)), ("hint", "bold", hint)):
            if said:
                console.print(f"{label}:", style=style, end=" ")
                console.print(_shown(said), markup=False, highlight=False, soft_wrap=True)
        if self.as_json:
            self._document(
                {
                    "error": {
                        "type": type(error).__name__,
                        "message": _message(error),
                        "path": getattr(error, "path", None) or _filename(error),
                        "where": getattr(error, "where", None),
                        "hint": hint,
                    }
                }
            )

    def _document(self, document: object, *, indent: int | None = 2) -> None:
        # ASCII, so that no terminal or pipe with another encoding can break it.
        print(json.dumps(document, indent=indent, allow_nan=False), file=self._stdout or sys.stdout)

    def _rich(self, stream: TextIO) -> Console:
        from rich.console import Console

        return Console(file=stream, stderr=False)


def prepare_streams() -> None:
    """Let text that the terminal's encoding cannot show come out escaped, instead of failing half-way."""
    for stream in (sys.stdout, sys.stderr):
        reconfigure = getattr(stream, "reconfigure", None)
        if reconfigure is not None:
            reconfigure(errors="backslashreplace")


def discard_stdout() -> None:
    """After a broken pipe: nobody reads any more, so what is still buffered goes nowhere instead of failing at exit."""
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, sys.stdout.fileno())
    os.close(null)


# Titles and file names come from strangers: what would steer the terminal is shown instead of sent.
_CONTROL = {code: f"\\x{code:02x}" for code in (*range(32), *range(127, 160)) if chr(code) not in "\n\t"}


def _shown(text: str) -> str:
    return text.translate(_CONTROL)


def _message(error: BaseException) -> str:
    if isinstance(error, OSError) and error.strerror:
        name = _filename(error)
        return f"{name}: {error.strerror.lower()}" if name else error.strerror.lower()
    if isinstance(error, KeyboardInterrupt):
        return "interrupted"
    text = str(error)
    return text if isinstance(error, BeatWeaverError) and text else f"{type(error).__name__}: {text}".removesuffix(": ")


def _filename(error: BaseException) -> str | None:
    name = getattr(error, "filename", None)
    return None if name is None else os.fsdecode(name) if isinstance(name, bytes) else str(name)
