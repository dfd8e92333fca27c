//! What the rules are and what each format version holds: data only.

use super::Severity;

/// Environments BeatSaver knows.
#[rustfmt::skip] // One name a line would be a page of names.
pub const ENVIRONMENTS: [&str; 48] = [
    "DefaultEnvironment", "OriginsEnvironment", "TriangleEnvironment", "NiceEnvironment", "BigMirrorEnvironment",
    "DragonsEnvironment", "KDAEnvironment", "MonstercatEnvironment", "CrabRaveEnvironment", "PanicEnvironment",
    "RocketEnvironment", "GreenDayEnvironment", "GreenDayGrenadeEnvironment", "TimbalandEnvironment",
    "FitBeatEnvironment", "LinkinParkEnvironment", "BTSEnvironment", "KaleidoscopeEnvironment",
    "InterscopeEnvironment", "SkrillexEnvironment", "BillieEnvironment", "HalloweenEnvironment", "GagaEnvironment",
    "Halloween2Environment", "WeaveEnvironment", "PyroEnvironment", "EDMEnvironment", "TheSecondEnvironment",
    "LizzoEnvironment", "TheWeekndEnvironment", "RockMixtapeEnvironment", "Dragons2Environment", "Panic2Environment",
    "QueenEnvironment", "LinkinPark2Environment", "TheRollingStonesEnvironment", "LatticeEnvironment",
    "DaftPunkEnvironment", "HipHopEnvironment", "ColliderEnvironment", "BritneyEnvironment", "Monstercat2Environment",
    "MetallicaEnvironment", "GridEnvironment", "ColdplayEnvironment", "ProdigyEnvironment", ROTATION_ENVIRONMENT,
    "MultiplayerEnvironment",
];
/// The only environment whose track can turn.
pub const ROTATION_ENVIRONMENT: &str = "GlassDesertEnvironment";
/// Characteristics, in the game's own spelling; the last three need a mod or, for `Legacy`, Info 2.1.
pub const CHARACTERISTICS: [&str; 8] =
    ["Standard", "OneSaber", "NoArrows", "90Degree", "360Degree", "Legacy", "Lightshow", "Lawless"];
/// Difficulties and the rank that belongs to each.
pub const DIFFICULTIES: [(&str, i64); 5] = [("Easy", 1), ("Normal", 3), ("Hard", 5), ("Expert", 7), ("ExpertPlus", 9)];
/// Largest zip an account without privileges may upload.
pub const UPLOAD_BYTES: u64 = 15 << 20;
/// Largest JSON or audio file inside it.
pub const MEMBER_BYTES: u64 = 50 << 20;
/// Song name and level author together, in UTF-16 units as the gate counts.
pub const METADATA_UNITS: usize = 100;
/// Song tempo the gate accepts, beats per minute.
pub const BPM_RANGE: (f64, f64) = (10.0, 1000.0);
/// Smallest side of a cover, pixels.
pub const COVER_PIXELS: u32 = 256;
/// Shortest audio that can be ranked, seconds.
pub const RANKED_AUDIO_S: f64 = 20.0;
/// Longest difficulty label that can be ranked, characters.
pub const RANKED_LABEL_CHARS: usize = 30;
/// Preview start and duration an editor leaves behind when nobody chose them, seconds.
pub(super) const PREVIEW_UNTOUCHED_S: (f64, f64) = (12.0, 10.0);
/// Findings of one rule in one file before the rest is only counted.
pub(super) const FOLD_AFTER: u64 = 20;
/// Objects closer than this are at one beat.
pub(super) const SAME_BEAT: f64 = 0.001;
/// Rounding allowed before an object counts as behind the end of the audio, seconds.
pub(super) const AUDIO_END_SLACK_S: f64 = 0.001;
/// Level keys that are refused where the Info or a difficulty entry carries them directly.
pub(super) const MISPLACED: [&str; 9] = [
    "_warnings",
    "_information",
    "_suggestions",
    "_requirements",
    "_difficultyLabel",
    "_envColorLeft",
    "_envColorRight",
    "_colorLeft",
    "_colorRight",
];

/// A rule as code names it; the fields are those of [`rules`].
#[derive(Clone, Copy, Debug)]
pub(super) struct Rule {
    pub(super) id: &'static str,
    pub(super) severity: Severity,
}

macro_rules! rule_table {
    ($($name:ident $id:literal $severity:ident $text:literal;)*) => {
        $(pub(super) const $name: Rule = Rule { id: $id, severity: Severity::$severity };)*
        pub(super) const TABLE: &[(&str, Severity, &str)] = &[$(($id, Severity::$severity, $text)),*];
    };
}

rule_table! {
    ZIP_TOO_LARGE "zip-too-large" Error "the zip is larger than an upload may be (15 MiB without extra rights)";
    ZIP_WRAPPED "zip-wrapped" Error "the level lies in a folder inside the zip instead of at its top";
    FOLDER_WRAPPED "folder-wrapped" Warning "the level lies in a sub-folder of the folder that was given";
    SEVERAL_LEVELS "several-levels" Warning "the pack holds more than one level";
    DUPLICATE_ENTRY "duplicate-entry" Warning "a file is in the zip twice";
    LINK_IGNORED "link-ignored" Warning "a link that is not followed";
    INFO_NAME_CASE "info-name-case" Warning "the Info file has a spelling that some systems do not find";
    FILE_TOO_LARGE "file-too-large" Error "a file is larger than 50 MiB unpacked";
    FILE_UNREADABLE "file-unreadable" Error "a file is damaged, encrypted or beyond a limit";
    FILE_NAME_CASE "file-name-case" Warning "a name in Info differs from the file's own in upper and lower case";
    FILE_SHARED "file-shared" Info "one file serves several difficulties";
    FILE_UNREFERENCED "file-unreferenced" Info "a file is named nowhere in Info and is deleted by an upload";
    JSON_SYNTAX "json-syntax" Error "a file is not JSON";
    JSON_GZIP "json-gzip" Error "a file is gzip-compressed JSON: the game reads it for v4, the upload gate does not";
    JSON_NOT_OBJECT "json-not-object" Error "the top of a JSON file is not an object";
    V1_NOT_UPLOADABLE "v1-not-uploadable" Error "the level is in the v1 format";
    BOTH_VERSIONS "both-versions" Error "a file has both version and _version";
    VERSION_FORMAT "version-format" Error "a version is not three numbers with dots";
    VERSION_UNKNOWN "version-unknown" Error "a version that the file's layout does not have";
    V4_LEVEL_IN_V2_INFO "v4-level-in-v2-info" Error "a v4 level under a v2 Info, which has no audio data for it";
    MISSING_FIELD "missing-field" Error "a field that must be there is not";
    NULL_VALUE "null-value" Error "a known field is null";
    WRONG_TYPE "wrong-type" Error "a known field has another type of value";
    NOT_INTEGER "number-not-integer" Error "a whole number is written with a decimal point, or is out of range";
    FIELD_NOT_ALLOWED "field-not-allowed" Error "a field that this version does not have";
    SONG_NAME_BLANK "song-name-blank" Error "the song has no name";
    METADATA_TOO_LONG "metadata-too-long" Error "song name and level author together exceed 100 characters";
    BPM_OUT_OF_RANGE "bpm-out-of-range" Error "the song's tempo is outside 10 to 1000 BPM";
    TIME_OFFSET "time-offset-nonzero" Error "the song time offset is not 0";
    PREVIEW_NEGATIVE "preview-negative" Error "preview start or duration is negative";
    PREVIEW_UNTOUCHED "preview-untouched" Info "preview start and duration are the editor's 12 s and 10 s";
    AUDIO_MISSING "audio-missing" Error "the audio named in Info is not in the pack";
    AUDIO_NOT_OGG "audio-not-ogg-vorbis" Error "the audio is not Ogg Vorbis";
    AUDIO_EMPTY "audio-empty" Error "the audio has no length";
    AUDIO_SHORT "audio-short" Rank "the audio is shorter than 20 s";
    AUDIO_DATA_MISSING "audio-data-missing" Error "the audio data file named in Info is not in the pack";
    AUDIO_DATA_BOUNDS "audio-data-bounds" Error "an audio data region leaves the song or runs backwards";
    AUDIO_DATA_ORDER "audio-data-order" Warning "audio data regions overlap or leave a gap";
    COVER_MISSING "cover-missing" Error "the cover named in Info is not in the pack";
    COVER_FORMAT "cover-format" Error "the cover is neither JPEG nor PNG";
    COVER_NOT_SQUARE "cover-not-square" Error "the cover is not square";
    COVER_TOO_SMALL "cover-too-small" Error "the cover is smaller than 256 pixels a side";
    ICON_MISSING "icon-missing" Error "an icon named in Info's custom data is not in the pack";
    ENVIRONMENT_UNKNOWN "environment-unknown" Error "an environment name that is not one of the game's 48";
    ROTATION_ENVIRONMENT_RULE "rotation-environment" Error "a 90/360 set with another environment than GlassDesertEnvironment";
    ENVIRONMENT_INDEX "environment-index" Error "an environment index beyond the list";
    COLOR_SCHEME_INDEX "color-scheme-index" Error "a colour scheme index beyond the list";
    COLOR_NOT_HEX "color-not-hex" Error "a v4 colour is not eight hexadecimal digits";
    DIFFICULTIES_EMPTY "difficulties-empty" Error "there is no difficulty, or a set without one";
    CHARACTERISTIC_UNKNOWN "characteristic-unknown" Error "a characteristic that BeatSaver does not know in this version";
    CHARACTERISTIC_REPEATED "characteristic-repeated" Error "two sets have the same characteristic";
    DIFFICULTY_UNKNOWN "difficulty-unknown" Error "a difficulty that is not Easy, Normal, Hard, Expert or ExpertPlus";
    DIFFICULTY_CASE "difficulty-name-case" Warning "a difficulty name in another case than the game's";
    DIFFICULTY_REPEATED "difficulty-repeated" Error "a difficulty occurs twice in one characteristic";
    RANK_UNKNOWN "rank-unknown" Error "a difficulty rank that is not 1, 3, 5, 7 or 9";
    RANK_REPEATED "rank-repeated" Error "a difficulty rank occurs twice in one characteristic";
    RANK_MISMATCH "rank-mismatch" Warning "a difficulty rank that belongs to another difficulty";
    MISPLACED_CUSTOM_DATA "misplaced-custom-data" Error "requirements, colours or labels outside a difficulty's custom data";
    LABEL_LONG "difficulty-label-long" Rank "a difficulty label longer than 30 characters";
    NJS_UNSET "njs-unset" Warning "the note jump speed is missing, 0 or negative";
    LEVEL_MISSING "difficulty-file-missing" Error "a difficulty file named in Info is not in the pack";
    LIGHTSHOW_MISSING "lightshow-file-missing" Error "a lightshow file named in Info is not in the pack";
    NOTE_TYPE "note-type" Error "a v2 note type that is not 0, 1 or 3";
    CUT_DIRECTION "cut-direction" Error "a cut direction outside 0 to 8 and 1000 to 1360";
    COLOR_VALUE "color-value" Error "a colour that is not 0 or 1";
    ROTATION_PHASE "rotation-phase" Error "a rotation phase that is not 0 or 1";
    DISTRIBUTION_TYPE "distribution-type" Error "a distribution type that is not 1 or 2";
    LIGHT_TRANSITION "light-transition" Error "a light transition that is not 0, 1 or 2";
    LIGHT_COLOR "light-color" Error "a light colour outside -1 to 2";
    EVENT_BOX_TYPE "event-box-type" Error "a light group type that does not exist";
    INDEX_UNRESOLVED "index-unresolved" Error "an index that points at nothing";
    BEAT_OUTSIDE_SONG "beat-outside-song" Error "an object before beat 0 or after the song's last beat, where the gate refuses it";
    HEAD_AFTER_TAIL "head-after-tail" Error "a v4 arc or chain that ends before it starts";
    CHAIN_SQUISH "chain-squish-zero" Error "a chain with squish 0, which crashes the game";
    ARC_BACKWARDS "arc-backwards" Warning "a v2 or v3 arc or chain that ends before it starts";
    OBJECT_BEFORE_START "object-before-start" Warning "an object before beat 0 that the gate does not look at";
    OBJECT_AFTER_AUDIO "object-after-audio" Warning "an object after the end of the audio that the gate does not look at";
    TEMPO_INVALID "tempo-invalid" Warning "a tempo change that is 0 or negative and is ignored";
    OFF_GRID "off-grid" Warning "an object off the 4 by 3 grid in a difficulty that requires no mod for it";
    PRECISION_DIRECTION "precision-direction" Warning "a Mapping Extensions direction in a difficulty that does not require the mod";
    STACKED "stacked-objects" Warning "two objects in one cell at one beat";
    WALL_MEASURE "wall-measure" Warning "a wall whose width, height or duration is 0 or negative";
}

/// A format version, `major.minor.patch`.
pub(super) type Version = (u32, u32, u32);

pub(super) use Is::{AnyObject, Bool, Cut, Float, Int, List, Of, OneOf, Text};

/// What a value must be.
#[derive(Clone, Copy)]
pub(super) enum Is {
    /// A 32-bit whole number, written as one.
    Int,
    Float,
    Bool,
    Text,
    AnyObject,
    /// An object with these known fields.
    Of(&'static [Field]),
    List(&'static Is),
    /// A whole number out of a few; else the rule is broken.
    OneOf(&'static [i64], Rule),
    /// 0 to 8, or a Mapping Extensions angle.
    Cut,
}

/// When a field must, may or must not be there.
#[derive(Clone, Copy)]
pub(super) enum Need {
    Always,
    Optional,
    /// Must be there in versions below; optional from it on.
    Before(Version),
    /// Must be there from this version on, must not be there below.
    Since(Version),
    /// May be there from this version on, must not be there below.
    OnlySince(Version),
    /// May be there below this version, must not be there from it on.
    Until(Version),
    /// Must not be there below the first, must be there up to the second, optional from it on.
    Between(Version, Version),
}

#[derive(Clone, Copy)]
pub(super) struct Field {
    pub(super) key: &'static str,
    pub(super) is: Is,
    pub(super) need: Need,
}

pub(super) const V2_1: Version = (2, 1, 0);
pub(super) const V3_1: Version = (3, 1, 0);
pub(super) const V3_2: Version = (3, 2, 0);
pub(super) const V3_3: Version = (3, 3, 0);
pub(super) const V4_0_1: Version = (4, 0, 1);
pub(super) const V4_1: Version = (4, 1, 0);

pub(super) use Need::{Always, Optional};
pub(super) const FROM_2_1: Need = Need::OnlySince(V2_1);
pub(super) const FILTER_3_1: Need = Need::Between(V3_1, V3_3);
pub(super) const SINCE_3_2: Need = Need::Since(V3_2);
pub(super) const SINCE_3_3: Need = Need::Since(V3_3);
/// What v3 has everywhere: to be written out before 3.3.0, with a default from then on.
pub(super) const UNTIL_3_3: Need = Need::Before(V3_3);
pub(super) const UNTIL_4_0_1: Need = Need::Until(V4_0_1);
pub(super) const FROM_4_0_1: Need = Need::OnlySince(V4_0_1);
pub(super) const UNTIL_4_1: Need = Need::Until(V4_1);
pub(super) const FROM_4_1: Need = Need::OnlySince(V4_1);

/// The fields of one kind of object: `need "key", "key": what;`.
macro_rules! fields {
    ($($need:ident $($key:literal),+: $is:expr;)*) => {
        &[$($(Field { key: $key, is: $is, need: $need }),+),*]
    };
}
/// As `fields!`, where all are [`UNTIL_3_3`].
macro_rules! fields3 {
    ($($($key:literal),+: $is:expr;)*) => {
        &[$($(Field { key: $key, is: $is, need: UNTIL_3_3 }),+),*]
    };
}
/// As `fields!`, where all are optional.
macro_rules! optional {
    ($($($key:literal),+: $is:expr;)*) => {
        &[$($(Field { key: $key, is: $is, need: Optional }),+),*]
    };
}

pub(super) const COLOR: Is = OneOf(&[0, 1], COLOR_VALUE);
pub(super) const DISTRIBUTION: Is = OneOf(&[1, 2], DISTRIBUTION_TYPE);
pub(super) const TEXTS: Is = List(&Text);

// Info, v2.

pub(super) static RGBA: &[Field] = optional! { "r", "g", "b", "a": Float; };
pub(super) static SCHEME2: &[Field] = optional! {
    "useOverride": Bool;
    "colorScheme": Of(optional! {
        "colorSchemeId": Text;
        "saberAColor", "saberBColor", "obstaclesColor", "environmentColor0", "environmentColor1",
        "environmentColor0Boost", "environmentColor1Boost", "environmentColorW", "environmentColorWBoost": Of(RGBA);
    });
};
pub(super) static DIFFICULTY2: &[Field] = fields! {
    Always "_difficulty", "_beatmapFilename": Text;
    Always "_difficultyRank": Int;
    Optional "_noteJumpMovementSpeed", "_noteJumpStartBeatOffset": Float;
    FROM_2_1 "_beatmapColorSchemeIdx", "_environmentNameIdx": Int;
    Optional "_customData": Of(optional! {
        "_difficultyLabel": Text;
        "_editorOffset", "_editorOldOffset": Int;
        "_warnings", "_information", "_suggestions", "_requirements": TEXTS;
    });
};
pub(super) static INFO2: &[Field] = fields! {
    Always "_songName", "_songSubName", "_songAuthorName", "_levelAuthorName": Text;
    Always "_beatsPerMinute", "_songTimeOffset", "_shuffle", "_shufflePeriod": Float;
    Always "_previewStartTime", "_previewDuration": Float;
    Always "_songFilename", "_coverImageFilename", "_environmentName": Text;
    Optional "_allDirectionsEnvironmentName": Text;
    FROM_2_1 "_environmentNames": TEXTS;
    FROM_2_1 "_colorSchemes": List(&Of(SCHEME2));
    Optional "_customData": Of(optional! {
        "_contributors": List(&Of(optional! { "_role", "_name", "_iconPath": Text; }));
    });
    Always "_difficultyBeatmapSets": List(&Of(fields! {
        Always "_beatmapCharacteristicName": Text;
        Always "_difficultyBeatmaps": List(&Of(DIFFICULTY2));
        Optional "_customData": Of(optional! { "_characteristicLabel", "_characteristicIconImageFilename": Text; });
    }));
};

// Info, v4.

pub(super) static SCHEME4: &[Field] = fields! {
    UNTIL_4_0_1 "useOverride": Bool;
    FROM_4_0_1 "overrideNotes", "overrideLights": Bool;
    Always "colorSchemeName": Text;
    Optional "saberAColor", "saberBColor", "obstaclesColor", "environmentColor0", "environmentColor1",
        "environmentColor0Boost", "environmentColor1Boost", "environmentColorW", "environmentColorWBoost": Text;
};
pub(super) static DIFFICULTY4: &[Field] = fields! {
    Always "characteristic", "difficulty", "beatmapDataFilename": Text;
    Always "beatmapAuthors": Of(fields! { Always "mappers", "lighters": TEXTS; });
    Always "environmentNameIdx", "beatmapColorSchemeIdx": Int;
    Always "noteJumpMovementSpeed", "noteJumpStartBeatOffset": Float;
    Optional "lightshowDataFilename": Text;
    Optional "customData": Of(optional! {
        "difficultyLabel": Text;
        "warnings", "information", "suggestions", "requirements": TEXTS;
    });
};
pub(super) static INFO4: &[Field] = fields! {
    Always "song": Of(fields! { Always "title", "subTitle", "author": Text; });
    Always "audio": Of(fields! {
        Always "songFilename", "audioDataFilename": Text;
        Always "songDuration", "bpm", "lufs", "previewStartTime", "previewDuration": Float;
    });
    Always "songPreviewFilename", "coverImageFilename": Text;
    Always "environmentNames": TEXTS;
    Always "colorSchemes": List(&Of(SCHEME4));
    Always "difficultyBeatmaps": List(&Of(DIFFICULTY4));
    Optional "customData": Of(optional! {
        "contributors": List(&Of(optional! { "role", "name", "iconPath": Text; }));
        "characteristicData": List(&Of(optional! { "characteristic", "label", "iconPath": Text; }));
    });
};

// Audio data.

pub(super) static AUDIO_DATA2: &[Field] = fields! {
    Always "_songSampleCount", "_songFrequency": Int;
    Always "_regions": List(&Of(fields! {
        Always "_startSampleIndex", "_endSampleIndex": Int;
        Always "_startBeat", "_endBeat": Float;
    }));
};
pub(super) static AUDIO_DATA4: &[Field] = fields! {
    Always "songChecksum": Text;
    Always "songSampleCount", "songFrequency": Int;
    Always "bpmData": List(&Of(fields! { Always "si", "ei": Int; Always "sb", "eb": Float; }));
    Optional "lufsData": List(&Of(optional! { "si", "ei": Int; "l": Float; }));
};

// Level, v2.

pub(super) static TEMPO2: &[Field] = fields! {
    Always "_time", "_BPM": Float;
    Optional "_beatsPerBar", "_metronomeOffset": Float;
};
pub(super) static LEVEL2: &[Field] = fields! {
    Always "_notes": List(&Of(fields! {
        Always "_time": Float;
        Always "_lineIndex", "_lineLayer": Int;
        Always "_type": OneOf(&[0, 1, 3], NOTE_TYPE);
        Always "_cutDirection": Cut;
    }));
    Always "_obstacles": List(&Of(fields! {
        Always "_time", "_duration": Float;
        Always "_type", "_lineIndex", "_width": Int;
        Optional "_lineLayer", "_height": Int;
    }));
    Always "_events": List(&Of(fields! {
        Always "_time": Float;
        Always "_type", "_value": Int;
        Optional "_floatValue": Float;
    }));
    Optional "_sliders": List(&Of(optional! {
        "_colorType": COLOR;
        "_headTime", "_headControlPointLengthMultiplier", "_tailTime", "_tailControlPointLengthMultiplier": Float;
        "_headLineIndex", "_headLineLayer", "_headCutDirection": Int;
        "_tailLineIndex", "_tailLineLayer", "_tailCutDirection", "_sliderMidAnchorMode": Int;
    }));
    Optional "_waypoints": List(&Of(fields! {
        Always "_time": Float;
        Always "_lineIndex", "_lineLayer", "_offsetDirection": Int;
    }));
    Optional "_specialEventsKeywordFilters": Of(optional! {
        "_keywords": List(&Of(fields! { Always "_keyword": Text; Always "_specialEvents": List(&Int); }));
    });
    Optional "_customData": Of(optional! { "_time": Float; "_BPMChanges": List(&Of(TEMPO2)); });
    Optional "_BPMChanges": List(&Of(TEMPO2));
};

// Level, v3.

pub(super) static FILTER3: &[Field] = fields! {
    UNTIL_3_3 "f", "p", "t", "r": Int;
    FILTER_3_1 "c", "n", "s", "d": Int;
    FILTER_3_1 "l": Float;
};
pub(super) static COLOR_BOX3: &[Field] = fields! {
    Always "f": Of(FILTER3);
    UNTIL_3_3 "w", "r": Float;
    UNTIL_3_3 "d", "t": DISTRIBUTION;
    UNTIL_3_3 "b": Int;
    Optional "e": List(&Of(fields3! {
        "b", "s": Float;
        "i": OneOf(&[0, 1, 2], LIGHT_TRANSITION);
        "c": OneOf(&[-1, 0, 1, 2], LIGHT_COLOR);
        "f": Int;
    }));
};
pub(super) static ROTATION_BOX3: &[Field] = fields! {
    Always "f": Of(FILTER3);
    UNTIL_3_3 "w", "s": Float;
    UNTIL_3_3 "d", "t": DISTRIBUTION;
    UNTIL_3_3 "a", "r", "b": Int;
    Optional "l": List(&Of(fields3! { "b", "r": Float; "p", "e", "l", "o": Int; }));
};
pub(super) static TRANSLATION_BOX3: &[Field] = fields! {
    Always "f": Of(FILTER3);
    UNTIL_3_3 "s": Float;
    UNTIL_3_3 "t": DISTRIBUTION;
    UNTIL_3_3 "a", "r", "b", "i": Int;
    UNTIL_3_3 "l": List(&Of(fields3! { "b", "t": Float; "p", "e": Int; }));
};
pub(super) static FX_BOX3: &[Field] = fields! {
    Always "f": Of(FILTER3);
    Optional "w", "s": Float;
    Optional "d", "t": DISTRIBUTION;
    Optional "i", "b": Int;
    Optional "l": List(&Int);
};
pub(super) static LEVEL3: &[Field] = fields! {
    Always "bpmEvents": List(&Of(fields3! { "b", "m": Float; }));
    Always "rotationEvents": List(&Of(fields3! { "b", "r": Float; "e": OneOf(&[0, 1], ROTATION_PHASE); }));
    Always "colorNotes": List(&Of(fields3! { "b": Float; "x", "y", "a": Int; "c": COLOR; "d": Cut; }));
    Always "bombNotes": List(&Of(fields3! { "b": Float; "x", "y": Int; }));
    Always "obstacles": List(&Of(fields3! { "b", "d": Float; "x", "y", "w", "h": Int; }));
    Always "sliders": List(&Of(fields3! {
        "c": COLOR;
        "b", "mu", "tb", "tmu": Float;
        "x", "y", "d", "tx", "ty", "tc", "m": Int;
    }));
    Always "burstSliders": List(&Of(fields3! {
        "c": COLOR;
        "b", "tb", "s": Float;
        "x", "y", "d", "tx", "ty", "sc": Int;
    }));
    Always "waypoints": List(&Of(fields3! { "b": Float; "x", "y", "d": Int; }));
    Always "basicBeatmapEvents": List(&Of(fields3! { "b", "f": Float; "et", "i": Int; }));
    Always "colorBoostBeatmapEvents": List(&Of(fields3! { "b": Float; "o": Bool; }));
    Always "lightColorEventBoxGroups": List(&Of(fields! {
        UNTIL_3_3 "b": Float;
        UNTIL_3_3 "g": Int;
        Optional "e": List(&Of(COLOR_BOX3));
    }));
    Always "lightRotationEventBoxGroups": List(&Of(fields! {
        UNTIL_3_3 "b": Float;
        UNTIL_3_3 "g": Int;
        Optional "e": List(&Of(ROTATION_BOX3));
    }));
    SINCE_3_2 "lightTranslationEventBoxGroups": List(&Of(fields3! {
        "b": Float;
        "g": Int;
        "e": List(&Of(TRANSLATION_BOX3));
    }));
    SINCE_3_3 "vfxEventBoxGroups": List(&Of(optional! {
        "b": Float;
        "g": Int;
        "t": OneOf(&[0, 1, 2], EVENT_BOX_TYPE);
        "e": List(&Of(FX_BOX3));
    }));
    SINCE_3_3 "_fxEventsCollection": Of(fields! {
        Always "_il": List(&Of(optional! { "b": Float; "p", "v": Int; }));
        Always "_fl": List(&Of(optional! { "b", "v": Float; "p", "i": Int; }));
    });
    Always "basicEventTypesWithKeywords": AnyObject;
    UNTIL_3_3 "useNormalEventsAsCompatibleEvents": Bool;
    Optional "customData": Of(optional! { "time": Float; });
};

// Level and lightshow, v4.

pub(super) static ROTATED4: &[Field] = optional! { "b": Float; "r", "i": Int; };
pub(super) static INDEXED4: &[Field] = optional! { "b": Float; "i": Int; };
pub(super) static LEVEL4: &[Field] = fields! {
    Always "colorNotes", "bombNotes", "obstacles": List(&Of(ROTATED4));
    Always "colorNotesData": List(&Of(optional! { "x", "y", "a": Int; "c": COLOR; "d": Cut; }));
    Always "bombNotesData": List(&Of(optional! { "x", "y": Int; }));
    Always "obstaclesData": List(&Of(optional! { "d": Float; "x", "y", "w", "h": Int; }));
    Always "arcs": List(&Of(optional! { "hb", "tb": Float; "hr", "tr", "hi", "ti", "ai": Int; }));
    Always "arcsData": List(&Of(optional! { "m", "tm": Float; "a": Int; }));
    Always "chains": List(&Of(optional! { "hb", "tb": Float; "hr", "tr", "i", "ci": Int; }));
    Always "chainsData": List(&Of(optional! { "tx", "ty", "c": Int; "s": Float; }));
    UNTIL_4_1 "spawnRotations": List(&Of(INDEXED4));
    UNTIL_4_1 "spawnRotationsData": List(&Of(optional! { "t": Int; "r": Float; }));
    FROM_4_1 "njsEvents": List(&Of(INDEXED4));
    FROM_4_1 "njsEventData": List(&Of(optional! { "d": Float; "p", "e": Int; }));
    Optional "customData": AnyObject;
};
/// A box of a v4 light group; `a` and `f` exist on some kinds only.
pub(super) static BOX4: &[Field] = optional! { "w", "s": Float; "d", "t", "b", "e", "a", "f": Int; };
pub(super) static LIGHTS4: &[Field] = fields! {
    Always "basicEvents", "colorBoostEvents", "waypoints": List(&Of(INDEXED4));
    Always "basicEventsData": List(&Of(optional! { "t", "i": Int; "f": Float; }));
    Always "colorBoostEventsData": List(&Of(optional! { "b": Int; }));
    Always "waypointsData": List(&Of(optional! { "x", "y", "d": Int; }));
    Always "basicEventTypesWithKeywords": AnyObject;
    Always "eventBoxGroups": List(&Of(fields! {
        Optional "b": Float;
        Optional "g", "t": Int;
        Always "e": List(&Of(fields! { Optional "f", "e": Int; Always "l": List(&Of(INDEXED4)); }));
    }));
    Always "indexFilters": List(&Of(optional! { "c", "f", "p", "t", "r", "n", "s", "d": Int; "l": Float; }));
    Always "lightColorEventBoxes", "lightRotationEventBoxes": List(&Of(BOX4));
    Always "lightTranslationEventBoxes", "fxEventBoxes": List(&Of(BOX4));
    Always "lightColorEvents": List(&Of(optional! { "p", "e", "c", "f", "sf": Int; "b", "sb": Float; }));
    Always "lightRotationEvents": List(&Of(optional! { "p", "e", "d", "l": Int; "r": Float; }));
    Always "lightTranslationEvents": List(&Of(optional! { "p", "e": Int; "t": Float; }));
    Always "floatFxEvents": List(&Of(optional! { "p", "e": Int; "v": Float; }));
    Optional "useNormalEventsAsCompatibleEvents": Bool;
    Optional "customData": AnyObject;
};
/// Box and event arrays of the v4 light group types 1 to 4.
pub(super) const GROUPS4: [(&str, &str); 4] = [
    ("lightColorEventBoxes", "lightColorEvents"),
    ("lightRotationEventBoxes", "lightRotationEvents"),
    ("lightTranslationEventBoxes", "lightTranslationEvents"),
    ("fxEventBoxes", "floatFxEvents"),
];
