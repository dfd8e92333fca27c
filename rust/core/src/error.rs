//! The one error type of the core, the place of a fault, and every limit that guards against hostile input.

use std::fmt;
use std::path::{Path, PathBuf};

/// Result of every fallible call in this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Where in the input something is: a file, then a spot inside it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Place {
    /// File name as the user knows it (inside a pack: relative to the pack's root).
    pub file: String,
    /// JSON pointer such as `/_notes/12/_time`; empty for the whole file.
    pub pointer: String,
    /// 1-based line, 0 when unknown.
    pub line: usize,
    /// 1-based column, 0 when unknown.
    pub column: usize,
}

impl Place {
    /// The whole of `file`.
    pub fn file(file: impl Into<String>) -> Self {
        Self { file: file.into(), ..Self::default() }
    }

    /// `pointer` inside `file`.
    pub fn at(file: impl Into<String>, pointer: impl Into<String>) -> Self {
        Self { file: file.into(), pointer: pointer.into(), ..Self::default() }
    }

    /// The spot inside the file: the pointer, or line and column, or nothing.
    pub fn spot(&self) -> String {
        match (self.pointer.as_str(), self.line) {
            ("", 0) => String::new(),
            ("", line) => format!("line {line}, column {}", self.column),
            (pointer, 0) => pointer.to_owned(),
            (pointer, line) => format!("{pointer} (line {line}, column {})", self.column),
        }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let spot = self.spot();
        match (self.file.as_str(), spot.as_str()) {
            ("", "") => f.write_str("input"),
            ("", spot) => f.write_str(spot),
            (file, "") => f.write_str(file),
            (file, spot) => write!(f, "{file}: {spot}"),
        }
    }
}

/// Everything that can go wrong, one variant per way. Text is lower-case; found and expected are both stated.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The operating system refused.
    #[error("{}: {source}", path.display())]
    Io {
        /// What was read or written.
        path: PathBuf,
        /// The system's own error.
        source: std::io::Error,
    },
    /// Not a readable zip archive, or one that tries to escape its folder.
    #[error("{}: {problem}", path.display())]
    Zip {
        /// The archive.
        path: PathBuf,
        /// What is wrong with it.
        problem: String,
    },
    /// Text that is not the JSON it should be.
    #[error("{place}: {problem}")]
    Json {
        /// File, pointer, line and column.
        place: Place,
        /// What was found and what was expected.
        problem: String,
    },
    /// A format version this library does not know.
    #[error("{place}: found version {found:?}, expected {expected}")]
    Version {
        /// File and pointer of the version field.
        place: Place,
        /// The version string as written.
        found: String,
        /// Versions that are supported.
        expected: &'static str,
    },
    /// Well-formed JSON that is not a usable map.
    #[error("{place}: {problem}")]
    Map {
        /// File and pointer.
        place: Place,
        /// What was found and what was expected.
        problem: String,
    },
    /// Audio that cannot be decoded.
    #[error("{}: {problem}", path.display())]
    Audio {
        /// The audio file.
        path: PathBuf,
        /// What was found and what was expected.
        problem: String,
    },
    /// Input beyond a limit that protects memory or time.
    #[error("{place}: {name} is {found}, the limit is {limit}")]
    Limit {
        /// Name of the limit, a field of [`Limits`].
        name: &'static str,
        /// The limit in force.
        limit: u64,
        /// What the input asked for.
        found: u64,
        /// Where.
        place: Place,
    },
    /// A token sequence that the vocabulary or the grammar does not allow.
    #[error("token {index} (id {id}): {problem}")]
    Token {
        /// Position in the sequence.
        index: usize,
        /// The token id.
        id: u32,
        /// What is wrong with it.
        problem: String,
    },
    /// A specification (the JSON bytes of a config object) that is not valid.
    #[error("{field}: {problem}")]
    Spec {
        /// Name of the field.
        field: String,
        /// What was found and what was expected.
        problem: String,
    },
    /// A store or shard file that is damaged or does not belong here.
    #[error("{key}: {problem}")]
    Store {
        /// Key or file name.
        key: String,
        /// What is wrong with it.
        problem: String,
    },
    /// The caller asked to stop.
    #[error("cancelled")]
    Cancelled,
}

impl Error {
    /// An [`Error::Io`] for `path`; meant for `map_err`.
    pub fn io(path: impl AsRef<Path>) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.as_ref().to_path_buf();
        move |source| Self::Io { path, source }
    }

    /// Short stable name of the kind, as scripts see it.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Io { .. } => "io",
            Self::Zip { .. } => "zip",
            Self::Json { .. } => "json",
            Self::Version { .. } => "version",
            Self::Map { .. } => "map",
            Self::Audio { .. } => "audio",
            Self::Limit { .. } => "limit",
            Self::Token { .. } => "token",
            Self::Spec { .. } => "spec",
            Self::Store { .. } => "store",
            Self::Cancelled => "cancelled",
        }
    }
}

/// Something odd that was read all the same.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Warning {
    /// Stable kebab-case name, for example `trailing-comma`.
    pub rule: &'static str,
    /// File and first spot where it was seen.
    pub place: Place,
    /// One sentence for a person.
    pub message: String,
    /// How often it was seen in this file.
    pub count: u64,
}

/// Limits that keep hostile input from exhausting memory or time. Each is generous: the largest real map seen is far below.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of one JSON file after unpacking.
    pub json_bytes: u64,
    /// Bytes of one audio or image file after unpacking.
    pub media_bytes: u64,
    /// Entries of one zip archive.
    pub zip_entries: u64,
    /// Unpacked bytes of one whole archive.
    pub unpacked_bytes: u64,
    /// Unpacked size over packed size of one entry larger than 1 MiB.
    pub compression_ratio: u64,
    /// Objects of any one kind in one difficulty.
    pub objects: u64,
    /// Difficulties named by one Info file.
    pub difficulties: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            json_bytes: 256 << 20,
            media_bytes: 512 << 20,
            zip_entries: 10_000,
            unpacked_bytes: 1 << 30,
            compression_ratio: 500,
            objects: 2_000_000,
            difficulties: 200,
        }
    }
}
