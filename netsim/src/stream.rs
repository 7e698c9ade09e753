//! Streams: what TCP does between and within hosts, without its packets.
//!
//! A write becomes a segment that arrives in order after the link's delay; the window bounds what is under way or
//! unread. Loss costs the time of a retransmission. A cut stalls the sender, which tries again after ever longer
//! pauses, and fails after [`StreamConfig::timeout`]; the receiver learns nothing, as with TCP. What arrives at an end
//! that no longer exists is answered by a reset. How streams
//! begin is in `stream/dial.rs`, the handles that tasks hold are in `stream/handle.rs`.

mod dial;
mod handle;

use crate::agenda::{Event, remember};
use crate::clock::{Nanos, nanos};
use crate::exec::HostId;
use crate::kernel::Wire;
use crate::link::FaultId;
use crate::ports::Ports;
use bytes::{Buf, Bytes};
use dial::{Dial, Listening};
pub(crate) use handle::{Connecting, SimListener};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::io::{self, ErrorKind, IoSlice};
use std::net::SocketAddrV4;
use std::task::{Poll, Waker};
use std::time::Duration;

/// The longest pause between two attempts to get a segment through, as on Linux.
const PAUSE_MAX: Nanos = 120_000_000_000;
/// How often an end that has read asks whether the way back is open again.
const PROBE: Nanos = 500_000_000;

/// How streams behave.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StreamConfig {
    /// Bytes in one direction that may be under way or unread; at that many, writes wait.
    pub window_bytes: usize,
    /// How long nothing gets through before a writing or dialling end gives up.
    pub timeout: Duration,
}

impl Default for StreamConfig {
    fn default() -> Self {
        Self { window_bytes: 256 * 1024, timeout: Duration::from_secs(120) }
    }
}

/// One end of a stream: 0 dialled, 1 was dialled.
type Side = usize;

/// Something that falls due for a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct StreamEvent {
    conn: u64,
    kind: Kind,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Kind {
    /// The attempt reaches the other host.
    Dial,
    /// Its answer is back.
    Answer,
    /// A segment of this sender arrives.
    Arrive(Side),
    /// This sender tries again.
    Retry(Side),
    /// This sender learns that so much was read.
    Credit(Side, usize),
    /// A reset reaches this end.
    Reset(Side),
}

#[derive(Debug)]
struct Segment {
    at: Nanos,
    /// Empty for the end of the stream.
    data: Bytes,
}

#[derive(Clone, Copy, Debug)]
struct Stall {
    since: Nanos,
    pause: Nanos,
}

#[derive(Debug)]
struct End {
    host: HostId,
    addr: SocketAddrV4,
    /// Somebody holds it, or will accept it.
    alive: bool,
    error: Option<ErrorKind>,
    reader: Option<Waker>,
    writer: Option<Waker>,
    received: VecDeque<Bytes>,
    /// The peer will send no more.
    ended: bool,
    /// Read, but not yet told to the peer.
    freed: usize,
    /// What this end sent and the other has not got.
    flight: VecDeque<Segment>,
    last_arrival: Nanos,
    /// Bytes that this end may still send.
    credit: usize,
    finished: bool,
    stall: Option<Stall>,
}

impl End {
    fn new(host: HostId, addr: SocketAddrV4, window: usize, alive: bool) -> Self {
        Self {
            host,
            addr,
            alive,
            error: None,
            reader: None,
            writer: None,
            received: VecDeque::new(),
            ended: false,
            freed: 0,
            flight: VecDeque::new(),
            last_arrival: 0,
            credit: window,
            finished: false,
            stall: None,
        }
    }

    fn takes(&self) -> bool {
        self.alive && self.error.is_none()
    }

    fn fail(&mut self, error: ErrorKind, wakes: &mut Vec<Waker>) {
        self.error.get_or_insert(error);
        self.flight.clear();
        self.stall = None;
        wakes.extend(self.reader.take());
        wakes.extend(self.writer.take());
    }
}

#[derive(Debug)]
struct Conn {
    ends: [End; 2],
    dial: Dial,
    /// An end's host has another address now, because of this: nothing gets through any more.
    stranded: Option<FaultId>,
}

/// All streams and listeners of a world.
#[derive(Debug)]
pub(crate) struct Streams {
    config: StreamConfig,
    ports: Ports,
    listeners: BTreeMap<u64, Listening>,
    conns: BTreeMap<u64, Conn>,
    /// The live ends of each host.
    of_host: Vec<BTreeSet<(u64, Side)>>,
    opened: u64,
}

impl Wire<'_> {
    fn stream(&mut self, at: Nanos, conn: u64, kind: Kind) {
        self.agenda.schedule(at, Event::Stream(StreamEvent { conn, kind }));
    }

    fn trace_stream(&mut self, conn: u64, side: Side, what: u64) {
        self.trace.word(self.now);
        self.trace.word(conn << 1 | side as u64);
        self.trace.word(what);
    }
}

impl Streams {
    pub(crate) fn new(hosts: usize, config: StreamConfig) -> Self {
        let (listeners, conns) = (BTreeMap::new(), BTreeMap::new());
        let of_host = vec![BTreeSet::new(); hosts];
        Self { config, ports: Ports::new(hosts), listeners, conns, of_host, opened: 0 }
    }

    /// Ends of streams that somebody holds: a leak shows here.
    pub(crate) fn ends(&self) -> usize {
        self.of_host.iter().map(BTreeSet::len).sum()
    }

    pub(crate) fn handle(&mut self, wire: &mut Wire<'_>, event: StreamEvent) {
        let id = event.conn;
        match event.kind {
            Kind::Dial => self.on_dial(wire, id),
            Kind::Answer => self.on_answer(wire, id),
            Kind::Arrive(side) => self.on_arrive(wire, id, side),
            Kind::Retry(side) => self.on_retry(wire, id, side),
            Kind::Credit(side, bytes) => self.on_credit(wire, id, side, bytes),
            Kind::Reset(side) => self.on_reset(wire, id, side),
        }
    }

    // Reading and writing.

    fn end(&mut self, id: u64, side: Side) -> io::Result<&mut End> {
        let end = self.conns.get_mut(&id).map(|conn| &mut conn.ends[side]).filter(|end| end.alive);
        end.ok_or_else(|| ErrorKind::NetworkDown.into())
    }

    fn read_ready(&mut self, id: u64, side: Side, waker: &Waker) -> Poll<io::Result<()>> {
        let end = self.end(id, side)?;
        if !end.received.is_empty() || end.ended || end.error.is_some() {
            return Poll::Ready(Ok(()));
        }
        remember(&mut end.reader, waker);
        Poll::Pending
    }

    fn write_ready(&mut self, id: u64, side: Side, waker: &Waker) -> Poll<io::Result<()>> {
        let end = self.end(id, side)?;
        if end.credit > 0 || end.finished || end.error.is_some() {
            return Poll::Ready(Ok(()));
        }
        remember(&mut end.writer, waker);
        Poll::Pending
    }

    fn read(&mut self, wire: &mut Wire<'_>, id: u64, side: Side, buf: &mut [u8]) -> io::Result<usize> {
        let tell_at = self.config.window_bytes / 8;
        let end = self.end(id, side)?;
        if end.received.is_empty() {
            return match end.error {
                _ if buf.is_empty() => Ok(0),
                _ if end.ended => Ok(0),
                Some(error) => Err(error.into()),
                None => Err(ErrorKind::WouldBlock.into()),
            };
        }
        let mut read = 0;
        while let Some(chunk) = end.received.front_mut().filter(|_| read < buf.len()) {
            let len = chunk.len().min(buf.len() - read);
            chunk.copy_to_slice(&mut buf[read..read + len]);
            read += len;
            if chunk.is_empty() {
                end.received.pop_front();
            }
        }
        end.freed += read;
        // Told in lumps: a peer that waits for the window wants a good part of it.
        if end.freed >= tell_at {
            let (host, freed) = (end.host, std::mem::take(&mut end.freed));
            let sender = 1 - side;
            let to = self.conns[&id].ends[sender].host;
            let at = wire.links.segment(wire.now, host, to, 0);
            wire.stream(at, id, Kind::Credit(sender, freed));
        }
        Ok(read)
    }

    fn write(&mut self, wire: &mut Wire<'_>, id: u64, side: Side, bufs: &[IoSlice<'_>]) -> io::Result<usize> {
        let end = self.end(id, side)?;
        if let Some(error) = end.error {
            return Err(error.into());
        }
        if end.finished {
            return Err(ErrorKind::BrokenPipe.into());
        }
        let wanted: usize = bufs.iter().map(|buf| buf.len()).sum();
        let len = wanted.min(end.credit);
        if len == 0 {
            return if wanted == 0 { Ok(0) } else { Err(ErrorKind::WouldBlock.into()) };
        }
        end.credit -= len;
        let mut data = Vec::with_capacity(len);
        for buf in bufs {
            let part = buf.len().min(len - data.len());
            data.extend_from_slice(&buf[..part]);
        }
        wire.trace_stream(id, side, 0);
        wire.trace.bytes(&data);
        self.send(wire, id, side, data.into());
        Ok(len)
    }

    fn shutdown(&mut self, wire: &mut Wire<'_>, id: u64, side: Side) {
        let Ok(end) = self.end(id, side) else { return };
        if end.error.is_none() && !end.finished {
            end.finished = true;
            wire.trace_stream(id, side, 1);
            self.send(wire, id, side, Bytes::new());
        }
    }

    fn send(&mut self, wire: &mut Wire<'_>, id: u64, side: Side, data: Bytes) {
        let Some(conn) = self.conns.get_mut(&id) else { return };
        let to = conn.ends[1 - side].host;
        let end = &mut conn.ends[side];
        let at = wire.links.segment(wire.now, end.host, to, data.len()).max(end.last_arrival);
        // What arrives together with the segment before it needs no event of its own.
        if at > end.last_arrival || end.flight.is_empty() {
            wire.stream(at, id, Kind::Arrive(side));
        }
        end.last_arrival = at;
        end.flight.push_back(Segment { at, data });
    }

    // What arrives.

    fn on_arrive(&mut self, wire: &mut Wire<'_>, id: u64, side: Side) {
        let Some(conn) = self.conns.get_mut(&id) else { return };
        // Behind a segment that does not get through, all others wait.
        if conn.ends[side].stall.is_none() && conn.deliver(wire, id, side) == Way::Cut {
            self.stall(wire, id, side, None);
        }
    }

    fn on_retry(&mut self, wire: &mut Wire<'_>, id: u64, side: Side) {
        let Some(conn) = self.conns.get_mut(&id) else { return };
        let Some(stall) = conn.ends[side].stall.take() else { return };
        if conn.deliver(wire, id, side) == Way::Cut {
            self.stall(wire, id, side, Some(stall));
        }
    }

    /// Nothing gets through, or no acknowledgement comes back: the sender pauses, longer each time, and gives up at last.
    fn stall(&mut self, wire: &mut Wire<'_>, id: u64, side: Side, before: Option<Stall>) {
        let Some(conn) = self.conns.get_mut(&id) else { return };
        let to = conn.ends[1 - side].host;
        let end = &mut conn.ends[side];
        let stall = match before {
            Some(stall) => Stall { since: stall.since, pause: (stall.pause * 2).min(PAUSE_MAX) },
            None => Stall { since: wire.now, pause: wire.links.retransmission(end.host, to) },
        };
        let deadline = stall.since + nanos(self.config.timeout);
        if wire.now >= deadline {
            wire.trace_stream(id, side, 2);
            end.fail(ErrorKind::TimedOut, wire.wakes);
            return;
        }
        end.stall = Some(stall);
        wire.stream((wire.now + stall.pause).min(deadline), id, Kind::Retry(side));
    }

    fn on_credit(&mut self, wire: &mut Wire<'_>, id: u64, side: Side, bytes: usize) {
        let Some(conn) = self.conns.get_mut(&id) else { return };
        if !conn.ends[side].takes() {
            return;
        }
        if conn.is_cut(wire, 1 - side) {
            wire.stream(wire.now + PROBE, id, Kind::Credit(side, bytes));
            if conn.ends[side].stall.is_none() {
                self.stall(wire, id, side, None);
            }
            return;
        }
        let sender = &mut conn.ends[side];
        sender.credit += bytes;
        wire.wakes.extend(sender.writer.take());
    }

    fn on_reset(&mut self, wire: &mut Wire<'_>, id: u64, side: Side) {
        let Some(conn) = self.conns.get_mut(&id) else { return };
        // A reset that is cut off is not repeated: the other end stays half open, as with TCP.
        if conn.ends[side].alive && !conn.is_cut(wire, 1 - side) {
            wire.trace_stream(id, side, 3);
            conn.ends[side].fail(ErrorKind::ConnectionReset, wire.wakes);
        }
    }

    // The end of an end.

    /// The handle was dropped: what was written still arrives; what was not read makes it a reset.
    fn close(&mut self, wire: &mut Wire<'_>, id: u64, side: Side) {
        let Ok(end) = self.end(id, side) else { return };
        if !end.received.is_empty() {
            return self.vanish(wire, id, side);
        }
        self.shutdown(wire, id, side);
        self.bury(id, side);
    }

    /// The end is gone without a word of its own: the peer gets a reset, behind what is under way.
    fn vanish(&mut self, wire: &mut Wire<'_>, id: u64, side: Side) {
        let Some(conn) = self.conns.get_mut(&id) else { return };
        let to = conn.ends[1 - side].host;
        let end = &mut conn.ends[side];
        if end.stall.take().is_some() {
            end.flight.clear();
        }
        let at = wire.links.segment(wire.now, end.host, to, 0).max(end.last_arrival);
        wire.stream(at, id, Kind::Reset(1 - side));
        self.bury(id, side);
    }

    fn bury(&mut self, id: u64, side: Side) {
        let Some(conn) = self.conns.get_mut(&id) else { return };
        let end = &mut conn.ends[side];
        end.alive = false;
        end.received.clear();
        (end.reader, end.writer) = (None, None);
        self.of_host[end.host].remove(&(id, side));
        if conn.ends.iter().all(|end| !end.alive) {
            self.conns.remove(&id);
        }
    }

    /// Lets nothing through any more between `host`, which has another address now, and others.
    pub(crate) fn strand(&mut self, host: HostId, fault: FaultId) {
        for conn in self.conns.values_mut() {
            let hosts = [conn.ends[0].host, conn.ends[1].host];
            if hosts.contains(&host) && hosts[0] != hosts[1] {
                conn.stranded.get_or_insert(fault);
            }
        }
    }

    /// Fails both ends of all streams of `host`, and its attempts to open some. Returns how many there were.
    pub(crate) fn reset(&mut self, wire: &mut Wire<'_>, host: HostId) -> u64 {
        let held: BTreeSet<u64> = self.of_host[host].iter().map(|(id, _)| *id).collect();
        for &id in &held {
            let Some(conn) = self.conns.get_mut(&id) else { continue };
            if !matches!(conn.dial, Dial::Done(_)) {
                conn.dial = Dial::Done(Err(ErrorKind::ConnectionReset));
            }
            wire.trace_stream(id, 0, 3);
            for end in &mut conn.ends {
                end.fail(ErrorKind::ConnectionReset, wire.wakes);
            }
        }
        held.len() as u64
    }

    /// Closes everything of `host`; its peers get resets.
    pub(crate) fn kill(&mut self, wire: &mut Wire<'_>, host: HostId) {
        for id in self.ports.clear(host) {
            self.listeners.remove(&id);
        }
        for (id, side) in self.of_host[host].clone() {
            self.vanish(wire, id, side);
        }
    }
}

#[derive(PartialEq, Eq)]
enum Way {
    Open,
    Cut,
}

impl Conn {
    /// True when nothing gets through from `side` to the other.
    fn is_cut(&self, wire: &mut Wire<'_>, side: Side) -> bool {
        if let Some(fault) = self.stranded {
            wire.links.faults.bite(fault, 1);
            return true;
        }
        wire.links.is_cut(self.ends[side].host, self.ends[1 - side].host)
    }

    /// Hands over what `side` sent and is due. `Way::Cut` when it, or its acknowledgement, does not get through.
    fn deliver(&mut self, wire: &mut Wire<'_>, id: u64, side: Side) -> Way {
        while self.ends[side].flight.front().is_some_and(|segment| segment.at <= wire.now) {
            if self.is_cut(wire, side) {
                return Way::Cut;
            }
            let [first, second] = &mut self.ends;
            let (sender, receiver) = if side == 0 { (first, second) } else { (second, first) };
            let Some(segment) = sender.flight.pop_front() else { break };
            if !receiver.takes() {
                sender.flight.clear();
                let at = wire.links.segment(wire.now, receiver.host, sender.host, 0);
                wire.stream(at, id, Kind::Reset(side));
                return Way::Open;
            }
            wire.trace_stream(id, side, 4 + segment.data.len() as u64);
            if segment.data.is_empty() {
                receiver.ended = true;
            } else {
                receiver.received.push_back(segment.data);
            }
            wire.wakes.extend(receiver.reader.take());
        }
        if self.is_cut(wire, 1 - side) { Way::Cut } else { Way::Open }
    }
}

#[cfg(test)]
mod tests;
