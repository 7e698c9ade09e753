//! Addresses: which host has which, and who holds which port there.
//!
//! One table serves datagram sockets, another listeners. What arrives at a port is left to `net.rs` and `stream.rs`.

use crate::exec::HostId;
use std::collections::BTreeMap;
use std::io;
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4};

/// Hosts that the address scheme has room for.
pub(crate) const HOSTS_MAX: usize = 256 * 254;

const EPHEMERAL_FIRST: u16 = 49_152;

/// The address of a host: 10.0.x.y, never ending in 0 or 255.
pub(crate) fn address(host: HostId) -> Ipv4Addr {
    let (x, y) = (host / 254, host % 254 + 1);
    Ipv4Addr::new(10, 0, x as u8, y as u8)
}

/// The host that `from` reaches at `ip`, if there is one among `hosts`.
pub(crate) fn host_at(from: HostId, ip: Ipv4Addr, hosts: usize) -> Option<HostId> {
    if ip.is_loopback() {
        return Some(from);
    }
    let [10, 0, x, y] = ip.octets() else { return None };
    let host = usize::from(x) * 254 + usize::from(y).checked_sub(1)?;
    (y != 255 && host < hosts).then_some(host)
}

/// The address that `host` sends from when it sends to `to`.
pub(crate) fn source(host: HostId, to: Ipv4Addr) -> Ipv4Addr {
    if to.is_loopback() { Ipv4Addr::LOCALHOST } else { address(host) }
}

pub(crate) fn v4(addr: SocketAddr) -> io::Result<SocketAddrV4> {
    match addr {
        SocketAddr::V4(addr) => Ok(addr),
        SocketAddr::V6(_) => Err(io::Error::new(io::ErrorKind::AddrNotAvailable, "the simulated network is IPv4")),
    }
}

/// Who holds which port.
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
    pub(crate) fn bind(&mut self, host: HostId, addr: SocketAddr, owner: u64) -> io::Result<SocketAddrV4> {
        let addr = v4(addr)?;
        let ip = *addr.ip();
        if !(ip.is_unspecified() || ip.is_loopback() || ip == address(host)) {
            return Err(io::ErrorKind::AddrNotAvailable.into());
        }
        let port = match addr.port() {
            0 => self.ephemeral(host)?,
            port => port,
        };
        let holders = self.bound.entry((host, port)).or_default();
        if holders.iter().any(|(held, _)| *held == ip || held.is_unspecified() || ip.is_unspecified()) {
            return Err(io::ErrorKind::AddrInUse.into());
        }
        holders.push((ip, owner));
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
        holders.iter().find(|(ip, _)| ip == to.ip() || ip.is_unspecified()).map(|(_, owner)| *owner)
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
            prop_assert_eq!(host_at(from, address(host), HOSTS_MAX), Some(host));
            prop_assert_eq!(host_at(from, address(host), host), None);
        }
    }

    #[test]
    fn a_port_has_one_holder_for_each_address() {
        let mut ports = Ports::new(1);
        let kind = |result: io::Result<SocketAddrV4>| result.map_err(|error| error.kind());
        assert!(ports.bind(0, addr("127.0.0.1:80"), 1).is_ok());
        assert!(ports.bind(0, addr("10.0.0.1:80"), 2).is_ok());
        assert_eq!(kind(ports.bind(0, addr("0.0.0.0:80"), 3)), Err(io::ErrorKind::AddrInUse));
        assert_eq!(kind(ports.bind(0, addr("10.0.0.2:81"), 3)), Err(io::ErrorKind::AddrNotAvailable));
        assert_eq!(kind(ports.bind(0, addr("[::1]:81"), 3)), Err(io::ErrorKind::AddrNotAvailable));
        assert_eq!(ports.holder(0, "127.0.0.1:80".parse().unwrap()), Some(1));
        ports.free(0, 80, 1);
        assert_eq!(ports.holder(0, "127.0.0.1:80".parse().unwrap()), None);
        assert_eq!(ports.clear(0), [2]);
    }

    #[test]
    fn free_ports_run_out_with_an_error() {
        let mut ports = Ports::new(1);
        let bound = (0..).take_while(|owner| ports.bind(0, addr("0.0.0.0:0"), *owner).is_ok()).count();
        assert_eq!(bound, usize::from(u16::MAX - EPHEMERAL_FIRST) + 1);
    }
}
