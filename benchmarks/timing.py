"""Tempo and phase of the grid estimator against truth, with a plain periodogram and librosa on the same songs.

    python benchmarks/timing.py [--shared ../shared] [--splits train val songs] [--librosa] [--failures]
    python benchmarks/timing.py --fit        # learn the weights in beatweaver.timing again and print them

Truth is (a) ``songs/``: annotated beats and downbeats, after ``suggested_shift_s``; (b) corpus maps with one tempo,
audio and ``passes_onset_check``. In 40 % of the maps beat 0 at t = 0 is *not* on the beat: older editors kept the
offset of the first beat beside the map (``_editorOffset``) and the notes carry it. So a map's phase is read from its
notes: at 0, else at the editor's offset, and only where 60 % of the notes lie on quarters of a beat from there.

Where a map itself is off is decided without the estimate. Of its tempo:
  out of phase the sound in blocks of 8 s, folded at the map's tempo: under 40 % of it agrees with the rest. A
               placeholder tempo, a medley, no steady tempo at all, or a tempo a little off
  notes fit    the map's notes, all stretched by one factor, fall on half as much onset again as they do unstretched:
               people place notes by ear, and so the notes tell the tempo that the map should have had
  notes' grid  the notes lie on quarters of the beat of another tempo and not of the map's, octaves forgiven
  another map  of the same song by someone else has half or double the tempo: the octave is a matter of taste
And of its phase:
  late notes   the onset envelope peaks more than 20 ms before or after the map's own notes
  half a beat  the map's own notes prefer the half beat to the beat, 1.25 to 1 or more
A row "by the notes" takes the tempo that the notes tell for the truth where they contradict the map.

Splits: weights were learnt on train and songs, thresholds chosen on train, val and songs. ``test`` is for the last run.
"""

from __future__ import annotations

import argparse
import hashlib
import io
import json
import os
import re
import sys
import tempfile
import time
import zipfile
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from beatweaver import timing

ROOT = Path(__file__).resolve().parents[1]
RATE_HZ = 22050


@dataclass
class Item:
    """A song with its truth; times in seconds."""

    name: str
    split: str
    audio: tuple[Path, str | None]
    bpm: float
    offset_s: float | None
    notes_beats: np.ndarray = field(default_factory=lambda: np.zeros(0))
    beats_s: np.ndarray | None = None
    downbeats_s: np.ndarray | None = None
    steady: bool = True
    lag_ms: float | None = None  # of the map's notes against the onsets, measured by the corpus's maker with other code
    others_bpm: tuple[float, ...] = ()  # what other people wrote for the same song


def read_json(raw: bytes) -> Any:
    """JSON as maps have it: a byte-order mark and trailing commas are forgiven."""
    return json.loads(re.sub(r",(\s*[\]}])", r"\1", raw.decode("utf-8-sig")))


def map_items(shared: Path, splits: set[str]) -> list[Item]:
    rows = json.loads((shared / "corpus/manifest.json").read_text())
    wanted = [r for r in rows if r["split"] in splits and r["passes_onset_check"] and r["bpm_changes"] == 0]
    return [replace(map_item(shared, r), others_bpm=tuple(o["bpm"] for o in others_of(r, rows))) for r in wanted]


def others_of(row: dict[str, Any], rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Rows of the same split with one tempo, the same title, an artist of the same first word, and another mapper."""

    def key(r: dict[str, Any]) -> tuple[str, str, str]:
        title = re.sub(r"\(.*?\)|\[.*?\]|feat.*|[^a-z0-9]", "", (r["song"] or "").lower())
        return r["split"], title, (re.findall(r"\w+", (r["song_author"] or "").lower()) or [""])[0]

    same = [r for r in rows if key(r) == key(row) and r["bpm"] and r["bpm_changes"] == 0]
    return [r for r in same if r["mapper"] != row["mapper"]]


def map_item(shared: Path, row: dict[str, Any]) -> Item:
    path = shared / "corpus" / row["file"]
    with zipfile.ZipFile(path) as pack:
        names = pack.namelist()
        info = read_json(pack.read(next(n for n in names if n.lower().endswith(("info.dat", "info.json")))))
        wanted = (row["onset_check"] or {"file": row["difficulties"][-1]["file"]})["file"]
        level = read_json(pack.read(next(n for n in names if n.endswith(wanted))))
        sound = next(n for n in names if n.lower().endswith((".egg", ".ogg", ".wav")))
    if "_notes" in level:
        beats = [n["_time"] for n in level["_notes"] if str(n.get("_type")) in ("0", "1")]
    else:
        beats = [n.get("b", 0.0) for n in level["colorNotes"]]
    notes = np.unique(np.array(beats, dtype=float))
    levels = [d for s in info.get("_difficultyBeatmapSets", []) for d in s["_difficultyBeatmaps"]]
    kept = [(d.get("_customData") or {}).get("_editorOffset") for d in levels]
    kept += [d.get("offset") for d in info.get("difficultyLevels", [])]
    bpm = float(row["bpm"])
    offsets = [0.0] + [ms / 1000.0 for ms in kept if ms]

    def share(offset_s: float) -> float:
        quarters = (notes - offset_s * bpm / 60.0) * 4.0
        return float(np.mean(np.abs(quarters - np.round(quarters)) < 0.08))

    best = max(offsets, key=share)
    lag_ms = row["onset_check"]["lag_ms"] if row["onset_check"] else None
    offset_s = best if share(best) >= 0.6 else None
    return Item(row["id"], row["split"], (path, sound), bpm, offset_s, notes, lag_ms=lag_ms)


def song_items(shared: Path) -> list[Item]:
    out = []
    for row in json.loads((shared / "songs/manifest.json").read_text()):
        folder = shared / "songs" / row["folder"]
        truth = json.loads((folder / "annotations.json").read_text())
        shift = row["suggested_shift_s"]
        tempi = truth["tempo_map"]
        steady = len({round(t["bpm"], 1) for t in tempi}) == 1
        out.append(
            Item(
                row["folder"],
                "songs",
                (folder / row["audio"], None),
                tempi[0]["bpm"],
                tempi[0]["time"] + shift if steady else None,
                beats_s=np.array(truth["beats"]) + shift,
                downbeats_s=np.array(truth["downbeats"]) + shift if truth.get("downbeats_reliable") else None,
                steady=steady,
            )
        )
    return out


def samples_of(item: Item, cache: Path) -> np.ndarray:
    """Mono samples at 22 050 Hz, kept as 16-bit in ``cache`` so that later runs need not decode."""
    path, member = item.audio
    kept = cache / f"{hashlib.sha256(str(path.name + path.parent.name).encode()).hexdigest()[:16]}.npy"
    if not kept.exists():
        import soundfile

        source: Any = path
        if member is not None:
            with zipfile.ZipFile(path) as pack:
                source = io.BytesIO(pack.read(member))
        audio, rate = soundfile.read(source, dtype="float32", always_2d=True)
        mono = audio.mean(axis=1)
        if rate != RATE_HZ:
            import librosa

            mono = librosa.resample(mono, orig_sr=rate, target_sr=RATE_HZ)
        cache.mkdir(parents=True, exist_ok=True)
        np.save(kept, np.clip(mono * 32767.0, -32768, 32767).astype(np.int16))
    return np.load(kept).astype(np.float32) / 32767.0


def tempo_doubts(item: Item, envelope: timing.Envelope) -> tuple[list[str], float]:
    """Reasons to think the map's tempo is off, from its notes and the sound, and the tempo its notes tell.

    The second is the map's own tempo where the notes do not contradict it. No estimate is used.
    """
    out, told_bpm = [], item.bpm
    pulse = timing._pulse(envelope)
    agreement = timing._agreement(pulse, pulse.time_s * item.bpm / 60.0, timing.TimingConfig())
    if agreement < 0.4:
        out.append(f"sound out of phase (only {100 * agreement:.0f}% agrees)")
    if len(item.notes_beats) >= 100:
        notes_s = item.notes_beats * 60.0 / item.bpm
        tempi = np.arange(52.0, 270.0, 0.02)
        turns = 8j * np.pi / 60.0 * (notes_s - notes_s.mean())
        grid = np.abs(np.exp(turns * tempi[:, None]).mean(axis=1))
        own = max(abs(np.exp(turns * item.bpm * k).mean()) for k in (0.5, 1.0, 2.0, 3.0))
        if own < 0.5 and grid.max() > 0.9 and tempo_class(tempi[grid.argmax()], item.bpm) not in ("half", "double"):
            told_bpm = float(tempi[grid.argmax()])
            out.append(f"notes lie on the grid of {told_bpm:.2f} ({grid.max():.2f} against {own:.2f})")
        else:
            stretch, gain = best_stretch(notes_s, pulse)
            if gain > 1.5 and abs(stretch - 1.0) > 5e-4:  # half of what counts as the right tempo
                told_bpm = item.bpm * stretch
                out.append(f"notes fit the sound at {told_bpm:.2f} ({gain:.1f} times better)")
    return out, told_bpm


def best_stretch(notes_s: np.ndarray, pulse: timing._Pulse) -> tuple[float, float]:
    """By how much faster (ratio, 0.6 % at most) notes (N,) meet most onset, and how many times what they do as given.

    A shift of up to 120 ms is free. Ratio 1 where even the best puts less than twice the mean level on the notes.
    """
    level = np.convolve(pulse.total / pulse.total.mean(), [0.25, 0.5, 0.25], "same")
    middle_s = (notes_s[0] + notes_s[-1]) / 2.0
    ratios = 1.0 + np.arange(-120, 121) * 5e-5
    lags_s = np.arange(-20, 21) * 0.006
    met = np.empty(len(ratios))
    for i, ratio in enumerate(ratios):
        times_s = middle_s + (notes_s - middle_s)[:, None] / ratio + lags_s
        met[i] = np.interp(times_s, pulse.time_s, level).mean(axis=0).max()
    best = int(met.argmax())
    return (float(ratios[best]), float(met[best] / met[len(met) // 2])) if met[best] > 2.0 else (1.0, 1.0)


def phase_doubts(item: Item, envelope: timing.Envelope) -> list[str]:
    """Reasons to think the map's beats are off, from its notes and the sound; no estimate is used."""
    out = []
    flux = envelope.flux.sum(axis=1)
    lags = np.arange(-0.060, 0.0601, 0.002)
    frames = (item.notes_beats[:, None] * 60.0 / item.bpm + lags - envelope.start_s) * envelope.rate_hz
    height = np.interp(frames, np.arange(len(flux)), flux).mean(axis=0)
    late_ms = 1000.0 * float(lags[np.argmax(height)])
    if abs(late_ms) > 20.0:
        out.append(f"notes {'before' if late_ms > 0 else 'after'} onsets by {abs(late_ms):.0f} ms")
    if item.offset_s is None:
        out.append("notes off any grid")
    else:
        quarter = np.round((item.notes_beats - item.offset_s * item.bpm / 60.0) * 4.0) % 4
        on, half = int((quarter == 0).sum()), int((quarter == 2).sum())
        if half > 1.25 * on:
            out.append(f"notes prefer the half beat ({half}:{on})")
    return out


def octave_doubts(item: Item) -> list[str]:
    """What other people wrote for the same song, where that is another octave."""
    other = sorted({b for b in item.others_bpm if tempo_class(b, item.bpm) in ("half", "double")})
    return [f"another mapper wrote {b:g}" for b in other]


READINGS = (("half", 0.5), ("double", 2.0), ("2:3", 2 / 3), ("3:2", 1.5), ("3:4", 0.75), ("4:3", 4 / 3))


def tempo_class(bpm: float, true_bpm: float) -> str:
    ratio = bpm / true_bpm
    if abs(ratio - 1) < 0.001:
        return "right"
    for name, reading in READINGS:
        if abs(ratio / reading - 1) < 0.001:
            return name
    return "1%" if abs(ratio - 1) < 0.01 else "wrong"


def phase_error_s(beats_s: np.ndarray, item: Item, reading: str) -> tuple[float, float] | None:
    """Signed mean error of the beats against the nearest true beat, and against the nearest true half beat."""
    if item.offset_s is None or reading not in ("right", "half", "double") or not len(beats_s):
        return None
    beat_s = 60.0 / item.bpm
    out = []
    for unit in (beat_s / 2.0 if reading == "double" else beat_s, beat_s / 2.0):
        turn = np.exp(2j * np.pi * (beats_s - item.offset_s) / unit).mean()
        out.append(float(np.angle(turn) / (2 * np.pi) * unit))
    return out[0], out[1]


def plain_tempo(envelope: timing.Envelope) -> float:
    """Tempo by the plainest means: spectrum of the onset envelope at 1, 2 and 4 times the beat, log-normal prior.

    Multiples and prior (centre 140 BPM, 0.6 octaves) are the best of 12 tried on train, val and songs.
    """
    flux = envelope.flux.sum(axis=1, dtype=np.float64)
    size = 1 << 21
    spectrum = np.abs(np.fft.rfft(flux - flux.mean(), size))
    hz = np.arange(len(spectrum)) * envelope.rate_hz / size
    bpm = np.arange(52.0, 270.0, 0.01)
    comb = np.interp(bpm[:, None] / 60.0 * np.array([1.0, 2.0, 4.0]), hz, spectrum).sum(axis=1)
    return float(bpm[np.argmax(comb * np.exp(-0.5 * (np.log2(bpm / 140.0) / 0.6) ** 2))])


def librosa_beats(audio: np.ndarray) -> tuple[float, np.ndarray]:
    import librosa

    tempo, frames = librosa.beat.beat_track(y=audio, sr=RATE_HZ)
    return float(np.atleast_1d(tempo)[0]), librosa.frames_to_time(frames, sr=RATE_HZ)


def even_tempo(beats_s: np.ndarray) -> float:
    """Tempo of the straight line through the beats: what a user of a beat tracker would do for a better figure."""
    return 60.0 / float(np.polyfit(np.arange(len(beats_s)), beats_s, 1)[0]) if len(beats_s) > 2 else 1.0


def measure(item: Item, bpm: float, beats_s: np.ndarray, downbeats_s: np.ndarray | None) -> dict[str, Any]:
    out: dict[str, Any] = {"bpm": bpm, "reading": tempo_class(bpm, item.bpm)}
    error = phase_error_s(beats_s, item, out["reading"])
    if error:
        out["phase_ms"], out["phase_half_ms"] = 1000.0 * error[0], 1000.0 * error[1]
    if item.beats_s is not None:
        import mir_eval

        trim = mir_eval.beat.trim_beats
        out["beat_f"] = mir_eval.beat.f_measure(trim(item.beats_s), trim(beats_s))
        if item.downbeats_s is not None and downbeats_s is not None:
            out["downbeat_f"] = mir_eval.beat.f_measure(trim(item.downbeats_s), trim(downbeats_s))
    return out


def share(part: int, whole: int) -> str:
    return f"{part:3d} {100 * part / max(whole, 1):4.0f}%"


def table(title: str, results: list[dict[str, Any]]) -> None:
    n = len(results)
    names = [name for name, _ in READINGS]
    count = {r: sum(x["reading"] == r for x in results) for r in ["right", "1%", "wrong", *names]}
    octave = count["half"] + count["double"]
    error = np.abs([x["phase_ms"] for x in results if "phase_ms" in x])
    half = np.abs([x["phase_half_ms"] for x in results if "phase_ms" in x])
    line = f"{title:44s} n {n:3d} | 0.1% {share(count['right'], n)} | half, double {share(octave, n)}"
    line += f" | 2:3 and kin {share(sum(count[name] for name in names) - octave, n)} | 1% {share(count['1%'], n)}"
    line += f" | wrong {share(count['wrong'], n)} | 0.1% up to the octave {share(count['right'] + octave, n)}"
    if len(error):
        spread = np.percentile(error, [50, 90]), np.percentile(half, [50, 90])
        line += f" | phase n {len(error):3d} median {spread[0][0]:4.1f} p90 {spread[0][1]:5.1f} ms"
        line += f" (to the half beat {spread[1][0]:4.1f} {spread[1][1]:5.1f})"
    for key, name in (("beat_f", "beat F"), ("downbeat_f", "downbeat F")):
        values = [x[key] for x in results if key in x]
        if values:
            line += f" | {name} {np.mean(values):.3f}"
    print(line)


def own_lag(results: list[dict[str, Any]]) -> None:
    """How much of the phase error is the map's own: against the lag of its notes measured by other code."""
    rows = [r for r in results if r.get("lag_ms") is not None and abs(r.get("phase_half_ms", 99.0)) < 60.0]
    if len(rows) > 5:
        lag, error = np.array([r["lag_ms"] for r in rows]), np.array([r["phase_half_ms"] for r in rows])
        rest = np.abs(error - lag - np.median(error - lag))
        print(
            f"\nphase error (to the half beat) against the manifest's lag of the notes: correlation "
            f"{np.corrcoef(lag, error)[0, 1]:.2f} over {len(rows)} maps; what the lag leaves: "
            f"median {np.median(rest):.1f}, p90 {np.percentile(rest, 90):.1f} ms"
        )


def people(shared: Path) -> None:
    """How far two people agree on the tempo of one song: pairs of maps of train by different mappers."""
    rows = [r for r in json.loads((shared / "corpus/manifest.json").read_text()) if r["split"] == "train" and r["bpm"]]
    steady = [r for r in rows if r["bpm_changes"] == 0]
    pairs = {
        tuple(sorted((r["id"], o["id"]))): tempo_class(r["bpm"], o["bpm"]) for r in steady for o in others_of(r, rows)
    }
    found = list(pairs.values())
    octave = found.count("half") + found.count("double")
    print(f"\ntwo people, one song: {len(found)} pairs, same tempo {found.count('right')}, half or double {octave}")


def calibration(results: list[dict[str, Any]]) -> None:
    """Confidence against being right, where the map gives no cause for doubt and everywhere."""
    print("\nconfidence      songs  mean confidence  right tempo and within 40 ms")
    for low, high in ((0.0, 0.4), (0.4, 0.7), (0.7, 0.9), (0.9, 1.01)):
        part = [x for x in results if low <= x["confidence"] < high]
        if part:
            good = [x["reading"] == "right" and abs(x.get("phase_ms", 0.0)) < 40.0 for x in part]
            mean = np.mean([x["confidence"] for x in part])
            print(f"  {low:.1f}-{min(high, 1.0):.1f}   {len(part):8d}  {mean:10.2f}  {np.mean(good):18.2f}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    default = Path(os.environ.get("BEATWEAVER_CORPUS", ROOT.parent / "shared"))
    parser.add_argument("--shared", type=Path, default=default)
    parser.add_argument("--cache", type=Path, default=Path(tempfile.gettempdir()) / "beatweaver-timing")
    parser.add_argument(
        "--splits", nargs="+", default=["train", "val", "songs"], choices=["train", "val", "test", "songs"]
    )
    parser.add_argument("--librosa", action="store_true", help="librosa's beat_track beside")
    parser.add_argument("--failures", action="store_true", help="list every song that is not right, with the reason")
    parser.add_argument(
        "--fit", action="store_true", help="learn the weights again from train and songs, and print them"
    )
    parser.add_argument("--json", type=Path, help="write every result here")
    args = parser.parse_args()
    if not (args.shared / "corpus/manifest.json").exists():
        sys.exit(f"no corpus at {args.shared}: give --shared or set BEATWEAVER_CORPUS")
    items = map_items(args.shared, set(args.splits) - {"songs"})
    items += song_items(args.shared) if "songs" in args.splits else []
    if args.fit:
        import timing_fit

        timing_fit.fit(args.shared, items, args.cache)
        return
    results: list[dict[str, Any]] = []
    peers: list[dict[str, Any]] = []
    seconds = {"audio": 0.0, "ours": 0.0, "librosa": 0.0}
    plain: list[dict[str, Any]] = []
    fitted: list[dict[str, Any]] = []
    for item in items:
        audio = samples_of(item, args.cache)
        began = time.process_time()
        envelope = timing.onset_envelope(audio)
        grid = timing.estimate_grid(envelope)
        seconds["ours"] += time.process_time() - began
        seconds["audio"] += len(audio) / RATE_HZ
        of_tempo, told_bpm = tempo_doubts(item, envelope) if item.beats_s is None else ([], item.bpm)
        of_phase = phase_doubts(item, envelope) if item.beats_s is None else []
        about = {"name": item.name, "split": item.split, "true_bpm": item.bpm, "steady": item.steady}
        about |= {"tempo_doubts": of_tempo, "phase_doubts": of_phase, "octave_doubts": octave_doubts(item)}
        about |= {"told_bpm": told_bpm, "lag_ms": item.lag_ms}
        found = measure(item, grid.bpm, grid.beats_s, grid.downbeats_s)
        found |= {"confidence": grid.confidence, "metre": grid.metre, "regions": len(grid.regions)}
        found["candidates"] = grid.candidates[:3]
        results.append(about | found)
        plain.append(about | measure(item, plain_tempo(envelope), np.zeros(0), None))
        if args.librosa:
            began = time.process_time()
            tempo, beats_s = librosa_beats(audio)
            seconds["librosa"] += time.process_time() - began
            peers.append(about | measure(item, tempo, beats_s, None))
            fitted.append(about | measure(item, even_tempo(beats_s), beats_s, None))
    everyone = (
        ("beatweaver", results),
        ("plain periodogram", plain),
        ("librosa", peers),
        ("librosa, line fit", fitted),
    )
    for split in args.splits:
        for who, rows in everyone:
            mine = [r for r in rows if r["split"] == split]
            steady, changing = [r for r in mine if r["steady"]], [r for r in mine if not r["steady"]]
            for title, part in (("", steady), (", changing tempo", changing)):
                if part:
                    table(f"{split}{title}: {who}", part)
            if steady and split != "songs":
                told = [r | {"reading": tempo_class(r["bpm"], r["told_bpm"])} for r in steady]
                table(f"{split}, by the notes: {who}", told)
                table(f"{split}, tempo not in doubt: {who}", [r for r in steady if not r["tempo_doubts"]])
                surely = [r for r in steady if not r["tempo_doubts"] + r["phase_doubts"]]
                table(f"{split}, nor phase: {who}", surely)
    own_lag(results)
    people(args.shared)
    calibration([r for r in results if not r["tempo_doubts"] + r["phase_doubts"] and r["steady"]])
    ours, theirs = (240 * seconds[k] / seconds["audio"] for k in ("ours", "librosa"))
    print(f"\n{seconds['audio'] / 60:.0f} minutes of audio, CPU for 4 minutes: beatweaver {ours:.2f} s", end="")
    print(f", librosa beat_track {theirs:.2f} s" if args.librosa else "")
    if args.failures:
        print("\nnot right, or more than 25 ms off:")
        for r in results:
            if r["reading"] != "right" or abs(r.get("phase_ms", 0.0)) > 25.0:
                phase = f"{r['phase_ms']:+7.1f} ms ({r['phase_half_ms']:+6.1f})" if "phase_ms" in r else " " * 20
                print(
                    f"  {r['split']:5s} {r['name'][:44]:44s} true {r['true_bpm']:7.2f} found {r['bpm']:8.3f} "
                    f"{r['reading']:6s} {phase} confidence {r['confidence']:.2f} regions {r['regions']:2d} | "
                    f"{'; '.join(r['tempo_doubts'] + r['octave_doubts'] + r['phase_doubts']) or 'no doubt of the map'}"
                )
    if args.json:
        args.json.write_text(json.dumps(results, indent=1))


if __name__ == "__main__":
    main()
