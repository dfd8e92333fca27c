"""The song of a level: encoded, padded, copied, freed of tags; and tags read. libsndfile is the oracle for sound."""

from __future__ import annotations

import base64
import io
import struct
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st
from sounds import encode, ogg_crc, ogg_pages, tone

from beatweaver import _native, audio, demo
from beatweaver.errors import AudioError, ConfigError, LimitError

if TYPE_CHECKING:
    from numpy.typing import NDArray

REPOSITORY = Path(__file__).resolve().parents[2]
GOLDEN = REPOSITORY / "tests" / "golden" / "audio"
PNG = bytes.fromhex(
    "89504e470d0a1a0a0000000d4948445200000001000000010802000000907753de0000000c4944415408d763f8cfc00000000301010018dd8db0"
    "0000000049454e44ae426082"
)
JPEG = b"\xff\xd8\xff\xe0\0\x10JFIF\0" + bytes(40)


@pytest.fixture(scope="module")
def music() -> NDArray[np.float32]:
    """Four bars of music, (T, 2) at 44.1 kHz."""
    return demo.compose(form=(("drop", 2),)).samples


def read(ogg: bytes) -> tuple[NDArray[np.float32], int]:
    """What libsndfile hears, (T, channels)."""
    samples, rate_hz = soundfile.read(io.BytesIO(ogg), dtype="float32", always_2d=True)
    return samples, rate_hz


def lag(late: NDArray[Any], early: NDArray[Any]) -> int:
    """By how many samples `late` follows `early`."""
    size = 1 << (len(late) + len(early)).bit_length()
    cross = np.fft.irfft(np.fft.rfft(late, size) * np.conj(np.fft.rfft(early, size)), size)
    at = int(cross.argmax())
    return at if at < len(late) else at - size


def snr_db(heard: NDArray[Any], meant: NDArray[Any]) -> float:
    return float(10 * np.log10((meant**2).sum() / ((heard - meant) ** 2).sum()))


def comments(ogg: bytes) -> list[bytes]:
    """The comments in the second header of an Ogg Vorbis file."""
    packets, packet = [], b""
    for page in ogg_pages(ogg):
        at = 27 + page[26]
        for length in page[27 : 27 + page[26]]:
            packet += bytes(page[at : at + length])
            at += length
            if length < 255:
                packets.append(packet)
                packet = b""
        if len(packets) > 2:
            break
    body = packets[1]
    assert body.startswith(b"\x03vorbis")
    at = 11 + struct.unpack_from("<I", body, 7)[0]
    count = struct.unpack_from("<I", body, at)[0]
    found, at = [], at + 4
    for _ in range(count):
        length = struct.unpack_from("<I", body, at)[0]
        found.append(body[at + 4 : at + 4 + length])
        at += 4 + length
    return found


# Encoding -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("rate_hz", [8_000, 22_050, 32_000, 44_100, 48_000, 96_000, 192_000])
@pytest.mark.parametrize("channels", [1, 2])
def test_encoded_sound_is_in_place_and_whole(music: NDArray[np.float32], rate_hz: int, channels: int) -> None:
    sound = music[:, :channels]
    ogg = audio.encode(sound, sample_rate_hz=rate_hz)
    heard, heard_hz = read(ogg)
    assert (heard_hz, heard.shape) == (rate_hz, sound.shape)
    for channel in range(channels):
        assert lag(heard[:, channel], sound[:, channel]) == 0
        assert snr_db(heard[:, channel], sound[:, channel]) > 9.0
    assert comments(ogg) == []
    # Our own decoder hears the same.
    ours = _native.decode_audio(ogg, sample_rate_hz=rate_hz)
    assert len(ours) == len(sound)
    assert np.abs(ours - heard.mean(axis=1)).max() < 1e-5


def test_equal_samples_give_equal_bytes_in_any_process(music: NDArray[np.float32], tmp_path: Path) -> None:
    np.save(tmp_path / "music.npy", music)
    script = (
        "import sys, numpy; from beatweaver import audio;"
        "sys.stdout.buffer.write(audio.encode(numpy.load(sys.argv[1]), sample_rate_hz=44100))"
    )
    command = [sys.executable, "-c", script, str(tmp_path / "music.npy")]
    elsewhere = subprocess.run(command, capture_output=True, check=True).stdout
    assert audio.encode(music, sample_rate_hz=44_100) == elsewhere
    audio.encode(music[:5_000], sample_rate_hz=48_000)  # nothing is left over from one to the next
    assert audio.encode(music.copy(order="F"), sample_rate_hz=44_100) == elsewhere
    assert audio.encode(music[::-1], sample_rate_hz=44_100) != elsewhere


@given(
    frames=st.integers(1, 9_000),
    channels=st.integers(1, 2),
    rate_hz=st.sampled_from([8_000, 11_025, 44_100, 48_000, 192_000]),
    seed=st.integers(0, 99),
)
def test_the_length_is_exact(frames: int, channels: int, rate_hz: int, seed: int) -> None:
    sound = 0.3 * np.random.default_rng(seed).standard_normal((frames, channels)).astype(np.float32)
    heard, _ = read(audio.encode(sound, sample_rate_hz=rate_hz))
    assert heard.shape == sound.shape
    assert np.isfinite(heard).all()


def test_silence_stays_silent() -> None:
    heard, _ = read(audio.encode(np.zeros((50_000, 2), np.float32), sample_rate_hz=44_100))
    assert heard.shape == (50_000, 2)
    assert np.abs(heard).max() == 0.0


def test_numbers_that_are_none_are_silence() -> None:
    odd = np.tile(np.array([np.nan, np.inf, -np.inf, 3e38, -3e38, 1e-42], np.float32), 5_000)
    clean = np.tile(np.array([0, 0, 0, 4, -4, 0], np.float32), 5_000)
    assert audio.encode(odd, sample_rate_hz=44_100) == audio.encode(clean, sample_rate_hz=44_100)
    assert np.isfinite(read(audio.encode(odd, sample_rate_hz=44_100))[0]).all()


@pytest.mark.parametrize("shape", [(0,), (0, 2)])
def test_no_samples_are_no_song(shape: tuple[int, ...]) -> None:
    with pytest.raises(AudioError, match="found no samples"):
        audio.encode(np.zeros(shape, np.float32), sample_rate_hz=44_100)


@pytest.mark.parametrize("shape", [(100, 3), (2, 100), (100, 0), (1, 1, 1)])
def test_other_shapes_are_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(ConfigError, match="samples: found"):
        audio.encode(np.zeros(shape, np.float32), sample_rate_hz=44_100)


@pytest.mark.parametrize("rate_hz", [0, 7_999, 192_001])
def test_other_rates_are_refused(rate_hz: int) -> None:
    with pytest.raises(ConfigError, match=f"sample_rate_hz: found {rate_hz}, expected 8000 to 192000"):
        audio.encode(np.zeros(100, np.float32), sample_rate_hz=rate_hz)


# Preparing ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("rate_hz", [44_100, 48_000])
@pytest.mark.parametrize("pad_s", [0.0, 0.25, 1 / 3, 1.2345678, 60.0])
def test_a_pad_is_exact_to_the_sample(music: NDArray[np.float32], rate_hz: int, pad_s: float) -> None:
    source = encode(music, rate_hz, "FLAC", "PCM_16")
    prepared = audio.prepare(source, pad_s=pad_s)
    pad = round(pad_s * rate_hz)
    assert (prepared.action, prepared.rate_hz, prepared.channels) == ("encoded", rate_hz, 2)
    assert prepared.pad_s == pad / rate_hz
    heard, heard_hz = read(prepared.ogg)
    assert (heard_hz, len(heard)) == (rate_hz, pad + len(music))
    assert lag(heard[:, 0], music[:, 0]) == pad
    # A transform codec begins to sound up to one long block before the first sample of the song.
    assert np.abs(heard[: max(0, pad - 2_048)]).max(initial=0.0) < 1e-6
    assert prepared.seconds == pytest.approx(len(heard) / rate_hz, abs=1 / 22_050)


def test_analysis_hears_the_file_itself(music: NDArray[np.float32]) -> None:
    for source in (encode(music, 44_100, "WAV", "PCM_16"), audio.encode(music, sample_rate_hz=44_100)):
        for rate_hz in (11_025, 22_050, 44_100):
            prepared = audio.prepare(source, sample_rate_hz=rate_hz)
            expected = _native.decode_audio(prepared.ogg, sample_rate_hz=rate_hz)
            np.testing.assert_array_equal(prepared.samples, expected)
            assert prepared.sample_rate_hz == rate_hz and prepared.samples.dtype == np.float32


@pytest.mark.parametrize(
    ("rate_hz", "out_hz"), [(8_000, 44_100), (22_050, 44_100), (48_000, 48_000), (192_000, 44_100)]
)
@pytest.mark.parametrize("channels", [1, 2])
def test_odd_rates_become_44_khz(rate_hz: int, out_hz: int, channels: int) -> None:
    time_s = np.arange(2 * rate_hz) / rate_hz
    wave = np.stack([0.4 * np.sin(2 * np.pi * hz * time_s) for hz in (440, 1_000)][:channels], axis=1)
    prepared = audio.prepare(encode(wave, rate_hz, "WAV", "PCM_16"), pad_s=0.1)
    heard, heard_hz = read(prepared.ogg)
    pad = round(0.1 * out_hz)
    assert (heard_hz, heard.shape) == (out_hz, (2 * out_hz + pad, channels))
    at_s = np.arange(2 * out_hz) / out_hz
    for channel, hz in enumerate((440, 1_000)[:channels]):
        meant = 0.4 * np.sin(2 * np.pi * hz * at_s)
        assert snr_db(heard[pad + 500 : -500, channel], meant[500:-500]) > 20.0


def test_mono_stays_mono_and_stereo_stereo() -> None:
    wave = tone(44_100, 2, 1.0)
    wave[:, 1] = 0.0
    assert audio.prepare(encode(wave[:, :1], 44_100, "WAV", "PCM_16")).channels == 1
    heard, _ = read(audio.prepare(encode(wave, 44_100, "WAV", "PCM_16")).ogg)
    assert np.abs(heard[:, 0]).max() > 0.2
    assert np.abs(heard[:, 1]).max() < 0.05


@pytest.mark.parametrize(("container", "subtype"), [("WAVEX", "PCM_16"), ("FLAC", "PCM_16"), ("OGG", "VORBIS")])
def test_surround_becomes_stereo_by_the_places_of_its_channels(container: str, subtype: str) -> None:
    # Another frequency in each channel; how loud it is left and right tells where it went.
    hz = np.array([400, 700, 1_000, 60, 1_600, 2_100])
    time_s = np.arange(44_100) / 44_100
    wave = 0.2 * np.sin(2 * np.pi * hz * time_s[:, None])
    if container == "OGG":  # its own order: left, centre, right, rear left, rear right, low
        wave = wave[:, [0, 2, 1, 4, 5, 3]]
    prepared = audio.prepare(encode(wave, 44_100, container, subtype))
    heard, _ = read(prepared.ogg)
    assert heard.shape == (44_100, 2)
    loudness = np.abs(np.fft.rfft(heard, axis=0))[hz] / (len(heard) / 2)
    half = np.sqrt(0.5)
    expected = 0.2 / (1 + 2 * half) * np.array([[1, 0], [0, 1], [half, half], [0, 0], [half, 0], [0, half]])
    assert loudness == pytest.approx(expected, abs=0.012)


@pytest.mark.parametrize("name", sorted(file.name for file in GOLDEN.glob("tone*") if file.suffix != ".json"))
def test_every_kind_of_file_can_be_a_level_s_song(name: str) -> None:
    prepared = audio.prepare(GOLDEN / name, pad_s=0.5)
    decoded, info = _native.decode_audio_with_info(GOLDEN / name, sample_rate_hz=22_050)
    assert (prepared.action, prepared.rate_hz, prepared.source_format) == ("encoded", 44_100, info["format"])
    assert abs(len(prepared.samples) - len(decoded) - 11_025) <= 1
    assert lag(prepared.samples, decoded) == 11_025


@pytest.mark.parametrize("rate_hz", [8_000, 22_050, 32_000, 44_100, 48_000])
@pytest.mark.parametrize("channels", [1, 2])
def test_vorbis_without_tags_is_copied_byte_for_byte(rate_hz: int, channels: int, tmp_path: Path) -> None:
    source = audio.encode(tone(rate_hz, channels, 1.0).astype(np.float32), sample_rate_hz=rate_hz)
    (tmp_path / "song.bin").write_bytes(source)
    for song in (source, tmp_path / "song.bin", str(tmp_path / "song.bin")):
        prepared = audio.prepare(song)
        assert (prepared.action, prepared.ogg, prepared.warnings) == ("copied", source, ())
        assert (prepared.rate_hz, prepared.channels, prepared.pad_s) == (rate_hz, channels, 0.0)
    assert audio.prepare(source, pad_s=0.1).action == "encoded"


def test_preparing_twice_changes_nothing(music: NDArray[np.float32]) -> None:
    once = audio.prepare(encode(music, 44_100, "WAV", "PCM_16"), pad_s=0.2)
    twice = audio.prepare(once.ogg)
    assert (twice.action, twice.ogg) == ("copied", once.ogg)
    np.testing.assert_array_equal(twice.samples, once.samples)
    assert audio.prepare(encode(music, 44_100, "WAV", "PCM_16"), pad_s=0.2).ogg == once.ogg


def picture(image: bytes, kind: int = 3) -> bytes:
    """A picture block of FLAC."""
    head = struct.pack(">II", kind, 9) + b"image/png" + struct.pack(">5I", 0, 1, 1, 24, 0)
    return head + struct.pack(">I", len(image)) + image


def comment_block(entries: list[bytes]) -> bytes:
    """Vorbis comments as Ogg and FLAC carry them."""
    return struct.pack("<I4sI", 4, b"test", len(entries)) + b"".join(
        struct.pack("<I", len(entry)) + entry for entry in entries
    )


def with_comments(ogg: bytes, entries: list[bytes]) -> bytes:
    """An Ogg Vorbis file with other comments, written page by page independently of the code under test."""
    pages = [bytes(page) for page in ogg_pages(ogg)]
    packets: list[bytes] = []
    packet, first = b"", 1
    while len(packets) < 2:
        page = pages[first]
        at = 27 + page[26]
        for length in page[27 : 27 + page[26]]:
            packet += page[at : at + length]
            at += length
            if length < 255:
                packets.append(packet)
                packet = b""
        first += 1
    headers = [b"\x03vorbis" + comment_block(entries) + b"\x01", packets[1]]
    lacing = [length for header in headers for length in [255] * (len(header) // 255) + [len(header) % 255]]
    body, new, continues = b"".join(headers), [pages[0]], 0
    while lacing:
        part, lacing = lacing[:255], lacing[255:]
        granule = -1 if set(part) == {255} else 0
        head = struct.pack("<4sBBq4sII", b"OggS", 0, continues, granule, pages[0][14:18], 0, 0)
        new.append(head + bytes([len(part), *part]) + body[: sum(part)])
        body, continues = body[sum(part) :], int(part[-1] == 255)
    out = b""
    for number, page in enumerate(new + pages[first:]):
        fresh = bytearray(page)
        fresh[18:26] = struct.pack("<II", number, 0)
        fresh[22:26] = struct.pack("<I", ogg_crc(fresh))
        out += bytes(fresh)
    return out


@pytest.mark.parametrize("cover_bytes", [0, 10, 100_000])
def test_tags_are_taken_out_and_the_sound_is_not_touched(cover_bytes: int) -> None:
    plain = audio.encode(tone(44_100, 2, 1.0).astype(np.float32), sample_rate_hz=44_100)
    entries = [b"TITLE=Song", b"ARTIST=Somebody", "COMMENT=Grüße".encode()]
    if cover_bytes:
        entries.append(b"METADATA_BLOCK_PICTURE=" + base64.b64encode(picture(PNG + bytes(cover_bytes))))
    tagged = with_comments(plain, entries)
    assert comments(tagged) == entries
    np.testing.assert_array_equal(read(tagged)[0], read(plain)[0])
    prepared = audio.prepare(tagged)
    assert prepared.action == "untagged"
    assert comments(prepared.ogg) == []
    assert prepared.ogg == with_comments(plain, [])
    np.testing.assert_array_equal(read(prepared.ogg)[0], read(plain)[0])
    assert audio.read_tags(prepared.ogg) == audio.Tags(title=None, artist=None, album=None, cover=None)
    assert audio.prepare(prepared.ogg).action == "copied"


def test_libsndfile_s_own_files_lose_nothing_but_their_tags() -> None:
    source = encode(tone(48_000, 2, 1.0), 48_000, "OGG", "VORBIS")  # with a comment that names its writer
    prepared = audio.prepare(source)
    assert prepared.action == "untagged"
    np.testing.assert_array_equal(read(prepared.ogg)[0], read(source)[0])


def ogg_song() -> bytes:
    return audio.encode(tone(44_100, 2, 2.0).astype(np.float32), sample_rate_hz=44_100)


def test_damaged_vorbis_is_encoded_anew() -> None:
    whole = ogg_song()
    middle = whole.index(b"OggS", len(whole) // 2)
    cases = {
        "a bit flipped": whole[: middle + 400] + bytes([whole[middle + 400] ^ 4]) + whole[middle + 401 :],
        "its end missing": whole[: len(whole) * 2 // 3],
        "cut between pages": whole[:middle],
        "a page missing": whole[:middle] + whole[whole.index(b"OggS", middle + 4) :],
        "junk behind": whole + b"junk",
        "an ID3v1 tag behind": whole + b"TAG" + bytes(125),
        "an ID3v2 tag before": b"ID3\x04\0\0\0\0\0\x0a" + bytes(10) + whole,
        "two songs in a chain": whole + whole,
    }
    for name, song in cases.items():
        prepared = audio.prepare(song)
        assert prepared.action == "encoded", name
        heard, _ = read(prepared.ogg)
        assert comments(prepared.ogg) == []
        decoded, info = _native.decode_audio_with_info(song, sample_rate_hz=44_100)
        assert len(heard) == len(decoded), name
        assert prepared.warnings == tuple(info["warnings"]), name
        assert 0.9 < prepared.seconds < 4.1, name


@settings(max_examples=60)
@given(data=st.data())
def test_any_damage_gives_a_sound_song_or_a_sentence(data: st.DataObject) -> None:
    song = bytearray(SHORT)
    for at, value in data.draw(st.lists(st.tuples(st.integers(0, len(song) - 1), st.integers(0, 255)), max_size=4)):
        song[at] = value
    del song[data.draw(st.integers(len(song) // 4, len(song))) :]
    try:
        prepared = audio.prepare(bytes(song))
    except (AudioError, LimitError):
        return
    heard, _ = read(prepared.ogg)
    assert np.isfinite(heard).all() and comments(prepared.ogg) == []
    assert prepared.action != "copied" or prepared.ogg == song


SHORT = with_comments(audio.encode(np.full(4_000, 0.25, np.float32), sample_rate_hz=44_100), [b"TITLE=x"])


@pytest.mark.parametrize("pad_s", [-0.001, 60.001, float("nan"), float("inf")])
def test_impossible_pads_are_refused(pad_s: float) -> None:
    with pytest.raises(ConfigError, match=r"pad_s: found .*, expected 0 to 60"):
        audio.prepare(ogg_song(), pad_s=pad_s)


def test_limits_and_errors_are_those_of_decoding(tmp_path: Path) -> None:
    with pytest.raises(LimitError, match="audio_seconds is 2, the limit is 1"):
        audio.prepare(encode(tone(44_100, 1, 3.0), 44_100, "WAV", "PCM_16"), max_seconds=1.0)
    assert audio.prepare(encode(tone(44_100, 1, 1.0), 44_100, "WAV", "PCM_16"), max_seconds=1.0, pad_s=5.0).pad_s == 5
    for contents in (b"", b"OggS", b"RIFF\x24\0\0\0WAVEfmt ", b"{}"):
        with pytest.raises(AudioError):
            audio.prepare(contents)
    with pytest.raises(AudioError, match="Opus in Ogg is not supported"):
        audio.prepare(encode(tone(48_000, 2, 0.5), 48_000, "OGG", "OPUS"))
    with pytest.raises(FileNotFoundError):
        audio.prepare(tmp_path / "none.ogg")
    with pytest.raises(ConfigError, match="sample_rate_hz"):
        audio.prepare(ogg_song(), sample_rate_hz=1)


# Tags -----------------------------------------------------------------------------------------------------------------


def id3_frame(kind: bytes, body: bytes) -> bytes:
    return kind + struct.pack(">IH", len(body), 0) + body


def id3(*frames: bytes) -> bytes:
    """An ID3v2.3 tag."""
    body = b"".join(frames)
    size = bytes(len(body) >> shift & 127 for shift in (21, 14, 7, 0))
    return b"ID3\x03\0\0" + size + body


def id3_text(kind: bytes, text: str) -> bytes:
    return id3_frame(kind, b"\x01" + text.encode("utf-16"))


def id3_picture(image: bytes, kind: int = 3) -> bytes:
    return id3_frame(b"APIC", b"\0image/png\0" + bytes([kind]) + b"\0" + image)


MP3 = (GOLDEN / "tone.mp3").read_bytes()


@pytest.mark.parametrize("name", ["id3v2.mp3", "comments.flac", "comments.ogg", "list.m4a", "id3v1.mp3"])
def test_tags_of_every_kind_of_file(name: str) -> None:
    # Written by hand, byte for byte, after the formats' descriptions.
    tags = audio.read_tags(REPOSITORY / "tests" / "corpus" / "tags" / name)
    expected = {
        "id3v1.mp3": ("Title", "Artist", "Album", None),
        "list.m4a": ("Töne", "One", "Album", PNG),
    }.get(name, ("Töne", "One, Two", "Album", PNG))
    assert (tags.title, tags.artist, tags.album, tags.cover) == expected


@pytest.mark.parametrize(("container", "subtype"), [("OGG", "VORBIS"), ("FLAC", "PCM_16"), ("MP3", "MPEG_LAYER_III")])
def test_tags_as_libsndfile_writes_them(container: str, subtype: str) -> None:
    file = io.BytesIO()
    with soundfile.SoundFile(file, "w", 44_100, 1, subtype, format=container) as out:
        out.title, out.artist, out.album = "Ein Lied", "Jemand", "Größe"
        out.write(tone(44_100, 1, 0.5))
    tags = audio.read_tags(file.getvalue())
    assert (tags.title, tags.artist, tags.album, tags.cover) == ("Ein Lied", "Jemand", "Größe", None)


def test_id3v1_may_be_latin_1() -> None:
    tag = b"TAG" + b"Gr\xfc\xdfe".ljust(30, b"\0") + bytes(95)
    assert audio.read_tags(MP3 + tag).title == "Grüße"


def test_a_file_without_tags_says_nothing() -> None:
    nothing = audio.Tags(title=None, artist=None, album=None, cover=None)
    assert audio.read_tags(MP3) == nothing
    assert audio.read_tags(ogg_song()) == nothing
    assert audio.read_tags(encode(tone(44_100, 1, 0.1), 44_100, "WAV", "PCM_16")) == nothing


def test_the_front_cover_wins_and_only_png_and_jpeg_count() -> None:
    back, front = id3_picture(PNG, kind=4), id3_picture(JPEG, kind=3)
    assert audio.read_tags(id3(back, front) + MP3).cover == JPEG
    assert audio.read_tags(id3(back) + MP3).cover == PNG
    assert audio.read_tags(id3(id3_picture(b"GIF89a" + bytes(50), kind=3), back) + MP3).cover == PNG
    assert audio.read_tags(id3(id3_picture(b"<svg/>")) + MP3).cover is None


def test_texts_are_one_line_of_bounded_length() -> None:
    tags = audio.read_tags(
        id3(id3_text(b"TIT2", "  a\nb\tc\x1b[31m  "), id3_text(b"TPE1", "x" * 100_000), id3_text(b"TALB", " \n ")) + MP3
    )
    assert tags.title == "a b c [31m"
    assert tags.artist == "x" * 500
    assert tags.album is None


def test_the_artist_of_the_album_stands_in() -> None:
    assert audio.read_tags(id3(id3_text(b"TPE2", "Band")) + MP3).artist == "Band"
    assert audio.read_tags(id3(id3_text(b"TPE2", "Band"), id3_text(b"TPE1", "Singer")) + MP3).artist == "Singer"


def test_what_is_no_audio_has_no_tags() -> None:
    for contents in (b"", b"nothing", id3(id3_text(b"TIT2", "x"))):
        with pytest.raises(AudioError):
            audio.read_tags(contents)
    with pytest.raises(FileNotFoundError):
        audio.read_tags("no/such/file.mp3")


TAGGED = [file.read_bytes() for file in sorted((REPOSITORY / "tests" / "corpus" / "tags").iterdir())]


@settings(max_examples=200)
@given(data=st.data())
def test_hostile_tags_do_no_harm(data: st.DataObject) -> None:
    song = bytearray(data.draw(st.sampled_from(TAGGED)))
    byte = st.one_of(st.integers(0, 255), st.sampled_from([0, 0x7F, 0x80, 0xFF]))
    for at, value in data.draw(st.lists(st.tuples(st.integers(0, 1_000), byte), max_size=12)):
        song[at % len(song)] = value
    del song[data.draw(st.integers(0, len(song))) :]
    try:
        tags = audio.read_tags(bytes(song))
    except AudioError:
        return
    for text in (tags.title, tags.artist, tags.album):
        assert text is None or ((0 < len(text) <= 500 and text.isprintable()) or " " in text or not text.isascii())
