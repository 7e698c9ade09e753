//! The server's parser: the operation that a byte slice starts with.
//!
//! It keeps no state between calls. A caller that is told `Incomplete` calls again with the same bytes and more
//! behind them; control lines are short and payloads are not looked at, so that reading again costs little.

use super::line::{Args, Begin, begins, number, rest};
use super::op::Op;
use crate::message::Message;

/// What a peer may send.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Longest control line, without its verb.
    pub line_max: usize,
    /// Longest message body, headers included.
    pub payload_max: usize,
}

/// What the bytes begin with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step<T> {
    /// A whole operation.
    Op {
        /// The operation.
        op: T,
        /// Its length in bytes; the next one starts behind it.
        len: usize,
    },
    /// The start of an operation that needs at least `need` bytes in all.
    Incomplete {
        /// More than what was given.
        need: usize,
    },
}

/// The peer broke the protocol. All of them end the connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ParseError {
    /// No such verb, or a payload that does not end where it should.
    #[error("unknown protocol operation")]
    UnknownOperation,
    /// A verb with arguments that mean nothing.
    #[error("malformed arguments")]
    Malformed,
    /// A control line over the limit.
    #[error("control line of {len} bytes exceeds {max}")]
    LineTooLong {
        /// Bytes so far.
        len: usize,
        /// The limit.
        max: usize,
    },
    /// A message over the limit.
    #[error("payload of {len} bytes exceeds {max}")]
    PayloadTooLong {
        /// As announced.
        len: usize,
        /// The limit.
        max: usize,
    },
}

/// Reads the operation that `buf` starts with.
///
/// # Errors
/// [`ParseError`]: nothing after it can be read.
#[inline]
pub fn parse<'a>(buf: &'a [u8], limits: &Limits) -> Result<Step<Op<'a>>, ParseError> {
    match buf.first() {
        None => Ok(Step::Incomplete { need: 1 }),
        Some(b'P' | b'p') => match begins(buf, b"PUB") {
            Begin::Whole => publish(buf, 3, limits),
            Begin::Part => Ok(Step::Incomplete { need: 4 }),
            Begin::Other => ping_or_pong(buf, limits),
        },
        Some(b'H' | b'h') => match begins(buf, b"HPUB") {
            Begin::Whole => publish(buf, 4, limits),
            Begin::Part => Ok(Step::Incomplete { need: 5 }),
            Begin::Other => Err(ParseError::UnknownOperation),
        },
        Some(_) => control(buf, limits),
    }
}

fn ping_or_pong<'a>(buf: &'a [u8], limits: &Limits) -> Result<Step<Op<'a>>, ParseError> {
    for (verb, op) in [(b"PING", Op::Ping), (b"PONG", Op::Pong)] {
        match begins(buf, verb) {
            Begin::Whole => return line(buf, verb.len(), limits, |_| Ok(op)),
            Begin::Part => return Ok(Step::Incomplete { need: verb.len() + 1 }),
            Begin::Other => {}
        }
    }
    Err(ParseError::UnknownOperation)
}

fn control<'a>(buf: &'a [u8], limits: &Limits) -> Result<Step<Op<'a>>, ParseError> {
    type Read = for<'b> fn(&'b [u8]) -> Result<Op<'b>, ParseError>;
    let verbs: [(&[u8], bool, Read); 6] = [
        (b"SUB", true, subscribe),
        (b"UNSUB", true, unsubscribe),
        (b"CONNECT", false, |args| Ok(Op::Connect(args.trim_ascii()))),
        (b"INFO", false, |_| Ok(Op::Ignored)),
        (b"+OK", false, |_| Ok(Op::Ignored)),
        (b"-ERR", false, |_| Ok(Op::Error)),
    ];
    for (verb, blank_follows, read) in verbs {
        match begins(buf, verb) {
            Begin::Whole => {
                if blank_follows {
                    match buf.get(verb.len()) {
                        None => return Ok(Step::Incomplete { need: verb.len() + 2 }),
                        Some(b' ' | b'\t') => {}
                        Some(_) => return Err(ParseError::UnknownOperation),
                    }
                }
                return line(buf, verb.len(), limits, read);
            }
            Begin::Part => return Ok(Step::Incomplete { need: verb.len() + 1 }),
            Begin::Other => {}
        }
    }
    Err(ParseError::UnknownOperation)
}

/// An operation of one line.
fn line<'a>(
    buf: &'a [u8],
    verb: usize,
    limits: &Limits,
    read: impl FnOnce(&'a [u8]) -> Result<Op<'a>, ParseError>,
) -> Result<Step<Op<'a>>, ParseError> {
    match rest(buf, verb, limits.line_max)? {
        Some(rest) => Ok(Step::Op { op: read(rest.args)?, len: rest.end }),
        None => Ok(Step::Incomplete { need: buf.len() + 1 }),
    }
}

fn subscribe(args: &[u8]) -> Result<Op<'_>, ParseError> {
    match *Args::<3>::split(args)?.as_slice() {
        [subject, sid] => Ok(Op::Subscribe { subject, queue: None, sid }),
        [subject, queue, sid] => Ok(Op::Subscribe { subject, queue: Some(queue), sid }),
        _ => Err(ParseError::Malformed),
    }
}

fn unsubscribe(args: &[u8]) -> Result<Op<'_>, ParseError> {
    match *Args::<2>::split(args)?.as_slice() {
        [sid] => Ok(Op::Unsubscribe { sid, max: 0 }),
        // PROTOCOL §6: a maximum that is negative or no number means now.
        [sid, max] => Ok(Op::Unsubscribe { sid, max: number(max).map_or(0, |max| max as u64) }),
        _ => Err(ParseError::Malformed),
    }
}

/// `PUB subject [reply] len` or `HPUB subject [reply] header_len len`, then the body.
#[inline]
fn publish<'a>(buf: &'a [u8], verb: usize, limits: &Limits) -> Result<Step<Op<'a>>, ParseError> {
    match usual_line(buf, verb, limits.line_max) {
        Some(line) => with_body(buf, &line, limits),
        None => publish_unusual(buf, verb, limits),
    }
}

/// The control line of a message.
#[derive(Debug)]
struct PublishLine<'a> {
    subject: &'a [u8],
    reply: Option<&'a [u8]>,
    has_headers: bool,
    header_len: usize,
    total: usize,
    /// Where `[reply ][header_len ]len CR LF` starts, when it is written as a server would write it.
    wire: Option<usize>,
    /// Where the body starts.
    end: usize,
}

/// Reads a line as nearly all clients write it: single blanks, CR LF, no leading zeros. `None` is for the general
/// way to decide, which also knows what is wrong.
#[inline]
fn usual_line(buf: &[u8], verb: usize, line_max: usize) -> Option<PublishLine<'_>> {
    let has_headers = verb == 4;
    let start = verb + 1;
    // Blanks, and the end of the line as the last one.
    let mut stops = [0; 4];
    let mut found = 0;
    if *buf.get(verb)? != b' ' {
        return None;
    }
    for (at, byte) in buf.iter().enumerate().skip(start) {
        if *byte > b' ' {
            continue;
        }
        *stops.get_mut(found)? = at;
        found += 1;
        match byte {
            b' ' => {}
            b'\r' => break,
            _ => return None,
        }
    }
    let end = stops[found.checked_sub(1)?];
    if buf.get(end..end + 2)? != b"\r\n" || end - verb > line_max {
        return None;
    }
    let subject = buf.get(start..stops[0])?;
    let (reply, sizes) = match (found - usize::from(has_headers), &stops) {
        (2, _) => (None, stops[0]),
        (3, [subject_end, reply_end, ..]) => (Some(buf.get(subject_end + 1..*reply_end)?), *reply_end),
        _ => return None,
    };
    let total = usual_number(&buf[stops[found - 2] + 1..end])?;
    let header_len = if has_headers { usual_number(buf.get(sizes + 1..stops[found - 2])?)? } else { 0 };
    if subject.is_empty() || reply.is_some_and(<[u8]>::is_empty) || header_len > total {
        return None;
    }
    Some(PublishLine { subject, reply, has_headers, header_len, total, wire: Some(stops[0] + 1), end: end + 2 })
}

/// A length without leading zeros.
#[inline]
fn usual_number(digits: &[u8]) -> Option<usize> {
    if digits.is_empty() || digits.len() > 9 || (digits[0] == b'0' && digits.len() > 1) {
        return None;
    }
    digits.iter().try_fold(0, |value, digit| {
        let digit = digit.wrapping_sub(b'0');
        (digit < 10).then(|| value * 10 + usize::from(digit))
    })
}

fn publish_unusual<'a>(buf: &'a [u8], verb: usize, limits: &Limits) -> Result<Step<Op<'a>>, ParseError> {
    match buf.get(verb) {
        None => return Ok(Step::Incomplete { need: verb + 2 }),
        Some(b' ' | b'\t') => {}
        Some(_) => return Err(ParseError::UnknownOperation),
    }
    let Some(rest) = rest(buf, verb, limits.line_max)? else {
        return Ok(Step::Incomplete { need: buf.len() + 1 });
    };
    let has_headers = verb == 4;
    let args = Args::<4>::split(rest.args)?;
    let (subject, reply, sizes) = match (has_headers, args.as_slice()) {
        (false, [subject, sizes @ ..]) if sizes.len() == 1 => (*subject, None, sizes),
        (false, [subject, reply, sizes @ ..]) if sizes.len() == 1 => (*subject, Some(*reply), sizes),
        (true, [subject, sizes @ ..]) if sizes.len() == 2 => (*subject, None, sizes),
        (true, [subject, reply, sizes @ ..]) if sizes.len() == 2 => (*subject, Some(*reply), sizes),
        _ => return Err(ParseError::Malformed),
    };
    let total = number(sizes[sizes.len() - 1])?;
    let header_len = if has_headers { number(sizes[0])? } else { 0 };
    if header_len > total {
        return Err(ParseError::Malformed);
    }
    let wire = if rest.crlf { wire_start(buf, rest.end, reply, sizes) } else { None };
    with_body(buf, &PublishLine { subject, reply, has_headers, header_len, total, wire, end: rest.end }, limits)
}

#[inline]
fn with_body<'a>(buf: &'a [u8], line: &PublishLine<'a>, limits: &Limits) -> Result<Step<Op<'a>>, ParseError> {
    if line.total > limits.payload_max {
        return Err(ParseError::PayloadTooLong { len: line.total, max: limits.payload_max });
    }
    let body_end = line.end + line.total;
    let len = body_end + 2;
    if buf.len() < len {
        let wrong = buf.get(body_end).is_some_and(|byte| *byte != b'\r');
        return if wrong { Err(ParseError::UnknownOperation) } else { Ok(Step::Incomplete { need: len }) };
    }
    if &buf[body_end..len] != b"\r\n" {
        return Err(ParseError::UnknownOperation);
    }
    let message = Message {
        subject: line.subject,
        reply: line.reply,
        header_len: line.header_len,
        body: &buf[line.end..body_end],
    };
    let wire = line.wire.map(|start| &buf[start..len]);
    Ok(Step::Op { op: Op::Publish { message, has_headers: line.has_headers, wire }, len })
}

/// Where `[reply ][header_len ]len CR LF` starts, when it is written as a server would write it.
#[inline]
fn wire_start(buf: &[u8], line_end: usize, reply: Option<&[u8]>, sizes: &[&[u8]]) -> Option<usize> {
    let first = reply.unwrap_or(sizes[0]);
    let start = first.as_ptr() as usize - buf.as_ptr() as usize;
    let written = reply.map_or(0, |reply| reply.len() + 1) + sizes.iter().map(|size| size.len() + 1).sum::<usize>() - 1;
    let canonical = start + written + 2 == line_end
        && sizes.iter().all(|size| size.len() == 1 || size[0] != b'0')
        && !buf[start..line_end].contains(&b'\t');
    canonical.then_some(start)
}

#[cfg(test)]
mod tests;
