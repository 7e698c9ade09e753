//! Where a setting was written (flag, environment, a line of the file) and how to point at it.

use std::collections::BTreeMap;
use std::fmt;
use std::ops::Range;
use std::path::{Path, PathBuf};

/// Where a key and its value stand in the file, as byte ranges.
#[derive(Clone, Debug)]
pub(super) struct Span {
    pub(super) key: Range<usize>,
    value: Range<usize>,
}

/// The places of all keys of a file, in the file's order of tables.
#[derive(Clone, Debug, Default)]
pub(super) struct Spans(BTreeMap<String, Span>);

impl Spans {
    pub(super) fn new() -> Self {
        Self::default()
    }

    pub(super) fn add(&mut self, path: String, key: Range<usize>, value: Range<usize>) {
        self.0.insert(path, Span { key, value });
    }

    /// All keys, the one that stands first in the file first.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&String, &Span)> {
        let mut all: Vec<_> = self.0.iter().collect();
        all.sort_by_key(|(_, span)| span.key.start);
        all.into_iter()
    }
}

/// A config file's text, kept to point at what is wrong in it.
#[derive(Clone)]
pub struct Source {
    path: PathBuf,
    text: String,
    pub(super) spans: Spans,
}

impl fmt::Debug for Source {
    /// Leaves the text out: it may hold passwords.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Source").field("path", &self.path).finish_non_exhaustive()
    }
}

impl Source {
    pub(super) fn new(path: &Path, text: &str) -> Self {
        Self { path: path.to_owned(), text: text.to_owned(), spans: Spans::new() }
    }

    /// The value of `key` with line and caret, when the file says it. A line that may hold a password is not shown.
    pub(super) fn point_at(&self, key: &str) -> Option<String> {
        let span = self.spans.0.get(key)?.value.clone();
        let secret = key.starts_with("client.auth") || key == "upstream.url";
        let shown = self.show(span);
        if secret { shown.lines().next().map(str::to_owned) } else { Some(shown) }
    }

    /// ```text
    ///   --> lattice.toml:3:1
    ///    |
    ///  3 | lisen = "127.0.0.1:4222"
    ///    | ^^^^^
    /// ```
    pub(super) fn show(&self, span: Range<usize>) -> String {
        let start = span.start.min(self.text.len());
        let before = self.text.get(..start).unwrap_or_default();
        let line_start = before.rfind('\n').map_or(0, |at| at + 1);
        let line = before.matches('\n').count() + 1;
        let column = before[line_start..].chars().count() + 1;
        let shown = self.text[line_start..].lines().next().unwrap_or_default();
        let end = span.end.clamp(start, line_start + shown.len().max(start - line_start));
        let carets = self.text.get(start..end).map_or(1, |text| text.chars().count().max(1));
        let margin = " ".repeat(line.to_string().len());
        format!(
            " {margin}--> {}:{line}:{column}\n {margin} |\n {line} | {shown}\n {margin} | {}{}",
            self.path.display(),
            " ".repeat(column - 1),
            "^".repeat(carets)
        )
    }
}

/// Who said a value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// A flag, by its name.
    Flag(String),
    /// A variable of the environment, by its name.
    Env(String),
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Flag(name) => write!(f, "the flag {name}"),
            Self::Env(name) => write!(f, "{name} in the environment"),
        }
    }
}
