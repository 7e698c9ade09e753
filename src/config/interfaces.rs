//! Which addresses of this machine others can be told to dial. Whether they really can is seen when they try.

use lattice_broker::env::{Env, Interface};
use std::net::{IpAddr, SocketAddr};

/// At most so many addresses go into an invite: it is a line that people copy.
const ADVERTISED_MAX: usize = 8;

/// What to advertise, and what was left out.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Advertised {
    /// The addresses, those that are most likely to be reached first, each with its interface.
    pub addresses: Vec<(SocketAddr, String)>,
    /// Interfaces that were passed over because what they name exists on every machine.
    pub skipped: Vec<String>,
}

/// The addresses under which a node that listens on `listen` can be reached: one for each interface and family when it
/// listens everywhere, loopback only when there is nothing else. Port 0 gives none.
#[must_use]
pub fn advertise(env: &Env, listen: SocketAddr) -> Advertised {
    choose(listen, &env.interfaces())
}

/// The same, the addresses alone.
#[must_use]
pub fn addresses(env: &Env, listen: SocketAddr) -> Vec<SocketAddr> {
    advertise(env, listen).addresses.into_iter().map(|(address, _)| address).collect()
}

fn choose(listen: SocketAddr, interfaces: &[Interface]) -> Advertised {
    let mut out = Advertised::default();
    let port = listen.port();
    if port == 0 {
        return out;
    }
    if !listen.ip().is_unspecified() {
        let owner = interfaces.iter().find(|one| one.ip == listen.ip());
        out.addresses.push((listen, owner.map_or_else(String::new, |one| one.name.clone())));
        return out;
    }
    let mut taken: Vec<(&str, bool)> = Vec::new();
    for one in interfaces.iter().filter(|one| reachable(one.ip) && (one.ip.is_ipv4() || listen.is_ipv6())) {
        if is_bridge(&one.name) {
            if !out.skipped.contains(&one.name) {
                out.skipped.push(one.name.clone());
            }
        } else if !taken.contains(&(one.name.as_str(), one.ip.is_ipv4())) {
            taken.push((&one.name, one.ip.is_ipv4()));
            out.addresses.push((SocketAddr::new(one.ip, port), one.name.clone()));
        }
    }
    // IPv4 first: on a LAN it is the one that works more often; the sort keeps the system's order otherwise.
    out.addresses.sort_by_key(|(addr, _)| addr.is_ipv6());
    out.addresses.truncate(ADVERTISED_MAX);
    if out.addresses.is_empty() {
        out.addresses.push((SocketAddr::new(std::net::Ipv4Addr::LOCALHOST.into(), port), "lo".to_owned()));
    }
    out
}

/// False for loopback and for link-local addresses, which mean nothing without the dialler's interface.
fn reachable(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => !ip.is_loopback() && !ip.is_link_local() && !ip.is_unspecified(),
        IpAddr::V6(ip) => !ip.is_loopback() && !ip.is_unicast_link_local() && !ip.is_unspecified(),
    }
}

/// Bridges and pairs of container engines and hypervisors: the same private addresses on every machine.
fn is_bridge(name: &str) -> bool {
    const PREFIXES: [&str; 11] =
        ["docker", "veth", "virbr", "vmnet", "podman", "cni", "flannel", "cali", "lxcbr", "lxdbr", "vboxnet"];
    let docker_network = name.strip_prefix("br-").is_some_and(|id| id.chars().all(|c| c.is_ascii_hexdigit()));
    docker_network || PREFIXES.iter().any(|prefix| name.starts_with(prefix))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn on(list: &[(&str, &str)]) -> Vec<Interface> {
        let interface = |(name, ip): &(&str, &str)| Interface {
            name: (*name).to_owned(),
            number: 1,
            ip: ip.parse().unwrap(),
            broadcast: None,
            prefix: 24,
            multicast: true,
        };
        list.iter().map(interface).collect()
    }

    fn chosen(listen: &str, list: &[(&str, &str)]) -> (Vec<String>, Vec<String>) {
        let out = choose(listen.parse().unwrap(), &on(list));
        (out.addresses.iter().map(|(addr, name)| format!("{addr} {name}")).collect(), out.skipped)
    }

    #[test]
    fn one_address_for_each_interface_and_no_bridges() {
        let list = [
            ("lo", "127.0.0.1"),
            ("eth0", "2001:db8::5"),
            ("eth0", "192.168.1.20"),
            ("eth0", "192.168.1.21"),
            ("eth0", "fe80::1"),
            ("docker0", "172.17.0.1"),
            ("br-0123456789ab", "172.18.0.1"),
            ("wlan0", "10.0.0.7"),
        ];
        let (addresses, skipped) = chosen("[::]:7443", &list);
        assert_eq!(addresses, ["192.168.1.20:7443 eth0", "10.0.0.7:7443 wlan0", "[2001:db8::5]:7443 eth0"]);
        assert_eq!(skipped, ["docker0", "br-0123456789ab"]);
        let (addresses, _) = chosen("0.0.0.0:7443", &list);
        assert_eq!(addresses, ["192.168.1.20:7443 eth0", "10.0.0.7:7443 wlan0"]);
    }

    #[test]
    fn loopback_only_when_nothing_else() {
        let list = [("lo", "127.0.0.1"), ("docker0", "172.17.0.1"), ("eth0", "169.254.3.4")];
        assert_eq!(chosen("0.0.0.0:7443", &list).0, ["127.0.0.1:7443 lo"]);
    }

    #[test]
    fn what_is_listened_on_alone_is_advertised_alone() {
        let list = [("lo", "127.0.0.1"), ("eth0", "192.168.1.20")];
        assert_eq!(chosen("127.0.0.1:9", &list).0, ["127.0.0.1:9 lo"]);
        assert!(chosen("0.0.0.0:0", &list).0.is_empty());
    }
}
