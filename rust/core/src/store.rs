//! Files that are whole or not there: atomic writes, and safetensors shards.

use std::borrow::Cow;
use std::collections::HashMap;
use std::io::Write;
use std::path::Path;

use safetensors::tensor::{Dtype, SafeTensors, View};

use crate::{Error, Result};

/// Writes `bytes` under a temporary name beside `path`, syncs, and renames: readers see the old file or the new one.
///
/// # Errors
/// [`Error::Io`]; nothing is left behind then.
pub fn write_atomic(path: &Path, bytes: &[u8]) -> Result<()> {
    let parent = parent_of(path);
    let mut builder = tempfile::Builder::new();
    builder.prefix(".beatweaver-");
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

#[cfg(test)]
mod tests {
    use super::*;

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
