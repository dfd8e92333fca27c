//! A level as players have it: a folder, a zip, or the path of an Info file inside a folder.
//!
//! Everything read here may be hostile. Names that leave the pack are refused, sizes are counted while inflating and
//! never believed from headers, and nothing is unpacked before it is asked for.

use std::borrow::Cow;
use std::collections::HashSet;
use std::fs::{self, File};
use std::io::{self, BufReader, Cursor, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use zip::result::ZipError;
use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, ZipArchive, ZipWriter};

use crate::error::{Error, Limits, Place, Result, Warning};
use crate::store::{parent_of, sync_folder, write_atomic};

/// How deep a folder is searched: the files of the folder itself are at depth 1.
const FOLDER_DEPTH: usize = 4;
/// Output below this size is never called a bomb, whatever its ratio.
const RATIO_FLOOR_BYTES: u64 = 1 << 20;
/// Central directory bytes allowed per entry of [`Limits::zip_entries`] (46 are fixed, the rest is name and extras).
const DIRECTORY_BYTES_PER_ENTRY: u64 = 1 << 10;
/// End-of-central-directory record, its longest comment, and the zip64 locator in front of it.
const ZIP_TAIL_BYTES: u64 = 22 + 0xFFFF + 20;

/// An opened level. Opening reads a directory listing only; files are read, and unpacked, one by one when asked for.
#[derive(Debug)]
pub struct Pack {
    path: PathBuf,
    archive: Option<Archive>,
    entries: Vec<Entry>,
    info: usize,
    limits: Limits,
    warnings: Vec<Warning>,
}

#[derive(Debug)]
struct Archive {
    zip: Mutex<ZipArchive<Source>>,
    bytes: u64,
}

#[derive(Debug)]
struct Entry {
    name: String,
    /// `name` in lower case, for look-ups that ignore case.
    folded: String,
    size: u64,
    spot: Spot,
}

#[derive(Clone, Debug)]
enum Spot {
    File(PathBuf),
    Zipped { index: usize, packed: u64, crc32: u32 },
}

impl Pack {
    /// Opens a folder, a zip (told by its first bytes, whatever its name), or an `Info.dat` / `info.json` in a folder.
    ///
    /// # Errors
    /// [`Error::Io`] when the path cannot be read, [`Error::Zip`] for a damaged or hostile archive, [`Error::Limit`]
    /// beyond `limits`, [`Error::Map`] when there is no Info file.
    pub fn open(path: &Path, limits: &Limits) -> Result<Self> {
        let metadata = fs::metadata(path).map_err(Error::io(path))?;
        if metadata.is_dir() {
            return Self::from_folder(path, path, None, limits);
        }
        let mut file = File::open(path).map_err(Error::io(path))?;
        let mut magic = Vec::with_capacity(4);
        Read::by_ref(&mut file).take(4).read_to_end(&mut magic).map_err(Error::io(path))?;
        if is_zip(&magic) {
            return Self::from_zip(path, Stream::File(BufReader::new(file)), limits);
        }
        let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        if info_kind(&name).is_none() {
            return Err(not_a_level(path, &magic));
        }
        let folder = match path.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => parent,
            _ => Path::new("."),
        };
        Self::from_folder(path, folder, Some(name), limits)
    }

    /// Opens the bytes of a zip; `name` stands for a path in messages.
    ///
    /// # Errors
    /// As [`Pack::open`].
    pub fn from_bytes(name: &str, bytes: Vec<u8>, limits: &Limits) -> Result<Self> {
        let path = Path::new(name);
        if !is_zip(&bytes) {
            return Err(not_a_level(path, &bytes));
        }
        Self::from_zip(path, Stream::Bytes(Cursor::new(bytes)), limits)
    }

    fn from_folder(path: &Path, folder: &Path, info: Option<String>, limits: &Limits) -> Result<Self> {
        let home = fs::canonicalize(folder).map_err(Error::io(folder))?;
        let mut entries = Vec::new();
        let mut warnings = Warnings::default();
        let mut seen = 0_u64;
        for item in walkdir::WalkDir::new(folder).max_depth(FOLDER_DEPTH).follow_links(false) {
            let item = match item {
                Ok(item) => item,
                // A locked sub-folder must not hide the level; a locked root must.
                Err(error) if error.depth() > 0 => continue,
                Err(error) => {
                    return Err(Error::Io { path: folder.to_path_buf(), source: io::Error::from(error) });
                }
            };
            seen += 1;
            check_limit("zip_entries", limits.zip_entries, seen, path)?;
            let Ok(relative) = item.path().strip_prefix(folder) else { continue };
            let name =
                relative.components().map(|part| part.as_os_str().to_string_lossy()).collect::<Vec<_>>().join("/");
            if item.file_type().is_symlink() {
                let inside = fs::canonicalize(item.path()).is_ok_and(|target| target.starts_with(&home));
                if !inside || !fs::metadata(item.path()).is_ok_and(|target| target.is_file()) {
                    warnings.add("symlink-entry", &name, "a link that leaves the level's folder is not read".into());
                    continue;
                }
            } else if !item.file_type().is_file() {
                continue;
            }
            let size = fs::metadata(item.path()).map_err(Error::io(item.path()))?.len();
            entries.push(Entry::new(name, size, Spot::File(item.path().to_path_buf())));
        }
        Self::finish(path, None, entries, info, limits, warnings)
    }

    fn from_zip(path: &Path, mut stream: Stream, limits: &Limits) -> Result<Self> {
        let bytes = stream.seek(SeekFrom::End(0)).map_err(Error::io(path))?;
        check_limit("unpacked_bytes", limits.unpacked_bytes, bytes, path)?;
        refuse_zip64(path, &mut stream, bytes)?;
        let budget = limits.zip_entries.saturating_mul(DIRECTORY_BYTES_PER_ENTRY).saturating_add(2 * ZIP_TAIL_BYTES);
        let budget = Arc::new(AtomicU64::new(budget));
        let source = Source { stream, budget: Arc::clone(&budget) };
        let zip = ZipArchive::new(source).map_err(|error| zip_error(path, "", &error))?;
        let count = zip.len();
        check_limit("zip_entries", limits.zip_entries, count as u64, path)?;

        let mut warnings = Warnings::default();
        if zip.has_duplicate_names() {
            let message = "the archive lists a file twice; the last listing is read, other programs may read the first";
            warnings.add("duplicate-entry", "", message.to_owned());
        }
        let mut entries = Vec::with_capacity(count);
        let mut ranges = Vec::with_capacity(count);
        let mut declared = 0_u64;
        for index in 0..count {
            let item = zip.by_index_data(index).map_err(|error| zip_error(path, "", &error))?;
            let raw = item.name().map_err(|error| zip_error(path, "", &error))?.into_owned();
            let name = safe_name(&raw).map_err(|problem| Error::Zip {
                path: path.to_path_buf(),
                problem: format!("entry {raw:?} {problem}; the archive is refused"),
            })?;
            // 30 bytes of local header at the least; its name and extras are checked by the overlap being impossible.
            let end = item.header_start().saturating_add(30).saturating_add(item.compressed_size());
            ranges.push((item.header_start(), end));
            if name.is_empty() || item.is_dir() {
                continue;
            }
            if item.is_symlink() {
                warnings.add("symlink-entry", &name, "a link inside an archive is not read".into());
                continue;
            }
            declared = declared.saturating_add(item.size());
            // What an entry can really hold of the archive, however large it says it is.
            let packed = item.compressed_size().min(bytes);
            entries.push(Entry::new(name, item.size(), Spot::Zipped { index, packed, crc32: item.crc32() }));
        }
        // The reader stops at the declared size, so this bounds what can ever come out.
        check_limit("unpacked_bytes", limits.unpacked_bytes, declared, path)?;
        ranges.sort_unstable();
        let overlap = ranges.windows(2).any(|pair| pair[0].1 > pair[1].0);
        if overlap || ranges.last().is_some_and(|last| last.1 > zip.central_directory_start()) {
            let problem = "entries of the archive overlap each other; zip the level again".to_owned();
            return Err(Error::Zip { path: path.to_path_buf(), problem });
        }
        budget.store(u64::MAX, Ordering::Relaxed);
        Self::finish(path, Some(Archive { zip: Mutex::new(zip), bytes }), entries, None, limits, warnings)
    }

    /// Chooses the Info file and makes every name relative to its folder.
    fn finish(
        path: &Path,
        archive: Option<Archive>,
        mut entries: Vec<Entry>,
        info: Option<String>,
        limits: &Limits,
        mut warnings: Warnings,
    ) -> Result<Self> {
        entries.sort_by(|a, b| a.name.cmp(&b.name));
        let before = entries.len();
        entries.dedup_by(|later, first| later.name == first.name);
        if entries.len() < before {
            let message = "two entries of the archive have the same name; the first is read";
            warnings.add("duplicate-entry", "", message.to_owned());
        }
        let info = match info {
            Some(name) => name,
            None => choose_info(&entries).ok_or_else(|| no_info(path, &entries))?.to_owned(),
        };
        let (root, info_name) = match info.rfind('/') {
            Some(slash) => (info[..=slash].to_owned(), info[slash + 1..].to_owned()),
            None => (String::new(), info),
        };
        if !root.is_empty() {
            let message = format!("the level lies inside the folder {root:?}; its files belong at the top of the pack");
            warnings.add("wrapped-folder", &info_name, message);
            let folders: HashSet<&str> = entries
                .iter()
                .filter(|entry| info_kind(file_name(&entry.name)).is_some())
                .map(|entry| &entry.name[..entry.name.len() - file_name(&entry.name).len()])
                .collect();
            if folders.len() > 1 {
                let message = format!("the pack holds {} levels; only the one in {root:?} is read", folders.len());
                warnings.add("several-levels", &info_name, message);
            }
            entries.retain_mut(|entry| match entry.name.strip_prefix(&root) {
                Some(rest) => {
                    *entry = Entry::new(rest.to_owned(), entry.size, entry.spot.clone());
                    true
                }
                None => false,
            });
        }
        if !matches!(info_name.as_str(), "Info.dat" | "info.dat" | "info.json") {
            let message =
                format!("the Info file is named {info_name:?}; games on case-sensitive systems want Info.dat");
            warnings.add("info-name-case", &info_name, message);
        }
        let info = entries.iter().position(|entry| entry.name == info_name).ok_or_else(|| no_info(path, &entries))?;
        Ok(Self { path: path.to_path_buf(), archive, entries, info, limits: limits.clone(), warnings: warnings.0 })
    }

    /// The path (or name) the pack was opened with.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Names of all files, relative to the Info file's folder, `/` separated, sorted.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.entries.iter().map(|entry| entry.name.as_str())
    }

    /// The Info file's name as it is written in the pack.
    pub fn info_name(&self) -> &str {
        &self.entries[self.info].name
    }

    /// The name, as the pack writes it, of the file called `name`: exact if there is one, else without regard to case
    /// or to `\` against `/`.
    pub fn find(&self, name: &str) -> Option<&str> {
        self.entry(name).map(|entry| entry.name.as_str())
    }

    /// The bytes of a file, found as by [`Pack::find`].
    ///
    /// # Errors
    /// [`Error::Map`] when there is no such file, [`Error::Limit`] when it unpacks to more than allowed,
    /// [`Error::Zip`] for damaged or encrypted data, [`Error::Io`] when the disk refuses.
    pub fn read(&self, name: &str) -> Result<Vec<u8>> {
        let entry = self.entry(name).ok_or_else(|| Error::Map {
            place: Place::file(name),
            problem: "the file is missing from the level; add it or correct the name in Info".to_owned(),
        })?;
        let (limit_name, limit) = if is_json_like(&entry.name) {
            ("json_bytes", self.limits.json_bytes)
        } else {
            ("media_bytes", self.limits.media_bytes)
        };
        let over = |found: u64| Error::Limit { name: limit_name, limit, found, place: Place::file(&entry.name) };
        if entry.size > limit {
            return Err(over(entry.size));
        }
        match (&entry.spot, &self.archive) {
            (Spot::File(path), _) => {
                let mut bytes = Vec::with_capacity(reserve(entry.size));
                let file = File::open(path).map_err(Error::io(path))?;
                file.take(limit.saturating_add(1)).read_to_end(&mut bytes).map_err(Error::io(path))?;
                // The file may have grown since the folder was listed.
                if bytes.len() as u64 > limit { Err(over(bytes.len() as u64)) } else { Ok(bytes) }
            }
            (Spot::Zipped { index, packed, .. }, Some(archive)) => {
                let mut zip = archive.zip.lock().unwrap_or_else(PoisonError::into_inner);
                let item = zip.by_index(*index).map_err(|error| zip_error(&self.path, &entry.name, &error))?;
                self.inflate(entry, item, *packed)
            }
            (Spot::Zipped { .. }, None) => {
                Err(Error::Zip { path: self.path.clone(), problem: "the archive is not open".to_owned() })
            }
        }
    }

    /// Reads `item` to its end, counting what comes out against what went in.
    fn inflate(&self, entry: &Entry, mut item: impl Read, packed: u64) -> Result<Vec<u8>> {
        let allowed = self.limits.compression_ratio.saturating_mul(packed.max(1)).max(RATIO_FLOOR_BYTES);
        let mut bytes = Vec::with_capacity(reserve(entry.size.min(allowed)));
        let mut chunk = [0_u8; 1 << 15];
        loop {
            let count = match item.read(&mut chunk) {
                Ok(0) if bytes.len() as u64 == entry.size => return Ok(bytes),
                Ok(0) => {
                    let problem = format!(
                        "{}: the directory says {} bytes and {} came out; zip the level again",
                        entry.name,
                        entry.size,
                        bytes.len()
                    );
                    return Err(Error::Zip { path: self.path.clone(), problem });
                }
                Ok(count) => count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(zip_error(&self.path, &entry.name, &ZipError::Io(error))),
            };
            bytes.extend_from_slice(&chunk[..count]);
            if bytes.len() as u64 > allowed {
                return Err(Error::Limit {
                    name: "compression_ratio",
                    limit: self.limits.compression_ratio,
                    found: bytes.len() as u64 / packed.max(1),
                    place: Place::file(&entry.name),
                });
            }
        }
    }

    /// Size in bytes of a file, found as by [`Pack::find`]; what the archive declares, for a zip.
    pub fn size(&self, name: &str) -> Option<u64> {
        self.entry(name).map(|entry| entry.size)
    }

    /// Size in bytes of the zip the pack was read from; `None` for a folder.
    pub fn archive_bytes(&self) -> Option<u64> {
        self.archive.as_ref().map(|archive| archive.bytes)
    }

    /// A cheap identity for resuming: for a zip the names, sizes and checksums its directory lists; for a folder the
    /// names and sizes of all files and the content of the JSON ones (audio is known by its size only). A folder and a
    /// zip of it have different fingerprints.
    ///
    /// # Errors
    /// As [`Pack::read`], for folders.
    pub fn fingerprint(&self) -> Result<[u8; 32]> {
        let mut hasher = blake3::Hasher::new();
        for entry in &self.entries {
            hasher.update(&(entry.name.len() as u64).to_le_bytes());
            hasher.update(entry.name.as_bytes());
            hasher.update(&entry.size.to_le_bytes());
            match &entry.spot {
                Spot::Zipped { crc32, .. } => {
                    hasher.update(&crc32.to_le_bytes());
                }
                Spot::File(_) if is_json_like(&entry.name) => {
                    hasher.update(blake3::hash(&self.read(&entry.name)?).as_bytes());
                }
                Spot::File(_) => {}
            }
        }
        Ok(*hasher.finalize().as_bytes())
    }

    /// What was odd about the pack: `wrapped-folder`, `several-levels`, `info-name-case`, `duplicate-entry`,
    /// `symlink-entry`.
    pub fn warnings(&self) -> &[Warning] {
        &self.warnings
    }

    fn entry(&self, name: &str) -> Option<&Entry> {
        if let Some(entry) = self.entries.iter().find(|entry| entry.name == name) {
            return Some(entry);
        }
        let plain = name.replace('\\', "/");
        let plain = plain.strip_prefix("./").unwrap_or(&plain);
        let folded = plain.to_lowercase();
        let exact = self.entries.iter().find(|entry| entry.name == plain);
        exact.or_else(|| self.entries.iter().find(|entry| entry.folded == folded))
    }
}

impl Entry {
    fn new(name: String, size: u64, spot: Spot) -> Self {
        Self { folded: name.to_lowercase(), name, size, spot }
    }
}

/// Warnings of one pack, one per rule.
#[derive(Default)]
struct Warnings(Vec<Warning>);

impl Warnings {
    fn add(&mut self, rule: &'static str, file: &str, message: String) {
        match self.0.iter_mut().find(|warning| warning.rule == rule) {
            Some(warning) => warning.count += 1,
            None => self.0.push(Warning { rule, place: Place::file(file), message, count: 1 }),
        }
    }
}

/// What an archive is read from. While it is opened, reading costs budget, so that a directory of endless names ends.
#[derive(Debug)]
struct Source {
    stream: Stream,
    budget: Arc<AtomicU64>,
}

#[derive(Debug)]
enum Stream {
    File(BufReader<File>),
    Bytes(Cursor<Vec<u8>>),
}

impl Read for Source {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let budget = self.budget.load(Ordering::Relaxed);
        if budget == 0 {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "the archive's directory is far too long"));
        }
        let count = self.stream.read(buffer)?;
        if budget != u64::MAX {
            self.budget.store(budget.saturating_sub(count as u64), Ordering::Relaxed);
        }
        Ok(count)
    }
}

impl Seek for Source {
    fn seek(&mut self, position: SeekFrom) -> io::Result<u64> {
        self.stream.seek(position)
    }
}

impl Read for Stream {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::File(file) => file.read(buffer),
            Self::Bytes(bytes) => bytes.read(buffer),
        }
    }
}

impl Seek for Stream {
    fn seek(&mut self, position: SeekFrom) -> io::Result<u64> {
        match self {
            Self::File(file) => file.seek(position),
            Self::Bytes(bytes) => bytes.seek(position),
        }
    }
}

/// Whether these bytes begin like a zip (the second form is an empty archive).
fn is_zip(bytes: &[u8]) -> bool {
    bytes.starts_with(b"PK\x03\x04") || bytes.starts_with(b"PK\x05\x06")
}

/// The 64-bit end record is only needed above 65 535 entries or 4 GiB, beyond every limit here, and its counts are
/// what an archive can lie about to make a reader reserve memory.
fn refuse_zip64(path: &Path, stream: &mut Stream, bytes: u64) -> Result<()> {
    let mut tail = Vec::new();
    stream.seek(SeekFrom::Start(bytes.saturating_sub(ZIP_TAIL_BYTES))).map_err(Error::io(path))?;
    stream.take(ZIP_TAIL_BYTES).read_to_end(&mut tail).map_err(Error::io(path))?;
    // A locator is 20 bytes and stands directly before the end record.
    if tail.windows(24).any(|window| window.starts_with(b"PK\x06\x07") && window[20..] == *b"PK\x05\x06") {
        let problem = "a 64-bit zip archive, which no level is large enough to need; zip the level again".to_owned();
        return Err(Error::Zip { path: path.to_path_buf(), problem });
    }
    stream.seek(SeekFrom::Start(0)).map_err(Error::io(path))?;
    Ok(())
}

/// Capacity to reserve for a size that nothing has confirmed yet.
fn reserve(size: u64) -> usize {
    size.min(16 << 20) as usize
}

fn check_limit(name: &'static str, limit: u64, found: u64, path: &Path) -> Result<()> {
    if found > limit {
        return Err(Error::Limit { name, limit, found, place: Place::file(path.display().to_string()) });
    }
    Ok(())
}

fn zip_error(path: &Path, name: &str, error: &ZipError) -> Error {
    let what = match error {
        ZipError::Io(error) => format!("damaged data ({error})"),
        ZipError::UnsupportedArchive(text) if *text == ZipError::PASSWORD_REQUIRED => {
            "encrypted with a password; zip the level without one".to_owned()
        }
        ZipError::CompressionMethodNotSupported(method) => {
            format!("packed with method {method}; expected deflate or stored, zip the level again")
        }
        error => error.to_string(),
    };
    let problem =
        if name.is_empty() { format!("not a readable zip archive: {what}") } else { format!("{name}: {what}") };
    Error::Zip { path: path.to_path_buf(), problem }
}

/// The file is neither a zip nor an Info file.
fn not_a_level(path: &Path, magic: &[u8]) -> Error {
    let found = match magic {
        [b'R', b'a', b'r', b'!', ..] => "a RAR archive",
        [b'7', b'z', 0xBC, 0xAF, ..] => "a 7z archive",
        [0x1F, 0x8B, ..] => "a gzip file",
        [] => "an empty file",
        _ => "a file of another kind",
    };
    let problem = format!("found {found}, expected a level: a folder, a zip archive or an Info.dat");
    Error::Map { place: Place::file(path.display().to_string()), problem }
}

fn no_info(path: &Path, entries: &[Entry]) -> Error {
    let mut found = entries.iter().take(5).map(|entry| entry.name.as_str()).collect::<Vec<_>>().join(", ");
    if entries.len() > 5 {
        found.push_str(", …");
    }
    let found = if found.is_empty() { "no files".to_owned() } else { format!("{} files ({found})", entries.len()) };
    let problem = format!("found {found}, expected an Info.dat (or the old info.json) among them");
    Error::Map { place: Place::file(path.display().to_string()), problem }
}

/// Last part of a `/` separated name.
fn file_name(name: &str) -> &str {
    name.rsplit('/').next().unwrap_or(name)
}

/// 0 for `Info.dat`, 1 for the old `info.json`, in any case.
fn info_kind(file_name: &str) -> Option<u8> {
    if file_name.eq_ignore_ascii_case("info.dat") {
        Some(0)
    } else if file_name.eq_ignore_ascii_case("info.json") {
        Some(1)
    } else {
        None
    }
}

/// BeatSaver's choice: the shortest path that ends in `Info.dat`; an `info.json` only where there is none.
fn choose_info(entries: &[Entry]) -> Option<&str> {
    entries
        .iter()
        .filter_map(|entry| info_kind(file_name(&entry.name)).map(|kind| (kind, entry.name.len(), entry.name.as_str())))
        .min()
        .map(|(_, _, name)| name)
}

/// Whether a file is held to the limit for JSON: level, lightshow, audio data and Info files.
fn is_json_like(name: &str) -> bool {
    let extension = name.rsplit('.').next().unwrap_or_default();
    extension.eq_ignore_ascii_case("dat") || extension.eq_ignore_ascii_case("json")
}

/// `name` with `/` separators and without `.` parts, or why it must not be used.
fn safe_name(name: &str) -> Result<String, &'static str> {
    let name = name.replace('\\', "/");
    if name.contains('\0') {
        return Err("has a zero byte in its name");
    }
    if name.starts_with('/') {
        return Err("has an absolute path");
    }
    if let [drive, b':', ..] = name.as_bytes()
        && drive.is_ascii_alphabetic()
    {
        return Err("names a drive");
    }
    let parts: Vec<&str> = name.split('/').filter(|part| !part.is_empty() && *part != ".").collect();
    // Windows drops trailing dots and spaces, which would turn ".. " into "..".
    if parts.iter().any(|part| part.starts_with("..") && part.trim_end_matches(['.', ' ']).is_empty()) {
        return Err("leads out of its folder");
    }
    Ok(parts.join("/"))
}

/// The checked names of files to write.
fn names_to_write(path: &Path, files: &[(String, Cow<[u8]>)]) -> Result<Vec<String>> {
    let refuse = |problem: String| Error::Zip { path: path.to_path_buf(), problem };
    let mut seen = HashSet::new();
    let mut names = Vec::with_capacity(files.len());
    for (name, _) in files {
        let safe =
            safe_name(name).map_err(|problem| refuse(format!("file {name:?} {problem}; choose another name")))?;
        if safe.is_empty() || safe.ends_with('/') || name.ends_with('/') {
            return Err(refuse(format!("file {name:?} has no name")));
        }
        if !seen.insert(safe.to_lowercase()) {
            return Err(refuse(format!("two files are named {name:?} (case is ignored); names must differ")));
        }
        names.push(safe);
    }
    Ok(names)
}

/// The bytes of a zip of `files` in the order given: a fixed timestamp, deflate for text, stored for what is already
/// compressed. The same files give the same bytes.
///
/// # Errors
/// [`Error::Zip`] when a name is unsafe or occurs twice, or an entry is beyond what a plain zip can hold.
pub fn zip_bytes(files: &[(String, Cow<[u8]>)]) -> Result<Vec<u8>> {
    zip_bytes_for(Path::new("zip"), files)
}

fn zip_bytes_for(path: &Path, files: &[(String, Cow<[u8]>)]) -> Result<Vec<u8>> {
    let names = names_to_write(path, files)?;
    let fail = |name: &str, error: &dyn std::fmt::Display| Error::Zip {
        path: path.to_path_buf(),
        problem: format!("{name}: cannot be added to the archive ({error})"),
    };
    let mut zip = ZipWriter::new(Cursor::new(Vec::new()));
    for (name, (_, bytes)) in names.iter().zip(files) {
        let stored = [".egg", ".ogg", ".jpg", ".jpeg", ".png"].iter().any(|end| name.to_lowercase().ends_with(end));
        let options = SimpleFileOptions::default()
            .compression_method(if stored { CompressionMethod::Stored } else { CompressionMethod::Deflated })
            .last_modified_time(zip::DateTime::DEFAULT)
            .system(zip::System::Unix)
            .unix_permissions(0o644);
        zip.start_file(name.as_str(), options).map_err(|error| fail(name, &error))?;
        zip.write_all(bytes).map_err(|error| fail(name, &error))?;
    }
    Ok(zip.finish().map_err(|error| fail("directory", &error))?.into_inner())
}

/// Writes [`zip_bytes`] to `path`, replacing what is there, atomically.
///
/// # Errors
/// As [`zip_bytes`]; [`Error::Io`] when the disk refuses.
pub fn write_zip(path: &Path, files: &[(String, Cow<[u8]>)]) -> Result<()> {
    let bytes = zip_bytes_for(path, files)?;
    write_atomic(path, &bytes)
}

/// Writes `files` as the new folder `path`: into a temporary folder beside it, then renamed, so that a half-written
/// level is never seen.
///
/// # Errors
/// [`Error::Io`] when `path` exists and is anything but an empty folder, or when the disk refuses; [`Error::Zip`] for
/// unsafe or repeated names.
pub fn write_folder(path: &Path, files: &[(String, Cow<[u8]>)]) -> Result<()> {
    let names = names_to_write(path, files)?;
    let occupied = match fs::read_dir(path) {
        Ok(mut items) => items.next().is_some(),
        Err(error) if error.kind() == io::ErrorKind::NotFound => false,
        Err(error) => return Err(Error::io(path)(error)),
    };
    if occupied {
        let problem = "the folder is not empty and would be overwritten; name a new one or empty it first";
        return Err(Error::io(path)(io::Error::new(io::ErrorKind::AlreadyExists, problem)));
    }
    let parent = parent_of(path);
    let temporary = tempfile::Builder::new().prefix(".beatweaver-").tempdir_in(parent).map_err(Error::io(path))?;
    let level = temporary.path().join("level");
    fs::create_dir(&level).map_err(Error::io(path))?;
    for (name, (_, bytes)) in names.iter().zip(files) {
        let target = level.join(name);
        if let Some(folder) = target.parent() {
            fs::create_dir_all(folder).map_err(Error::io(path))?;
        }
        let mut file = File::create_new(&target).map_err(Error::io(&target))?;
        file.write_all(bytes).map_err(Error::io(&target))?;
        file.sync_all().map_err(Error::io(&target))?;
    }
    sync_folder(&level)?;
    fs::rename(&level, path).map_err(Error::io(path))?;
    sync_folder(parent)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    type Files = Vec<(String, Cow<'static, [u8]>)>;

    fn files(list: &[(&str, &[u8])]) -> Files {
        list.iter().map(|(name, bytes)| ((*name).to_owned(), Cow::Owned(bytes.to_vec()))).collect()
    }

    fn open(bytes: Vec<u8>) -> Result<Pack> {
        Pack::from_bytes("test.zip", bytes, &Limits::default())
    }

    fn refused(bytes: Vec<u8>) -> String {
        match open(bytes) {
            Err(error @ Error::Zip { .. }) => error.to_string(),
            other => panic!("expected a refused archive, found {other:?}"),
        }
    }

    /// One entry of a hand-made archive, to say what a well-behaved writer never says.
    #[derive(Clone)]
    struct Raw {
        name: Vec<u8>,
        data: Vec<u8>,
        method: u16,
        flags: u16,
        size: u32,
        mode: u32,
        crc: u32,
        at: Option<u32>,
    }

    fn raw(name: &str, data: &[u8]) -> Raw {
        let mut crc = flate2::Crc::new();
        crc.update(data);
        let size = data.len() as u32;
        let (name, data, crc) = (name.as_bytes().to_vec(), data.to_vec(), crc.sum());
        Raw { name, data, method: 0, flags: 0, size, mode: 0o100644, crc, at: None }
    }

    fn deflated(name: &str, data: &[u8]) -> Raw {
        let mut encoder = flate2::write::DeflateEncoder::new(Vec::new(), flate2::Compression::best());
        encoder.write_all(data).unwrap();
        Raw { data: encoder.finish().unwrap(), method: 8, ..raw(name, data) }
    }

    fn raw_zip(entries: &[Raw]) -> Vec<u8> {
        let mut out = Vec::new();
        let mut directory = Vec::new();
        for entry in entries {
            let offset = entry.at.unwrap_or(out.len() as u32);
            let mut common = Vec::new();
            for value in [20, entry.flags, entry.method, 0, 33] {
                common.extend_from_slice(&u16::to_le_bytes(value));
            }
            for value in [entry.crc, entry.data.len() as u32, entry.size] {
                common.extend_from_slice(&u32::to_le_bytes(value));
            }
            common.extend_from_slice(&(entry.name.len() as u16).to_le_bytes());
            common.extend_from_slice(&[0, 0]);
            if entry.at.is_none() {
                out.extend_from_slice(b"PK\x03\x04");
                out.extend_from_slice(&common);
                out.extend_from_slice(&entry.name);
                out.extend_from_slice(&entry.data);
            }
            directory.extend_from_slice(b"PK\x01\x02\x14\x03");
            directory.extend_from_slice(&common);
            directory.extend_from_slice(&[0; 6]);
            directory.extend_from_slice(&(entry.mode << 16).to_le_bytes());
            directory.extend_from_slice(&offset.to_le_bytes());
            directory.extend_from_slice(&entry.name);
        }
        let start = out.len() as u32;
        out.extend_from_slice(&directory);
        out.extend_from_slice(b"PK\x05\x06\0\0\0\0");
        out.extend_from_slice(&(entries.len() as u16).to_le_bytes());
        out.extend_from_slice(&(entries.len() as u16).to_le_bytes());
        out.extend_from_slice(&(directory.len() as u32).to_le_bytes());
        out.extend_from_slice(&start.to_le_bytes());
        out.extend_from_slice(&[0, 0]);
        out
    }

    fn rules_of(pack: &Pack) -> Vec<&'static str> {
        pack.warnings().iter().map(|warning| warning.rule).collect()
    }

    #[test]
    fn a_zip_a_folder_and_an_info_path_hold_the_same_files() {
        let home = tempfile::tempdir().unwrap();
        let list = files(&[("Info.dat", b"{}"), ("song.egg", b"OggS"), ("Lawless/Easy.dat", b"[1]")]);
        let (zip, folder) = (home.path().join("level.bin"), home.path().join("level"));
        write_zip(&zip, &list).unwrap();
        write_folder(&folder, &list).unwrap();
        for path in [zip.clone(), folder.clone(), folder.join("Info.dat")] {
            let pack = Pack::open(&path, &Limits::default()).unwrap();
            assert_eq!(pack.path(), path);
            assert_eq!(pack.names().collect::<Vec<_>>(), ["Info.dat", "Lawless/Easy.dat", "song.egg"]);
            assert_eq!(pack.info_name(), "Info.dat");
            for (name, bytes) in &list {
                assert_eq!(pack.read(name).unwrap(), bytes.as_ref());
                assert_eq!(pack.size(name), Some(bytes.len() as u64));
            }
            assert_eq!(pack.find("LAWLESS\\easy.DAT"), Some("Lawless/Easy.dat"));
            assert_eq!(pack.find("./song.egg"), Some("song.egg"));
            assert_eq!(pack.find("none.dat"), None);
            assert!(pack.warnings().is_empty());
            assert!(matches!(pack.read("none.dat"), Err(Error::Map { .. })));
        }
        assert_eq!(
            Pack::open(&zip, &Limits::default()).unwrap().archive_bytes(),
            Some(fs::read(&zip).unwrap().len() as u64)
        );
        assert_eq!(Pack::open(&folder, &Limits::default()).unwrap().archive_bytes(), None);
    }

    #[test]
    fn packs_cross_threads() {
        fn shared<T: Send + Sync>() {}
        shared::<Pack>();
    }

    #[test]
    fn an_exact_name_wins_over_one_that_differs_in_case() {
        let pack = open(zip_bytes(&files(&[("Info.dat", b""), ("a.dat", b"1")])).unwrap()).unwrap();
        assert_eq!(pack.find("A.DAT"), Some("a.dat"));
        let both = open(raw_zip(&[raw("Info.dat", b""), raw("A.dat", b"1"), raw("a.dat", b"2")])).unwrap();
        assert_eq!(both.find("a.dat"), Some("a.dat"));
        assert_eq!(both.read("a.dat").unwrap(), b"2");
    }

    #[test]
    fn the_info_file_is_found_wherever_players_put_it() {
        let cases: &[(&[&str], &str, &[&str])] = &[
            (&["Info.dat"], "Info.dat", &[]),
            (&["info.dat"], "info.dat", &[]),
            (&["info.json"], "info.json", &[]),
            (&["INFO.DAT"], "INFO.DAT", &["info-name-case"]),
            (&["info.json", "Info.dat"], "Info.dat", &[]),
            (&["backup/Info.dat", "Info.dat"], "Info.dat", &[]),
            (&["__MACOSX/._Info.dat", "My level/info.dat"], "info.dat", &["wrapped-folder"]),
            (&["a/info.dat", "bb/info.dat"], "info.dat", &["wrapped-folder", "several-levels"]),
        ];
        for (names, info, warnings) in cases {
            let list: Vec<Raw> = names.iter().map(|name| raw(name, b"{}")).collect();
            let pack = open(raw_zip(&list)).unwrap();
            assert_eq!((pack.info_name(), rules_of(&pack).as_slice()), (*info, *warnings), "{names:?}");
            assert_eq!(pack.read(pack.info_name()).unwrap(), b"{}");
        }
        let wrapped = open(raw_zip(&[raw("level/Info.dat", b""), raw("level/x.dat", b""), raw("other", b"")])).unwrap();
        assert_eq!(wrapped.names().collect::<Vec<_>>(), ["Info.dat", "x.dat"]);
    }

    #[test]
    fn what_is_no_level_is_named() {
        let text = |bytes: &[u8]| open(bytes.to_vec()).unwrap_err().to_string();
        assert!(text(b"Rar!\x1a\x07").contains("a RAR archive"), "{}", text(b"Rar!\x1a\x07"));
        assert!(text(b"7z\xbc\xaf\x27").contains("a 7z archive"));
        assert!(text(b"\x1f\x8b\x08").contains("a gzip file"));
        assert!(text(b"").contains("an empty file"));
        assert!(text(b"OggS").contains("a file of another kind"));
        let without = zip_bytes(&files(&[("a.dat", b""), ("b.egg", b"")])).unwrap();
        assert!(matches!(open(without.clone()), Err(Error::Map { .. })));
        assert!(text(&without).contains("found 2 files (a.dat, b.egg), expected an Info.dat"), "{}", text(&without));
        assert!(text(&zip_bytes(&[]).unwrap()).contains("found no files"));
        let home = tempfile::tempdir().unwrap();
        let absent = home.path().join("absent");
        assert!(matches!(Pack::open(&absent, &Limits::default()), Err(Error::Io { .. })));
        assert!(matches!(Pack::open(home.path(), &Limits::default()), Err(Error::Map { .. })));
        fs::write(home.path().join("song.egg"), b"OggS").unwrap();
        assert!(matches!(Pack::open(&home.path().join("song.egg"), &Limits::default()), Err(Error::Map { .. })));
    }

    #[test]
    fn names_that_leave_the_pack_refuse_the_archive() {
        for name in ["../Info.dat", "a/../../b", "/etc/passwd", "C:\\x.dat", "c:x", "a\\..\\..\\b", ".. /b", "a\0b"] {
            let text = refused(raw_zip(&[raw("Info.dat", b"{}"), raw(name, b"x")]));
            assert!(text.contains("refused"), "{name}: {text}");
        }
        let link = Raw { mode: 0o120777, ..raw("song.egg", b"/etc/passwd") };
        let pack = open(raw_zip(&[raw("Info.dat", b"{}"), link])).unwrap();
        assert_eq!((pack.find("song.egg"), rules_of(&pack)), (None, vec!["symlink-entry"]));
        // Harmless odd spellings are read.
        let odd = open(raw_zip(&[raw("./Info.dat", b"{}"), raw("a\\b..c.dat", b"1"), raw("d/", b"")])).unwrap();
        assert_eq!(odd.names().collect::<Vec<_>>(), ["Info.dat", "a/b..c.dat"]);
    }

    #[test]
    fn hostile_archives_end_in_clear_errors() {
        let info = raw("Info.dat", b"{}");
        let read = |entry: &Raw, limits: &Limits| {
            let pack = Pack::from_bytes("t.zip", raw_zip(&[info.clone(), entry.clone()]), limits).unwrap();
            pack.read("x.dat").map(|bytes| bytes.len())
        };
        let limits = Limits::default();
        let zeros = vec![0_u8; 8 << 20];
        let bomb = deflated("x.dat", &zeros);
        assert!(matches!(read(&bomb, &limits), Err(Error::Limit { name: "compression_ratio", .. })));
        // The same bomb says it is small: the reader stops where the header said.
        let liar = Raw { size: 100, ..bomb.clone() };
        assert!(matches!(read(&liar, &limits), Err(Error::Zip { .. })));
        // Says it is larger than it is.
        let short = Raw { size: 5000, ..deflated("x.dat", b"abc") };
        assert!(read(&short, &limits).unwrap_err().to_string().contains("says 5000 bytes and 3 came out"));
        let corrupt = Raw { crc: 1, ..deflated("x.dat", b"abc") };
        assert!(matches!(read(&corrupt, &limits), Err(Error::Zip { .. })));
        let encrypted = Raw { flags: 1, ..raw("x.dat", b"abcdefghijklmnop") };
        assert!(read(&encrypted, &limits).unwrap_err().to_string().contains("password"));
        let method = Raw { method: 99, ..raw("x.dat", b"abc") };
        assert!(matches!(read(&method, &limits), Err(Error::Zip { .. })));
        let garbage = Raw { method: 8, ..raw("x.dat", b"\xff\xff\xff\xff") };
        assert!(matches!(read(&garbage, &limits), Err(Error::Zip { .. })));

        let small = Limits { json_bytes: 10, ..Limits::default() };
        let big = raw("x.dat", &[b'1'; 11]);
        assert!(matches!(read(&big, &small), Err(Error::Limit { name: "json_bytes", found: 11, .. })));
        let media = Limits { media_bytes: 10, ..Limits::default() };
        let song = Pack::from_bytes("t.zip", raw_zip(&[info.clone(), raw("s.egg", &[1; 11])]), &media).unwrap();
        assert!(matches!(song.read("s.egg"), Err(Error::Limit { name: "media_bytes", .. })));
        let total = Limits { unpacked_bytes: 1000, ..Limits::default() };
        let many = raw_zip(&[info.clone(), Raw { size: 2000, ..deflated("x.dat", &[0; 2000]) }]);
        assert!(matches!(Pack::from_bytes("t.zip", many, &total), Err(Error::Limit { name: "unpacked_bytes", .. })));

        let two = Limits { zip_entries: 2, ..Limits::default() };
        let three = raw_zip(&[info.clone(), raw("a", b""), raw("b", b"")]);
        assert!(matches!(Pack::from_bytes("t.zip", three, &two), Err(Error::Limit { name: "zip_entries", .. })));
        // A directory of endless names runs out of budget before it is held in memory.
        let endless: Vec<Raw> = (0..60).map(|i| raw(&format!("{i:060000}"), b"")).collect();
        assert!(matches!(Pack::from_bytes("t.zip", raw_zip(&endless), &two), Err(Error::Zip { .. })));

        let overlapping = Raw { at: Some(0), ..raw("again.dat", b"{}") };
        assert!(refused(raw_zip(&[info.clone(), overlapping])).contains("overlap"));
        let mut zip64 = raw_zip(std::slice::from_ref(&info));
        let end = zip64.len() - 22;
        zip64.splice(end..end, [b"PK\x06\x07".as_slice(), &[0; 16]].concat());
        assert!(refused(zip64).contains("64-bit"));
        let mut cut = raw_zip(std::slice::from_ref(&info));
        cut.truncate(cut.len() - 30);
        assert!(matches!(open(cut), Err(Error::Zip { .. })));

        let twice = open(raw_zip(&[info.clone(), raw("a.dat", b"1"), raw("a.dat", b"2")])).unwrap();
        assert_eq!(rules_of(&twice), ["duplicate-entry"]);
        let spelt_twice = open(raw_zip(&[info, raw("a/b.dat", b"1"), raw("a\\b.dat", b"2")])).unwrap();
        assert_eq!(rules_of(&spelt_twice), ["duplicate-entry"]);
    }

    #[test]
    fn names_in_old_encodings_are_read() {
        let old = Raw { name: b"caf\x82.dat".to_vec(), ..raw("", b"1") };
        let pack = open(raw_zip(&[raw("Info.dat", b"{}"), old, raw("曲.egg", b"2")])).unwrap();
        assert_eq!(pack.names().collect::<Vec<_>>(), ["Info.dat", "café.dat", "曲.egg"]);
        assert_eq!(pack.read("CAFÉ.dat").unwrap(), b"1");
        assert_eq!(pack.read("曲.egg").unwrap(), b"2");
    }

    #[cfg(unix)]
    #[test]
    fn a_folder_is_not_left_through_links() {
        let home = tempfile::tempdir().unwrap();
        let level = home.path().join("level");
        write_folder(&level, &files(&[("Info.dat", b"{}"), ("a/b/c/d/deep.dat", b"1"), ("a/b/c/in.dat", b"2")]))
            .unwrap();
        fs::write(home.path().join("secret.dat"), b"secret").unwrap();
        std::os::unix::fs::symlink(home.path().join("secret.dat"), level.join("out.dat")).unwrap();
        std::os::unix::fs::symlink(level.join("Info.dat"), level.join("inside.dat")).unwrap();
        std::os::unix::fs::symlink(home.path(), level.join("parent")).unwrap();
        std::os::unix::fs::symlink(&level, level.join("loop")).unwrap();
        let pack = Pack::open(&level, &Limits::default()).unwrap();
        assert_eq!(pack.names().collect::<Vec<_>>(), ["Info.dat", "a/b/c/in.dat", "inside.dat"]);
        assert_eq!(rules_of(&pack), ["symlink-entry"]);
        assert_eq!(pack.warnings()[0].count, 3);
        let one = Limits { zip_entries: 3, ..Limits::default() };
        assert!(matches!(Pack::open(&level, &one), Err(Error::Limit { name: "zip_entries", .. })));
        let tiny = Limits { json_bytes: 1, ..Limits::default() };
        assert!(matches!(Pack::open(&level, &tiny).unwrap().read("Info.dat"), Err(Error::Limit { .. })));
    }

    #[test]
    fn fingerprints_change_with_content() {
        let home = tempfile::tempdir().unwrap();
        let print = |name: &str, list: &Files| {
            write_folder(&home.path().join(name), list).unwrap();
            let folder = Pack::open(&home.path().join(name), &Limits::default()).unwrap().fingerprint().unwrap();
            (folder, open(zip_bytes(list).unwrap()).unwrap().fingerprint().unwrap())
        };
        let base = print("0", &files(&[("Info.dat", b"{}"), ("s.egg", b"12")]));
        assert_eq!(base, print("1", &files(&[("s.egg", b"12"), ("Info.dat", b"{}")])));
        let media = print("2", &files(&[("Info.dat", b"{}"), ("s.egg", b"34")]));
        assert_eq!(base.0, media.0);
        assert_ne!(base.1, media.1);
        for (name, other) in [
            ("3", &[("Info.dat", b"[]".as_slice()), ("s.egg", b"12")]),
            ("4", &[("Info.dat", b"{}"), ("t.egg", b"12")]),
        ] {
            let other = print(name, &files(other));
            assert!(base.0 != other.0 && base.1 != other.1, "{name}");
        }
    }

    #[test]
    fn writing_is_careful() {
        let home = tempfile::tempdir().unwrap();
        for list in
            [files(&[("../a", b"")]), files(&[("a", b""), ("A", b"")]), files(&[("", b"")]), files(&[("a/", b"")])]
        {
            assert!(matches!(zip_bytes(&list), Err(Error::Zip { .. })), "{list:?}");
            assert!(matches!(write_folder(&home.path().join("n"), &list), Err(Error::Zip { .. })));
            assert!(matches!(write_zip(&home.path().join("n.zip"), &list), Err(Error::Zip { .. })));
        }
        let list = files(&[("Info.dat", b"{}")]);
        let full = home.path().join("full");
        fs::create_dir(&full).unwrap();
        write_folder(&full, &list).unwrap();
        let error = write_folder(&full, &list).unwrap_err();
        assert!(error.to_string().contains("not empty"), "{error}");
        assert!(matches!(write_folder(&full.join("Info.dat"), &list), Err(Error::Io { .. })));
        assert!(matches!(write_zip(&home.path().join("no/such/x.zip"), &list), Err(Error::Io { .. })));
        write_zip(&home.path().join("x.zip"), &files(&[("old", b"")])).unwrap();
        write_zip(&home.path().join("x.zip"), &list).unwrap();
        assert_eq!(Pack::open(&home.path().join("x.zip"), &Limits::default()).unwrap().names().count(), 1);
        // Nothing temporary stays behind.
        let mut left: Vec<_> = fs::read_dir(home.path()).unwrap().map(|item| item.unwrap().file_name()).collect();
        left.sort();
        assert_eq!(left, ["full", "x.zip"]);
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            let mode = fs::metadata(home.path().join("x.zip")).unwrap().permissions().mode();
            assert_eq!(mode & 0o400, 0o400);
            assert_eq!(mode & 0o044, fs::metadata(full.join("Info.dat")).unwrap().permissions().mode() & 0o044);
        }
    }

    #[test]
    fn compressed_media_is_stored() {
        let bytes = zip_bytes(&files(&[("Info.dat", &[b' '; 5000]), ("a.EGG", &[b' '; 3000])])).unwrap();
        let mut zip = ZipArchive::new(Cursor::new(bytes)).unwrap();
        assert_eq!(zip.by_name("a.EGG").unwrap().compression(), CompressionMethod::Stored);
        let info = zip.by_name("Info.dat").unwrap();
        assert_eq!(info.compression(), CompressionMethod::Deflated);
        assert_eq!(info.last_modified(), Some(zip::DateTime::DEFAULT));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(200))]

        #[test]
        fn any_bytes_open_or_fail_without_panic(bytes in proptest::collection::vec(any::<u8>(), 0..600)) {
            let _ = open(bytes.clone());
            let _ = open([b"PK\x03\x04".as_slice(), &bytes].concat());
        }

        #[test]
        fn damaged_archives_open_or_fail_without_panic(
            at in any::<prop::sample::Index>(), value in any::<u8>(), cut in any::<prop::sample::Index>(),
        ) {
            let mut bytes = raw_zip(&[raw("Info.dat", b"{}"), deflated("x.dat", &[b'7'; 300]), raw("s.egg", b"OggS")]);
            let at = at.index(bytes.len());
            bytes[at] = value;
            let cut = cut.index(bytes.len() + 1).max(4);
            for bytes in [bytes.clone(), bytes[..cut].to_vec()] {
                if let Ok(pack) = open(bytes) {
                    let names: Vec<String> = pack.names().map(str::to_owned).collect();
                    for name in names {
                        let _ = pack.read(&name);
                    }
                    let _ = pack.fingerprint();
                }
            }
        }

        #[test]
        fn what_is_written_is_read_back(
            contents in proptest::collection::btree_map("[a-zé曲]{1,6}(/[a-z ]{1,4}[a-z])?\\.(dat|egg|png)",
                proptest::collection::vec(any::<u8>(), 0..2000), 0..6)
        ) {
            let mut list: Files = vec![("Info.dat".to_owned(), Cow::Borrowed(b"{}".as_slice()))];
            list.extend(contents.into_iter().map(|(name, bytes)| (name, Cow::Owned(bytes))));
            let bytes = zip_bytes(&list).unwrap();
            prop_assert_eq!(&bytes, &zip_bytes(&list).unwrap());
            let pack = open(bytes).unwrap();
            prop_assert_eq!(pack.names().count(), list.len());
            for (name, bytes) in &list {
                prop_assert_eq!(&pack.read(name).unwrap(), bytes.as_ref());
            }
        }
    }
}
