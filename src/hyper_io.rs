//! Streams and timers of an [`Env`] in the shape that hyper wants.

use hyper::rt::{ReadBufCursor, Sleep};
use lattice_broker::env::{Env, Stream, Timer, is_passing};
use std::future::Future;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

/// Bytes read at once: requests are short.
const CHUNK: usize = 4096;

/// A stream.
#[derive(Debug)]
pub(crate) struct Transport(pub(crate) Arc<dyn Stream>);

impl hyper::rt::Read for Transport {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, mut into: ReadBufCursor<'_>) -> Poll<io::Result<()>> {
        // Whoever reads without end must come to an end of its turn, also where a stream has always something left.
        let turn = ready!(tokio::task::coop::poll_proceed(cx));
        let mut chunk = [0; CHUNK];
        let room = into.remaining().min(CHUNK);
        loop {
            ready!(self.0.poll_read_ready(cx))?;
            match self.0.try_read(&mut chunk[..room]) {
                Ok(len) => {
                    into.put_slice(&chunk[..len]);
                    turn.made_progress();
                    return Poll::Ready(Ok(()));
                }
                Err(error) if is_passing(&error) => {}
                Err(error) => {
                    turn.made_progress();
                    return Poll::Ready(Err(error));
                }
            }
        }
    }
}

impl hyper::rt::Write for Transport {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.poll_write_vectored(cx, &[IoSlice::new(bytes)])
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        parts: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        loop {
            ready!(self.0.poll_write_ready(cx))?;
            match self.0.try_write_vectored(parts) {
                Err(error) if is_passing(&error) => {}
                done => return Poll::Ready(done),
            }
        }
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.0.shutdown_write();
        Poll::Ready(Ok(()))
    }
}

/// The clock of an [`Env`].
#[derive(Clone, Debug)]
pub(crate) struct Clock(pub(crate) Env);

impl hyper::rt::Timer for Clock {
    fn sleep(&self, duration: Duration) -> Pin<Box<dyn Sleep>> {
        self.sleep_until(self.0.now() + duration)
    }

    fn sleep_until(&self, deadline: Instant) -> Pin<Box<dyn Sleep>> {
        Box::pin(Wait(Mutex::new(self.0.timer(deadline))))
    }

    fn now(&self) -> Instant {
        self.0.now()
    }
}

/// The lock is never taken: it lets threads share what they may only move, which hyper asks for and never does.
struct Wait(Mutex<Pin<Box<dyn Timer>>>);

impl Future for Wait {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        self.0.get_mut().unwrap_or_else(PoisonError::into_inner).as_mut().poll(cx)
    }
}

impl Sleep for Wait {}
