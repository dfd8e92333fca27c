"""A short song composed in code, with the truth about it: tempo, beats and sections.

It belongs to nobody, sounds like dance music, and comes out the same on every run with equal arguments: something to
try the program with, and the fixture of tests that need a song whose answers are known.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from beatweaver import audio
from beatweaver.errors import ConfigError

__all__ = ["FORM", "DemoSong", "Section", "compose"]

F32 = NDArray[np.float32]
F64 = NDArray[np.float64]

FORM: Final = (("intro", 4), ("verse", 8), ("drop", 8), ("verse", 4), ("drop", 8), ("outro", 4))
"""Names and lengths in bars of the sections of the whole song."""

RATE_HZ: Final = 44_100
_TAIL_S = 2.5
"""How long the last chord rings after the form has ended."""
_PEAK = 0.89
"""Loudest sample: one decibel below full scale."""
_MINOR = (0, 2, 3, 5, 7, 8, 10)
_PROGRESSIONS = ((0, 5, 2, 6), (0, 3, 5, 6), (0, 6, 5, 6), (0, 2, 6, 3))
"""Degrees of the minor scale on which the chords of four bars stand."""
_RHYTHMS = ((1, 0, 0, 1, 0, 0, 1, 0), (1, 0, 1, 1, 0, 1, 0, 1), (1, 1, 0, 1, 0, 1, 1, 0), (1, 0, 0, 1, 0, 1, 0, 1))
"""Eighths of a bar on which the tune has a note; a bar of three beats takes the first six."""


class Section(NamedTuple):
    """A part of the song, whole bars from its first beat to the first beat of the next."""

    name: str
    start_s: float
    end_s: float


@dataclass(frozen=True, kw_only=True, slots=True)
class DemoSong:
    """Sound and truth, see `compose`."""

    samples: F32
    """(T, 2), left and right, within ±0.89."""
    sample_rate_hz: int
    bpm: float
    metre: int
    """Beats in a bar."""
    offset_s: float
    """Time of the first beat."""
    sections: tuple[Section, ...]
    beats_s: F64
    """Times of all beats of the form, (N,)."""
    downbeats_s: F64
    """Times of the first beats of the bars."""

    def ogg(self) -> bytes:
        """The song as Ogg Vorbis."""
        return audio.encode(self.samples, sample_rate_hz=self.sample_rate_hz)


def compose(
    *,
    bpm: float = 128.0,
    metre: int = 4,
    offset_s: float = 0.25,
    form: tuple[tuple[str, int], ...] = FORM,
    seed: int = 0,
) -> DemoSong:
    """Compose the song: drums, bass, pads, an arpeggio and a tune over four chords, at 44.1 kHz.

    Args:
        bpm: tempo, 60 to 240.
        metre: beats in a bar, 3 or 4.
        offset_s: silence before the first beat, 0 to 10 seconds.
        form: names ("intro", "verse", "drop", "outro") and bars of the sections, 1 to 64 bars in each; an
            outro ends with one stroke of everybody.
        seed: draws key, chords, tune and the noises; equal arguments give equal samples.

    Raises:
        ConfigError: an argument out of range.
    """
    _check(bpm, metre, offset_s, form)
    bars = sum(count for _, count in form)
    beat_s = 60.0 / bpm
    beats_s: F64 = offset_s + beat_s * np.arange(bars * metre, dtype=np.float64)
    edges_s = offset_s + beat_s * metre * np.cumsum([0, *(count for _, count in form)])
    sections = tuple(
        Section(name, float(start), float(end))
        for (name, _), start, end in zip(form, edges_s[:-1], edges_s[1:], strict=True)
    )
    band = _Band(bpm=bpm, metre=metre, offset_s=offset_s, bars=bars, rng=np.random.default_rng(seed))
    first = 0
    for place, (name, count) in enumerate(form):
        following = form[place + 1][0] if place + 1 < len(form) else None
        band.play(name, first, count, following)
        first += count
    return DemoSong(
        samples=band.mix(),
        sample_rate_hz=RATE_HZ,
        bpm=bpm,
        metre=metre,
        offset_s=offset_s,
        sections=sections,
        beats_s=beats_s,
        downbeats_s=beats_s[::metre],
    )


def _check(bpm: float, metre: int, offset_s: float, form: tuple[tuple[str, int], ...]) -> None:
    def expect(fine: bool, field: str, found: object, expected: str) -> None:
        if not fine:
            raise ConfigError(f"{field}: found {found!r}, expected {expected}", where=field, expected=expected)

    expect(60.0 <= bpm <= 240.0, "bpm", bpm, "60 to 240")
    expect(metre in (3, 4), "metre", metre, "3 or 4")
    expect(0.0 <= offset_s <= 10.0, "offset_s", offset_s, "0 to 10 seconds")
    expect(0 < len(form) <= 32, "form", form, "1 to 32 sections")
    for name, count in form:
        expect(name in ("intro", "verse", "drop", "outro"), "form", name, "intro, verse, drop or outro")
        expect(1 <= count <= 64, "form", count, "1 to 64 bars in a section")


class _Band:
    """The players: each writes into a track of its own, and `mix` puts the tracks together."""

    def __init__(self, *, bpm: float, metre: int, offset_s: float, bars: int, rng: np.random.Generator) -> None:
        self.beat_s = 60.0 / bpm
        self.metre = metre
        self.offset_s = offset_s
        self.frames = round((offset_s + bars * metre * self.beat_s + _TAIL_S) * RATE_HZ)
        self.tracks = {name: np.zeros((2, self.frames), np.float32) for name in ("drums", "bass", "pad", "lead")}
        self.kicks: list[float] = []
        self.tonic = int(rng.integers(-3, 4))
        self.chords = _PROGRESSIONS[int(rng.integers(len(_PROGRESSIONS)))]
        self.tunes = [self._tune(rng) for _ in range(2)]
        self.kit = _drum_kit(rng)
        self.noise = rng.standard_normal((2, 8 * RATE_HZ)).astype(np.float32)
        self.notes: dict[tuple[str, float, float], F32] = {}

    def _tune(self, rng: np.random.Generator) -> list[list[tuple[int, int]]]:
        """Four bars of (eighth, step above the chord's root): a phrase, the same, the same, and an answer."""

        def phrase() -> list[tuple[int, int]]:
            rhythm = _RHYTHMS[int(rng.integers(len(_RHYTHMS)))][: 2 * self.metre]
            steps = np.abs(np.cumsum(rng.integers(-2, 3, len(rhythm))))
            return [(eighth, int(steps[eighth]) % 8) for eighth, hit in enumerate(rhythm) if hit]

        theme, answer = phrase(), phrase()
        return [theme, theme, theme, answer]

    # Where and what -----------------------------------------------------------------------------------------------

    def at(self, bar: int, beat: float = 0.0) -> float:
        """Time of a beat of a bar in seconds."""
        return self.offset_s + (bar * self.metre + beat) * self.beat_s

    def hz(self, degree: int, octave: int) -> float:
        """Frequency of a degree of the scale, which may lie beyond its seven."""
        octaves, step = divmod(degree, len(_MINOR))
        semitones = self.tonic + _MINOR[step] + 12 * (octave + octaves)
        return float(55.0 * 2.0 ** (semitones / 12.0))

    def put(self, track: str, sound: F32, at_s: float, gain: float, pan: float = 0.0) -> None:
        """Add a mono sound at a time; pan −1 is left, 1 is right."""
        start = round(at_s * RATE_HZ)
        angle = (pan + 1.0) * np.pi / 4.0
        for side, share in zip(self.tracks[track], (np.cos(angle), np.sin(angle)), strict=True):
            out = side[start : start + len(sound)]
            out += sound[: len(out)] * np.float32(gain * np.sqrt(2.0) * share)

    def note(self, voice: str, hz: float, beats: float) -> F32:
        """A note of some length; equal notes are made once."""
        key = (voice, hz, beats)
        if key not in self.notes:
            self.notes[key] = _VOICES[voice](hz, beats * self.beat_s)
        return self.notes[key]

    # The parts ------------------------------------------------------------------------------------------------------

    def play(self, name: str, first: int, count: int, following: str | None) -> None:
        """One section of `count` bars from bar `first` on."""
        for bar in range(first, first + count):
            number, last = bar - first, bar == first + count - 1
            chord = self.chords[number % 4]
            if name == "outro" and last:
                self.end(bar)
                return
            self.drums(name, bar, fill=last and following is not None and name != "outro", number=number)
            self.harmony(name, bar, chord, number)
        if name == "drop":
            self.put("drums", self.kit["crash"], self.at(first), 0.30)
        if following == "drop":
            self.rise(first + count, min(count, 2))

    def drums(self, name: str, bar: int, *, fill: bool, number: int) -> None:
        """Kick on the strong beats (on all in a drop), snare and clap on the weak ones, hats on eighths."""
        strong = (0, 2) if self.metre == 4 else (0,)
        for beat in range(self.metre):
            at_s = self.at(bar, beat)
            if name == "drop" or (beat in strong and name != "intro") or (name == "intro" and beat == 0):
                self.put("drums", self.kit["kick"], at_s, 1.0 if name == "drop" else 0.8 if name == "verse" else 0.5)
                self.kicks.append(at_s)
            if beat not in strong and name in ("verse", "drop"):
                self.put("drums", self.kit["snare"], at_s, 0.5 if name == "drop" else 0.36)
                if name == "drop":
                    self.put("drums", self.kit["clap"], at_s, 0.4)
        if name == "outro" or (name == "intro" and number < 2):
            return
        step = 2 if name == "drop" else 1
        for eighth in range(self.metre * 2):
            if fill and eighth >= 2 * (self.metre - 1):
                continue
            open_hat = name == "drop" and eighth % 2 == 1
            hat = self.kit["open hat" if open_hat else "hat"]
            level = {"intro": 0.10, "verse": 0.16, "drop": 0.24}[name]
            self.put("drums", hat, self.at(bar, eighth / 2), level * (0.7 if eighth % 2 else 1.0), 0.25)
            if step == 2:
                self.put("drums", self.kit["hat"], self.at(bar, eighth / 2 + 0.25), 0.5 * level, -0.25)
        if fill:
            for sixteenth in range(4):
                at_s = self.at(bar, self.metre - 1 + sixteenth / 4)
                self.put("drums", self.kit["snare"], at_s, 0.22 + 0.08 * sixteenth)

    def harmony(self, name: str, bar: int, chord: int, number: int) -> None:
        """Pad, bass, arpeggio and tune of one bar."""
        level = {"intro": 0.10, "verse": 0.11, "drop": 0.16, "outro": 0.12}[name]
        for place, degree in enumerate((0, 2, 4, 7)):
            for side in (-0.7, 0.7):  # two voices a little apart in pitch make it wide
                hz = self.hz(chord + degree, 2) * (1.0 + 0.003 * side)
                self.put("pad", self.note("pad", hz, self.metre), self.at(bar), level, side * (0.5 + 0.1 * place))
        if name == "verse":
            for beat, length in ((0, 1.5), (1.5, 0.5), (2, 1.0)):
                self.put("bass", self.note("bass", self.hz(chord, 0), length), self.at(bar, beat), 0.42)
        elif name == "drop":
            for beat in range(self.metre):  # between the kicks, the last one an octave up
                octave = 1 if beat == self.metre - 1 else 0
                self.put("bass", self.note("bass", self.hz(chord, octave), 0.45), self.at(bar, beat + 0.5), 0.62)
        if name == "outro":
            return
        if name == "drop":
            pattern = (0, 2, 4, 7, 4, 2, 7, 4)
            for sixteenth in range(self.metre * 4):
                hz = self.hz(chord + pattern[sixteenth % 8], 3)
                pan = 0.5 if sixteenth % 2 else -0.5
                self.put("lead", self.note("pluck", hz, 0.25), self.at(bar, sixteenth / 4), 0.13, pan)
        tune = self.tunes[1 if name == "drop" else 0][number % 4]
        voice, octave, level = ("lead", 3, 0.26) if name == "drop" else ("pluck", 2, 0.22 if name == "verse" else 0.12)
        for eighth, step in tune:
            self.put("lead", self.note(voice, self.hz(chord + step, octave), 0.5), self.at(bar, eighth / 2), level)

    def rise(self, bar: int, bars: int) -> None:
        """Noise that climbs through its bands over the bars before `bar`, and an impact on it."""
        length = round(bars * self.metre * self.beat_s * RATE_HZ)
        noise = np.resize(self.noise, (2, length))
        spectrum, hz = np.fft.rfft(noise, axis=1), np.fft.rfftfreq(length, 1.0 / RATE_HZ)
        rise = np.linspace(0.0, 1.0, length)
        swell = np.zeros((2, length))
        for band, low in enumerate((250.0, 500.0, 1000.0, 2000.0, 4000.0, 8000.0)):
            part = np.fft.irfft(spectrum * ((hz >= low) & (hz < 2.0 * low)), length, axis=1)
            swell += part * np.exp(-(((rise - (band + 1) / 6.0) / 0.22) ** 2))
        start = round(self.at(bar - bars) * RATE_HZ)
        self.tracks["lead"][:, start : start + length] += (0.35 * rise**1.5 * swell).astype(np.float32)
        self.put("drums", self.kit["impact"], self.at(bar), 0.6)

    def end(self, bar: int) -> None:
        """The last chord: one stroke of everybody, left to ring."""
        ring = self.metre + _TAIL_S / self.beat_s
        self.put("drums", self.kit["kick"], self.at(bar), 0.8)
        self.put("drums", self.kit["crash"], self.at(bar), 0.25)
        self.put("bass", self.note("ring", self.hz(0, 0), ring), self.at(bar), 0.45)
        for place, degree in enumerate((0, 2, 4, 7)):
            self.put("pad", self.note("ring", self.hz(degree, 2), ring), self.at(bar), 0.2, (-0.6, 0.6)[place % 2])

    # The desk -------------------------------------------------------------------------------------------------------

    def mix(self) -> F32:
        """All tracks together, (T, 2)."""
        kicks = np.array([round(at_s * RATE_HZ) for at_s in self.kicks] or [self.frames])
        lengths = np.diff(kicks, append=max(self.frames, kicks[-1]))
        since = np.concatenate([np.full(kicks[0], 1e9, np.float32), *(np.arange(n, dtype=np.float32) for n in lengths)])
        # The kick makes room for itself.
        duck = 1.0 - np.float32(0.6) * np.exp(since / np.float32(-0.4 * self.beat_s * RATE_HZ))
        lead = self.tracks["lead"]
        echo = round(0.75 * self.beat_s * RATE_HZ)
        for gain in (0.32, 0.14):  # the second time the echo itself has one
            lead[:, echo:] += np.float32(gain) * lead[::-1, :-echo].copy()
        song = self.tracks["bass"] + self.tracks["pad"]
        song *= duck
        song += self.tracks["drums"]
        song += lead
        song *= np.float32(0.9)
        np.tanh(song, out=song)
        fade = round(_TAIL_S * RATE_HZ)
        song[:, -fade:] *= np.linspace(1.0, 0.0, fade, dtype=np.float32) ** 2
        loudest = float(max(song.max(), -song.min()))
        song *= np.float32(_PEAK / loudest if loudest else 1.0)
        return np.ascontiguousarray(song.T)


# Instruments ----------------------------------------------------------------------------------------------------------


def _decay(frames: int, seconds: float) -> F64:
    """Falls to 1/e every `seconds`."""
    return np.exp(-np.arange(frames) / (seconds * RATE_HZ))


def _high(noise: F64, order: int = 1) -> F64:
    """Noise without its lows."""
    return np.diff(noise, n=order, prepend=np.zeros(order)) / 2.0**order


def _drum_kit(rng: np.random.Generator) -> dict[str, F32]:
    """One sound of each drum, mono, loudest at its start."""

    def noise(seconds: float) -> F64:
        return rng.standard_normal(round(seconds * RATE_HZ))

    def sweep(seconds: float, from_hz: float, to_hz: float, fall_s: float) -> F64:
        frames = round(seconds * RATE_HZ)
        return np.sin(2.0 * np.pi * np.cumsum(to_hz + (from_hz - to_hz) * _decay(frames, fall_s)) / RATE_HZ)

    kick = sweep(0.35, 190.0, 48.0, 0.03) * _decay(round(0.35 * RATE_HZ), 0.11)
    click = _high(noise(0.02)) * _decay(round(0.02 * RATE_HZ), 0.002)
    kick[: len(click)] += 0.5 * click
    snare = noise(0.25)
    snare = 0.6 * _high(snare) * _decay(len(snare), 0.055) + 0.5 * sweep(0.25, 330.0, 185.0, 0.02) * _decay(
        len(snare), 0.045
    )
    clap = _high(noise(0.3))
    bursts = sum(np.roll(_decay(len(clap), 0.006), late) * (np.arange(len(clap)) >= late) for late in (0, 420, 840))
    clap *= 0.5 * bursts + 0.35 * _decay(len(clap), 0.07)
    hat, open_hat, crash = _high(noise(0.08), 2), _high(noise(0.3), 2), _high(noise(2.5))
    impact = sweep(2.0, 90.0, 32.0, 0.3) * _decay(2 * RATE_HZ, 0.5)
    sounds = {
        "kick": kick,
        "snare": snare,
        "clap": clap,
        "hat": hat * _decay(len(hat), 0.014),
        "open hat": open_hat * _decay(len(open_hat), 0.07),
        "crash": crash * _decay(len(crash), 0.55),
        "impact": impact,
    }
    return {name: _ended(sound) for name, sound in sounds.items()}


def _ended(sound: F64) -> F32:
    """The sound with 5 ms of fade at its end."""
    fade = min(len(sound), round(0.005 * RATE_HZ))
    sound = sound.copy()
    sound[len(sound) - fade :] *= np.linspace(1.0, 0.0, fade)
    return sound.astype(np.float32)


def _wave(hz: float, frames: int, *, cutoff_hz: float, detune: tuple[float, ...] = (0.0,)) -> F64:
    """Saw teeth through a low pass of 12 dB per octave, without aliases; several of them a little apart in pitch."""
    size = 2048
    harmonics = np.zeros(size // 2 + 1, np.complex128)
    count = max(1, min(size // 4, int(0.45 * RATE_HZ / hz)))
    number = np.arange(1, count + 1)
    harmonics[1 : count + 1] = -0.5j * size / number / (1.0 + (number * hz / cutoff_hz) ** 2)
    table = np.fft.irfft(harmonics, size)
    table = np.append(table / max(1e-9, float(np.abs(table).max())), table[0] / max(1e-9, float(np.abs(table).max())))
    out = np.zeros(frames)
    for place, cents in enumerate(detune):
        phase = (np.arange(frames) * (hz * 2.0 ** (cents / 1200.0) / RATE_HZ) + 0.37 * place) % 1.0 * size
        index = phase.astype(np.int64)
        part = phase - index
        out += table[index] * (1.0 - part) + table[index + 1] * part
    return out / len(detune)


def _shaped(sound: F64, attack_s: float, release_s: float) -> F32:
    """The sound with a soft beginning and end."""
    attack, release = (min(len(sound) // 2, round(s * RATE_HZ)) for s in (attack_s, release_s))
    sound = sound.copy()
    sound[:attack] *= np.linspace(0.0, 1.0, attack)
    sound[len(sound) - release :] *= np.linspace(1.0, 0.0, release)
    return sound.astype(np.float32)


def _pad(hz: float, seconds: float) -> F32:
    frames = round(seconds * RATE_HZ)
    return _shaped(_wave(hz, frames, cutoff_hz=900.0, detune=(-7.0, 0.0, 7.0)), 0.08, 0.08)


def _bass(hz: float, seconds: float) -> F32:
    frames = round(seconds * RATE_HZ)
    body = _wave(hz, frames, cutoff_hz=260.0) + 0.35 * _wave(hz, frames, cutoff_hz=1500.0) * _decay(frames, 0.06)
    return _shaped(body * (0.5 + 0.5 * _decay(frames, 0.25)), 0.003, 0.02)


def _pluck(hz: float, seconds: float) -> F32:
    frames = round(2.0 * seconds * RATE_HZ)
    sound = _wave(hz, frames, cutoff_hz=700.0) + 0.8 * _wave(hz, frames, cutoff_hz=5000.0) * _decay(frames, 0.03)
    return _shaped(0.6 * sound * _decay(frames, 0.5 * seconds), 0.002, 0.01)


def _lead(hz: float, seconds: float) -> F32:
    frames = round(1.4 * seconds * RATE_HZ)
    sound = _wave(hz, frames, cutoff_hz=3500.0, detune=(-14.0, -5.0, 5.0, 14.0))
    return _shaped(sound * (0.4 + 0.6 * _decay(frames, 0.6 * seconds)), 0.004, 0.03)


def _ring(hz: float, seconds: float) -> F32:
    frames = round(seconds * RATE_HZ)
    return _shaped(_wave(hz, frames, cutoff_hz=1200.0, detune=(-6.0, 6.0)) * _decay(frames, 0.35 * seconds), 0.003, 0.1)


_VOICES: Final = {"pad": _pad, "bass": _bass, "pluck": _pluck, "lead": _lead, "ring": _ring}
