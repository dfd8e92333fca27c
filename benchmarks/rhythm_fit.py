"""Learning of the rhythm weights: which slots of the grid people place notes on, given the sound and the density.

    python benchmarks/rhythm_fit.py [--shared ../shared] [--write]

One logistic model for Expert and Expert+, one for the easier difficulties, fitted on split train (maps with one tempo
that pass the onset check) on the maps' own grid; the density given is the map's own. `val` is only reported: F1 of
onsets at 50 ms of as many best slots as the map has onsets, beside as many of the strongest quarters and the
metronomes. --write puts the weights where the package reads them.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import timing as bench

from beatweaver import _native, rhythm, structure, timing
from beatweaver.tokens import SLOTS_PER_BEAT

HARD = (7, 9)


Levels = list[tuple[int, str, np.ndarray]]


def songs(shared: Path, cache: Path, splits: set[str]) -> Iterator[tuple[bench.Item, structure.Sound, Levels]]:
    """Each map's sound on its own grid, and the onset slots of its difficulties by rank."""
    for item in bench.map_items(shared, splits):
        if item.offset_s is None:
            continue
        kept = cache / f"{item.name}.npz"
        if kept.exists():
            stored: dict[str, Any] = {k: (float(v) if v.ndim == 0 else v) for k, v in np.load(kept).items()}
            envelope = timing.Envelope(**stored)
        else:
            envelope = timing.onset_envelope(bench.samples_of(item, cache))
            np.savez(kept, **{k: getattr(envelope, k) for k in envelope.__slots__})
        beat_s = 60.0 / item.bpm
        first = item.offset_s % beat_s
        regions = ((first, 0.0, item.bpm),)
        empty = np.zeros(0)
        grid = timing.Grid(
            bpm=item.bpm,
            offset_s=first,
            metre=4,
            confidence=1.0,
            regions=regions,
            beats_s=empty,
            downbeats_s=empty,
            candidates=(),
        )
        sound = structure.listen(envelope, grid)
        levels = []
        for level in _native.load_song(item.audio[0]).difficulties:
            notes = level.notes()
            if level.characteristic == "Standard" and len(notes["beat"]) >= 50:
                levels.append((level.rank, level.name, np.unique(np.round(notes["time"], 3))))
        yield item, sound, levels


def f1(reference_s: np.ndarray, found_s: np.ndarray, window_s: float = 0.05) -> float:
    import mir_eval

    return float(mir_eval.onset.f_measure(reference_s, found_s, window=window_s)[0]) if len(found_s) else 0.0


def on_slots(sound: structure.Sound, times_s: np.ndarray) -> np.ndarray:
    slots = np.round(sound.grid.beat(times_s) * SLOTS_PER_BEAT).astype(int)
    return np.unique(slots[(slots >= 0) & (slots < len(sound.flux))])


def span_of(sound: structure.Sound, times_s: np.ndarray) -> np.ndarray:
    """Slots between the first and the last note."""
    slot_s = sound.grid.seconds(np.arange(len(sound.flux)) / SLOTS_PER_BEAT)
    return (slot_s >= times_s[0] - 0.01) & (slot_s <= times_s[-1] + 0.01)


def fit(columns: list[np.ndarray], target: list[np.ndarray], ridge: float = 30.0) -> np.ndarray:
    """Logistic weights, the first one for the constant; ridge on standardised columns; Newton's method."""
    x = np.concatenate(columns)
    y = np.concatenate(target)
    mean, scale = x.mean(axis=0), x.std(axis=0) + 1e-9
    x = np.concatenate([np.ones((len(x), 1)), (x - mean) / scale], axis=1)
    w = np.zeros(x.shape[1])
    penalty = np.full(len(w), ridge)
    penalty[0] = 0.0
    for _ in range(12):
        p = 1.0 / (1.0 + np.exp(-(x @ w)))
        h = (x * (p * (1 - p))[:, None]).T @ x + np.diag(penalty) + 1e-6 * np.eye(len(w))
        w -= np.linalg.solve(h, x.T @ (p - y) + penalty * w)
    out = np.concatenate([[0.0], w[1:] / scale])
    out[0] = w[0] - (mean * out[1:]).sum()
    return out


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    root = Path(__file__).resolve().parents[1]
    parser.add_argument(
        "--shared", type=Path, default=Path(os.environ.get("BEATWEAVER_CORPUS", root.parent / "shared"))
    )
    parser.add_argument("--cache", type=Path, default=Path(tempfile.gettempdir()) / "beatweaver-rhythm")
    parser.add_argument("--write", action="store_true")
    options = parser.parse_args()
    options.cache.mkdir(exist_ok=True)
    rows: dict[str, tuple[list[np.ndarray], list[np.ndarray]]] = {"easy": ([], []), "hard": ([], [])}
    for _, sound, levels in songs(options.shared, options.cache, {"train"}):
        for rank, _, times in levels:
            slots = on_slots(sound, times)
            played = span_of(sound, times)
            y = np.zeros(len(sound.flux))
            y[slots] = 1.0
            name = "hard" if rank in HARD else "easy"
            rows[name][0].append(rhythm.slot_columns(sound, len(slots) / played.sum())[played])
            rows[name][1].append(y[played])
    weights = {name: fit(*pair) for name, pair in rows.items()}
    table = []
    for item, sound, levels in songs(options.shared, options.cache, {"val"}):
        for rank, name, times in levels:
            if rank not in HARD:
                continue
            w = weights["hard"]
            played = span_of(sound, times)
            count = len(on_slots(sound, times))
            odds = rhythm.slot_columns(sound, count / played.sum()) @ w[1:] + w[0]
            odds[~played] = -np.inf
            slot_s = sound.grid.seconds(np.arange(len(odds)) / SLOTS_PER_BEAT)
            place = np.arange(len(odds)) % SLOTS_PER_BEAT
            flux = np.where(played & (place % 3 == 0), np.log1p(sound.flux.sum(axis=1)), -np.inf)
            found = [np.sort(slot_s[np.argsort(-x)[:count]]) for x in (odds, flux)]
            found += [slot_s[played & (place % step == 0)] for step in (6, 3)]
            table.append([f1(times, x) for x in found])
            print(item.name, name, *(f"{v:.3f}" for v in table[-1]))
    print("mean: odds, flux on the grid, metronome 1/2, 1/4:", *(f"{v:.3f}" for v in np.mean(table, axis=0)))
    if options.write:
        out = root / "python/beatweaver/weights/classic/rhythm.json"
        out.parent.mkdir(parents=True, exist_ok=True)
        rounded = {name: [round(float(v), 4) for v in w] for name, w in weights.items()}
        out.write_text(json.dumps({"weights": rounded}) + "\n")


if __name__ == "__main__":
    main()
