//! The local network for real: multicast of both families, and broadcast, on each interface.

use super::{Interface, Lan, LanConfig};
use socket2::{Domain, InterfaceIndexOrAddress, SockRef, Socket, Type};
use std::collections::BTreeSet;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV6};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};
use tokio::io::ReadBuf;
use tokio::net::UdpSocket;

/// The groups: one of those for use within a site, and one that does not leave the link.
const GROUP_V4: Ipv4Addr = Ipv4Addr::new(239, 255, 74, 43);
const GROUP_V6: Ipv6Addr = Ipv6Addr::new(0xff12, 0, 0, 0, 0, 0, 0x6c61, 0x7474);

/// Sockets of both families on one port, and the interfaces to use.
#[derive(Debug)]
pub(super) struct RealLan {
    config: LanConfig,
    v4: Option<UdpSocket>,
    v6: Option<UdpSocket>,
    interfaces: Mutex<Vec<Interface>>,
    /// All addresses by which links come, several of one network among them.
    attached: Mutex<Vec<Interface>>,
    /// The family that is read first in turn: a flood in one must not silence the other.
    turn: AtomicBool,
    list: fn() -> Vec<Interface>,
}

impl RealLan {
    /// Opens the sockets; within the runtime that they are to belong to.
    pub(super) fn open(config: &LanConfig, list: fn() -> Vec<Interface>) -> io::Result<Self> {
        let (v4, v6) = (open(config, Ipv4Addr::UNSPECIFIED.into()), open(config, Ipv6Addr::UNSPECIFIED.into()));
        // One of the two is enough: a system may be without the other.
        let (v4, v6) = match (v4.transpose(), v6.transpose()) {
            (Some(Err(error)), None | Some(Err(_))) | (None, Some(Err(error))) => return Err(error),
            (v4, v6) => (v4.and_then(Result::ok), v6.and_then(Result::ok)),
        };
        Ok(Self {
            config: config.clone(),
            v4,
            v6,
            interfaces: Mutex::default(),
            attached: Mutex::default(),
            turn: AtomicBool::default(),
            list,
        })
    }

    /// Hears the groups on an interface. That they are heard there already is an error that does not matter.
    fn join(&self, interface: &Interface) {
        match (interface.ip, &self.v4, &self.v6) {
            (IpAddr::V4(ip), Some(v4), _) => {
                let _ = SockRef::from(v4).join_multicast_v4_n(&GROUP_V4, &InterfaceIndexOrAddress::Address(ip));
            }
            (IpAddr::V6(_), _, Some(v6)) => {
                let _ = SockRef::from(v6).join_multicast_v6(&GROUP_V6, interface.number);
            }
            (IpAddr::V4(_), None, _) | (IpAddr::V6(_), _, None) => {}
        }
    }

    /// What cannot be sent is lost, as anything may be on its way.
    fn send_on(&self, interface: &Interface, data: &[u8]) {
        match (interface.ip, &self.v4, &self.v6) {
            (IpAddr::V4(ip), Some(v4), _) => {
                if SockRef::from(v4).set_multicast_if_v4(&ip).is_ok() {
                    let _ = v4.try_send_to(data, (GROUP_V4, self.config.port).into());
                }
                if let Some(broadcast) = interface.broadcast {
                    let _ = v4.try_send_to(data, (broadcast, self.config.port).into());
                }
            }
            (IpAddr::V6(_), _, Some(v6)) => {
                let to = SocketAddrV6::new(GROUP_V6, self.config.port, 0, interface.number);
                if SockRef::from(v6).set_multicast_if_v6(interface.number).is_ok() {
                    let _ = v6.try_send_to(data, SocketAddr::V6(to));
                }
            }
            (IpAddr::V4(_), None, _) | (IpAddr::V6(_), _, None) => {}
        }
    }
}

impl Lan for RealLan {
    fn refresh(&self) -> bool {
        let fitting = fitting(&self.config, (self.list)());
        let now = choose(fitting.clone());
        *self.attached.lock().expect("no holder of this lock panics") = fitting;
        let mut known = self.interfaces.lock().expect("no holder of this lock panics");
        if *known == now {
            return false;
        }
        now.iter().for_each(|interface| self.join(interface));
        *known = now;
        true
    }

    fn send(&self, data: &[u8]) {
        let interfaces = self.interfaces.lock().expect("no holder of this lock panics");
        interfaces.iter().for_each(|interface| self.send_on(interface, data));
    }

    fn poll_recv(&self, cx: &mut Context<'_>, buf: &mut [u8]) -> Poll<io::Result<(usize, SocketAddr)>> {
        let mut sockets = [self.v4.as_ref(), self.v6.as_ref()];
        if self.turn.fetch_xor(true, Ordering::Relaxed) {
            sockets.reverse();
        }
        for socket in sockets.into_iter().flatten() {
            let mut space = ReadBuf::new(buf);
            if let Poll::Ready(received) = socket.poll_recv_from(cx, &mut space) {
                return Poll::Ready(received.map(|from| (space.filled().len(), from)));
            }
        }
        Poll::Pending
    }

    fn is_attached(&self, source: IpAddr) -> bool {
        self.attached.lock().expect("no holder of this lock panics").iter().any(|one| one.is_near(source))
    }
}

/// The socket of one family, unless links do not come by it.
fn open(config: &LanConfig, any: IpAddr) -> io::Result<Option<UdpSocket>> {
    if !takes(config.listen, any.is_ipv4()) {
        return Ok(None);
    }
    let socket = Socket::new(Domain::for_address((any, 0).into()), Type::DGRAM, None)?;
    // Several nodes of one machine share the port, and each hears what comes.
    socket.set_reuse_address(true)?;
    #[cfg(not(any(target_os = "linux", windows)))]
    socket.set_reuse_port(true)?;
    socket.set_nonblocking(true)?;
    if any.is_ipv6() {
        socket.set_only_v6(true)?;
    } else {
        socket.set_broadcast(true)?;
    }
    socket.bind(&SocketAddr::new(any, config.port).into())?;
    UdpSocket::from_std(socket.into()).map(Some)
}

/// Whether a node that listens on `listen` takes links of that family.
fn takes(listen: IpAddr, v4: bool) -> bool {
    match listen {
        IpAddr::V4(_) => v4,
        IpAddr::V6(ip) => ip.is_unspecified() || !v4,
    }
}

/// The addresses that may be used: loopback only when links come by it, or when there is nothing else.
fn fitting(config: &LanConfig, all: Vec<Interface>) -> Vec<Interface> {
    let listens = |one: &Interface| config.listen.is_unspecified() || config.listen == one.ip;
    let named = |one: &Interface| config.interfaces.is_empty() || config.interfaces.contains(&one.name);
    let fits = |one: &Interface| listens(one) && named(one) && takes(config.listen, one.ip.is_ipv4());
    let mut fitting: Vec<Interface> = all.into_iter().filter(fits).collect();
    if fitting.iter().any(|one| !one.ip.is_loopback()) {
        fitting.retain(|one| !one.ip.is_loopback());
    }
    fitting
}

/// One of each interface, family and broadcast address.
fn choose(mut fitting: Vec<Interface>) -> Vec<Interface> {
    let mut seen = BTreeSet::new();
    fitting.retain(|one| seen.insert((one.number, one.ip.is_ipv4(), one.broadcast)));
    fitting.sort();
    fitting
}

#[cfg(test)]
mod tests {
    use super::*;

    fn interface(name: &str, number: u32, ip: &str, broadcast: Option<[u8; 4]>) -> Interface {
        let broadcast = broadcast.map(Ipv4Addr::from);
        Interface { name: name.to_owned(), number, ip: ip.parse().unwrap(), broadcast, prefix: 24, multicast: true }
    }

    fn chosen(listen: &str, names: &[&str]) -> Vec<String> {
        let all = vec![
            interface("lo", 1, "127.0.0.1", None),
            interface("lo", 1, "::1", None),
            interface("eth0", 2, "192.168.1.20", Some([192, 168, 1, 255])),
            interface("eth0", 2, "192.168.1.21", Some([192, 168, 1, 255])),
            interface("eth0", 2, "fe80::1", None),
            interface("eth0", 2, "2001:db8::1", None),
            interface("wlan0", 3, "10.0.0.7", Some([10, 0, 0, 255])),
        ];
        let interfaces = names.iter().map(|&name| name.to_owned()).collect();
        let config = LanConfig { port: 1, listen: listen.parse().unwrap(), interfaces };
        choose(fitting(&config, all)).into_iter().map(|one| one.ip.to_string()).collect()
    }

    /// Goal: who is elsewhere is told from who is near, whatever the family and the length of a network's name.
    #[test]
    fn near_is_who_is_in_the_same_network() {
        let at = |ip: &str, prefix| Interface { prefix, ..interface("eth0", 2, ip, None) };
        let near = |one: &Interface, other: &str| one.is_near(other.parse().unwrap());
        let lan = at("192.168.1.20", 24);
        assert!(near(&lan, "192.168.1.255") && near(&lan, "::ffff:192.168.1.7"));
        assert!(!near(&lan, "192.168.2.20") && !near(&lan, "fe80::1"));
        assert!(near(&at("10.1.2.3", 9), "10.127.0.1") && !near(&at("10.1.2.3", 9), "10.128.0.1"));
        assert!(near(&at("10.1.2.3", 32), "10.1.2.3") && !near(&at("10.1.2.3", 32), "10.1.2.2"));
        assert!(near(&at("fe80::1", 64), "fe80::9:1") && !near(&at("fe80::1", 64), "fe81::1"));
        assert!(near(&at("2001:db8::1", 0), "::") && !near(&at("2001:db8::1", 0), "1.2.3.4"));
    }

    #[test]
    fn each_network_is_spoken_to_once() {
        assert_eq!(chosen("::", &[]), ["192.168.1.20", "fe80::1", "10.0.0.7"]);
        assert_eq!(chosen("0.0.0.0", &[]), ["192.168.1.20", "10.0.0.7"]);
        assert_eq!(chosen("10.0.0.7", &[]), ["10.0.0.7"]);
        assert_eq!(chosen("::", &["wlan0"]), ["10.0.0.7"]);
        assert_eq!(chosen("127.0.0.1", &[]), ["127.0.0.1"]);
        assert_eq!(chosen("::", &["lo"]), ["127.0.0.1", "::1"]);
    }
}
