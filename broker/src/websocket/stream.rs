//! The stream over an open WebSocket: readiness, what waits to be written, and both kinds of end.

use super::Terms;
use super::frame::{Opcode, close_payload};
use super::incoming::{Fault, Incoming, Stop};
use super::outgoing::{push_control, push_payload};
use crate::env::{Stream, is_passing};
use crate::layer::{Owed, poll_flush};
use crate::lock::lock;
use std::borrow::Cow;
use std::io::{self, IoSlice};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};

/// Bytes of frames that may wait for room in the stream below, but for one pong and one close.
pub(super) const RECORDS_MAX: usize = 64 << 10;
/// Payload that is put in frames at a time. The rest is for their heads, of which a browser gets one for each 4 KiB.
const PAYLOAD_MAX: usize = RECORDS_MAX - (4 << 10);
/// Bytes that are read at a time from the stream below.
const RAW_MAX: usize = 32 << 10;
/// Reads from the stream below in one call, however little they say.
const PULLS_MAX: usize = 16;

/// The server's end of an open WebSocket.
///
/// Reading gives the payload of data frames, binary and text; where they begin and end means nothing. Pings are answered
/// as soon as there is room, the last of several that wait; a client's close is answered when all before it has been
/// read, and is the end.
///
/// Each write is one binary message. It counts once its frames are written: until then the write is
/// [`io::ErrorKind::WouldBlock`], and the caller has to offer the same bytes again, as any writer of a byte stream does. So
/// nothing waits here of which the caller does not know, but for one write of at most 64 KiB.
#[derive(Debug)]
pub struct WsStream {
    inner: Arc<dyn Stream>,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    terms: Terms,
    incoming: Incoming,
    /// What was read below, and how much of it is used.
    raw: Vec<u8>,
    used: usize,
    end: Option<ReadEnd>,
    /// Frames that wait for room, and how much of them is written.
    records: Vec<u8>,
    written: usize,
    /// Payload that is in frames already, and was not yet said to be written.
    owed: Owed,
    /// The payload of a pong.
    pong: Option<Vec<u8>>,
    close: Close,
    shut: Shut,
}

/// What is possible after a step of reading.
#[derive(Clone, Copy, Debug)]
enum Can {
    /// Another one.
    GoOn,
    /// Another one, with room.
    ReadMore,
    /// To ask the stream below.
    PullMore,
}

/// Why no more is read.
#[derive(Debug)]
enum ReadEnd {
    /// The stream below is at its end.
    Left,
    /// The client said so, and wants this answer.
    Closed(Vec<u8>),
    Fault(Fault),
}

/// How far the close frame, of which there is one, has come; with its payload.
#[derive(Debug)]
enum Close {
    /// What it would be.
    Open(Vec<u8>),
    Owed(Vec<u8>),
    /// It is among the records.
    Sent,
}

/// Whether the stream below is told that no more will be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Shut {
    No,
    Wanted,
    Done,
}

impl WsStream {
    /// `raw` is what has been read already of the frames.
    pub(super) fn new(inner: Arc<dyn Stream>, terms: Terms, raw: Vec<u8>) -> Self {
        let state = State {
            terms,
            incoming: Incoming::new(terms),
            raw,
            used: 0,
            end: None,
            records: Vec::new(),
            written: 0,
            owed: Owed::default(),
            pong: None,
            close: Close::Open(close_payload(1000, "")),
            shut: Shut::No,
        };
        Self { inner, state: Mutex::new(state) }
    }
}

impl Stream for WsStream {
    fn poll_read_ready(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut state = lock(&self.state);
        for _ in 0..PULLS_MAX {
            let is_readable = state.is_readable();
            // What is sent without being asked for, a pong or the last close, has no other driver.
            let flushed = state.poll_flush(&*self.inner, cx);
            if is_readable {
                return Poll::Ready(Ok(()));
            }
            let _ = flushed?;
            if self.inner.poll_read_ready(cx)?.is_pending() {
                return Poll::Pending;
            }
            match state.pull(&*self.inner) {
                Err(error) if !is_passing(&error) => return Poll::Ready(Err(error)),
                Ok(()) | Err(_) => {}
            }
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    fn try_read(&self, buf: &mut [u8]) -> io::Result<usize> {
        let mut state = lock(&self.state);
        let read = state.read(&*self.inner, buf);
        // What the client sent counts even if it hears no more.
        let _ = state.flush(&*self.inner);
        read
    }

    fn poll_write_ready(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        lock(&self.state).poll_flush(&*self.inner, cx)
    }

    /// As for every stream; [`io::ErrorKind::BrokenPipe`] once there is a close frame, after which nothing may follow.
    fn try_write_vectored(&self, bufs: &[IoSlice<'_>]) -> io::Result<usize> {
        let mut state = lock(&self.state);
        state.flush(&*self.inner)?;
        if state.owed.is_none() {
            if !matches!(state.close, Close::Open(_)) {
                return Err(io::ErrorKind::BrokenPipe.into());
            }
            let payload = gather(bufs, PAYLOAD_MAX);
            let terms = state.terms;
            push_payload(&mut state.records, &payload, &terms);
            state.owed.set(payload.len());
            state.flush(&*self.inner)?;
        }
        Ok(state.owed.settle(bufs))
    }

    /// As for every stream; the client gets a close frame first, unless it has got one. When that does not fit yet, it
    /// goes with a later poll of either direction.
    fn shutdown_write(&self) {
        let mut state = lock(&self.state);
        state.end_with(None);
        if state.shut == Shut::No {
            state.shut = Shut::Wanted;
        }
        // An error means that the stream has ended already, which is what was asked for.
        let _ = state.flush(&*self.inner);
    }

    fn set_farewell(&self, code: u16, text: &str) {
        if let Close::Open(payload) = &mut lock(&self.state).close {
            *payload = close_payload(code, text);
        }
    }

    fn peer_addr(&self) -> SocketAddr {
        self.inner.peer_addr()
    }

    fn local_addr(&self) -> SocketAddr {
        self.inner.local_addr()
    }
}

impl State {
    fn read(&mut self, inner: &dyn Stream, buf: &mut [u8]) -> io::Result<usize> {
        let (mut filled, mut pulls) = (0, 0);
        while self.end.is_none() {
            let (written, can) = self.step(&mut buf[filled..]);
            filled += written;
            match can {
                Can::GoOn => continue,
                Can::ReadMore => {}
                Can::PullMore if filled == buf.len() => {}
                Can::PullMore => {
                    pulls += 1;
                    let is_enough = pulls > PULLS_MAX;
                    match if is_enough { Err(io::ErrorKind::WouldBlock.into()) } else { self.pull(inner) } {
                        Ok(()) => continue,
                        // It comes again with the next read.
                        Err(_) if filled > 0 => {}
                        Err(error) => return Err(error),
                    }
                }
            }
            return Ok(filled);
        }
        // What came before the end is dealt with before the client is told of it.
        if filled > 0 || buf.is_empty() { Ok(filled) } else { self.answer_end() }
    }

    /// Reads some of what is there into `out`; returns the bytes written, and how to go on.
    fn step(&mut self, out: &mut [u8]) -> (usize, Can) {
        let progress = self.incoming.read(&self.raw[self.used..], out);
        self.used += progress.used;
        match progress.stop {
            Stop::Starved => return (progress.written, Can::PullMore),
            Stop::Full => return (progress.written, Can::ReadMore),
            Stop::Ping(payload) => self.pong = Some(payload),
            Stop::Close(answer) => self.end = Some(ReadEnd::Closed(answer)),
            Stop::Fault(fault) => self.end = Some(ReadEnd::Fault(fault)),
        }
        (progress.written, Can::GoOn)
    }

    /// Whether a read gets anything, the end among it.
    fn is_readable(&mut self) -> bool {
        while self.end.is_none() {
            match self.step(&mut []).1 {
                Can::GoOn => {}
                Can::ReadMore => return true,
                Can::PullMore => return false,
            }
        }
        true
    }

    /// Tells the client, once, why no more is read of it.
    fn answer_end(&mut self) -> io::Result<usize> {
        let (answer, result) = match &self.end {
            None | Some(ReadEnd::Left) => return Ok(0),
            Some(ReadEnd::Closed(answer)) => (answer.clone(), Ok(0)),
            Some(ReadEnd::Fault(fault)) => (fault.farewell(), Err(io::Error::new(io::ErrorKind::InvalidData, *fault))),
        };
        self.end_with(Some(answer));
        result
    }

    /// Takes in more of what the client sent. Only called when all before is used.
    fn pull(&mut self, inner: &dyn Stream) -> io::Result<()> {
        self.used = 0;
        self.raw.resize(RAW_MAX, 0);
        let read = inner.try_read(&mut self.raw);
        match read {
            Ok(len) if len > 0 => self.raw.truncate(len),
            // Connections that are silent should not hold memory.
            Ok(_) | Err(_) => self.raw = Vec::new(),
        }
        if read? == 0 {
            self.end = Some(ReadEnd::Left);
        }
        Ok(())
    }

    /// Nothing is written any more but a close frame, unless there is one.
    fn end_with(&mut self, answer: Option<Vec<u8>>) {
        if let Close::Open(farewell) = &mut self.close {
            let farewell = std::mem::take(farewell);
            self.close = Close::Owed(answer.unwrap_or(farewell));
        }
    }

    /// Writes the records that wait; `WouldBlock` when some still do.
    fn flush(&mut self, inner: &dyn Stream) -> io::Result<()> {
        loop {
            while self.written < self.records.len() {
                match inner.try_write_vectored(&[IoSlice::new(&self.records[self.written..])]) {
                    Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                    Ok(len) => self.written += len,
                    Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                    Err(error) => return Err(error),
                }
            }
            self.written = 0;
            self.records = Vec::new();
            if !self.push_controls() {
                break;
            }
        }
        if self.shut == Shut::Wanted {
            self.shut = Shut::Done;
            inner.shutdown_write();
        }
        Ok(())
    }

    /// Makes records of the control frames that are due; false when there are none.
    fn push_controls(&mut self) -> bool {
        let pong = self.pong.take().filter(|_| !matches!(self.close, Close::Sent));
        if let Some(payload) = pong {
            push_control(&mut self.records, Opcode::Pong, &payload);
        }
        if let Close::Owed(payload) = &self.close {
            push_control(&mut self.records, Opcode::Close, payload);
            self.close = Close::Sent;
        }
        !self.records.is_empty()
    }

    fn poll_flush(&mut self, inner: &dyn Stream, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        poll_flush(inner, cx, || self.flush(inner))
    }
}

/// The first `max` bytes of `bufs`.
fn gather<'a>(bufs: &'a [IoSlice<'_>], max: usize) -> Cow<'a, [u8]> {
    if let [buf] = bufs {
        return Cow::Borrowed(&buf[..buf.len().min(max)]);
    }
    let mut payload = Vec::with_capacity(bufs.iter().map(|buf| buf.len()).sum::<usize>().min(max));
    for buf in bufs {
        let room = max - payload.len();
        payload.extend_from_slice(&buf[..buf.len().min(room)]);
    }
    Cow::Owned(payload)
}
