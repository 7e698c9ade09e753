//! Where leaf nodes connect, and as whom: the settings of an acceptor.

use crate::auth::Auth;
use crate::tls::Tls;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

/// A port for leaf nodes.
#[derive(Clone, Debug)]
pub struct LeafPort {
    /// Where they connect; port 0 picks a free one.
    pub listen: SocketAddr,
    /// What they are told the host is called; empty means the address of `listen`.
    pub host: String,
    /// What they are told to connect to instead, as `host:port`.
    pub advertise: Option<String>,
    /// They are told where they connect, to come back there first of all.
    pub is_advertised: bool,
    /// Who may connect, if that is not whoever may connect as a client. Its accounts are those of the broker.
    pub auth: Option<Auth>,
    /// The account of those who need not be anyone; empty is that of clients without one.
    pub account: String,
    /// How connections are encrypted; `None` is not at all.
    pub tls: Option<Arc<Tls>>,
    /// Time that a dialer has to say who it is. 1 ms to 1 hour.
    pub auth_timeout: Duration,
    /// The oldest version that dialers may be of.
    pub version_min: Option<(u32, u32, u32)>,
    /// None is told what others are interested in.
    pub is_isolated: bool,
}

impl LeafPort {
    /// A port for whoever may connect as a client, in the clear.
    #[must_use]
    pub fn new(listen: SocketAddr) -> Self {
        Self {
            listen,
            host: String::new(),
            advertise: None,
            is_advertised: true,
            auth: None,
            account: String::new(),
            tls: None,
            auth_timeout: Duration::from_secs(2),
            version_min: None,
            is_isolated: false,
        }
    }
}
