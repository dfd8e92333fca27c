"""The boundary: what the build says of itself, the door with its pool and fork guard, and errors as they arrive."""

from __future__ import annotations

import os
import subprocess
import sys
from importlib.metadata import version

import pytest

from beatweaver import _native
from beatweaver.errors import ConfigError


def _python(code: str, **variables: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-W", "ignore::DeprecationWarning", "-c", code],
        env=os.environ | variables,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_build_info_is_of_an_optimised_build_of_this_version() -> None:
    info = _native.build_info()
    assert set(info) == {"version", "profile", "debug_assertions", "features", "target"}
    assert info["version"] == version("beatweaver")
    assert info["profile"] in {"ci", "release", "profiling"}, "tests are run on an optimised build: `make build`"
    assert info["debug_assertions"] == "off"


def test_thread_count_follows_the_argument_then_the_variable_then_the_cores() -> None:
    code = "from beatweaver._native import thread_count as n; print(n(), n(threads=5), n())"
    assert _python(code, BEATWEAVER_THREADS="3").stdout.split() == ["3", "5", "3"]
    everything = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    assert _python(code, BEATWEAVER_THREADS="").stdout.split() == [str(everything), "5", str(everything)]


@pytest.mark.parametrize("value", ["many", "-1", "1.5", "1025", "99999999999999999999999"])
def test_a_bad_variable_is_a_config_error_naming_it(value: str) -> None:
    code = (
        "from beatweaver import _native, errors\n"
        "try:\n    _native.thread_count()\n"
        "except errors.ConfigError as error:\n    print(error.where, '|', error)"
    )
    told = _python(code, BEATWEAVER_THREADS=value).stdout
    assert told.startswith("BEATWEAVER_THREADS | BEATWEAVER_THREADS: found")
    assert value in told


def test_errors_arrive_as_the_public_class_with_attributes() -> None:
    with pytest.raises(ConfigError, match=r'^threads: found "1025", expected a whole number') as caught:
        _native.thread_count(threads=1025)
    assert caught.value.where == "threads"
    assert (caught.value.path, caught.value.found, caught.value.expected, caught.value.hint) == (None,) * 4


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
def test_a_forked_child_works_on_one_thread_instead_of_hanging() -> None:
    code = (
        "import os\n"
        "from beatweaver._native import thread_count\n"
        "assert thread_count() == 4\n"
        "child = os.fork()\n"
        "if child == 0:\n"
        "    os._exit(10 * thread_count() + thread_count(threads=3))\n"
        "status = os.waitpid(child, 0)[1]\n"
        "print(os.waitstatus_to_exitcode(status), thread_count())\n"
    )
    ended = _python(code, BEATWEAVER_THREADS="4")
    assert ended.stdout.split() == ["11", "4"], ended.stderr


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
def test_a_child_forked_before_first_use_makes_its_own_pool() -> None:
    code = (
        "import os\n"
        "from beatweaver._native import thread_count\n"
        "child = os.fork()\n"
        "if child == 0:\n"
        "    os._exit(thread_count())\n"
        "print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), thread_count())\n"
    )
    ended = _python(code, BEATWEAVER_THREADS="4")
    assert ended.stdout.split() == ["4", "4"], ended.stderr
