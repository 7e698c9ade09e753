//! What a server says to a client, from bytes to operations. No sockets, no clock; acting on them is left to the client.

use bytes::{Buf, Bytes, BytesMut};
use serde::Deserialize;

/// A longer line is a breach of protocol. INFO lists a cluster's addresses, so this is generous.
const LINE_MAX: usize = 1 << 20;
/// No server may be configured for larger payloads.
const PAYLOAD_MAX: usize = 64 << 20;

/// One operation of a server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Op {
    /// What the server is and accepts.
    Info(Box<ServerInfo>),
    /// A message for a subscription.
    Message {
        /// Which subscription.
        sid: u64,
        /// The subject that it was published to.
        subject: String,
        /// Where an answer is wanted.
        reply: Option<String>,
        /// The header block, as sent; empty when there is none.
        header: Bytes,
        /// The payload.
        payload: Bytes,
    },
    /// Asks for a PONG.
    Ping,
    /// Answers a PING.
    Pong,
    /// Confirms, when that was asked for.
    Ok,
    /// An error, as text without its quotes.
    Err(String),
}

/// What a client needs of INFO.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct ServerInfo {
    /// The server's id.
    pub server_id: String,
    /// The server's name.
    pub server_name: String,
    /// The server's version.
    pub version: String,
    /// Whether it takes headers.
    pub headers: bool,
    /// The largest message that it takes, in bytes.
    pub max_payload: u64,
    /// Whether it wants credentials.
    pub auth_required: bool,
    /// Whether it speaks TLS only.
    pub tls_required: bool,
    /// Whether it is about to close.
    #[serde(rename = "ldm")]
    pub lame_duck: bool,
}

/// What a server sent is not the protocol.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WireError {
    /// No end of line in sight.
    #[error("a line of more than {LINE_MAX} bytes")]
    LineTooLong,
    /// A payload that no server may send.
    #[error("a payload of {0} bytes, more than {PAYLOAD_MAX}")]
    PayloadTooLong(usize),
    /// A line that means nothing.
    #[error("the line {0:?} is not the protocol")]
    Malformed(String),
    /// A payload that does not end with CRLF.
    #[error("a payload that does not end where its length says")]
    Unterminated,
}

/// A message's line, whose payload is still to come.
#[derive(Clone, Debug)]
struct Pending {
    sid: u64,
    subject: String,
    reply: Option<String>,
    header_len: usize,
    total_len: usize,
}

/// Splits a server's bytes into operations. Any split of the input gives the same operations.
#[derive(Debug, Default)]
pub struct Parser {
    pending: Option<Pending>,
    /// Bytes of the buffer in which no end of line was found, so that no byte is looked at twice.
    scanned: usize,
}

impl Parser {
    /// Takes the next operation off the front of `input`; `None` when it is not complete yet.
    ///
    /// # Errors
    /// [`WireError`]; the connection must be closed then.
    pub fn next(&mut self, input: &mut BytesMut) -> Result<Option<Op>, WireError> {
        if let Some(pending) = self.pending.take() {
            return self.payload(pending, input);
        }
        let Some(at) = input[self.scanned..].iter().position(|b| *b == b'\n') else {
            self.scanned = input.len();
            return if input.len() > LINE_MAX { Err(WireError::LineTooLong) } else { Ok(None) };
        };
        let line = input.split_to(self.scanned + at + 1);
        self.scanned = 0;
        let line = line.strip_suffix(b"\r\n").unwrap_or(&line[..line.len() - 1]);
        match parse_line(line)? {
            Line::Op(op) => Ok(Some(op)),
            Line::Message(pending) => self.payload(pending, input),
        }
    }

    fn payload(&mut self, pending: Pending, input: &mut BytesMut) -> Result<Option<Op>, WireError> {
        if input.len() < pending.total_len + 2 {
            input.reserve(pending.total_len + 2 - input.len());
            self.pending = Some(pending);
            return Ok(None);
        }
        let mut body = input.split_to(pending.total_len).freeze();
        if !input.starts_with(b"\r\n") {
            return Err(WireError::Unterminated);
        }
        input.advance(2);
        let header = body.split_to(pending.header_len);
        let Pending { sid, subject, reply, .. } = pending;
        Ok(Some(Op::Message { sid, subject, reply, header, payload: body }))
    }
}

enum Line {
    Op(Op),
    Message(Pending),
}

fn parse_line(line: &[u8]) -> Result<Line, WireError> {
    let malformed = || WireError::Malformed(String::from_utf8_lossy(&line[..line.len().min(80)]).into_owned());
    let text = std::str::from_utf8(line).map_err(|_| malformed())?;
    let blank = |c: char| c == ' ' || c == '\t';
    let (verb, rest) = text.split_once(blank).unwrap_or((text, ""));
    let rest = rest.trim_matches(blank);
    let args: Vec<&str> = rest.split(blank).filter(|arg| !arg.is_empty()).take(6).collect();
    Ok(match verb.to_ascii_uppercase().as_str() {
        "MSG" => Line::Message(message(&args, false)?.ok_or_else(malformed)?),
        "HMSG" => Line::Message(message(&args, true)?.ok_or_else(malformed)?),
        "PING" => Line::Op(Op::Ping),
        "PONG" => Line::Op(Op::Pong),
        "+OK" => Line::Op(Op::Ok),
        "-ERR" => Line::Op(Op::Err(rest.trim_matches('\'').to_owned())),
        "INFO" => Line::Op(Op::Info(Box::new(serde_json::from_str(rest).map_err(|_| malformed())?))),
        _ => return Err(malformed()),
    })
}

/// `subject sid [reply] [header length] length`; `None` when that is not what `args` are.
fn message(args: &[&str], headers: bool) -> Result<Option<Pending>, WireError> {
    let lengths = if headers { 2 } else { 1 };
    let reply = match args.len().checked_sub(2 + lengths) {
        Some(0) => None,
        Some(1) => Some(args[2].to_owned()),
        Some(_) | None => return Ok(None),
    };
    let total_len: Option<usize> = args[args.len() - 1].parse().ok();
    let header_len = if headers { args[args.len() - 2].parse().ok() } else { Some(0) };
    let (Some(total_len), Some(header_len), Ok(sid)) = (total_len, header_len, args[1].parse()) else {
        return Ok(None);
    };
    if total_len > PAYLOAD_MAX {
        return Err(WireError::PayloadTooLong(total_len));
    }
    if header_len > total_len {
        return Ok(None);
    }
    Ok(Some(Pending { sid, subject: args[0].to_owned(), reply, header_len, total_len }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(parts: &[&[u8]]) -> Result<Vec<Op>, WireError> {
        let (mut parser, mut buffer, mut ops) = (Parser::default(), BytesMut::new(), Vec::new());
        for part in parts {
            buffer.extend_from_slice(part);
            while let Some(op) = parser.next(&mut buffer)? {
                ops.push(op);
            }
        }
        Ok(ops)
    }

    const TALK: &[u8] = b"INFO {\"server_name\":\"x\",\"max_payload\":5,\"new\":1} \r\nPING\r\npong\n+OK\r\n\
        MSG a.b 1 3\r\nhi!\r\nMSG a 2 r.1  0\r\n\r\nHMSG a 7 r 12 14\r\nNATS/1.0\r\n\r\nok\r\n-ERR 'No ''such'' thing'\r\n";

    #[test]
    fn a_talk_is_understood() {
        let ops = all(&[TALK]).unwrap();
        assert_eq!(ops.len(), 8);
        let Op::Info(info) = &ops[0] else { panic!("{ops:?}") };
        assert_eq!((info.server_name.as_str(), info.max_payload), ("x", 5));
        assert_eq!(ops[1..4], [Op::Ping, Op::Pong, Op::Ok]);
        let Op::Message { sid: 2, reply: Some(reply), payload, .. } = &ops[5] else { panic!("{ops:?}") };
        assert_eq!((reply.as_str(), payload.len()), ("r.1", 0));
        let Op::Message { sid: 7, header, payload, .. } = &ops[6] else { panic!("{ops:?}") };
        assert_eq!((&header[..], &payload[..]), (&b"NATS/1.0\r\n\r\n"[..], &b"ok"[..]));
        assert_eq!(ops[7], Op::Err("No ''such'' thing".into()));
    }

    #[test]
    fn nonsense_is_refused() {
        for bad in [
            &b"HELLO\r\n"[..],
            b"MSG a 1\r\n",
            b"MSG a x 3\r\n",
            b"MSG a 1 b c 3\r\n",
            b"HMSG a 1 9 3\r\n",
            b"MSG a 1 99999999999\r\n",
            b"MSG a 1 2\r\nabcd",
            b"INFO {\r\n",
            b"\xff\xfe\r\n",
        ] {
            assert!(all(&[bad]).is_err(), "{}", String::from_utf8_lossy(bad));
        }
        assert_eq!(all(&[&vec![b'x'; LINE_MAX + 1]]), Err(WireError::LineTooLong));
    }

    proptest::proptest! {
        #[test]
        fn any_split_gives_the_same(cuts in proptest::collection::vec(0..TALK.len(), 0..20)) {
            let mut cuts = cuts;
            cuts.sort_unstable();
            let mut parts = Vec::new();
            let mut from = 0;
            for cut in cuts {
                parts.push(&TALK[from..cut]);
                from = cut;
            }
            parts.push(&TALK[from..]);
            proptest::prop_assert_eq!(all(&parts), all(&[TALK]));
        }

        #[test]
        fn no_bytes_panic(bytes: Vec<u8>) {
            let _ = all(&[&bytes]);
        }
    }
}
