"""Audio to a beat grid: tempo, phase, metre, tempo regions, and a confidence; then onsets onto that grid.

The method, in the order of the code:

1. A fine onset envelope: spectral flux of a compressed log-frequency spectrogram, one column per band.
2. Tempo: the spectrum of the whole envelope, sampled at multiples of each candidate beat rate. A linear model learnt
   from human maps chooses among candidates, so that octaves fall where people who build maps put them.
3. Steadiness: the song in blocks, each folded at that tempo. Blocks that agree with the rest give one region whose
   tempo is refined over the whole song; blocks that wander send the song to the beat tracker (5).
4. Phase: the folded envelope against a learnt template of what falls on, between and off the beats.
5. Beat tracking for music that changes tempo: a tempo path through windowed spectra, beats by dynamic programming along
   that path, then the fewest straight pieces of time against beat that stay within the scatter of the beats.
6. Metre and downbeats from kick, onset strength and harmonic change, read at the beats.

Times are seconds, positions are beats, and time 0 is the first sample.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import ArrayLike, NDArray

from beatweaver import _native
from beatweaver.config import AudioConfig
from beatweaver.errors import ConfigError, MissingExtraError
from beatweaver.tokens import SLOTS_PER_BEAT

__all__ = [
    "Alignment",
    "Envelope",
    "Grid",
    "TimingConfig",
    "align",
    "analyse",
    "beat_features",
    "estimate_grid",
    "evened_flux",
    "grid_of",
    "onset_envelope",
    "phase_columns",
    "phase_profile",
    "plot",
    "tempo_candidates",
]

F64 = NDArray[np.float64]
F32 = NDArray[np.float32]

_AUDIO = AudioConfig()


@dataclass(frozen=True, kw_only=True, slots=True)
class TimingConfig:
    """Numbers of the front end and the search; the defaults are the ones the learnt weights below belong to.

    The front end is its own: frames finer than those a model listens to, with square roots in place of decibels. It
    hears the same samples.
    """

    sample_rate_hz: int = _AUDIO.sample_rate_hz
    """Rate of the samples given."""
    hop: int = 128
    """Samples between envelope frames (5.8 ms)."""
    window: int = 512
    """Samples in a spectral frame (23 ms): short, so that an attack is placed well."""
    bands: int = 40
    """Triangular bands, evenly spaced on the mel scale."""
    flux_frames: int = 3
    """Frames between the two spectra whose difference is the flux."""
    bpm_low: float = 52.0
    """Slowest tempo considered."""
    bpm_high: float = 270.0
    """Fastest tempo considered."""
    block_s: float = 8.0
    """Length of the blocks in which steadiness is judged."""
    steady_within_s: float = 0.02
    """A block agrees with the song when its own phase lies within this of the song's."""
    steady_share: float = 0.95
    """With less of the song's onset energy in agreement, tempo changes are looked for."""
    changing_gain: float = 1.35
    """Tempo changes are believed when following them makes the folded envelope this much sharper."""


# ---- 1. the envelope ------------------------------------------------------------------------------------------------

_BAND_EDGES_HZ = (200.0, 800.0, 4000.0)
"""Edges of the four flux bands: kick and bass, body, snare and melody, cymbals."""
_FRONT_END_LEAD_S = 0.0057
"""By how much the envelope's peak precedes a synthetic click once frames carry the time between their two spectra."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Envelope:
    """What the estimator needs of the sound; any front end that fills this may be used.

    ``flux`` is (frames, 4), not negative, low to high bands; frame i stands for ``start_s + i / rate_hz`` seconds, the
    front end's own lag already taken off. ``chroma`` is (chroma_frames, 12) with frame j at ``j / chroma_rate_hz``.
    """

    flux: F32
    rate_hz: float
    start_s: float
    chroma: F32
    chroma_rate_hz: float
    duration_s: float


def onset_envelope(samples: ArrayLike, *, config: TimingConfig | None = None) -> Envelope:
    """Front end over mono samples (T,) at ``config.sample_rate_hz``. Values that are not finite count as silence.

    Raises ``ValueError`` when the samples are not one-dimensional.
    """
    config = config or TimingConfig()
    audio = np.asarray(samples, dtype=np.float32)
    if audio.ndim != 1:
        raise ValueError(f"samples must be mono, of shape (T,); found shape {audio.shape}: mix the channels down first")
    audio = np.nan_to_num(audio, nan=0.0, posinf=0.0, neginf=0.0)
    rate = config.sample_rate_hz
    weights, centres_hz = _mel_bands(config.bands, rate, config.window)
    level = _spectra(audio, config.window, config.hop, weights)
    rise = np.zeros_like(level)
    k = config.flux_frames
    rise[k:] = np.maximum(level[k:] - level[:-k], 0.0)
    group = np.searchsorted(_BAND_EDGES_HZ, centres_hz)
    flux = np.stack([rise[:, group == g].sum(axis=1) for g in range(4)], axis=1)
    chroma_window = 8 * config.window
    chroma = _spectra(audio, chroma_window, 8 * config.hop, _chroma_bands(rate, chroma_window))
    return Envelope(
        flux=flux,
        rate_hz=rate / config.hop,
        start_s=_FRONT_END_LEAD_S - k * config.hop / rate / 2,
        chroma=chroma,
        chroma_rate_hz=rate / (8 * config.hop),
        duration_s=len(audio) / rate,
    )


def _spectra(audio: F32, window: int, hop: int, weights: F32) -> F32:
    """Square roots of spectral magnitudes, summed by ``weights`` (bins, bands); frame i is centred on i * hop.

    The square root of a magnitude needs no reference level, unlike a logarithm, so loudness does not move an onset.
    """
    taper = np.hanning(window + 1)[:-1].astype(np.float32)
    taper /= taper.sum()
    frames = sliding_window_view(np.pad(audio, window // 2), window)[::hop]
    out = np.empty((len(frames), weights.shape[1]), dtype=np.float32)
    for i in range(0, len(frames), 1024):
        out[i : i + 1024] = np.sqrt(np.abs(np.fft.rfft(frames[i : i + 1024] * taper, axis=1)) @ weights)
    return out


def _mel_bands(count: int, rate: int, window: int) -> tuple[F32, F64]:
    """Triangles (bins, count) of unit area from 30 Hz to 10 kHz or the Nyquist rate, and their centres."""

    def mel(hz: float) -> float:
        return float(2595.0 * np.log10(1.0 + hz / 700.0))

    edges = 700.0 * (10.0 ** (np.linspace(mel(30.0), mel(min(10000.0, rate / 2)), count + 2) / 2595.0) - 1.0)
    bins = np.arange(window // 2 + 1) * rate / window
    low, mid, high = edges[:-2, None], edges[1:-1, None], edges[2:, None]
    tri = np.maximum(0.0, np.minimum((bins - low) / (mid - low), (high - bins) / (high - mid)))
    area = tri.sum(axis=1, keepdims=True)
    tri /= np.where(area > 0, area, 1.0)
    return np.ascontiguousarray(tri.T, dtype=np.float32), edges[1:-1]


def _chroma_bands(rate: int, window: int) -> F32:
    """Weights (bins, 12) that share each bin between 80 Hz and 2.5 kHz among its two nearest pitch classes."""
    hz = np.arange(window // 2 + 1) * rate / window
    out = np.zeros((len(hz), 12), dtype=np.float32)
    bins = np.flatnonzero((hz > 80.0) & (hz < 2500.0))
    pitch = 12.0 * np.log2(hz[bins] / 440.0) + 69.0
    below = np.floor(pitch).astype(int)
    out[bins, below % 12] = 1.0 - (pitch - below)
    out[bins, (below + 1) % 12] += pitch - below
    return out


def _evened(flux: F64, rate_hz: float) -> F64:
    """One band with its local mean taken off and its local level evened out, so that verses count like choruses."""

    def running_mean(x: F64, seconds: float) -> F64:
        n = min(int(seconds * rate_hz) | 1, 2 * len(x) - 1)
        total = np.concatenate([[0.0], np.cumsum(np.pad(x, n // 2, mode="edge"))])
        mean: F64 = (total[n:] - total[:-n]) / n
        return mean

    x = np.minimum(flux, np.percentile(flux, 99.8))
    x = np.maximum(x - running_mean(x, 0.5), 0.0)
    floor = 0.1 * np.sqrt(np.mean(x * x)) + 1e-12
    evened: F64 = x / (np.sqrt(np.maximum(running_mean(x * x, 4.0), 0.0)) + floor)
    return evened


# ---- 2. tempo -------------------------------------------------------------------------------------------------------

_RATIOS = np.array([1 / 8, 1 / 4, 1 / 3, 1 / 2, 2 / 3, 3 / 4, 1, 4 / 3, 3 / 2, 2, 3, 4, 6, 8])
"""Multiples of a candidate's beat rate at which the spectra are read."""
_HARMONICS = np.array([1.0, 2.0, 4.0, 8.0])
"""Multiples of the beat rate that make the comb by which candidates are found and refined."""
_FAMILY = np.array([1 / 3, 1 / 2, 2 / 3, 3 / 4, 1, 4 / 3, 3 / 2, 2, 3])
"""Readings of one pulse that are candidates of their own."""
# fmt: off
_TEMPO_WEIGHTS = np.array([  # of the whole envelope, the kick band, the cymbal band
    [0.300, -0.007, -0.171, -0.090, -0.006, -0.009, 0.015, -0.011, 0.007, 0.029, -0.006, 0.029, 0.022, 0.023],
    [-0.004, 0.259, -0.058, -0.015, -0.006, 0.039, 0.043, -0.005, 0.024, 0.038, -0.004, 0.010, 0.015, 0.012],
    [-0.299, -0.157, -0.066, -0.005, -0.034, -0.066, 0.010, -0.021, 0.005, 0.020, -0.004, 0.042, 0.012, 0.040],
])
_OUTSIDE_FAMILY = -0.654
_PRIOR_BPM = np.geomspace(50.0, 280.0, 24)
_PRIOR_LOG = np.array([  # log density of the tempi of 438 human maps
    -3.85, -4.18, -3.92, -3.70, -2.90, -2.41, -2.18, -1.61, -1.36, -1.10, -0.83, -0.36,
    0.14, 0.12, -0.04, -0.18, -0.21, -0.15, -0.43, -0.99, -1.62, -2.05, -2.38, -3.20,
])
# fmt: on
_REFERENCE_S = 180.0
"""Song length at which the spectral magnitudes keep their natural size: weights mean the same for any length."""


@dataclass(frozen=True, slots=True)
class _Pulse:
    """The evened envelope: ``bands`` (frames, 4), ``total`` (frames,), and the seconds of each frame."""

    bands: F64
    total: F64
    time_s: F64
    rate_hz: float


def _pulse(envelope: Envelope) -> _Pulse:
    flux = np.nan_to_num(np.asarray(envelope.flux, dtype=np.float64), nan=0.0, posinf=0.0, neginf=0.0)
    bands = np.stack([_evened(flux[:, k], envelope.rate_hz) for k in range(flux.shape[1])], axis=1)
    time_s = envelope.start_s + np.arange(len(flux)) / envelope.rate_hz
    return _Pulse(bands, bands.sum(axis=1), time_s, envelope.rate_hz)


def evened_flux(envelope: Envelope) -> F64:
    """The flux of `envelope` with its level evened out over the song, band by band: (frames, 4), not negative."""
    return _pulse(envelope).bands


def _spectrum(x: F64, rate_hz: float) -> tuple[F64, float]:
    """Magnitudes of the zero-padded spectrum, free of level and length, and the spacing of its bins in Hz."""
    x = x - x.mean()
    n = 1 << max(18, int(np.ceil(np.log2(8 * len(x)))))
    scale = np.sqrt(_REFERENCE_S * rate_hz) / (len(x) * np.sqrt(np.mean(x * x)) + 1e-12)
    return np.abs(np.fft.rfft(x, n)) * scale, rate_hz / n


def _read(spectrum: F64, bin_hz: float, hz: F64) -> F64:
    """Spectrum at ``hz`` (any shape), linear between bins, 0 beyond the end."""
    return np.interp(hz, np.arange(len(spectrum)) * bin_hz, spectrum, right=0.0)


def tempo_candidates(envelope: Envelope, config: TimingConfig) -> tuple[F64, F64]:
    """Candidate tempi (N,) in BPM and what is known of each: (N, 43), 3 spectra x 14 ratios, then "not of the family".

    The columns are what ``benchmarks/timing.py --fit`` learns the weights from.
    """
    pulse = _pulse(envelope)
    return _candidates(pulse, config)


def _candidates(pulse: _Pulse, config: TimingConfig) -> tuple[F64, F64]:
    spectra = [_spectrum(x, pulse.rate_hz) for x in (pulse.total, pulse.bands[:, 0], pulse.bands[:, 3])]
    bpm = np.arange(config.bpm_low, config.bpm_high, 0.01)
    whole, bin_hz = spectra[0]
    comb = _read(whole, bin_hz, bpm[:, None] / 60.0 * _HARMONICS).sum(axis=1)
    score = comb * np.exp(-0.5 * (np.log2(bpm / 130.0) / 0.7) ** 2)
    found: list[tuple[float, float]] = []
    for rank in range(3):
        best = float(bpm[np.argmax(score)])
        for ratio in _FAMILY if rank == 0 else (0.5, 1.0, 2.0):
            near = np.abs(bpm - best * ratio) < max(0.03, best * ratio * 4e-4)
            if near.any():
                value = float(bpm[near][np.argmax(comb[near])])
                if all(abs(value / other - 1.0) > 0.002 for other, _ in found):
                    found.append((value, float(rank > 0)))
        for ratio in _FAMILY:
            score[np.abs(bpm / (best * ratio) - 1.0) < 0.015] = 0.0
    tempi = np.array([value for value, _ in found])
    columns = [_read(s, width, tempi[:, None] / 60.0 * _RATIOS) for s, width in spectra]
    return tempi, np.concatenate([*columns, np.array([[outside] for _, outside in found])], axis=1)


def _chances(tempi: F64, known: F64) -> F64:
    """Probability of each candidate to be the tempo a person would write down."""
    prior = np.interp(np.log2(tempi), np.log2(_PRIOR_BPM), _PRIOR_LOG)
    logit = known @ np.append(_TEMPO_WEIGHTS.ravel(), _OUTSIDE_FAMILY) + prior
    odds = np.exp(logit - logit.max())
    chances: F64 = odds / odds.sum()
    return chances


def _refined(pulse: _Pulse, bpm: float) -> float:
    """The tempo near ``bpm`` at which the whole song lines up best: the peak of its comb, finely sampled."""
    seconds = len(pulse.total) / pulse.rate_hz
    x = pulse.total - pulse.total.mean()
    block = max(int(2.0 * pulse.rate_hz), 1)
    turns = np.exp(-2j * np.pi * _HARMONICS[:, None] * (bpm / 60.0) * pulse.time_s)
    parts = np.add.reduceat(turns * x, np.arange(0, len(x), block), axis=1)
    centre_s = np.add.reduceat(pulse.time_s, np.arange(0, len(x), block)) / np.diff(
        np.append(np.arange(0, len(x), block), len(x))
    )
    reach = min(40.0 / seconds, bpm * 0.004)
    delta = np.linspace(-reach, reach, 401)
    spin = np.exp(-2j * np.pi * _HARMONICS[:, None, None] * (delta[:, None] / 60.0) * centre_s)
    comb = np.abs(np.einsum("hb,hdb->hd", parts, spin)).sum(axis=0)
    return bpm + _peak(comb, delta)


def _peak(y: F64, x: F64) -> float:
    """Place of the largest of ``y`` over evenly spaced ``x``, by a parabola through it and its neighbours."""
    i = int(np.argmax(y))
    if 0 < i < len(y) - 1:
        bend = y[i - 1] - 2.0 * y[i] + y[i + 1]
        if bend < 0:
            return float(x[i] + 0.5 * (y[i - 1] - y[i + 1]) / bend * (x[1] - x[0]))
    return float(x[i])


def _snapped(bpm: float, seconds: float) -> float:
    """``bpm`` moved to a whole number, else a half, when no beat then moves more than 8 ms from the middle."""
    for step in (1.0, 0.5):
        near = round(bpm / step) * step
        if near > 0 and abs(near / bpm - 1.0) * seconds / 2.0 < 0.008:
            return near
    return bpm


# ---- 3. steadiness --------------------------------------------------------------------------------------------------

_BINS = 96
"""Bins a beat is folded into."""


def _interpolate(x: F64, xs: F64, ys: F64) -> F64:
    """The line through ``(xs, ys)`` at ``x``, its first and last pieces going on for ever."""
    i = np.clip(np.searchsorted(xs, x, side="right") - 1, 0, len(xs) - 2)
    return ys[i] + (x - xs[i]) * (ys[i + 1] - ys[i]) / (xs[i + 1] - xs[i])


def _fold(x: F64, beat: F64, rows: NDArray[np.int64], count: int) -> F64:
    """Mean of ``x`` by row and by phase of the beat: (count, _BINS); a bin no frame falls into is 0."""
    bins = (np.floor(beat * _BINS + 0.5).astype(np.int64)) % _BINS
    cell, size = rows * _BINS + bins, count * _BINS
    total = np.bincount(cell, weights=x, minlength=size).reshape(count, _BINS)
    frames = np.bincount(cell, minlength=size).reshape(count, _BINS)
    return total / np.maximum(frames, 1)


def _blur(profile: F64, bins: float) -> F64:
    """Circular Gaussian smoothing along the last axis, ``bins`` wide (standard deviation)."""
    size = profile.shape[-1]
    shape = np.exp(-2.0 * (np.pi * np.fft.rfftfreq(size) * bins) ** 2)
    return np.fft.irfft(np.fft.rfft(profile, axis=-1) * shape, size, axis=-1)


def _agreement(pulse: _Pulse, beat: F64, config: TimingConfig) -> float:
    """Share of the onset energy (0..1) in blocks whose phase, up to half a beat, is that of the rest of the song."""
    seconds = pulse.time_s[-1] - pulse.time_s[0]
    blocks = max(int(seconds / config.block_s), 4)
    rows = np.minimum(((pulse.time_s - pulse.time_s[0]) / seconds * blocks).astype(np.int64), blocks - 1)
    profile = _blur(_fold(pulse.total, beat, rows, blocks), 1.5)
    profile -= profile.mean(axis=1, keepdims=True)
    rest = profile.sum(axis=0) - profile
    match = np.fft.irfft(np.fft.rfft(profile, axis=1) * np.conj(np.fft.rfft(rest, axis=1)), _BINS, axis=1)
    half = _BINS // 2
    lag = (np.argmax(match, axis=1) + half // 2) % half - half // 2
    beat_s = seconds / max(beat[-1] - beat[0], 1e-9)
    energy = np.sqrt((profile**2).sum(axis=1))
    agrees = np.abs(lag) / _BINS * beat_s < config.steady_within_s
    return float((energy * agrees).sum() / (energy.sum() + 1e-12))


def _contrast(pulse: _Pulse, beat: F64) -> float:
    """Peak of the envelope folded by ``beat``, in its mean: how much of the song the line explains."""
    profile = _blur(_fold(pulse.total, beat, np.zeros(len(beat), dtype=np.int64), 1)[0], 1.0)
    return float(profile.max() / (profile.mean() + 1e-12))


# ---- 4. phase -------------------------------------------------------------------------------------------------------

_PHASE_WEIGHTS = np.array(
    [
        [0.287, -0.062, -0.050, 0.028],
        [0.301, -0.080, -0.008, 0.033],
        [0.287, -0.055, 0.009, 0.008],
        [0.282, -0.051, 0.074, 0.009],
    ]
)
"""What each band (rows) says for a place on the beat when it is strong there, 1/4, 1/2 and 3/4 of a beat later."""
_BACKBEAT_WEIGHTS = np.array([0.474, 0.0, 0.496, 0.524])
"""What each band says for a place when it differs there from beat to beat, as kick and snare do."""


def phase_profile(envelope: Envelope, time_s: F64, beat: F64) -> tuple[F64, F64]:
    """Each band folded along the line ``(time_s, beat)``, a bin 1/96 of a beat, bin 0 on the beat: (4, 96) and (4, 96).

    The first is the mean level, 1 on average; the second its standard deviation over four successive beats.
    """
    pulse = _pulse(envelope)
    return _profile(pulse, _interpolate(pulse.time_s, time_s, beat))


def _profile(pulse: _Pulse, beat: F64) -> tuple[F64, F64]:
    rows = np.floor(beat + 0.5 / _BINS).astype(np.int64) % 4
    beat_s = (pulse.time_s[-1] - pulse.time_s[0]) / max(beat[-1] - beat[0], 1e-9)
    four = np.stack([_fold(band, beat, rows, 4).ravel() for band in pulse.bands.T])
    four = _blur(four / (four.mean(axis=1, keepdims=True) + 1e-12), 0.004 / beat_s * _BINS).reshape(-1, 4, _BINS)
    return four.mean(axis=1), four.std(axis=1)


def phase_columns(level: F64, spread: F64) -> F64:
    """What is known of each place in the beat (96, 20): four bands at four quarters of a beat, then their spread."""
    quarter = _BINS // 4
    columns = [np.roll(level, -quarter * k, axis=1) for k in range(4)]
    return np.concatenate([np.stack(columns, axis=1).reshape(-1, _BINS), spread]).T


def _phase(level: F64, spread: F64) -> tuple[float, float]:
    """Where in the folded beat (0..1) the beat is, and the chance that it is there and not elsewhere."""
    score = phase_columns(level, spread) @ np.append(_PHASE_WEIGHTS.ravel(), _BACKBEAT_WEIGHTS)
    best = int(np.argmax(score))
    elsewhere = score[(best + np.arange(0, _BINS, _BINS // SLOTS_PER_BEAT)) % _BINS]
    # The template says which pulse; the sharpest place near it is read from the whole envelope, on and off the beat.
    whole = level.sum(axis=0) + 0.5 * np.roll(level, -_BINS // 2, axis=1).sum(axis=0)
    near = np.arange(best - 5, best + 6)
    return _peak(whole[near % _BINS], near / _BINS), float(1.0 / np.exp(elsewhere - score[best]).sum())


# ---- 5. music that changes tempo ------------------------------------------------------------------------------------

_PATH_WINDOW_S = 10.0
_PATH_STEP_S = 2.0
_PATH_BEND = 40.0
"""Price of an octave of tempo change between two windows; a window's best reading is worth 8."""
_PATH_JUMP = 6.0
"""No change costs more than this, so that real jumps happen,"""
_PATH_OCTAVE_JUMP = 12.0
"""but for those of 0.8 octaves and more, which are mostly another reading of the same pulse."""
_TRACK_TIGHTNESS = 150.0
"""Price of a beat of twice the expected length, in units of the envelope's standard deviation."""
_SCATTER_S = 0.012
"""Scatter of tracked beats about an even pulse."""
_PIECE_PRICE = 20.0
"""A new tempo region must explain this much more, in squared scatters."""


def _tempo_path(pulse: _Pulse, centre_bpm: float) -> F64:
    """Beat period in seconds at every frame: the best path through windowed spectra, near ``centre_bpm`` in octave."""
    n = min(int(_PATH_WINDOW_S * pulse.rate_hz), len(pulse.total))
    step = max(int(_PATH_STEP_S * pulse.rate_hz), 1)
    frames = sliding_window_view(pulse.total, n)[::step] * np.hanning(n)
    padded = 1 << int(np.ceil(np.log2(4 * n)))
    spectra = np.abs(np.fft.rfft(frames - frames.mean(axis=1, keepdims=True), padded, axis=1))
    bpm = centre_bpm * 2.0 ** np.arange(-0.8, 0.8001, 0.01)
    hz = bpm[:, None] / 60.0 * np.array([1.0, 2.0, 4.0])
    worth = np.stack([_read(s, pulse.rate_hz / padded, hz).sum(axis=1) for s in spectra])
    worth *= np.exp(-0.5 * np.log2(bpm / centre_bpm) ** 2)
    worth *= 8.0 / (worth.max(axis=1, keepdims=True) + 1e-12)
    octaves = np.log2(bpm)
    leap = np.abs(octaves[:, None] - octaves)
    price = np.where(leap < 0.795, np.minimum(_PATH_BEND * leap, _PATH_JUMP), _PATH_OCTAVE_JUMP)
    value, came = worth[0], np.zeros(worth.shape, dtype=np.int64)
    for i in range(1, len(worth)):
        options = value - price  # [to, from]
        came[i] = np.argmax(options, axis=1)
        value = worth[i] + np.take_along_axis(options, came[i][:, None], axis=1)[:, 0]
    state = int(np.argmax(value))
    path = np.empty(len(worth))
    for i in range(len(worth) - 1, -1, -1):
        path[i] = octaves[state]
        state = int(came[i, state])
    centres = np.arange(len(worth)) * step + n / 2
    return 60.0 / 2.0 ** np.interp(np.arange(len(pulse.total)), centres, path)


def _tracked_beats(pulse: _Pulse, period_s: F64) -> tuple[F64, F64]:
    """Times of the beats that best join strong onsets at the expected period, and the onset strength at each."""
    strength = pulse.total / (pulse.total.std() + 1e-12)
    period = period_s * pulse.rate_hz
    score, came = strength.copy(), np.full(len(strength), -1, dtype=np.int64)
    block = max(int(period.min() * 0.75), 1)  # frames that cannot be each other's predecessor, so done at once
    for start in range(block, len(strength), block):
        now = np.arange(start, min(start + block, len(strength)))
        expected = period[start]
        back = np.arange(int(expected * 0.76), int(expected * 1.3) + 2)
        back = back[back >= block]
        before = now[:, None] - back
        cost = _TRACK_TIGHTNESS * np.log2(back / period[now][:, None]) ** 2
        options = np.where(before >= 0, score[np.maximum(before, 0)], -np.inf) - cost
        best = np.argmax(options, axis=1)
        gain = options[np.arange(len(now)), best]
        linked = gain > 0
        score[now] += np.where(linked, gain, 0.0)
        came[now] = np.where(linked, now - back[best], -1)
    last = max(len(score) - int(1.5 * period[-1]), 0)
    frame = last + int(np.argmax(score[last:]))
    frames = [frame]
    while came[frames[-1]] >= 0:
        frames.append(int(came[frames[-1]]))
    at = np.array(frames[::-1])
    # A beat is read from the envelope itself, to a fraction of a frame, where it has a peak close by.
    reach = max(int(0.025 * pulse.rate_hz), 1)
    near = np.clip(at[:, None] + np.arange(-reach, reach + 1), 0, len(strength) - 1)
    values = strength[near]
    top = values.argmax(axis=1)
    inner = (top > 0) & (top < near.shape[1] - 1)
    centre = np.where(inner, top, reach)
    y = np.take_along_axis(values, centre[:, None] + np.array([-1, 0, 1]), axis=1)
    bend = y[:, 0] - 2.0 * y[:, 1] + y[:, 2]
    shift = np.where(inner & (bend < 0), 0.5 * (y[:, 0] - y[:, 2]) / np.where(bend < 0, bend, -1.0), 0.0)
    frame_at = np.where(inner, near[np.arange(len(at)), centre], at) + shift
    return np.interp(frame_at, np.arange(len(strength)), pulse.time_s), np.maximum(y[:, 1], 0.05)


def _pieces(beat_s: F64, weight: F64) -> tuple[F64, F64]:
    """The fewest straight pieces of time against beat number that stay within the scatter: knots (time_s, beat)."""
    count = len(beat_s)
    k = np.arange(count, dtype=np.float64)
    w = np.clip(weight / np.median(weight), 1e-3, 3.0)
    t = beat_s - beat_s[0]
    sums = [np.concatenate([[0.0], np.cumsum(w * x)]) for x in (np.ones(count), k, t, k * k, k * t, t * t)]

    def fits(first: NDArray[np.int64], last: int) -> tuple[F64, F64, F64]:
        """Slope, intercept and weighted squared residual of the line through beats first..last."""
        s, sk, st, skk, skt, stt = (x[last + 1] - x[first] for x in sums)
        vk, vt, c = skk - sk * sk / s, stt - st * st / s, skt - sk * st / s
        slope = np.where(vk > 1e-9, c / np.maximum(vk, 1e-9), 0.0)
        return slope, (st - slope * sk) / s, np.maximum(vt - slope * c, 0.0)

    best, came = np.zeros(count + 1), np.zeros(count, dtype=np.int64)
    for j in range(count):
        i = np.arange(j + 1)
        total = best[i] + fits(i, j)[2] / _SCATTER_S**2 + _PIECE_PRICE
        came[j] = np.argmin(total)
        best[j + 1] = total[came[j]]
    spans: list[tuple[int, int]] = []
    last = count - 1
    while last >= 0:
        spans.insert(0, (int(came[last]), last))
        last = int(came[last]) - 1
    # Pieces that meet share a knot; pieces that do not (a cut in the song) are joined by one beat of another length.
    knots = [0]
    lines = [[float(x[0]) for x in fits(np.array([a]), b)[:2]] for a, b in spans]
    for (_, end), (slope, at), (next_slope, next_at) in zip(spans[:-1], lines[:-1], lines[1:], strict=True):
        gap = abs((slope - next_slope) * (end + 0.5) + at - next_at)
        knots += [end, end + 1] if gap > _SCATTER_S else [end]
    at_beat = np.unique(np.array([*knots, count - 1])).astype(np.float64)
    # One continuous line through the knots, by weighted least squares over hat functions.
    piece = np.clip(np.searchsorted(at_beat, k, side="right") - 1, 0, len(at_beat) - 2)
    share = (k - at_beat[piece]) / (at_beat[piece + 1] - at_beat[piece])
    normal, right = np.zeros((len(at_beat), len(at_beat))), np.zeros(len(at_beat))
    for own, other, hat, cross in ((piece, piece + 1, 1.0 - share, share), (piece + 1, piece, share, 1.0 - share)):
        np.add.at(normal, (own, own), w * hat * hat)
        np.add.at(normal, (own, other), w * hat * cross)
        np.add.at(right, own, w * hat * t)
    knot_s = np.linalg.solve(normal + 1e-9 * np.eye(len(at_beat)), right)
    forwards = np.maximum(np.diff(knot_s), 0.05 * np.diff(at_beat))  # never backwards, whatever the scatter
    return beat_s[0] + np.concatenate([knot_s[:1], knot_s[0] + np.cumsum(forwards)]), at_beat


def _changing(pulse: _Pulse, centre_bpm: float) -> tuple[F64, F64] | None:
    """The song's line ``(time_s, beat)`` when its tempo may change, or None when there are too few beats for one."""
    beats_s, weight = _tracked_beats(pulse, _tempo_path(pulse, centre_bpm))
    return _pieces(beats_s, weight) if len(beats_s) > 8 else None


def _stretched(pulse: _Pulse, even_s: F64) -> _Pulse:
    """The envelope as it would be if frame i sounded at ``even_s[i]`` (rising), at the same frame rate."""
    time_s = np.arange(even_s[0], even_s[-1], 1.0 / pulse.rate_hz)
    bands = np.stack([np.interp(time_s, even_s, band) for band in pulse.bands.T], axis=1)
    return _Pulse(bands, bands.sum(axis=1), time_s, pulse.rate_hz)


# ---- 6. metre and downbeats -----------------------------------------------------------------------------------------

_METRES = (4, 3, 5, 7)
_DOWNBEAT_WEIGHTS = np.array([0.86, 0.22, -0.40, 1.16, 4.75])
"""What each of the five features of a beat says for it being the first of a bar."""


def beat_features(envelope: Envelope, beats_s: F64) -> F64:
    """What is heard at each beat: (beats, 5) kick, snare range, cymbals, harmonic change over one and two beats."""
    return _beat_features(_pulse(envelope), envelope, beats_s)


def _beat_features(pulse: _Pulse, envelope: Envelope, beats_s: F64) -> F64:
    frame = np.round((beats_s - pulse.time_s[0]) * pulse.rate_hz).astype(np.int64)
    around = np.arange(-int(0.03 * pulse.rate_hz), int(0.06 * pulse.rate_hz) + 1)
    near = np.clip(frame[:, None] + around, 0, len(pulse.total) - 1)
    struck = pulse.bands[near].max(axis=1)[:, [0, 2, 3]]
    chroma = np.nan_to_num(np.asarray(envelope.chroma, dtype=np.float64))
    edge = np.clip(np.round(beats_s * envelope.chroma_rate_hz).astype(np.int64), 0, len(chroma))
    total = np.concatenate([np.zeros((1, 12)), np.cumsum(chroma, axis=0)])

    def change(beats: int) -> F64:
        k = np.arange(len(edge))
        before = total[edge] - total[edge[np.maximum(k - beats, 0)]]
        after = total[edge[np.minimum(k + beats, len(edge) - 1)]] - total[edge]
        size = np.linalg.norm(before, axis=1) * np.linalg.norm(after, axis=1)
        return np.where(size > 0, 1.0 - (before * after).sum(axis=1) / np.where(size > 0, size, 1.0), 0.0)

    known = np.column_stack([struck, change(1), change(2)])
    evened: F64 = (known - known.mean(axis=0)) / (known.std(axis=0) + 1e-9)
    return evened


def _bars(known: F64) -> tuple[int, int]:
    """Beats in a bar and the index of the first downbeat, from the features of the beats (beats, 5)."""
    count = len(known)
    best_metre, best_share = _METRES[0], 0.0
    for metre in _METRES:
        if count > 4 * metre:
            place = np.stack([known[i::metre].mean(axis=0) for i in range(metre)])
            # Variance the place in the bar explains, less what it would explain of noise.
            share = float(np.mean(1.0 - (1.0 - (place**2).mean(axis=0)) * (count - 1) / (count - metre)))
            if share > best_share:
                best_metre, best_share = metre, share
    first = [float(known[i::best_metre].mean(axis=0) @ _DOWNBEAT_WEIGHTS) for i in range(min(best_metre, count))]
    return best_metre, int(np.argmax(first)) if first else 0


# ---- the grid -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True, slots=True)
class Grid:
    """Where the beats of a song are. Beat 0 is the first beat, at ``offset_s``."""

    bpm: float
    """Tempo of the song; with several regions, of the one that lasts longest."""
    offset_s: float
    """Time of the first beat of the grid."""
    metre: int
    """Beats in a bar."""
    confidence: float
    """Chance (0..1) that a person would write down this tempo, and that the beats are in place."""
    regions: tuple[tuple[float, float, float], ...]
    """``(time_s, beat, bpm)`` from which each tempo holds, in order; the first is ``(offset_s, 0, bpm)``."""
    beats_s: F64
    """Times of the beats within the song."""
    downbeats_s: F64
    """Times of the first beats of bars."""
    candidates: tuple[tuple[float, float], ...]
    """Readings of the tempo ``(bpm, score)``, likeliest first; the scores of all readings add up to 1."""

    def seconds(self, beat: ArrayLike) -> F64:
        """Times of positions in beats (any shape), the first and last tempo going on for ever."""
        time_s, beats = self._line()
        return _interpolate(np.asarray(beat, dtype=np.float64), beats, time_s)

    def beat(self, time_s: ArrayLike) -> F64:
        """Positions in beats of times (any shape)."""
        times, beats = self._line()
        return _interpolate(np.asarray(time_s, dtype=np.float64), times, beats)

    def clock(self) -> _native.TempoMap:
        """The same in a level whose beat 0 is at time 0."""
        return _native.TempoMap([beat for _, beat, _ in self.regions], [bpm for _, _, bpm in self.regions])

    def _line(self) -> tuple[F64, F64]:
        time_s, beats, bpm = np.array(self.regions, dtype=np.float64).T
        return np.append(time_s, time_s[-1] + 60.0 / bpm[-1]), np.append(beats, beats[-1] + 1.0)


def grid_of(tempo: _native.TempoMap) -> Grid:
    """The clock of a level, in four beats a bar, as a grid: what is known of beats without hearing the song."""
    regions = tempo.regions
    beats, bpms = regions["beat"], regions["bpm"]
    rows = tuple(zip(tempo.seconds(beats).tolist(), beats.tolist(), bpms.tolist(), strict=True))
    return Grid(
        bpm=rows[0][2],
        offset_s=rows[0][0],
        metre=_METRES[0],
        confidence=1.0,
        regions=rows,
        beats_s=np.zeros(0),
        downbeats_s=np.zeros(0),
        candidates=(),
    )


def estimate_grid(
    source: ArrayLike | Envelope,
    *,
    config: TimingConfig | None = None,
    bpm: float | None = None,
    offset_s: float | None = None,
) -> Grid:
    """Beat grid of mono samples (T,) at ``config.sample_rate_hz``, or of an envelope already computed.

    ``bpm`` and ``offset_s`` (time of the first beat, also the first downbeat) are taken as given where they are given;
    the confidence still says how well the sound bears them out. Sound without a pulse gets confidence 0 and, having to
    say something, 120 BPM from time 0. Raises ConfigError for a tempo that is not positive, an offset that is not
    finite, and samples that are not mono.
    """
    config = config or TimingConfig()
    if bpm is not None and not (np.isfinite(bpm) and bpm > 0):
        raise ConfigError(f"bpm: found {bpm}, expected a positive tempo", where="bpm", found=str(bpm))
    if offset_s is not None and not np.isfinite(offset_s):
        raise ConfigError(f"offset_s: found {offset_s}, expected seconds", where="offset_s", found=str(offset_s))
    envelope = source if isinstance(source, Envelope) else onset_envelope(source, config=config)
    pulse = _pulse(envelope) if len(envelope.flux) else None
    if pulse is None or envelope.duration_s < 2.0 or not pulse.total.std() > 0:
        line = np.array([0.0, 60.0 / (bpm or 120.0)]), np.array([0.0, 1.0])
        return _grid(envelope, None, line, offset_s, confidence=0.0, candidates=())

    if bpm is None:
        tempo, sure, candidates = _read_tempo(pulse, config, envelope.duration_s)
    else:
        tempo, sure, candidates = float(bpm), 1.0, ((float(bpm), 1.0),)
    line = np.array([0.0, 60.0 / tempo]), np.array([0.0, 1.0])
    beat = _interpolate(pulse.time_s, *line)
    agreement, contrast = _agreement(pulse, beat, config), _contrast(pulse, beat)
    if bpm is None and agreement < config.steady_share:
        changing = _changing(pulse, tempo)
        if changing is not None:
            changing_beat = _interpolate(pulse.time_s, *changing)
            gain = _contrast(pulse, changing_beat) / contrast
            if gain > config.changing_gain:
                # Read the tempo once more where it no longer changes: with the song stretched to an even pulse.
                mean_bpm = 60.0 * (changing_beat[-1] - changing_beat[0]) / (pulse.time_s[-1] - pulse.time_s[0])
                even = _stretched(pulse, changing_beat * 60.0 / mean_bpm)
                again, sure, candidates = _read_tempo(even, config, None)
                times = _FAMILY[np.argmin(np.abs(np.log2(again / mean_bpm / _FAMILY)))]
                line = changing[0], changing[1] * times
                beat = changing_beat * times
                agreement, contrast = _agreement(pulse, beat, config), contrast * gain
    if offset_s is None:
        phase, on_the_beat = _phase(*_profile(pulse, beat))
        line = line[0], line[1] - phase
        sure *= on_the_beat
    heard = pulse.total.sum() ** 2 / (pulse.total**2).sum()  # frames that carry the sound: few onsets prove little
    in_place = _in_place(agreement, contrast, (len(line[0]) - 2) / envelope.duration_s) * (1.0 - np.exp(-heard / 60.0))
    return _grid(envelope, pulse, line, offset_s, confidence=_calibrated(sure * in_place), candidates=candidates)


def _read_tempo(
    pulse: _Pulse, config: TimingConfig, seconds: float | None
) -> tuple[float, float, tuple[tuple[float, float], ...]]:
    """The likeliest tempo, refined (and snapped, given the song's length), its chance, and all the readings."""
    tempi, known = _candidates(pulse, config)
    chance = _chances(tempi, known)
    order = np.argsort(-chance)
    best = float(tempi[order[0]])
    tempo = _refined(pulse, best)
    if seconds is not None:
        tempo = _snapped(tempo, seconds)
    candidates = tuple((float(tempi[i] * tempo / best), float(chance[i])) for i in order)
    return tempo, float(chance[order[0]]), candidates


def _in_place(agreement: float, contrast: float, changes_per_s: float) -> float:
    """Chance that the beats lie on the pulse: from how much of the song agrees, how sharply, and at what cost."""
    return float(1.0 / (1.0 + np.exp(-(8.0 * agreement - 6.0 + min(contrast, 5.0) - 25.0 * changes_per_s))))


def _calibrated(chance: float) -> float:
    """The product of the three chances, which is too modest, made to match how often such grids are right."""
    odds = np.e * chance / max(1.0 - chance, 1e-9)
    return float(odds / (1.0 + odds))


def _grid(
    envelope: Envelope,
    pulse: _Pulse | None,
    line: tuple[F64, F64],
    offset_s: float | None,
    *,
    confidence: float,
    candidates: tuple[tuple[float, float], ...],
) -> Grid:
    """The grid of a line ``(time_s, beat)`` whose whole beats are beats, or, with an offset, shifted to begin there."""
    time_s, beat = line
    if offset_s is None:
        first_beat = float(np.ceil(_interpolate(np.zeros(1), time_s, beat)[0] - 1e-6))
        start_s = float(_interpolate(np.array([first_beat]), beat, time_s)[0])
        start_s = max(start_s, 0.0)
    else:
        start_s = float(offset_s)
        first_beat = float(_interpolate(np.array([start_s]), time_s, beat)[0])
    beat = beat - first_beat
    tempo = 60.0 * np.diff(beat) / np.diff(time_s)
    kept = np.flatnonzero(time_s[1:] > start_s)
    pieces = kept if len(kept) else np.array([len(tempo) - 1])
    regions = tuple(
        (max(float(time_s[i]), start_s), max(float(beat[i]), 0.0), float(tempo[i]))
        if n
        else (start_s, 0.0, float(tempo[i]))
        for n, i in enumerate(pieces)
    )
    starts = np.array([r[0] for r in regions])
    lasts = np.diff(np.append(starts, max(envelope.duration_s, starts[-1] + 1e-9)))
    grid = Grid(
        bpm=regions[int(np.argmax(lasts))][2],
        offset_s=start_s,
        metre=_METRES[0],
        confidence=confidence,
        regions=regions,
        beats_s=np.zeros(0),
        downbeats_s=np.zeros(0),
        candidates=candidates,
    )
    count = int(np.floor(grid.beat(envelope.duration_s) + 1e-6)) + 1
    beats_s = grid.seconds(np.arange(max(count, 0)))
    metre, first = _METRES[0], 0
    if pulse is not None and len(beats_s):
        metre, first = _bars(_beat_features(pulse, envelope, beats_s))
        first = first if offset_s is None else 0
    return replace(grid, metre=metre, beats_s=beats_s, downbeats_s=beats_s[first::metre])


@dataclass(frozen=True, slots=True)
class Alignment:
    """Onsets on the grid, each (N,): the nearest slot (twelve a beat, slot 0 at beat 0), its beat, and the error."""

    slot: NDArray[np.int64]
    beat: F64
    error_s: F64
    """Onset minus slot, in seconds: positive when the onset is late."""


def align(onsets_s: ArrayLike, grid: Grid) -> Alignment:
    """The slot nearest in time to each onset (N,). Raises ``ValueError`` when an onset is not a finite number."""
    onsets = np.atleast_1d(np.asarray(onsets_s, dtype=np.float64))
    if not np.isfinite(onsets).all():
        i = int(np.flatnonzero(~np.isfinite(onsets))[0])
        raise ValueError(f"onsets must be finite numbers of seconds; found {onsets[i]} at index {i}")
    below = np.floor(grid.beat(onsets) * SLOTS_PER_BEAT)
    # The nearest in time need not be the nearest in beats where the tempo changes: compare both neighbours in seconds.
    around = below[:, None] + np.array([-1.0, 0.0, 1.0, 2.0])
    error = onsets[:, None] - grid.seconds(around / SLOTS_PER_BEAT)
    best = np.argmin(np.abs(error), axis=1)
    row = np.arange(len(onsets))
    return Alignment(around[row, best].astype(np.int64), around[row, best] / SLOTS_PER_BEAT, error[row, best])


def analyse(
    song: Path,
    *,
    bpm: float | None = None,
    offset_s: float | None = None,
    from_map: Path | None = None,
    plot_to: Path | None = None,
) -> dict[str, Any]:
    """Grid of an audio file as the document that ``beatweaver timing --json`` prints.

    Tempo and first beat are taken from ``from_map``, a level pack, where they are not given; ``plot_to`` gets a
    picture.
    Raises AudioError, MapError, ConfigError and OSError.
    """
    config = TimingConfig()
    if from_map is not None:
        level = _native.load_song(from_map)
        bpm = level.bpm if bpm is None else bpm
        offset_s = 0.0 if offset_s is None else offset_s
    samples = _native.decode_audio(song, sample_rate_hz=config.sample_rate_hz)
    envelope = onset_envelope(samples, config=config)
    grid = estimate_grid(envelope, config=config, bpm=bpm, offset_s=offset_s)
    if plot_to is not None:
        plot(envelope, grid, plot_to, config=config)
    return {
        "bpm": grid.bpm,
        "offset_s": grid.offset_s,
        "metre": grid.metre,
        "confidence": grid.confidence,
        "regions": [{"time_s": time_s, "beat": beat, "bpm": tempo} for time_s, beat, tempo in grid.regions],
        "beats_s": grid.beats_s.tolist(),
        "downbeats_s": grid.downbeats_s.tolist(),
        "candidates": [{"bpm": tempo, "score": score} for tempo, score in grid.candidates],
    }


def plot(source: ArrayLike | Envelope, grid: Grid, out: str | Path, *, config: TimingConfig | None = None) -> None:
    """Picture of a grid, as PNG at ``out``: tempo over the song, the sound folded bar by bar, and ten seconds close up.

    In the second panel every column is one bar from its downbeat upwards; a right grid shows level stripes, a wrong
    tempo slanting ones, and a change of tempo or a cut shows where it is.
    """
    try:
        from matplotlib.figure import Figure
    except ImportError as missing:
        raise MissingExtraError("matplotlib", extra="plot") from missing

    envelope = source if isinstance(source, Envelope) else onset_envelope(source, config=config)
    pulse = _pulse(envelope)
    figure = Figure(figsize=(12, 8), layout="constrained")
    tempo, folded, close = figure.subplots(3, 1, height_ratios=[1, 1.6, 1.2])
    end_s = max(envelope.duration_s, grid.offset_s + 1e-3)

    starts = [r[0] for r in grid.regions] + [end_s]
    speeds = [r[2] for r in grid.regions]
    tempo.step(starts, [*speeds, speeds[-1]], where="post", color="C3")
    margin = max(2.0, 0.1 * (max(speeds) - min(speeds)))
    tempo.set(xlim=(0, end_s), ylim=(min(speeds) - margin, max(speeds) + margin), ylabel="BPM")
    readings = ", ".join(f"{bpm:.2f} ({score:.2f})" for bpm, score in grid.candidates[:4])
    tempo.set_title(
        f"{grid.bpm:.3f} BPM, first beat at {grid.offset_s:.3f} s, {grid.metre} beats a bar, "
        f"confidence {grid.confidence:.2f}; readings {readings}",
        fontsize=10,
        loc="left",
    )

    if len(grid.downbeats_s) > 2:
        beat = grid.beat(pulse.time_s) - grid.beat(grid.downbeats_s[0]) + 0.25  # so that downbeats are not at an edge
        inside = (beat >= 0) & (beat < grid.metre * (len(grid.downbeats_s) - 1))
        row = (beat[inside] // grid.metre).astype(np.int64)
        place = (beat[inside] % grid.metre * 24).astype(np.int64)
        shape = (int(row.max()) + 1, grid.metre * 24)
        cell, size = row * shape[1] + place, shape[0] * shape[1]
        total = np.bincount(cell, weights=pulse.total[inside], minlength=size)
        picture = (total / np.maximum(np.bincount(cell, minlength=size), 1)).reshape(shape)
        folded.imshow(
            np.minimum(picture, np.percentile(picture, 99)).T,
            origin="lower",
            aspect="auto",
            cmap="magma",
            extent=(0.5, shape[0] + 0.5, -0.25, grid.metre - 0.25),
        )
    folded.set(xlabel="bar", ylabel="beat of the bar")

    middle = min(max(end_s / 2 - 5.0, 0.0), max(end_s - 10.0, 0.0))
    seen = (pulse.time_s >= middle) & (pulse.time_s < middle + 10.0)
    close.fill_between(pulse.time_s[seen], pulse.total[seen], color="0.7", lw=0)
    for times, color, width in ((grid.beats_s, "C0", 0.8), (grid.downbeats_s, "C3", 1.8)):
        for time_s in times[(times >= middle) & (times < middle + 10.0)]:
            close.axvline(time_s, color=color, lw=width)
    close.set(xlim=(middle, middle + 10.0), xlabel="s", ylabel="onset envelope", yticks=[])
    figure.savefig(out, format="png", dpi=100)
