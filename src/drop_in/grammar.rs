//! The relaxed config format of nats-server: text to a tree of values, each with its place.
//!
//! No IO: other files and the environment are asked for through [`Sources`]. What keys mean is left to `read.rs`.

mod parse;
pub mod scalar;

use std::fmt;
use std::sync::Arc;

/// Files that include each other, one inside the other.
pub const INCLUDE_DEPTH_MAX: usize = 10;
/// Blocks and arrays inside each other.
pub const NESTING_MAX: usize = 64;
/// Bytes of all files together.
pub const BYTES_MAX: usize = 8 << 20;

/// Where something was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// The file, as it was named.
    pub file: Arc<str>,
    /// From 1.
    pub line: usize,
    /// As nats-server counts: from 0 in the first line, from 1 in the others.
    pub column: usize,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}", self.file, self.line, self.column)
    }
}

/// The text cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{place}: Parse error: {what}")]
pub struct GrammarError {
    /// Where.
    pub place: Place,
    /// What is wrong, and what is accepted.
    pub what: String,
}

/// A value.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// A whole number, suffixes such as `k` and `mb` applied.
    Integer(i64),
    /// A number with a fraction.
    Float(f64),
    /// `true`, `yes`, `on` and their opposites.
    Boolean(bool),
    /// A string, quoted or not.
    Text(String),
    /// A date, as written.
    Date(String),
    /// `[ … ]`.
    List(Vec<Item>),
    /// `{ … }`.
    Block(Block),
}

impl Value {
    /// What kind of value it is, in words, and what it says when that is short and no secret of its own.
    #[must_use]
    pub fn spoken(&self) -> String {
        match self {
            Self::Integer(number) => number.to_string(),
            Self::Float(number) => number.to_string(),
            Self::Boolean(flag) => flag.to_string(),
            Self::Text(text) => format!("{text:?}"),
            Self::Date(text) => text.clone(),
            Self::List(_) => "an array".to_owned(),
            Self::Block(_) => "a block".to_owned(),
        }
    }
}

/// A value and its place.
#[derive(Clone, Debug, PartialEq)]
pub struct Item {
    /// The value.
    pub value: Value,
    /// Where it begins.
    pub place: Place,
}

/// A key with its value.
#[derive(Clone, Debug, PartialEq)]
pub struct Entry {
    /// As written; keys are compared without regard to case.
    pub key: String,
    /// Where the key begins.
    pub place: Place,
    /// The value.
    pub item: Item,
    /// Some `$key` has been replaced by it, so that the key may be one that nobody knows.
    pub is_variable: bool,
}

/// Keys and values in the order in which they were written. A key that comes twice has its last value.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Block {
    /// The entries.
    pub entries: Vec<Entry>,
}

impl Block {
    fn insert(&mut self, entry: Entry) {
        match self.entries.iter_mut().find(|other| other.key == entry.key) {
            Some(other) => *other = entry,
            None => self.entries.push(entry),
        }
    }

    /// The entry of `key`, which is in lower case.
    #[must_use]
    pub fn find(&self, key: &str) -> Option<&Entry> {
        self.entries.iter().find(|entry| entry.key.to_lowercase() == key)
    }
}

/// What the text may refer to.
pub trait Sources {
    /// The text of the file `path`, which `from` includes, and the name for it in messages.
    ///
    /// # Errors
    /// Why it cannot be had.
    fn include(&mut self, path: &str, from: &str) -> Result<(String, String), String>;

    /// A variable of the environment.
    fn variable(&self, name: &str) -> Option<String>;
}

/// Reads `text`, which is the file `name`.
///
/// # Errors
/// [`GrammarError`] for the first thing that cannot be read, in whichever file it is.
pub fn parse(text: &str, name: &str, sources: &mut dyn Sources) -> Result<Block, GrammarError> {
    parse::file(text, name, sources)
}

#[cfg(test)]
mod tests;
