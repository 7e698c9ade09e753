//! How streams begin: listening, dialling, and the ways in which that fails.

use super::{Conn, End, Kind, PAUSE_MAX, PROBE, Streams};
use crate::agenda::remember;
use crate::clock::{Nanos, nanos};
use crate::exec::HostId;
use crate::kernel::Wire;
use crate::ports::{self, Addresses, Route};
use std::collections::VecDeque;
use std::io::{self, ErrorKind};
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4};
use std::task::{Poll, Waker};

/// Streams that wait to be accepted; further attempts are tried again by the dialler.
const BACKLOG_MAX: usize = 1024;
/// The first pause before a connection attempt is repeated, as on Linux.
const DIAL_PAUSE: Nanos = 1_000_000_000;

/// How far an attempt to open a stream has got.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Dial {
    /// Under way since then, to be repeated after the pause.
    Waiting { since: Nanos, pause: Nanos },
    /// The answer is on its way to a dialler that has waited since then.
    Answered { since: Nanos, answer: Result<(), ErrorKind> },
    /// The dialler knows.
    Done(Result<(), ErrorKind>),
}

/// A port where streams are accepted, and those that wait for it.
#[derive(Debug)]
pub(super) struct Listening {
    host: HostId,
    local: SocketAddrV4,
    backlog: VecDeque<u64>,
    waker: Option<Waker>,
}

impl Streams {
    pub(super) fn listen(
        &mut self,
        addresses: &Addresses,
        host: HostId,
        addr: SocketAddr,
    ) -> io::Result<(u64, SocketAddrV4)> {
        let local = self.ports.bind(addresses, host, addr, self.opened)?;
        let id = self.opened;
        self.opened += 1;
        self.listeners.insert(id, Listening { host, local, backlog: VecDeque::new(), waker: None });
        Ok((id, local))
    }

    pub(super) fn unlisten(&mut self, wire: &mut Wire<'_>, id: u64) {
        let Some(listener) = self.listeners.remove(&id) else { return };
        self.ports.free(listener.host, listener.local.port(), id);
        for conn in listener.backlog {
            self.vanish(wire, conn, 1);
        }
    }

    /// The next stream that waits: its name, the peer's address and its own.
    pub(super) fn accept(&mut self, id: u64, waker: &Waker) -> Poll<io::Result<(u64, SocketAddrV4, SocketAddrV4)>> {
        let Some(listener) = self.listeners.get_mut(&id) else {
            return Poll::Ready(Err(ErrorKind::NetworkDown.into()));
        };
        while let Some(conn) = listener.backlog.pop_front() {
            if let Some(Conn { ends: [peer, own], .. }) = self.conns.get(&conn) {
                return Poll::Ready(Ok((conn, peer.addr, own.addr)));
            }
        }
        remember(&mut listener.waker, waker);
        Poll::Pending
    }

    pub(super) fn dial(
        &mut self,
        wire: &mut Wire<'_>,
        host: HostId,
        to: SocketAddr,
    ) -> io::Result<(u64, SocketAddrV4)> {
        let to = ports::v4(to)?;
        let Route::To(target) = wire.addresses.route(host, *to.ip()) else {
            return Err(ErrorKind::HostUnreachable.into());
        };
        let source = wire.addresses.source(host, Ipv4Addr::UNSPECIFIED, *to.ip());
        let local = SocketAddrV4::new(source, self.ports.ephemeral(host)?);
        let window = self.config.window_bytes;
        let ends = [End::new(host, local, window, true), End::new(target, to, window, false)];
        let id = self.opened;
        self.opened += 1;
        let dial = Dial::Waiting { since: wire.now, pause: DIAL_PAUSE };
        self.conns.insert(id, Conn { ends, dial, stranded: None });
        self.of_host[host].insert((id, 0));
        wire.trace_addresses(local, to);
        let at = wire.links.segment(wire.now, host, target, 0);
        wire.stream(at, id, Kind::Dial);
        Ok((id, local))
    }

    pub(super) fn on_dial(&mut self, wire: &mut Wire<'_>, id: u64) {
        let Some(conn) = self.conns.get_mut(&id) else { return };
        let Dial::Waiting { since, .. } = conn.dial else { return };
        let cut = conn.is_cut(wire, 0);
        let [from, to] = &mut conn.ends;
        let listener = self.ports.holder(to.host, to.addr).and_then(|id| self.listeners.get_mut(&id));
        let full = listener.as_ref().is_some_and(|listener| listener.backlog.len() >= BACKLOG_MAX);
        if cut || full {
            return self.dial_again(wire, id, Kind::Dial);
        }
        let answer = match listener {
            None => Err(ErrorKind::ConnectionRefused),
            Some(listener) => {
                listener.backlog.push_back(id);
                wire.wakes.extend(listener.waker.take());
                to.alive = true;
                self.of_host[to.host].insert((id, 1));
                Ok(())
            }
        };
        conn.dial = Dial::Answered { since, answer };
        wire.trace_addresses(from.addr, to.addr);
        let at = wire.links.segment(wire.now, to.host, from.host, 0);
        to.last_arrival = at;
        wire.stream(at, id, Kind::Answer);
    }

    fn dial_again(&mut self, wire: &mut Wire<'_>, id: u64, kind: Kind) {
        let Some(conn) = self.conns.get_mut(&id) else { return };
        let Dial::Waiting { since, pause } = conn.dial else { return };
        if wire.now - since >= nanos(self.config.timeout) {
            conn.dial = Dial::Done(Err(ErrorKind::TimedOut));
            wire.wakes.extend(conn.ends[0].writer.take());
            return;
        }
        conn.dial = Dial::Waiting { since, pause: (pause * 2).min(PAUSE_MAX) };
        wire.stream(wire.now + pause, id, kind);
    }

    pub(super) fn on_answer(&mut self, wire: &mut Wire<'_>, id: u64) {
        let Some(conn) = self.conns.get_mut(&id) else { return };
        let Dial::Answered { since, answer } = conn.dial else { return };
        let cut = conn.is_cut(wire, 1);
        if cut && wire.now - since < nanos(self.config.timeout) {
            // The dialler repeats itself and is answered again; half a second stands for that.
            wire.stream(wire.now + PROBE, id, Kind::Answer);
            return;
        }
        conn.dial = Dial::Done(if cut { Err(ErrorKind::TimedOut) } else { answer });
        wire.wakes.extend(conn.ends[0].writer.take());
    }

    /// How the attempt ended, once it has.
    pub(super) fn dialled(&mut self, id: u64, waker: &Waker) -> Poll<io::Result<()>> {
        let Some(conn) = self.conns.get_mut(&id) else { return Poll::Ready(Err(ErrorKind::NetworkDown.into())) };
        match conn.dial {
            Dial::Done(result) => Poll::Ready(result.map_err(io::Error::from)),
            Dial::Waiting { .. } | Dial::Answered { .. } => {
                remember(&mut conn.ends[0].writer, waker);
                Poll::Pending
            }
        }
    }
}
