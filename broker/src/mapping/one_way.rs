//! The two ends of a way that subjects go one way only: `orders.*` and `orders.{{partition(3, 1)}}.$1`.

use super::function::{self, Fault, Said, wildcard};
use super::pattern::{Part, Pattern};
use crate::subject::{is_filter, text, tokens};

/// A subject that others cannot be sent to as it is written.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadDestination {
    /// It is no subject.
    #[error("{subject:?} has an empty token, a blank, a wildcard as *, or more behind a >")]
    Subject {
        /// It.
        subject: String,
    },
    /// It takes the rest of the source where there is none, or the other way round.
    #[error("{subject:?} and its source are not both with a last > or both without")]
    Tail {
        /// It.
        subject: String,
    },
    /// A token of it calls a function that there is not.
    #[error(
        "{token:?} is no function: there are wildcard, partition, random, split, splitFromLeft, splitFromRight, \
         sliceFromLeft, sliceFromRight, left and right"
    )]
    Function {
        /// That token.
        token: String,
    },
    /// A token of it calls a function with arguments that it does not take.
    #[error("{token:?} has arguments that are not {accepted}")]
    Arguments {
        /// That token.
        token: String,
        /// What is accepted.
        accepted: &'static str,
    },
    /// A token of it speaks of a wildcard that the source does not have.
    #[error("{token:?} speaks of wildcard {number}; the source has {stars} for one token, counted from 1")]
    Wildcard {
        /// That token.
        token: String,
        /// The number of the wildcard.
        number: i64,
        /// How many there are.
        stars: usize,
    },
}

/// The pattern of subjects that go somewhere else; `None` when it is none.
pub(crate) fn source(filter: &[u8]) -> Option<Pattern> {
    let mut stars = 0;
    let parts = tokens(filter).map(|token| match token {
        b"*" => {
            stars += 1;
            Part::Token(stars - 1)
        }
        b">" => Part::Tail,
        literal => Part::Literal(literal.into()),
    });
    is_filter(filter).then(|| Pattern(parts.collect()))
}

/// The pattern of what they become.
pub(crate) fn destination(subject: &str, source: &Pattern) -> Result<Pattern, BadDestination> {
    let (stars, has_tail) = (source.stars(), source.has_tail());
    let bad = || BadDestination::Subject { subject: subject.to_owned() };
    let mut parts = Vec::new();
    for token in subject.split('.') {
        if token.is_empty() || token == "*" || parts.last() == Some(&Part::Tail) {
            return Err(bad());
        }
        let said = match placeholder(token, stars) {
            Some(said) => said.map_err(|fault| name(fault, token, stars))?,
            None if token == ">" => Part::Tail,
            None if token.contains(|char: char| char.is_ascii_whitespace()) => return Err(bad()),
            None => Part::Literal(token.as_bytes().into()),
        };
        parts.push(said);
    }
    let made = Pattern(parts);
    if made.has_tail() != has_tail {
        return Err(BadDestination::Tail { subject: subject.to_owned() });
    }
    Ok(made)
}

/// What `$1` and `{{…}}` stand for where the source has `stars` wildcards for one token; `None` for other tokens.
pub(super) fn placeholder(token: &str, stars: usize) -> Option<Result<Part, Fault>> {
    if let Some(number) = token.strip_prefix('$').and_then(|number| number.parse().ok()) {
        return Some(wildcard(number, stars).map(Part::Token));
    }
    let call = token.strip_prefix("{{")?.strip_suffix("}}").filter(|call| !call.is_empty())?;
    Some(function::parse(call, stars).map(|said| match said {
        Said::Token(number) => Part::Token(number),
        Said::Function(function) => Part::Function(function),
    }))
}

fn name(fault: Fault, token: &str, stars: usize) -> BadDestination {
    let token = text(token.as_bytes());
    match fault {
        Fault::Name => BadDestination::Function { token },
        Fault::Arguments(accepted) => BadDestination::Arguments { token, accepted },
        Fault::Wildcard(number) => BadDestination::Wildcard { token, number, stars },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What `subject` becomes, with chance `roll`.
    fn carried(from: &str, to: &str, subject: &str, roll: u64) -> Option<String> {
        let from = source(from.as_bytes()).unwrap();
        let to = destination(to, &from).unwrap();
        Some(text(&to.fill(&from.capture(subject.as_bytes())?, &mut || roll)?))
    }

    #[test]
    fn subjects_are_made_of_what_was_captured() {
        for (from, to, subject, expected) in [
            ("a", "b.c", "a", "b.c"),
            ("a.*.*", "b.$2.{{wildcard(1)}}.$2", "a.x.y", "b.y.x.y"),
            ("a.*", "b", "a.x", "b"),
            ("a.*.>", "b.>", "a.x.y.z", "b.y.z"),
            (">", "all.>", "x.y", "all.x.y"),
            ("a.*", "$x.$.{{}}.{{wildcard(1)}}x", "a.b", "$x.$.{{}}.{{wildcard(1)}}x"),
            ("a.*", "b.{{ Wildcard ( 1 ) }}", "a.x", "b.x"),
            // Hashes of "x", "yx", "a.x" and "a".
            ("a.*", "b.{{partition(1000, 1)}}", "a.x", "b.695"),
            ("a.*.*", "b.{{partition(1000, 2, 1)}}", "a.x.y", "b.444"),
            ("a.*", "b.{{Partition(1000)}}", "a.x", "b.786"),
            ("a", "b.{{partition(1000)}}", "a", "b.220"),
            ("a.*", "b.{{partition(0, 1)}}.{{random(0)}}", "a.x", "b.0.0"),
            ("a.*", "b.{{SplitFromLeft(1, 2)}}", "a.12345", "b.12.345"),
            ("a.*", "b.{{splitfromright(1, 2)}}", "a.12345", "b.123.45"),
            ("a.*", "b.{{SliceFromLeft(1,2)}}", "a.12345", "b.12.34.5"),
            ("a.*", "b.{{SliceFromLeft(1,2)}}", "a.1234", "b.12.34"),
            ("a.*", "b.{{sliceFromRight(1,2)}}", "a.12345", "b.1.23.45"),
            ("a.*", "b.{{sliceFromRight(1,2)}}", "a.1234", "b.12.34"),
            ("a.*", "b.{{left(1, 2)}}.{{right(1, 2)}}", "a.12345", "b.12.45"),
            ("a.*", "b.{{left(1, 5)}}.{{right(1, 9)}}.{{sliceFromLeft(1, -1)}}", "a.12", "b.12.12.12"),
            ("a.*", "b.{{split(1, -)}}", "a.-1-2--3-", "b.1.2.3"),
            ("a.*", "b.{{split(1, -)}}", "a.--1", "b..1"),
            ("a.*", "b.{{split(1, --)}}", "a.1--2-3", "b.1.2-3"),
            ("a.*", "b.{{split(1,)}}", "a.äb", "b.ä.b"),
        ] {
            assert_eq!(carried(from, to, subject, 0).as_deref(), Some(expected), "{from} {to} {subject}");
        }
        assert_eq!(carried("a.*", "b", "a.x.y", 0), None);
        assert_eq!(carried("a.>", "b.>", "a.x..y", 0), None);
        assert_eq!(carried("a", "b.{{random(10)}}", "a", u64::MAX).as_deref(), Some("b.9"));
        assert_eq!(carried("a", "b.{{random(10)}}", "a", 0).as_deref(), Some("b.0"));
    }

    #[test]
    fn what_does_not_fit_is_named() {
        for (from, to, expected) in [
            ("a", "", "\"\" has an empty token"),
            ("a", "b..c", "\"b..c\" has an empty token"),
            ("a", "b c", "a blank"),
            ("a.*", "b.*", "a wildcard as *"),
            ("a.>", "b.>.c", "more behind a >"),
            ("a.>", "b", "not both with a last >"),
            ("a", "b.>", "not both with a last >"),
            ("a.*", "b.$2", "\"$2\" speaks of wildcard 2; the source has 1 for one token"),
            ("a.*", "b.$0", "counted from 1"),
            ("a", "b.$1", "the source has 0"),
            ("a.*", "{{wildcard(3)}}", "wildcard 3"),
            ("a.*", "{{partition(3,1,2)}}", "wildcard 2"),
            ("a.*", "{{left(2,1)}}", "wildcard 2"),
            ("a.*", "{{nothing(1)}}", "\"{{nothing(1)}}\" is no function: there are wildcard"),
            ("a.*", "{{WILDCARD(1)}}", "is no function"),
            ("a.*", "{{wildcard}}", "is no function"),
            ("a.*", "{{wildcard()}}", "not wildcard(1)"),
            ("a.*", "{{wildcard(1,2)}}", "not wildcard(1)"),
            ("a.*", "{{partition()}}", "not partition(10)"),
            ("a.*", "{{partition(2147483648)}}", "2147483647"),
            ("a.*", "{{random(1,2)}}", "not random(10)"),
            ("a.*", "{{split(1)}}", "not split(1, -)"),
            ("a.*", "{{split(1,a b)}}", "not split(1, -)"),
            ("a.*", "{{split(1,-,-)}}", "not split(1, -)"),
            ("a.*", "{{sliceFromLeft(1)}}", "as in left(1, 3)"),
            ("a.*", "{{right(1,x)}}", "as in left(1, 3)"),
        ] {
            let said = destination(to, &source(from.as_bytes()).unwrap()).unwrap_err().to_string();
            assert!(said.contains(expected), "{from} {to}: {said}");
        }
        assert_eq!((source(b"a..b"), source(b"a b"), source(b"")), (None, None, None));
    }
}
