"""The song of a level: Ogg Vorbis without tags, the samples that analysis hears, and what the file says of itself."""

from __future__ import annotations

import os
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from beatweaver import _native

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["Prepared", "Tags", "encode", "prepare", "read_tags", "song_bytes"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Prepared:
    """A song ready for a level, see `prepare`."""

    ogg: bytes
    """The file: Ogg Vorbis without tags."""
    action: Literal["copied", "untagged", "encoded"]
    """The source's own bytes; the same sound with its tags taken out; or decoded and encoded once."""
    samples: NDArray[np.float32]
    """The file decoded: mono, (T,) at `sample_rate_hz`."""
    sample_rate_hz: int
    """Rate of `samples`."""
    pad_s: float
    """Silence that was put before the song, in whole samples of the file."""
    rate_hz: int
    """Rate of the file."""
    channels: int
    """Channels of the file, 1 or 2."""
    seconds: float
    """Length of the file, with the pad."""
    source_format: str
    """What the source was recognised as by its contents, for example "mp3"."""
    warnings: tuple[tuple[str, str], ...]
    """What was wrong with the source and was survived: rule and message."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Tags:
    """What an audio file says about its song; None for what it does not say."""

    title: str | None
    artist: str | None
    album: str | None
    cover: bytes | None
    """A PNG or JPEG image."""


def prepare(
    song: str | os.PathLike[str] | bytes,
    *,
    pad_s: float = 0.0,
    sample_rate_hz: int = 22_050,
    max_seconds: float = 1800.0,
) -> Prepared:
    """The file that a level carries, and the samples to analyse, decoded from that very file.

    Sound Ogg Vorbis of up to two channels and 48 kHz is copied byte for byte if `pad_s` is 0 and it has no tags; with
    tags only these are taken out. Everything else is decoded, padded and encoded once, with its own rate if that is
    44.1 or 48 kHz. More than two channels are mixed down to two. Equal input gives equal bytes.

    Args:
        song: path or bytes of a wav, ogg, mp3, flac, m4a or aac file.
        pad_s: silence before the song in seconds, 0 to 60, so that its first beat comes to lie on the grid.
        sample_rate_hz: rate of the samples to analyse.
        max_seconds: longer songs are refused.

    Raises:
        AudioError: no sound in it, or a codec that is not supported.
        ConfigError: an impossible pad or rate.
        LimitError: longer than `max_seconds`, or too many channels.
        OSError: the file system refused.
    """
    ogg, samples, info = _native.prepare_audio(
        song, pad_s=pad_s, sample_rate_hz=sample_rate_hz, max_seconds=max_seconds
    )
    warnings = tuple((str(rule), str(message)) for rule, message in info.pop("warnings"))
    return Prepared(ogg=ogg, samples=samples, sample_rate_hz=sample_rate_hz, warnings=warnings, **info)


def encode(samples: NDArray[np.float32], *, sample_rate_hz: int) -> bytes:
    """Samples as Ogg Vorbis of quality 5 without tags; decoded, the file has exactly as many samples.

    Args:
        samples: (T,) or (T, 2), float32; what is not finite counts as silence.
        sample_rate_hz: their rate, 8 000 to 192 000.

    Raises:
        AudioError: no samples.
        ConfigError: another shape or rate.
    """
    return _native.encode_vorbis(samples, sample_rate_hz=sample_rate_hz)


def read_tags(song: str | os.PathLike[str] | bytes) -> Tags:
    """Title, artist, album and cover of an audio file; damaged tags count as missing.

    Args:
        song: path or bytes, as for `prepare`.

    Raises:
        AudioError: it is no audio.
        LimitError: it is too large.
        OSError: the file system refused.
    """
    return Tags(**_native.read_tags(song))


def song_bytes(pack: Path, name: str) -> bytes | None:
    """The audio file `name` of a pack (a folder, a zip or an Info file); None if it is not there."""
    if pack.is_file() and not zipfile.is_zipfile(pack):
        pack = pack.parent
    if pack.is_dir():
        found = [path for path in sorted(pack.iterdir()) if path.name.lower() == name.lower()]
        return found[0].read_bytes() if found else None
    with zipfile.ZipFile(pack) as archive:
        members = [member for member in archive.namelist() if f"/{member}".lower().endswith(f"/{name}".lower())]
        return archive.read(min(members, key=len)) if members else None
