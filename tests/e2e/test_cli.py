"""The command line as people meet it: exit codes, streams, errors."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator

import click
import pytest
from click.testing import CliRunner, Result

from beatweaver.cli import command, main
from beatweaver.console import ExitCode, Output
from beatweaver.errors import MapError


def run(*words: str) -> Result:
    return CliRunner().invoke(main, list(words))


def process(*words: str, **variables: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "beatweaver", *words],
        env=os.environ | variables,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.fixture
def probe() -> Iterator[Callable[[BaseException], None]]:
    """Adds the command `probe` that raises what it is given."""

    def add(error: BaseException) -> None:
        def probe(output: Output) -> ExitCode:
            """Fail."""
            output.note("working")
            raise error

        command(probe)

    yield add
    main.commands.pop("probe", None)


def test_doctor_prints_the_document_of_the_contract_alone() -> None:
    result = run("doctor", "--json")
    report = json.loads(result.stdout)
    assert result.stderr == ""
    assert result.exit_code == (1 if report["problems"] else 0)
    assert {"version", "python", "native", "torch", "device", "weights", "cpu", "memory", "disk_free"} <= set(report)
    assert report["native"]["version"] == report["version"]
    assert report["cpu"]["cores"] == os.cpu_count()
    assert 0 < report["memory"]["available"] <= report["memory"]["total"]
    assert report["disk_free"] > 0


def test_doctor_for_people_names_the_same_things() -> None:
    ended = process("doctor", NO_COLOR="1")
    assert (ended.returncode, ended.stderr) == (0, "")
    assert [line.split()[0] for line in ended.stdout.splitlines()] == [
        key for key in json.loads(process("doctor", "--json").stdout) if key != "problems"
    ]


def test_doctor_reports_a_missing_native_half_instead_of_failing() -> None:
    code = (
        "import sys\nsys.modules['beatweaver._native'] = None\n"
        "from beatweaver.cli import main\nmain(['doctor', '--json'])"
    )
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False)
    report = json.loads(ended.stdout)
    assert ended.returncode == 1
    assert "no map can be read" in report["problems"][0]


def test_version_and_bare_call() -> None:
    assert run("--version").stdout.startswith("beatweaver 0.")
    bare = run()
    assert bare.exit_code == 0
    assert "Commands:" in bare.stdout


@pytest.mark.parametrize(
    ("words", "message", "hint"),
    [
        (["docto"], "found no command 'docto'", "did you mean doctor?"),
        (["qqqqqq"], "found no command 'qqqqqq'", "`beatweaver --help` lists the commands"),
        (["doctor", "--nosuch"], "no such option", "`beatweaver doctor --help` shows how it is used"),
        (["doctor", "extra"], "got unexpected extra argument", "`beatweaver doctor --help` shows how it is used"),
    ],
)
def test_wrong_words_end_with_a_hint_and_code_2(words: list[str], message: str, hint: str) -> None:
    result = run(*words)
    assert (result.exit_code, result.stdout) == (2, "")
    assert message in result.stderr
    assert f"hint: {hint}\n" in result.stderr
    error = json.loads(run(*words, "--json").stdout)["error"]
    assert set(error) == {"type", "message", "path", "where", "hint"}
    assert error["hint"] == hint


def test_an_expected_error(probe: Callable[[BaseException], None]) -> None:
    probe(MapError("a.zip: no Info.dat", path="a.zip", hint="name the folder"))
    result = run("probe")
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr == "working\nerror: a.zip: no Info.dat\nhint: name the folder\n"
    document = json.loads(run("probe", "--json").stdout)
    assert document["error"]["type"] == "MapError"
    assert document["error"]["path"] == "a.zip"


@pytest.mark.parametrize("words", [["--traceback", "probe"], ["probe", "--traceback"]])
def test_traceback_on_request(probe: Callable[[BaseException], None], words: list[str]) -> None:
    probe(MapError("broken"))
    assert "Traceback" not in run("probe").stderr
    assert "Traceback" in run(*words).stderr


def test_a_word_after_two_dashes_is_not_an_option(probe: Callable[[BaseException], None]) -> None:
    probe(MapError("broken"))
    result = run("probe", "--", "--json")
    assert result.exit_code == 2
    assert result.stdout == ""


def test_an_unexpected_error_asks_for_a_report(probe: Callable[[BaseException], None]) -> None:
    probe(ZeroDivisionError("odd"))
    result = run("probe")
    assert result.exit_code == 2
    assert "error: ZeroDivisionError: odd" in result.stderr
    assert "please report it" in result.stderr


@pytest.mark.parametrize("error", [KeyboardInterrupt(), click.Abort()])
def test_an_interruption_is_one_line(probe: Callable[[BaseException], None], error: BaseException) -> None:
    probe(error)
    result = run("probe")
    assert result.exit_code == 2
    assert result.stderr.endswith("error: interrupted\n")


def test_a_missing_file_is_expected(probe: Callable[[BaseException], None]) -> None:
    probe(FileNotFoundError(2, "No such file or directory", "a.zip"))
    result = run("probe")
    assert result.exit_code == 2
    assert "error: a.zip: no such file or directory\n" in result.stderr
    assert "report" not in result.stderr


@pytest.mark.parametrize("words", [["doctor"], ["doctor", "--json"], ["--help"], ["doctor", "--help"], ["--version"]])
def test_a_reader_that_leaves_is_no_failure(words: list[str]) -> None:
    read, write = os.pipe()
    os.close(read)
    ended = subprocess.run(
        [sys.executable, "-m", "beatweaver", *words], stdout=write, stderr=subprocess.PIPE, timeout=60, check=False
    )
    os.close(write)
    assert (ended.returncode, ended.stderr) == (0, b"")


def test_a_narrow_encoding_escapes_instead_of_failing() -> None:
    ended = process("é\udcff", PYTHONIOENCODING="ascii", NO_COLOR="1")
    assert ended.returncode == 2
    assert "error: found no command" in ended.stderr


@pytest.mark.parametrize("variables", [{}, {"NO_COLOR": "1"}])
def test_no_colour_off_a_terminal(variables: dict[str, str]) -> None:
    assert "\x1b" not in process("docto", **variables).stderr


def test_colour_is_off_on_request_even_where_it_is_forced() -> None:
    assert "\x1b[1;31m" in process("docto", FORCE_COLOR="1", TERM="xterm").stderr
    assert "\x1b[1;31m" not in process("docto", FORCE_COLOR="1", TERM="xterm", NO_COLOR="1").stderr
