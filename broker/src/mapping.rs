//! How subjects go from one pattern to another: `my.*.p` here is `priv.*` there.
//!
//! [`Mapping`] goes both ways between two patterns of equal wildcards, for imports: `here` is what the importing account
//! calls it, `there` what the exporting one does. What goes one way only, and may be made of functions, is a pattern of
//! [`destination`] filled with what one of [`source`] has captured; which of several is left to `mappings.rs`.

mod function;
mod one_way;
mod pattern;

pub use one_way::BadDestination;
pub(crate) use one_way::{destination, source};
pub(crate) use pattern::Pattern;

use crate::subject::{is_filter, overlaps, tokens};
use one_way::placeholder;
use pattern::Part;

/// A way from subjects to subjects, in both directions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Mapping {
    here: Pattern,
    there: Pattern,
}

impl Mapping {
    /// The mapping between `here` and `there`; without `here` they are the same. In `here` wildcards stand for those of
    /// `there` in their order, or `$1`, `{{wildcard(2)}}` … by their number. `None` when the two do not fit.
    pub(crate) fn new(here: Option<&[u8]>, there: &[u8]) -> Option<Self> {
        let here = here.unwrap_or(there);
        if !is_filter(there) || !is_filter(here) {
            return None;
        }
        let pattern = |text| pattern(std::str::from_utf8(text).ok()?);
        let (here, there) = (pattern(here)?, pattern(there)?);
        let numbers = |pattern: &Pattern| {
            let mut numbers: Vec<usize> = pattern.0.iter().filter_map(Part::number).collect();
            numbers.sort_unstable();
            numbers
        };
        let fits = numbers(&here) == numbers(&there) && here.has_tail() == there.has_tail();
        fits.then_some(Self { here, there })
    }

    /// As [`Self::new`] with `prefix.there` here.
    pub(crate) fn with_prefix(prefix: &[u8], there: &[u8]) -> Option<Self> {
        Self::new(Some(&[prefix.strip_suffix(b".").unwrap_or(prefix), b".", there].concat()), there)
    }

    /// What `subject`, which is one here, is called there.
    pub(crate) fn to_there(&self, subject: &[u8]) -> Option<Vec<u8>> {
        self.there.fill(&self.here.capture(subject)?, &mut || 0)
    }

    /// What `subject`, which is one there, is called here.
    pub(crate) fn to_here(&self, subject: &[u8]) -> Option<Vec<u8>> {
        self.here.fill(&self.there.capture(subject)?, &mut || 0)
    }

    /// The subjects there of which a subscription to `filter` here is to have the messages.
    pub(crate) fn wanted_there(&self, filter: &[u8]) -> Option<Vec<u8>> {
        self.to_there(&common(filter, &self.here.filter())?)
    }
}

fn pattern(text: &str) -> Option<Pattern> {
    let mut stars = 0;
    let parts = text.split('.').map(|token| match token {
        "*" => {
            stars += 1;
            Some(Part::Token(stars - 1))
        }
        ">" => Some(Part::Tail),
        // Numbers that the other side does not have are found when the two are compared.
        token => match placeholder(token, usize::MAX) {
            Some(Ok(Part::Token(number))) => Some(Part::Token(number)),
            // There is no way back from what functions make.
            Some(_) => None,
            None => Some(Part::Literal(token.as_bytes().into())),
        },
    });
    parts.collect::<Option<Vec<Part>>>().map(Pattern)
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
        let by_name = Mapping::new(Some(b"my.{{wildcard(2)}}.{{wildcard(1)}}"), b"priv.*.*").unwrap();
        assert_eq!(shown(by_name.to_there(b"my.b.a")).as_deref(), Some("priv.a.b"));
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
            ("a.{{left(1,2)}}", "a.*"),
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
