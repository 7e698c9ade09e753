//! One host of a world, and its [`Platform`]: what an `Env` in the simulator stands on.
//!
//! When hosts start and die is left to `world.rs`.

use crate::agenda::TimerId;
use crate::clock::HostClock;
use crate::exec::HostId;
use crate::guarded::Guarded;
use crate::kernel::Kernel;
use crate::lan::SimLan;
use crate::net::SimSocket;
use crate::rng;
use crate::stream::{Connecting, SimListener};
use lattice_broker::env::{
    BoxFuture, Env, Interface, Lan, LanConfig, Listener, Platform, Rng, Stream, Timer, UdpSocket,
};
use std::collections::BTreeMap;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::task::{Context, Poll};
use std::time::{Duration, Instant, SystemTime};

/// What runs on a host: how a test starts the node that it is about.
///
/// Any `Fn(Host)` is one.
pub trait Process {
    /// Starts the program: spawns its first task on [`Host::env`] and returns. Called at each boot, so what should
    /// survive a crash (a key, a disk) is kept in the process, under [`Host::index`].
    fn start(&self, host: Host);
}

impl<F: Fn(Host)> Process for F {
    fn start(&self, host: Host) {
        self(host);
    }
}

/// A host from one boot to its end. Cheap to clone; of no effect after the end.
#[derive(Clone, Debug)]
pub struct Host {
    life: Arc<Life>,
}

impl Host {
    pub(crate) fn new(life: Arc<Life>) -> Self {
        Self { life }
    }

    /// The world as programs on this host see it.
    #[must_use]
    pub fn env(&self) -> Env {
        Env::new(self.life.clone())
    }

    /// This host's present address, with `port`.
    #[must_use]
    pub fn addr(&self, port: u16) -> SocketAddr {
        self.life.kernel.addr(self.life.host, port)
    }

    /// Its number in the world.
    #[must_use]
    pub fn index(&self) -> usize {
        self.life.host
    }

    /// How often it was restarted.
    #[must_use]
    pub fn incarnation(&self) -> u32 {
        self.life.incarnation
    }

    /// A number that is this host's own in this run, and the same in all its lives: to derive its keys from.
    #[must_use]
    pub fn seed(&self) -> u64 {
        rng::derive(self.life.kernel.seed, "host", self.life.host as u64)
    }

    /// True time since the world began. Programs know only their own clock; drivers and checks may ask.
    #[must_use]
    pub fn time(&self) -> Duration {
        Duration::from_nanos(self.life.kernel.clock.now())
    }
}

/// A host between a boot and a kill.
#[derive(Debug)]
pub(crate) struct Life {
    kernel: Arc<Kernel>,
    host: HostId,
    incarnation: u32,
    alive: AtomicBool,
    /// How often each random stream was asked for.
    labels: Guarded<BTreeMap<String, u64>>,
}

impl Life {
    pub(crate) fn new(kernel: Arc<Kernel>, host: HostId, incarnation: u32) -> Self {
        Self { kernel, host, incarnation, alive: AtomicBool::new(true), labels: Guarded::default() }
    }

    /// From now on nothing can be spawned or opened.
    pub(crate) fn end(&self) {
        self.alive.store(false, Relaxed);
    }

    fn clock(&self) -> &HostClock {
        &self.kernel.clocks[self.host]
    }

    fn check(&self) -> io::Result<()> {
        if self.alive.load(Relaxed) { Ok(()) } else { Err(io::ErrorKind::NetworkDown.into()) }
    }

    /// `localhost` and `host-3` are names; everything else must be an address.
    fn lookup(&self, host_port: &str) -> io::Result<SocketAddr> {
        if let Ok(addr) = host_port.parse() {
            return Ok(addr);
        }
        let bad = |why| io::Error::new(io::ErrorKind::InvalidInput, why);
        let (name, port) = host_port.rsplit_once(':').ok_or_else(|| bad("no port"))?;
        let port: u16 = port.parse().map_err(|_| bad("no port"))?;
        if name == "localhost" {
            return Ok((Ipv4Addr::LOCALHOST, port).into());
        }
        let host = name.strip_prefix("host-").and_then(|index| index.parse().ok());
        let host = host.filter(|host| *host < self.kernel.hosts);
        let host = host.ok_or_else(|| io::Error::new(io::ErrorKind::NotFound, "the name has no address"))?;
        Ok(self.kernel.addr(host, port))
    }
}

impl Platform for Life {
    fn spawn(&self, task: BoxFuture<()>) {
        if self.alive.load(Relaxed) {
            self.kernel.inbox.spawn(self.host, task);
        }
    }

    fn timer(&self, at: Instant) -> Pin<Box<dyn Timer>> {
        let (deadline, fault) = self.clock().deadline(&self.kernel.clock, at);
        let id = self.kernel.with(|state, _| {
            state.links.faults.bite_all(fault);
            state.agenda.new_timer(self.host, deadline)
        });
        Box::pin(SimTimer { kernel: self.kernel.clone(), id, host: self.host })
    }

    fn now(&self) -> Instant {
        self.clock().instant(&self.kernel.clock)
    }

    fn wall(&self) -> SystemTime {
        let (wall, faults) = self.clock().wall(&self.kernel.clock);
        if !faults.is_empty() {
            self.kernel.with(|state, _| state.links.faults.bite_all(faults));
        }
        wall
    }

    fn rng(&self, label: &str) -> Rng {
        let nth = {
            let mut labels = self.labels.lock();
            let count = labels.entry(label.to_owned()).or_default();
            *count += 1;
            *count
        };
        let life = (self.host as u64) << 32 | u64::from(self.incarnation);
        rng::env_rng(self.kernel.seed, label, rng::derive(life, "nth", nth))
    }

    fn udp_bind(&self, addr: SocketAddr) -> io::Result<UdpSocket> {
        self.check()?;
        let socket = SimSocket::bind(&self.kernel, self.host, addr)?;
        Ok(UdpSocket::Virtual(Arc::new(socket)))
    }

    fn tcp_listen(&self, addr: SocketAddr) -> io::Result<Box<dyn Listener>> {
        self.check()?;
        Ok(Box::new(SimListener::bind(&self.kernel, self.host, addr)?))
    }

    fn tcp_connect(&self, addr: SocketAddr) -> BoxFuture<io::Result<Arc<dyn Stream>>> {
        let (kernel, host, alive) = (self.kernel.clone(), self.host, self.check());
        Box::pin(async move {
            alive?;
            Connecting::new(&kernel, host, addr)?.await
        })
    }

    fn resolve(&self, host_port: &str) -> BoxFuture<io::Result<Vec<SocketAddr>>> {
        let result = self.lookup(host_port).map(|addr| vec![addr]);
        Box::pin(std::future::ready(result))
    }

    /// One, with the host's present address.
    fn interfaces(&self) -> Vec<Interface> {
        let ip = self.kernel.addr(self.host, 0).ip();
        vec![Interface { name: "sim0".to_owned(), number: 1, ip, broadcast: None, prefix: 0, multicast: false }]
    }

    fn lan(&self, config: &LanConfig) -> io::Result<Arc<dyn Lan>> {
        self.check()?;
        Ok(Arc::new(SimLan::open(&self.kernel, self.host, config.port)?))
    }
}

#[derive(Debug)]
struct SimTimer {
    kernel: Arc<Kernel>,
    id: TimerId,
    host: HostId,
}

impl Timer for SimTimer {
    fn reset(self: Pin<&mut Self>, at: Instant) {
        let (deadline, fault) = self.kernel.clocks[self.host].deadline(&self.kernel.clock, at);
        self.kernel.with(|state, _| {
            state.links.faults.bite_all(fault);
            state.agenda.reset_timer(self.id, deadline);
        });
    }

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let due = self.kernel.with(|state, now| state.agenda.poll_timer(self.id, now, cx.waker()));
        if due { Poll::Ready(()) } else { Poll::Pending }
    }
}

impl Drop for SimTimer {
    fn drop(&mut self) {
        drop(self.kernel.with(|state, _| state.agenda.drop_timer(self.id)));
    }
}
