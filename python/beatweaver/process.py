"""A folder of level packs → token shards and an index: what training reads.

`OUT/tokens/` holds the shards (safetensors), `OUT/features/` the features of each song, `OUT/slots/` the same on the
beat grid of the levels, `OUT/index.parquet` one row per level, `OUT/config.json` the settings. Shards carry all that a
later run needs, so a run that was interrupted anywhere goes on where it was. Songs stay in their folders when their
maps are gone, or other settings make them anew: whoever wants the space back removes the two folders.
"""

from __future__ import annotations

import json
import math
import os
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from beatweaver import _native
from beatweaver.config import AudioConfig
from beatweaver.errors import MapError
from beatweaver.files import write_atomic

if TYPE_CHECKING:
    from beatweaver.config import ProcessConfig

__all__ = ["SPLITS", "named_splits", "process"]

SPLITS: Final = ("train", "val", "test")
"""Names of the shares of `ProcessConfig.splits`, in order."""
MANIFEST: Final = "manifest.json"
"""Names the split of packs, in the corpus folder or beside it: a list of objects with `file` and `split`."""
SCORES: Final = "beatsaver_scores.json"
"""What the download wrote: by level hash or map id, an object with `score`, `upvotes`, `downvotes`."""

AUDIO: Final = AudioConfig()
AUDIO_COLUMNS: Final = ("audio_s", "audio_silent_share", "audio_onset_share", "audio_offset_ms")
SCORE_COLUMNS: Final = ("score", "upvotes", "downvotes")
GOLD_SCORE: Final = 0.92
GOLD_NPS: Final = (3.0, 12.0)
GOLD_SECONDS: Final = (90.0, 300.0)


def process(
    raw: Path,
    out: Path,
    config: ProcessConfig,
    progress: Callable[[int, int], object] | None = None,
    *,
    audio: AudioConfig | None = AUDIO,
) -> dict[str, Any]:
    """Process every pack below `raw` into `out`.

    Args:
        raw: folder of zips and map folders, or one pack.
        out: folder to write to, made if need be; what an earlier run left is kept where it is still true.
        config: filters, splits, shards, threads.
        progress: called with packs done and packs found.
        audio: what to make of the songs; None leaves them.

    Returns:
        The summary that `beatweaver process --json` prints.

    Raises:
        MapError: no pack below `raw`, or its manifest or scores cannot be read.
        OSError: the file system refused; what is written stays valid.
        KeyboardInterrupt: Ctrl-C; as above.
    """
    began = time.monotonic()
    out.mkdir(parents=True, exist_ok=True)
    splits = named_splits(raw)
    scores = _scores(raw)
    spec = {key: value for key, value in json.loads(config.canonical()).items() if key not in ("splits", "threads")}
    columns = _native.process(
        raw,
        out,
        spec_json=json.dumps(spec).encode(),
        audio_json=audio.canonical() if audio else None,
        threads=config.threads,
        progress=progress,
    )
    reused, _ = columns.pop("reused"), columns.pop("shards")
    columns["split"] = _splits(columns, splits, config.splits)
    columns |= _score_columns(columns, scores)
    columns["gold"] = _gold(columns)
    settings = json.loads(config.canonical()) | (json.loads(audio.canonical()) if audio else {})
    resolved = json.dumps(settings, sort_keys=True, ensure_ascii=False).encode()
    _write_index(out / "index.parquet", columns, resolved)
    write_atomic(out / "config.json", resolved + b"\n")
    return _summary(columns, reused, time.monotonic() - began, out)


def _json_beside(raw: Path, name: str) -> tuple[Path, Any] | None:
    folder = raw if raw.is_dir() else raw.parent
    for place in (folder / name, folder.parent / name):
        try:
            return place, json.loads(place.read_text("utf-8-sig"))
        except FileNotFoundError:
            continue
        except (ValueError, RecursionError) as error:
            raise MapError(
                f"{place}: not readable as JSON: {error}", path=str(place), hint="mend the file or move it away"
            ) from None
    return None


def named_splits(raw: Path) -> dict[str, str]:
    """Splits by pack path below `raw` (with slashes), where a manifest in or beside it names them; else none.

    Raises:
        MapError: the manifest is no JSON, or names a split that there is not.
    """
    found = _json_beside(raw, MANIFEST)
    if found is None:
        return {}
    place, manifest = found
    if not isinstance(manifest, list):
        return {}  # another program's manifest
    folder = raw if raw.is_dir() else raw.parent
    splits: dict[str, str] = {}
    for row in manifest:
        if not isinstance(row, dict) or "split" not in row or not isinstance(row.get("file"), str):
            continue
        if row["split"] not in SPLITS:
            raise MapError(
                f"{place}: found split {row['split']!r} for {row['file']}, expected one of {', '.join(SPLITS)}",
                path=str(place),
                where=row["file"],
            )
        path = os.path.relpath(place.parent / row["file"], folder)
        splits[Path(path).as_posix()] = row["split"]
    return splits


def _splits(columns: Mapping[str, Any], named: Mapping[str, str], shares: tuple[float, float, float]) -> list[str]:
    """Split of every row: as its pack is named, else as another map of its song is, else by the song's hash.

    All maps of one song get one split, so that no song is both learnt from and tested on.
    """
    by_song: dict[str, str] = {}
    for path, song in zip(columns["path"], columns["song"], strict=True):
        if song and path in named:
            by_song.setdefault(song, named[path])
    splits = []
    for path, song in zip(columns["path"], columns["song"], strict=True):
        split = named.get(path) or by_song.get(song)
        if split is None:
            point = int((song or "0" * 8)[:8], 16) / 2**32
            split = SPLITS[0] if point < shares[0] else SPLITS[1] if point < shares[0] + shares[1] else SPLITS[2]
        splits.append(split)
    return splits


def _scores(raw: Path) -> dict[str, dict[str, Any]]:
    found = _json_beside(raw, SCORES)
    if found is None:
        return {}
    place, scores = found
    if not isinstance(scores, dict):
        raise MapError(f"{place}: found a {type(scores).__name__}, expected an object by map", path=str(place))
    return {str(key).lower(): value for key, value in scores.items() if isinstance(value, dict)}


def _score_columns(columns: Mapping[str, Any], scores: Mapping[str, dict[str, Any]]) -> dict[str, list[float | None]]:
    """BeatSaver's score and votes by level hash, else by the map id a file name begins with; None where unknown."""
    rows = []
    for path, digest in zip(columns["path"], columns["hash"], strict=True):
        stem = Path(path).stem.lower()
        names = (digest, stem, stem.split(" ")[0], stem.split("-")[0], stem.split("_")[0])
        rows.append(next((scores[name] for name in names if name in scores), {}))
    return {key: [_number(row.get(key)) for row in rows] for key in SCORE_COLUMNS}


def _number(value: object) -> float | None:
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None


def _gold(columns: Mapping[str, Any]) -> list[bool]:
    """The levels worth imitating most: vanilla, well liked, Expert+, of ordinary density and length."""
    seconds = columns["last_note_s"] - columns["first_note_s"]
    rows: Iterable[tuple[str, float | None, str, float, float, str]] = zip(
        columns["category"],
        columns["score"],
        columns["difficulty"],
        columns["nps"].tolist(),
        seconds.tolist(),
        columns["filter"],
        strict=True,
    )
    return [
        category == "vanilla"
        and difficulty == "ExpertPlus"
        and not reason
        and score is not None
        and score >= GOLD_SCORE
        and GOLD_NPS[0] <= nps <= GOLD_NPS[1]
        and GOLD_SECONDS[0] <= length <= GOLD_SECONDS[1]
        for category, score, difficulty, nps, length, reason in rows
    ]


def _write_index(path: Path, columns: Mapping[str, Any], settings: bytes) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    # Without a type a column of nothing but None would have none.
    types = dict.fromkeys((*SCORE_COLUMNS, *AUDIO_COLUMNS), pa.float64()) | {"audio_shorter_than_map": pa.bool_()}
    table = pa.table({**columns, **{key: pa.array(columns[key], kind) for key, kind in types.items()}})
    table = table.replace_schema_metadata({"beatweaver.config": settings})
    sink = pa.BufferOutputStream()
    pq.write_table(table, sink, compression="zstd")
    write_atomic(path, sink.getvalue().to_pybytes())


def _summary(columns: Mapping[str, Any], reused: int, seconds: float, out: Path) -> dict[str, Any]:
    rows = list(zip(columns["path"], columns["file"], columns["fault_type"], columns["fault_message"], strict=True))
    packs = dict.fromkeys(columns["path"])
    failed = [
        {"path": f"{path}/{file}" if file else path, "type": kind, "message": message}
        for path, file, kind, message in rows
        if kind
    ]
    unheard: dict[str, dict[str, str]] = {}
    sounds = zip(
        columns["path"], columns["audio_file"], columns["audio_fault_type"], columns["audio_fault_message"], strict=True
    )
    for path, file, kind, message in sounds:
        if kind:
            unheard.setdefault(path, {"path": f"{path}/{file}", "type": kind, "message": message})
    failed += unheard.values()
    broken = {path for path, _, kind, _ in rows if kind} | unheard.keys()
    heard = {key: seconds for key, seconds in zip(columns["audio_key"], columns["audio_s"], strict=True) if key}
    unsaid: Counter[str] = Counter()
    for text in columns["out_of_vocabulary"]:
        unsaid.update(json.loads(text))
    kept = columns["row"] >= 0
    kept &= [not reason for reason in columns["filter"]]
    return {
        "maps": {"found": len(packs), "ok": len(packs) - len(broken), "failed": len(broken), "skipped": reused},
        "filtered": dict(sorted(Counter(f for f in columns["filter"] if f and f != "broken").items())),
        "failed": failed,
        "difficulties": int(kept.sum()),
        "notes": int(columns["notes"][kept].sum()),
        "tokens": int((columns["tokens"] + columns["light_tokens"])[kept].sum()),
        "out_of_vocabulary": dict(unsaid.most_common()),
        "audio_s": round(math.fsum(heard.values()), 3),
        "songs": len(heard),
        "seconds": round(seconds, 3),
        "out": str(out),
    }
