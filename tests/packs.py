"""Small levels made in code, and the real audio they need."""

from __future__ import annotations

import json
import struct
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from beatweaver import Difficulty, save_song

AUDIO = (Path(__file__).resolve().parent / "golden" / "pack" / "quiet.ogg").read_bytes()
"""A real Ogg Vorbis file of 21 s."""
BPM = 120.0
NJS = 14.0
SPAWN_OFFSET_BEATS = -0.5
"""With these, notes appear 21 m away and are seen 0.75 s before they are cut."""


def cover(pixels: int = 256) -> bytes:
    """A black square PNG."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    rows = (b"\0" + bytes(pixels)) * pixels
    header = struct.pack(">IIBBBBB", pixels, pixels, 8, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows, 9)) + chunk(b"IEND", b"")


def level(name: str = "Hard", characteristic: str = "Standard", **groups: Any) -> Difficulty:
    """A level of the given groups; without any it has eight notes from beat 4 on, which play well, and some light."""
    if not groups:
        color = [0, 1] * 4 if characteristic != "OneSaber" else [1] * 8
        cut = [1, 1, 0, 0] * 2 if characteristic != "OneSaber" else [1, 0] * 4
        lights = {"beat": range(4, 34, 2), "kind": [1] * 15, "value": [1] * 15}
        groups = {"notes": {"beat": range(4, 12), "x": [1, 2] * 4, "color": color, "cut": cut}, "lights": lights}
    return Difficulty.from_arrays(
        characteristic=characteristic, name=name, bpm=BPM, njs=NJS, spawn_offset_beats=SPAWN_OFFSET_BEATS, **groups
    )


def save(path: Path, *levels: Difficulty, version: Literal[2, 3, 4] = 3, title: str = "Example") -> Path:
    """A pack that nothing is wrong with."""
    save_song(
        path,
        levels or [level()],
        title=title,
        artist="Nobody",
        mapper="Tests",
        bpm=BPM,
        audio=AUDIO,
        cover=cover(),
        version=version,
        preview_start_s=1,
    )
    return path


def raw(folder: Path, files: Mapping[str, str | bytes | Mapping[str, Any]] = {}, **info: Any) -> Path:
    """A folder as it may come from anywhere: a plain v2 level with `files` and members of the Info put over it."""
    folder.mkdir(exist_ok=True)
    plain: dict[str, Any] = {
        "_version": "2.0.0",
        "_songName": "Raw",
        "_songSubName": "",
        "_songAuthorName": "Nobody",
        "_levelAuthorName": "Tests",
        "_beatsPerMinute": BPM,
        "_songTimeOffset": 0,
        "_shuffle": 0,
        "_shufflePeriod": 0.5,
        "_previewStartTime": 1,
        "_previewDuration": 10,
        "_songFilename": "song.egg",
        "_coverImageFilename": "cover.png",
        "_environmentName": "DefaultEnvironment",
        "_difficultyBeatmapSets": [
            {"_beatmapCharacteristicName": "Standard", "_difficultyBeatmaps": [entry("Hard", 5)]},
        ],
    }
    hard = {"_version": "2.6.0", "_notes": [note(4), note(5, _cutDirection=0)], "_obstacles": [], "_events": []}
    everything = {"Info.dat": plain | info, "Hard.dat": hard, "song.egg": AUDIO, "cover.png": cover(), **files}
    for name, content in everything.items():
        data = content if isinstance(content, str | bytes) else json.dumps(content)
        (folder / name).write_bytes(data if isinstance(data, bytes) else data.encode())
    return folder


def entry(name: str, rank: int, **more: Any) -> dict[str, Any]:
    """What an Info of version 2 says of one level."""
    return {
        "_difficulty": name,
        "_difficultyRank": rank,
        "_beatmapFilename": f"{name}.dat",
        "_noteJumpMovementSpeed": 14,
        "_noteJumpStartBeatOffset": 0,
        **more,
    }


def note(beat: float, **more: Any) -> dict[str, Any]:
    """A note of version 2."""
    return {"_time": beat, "_lineIndex": 1, "_lineLayer": 0, "_type": 0, "_cutDirection": 1, **more}
