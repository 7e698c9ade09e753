//! Datagrams: sockets, and the packets between them.
//!
//! Whether and when a packet arrives is decided in `link.rs`.

use crate::agenda::{Event, remember};
use crate::clock::Nanos;
use crate::exec::HostId;
use crate::kernel::{Kernel, Wire};
use crate::link::Passage;
use crate::ports::{Addresses, Ports, Route};
use crate::rng::Dice;
use bytes::Bytes;
use lattice_broker::env::{Datagram, VirtualUdp};
use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4};
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

/// Bytes that wait in a socket for its reader; later ones are lost and counted.
const RECEIVE_BYTES_MAX: usize = 1024 * 1024;

#[derive(Clone, Debug)]
struct Packet {
    /// The hosts, and the addresses as the packet carries them.
    hosts: (HostId, HostId),
    /// Its number among those from the one to the other; none for a second copy.
    nth: Option<u64>,
    from: SocketAddrV4,
    to: SocketAddrV4,
    ecn: u8,
    data: Bytes,
}

#[derive(Debug)]
struct Socket {
    host: HostId,
    local: SocketAddrV4,
    received: VecDeque<Packet>,
    received_bytes: usize,
    waker: Option<Waker>,
}

/// All datagram sockets of a world, and what is on its way.
#[derive(Debug)]
pub(crate) struct Datagrams {
    ports: Ports,
    sockets: BTreeMap<u64, Socket>,
    opened: u64,
    flying: Vec<Option<Packet>>,
    free: Vec<usize>,
}

impl Datagrams {
    pub(crate) fn new(hosts: usize) -> Self {
        let (ports, sockets) = (Ports::new(hosts), BTreeMap::new());
        Self { ports, sockets, opened: 0, flying: Vec::new(), free: Vec::new() }
    }

    fn bind(&mut self, addresses: &Addresses, host: HostId, addr: SocketAddr) -> io::Result<(u64, SocketAddrV4)> {
        let local = self.ports.bind(addresses, host, addr, self.opened)?;
        let id = self.opened;
        self.opened += 1;
        self.sockets.insert(id, Socket { host, local, received: VecDeque::new(), received_bytes: 0, waker: None });
        Ok((id, local))
    }

    fn close(&mut self, id: u64) {
        if let Some(socket) = self.sockets.remove(&id) {
            self.ports.free(socket.host, socket.local.port(), id);
        }
    }

    /// Closes all sockets of `host`.
    pub(crate) fn kill(&mut self, host: HostId) {
        for id in self.ports.clear(host) {
            self.sockets.remove(&id);
        }
    }

    fn send(&mut self, wire: &mut Wire<'_>, id: u64, to: SocketAddrV4, data: &[u8], ecn: u8) {
        // The socket of a killed host is gone: what is sent while its tasks are dropped never leaves.
        let Some(socket) = self.sockets.get(&id) else { return };
        let ip = wire.addresses.source(socket.host, *socket.local.ip(), *to.ip());
        let from = SocketAddrV4::new(ip, socket.local.port());
        wire.links.counters.sent += 1;
        wire.links.counters.sent_bytes += data.len() as u64;
        let Some(target) = wire.route(socket.host, *to.ip()) else { return };
        wire.trace_addresses(from, to);
        wire.trace.bytes(data);
        let hosts = (socket.host, target);
        let Passage { nth, arrivals: [first, second], flips } =
            wire.links.datagram(wire.now, hosts.0, hosts.1, data.len());
        let Some(first) = first else { return };
        let mut packet = Packet { hosts, nth: Some(nth), from, to, ecn: ecn & 3, data: Bytes::copy_from_slice(data) };
        if let Some(second) = second {
            self.launch(wire, second, Packet { nth: None, ..packet.clone() });
        }
        if let Some(dice) = flips {
            packet.data = flipped(data, dice);
            wire.trace.bytes(&packet.data);
        }
        self.launch(wire, first, packet);
    }

    fn launch(&mut self, wire: &mut Wire<'_>, at: Nanos, packet: Packet) {
        let slot = self.free.pop().unwrap_or_else(|| {
            self.flying.push(None);
            self.flying.len() - 1
        });
        self.flying[slot] = Some(packet);
        wire.agenda.schedule(at, Event::Datagram(slot));
    }

    /// The packet in `slot` reaches its host, unless it has been cut off on the way.
    pub(crate) fn arrive(&mut self, wire: &mut Wire<'_>, slot: usize) {
        let Some(packet) = self.flying[slot].take() else { return };
        self.free.push(slot);
        let (from, to) = packet.hosts;
        if wire.links.is_cut_under_way(from, to, packet.nth) {
            return;
        }
        if wire.route(to, *packet.to.ip()).is_none() {
            return;
        }
        let holder = self.ports.holder(to, packet.to).and_then(|id| self.sockets.get_mut(&id));
        let Some(socket) = holder else {
            wire.links.counters.unheard += 1;
            return;
        };
        if socket.received_bytes + packet.data.len() > RECEIVE_BYTES_MAX {
            wire.links.counters.overflowed += 1;
            return;
        }
        wire.links.counters.delivered += 1;
        wire.trace_addresses(packet.from, packet.to);
        socket.received_bytes += packet.data.len();
        socket.received.push_back(packet);
        wire.wakes.extend(socket.waker.take());
    }

    fn receive(&mut self, id: u64, waker: &Waker, buf: &mut [u8]) -> Poll<io::Result<Datagram>> {
        let Some(socket) = self.sockets.get_mut(&id) else {
            return Poll::Ready(Err(io::ErrorKind::NetworkDown.into()));
        };
        let Some(packet) = socket.received.pop_front() else {
            remember(&mut socket.waker, waker);
            return Poll::Pending;
        };
        socket.received_bytes -= packet.data.len();
        let len = packet.data.len().min(buf.len());
        buf[..len].copy_from_slice(&packet.data[..len]);
        Poll::Ready(Ok(Datagram { len, from: packet.from.into(), to: packet.to.into(), ecn: packet.ecn }))
    }

    /// Sockets that exist: a leak shows here.
    pub(crate) fn sockets(&self) -> usize {
        self.sockets.len()
    }
}

/// The same bytes, but for one to eight bits of one of them.
fn flipped(data: &[u8], mut dice: Dice) -> Bytes {
    let mut data = data.to_vec();
    let at = dice.below(data.len() as u64) as usize;
    if let Some(byte) = data.get_mut(at) {
        *byte ^= 1 + dice.below(255) as u8;
    }
    data.into()
}

impl Wire<'_> {
    /// The host that a datagram from `from` to `ip` is for. When there is none, that is counted.
    fn route(&mut self, from: HostId, ip: Ipv4Addr) -> Option<HostId> {
        match self.addresses.route(from, ip) {
            Route::To(host) => return Some(host),
            Route::Left(fault) => {
                self.links.counters.misaddressed += 1;
                self.links.faults.bite(fault, 1);
            }
            Route::Nowhere => self.links.counters.unheard += 1,
        }
        None
    }

    /// Puts the moment and both addresses into the trace.
    pub(crate) fn trace_addresses(&mut self, from: SocketAddrV4, to: SocketAddrV4) {
        let word = |addr: SocketAddrV4| u64::from(addr.ip().to_bits()) << 16 | u64::from(addr.port());
        self.trace.word(self.now);
        self.trace.word(word(from));
        self.trace.word(word(to));
    }
}

/// A socket as its owner holds it. Dropping it closes it.
#[derive(Debug)]
pub(crate) struct SimSocket {
    kernel: Arc<Kernel>,
    id: u64,
    local: SocketAddr,
}

impl SimSocket {
    pub(crate) fn bind(kernel: &Arc<Kernel>, host: HostId, addr: SocketAddr) -> io::Result<Self> {
        let (id, local) = kernel.with(|state, _| state.datagrams.bind(&state.addresses, host, addr))?;
        Ok(Self { kernel: kernel.clone(), id, local: local.into() })
    }
}

impl VirtualUdp for SimSocket {
    fn send(&self, to: SocketAddr, data: &[u8], ecn: u8) {
        self.kernel.with(|state, now| {
            let (datagrams, mut wire) = state.datagrams(now);
            match to {
                SocketAddr::V4(to) => datagrams.send(&mut wire, self.id, to, data, ecn),
                SocketAddr::V6(_) => wire.links.counters.unheard += 1,
            }
        });
    }

    fn poll_recv(&self, cx: &mut Context<'_>, buf: &mut [u8]) -> Poll<io::Result<Datagram>> {
        self.kernel.with(|state, _| state.datagrams.receive(self.id, cx.waker(), buf))
    }

    fn local_addr(&self) -> SocketAddr {
        self.local
    }
}

impl Drop for SimSocket {
    fn drop(&mut self) {
        self.kernel.with(|state, _| state.datagrams.close(self.id));
    }
}
