//! How packets fare between two hosts: the links, the faults upon them, and how often each fault bit.
//!
//! It decides fates and keeps no packet: datagrams are `net.rs`, streams `stream.rs`.

use crate::clock::{Nanos, nanos};
use crate::exec::HostId;
use crate::rng::Dice;
use std::collections::HashMap;
use std::time::Duration;

/// What the network does to packets from one host to another.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Link {
    /// Time on the way.
    pub delay: Duration,
    /// Up to this much more, drawn evenly. By itself it keeps packets in order.
    pub jitter: Duration,
    /// Probability that a datagram is lost. A stream loses time instead, as TCP does.
    pub loss: f64,
    /// Probability that a datagram arrives twice.
    pub duplicate: f64,
    /// Probability that a datagram is overtaken: it takes up to 8 times the jitter longer (or the delay, without jitter).
    pub reorder: f64,
    /// Bytes per second, or no limit. Datagrams and streams each get it in full.
    pub rate: Option<u64>,
    /// Bytes that may wait for the rate; datagrams beyond are lost.
    pub queue_bytes: u64,
    /// The largest datagram in bytes; larger ones are lost.
    pub mtu_bytes: usize,
}

impl Default for Link {
    /// A calm wide-area link: 10 ms, 2 ms of jitter, nothing lost, no limit of rate, Ethernet's frames.
    fn default() -> Self {
        Self {
            delay: Duration::from_millis(10),
            jitter: Duration::from_millis(2),
            loss: 0.0,
            duplicate: 0.0,
            reorder: 0.0,
            rate: None,
            queue_bytes: 64 * 1024,
            mtu_bytes: 1472,
        }
    }
}

/// By how much a fault worsens a link. The default worsens nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Degrade {
    /// Added to the delay.
    pub delay: Duration,
    /// The least jitter.
    pub jitter: Duration,
    /// The least probability of loss.
    pub loss: f64,
    /// The least probability of duplication.
    pub duplicate: f64,
    /// The least probability of reordering.
    pub reorder: f64,
    /// The most bytes per second, or no limit.
    pub rate: Option<u64>,
    /// The most bytes in a datagram, or no limit.
    pub mtu_bytes: Option<usize>,
}

impl Degrade {
    fn apply(&self, link: &mut Link) {
        link.delay += self.delay;
        link.jitter = link.jitter.max(self.jitter);
        link.loss = link.loss.max(self.loss);
        link.duplicate = link.duplicate.max(self.duplicate);
        link.reorder = link.reorder.max(self.reorder);
        link.rate = [link.rate, self.rate].into_iter().flatten().min();
        link.mtu_bytes = self.mtu_bytes.map_or(link.mtu_bytes, |mtu| mtu.min(link.mtu_bytes));
    }
}

/// Names a fault of a world, in the order in which they were made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FaultId(pub(crate) usize);

/// How often a fault made a difference. A fault with no hits proves nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bite {
    /// Which fault.
    pub fault: FaultId,
    /// What it was, for people.
    pub what: String,
    /// When it began.
    pub since: Duration,
    /// When it ended, if it has.
    pub until: Option<Duration>,
    /// Packets, segments, tasks or hosts that it hit.
    pub hits: u64,
}

/// Datagrams by what became of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Handed to the network.
    pub sent: u64,
    /// Bytes in those.
    pub sent_bytes: u64,
    /// Read by a socket, or waiting to be.
    pub delivered: u64,
    /// Lost to chance.
    pub lost: u64,
    /// Stopped by a partition or cut.
    pub cut: u64,
    /// Delivered once more than sent.
    pub duplicated: u64,
    /// Overtaken on purpose.
    pub reordered: u64,
    /// Lost because a queue or a receive buffer was full.
    pub overflowed: u64,
    /// Larger than the link takes.
    pub oversized: u64,
    /// Sent to an address or port where nobody listens.
    pub unheard: u64,
}

#[derive(Debug)]
enum Scope {
    /// Hosts of different groups; 0 is in none.
    Groups(Vec<u16>),
    /// From one set of hosts to another.
    Between { from: Vec<bool>, to: Vec<bool>, both_ways: bool },
}

impl Scope {
    fn holds(&self, from: HostId, to: HostId) -> bool {
        match self {
            Self::Groups(groups) => groups[from] != 0 && groups[to] != 0 && groups[from] != groups[to],
            Self::Between { from: a, to: b, both_ways } => (a[from] && b[to]) || (*both_ways && b[from] && a[to]),
        }
    }
}

#[derive(Debug)]
struct Rule {
    fault: FaultId,
    scope: Scope,
    /// How much worse; `None` stops everything.
    degrade: Option<Degrade>,
}

/// A directed pair of hosts that has been used.
#[derive(Debug)]
struct Pair {
    own: Option<Link>,
    dice: Dice,
    busy_until: Nanos,
    stream_busy_until: Nanos,
    last_arrival: Nanos,
}

/// What the network does with one datagram: when its copies arrive. Empty when it is lost.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Fate {
    pub(crate) arrivals: [Option<Nanos>; 2],
}

/// All links and all faults.
#[derive(Debug)]
pub(crate) struct Links {
    seed: u64,
    hosts: usize,
    default: Link,
    loopback: Nanos,
    /// Looked up, never walked.
    pairs: HashMap<(HostId, HostId), Pair>,
    rules: Vec<Rule>,
    faults: Vec<Bite>,
    pub(crate) counters: Counters,
}

impl Links {
    pub(crate) fn new(seed: u64, hosts: usize, default: Link, loopback: Duration) -> Self {
        Self {
            seed,
            hosts,
            default,
            loopback: nanos(loopback),
            pairs: HashMap::new(),
            rules: Vec::new(),
            faults: Vec::new(),
            counters: Counters::default(),
        }
    }

    /// Gives one direction between two hosts its own link.
    pub(crate) fn set(&mut self, from: HostId, to: HostId, link: Link) {
        self.pair(from, to).own = Some(link);
    }

    fn pair(&mut self, from: HostId, to: HostId) -> &mut Pair {
        let seed = self.seed;
        self.pairs.entry((from, to)).or_insert_with(|| Pair {
            own: None,
            dice: Dice::new(seed, "link", (from as u64) << 32 | to as u64),
            busy_until: 0,
            stream_busy_until: 0,
            last_arrival: 0,
        })
    }

    /// Notes a fault that is not about links, or not yet.
    pub(crate) fn note(&mut self, now: Nanos, what: String) -> FaultId {
        let fault = FaultId(self.faults.len());
        self.faults.push(Bite { fault, what, since: Duration::from_nanos(now), until: None, hits: 0 });
        fault
    }

    pub(crate) fn bite(&mut self, fault: FaultId, hits: u64) {
        self.faults[fault.0].hits += hits;
    }

    pub(crate) fn partition(&mut self, now: Nanos, groups: &[&[HostId]]) -> FaultId {
        let mut of = vec![0; self.hosts];
        for (number, group) in (1u16..).zip(groups) {
            group.iter().for_each(|&host| of[host] = number);
        }
        let fault = self.note(now, format!("partition {groups:?}"));
        self.rules.push(Rule { fault, scope: Scope::Groups(of), degrade: None });
        fault
    }

    pub(crate) fn cut(&mut self, now: Nanos, from: &[HostId], to: &[HostId], both_ways: bool) -> FaultId {
        let arrow = if both_ways { "<->" } else { "->" };
        let fault = self.note(now, format!("cut {from:?}{arrow}{to:?}"));
        self.between(fault, from, to, both_ways, None);
        fault
    }

    pub(crate) fn degrade(&mut self, now: Nanos, from: &[HostId], to: &[HostId], degrade: Degrade) -> FaultId {
        let fault = self.note(now, format!("degrade {from:?}<->{to:?} {degrade:?}"));
        self.between(fault, from, to, true, Some(degrade));
        fault
    }

    fn between(&mut self, fault: FaultId, from: &[HostId], to: &[HostId], both_ways: bool, degrade: Option<Degrade>) {
        let mask = |hosts: &[HostId]| {
            let mut mask = vec![false; self.hosts];
            hosts.iter().for_each(|&host| mask[host] = true);
            mask
        };
        let scope = Scope::Between { from: mask(from), to: mask(to), both_ways };
        self.rules.push(Rule { fault, scope, degrade });
    }

    /// Ends one fault.
    pub(crate) fn lift(&mut self, now: Nanos, fault: FaultId) {
        self.rules.retain(|rule| rule.fault != fault);
        self.faults[fault.0].until.get_or_insert(Duration::from_nanos(now));
    }

    /// Ends all faults upon links.
    pub(crate) fn heal(&mut self, now: Nanos) {
        for rule in std::mem::take(&mut self.rules) {
            self.faults[rule.fault.0].until.get_or_insert(Duration::from_nanos(now));
        }
    }

    pub(crate) fn bites(&self) -> &[Bite] {
        &self.faults
    }

    /// True when nothing gets through from one host to the other; counted as a hit of what stops it.
    pub(crate) fn is_cut(&mut self, from: HostId, to: HostId) -> bool {
        if from == to {
            return false;
        }
        let cut = self.rules.iter().find(|rule| rule.degrade.is_none() && rule.scope.holds(from, to));
        let Some(fault) = cut.map(|rule| rule.fault) else { return false };
        self.bite(fault, 1);
        true
    }

    /// The link as it is now, with all that worsens it.
    fn conditions(&mut self, from: HostId, to: HostId) -> Link {
        let mut link = self.pair(from, to).own.unwrap_or(self.default);
        for rule in &self.rules {
            if let Some(degrade) = rule.degrade.filter(|_| rule.scope.holds(from, to)) {
                degrade.apply(&mut link);
                self.faults[rule.fault.0].hits += 1;
            }
        }
        link
    }

    /// Decides about a datagram of `len` bytes.
    pub(crate) fn datagram(&mut self, now: Nanos, from: HostId, to: HostId, len: usize) -> Fate {
        if from == to {
            return Fate { arrivals: [Some(now + self.loopback), None] };
        }
        if self.is_cut(from, to) {
            self.counters.cut += 1;
            return Fate::default();
        }
        let link = self.conditions(from, to);
        if len > link.mtu_bytes {
            self.counters.oversized += 1;
            return Fate::default();
        }
        let Some(departure) = self.pair(from, to).depart(now, len, &link) else {
            self.counters.overflowed += 1;
            return Fate::default();
        };
        let pair = self.pair(from, to);
        if pair.dice.chance(link.loss) {
            self.counters.lost += 1;
            return Fate::default();
        }
        let (first, overtaken) = pair.arrive(departure, &link);
        let second = pair.dice.chance(link.duplicate).then(|| pair.arrive(departure, &link).0);
        self.counters.reordered += u64::from(overtaken);
        self.counters.duplicated += u64::from(second.is_some());
        Fate { arrivals: [Some(first), second] }
    }

    /// When a segment of a stream arrives, if nothing cuts the way until then. What a datagram would lose to chance
    /// costs a stream the time of a retransmission.
    pub(crate) fn segment(&mut self, now: Nanos, from: HostId, to: HostId, len: usize) -> Nanos {
        if from == to {
            return now + self.loopback;
        }
        let lost_at_once = self.is_cut(from, to);
        let link = self.conditions(from, to);
        let mut retransmission = retransmission(&link);
        let pair = self.pair(from, to);
        let mut at = pair.stream_busy_until.max(now);
        if let Some(rate) = link.rate {
            at += transmission(len, rate);
            pair.stream_busy_until = at;
        }
        at += nanos(link.delay) + pair.dice.below(nanos(link.jitter) + 1);
        let packets = len.div_ceil(link.mtu_bytes.max(1)).max(1);
        let mut lost = lost_at_once || (0..packets).fold(false, |lost, _| pair.dice.chance(link.loss) | lost);
        while lost && at - now < TOO_LATE {
            at += retransmission;
            retransmission *= 2;
            lost = pair.dice.chance(link.loss);
        }
        at
    }

    /// How long a stream waits before it sends again what was not acknowledged.
    pub(crate) fn retransmission(&mut self, from: HostId, to: HostId) -> Nanos {
        let link = self.pair(from, to).own.unwrap_or(self.default);
        retransmission(&link)
    }
}

/// A segment that chance held back for this long goes through in the end.
const TOO_LATE: Nanos = 60_000_000_000;

/// Linux's least retransmission time, or a round trip on longer links.
fn retransmission(link: &Link) -> Nanos {
    nanos(link.delay * 2 + link.jitter).max(200_000_000)
}

fn transmission(len: usize, rate: u64) -> Nanos {
    let time = len as u128 * 1_000_000_000 / u128::from(rate.max(1));
    Nanos::try_from(time).unwrap_or(Nanos::MAX / 4)
}

impl Pair {
    /// When a datagram leaves the queue, or `None` when the queue is full.
    fn depart(&mut self, now: Nanos, len: usize, link: &Link) -> Option<Nanos> {
        let Some(rate) = link.rate else { return Some(now) };
        let start = self.busy_until.max(now);
        let waiting = u128::from(start - now) * u128::from(rate) / 1_000_000_000;
        if waiting > u128::from(link.queue_bytes) {
            return None;
        }
        self.busy_until = start + transmission(len, rate);
        Some(self.busy_until)
    }

    /// When it arrives, and whether later ones may overtake it.
    fn arrive(&mut self, departure: Nanos, link: &Link) -> (Nanos, bool) {
        let (delay, jitter) = (nanos(link.delay), nanos(link.jitter));
        let at = departure + delay + self.dice.below(jitter + 1);
        if self.dice.chance(link.reorder) {
            let more = if jitter == 0 { delay } else { 8 * jitter };
            return (at + self.dice.below(more + 1), true);
        }
        self.last_arrival = self.last_arrival.max(at);
        (self.last_arrival, false)
    }
}

#[cfg(test)]
mod tests;
