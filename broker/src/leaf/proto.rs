//! What is said on a leaf link: operations read from bytes as they come in, borrowed from the reader's buffer.
//!
//! The parser is bounded by [`ParserLimits`] and gives the same operations however the bytes are split. What an
//! operation means is left to `session.rs`, JSON to `info.rs`, writing to `encode.rs`.

use crate::message::{Message, Pick};
use memchr::memchr;
use smallvec::SmallVec;
use std::fmt;

/// Digits that a size may have: enough for a GiB, few enough never to overflow.
const SIZE_DIGITS_MAX: usize = 9;

/// One operation of the peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Op<'a> {
    /// LMSG or HMSG.
    Message(LeafMessage<'a>),
    /// A message over [`ParserLimits::payload_bytes_max`]; its body is passed over, not kept.
    Oversize {
        /// The subject that it was for.
        subject: &'a [u8],
        /// Bytes of the body.
        size: usize,
    },
    /// Anything that is about the link and not a message.
    Control(Control<'a>),
}

/// A message with the queue groups that it was sent to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LeafMessage<'a> {
    /// Subject, reply, header block and payload.
    pub message: Message<'a>,
    /// The groups of which one member each takes it; plain subscriptions always do.
    pub groups: GroupNames<'a>,
}

/// An operation that is about the link.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Control<'a> {
    /// INFO with its JSON.
    Info(&'a [u8]),
    /// CONNECT with its JSON.
    Connect(&'a [u8]),
    /// LS+: interest; `queue` has the group and its weight.
    Subscribe {
        /// The subject, with wildcards.
        subject: &'a [u8],
        /// The group and how many members it stands for.
        queue: Option<(&'a [u8], u32)>,
    },
    /// LS-: no interest any more.
    Unsubscribe {
        /// The subject, with wildcards.
        subject: &'a [u8],
        /// The group.
        queue: Option<&'a [u8]>,
    },
    /// PING.
    Ping,
    /// PONG.
    Pong,
    /// +OK, which means nothing.
    Ok,
    /// -ERR with its text, without the quotes.
    Err(&'a [u8]),
}

/// Names of queue groups as they stand in the control line.
#[derive(Clone, Copy, Default)]
pub struct GroupNames<'a>(&'a [u8]);

impl<'a> GroupNames<'a> {
    /// The names, in the peer's order.
    pub fn iter(&self) -> impl Iterator<Item = &'a [u8]> {
        self.0.split(|&byte| is_blank(byte)).filter(|name| !name.is_empty())
    }

    /// A member of each is to be chosen: each name once, in order.
    #[must_use]
    pub fn picks(&self) -> SmallVec<[Pick<'a>; 4]> {
        let mut names: SmallVec<[&[u8]; 4]> = self.iter().collect();
        names.sort_unstable();
        names.dedup();
        names.into_iter().map(|group| Pick { group, member: 0, via: None, again: false }).collect()
    }

    /// True when no group was named.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl PartialEq for GroupNames<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.iter().eq(other.iter())
    }
}

impl Eq for GroupNames<'_> {}

impl fmt::Debug for GroupNames<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter().map(String::from_utf8_lossy)).finish()
    }
}

/// What the parser takes at most.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ParserLimits {
    /// Bytes of a control line, without its end.
    pub control_line_bytes_max: usize,
    /// Bytes of a message, header block included. What is longer is passed over.
    pub payload_bytes_max: usize,
}

impl Default for ParserLimits {
    fn default() -> Self {
        // 64 KiB is what a real server takes on leaf links: queue groups may make the line long.
        Self { control_line_bytes_max: 64 << 10, payload_bytes_max: 8 << 20 }
    }
}

/// What one call of [`Parser::step`] came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step<'a> {
    /// An operation, made of the first `used` bytes.
    Op {
        /// The operation.
        op: Op<'a>,
        /// Bytes to take off the input.
        used: usize,
    },
    /// The first `used` bytes belong to a message that is passed over.
    Skip {
        /// Bytes to take off the input.
        used: usize,
    },
    /// Nothing to be done before the input is at least `need` bytes long.
    More {
        /// Length that the input must reach; more than it has, and within the limits.
        need: usize,
    },
}

/// The peer broke the protocol: the link must be closed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProtocolError {
    /// No line end in sight.
    #[error("control line exceeds {max} bytes")]
    ControlLineTooLong {
        /// The limit.
        max: usize,
    },
    /// Not a leaf node's verb.
    #[error("unknown protocol operation {verb:?}")]
    UnknownOperation {
        /// Its first bytes, as text.
        verb: String,
    },
    /// A verb with arguments that make no sense.
    #[error("malformed {verb} of {args} arguments")]
    BadArguments {
        /// The verb.
        verb: &'static str,
        /// How many arguments it had.
        args: usize,
    },
    /// A message that does not end where it said.
    #[error("message of {size} bytes is not followed by a line end")]
    BadMessageEnd {
        /// Bytes of the body.
        size: usize,
    },
}

/// Reads operations from a growing input.
///
/// Contract: call [`Parser::step`] with all bytes not yet used. After [`Step::Op`] or [`Step::Skip`] take `used`
/// bytes off the front; after [`Step::More`] come back with the same bytes and more behind them.
#[derive(Debug)]
pub struct Parser {
    limits: ParserLimits,
    /// Where the search for the line end goes on; nothing before it is one.
    scanned: usize,
    /// Length below which trying again is useless.
    need: usize,
    /// Bytes of an oversize message still to pass over.
    skip: usize,
}

impl Parser {
    /// A parser at the start of a stream.
    #[must_use]
    pub fn new(limits: ParserLimits) -> Self {
        Self { limits, scanned: 0, need: 1, skip: 0 }
    }

    /// Takes messages of so many bytes from now on.
    pub fn set_payload_max(&mut self, bytes: usize) {
        self.limits.payload_bytes_max = bytes;
    }

    /// Reads the next operation from the start of `input`.
    ///
    /// # Errors
    /// [`ProtocolError`]: close the link; the parser is of no more use.
    pub fn step<'a>(&mut self, input: &'a [u8]) -> Result<Step<'a>, ProtocolError> {
        if input.len() < self.need {
            return Ok(Step::More { need: self.need });
        }
        if self.skip > 0 {
            let used = self.skip.min(input.len());
            self.skip -= used;
            return Ok(Step::Skip { used });
        }
        // The limit counts without the line end, whose first byte may be in the way.
        let max = self.limits.control_line_bytes_max;
        let window = &input[..input.len().min(max + 2)];
        let Some(found) = memchr(b'\n', &window[self.scanned..]) else {
            if input.len() > max + 1 {
                return Err(ProtocolError::ControlLineTooLong { max });
            }
            self.scanned = input.len();
            self.need = input.len() + 1;
            return Ok(Step::More { need: self.need });
        };
        let end = self.scanned + found;
        let line = input[..end].strip_suffix(b"\r").unwrap_or(&input[..end]);
        if line.len() > max {
            return Err(ProtocolError::ControlLineTooLong { max });
        }
        self.scanned = end;
        let step = self.line(input, line, end + 1)?;
        match step {
            Step::Op { .. } | Step::Skip { .. } => (self.scanned, self.need) = (0, 1),
            Step::More { need } => self.need = need,
        }
        Ok(step)
    }

    /// Reads the operation of a whole line; `body` is where the next line, or the message's body, starts.
    fn line<'a>(&mut self, input: &'a [u8], line: &'a [u8], body: usize) -> Result<Step<'a>, ProtocolError> {
        let verb_end = line.iter().position(|&byte| is_blank(byte)).unwrap_or(line.len());
        let (verb, rest) = line.split_at(verb_end);
        let is = |name: &str| verb.eq_ignore_ascii_case(name.as_bytes());
        let control = if is("LMSG") {
            return self.message(input, MessageLine::parse("LMSG", rest)?, body);
        } else if is("HMSG") {
            return self.message(input, MessageLine::parse("HMSG", rest)?, body);
        } else if is("LS+") {
            subscribe(rest)?
        } else if is("LS-") {
            unsubscribe(rest)?
        } else if is("PING") {
            Control::Ping
        } else if is("PONG") {
            Control::Pong
        } else if is("INFO") {
            Control::Info(trim(rest))
        } else if is("-ERR") {
            let text = trim(rest);
            Control::Err(text.strip_prefix(b"'").and_then(|text| text.strip_suffix(b"'")).unwrap_or(text))
        } else if is("+OK") {
            Control::Ok
        } else if is("CONNECT") {
            Control::Connect(trim(rest))
        } else {
            let verb = String::from_utf8_lossy(&verb[..verb.len().min(32)]).into_owned();
            return Err(ProtocolError::UnknownOperation { verb });
        };
        Ok(Step::Op { op: Op::Control(control), used: body })
    }

    fn message<'a>(&mut self, input: &'a [u8], head: MessageLine<'a>, body: usize) -> Result<Step<'a>, ProtocolError> {
        let size = head.size;
        if size > self.limits.payload_bytes_max {
            self.skip = size + 2;
            return Ok(Step::Op { op: Op::Oversize { subject: head.subject, size }, used: body });
        }
        let used = body + size + 2;
        let Some(tail) = input.get(body..used) else { return Ok(Step::More { need: used }) };
        let (body, end) = tail.split_at(size);
        if end != b"\r\n" {
            return Err(ProtocolError::BadMessageEnd { size });
        }
        let message = Message { subject: head.subject, reply: head.reply, header_len: head.header_len, body };
        Ok(Step::Op { op: Op::Message(LeafMessage { message, groups: head.groups }), used })
    }
}

/// The control line of a message.
struct MessageLine<'a> {
    subject: &'a [u8],
    reply: Option<&'a [u8]>,
    groups: GroupNames<'a>,
    header_len: usize,
    size: usize,
}

impl<'a> MessageLine<'a> {
    fn parse(verb: &'static str, rest: &'a [u8]) -> Result<Self, ProtocolError> {
        let args = Args::split(rest);
        let bad = || ProtocolError::BadArguments { verb, args: args.len() };
        let (header_len, sizes) =
            if verb == "HMSG" { (args.nth_last(2).and_then(size).ok_or_else(bad)?, 2) } else { (0, 1) };
        let size = args.nth_last(1).and_then(size).ok_or_else(bad)?;
        if header_len > size {
            return Err(bad());
        }
        let before_sizes = args.len() - sizes;
        let subject = args.at(0).filter(|_| before_sizes > 0).ok_or_else(bad)?;
        let (reply, groups) = match (before_sizes, args.at(1)) {
            (1, _) => (None, GroupNames::default()),
            (2, reply) => (reply, GroupNames::default()),
            (3.., Some(b"|")) => (None, args.range(2, before_sizes)),
            (4.., Some(b"+")) => (args.at(2), args.range(3, before_sizes)),
            _ => return Err(bad()),
        };
        Ok(Self { subject, reply, groups, header_len, size })
    }
}

fn subscribe(rest: &[u8]) -> Result<Control<'_>, ProtocolError> {
    let args = Args::split(rest);
    let bad = || ProtocolError::BadArguments { verb: "LS+", args: args.len() };
    let subject = args.at(0).ok_or_else(bad)?;
    match (args.len(), args.at(1), args.at(2)) {
        (1, _, _) => Ok(Control::Subscribe { subject, queue: None }),
        (3, Some(group), Some(weight)) => {
            // A group without members is never selected: what counts is that it parses (§6.1).
            let weight = match weight.strip_prefix(b"-") {
                Some(digits) => size(digits).map(|_| 0),
                None => size(weight).and_then(|weight| u32::try_from(weight).ok()),
            };
            Ok(Control::Subscribe { subject, queue: Some((group, weight.ok_or_else(bad)?)) })
        }
        _ => Err(bad()),
    }
}

fn unsubscribe(rest: &[u8]) -> Result<Control<'_>, ProtocolError> {
    let args = Args::split(rest);
    match (args.at(0), args.len()) {
        (Some(subject), 1 | 2) => Ok(Control::Unsubscribe { subject, queue: args.at(1) }),
        _ => Err(ProtocolError::BadArguments { verb: "LS-", args: args.len() }),
    }
}

/// The arguments of a control line.
struct Args<'a> {
    line: &'a [u8],
    ranges: SmallVec<[(usize, usize); 6]>,
}

impl<'a> Args<'a> {
    fn split(line: &'a [u8]) -> Self {
        let mut ranges = SmallVec::new();
        let mut start = None;
        for (at, &byte) in line.iter().enumerate() {
            match (start, is_blank(byte)) {
                (None, false) => start = Some(at),
                (Some(from), true) => {
                    ranges.push((from, at));
                    start = None;
                }
                (None, true) | (Some(_), false) => {}
            }
        }
        ranges.extend(start.map(|from| (from, line.len())));
        Self { line, ranges }
    }

    fn len(&self) -> usize {
        self.ranges.len()
    }

    fn at(&self, index: usize) -> Option<&'a [u8]> {
        self.ranges.get(index).map(|&(from, to)| &self.line[from..to])
    }

    fn nth_last(&self, count: usize) -> Option<&'a [u8]> {
        self.len().checked_sub(count).and_then(|index| self.at(index))
    }

    /// The arguments `from..to`, which must not be empty, as they stand in the line.
    fn range(&self, from: usize, to: usize) -> GroupNames<'a> {
        GroupNames(&self.line[self.ranges[from].0..self.ranges[to - 1].1])
    }
}

fn is_blank(byte: u8) -> bool {
    byte == b' ' || byte == b'\t'
}

fn trim(mut text: &[u8]) -> &[u8] {
    while let [first, rest @ ..] = text
        && is_blank(*first)
    {
        text = rest;
    }
    while let [rest @ .., last] = text
        && is_blank(*last)
    {
        text = rest;
    }
    text
}

fn size(digits: &[u8]) -> Option<usize> {
    if digits.is_empty() || digits.len() > SIZE_DIGITS_MAX {
        return None;
    }
    digits.iter().try_fold(0, |sum, &digit| digit.is_ascii_digit().then(|| sum * 10 + usize::from(digit - b'0')))
}

#[cfg(test)]
mod tests;
