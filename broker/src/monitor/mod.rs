//! What the broker tells those who watch over it: the answers of nats-server's monitoring endpoints, as data.
//!
//! Each file is one answer. How it gets to who asked is left to others: HTTP to the program around the broker, requests
//! on `$SYS.REQ.` to `system.rs`. An answer is a snapshot that is taken while messages flow: figures in it need not be
//! of the same instant.

mod accountz;
mod accstatz;
mod connz;
mod elsewhere;
mod healthz;
mod leafz;
mod record;
mod reloads;
mod statsz;
mod subsz;
mod text;
mod varz;

pub use accountz::{AccountDetail, Accountz, AccountzOptions, ExportInfo, ImportInfo, MappingInfo};
pub use accstatz::{AccountStat, Accstatz, AccstatzOptions, Flow};
pub use connz::{ConnInfo, ConnState, Connz, ConnzOptions, PeerCert, SortBy};
pub use elsewhere::{Gatewayz, Jsz, Routez};
pub use healthz::Healthz;
pub use leafz::{Leaf, LeafNode, Leafz};
pub use reloads::{Reload, Reloads};
pub use statsz::{Amount, Statsz};
pub use subsz::{SubDetail, SublistStats, Subsz, SubszOptions};
pub use varz::{ByKind, DiskWaits, Figures, Nothing, Settings, Surroundings, Varz, WebSocketVarz};

pub(crate) use accstatz::stat_of;
pub(crate) use connz::kind_of_client;
pub(crate) use record::{LISTED_MAX, Record};
pub(crate) use reloads::{Outcome, ReloadDesk};
pub(crate) use text::time;

use crate::Broker;
use crate::hub::Hub;
use std::sync::Arc;

/// Rows of a list when no limit is given.
pub const LIMIT: usize = 1024;

/// A question that has no answer. The texts are those of nats-server.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadQuestion {
    /// No such order.
    #[error("invalid sorting option: {0}")]
    Sort(String),
    /// Connections that are open have no end.
    #[error("sort by {0} only valid on closed connections")]
    SortOpen(&'static str),
    /// No account of that name.
    #[error("Account {0} does not exist")]
    NoAccount(String),
    /// The subject has wildcards or empty tokens.
    #[error("invalid test subject, must be valid publish subject: {0}")]
    Subject(String),
}

/// Answers questions about a broker. Clones are handles of the same one.
#[derive(Clone, Debug)]
pub struct Monitor {
    hub: Arc<Hub>,
}

impl Broker {
    /// Who answers questions about it.
    #[must_use]
    pub fn monitor(&self) -> Monitor {
        Monitor::new(self.hub.clone())
    }
}

impl Monitor {
    pub(crate) fn new(hub: Arc<Hub>) -> Self {
        Self { hub }
    }

    /// Says what only the program around the broker knows.
    pub fn set_surroundings(&self, surroundings: Surroundings) {
        *crate::lock::write(&self.hub.surroundings) = surroundings;
    }

    /// Takes wishes of the system account that the config be read again, in the place of whoever took them before.
    #[must_use]
    pub fn reloads(&self) -> Reloads {
        self.hub.reload_desk.open()
    }

    /// Counts a question that came by HTTP.
    pub fn count_request(&self, path: &'static str) {
        self.hub.count_request(path);
    }

    /// The server as a whole.
    #[must_use]
    pub fn varz(&self) -> Varz {
        varz::varz(&self.hub)
    }

    /// The figures that the broker counts for itself.
    #[must_use]
    pub fn stats(&self) -> crate::Stats {
        self.hub.counters.snapshot()
    }

    /// Whether all is well.
    #[must_use]
    pub fn healthz(&self) -> Healthz {
        healthz::healthz(&self.hub)
    }

    /// Client connections.
    ///
    /// # Errors
    /// [`BadQuestion`] when they cannot be put in that order.
    pub fn connz(&self, options: &ConnzOptions) -> Result<Connz, BadQuestion> {
        connz::connz(&self.hub, options)
    }

    /// Subscriptions.
    ///
    /// # Errors
    /// [`BadQuestion`] when no message can have that subject.
    pub fn subsz(&self, options: &SubszOptions) -> Result<Subsz, BadQuestion> {
        subsz::subsz(&self.hub, options)
    }

    /// The accounts, or one of them.
    ///
    /// # Errors
    /// [`BadQuestion`] when there is no such account.
    pub fn accountz(&self, options: &AccountzOptions) -> Result<Accountz, BadQuestion> {
        accountz::accountz(&self.hub, options)
    }

    /// One account in detail.
    ///
    /// # Errors
    /// [`BadQuestion`] when there is no such account.
    pub fn account(&self, name: &str) -> Result<AccountDetail, BadQuestion> {
        accountz::detail(&self.hub, name)
    }

    /// The figures by which the server is watched from afar.
    #[must_use]
    pub fn statsz(&self) -> Statsz {
        statsz::statsz(&self.hub)
    }

    /// What the accounts have moved.
    #[must_use]
    pub fn accstatz(&self, options: &AccstatzOptions) -> Accstatz {
        accstatz::accstatz(&self.hub, options)
    }

    /// Links to other servers as leaf nodes.
    #[must_use]
    pub fn leafz(&self) -> Leafz {
        leafz::leafz(&self.hub)
    }

    /// Routes of a cluster: there are none.
    #[must_use]
    pub fn routez(&self) -> Routez {
        elsewhere::routez(&self.hub)
    }

    /// Gateways to other clusters: there are none.
    #[must_use]
    pub fn gatewayz(&self) -> Gatewayz {
        elsewhere::gatewayz(&self.hub)
    }

    /// JetStream, which is off.
    #[must_use]
    pub fn jsz(&self) -> Jsz {
        elsewhere::jsz(&self.hub)
    }
}
