"""Speed of the neural engine: its cache against none, one difficulty and five, memory, and all of `generate`.

    python benchmarks/neural.py [--weights FILE] [--threads 2]

A song of three minutes is composed in code. `draft` makes its level (plan, rhythm, notes, lights) with and without the
cache of keys and values, in this process; then `generate` makes the pack in a process of its own, for time and memory.
"""

from __future__ import annotations

import argparse
import functools
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import torch

from beatweaver import _native, demo, generate, neural, timing
from beatweaver.config import RANKS, GenerateConfig

WATCH = """
import os, subprocess, sys, time
began = time.perf_counter()
run = subprocess.Popen(sys.argv[1:], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
_, status, usage = os.wait4(run.pid, 0)
print(status, time.perf_counter() - began, usage.ru_maxrss / 1024)
"""
"""A process starts with its parent's peak of memory for its own: this parent is small."""
FORM = (("intro", 8), ("verse", 16), ("drop", 16), ("verse", 16), ("drop", 32), ("outro", 8))


def drafted(samples: object, grid: timing.Grid, names: tuple[str, ...], weights: Path | None) -> tuple[float, int]:
    """Seconds and notes of a draft."""
    began = time.perf_counter()
    config = GenerateConfig(engine="neural", difficulties=names)
    drafts = generate.draft(samples, grid, config, weights=weights)  # type: ignore[arg-type]
    return time.perf_counter() - began, sum(len(draft.difficulty.notes()["beat"]) for draft in drafts.values())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--weights", type=Path)
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    print(
        "load average", *(round(x, 1) for x in os.getloadavg()), "torch", torch.__version__, "threads", options.threads
    )
    with tempfile.TemporaryDirectory() as folder:
        song = Path(folder) / "song.ogg"
        song.write_bytes(demo.compose(seed=0, form=FORM).ogg())
        samples = _native.decode_audio(song, sample_rate_hz=timing.TimingConfig().sample_rate_hz)
        grid = timing.estimate_grid(timing.onset_envelope(samples))
        print(f"song of {len(samples) / 22050:.0f} s at {grid.bpm} BPM")
        plain = neural.place
        for names in (("ExpertPlus",), RANKS):
            seconds, notes = drafted(samples, grid, names, options.weights)
            print(f"{len(names)} difficulties, cache: {seconds:.1f} s, {notes} notes, {notes / seconds:.0f} notes/s")
        neural.place = functools.partial(plain, cached=False)
        seconds, notes = drafted(samples, grid, ("ExpertPlus",), options.weights)
        neural.place = plain
        print(f"1 difficulty, no cache: {seconds:.1f} s, {notes} notes, {notes / seconds:.0f} notes/s")
        command = [sys.executable, "-m", "beatweaver", "generate", str(song), "-o", f"{folder}/level.zip"]
        command += ["--engine", "neural", *(["--weights", str(options.weights)] if options.weights else [])]
        for names in (("ExpertPlus",), RANKS):
            parts = [part for name in names for part in ("-d", name)]
            told = subprocess.run(
                [sys.executable, "-S", "-c", WATCH, *command, *parts], capture_output=True, check=True
            )
            status, wall_s, peak_mb = map(float, told.stdout.split())
            print(f"generate, {len(names)} difficulties: {wall_s:.1f} s, {peak_mb:.0f} MB, status {status:.0f}")


if __name__ == "__main__":
    main()
