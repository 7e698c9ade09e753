//! Subjects and filters: which bytes are one, which filter matches which subject, and how two filters relate.
//!
//! A subject is a row of tokens between dots. In a filter `*` stands for one token and a last `>` for one or
//! more; inside a longer token both are ordinary characters. Finding the subscriptions of a subject quickly is
//! left to the sublist.

use std::fmt;
use std::ops::Deref;

/// What may be subscribed to: a subject, perhaps with wildcards.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Filter(Box<[u8]>);

/// A subject without wildcards and without empty tokens.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Subject<'a>(&'a [u8]);

/// The bytes are no filter: an empty token, a blank, or `>` before the end.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{subject:?} is no subject to subscribe to")]
pub struct BadFilter {
    /// The subject, as text.
    pub subject: String,
}

/// The bytes are no subject to publish to: an empty token, a blank, or a wildcard.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{subject:?} is no subject to publish to")]
pub struct BadSubject {
    /// The subject, as text.
    pub subject: String,
}

/// Tokens of a filter. What remembers filters goes down a level for each, and stacks have an end.
const TOKENS_MAX: usize = 2048;

impl Filter {
    /// Checks and copies `bytes`, which may have 2,048 tokens.
    ///
    /// # Errors
    /// [`BadFilter`] when nothing could ever match, or there are more tokens.
    pub fn parse(bytes: &[u8]) -> Result<Self, BadFilter> {
        let is_good = is_filter(bytes) && tokens(bytes).count() <= TOKENS_MAX;
        if is_good { Ok(Self(bytes.into())) } else { Err(BadFilter { subject: text(&bytes[..bytes.len().min(256)]) }) }
    }

    /// True when a message to `subject` is meant for this filter.
    #[must_use]
    pub fn matches(&self, subject: &[u8]) -> bool {
        matches(&self.0, subject)
    }
}

impl Deref for Filter {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for Filter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Filter({})", text(&self.0))
    }
}

impl<'a> Subject<'a> {
    /// Checks `bytes`.
    ///
    /// # Errors
    /// [`BadSubject`]; a server that is not asked to be pedantic takes such a message all the same.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, BadSubject> {
        if is_literal(bytes) { Ok(Self(bytes)) } else { Err(BadSubject { subject: text(bytes) }) }
    }
}

impl Deref for Subject<'_> {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        self.0
    }
}

impl fmt::Debug for Subject<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Subject({})", text(self.0))
    }
}

/// True when `bytes` may be subscribed to.
#[must_use]
pub fn is_filter(bytes: &[u8]) -> bool {
    let mut tail_seen = false;
    tokens(bytes).all(|token| {
        let fits = !tail_seen && is_token(token);
        tail_seen = token == b">";
        fits
    })
}

/// True when `bytes` is a subject without wildcards.
#[must_use]
pub fn is_literal(bytes: &[u8]) -> bool {
    tokens(bytes).all(|token| is_token(token) && token != b"*" && token != b">")
}

/// True when the filter has a wildcard token.
#[must_use]
pub(crate) fn has_wildcard(filter: &[u8]) -> bool {
    tokens(filter).any(|token| token == b"*" || token == b">")
}

/// True when `subject`, taken literally, is meant for `filter`. Nothing matches a subject with an empty token.
#[must_use]
pub fn matches(filter: &[u8], subject: &[u8]) -> bool {
    if tokens(subject).any(<[u8]>::is_empty) {
        return false;
    }
    let (mut wanted, mut given) = (tokens(filter), tokens(subject));
    loop {
        match (wanted.next(), given.next()) {
            (None, None) => return true,
            (Some(b">"), Some(_)) => return true,
            (Some(b"*"), Some(_)) => {}
            (Some(want), Some(have)) if want == have => {}
            (Some(_) | None, Some(_) | None) => return false,
        }
    }
}

/// True when each subject that matches `inner` matches `outer` too. For a literal `inner`: when it matches.
#[must_use]
pub(crate) fn covers(outer: &[u8], inner: &[u8]) -> bool {
    let mut inner = tokens(inner);
    for wanted in tokens(outer) {
        let Some(token) = inner.next() else { return false };
        match wanted {
            b">" => return true,
            b"*" if token != b">" => {}
            _ if wanted == token => {}
            _ => return false,
        }
    }
    inner.next().is_none()
}

/// True when some subject matches both filters.
#[must_use]
pub(crate) fn overlaps(a: &[u8], b: &[u8]) -> bool {
    let (mut a, mut b) = (tokens(a), tokens(b));
    loop {
        match (a.next(), b.next()) {
            (None, None) => return true,
            (Some(b">"), Some(_)) | (Some(_), Some(b">")) => return true,
            (Some(x), Some(y)) if x == y || x == b"*" || y == b"*" => {}
            (Some(_) | None, Some(_) | None) => return false,
        }
    }
}

/// The tokens between the dots; at least one, perhaps empty.
pub(crate) fn tokens(subject: &[u8]) -> impl Iterator<Item = &[u8]> {
    subject.split(|byte| *byte == b'.')
}

fn is_token(token: &[u8]) -> bool {
    !token.is_empty() && !token.iter().any(|byte| matches!(byte, b' ' | b'\t' | b'\r' | b'\n' | b'\x0c'))
}

/// Subject bytes for a person to read.
pub(crate) fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn filters_as_the_protocol_wants_them() {
        for good in ["a", "a.b", "*", ">", "a.*.>", "foo.*x", "f*o", ">x", "a.b>", "é.ü"] {
            assert!(is_filter(good.as_bytes()), "{good}");
        }
        for bad in ["", ".", "foo..bar", ".foo", "foo.", "foo.>.x", ">.>", "a b", "a\tb", "a\x0cb", "a\r"] {
            assert!(!is_filter(bad.as_bytes()), "{bad:?}");
        }
    }

    #[test]
    fn literals_have_no_wildcard_token() {
        assert!(is_literal(b"a.b*.>c"));
        for bad in ["", "a.*", ">", "a..b", "a."] {
            assert!(Subject::parse(bad.as_bytes()).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn wildcards_match_tokens() {
        for (filter, subject, expected) in [
            ("a.*", "a.b", true),
            ("a.*", "a", false),
            ("a.*", "a.b.c", false),
            ("a.>", "a.b.c", true),
            ("a.>", "a", false),
            (">", "foo.*", true),
            ("foo.*", "foo.*", true),
            (">", "a..b", false),
            ("*", "", false),
            ("a*", "ab", false),
        ] {
            assert_eq!(matches(filter.as_bytes(), subject.as_bytes()), expected, "{filter} {subject}");
        }
    }

    #[test]
    fn a_wildcard_is_a_whole_token() {
        assert!(has_wildcard(b"a.*.b") && has_wildcard(b">") && !has_wildcard(b"a.b*"));
    }

    #[test]
    fn filters_cover_and_overlap() {
        for (outer, inner, want) in [
            (">", "a.b", true),
            ("a.>", "a", false),
            ("a.>", "a.*", true),
            ("a.*", "a.>", false),
            ("a.*", "a.b", true),
            ("a.*", "a.b.c", false),
            ("*.b", "a.b", true),
            ("a.>", "a.b.>", true),
            ("$JS.API.>", "$JS.>", false),
            ("a", "a", true),
            ("a", "A", false),
        ] {
            assert_eq!(covers(outer.as_bytes(), inner.as_bytes()), want, "{outer} covers {inner}");
        }
        for (a, b, want) in [
            ("a.*", "*.b", true),
            ("a.>", "a", false),
            ("a.>", "*.*.c", true),
            ("a.b", "a.c", false),
            ("a.b.c", "a.b", false),
            (">", "x", true),
        ] {
            assert_eq!(overlaps(a.as_bytes(), b.as_bytes()), want, "{a} overlaps {b}");
            assert_eq!(overlaps(b.as_bytes(), a.as_bytes()), want, "{b} overlaps {a}");
        }
    }

    proptest! {
        /// Two filters overlap when one literal matches both, and covering passes matches on.
        #[test]
        fn a_common_match_is_an_overlap(
            a in "(([ab*]\\.){0,2})[ab*>]", b in "(([ab*]\\.){0,2})[ab*>]", literal in "([ab]\\.){0,3}[ab]",
        ) {
            let (a, b, literal) = (a.as_bytes(), b.as_bytes(), literal.as_bytes());
            prop_assert_eq!(covers(a, literal), matches(a, literal));
            if covers(a, literal) && covers(b, literal) {
                prop_assert!(overlaps(a, b));
            }
            if covers(a, b) && covers(b, literal) {
                prop_assert!(covers(a, literal));
            }
        }
    }
}
