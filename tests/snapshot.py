"""Texts that change only on purpose: `UPDATE_SNAPSHOTS=1 pytest` writes them anew, the diff is read by a person."""

from __future__ import annotations

import os
from pathlib import Path

FOLDER = Path(__file__).resolve().parent / "snapshots"


def check(name: str, text: str) -> None:
    """Compare `text` with the snapshot of that name."""
    file = FOLDER / name
    if os.environ.get("UPDATE_SNAPSHOTS"):
        file.write_text(text, "utf-8")
    assert file.exists(), f"{file.name} does not exist: UPDATE_SNAPSHOTS=1 writes it"
    assert text == file.read_text("utf-8"), f"{file.name} differs: if that is meant, UPDATE_SNAPSHOTS=1 writes it anew"
