"""Levels as documents: what `inspect`, `check` and `convert` say of a level, as plain dictionaries.

The documents are those of `beatweaver ... --json`. Times are in seconds (`_s`), positions in beats. What a script wants
to work with (arrays, the clock) is on `Song` and `Difficulty`, see `load_song`.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, TypedDict, cast

from beatweaver._native import Difficulty, check_rules, check_song, convert_song, load_song

__all__ = ["Checked", "Converted", "Inspected", "Preset", "check", "convert", "inspect"]

Preset = Literal["default", "beginner", "scoresaber", "beatleader"]

Severity = Literal["error", "rank", "warning", "info"]
SEVERITIES: tuple[Severity, ...] = ("error", "rank", "warning", "info")


class Oddity(TypedDict):
    """Something odd that was read all the same, seen `count` times in `file`, first at `where`."""

    rule: str
    file: str
    where: str
    message: str
    count: int


class Failed(TypedDict):
    """A level that could not be read, and why."""

    characteristic: str
    difficulty: str
    file: str
    type: str
    message: str
    where: str | None
    hint: str | None


class Level(TypedDict):
    """One level at a glance; the times are None without notes."""

    characteristic: str
    difficulty: str
    label: str | None
    file: str
    version: str
    category: str
    notes: int
    bombs: int
    walls: int
    arcs: int
    chains: int
    events: int
    nps: float
    njs: float
    first_note_s: float | None
    last_note_s: float | None
    warnings: list[Oddity]


class Region(TypedDict):
    """From this beat and time on, this tempo."""

    beat: float
    time_s: float
    bpm: float


class Mods(TypedDict):
    """What any of the levels asks for."""

    required: list[str]
    suggested: list[str]


class Audio(TypedDict):
    """The audio file that the Info names; its length where a header tells it."""

    file: str
    present: bool
    seconds: float | None


class Inspected(TypedDict):
    """The document of `beatweaver inspect --json`."""

    title: str
    subtitle: str
    artist: str
    mapper: str
    bpm: float
    info_version: str
    hash: str
    category: str
    mods: Mods
    tempo: list[Region]
    audio: Audio
    difficulties: list[Level]
    failed: list[Failed]
    warnings: list[Oddity]


class Finding(TypedDict):
    """What one rule has to say; `count` is above 1 where more of the same were folded into it.

    `where` is a JSON pointer; of the rules of play it is the object in words.
    """

    rule: str
    severity: Severity
    characteristic: str | None
    difficulty: str | None
    file: str
    where: str
    beat: float | None
    time_s: float | None
    message: str
    count: int


class Checked(TypedDict):
    """The document of `beatweaver check --json`; `counts` holds every severity, folded findings counted one by one.

    `refused`: an error is among the findings about the files, so that BeatSaver would not take the level.
    """

    ok: bool
    refused: bool
    preset: Preset | None
    counts: dict[Severity, int]
    findings: list[Finding]


class Lost(TypedDict):
    """What the new version cannot say; `difficulty` is empty for the song, `whole` where the level was left out."""

    difficulty: str
    what: str
    count: int
    whole: bool


class Converted(TypedDict):
    """The document of `beatweaver convert --json`."""

    out: str
    version: int
    lost: list[Lost]


def inspect(path: str | os.PathLike[str]) -> Inspected:
    """What a person wants to know of a level at a glance.

    Args:
        path: a folder, a zip, or an Info file.

    Returns:
        The document. Levels that could not be read are in `failed`, oddities in `warnings` of the song and each level.

    Raises:
        MapError: no level there, or its Info cannot be read.
        OSError: the file system refused.

    Example:
        >>> [level["nps"] for level in inspect("my map.zip")["difficulties"]]  # doctest: +SKIP
    """
    song = load_song(path)
    regions = song.tempo.regions
    columns = (regions["beat"].tolist(), regions["time_s"].tolist(), regions["bpm"].tolist())
    return {
        "title": song.title,
        "subtitle": song.subtitle,
        "artist": song.artist,
        "mapper": song.mapper,
        "bpm": song.bpm,
        "info_version": song.info_version,
        "hash": song.hash,
        "category": song.category,
        "mods": {"required": song.requirements, "suggested": song.suggestions},
        "tempo": [{"beat": beat, "time_s": time_s, "bpm": bpm} for beat, time_s, bpm in zip(*columns, strict=True)],
        "audio": {"file": song.audio_name, "present": song.audio_present, "seconds": song.audio_seconds},
        "difficulties": [_level(level) for level in song.difficulties],
        "failed": [_failed(fault) for fault in song.faults],
        "warnings": cast("list[Oddity]", song.warnings),
    }


def check(path: str | os.PathLike[str], *, preset: Preset | None = "default") -> Checked:
    """Would BeatSaver take this level, does it say what its format allows, and does it play well?

    Args:
        path: a folder, a zip, or an Info file.
        preset: whose standards the play is held against; None to look at the files only.

    Returns:
        The document. `ok` is True when no finding has the severity "error". docs/findings.md lists the rules about
        files, docs/rules.md those of play.

    Raises:
        MapError: no level there.
        ConfigError: no such preset.
        OSError: the file system refused.

    Example:
        >>> {finding["rule"] for finding in check("my map.zip")["findings"]}  # doctest: +SKIP
    """
    findings = cast("list[Finding]", check_song(path, preset=preset))
    of_files = {rule for rule, _, _ in check_rules()}
    counts: dict[Severity, int] = dict.fromkeys(SEVERITIES, 0)
    for finding in findings:
        counts[finding["severity"]] += finding["count"]
    refused = any(finding["severity"] == "error" and finding["rule"] in of_files for finding in findings)
    return {"ok": counts["error"] == 0, "refused": refused, "preset": preset, "counts": counts, "findings": findings}


def convert(path: str | os.PathLike[str], out: str | os.PathLike[str], *, to: Literal[2, 3, 4]) -> Converted:
    """Write a level again in another format version; audio, cover and all other files go along.

    Unlike `convert_song` it never replaces anything.

    Args:
        path: a folder, a zip, or an Info file.
        out: ends in `.zip` for an archive, anything else is a folder; new, or an empty folder.
        to: format version.

    Returns:
        The document. `lost` is what the version cannot say; a level that could not be read is left out (`whole`).

    Raises:
        MapError: no level there, or none of it can be read.
        FileExistsError: `out` is a file, or a folder that is not empty.
        OSError: the file system refused; nothing is left half-written.

    Example:
        >>> convert("my map.zip", "my map v4", to=4)["lost"]  # doctest: +SKIP
    """
    if Path(out).is_file():
        raise FileExistsError(
            errno.EEXIST, "the file exists and would be overwritten; choose another name or remove it first", str(out)
        )
    lost = cast("list[Lost]", convert_song(path, out, version=to))
    return {"out": os.fspath(out), "version": to, "lost": lost}


def _level(level: Difficulty) -> Level:
    stats = level.stats()
    return {
        "characteristic": level.characteristic,
        "difficulty": level.name,
        "label": level.label,
        "file": level.file,
        "version": level.version,
        "category": level.category,
        "notes": stats["notes"],
        "bombs": stats["bombs"],
        "walls": stats["walls"],
        "arcs": stats["arcs"],
        "chains": stats["chains"],
        "events": stats["events"],
        "nps": stats["nps"],
        "njs": level.njs,
        "first_note_s": stats["first_note_s"],
        "last_note_s": stats["last_note_s"],
        "warnings": cast("list[Oddity]", level.warnings),
    }


def _failed(fault: Mapping[str, Any]) -> Failed:
    error = fault["error"]
    return {
        "characteristic": fault["characteristic"],
        "difficulty": fault["difficulty"],
        "file": fault["file"],
        "type": type(error).__name__,
        "message": str(error),
        "where": getattr(error, "where", None),
        "hint": getattr(error, "hint", None),
    }
