"""Which slots of the beat grid carry notes, and for which hand.

Each slot gets the odds that a person would place a note there, from what sounds around it, where it lies in the bar,
and what the bar is like (`slot_columns`, weights learnt from human maps). Bars then take their best slots to the
number that the plan asks, or copy the rhythm of an earlier bar that sounds alike, as people do. Easier difficulties
choose among the slots of the harder one, so that all belong together.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING, Final

import numpy as np
from numpy.typing import NDArray

from beatweaver.tokens import SLOTS_PER_BEAT

if TYPE_CHECKING:
    from beatweaver.structure import Plan, Sound

__all__ = [
    "BOTH",
    "LEFT",
    "RIGHT",
    "STYLES",
    "TASTE",
    "Odds",
    "Rhythm",
    "Taste",
    "best_slots",
    "classic_odds",
    "compose",
    "expected_onsets",
    "hands_of",
    "slot_columns",
    "taste",
]

F64 = NDArray[np.float64]
I64 = NDArray[np.int64]

LEFT: Final = 1
RIGHT: Final = 2
BOTH: Final = 3

_COPY_LIKENESS: Final = 0.5
"""Bars less alike than this are not repeated."""
_COPY_PER_LIKENESS: Final = 0.6
_COPY_LOSS: Final = 0.05
"""A bar is repeated that loses less than this in mean log odds, likeness counted as a gain. On val a third of the bars
then repeat an earlier rhythm, as people's do (38 %), and F1 is as high as without."""
_NEAR: Final = (1, 2, 3, 4, 6, 9, 12)
"""Distances in slots at which a slot is compared with its neighbours."""
_SAME_HAND_BEATS: Final = (0.3, 0.6)
"""Gaps at which a hand's chance to follow itself changes."""
_DOUBLES_MOST: Final = 0.6
_SAME_HAND_MOST: Final = 0.7
"""No song goes beyond these, whatever its taste."""
_ROUNDS: Final = 6
"""Times a rhythm is composed at most to come near the number of notes that is asked for."""
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
    same_hand: tuple[float, float, float]
    """Chance that a hand follows itself after up to 0.3 beats, up to 0.6, and after more."""


STYLES: Final[Mapping[str, Style]] = {
    "Easy": Style(gap_s=0.37, hand_gap_s=0.55, doubles=0.12, same_hand=(0.05, 0.1, 0.2)),
    "Normal": Style(gap_s=0.24, hand_gap_s=0.42, doubles=0.17, same_hand=(0.05, 0.14, 0.24)),
    "Hard": Style(gap_s=0.145, hand_gap_s=0.3, doubles=0.20, same_hand=(0.08, 0.17, 0.33)),
    "Expert": Style(gap_s=0.095, hand_gap_s=0.22, doubles=0.20, same_hand=(0.1, 0.21, 0.37)),
    "ExpertPlus": Style(gap_s=0.07, hand_gap_s=0.18, doubles=0.18, same_hand=(0.07, 0.25, 0.4)),
}
"""Near the medians of human maps; the shortest gaps near their tenth percentile, for Hard half a beat at 200 BPM."""


Odds = Callable[[str, float], tuple[F64, F64 | None]]
"""What an engine hears: difficulty and density (onsets a slot) to log odds of an onset at each slot, and of both hands
there where it can tell: (slots,) each."""

Taste = Mapping[str, float]
"""What the level of one song prefers: a factor for each name of `TASTE`, the same for all its difficulties."""

TASTE: Final[Mapping[str, tuple[float, float]]] = {
    # rhythm
    "doubles": (0.95, 0.45),
    "same_hand": (1.3, 0.45),
    "mirrored": (0.14, 0.5),
    # placement: weights of states
    "alike": (12.0, 1.0),
    "level": (2.0, 0.6),
    "crossed": (0.75, 0.4),
    "dots": (0.6, 0.7),
    "diagonals": (1.25, 0.7),
    "top_row": (1.0, 0.6),
    "middle_row": (1.2, 0.5),
    "outer_columns": (1.0, 0.3),
    "jumps": (0.45, 0.6),
    "stays": (4.0, 1.0),
    "returns": (0.27, 0.4),
}
"""Median over songs, and spread over songs as the standard deviation of the logarithm. Tuned on val until the rates of
the levels have the median and the spread of people's."""


def taste(rng: np.random.Generator) -> Taste:
    """The taste of one song; nobody goes further than two standard deviations."""
    drawn = np.clip(rng.standard_normal(len(TASTE)), -2.0, 2.0).tolist()
    return {
        name: median * float(np.exp(spread * z))
        for (name, (median, spread)), z in zip(TASTE.items(), drawn, strict=True)
    }


def _style(difficulty: str, taste: Taste) -> Style:
    """What the difficulty asks of the hands in a level of this taste."""
    usual = STYLES[difficulty]
    first, second, third = (min(chance * taste["same_hand"], _SAME_HAND_MOST) for chance in usual.same_hand)
    return replace(
        usual, doubles=min(usual.doubles * taste["doubles"], _DOUBLES_MOST), same_hand=(first, second, third)
    )


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
    mirrored: NDArray[np.bool_]
    """Bars that repeat it in a mirror, with the hands exchanged: (bars,)."""


def slot_columns(sound: Sound, density: float) -> F64:
    """What is known of each slot, given the mean of notes per slot that is wanted: (slots, columns).

    Columns: sound at the slot and against its neighbours; sound at the same place of the three likest bars; the place
    in the beat and in the bar, also in dense levels; what the bar and its surroundings are like against the song, and
    the same for beats, halves, quarters and triplets on their own.
    """
    flux = np.log1p(sound.flux)
    total = flux.sum(axis=1)
    columns = [flux, total[:, None]]
    base = max(_NEAR)
    padded = np.pad(total, base)
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
    first = (beat == 0) & (place == 0)
    half = (beat == sound.metre // 2) & (place == 0)
    even = (beat % 2 == 1) & (place == 0)
    log_density = float(np.log(max(density, 1e-3)))
    columns += [at, np.stack([first, half, even], axis=1).astype(float), at * log_density, total[:, None] * log_density]
    bars = np.repeat(_bar_columns(sound, flux), sound.bar_slots, axis=0)
    kind = np.stack([place == 0, place == 6, np.isin(place, (3, 9)), np.isin(place, (2, 4, 8, 10))], axis=1)
    columns += [bars, np.repeat(_beat_columns(total), SLOTS_PER_BEAT, axis=0)]
    columns.append((bars[:, :, None] * kind[:, None, :]).reshape(len(total), -1))
    return np.concatenate(columns, axis=1)


def _against_song(x: F64) -> F64:
    clipped: F64 = np.clip((x - x.mean()) / (x.std() + 1e-9), -3.0, 3.0)
    return clipped


def _running(x: F64, width: int) -> F64:
    half = width // 2
    return np.convolve(np.pad(x, half, mode="edge"), np.full(width, 1.0 / width), mode="valid")


def _bar_columns(sound: Sound, flux: F64) -> F64:
    """The bars against their song: (bars, 18)."""
    by_bar = flux.reshape(sound.bars, -1, flux.shape[1])
    onsets = by_bar.sum(axis=2).mean(axis=1)
    level = np.maximum(sound.loudness_db, -50.0)
    columns = [_against_song(_running(x, width)) for x in (onsets, level) for width in (1, 3, 9)]
    columns += [onsets, level / 10.0]
    columns += [_against_song(by_bar[:, :, band].mean(axis=1)) for band in range(flux.shape[1])]
    place = np.arange(by_bar.shape[1]) % SLOTS_PER_BEAT
    for places in ((6,), (3, 9), (0,)):
        columns.append(_against_song(by_bar[:, np.isin(place, places)].sum(axis=2).mean(axis=1)))
    way = np.linspace(0.0, 1.0, sound.bars)
    columns += [way, (way < 0.08).astype(float), (way > 0.93).astype(float)]
    return np.stack(columns, axis=1)


def _beat_columns(total: F64) -> F64:
    """The beats, the ones before and the ones after, against their song: (beats, 3)."""
    onsets = _against_song(total.reshape(-1, SLOTS_PER_BEAT).mean(axis=1))
    return np.stack([onsets, np.roll(onsets, 1), np.roll(onsets, -1)], axis=1)


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
    alike: F64 = bars[_likest(sound, 3)].mean(axis=1).ravel()
    return alike


@cache
def _weights() -> dict[str, F64]:
    text = files("beatweaver").joinpath("weights/classic/rhythm.json").read_text("utf-8")
    return {name: np.array(row) for name, row in json.loads(text)["weights"].items()}


def classic_odds(sound: Sound) -> Odds:
    """Log odds by the logistic model of `slot_columns`."""

    def odds(difficulty: str, density: float) -> tuple[F64, F64 | None]:
        return _log_odds(sound, density, difficulty), None

    return odds


def _log_odds(sound: Sound, density: float, difficulty: str) -> F64:
    weights = _weights()["hard" if difficulty in ("Expert", "ExpertPlus") else "easy"]
    odds: F64 = slot_columns(sound, density) @ weights[1:] + weights[0]
    return odds


def _onsets_per_note(style: Style) -> float:
    return 1.0 / (1.0 + style.doubles)


def expected_onsets(sound: Sound, difficulty: str, nps: float, heard: Odds) -> F64:
    """Onsets that people would place in each bar of a level of `nps` notes per second: (bars,)."""
    seconds = float(np.ptp(sound.bar_seconds()))
    density = nps * seconds * _onsets_per_note(STYLES[difficulty]) / len(sound.flux)
    odds, _ = heard(difficulty, density)
    by_bar: F64 = (1.0 / (1.0 + np.exp(-odds))).reshape(sound.bars, -1).sum(axis=1)
    return by_bar


def compose(
    sound: Sound,
    plan: Plan,
    difficulty: str,
    rng: np.random.Generator,
    taste: Taste,
    heard: Odds,
    *,
    within: Rhythm | None = None,
    first_s: float = 0.0,
    last_s: float = np.inf,
) -> Rhythm:
    """Rhythm of one difficulty to its plan, from `first_s` to `last_s`; with `within`, of onsets of that rhythm."""
    style = _style(difficulty, taste)
    seconds = np.diff(sound.bar_seconds())
    slot_s = sound.grid.seconds(np.arange(len(sound.flux)) / SLOTS_PER_BEAT)
    open_slots = (slot_s >= first_s) & (slot_s <= last_s)
    wanted = plan.nps[difficulty] * seconds * _onsets_per_note(style)
    # As densities are learnt: from the first bar that is played to the last.
    bars = np.flatnonzero(wanted > 0)
    played = (int(np.ptp(bars)) + 1 if len(bars) else sound.bars) * sound.bar_slots
    odds, both = heard(difficulty, float(wanted.sum()) / played)
    wanted = wanted * open_slots.reshape(sound.bars, -1).mean(axis=1)
    if within is not None:
        kept = np.full(len(odds), -np.inf)
        kept[within.slot] = odds[within.slot] + 0.5 * within.weight
        odds = kept
    odds = np.where(open_slots, odds, -np.inf)
    open_s = seconds * open_slots.reshape(sound.bars, -1).mean(axis=1) * (plan.nps[difficulty] > 0)
    rate = float((plan.nps[difficulty] * open_s).sum()) / max(float(open_s.sum()), 1e-9)
    seed = int(rng.integers(2**63))

    def attempt(factor: float, style: Style) -> Rhythm:
        chosen, source = _choose(sound, odds, wanted * factor, slot_s, style.gap_s)
        slot = np.flatnonzero(chosen)
        chance = np.random.default_rng(seed)
        hands, mirrored = hands_of(
            slot,
            slot_s[slot],
            odds[slot] if both is None else both[slot],
            sound.bar_slots,
            source,
            style,
            taste["mirrored"],
            chance,
        )
        return Rhythm(slot=slot, hands=hands, weight=odds[slot], source=source, mirrored=mirrored)

    factor = 1.0
    made = best = attempt(factor, style)
    for _ in range(_ROUNDS - 1):
        ratio = _rate(made, slot_s) / max(rate, 1e-9)
        if abs(ratio - 1.0) < abs(_rate(best, slot_s) / max(rate, 1e-9) - 1.0):
            best = made
        # Bars that are full, copies and doubles move the count: ask for as much more or less as it is off.
        if not ratio or abs(ratio - 1.0) < 0.02:
            break
        factor *= float(np.clip(1.0 / ratio, 0.8, 1.25))
        before, made = len(made.slot), attempt(factor, style)
        if factor > 1.0 and len(made.slot) <= 1.01 * before:
            # There is no room for more onsets: the rest is asked of the other hand.
            short = max(rate / max(_rate(made, slot_s), 1e-9) - 1.0, 0.0)
            style = replace(style, doubles=min(style.doubles + short * (1.0 + style.doubles), _DOUBLES_MOST))
    return min((best, made), key=lambda rhythm: abs(_rate(rhythm, slot_s) - rate))


def _rate(made: Rhythm, slot_s: F64) -> float:
    """Notes per second from the first onset to the last, as players count them."""
    count = len(made.slot) + int((made.hands == BOTH).sum())
    return count / max(float(np.ptp(slot_s[made.slot])), 1.0) if count else 0.0


def best_slots(odds: F64, count: int, slot_s: F64, gap_s: float) -> NDArray[np.bool_]:
    """The `count` slots of the highest finite `odds` (slots,), no two within `gap_s` seconds: (slots,)."""
    chosen = np.zeros(len(odds), dtype=bool)
    first = np.searchsorted(slot_s, slot_s - gap_s + 1e-6, side="left")
    after = np.searchsorted(slot_s, slot_s + gap_s - 1e-6, side="right")
    for slot in np.argsort(-odds, kind="stable").tolist():
        if count <= 0 or not np.isfinite(odds[slot]):
            break
        if not chosen[first[slot] : after[slot]].any():
            chosen[slot] = True
            count -= 1
    return chosen


def _choose(sound: Sound, odds: F64, wanted: F64, slot_s: F64, gap_s: float) -> tuple[NDArray[np.bool_], I64]:
    """The slots taken, and the bar that each bar repeats.

    The best slots of the whole song are taken, after each bar's odds were moved so that it expects what the plan wants
    of it: a bar that has more to say than its plan gives way less than one that has nothing.
    """
    expected = (1.0 / (1.0 + np.exp(-odds))).reshape(sound.bars, -1).sum(axis=1)
    with np.errstate(divide="ignore"):
        moved = odds + np.repeat(np.log(wanted / np.maximum(expected, 1e-9)), sound.bar_slots)
    chosen = best_slots(np.where(_fits_beat(odds), moved, -np.inf), round(float(wanted.sum())), slot_s, gap_s)
    source = np.full(sound.bars, -1, dtype=np.int64)
    width = sound.bar_slots
    for bar in np.flatnonzero(wanted > 0).tolist():
        span = slice(bar * width, (bar + 1) * width)
        earlier = _copied(sound, odds[span], chosen, bar, gap_s, slot_s)
        if earlier >= 0:
            chosen[span] = chosen[earlier * width : (earlier + 1) * width]
            source[bar] = earlier
    return chosen, source


def _triplets_fit(odds: F64) -> float:
    """By how much the song as a whole speaks for triplets rather than quarters: mean log odds."""
    place = np.arange(len(odds)) % SLOTS_PER_BEAT
    finite = np.isfinite(odds)

    def level(places: tuple[int, ...]) -> float:
        inside = np.isin(place, places) & finite
        return float(odds[inside].mean()) if inside.any() else -10.0

    return level((4, 8)) - level((3, 9))


def _fits_beat(odds: F64) -> NDArray[np.bool_]:
    """Slots on quarters or on triplets, beat by beat whichever sounds there: (slots,)."""
    by_beat = odds.reshape(-1, SLOTS_PER_BEAT)
    best = []
    for places in _ALLOWED:
        inner = np.sort(by_beat[:, places[1:]], axis=1)[:, ::-1]
        best.append(inner[:, :2].sum(axis=1))
    known = np.isfinite(best[0]) & np.isfinite(best[1])
    apart = np.where(known, np.where(known, best[1], 0.0) - np.where(known, best[0], 0.0), -np.inf)
    triplets = apart + _triplets_fit(odds) > 2.0
    triplets |= ~np.isfinite(best[0]) & np.isfinite(best[1])
    takes = np.zeros((2, SLOTS_PER_BEAT), dtype=bool)
    for row, allowed in enumerate(_ALLOWED):
        takes[row, list(allowed)] = True
    fits: NDArray[np.bool_] = takes[triplets.astype(int)].ravel() & np.isfinite(odds)
    return fits


def _copied(sound: Sound, odds: F64, chosen: NDArray[np.bool_], bar: int, gap_s: float, slot_s: F64) -> int:
    """The earlier bar that this one, of these odds, had better repeat, or -1."""
    width = sound.bar_slots
    fresh = np.flatnonzero(chosen[bar * width : (bar + 1) * width])
    if bar == 0 or not len(fresh):
        return -1
    likeness = sound.likeness[bar, :bar]
    best, found = -np.inf, -1
    own, count = odds[fresh].mean(), len(fresh)
    before, behind = chosen[: bar * width], chosen[(bar + 1) * width :]
    last_s = slot_s[np.flatnonzero(before)[-1]] if before.any() else -np.inf
    next_s = slot_s[(bar + 1) * width + int(np.argmax(behind))] if behind.any() else np.inf
    for earlier in np.argsort(-likeness, kind="stable")[:3]:
        pattern = np.flatnonzero(chosen[earlier * width : (earlier + 1) * width])
        if not len(pattern) or likeness[earlier] < _COPY_LIKENESS or abs(len(pattern) - count) > max(1.0, 0.2 * count):
            continue
        if not np.isfinite(odds[pattern]).all():
            continue
        # The tempo may have changed since.
        at_s = np.concatenate([[last_s], slot_s[bar * width + pattern], [next_s]])
        if (np.diff(at_s) < gap_s - 1e-6).any():
            continue
        value = odds[pattern].mean() + _COPY_PER_LIKENESS * likeness[earlier]
        if value > own - _COPY_LOSS and value > best:
            best, found = value, int(earlier)
    return found


def hands_of(
    slot: I64,
    time_s: F64,
    accent: F64,
    width: int,
    source: I64,
    style: Style,
    mirror_chance: float,
    rng: np.random.Generator,
) -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
    """LEFT, RIGHT or BOTH for each onset, and which bars repeat theirs in a mirror.

    Bars that repeat another repeat its hands where they can.
    """
    hands = np.zeros(len(slot), dtype=np.uint8)
    mirrored = np.zeros(len(source), dtype=bool)
    if not len(slot):
        return hands, mirrored
    gap = np.diff(time_s, prepend=time_s[0] - 10.0, append=time_s[-1] + 10.0)
    # Both hands on accents with room around them.
    room = np.minimum(gap[:-1], gap[1:])
    accent = accent + 2.0 * np.minimum(room, 0.5) + 0.5 * rng.standard_normal(len(slot))
    able = room >= style.hand_gap_s - 1e-6
    wanted = round(style.doubles * len(slot))
    both = np.zeros(len(slot), dtype=bool)
    order = [int(i) for i in np.argsort(-np.where(able, accent, -np.inf), kind="stable") if able[i]]
    both[order[:wanted]] = True
    row_of = {int(s): i for i, s in enumerate(slot)}
    last = {LEFT: -10.0, RIGHT: -10.0}
    swings = {LEFT: 0, RIGHT: 0}
    due: dict[int, tuple[int, int]] = {}
    previous, previous_slot, waiting = RIGHT, -1000, 0
    for i, (at, now) in enumerate(zip(slot.tolist(), time_s.tolist(), strict=True)):
        bar = at // width
        if bar not in due:
            due[bar] = (swings[LEFT] % 2, swings[RIGHT] % 2)
            earlier = due.get(int(source[bar]))
            # A mirror of the earlier bar needs each hand to go on as the other one did there.
            if earlier is not None and due[bar] == earlier[::-1]:
                mirrored[bar] = due[bar] != earlier or rng.random() < mirror_chance
        twin = row_of.get(at - (bar - int(source[bar])) * width, -1) if source[bar] >= 0 else -1
        free = [hand for hand in (LEFT, RIGHT) if now - last[hand] >= style.hand_gap_s - 1e-6]
        wish = int(hands[twin]) if twin >= 0 else 0
        if mirrored[bar] and wish in (LEFT, RIGHT):
            wish = LEFT + RIGHT - wish
        # Both hands cut alike only when both are due to go the same way: after as many swings, or an even number more.
        together = len(free) == 2 and (swings[LEFT] - swings[RIGHT]) % 2 == 0
        if wish in free or (wish == BOTH and together):
            hand = wish
        elif together and able[i] and (both[i] or waiting > 0):
            hand = BOTH
            waiting -= int(not both[i])
        else:
            waiting += int(both[i])
            other = LEFT + RIGHT - previous
            kind = int(np.searchsorted(_SAME_HAND_BEATS, (at - previous_slot) / SLOTS_PER_BEAT))
            again = previous in free and rng.random() < style.same_hand[kind]
            hand = previous if again or (other not in free and previous in free) else other
        hands[i] = hand
        for each in (LEFT, RIGHT):
            if hand & each:
                last[each] = now
                swings[each] += 1
        if hand != BOTH:
            previous = hand
        previous_slot = at
    return hands, mirrored
