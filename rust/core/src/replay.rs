//! Bodies of the fuzz targets, as ordinary functions: whatever the bytes, reading them ends, and what was read comes back
//! unchanged from what is written. The tests replay every file that a fuzzer ever found here.
//!
//! Each function panics when the promise is broken, and returns for every input that keeps it, readable or not.

use crate::audio::{self, Action, DecodeOptions, MAX_CHANNELS, PrepareOptions, Source};
use crate::features::{Extractor, FeatureSpec};
use crate::map::pack::{Pack, zip_bytes};
use crate::map::{AudioData, Difficulty, Info, Major, Song, read_level};
use crate::{Error, Limits};

/// Limits that keep a single run quick.
fn limits() -> Limits {
    Limits {
        json_bytes: 4 << 20,
        media_bytes: 4 << 20,
        unpacked_bytes: 16 << 20,
        objects: 50_000,
        zip_entries: 1_000,
        ..Limits::default()
    }
}

/// The level written as `major` and read again, with the warnings that gives.
fn through(d: &Difficulty, major: Major) -> Difficulty {
    let (level, lights, lost) = d.write(major).expect("2, 3 and 4 can be written");
    assert!(lost.iter().all(|l| l.count > 0), "{lost:?}");
    // What is written can be larger than what was read; it must be readable all the same.
    let limits = Limits::default();
    let (mut back, _) = read_level(&level, "level.dat", &limits).expect("what was written reads");
    if let Some(lights) = lights {
        back.add_lightshow(&lights, "lights.dat", &limits).expect("what was written reads");
    }
    back
}

fn settles(mut d: Difficulty) {
    let major = d.version.major.max(2);
    let back = through(&d, major);
    d.version = back.version;
    assert!(back == d, "found {back:?}, expected {d:?}");
    for other in 2..=4 {
        let there = through(&d, other);
        assert!(through(&there, other) == there, "version {other} does not settle: {there:?}");
    }
}

/// A level file of any version, or a light show.
pub fn check_level(bytes: &[u8]) {
    if let Ok((d, _)) = read_level(bytes, "level.dat", &limits()) {
        settles(d);
    }
    let mut d = Difficulty { version: crate::map::Version { major: 4, minor: 1, patch: 0 }, ..Difficulty::default() };
    if d.add_lightshow(bytes, "lights.dat", &limits()).is_ok() {
        settles(d);
    }
}

/// An Info file of any version, or an audio data file.
pub fn check_info(bytes: &[u8]) {
    let limits = limits();
    if let Ok((info, _)) = Info::read(bytes, "Info.dat", &limits) {
        let major = info.version.major.max(2);
        let written = info.write(major);
        let (back, _) = Info::read(&written, "Info.dat", &Limits::default()).expect("what was written reads");
        assert_eq!(back.write(major), written);
        assert_eq!((back.title, back.difficulties.len()), (info.title, info.difficulties.len()));
    }
    if let Ok((mut data, _)) = AudioData::read(bytes, "AudioData.dat", &limits) {
        let (back, _) = AudioData::read(&data.write(), "AudioData.dat", &Limits::default()).expect("reads");
        data.version = back.version;
        assert_eq!(back, data);
        if let Some(clock) = data.clock() {
            assert!(clock.regions().iter().all(|r| r.bpm > 0.0));
        }
    }
}

/// A zip of a whole level.
pub fn check_pack(bytes: &[u8]) {
    let limits = limits();
    let Ok(pack) = Pack::from_bytes("song.zip", bytes.to_vec(), &limits) else { return };
    let Ok(song) = Song::read(&pack, &limits) else { return };
    for level in song.levels.iter().filter_map(|l| l.level.as_ref().ok()) {
        let _ = song.clock(level).map(|clock| clock.seconds(level.last_beat()));
    }
    for major in 2..=4 {
        // No usable tempo, or two files that would get one name.
        let Ok((files, _)) = song.write(major) else { continue };
        let files: Vec<_> = files.into_iter().map(|(name, bytes)| (name, bytes.into())).collect();
        // Names that no zip can hold are refused.
        let Ok(zip) = zip_bytes(&files) else { continue };
        let pack = Pack::from_bytes("song.zip", zip, &Limits::default()).expect("what was written opens");
        let back = Song::read(&pack, &Limits::default()).expect("what was written reads");
        let readable = song.levels.iter().filter(|l| l.level.is_ok()).count();
        assert_eq!(back.levels.iter().filter(|l| l.level.is_ok()).count(), readable);
    }
}

fn source(bytes: &[u8]) -> Source<'_> {
    Source::Bytes { name: "song", bytes }
}

/// What any refusal of a song looks like.
fn refused(error: &Error) {
    let sentence = error.to_string();
    assert!(matches!(error, Error::Audio { .. } | Error::Limit { .. }), "{sentence}");
    assert!(sentence.starts_with("song: ") && !sentence.contains('\n'), "{sentence}");
}

/// A sound file of any kind: decoded, and made into the file of a level.
pub fn check_audio(bytes: &[u8]) {
    const MAX_SECONDS: f64 = 5.0;
    let options = DecodeOptions { sample_rate_hz: 11_025, max_seconds: MAX_SECONDS };
    let decoded = match audio::decode(source(bytes), &options) {
        Ok(decoded) => decoded,
        Err(error) => return refused(&error),
    };
    assert!(decoded.samples.iter().all(|sample| sample.is_finite()));
    assert!(decoded.seconds <= MAX_SECONDS + 0.1, "{} s", decoded.seconds);
    assert!((1..=MAX_CHANNELS).contains(&decoded.channels));

    // Encoding takes a hundred times as long as the rest: every eighth file stands for all, and those that may be copied.
    if !bytes.starts_with(b"OggS") && !bytes.len().is_multiple_of(8) {
        return;
    }
    let options = PrepareOptions { sample_rate_hz: 11_025, max_seconds: MAX_SECONDS, ..PrepareOptions::default() };
    let prepared = audio::prepare(source(bytes), &options).expect("what decodes can be prepared");
    let again = audio::prepare(source(&prepared.ogg), &options).expect("what was prepared can be read");
    assert_eq!(again.action, Action::Copied);
    assert!(again.ogg == prepared.ogg && again.heard == prepared.heard);
    match prepared.action {
        Action::Copied => assert_eq!(prepared.ogg, bytes),
        Action::Untagged => assert!(prepared.heard.samples == decoded.samples),
        Action::Encoded => assert!((prepared.heard.seconds - decoded.seconds).abs() < 0.001),
    }
}

/// A sound file of any kind with tags.
pub fn check_tags(bytes: &[u8]) {
    let tags = match audio::read_tags(source(bytes)) {
        Ok(tags) => tags,
        Err(error) => return refused(&error),
    };
    for text in [&tags.title, &tags.artist, &tags.album].into_iter().flatten() {
        assert!(!text.is_empty() && text.trim() == text && !text.contains(char::is_control), "{text:?}");
        assert!(text.chars().count() <= 500);
    }
    if let Some(cover) = &tags.cover {
        assert!(cover.bytes.starts_with(if cover.suffix == "png" { b"\x89PNG" } else { b"\xff\xd8\xff" }));
    }
}

/// Samples of any bit pattern: the first two bytes choose sizes, the others are the samples.
pub fn check_features(bytes: &[u8]) {
    let Some((&[sizes, kinds], bytes)) = bytes.split_first_chunk::<2>() else { return };
    let n_fft = 16 << (sizes & 7);
    let spec = FeatureSpec {
        sample_rate_hz: 22_050,
        fmin_hz: 0.0,
        fmax_hz: None,
        slots_per_beat: 12,
        n_fft,
        hop: (n_fft >> (sizes >> 3 & 3)).max(16),
        n_mels: 1 + usize::from(sizes >> 5) * 16,
        power: if kinds & 1 == 0 { 2.0 } else { 1.0 },
        top_db: (kinds & 2 == 0).then_some(80.0),
        band_edges_hz: vec![0.0, 11_025.0],
    };
    let samples: Vec<f32> = bytes.as_chunks::<4>().0.iter().map(|&word| f32::from_le_bytes(word)).collect();
    let extractor = Extractor::new(spec.clone()).expect("these sizes are possible");
    let features = extractor.extract(&samples);
    assert_eq!(features.frames, spec.frames(samples.len()));
    assert_eq!(features.mel.len(), features.frames * spec.n_mels);
    assert_eq!((features.onset.len(), features.bands.len()), (features.frames, features.frames));
    assert!(features.mel.iter().chain(&features.onset).chain(&features.bands).all(|value| value.is_finite()));
    assert!(features.onset.iter().chain(&features.bands).all(|&rise| rise >= 0.0));
}
