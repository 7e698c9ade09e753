//! What clients say in frames: splits, masks, fragments, compression, control frames, and each way to break the protocol.

use super::*;
use proptest::prelude::*;

/// A ping and a pong between the fragments of a text, then a binary message.
fn small_exchange() -> Vec<u8> {
    let frames = [
        (0x01, &b"PI"[..]),
        (0x89, b"are you there"),
        (0x00, b""),
        (0x8a, b"x"),
        (0x80, b"NG\r\n"),
        (0x82, b"PONG\r\n"),
    ];
    frames.iter().flat_map(|(first, payload)| frame(*first, payload)).collect()
}

#[test]
fn every_split_of_a_small_exchange_reads_the_same() {
    let whole = small_exchange();
    for at in 0..=whole.len() {
        for step in [1, 3, 100] {
            let (pipe, stream) = open("");
            pipe.send(&whole[..at]);
            let (mut data, end) = read_all(&stream, step);
            assert!(end.is_none());
            pipe.send(&whole[at..]);
            data.extend(read_all(&stream, step).0);
            assert_eq!(data, b"PING\r\nPONG\r\n", "split at {at}");
            assert_eq!(frames(&pipe.receive()), [(0x8a, b"are you there".to_vec())]);
        }
    }
}

#[test]
fn a_stream_that_moves_single_bytes_reads_the_same() {
    let (pipe, stream) = open("");
    lock(&pipe.0).step = 1;
    pipe.send(&small_exchange());
    assert_eq!(read_all(&stream, 100).0, b"PING\r\nPONG\r\n");
    assert_eq!(frames(&pipe.receive()), [(0x8a, b"are you there".to_vec())]);
}

#[test]
fn frames_may_come_with_the_request_and_of_any_length() {
    for len in [0, 1, 125, 126, 65535, 65536, 300_000] {
        let sent: Vec<u8> = (0..len).map(|i: u32| (i / 3) as u8).collect();
        let pipe = Arc::new(Pipe::default());
        pipe.send(&[request(""), frame(0x82, &sent)].concat());
        let stream = try_open(&pipe, &Rules::default(), false).unwrap().unwrap().stream;
        assert!(read_all(&stream, 10_000).0 == sent, "{len}");
    }
}

#[test]
fn masks_are_left_away_when_both_agree() {
    let (pipe, stream) = open("Nats-No-Masking: true\r\n");
    pipe.send(b"\x82\x06PING\r\n");
    pipe.send(&frame(0x82, b"PONG\r\n"));
    assert_eq!(read_all(&stream, 100).0, b"PING\r\nPONG\r\n");
}

#[test]
fn of_pings_that_wait_the_last_is_answered() {
    let (pipe, stream) = open("");
    pipe.set_room(0);
    for i in 0..10_000_u32 {
        pipe.send(&frame(0x89, &i.to_be_bytes()));
        assert!(!is_read_ready(&stream));
    }
    pipe.set_room(usize::MAX);
    assert!(is_write_ready(&stream));
    let answers = frames(&pipe.receive());
    assert!(answers.len() <= 2, "{answers:?}");
    assert_eq!(answers.last(), Some(&(0x8a, 9999_u32.to_be_bytes().to_vec())));
}

#[test]
fn a_flood_of_pings_does_not_hold_the_thread() {
    let (pipe, stream) = open("");
    for _ in 0..500_000 {
        pipe.send(&frame(0x89, b""));
    }
    let woken = Arc::new(Woken::default());
    assert!(stream.poll_read_ready(&mut Context::from_waker(&woken.clone().into())).is_pending());
    assert!(woken.0.load(Ordering::Relaxed), "it goes on");
    assert!(would_block(stream.try_read(&mut [0; 10])));
    assert!(!lock(&pipe.0).to_server.is_empty(), "other tasks have their turn");
}

#[test]
fn a_close_is_answered_when_what_was_before_it_is_read() {
    let cases: [(&[u8], &[u8]); 5] = [
        (b"", b""),
        (b"\x03\xe8bye", b"\x03\xe8bye"),
        (b"\x13\x87", b"\x13\x87"),
        (b"\x03\xe8\xff", b"\x03\xefinvalid utf8 body in close frame"),
        (b"\x03\xe9\xc3\xa9", b"\x03\xe9\xc3\xa9"),
    ];
    for (asked, answered) in cases {
        let (pipe, stream) = open("");
        pipe.send(&[frame(0x82, b"PING\r\n"), frame(0x88, asked), b"anything".to_vec()].concat());
        assert_eq!(stream.try_read(&mut [0; 100]).unwrap(), 6);
        assert_eq!(stream.try_write_vectored(&[IoSlice::new(b"PONG\r\n")]).unwrap(), 6);
        for _ in 0..2 {
            assert!(is_read_ready(&stream));
            assert_eq!(stream.try_read(&mut [0; 100]).unwrap(), 0);
        }
        let error = stream.try_write_vectored(&[IoSlice::new(b"PONG\r\n")]).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::BrokenPipe);
        stream.shutdown_write();
        assert_eq!(frames(&pipe.receive()), [(0x82, b"PONG\r\n".to_vec()), (0x88, answered.to_vec())]);
        assert!(lock(&pipe.0).is_shut);
    }
}

#[test]
fn a_client_that_leaves_without_a_close_is_at_its_end() {
    let (pipe, stream) = open("");
    pipe.send(&frame(0x82, b"PING\r\n")[..9]);
    lock(&pipe.0).has_client_left = true;
    let (data, end) = read_all(&stream, 100);
    assert!(end.unwrap().is_ok());
    assert_eq!(data, b"PIN");
    assert!(pipe.receive().is_empty());
}

#[test]
fn what_a_client_said_is_read_even_if_it_hears_no_more() {
    let (pipe, stream) = open("");
    pipe.send(&[frame(0x89, b"?"), frame(0x82, b"PING\r\n"), frame(0x88, b"")].concat());
    lock(&pipe.0).is_broken = true;
    let (data, end) = read_all(&stream, 100);
    assert_eq!(data, b"PING\r\n");
    assert!(end.unwrap().is_ok());
    assert_eq!(stream.try_write_vectored(&[IoSlice::new(b"PONG\r\n")]).unwrap_err().kind(), io::ErrorKind::BrokenPipe);
}

/// Both the reader and the client are told what is wrong, and what came before it is read.
#[test]
fn each_breach_of_the_protocol_is_named() {
    let long = frame(0x89, &[b'a'; 126]);
    let cases: [(&str, Vec<u8>, &str); 18] = [
        ("", b"\x82\x01x".to_vec(), "mask bit missing"),
        ("", frame(0xc2, b"x"), "compressed frame received without negotiated permessage-deflate"),
        ("", frame(0xa2, b"x"), "RSV2 and RSV3 must be clear"),
        (DEFLATE, frame(0x92, b"x"), "RSV2 and RSV3 must be clear"),
        ("", frame(0x83, b""), "unknown opcode 3"),
        ("", frame(0x8b, b""), "unknown opcode 11"),
        ("", frame(0x09, b""), "control frame does not have final bit set"),
        ("", long, "control frame length bigger than maximum allowed of 125 bytes"),
        (DEFLATE, frame(0xc9, b""), "control frame must not be compressed"),
        ("", frame(0x80, b"x"), "invalid continuation frame"),
        (DEFLATE, [frame(0x02, b""), frame(0xc0, b"x")].concat(), "invalid continuation frame"),
        (
            "",
            [frame(0x02, b""), frame(0x82, b"x")].concat(),
            "new message started before final frame for previous message was received",
        ),
        ("", [&b"\x82\xff"[..], &[0xff; 8], b"mask"].concat(), "invalid 64-bit payload length"),
        ("", frame(0x88, b"a"), "close frame payload cannot be 1 byte"),
        ("", frame(0x88, b"\x03\xed"), "invalid close status code 1005"),
        ("", frame(0x88, b"\x03\xe7"), "invalid close status code 999"),
        ("", frame(0x88, b"\x07\xd0"), "invalid close status code 2000"),
        ("", frame(0x88, b"\x13\x88x"), "invalid close status code 5000"),
    ];
    for (more, bytes, reason) in cases {
        let (pipe, stream) = open(more);
        pipe.send(&frame(0x82, b"PING\r\n"));
        pipe.send(&bytes);
        let (data, end) = read_all(&stream, 100);
        assert_eq!(data, b"PING\r\n");
        let error = end.unwrap().unwrap_err();
        assert_eq!((error.kind(), error.to_string().as_str()), (io::ErrorKind::InvalidData, reason));
        assert!(stream.try_read(&mut [0; 10]).is_err(), "it stays broken");
        stream.shutdown_write();
        assert_eq!(frames(&pipe.receive()), [(0x88, [b"\x03\xea", reason.as_bytes()].concat())]);
    }
}

#[test]
fn compressed_messages_are_inflated_in_fragments_and_one_by_one() {
    let (pipe, stream) = open(DEFLATE);
    let sent: Vec<u8> = (0..MESSAGE_MAX).map(|i| (i / 11 * i) as u8).collect();
    let long = deflated(&sent);
    let (start, end) = long.split_at(long.len() / 3);
    pipe.send(&[frame(0x42, start), frame(0x89, b""), frame(0x00, b""), frame(0x80, end)].concat());
    pipe.send(&[frame(0x82, b"plain"), frame(0xc1, &deflated(b"short")), frame(0xc2, b"\0")].concat());
    assert!(read_all(&stream, 777).0 == [&sent[..], b"plainshort"].concat());
    // A block that says that it is the last (RFC 7692 section 7.2.3.4), and something after it.
    pipe.send(&frame(0xc2, &[&deflate_final(b"last")[..], b"\0"].concat()));
    pipe.send(&frame(0xc2, &[&deflate_final(b"last")[..], b"something"].concat()));
    assert_eq!(read_all(&stream, 1).0, b"lastlast");
}

fn deflate_final(payload: &[u8]) -> Vec<u8> {
    let mut deflated = Vec::with_capacity(payload.len() + 100);
    Compress::new(Compression::best(), false).compress_vec(payload, &mut deflated, FlushCompress::Finish).unwrap();
    deflated
}

#[test]
fn what_cannot_be_inflated_is_an_error() {
    let text = b"some text of which some text is the same";
    let cut = deflated(text);
    for bytes in [&b"\xff\xff\xff\xff"[..], b"", &cut[..cut.len() - 3]] {
        let (pipe, stream) = open(DEFLATE);
        pipe.send(&frame(0xc2, bytes));
        let (_, end) = read_all(&stream, 100);
        assert_eq!(end.unwrap().unwrap_err().to_string(), "a compressed message is corrupt or cut off");
        let farewell = b"\x03\xefa compressed message is corrupt or cut off";
        assert_eq!(frames(&pipe.receive()), [(0x88, farewell.to_vec())]);
    }
}

/// A hundred bytes become a thousand times as many: no more of them are made than are asked for, and in all no more than the
/// most that a message may come to.
#[test]
fn a_bomb_is_inflated_as_it_is_read_and_up_to_the_limit() {
    let (pipe, stream) = open(DEFLATE);
    let bomb = deflated(&vec![b'x'; 50_000_000]);
    let sent = frame(0xc2, &bomb);
    pipe.send(&sent);
    assert!(is_read_ready(&stream));
    assert_eq!(stream.try_read(&mut [0; 1000]).unwrap(), 1000);
    assert!(
        sent.len() - lock(&pipe.0).to_server.len() <= 40_000,
        "{} of {} are taken in",
        sent.len() - lock(&pipe.0).to_server.len(),
        sent.len()
    );
    let (data, end) = read_all(&stream, 1000);
    assert_eq!(data.len(), MESSAGE_MAX - 1000);
    let error = end.unwrap().unwrap_err();
    let reason = "a compressed message comes to more than 100000 bytes";
    assert_eq!(error.to_string(), reason);
    assert_eq!(frames(&pipe.receive()), [(0x88, [b"\x03\xf1", reason.as_bytes()].concat())]);
}

proptest! {
    /// Whatever is sent, however it is cut into messages, fragments and reads, is read as it was.
    #[test]
    fn what_is_sent_is_read(
        messages in prop::collection::vec((prop::collection::vec(0..4_u8, 0..3000), any::<bool>(), 1..2000_usize), 0..6),
        pieces in prop::collection::vec(1..3000_usize, 1..20),
        step in 1..5000_usize,
    ) {
        let (mut sent, mut wanted) = (Vec::new(), Vec::new());
        for (data, is_compressed, fragment) in messages {
            let payload = if is_compressed { deflated(&data) } else { data.clone() };
            let mut first = if is_compressed { 0x42 } else { 0x01 };
            for fragment in payload.chunks(fragment) {
                sent.extend(frame(first, fragment));
                sent.extend(frame(0x89, b"between"));
                first = 0;
            }
            // With an empty one at the end.
            sent.extend(frame(0x80 | first, b""));
            wanted.extend(data);
        }
        let (pipe, stream) = open(DEFLATE);
        let mut read = Vec::new();
        let (mut rest, mut pieces) = (&sent[..], pieces.iter().cycle());
        while let Some((piece, later)) = rest.split_at_checked(rest.len().min(*pieces.next().unwrap())) {
            pipe.send(piece);
            let (data, end) = read_all(&stream, step);
            prop_assert!(end.is_none());
            read.extend(data);
            if later.is_empty() {
                break;
            }
            rest = later;
        }
        prop_assert!(read == wanted);
    }
}
