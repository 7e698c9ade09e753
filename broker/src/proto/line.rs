//! Control lines: verbs, the end of the line, arguments and numbers. Shared by both directions of the protocol.

use super::parse::ParseError;
use memchr::memchr;

/// Arguments of a control line; more than `N` is a malformed line.
#[derive(Debug)]
pub(super) struct Args<'a, const N: usize> {
    pub(super) all: [&'a [u8]; N],
    pub(super) len: usize,
}

impl<'a, const N: usize> Args<'a, N> {
    /// Splits at runs of blanks and tabs.
    #[inline]
    pub(super) fn split(line: &'a [u8]) -> Result<Self, ParseError> {
        let mut args = Self { all: [&[]; N], len: 0 };
        let mut start = 0;
        for (at, byte) in line.iter().enumerate() {
            if *byte == b' ' || *byte == b'\t' {
                args.push(&line[start..at])?;
                start = at + 1;
            }
        }
        args.push(&line[start..])?;
        Ok(args)
    }

    #[inline]
    fn push(&mut self, arg: &'a [u8]) -> Result<(), ParseError> {
        if arg.is_empty() {
            return Ok(());
        }
        *self.all.get_mut(self.len).ok_or(ParseError::Malformed)? = arg;
        self.len += 1;
        Ok(())
    }

    pub(super) fn as_slice(&self) -> &[&'a [u8]] {
        &self.all[..self.len]
    }
}

/// What follows the verb on its line, and where the next line starts.
#[derive(Debug)]
pub(super) struct Rest<'a> {
    pub(super) args: &'a [u8],
    /// Length of the line with its end.
    pub(super) end: usize,
    /// The line ended in CR LF, not in a bare LF.
    pub(super) crlf: bool,
}

/// The line that `buf` starts with, without its verb; `None` while its end has not arrived.
#[inline]
pub(super) fn rest(buf: &[u8], verb: usize, line_max: usize) -> Result<Option<Rest<'_>>, ParseError> {
    let (len, found) = match memchr(b'\n', &buf[verb..]) {
        Some(at) => (at, true),
        None => (buf.len() - verb, false),
    };
    let crlf = len > 0 && buf[verb + len - 1] == b'\r';
    let args = len - usize::from(crlf);
    if args > line_max {
        return Err(ParseError::LineTooLong { len: args, max: line_max });
    }
    Ok(found.then(|| Rest { args: &buf[verb..verb + args], end: verb + len + 1, crlf }))
}

/// How `buf` begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Begin {
    /// With the whole verb.
    Whole,
    /// It ends before the verb does.
    Part,
    /// With something else.
    Other,
}

/// Compares the start of `buf` with `verb` (given in upper case), in any case.
#[inline]
pub(super) fn begins(buf: &[u8], verb: &[u8]) -> Begin {
    let len = buf.len().min(verb.len());
    if !buf[..len].eq_ignore_ascii_case(&verb[..len]) {
        return Begin::Other;
    }
    if len == verb.len() { Begin::Whole } else { Begin::Part }
}

/// A length: digits only.
#[inline]
pub(super) fn number(digits: &[u8]) -> Result<usize, ParseError> {
    // 18 digits always fit; a longer length is over any limit, and called what it is.
    if digits.is_empty() || digits.len() > 18 {
        return Err(ParseError::Malformed);
    }
    let mut value = 0;
    for digit in digits {
        if !digit.is_ascii_digit() {
            return Err(ParseError::Malformed);
        }
        value = value * 10 + usize::from(digit - b'0');
    }
    Ok(value)
}
