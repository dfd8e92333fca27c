"""Which slots of the beat grid carry notes, and for which hand.

Each slot gets the odds that a person would place a note there, from what sounds around it, where it lies in the bar,
and how dense the bar is to be (`slot_columns`, weights learnt from human maps). Bars then take their best slots to the
number that the plan asks, or copy the rhythm of an earlier bar that sounds alike, as people do. Easier difficulties
choose among the slots of the harder one, so that all belong together.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Final

import numpy as np
from numpy.typing import NDArray

from beatweaver.structure import Plan, Sound
from beatweaver.timing import SLOTS_PER_BEAT

__all__ = ["BOTH", "LEFT", "RIGHT", "Rhythm", "compose", "slot_columns"]

F64 = NDArray[np.float64]
I64 = NDArray[np.int64]

LEFT: Final = 1
RIGHT: Final = 2
BOTH: Final = 3

_NEAR: Final = (1, 2, 3, 4, 6, 9, 12)
"""Distances in slots at which a slot is compared with its neighbours."""
_ALLOWED: Final = ((0, 3, 6, 9), (0, 2, 4, 6, 8, 10))
"""Places in a beat that go together: quarters, and triplets with their halves."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Style:
    """What a difficulty may ask of the hands."""

    gap_s: float
    """Least time between onsets."""
    hand_gap_s: float
    """Least time between notes of one hand."""
    doubles: float
    """Share of onsets that take both hands."""
    same_hand: float
    """Chance that a hand follows itself after a gap that allows it."""


STYLES: Final[Mapping[str, Style]] = {
    "Easy": Style(gap_s=0.40, hand_gap_s=0.60, doubles=0.12, same_hand=0.20),
    "Normal": Style(gap_s=0.28, hand_gap_s=0.45, doubles=0.17, same_hand=0.25),
    "Hard": Style(gap_s=0.18, hand_gap_s=0.33, doubles=0.20, same_hand=0.30),
    "Expert": Style(gap_s=0.12, hand_gap_s=0.24, doubles=0.20, same_hand=0.33),
    "ExpertPlus": Style(gap_s=0.08, hand_gap_s=0.19, doubles=0.18, same_hand=0.35),
}
"""Near the medians of human maps; the shortest gaps near their tenth percentile."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Rhythm:
    """Onsets of one difficulty, in order."""

    slot: I64
    """Slots of the grid: (onsets,)."""
    hands: NDArray[np.uint8]
    """LEFT, RIGHT or BOTH: (onsets,)."""
    weight: F64
    """Log odds that a person would play there: (onsets,)."""
    source: I64
    """Bar whose rhythm each bar repeats, -1 for a bar of its own: (bars,)."""


def slot_columns(sound: Sound, density: F64) -> F64:
    """What is known of each slot, given notes per slot wanted around it (slots,): (slots, columns).

    Columns: sound at the slot and against its neighbours, sound at the same place of the three likest bars, the place in
    the beat and in the bar, and how these weigh in dense bars.
    """
    flux = np.log1p(sound.flux)
    total = flux.sum(axis=1)
    columns = [flux, total[:, None]]
    padded = np.pad(total, max(_NEAR))
    base = max(_NEAR)
    for step in _NEAR:
        before, after = padded[base - step : len(padded) - base - step], padded[base + step : base + step + len(total)]
        columns.append(np.stack([np.maximum(total - before, 0), np.maximum(total - after, 0)], axis=1))
    around = np.max([padded[base + k : base + k + len(total)] for k in range(-6, 7)], axis=0)
    share = total / np.maximum(around, 1e-6)
    columns.append(np.stack([share, (share > 0.999).astype(float)], axis=1))
    columns.append(_alike(sound, total)[:, None])
    place = np.arange(len(total)) % SLOTS_PER_BEAT
    beat = (np.arange(len(total)) // SLOTS_PER_BEAT) % sound.metre
    at = np.eye(SLOTS_PER_BEAT)[place]
    log_density = np.log(np.maximum(density, 1e-3))[:, None]
    first = (beat == 0) & (place == 0)
    half = (beat == sound.metre // 2) & (place == 0)
    even = (beat % 2 == 1) & (place == 0)
    columns += [at, np.stack([first, half, even], axis=1).astype(float), at * log_density, total[:, None] * log_density]
    return np.concatenate(columns, axis=1)


def _likest(sound: Sound, count: int) -> I64:
    """The other bars most like each bar: (bars, count)."""
    likeness = sound.likeness.copy()
    np.fill_diagonal(likeness, -np.inf)
    return np.argsort(-likeness, axis=1, kind="stable")[:, :count]


def _alike(sound: Sound, total: F64) -> F64:
    """Mean sound at the same place of the three bars most like a slot's own."""
    bars = total.reshape(sound.bars, -1)
    if sound.bars < 4:
        return total
    return bars[_likest(sound, 3)].mean(axis=1).ravel()


@cache
def _weights() -> dict[str, F64]:
    text = files("beatweaver").joinpath("weights/classic/rhythm.json").read_text("utf-8")
    return {name: np.array(row) for name, row in json.loads(text)["weights"].items()}


def _log_odds(sound: Sound, density: F64, difficulty: str) -> F64:
    """Log odds of a note at each slot, up to what the density decides."""
    weights = _weights()["hard" if difficulty in ("Expert", "ExpertPlus") else "easy"]
    return slot_columns(sound, density) @ weights[1:] + weights[0]


def compose(
    sound: Sound,
    plan: Plan,
    difficulty: str,
    rng: np.random.Generator,
    *,
    within: Rhythm | None = None,
    first_s: float = 0.0,
    last_s: float = np.inf,
) -> Rhythm:
    """Rhythm of one difficulty to its plan, from `first_s` to `last_s`; with `within`, of slots that are onsets there."""
    style = STYLES[difficulty]
    seconds = np.diff(sound.bar_seconds())
    per_onset = 1.0 + style.doubles
    wanted = plan.nps[difficulty] * seconds / per_onset
    density = np.repeat(np.maximum(wanted, 0.25) / sound.bar_slots, sound.bar_slots)
    odds = _log_odds(sound, density, difficulty)
    if within is not None:
        kept = np.full(len(odds), -np.inf)
        kept[within.slot] = odds[within.slot] + 0.5 * within.weight
        odds = kept
    slot_s = sound.grid.seconds(np.arange(len(odds)) / SLOTS_PER_BEAT)
    odds[(slot_s < first_s) | (slot_s > last_s)] = -np.inf
    chosen, source = _choose_bars(sound, odds, wanted, slot_s, style.gap_s)
    slot = np.flatnonzero(chosen)
    hands = _hands(slot, slot_s[slot], odds[slot], sound.bar_slots, source, style, rng)
    return Rhythm(slot=slot, hands=hands, weight=odds[slot], source=source)


def _choose_bars(sound: Sound, odds: F64, wanted: F64, slot_s: F64, gap_s: float) -> tuple[NDArray[np.bool_], I64]:
    """The slots taken, bar by bar, and the bar that each bar repeats."""
    width = sound.bar_slots
    chosen = np.zeros(len(odds), dtype=bool)
    source = np.full(sound.bars, -1, dtype=np.int64)
    owed = 0.0
    song_wide = _triplets_fit(odds, width)
    for bar in range(sound.bars):
        span = slice(bar * width, (bar + 1) * width)
        if wanted[bar] <= 0:
            owed = 0.0
            continue
        target = wanted[bar] + owed
        count = round(target)
        fresh = _best_slots(odds[span], slot_s[span], count, gap_s, chosen[: span.start], slot_s, song_wide)
        earlier = _copied(sound, odds[span], chosen, bar, count, fresh, gap_s, slot_s)
        if earlier >= 0:
            fresh = np.flatnonzero(chosen[earlier * width : (earlier + 1) * width])
            source[bar] = earlier
        chosen[span.start + fresh] = True
        # What a bar could not hold is not forced onto the next ones: at most one onset is carried over.
        owed = float(np.clip(target - len(fresh), -1.0, 1.0))
    return chosen, source


def _triplets_fit(odds: F64, width: int) -> float:
    """By how much the song as a whole speaks for triplets rather than quarters: mean log odds."""
    place = np.arange(len(odds)) % SLOTS_PER_BEAT
    finite = np.isfinite(odds)

    def level(places: tuple[int, ...]) -> float:
        inside = np.isin(place, places) & finite
        return float(odds[inside].mean()) if inside.any() else -10.0

    return level((4, 8)) - level((3, 9))


def _best_slots(
    odds: F64, slot_s: F64, count: int, gap_s: float, before: NDArray[np.bool_], all_s: F64, triplets: float
) -> I64:
    """The `count` best slots of a bar that keep their distance, on quarters or on triplets beat by beat."""
    usable = np.isfinite(odds).copy()
    place = np.arange(len(odds)) % SLOTS_PER_BEAT
    for start in range(0, len(odds), SLOTS_PER_BEAT):
        beat = slice(start, start + SLOTS_PER_BEAT)
        levels = [np.sort(np.where(np.isin(place[beat], p[1:]), odds[beat], -np.inf))[::-1][:2].sum() for p in _ALLOWED]
        own = levels[1] - levels[0]
        takes = _ALLOWED[1] if np.isfinite(own) and own + triplets > 2.0 else _ALLOWED[0]
        if not np.isfinite(levels[0]) and np.isfinite(levels[1]):
            takes = _ALLOWED[1]
        usable[beat] &= np.isin(place[beat], takes)
    last = np.flatnonzero(before)
    if len(last):
        usable &= slot_s - all_s[last[-1]] >= gap_s - 1e-6
    taken: list[int] = []
    for index in np.argsort(-np.where(usable, odds, -np.inf), kind="stable"):
        if len(taken) >= count or not usable[index]:
            break
        if all(abs(slot_s[index] - slot_s[other]) >= gap_s - 1e-6 for other in taken):
            taken.append(int(index))
    return np.array(sorted(taken), dtype=np.int64)


def _copied(
    sound: Sound,
    odds: F64,
    chosen: NDArray[np.bool_],
    bar: int,
    count: int,
    fresh: I64,
    gap_s: float,
    slot_s: F64,
) -> int:
    """The earlier bar that this one had better repeat, or -1."""
    if bar == 0 or not len(fresh):
        return -1
    width = sound.bar_slots
    likeness = sound.likeness[bar, :bar]
    best, found = -np.inf, -1
    own = odds[fresh].mean()
    before = np.flatnonzero(chosen[: bar * width])
    for earlier in np.argsort(-likeness, kind="stable")[:3]:
        pattern = np.flatnonzero(chosen[earlier * width : (earlier + 1) * width])
        if not len(pattern) or likeness[earlier] < 0.35 or abs(len(pattern) - count) > max(1.0, 0.2 * count):
            continue
        if not np.isfinite(odds[pattern]).all():
            continue
        if len(before) and slot_s[bar * width + pattern[0]] - slot_s[before[-1]] < gap_s - 1e-6:
            continue
        value = odds[pattern].mean() + 0.6 * likeness[earlier]
        if value > own - 0.25 and value > best:
            best, found = value, int(earlier)
    return found


def _hands(
    slot: I64, time_s: F64, weight: F64, width: int, source: I64, style: Style, rng: np.random.Generator
) -> NDArray[np.uint8]:
    """LEFT, RIGHT or BOTH for each onset; bars that repeat another repeat its hands where they can."""
    hands = np.zeros(len(slot), dtype=np.uint8)
    if not len(slot):
        return hands
    gap = np.diff(time_s, prepend=time_s[0] - 10.0, append=time_s[-1] + 10.0)
    # Both hands on accents with room around them.
    room = np.minimum(gap[:-1], gap[1:])
    accent = weight + 2.0 * np.minimum(room, 0.5) + 0.5 * rng.standard_normal(len(slot))
    able = room >= style.hand_gap_s - 1e-6
    wanted = round(style.doubles * len(slot))
    both = np.zeros(len(slot), dtype=bool)
    order = [int(i) for i in np.argsort(-np.where(able, accent, -np.inf), kind="stable") if able[i]]
    both[order[:wanted]] = True
    row_of = {int(s): i for i, s in enumerate(slot)}
    last = {LEFT: -10.0, RIGHT: -10.0}
    previous = RIGHT
    for i, (at, now) in enumerate(zip(slot.tolist(), time_s.tolist(), strict=True)):
        bar = at // width
        twin = row_of.get(at - (bar - int(source[bar])) * width, -1) if source[bar] >= 0 else -1
        free = [hand for hand in (LEFT, RIGHT) if now - last[hand] >= style.hand_gap_s - 1e-6]
        if twin >= 0 and hands[twin] and (hands[twin] != BOTH or len(free) == 2) and (hands[twin] == BOTH or hands[twin] in free):
            hand = int(hands[twin])
        elif both[i] and len(free) == 2:
            hand = BOTH
        else:
            other = LEFT + RIGHT - previous
            again = previous in free and rng.random() < style.same_hand * min(1.0, max(0.0, (now - last[previous]) / 0.5 - 0.4))
            hand = previous if again or other not in free and previous in free else other
        hands[i] = hand
        for each in (LEFT, RIGHT):
            if hand & each:
                last[each] = now
        if hand != BOTH:
            previous = hand
    return hands
