"""Beat Saber levels: read them, check them, convert them, and build a training corpus from them.

docs/scripts.md has worked examples. Names are imported on first use, so that `import beatweaver` costs next to nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from beatweaver import errors as errors
    from beatweaver._native import Difficulty as Difficulty
    from beatweaver._native import Song as Song
    from beatweaver._native import Store as Store
    from beatweaver._native import TempoMap as TempoMap
    from beatweaver._native import align as align
    from beatweaver._native import check_song as check_song
    from beatweaver._native import convert_song as convert_song
    from beatweaver._native import load_song as load_song
    from beatweaver._native import load_song_bytes as load_song_bytes
    from beatweaver._native import save_song as save_song
    from beatweaver.config import AudioConfig as AudioConfig
    from beatweaver.config import ProcessConfig as ProcessConfig
    from beatweaver.errors import BeatWeaverError as BeatWeaverError
    from beatweaver.maps import inspect as inspect

    __version__: str

_HOMES = {
    "AudioConfig": "beatweaver.config",
    "BeatWeaverError": "beatweaver.errors",
    "Difficulty": "beatweaver._native",
    "ProcessConfig": "beatweaver.config",
    "Song": "beatweaver._native",
    "Store": "beatweaver._native",
    "TempoMap": "beatweaver._native",
    "align": "beatweaver._native",
    "check_song": "beatweaver._native",
    "convert_song": "beatweaver._native",
    "inspect": "beatweaver.maps",
    "load_song": "beatweaver._native",
    "load_song_bytes": "beatweaver._native",
    "save_song": "beatweaver._native",
}

__all__ = [
    "AudioConfig",
    "BeatWeaverError",
    "Difficulty",
    "ProcessConfig",
    "Song",
    "Store",
    "TempoMap",
    "__version__",
    "align",
    "check_song",
    "convert_song",
    "errors",
    "inspect",
    "load_song",
    "load_song_bytes",
    "save_song",
]


def __getattr__(name: str) -> object:
    from importlib import import_module

    if name == "__version__":
        return import_module("importlib.metadata").version("beatweaver")
    if name == "errors":
        return import_module("beatweaver.errors")
    if name in _HOMES:
        return getattr(import_module(_HOMES[name]), name)
    raise AttributeError(f"module 'beatweaver' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
