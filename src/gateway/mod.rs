//! The way to a real NATS server: this node, and through it the lattice, is a leaf node of it.
//!
//! [`Gateway`] is a neighbour of the broker. What the broker hands it goes through the leaf protocol's session into a
//! bounded buffer; its task (`driver.rs`) dials for ever, and `link.rs` moves the bytes of one connection both ways.
//! What the protocol demands is left to `lattice_broker::leaf`; which of several nodes is the active one, to the node.

mod buffer;
mod config;
mod counters;
mod driver;
mod link;
mod state;

pub use config::{Config, ConfigError, UpstreamUrl};

use crate::ports::{Bus, InterestChange, Message, Neighbor, NeighborKind, Pick, UpstreamId, Waiting};
use crate::status;
use counters::Counters;
use lattice_broker::env::Env;
use lattice_broker::leaf::{self, Interest};
use smallvec::SmallVec;
use state::{Shared, State};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::Waker;
use tokio_util::sync::CancellationToken;

/// Bytes waiting for the server from which publishers are slowed down; an eighth of the bound, if that is less.
const STALL_PENDING: usize = 4 << 20;

/// A leaf link to a real server, kept up for ever.
///
/// Made in two steps, because the broker must know it before it can use the broker: [`Gateway::new`], attach it to the
/// broker, [`Gateway::run`] with the bus from there. The task that `run` spawns ends by [`Gateway::stop`] alone.
/// Delivery to the server and from it is in order and at most once; what a lost link had not written is lost and counted.
#[derive(Debug)]
pub struct Gateway {
    env: Env,
    config: Config,
    upstream: UpstreamId,
    session: Arc<leaf::Config>,
    shared: Shared,
    counters: Counters,
    started: AtomicBool,
    stopped: CancellationToken,
}

impl Gateway {
    /// A gateway that does not dial yet, but takes interest.
    #[must_use]
    pub fn new(env: Env, config: Config) -> Arc<Self> {
        let token = leaf::random_token(&mut env.rng("gateway.token"));
        let session = leaf::Config {
            credentials: config.url.credentials().clone(),
            ping_interval: config.ping_interval,
            pending_bytes_max: config.pending_bytes_max,
            peer_interest_max: config.interest_max,
            ..leaf::Config::new(&config.name, &config.cluster, &config.account, token)
        };
        Arc::new(Self {
            upstream: config.url.id(),
            session: Arc::new(session),
            shared: Shared::new(Interest::new(config.account.as_bytes())),
            counters: Counters::default(),
            started: AtomicBool::new(false),
            stopped: CancellationToken::new(),
            env,
            config,
        })
    }

    /// What to attach it to the broker as.
    #[must_use]
    pub fn kind(&self) -> NeighborKind {
        NeighborKind::Leaf(self.upstream)
    }

    /// The upstream that it is the way to.
    #[must_use]
    pub fn upstream(&self) -> UpstreamId {
        self.upstream
    }

    /// Spawns the task that dials and moves messages, until [`Gateway::stop`].
    ///
    /// # Panics
    /// When called twice.
    pub fn run(self: &Arc<Self>, bus: Arc<dyn Bus>) {
        assert!(!self.started.swap(true, Ordering::Relaxed), "a gateway runs once");
        self.env.spawn(driver::run(Arc::clone(self), bus));
    }

    /// Writes what waits (for a second at most), closes the link, withdraws the server's interest and ends the task.
    /// Cancel safe: it stops all the same.
    pub async fn stop(&self) {
        {
            let mut state = self.shared.lock();
            state.stopping = true;
            state.wake_task();
        }
        if self.started.load(Ordering::Relaxed) {
            self.stopped.cancelled().await;
        }
    }

    /// Of several nodes with the same upstream only the active one connects. A new gateway is active.
    pub fn set_active(&self, active: bool) {
        let mut state = self.shared.lock();
        if state.active != active {
            state.active = active;
            state.wake_task();
        }
    }

    /// The link as `lattice status` shows it.
    #[must_use]
    pub fn status(&self) -> status::Upstream {
        let state = self.shared.lock();
        status::Upstream {
            url: self.config.url.to_string(),
            connected: state.server.is_some(),
            standby: !state.active,
            error: state.error.clone().filter(|_| state.active && state.server.is_none()),
            server: state.server.clone(),
        }
    }

    /// What has been counted since the start, by name.
    #[must_use]
    pub fn counters(&self) -> BTreeMap<&'static str, u64> {
        self.counters.by_name()
    }
}

impl Gateway {
    fn excess_of(&self, pending: usize) -> usize {
        pending.saturating_sub(STALL_PENDING.min(self.config.pending_bytes_max / 8))
    }
}

impl Neighbor for Gateway {
    fn deliver(
        &self,
        account: &[u8],
        message: &Message<'_>,
        _: u64,
        via: Option<UpstreamId>,
        members: &[u32],
        picks: &[Pick<'_>],
    ) -> Waiting {
        if account != self.config.account.as_bytes() || (members.is_empty() && picks.is_empty()) {
            return Waiting::default();
        }
        if via == Some(self.upstream) {
            self.counters.out_echo.add(1);
            return Waiting::default();
        }
        // A group may have been picked for several of its filters; the line names it once.
        let mut groups: SmallVec<[&[u8]; 4]> = SmallVec::new();
        for pick in picks {
            if !groups.contains(&pick.group) {
                groups.push(pick.group);
            }
        }
        let now = self.env.now();
        let mut state = self.shared.lock();
        let State { session, interest, .. } = &mut *state;
        let sent = match session {
            Some(session) => session.send(now, message, groups.iter().copied(), interest),
            None => Err(leaf::Unsent::Down),
        };
        let pending = state.pending_bytes();
        drop(state);
        if let Err(unsent) = sent {
            self.counters.unsent(unsent);
        }
        Waiting { buffer: 0, excess: self.excess_of(pending) }
    }

    fn flush(&self) {
        let mut state = self.shared.lock();
        if state.pending_bytes() > 0 {
            state.wake_task();
        }
    }

    fn excess(&self, _buffer: u64) -> usize {
        let pending = self.shared.lock().pending_bytes();
        self.excess_of(pending)
    }

    fn wake_when_drained(&self, _buffer: u64, waker: &Waker) {
        let slowed = self.shared.lock().slow_down(waker);
        if !slowed {
            waker.wake_by_ref();
        }
    }

    fn interest(&self, change: &InterestChange<'_>) {
        let mut state = self.shared.lock();
        let State { session, interest, .. } = &mut *state;
        match session {
            Some(session) => {
                session.interest(change, interest);
                if session.pending_bytes() > 0 {
                    state.wake_task();
                }
            }
            None => interest.record(change),
        }
    }
}

#[cfg(test)]
mod tests;
