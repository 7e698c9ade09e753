//! What is said to a port for WebSockets: requests as they are, and, behind a request that is granted, frames and
//! compressed messages.
#![no_main]

use lattice_broker::env::Stream;
use lattice_broker::websocket::{AcceptError, Rules, WsStream, accept};
use lattice_fuzz::{Story, ends, split_input};
use libfuzzer_sys::fuzz_target;
use std::collections::VecDeque;
use std::future::Future;
use std::io::{self, ErrorKind, IoSlice, Read};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};

/// Small, so that the fuzzer reaches it.
const MESSAGE_MAX: usize = 2000;
/// How errors of compressed messages begin. Which one it is depends on the pieces as well.
const NOT_INFLATED: &str = "a compressed message";
const HEAD: &str = "GET / HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
    Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n";
/// What the bits of the first byte put behind that; without the first bit there is no request but the input's own.
const FIELDS: [(u8, &str); 3] = [
    (2, "Sec-WebSocket-Extensions: permessage-deflate\r\n"),
    (4, "Nats-No-Masking: true\r\n"),
    (8, "User-Agent: Mozilla/5.0\r\n"),
];

fuzz_target!(|data: &[u8]| {
    let Some((seed, [choice, input @ ..])) = split_input(data) else { return };
    let mut bytes = Vec::new();
    if choice & 1 != 0 {
        bytes.extend_from_slice(HEAD.as_bytes());
        let fields = FIELDS.iter().filter(|(bit, _)| choice & bit != 0);
        fields.for_each(|(_, field)| bytes.extend_from_slice(field.as_bytes()));
        bytes.extend_from_slice(b"\r\n");
    }
    bytes.extend_from_slice(input);
    let step = usize::from(*choice >> 4) * 40 + 1;
    let (whole, data) = play(&bytes, std::iter::once(bytes.len()), 1000);
    let (pieces, other) = play(&bytes, ends(bytes.len(), seed), step);
    assert_eq!(whole, pieces);
    if whole.error.as_deref() == Some(NOT_INFLATED) {
        // How much is had of a message before it is found to be corrupt depends on the pieces.
        assert!(data.starts_with(&other) || other.starts_with(&data), "{data:?} and {other:?}");
    } else {
        assert_eq!(data, other);
    }
});

/// Says `bytes` in pieces that end at `ends`, and reads the data that they come to in steps.
fn play(bytes: &[u8], ends: impl Iterator<Item = usize>, step: usize) -> (Story, Vec<u8>) {
    let pipe = Arc::new(Pipe::default());
    let origins = vec!["http://a".parse().expect("an origin")];
    let named = |name: &str| Some(name.to_owned());
    let rules = Rules {
        compression: true,
        message_max: MESSAGE_MAX,
        allowed_origins: origins,
        jwt_cookie: named("j"),
        token_cookie: named("t"),
        ..Rules::default()
    };
    let mut opening = Some(Box::pin(accept(pipe.clone(), &rules, false)));
    let (mut stream, mut story, mut data, mut start) = (None, Story::default(), Vec::new(), 0);
    for end in ends.map(Some).chain([None]) {
        pipe.say(end.map_or(&[], |end| &bytes[start..end]), end.is_none());
        start = end.unwrap_or(start);
        if let Some(accepting) = &mut opening
            && let Poll::Ready(result) = accepting.as_mut().poll(&mut Context::from_waker(Waker::noop()))
        {
            opening = None;
            match result {
                Ok(accepted) => {
                    story.ops.push(format!("{:?} {:?}", accepted.cookies, accepted.client_ip));
                    stream = Some(accepted.stream);
                }
                Err(AcceptError::Refused(refusal)) => story.fail(&refusal),
                Err(error) => story.fail(&error),
            }
        }
        if let Some(open) = &stream
            && let Some(error) = read(open, &mut data, step)
        {
            story.error = Some(error);
            break;
        }
        if stream.is_none() && opening.is_none() {
            break;
        }
    }
    let said = pipe.said();
    assert!(said <= 2000 + bytes.len(), "{said} bytes are said to {}", bytes.len());
    assert!(data.len() <= bytes.len() * MESSAGE_MAX, "{} bytes of {}", data.len(), bytes.len());
    (story, data)
}

/// Reads all there is; returns how it ended, if it did.
fn read(stream: &WsStream, data: &mut Vec<u8>, step: usize) -> Option<String> {
    let mut buf = vec![0; step];
    loop {
        let is_ready = stream.poll_read_ready(&mut Context::from_waker(Waker::noop())).is_ready();
        match stream.try_read(&mut buf) {
            Err(error) if error.kind() == ErrorKind::WouldBlock && !is_ready => return None,
            Err(error) if error.kind() == ErrorKind::WouldBlock => {}
            result => {
                assert!(is_ready, "there was something to read");
                match result {
                    Ok(0) => return Some("end".to_owned()),
                    Ok(len) => data.extend_from_slice(&buf[..len]),
                    Err(error) if error.to_string().starts_with(NOT_INFLATED) => return Some(NOT_INFLATED.to_owned()),
                    Err(error) => return Some(error.to_string()),
                }
            }
        }
    }
}

/// The server's end of a connection.
#[derive(Debug, Default)]
struct Pipe(Mutex<Ends>);

#[derive(Debug, Default)]
struct Ends {
    to_server: VecDeque<u8>,
    has_left: bool,
    said: usize,
}

impl Pipe {
    fn say(&self, bytes: &[u8], is_last: bool) {
        let mut ends = self.0.lock().expect("no test has panicked");
        ends.to_server.extend(bytes);
        ends.has_left = is_last;
    }

    fn said(&self) -> usize {
        self.0.lock().expect("no test has panicked").said
    }
}

impl Stream for Pipe {
    fn poll_read_ready(&self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        let ends = self.0.lock().expect("no test has panicked");
        if ends.to_server.is_empty() && !ends.has_left { Poll::Pending } else { Poll::Ready(Ok(())) }
    }

    fn try_read(&self, buf: &mut [u8]) -> io::Result<usize> {
        let mut ends = self.0.lock().expect("no test has panicked");
        if ends.to_server.is_empty() && !ends.has_left {
            return Err(ErrorKind::WouldBlock.into());
        }
        ends.to_server.read(buf)
    }

    fn poll_write_ready(&self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn try_write_vectored(&self, bufs: &[IoSlice<'_>]) -> io::Result<usize> {
        let len = bufs.iter().map(|buf| buf.len()).sum();
        self.0.lock().expect("no test has panicked").said += len;
        Ok(len)
    }

    fn shutdown_write(&self) {}

    fn peer_addr(&self) -> SocketAddr {
        SocketAddr::from(([127, 0, 0, 1], 1))
    }

    fn local_addr(&self) -> SocketAddr {
        SocketAddr::from(([127, 0, 0, 1], 2))
    }
}
