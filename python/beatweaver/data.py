"""Levels and songs as the model learns them: from a folder that `process` made to batches of tensors.

`Corpus` holds the levels of one split, counted by why others are left out; `Corpus.batch` makes the batch of some songs
under a seed of its own, so that the same songs give the same batch in any process and after any resume; `Loader` goes
through the epochs and has the next batch ready while the model works on this one.
"""

from __future__ import annotations

import hashlib
import json
import queue
import threading
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from beatweaver import _native
from beatweaver.config import RANKS, AudioConfig, ModelConfig, ProcessConfig, TrainConfig, build
from beatweaver.errors import ConfigError
from beatweaver.model import BEGIN, CONDITIONS, STATISTICS, NoteSteps
from beatweaver.tokens import MIRROR, SLOTS_PER_BEAT, STATES, joint_vocabulary, mirrored_tokens

__all__ = [
    "ALIKE",
    "BLOCK_SLOTS",
    "FILTERS",
    "Batch",
    "Corpus",
    "Level",
    "Loader",
    "alike_blocks",
    "conditions",
    "feature_width",
    "index_of",
    "level_notes",
    "levelled",
    "statistics",
    "time_gaps",
]

F32 = NDArray[np.float32]
F64 = NDArray[np.float64]
I64 = NDArray[np.int64]

BLOCK_SLOTS: Final = 4 * SLOTS_PER_BEAT
"""Slots of the blocks that are compared with one another: four beats."""
ALIKE: Final = 3
"""Blocks that each block is shown as most alike."""
LONGEST_GAP_S: Final = 4.0
_FULL: Final = b'{"content": "full", "divisions": 48}'
_HARD: Final = ("Expert", "ExpertPlus")
FILTERS: Final = ("min_difficulty", "characteristics", "min_bpm", "max_bpm")
"""Settings of `process` by which levels are taken again."""
_OFFICIAL: Final = ("beat games", "hyperbolic magnetism")
"""Mappers, in small letters, whose maps came with the game: all that an index tells of where a map is from."""


# ---- what the model is told, in training and in use -----------------------------------------------------------------


def feature_names(model: ModelConfig) -> list[str]:
    """Arrays of a song's slots that the model hears, side by side in this order."""
    return ["mel", "onset", "bands"] if model.use_onset_features else ["mel"]


def feature_width(model: ModelConfig, audio: AudioConfig) -> int:
    """Numbers of a slot."""
    widths = _native.feature_widths(audio.canonical())
    return sum(widths[name] for name in feature_names(model))


def levelled(features: F32, mels: int) -> F32:
    """Features of the slots of one song (slots, F), their rises behind the `mels` bands set against the song's own.

    Rises depend on how loud and how dense a song is; as a share of their mean in it they do not.
    """
    out = features.copy()
    rises = np.maximum(out[:, mels:], 0.0)
    out[:, mels:] = np.log1p(rises / (rises.mean(axis=0) + 1e-6))
    return out


def alike_blocks(features: F32, mels: int) -> I64:
    """For each block of four beats the blocks that sound most like it: (blocks, ALIKE), itself in a short song."""
    blocks = len(features) // BLOCK_SLOTS
    coarse = features[:, :mels].reshape(blocks, BLOCK_SLOTS // 6, 6, mels).mean(axis=2)
    group = min(8, mels)
    shape = coarse[:, :, : mels // group * group].reshape(blocks, BLOCK_SLOTS // 6, -1, group).mean(axis=3)
    rises = features[:, mels:].reshape(blocks, -1)
    likeness = np.zeros((blocks, blocks))
    for part in (shape.reshape(blocks, -1), rises):
        if part.shape[1]:
            own = part - part.mean(axis=0)
            own = own / (np.linalg.norm(own, axis=1, keepdims=True) + 1e-9)
            likeness += own @ own.T
    if blocks <= ALIKE:
        return np.repeat(np.arange(blocks)[:, None], ALIKE, axis=1)
    np.fill_diagonal(likeness, -np.inf)
    return np.argsort(-likeness, axis=1, kind="stable")[:, :ALIKE]


def conditions(difficulty: str, onsets_per_slot: float, bpm: float) -> list[float]:
    """What is asked of a level: one of `model.CONDITIONS` numbers each for its difficulty, density and tempo."""
    rank = [float(difficulty == name) for name in RANKS]
    return [*rank, float(np.log(max(onsets_per_slot, 1e-3))) + 2.0, float(np.log(bpm / 130.0))]


def time_gaps(since_s: NDArray[Any], beats: NDArray[Any]) -> F32:
    """`NoteSteps.gaps` of seconds (..., 4) and beats (..., 2); what never was is LONGEST_GAP_S or more ago."""
    seconds = np.log(np.clip(since_s, 0.0, LONGEST_GAP_S) + 0.03) + 1.0
    return np.concatenate([seconds, np.log2(np.clip(beats, 0.02, 16.0))], axis=-1).astype(np.float32)


def statistics(slot: I64, hand: I64, state: I64, seconds: float) -> F64:
    """How a level plays, in the order of `model.STATISTICS`; NaN where there is nothing to count.

    Args:
        slot: of each note, sorted.
        hand: 0 left, 1 right.
        state: as tokens are numbered.
        seconds: from the first to the last note.
    """
    out = np.full(len(STATISTICS), np.nan)
    if len(slot) < 16:
        return out
    column, row, cut = state // 27, state // 9 % 3, state % 9
    onsets = len(np.unique(slot))
    jumps = []
    for side in (0, 1):
        own = hand == side
        jumps.append(np.hypot(np.diff(column[own]), np.diff(row[own])))
    jump = np.concatenate(jumps)
    crossed = np.where(hand == 0, column >= 2, column <= 1)
    out[:] = (
        len(slot) / max(seconds, 1.0),
        (len(slot) - onsets) / onsets,
        (cut == 8).mean(),
        crossed.mean(),
        np.isin(cut, (0, 1)).mean(),
        jump.mean() if len(jump) else np.nan,
        np.isin(column, (0, 3)).mean(),
        (row == 2).mean(),
    )
    return out


# ---- levels ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True, slots=True)
class Level:
    """One level as the model learns it; slots are twelfths of a beat, one note of a hand at a slot."""

    name: str
    difficulty: str
    bpm: float
    slot: I64
    """(notes,), sorted, the left hand first."""
    hand: I64
    """0 left, 1 right."""
    state: I64
    tokens: I64
    """Joint decoding: the level as tokens."""
    token_slot: I64
    weight: float
    rhythm: bool
    """Whether its notes lie on what sounds: only then it teaches rhythm."""
    statistics: F64

    def mirrored(self) -> Level:
        """The level in a mirror, with the hands exchanged."""
        hand, state = 1 - self.hand, MIRROR[self.state]
        order = np.lexsort((hand, self.slot))
        return replace(self, hand=hand[order], state=state[order], tokens=mirrored_tokens(self.tokens))


@dataclass(frozen=True, kw_only=True, slots=True)
class _Song:
    key: str
    """Of its slots; empty without audio."""
    slots: int
    levels: tuple[Level, ...]
    official: bool
    """Whether a map of it came with the game."""


def _of_notes(notes: Mapping[str, NDArray[Any]]) -> tuple[I64, I64, I64]:
    """Slot, hand and state of every note on the 4 x 3 grid, the first of a hand at a slot."""
    x, y, cut, hand = (np.asarray(notes[name]).astype(np.int64) for name in ("x", "y", "cut", "color"))
    slot = np.round(np.asarray(notes["beat"], dtype=np.float64) * SLOTS_PER_BEAT).astype(np.int64)
    fits = (x >= 0) & (x < 4) & (y >= 0) & (y < 3) & (cut >= 0) & (cut < 9) & (slot >= 0)
    rows = np.flatnonzero(fits)
    rows = rows[np.lexsort((hand[rows], slot[rows]))]
    key = slot[rows] * 2 + hand[rows]
    _, first = np.unique(key, return_index=True)
    rows = rows[first]
    return slot[rows], hand[rows], (x[rows] * 3 + y[rows]) * 9 + cut[rows]


def _parity_breaks(level: _native.Difficulty) -> float:
    """Share of the swings that break parity, as `check` sees it."""
    flow = _native.play_facts(level)["wrist_flow"]
    return float((flow == 2).mean()) if len(flow) else 0.0


class Corpus:
    """The levels of one split of a folder that `process` made."""

    def __init__(
        self,
        data: Path,
        split: str,
        model: ModelConfig,
        train: TrainConfig,
        filters: ProcessConfig | None = None,
        *,
        files: set[str] | None = None,
    ) -> None:
        """Reads the index and the notes; features stay on disk.

        Args:
            data: the folder.
            split: train, val or test.
            model: what is heard and how notes are written.
            train: what teaches rhythm.
            filters: easiest difficulty, characteristics and tempi that are taken; all that `process` kept unless given.
            files: only packs of these names.

        Raises:
            ConfigError: no such folder, features of other settings than a model can hear, or no level at all.
            OSError: the file system refused.
        """
        self.model, self.train, self.filters = model, train, filters
        rows, settings = index_of(data)
        told = b"" if filters is None else filters.canonical()
        self.digest = hashlib.sha256((data / "index.parquet").read_bytes() + told).hexdigest()
        """Of all levels there are, and of what is taken of them."""
        self.audio = build(AudioConfig, settings)
        self.mels = self.audio.n_mels
        self.width = feature_width(model, self.audio)
        if self.audio.slots_per_beat != SLOTS_PER_BEAT:
            raise ConfigError(
                f"{data}: found {self.audio.slots_per_beat} slots a beat, expected {SLOTS_PER_BEAT}; "
                "process the maps again without this setting",
                path=str(data),
            )
        self.store = _native.Store(data / "slots")
        self.left_out: Counter[str] = Counter()
        taken = [row for row in rows if row["split"] == split and (files is None or row["path"] in files)]
        kept = []
        for row in taken:
            reason = _reason(row, filters)
            if reason:
                self.left_out[reason] += 1
            else:
                kept.append(row)
        self.songs = self._songs(data, kept)
        if self.left_out["no-slots"] and not any(song.key for song in self.songs):
            raise ConfigError(
                f"{data}: found none of the songs' features that the index names, expected them in slots/; "
                "copy that folder too, or run `beatweaver process` again",
                path=str(data),
            )
        if not any(song.levels for song in self.songs):
            raise ConfigError(f"{data}: found no level of split {split!r} to use (left out: {dict(self.left_out)})")
        self.heard = [i for i, song in enumerate(self.songs) if song.key]
        self.silent = [i for i, song in enumerate(self.songs) if not song.key]
        self.official = [i for i in self.heard if self.songs[i].official]

    def _songs(self, data: Path, rows: Sequence[dict[str, Any]]) -> list[_Song]:
        made: dict[str, list[Level]] = {}
        slots: dict[str, int] = {}
        stored: dict[str, bool] = {}
        official: set[str] = set()
        for row, played, tokens, token_slot in level_notes(data, rows, joint=not self.model.planned):
            slot, hand, state = _of_notes(played.notes())
            if len(slot) < 16:
                self.left_out["few-notes"] += 1
                continue
            if self.train.parity_breaks_max < 1.0 and _parity_breaks(played) > self.train.parity_breaks_max:
                self.left_out["parity-breaks"] += 1
                continue
            song = row["slots_key"] or ""
            if song and song not in stored:
                stored[song] = self.store.get(song) is not None
            if song and not stored[song]:
                self.left_out["no-slots"] += 1
                continue
            key = song or f"silent:{row['song']}"
            if str(row["mapper"]).casefold() in _OFFICIAL:
                official.add(key)
            slots[key] = int(row["slots"]) if song else 0
            share = row["audio_onset_share"]
            seconds = float(slot[-1] - slot[0]) / SLOTS_PER_BEAT * 60.0 / row["bpm"]
            hears = bool(song) and share is not None and share >= self.train.onset_share_min
            level = Level(
                name=f"{row['path']}/{row['file']}",
                difficulty=row["difficulty"],
                bpm=row["bpm"],
                slot=slot,
                hand=hand,
                state=state,
                tokens=tokens,
                token_slot=token_slot,
                weight=_weight(row) if self.train.score_weighting else 1.0,
                rhythm=hears and not row["audio_shorter_than_map"],
                statistics=statistics(slot, hand, state, seconds),
            )
            made.setdefault(key, []).append(level)
        return [
            _Song(
                key="" if key.startswith("silent:") else key,
                slots=slots[key],
                levels=tuple(levels),
                official=key in official,
            )
            for key, levels in sorted(made.items())
        ]

    @property
    def levels(self) -> list[Level]:
        """All levels."""
        return [level for song in self.songs for level in song.levels]

    def features(self, song: int, start: int = 0) -> F32:
        """Levelled features of a song from slot `start` on: (S, F), S a multiple of BLOCK_SLOTS."""
        slots = min(self.songs[song].slots - start, self.model.max_audio_len // BLOCK_SLOTS * BLOCK_SLOTS)
        out = np.zeros((1, -(-slots // BLOCK_SLOTS) * BLOCK_SLOTS, self.width), dtype=np.float32)
        self.store.gather(
            [self.songs[song].key],
            np.array([start]),
            out,
            names=feature_names(self.model),
            lengths=np.array([slots]),
        )
        out[0, :slots] = levelled(out[0, :slots], self.mels)
        song_features: F32 = out[0]
        return song_features

    def scales(self) -> tuple[F32, F32]:
        """Mean and spread of each feature over the songs: (F,) each."""
        some = self.heard[:: max(len(self.heard) // 40, 1)]
        if not some:
            return np.zeros(self.width, dtype=np.float32), np.ones(self.width, dtype=np.float32)
        rows = np.concatenate([self.features(song)[: self.songs[song].slots] for song in some])
        return rows.mean(axis=0), rows.std(axis=0) + 1e-3

    def statistic_edges(self, buckets: int) -> F32:
        """Edges that divide the levels into `buckets` equal shares by each statistic: (8, buckets - 1)."""
        rows = np.array([level.statistics for level in self.levels])
        shares = np.arange(1, buckets) / buckets
        edges: F32 = np.nanquantile(rows, shares, axis=0).T.astype(np.float32)
        return edges

    def styles(self, most: int = 64) -> dict[str, list[list[float]]]:
        """Statistics of levels by difficulty, up to `most` of each from calm to dense: styles are drawn from them."""
        out: dict[str, list[list[float]]] = {}
        for name in RANKS:
            rows = [level.statistics for level in self.levels if level.difficulty == name]
            known = sorted(row.round(3).tolist() for row in rows if not np.isnan(row).any())
            if known:
                at = np.unique(np.linspace(0, len(known) - 1, min(most, len(known))).round().astype(int))
                out[name] = [known[i] for i in at]
        return out

    def batch(self, songs: Sequence[int], silent: Sequence[int], seed: Sequence[int], *, augment: bool) -> Batch:
        """The batch of some songs and of one level each of some songs without audio.

        What is drawn for a song depends on `seed` and the song alone, not on what else is in the batch. Only notes in
        what is heard of a song count; levels without any are left out.
        """
        audio, alike, levels = [], [], []
        for place, song in enumerate(songs):
            rng = np.random.default_rng([*seed, song])
            start = SLOTS_PER_BEAT * int(rng.integers(4)) if augment else 0
            start = start if self.songs[song].slots > start + BLOCK_SLOTS else 0
            features = self.features(song, start)
            alike.append(alike_blocks(features, self.mels))
            audio.append(_augmented(features, self.mels, self.train, rng) if augment else features)
            drawn = [self._drawn(one, start, place, len(features), rng, augment) for one in self.songs[song].levels]
            levels += [one for one in drawn if one is not None]
        unheard = []
        for song in silent:
            rng = np.random.default_rng([*seed, song])
            among = self.songs[song].levels
            one = self._drawn(among[int(rng.integers(len(among)))], 0, 0, 0, rng, augment)
            unheard += [] if one is None else [one]
        return _collated(audio, alike, levels, unheard, self.width, self.model)

    def _drawn(
        self, level: Level, start: int, place: int, slots: int, rng: np.random.Generator, augment: bool
    ) -> _Drawn | None:
        """A level with its window of steps and what is hidden of it; None if nothing of it is in what is heard."""
        if augment and self.train.mirror and rng.random() < 0.5:
            level = level.mirrored()
        at = level.slot if self.model.planned else level.token_slot
        low, high = np.searchsorted(at, [start, start + slots]).tolist() if slots else (0, len(at))
        width = min(high - low, self.train.notes_per_level)
        first = low + (int(rng.integers(high - low - width + 1)) if augment else 0)
        hidden = np.zeros(len(STATISTICS), dtype=bool)
        if augment:
            chance = self.train.statistics_dropout
            hidden = rng.random(len(STATISTICS)) < chance
            hidden |= rng.random() < chance
        # Tokens are learnt from the ones before them, so one alone teaches nothing.
        if width < (1 if self.model.planned else 2):
            return None
        return _Drawn(
            level=level,
            start=start,
            song=place,
            slots=slots,
            span=(first, first + width),
            statistics=np.where(hidden, np.nan, level.statistics),
            easy=self.train.easy_weight,
        )


def index_of(data: Path) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """Rows of the index of a folder that `process` made, and the settings it was made with.

    Raises:
        ConfigError: no such folder, or its index is damaged.
    """
    import pyarrow.parquet as pq

    index = data / "index.parquet"
    if not index.is_file():
        raise ConfigError(
            f"{data}: found no index.parquet, expected a folder made by `beatweaver process`", path=str(data)
        )
    try:
        table = pq.read_table(index)
    except ValueError as error:  # pyarrow's own are such
        raise ConfigError(
            f"{index}: damaged: {str(error).splitlines()[0]}; run `beatweaver process` again", path=str(index)
        ) from None
    settings = json.loads((table.schema.metadata or {}).get(b"beatweaver.config", b"{}"))
    return table.to_pylist(), settings


def _reason(row: Mapping[str, Any], filters: ProcessConfig | None) -> str:
    """Why a row of the index is not taken; empty if it is."""
    if row["filter"] or row["row"] < 0:
        return row["filter"] or "no-tokens"
    if row["category"] not in ("vanilla", "chroma"):
        return str(row["category"])
    if filters is None:
        return ""
    if row["difficulty"] not in RANKS or RANKS.index(row["difficulty"]) < RANKS.index(filters.min_difficulty):
        return "difficulty"
    if row["characteristic"] not in filters.characteristics:
        return "characteristic"
    return "" if filters.min_bpm <= row["bpm"] <= filters.max_bpm else "bpm"


def _weight(row: Mapping[str, Any]) -> float:
    """How much a level counts: by its score where players have voted enough to mean something."""
    votes = (row["upvotes"] or 0) + (row["downvotes"] or 0)
    return 1.0 if row["score"] is None or votes < 20 else float(np.clip(2.0 * row["score"] - 0.6, 0.2, 1.4))


def level_notes(
    data: Path, rows: Sequence[dict[str, Any]], *, joint: bool
) -> Iterator[tuple[dict[str, Any], _native.Difficulty, I64, I64]]:
    """Rows with their levels, and for joint decoding tokens with their slots."""
    from safetensors import SafetensorError, safe_open

    full, plain = _native.Vocab(_FULL), joint_vocabulary()
    by_shard: dict[int, list[dict[str, Any]]] = {}
    for row in rows:
        by_shard.setdefault(row["shard"], []).append(row)
    names = {int(path.name.split("-")[1]): path for path in (data / "tokens").glob("shard-*-of-*.safetensors")}
    none = np.zeros(0, dtype=np.int64)
    for shard, members in sorted(by_shard.items()):
        if shard not in names:
            raise ConfigError(f"{data}: shard {shard} of the tokens is missing; run `beatweaver process` again")
        try:
            with safe_open(names[shard], framework="numpy") as file:
                tokens, offsets = file.get_tensor("tokens"), file.get_tensor("offsets")
        except SafetensorError as error:
            raise ConfigError(
                f"{names[shard]}: damaged: {error}; run `beatweaver process` again", path=str(names[shard])
            ) from None
        for row in members:
            own = np.ascontiguousarray(tokens[offsets[row["row"]] : offsets[row["row"] + 1]])
            level = full.decode(own, bpm=row["bpm"])
            if not joint:
                yield row, level, none, none
                continue
            written = plain.encode(level)["tokens"]
            slot = np.round(plain.beats(written) * SLOTS_PER_BEAT).astype(np.int64)
            yield row, level, written.astype(np.int64), slot


# ---- changes that keep the labels true ------------------------------------------------------------------------------


def _augmented(features: F32, mels: int, train: TrainConfig, rng: np.random.Generator) -> F32:
    """A song as it might have sounded: gain, tilt, noise, pitch, a grid slightly off, parts hidden."""
    out = features.copy()
    slots = len(out)
    shift = rng.uniform(-train.jitter_slots, train.jitter_slots)
    if shift:
        beside = np.roll(out, 1 if shift > 0 else -1, axis=0)
        out += abs(shift) * (beside - out)
    bands = int(rng.integers(-train.pitch_bands, train.pitch_bands + 1))
    if bands:
        out[:, :mels] = out[:, np.clip(np.arange(mels) - bands, 0, mels - 1)]
    if train.noise_db:
        tilt = rng.normal(0.0, train.noise_db) * np.linspace(-1.0, 1.0, mels)
        out[:, :mels] += rng.normal(0.0, train.noise_db) + tilt
        out[:, :mels] += rng.normal(0.0, train.noise_db / 3.0, size=(slots, mels))
        out[:, mels:] *= np.exp(rng.normal(0.0, 0.05 * train.noise_db, size=out.shape[1] - mels))
    if train.spec_augment:
        mean = out.mean(axis=0)
        for _ in range(2):
            band, width = int(rng.integers(mels)), int(rng.integers(11))
            out[:, band : min(band + width, mels)] = mean[band : min(band + width, mels)]
            slot, width = int(rng.integers(slots)), int(rng.integers(21))
            out[slot : slot + width] = mean
    return out.astype(np.float32)


# ---- batches --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True, slots=True)
class _Drawn:
    level: Level
    start: int
    """Slot of the level that is slot 0 of the batch."""
    song: int
    slots: int
    span: tuple[int, int]
    statistics: F64
    easy: float


@dataclass
class NoteBatch:
    """Notes of levels that hear alike: with audio, or without."""

    song: Tensor
    """Row of the audio: (L,)."""
    condition: Tensor
    """(L, 7)."""
    statistics: Tensor
    """(L, 8), NaN where hidden."""
    steps: NoteSteps
    target: Tensor
    """Choice or token: (L, T), -1 behind the end."""
    weight: Tensor
    """(L,)."""


@dataclass
class Batch:
    """Songs, what is played at their slots, and notes."""

    audio: Tensor
    """(A, S, F)."""
    length: Tensor
    """(A,)."""
    alike: Tensor
    """(A, S / 48, ALIKE)."""
    rhythm_song: Tensor
    """Song of each level that teaches rhythm: (R,)."""
    rhythm_condition: Tensor
    """(R, 7)."""
    onset: Tensor
    """1 where a note is, 0 where none is, -1 outside of what is played: (R, S)."""
    both: Tensor
    """1 where both hands play, 0 where one does, -1 elsewhere: (R, S)."""
    rhythm_weight: Tensor
    """(R,)."""
    heard: NoteBatch | None
    silent: NoteBatch | None

    def to(self, device: torch.device) -> Batch:
        """All tensors on a device."""

        def moved(value: Any) -> Any:
            if isinstance(value, Tensor):
                return value.to(device, non_blocking=True)
            if isinstance(value, NoteBatch | NoteSteps):
                return type(value)(**{name: moved(getattr(value, name)) for name in value.__dataclass_fields__})
            return value

        return Batch(**{name: moved(getattr(self, name)) for name in self.__dataclass_fields__})


def _condition(level: Level) -> list[float]:
    slots = np.unique(level.slot)
    span = max(int(slots[-1] - slots[0]) + 1, 1)
    return conditions(level.difficulty, len(slots) / span, level.bpm)


def _collated(
    audio: Sequence[F32],
    alike: Sequence[I64],
    levels: Sequence[_Drawn],
    unheard: Sequence[_Drawn],
    width: int,
    model: ModelConfig,
) -> Batch:
    slots = max((len(a) for a in audio), default=0)
    sound = np.zeros((len(audio), slots, width), dtype=np.float32)
    near = np.zeros((len(audio), slots // BLOCK_SLOTS, ALIKE), dtype=np.int64)
    for row, (one, other) in enumerate(zip(audio, alike, strict=True)):
        sound[row, : len(one)] = one
        near[row, : len(other)] = other
    teaching = [drawn for drawn in levels if drawn.level.rhythm and model.planned]
    onset = np.full((len(teaching), slots), -1.0, dtype=np.float32)
    both = np.full((len(teaching), slots), -1.0, dtype=np.float32)
    for row, drawn in enumerate(teaching):
        at, count = np.unique(drawn.level.slot - drawn.start, return_counts=True)
        inside = (at >= 0) & (at < drawn.slots)
        at, count = at[inside], count[inside]
        onset[row, at[0] : at[-1] + 1] = 0.0
        onset[row, at] = 1.0
        both[row, at] = count > 1
    return Batch(
        audio=torch.from_numpy(sound),
        length=torch.tensor([len(a) for a in audio], dtype=torch.int64),
        alike=torch.from_numpy(near),
        rhythm_song=torch.tensor([d.song for d in teaching], dtype=torch.int64),
        rhythm_condition=torch.tensor([_condition(d.level) for d in teaching]).reshape(len(teaching), CONDITIONS),
        onset=torch.from_numpy(onset),
        both=torch.from_numpy(both),
        rhythm_weight=torch.tensor(
            [d.level.weight * (1.0 if d.level.difficulty in _HARD else d.easy) for d in teaching]
        ),
        heard=_note_batch(levels, model) if levels else None,
        silent=_note_batch(unheard, model) if unheard else None,
    )


def _note_batch(drawn: Sequence[_Drawn], model: ModelConfig) -> NoteBatch:
    rows = [_planned(d) if model.planned else _joint(d) for d in drawn]
    steps = max(len(row["target"]) for row in rows)
    fill = {"target": -1, "last": 0, "hands": STATES}

    def stacked(name: str) -> Tensor:
        first = rows[0][name]
        out = np.full((len(rows), steps, *first.shape[1:]), fill.get(name, 0), dtype=first.dtype)
        for place, row in enumerate(rows):
            out[place, : len(row[name])] = row[name]
        return torch.from_numpy(out)

    return NoteBatch(
        song=torch.tensor([d.song for d in drawn], dtype=torch.int64),
        condition=torch.tensor([_condition(d.level) for d in drawn]),
        statistics=torch.from_numpy(np.array([d.statistics for d in drawn], dtype=np.float32)),
        steps=NoteSteps(**{name: stacked(name) for name in NoteSteps.__dataclass_fields__}),
        target=stacked("target"),
        weight=torch.tensor([d.level.weight for d in drawn]),
    )


def _planned(drawn: _Drawn) -> dict[str, NDArray[Any]]:
    """Steps and targets of planned decoding, in the window."""
    level = drawn.level
    slot, hand, state = level.slot, level.hand, level.state
    count = len(slot)
    choice = hand * STATES + state
    last = np.concatenate([[BEGIN], choice[:-1]])
    hands = np.full((count, 4), STATES, dtype=np.int64)
    since = np.full((count, 2), np.inf)
    slot_s = 60.0 / level.bpm / SLOTS_PER_BEAT
    index = np.arange(count)
    for side in (0, 1):
        own = np.flatnonzero(hand == side)
        # Notes of this hand before each step.
        before = np.searchsorted(own, index, side="left")
        some, more = before >= 1, before >= 2
        hands[some, 2 * side] = state[own[before[some] - 1]]
        hands[more, 2 * side + 1] = state[own[before[more] - 2]]
        since[some, side] = (slot[some] - slot[own[before[some] - 1]]) * slot_s
    onsets, onset = np.unique(slot, return_inverse=True)
    back = np.concatenate([[np.inf], np.diff(onsets)])[onset]
    ahead = np.concatenate([np.diff(onsets), [np.inf]])[onset]
    pair = np.diff(onset, prepend=-1) == 0
    first = np.concatenate([pair[1:], [False]])
    seconds = np.stack([since[:, 0], since[:, 1], back * slot_s, ahead * slot_s], axis=1)
    beats = np.stack([back, ahead], axis=1) / SLOTS_PER_BEAT
    moved = slot - drawn.start
    a, b = drawn.span
    return {
        "last": last[a:b],
        "hands": hands[a:b],
        "gaps": time_gaps(seconds, beats)[a:b],
        "kind": np.where(pair, 2, np.where(first, 1, 0))[a:b],
        "slot": moved[a:b],
        "beat": (moved[a:b] / SLOTS_PER_BEAT).astype(np.float32),
        "target": choice[a:b],
    }


def _joint(drawn: _Drawn) -> dict[str, NDArray[Any]]:
    """Tokens and the tokens that follow, in the window."""
    a, b = drawn.span
    tokens, slot = drawn.level.tokens[a:b], drawn.level.token_slot[a:b] - drawn.start
    steps = len(tokens) - 1
    none = np.zeros(steps, dtype=np.int64)
    return {
        "last": tokens[:-1],
        "hands": np.zeros((steps, 0), dtype=np.int64),
        "gaps": np.zeros((steps, 0), dtype=np.float32),
        "kind": none,
        "slot": slot[:-1],
        "beat": (slot[:-1] / SLOTS_PER_BEAT).astype(np.float32),
        "target": tokens[1:],
    }


class Loader:
    """Batches of an epoch after the other, the next ones made while the model works.

    Rank r of w takes every w-th batch-sized share of each step, so that all ranks together see what one would.
    """

    def __init__(self, corpus: Corpus, train: TrainConfig, *, rank: int = 0, world: int = 1, first: int = 0) -> None:
        self.corpus, self.train, self.rank, self.world = corpus, train, rank, world
        self.queue: queue.Queue[tuple[int, Batch] | BaseException] = queue.Queue(maxsize=3)
        self.stopped = threading.Event()
        self.wait_s = 0.0
        """Seconds that the model has waited for data."""
        self.thread = threading.Thread(target=self._fill, args=(first,), daemon=True)
        self.thread.start()

    @staticmethod
    def steps_per_epoch(corpus: Corpus, train: TrainConfig, world: int = 1) -> int:
        """Batches of an epoch, for each rank."""
        if not corpus.heard:
            return -(-len(corpus.silent) // Loader._silent(corpus, train, world))
        return -(-len(corpus.heard) // (train.batch_size * world))

    @staticmethod
    def _silent(corpus: Corpus, train: TrainConfig, world: int) -> int:
        """Levels without audio in a batch of all ranks: none twice."""
        wanted = max(train.silent_levels, int(not corpus.heard)) * train.batch_size * world
        return min(wanted, len(corpus.silent))

    def plan(self, number: int) -> tuple[list[int], list[int], list[int]]:
        """Songs, songs without audio, and seed of batch `number`, counted from 0 over all epochs."""
        train, corpus = self.train, self.corpus
        per_epoch = self.steps_per_epoch(corpus, train, self.world)
        epoch, index = divmod(number, per_epoch)
        rng = np.random.default_rng([train.training_seed, epoch])
        order = self._bucketed(rng, per_epoch)
        whole = order[index]
        own = whole[self.rank :: self.world]
        silent = corpus.silent
        wanted = self._silent(corpus, train, self.world)
        # In rounds, so that none comes twice before all came once.
        rounds = -(-wanted * per_epoch // max(len(silent), 1))
        drawn = [int(i) for _ in range(rounds) for i in rng.permutation(silent)]
        mine = drawn[index * wanted : (index + 1) * wanted][self.rank :: self.world]
        return own, mine, [train.training_seed, epoch, index]

    def _bucketed(self, rng: np.random.Generator, batches: int) -> list[list[int]]:
        """Songs with audio in batches of like length, in random order."""
        songs = self._songs(rng)
        if not songs:
            return [[] for _ in range(batches)]
        size = self.train.batch_size * self.world
        length = np.array([self.corpus.songs[i].slots for i in songs]) * rng.uniform(0.8, 1.25, len(songs))
        ranked = [songs[i] for i in np.argsort(length)]
        groups = [ranked[i : i + size] for i in range(0, len(ranked), size)]
        return [groups[i] for i in rng.permutation(len(groups))]

    def _songs(self, rng: np.random.Generator) -> list[int]:
        """Songs with audio of an epoch: each once, or `official_ratio` of them official where some are."""
        every, official = self.corpus.heard, self.corpus.official
        others = sorted(set(every) - set(official))
        if not self.train.official_ratio or not official or not others:
            return every
        count = round(self.train.official_ratio * len(every))
        # In rounds, so that none comes twice before all came once.
        return [
            int(song)
            for among, some in ((official, count), (others, len(every) - count))
            for song in np.resize(rng.permutation(among), some)
        ]

    def _fill(self, first: int) -> None:
        number = first
        try:
            while not self.stopped.is_set():
                songs, silent, seed = self.plan(number)
                batch = self.corpus.batch(songs, silent, seed, augment=True)
                self._put((number, batch))
                number += 1
        except BaseException as error:  # noqa: BLE001 - whatever it is, it is raised where the batch is waited for
            self._put(error)

    def _put(self, item: tuple[int, Batch] | BaseException) -> None:
        while not self.stopped.is_set():
            try:
                self.queue.put(item, timeout=0.2)
                return
            except queue.Full:
                continue

    def __iter__(self) -> Iterator[Batch]:
        """Batches without end.

        Raises:
            StoreError, OSError: what went wrong while one was made.
        """
        while True:
            began = time.monotonic()
            item = self.queue.get()
            self.wait_s += time.monotonic() - began
            if isinstance(item, BaseException):
                raise item
            yield item[1]

    def close(self) -> None:
        """Stops making batches."""
        self.stopped.set()
        self.thread.join()
