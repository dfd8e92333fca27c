"""How fast songs come out of the store, against copying memory, `np.load`, and `torch.load` where torch is installed.

    python benchmarks/store.py [--songs N] [--rounds N] [--folder FOLDER]

Each song is four minutes of features (mel float16, onset and bands float32). Reading means: open the file and have all
of its numbers in arrays that were allocated before; `np.load` and `torch.load` allocate their own, so they are spared
that copy. The files are in the page cache, as in a second epoch. A batch is 32 windows of 512 slots, 85 channels in
float32. Each figure is the best of the rounds over all songs, in seconds of the wall clock.
"""

import argparse
import os
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from beatweaver import _native
from beatweaver.config import AudioConfig

SPEC = AudioConfig()
FRAMES = int(240 * SPEC.sample_rate_hz / SPEC.hop)
ROWS, STEPS = 32, 512
NAMES = ["mel", "onset", "bands"]


def best(work: Callable[[], object], rounds: int) -> float:
    """Least seconds that `work` took."""
    seconds = []
    for _ in range(rounds):
        start = time.perf_counter()
        work()
        seconds.append(time.perf_counter() - start)
    return min(seconds)


def main() -> int:
    """Prints the table; returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--songs", type=int, default=64)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--folder", type=Path, help="where to write (default: the temporary folder)")
    options = parser.parse_args()
    draw = np.random.default_rng(0)
    with tempfile.TemporaryDirectory(dir=options.folder) as name:
        folder = Path(name)
        store = _native.Store(folder / "store")
        widths = _native.feature_widths(SPEC.canonical())
        keys, songs = [], []
        for number in range(options.songs):
            song: dict[str, Any] = {
                "mel": draw.normal(-40, 20, (FRAMES, widths["mel"])).astype(np.float16),
                "onset": draw.random(FRAMES, np.float32),
                "bands": draw.random((FRAMES, widths["bands"]), np.float32),
            }
            songs.append(song)
            keys.append(_native.Store.key(str(number).encode(), SPEC.canonical()))
        wrote = time.perf_counter()
        for key, song in zip(keys, songs, strict=True):
            store.put(key, song, meta={})
        wrote = time.perf_counter() - wrote
        for key, song in zip(keys, songs, strict=True):
            np.savez(folder / f"{key}.npz", **song)
            for part in NAMES:
                np.save(folder / f"{key}.{part}.npy", song[part])
        size = sum(array.nbytes for array in songs[0].values())
        out = {part: np.empty_like(array) for part, array in songs[0].items()}

        def copy() -> None:
            for song in songs:
                for part in NAMES:
                    np.copyto(out[part], song[part])

        def read() -> None:
            for key in keys:
                song = store.get(key)
                assert song is not None
                for part in NAMES:
                    np.copyto(out[part], song[part])

        def look() -> None:
            for key in keys:
                assert store.get(key) is not None

        def load_npy() -> None:
            for key in keys:
                for part in NAMES:
                    np.load(folder / f"{key}.{part}.npy")

        def load_npz() -> None:
            for key in keys:
                with np.load(folder / f"{key}.npz") as file:
                    for part in NAMES:
                        file[part]

        work: dict[str, Callable[[], object]] = {
            "copy of memory": copy,
            "Store.get, then a copy": read,
            "Store.get alone": look,
            "np.load, three .npy": load_npy,
            "np.load, one .npz": load_npz,
        }
        try:
            import torch
        except ImportError:
            print("torch is not installed: not compared")
        else:
            for key, song in zip(keys, songs, strict=True):
                torch.save({part: torch.from_numpy(song[part]) for part in NAMES}, folder / f"{key}.pt")
            work["torch.load"] = lambda: [torch.load(folder / f"{key}.pt", weights_only=True) for key in keys]

        print(f"{options.songs} songs of {size / 1e6:.2f} MB, load average {os.getloadavg()[0]:.1f}")
        print(f"{'put':28} {1e3 * wrote / len(keys):8.2f} ms a song, synced")
        seconds = {}
        for label, job in work.items():
            seconds[label] = best(job, options.rounds) / len(keys)
            share = seconds["copy of memory"] / seconds[label]
            print(f"{label:28} {1e6 * seconds[label]:8.0f} us a song {size / seconds[label] / 1e9:8.2f} GB/s", end="")
            print(f"  {share:6.2f} x the speed of a copy")

        batch = np.empty((ROWS, STEPS, sum(widths.values())), np.float32)
        chosen = [keys[int(i)] for i in draw.integers(0, len(keys), ROWS)]
        starts = draw.integers(-100, FRAMES - 100, ROWS)

        def gather() -> None:
            store.gather(chosen, starts, batch, names=NAMES)

        def by_numpy() -> None:
            batch.fill(0.0)
            for row, (key, start) in enumerate(zip(chosen, starts.tolist(), strict=True)):
                begin, end = max(start, 0), min(start + STEPS, FRAMES)
                column = 0
                for part in NAMES:
                    array = np.load(folder / f"{key}.{part}.npy", mmap_mode="r")
                    wide = array[begin:end].reshape(end - begin, -1)
                    batch[row, begin - start : end - start, column : column + wide.shape[1]] = wide
                    column += wide.shape[1]

        by_numpy()
        truth = batch.copy()
        gather()
        assert np.array_equal(batch, truth)
        own, other = best(gather, options.rounds), best(by_numpy, options.rounds)
        print(f"{'batch by Store.gather':28} {1e3 * own:8.2f} ms {batch.nbytes / own / 1e9:8.2f} GB/s")
        print(
            f"{'batch by NumPy, mapped .npy':28} {1e3 * other:8.2f} ms {batch.nbytes / other / 1e9:8.2f} GB/s", end=""
        )
        print(f"  Store.gather is {other / own:.1f} x as fast")
    return 0


if __name__ == "__main__":
    sys.exit(main())
