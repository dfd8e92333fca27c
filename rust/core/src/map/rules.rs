//! Would BeatSaver's upload gate take this level, and does it keep to the format?
//!
//! The checks read the raw JSON, not the lenient model: what the model forgives is what an upload is refused for.
//! Each format version is one table of fields (`Field`); what a table cannot say (beats inside the song, indices that
//! resolve, names that repeat) is code beside it. Findings of severity [`Severity::Error`] are what the gate refuses or
//! the game cannot load; the rest is advice.

use std::borrow::Cow;
use std::collections::{HashMap, HashSet};
use std::io::Read;

use self::level::{Entry, Song};
use self::media::{decode_text, image_size, vorbis_seconds};
use self::table::*;
pub use self::table::{
    BPM_RANGE, CHARACTERISTICS, COVER_PIXELS, DIFFICULTIES, ENVIRONMENTS, MEMBER_BYTES, METADATA_UNITS, RANKED_AUDIO_S,
    RANKED_LABEL_CHARS, ROTATION_ENVIRONMENT, UPLOAD_BYTES,
};
use self::tree::{Object, Value};
use super::pack::Pack;
use crate::error::{Error, Result};
use crate::timing::TempoMap;

mod level;
pub(super) mod media;
mod table;
#[cfg(test)]
mod tests;
mod tree;

/// How bad a finding is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Severity {
    /// The upload is refused, or the game cannot load the level.
    Error,
    /// The level could not be ranked.
    Rank,
    /// Most likely a mistake.
    Warning,
    /// Worth knowing.
    Info,
}

impl Severity {
    /// Lower-case name, as scripts see it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Rank => "rank",
            Self::Warning => "warning",
            Self::Info => "info",
        }
    }
}

/// One thing a rule has to say.
#[derive(Clone, Debug, PartialEq)]
pub struct Finding {
    /// Stable kebab-case name of the rule, one of [`rules`], or a rule of play.
    pub rule: &'static str,
    /// How bad it is.
    pub severity: Severity,
    /// Characteristic of the difficulty, when it concerns one.
    pub characteristic: Option<String>,
    /// Name of the difficulty, when it concerns one.
    pub difficulty: Option<String>,
    /// File, as the pack names it.
    pub file: String,
    /// JSON pointer inside the file, or of the rules of play the object in words; empty for the whole file or level.
    pub place: String,
    /// Beat of the object.
    pub beat: Option<f64>,
    /// Seconds into the song of the object.
    pub time_s: Option<f64>,
    /// One sentence: what was found, what was expected, what to do.
    pub message: String,
    /// 1, or more when further findings of this rule in this file were folded into this one.
    pub count: u64,
}

/// Every rule: its name, its severity, and what it is about.
pub fn rules() -> &'static [(&'static str, Severity, &'static str)] {
    TABLE
}

/// A spot inside a JSON file, rendered only when something is found there.
enum At<'a> {
    Root,
    Key(&'a At<'a>, &'a str),
    Item(&'a At<'a>, usize),
}

impl At<'_> {
    fn key<'b>(&'b self, key: &'b str) -> At<'b> {
        At::Key(self, key)
    }

    fn item(&self, index: usize) -> At<'_> {
        At::Item(self, index)
    }

    fn pointer(&self) -> String {
        match self {
            Self::Root => String::new(),
            Self::Key(parent, key) => format!("{}/{}", parent.pointer(), key.replace('~', "~0").replace('/', "~1")),
            Self::Item(parent, index) => format!("{}/{index}", parent.pointer()),
        }
    }

    /// The last part, for sentences.
    fn name(&self) -> String {
        match self {
            Self::Root => "the file".to_owned(),
            Self::Key(_, key) => format!("{key:?}"),
            Self::Item(_, index) => format!("item {index}"),
        }
    }
}

/// What findings in one file have in common.
#[derive(Clone, Copy)]
struct Scope<'a> {
    file: &'a str,
    characteristic: Option<&'a str>,
    difficulty: Option<&'a str>,
    clock: Option<&'a TempoMap>,
}

impl<'a> Scope<'a> {
    fn file(file: &'a str) -> Self {
        Self { file, characteristic: None, difficulty: None, clock: None }
    }
}

/// Findings so far, folded per rule and file.
#[derive(Default)]
struct Report {
    findings: Vec<Finding>,
    /// Per file and rule: how often, and where the last separate finding is.
    tallies: HashMap<(String, &'static str), (u64, usize)>,
}

impl Report {
    fn add(&mut self, scope: Scope, rule: Rule, at: &At, beat: Option<f64>, message: impl FnOnce() -> String) {
        let (count, last) = self.tallies.entry((scope.file.to_owned(), rule.id)).or_default();
        *count += 1;
        if *count > FOLD_AFTER {
            if let Some(finding) = self.findings.get_mut(*last) {
                finding.count += 1;
            }
            return;
        }
        *last = self.findings.len();
        self.findings.push(Finding {
            rule: rule.id,
            severity: rule.severity,
            characteristic: scope.characteristic.map(str::to_owned),
            difficulty: scope.difficulty.map(str::to_owned),
            file: scope.file.to_owned(),
            place: at.pointer(),
            beat,
            time_s: beat.zip(scope.clock).map(|(beat, clock)| clock.seconds(beat)),
            message: message(),
            count: 1,
        });
    }

    /// Holds `object` against a table of fields.
    fn table(&mut self, scope: Scope, version: Version, object: &Object, fields: &[Field], at: &At) {
        for field in fields {
            let spot = at.key(field.key);
            let (required, forbidden) = match field.need {
                Need::Always => (true, false),
                Need::Optional => (false, false),
                Need::Before(until) => (version < until, false),
                Need::Since(since) => (version >= since, version < since),
                Need::OnlySince(since) => (false, version < since),
                Need::Until(until) => (false, version >= until),
                Need::Between(since, until) => (since <= version && version < until, version < since),
            };
            let written = || format!("{}.{}.{}", version.0, version.1, version.2);
            match object.get(field.key) {
                None if required => self.add(scope, MISSING_FIELD, &spot, None, || {
                    format!("the field {:?} is missing and version {} must have it; add it", field.key, written())
                }),
                None => {}
                Some(_) if forbidden => self.add(scope, FIELD_NOT_ALLOWED, &spot, None, || {
                    let key = field.key;
                    format!("version {} does not have the field {key:?}; remove it or change the version", written())
                }),
                Some(value) => self.value(scope, version, value, field.is, &spot),
            }
        }
    }

    fn value(&mut self, scope: Scope, version: Version, value: &Value, is: Is, at: &At) {
        let expected = match is {
            _ if *value == Value::Null => {
                return self.add(scope, NULL_VALUE, at, None, || {
                    format!("{} is null; write a value or leave it out", at.name())
                });
            }
            Int | OneOf(..) | Cut => {
                let Value::Number(number) = value else {
                    return self.wrong_type(scope, value, "a whole number", at);
                };
                let Some(number) = number.as_i64().filter(|number| i32::try_from(*number).is_ok()) else {
                    return self.add(scope, NOT_INTEGER, at, None, || {
                        format!("{} is {number}, expected a 32-bit whole number without a decimal point", at.name())
                    });
                };
                match is {
                    OneOf(allowed, rule) if !allowed.contains(&number) => {
                        self.add(scope, rule, at, None, || {
                            let list = allowed.iter().map(i64::to_string).collect::<Vec<_>>().join(", ");
                            format!("{} is {number}, expected one of {list}", at.name())
                        });
                    }
                    Cut if !(0..=8).contains(&number) && !(1000..=1360).contains(&number) => {
                        self.add(scope, CUT_DIRECTION, at, None, || {
                            format!("the cut direction is {number}, expected 0 to 8 (or 1000 to 1360 with a mod)")
                        });
                    }
                    _ => {}
                }
                return;
            }
            Float if matches!(value, Value::Number(_)) => return,
            Float => "a number",
            Bool if matches!(value, Value::Bool(_)) => return,
            Bool => "true or false",
            Text if matches!(value, Value::String(_)) => return,
            Text => "a text",
            List(item) => match value {
                Value::Array(items) => {
                    for (index, value) in items.iter().enumerate() {
                        self.value(scope, version, value, *item, &at.item(index));
                    }
                    return;
                }
                _ => "a list",
            },
            AnyObject if matches!(value, Value::Object(_)) => return,
            Of(fields) => match value {
                Value::Object(object) => return self.table(scope, version, object, fields, at),
                _ => "an object",
            },
            AnyObject => "an object",
        };
        self.wrong_type(scope, value, expected, at);
    }

    fn wrong_type(&mut self, scope: Scope, value: &Value, expected: &str, at: &At) {
        self.add(scope, WRONG_TYPE, at, None, || {
            let found = match value {
                Value::Null => "null".to_owned(),
                Value::Bool(value) => value.to_string(),
                Value::Number(number) => format!("the number {number}"),
                Value::String(text) => format!("the text {:?}", text.chars().take(40).collect::<String>()),
                Value::Array(_) => "a list".to_owned(),
                Value::Object(_) => "an object".to_owned(),
            };
            format!("{} is {found}, expected {expected}", at.name())
        });
    }
}

/// Checks a level against BeatSaver's upload gate and the format. No finding of severity [`Severity::Error`] means
/// that the gate has nothing to refuse, as far as that can be judged offline (it also limits uploads per account and
/// refuses a level it already has).
///
/// # Errors
/// Those of [`Pack::read`] when the Info file itself cannot be read; everything else is a finding.
pub fn check_upload(pack: &Pack) -> Result<Vec<Finding>> {
    let mut check = Check { pack, report: Report::default(), used: HashSet::new(), checked: HashSet::new() };
    check.package();
    let info_name = pack.info_name();
    check.used.insert(info_name.to_owned());
    if pack.size(info_name).is_some_and(|size| size > MEMBER_BYTES) {
        return Ok(check.report.findings);
    }
    let bytes = pack.read(info_name)?;
    let scope = Scope::file(info_name);
    if let Some(text) = check.text(scope, &bytes)
        && let Some(info) = check.parse(scope, &text)
        && check.info(&info)
    {
        check.unreferenced();
    }
    Ok(check.report.findings)
}

struct Check<'p> {
    pack: &'p Pack,
    report: Report,
    /// Names of files that Info refers to.
    used: HashSet<String>,
    /// Level and lightshow files already checked.
    checked: HashSet<String>,
}

impl Check<'_> {
    fn package(&mut self) {
        let file = self.pack.path().display().to_string();
        let scope = Scope::file(&file);
        if let Some(bytes) = self.pack.archive_bytes().filter(|bytes| *bytes > UPLOAD_BYTES) {
            self.report.add(scope, ZIP_TOO_LARGE, &At::Root, None, || {
                format!("the zip has {bytes} bytes, an upload may have {UPLOAD_BYTES}; shrink the audio or the cover")
            });
        }
        for warning in self.pack.warnings() {
            let rule = match warning.rule {
                "wrapped-folder" if self.pack.archive_bytes().is_some() => ZIP_WRAPPED,
                "wrapped-folder" => FOLDER_WRAPPED,
                "several-levels" => SEVERAL_LEVELS,
                "duplicate-entry" => DUPLICATE_ENTRY,
                "symlink-entry" => LINK_IGNORED,
                _ => INFO_NAME_CASE,
            };
            let scope = Scope::file(&warning.place.file);
            self.report.add(scope, rule, &At::Root, None, || warning.message.clone());
        }
        for name in self.pack.names() {
            if let Some(size) = self.pack.size(name).filter(|size| *size > MEMBER_BYTES) {
                self.report.add(Scope::file(name), FILE_TOO_LARGE, &At::Root, None, || {
                    format!("the file has {size} bytes, at most {MEMBER_BYTES} are accepted; make it smaller")
                });
            }
        }
    }

    /// What a file says; what is wrong with it becomes a finding.
    fn text<'b>(&mut self, scope: Scope, bytes: &'b [u8]) -> Option<Cow<'b, str>> {
        let decoded = if bytes.starts_with(&[0x1F, 0x8B]) {
            self.report.add(scope, JSON_GZIP, &At::Root, None, || {
                "the file is gzip-compressed, which an upload is refused for; store it as plain JSON".to_owned()
            });
            let mut unpacked = Vec::new();
            let mut decoder = flate2::read::MultiGzDecoder::new(bytes).take(MEMBER_BYTES);
            if let Err(error) = decoder.read_to_end(&mut unpacked) {
                let message = format!("the compressed data is damaged ({error}); save the file again");
                self.report.add(scope, JSON_SYNTAX, &At::Root, None, || message);
                return None;
            }
            decode_text(&unpacked).map(|text| Cow::Owned(text.into_owned()))
        } else {
            decode_text(bytes)
        };
        decoded.map_err(|problem| self.syntax(scope, &problem)).ok()
    }

    fn syntax(&mut self, scope: Scope, problem: &str) {
        self.report.add(scope, JSON_SYNTAX, &At::Root, None, || format!("{problem}; save it again in an editor"));
    }

    /// The object a JSON file holds; what is wrong with it becomes a finding.
    fn parse<'t>(&mut self, scope: Scope, text: &'t str) -> Option<Object<'t>> {
        match serde_json::from_str(text) {
            Ok(Value::Object(object)) => Some(object),
            Ok(_) => {
                self.report.add(scope, JSON_NOT_OBJECT, &At::Root, None, || {
                    "the file holds something else than an object in { }; save it again in an editor".to_owned()
                });
                None
            }
            Err(_) if text.trim().is_empty() => {
                self.syntax(scope, "the file is empty");
                None
            }
            Err(error) => {
                self.syntax(scope, &format!("the file is not JSON: {error}"));
                None
            }
        }
    }

    /// The bytes of a file that Info names under `key`, or a finding of `missing`.
    fn referenced(&mut self, scope: Scope, at: &At, name: &str, missing: Rule) -> Option<(String, Vec<u8>)> {
        let found = self.referenced_name(scope, at, name, missing)?;
        match self.pack.read(&found) {
            Ok(bytes) => Some((found, bytes)),
            Err(error) => {
                let scope = Scope { file: &found, ..scope };
                self.report.add(scope, FILE_UNREADABLE, &At::Root, None, || unreadable(&error));
                None
            }
        }
    }

    fn referenced_name(&mut self, scope: Scope, at: &At, name: &str, missing: Rule) -> Option<String> {
        let Some(found) = self.pack.find(name) else {
            self.report.add(scope, missing, at, None, || {
                if name.is_empty() {
                    "Info names no file here; add one and write its name".to_owned()
                } else {
                    format!("Info names the file {name:?}, which is not in the level; add it or correct the name")
                }
            });
            return None;
        };
        if found != name {
            self.report.add(scope, FILE_NAME_CASE, at, None, || {
                format!("Info says {name:?} and the file is {found:?}; spell both alike, some systems tell them apart")
            });
        }
        self.used.insert(found.to_owned());
        Some(found.to_owned())
    }

    /// The version of a file and whether it is of the newer kind (`version` instead of `_version`).
    fn version(&mut self, scope: Scope, object: &Object, old: Version, new: Version) -> Option<(Version, bool)> {
        let (key, default) = match (object.get("_version"), object.get("version")) {
            (Some(_), Some(_)) => {
                self.report.add(scope, BOTH_VERSIONS, &At::Root, None, || {
                    "the file has both \"version\" and \"_version\"; keep the one its layout belongs to".to_owned()
                });
                return None;
            }
            (_, Some(_)) => ("version", new),
            _ => ("_version", old),
        };
        let root = At::Root;
        let spot = root.key(key);
        self.report.table(scope, default, object, &[Field { key, is: Text, need: Always }], &root);
        let version = match object.get(key).and_then(Value::as_str) {
            None => default,
            Some(text) => parse_version(text).unwrap_or_else(|| {
                self.report.add(scope, VERSION_FORMAT, &spot, None, || {
                    format!("the version is {text:?}, expected three numbers with dots such as 3.3.0")
                });
                default
            }),
        };
        Some((version, key == "version"))
    }

    fn unknown_version(&mut self, scope: Scope, key: &str, found: Version, expected: &str) {
        self.report.add(scope, VERSION_UNKNOWN, &At::Root.key(key), None, || {
            format!("{key:?} is {}.{}.{}, expected {expected}", found.0, found.1, found.2)
        });
    }

    /// Whether its names could be followed.
    fn info(&mut self, info: &Object) -> bool {
        let name = self.pack.info_name();
        let scope = Scope::file(name);
        let old_major = info.get("_version").and_then(Value::as_str).is_some_and(|version| version.starts_with("1."));
        let no_version = !info.contains_key("_version") && !info.contains_key("version");
        if old_major
            || (no_version && (info.contains_key("difficultyLevels") || !name.to_lowercase().ends_with(".dat")))
        {
            self.report.add(scope, V1_NOT_UPLOADABLE, &At::Root, None, || {
                "the level is in the old v1 format, which BeatSaver and the game no longer take; convert it".to_owned()
            });
            return false;
        }
        let Some((version, newer)) = self.version(scope, info, (2, 0, 0), (4, 0, 0)) else { return false };
        if newer {
            if version.0 != 4 {
                self.unknown_version(scope, "version", version, "4.0.0 or 4.0.1 for an Info with \"version\"");
            }
            self.info4(info, version);
        } else {
            if version.0 != 2 {
                self.unknown_version(scope, "_version", version, "2.0.0 or 2.1.0 for an Info with \"_version\"");
            }
            self.info2(info, version);
        }
        true
    }

    fn info2(&mut self, info: &Object, version: Version) {
        let scope = Scope::file(self.pack.info_name());
        let root = At::Root;
        self.report.table(scope, version, info, INFO2, &root);
        self.misplaced(scope, info.get("_customData").and_then(Value::as_object), &root.key("_customData"));
        let title = text(info, "_songName");
        self.title(scope, title, text(info, "_levelAuthorName").unwrap_or_default(), &root.key("_songName"));
        self.tempo_and_preview(scope, info, "_beatsPerMinute", ["_previewStartTime", "_previewDuration"], &root);
        if let Some(offset) = number(info, "_songTimeOffset").filter(|offset| *offset != 0.0) {
            self.report.add(scope, TIME_OFFSET, &root.key("_songTimeOffset"), None, || {
                format!("the song time offset is {offset} s, expected 0; shift the audio itself instead")
            });
        }
        let duration_s =
            text(info, "_songFilename").and_then(|name| self.audio(scope, &root.key("_songFilename"), name));
        self.cover(scope, &root.key("_coverImageFilename"), text(info, "_coverImageFilename"));
        self.environment(scope, &root.key("_environmentName"), info.get("_environmentName"));
        let environments = self.environments(scope, &root.key("_environmentNames"), info.get("_environmentNames"));
        let schemes = list(info, "_colorSchemes").len();
        for (index, contributor) in objects(info.get("_customData").and_then(|custom| custom.get("_contributors"))) {
            let (custom, list) = (root.key("_customData"), "_contributors");
            let (list, key) = (custom.key(list), "_iconPath");
            self.icon(scope, &list.item(index).key(key), text(contributor, key));
        }

        let mut entries = Vec::new();
        let mut characteristics = HashSet::new();
        let sets = root.key("_difficultyBeatmapSets");
        if info.get("_difficultyBeatmapSets").and_then(Value::as_array).is_some_and(<[_]>::is_empty) {
            self.no_difficulties(scope, &sets);
        }
        let mut turns = false;
        for (index, set) in objects(info.get("_difficultyBeatmapSets")) {
            let at = sets.item(index);
            let characteristic = text(set, "_beatmapCharacteristicName").unwrap_or_default();
            if set.contains_key("_beatmapCharacteristicName") {
                let at = at.key("_beatmapCharacteristicName");
                self.characteristic(scope, &at, characteristic, version >= V2_1);
                if !characteristics.insert(characteristic) {
                    self.report.add(scope, CHARACTERISTIC_REPEATED, &at, None, || {
                        format!("there are two sets for {characteristic:?}; put all its difficulties into one")
                    });
                }
            }
            turns |= matches!(characteristic, "90Degree" | "360Degree");
            let custom = at.key("_customData");
            let key = "_characteristicIconImageFilename";
            let icon = set.get("_customData").and_then(|custom| custom.get(key)).and_then(Value::as_str);
            self.icon(scope, &custom.key(key), icon);
            let maps = at.key("_difficultyBeatmaps");
            if set.get("_difficultyBeatmaps").and_then(Value::as_array).is_some_and(<[_]>::is_empty) {
                self.no_difficulties(scope, &maps);
            }
            let mut names = HashSet::new();
            let mut ranks = HashSet::new();
            for (index, map) in objects(set.get("_difficultyBeatmaps")) {
                let at = maps.item(index);
                let difficulty = text(map, "_difficulty").unwrap_or_default();
                let scope = Scope { characteristic: Some(characteristic), difficulty: Some(difficulty), ..scope };
                if map.contains_key("_difficulty") {
                    self.difficulty(scope, &at.key("_difficulty"), difficulty, &mut names);
                }
                if let Some(rank) = map.get("_difficultyRank").and_then(Value::as_i64) {
                    self.rank(scope, &at.key("_difficultyRank"), difficulty, rank, &mut ranks);
                }
                self.misplaced(scope, Some(map), &at);
                self.list_index(
                    scope,
                    &at.key("_environmentNameIdx"),
                    map.get("_environmentNameIdx"),
                    0,
                    environments,
                    ENVIRONMENT_INDEX,
                );
                self.list_index(
                    scope,
                    &at.key("_beatmapColorSchemeIdx"),
                    map.get("_beatmapColorSchemeIdx"),
                    0,
                    schemes,
                    COLOR_SCHEME_INDEX,
                );
                self.jump_speed(scope, map, &at, "_noteJumpMovementSpeed");
                let custom = map.get("_customData");
                self.label(scope, &at, custom, "_difficultyLabel");
                if let Some(level) = text(map, "_beatmapFilename") {
                    let at = at.key("_beatmapFilename");
                    if let Some(level) = self.referenced_name(scope, &at, level, LEVEL_MISSING) {
                        entries.push(Entry {
                            characteristic: characteristic.to_owned(),
                            difficulty: difficulty.to_owned(),
                            level,
                            lightshow: None,
                            modded: is_modded(custom),
                        });
                    }
                }
            }
        }
        if turns
            && let Some(name) = text(info, "_allDirectionsEnvironmentName").filter(|name| *name != ROTATION_ENVIRONMENT)
        {
            let at = root.key("_allDirectionsEnvironmentName");
            self.report.add(scope, ROTATION_ENVIRONMENT_RULE, &at, None, || {
                format!("the 90/360 environment is {name:?}, expected {ROTATION_ENVIRONMENT:?}")
            });
        }
        let bpm = number(info, "_beatsPerMinute").unwrap_or_default();
        self.levels(&entries, &Song { bpm, duration_s, audio_data: None, v4_info: false });
    }

    fn info4(&mut self, info: &Object, version: Version) {
        let scope = Scope::file(self.pack.info_name());
        let root = At::Root;
        self.report.table(scope, version, info, INFO4, &root);
        let empty = Object::default();
        let part = |key: &str| info.get(key).and_then(Value::as_object).unwrap_or(&empty);
        self.misplaced(scope, Some(part("customData")), &root.key("customData"));
        let mut authors: Vec<&str> = Vec::new();
        for (_, map) in objects(info.get("difficultyBeatmaps")) {
            for key in ["mappers", "lighters"] {
                let names = map.get("beatmapAuthors").and_then(|authors| authors.get(key)).and_then(Value::as_array);
                for name in names.into_iter().flatten().filter_map(Value::as_str) {
                    if !authors.contains(&name) {
                        authors.push(name);
                    }
                }
            }
        }
        let song = root.key("song");
        self.title(scope, text(part("song"), "title"), &authors.join(", "), &song.key("title"));
        let audio = root.key("audio");
        self.tempo_and_preview(scope, part("audio"), "bpm", ["previewStartTime", "previewDuration"], &audio);
        let song_name = text(part("audio"), "songFilename");
        let duration_s = song_name.and_then(|name| self.audio(scope, &audio.key("songFilename"), name));
        if let Some(preview) = text(info, "songPreviewFilename").filter(|preview| Some(*preview) != song_name) {
            self.audio(scope, &root.key("songPreviewFilename"), preview);
        }
        self.cover(scope, &root.key("coverImageFilename"), text(info, "coverImageFilename"));
        let at = root.key("environmentNames");
        let environments = self.environments(scope, &at, info.get("environmentNames"));
        if info.get("environmentNames").and_then(Value::as_array).is_some_and(<[_]>::is_empty) {
            self.report.add(scope, ENVIRONMENT_UNKNOWN, &at, None, || {
                "the list of environments is empty; write DefaultEnvironment into it".to_owned()
            });
        }
        let schemes = root.key("colorSchemes");
        for (index, scheme) in objects(info.get("colorSchemes")) {
            let at = schemes.item(index);
            for field in SCHEME4.iter().filter(|field| field.key.contains("Color")) {
                let Some(color) = text(scheme, field.key) else { continue };
                let digits = color.strip_prefix('#').unwrap_or(color);
                if digits.len() != 8 || !digits.bytes().all(|byte| byte.is_ascii_hexdigit()) {
                    self.report.add(scope, COLOR_NOT_HEX, &at.key(field.key), None, || {
                        format!("the colour is {color:?}, expected eight hexadecimal digits such as #FF0000FF")
                    });
                }
            }
        }
        let custom = root.key("customData");
        for list in ["contributors", "characteristicData"] {
            let at = custom.key(list);
            for (index, item) in objects(part("customData").get(list)) {
                self.icon(scope, &at.item(index).key("iconPath"), text(item, "iconPath"));
            }
        }
        let audio_data = text(part("audio"), "audioDataFilename")
            .and_then(|name| self.referenced(scope, &audio.key("audioDataFilename"), name, AUDIO_DATA_MISSING))
            .and_then(|(name, bytes)| self.audio_data(&name, &bytes));

        let maps = root.key("difficultyBeatmaps");
        if info.get("difficultyBeatmaps").and_then(Value::as_array).is_some_and(<[_]>::is_empty) {
            self.no_difficulties(scope, &maps);
        }
        let mut entries = Vec::new();
        let mut names: HashMap<&str, HashSet<String>> = HashMap::new();
        for (index, map) in objects(info.get("difficultyBeatmaps")) {
            let at = maps.item(index);
            let characteristic = text(map, "characteristic").unwrap_or_default();
            let difficulty = text(map, "difficulty").unwrap_or_default();
            let scope = Scope { characteristic: Some(characteristic), difficulty: Some(difficulty), ..scope };
            if map.contains_key("characteristic") {
                self.characteristic(scope, &at.key("characteristic"), characteristic, true);
            }
            if map.contains_key("difficulty") {
                self.difficulty(scope, &at.key("difficulty"), difficulty, names.entry(characteristic).or_default());
            }
            self.misplaced(scope, Some(map), &at);
            self.list_index(
                scope,
                &at.key("environmentNameIdx"),
                map.get("environmentNameIdx"),
                0,
                environments,
                ENVIRONMENT_INDEX,
            );
            // -1 stands for the environment's own colours.
            let count = list(info, "colorSchemes").len();
            self.list_index(
                scope,
                &at.key("beatmapColorSchemeIdx"),
                map.get("beatmapColorSchemeIdx"),
                -1,
                count,
                COLOR_SCHEME_INDEX,
            );
            self.jump_speed(scope, map, &at, "noteJumpMovementSpeed");
            let custom = map.get("customData");
            self.label(scope, &at, custom, "difficultyLabel");
            let lightshow = text(map, "lightshowDataFilename").and_then(|name| {
                self.referenced_name(scope, &at.key("lightshowDataFilename"), name, LIGHTSHOW_MISSING)
            });
            let level = text(map, "beatmapDataFilename")
                .and_then(|name| self.referenced_name(scope, &at.key("beatmapDataFilename"), name, LEVEL_MISSING));
            entries.push(Entry {
                characteristic: characteristic.to_owned(),
                difficulty: difficulty.to_owned(),
                level: level.unwrap_or_default(),
                lightshow,
                modded: is_modded(custom),
            });
        }
        let bpm = number(part("audio"), "bpm").unwrap_or_default();
        self.levels(&entries, &Song { bpm, duration_s, audio_data, v4_info: true });
    }

    fn title(&mut self, scope: Scope, title: Option<&str>, author: &str, at: &At) {
        let Some(title) = title else { return };
        if title.trim().is_empty() {
            self.report.add(scope, SONG_NAME_BLANK, at, None, || "the song has no name; write one".to_owned());
        }
        let units = title.encode_utf16().count() + author.encode_utf16().count();
        if units > METADATA_UNITS {
            self.report.add(scope, METADATA_TOO_LONG, at, None, || {
                format!(
                    "song name and level author have {units} characters together, at most {METADATA_UNITS} are accepted"
                )
            });
        }
    }

    fn tempo_and_preview(&mut self, scope: Scope, object: &Object, tempo: &str, preview: [&str; 2], at: &At) {
        let (low, high) = BPM_RANGE;
        if let Some(bpm) = number(object, tempo).filter(|bpm| !(low..=high).contains(bpm)) {
            self.report.add(scope, BPM_OUT_OF_RANGE, &at.key(tempo), None, || {
                format!("the tempo is {bpm} BPM, expected {low} to {high}; double or halve it")
            });
        }
        for key in preview {
            if let Some(seconds) = number(object, key).filter(|seconds| *seconds < 0.0) {
                self.report.add(scope, PREVIEW_NEGATIVE, &at.key(key), None, || {
                    format!("the preview value is {seconds} s, expected 0 or more")
                });
            }
        }
        if number(object, preview[0]).zip(number(object, preview[1])) == Some(PREVIEW_UNTOUCHED_S) {
            self.report.add(scope, PREVIEW_UNTOUCHED, &at.key(preview[0]), None, || {
                "the preview is the editor's own 12 s for 10 s; choose the part that sells the song".to_owned()
            });
        }
    }

    fn misplaced(&mut self, scope: Scope, object: Option<&Object>, at: &At) {
        for key in MISPLACED.iter().filter(|key| object.is_some_and(|object| object.contains_key(key))) {
            self.report.add(scope, MISPLACED_CUSTOM_DATA, &at.key(key), None, || {
                format!("{key:?} belongs into the custom data of a difficulty; move it there")
            });
        }
    }

    fn icon(&mut self, scope: Scope, at: &At, name: Option<&str>) {
        if let Some(name) = name.filter(|name| !name.is_empty()) {
            self.referenced_name(scope, at, name, ICON_MISSING);
        }
    }

    fn no_difficulties(&mut self, scope: Scope, at: &At) {
        self.report.add(scope, DIFFICULTIES_EMPTY, at, None, || {
            "the list of difficulties is empty; add one or remove the set".to_owned()
        });
    }

    /// The length of the audio in seconds.
    fn audio(&mut self, scope: Scope, at: &At, name: &str) -> Option<f64> {
        let (name, bytes) = self.referenced(scope, at, name, AUDIO_MISSING)?;
        let scope = Scope { file: &name, ..scope };
        match vorbis_seconds(&bytes) {
            Err(found) => {
                self.report.add(scope, AUDIO_NOT_OGG, &At::Root, None, || {
                    format!("the audio is {found}, expected Ogg Vorbis; convert it")
                });
                None
            }
            Ok(seconds) if seconds <= 0.0 => {
                self.report
                    .add(scope, AUDIO_EMPTY, &At::Root, None, || "the audio has no length; encode it again".to_owned());
                None
            }
            Ok(seconds) => {
                if seconds < RANKED_AUDIO_S {
                    self.report.add(scope, AUDIO_SHORT, &At::Root, None, || {
                        format!("the audio lasts {seconds:.1} s, a ranked level needs {RANKED_AUDIO_S} s")
                    });
                }
                Some(seconds)
            }
        }
    }

    fn cover(&mut self, scope: Scope, at: &At, name: Option<&str>) {
        let Some((name, bytes)) = name.and_then(|name| self.referenced(scope, at, name, COVER_MISSING)) else { return };
        let scope = Scope { file: &name, ..scope };
        let Some((width, height)) = image_size(&bytes) else {
            self.report.add(scope, COVER_FORMAT, &At::Root, None, || {
                "the cover is neither JPEG nor PNG, or is damaged; save it as one of them".to_owned()
            });
            return;
        };
        if width != height {
            self.report.add(scope, COVER_NOT_SQUARE, &At::Root, None, || {
                format!("the cover is {width} by {height} pixels, expected a square; crop it")
            });
        }
        if width < COVER_PIXELS || height < COVER_PIXELS {
            self.report.add(scope, COVER_TOO_SMALL, &At::Root, None, || {
                format!("the cover is {width} by {height} pixels, expected {COVER_PIXELS} or more a side")
            });
        }
    }

    fn environment(&mut self, scope: Scope, at: &At, value: Option<&Value>) {
        if let Some(name) = value.and_then(Value::as_str).filter(|name| !ENVIRONMENTS.contains(name)) {
            self.report.add(scope, ENVIRONMENT_UNKNOWN, at, None, || {
                format!("the environment {name:?} is not one of the game's; DefaultEnvironment is always right")
            });
        }
    }

    /// Checks a list of environments and returns its length.
    fn environments(&mut self, scope: Scope, at: &At, value: Option<&Value>) -> usize {
        let Some(Value::Array(names)) = value else { return 0 };
        for (index, name) in names.iter().enumerate() {
            self.environment(scope, &at.item(index), Some(name));
        }
        names.len()
    }

    fn characteristic(&mut self, scope: Scope, at: &At, name: &str, legacy: bool) {
        if !CHARACTERISTICS.contains(&name) || (name == "Legacy" && !legacy) {
            self.report.add(scope, CHARACTERISTIC_UNKNOWN, at, None, || {
                let since = if name == "Legacy" { " before Info 2.1" } else { "" };
                format!("the characteristic {name:?} is not known{since}; expected {}", CHARACTERISTICS.join(", "))
            });
        }
    }

    fn difficulty(&mut self, scope: Scope, at: &At, name: &str, seen: &mut HashSet<String>) {
        let known = DIFFICULTIES.iter().map(|(known, _)| *known).find(|known| known.eq_ignore_ascii_case(name));
        match known {
            None => self.report.add(scope, DIFFICULTY_UNKNOWN, at, None, || {
                format!("the difficulty {name:?} is not known; expected Easy, Normal, Hard, Expert or ExpertPlus")
            }),
            Some(known) if known != name => self.report.add(scope, DIFFICULTY_CASE, at, None, || {
                format!("the difficulty is spelt {name:?}, the game spells it {known:?}")
            }),
            Some(_) => {}
        }
        if !seen.insert(name.to_lowercase()) {
            self.report.add(scope, DIFFICULTY_REPEATED, at, None, || {
                format!("the difficulty {name:?} is there twice; remove one")
            });
        }
    }

    fn rank(&mut self, scope: Scope, at: &At, difficulty: &str, rank: i64, seen: &mut HashSet<i64>) {
        match DIFFICULTIES.iter().find(|(_, known)| *known == rank) {
            None => self.report.add(scope, RANK_UNKNOWN, at, None, || {
                format!("the difficulty rank is {rank}, expected 1, 3, 5, 7 or 9")
            }),
            Some((name, _)) if !name.eq_ignore_ascii_case(difficulty) => {
                self.report.add(scope, RANK_MISMATCH, at, None, || {
                    format!("rank {rank} belongs to {name}, this is {difficulty}; correct one of them")
                });
            }
            Some(_) => {}
        }
        if !seen.insert(rank) {
            self.report.add(scope, RANK_REPEATED, at, None, || {
                format!("the difficulty rank {rank} is there twice in this set; each difficulty has its own")
            });
        }
    }

    /// An index from `lowest` into a list of `count` entries; an empty list stands for the game's own single entry.
    fn list_index(&mut self, scope: Scope, at: &At, value: Option<&Value>, lowest: i64, count: usize, rule: Rule) {
        let Some(index) = value.and_then(Value::as_i64) else { return };
        if index < lowest || index >= count.max(1) as i64 {
            self.report.add(scope, rule, at, None, || {
                format!("{} is {index} and the list has {count} entries; choose one of them", at.name())
            });
        }
    }

    fn jump_speed(&mut self, scope: Scope, map: &Object, at: &At, key: &str) {
        if number(map, key).is_none_or(|speed| speed <= 0.0) {
            self.report.add(scope, NJS_UNSET, &at.key(key), None, || {
                "the note jump speed is not set, so the game picks one; set it".to_owned()
            });
        }
    }

    fn label(&mut self, scope: Scope, at: &At, custom: Option<&Value>, key: &str) {
        let Some(label) = custom.and_then(|custom| custom.get(key)).and_then(Value::as_str) else { return };
        let count = label.chars().count();
        if count > RANKED_LABEL_CHARS {
            self.report.add(scope, LABEL_LONG, at, None, || {
                format!("the difficulty label has {count} characters, a ranked level may have {RANKED_LABEL_CHARS}")
            });
        }
    }

    fn unreferenced(&mut self) {
        for name in self.pack.names().filter(|name| !self.used.contains(*name)) {
            let last = name.rsplit('/').next().unwrap_or(name).to_lowercase();
            // Files that other programs look for by name; an upload keeps the first two kinds.
            let kept = last == "cinema-video.json"
                || last.ends_with(".vivify")
                || last == "bundleinfo.json"
                || last == "bpminfo.dat";
            if !kept {
                self.report.add(Scope::file(name), FILE_UNREFERENCED, &At::Root, None, || {
                    "Info does not name this file, so an upload drops it; name it or leave it out".to_owned()
                });
            }
        }
    }
}

fn unreadable(error: &Error) -> String {
    format!("the file cannot be read ({error}); zip the level again")
}

/// Three numbers with dots.
fn parse_version(text: &str) -> Option<Version> {
    let mut parts = text
        .split('.')
        .map(|part| part.bytes().all(|byte| byte.is_ascii_digit()).then(|| part.parse::<u32>().ok()).flatten());
    let version = (parts.next()??, parts.next()??, parts.next()??);
    parts.next().is_none().then_some(version)
}

fn text<'v>(object: &'v Object, key: &str) -> Option<&'v str> {
    object.get(key).and_then(Value::as_str)
}

fn number(object: &Object, key: &str) -> Option<f64> {
    object.get(key).and_then(Value::as_f64)
}

/// A whole number; what is missing or something else reads as 0 and is the table's business.
fn integer(object: &Object, key: &str) -> i64 {
    match object.get(key) {
        Some(Value::Number(number)) => number.as_i64().or(number.as_f64().map(|number| number as i64)).unwrap_or(0),
        _ => 0,
    }
}

fn list<'v, 't>(object: &'v Object<'t>, key: &str) -> &'v [Value<'t>] {
    object.get(key).and_then(Value::as_array).unwrap_or_default()
}

/// The objects of a list with their positions; whatever else the list holds is the table's business.
fn objects<'v, 't>(value: Option<&'v Value<'t>>) -> impl Iterator<Item = (usize, &'v Object<'t>)> {
    let items = value.and_then(Value::as_array).unwrap_or_default();
    items.iter().enumerate().filter_map(|(index, item)| item.as_object().map(|object| (index, object)))
}

/// Whether a difficulty's custom data requires a mod that moves objects off the grid.
fn is_modded(custom: Option<&Value>) -> bool {
    ["_requirements", "requirements"].iter().any(|key| {
        custom.and_then(|custom| custom.get(key)).and_then(Value::as_array).is_some_and(|mods| {
            mods.iter().any(|name| matches!(name.as_str(), Some("Mapping Extensions" | "Noodle Extensions")))
        })
    })
}
