"""Decode and feature speed on real songs, against soundfile and librosa doing the same work in the same run.

    python benchmarks/audio.py [--shared FOLDER] [--songs N] [--rounds N] [--hop N]

All figures are processor seconds of one process with one thread of BLAS, so that libraries which start threads neither
gain by it nor lose what threads spend in waiting; each song's figure is the best of the rounds. `decode` is bytes to
mono at the file's own rate, `+resample` goes to 22.05 kHz, `+features` adds log-mel, onset strength and four band
fluxes. Last, the composed song is made and encoded.
"""

import argparse
import io
import itertools
import os
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import librosa
import numpy as np
import soundfile
from threadpoolctl import threadpool_limits

from beatweaver import _native, audio, demo
from beatweaver.config import AudioConfig

AUDIO = AudioConfig()
RATE_HZ = AUDIO.sample_rate_hz


def best(work: Callable[[], object], rounds: int) -> float:
    """Least processor seconds that `work` took."""
    seconds = []
    for _ in range(rounds):
        start = time.process_time()
        work()
        seconds.append(time.process_time() - start)
    return min(seconds)


def peer_decode(path: Path) -> tuple[np.ndarray, int]:
    """Mono samples at the file's rate by soundfile."""
    samples, rate_hz = soundfile.read(path, dtype="float32", always_2d=True)
    return samples.mean(axis=1), rate_hz


def peer_resampled(path: Path) -> np.ndarray:
    """Mono samples at 22.05 kHz by soundfile and soxr, as librosa.load does."""
    samples, rate_hz = peer_decode(path)
    return librosa.resample(samples, orig_sr=rate_hz, target_sr=RATE_HZ)


def peer_features(path: Path, hop: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Log-mel, onset strength and band fluxes by librosa."""
    samples = peer_resampled(path)
    mel = librosa.feature.melspectrogram(y=samples, sr=RATE_HZ, n_fft=2048, hop_length=hop, n_mels=80)
    mel_db = librosa.power_to_db(mel)
    onset = librosa.onset.onset_strength(S=mel_db, sr=RATE_HZ, hop_length=hop)
    centres_hz = librosa.mel_frequencies(82, fmin=0.0, fmax=RATE_HZ / 2)[1:-1]
    edges = np.searchsorted(centres_hz, AUDIO.band_edges_hz)
    slices = [slice(int(low), int(high)) for low, high in itertools.pairwise(edges)]
    bands = librosa.onset.onset_strength_multi(S=mel_db, sr=RATE_HZ, hop_length=hop, channels=slices)
    return mel_db, onset, bands


def peer_encoded(song: demo.DemoSong) -> None:
    """The song as Vorbis by libsndfile and libvorbis."""
    file = io.BytesIO()
    with soundfile.SoundFile(file, "w", song.sample_rate_hz, 2, "VORBIS", format="OGG", compression_level=0.5) as out:
        for start in range(0, len(song.samples), 1 << 16):  # it overflows its stack with a whole song at once
            out.write(song.samples[start : start + (1 << 16)])


def measure_song(rounds: int) -> None:
    """Prints how many times real time it takes to make the file of a level."""
    song = demo.compose()
    ogg = song.ogg()
    seconds = len(song.samples) / song.sample_rate_hz
    works: dict[str, Callable[[], object]] = {
        "compose": demo.compose,
        "encode": song.ogg,
        "encode by libsndfile": lambda: peer_encoded(song),
        "prepare, copied": lambda: audio.prepare(ogg),
        "prepare, encoded": lambda: audio.prepare(ogg, pad_s=0.1),
    }
    for name, work in works.items():
        took = best(work, rounds)
        print(f"{name:34} {took:7.3f} s for {seconds:.1f} s of song, {seconds / took:.0f} x real time")


def main() -> int:
    """Prints the table; returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--shared", type=Path, default=Path(os.environ.get("BEATWEAVER_CORPUS", "../shared")))
    parser.add_argument("--songs", type=int, default=12)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--hop", type=int, default=512)
    options = parser.parse_args()
    found = sorted(options.shared.glob("music/*")) + sorted(options.shared.glob("songs/*/audio.*"))
    paths = found[: options.songs]
    if not paths:
        print(f"no songs in {options.shared}, expected music/* or songs/*/audio.*", file=sys.stderr)
        return 1

    threadpool_limits(1)
    hop, rounds = options.hop, options.rounds
    spec = replace(AUDIO, hop=hop).canonical()
    peer_features(paths[0], hop)  # librosa imports and compiles on its first call
    totals = np.zeros(6)
    kinds: dict[str, np.ndarray] = {}
    audio_seconds = 0.0
    print(f"{len(paths)} songs, load average {os.getloadavg()[0]:.1f}")
    print(f"{'song':34} {'seconds':>7}  {'native decode':>13} {'+resample':>9} {'+features':>9}", end="")
    print(f"  {'peer decode':>11} {'+resample':>9} {'+features':>9}  {'ratio':>5}")
    for path in paths:
        rate_hz = soundfile.info(path).samplerate

        def native_features(path: Path = path) -> object:
            return _native.features(_native.decode_audio(path, sample_rate_hz=RATE_HZ), spec)

        row = np.array(
            [
                best(lambda path=path, rate_hz=rate_hz: _native.decode_audio(path, sample_rate_hz=rate_hz), rounds),
                best(lambda path=path: _native.decode_audio(path, sample_rate_hz=RATE_HZ), rounds),
                best(native_features, rounds),
                best(lambda path=path: peer_decode(path), rounds),
                best(lambda path=path: peer_resampled(path), rounds),
                best(lambda path=path: peer_features(path, hop), rounds),
            ]
        )
        seconds = soundfile.info(path).duration
        totals += row
        kinds[path.suffix] = kinds.get(path.suffix, np.zeros(6)) + row
        audio_seconds += seconds
        name = path.name if path.parent.name == "music" else path.parent.name
        print(f"{name[:34]:34} {seconds:7.1f}  {row[0]:13.3f} {row[1]:9.3f} {row[2]:9.3f}", end="")
        print(f"  {row[3]:11.3f} {row[4]:9.3f} {row[5]:9.3f}  {row[5] / row[2]:5.2f}")
    print(f"{'total':34} {audio_seconds:7.1f}  {totals[0]:13.3f} {totals[1]:9.3f} {totals[2]:9.3f}", end="")
    print(f"  {totals[3]:11.3f} {totals[4]:9.3f} {totals[5]:9.3f}  {totals[5] / totals[2]:5.2f}")
    print(f"native decode + features = {totals[2] / totals[1]:.2f} x native decode to 22.05 kHz", end="")
    print(
        f", {totals[2] / totals[0]:.2f} x native decode at the file's rate, {audio_seconds / totals[2]:.0f} x real time"
    )
    print(f"soundfile + librosa take {totals[5] / totals[2]:.2f} x as long", end="")
    print("".join(f", {suffix} {row[5] / row[2]:.2f} x" for suffix, row in sorted(kinds.items())))
    measure_song(rounds)
    return 0


if __name__ == "__main__":
    sys.exit(main())
