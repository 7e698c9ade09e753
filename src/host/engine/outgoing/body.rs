//! Bodies that components send and get as they ask by HTTP: bounded in length both ways, and in time as they come. They are handed on piece
//! by piece, so that what is in memory of one is what its connection buffers.

use super::exchange::Held;
use super::fault::broken;
use crate::host::engine::clocks::timer;
use bytes::{Buf as _, Bytes};
use hyper::body::{Body, Frame, Incoming, SizeHint};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::time::Sleep;
use wasmtime_wasi_http::{Error, WasiBody};

/// Bytes that may still come.
#[derive(Clone, Copy, Debug)]
struct Left {
    left: u64,
    max: u64,
}

impl Left {
    const fn new(max: u64) -> Self {
        Self { left: max, max }
    }

    /// Counts a piece; `Err` has how many bytes there might have been in all.
    fn take(&mut self, frame: &Frame<Bytes>) -> Result<(), u64> {
        let len = frame.data_ref().map_or(0, |data| data.remaining() as u64);
        self.left = self.left.checked_sub(len).ok_or(self.max)?;
        Ok(())
    }
}

/// What a component sends.
pub(super) struct Upload {
    body: WasiBody,
    left: Left,
}

impl Upload {
    pub(super) fn new(body: WasiBody, max: u64) -> Self {
        Self { body, left: Left::new(max) }
    }
}

impl Body for Upload {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        let Some(frame) = ready!(Pin::new(&mut self.body).poll_frame(cx)) else { return Poll::Ready(None) };
        let counted = frame.and_then(|frame| match self.left.take(&frame) {
            Ok(()) => Ok(frame),
            Err(max) => Err(Error::HttpRequestBodySize(Some(max))),
        });
        Poll::Ready(Some(counted))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// What a component gets, and what its request takes until that has come.
pub(super) struct Answer {
    body: Incoming,
    left: Left,
    between_bytes: Duration,
    /// Runs while nothing comes.
    waiting: Option<Pin<Box<Sleep>>>,
    _held: Arc<Held>,
}

impl Answer {
    pub(super) fn new(body: Incoming, max: u64, between_bytes: Duration, held: Arc<Held>) -> Self {
        Self { body, left: Left::new(max), between_bytes, waiting: None, _held: held }
    }
}

impl Body for Answer {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        let Poll::Ready(frame) = Pin::new(&mut self.body).poll_frame(cx) else {
            // Since when nothing has come, and not since when the component looks.
            let time = self.between_bytes;
            let waiting = self.waiting.get_or_insert_with(|| timer(time));
            ready!(waiting.as_mut().poll(cx));
            return Poll::Ready(Some(Err(Error::ConnectionReadTimeout)));
        };
        self.waiting = None;
        Poll::Ready(frame.map(|frame| {
            let frame = frame.map_err(|error| broken(&error))?;
            self.left.take(&frame).map_err(|max| Error::HttpResponseBodySize(Some(max)))?;
            Ok(frame)
        }))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
