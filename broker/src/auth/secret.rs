//! A password or token as it is configured: in clear, or as its bcrypt hash.

use std::fmt;

/// A configured password or token. Text that begins with `$2a$`, `$2b$`, `$2x$` or `$2y$` is a bcrypt hash of it,
/// anything else is the secret itself. Never shown.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Secret(String);

/// What comparing at once can tell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Comparison {
    Same,
    Different,
    /// It is a hash: comparing takes long, see [`Secret::matches_slowly`].
    Slow,
}

impl Secret {
    /// The secret that `text` says.
    #[must_use]
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// True when there is nothing to know.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// True when it is kept as a hash.
    #[must_use]
    pub fn is_hashed(&self) -> bool {
        ["$2a$", "$2b$", "$2x$", "$2y$"].iter().any(|prefix| self.0.starts_with(prefix))
    }

    /// Compares in a time that depends on the length of `given` only.
    pub(super) fn compare(&self, given: &str) -> Comparison {
        match (self.is_hashed(), same(self.0.as_bytes(), given.as_bytes())) {
            (true, _) => Comparison::Slow,
            (false, true) => Comparison::Same,
            (false, false) => Comparison::Different,
        }
    }

    /// Compares with a hash, which takes as long as that was made to take: tens of milliseconds to seconds.
    pub(super) fn matches_slowly(&self, given: &str) -> bool {
        bcrypt::verify(given, &self.0).unwrap_or(false)
    }
}

impl From<&str> for Secret {
    fn from(text: &str) -> Self {
        Self::new(text)
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

fn same(secret: &[u8], given: &[u8]) -> bool {
    let mut differs = usize::from(secret.len() != given.len());
    for (at, byte) in given.iter().enumerate() {
        differs |= usize::from(byte ^ secret.get(at).copied().unwrap_or(!byte));
    }
    differs == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clear_and_hashed() {
        let clear = Secret::from("pass");
        assert_eq!(clear.compare("pass"), Comparison::Same);
        for wrong in ["", "pas", "passs", "Pass"] {
            assert_eq!(clear.compare(wrong), Comparison::Different);
        }
        let hashed = Secret::new(bcrypt::hash("pass", 4).unwrap());
        assert_eq!(hashed.compare("pass"), Comparison::Slow);
        assert!(hashed.matches_slowly("pass") && !hashed.matches_slowly("Pass") && !hashed.matches_slowly(""));
        assert!(!Secret::from("$2a$broken").matches_slowly("$2a$broken"));
        assert_eq!(format!("{clear:?} {hashed:?}"), "Secret(…) Secret(…)");
    }
}
