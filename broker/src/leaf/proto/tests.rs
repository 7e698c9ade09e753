use super::*;
use crate::leaf::encode::{write_interest, write_message};
use proptest::prelude::*;

/// Feeds `bytes` in pieces of the given lengths, over and over, and writes what comes out as text.
fn parse(bytes: &[u8], pieces: &[usize], limits: ParserLimits) -> (Vec<String>, Option<ProtocolError>) {
    let mut parser = Parser::new(limits);
    let (mut ops, mut buffer, mut rest) = (Vec::new(), Vec::new(), bytes);
    for piece in pieces.iter().cycle() {
        let (now, later) = rest.split_at((*piece).min(rest.len()));
        buffer.extend_from_slice(now);
        rest = later;
        loop {
            match parser.step(&buffer) {
                Ok(Step::Op { op, used }) => {
                    ops.push(format!("{op:?}"));
                    buffer.drain(..used);
                }
                Ok(Step::Skip { used }) => {
                    assert!(used > 0);
                    buffer.drain(..used);
                }
                Ok(Step::More { need }) => {
                    assert!(need > buffer.len());
                    let bound = limits.control_line_bytes_max + limits.payload_bytes_max + 4;
                    assert!(need <= bound, "{need} bytes wanted, {bound} is the bound");
                    break;
                }
                Err(error) => return (ops, Some(error)),
            }
        }
        if rest.is_empty() {
            break;
        }
    }
    (ops, None)
}

fn one(text: &str) -> Result<String, ProtocolError> {
    let mut parser = Parser::new(ParserLimits::default());
    match parser.step(text.as_bytes())? {
        Step::Op { op: Op::Control(control), used } => {
            assert_eq!(used, text.len());
            Ok(format!("{control:?}"))
        }
        Step::Op { op: Op::Message(LeafMessage { message, groups }), used } => {
            assert_eq!(used, text.len());
            let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
            let (subject, reply) = (text(message.subject), message.reply.map(text));
            Ok(format!("{subject} {reply:?} {groups:?} {} {}", message.header_len, text(message.body)))
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn message_forms() {
    for (line, want) in [
        ("LMSG a.b 2\r\nhi\r\n", "a.b None [] 0 hi"),
        ("lmsg\ta.b  r.1 \t2\r\nhi\r\n", "a.b Some(\"r.1\") [] 0 hi"),
        ("LMSG a | q1 2\r\nhi\r\n", "a None [\"q1\"] 0 hi"),
        ("LMSG a | q1  q2 0\n\r\n", "a None [\"q1\", \"q2\"] 0 "),
        ("LMSG a + r q1 1\r\nx\r\n", "a Some(\"r\") [\"q1\"] 0 x"),
        ("HMSG a 2 3\r\nhpx\r\n", "a None [] 2 hpx"),
        ("HMSG a r 2 3\r\nhpx\r\n", "a Some(\"r\") [] 2 hpx"),
        ("HMSG a | q 2 3\r\nhpx\r\n", "a None [\"q\"] 2 hpx"),
        ("HMSG a + r g1 g2 2 3\r\nhpx\r\n", "a Some(\"r\") [\"g1\", \"g2\"] 2 hpx"),
        // Three words before the size are a subject and its reply, whatever the reply looks like.
        ("LMSG a | 2\r\nhi\r\n", "a Some(\"|\") [] 0 hi"),
    ] {
        assert_eq!(one(line).as_deref(), Ok(want), "{line:?}");
    }
}

#[test]
fn nonsense_is_refused() {
    for line in [
        "LMSG\r\n",
        "LMSG 3\r\n",
        "LMSG a b c 2\r\n",
        "LMSG a x\r\n",
        "LMSG a -1\r\n",
        "LMSG a 9999999999\r\n",
        "LMSG a + r 1\r\n",
        "HMSG a 1\r\n",
        "HMSG a 4 3\r\n",
        "LS+\r\n",
        "LS+ a q\r\n",
        "LS+ a q x\r\n",
        "LS+ a q 1 2\r\n",
        "LS-\r\n",
        "LS- a b c\r\n",
        "HTTP/1.1 400 Bad Request\r\n",
        "\r\n",
        "LMSG a 1\r\nxyz",
    ] {
        assert!(one(line).is_err(), "{line:?}");
    }
}

#[test]
fn control_operations() {
    for (line, want) in [
        ("PING\r\n", Control::Ping),
        ("pong\n", Control::Pong),
        ("+OK\r\n", Control::Ok),
        ("INFO {\"a\":1} \r\n", Control::Info(b"{\"a\":1}")),
        ("-ERR 'Stale Connection'\r\n", Control::Err(b"Stale Connection")),
        ("-ERR bare\r\n", Control::Err(b"bare")),
        ("LS+ a.>\r\n", Control::Subscribe { subject: b"a.>", queue: None }),
        ("LS+ a q 12\r\n", Control::Subscribe { subject: b"a", queue: Some((b"q", 12)) }),
        ("LS+ a q -1\r\n", Control::Subscribe { subject: b"a", queue: Some((b"q", 0)) }),
        ("LS- a\r\n", Control::Unsubscribe { subject: b"a", queue: None }),
        ("LS- a q\r\n", Control::Unsubscribe { subject: b"a", queue: Some(b"q") }),
    ] {
        assert_eq!(one(line), Ok(format!("{want:?}")), "{line:?}");
    }
}

#[test]
fn limits_hold() {
    let limits = ParserLimits { control_line_bytes_max: 16, payload_bytes_max: 4 };
    let fits = format!("LS+ {}\r\n", "a".repeat(12));
    assert_eq!(parse(fits.as_bytes(), &[1], limits).1, None);
    let over = format!("LS+ {}\r\n", "a".repeat(13));
    assert_eq!(parse(over.as_bytes(), &[1], limits).1, Some(ProtocolError::ControlLineTooLong { max: 16 }));
    // An oversize message costs itself, not the link.
    let (ops, error) = parse(b"LMSG a 5\r\n12345\r\nPING\r\n", &[3], limits);
    assert_eq!((ops.len(), error), (2, None));
    assert!(ops[0].starts_with("Oversize") && ops[1].contains("Ping"), "{ops:?}");
}

/// One valid operation as bytes.
fn operation() -> impl Strategy<Value = Vec<u8>> {
    let word = "[a-z$_]{1,6}";
    let message = (
        word,
        proptest::option::of(word),
        proptest::collection::vec(word, 0..4),
        proptest::collection::vec(any::<u8>(), 0..40),
        0usize..40,
    )
        .prop_map(|(subject, reply, groups, body, header)| {
            let mut out = Vec::new();
            let message = Message {
                subject: subject.as_bytes(),
                reply: reply.as_ref().map(String::as_bytes),
                header_len: header.min(body.len()),
                body: &body,
            };
            write_message(&mut out, &message, groups.iter().map(String::as_bytes));
            let read = one_message(&out);
            assert_eq!(read.message, message);
            assert!(read.groups.iter().eq(groups.iter().map(String::as_bytes)));
            out
        });
    let interest = ("[a-z]{1,5}( [a-z]{1,5})?", 0u32..3).prop_map(|(key, weight)| {
        let mut out = Vec::new();
        write_interest(&mut out, &key.into_bytes(), weight);
        out
    });
    let other = prop_oneof![
        Just(b"PING\r\n".to_vec()),
        Just(b"-ERR 'x y'\n".to_vec()),
        Just(b"INFO {\"client_id\":1} \r\n".to_vec()),
        proptest::collection::vec(any::<u8>(), 0..12),
    ];
    prop_oneof![4 => message, 3 => interest, 1 => other]
}

fn one_message(bytes: &[u8]) -> LeafMessage<'_> {
    match Parser::new(ParserLimits::default()).step(bytes) {
        Ok(Step::Op { op: Op::Message(message), used }) if used == bytes.len() => message,
        other => panic!("{other:?}"),
    }
}

proptest! {
    /// However the bytes are split: the same operations, and the same error.
    #[test]
    fn any_split_gives_the_same_operations(
        stream in proptest::collection::vec(operation(), 0..12),
        pieces in proptest::collection::vec(1usize..50, 1..20),
        small in any::<bool>(),
    ) {
        let bytes = stream.concat();
        let tight = ParserLimits { control_line_bytes_max: 24, payload_bytes_max: 10 };
        let limits = if small { tight } else { ParserLimits::default() };
        let whole = parse(&bytes, &[bytes.len().max(1)], limits);
        prop_assert_eq!(&parse(&bytes, &pieces, limits), &whole);
        prop_assert_eq!(&parse(&bytes, &[1], limits), &whole);
    }
}
