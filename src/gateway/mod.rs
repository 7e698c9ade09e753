//! The way to a real NATS server: this node, and through it the lattice, is a leaf node of it.
//!
//! [`Gateway`] is a neighbour of the broker. What the broker hands it goes through the leaf protocol's session into a
//! bounded buffer; its task (`driver.rs`) dials for ever, and `link.rs` says what comes of one connection.
//! What the protocol demands, and the moving of its bytes, is left to `lattice_broker::leaf`; which of several nodes is the active one, to the node.

mod config;
mod counters;
mod driver;
mod link;
mod open;
mod state;

pub use config::{Config, ConfigError, UpstreamUrl, credentials_in};
pub use open::Encryption;

use crate::ports::{Bus, InterestChange, Message, Neighbor, NeighborKind, Pick, UpstreamId, Waiting};
use crate::status;
use counters::Counters;
use lattice_broker::env::Env;
use lattice_broker::leaf::{self, Interest, Scope};
use state::Shared;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::Waker;
use tokio_util::sync::CancellationToken;

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
    session: leaf::Config,
    shared: Shared,
    counters: Counters,
    started: AtomicBool,
    stopped: CancellationToken,
}

impl Gateway {
    /// A gateway that does not dial yet, but takes interest.
    #[must_use]
    pub fn new(env: Env, config: Config) -> Arc<Self> {
        let relays_marks = config.mark.is_some();
        let token = config.mark.clone().unwrap_or_else(|| leaf::random_token(&mut env.rng("gateway.token")));
        let session = leaf::Config {
            ping_interval: config.ping_interval,
            pending_bytes_max: config.pending_bytes_max,
            peer_interest_max: config.interest_max,
            pings_max: config.pings_max,
            write_deadline: config.write_deadline,
            relays_marks,
            denied_in: config.denied_in.clone(),
            denied_out: config.denied_out.clone(),
            ..leaf::Config::new(&config.name, &config.cluster, &config.account, token)
        };
        Arc::new(Self {
            upstream: config.upstream(),
            session,
            shared: Shared::new(Interest::new(config.account.as_bytes(), Scope::Up), config.pending_bytes_max),
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
        self.shared.lock().stopping = true;
        self.shared.lock_desk().wake_task();
        if self.started.load(Ordering::Relaxed) {
            self.stopped.cancelled().await;
        }
    }

    /// Of several nodes with the same upstream only the active one connects. A new gateway is active.
    pub fn set_active(&self, active: bool) {
        if std::mem::replace(&mut self.shared.lock().active, active) != active {
            self.shared.lock_desk().wake_task();
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
        let mut desk = self.shared.lock_desk();
        let sent = desk.send(self.env.now(), message, picks);
        let excess = desk.excess();
        drop(desk);
        if let Err(unsent) = sent {
            self.counters.unsent(unsent);
        }
        Waiting { buffer: 0, excess }
    }

    fn flush(&self) {
        self.shared.lock_desk().flush();
    }

    fn excess(&self, _buffer: u64) -> usize {
        self.shared.lock_desk().excess()
    }

    fn wake_when_drained(&self, _buffer: u64, waker: &Waker) {
        let slowed = self.shared.lock_desk().slow_down(waker);
        if !slowed {
            waker.wake_by_ref();
        }
    }

    fn interest(&self, change: &InterestChange<'_>) {
        self.shared.lock_desk().change(change);
    }
}

#[cfg(test)]
mod tests;
