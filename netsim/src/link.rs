//! How packets fare between two hosts: the links, the faults upon them, and how often each fault bit.
//!
//! It decides and keeps no packet: datagrams are `net.rs`, streams `stream.rs`. What a link is says `link/model.rs`, one
//! direction of it is `link/pair.rs`, who is cut off from whom `link/faults.rs`, what befell whom `link/fate.rs`.

mod fate;
mod faults;
mod model;
mod pair;

use crate::clock::{Nanos, nanos};
use crate::exec::HostId;
use crate::rng::{Dice, derive};
pub(crate) use fate::Ledger;
use fate::Luck;
pub use fate::{Fate, FateKind};
pub(crate) use faults::Faults;
pub use faults::{Bite, FaultId};
use model::Effect;
pub use model::{Burst, Degrade, Link};
use pair::Pair;
use rustc_hash::FxHashMap;
use std::collections::BTreeSet;
use std::time::Duration;

/// Datagrams by what became of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Handed to the network.
    pub sent: u64,
    /// Bytes in those.
    pub sent_bytes: u64,
    /// Read by a socket, or waiting to be.
    pub delivered: u64,
    /// Lost to chance, one by one.
    pub lost: u64,
    /// Lost in bursts.
    pub lost_in_bursts: u64,
    /// Stopped by a partition or cut.
    pub cut: u64,
    /// Delivered once more than sent.
    pub duplicated: u64,
    /// Overtaken on purpose.
    pub reordered: u64,
    /// Sent on with flipped bits.
    pub corrupted: u64,
    /// Lost because a queue or a receive buffer was full.
    pub overflowed: u64,
    /// Larger than the link takes.
    pub oversized: u64,
    /// Sent to a host out of reach: see [`World::close`](crate::World::close).
    pub unlinked: u64,
    /// Sent to an address or port where nobody listens.
    pub unheard: u64,
    /// Sent to an address that its host has given up, or gave up while they were under way.
    pub misaddressed: u64,
}

/// What the network does with one datagram.
#[derive(Clone, Debug, Default)]
pub(crate) struct Passage {
    /// Its number on its way.
    pub(crate) nth: u64,
    /// When it arrives, and its second copy. Empty when it is lost.
    pub(crate) arrivals: [Option<Nanos>; 2],
    /// Chooses the bits of the first copy that are flipped, if any are.
    pub(crate) flips: Option<Dice>,
}

/// All links and all faults.
#[derive(Debug)]
pub(crate) struct Links {
    seed: u64,
    default: Link,
    loopback: Nanos,
    /// Looked up for every packet, never walked.
    pairs: FxHashMap<(HostId, HostId), Pair>,
    /// The pairs between which anything passes at all; none when all are.
    linked: Option<BTreeSet<(HostId, HostId)>>,
    pub(crate) faults: Faults,
    pub(crate) ledger: Ledger,
    pub(crate) counters: Counters,
}

impl Links {
    pub(crate) fn new(seed: u64, hosts: usize, default: Link, loopback: Duration) -> Self {
        Self {
            seed,
            default,
            loopback: nanos(loopback),
            pairs: FxHashMap::default(),
            linked: None,
            faults: Faults::new(hosts),
            ledger: Ledger::default(),
            counters: Counters::default(),
        }
    }

    /// Gives one direction between two hosts its own link.
    pub(crate) fn set(&mut self, from: HostId, to: HostId, link: Link) {
        self.way(from, to).pair.set(link);
    }

    /// Lets packets pass between these pairs of hosts alone, both ways.
    pub(crate) fn close(&mut self, edges: &[(HostId, HostId)]) {
        self.linked = Some(edges.iter().map(|&(a, b)| (a.min(b), a.max(b))).collect());
    }

    fn is_linked(&self, from: HostId, to: HostId) -> bool {
        from == to || self.linked.as_ref().is_none_or(|linked| linked.contains(&(from.min(to), from.max(to))))
    }

    /// One direction as it is now, and what else a packet on it touches.
    fn way(&mut self, from: HostId, to: HostId) -> Way<'_> {
        let Self { seed, default, pairs, faults, ledger, counters, loopback: _, linked: _ } = self;
        let pair = pairs.entry((from, to)).or_insert_with(|| Pair::new(*seed, from, to, *default));
        pair.refresh(faults, from, to, *default);
        Way { from, to, default: *default, pair, faults, ledger, counters }
    }

    /// Ends one fault of the network.
    pub(crate) fn lift(&mut self, now: Nanos, fault: FaultId) {
        self.faults.lift(now, fault);
        self.ledger.release(fault);
    }

    /// True when nothing gets through from one host to the other; counted as a hit of what stops it.
    pub(crate) fn is_cut(&mut self, from: HostId, to: HostId) -> bool {
        if !self.is_linked(from, to) {
            return true;
        }
        if from == to || !self.faults.any_cut() {
            return false;
        }
        self.way(from, to).is_cut()
    }

    /// True when a cut fell while the `nth` datagram was under way; no number for a second copy.
    pub(crate) fn is_cut_under_way(&mut self, from: HostId, to: HostId, nth: Option<u64>) -> bool {
        let cut = self.is_cut(from, to);
        match nth {
            Some(nth) if cut => self.way(from, to).befall(nth, FateKind::CutUnderWay, 0),
            _ => self.counters.cut += u64::from(cut),
        }
        cut
    }

    /// Decides about a datagram of `len` bytes.
    pub(crate) fn datagram(&mut self, now: Nanos, from: HostId, to: HostId, len: usize) -> Passage {
        if from == to {
            return Passage { arrivals: [Some(now + self.loopback), None], ..Passage::default() };
        }
        if !self.is_linked(from, to) {
            self.counters.unlinked += 1;
            return Passage::default();
        }
        let seed = self.seed;
        let mut way = self.way(from, to);
        let nth = way.pair.sent;
        way.pair.sent += 1;
        let Some((departure, jitter, luck)) = way.set_out(now, nth, len) else {
            return Passage { nth, ..Passage::default() };
        };
        way.arrive(nth, &luck);
        let flips = luck.corrupted.then(|| Dice::new(derive(seed, "flips", pair::name(from, to)), "nth", nth));
        Passage { nth, arrivals: way.pair.arrivals(departure, jitter, &luck), flips }
    }

    /// When a segment of a stream arrives, if nothing cuts the way until then. What a datagram would lose to chance
    /// costs a stream the time of a retransmission.
    pub(crate) fn segment(&mut self, now: Nanos, from: HostId, to: HostId, len: usize) -> Nanos {
        if from == to {
            return now + self.loopback;
        }
        let lost_at_once = self.is_cut(from, to);
        let mut way = self.way(from, to);
        let (at, effects) = way.pair.segment(now, len, lost_at_once);
        for effect in effects.into_iter().chain([Effect::Passed]) {
            way.blame(effect);
        }
        at
    }

    /// How long a stream waits before it sends again what was not acknowledged.
    pub(crate) fn retransmission(&mut self, from: HostId, to: HostId) -> Nanos {
        let default = self.default;
        self.way(from, to).pair.own(default).retransmission()
    }
}

/// One direction, and what a packet on it touches.
struct Way<'a> {
    from: HostId,
    to: HostId,
    default: Link,
    pair: &'a mut Pair,
    faults: &'a mut Faults,
    ledger: &'a mut Ledger,
    counters: &'a mut Counters,
}

impl Way<'_> {
    fn is_cut(&mut self) -> bool {
        let Some(fault) = self.pair.cut else { return false };
        self.faults.bite(fault, 1);
        true
    }

    /// When a datagram leaves, its jitter, and what chance does to it later; `None` when it does not get so far.
    fn set_out(&mut self, now: Nanos, nth: u64, len: usize) -> Option<(Nanos, Nanos, Luck)> {
        let jitter = self.pair.jitter();
        let forced = self.ledger.forced(self.from, self.to, nth);
        if let Some((_, fault)) = forced {
            self.faults.bite(fault, 1);
        }
        let forced = forced.map(|(luck, _)| luck);
        if self.is_cut() || forced.is_some_and(|luck| luck.ends == Some(FateKind::Cut)) {
            self.befall(nth, FateKind::Cut, 0);
            return None;
        }
        if len > self.pair.now.mtu_bytes {
            self.counters.oversized += 1;
            self.blame(Effect::Oversized);
            return None;
        }
        let Some(departure) = self.pair.depart(now, len) else {
            self.counters.overflowed += 1;
            self.blame(Effect::Overflowed);
            return None;
        };
        let mut luck = forced.unwrap_or_else(|| self.pair.luck(jitter));
        luck.corrupted &= len > 0;
        if let Some(end) = luck.ends {
            if end == FateKind::CutUnderWay {
                // Those behind it keep their order with it.
                self.pair.arrivals(departure, jitter, &luck);
            }
            self.befall(nth, end, 0);
            return None;
        }
        Some((departure, jitter, luck))
    }

    /// Counts all that was done to a datagram that arrives.
    fn arrive(&mut self, nth: u64, luck: &Luck) {
        if let Some(late) = luck.reordered {
            self.befall(nth, FateKind::Reordered, late);
        }
        if let Some(late) = luck.duplicated {
            self.befall(nth, FateKind::Duplicated, late);
        }
        if luck.corrupted {
            self.befall(nth, FateKind::Corrupted, 0);
        }
        self.blame(Effect::Passed);
    }

    fn befall(&mut self, nth: u64, what: FateKind, late: Nanos) {
        let counters = &mut *self.counters;
        let (counter, effect) = match what {
            FateKind::Lost => (&mut counters.lost, Some(Effect::Lost)),
            FateKind::LostInBurst => (&mut counters.lost_in_bursts, Some(Effect::LostInBurst)),
            FateKind::Duplicated => (&mut counters.duplicated, Some(Effect::Duplicated)),
            FateKind::Reordered => (&mut counters.reordered, Some(Effect::Reordered)),
            FateKind::Corrupted => (&mut counters.corrupted, Some(Effect::Corrupted)),
            FateKind::Cut | FateKind::CutUnderWay => (&mut counters.cut, None),
        };
        *counter += 1;
        self.ledger.record(self.from, self.to, nth, what, late);
        if let Some(effect) = effect {
            self.blame(effect);
        }
    }

    fn blame(&mut self, effect: Effect) {
        self.pair.blame(self.faults, effect, self.default);
    }
}

#[cfg(test)]
mod tests;
