//! One direction between two hosts: its link as it is now, its queue, and its luck.

use super::fate::{FateKind, Luck};
use super::faults::{FaultId, Faults};
use super::model::{Degrade, Effect, Link};
use crate::clock::{Nanos, nanos};
use crate::exec::HostId;
use crate::rng::Dice;

/// A segment that chance held back for this long goes through in the end.
const TOO_LATE: Nanos = 60_000_000_000;

/// A directed pair of hosts that has been used.
#[derive(Debug)]
pub(super) struct Pair {
    /// What it is without any fault; `None` for the world's default.
    own: Option<Link>,
    /// What it is with all that is wrong. Concluded from the faults of this version, or from none yet.
    pub(super) now: Link,
    pub(super) cut: Option<FaultId>,
    worse: Vec<(FaultId, Degrade)>,
    version: Option<u64>,
    /// Datagrams sent.
    pub(super) sent: u64,
    /// Within a burst.
    bad: bool,
    /// Three streams of numbers: what chance did to one datagram shifts neither the jitter of the others nor the
    /// streams, so that a run whose fates are forced is the run in which they were drawn.
    jitter: Dice,
    fates: Dice,
    streams: Dice,
    busy_until: Nanos,
    stream_busy_until: Nanos,
    last_arrival: Nanos,
}

impl Pair {
    pub(super) fn new(seed: u64, from: HostId, to: HostId, default: Link) -> Self {
        let dice = |label| Dice::new(seed, label, name(from, to));
        Self {
            own: None,
            now: default,
            cut: None,
            worse: Vec::new(),
            version: None,
            sent: 0,
            bad: false,
            jitter: dice("jitter"),
            fates: dice("fates"),
            streams: dice("streams"),
            busy_until: 0,
            stream_busy_until: 0,
            last_arrival: 0,
        }
    }

    pub(super) fn set(&mut self, link: Link) {
        self.own = Some(link);
        self.version = None;
    }

    pub(super) fn own(&self, default: Link) -> Link {
        self.own.unwrap_or(default)
    }

    /// Concludes from the faults what it is now, if they are others than last time.
    pub(super) fn refresh(&mut self, faults: &Faults, from: HostId, to: HostId, default: Link) {
        if self.version == Some(faults.version()) {
            return;
        }
        self.version = Some(faults.version());
        self.now = self.own(default);
        self.cut = faults.cut_between(from, to);
        self.worse.clear();
        self.worse.extend(faults.worse_between(from, to));
        for (_, degrade) in &self.worse {
            degrade.apply(&mut self.now);
        }
    }

    /// Lets the faults that show in `effect` count it.
    pub(super) fn blame(&self, faults: &mut Faults, effect: Effect, default: Link) {
        for (fault, degrade) in &self.worse {
            if degrade.shows(effect, &self.own(default), &self.now) {
                faults.bite(*fault, 1);
            }
        }
    }

    /// When a datagram leaves the queue, or `None` when the queue is full.
    pub(super) fn depart(&mut self, now: Nanos, len: usize) -> Option<Nanos> {
        let Some(rate) = self.now.rate else { return Some(now) };
        let start = self.busy_until.max(now);
        let waiting = u128::from(start - now) * u128::from(rate) / 1_000_000_000;
        if waiting > u128::from(self.now.queue_bytes) {
            return None;
        }
        self.busy_until = start + transmission(len, rate);
        Some(self.busy_until)
    }

    /// The jitter of the next datagram, drawn once for each whatever becomes of it.
    pub(super) fn jitter(&mut self) -> Nanos {
        self.jitter.below(nanos(self.now.jitter) + 1)
    }

    /// What chance does to a datagram with such a jitter.
    pub(super) fn luck(&mut self, jitter: Nanos) -> Luck {
        let link = self.now;
        self.bad = turn(&mut self.fates, &link, self.bad);
        let ends = lost(&mut self.fates, &link, self.bad);
        if ends.is_some() {
            return Luck { ends, ..Luck::default() };
        }
        let dice = &mut self.fates;
        Luck {
            ends: None,
            reordered: dice.chance(link.reorder).then(|| jitter + dice.below(link.overtaken_by() + 1)),
            duplicated: dice.chance(link.duplicate).then(|| dice.below(nanos(link.jitter) + 1)),
            corrupted: dice.chance(link.corrupt),
        }
    }

    /// When a datagram arrives that left then, and its second copy.
    pub(super) fn arrivals(&mut self, departure: Nanos, jitter: Nanos, luck: &Luck) -> [Option<Nanos>; 2] {
        let earliest = departure + nanos(self.now.delay);
        let mut in_order = |late: Nanos| {
            self.last_arrival = self.last_arrival.max(earliest + late);
            self.last_arrival
        };
        let first = luck.reordered.map_or_else(|| in_order(jitter), |late| earliest + late);
        [Some(first), luck.duplicated.map(in_order)]
    }

    /// When a segment of a stream arrives, and what chance did to it. `lost` says that it has been lost once already.
    pub(super) fn segment(&mut self, now: Nanos, len: usize, lost_at_once: bool) -> (Nanos, Vec<Effect>) {
        let link = self.now;
        let mut at = self.stream_busy_until.max(now);
        if let Some(rate) = link.rate {
            at += transmission(len, rate);
            self.stream_busy_until = at;
        }
        at += nanos(link.delay) + self.streams.below(nanos(link.jitter) + 1);
        let mut effects = Vec::new();
        let packets = len.div_ceil(link.mtu_bytes.max(1)).max(1);
        let unlucky = (0..packets).fold(false, |lost, _| self.packet_lost(&link, &mut effects) | lost);
        let mut lost = unlucky || lost_at_once;
        let mut pause = link.retransmission();
        while lost && at - now < TOO_LATE {
            at += pause;
            pause *= 2;
            lost = self.packet_lost(&link, &mut effects);
        }
        (at, effects)
    }

    /// Whether a packet of a stream is lost. To TCP a flipped bit is a loss.
    fn packet_lost(&mut self, link: &Link, effects: &mut Vec<Effect>) -> bool {
        self.bad = turn(&mut self.streams, link, self.bad);
        let effect = match lost(&mut self.streams, link, self.bad) {
            Some(FateKind::Lost) => Effect::Lost,
            Some(_) => Effect::LostInBurst,
            None if self.streams.chance(link.corrupt) => Effect::Corrupted,
            None => return false,
        };
        effects.push(effect);
        true
    }
}

/// One number for a direction.
pub(super) fn name(from: HostId, to: HostId) -> u64 {
    (from as u64) << 32 | to as u64
}

/// Whether the link is in a burst at the next packet.
fn turn(dice: &mut Dice, link: &Link, bad: bool) -> bool {
    let Some(burst) = link.burst else { return false };
    if bad { !dice.chance(burst.leave) } else { dice.chance(burst.enter) }
}

fn lost(dice: &mut Dice, link: &Link, bad: bool) -> Option<FateKind> {
    if dice.chance(link.loss) {
        return Some(FateKind::Lost);
    }
    let burst = link.burst.filter(|_| bad)?;
    dice.chance(burst.loss).then_some(FateKind::LostInBurst)
}

fn transmission(len: usize, rate: u64) -> Nanos {
    let time = len as u128 * 1_000_000_000 / u128::from(rate.max(1));
    Nanos::try_from(time).unwrap_or(Nanos::MAX / 4)
}
