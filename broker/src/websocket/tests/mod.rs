//! WebSockets over a pipe in memory; what a client does is written out here by RFC 6455 and RFC 7692.

mod handshake;
mod reading;
mod writing;

use super::*;
use crate::env::Stream;
use crate::lock::lock;
use crate::pipe::Pipe;
use flate2::{Compress, Compression, Decompress, FlushCompress, FlushDecompress};
use std::future::Future;
use std::io::{self, IoSlice};
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Wake, Waker};

const HEAD: &str = "GET / HTTP/1.1\r\nHost: a.example\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
    Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n";
const DEFLATE: &str = "Sec-WebSocket-Extensions: permessage-deflate\r\n";

/// A request that is granted, with more fields.
fn request(more: &str) -> Vec<u8> {
    format!("{HEAD}{more}\r\n").into()
}

/// What `accept` comes to by what has been sent.
fn try_open(pipe: &Arc<Pipe>, rules: &Rules, is_tls: bool) -> Option<Result<Accepted, AcceptError>> {
    let mut accepting = pin!(accept(pipe.clone(), rules, is_tls));
    match accepting.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(result) => Some(result),
        Poll::Pending => None,
    }
}

/// The inflated size of a message in these tests.
const MESSAGE_MAX: usize = 100_000;

/// A WebSocket that was opened by a request with these fields as well, by rules that allow compression.
fn open(more: &str) -> (Arc<Pipe>, WsStream) {
    let pipe = Arc::new(Pipe::default());
    pipe.send(&request(more));
    let rules = Rules { compression: true, message_max: MESSAGE_MAX, ..Rules::default() };
    let accepted = try_open(&pipe, &rules, false).unwrap().unwrap();
    pipe.receive();
    (pipe, accepted.stream)
}

/// A frame of a client.
fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    const MASK: [u8; 4] = [0x37, 0xfa, 0x21, 0x3d];
    let mut frame = vec![first];
    match payload.len() {
        len @ ..126 => frame.push(0x80 | len as u8),
        len @ ..65536 => frame.extend([&[0x80 | 126], &(len as u16).to_be_bytes()[..]].concat()),
        len => frame.extend([&[0x80 | 127], &(len as u64).to_be_bytes()[..]].concat()),
    }
    frame.extend(MASK);
    frame.extend(payload.iter().enumerate().map(|(i, byte)| byte ^ MASK[i % 4]));
    frame
}

fn deflated(payload: &[u8]) -> Vec<u8> {
    let mut deflated = Vec::with_capacity(payload.len() + 100);
    Compress::new(Compression::best(), false).compress_vec(payload, &mut deflated, FlushCompress::Sync).unwrap();
    assert!(deflated.ends_with(&[0, 0, 255, 255]));
    deflated.truncate(deflated.len() - 4);
    deflated
}

fn inflated(payload: &[u8]) -> Vec<u8> {
    let mut inflated = Vec::with_capacity(1 << 20);
    let whole = [payload, &[0, 0, 255, 255]].concat();
    Decompress::new(false).decompress_vec(&whole, &mut inflated, FlushDecompress::Sync).unwrap();
    inflated
}

/// The frames of a server: their first byte and payload.
fn frames(mut bytes: &[u8]) -> Vec<(u8, Vec<u8>)> {
    let mut frames = Vec::new();
    while let [first, second, rest @ ..] = bytes {
        let (len, rest) = match second {
            126 => (usize::from(u16::from_be_bytes([rest[0], rest[1]])), &rest[2..]),
            127 => (u64::from_be_bytes(rest[..8].try_into().unwrap()) as usize, &rest[8..]),
            len => (usize::from(*len), rest),
        };
        frames.push((*first, rest[..len].to_vec()));
        bytes = &rest[len..];
    }
    assert!(bytes.is_empty(), "half a head: {bytes:?}");
    frames
}

/// Whether it was woken since it was last asked.
#[derive(Debug, Default)]
struct Woken(AtomicBool);

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// As a task sees it, which polls again when it was woken for that.
fn is_read_ready(stream: &WsStream) -> bool {
    let woken = Arc::new(Woken::default());
    loop {
        let polled = stream.poll_read_ready(&mut Context::from_waker(&woken.clone().into()));
        if polled.map(Result::unwrap).is_ready() {
            return true;
        }
        if !woken.0.swap(false, Ordering::Relaxed) {
            return false;
        }
    }
}

fn is_write_ready(stream: &WsStream) -> bool {
    stream.poll_write_ready(&mut Context::from_waker(Waker::noop())).map(Result::unwrap).is_ready()
}

fn would_block<T: std::fmt::Debug>(result: io::Result<T>) -> bool {
    result.is_err_and(|error| error.kind() == io::ErrorKind::WouldBlock)
}

/// Reads in pieces of `step` until there is no more, or the end: the data, and how it ended.
fn read_all(stream: &WsStream, step: usize) -> (Vec<u8>, Option<io::Result<()>>) {
    let (mut buf, mut data) = (vec![0; step], Vec::new());
    while is_read_ready(stream) {
        match stream.try_read(&mut buf) {
            Ok(0) => return (data, Some(Ok(()))),
            Ok(len) => data.extend_from_slice(&buf[..len]),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) => return (data, Some(Err(error))),
        }
    }
    assert!(would_block(stream.try_read(&mut buf)), "not ready means nothing to read");
    (data, None)
}
