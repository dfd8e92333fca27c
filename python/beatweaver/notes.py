"""Where the notes of a rhythm lie and how they are cut: the classic engine, a chain of hand patterns under hard masks.

A hand's next state (place and cut, 108 of them) is drawn by what human hands did after the two states before it, by
the time between, and by where the other hand is. Only states that `PlayState` allows are drawn from, so that
parity holds in both models and nothing has to be repaired. Bars that repeat an earlier bar's rhythm repeat its notes
where they may.

All statistics are of the right hand; the left hand is its mirror image.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import as_file, files
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy.typing import NDArray

from beatweaver import _native
from beatweaver.config import RANKS
from beatweaver.errors import CheckpointError
from beatweaver.files import write_atomic
from beatweaver.rhythm import LEFT, RIGHT, Rhythm, Taste
from beatweaver.tokens import MIRROR, SLOTS_PER_BEAT, STATES

if TYPE_CHECKING:
    from beatweaver.structure import Sound

__all__ = ["GROUPS", "PatternTable", "Placed", "fit", "place", "play_states", "shipped"]

F64 = NDArray[np.float64]
I64 = NDArray[np.int64]

GROUPS: Final = {"Easy": 0, "Normal": 0, "Hard": 1, "Expert": 2, "ExpertPlus": 2}
"""Difficulties whose patterns are counted together."""
_GROUP_COUNT: Final = 3
_CROSSED_AGAIN: Final = 0.75
"""How much less a state that crosses the hands weighs for each note that they are crossed: a chain of two states
forgets that they are, people do not."""
_TEMPERATURE: Final = 0.75
"""What is drawn from counts is plainer than the counts: people are, within a song."""
_STRAINED: Final = (0.02, 0.05, 0.15)
"""Weight of awkward states, by group."""
_GAPS_BEATS: Final = (0.3, 0.6, 1.2)
"""Gaps between notes of one hand up to which they count as fast, brisk, steady; longer ones as slow."""
_GAP_COUNT: Final = len(_GAPS_BEATS) + 1
_NONE: Final = STATES
"""Stands for no state before the first note."""
_FORMAT: Final = "beatweaver-patterns-1"
_COLUMN: Final = np.arange(STATES) // 27
_ROW: Final = np.arange(STATES) // 9 % 3
_CUT: Final = np.arange(STATES) % 9


@dataclass(frozen=True, kw_only=True, slots=True)
class PatternTable:
    """Counts of human patterns, of the right hand, by group of difficulties and by gap."""

    pair: NDArray[np.float32]
    """(groups, gaps, 109, 108): state after one other state; row 108 is the first note."""
    keys: NDArray[np.uint32]
    """Sorted contexts of two states: ((group * gaps + gap) * 109 + before) * 109 + last, one per entry."""
    following: NDArray[np.uint8]
    """(entries,): the state that followed."""
    count: NDArray[np.uint16]
    """(entries,): how often."""
    beside: NDArray[np.float32]
    """(groups, 108, 108): right state where the left hand cuts the first index at the same time."""
    near: NDArray[np.float32]
    """(groups, 12, 108): right state while the left hand's last cell is the first index."""

    def after(self, group: int, gap: int, before: int, last: int) -> F64:
        """Chance of each next state, smoothed from the longer context to the shorter: (108,)."""
        pair = self.pair[group, gap, last].astype(np.float64)
        gaps = self.pair[group, :, last].sum(axis=0)
        base = self.pair[group].sum(axis=(0, 1)) + 0.5
        chance = base / base.sum()
        chance = (gaps + 20.0 * chance) / (gaps.sum() + 20.0)
        chance = (pair + 20.0 * chance) / (pair.sum() + 20.0)
        key = ((group * _GAP_COUNT + gap) * (STATES + 1) + before) * (STATES + 1) + last
        first, end = np.searchsorted(self.keys, [key, key + 1])
        if end > first:
            long = np.bincount(self.following[first:end], weights=self.count[first:end], minlength=STATES)
            chance = (long + 6.0 * chance) / (long.sum() + 6.0)
        out: F64 = chance
        return out

    def lift(self, group: int, other: int | None, *, together: bool) -> F64:
        """How much likelier the other hand's state makes each of the right hand's: factors (108,)."""
        if other is None:
            return np.ones(STATES)
        if together:
            joint = self.beside[group, other].astype(np.float64)
            base = self.beside[group].sum(axis=0) + 1.0
        else:
            joint = self.near[group, other // 9].astype(np.float64)
            base = self.near[group].sum(axis=0) + 1.0
        base = base / base.sum()
        out: F64 = (joint + 30.0 * base) / (joint.sum() + 30.0) / base
        return out

    def save(self, path: Path, card: Mapping[str, Any]) -> None:
        """Writes the table as safetensors, with `card` (what it was fitted on) in its header."""
        from safetensors.numpy import save

        arrays = {name: np.ascontiguousarray(getattr(self, name)) for name in self.__slots__}
        data = save(arrays, metadata={"format": _FORMAT, "card": json.dumps(card, sort_keys=True)})
        write_atomic(path, data)

    @classmethod
    def load(cls, path: Path) -> PatternTable:
        """Reads a table.

        Raises:
            CheckpointError: the file is none of this format, or its arrays do not fit together.
            OSError: it cannot be read.
        """
        from safetensors import SafetensorError, safe_open

        try:
            with safe_open(path, framework="numpy") as file:
                metadata = file.metadata() or {}
                arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        except SafetensorError as error:
            raise CheckpointError(f"{path}: not a table of patterns: {error}", path=str(path)) from None
        shapes = {
            "pair": (_GROUP_COUNT, _GAP_COUNT, STATES + 1, STATES),
            "beside": (_GROUP_COUNT, STATES, STATES),
            "near": (_GROUP_COUNT, 12, STATES),
        }
        entries = {arrays[name].shape for name in ("keys", "following", "count") if name in arrays}
        fits = (
            metadata.get("format") == _FORMAT
            and set(arrays) == set(cls.__slots__)
            and all(arrays[name].shape == shape for name, shape in shapes.items())
            and len(entries) == 1
            and bool((arrays["following"] < STATES).all())
        )
        if not fits:
            raise CheckpointError(
                f"{path}: found a file of another kind, expected patterns of format {_FORMAT}; "
                "make one with `beatweaver train --engine classic`",
                path=str(path),
                expected=_FORMAT,
            )
        return cls(**arrays)


@cache
def shipped() -> PatternTable:
    """The table that comes with the package."""
    with as_file(files("beatweaver").joinpath("weights/classic/patterns.safetensors")) as path:
        return PatternTable.load(path)


def _gap_class(gap_beats: float) -> int:
    return int(np.searchsorted(_GAPS_BEATS, gap_beats, side="left"))


def fit(levels: Iterable[tuple[str, Mapping[str, NDArray[Any]]]]) -> PatternTable:
    """Counts the patterns of `levels`: difficulty name and notes (`beat`, `x`, `y`, `color`, `cut`), sorted by beat.

    Notes off the 4 x 3 grid are passed over; of several notes of one hand at one time the first counts.
    """
    pair = np.zeros((_GROUP_COUNT, _GAP_COUNT, STATES + 1, STATES), dtype=np.float32)
    beside = np.zeros((_GROUP_COUNT, STATES, STATES), dtype=np.float32)
    near = np.zeros((_GROUP_COUNT, 12, STATES), dtype=np.float32)
    longer: dict[tuple[int, int], int] = {}
    for name, notes in levels:
        group = GROUPS[name]
        for hand in (RIGHT, LEFT):
            own, other = _states(notes, hand), _states(notes, LEFT + RIGHT - hand)
            before, last, last_beat = _NONE, _NONE, -np.inf
            for beat, state in own:
                gap = _gap_class(beat - last_beat)
                pair[group, gap, last, state] += 1
                if before != _NONE:
                    key = ((group * _GAP_COUNT + gap) * (STATES + 1) + before) * (STATES + 1) + last
                    longer[key, state] = longer.get((key, state), 0) + 1
                before, last, last_beat = last, state, beat
            beats = np.array([beat for beat, _ in other])
            for beat, state in own:
                at = int(np.searchsorted(beats, beat + 1e-3)) - 1
                if at < 0:
                    continue
                mirrored = MIRROR[other[at][1]]
                if abs(beats[at] - beat) < 1e-3:
                    beside[group, mirrored, state] += 1
                else:
                    near[group, mirrored // 9, state] += 1
    rows = sorted(longer.items())
    return PatternTable(
        pair=pair,
        keys=np.array([key for (key, _), _ in rows], dtype=np.uint32),
        following=np.array([state for (_, state), _ in rows], dtype=np.uint8),
        count=np.array([min(count, 65535) for _, count in rows], dtype=np.uint16),
        beside=beside,
        near=near,
    )


def _states(notes: Mapping[str, NDArray[Any]], hand: int) -> list[tuple[float, int]]:
    """Beats and states of one hand as the right hand's, one per time."""
    x, y, cut = (np.asarray(notes[name]).astype(np.int64) for name in ("x", "y", "cut"))
    beat, color = np.asarray(notes["beat"], dtype=np.float64), np.asarray(notes["color"])
    on_grid = (x >= 0) & (x < 4) & (y >= 0) & (y < 3) & (cut >= 0) & (cut < 9)
    rows = np.flatnonzero(on_grid & (color == (1 if hand == RIGHT else 0)))
    out: list[tuple[float, int]] = []
    for row in rows:
        state = int((x[row] * 3 + y[row]) * 9 + cut[row])
        if not out or beat[row] - out[-1][0] > 1e-3:
            out.append((float(beat[row]), state if hand == RIGHT else int(MIRROR[state])))
    return out


# ---- placing --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True, slots=True)
class Placed:
    """Notes of one difficulty, sorted by beat."""

    beat: F64
    """(notes,)."""
    hand: NDArray[np.uint8]
    """LEFT or RIGHT: (notes,)."""
    state: I64
    """(notes,)."""
    left_out: int
    """Notes of the rhythm for which no state was allowed."""
    refused: float
    """Draws that a mask took away: what would have been a violation."""

    def arrays(self) -> dict[str, NDArray[Any]]:
        """The notes as `Difficulty.from_arrays` takes them."""
        return {
            "beat": self.beat,
            "x": (self.state // 27).astype(np.uint8),
            "y": (self.state // 9 % 3).astype(np.uint8),
            "color": (self.hand == RIGHT).astype(np.uint8),
            "cut": (self.state % 9).astype(np.uint8),
        }


class _Composer:
    """One difficulty while it is composed."""

    def __init__(
        self,
        state: _native.PlayState,
        gentle: _native.PlayState | None,
        table: PatternTable,
        group: int,
        taste: Taste,
        rng: np.random.Generator,
    ) -> None:
        self.state, self.gentle, self.table, self.group, self.rng = state, gentle, table, group, rng
        self.taste = taste
        self.liked = np.ones(STATES)
        """Weight of each state in this song; the same in a mirror."""
        for name, of in (
            ("dots", _CUT == 8),
            ("diagonals", (_CUT >= 4) & (_CUT < 8)),
            ("top_row", _ROW == 2),
            ("middle_row", _ROW == 1),
            ("outer_columns", (_COLUMN == 0) | (_COLUMN == 3)),
        ):
            self.liked[of] *= taste[name]
        self.easy = np.ones(STATES, dtype=bool)
        self.before = {LEFT: (_NONE, _NONE, -np.inf), RIGHT: (_NONE, _NONE, -np.inf)}
        self.mask = np.zeros(STATES, dtype=bool)
        self.refused = 0.0
        self.crossed = 0
        """Notes since the hands were last uncrossed."""

    def chances(self, hand: int, beat: float, beside: int | None) -> F64:
        """Chance of each state of a hand, before masks; `beside` is the other hand's state at the same time."""
        before, last, last_beat = self.before[hand]
        chance = self.table.after(self.group, _gap_class(beat - last_beat), before, last)
        # The tables see the right hand: for the left one all is in a mirror.
        other: int | None
        if beside is not None:
            other = beside if hand == RIGHT else int(MIRROR[beside])
        else:
            last_other = self.before[LEFT + RIGHT - hand][1]
            other = None if last_other == _NONE else int(MIRROR[last_other])
        chance = chance * self.table.lift(self.group, other, together=beside is not None)
        return chance[MIRROR] if hand == LEFT else chance

    def draw(self, hand: int, beat: float, wish: int | None, beside: int | None, temperature: float) -> int | None:
        """A state that is allowed, `wish` if it may be; None if none is."""
        side = int(hand == RIGHT)
        if beside is None:
            allowed = self.state.mask(side, beat, self.mask)
        else:
            allowed = self.state.mask_beside(side, beat, beside, self.mask)
        if not allowed:
            return None
        if wish is not None and self.mask[wish]:
            return wish
        chance = self.chances(hand, beat, beside) ** (1.0 / (_TEMPERATURE * temperature))
        if self.gentle is not None:
            if beside is None:
                self.gentle.mask(side, beat, self.easy)
            else:
                self.gentle.mask_beside(side, beat, beside, self.easy)
            chance = np.where(self.easy, chance, _STRAINED[self.group] * chance)
        chance = chance * self.liking(hand, beside)
        before = chance.sum()
        chance = np.where(self.mask, chance, 0.0)
        total = float(chance.sum())
        if not total > 0:
            return None
        self.refused += 1.0 - float(total) / float(before)
        return int(np.searchsorted(np.cumsum(chance), self.rng.random() * total, side="right").clip(0, STATES - 1))

    def liking(self, hand: int, beside: int | None) -> F64:
        """Weights of the states by the taste of the song: (108,)."""
        weight = self.liked.copy()
        # Chains keep states as the right hand's.
        before, last, _ = self.before[hand]
        if last != _NONE:
            own = last if hand == RIGHT else int(MIRROR[last])
            weight[np.abs(_COLUMN - _COLUMN[own]) >= 2] *= self.taste["jumps"]
            weight[own] *= self.taste["stays"]
        if before != _NONE:
            weight[before if hand == RIGHT else int(MIRROR[before])] *= self.taste["returns"]
        other = self.before[LEFT + RIGHT - hand][1]
        if beside is not None:
            other = beside
            weight[(_CUT[beside] == _CUT) | (_CUT[MIRROR[beside]] == _CUT)] *= self.taste["alike"]
            weight[_ROW[beside] == _ROW] *= self.taste["level"]
        elif other != _NONE and hand == RIGHT:
            other = int(MIRROR[other])
        if other != _NONE:
            # The longer the hands are crossed already, the less.
            side = 1 if hand == LEFT else -1
            weight[side * (_COLUMN - _COLUMN[other]) > 0] *= self.taste["crossed"] * _CROSSED_AGAIN ** min(
                self.crossed, 4
            )
        return weight

    def push(self, hand: int, beat: float, state: int) -> None:
        """Goes on by one note."""
        self.state.push(int(hand == RIGHT), beat, state)
        if self.gentle is not None:
            self.gentle.push(int(hand == RIGHT), beat, state)
        own = state if hand == RIGHT else int(MIRROR[state])
        _, last, _ = self.before[hand]
        self.before[hand] = (last, own, beat)
        other = self.before[LEFT + RIGHT - hand][1]
        if other != _NONE:
            # Both as the right hand's: crossed where they lie left of the middle together.
            crossed = _COLUMN[own] + _COLUMN[other] < 3
            self.crossed = self.crossed + 1 if crossed else 0


def play_states(
    clock: _native.TempoMap, difficulty: str, bpm: float, **speed: float
) -> tuple[_native.PlayState, _native.PlayState]:
    """The hands at the start of a level: what can be played, and what is not even awkward.

    Args:
        clock: of the level.
        difficulty: its name.
        bpm: its tempo.
        speed: `njs` and `reaction_s`, where they are known.
    """
    rank = 2 * RANKS.index(difficulty) + 1
    strict, gentle = (
        _native.PlayState(clock, rank=rank, bpm=bpm, avoid=avoid, **speed)
        for avoid in (None, [*_native.PlayState.hard(), "parity-strain"])
    )
    return strict, gentle


def place(
    rhythm: Rhythm,
    sound: Sound,
    difficulty: str,
    state: _native.PlayState,
    rng: np.random.Generator,
    table: PatternTable,
    taste: Taste,
    *,
    gentle: _native.PlayState | None = None,
    temperature: float = 1.0,
) -> Placed:
    """Notes for every onset of `rhythm` that has an allowed one, from the beginning to the end.

    What `gentle`, a stricter state, does not allow is drawn seldom: for what is awkward, but no fault.
    """
    composer = _Composer(state, gentle, table, GROUPS[difficulty], taste, rng)
    width = sound.bar_slots
    done: dict[tuple[int, int], int] = {}
    beats: list[float] = []
    hands: list[int] = []
    states: list[int] = []
    left_out = 0
    for slot, both in zip(rhythm.slot.tolist(), rhythm.hands.tolist(), strict=True):
        beat = slot / SLOTS_PER_BEAT
        source, mirrored = int(rhythm.source[slot // width]), bool(rhythm.mirrored[slot // width])
        twin = slot - (slot // width - source) * width if source >= 0 else -1
        order = [LEFT, RIGHT] if rng.random() < 0.5 else [RIGHT, LEFT]
        beside: int | None = None
        for hand in order:
            if not both & hand:
                continue
            wish = done.get((twin, LEFT + RIGHT - hand if mirrored else hand))
            if mirrored and wish is not None:
                wish = int(MIRROR[wish])
            chosen = composer.draw(hand, beat, wish, beside, temperature)
            if chosen is None:
                left_out += 1
                continue
            composer.push(hand, beat, chosen)
            done[slot, hand] = chosen
            beside = chosen
            beats.append(beat)
            hands.append(hand)
            states.append(chosen)
    return Placed(
        beat=np.array(beats, dtype=np.float64),
        hand=np.array(hands, dtype=np.uint8),
        state=np.array(states, dtype=np.int64),
        left_out=left_out,
        refused=composer.refused,
    )
