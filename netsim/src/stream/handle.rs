//! The ends of streams as tasks hold them: [`Stream`] and [`Listener`] over the tables of `stream.rs`.

use super::Side;
use crate::exec::HostId;
use crate::kernel::Kernel;
use lattice_broker::env::{Listener, Stream};
use std::future::Future;
use std::io::{self, IoSlice};
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

/// One end of a stream. Dropping it closes it.
#[derive(Debug)]
struct SimStream {
    kernel: Arc<Kernel>,
    conn: u64,
    side: Side,
    peer: SocketAddr,
    local: SocketAddr,
}

impl Stream for SimStream {
    fn poll_read_ready(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.kernel.with(|state, _| state.streams.read_ready(self.conn, self.side, cx.waker()))
    }

    fn try_read(&self, buf: &mut [u8]) -> io::Result<usize> {
        self.kernel.with(|state, now| {
            let (streams, mut wire) = state.streams(now);
            streams.read(&mut wire, self.conn, self.side, buf)
        })
    }

    fn poll_write_ready(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.kernel.with(|state, _| state.streams.write_ready(self.conn, self.side, cx.waker()))
    }

    fn try_write_vectored(&self, bufs: &[IoSlice<'_>]) -> io::Result<usize> {
        self.kernel.with(|state, now| {
            let (streams, mut wire) = state.streams(now);
            streams.write(&mut wire, self.conn, self.side, bufs)
        })
    }

    fn shutdown_write(&self) {
        self.kernel.with(|state, now| {
            let (streams, mut wire) = state.streams(now);
            streams.shutdown(&mut wire, self.conn, self.side);
        });
    }

    fn peer_addr(&self) -> SocketAddr {
        self.peer
    }

    fn local_addr(&self) -> SocketAddr {
        self.local
    }
}

impl Drop for SimStream {
    fn drop(&mut self) {
        self.kernel.with(|state, now| {
            let (streams, mut wire) = state.streams(now);
            streams.close(&mut wire, self.conn, self.side);
        });
    }
}

/// An attempt to open a stream. Dropping it gives the attempt up.
#[derive(Debug)]
pub(crate) struct Connecting(Option<SimStream>);

impl Connecting {
    pub(crate) fn new(kernel: &Arc<Kernel>, host: HostId, to: SocketAddr) -> io::Result<Self> {
        let (conn, local) = kernel.with(|state, now| {
            let (streams, mut wire) = state.streams(now);
            streams.dial(&mut wire, host, to)
        })?;
        let stream = SimStream { kernel: kernel.clone(), conn, side: 0, peer: to, local: local.into() };
        Ok(Self(Some(stream)))
    }
}

impl Future for Connecting {
    type Output = io::Result<Arc<dyn Stream>>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let stream = self.0.as_ref().expect("polled until it was ready, once");
        ready!(stream.kernel.with(|state, _| state.streams.dialled(stream.conn, cx.waker())))?;
        let stream = self.0.take().expect("it was there a line above");
        Poll::Ready(Ok(Arc::new(stream)))
    }
}

/// A listener. Dropping it closes the port and resets what nobody accepted.
#[derive(Debug)]
pub(crate) struct SimListener {
    kernel: Arc<Kernel>,
    id: u64,
    local: SocketAddr,
}

impl SimListener {
    pub(crate) fn bind(kernel: &Arc<Kernel>, host: HostId, addr: SocketAddr) -> io::Result<Self> {
        let (id, local) = kernel.with(|state, _| state.streams.listen(&state.addresses, host, addr))?;
        Ok(Self { kernel: kernel.clone(), id, local: local.into() })
    }
}

impl Listener for SimListener {
    fn poll_accept(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<Arc<dyn Stream>>> {
        let (conn, peer, local) = ready!(self.kernel.with(|state, _| state.streams.accept(self.id, cx.waker())))?;
        let kernel = self.kernel.clone();
        Poll::Ready(Ok(Arc::new(SimStream { kernel, conn, side: 1, peer: peer.into(), local: local.into() })))
    }

    fn local_addr(&self) -> SocketAddr {
        self.local
    }
}

impl Drop for SimListener {
    fn drop(&mut self) {
        self.kernel.with(|state, now| {
            let (streams, mut wire) = state.streams(now);
            streams.unlisten(&mut wire, self.id);
        });
    }
}
