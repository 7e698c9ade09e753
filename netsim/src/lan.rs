//! Local networks: segments of hosts that hear each other's calls, over the links that they have anyway.
//!
//! A call to a segment is a datagram to each other host in it, so that whatever happens to links happens to calls.

use crate::exec::HostId;
use crate::kernel::Kernel;
use crate::net::SimSocket;
use lattice_broker::env::{Lan, VirtualUdp};
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::task::{Context, Poll};

/// Which hosts hear each other.
#[derive(Debug)]
pub(crate) struct Segments(Vec<Arc<[HostId]>>);

impl Segments {
    /// None: no host hears another.
    pub(crate) fn new(hosts: usize) -> Self {
        Self(vec![Arc::default(); hosts])
    }

    /// From now on `hosts` hear each other, and nobody else.
    pub(crate) fn join(&mut self, hosts: &[HostId]) {
        let segment: Arc<[HostId]> = hosts.into();
        for host in hosts {
            self.0[*host] = Arc::clone(&segment);
        }
    }

    pub(crate) fn of(&self, host: HostId) -> Arc<[HostId]> {
        Arc::clone(&self.0[host])
    }
}

/// The local network as one host has it.
#[derive(Debug)]
pub(crate) struct SimLan {
    kernel: Arc<Kernel>,
    host: HostId,
    socket: SimSocket,
}

impl SimLan {
    /// # Errors
    /// [`io::ErrorKind::Unsupported`] on a host that is in no segment.
    pub(crate) fn open(kernel: &Arc<Kernel>, host: HostId, port: u16) -> io::Result<Self> {
        if kernel.with(|state, _| state.segments.of(host)).is_empty() {
            return Err(io::ErrorKind::Unsupported.into());
        }
        let socket = SimSocket::bind(kernel, host, (Ipv4Addr::UNSPECIFIED, port).into())?;
        Ok(Self { kernel: Arc::clone(kernel), host, socket })
    }
}

impl Lan for SimLan {
    fn refresh(&self) -> bool {
        false
    }

    fn send(&self, data: &[u8]) {
        let port = self.socket.local_addr().port();
        let segment = self.kernel.with(|state, _| state.segments.of(self.host));
        for host in segment.iter().filter(|host| **host != self.host) {
            self.socket.send(self.kernel.addr(*host, port), data, 0);
        }
    }

    fn poll_recv(&self, cx: &mut Context<'_>, buf: &mut [u8]) -> Poll<io::Result<(usize, SocketAddr)>> {
        self.socket.poll_recv(cx, buf).map_ok(|datagram| (datagram.len, datagram.from))
    }

    fn is_attached(&self, source: IpAddr) -> bool {
        self.kernel.with(|state, _| {
            let segment = state.segments.of(self.host);
            segment.iter().any(|host| state.addresses.of(*host) == source)
        })
    }
}
