"""What the transformer is to make small: the losses of a batch, each as a sum and the count it is divided by."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor
from torch.nn import functional

from beatweaver.data import BLOCK_SLOTS
from beatweaver.model import statistic_buckets
from beatweaver.tokens import STATES, joint_vocabulary

if TYPE_CHECKING:
    from beatweaver.config import TrainConfig
    from beatweaver.data import Batch, NoteBatch
    from beatweaver.model import Heard, Loom, RhythmHead

__all__ = ["Terms", "loss_terms", "loss_weights", "note_logits", "rhythm_logits", "total_loss"]

Terms = dict[str, tuple[Tensor, Tensor]]


def loss_terms(model: Loom, batch: Batch, config: TrainConfig) -> Terms:
    """Each loss as a sum and the count it is to be divided by.

    `rhythm`: onsets at slots; `both`: two hands at an onset; `density`: expected onsets of a bar against the true ones;
    `notes`: the choice at each step; `colour`: expected share of the left hand against the true one.
    """
    terms: Terms = {}
    heard = model.hear(batch.audio, batch.length, batch.alike) if len(batch.audio) else None
    if model.rhythm is not None and heard is not None and len(batch.rhythm_song):
        onset, both = rhythm_logits(model.rhythm, heard, batch)
        weight = batch.rhythm_weight[:, None]
        inside = (batch.onset >= 0).float() * weight
        plain = functional.binary_cross_entropy_with_logits(onset, batch.onset.clamp(min=0), reduction="none")
        terms["rhythm"] = (plain * inside).sum(), inside.sum()
        double = (batch.both >= 0).float() * weight
        plain = functional.binary_cross_entropy_with_logits(both, batch.both.clamp(min=0), reduction="none")
        terms["both"] = (plain * double).sum(), double.sum()
        excess = (onset.sigmoid() - batch.onset.clamp(min=0)) * inside
        bars = excess.reshape(len(excess), -1, BLOCK_SLOTS).sum(dim=2).abs()
        terms["density"] = bars.sum(), inside.sum() / BLOCK_SLOTS
    parts = []
    if batch.heard is not None and heard is not None:
        parts.append(_note_terms(model, batch.heard, heard.of(batch.heard.song), config))
    if batch.silent is not None:
        parts.append(_note_terms(model, batch.silent, model.encoder.nothing(len(batch.silent.song)), config))
    for name in ("notes", "colour"):
        if parts:
            sums, counts = zip(*(part[name] for part in parts), strict=True)
            terms[name] = torch.stack(sums).sum(), torch.stack(counts).sum()
    return terms


def rhythm_logits(head: RhythmHead, heard: Heard, batch: Batch) -> tuple[Tensor, Tensor]:
    """Log odds of an onset and of both hands at the slots of each level that teaches rhythm: (R, S) each."""
    song = batch.rhythm_song
    onset, both = head(heard.slots[song], batch.rhythm_condition, heard.slot_mask[song])
    return onset.float(), both.float()


def note_logits(model: Loom, batch: NoteBatch, heard: Heard) -> Tensor:
    """Log odds of the choice at each step, what cannot be left out: (L, T, V)."""
    decoder, steps = model.decoder, batch.steps
    style = decoder.style(batch.condition, statistic_buckets(batch.statistics, model.statistic_edges))
    position = None
    if model.config.position == "index":
        position = torch.arange(steps.last.shape[1], device=style.device).expand(steps.last.shape).float()
    if not model.config.planned:
        x = decoder.embed_tokens(steps.last, steps.slot, heard, style)
        free: Tensor = decoder(x, steps.beat, heard, position=position).float()
        return free
    logits: Tensor = decoder(decoder.embed(steps, heard, style), steps.beat, heard, position=position).float()
    left = torch.arange(logits.shape[-1], device=logits.device) < STATES
    # The first of two notes is the left hand's, the second the right hand's.
    other = ((steps.kind == 1)[..., None] & ~left) | ((steps.kind == 2)[..., None] & left)
    return logits.masked_fill(other, -1e4)


def _note_terms(model: Loom, batch: NoteBatch, heard: Heard, config: TrainConfig) -> Terms:
    logits = note_logits(model, batch, heard)
    there = (batch.target >= 0).float() * batch.weight[:, None]
    chance = logits.log_softmax(dim=-1)
    nll = -chance.gather(-1, batch.target.clamp(min=0)[..., None])[..., 0]
    possible = (logits > -1e3).float()
    even = -(chance * possible).sum(dim=-1) / possible.sum(dim=-1)
    smooth = config.label_smoothing
    sums = (((1.0 - smooth) * nll + smooth * even) * there).sum()
    if model.config.planned:
        left, right = (0, STATES), (STATES, 2 * STATES)
        free = (batch.steps.kind == 0) & (batch.target >= 0)
    else:
        vocab = joint_vocabulary()
        left, right = vocab.range("LEFT"), vocab.range("RIGHT")
        free = (batch.target >= left[0]) & (batch.target < right[1])
    share = chance.exp()
    mine, others = share[..., slice(*left)].sum(dim=-1), share[..., slice(*right)].sum(dim=-1)
    truth = ((batch.target >= left[0]) & (batch.target < left[1])).float()
    weight = free.float()
    count = weight.sum(dim=1)
    apart = ((mine / (mine + others + 1e-6) - truth) * weight).sum(dim=1) / count.clamp(min=1.0)
    some = (count > 0).float()
    return {"notes": (sums, there.sum()), "colour": ((apart.square() * some).sum(), some.sum())}


def loss_weights(config: TrainConfig) -> dict[str, float]:
    """How much each loss counts."""
    return {
        "rhythm": config.rhythm_loss_weight,
        "both": 0.25 * config.rhythm_loss_weight,
        "density": config.density_loss_weight,
        "notes": 1.0,
        "colour": config.color_balance_weight,
    }


def total_loss(terms: Terms, config: TrainConfig) -> Tensor:
    """The loss that is minimised, its terms each over their own count."""
    parts = [loss_weights(config)[name] * total / count.clamp(min=1e-6) for name, (total, count) in terms.items()]
    return torch.stack(parts).sum() if parts else torch.zeros(())
