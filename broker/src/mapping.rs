//! Two patterns of equal wildcards, and how subjects go from one to the other: `my.*.p` here is `priv.*` there.
//!
//! Used for imports: `here` is what the importing account calls it, `there` what the exporting one does.

use crate::subject::{is_filter, overlaps, tokens};
use smallvec::SmallVec;

/// A way from subjects to subjects, in both directions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Mapping {
    here: Vec<Part>,
    there: Vec<Part>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    Literal(Box<[u8]>),
    /// One token: the wildcard of that number, counted from 0 in the pattern there.
    Token(usize),
    /// The rest.
    Tail,
}

/// What wildcards stood for.
type Captured<'a> = SmallVec<[&'a [u8]; 4]>;

impl Mapping {
    /// The mapping between `here` and `there`; without `here` they are the same. In `here` wildcards stand for those of
    /// `there` in their order, or `$1`, `$2` … by their number. `None` when the two do not fit.
    pub(crate) fn new(here: Option<&[u8]>, there: &[u8]) -> Option<Self> {
        let here = here.unwrap_or(there);
        if !is_filter(there) || !is_filter(here) {
            return None;
        }
        let (here, there) = (parts(here)?, parts(there)?);
        let kinds = |parts: &[Part]| {
            let mut numbers: Vec<usize> = parts.iter().filter_map(Part::number).collect();
            numbers.sort_unstable();
            (numbers, parts.contains(&Part::Tail))
        };
        (kinds(&here) == kinds(&there)).then_some(Self { here, there })
    }

    /// As [`Self::new`] with `prefix.there` here.
    pub(crate) fn with_prefix(prefix: &[u8], there: &[u8]) -> Option<Self> {
        Self::new(Some(&[prefix.strip_suffix(b".").unwrap_or(prefix), b".", there].concat()), there)
    }

    /// What `subject`, which is one here, is called there.
    pub(crate) fn to_there(&self, subject: &[u8]) -> Option<Vec<u8>> {
        carry(&self.here, &self.there, subject)
    }

    /// What `subject`, which is one there, is called here.
    pub(crate) fn to_here(&self, subject: &[u8]) -> Option<Vec<u8>> {
        carry(&self.there, &self.here, subject)
    }

    /// The subjects there of which a subscription to `filter` here is to have the messages.
    pub(crate) fn wanted_there(&self, filter: &[u8]) -> Option<Vec<u8>> {
        let here = pattern(&self.here);
        self.to_there(&common(filter, &here)?)
    }
}

impl Part {
    fn number(&self) -> Option<usize> {
        match self {
            Self::Token(number) => Some(*number),
            Self::Literal(_) | Self::Tail => None,
        }
    }
}

fn parts(pattern: &[u8]) -> Option<Vec<Part>> {
    let mut stars = 0;
    let parts = tokens(pattern).map(|token| match token {
        b"*" => {
            stars += 1;
            Some(Part::Token(stars - 1))
        }
        b">" => Some(Part::Tail),
        [b'$', digits @ ..] if !digits.is_empty() && digits.iter().all(u8::is_ascii_digit) => {
            let number: usize = std::str::from_utf8(digits).ok()?.parse().ok()?;
            Some(Part::Token(number.checked_sub(1)?))
        }
        literal => Some(Part::Literal(literal.into())),
    });
    parts.collect()
}

fn pattern(parts: &[Part]) -> Vec<u8> {
    let texts: Vec<&[u8]> = parts
        .iter()
        .map(|part| match part {
            Part::Literal(text) => text,
            Part::Token(_) => &b"*"[..],
            Part::Tail => b">",
        })
        .collect();
    texts.join(&b'.')
}

/// `subject`, which may have wildcards where `from` has some, in the form of `to`.
fn carry(from: &[Part], to: &[Part], subject: &[u8]) -> Option<Vec<u8>> {
    let none: &[u8] = &[];
    let mut captured: Captured<'_> = from.iter().filter(|part| part.number().is_some()).map(|_| none).collect();
    let mut rest = subject;
    let mut tail = None;
    for (at, part) in from.iter().enumerate() {
        let is_last = at + 1 == from.len();
        let end = rest.iter().position(|byte| *byte == b'.').unwrap_or(rest.len());
        let token = &rest[..end];
        if token.is_empty() {
            return None;
        }
        match part {
            Part::Tail => {
                tail = Some(rest);
                break;
            }
            Part::Token(number) => *captured.get_mut(*number)? = token,
            Part::Literal(text) if **text == *token => {}
            Part::Literal(_) => return None,
        }
        match (rest.get(end + 1..), is_last) {
            (Some(more), false) => rest = more,
            (None, true) => {}
            (Some(_), true) | (None, false) => return None,
        }
    }
    if tail.is_some_and(|tail| tokens(tail).any(<[u8]>::is_empty)) {
        return None;
    }
    let texts: Option<Vec<&[u8]>> = to
        .iter()
        .map(|part| match part {
            Part::Literal(text) => Some(&**text),
            Part::Token(number) => captured.get(*number).copied(),
            Part::Tail => tail,
        })
        .collect();
    Some(texts?.join(&b'.'))
}

/// The filter of all subjects that match both.
fn common(a: &[u8], b: &[u8]) -> Option<Vec<u8>> {
    if !overlaps(a, b) {
        return None;
    }
    let (mut a, mut b) = (tokens(a), tokens(b));
    let mut out: Vec<&[u8]> = Vec::new();
    loop {
        match (a.next(), b.next()) {
            (Some(b">"), Some(token)) => {
                out.push(token);
                out.extend(b);
                break;
            }
            (Some(token), Some(b">")) => {
                out.push(token);
                out.extend(a);
                break;
            }
            (Some(b"*"), Some(token)) | (Some(token), Some(_)) => out.push(token),
            (None, _) | (_, None) => break,
        }
    }
    Some(out.join(&b'.'))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::subject::{matches, text};
    use proptest::prelude::*;

    fn shown(result: Option<Vec<u8>>) -> Option<String> {
        result.map(|bytes| text(&bytes))
    }

    #[test]
    fn subjects_go_both_ways() {
        let mapping = Mapping::new(Some(b"my.$2.x.$1"), b"priv.*.*").unwrap();
        assert_eq!(shown(mapping.to_there(b"my.b.x.a")).as_deref(), Some("priv.a.b"));
        assert_eq!(shown(mapping.to_here(b"priv.a.b")).as_deref(), Some("my.b.x.a"));
        assert_eq!(shown(mapping.wanted_there(b"my.b.>")).as_deref(), Some("priv.*.b"));
        assert_eq!(shown(mapping.wanted_there(b"other.>")), None);
        let prefix = Mapping::with_prefix(b"imp", b"pub.>").unwrap();
        assert_eq!(shown(prefix.to_here(b"pub.a.b")).as_deref(), Some("imp.pub.a.b"));
        for (filter, wanted) in [
            ("imp.pub.a", Some("pub.a")),
            ("imp.>", Some("pub.>")),
            (">", Some("pub.>")),
            ("imp.*.a", Some("pub.a")),
            ("imp.pub.*.b", Some("pub.*.b")),
            ("imp.pub", None),
            ("imp.no.a", None),
            ("*", None),
        ] {
            assert_eq!(shown(prefix.wanted_there(filter.as_bytes())).as_deref(), wanted, "{filter}");
        }
        assert_eq!(shown(Mapping::new(Some(b"add"), b"svc.add").unwrap().to_there(b"add")).as_deref(), Some("svc.add"));
        for subject in ["svc", "svc.add.x", "svc..add", ""] {
            assert_eq!(shown(Mapping::new(None, b"svc.*").unwrap().to_there(subject.as_bytes())), None, "{subject}");
        }
        assert_eq!(shown(prefix.to_here(b"pub.a..b")), None);
    }

    #[test]
    fn patterns_must_fit() {
        for (here, there) in [
            ("a", "b.*"),
            ("a.*", "b"),
            ("a.$2", "b.*"),
            ("a.$1.$1", "b.*.*"),
            ("a.*", "b.>"),
            ("a..b", "a"),
            ("a.$0", "a.*"),
        ] {
            assert_eq!(Mapping::new(Some(here.as_bytes()), there.as_bytes()), None, "{here} {there}");
        }
    }

    proptest! {
        /// What a subscription is given of another account is what its filter matches here, and all of that.
        #[test]
        fn a_filter_wants_what_it_matches(
            filter in "(([abi*]\\.){0,3})[abi*>]", there in "(([ab*]\\.){0,2})[ab*>]", subject in "([ab]\\.){0,3}[ab]",
        ) {
            let mapping = Mapping::with_prefix(b"i", there.as_bytes()).unwrap();
            let Some(here) = mapping.to_here(subject.as_bytes()) else {
                prop_assert!(!matches(there.as_bytes(), subject.as_bytes()));
                return Ok(());
            };
            prop_assert_eq!(mapping.to_there(&here), Some(subject.clone().into_bytes()));
            let wanted = mapping.wanted_there(filter.as_bytes());
            let is_wanted = wanted.is_some_and(|wanted| matches(&wanted, subject.as_bytes()));
            prop_assert_eq!(is_wanted, matches(filter.as_bytes(), &here));
        }
    }
}
