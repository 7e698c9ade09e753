//! The real world: tokio's runtime, clock and sockets. The one file that may name them.
#![expect(clippy::disallowed_methods, reason = "this is the door that everything else goes through")]

use super::lan::RealLan;
use super::usage::Meter;
use super::{BoxFuture, Interface, Lan, LanConfig, Listener, Platform, Rng, Stream, Timer, UdpSocket, Usage};
use nix::ifaddrs::{InterfaceAddress, getifaddrs};
use nix::net::if_::{InterfaceFlags, if_nametoindex};
use nix::sys::socket::{SockaddrIn, SockaddrIn6};
use rand_core::SeedableRng;
use std::future::Future;
use std::io::{self, IoSlice};
use std::net::{IpAddr, SocketAddr, ToSocketAddrs};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::{Instant, SystemTime};
use tokio::net::{TcpListener, TcpStream};

#[derive(Debug)]
pub(super) struct Tokio {
    runtime: tokio::runtime::Handle,
    meter: Meter,
}

impl Tokio {
    pub(super) fn current() -> Self {
        Self { runtime: tokio::runtime::Handle::current(), meter: Meter::new(Instant::now()) }
    }
}

impl Platform for Tokio {
    fn spawn(&self, task: BoxFuture<()>) {
        self.runtime.spawn(task);
    }

    fn work(&self, work: Box<dyn FnOnce() + Send>) {
        self.runtime.spawn_blocking(work);
    }

    fn timer(&self, at: Instant) -> Pin<Box<dyn Timer>> {
        let _context = self.runtime.enter();
        Box::pin(TokioTimer(Box::pin(tokio::time::sleep_until(at.into()))))
    }

    fn now(&self) -> Instant {
        Instant::now()
    }

    fn wall(&self) -> SystemTime {
        SystemTime::now()
    }

    fn rng(&self, _label: &str) -> Rng {
        let mut seed = [0; 32];
        getrandom::fill(&mut seed).expect("the operating system has randomness");
        Rng::from_seed(seed)
    }

    fn udp_bind(&self, addr: SocketAddr) -> io::Result<UdpSocket> {
        let socket = std::net::UdpSocket::bind(addr)?;
        socket.set_nonblocking(true)?;
        Ok(UdpSocket::Os(socket))
    }

    fn tcp_listen(&self, addr: SocketAddr) -> io::Result<Box<dyn Listener>> {
        let domain = socket2::Domain::for_address(addr);
        let socket = socket2::Socket::new(domain, socket2::Type::STREAM, None)?;
        // A node that restarts takes its port back although connections of its last life linger.
        socket.set_reuse_address(true)?;
        if addr.is_ipv6() && addr.ip().is_unspecified() {
            // All addresses means those of both families, whatever the system's default is.
            socket.set_only_v6(false)?;
        }
        socket.set_nonblocking(true)?;
        socket.bind(&addr.into())?;
        socket.listen(1024)?;
        let _context = self.runtime.enter();
        let listener = TcpListener::from_std(socket.into())?;
        let local = listener.local_addr()?;
        Ok(Box::new(TokioListener { listener, local }))
    }

    fn tcp_connect(&self, addr: SocketAddr) -> BoxFuture<io::Result<Arc<dyn Stream>>> {
        Box::pin(async move {
            let stream = TcpStream::connect(addr).await?;
            let stream: Arc<dyn Stream> = Arc::new(TokioStream::new(stream)?);
            Ok(stream)
        })
    }

    fn resolve(&self, host_port: &str) -> BoxFuture<io::Result<Vec<SocketAddr>>> {
        let name = host_port.to_owned();
        let lookup = self.runtime.spawn_blocking(move || name.to_socket_addrs().map(Vec::from_iter));
        Box::pin(async move {
            let addrs = lookup.await.map_err(io::Error::other)??;
            if addrs.is_empty() {
                return Err(io::Error::new(io::ErrorKind::NotFound, "the name has no address"));
            }
            Ok(addrs)
        })
    }

    fn interfaces(&self) -> Vec<Interface> {
        interfaces()
    }

    fn usage(&self) -> Usage {
        self.meter.usage(Instant::now())
    }

    fn lan(&self, config: &LanConfig) -> io::Result<Arc<dyn Lan>> {
        let _context = self.runtime.enter();
        RealLan::open(config, interfaces).map(|lan| -> Arc<dyn Lan> { Arc::new(lan) })
    }
}

fn interfaces() -> Vec<Interface> {
    let Ok(all) = getifaddrs() else { return Vec::new() };
    all.filter(|one| one.flags.contains(InterfaceFlags::IFF_UP)).filter_map(interface).collect()
}

fn interface(one: InterfaceAddress) -> Option<Interface> {
    let address = one.address?;
    let v4 = address.as_sockaddr_in().map(|addr| IpAddr::V4(addr.ip()));
    let ip = v4.or_else(|| address.as_sockaddr_in6().map(|addr| IpAddr::V6(addr.ip())))?;
    let ones_v4 = |mask: &SockaddrIn| mask.ip().to_bits().leading_ones();
    let ones_v6 = |mask: &SockaddrIn6| mask.ip().to_bits().leading_ones();
    let mask = one.netmask.as_ref();
    let ones = if ip.is_ipv4() {
        mask.and_then(|mask| mask.as_sockaddr_in()).map_or(32, ones_v4)
    } else {
        mask.and_then(|mask| mask.as_sockaddr_in6()).map_or(128, ones_v6)
    };
    let has_broadcast = one.flags.contains(InterfaceFlags::IFF_BROADCAST) && ip.is_ipv4();
    let broadcast = one.broadcast.filter(|_| has_broadcast);
    Some(Interface {
        ip,
        number: if_nametoindex(one.interface_name.as_str()).unwrap_or_default(),
        broadcast: broadcast.and_then(|addr| addr.as_sockaddr_in().map(|addr| addr.ip())),
        prefix: u8::try_from(ones).unwrap_or(u8::MAX),
        multicast: one.flags.contains(InterfaceFlags::IFF_MULTICAST),
        name: one.interface_name,
    })
}

struct TokioTimer(Pin<Box<tokio::time::Sleep>>);

impl Timer for TokioTimer {
    fn reset(mut self: Pin<&mut Self>, at: Instant) {
        self.0.as_mut().reset(at.into());
    }

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        self.0.as_mut().poll(cx)
    }
}

#[derive(Debug)]
struct TokioListener {
    listener: TcpListener,
    local: SocketAddr,
}

impl Listener for TokioListener {
    fn poll_accept(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<Arc<dyn Stream>>> {
        let (stream, _) = ready!(self.listener.poll_accept(cx))?;
        Poll::Ready(TokioStream::new(stream).map(|stream| -> Arc<dyn Stream> { Arc::new(stream) }))
    }

    fn local_addr(&self) -> SocketAddr {
        self.local
    }
}

#[derive(Debug)]
struct TokioStream {
    stream: TcpStream,
    peer: SocketAddr,
    local: SocketAddr,
}

impl TokioStream {
    fn new(stream: TcpStream) -> io::Result<Self> {
        stream.set_nodelay(true)?;
        let (mut peer, local) = (stream.peer_addr()?, stream.local_addr()?);
        // At a socket for both families an IPv4 address comes in IPv6 clothes.
        peer.set_ip(peer.ip().to_canonical());
        Ok(Self { stream, peer, local })
    }
}

impl Stream for TokioStream {
    fn poll_read_ready(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.stream.poll_read_ready(cx)
    }

    fn try_read(&self, buf: &mut [u8]) -> io::Result<usize> {
        self.stream.try_read(buf)
    }

    fn poll_write_ready(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.stream.poll_write_ready(cx)
    }

    fn try_write_vectored(&self, bufs: &[IoSlice<'_>]) -> io::Result<usize> {
        self.stream.try_write_vectored(bufs)
    }

    fn shutdown_write(&self) {
        // An error means that the stream has ended already, which is what was asked for.
        let _ = socket2::SockRef::from(&self.stream).shutdown(std::net::Shutdown::Write);
    }

    fn peer_addr(&self) -> SocketAddr {
        self.peer
    }

    fn local_addr(&self) -> SocketAddr {
        self.local
    }
}
