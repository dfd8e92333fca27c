//! What is read, written and read again stays the same; what a version cannot say is reported. By property.

mod common;

use beatweaver_core::Limits;
use beatweaver_core::map::*;
use common::{Taste, any_json, config, difficulty, number, read_back, read_song, same, version};
use proptest::collection::vec;
use proptest::prelude::*;
use serde_json::Value;
use sha1::{Digest, Sha1};

const ROWS: usize = 4;

fn taste(major: u8) -> Taste {
    Taste { major, common: false, rows: ROWS }
}

/// A level of a version, and that version.
fn any_version() -> impl Strategy<Value = (u8, Difficulty)> {
    (2u8..=4).prop_flat_map(|major| difficulty(taste(major)).prop_map(move |d| (major, d)))
}

/// Writes and reads back.
fn through(d: &Difficulty, major: u8) -> (Difficulty, Vec<Loss>) {
    let (level, lightshow, lost) = d.write(major).expect("a known version");
    (read_back(&level, lightshow.as_deref()), lost)
}

/// The rows without what they say beyond the model, to compare across versions that spell that differently.
fn bare(d: &Difficulty) -> Difficulty {
    let mut d = d.clone();
    let none = Extra::default;
    d.extra = none();
    d.light_extra = none();
    d.notes.iter_mut().chain(&mut d.fakes.notes).for_each(|r| r.extra = none());
    d.bombs.iter_mut().chain(&mut d.fakes.bombs).for_each(|r| r.extra = none());
    d.obstacles.iter_mut().chain(&mut d.fakes.obstacles).for_each(|r| r.extra = none());
    d.chains.iter_mut().chain(&mut d.fakes.chains).for_each(|r| r.extra = none());
    d.arcs.iter_mut().for_each(|r| r.extra = none());
    d.lights.iter_mut().for_each(|r| r.extra = none());
    d.boosts.iter_mut().for_each(|r| r.extra = none());
    d.rotations.iter_mut().for_each(|r| r.extra = none());
    d.tempo.iter_mut().for_each(|r| r.extra = none());
    d.waypoints.iter_mut().for_each(|r| r.extra = none());
    d.njs_events.iter_mut().for_each(|r| r.extra = none());
    for group in &mut d.groups {
        group.extra = none();
        for boxed in &mut group.boxes {
            (boxed.extra, boxed.filter.extra) = (none(), none());
            boxed.events.iter_mut().for_each(|e| e.extra = none());
        }
    }
    d
}

/// How far each object is turned, by its own lane and by the events before it: what a player sees, however it is said.
/// Objects between equal beats are compared by kind and order, which no version changes.
fn turns(d: &Difficulty) -> Vec<f64> {
    let turned = |beat: f64, lane: i32| {
        let passed = |r: &&Rotation| r.beat < beat || (r.beat == beat && r.late == 0);
        f64::from(lane) + d.rotations.iter().filter(passed).map(|r| r.degrees).sum::<f64>()
    };
    let mut out: Vec<f64> = Vec::new();
    out.extend(d.notes.iter().map(|r| turned(r.beat, r.lane)));
    out.extend(d.bombs.iter().map(|r| turned(r.beat, r.lane)));
    out.extend(d.obstacles.iter().map(|r| turned(r.beat, r.lane)));
    out.extend(d.arcs.iter().flat_map(|r| [turned(r.beat, r.lane), turned(r.tail_beat, r.tail_lane)]));
    out.extend(d.chains.iter().flat_map(|r| [turned(r.beat, r.lane), turned(r.tail_beat, r.tail_lane)]));
    out
}

/// The same without the two ways to say turns, which [`turns`] compares.
fn unturned(d: &Difficulty) -> Difficulty {
    let mut d = d.clone();
    d.rotations.clear();
    d.notes.iter_mut().for_each(|r| r.lane = 0);
    d.bombs.iter_mut().for_each(|r| r.lane = 0);
    d.obstacles.iter_mut().for_each(|r| r.lane = 0);
    d.arcs.iter_mut().for_each(|r| (r.lane, r.tail_lane) = (0, 0));
    d.chains.iter_mut().for_each(|r| (r.lane, r.tail_lane) = (0, 0));
    d
}

/// What may differ between versions without being a loss: the version itself, and the flag that version 2 does not have.
fn alike(d: &Difficulty) -> Difficulty {
    Difficulty { version: version(3, 3, 0), compatible_events: true, ..unturned(d) }
}

fn same_turns(a: &Difficulty, b: &Difficulty) -> bool {
    turns(a).iter().zip(turns(b)).all(|(a, b)| (a - b).rem_euclid(360.0).min((b - a).rem_euclid(360.0)) < 1e-6)
}

proptest! {
    #![proptest_config(config(192))]

    /// Same version in and out: equal, nothing reported, and the same bytes when written again.
    #[test]
    fn a_level_comes_back_from_its_own_version((major, d) in any_version()) {
        let (level, lightshow, lost) = d.write(major).expect("known version");
        prop_assert_eq!(&lost, &vec![]);
        let back = read_back(&level, lightshow.as_deref());
        same(&back, &d)?;
        prop_assert_eq!(back.write(major).expect("known version"), (level, lightshow, lost));
    }

    /// Whatever is not the same after a change of version was reported.
    #[test]
    fn every_loss_is_reported((from, d) in any_version(), to in 2u8..=4) {
        let (there, lost) = through(&d, to);
        if lost.is_empty() {
            same(&alike(&bare(&there)), &alike(&bare(&d)))?;
            prop_assert!(same_turns(&there, &d), "{:?} for {:?}", turns(&there), turns(&d));
            // What rows say beyond the model is spelled otherwise there, and comes back as it was.
            let (back, lost) = through(&there, from);
            same(&alike(&back), &alike(&d))?;
            prop_assert!(same_turns(&back, &d) || lost.iter().any(|l| l.what.contains("rotation")));
        }
        prop_assert!(lost.is_sorted() && lost.iter().all(|l| l.count > 0));
    }

    /// What all versions can say goes round all of them.
    #[test]
    fn common_content_survives_two_three_four_three(d in difficulty(Taste { major: 2, common: true, rows: 8 })) {
        let mut lost = Vec::new();
        let mut go = |d: &Difficulty, major| {
            let (d, more) = through(d, major);
            lost.extend(more);
            d
        };
        let three = go(&d, 3);
        let four = go(&three, 4);
        let again = go(&four, 3);
        let two = go(&again, 2);
        same(&again, &three)?;
        same(&two, &d)?;
        prop_assert_eq!(lost, vec![]);
    }

    /// Another version of the same level is the same level: objects stay where they are, and turn as they did.
    #[test]
    fn objects_turn_the_same_in_every_version((_, d) in any_version(), to in 2u8..=4) {
        let whole = |d: &Difficulty| d.rotations.iter().all(|r| r.degrees.fract() == 0.0);
        prop_assume!(whole(&d));
        let (there, lost) = through(&d, to);
        let told = |what: &str| lost.iter().any(|l| l.what.contains(what));
        // A kind that is gone has nothing to compare.
        prop_assume!((d.notes.len(), d.chains.len()) == (there.notes.len(), there.chains.len()));
        prop_assume!(!told("rotation lanes that differ"));
        prop_assert!(same_turns(&there, &d), "{:?} for {:?}, {:?}", turns(&there), turns(&d), lost);
    }
}

// ------------------------------------------------------------------------------- files as others write them, by property

/// A member that may be left out, and a value for it.
fn member(name: &'static str, value: impl Strategy<Value = Value> + 'static) -> BoxedStrategy<Option<(String, Value)>> {
    prop_oneof![1 => Just(None), 6 => value.prop_map(move |v| Some((name.to_owned(), v)))].boxed()
}

/// An object with these members in any order, some of them left out, and unknown ones.
fn object(members: Vec<BoxedStrategy<Option<(String, Value)>>>, custom: &'static str) -> BoxedStrategy<Value> {
    let unknown = prop_oneof![5 => Just(None), 1 => ("zz[a-z]{0,2}", any_json()).prop_map(Some)];
    let custom = member(custom, vec(("[a-z_]{1,5}", any_json()), 0..3).prop_map(|m| m.into_iter().collect()));
    (members, unknown, prop_oneof![4 => Just(None).boxed(), 1 => custom])
        .prop_flat_map(|(known, unknown, custom)| {
            Just(known.into_iter().chain([unknown, custom]).flatten().collect::<Vec<_>>()).prop_shuffle()
        })
        .prop_map(|members| members.into_iter().collect())
        .boxed()
}

/// A list of objects; now and then null stands for one of them or for all.
fn list(rows: BoxedStrategy<Value>) -> BoxedStrategy<Value> {
    let row = prop_oneof![12 => rows, 1 => Just(Value::Null)];
    prop_oneof![12 => vec(row, 0..4).prop_map(Value::from), 1 => Just(Value::Null)].boxed()
}

/// Whole numbers: mostly small (so that they also are good indices), as integers, floats or text.
fn int() -> BoxedStrategy<Value> {
    prop_oneof![
        12 => (0..4i32).prop_map(Value::from),
        2 => any::<i32>().prop_map(Value::from),
        1 => (0..4i32).prop_map(|v| f64::from(v).into()),
        1 => (0..4i32).prop_map(|v| v.to_string().into()),
        1 => Just(Value::Null),
    ]
    .boxed()
}

fn num() -> BoxedStrategy<Value> {
    prop_oneof![6 => common::beat().prop_map(Value::from), 2 => number().prop_map(Value::from), 1 => (0..9i32).prop_map(|v| v.to_string().into())]
        .boxed()
}

fn flag() -> BoxedStrategy<Value> {
    prop_oneof![any::<bool>().prop_map(Value::from), (0..2i32).prop_map(Value::from)].boxed()
}

/// Members named in a line: `#` marks whole numbers, `?` flags, the others are any numbers.
fn row(names: &'static str, custom: &'static str) -> BoxedStrategy<Value> {
    let members = names.split(' ').map(|name| match name.as_bytes()[0] {
        b'#' => member(&name[1..], int()),
        b'?' => member(&name[1..], flag()),
        _ => member(name, num()),
    });
    object(members.collect(), custom)
}

fn lists(
    lists: Vec<(&'static str, BoxedStrategy<Value>)>,
    more: Vec<BoxedStrategy<Option<(String, Value)>>>,
    custom: &'static str,
) -> BoxedStrategy<Value> {
    let lists = lists.into_iter().map(|(name, rows)| member(name, list(rows)));
    object(lists.chain(more).collect(), custom)
}

fn keywords(list_name: &'static str, names: [&'static str; 2]) -> BoxedStrategy<Value> {
    let keyword = object(
        vec![
            member(names[0], "[a-z]{0,3}".prop_map(Value::from)),
            member(names[1], vec(0..99i32, 0..3).prop_map(Value::from)),
        ],
        "customData",
    );
    object(vec![member(list_name, list(keyword))], "customData")
}

fn file_v2() -> BoxedStrategy<Value> {
    const C: &str = "_customData";
    let kind = member("_type", prop_oneof![(0..20i32), Just(100), 1000..5000i32].prop_map(Value::from));
    let value = member("_value", prop_oneof![0..13i32, 13..400i32, any::<i32>()].prop_map(Value::from));
    let event = object(vec![member("_time", num()), kind.clone(), value, member("_floatValue", num())], C);
    let wall = object(
        vec![
            member("_time", num()),
            kind,
            member("_lineIndex", int()),
            member("_lineLayer", int()),
            member("_duration", num()),
            member("_width", int()),
            member("_height", int()),
        ],
        C,
    );
    lists(
        vec![
            ("_notes", row("_time #_lineIndex #_lineLayer #_type #_cutDirection", C)),
            ("_obstacles", wall),
            ("_events", event),
            (
                "_sliders",
                row(
                    "#_colorType _headTime #_headLineIndex #_headLineLayer _headControlPointLengthMultiplier #_headCutDirection _tailTime #_tailLineIndex #_tailLineLayer _tailControlPointLengthMultiplier #_tailCutDirection #_sliderMidAnchorMode",
                    C,
                ),
            ),
            ("_waypoints", row("_time #_lineIndex #_lineLayer #_offsetDirection", C)),
        ],
        vec![
            member(
                "_version",
                prop_oneof![Just("2.0.0"), Just("2.2.0"), Just("2.5.0"), Just("2.6.0"), Just("1.5.0")]
                    .prop_map(Value::from),
            ),
            member("_specialEventsKeywordFilters", keywords("_keywords", ["_keyword", "_specialEvents"])),
        ],
        C,
    )
}

const FILTER: &str = "#c #f #p #t #r #n #s l #d";

fn file_v3() -> BoxedStrategy<Value> {
    const C: &str = "customData";
    fn group(boxes: &'static str, filter_and: Vec<BoxedStrategy<Option<(String, Value)>>>) -> BoxedStrategy<Value> {
        let members = boxes
            .split(' ')
            .map(|n| if let Some(n) = n.strip_prefix('#') { member(n, int()) } else { member(n, num()) });
        let boxed = object(members.chain(filter_and).chain([member("f", row(FILTER, C))]).collect(), C);
        object(vec![member("b", num()), member("g", int()), member("e", list(boxed))], C)
    }
    let fakes = object(
        vec![
            member("fakeColorNotes", list(row("b #x #y #c #d #a", C))),
            member("fakeBombNotes", list(row("b #x #y", C))),
            member("fakeObstacles", list(row("b #x #y d #w #h", C))),
            member("fakeBurstSliders", list(row("#c b #x #y #d tb #tx #ty #sc s", C))),
        ],
        "zzz",
    );
    let effects = object(
        vec![
            member("_fl", list(row("b #p #i v", C))),
            member("_il", list(any_json().prop_filter("an int event", |v| !v.is_null()).boxed())),
        ],
        C,
    );
    lists(
        vec![
            ("colorNotes", row("b #x #y #c #d #a", C)),
            ("bombNotes", row("b #x #y", C)),
            ("obstacles", row("b #x #y d #w #h", C)),
            ("sliders", row("#c b #x #y #d mu tb #tx #ty #tc tmu #m", C)),
            ("burstSliders", row("#c b #x #y #d tb #tx #ty #sc s", C)),
            ("waypoints", row("b #x #y #d", C)),
            ("basicBeatmapEvents", row("b #et #i f", C)),
            ("colorBoostBeatmapEvents", row("b ?o", C)),
            ("rotationEvents", row("b #e r", C)),
            ("bpmEvents", row("b m", C)),
            (
                "lightColorEventBoxGroups",
                group("w #d r #t #b #i", vec![member("e", list(row("b #i #c s #f sb #sf", C)))]),
            ),
            (
                "lightRotationEventBoxGroups",
                group("w #d s #t #b #i #a #r", vec![member("l", list(row("b #p #e r #o #l", C)))]),
            ),
            (
                "lightTranslationEventBoxGroups",
                group("w #d s #t #b #i #a #r", vec![member("l", list(row("b #p #e t", C)))]),
            ),
            (
                "vfxEventBoxGroups",
                group("w #d s #t #b #i", vec![member("l", vec(0..3i32, 0..3).prop_map(Value::from))]),
            ),
        ],
        vec![
            Just(Some(("version".to_owned(), "3.2.0".into()))).boxed(),
            member("_fxEventsCollection", effects),
            member("basicEventTypesWithKeywords", keywords("d", ["k", "e"])),
            member("useNormalEventsAsCompatibleEvents", flag()),
            prop_oneof![3 => Just(None).boxed(), 1 => member(C, fakes)].boxed(),
        ],
        C,
    )
}

fn files_v4() -> BoxedStrategy<(Value, Value)> {
    const C: &str = "customData";
    let level = lists(
        vec![
            ("colorNotes", row("b #r #i", C)),
            ("colorNotesData", row("#x #y #c #d #a", C)),
            ("bombNotes", row("b #r #i", C)),
            ("bombNotesData", row("#x #y", C)),
            ("obstacles", row("b #r #i", C)),
            ("obstaclesData", row("d #x #y #w #h", C)),
            ("arcs", row("hb tb #hr #tr #hi #ti #ai", C)),
            ("arcsData", row("m tm #a", C)),
            ("chains", row("hb tb #hr #tr #i #ci", C)),
            ("chainsData", row("#tx #ty #c s", C)),
            ("njsEvents", row("b #i", C)),
            ("njsEventData", row("d #p #e", C)),
        ],
        vec![Just(Some(("version".to_owned(), "4.1.0".into()))).boxed()],
        C,
    );
    let refs = object(vec![member("f", int()), member("e", int()), member("l", list(row("b #i", C)))], C);
    let kind = member("t", (0..6i32).prop_map(Value::from));
    let group = object(vec![member("b", num()), member("g", int()), kind, member("e", list(refs))], C);
    let lights = lists(
        vec![
            ("basicEvents", row("b #i", C)),
            ("basicEventsData", row("#t #i f", C)),
            ("colorBoostEvents", row("b #i", C)),
            ("colorBoostEventsData", row("?b", C)),
            ("waypoints", row("b #i", C)),
            ("waypointsData", row("#x #y #d", C)),
            ("eventBoxGroups", group),
            ("indexFilters", row(FILTER, C)),
            ("lightColorEventBoxes", row("w #d s #t #b #e", C)),
            ("lightColorEvents", row("#p #e #c b #f sb #sf", C)),
            ("lightRotationEventBoxes", row("w #d s #t #b #e #a #f", C)),
            ("lightRotationEvents", row("#p #e r #d #l", C)),
            ("lightTranslationEventBoxes", row("w #d s #t #b #e #a #f", C)),
            ("lightTranslationEvents", row("#p #e t", C)),
            ("fxEventBoxes", row("w #d s #t #b #e", C)),
            ("floatFxEvents", row("#p #e v", C)),
        ],
        vec![
            Just(Some(("version".to_owned(), "4.0.0".into()))).boxed(),
            member("basicEventTypesWithKeywords", keywords("d", ["k", "e"])),
            member("useNormalEventsAsCompatibleEvents", flag()),
        ],
        C,
    );
    (level, lights).boxed()
}

/// Reads a level with its warnings allowed, writes it in its own version, and compares.
fn settle(level: &Value, lights: Option<&Value>) -> Result<(), TestCaseError> {
    let limits = beatweaver_core::Limits::default();
    let (mut d, _) = match read_level(level.to_string().as_bytes(), "level.dat", &limits) {
        Ok(read) => read,
        // An object without any of a level's members is no level.
        Err(error) => {
            prop_assert!(error.to_string().contains("found none of a level's lists"), "{}", error);
            return Ok(());
        }
    };
    if let Some(lights) = lights
        && let Err(error) = d.add_lightshow(lights.to_string().as_bytes(), "lights.dat", &limits)
    {
        prop_assert!(error.to_string().contains("found none of a light show's lists"), "{}", error);
        return Ok(());
    }
    let major = d.version.major.max(2);
    let first = d.write(major).expect("known version");
    prop_assert_eq!(&first.2, &vec![]);
    let back = read_back(&first.0, first.1.as_deref());
    d.version = back.version;
    same(&back, &d)?;
    prop_assert_eq!(back.write(major).expect("known version"), first);
    Ok(())
}

proptest! {
    #![proptest_config(config(256))]

    #[test]
    fn files_of_version_1_and_2_settle(file in file_v2()) {
        settle(&file, None)?;
    }

    #[test]
    fn files_of_version_3_settle(file in file_v3()) {
        settle(&file, None)?;
    }

    #[test]
    fn files_of_version_4_settle((level, lights) in files_v4()) {
        settle(&level, Some(&lights))?;
    }
}

// ------------------------------------------------------------------------------------------------- Info and audio data

fn words() -> BoxedStrategy<Value> {
    prop_oneof![8 => "[A-Za-z .]{1,8}".prop_map(Value::from), 1 => any::<String>().prop_map(Value::from), 1 => Just(7.into())].boxed()
}

fn difficulty_name() -> BoxedStrategy<Value> {
    prop_oneof![
        8 => proptest::sample::select(RANKS.map(|r| r.0).to_vec()).prop_map(Value::from),
        1 => prop_oneof![Just("expert"), Just("Expert+"), Just("Demon")].prop_map(Value::from),
    ]
    .boxed()
}

fn texts() -> BoxedStrategy<Value> {
    vec("[A-Za-z]{1,5}", 0..3).prop_map(Value::from).boxed()
}

fn hex_scheme() -> BoxedStrategy<Value> {
    let hex = || "[0-9A-F]{8}".prop_map(Value::from);
    let on = || any::<bool>().prop_map(Value::from);
    object(
        vec![
            member("colorSchemeName", words()),
            member("useOverride", on()),
            member("overrideNotes", on()),
            member("overrideLights", on()),
            member("saberAColor", hex()),
            member("environmentColorW", hex()),
        ],
        "customData",
    )
}

fn info_v1() -> BoxedStrategy<Value> {
    let level = object(
        vec![
            member("difficulty", difficulty_name()),
            member("difficultyRank", int()),
            member("audioPath", words()),
            member("jsonPath", words()),
            member("characteristic", words()),
        ],
        "customColors",
    );
    let names = ["songName", "songSubName", "authorName", "coverImagePath", "environmentName"];
    let members = names.map(|n| member(n, words())).into_iter();
    let members = members.chain(["beatsPerMinute", "previewStartTime", "previewDuration"].map(|n| member(n, num())));
    let levels =
        Just(()).prop_flat_map(move |()| list(level.clone())).prop_map(|l| Some(("difficultyLevels".to_owned(), l)));
    object(members.chain([levels.boxed()]).collect(), "contributors")
}

fn info_v2() -> BoxedStrategy<Value> {
    const C: &str = "_customData";
    let index = || prop_oneof![Just(Value::from(-1)), (0..3i32).prop_map(Value::from), Just(Value::Null)];
    let level = object(
        vec![
            member("_difficulty", difficulty_name()),
            member("_difficultyRank", int()),
            member("_beatmapFilename", words()),
            member("_noteJumpMovementSpeed", num()),
            member("_noteJumpStartBeatOffset", num()),
            member("_beatmapColorSchemeIdx", index()),
            member("_environmentNameIdx", index()),
        ],
        C,
    );
    // Two of three sets have one name, so that a name twice is common.
    let name = prop_oneof![Just("Standard"), Just("OneSaber")].prop_map(Value::from);
    let set = object(vec![member("_beatmapCharacteristicName", name), member("_difficultyBeatmaps", list(level))], C);
    let names = [
        "_songName",
        "_songSubName",
        "_songAuthorName",
        "_levelAuthorName",
        "_songFilename",
        "_coverImageFilename",
        "_environmentName",
        "_allDirectionsEnvironmentName",
    ];
    let numbers =
        ["_beatsPerMinute", "_songTimeOffset", "_shuffle", "_shufflePeriod", "_previewStartTime", "_previewDuration"];
    let members = names.map(|n| member(n, words())).into_iter().chain(numbers.map(|n| member(n, num()))).chain([
        member("_version", prop_oneof![Just("2.0.0"), Just("2.1.0")].prop_map(Value::from)),
        member("_environmentNames", texts()),
        member("_colorSchemes", vec(any_json(), 0..2).prop_map(Value::from)),
        member("_difficultyBeatmapSets", list(set)),
    ]);
    object(members.collect(), C)
}

fn info_v4() -> BoxedStrategy<Value> {
    const C: &str = "customData";
    let song = object(["title", "subTitle", "author"].map(|n| member(n, words())).to_vec(), C);
    let audio =
        ["songDuration", "bpm", "lufs", "previewStartTime", "previewDuration"].map(|n| member(n, num())).into_iter();
    let audio = object(audio.chain(["songFilename", "audioDataFilename"].map(|n| member(n, words()))).collect(), C);
    let authors = object(["mappers", "lighters"].map(|n| member(n, texts())).to_vec(), C);
    let level = object(
        vec![
            member("characteristic", words()),
            member("difficulty", difficulty_name()),
            member("beatmapAuthors", authors),
            member("environmentNameIdx", int()),
            member("beatmapColorSchemeIdx", int()),
            member("noteJumpMovementSpeed", num()),
            member("noteJumpStartBeatOffset", num()),
            member("beatmapDataFilename", words()),
            member("lightshowDataFilename", words()),
        ],
        C,
    );
    object(
        vec![
            Just(Some(("version".to_owned(), "4.0.1".into()))).boxed(),
            member("song", song),
            member("audio", audio),
            member("songPreviewFilename", words()),
            member("coverImageFilename", words()),
            member("environmentNames", texts()),
            member("colorSchemes", vec(hex_scheme(), 0..3).prop_map(Value::from)),
            member("difficultyBeatmaps", list(level)),
        ],
        C,
    )
}

/// What 4.0.1 says with two switches for the one of 4.0.0.
fn upgraded(mut info: Info) -> Info {
    for scheme in info.color_schemes.iter_mut().filter_map(Value::as_object_mut) {
        if let Some(on) = scheme.remove("useOverride") {
            scheme.entry("overrideNotes").or_insert(on.clone());
            scheme.entry("overrideLights").or_insert(on);
        }
    }
    info
}

fn settle_info(file: &Value) -> Result<(), TestCaseError> {
    let limits = Limits::default();
    let info = match Info::read(file.to_string().as_bytes(), "Info.dat", &limits) {
        Ok((info, _)) => info,
        Err(error) => {
            prop_assert!(error.to_string().contains("found none of a level's fields"), "{}", error);
            return Ok(());
        }
    };
    let major = info.version.major.max(2);
    let first = info.write(major);
    let (back, warnings) = Info::read(&first, "Info.dat", &limits).expect("what was written reads");
    // Ranks and names that the game does not have stay, and are still odd.
    prop_assert!(warnings.iter().all(|w| w.rule.starts_with("difficulty-")), "{:?}", warnings);
    let mut expected = upgraded(info);
    expected.version = back.version;
    // Version 1 has an audio file for each level.
    expected.difficulties.iter_mut().for_each(|d| d.audio_file.clear());
    // Levels of a characteristic that the file lists twice come together.
    let sets: Vec<String> = expected.sets.iter().map(|s| s.0.clone()).collect();
    if major == 2 {
        expected.difficulties.sort_by_key(|d| sets.iter().position(|s| *s == d.characteristic));
    }
    same(&back, &expected)?;
    prop_assert_eq!(String::from_utf8(back.write(major)), String::from_utf8(first));
    Ok(())
}

proptest! {
    #![proptest_config(config(256))]

    #[test]
    fn info_files_of_version_1_settle(file in info_v1()) {
        settle_info(&file)?;
    }

    #[test]
    fn info_files_of_version_2_settle(file in info_v2()) {
        settle_info(&file)?;
    }

    #[test]
    fn info_files_of_version_4_settle(file in info_v4()) {
        settle_info(&file)?;
    }

    #[test]
    fn audio_data_files_settle(
        new in lists(
            vec![("bpmData", row("#si #ei sb eb", "customData")), ("lufsData", row("#si #ei l", "customData"))],
            vec![member("version", Just("4.0.0".into())), member("songChecksum", words()), member("songSampleCount", int()), member("songFrequency", int())],
            "customData",
        ),
        old in lists(
            vec![("_regions", row("#_startSampleIndex #_endSampleIndex _startBeat _endBeat", "_customData"))],
            vec![Just(Some(("_version".to_owned(), "2.0.0".into()))).boxed(), member("_songSampleCount", int()), member("_songFrequency", int())],
            "_customData",
        ),
    ) {
        for file in [new, old] {
            let limits = Limits::default();
            let (mut data, _) = AudioData::read(file.to_string().as_bytes(), "AudioData.dat", &limits).expect("audio data");
            let first = data.write();
            let (back, warnings) = AudioData::read(&first, "AudioData.dat", &limits).expect("what was written reads");
            prop_assert_eq!(warnings, []);
            data.version = back.version;
            same(&back, &data)?;
            prop_assert_eq!(back.write(), first);
        }
    }
}

// --------------------------------------------------------------------------------------------------------- whole songs

/// Tempo changes at quarter beats; the game's tempos.
fn tempo_changes() -> impl Strategy<Value = Vec<TempoEvent>> {
    let event = (0..400i32, 30.0..400.0f64);
    prop_oneof![1 => Just(Vec::new()), 2 => vec(event, 0..5)].prop_map(|mut events| {
        events.sort_by_key(|e| e.0);
        events.dedup_by_key(|e| e.0);
        let event = |(quarter, bpm)| TempoEvent { beat: f64::from(quarter) / 4.0, bpm, extra: Extra::default() };
        events.into_iter().map(event).collect()
    })
}

/// Regions that follow one another; now and then the first begins later.
fn audio_data() -> impl Strategy<Value = AudioData> {
    let start = prop_oneof![4 => Just(0), 1 => 1..90_000i32];
    (start, vec((1..60i32, 40.0..300.0f64), 1..4)).prop_map(|(start, parts)| {
        let (mut sample, mut beat, mut regions) = (start, 0.0, Vec::new());
        for (beats, bpm) in parts {
            let mut region = AudioRegion { start_sample: sample, start_beat: beat, ..AudioRegion::default() };
            beat += f64::from(beats);
            sample += (f64::from(beats) * 60.0 / bpm * 44_100.0).round() as i32;
            (region.end_sample, region.end_beat) = (sample, beat);
            regions.push(region);
        }
        AudioData {
            version: version(4, 0, 0),
            sample_count: sample,
            frequency_hz: 44_100,
            regions,
            ..AudioData::default()
        }
    })
}

fn song(major: u8) -> impl Strategy<Value = Song> {
    let difficulty = difficulty(Taste { major, common: false, rows: 3 });
    let level = (difficulty, proptest::option::weighted(0.1, tempo_changes()), 1.0..30.0f64);
    (vec(level, 1..4), tempo_changes(), audio_data(), 40.0..300.0f64, "[A-Za-z]{1,6}").prop_map(
        move |(levels, tempo, data, bpm, title)| {
            let levels = levels.into_iter().enumerate().map(|(i, (mut level, own, njs))| {
                level.tempo = if major == 4 { Vec::new() } else { own.unwrap_or_else(|| tempo.clone()) };
                let characteristic = if i == 0 { "Standard" } else { "Lawless" }.to_owned();
                let lightshow_file = if major == 4 { format!("Level{i}.lightshow.dat") } else { String::new() };
                let mappers = if major == 4 { vec!["mapper".into()] } else { Vec::new() };
                let (difficulty, rank) = RANKS[i];
                let file = format!("Level{i}.beatmap.dat");
                let info = DifficultyInfo {
                    characteristic,
                    difficulty: difficulty.into(),
                    rank,
                    file,
                    lightshow_file,
                    njs,
                    mappers,
                    color_scheme: -1,
                    ..DifficultyInfo::default()
                };
                Level { info, level: Ok(level), warnings: Vec::new() }
            });
            let info = Info {
                version: if major == 4 { version(4, 0, 1) } else { version(2, 1, 0) },
                title,
                mapper: "mapper".into(),
                bpm,
                audio_file: "song.egg".into(),
                preview_file: if major == 4 { "song.egg".into() } else { String::new() },
                audio_data_file: if major == 4 { "AudioData.dat".into() } else { String::new() },
                environment: if major == 4 { String::new() } else { "BTSEnvironment".into() },
                all_directions_environment: if major == 4 { String::new() } else { "GlassDesertEnvironment".into() },
                ..Info::default()
            };
            Song {
                info,
                levels: levels.collect(),
                audio_data: (major == 4).then_some(data),
                audio: None,
                audio_present: false,
                warnings: Vec::new(),
                hash: String::new(),
                key: [0; 32],
            }
        },
    )
}

/// The level hash by its definition: the Info, then the files in its order.
fn hash_of(files: &[(String, Vec<u8>)]) -> String {
    let bytes = |name: &str| files.iter().find(|f| f.0 == name).map_or(&[][..], |f| &f.1);
    let info: Value = serde_json::from_slice(bytes("Info.dat")).expect("Info");
    let mut names = Vec::new();
    if let Some(levels) = info["difficultyBeatmaps"].as_array() {
        names.push(info["audio"]["audioDataFilename"].clone());
        names
            .extend(levels.iter().flat_map(|l| [l["beatmapDataFilename"].clone(), l["lightshowDataFilename"].clone()]));
    } else {
        let sets = info["_difficultyBeatmapSets"].as_array().expect("sets");
        let levels = sets.iter().flat_map(|s| s["_difficultyBeatmaps"].as_array().expect("levels"));
        names.extend(levels.map(|l| l["_beatmapFilename"].clone()));
    }
    let mut hasher = Sha1::new();
    hasher.update(bytes("Info.dat"));
    names.iter().for_each(|name| hasher.update(bytes(name.as_str().expect("name"))));
    hasher.finalize().iter().map(|b| format!("{b:02x}")).collect()
}

fn ok(level: &Level) -> &Difficulty {
    level.level.as_ref().expect("level reads")
}

proptest! {
    #![proptest_config(config(128))]

    /// Every pair of versions: the same notes at the same seconds, every loss reported, hash as defined.
    #[test]
    fn songs_keep_their_notes_and_seconds(built in (2u8..=4).prop_flat_map(song), to in 2u8..=4) {
        let from = ok(&built.levels[0]).version.major;
        let (files, lost) = built.write(from).expect("writes");
        prop_assert_eq!(&lost, &vec![]);
        let source = read_song(&files);
        prop_assert_eq!(&source.hash, &hash_of(&files));
        for (a, b) in source.levels.iter().zip(&built.levels) {
            same(ok(a), ok(b))?;
            same(&a.info, &b.info)?;
        }
        let (files, lost) = source.write(to).expect("writes");
        prop_assert_eq!(&source.write(to).expect("writes"), &(files.clone(), lost.clone()));
        let song = read_song(&files);
        prop_assert_eq!(&song.hash, &hash_of(&files));
        prop_assert_eq!(song.levels.len(), source.levels.len());
        if from == to {
            prop_assert_eq!(&lost, &vec![]);
            prop_assert_eq!(song.hash, source.hash);
            return Ok(());
        }
        for (a, b) in song.levels.iter().zip(&source.levels) {
            let name = format!("{} {}", b.info.characteristic, b.info.difficulty);
            let told = |what: &str| lost.iter().any(|l| (l.0.is_empty() || l.0 == name) && l.1.what.starts_with(what));
            let (x, y) = (ok(a), ok(b));
            prop_assert_eq!(x.version.major, to);
            prop_assert_eq!((&a.info.file, a.info.njs), (&b.info.file, b.info.njs));
            if !told("notes of a colour") {
                let bare = |d: &Difficulty| bare(&unturned(d)).notes.into_iter().map(|n| Note { angle: 0, ..n }).collect::<Vec<_>>();
                same(&bare(x), &bare(y))?;
            }
            if !(told("tempo changes") || told("time of beat 0")) {
                let (now, before) = (song.clock(x).expect("clock"), source.clock(y).expect("clock"));
                for note in &y.notes {
                    // Sample positions are rounded; before beat 0 the first region's tempo is only as good as it is long.
                    let tolerance = if note.beat < 0.0 { 0.01 } else { 2.0 / 44_100.0 };
                    let (now, before) = (now.seconds(note.beat), before.seconds(note.beat));
                    prop_assert!((now - before).abs() < tolerance, "beat {}: {} for {}", note.beat, now, before);
                }
            }
        }
    }
}
