"""Maps: our parser and `process` beside the peers that can be installed, in one run. Prints two tables.

    python benchmarks/maps.py [PACKS] [--copies N] [--repeat N]

PACKS is a folder of level packs (default: the corpus that BEATWEAVER_CORPUS names, or ../shared; else packs are made).
Peers: `json.loads`; orjson into dataclasses (if installed); bsmap 2.2.9 under Node (if `tests/node` is installed).
Rates are of the best of several runs on one core, in MB (10^6) of level files.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tests"))


@dataclass(slots=True)
class Note:
    """What an ordinary Python reader makes of a note."""

    beat: float
    x: int
    y: int
    color: int
    cut: int


@dataclass(slots=True)
class Wall:
    """What it makes of a wall."""

    beat: float
    x: int
    kind: int
    duration: float
    width: int


@dataclass(slots=True)
class Event:
    """What it makes of a light event."""

    beat: float
    kind: int
    value: int
    brightness: float


@dataclass(slots=True)
class Level:
    """Notes, walls and events of a version 2 or 3 file."""

    notes: list[Note] = field(default_factory=list)
    walls: list[Wall] = field(default_factory=list)
    events: list[Event] = field(default_factory=list)


def to_dataclasses(data: dict[str, Any]) -> Level:
    """The level of a parsed file."""
    level = Level()
    for o in data.get("_notes") or ():
        level.notes.append(Note(o["_time"], o["_lineIndex"], o["_lineLayer"], o["_type"], o.get("_cutDirection", 0)))
    for o in data.get("_obstacles") or ():
        level.walls.append(Wall(o["_time"], o["_lineIndex"], o.get("_type", 0), o["_duration"], o["_width"]))
    for o in data.get("_events") or ():
        level.events.append(Event(o["_time"], o["_type"], o.get("_value", 0), o.get("_floatValue", 1.0)))
    for o in data.get("colorNotes") or ():
        level.notes.append(Note(o.get("b", 0), o.get("x", 0), o.get("y", 0), o.get("c", 0), o.get("d", 0)))
    for o in data.get("basicBeatmapEvents") or ():
        level.events.append(Event(o.get("b", 0), o.get("et", 0), o.get("i", 0), o.get("f", 0)))
    return level


def level_files(packs: Path | None, folder: Path) -> int:
    """Every level file that strict JSON readers accept as well, once, into `folder`; gives their number."""
    import corpora as made

    from beatweaver import _native

    if packs is None:
        packs = made.corpus(folder.parent / "made", 200)
    count = 0
    for pack in sorted(packs.iterdir()):
        try:
            song = _native.load_song(pack)
        except Exception:  # noqa: BLE001, S112 - what cannot be read is not measured
            continue
        for name in dict.fromkeys(d.file for d in song.difficulties):
            data = read_member(pack, name)
            try:
                json.loads(data)
            except ValueError:
                continue
            (folder / f"{count:05}.dat").write_bytes(data)
            count += 1
    return count


def read_member(pack: Path, name: str) -> bytes:
    """A file of a pack."""
    import zipfile

    if pack.is_dir():
        return (pack / name).read_bytes()
    with zipfile.ZipFile(pack) as archive:
        return archive.read(next(n for n in archive.namelist() if n.lower() == name.lower()))


def best_rate(work: Callable[[bytes], object], files: list[bytes], repeat: int) -> float:
    """MB/s of `work` over all files, best of `repeat`."""
    best = float("inf")
    for _ in range(repeat):
        began = time.perf_counter()
        for data in files:
            work(data)
        best = min(best, time.perf_counter() - began)
    return sum(map(len, files)) / best / 1e6


def parsers(folder: Path, repeat: int) -> list[tuple[str, float | None]]:
    """Rate of every parser, ours first; None for one that is not here."""
    files = [f.read_bytes() for f in sorted(folder.iterdir())]
    cargo = ["cargo", "run", "--quiet", "--release", "--locked", "--example", "parse_levels", "--", str(folder)]
    ours = json.loads(subprocess.run(cargo, cwd=ROOT, check=True, capture_output=True, text=True).stdout)
    rows: list[tuple[str, float | None]] = [("beatweaver, to the model", ours["mb_per_s"])]
    rows.append(("json.loads, to dicts", best_rate(json.loads, files, repeat)))
    try:
        import orjson
    except ImportError:
        rows.append(("orjson + dataclasses", None))
    else:
        rows.append(("orjson + dataclasses", best_rate(lambda d: to_dataclasses(orjson.loads(d)), files, repeat)))
    rows.append(("bsmap 2.2.9, to its classes (Node)", bsmap_rate(folder, repeat)))
    return rows


def bsmap_rate(folder: Path, repeat: int) -> float | None:
    """MB/s of the npm package, where Node and it are installed."""
    script = ROOT / "benchmarks" / "bsmap_parse.mjs"
    node = shutil.which("node")
    if node is None or not (ROOT / "tests" / "node" / "node_modules" / "bsmap").exists():
        return None
    command = [node, str(script), str(folder), str(repeat)]
    run = subprocess.run(command, capture_output=True, text=True, check=False)
    # The package writes its own remarks before our line.
    lines = run.stdout.splitlines()
    return float(json.loads(lines[-1])["mb_per_s"]) if run.returncode == 0 and lines else None


def one_level_packs(files: Path, folder: Path, copies: int, mean_bytes: int) -> tuple[int, int]:
    """Map folders of one level each, whose mean size is near `mean_bytes`, times `copies`: number, bytes.

    The peers' published figures were taken on folders like these, 112 KB on average.
    """
    sized = sorted((f for f in files.iterdir()), key=lambda f: f.stat().st_size)
    chosen: list[Path] = []
    total = 0
    for file in sized:
        size = file.stat().st_size
        if size < 20_000 or b'"_notes"' not in file.read_bytes():
            continue
        if (total + size) / (len(chosen) + 1) > mean_bytes:
            break
        chosen.append(file)
        total += size
    for copy in range(copies):
        for index, file in enumerate(chosen):
            pack = folder / f"{copy:03}-{index:04}"
            pack.mkdir(parents=True)
            info = {
                "_version": "2.0.0",
                "_songName": f"Song {copy} {index}",
                "_songFilename": "song.egg",
                "_beatsPerMinute": 120,
                "_difficultyBeatmapSets": [
                    {
                        "_beatmapCharacteristicName": "Standard",
                        "_difficultyBeatmaps": [
                            {"_difficulty": "ExpertPlus", "_difficultyRank": 9, "_beatmapFilename": "ExpertPlus.dat"}
                        ],
                    }
                ],
            }
            (pack / "Info.dat").write_text(json.dumps(info))
            shutil.copy(file, pack / "ExpertPlus.dat")
    return len(chosen) * copies, total * copies


def resident_peak_mb(pid: int) -> float:
    """Largest resident size of a running program so far; 0 where the system does not tell."""
    try:
        lines = Path(f"/proc/{pid}/status").read_text("ascii").splitlines()
    except OSError:
        return 0.0
    return next((float(line.split()[1]) / 1024 for line in lines if line.startswith("VmHWM:")), 0.0)


def whole_command(raw: Path, out: Path, repeat: int) -> tuple[float, float]:
    """Wall seconds of the whole `beatweaver process` command, best of `repeat`, and its peak memory in MB."""
    best, peak = float("inf"), 0.0
    for _ in range(repeat):
        shutil.rmtree(out, ignore_errors=True)
        began = time.perf_counter()
        command = [sys.executable, "-m", "beatweaver", "process", str(raw), str(out), "--no-audio", "--json"]
        with subprocess.Popen(command, stdout=subprocess.DEVNULL) as run:
            while run.poll() is None:
                # Not the system's own account of the child: that begins with this program's size.
                peak = max(peak, resident_peak_mb(run.pid))
                time.sleep(0.01)
        best = min(best, time.perf_counter() - began)
        if run.returncode not in (0, 1):
            raise SystemExit("process failed")
    return best, peak


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("packs", nargs="?", type=Path)
    parser.add_argument("--copies", type=int, nargs="+", default=[2, 8], help="sizes of the corpus for `process`")
    parser.add_argument("--repeat", type=int, default=3)
    options = parser.parse_args()
    packs = options.packs
    if packs is None:
        shared = Path(os.environ.get("BEATWEAVER_CORPUS", ROOT.parent / "shared"))
        packs = shared / "corpus" / "raw" if (shared / "corpus" / "raw").is_dir() else None
    with tempfile.TemporaryDirectory() as home:
        files = Path(home, "levels")
        files.mkdir()
        count = level_files(packs, files)
        size = sum(f.stat().st_size for f in files.iterdir())
        print(f"load {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores; {count} level files, {size / 1e6:.1f} MB")
        rows = parsers(files, options.repeat)
        ours = rows[0][1] or np.nan
        print(f"{'parser, one core':36} {'MB/s':>8} {'ours is':>9}")
        for name, rate in rows:
            said = f"{rate:8.1f} {ours / rate:8.1f}x" if rate else f"{'not here':>8}"
            print(f"{name:36} {said}")
        print(f"{'process, whole command':36} {'maps/s':>8} {'KB/map':>9} {'peak MB':>9}")
        for copies in options.copies:
            raw = Path(home, f"raw{copies}")
            number, total = one_level_packs(files, raw, copies, 112_000)
            seconds, peak = whole_command(raw, Path(home, "out"), options.repeat)
            label = f"{number} map folders"
            print(f"{label:36} {number / seconds:8.0f} {total / number / 1000:9.0f} {peak:9.0f}")
            shutil.rmtree(raw)


if __name__ == "__main__":
    main()
