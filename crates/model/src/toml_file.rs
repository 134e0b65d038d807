//! The reading of TOML files that people write, table by table and key by key. What is missing, of another type or unknown is
//! noted under its path, and reading goes on, so that a person learns of everything at once.

use std::{fmt, time::Duration};

use humantime_serde::re::humantime;
use toml::Value;

use crate::{AttributeName, InvalidField, InvalidFile};

/// What is wrong so far.
#[derive(Debug, Default)]
pub struct Problems(Vec<InvalidField>);

impl Problems {
    fn note(&mut self, field: impl Into<String>, reason: impl Into<String>) {
        self.0.push(InvalidField::new(field, reason));
    }

    /// What was read, if nothing is wrong.
    ///
    /// # Errors
    /// Everything that was noted.
    pub fn settle<T>(self, read: Option<T>) -> Result<T, InvalidFile> {
        match read {
            Some(read) if self.0.is_empty() => Ok(read),
            _ => Err(InvalidFile::Problems(self.0)),
        }
    }
}

/// A table, and where it stands.
#[derive(Debug)]
pub struct Table<'p> {
    left: toml::Table,
    path: String,
    problems: &'p mut Problems,
}

impl<'p> Table<'p> {
    /// A table that stands under `path`; an empty one is the file itself.
    pub fn new(left: toml::Table, path: &str, problems: &'p mut Problems) -> Self {
        Self { left, path: path.to_owned(), problems }
    }

    /// Notes what is wrong with a key.
    pub fn note(&mut self, key: &str, reason: impl Into<String>) {
        let path = self.path_of(key);
        self.problems.note(path, reason);
    }

    /// Notes every key that nobody asked for.
    pub fn finish(self) {
        let Self { left, path, problems } = self;
        for key in left.keys() {
            let path = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
            problems.note(path, "is not a key that is known here");
        }
    }

    /// Gives up on what has not been asked for.
    pub fn leave_the_rest(&mut self) {
        self.left.clear();
    }

    /// A text.
    pub fn text(&mut self, key: &str) -> Option<String> {
        match self.optional(key, "a text", as_text)? {
            Some(text) => Some(text),
            None => self.missing(key),
        }
    }

    /// A text, if there is one; what is no text is noted and left out.
    pub fn optional_text(&mut self, key: &str) -> Option<String> {
        self.optional(key, "a text", as_text).flatten()
    }

    /// A text of which something is made, that may be left out.
    pub fn optional_parsed<T>(
        &mut self,
        key: &str,
        parse: impl FnOnce(&str) -> Result<T, String>,
    ) -> Option<Option<T>> {
        match self.optional(key, "a text", as_text)? {
            None => Some(None),
            Some(raw) => self.accept(key, parse(&raw)).map(Some),
        }
    }

    /// A text that says something.
    pub fn filled(&mut self, key: &str) -> Option<String> {
        self.parsed(
            key,
            |raw| if raw.trim().is_empty() { Err("is empty".to_owned()) } else { Ok(raw.to_owned()) },
        )
    }

    /// `[a-z][a-z0-9_]{0,62}`.
    pub fn name(&mut self, key: &str) -> Option<String> {
        self.parsed(key, |raw| match AttributeName::parse(raw) {
            Ok(_) => Ok(raw.to_owned()),
            Err(_) => Err(format!("is {raw:?}, not [a-z][a-z0-9_]{{0,62}}")),
        })
    }

    /// `[A-Z][A-Z0-9_]{0,62}`.
    pub fn code(&mut self, key: &str) -> Option<String> {
        self.parsed(key, |raw| {
            let starts_right = raw.starts_with(|c: char| c.is_ascii_uppercase());
            let goes_on_right = raw.chars().all(|c| c.is_ascii_uppercase() || c.is_ascii_digit() || c == '_');
            if starts_right && goes_on_right && raw.len() <= 63 {
                Ok(raw.to_owned())
            } else {
                Err(format!("is {raw:?}, not [A-Z][A-Z0-9_]{{0,62}}"))
            }
        })
    }

    /// What a file says of itself: its `format`, which must be the one that the program reads, its owner's `version`, and a
    /// `description`, empty if there is none.
    pub fn head(&mut self, format: i64) -> (Option<String>, String) {
        match self.whole("format") {
            Some(other) if other != format => {
                self.note("format", format!("is {other}; this program reads {format}"));
            }
            _ => {}
        }
        let version = self.text("version");
        if version.as_ref().is_some_and(|version| version.trim().is_empty() || version.len() > 128) {
            self.note("version", "is empty or longer than 128 bytes");
        }
        (version, self.optional_text("description").unwrap_or_default())
    }

    /// A text of which something is made.
    pub fn parsed<T>(&mut self, key: &str, parse: impl FnOnce(&str) -> Result<T, String>) -> Option<T> {
        let raw = self.text(key)?;
        self.accept(key, parse(&raw))
    }

    /// The name of an attribute.
    pub fn attribute(&mut self, key: &str) -> Option<AttributeName> {
        self.parsed(key, attribute)
    }

    /// `Some(None)` where the key is left out, `None` where it is wrong; so is it with all that is optional.
    pub fn optional_attribute(&mut self, key: &str) -> Option<Option<AttributeName>> {
        self.optional_parsed(key, attribute)
    }

    /// A whole number.
    pub fn whole(&mut self, key: &str) -> Option<i64> {
        match self.optional_whole(key)? {
            Some(whole) => Some(whole),
            None => self.missing(key),
        }
    }

    /// A whole number that may be left out.
    pub fn optional_whole(&mut self, key: &str) -> Option<Option<i64>> {
        self.optional(key, "a whole number", Value::as_integer)
    }

    /// A finite number that may be left out.
    pub fn optional_number(&mut self, key: &str) -> Option<Option<f64>> {
        let as_number = |value: &Value| match value {
            Value::Integer(whole) => Some(*whole as f64),
            Value::Float(number) if number.is_finite() => Some(*number),
            _ => None,
        };
        self.optional(key, "a finite number", as_number)
    }

    /// A finite number.
    pub fn number(&mut self, key: &str) -> Option<f64> {
        match self.optional_number(key)? {
            Some(number) => Some(number),
            None => self.missing(key),
        }
    }

    /// A list of texts that may be left out.
    pub fn optional_texts(&mut self, key: &str) -> Option<Option<Vec<String>>> {
        let as_texts = |value: &Value| value.as_array()?.iter().map(as_text).collect();
        self.optional(key, "a list of texts", as_texts)
    }

    /// A duration such as `365days` that may be left out.
    pub fn duration(&mut self, key: &str) -> Option<Option<Duration>> {
        self.optional_parsed(key, |raw| {
            humantime::parse_duration(raw).map_err(|_| format!("is {raw:?}, no duration such as \"365days\""))
        })
    }

    /// One of some names, or what it is if it is left out.
    pub fn choice<T: Copy>(&mut self, key: &str, otherwise: T, choices: &[(&str, T)]) -> Option<T> {
        let Some(raw) = self.optional(key, "a text", as_text)? else {
            return Some(otherwise);
        };
        let chosen = choices.iter().find(|(name, _)| *name == raw).map(|(_, choice)| *choice);
        let names = || choices.iter().map(|(name, _)| *name).collect::<Vec<_>>().join(" or ");
        self.accept(key, chosen.ok_or_else(|| format!("is {raw:?}, not {}", names())))
    }

    /// A table within this one.
    pub fn table<T>(&mut self, key: &str, read: impl FnOnce(Table<'_>) -> Option<T>) -> Option<T> {
        match self.optional_table(key, read)? {
            Some(read) => Some(read),
            None => self.missing(key),
        }
    }

    /// A table within this one that may be left out.
    pub fn optional_table<T>(
        &mut self,
        key: &str,
        read: impl FnOnce(Table<'_>) -> Option<T>,
    ) -> Option<Option<T>> {
        let Some(inner) = self.optional(key, "a table", |value| value.as_table().cloned())? else {
            return Some(None);
        };
        let path = self.path_of(key);
        read(Table::new(inner, &path, self.problems)).map(Some)
    }

    /// The tables of an array of tables; none if there are none.
    pub fn tables(&mut self, key: &str) -> Vec<toml::Table> {
        let as_tables =
            |value: &Value| value.as_array()?.iter().map(|value| value.as_table().cloned()).collect();
        self.optional(key, "a list of tables", as_tables).flatten().unwrap_or_default()
    }

    /// Reads one of them; in paths it is named by the text under `name_key`, or by its place.
    pub fn element<T>(
        &mut self,
        key: &str,
        place: usize,
        name_key: &str,
        table: toml::Table,
        read: impl FnOnce(Table<'_>) -> T,
    ) -> T {
        let name = table.get(name_key).and_then(Value::as_str).filter(|name| !name.is_empty());
        let path = match name {
            Some(name) => self.path_of(&format!("{key}[{name}]")),
            None => self.path_of(&format!("{key}[{place}]")),
        };
        read(Table::new(table, &path, self.problems))
    }

    /// Every key with its value, for a table whose keys are free.
    pub fn values<T>(mut self, read: impl Fn(&Value) -> Result<T, String>) -> Option<Vec<(String, T)>> {
        let entries: Vec<(String, Value)> = std::mem::take(&mut self.left).into_iter().collect();
        // All are read before one that is wrong ends it.
        let read: Vec<Option<(String, T)>> = entries
            .into_iter()
            .map(|(key, value)| self.accept(&key, read(&value)).map(|value| (key, value)))
            .collect();
        read.into_iter().collect()
    }

    fn optional<T>(
        &mut self,
        key: &str,
        kind: &str,
        read: impl FnOnce(&Value) -> Option<T>,
    ) -> Option<Option<T>> {
        let Some(value) = self.left.remove(key) else {
            return Some(None);
        };
        let read = read(&value).ok_or_else(|| format!("is not {kind}"));
        self.accept(key, read).map(Some)
    }

    fn accept<T>(&mut self, key: &str, read: Result<T, impl fmt::Display>) -> Option<T> {
        read.map_err(|reason| self.note(key, reason.to_string())).ok()
    }

    fn missing<T>(&mut self, key: &str) -> Option<T> {
        self.note(key, "is missing");
        None
    }

    fn path_of(&self, key: &str) -> String {
        if self.path.is_empty() { key.to_owned() } else { format!("{}.{key}", self.path) }
    }
}

/// A value that is a text.
pub fn as_text(value: &Value) -> Option<String> {
    value.as_str().map(str::to_owned)
}

/// What an attribute may be named, by its text.
///
/// # Errors
/// Why it is no such name.
pub fn attribute(raw: &str) -> Result<AttributeName, String> {
    AttributeName::parse(raw).map_err(|_| format!("is {raw:?}, which no attribute can be named"))
}
