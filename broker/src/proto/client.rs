//! The client's side of the protocol: what a server says, read from a byte slice.
//!
//! Writing is in [`encode`](super::encode); connecting, and keeping subscriptions, is left to whoever is the client.

use super::line::{Args, Begin, begins, number, rest};
use super::parse::{Limits, ParseError, Step};
use crate::message::Message;

pub use super::encode::{connect, publish, subscribe, unsubscribe};

/// Everything a client has to say to keep a connection alive.
pub const PING: &[u8] = b"PING\r\n";
/// The answer to the server's PING.
pub const PONG: &[u8] = b"PONG\r\n";

/// One operation of a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ServerOp<'a> {
    /// `INFO`, with its JSON (see [`Info`](super::Info)).
    Info(&'a [u8]),
    /// `MSG` or `HMSG`.
    Message {
        /// Which subscription it is for.
        sid: &'a [u8],
        /// The message.
        message: Message<'a>,
    },
    /// `PING`: answer with [`PONG`].
    Ping,
    /// `PONG`.
    Pong,
    /// `+OK`.
    Ok,
    /// `-ERR`, without the quotes.
    Error(&'a [u8]),
}

/// Reads the operation that `buf` starts with.
///
/// # Errors
/// [`ParseError`]: what speaks there is no NATS server, or it ignores `limits`.
pub fn parse<'a>(buf: &'a [u8], limits: &Limits) -> Result<Step<ServerOp<'a>>, ParseError> {
    let verbs: [&[u8]; 7] = [b"MSG", b"HMSG", b"PING", b"PONG", b"+OK", b"-ERR", b"INFO"];
    let mut part = false;
    for verb in verbs {
        match begins(buf, verb) {
            Begin::Whole => return operation(buf, verb, limits),
            Begin::Part => part = true,
            Begin::Other => {}
        }
    }
    if part { Ok(Step::Incomplete { need: buf.len() + 1 }) } else { Err(ParseError::UnknownOperation) }
}

fn operation<'a>(buf: &'a [u8], verb: &[u8], limits: &Limits) -> Result<Step<ServerOp<'a>>, ParseError> {
    // A server's INFO may list many addresses: the line limit is for what else it says.
    let line_max = if verb == b"INFO" { limits.line_max.max(1 << 20) } else { limits.line_max };
    let Some(rest) = rest(buf, verb.len(), line_max)? else {
        return Ok(Step::Incomplete { need: buf.len() + 1 });
    };
    let op = match verb {
        b"MSG" | b"HMSG" => return message(buf, rest.args, rest.end, verb == b"HMSG", limits),
        b"PING" => ServerOp::Ping,
        b"PONG" => ServerOp::Pong,
        b"+OK" => ServerOp::Ok,
        b"-ERR" => ServerOp::Error(unquoted(rest.args.trim_ascii())),
        _ => ServerOp::Info(rest.args.trim_ascii()),
    };
    Ok(Step::Op { op, len: rest.end })
}

fn unquoted(text: &[u8]) -> &[u8] {
    text.strip_prefix(b"'").and_then(|text| text.strip_suffix(b"'")).unwrap_or(text)
}

/// `subject sid [reply] [header_len] len`, then the body.
fn message<'a>(
    buf: &'a [u8],
    args: &'a [u8],
    body_start: usize,
    has_headers: bool,
    limits: &Limits,
) -> Result<Step<ServerOp<'a>>, ParseError> {
    let args = Args::<5>::split(args)?;
    let (subject, sid, reply, header_len, total) = match (has_headers, args.as_slice()) {
        (false, [subject, sid, total]) => (*subject, *sid, None, 0, number(total)?),
        (false, [subject, sid, reply, total]) => (*subject, *sid, Some(*reply), 0, number(total)?),
        (true, [subject, sid, header, total]) => (*subject, *sid, None, number(header)?, number(total)?),
        (true, [subject, sid, reply, header, total]) => (*subject, *sid, Some(*reply), number(header)?, number(total)?),
        _ => return Err(ParseError::Malformed),
    };
    if header_len > total {
        return Err(ParseError::Malformed);
    }
    if total > limits.payload_max {
        return Err(ParseError::PayloadTooLong { len: total, max: limits.payload_max });
    }
    let len = body_start + total + 2;
    if buf.len() < len {
        return Ok(Step::Incomplete { need: len });
    }
    if &buf[len - 2..len] != b"\r\n" {
        return Err(ParseError::UnknownOperation);
    }
    let message = Message { subject, reply, header_len, body: &buf[body_start..len - 2] };
    Ok(Step::Op { op: ServerOp::Message { sid, message }, len })
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: Limits = Limits { line_max: 4096, payload_max: 100 };

    fn one(buf: &[u8]) -> ServerOp<'_> {
        for cut in 0..buf.len() {
            assert!(matches!(parse(&buf[..cut], &LIMITS), Ok(Step::Incomplete { need }) if need > cut), "cut at {cut}");
        }
        match parse(buf, &LIMITS) {
            Ok(Step::Op { op, len }) if len == buf.len() => op,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn what_servers_say() {
        assert_eq!(one(b"INFO {\"a\":1} \r\n"), ServerOp::Info(b"{\"a\":1}"));
        assert_eq!(one(b"PING\r\n"), ServerOp::Ping);
        assert_eq!(one(b"-ERR 'Stale Connection'\r\n"), ServerOp::Error(b"Stale Connection"));
        let message = Message { subject: b"a", reply: Some(b"r"), header_len: 0, body: b"hi" };
        assert_eq!(one(b"MSG a 7 r 2\r\nhi\r\n"), ServerOp::Message { sid: b"7", message });
        let message = Message { subject: b"a", reply: None, header_len: 12, body: b"NATS/1.0\r\n\r\n" };
        assert_eq!(one(b"HMSG a 7  12 12\r\nNATS/1.0\r\n\r\n\r\n"), ServerOp::Message { sid: b"7", message });
    }

    #[test]
    fn what_no_server_says() {
        assert_eq!(parse(b"HTTP/1.1 200", &LIMITS), Err(ParseError::UnknownOperation));
        assert_eq!(parse(b"MSG a 1 2\r\nhixx", &LIMITS), Err(ParseError::UnknownOperation));
        assert_eq!(parse(b"MSG a 2\r\n", &LIMITS), Err(ParseError::Malformed));
        assert!(matches!(parse(b"MSG a 1 101\r\n", &LIMITS), Err(ParseError::PayloadTooLong { .. })));
    }
}
