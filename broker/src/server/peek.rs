//! Looking at the first byte of a stream, which whoever reads it afterwards gets as well.

use crate::env::{Stream, is_passing};
use crate::lock::lock;
use std::future::poll_fn;
use std::io::{self, IoSlice};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};

/// A stream whose first byte can be looked at before it is read. Otherwise it is the stream that it is made of.
#[derive(Debug)]
pub(super) struct Peekable {
    inner: Arc<dyn Stream>,
    /// What has been looked at, and not read.
    first: Mutex<Option<u8>>,
}

impl Peekable {
    /// `inner` is a stream of which nothing has been read.
    pub(super) fn new(inner: Arc<dyn Stream>) -> Self {
        Self { inner, first: Mutex::default() }
    }

    /// Waits for the first byte; `None` when the stream ends without. To be called before anything is read, as often as
    /// needed. Cancel safe.
    pub(super) async fn peek(&self) -> io::Result<Option<u8>> {
        loop {
            if let Some(first) = *lock(&self.first) {
                return Ok(Some(first));
            }
            poll_fn(|cx| self.inner.poll_read_ready(cx)).await?;
            let mut first = [0];
            match self.inner.try_read(&mut first) {
                Ok(0) => return Ok(None),
                Ok(_) => *lock(&self.first) = Some(first[0]),
                Err(error) if is_passing(&error) => {}
                Err(error) => return Err(error),
            }
        }
    }
}

impl Stream for Peekable {
    fn poll_read_ready(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if lock(&self.first).is_some() { Poll::Ready(Ok(())) } else { self.inner.poll_read_ready(cx) }
    }

    fn try_read(&self, buf: &mut [u8]) -> io::Result<usize> {
        let Some((head, rest)) = buf.split_first_mut() else { return Ok(0) };
        let Some(first) = lock(&self.first).take() else { return self.inner.try_read(buf) };
        *head = first;
        match self.inner.try_read(rest) {
            Ok(len) => Ok(1 + len),
            // It comes again with the next read.
            Err(_) => Ok(1),
        }
    }

    fn poll_write_ready(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.inner.poll_write_ready(cx)
    }

    fn try_write_vectored(&self, bufs: &[IoSlice<'_>]) -> io::Result<usize> {
        self.inner.try_write_vectored(bufs)
    }

    fn shutdown_write(&self) {
        self.inner.shutdown_write();
    }

    fn peer_addr(&self) -> SocketAddr {
        self.inner.peer_addr()
    }

    fn local_addr(&self) -> SocketAddr {
        self.inner.local_addr()
    }
}
