//! Numbered datagrams between hosts, and what was heard of them.

use super::{HEADERS, NamespaceError, Network};
use crate::tier2::lateness::Histogram;
use crate::tier2::{go_first, monotonic};
use std::collections::BTreeMap;
use std::io;
use std::net::{SocketAddr, UdpSocket};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

const PORT: u16 = 9;
/// After the last probe is sent: longer than any link that is probed holds one back.
const REST: Duration = Duration::from_millis(700);
/// Between two looks at whether it is over.
const READ_TIMEOUT: Duration = Duration::from_millis(50);

/// What arrived of the probes of one pair.
#[derive(Clone, Debug)]
pub(super) struct Heard {
    pub(super) pair: (usize, usize),
    sent: u64,
    /// Number, and when it was sent and read, in order of arrival.
    arrivals: Vec<(u64, Duration, Duration)>,
}

impl Heard {
    fn distinct(&self) -> u64 {
        self.copies().len() as u64
    }

    fn copies(&self) -> BTreeMap<u64, u64> {
        let mut copies = BTreeMap::new();
        self.arrivals.iter().for_each(|(number, ..)| *copies.entry(*number).or_default() += 1);
        copies
    }

    /// The share of probes that did not arrive.
    pub(super) fn lost(&self) -> f64 {
        1.0 - self.distinct() as f64 / self.sent as f64
    }

    /// The share of probes, of those that arrived, that arrived twice.
    pub(super) fn duplicated(&self) -> f64 {
        let twice = self.copies().values().filter(|copies| **copies > 1).count();
        twice as f64 / self.distinct().max(1) as f64
    }

    /// The share of arrivals of which a later number was there first.
    pub(super) fn overtaken(&self) -> f64 {
        let mut latest = 0;
        let overtaken = self.arrivals.iter().filter(|(number, ..)| {
            latest = latest.max(*number);
            *number < latest
        });
        overtaken.count() as f64 / self.arrivals.len().max(1) as f64
    }

    /// The time on the way that `percent` of the arrivals did not exceed, in milliseconds.
    pub(super) fn quantile_ms(&self, percent: usize) -> f64 {
        let mut took: Vec<Duration> = self.arrivals.iter().map(|(_, sent, read)| read.saturating_sub(*sent)).collect();
        took.sort_unstable();
        let index = took.len().saturating_sub(1) * percent / 100;
        took.get(index).map_or(f64::NAN, |took| took.as_secs_f64() * 1_000.0)
    }

    /// Bytes in a second, from the first arrival to the last, when each has `bytes`.
    pub(super) fn rate(&self, bytes: usize) -> f64 {
        let (Some((.., first)), Some((.., last))) = (self.arrivals.first(), self.arrivals.last()) else {
            return f64::NAN;
        };
        ((self.arrivals.len() - 1) * bytes) as f64 / last.saturating_sub(*first).as_secs_f64()
    }
}

/// Sends `count` datagrams for each of `pairs`, one of each in every `gap`, of `bytes` as packets. Returns what was
/// heard, in the order of `pairs`; `late` takes in how late they were sent.
pub(super) fn probe(
    network: &Network,
    pairs: &[(usize, usize)],
    count: u64,
    gap: Duration,
    bytes: usize,
    late: &mut Histogram,
) -> Result<Vec<Heard>, NamespaceError> {
    let hosts = pairs.iter().map(|(from, to)| from.max(to) + 1).max().unwrap_or(0);
    let sockets = (0..hosts).map(|host| network.udp(host, PORT)).collect::<Result<Vec<_>, _>>()?;
    let failed = |error: io::Error| NamespaceError::system("send probes", error);
    let over = AtomicBool::new(false);
    let arrivals = std::thread::scope(|scope| {
        let readers: Vec<_> = sockets.iter().map(|socket| scope.spawn(|| read(socket, &over))).collect();
        let sender = scope.spawn(|| send(network, &sockets, pairs, count, gap, bytes, late));
        let sent = sender.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        over.store(true, Ordering::Relaxed);
        let read: io::Result<Vec<_>> = readers
            .into_iter()
            .map(|reader| reader.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
            .collect();
        sent.and(read)
    });
    let arrivals = arrivals.map_err(failed)?;
    let of = |pair: (usize, usize)| {
        let own = arrivals[pair.1].iter().filter(|arrival| arrival.from == pair.0);
        own.map(|arrival| (arrival.number, arrival.sent, arrival.read)).collect()
    };
    Ok(pairs.iter().map(|&pair| Heard { pair, sent: count, arrivals: of(pair) }).collect())
}

struct Arrival {
    from: usize,
    number: u64,
    sent: Duration,
    read: Duration,
}

#[expect(clippy::disallowed_methods, reason = "probes are sent in real time")]
fn send(
    network: &Network,
    sockets: &[UdpSocket],
    pairs: &[(usize, usize)],
    count: u64,
    gap: Duration,
    bytes: usize,
    late: &mut Histogram,
) -> io::Result<()> {
    go_first();
    let start = monotonic();
    let mut payload = vec![0; bytes - HEADERS];
    for number in 0..count {
        let due = start + gap * u32::try_from(number).unwrap_or(u32::MAX);
        std::thread::sleep(due.saturating_sub(monotonic()));
        late.add(monotonic().saturating_sub(due));
        for &(from, to) in pairs {
            payload[..8].copy_from_slice(&(from as u64).to_be_bytes());
            payload[8..16].copy_from_slice(&number.to_be_bytes());
            payload[16..24].copy_from_slice(&crate::clock::nanos(monotonic()).to_be_bytes());
            sockets[from].send_to(&payload, SocketAddr::from((network.address(to), PORT)))?;
        }
    }
    std::thread::sleep(REST);
    Ok(())
}

fn read(socket: &UdpSocket, over: &AtomicBool) -> io::Result<Vec<Arrival>> {
    go_first();
    socket.set_read_timeout(Some(READ_TIMEOUT))?;
    let mut buffer = [0; 2_000];
    let mut arrivals = Vec::new();
    while !over.load(Ordering::Relaxed) {
        match socket.recv(&mut buffer) {
            Ok(len) if len >= 24 => {
                let word = |at: usize| u64::from_be_bytes(buffer[at..at + 8].try_into().expect("eight bytes"));
                let from = usize::try_from(word(0)).map_err(io::Error::other)?;
                let sent = Duration::from_nanos(word(16));
                arrivals.push(Arrival { from, number: word(8), sent, read: monotonic() });
            }
            Ok(_) => {}
            Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(arrivals)
}
