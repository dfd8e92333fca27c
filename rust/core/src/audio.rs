//! Sound files of any common kind to mono samples at one rate, with time 0 at the first sample a listener hears.
//!
//! What is cut away so that time 0 is right, and by which evidence:
//!
//! | format | start | end |
//! | --- | --- | --- |
//! | mp3 with a LAME (or libavcodec) tag | encoder delay of the tag + 529 samples of decoder delay | padding of the tag, if the file has exactly the frames the tag counts |
//! | mp3 without such a tag | nothing: no player can know the delay, all of them (mpg123, ffmpeg) play it | nothing |
//! | Ogg Vorbis, Ogg FLAC | samples before granule position 0 | samples after the last granule position, on the last page only |
//! | m4a (AAC, ALAC) | start of the first edit of the edit list, else the priming of `iTunSMPB` | `iTunSMPB` length, else the end of that edit |
//! | raw AAC (ADTS), wav, FLAC | nothing | nothing |
//!
//! A positive first granule (a stream recorded from its middle) inserts no silence, and damaged stretches whose length
//! is known are replaced by silence, so what follows stays in time.

use std::borrow::Cow;
use std::fmt;
use std::io::{Cursor, ErrorKind};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

use rubato::audioadapter_buffers::direct::SequentialSlice;
use rubato::{FixedSync, Resampler as _, WindowFunction};
use symphonia::core::audio::{Channels, GenericAudioBufferRef};
use symphonia::core::codecs::audio::well_known::{CODEC_ID_ALAC, CODEC_ID_FLAC, CODEC_ID_OPUS, CODEC_ID_VORBIS};
use symphonia::core::codecs::audio::{AudioDecoder, AudioDecoderOptions};
use symphonia::core::errors::Error as DecoderError;
use symphonia::core::formats::{FormatOptions, FormatReader, Track, TrackType};
use symphonia::core::io::{MediaSourceStream, MediaSourceStreamOptions};
use symphonia::core::packet::Packet;
use symphonia::default::formats::{AdtsReader, FlacReader, IsoMp4Reader, MpaReader, OggReader, WavReader};

use crate::error::{Error, Limits, Place, Result, Warning};

/// Lowest sample rate that is read or made.
pub const MIN_RATE_HZ: u32 = 8_000;
/// Highest sample rate that is read or made.
pub const MAX_RATE_HZ: u32 = 192_000;
/// Most channels that are mixed down.
pub const MAX_CHANNELS: usize = 8;

/// Most channels of Vorbis that symphonia 0.6 decodes rightly: with more, libvorbis writes residues of type 1 and of
/// submaps, and for those its output differs from libvorbis' by up to full scale.
const MAX_VORBIS_CHANNELS: usize = 2;

/// Packets in a row that may fail before the rest of a file is given up.
const MAX_BAD_PACKETS: u32 = 4_096;
/// Longest block any supported codec decodes to, in frames: the most silence one lost packet stands for.
const MAX_BLOCK_FRAMES: i64 = 65_536;
/// Samples beyond this are no sound but damage, and would overflow sums of squares.
const MAX_SAMPLE: f32 = 1e9;
/// Jumps of the time stamps up to this many frames are an encoder's carelessness, not missing sound.
const MIN_GAP_FRAMES: i64 = 1_024;
/// Longest silence that stands for one damaged stretch, in seconds.
const MAX_SILENCE_S: i64 = 60;
/// How far into an mp3 the first frame may lie behind junk, in bytes.
const MAX_JUNK_BYTES: usize = 1 << 16;
/// Frames of one resampling block on the side of the lower rate: the filter is flat to 97 % of that side's band.
const RESAMPLE_BLOCK_FRAMES: usize = 1_024;

/// Where the sound comes from.
#[derive(Clone, Copy, Debug)]
pub enum Source<'a> {
    /// A file.
    Path(&'a Path),
    /// Bytes already read, with the name that messages use.
    Bytes {
        /// Name for messages.
        name: &'a str,
        /// Contents of the file.
        bytes: &'a [u8],
    },
}

/// How to decode.
#[derive(Clone, Debug, PartialEq)]
pub struct DecodeOptions {
    /// Rate of the samples to make, [`MIN_RATE_HZ`] to [`MAX_RATE_HZ`].
    pub sample_rate_hz: u32,
    /// Longest sound that is accepted, in seconds.
    pub max_seconds: f64,
}

impl Default for DecodeOptions {
    fn default() -> Self {
        Self { sample_rate_hz: 22_050, max_seconds: 1_800.0 }
    }
}

/// What a file was recognised as, by its contents.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// RIFF WAVE.
    Wav,
    /// Vorbis in Ogg (`.ogg`, `.egg`).
    OggVorbis,
    /// FLAC in Ogg.
    OggFlac,
    /// Native FLAC.
    Flac,
    /// MPEG layer 3.
    Mp3,
    /// AAC in MP4 (`.m4a`).
    Mp4Aac,
    /// Apple Lossless in MP4.
    Mp4Alac,
    /// Raw AAC with ADTS headers.
    Adts,
}

impl Format {
    /// Stable short name, for example `ogg-vorbis`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Wav => "wav",
            Self::OggVorbis => "ogg-vorbis",
            Self::OggFlac => "ogg-flac",
            Self::Flac => "flac",
            Self::Mp3 => "mp3",
            Self::Mp4Aac => "m4a-aac",
            Self::Mp4Alac => "m4a-alac",
            Self::Adts => "aac",
        }
    }
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A decoded song.
#[derive(Clone, Debug, PartialEq)]
pub struct Decoded {
    /// Mono samples (mean of the channels), nominally −1…1, all finite.
    pub samples: Vec<f32>,
    /// Rate of `samples`.
    pub sample_rate_hz: u32,
    /// Rate of the file.
    pub source_rate_hz: u32,
    /// Channels of the file.
    pub channels: usize,
    /// Length of `samples`.
    pub seconds: f64,
    /// What the file is.
    pub format: Format,
    /// Encoder delay that was cut from the start, in samples of the file's rate.
    pub trimmed_start_samples: u64,
    /// What was wrong with the file and was survived.
    pub warnings: Vec<Warning>,
}

/// Decodes `source` to mono at `options.sample_rate_hz`; the table at the top of this module says what is trimmed.
///
/// The result has `round(frames · sample_rate_hz / source_rate_hz)` samples. A file that is cut short or damaged gives
/// what is sound and a warning (`truncated`, `damaged`, `non-finite`, `rate-change`).
///
/// # Errors
/// [`Error::Io`] when the file cannot be read, [`Error::Limit`] beyond `max_seconds`, [`MAX_CHANNELS`] or
/// [`Limits::media_bytes`], [`Error::Spec`] for impossible options, and [`Error::Audio`] when there is nothing to hear.
pub fn decode(source: Source<'_>, options: &DecodeOptions) -> Result<Decoded> {
    if !(MIN_RATE_HZ..=MAX_RATE_HZ).contains(&options.sample_rate_hz) {
        return Err(Error::Spec {
            field: "sample_rate_hz".into(),
            problem: format!("found {}, expected {MIN_RATE_HZ} to {MAX_RATE_HZ}", options.sample_rate_hz),
        });
    }
    if !(options.max_seconds > 0.0 && options.max_seconds <= 86_400.0) {
        return Err(Error::Spec {
            field: "max_seconds".into(),
            problem: format!("found {}, expected more than 0 and at most 86400", options.max_seconds),
        });
    }
    let (name, bytes) = match source {
        Source::Path(path) => (path.to_path_buf(), Cow::Owned(read_file(path)?)),
        Source::Bytes { name, bytes } => (PathBuf::from(name), Cow::Borrowed(bytes)),
    };
    let job = Job { name: &name, options };
    job.check_bytes(bytes.len() as u64)?;
    job.decode(&bytes)
}

fn read_file(path: &Path) -> Result<Vec<u8>> {
    let size = std::fs::metadata(path).map_err(Error::io(path))?.len();
    Job { name: path, options: &DecodeOptions::default() }.check_bytes(size)?;
    std::fs::read(path).map_err(Error::io(path))
}

/// One call of [`decode`]: what its messages and limits need.
struct Job<'a> {
    name: &'a Path,
    options: &'a DecodeOptions,
}

impl Job<'_> {
    fn error(&self, problem: impl Into<String>) -> Error {
        Error::Audio { path: self.name.to_path_buf(), problem: problem.into() }
    }

    fn limit(&self, name: &'static str, limit: u64, found: u64) -> Error {
        Error::Limit { name, limit, found, place: self.place() }
    }

    fn place(&self) -> Place {
        Place::file(self.name.display().to_string())
    }

    fn check_bytes(&self, found: u64) -> Result<()> {
        let limit = Limits::default().media_bytes;
        if found > limit { Err(self.limit("media_bytes", limit, found)) } else { Ok(()) }
    }

    fn decode(&self, bytes: &[u8]) -> Result<Decoded> {
        let (container, start) = sniff(bytes).map_err(|problem| self.error(problem))?;
        let body = strip_id3v1(bytes.get(start..).unwrap_or_default());
        let mended = match container {
            Container::Wav => mend_wav(body),
            Container::Mp4 => mend_mp4(body).map_err(|problem| self.error(problem))?,
            _ => None,
        };
        let body = mended.as_deref().unwrap_or(body);
        let mut session = Session::new(self, container);
        if container == Container::Wav && mended.is_some() {
            session.warn("truncated", "the lengths in its header do not fit the file, all there is was read".into());
        }
        // The demuxers and decoders are other people's code fed with hostile bytes: should one of them panic, what was
        // decoded before is kept, exactly as when it had returned an error.
        let outcome = catch_unwind(AssertUnwindSafe(|| session.run(body)))
            .unwrap_or_else(|_| Err(Stop::Damaged("the decoder broke down".into())));
        match outcome {
            Ok(()) => {}
            Err(Stop::Fatal(error)) => return Err(error),
            Err(Stop::Truncated) => session.warn("truncated", "the file ends before the sound does".into()),
            Err(Stop::Damaged(problem)) => session.warn("damaged", problem),
        }
        session.finish()
    }
}

/// Why decoding ended before the end of the stream.
enum Stop {
    Fatal(Error),
    Truncated,
    Damaged(String),
}

impl From<DecoderError> for Stop {
    fn from(error: DecoderError) -> Self {
        match error {
            DecoderError::IoError(error) if error.kind() == ErrorKind::UnexpectedEof => Self::Truncated,
            error => Self::Damaged(error.to_string()),
        }
    }
}

/// Container found by its magic bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Container {
    Wav,
    Ogg,
    Flac,
    Mp3,
    Mp4,
    Adts,
}

/// Finds the container and where it starts (behind any ID3v2 tags), or says in one sentence what the bytes are instead.
fn sniff(bytes: &[u8]) -> Result<(Container, usize), String> {
    if bytes.is_empty() {
        return Err("the file is empty".into());
    }
    let start = skip_id3(bytes);
    let body = bytes.get(start..).unwrap_or_default();
    let found = match body {
        [b'R', b'I', b'F', b'F', _, _, _, _, b'W', b'A', b'V', b'E', ..] => Some(Container::Wav),
        [b'O', b'g', b'g', b'S', ..] => Some(Container::Ogg),
        [b'f', b'L', b'a', b'C', ..] => Some(Container::Flac),
        [_, _, _, _, b'f', b't', b'y', b'p', ..] => Some(Container::Mp4),
        [0xff, second, ..] if second & 0xf6 == 0xf0 => Some(Container::Adts),
        _ => None,
    };
    if let Some(container) = found {
        if container == Container::Ogg {
            refuse_foreign_ogg(body)?;
        }
        return Ok((container, start));
    }
    if let Some(junk) = find_mp3(body) {
        return Ok((Container::Mp3, start + junk));
    }
    Err(foreign(body))
}

/// Length of the ID3v2 tags at the start: any number of them, each with a 28-bit size.
fn skip_id3(bytes: &[u8]) -> usize {
    let mut start = 0_usize;
    while let Some([b'I', b'D', b'3', major, _, flags, a, b, c, d, ..]) = bytes.get(start..) {
        if *major == 0xff || (a | b | c | d) & 0x80 != 0 {
            break;
        }
        let size = [a, b, c, d].iter().fold(0_usize, |sum, &&byte| sum << 7 | usize::from(byte));
        let footer = if flags & 0x10 == 0 { 0 } else { 10 };
        start = start.saturating_add(10 + size + footer).min(bytes.len());
    }
    start
}

/// The bytes without an ID3v1 tag at the end, which would cost a FLAC file its last frame.
fn strip_id3v1(bytes: &[u8]) -> &[u8] {
    match bytes.split_last_chunk::<128>() {
        Some((body, [b'T', b'A', b'G', ..])) => body,
        _ => bytes,
    }
}

/// A copy with the true lengths where a wav promises more than there is, or nothing, as a writer leaves it that was
/// stopped or wrote into a pipe.
fn mend_wav(bytes: &[u8]) -> Option<Vec<u8>> {
    let length = |at: usize| bytes.get(at..)?.first_chunk::<4>().map(|chunk| u32::from_le_bytes(*chunk) as usize);
    let riff_end = length(4)?.saturating_add(8);
    let mut at = 12;
    while bytes.get(at..at + 4)? != b"data" {
        let padded = length(at + 4)?.checked_next_multiple_of(2)?;
        at = at.checked_add(8)?.checked_add(padded)?;
    }
    let (size, left) = (length(at + 4)?, bytes.len().checked_sub(at + 8)?);
    let whole = 0 < size && size <= left;
    if left == 0 || whole && at + 8 + size <= riff_end {
        return None;
    }
    let mut mended = bytes.to_vec();
    mended.get_mut(4..8)?.copy_from_slice(&u32::try_from(bytes.len() - 8).ok()?.to_le_bytes());
    if !whole {
        mended.get_mut(at + 4..at + 8)?.copy_from_slice(&u32::try_from(left).ok()?.to_le_bytes());
    }
    Some(mended)
}

/// A copy whose last box ends with the file where it promises more, or the sentence that there is no index to play by.
fn mend_mp4(bytes: &[u8]) -> Result<Option<Vec<u8>>, String> {
    if child(bytes, b"moov").is_none() {
        return Err("its index (moov box) is missing, the file is probably cut short".into());
    }
    let mut at = 0;
    while let Some(size) = be_u32(bytes, at) {
        let left = bytes.len() - at;
        let size = if size == 1 {
            be_u64(bytes, at + 8).and_then(|size| usize::try_from(size).ok())
        } else {
            Some(size as usize)
        };
        match size {
            Some(0) => break,
            Some(size) if (8..=left).contains(&size) => at += size,
            _ => {
                let mut mended = bytes.to_vec();
                // Size 0 means: to the end of the file.
                mended[at..at + 4].fill(0);
                return Ok(Some(mended));
            }
        }
    }
    Ok(None)
}

/// Length in bytes of the layer-3 frame whose header is at the start of `bytes`, and the header's fixed bits.
fn mp3_frame(bytes: &[u8]) -> Option<(usize, [u8; 2])> {
    const RATES_KBPS: [[u16; 14]; 2] = [
        [32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320],
        [8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160],
    ];
    let &[0xff, version_layer, rates, _, ..] = bytes else { return None };
    let version = version_layer >> 3 & 3;
    let layer3 = version_layer & 0xe6 == 0xe2;
    if !layer3 || version == 1 {
        return None;
    }
    let rate_hz = [44_100_usize, 48_000, 32_000].get(usize::from(rates >> 2 & 3))?;
    let mpeg1 = version == 3;
    let kbps = RATES_KBPS[usize::from(!mpeg1)].get(usize::from(rates >> 4).checked_sub(1)?)?;
    let shift = match version {
        3 => 0,
        2 => 1,
        _ => 2,
    };
    let slots = if mpeg1 { 144_000 } else { 72_000 };
    let length = slots * usize::from(*kbps) / (rate_hz >> shift) + usize::from(rates >> 1 & 1);
    Some((length, [version_layer & 0xfe, rates & 0x0c]))
}

/// Offset of the first layer-3 frame: right at the start with one more behind it (or the end of the file), or behind
/// some junk with three more behind it.
fn find_mp3(bytes: &[u8]) -> Option<usize> {
    let follows = |start: usize, wanted: usize| {
        let Some((first, fixed)) = bytes.get(start..).and_then(mp3_frame) else { return false };
        let mut at = start + first;
        for _ in 0..wanted {
            match bytes.get(at..).and_then(mp3_frame) {
                Some((length, other)) if other == fixed => at += length,
                // A short file may end inside its first frames, but only the very start may be taken on trust.
                _ => return start == 0 && at >= bytes.len(),
            }
        }
        true
    };
    if follows(0, 1) {
        return Some(0);
    }
    (1..bytes.len().min(MAX_JUNK_BYTES)).find(|&start| follows(start, 3))
}

fn refuse_foreign_ogg(bytes: &[u8]) -> Result<(), String> {
    let head = bytes.get(..bytes.len().min(4_096)).unwrap_or_default();
    let has = |mark: &[u8]| head.windows(mark.len()).any(|window| window == mark);
    if has(b"\x01vorbis") || has(b"\x7fFLAC") {
        return Ok(());
    }
    for (mark, codec) in [(&b"OpusHead"[..], "Opus"), (b"Speex   ", "Speex"), (b"\x80theora", "Theora video")] {
        if has(mark) {
            return Err(unsupported(&format!("{codec} in Ogg")));
        }
    }
    Ok(())
}

fn unsupported(what: &str) -> String {
    format!("{what} is not supported, convert it first (ffmpeg -i song -ac 2 -c:a libvorbis -q:a 6 song.ogg)")
}

/// What bytes are that no reader here takes.
fn foreign(bytes: &[u8]) -> String {
    let text = |mark: &[u8]| bytes.get(..64.min(bytes.len())).unwrap_or_default().trim_ascii_start().starts_with(mark);
    if text(b"version https://git-lfs") {
        return "a git-lfs pointer stands in place of the audio, fetch it with git lfs pull".into();
    }
    if bytes.iter().all(|&byte| byte == 0) {
        return format!("all of its {} bytes are zero, expected audio", bytes.len());
    }
    let known = [
        (&b"PK\x03\x04"[..], "a zip archive"),
        (b"<", "a web page or XML"),
        (b"{", "JSON"),
        (b"[", "JSON"),
        (b"%PDF", "a PDF"),
        (b"\x89PNG", "a PNG image"),
        (b"\xff\xd8\xff", "a JPEG image"),
        (b"MThd", "a MIDI file, which holds notes and no sound"),
    ];
    if let Some((_, what)) = known.iter().find(|(mark, _)| text(mark)) {
        return format!("this is {what}, expected wav, ogg, mp3, flac or m4a");
    }
    let audio = [
        (&b"\x1a\x45\xdf\xa3"[..], "WebM or Matroska"),
        (b"\x30\x26\xb2\x75", "WMA"),
        (b"FORM", "AIFF"),
        (b"RF64", "RF64 wav"),
        (b"wvpk", "WavPack"),
        (b"MAC ", "Monkey's Audio"),
        (b"DSD ", "DSD"),
    ];
    match audio.iter().find(|(mark, _)| bytes.starts_with(mark)) {
        Some((_, what)) => unsupported(what),
        None => "not audio that is known here, expected wav, ogg, mp3, flac or m4a".into(),
    }
}

/// What an MP4 file says about which part of its track is to be heard.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Edit {
    /// Frames before the first to be heard, in units of the track's own clock.
    skip: u64,
    /// Length to be heard in the same units, if it is known.
    keep: Option<u64>,
}

/// The boxes of one level: four-letter kind and payload, as far as they are sound.
fn boxes(mut bytes: &[u8]) -> impl Iterator<Item = ([u8; 4], &[u8])> {
    std::iter::from_fn(move || {
        let (size, rest) = bytes.split_first_chunk::<4>()?;
        let (kind, rest) = rest.split_first_chunk::<4>()?;
        let (header, size) = match u32::from_be_bytes(*size) {
            0 => (8, bytes.len()),
            1 => (16, usize::try_from(u64::from_be_bytes(*rest.first_chunk::<8>()?)).ok()?),
            size => (8, size as usize),
        };
        let payload = bytes.get(header..size.min(bytes.len()))?;
        bytes = bytes.get(size..).unwrap_or_default();
        Some((*kind, payload))
    })
}

fn child<'a>(bytes: &'a [u8], kind: &[u8; 4]) -> Option<&'a [u8]> {
    boxes(bytes).find(|(found, _)| found == kind).map(|(_, payload)| payload)
}

fn be_u32(bytes: &[u8], at: usize) -> Option<u32> {
    bytes.get(at..)?.first_chunk::<4>().map(|chunk| u32::from_be_bytes(*chunk))
}

fn be_u64(bytes: &[u8], at: usize) -> Option<u64> {
    bytes.get(at..)?.first_chunk::<8>().map(|chunk| u64::from_be_bytes(*chunk))
}

/// Ticks per second of an `mvhd` or `mdhd` box.
fn timescale(bytes: &[u8]) -> Option<u64> {
    let at = if *bytes.first()? == 1 { 20 } else { 12 };
    be_u32(bytes, at).filter(|&ticks| ticks > 0).map(u64::from)
}

/// The part of track `track_id` to be heard, from its edit list and the `iTunSMPB` comment. Symphonia reads neither.
fn mp4_edit(bytes: &[u8], track_id: u32) -> Edit {
    let Some(moov) = child(bytes, b"moov") else { return Edit::default() };
    let track = boxes(moov).filter(|(kind, _)| kind == b"trak").map(|(_, trak)| trak).find(|trak| {
        let id = child(trak, b"tkhd").and_then(|tkhd| {
            let at = if *tkhd.first()? == 1 { 20 } else { 12 };
            be_u32(tkhd, at)
        });
        id == Some(track_id)
    });
    let listed = track.and_then(|trak| edit_list(moov, trak)).unwrap_or_default();
    let Some((priming, samples)) = itunes_gapless(moov) else { return listed };
    let skip = if listed.skip > 0 { listed.skip } else { priming };
    // The movie's clock is often no finer than a millisecond, so Apple's exact count is the better end.
    Edit { skip, keep: Some(samples).filter(|&samples| samples > 0).or(listed.keep) }
}

fn edit_list(moov: &[u8], trak: &[u8]) -> Option<Edit> {
    let movie_clock = timescale(child(moov, b"mvhd")?)?;
    let track_clock = timescale(child(child(trak, b"mdia")?, b"mdhd")?)?;
    let elst = child(child(trak, b"edts")?, b"elst")?;
    let wide = *elst.first()? == 1;
    let entry_bytes = if wide { 20 } else { 12 };
    let count = usize::try_from(be_u32(elst, 4)?).ok()?;
    let entries = elst.get(8..)?.chunks_exact(entry_bytes).take(count);
    // An entry with a negative media time is an empty edit: silence before the track, which no audio player inserts.
    let mut heard = entries.filter_map(|entry| {
        let (duration, media_time) = if wide {
            (be_u64(entry, 0)?, be_u64(entry, 8)?.cast_signed())
        } else {
            (u64::from(be_u32(entry, 0)?), i64::from(be_u32(entry, 4)?.cast_signed()))
        };
        u64::try_from(media_time).ok().map(|skip| (skip, duration))
    });
    let (skip, duration) = heard.next()?;
    let alone = heard.next().is_none();
    let keep = (u128::from(duration) * u128::from(track_clock)).div_ceil(u128::from(movie_clock));
    Some(Edit { skip, keep: u64::try_from(keep).ok().filter(|&keep| keep > 0 && alone) })
}

/// Priming and length in samples from Apple's ` 00000000 PRIMING REMAINDER LENGTH …` comment.
fn itunes_gapless(moov: &[u8]) -> Option<(u64, u64)> {
    let mark = b"iTunSMPB";
    let at = moov.windows(mark.len()).position(|window| window == mark)? + mark.len();
    let text = moov.get(at..)?;
    let data = text.windows(4).take(64).position(|window| window == b"data")? + 12;
    let text = text.get(data..)?;
    let text = std::str::from_utf8(text.get(..text.len().min(64))?.split(|&byte| byte == 0).next()?).ok()?;
    let mut fields = text.split_ascii_whitespace().skip(1);
    let priming = u64::from_str_radix(fields.next()?, 16).ok().filter(|&priming| priming < 16_384)?;
    let samples = u64::from_str_radix(fields.nth(1)?, 16).ok()?;
    Some((priming, samples))
}

/// The state of one decode: what was recognised, and the sink that the samples go to.
struct Session<'a> {
    job: &'a Job<'a>,
    container: Container,
    format: Option<Format>,
    channels: usize,
    sink: Option<Sink>,
    trimmed_start: u64,
    /// Frames at the end of `sink` that are padding unless more sound follows.
    tail: usize,
    non_finite: u64,
    lost_packets: u64,
    first_loss: String,
    warnings: Vec<Warning>,
    planes: Vec<Vec<f32>>,
    mono: Vec<f32>,
}

impl<'a> Session<'a> {
    fn new(job: &'a Job<'a>, container: Container) -> Self {
        Self {
            job,
            container,
            format: None,
            channels: 0,
            sink: None,
            trimmed_start: 0,
            tail: 0,
            non_finite: 0,
            lost_packets: 0,
            first_loss: String::new(),
            warnings: Vec::new(),
            planes: Vec::new(),
            mono: Vec::new(),
        }
    }

    fn warn(&mut self, rule: &'static str, message: String) {
        self.warnings.push(Warning { rule, place: self.job.place(), message, count: 1 });
    }

    fn run(&mut self, bytes: &[u8]) -> Result<(), Stop> {
        let stream = MediaSourceStream::new(Box::new(Cursor::new(bytes)), MediaSourceStreamOptions::default());
        let options = FormatOptions::default();
        let mut reader: Box<dyn FormatReader + '_> = match self.container {
            Container::Wav => Box::new(WavReader::try_new(stream, options)?),
            Container::Ogg => Box::new(OggReader::try_new(stream, options)?),
            Container::Flac => Box::new(FlacReader::try_new(stream, options)?),
            Container::Mp3 => Box::new(MpaReader::try_new(stream, options)?),
            Container::Mp4 => {
                // Symphonia steps back over the size of the first box, which its own probe has read already.
                let mut stream = stream;
                std::io::Read::read_exact(&mut stream, &mut [0; 4]).map_err(DecoderError::from)?;
                Box::new(IsoMp4Reader::try_new(stream, options)?)
            }
            Container::Adts => Box::new(AdtsReader::try_new(stream, options)?),
        };
        // A chained Ogg file is several streams one after another, each announced by a reset.
        while self.run_stream(reader.as_mut(), bytes)? == Next::Stream {}
        Ok(())
    }

    fn run_stream(&mut self, reader: &mut (dyn FormatReader + '_), bytes: &[u8]) -> Result<Next, Stop> {
        let Some(track) = reader.default_track(TrackType::Audio).cloned() else {
            return Err(Stop::Damaged("it has no audio track".into()));
        };
        let mut decoder = self.make_decoder(&track)?;
        let mut clock = Clock::new(self.container, &track, bytes);
        let mut bad_in_a_row = 0_u32;
        let ended = loop {
            let packet = match reader.next_packet() {
                Ok(Some(packet)) => packet,
                Ok(None) => break Ok(Next::End),
                Err(DecoderError::ResetRequired) => break Ok(Next::Stream),
                Err(error) => break Err(error.into()),
            };
            if packet.track_id != track.id {
                continue;
            }
            match decoder.decode(&packet) {
                Ok(buffer) => {
                    bad_in_a_row = 0;
                    if self.take(&buffer, &packet, &mut clock)? == Next::End {
                        return Ok(Next::End);
                    }
                }
                Err(error) => {
                    bad_in_a_row += 1;
                    self.lose(&error);
                    if bad_in_a_row > MAX_BAD_PACKETS {
                        break Err(Stop::Damaged(format!("{MAX_BAD_PACKETS} packets in a row cannot be decoded")));
                    }
                }
            }
        };
        self.end_stream(&track, &clock, ended.is_ok());
        ended
    }

    fn make_decoder(&mut self, track: &Track) -> Result<Box<dyn AudioDecoder>, Stop> {
        let fatal = |problem: String| Stop::Fatal(self.job.error(problem));
        let Some(params) = track.codec_params.as_ref().and_then(|params| params.audio()) else {
            return Err(fatal(unsupported("the codec of its audio track")));
        };
        let format = match (self.container, params.codec) {
            (Container::Wav, _) => Format::Wav,
            (Container::Flac, _) => Format::Flac,
            (Container::Mp3, _) => Format::Mp3,
            (Container::Adts, _) => Format::Adts,
            (Container::Ogg, CODEC_ID_VORBIS) => Format::OggVorbis,
            (Container::Ogg, CODEC_ID_FLAC) => Format::OggFlac,
            (Container::Mp4, CODEC_ID_ALAC) => Format::Mp4Alac,
            (Container::Mp4, _) => Format::Mp4Aac,
            (Container::Ogg, CODEC_ID_OPUS) => return Err(fatal(unsupported("Opus in Ogg"))),
            (Container::Ogg, _) => return Err(fatal(unsupported("the codec in this Ogg file"))),
        };
        if let Some(channels) = params.channels.as_ref().map(Channels::count) {
            self.check_channels(channels)?;
            if format == Format::OggVorbis && channels > MAX_VORBIS_CHANNELS {
                let what = format!("Vorbis with {channels} channels (one or two are)");
                return Err(fatal(unsupported(&what)));
            }
        }
        // Trimming is done here: the readers' own end trims rest on guesses (an mp3's length from its bit rate).
        let options = AudioDecoderOptions::default().gapless(false);
        let decoder = symphonia::default::get_codecs().make_audio_decoder(params, &options).map_err(|error| {
            let what = match format {
                Format::Mp4Aac | Format::Adts => "this kind of AAC (only AAC-LC with one or two channels is)".into(),
                _ => format!("the codec of this {format} file ({error})"),
            };
            Stop::Fatal(self.job.error(unsupported(&what)))
        })?;
        self.format.get_or_insert(format);
        Ok(decoder)
    }

    fn check_channels(&self, channels: usize) -> Result<(), Stop> {
        if channels > MAX_CHANNELS {
            let error = self.job.limit("audio_channels", MAX_CHANNELS as u64, channels as u64);
            return Err(Stop::Fatal(error));
        }
        Ok(())
    }

    fn lose(&mut self, error: &DecoderError) {
        if self.lost_packets == 0 {
            self.first_loss = error.to_string();
        }
        self.lost_packets += 1;
    }

    /// Mixes one decoded packet down and hands the part to be heard to the sink.
    fn take(&mut self, buffer: &GenericAudioBufferRef<'_>, packet: &Packet, clock: &mut Clock) -> Result<Next, Stop> {
        let spec = buffer.spec();
        let (rate_hz, channels) = (spec.rate(), spec.channels().count());
        if channels == 0 || buffer.frames() == 0 {
            return Ok(Next::Packet);
        }
        self.check_channels(channels)?;
        match &self.sink {
            None => {
                if !(MIN_RATE_HZ..=MAX_RATE_HZ).contains(&rate_hz) {
                    let problem = format!("its sample rate is {rate_hz} Hz, expected {MIN_RATE_HZ} to {MAX_RATE_HZ}");
                    return Err(Stop::Fatal(self.job.error(problem)));
                }
                self.channels = channels;
                self.sink = Some(Sink::new(rate_hz, self.job.options.sample_rate_hz).map_err(Stop::Damaged)?);
            }
            Some(sink) if sink.source_rate_hz != rate_hz => {
                let message = format!(
                    "the sample rate changes from {} to {rate_hz} Hz after {:.3} s, the rest is left out",
                    sink.source_rate_hz,
                    sink.seconds()
                );
                self.warn("rate-change", message);
                return Ok(Next::End);
            }
            Some(_) => {}
        }
        self.mix_down(buffer, channels);
        let Some(sink) = &mut self.sink else { return Ok(Next::End) };

        let frames = self.mono.len() as i64;
        let heard = clock.place(packet, frames, rate_hz, self.lost_packets);
        if heard.silence > 0 && sink.frames() > 0 {
            sink.push_silence(heard.silence);
            self.tail = 0;
        }
        self.trimmed_start += heard.delay;
        let part = self.mono.get(heard.from..heard.to).unwrap_or_default();
        sink.push(part);
        self.tail = if heard.padding > 0 { self.tail + heard.padding } else { 0 };

        let limit = self.job.options.max_seconds;
        let reached = sink.seconds() - self.tail as f64 / f64::from(rate_hz);
        if reached > limit {
            let error = self.job.limit("audio_seconds", limit as u64, reached.ceil() as u64);
            return Err(Stop::Fatal(error));
        }
        sink.flush(self.tail.max(clock.tag_padding)).map_err(Stop::Damaged)?;
        Ok(if heard.end { Next::End } else { Next::Packet })
    }

    /// Fills `mono` with the mean of the channels; what is not a number becomes 0.
    fn mix_down(&mut self, buffer: &GenericAudioBufferRef<'_>, channels: usize) {
        buffer.copy_to_vecs_planar(&mut self.planes);
        self.mono.clear();
        if let Some((first, others)) = self.planes.split_first() {
            self.mono.extend_from_slice(first);
            for plane in others {
                for (sum, sample) in self.mono.iter_mut().zip(plane) {
                    *sum += sample;
                }
            }
        }
        let scale = 1.0 / channels as f32;
        for sample in &mut self.mono {
            *sample *= scale;
            if sample.is_nan() || sample.abs() > MAX_SAMPLE {
                *sample = 0.0;
                self.non_finite += 1;
            }
        }
    }

    /// Cuts the padding of a stream that ended as it said it would, and says where it did not.
    fn end_stream(&mut self, track: &Track, clock: &Clock, whole: bool) {
        let Some(sink) = &mut self.sink else { return };
        let tagged = track.num_frames.filter(|_| clock.tag_padding > 0 || clock.has_delay);
        if self.container == Container::Mp3 {
            // The padding is at the end only if the end is where the tag has it: files glued together have more frames.
            if tagged.is_some_and(|frames| clock.reached == frames as i64 + clock.tag_padding as i64) {
                self.tail = clock.tag_padding;
            }
        }
        if whole || self.container != Container::Ogg {
            sink.drop_last(self.tail);
        }
        self.tail = 0;
        let promised = match self.container {
            Container::Mp3 => tagged,
            Container::Wav | Container::Flac => track.num_frames,
            // These say themselves, with an error, that they end too early, or cannot know.
            Container::Ogg | Container::Mp4 | Container::Adts => None,
        };
        let missing = promised.and_then(|frames| i64::try_from(frames).ok()).map_or(0, |frames| frames - clock.reached);
        let seconds = missing as f64 / f64::from(sink.source_rate_hz);
        if missing > 0 && whole {
            self.warn("truncated", format!("the last {seconds:.3} s that its header promises are missing"));
        }
        if clock.gaps > 0 {
            let message = format!("parts of it are missing in {} places", clock.gaps);
            self.warnings.push(Warning { rule: "damaged", place: self.job.place(), message, count: clock.gaps });
        }
    }

    fn finish(mut self) -> Result<Decoded> {
        let frames = self.sink.as_ref().map_or(0, Sink::frames);
        let (Some(sink), Some(format)) = (self.sink.take().filter(|_| frames > 0), self.format) else {
            let reason =
                self.warnings.first().map_or_else(|| self.first_loss.clone(), |warning| warning.message.clone());
            let reason = if reason.is_empty() { "it holds no sound".into() } else { reason };
            return Err(self.job.error(format!("nothing could be decoded: {reason}")));
        };
        if self.lost_packets > 0 {
            let message = format!("{} packets could not be decoded: {}", self.lost_packets, self.first_loss);
            let place = self.job.place();
            self.warnings.push(Warning { rule: "damaged", place, message, count: self.lost_packets });
        }
        if self.non_finite > 0 {
            let message = format!("{} samples are no numbers or absurdly large, read as 0", self.non_finite);
            let place = self.job.place();
            self.warnings.push(Warning { rule: "non-finite", place, message, count: self.non_finite });
        }
        let source_rate_hz = sink.source_rate_hz;
        let sample_rate_hz = self.job.options.sample_rate_hz;
        let samples = sink.finish().map_err(|problem| self.job.error(problem))?;
        Ok(Decoded {
            seconds: samples.len() as f64 / f64::from(sample_rate_hz),
            samples,
            sample_rate_hz,
            source_rate_hz,
            channels: self.channels,
            format,
            trimmed_start_samples: self.trimmed_start,
            warnings: self.warnings,
        })
    }
}

/// What comes after a packet or a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Next {
    Packet,
    Stream,
    End,
}

/// Which frames of a packet are to be heard.
struct Heard {
    from: usize,
    to: usize,
    /// Frames of encoder delay among those cut at the start.
    delay: u64,
    /// Frames at the end of the part that are padding if nothing follows.
    padding: usize,
    /// Frames of silence that stand for packets lost before this one.
    silence: usize,
    /// Nothing after this packet is to be heard.
    end: bool,
}

/// The clock of one track: turns packet times into frames and knows what is delay and padding.
struct Clock {
    container: Container,
    /// Seconds per tick, as a fraction.
    tick: (i64, i64),
    edit: Edit,
    has_delay: bool,
    tag_padding: usize,
    /// Position after the last frame decoded, in frames from the first to be heard.
    reached: i64,
    lost_before: u64,
    /// Places where the time stamps jump forward although no packet failed.
    gaps: u64,
    started: bool,
}

impl Clock {
    fn new(container: Container, track: &Track, bytes: &[u8]) -> Self {
        let tick = track.time_base.map_or((1, 1), |base| (i64::from(base.numer.get()), i64::from(base.denom.get())));
        let edit = if container == Container::Mp4 { mp4_edit(bytes, track.id) } else { Edit::default() };
        let tag_padding = if container == Container::Mp3 { track.padding.unwrap_or(0) as usize } else { 0 };
        Self {
            container,
            tick,
            edit,
            has_delay: track.delay.is_some(),
            tag_padding,
            reached: 0,
            lost_before: 0,
            gaps: 0,
            started: false,
        }
    }

    /// Ticks to frames at `rate_hz`, saturating: hostile time stamps may be anything.
    fn frames(&self, ticks: i64, rate_hz: u32) -> i64 {
        let frames = i128::from(ticks) * i128::from(self.tick.0) * i128::from(rate_hz) / i128::from(self.tick.1);
        i64::try_from(frames).unwrap_or(if frames < 0 { i64::MIN / 4 } else { i64::MAX / 4 })
    }

    fn place(&mut self, packet: &Packet, frames: i64, rate_hz: u32, lost: u64) -> Heard {
        let skip = self.frames(i64::try_from(self.edit.skip).unwrap_or(i64::MAX), rate_hz);
        let start = self.frames(packet.pts.get(), rate_hz).clamp(i64::MIN / 4, i64::MAX / 4) - skip;
        let newly_lost = i64::try_from(lost - self.lost_before).unwrap_or(i64::MAX);
        self.lost_before = lost;
        let gap = if self.started { start.saturating_sub(self.reached).max(0) } else { 0 };
        // Silence stands for packets that failed, and for FLAC frames that are missing, each of which knows its place.
        // Where Ogg pages are missing players join what is left, and the places of the pages behind are not exact.
        let blocks = if matches!(self.container, Container::Flac) { i64::MAX } else { newly_lost };
        let silence = gap.min(blocks.saturating_mul(MAX_BLOCK_FRAMES)).min(i64::from(rate_hz) * MAX_SILENCE_S);
        if gap > MIN_GAP_FRAMES && newly_lost == 0 {
            self.gaps += 1;
        }
        self.started = true;
        self.reached = start.saturating_add(frames);

        // The first Vorbis block after a start has no left half to lap with: its frames are no sound at all.
        let lap = if self.container == Container::Ogg {
            i64::try_from(packet.trim_start.get()).unwrap_or(i64::MAX).min(frames)
        } else {
            0
        };
        let from = (-start).clamp(lap, frames);
        let keep = self.edit.keep.map(|keep| self.frames(i64::try_from(keep).unwrap_or(i64::MAX), rate_hz));
        let to = keep.map_or(frames, |keep| keep.saturating_sub(start).clamp(from, frames));
        let padding = if self.container == Container::Ogg {
            i64::try_from(packet.trim_end.get()).unwrap_or(i64::MAX).min(to - from)
        } else {
            0
        };
        Heard {
            from: from as usize,
            to: to as usize,
            delay: (from - lap) as u64,
            padding: padding as usize,
            silence: silence as usize,
            end: to < frames,
        }
    }
}

/// Collects mono frames at the file's rate and turns them into samples at the wanted one, block by block.
struct Sink {
    source_rate_hz: u32,
    pending: Vec<f32>,
    /// Frames that have left `pending`.
    passed: u64,
    resampler: Option<Resampler>,
    samples: Vec<f32>,
}

impl Sink {
    fn new(source_rate_hz: u32, rate_hz: u32) -> Result<Self, String> {
        let resampler = if source_rate_hz == rate_hz { None } else { Some(Resampler::new(source_rate_hz, rate_hz)?) };
        Ok(Self { source_rate_hz, pending: Vec::new(), passed: 0, resampler, samples: Vec::new() })
    }

    fn frames(&self) -> u64 {
        self.passed + self.pending.len() as u64
    }

    fn seconds(&self) -> f64 {
        self.frames() as f64 / f64::from(self.source_rate_hz)
    }

    fn push(&mut self, frames: &[f32]) {
        self.pending.extend_from_slice(frames);
    }

    fn push_silence(&mut self, frames: usize) {
        self.pending.resize(self.pending.len() + frames, 0.0);
    }

    fn drop_last(&mut self, frames: usize) {
        self.pending.truncate(self.pending.len().saturating_sub(frames));
    }

    /// Passes on all pending frames but the last `keep`.
    fn flush(&mut self, keep: usize) -> Result<(), String> {
        let ready = self.pending.len().saturating_sub(keep);
        let ready = match &mut self.resampler {
            None => {
                self.samples.extend_from_slice(&self.pending[..ready]);
                ready
            }
            Some(resampler) => resampler.push_blocks(&self.pending[..ready], &mut self.samples)?,
        };
        self.pending.drain(..ready);
        self.passed += ready as u64;
        Ok(())
    }

    fn finish(mut self) -> Result<Vec<f32>, String> {
        self.flush(0)?;
        if let Some(resampler) = &mut self.resampler {
            resampler.finish(&self.pending, self.passed + self.pending.len() as u64, &mut self.samples)?;
        }
        Ok(self.samples)
    }
}

/// A fixed-ratio FFT resampler with its delay taken out.
struct Resampler {
    inner: rubato::Fft<f32>,
    ratio: (u64, u64),
    /// Output samples still to be dropped: the filter's delay.
    delay: usize,
    block: Vec<f32>,
}

impl Resampler {
    fn new(from_hz: u32, to_hz: u32) -> Result<Self, String> {
        let gcd = {
            let (mut a, mut b) = (from_hz, to_hz);
            while b > 0 {
                (a, b) = (b, a % b);
            }
            a
        };
        // An even number of the smallest blocks makes the filter's delay a whole number of samples on both sides.
        let unit = (from_hz / gcd).min(to_hz / gcd) as usize;
        let units = RESAMPLE_BLOCK_FRAMES.div_ceil(unit).next_multiple_of(2);
        let chunk = units * (from_hz / gcd) as usize;
        let window = WindowFunction::BlackmanHarris2;
        let (from, to) = (from_hz as usize, to_hz as usize);
        let inner = rubato::Fft::new_custom(from, to, chunk, 1, 1, window, FixedSync::Both)
            .map_err(|error| format!("no resampling from {from_hz} to {to_hz} Hz: {error}"))?;
        let block = vec![0.0; inner.output_frames_max()];
        Ok(Self { delay: inner.output_delay(), inner, ratio: (u64::from(from_hz), u64::from(to_hz)), block })
    }

    /// Resamples as many whole blocks as `frames` holds and returns how many frames that were.
    fn push_blocks(&mut self, frames: &[f32], samples: &mut Vec<f32>) -> Result<usize, String> {
        let size = self.inner.input_frames_next();
        let blocks = frames.chunks_exact(size);
        let done = frames.len() - blocks.remainder().len();
        for block in blocks {
            self.process(block, samples)?;
        }
        Ok(done)
    }

    fn process(&mut self, block: &[f32], samples: &mut Vec<f32>) -> Result<(), String> {
        let space = self.block.len();
        let input = SequentialSlice::new(block, 1, block.len()).map_err(|error| error.to_string())?;
        let mut output = SequentialSlice::new_mut(&mut self.block, 1, space).map_err(|error| error.to_string())?;
        let (_, made) = self.inner.process_into_buffer(&input, &mut output, None).map_err(|error| error.to_string())?;
        let dropped = self.delay.min(made);
        self.delay -= dropped;
        samples.extend_from_slice(self.block.get(dropped..made).unwrap_or_default());
        Ok(())
    }

    /// Resamples the `rest` and silence until all of the `total` frames have come out.
    fn finish(&mut self, rest: &[f32], total: u64, samples: &mut Vec<f32>) -> Result<(), String> {
        let wanted = usize::try_from((total * self.ratio.1 + self.ratio.0 / 2) / self.ratio.0).unwrap_or(usize::MAX);
        let mut block = rest.to_vec();
        block.resize(self.inner.input_frames_next(), 0.0);
        while samples.len() < wanted {
            self.process(&block, samples)?;
            block.fill(0.0);
        }
        samples.truncate(wanted);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The committed files of `tests/golden/audio`.
    fn golden() -> Vec<(String, Vec<u8>)> {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/golden/audio");
        let mut files: Vec<_> = std::fs::read_dir(folder)
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .filter(|path| !matches!(path.extension().and_then(|suffix| suffix.to_str()), Some("py" | "json")))
            .map(|path| (path.file_name().unwrap().to_str().unwrap().to_owned(), std::fs::read(&path).unwrap()))
            .collect();
        files.sort();
        assert_eq!(files.len(), 7);
        files.push(("tone.wav".into(), wav(&[0.25; 4_000], 44_100, 2)));
        files
    }

    /// A float wav file of interleaved samples.
    fn wav(samples: &[f32], rate_hz: u32, channels: u16) -> Vec<u8> {
        let data: Vec<u8> = samples.iter().flat_map(|sample| sample.to_le_bytes()).collect();
        let mut file = b"RIFF".to_vec();
        file.extend((36 + data.len() as u32).to_le_bytes());
        file.extend(b"WAVEfmt ");
        file.extend(16_u32.to_le_bytes());
        file.extend(3_u16.to_le_bytes());
        file.extend(channels.to_le_bytes());
        file.extend(rate_hz.to_le_bytes());
        file.extend((rate_hz * 4 * u32::from(channels)).to_le_bytes());
        file.extend((4 * channels).to_le_bytes());
        file.extend(32_u16.to_le_bytes());
        file.extend(b"data");
        file.extend((data.len() as u32).to_le_bytes());
        file.extend(data);
        file
    }

    fn run(bytes: &[u8], sample_rate_hz: u32) -> Result<Decoded> {
        decode(Source::Bytes { name: "test", bytes }, &DecodeOptions { sample_rate_hz, max_seconds: 20.0 })
    }

    /// What holds for any input at all.
    fn check(bytes: &[u8]) -> Result<(), TestCaseError> {
        match run(bytes, 22_050) {
            Ok(decoded) => {
                prop_assert!(decoded.samples.iter().all(|sample| sample.is_finite()));
                prop_assert!(!decoded.samples.is_empty() || decoded.source_rate_hz > 22_050);
                prop_assert!(decoded.seconds <= 20.1);
                prop_assert!((1..=MAX_CHANNELS).contains(&decoded.channels));
            }
            Err(error) => {
                let sentence = error.to_string();
                prop_assert!(matches!(error, Error::Audio { .. } | Error::Limit { .. }), "{}", sentence);
                prop_assert!(sentence.starts_with("test: ") && !sentence.contains('\n'), "{}", sentence);
            }
        }
        Ok(())
    }

    #[test]
    fn the_delay_and_length_of_every_format_are_known() {
        for (name, bytes) in golden() {
            let decoded = run(&bytes, 22_050).unwrap();
            let delay = match name.as_str() {
                "tone.m4a" | "tone-smpb.m4a" => 1_024,
                "tone.mp3" => 1_105,
                _ => 0,
            };
            assert_eq!(decoded.trimmed_start_samples, delay, "{name}");
            assert!(decoded.warnings.is_empty(), "{name}: {:?}", decoded.warnings);
        }
    }

    #[test]
    fn a_missing_file_is_an_io_error_with_its_path() {
        let path = Path::new("no/such/song.ogg");
        let error = decode(Source::Path(path), &DecodeOptions::default()).unwrap_err();
        assert!(matches!(&error, Error::Io { path: found, .. } if found == path));
    }

    #[test]
    fn edit_lists_of_both_versions_are_read() {
        fn boxed(kind: &[u8; 4], payload: &[u8]) -> Vec<u8> {
            [&(8 + payload.len() as u32).to_be_bytes()[..], kind, payload].concat()
        }
        fn words(values: &[u32]) -> Vec<u8> {
            values.iter().flat_map(|value| value.to_be_bytes()).collect()
        }
        let moov = |elst: &[u8]| {
            let clock = |kind, ticks| boxed(kind, &words(&[0, 0, 0, ticks, 0]));
            let trak = [
                boxed(b"tkhd", &words(&[0, 0, 0, 7, 0])),
                boxed(b"edts", &boxed(b"elst", elst)),
                boxed(b"mdia", &clock(b"mdhd", 44_100)),
            ];
            boxed(b"moov", &[clock(b"mvhd", 1_000), boxed(b"trak", &trak.concat())].concat())
        };
        // An empty edit of 2 s, then 500 ms from sample 2112 on.
        let narrow = words(&[0, 2, 2_000, u32::MAX, 0x1_0000, 500, 2_112, 0x1_0000]);
        let wide = words(&[0x0100_0000, 1, 0, 500, 0, 2_112, 0x1_0000]);
        let edit = Edit { skip: 2_112, keep: Some(22_050) };
        assert_eq!(mp4_edit(&moov(&narrow), 7), edit);
        assert_eq!(mp4_edit(&moov(&wide), 7), edit);
        assert_eq!(mp4_edit(&moov(&wide), 8), Edit::default());
        // Several edits: the end of the first is not the end of the song.
        let several = words(&[0, 2, 500, 2_112, 0x1_0000, 500, 60_000, 0x1_0000]);
        assert_eq!(mp4_edit(&moov(&several), 7), Edit { skip: 2_112, keep: None });
        for cut in 0..moov(&wide).len() {
            mp4_edit(&moov(&wide)[..cut], 7);
        }
    }

    proptest! {
        #[test]
        fn mono_of_any_rate_has_the_length_of_the_ratio(
            frames in 1_usize..5_000, channels in 1_u16..=8, from in MIN_RATE_HZ..=MAX_RATE_HZ, to in MIN_RATE_HZ..=48_000,
        ) {
            // Rates in whole hundreds, as any rate in use is a multiple of 25: primes would need long transforms.
            let (from, to) = (from / 100 * 100, to / 100 * 100);
            let decoded = run(&wav(&vec![0.5; frames * usize::from(channels)], from, channels), to).unwrap();
            let expected = (frames as f64 * f64::from(to) / f64::from(from)).round();
            prop_assert_eq!(decoded.samples.len() as f64, expected);
            prop_assert_eq!(decoded.channels, usize::from(channels));
            prop_assert!(decoded.samples.iter().all(|sample| sample.abs() < 0.7));
        }

        #[test]
        fn mixing_is_the_mean_of_the_channels(channels in 1_u16..=8, values in prop::collection::vec(-1.0_f32..1.0, 8)) {
            let frame = &values[..usize::from(channels)];
            let mean = frame.iter().sum::<f32>() / f32::from(channels);
            let decoded = run(&wav(&frame.repeat(50), 22_050, channels), 22_050).unwrap();
            prop_assert_eq!(decoded.samples.len(), 50);
            prop_assert!(decoded.samples.iter().all(|sample| (sample - mean).abs() < 1e-6));
        }

        #[test]
        fn any_bytes_are_sound_or_a_sentence(bytes in prop::collection::vec(any::<u8>(), 0..2_000)) {
            check(&bytes)?;
        }

        #[test]
        fn any_bytes_behind_any_magic_are_sound_or_a_sentence(
            magic in prop::sample::select(vec![
                &b"RIFF\0\x10\0\0WAVEfmt \x10\0\0\0"[..], b"OggS\0\x02", b"fLaC\0\0\0\x22", b"\0\0\0\x18ftypM4A ", b"\xff\xfb\x90\x44",
                b"\xff\xf1\x50\x80", b"ID3\x03\0\0\0\0\0\x05abcde",
            ]),
            bytes in prop::collection::vec(any::<u8>(), 0..2_000),
        ) {
            check(&[magic, &bytes[..]].concat())?;
        }

        #[test]
        fn damaged_files_are_sound_or_a_sentence(
            which in 0_usize..8,
            hits in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..8),
            (cut, hole, twice) in (any::<prop::sample::Index>(), any::<prop::sample::Index>(), 0_usize..60),
            whole in any::<bool>(),
        ) {
            let mut bytes = golden().swap_remove(which).1;
            for (at, value) in hits {
                let at = at.index(bytes.len());
                bytes[at] = value;
            }
            if !whole {
                bytes.truncate(cut.index(bytes.len()));
                let at = hole.index(bytes.len() + 1);
                let piece = bytes[at..(at + twice).min(bytes.len())].to_vec();
                bytes.splice(at..at, piece);
            }
            check(&bytes)?;
        }
    }
}
