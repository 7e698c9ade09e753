//! What a server says, as a client keeps it. Finding the operations in the bytes is the protocol's affair, in the
//! broker; acting on them is left to `connection`.

use super::Message;
use bytes::{Buf, Bytes, BytesMut};
use lattice_broker::proto::client::{ServerOp, parse};
use lattice_broker::proto::{Info, Limits, ParseError, Step};

/// Generous: an operator may raise a server's limits, and no server may be configured for larger payloads than these.
const LIMITS: Limits = Limits { line_max: 1 << 20, payload_max: 64 << 20 };

/// One operation of a server, with its own share of the bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Op {
    /// What the server is and accepts.
    Info(Box<Info>),
    /// A message for a subscription.
    Message {
        /// Which subscription.
        sid: u64,
        /// The message.
        message: Message,
    },
    /// Asks for a PONG.
    Ping,
    /// Answers a PING.
    Pong,
    /// Confirms, when that was asked for.
    Ok,
    /// An error, as text without its quotes.
    Error(String),
}

/// Takes the next operation off the front of `input`; `None` when it is not complete yet.
///
/// # Errors
/// [`ParseError`]; the connection must be closed then.
pub(super) fn next(input: &mut BytesMut) -> Result<Option<Op>, ParseError> {
    let (op, len) = match parse(input, &LIMITS)? {
        Step::Op { op, len } => (owned(op)?, len),
        Step::Incomplete { need } => {
            input.reserve(need - input.len());
            return Ok(None);
        }
    };
    input.advance(len);
    Ok(Some(op))
}

fn owned(op: ServerOp<'_>) -> Result<Op, ParseError> {
    Ok(match op {
        ServerOp::Info(json) => Op::Info(serde_json::from_slice(json).map_err(|_| ParseError::Malformed)?),
        ServerOp::Message { sid, message } => {
            let sid = text(sid)?.parse().map_err(|_| ParseError::Malformed)?;
            // A copy of its own: a message that is held must not keep all that was read together with it.
            let mut payload = Bytes::copy_from_slice(message.body);
            let header = payload.split_to(message.header_len);
            let (subject, reply) = (text(message.subject)?, message.reply.map(text).transpose()?);
            Op::Message { sid, message: Message { subject, reply, header, payload } }
        }
        ServerOp::Ping => Op::Ping,
        ServerOp::Pong => Op::Pong,
        ServerOp::Ok => Op::Ok,
        ServerOp::Error(text) => Op::Error(String::from_utf8_lossy(text).into_owned()),
    })
}

fn text(bytes: &[u8]) -> Result<String, ParseError> {
    String::from_utf8(bytes.to_vec()).map_err(|_| ParseError::Malformed)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(parts: &[&[u8]]) -> Result<Vec<Op>, ParseError> {
        let (mut buffer, mut ops) = (BytesMut::new(), Vec::new());
        for part in parts {
            buffer.extend_from_slice(part);
            while let Some(op) = next(&mut buffer)? {
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
        let Op::Message { sid: 2, message } = &ops[5] else { panic!("{ops:?}") };
        assert_eq!((message.reply.as_deref(), message.payload.len()), (Some("r.1"), 0));
        let Op::Message { sid: 7, message } = &ops[6] else { panic!("{ops:?}") };
        assert_eq!((&message.header[..], &message.payload[..]), (&b"NATS/1.0\r\n\r\n"[..], &b"ok"[..]));
        assert_eq!(ops[7], Op::Error("No ''such'' thing".into()));
    }

    #[test]
    fn nonsense_is_refused() {
        for bad in [
            &b"HELLO\r\n"[..],
            b"MSG a 1\r\n",
            b"MSG a x 3\r\nabc\r\n",
            b"MSG a 1 b c 3\r\n",
            b"HMSG a 1 9 3\r\n",
            b"MSG a 1 99999999999\r\n",
            b"MSG a 1 2\r\nabcd",
            b"INFO {\r\n",
            b"\xff\xfe\r\n",
            b"MSG \xff 1 0\r\n\r\n",
        ] {
            assert!(all(&[bad]).is_err(), "{}", String::from_utf8_lossy(bad));
        }
        for verb in [&b"MSG "[..], b"-ERR ", b"INFO "] {
            let endless = [verb, &vec![b'x'; LIMITS.line_max + 1]].concat();
            assert!(matches!(all(&[&endless]), Err(ParseError::LineTooLong { .. })));
        }
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
