"""The finishing touches that stubs get (that the stub is up to date is checked by `make lint`)."""

from __future__ import annotations

import ast
import importlib.util
from pathlib import Path
from types import ModuleType

import pytest


@pytest.fixture(scope="module")
def stubs(root: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location("stubs", root / "rust" / "native" / "stubs.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


RAW = '''"""
The é module.
"""

from typing import final

def load(path: "str | os.PathLike[str]", *, é: "None" = None) -> "dict[str, numpy.typing.NDArray[numpy.float64]]":
    """
    Load "quoted" things.
    """

@final
class Song:
    """A song."""
    def __new__(cls, /) -> Song:
        """Make."""
    @property
    def key(self, /) -> "str": ...
    def __repr__(self, /) -> str: ...
'''


def test_text_annotations_become_plain_with_their_imports(stubs: ModuleType) -> None:
    finished = stubs.finish(RAW)
    ast.parse(finished)
    assert "def load(path: str | os.PathLike[str], *, é: None = None) -> dict[str, numpy.typing.NDArray" in finished
    assert "import numpy\nimport numpy.typing\nimport os\n" in finished
    assert "def key(self, /) -> str: ..." in finished
    assert 'Load "quoted" things.' in finished
    assert ast.get_docstring(ast.parse(finished)) == "The é module."


def test_what_has_no_docstring_is_named(stubs: ModuleType) -> None:
    assert stubs.undocumented(RAW) == ["Song.key"]
    assert stubs.undocumented("def f() -> None: ...") == ["(module)", "f"]


def test_the_committed_stub_is_documented(stubs: ModuleType) -> None:
    assert stubs.undocumented(stubs.STUB.read_text("utf-8")) == []
