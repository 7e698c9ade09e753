//! `Address`: an IP address and port as invites and answers to joins carry them. Which to try first is left to the dialer.

use bincode::{Decode, Encode};
use std::net::{Ipv6Addr, SocketAddr};

/// A socket address in few bytes. The scope of a link-local address is dropped: it means nothing elsewhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
pub(crate) enum Address {
    V4([u8; 4], u16),
    V6([u8; 16], u16),
}

impl From<SocketAddr> for Address {
    fn from(addr: SocketAddr) -> Self {
        match addr {
            SocketAddr::V4(v4) => Self::V4(v4.ip().octets(), v4.port()),
            SocketAddr::V6(v6) => Self::V6(v6.ip().octets(), v6.port()),
        }
    }
}

impl From<Address> for SocketAddr {
    fn from(addr: Address) -> Self {
        match addr {
            Address::V4(ip, port) => (ip, port).into(),
            Address::V6(ip, port) => (Ipv6Addr::from(ip), port).into(),
        }
    }
}
