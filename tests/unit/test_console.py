"""What is printed where."""

from __future__ import annotations

import io
import json
import socket

import pytest

from beatweaver.console import Output
from beatweaver.errors import ConfigError, MapError


def _output(*, as_json: bool = False) -> tuple[Output, io.StringIO, io.StringIO]:
    stdout, stderr = io.StringIO(), io.StringIO()
    return Output(as_json=as_json, stdout=stdout, stderr=stderr), stdout, stderr


def test_a_result_is_either_a_document_or_a_drawing() -> None:
    output, stdout, stderr = _output()
    output.result({"a": 1}, lambda: output.line("a is [1]"))
    assert stdout.getvalue() == "a is [1]\n"
    output, stdout, stderr = _output(as_json=True)
    output.result({"a": "é"}, lambda: pytest.fail("drawn all the same"))
    assert json.loads(stdout.getvalue()) == {"a": "é"}
    assert stdout.getvalue().isascii()
    assert stderr.getvalue() == ""


def test_tables_take_any_text_as_it_is() -> None:
    output, stdout, stderr = _output()
    output.table(["name", "notes"], [["[red]x", 12], ["y", None]], title="[b]")
    drawn = stdout.getvalue()
    assert "[red]x" in drawn
    assert "[b]" in drawn
    assert "None" not in drawn
    assert stderr.getvalue() == ""


def test_notes_and_progress_stay_off_the_result() -> None:
    output, stdout, stderr = _output(as_json=True)
    output.note("using [2] threads")
    with output.progress("reading") as advance:
        advance(2, 3)
    assert stderr.getvalue() == "using [2] threads\n"  # a bar is drawn on terminals only
    assert stdout.getvalue() == ""


def test_an_expected_error_is_one_line_and_its_hint() -> None:
    output, stdout, stderr = _output()
    output.error(MapError("Easy.dat: /x: found [9]", path="Easy.dat", where="/x", hint="mend it"))
    assert stderr.getvalue() == "error: Easy.dat: /x: found [9]\nhint: mend it\n"
    assert stdout.getvalue() == ""


def test_an_error_with_json_is_the_document_of_the_contract() -> None:
    output, stdout, stderr = _output(as_json=True)
    output.error(ConfigError("x: found 1", where="x"))
    document = json.loads(stdout.getvalue())
    assert document == {
        "error": {"type": "ConfigError", "message": "x: found 1", "path": None, "where": "x", "hint": None}
    }
    assert stderr.getvalue() == "error: x: found 1\n"


def test_a_fault_of_the_system_names_the_file() -> None:
    output, stdout, stderr = _output(as_json=True)
    output.error(FileNotFoundError(2, "No such file or directory", "a.zip"))
    assert stderr.getvalue() == "error: a.zip: no such file or directory\n"
    assert json.loads(stdout.getvalue())["error"]["path"] == "a.zip"


def test_a_bug_says_where_to_report_it_and_shows_the_traceback_on_request() -> None:
    output, _, stderr = _output()
    try:
        raise ValueError("odd")
    except ValueError as error:
        output.bug(error)
        assert stderr.getvalue().startswith("error: ValueError: odd\nhint: this is a bug in beatweaver; please report")
        assert "Traceback" not in stderr.getvalue()
        output.bug(error, full=True)
    assert "Traceback (most recent call last)" in stderr.getvalue()


def test_tests_cannot_reach_the_network() -> None:
    with socket.socket() as connection, pytest.raises(AssertionError, match="stay on this machine"):
        connection.connect(("192.0.2.1", 80))
