//! From bytes to JSON rows and back: the one place that parses and prints the game's JSON.
//!
//! Reading is lenient and says so: every oddity becomes a [`Warning`] with its place. Writing is strict and deterministic.
//! Rows stream from `serde_json` straight into the model; what a row says beyond its known members is kept as text.

use std::borrow::Cow;
use std::cell::{Cell, RefCell};
use std::fmt;
use std::io::Read as _;

use serde::de::{DeserializeSeed, Deserializer, Error as _, IgnoredAny, MapAccess, SeqAccess, Unexpected, Visitor};
use serde_json::value::RawValue;
use serde_json::{Map, Value};

use crate::{Error, Limits, Place, Result, Warning};

// ---------------------------------------------------------------------------------------------------------------- text

/// Text of a JSON file: gzip and byte order marks undone, each with a warning.
///
/// # Errors
/// [`Error::Json`] when it is not text, [`Error::Limit`] when it unpacks to more than [`Limits::json_bytes`].
pub fn read_text<'a>(bytes: &'a [u8], file: &str, limits: &Limits) -> Result<(Cow<'a, str>, Vec<Warning>)> {
    let mut warnings = Vec::new();
    let mut warn = |rule, message: &str| {
        warnings.push(Warning { rule, place: Place::file(file), message: message.to_owned(), count: 1 });
    };
    let too_big =
        |found| Error::Limit { name: "json_bytes", limit: limits.json_bytes, found, place: Place::file(file) };
    if bytes.len() as u64 > limits.json_bytes {
        return Err(too_big(bytes.len() as u64));
    }
    let mut bytes = Cow::Borrowed(bytes);
    if bytes.starts_with(&[0x1F, 0x8B]) {
        let mut unpacked = Vec::new();
        flate2::read::MultiGzDecoder::new(&*bytes)
            .take(limits.json_bytes + 1)
            .read_to_end(&mut unpacked)
            .map_err(|e| json_error(file, format!("gzip data is damaged ({e}), expected JSON")))?;
        if unpacked.len() as u64 > limits.json_bytes {
            return Err(too_big(unpacked.len() as u64));
        }
        warn("gzip", "the file is gzip-compressed; the game reads that for version 4 only");
        bytes = Cow::Owned(unpacked);
    }
    let utf16 = |bytes: &[u8], unit: fn([u8; 2]) -> u16| {
        char::decode_utf16(bytes.chunks_exact(2).map(|c| unit([c[0], c[1]])))
            .map(|c| c.unwrap_or(char::REPLACEMENT_CHARACTER))
            .collect::<String>()
    };
    let utf32 = |bytes: &[u8], unit: fn([u8; 4]) -> u32| {
        bytes
            .chunks_exact(4)
            .map(|c| char::from_u32(unit([c[0], c[1], c[2], c[3]])).unwrap_or(char::REPLACEMENT_CHARACTER))
            .collect::<String>()
    };
    let utf8 = simdutf8::compat::from_utf8;
    let text: Cow<'a, str> = match &*bytes {
        [] => return Err(json_error(file, "the file is empty (0 bytes), expected JSON".into())),
        [0xFF, 0xFE, 0, 0, rest @ ..] => Cow::Owned(utf32(rest, u32::from_le_bytes)),
        [0, 0, 0xFE, 0xFF, rest @ ..] => Cow::Owned(utf32(rest, u32::from_be_bytes)),
        [0xFF, 0xFE, rest @ ..] => Cow::Owned(utf16(rest, u16::from_le_bytes)),
        [0xFE, 0xFF, rest @ ..] => Cow::Owned(utf16(rest, u16::from_be_bytes)),
        _ => {
            let skip = if bytes.starts_with(&[0xEF, 0xBB, 0xBF]) { 3 } else { 0 };
            let text = match bytes {
                Cow::Borrowed(b) => utf8(&b[skip..]).map(Cow::Borrowed),
                Cow::Owned(b) => utf8(&b[skip..]).map(|t| Cow::Owned(t.to_owned())),
            };
            let text = text
                .map_err(|e| json_error(file, format!("byte {} is not UTF-8, expected JSON text", e.valid_up_to())))?;
            if skip > 0 {
                warn("byte-order-mark", "the file begins with a byte order mark");
            }
            if memchr::memchr(b'\r', text.as_bytes()).is_some() {
                warn("crlf", "lines end in CR LF");
            }
            return Ok((text, warnings));
        }
    };
    warn("byte-order-mark", "the file is UTF-16 or UTF-32, not UTF-8");
    Ok((text, warnings))
}

fn json_error(file: &str, problem: String) -> Error {
    Error::Json { place: Place::file(file), problem }
}

/// `text` with comments and trailing commas replaced by spaces (line and column stay true), and which of them were there.
fn relax(text: &str) -> Option<(String, Vec<(&'static str, usize)>)> {
    let mut bytes = text.as_bytes().to_vec();
    let mut found: Vec<(&'static str, usize)> = Vec::new();
    let mut comma = None;
    let mut i = 0;
    let blank = |bytes: &mut Vec<u8>, from: usize, to: usize| {
        for b in &mut bytes[from..to] {
            if *b != b'\n' {
                *b = b' ';
            }
        }
    };
    while i < bytes.len() {
        match bytes[i] {
            b'"' => {
                comma = None;
                i += 1;
                while i < bytes.len() && bytes[i] != b'"' {
                    i += if bytes[i] == b'\\' { 2 } else { 1 };
                }
                i += 1;
            }
            b'#' | b'/' if bytes[i] == b'#' || bytes.get(i + 1) == Some(&b'/') => {
                let end = bytes[i..].iter().position(|&b| b == b'\n').map_or(bytes.len(), |n| i + n);
                found.push(("comment", i));
                blank(&mut bytes, i, end);
                i = end;
            }
            b'/' if bytes.get(i + 1) == Some(&b'*') => {
                let end = bytes[i + 2..].windows(2).position(|w| w == b"*/").map_or(bytes.len(), |n| i + n + 4);
                found.push(("comment", i));
                blank(&mut bytes, i, end);
                i = end;
            }
            b',' => {
                comma = Some(i);
                i += 1;
            }
            b'}' | b']' => {
                if let Some(at) = comma.take() {
                    bytes[at] = b' ';
                    found.push(("trailing-comma", at));
                }
                i += 1;
            }
            b if b.is_ascii_whitespace() => i += 1,
            _ => {
                comma = None;
                i += 1;
            }
        }
    }
    if found.is_empty() {
        return None;
    }
    // Only ASCII bytes outside of strings and whole comments were replaced.
    String::from_utf8(bytes).ok().map(|text| (text, found))
}

fn line_and_column(text: &str, at: usize) -> (usize, usize) {
    let before = &text.as_bytes()[..at.min(text.len())];
    let line = before.iter().filter(|&&b| b == b'\n').count() + 1;
    let column = before.iter().rev().take_while(|&&b| b != b'\n').count() + 1;
    (line, column)
}

// ------------------------------------------------------------------------------------------------------------- context

/// What reading one file carries along: where it is, what it found odd, and a fault that is more than bad JSON.
pub(super) struct Cx<'a> {
    pub(super) file: &'a str,
    pub(super) limits: &'a Limits,
    /// Lists with the item that is being read, and objects inside of objects, outermost first.
    path: RefCell<Vec<(&'static str, Option<usize>)>>,
    key: Cell<&'static str>,
    /// Rows inside of other rows so far.
    nested: Cell<u64>,
    /// Bytes of extras copied from shared entries so far.
    copied: Cell<u64>,
    warnings: RefCell<Vec<Warning>>,
    fault: RefCell<Option<Error>>,
}

impl<'a> Cx<'a> {
    pub(super) fn new(file: &'a str, limits: &'a Limits) -> Self {
        Self {
            file,
            limits,
            path: RefCell::default(),
            key: Cell::new(""),
            nested: Cell::new(0),
            copied: Cell::new(0),
            warnings: RefCell::new(Vec::new()),
            fault: RefCell::new(None),
        }
    }

    /// Names the member that is being read.
    pub(super) fn at_key(&self, key: &'static str) {
        self.key.set(key);
    }

    /// Names the row that is being looked at, once the file is read.
    pub(super) fn at_row(&self, list: &'static str, index: usize) {
        let mut path = self.path.borrow_mut();
        path.clear();
        path.push((list, Some(index)));
        self.key.set("");
    }

    fn pointer(&self) -> String {
        let mut pointer = String::new();
        for (name, index) in self.path.borrow().iter() {
            pointer += &format!("/{name}");
            if let Some(index) = index {
                pointer += &format!("/{index}");
            }
        }
        match self.key.get() {
            "" => pointer,
            key => pointer + "/" + key,
        }
    }

    /// Notes an oddity; the first place of a rule is kept, the rest are counted.
    pub(super) fn warn(&self, rule: &'static str, message: impl FnOnce() -> String) {
        let mut warnings = self.warnings.borrow_mut();
        if let Some(known) = warnings.iter_mut().find(|w| w.rule == rule) {
            known.count += 1;
        } else {
            let place = Place::at(self.file, self.pointer());
            warnings.push(Warning { rule, place, message: message(), count: 1 });
        }
    }

    /// Stops reading with a fault that is more than bad JSON; return its result as the error.
    pub(super) fn fail<E: serde::de::Error>(&self, fault: Error) -> E {
        *self.fault.borrow_mut() = Some(fault);
        E::custom("stopped")
    }

    /// Counts the extras of a shared entry before they are copied. A small file can point to a large entry many times:
    /// beyond [`Limits::json_bytes`] nothing is copied any more and the reading will fail, see [`Cx::checked`].
    pub(super) fn may_copy(&self, extra: &Extra) -> bool {
        self.copied.set(self.copied.get().saturating_add(extra.own().len() as u64));
        let (found, limit) = (self.copied.get(), self.limits.json_bytes);
        if found > limit {
            let place = Place::at(self.file, self.pointer());
            *self.fault.borrow_mut() = Some(Error::Limit { name: "json_bytes", limit, found, place });
        }
        found <= limit
    }

    /// Fails when a fault was noted that reading went on after.
    pub(super) fn checked(&self) -> Result<()> {
        self.fault.take().map_or(Ok(()), Err)
    }

    /// A fresh context for a part of the same file that is parsed on its own.
    pub(super) fn part(&self) -> Cx<'a> {
        Cx::new(self.file, self.limits)
    }

    pub(super) fn into_warnings(self) -> Vec<Warning> {
        self.warnings.into_inner()
    }

    fn reset(&self) {
        self.path.borrow_mut().clear();
        self.key.set("");
        self.nested.set(0);
        self.copied.set(0);
        self.warnings.borrow_mut().clear();
        *self.fault.borrow_mut() = None;
    }
}

/// Reads one kind of file, whatever deserializer stands below (the plain one, or the one that tracks the place of an error).
pub(super) trait Reader {
    type Out;
    fn read<'de, D: Deserializer<'de>>(&self, text: &'de str, cx: &Cx, d: D) -> Result<Self::Out, D::Error>;
}

/// Parses `text` strictly, and where that fails once more without comments and trailing commas.
pub(super) fn parse<R: Reader>(reader: &R, text: &str, cx: &Cx) -> Result<R::Out> {
    let error = match strict(reader, text, cx) {
        Ok(out) => return Ok(out),
        Err(error) => error,
    };
    if let Some(fault) = cx.fault.take() {
        return Err(fault);
    }
    if error.is_data() {
        return Err(locate(reader, text, text, cx, &error));
    }
    if let Some((relaxed, found)) = relax(text) {
        cx.reset();
        return match strict(reader, &relaxed, cx) {
            Ok(out) => {
                for (rule, at) in found {
                    let mut warnings = cx.warnings.borrow_mut();
                    if let Some(known) = warnings.iter_mut().find(|w| w.rule == rule) {
                        known.count += 1;
                        continue;
                    }
                    let (line, column) = line_and_column(text, at);
                    let what = if rule == "comment" { "a comment" } else { "a trailing comma" };
                    let message = format!("{what} is not JSON; it was skipped");
                    let place = Place { line, column, ..Place::file(cx.file) };
                    warnings.push(Warning { rule, place, message, count: 1 });
                }
                Ok(out)
            }
            Err(error) => Err(cx.fault.take().unwrap_or_else(|| locate(reader, &relaxed, text, cx, &error))),
        };
    }
    Err(locate(reader, text, text, cx, &error))
}

fn strict<R: Reader>(reader: &R, text: &str, cx: &Cx) -> serde_json::Result<R::Out> {
    let mut de = serde_json::Deserializer::from_str(text);
    let out = reader.read(text, cx, &mut de)?;
    de.end()?;
    Ok(out)
}

/// Characters of the input that a message shows.
const SHOWN: usize = 16;

/// The error of reading `text` with its JSON pointer, line and column, and words for the faults seen most; `said` is the
/// text as the file has it.
fn locate<R: Reader>(reader: &R, text: &str, said: &str, cx: &Cx, error: &serde_json::Error) -> Error {
    let mut pointer = String::new();
    if error.is_data() {
        let mut track = serde_path_to_error::Track::new();
        let mut de = serde_json::Deserializer::from_str(text);
        cx.reset();
        if reader.read(text, cx, serde_path_to_error::Deserializer::new(&mut de, &mut track)).is_err() {
            for segment in track.path().iter() {
                match segment {
                    serde_path_to_error::Segment::Seq { index } => pointer += &format!("/{index}"),
                    serde_path_to_error::Segment::Map { key } => {
                        pointer += &format!("/{}", key.replace('~', "~0").replace('/', "~1"));
                    }
                    _ => {}
                }
            }
        }
    }
    let place = Place { file: cx.file.to_owned(), pointer, line: error.line(), column: error.column().max(1) };
    let message = error.to_string();
    let message = message.rsplit_once(" at line ").map_or(message.as_str(), |(m, _)| m);
    let problem = if said.lines().any(|l| l.starts_with("<<<<<<< ") || l.starts_with(">>>>>>> ")) {
        "git merge conflict markers are left in the file, expected JSON; resolve the conflict first".into()
    } else if said.starts_with("version https://git-lfs") {
        "the file is a git-lfs pointer, expected JSON; fetch the real file with git lfs".into()
    } else if said.trim().is_empty() {
        "the file holds nothing but white space, expected JSON".into()
    } else if error.is_data() {
        in_words(message)
    } else if !text.trim_start().starts_with(['{', '[']) {
        let start: String = said.trim_start().chars().take(SHOWN).collect();
        format!("the text begins with {start:?}, expected JSON; a file of that name may belong to something else")
    } else if message.starts_with("trailing characters") {
        "more text follows the end of the JSON document, expected one document; keep only one of them".into()
    } else if error.is_eof() {
        "the file ends in the middle of the JSON document; it may be cut off".into()
    } else {
        let line = said.lines().nth(error.line().saturating_sub(1)).unwrap_or_default();
        let found = line.as_bytes().get(error.column().saturating_sub(1)..).unwrap_or_default();
        let found: String = String::from_utf8_lossy(found).chars().take(SHOWN).collect();
        let hint = if message.starts_with("expected `,`") { "; a comma may be missing" } else { "" };
        format!("not valid JSON: found {found:?}, {message}{hint}")
    };
    Error::Json { place, problem }
}

/// What serde says of a value of the wrong kind, in the words of JSON.
fn in_words(message: &str) -> String {
    let Some(rest) = message.strip_prefix("invalid type: ").or_else(|| message.strip_prefix("invalid value: ")) else {
        return message.to_owned();
    };
    let (found, expected) = rest.split_once(", expected ").unwrap_or((rest, "something else"));
    let found = match found.split_once(' ') {
        Some(("string", text)) => format!("the text {text}"),
        Some(("integer" | "boolean", value)) => value.trim_matches('`').to_owned(),
        Some(("floating", value)) => value.trim_start_matches("point ").trim_matches('`').to_owned(),
        _ if found == "map" => "an object".into(),
        _ if found == "sequence" => "a list".into(),
        _ => found.to_owned(),
    };
    format!("found {found}, expected {expected}")
}

/// The version a level or Info file states (`version` or `_version`, whichever comes first), without reading further.
/// `true` stands for `_version`.
pub(super) fn peek_version(text: &str) -> Option<(bool, String)> {
    peek(text, &["version", "_version"]).map(|(key, version)| (key == "_version", version))
}

/// The first member of the outermost object that has one of these names, as text, without reading further.
pub(super) fn peek<'k>(text: &str, keys: &[&'k str]) -> Option<(&'k str, String)> {
    struct Peek<'a, 'k>(&'a [&'k str], &'a Cell<Option<(&'k str, String)>>);
    impl<'de> Visitor<'de> for Peek<'_, '_> {
        type Value = ();
        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("an object")
        }
        fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
            while let Some(key) = map.next_key_seed(Key)? {
                if let Some(known) = self.0.iter().find(|k| **k == key) {
                    let value = match map.next_value::<Value>()? {
                        Value::String(s) => s,
                        other => other.to_string(),
                    };
                    self.1.set(Some((known, value)));
                    return Err(A::Error::custom("found"));
                }
                map.next_value::<IgnoredAny>()?;
            }
            Ok(())
        }
    }
    let found = Cell::new(None);
    let mut de = serde_json::Deserializer::from_str(text);
    let _ = de.deserialize_map(Peek(keys, &found));
    found.into_inner()
}

// -------------------------------------------------------------------------------------------------------------- extras

/// Members of an object beyond the model, kept as JSON text: custom data of mods, unknown fields, values the model
/// cannot express. `own` belongs to the object itself, `data` to the shared entries that a v4 object points to.
#[derive(Clone, Debug, Default)]
pub struct Extra(Option<Box<Kept>>);

/// Equal when they say the same, however it is spelled.
impl PartialEq for Extra {
    fn eq(&self, other: &Self) -> bool {
        (self.own() == other.own() || self.members() == other.members())
            && (self.data() == other.data() || self.data_members() == other.data_members())
    }
}

#[derive(Clone, Debug, Default, PartialEq)]
struct Kept {
    own: Box<str>,
    data: Box<str>,
}

fn object_of(members: &str) -> Map<String, Value> {
    let text = format!("{{{members}}}");
    serde_json::from_str(&text).unwrap_or_else(|_| {
        // JSON text can say what no value can hold: a number beyond all floats, half of a surrogate pair, very deep
        // nesting. Such a member is known by its name and written back from the text; as a value it is null.
        let value = |raw: &RawValue| serde_json::from_str(raw.get()).unwrap_or_default();
        raw_members(&text).into_iter().map(|(key, raw)| (key, value(raw))).collect()
    })
}

/// Members of an object with the text of their values.
fn raw_members(object: &str) -> Vec<(String, &RawValue)> {
    struct Members;
    impl<'de> Visitor<'de> for Members {
        type Value = Vec<(String, &'de RawValue)>;
        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("an object")
        }
        fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
            let mut members = Vec::new();
            while let Some(member) = map.next_entry()? {
                members.push(member);
            }
            Ok(members)
        }
    }
    serde_json::Deserializer::from_str(object).deserialize_map(Members).unwrap_or_default()
}

fn joined<'a>(members: impl IntoIterator<Item = (String, &'a str)>) -> String {
    let members = members.into_iter().map(|(key, value)| format!("{}:{value}", Value::from(key)));
    members.collect::<Vec<_>>().join(",")
}

fn members_of(map: &Map<String, Value>) -> String {
    let text = serde_json::to_string(map).unwrap_or_default();
    text.get(1..text.len().saturating_sub(1)).unwrap_or_default().to_owned()
}

impl Extra {
    /// Whether there is nothing kept.
    pub fn is_empty(&self) -> bool {
        self.0.is_none()
    }

    fn from_text(own: String, data: String) -> Self {
        if own.is_empty() && data.is_empty() {
            return Self(None);
        }
        Self(Some(Box::new(Kept { own: own.into_boxed_str(), data: data.into_boxed_str() })))
    }

    /// The object's own members.
    pub fn members(&self) -> Map<String, Value> {
        object_of(self.own())
    }

    /// Members of the shared v4 entries, by the name of the index that points to them.
    pub fn data_members(&self) -> Map<String, Value> {
        object_of(self.data())
    }

    /// Text of the own members, without braces.
    pub(crate) fn own(&self) -> &str {
        self.0.as_deref().map_or("", |k| &k.own)
    }

    pub(crate) fn data(&self) -> &str {
        self.0.as_deref().map_or("", |k| &k.data)
    }

    /// One own member.
    pub fn get(&self, key: &str) -> Option<Value> {
        // The text test spares parsing for the many rows that have other members.
        memchr::memmem::find(self.own().as_bytes(), key.as_bytes())?;
        self.members().shift_remove(key)
    }

    /// The custom data object (`customData` or `_customData`); empty when absent or not an object.
    pub fn custom(&self) -> Map<String, Value> {
        match self.get("customData").or_else(|| self.get("_customData")) {
            Some(Value::Object(map)) => map,
            _ => Map::new(),
        }
    }

    /// Extras holding these own members.
    pub fn from_members(members: &Map<String, Value>) -> Self {
        Self::from_text(members_of(members), String::new())
    }

    /// Sets one own member.
    #[allow(clippy::needless_pass_by_value)] // Callers have values, and `5.into()` should do.
    pub fn set(&mut self, key: &str, value: Value) {
        let object = format!("{{{}}}", self.own());
        let value = value.to_string();
        let mut members: Vec<_> = raw_members(&object).into_iter().map(|(k, raw)| (k, raw.get())).collect();
        match members.iter_mut().find(|m| m.0 == key) {
            Some(known) => known.1 = &value,
            None => members.push((key.to_owned(), &value)),
        }
        *self = Self::from_text(joined(members), self.data().to_owned());
    }

    /// Removes one own member.
    pub fn remove(&mut self, key: &str) -> Option<Value> {
        let removed = self.get(key)?;
        let object = format!("{{{}}}", self.own());
        let members = raw_members(&object).into_iter().filter(|m| m.0 != key).map(|(k, raw)| (k, raw.get()));
        *self = Self::from_text(joined(members), self.data().to_owned());
        Some(removed)
    }

    /// Appends a member of a shared v4 entry group: `name` is the index field, `members` the entry's own extras.
    pub(super) fn keep_data(&mut self, name: &str, members: &str) {
        if members.is_empty() {
            return;
        }
        let mut data = self.data().to_owned();
        if !data.is_empty() {
            data.push(',');
        }
        data += &format!("\"{name}\":{{{members}}}");
        *self = Self::from_text(self.own().to_owned(), data);
    }

    /// What belongs to the shared entry `name`, as the entry's own extras.
    pub(super) fn data_of(&self, name: &str) -> Self {
        if self.data().is_empty() {
            return Self(None);
        }
        let object = format!("{{{}}}", self.data());
        let entry = raw_members(&object).into_iter().find(|m| m.0 == name);
        let members = entry.and_then(|(_, raw)| raw.get().strip_prefix('{')?.strip_suffix('}'));
        Self::from_text(members.unwrap_or_default().to_owned(), String::new())
    }

    /// Drops what belongs to shared v4 entries.
    pub(super) fn without_data(&self) -> Self {
        Self::from_text(self.own().to_owned(), String::new())
    }
}

/// Collects unknown members while an object is read.
#[derive(Clone, Default)]
pub(super) struct Keeper(String);

impl Keeper {
    pub(super) fn take<'de, A: MapAccess<'de>>(&mut self, key: &str, map: &mut A) -> Result<(), A::Error> {
        let raw = map.next_value::<&RawValue>()?;
        // One member is the rule: room for exactly that spares growing and shrinking.
        self.0.reserve_exact(key.len() + raw.get().len() + 3 + usize::from(!self.0.is_empty()));
        if !self.0.is_empty() {
            self.0.push(',');
        }
        if key.bytes().all(|b| b >= 0x20 && b != b'"' && b != b'\\') {
            self.0.push('"');
            self.0.push_str(key);
            self.0.push('"');
        } else {
            self.0 += &Value::from(key).to_string();
        }
        self.0.push(':');
        if memchr::memchr(b'\n', raw.get().as_bytes()).is_some() {
            push_compact(raw.get(), &mut self.0);
        } else {
            self.0.push_str(raw.get());
        }
        Ok(())
    }

    pub(super) fn finish(self) -> Extra {
        Extra::from_text(self.0, String::new())
    }
}

/// Appends JSON text without the white space between its parts.
fn push_compact(json: &str, out: &mut String) {
    let (mut quoted, mut escaped) = (false, false);
    out.extend(json.chars().filter(|&c| {
        let keep = quoted || !c.is_ascii_whitespace();
        if c == '"' && !escaped {
            quoted = !quoted;
        }
        escaped = quoted && c == '\\' && !escaped;
        keep
    }));
}

// ------------------------------------------------------------------------------------------------------------- reading

/// An object key, borrowed where it can be.
pub(super) struct Key;

impl<'de> DeserializeSeed<'de> for Key {
    type Value = Cow<'de, str>;
    fn deserialize<D: Deserializer<'de>>(self, d: D) -> Result<Cow<'de, str>, D::Error> {
        d.deserialize_str(self)
    }
}

impl<'de> Visitor<'de> for Key {
    type Value = Cow<'de, str>;
    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a key")
    }
    fn visit_borrowed_str<E>(self, key: &'de str) -> Result<Cow<'de, str>, E> {
        Ok(Cow::Borrowed(key))
    }
    fn visit_str<E>(self, key: &str) -> Result<Cow<'de, str>, E> {
        Ok(Cow::Owned(key.to_owned()))
    }
}

/// Reads a value into place; `null` leaves what was there and gives `false`.
pub(super) trait Read {
    fn read<'de, D: Deserializer<'de>>(&mut self, cx: &Cx, d: D) -> Result<bool, D::Error>;
}

/// [`Read`] as a seed.
pub(super) struct Into<'a, 'c, T>(pub(super) &'a Cx<'c>, pub(super) &'a mut T);

impl<'de, T: Read> DeserializeSeed<'de> for Into<'_, '_, T> {
    type Value = bool;
    fn deserialize<D: Deserializer<'de>>(self, d: D) -> Result<bool, D::Error> {
        self.1.read(self.0, d)
    }
}

struct NumberVisitor<'a, 'c>(&'a Cx<'c>);

impl<'de> Visitor<'de> for NumberVisitor<'_, '_> {
    type Value = Option<f64>;
    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a number")
    }
    fn visit_f64<E>(self, v: f64) -> Result<Option<f64>, E> {
        Ok(Some(v))
    }
    fn visit_i64<E>(self, v: i64) -> Result<Option<f64>, E> {
        Ok(Some(v as f64))
    }
    fn visit_u64<E>(self, v: u64) -> Result<Option<f64>, E> {
        Ok(Some(v as f64))
    }
    fn visit_bool<E>(self, v: bool) -> Result<Option<f64>, E> {
        self.0.warn("boolean-for-number", || format!("found {v}, expected a number; read as {}", u8::from(v)));
        Ok(Some(f64::from(u8::from(v))))
    }
    fn visit_unit<E>(self) -> Result<Option<f64>, E> {
        self.0.warn("null-value", || "found null, expected a number; the default was taken".into());
        Ok(None)
    }
    fn visit_str<E: serde::de::Error>(self, v: &str) -> Result<Option<f64>, E> {
        match v.trim().parse::<f64>() {
            Ok(number) if number.is_finite() => {
                self.0.warn("text-for-number", || format!("found the text {v:?}, expected a number; read as one"));
                Ok(Some(number))
            }
            _ => Err(E::invalid_value(Unexpected::Str(v), &self)),
        }
    }
}

impl Read for f64 {
    fn read<'de, D: Deserializer<'de>>(&mut self, cx: &Cx, d: D) -> Result<bool, D::Error> {
        let number = d.deserialize_any(NumberVisitor(cx))?;
        *self = number.unwrap_or(*self);
        Ok(number.is_some())
    }
}

struct IntegerVisitor<'a, 'c>(&'a Cx<'c>);

impl IntegerVisitor<'_, '_> {
    fn narrow(&self, v: f64) -> i32 {
        if v < f64::from(i32::MIN) || v > f64::from(i32::MAX) {
            self.0.warn("number-too-large", || format!("found {v}, expected a 32-bit integer; it was clamped"));
        }
        v as i32
    }

    fn whole(&self, v: f64) -> i32 {
        if v.fract() == 0.0 {
            self.0.warn("float-for-integer", || format!("found {v:?}, expected an integer"));
        } else {
            self.0.warn("fraction-for-integer", || format!("found {v}, expected an integer; the fraction was dropped"));
        }
        self.narrow(v.trunc())
    }
}

impl<'de> Visitor<'de> for IntegerVisitor<'_, '_> {
    type Value = Option<i32>;
    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an integer")
    }
    fn visit_i64<E>(self, v: i64) -> Result<Option<i32>, E> {
        Ok(Some(i32::try_from(v).unwrap_or_else(|_| self.narrow(v as f64))))
    }
    fn visit_u64<E>(self, v: u64) -> Result<Option<i32>, E> {
        Ok(Some(i32::try_from(v).unwrap_or_else(|_| self.narrow(v as f64))))
    }
    fn visit_f64<E>(self, v: f64) -> Result<Option<i32>, E> {
        Ok(Some(self.whole(v)))
    }
    fn visit_bool<E>(self, v: bool) -> Result<Option<i32>, E> {
        self.0.warn("boolean-for-number", || format!("found {v}, expected an integer; read as {}", u8::from(v)));
        Ok(Some(i32::from(v)))
    }
    fn visit_unit<E>(self) -> Result<Option<i32>, E> {
        self.0.warn("null-value", || "found null, expected an integer; the default was taken".into());
        Ok(None)
    }
    fn visit_str<E: serde::de::Error>(self, v: &str) -> Result<Option<i32>, E> {
        match v.trim().parse::<f64>() {
            Ok(number) if number.is_finite() => {
                self.0.warn("text-for-number", || format!("found the text {v:?}, expected an integer; read as one"));
                Ok(Some(if number.fract() == 0.0 { self.narrow(number) } else { self.whole(number) }))
            }
            _ => Err(E::invalid_value(Unexpected::Str(v), &self)),
        }
    }
}

impl Read for i32 {
    fn read<'de, D: Deserializer<'de>>(&mut self, cx: &Cx, d: D) -> Result<bool, D::Error> {
        let number = d.deserialize_any(IntegerVisitor(cx))?;
        *self = number.unwrap_or(*self);
        Ok(number.is_some())
    }
}

impl Read for bool {
    fn read<'de, D: Deserializer<'de>>(&mut self, cx: &Cx, d: D) -> Result<bool, D::Error> {
        struct Flag<'a, 'c>(&'a Cx<'c>);
        impl<'de> Visitor<'de> for Flag<'_, '_> {
            type Value = Option<bool>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("true or false")
            }
            fn visit_bool<E>(self, v: bool) -> Result<Option<bool>, E> {
                Ok(Some(v))
            }
            // v4 writes flags as 0 and 1.
            fn visit_i64<E>(self, v: i64) -> Result<Option<bool>, E> {
                Ok(Some(v != 0))
            }
            fn visit_u64<E>(self, v: u64) -> Result<Option<bool>, E> {
                Ok(Some(v != 0))
            }
            fn visit_f64<E>(self, v: f64) -> Result<Option<bool>, E> {
                Ok(Some(v != 0.0))
            }
            fn visit_unit<E>(self) -> Result<Option<bool>, E> {
                self.0.warn("null-value", || "found null, expected true or false; the default was taken".into());
                Ok(None)
            }
            fn visit_str<E: serde::de::Error>(self, v: &str) -> Result<Option<bool>, E> {
                let flag = match v.trim().to_ascii_lowercase().as_str() {
                    "true" | "1" => true,
                    "false" | "0" => false,
                    _ => return Err(E::invalid_value(Unexpected::Str(v), &self)),
                };
                self.0.warn("text-for-boolean", || format!("found the text {v:?}, expected true or false"));
                Ok(Some(flag))
            }
        }
        let flag = d.deserialize_any(Flag(cx))?;
        *self = flag.unwrap_or(*self);
        Ok(flag.is_some())
    }
}

impl Read for String {
    fn read<'de, D: Deserializer<'de>>(&mut self, cx: &Cx, d: D) -> Result<bool, D::Error> {
        struct Text<'a, 'c>(&'a Cx<'c>);
        impl Text<'_, '_> {
            fn number(&self, v: impl fmt::Display) -> Option<String> {
                self.0.warn("number-for-text", || format!("found the number {v}, expected text"));
                Some(v.to_string())
            }
        }
        impl<'de> Visitor<'de> for Text<'_, '_> {
            type Value = Option<String>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("text")
            }
            fn visit_str<E>(self, v: &str) -> Result<Option<String>, E> {
                Ok(Some(v.to_owned()))
            }
            fn visit_i64<E>(self, v: i64) -> Result<Option<String>, E> {
                Ok(self.number(v))
            }
            fn visit_u64<E>(self, v: u64) -> Result<Option<String>, E> {
                Ok(self.number(v))
            }
            fn visit_f64<E>(self, v: f64) -> Result<Option<String>, E> {
                Ok(self.number(v))
            }
            fn visit_unit<E>(self) -> Result<Option<String>, E> {
                self.0.warn("null-value", || "found null, expected text; the default was taken".into());
                Ok(None)
            }
        }
        match d.deserialize_any(Text(cx))? {
            Some(text) => {
                *self = text;
                Ok(true)
            }
            None => Ok(false),
        }
    }
}

/// JSON of any shape, kept as it is.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Json(pub(super) Option<Value>);

impl Read for Json {
    fn read<'de, D: Deserializer<'de>>(&mut self, _: &Cx, d: D) -> Result<bool, D::Error> {
        self.0 = Some(<Value as serde::Deserialize>::deserialize(d)?);
        Ok(true)
    }
}

/// An object with known members; the rest goes to its extras.
pub(super) trait Wire: Default {
    /// Reads the value of `key` if it is known; `false` leaves the value unread.
    fn member<'de, A: MapAccess<'de>>(&mut self, key: &str, cx: &Cx, map: &mut A) -> Result<bool, A::Error>;
    /// Takes the unknown members.
    fn keep(&mut self, extra: Extra);
    /// The unknown members.
    fn kept(&self) -> &Extra;
}

struct ObjectVisitor<'a, 'c, T>(&'a Cx<'c>, &'a mut T);

impl<'de, T: Wire> Visitor<'de> for ObjectVisitor<'_, '_, T> {
    type Value = bool;
    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }
    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<bool, A::Error> {
        let name = self.0.key.replace("");
        if !name.is_empty() {
            self.0.path.borrow_mut().push((name, None));
        }
        let mut keeper = Keeper::default();
        while let Some(key) = map.next_key_seed(Key)? {
            if !self.1.member(&key, self.0, &mut map)? {
                keeper.take(&key, &mut map)?;
            }
        }
        self.1.keep(keeper.finish());
        self.0.key.set("");
        if !name.is_empty() {
            self.0.path.borrow_mut().pop();
        }
        Ok(true)
    }
    fn visit_unit<E>(self) -> Result<bool, E> {
        self.0.warn("null-object", || "found null, expected an object; it was skipped".into());
        Ok(false)
    }
}

impl<T: Wire> Read for T {
    fn read<'de, D: Deserializer<'de>>(&mut self, cx: &Cx, d: D) -> Result<bool, D::Error> {
        d.deserialize_any(ObjectVisitor(cx, self))
    }
}

/// Streams the items of a list into a closure.
pub(super) struct Each<'a, 'c, T, F>(&'a Cx<'c>, &'static str, F, std::marker::PhantomData<T>);

impl<'a, 'c, T: Default + Read, F: FnMut(T)> Each<'a, 'c, T, F> {
    pub(super) fn new(cx: &'a Cx<'c>, name: &'static str, push: F) -> Self {
        Self(cx, name, push, std::marker::PhantomData)
    }
}

impl<'de, T: Default + Read, F: FnMut(T)> DeserializeSeed<'de> for Each<'_, '_, T, F> {
    type Value = ();
    fn deserialize<D: Deserializer<'de>>(self, d: D) -> Result<(), D::Error> {
        let cx = self.0;
        cx.path.borrow_mut().push((self.1, None));
        cx.key.set("");
        d.deserialize_any(self)?;
        cx.path.borrow_mut().pop();
        cx.key.set("");
        Ok(())
    }
}

impl<'de, T: Default + Read, F: FnMut(T)> Visitor<'de> for Each<'_, '_, T, F> {
    type Value = ();
    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list")
    }
    fn visit_seq<A: SeqAccess<'de>>(mut self, mut seq: A) -> Result<(), A::Error> {
        let cx = self.0;
        let depth = cx.path.borrow().len();
        let at = |index| {
            if let Some(last) = cx.path.borrow_mut().last_mut() {
                last.1 = index;
            }
        };
        let mut count = 0usize;
        loop {
            at(Some(count));
            let mut row = T::default();
            match seq.next_element_seed(Into(cx, &mut row))? {
                Some(true) => (self.2)(row),
                Some(false) => {}
                None => return Ok(()),
            }
            count += 1;
            // Rows inside of rows count together: many small lists are as large as one.
            cx.nested.set(cx.nested.get() + u64::from(depth > 1));
            let found = if depth > 1 { cx.nested.get() } else { count as u64 };
            let limit = cx.limits.objects;
            if found > limit {
                at(None);
                let place = Place::at(cx.file, cx.pointer());
                return Err(cx.fail(Error::Limit { name: "objects", limit, found, place }));
            }
        }
    }
    fn visit_unit<E>(self) -> Result<(), E> {
        self.0.warn("null-list", || "found null, expected a list; it was read as empty".into());
        Ok(())
    }
}

impl<T: Default + Read> Read for Vec<T> {
    fn read<'de, D: Deserializer<'de>>(&mut self, cx: &Cx, d: D) -> Result<bool, D::Error> {
        Each::new(cx, cx.key.get(), |row| self.push(row)).deserialize(d)?;
        Ok(true)
    }
}

/// Defines an object of a file format: its members with their keys, all optional, and both directions.
macro_rules! wire {
    ($($(#[$doc:meta])* $name:ident { $($field:ident: $ty:ty = $key:literal $(or $default:expr)?),* $(,)? })*) => {$(
        $(#[$doc])*
        #[derive(Clone, Debug)]
        pub(super) struct $name { $(pub(super) $field: $ty,)* pub(super) extra: $crate::map::json::Extra }
        impl Default for $name {
            #[allow(unused_mut, unused_assignments)]
            fn default() -> Self {
                Self {
                    $($field: { let mut value = <$ty>::default(); $(value = $default;)? value },)*
                    extra: $crate::map::json::Extra::default(),
                }
            }
        }
        impl $crate::map::json::Wire for $name {
            #[inline]
            fn member<'de, A: serde::de::MapAccess<'de>>(
                &mut self, key: &str, cx: &$crate::map::json::Cx, map: &mut A,
            ) -> Result<bool, A::Error> {
                match key {
                    $($key => {
                        cx.at_key($key);
                        map.next_value_seed($crate::map::json::Into(cx, &mut self.$field))?;
                        Ok(true)
                    })*
                    _ => Ok(false),
                }
            }
            fn keep(&mut self, extra: $crate::map::json::Extra) {
                self.extra = extra;
            }
            fn kept(&self) -> &$crate::map::json::Extra {
                &self.extra
            }
        }
        impl $crate::map::json::Write for $name {
            fn write(&self, out: &mut $crate::map::json::Out) {
                out.object(&self.extra, |out| {
                    $(out.member($key, &self.$field);)*
                });
            }
        }
    )*};
}
pub(super) use wire;

// ------------------------------------------------------------------------------------------------------------- writing

/// Prints itself as JSON.
pub(super) trait Write {
    fn write(&self, out: &mut Out);
    /// Whether the member that holds it is left out.
    fn absent(&self) -> bool {
        false
    }
}

/// JSON under construction: compact, members in the order written.
#[derive(Default)]
pub(super) struct Out {
    bytes: Vec<u8>,
    /// Keys that the extras of the open object override.
    overridden: Vec<String>,
}

impl Out {
    pub(super) fn into_bytes(self) -> Vec<u8> {
        self.bytes
    }

    fn comma(&mut self) {
        if !matches!(self.bytes.last(), None | Some(b'{' | b'[')) {
            self.bytes.push(b',');
        }
    }

    /// An object: known members by `body`, then the extras. An extra with the name of a known member replaces it.
    pub(super) fn object(&mut self, extra: &Extra, body: impl FnOnce(&mut Self)) {
        let outer = std::mem::take(&mut self.overridden);
        if !extra.own().is_empty() {
            self.overridden = extra.members().keys().cloned().collect();
        }
        self.bytes.push(b'{');
        body(self);
        if !extra.own().is_empty() {
            self.comma();
            self.bytes.extend_from_slice(extra.own().as_bytes());
        }
        self.bytes.push(b'}');
        self.overridden = outer;
    }

    pub(super) fn member<T: Write + ?Sized>(&mut self, key: &str, value: &T) {
        if value.absent() || (!self.overridden.is_empty() && self.overridden.iter().any(|k| k == key)) {
            return;
        }
        self.comma();
        self.string(key);
        self.bytes.push(b':');
        value.write(self);
    }

    pub(super) fn list<T: Write>(&mut self, key: &str, rows: impl IntoIterator<Item = T>) {
        self.with_strays(key, rows, &[]);
    }

    /// A list of rows, then the strays that were read from a list of this name.
    pub(super) fn with_strays<T: Write>(
        &mut self,
        key: &str,
        rows: impl IntoIterator<Item = T>,
        strays: &[super::Stray],
    ) {
        if !self.overridden.is_empty() && self.overridden.iter().any(|k| k == key) {
            return;
        }
        self.comma();
        self.string(key);
        self.bytes.extend_from_slice(b":[");
        for row in rows {
            self.comma();
            row.write(self);
        }
        for stray in strays.iter().filter(|s| s.list == key) {
            self.comma();
            self.bytes.extend_from_slice(stray.json.as_bytes());
        }
        self.bytes.push(b']');
    }

    fn string(&mut self, text: &str) {
        self.bytes.extend_from_slice(Value::from(text).to_string().as_bytes());
    }
}

impl<T: Write + ?Sized> Write for &T {
    fn write(&self, out: &mut Out) {
        (**self).write(out);
    }
}

impl Write for f64 {
    fn write(&self, out: &mut Out) {
        // Whole numbers as people write them; the game reads both forms.
        let text = if self.fract() == 0.0 && self.abs() < 1e15 {
            Value::from(*self as i64).to_string()
        } else {
            Value::from(if self.is_finite() { *self } else { 0.0 }).to_string()
        };
        out.bytes.extend_from_slice(text.as_bytes());
    }
}

impl Write for i32 {
    fn write(&self, out: &mut Out) {
        out.bytes.extend_from_slice(self.to_string().as_bytes());
    }
}

impl Write for bool {
    fn write(&self, out: &mut Out) {
        out.bytes.extend_from_slice(if *self { b"true" } else { b"false" });
    }
}

impl Write for str {
    fn write(&self, out: &mut Out) {
        out.string(self);
    }
}

impl Write for String {
    fn write(&self, out: &mut Out) {
        out.string(self);
    }
}

impl<T: Write> Write for Vec<T> {
    fn write(&self, out: &mut Out) {
        out.bytes.push(b'[');
        for row in self {
            out.comma();
            row.write(out);
        }
        out.bytes.push(b']');
    }
}

impl Write for Json {
    fn write(&self, out: &mut Out) {
        if let Some(value) = &self.0 {
            out.bytes.extend_from_slice(value.to_string().as_bytes());
        }
    }
    fn absent(&self) -> bool {
        self.0.is_none()
    }
}

impl Write for Value {
    fn write(&self, out: &mut Out) {
        out.bytes.extend_from_slice(self.to_string().as_bytes());
    }
}

/// Raw JSON text, written as it is.
pub(super) struct Verbatim<'a>(pub(super) &'a str);

impl Write for Verbatim<'_> {
    fn write(&self, out: &mut Out) {
        out.bytes.extend_from_slice(self.0.as_bytes());
    }
}

impl super::Stray {
    /// Unknown members of an object whose known ones are lists of the model; `name` is its own.
    pub(super) fn rest(name: &str, extra: &Extra) -> Option<Self> {
        let json = format!("{{{}}}", extra.own());
        (!extra.own().is_empty()).then(|| Self { list: name.to_owned(), json })
    }

    /// The inverse of [`Stray::rest`].
    pub(super) fn rest_of(strays: &[Self], name: &str) -> Extra {
        let json = strays.iter().find(|s| s.list == name).map_or("{}", |s| &s.json);
        let members = json.strip_prefix('{').and_then(|j| j.strip_suffix('}')).unwrap_or_default();
        Extra::from_text(members.to_owned(), String::new())
    }

    pub(super) fn new<T: Write>(list: &'static str, row: &T) -> Self {
        let mut out = Out::default();
        row.write(&mut out);
        Self { list: list.to_owned(), json: String::from_utf8_lossy(&out.bytes).into_owned() }
    }
}
