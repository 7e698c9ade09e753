//! What a person can do about an error: likely cause, next command and a code that the docs list.
//!
//! The errors say what happened; how both are shown together is decided here, once.

use std::fmt;

/// What to add to an error's own text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Advice {
    /// The code, `E0107`.
    pub code: &'static str,
    /// The likely cause.
    pub likely: &'static str,
    /// What to do or type next.
    pub next: String,
}

impl Advice {
    pub(crate) fn new(code: &'static str, likely: &'static str, next: impl Into<String>) -> Self {
        Self { code, likely, next: next.into() }
    }

    /// `error` and the advice, as the command line shows them.
    #[must_use]
    pub fn explain(&self, error: &dyn fmt::Display) -> String {
        format!("{error}\n  likely: {}\n  try:    {}   ({})", self.likely, self.next, self.code)
    }
}

/// Seconds as a person says them: `40 s`, `5 min`, `2 h`, `3 days`.
pub(crate) fn duration(secs: u64) -> String {
    match secs {
        0..=119 => format!("{secs} s"),
        120..=7_199 => format!("{} min", secs / 60),
        7_200..=172_799 => format!("{} h", secs / 3_600),
        172_800.. => format!("{} days", secs / 86_400),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_read_well() {
        assert_eq!(duration(119), "119 s");
        assert_eq!(duration(7_300), "2 h");
        assert_eq!(duration(200_000), "2 days");
    }
}
