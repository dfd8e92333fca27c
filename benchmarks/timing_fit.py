"""Learning of the weights in ``beatweaver.timing``: run through ``benchmarks/timing.py --fit``, which prints them.

Three linear choice models, softmax over candidates, ridge penalty on standardised columns:
  tempo     which candidate is the annotated tempo; its prior is a density of the tempi of all maps of split train
  phase     which of 12 places in the beat is the beat; the annotated one is first moved to the envelope's peak within
            25 ms, and maps whose own notes are off are left out
  downbeat  which of 4 beats begins the bar, from the songs in 4/4 alone (the maps' bar lines proved to be no truth)
Cross-validated errors (12 folds) come with each. ``val`` and ``test`` are never used.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import timing as bench

from beatweaver import timing


def choose(
    columns: list[np.ndarray], right: np.ndarray, prior: list[np.ndarray], ridge: float, steps: int = 800
) -> np.ndarray:
    """Weights (C,) that make row ``right[i]`` of ``columns[i]`` (candidates, C) likely: Adam, ridge penalty."""
    scale = np.concatenate(columns).std(axis=0) + 1e-9
    most = max(len(c) for c in columns)
    x = np.zeros((len(columns), most, len(scale)))
    base = np.full((len(columns), most), -1e9)
    for i, c in enumerate(columns):
        x[i, : len(c)] = c / scale
        base[i, : len(c)] = prior[i]
    w, m, v = np.zeros(len(scale)), np.zeros(len(scale)), np.zeros(len(scale))
    target = x[np.arange(len(x)), right].sum(axis=0)
    for t in range(1, steps + 1):
        s = x @ w + base
        p = np.exp(s - s.max(axis=1, keepdims=True))
        p /= p.sum(axis=1, keepdims=True)
        g = (np.einsum("in,inc->c", p, x) - target) / len(x) + ridge * w
        m, v = 0.9 * m + 0.1 * g, 0.99 * v + 0.01 * g * g
        w -= 0.05 * 0.995**t * (m / (1 - 0.9**t)) / (np.sqrt(v / (1 - 0.99**t)) + 1e-8)
    return w / scale


def cross_validated(
    columns: list[np.ndarray], right: np.ndarray, prior: list[np.ndarray], ridge: float
) -> tuple[int, float]:
    """Wrong choices and mean negative log likelihood of songs held out, 12 folds."""
    order = np.random.default_rng(0).permutation(len(columns))
    wrong, loss = 0, 0.0
    for fold in range(12):
        held = set(order[fold::12].tolist())
        kept = [i for i in range(len(columns)) if i not in held]
        w = choose([columns[i] for i in kept], right[kept], [prior[i] for i in kept], ridge)
        for i in held:
            s = columns[i] @ w + prior[i]
            p = np.exp(s - s.max())
            p /= p.sum()
            wrong += int(p.argmax() != right[i])
            loss -= float(np.log(p[right[i]]))
    return wrong, loss / len(columns)


def report(
    name: str,
    columns: list[np.ndarray],
    right: list[int],
    prior: list[np.ndarray],
    ridge: float,
    shape: tuple[int, ...],
) -> None:
    target = np.array(right)
    wrong, loss = cross_validated(columns, target, prior, ridge)
    print(f"\n{name}: {len(columns)} songs, held out wrong {wrong}, mean -log p {loss:.3f}")
    weights = choose(columns, target, prior, ridge)
    size = int(np.prod(shape))
    print(
        np.array2string(
            weights[:size].reshape(shape), precision=3, suppress_small=True, separator=", ", max_line_width=118
        )
    )
    if len(weights) > size:
        print("and", weights[size:].round(3))


def fit(shared: Path, items: list[bench.Item], cache: Path) -> None:
    items = [i for i in items if i.split in ("train", "songs") and i.steady]
    rows = json.loads((shared / "corpus/manifest.json").read_text())
    extra = [bench.map_item(shared, r) for r in rows if unchecked(r)]
    tempi = np.log2([r["bpm"] for r in rows if r["split"] == "train" and r["bpm"] and 40 < r["bpm"] < 300])
    at = np.log2(timing._PRIOR_BPM)[:, None]
    density = np.log(np.mean(np.exp(-0.5 * ((at - tempi) / 0.08) ** 2) / 0.08 / 2.507, axis=1) + 0.01)
    print("prior", len(tempi), np.array2string(density, precision=2, separator=", ", max_line_width=118))

    config = timing.TimingConfig()
    tempo: tuple[list[Any], list[int], list[Any]] = ([], [], [])
    phase: tuple[list[Any], list[int], list[Any]] = ([], [], [])
    bars: tuple[list[Any], list[int], list[Any]] = ([], [], [])
    for item in items + extra:
        envelope = timing.onset_envelope(bench.samples_of(item, cache))
        if not envelope.flux.any():
            continue
        bpm, known = timing.tempo_candidates(envelope, config)
        near = np.flatnonzero(np.abs(bpm / item.bpm - 1) < 0.0012)
        if len(near):
            tempo[0].append(known)
            tempo[1].append(int(near[0]))
            tempo[2].append(np.interp(np.log2(bpm), at[:, 0], density))
        known_phase = item.offset_s is not None and item not in extra
        if not known_phase or (item.beats_s is None and in_doubt(item, envelope)):
            continue
        line = np.array([0.0, 60.0 / item.bpm]) + (item.offset_s or 0.0)
        level, spread = timing.phase_profile(envelope, line, np.array([0.0, 1.0]))
        whole = level.sum(axis=0) + 0.5 * np.roll(level, -48, axis=1).sum(axis=0)
        reach = int(0.025 * item.bpm / 60 * 96)
        shift = int(np.argmax(whole[np.arange(-reach, reach + 1) % 96])) - reach
        phase[0].append(timing.phase_columns(level, spread)[(shift + np.arange(0, 96, 8)) % 96])
        phase[1].append(0)
        phase[2].append(np.zeros(12))
        if item.downbeats_s is not None and item.beats_s is not None and metre_of(item) == 4:
            known = timing.beat_features(envelope, item.beats_s)
            first = int(np.argmin(np.abs(item.beats_s - item.downbeats_s[2]))) % 4
            bars[0].append(np.stack([known[(first + r) % 4 :: 4].mean(axis=0) for r in range(4)]))
            bars[1].append(0)
            bars[2].append(np.zeros(4))
    report("tempo", *tempo, 0.06, (3, 14))
    report("phase", *phase, 0.1, (4, 4))
    report("downbeat", *bars, 0.1, (5,))


def unchecked(row: dict[str, Any]) -> bool:
    """Maps of train whose notes fail the onset check: no truth for phase, but a tempo that is a candidate is right."""
    return bool(
        row["split"] == "train"
        and row["trainable_with_audio"]
        and not row["passes_onset_check"]
        and not row["bpm_changes"]
    )


def in_doubt(item: bench.Item, envelope: timing.Envelope) -> bool:
    return bool(bench.tempo_doubts(item, envelope)[0] or bench.phase_doubts(item, envelope))


def metre_of(item: bench.Item) -> int:
    assert item.beats_s is not None
    assert item.downbeats_s is not None
    return int(np.median(np.diff(np.searchsorted(item.beats_s, item.downbeats_s - 0.05))))
