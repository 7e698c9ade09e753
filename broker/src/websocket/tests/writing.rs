//! What clients get: frames for the bytes of a write, back-pressure, compression, browsers, and the end.

use super::*;
use crate::websocket::stream::RECORDS_MAX;

const FIREFOX: &str = "User-Agent: Mozilla/5.0 (X11) Gecko/20100101 Firefox/140.0\r\n";
const SAFARI: &str = "User-Agent: Mozilla/5.0 (Macintosh) Version/18.0 Safari/605.1.15\r\n";

fn noise(len: usize) -> Vec<u8> {
    let mut state = 1_u32;
    let next = |_| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 24) as u8
    };
    (0..len).map(next).collect()
}

fn write(stream: &WsStream, bytes: &[u8]) -> usize {
    stream.try_write_vectored(&[IoSlice::new(bytes)]).unwrap()
}

#[test]
fn a_write_is_a_message() {
    let (pipe, stream) = open("");
    let parts = [IoSlice::new(b"PI"), IoSlice::new(b""), IoSlice::new(b"NG\r\n")];
    assert_eq!(stream.try_write_vectored(&parts).unwrap(), 6);
    assert_eq!(stream.try_write_vectored(&[IoSlice::new(b"")]).unwrap(), 0);
    assert_eq!(pipe.receive(), b"\x82\x06PING\r\n");
    for len in [125, 126, 60_000] {
        let sent = noise(len);
        assert_eq!(write(&stream, &sent), len);
        assert_eq!(frames(&pipe.receive()), [(0x82, sent)]);
    }
    // More is taken bit by bit, from one buffer or several.
    let sent = noise(70_000);
    let first = stream.try_write_vectored(&[IoSlice::new(&sent[..50_000]), IoSlice::new(&sent[50_000..])]).unwrap();
    assert_eq!(write(&stream, &sent[first..]), 70_000 - first);
    let got = frames(&pipe.receive());
    assert!(got.len() == 2 && [&got[0].1[..], &got[1].1].concat() == sent);
}

#[test]
fn a_write_counts_once_its_frames_are_written_and_the_rest_is_bounded() {
    for more in ["", FIREFOX, DEFLATE] {
        let (pipe, stream) = open(more);
        pipe.set_room(1000);
        let sent: Vec<u8> = noise(200_000).iter().map(|byte| byte % 16).collect();
        let (mut written, mut got) = (0, Vec::new());
        while written < sent.len() {
            match stream.try_write_vectored(&[IoSlice::new(&sent[written..])]) {
                Ok(len) => written += len,
                Err(error) => {
                    assert_eq!(error.kind(), io::ErrorKind::WouldBlock);
                    assert!(!is_write_ready(&stream));
                    assert!(would_block(stream.try_write_vectored(&[IoSlice::new(&sent[written..])])));
                    got.extend(pipe.receive());
                    assert!(got.len() <= written + RECORDS_MAX, "{} after {written}", got.len());
                }
            }
        }
        got.extend(pipe.receive());
        let whole = |(first, payload): (u8, Vec<u8>)| if first & 0x40 != 0 { inflated(&payload) } else { payload };
        assert!(frames(&got).into_iter().flat_map(whole).collect::<Vec<u8>>() == sent);
        assert!(is_write_ready(&stream));
    }
}

#[test]
fn single_bytes_make_the_same_frames_and_a_pong_waits_for_the_end_of_one() {
    let (pipe, stream) = open("");
    lock(&pipe.0).step = 1;
    pipe.set_room(4);
    assert!(would_block(stream.try_write_vectored(&[IoSlice::new(b"PING\r\n")])));
    pipe.send(&frame(0x89, b"?"));
    assert!(!is_read_ready(&stream));
    pipe.set_room(usize::MAX);
    // Less is offered than before: what is owed is said bit by bit, and not written again.
    assert_eq!(write(&stream, b"PI"), 2);
    assert_eq!(write(&stream, b"NG\r\nINFO"), 4);
    assert_eq!(frames(&pipe.receive()), [(0x82, b"PING\r\n".to_vec()), (0x8a, b"?".to_vec())]);
}

#[test]
fn what_is_worth_it_is_compressed_for_those_who_asked() {
    let text = [b'x'; 1000];
    let (pipe, stream) = open(DEFLATE);
    for sent in [&text[..65], &text] {
        assert_eq!(write(&stream, sent), sent.len());
        let got = frames(&pipe.receive());
        assert!(got.len() == 1 && got[0].0 == 0xc2 && got[0].1.len() < 30, "{got:?}");
        assert_eq!(inflated(&got[0].1), sent);
    }
    // Too short, or not shorter for it.
    for sent in [&text[..64], &noise(1000)] {
        assert_eq!(write(&stream, sent), sent.len());
        assert_eq!(frames(&pipe.receive()), [(0x82, sent.to_vec())]);
    }
    let (pipe, stream) = open("");
    assert_eq!(write(&stream, &text), 1000);
    assert_eq!(frames(&pipe.receive()), [(0x82, text.to_vec())]);
}

#[test]
fn browsers_get_small_frames() {
    let (pipe, stream) = open(FIREFOX);
    let sent = noise(10_000);
    assert_eq!(write(&stream, &sent), 10_000);
    let lens: Vec<_> = frames(&pipe.receive()).iter().map(|(first, payload)| (*first, payload.len())).collect();
    assert_eq!(lens, [(0x82, 4096), (0x82, 4096), (0x82, 1808)]);

    // Compressed, it is one message in fragments; Safari cannot read those.
    let sent: Vec<u8> = noise(20_000).iter().map(|byte| byte % 16).collect();
    for (agent, firsts) in [(FIREFOX, &[0x42, 0x00, 0x80][..]), (SAFARI, &[0xc2])] {
        let (pipe, stream) = open(&[DEFLATE, agent].concat());
        assert_eq!(write(&stream, &sent), 20_000);
        let got = frames(&pipe.receive());
        assert_eq!(got.iter().map(|(first, _)| *first).collect::<Vec<_>>(), firsts);
        assert_eq!(inflated(&got.iter().flat_map(|(_, payload)| payload.clone()).collect::<Vec<_>>()), sent);
    }
}

#[test]
fn the_end_of_writing_says_why_and_reading_goes_on() {
    let long = "é".repeat(62);
    let cut = [b"\x03\xe9", "é".repeat(60).as_bytes(), b"..."].concat();
    for (farewell, payload) in [
        (None, b"\x03\xe8".to_vec()),
        (Some((1008, "Slow Consumer")), b"\x03\xf0Slow Consumer".to_vec()),
        (Some((1001, &long[..])), cut),
    ] {
        let (pipe, stream) = open("");
        pipe.set_room(5);
        assert!(would_block(stream.try_write_vectored(&[IoSlice::new(b"PING\r\n")])));
        if let Some((code, text)) = farewell {
            stream.set_farewell(code, text);
        }
        stream.shutdown_write();
        stream.set_farewell(1011, "too late");
        assert!(!lock(&pipe.0).is_shut, "the close has not left");
        pipe.set_room(usize::MAX);
        assert!(!is_read_ready(&stream));
        assert!(lock(&pipe.0).is_shut);
        assert_eq!(frames(&pipe.receive()), [(0x82, b"PING\r\n".to_vec()), (0x88, payload)]);

        pipe.send(&[frame(0x82, b"PONG\r\n"), frame(0x89, b"nobody answers"), frame(0x88, b"\x03\xe8")].concat());
        let (data, end) = read_all(&stream, 100);
        assert_eq!(data, b"PONG\r\n");
        assert!(end.unwrap().is_ok(), "what answers a close is not answered");
    }
}
