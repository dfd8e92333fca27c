"""A light show by rules: what a song's sections, accents and notes ask of the stage.

The back lasers are the light that never goes out: they change colour and flash, and are never turned off or faded.
Around them, calm sections have soft fades, ordinary ones rings and lasers that follow the hands, strong ones all of it,
and a drop turns on the second colours. Only basic events, which every stage without group lights knows.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy.typing import NDArray

from beatweaver import _native
from beatweaver.timing import Grid
from beatweaver.tokens import SLOTS_PER_BEAT

if TYPE_CHECKING:
    from beatweaver._native import Difficulty, Song
    from beatweaver.structure import Plan, Sound

__all__ = ["DARK", "GROUP_LIT", "LIGHT_KINDS", "is_dark", "light", "light_level", "light_pack", "light_song"]

F64 = NDArray[np.float64]
Columns = dict[str, NDArray[Any]]

# Kinds of basic events.
_BACK, _RING, _LEFT, _RIGHT, _CENTRE = 0, 1, 2, 3, 4
_SPIN, _ZOOM, _LEFT_SPEED, _RIGHT_SPEED = 8, 9, 12, 13
LIGHT_KINDS: Final = (0, 1, 2, 3, 4, 6, 7, 10, 11)
"""Kinds that are lamps; the others move something."""
# Values of light events, to which a colour is added.
_OFF, _ON, _FLASH, _FADE = 0, 1, 2, 3
_COLOURS: Final = (0, 4)

GROUP_LIT: Final = frozenset(
    f"{name}Environment"
    for name in (
        *("Weave", "Pyro", "EDM", "TheSecond", "Lizzo", "TheWeeknd"),
        *("RockMixtape", "Dragons2", "Panic2", "Queen", "LinkinPark2", "TheRollingStones"),
        *("Lattice", "DaftPunk", "HipHop", "Collider", "Britney", "Monstercat2"),
        *("Metallica", "Grid", "Coldplay", "Prodigy"),
    )
)
"""Stages whose lamps hang in groups, which basic events do not reach."""

DARK: Final = 10
"""A level with no more light events than this counts as not lit (MapCheck's `insufficientLight`)."""

_CALM_BELOW, _STRONG_ABOVE = 0.35, 0.68
"""Energy of a phrase that is calm, and of one that is strong."""
_OF_SECTION: Final = 0.4
"""Share of its section in a phrase's energy; the rest is of its own bars."""
_CONTRAST: Final = 0.15
"""Least spread of a song's phrases for it to have calm and strong ones at all."""
_DROP: Final = 0.2
"""By how much a strong phrase surpasses one of the two before to be a drop."""
_DROP_OVER: Final = 0.1
"""How far below strong a phrase has to be to end what a drop began."""
_DROP_BRIGHTNESS: Final = 1.2
_PHRASE_BARS: Final = 4
_BLOCK_BARS: Final = 8
"""Bars that count as a section where only the notes are known."""
_BAR_BEATS: Final = 4
"""Beats of a bar where nothing says how many."""
_PLACES: Final = 48
"""Places in a beat that are told apart when looking for the first of a bar."""
_ENDING_S: Final = 2.0
"""How long a song goes on after its last object where nothing says how long it is."""


@dataclass(frozen=True, slots=True)
class _Look:
    """What the lights do in a section."""

    back: float
    """Brightness of the light that never goes out."""
    lasers: float
    """Brightness of the lasers that follow the hands."""
    hand_gap_s: float
    """Least time between two events of one hand's lasers."""
    accent_gap_s: float
    """Least time between ring lights; infinite for none."""
    spin_bars: int
    """Bars from one ring spin to the next."""
    flash_bars: int
    """Bars from one flash of the back lasers to the next."""
    speed: int
    """Speed of the lasers."""


_LOOKS: Final = {
    "calm": _Look(0.6, 0.6, 0.45, np.inf, _PHRASE_BARS, _PHRASE_BARS, 1),
    "plain": _Look(0.8, 1.0, 0.25, 0.35, 2, 2, 3),
    "strong": _Look(1.0, 1.2, 0.18, 0.22, 1, 1, 6),
}
"""Gaps are such that levels get 300 to 1040 events a minute, the quartiles of the human Expert levels that are lit
(372 to 1576 for Easy, 484 to 1592 for ExpertPlus); half of those have 35 ring spins and 8 laser speeds a minute."""


@dataclass(frozen=True, slots=True)
class _Phrase:
    """A few bars in one colour."""

    first: int
    end: int
    """Bar after the last."""
    opens: bool
    """Whether a section or another mood begins here."""
    energy: float

    @property
    def mood(self) -> str:
        return "calm" if self.energy < _CALM_BELOW else "strong" if self.energy > _STRONG_ABOVE else "plain"


def light(
    notes: Mapping[str, NDArray[Any]],
    grid: Grid,
    *,
    plan: Plan | None,
    sound: Sound | None,
    rng: np.random.Generator,
    end_s: float,
) -> dict[str, Columns]:
    """A light show for `notes` (`beat`, `color`, sorted by beat) from the first beat to the end of the song.

    Args:
        notes: notes that the lights follow; may be none.
        grid: the clock of the notes' beats.
        plan: the song's sections; without it, eight bars at a time are as strong as they have notes.
        sound: where the accents are; without it, two notes at once and first beats of bars count as accents.
        rng: where chance comes from; the same state gives the same lights.
        end_s: length of the song in seconds.

    Returns:
        `lights` (`beat`, `kind`, `value`, `brightness`) and `boosts` (`beat`, `on`), as `Difficulty.from_arrays` takes
        them, sorted by beat; both empty for a song without length.
    """
    show = _Show(notes, grid, plan, sound, rng, end_s)
    if show.end > show.start:
        show.follow_hands()
        show.follow_accents()
        for phrase in show.phrases:
            show.open_phrase(phrase)
        show.drops()
    return show.columns()


class _Show:
    def __init__(
        self,
        notes: Mapping[str, NDArray[Any]],
        grid: Grid,
        plan: Plan | None,
        sound: Sound | None,
        rng: np.random.Generator,
        end_s: float,
    ) -> None:
        self.grid, self.rng, self.sound = grid, rng, sound
        self.metre = plan.metre if plan is not None else grid.metre
        # No event lies before the audio, nor before beat 0, which files do not know.
        self.start = max(float(grid.beat(0.0)), 0.0)
        self.end = float(grid.beat(end_s))
        self.beat = np.asarray(notes["beat"], dtype=np.float64)
        self.color = np.asarray(notes["color"]).astype(np.int64)
        self.events: dict[tuple[int, int], tuple[float, int, float]] = {}
        self.boosts: list[tuple[float, bool]] = []
        self.phrases = self._phrases(plan)
        firsts = np.array([phrase.first for phrase in self.phrases], dtype=np.int64)
        bars = np.arange(self._bar(self.end) + 1)
        self.phrase_of_bar = np.maximum(np.searchsorted(firsts, bars, side="right") - 1, 0)

    def _bar(self, beat: float) -> int:
        return max(int(np.floor(beat / self.metre + 1e-9)), 0)

    def _phrases(self, plan: Plan | None) -> list[_Phrase]:
        bars = self._bar(self.end) + 1
        if plan is not None:
            sections = [(s.start_bar, s.end_bar, s.energy) for s in plan.sections]
            # The song's last bars may lie behind those of the plan.
            first, end, energy = sections[-1]
            sections[-1] = (first, max(end, bars), energy)
        else:
            blocks = np.arange(0, bars, _BLOCK_BARS)
            edges = np.append(blocks, bars) * self.metre
            seconds = np.diff(self.grid.seconds(edges))
            rate = np.histogram(self.beat, bins=edges.astype(np.float64))[0] / seconds
            low, high = float(rate.min()), float(rate.max())
            spread = high - low if high - low > 0.25 * max(high, 1e-9) else 0.0
            energies = (rate - low) / spread if spread else np.full(len(rate), 0.5)
            ends = np.append(blocks[1:], bars)
            sections = [(int(a), int(b), float(e)) for a, b, e in zip(blocks, ends, energies, strict=True)]
        firsts = [
            (start, first, end, energy) for start, end, energy in sections for first in range(start, end, _PHRASE_BARS)
        ]
        strength = np.array([energy for _, _, _, energy in firsts])
        for i, (_, first, end, energy) in enumerate(firsts):
            own = plan.energy[first : min(first + _PHRASE_BARS, end)] if plan is not None else np.empty(0)
            if len(own):
                strength[i] = _OF_SECTION * energy + (1 - _OF_SECTION) * float(own.mean())
        # What is calm and what is strong is so for its song.
        low, high = (float(q) for q in np.quantile(strength, (0.1, 0.9)))
        if high - low >= _CONTRAST:
            strength = np.clip((strength - low) / (high - low), 0.0, 1.0)
        out: list[_Phrase] = []
        for (start, first, end, _), energy in zip(firsts, strength.tolist(), strict=True):
            phrase = _Phrase(first, min(first + _PHRASE_BARS, end), first == start, energy)
            opens = phrase.opens or out[-1].mood != phrase.mood
            out.append(replace(phrase, opens=opens))
        return out

    def put(self, beat: float, kind: int, value: int, brightness: float = 1.0) -> None:
        """An event, in place of one that was there; left out where it lies outside of the song."""
        if self.start - 1e-9 <= beat < self.end - 1e-6:
            self.events[round(beat * 1000), kind] = (beat, value, brightness)

    def colour(self, beat: float, *, other: bool = False) -> int:
        """What the colour of the phrase, or the other one, adds to a light's value."""
        return _COLOURS[(self._index(beat) + other) % 2]

    def _index(self, beat: float) -> int:
        return int(self.phrase_of_bar[min(self._bar(beat), len(self.phrase_of_bar) - 1)])

    def look(self, beat: float) -> tuple[str, _Look]:
        mood = self.phrases[self._index(beat)].mood
        return mood, _LOOKS[mood]

    def follow_hands(self) -> None:
        """The left and the right lasers light up with the notes of their hand, the centre with both hands at once."""
        doubles: set[float] = set()
        busy: list[float] = []
        for color, kind in ((0, _LEFT), (1, _RIGHT)):
            own = np.unique(self.beat[self.color == color])
            other = self.beat[self.color != color]
            doubles |= {b for b in own.tolist() if len(other) and np.abs(other - b).min() < 1e-3}
            followed = self._spaced(own, "hand_gap_s")
            busy += followed
            for beat in followed:
                mood, look = self.look(beat)
                value = _FLASH if mood == "strong" and beat in doubles else _FADE
                self.put(beat, kind, value + self.colour(beat, other=color == 1), look.lasers)
        for beat in self._spaced(np.array(sorted(doubles)), "accent_gap_s"):
            self.put(beat, _CENTRE, _FADE + self.colour(beat), self.look(beat)[1].lasers)

        # Where the hands rest, the lasers go on by themselves, in turn.
        times = np.sort(np.array([-np.inf, *busy, np.inf]))
        for beat in np.arange(np.ceil(self.start), self.end).tolist():
            after = int(np.searchsorted(times, beat))
            mood, look = self.look(beat)
            if mood != "calm" and min(beat - times[after - 1], times[after] - beat) > 0.5:
                right = round(beat) % 2
                self.put(beat, _RIGHT if right else _LEFT, _FADE + self.colour(beat, other=bool(right)), look.lasers)

    def follow_accents(self) -> None:
        """The ring lights flash on accents."""
        for beat in self._spaced(self._accents(), "accent_gap_s"):
            strong = self.look(beat)[0] == "strong"
            self.put(beat, _RING, (_FLASH if strong else _FADE) + self.colour(beat, other=True))

    def _accents(self) -> F64:
        """Every other beat, and what stands out: loud onsets, or several notes at once where there is no sound."""
        beats = np.arange(np.ceil(self.start), self.end)
        pulse = beats[np.round(beats).astype(np.int64) % self.metre % 2 == 0]
        if self.sound is None:
            return np.union1d(pulse, self.beat[np.diff(self.beat, prepend=-1.0) < 1e-3])
        total = np.log1p(self.sound.flux.sum(axis=1))
        padded = np.pad(total, 2)
        around = np.max([padded[k : k + len(total)] for k in range(5)], axis=0)
        heard = total[total > 0]
        loud = float(np.quantile(heard, 0.8)) if len(heard) else np.inf
        return np.union1d(pulse, np.flatnonzero((total >= loud) & (total >= around)) / SLOTS_PER_BEAT)

    def _spaced(self, beats: F64, gap: str) -> list[float]:
        """Those of the beats that keep the distance which their section's look asks for."""
        out: list[float] = []
        last_s = -np.inf
        for beat, time_s in zip(beats.tolist(), self.grid.seconds(beats).tolist(), strict=True):
            if time_s - last_s >= getattr(self.look(beat)[1], gap) - 1e-6:
                out.append(beat)
                last_s = time_s
        return out

    def open_phrase(self, phrase: _Phrase) -> None:
        """New colours, speeds and a spin where a phrase begins, and what happens bar by bar within."""
        first = max(float(phrase.first * self.metre), self.start)
        mood, look = phrase.mood, _LOOKS[phrase.mood]
        own, other = self.colour(first), self.colour(first, other=True)
        for bar in range(phrase.first, phrase.end):
            beat = float(bar * self.metre)
            if (bar - phrase.first) % look.flash_bars == 0:
                self.put(beat, _BACK, _FLASH + own, look.back)
            if (bar - phrase.first) % look.spin_bars == 0:
                self.put(beat, _SPIN, 0)
            if mood == "calm":
                self.put(beat, _CENTRE, _FADE + other, look.lasers)
                self.put(beat + self.metre / 2, _RING, _FADE + own, look.lasers)
            elif mood == "plain":
                for step in range(self.metre):
                    self.put(beat + step, _CENTRE, (_ON if step % 2 else _FADE) + (own if step % 2 else other))
            else:
                for step in range(self.metre):
                    self.put(beat + step, _CENTRE, (_ON if step % 2 else _FLASH) + (other if step % 2 else own))
        # Whatever the bars put there: a phrase begins with a steady light.
        self.put(first, _BACK, (_FLASH if mood == "strong" else _ON) + own, look.back)
        self.put(first, _CENTRE, (_FADE if mood == "calm" else _ON) + other, look.lasers)
        self.put(first, _SPIN, 0)
        for kind in (_LEFT_SPEED, _RIGHT_SPEED):
            self.put(first, kind, look.speed + int(self.rng.integers(0, 3)))
        if phrase.opens:
            self.put(first, _ZOOM, 0)
            for kind in (_LEFT, _RIGHT, _RING):
                self.put(first, kind, _OFF if mood == "calm" else _FADE + other)

    def drops(self) -> None:
        """The second colours, and everything at once, where a strong part breaks in; back where it ends."""
        on = False
        for i, phrase in enumerate(self.phrases[1:], start=1):
            first = max(float(phrase.first * self.metre), self.start)
            if first >= self.end - 1e-6:
                break
            if not on and phrase.mood == "strong" and phrase.energy - self._before(i) >= _DROP:
                self.boosts.append((first, True))
                on = True
                for kind in (_BACK, _RING, _LEFT, _RIGHT, _CENTRE):
                    self.put(first, kind, _FLASH + self.colour(first, other=kind in (_RING, _RIGHT)), _DROP_BRIGHTNESS)
            elif on and phrase.energy < _STRONG_ABOVE - _DROP_OVER:
                self.boosts.append((first, False))
                on = False

    def _before(self, phrase: int) -> float:
        """Energy of what came before a phrase: a build-up may lie between the calm and the drop."""
        return min(before.energy for before in self.phrases[max(phrase - 2, 0) : phrase])

    def columns(self) -> dict[str, Columns]:
        """The events as arrays."""
        rows = sorted((beat, kind, value, bright) for (_, kind), (beat, value, bright) in self.events.items())
        return {
            "lights": {
                "beat": np.array([row[0] for row in rows], dtype=np.float64),
                "kind": np.array([row[1] for row in rows], dtype=np.int32),
                "value": np.array([row[2] for row in rows], dtype=np.int32),
                "brightness": np.array([row[3] for row in rows], dtype=np.float64),
            },
            "boosts": {
                "beat": np.array([beat for beat, _ in self.boosts], dtype=np.float64),
                "on": np.array([on for _, on in self.boosts], dtype=bool),
            },
        }


# ---- levels that are there already -----------------------------------------------------------------------------------


def is_dark(level: Difficulty) -> bool:
    """Whether a level has too few light events to count as lit; one with group lights counts as lit by them."""
    lights = level.lights()
    if level.stats()["events"] > len(lights["beat"]) + len(level.boosts()["beat"]):
        return False
    lit = np.isin(lights["kind"], LIGHT_KINDS) & (lights["value"] != _OFF)
    return int(lit.sum()) <= DARK


def light_level(level: Difficulty, rng: np.random.Generator, *, end_s: float | None = None) -> dict[str, Columns]:
    """A light show for a level that was read, from its notes alone, in the level's own beats.

    Bars of four beats begin where the notes say, which in many levels is not at beat 0. `end_s` is the length of the
    audio in seconds; without it the song is taken to end two seconds after its last object.
    """
    notes = level.notes()
    if end_s is None:
        objects = [level.bombs()["time"], level.obstacles()["time"], level.chains()["time"], notes["time"]]
        end_s = max((float(times.max()) for times in objects if len(times)), default=0.0) + _ENDING_S
    shift = _bar_line(notes["beat"])
    out = light(
        {"beat": notes["beat"] - shift, "color": notes["color"]},
        _clock(level, shift),
        plan=None,
        sound=None,
        rng=rng,
        end_s=end_s,
    )
    for group in out.values():
        group["beat"] = np.maximum(group["beat"] + shift, 0.0)
    return out


def _bar_line(beat: F64) -> float:
    """The last beat, 0 or before, at which a bar of four beats begins, going by where most notes lie."""
    if not len(beat):
        return 0.0
    # Notes on beats are the most, those on halves come next; then the beat of the bar that has the most of them.
    place = np.round(beat * _PLACES).astype(np.int64)
    count = np.bincount(place % _PLACES, minlength=_PLACES).astype(np.float64)
    near = count + 0.5 * (np.roll(count, 1) + np.roll(count, -1))
    first = int(np.argmax(near + 0.5 * np.roll(near, -_PLACES // 2)))
    on_beat = np.abs((place - first + _PLACES // 2) % _PLACES - _PLACES // 2) <= 1
    in_bar = np.round(beat[on_beat] - first / _PLACES).astype(np.int64) % _BAR_BEATS
    offset = first / _PLACES + float(np.argmax(np.bincount(in_bar, minlength=_BAR_BEATS)))
    return offset - _BAR_BEATS if offset > 0 else 0.0


def _clock(level: Difficulty, shift: float) -> Grid:
    """The clock of a level with its beats counted from `shift`."""
    regions = level.tempo.regions
    time_s, beat, bpm = (regions[name].tolist() for name in ("time_s", "beat", "bpm"))
    offset_s = time_s[0] - (beat[0] - shift) * 60.0 / bpm[0]
    later = [(t, b - shift, m) for t, b, m in zip(time_s[1:], beat[1:], bpm[1:], strict=True)]
    return Grid(
        bpm=bpm[0],
        offset_s=offset_s,
        metre=_BAR_BEATS,
        confidence=1.0,
        regions=((offset_s, 0.0, bpm[0]), *later),
        beats_s=np.empty(0),
        downbeats_s=np.empty(0),
        candidates=(),
    )


def light_song(song: Song, *, only_dark: bool = False, seed: int = 0) -> dict[tuple[str, str], dict[str, Columns]]:
    """Light shows for the levels of a song, by characteristic and name; with `only_dark`, of those that are not lit."""
    return {
        (level.characteristic, level.name): light_level(level, np.random.default_rng(seed), end_s=song.audio_seconds)
        for level in song.difficulties
        if not only_dark or is_dark(level)
    }


def light_pack(
    path: str | os.PathLike[str], out: str | os.PathLike[str], *, only_dark: bool = False, seed: int = 0
) -> dict[str, Any]:
    """Write the pack `path` again as `out` with light shows of our own; all else stays as it is.

    Args:
        path: a folder, a zip, or an Info file.
        out: ends in `.zip` for an archive, anything else is a folder; new, or an empty folder.
        only_dark: leave the levels that have lights.
        seed: another seed gives another show.

    Returns:
        The document that `beatweaver light --json` prints: the levels that got lights, and a warning for each stage
        that will not show them.

    Raises:
        MapError: no level there.
        ConfigError: a level whose file cannot hold lights.
        FileExistsError: `out` is a file, or a folder that is not empty.
        OSError: the file system refused; nothing is left half-written.
    """
    if Path(out).is_file():
        raise FileExistsError(
            errno.EEXIST, "the file exists and would be overwritten; choose another name or remove it first", str(out)
        )
    song = _native.load_song(path)
    shows = light_song(song, only_dark=only_dark, seed=seed)
    _native.relight_song(path, out, shows)
    rows = [
        {
            "characteristic": mode,
            "difficulty": name,
            "light_events": sum(len(show[group]["beat"]) for group in ("lights", "boosts")),
        }
        for (mode, name), show in shows.items()
    ]
    stages = {
        stage
        for level, stage in zip(song.difficulties, song.environments, strict=True)
        if (level.characteristic, level.name) in shows and stage in GROUP_LIT
    }
    warnings = [
        f"the stage {stage} has group lights, which these light events do not reach: it will stay as dark as it was; "
        "choose a stage with basic lights, such as DefaultEnvironment, in an editor"
        for stage in sorted(stages)
    ]
    return {"out": str(out), "difficulties": rows, "warnings": warnings}
