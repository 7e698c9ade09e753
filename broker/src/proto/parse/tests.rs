use super::*;
use proptest::prelude::*;

const LIMITS: Limits = Limits { line_max: 64, payload_max: 100 };

/// All operations of a stream that arrives whole, or in the given pieces; as text, since ops borrow.
fn read_all(stream: &[u8], pieces: &[usize]) -> (Vec<String>, Option<ParseError>) {
    let (mut ops, mut arrived, mut used) = (Vec::new(), 0, 0);
    let mut sizes = pieces.iter().copied().chain(std::iter::repeat(stream.len()));
    loop {
        match parse(&stream[used..arrived], &LIMITS) {
            Ok(Step::Op { op, len }) => {
                // Where the op lies in the buffer must not matter, so the text has no addresses.
                ops.push(format!("{op:?}"));
                used += len;
            }
            Ok(Step::Incomplete { need }) => {
                assert!(need > arrived - used, "asks for what it has");
                if arrived == stream.len() {
                    return (ops, None);
                }
                arrived = (arrived + sizes.next().expect("endless").max(1)).min(stream.len());
            }
            Err(error) => return (ops, Some(error)),
        }
    }
}

fn one(stream: &[u8]) -> Op<'_> {
    match parse(stream, &LIMITS) {
        Ok(Step::Op { op, len }) => {
            assert_eq!(len, stream.len());
            op
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn publishes() {
    let Op::Publish { message, has_headers, wire } = one(b"PUB a.b inbox 5\r\nhello\r\n") else { panic!() };
    assert_eq!(message, Message { subject: b"a.b", reply: Some(b"inbox"), header_len: 0, body: b"hello" });
    assert_eq!((has_headers, wire), (false, Some(&b"inbox 5\r\nhello\r\n"[..])));
    let Op::Publish { message, has_headers, wire } = one(b"hpub a\t 12  14\nNATS/1.0\r\n\r\nhi\r\n") else { panic!() };
    assert_eq!((message.header_len, message.body, has_headers), (12, &b"NATS/1.0\r\n\r\nhi"[..], true));
    assert_eq!(wire, None, "bare LF and runs of blanks are not passed on");
    let Op::Publish { wire, .. } = one(b"PUB a 02\r\nhi\r\n") else { panic!() };
    assert_eq!(wire, None, "leading zeros are not passed on");
    let Op::Publish { wire, .. } = one(b"PUB \t a  0  \r\n\r\n") else { panic!() };
    assert_eq!(wire, None);
}

#[test]
fn subscriptions() {
    assert_eq!(one(b"SUB a.* 1\r\n"), Op::Subscribe { subject: b"a.*", queue: None, sid: b"1" });
    assert_eq!(one(b"sub\ta q  x1 \n"), Op::Subscribe { subject: b"a", queue: Some(b"q"), sid: b"x1" });
    assert_eq!(one(b"UNSUB 1\r\n"), Op::Unsubscribe { sid: b"1", max: 0 });
    assert_eq!(one(b"UNSUB 1 7\r\n"), Op::Unsubscribe { sid: b"1", max: 7 });
    for odd in ["-1", "x", "99999999999999999999"] {
        assert_eq!(one(format!("UNSUB 1 {odd}\r\n").as_bytes()), Op::Unsubscribe { sid: b"1", max: 0 });
    }
}

#[test]
fn small_verbs() {
    assert_eq!(one(b"PING\r\n"), Op::Ping);
    assert_eq!(one(b"pong\n"), Op::Pong);
    assert_eq!(one(b"CONNECT {}\r\n"), Op::Connect(b"{}"));
    assert_eq!(one(b"INFO {}\r\n"), Op::Ignored);
    assert_eq!(one(b"+OK\r\n"), Op::Ignored);
    assert_eq!(one(b"-ERR 'x'\r\n"), Op::Error);
}

#[test]
fn errors_name_the_cause() {
    use ParseError::*;
    let long = format!("SUB {} 1", "a".repeat(80));
    for (stream, expected) in [
        ("MSG a 1 0\r\n", UnknownOperation),
        ("RS+ a\r\n", UnknownOperation),
        ("LS+ a\r\n", UnknownOperation),
        ("\x16\x03\x01", UnknownOperation),
        ("\r\n", UnknownOperation),
        ("PUB\r\n", UnknownOperation),
        ("PUBXa 1\r\n", UnknownOperation),
        ("PUB a 2\r\nhixx", UnknownOperation),
        ("PUB a 2\r\nhi\n", UnknownOperation),
        ("PUB a\r\n", Malformed),
        ("PUB a b c 1\r\n", Malformed),
        ("PUB a -1\r\n", Malformed),
        ("HPUB a 5 4\r\n", Malformed),
        ("SUB a\r\n", Malformed),
        ("SUB a b c d\r\n", Malformed),
        ("PUB a 101\r\n", PayloadTooLong { len: 101, max: 100 }),
        (&long, LineTooLong { len: 83, max: 64 }),
    ] {
        assert_eq!(parse(stream.as_bytes(), &LIMITS), Err(expected), "{stream:?}");
    }
}

fn stream() -> impl Strategy<Value = Vec<u8>> {
    let op = prop_oneof![
        Just(b"PING\r\n".to_vec()),
        Just(b"pOnG \n".to_vec()),
        Just(b"SUB a.> q 12\r\n".to_vec()),
        Just(b"UNSUB\t12 5\n".to_vec()),
        Just(b"CONNECT {\"verbose\":false}\r\n".to_vec()),
        Just(b"HPUB a r 12 14\r\nNATS/1.0\r\n\r\nhi\r\n".to_vec()),
        Just(b"PUB a 3\nx\r\n\r\n".to_vec()),
        Just(b"+OK\r\nINFO {}\r\n".to_vec()),
        proptest::collection::vec(any::<u8>(), 0..90)
            .prop_map(|body| { [format!("PUB s.t in.box {}\r\n", body.len()).as_bytes(), &body, b"\r\n"].concat() }),
        proptest::collection::vec(any::<u8>(), 1..6),
        Just(b"SUB aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa 1\r\n".to_vec()),
    ];
    proptest::collection::vec(op, 0..12).prop_map(|ops| ops.concat())
}

proptest! {
    /// Goal: any split of the bytes yields the same operations and the same kind of end.
    #[test]
    fn any_split_yields_the_same_ops(stream in stream(), pieces in proptest::collection::vec(1usize..9, 0..200)) {
        let (whole, end) = read_all(&stream, &[]);
        let (split, split_end) = read_all(&stream, &pieces);
        prop_assert_eq!(whole, split);
        prop_assert_eq!(end.map(|e| std::mem::discriminant(&e)), split_end.map(|e| std::mem::discriminant(&e)));
    }

    /// Goal: the quick way to read a message's line and the general one agree.
    #[test]
    fn both_ways_to_read_a_message_agree(line in "[ab01 2\t\r]{0,12}", headers in any::<bool>()) {
        let verb = if headers { "HPUB" } else { "PUB" };
        let text = format!("{verb}{line}\r\nab\r\n");
        let general = publish_unusual(text.as_bytes(), verb.len(), &LIMITS);
        prop_assert_eq!(publish(text.as_bytes(), verb.len(), &LIMITS), general);
    }

    /// Goal: no bytes make the parser panic or claim more than it was given.
    #[test]
    fn garbage_is_survived(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        if let Ok(Step::Op { len, .. }) = parse(&bytes, &LIMITS) {
            prop_assert!(len <= bytes.len());
        }
    }
}
