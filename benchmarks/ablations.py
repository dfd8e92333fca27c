"""What each part of the neural engine gives: `evaluate` with one thing changed at a time, beside one another.

    python benchmarks/ablations.py RAW [--split val] [--weights FILE] [--only NAME ...] [--out FILE]

RAW is a folder of packs with a manifest, as for `beatweaver evaluate`. Most of what is switched off has no setting,
since nobody would want it off: the parts are replaced in this process.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import torch

from beatweaver import evaluate, neural, rhythm
from beatweaver.config import GenerateConfig
from beatweaver.model import STATISTICS
from beatweaver.tokens import STATES

ROWS = (
    "onset_f1_50",
    "onset_f1_50_true_grid",
    "nps_error",
    "errors_per_1000",
    "parity_breaks_per_1000",
    "warnings_per_1000",
    "refused_per_1000",
    "left_out_per_1000",
    "js_columns",
    "js_rows",
    "js_cuts",
    "js_states",
    "js_turns",
    "js_moves",
    "js_gap_ratios",
    "doubles_alike",
    "crossovers",
    "column_jumps",
    "state_returns",
    "style_spread",
    "style_correlation",
    "bars_exact",
    "bars_rhythm",
    "likeness_correlation",
)


def _unknown(*_: Any, **__: Any) -> Any:
    return np.full(len(STATISTICS), np.nan)


def _anything(cursor: Any, hands: tuple[int, ...]) -> bool:
    cursor.mask[:] = False
    cursor.easy[:] = True
    for hand in hands:
        cursor.mask[hand * STATES : (hand + 1) * STATES] = True
    return True


def _weights_alone() -> Any:
    """No weight of ours on the network's odds: neither states, nor ways back, nor jumps, nor awkward turns."""
    stack = contextlib.ExitStack()
    stack.enter_context(patch.object(neural, "_LIKED", np.ones(STATES)))
    stack.enter_context(patch.object(neural, "_RETURNS", 1.0))
    stack.enter_context(patch.object(neural, "_JUMPS", 1.0))
    stack.enter_context(patch.object(neural, "_STRAINED", dict.fromkeys(neural._STRAINED, 1.0)))
    return stack


VARIANTS: dict[str, tuple[Callable[[], Any], dict[str, Any]]] = {
    "whole": (contextlib.nullcontext, {}),
    "no copies": (lambda: patch.object(rhythm, "_COPY_LIKENESS", 2.0), {}),
    "no statistics": (lambda: patch.object(neural, "style_of", _unknown), {}),
    "guidance 1.5": (contextlib.nullcontext, {"guidance": 1.5}),
    "guidance 2": (contextlib.nullcontext, {"guidance": 2.0}),
    "no weights": (_weights_alone, {}),
    "no masks": (lambda: patch.object(neural._Cursor, "_open", _anything), {}),
    "classic": (contextlib.nullcontext, {"engine": "classic"}),
}


def _runs(options: argparse.Namespace) -> Iterator[tuple[str, dict[str, Any]]]:
    for name, (change, settings) in VARIANTS.items():
        if options.only and name not in options.only:
            continue
        weights = None if settings.get("engine") == "classic" else options.weights
        with change():
            yield (
                name,
                evaluate.evaluate(options.raw, split=options.split, config=GenerateConfig(**settings), weights=weights),
            )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("raw", type=Path)
    parser.add_argument("--split", default="val")
    parser.add_argument("--weights", type=Path)
    parser.add_argument("--only", action="append", choices=list(VARIANTS))
    parser.add_argument("--out", type=Path, help="file for the table as JSON")
    options = parser.parse_args()
    torch.set_num_threads(1)
    print("load average", *(round(x, 1) for x in os.getloadavg()), "torch", torch.__version__, "split", options.split)
    table: dict[str, dict[str, float | None]] = {}
    people: dict[str, Any] = {}
    for name, document in _runs(options):
        table[name] = {row: document["metrics"][row]["value"] for row in ROWS}
        people = {row: document["metrics"][row]["human"] for row in ROWS}
        print(f"{name}: {document['levels']} levels, {document['seconds']} s", flush=True)
    if options.out:
        options.out.write_text(json.dumps(table, indent=1))
    print("| metric | " + " | ".join(table) + " | people: quartiles |")
    print("| --- |" + " --- |" * (len(table) + 1))
    for row in ROWS:
        human = people[row]
        told = "" if human is None else " / ".join(f"{human[q]:.3f}" for q in ("q25", "q50", "q75"))
        values = (table[name][row] for name in table)
        print(f"| {row} | " + " | ".join("" if v is None else f"{v:.3f}" for v in values) + f" | {told} |")


if __name__ == "__main__":
    main()
