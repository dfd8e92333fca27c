//! Info files of every version and audio data files, both directions. Written are Info 2.0 or 2.1 and 4.0.1.

use std::collections::HashSet;

use serde::Deserializer;
use serde_json::{Map, Value};

use super::json::{self, Cx, Extra, Json, Out, Read, Reader, Wire, Write, wire};
use super::{Major, Version, nothing_unknown};
use crate::{Error, Limits, Place, Result, Warning};

/// Versions that can be read, for messages.
pub(super) const READABLE: &str = "1.x, 2.x, 3.x or 4.x";

/// What a level's Info file says, whatever its version.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Info {
    /// Version of the file it was read from.
    pub version: Version,
    /// Song title.
    pub title: String,
    /// Second line of the title.
    pub subtitle: String,
    /// Who made the song.
    pub artist: String,
    /// Who made the level; of version 4 all mappers, joined.
    pub mapper: String,
    /// Base tempo.
    pub bpm: f64,
    /// Deprecated shift of the audio against the objects; must be 0 to upload.
    pub offset_s: f64,
    /// Deprecated swing timing.
    pub shuffle: f64,
    /// Period of the swing timing, in beats.
    pub shuffle_period: f64,
    /// Where the preview begins.
    pub preview_start_s: f64,
    /// How long the preview is.
    pub preview_duration_s: f64,
    /// Audio file.
    pub audio_file: String,
    /// Cover image file.
    pub cover_file: String,
    /// Environment of levels without one of their own (version 2).
    pub environment: String,
    /// The same for 90° and 360° levels (version 2).
    pub all_directions_environment: String,
    /// Environments that levels point to by index.
    pub environments: Vec<String>,
    /// Colour schemes that levels point to by index, in the layout of `version`.
    pub color_schemes: Vec<Value>,
    /// Length of the song as the file states it (version 4), 0 when unknown.
    pub song_duration_s: f64,
    /// Loudness (version 4).
    pub lufs: f64,
    /// Audio data file (version 4).
    pub audio_data_file: String,
    /// Audio of the preview (version 4).
    pub preview_file: String,
    /// Levels in file order.
    pub difficulties: Vec<DifficultyInfo>,
    /// Characteristics in file order with what their set says beyond the levels (version 2).
    pub sets: Vec<(String, Extra)>,
    /// Members beyond the model.
    pub extra: Extra,
}

/// One level as the Info file lists it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct DifficultyInfo {
    /// Game mode: `Standard`, `OneSaber` and so on; free text.
    pub characteristic: String,
    /// `Easy`, `Normal`, `Hard`, `Expert` or `ExpertPlus`; free text.
    pub difficulty: String,
    /// 1, 3, 5, 7, 9 as the file states it; of version 4 as the name says.
    pub rank: i32,
    /// Level file.
    pub file: String,
    /// Light show file (version 4), may be empty.
    pub lightshow_file: String,
    /// Note jump speed in metres per second.
    pub njs: f64,
    /// Offset of the half jump duration.
    pub spawn_offset_beats: f64,
    /// Index into the colour schemes, −1 none.
    pub color_scheme: i32,
    /// Index into the environments.
    pub environment: i32,
    /// Mappers (version 4).
    pub mappers: Vec<String>,
    /// Lighters (version 4).
    pub lighters: Vec<String>,
    /// Audio file of this level (version 1).
    pub audio_file: String,
    /// Members beyond the model.
    pub extra: Extra,
}

impl Info {
    /// The stage a level is played on: its own of the list, or the song's; empty where none is named.
    pub fn stage(&self, level: &DifficultyInfo) -> &str {
        let own = usize::try_from(level.environment).ok().and_then(|index| self.environments.get(index));
        match own {
            Some(name) => name,
            None if level.characteristic.ends_with("Degree") => &self.all_directions_environment,
            None => &self.environment,
        }
    }

    /// Reads an Info file of any version (`Info.dat`, `info.json`).
    ///
    /// # Errors
    /// [`Error::Json`], [`Error::Version`], [`Error::Limit`], or [`Error::Map`] when it is JSON but no Info file.
    pub fn read(bytes: &[u8], file: &str, limits: &Limits) -> Result<(Self, Vec<Warning>)> {
        read_info(bytes, file, limits)
    }

    /// The Info file for levels of version `major`: Info 4.0.1 for 4, else 2.0 or 2.1. It says what the target layout has
    /// words for; [`Song::write`](super::Song::write) also carries over and reports the rest.
    pub fn write(&self, major: Major) -> Vec<u8> {
        write_info(self, major)
    }
}

/// The game's difficulties and their ranks.
pub const RANKS: [(&str, i32); 5] = [("Easy", 1), ("Normal", 3), ("Hard", 5), ("Expert", 7), ("ExpertPlus", 9)];

/// The game's name and rank of a difficulty however it is spelled (`expert`, `Expert+`).
pub fn rank_of(difficulty: &str) -> Option<(&'static str, i32)> {
    let plain = difficulty.trim().replace('+', "Plus");
    RANKS.into_iter().find(|(name, _)| name.eq_ignore_ascii_case(&plain))
}

impl DifficultyInfo {
    /// A list of texts from the custom data, under its name with or without underscore.
    fn custom_list(&self, name: &str) -> Vec<String> {
        let custom = self.extra.custom();
        let list = custom.get(&format!("_{name}")).or_else(|| custom.get(name)).and_then(Value::as_array);
        list.into_iter().flatten().filter_map(Value::as_str).map(str::to_owned).collect()
    }

    /// Mods the level cannot be played without.
    pub fn requirements(&self) -> Vec<String> {
        self.custom_list("requirements")
    }

    /// Mods the level makes use of.
    pub fn suggestions(&self) -> Vec<String> {
        self.custom_list("suggestions")
    }

    /// The name shown in place of the difficulty, if any.
    pub fn label(&self) -> Option<String> {
        let custom = self.extra.custom();
        let label = custom.get("_difficultyLabel").or_else(|| custom.get("difficultyLabel"))?;
        label.as_str().filter(|l| !l.is_empty()).map(str::to_owned)
    }
}

/// Tempo and loudness regions of a song: `AudioData.dat` (version 4) or `BPMInfo.dat` (version 2, an editor's file).
#[derive(Clone, Debug, Default, PartialEq)]
pub struct AudioData {
    /// Version of the file it was read from.
    pub version: Version,
    /// Checksum; empty for custom levels.
    pub checksum: String,
    /// Samples of the audio.
    pub sample_count: i32,
    /// Samples per second.
    pub frequency_hz: i32,
    /// Tempo regions.
    pub regions: Vec<AudioRegion>,
    /// Loudness regions.
    pub loudness: Vec<LoudnessRegion>,
    /// Members beyond the model.
    pub extra: Extra,
}

impl AudioData {
    /// Reads `AudioData.dat` (version 4) or `BPMInfo.dat` (version 2).
    ///
    /// # Errors
    /// [`Error::Json`], [`Error::Version`] or [`Error::Limit`].
    pub fn read(bytes: &[u8], file: &str, limits: &Limits) -> Result<(Self, Vec<Warning>)> {
        read_audio_data(bytes, file, limits)
    }

    /// An audio data file of version 4.
    pub fn write(&self) -> Vec<u8> {
        write_audio_data(self)
    }

    /// The clock of these regions; `None` when they do not make one.
    pub fn clock(&self) -> Option<crate::timing::TempoMap> {
        if self.frequency_hz <= 0 {
            return None;
        }
        let seconds = |sample: i32| f64::from(sample) / f64::from(self.frequency_hz);
        let starts: Vec<(f64, f64)> = self.regions.iter().map(|r| (r.start_beat, seconds(r.start_sample))).collect();
        let last = self.regions.iter().max_by(|a, b| a.end_beat.total_cmp(&b.end_beat))?;
        crate::timing::TempoMap::from_points(&starts, (last.end_beat, seconds(last.end_sample))).ok()
    }
}

wire! {
    InfoV1 {
        title: String = "songName", subtitle: String = "songSubName", author: String = "authorName",
        bpm: f64 = "beatsPerMinute" or 120.0, preview_start: f64 = "previewStartTime",
        preview_duration: f64 = "previewDuration", cover: String = "coverImagePath", environment: String = "environmentName",
        levels: Vec<LevelInfoV1> = "difficultyLevels",
    }
    LevelInfoV1 {
        difficulty: String = "difficulty", rank: i32 = "difficultyRank", audio: String = "audioPath",
        file: String = "jsonPath", characteristic: String = "characteristic" or "Standard".to_owned(),
    }
    InfoV2 {
        version: String = "_version", title: String = "_songName", subtitle: String = "_songSubName",
        artist: String = "_songAuthorName", mapper: String = "_levelAuthorName",
        bpm: f64 = "_beatsPerMinute" or 120.0, offset: f64 = "_songTimeOffset", shuffle: f64 = "_shuffle",
        shuffle_period: f64 = "_shufflePeriod", preview_start: f64 = "_previewStartTime",
        preview_duration: f64 = "_previewDuration", audio: String = "_songFilename", cover: String = "_coverImageFilename",
        environment: String = "_environmentName", all_directions: String = "_allDirectionsEnvironmentName",
        environments: Json = "_environmentNames", color_schemes: Json = "_colorSchemes",
        sets: Vec<SetV2> = "_difficultyBeatmapSets",
    }
    SetV2 { characteristic: String = "_beatmapCharacteristicName", levels: Vec<LevelInfoV2> = "_difficultyBeatmaps" }
    LevelInfoV2 {
        difficulty: String = "_difficulty", rank: i32 = "_difficultyRank", file: String = "_beatmapFilename",
        njs: f64 = "_noteJumpMovementSpeed", offset: f64 = "_noteJumpStartBeatOffset",
        color_scheme: Json = "_beatmapColorSchemeIdx", environment: Json = "_environmentNameIdx",
    }
    InfoV4 {
        version: String = "version", song: SongV4 = "song", audio: AudioV4 = "audio",
        preview_file: String = "songPreviewFilename", cover: String = "coverImageFilename",
        environments: Vec<String> = "environmentNames", color_schemes: Json = "colorSchemes",
        levels: Vec<LevelInfoV4> = "difficultyBeatmaps",
    }
    SongV4 {
        title: String = "title" or "Untitled".to_owned(), subtitle: String = "subTitle",
        author: String = "author" or "NoAuthor".to_owned(),
    }
    AudioV4 {
        file: String = "songFilename", duration: f64 = "songDuration",
        data_file: String = "audioDataFilename" or "AudioData.dat".to_owned(), bpm: f64 = "bpm" or 120.0, lufs: f64 = "lufs",
        preview_start: f64 = "previewStartTime", preview_duration: f64 = "previewDuration",
    }
    LevelInfoV4 {
        characteristic: String = "characteristic", difficulty: String = "difficulty",
        authors: AuthorsV4 = "beatmapAuthors", environment: i32 = "environmentNameIdx",
        color_scheme: i32 = "beatmapColorSchemeIdx" or -1, njs: f64 = "noteJumpMovementSpeed",
        offset: f64 = "noteJumpStartBeatOffset", file: String = "beatmapDataFilename",
        lightshow: String = "lightshowDataFilename",
    }
    AuthorsV4 { mappers: Vec<String> = "mappers", lighters: Vec<String> = "lighters" }
    AudioDataV2 {
        version: String = "_version", samples: i32 = "_songSampleCount", frequency: i32 = "_songFrequency",
        regions: Vec<RegionV2> = "_regions",
    }
    RegionV2 {
        start: i32 = "_startSampleIndex", end: i32 = "_endSampleIndex", start_beat: f64 = "_startBeat",
        end_beat: f64 = "_endBeat",
    }
    AudioDataV4 {
        version: String = "version", checksum: String = "songChecksum", samples: i32 = "songSampleCount",
        frequency: i32 = "songFrequency", regions: Vec<RegionV4> = "bpmData", loudness: Vec<LoudnessV4> = "lufsData",
    }
    RegionV4 { start: i32 = "si", end: i32 = "ei", start_beat: f64 = "sb", end_beat: f64 = "eb" }
    LoudnessV4 { start: i32 = "si", end: i32 = "ei", lufs: f64 = "l" }
}

/// A tempo region between two samples and two beats.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct AudioRegion {
    /// First sample.
    pub start_sample: i32,
    /// Sample after the last.
    pub end_sample: i32,
    /// Beat of the first sample.
    pub start_beat: f64,
    /// Beat of the end.
    pub end_beat: f64,
    /// Members beyond the model.
    pub extra: Extra,
}

/// A stretch of one loudness.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct LoudnessRegion {
    /// First sample.
    pub start_sample: i32,
    /// Sample after the last.
    pub end_sample: i32,
    /// Loudness units relative to full scale.
    pub lufs: f64,
    /// Members beyond the model.
    pub extra: Extra,
}

/// Parses `major.minor.patch`; missing parts are 0.
pub(super) fn version_of(text: &str, file: &str, pointer: &str) -> Result<Version> {
    let mut parts = text.trim().split('.').map(|p| p.parse::<u8>().ok());
    let mut next = || parts.next().unwrap_or(Some(0));
    match (next(), next(), next()) {
        (Some(major @ 1..=4), Some(minor), Some(patch)) => Ok(Version { major, minor, patch }),
        _ => Err(Error::Version { place: Place::at(file, pointer), found: text.to_owned(), expected: READABLE }),
    }
}

impl Default for Version {
    fn default() -> Self {
        Self { major: 2, minor: 0, patch: 0 }
    }
}

/// Reads an Info file of any version.
pub(super) fn read_info(bytes: &[u8], file: &str, limits: &Limits) -> Result<(Info, Vec<Warning>)> {
    struct InfoReader;
    impl Reader for InfoReader {
        type Out = Info;
        fn read<'de, D: Deserializer<'de>>(&self, text: &'de str, cx: &Cx, d: D) -> Result<Info, D::Error> {
            let stated = json::peek_version(text);
            let version = stated.as_ref().map(|(old, v)| {
                version_of(v, cx.file, if *old { "/_version" } else { "/version" }).map_err(|e| cx.fail(e))
            });
            // An Info without a version is version 1 when it lists its levels the way only version 1 does.
            let mut version = version.transpose()?.unwrap_or_else(|| {
                let major = if text.contains("\"difficultyLevels\"") { 1 } else { 2 };
                Version { major, minor: 0, patch: 0 }
            });
            // The two layouts are told apart by how they name the version. There is no Info of version 3.
            let layout = if matches!(stated, Some((false, _))) { 4 } else { 2 };
            if version.major != layout && version.major != 1 || version.major == 1 && layout == 4 {
                cx.warn("info-version", || format!("found version {version}, which no Info has; read as {layout}.0.0"));
                version = Version { major: layout, minor: 0, patch: 0 };
            }
            // What follows compares every level and every characteristic with all others.
            let few = |count: usize| {
                let (found, limit, place) = (count as u64, cx.limits.difficulties, Place::file(cx.file));
                let fault = Error::Limit { name: "difficulties", limit, found, place };
                if found > limit { Err(cx.fail(fault)) } else { Ok(()) }
            };
            let mut info = match version.major {
                1 => {
                    let mut wire: InfoV1 = read_wire(cx, d)?;
                    few(wire.levels.len())?;
                    drop_newer(&mut wire.extra, cx);
                    wire.levels.iter_mut().for_each(|l| drop_newer(&mut l.extra, cx));
                    wire.into_info(version, cx)
                }
                2 => {
                    let wire: InfoV2 = read_wire(cx, d)?;
                    few(wire.sets.len())?;
                    few(wire.sets.iter().map(|s| s.levels.len()).sum())?;
                    wire.into_info(version, cx)
                }
                _ => {
                    let wire: InfoV4 = read_wire(cx, d)?;
                    few(wire.levels.len())?;
                    wire.into_info(version, cx)
                }
            };
            drop_version(&mut info.extra, cx);
            if stated.is_none() && version.major == 2 {
                cx.warn("no-version", || "no version is stated; read as 2.0.0".into());
            }
            let bare = info.sets.is_empty()
                && info.difficulties.is_empty()
                && info.title.is_empty()
                && info.audio_file.is_empty();
            if bare && !(stated.is_some() && nothing_unknown(&info.extra)) {
                let problem = "found none of a level's fields, expected a Beat Saber Info file; \
                               a file of that name may belong to something else"
                    .into();
                return Err(cx.fail(Error::Map { place: Place::file(cx.file), problem }));
            }
            Ok(info)
        }
    }
    let (text, mut warnings) = json::read_text(bytes, file, limits)?;
    let cx = Cx::new(file, limits);
    let info = json::parse(&InfoReader, &text, &cx)?;
    warnings.extend(cx.into_warnings());
    Ok((info, warnings))
}

fn read_wire<'de, T: Wire, D: Deserializer<'de>>(cx: &Cx, d: D) -> Result<T, D::Error> {
    let mut value = T::default();
    Read::read(&mut value, cx, d)?;
    Ok(value)
}

/// A file that states its version in both ways is read by the first; the other must not come back on writing.
fn drop_version(extra: &mut Extra, cx: &Cx) {
    for key in ["version", "_version"] {
        if extra.remove(key).is_some() {
            cx.warn("two-versions", || format!("both `_version` and `version` are stated; {key} was left out"));
        }
    }
}

/// Version 1 is written as 2, where an unknown member with a name of version 2 would take the place of the real one.
fn drop_newer(extra: &mut Extra, cx: &Cx) {
    for key in extra.members().keys().filter(|key| key.starts_with('_')) {
        extra.remove(key);
        cx.warn("newer-member", || {
            format!("found {key:?} in an Info of version 1, which has no such names; it was left out")
        });
    }
}

fn list_of(json: Json) -> Vec<Value> {
    match json.0 {
        Some(Value::Array(list)) => list,
        _ => Vec::new(),
    }
}

impl InfoV1 {
    fn into_info(self, version: Version, cx: &Cx) -> Info {
        let difficulties: Vec<DifficultyInfo> = self
            .levels
            .into_iter()
            .map(|l| DifficultyInfo {
                characteristic: if l.characteristic.is_empty() { "Standard".into() } else { l.characteristic },
                difficulty: l.difficulty,
                rank: l.rank,
                file: l.file,
                audio_file: l.audio,
                color_scheme: -1,
                extra: l.extra,
                ..DifficultyInfo::default()
            })
            .map(|d| named(d, false, cx))
            .collect();
        Info {
            version,
            title: self.title,
            subtitle: self.subtitle,
            // Version 1 has one author; some meant the artist, some the mapper.
            artist: self.author.clone(),
            mapper: self.author,
            bpm: self.bpm,
            preview_start_s: self.preview_start,
            preview_duration_s: self.preview_duration,
            audio_file: difficulties.first().map_or_else(String::new, |d| d.audio_file.clone()),
            cover_file: self.cover,
            environment: self.environment,
            sets: sets_of(&difficulties),
            difficulties,
            extra: self.extra,
            ..Info::default()
        }
    }
}

fn sets_of(difficulties: &[DifficultyInfo]) -> Vec<(String, Extra)> {
    let mut sets: Vec<(String, Extra)> = Vec::new();
    for d in difficulties {
        if !sets.iter().any(|s| s.0 == d.characteristic) {
            sets.push((d.characteristic.clone(), Extra::default()));
        }
    }
    sets
}

/// Notes names and ranks that the game does not have; the name is put right where it is only spelled otherwise.
///
/// `ranked` is false for version 1, which numbers ranks in its own way.
fn named(mut d: DifficultyInfo, ranked: bool, cx: &Cx) -> DifficultyInfo {
    match rank_of(&d.difficulty) {
        Some((name, rank)) => {
            if name != d.difficulty {
                cx.warn("difficulty-name", || {
                    format!("found difficulty {:?}, expected {name:?}; read as that", d.difficulty)
                });
                d.difficulty = name.to_owned();
            }
            if d.rank == 0 {
                d.rank = rank;
            } else if d.rank != rank && ranked {
                cx.warn("difficulty-rank", || format!("found rank {} for {name}, expected {rank}", d.rank));
            }
        }
        None => {
            cx.warn("difficulty-name", || {
                format!("found difficulty {:?}, expected one of Easy to ExpertPlus", d.difficulty)
            });
        }
    }
    d
}

impl InfoV2 {
    fn into_info(self, version: Version, cx: &Cx) -> Info {
        let mut difficulties = Vec::new();
        let mut sets: Vec<(String, Extra)> = Vec::new();
        for set in self.sets {
            for l in set.levels {
                let index = |json: &Json, absent: i32| match &json.0 {
                    Some(v) => v.as_i64().and_then(|v| i32::try_from(v).ok()).unwrap_or(absent),
                    None => absent,
                };
                let level = DifficultyInfo {
                    characteristic: set.characteristic.clone(),
                    difficulty: l.difficulty,
                    rank: l.rank,
                    file: l.file,
                    njs: l.njs,
                    spawn_offset_beats: l.offset,
                    color_scheme: index(&l.color_scheme, -1),
                    environment: index(&l.environment, 0),
                    extra: l.extra,
                    ..DifficultyInfo::default()
                };
                difficulties.push(named(level, true, cx));
            }
            if let Some(known) = sets.iter_mut().find(|s| s.0 == set.characteristic) {
                cx.warn("characteristic-twice", || {
                    format!("found two sets for {:?}, expected one; they were joined", set.characteristic)
                });
                for (key, value) in set.extra.members() {
                    if known.1.get(&key).is_none() {
                        known.1.set(&key, value);
                    }
                }
            } else {
                sets.push((set.characteristic, set.extra));
            }
        }
        let environments = list_of(self.environments);
        Info {
            version,
            title: self.title,
            subtitle: self.subtitle,
            artist: self.artist,
            mapper: self.mapper,
            bpm: self.bpm,
            offset_s: self.offset,
            shuffle: self.shuffle,
            shuffle_period: self.shuffle_period,
            preview_start_s: self.preview_start,
            preview_duration_s: self.preview_duration,
            audio_file: self.audio,
            cover_file: self.cover,
            environment: self.environment,
            all_directions_environment: self.all_directions,
            environments: environments.iter().map(|e| e.as_str().unwrap_or_default().to_owned()).collect(),
            color_schemes: list_of(self.color_schemes),
            difficulties,
            sets,
            extra: self.extra,
            ..Info::default()
        }
    }
}

impl InfoV4 {
    fn into_info(self, version: Version, cx: &Cx) -> Info {
        let difficulties: Vec<DifficultyInfo> = self
            .levels
            .into_iter()
            .map(|l| {
                let mut extra = l.extra;
                extra.keep_data("beatmapAuthors", l.authors.extra.own());
                let level = DifficultyInfo {
                    characteristic: l.characteristic,
                    difficulty: l.difficulty,
                    file: l.file,
                    lightshow_file: l.lightshow,
                    njs: l.njs,
                    spawn_offset_beats: l.offset,
                    color_scheme: l.color_scheme,
                    environment: l.environment,
                    mappers: l.authors.mappers,
                    lighters: l.authors.lighters,
                    extra,
                    ..DifficultyInfo::default()
                };
                named(level, true, cx)
            })
            .collect();
        let mut seen = HashSet::new();
        let names = difficulties.iter().flat_map(|d| &d.mappers).map(String::as_str);
        let mapper = names.filter(|name| seen.insert(*name)).collect::<Vec<_>>().join(", ");
        let mut extra = self.extra;
        extra.keep_data("song", self.song.extra.own());
        extra.keep_data("audio", self.audio.extra.own());
        Info {
            version,
            title: self.song.title,
            subtitle: self.song.subtitle,
            artist: self.song.author,
            mapper,
            bpm: self.audio.bpm,
            preview_start_s: self.audio.preview_start,
            preview_duration_s: self.audio.preview_duration,
            audio_file: self.audio.file,
            cover_file: self.cover,
            environments: self.environments,
            color_schemes: list_of(self.color_schemes),
            song_duration_s: self.audio.duration,
            lufs: self.audio.lufs,
            audio_data_file: self.audio.data_file,
            preview_file: self.preview_file,
            sets: sets_of(&difficulties),
            difficulties,
            extra,
            ..Info::default()
        }
    }
}

/// An Info file of version 2 (2.0 unless it needs what only 2.1 has) or 4. `major` 2 and 3 name the levels' version.
pub(super) fn write_info(info: &Info, major: Major) -> Vec<u8> {
    let mut out = Out::default();
    if major == 4 {
        info_v4(info).write(&mut out);
    } else {
        info_v2(info, major).write(&mut out);
    }
    // People read and edit this file: indented, with a line end.
    let bytes = out.into_bytes();
    // What no value can hold (see `Extra`) is still in the text.
    let pretty = serde_json::from_slice::<Value>(&bytes).and_then(|value| serde_json::to_vec_pretty(&value));
    let mut bytes = pretty.unwrap_or(bytes);
    bytes.push(b'\n');
    bytes
}

fn info_v2(info: &Info, major: Major) -> InfoV2 {
    let modern = major == 3 || info.version >= Version { major: 2, minor: 1, patch: 0 };
    let modern = modern || !info.environments.is_empty() || !info.color_schemes.is_empty();
    let modern = modern || info.difficulties.iter().any(|d| d.color_scheme != -1 || d.environment != 0);
    let list = |list: Vec<Value>| Json(modern.then_some(Value::Array(list)));
    // Every level has a set, whoever built this Info.
    let mut all = info.sets.clone();
    all.extend(sets_of(&info.difficulties).into_iter().filter(|s| !info.sets.iter().any(|known| known.0 == s.0)));
    let sets = all.iter().map(|(characteristic, extra)| SetV2 {
        characteristic: characteristic.clone(),
        levels: info
            .difficulties
            .iter()
            .filter(|d| d.characteristic == *characteristic)
            .map(|d| LevelInfoV2 {
                difficulty: d.difficulty.clone(),
                rank: d.rank,
                file: d.file.clone(),
                njs: d.njs,
                offset: d.spawn_offset_beats,
                // "No scheme" is said by leaving it out: the upload gate refuses −1 here.
                color_scheme: Json((modern && d.color_scheme >= 0).then(|| d.color_scheme.into())),
                environment: Json(modern.then(|| d.environment.into())),
                extra: d.extra.clone(),
            })
            .collect(),
        extra: extra.clone(),
    });
    InfoV2 {
        version: if modern { "2.1.0" } else { "2.0.0" }.into(),
        title: info.title.clone(),
        subtitle: info.subtitle.clone(),
        artist: info.artist.clone(),
        mapper: info.mapper.clone(),
        bpm: info.bpm,
        offset: info.offset_s,
        shuffle: info.shuffle,
        shuffle_period: info.shuffle_period,
        preview_start: info.preview_start_s,
        preview_duration: info.preview_duration_s,
        audio: info.audio_file.clone(),
        cover: info.cover_file.clone(),
        environment: info.environment.clone(),
        all_directions: info.all_directions_environment.clone(),
        environments: list(info.environments.iter().map(|e| e.as_str().into()).collect()),
        color_schemes: list(info.color_schemes.clone()),
        sets: sets.collect(),
        extra: info.extra.clone(),
    }
}

fn info_v4(info: &Info) -> InfoV4 {
    let levels = info.difficulties.iter().map(|d| LevelInfoV4 {
        characteristic: d.characteristic.clone(),
        difficulty: d.difficulty.clone(),
        authors: AuthorsV4 {
            mappers: d.mappers.clone(),
            lighters: d.lighters.clone(),
            extra: d.extra.data_of("beatmapAuthors"),
        },
        environment: d.environment,
        color_scheme: d.color_scheme,
        njs: d.njs,
        offset: d.spawn_offset_beats,
        file: d.file.clone(),
        lightshow: d.lightshow_file.clone(),
        extra: d.extra.without_data(),
    });
    InfoV4 {
        version: "4.0.1".into(),
        song: SongV4 {
            title: info.title.clone(),
            subtitle: info.subtitle.clone(),
            author: info.artist.clone(),
            extra: info.extra.data_of("song"),
        },
        audio: AudioV4 {
            file: info.audio_file.clone(),
            duration: info.song_duration_s,
            data_file: info.audio_data_file.clone(),
            bpm: info.bpm,
            lufs: info.lufs,
            preview_start: info.preview_start_s,
            preview_duration: info.preview_duration_s,
            extra: info.extra.data_of("audio"),
        },
        preview_file: info.preview_file.clone(),
        cover: info.cover_file.clone(),
        environments: info.environments.clone(),
        color_schemes: Json(Some(info.color_schemes.iter().map(scheme_to_4_0_1).collect())),
        levels: levels.collect(),
        extra: info.extra.without_data(),
    }
}

/// Reads `AudioData.dat` or `BPMInfo.dat`.
pub(super) fn read_audio_data(bytes: &[u8], file: &str, limits: &Limits) -> Result<(AudioData, Vec<Warning>)> {
    struct AudioDataReader;
    impl Reader for AudioDataReader {
        type Out = AudioData;
        fn read<'de, D: Deserializer<'de>>(&self, text: &'de str, cx: &Cx, d: D) -> Result<AudioData, D::Error> {
            let (old, stated) = json::peek_version(text).unwrap_or((false, "4.0.0".into()));
            let pointer = if old { "/_version" } else { "/version" };
            let version = version_of(&stated, cx.file, pointer).map_err(|e| cx.fail(e))?;
            if old {
                let w: AudioDataV2 = read_wire(cx, d)?;
                let region = |r: RegionV2| AudioRegion {
                    start_sample: r.start,
                    end_sample: r.end,
                    start_beat: r.start_beat,
                    end_beat: r.end_beat,
                    extra: r.extra,
                };
                let mut extra = w.extra;
                drop_version(&mut extra, cx);
                return Ok(AudioData {
                    version,
                    sample_count: w.samples,
                    frequency_hz: w.frequency,
                    regions: w.regions.into_iter().map(region).collect(),
                    extra,
                    ..AudioData::default()
                });
            }
            let mut w: AudioDataV4 = read_wire(cx, d)?;
            drop_version(&mut w.extra, cx);
            let region = |r: RegionV4| AudioRegion {
                start_sample: r.start,
                end_sample: r.end,
                start_beat: r.start_beat,
                end_beat: r.end_beat,
                extra: r.extra,
            };
            let loudness = |r: LoudnessV4| LoudnessRegion {
                start_sample: r.start,
                end_sample: r.end,
                lufs: r.lufs,
                extra: r.extra,
            };
            Ok(AudioData {
                version,
                checksum: w.checksum,
                sample_count: w.samples,
                frequency_hz: w.frequency,
                regions: w.regions.into_iter().map(region).collect(),
                loudness: w.loudness.into_iter().map(loudness).collect(),
                extra: w.extra,
            })
        }
    }
    let (text, mut warnings) = json::read_text(bytes, file, limits)?;
    let cx = Cx::new(file, limits);
    let data = json::parse(&AudioDataReader, &text, &cx)?;
    warnings.extend(cx.into_warnings());
    Ok((data, warnings))
}

/// An audio data file of version 4.
pub(super) fn write_audio_data(data: &AudioData) -> Vec<u8> {
    let region = |r: &AudioRegion| RegionV4 {
        start: r.start_sample,
        end: r.end_sample,
        start_beat: r.start_beat,
        end_beat: r.end_beat,
        extra: r.extra.clone(),
    };
    let loudness = |r: &LoudnessRegion| LoudnessV4 {
        start: r.start_sample,
        end: r.end_sample,
        lufs: r.lufs,
        extra: r.extra.clone(),
    };
    let wire = AudioDataV4 {
        version: "4.0.0".into(),
        checksum: data.checksum.clone(),
        samples: data.sample_count,
        frequency: data.frequency_hz,
        regions: data.regions.iter().map(region).collect(),
        loudness: data.loudness.iter().map(loudness).collect(),
        extra: data.extra.clone(),
    };
    let mut out = Out::default();
    wire.write(&mut out);
    out.into_bytes()
}

// ------------------------------------------------------------------------------------------------------ colour schemes

/// Names of the colours of a scheme, which both layouts share.
const COLORS: [&str; 9] = [
    "saberAColor",
    "saberBColor",
    "obstaclesColor",
    "environmentColor0",
    "environmentColor1",
    "environmentColorW",
    "environmentColor0Boost",
    "environmentColor1Boost",
    "environmentColorWBoost",
];

fn hex_of(color: &Value) -> Option<Value> {
    let part = |name: &str| {
        let share = color.get(name).and_then(Value::as_f64).unwrap_or(if name == "a" { 1.0 } else { 0.0 });
        (share * 255.0).round().clamp(0.0, 255.0) as u8
    };
    color.is_object().then(|| format!("{:02X}{:02X}{:02X}{:02X}", part("r"), part("g"), part("b"), part("a")).into())
}

fn color_of(hex: &Value) -> Option<Value> {
    let digits = hex.as_str()?.trim_start_matches('#');
    if !digits.is_ascii() || digits.len() < 6 {
        return None;
    }
    let part = |at: usize| u8::from_str_radix(digits.get(at..at + 2)?, 16).ok().map(|v| f64::from(v) / 255.0);
    let mut color = Map::new();
    for (name, at) in [("r", 0), ("g", 2), ("b", 4), ("a", 6)] {
        color.insert(name.into(), part(at).unwrap_or(1.0).into());
    }
    Some(Value::Object(color))
}

/// A colour scheme of version 2.1 in the layout of version 4.0.1.
pub(super) fn scheme_to_v4(scheme: &Value) -> Value {
    let colors = scheme.get("colorScheme").cloned().unwrap_or_default();
    let on = scheme.get("useOverride").and_then(Value::as_bool).unwrap_or(false);
    let mut out = Map::new();
    out.insert("colorSchemeName".into(), colors.get("colorSchemeId").cloned().unwrap_or_else(|| "".into()));
    out.insert("overrideNotes".into(), on.into());
    out.insert("overrideLights".into(), on.into());
    for name in COLORS {
        if let Some(hex) = colors.get(name).and_then(hex_of) {
            out.insert(name.into(), hex);
        }
    }
    Value::Object(out)
}

/// A colour scheme of version 4.0.0 in the layout of 4.0.1, which has two switches for the one.
fn scheme_to_4_0_1(scheme: &Value) -> Value {
    let mut scheme = scheme.clone();
    if let Some(members) = scheme.as_object_mut()
        && let Some(on) = members.shift_remove("useOverride")
    {
        members.entry("overrideNotes").or_insert_with(|| on.clone());
        members.entry("overrideLights").or_insert(on);
    }
    scheme
}

/// A colour scheme of version 4 in the layout of version 2.1.
pub(super) fn scheme_to_v2(scheme: &Value) -> Value {
    let flag = |name: &str| scheme.get(name).and_then(Value::as_bool).unwrap_or(false);
    let mut colors = Map::new();
    colors.insert("colorSchemeId".into(), scheme.get("colorSchemeName").cloned().unwrap_or_else(|| "".into()));
    for name in COLORS {
        if let Some(color) = scheme.get(name).and_then(color_of) {
            colors.insert(name.into(), color);
        }
    }
    let mut out = Map::new();
    out.insert("useOverride".into(), (flag("useOverride") || flag("overrideNotes") || flag("overrideLights")).into());
    out.insert("colorScheme".into(), Value::Object(colors));
    Value::Object(out)
}
