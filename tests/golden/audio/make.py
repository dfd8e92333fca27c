"""Writes the sound files beside it, and tone.json that says what is in them.

    pip install av==18.1.0 numpy soundfile && python tests/golden/audio/make.py

No library of the tests can write AAC, and none of the core's tests anything but wav, so these are committed; the tests
need only the files. Each holds the same synthesised
clicks (short bursts of a 3 kHz sine under a Gaussian) at the sample positions `clicks_samples`. `late_samples` is how
much later they stand in what is decoded, because nothing in the file tells the encoder's delay.
"""

import json
import struct
from pathlib import Path

import av
import numpy as np
import soundfile

RATE_HZ = 22_050
SAMPLES = 12_345
CLICKS = [1_000, 4_321, 9_000]
PRIMING = 1_024
HERE = Path(__file__).parent


def clicks() -> np.ndarray:
    """The sound, float32 `[T]`."""
    at = np.arange(SAMPLES)
    wave = [np.cos((at - click) * 2 * np.pi * 3_000 / RATE_HZ) * np.exp(-(((at - click) / 8) ** 2)) for click in CLICKS]
    return (0.8 * np.sum(wave, axis=0)).astype(np.float32)


def write(name: str, container: str, codec: str, **options: str) -> Path:
    """Encodes the clicks into `name`."""
    path = HERE / name
    with av.open(str(path), "w", format=container, options=options) as out:
        stream = out.add_stream(codec, rate=RATE_HZ)
        stream.layout = "mono"
        stream.bit_rate = 64_000
        frame = av.AudioFrame.from_ndarray(clicks()[None], format="fltp", layout="mono")
        frame.sample_rate, frame.pts = RATE_HZ, 0
        resampler = av.AudioResampler(format=stream.format, layout="mono", rate=RATE_HZ)
        for part in [*resampler.resample(frame), None]:
            for packet in stream.encode(part):
                out.mux(packet)
    return path


def box(kind: bytes, payload: bytes) -> bytes:
    """One MP4 box."""
    return struct.pack(">I", 8 + len(payload)) + kind + payload


def add_itunes_comment(path: Path) -> None:
    """Appends an iTunSMPB comment to the moov box, which must be the last one."""
    padding = -(SAMPLES + PRIMING) % 1_024
    text = f" 00000000 {PRIMING:08X} {padding:08X} {SAMPLES:016X}" + " 00000000" * 8
    comment = box(b"mean", bytes(4) + b"com.apple.iTunes") + box(b"name", bytes(4) + b"iTunSMPB")
    comment += box(b"data", struct.pack(">II", 1, 0) + text.encode())
    handler = box(b"hdlr", bytes(8) + b"mdirappl" + bytes(9))
    udta = box(b"udta", box(b"meta", bytes(4) + handler + box(b"ilst", box(b"----", comment))))
    contents = path.read_bytes()
    at = contents.rindex(b"moov") - 4
    size = struct.unpack_from(">I", contents, at)[0]
    assert at + size == len(contents), "moov is the last box"
    path.write_bytes(contents[:at] + struct.pack(">I", size + len(udta)) + contents[at + 4 :] + udta)


def entry(
    kind: str, *, delay: int = 0, late: int = 0, samples: int = SAMPLES, end_tolerance: int = 0
) -> dict[str, object]:
    """What is true of one file."""
    return {
        "format": kind,
        "delay_samples": delay,
        "late_samples": late,
        "samples": samples,
        "end_tolerance_samples": end_tolerance,
    }


def main() -> None:
    """Writes everything."""
    write("tone.m4a", "ipod", "aac")
    write("tone-alac.m4a", "ipod", "alac")
    add_itunes_comment(write("tone-smpb.m4a", "ipod", "aac", use_editlist="0"))
    adts = write("tone.aac", "adts", "aac")
    frames = adts.read_bytes().count(b"\xff\xf1")
    for suffix, subtype in (("ogg", "VORBIS"), ("mp3", "MPEG_LAYER_III"), ("flac", "PCM_16")):
        soundfile.write(HERE / f"tone.{suffix}", clicks(), RATE_HZ, format=suffix.upper(), subtype=subtype)
    # An edit list counts in the movie's clock, which has 1000 ticks a second here.
    tick = RATE_HZ // 1_000 + 1
    files = {
        "tone.m4a": entry("m4a-aac", delay=PRIMING, end_tolerance=tick),
        "tone-smpb.m4a": entry("m4a-aac", delay=PRIMING),
        "tone-alac.m4a": entry("m4a-alac", end_tolerance=tick),
        "tone.ogg": entry("ogg-vorbis"),
        "tone.mp3": entry("mp3", delay=1_105),
        "tone.flac": entry("flac"),
        "tone.aac": entry("aac", late=PRIMING, samples=frames * 1_024),
    }
    truth = {"rate_hz": RATE_HZ, "clicks_samples": CLICKS, "files": files}
    (HERE / "tone.json").write_text(json.dumps(truth, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
