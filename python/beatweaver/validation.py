"""How a model does on songs that it does not learn from: its losses, its slots, and the levels that it makes."""

from __future__ import annotations

import copy
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

import numpy as np
import torch
from numpy.typing import NDArray

from beatweaver import _native, neural, timing
from beatweaver.config import RANKS
from beatweaver.losses import loss_terms, rhythm_logits
from beatweaver.measures import DIVERGENCES, histograms, js_divergence, matched_onsets
from beatweaver.notes import play_states
from beatweaver.rhythm import BOTH, RIGHT, STYLES, Rhythm, best_slots, hands_of
from beatweaver.structure import Sound
from beatweaver.tokens import SLOTS_PER_BEAT

if TYPE_CHECKING:
    from collections.abc import Sequence

    from beatweaver.config import TrainConfig
    from beatweaver.data import Batch, Corpus, Level
    from beatweaver.model import Loom

__all__ = ["SCORES", "Trial", "generated", "judged", "look", "try_level"]

F64 = NDArray[np.float64]
I64 = NDArray[np.int64]

SCORES: Final = {"generated": True, "f1": True, "notes": False}
"""What a run is judged by, the first one that is known, and whether more is better."""
_WINDOW_BEATS: Final = 128
"""Stretch of a level, from its first note on, whose notes are placed."""
_METRE: Final = 4


@torch.no_grad()
def look(model: Loom, corpus: Corpus, config: TrainConfig, *, songs: int = 24) -> dict[str, float]:
    """How the model does on songs it does not learn from.

    Returns:
        `f1` of as many best slots as the level has onsets (Expert and Expert+), `notes` mean nats of a choice, `rhythm`
        mean nats of a slot; what there is nothing to measure by is left out.
    """
    model.eval()
    device = next(model.parameters()).device
    scores: list[float] = []
    sums: dict[str, list[float]] = {}
    exact = replace(config, label_smoothing=0.0)
    for place in range(min(len(corpus.heard or corpus.silent), songs)):
        one = slice(place, place + 1)
        batch = corpus.batch(corpus.heard[one], corpus.silent[one], [0, 0], augment=False).to(device)
        for name, (total, count) in loss_terms(model, batch, exact).items():
            sums.setdefault(name, [0.0, 0.0])
            sums[name][0] += float(total)
            sums[name][1] += float(count)
        scores += _slot_f1(model, batch)
    out = {name: total / count for name, (total, count) in sums.items() if count > 0}
    if scores:
        out["f1"] = float(np.mean(scores))
    return out


@dataclass(frozen=True, kw_only=True, slots=True)
class Trial:
    """What the model makes in the place of a human level."""

    wanted_s: F64
    """Human onsets."""
    found_s: F64
    """Those of the model."""
    human: tuple[I64, I64, I64]
    """Slot, hand and state of the human notes of a stretch."""
    made: tuple[I64, I64, I64]
    """The same of the notes that the model places there."""
    refused: float
    """Draws that a mask took away."""


def generated(model: Loom, corpus: Corpus, config: TrainConfig) -> dict[str, float]:
    """Levels that the model makes in the place of human ones, of `config.generated_levels` songs: how like they are.

    Each is asked for what the human level has: as many onsets, its statistics. Songs and draws are the same at every
    look. Of a level longer than 128 beats only these are placed.

    Returns:
        `onset_f1` within 50 ms; `divergence`, the mean of the Jensen-Shannon divergences of all levels together from
        the human ones in all that `measures.DIVERGENCES` names (bit); `refused`, the share of draws that a mask took
        away; `generated`, the first less the others. Nothing where there is no song to make a level of.
    """
    model = copy.deepcopy(model).to("cpu").eval()
    trials = []
    for song in corpus.heard[: config.generated_levels]:
        level = max(corpus.songs[song].levels, key=lambda one: (one.rhythm, RANKS.index(one.difficulty), one.name))
        trial = try_level(model, corpus, song, level, np.random.default_rng([config.training_seed, song]))
        trials += [] if trial is None else [trial]
    return judged(trials)


def judged(trials: Sequence[Trial]) -> dict[str, float]:
    """As `generated`, of levels that are made."""
    apart = []
    for name in DIVERGENCES:
        made, human = (
            np.sum([histograms(*notes)[name] for notes in side], axis=0)
            for side in ([trial.made for trial in trials], [trial.human for trial in trials])
        )
        if np.sum(human) > 0:
            apart.append(js_divergence(made, human) if np.sum(made) > 0 else 1.0)
    if not apart:
        return {}
    f1 = [2.0 * matched_onsets(t.wanted_s, t.found_s, 0.05) / (len(t.wanted_s) + len(t.found_s)) for t in trials]
    notes = sum(len(trial.made[0]) for trial in trials)
    out = {"onset_f1": float(np.mean(f1)), "divergence": float(np.mean(apart))}
    out["refused"] = sum(trial.refused for trial in trials) / max(notes, 1)
    return out | {"generated": out["onset_f1"] - out["divergence"] - out["refused"]}


def try_level(model: Loom, corpus: Corpus, song: int, level: Level, rng: np.random.Generator) -> Trial | None:
    """Makes a level of a song in the place of a human one; None where that has too few notes."""
    features = corpus.features(song)
    bars = -(-len(features) // (_METRE * SLOTS_PER_BEAT))
    sound = Sound(
        flux=np.zeros((bars * _METRE * SLOTS_PER_BEAT, 4)),
        loudness_db=np.zeros(bars),
        likeness=np.zeros((bars, bars)),
        metre=_METRE,
        grid=timing.grid_of(_native.TempoMap([0], [level.bpm])),
    )
    wanted = np.unique(level.slot[level.slot < len(sound.flux)])
    if len(wanted) < 3:
        return None
    end = int(wanted[0]) + _WINDOW_BEATS * SLOTS_PER_BEAT
    listener = neural.Listener(model, features, corpus.mels, sound)
    whole = _rhythm(listener, level, wanted)
    inside = whole.slot < end
    strict, gentle = play_states(sound.grid.clock(), level.difficulty, level.bpm)
    part = neural.Part(
        name=level.difficulty,
        rhythm=replace(whole, slot=whole.slot[inside], hands=whole.hands[inside], weight=whole.weight[inside]),
        state=strict,
        gentle=gentle,
        rng=rng,
        style=level.statistics,
        density=len(whole.slot) / (int(np.ptp(whole.slot)) + 1),
    )
    if model.config.planned:
        placed = neural.place(listener, {part.name: part}, neural.Draw())[part.name]
        found = whole.slot
    else:
        wanted = wanted[wanted < end]
        first_s, last_s = sound.grid.seconds(wanted[[0, -1]] / SLOTS_PER_BEAT).tolist()
        placed = neural.write(listener, {part.name: part}, neural.Draw(), first_s=first_s, last_s=last_s)[part.name]
        found = np.unique(np.round(placed.beat * SLOTS_PER_BEAT))
    human = level.slot < min(end, len(sound.flux))
    slot = np.round(placed.beat * SLOTS_PER_BEAT).astype(np.int64)
    return Trial(
        wanted_s=sound.grid.seconds(wanted / SLOTS_PER_BEAT),
        found_s=sound.grid.seconds(found / SLOTS_PER_BEAT),
        human=(level.slot[human], level.hand[human], level.state[human]),
        made=(slot, (placed.hand == RIGHT).astype(np.int64), placed.state),
        refused=placed.refused,
    )


def _rhythm(listener: neural.Listener, level: Level, wanted: I64) -> Rhythm:
    """As many of the best slots as are wanted, from the first to the last of them; themselves in joint decoding."""
    bars = listener.sound.bars
    none, plain = np.full(bars, -1, dtype=np.int64), np.zeros(bars, dtype=bool)
    if listener.model.rhythm is None:
        both = np.full(len(wanted), BOTH, dtype=np.uint8)
        return Rhythm(slot=wanted, hands=both, weight=np.zeros(len(wanted)), source=none, mirrored=plain)
    played = slice(int(wanted[0]), int(wanted[-1]) + 1)
    odds, accent = listener.odds(level.difficulty, len(wanted) / (played.stop - played.start))
    slot_s = listener.sound.grid.seconds(np.arange(len(odds)) / SLOTS_PER_BEAT)
    style = replace(STYLES[level.difficulty], doubles=float(np.nan_to_num(level.statistics[1])))
    inside = np.full(len(odds), -np.inf)
    inside[played] = odds[played]
    slot = np.flatnonzero(best_slots(inside, len(wanted), slot_s, style.gap_s))
    chance = np.random.default_rng(0)
    hands, _ = hands_of(slot, slot_s[slot], accent[slot], listener.sound.bar_slots, none, style, 0.0, chance)
    return Rhythm(slot=slot, hands=hands, weight=odds[slot], source=none, mirrored=plain)


def _slot_f1(model: Loom, batch: Batch) -> list[float]:
    """Share of the true onsets among as many best slots of what is played, by level of Expert and Expert+."""
    if model.rhythm is None or not len(batch.rhythm_song):
        return []
    heard = model.hear(batch.audio, batch.length, batch.alike)
    onset, _ = rhythm_logits(model.rhythm, heard, batch)
    scores = []
    for odds, truth, condition in zip(onset, batch.onset, batch.rhythm_condition, strict=True):
        if condition[3] + condition[4] == 0:
            continue
        count = int((truth > 0).sum())
        best = odds.masked_fill(truth < 0, -torch.inf).topk(count).indices
        scores.append(float((truth[best] > 0).float().mean()))
    return scores
