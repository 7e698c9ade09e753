//! What a component has written, as its host shows it to who asks: the latest lines, and how its calls fare. Where they are kept is
//! `engine/log.rs`'s, and who may ask `control/`'s.

use serde::{Deserialize, Serialize};
use std::fmt;

/// How serious a line is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    /// Of use to who looks for a fault in the component.
    Debug,
    /// What happens.
    Info,
    /// Something is not as it should be.
    Warn,
    /// Something has failed.
    Error,
}

/// A line that a component has written.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Line {
    /// Its number, from 1 on since the component was started.
    pub number: u64,
    /// When, in milliseconds since 1970, by the host's clock.
    pub at_ms: u64,
    /// How serious.
    pub level: Level,
    /// Where it came from: `stdout`, `stderr`, or the context that the component gave.
    pub source: String,
    /// The line.
    pub text: String,
}

/// A place in the row of a component's lines, right behind one of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Place {
    /// In which row: each start of the component begins a new one.
    #[serde(default)]
    pub life: u64,
    /// The line's number; 0 is the beginning.
    #[serde(default)]
    pub number: u64,
}

/// A call that did not end well.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    /// When, in milliseconds since 1970, by the host's clock.
    pub at_ms: u64,
    /// What has become of it, in at most 1 KiB.
    pub why: String,
}

/// What a component has written since a place, and how its calls fare. In JSON it has less than 900 kB.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Written {
    /// The oldest first; 64 at most.
    pub lines: Vec<Line>,
    /// What to ask from next.
    pub next: Place,
    /// How many came before these and are forgotten.
    pub forgotten: u64,
    /// Lines that were dropped since the start because it wrote too many.
    pub dropped: u64,
    /// Calls that have failed since the start.
    pub failed: u64,
    /// The latest of them.
    pub last_failure: Option<Failure>,
}

impl fmt::Display for Level {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Debug => "debug",
            Self::Info => "info",
            Self::Warn => "warn",
            Self::Error => "error",
        })
    }
}
