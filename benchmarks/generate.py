"""What `generate` makes of real songs: faults, plan B's table for Expert at three minutes, time and memory.

    python benchmarks/generate.py [--shared ../shared] [--maps N] [--split test] [--engine classic]

Songs: all of `music/`, and the audio of the first N maps of the split that have some. Each gets five difficulties in a
process of its own, two at a time, and is then read back from the zip and checked by rules, clock and gate.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
import zipfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np

from beatweaver import _native

ROOT = Path(__file__).resolve().parents[1]
PLAN_B = {
    "notes": (700, 1050),
    "nps": (4, 6),
    "bombs": (20, 60),
    "walls": (30, 80),
    "arcs + chains": (10, 40),
    "share of left": (0.45, 0.55),
    "cells": (10, 12),
    "patterns": (50, 972),
    "directions": (9, 9),
    "light events": (200, 1e6),
}
"""Plan B's ranges for Expert at three minutes; rates are brought to three minutes, kinds are counted as they are."""


def songs(shared: Path, split: str, count: int, home: Path) -> Iterator[Path]:
    yield from sorted((shared / "music").glob("*.*"))
    rows = json.loads((shared / "corpus" / "manifest.json").read_text())
    wanted = [row for row in rows if row["split"] == split and row["trainable_with_audio"]][:count]
    for row in wanted:
        with zipfile.ZipFile(shared / "corpus" / row["file"]) as pack:
            name = next(name for name in pack.namelist() if name.lower().endswith((".egg", ".ogg", ".wav")))
            path = home / f"{row['id']}.ogg"
            path.write_bytes(pack.read(name))
            yield path


def generate(song: Path, target: Path, engine: str) -> tuple[dict[str, Any], float, float]:
    """The command's document, its wall seconds, and its peak memory in MB."""
    command = [
        sys.executable,
        "-m",
        "beatweaver",
        "generate",
        str(song),
        "-o",
        str(target),
        "--json",
        "--engine",
        engine,
    ]
    began, peak = time.perf_counter(), 0.0
    with tempfile.TemporaryFile() as out, subprocess.Popen(command, stdout=out) as run:
        while run.poll() is None:
            lines = Path(f"/proc/{run.pid}/status").read_text("ascii").splitlines()
            peak = max([peak, *(float(line.split()[1]) / 1024 for line in lines if line.startswith("VmHWM:"))])
            time.sleep(0.02)
        out.seek(0)
        document: dict[str, Any] = json.loads(out.read())["results"][0]
    return document, time.perf_counter() - began, peak


def faults(target: Path) -> dict[str, int]:
    """Errors and broken promises of a level, counted by kind."""
    song = _native.load_song(target)
    end_s = song.audio_seconds or 0.0
    found: dict[str, int] = {"errors": 0, "parity": 0, "too early": 0, "too late": 0}
    found["errors"] = sum(f["severity"] == "error" for f in _native.check_song(target, preset="default"))
    for level in song.difficulties:
        facts = _native.play_facts(level)
        found["parity"] += int((facts["wrist_flow"] == 2).sum() + (facts["alternation_flow"] == 2).sum())
        for group in (level.notes(), level.bombs(), level.obstacles(), level.arcs(), level.chains()):
            found["too early"] += int((group["time"] < 1.5).sum())
            found["too late"] += int((group["time"] > end_s - 2.0).sum())
    return found


def expert(target: Path) -> dict[str, float]:
    """Plan B's rows of the Expert difficulty."""
    level = next(level for level in _native.load_song(target).difficulties if level.name == "Expert")
    notes = level.notes()
    minutes = float(np.ptp(notes["time"])) / 60.0
    three = 3.0 / minutes
    state = (notes["x"].astype(int) * 3 + notes["y"]) * 9 + notes["cut"]
    patterns = {
        (color, a, b)
        for color in (0, 1)
        for a, b in zip(state[notes["color"] == color], state[notes["color"] == color][1:], strict=False)
    }
    return {
        "notes": len(state) * three,
        "nps": len(state) / minutes / 60.0,
        "bombs": len(level.bombs()["beat"]) * three,
        "walls": len(level.obstacles()["beat"]) * three,
        "arcs + chains": (len(level.arcs()["beat"]) + len(level.chains()["beat"])) * three,
        "share of left": float((notes["color"] == 0).mean()),
        "cells": len(np.unique(state // 9)),
        "patterns": len(patterns),
        "directions": len(np.unique(notes["cut"])),
        "light events": (len(level.lights()["beat"]) + len(level.boosts()["beat"])) * three,
    }


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    shared = Path(os.environ.get("BEATWEAVER_CORPUS", ROOT.parent / "shared"))
    parser.add_argument("--shared", type=Path, default=shared)
    parser.add_argument("--split", default="test")
    parser.add_argument("--maps", type=int, default=20)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--engine", default="neural")
    options = parser.parse_args()
    print(f"load {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores")
    rows, total, late = [], {"errors": 0, "parity": 0, "too early": 0, "too late": 0}, []
    notes = violations = repairs = 0
    with tempfile.TemporaryDirectory() as home, ThreadPoolExecutor(options.workers) as pool:
        found = list(songs(options.shared, options.split, options.maps, Path(home)))
        targets = [Path(home, f"{index}.zip") for index in range(len(found))]
        for song, target, (document, seconds, peak) in zip(
            found, targets, pool.map(generate, found, targets, [options.engine] * len(found)), strict=True
        ):
            if document["error"]:
                print(f"{song.name[:44]:44} {document['error']['message']}")
                continue
            own = faults(target)
            total = {name: total[name] + own[name] for name in total}
            length_s = _native.load_song(target).audio_seconds or 0.0
            after = sum(document["seconds"][stage] for stage in ("compose", "dress", "write"))
            late.append((seconds, after, peak, length_s))
            rows.append(expert(target))
            notes += sum(row["notes"] for row in document["difficulties"])
            violations += sum(row["violations_before_repair"] for row in document["difficulties"])
            repairs += sum(row["repairs"] for row in document["difficulties"])
            confidence = document["timing"]["confidence"]
            print(
                f"{song.name[:44]:44} {length_s:4.0f} s  {document['timing']['bpm']:7.2f} BPM ({confidence:.2f})  "
                f"{seconds:4.1f} s, {after:4.1f} s after the features, {peak:3.0f} MB  "
                + ", ".join(f"{count} {name}" for name, count in own.items() if count)
            )
    print(
        f"\n{len(rows)} songs, {notes} notes in five difficulties each: "
        + ", ".join(f"{v} {k}" for k, v in total.items())
    )
    per_1000 = 1000 / max(notes, 1)
    print(f"per 1,000 notes: {per_1000 * violations:.3f} violations before repair, {per_1000 * repairs:.2f} left out")
    print(f"\n{'Expert at three minutes':24} {'asked':>14} {'median':>8} {'least':>8} {'most':>8}")
    for name, (low, high) in PLAN_B.items():
        values = np.array([row[name] for row in rows])
        middle = float(np.median(values))
        verdict = "" if low <= middle <= high else "  outside"
        asked = f"{low:g} to {high:g}" if high < 1e5 else f"{low:g} or more"
        print(f"{name:24} {asked:>14} {middle:8.2f} {values.min():8.2f} {values.max():8.2f}{verdict}")
    seconds, after, peak, length_s = np.array(late).T
    for what, value in (("end to end", seconds), ("after the features", after)):
        three = value / length_s * 180
        print(f"{what}: {np.median(three):.1f} s for three minutes of song, {three.max():.1f} s at most")
    print(f"memory at most {peak.max():.0f} MB; {options.workers} songs at a time")


if __name__ == "__main__":
    main()
