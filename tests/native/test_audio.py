"""Decoding and features against soundfile, soxr and librosa.

The oracles read the same bytes with other people's code: libsndfile (with libvorbis, libFLAC and mpg123 inside) for
samples, soxr for resampling, librosa for every feature.
"""

import itertools
import json
import os
import struct
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import librosa
import numpy as np
import pytest
import soxr
from numpy.typing import NDArray
from sounds import encode, ogg_crc, ogg_pages, oracle, tone

from beatweaver import _native
from beatweaver.config import AudioConfig
from beatweaver.errors import AudioError, ConfigError, LimitError

Samples = NDArray[np.float32]

REPOSITORY = Path(__file__).resolve().parents[2]
SHARED = Path(os.environ.get("BEATWEAVER_CORPUS", REPOSITORY / ".." / "shared"))
GOLDEN = REPOSITORY / "tests" / "golden" / "audio"
RATE_HZ = 22_050
RATES_HZ = [8_000, 11_025, 16_000, 22_050, 24_000, 32_000, 44_100, 48_000, 88_200, 96_000, 176_400, 192_000]
# Decoders differ from one another by rounding alone.
TOLERANCE = 1e-5
# libsndfile ends up to one block early where the first page's granule position is not the number of samples before it.
OGG_TAIL_SAMPLES = 1_024


def worst(a: NDArray[Any], b: NDArray[Any]) -> float:
    """Largest difference over the length both have."""
    length = min(len(a), len(b))
    return float(np.abs(a[:length] - b[:length]).max(initial=0.0))


def last_granule(ogg: bytes) -> int:
    """Granule position of the last page: by the format's definition, the length of the song in samples."""
    return int(struct.unpack_from("<q", ogg, ogg.rindex(b"OggS") + 6)[0])


# Decoding ------------------------------------------------------------------------------------------------------------


def can_write(rate_hz: int, channels: int, container: str) -> bool:
    """Whether libsndfile can write this and our decoder promises to read it."""
    if container == "MP3":
        return rate_hz <= 48_000 and channels <= 2
    return True


@pytest.mark.parametrize(
    ("container", "subtype"),
    [
        ("WAV", "PCM_U8"),
        ("WAV", "PCM_16"),
        ("WAV", "PCM_24"),
        ("WAV", "PCM_32"),
        ("WAV", "FLOAT"),
        ("WAV", "DOUBLE"),
        ("WAV", "ALAW"),
        ("WAV", "ULAW"),
        ("WAVEX", "PCM_24"),
        ("FLAC", "PCM_16"),
        ("FLAC", "PCM_24"),
        ("OGG", "VORBIS"),
        ("MP3", "MPEG_LAYER_III"),
    ],
)
@pytest.mark.parametrize("rate_hz", RATES_HZ)
def test_every_format_rate_and_channel_count_decodes_as_libsndfile_does(
    container: str, subtype: str, rate_hz: int
) -> None:
    for channels in range(1, 9):
        if not can_write(rate_hz, channels, container):
            continue
        file = encode(tone(rate_hz, channels, 0.3), rate_hz, container, subtype)
        expected, _ = oracle(file)
        samples, info = _native.decode_audio_with_info(file, sample_rate_hz=rate_hz)
        assert samples.dtype == np.float32
        assert len(samples) == len(expected), channels
        assert worst(samples, expected) < TOLERANCE, channels
        assert (info["source_rate_hz"], info["channels"]) == (rate_hz, channels)
        assert info["seconds"] == pytest.approx(len(samples) / rate_hz)
        assert info["warnings"] == []


@pytest.mark.parametrize("seconds", [0.0001, 0.001, 0.01, 0.05])
@pytest.mark.parametrize(
    ("container", "subtype"), [("WAV", "PCM_16"), ("FLAC", "PCM_16"), ("OGG", "VORBIS"), ("MP3", "MPEG_LAYER_III")]
)
def test_very_short_files_keep_every_sample(container: str, subtype: str, seconds: float) -> None:
    file = encode(tone(44_100, 2, seconds), 44_100, container, subtype)
    expected, _ = oracle(file)
    samples = _native.decode_audio(file, sample_rate_hz=44_100)
    assert len(samples) == len(expected) == int(44_100 * seconds)
    assert worst(samples, expected) < TOLERANCE


def test_path_and_bytes_give_the_same_samples(tmp_path: Path) -> None:
    file = encode(tone(44_100, 2, 1.0), 44_100, "OGG", "VORBIS")
    # The suffix lies: the contents decide.
    path = tmp_path / "söng with spaces.mp3"
    path.write_bytes(file)
    np.testing.assert_array_equal(_native.decode_audio(path), _native.decode_audio(file))
    np.testing.assert_array_equal(_native.decode_audio(str(path)), _native.decode_audio(file))


@pytest.mark.parametrize(
    "name", ["tone.m4a", "tone.aac", "tone-alac.m4a", "tone-smpb.m4a", "tone.ogg", "tone.mp3", "tone.flac"]
)
def test_every_codec_starts_with_the_first_sample_of_the_sound(name: str) -> None:
    # tests/golden/audio/make.py wrote these and says what is in them: a click track of known times.
    truth = json.loads((GOLDEN / "tone.json").read_text(encoding="utf-8"))
    samples, info = _native.decode_audio_with_info(GOLDEN / name, sample_rate_hz=truth["rate_hz"])
    expected = truth["files"][name]
    assert (info["format"], info["trimmed_start_samples"]) == (expected["format"], expected["delay_samples"])
    assert abs(len(samples) - expected["samples"]) <= expected["end_tolerance_samples"]
    for click in truth["clicks_samples"]:
        at = click + expected["late_samples"]
        window = np.abs(samples[at - 200 : at + 200])
        assert abs(int(window.argmax()) - 200) <= 1


def move_granules(ogg: bytes, samples: int, pages: set[int] | None = None) -> bytes:
    """The file with the granule positions of `pages` (all that have one) moved by `samples`."""
    out = b""
    for number, page in enumerate(ogg_pages(ogg)):
        granule = struct.unpack_from("<q", page, 6)[0]
        if granule > 0 and (pages is None or number in pages):
            struct.pack_into("<q", page, 6, granule + samples)
            page[22:26] = bytes(4)
            page[22:26] = struct.pack("<I", ogg_crc(page))
        out += bytes(page)
    return out


@pytest.mark.parametrize("cut", [1, 100, 1_000, 11_000])
def test_vorbis_samples_before_granule_zero_are_cut(cut: int) -> None:
    whole = encode(tone(44_100, 2, 2.0), 44_100, "OGG", "VORBIS")
    expected = _native.decode_audio(whole, sample_rate_hz=44_100)
    samples, info = _native.decode_audio_with_info(move_granules(whole, -cut), sample_rate_hz=44_100)
    np.testing.assert_array_equal(samples, expected[cut:])
    assert info["trimmed_start_samples"] == cut


@pytest.mark.parametrize("late", [1, 500, 1_000_000])
def test_vorbis_that_starts_late_has_no_silence_put_before_it(late: int) -> None:
    whole = encode(tone(44_100, 2, 2.0), 44_100, "OGG", "VORBIS")
    moved = move_granules(whole, late)
    samples, info = _native.decode_audio_with_info(moved, sample_rate_hz=44_100)
    np.testing.assert_array_equal(samples, _native.decode_audio(whole, sample_rate_hz=44_100))
    assert worst(samples, oracle(moved)[0]) < TOLERANCE
    assert info["trimmed_start_samples"] == 0


@pytest.mark.parametrize("cut", [1, 100, 700])
def test_vorbis_samples_behind_the_last_granule_are_cut(cut: int) -> None:
    whole = encode(tone(44_100, 2, 2.0), 44_100, "OGG", "VORBIS")
    last = len(list(ogg_pages(whole))) - 1
    moved = move_granules(whole, -cut, {last})
    samples = _native.decode_audio(moved, sample_rate_hz=44_100)
    expected, _ = oracle(moved)
    assert len(samples) == len(expected) == last_granule(moved)
    assert worst(samples, expected) < TOLERANCE


def test_a_careless_granule_in_the_middle_costs_no_sample() -> None:
    whole = encode(tone(44_100, 2, 2.0), 44_100, "OGG", "VORBIS")
    moved = move_granules(whole, -200, {4})
    samples, info = _native.decode_audio_with_info(moved, sample_rate_hz=44_100)
    np.testing.assert_array_equal(samples, _native.decode_audio(whole, sample_rate_hz=44_100))
    assert info["warnings"] == []


def test_chained_ogg_is_one_song() -> None:
    first, second = (encode(tone(44_100, 2, 1.0, seed=seed), 44_100, "OGG", "VORBIS") for seed in (1, 2))
    joined = np.concatenate([_native.decode_audio(part, sample_rate_hz=44_100) for part in (first, second)])
    np.testing.assert_array_equal(_native.decode_audio(first + second, sample_rate_hz=44_100), joined)

    other_rate = encode(tone(32_000, 2, 1.0), 32_000, "OGG", "VORBIS")
    samples, info = _native.decode_audio_with_info(first + other_rate, sample_rate_hz=44_100)
    np.testing.assert_array_equal(samples, _native.decode_audio(first, sample_rate_hz=44_100))
    assert [rule for rule, _ in info["warnings"]] == ["rate-change"]


def test_mp3_without_its_tag_keeps_the_encoder_delay_as_players_do() -> None:
    whole = encode(tone(44_100, 2, 2.0), 44_100, "MP3", "MPEG_LAYER_III")
    tagged, info = _native.decode_audio_with_info(whole, sample_rate_hz=44_100)
    assert info["trimmed_start_samples"] == 1_105  # LAME's 576, and 529 of every decoder
    bare, info = _native.decode_audio_with_info(whole[whole.index(b"\xff\xfb", 4) :], sample_rate_hz=44_100)
    assert info["trimmed_start_samples"] == 0
    assert len(bare) % 1_152 == 0
    assert worst(bare[1_105:], tagged) < TOLERANCE


def test_mp3_recorded_from_its_middle_keeps_its_frames_in_time() -> None:
    whole = encode(tone(44_100, 2, 3.0), 44_100, "MP3", "MPEG_LAYER_III")
    bare = whole[whole.index(b"\xff\xfb", 4) :]
    expected = _native.decode_audio(bare, sample_rate_hz=44_100)
    # The first frames need bits of frames that are not there: they are silent, and the others stay where they are.
    samples, info = _native.decode_audio_with_info(
        bare[bare.index(b"\xff\xfb", len(bare) // 2) :], sample_rate_hz=44_100
    )
    assert (len(expected) - len(samples)) % 1_152 == 0
    assert 0.3 * len(expected) < len(samples) < 0.7 * len(expected)
    assert worst(samples[-40_000:], expected[-40_000:]) < TOLERANCE
    assert info["warnings"] == []


@pytest.mark.parametrize("padding", [b"\0" * 1_000, b"ID3\x03\0\0\0\0\x02\x01" + b"\0" * 257])
def test_mp3_is_found_behind_tags_and_junk(padding: bytes) -> None:
    whole = encode(tone(44_100, 2, 1.0), 44_100, "MP3", "MPEG_LAYER_III")
    expected = _native.decode_audio(whole)
    np.testing.assert_array_equal(_native.decode_audio(padding + whole), expected)
    np.testing.assert_array_equal(_native.decode_audio(whole + b"TAG" + b"\0" * 125), expected)


# Damage --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("container", "subtype"), [("WAV", "PCM_16"), ("FLAC", "PCM_16"), ("OGG", "VORBIS"), ("MP3", "MPEG_LAYER_III")]
)
def test_a_truncated_file_gives_its_sound_part_and_a_warning(container: str, subtype: str) -> None:
    whole = encode(tone(44_100, 2, 3.0), 44_100, container, subtype)
    expected = _native.decode_audio(whole, sample_rate_hz=44_100)
    samples, info = _native.decode_audio_with_info(whole[: len(whole) * 6 // 10], sample_rate_hz=44_100)
    assert 0.3 * len(expected) < len(samples) < 0.7 * len(expected)
    assert worst(samples, expected) < TOLERANCE
    assert [rule for rule, _ in info["warnings"]] == ["truncated"]


@pytest.mark.parametrize(("container", "subtype"), [("FLAC", "PCM_16"), ("MP3", "MPEG_LAYER_III")])
def test_what_follows_damage_stays_in_time(container: str, subtype: str) -> None:
    whole = bytearray(encode(tone(44_100, 2, 3.0), 44_100, container, subtype))
    expected = _native.decode_audio(bytes(whole), sample_rate_hz=44_100)
    middle = len(whole) // 2
    # Past the sync words, so that frames stay frames and are lost by their contents.
    whole[middle + 40 : middle + 60] = bytes(byte ^ 0x5A for byte in whole[middle + 40 : middle + 60])
    samples, info = _native.decode_audio_with_info(bytes(whole), sample_rate_hz=44_100)
    assert len(samples) == len(expected)
    assert worst(samples[:40_000], expected[:40_000]) < TOLERANCE
    assert worst(samples[-40_000:], expected[-40_000:]) < TOLERANCE
    if container == "FLAC":  # each frame has a checksum; an mp3 frame may decode to noise without notice
        assert [rule for rule, _ in info["warnings"]] == ["damaged"]


@pytest.mark.parametrize("length", [0, 10**9, 2**32 - 1])
def test_a_wav_header_that_lies_does_not_hide_the_sound(length: int) -> None:
    whole = bytearray(encode(tone(44_100, 1, 1.0), 44_100, "WAV", "PCM_16"))
    expected = _native.decode_audio(bytes(whole))
    at = whole.index(b"data") + 4
    whole[at : at + 4] = struct.pack("<I", length)
    samples, info = _native.decode_audio_with_info(bytes(whole))
    np.testing.assert_array_equal(samples, expected)
    assert [rule for rule, _ in info["warnings"]] == ["truncated"]


def test_samples_that_are_no_numbers_are_zero_and_said() -> None:
    wave = np.full((1_000, 1), 0.5, np.float32)
    wave[[3, 7, 9, 11], 0] = [np.nan, np.inf, -np.inf, 3e38]
    samples, info = _native.decode_audio_with_info(encode(wave, RATE_HZ, "WAV", "FLOAT"), sample_rate_hz=RATE_HZ)
    expected = np.full(1_000, 0.5, np.float32)
    expected[[3, 7, 9, 11]] = 0
    np.testing.assert_array_equal(samples, expected)
    assert [rule for rule, _ in info["warnings"]] == ["non-finite"]


@pytest.mark.parametrize(
    ("contents", "words"),
    [
        (b"", "the file is empty"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n", "git-lfs pointer"),
        (bytes(500), "are zero"),
        (b"PK\x03\x04" + bytes(40), "zip archive"),
        (b"\n<!doctype html><html>", "web page"),
        (b"nothing to hear here " * 20, "not audio"),
        (np.random.default_rng(3).bytes(200_000), "not audio"),
        (b"OggS", "nothing could be decoded"),
        (b"RIFF\x24\0\0\0WAVEfmt ", "nothing could be decoded"),
        (b"\0\0\0\x18ftypM4A " + bytes(40), "index (moov box) is missing"),
        (b"\x1a\x45\xdf\xa3" + bytes(40), "WebM or Matroska is not supported, convert it"),
    ],
)
def test_hopeless_files_are_refused_in_one_sentence(contents: bytes, words: str) -> None:
    with pytest.raises(AudioError) as caught:
        _native.decode_audio(contents)
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("container", "subtype", "channels", "words"),
    [
        ("OGG", "OPUS", 2, "Opus in Ogg is not supported, convert it"),
        ("RF64", "PCM_16", 1, "RF64 wav is not supported"),
        ("WAV", "IMA_ADPCM", 1, "is not supported, convert it"),
    ],
)
def test_unsupported_codecs_are_named_with_a_way_out(container: str, subtype: str, channels: int, words: str) -> None:
    file = encode(tone(48_000, channels, 0.5), 48_000, container, subtype)
    with pytest.raises(AudioError) as caught:
        _native.decode_audio(file)
    assert words in str(caught.value)


def resize_box(file: bytes, path: list[bytes], edit: Callable[[bytes], bytes]) -> bytes:
    """An MP4 with the payload of the first box at `path` replaced by what `edit` makes of it."""
    out, at = b"", 0
    while at + 8 <= len(file):
        size, kind = struct.unpack_from(">I4s", file, at)
        payload = file[at + 8 : at + size]
        if kind == path[0]:
            skip = {b"stsd": 8, b"mp4a": 28}.get(kind, 0)  # fields before the boxes inside
            rest = edit(payload) if len(path) == 1 else resize_box(payload[skip:], path[1:], edit)
            payload = payload[:skip] + rest if len(path) > 1 else rest
        out += struct.pack(">I4s", 8 + len(payload), kind) + payload
        at += size
    return out


@pytest.mark.parametrize("settings", [b"\x13\x88\x56\xe5\xa0", b"\x2b\x8a\x08\x00", b"\xeb\x8a\x08\x00"])
def test_he_aac_gives_its_core_and_says_so(settings: bytes) -> None:
    # The golden file is the last in its order of boxes, so a longer esds moves no sample. Its settings become those of
    # HE-AAC over the same core: behind the mark, in front, with parametric stereo.
    plain = (GOLDEN / "tone.m4a").read_bytes()

    def extend(esds: bytes) -> bytes:
        at = esds.index(b"\x05\x80\x80\x80")
        length = esds[at + 4]
        new = esds[: at + 4] + bytes([len(settings)]) + settings + esds[at + 5 + length :]
        grown = bytearray(new)
        for tag in (b"\x03\x80\x80\x80", b"\x04\x80\x80\x80"):
            grown[new.index(tag) + 4] += len(settings) - length
        return bytes(grown)

    assert plain.index(b"mdat") < plain.index(b"moov")
    path = [b"moov", b"trak", b"mdia", b"minf", b"stbl", b"stsd", b"mp4a", b"esds"]
    samples, info = _native.decode_audio_with_info(resize_box(plain, path, extend), sample_rate_hz=RATE_HZ)
    assert [rule for rule, _ in info["warnings"]] == ["he-aac"]
    np.testing.assert_array_equal(samples, _native.decode_audio(plain, sample_rate_hz=RATE_HZ))


def test_damage_never_costs_much_memory() -> None:
    # In a process of its own, so that its peak is what these files cost. None is longer than a second; a header that
    # promises hours or a comment of 4 GB must not be believed.
    script = """
import random, resource, sys
from pathlib import Path
from beatweaver import _native
from beatweaver.errors import BeatWeaverError

def peak_mb():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (1 if sys.platform == "darwin" else 1024) / 1024

ODD = (b"\\xff", b"\\0", b"\\xff" * 4, b"\\x7f\\xff\\xff\\xff", b"5")
draw = random.Random(0)
files = [path.read_bytes() for folder in sys.argv[1:] for path in sorted(Path(folder).iterdir())]
before, sound = peak_mb(), 0
for number in range(600):
    file = bytearray(files[number % len(files)])
    for _ in range(draw.randrange(1, 8)):
        at = draw.randrange(min(len(file), 1_500))
        file[at : at + draw.choice((1, 4))] = draw.choice(ODD)
    for work in (_native.decode_audio, _native.read_tags):
        try:
            work(bytes(file))
            sound += 1
        except BeatWeaverError:
            pass
print(sound, peak_mb() - before)
"""
    folders = [REPOSITORY / "tests" / folder for folder in ("golden/audio", "corpus/audio", "corpus/tags")]
    ran = subprocess.run([sys.executable, "-c", script, *folders], capture_output=True, text=True, check=True)
    sound, grown_mb = ran.stdout.split()
    assert int(sound) > 200
    assert float(grown_mb) < 200


def test_limits_and_options_are_checked() -> None:
    long = encode(np.zeros((RATE_HZ * 5, 1)), RATE_HZ, "FLAC", "PCM_16")
    with pytest.raises(LimitError, match="audio_seconds is 3, the limit is 2"):
        _native.decode_audio(long, max_seconds=2.0)
    assert len(_native.decode_audio(long, max_seconds=5.0)) == RATE_HZ * 5
    wide = encode(np.zeros((100, 9)), RATE_HZ, "WAV", "PCM_16")
    with pytest.raises(LimitError, match="audio_channels is 9, the limit is 8"):
        _native.decode_audio(wide)
    slow = encode(np.zeros((4_000, 1)), 4_000, "WAV", "PCM_16")
    with pytest.raises(AudioError, match="4000 Hz, expected 8000 to 192000"):
        _native.decode_audio(slow)
    for options in ({"sample_rate_hz": 100}, {"max_seconds": 0.0}, {"max_seconds": float("nan")}):
        with pytest.raises(ConfigError):
            _native.decode_audio(long, **options)


def test_unreadable_paths_raise_what_open_raises(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        _native.decode_audio(tmp_path / "none.ogg")
    with pytest.raises(IsADirectoryError):
        _native.decode_audio(tmp_path)


# Resampling ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("rate_hz", [*RATES_HZ, 44_101])
def test_resampling_keeps_every_moment_in_place(rate_hz: int) -> None:
    length = int(rate_hz * 2.0) + 7
    pulse_s = 0.7531
    pulse = np.exp(-(((np.arange(length) / rate_hz - pulse_s) * 1_500) ** 2))
    samples = _native.decode_audio(encode(pulse, rate_hz, "WAV", "FLOAT"), sample_rate_hz=RATE_HZ)
    assert len(samples) == round(length * RATE_HZ / rate_hz)
    time_s = np.arange(len(samples)) / RATE_HZ
    centroid_s = float((time_s * samples).sum() / samples.sum())
    assert abs(centroid_s - pulse_s) < 1e-6
    assert worst(samples, np.exp(-(((time_s - pulse_s) * 1_500) ** 2))) < 1e-4


@pytest.mark.parametrize("rate_hz", [rate_hz for rate_hz in RATES_HZ if rate_hz != RATE_HZ])
def test_resampling_agrees_with_soxr_up_to_nine_tenths_of_the_band(rate_hz: int) -> None:
    noise = 0.2 * np.random.default_rng(1).standard_normal(rate_hz * 2).astype(np.float32)
    ours = _native.decode_audio(encode(noise, rate_hz, "WAV", "FLOAT"), sample_rate_hz=RATE_HZ)
    theirs = soxr.resample(noise, rate_hz, RATE_HZ, quality="HQ")
    length = min(len(ours), len(theirs))
    window = np.hanning(length)
    ours_f, theirs_f = np.fft.rfft(ours[:length] * window), np.fft.rfft(theirs[:length] * window)
    band = np.fft.rfftfreq(length, 1 / RATE_HZ) < 0.9 * min(rate_hz, RATE_HZ) / 2
    assert np.linalg.norm((ours_f - theirs_f)[band]) < 2e-4 * np.linalg.norm(theirs_f[band]) + 1e-3


# Features ------------------------------------------------------------------------------------------------------------


def features(samples: Samples, **spec: Any) -> dict[str, Samples]:
    """Our features with these settings changed."""
    return _native.features(samples, AudioConfig(**spec).canonical())


def slices_of(edges_hz: list[float], mels: int, low_hz: float, high_hz: float) -> list[slice]:
    """The mel bands whose centres lie between neighbouring edges."""
    centres_hz = librosa.mel_frequencies(mels + 2, fmin=low_hz, fmax=high_hz)[1:-1]
    at = np.searchsorted(centres_hz, edges_hz)
    return [slice(int(low), int(high)) for low, high in itertools.pairwise(at)]


def librosa_features(samples: Samples, **changes: Any) -> dict[str, NDArray[Any]]:
    """The same features by librosa, in double precision: the truth that single precision is held against."""
    spec: dict[str, Any] = {
        "sample_rate_hz": RATE_HZ,
        "n_fft": 2048,
        "hop": 512,
        "n_mels": 80,
        "fmin_hz": 0.0,
        "fmax_hz": None,
        "power": 2.0,
        "top_db": 80.0,
        "band_edges_hz": [0.0, 200.0, 800.0, 3200.0, 11025.0],
    } | changes
    rate_hz, hop = spec["sample_rate_hz"], spec["hop"]
    mel = librosa.feature.melspectrogram(
        y=samples.astype(np.float64),
        sr=rate_hz,
        n_fft=spec["n_fft"],
        hop_length=hop,
        n_mels=spec["n_mels"],
        fmin=spec["fmin_hz"],
        fmax=spec["fmax_hz"],
        power=spec["power"],
        dtype=np.float64,
    )
    to_db = librosa.power_to_db if spec["power"] == 2.0 else librosa.amplitude_to_db
    mel_db = to_db(mel, top_db=spec["top_db"])
    shared = {"S": mel_db, "sr": rate_hz, "hop_length": hop, "n_fft": spec["n_fft"]}
    slices = slices_of(spec["band_edges_hz"], spec["n_mels"], spec["fmin_hz"], spec["fmax_hz"] or rate_hz / 2)
    return {
        "mel": mel_db.T,
        "onset": librosa.onset.onset_strength(**shared),
        "bands": librosa.onset.onset_strength_multi(**shared, channels=slices).T,
    }


def assert_agree(ours: dict[str, Samples], truth: dict[str, NDArray[Any]]) -> None:
    """Every value to 1e-4 of itself, above the floor that single precision sets.

    That floor is 80 dB below the loudest band of the frame, because the transform rounds by the loudest bin; for the
    rises it is a millionth of the largest onset, and 2e-5 of the largest flux, which averages over fewer mel bands.
    """
    for name in ("mel", "onset", "bands"):
        assert ours[name].dtype == np.float32
        assert ours[name].shape == truth[name].shape, name
    power, true_power = 10.0 ** (ours["mel"].astype(np.float64) / 10), 10.0 ** (truth["mel"] / 10)
    error = np.abs(power - true_power)
    assert np.all(error <= 1e-4 * true_power + 1e-8 * true_power.max(axis=1, keepdims=True))
    for name, share in (("onset", 1e-6), ("bands", 2e-5)):
        floor = share * max(float(truth[name].max(initial=0.0)), 1.0)
        error = np.abs(ours[name] - truth[name])
        assert np.all(error <= 1e-4 * truth[name] + floor), (name, float(error.max()))


@pytest.mark.filterwarnings("ignore:n_fft=:UserWarning")  # librosa's word on songs shorter than a window
@pytest.mark.parametrize("hop", [64, 128, 256, 441, 512, 2048])
@pytest.mark.parametrize("length", [1, 10, 511, 512, 2_047, 2_048, 50_001])
def test_features_of_noise_are_librosas(hop: int, length: int) -> None:
    noise = 0.1 * np.random.default_rng(length).standard_normal(length).astype(np.float32)
    ours = features(noise, hop=hop)
    assert len(ours["onset"]) == 1 + length // hop
    assert_agree(ours, librosa_features(noise, hop=hop))


@pytest.mark.parametrize(
    "spec",
    [
        {"n_fft": 1024, "hop": 256, "n_mels": 128},
        {"n_fft": 4096, "n_mels": 40, "band_edges_hz": [0.0, 11025.0]},
        {"fmin_hz": 30.0, "fmax_hz": 8000.0, "band_edges_hz": [30.0, 300.0, 8000.0]},
        {"power": 1.0},
        {"top_db": None},
        {"top_db": 40.0},
        {"sample_rate_hz": 44_100, "n_fft": 2000, "hop": 441, "n_mels": 64},
    ],
)
def test_every_setting_means_what_it_means_in_librosa(spec: dict[str, Any]) -> None:
    time_s = np.arange(40_000) / RATE_HZ
    song = 0.2 * np.sin(2 * np.pi * 220 * time_s) * (time_s % 0.25 < 0.05)
    song += 0.01 * np.random.default_rng(0).standard_normal(len(song))
    samples = song.astype(np.float32)
    assert_agree(features(samples, **spec), librosa_features(samples, **spec))


def test_mel_with_onset_is_the_features_stacked() -> None:
    noise = 0.1 * np.random.default_rng(0).standard_normal(30_000).astype(np.float32)
    rows = _native.compute_mel_with_onset(noise, AudioConfig().canonical())
    parts = features(noise)
    assert rows.shape == (81, 1 + 30_000 // 512)
    np.testing.assert_array_equal(rows[:80], parts["mel"].T)
    np.testing.assert_array_equal(rows[80], parts["onset"])


@pytest.mark.parametrize("length", [0, 1, 10, 5_000])
def test_silence_is_finite_and_flat(length: int) -> None:
    parts = features(np.zeros(length, np.float32))
    assert parts["mel"].shape == (1 + length // 512, 80)
    np.testing.assert_allclose(parts["mel"], -100, atol=1e-4)
    assert parts["mel"].min() == parts["mel"].max()
    assert not parts["onset"].any()
    assert not parts["bands"].any()


def test_what_is_no_number_counts_as_silence() -> None:
    noise = 0.1 * np.random.default_rng(0).standard_normal(20_000).astype(np.float32)
    broken = noise.copy()
    at = [0, 777, 9_000, 19_999]
    broken[at] = [np.nan, np.inf, -np.inf, np.nan]
    noise[at] = 0
    expected, parts = features(noise), features(broken)
    for name in expected:
        np.testing.assert_array_equal(parts[name], expected[name])
    for loudest in (np.float32(3e38), np.float32(-3e38)):
        assert all(np.isfinite(part).all() for part in features(np.full(5_000, loudest)).values())


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"hops": 3}, "hops"),
        ({"hop": "512"}, "hop"),
        ({"hop": 0}, "hop"),
        ({"hop": 4096}, "hop"),
        ({"n_fft": 2049}, "n_fft"),
        ({"n_mels": 0}, "n_mels"),
        ({"sample_rate_hz": 1}, "sample_rate_hz"),
        ({"fmin_hz": -1.0}, "fmin_hz"),
        ({"fmax_hz": 20000.0}, "fmax_hz"),
        ({"fmin_hz": 300.0, "fmax_hz": 200.0}, "fmin_hz"),
        ({"power": 3.0}, "power"),
        ({"top_db": -1.0}, "top_db"),
        ({"band_edges_hz": [200.0]}, "band_edges_hz"),
        ({"band_edges_hz": [200.0, 100.0]}, "band_edges_hz"),
        ({"band_edges_hz": [0.0, 0.5]}, "band_edges_hz"),
        ({"slots_per_beat": 0}, "slots_per_beat"),
    ],
)
def test_an_impossible_spec_names_its_field(change: dict[str, Any], field: str) -> None:
    spec = json.loads(AudioConfig().canonical()) | change
    with pytest.raises(ConfigError, match=field) as caught:
        _native.features(np.zeros(100, np.float32), json.dumps(spec).encode())
    assert caught.value.where == field
    if field != "hops":
        with pytest.raises(ConfigError, match=field):
            AudioConfig(**change)


@pytest.mark.parametrize("spec", [b"", b"[]", b"{} {}", AudioConfig().canonical() + b"{}"])
def test_a_spec_is_one_json_object(spec: bytes) -> None:
    with pytest.raises(ConfigError):
        _native.features(np.zeros(100, np.float32), spec)


def test_a_spec_has_no_defaults_of_its_own() -> None:
    settings = json.loads(AudioConfig().canonical())
    for name in settings:
        spec = json.dumps({key: value for key, value in settings.items() if key != name}).encode()
        with pytest.raises(ConfigError, match=f"missing field `{name}`"):
            _native.features(np.zeros(100, np.float32), spec)


# Real songs ----------------------------------------------------------------------------------------------------------


def real_songs() -> list[Path]:
    """Every song of `music`, and a third of `songs`."""
    songs = sorted(SHARED.glob("music/*.*")) + sorted(SHARED.glob("songs/*/audio.*"))[::3]
    if not songs:
        pytest.skip(f"no songs in {SHARED}, set BEATWEAVER_CORPUS to the shared folder")
    return songs


def assert_decodes_as_libsndfile(source: bytes | Path, name: str) -> None:
    expected, rate_hz = oracle(source)
    samples, info = _native.decode_audio_with_info(source, sample_rate_hz=rate_hz)
    assert info["warnings"] == [], name
    assert worst(samples, expected) < 1e-4, name
    if info["format"] == "ogg-vorbis":
        contents = source if isinstance(source, bytes) else source.read_bytes()
        assert len(samples) == last_granule(contents), name
        assert 0 <= len(samples) - len(expected) <= OGG_TAIL_SAMPLES, name
    else:
        assert len(samples) == len(expected), name


@pytest.mark.corpus
def test_real_songs_decode_as_libsndfile_does() -> None:
    for path in real_songs():
        assert_decodes_as_libsndfile(path, str(path))


@pytest.mark.corpus
def test_songs_of_real_maps_decode_as_libsndfile_does() -> None:
    packs = sorted(SHARED.glob("corpus/raw/*.zip"))
    if not packs:
        pytest.skip(f"no packs in {SHARED}, set BEATWEAVER_CORPUS to the shared folder")
    decoded = 0
    for pack in packs[::5]:
        with zipfile.ZipFile(pack) as archive:
            for name in archive.namelist():
                if name.lower().endswith((".ogg", ".egg")):
                    assert_decodes_as_libsndfile(archive.read(name), f"{pack.name}!{name}")
                    decoded += 1
    assert decoded > 10


@pytest.mark.corpus
@pytest.mark.parametrize("hop", [512, 128])
def test_features_of_real_songs_are_librosas(hop: int) -> None:
    for path in real_songs()[:: 1 if hop == 512 else 5]:
        samples = _native.decode_audio(path, sample_rate_hz=RATE_HZ)
        assert_agree(features(samples, hop=hop), librosa_features(samples, hop=hop))
