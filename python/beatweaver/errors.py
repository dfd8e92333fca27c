"""Every error this package raises on purpose, under one base.

The native half raises these very classes; a fault of the operating system is the built-in `OSError` with its
subclasses, and Ctrl-C is `KeyboardInterrupt`.
"""

from __future__ import annotations

__all__ = [
    "AudioError",
    "BeatWeaverError",
    "CancelledError",
    "CheckpointError",
    "ConfigError",
    "LimitError",
    "MapError",
    "MapJsonError",
    "MapVersionError",
    "MissingExtraError",
    "StoreError",
    "TokenError",
]


class BeatWeaverError(Exception):
    """Base of all: one sentence for a person, and the same facts as attributes for a program.

    Every attribute is None where it is not known.

    Args:
        message: what went wrong, where, what was found and what was expected, in one lower-case sentence.
        path: the file or folder concerned, as the user knows it.
        where: the spot inside it: a JSON pointer, a token, the name of a setting.
        found: what was there.
        expected: what should have been there.
        hint: what to do about it.
    """

    def __init__(
        self,
        message: str,
        *,
        path: str | None = None,
        where: str | None = None,
        found: str | None = None,
        expected: str | None = None,
        hint: str | None = None,
    ) -> None:
        super().__init__(message)
        self.path = path
        self.where = where
        self.found = found
        self.expected = expected
        self.hint = hint


class MapError(BeatWeaverError):
    """A pack or a level file that is not a usable map."""


class MapVersionError(MapError):
    """A map in a format version this library does not know."""


class MapJsonError(MapError):
    """A map file that is not the JSON it should be."""


class AudioError(BeatWeaverError):
    """Audio that cannot be decoded."""


class LimitError(BeatWeaverError):
    """Input beyond a limit that protects memory or time."""


class TokenError(BeatWeaverError):
    """A token sequence that the vocabulary or the grammar does not allow."""


class StoreError(BeatWeaverError):
    """A stored file that is damaged or does not belong where it is."""


class ConfigError(BeatWeaverError):
    """A setting that is unknown, of the wrong type, or out of range."""


class CheckpointError(BeatWeaverError):
    """Weights or a training state that cannot be loaded."""


class CancelledError(BeatWeaverError):
    """The caller asked to stop."""


class MissingExtraError(BeatWeaverError):
    """An optional package is needed and not installed; the hint is the command that installs it.

    Args:
        package: the package that could not be imported.
        extra: the extra of `beatweaver` that brings it.
    """

    def __init__(self, package: str, extra: str) -> None:
        super().__init__(
            f"{package} is not installed, and this needs it",
            found=None,
            expected=package,
            hint=f"pip install 'beatweaver[{extra}]'",
        )
        self.package = package
        self.extra = extra

    def __reduce__(self) -> tuple[type[MissingExtraError], tuple[str, str]]:
        return type(self), (self.package, self.extra)
