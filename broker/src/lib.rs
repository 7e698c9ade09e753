//! An embeddable server for the NATS protocol: sans-IO core, thin shells.
//!
//! A [`Broker`] serves NATS clients over TCP, and the program that it lives in through [`Broker::local`]. Other
//! ways in and out (a mesh of brokers, a link to a real server) are [`Neighbor`]s: they bring interest, get the
//! messages that match it, and publish what arrives from elsewhere.
//!
//! ```
//! use lattice_broker::{Broker, Config, Message, env::Env};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let config = Config { listen: "127.0.0.1:0".parse()?, ..Config::default() };
//! let broker = Broker::new(Env::tokio(), config)?;
//! println!("NATS clients connect to {}", broker.listen()?);
//!
//! let mut local = broker.local();
//! let mut greetings = local.subscribe(b"greet.*", None, 64)?;
//! local.publish(&Message { subject: b"greet.joe", reply: None, header_len: 0, body: b"hello" });
//! assert_eq!(greetings.next().await.payload, "hello");
//! broker.drain().await;
//! # Ok(())
//! # }
//! ```
//!
//! # The way of a message
//!
//! `server/conn.rs` reads, `proto/parse.rs` finds the operations, `session.rs` says what they mean, `route.rs` knows
//! the takers of the subject (from `account.rs` and its `sublist.rs`), `delivery.rs` chooses among them, `batch.rs`
//! stages the bytes, and `server/outbox.rs` writes them to the takers' sockets.
//!
//! # Time, tasks and sockets
//!
//! All of them come from an [`env::Env`]; the broker runs unchanged in a simulated world.
#![forbid(unsafe_code)]

mod account;
mod attach;
mod auth;
mod batch;
mod clock;
mod config;
mod credentials;
mod crossing;
mod delivery;
pub mod env;
mod few;
mod flows;
mod generation;
mod hub;
mod imports;
mod layer;
pub mod leaf;
mod local;
mod lock;
mod mapping;
mod mappings;
mod message;
pub mod monitor;
mod neighbor;
mod oldest;
#[cfg(test)]
mod pipe;
pub mod proto;
mod responses;
mod route;
mod server;
pub mod session;
mod stats;
mod subject;
mod sublist;
mod subscription;
mod system;
mod takers;
pub mod tls;
mod trace;
pub mod websocket;

pub use attach::{Attachment, Publisher};
pub use auth::jwt;
pub use auth::{
    Access, AccountConfig, AccountLimits, AllowResponses, Auth, Callout, CalloutCheck, ConnectionType, Export,
    ExportKind, GLOBAL_ACCOUNT, Identity, Import, LocalSubject, Login, MappedTo, MappingError, Permissions,
    ResponseType, SYSTEM_ACCOUNT, Secret, SlowCheck, SubjectMapping, SubjectRules, User,
};
pub use config::{Config, ConfigError};
pub use credentials::{BadKey, Credentials, Shown, UserKey};
pub use local::{Local, LocalMessage, Subscription};
pub use mapping::BadDestination;
pub use message::{ClusterId, Groups, Message, Pick, UpstreamId};
pub use neighbor::{Candidate, InterestChange, InterestSource, Neighbor, NeighborKind, Waiting, by_weight};
pub use server::ListenError;
pub use stats::{CloseReason, Stats};
pub use subject::{BadFilter, BadSubject, Filter, Subject, is_filter, is_literal, matches};
pub use takers::{GroupTakers, Takers};
pub use trace::Tracer;

use hub::Hub;
use proto::Info;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

/// Longest message body in an account of the program's own, in bytes, at least.
const OWN_PAYLOAD_MAX: usize = 64 << 10;

/// A NATS server inside a program. Clones are handles of the same one.
///
/// Its tasks (one for each listener and connection) run on the [`env::Env`] until [`Broker::drain`]; dropping the
/// handles alone does not end them.
#[derive(Clone, Debug)]
pub struct Broker {
    hub: Arc<Hub>,
}

impl Broker {
    /// A server that does not listen yet; in-process clients and neighbours may use it at once.
    ///
    /// # Errors
    /// [`ConfigError`] names the setting that cannot work.
    pub fn new(env: env::Env, config: Config) -> Result<Self, ConfigError> {
        config.validate()?;
        Ok(Self { hub: Arc::new(Hub::new(env, config)) })
    }

    /// Listens where the configuration says, and serves clients from now on. Returns the address, with the port
    /// that was picked when it was 0.
    ///
    /// # Errors
    /// [`ListenError`] names the address; another call may try again.
    pub fn listen(&self) -> Result<SocketAddr, ListenError> {
        let at = server::listen(&self.hub, self.hub.config.listen)?;
        if let Some(interval) = self.hub.config.report_interval {
            self.hub.env.spawn(system::events::report(self.hub.clone(), interval));
        }
        Ok(at)
    }

    /// Listens for clients by WebSocket, where the configuration says so, as [`Broker::listen`] does for others.
    ///
    /// # Errors
    /// As there.
    pub fn listen_websocket(&self) -> Result<Option<SocketAddr>, ListenError> {
        server::listen_websocket(&self.hub)
    }

    /// Listens for leaf nodes, where the configuration says so, as [`Broker::listen`] does for clients. Each brings its
    /// interest to the account that its credentials are for, and what it wants of that is sent to it.
    ///
    /// # Errors
    /// As there.
    pub fn listen_leafs(&self) -> Result<Option<SocketAddr>, ListenError> {
        server::listen_leafs(&self.hub)
    }

    /// A client inside the process.
    #[must_use]
    pub fn local(&self) -> Local {
        Local::new(self.hub.clone(), self.hub.global_account().clone(), self.hub.config.max_payload)
    }

    /// A client inside the process, in one of [`Config::own_accounts`]; `None` for any other account. What it publishes
    /// may be of 64 KiB even where clients may say less.
    #[must_use]
    pub fn local_in(&self, account: &str) -> Option<Local> {
        self.hub.config.own_accounts.iter().find(|own| **own == account)?;
        let payload_max = self.hub.config.max_payload.max(OWN_PAYLOAD_MAX);
        Some(Local::new(self.hub.clone(), self.hub.account(account.as_bytes())?, payload_max))
    }

    /// Lets a neighbour join. It is told of all present interest before this returns, and of changes from then
    /// on, until the last clone of the result is dropped. It must not call the broker while it holds a lock that
    /// its own [`Neighbor::interest`] or [`Neighbor::learnt`] takes.
    ///
    /// There may be one mesh, and one leaf link for each upstream.
    #[must_use]
    pub fn attach(&self, kind: NeighborKind, neighbor: Arc<dyn Neighbor>) -> Attachment {
        Attachment::new(self.hub.clone(), kind, neighbor)
    }

    /// What INFO says of this server, without what depends on the connection.
    #[must_use]
    pub fn info(&self) -> &Info {
        &self.hub.info
    }

    /// How the connections of clients that come now are encrypted.
    #[must_use]
    pub fn tls(&self) -> Option<Arc<tls::Tls>> {
        self.hub.live().tls.clone()
    }

    /// The figures at this moment.
    #[must_use]
    pub fn stats(&self) -> Stats {
        self.hub.counters.snapshot()
    }

    /// Goes by other settings from now on, without disturbing clients that may stay as they are.
    ///
    /// Taken from `config` are `auth`, `max_payload`, `max_control_line`, `max_subscriptions`, `max_connections`,
    /// `ping_interval`, `ping_max`, `write_deadline` and `auth_timeout`, and for clients that come later `max_pending`, `tls`,
    /// `websocket` and `leaf`, but for where these listen;
    /// everything else stays as it was when the broker was made. Clients whose user is
    /// gone or has another account are closed, those whose credentials are not good any more are told so before;
    /// subscriptions that a client's permissions do not allow any more are removed, and the client is told which. Each
    /// client goes by the new settings from the next time that its task runs, which is soon after this returns.
    ///
    /// # Errors
    /// [`ConfigError`] names the setting that cannot work; nothing has changed then.
    pub fn reload(&self, config: &Config) -> Result<(), ConfigError> {
        let config = Config { own_accounts: self.hub.config.own_accounts.clone(), ..config.clone() };
        config.validate()?;
        self.hub.reload(&config);
        Ok(())
    }

    /// Where else clients find the same service, as `host:port`, the nearest first: they are told in INFO, those that are
    /// connected as soon as it changes, and fail over by themselves. Empty at the start.
    pub fn set_connect_urls(&self, urls: &[String]) {
        self.hub.set_connect_urls(urls);
    }

    /// Stops listening and tells clients to go elsewhere; after `grace` closes those that have not, one by one over
    /// `duration`, at most a second apart. Returns when none is left. Dropped before, it closes no more of them.
    pub async fn lame_duck(&self, grace: Duration, duration: Duration) {
        system::events::lame(&self.hub);
        self.hub.set_lame();
        if !self.hub.has_clients() {
            return;
        }
        self.hub.env.sleep(grace).await;
        let count = u32::try_from(self.stats().connections).unwrap_or(u32::MAX).max(1);
        let pause = (duration.saturating_sub(grace) / count).min(Duration::from_secs(1));
        while self.hub.drain_one() {
            self.hub.env.sleep(pause).await;
        }
    }

    /// What marks the interest of `account` on leaf links, of those that it accepts and those that are dialled for it: should
    /// it come back, there is a loop. The same for as long as the broker lives.
    #[must_use]
    pub fn leaf_mark(&self, account: &str) -> String {
        self.hub.leafs.token(account)
    }

    /// Stops listening, writes out what waits for clients, and closes them.
    ///
    /// Returns when all are gone, at the latest when the drain timeout (and a second for their farewell) is over.
    /// Cancel safe: the closing goes on without it.
    pub async fn drain(&self) {
        if !self.hub.stopping.is_cancelled() {
            system::events::shut_down(&self.hub);
        }
        self.hub.stopping.cancel();
        // Who is admitted after this sees that the broker is stopping, and drains by itself.
        self.hub.drain_clients();
        self.hub.leafs.stop();
        let patience = self.hub.config.drain_timeout + Duration::from_secs(2);
        let all_gone = async {
            loop {
                let closed = self.hub.closed.notified();
                tokio::pin!(closed);
                // Armed before looking, so that no end is missed.
                closed.as_mut().enable();
                if !self.hub.has_clients() && self.hub.leafs.is_empty() {
                    return;
                }
                closed.await;
            }
        };
        if self.hub.env.timeout(patience, all_gone).await.is_err() {
            tracing::warn!("clients are still connected after the drain timeout");
        }
    }
}
