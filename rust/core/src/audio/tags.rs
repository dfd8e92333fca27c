//! What a file says about its song: title, artist, album, cover.

use std::io::Cursor;
use std::panic::{AssertUnwindSafe, catch_unwind};

use symphonia::core::io::{MediaSourceStream, MediaSourceStreamOptions};
use symphonia::core::meta::{
    MetadataContainer, MetadataOptions, MetadataReader, MetadataRevision, RawValue, StandardTag, StandardVisualKey,
};
use symphonia::default::meta::Id3v2Reader;

use super::{Source, open, recognise};
use crate::error::{Error, Result};

/// Longest text that is taken, in characters; the rest is cut off.
const MAX_TEXT_CHARS: usize = 500;
/// Largest picture that is taken.
const MAX_COVER_BYTES: usize = 16 << 20;
/// Most pictures and texts that are looked at.
const MAX_ENTRIES: usize = 100;

/// What a file says about its song; every part may be missing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tags {
    /// Title of the song, one line.
    pub title: Option<String>,
    /// Artist, or several joined by commas.
    pub artist: Option<String>,
    /// Album.
    pub album: Option<String>,
    /// The front cover, or the first picture there is.
    pub cover: Option<Cover>,
}

/// A picture, PNG or JPEG by its first bytes. What follows them was not looked at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cover {
    /// `png` or `jpg`.
    pub suffix: &'static str,
    /// The image file.
    pub bytes: Vec<u8>,
}

/// Reads the tags of any audio file that can be decoded: Vorbis comments, the lists of MP4, ID3v2 and ID3v1,
/// the former winning. Symphonia leaves the lists of a wav out. Damaged tags count as missing.
///
/// # Errors
/// [`Error::Io`] when the file cannot be read, [`Error::Limit`] when it is too large, [`Error::Audio`] when it is no audio.
pub fn read_tags(source: Source<'_>) -> Result<Tags> {
    let (name, bytes) = source.read()?;
    let recognised = recognise(&bytes).map_err(|problem| Error::Audio { path: name, problem })?;
    let mut tags = Tags::default();
    // Other people's readers and hostile bytes, see `Job::decode`.
    let mut add = |read: &dyn Fn() -> Vec<MetadataRevision>| {
        let revisions = catch_unwind(AssertUnwindSafe(read)).unwrap_or_default();
        let found = revisions.iter().fold(Tags::default(), |found, revision| found.or(Tags::of(revision)));
        tags = std::mem::take(&mut tags).or(found);
    };
    add(&|| {
        let Ok(mut reader) = open(recognised.container, &recognised.body) else { return Vec::new() };
        let mut metadata = reader.metadata();
        let mut revisions: Vec<_> = std::iter::from_fn(|| metadata.pop()).take(MAX_ENTRIES).collect();
        revisions.extend(metadata.current().cloned());
        revisions
    });
    let id3v2 = bytes.get(..recognised.start).unwrap_or_default();
    if id3v2.starts_with(b"ID3") {
        add(&|| {
            let stream = MediaSourceStream::new(Box::new(Cursor::new(id3v2)), MediaSourceStreamOptions::default());
            let reader = Id3v2Reader::try_new(stream, MetadataOptions::default());
            reader.and_then(|mut reader| reader.read_all()).map(|found| found.revision).into_iter().collect()
        });
    }
    Ok(match bytes.split_last_chunk::<128>() {
        Some((_, id3v1 @ [b'T', b'A', b'G', ..])) => tags.or(Tags::of_id3v1(id3v1)),
        _ => tags,
    })
}

impl Tags {
    fn of(revision: &MetadataRevision) -> Self {
        let containers =
            || std::iter::once(&revision.media).chain(revision.per_track.iter().map(|track| &track.metadata));
        let tags = || containers().flat_map(|container| &container.tags).take(MAX_ENTRIES);
        let mut title = None;
        let mut album = None;
        let mut artists: Vec<String> = Vec::new();
        let mut album_artist = None;
        for tag in tags() {
            // Several texts in one ID3 frame have no standard meaning to Symphonia.
            let (kind, texts) = match (&tag.std, &tag.raw.value) {
                (Some(StandardTag::TrackTitle(text)), _) => ("TIT2", std::slice::from_ref(&**text)),
                (Some(StandardTag::Album(text)), _) => ("TALB", std::slice::from_ref(&**text)),
                (Some(StandardTag::AlbumArtist(text)), _) => ("TPE2", std::slice::from_ref(&**text)),
                (Some(StandardTag::Artist(text)), _) => ("TPE1", std::slice::from_ref(&**text)),
                (None, RawValue::StringList(texts)) => (tag.raw.key.as_str(), texts.as_slice()),
                _ => continue,
            };
            for text in texts.iter().take(MAX_ENTRIES).filter_map(|text| one_line(text)) {
                match kind {
                    "TIT2" => title = title.or(Some(text)),
                    "TALB" => album = album.or(Some(text)),
                    "TPE2" => album_artist = album_artist.or(Some(text)),
                    "TPE1" if artists.len() < MAX_ENTRIES && !artists.contains(&text) => artists.push(text),
                    _ => {}
                }
            }
        }
        let artist = one_line(&artists.join(", ")).or(album_artist);
        Self { title, artist, album, cover: containers().find_map(cover) }
    }

    /// Three fields of thirty bytes. Their encoding is nobody's: UTF-8 if they are that, or else Latin-1.
    fn of_id3v1(tag: &[u8; 128]) -> Self {
        let field = |start: usize| {
            let bytes = tag.get(start..start + 30)?.split(|&byte| byte == 0).next()?;
            let latin = || bytes.iter().copied().map(char::from).collect();
            one_line(&std::str::from_utf8(bytes).map_or_else(|_| latin(), str::to_owned))
        };
        Self { title: field(3), artist: field(33), album: field(63), cover: None }
    }

    /// These, and what is missing from `others`.
    fn or(self, others: Self) -> Self {
        Self {
            title: self.title.or(others.title),
            artist: self.artist.or(others.artist),
            album: self.album.or(others.album),
            cover: self.cover.or(others.cover),
        }
    }
}

/// Text without line breaks, control characters and outer spaces; none if nothing is left.
fn one_line(text: &str) -> Option<String> {
    let visible = |c: char| if c.is_control() { ' ' } else { c };
    let line: String = text.trim_matches('\0').chars().take(MAX_TEXT_CHARS).map(visible).collect();
    let line = line.trim();
    (!line.is_empty()).then(|| line.to_owned())
}

fn cover(container: &MetadataContainer) -> Option<Cover> {
    let mut pictures: Vec<_> = container.visuals.iter().take(MAX_ENTRIES).collect();
    pictures.sort_by_key(|picture| picture.usage != Some(StandardVisualKey::FrontCover));
    pictures.into_iter().filter(|picture| picture.data.len() <= MAX_COVER_BYTES).find_map(|picture| {
        let suffix = match &*picture.data {
            [0x89, b'P', b'N', b'G', ..] => "png",
            [0xff, 0xd8, 0xff, ..] => "jpg",
            _ => return None,
        };
        Some(Cover { suffix, bytes: picture.data.to_vec() })
    })
}
