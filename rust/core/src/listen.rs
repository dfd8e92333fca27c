//! A song's file → its features in the store, once, and on each beat grid that its levels use; and how notes and sound agree.

use std::collections::BTreeMap;
use std::path::Path;

use half::f16;
use half::slice::HalfFloatSliceExt;

use crate::audio::{DecodeOptions, Source, decode};
use crate::features::{Extractor, FeatureSpec, Features, onset_times_s, silent_share, to_slots};
use crate::store::{Entry, Store, Tensor, Values};
use crate::timing::{TempoMap, align};
use crate::{Error, Result};

/// Folder of the features, by song.
const FRAMES: &str = "features";
/// Folder of the features on beat grids, by song and grid.
const SLOTS: &str = "slots";
/// A note sits on an onset of the sound that is this near: half a slot at 55 BPM, and what frames of 23 ms can tell.
const TOLERANCE_S: f64 = 0.045;

/// Hears songs; one for all threads. Holds two stores: `features/` and `slots/`.
pub struct Listener {
    frames: Store,
    slots: Store,
    extractor: Extractor,
    spec_json: Vec<u8>,
}

/// A song that is in the store.
#[derive(Debug)]
pub struct Heard {
    /// Its key there.
    pub key: String,
    /// Length of the sound.
    pub seconds: f64,
    /// Share of the sound in which nothing is heard, see [`silent_share`].
    pub silent_share: f64,
    onsets_s: Vec<f64>,
    entry: Entry,
}

/// How a level's notes lie to the sound.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Agreement {
    /// Share of note onsets that have an onset of the sound of their own within 45 ms.
    pub onset_share: f64,
    /// Median time of those notes after their onsets, in milliseconds; none without such notes.
    pub offset_ms: Option<f64>,
}

impl Listener {
    /// A listener that stores below `root`. `spec_json` is the canonical JSON of Python's `AudioConfig`.
    ///
    /// # Errors
    /// [`Error::Spec`] naming the field, [`Error::Io`].
    pub fn open(root: &Path, spec_json: &[u8]) -> Result<Self> {
        let extractor = Extractor::new(FeatureSpec::from_json(spec_json)?)?;
        let (frames, slots) = (Store::open(root.join(FRAMES))?, Store::open(root.join(SLOTS))?);
        Ok(Self { frames, slots, extractor, spec_json: spec_json.to_vec() })
    }

    /// Key under which the song in these bytes is stored.
    pub fn key(&self, bytes: &[u8]) -> String {
        Store::key(bytes, &self.spec_json)
    }

    /// Whether a song and its beat grids are in the store.
    ///
    /// # Errors
    /// [`Error::Store`] for what is no key, [`Error::Io`].
    pub fn knows<'a>(&self, key: &str, grids: impl IntoIterator<Item = &'a str>) -> Result<bool> {
        if self.frames.get(key)?.is_none() {
            return Ok(false);
        }
        for grid in grids {
            if self.slots.get(grid)?.is_none() {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// The song in `bytes`, from the store if it is there, else decoded and put there. `name` is for messages.
    ///
    /// # Errors
    /// [`Error::Audio`] and [`Error::Limit`] when it cannot be heard, [`Error::Io`] and [`Error::Store`] when it cannot be kept.
    pub fn hear(&self, name: &str, bytes: &[u8]) -> Result<Heard> {
        let key = self.key(bytes);
        if let Some(heard) = self.frames.get(&key)?.and_then(|entry| self.recall(&key, entry)) {
            return Ok(heard);
        }
        let spec = self.extractor.spec();
        let options = DecodeOptions { sample_rate_hz: spec.sample_rate_hz, ..DecodeOptions::default() };
        let decoded = decode(Source::Bytes { name, bytes }, &options)?;
        let features = self.extractor.extract(&decoded.samples);
        let meta = BTreeMap::from([
            ("samples".to_owned(), decoded.samples.len().to_string()),
            ("silent_share".to_owned(), format!("{:?}", silent_share(&features.mel, spec.n_mels))),
            ("spec".to_owned(), String::from_utf8_lossy(&self.spec_json).into_owned()),
        ]);
        drop(decoded);
        self.put(&self.frames, &key, &features, &meta)?;
        let entry = self.frames.get(&key)?.and_then(|entry| self.recall(&key, entry));
        entry.ok_or_else(|| Error::Store { key, problem: "the file just written was changed by somebody else".into() })
    }

    /// What is known of a song in the store; nothing if it is not as [`Listener::hear`] puts it.
    fn recall(&self, key: &str, entry: Entry) -> Option<Heard> {
        let spec = self.extractor.spec();
        let samples: u64 = entry.meta().get("samples")?.parse().ok()?;
        let silent_share = entry.meta().get("silent_share")?.parse().ok()?;
        let onsets_s = onset_times_s(&entry.tensor("onset")?.values.to_f32(), spec);
        let seconds = samples as f64 / f64::from(spec.sample_rate_hz);
        Some(Heard { key: key.to_owned(), seconds, silent_share, onsets_s, entry })
    }

    fn put(&self, store: &Store, key: &str, features: &Features, meta: &BTreeMap<String, String>) -> Result<()> {
        let mut mel = vec![f16::ZERO; features.mel.len()];
        mel.convert_from_f32_slice(&features.mel);
        let frames = features.frames;
        let arrays = [
            ("bands", vec![frames, self.extractor.bands()], Values::F32(&features.bands)),
            ("mel", vec![frames, self.extractor.spec().n_mels], Values::F16(&mel)),
            ("onset", vec![frames], Values::F32(&features.onset)),
        ];
        store.put(key, &arrays.map(|(name, shape, values)| (name, Tensor { shape, values })), meta)
    }

    /// Puts the song on the beat grid of `clock` that begins at `grid_offset_beats` into the store, unless it is there.
    ///
    /// Returns its key, and how many slots it has.
    ///
    /// # Errors
    /// [`Error::Audio`] when the tempo makes them too many, [`Error::Io`] and [`Error::Store`] when they cannot be kept.
    pub fn grid(&self, heard: &Heard, clock: &TempoMap, grid_offset_beats: f64) -> Result<(String, u64)> {
        let spec = self.extractor.spec();
        let edges_s = spec.slot_edges_s(clock, grid_offset_beats, heard.seconds)?;
        let regions = clock.regions().iter().map(|r| format!("{:?} {:?} {:?}\n", r.beat, r.time_s, r.bpm));
        let source = format!("{}\n{grid_offset_beats:?}\n{}", heard.key, regions.collect::<String>());
        let key = Store::key(source.as_bytes(), &self.spec_json);
        if self.slots.get(&key)?.is_none() {
            let part = |name| heard.entry.tensor(name).map_or_else(Vec::new, |array| array.values.to_f32());
            let song = Features { frames: 0, mel: part("mel"), onset: part("onset"), bands: part("bands") };
            let meta = BTreeMap::from([
                ("audio_key".to_owned(), heard.key.clone()),
                ("grid_offset_beats".to_owned(), format!("{grid_offset_beats:?}")),
                ("spec".to_owned(), String::from_utf8_lossy(&self.spec_json).into_owned()),
            ]);
            self.put(&self.slots, &key, &to_slots(&song, spec, &edges_s), &meta)?;
        }
        Ok((key, edges_s.len() as u64 - 1))
    }
}

impl Heard {
    /// How notes at these times, rising and each time once, lie to the sound.
    pub fn agreement(&self, notes_s: &[f64]) -> Agreement {
        let mut errors_s: Vec<f64> =
            align(notes_s, &self.onsets_s, TOLERANCE_S).into_iter().flatten().map(|(_, error_s)| error_s).collect();
        errors_s.sort_by(f64::total_cmp);
        let (low, high) = (errors_s.len().saturating_sub(1) / 2, errors_s.len() / 2);
        let offset_ms = errors_s.get(low).zip(errors_s.get(high)).map(|(low, high)| 500.0 * (low + high));
        Agreement { onset_share: errors_s.len() as f64 / notes_s.len().max(1) as f64, offset_ms }
    }
}
