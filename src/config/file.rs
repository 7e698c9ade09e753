//! The config file as written: TOML, everything optional, nothing checked but names and types.
//!
//! An unknown key is refused with its place and the key that was probably meant. Ranges, and what follows from one
//! value for another, are left to [`Config`](super::Config).

use super::place::{Source, Spans};
use super::units::{Pace, Period, Size};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use toml::de::{DeTable, DeValue};

/// All keys there are, each table's after its own name; [`File`] has a field for each.
pub const KEYS: &[&str] = &[
    "data",
    "name",
    "listen",
    "join",
    "log",
    "link",
    "link.listen",
    "link.peers",
    "link.advertise",
    "link.heartbeat",
    "link.dead_after",
    "link.redial_min",
    "link.redial_max",
    "forming",
    "forming.auto",
    "forming.links_min",
    "forming.links_max",
    "forming.accept_max",
    "forming.redial_max",
    "beacon",
    "beacon.enabled",
    "beacon.port",
    "beacon.interfaces",
    "upstream",
    "upstream.url",
    "upstream.credentials",
    "upstream.ca",
    "upstream.ping_interval",
    "client",
    "client.max_payload",
    "client.max_control_line",
    "client.max_pending",
    "client.max_connections",
    "client.max_subscriptions",
    "client.ping_interval",
    "client.ping_max",
    "client.auth_timeout",
    "client.write_deadline",
    "client.advertise",
    "client.auth",
    "client.auth.token",
    "client.auth.users",
    "client.auth.users.name",
    "client.auth.users.password",
    "http",
    "http.listen",
    "host",
    "host.enabled",
    "host.lattice",
    "host.memory_max",
    "host.instance_memory",
    "host.calls_max",
    "host.cache_max",
    "host.labels",
    "mesh",
    "mesh.nodes_max",
    "mesh.frame_max",
    "mesh.link_buffer_max",
    "mesh.hold_max",
    "mesh.hold_origin_max",
    "mesh.hold_time",
    "mesh.parked_max",
    "mesh.parked_time",
    "mesh.ring_max",
];

/// Tables whose keys are whatever their author wants.
const FREE: &[&str] = &["host.labels"];

/// The file. `None` is "not said here".
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
#[expect(missing_docs, reason = "docs/lattice.toml documents each key")]
pub struct File {
    pub data: Option<PathBuf>,
    pub name: Option<String>,
    pub listen: Option<String>,
    pub join: Option<Secret>,
    pub log: Option<String>,
    pub link: Link,
    pub forming: Forming,
    pub beacon: Beacon,
    pub upstream: Upstream,
    pub client: Client,
    pub http: Http,
    pub host: Host,
    pub mesh: Mesh,
}

/// The table `link`.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
#[expect(missing_docs, reason = "docs/lattice.toml documents each key")]
pub struct Link {
    pub listen: Option<String>,
    pub peers: Option<Vec<String>>,
    pub advertise: Option<Vec<String>>,
    pub heartbeat: Option<Pace>,
    pub dead_after: Option<Period>,
    pub redial_min: Option<Period>,
    pub redial_max: Option<Period>,
}

/// The table `forming`.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
#[expect(missing_docs, reason = "docs/lattice.toml documents each key")]
pub struct Forming {
    pub auto: Option<bool>,
    pub links_min: Option<u64>,
    pub links_max: Option<u64>,
    pub accept_max: Option<u64>,
    pub redial_max: Option<Period>,
}

/// The table `beacon`.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
#[expect(missing_docs, reason = "docs/lattice.toml documents each key")]
pub struct Beacon {
    pub enabled: Option<bool>,
    pub port: Option<u64>,
    pub interfaces: Option<Vec<String>>,
}

/// The table `upstream`.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
#[expect(missing_docs, reason = "docs/lattice.toml documents each key")]
pub struct Upstream {
    pub url: Option<Secret>,
    pub credentials: Option<PathBuf>,
    pub ca: Option<PathBuf>,
    pub ping_interval: Option<Period>,
}

/// The table `client`.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
#[expect(missing_docs, reason = "docs/lattice.toml documents each key")]
pub struct Client {
    pub max_payload: Option<Size>,
    pub max_control_line: Option<Size>,
    pub max_pending: Option<Size>,
    pub max_connections: Option<u64>,
    pub max_subscriptions: Option<u64>,
    pub ping_interval: Option<Period>,
    pub ping_max: Option<u64>,
    pub auth_timeout: Option<Period>,
    pub write_deadline: Option<Period>,
    pub advertise: Option<Vec<String>>,
    pub auth: Auth,
}

/// The table `client.auth`.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
#[expect(missing_docs, reason = "docs/lattice.toml documents each key")]
pub struct Auth {
    pub token: Option<Secret>,
    pub users: Option<Vec<User>>,
}

/// One of `client.auth.users`.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "docs/lattice.toml documents each key")]
pub struct User {
    pub name: String,
    pub password: Secret,
}

/// The table `http`.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
#[expect(missing_docs, reason = "docs/lattice.toml documents each key")]
pub struct Http {
    pub listen: Option<String>,
}

/// The table `host`.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
#[expect(missing_docs, reason = "docs/lattice.toml documents each key")]
pub struct Host {
    pub enabled: Option<bool>,
    pub lattice: Option<String>,
    pub memory_max: Option<Size>,
    pub instance_memory: Option<Size>,
    pub calls_max: Option<u64>,
    pub cache_max: Option<Size>,
    pub labels: Option<BTreeMap<String, String>>,
}

/// The table `mesh`.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
#[expect(missing_docs, reason = "docs/lattice.toml documents each key")]
pub struct Mesh {
    pub nodes_max: Option<u64>,
    pub frame_max: Option<Size>,
    pub link_buffer_max: Option<Size>,
    pub hold_max: Option<Size>,
    pub hold_origin_max: Option<Size>,
    pub hold_time: Option<Period>,
    pub parked_max: Option<Size>,
    pub parked_time: Option<Period>,
    pub ring_max: Option<Size>,
}

/// A text that no log may show: a password, or what holds one.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Secret(pub String);

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("_")
    }
}

/// Why a file could not be read as a config.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    /// The operating system did not give it.
    #[error("cannot read the config file {}: {error}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the system said.
        error: std::io::Error,
    },
    /// It is no TOML, or a value has the wrong type.
    #[error("{message}\n{place}")]
    Malformed {
        /// What is wrong.
        message: String,
        /// Line, column and caret.
        place: String,
    },
    /// A key that means nothing.
    #[error("unknown key `{key}`{}\n{place}", did_you_mean(meant.as_deref()))]
    UnknownKey {
        /// The key with its tables.
        key: String,
        /// The nearest known key.
        meant: Option<String>,
        /// Line, column and caret.
        place: String,
    },
}

fn did_you_mean(meant: Option<&str>) -> String {
    meant.map(|key| format!("; did you mean `{key}`?")).unwrap_or_default()
}

impl File {
    /// Reads the file at `path`.
    ///
    /// # Errors
    /// [`FileError`]; the message is meant for the file's author.
    pub fn read(path: &Path) -> Result<(Self, Source), FileError> {
        let text =
            std::fs::read_to_string(path).map_err(|error| FileError::Unreadable { path: path.to_owned(), error })?;
        Self::parse(path, &text)
    }

    /// Reads `text`; `path` is what errors call it.
    ///
    /// # Errors
    /// As [`File::read`].
    pub fn parse(path: &Path, text: &str) -> Result<(Self, Source), FileError> {
        let mut source = Source::new(path, text);
        let malformed = |error: &toml::de::Error, source: &Source| FileError::Malformed {
            // The parser speaks of its own types; the file's author does not.
            message: error.message().replace("expected u64", "expected a whole number"),
            place: source.show(error.span().unwrap_or(0..0)),
        };
        let table = DeTable::parse(text).map_err(|error| malformed(&error, &source))?;
        let mut spans = Spans::new();
        collect("", table.get_ref(), &mut spans);
        if let Some((key, span)) = spans.iter().find(|(key, _)| !KEYS.contains(&key.as_str())) {
            let (key, meant) = (key.clone(), nearest(key).map(str::to_owned));
            return Err(FileError::UnknownKey { key, meant, place: source.show(span.key.clone()) });
        }
        let file = toml::from_str(text).map_err(|error| malformed(&error, &source))?;
        source.spans = spans;
        Ok((file, source))
    }
}

/// Where each key is written. A table in an array counts as the array's key.
fn collect(prefix: &str, table: &DeTable<'_>, spans: &mut Spans) {
    for (key, value) in table {
        let path = if prefix.is_empty() { key.get_ref().to_string() } else { format!("{prefix}.{}", key.get_ref()) };
        match value.get_ref() {
            DeValue::Table(inner) if !FREE.contains(&path.as_str()) => collect(&path, inner, spans),
            DeValue::Array(items) => {
                for item in items.iter() {
                    if let DeValue::Table(inner) = item.get_ref() {
                        collect(&path, inner, spans);
                    }
                }
            }
            DeValue::Table(_)
            | DeValue::String(_)
            | DeValue::Integer(_)
            | DeValue::Float(_)
            | DeValue::Boolean(_)
            | DeValue::Datetime(_) => {}
        }
        spans.add(path, key.span(), value.span());
    }
}

/// The known key that `key` is probably a slip of: few edits in the whole path, or its last part in another table.
fn nearest(key: &str) -> Option<&'static str> {
    let last = |key: &str| key.rsplit('.').next().unwrap_or_default().to_owned();
    let scored = KEYS.iter().map(|known| {
        let elsewhere = if last(known) == last(key) { 1 } else { usize::MAX };
        (edits(key, known).min(elsewhere), *known)
    });
    scored.min().filter(|(distance, _)| *distance <= (key.len() / 3).max(1)).map(|(_, known)| known)
}

/// How many letters to insert, remove, replace or swap (Damerau's distance, of neighbours).
fn edits(a: &str, b: &str) -> usize {
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().take(64).collect(), b.chars().take(64).collect());
    let mut rows = vec![vec![0; b.len() + 1]; a.len() + 1];
    for i in 0..=a.len() {
        for j in 0..=b.len() {
            rows[i][j] = if i == 0 || j == 0 {
                i + j
            } else {
                let replace = rows[i - 1][j - 1] + usize::from(a[i - 1] != b[j - 1]);
                let swap = if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                    rows[i - 2][j - 2] + 1
                } else {
                    usize::MAX
                };
                replace.min(swap).min(rows[i - 1][j] + 1).min(rows[i][j - 1] + 1)
            };
        }
    }
    rows[a.len()][b.len()]
}

#[cfg(test)]
mod tests;
