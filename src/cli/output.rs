//! What commands print: lines, tables, JSON, colours; and how a closed pipe is taken.
//!
//! What belongs to an answer goes to stdout, what accompanies it (errors, notices) to stderr.

use super::CliError;
use humantime_serde::re::humantime::format_rfc3339_millis;
use serde::Serialize;
use std::fmt::Display;
use std::io::{self, IsTerminal, Write};
use std::time::{Duration, UNIX_EPOCH};

/// The last moment that has four digits for its year, in milliseconds since 1970.
const YEAR_9999_MS: u64 = 253_402_300_799_999;

/// Where a command prints to, and how.
#[derive(Debug)]
pub(super) struct Output {
    pub(super) json: bool,
    color: bool,
}

#[derive(Clone, Copy, Debug)]
pub(super) enum Tone {
    Good,
    Bad,
    Title,
}

impl Output {
    pub(super) fn new(json: bool, no_color: bool) -> Self {
        Self { json, color: !json && !no_color && io::stdout().is_terminal() }
    }

    /// True when a person looks at stdout.
    pub(super) fn is_terminal(&self) -> bool {
        io::stdout().is_terminal()
    }

    pub(super) fn paint(&self, tone: Tone, text: impl Display) -> String {
        let code = match tone {
            Tone::Good => 32,
            Tone::Bad => 31,
            Tone::Title => 1,
        };
        if self.color { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_string() }
    }

    /// Prints one line, and lets it be seen at once.
    pub(super) fn line(&self, text: impl Display) -> io::Result<()> {
        let mut out = io::stdout().lock();
        writeln!(out, "{text}")?;
        out.flush()
    }

    /// Prints `bytes` as they are, and an end of line.
    pub(super) fn bytes(&self, bytes: &[u8]) -> io::Result<()> {
        let mut out = io::stdout().lock();
        out.write_all(bytes)?;
        out.write_all(b"\n")?;
        out.flush()
    }

    /// Prints a value as one document of JSON.
    pub(super) fn document(&self, value: &impl Serialize) -> io::Result<()> {
        self.line(serde_json::to_string_pretty(value).map_err(io::Error::other)?)
    }

    /// Prints a value as one line of JSON, one of many.
    pub(super) fn record(&self, value: &impl Serialize) -> io::Result<()> {
        self.line(serde_json::to_string(value).map_err(io::Error::other)?)
    }

    /// Tells something that is not part of the answer.
    pub(super) fn notice(&self, text: impl Display) {
        // Whoever closed stderr does not want to know.
        let _ = writeln!(io::stderr().lock(), "{text}");
    }

    /// Shows how far something is, in the place of what was shown so before; nothing where nobody looks.
    pub(super) fn progress(&self, text: impl Display) {
        let mut err = io::stderr().lock();
        if err.is_terminal() && !self.json {
            // As for a notice.
            let _ = write!(err, "\r{text}\x1b[K").and_then(|()| err.flush());
        }
    }

    pub(super) fn error(&self, error: &CliError) {
        for line in error.lines() {
            self.notice(line);
        }
    }

    pub(super) fn first_screen(&self) -> io::Result<()> {
        self.line(FIRST_SCREEN.trim_end())
    }
}

pub(super) const FIRST_SCREEN: &str = "\
lattice: one binary that joins devices into a mesh that speaks NATS
  lattice up               start here: a node, and a NATS server on 127.0.0.1:4222
  lattice invite           print an invite for another device
  lattice join <invite>    on the other device, then: lattice up
  lattice status           what the node sees, and what is wrong
  lattice help             all commands; lattice help <command> for its flags
";

/// Lines of columns, each as wide as its widest cell, two blanks apart.
#[derive(Debug, Default)]
pub(super) struct Table {
    rows: Vec<Vec<String>>,
}

impl Table {
    pub(super) fn new(titles: &[&str]) -> Self {
        Self { rows: vec![titles.iter().map(|title| (*title).to_owned()).collect()] }
    }

    pub(super) fn row(&mut self, cells: Vec<String>) {
        self.rows.push(cells);
    }

    pub(super) fn lines(&self) -> impl Iterator<Item = String> + '_ {
        let columns = self.rows.iter().map(Vec::len).max().unwrap_or(0);
        let width =
            |column: usize| self.rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count()).max();
        let widths: Vec<usize> = (0..columns).map(|column| width(column).unwrap_or(0)).collect();
        self.rows.iter().map(move |row| {
            let cells = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:width$}"));
            cells.collect::<Vec<_>>().join("  ").trim_end().to_owned()
        })
    }
}

/// A length of time in its two largest units: `3h12m`, `45s`.
pub(super) fn ago(secs: u64) -> String {
    let (days, hours, minutes) = (secs / 86_400, secs / 3600 % 24, secs / 60 % 60);
    match (days, hours, minutes) {
        (0, 0, 0) => format!("{secs}s"),
        (0, 0, minutes) => format!("{minutes}m{}s", secs % 60),
        (0, hours, minutes) => format!("{hours}h{minutes}m"),
        (days, hours, _) => format!("{days}d{hours}h"),
    }
}

/// A time to wait, as people say it: `1 h`, `30 min`, `250 ms`.
pub(super) fn spoken(period: Duration) -> String {
    let millis = period.as_millis();
    let units = [(86_400_000, "d"), (3_600_000, "h"), (60_000, "min"), (1000, "s"), (1, "ms")];
    let unit = units.into_iter().find(|(unit, _)| millis >= *unit && millis.is_multiple_of(*unit));
    unit.map_or_else(|| "0 s".to_owned(), |(unit, name)| format!("{} {name}", millis / unit))
}

/// A moment in UTC. Clocks that are beyond the year 9999 are shown at its end.
pub(super) fn moment(at_ms: u64) -> String {
    let at = UNIX_EPOCH + Duration::from_millis(at_ms.min(YEAR_9999_MS));
    format_rfc3339_millis(at).to_string().replace('T', " ")
}

/// Names that others have given, with commas: they cannot touch the terminal.
pub(super) fn names<'a>(names: impl IntoIterator<Item = &'a str>) -> String {
    names.into_iter().map(|name| name.escape_debug().to_string()).collect::<Vec<_>>().join(", ")
}

/// What others have written, in one line and without what would move the cursor, change colours or turn the direction; quotes and
/// backslashes stay as they are.
pub(super) fn plain(text: &str) -> String {
    let turns = |c: char| matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    let mut plain = String::with_capacity(text.len());
    for c in text.chars() {
        if c.is_control() || turns(c) || matches!(c, '\u{2028}' | '\u{2029}') {
            plain.extend(c.escape_default());
        } else {
            plain.push(c);
        }
    }
    plain
}

/// A number of bytes, as people say it: `123 kB`, `1.2 MB`.
pub(super) fn size(bytes: u64) -> String {
    match bytes {
        0..1_000 => format!("{bytes} B"),
        1_000..1_000_000 => format!("{} kB", bytes / 1_000),
        _ => format!("{}.{} MB", bytes / 1_000_000, bytes / 100_000 % 10),
    }
}

/// `1 client`, `2 clients`.
pub(super) fn count(number: usize, noun: &str) -> String {
    format!("{number} {noun}{}", if number == 1 { "" } else { "s" })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_align() {
        let mut table = Table::new(&["NAME", "RTT", "STATE"]);
        table.row(vec!["hall-pi".into(), "1.2 ms".into(), "up".into()]);
        table.row(vec!["bø".into(), "–".into(), "lost".into()]);
        let lines: Vec<_> = table.lines().collect();
        assert_eq!(lines, ["NAME     RTT     STATE", "hall-pi  1.2 ms  up", "bø       –       lost"]);
    }

    #[test]
    fn times_and_sizes_are_short() {
        assert_eq!([ago(5), ago(65), ago(11_520), ago(90_000)], ["5s", "1m5s", "3h12m", "1d1h"]);
        let spoken = |ms| spoken(Duration::from_millis(ms));
        assert_eq!([spoken(3_600_000), spoken(90_000), spoken(250), spoken(0)], ["1 h", "90 s", "250 ms", "0 s"]);
        assert_eq!([size(0), size(999), size(123_456), size(1_299_999)], ["0 B", "999 B", "123 kB", "1.2 MB"]);
        assert_eq!([count(1, "client"), count(0, "client")], ["1 client", "0 clients"]);
    }

    #[test]
    fn moments_know_the_calendar() {
        let day = 86_400_000;
        assert_eq!(moment(0), "1970-01-01 00:00:00.000Z");
        assert_eq!(moment(11_016 * day), "2000-02-29 00:00:00.000Z");
        assert_eq!(moment(20_454 * day - 1), "2025-12-31 23:59:59.999Z");
        assert_eq!(moment(20_454 * day), "2026-01-01 00:00:00.000Z");
        assert_eq!(moment(u64::MAX), "9999-12-31 23:59:59.999Z");
    }

    #[test]
    fn what_others_write_cannot_touch_the_terminal() {
        assert_eq!(names(["kitchen", "sh\u{1b}[2Jed"]), "kitchen, sh\\u{1b}[2Jed");
        assert_eq!(
            plain("{\"a\": 'b\\c'}\u{1b}[2J\nnew \u{202e}line é"),
            "{\"a\": 'b\\c'}\\u{1b}[2J\\nnew \\u{202e}line é"
        );
    }

    #[test]
    fn the_first_screen_has_six_lines() {
        assert_eq!(FIRST_SCREEN.lines().count(), 6);
    }
}
