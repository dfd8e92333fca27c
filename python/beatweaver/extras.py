"""Bombs, walls, arcs and chains around finished notes, at places that the music gives and that hurt no swing.

Nothing here moves a note. Arcs and chains stand on notes that are there, walls in lanes that are free, bombs where no
hand passes. What a place may hold is decided by rules that cannot be broken; how much of it, by what human maps have
(`_PER_MINUTE`); which of the places, by the sound.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Literal

import numpy as np
from numpy.typing import NDArray

from beatweaver.config import LEVELS
from beatweaver.errors import ConfigError
from beatweaver.tokens import SLOTS_PER_BEAT

if TYPE_CHECKING:
    from beatweaver.structure import Plan, Sound

__all__ = ["Extras", "Level", "add"]

F64 = NDArray[np.float64]
I64 = NDArray[np.int64]
Columns = dict[str, NDArray[Any]]

Level = Literal["none", "low", "medium", "high"]
"""How many of a kind of object."""

_PER_MINUTE: Final[Mapping[str, Mapping[str, tuple[float, float, float]]]] = {
    #                        low   median  high
    "bombs": {
        "Easy": (1.6, 4.7, 9.2),
        "Normal": (2.3, 5.2, 11.3),
        "Hard": (3.0, 6.9, 21.3),
        "Expert": (3.4, 8.1, 20.4),
        "ExpertPlus": (3.7, 10.0, 29.1),
    },
    "walls": {
        "Easy": (6.2, 11.4, 28.5),
        "Normal": (5.2, 12.0, 28.1),
        "Hard": (4.2, 11.1, 25.4),
        "Expert": (4.6, 11.8, 26.0),
        "ExpertPlus": (4.8, 12.7, 29.3),
    },
}
"""Quartiles of 862 human levels (417 maps without gameplay mods, 77 Easy to 267 Expert), between the first and the last
note, of those levels that have any: 18 % (Easy) to 58 % (ExpertPlus) have bombs, 79 to 86 % have walls."""
_SLIDERS_PER_MINUTE: Final[Mapping[str, tuple[float, float]]] = {
    "Easy": (1.0, 0.0),
    "Normal": (2.0, 0.0),
    "Hard": (4.5, 1.5),
    "Expert": (6.0, 2.0),
    "ExpertPlus": (7.0, 2.0),
}
"""Arcs and chains. Only 29 of those levels are of a version that has them, 24 of them Hard or above, so that quartiles
say little: medians 0 to 5.5 arcs (5 to 55 where there are any), 0 chains (2 to 3 where there are any)."""

_HOT_START_S: Final = 1.5
"""No object before this time."""
_OUTRO_S: Final = 2.0
"""No object within this time of the song's end."""
_TOGETHER_S: Final = 0.1
"""Notes nearer than this are one hit."""

_STEP: Final = np.array(
    [(0, 1), (0, -1), (-1, 0), (1, 0), (-1, 1), (1, 1), (-1, -1), (1, -1), (0, 0)], dtype=np.float64
)
"""Where a cut goes, in columns and rows, by direction."""
_DOT: Final = 8

_ARC_S: Final = (0.4, 3.0)
"""Shortest and longest arc; half of the human ones take 0.25 to 0.72 s, a tenth more than 1.6 s."""
_ARC_MULTIPLIER: Final = 1.0
"""Of nine tenths of the human arcs."""
_CHAIN_FIRST_NOTE: Final = 16
"""No chain among the first notes."""
_CHAIN_S: Final = 0.06
"""About how long a chain takes."""
_CHAIN_REST_S: Final = 0.3
"""Least time from a chain's end to the hand's next note; a tenth of the human ones have less than 0.27 s."""

_BOMB_CLEAR_S: Final = 0.16
"""Notes this near to a bomb are more than two cells away, walls and chains not in its cell. MapCheck's hammer hit looks
125 ms back and 75 ms ahead."""
_BOMB_CLEAR_CELLS: Final = 2.05
_BOMB_BETWEEN_S: Final = 0.06
"""No note at all this near to a bomb."""
_BOMB_SWING_S: Final = 0.4
"""Notes this near to a bomb keep the line of their swing free of it."""
_BOMB_REACH: Final = 1.5
"""Cells between a bomb and the way that a hand takes from one swing to the next, at least."""
_BOMB_SPACING_S: Final = 0.5
_LIGHT_S: Final = 0.25
"""How long before a bomb some light has to be on."""
_BOMB_WEIGHT: Final = (4.0, 1.4, 1.0)
"""How often the rows of the outer columns have bombs, bottom to top, in human maps."""
_VISION_BLOCK_S: Final[Mapping[str, float]] = {
    "Easy": 1.2,
    "Normal": 1.0,
    "Hard": 0.75,
    "Expert": 0.625,
    "ExpertPlus": 0.5,
}
"""How long a note in a middle column at face height hides what comes after it in its half."""

_WALL_CLEAR_S: Final = 0.15
"""No note in a wall's cells this near to it."""
_WALL_SPACING_S: Final = 0.45
_WALL_BEATS: Final = (0.25, 0.5, 1.0, 2.0, 4.0)
_WALL_CHANCE: Final = (0.30, 0.30, 0.22, 0.12, 0.06)
"""Lengths of side walls; half of the human ones take 0.06 to 1 beat, a tenth more than 3."""
_WALL_SHORTEST_S: Final = 0.05
_CROUCH_CLEAR_S: Final = 0.3
_CROUCH_SPACING_S: Final = 3.0
_DODGE_CLEAR_S: Final = 0.4
"""No note at all this near to a wall that closes a half."""
_DODGE_SPACING_S: Final = 1.0
"""Between walls that a player has to dodge; MapCheck wants 0.25 s."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Extras:
    """Objects besides the notes, each group sorted by beat, as `Difficulty.from_arrays` takes them."""

    bombs: Columns
    """`beat`, `x`, `y`."""
    obstacles: Columns
    """`beat`, `duration_beats`, `x`, `y`, `width`, `height`."""
    arcs: Columns
    """`beat`, `tail_beat`, `multiplier`, `tail_multiplier`, `color`, `x`, `y`, `cut`, `tail_x`, `tail_y`, `tail_cut`,
    `mid_anchor`; both ends lie on notes."""
    chains: Columns
    """`beat`, `tail_beat`, `squish`, `color`, `x`, `y`, `cut`, `tail_x`, `tail_y`, `slices`; the head
    lies on a note."""


_BOMB = ("beat", "x", "y")
_WALL = ("beat", "duration_beats", "x", "y", "width", "height")
_ARC = (
    *("beat", "tail_beat", "multiplier", "tail_multiplier"),
    *("color", "x", "y", "cut", "tail_x", "tail_y", "tail_cut", "mid_anchor"),
)
_CHAIN = ("beat", "tail_beat", "squish", "color", "x", "y", "cut", "tail_x", "tail_y", "slices")
_FLOATS = {"beat", "tail_beat", "duration_beats", "multiplier", "tail_multiplier", "squish"}


def _columns(names: tuple[str, ...], rows: list[tuple[float, ...]]) -> Columns:
    rows = sorted(rows)
    return {
        name: np.array([row[i] for row in rows], dtype=np.float64 if name in _FLOATS else np.int32)
        for i, name in enumerate(names)
    }


def add(
    notes: Mapping[str, NDArray[Any]],
    sound: Sound,
    plan: Plan,
    difficulty: str,
    rng: np.random.Generator,
    *,
    bombs: Level = "medium",
    walls: Level = "medium",
    decorative_walls: bool = False,
    rankable: bool = False,
    end_s: float,
) -> Extras:
    """Bombs, walls, arcs and chains for `notes` (`beat`, `x`, `y`, `color`, `cut`, sorted by beat, on the 4 x 3 grid).

    Args:
        notes: the finished notes; they stay as they are.
        sound: the song; its beats are those of the notes.
        plan: sections and energy of the song.
        difficulty: name of the difficulty.
        rng: where chance comes from; the same state gives the same objects.
        bombs: how many bombs.
        walls: how many walls that are played.
        decorative_walls: walls beside the track as well, which no player touches.
        rankable: nothing that ranking criteria forbid: no chains, no decorative walls.
        end_s: length of the song's audio in seconds.

    Returns:
        The objects; none where there are no notes.

    Raises:
        ConfigError: an unknown difficulty or level.
    """
    for name, level in (("bombs", bombs), ("walls", walls)):
        if level not in LEVELS:
            raise ConfigError(
                f"{name}: found {level!r}, expected one of {', '.join(LEVELS)}", where=name, found=str(level)
            )
    if difficulty not in _SLIDERS_PER_MINUTE:
        expected = ", ".join(_SLIDERS_PER_MINUTE)
        raise ConfigError(f"difficulty: found {difficulty!r}, expected one of {expected}", found=difficulty)
    stage = _Stage(notes, sound, plan, difficulty, rng, end_s)
    if len(stage.time) and stage.last_s > stage.first_s:
        stage.add_arcs()
        if not rankable:
            stage.add_chains()
        stage.add_walls(walls)
        stage.add_bombs(bombs)
        if decorative_walls and not rankable:
            stage.add_decoration()
    return Extras(
        bombs=_columns(_BOMB, stage.bombs),
        obstacles=_columns(_WALL, stage.walls),
        arcs=_columns(_ARC, stage.arcs),
        chains=_columns(_CHAIN, stage.chains),
    )


def _wanted(kind: str, difficulty: str, level: Level) -> float:
    """Objects per minute: the quartiles for low and high, for medium the median of bombs and more of walls."""
    low, median, high = _PER_MINUTE[kind][difficulty]
    # Half of the human levels have no bombs at all; walls the most have.
    medium = median if kind == "bombs" else float(np.sqrt(median * high))
    return {"none": 0.0, "low": low, "medium": medium, "high": high}[level]


def _chosen(score: F64, time_s: F64, phrase: I64, size: I64, count: float, spacing_s: float) -> list[int]:
    """Rows of the best scores until their sizes add up to `count`, spaced, each phrase with a fair share; in order."""
    left = score.astype(np.float64).copy()
    share = max(count / max(len(np.unique(phrase)), 1), 1.0)
    taken: list[int] = []
    total = 0
    while len(left) and total + 0.5 < count:
        best = int(np.argmax(left))
        if not np.isfinite(left[best]):
            break
        taken.append(best)
        total += int(size[best])
        left[phrase == phrase[best]] -= size[best] / share
        left[np.abs(time_s - time_s[best]) < spacing_s - 1e-6] = -np.inf
    return sorted(taken)


def _cells(*cells: tuple[int, int]) -> int:
    """A bit for each cell, those off the grid left out."""
    return sum({1 << (3 * x + y) for x, y in cells if 0 <= x < 4 and 0 <= y < 3})


_OUTER_LANES: Final = tuple(_cells(*((x, y) for y in range(3))) for x in (0, 3))
_CROUCHED: Final = _cells(*((x, 2) for x in range(4)))
_ANYWHERE: Final = _cells(*((x, y) for x in range(4) for y in range(3)))


def _segment_distance(point: tuple[float, float], a: F64, b: F64) -> float:
    """Distance of a point to the segment from a to b, in cells."""
    p = np.array(point, dtype=np.float64)
    along = b - a
    length = float(along @ along)
    share = float(np.clip((p - a) @ along / length, 0.0, 1.0)) if length > 0 else 0.0
    return float(np.linalg.norm(p - a - share * along))


@dataclass(frozen=True, slots=True)
class _Body:
    """Cells that something fills for a time: a note, a chain, a wall."""

    start_s: float
    end_s: float
    cells: int
    """A bit per cell, see `_cells`."""


@dataclass(frozen=True, slots=True)
class _Hand:
    """Notes of one hand: their rows, and when they are."""

    rows: I64
    time: F64


class _Stage:
    """One difficulty while its objects are added: arcs, then chains, walls and bombs, each minding those before."""

    def __init__(
        self,
        notes: Mapping[str, NDArray[Any]],
        sound: Sound,
        plan: Plan,
        difficulty: str,
        rng: np.random.Generator,
        end_s: float,
    ) -> None:
        self.sound, self.difficulty, self.rng = sound, difficulty, rng
        self.beat = np.asarray(notes["beat"], dtype=np.float64)
        self.time = np.asarray(sound.grid.seconds(self.beat), dtype=np.float64)
        self.x, self.y, self.color, self.cut = (
            np.asarray(notes[name]).astype(np.int64) for name in ("x", "y", "color", "cut")
        )
        self.hands = [_Hand(rows := np.flatnonzero(self.color == color), self.time[rows]) for color in (0, 1)]
        played = self.time if len(self.time) else np.zeros(1)
        self.first_s = max(float(played[0]), _HOT_START_S)
        self.last_s = min(float(played[-1]), end_s - _OUTRO_S)
        self.minutes = max(self.last_s - self.first_s, 0.0) / 60.0
        total = np.log1p(sound.flux.sum(axis=1))
        heard = total[total > 0]
        self.accent = total / float(np.median(heard)) if len(heard) else total
        self.phrase = plan.phrases()
        self.energy = plan.energy
        self.begins = np.diff(self.phrase, prepend=-1) > 0
        self.bombs: list[tuple[float, ...]] = []
        self.walls: list[tuple[float, ...]] = []
        self.arcs: list[tuple[float, ...]] = []
        self.chains: list[tuple[float, ...]] = []
        self.on_arcs: set[int] = set()
        self.arc_spans: list[tuple[float, float, int, int]] = []
        self.bodies = [
            _Body(t, t, _cells((x, y)))
            for t, x, y in zip(self.time.tolist(), self.x.tolist(), self.y.tolist(), strict=True)
        ]
        self.wall_bodies: list[_Body] = []
        empty = np.empty(0)
        self.body_columns: tuple[F64, F64, I64] = (empty, empty, np.empty(0, dtype=np.int64))

    # ---- where in the music ----

    def bar(self, beat: F64) -> I64:
        """Bars of positions in beats, those outside of the plan counted to its first or last."""
        bar = np.floor(np.asarray(beat) / self.sound.metre + 1e-9).astype(np.int64)
        return np.clip(bar, 0, len(self.phrase) - 1)

    def accent_at(self, beat: F64) -> F64:
        """How strongly the song sounds at positions in beats; 1 is ordinary."""
        slot = np.round(np.asarray(beat) * SLOTS_PER_BEAT).astype(np.int64)
        inside = (slot >= 0) & (slot < len(self.accent))
        out: F64 = np.where(inside, self.accent[np.clip(slot, 0, len(self.accent) - 1)], 0.0)
        return out

    def slots(self, step: int) -> tuple[F64, F64]:
        """Beats and times of every `step`-th slot of the part that is played."""
        first, last = self.sound.grid.beat(np.array([self.first_s, self.last_s])) * SLOTS_PER_BEAT / step
        beat = np.arange(np.ceil(first - 1e-9), np.floor(last + 1e-9) + 1) * step / SLOTS_PER_BEAT
        return beat, self.sound.grid.seconds(beat)

    def weight(self, beat: F64) -> F64:
        """How much a place in the bar speaks for an object: accents, beats, first beats of bars and of phrases."""
        on_beat = np.abs(beat - np.round(beat)) < 1e-6
        first = on_beat & (np.round(beat).astype(np.int64) % self.sound.metre == 0)
        opening = first & self.begins[self.bar(beat)]
        chance = 0.4 * self.rng.standard_normal(len(beat))
        out: F64 = np.minimum(self.accent_at(beat), 2.5) + 0.4 * on_beat + 0.5 * first + 0.8 * opening + chance
        return out

    # ---- arcs and chains ----

    def alone(self, hand: _Hand) -> NDArray[np.bool_]:
        """Which hits of a hand are one arrow note: (hits,)."""
        gap = np.diff(hand.time)
        near = gap < _TOGETHER_S
        single = ~(np.append(near, False) | np.append(False, near)) if len(hand.time) else np.zeros(0, dtype=bool)
        out: NDArray[np.bool_] = single & (self.cut[hand.rows] != _DOT)
        return out

    def add_arcs(self) -> None:
        """Arcs from a note to the hand's next, where the hand rests and the sound goes on without accents."""
        heads: list[int] = []
        tails: list[int] = []
        for hand in self.hands:
            single = self.alone(hand)
            gap = np.diff(hand.time)
            fits = single[:-1] & single[1:] & (gap >= _ARC_S[0]) & (gap <= _ARC_S[1])
            fits &= (hand.time[:-1] >= self.first_s) & (hand.time[1:] <= self.last_s)
            heads += hand.rows[:-1][fits].tolist()
            tails += hand.rows[1:][fits].tolist()
        if not heads:
            return
        head, tail = np.array(heads), np.array(tails)
        gap = self.time[tail] - self.time[head]
        between = np.array([self.between(self.beat[a], self.beat[b]) for a, b in zip(head, tail, strict=True)])
        score = np.minimum(gap, 1.5) - between + 0.3 * self.accent_at(self.beat[head])
        score += 0.3 * self.rng.standard_normal(len(head))
        count = _SLIDERS_PER_MINUTE[self.difficulty][0] * self.minutes
        ones = np.ones(len(head), dtype=np.int64)
        for i in _chosen(score, self.time[head], self.phrase[self.bar(self.beat[head])], ones, count, 0.25):
            a, b = int(head[i]), int(tail[i])
            self.arcs.append(
                (
                    *(float(self.beat[a]), float(self.beat[b]), _ARC_MULTIPLIER, _ARC_MULTIPLIER),
                    *(int(self.color[a]), int(self.x[a]), int(self.y[a]), int(self.cut[a])),
                    *(int(self.x[b]), int(self.y[b]), int(self.cut[b]), 0),
                )
            )
            self.on_arcs |= {a, b}
            low, high = sorted((int(self.x[a]), int(self.x[b])))
            self.arc_spans.append((float(self.time[a]), float(self.time[b]), low, high))

    def between(self, start: float, end: float) -> float:
        """Strongest accent strictly between two beats."""
        first, last = round(start * SLOTS_PER_BEAT) + 2, round(end * SLOTS_PER_BEAT) - 1
        inside = self.accent[max(first, 0) : max(last, 0)]
        return float(inside.max()) if len(inside) else 0.0

    def add_chains(self) -> None:
        """Chains in place of single arrows where the sound rolls on after the note."""
        rate = _SLIDERS_PER_MINUTE[self.difficulty][1]
        found: list[tuple[int, int, float]] = []
        for hand in self.hands:
            single = self.alone(hand)
            for i, row in enumerate(hand.rows.tolist()):
                if not rate or not single[i] or row < _CHAIN_FIRST_NOTE or row in self.on_arcs:
                    continue
                length = self.chain_length(row)
                tail_beat = self.chain_end(row)
                tail_s = float(self.sound.grid.seconds(tail_beat))
                free = i + 1 == len(hand.rows) or hand.time[i + 1] - tail_s >= _CHAIN_REST_S
                around = (self.time > self.time[row] - _TOGETHER_S) & (self.time < tail_s + _TOGETHER_S)
                if length and free and around.sum() == 1 and self.time[row] >= self.first_s and tail_s <= self.last_s:
                    found.append((row, length, tail_beat))
        if not found:
            return
        rows = np.array([row for row, _, _ in found])
        # A roll: sound between the quarters right after the note.
        roll = sum((self.accent_at(self.beat[rows] + k / SLOTS_PER_BEAT) for k in (1, 2, 3)), np.zeros(len(rows)))
        score = roll / 3.0 + 0.5 * self.accent_at(self.beat[rows]) + 0.3 * self.rng.standard_normal(len(rows))
        ones = np.ones(len(rows), dtype=np.int64)
        phrase = self.phrase[self.bar(self.beat[rows])]
        for i in _chosen(score, self.time[rows], phrase, ones, rate * self.minutes, 1.0):
            row, length, tail_beat = found[i]
            x, y, cut = int(self.x[row]), int(self.y[row]), int(self.cut[row])
            cells = [(x + k * int(_STEP[cut][0]), y + k * int(_STEP[cut][1])) for k in range(length + 1)]
            head = (int(self.color[row]), x, y, cut)
            self.chains.append((float(self.beat[row]), tail_beat, 1.0, *head, *cells[-1], 2 * length + 1))
            tail_s = float(self.sound.grid.seconds(tail_beat))
            self.bodies.append(_Body(float(self.time[row]), tail_s, _cells(*cells)))

    def chain_length(self, row: int) -> int:
        """Cells that a chain from a note may go straight on: 2, 1, or 0 for none."""
        step = _STEP[self.cut[row]].astype(int)
        for length in (2, 1):
            cells = [(int(self.x[row]) + k * step[0], int(self.y[row]) + k * step[1]) for k in range(length + 1)]
            on_grid = all(0 <= x < 4 and 0 <= y < 3 for x, y in cells)
            # A chain at face height would hide what comes after it.
            if on_grid and not any(y == 1 and x in (1, 2) for x, y in cells):
                return length
        return 0

    def chain_end(self, row: int) -> float:
        """Beat of a chain's end: an eighth of a beat after its head, or the power of two that is nearest to 60 ms."""
        beat = float(self.beat[row])
        second = float(self.sound.grid.beat(float(self.time[row]) + _CHAIN_S)) - beat
        return beat + min((1 / 16, 1 / 8, 1 / 4), key=lambda part: abs(part - second))

    # ---- walls ----

    def free_until(self, start_s: float, cells: int, clear_s: float) -> float:
        """Until when a wall that begins now may fill `cells`; the start itself or earlier where it may not begin."""
        start, end, filled = self.body_columns
        in_the_way = start[(filled & cells != 0) & (end >= start_s - clear_s)]
        return min(self.last_s, float(in_the_way.min(initial=np.inf)) - clear_s)

    def add_walls(self, level: Level) -> None:
        """Side walls on accents, at times walls to crouch under or to step aside from where there is room."""
        self.body_columns = (
            np.array([body.start_s for body in self.bodies]),
            np.array([body.end_s for body in self.bodies]),
            np.array([body.cells for body in self.bodies], dtype=np.int64),
        )
        beat, time = self.slots(SLOTS_PER_BEAT // 2)
        score = self.weight(beat)
        free = np.array([[self.free_until(t, lane, _WALL_CLEAR_S) - t for lane in _OUTER_LANES] for t in time.tolist()])
        able = free.reshape(-1, 2) >= _WALL_SHORTEST_S
        score = np.where(able.any(axis=1), score, -np.inf)
        bar = self.bar(beat)
        pair = able.all(axis=1) & (self.rng.random(len(beat)) < np.where(self.begins[bar], 0.6, 0.25))
        size = np.where(pair, 2, 1)
        count = _wanted("walls", self.difficulty, level) * self.minutes
        chosen = _chosen(score, time, self.phrase[bar], size, count, _WALL_SPACING_S)
        starts = [*time[chosen].tolist(), np.inf]
        last_forced, last_crouch, side = -np.inf, -np.inf, int(self.rng.integers(2))
        for i, row in enumerate(chosen):
            now = float(time[row])
            until = starts[i + 1] - _WALL_CLEAR_S
            draw = float(self.rng.random())
            crouch = self.free_until(now, _CROUCHED, _CROUCH_CLEAR_S)
            dodge = self.free_until(now, _ANYWHERE, _DODGE_CLEAR_S)
            forced = self.difficulty not in ("Easy", "Normal") and now - last_forced >= _DODGE_SPACING_S
            if forced and draw < 0.5 and dodge - now >= _WALL_SHORTEST_S:
                length = self.wall(float(beat[row]), min(dodge, until), 2 * side, 0, 2, 5, longest=1.0)
            elif forced and draw < 0.25 and crouch - now >= _WALL_SHORTEST_S and now - last_crouch >= _CROUCH_SPACING_S:
                length = self.wall(float(beat[row]), min(crouch, until), 0, 2, 4, 3, longest=1.0)
                last_crouch = now
            else:
                sides = (0, 1) if pair[row] else ((side,) if able[row, side] else (1 - side,))
                longest = self.length()
                for each in sides:
                    self.wall(float(beat[row]), min(now + float(free[row, each]), until), 3 * each, 0, 1, 5, longest)
                side = 1 - sides[0]
                continue
            side = 1 - side
            last_forced = now + length

    def length(self) -> float:
        """Beats that a side wall is to last."""
        return float(self.rng.choice(_WALL_BEATS, p=_WALL_CHANCE))

    def wall(self, beat: float, until_s: float, x: int, y: int, width: int, height: int, longest: float) -> float:
        """Puts up a wall as long as there is room, and says how many seconds it lasts."""
        start_s = float(self.sound.grid.seconds(beat))
        room = float(self.sound.grid.beat(until_s)) - beat
        duration = max((part for part in _WALL_BEATS if part <= min(room, longest) + 1e-9), default=min(room, longest))
        self.walls.append((beat, duration, x, y, width, height))
        end_s = float(self.sound.grid.seconds(beat + duration))
        cells = _cells(*((i, j) for i in range(x, x + width) for j in range(y, 3)))
        self.wall_bodies.append(_Body(start_s, end_s, cells))
        return end_s - start_s

    def add_decoration(self) -> None:
        """Walls beside the track, in pairs, higher and oftener where the song is strong."""
        beat, time = self.slots(SLOTS_PER_BEAT)
        for now, now_s in zip(beat.tolist(), time.tolist(), strict=True):
            energy = float(self.energy[self.bar(np.array(now))])
            every = 1 if energy > 0.66 else 2 if energy > 0.33 else self.sound.metre
            in_bar = round(now) % self.sound.metre
            duration = min(0.25, float(self.sound.grid.beat(self.last_s)) - now)
            if in_bar % every or self.sound.grid.seconds(now + duration) - now_s < _WALL_SHORTEST_S:
                continue
            away, height = 2 + in_bar % 3, 1 + round(4 * energy)
            self.walls += [(now, duration, x, 0, 1, height) for x in (-away - 1, 3 + away + 1)]

    # ---- bombs ----

    def add_bombs(self, level: Level) -> None:
        """Bombs in the outer columns, in gaps between hits, on the side of the track where the hands are not.

        The middle columns stay free of them: there a bomb would be read as the sign to reset the hand, or hide notes.
        """
        beat, time = self.slots(SLOTS_PER_BEAT // 4)
        score = self.weight(beat)
        # Lights begin no sooner than beat 0, and a bomb needs them before it comes near.
        lit_s = float(self.sound.grid.seconds(0.0)) + _LIGHT_S
        cells = [self.bomb_cells(t) if t >= lit_s else [] for t in time.tolist()]
        gap = self.gap_around(time)
        bar = self.bar(beat)
        closing = np.append(self.begins[1:], True)[bar]
        score = np.where([bool(c) for c in cells], score + np.minimum(gap, 1.5) + 0.4 * closing, -np.inf)
        pair = np.array([any((3 - x, y) in c for x, y in c) for c in cells], dtype=bool)
        pair &= self.rng.random(len(beat)) < 0.3
        count = _wanted("bombs", self.difficulty, level) * self.minutes
        for row in _chosen(score, time, self.phrase[bar], np.where(pair, 2, 1), count, _BOMB_SPACING_S):
            able = [c for c in cells[row] if not pair[row] or (3 - c[0], c[1]) in cells[row]]
            weight = np.array([_BOMB_WEIGHT[y] for _, y in able])
            x, y = able[int(self.rng.choice(len(able), p=weight / weight.sum()))]
            self.bombs += [(float(beat[row]), each, y) for each in ((x, 3 - x) if pair[row] else (x,))]

    def gap_around(self, time: F64) -> F64:
        """Seconds between the notes before and after each time, of both hands."""
        after = np.searchsorted(self.time, time)
        padded = np.concatenate([[-np.inf], self.time, [np.inf]])
        out: F64 = padded[after + 1] - padded[after]
        return out

    def bomb_cells(self, now: float) -> list[tuple[int, int]]:
        """Cells that a bomb may lie in at a time."""
        if np.ptp(np.searchsorted(self.time, [now - _BOMB_BETWEEN_S, now + _BOMB_BETWEEN_S])):
            return []
        cells = {(x, y) for x in (0, 3) for y in range(3)}
        for row in range(*np.searchsorted(self.time, [now - _BOMB_CLEAR_S, now + _BOMB_CLEAR_S])):
            cells = {(x, y) for x, y in cells if np.hypot(x - self.x[row], y - self.y[row]) > _BOMB_CLEAR_CELLS}
        if not cells:
            return []
        for body in [*self.bodies[len(self.time) :], *self.wall_bodies]:
            if body.start_s - _BOMB_CLEAR_S <= now <= body.end_s + _BOMB_CLEAR_S:
                cells = {cell for cell in cells if not body.cells & _cells(cell)}
        for start_s, end_s, low, high in self.arc_spans:
            if start_s <= now <= end_s:
                cells = {(x, y) for x, y in cells if x < low - 1 or x > high + 1}
        first, last = np.searchsorted(self.time, [now - _BOMB_SWING_S, now + _BOMB_SWING_S])
        for row in range(first, last):
            at = np.array([self.x[row], self.y[row]])
            step = _STEP[self.cut[row]]
            cells -= {(int(at[0] + k * step[0]), int(at[1] + k * step[1])) for k in range(-3, 4)}
        hidden_s = _VISION_BLOCK_S[self.difficulty]
        for row in range(*np.searchsorted(self.time, [now - hidden_s - 0.01, now])):
            if self.y[row] == 1 and self.x[row] in (1, 2):
                cells = {(x, y) for x, y in cells if (x < 2) != (self.x[row] < 2)}
        for hand in self.hands:
            way = self.way(hand, now)
            if way is not None:
                cells = {cell for cell in cells if _segment_distance(cell, *way) > _BOMB_REACH}
        return sorted(cells)

    def way(self, hand: _Hand, now: float) -> tuple[F64, F64] | None:
        """From where its last cut came out to where its next goes in: the way of a hand at a time, in cells."""
        at = int(np.searchsorted(hand.time, now))
        ends = []
        for i, sign in ((at - 1, 1.0), (at, -1.0)):
            if 0 <= i < len(hand.rows):
                row = hand.rows[i]
                ends.append(np.array([self.x[row], self.y[row]]) + sign * _STEP[self.cut[row]])
        return (ends[0], ends[-1]) if ends else None
