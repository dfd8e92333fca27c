"""Play: how many packs one core judges in a second of its time, and what a mask costs. Prints a table.

    python benchmarks/play.py [PACKS] [--repeat N]

PACKS is a folder of level packs (default: the corpus that BEATWEAVER_CORPUS names, or ../shared; else packs are made).
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

os.environ["BEATWEAVER_THREADS"] = "1"

import numpy as np

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tests"))


def best_s(work: Callable[[], object], repeat: int) -> float:
    """Processor seconds of the best of several runs: other work on the machine does not count."""
    times = []
    for _ in range(repeat):
        began = time.process_time()
        work()
        times.append(time.process_time() - began)
    return min(times)


def main() -> None:
    """Measure and print."""
    import corpora as made

    from beatweaver import _native
    from beatweaver.errors import BeatWeaverError

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("packs", nargs="?", type=Path)
    parser.add_argument("--repeat", type=int, default=3)
    options = parser.parse_args()
    packs = options.packs
    with tempfile.TemporaryDirectory() as home:
        if packs is None:
            shared = Path(os.environ.get("BEATWEAVER_CORPUS", ROOT.parent / "shared")) / "corpus" / "raw"
            packs = shared if shared.is_dir() else made.corpus(Path(home), 200)
        songs = []
        for path in sorted(packs.iterdir()):
            try:
                songs.append((path, _native.load_song(path)))
            except (BeatWeaverError, OSError):
                continue
        levels = [level for _, song in songs for level in song.difficulties]
        notes = sum(len(level.notes()["beat"]) for level in levels)
        facts = best_s(lambda: [_native.play_facts(level) for level in levels], options.repeat)
        files = best_s(lambda: [_native.check_song(path) for path, _ in songs], options.repeat)
        both = best_s(lambda: [_native.check_song(path, preset="default") for path, _ in songs], options.repeat)
    state = _native.PlayState(_native.TempoMap([0], [160]))
    mask = np.zeros(108, bool)
    for step, choice in enumerate([28, 55, 27, 54] * 4):
        state.push(step % 2, 4 + step // 2, choice)
    mask_s = best_s(lambda: [state.mask(0, 13, mask) for _ in range(1000)], options.repeat) / 1000
    counts = f"{len(songs)} packs, {len(levels)} levels, {notes} notes"
    print(f"load {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores; {counts}")
    print(f"facts of levels in memory        {len(songs) / facts:8.0f} packs/s {notes / facts / 1e6:8.2f} M notes/s")
    print(f"check, files only                {len(songs) / files:8.0f} packs/s")
    print(f"check with play, zip to findings {len(songs) / both:8.0f} packs/s")
    print(f"one mask                         {mask_s * 1e6:8.1f} us")


if __name__ == "__main__":
    main()
