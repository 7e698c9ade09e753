//! `cluster { … }` and its flags: servers that show clients one service.
//!
//! Between servers of ours there are links of a lattice in the place of routes: what the cluster's credentials are to a
//! nats-server, they are to the lattice ([`crate::identity::Identity::of_secret`]). How a node is made of it is
//! `src/cli/nats_server/cluster.rs`'s.

use super::grammar::{Block, Entry, Item, Value};
use super::read::{Faults, port};
use super::users::Secret;
use crate::nats_url::{ServerUrl, is_host_port};
use lattice_broker::Credentials;

/// Where servers of a cluster listen for each other unless told otherwise.
pub const PORT: u16 = 6222;

/// The settings of a cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cluster {
    /// What clients are told of its name; empty is none.
    pub name: String,
    /// Where the other servers connect.
    pub host: String,
    /// Likewise; 0 picks a free one.
    pub port: u16,
    /// The name and the password that all its servers know.
    pub login: Option<(String, Secret)>,
    /// Servers to connect to.
    pub routes: Vec<ServerUrl>,
    /// Where the other servers are told that this one is, `host:port`.
    pub advertise: Option<String>,
    /// Clients are not told of other servers, and those of others not of this one.
    pub no_advertise: bool,
    /// Keys that say how routes are made, of which there are none.
    pub idle_keys: Vec<String>,
}

impl Default for Cluster {
    fn default() -> Self {
        Self {
            name: String::new(),
            host: "0.0.0.0".to_owned(),
            port: PORT,
            login: None,
            routes: Vec::new(),
            advertise: None,
            no_advertise: false,
            idle_keys: Vec::new(),
        }
    }
}

/// Reads the block.
pub fn read(entry: &Entry, faults: &mut Faults) -> Option<Cluster> {
    let mut cluster = Cluster::default();
    for entry in &faults.block(entry)?.entries {
        let key = entry.key.to_lowercase();
        if !(place(&key, entry, &mut cluster, faults) || refused(&key, entry, faults) || idle(&key, &mut cluster)) {
            faults.unknown(entry);
        }
    }
    match cluster.secret() {
        Ok(_) => Some(cluster),
        Err(what) => {
            faults.error(&entry.place, what);
            None
        }
    }
}

fn place(key: &str, entry: &Entry, cluster: &mut Cluster, faults: &mut Faults) -> bool {
    match key {
        "name" => match faults.text(entry) {
            Some(name) if name.contains(char::is_whitespace) => {
                faults.error(&entry.place, format!("name is {name:?}: cluster name cannot contain spaces"));
            }
            name => cluster.name = name.unwrap_or_default(),
        },
        "host" | "net" => cluster.host = faults.text(entry).unwrap_or_default(),
        "port" => cluster.port = faults.integer(entry, -1, 65_535).and_then(at_port).unwrap_or(PORT),
        "listen" => match listen(&entry.item.value) {
            Some((host, port)) => (cluster.host, cluster.port) = (host.unwrap_or(cluster.host.clone()), port),
            None => faults.error(&entry.place, "listen is neither host:port nor a port from -1 to 65535"),
        },
        "authorization" | "auth" => cluster.login = faults.block(entry).and_then(|block| login(block, faults)),
        "routes" => {
            let items = faults.list(entry).unwrap_or_default();
            cluster.routes = items.iter().filter_map(|item| route(item, faults)).collect();
        }
        "advertise" | "cluster_advertise" => match faults.text(entry) {
            Some(url) if is_host_port(&url) => cluster.advertise = Some(url),
            Some(url) => faults.error(&entry.place, format!("{} is {url:?}, which is not host:port", entry.key)),
            None => {}
        },
        "no_advertise" => cluster.no_advertise = faults.flag(entry).unwrap_or_default(),
        _ => return false,
    }
    true
}

fn at_port(number: i64) -> Option<u16> {
    if number == 0 { Some(PORT) } else { port(number) }
}

fn listen(value: &Value) -> Option<(Option<String>, u16)> {
    match value {
        Value::Integer(number) => at_port(*number).map(|port| (None, port)),
        Value::Text(text) => {
            let (host, number) = text.rsplit_once(':')?;
            let host = host.trim_start_matches('[').trim_end_matches(']').to_owned();
            Some((Some(host), at_port(number.parse().ok()?)?))
        }
        _ => None,
    }
}

fn login(block: &Block, faults: &mut Faults) -> Option<(String, Secret)> {
    let (mut user, mut password) = (None, None);
    for entry in &block.entries {
        match entry.key.to_lowercase().as_str() {
            "user" | "username" => user = faults.text(entry),
            "pass" | "password" => password = faults.text(entry),
            // Who does not know the secret is turned away at once.
            "timeout" => {}
            "token" => faults.error(&entry.place, "cluster authorization has a token: user and password are accepted"),
            _ => faults.unknown(entry),
        }
    }
    Some((user?, Secret(password.unwrap_or_default())))
}

fn route(item: &Item, faults: &mut Faults) -> Option<ServerUrl> {
    let Value::Text(text) = &item.value else {
        faults.error(&item.place, format!("a route is {}, which is not a string", item.value.spoken()));
        return None;
    };
    let parsed = route_of(text);
    parsed.map_err(|what| faults.error(&item.place, what)).ok()
}

/// The route of `nats-route://[user:password@]host:port`.
///
/// # Errors
/// What is wrong, without the text, which may hold a password.
pub fn route_of(text: &str) -> Result<ServerUrl, String> {
    let rest = text.trim().split_once("://").map_or(text.trim(), |(_, rest)| rest);
    ServerUrl::parse_rest(rest, PORT).map_err(|error| format!("a route cannot be read: {error}"))
}

fn login_of(url: &ServerUrl) -> Option<(String, Secret)> {
    match &url.credentials {
        Credentials::Password { user, pass } => Some((user.clone(), Secret(pass.clone()))),
        Credentials::Token(_) | Credentials::Key(_) | Credentials::Jwt { .. } | Credentials::None => None,
    }
}

fn refused(key: &str, entry: &Entry, faults: &mut Faults) -> bool {
    let instead = match key {
        "tls" => "links between servers are always encrypted, with keys of their own: leave it out",
        "permissions" => "links carry what there is interest in: limit users instead",
        _ => return false,
    };
    faults.error(&entry.place, format!("{:?} of a cluster is not here: {instead}", entry.key));
    true
}

fn idle(key: &str, cluster: &mut Cluster) -> bool {
    const IDLE: &[&str] = &[
        "connect_retries",
        "connect_backoff",
        "pool_size",
        "accounts",
        "compression",
        "ping_interval",
        "write_deadline",
    ];
    let is_idle = IDLE.contains(&key);
    if is_idle {
        cluster.idle_keys.push(key.to_owned());
    }
    is_idle
}

impl Cluster {
    /// Takes in what `--routes` says: URLs with commas between them.
    ///
    /// # Errors
    /// What is wrong with one of them.
    pub fn set_routes(&mut self, urls: &str) -> Result<(), String> {
        let urls = urls.split(',').filter(|url| !url.trim().is_empty());
        self.routes = urls.map(route_of).collect::<Result<_, _>>()?;
        Ok(())
    }

    /// Takes in what `--cluster` and `--cluster_listen` say: `nats://[user:password@]host:port`.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn listen_at(&mut self, url: &str) -> Result<(), String> {
        let url = url.trim();
        // As nats-server has it: -1 is a port that no URL can have.
        let (rest, is_any) = url.strip_suffix(":-1").map_or((url, false), |rest| (rest, true));
        let url = route_of(rest)?;
        self.port = if is_any { 0 } else { url.port };
        self.login = login_of(&url).or(self.login.take());
        self.host = url.host;
        Ok(())
    }

    /// What the servers of the cluster know and nobody else: name and password, both empty when everybody may join.
    ///
    /// # Errors
    /// A route shows something else than what this server asks for: there is one secret for all.
    pub fn secret(&self) -> Result<(String, Secret), String> {
        let shown = self.routes.iter().filter_map(|route| Some((route, login_of(route)?)));
        let mut secret = self.login.clone();
        for (route, shown) in shown {
            if secret.as_ref().is_some_and(|secret| *secret != shown) {
                let at = route.host_port();
                return Err(format!(
                    "the route to {at} shows other credentials than the cluster's: there is one secret for all"
                ));
            }
            secret = Some(shown);
        }
        Ok(secret.unwrap_or_else(|| (String::new(), Secret(String::new()))))
    }
}

#[cfg(test)]
mod tests;
