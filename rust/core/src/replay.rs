//! Bodies of the fuzz targets, as ordinary functions: whatever the bytes, reading them ends, and what was read comes back
//! unchanged from what is written. The tests replay every file that a fuzzer ever found here.
//!
//! Each function panics when the promise is broken, and returns for every input that keeps it, readable or not.

use crate::Limits;
use crate::map::pack::{Pack, zip_bytes};
use crate::map::{AudioData, Difficulty, Info, Major, Song, read_level};

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
