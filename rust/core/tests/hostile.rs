//! Any bytes, and valid files with damage: reading ends, without a panic, and what was read can be written again.

mod common;

use std::path::Path;

use beatweaver_core::map::{AudioData, AudioRegion};
use beatweaver_core::replay::{check_audio, check_features, check_info, check_level, check_pack, check_tags};
use common::{Taste, config, difficulty, zip};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::{Index, select};

/// What is put in the place of a part of a file.
const TOKENS: [&str; 26] = [
    "null",
    "true",
    "{}",
    "[]",
    "[",
    "]",
    "{",
    "}",
    ",",
    ":",
    "\"",
    "\\",
    "-1",
    "0",
    "1e999",
    "-1e-999",
    "1e308",
    "2147483648",
    "99999999999999999999",
    "0.1",
    "\"\\ud800\"",
    "\"x\"",
    "\"7\"",
    "\u{feff}",
    "//",
    "/*",
];

#[derive(Clone, Debug)]
enum Damage {
    Flip(Index, u8),
    Cut(Index),
    Drop(Index, u8),
    Repeat(Index, u8),
    Swap(Index, Index),
    Token(Index, &'static str),
}

fn damage() -> impl Strategy<Value = Damage> {
    prop_oneof![
        1 => (any::<Index>(), 0..8u8).prop_map(|(i, bit)| Damage::Flip(i, bit)),
        1 => any::<Index>().prop_map(Damage::Cut),
        1 => (any::<Index>(), any::<u8>()).prop_map(|(i, n)| Damage::Drop(i, n)),
        1 => (any::<Index>(), any::<u8>()).prop_map(|(i, n)| Damage::Repeat(i, n)),
        3 => (any::<Index>(), any::<Index>()).prop_map(|(i, j)| Damage::Swap(i, j)),
        6 => (any::<Index>(), select(TOKENS.to_vec())).prop_map(|(i, t)| Damage::Token(i, t)),
    ]
}

/// Parts of a JSON text: runs of letters, digits and the like, and everything else one by one.
fn parts(text: &[u8]) -> Vec<std::ops::Range<usize>> {
    let word = |b: u8| b.is_ascii_alphanumeric() || b"_.-+".contains(&b);
    let mut parts: Vec<std::ops::Range<usize>> = Vec::new();
    for (i, &b) in text.iter().enumerate() {
        match parts.last_mut() {
            Some(last) if word(b) && last.end == i && word(text[i - 1]) => last.end = i + 1,
            _ => parts.push(i..i + 1),
        }
    }
    parts
}

fn damaged(mut bytes: Vec<u8>, damage: &[Damage]) -> Vec<u8> {
    for one in damage {
        if bytes.is_empty() {
            break;
        }
        let len = bytes.len();
        match *one {
            Damage::Flip(i, bit) => bytes[i.index(len)] ^= 1 << bit,
            Damage::Cut(i) => bytes.truncate(i.index(len)),
            Damage::Drop(i, n) => drop(bytes.drain(i.index(len)..(i.index(len) + usize::from(n)).min(len))),
            Damage::Repeat(i, n) => {
                let part = bytes[i.index(len)..(i.index(len) + usize::from(n)).min(len)].to_vec();
                bytes.splice(i.index(len)..i.index(len), part);
            }
            Damage::Swap(i, j) => {
                let parts = parts(&bytes);
                let (a, b) = (parts[i.index(parts.len())].clone(), parts[j.index(parts.len())].clone());
                let (a, b) = if a.start <= b.start { (a, b) } else { (b, a) };
                let (first, second) = (bytes[a.clone()].to_vec(), bytes[b.clone()].to_vec());
                if a != b {
                    bytes.splice(b, first);
                    bytes.splice(a, second);
                }
            }
            Damage::Token(i, token) => {
                let parts = parts(&bytes);
                bytes.splice(parts[i.index(parts.len())].clone(), token.bytes());
            }
        }
    }
    bytes
}

/// The files of one level, by version.
fn level_files() -> impl Strategy<Value = Vec<Vec<u8>>> {
    (2u8..=4).prop_flat_map(|major| {
        difficulty(Taste { major, common: false, rows: 3 }).prop_map(move |d| {
            let (level, lights, _) = d.write(major).expect("writes");
            [Some(level), lights].into_iter().flatten().collect()
        })
    })
}

const INFO_V1: &str = r#"{"songName":"Own","authorName":"me","beatsPerMinute":128,"difficultyLevels":[{"difficulty":"Expert","difficultyRank":4,"audioPath":"song.ogg","jsonPath":"Level.dat"}]}"#;
const INFO_V2: &str = r#"{"_version":"2.1.0","_songName":"Own","_beatsPerMinute":120,"_songFilename":"song.egg","_environmentNames":["A"],"_colorSchemes":[{"useOverride":true,"colorScheme":{"colorSchemeId":"x","saberAColor":{"r":1,"g":0.5,"b":0,"a":1}}}],"_difficultyBeatmapSets":[{"_beatmapCharacteristicName":"Standard","_difficultyBeatmaps":[{"_difficulty":"Easy","_difficultyRank":1,"_beatmapFilename":"Level.dat","_noteJumpMovementSpeed":10,"_noteJumpStartBeatOffset":0,"_beatmapColorSchemeIdx":0,"_environmentNameIdx":0,"_customData":{"_requirements":["Chroma"]}}]}],"_customData":{"_contributors":[]}}"#;
const INFO_V4: &str = r#"{"version":"4.0.1","song":{"title":"Own","subTitle":"","author":"me"},"audio":{"songFilename":"song.egg","songDuration":10,"audioDataFilename":"AudioData.dat","bpm":120,"lufs":0,"previewStartTime":1,"previewDuration":2},"songPreviewFilename":"song.egg","coverImageFilename":"","environmentNames":["A"],"colorSchemes":[{"colorSchemeName":"x","overrideNotes":true,"saberAColor":"FF8800FF"}],"difficultyBeatmaps":[{"characteristic":"Standard","difficulty":"Easy","beatmapAuthors":{"mappers":["me"],"lighters":[]},"environmentNameIdx":0,"beatmapColorSchemeIdx":0,"noteJumpMovementSpeed":10,"noteJumpStartBeatOffset":0,"beatmapDataFilename":"Level.dat","lightshowDataFilename":"Lights.dat"}]}"#;

fn audio_data() -> Vec<u8> {
    let region = |start_sample, end_sample, start_beat, end_beat| AudioRegion {
        start_sample,
        end_sample,
        start_beat,
        end_beat,
        ..AudioRegion::default()
    };
    let regions = vec![region(0, 44_100, 0.0, 2.0), region(44_100, 441_000, 2.0, 15.0)];
    AudioData { sample_count: 441_000, frequency_hz: 44_100, regions, ..AudioData::default() }.write()
}

fn info_file() -> impl Strategy<Value = Vec<u8>> {
    select(vec![INFO_V1.into(), INFO_V2.into(), INFO_V4.into(), audio_data()])
}

proptest! {
    #![proptest_config(config(512))]

    #[test]
    fn any_bytes(bytes in vec(any::<u8>(), 0..200), text in ".{0,80}") {
        for bytes in [&bytes[..], text.as_bytes(), &[b"PK\x03\x04", &bytes[..]].concat(), &[b"\x1F\x8B", &bytes[..]].concat()] {
            check_level(bytes);
            check_info(bytes);
            check_pack(bytes);
        }
    }

    #[test]
    fn damaged_levels(files in level_files(), damage in vec(damage(), 1..6)) {
        for file in files {
            check_level(&damaged(file, &damage));
        }
    }

    #[test]
    fn damaged_info_files(file in info_file(), damage in vec(damage(), 1..6)) {
        check_info(&damaged(file, &damage));
    }

    /// Damage to the files inside a sound zip, and to the zip.
    #[test]
    fn damaged_packs(
        info in select(vec![INFO_V1, INFO_V2, INFO_V4]),
        files in level_files(),
        inside in vec(damage(), 0..4),
        outside in vec(damage(), 0..2),
    ) {
        let mut pack = vec![("Info.dat".to_owned(), damaged(info.into(), &inside[..inside.len() / 2]))];
        for (name, file) in ["Level.dat", "Lights.dat"].into_iter().zip(files) {
            pack.push((name.to_owned(), damaged(file, &inside)));
        }
        pack.push(("AudioData.dat".to_owned(), damaged(audio_data(), &inside)));
        check_pack(&damaged(zip(&pack), &outside));
    }
}

/// A file of `tests/<folder>`, each for what it is.
fn files(folders: &[&str]) -> Vec<Vec<u8>> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests");
    let mut paths: Vec<_> = folders
        .iter()
        .flat_map(|folder| std::fs::read_dir(root.join(folder)).expect("folder of files"))
        .map(|entry| entry.expect("entry").path())
        .collect();
    paths.sort();
    paths.iter().map(|path| std::fs::read(path).expect("file")).collect()
}

proptest! {
    #![proptest_config(config(128))]

    #[test]
    fn damaged_sound(
        file in select(files(&["golden/audio", "corpus/audio", "corpus/tags"])),
        damage in vec(damage(), 1..6),
    ) {
        let bytes = damaged(file, &damage);
        check_audio(&bytes);
        check_tags(&bytes);
    }

    /// Features are numbers whatever the samples are: any bits, and those that break sums most often.
    #[test]
    fn features_of_any_bits(
        sizes in any::<[u8; 2]>(),
        words in vec(
            prop_oneof![
                any::<u32>(),
                select(vec![f32::NAN, f32::INFINITY, f32::NEG_INFINITY, f32::MAX, f32::MIN, f32::MIN_POSITIVE, 1e-42, -0.0, 1.0])
                    .prop_map(f32::to_bits),
            ],
            0..6_000,
        ),
        repeat in 1..4_usize,
    ) {
        let samples = words.iter().flat_map(|word| word.to_le_bytes().repeat(repeat));
        check_features(&sizes.into_iter().chain(samples).collect::<Vec<_>>());
    }
}

/// Every file that a fuzzer stumbled over, and a few to begin with.
#[test]
fn replay() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/corpus");
    let mut count = 0;
    let targets = [
        ("level", check_level as fn(&[u8])),
        ("info", check_info),
        ("pack", check_pack),
        ("audio", check_audio),
        ("tags", check_tags),
        ("features", check_features),
    ];
    for (folder, check) in targets {
        for entry in std::fs::read_dir(root.join(folder)).expect("folder of the target") {
            check(&std::fs::read(entry.expect("entry").path()).expect("file"));
            count += 1;
        }
    }
    for entry in std::fs::read_dir(root.join("../golden/oddities")).expect("odd files") {
        let bytes = std::fs::read(entry.expect("entry").path()).expect("file");
        check_level(&bytes);
        check_info(&bytes);
        count += 1;
    }
    for entry in std::fs::read_dir(root.join("../golden/audio")).expect("sound files") {
        let bytes = std::fs::read(entry.expect("entry").path()).expect("file");
        check_audio(&bytes);
        check_tags(&bytes);
        count += 1;
    }
    assert!(count > 60, "{count} files");
}
