//! The song as a level carries it: Ogg Vorbis without tags, which begins where the level's first beat wants it to.
//!
//! | source | pad | what comes out |
//! | --- | --- | --- |
//! | sound Ogg Vorbis, one stream of one or two channels up to 48 kHz, without tags | none | its very bytes |
//! | the same with tags or pictures | none | its audio packets, bit by bit, behind a comment header that says nothing |
//! | anything else, or any pad | any | decoded, padded and encoded once |
//!
//! A damaged, chained or multiplexed stream, and one whose first samples are to be dropped, is encoded anew: it is not
//! known how a game plays those. Tags have to go because some players read them as sound and stay silent.

use std::borrow::Cow;
use std::num::{NonZeroU8, NonZeroU32};

use vorbis_rs::{VorbisBitrateManagementStrategy, VorbisEncoderBuilder, VorbisError};

use super::{Decoded, Format, Job, MAX_RATE_HZ, MIN_RATE_HZ, Rate, Sound, Source, Wish};
use crate::error::{Error, Result, Warning};

/// Longest silence that is put before a song, in seconds.
pub const MAX_PAD_S: f64 = 60.0;

/// Rates that are encoded as they are; sound of any other becomes the last.
const KEPT_RATES_HZ: &[u32] = &[48_000, 44_100];
/// Vorbis' quality 5 of 10: about 160 kbit/s in stereo, transparent to most ears.
const QUALITY: f32 = 0.5;
/// Ogg asks for a number that differs among the streams of one file. There is one stream, and equal songs are to give
/// equal bytes.
const SERIAL: i32 = 0x5757;
/// Frames handed to the encoder at a time.
const BLOCK_FRAMES: usize = 4_096;
/// Loudest sample that is encoded: players clip at 1, and the encoder's tables do not reach far beyond.
const MAX_LEVEL: f32 = 4.0;
/// Longest name of an encoder that is kept in the comment header.
const MAX_VENDOR_BYTES: usize = 255;

/// How to prepare a song.
#[derive(Clone, Debug, PartialEq)]
pub struct PrepareOptions {
    /// Silence before the song, 0 to [`MAX_PAD_S`]; rounded to whole samples.
    pub pad_s: f64,
    /// Rate of the samples to analyse.
    pub sample_rate_hz: u32,
    /// Longest song that is accepted, in seconds.
    pub max_seconds: f64,
}

impl Default for PrepareOptions {
    fn default() -> Self {
        let super::DecodeOptions { sample_rate_hz, max_seconds } = super::DecodeOptions::default();
        Self { pad_s: 0.0, sample_rate_hz, max_seconds }
    }
}

/// What was done to a song.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// Nothing: the bytes are the source's.
    Copied,
    /// The tags were taken out, the sound is the source's bit by bit.
    Untagged,
    /// It was decoded and encoded.
    Encoded,
}

impl Action {
    /// Stable short name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Copied => "copied",
            Self::Untagged => "untagged",
            Self::Encoded => "encoded",
        }
    }
}

/// A song ready for a level.
#[derive(Clone, Debug, PartialEq)]
pub struct Prepared {
    /// The Ogg Vorbis file.
    pub ogg: Vec<u8>,
    /// How it came about.
    pub action: Action,
    /// Silence that was put before the song: `pad_s` in whole samples of the file.
    pub pad_s: f64,
    /// The file decoded for analysis: mono samples, its own rate and channels, its length.
    pub heard: Decoded,
    /// What the source was recognised as.
    pub source_format: Format,
    /// What was wrong with the source and was survived.
    pub warnings: Vec<Warning>,
}

/// Makes the Ogg Vorbis file of a level from any song, and decodes that very file for analysis; the table at the top of
/// this module says when it is copied and when encoded. Equal input gives equal bytes on one machine.
///
/// # Errors
/// [`Error::Spec`] for a pad that is negative or above [`MAX_PAD_S`]; otherwise as [`decode`](super::decode).
pub fn prepare(source: Source<'_>, options: &PrepareOptions) -> Result<Prepared> {
    if !(0.0..=MAX_PAD_S).contains(&options.pad_s) {
        return Err(Error::Spec {
            field: "pad_s".into(),
            problem: format!("found {}, expected 0 to {MAX_PAD_S}", options.pad_s),
        });
    }
    let heard = super::DecodeOptions { sample_rate_hz: options.sample_rate_hz, max_seconds: options.max_seconds };
    let heard = heard.wish()?;
    let (name, bytes) = source.read()?;
    if in_frames(options.pad_s, KEPT_RATES_HZ[0]) == 0
        && let Some(untagged) = untagged(&bytes)
    {
        let sound = Job { name: &name, wish: &heard }.decode(&untagged)?;
        let plays = sound.channels <= 2 && sound.source_rate_hz <= KEPT_RATES_HZ[0];
        if sound.format == Format::OggVorbis && sound.warnings.is_empty() && sound.trimmed_start == 0 && plays {
            let action = if matches!(untagged, Cow::Borrowed(_)) { Action::Copied } else { Action::Untagged };
            let ogg = if action == Action::Copied { bytes.into_owned() } else { untagged.into_owned() };
            let (source_format, warnings) = (sound.format, Vec::new());
            return Ok(Prepared { ogg, action, pad_s: 0.0, heard: sound.into(), source_format, warnings });
        }
    }
    let other = KEPT_RATES_HZ[KEPT_RATES_HZ.len() - 1];
    let wish = Wish { rate_hz: Rate::OneOf(KEPT_RATES_HZ, other), stereo: true, ..heard };
    let Sound { lanes, sample_rate_hz, format, warnings, .. } = Job { name: &name, wish: &wish }.decode(&bytes)?;
    drop(bytes);
    let pad = in_frames(options.pad_s, sample_rate_hz);
    let job = Job { name: &name, wish: &heard };
    let ogg = encode(&lanes, pad, sample_rate_hz).map_err(|error| job.error(format!("no Vorbis made: {error}")))?;
    drop(lanes);
    let pad_s = pad as f64 / f64::from(sample_rate_hz);
    // The pad and half a sample of resampling on top: the song itself was within the limit.
    let wish = Wish { max_seconds: options.max_seconds + pad_s + 1.0, ..heard };
    let sound = Job { name: &name, wish: &wish }.decode(&ogg)?;
    Ok(Prepared { ogg, action: Action::Encoded, pad_s, heard: sound.into(), source_format: format, warnings })
}

fn in_frames(seconds: f64, rate_hz: u32) -> usize {
    (seconds * f64::from(rate_hz)).round() as usize
}

/// Encodes one or two channels of samples as Ogg Vorbis of quality 5 without tags. The first sample is at time 0 and the
/// length is exact. Samples that are not finite are silence.
///
/// # Errors
/// [`Error::Spec`] for another number of channels, channels of unequal length, and rates beyond [`MIN_RATE_HZ`] to
/// [`MAX_RATE_HZ`]; [`Error::Audio`] for no samples at all.
pub fn encode_vorbis(lanes: &[Vec<f32>], sample_rate_hz: u32) -> Result<Vec<u8>> {
    let refuse = |field: &str, problem: String| Err(Error::Spec { field: field.into(), problem });
    if !(MIN_RATE_HZ..=MAX_RATE_HZ).contains(&sample_rate_hz) {
        return refuse("sample_rate_hz", format!("found {sample_rate_hz}, expected {MIN_RATE_HZ} to {MAX_RATE_HZ}"));
    }
    let frames = match lanes {
        [mono] => mono.len(),
        [left, right] if left.len() == right.len() => left.len(),
        [left, right] => {
            let problem = format!("found channels of {} and {}, expected equal ones", left.len(), right.len());
            return refuse("samples", problem);
        }
        _ => return refuse("samples", format!("found {} channels, expected one or two", lanes.len())),
    };
    let error = |problem: String| Error::Audio { path: "audio".into(), problem };
    if frames == 0 {
        return Err(error("found no samples, expected at least one to encode".into()));
    }
    encode(lanes, 0, sample_rate_hz).map_err(|problem| error(format!("no Vorbis made: {problem}")))
}

/// `pad` frames of silence and then `lanes`, of which there are one or two.
fn encode(lanes: &[Vec<f32>], pad: usize, rate_hz: u32) -> Result<Vec<u8>, VorbisError> {
    let channels = u8::try_from(lanes.len()).ok().and_then(NonZeroU8::new).unwrap_or(NonZeroU8::MIN);
    let rate_hz = NonZeroU32::new(rate_hz).unwrap_or(NonZeroU32::MIN);
    let mut encoder = VorbisEncoderBuilder::new_with_serial(rate_hz, channels, Vec::new(), SERIAL)
        .bitrate_management_strategy(VorbisBitrateManagementStrategy::QualityVbr { target_quality: QUALITY })
        .build()?;
    let total = pad + lanes.first().map_or(0, Vec::len);
    let mut block: Vec<Vec<f32>> = vec![Vec::with_capacity(BLOCK_FRAMES); lanes.len()];
    for start in (0..total).step_by(BLOCK_FRAMES) {
        let end = (start + BLOCK_FRAMES).min(total);
        for (out, lane) in block.iter_mut().zip(lanes) {
            out.clear();
            out.resize(end.min(pad).saturating_sub(start), 0.0);
            let heard = lane.get(start.saturating_sub(pad)..end.saturating_sub(pad)).unwrap_or_default();
            let clean = |&x: &f32| if x.is_finite() { x.clamp(-MAX_LEVEL, MAX_LEVEL) } else { 0.0 };
            out.extend(heard.iter().map(clean));
        }
        encoder.encode_audio_block(&block)?;
    }
    encoder.finish()
}

/// One page of an Ogg stream.
struct Page<'a> {
    whole: &'a [u8],
    flags: u8,
    sequence: u32,
    lacing: &'a [u8],
    body: &'a [u8],
}

const CONTINUES: u8 = 1;
const BEGINS: u8 = 2;
const ENDS: u8 = 4;
const HEADER_BYTES: usize = 27;

/// The song without tags: borrowed if there are none. None if it is not one whole, sound stream of Vorbis.
fn untagged(bytes: &[u8]) -> Option<Cow<'_, [u8]>> {
    let pages = pages(bytes)?;
    let (first, rest) = pages.split_first()?;
    let serial = first.whole.get(14..18)?;
    if first.lacing != [30] || !first.body.starts_with(b"\x01vorbis") {
        return None;
    }
    // Comments and setup, which end together with a page.
    let mut packets = vec![Vec::new()];
    let mut headers = 0;
    while packets.len() < 3 {
        let page = rest.get(headers)?;
        let mut body = page.body;
        for &length in page.lacing {
            let (part, left) = body.split_at_checked(usize::from(length))?;
            packets.last_mut()?.extend_from_slice(part);
            body = left;
            if length < 255 {
                packets.push(Vec::new());
            }
        }
        headers += 1;
    }
    let [comments, setup, nothing] = packets.as_slice() else { return None };
    let (vendor, count) = vendor_and_count(comments)?;
    if !setup.starts_with(b"\x05vorbis") || !nothing.is_empty() {
        return None;
    }
    if count == 0 {
        return Some(Cow::Borrowed(bytes));
    }
    let vendor = if vendor.len() > MAX_VENDOR_BYTES { &[] } else { vendor };
    let silent = [b"\x03vorbis", &(vendor.len() as u32).to_le_bytes()[..], vendor, &0_u32.to_le_bytes(), &[1]].concat();

    let mut song = first.whole.to_vec();
    let mut lacing = Vec::new();
    for packet in [&silent, setup] {
        lacing.resize(lacing.len() + packet.len() / 255, 255);
        lacing.push((packet.len() % 255) as u8);
    }
    let body = [&silent[..], setup].concat();
    let mut body = &body[..];
    let mut sequence = 1_u32;
    let mut continues = 0;
    for lacing in lacing.chunks(255) {
        let size = lacing.iter().map(|&length| usize::from(length)).sum();
        let (part, left) = body.split_at_checked(size)?;
        body = left;
        // A page in which no packet ends has no position.
        let position = if lacing.iter().all(|&length| length == 255) { u64::MAX } else { 0 };
        let mut page = [b"OggS\0", &[continues][..], &position.to_le_bytes(), serial].concat();
        page.extend_from_slice(&sequence.to_le_bytes());
        page.extend_from_slice(&[0; 4]);
        page.push(lacing.len() as u8);
        page.extend_from_slice(lacing);
        page.extend_from_slice(part);
        seal(&mut page);
        song.append(&mut page);
        sequence += 1;
        continues = if lacing.last() == Some(&255) { CONTINUES } else { 0 };
    }
    for page in rest.get(headers..)? {
        let mut page = page.whole.to_vec();
        page.get_mut(18..22)?.copy_from_slice(&sequence.to_le_bytes());
        seal(&mut page);
        song.append(&mut page);
        sequence = sequence.checked_add(1)?;
    }
    Some(Cow::Owned(song))
}

/// The encoder's name and the number of comments in a comment header.
fn vendor_and_count(packet: &[u8]) -> Option<(&[u8], u32)> {
    let (length, rest) = packet.strip_prefix(b"\x03vorbis")?.split_first_chunk::<4>()?;
    let (vendor, rest) = rest.split_at_checked(u32::from_le_bytes(*length) as usize)?;
    Some((vendor, u32::from_le_bytes(*rest.first_chunk::<4>()?)))
}

/// The pages of a file that holds one stream, from its first page to its last, with right checksums, and nothing else.
fn pages(bytes: &[u8]) -> Option<Vec<Page<'_>>> {
    let mut pages: Vec<Page<'_>> = Vec::new();
    let mut left = bytes;
    while !left.is_empty() {
        let page = page(left)?;
        let serial = |page: &Page<'_>| page.whole.get(14..18).map(<[u8]>::to_vec);
        let fits = match pages.last() {
            None => page.flags & BEGINS != 0 && page.sequence == 0,
            Some(last) => {
                let follows = page.sequence.checked_sub(1) == Some(last.sequence) && serial(&page) == serial(last);
                follows && page.flags & BEGINS == 0 && last.flags & ENDS == 0
            }
        };
        if !fits || checksum(page.whole) != page.whole.get(22..26)? {
            return None;
        }
        left = left.get(page.whole.len()..)?;
        pages.push(page);
    }
    pages.last().is_some_and(|last| last.flags & ENDS != 0).then_some(pages)
}

fn page(bytes: &[u8]) -> Option<Page<'_>> {
    let &[b'O', b'g', b'g', b'S', 0, flags, ..] = bytes else { return None };
    let sequence = u32::from_le_bytes(*bytes.get(18..)?.first_chunk::<4>()?);
    let lacing = bytes.get(HEADER_BYTES..HEADER_BYTES + usize::from(*bytes.get(HEADER_BYTES - 1)?))?;
    let start = HEADER_BYTES + lacing.len();
    let end = start + lacing.iter().map(|&length| usize::from(length)).sum::<usize>();
    Some(Page { whole: bytes.get(..end)?, flags, sequence, lacing, body: bytes.get(start..end)? })
}

/// Writes the checksum of a page into it.
fn seal(page: &mut [u8]) {
    let sum = checksum(page);
    if let Some(place) = page.get_mut(22..26) {
        place.copy_from_slice(&sum);
    }
}

/// Ogg's checksum of a page, whose own checksum counts as zeros: CRC-32 of 0x04c11db7, neither reflected nor inverted.
fn checksum(page: &[u8]) -> [u8; 4] {
    const TABLE: [u32; 256] = {
        let mut table = [0_u32; 256];
        let mut at = 0;
        while at < 256 {
            let mut value = (at as u32) << 24;
            let mut bit = 0;
            while bit < 8 {
                value = if value & 1 << 31 == 0 { value << 1 } else { value << 1 ^ 0x04c1_1db7 };
                bit += 1;
            }
            table[at] = value;
            at += 1;
        }
        table
    };
    let mut sum = 0_u32;
    for (at, &byte) in page.iter().enumerate() {
        let byte = if (22..26).contains(&at) { 0 } else { byte };
        sum = sum << 8 ^ TABLE[usize::from((sum >> 24) as u8 ^ byte)];
    }
    sum.to_le_bytes()
}
