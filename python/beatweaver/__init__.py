"""Beat Saber levels: read them, check them, convert them, and build a training corpus from them.

Names are imported on first use, so that `import beatweaver` costs next to nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from beatweaver.config import ProcessConfig as ProcessConfig
    from beatweaver.errors import BeatWeaverError as BeatWeaverError

    __version__: str

_HOMES = {
    "BeatWeaverError": "beatweaver.errors",
    "ProcessConfig": "beatweaver.config",
}

__all__ = ["BeatWeaverError", "ProcessConfig", "__version__"]


def __getattr__(name: str) -> object:
    if name == "__version__":
        from importlib.metadata import version

        return version("beatweaver")
    if name in _HOMES:
        from importlib import import_module

        return getattr(import_module(_HOMES[name]), name)
    raise AttributeError(f"module 'beatweaver' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
