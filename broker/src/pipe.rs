//! A stream in memory for tests of what lies over streams: a client's bytes as they are put in, room as it is given.

use crate::env::Stream;
use crate::lock::lock;
use std::collections::VecDeque;
use std::io::{self, IoSlice, Read};
use std::net::SocketAddr;
use std::sync::Mutex;
use std::task::{Context, Poll};

/// The server's end of the pipe.
#[derive(Debug, Default)]
pub(crate) struct Pipe(pub(crate) Mutex<Ends>);

/// What it holds.
#[derive(Debug)]
pub(crate) struct Ends {
    pub(crate) to_server: VecDeque<u8>,
    pub(crate) has_client_left: bool,
    /// Writes fail.
    pub(crate) is_broken: bool,
    pub(crate) to_client: Vec<u8>,
    pub(crate) is_shut: bool,
    /// Bytes that `to_client` takes.
    pub(crate) room: usize,
    /// Bytes that one read or write moves.
    pub(crate) step: usize,
}

impl Default for Ends {
    fn default() -> Self {
        let (to_server, to_client) = (VecDeque::new(), Vec::new());
        let (has_client_left, is_broken, is_shut) = (false, false, false);
        Self { to_server, has_client_left, is_broken, to_client, is_shut, room: usize::MAX, step: usize::MAX }
    }
}

impl Stream for Pipe {
    fn poll_read_ready(&self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        let ends = lock(&self.0);
        if ends.to_server.is_empty() && !ends.has_client_left { Poll::Pending } else { Poll::Ready(Ok(())) }
    }

    fn try_read(&self, buf: &mut [u8]) -> io::Result<usize> {
        let mut ends = lock(&self.0);
        if ends.to_server.is_empty() && !ends.has_client_left {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        let len = buf.len().min(ends.step);
        ends.to_server.read(&mut buf[..len])
    }

    fn poll_write_ready(&self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        let ends = lock(&self.0);
        if ends.is_broken || ends.to_client.len() < ends.room { Poll::Ready(Ok(())) } else { Poll::Pending }
    }

    fn try_write_vectored(&self, bufs: &[IoSlice<'_>]) -> io::Result<usize> {
        let mut ends = lock(&self.0);
        if ends.is_broken {
            return Err(io::ErrorKind::BrokenPipe.into());
        }
        assert!(!ends.is_shut, "nothing is written behind the end");
        let len = bufs[0].len().min(ends.step).min(ends.room.saturating_sub(ends.to_client.len()));
        ends.to_client.extend_from_slice(&bufs[0][..len]);
        if len == 0 && !bufs[0].is_empty() { Err(io::ErrorKind::WouldBlock.into()) } else { Ok(len) }
    }

    fn shutdown_write(&self) {
        lock(&self.0).is_shut = true;
    }

    fn peer_addr(&self) -> SocketAddr {
        SocketAddr::from(([127, 0, 0, 1], 1))
    }

    fn local_addr(&self) -> SocketAddr {
        SocketAddr::from(([127, 0, 0, 1], 2))
    }
}

impl Pipe {
    /// What the client sends.
    pub(crate) fn send(&self, bytes: &[u8]) {
        lock(&self.0).to_server.extend(bytes);
    }

    /// From now on the client takes so many bytes.
    pub(crate) fn set_room(&self, room: usize) {
        lock(&self.0).room = room;
    }

    /// All that the server has written since the last time.
    pub(crate) fn receive(&self) -> Vec<u8> {
        std::mem::take(&mut lock(&self.0).to_client)
    }
}
