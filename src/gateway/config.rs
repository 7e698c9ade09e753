//! What a gateway is told: which real server, as whom, and within which limits. Reading it from a file or from flags is
//! left to the node's config.

use super::open::Encryption;
use crate::nats_url::ServerUrl;
use lattice_broker::{Credentials, UpstreamId, UserKey};
use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;

/// The port of leaf nodes by convention.
const DEFAULT_PORT: u16 = 7422;
/// The account that is there without any being configured.
const GLOBAL: &str = "$G";
/// What [`UpstreamUrl`] takes, as shown in errors.
const URL_FORM: &str = "nats:// or tls://[user:password@|token@]host[:port], with port 7422 when none is given";

/// A validated configuration.
#[derive(Clone, Debug)]
pub struct Config {
    /// The real server.
    pub url: UpstreamUrl,
    /// Where it, or another one of its cluster, is reached otherwise; tried in this order.
    pub others: Vec<UpstreamUrl>,
    /// How links are encrypted where that is asked for.
    pub tls: Encryption,
    /// A file of credentials in place of those of the URLs; read at each attempt, so that it may be renewed.
    pub credentials_file: Option<PathBuf>,
    /// Where else a server says that it is reached is not tried.
    pub ignores_discovered: bool,
    /// Marks the account's interest on all leaf links of the broker; `None` where it accepts none.
    pub mark: Option<String>,
    /// The local account that is joined to the server's.
    pub account: String,
    /// The cluster that all nodes of the lattice claim to be: the lattice's name, the same on each node.
    pub cluster: String,
    /// This node's name, different on each node.
    pub name: String,
    /// Subjects that are not taken from the server.
    pub denied_in: Vec<String>,
    /// Subjects that are not sent to it.
    pub denied_out: Vec<String>,
    /// Time between PINGs; too many without a sign of life end the link.
    pub ping_interval: Duration,
    /// PINGs in a row that may stay without any sign of life.
    pub pings_max: u32,
    /// Time without progress after which a server that does not read is left.
    pub write_deadline: Duration,
    /// How long one address may take to answer.
    pub dial_timeout: Duration,
    /// Bytes that may wait for the server; messages beyond are dropped and counted.
    pub pending_bytes_max: usize,
    /// Bytes of a message from the server; larger ones are dropped and counted.
    pub payload_bytes_max: usize,
    /// Entries of the server's interest; more are refused and counted.
    pub interest_max: usize,
}

impl Config {
    /// Defaults for everything but the server and who we are.
    ///
    /// # Errors
    /// [`ConfigError`] tells what to change.
    pub fn new(url: UpstreamUrl, cluster: &str, name: &str) -> Result<Self, ConfigError> {
        let bad = |key, value: &str, accepted| Err(ConfigError { key, value: value.to_owned(), accepted });
        if cluster.is_empty() || cluster == "_" || cluster.contains(char::is_whitespace) {
            return bad("cluster", cluster, "a name without blanks, and not `_`");
        }
        if name.is_empty() || name.contains(char::is_whitespace) {
            return bad("name", name, "a name without blanks");
        }
        Ok(Self {
            url,
            others: Vec::new(),
            tls: Encryption::default(),
            credentials_file: None,
            ignores_discovered: false,
            mark: None,
            account: GLOBAL.to_owned(),
            cluster: cluster.to_owned(),
            name: name.to_owned(),
            denied_in: Vec::new(),
            denied_out: Vec::new(),
            ping_interval: Duration::from_secs(5),
            pings_max: 2,
            write_deadline: Duration::from_secs(10),
            dial_timeout: Duration::from_secs(3),
            pending_bytes_max: 64 << 20,
            payload_bytes_max: 8 << 20,
            interest_max: 1 << 20,
        })
    }

    /// The upstream that this is the way to: one address may be several, for accounts of which each has its own link.
    #[must_use]
    pub fn upstream(&self) -> UpstreamId {
        let UpstreamId(id) = self.url.id();
        UpstreamId(if self.account == GLOBAL { id } else { hash(id, self.account.as_bytes()) })
    }
}

/// FNV-1a: stable across builds, which the standard hasher is not.
fn hash(start: u64, bytes: &[u8]) -> u64 {
    bytes.iter().fold(start, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3))
}

/// The address of a real server's leaf-node port, with what it asks for. Shown without the credentials.
///
/// The host is in lower case.
#[derive(Clone, PartialEq, Eq)]
pub struct UpstreamUrl {
    server: ServerUrl,
    is_encrypted: bool,
}

impl UpstreamUrl {
    /// `host:port`.
    #[must_use]
    pub fn host_port(&self) -> String {
        self.server.host_port()
    }

    /// What the server asks for.
    #[must_use]
    pub fn credentials(&self) -> &Credentials {
        &self.server.credentials
    }

    /// The host alone, an IPv6 address without its brackets.
    #[must_use]
    pub fn host(&self) -> &str {
        &self.server.host
    }

    /// `tls://`: never in the clear.
    #[must_use]
    pub fn is_encrypted(&self) -> bool {
        self.is_encrypted
    }

    /// The same with a user's key.
    #[must_use]
    pub fn with_key(mut self, key: UserKey) -> Self {
        self.server.credentials = Credentials::Key(key);
        self
    }

    /// The same on each node that is given the same host and port, whatever the credentials.
    #[must_use]
    pub fn id(&self) -> UpstreamId {
        UpstreamId(hash(0xcbf2_9ce4_8422_2325, self.host_port().as_bytes()))
    }
}

impl fmt::Display for UpstreamUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = if self.is_encrypted { "tls" } else { "nats" };
        write!(f, "{scheme}://{}", self.host_port())
    }
}

impl fmt::Debug for UpstreamUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

impl FromStr for UpstreamUrl {
    type Err = ConfigError;

    fn from_str(text: &str) -> Result<Self, ConfigError> {
        let bad = |accepted| ConfigError { key: "upstream", value: without_credentials(text), accepted };
        let (scheme, rest) = text.split_once("://").ok_or_else(|| bad(URL_FORM))?;
        let is_encrypted = match scheme.to_ascii_lowercase().as_str() {
            "nats" | "nats-leaf" => false,
            "tls" => true,
            "ws" | "wss" => return Err(bad("nats:// or tls://: WebSocket towards an upstream is not supported yet")),
            _ => return Err(bad(URL_FORM)),
        };
        let mut server = ServerUrl::parse_rest(rest, DEFAULT_PORT).map_err(|_| bad(URL_FORM))?;
        // All nodes must get the same id: a zone is one machine's, and the case of a name is anybody's.
        server.host.make_ascii_lowercase();
        let forgot_credentials = rest.contains('@') && server.credentials == Credentials::None;
        if server.host.contains('%') || forgot_credentials {
            Err(bad(URL_FORM))
        } else {
            Ok(Self { server, is_encrypted })
        }
    }
}

/// A setting that cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{key} = {value:?} cannot be used: accepted is {accepted}")]
pub struct ConfigError {
    /// The setting.
    pub key: &'static str,
    /// Its value, without credentials.
    pub value: String,
    /// What it may be.
    pub accepted: &'static str,
}

fn without_credentials(text: &str) -> String {
    match (text.find("://").map_or(0, |at| at + 3), text.rfind('@')) {
        (start, Some(at)) if start <= at => format!("{}…{}", &text[..start], &text[at..]),
        (_, Some(_) | None) => text.to_owned(),
    }
}

/// The credentials in a file, as nsc writes it.
///
/// # Errors
/// Why it cannot be read, or what is wrong with it, without a word of what is in it.
pub fn credentials_in(path: &Path) -> Result<Credentials, String> {
    let text = std::fs::read_to_string(path).map_err(|error| error.to_string())?;
    Credentials::from_creds(&text).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(url: &str) -> Result<UpstreamUrl, ConfigError> {
        url.parse()
    }

    #[test]
    fn urls() {
        for (url, shown) in [
            ("nats://hub", "nats://hub:7422"),
            ("nats://HUB.example:7000/", "nats://hub.example:7000"),
            ("nats-leaf://10.0.0.1:1", "nats://10.0.0.1:1"),
            ("NATS://[::1]", "nats://[::1]:7422"),
            ("TLS://Hub", "tls://hub:7422"),
            ("nats://a:b@[fe80::1]:99", "nats://[fe80::1]:99"),
        ] {
            assert_eq!(parse(url).unwrap().to_string(), shown);
        }
        let password = |user: &str, pass: &str| Credentials::Password { user: user.into(), pass: pass.into() };
        assert_eq!(parse("nats://u:p%40ss@h").unwrap().credentials(), &password("u", "p@ss"));
        assert_eq!(parse("nats://u:p@ss@h").unwrap().credentials(), &password("u", "p@ss"));
        assert_eq!(parse("nats://t0k@h").unwrap().credentials(), &Credentials::Token("t0k".into()));
        assert_eq!(parse("nats://h").unwrap().credentials(), &Credentials::None);
    }

    #[test]
    fn the_id_is_of_the_address_alone() {
        let id = |url: &str| parse(url).unwrap().id();
        assert_eq!(id("nats://u:p@Hub"), id("nats-leaf://hub:7422"));
        assert_ne!(id("nats://hub:7422"), id("nats://hub:7423"));
        // Nodes of different builds must agree.
        assert_eq!(id("nats://hub"), UpstreamId(0x75ba_ef21_cab1_1f81));
    }

    #[test]
    fn errors_name_the_key_and_hide_the_password() {
        for url in [
            "hub:7422",
            "http://hub",
            "nats://",
            "nats://hub:x",
            "nats://hub:0",
            "nats://hub:70000",
            "nats://h/path",
            "nats://u:se%cret@hub",
            "nats://[::1",
            "nats://[hub]:1",
            "nats://[fe80::1%eth0]:1",
            "nats://@h",
            "ws://hub",
            "nats://u:secret@h b",
        ] {
            let text = parse(url).unwrap_err().to_string();
            assert!(text.contains("upstream") && text.contains("nats://"), "{text}");
            assert!(!text.contains("secret") && !text.contains("se%cret"), "{text}");
        }
        assert_eq!(Config::new("nats://h".parse().unwrap(), "my cluster", "n").unwrap_err().key, "cluster");
        assert_eq!(Config::new("nats://h".parse().unwrap(), "_", "n").unwrap_err().key, "cluster");
        assert_eq!(Config::new("nats://h".parse().unwrap(), "c", "").unwrap_err().key, "name");
    }
}
