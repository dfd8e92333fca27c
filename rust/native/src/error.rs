//! Translation of the core's errors to Python exceptions: the one place that knows both sides.
//!
//! The classes themselves are Python's (`beatweaver.errors`): there they have typed attributes, pickle across processes,
//! and need no binary to be imported or documented.

use beatweaver_core::{Error, Place};
use pyo3::exceptions::PyOSError;
use pyo3::prelude::*;
use pyo3::types::PyDict;

/// Everything a Python exception is made from.
#[derive(Default)]
struct Fault {
    class: &'static str,
    path: Option<String>,
    spot: Option<String>,
    found: Option<String>,
    expected: Option<String>,
    hint: Option<&'static str>,
}

impl Fault {
    fn of(class: &'static str) -> Self {
        Self { class, ..Self::default() }
    }

    fn at(class: &'static str, place: &Place) -> Self {
        Self { path: known(&place.file), spot: known(&place.spot()), ..Self::of(class) }
    }
}

fn known(text: &str) -> Option<String> {
    (!text.is_empty()).then(|| text.to_owned())
}

/// The Python exception that says what `error` says.
pub(crate) fn to_python(py: Python<'_>, error: &Error) -> PyErr {
    let fault = match error {
        Error::Io { path, source } => return io(py, path, source).unwrap_or_else(|failed| failed),
        Error::Zip { path, .. } => Fault {
            path: Some(path.display().to_string()),
            hint: Some("download the archive again, or unpack it and name the folder"),
            ..Fault::of("MapError")
        },
        Error::Json { place, .. } => Fault {
            hint: Some("open the file in a text editor at the place named, or download the map again"),
            ..Fault::at("MapJsonError", place)
        },
        Error::Version { place, found, expected } => Fault {
            found: Some(found.clone()),
            expected: Some((*expected).to_owned()),
            hint: Some("open the map in an editor and save it in one of the versions named"),
            ..Fault::at("MapVersionError", place)
        },
        Error::Map { place, .. } => Fault::at("MapError", place),
        Error::Audio { path, .. } => Fault {
            path: Some(path.display().to_string()),
            hint: Some("play the file in another program; if that works, export it again as Ogg Vorbis or WAV"),
            ..Fault::of("AudioError")
        },
        Error::Limit { limit, found, place, .. } => Fault {
            found: Some(found.to_string()),
            expected: Some(format!("at most {limit}")),
            hint: Some("no ordinary file comes near this limit: it is probably damaged"),
            ..Fault::at("LimitError", place)
        },
        Error::Token { index, id, .. } => {
            Fault { spot: Some(format!("token {index}")), found: Some(id.to_string()), ..Fault::of("TokenError") }
        }
        Error::Spec { field, .. } => Fault { spot: Some(field.clone()), ..Fault::of("ConfigError") },
        Error::Store { key, .. } => Fault {
            spot: Some(key.clone()),
            hint: Some("delete the file named and run the command again: it will be made anew"),
            ..Fault::of("StoreError")
        },
        Error::Cancelled => Fault::of("CancelledError"),
        // The enum is non-exhaustive: a variant this list does not know yet is still an error of this library.
        _ => Fault::of("BeatWeaverError"),
    };
    raise(py, &fault, &error.to_string()).unwrap_or_else(|failed| failed)
}

fn raise(py: Python<'_>, fault: &Fault, message: &str) -> PyResult<PyErr> {
    let keywords = PyDict::new(py);
    keywords.set_item("path", &fault.path)?;
    keywords.set_item("where", &fault.spot)?;
    keywords.set_item("found", &fault.found)?;
    keywords.set_item("expected", &fault.expected)?;
    keywords.set_item("hint", fault.hint)?;
    let class = py.import("beatweaver.errors")?.getattr(fault.class)?;
    Ok(PyErr::from_value(class.call((message,), Some(&keywords))?))
}

/// `OSError` picks its own subclass from the number, as it does for Python's own calls.
fn io(py: Python<'_>, path: &std::path::Path, source: &std::io::Error) -> PyResult<PyErr> {
    let module = py.import("errno")?;
    let (number, text) = match source.raw_os_error() {
        // On Windows the number is not an errno: there the kind decides.
        Some(number) if cfg!(unix) => (number, py.import("os")?.call_method1("strerror", (number,))?.extract()?),
        _ => (module.getattr(errno_name(source.kind()))?.extract()?, source.to_string()),
    };
    Ok(PyErr::from_value(py.get_type::<PyOSError>().call1((number, text, path.as_os_str()))?))
}

fn errno_name(kind: std::io::ErrorKind) -> &'static str {
    use std::io::ErrorKind;
    match kind {
        ErrorKind::NotFound => "ENOENT",
        ErrorKind::PermissionDenied => "EACCES",
        ErrorKind::AlreadyExists => "EEXIST",
        ErrorKind::NotADirectory => "ENOTDIR",
        ErrorKind::IsADirectory => "EISDIR",
        ErrorKind::StorageFull => "ENOSPC",
        ErrorKind::Interrupted => "EINTR",
        ErrorKind::TimedOut => "ETIMEDOUT",
        _ => "EIO",
    }
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::path::PathBuf;

    use super::*;

    /// Runs `check` on the Python exception made from `error`, with the package's own `errors.py` importable.
    fn translated(error: &Error, check: impl FnOnce(&Bound<'_, PyAny>)) {
        Python::initialize();
        Python::attach(|py| {
            let package = concat!(env!("CARGO_MANIFEST_DIR"), "/../../python");
            let path = py.import("sys").unwrap().getattr("path").unwrap();
            if !path.contains(package).unwrap() {
                path.call_method1("insert", (0, package)).unwrap();
            }
            check(to_python(py, error).value(py));
        });
    }

    fn field(value: &Bound<'_, PyAny>, name: &str) -> Option<String> {
        value.getattr(name).unwrap().extract().unwrap()
    }

    #[test]
    fn every_variant_has_its_class_and_keeps_its_text() {
        let place = || Place::at("Easy.dat", "/colorNotes/3/d");
        let path = || PathBuf::from("song.zip");
        let problem = || "found 9, expected 0 to 8".to_owned();
        let cases: Vec<(Error, &str, &[&str])> = vec![
            (Error::Zip { path: path(), problem: problem() }, "MapError", &["path", "hint"]),
            (Error::Json { place: place(), problem: problem() }, "MapJsonError", &["path", "where", "hint"]),
            (
                Error::Version { place: place(), found: "9.0.0".into(), expected: "2 to 4" },
                "MapVersionError",
                &["path", "where", "found", "expected", "hint"],
            ),
            (Error::Map { place: place(), problem: problem() }, "MapError", &["path", "where"]),
            (Error::Audio { path: path(), problem: problem() }, "AudioError", &["path", "hint"]),
            (
                Error::Limit { name: "objects", limit: 5, found: 6, place: place() },
                "LimitError",
                &["path", "where", "found", "expected", "hint"],
            ),
            (Error::Token { index: 4, id: 900, problem: problem() }, "TokenError", &["where", "found"]),
            (Error::Spec { field: "hop".into(), problem: problem() }, "ConfigError", &["where"]),
            (Error::Store { key: "ab12".into(), problem: problem() }, "StoreError", &["where", "hint"]),
            (Error::Cancelled, "CancelledError", &[]),
        ];
        for (error, class, known) in cases {
            translated(&error, |value| {
                assert_eq!(value.get_type().name().unwrap().to_string(), class);
                assert_eq!(value.get_type().module().unwrap().to_string(), "beatweaver.errors");
                assert_eq!(value.str().unwrap().to_string(), error.to_string());
                for name in ["path", "where", "found", "expected", "hint"] {
                    assert_eq!(field(value, name).is_some(), known.contains(&name), "{class}.{name}");
                }
            });
        }
    }

    #[test]
    fn attributes_say_where_and_what() {
        let error =
            Error::Version { place: Place::at("Info.dat", "/version"), found: "5.0".into(), expected: "2, 3, 4" };
        translated(&error, |value| {
            assert_eq!(field(value, "path").as_deref(), Some("Info.dat"));
            assert_eq!(field(value, "where").as_deref(), Some("/version"));
            assert_eq!(field(value, "found").as_deref(), Some("5.0"));
            assert_eq!(field(value, "expected").as_deref(), Some("2, 3, 4"));
        });
    }

    #[test]
    fn io_becomes_the_built_in_class_with_errno_and_filename() {
        let missing = std::fs::read("no/such/file").unwrap_err();
        let cases = [
            (missing, "FileNotFoundError", "ENOENT"),
            (io::Error::from(io::ErrorKind::PermissionDenied), "PermissionError", "EACCES"),
            (io::Error::from(io::ErrorKind::AlreadyExists), "FileExistsError", "EEXIST"),
            (io::Error::from(io::ErrorKind::IsADirectory), "IsADirectoryError", "EISDIR"),
            (io::Error::from(io::ErrorKind::NotADirectory), "NotADirectoryError", "ENOTDIR"),
            (io::Error::from(io::ErrorKind::StorageFull), "OSError", "ENOSPC"),
            (io::Error::from(io::ErrorKind::Interrupted), "InterruptedError", "EINTR"),
            (io::Error::from(io::ErrorKind::TimedOut), "TimeoutError", "ETIMEDOUT"),
            (io::Error::new(io::ErrorKind::InvalidData, "odd"), "OSError", "EIO"),
        ];
        for (source, class, number) in cases {
            translated(&Error::io("some/file")(source), |value| {
                let expected: i32 = value.py().import("errno").unwrap().getattr(number).unwrap().extract().unwrap();
                assert_eq!(value.get_type().name().unwrap().to_string(), class);
                assert_eq!(value.getattr("errno").unwrap().extract::<i32>().unwrap(), expected);
                assert_eq!(field(value, "filename").as_deref(), Some("some/file"));
            });
        }
    }
}
