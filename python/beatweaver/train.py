"""Learning from processed maps: so far the classic engine's pattern table."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from beatweaver import _native, notes
from beatweaver.errors import ConfigError

__all__ = ["train"]


def train(data: Path, out: Path, *, engine: str = "classic") -> dict[str, Any]:
    """Fit the pattern table of the classic engine on the training split of `data`, a folder made by `process`.

    Vanilla levels that no filter leaves out count. Writes `OUT/patterns.safetensors` and returns the last line that
    `beatweaver train --json` prints.

    Raises:
        ConfigError: another engine; or `data` was not made by `process`, or holds no level to learn from.
        OSError: the file system refused.
    """
    if engine != "classic":
        raise ConfigError(
            f"engine: found {engine!r}, expected classic", where="engine", found=engine, expected="classic"
        )
    began = time.monotonic()
    rows = _rows(data)
    table = notes.fit(_levels(data, rows))
    if not len(table.keys):
        raise ConfigError(f"{data}: found no level to learn from, expected vanilla levels of the training split")
    out.mkdir(parents=True, exist_ok=True)
    weights = out / "patterns.safetensors"
    card = {"levels": len(rows), "songs": len({row["song"] for row in rows}), "split": "train"}
    table.save(weights, card)
    return {
        "run": str(out),
        "steps": 1,
        "seconds": round(time.monotonic() - began, 3),
        "best": {"metric": "notes", "value": float(table.pair.sum()), "step": 1},
        "weights": str(weights),
    }


def _rows(data: Path) -> list[dict[str, Any]]:
    import pyarrow.parquet as pq

    index = data / "index.parquet"
    if not index.is_file():
        raise ConfigError(
            f"{data}: found no index.parquet, expected a folder made by `beatweaver process`", path=str(data)
        )
    table = pq.read_table(index)
    rows: list[dict[str, Any]] = table.to_pylist()
    return [
        row
        for row in rows
        if row["split"] == "train" and row["category"] == "vanilla" and not row["filter"] and row["row"] >= 0
    ]


def _levels(data: Path, rows: list[dict[str, Any]]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Difficulty name and notes of every row, decoded from the tokens."""
    from safetensors import safe_open

    vocab = _native.Vocab(b'{"content": "full", "divisions": 48}')
    by_shard: dict[int, list[dict[str, Any]]] = {}
    for row in rows:
        by_shard.setdefault(row["shard"], []).append(row)
    names = {int(p.name.split("-")[1]): p for p in (data / "tokens").glob("shard-*-of-*.safetensors")}
    for shard, members in sorted(by_shard.items()):
        with safe_open(names[shard], framework="numpy") as file:
            tokens, offsets = file.get_tensor("tokens"), file.get_tensor("offsets")
        for row in members:
            own = np.ascontiguousarray(tokens[offsets[row["row"]] : offsets[row["row"] + 1]])
            yield row["difficulty"], vocab.decode(own, bpm=row["bpm"]).notes()
