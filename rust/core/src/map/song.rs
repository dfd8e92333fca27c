//! A whole level pack: its Info, its levels, its audio data; reading all of it and writing it as another version.

use std::borrow::Cow;

use serde_json::Value;

use super::convert::{self, Losses};
use super::pack::Pack;
use super::rules::media::vorbis_length;
use super::{
    AudioData, AudioRegion, Difficulty, DifficultyInfo, Extra, Info, Loss, Major, TempoEvent, info, read_level,
};
use crate::timing::{Region, TempoMap};
use crate::{Error, Limits, Place, Result, Warning};

/// A level of a song: what the Info says of it, and the level itself or why it could not be read.
#[derive(Debug)]
pub struct Level {
    /// What the Info file says.
    pub info: DifficultyInfo,
    /// The level.
    pub level: Result<Difficulty>,
    /// What was odd in its files.
    pub warnings: Vec<Warning>,
}

/// Levels by the mods they are made for; the first that applies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Category {
    /// Needs Vivify.
    Vivify,
    /// Needs Noodle Extensions, or has objects only that mod understands.
    Noodle,
    /// Needs Mapping Extensions, or has objects outside of the grid.
    MappingExtensions,
    /// Uses Chroma.
    Chroma,
    /// Plays as it is.
    Vanilla,
}

impl Category {
    /// Its name in output and index.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Vivify => "vivify",
            Self::Noodle => "noodle",
            Self::MappingExtensions => "mapping-extensions",
            Self::Chroma => "chroma",
            Self::Vanilla => "vanilla",
        }
    }
}

/// Custom data of objects that only Noodle Extensions acts on, in either spelling.
const NOODLE_KEYS: [&str; 12] = [
    "\"_position\"",
    "\"_rotation\"",
    "\"_localRotation\"",
    "\"_scale\"",
    "\"_animation\"",
    "\"_interactable\"",
    "\"coordinates\"",
    "\"worldRotation\"",
    "\"localRotation\"",
    "\"size\"",
    "\"animation\"",
    "\"uninteractable\"",
];
/// Custom data of events that Chroma acts on, in either spelling.
const CHROMA_KEYS: [&str; 5] = ["\"_color\"", "\"_lightID\"", "\"_lightGradient\"", "\"color\"", "\"lightID\""];

impl Level {
    /// What it is made for: by what the Info says, and by what its objects say.
    pub fn category(&self) -> Category {
        let mods = [self.info.requirements(), self.info.suggestions()].concat();
        let named = |name: &str| mods.iter().any(|m| m.eq_ignore_ascii_case(name));
        let d = self.level.as_ref().ok();
        let says = |keys: &[&str], text: &str| !text.is_empty() && keys.iter().any(|k| text.contains(k));
        let noodle = |d: &Difficulty| {
            d.fakes != super::Fakes::default()
                || d.notes.iter().any(|n| says(&NOODLE_KEYS, n.extra.own()))
                || d.bombs.iter().any(|n| says(&NOODLE_KEYS, n.extra.own()))
                || d.obstacles.iter().any(|n| says(&NOODLE_KEYS, n.extra.own()))
        };
        let precise = |v: i32| v.unsigned_abs() >= 1000;
        let outside = |d: &Difficulty| {
            d.notes.iter().any(|n| !(0..4).contains(&n.x) || !(0..3).contains(&n.y) || n.cut >= 1000)
                || d.obstacles.iter().any(|o| [o.x, o.y, o.width, o.height].into_iter().any(precise))
        };
        if named("Vivify") {
            Category::Vivify
        } else if named("Noodle Extensions") || d.is_some_and(noodle) {
            Category::Noodle
        } else if named("Mapping Extensions") || d.is_some_and(outside) {
            Category::MappingExtensions
        } else if named("Chroma") || d.is_some_and(|d| d.lights.iter().any(|l| says(&CHROMA_KEYS, l.extra.own()))) {
            Category::Chroma
        } else {
            Category::Vanilla
        }
    }
}

/// Files by name.
pub type Files = Vec<(String, Vec<u8>)>;
/// What was lost, by difficulty ("" for the song).
pub type SongLosses = Vec<(String, Loss)>;

/// A level pack as the model sees it.
#[derive(Debug)]
pub struct Song {
    /// What the Info file says; its `difficulties` are moved to `levels`.
    pub info: Info,
    /// Levels in the Info's order.
    pub levels: Vec<Level>,
    /// Tempo regions: of version 4 the clock, of version 2 an editor's notes.
    pub audio_data: Option<AudioData>,
    /// Sample rate and count of the audio, where its header tells.
    pub audio: Option<(u32, u64)>,
    /// Whether the audio file the Info names is there.
    pub audio_present: bool,
    /// What was odd in the pack, the Info and the audio data.
    pub warnings: Vec<Warning>,
    /// Level hash as the game computes it.
    pub hash: String,
    /// Content key: Info and levels, whatever the container.
    pub key: [u8; 32],
}

/// Type of the speed of the right lasers, the last one that every stage knows.
const LAST_BASIC_EVENT: i32 = 13;

impl Song {
    /// Reads a pack. A level that cannot be read stays in `levels` with its error.
    ///
    /// # Errors
    /// Whatever keeps the Info file from being read; [`Error::Limit`] when the levels it names are too large together.
    pub fn read(pack: &Pack, limits: &Limits) -> Result<Self> {
        let mut song = Self::read_maps(pack, limits)?;
        if let Some(name) = pack.find(&song.info.audio_file).filter(|n| !n.is_empty()) {
            song.audio = vorbis_length(&pack.read(name)?).ok();
        }
        Ok(song)
    }

    /// As [`Song::read`] without a look at the audio, which a corpus walk has no use for.
    ///
    /// # Errors
    /// As [`Song::read`].
    pub fn read_maps(pack: &Pack, limits: &Limits) -> Result<Self> {
        let bytes = pack.read(pack.info_name())?;
        let (mut info, info_warnings) = info::read_info(&bytes, pack.info_name(), limits)?;
        let mut warnings = pack.warnings().to_vec();
        warnings.extend(info_warnings);
        let mut digest = Digest::default();
        digest.update(&bytes);
        let audio_data = read_audio_data(pack, &info, limits, &mut digest, &mut warnings)?;
        check_named(pack, &info.difficulties, limits)?;
        let mut levels = Vec::with_capacity(info.difficulties.len());
        for entry in std::mem::take(&mut info.difficulties) {
            let mut level = read_one(pack, entry, limits, &mut digest);
            // Version 1 says the jump settings in the level file.
            if let (1, Ok(d)) = (info.version.major, &level.level) {
                let number = |key| d.extra.get(key).and_then(|v| v.as_f64()).unwrap_or(0.0);
                level.info.njs = number("_noteJumpSpeed");
                level.info.spawn_offset_beats = number("_noteJumpStartBeatOffset");
            }
            levels.push(level);
        }
        let audio_present = !info.audio_file.is_empty() && pack.find(&info.audio_file).is_some();
        let (hash, key) = digest.finish();
        Ok(Self { info, levels, audio_data, audio: None, audio_present, warnings, hash, key })
    }

    /// The content key that [`Song::read_maps`] would find, and whether the audio is there, without parsing the levels.
    ///
    /// # Errors
    /// Whatever keeps the Info file or a level file from being read.
    pub fn identity(pack: &Pack, limits: &Limits) -> Result<([u8; 32], bool)> {
        let bytes = pack.read(pack.info_name())?;
        let (info, _) = info::read_info(&bytes, pack.info_name(), limits)?;
        let mut key = blake3::Hasher::new();
        key.update(&bytes);
        let mut files: Vec<&str> = Vec::new();
        if info.version.major == 4 {
            files.push(&info.audio_data_file);
        }
        for entry in &info.difficulties {
            files.push(&entry.file);
            if !entry.lightshow_file.is_empty() {
                files.push(&entry.lightshow_file);
            }
        }
        for name in files.into_iter().filter_map(|f| pack.find(f)) {
            key.update(&pack.read(name)?);
        }
        let audio_present = !info.audio_file.is_empty() && pack.find(&info.audio_file).is_some();
        Ok((*key.finalize().as_bytes(), audio_present))
    }

    /// A new song from levels made in code; `audio` gives its length.
    pub fn new(info: Info, levels: Vec<(DifficultyInfo, Difficulty)>, audio: Option<&[u8]>) -> Self {
        let mut info = Info { difficulties: Vec::new(), ..info };
        for (entry, _) in &levels {
            if !info.sets.iter().any(|s| s.0 == entry.characteristic) {
                info.sets.push((entry.characteristic.clone(), super::Extra::default()));
            }
        }
        let level = |(info, d): (DifficultyInfo, Difficulty)| Level { info, level: Ok(d), warnings: Vec::new() };
        Self {
            info,
            levels: levels.into_iter().map(level).collect(),
            audio_data: None,
            audio: audio.and_then(|bytes| vorbis_length(bytes).ok()),
            audio_present: audio.is_some(),
            warnings: Vec::new(),
            hash: String::new(),
            key: [0; 32],
        }
    }

    /// Files of the pack that [`Song::write`] does not make anew and that go along: audio, cover, pictures, a mod's files.
    pub fn other_files(&self, pack: &Pack, major: Major) -> Vec<String> {
        let mut made: Vec<String> = vec![pack.info_name().to_owned(), self.info.audio_data_file.clone()];
        made.extend(self.levels.iter().flat_map(|l| [l.info.file.clone(), l.info.lightshow_file.clone()]));
        if major == 4 {
            // The editor's notes of version 2 became the audio data.
            made.push("BPMInfo.dat".into());
        }
        let is_made = |name: &str| made.iter().any(|m| m.eq_ignore_ascii_case(name));
        pack.names().filter(|n| !is_made(n)).map(str::to_owned).collect()
    }

    /// The files of `pack`, which this song was read from, with other lights in some levels: by characteristic and
    /// difficulty, a level whose `lights` and `boosts` are taken. Everything else of the level keeps its version and its
    /// extras, every other file its bytes.
    ///
    /// # Errors
    /// [`Error::Spec`] for a level that is not there or cannot be read, that shares its file with another, or that has no
    /// file for lights; [`Error::Io`] and [`Error::Zip`] of the pack.
    pub fn relit(&self, pack: &Pack, lights: &[(String, String, Difficulty)]) -> Result<Files> {
        let mut files = Files::new();
        for name in pack.names() {
            files.push((name.to_owned(), pack.read(name)?));
        }
        for (characteristic, difficulty, new) in lights {
            let refuse = |problem: String| {
                Err(Error::Spec { field: format!("lights of {characteristic} {difficulty}"), problem })
            };
            let own = |l: &&Level| l.info.characteristic == *characteristic && l.info.difficulty == *difficulty;
            let Some(level) = self.levels.iter().find(own) else {
                return refuse("found no such level, expected one of the pack's".into());
            };
            let file = &level.info.file;
            if self.levels.iter().filter(|l| l.info.file.eq_ignore_ascii_case(file)).count() > 1 {
                return refuse(format!("several levels share the file {file}; give each its own"));
            }
            let mut d = match &level.level {
                Ok(d) => d.clone(),
                Err(error) => return refuse(format!("the level cannot be read: {error}")),
            };
            if self.info.version.major < 2 || (d.version.major == 4 && level.info.lightshow_file.is_empty()) {
                return refuse(
                    "the pack has no place for them; write it in another version first, with `convert`".into(),
                );
            }
            // Beyond these types events move what only some stages have.
            d.lights.retain(|light| light.kind > LAST_BASIC_EVENT);
            d.lights.extend(new.lights.iter().cloned());
            d.boosts = new.boosts.clone();
            d.sort();
            let (beatmap, lightshow, _) = d.write(d.version.major.max(2))?;
            let changed = [(file, Some(beatmap)), (&level.info.lightshow_file, lightshow)];
            for (name, bytes) in changed.into_iter().filter_map(|(name, bytes)| bytes.map(|bytes| (name, bytes))) {
                match files.iter_mut().find(|(n, _)| n.eq_ignore_ascii_case(name)) {
                    Some(known) => known.1 = bytes,
                    None => files.push((name.clone(), bytes)),
                }
            }
        }
        Ok(files)
    }

    /// The clock of one level: its own tempo events, or for version 4 the regions of the audio data.
    ///
    /// # Errors
    /// [`Error::Spec`] when the song has no usable tempo.
    pub fn clock(&self, level: &Difficulty) -> Result<TempoMap> {
        if level.version.major == 4
            && let Some(clock) = self.audio_data.as_ref().and_then(AudioData::clock)
        {
            return Ok(clock);
        }
        level.clock(self.info.bpm)
    }

    /// Seconds of audio, where the header or the Info tells.
    pub fn audio_seconds(&self) -> Option<f64> {
        let stated = (self.info.song_duration_s > 0.0).then_some(self.info.song_duration_s);
        self.audio.filter(|a| a.0 > 0).map(|(rate, samples)| samples as f64 / f64::from(rate)).or(stated)
    }

    /// The Info, level and audio data files in the layout of `major` (2, 3 or 4), by name, and what that loses, by
    /// difficulty ("" for the song). Levels that could not be read are left out and reported.
    ///
    /// # Errors
    /// [`Error::Spec`] for another version; [`Error::Map`] when two files would get one name.
    pub fn write(&self, major: Major) -> Result<(Files, SongLosses)> {
        let mut lost = SongLosses::new();
        let mut files = Files::new();
        let (mut out, info_lost) = self.info_for(major);
        lost.extend(info_lost.into_iter().map(|l| (String::new(), l)));
        let audio_data = if major == 4 { Some(self.audio_data_for_4()?) } else { None };
        // What times every level once it is version 4.
        let audio_clock = match audio_data.as_ref().and_then(AudioData::clock) {
            Some(clock) => clock,
            None => TempoMap::constant(self.info.bpm, 0.0)?,
        };
        for level in &self.levels {
            let name = format!("{} {}", level.info.characteristic, level.info.difficulty);
            let mut entry = level.info.clone();
            if entry.file.to_ascii_lowercase().ends_with(".json") {
                entry.file = format!("{}.dat", &entry.file[..entry.file.len() - ".json".len()]);
            }
            let mut d = match &level.level {
                Ok(d) => d.clone(),
                Err(error) => {
                    lost.push((name, Loss { what: format!("the whole level: {error}"), count: 1 }));
                    continue;
                }
            };
            if major < 4 && d.version.major == 4 {
                d.tempo = self.tempo_events(&mut lost);
            }
            if major == 4 && d.version.major < 4 {
                if !same_clock(&self.clock(&d)?, &audio_clock) {
                    let what =
                        "tempo changes that differ from the song's (version 4 has one tempo for all levels)".into();
                    lost.push((name.clone(), Loss { what, count: 1 }));
                }
                let more = d.tempo.iter().filter(|e| !e.extra.is_empty()).count();
                if more > 0 {
                    lost.push((
                        name.clone(),
                        Loss { what: "extra fields of tempo changes".into(), count: more as u64 },
                    ));
                }
                d.tempo.clear();
                let last = audio_data.iter().flat_map(|a| &a.regions).map(|r| r.end_beat).fold(0.0, f64::max);
                lost.extend(convert::lights_within(&mut d, last).into_iter().map(|l| (name.clone(), l)));
            }
            let (beatmap, lightshow, level_lost) = d.write(major)?;
            lost.extend(level_lost.into_iter().map(|l| (name.clone(), l)));
            match lightshow {
                Some(bytes) => {
                    if entry.lightshow_file.is_empty() {
                        // `Expert.beatmap.dat` and `Expert.dat` both have their lights in `Expert.lightshow.dat`.
                        let stem = entry.file.strip_suffix(".dat").unwrap_or(&entry.file);
                        let stem = stem.strip_suffix(".beatmap").unwrap_or(stem);
                        entry.lightshow_file = format!("{stem}.lightshow.dat");
                    }
                    push_file(&mut files, &entry.lightshow_file, bytes)?;
                }
                None => entry.lightshow_file.clear(),
            }
            push_file(&mut files, &entry.file, beatmap)?;
            lost.extend(adapt_entry(&mut entry, &self.info, major).into_iter().map(|l| (name.clone(), l)));
            out.difficulties.push(entry);
        }
        // A characteristic whose levels were all left out would be a set without levels, which the upload gate refuses.
        let written = &out.difficulties;
        out.sets.retain(|(set, _)| {
            let known = self.levels.iter().any(|l| l.info.characteristic == *set);
            !known || written.iter().any(|d| d.characteristic == *set)
        });
        if let Some(data) = audio_data {
            push_file(&mut files, &out.audio_data_file, info::write_audio_data(&data))?;
        }
        push_file(&mut files, "Info.dat", info::write_info(&out, major))?;
        files.rotate_right(1);
        Ok((files, lost))
    }

    /// The audio data of the song, or one that says what the first readable level's tempo events say.
    fn audio_data_for_4(&self) -> Result<AudioData> {
        match &self.audio_data {
            Some(data) if self.info.version.major == 4 => Ok(data.clone()),
            _ => {
                let first = self.levels.iter().find_map(|l| l.level.as_ref().ok().filter(|d| d.version.major < 4));
                let tempo: Vec<_> = first.iter().flat_map(|d| &d.tempo).map(|e| (e.beat, e.bpm)).collect();
                self.audio_data_of(&tempo)
            }
        }
    }

    /// The Info without its levels in the layout of `major`.
    fn info_for(&self, major: Major) -> (Info, Vec<Loss>) {
        let mut out = self.info.clone();
        let mut lost = Losses::default();
        let from_4 = self.info.version.major == 4;
        let levels = || self.levels.iter().map(|l| &l.info);
        if self.info.version.major == 1 {
            lost.add("audio files of single levels", levels().filter(|l| l.audio_file != out.audio_file).count());
        }
        if major < 4 && from_4 {
            lost.add("names of lighters", levels().filter(|l| !l.lighters.is_empty()).count());
            let first = levels().next().map(|l| &l.mappers);
            lost.add("mappers of single levels", levels().filter(|l| Some(&l.mappers) != first).count());
            let regions = self.audio_data.as_ref().map_or(0, |a| a.loudness.len());
            lost.add("loudness", regions + usize::from(out.lufs != 0.0));
            lost.add("audio of the preview", usize::from(out.preview_file != out.audio_file));
            out.environment = out.environments.first().cloned().unwrap_or_default();
            let half = |s: &&Value| s.get("overrideNotes") != s.get("overrideLights");
            lost.add("colour schemes for notes or lights alone", out.color_schemes.iter().filter(half).count());
            out.color_schemes = out.color_schemes.iter().map(info::scheme_to_v2).collect();
        }
        if out.environment.is_empty() {
            out.environment = "DefaultEnvironment".into();
        }
        if out.all_directions_environment.is_empty() {
            out.all_directions_environment = "GlassDesertEnvironment".into();
        }
        if major == 4 && !from_4 {
            lost.add("song time offset", usize::from(out.offset_s != 0.0));
            lost.add("shuffle", usize::from(out.shuffle != 0.0));
            lost.add("custom data of a characteristic", out.sets.iter().filter(|s| !s.1.is_empty()).count());
            if out.environments.is_empty() {
                out.environments = vec![out.environment.clone(), out.all_directions_environment.clone()];
            }
            out.color_schemes = out.color_schemes.iter().map(info::scheme_to_v4).collect();
            out.preview_file = out.audio_file.clone();
            out.song_duration_s = self.audio_seconds().unwrap_or(0.0);
        }
        if major == 4 && out.audio_data_file.is_empty() {
            out.audio_data_file = "AudioData.dat".into();
        }
        if from_4 != (major == 4) {
            out.extra = across(&out.extra, major, "the Info", &mut lost);
        }
        (out, lost.into_vec())
    }

    /// Tempo events that say what the audio data says.
    fn tempo_events(&self, lost: &mut SongLosses) -> Vec<TempoEvent> {
        let Some(clock) = self.audio_data.as_ref().and_then(AudioData::clock) else { return Vec::new() };
        if clock.seconds(0.0).abs() > 0.001 && lost.iter().all(|l| !l.1.what.starts_with("time of beat 0")) {
            let what = format!("time of beat 0 ({:.3} s; before version 4 it is always 0)", clock.seconds(0.0));
            lost.push((String::new(), Loss { what, count: 1 }));
        }
        let regions = clock.regions();
        // Sample positions are rounded: a tempo that equals the song's to their precision needs no event.
        let same = |bpm: f64| (bpm - self.info.bpm).abs() < 1e-3 * self.info.bpm / 100.0;
        if regions.len() == 1 && same(regions[0].bpm) {
            return Vec::new();
        }
        // The first tempo also holds before its region, from beat 0 on.
        let from = |i: usize, beat: f64| if i == 0 { beat.min(0.0) } else { beat };
        let event =
            |(i, r): (usize, &Region)| TempoEvent { beat: from(i, r.beat), bpm: r.bpm, extra: Extra::default() };
        regions.iter().enumerate().map(event).collect()
    }

    /// Audio data for these tempo events. Without a known length the last region ends 10 s after the last object.
    fn audio_data_of(&self, tempo: &[(f64, f64)]) -> Result<AudioData> {
        const FREQUENCY_HZ: u32 = 44_100;
        let clock = TempoMap::from_events(self.info.bpm, tempo.iter().copied(), 0.0)?;
        let levels = self.levels.iter().filter_map(|l| l.level.as_ref().ok());
        let last_beat = levels.map(Difficulty::last_beat).fold(0.0, f64::max);
        let guess_s = clock.seconds(last_beat) + 10.0;
        let (rate, samples) = self.audio.filter(|a| a.0 > 0).unwrap_or_else(|| {
            let seconds = self.audio_seconds().unwrap_or(guess_s);
            (FREQUENCY_HZ, (seconds * f64::from(FREQUENCY_HZ)).round() as u64)
        });
        let frequency_hz = i32::try_from(rate).unwrap_or(i32::MAX);
        let sample_count = i32::try_from(samples).unwrap_or(i32::MAX);
        let end_s = f64::from(sample_count) / f64::from(frequency_hz);
        let sample = |seconds: f64| (seconds * f64::from(frequency_hz)).round() as i32;
        let regions = clock.regions();
        let mut out = Vec::with_capacity(regions.len());
        for (i, r) in regions.iter().enumerate() {
            let (end_beat, end_time) = match regions.get(i + 1) {
                Some(next) if next.time_s < end_s => (next.beat, next.time_s),
                _ => (clock_in(r, end_s), end_s),
            };
            out.push(AudioRegion {
                start_sample: sample(r.time_s),
                end_sample: sample(end_time),
                start_beat: r.beat,
                end_beat,
                ..AudioRegion::default()
            });
            if end_time >= end_s {
                break;
            }
        }
        Ok(AudioData {
            version: super::Version { major: 4, minor: 0, patch: 0 },
            sample_count,
            frequency_hz,
            regions: out,
            ..AudioData::default()
        })
    }
}

/// Whether two clocks agree to a millisecond at every change of either, and in the tempo they end with.
fn same_clock(a: &TempoMap, b: &TempoMap) -> bool {
    const TOLERANCE_S: f64 = 0.001;
    let near = |beat: f64| (a.seconds(beat) - b.seconds(beat)).abs() < TOLERANCE_S;
    let mut beats = a.regions().iter().chain(b.regions()).map(|r| r.beat).chain([0.0]);
    let last = |clock: &TempoMap| clock.regions()[clock.regions().len() - 1].bpm;
    // Sample positions are rounded, so that a tempo is known to a few parts in a million only.
    beats.all(near) && (last(a) / last(b) - 1.0).abs() < 1e-5
}

/// Beat at `time_s` within one region.
fn clock_in(region: &Region, time_s: f64) -> f64 {
    region.beat + (time_s - region.time_s) * region.bpm / 60.0
}

fn push_file(files: &mut Files, name: &str, bytes: Vec<u8>) -> Result<()> {
    match files.iter().find(|f| f.0.eq_ignore_ascii_case(name)) {
        // Several levels may share one file.
        Some(known) if known.1 == bytes => Ok(()),
        Some(_) => Err(Error::Map {
            place: Place::file(name),
            problem: "two different files would get this name; rename one of the levels' files in the Info".into(),
        }),
        None => {
            files.push((name.to_owned(), bytes));
            Ok(())
        }
    }
}

/// What the Info says of one level, in the layout of `major`.
fn adapt_entry(entry: &mut DifficultyInfo, info: &Info, major: Major) -> Vec<Loss> {
    let mut lost = Losses::default();
    let from_4 = info.version.major == 4;
    // Version 1 numbers ranks in its own way.
    if let (1, Some((_, rank))) = (info.version.major, info::rank_of(&entry.difficulty)) {
        entry.rank = rank;
    }
    if from_4 == (major == 4) {
        return lost.into_vec();
    }
    if major == 4 {
        if entry.mappers.is_empty() && !info.mapper.is_empty() {
            entry.mappers = vec![info.mapper.clone()];
        }
        let turning = matches!(entry.characteristic.as_str(), "360Degree" | "90Degree");
        if info.environments.is_empty() && turning {
            entry.environment = 1;
        }
    }
    entry.extra = across(&entry.extra, major, "a level in the Info", &mut lost);
    lost.into_vec()
}

/// What an Info file says beyond the model, as the other layout can say it: custom data, and nothing else.
fn across(extra: &Extra, major: Major, whose: &str, lost: &mut Losses) -> Extra {
    for (key, value) in extra.members() {
        if !(value.is_object() && (key == "customData" || key == "_customData")) {
            lost.add(format!("field {key} of {whose}"), 1);
        }
    }
    for (name, entry) in extra.data_members() {
        let keys = entry.as_object().into_iter().flat_map(|e| e.keys());
        keys.for_each(|key| lost.add(format!("field {name}.{key} of {whose}"), 1));
    }
    let custom = extra.custom();
    let mut out = Extra::default();
    if !custom.is_empty() {
        let name = if major == 4 { "customData" } else { "_customData" };
        out.set(name, Value::Object(renamed(custom, major)));
    }
    out
}

/// SongCore's members carry an underscore before version 4 and none in it.
fn renamed(custom: serde_json::Map<String, Value>, major: Major) -> serde_json::Map<String, Value> {
    let name = |key: String| match (major, key.strip_prefix('_')) {
        (4, Some(plain)) => plain.to_owned(),
        (2 | 3, None) => format!("_{key}"),
        _ => key,
    };
    custom.into_iter().map(|(k, v)| (name(k), v)).collect()
}

/// The level hash and the content key, which cover the same files in the same order.
#[derive(Default)]
struct Digest {
    level: sha1::Sha1,
    content: blake3::Hasher,
}

impl Digest {
    fn update(&mut self, bytes: &[u8]) {
        use sha1::Digest as _;
        self.level.update(bytes);
        self.content.update(bytes);
    }

    fn finish(self) -> (String, [u8; 32]) {
        use sha1::Digest as _;
        let hash = self.level.finalize().iter().map(|b| format!("{b:02x}")).collect();
        (hash, *self.content.finalize().as_bytes())
    }
}

/// Audio data: of version 4 the clock and part of the hash, of version 2 the editor's notes.
fn read_audio_data(
    pack: &Pack,
    info: &Info,
    limits: &Limits,
    digest: &mut Digest,
    warnings: &mut Vec<Warning>,
) -> Result<Option<AudioData>> {
    let modern = info.version.major == 4;
    let wanted = if modern { info.audio_data_file.as_str() } else { "BPMInfo.dat" };
    let warning = |rule, file: &str, message| Warning { rule, place: Place::file(file), message, count: 1 };
    let Some(name) = pack.find(wanted) else {
        if modern {
            let message =
                format!("the audio data file {wanted:?} is not in the pack; the tempo is taken from the Info");
            warnings.push(warning("audio-data-missing", wanted, message));
        }
        return Ok(None);
    };
    let bytes = pack.read(name)?;
    if modern {
        digest.update(&bytes);
    }
    match info::read_audio_data(&bytes, name, limits) {
        Ok((data, odd)) => {
            warnings.extend(odd);
            Ok(Some(data))
        }
        Err(error) => {
            warnings.push(warning("audio-data-unreadable", name, error.to_string()));
            Ok(None)
        }
    }
}

/// An Info file can name one file many times: what that unpacks to counts each time.
fn check_named(pack: &Pack, levels: &[DifficultyInfo], limits: &Limits) -> Result<()> {
    let files = levels.iter().flat_map(|l| [&l.file, &l.lightshow_file]);
    let found = files.filter_map(|name| pack.size(name)).fold(0, u64::saturating_add);
    let limit = limits.unpacked_bytes;
    let place = Place::file(pack.info_name());
    if found > limit { Err(Error::Limit { name: "unpacked_bytes", limit, found, place }) } else { Ok(()) }
}

fn read_one(pack: &Pack, info: DifficultyInfo, limits: &Limits, digest: &mut Digest) -> Level {
    let mut warnings = Vec::new();
    let level = (|| {
        let name = pack.find(&info.file).ok_or_else(|| Error::Map {
            place: Place::file(&info.file),
            problem: format!("the Info names this file and it is not in the pack (the pack holds {})", listed(pack)),
        })?;
        let bytes = pack.read(name)?;
        digest.update(&bytes);
        let level = read_level(&bytes, name, limits);
        // The light show is hashed even if its level cannot be read.
        let lightshow = if info.lightshow_file.is_empty() { None } else { pack.find(&info.lightshow_file) };
        let lightshow = lightshow.map(|name| pack.read(name).map(|bytes| (name, bytes))).transpose()?;
        if let Some((_, bytes)) = &lightshow {
            digest.update(bytes);
        }
        let (mut level, odd) = level?;
        warnings.extend(odd);
        match lightshow {
            Some((name, bytes)) if level.version.major == 4 => {
                warnings.extend(level.add_lightshow(&bytes, name, limits)?);
            }
            None if level.version.major == 4 && !info.lightshow_file.is_empty() => warnings.push(Warning {
                rule: "lightshow-missing",
                place: Place::file(&info.lightshow_file),
                message: "the Info names this light show and it is not in the pack; the level is dark".into(),
                count: 1,
            }),
            _ => {}
        }
        Ok(level)
    })();
    Level { info, level, warnings }
}

/// A few names of a pack, for messages.
fn listed(pack: &Pack) -> Cow<'static, str> {
    const SHOWN: usize = 8;
    let names: Vec<&str> = pack.names().take(SHOWN).collect();
    let more = pack.names().count().saturating_sub(SHOWN);
    let tail = if more > 0 { format!(" and {more} more") } else { String::new() };
    Cow::Owned(format!("{}{tail}", names.join(", ")))
}
