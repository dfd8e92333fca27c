//! A folder of packs → records, token shards and the store of songs: walk, read, filter, encode, hear; resumable, the same
//! bytes for any number of threads.
//!
//! A pack's shard follows from its path, so a run only touches the shards whose packs changed, and a shard is written
//! whole or not at all. Everything a later run needs to know stands in the shards themselves. A song is heard where its pack
//! is read, so as many are in memory as there are threads, and what is in the store already is not made again.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use crate::listen::Listener;
use crate::map::pack::Pack;
use crate::map::{Category, Difficulty, Level, Song, rank_of};
use crate::store::{self, Array};
use crate::timing::grid_offset;
use crate::tokens::{Content, Vocab, VocabSpec};
use crate::{Error, Limits, Result};

/// Changes whenever the shards' layout or meaning does.
const FORMAT: &str = "2";
/// Packs that one shard holds on average before their number is doubled.
const PACKS_PER_SHARD: usize = 256;
/// Shards of a small corpus.
const SHARDS_MIN: usize = 16;
const SHARDS_MAX: usize = 1 << 16;
/// Folders are searched this deep.
const DEPTH_MAX: usize = 16;

/// What is taken into the corpus: the JSON of Python's `ProcessConfig` without what cannot change a byte.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Spec {
    /// Easiest rank taken.
    pub min_difficulty: String,
    /// Game modes taken.
    pub characteristics: Vec<String>,
    /// Slowest tempo taken.
    pub min_bpm: f64,
    /// Fastest tempo taken.
    pub max_bpm: f64,
    /// Fewest onsets taken.
    pub min_notes: u64,
    /// Densest difficulty taken, in onsets per minute.
    pub max_onsets_per_min: f64,
    /// Shortest span of notes taken.
    pub min_seconds: f64,
    /// Largest share of walls among all objects taken.
    pub max_wall_share: f64,
    /// Take no difficulty that needs or suggests a mod.
    pub require_vanilla: bool,
    /// Shards to spread tokens over; 0 grows with the corpus.
    pub shards: usize,
}

impl Spec {
    /// Parses the canonical JSON of the config.
    ///
    /// # Errors
    /// [`Error::Spec`] naming the field.
    pub fn from_json(bytes: &[u8]) -> Result<Self> {
        let mut de = serde_json::Deserializer::from_slice(bytes);
        let spec: Self = serde_path_to_error::deserialize(&mut de)
            .map_err(|e| Error::Spec { field: e.path().to_string(), problem: e.inner().to_string() })?;
        if rank_of(&spec.min_difficulty).is_none() {
            let problem = format!("found {:?}, expected Easy, Normal, Hard, Expert or ExpertPlus", spec.min_difficulty);
            return Err(Error::Spec { field: "min_difficulty".into(), problem });
        }
        if spec.shards > SHARDS_MAX {
            let problem = format!("found {}, expected at most {SHARDS_MAX}", spec.shards);
            return Err(Error::Spec { field: "shards".into(), problem });
        }
        Ok(spec)
    }

    /// Identity of everything but the number of shards, which moves tokens and changes none.
    fn key(&self) -> Result<String> {
        let spec = Self { shards: 0, ..self.clone() };
        let bytes =
            serde_json::to_vec(&spec).map_err(|e| Error::Spec { field: "spec".into(), problem: e.to_string() })?;
        Ok(blake3::hash(&bytes).to_hex().to_string())
    }

    /// Why a level is left out, if it is.
    fn rejects(&self, song: &SongRecord, level: &LevelRecord) -> Option<&'static str> {
        let min_rank = rank_of(&self.min_difficulty).map_or(0, |r| r.1);
        let rank = rank_of(&level.difficulty).map_or(0, |r| r.1);
        let minutes = (level.last_note_s - level.first_note_s) / 60.0;
        let objects = level.notes + level.bombs + level.walls + level.arcs + level.chains;
        let reasons = [
            ("characteristic", !self.characteristics.contains(&level.characteristic)),
            ("difficulty", rank < min_rank),
            ("bpm", !(self.min_bpm..=self.max_bpm).contains(&song.bpm)),
            ("modded", self.require_vanilla && level.category != Category::Vanilla.as_str()),
            ("few-notes", level.onsets < self.min_notes),
            ("short", minutes * 60.0 < self.min_seconds),
            ("dense", level.onsets as f64 > self.max_onsets_per_min * minutes),
            ("walls", level.walls as f64 > self.max_wall_share * objects as f64),
        ];
        reasons.into_iter().find(|r| r.1).map(|r| r.0)
    }
}

/// A pack or level that could not be read.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Fault {
    /// Kind of error, as [`Error::kind`].
    pub kind: String,
    /// The sentence.
    pub message: String,
}

impl From<&Error> for Fault {
    fn from(e: &Error) -> Self {
        Self { kind: e.kind().to_owned(), message: e.to_string() }
    }
}

/// One pack of the corpus.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct PackRecord {
    /// Path below the corpus root, with `/`.
    pub path: String,
    /// Identity of an archive, for resuming; empty for a folder, where the content key serves.
    pub fingerprint: String,
    /// Why nothing of it could be read.
    pub fault: Option<Fault>,
    /// What its Info says.
    pub song: SongRecord,
    /// Its levels in file order.
    pub levels: Vec<LevelRecord>,
    /// Its sound; nothing if it has no audio file or none was wanted.
    pub sound: Option<SoundRecord>,
}

/// The sound of a pack.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct SoundRecord {
    /// Key of the song in the store; it is there unless there is a fault.
    pub key: String,
    /// Why it could not be heard.
    pub fault: Option<Fault>,
    /// Length.
    pub seconds: f64,
    /// Share of it in which nothing is heard.
    pub silent_share: f64,
}

/// What a pack's Info says, and identities.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct SongRecord {
    /// Content key, whatever the container.
    pub key: String,
    /// Level hash.
    pub hash: String,
    /// The same for every map of one song: hash of title and artist without case, spaces and signs.
    pub song: String,
    /// Title.
    pub title: String,
    /// Artist.
    pub artist: String,
    /// Mapper.
    pub mapper: String,
    /// Base tempo.
    pub bpm: f64,
    /// Version of the Info file.
    pub info_version: String,
    /// Audio file as named.
    pub audio_file: String,
    /// Whether it is there.
    pub audio_present: bool,
    /// Warnings of the Info and the pack.
    pub warnings: u64,
}

/// One level.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct LevelRecord {
    /// Game mode.
    pub characteristic: String,
    /// Difficulty name.
    pub difficulty: String,
    /// Level file.
    pub file: String,
    /// Why it could not be read.
    pub fault: Option<Fault>,
    /// Why it is left out of the tokens; empty when it is in.
    pub filter: String,
    /// Format version.
    pub version: String,
    /// By mods, see [`Category`].
    pub category: String,
    /// Mods it cannot be played without.
    pub requirements: Vec<String>,
    /// Mods it makes use of.
    pub suggestions: Vec<String>,
    /// Note jump speed.
    pub njs: f64,
    /// Offset of the half jump duration.
    pub spawn_offset_beats: f64,
    /// Beat of the level's axis on which the notes' own grid begins; the tokens' beats are counted from there.
    pub grid_offset_beats: f64,
    /// Tempo regions beyond the first.
    pub tempo_changes: u64,
    /// Notes.
    pub notes: u64,
    /// Distinct beats with a note.
    pub onsets: u64,
    /// Bombs.
    pub bombs: u64,
    /// Walls.
    pub walls: u64,
    /// Arcs.
    pub arcs: u64,
    /// Chains.
    pub chains: u64,
    /// Basic events, boosts and group lighting events.
    pub events: u64,
    /// Fake objects.
    pub fakes: u64,
    /// Time of the first note, 0 without notes.
    pub first_note_s: f64,
    /// Time of the last note, 0 without notes.
    pub last_note_s: f64,
    /// Notes per second between the first and the last.
    pub nps: f64,
    /// Tokens of the notes' vocabulary.
    pub tokens: u64,
    /// Tokens of the lights' vocabulary.
    pub light_tokens: u64,
    /// What the vocabularies could not say.
    pub out_of_vocabulary: BTreeMap<String, u64>,
    /// Warnings of its files.
    pub warnings: u64,
    /// Row of its tokens in its pack's shard, −1 without tokens.
    pub row: i64,
    /// How it lies to the sound; nothing without sound.
    pub sound: Option<LevelSound>,
}

/// How a level lies to its song's sound.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct LevelSound {
    /// Key of the song on this level's beat grid; empty for a level without tokens.
    pub grid: String,
    /// Slots of that grid. Slot `k` is beat `grid_offset_beats + k / slots_per_beat`, the tokens' beat `k / slots_per_beat`.
    pub slots: u64,
    /// Why the song could not be put on the level's beat grid.
    pub fault: Option<Fault>,
    /// Share of note onsets that sit on an onset of the sound.
    pub onset_share: f64,
    /// Median time of those notes after their onsets; nothing without any.
    pub offset_ms: Option<f64>,
    /// Whether the last note comes when the sound is over.
    pub audio_shorter_than_map: bool,
}

/// Progress of a run, and the wish to end it; shared between threads.
#[derive(Debug, Default)]
pub struct Watch {
    /// Packs found.
    pub total: AtomicU64,
    /// Packs done, those taken over from an earlier run included.
    pub done: AtomicU64,
    /// Set to end the run at the next pack.
    pub stop: AtomicBool,
}

/// What a run did.
#[derive(Debug)]
pub struct Outcome {
    /// Every pack, by path.
    pub packs: Vec<PackRecord>,
    /// Shard of every pack.
    pub shard_of: Vec<u32>,
    /// Number of shards.
    pub shards: usize,
    /// Packs that were taken over from an earlier run.
    pub reused: usize,
}

/// File name of a shard.
pub fn shard_name(index: usize, shards: usize) -> String {
    format!("shard-{index:05}-of-{shards:05}.safetensors")
}

fn parse_shard_name(name: &str) -> Option<(usize, usize)> {
    let (index, shards) = name.strip_prefix("shard-")?.strip_suffix(".safetensors")?.split_once("-of-")?;
    Some((index.parse().ok()?, shards.parse().ok()?))
}

/// Packs below `root` (itself, if it is one), by path: zips, and folders that hold an Info file.
///
/// # Errors
/// [`Error::Io`] when `root` cannot be read, [`Error::Map`] when there is no pack.
pub fn find_packs(root: &Path) -> Result<Vec<(String, PathBuf)>> {
    let meta = std::fs::metadata(root).map_err(Error::io(root))?;
    if meta.is_file() {
        let name = root.file_name().map_or_else(String::new, |n| n.to_string_lossy().into_owned());
        return Ok(vec![(name, root.to_path_buf())]);
    }
    let is_info = |name: &str| name.eq_ignore_ascii_case("info.dat") || name.eq_ignore_ascii_case("info.json");
    let mut folders: BTreeSet<PathBuf> = BTreeSet::new();
    let mut zips: Vec<PathBuf> = Vec::new();
    for entry in walkdir::WalkDir::new(root).max_depth(DEPTH_MAX) {
        let entry = match entry {
            Ok(entry) => entry,
            // A folder that may not be read holds no packs for us; the root itself was read above.
            Err(_) => continue,
        };
        if !entry.file_type().is_file() {
            continue;
        }
        let name = entry.file_name().to_string_lossy();
        if is_info(&name) {
            folders.insert(entry.path().parent().unwrap_or(root).to_path_buf());
        } else if name.to_ascii_lowercase().ends_with(".zip") {
            zips.push(entry.into_path());
        }
    }
    // What lies inside of a pack's folder (autosaves, backups, the zip it came from) is part of it.
    let inside = |path: &Path| path.ancestors().skip(1).any(|a| folders.contains(a));
    let mut packs: Vec<(String, PathBuf)> = folders
        .iter()
        .filter(|f| !inside(f))
        .cloned()
        .chain(zips.into_iter().filter(|z| !inside(z)))
        .map(|path| {
            let below = path.strip_prefix(root).unwrap_or(&path);
            let parts: Vec<_> = below.components().map(|c| c.as_os_str().to_string_lossy()).collect();
            (if parts.is_empty() { ".".to_owned() } else { parts.join("/") }, path.clone())
        })
        .collect();
    packs.sort();
    if packs.is_empty() {
        let problem = "found no level in this folder, expected zips or folders with an Info.dat".into();
        return Err(Error::Map { place: crate::Place::file(root.to_string_lossy()), problem });
    }
    Ok(packs)
}

fn shards_for(packs: usize, wanted: usize) -> usize {
    if wanted > 0 {
        return wanted;
    }
    packs.div_ceil(PACKS_PER_SHARD).next_power_of_two().clamp(SHARDS_MIN, SHARDS_MAX)
}

fn bucket(path: &str) -> u64 {
    let hash = blake3::hash(path.as_bytes());
    let mut first = [0; 8];
    first.copy_from_slice(&hash.as_bytes()[..8]);
    u64::from_le_bytes(first)
}

/// One pack as a run produces it or an earlier run left it.
#[derive(Clone)]
struct Item {
    record: PackRecord,
    /// Tokens and light tokens of each level that has a row.
    tokens: Vec<(Vec<u16>, Vec<u16>)>,
}

/// Reads, filters and encodes every pack below `root` into shards in `out`; what is there already and still true is kept.
/// With `audio`, the canonical JSON of Python's `AudioConfig`, their songs are heard as well.
///
/// Uses the rayon pool it is called in. The bytes written do not depend on the number of threads, nor on how often the
/// run was interrupted.
///
/// # Errors
/// [`Error::Spec`] for `audio`, [`Error::Io`] and [`Error::Store`] for `out`, [`Error::Map`] when there is no pack, [`Error::Cancelled`] when
/// [`Watch::stop`] was set. A pack that cannot be read is a record with a fault.
pub fn process(
    root: &Path,
    out: &Path,
    spec: &Spec,
    audio: Option<&[u8]>,
    limits: &Limits,
    watch: &Watch,
) -> Result<Outcome> {
    let packs = find_packs(root)?;
    watch.total.store(packs.len() as u64, Ordering::Relaxed);
    let folder = out.join("tokens");
    std::fs::create_dir_all(&folder).map_err(Error::io(&folder))?;
    let shards = shards_for(packs.len(), spec.shards);
    let encoder = Encoder {
        spec,
        limits,
        notes: Vocab::new(&VocabSpec::new(Content::Full))?,
        lights: Vocab::new(&VocabSpec::new(Content::Lights))?,
        listener: audio.map(|spec_json| Listener::open(out, spec_json)).transpose()?,
    };
    let meta = [
        ("format", FORMAT.to_owned()),
        ("spec", spec.key()?),
        ("audio", audio.map_or_else(String::new, |spec_json| blake3::hash(spec_json).to_hex().to_string())),
        ("vocab", encoder.notes.hash().to_owned()),
        ("light_vocab", encoder.lights.hash().to_owned()),
    ];
    let old = Earlier::find(&folder, &meta)?;
    let mut by_shard: Vec<Vec<usize>> = vec![Vec::new(); shards];
    for (i, (path, _)) in packs.iter().enumerate() {
        by_shard[(bucket(path) % shards as u64) as usize].push(i);
    }
    let run = Run { packs: &packs, encoder: &encoder, old: &old, meta: &meta, folder: &folder, shards, watch };
    // Shards side by side: while one is written the others are read.
    let done: Vec<ShardDone> = by_shard.par_iter().enumerate().map(|(i, m)| run.shard(i, m)).collect::<Result<_>>()?;
    let mut records: Vec<Option<PackRecord>> = vec![None; packs.len()];
    let mut shard_of = vec![0; packs.len()];
    let mut reused = 0;
    for (shard, (members, done)) in by_shard.iter().zip(done).enumerate() {
        reused += done.reused;
        for (&i, record) in members.iter().zip(done.records) {
            shard_of[i] = shard as u32;
            records[i] = Some(record);
        }
    }
    old.remove_others(&folder, shards)?;
    let mut packs: Vec<PackRecord> = records.into_iter().flatten().collect();
    mark_duplicates(&mut packs);
    Ok(Outcome { packs, shard_of, shards, reused })
}

/// What all shards of one run share.
struct Run<'a> {
    packs: &'a [(String, PathBuf)],
    encoder: &'a Encoder<'a>,
    old: &'a Earlier,
    meta: &'a [(&'a str, String)],
    folder: &'a Path,
    shards: usize,
    watch: &'a Watch,
}

/// The packs of one shard, in its order.
struct ShardDone {
    records: Vec<PackRecord>,
    reused: usize,
}

impl Run<'_> {
    /// Reads the packs `members`, or takes them over, and writes their shard if it is not there as it should be.
    fn shard(&self, shard: usize, members: &[usize]) -> Result<ShardDone> {
        let known = self.old.items(members.iter().map(|&i| self.packs[i].0.as_str()), self.shards)?;
        let items: Vec<(Item, bool)> = members
            .par_iter()
            .map(|&i| {
                if self.watch.stop.load(Ordering::Relaxed) {
                    return Err(Error::Cancelled);
                }
                let (path, file) = &self.packs[i];
                let item = self.encoder.pack(path, file, known.get(path.as_str()))?;
                self.watch.done.fetch_add(1, Ordering::Relaxed);
                Ok(item)
            })
            .collect::<Result<_>>()?;
        let reused = items.iter().filter(|i| i.1).count();
        let mut items: Vec<Item> = items.into_iter().map(|i| i.0).collect();
        number_rows(&mut items);
        if reused < items.len() || !self.old.is_whole(shard, self.shards, items.len(), &known) {
            let path = self.folder.join(shard_name(shard, self.shards));
            store::write_atomic(&path, &shard_of_items(&items, self.meta)?)?;
        }
        Ok(ShardDone { records: items.into_iter().map(|item| item.record).collect(), reused })
    }
}

/// Tells every level which row of the shard holds its tokens.
fn number_rows(items: &mut [Item]) {
    let levels = items.iter_mut().flat_map(|i| &mut i.record.levels).filter(|l| l.row >= 0);
    for (row, level) in levels.enumerate() {
        level.row = row as i64;
    }
}

/// Of several packs with the same content only the first by path counts.
fn mark_duplicates(packs: &mut [PackRecord]) {
    let mut seen: BTreeSet<String> = BTreeSet::new();
    for pack in packs {
        if pack.fault.is_none() && !seen.insert(pack.song.key.clone()) {
            for level in &mut pack.levels {
                level.filter = "duplicate".into();
            }
        }
    }
}

fn shard_of_items(items: &[Item], meta: &[(&str, String)]) -> Result<Vec<u8>> {
    let (mut tokens, mut lights) = (Vec::new(), Vec::new());
    let (mut offsets, mut light_offsets, mut song) = (vec![0i64], vec![0i64], Vec::new());
    let mut lines = Vec::new();
    for (i, item) in items.iter().enumerate() {
        for (notes, light) in &item.tokens {
            tokens.extend_from_slice(notes);
            lights.extend_from_slice(light);
            offsets.push(tokens.len() as i64);
            light_offsets.push(lights.len() as i64);
            song.push(i as u32);
        }
        serde_json::to_writer(&mut lines, &item.record)
            .map_err(|e| Error::Store { key: item.record.path.clone(), problem: e.to_string() })?;
        lines.push(b'\n');
    }
    store::shard_bytes(
        &[
            ("light_offsets", Array::I64(light_offsets)),
            ("light_tokens", Array::U16(lights)),
            ("offsets", Array::I64(offsets)),
            ("packs", Array::U8(lines)),
            ("song", Array::U32(song)),
            ("tokens", Array::U16(tokens)),
        ],
        meta,
    )
}

/// Shards that an earlier run left, of any number; damaged ones and those of other settings count as absent.
struct Earlier {
    folder: PathBuf,
    meta: HashMap<String, String>,
    /// Indices by number of shards.
    found: BTreeMap<usize, BTreeSet<usize>>,
}

impl Earlier {
    fn find(folder: &Path, meta: &[(&str, String)]) -> Result<Self> {
        let mut found: BTreeMap<usize, BTreeSet<usize>> = BTreeMap::new();
        for entry in std::fs::read_dir(folder).map_err(Error::io(folder))? {
            let entry = entry.map_err(Error::io(folder))?;
            let name = entry.file_name().to_string_lossy().into_owned();
            if let Some((index, shards)) = parse_shard_name(&name) {
                found.entry(shards).or_default().insert(index);
            } else if name.starts_with(".beatweaver-") {
                // Left by a run that was killed while writing.
                std::fs::remove_file(entry.path()).map_err(Error::io(entry.path()))?;
            }
        }
        let meta = meta.iter().map(|(k, v)| ((*k).to_owned(), v.clone())).collect();
        Ok(Self { folder: folder.to_path_buf(), meta, found })
    }

    fn load(&self, index: usize, shards: usize) -> Option<Vec<Item>> {
        let name = shard_name(index, shards);
        let bytes = std::fs::read(self.folder.join(&name)).ok()?;
        let (arrays, meta) = store::read_shard(&bytes, &name).ok()?;
        if meta != self.meta {
            return None;
        }
        let (Array::U16(tokens), Array::U16(lights)) = (arrays.get("tokens")?, arrays.get("light_tokens")?) else {
            return None;
        };
        let (Array::I64(offsets), Array::I64(light_offsets)) = (arrays.get("offsets")?, arrays.get("light_offsets")?)
        else {
            return None;
        };
        let Array::U8(lines) = arrays.get("packs")? else { return None };
        let mut items = Vec::new();
        let mut row = 0;
        let slice = |all: &[u16], offsets: &[i64], row: usize| {
            let (from, to) = (usize::try_from(*offsets.get(row)?).ok()?, usize::try_from(*offsets.get(row + 1)?).ok()?);
            all.get(from..to).map(<[u16]>::to_vec)
        };
        for line in lines.split(|&b| b == b'\n').filter(|l| !l.is_empty()) {
            let record: PackRecord = serde_json::from_slice(line).ok()?;
            let mut rows = Vec::new();
            for level in record.levels.iter().filter(|l| l.row >= 0) {
                if level.row != row as i64 {
                    return None;
                }
                rows.push((slice(tokens, offsets, row)?, slice(lights, light_offsets, row)?));
                row += 1;
            }
            items.push(Item { record, tokens: rows });
        }
        Some(items)
    }

    /// What earlier runs know of these paths; shards of the present number win.
    fn items<'a>(&self, paths: impl Iterator<Item = &'a str>, shards: usize) -> Result<HashMap<String, Item>> {
        let mut wanted: BTreeMap<(bool, usize, usize), ()> = BTreeMap::new();
        for path in paths {
            for &count in self.found.keys().filter(|c| **c > 0) {
                wanted.insert((count == shards, count, (bucket(path) % count as u64) as usize), ());
            }
        }
        let mut items = HashMap::new();
        // The present number comes last and overwrites.
        for (_, count, index) in wanted.into_keys() {
            if self.found.get(&count).is_some_and(|f| f.contains(&index)) {
                for item in self.load(index, count).into_iter().flatten() {
                    items.insert(item.record.path.clone(), item);
                }
            }
        }
        Ok(items)
    }

    /// Whether the shard on disk holds exactly `packs` packs, all of them known.
    fn is_whole(&self, index: usize, shards: usize, packs: usize, known: &HashMap<String, Item>) -> bool {
        self.found.get(&shards).is_some_and(|f| f.contains(&index))
            && self.found.len() == 1
            && known.len() == packs
            // That nothing is known of no packs says nothing about the shard.
            && (packs > 0 || self.load(index, shards).is_some())
    }

    /// Deletes shards of other numbers, whose packs have all found their place.
    fn remove_others(&self, folder: &Path, shards: usize) -> Result<()> {
        for (&count, indices) in self.found.iter().filter(|f| *f.0 != shards) {
            for &index in indices {
                let path = folder.join(shard_name(index, count));
                std::fs::remove_file(&path).map_err(Error::io(&path))?;
            }
        }
        Ok(())
    }
}

impl Item {
    fn broken(record: PackRecord, error: &Error) -> Self {
        Self { record: PackRecord { fault: Some(Fault::from(error)), ..record }, tokens: Vec::new() }
    }
}

/// What went wrong with a song, unless it is a fault of the store, which ends the run.
fn fault_of_song<T>(result: Result<T>) -> Result<std::result::Result<T, Fault>> {
    match result {
        Ok(value) => Ok(Ok(value)),
        Err(error @ (Error::Io { .. } | Error::Store { .. })) => Err(error),
        Err(error) => Ok(Err(Fault::from(&error))),
    }
}

/// Hears a pack's song and holds its levels against it.
fn hear(listener: &Listener, pack: &Pack, song: &Song, record: &mut PackRecord) -> Result<()> {
    if !song.audio_present {
        return Ok(());
    }
    let name = &song.info.audio_file;
    let bytes = match pack.read(name) {
        Ok(bytes) => bytes,
        Err(error) => {
            record.sound = Some(SoundRecord { fault: Some(Fault::from(&error)), ..SoundRecord::default() });
            return Ok(());
        }
    };
    let heard = match fault_of_song(listener.hear(name, &bytes))? {
        Ok(heard) => heard,
        Err(fault) => {
            let key = listener.key(&bytes);
            record.sound = Some(SoundRecord { key, fault: Some(fault), ..SoundRecord::default() });
            return Ok(());
        }
    };
    for (level, d) in record.levels.iter_mut().zip(&song.levels) {
        let Some(d) = d.level.as_ref().ok().filter(|_| level.fault.is_none()) else { continue };
        // Its record was measured by this clock.
        let Ok(clock) = song.clock(d) else { continue };
        let notes_s: Vec<f64> =
            d.notes.chunk_by(|a, b| a.beat == b.beat).map(|onset| clock.seconds(onset[0].beat)).collect();
        let agreement = heard.agreement(&notes_s);
        let mut sound = LevelSound {
            onset_share: agreement.onset_share,
            offset_ms: agreement.offset_ms,
            audio_shorter_than_map: level.last_note_s > heard.seconds,
            ..LevelSound::default()
        };
        if level.row >= 0 {
            match fault_of_song(listener.grid(&heard, &clock, level.grid_offset_beats))? {
                Ok((grid, slots)) => (sound.grid, sound.slots) = (grid, slots),
                Err(fault) => sound.fault = Some(fault),
            }
        }
        level.sound = Some(sound);
    }
    record.sound =
        Some(SoundRecord { key: heard.key, fault: None, seconds: heard.seconds, silent_share: heard.silent_share });
    Ok(())
}

struct Encoder<'a> {
    spec: &'a Spec,
    limits: &'a Limits,
    notes: Vocab,
    lights: Vocab,
    listener: Option<Listener>,
}

impl Encoder<'_> {
    /// The pack, and whether it was taken over as `known` has it. Fails only where the store does.
    fn pack(&self, path: &str, file: &Path, known: Option<&Item>) -> Result<(Item, bool)> {
        let mut record = PackRecord { path: path.to_owned(), ..PackRecord::default() };
        let mut tokens = Vec::new();
        let read = (|| {
            let pack = Pack::open(file, self.limits)?;
            // The directory of an archive has checksums; a folder's files have to be read, so there the content key serves.
            if pack.archive_bytes().is_some() {
                record.fingerprint = hex(&pack.fingerprint()?);
                if known.is_some_and(|k| k.record.fingerprint == record.fingerprint) {
                    return Ok((pack, None));
                }
            } else if let Some(known) = known
                && let Ok((key, audio)) = Song::identity(&pack, self.limits)
                && (known.record.song.key == hex(&key) && known.record.song.audio_present == audio)
                && self.sounds_as_before(&pack, &known.record)
            {
                return Ok((pack, None));
            }
            let song = Song::read_maps(&pack, self.limits)?;
            Ok((pack, Some(song)))
        })();
        let (pack, song) = match read {
            Ok((pack, Some(song))) => (pack, song),
            Ok((pack, None)) => match known {
                Some(known) if self.is_heard(&known.record)? => return Ok((known.clone(), true)),
                // Its songs are gone from the store.
                _ => match Song::read_maps(&pack, self.limits) {
                    Ok(song) => (pack, song),
                    Err(error) => return Ok((Item::broken(record, &error), false)),
                },
            },
            Err(error) => return Ok((Item::broken(record, &error), false)),
        };
        record.song = SongRecord::of(&song);
        for level in &song.levels {
            let (level, encoded) = self.level(&song, &record.song, level);
            tokens.extend(encoded);
            record.levels.push(level);
        }
        if let Some(listener) = &self.listener {
            hear(listener, &pack, &song, &mut record)?;
        }
        Ok((Item { record, tokens }, false))
    }

    /// Whether the audio file of a folder is the one that was heard.
    fn sounds_as_before(&self, pack: &Pack, known: &PackRecord) -> bool {
        match (&self.listener, &known.sound) {
            (Some(listener), Some(sound)) => {
                pack.read(&known.song.audio_file).is_ok_and(|bytes| listener.key(&bytes) == sound.key)
            }
            _ => true,
        }
    }

    /// Whether all that was heard of a pack is in the store.
    fn is_heard(&self, known: &PackRecord) -> Result<bool> {
        match (&self.listener, &known.sound) {
            (Some(listener), Some(sound)) if sound.fault.is_none() => {
                let grids =
                    known.levels.iter().filter_map(|level| level.sound.as_ref()).map(|level| level.grid.as_str());
                listener.knows(&sound.key, grids.filter(|grid| !grid.is_empty()))
            }
            _ => Ok(true),
        }
    }

    #[allow(clippy::type_complexity)]
    fn level(&self, song: &Song, of: &SongRecord, level: &Level) -> (LevelRecord, Option<(Vec<u16>, Vec<u16>)>) {
        let mut record = LevelRecord {
            characteristic: level.info.characteristic.clone(),
            difficulty: level.info.difficulty.clone(),
            file: level.info.file.clone(),
            requirements: level.info.requirements(),
            suggestions: level.info.suggestions(),
            njs: level.info.njs,
            spawn_offset_beats: level.info.spawn_offset_beats,
            warnings: level.warnings.iter().map(|w| w.count).sum(),
            row: -1,
            ..LevelRecord::default()
        };
        let d = match level.level.as_ref().map_err(Fault::from).and_then(|d| {
            record.measure(song, level, d).map_err(|e| Fault::from(&e))?;
            Ok(d)
        }) {
            Ok(d) => d,
            Err(fault) => {
                record.fault = Some(fault);
                record.filter = "broken".into();
                return (record, None);
            }
        };
        if let Some(reason) = self.spec.rejects(of, &record) {
            record.filter = reason.into();
            return (record, None);
        }
        let rank = rank_of(&record.difficulty).map_or(9, |r| r.1);
        let shifted = (record.grid_offset_beats > 0.0).then(|| d.shifted(-record.grid_offset_beats));
        let d = shifted.as_ref().unwrap_or(d);
        let notes = self.notes.encode(d, rank, 0.0, f64::INFINITY);
        let lights = self.lights.encode(d, rank, 0.0, f64::INFINITY);
        for encoded in [&notes, &lights] {
            let outside = (encoded.outside > 0).then_some((&"before-start", &encoded.outside));
            for (what, count) in encoded.out_of_vocabulary.iter().chain(&encoded.rounded).chain(outside) {
                *record.out_of_vocabulary.entry((*what).to_owned()).or_default() += count;
            }
        }
        record.tokens = notes.tokens.len() as u64;
        record.light_tokens = lights.tokens.len() as u64;
        record.row = 0;
        (record, Some((notes.tokens, lights.tokens)))
    }
}

impl SongRecord {
    fn of(song: &Song) -> Self {
        let info = &song.info;
        Self {
            key: hex(&song.key),
            hash: song.hash.clone(),
            song: song_id(&info.title, &info.artist),
            title: info.title.clone(),
            artist: info.artist.clone(),
            mapper: info.mapper.clone(),
            bpm: info.bpm,
            info_version: info.version.to_string(),
            audio_file: info.audio_file.clone(),
            audio_present: song.audio_present,
            warnings: song.warnings.iter().map(|w| w.count).sum(),
        }
    }
}

impl LevelRecord {
    fn measure(&mut self, song: &Song, level: &Level, d: &Difficulty) -> Result<()> {
        let clock = song.clock(d)?;
        let stats = d.stats(&clock);
        self.version = d.version.to_string();
        self.category = level.category().as_str().to_owned();
        self.tempo_changes = clock.regions().len() as u64 - 1;
        let beats: Vec<f64> = d.notes.iter().map(|n| n.beat).collect();
        self.grid_offset_beats = grid_offset(&beats);
        self.notes = d.notes.len() as u64;
        self.onsets = stats.onsets;
        self.bombs = d.bombs.len() as u64;
        self.walls = d.obstacles.len() as u64;
        self.arcs = d.arcs.len() as u64;
        self.chains = d.chains.len() as u64;
        self.events = stats.events;
        self.fakes = stats.fakes;
        self.first_note_s = stats.first_note_s.unwrap_or(0.0);
        self.last_note_s = stats.last_note_s.unwrap_or(0.0);
        self.nps = stats.nps;
        Ok(())
    }
}

/// The same for every spelling of one song: letters and digits of title and artist in lower case.
pub fn song_id(title: &str, artist: &str) -> String {
    let plain =
        |text: &str| text.chars().filter(|c| c.is_alphanumeric()).flat_map(char::to_lowercase).collect::<String>();
    hex(&blake3::hash(format!("{}\0{}", plain(title), plain(artist)).as_bytes()).as_bytes()[..16])
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}
