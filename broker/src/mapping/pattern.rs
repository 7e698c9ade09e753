//! A row of tokens, some of which stand for others: what a subject says in their places, and subjects made of that.

use super::function::Function;
use crate::subject::tokens;
use smallvec::SmallVec;

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Part {
    Literal(Box<[u8]>),
    /// One token: the wildcard of that number, counted from 0.
    Token(usize),
    /// What is made of such tokens.
    Function(Function),
    /// The rest.
    Tail,
}

/// Tokens, and what stands for them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Pattern(pub(super) Vec<Part>);

/// What a subject says in the places of a pattern.
#[derive(Debug)]
pub(crate) struct Captured<'a> {
    pub(super) subject: &'a [u8],
    /// By the numbers of the wildcards.
    pub(super) tokens: SmallVec<[&'a [u8]; 4]>,
    tail: Option<&'a [u8]>,
}

impl Part {
    pub(super) fn number(&self) -> Option<usize> {
        match self {
            Self::Token(number) => Some(*number),
            Self::Literal(_) | Self::Function(_) | Self::Tail => None,
        }
    }
}

impl Pattern {
    /// What `subject`, which may have wildcards where the pattern has some, says in its places; `None` when it does not
    /// fit, or has an empty token.
    pub(crate) fn capture<'a>(&self, subject: &'a [u8]) -> Option<Captured<'a>> {
        let none: &[u8] = &[];
        let unknown = self.0.iter().filter(|part| part.number().is_some()).map(|_| none);
        let mut captured = Captured { subject, tokens: unknown.collect(), tail: None };
        let mut rest = subject;
        for (at, part) in self.0.iter().enumerate() {
            let is_last = at + 1 == self.0.len();
            let end = rest.iter().position(|byte| *byte == b'.').unwrap_or(rest.len());
            let token = &rest[..end];
            if token.is_empty() {
                return None;
            }
            match part {
                Part::Tail => {
                    captured.tail = Some(rest);
                    break;
                }
                Part::Token(number) => *captured.tokens.get_mut(*number)? = token,
                Part::Literal(text) if **text == *token => {}
                Part::Literal(_) | Part::Function(_) => return None,
            }
            match (rest.get(end + 1..), is_last) {
                (Some(more), false) => rest = more,
                (None, true) => {}
                (Some(_), true) | (None, false) => return None,
            }
        }
        let has_gap = captured.tail.is_some_and(|tail| tokens(tail).any(<[u8]>::is_empty));
        (!has_gap).then_some(captured)
    }

    /// The subject that says in the places of this pattern what was captured in those of another; `roll` is chance.
    pub(crate) fn fill(&self, captured: &Captured<'_>, roll: &mut dyn FnMut() -> u64) -> Option<Vec<u8>> {
        let mut out = Vec::with_capacity(captured.subject.len() + 32);
        for (at, part) in self.0.iter().enumerate() {
            if at > 0 {
                out.push(b'.');
            }
            match part {
                Part::Literal(text) => out.extend_from_slice(text),
                Part::Token(number) => out.extend_from_slice(captured.tokens.get(*number)?),
                Part::Function(function) => function.write(captured, roll, &mut out)?,
                Part::Tail => out.extend_from_slice(captured.tail?),
            }
        }
        Some(out)
    }

    /// The filter of all that fits.
    pub(super) fn filter(&self) -> Vec<u8> {
        let texts = self.0.iter().map(|part| match part {
            Part::Literal(text) => text,
            Part::Token(_) | Part::Function(_) => &b"*"[..],
            Part::Tail => b">",
        });
        texts.collect::<Vec<&[u8]>>().join(&b'.')
    }

    /// Wildcards for one token that there are.
    pub(super) fn stars(&self) -> usize {
        self.0.iter().filter(|part| part.number().is_some()).count()
    }

    pub(super) fn has_tail(&self) -> bool {
        self.0.contains(&Part::Tail)
    }
}
