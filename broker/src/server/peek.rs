//! Looking at the first byte of a stream, which whoever reads it afterwards gets as well.

use crate::env::{Stream, is_passing};
use crate::lock::lock;
use std::future::poll_fn;
use std::io::{self, IoSlice};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};

/// Waits for a first byte of `stream`; `None` when it ends without. What is returned reads as `stream` did. Cancel safe.
pub(super) async fn peek(stream: &Arc<dyn Stream>) -> io::Result<(Option<u8>, Arc<dyn Stream>)> {
    loop {
        poll_fn(|cx| stream.poll_read_ready(cx)).await?;
        let mut first = [0];
        match stream.try_read(&mut first) {
            Ok(0) => return Ok((None, stream.clone())),
            Ok(_) => {
                let first_byte = Mutex::new(Some(first[0]));
                return Ok((Some(first[0]), Arc::new(Peeked { inner: stream.clone(), first: first_byte })));
            }
            Err(error) if is_passing(&error) => {}
            Err(error) => return Err(error),
        }
    }
}

/// A stream whose first byte has been taken out already.
#[derive(Debug)]
struct Peeked {
    inner: Arc<dyn Stream>,
    first: Mutex<Option<u8>>,
}

impl Stream for Peeked {
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
