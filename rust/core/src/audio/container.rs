//! What bytes are before anyone decodes them: the container by its magic, tags around it, headers that lie, edit lists.

/// How far into an mp3 the first frame may lie behind junk, in bytes.
const MAX_JUNK_BYTES: usize = 1 << 16;

/// Container found by its magic bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Container {
    Wav,
    Ogg,
    Flac,
    Mp3,
    Mp4,
    Adts,
}

/// Finds the container and where it starts (behind any ID3v2 tags), or says in one sentence what the bytes are instead.
pub(super) fn sniff(bytes: &[u8]) -> Result<(Container, usize), String> {
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
pub(super) fn skip_id3(bytes: &[u8]) -> usize {
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
pub(super) fn strip_id3v1(bytes: &[u8]) -> &[u8] {
    match bytes.split_last_chunk::<128>() {
        Some((body, [b'T', b'A', b'G', ..])) => body,
        _ => bytes,
    }
}

/// A copy with the true lengths where a wav promises more than there is, or nothing, as a writer leaves it that was
/// stopped or wrote into a pipe.
pub(super) fn mend_wav(bytes: &[u8]) -> Option<Vec<u8>> {
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
pub(super) fn mend_mp4(bytes: &[u8]) -> Result<Option<Vec<u8>>, String> {
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

pub(super) fn unsupported(what: &str) -> String {
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
pub(super) struct Edit {
    /// Frames before the first to be heard, in units of the track's own clock.
    pub(super) skip: u64,
    /// Length to be heard in the same units, if it is known.
    pub(super) keep: Option<u64>,
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
pub(super) fn mp4_edit(bytes: &[u8], track_id: u32) -> Edit {
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

/// The settings (AudioSpecificConfig) of the AAC-LC that an HE-AAC stream is built on; None for a stream without.
///
/// HE-AAC says so in front, as object type 5 or 29, or behind settings that look like plain AAC-LC, after the mark 0x2b7.
/// Where it says nothing, as in raw AAC, it cannot be told from AAC-LC here.
pub(super) fn aac_core(settings: &[u8]) -> Option<[u8; 2]> {
    const LC: u8 = 2;
    let &[first, second, ..] = settings else { return None };
    let (kind, rate) = (first >> 3, (first & 7) << 1 | second >> 7);
    let marked = matches!(settings, [_, _, 0x56, 0xe5, present, ..] if present & 0x80 != 0);
    // Rate 15 stands for one that is written out, which shifts everything behind it.
    let extended = matches!(kind, 5 | 29) || kind == LC && marked;
    (extended && rate != 15).then_some([LC << 3 | rate >> 1, (rate & 1) << 7 | second & 0x78])
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn he_aac_is_told_from_its_settings() {
        // 22 050 Hz, mono; as 44 100 Hz behind the mark, in front, and with parametric stereo.
        assert_eq!(aac_core(&[0x13, 0x88]), None);
        assert_eq!(aac_core(&[0x13, 0x88, 0x56, 0xe5, 0xa0]), Some([0x13, 0x88]));
        assert_eq!(aac_core(&[0x13, 0x88, 0x56, 0xe5, 0x00]), None);
        assert_eq!(aac_core(&[0x2b, 0x8a, 0x08, 0x00]), Some([0x13, 0x88]));
        assert_eq!(aac_core(&[0xeb, 0x8a, 0x08, 0x00]), Some([0x13, 0x88]));
        assert_eq!(aac_core(&[0x2f, 0x80, 0, 0, 0]), None);
        assert_eq!((aac_core(&[]), aac_core(&[0x2b])), (None, None));
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
}
