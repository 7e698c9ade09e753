//! What can be set: every limit of the server, with its default and the range in which it makes sense.

use crate::auth::Auth;
use crate::leaf::LeafPort;
use crate::tls::{HandshakeFirst, Tls};
use crate::trace::Tracer;
use crate::websocket::WebSocket;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

/// Settings of a [`Broker`](crate::Broker). Checked once, when the broker is made.
#[derive(Clone, Debug)]
pub struct Config {
    /// Where clients connect; port 0 picks a free one.
    pub listen: SocketAddr,
    /// What INFO calls the host; empty means the address of `listen`.
    pub host: String,
    /// The server's name; empty means its id.
    pub server_name: String,
    /// What this server and others are called together; empty is nothing.
    pub cluster_name: String,
    /// The server's public key, `N…`; empty means a new one for each start.
    pub server_id: String,
    /// Longest message body in bytes, headers included. 1 to 64 MiB.
    pub max_payload: usize,
    /// Longest control line in bytes. 64 to 1 MiB.
    pub max_control_line: usize,
    /// Bytes that may wait for one client before it is closed as a slow consumer. At least 64 KiB.
    pub max_pending: usize,
    /// How their connections are encrypted; `None` is not at all.
    pub tls: Option<Arc<Tls>>,
    /// Where browsers connect, if they can.
    pub websocket: Option<Arc<WebSocket>>,
    /// Where leaf nodes connect, if they can.
    pub leaf: Option<Arc<LeafPort>>,
    /// Client connections at a time, and leaf nodes likewise. At least 1.
    pub max_connections: usize,
    /// Subscriptions of one client. At least 1.
    pub max_subscriptions: usize,
    /// Time without input after which a client is sent a PING. 1 ms to 1 day.
    pub ping_interval: Duration,
    /// PINGs in a row that may stay without answer. At least 1.
    pub ping_max: u32,
    /// Time a client has for CONNECT, when credentials are wanted. 1 ms to 1 hour.
    pub auth_timeout: Duration,
    /// Time without progress after which a client that does not read is closed. 1 ms to 1 hour.
    pub write_deadline: Duration,
    /// Time that closing clients get for what still waits for them, when the broker drains. Up to 1 hour.
    pub drain_timeout: Duration,
    /// Bytes waiting for a client from which its publishers are slowed down. At least 4 KiB.
    pub stall_pending: usize,
    /// How long a publisher waits for slow clients, for each batch that it sent. Up to 10 s.
    pub stall_max: Duration,
    /// How long a publisher waits for a congested neighbour, for each batch that it sent. Up to 60 s.
    pub neighbor_stall_max: Duration,
    /// Connections that have ended and are remembered, for those who watch. Each takes some 500 bytes, 6 KiB at most.
    pub closed_max: usize,
    /// How often the system account is told how the server is, if anybody there listens; `None` is never. 250 ms to 1 h.
    pub report_interval: Option<Duration>,
    /// Takes the protocol as it is spoken, over connections that come while it is on; `None` for nobody.
    pub tracer: Option<Arc<dyn Tracer>>,
    /// Who may connect.
    pub auth: Auth,
    /// Accounts for the program that the broker is a part of, by [`Broker::local_in`](crate::Broker::local_in) and its
    /// neighbours alone: no client gets in, whatever its credentials. None of them may be among those of `auth`.
    pub own_accounts: Vec<&'static str>,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from(([127, 0, 0, 1], 4222)),
            host: String::new(),
            server_name: String::new(),
            cluster_name: String::new(),
            server_id: String::new(),
            max_payload: 1 << 20,
            max_control_line: 4096,
            max_pending: 64 << 20,
            tls: None,
            websocket: None,
            leaf: None,
            max_connections: 65_536,
            max_subscriptions: 1_000_000,
            ping_interval: Duration::from_secs(120),
            ping_max: 2,
            auth_timeout: Duration::from_secs(2),
            write_deadline: Duration::from_secs(10),
            drain_timeout: Duration::from_secs(5),
            stall_pending: 4 << 20,
            stall_max: Duration::from_millis(10),
            neighbor_stall_max: Duration::from_secs(2),
            closed_max: 1000,
            report_interval: None,
            tracer: None,
            auth: Auth::default(),
            own_accounts: Vec::new(),
        }
    }
}

/// A setting that cannot work.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{key} is {value}, which is not in {range}")]
pub struct ConfigError {
    /// The field.
    pub key: &'static str,
    /// What it was set to; never a secret.
    pub value: String,
    /// What it may be.
    pub range: &'static str,
}

impl Config {
    /// Checks every field.
    ///
    /// # Errors
    /// [`ConfigError`] names the first field that is out of its range.
    pub fn validate(&self) -> Result<(), ConfigError> {
        let ms = Duration::from_millis;
        let (hour, day) = (Duration::from_secs(3600), Duration::from_secs(86_400));
        sized("max_payload", self.max_payload, 1, 64 << 20, "1 to 67108864 bytes")?;
        sized("max_control_line", self.max_control_line, 64, 1 << 20, "64 to 1048576 bytes")?;
        sized("max_pending", self.max_pending, 64 << 10, usize::MAX, "65536 bytes or more")?;
        sized("max_connections", self.max_connections, 1, usize::MAX, "1 or more")?;
        sized("max_subscriptions", self.max_subscriptions, 1, usize::MAX, "1 or more")?;
        sized("stall_pending", self.stall_pending, 4 << 10, usize::MAX, "4096 bytes or more")?;
        sized("closed_max", self.closed_max, 0, 1_000_000, "0 to 1000000")?;
        sized("ping_max", self.ping_max as usize, 1, usize::MAX, "1 or more")?;
        timed("ping_interval", self.ping_interval, ms(1), day, "1 ms to 1 day")?;
        timed("auth_timeout", self.auth_timeout, ms(1), hour, "1 ms to 1 hour")?;
        timed("write_deadline", self.write_deadline, ms(1), hour, "1 ms to 1 hour")?;
        timed("drain_timeout", self.drain_timeout, ms(0), hour, "0 to 1 hour")?;
        timed("stall_max", self.stall_max, ms(0), ms(10_000), "0 to 10 s")?;
        timed("neighbor_stall_max", self.neighbor_stall_max, ms(0), ms(60_000), "0 to 60 s")?;
        if let Some(interval) = self.report_interval {
            timed("report_interval", interval, ms(250), hour, "250 ms to 1 hour")?;
        }
        if let Some(tls) = &self.tls {
            timed("tls.timeout", tls.timeout, ms(1), hour, "1 ms to 1 hour")?;
            if let HandshakeFirst::Within(wait) = tls.first {
                timed("tls.first", wait, ms(0), hour, "0 to 1 hour")?;
            }
        }
        if let Some(websocket) = &self.websocket {
            timed("websocket.timeout", websocket.timeout, ms(1), hour, "1 ms to 1 hour")?;
            if let Some(interval) = websocket.ping_interval {
                timed("websocket.ping_interval", interval, ms(1), day, "1 ms to 1 day")?;
            }
        }
        if let Some(leaf) = &self.leaf {
            timed("leaf.auth_timeout", leaf.auth_timeout, ms(1), hour, "1 ms to 1 hour")?;
            leaf.auth.as_ref().map_or(Ok(()), Auth::validate)?;
            if !leaf.account.is_empty() && !self.auth.has_account(&leaf.account) {
                let value = format!("{:?}", leaf.account);
                return Err(ConfigError { key: "leaf.account", value, range: "the name of an account" });
            }
        }
        if self.auth.callout.is_some() && !self.server_id.is_empty() {
            let value = "a service to ask, and a server_id beside it".to_owned();
            let range = "servers that make their key, as requests are signed with it";
            return Err(ConfigError { key: "auth.callout", value, range });
        }
        let taken = |name: &&&str| self.auth.has_account(name);
        if let Some(name) = self.own_accounts.iter().find(taken) {
            return Err(ConfigError {
                key: "auth.accounts",
                value: format!("{name:?}"),
                range: "accounts that clients may have",
            });
        }
        self.auth.validate()
    }
}

fn sized(key: &'static str, value: usize, min: usize, max: usize, range: &'static str) -> Result<(), ConfigError> {
    if (min..=max).contains(&value) { Ok(()) } else { Err(ConfigError { key, value: value.to_string(), range }) }
}

fn timed(
    key: &'static str,
    value: Duration,
    min: Duration,
    max: Duration,
    range: &'static str,
) -> Result<(), ConfigError> {
    if (min..=max).contains(&value) { Ok(()) } else { Err(ConfigError { key, value: format!("{value:?}"), range }) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_is_valid_and_bad_values_are_named() {
        assert_eq!(Config::default().validate(), Ok(()));
        let bad = Config { max_payload: 0, ..Config::default() };
        assert_eq!(bad.validate().unwrap_err().key, "max_payload");
        let auth = Auth { callout: Some(crate::auth::Callout::default()), ..Auth::default() };
        let bad = Config { server_id: "N".to_owned(), auth, ..Config::default() };
        assert!(bad.validate().unwrap_err().to_string().contains("server_id beside it"));
        let auth = Auth { accounts: vec![crate::AccountConfig::new("$OWN")], ..Auth::default() };
        let bad = Config { own_accounts: vec!["$OWN"], auth, ..Config::default() };
        assert!(bad.validate().unwrap_err().to_string().starts_with("auth.accounts is \"$OWN\""));
        let bad = Config { ping_interval: Duration::ZERO, ..Config::default() };
        assert_eq!(bad.validate().unwrap_err().to_string(), "ping_interval is 0ns, which is not in 1 ms to 1 day");
    }
}
