//! A component's standard output and error: bytes in, lines out.

use super::log::{LINE_BYTES_MAX, Level, Log};
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use tokio::io::AsyncWrite;
use wasmtime_wasi::cli::{IsTerminal, StdoutStream};
use wasmtime_wasi::p2::{OutputStream, Pollable, StreamError, StreamResult};

/// Bytes that a component may write at a time.
const WRITE_BYTES_MAX: usize = 64 << 10;

/// One of a component's two outputs.
#[derive(Clone, Debug)]
pub(super) struct Output {
    pub(super) log: Arc<Log>,
    pub(super) level: Level,
    pub(super) source: &'static str,
}

/// A stream to an output. What has no end of line yet is written when it is dropped.
struct Lines {
    to: Output,
    /// Less than a line.
    begun: Vec<u8>,
}

impl IsTerminal for Output {
    fn is_terminal(&self) -> bool {
        false
    }
}

impl StdoutStream for Output {
    fn async_stream(&self) -> Box<dyn AsyncWrite + Send + Sync> {
        Box::new(self.lines())
    }

    fn p2_stream(&self) -> Box<dyn OutputStream> {
        Box::new(self.lines())
    }
}

impl Output {
    fn lines(&self) -> Lines {
        Lines { to: self.clone(), begun: Vec::new() }
    }
}

impl Lines {
    fn take(&mut self, mut bytes: &[u8]) {
        while let Some(end) = bytes.iter().position(|&byte| byte == b'\n') {
            self.begin(&bytes[..end]);
            self.end();
            bytes = &bytes[end + 1..];
        }
        self.begin(bytes);
    }

    /// What is beyond the longest line is let go.
    fn begin(&mut self, bytes: &[u8]) {
        let room = LINE_BYTES_MAX.saturating_sub(self.begun.len());
        self.begun.extend_from_slice(&bytes[..room.min(bytes.len())]);
    }

    fn end(&mut self) {
        self.to.log.write(self.to.level, self.to.source, &String::from_utf8_lossy(&self.begun));
        self.begun.clear();
    }
}

impl Drop for Lines {
    fn drop(&mut self) {
        if !self.begun.is_empty() {
            self.end();
        }
    }
}

#[wasmtime_wasi::async_trait]
impl Pollable for Lines {
    async fn ready(&mut self) {}
}

impl OutputStream for Lines {
    fn write(&mut self, bytes: bytes::Bytes) -> StreamResult<()> {
        if bytes.len() > WRITE_BYTES_MAX {
            let len = bytes.len();
            return Err(StreamError::Trap(wasmtime::format_err!(
                "a write of {len} bytes where {WRITE_BYTES_MAX} were allowed"
            )));
        }
        self.take(&bytes);
        Ok(())
    }

    fn flush(&mut self) -> StreamResult<()> {
        Ok(())
    }

    fn check_write(&mut self) -> StreamResult<usize> {
        Ok(WRITE_BYTES_MAX)
    }
}

impl AsyncWrite for Lines {
    fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.get_mut().take(bytes);
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}
