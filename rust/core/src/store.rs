//! Files that are whole or not there: atomic writes, safetensors shards, and the store of a song's arrays.
//!
//! A [`Store`] is a folder of safetensors files, one per key, and the key is a hash of everything that decides the content.
//! So a file never has to change: it is written under a temporary name and renamed, any number of processes may put the
//! same key at once, and whoever reads maps it into memory and takes what is there.

use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap};
use std::fs::File;
use std::io::{ErrorKind, Write};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::time::Duration;

use half::f16;
use half::slice::HalfFloatSliceExt;
use memmap2::Mmap;
use rayon::prelude::*;
use safetensors::tensor::{Dtype, SafeTensors, View};
use serde::{Deserialize, Serialize};
use zerocopy::{FromBytes, IntoBytes};

use crate::{Error, Result};

/// Changes whenever the layout or the meaning of a store's files does; part of every key.
const STORE_FORMAT: &str = "1";
/// Name of files that are being written.
const TEMPORARY: &str = ".beatweaver-";
/// Temporary files older than this were left by a process that was killed: writing one takes seconds.
const STALE: Duration = Duration::from_secs(3_600);
const SUFFIX: &str = ".safetensors";

// Arrays are read where they lie, and the format is little-endian.
const _: () = assert!(cfg!(target_endian = "little"), "BeatWeaver's files are little-endian");

/// Writes `bytes` under a temporary name beside `path`, syncs, and renames: readers see the old file or the new one.
///
/// # Errors
/// [`Error::Io`]; nothing is left behind then.
pub fn write_atomic(path: &Path, bytes: &[u8]) -> Result<()> {
    let parent = parent_of(path);
    let mut builder = tempfile::Builder::new();
    builder.prefix(TEMPORARY);
    #[cfg(unix)]
    {
        // Temporary files are private by default; these become the user's ordinary files.
        use std::os::unix::fs::PermissionsExt;
        builder.permissions(std::fs::Permissions::from_mode(0o666));
    }
    let mut file = builder.tempfile_in(parent).map_err(Error::io(path))?;
    file.write_all(bytes).map_err(Error::io(path))?;
    file.as_file().sync_all().map_err(Error::io(path))?;
    file.persist(path).map_err(|e| Error::Io { path: path.to_path_buf(), source: e.error })?;
    sync_folder(parent)
}

/// The folder that holds `path`.
pub(crate) fn parent_of(path: &Path) -> &Path {
    path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// Makes a rename in `folder` survive a power cut, where the system has a way to ask for that.
pub(crate) fn sync_folder(folder: &Path) -> Result<()> {
    if cfg!(unix) {
        std::fs::File::open(folder).and_then(|folder| folder.sync_all()).map_err(Error::io(folder))?;
    }
    Ok(())
}

/// One flat array of a shard.
#[derive(Clone, Debug, PartialEq)]
pub enum Array {
    /// Bytes, JSON text among them.
    U8(Vec<u8>),
    /// Token ids.
    U16(Vec<u16>),
    /// Row numbers.
    U32(Vec<u32>),
    /// Offsets.
    I64(Vec<i64>),
}

impl Array {
    fn len(&self) -> usize {
        match self {
            Self::U8(v) => v.len(),
            Self::U16(v) => v.len(),
            Self::U32(v) => v.len(),
            Self::I64(v) => v.len(),
        }
    }
}

struct ArrayView<'a> {
    array: &'a Array,
    shape: [usize; 1],
}

impl View for &ArrayView<'_> {
    fn dtype(&self) -> Dtype {
        match self.array {
            Array::U8(_) => Dtype::U8,
            Array::U16(_) => Dtype::U16,
            Array::U32(_) => Dtype::U32,
            Array::I64(_) => Dtype::I64,
        }
    }
    fn shape(&self) -> &[usize] {
        &self.shape
    }
    fn data(&self) -> Cow<'_, [u8]> {
        match self.array {
            Array::U8(v) => Cow::Borrowed(v),
            Array::U16(v) => v.iter().flat_map(|x| x.to_le_bytes()).collect(),
            Array::U32(v) => v.iter().flat_map(|x| x.to_le_bytes()).collect(),
            Array::I64(v) => v.iter().flat_map(|x| x.to_le_bytes()).collect(),
        }
    }
    fn data_len(&self) -> usize {
        self.array.len() * self.dtype().bitsize() / 8
    }
}

/// A safetensors file of flat arrays with text metadata, as bytes; the same content gives the same bytes.
///
/// # Errors
/// [`Error::Store`] when the format cannot hold it.
pub fn shard_bytes(arrays: &[(&str, Array)], metadata: &[(&str, String)]) -> Result<Vec<u8>> {
    let views: Vec<(&str, ArrayView)> =
        arrays.iter().map(|(name, array)| (*name, ArrayView { array, shape: [array.len()] })).collect();
    // The header lists metadata in the order of a hash map: one entry, itself sorted JSON, keeps the bytes the same.
    let meta: serde_json::Map<String, serde_json::Value> =
        metadata.iter().map(|(k, v)| ((*k).to_owned(), v.as_str().into())).collect();
    let header = HashMap::from([("beatweaver".to_owned(), serde_json::Value::Object(meta).to_string())]);
    safetensors::serialize(views.iter().map(|(n, v)| (*n, v)), Some(header))
        .map_err(|e| Error::Store { key: "shard".into(), problem: e.to_string() })
}

/// Reads what [`shard_bytes`] made: arrays and metadata by name. `name` is for messages.
///
/// # Errors
/// [`Error::Store`] when the bytes are not such a file.
#[allow(clippy::type_complexity)]
pub fn read_shard(bytes: &[u8], name: &str) -> Result<(HashMap<String, Array>, HashMap<String, String>)> {
    let broken = |problem: String| Error::Store { key: name.to_owned(), problem };
    let (_, header) = SafeTensors::read_metadata(bytes).map_err(|e| broken(e.to_string()))?;
    let meta = header.metadata().as_ref().and_then(|m| m.get("beatweaver"));
    let meta = meta.ok_or_else(|| broken("found no BeatWeaver metadata, expected a file made by `process`".into()))?;
    let meta: HashMap<String, String> = serde_json::from_str(meta).map_err(|e| broken(e.to_string()))?;
    let tensors = SafeTensors::deserialize(bytes).map_err(|e| broken(e.to_string()))?;
    let mut arrays = HashMap::new();
    for (key, view) in tensors.iter() {
        let data = view.data();
        let array = match view.dtype() {
            Dtype::U8 => Array::U8(data.to_vec()),
            Dtype::U16 => Array::U16(data.as_chunks().0.iter().map(|c| u16::from_le_bytes(*c)).collect()),
            Dtype::U32 => Array::U32(data.as_chunks().0.iter().map(|c| u32::from_le_bytes(*c)).collect()),
            Dtype::I64 => Array::I64(data.as_chunks().0.iter().map(|c| i64::from_le_bytes(*c)).collect()),
            other => return Err(broken(format!("found an array of {other:?}, expected integers"))),
        };
        arrays.insert(key.to_owned(), array);
    }
    Ok((arrays, meta))
}

/// Numbers of an array of a [`Store`].
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Values<'a> {
    /// Half precision.
    F16(&'a [f16]),
    /// Single precision.
    F32(&'a [f32]),
}

impl<'a> Values<'a> {
    /// How many.
    pub fn len(self) -> usize {
        match self {
            Self::F16(v) => v.len(),
            Self::F32(v) => v.len(),
        }
    }

    /// Whether there are none.
    pub fn is_empty(self) -> bool {
        self.len() == 0
    }

    /// All of them in single precision.
    pub fn to_f32(self) -> Vec<f32> {
        match self {
            Self::F16(v) => v.to_f32_vec(),
            Self::F32(v) => v.to_vec(),
        }
    }

    fn dtype(self) -> Dtype {
        match self {
            Self::F16(_) => Dtype::F16,
            Self::F32(_) => Dtype::F32,
        }
    }

    fn bytes(self) -> &'a [u8] {
        match self {
            Self::F16(v) => v.as_bytes(),
            Self::F32(v) => v.as_bytes(),
        }
    }

    /// The numbers that `bytes` hold, unless they lie or end where such numbers cannot.
    fn of(dtype: Dtype, bytes: &'a [u8]) -> Option<Self> {
        match dtype {
            Dtype::F16 => <[f16]>::ref_from_bytes(bytes).ok().map(Self::F16),
            Dtype::F32 => <[f32]>::ref_from_bytes(bytes).ok().map(Self::F32),
            _ => None,
        }
    }

    /// Writes `rows` (of numbers) to `out`, which has their length.
    fn copy_to(self, rows: Range<usize>, out: &mut [f32]) {
        match self {
            Self::F16(v) => v[rows].convert_to_f32_slice(out),
            Self::F32(v) => out.copy_from_slice(&v[rows]),
        }
    }
}

/// An array of a [`Store`]: C-contiguous, `shape[0]` rows.
#[derive(Clone, Debug, PartialEq)]
pub struct Tensor<'a> {
    /// Length of each axis; their product is the number of values.
    pub shape: Vec<usize>,
    /// The numbers.
    pub values: Values<'a>,
}

impl Tensor<'_> {
    /// Rows, and numbers of one row.
    fn rows(&self) -> (usize, usize) {
        (self.shape.first().copied().unwrap_or(1), self.shape.iter().skip(1).product())
    }
}

impl View for &Tensor<'_> {
    fn dtype(&self) -> Dtype {
        self.values.dtype()
    }
    fn shape(&self) -> &[usize] {
        &self.shape
    }
    fn data(&self) -> Cow<'_, [u8]> {
        Cow::Borrowed(self.values.bytes())
    }
    fn data_len(&self) -> usize {
        self.values.bytes().len()
    }
}

/// What the header of a store's file says beside the arrays.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Stamp {
    format: String,
    key: String,
    meta: BTreeMap<String, String>,
    /// Hash of the arrays' bytes, see [`content_hash`].
    content: String,
    /// Hash of all of the above and of the arrays' names, types and shapes.
    seal: String,
}

impl Stamp {
    fn sealed(mut self, arrays: &BTreeMap<&str, (Dtype, &[usize])>) -> Self {
        let mut hasher = blake3::Hasher::new();
        let mut part = |bytes: &[u8]| {
            hasher.update(&(bytes.len() as u64).to_le_bytes());
            hasher.update(bytes);
        };
        for text in [&self.format, &self.key, &self.content] {
            part(text.as_bytes());
        }
        for (name, value) in &self.meta {
            part(name.as_bytes());
            part(value.as_bytes());
        }
        for (name, (dtype, shape)) in arrays {
            part(name.as_bytes());
            part(format!("{dtype:?}{shape:?}").as_bytes());
        }
        self.seal = hasher.finalize().to_hex().to_string();
        self
    }
}

/// Hash of the arrays' bytes in the order of their names.
fn content_hash<'a>(arrays: impl Iterator<Item = &'a [u8]>) -> String {
    let mut hasher = blake3::Hasher::new();
    arrays.for_each(|bytes| {
        hasher.update(bytes);
    });
    hasher.finalize().to_hex().to_string()
}

/// One file of a [`Store`], mapped into memory.
#[derive(Debug)]
pub struct Entry {
    map: Mmap,
    stamp: Stamp,
    arrays: BTreeMap<String, (Dtype, Vec<usize>, Range<usize>)>,
}

impl Entry {
    /// The file of `key`, or nothing if it is not one: damaged, cut short, of another key or format.
    fn open(file: &File, key: &str) -> std::io::Result<Option<Self>> {
        if file.metadata()?.len() == 0 {
            return Ok(None); // which some systems refuse to map
        }
        // SAFETY: a map is sound while nobody changes or shortens the file under it. Nothing here ever does: a file is
        // complete before it gets its name, is only replaced by a rename, and then the map keeps the old one alive.
        let map = unsafe { Mmap::map(file)? };
        Ok(Self::read(map, key))
    }

    fn read(map: Mmap, key: &str) -> Option<Self> {
        let (header, info) = SafeTensors::read_metadata(&map).ok()?;
        let stamp: Stamp = serde_json::from_str(info.metadata().as_ref()?.get("beatweaver")?).ok()?;
        let begin = header.checked_add(8)?;
        let mut arrays = BTreeMap::new();
        for (name, array) in info.tensors() {
            let range = begin.checked_add(array.data_offsets.0)?..begin.checked_add(array.data_offsets.1)?;
            Values::of(array.dtype, map.get(range.clone())?)?;
            arrays.insert(name, (array.dtype, array.shape.clone(), range));
        }
        let said = stamp.seal.clone();
        let stamp = stamp.sealed(&arrays.iter().map(|(n, (d, s, _))| (n.as_str(), (*d, s.as_slice()))).collect());
        let fits = stamp.format == STORE_FORMAT && stamp.key == key && stamp.seal == said;
        fits.then_some(Self { map, stamp, arrays })
    }

    /// What was put with the arrays.
    pub fn meta(&self) -> &BTreeMap<String, String> {
        &self.stamp.meta
    }

    /// Names of the arrays, sorted.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.arrays.keys().map(String::as_str)
    }

    /// An array, where it lies.
    pub fn tensor(&self, name: &str) -> Option<Tensor<'_>> {
        let (dtype, shape, range) = self.arrays.get(name)?;
        let values = Values::of(*dtype, self.map.get(range.clone())?)?;
        Some(Tensor { shape: shape.clone(), values })
    }

    /// Whether every byte is as it was put. Reads all of them; the header was checked when this was opened.
    pub fn is_intact(&self) -> bool {
        let bytes = self.arrays.values().map(|(_, _, range)| self.map.get(range.clone()).unwrap_or_default());
        content_hash(bytes) == self.stamp.content
    }
}

/// One row of a batch: `length` rows of a song from row `start` on, which may lie before its beginning or run past its end.
#[derive(Clone, Debug, PartialEq)]
pub struct Request<'a> {
    /// Key of the song's file.
    pub key: &'a str,
    /// First row wanted.
    pub start: i64,
    /// Rows wanted, at most those of the batch.
    pub length: usize,
}

/// A folder of arrays by content key.
#[derive(Clone, Debug)]
pub struct Store {
    root: PathBuf,
}

impl Store {
    /// The store in `root`, a folder that is made if need be. What a killed process left half-written there is removed.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn open(root: impl Into<PathBuf>) -> Result<Self> {
        let root = root.into();
        std::fs::create_dir_all(&root).map_err(Error::io(&root))?;
        let store = Self { root };
        for name in store.files()? {
            let path = store.root.join(&name);
            let age = || path.metadata().ok()?.modified().ok()?.elapsed().ok();
            if name.starts_with(TEMPORARY) && age().is_some_and(|age| age > STALE) {
                // Another process may have been quicker.
                let _ = std::fs::remove_file(&path);
            }
        }
        Ok(store)
    }

    /// Key of what follows from `source` under the settings `spec_json`, whose bytes count as they are: 64 hexadecimal digits.
    ///
    /// ```
    /// use beatweaver_core::store::Store;
    /// assert_eq!(Store::key(b"a song", b"{}").len(), 64);
    /// assert_ne!(Store::key(b"a song", b"{}"), Store::key(b"a song", b"{ }"));
    /// ```
    pub fn key(source: &[u8], spec_json: &[u8]) -> String {
        let mut hasher = blake3::Hasher::new();
        // Hashes are of one length each, so that nothing can move from one part to the next.
        for part in [STORE_FORMAT.as_bytes(), source, spec_json] {
            hasher.update(blake3::hash(part).as_bytes());
        }
        hasher.finalize().to_hex().to_string()
    }

    /// The folder.
    pub fn root(&self) -> &Path {
        &self.root
    }

    fn path(&self, key: &str) -> Result<PathBuf> {
        if !is_key(key) {
            let problem = "found a key that is none, expected 64 hexadecimal digits in lower case".into();
            return Err(Error::Store { key: key.to_owned(), problem });
        }
        Ok(self.root.join(format!("{key}{SUFFIX}")))
    }

    /// The arrays of `key`, or nothing: no file, or one that is cut short, of another key, or whose header is damaged.
    ///
    /// A flipped bit among the numbers is found by [`Store::verify`] and [`Entry::is_intact`] alone, which read them all.
    ///
    /// # Errors
    /// [`Error::Store`] for a key that is none, [`Error::Io`] when the system refuses.
    pub fn get(&self, key: &str) -> Result<Option<Entry>> {
        let path = self.path(key)?;
        match File::open(&path) {
            Ok(file) => Entry::open(&file, key).map_err(Error::io(&path)),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(Error::Io { path, source: error }),
        }
    }

    /// Writes the arrays of `key`, whole or not at all; a file that is there is replaced. Equal arrays give equal bytes.
    ///
    /// # Errors
    /// [`Error::Store`] for a key that is none, a name given twice, or a shape that does not fit its numbers; [`Error::Io`].
    pub fn put(&self, key: &str, arrays: &[(&str, Tensor<'_>)], meta: &BTreeMap<String, String>) -> Result<()> {
        let path = self.path(key)?;
        let wrong = |problem: String| Error::Store { key: key.to_owned(), problem };
        let mut sorted: BTreeMap<&str, &Tensor<'_>> = BTreeMap::new();
        for (name, array) in arrays {
            let wanted = array.shape.iter().try_fold(1_usize, |product, &n| product.checked_mul(n));
            if wanted != Some(array.values.len()) {
                let (shape, len) = (&array.shape, array.values.len());
                return Err(wrong(format!("{name}: found {len} numbers, expected as many as the shape {shape:?} has")));
            }
            if sorted.insert(name, array).is_some() {
                return Err(wrong(format!("{name}: found this name twice, expected one array of each name")));
            }
        }
        let stamp = Stamp {
            format: STORE_FORMAT.to_owned(),
            key: key.to_owned(),
            meta: meta.clone(),
            content: content_hash(sorted.values().map(|array| array.values.bytes())),
            seal: String::new(),
        };
        let shapes = sorted.iter().map(|(name, a)| (*name, (a.values.dtype(), a.shape.as_slice()))).collect();
        let stamp = serde_json::to_string(&stamp.sealed(&shapes)).map_err(|e| wrong(e.to_string()))?;
        // One entry: the header would list several in the order of a hash map.
        let header = HashMap::from([("beatweaver".to_owned(), stamp)]);
        let bytes = safetensors::serialize(sorted, Some(header)).map_err(|e| wrong(e.to_string()))?;
        write_atomic(&path, &bytes)
    }

    /// Names of the files that are not as they were put, sorted: every byte of every file is read.
    ///
    /// # Errors
    /// [`Error::Io`] when the folder or a file cannot be read.
    pub fn verify(&self) -> Result<Vec<String>> {
        let mut names: Vec<String> = self.files()?.into_iter().filter(|name| name.ends_with(SUFFIX)).collect();
        names.sort();
        let bad = |name: String| {
            let key = name.strip_suffix(SUFFIX).unwrap_or_default();
            let intact = is_key(key) && self.get(key)?.is_some_and(|entry| entry.is_intact());
            Ok((!intact).then_some(name))
        };
        let bad: Vec<Option<String>> = names.into_par_iter().map(bad).collect::<Result<_>>()?;
        Ok(bad.into_iter().flatten().collect())
    }

    /// Fills `out`, a batch of `requests.len()` by `steps` by C numbers, in parallel on the rayon pool it is called in.
    ///
    /// Row i holds the rows that request i asks for, the arrays `names` side by side in this order; C is their width
    /// together. What lies outside of a song, and steps beyond a request's length, is `pad`.
    ///
    /// # Errors
    /// [`Error::Store`] naming the key when there is no such file or array, or the widths do not add up to C;
    /// [`Error::Spec`] when `out` has no whole number of C or a request is longer than `steps`.
    pub fn gather(
        &self,
        names: &[&str],
        requests: &[Request<'_>],
        steps: usize,
        pad: f32,
        out: &mut [f32],
    ) -> Result<()> {
        let cells = requests.len().saturating_mul(steps);
        if cells == 0 && out.is_empty() {
            return Ok(());
        }
        if cells == 0 || !out.len().is_multiple_of(cells) {
            let problem = format!("found {} numbers, expected a multiple of the {cells} steps of the batch", out.len());
            return Err(Error::Spec { field: "out".into(), problem });
        }
        let width = out.len() / cells;
        if width == 0 {
            return Ok(());
        }
        out.par_chunks_mut(steps * width)
            .zip(requests)
            .try_for_each(|(row, request)| self.fill(names, request, width, pad, row))
    }

    fn fill(&self, names: &[&str], request: &Request<'_>, width: usize, pad: f32, out: &mut [f32]) -> Result<()> {
        let steps = out.len() / width;
        let wrong = |problem: String| Error::Store { key: request.key.to_owned(), problem };
        if request.length > steps {
            let problem = format!("found {}, expected at most the {steps} steps of the batch", request.length);
            return Err(Error::Spec { field: "length".into(), problem });
        }
        let Some(entry) = self.get(request.key)? else {
            return Err(wrong(format!(
                "found no sound file of this key in {}, process the song again",
                self.root.display()
            )));
        };
        let mut arrays = Vec::with_capacity(names.len());
        for name in names {
            let listed = || entry.names().collect::<Vec<_>>().join(", ");
            arrays.push(
                entry.tensor(name).ok_or_else(|| wrong(format!("found no array {name:?}, it has {}", listed())))?,
            );
        }
        let widths: usize = arrays.iter().map(|array| array.rows().1).sum();
        if widths != width {
            return Err(wrong(format!("found arrays {widths} wide together, expected the {width} of the batch")));
        }
        out.fill(pad);
        let mut column = 0;
        for array in &arrays {
            let (rows, wide) = array.rows();
            // Steps at which there is sound, and the row of the song at the first of them.
            let first = usize::try_from(request.start.saturating_neg()).unwrap_or(0).min(request.length);
            let row = usize::try_from(request.start).unwrap_or(0);
            let count = rows.saturating_sub(row).min(request.length - first);
            if count == 0 {
                // Nothing of the song is wanted; its rows need not even be countable from here.
            } else if wide == width {
                array
                    .values
                    .copy_to(row * wide..(row + count) * wide, &mut out[first * width..(first + count) * width]);
            } else {
                let steps = out[first * width..(first + count) * width].chunks_exact_mut(width);
                for (step, row) in steps.zip(row..) {
                    array.values.copy_to(row * wide..(row + 1) * wide, &mut step[column..column + wide]);
                }
            }
            column += wide;
        }
        Ok(())
    }

    /// Names in the folder.
    fn files(&self) -> Result<Vec<String>> {
        let entries = std::fs::read_dir(&self.root).map_err(Error::io(&self.root))?;
        let name = |entry: std::io::Result<std::fs::DirEntry>| Ok(entry?.file_name().to_string_lossy().into_owned());
        entries.map(name).collect::<std::io::Result<_>>().map_err(Error::io(&self.root))
    }
}

fn is_key(text: &str) -> bool {
    text.len() == 64 && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn hall(width: usize, numbers: &[f32]) -> (Vec<f16>, Vec<f32>) {
        let rows = numbers.len() / width;
        (numbers[..rows * width].iter().map(|&x| f16::from_f32(x)).collect(), numbers[..rows].to_vec())
    }

    fn put(store: &Store, key: &str, width: usize, numbers: &[f32]) {
        let (mel, onset) = hall(width, numbers);
        let arrays = [
            ("mel", Tensor { shape: vec![onset.len(), width], values: Values::F16(&mel) }),
            ("onset", Tensor { shape: vec![onset.len()], values: Values::F32(&onset) }),
        ];
        store.put(key, &arrays, &BTreeMap::from([("spec".to_owned(), "{}".to_owned())])).unwrap();
    }

    proptest! {
        #[test]
        fn what_is_put_is_got(numbers in prop::collection::vec(-1e4_f32..1e4, 0..400), width in 1_usize..9) {
            let home = tempfile::tempdir().unwrap();
            let store = Store::open(home.path().join("a/b")).unwrap();
            let key = Store::key(b"song", b"{}");
            prop_assert!(store.get(&key).unwrap().is_none());
            put(&store, &key, width, &numbers);
            let entry = store.get(&key).unwrap().unwrap();
            let (mel, onset) = hall(width, &numbers);
            let shape = vec![onset.len(), width];
            prop_assert_eq!(entry.tensor("mel"), Some(Tensor { shape, values: Values::F16(&mel) }));
            prop_assert_eq!(entry.tensor("onset").unwrap().values, Values::F32(&onset));
            prop_assert_eq!(entry.names().collect::<Vec<_>>(), ["mel", "onset"]);
            prop_assert_eq!(entry.meta()["spec"].as_str(), "{}");
            prop_assert!(entry.tensor("bands").is_none());
            prop_assert!(store.verify().unwrap().is_empty());
            let bytes = std::fs::read(store.path(&key).unwrap()).unwrap();
            put(&store, &key, width, &numbers);
            prop_assert_eq!(bytes, std::fs::read(store.path(&key).unwrap()).unwrap());
        }

        /// A damaged file is no hit, or the damage is among the numbers and found when all is read, or it changes nothing.
        #[test]
        fn no_damage_goes_unseen(
            numbers in prop::collection::vec(-1e4_f32..1e4, 1..40), spot in any::<prop::sample::Index>(), bit in 0_u8..8,
        ) {
            let home = tempfile::tempdir().unwrap();
            let store = Store::open(home.path()).unwrap();
            let key = Store::key(b"song", b"{}");
            put(&store, &key, 1, &numbers);
            let path = store.path(&key).unwrap();
            let whole = std::fs::read(&path).unwrap();
            let said = |entry: &Entry| {
                entry.names().map(|n| (n.to_owned(), format!("{:?}", entry.tensor(n)))).collect::<Vec<_>>()
            };
            let before = said(&store.get(&key).unwrap().unwrap());
            let mut bytes = whole.clone();
            bytes[spot.index(whole.len())] ^= 1_u8 << bit;
            write_atomic(&path, &bytes).unwrap();
            let bad = store.verify().unwrap();
            match store.get(&key).unwrap() {
                None => prop_assert_eq!(bad.len(), 1),
                Some(entry) => {
                    prop_assert_eq!(bad.is_empty(), entry.is_intact());
                    prop_assert!(!entry.is_intact() || said(&entry) == before, "{}", spot.index(whole.len()));
                }
            }
            write_atomic(&path, &whole[..spot.index(whole.len())]).unwrap();
            prop_assert!(store.get(&key).unwrap().is_none());
            write_atomic(&path, &[whole.as_slice(), b"x"].concat()).unwrap();
            prop_assert!(store.get(&key).unwrap().is_none());
            prop_assert_eq!(store.verify().unwrap().len(), 1);
        }

        #[test]
        fn a_batch_is_what_its_requests_say(
            numbers in prop::collection::vec(-1e4_f32..1e4, 0..200), width in 1_usize..5,
            wanted in prop::collection::vec((-40_i64..90, 0_usize..20), 1..6), steps in 20_usize..24,
        ) {
            let home = tempfile::tempdir().unwrap();
            let store = Store::open(home.path()).unwrap();
            let key = Store::key(b"song", b"{}");
            put(&store, &key, width, &numbers);
            let (mel, onset) = hall(width, &numbers);
            let requests: Vec<_> = wanted.iter().map(|&(start, length)| Request { key: &key, start, length }).collect();
            let wide = width + 1;
            let mut out = vec![f32::NAN; requests.len() * steps * wide];
            store.gather(&["mel", "onset"], &requests, steps, -7.0, &mut out).unwrap();
            let mut alone = vec![f32::NAN; requests.len() * steps * width];
            store.gather(&["mel"], &requests, steps, -7.0, &mut alone).unwrap();
            for (at, &value) in out.iter().enumerate() {
                let (cell, column) = (at / wide, at % wide);
                let (request, step) = (&requests[cell / steps], cell % steps);
                let row = request.start + step as i64;
                let inside = step < request.length && (0..onset.len() as i64).contains(&row);
                let expected = match (inside, column == width) {
                    (false, _) => -7.0,
                    (true, true) => onset[row as usize],
                    (true, false) => mel[row as usize * width + column].to_f32(),
                };
                prop_assert_eq!(value, expected);
                if column < width {
                    prop_assert_eq!(alone[cell * width + column], expected);
                }
            }
        }
    }

    #[test]
    fn a_file_of_another_key_is_no_hit() {
        let home = tempfile::tempdir().unwrap();
        let store = Store::open(home.path()).unwrap();
        let (one, other) = (Store::key(b"one", b"{}"), Store::key(b"other", b"{}"));
        put(&store, &one, 2, &[1.0; 8]);
        std::fs::copy(store.path(&one).unwrap(), store.path(&other).unwrap()).unwrap();
        std::fs::write(home.path().join("notes.safetensors"), b"").unwrap();
        assert!(store.get(&one).unwrap().is_some());
        assert!(store.get(&other).unwrap().is_none());
        assert_eq!(store.verify().unwrap().len(), 2);
        for name in ["", "../x", &one.to_uppercase(), &one[1..]] {
            assert!(matches!(store.get(name), Err(Error::Store { .. })));
            assert!(matches!(store.put(name, &[], &BTreeMap::new()), Err(Error::Store { .. })));
        }
    }

    #[test]
    fn what_cannot_be_is_refused() {
        let home = tempfile::tempdir().unwrap();
        let store = Store::open(home.path()).unwrap();
        let key = Store::key(b"", b"");
        let array = |shape: &[usize]| Tensor { shape: shape.to_vec(), values: Values::F32(&[1.0, 2.0]) };
        for arrays in [vec![("a", array(&[3]))], vec![("a", array(&[usize::MAX, 2]))], vec![("a", array(&[2])); 2]] {
            assert!(matches!(store.put(&key, &arrays, &BTreeMap::new()), Err(Error::Store { .. })));
        }
        store.put(&key, &[("a", array(&[2])), ("b", array(&[1, 2])), ("c", array(&[2]))], &BTreeMap::new()).unwrap();
        let absent = Store::key(b"absent", b"");
        let ask = |key: &str, names: &[&str], length: usize, out: &mut [f32]| {
            store.gather(names, &[Request { key, start: i64::MIN, length }], 2, 0.0, out)
        };
        assert!(ask(&key, &["a"], 2, &mut [9.0; 2]).is_ok());
        let far = Request { key: &key, start: i64::MAX, length: 2 };
        assert!(store.gather(&["a"], &[far], 2, 0.0, &mut [9.0; 2]).is_ok());
        assert!(ask(&key, &["a", "c"], 0, &mut []).is_ok());
        assert!(matches!(ask(&key, &["a"], 3, &mut [0.0; 2]), Err(Error::Spec { field, .. }) if field == "length"));
        assert!(matches!(ask(&key, &["a"], 2, &mut [0.0; 3]), Err(Error::Spec { field, .. }) if field == "out"));
        assert!(matches!(ask(&key, &["d"], 2, &mut [0.0; 2]), Err(Error::Store { .. })));
        assert!(matches!(ask(&key, &["b"], 2, &mut [0.0; 2]), Err(Error::Store { .. })));
        assert!(matches!(ask(&absent, &["a"], 2, &mut [0.0; 2]), Err(Error::Store { key, .. }) if key == absent));
        assert!(matches!(store.gather(&["a"], &[], 2, 0.0, &mut [0.0]), Err(Error::Spec { .. })));
    }

    #[test]
    fn what_a_killed_process_left_goes_and_what_another_writes_stays() {
        let home = tempfile::tempdir().unwrap();
        let [old, new] = ["old", "new"].map(|name| home.path().join(format!("{TEMPORARY}{name}")));
        for path in [&old, &new] {
            std::fs::write(path, b"half").unwrap();
        }
        let hours = std::time::SystemTime::now() - 2 * STALE;
        File::options().write(true).open(&old).unwrap().set_modified(hours).unwrap();
        Store::open(home.path()).unwrap();
        assert!(!old.exists() && new.exists());
    }

    #[test]
    fn a_shard_comes_back_and_its_bytes_are_the_same() {
        let arrays = [
            ("tokens", Array::U16(vec![1, 2, 65535])),
            ("offsets", Array::I64(vec![0, -3, i64::MAX])),
            ("song", Array::U32(vec![7])),
            ("text", Array::U8(b"{}".to_vec())),
            ("empty", Array::U16(vec![])),
        ];
        let meta = [("b", "2".to_owned()), ("a", "1".to_owned())];
        let bytes = shard_bytes(&arrays, &meta).expect("shard");
        assert_eq!(bytes, shard_bytes(&arrays, &meta).expect("shard"));
        let (read, read_meta) = read_shard(&bytes, "x").expect("read");
        assert_eq!(read_meta["a"], "1");
        for (name, array) in arrays {
            assert_eq!(read[name], array);
        }
        for cut in [0, 4, 20, bytes.len() - 1] {
            assert!(matches!(read_shard(&bytes[..cut], "x"), Err(Error::Store { .. })));
        }
    }

    #[test]
    fn a_write_replaces_the_file_or_leaves_it() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("a");
        write_atomic(&path, b"one").expect("write");
        write_atomic(&path, b"two").expect("write");
        assert_eq!(std::fs::read(&path).unwrap(), b"two");
        assert!(matches!(write_atomic(&home.path().join("no/such"), b""), Err(Error::Io { .. })));
        assert_eq!(std::fs::read_dir(home.path()).unwrap().count(), 1);
    }
}
