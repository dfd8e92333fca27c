"""What every test gets: hypothesis profiles, no network, the real corpus where there is one."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest
import shelf
from hypothesis import settings

ROOT = Path(__file__).resolve().parents[1]

settings.register_profile("dev", max_examples=25, deadline=None, print_blob=True)
settings.register_profile("ci", max_examples=200, deadline=None, print_blob=True, derandomize=True, database=None)
settings.register_profile("deep", max_examples=5000, deadline=None, print_blob=True)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "dev"))


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """A test that asks for the corpus carries its marker, so that `-m 'not corpus'` finds them all."""
    for item in items:
        if "corpus" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.corpus)


@pytest.fixture(scope="session")
def root() -> Path:
    """The repository."""
    return ROOT


@pytest.fixture(scope="session")
def corpus() -> Path:
    """The folder with real maps and songs, or a skip that says how to name it."""
    folder = Path(os.environ.get("BEATWEAVER_CORPUS", ROOT.parent / "shared"))
    if not (folder / "corpus").is_dir():
        pytest.skip(f"no corpus in {folder}: set BEATWEAVER_CORPUS to the folder that holds `corpus`")
    return folder


@pytest.fixture(scope="session")
def processed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small corpus to learn from, as `process` leaves it; only to be read."""
    return shelf.processed(tmp_path_factory.mktemp("shelf"))


@pytest.fixture(autouse=True)
def _no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    connect = socket.socket.connect

    def guarded(self: socket.socket, address: tuple[str, int]) -> None:
        if self.family in (socket.AF_INET, socket.AF_INET6) and address[0] not in ("127.0.0.1", "::1", "localhost"):
            raise AssertionError(f"a test tried to reach {address[0]}: tests stay on this machine")
        connect(self, address)

    monkeypatch.setattr(socket.socket, "connect", guarded)
