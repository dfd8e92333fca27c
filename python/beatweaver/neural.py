"""The neural engine: what the transformer hears in a song, which slots it would play, and notes placed one by one.

Planned decoding is the rule: the rhythm gives the slots (`Listener.odds`), the decoder says which hand and where
(`place`), all difficulties side by side in one batch. Every choice is one that `PlayState` allows. Joint decoding
(`write`) lets a model of 291 tokens write bars, positions and notes itself, held by `Grammar` and the same hands.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import torch
from numpy.typing import NDArray

from beatweaver import _native
from beatweaver.config import RANKS
from beatweaver.data import BLOCK_SLOTS, alike_blocks, conditions, feature_names, levelled, time_gaps
from beatweaver.errors import ConfigError
from beatweaver.model import BEGIN, STATISTICS, UNKNOWN, Heard, Loom, NoteSteps, statistic_buckets
from beatweaver.notes import Placed
from beatweaver.rhythm import BOTH, LEFT, RIGHT
from beatweaver.tokens import MIRROR, SLOTS_PER_BEAT, STATES, joint_vocabulary

if TYPE_CHECKING:
    from beatweaver.config import AudioConfig
    from beatweaver.model import Cache
    from beatweaver.rhythm import Rhythm
    from beatweaver.structure import Sound

__all__ = ["Draw", "Listener", "Part", "place", "style_of", "write"]

F64 = NDArray[np.float64]
I64 = NDArray[np.int64]

_STRAINED: Final = {"Easy": 0.02, "Normal": 0.05, "Hard": 0.1, "Expert": 0.3, "ExpertPlus": 0.5}
"""Weight of awkward states, by difficulty."""
_DOWNWARD: Final = np.isin(np.arange(STATES) % 9, (1, 6, 7))
"""Cuts that a hand begins with, as people's do: begun one up and one down, hands would never cut alike together."""
_STATE: Final = np.arange(STATES)
_DOT: Final = _STATE % 9 == 8
_LIKED: Final = (
    np.where(_STATE // 9 % 3 == 2, 0.75, 1.0) * np.where(_STATE % 9 < 2, 0.9, 1.0) * np.where(_STATE % 9 == 8, 0.7, 1.0)
)
"""Weight of each state: notes drawn one by one go to the top row, cut up and down, and are dots more than people's."""
_RETURNS: Final = 0.65
"""Weight of the state that the hand had before its last one: draws fall into going back and forth."""
_JUMPS: Final = 0.68
"""Weight of states two columns or more away from the hand's last one. All four tuned on val."""
_TEMPERATURE: Final = 1.0
"""Of places, where 1 is asked for; tuned on val."""
_DOTS_MOST: Final = 0.15
"""Styles with a larger share of dots are not drawn: one in eight levels, and few players like them."""
_VERTICAL_MOST: Final = 0.98
_JUMP_LEAST: Final = 0.5
"""Nor are those of hands that only cut up and down, or hardly move: drills, not levels."""
_DOTS_OF: Final = 12
_DOTS_AGAIN: Final = 0.01
"""Weight of dots after so many notes with a larger share of them than that: a dot makes the next one likelier, and once
in some fifty levels all that followed were dots."""
_LEFT_OUT: Final = 10.0
"""Nats that a note left out costs a beam: else the shorter level would win."""
_STYLES_NEAR: Final = 12
"""Human levels of like density among which the style of a level is drawn."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Draw:
    """How choices are drawn."""

    temperature: float = 1.0
    """Of place and cut: below 1 plainer, above 1 rarer."""
    hand_temperature: float = 0.8
    """Of the hand, where it is not given, and of bars and positions in joint decoding."""
    top_p: float = 1.0
    """The likeliest places that make up this share are drawn from."""
    guidance: float = 1.0
    """How much more than what is asked of a level counts for the places: 1 as learnt, 2 twice as much."""
    beams: int = 1
    """Levels kept beside one another while composing, the likeliest wins; 1 draws instead."""


class Listener:
    """A song as the transformer hears it."""

    def __init__(self, model: Loom, features: NDArray[np.float32], mels: int, sound: Sound) -> None:
        """Hears levelled features of the slots of `sound` (slots, F), `mels` bands first, once for all difficulties."""
        wanted = len(sound.flux)
        slots = min(len(features), wanted)
        whole = np.zeros((-(-wanted // BLOCK_SLOTS) * BLOCK_SLOTS, features.shape[1]), dtype=np.float32)
        whole[:slots] = features[:slots]
        self.model, self.sound, self.slots = model, sound, wanted
        with torch.inference_mode():
            self.heard: Heard = model.hear(
                torch.from_numpy(whole)[None],
                torch.tensor([len(whole)]),  # as in training, where the last block is filled up with zeros
                torch.from_numpy(alike_blocks(whole, mels))[None],
            )

    @classmethod
    def hearing(cls, model: Loom, audio: AudioConfig, samples: NDArray[np.float32], sound: Sound) -> Listener:
        """Of `samples` (mono, at the rate of `audio`), heard on the grid of `sound`."""
        spec = audio.canonical()
        frames = _native.features(samples, spec)
        seconds = len(samples) / audio.sample_rate_hz
        rows = _native.beat_slots(frames, sound.grid.clock(), spec_json=spec, audio_s=seconds)
        parts = [np.asarray(rows[name], dtype=np.float32) for name in feature_names(model.config)]
        features = np.concatenate([part.reshape(len(part), -1) for part in parts], axis=1)
        return cls(model, levelled(features[: len(sound.flux)], audio.n_mels), audio.n_mels, sound)

    def odds(self, difficulty: str, density: float) -> tuple[F64, F64]:
        """Log odds of an onset at each slot, and of both hands there, at `density` onsets a slot: (slots,) each."""
        if self.model.rhythm is None:
            raise ConfigError("vocab_size: this model writes tokens and has no rhythm of its own; decode it jointly")
        condition = torch.tensor([conditions(difficulty, density, self.sound.grid.bpm)])
        with torch.inference_mode():
            onset, both = self.model.rhythm(self.heard.slots, condition)
        return onset[0, : self.slots].double().numpy(), both[0, : self.slots].double().numpy()


@dataclass(kw_only=True)
class Part:
    """One difficulty to be placed, and how far it is."""

    name: str
    rhythm: Rhythm
    """Its onsets; joint decoding writes its own and takes their number alone."""
    state: _native.PlayState
    """The hands, strictly."""
    gentle: _native.PlayState
    """What is not even awkward."""
    rng: np.random.Generator
    style: F64
    """Statistics asked for, NaN where any will do: (8,)."""
    density: float | None = None
    """Onsets a slot that are asked for; those of the rhythm, from its first to its last, unless given."""
    beat: list[float] = field(default_factory=list)
    hand: list[int] = field(default_factory=list)
    chosen: list[int] = field(default_factory=list)
    left_out: int = 0
    refused: float = 0.0
    """Notes that the masks took away: the chance of it, added up over all draws."""
    score: float = 0.0
    """Sum of the chosen log chances."""

    def __post_init__(self) -> None:
        if self.density is None:
            slot = self.rhythm.slot
            self.density = len(slot) / max(int(np.ptp(slot)) + 1, 1) if len(slot) else 0.0

    def push(self, hand: int, beat: float, state: int) -> None:
        """Goes on by one note; `hand` 0 left, 1 right."""
        self.state.push(hand, beat, state)
        self.gentle.push(hand, beat, state)
        self.beat.append(beat)
        self.hand.append(RIGHT if hand else LEFT)
        self.chosen.append(state)


def style_of(facts: Mapping[str, Any], name: str, nps: float, doubles: float, point: float) -> F64:
    """Statistics of a human level of a difficulty, of about this density and share of doubles: (8,), NaN where unknown.

    Args:
        facts: of the checkpoint; `styles` are statistics of the levels it was trained on.
        name: difficulty.
        nps: notes per second.
        doubles: share of onsets for both hands; NaN for any.
        point: 0 to 1, which of the levels that are alike; equal points give the difficulties of a song like styles.
    """
    style = np.full(len(STATISTICS), np.nan)
    rows = np.array(facts.get("styles", {}).get(name, []), dtype=np.float64).reshape(-1, len(STATISTICS))
    dots, vertical, jump = (rows[:, STATISTICS.index(name)] for name in ("dots", "vertical", "jump"))
    rows = rows[(dots <= _DOTS_MOST) & (vertical < _VERTICAL_MOST) & (jump > _JUMP_LEAST)]
    if len(rows):
        apart = np.abs(np.log(np.maximum(rows[:, 0], 0.1) / max(nps, 0.1)))
        apart = apart if np.isnan(doubles) else apart + 2.0 * np.abs(rows[:, 1] - doubles)
        near = rows[np.argsort(apart, kind="stable")[:_STYLES_NEAR]]
        near = near[np.argsort(near[:, STATISTICS.index("crossed")], kind="stable")]
        style[:] = near[min(int(point * len(near)), len(near) - 1)]
    style[0] = nps
    style[1] = style[1] if np.isnan(doubles) else doubles
    return style


class _Cursor:
    """Where a part is: its onsets in order, each of one or two steps."""

    def __init__(self, part: Part, sound: Sound) -> None:
        self.part = part
        rhythm = part.rhythm
        self.slot = rhythm.slot
        self.time_s = sound.grid.seconds(rhythm.slot / SLOTS_PER_BEAT)
        self.source = _twins(rhythm, sound.bar_slots)
        self.mirrored = rhythm.mirrored[rhythm.slot // sound.bar_slots]
        self.onset = 0
        self.second = False
        self.done: dict[tuple[int, int], int] = {}
        """States by slot and hand."""
        self.last_s = [-np.inf, -np.inf]
        self.states = [STATES] * 4
        self.before = BEGIN
        self.mask = np.zeros(2 * STATES, dtype=bool)
        self.easy = np.zeros(2 * STATES, dtype=bool)

    def copy(self) -> _Cursor:
        """One that goes on from here on its own."""
        import copy

        other = copy.copy(self)
        part = self.part
        other.part = copy.copy(part)
        other.part.state, other.part.gentle = part.state.copy(), part.gentle.copy()
        other.part.beat, other.part.hand, other.part.chosen = part.beat[:], part.hand[:], part.chosen[:]
        other.done, other.last_s, other.states = dict(self.done), self.last_s[:], self.states[:]
        other.mask, other.easy = self.mask.copy(), self.easy.copy()
        return other

    @property
    def beat(self) -> float:
        return float(self.slot[self.onset]) / SLOTS_PER_BEAT

    @property
    def kind(self) -> int:
        """0 for a note alone, 1 for the first of two, 2 for the second."""
        both = int(self.part.rhythm.hands[self.onset]) == BOTH
        return (2 if self.second else 1) if both else 0

    def ready(self) -> bool:
        """Goes to the next step that has an allowed choice; False at the end."""
        while self.onset < len(self.slot):
            if self._allowed():
                return True
            self.part.left_out += 1
            self.part.score -= _LEFT_OUT
            self._next()
        return False

    def _allowed(self) -> bool:
        # The rhythm knows which hand is due, so that both can cut alike where they play together. Where it cannot,
        # the other one stands in.
        due = {LEFT: 0, RIGHT: 1}.get(int(self.part.rhythm.hands[self.onset]))
        hands = {0: ((due,), (1 - due,)) if due is not None else (), 1: ((0,),), 2: ((1,),)}[self.kind]
        return any(self._open(some) for some in hands)

    def _open(self, hands: tuple[int, ...]) -> bool:
        """Fills in what `hands` may do; whether there is anything."""
        self.mask[:] = False
        self.easy[:] = False
        part, kind, beat = self.part, self.kind, self.beat
        taken = self.done.get((int(self.slot[self.onset]), 0))
        for hand in hands:
            span = slice(hand * STATES, (hand + 1) * STATES)
            begun = self.states[2 * hand] != STATES
            for state, out in ((part.state, self.mask), (part.gentle, self.easy)):
                view = out[span]
                if kind == 2 and taken is not None:
                    state.mask_beside(hand, beat, taken, view)
                else:
                    state.mask(hand, beat, view)
                if not begun:
                    view &= _DOWNWARD
        return bool(self.mask.any())

    def wish(self) -> int | None:
        """The choice that the repeated bar made here, if it may be made again."""
        twin = int(self.source[self.onset])
        if twin < 0:
            return None
        kind = self.kind
        for hand in (0, 1):
            if (kind == 1 and hand == 1) or (kind == 2 and hand == 0):
                continue
            mirrored = bool(self.mirrored[self.onset])
            found = self.done.get((twin, 1 - hand if mirrored else hand))
            state = None if found is None else int(MIRROR[found]) if mirrored else found
            if state is not None and self.mask[hand * STATES + state]:
                return hand * STATES + state
        return None

    def inputs(self) -> tuple[int, list[int], list[float], list[float], int, int]:
        """Last choice, states, seconds and beats around, kind and slot of the step."""
        at, now = self.onset, float(self.time_s[self.onset])
        end = at + 1 == len(self.slot)
        seconds = [
            now - self.last_s[0],
            now - self.last_s[1],
            np.inf if at == 0 else now - float(self.time_s[at - 1]),
            np.inf if end else float(self.time_s[at + 1]) - now,
        ]
        beats = [
            np.inf if at == 0 else float(self.slot[at] - self.slot[at - 1]) / SLOTS_PER_BEAT,
            np.inf if end else float(self.slot[at + 1] - self.slot[at]) / SLOTS_PER_BEAT,
        ]
        return self.before, self.states, seconds, beats, self.kind, int(self.slot[at])

    def push(self, choice: int) -> None:
        """Places a choice and goes on."""
        hand, state = divmod(choice, STATES)
        self.part.push(hand, self.beat, state)
        self.done[int(self.slot[self.onset]), hand] = state
        self.last_s[hand] = float(self.time_s[self.onset])
        self.states[2 * hand : 2 * hand + 2] = [state, self.states[2 * hand]]
        self.before = choice
        self._next()

    def _next(self) -> None:
        if self.kind == 1:
            self.second = True
        else:
            self.onset, self.second = self.onset + 1, False


def _twins(rhythm: Rhythm, width: int) -> I64:
    """Slot of the repeated bar at each onset's place; -1 without one."""
    bar = rhythm.slot // width
    source = rhythm.source[bar]
    return np.where(source >= 0, rhythm.slot - (bar - source) * width, -1)


class _Decoder:
    """The model's side of placing: one batch of parts, each twice where guidance asks for it."""

    def __init__(self, listener: Listener, parts: Sequence[Part], draw: Draw, *, cached: bool = True) -> None:
        self.model, self.draw = listener.model, draw
        self.rows = len(parts)
        bpm = listener.sound.grid.bpm
        condition = torch.tensor([conditions(part.name, part.density or 0.0, bpm) for part in parts])
        buckets = statistic_buckets(
            torch.tensor(np.array([part.style for part in parts]), dtype=torch.float32), self.model.statistic_edges
        )
        self.twice = draw.guidance != 1.0
        if self.twice:
            none = torch.full_like(buckets, UNKNOWN)
            condition, buckets = torch.cat([condition, condition]), torch.cat([buckets, none])
        decoder = self.model.decoder
        self.style = decoder.style(condition, buckets)
        self.heard = listener.heard.of(torch.zeros(len(condition), dtype=torch.int64))
        one = decoder.listen(listener.heard)
        self.sounds = [(k.expand(len(condition), -1, -1, -1), v.expand(len(condition), -1, -1, -1)) for k, v in one]
        self.caches: list[Cache] | None = decoder.caches(len(condition), self.style) if cached else None
        self.past: list[torch.Tensor] = []
        """Without caches: all steps so far, their beats and positions."""
        self.count = 0

    def step(self, inputs: Sequence[tuple[int, list[int], list[float], list[float], int, int]]) -> F64:
        """Log odds of every choice, for each part: (parts, 216)."""
        twice = list(inputs) * 2 if self.twice else list(inputs)
        last, hands, seconds, beats, kind, slot = zip(*twice, strict=True)
        at = torch.tensor(slot)[:, None]
        steps = NoteSteps(
            last=torch.tensor(last)[:, None],
            hands=torch.tensor(hands)[:, None],
            gaps=torch.from_numpy(time_gaps(np.array(seconds), np.array(beats)))[:, None],
            kind=torch.tensor(kind)[:, None],
            slot=at,
            beat=at.float() / SLOTS_PER_BEAT,
        )
        decoder = self.model.decoder
        return self._guided(decoder.embed(steps, self.heard, self.style), steps.beat)

    def step_tokens(self, tokens: Sequence[int], beats: Sequence[float]) -> F64:
        """Log odds of the token that follows each of `tokens`: (parts, 291)."""
        twice, at = (list(x) * (2 if self.twice else 1) for x in (tokens, beats))
        slot = (torch.tensor(at, dtype=torch.float64)[:, None] * SLOTS_PER_BEAT).round().long()
        x = self.model.decoder.embed_tokens(torch.tensor(twice)[:, None], slot, self.heard, self.style)
        # The beat of the slot, as it is learnt: sixteenths of a beat lie between slots.
        return self._guided(x, slot.float() / SLOTS_PER_BEAT)

    def _guided(self, x: torch.Tensor, beat: torch.Tensor) -> F64:
        position = torch.full_like(beat, float(self.count)) if self.model.config.position == "index" else beat
        self.count += 1
        if self.caches is None:
            now = (x, beat, position)
            x, beat, position = self.past = (
                [torch.cat(pair, dim=1) for pair in zip(self.past, now, strict=True)] if self.past else list(now)
            )
        logits = self.model.decoder(x, beat, self.heard, sounds=self.sounds, caches=self.caches, position=position)
        # Rounded, so that the last bits of another processor's sums do not make another level.
        out: F64 = np.round(logits[:, -1].double().numpy(), 3)
        if self.twice:
            asked, free = out[: self.rows], out[self.rows :]
            guided: F64 = free + self.draw.guidance * (asked - free)
            # The hands stay as learnt; only the places follow what is asked.
            return _with_hands_of(guided, asked) if self.model.config.planned else guided
        return out

    def choose(self, rows: Sequence[int]) -> None:
        """Makes the batch anew from some of its parts."""
        index = torch.tensor(rows, dtype=torch.int64)
        index = torch.cat([index, index + self.rows]) if self.twice else index
        for cache in self.caches or ():
            cache.choose(index)
        self.past = [tensor[index] for tensor in self.past]
        self.rows = len(rows)
        self.style = self.style[index]
        self.heard = self.heard.of(index)
        self.sounds = [(k[index], v[index]) for k, v in self.sounds]


def _log_sum(x: F64) -> F64:
    top = x.max(axis=-1, keepdims=True)
    total = top + np.log(np.exp(x - top).sum(axis=-1, keepdims=True))
    out: F64 = total[..., 0]
    return out


def _with_hands_of(logits: F64, other: F64) -> F64:
    """`logits` (rows, 216) shifted hand by hand so that the hands are as likely as in `other`."""
    out = logits.copy()
    for hand in (0, 1):
        span = slice(hand * STATES, (hand + 1) * STATES)
        out[:, span] += (_log_sum(other[:, span]) - _log_sum(logits[:, span]))[:, None]
    return out


def _chances(logits: F64, cursor: _Cursor, draw: Draw) -> tuple[F64, float]:
    """Chance of each allowed choice, and how much of the model's own chance the masks took away."""
    # The hand is the rhythm's choice, or the only one left: what the model gives the other one was not refused.
    possible = np.repeat([cursor.mask[:STATES].any(), cursor.mask[STATES:].any()], STATES)
    own = np.where(possible, logits, -np.inf)
    own = np.exp(own - own.max())
    own /= own.sum()
    taken = max(0.0, 1.0 - float(own[cursor.mask].sum()))
    chance = np.zeros(2 * STATES)
    strained = _STRAINED[cursor.part.name]
    lately = float(np.isin(cursor.part.chosen[-_DOTS_OF:], np.flatnonzero(_DOT)).mean()) if cursor.part.chosen else 0.0
    for hand in (0, 1):
        span = slice(hand * STATES, (hand + 1) * STATES)
        allowed = cursor.mask[span]
        weight = float(own[span][allowed].sum())
        if not allowed.any() or not weight > 0:
            continue
        place = np.where(allowed, own[span], 0.0) ** (1.0 / (_TEMPERATURE * draw.temperature))
        place *= np.where(cursor.easy[span], 1.0, strained) * _LIKED
        last, before = cursor.states[2 * hand : 2 * hand + 2]
        if last != STATES:
            place[np.abs(_STATE // 27 - last // 27) >= 2] *= _JUMPS
        if before != STATES:
            place[before] *= _RETURNS
        if lately > _DOTS_MOST:
            place[_DOT] *= _DOTS_AGAIN
        if not place.sum() > 0:
            continue
        place /= place.sum()
        if draw.top_p < 1.0:
            order = np.argsort(-place, kind="stable")
            kept = np.cumsum(place[order]) - place[order] < draw.top_p
            place[order[~kept]] = 0.0
            place /= place.sum()
        chance[span] = weight ** (1.0 / draw.hand_temperature) * place
    total = chance.sum()
    if not total > 0:
        chance = cursor.mask.astype(np.float64)
        total = chance.sum()
    return chance / total, taken


@contextmanager
def _one_thread() -> Iterator[None]:
    """A step is too small to be shared: threads that wait for each other cost far more than they save."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with torch.inference_mode():
            yield
    finally:
        torch.set_num_threads(threads)


def place(listener: Listener, parts: Mapping[str, Part], draw: Draw, *, cached: bool = True) -> dict[str, Placed]:
    """Notes for every onset that has an allowed one, all difficulties side by side; `parts` are filled.

    Without `cached` every step computes all steps before it anew: the same notes, slowly, to hold the cache against.
    """
    with _one_thread():
        if draw.beams > 1:
            for part in parts.values():
                vars(part).update(vars(_searched(listener, part, draw)))
        else:
            _draw(listener, parts, draw, cached)
    return {name: _placed(part) for name, part in parts.items()}


def _draw(listener: Listener, parts: Mapping[str, Part], draw: Draw, cached: bool) -> None:
    cursors = [_Cursor(part, listener.sound) for part in parts.values()]
    decoder = _Decoder(listener, [c.part for c in cursors], draw, cached=cached)
    active = list(range(len(cursors)))
    while True:
        running = [row for row in active if cursors[row].ready()]
        if not running:
            return
        if len(running) < len(active):
            decoder.choose([active.index(row) for row in running])
            active = running
        logits = decoder.step([cursors[row].inputs() for row in active])
        for row, odds in zip(active, logits, strict=True):
            cursor = cursors[row]
            chance, taken = _chances(odds, cursor, draw)
            part = cursor.part
            wish = cursor.wish()
            if wish is None:
                part.refused += taken
                point = part.rng.random()
                wish = int(np.searchsorted(np.cumsum(chance), point, side="right").clip(0, 2 * STATES - 1))
                while not cursor.mask[wish]:  # the sum of the chances may end a hair below the point
                    wish -= 1
            part.score += float(np.log(max(chance[wish], 1e-9)))
            cursor.push(wish)


def _searched(listener: Listener, part: Part, draw: Draw) -> Part:
    """Beam search over one part: the likeliest of the levels kept, repeated bars forced as ever."""
    beams = [_Cursor(part, listener.sound)]
    done: list[Part] = []
    decoder = _Decoder(listener, [part], draw)
    while True:
        running = [i for i, beam in enumerate(beams) if beam.ready()]
        # Beams end together but for notes left out.
        done += [beam.part for i, beam in enumerate(beams) if i not in running]
        if not running:
            break
        if len(running) < len(beams):
            decoder.choose(running)
            beams = [beams[i] for i in running]
        logits = decoder.step([beam.inputs() for beam in beams])
        ways: list[tuple[float, int, int]] = []
        for row, (beam, odds) in enumerate(zip(beams, logits, strict=True)):
            chance, _ = _chances(odds, beam, draw)
            wish = beam.wish()
            choices = [wish] if wish is not None else np.argsort(-chance, kind="stable")[: draw.beams].tolist()
            ways += [
                (beam.part.score + float(np.log(max(chance[c], 1e-9))), row, int(c)) for c in choices if beam.mask[c]
            ]
        ways.sort(key=lambda way: (-way[0], way[1], way[2]))
        best = ways[: draw.beams]
        copies = [beams[row].copy() for _, row, _ in best]
        for copied, (score, _, choice) in zip(copies, best, strict=True):
            copied.part.score = score
            copied.push(choice)
        decoder.choose([row for _, row, _ in best])
        beams = copies
    return max(done, key=lambda end: end.score)


def _placed(part: Part) -> Placed:
    return Placed(
        beat=np.array(part.beat, dtype=np.float64),
        hand=np.array(part.hand, dtype=np.uint8),
        state=np.array(part.chosen, dtype=np.int64),
        left_out=part.left_out,
        refused=part.refused,
    )


# ---- joint decoding -------------------------------------------------------------------------------------------------

_BAR_BEATS: Final = 4


class _Writer:
    """One difficulty while its tokens are written."""

    def __init__(self, part: Part, vocab: _native.Vocab, sound: Sound, first_s: float, last_s: float) -> None:
        self.part, self.vocab, self.sound = part, vocab, sound
        self.first_s, self.last_s = first_s, last_s
        self.bars = int(float(sound.grid.beat(last_s)) // _BAR_BEATS) + 1
        self.bar, self.beat, self.last_onset = -1, 0.0, -1.0
        self.left: int | None = None
        self.over = False
        names = ("POS", "LEFT", "RIGHT", "LEFT-EMPTY", "RIGHT-EMPTY", "BAR", "DIFFICULTY")
        self.range = {name: vocab.range(name) for name in names}
        places = self.range["POS"][1] - self.range["POS"][0]
        self.places: F64 = np.arange(places, dtype=np.float64) * (_BAR_BEATS / places)
        self.states = np.zeros(STATES, dtype=bool)
        self.easy = np.zeros(STATES, dtype=bool)

    def chances(self, odds: F64, mask: NDArray[np.bool_], draw: Draw) -> tuple[F64, float]:
        """Chance of each token, and how much of the model's own chance of a hand's states the hands took away.

        Args:
            odds: log odds of the model (tokens,).
            mask: what the grammar allows (tokens,).
            draw: temperatures.
        """
        own = np.where(mask, np.exp(odds - odds[mask].max()), 0.0)
        own /= own.sum()
        for hand, name in enumerate(("LEFT", "RIGHT")):
            span = slice(*self.range[name])
            if mask[span].any():
                return self._of_hand(hand, own, span, self.range[f"{name}-EMPTY"][0], draw)
        chance = own ** (1.0 / draw.hand_temperature) * self._open(mask)
        chance = chance if chance.sum() > 0 else mask.astype(np.float64)
        return chance / chance.sum(), 0.0

    def _open(self, mask: NDArray[np.bool_]) -> F64:
        """What the song allows of bars, positions, the end and the difficulty."""
        weight = mask.astype(np.float64)
        pos, bar, first = self.range["POS"], self.range["BAR"][0], self.range["DIFFICULTY"]
        if mask[first[0] : first[1]].any():
            weight[:] = 0.0
            weight[first[0] + RANKS.index(self.part.name)] = 1.0
            return weight
        if self.bar + 1 >= self.bars and mask[self.vocab.eos]:
            weight[bar] = 0.0
        elif self.bar + 1 < self.bars:
            weight[self.vocab.eos] = 0.0
        if mask[pos[0] : pos[1]].any():
            at_s = self.sound.grid.seconds(max(self.bar, 0) * _BAR_BEATS + self.places)
            weight[pos[0] : pos[1]] *= (at_s >= self.first_s) & (at_s <= self.last_s)
        return weight

    def _of_hand(self, hand: int, own: F64, span: slice, empty: int, draw: Draw) -> tuple[F64, float]:
        """Whether the hand plays is drawn as learnt, however few of its states are allowed; which one, among these."""
        for state, out in ((self.part.state, self.states), (self.part.gentle, self.easy)):
            if hand and self.left is not None:
                state.mask_beside(1, self.beat, self.left, out)
            else:
                state.mask(hand, self.beat, out)
        place = np.where(self.states, own[span], 0.0) ** (1.0 / (_TEMPERATURE * draw.temperature))
        place *= np.where(self.easy, 1.0, _STRAINED[self.part.name])
        plays, rests = float(own[span].sum()), float(own[empty])
        chance = np.zeros_like(own)
        chance[empty] = rests ** (1.0 / draw.hand_temperature)
        if place.sum() > 0:
            chance[span] = plays ** (1.0 / draw.hand_temperature) * place / place.sum()
        if not chance.sum() > 0:  # it has to play what it cannot
            chance[span] = own[span]
        taken = max(0.0, 1.0 - float(own[span][self.states].sum()) / max(plays, 1e-12))
        return chance / chance.sum(), taken

    def push(self, token: int, allowed: bool) -> None:
        """Goes on by one token; a note that was not allowed is written but not placed."""
        if token == self.vocab.eos:
            self.over = True
        elif token == self.range["BAR"][0]:
            self.bar += 1
            self.beat = float(self.bar * _BAR_BEATS)
        elif self.range["POS"][0] <= token < self.range["POS"][1]:
            self.beat = self.bar * _BAR_BEATS + float(self.places[token - self.range["POS"][0]])
            self.left = None
        for hand, name in ((0, "LEFT"), (1, "RIGHT")):
            low, high = self.range[name]
            if low <= token < high:
                if not allowed:
                    self.part.left_out += 1
                    continue
                self.part.push(hand, self.beat, token - low)
                if hand == 0:
                    self.left = token - low


def write(
    listener: Listener, parts: Mapping[str, Part], draw: Draw, *, first_s: float, last_s: float
) -> dict[str, Placed]:
    """Levels written token by token by a model of joint decoding, all difficulties side by side.

    Notes lie between `first_s` and `last_s`; what the hands could not play is written but not placed.
    """
    vocab = joint_vocabulary()
    writers = [_Writer(part, vocab, listener.sound, first_s, last_s) for part in parts.values()]
    grammars = [_native.Grammar(vocab, batch=1) for _ in writers]
    mask = np.zeros((1, vocab.size), dtype=bool)
    with _one_thread():
        decoder = _Decoder(listener, [writer.part for writer in writers], draw)
        active = list(range(len(writers)))
        last = [vocab.bos] * len(writers)
        for grammar in grammars:
            grammar.push(np.array([vocab.bos], dtype=np.uint16))
        limit = 8 * listener.slots + 64
        while active and decoder.count < limit:
            logits = decoder.step_tokens([last[row] for row in active], [writers[row].beat for row in active])
            for row, odds in zip(active, logits, strict=True):
                writer, grammar = writers[row], grammars[row]
                grammar.mask(mask)
                chance, taken = writer.chances(odds, mask[0], draw)
                total = np.cumsum(chance)
                token = int(np.searchsorted(total, writer.part.rng.random() * total[-1], side="right"))
                token = min(token, int(np.flatnonzero(chance)[-1]))
                states = any(low <= token < high for low, high in (writer.range["LEFT"], writer.range["RIGHT"]))
                allowed = not states or bool(writer.states[(token - writer.range["LEFT"][0]) % (STATES + 1)])
                writer.part.refused += taken if states else 0.0
                grammar.push(np.array([token], dtype=np.uint16))
                writer.push(token, allowed)
                last[row] = token
            running = [row for row in active if not writers[row].over]
            if len(running) < len(active):
                decoder.choose([active.index(row) for row in running])
                active = running
    return {name: _placed(part) for name, part in parts.items()}
