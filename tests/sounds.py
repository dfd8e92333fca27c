"""Sound for tests: tones, files of them written and read by libsndfile, and the pages of Ogg files."""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
from numpy.typing import NDArray

Samples = NDArray[np.float32]


def tone(rate_hz: int, channels: int, seconds: float, *, seed: int = 0) -> NDArray[np.float64]:
    """Another sine in each channel, with a little noise, `[T, channels]`."""
    noise = np.random.default_rng(seed)
    time_s = np.arange(int(rate_hz * seconds)) / rate_hz
    waves = [0.3 * np.sin(2 * np.pi * (440 + 110 * channel) * time_s) for channel in range(channels)]
    return np.stack(waves, axis=1) + 0.02 * noise.standard_normal((len(time_s), channels))


def encode(samples: NDArray[Any], rate_hz: int, container: str, subtype: str) -> bytes:
    """File bytes written by libsndfile."""
    file = io.BytesIO()
    soundfile.write(file, samples, rate_hz, format=container, subtype=subtype)
    return file.getvalue()


def oracle(source: bytes | Path) -> tuple[Samples, int]:
    """Mono samples at the file's rate as libsndfile reads them."""
    file = io.BytesIO(source) if isinstance(source, bytes) else source
    samples, rate_hz = soundfile.read(file, dtype="float32", always_2d=True)
    return samples.astype(np.float64).mean(axis=1).astype(np.float32), rate_hz


def ogg_pages(ogg: bytes) -> Iterator[bytearray]:
    """The pages of an Ogg file."""
    at = 0
    while at < len(ogg):
        segments = ogg[at + 26]
        size = 27 + segments + sum(ogg[at + 27 : at + 27 + segments])
        yield bytearray(ogg[at : at + size])
        at += size


def ogg_crc(page: bytes | bytearray) -> int:
    """Ogg's checksum: CRC-32 of polynomial 0x04c11db7, neither reflected nor inverted."""
    crc = 0
    for byte in page:
        crc ^= byte << 24
        for _ in range(8):
            crc = (crc << 1) ^ 0x04C11DB7 if crc & 0x80000000 else crc << 1
        crc &= 0xFFFFFFFF
    return crc
