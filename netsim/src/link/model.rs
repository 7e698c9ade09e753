//! What a link is, and by how much a fault worsens one.

use crate::clock::{Nanos, nanos};
use std::fmt;
use std::time::Duration;

/// Losses that come in bursts: the link turns bad and good again packet by packet, and loses only while it is bad
/// (the Gilbert-Elliott model). In the long run it is bad for `enter / (enter + leave)` of the packets.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Burst {
    /// Probability, at each packet, that a good link turns bad.
    pub enter: f64,
    /// Probability, at each packet, that a bad link turns good. A burst lasts `1 / leave` packets on average.
    pub leave: f64,
    /// Probability that a packet is lost while the link is bad.
    pub loss: f64,
}

impl Burst {
    /// What it loses in the long run.
    fn mean_loss(&self) -> f64 {
        if self.enter > 0.0 { self.loss * self.enter / (self.enter + self.leave) } else { 0.0 }
    }
}

/// What the network does to packets from one host to another.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Link {
    /// Time on the way.
    pub delay: Duration,
    /// Up to this much more, drawn evenly. By itself it keeps packets in order.
    pub jitter: Duration,
    /// Probability that a datagram is lost. A stream loses time instead, as TCP does.
    pub loss: f64,
    /// Further losses, in bursts. Datagrams and streams meet the same burst.
    pub burst: Option<Burst>,
    /// Probability that a datagram arrives twice.
    pub duplicate: f64,
    /// Probability that a datagram is overtaken: it takes up to 8 times the jitter longer (or the delay, without jitter).
    pub reorder: f64,
    /// Probability that a datagram arrives with one to eight bits of one byte flipped. To a stream it is a loss: TCP's
    /// checksum finds it.
    pub corrupt: f64,
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
            burst: None,
            duplicate: 0.0,
            reorder: 0.0,
            corrupt: 0.0,
            rate: None,
            queue_bytes: 64 * 1024,
            mtu_bytes: 1472,
        }
    }
}

impl Link {
    /// How much longer a datagram may take that is overtaken.
    pub(super) fn overtaken_by(&self) -> Nanos {
        let jitter = nanos(self.jitter);
        if jitter == 0 { nanos(self.delay) } else { jitter.saturating_mul(8) }
    }

    /// Linux's least retransmission time, or a round trip on longer links.
    pub(super) fn retransmission(&self) -> Nanos {
        nanos(self.delay * 2 + self.jitter).max(200_000_000)
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
    /// Bursts, unless those of the link lose more.
    pub burst: Option<Burst>,
    /// The least probability of duplication.
    pub duplicate: f64,
    /// The least probability of reordering.
    pub reorder: f64,
    /// The least probability of corruption.
    pub corrupt: f64,
    /// The most bytes per second, or no limit.
    pub rate: Option<u64>,
    /// The most bytes that may wait for the rate, or as many as the link lets.
    pub queue_bytes: Option<u64>,
    /// The most bytes in a datagram, or no limit.
    pub mtu_bytes: Option<usize>,
}

/// Something that a link did to a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Effect {
    /// It let it through, in its own time.
    Passed,
    Lost,
    LostInBurst,
    Duplicated,
    Reordered,
    Corrupted,
    Overflowed,
    Oversized,
}

impl Degrade {
    /// Worsens `link`.
    pub(super) fn apply(&self, link: &mut Link) {
        link.delay += self.delay;
        link.jitter = link.jitter.max(self.jitter);
        link.loss = link.loss.max(self.loss);
        let mean = |burst: Option<Burst>| burst.map_or(0.0, |burst| burst.mean_loss());
        if mean(self.burst) > mean(link.burst) {
            link.burst = self.burst;
        }
        link.duplicate = link.duplicate.max(self.duplicate);
        link.reorder = link.reorder.max(self.reorder);
        link.corrupt = link.corrupt.max(self.corrupt);
        link.rate = [link.rate, self.rate].into_iter().flatten().min();
        link.queue_bytes = self.queue_bytes.map_or(link.queue_bytes, |queue| queue.min(link.queue_bytes));
        link.mtu_bytes = self.mtu_bytes.map_or(link.mtu_bytes, |mtu| mtu.min(link.mtu_bytes));
    }

    /// Whether this is to be thanked for `effect` on a link that is `own` without any fault, and `now` with all: a fault
    /// whose part does not show makes no difference.
    pub(super) fn shows(&self, effect: Effect, own: &Link, now: &Link) -> bool {
        let worst = |here: f64, own: f64, now: f64| here > own && here >= now;
        let rate = self.rate.is_some() && self.rate == now.rate && own.rate != now.rate;
        let burst = self.burst.is_some() && self.burst == now.burst && own.burst != now.burst;
        match effect {
            Effect::Passed => !self.delay.is_zero() || (self.jitter > own.jitter && self.jitter >= now.jitter) || rate,
            Effect::Lost => worst(self.loss, own.loss, now.loss),
            Effect::LostInBurst => burst,
            Effect::Duplicated => worst(self.duplicate, own.duplicate, now.duplicate),
            Effect::Reordered => worst(self.reorder, own.reorder, now.reorder),
            Effect::Corrupted => worst(self.corrupt, own.corrupt, now.corrupt),
            Effect::Overflowed => rate || self.queue_bytes.is_some_and(|queue| queue == now.queue_bytes),
            Effect::Oversized => self.mtu_bytes.is_some_and(|mtu| mtu < own.mtu_bytes && mtu == now.mtu_bytes),
        }
    }
}

impl fmt::Display for Degrade {
    /// What it worsens, and nothing of the rest.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut parts = Vec::new();
        let times = [("delay", self.delay), ("jitter", self.jitter)];
        parts.extend(times.iter().filter(|part| !part.1.is_zero()).map(|(name, by)| format!("{name} {by:?}")));
        let chances =
            [("loss", self.loss), ("duplicate", self.duplicate), ("reorder", self.reorder), ("corrupt", self.corrupt)];
        parts.extend(chances.iter().filter(|part| part.1 > 0.0).map(|(name, p)| format!("{name} {p}")));
        if let Some(Burst { enter, leave, loss }) = self.burst {
            parts.push(format!("burst {enter}/{leave}/{loss}"));
        }
        let limits = [("rate", self.rate), ("queue", self.queue_bytes), ("mtu", self.mtu_bytes.map(|mtu| mtu as u64))];
        parts.extend(limits.iter().filter_map(|(name, limit)| Some(format!("{name} {}", (*limit)?))));
        f.write_str(&parts.join(", "))
    }
}
