//! A network of real kernels: namespaces, the switch between them, and the faults upon it.

use super::Lateness;
use super::namespaces::{NamespaceError, Namespaces};
use super::shape::{HEADERS, PACKET_MAX, Shape};
use super::switch::Switch;
use crate::clock::Nanos;
use crate::link::{Bite, Counters, Degrade, FaultId, Link, Links};
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::path::PathBuf;
use std::time::Duration;

/// Hosts with a kernel each, and links between any two of them.
///
/// Dropping it ends all processes in its namespaces and removes these.
#[derive(Debug)]
pub struct Network {
    // The switch goes first: it has the devices.
    switch: Switch,
    namespaces: Namespaces,
}

impl Network {
    /// Makes `hosts` namespaces with `link` between any two. All chance comes from `seed`.
    ///
    /// The figures of links are about IPv4 packets; a `mtu_bytes` is about what UDP has in them, as in the simulator.
    ///
    /// # Errors
    /// [`NamespaceError`], whose remedy says how to get namespaces here.
    pub fn new(seed: u64, hosts: usize, link: Link) -> Result<Self, NamespaceError> {
        let (namespaces, devices) = Namespaces::make(hosts)?;
        let link = Link { mtu_bytes: link.mtu_bytes.min(PACKET_MAX - HEADERS), ..link };
        let switch = Switch::start(Shape::new(seed, hosts, link), devices)
            .map_err(|error| NamespaceError::system("start the switch", error))?;
        Ok(Self { switch, namespaces })
    }

    /// The address of a host, as it is now.
    ///
    /// # Panics
    /// When there is no such host; so do all others that are given one.
    #[must_use]
    pub fn address(&self, host: usize) -> Ipv4Addr {
        self.switch.shared.shape.lock().address(host)
    }

    /// The file by which the namespace of a host is entered.
    #[must_use]
    pub fn namespace(&self, host: usize) -> PathBuf {
        self.namespaces.path(host)
    }

    /// A UDP socket on a host, at its address and `port`.
    ///
    /// # Errors
    /// What the system says.
    pub fn udp(&self, host: usize, port: u16) -> Result<UdpSocket, NamespaceError> {
        let address = SocketAddr::from((self.address(host), port));
        let bound = self.namespaces.inside(host, || UdpSocket::bind(address))?;
        bound.map_err(|error| NamespaceError::system(format!("listen on {address}"), error))
    }

    /// When it was made, by [`monotonic`](super::monotonic): faults count from there.
    #[must_use]
    pub fn began(&self) -> Duration {
        self.switch.shared.began
    }

    /// Gives one direction between two hosts its own link.
    pub fn set(&self, from: usize, to: usize, link: Link) {
        self.links(|_, links| links.set(from, to, link));
    }

    /// Lets nothing through from now on but between these pairs of hosts, both ways.
    pub fn close(&self, pairs: &[(usize, usize)]) {
        self.links(|_, links| links.close(pairs));
    }

    /// Gives a host another address of the same network. What is sent to the old one, or under way to it, gets nowhere;
    /// such packets are the hits of this fault.
    ///
    /// # Errors
    /// What the system says.
    pub fn readdress(&self, host: usize) -> Result<FaultId, NamespaceError> {
        let fault = self.note(format!("another address for {host}"));
        let before = self.address(host);
        self.switch.shared.shape.lock().readdress(host, fault);
        self.namespaces.readdress(host, before, self.address(host))?;
        Ok(fault)
    }

    /// Stops everything between groups of hosts; those in no group notice nothing.
    pub fn partition(&self, groups: &[&[usize]]) -> FaultId {
        self.links(|now, links| links.faults.partition(now, groups))
    }

    /// Stops everything from some hosts to others, and back when `both_ways`.
    pub fn cut(&self, from: &[usize], to: &[usize], both_ways: bool) -> FaultId {
        self.links(|now, links| links.faults.cut(now, from, to, both_ways))
    }

    /// Worsens the links from some hosts to others, and back when `both_ways`.
    pub fn degrade(&self, from: &[usize], to: &[usize], both_ways: bool, degrade: Degrade) -> FaultId {
        self.links(|now, links| links.faults.degrade(now, from, to, both_ways, degrade))
    }

    /// Notes a fault that the caller does to processes; each of its `hits` is then a [`Network::bite`].
    pub fn note(&self, what: String) -> FaultId {
        self.links(|now, links| links.faults.note(now, what))
    }

    /// Counts hits of a fault.
    pub fn bite(&self, fault: FaultId, hits: u64) {
        self.links(|_, links| links.faults.bite(fault, hits));
    }

    /// Ends a fault.
    pub fn lift(&self, fault: FaultId) {
        self.links(|now, links| links.lift(now, fault));
    }

    /// All faults so far, and how often each bit.
    #[must_use]
    pub fn bites(&self) -> Vec<Bite> {
        self.links(|_, links| links.faults.bites().to_vec())
    }

    /// Packets by what became of them.
    #[must_use]
    pub fn counters(&self) -> Counters {
        self.links(|_, links| links.counters)
    }

    /// How late the switch was, since the beginning or [`Network::forget_lateness`].
    #[must_use]
    pub fn lateness(&self) -> Lateness {
        self.switch.shared.lateness()
    }

    /// Begins to measure lateness anew: what was before belongs to no run.
    pub fn forget_lateness(&self) {
        self.switch.shared.forget_lateness();
    }

    /// False once the switch has ended because a device failed.
    #[must_use]
    pub fn carries(&self) -> bool {
        !self.switch.has_ended()
    }

    fn links<T>(&self, act: impl FnOnce(Nanos, &mut Links) -> T) -> T {
        let now = self.switch.shared.now();
        act(now, self.switch.shared.shape.lock().links())
    }
}
