//! Just enough of text encodings, Ogg Vorbis, JPEG and PNG to judge a file by its first and last bytes.

use std::borrow::Cow;

/// Text in UTF-8, or in whatever its byte order mark says.
pub(super) fn decode_text(bytes: &[u8]) -> Result<Cow<'_, str>, String> {
    let wide = |bytes: &[u8], big: bool| {
        let units = bytes.chunks(2).map(|pair| match *pair {
            [a, b] if big => u16::from_be_bytes([a, b]),
            [a, b] => u16::from_le_bytes([a, b]),
            _ => 0xD800, // Half a unit at the end: an unpaired surrogate is the error it should be.
        });
        char::decode_utf16(units).collect::<Result<String, _>>().map_err(|_| "the file is not UTF-16 text".to_owned())
    };
    match bytes {
        [0xEF, 0xBB, 0xBF, rest @ ..] => utf8(rest),
        [0xFF, 0xFE, 0, 0, rest @ ..] => rest
            .chunks(4)
            .map(|unit| unit.try_into().ok().map(u32::from_le_bytes).and_then(char::from_u32))
            .collect::<Option<String>>()
            .map(Cow::Owned)
            .ok_or_else(|| "the file is not UTF-32 text".to_owned()),
        [0xFF, 0xFE, rest @ ..] => wide(rest, false).map(Cow::Owned),
        [0xFE, 0xFF, rest @ ..] => wide(rest, true).map(Cow::Owned),
        _ => utf8(bytes),
    }
}

fn utf8(bytes: &[u8]) -> Result<Cow<'_, str>, String> {
    std::str::from_utf8(bytes).map(Cow::Borrowed).map_err(|error| format!("the file is not UTF-8 text ({error})"))
}

/// Length in seconds of an Ogg Vorbis stream. What is no such stream is named instead.
pub(super) fn vorbis_seconds(bytes: &[u8]) -> Result<f64, &'static str> {
    vorbis_length(bytes).map(|(rate, samples)| samples as f64 / f64::from(rate))
}

/// Sample rate of an Ogg Vorbis stream and the last page's sample position.
pub(in crate::map) fn vorbis_length(bytes: &[u8]) -> Result<(u32, u64), &'static str> {
    match bytes {
        [b'O', b'g', b'g', b'S', ..] => {}
        [b'R', b'I', b'F', b'F', ..] => return Err("a WAV file"),
        [b'I', b'D', b'3', ..] | [0xFF, 0xE0..=0xFF, ..] => return Err("an MP3 file"),
        [b'f', b'L', b'a', b'C', ..] => return Err("a FLAC file"),
        [_, _, _, _, b'f', b't', b'y', b'p', ..] => return Err("an MP4 or M4A file"),
        _ if bytes.starts_with(b"version https://git-lfs") => return Err("a git-lfs pointer instead of the file"),
        [] => return Err("empty"),
        _ => return Err("a file of another kind"),
    }
    let cut = "an Ogg file that is cut off";
    let segments = usize::from(*bytes.get(26).ok_or(cut)?);
    let serial = bytes.get(14..18).ok_or(cut)?;
    let packet = bytes.get(27 + segments..).ok_or(cut)?;
    if packet.starts_with(b"OpusHead") {
        return Err("Opus in an Ogg file");
    }
    if !packet.starts_with(b"\x01vorbis") {
        return Err("an Ogg file without Vorbis audio");
    }
    let word =
        |at: usize| packet.get(at..at + 4).and_then(|word| word.try_into().ok()).map(u32::from_le_bytes).ok_or(cut);
    let (version, rate) = (word(7)?, word(12)?);
    if version != 0 || packet.get(11).is_none_or(|channels| *channels == 0) || rate == 0 {
        return Err("an Ogg file with a damaged Vorbis header");
    }
    // The last page of this stream that ends a packet; -1 marks pages that do not.
    let samples = (0..bytes.len().saturating_sub(26))
        .rev()
        .filter(|at| bytes[*at] == b'O' && bytes[*at..].starts_with(b"OggS\0") && bytes[at + 14..at + 18] == *serial)
        .filter_map(|at| bytes[at + 6..at + 14].try_into().ok().map(i64::from_le_bytes))
        .find(|position| *position != -1)
        .unwrap_or(0);
    Ok((rate, u64::try_from(samples).unwrap_or(0)))
}

/// Width and height in pixels of a PNG or JPEG, from its header.
pub(super) fn image_size(bytes: &[u8]) -> Option<(u32, u32)> {
    if let Some(header) = bytes.strip_prefix(b"\x89PNG\r\n\x1a\n") {
        let word = |at: usize| header.get(at..at + 4)?.try_into().ok().map(u32::from_be_bytes);
        return (header.get(4..8)? == b"IHDR").then_some((word(8)?, word(12)?));
    }
    let mut rest = bytes.strip_prefix(&[0xFF, 0xD8])?;
    loop {
        // A segment: FF (repeated as filler), its kind, its length including these two bytes, its content.
        let [0xFF, tail @ ..] = rest else { return None };
        let kind = *tail.first()?;
        match kind {
            0xFF => rest = tail,
            0x01 | 0xD0..=0xD7 => rest = &tail[1..],
            // Start of scan or end of image before any frame header.
            0xDA | 0xD9 => return None,
            _ => {
                let half = |at: usize| tail.get(at..at + 2)?.try_into().ok().map(u16::from_be_bytes);
                if matches!(kind, 0xC0..=0xCF) && !matches!(kind, 0xC4 | 0xC8 | 0xCC) {
                    return Some((u32::from(half(6)?), u32::from(half(4)?)));
                }
                rest = tail.get(1 + usize::from(half(1)?).max(2)..)?;
            }
        }
    }
}
