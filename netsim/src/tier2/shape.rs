//! What becomes of each packet between the hosts: where it goes, when it leaves, or that it is lost.
//!
//! Sans-IO: packets and the time come in, departures go out. The fates are the simulator's own ([`Links`]), so that a
//! figure means the same here as there; reading and writing are `switch`'s.

use crate::clock::Nanos;
use crate::exec::HostId;
use crate::link::{FaultId, Link, Links};
use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::net::Ipv4Addr;
use std::time::Duration;

/// Hosts of one network.
pub(crate) const HOSTS_MAX: usize = 250;
/// The largest packet that the devices carry, with its headers.
pub(crate) const PACKET_MAX: usize = 1500;
/// What IPv4 and UDP put in front of a datagram: the simulator's links count datagrams.
pub(crate) const HEADERS: usize = 28;
/// Packets under way together take at most this much; further ones are lost.
const HELD_BYTES_MAX: usize = 64 << 20;

/// The address of a host that has moved so many times. After 255 moves the addresses come again.
pub(crate) fn address(host: HostId, moves: u8) -> Ipv4Addr {
    let last = u8::try_from(host + 1).expect("there are at most HOSTS_MAX hosts");
    Ipv4Addr::new(10, 99, moves, last)
}

/// To which host an IPv4 packet goes, and how often that has moved when it has this address; `None` when it is no such
/// packet, or goes elsewhere.
fn destination(packet: &[u8]) -> Option<(HostId, u8)> {
    let (&first, to) = (packet.first()?, packet.get(16..20)?);
    let [10, 99, moves, last] = *to else { return None };
    if first >> 4 == 4 { Some((usize::from(last).checked_sub(1)?, moves)) } else { None }
}

/// A packet that leaves now.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Departure {
    /// When it should have.
    pub(crate) due: Nanos,
    /// Among those that are due in the same moment, what came first goes first.
    order: u64,
    pub(crate) to: HostId,
    pub(crate) packet: Vec<u8>,
}

#[derive(Debug)]
pub(crate) struct Shape {
    /// How often each host has moved, with the fault that did so last.
    moves: Vec<(u8, Option<FaultId>)>,
    links: Links,
    under_way: BinaryHeap<Reverse<Departure>>,
    held_bytes: usize,
    order: u64,
}

impl Shape {
    /// Calm: with `link` between any two of `hosts`. All chance comes from `seed`, per directed pair.
    pub(crate) fn new(seed: u64, hosts: usize, link: Link) -> Self {
        let links = Links::new(seed, hosts, link, Duration::ZERO);
        Self { moves: vec![(0, None); hosts], links, under_way: BinaryHeap::new(), held_bytes: 0, order: 0 }
    }

    pub(crate) fn links(&mut self) -> &mut Links {
        &mut self.links
    }

    /// The address of a host now.
    pub(crate) fn address(&self, host: HostId) -> Ipv4Addr {
        address(host, self.moves[host].0)
    }

    /// Gives a host another address. What is sent to the one before hits `fault`, and gets nowhere.
    pub(crate) fn readdress(&mut self, host: HostId, fault: FaultId) {
        let (moves, by) = &mut self.moves[host];
        (*moves, *by) = (moves.wrapping_add(1), Some(fault));
    }

    /// The host that has the address to which a packet goes.
    fn taker(&mut self, packet: &[u8]) -> Option<HostId> {
        let (host, moves) = destination(packet)?;
        let &(now, by) = self.moves.get(host)?;
        if moves == now {
            return Some(host);
        }
        self.links.counters.misaddressed += 1;
        if let Some(fault) = by {
            self.links.faults.bite(fault, 1);
        }
        None
    }

    /// Takes in a packet that `from` sends now.
    pub(crate) fn packet(&mut self, now: Nanos, from: HostId, packet: &[u8]) {
        // Kernels also send what is for nobody here: multicast, IPv6.
        let Some(to) = self.taker(packet).filter(|to| *to != from) else { return };
        self.links.counters.sent += 1;
        self.links.counters.sent_bytes += packet.len() as u64;
        let datagram = packet.len().saturating_sub(HEADERS);
        for due in self.links.datagram(now, from, to, datagram).arrivals.into_iter().flatten() {
            if self.held_bytes + packet.len() > HELD_BYTES_MAX {
                self.links.counters.overflowed += 1;
                continue;
            }
            self.order += 1;
            self.held_bytes += packet.len();
            self.under_way.push(Reverse(Departure { due, order: self.order, to, packet: packet.to_vec() }));
        }
    }

    /// The next packet that is due by `now`. Ask until there is none.
    pub(crate) fn departure(&mut self, now: Nanos) -> Option<Departure> {
        if self.next_due()? > now {
            return None;
        }
        let Reverse(departure) = self.under_way.pop()?;
        self.held_bytes -= departure.packet.len();
        // The host may have moved while the packet was under way: its device drops what is not for it.
        self.taker(&departure.packet);
        self.links.counters.delivered += 1;
        Some(departure)
    }

    /// When to ask again.
    pub(crate) fn next_due(&self) -> Option<Nanos> {
        self.under_way.peek().map(|Reverse(departure)| departure.due)
    }
}

#[cfg(test)]
mod tests;
