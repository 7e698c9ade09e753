//! The eye on one link: sends its heartbeats, listens for the peer's, and tells the control plane what it makes of them.
//!
//! What is a sign of life is decided in `heartbeat.rs`, what follows from none in `suspicion.rs`, what a link costs in
//! `cost.rs`; carrying frames is left to `link.rs`.

use super::cost::{self, Cost};
use super::events::What;
use super::heartbeat::{self, Beat, Due, Heartbeat, Missing, Pace};
use super::link;
use super::links::Link;
use super::quic::close as code;
use super::quic::receipts::{make_room, receipts};
use super::shared::{Input, Shared};
use super::suspicion::{Suspicion, Turn};
use crate::identity::NodeId;
use crate::planted::{self, Bug};
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

/// A timer that is so late says that this process stood still: nobody else is to blame for the silence.
const STOOD_STILL: Duration = Duration::from_millis(50);

/// How a link is.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Health {
    /// How much it is doubted: 0 when it is relied on, else it is used only where there is no other way, or none over links
    /// that are doubted less.
    pub doubt: u32,
    /// One of its ends pays for what it carries.
    pub metered: bool,
    /// What it costs by its round trip and loss.
    pub measured: u32,
    /// Share of the heartbeats that were lost of late: 0 to 1. Measured by the end that dialled.
    pub loss: f64,
}

impl Health {
    /// A link to `peer` that is coming up.
    pub(super) fn new(shared: &Shared, peer: NodeId, round_trip: Duration) -> Self {
        let suspicion = shared.histories.with(peer, |history| Suspicion::new(shared.env.now(), history));
        Self {
            doubt: suspicion.doubt(),
            metered: shared.config.heartbeat == Pace::Metered,
            measured: Cost::of(round_trip),
            loss: 0.0,
        }
    }

    /// What it costs to send there.
    #[must_use]
    pub fn cost(&self) -> u32 {
        let metered = if self.metered { cost::METERED } else { 0 };
        self.measured + metered + self.doubt * cost::DOUBT
    }
}

/// Why a link ended.
#[derive(Debug, thiserror::Error)]
pub(super) enum Reason {
    #[error("ended in peace, or replaced by a newer link")]
    Stopped,
    #[error("{0}")]
    Closed(quinn::ConnectionError),
    #[error("{0}")]
    Silent(Missing),
}

impl Reason {
    pub(super) fn code(&self) -> u32 {
        match self {
            Self::Stopped | Self::Closed(_) => code::DONE,
            Self::Silent(_) => code::SILENT,
        }
    }
}

/// Waits for the end of the link.
pub(super) async fn watch(shared: &Shared, link: &Link) -> Reason {
    let mut watch = Watch::new(shared, link);
    let mut wake_at = shared.env.now();
    let mut timer = shared.env.timer(wake_at);
    if planted::is(Bug::TimerLeaked) {
        // Planted: a timer that nobody drops when the link has ended.
        std::mem::forget(shared.env.timer(wake_at));
    }
    loop {
        let due = std::future::poll_fn(|cx| timer.as_mut().poll(cx));
        tokio::select! {
            biased;
            () = link.stop.cancelled() => return Reason::Stopped,
            error = link.connection.closed() => return Reason::Closed(error),
            datagram = link.connection.read_datagram() => match datagram {
                Ok(datagram) => watch.datagram(&datagram, wake_at),
                Err(error) => return Reason::Closed(error),
            },
            () = due => watch.wake(wake_at),
        }
        if let Some(missing) = watch.step() {
            return Reason::Silent(missing);
        }
        if watch.has_news() {
            shared.tell(Input::Health(link.id)).await;
        }
        wake_at = watch.next();
        timer.as_mut().reset(wake_at);
    }
}

struct Watch<'a> {
    shared: &'a Shared,
    link: &'a Link,
    heartbeat: Heartbeat,
    suspicion: Suspicion,
    cost: Cost,
    /// The peer pays for what the link carries.
    peer_metered: bool,
    /// When it may be doubted more than it is.
    worse_at: Instant,
    now: Instant,
}

impl<'a> Watch<'a> {
    fn new(shared: &'a Shared, link: &'a Link) -> Self {
        let (now, config) = (shared.env.now(), &shared.config);
        let round_trip = link.connection.rtt();
        Self {
            shared,
            link,
            heartbeat: Heartbeat::new(now, config.heartbeat, config.dead_after, link.dialed, round_trip),
            suspicion: shared.histories.with(link.peer, |history| Suspicion::new(now, history)),
            cost: Cost::new(link.health().measured),
            peer_metered: false,
            worse_at: now,
            now,
        }
    }

    /// Time has passed, until the one that was waited for or before.
    fn pass(&mut self, wake_at: Instant) {
        self.now = self.shared.env.now();
        let late = self.now.saturating_duration_since(wake_at);
        if late >= STOOD_STILL {
            self.heartbeat.slept(self.now, late);
        }
    }

    fn datagram(&mut self, datagram: &[u8], wake_at: Instant) {
        self.pass(wake_at);
        self.heartbeat.heard(self.now);
        match datagram.split_first() {
            Some((&heartbeat::TAG, record)) => self.beat(record),
            _ => link::take_receipt(self.shared, self.link, datagram),
        }
    }

    fn beat(&mut self, record: &[u8]) {
        let Some(beat) = Beat::decode(record) else { return };
        self.heartbeat.told(self.now, beat);
        self.peer_metered = beat.metered;
        self.cost.adopt(self.now, beat.cost);
    }

    fn wake(&mut self, wake_at: Instant) {
        self.pass(wake_at);
        self.heartbeat.heard(self.link.heard_at());
        let connection = &self.link.connection;
        let round_trip = connection.rtt();
        let exchanges = self.heartbeat.receipts(self.now, round_trip, &receipts(connection));
        if self.link.dialed && exchanges.answered > 0 {
            self.shared.plane.counters.round_trips.add(round_trip);
        }
        // What a cut held up says nothing of the link, and while it is suspected it costs so much more anyway.
        if self.link.dialed
            && !self.suspicion.is_suspected()
            && self.cost.measure(self.now, round_trip, exchanges.answered, exchanges.lost)
        {
            self.shared.plane.counters.link_costs_changed.add(1);
        }
    }

    /// Does what is due. Returns for how long there was no sign of life, when that is too long.
    fn step(&mut self) -> Option<Missing> {
        match self.heartbeat.due(self.now) {
            Due::Nothing => {}
            Due::Send => {
                let beat = self.heartbeat.beat(self.now, self.cost.told());
                if self.heartbeat.is_missed(self.now) {
                    make_room(&self.link.connection);
                }
                // An error here means that the connection is closed, which the next round sees.
                let _ = self.link.connection.send_datagram(beat.encode());
            }
            Due::Dead(missing) => return Some(missing),
        }
        let (missing, suspect_after) = (self.heartbeat.missing(self.now), self.heartbeat.suspect_after());
        let look = |history: &mut _| self.suspicion.look(self.now, missing.time(), suspect_after, history);
        let turn = self.shared.histories.with(self.link.peer, look);
        let (counters, Link { peer, name, .. }) = (&self.shared.plane.counters, self.link);
        match turn {
            Some(Turn::Suspected) => {
                // What there is another way for has gone there by then.
                self.worse_at = self.now + self.heartbeat.interval() / 2;
                counters.links_suspected.add(1);
                tracing::info!(%peer, name, %missing, "link suspected");
                self.shared.note(What::LinkSuspected, Some((*peer, name)), Some(missing.to_string()));
            }
            Some(Turn::Trusted) => {
                counters.links_trusted_again.add(1);
                tracing::info!(%peer, name, "link good again");
                self.shared.note(What::LinkCleared, Some((*peer, name)), None);
            }
            None if missing.time() >= suspect_after => self.doubt_more(missing),
            None => {}
        }
        None
    }

    /// Doubts a silent link more that is used all the same.
    fn doubt_more(&mut self, missing: Missing) {
        if self.now >= self.worse_at && self.link.in_vain.load(Relaxed) && self.suspicion.worsen() {
            let Link { peer, name, .. } = self.link;
            tracing::info!(%peer, name, %missing, "suspected link is silent");
        }
    }

    /// Shows how the link is; true when it costs something else now.
    fn has_news(&self) -> bool {
        let health = Health {
            doubt: self.suspicion.doubt(),
            metered: self.peer_metered || self.shared.config.heartbeat == Pace::Metered,
            measured: self.cost.told(),
            loss: self.cost.loss(),
        };
        self.link.set_health(health).cost() != health.cost()
    }

    fn next(&self) -> Instant {
        let next = self.heartbeat.next(self.now);
        let look = self.shared.histories.with(self.link.peer, |history| self.suspicion.next(history));
        look.map_or(next, |look| next.min(look))
    }
}
