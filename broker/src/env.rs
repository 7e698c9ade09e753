//! Time, tasks, randomness and sockets, as one value that is handed down from whoever runs the code.
//!
//! [`Env`] is the only door to the outside: production opens it on tokio ([`Env::tokio`]), the simulator
//! on a seeded executor with a virtual clock, and everything between is the same code. The banned ways
//! around it (`Instant::now`, `tokio::spawn`, `tokio::net`, …) are listed in `.clippy.toml`.
//! What is stored on disk is left to the node; what is said over the sockets, to everyone else.

mod lan;
mod real;
mod usage;

use std::fmt;
use std::future::{Future, poll_fn};
use std::io::{self, IoSlice};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant, SystemTime};

/// A cryptographic generator: seeded by the operating system in production, by the run's seed in the simulator.
pub type Rng = rand_chacha::ChaCha12Rng;

/// A boxed future that may move between threads.
pub type BoxFuture<T> = Pin<Box<dyn Future<Output = T> + Send>>;

/// What an [`Env`] stands on. Implemented for tokio here and for virtual time by the simulator.
pub trait Platform: Send + Sync + fmt::Debug + 'static {
    /// Runs `task` until it ends or its owner is killed.
    fn spawn(&self, task: BoxFuture<()>);
    /// Runs `work`, which takes the CPU for long, where it does not hold up tasks; at once, where there is no such place.
    fn work(&self, work: Box<dyn FnOnce() + Send>) {
        work();
    }
    /// A timer that fires at `at`.
    fn timer(&self, at: Instant) -> Pin<Box<dyn Timer>>;
    /// The monotonic clock.
    fn now(&self) -> Instant;
    /// The wall clock: a hint, which may be wrong and may step.
    fn wall(&self) -> SystemTime;
    /// An independent random stream named `label`: a new consumer never shifts another's numbers.
    fn rng(&self, label: &str) -> Rng;
    /// Opens a datagram socket. Port 0 picks a free one.
    ///
    /// # Errors
    /// What the operating system says, [`io::ErrorKind::AddrInUse`] among them.
    fn udp_bind(&self, addr: SocketAddr) -> io::Result<UdpSocket>;
    /// Listens for streams. Port 0 picks a free one.
    ///
    /// # Errors
    /// What the operating system says, [`io::ErrorKind::AddrInUse`] among them.
    fn tcp_listen(&self, addr: SocketAddr) -> io::Result<Box<dyn Listener>>;
    /// Opens a stream. Dropping the future gives the attempt up.
    fn tcp_connect(&self, addr: SocketAddr) -> BoxFuture<io::Result<Arc<dyn Stream>>>;
    /// The addresses of `host:port`, in the order to try them; never empty when it is `Ok`.
    fn resolve(&self, host_port: &str) -> BoxFuture<io::Result<Vec<SocketAddr>>>;
    /// The addresses of the network interfaces that are up at this moment; none when the system does not tell.
    fn interfaces(&self) -> Vec<Interface>;
    /// What this process takes of the machine; nothing where that is not known.
    fn usage(&self) -> Usage {
        Usage::default()
    }
    /// Opens the local network: calls to all hosts on it.
    ///
    /// # Errors
    /// What the operating system says; [`io::ErrorKind::Unsupported`] where there is no such network.
    fn lan(&self, config: &LanConfig) -> io::Result<Arc<dyn Lan>>;
}

/// What a process takes of the machine.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Usage {
    /// Bytes of memory that are its own at this moment.
    pub memory: u64,
    /// Percent of one core since it was asked last, at most once a second.
    pub cpu_percent: f64,
}

/// Which local networks are meant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LanConfig {
    /// The UDP port of the calls. Other programs on the machine may have it as well.
    pub port: u16,
    /// Where the caller can be reached: an interface's address or an unspecified one. An unspecified IPv6 one stands for
    /// IPv4 as well.
    pub listen: IpAddr,
    /// The interfaces to use, by name; all of them when none is named.
    pub interfaces: Vec<String>,
}

/// The hosts on the networks that this one is on. Calls are datagrams: they may be lost, doubled and forged, and this host
/// hears its own.
pub trait Lan: Send + Sync + fmt::Debug + 'static {
    /// Looks whether interfaces have come or gone, and uses those that there are now. True when they are others.
    fn refresh(&self) -> bool;
    /// Calls to all, once for each network and family of addresses. Never waits: what cannot be sent is lost.
    fn send(&self, data: &[u8]);
    /// Receives a call into `buf`, cut off where that ends: its length, and who has called. Anybody may have who has a way to
    /// this machine: see [`Lan::is_attached`].
    fn poll_recv(&self, cx: &mut Context<'_>, buf: &mut [u8]) -> Poll<io::Result<(usize, SocketAddr)>>;
    /// Whether `source` is an address in one of the networks that calls go to.
    fn is_attached(&self, source: IpAddr) -> bool;
}

/// An address of a network interface that is up. One with several addresses comes several times.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Interface {
    /// Its name.
    pub name: String,
    /// Its number, by which a socket sends on it.
    pub number: u32,
    /// The address.
    pub ip: IpAddr,
    /// The address by which all hosts on it are reached at once, where there is one.
    pub broadcast: Option<Ipv4Addr>,
    /// How many leading bits of the address name its network.
    pub prefix: u8,
    /// Whether it knows groups of hosts.
    pub multicast: bool,
}

impl Interface {
    /// Whether `other` is an address in the same network.
    #[must_use]
    pub fn is_near(&self, other: IpAddr) -> bool {
        match (self.ip, other.to_canonical()) {
            (IpAddr::V4(ip), IpAddr::V4(other)) => {
                let differing = ip.to_bits() ^ other.to_bits();
                differing.leading_zeros() >= u32::from(self.prefix.min(32))
            }
            (IpAddr::V6(ip), IpAddr::V6(other)) => {
                let differing = ip.to_bits() ^ other.to_bits();
                differing.leading_zeros() >= u32::from(self.prefix.min(128))
            }
            (IpAddr::V4(_), IpAddr::V6(_)) | (IpAddr::V6(_), IpAddr::V4(_)) => false,
        }
    }
}

/// A timer that can be moved without being made anew.
pub trait Timer: Send {
    /// Moves the deadline; a later `poll` goes by the new one.
    fn reset(self: Pin<&mut Self>, at: Instant);
    /// Ready once the deadline has passed, and on every poll after that.
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()>;
}

/// A connected byte stream that any task may write to and one task waits on.
///
/// It is readiness based, so that a reading task can write straight into another connection's socket without
/// waking that connection's own task. `try_read` and `try_write_vectored` never wait: when nothing can be done
/// they return [`io::ErrorKind::WouldBlock`], after which the `poll_*_ready` of the same direction is pending
/// until something can. Each direction keeps one waker, the last one that polled.
pub trait Stream: Send + Sync + fmt::Debug + 'static {
    /// Ready when `try_read` is worth calling.
    fn poll_read_ready(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>>;
    /// Reads what is there. `Ok(0)` means that the peer will send no more.
    ///
    /// # Errors
    /// `WouldBlock` when nothing is there; anything else ends the stream.
    fn try_read(&self, buf: &mut [u8]) -> io::Result<usize>;
    /// Ready when `try_write_vectored` is worth calling.
    fn poll_write_ready(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>>;
    /// Writes a prefix of `bufs` and returns its length in bytes.
    ///
    /// # Errors
    /// `WouldBlock` when nothing fits; anything else ends the stream.
    fn try_write_vectored(&self, bufs: &[IoSlice<'_>]) -> io::Result<usize>;
    /// Tells the peer that no more will be written. What was written before still arrives.
    fn shutdown_write(&self);
    /// What the peer is told when writing ends, where the protocol has a way to say it: a WebSocket's status and reason.
    /// Without effect once it has been told.
    fn set_farewell(&self, _code: u16, _text: &str) {}
    /// The address of the other end.
    fn peer_addr(&self) -> SocketAddr;
    /// The address of this end.
    fn local_addr(&self) -> SocketAddr;
}

/// Whether `error` leaves a stream as it is: the same may be tried again.
#[must_use]
pub fn is_passing(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted)
}

/// Writes all of `bytes`, which nobody else writes to `stream` meanwhile. Dropped before, a part of them is written.
///
/// # Errors
/// As [`Stream::try_write_vectored`]; [`io::ErrorKind::WriteZero`] when the stream takes nothing more.
pub async fn write_all(stream: &dyn Stream, mut bytes: &[u8]) -> io::Result<()> {
    while !bytes.is_empty() {
        poll_fn(|cx| stream.poll_write_ready(cx)).await?;
        match stream.try_write_vectored(&[IoSlice::new(bytes)]) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(written) => bytes = &bytes[written..],
            Err(error) if is_passing(&error) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// Accepts streams. Dropping it closes the port.
pub trait Listener: Send + fmt::Debug + 'static {
    /// The next stream. An error concerns one attempt (or a passing lack of descriptors), not the listener.
    fn poll_accept(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<Arc<dyn Stream>>>;
    /// Where it listens, with the port that was picked.
    fn local_addr(&self) -> SocketAddr;
}

/// A datagram socket: the operating system's, or a simulated one.
#[derive(Debug)]
pub enum UdpSocket {
    /// A bound, non-blocking socket. Its owner may use all that the system offers (segmentation offload, ECN).
    Os(std::net::UdpSocket),
    /// A socket of a simulated network.
    Virtual(Arc<dyn VirtualUdp>),
}

/// A simulated datagram socket. Sending never blocks: what the network cannot take, it loses.
pub trait VirtualUdp: Send + Sync + fmt::Debug + 'static {
    /// Sends one datagram, with its two ECN bits.
    fn send(&self, to: SocketAddr, data: &[u8], ecn: u8);
    /// Receives one datagram into `buf`; what does not fit is cut off.
    fn poll_recv(&self, cx: &mut Context<'_>, buf: &mut [u8]) -> Poll<io::Result<Datagram>>;
    /// The bound address.
    fn local_addr(&self) -> SocketAddr;
}

/// What [`VirtualUdp::poll_recv`] says of the datagram that it wrote.
#[derive(Clone, Copy, Debug)]
pub struct Datagram {
    /// Bytes written to the buffer.
    pub len: usize,
    /// Who sent it.
    pub from: SocketAddr,
    /// The address that it was sent to.
    pub to: SocketAddr,
    /// Its two ECN bits.
    pub ecn: u8,
}

/// The world as one task tree sees it. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Env {
    platform: Arc<dyn Platform>,
}

impl Env {
    /// An `Env` on `platform`.
    #[must_use]
    pub fn new(platform: Arc<dyn Platform>) -> Self {
        Self { platform }
    }

    /// The real world, on the tokio runtime of the caller.
    ///
    /// # Panics
    /// When called outside a tokio runtime.
    #[must_use]
    pub fn tokio() -> Self {
        Self::new(Arc::new(real::Tokio::current()))
    }

    /// Runs `task` in the background. It ends by itself, or with the process (or simulated node).
    pub fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        self.platform.spawn(Box::pin(task));
    }

    /// Runs `work`, which takes the CPU for long, beside the tasks, and returns its result. Once begun it is carried
    /// out, even when the future is dropped. `None` when it has panicked.
    pub async fn work<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> Option<T> {
        let (done, result) = tokio::sync::oneshot::channel();
        // Nobody may be waiting any more.
        self.platform.work(Box::new(move || drop(done.send(work()))));
        result.await.ok()
    }

    /// The monotonic clock.
    #[must_use]
    pub fn now(&self) -> Instant {
        self.platform.now()
    }

    /// The wall clock: a hint, which may be wrong and may step.
    #[must_use]
    pub fn wall(&self) -> SystemTime {
        self.platform.wall()
    }

    /// An independent random stream named `label`.
    #[must_use]
    pub fn rng(&self, label: &str) -> Rng {
        self.platform.rng(label)
    }

    /// A timer that can be polled and moved.
    #[must_use]
    pub fn timer(&self, at: Instant) -> Pin<Box<dyn Timer>> {
        self.platform.timer(at)
    }

    /// Waits until `at`. Cancel safe.
    pub async fn sleep_until(&self, at: Instant) {
        let mut timer = self.timer(at);
        poll_fn(|cx| timer.as_mut().poll(cx)).await;
    }

    /// Waits for `duration`. Cancel safe.
    pub async fn sleep(&self, duration: Duration) {
        self.sleep_until(self.now() + duration).await;
    }

    /// Waits for `future`, at most for `duration`. Cancel safe when `future` is.
    ///
    /// # Errors
    /// [`Elapsed`] when the time is up first; `future` is dropped then.
    pub async fn timeout<T>(&self, duration: Duration, future: impl Future<Output = T>) -> Result<T, Elapsed> {
        let mut timer = self.timer(self.now() + duration);
        let mut future = std::pin::pin!(future);
        poll_fn(|cx| match future.as_mut().poll(cx) {
            Poll::Ready(value) => Poll::Ready(Ok(value)),
            Poll::Pending => timer.as_mut().poll(cx).map(|()| Err(Elapsed)),
        })
        .await
    }

    /// Opens a datagram socket.
    ///
    /// # Errors
    /// As [`Platform::udp_bind`].
    pub fn udp_bind(&self, addr: SocketAddr) -> io::Result<UdpSocket> {
        self.platform.udp_bind(addr)
    }

    /// Listens for streams.
    ///
    /// # Errors
    /// As [`Platform::tcp_listen`].
    pub fn tcp_listen(&self, addr: SocketAddr) -> io::Result<Box<dyn Listener>> {
        self.platform.tcp_listen(addr)
    }

    /// Opens a stream. Cancel safe.
    ///
    /// # Errors
    /// What the network says; the caller tries another address, or later.
    pub async fn tcp_connect(&self, addr: SocketAddr) -> io::Result<Arc<dyn Stream>> {
        self.platform.tcp_connect(addr).await
    }

    /// Looks `host:port` up.
    ///
    /// # Errors
    /// When the text is no `host:port` or the name is unknown.
    pub async fn resolve(&self, host_port: &str) -> io::Result<Vec<SocketAddr>> {
        self.platform.resolve(host_port).await
    }

    /// The addresses of the network interfaces that are up at this moment: they come and go.
    #[must_use]
    pub fn interfaces(&self) -> Vec<Interface> {
        self.platform.interfaces()
    }

    /// What this process takes of the machine.
    #[must_use]
    pub fn usage(&self) -> Usage {
        self.platform.usage()
    }

    /// Opens the local network.
    ///
    /// # Errors
    /// As [`Platform::lan`].
    pub fn lan(&self, config: &LanConfig) -> io::Result<Arc<dyn Lan>> {
        self.platform.lan(config)
    }
}

/// The time of [`Env::timeout`] was up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("timed out")]
pub struct Elapsed;
