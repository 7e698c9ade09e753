//! quinn on an [`Env`]: its tasks, timers, clock and socket. The operating system's sockets keep their offloads.

use lattice_broker::env::{Env, Timer, UdpSocket, VirtualUdp};
use quinn::udp::{EcnCodepoint, RecvMeta, Transmit};
use quinn::{AsyncTimer, AsyncUdpSocket, Runtime, TokioRuntime, UdpPoller};
use std::fmt;
use std::future::Future;
use std::io::{self, IoSliceMut};
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Instant;

/// Bytes that the kernel may hold for the socket in each direction, if it allows.
const SOCKET_BUFFER: usize = 4 << 20;

/// quinn's view of an [`Env`].
#[derive(Debug)]
pub(super) struct EnvRuntime(pub(super) Env);

impl Runtime for EnvRuntime {
    fn new_timer(&self, at: Instant) -> Pin<Box<dyn AsyncTimer>> {
        Box::pin(EnvTimer(self.0.timer(at)))
    }

    fn spawn(&self, future: Pin<Box<dyn Future<Output = ()> + Send>>) {
        self.0.spawn(future);
    }

    fn wrap_udp_socket(&self, socket: std::net::UdpSocket) -> io::Result<Arc<dyn AsyncUdpSocket>> {
        TokioRuntime.wrap_udp_socket(socket)
    }

    fn now(&self) -> Instant {
        self.0.now()
    }
}

struct EnvTimer(Pin<Box<dyn Timer>>);

impl fmt::Debug for EnvTimer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("EnvTimer")
    }
}

impl AsyncTimer for EnvTimer {
    fn reset(mut self: Pin<&mut Self>, at: Instant) {
        self.0.as_mut().reset(at);
    }

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        self.0.as_mut().poll(cx)
    }
}

/// Opens a socket of either kind.
pub(super) fn bind(env: &Env, addr: SocketAddr) -> io::Result<Arc<dyn AsyncUdpSocket>> {
    match env.udp_bind(addr)? {
        UdpSocket::Os(socket) => {
            let options = socket2::SockRef::from(&socket);
            // Larger than the default where the system allows it; a smaller one works as well.
            let _ = options.set_recv_buffer_size(SOCKET_BUFFER);
            let _ = options.set_send_buffer_size(SOCKET_BUFFER);
            TokioRuntime.wrap_udp_socket(socket)
        }
        UdpSocket::Virtual(socket) => Ok(Arc::new(VirtualSocket(socket))),
    }
}

#[derive(Debug)]
struct VirtualSocket(Arc<dyn VirtualUdp>);

impl AsyncUdpSocket for VirtualSocket {
    fn create_io_poller(self: Arc<Self>) -> Pin<Box<dyn UdpPoller>> {
        Box::pin(AlwaysWritable)
    }

    fn try_send(&self, transmit: &Transmit<'_>) -> io::Result<()> {
        let ecn = transmit.ecn.map_or(0, |ecn| ecn as u8);
        let segment = transmit.segment_size.unwrap_or(transmit.contents.len()).max(1);
        for datagram in transmit.contents.chunks(segment) {
            self.0.send(transmit.destination, datagram, ecn);
        }
        Ok(())
    }

    fn poll_recv(
        &self,
        cx: &mut Context<'_>,
        bufs: &mut [IoSliceMut<'_>],
        meta: &mut [RecvMeta],
    ) -> Poll<io::Result<usize>> {
        let mut received = 0;
        for (buf, meta) in bufs.iter_mut().zip(meta) {
            let datagram = match self.0.poll_recv(cx, buf) {
                Poll::Ready(Ok(datagram)) => datagram,
                Poll::Ready(Err(error)) if received == 0 => return Poll::Ready(Err(error)),
                Poll::Pending if received == 0 => return Poll::Pending,
                // What is there is handed on first; an error comes again with the next call.
                Poll::Ready(Err(_)) | Poll::Pending => break,
            };
            meta.addr = datagram.from;
            meta.len = datagram.len;
            meta.stride = datagram.len.max(1);
            meta.ecn = EcnCodepoint::from_bits(datagram.ecn);
            meta.dst_ip = Some(datagram.to.ip());
            received += 1;
        }
        Poll::Ready(Ok(received))
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        Ok(self.0.local_addr())
    }

    fn may_fragment(&self) -> bool {
        false
    }
}

/// Simulated sockets never block.
#[derive(Debug)]
struct AlwaysWritable;

impl UdpPoller for AlwaysWritable {
    fn poll_writable(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}
