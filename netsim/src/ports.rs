//! Addresses: which host has which, and who holds which port there.
//!
//! One table serves datagram sockets, another listeners. What arrives at a port is left to `net.rs` and `stream.rs`.

use crate::exec::HostId;
use crate::link::FaultId;
use std::collections::BTreeMap;
use std::io;
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4};

/// Hosts that the address scheme has room for.
pub(crate) const HOSTS_MAX: usize = 256 * 254;

const EPHEMERAL_FIRST: u16 = 49_152;

/// The first address of a host: 10.0.x.y, never ending in 0 or 255.
fn home(host: HostId) -> Ipv4Addr {
    let (x, y) = (host / 254, host % 254 + 1);
    Ipv4Addr::new(10, 0, x as u8, y as u8)
}

/// The present address of every host. The n-th after its first is 10.n.x.y; after 255 they come again.
#[derive(Debug)]
pub(crate) struct Addresses {
    moves: Vec<u8>,
    /// Why hosts have other addresses than at first, the last reason of each.
    moved_by: BTreeMap<HostId, FaultId>,
}

/// Where an address leads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Route {
    To(HostId),
    /// A host had that address and has it no more, because of this.
    Left(FaultId),
    Nowhere,
}

impl Addresses {
    pub(crate) fn new(hosts: usize) -> Self {
        Self { moves: vec![0; hosts], moved_by: BTreeMap::new() }
    }

    pub(crate) fn of(&self, host: HostId) -> Ipv4Addr {
        let [_, _, x, y] = home(host).octets();
        Ipv4Addr::new(10, self.moves[host], x, y)
    }

    /// What `from` reaches at `ip`.
    pub(crate) fn route(&self, from: HostId, ip: Ipv4Addr) -> Route {
        if ip.is_loopback() {
            return Route::To(from);
        }
        let [10, moves, x, y] = ip.octets() else { return Route::Nowhere };
        let Some(below) = usize::from(y).checked_sub(1).filter(|_| y != 255) else { return Route::Nowhere };
        let host = usize::from(x) * 254 + below;
        match (self.moves.get(host), self.moved_by.get(&host)) {
            (Some(now), _) if *now == moves => Route::To(host),
            (Some(now), Some(fault)) if moves < *now => Route::Left(*fault),
            _ => Route::Nowhere,
        }
    }

    /// The address that `host` sends from when it sends to `to`, from a socket bound to `bound`.
    pub(crate) fn source(&self, host: HostId, bound: Ipv4Addr, to: Ipv4Addr) -> Ipv4Addr {
        if bound.is_loopback() || (bound.is_unspecified() && to.is_loopback()) {
            return Ipv4Addr::LOCALHOST;
        }
        self.of(host)
    }

    /// Gives `host` its next address.
    pub(crate) fn change(&mut self, host: HostId, fault: FaultId) {
        self.moves[host] = self.moves[host].wrapping_add(1);
        self.moved_by.insert(host, fault);
    }
}

pub(crate) fn v4(addr: SocketAddr) -> io::Result<SocketAddrV4> {
    match addr {
        SocketAddr::V4(addr) => Ok(addr),
        SocketAddr::V6(_) => Err(io::Error::new(io::ErrorKind::AddrNotAvailable, "the simulated network is IPv4")),
    }
}

/// What stands for an address of `host` in the table: a socket bound to an address that the host had keeps its port, and
/// gets what is sent to the one that it has, as behind a router that changes its own.
fn lasting(host: HostId, ip: Ipv4Addr) -> Ipv4Addr {
    if ip.is_unspecified() || ip.is_loopback() { ip } else { home(host) }
}

/// Who holds which port. Whether a packet's address is the host's is for [`Addresses`] to say.
#[derive(Debug)]
pub(crate) struct Ports {
    bound: BTreeMap<(HostId, u16), Vec<(Ipv4Addr, u64)>>,
    next: Vec<u16>,
}

impl Ports {
    pub(crate) fn new(hosts: usize) -> Self {
        Self { bound: BTreeMap::new(), next: vec![EPHEMERAL_FIRST; hosts] }
    }

    /// Gives `owner` the port. Port 0 picks a free one.
    pub(crate) fn bind(
        &mut self,
        addresses: &Addresses,
        host: HostId,
        addr: SocketAddr,
        owner: u64,
    ) -> io::Result<SocketAddrV4> {
        let addr = v4(addr)?;
        let ip = *addr.ip();
        if !(ip.is_unspecified() || ip.is_loopback() || ip == addresses.of(host)) {
            return Err(io::ErrorKind::AddrNotAvailable.into());
        }
        let port = match addr.port() {
            0 => self.ephemeral(host)?,
            port => port,
        };
        let holders = self.bound.entry((host, port)).or_default();
        let bound = lasting(host, ip);
        if holders.iter().any(|(held, _)| *held == bound || held.is_unspecified() || ip.is_unspecified()) {
            return Err(io::ErrorKind::AddrInUse.into());
        }
        holders.push((bound, owner));
        Ok(SocketAddrV4::new(ip, port))
    }

    /// A port that nobody has bound, from the range that systems use for it.
    pub(crate) fn ephemeral(&mut self, host: HostId) -> io::Result<u16> {
        for _ in EPHEMERAL_FIRST..=u16::MAX {
            let port = self.next[host];
            self.next[host] = port.checked_add(1).unwrap_or(EPHEMERAL_FIRST);
            if !self.bound.contains_key(&(host, port)) {
                return Ok(port);
            }
        }
        Err(io::ErrorKind::AddrInUse.into())
    }

    /// Who gets what is sent to `to`.
    pub(crate) fn holder(&self, host: HostId, to: SocketAddrV4) -> Option<u64> {
        let holders = self.bound.get(&(host, to.port()))?;
        let bound = lasting(host, *to.ip());
        holders.iter().find(|(ip, _)| *ip == bound || ip.is_unspecified()).map(|(_, owner)| *owner)
    }

    pub(crate) fn free(&mut self, host: HostId, port: u16, owner: u64) {
        if let Some(holders) = self.bound.get_mut(&(host, port)) {
            holders.retain(|(_, held_by)| *held_by != owner);
            if holders.is_empty() {
                self.bound.remove(&(host, port));
            }
        }
    }

    /// Takes all ports of `host` away. Returns those who held them.
    pub(crate) fn clear(&mut self, host: HostId) -> Vec<u64> {
        let held: Vec<u16> = self.bound.range((host, 0)..=(host, u16::MAX)).map(|((_, port), _)| *port).collect();
        let holders = held.into_iter().filter_map(|port| self.bound.remove(&(host, port)));
        holders.flatten().map(|(_, owner)| owner).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn addr(text: &str) -> SocketAddr {
        text.parse().unwrap()
    }

    proptest! {
        #[test]
        fn every_host_is_found_at_its_address(host in 0..HOSTS_MAX, from in 0..HOSTS_MAX) {
            let (all, fewer) = (Addresses::new(HOSTS_MAX), Addresses::new(host));
            prop_assert_eq!(all.route(from, all.of(host)), Route::To(host));
            prop_assert_eq!(fewer.route(from, all.of(host)), Route::Nowhere);
        }
    }

    #[test]
    fn an_address_that_was_given_up_leads_nowhere() {
        let mut addresses = Addresses::new(2);
        let (first, fault) = (addresses.of(1), FaultId(7));
        addresses.change(1, fault);
        let second = addresses.of(1);
        assert_eq!(second, Ipv4Addr::new(10, 1, 0, 2));
        assert_eq!((addresses.route(0, first), addresses.route(0, second)), (Route::Left(fault), Route::To(1)));
        assert_eq!(addresses.route(0, Ipv4Addr::new(10, 2, 0, 2)), Route::Nowhere);
        assert_eq!(addresses.route(1, Ipv4Addr::LOCALHOST), Route::To(1));
        assert_eq!(addresses.source(1, first, addresses.of(0)), second);
    }

    #[test]
    fn a_port_has_one_holder_for_each_address() {
        let (mut ports, mut addresses) = (Ports::new(1), Addresses::new(1));
        let mut bind = |addr, owner| ports.bind(&addresses, 0, addr, owner);
        let kind = |result: io::Result<SocketAddrV4>| result.map_err(|error| error.kind());
        assert!(bind(addr("127.0.0.1:80"), 1).is_ok());
        assert!(bind(addr("10.0.0.1:80"), 2).is_ok());
        assert_eq!(kind(bind(addr("0.0.0.0:80"), 3)), Err(io::ErrorKind::AddrInUse));
        assert_eq!(kind(bind(addr("10.0.0.2:81"), 3)), Err(io::ErrorKind::AddrNotAvailable));
        assert_eq!(kind(bind(addr("[::1]:81"), 3)), Err(io::ErrorKind::AddrNotAvailable));
        assert_eq!(ports.holder(0, "127.0.0.1:80".parse().unwrap()), Some(1));
        addresses.change(0, FaultId(0));
        assert_eq!(ports.holder(0, "10.1.0.1:80".parse().unwrap()), Some(2), "bound to the address before");
        let again = ports.bind(&addresses, 0, addr("10.1.0.1:80"), 3);
        assert_eq!(kind(again), Err(io::ErrorKind::AddrInUse));
        ports.free(0, 80, 1);
        assert_eq!(ports.holder(0, "127.0.0.1:80".parse().unwrap()), None);
        assert_eq!(ports.clear(0), [2]);
    }

    #[test]
    fn free_ports_run_out_with_an_error() {
        let (mut ports, addresses) = (Ports::new(1), Addresses::new(1));
        let bound = (0..).take_while(|owner| ports.bind(&addresses, 0, addr("0.0.0.0:0"), *owner).is_ok()).count();
        assert_eq!(bound, usize::from(u16::MAX - EPHEMERAL_FIRST) + 1);
    }
}
