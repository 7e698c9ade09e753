//! What streams over other streams have in common: bytes that were taken and not yet said to be written, and waiting for
//! room below.

use crate::env::{Stream, is_passing};
use std::io::{self, IoSlice};
use std::task::{Context, Poll};

/// Bytes of the caller's that are on their way, and that it is told of once they are through: it offers them again.
#[derive(Debug, Default)]
pub(crate) struct Owed(usize);

impl Owed {
    pub(crate) fn is_none(&self) -> bool {
        self.0 == 0
    }

    /// So many bytes are on their way, and none before.
    pub(crate) fn set(&mut self, bytes: usize) {
        self.0 = bytes;
    }

    /// All of them are through: how many of the bytes that are offered again are written by that.
    pub(crate) fn settle(&mut self, bufs: &[IoSlice<'_>]) -> usize {
        let offered: usize = bufs.iter().map(|buf| buf.len()).sum();
        let written = self.0.min(offered);
        self.0 -= written;
        written
    }
}

/// Ready when `flush`, which writes to `inner`, has nothing left to write; pending while there is no room for it.
pub(crate) fn poll_flush(
    inner: &dyn Stream,
    cx: &mut Context<'_>,
    mut flush: impl FnMut() -> io::Result<()>,
) -> Poll<io::Result<()>> {
    loop {
        match flush() {
            Err(error) if is_passing(&error) => {}
            done => return Poll::Ready(done),
        }
        if inner.poll_write_ready(cx)?.is_pending() {
            return Poll::Pending;
        }
    }
}
