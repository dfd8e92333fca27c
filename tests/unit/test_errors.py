"""The class tree, its attributes, and the way across processes."""

from __future__ import annotations

import pickle

import pytest

from beatweaver import errors
from beatweaver.errors import BeatWeaverError, MapError, MapJsonError, MapVersionError, MissingExtraError

PLAIN = [getattr(errors, name) for name in errors.__all__ if name != "MissingExtraError"]


def test_the_tree() -> None:
    assert issubclass(MapJsonError, MapError)
    assert issubclass(MapVersionError, MapError)
    for name in errors.__all__:
        cls = getattr(errors, name)
        assert issubclass(cls, BeatWeaverError)
        assert cls.__module__ == "beatweaver.errors"


@pytest.mark.parametrize("cls", PLAIN)
def test_attributes_are_none_unless_known(cls: type[BeatWeaverError]) -> None:
    error = cls("x: found 1, expected 2", where="x")
    assert str(error) == "x: found 1, expected 2"
    assert (error.path, error.where, error.found, error.expected, error.hint) == (None, "x", None, None, None)


@pytest.mark.parametrize("cls", PLAIN)
def test_errors_survive_pickling(cls: type[BeatWeaverError]) -> None:
    error = cls("broken", path="a.zip", where="/x", found="1", expected="2", hint="mend it")
    again = pickle.loads(pickle.dumps(error))  # noqa: S301 - our own bytes, as multiprocessing sends them
    assert type(again) is cls
    assert (str(again), vars(again)) == (str(error), vars(error))


def test_a_missing_extra_names_the_command() -> None:
    error = MissingExtraError("ray", "scale")
    again = pickle.loads(pickle.dumps(error))  # noqa: S301
    for each in (error, again):
        assert str(each) == "ray is not installed, and this needs it"
        assert each.hint == "pip install 'beatweaver[scale]'"
