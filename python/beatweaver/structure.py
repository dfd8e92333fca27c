"""A song on its beat grid: what sounds at each slot, which bars resemble each other, sections, and how dense to play.

Everything downstream (rhythm, placement, lights) reads the song through `Sound`, never through frames. The plan that
comes out is a plain document (`Plan.document`) that a person may edit and hand back.
"""

from __future__ import annotations

import itertools
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from beatweaver.config import RANKS
from beatweaver.errors import ConfigError
from beatweaver.timing import Envelope, Grid, evened_flux
from beatweaver.tokens import SLOTS_PER_BEAT

__all__ = ["NPS", "Plan", "Section", "Sound", "listen", "plan"]

F64 = NDArray[np.float64]

NPS: Final[Mapping[str, float]] = {"Easy": 1.4, "Normal": 2.2, "Hard": 3.2, "Expert": 4.6, "ExpertPlus": 6.2}
"""Notes per second that a difficulty gets where none are asked for: near the medians of human maps."""
_SILENT_SHARE: Final = 0.02
"""A bar with less than this share of the ordinary bar's onset energy stays empty."""
_CONTRAST: Final = (2.4, 3.5)
"""Exponents of the expected onsets, as far as loudness tells them and beyond: what is expected varies less than what
people do, who follow loudness less than it tells."""
_OFFSET: Final = 0.08
"""Standard deviation of the log density by which a song's like sections, and the phrases in them, differ from what is
expected: a mapper's choice, which sound does not tell."""
_REST_SHARE: Final = (0.4, 0.2)
"""Bars with less than this share of the mean expected onsets stay empty: at either end of the song, and inside."""
_SECTION_BARS_MIN: Final = 4
_PHRASE_BARS: Final = 4
_NOVELTY_SHARE: Final = 0.3
"""A boundary has at least this share of the greatest novelty. Chosen on ten songs with annotated sections and three
composed ones: mean F1 of boundaries within 3 s 0.76 (0.64 with twice the reach and no energy in the likeness)."""
_DOCUMENT_VERSION: Final = 1


@dataclass(frozen=True, kw_only=True, slots=True)
class Sound:
    """A song seen through its grid; slot s lies at beat s / 12."""

    flux: F64
    """Evened onset flux of four bands, low to high, at each slot: (slots, 4); an ordinary onset is about 1 to 3."""
    loudness_db: F64
    """Level of each bar against the song's loudest: (bars,), 0 or less."""
    likeness: F64
    """How much bars resemble each other, -1 to 1: (bars, bars), symmetric."""
    metre: int
    """Beats of a bar."""
    grid: Grid
    """The clock: seconds of beats."""

    @property
    def bars(self) -> int:
        """Number of bars, the last one perhaps not filled by the song."""
        return len(self.loudness_db)

    @property
    def bar_slots(self) -> int:
        """Slots of a bar."""
        return self.metre * SLOTS_PER_BEAT

    def bar_seconds(self) -> F64:
        """Times of the bar lines: (bars + 1,)."""
        return self.grid.seconds(np.arange(self.bars + 1) * self.metre)


def listen(envelope: Envelope, grid: Grid) -> Sound:
    """The song of `envelope` on `grid`, whose beat 0 begins a bar."""
    metre = grid.metre
    beats = max(float(grid.beat(envelope.duration_s)), 1.0)
    bars = max(math.ceil(beats / metre), 1)
    slots = bars * metre * SLOTS_PER_BEAT
    flux = _at_slots(envelope, grid, slots)
    level = _bar_levels(envelope, grid, bars)
    chroma = _bar_chroma(envelope, grid, bars)
    loudness_db = 20.0 * np.log10(np.maximum(level, 1e-4) / max(float(level.max()), 1e-4))
    return Sound(
        flux=flux,
        loudness_db=loudness_db,
        likeness=_likeness(flux.reshape(bars, -1), chroma, loudness_db),
        metre=metre,
        grid=grid,
    )


def _at_slots(envelope: Envelope, grid: Grid, slots: int) -> F64:
    """The largest flux near each slot: within half a slot of it, and never more than 30 ms away."""
    flux = evened_flux(envelope)
    slot_s = grid.seconds(np.arange(slots) / SLOTS_PER_BEAT)
    half = np.minimum(np.gradient(slot_s) / 2.0, 0.030) if slots > 1 else np.array([0.03])
    first = np.ceil((slot_s - half - envelope.start_s) * envelope.rate_hz).astype(int)
    last = np.floor((slot_s + half - envelope.start_s) * envelope.rate_hz).astype(int)
    out = np.zeros((slots, flux.shape[1]))
    for step in range(int(np.max(last - first, initial=0)) + 1):
        frame = first + step
        inside = (frame <= last) & (frame >= 0) & (frame < len(flux))
        out[inside] = np.maximum(out[inside], flux[frame[inside]])
    return out


def _bar_rows(time_s: F64, grid: Grid, bars: int) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    row = np.floor(grid.beat(time_s) / grid.metre + 1e-9).astype(np.int64)
    return row, (row >= 0) & (row < bars)


def _bar_levels(envelope: Envelope, grid: Grid, bars: int) -> F64:
    """Mean level of the bars, from the spectra that the chroma was made of."""
    level = envelope.chroma.astype(np.float64).sum(axis=1)
    row, inside = _bar_rows(np.arange(len(level)) / envelope.chroma_rate_hz, grid, bars)
    total = np.bincount(row[inside], weights=level[inside], minlength=bars)
    return total / np.maximum(np.bincount(row[inside], minlength=bars), 1)


def _bar_chroma(envelope: Envelope, grid: Grid, bars: int) -> F64:
    """Pitch classes heard in each beat of the bars: (bars, metre * 12), each beat of unit length."""
    chroma = envelope.chroma.astype(np.float64)
    beat = np.floor(grid.beat(np.arange(len(chroma)) / envelope.chroma_rate_hz) + 1e-9).astype(np.int64)
    beats = bars * grid.metre
    inside = (beat >= 0) & (beat < beats)
    out = np.zeros((beats, 12))
    np.add.at(out, beat[inside], chroma[inside])
    out -= out.mean(axis=1, keepdims=True)
    out /= np.linalg.norm(out, axis=1, keepdims=True) + 1e-9
    return out.reshape(bars, -1)


def _likeness(flux: F64, chroma: F64, loudness_db: F64) -> F64:
    """Cosine of the bars' rhythms and of their harmonies, averaged, less their difference in level."""

    def cosine(x: F64) -> F64:
        x = x - x.mean(axis=0)
        x = x / (np.linalg.norm(x, axis=1, keepdims=True) + 1e-9)
        product: F64 = x @ x.T
        return product

    apart = np.minimum(np.abs(loudness_db[:, None] - loudness_db[None, :]), 15.0)
    likeness: F64 = 0.5 * cosine(np.sqrt(flux)) + 0.5 * cosine(chroma) - 0.02 * apart
    return np.clip(likeness, -1.0, 1.0)


# ---- sections -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True, slots=True)
class Section:
    """Bars that belong together."""

    start_bar: int
    """First bar."""
    end_bar: int
    """Bar after the last."""
    name: str
    """Sections that sound alike share a name: A, B, C ..."""
    energy: float
    """0 for the calmest section of the song, 1 for the strongest."""


def _energy(sound: Sound) -> F64:
    """Strength of each bar, 0 to 1: its rank among the bars by loudness and by onsets together."""
    onsets = sound.flux.sum(axis=1).reshape(sound.bars, -1).mean(axis=1)
    if sound.bars == 1:
        return np.array([0.5])

    def rank(x: F64) -> F64:
        return np.searchsorted(np.sort(x), x, side="left") / (len(x) - 1)

    return 0.5 * rank(np.round(sound.loudness_db, 1)) + 0.5 * rank(onsets)


def _boundaries(sound: Sound, energy: F64) -> list[int]:
    """Bars at which something new begins: peaks of the novelty along the diagonal of the likeness."""
    bars = sound.bars
    reach = min(_SECTION_BARS_MIN, bars // 2)
    if reach < 2:
        return [0, bars]
    alike = sound.likeness - 1.5 * np.abs(energy[:, None] - energy[None, :])
    side = np.arange(-reach, reach) + 0.5
    kernel = np.outer(np.sign(side), np.sign(side))
    padded = np.pad(alike, reach, mode="edge")
    novelty = np.array([(padded[i : i + 2 * reach, i : i + 2 * reach] * kernel).sum() for i in range(bars)])
    threshold = _NOVELTY_SHARE * novelty.max()
    chosen = [0]
    for bar in np.argsort(-novelty):
        if novelty[bar] < threshold:
            break
        if min(abs(int(bar) - other) for other in [*chosen, bars]) >= _SECTION_BARS_MIN:
            chosen.append(int(bar))
    return [*sorted(chosen), bars]


def _sections(sound: Sound) -> list[Section]:
    energy = _energy(sound)
    edges = _boundaries(sound, energy)
    spans = list(itertools.pairwise(edges))
    strength = np.array([energy[a:b].mean() for a, b in spans])
    low, high = float(strength.min()), float(strength.max())
    named: list[list[int]] = []
    label = []
    for i, (a, b) in enumerate(spans):
        likeness = [
            float(np.mean([sound.likeness[a:b, slice(*spans[j])].max(axis=1).mean() for j in group])) for group in named
        ]
        level = [abs(strength[group[0]] - strength[i]) for group in named]
        fits = [k for k, value in enumerate(likeness) if value > 0.45 and level[k] < 0.3]
        if fits:
            best = max(fits, key=lambda k: likeness[k])
            named[best].append(i)
        else:
            best = len(named)
            named.append([i])
        label.append(chr(ord("A") + best % 26))
    return [
        Section(start_bar=a, end_bar=b, name=name, energy=float((s - low) / (high - low)) if high > low else 0.5)
        for (a, b), name, s in zip(spans, label, strength, strict=True)
    ]


# ---- the plan -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True, slots=True)
class Plan:
    """How dense each difficulty plays in each bar, and which sections the song has."""

    metre: int
    """Beats of a bar."""
    sections: tuple[Section, ...]
    """In order, without gaps."""
    energy: F64
    """Strength of each bar, 0 to 1: (bars,)."""
    nps: Mapping[str, F64]
    """Notes per second in each bar, by difficulty: (bars,); 0 leaves a bar empty."""

    def phrases(self) -> NDArray[np.int64]:
        """Phrase that each bar belongs to, counted from 0: four bars each, begun anew with every section: (bars,)."""
        out = np.zeros(len(self.energy), dtype=np.int64)
        for section in self.sections:
            out[section.start_bar : section.end_bar : _PHRASE_BARS] = 1
        return np.maximum(np.cumsum(out) - 1, 0)

    def document(self) -> dict[str, Any]:
        """The plan as JSON that a person can edit: rows of bars."""
        section = [s.name for s in self.sections for _ in range(s.start_bar, s.end_bar)]
        return {
            "version": _DOCUMENT_VERSION,
            "metre": self.metre,
            "bars": [
                {
                    "bar": bar,
                    "section": section[bar],
                    "energy": round(float(self.energy[bar]), 3),
                    "nps": {name: round(float(rate[bar]), 3) for name, rate in self.nps.items()},
                }
                for bar in range(len(self.energy))
            ],
        }


def plan(
    sound: Sound,
    difficulties: Sequence[str],
    nps: Mapping[str, float] | None = None,
    *,
    onsets: Mapping[str, F64] | None = None,
    rng: np.random.Generator | None = None,
) -> Plan:
    """The plan of `difficulties`, each with the mean notes per second of `nps` where it is named there.

    The mean counts the time between the first and the last bar that is not left empty, as players count it. `onsets`
    are the expected ones of each bar, up to a factor; without them the bars' energy decides. `rng` makes sections and
    phrases denser or calmer than that; sections of one name alike.
    """
    energy = _energy(sound)
    heard = sound.flux.sum(axis=1).reshape(sound.bars, -1).mean(axis=1)
    ordinary = float(np.median(heard[heard > 0])) if (heard > 0).any() else 0.0
    empty = (heard < _SILENT_SHARE * ordinary) | (sound.loudness_db < -45.0) | (ordinary == 0.0)
    seconds = np.diff(sound.bar_seconds())
    sections = tuple(_sections(sound))
    chosen = np.ones(sound.bars) if rng is None else np.exp(_offsets(sections, rng))
    rates: dict[str, F64] = {}
    for name in difficulties:
        rest = empty
        wanted = (nps or {}).get(name, NPS[name])
        # Calm bars keep a good half of the density, strong ones get up to half as much more; smoothed, so that one
        # loud bar is no burst.
        if onsets is None:
            shape = _smoothed(0.55 + 0.9 * energy)
        else:
            share = onsets[name] / max(float(onsets[name].mean()), 1e-9)
            rest = empty | _rests(share)
            shape = np.exp(_contrasted(np.log(np.maximum(share, 1e-3)), sound.loudness_db, ~rest)) / seconds
        shape *= chosen
        shape[rest] = 0.0
        played = np.flatnonzero(~rest)
        if len(played):
            span = slice(played[0], played[-1] + 1)
            mean = float((shape[span] * seconds[span]).sum() / seconds[span].sum())
            shape *= wanted / max(mean, 1e-9)
        rates[name] = shape
    return Plan(metre=sound.metre, sections=sections, energy=energy, nps=rates)


def _contrasted(log_share: F64, loudness_db: F64, counted: NDArray[np.bool_]) -> F64:
    """Log density of the bars from the log of their share of the expected onsets: (bars,)."""
    by_loudness, beyond = _CONTRAST
    level, share = loudness_db[counted], log_share[counted]
    if not len(level):
        return log_share
    # Bars within a decibel of one another tell nothing by their loudness.
    slope = float(np.cov(level, share, bias=True)[0, 1] / max(float(level.var()), 1.0))
    told = share.mean() + slope * (loudness_db - level.mean())
    out: F64 = by_loudness * told + beyond * (log_share - told)
    return out


def _offsets(sections: Sequence[Section], rng: np.random.Generator) -> F64:
    """Log density of each bar against the expected one: drawn for each name of sections, and for its phrases."""
    drawn: dict[tuple[str, int], float] = {}
    out = []
    for section in sections:
        for bar in range(section.end_bar - section.start_bar):
            keys = ((section.name, -1), (section.name, bar // _PHRASE_BARS))
            out.append(sum(drawn.setdefault(key, _OFFSET * float(rng.standard_normal())) for key in keys))
    return np.array(out)


def _rests(share: F64) -> NDArray[np.bool_]:
    """Bars that people would leave empty, by their share of the mean expected onsets: (bars,)."""
    at_ends, inside = _REST_SHARE
    full = np.flatnonzero(share >= at_ends)
    rest = share < inside
    if len(full):
        rest[: full[0]] = True
        rest[full[-1] + 1 :] = True
    return rest


def _smoothed(x: F64) -> F64:
    if len(x) < 3:
        return x.copy()
    return np.convolve(np.pad(x, 1, mode="edge"), [0.25, 0.5, 0.25], mode="valid")


def read_plan(path: Path, sound: Sound) -> Plan:
    """A plan that was written by `Plan.document` and perhaps edited since.

    Raises:
        ConfigError: not such a document, or of another song.
        OSError: the file cannot be read.
    """

    def wrong(where: str, found: object, expected: str) -> ConfigError:
        return ConfigError(
            f"{path}: {where}: found {found!r}, expected {expected}", path=str(path), where=where, expected=expected
        )

    try:
        document = json.loads(path.read_text("utf-8-sig"))
    except (ValueError, RecursionError) as error:
        raise ConfigError(f"{path}: not readable as JSON: {error}", path=str(path), expected="a plan") from None
    rows = document.get("bars") if isinstance(document, dict) else None
    if not isinstance(rows, list) or document.get("version") != _DOCUMENT_VERSION:
        raise ConfigError(
            f"{path}: this is no plan; write one with `beatweaver generate --plan-out FILE` and edit it", path=str(path)
        )
    if len(rows) != sound.bars or document.get("metre") != sound.metre:
        raise wrong("bars", f"{len(rows)} bars", f"{sound.bars} bars of {sound.metre} beats, as this song has")
    rates: dict[str, F64] = {}
    for index, row in enumerate(rows):
        where = f"/bars/{index}/nps"
        if not isinstance(row, dict) or not isinstance(row.get("nps"), dict):
            raise wrong(where, row, "an object of notes per second by difficulty")
        for name, value in row["nps"].items():
            if name not in RANKS:
                raise wrong(where, name, f"one of {', '.join(RANKS)}")
            number = isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
            if not number or not 0 <= value <= 40:
                raise wrong(f"{where}/{name}", value, "notes per second from 0 to 40")
            rates.setdefault(name, np.zeros(sound.bars))[index] = value
    return Plan(metre=sound.metre, sections=tuple(_sections(sound)), energy=_energy(sound), nps=rates)
