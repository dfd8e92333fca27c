"""The RoPE transformer, whole: what hears the song, what chooses the slots, what places the notes.

Letters in shapes: A songs of a batch, L levels, S slots of the beat grid (12 a beat), Q = S / 12 beats, F features of a
slot, C width of the encoder, T steps of the decoder, D its width, H heads, K heads of keys and values, V choices.

    audio (A, S, F) ── AudioEncoder ── slots (A, S, C), beats (A, Q, C)
    slots ── RhythmHead, for each level ── log odds of an onset, and of both hands at it (L, S)
    notes so far, slots at the onset, beats around it ── NoteDecoder ── which hand, where, which cut (L, T, V)

Positions are beats everywhere, so a slot, a beat of the encoder and a note share one coordinate, and what the model has
learnt about a gap of two beats holds at any tempo.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

import torch
from torch import Tensor, nn
from torch.nn import functional

from beatweaver.config import RANKS, ModelConfig
from beatweaver.tokens import SLOTS_PER_BEAT, STATES

__all__ = [
    "CHOICES",
    "STATISTICS",
    "UNKNOWN",
    "AudioEncoder",
    "Cache",
    "Heard",
    "Loom",
    "NoteDecoder",
    "NoteSteps",
    "RhythmHead",
    "statistic_buckets",
]

CHOICES: Final = 2 * STATES
"""Left hand's states, then the right hand's: column, row and cut as tokens.rs numbers them."""
BEGIN: Final = CHOICES
"""What stands before the first note."""
STATISTICS: Final = ("nps", "doubles", "dots", "crossed", "vertical", "jump", "outer", "top")
"""What is known of how a level plays, and may be asked of one; `data.statistics` measures them."""
BUCKETS: Final = 8
UNKNOWN: Final = BUCKETS
"""Bucket of a statistic that is not given."""
GAPS: Final = 6
"""Numbers that describe the time around a step; `NoteSteps.gaps` says which."""
CONDITIONS: Final = len(RANKS) + 2
"""Numbers that tell a level's difficulty, density and tempo."""
_DILATIONS: Final = (1, 3, 6, 12, 1, 3, 24, 48)
"""Reach of the convolutions in slots: neighbours, quarters, halves, beats, pairs of beats, bars."""
_AROUND_BEATS: Final = 8.0
"""Beats before and after a note that its placement listens to: two bars of four."""


# ---- parts ----------------------------------------------------------------------------------------------------------


Turn = tuple[Tensor, Tensor]
"""Cosines and sines of positions, for `rope`: (B, 1, T, channels / 2) each."""


def wavelengths(channels: int, *, shortest: float = 0.5, longest: float = 2048.0) -> Tensor:
    """Wavelengths of the pairs of a head, geometric: half a beat to five hundred bars."""
    return torch.logspace(math.log10(shortest), math.log10(longest), channels // 2)


def turn(position: Tensor, channels: int) -> Turn:
    """Angles of `position` (B, T) for heads of so many channels."""
    angle = position[:, None, :, None] * (2.0 * math.pi / wavelengths(channels).to(position.device))
    return angle.cos(), angle.sin()


def rope(x: Tensor, angles: Turn | None) -> Tensor:
    """Turns each pair of channels of `x` (B, heads, T, channels) by its angle: Su et al. 2021, on beats."""
    if angles is None:
        return x
    cos, sin = angles[0].to(x.dtype), angles[1].to(x.dtype)
    first, second = x.chunk(2, dim=-1)
    return torch.cat([first * cos - second * sin, first * sin + second * cos], dim=-1)


def sinusoid(position: Tensor, channels: int) -> Tensor:
    """Sines and cosines of `position` (B, T) to be added to an embedding: (B, T, channels), Vaswani et al. 2017."""
    angle = position[..., None] * (2.0 * math.pi / wavelengths(channels).to(position.device))
    return torch.cat([angle.sin(), angle.cos()], dim=-1)


class Cache:
    """Keys and values of one attention's steps so far, for a batch that goes on together; the last `reach` are kept."""

    def __init__(self, like: Tensor, levels: int, heads: int, width: int, reach: int) -> None:
        self.reach = reach
        # Twice the reach, so that the rows move forward seldom.
        self.rows = like.new_zeros(2, levels, heads, 2 * reach, width)
        self.end = 0

    @property
    def length(self) -> int:
        """Steps that are held."""
        return min(self.end, self.reach)

    def extend(self, key: Tensor, value: Tensor) -> tuple[Tensor, Tensor]:
        """Takes up steps (L, K, T, width) and gives all that the last of them may see, and T - 1 more."""
        steps = key.shape[2]
        start = self.end - self.length
        if self.end + steps > self.rows.shape[3]:
            kept = self.rows[:, :, :, start : self.end].clone()
            room = max(self.rows.shape[3], self.length + steps)
            if room > self.rows.shape[3]:
                self.rows = self.rows.new_zeros(*self.rows.shape[:3], room, self.rows.shape[4])
            self.rows[:, :, :, : self.length] = kept
            start, self.end = 0, kept.shape[3]
        self.rows[0, :, :, self.end : self.end + steps] = key
        self.rows[1, :, :, self.end : self.end + steps] = value
        self.end += steps
        seen = self.rows[:, :, :, start : self.end]
        return seen[0], seen[1]

    def choose(self, rows: Tensor) -> None:
        """Makes the batch anew from rows of the old one (L,)."""
        self.rows = self.rows[:, rows].contiguous()


class Norm(nn.RMSNorm):
    """RMSNorm (Zhang and Sennrich 2019) in 32 bits whatever the arithmetic around it, whose epsilon may be coarse."""

    def forward(self, x: Tensor) -> Tensor:
        return functional.rms_norm(x.float(), self.normalized_shape, self.weight, self.eps)


class Attention(nn.Module):
    """Grouped-query attention (Ainslie et al. 2023): K heads of keys serve H heads of queries."""

    def __init__(self, dim: int, heads: int, kv_heads: int, *, source: int, dropout: float) -> None:
        super().__init__()
        self.heads, self.kv_heads, self.width = heads, kv_heads, dim // heads
        self.query = nn.Linear(dim, dim, bias=False)
        self.key_value = nn.Linear(source, 2 * kv_heads * self.width, bias=False)
        self.out = nn.Linear(dim, dim, bias=False)
        self.dropout = dropout

    def keys(self, source: Tensor, angles: Turn | None) -> tuple[Tensor, Tensor]:
        """Keys, turned by `angles`, and values of `source` (B, N, channels): (B, K, N, width) each."""
        b, n, _ = source.shape
        key, value = self.key_value(source).view(b, n, 2, self.kv_heads, self.width).permute(2, 0, 3, 1, 4)
        return rope(key, angles), value

    def forward(self, x: Tensor, angles: Turn | None, key: Tensor, value: Tensor, mask: Tensor | None) -> Tensor:
        """What `x` (B, T, dim) takes from keys and values, where `mask` (B or 1, 1, T, N) is True."""
        b, t, _ = x.shape
        query = rope(self.query(x).view(b, t, self.heads, self.width).transpose(1, 2), angles)
        taken = functional.scaled_dot_product_attention(
            query,
            key,
            value,
            attn_mask=mask,
            dropout_p=self.dropout if self.training else 0.0,
            enable_gqa=self.kv_heads != self.heads,
        )
        out: Tensor = self.out(taken.transpose(1, 2).reshape(b, t, -1))
        return out


class SwiGLU(nn.Module):
    """Gated feed-forward (Shazeer 2020)."""

    def __init__(self, dim: int, inner: int) -> None:
        super().__init__()
        self.up = nn.Linear(dim, 2 * inner, bias=False)
        self.down = nn.Linear(inner, dim, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        gate, value = self.up(x).chunk(2, dim=-1)
        down: Tensor = self.down(functional.silu(gate) * value)
        return down


class Block(nn.Module):
    """Pre-norm transformer block; with `source` channels it also attends to something beside itself."""

    def __init__(self, dim: int, heads: int, kv_heads: int, inner: int, *, source: int = 0, dropout: float) -> None:
        super().__init__()
        self.norm = Norm(dim)
        self.attention = Attention(dim, heads, kv_heads, source=dim, dropout=dropout)
        self.cross_norm = Norm(dim) if source else None
        self.cross = Attention(dim, heads, kv_heads, source=source, dropout=dropout) if source else None
        self.feed_norm = Norm(dim)
        self.feed = SwiGLU(dim, inner)
        self.dropout = nn.Dropout(dropout)

    def forward(
        self,
        x: Tensor,
        angles: Turn | None,
        mask: Tensor | None,
        *,
        beside: tuple[Tensor, Tensor, Tensor] | None = None,
        beside_angles: Turn | None = None,
        cache: Cache | None = None,
    ) -> Tensor:
        """One block; `cache` holds the steps before `x` and takes up those of `x`.

        Args:
            x: (B, T, dim).
            angles: of the steps' places.
            mask: True where a step (T) may look (all steps so far).
            beside: keys, values and mask of the cross-attention.
            beside_angles: of the steps' places among those keys.
            cache: of `attention`.
        """
        inner = self.norm(x)
        key, value = self.attention.keys(inner, angles)
        if cache is not None:
            key, value = cache.extend(key, value)
        x = x + self.dropout(self.attention(inner, angles, key, value, mask))
        if self.cross is not None and self.cross_norm is not None and beside is not None:
            x = x + self.dropout(self.cross(self.cross_norm(x), beside_angles, *beside))
        fed: Tensor = self.dropout(self.feed(self.feed_norm(x)))
        return x + fed


class ConvBlock(nn.Module):
    """Depthwise convolution over slots, then a mix of the channels; `reach` slots between its five taps."""

    taps: Final = 5

    def __init__(self, dim: int, reach: int, dropout: float) -> None:
        super().__init__()
        self.reach = reach
        self.tap = nn.Parameter(torch.empty(self.taps, dim))
        self.norm = Norm(dim)
        self.up = nn.Linear(dim, 2 * dim)
        self.down = nn.Linear(2 * dim, dim)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor, inside: Tensor) -> Tensor:
        """(B, S, dim) to the same; `inside` (B, S, 1) is 0 behind the end of a song."""
        slots = x.shape[1]
        # Shifted sums: faster on CPUs than a convolution of one channel each, and no transposing.
        padded = functional.pad(x * inside, (0, 0, 2 * self.reach, 2 * self.reach))
        mixed = sum(padded[:, k * self.reach : k * self.reach + slots] * self.tap[k] for k in range(self.taps))
        down: Tensor = self.down(functional.silu(self.up(self.norm(mixed))))
        dropped: Tensor = self.dropout(down)
        return x + dropped


# ---- hearing --------------------------------------------------------------------------------------------------------


@dataclass
class Heard:
    """What the encoder makes of songs."""

    slots: Tensor
    """(A, S, C)."""
    beats: Tensor
    """(A, Q, C)."""
    beat_mask: Tensor
    """True where a beat is of the song: (A, Q)."""
    slot_mask: Tensor
    """True where a slot is of the song: (A, S)."""

    def of(self, song: Tensor) -> Heard:
        """Rows by level: `song` (L,)."""
        return Heard(self.slots[song], self.beats[song], self.beat_mask[song], self.slot_mask[song])


class AudioEncoder(nn.Module):
    """Dilated convolutions over the slots of the whole song, then attention over its beats."""

    def __init__(self, config: ModelConfig, features: int) -> None:
        super().__init__()
        dim = config.encoder_dim
        self.stride = config.encoder_stride
        self.into = nn.Linear(features, dim)
        self.place = _embedding(SLOTS_PER_BEAT, dim)
        self.convolutions = nn.ModuleList(
            ConvBlock(dim, _DILATIONS[i % len(_DILATIONS)], config.dropout) for i in range(config.conv_blocks)
        )
        self.alike = nn.Linear(dim, dim, bias=False)
        heads = config.encoder_heads
        self.blocks = nn.ModuleList(
            Block(
                dim,
                heads,
                config.kv_heads_of(heads),
                config.encoder_ff_dim,
                dropout=config.dropout,
            )
            for _ in range(config.encoder_layers)
        )
        self.back = nn.Linear(dim, dim, bias=False)
        self.norm = Norm(dim)
        self.beat_norm = Norm(dim)
        self.dropout = nn.Dropout(config.dropout)
        self.silence = nn.Parameter(torch.zeros(dim))
        """What a level without audio hears."""
        self.config = config

    def forward(self, audio: Tensor, length: Tensor, alike: Tensor) -> Heard:
        """Hear whole songs.

        Args:
            audio: features of each slot (A, S, F); S a multiple of a bar of four beats.
            length: slots of each song (A,), at least one.
            alike: for each block of four beats the blocks that sound most like it (A, S / 48, N).
        """
        a, s, _ = audio.shape
        at = torch.arange(s, device=audio.device)
        inside = (at[None] < length[:, None])[..., None]
        x = self.dropout(self.into(audio)) + self.place(at % SLOTS_PER_BEAT)
        middle = len(self.convolutions) // 2
        for block in self.convolutions[: middle + 1]:
            x = block(x, inside)
        x = x + self.alike(_elsewhere(x * inside, alike))
        for block in self.convolutions[middle + 1 :]:
            x = block(x, inside)
        # Attention over strides of slots (a beat each): a song is some hundreds of them.
        steps = (x * inside).view(a, s // self.stride, self.stride, -1).mean(dim=2)
        step_mask = inside.view(a, s // self.stride, self.stride).any(dim=2)
        position = (torch.arange(s // self.stride, device=x.device) * (self.stride / SLOTS_PER_BEAT)).expand(a, -1)
        angles = turn(position, steps.shape[-1] // self.config.encoder_heads) if self.config.use_rope else None
        if angles is None:
            steps = steps + sinusoid(position, steps.shape[-1])
        for block in self.blocks:
            steps = block(steps, angles, step_mask[:, None, None, :])
        x = self.norm(x + self.back(steps).repeat_interleave(self.stride, dim=1))
        beats = self.beat_norm((x * inside).view(a, s // SLOTS_PER_BEAT, SLOTS_PER_BEAT, -1).mean(dim=2))
        beat_mask = inside.view(a, -1, SLOTS_PER_BEAT).any(dim=2)
        return Heard(slots=x, beats=beats, beat_mask=beat_mask, slot_mask=inside[..., 0])

    def nothing(self, levels: int) -> Heard:
        """What `levels` levels without audio hear."""
        slots = self.silence.expand(levels, SLOTS_PER_BEAT, -1)
        beats = self.beat_norm(self.silence).expand(levels, 1, -1)
        everywhere = torch.ones(levels, SLOTS_PER_BEAT, dtype=torch.bool, device=beats.device)
        return Heard(slots=slots, beats=beats, beat_mask=everywhere[:, :1], slot_mask=everywhere)


def _elsewhere(x: Tensor, alike: Tensor) -> Tensor:
    """Mean of `x` (A, S, C) at the same place of the blocks most like each slot's own; `alike` (A, blocks, N)."""
    a, s, c = x.shape
    blocks = alike.shape[1]
    by_block = x.view(a, blocks, -1)
    row = torch.arange(a, device=x.device)[:, None]
    total = by_block[row, alike[:, :, 0]]
    for n in range(1, alike.shape[2]):
        total = total + by_block[row, alike[:, :, n]]
    return (total / alike.shape[2]).view(a, s, c)


class RhythmHead(nn.Module):
    """Log odds of an onset at each slot of a level, and of both hands at an onset, to its difficulty and density."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        dim = max(config.encoder_dim // 2, 8)
        self.into = nn.Linear(config.encoder_dim, dim)
        self.condition = nn.Sequential(nn.Linear(CONDITIONS, dim), nn.SiLU(), nn.Linear(dim, 2 * dim))
        self.place = nn.Linear(CONDITIONS, SLOTS_PER_BEAT)
        self.blocks = nn.ModuleList(ConvBlock(dim, reach, config.dropout) for reach in (1, 3, 12))
        self.norm = Norm(dim)
        self.dropout = nn.Dropout(config.dropout)
        self.out = nn.Linear(dim, 2)

    def forward(self, slots: Tensor, condition: Tensor, slot_mask: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """(L, S, C) and conditions (L, 7) to two tensors (L, S); without `slot_mask` (L, S) no slot is padding."""
        scale, shift = self.condition(condition)[:, None, :].chunk(2, dim=-1)
        x = self.dropout(self.into(slots)) * (1.0 + scale) + shift
        inside = torch.ones_like(x[..., :1]) if slot_mask is None else slot_mask[..., None]
        for block in self.blocks:
            x = block(x, inside)
        onset, both = self.out(self.norm(x)).unbind(dim=-1)
        # How much a place in the beat is played depends on the density first of all.
        place = self.place(condition).repeat(1, slots.shape[1] // SLOTS_PER_BEAT)
        return onset + place, both


# ---- placing --------------------------------------------------------------------------------------------------------


@dataclass
class NoteSteps:
    """What the decoder is told at each step: one note each, sorted by beat, the left hand's first of two at a time."""

    last: Tensor
    """Choice of the step before, BEGIN at first: (L, T)."""
    hands: Tensor
    """Last and last but one state of the left hand, then of the right, STATES for none: (L, T, 4)."""
    gaps: Tensor
    """Logarithms of the seconds since the last note of the left hand, of the right, since the last onset, and until
    the next one; then of the beats since the last onset and until the next: (L, T, 6)."""
    kind: Tensor
    """0 for a note alone, 1 for the first of two, 2 for the second: (L, T)."""
    slot: Tensor
    """Slot of the note: (L, T)."""
    beat: Tensor
    """Beat of the note, or whatever positions count: (L, T)."""

    def span(self, start: int, end: int) -> NoteSteps:
        """Some of the steps."""
        return NoteSteps(*(getattr(self, name)[:, start:end] for name in self.__dataclass_fields__))


class NoteDecoder(nn.Module):
    """Causal blocks over the notes, each listening to the beats around it.

    `config.vocab_size` says what a step is: 217 for notes at given slots (planned), else tokens (joint).
    """

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        dim = config.decoder_dim
        self.config = config
        self.token = _embedding(config.vocab_size, dim)
        if config.planned:
            self.hand = _embedding(4 * (STATES + 1), dim)
            self.kind = _embedding(3, dim)
            self.gap = nn.Sequential(nn.Linear(GAPS, dim), nn.SiLU(), nn.Linear(dim, dim))
        self.place = _embedding(SLOTS_PER_BEAT, dim)
        self.hear = nn.Linear(config.encoder_dim, dim, bias=False)
        self.level = nn.Linear(CONDITIONS, dim)
        self.statistic = _embedding(len(STATISTICS) * (BUCKETS + 1), dim)
        heads = config.decoder_heads
        self.blocks = nn.ModuleList(
            Block(
                dim,
                heads,
                config.kv_heads_of(heads),
                config.decoder_ff_dim,
                source=config.encoder_dim,
                dropout=config.dropout,
            )
            for _ in range(config.decoder_layers)
        )
        self.norm = Norm(dim)
        self.out = nn.Linear(dim, CHOICES if config.planned else config.vocab_size)
        self.dropout = nn.Dropout(config.dropout)

    def style(self, condition: Tensor, buckets: Tensor) -> Tensor:
        """What a level is to be like: condition (L, 7) and buckets of its statistics (L, 8) to (L, D)."""
        row = torch.arange(len(STATISTICS), device=buckets.device) * (BUCKETS + 1)
        asked: Tensor = self.level(condition) + self.statistic(buckets + row).sum(dim=1)
        return asked

    def embed(self, steps: NoteSteps, heard: Heard, style: Tensor) -> Tensor:
        """Steps of planned decoding to (L, T, D)."""
        row = torch.arange(4, device=steps.hands.device) * (STATES + 1)
        x = self.token(steps.last) + self.hand(steps.hands + row).sum(dim=2) + self.kind(steps.kind)
        return self._with_sound(x + self.gap(steps.gaps), steps.slot, heard, style)

    def embed_tokens(self, tokens: Tensor, slot: Tensor, heard: Heard, style: Tensor) -> Tensor:
        """Tokens of joint decoding (L, T) at their slots to (L, T, D)."""
        return self._with_sound(self.token(tokens), slot, heard, style)

    def _with_sound(self, x: Tensor, slot: Tensor, heard: Heard, style: Tensor) -> Tensor:
        row = torch.arange(len(slot), device=slot.device)[:, None]
        # Steps outside of the song hear its first or last slot, whatever else is in the batch.
        last = heard.slot_mask.sum(dim=1, keepdim=True) - 1
        sound = heard.slots[row, slot.clamp(min=0).minimum(last)]
        embedded: Tensor = self.dropout(x + self.place(slot % SLOTS_PER_BEAT) + self.hear(sound) + style[:, None])
        return embedded

    def listen(self, heard: Heard) -> list[tuple[Tensor, Tensor]]:
        """Keys and values of the beats for each block, once for a song."""
        position = torch.arange(heard.beats.shape[1], device=heard.beats.device, dtype=torch.float32)
        angles = self._angles(position.expand(len(heard.beats), -1))
        crosses = [block.cross for block in self.blocks if isinstance(block, Block)]
        return [cross.keys(heard.beats, angles) for cross in crosses if cross is not None]

    def _angles(self, position: Tensor) -> Turn | None:
        return turn(position, self.config.decoder_dim // self.config.decoder_heads) if self.config.use_rope else None

    def forward(
        self,
        x: Tensor,
        beat: Tensor,
        heard: Heard,
        *,
        sounds: list[tuple[Tensor, Tensor]] | None = None,
        caches: list[Cache] | None = None,
        position: Tensor | None = None,
    ) -> Tensor:
        """Log odds of what comes at each step: (L, T, V).

        Args:
            x: embedded steps (L, T, D).
            beat: where they are (L, T).
            heard: the song of each level.
            sounds: what `listen` gives, where it is known already.
            caches: one for each block, of the steps before; they take up these.
            position: what attention takes for the place of a step; beats unless given.
        """
        sounds = self.listen(heard) if sounds is None else sounds
        position = beat if position is None else position
        t, before = x.shape[1], caches[0].length if caches else 0
        beats = torch.arange(heard.beats.shape[1], device=x.device)
        near = (beats[None, None] - beat[:, :, None]).abs() <= _AROUND_BEATS
        near = near & heard.beat_mask[:, None]
        # Beyond the end of the song there may be nothing near: the whole song then, so that no row is empty.
        near = torch.where(near.any(dim=-1, keepdim=True), near, heard.beat_mask[:, None])[:, None]
        step = torch.arange(before + t, device=x.device)
        ahead = step[before:, None] - step[None, :]
        mask = ((ahead >= 0) & (ahead < self.config.max_seq_len))[None, None]
        angles = self._angles(position)
        of_beats = angles if position is beat else self._angles(beat)
        if angles is None:
            x = x + sinusoid(position, x.shape[-1])
        for number, block in enumerate(self.blocks):
            beside = (*sounds[number], near)
            cache = None if caches is None else caches[number]
            x = block(x, angles, mask, beside=beside, beside_angles=of_beats, cache=cache)
        logits: Tensor = self.out(self.norm(x))
        return logits

    def caches(self, levels: int, like: Tensor) -> list[Cache]:
        """Empty caches for `levels` sequences."""
        config = self.config
        heads = config.kv_heads_of(config.decoder_heads)
        width = config.decoder_dim // config.decoder_heads
        return [Cache(like, levels, heads, width, config.max_seq_len - 1) for _ in self.blocks]


class Loom(nn.Module):
    """Encoder, rhythm and decoder with what belongs to their inputs: scales of features, edges of statistics."""

    feature_mean: Tensor
    feature_scale: Tensor
    statistic_edges: Tensor

    def __init__(self, config: ModelConfig, features: int) -> None:
        super().__init__()
        self.config = config
        self.encoder = AudioEncoder(config, features)
        self.rhythm = RhythmHead(config) if config.planned else None
        self.decoder = NoteDecoder(config)
        self.register_buffer("feature_mean", torch.zeros(features))
        self.register_buffer("feature_scale", torch.ones(features))
        self.register_buffer("statistic_edges", torch.zeros(len(STATISTICS), BUCKETS - 1))
        self.apply(_begin)

    def hear(self, audio: Tensor, length: Tensor, alike: Tensor) -> Heard:
        """As `AudioEncoder.forward`, for features as the store has them."""
        heard: Heard = self.encoder((audio - self.feature_mean) / self.feature_scale, length, alike)
        return heard

    def parameter_count(self) -> int:
        """Numbers that are learnt."""
        return sum(parameter.numel() for parameter in self.parameters())


def _embedding(rows: int, dim: int) -> nn.Embedding:
    """Rows yet to be drawn."""
    return nn.Embedding(rows, dim, _weight=torch.empty(rows, dim))


def _begin(module: nn.Module) -> None:
    """Draws the first weights; none for a shape without memory, where torch would import its compiler to draw them."""
    if any(parameter.is_meta for parameter in module.parameters(recurse=False)):
        return
    if isinstance(module, nn.Linear | nn.Embedding):
        nn.init.normal_(module.weight, std=0.02 if isinstance(module, nn.Embedding) else module.weight.shape[1] ** -0.5)
    if isinstance(module, nn.Linear) and module.bias is not None:
        nn.init.zeros_(module.bias)
    if isinstance(module, ConvBlock):
        nn.init.normal_(module.tap, std=1.0 / module.taps)
    # Blocks begin as nothing but their input: deep stacks start calm.
    if isinstance(module, ConvBlock | SwiGLU):
        nn.init.zeros_(module.down.weight)
    if isinstance(module, Attention):
        nn.init.zeros_(module.out.weight)


def statistic_buckets(values: Tensor, edges: Tensor) -> Tensor:
    """Buckets of statistics (L, 8) between their edges (8, 7); NaN is UNKNOWN."""
    bucket = (values[:, :, None] >= edges[None]).sum(dim=-1)
    return torch.where(values.isnan(), UNKNOWN, bucket)
