"""Tempo changes with known truth: synthetic songs with ramps, jumps, cuts and rubato, and the odd-metre renders.

    python benchmarks/variable_tempo.py [--figure docs/figures/variable_tempo.png] [--shared ../shared]

Each synthetic song is 120 s of kick, snare, hats and a bass whose notes change every bar. Printed per song: beat
F-measure (70 ms), median and 90th percentile of the distance from each true beat to the nearest beat found, or to the
nearest half beat found (so that a tempo read at half or double speed shows its timing), and the number of regions.
"""

from __future__ import annotations

import argparse
import os
import tempfile
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import mir_eval
import numpy as np
import timing as truth_bench  # benchmarks/timing.py, beside this file

from beatweaver import timing

RATE_HZ = 22050
SECONDS = 120.0
ROOT = Path(__file__).resolve().parents[1]


def beats_of(tempo: Callable[[np.ndarray], np.ndarray]) -> np.ndarray:
    """Beat times of a tempo curve (BPM of seconds), by integrating it finely; the first beat is at 0.5 s."""
    t = np.arange(0.0, SECONDS, 0.001)
    phase = np.concatenate([[0.0], np.cumsum(tempo(t[:-1]) / 60.0 * 0.001)]) - 0.5 * tempo(np.zeros(1))[0] / 60.0
    return np.interp(np.arange(0, int(phase[-1]) + 1), phase, t)


def song(beats_s: np.ndarray, metre: int = 4, seed: int = 0, jitter_s: float = 0.0) -> np.ndarray:
    """Drums and bass on those beats: kick on the first and middle of a bar, snare on the others, hats on eighths."""
    rng = np.random.default_rng(seed)
    n = int(SECONDS * RATE_HZ)
    out = rng.standard_normal(n) * 0.002
    k = np.arange(int(0.25 * RATE_HZ))
    t = k / RATE_HZ
    kick = np.sin(2 * np.pi * (50 * t + 30 * (1 - np.exp(-t * 30)) / 30 * 3)) * np.exp(-t * 18)
    snare = rng.standard_normal(len(k)) * np.exp(-t * 25) * 0.5 + np.sin(2 * np.pi * 190 * t) * np.exp(-t * 20) * 0.4
    hat = np.diff(rng.standard_normal(len(k) + 1)) * np.exp(-t * 90) * 0.25

    def put(sound: np.ndarray, at_s: float) -> None:
        i = int((at_s + rng.normal(0.0, jitter_s)) * RATE_HZ)
        if 0 <= i < n:
            out[i : i + len(sound)] += sound[: n - i]

    roots = rng.integers(0, 7, size=len(beats_s)) + 33
    for j, (a, b) in enumerate(pairwise(beats_s)):
        put(kick if j % metre in (0, 2 if metre == 4 else 0) else snare, a)
        put(hat, a)
        put(hat, (a + b) / 2)
        pitch = 440.0 * 2.0 ** ((roots[j // metre] - 57) / 12)
        t_note = np.arange(int((b - a) * 0.9 * RATE_HZ)) / RATE_HZ
        put(0.3 * sum(np.sin(2 * np.pi * pitch * h * t_note) / h for h in (1, 2, 3)) * np.exp(-t_note * 3), a)
    return (out / np.abs(out).max()).astype(np.float32)


def cases() -> dict[str, np.ndarray]:
    """Beat times by name."""
    rng = np.random.default_rng(7)
    walk = np.cumsum(rng.normal(0.0, 1.0, 240))
    walk = 110.0 + 8.0 * (walk - walk.mean()) / np.abs(walk - walk.mean()).max()
    steps = np.linspace(0, SECONDS, len(walk))
    slip = beats_of(lambda t: np.full_like(t, 128.0))
    slip[slip > 60.0] += 0.31 * 60.0 / 128.0
    return {
        "steady 128": beats_of(lambda t: np.full_like(t, 128.0)),
        "ramp 120 to 132": beats_of(lambda t: 120.0 + 12.0 * t / SECONDS),
        "ramp 90 to 150": beats_of(lambda t: 90.0 + 60.0 * t / SECONDS),
        "jump 128 to 140": beats_of(lambda t: np.where(t < 60, 128.0, 140.0)),
        "jumps 100, 150, 120": beats_of(lambda t: np.where(t < 40, 100.0, np.where(t < 80, 150.0, 120.0))),
        "cut of 0.31 beat": slip[slip < SECONDS - 1],
        "drift, 110 +- 8": beats_of(lambda t: np.interp(t, steps, walk)),
        "slow swing +- 3 %": beats_of(lambda t: 124.0 * (1 + 0.03 * np.sin(2 * np.pi * t / 30.0))),
    }


def errors_s(true_s: np.ndarray, grid: timing.Grid) -> tuple[np.ndarray, np.ndarray]:
    """Each true beat's signed distance to the nearest beat, and to the nearest half beat of the grid."""
    whole = np.arange(-1, len(grid.beats_s) + 1)
    out = []
    for places in (grid.seconds(whole), grid.seconds(np.arange(-2, 2 * len(grid.beats_s) + 2) / 2.0)):
        i = np.clip(np.searchsorted(places, true_s), 1, len(places) - 1)
        near = np.where(true_s - places[i - 1] < places[i] - true_s, places[i - 1], places[i])
        out.append(near - true_s)
    return out[0], out[1]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--figure", type=Path, default=ROOT / "docs/figures/variable_tempo.png")
    parser.add_argument(
        "--shared", type=Path, default=Path(os.environ.get("BEATWEAVER_CORPUS", ROOT.parent / "shared"))
    )
    parser.add_argument("--cache", type=Path, default=Path(tempfile.gettempdir()) / "beatweaver-timing")
    args = parser.parse_args()
    jobs = [(name, beats, song(beats, jitter_s=0.003)) for name, beats in cases().items()]
    jobs.append(("steady 104, 3/4", three := beats_of(lambda t: np.full_like(t, 104.0)), song(three, metre=3)))
    if (args.shared / "songs/manifest.json").exists():
        wanted = (
            "freedoom__d_e4m4",
            "freedoom__d_e4m9",
            "freedoom__d_read_m",
            "freedoom__d_map32",
            "freedoom__d_map27",
        )
        for item in truth_bench.song_items(args.shared):
            if item.name in wanted and item.beats_s is not None:
                jobs.append((item.name, item.beats_s, truth_bench.samples_of(item, args.cache)))

    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(len(jobs), 2, figsize=(13, 1.7 * len(jobs)), sharex="row", squeeze=False)
    for (name, true_s, audio), (left, right) in zip(jobs, axes, strict=True):
        grid = timing.estimate_grid(audio)
        whole, half = errors_s(true_s, grid)
        f = mir_eval.beat.f_measure(mir_eval.beat.trim_beats(true_s), mir_eval.beat.trim_beats(grid.beats_s))
        spread = np.percentile(np.abs(whole), [50, 90]) * 1000, np.percentile(np.abs(half), [50, 90]) * 1000
        print(
            f"{name:24s} beat F {f:.3f} | beats off by {spread[0][0]:5.1f} (p90 {spread[0][1]:5.1f}) ms"
            f" | to the half beat {spread[1][0]:5.1f} ({spread[1][1]:5.1f}) | regions {len(grid.regions):2d}"
            f" | metre {grid.metre} | confidence {grid.confidence:.2f}"
        )
        middle = (true_s[1:] + true_s[:-1]) / 2
        left.plot(middle, 60.0 / np.diff(true_s), color="0.6", lw=3, label="truth")
        starts = [r[0] for r in grid.regions] + [float(grid.beats_s[-1]) if len(grid.beats_s) else 0.0]
        left.step(
            starts,
            [r[2] for r in grid.regions] + [grid.regions[-1][2]],
            where="post",
            color="C3",
            lw=1.2,
            label="found",
        )
        left.set_ylabel("BPM")
        left.ticklabel_format(useOffset=False)
        low, high = left.get_ylim()
        left.set_ylim(low - 1.0, high + 1.0)
        left.set_title(name, fontsize=9, loc="left")
        right.axhline(0.0, color="0.8")
        right.plot(true_s, 1000 * half, ".", ms=2, color="C0")
        right.set_ylim(-80, 80)
        right.set_ylabel("error, ms")
    axes[0][0].legend(fontsize=8)
    axes[0][1].set_title("true beats to the nearest (half) beat found", fontsize=9, loc="left")
    axes[-1][0].set_xlabel("s")
    axes[-1][1].set_xlabel("s")
    figure.tight_layout()
    args.figure.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(args.figure, dpi=80)


if __name__ == "__main__":
    main()
