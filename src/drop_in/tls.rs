//! `tls { … }` and its flags: what they say, held against what it may be. `load.rs` reads the files that they name.

mod load;
mod suites;
#[cfg(test)]
pub(super) mod tests;

use super::grammar::{Block, Entry, Value};
use super::read::Faults;
use crate::gateway;
use lattice_broker::tls::{HandshakeFirst, Tls};
use load::Loaded;
use rustls::crypto::SupportedKxGroup;
use rustls::{ServerConfig, SupportedCipherSuite};
use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

/// How long a client that may shake hands first is waited for, when no other time is said.
const FIRST_WAIT: Duration = Duration::from_millis(50);
/// Time for a handshake.
const TIMEOUT: Duration = Duration::from_secs(2);
const TIMEOUT_MAX: Duration = Duration::from_secs(3600);

/// What is said of TLS.
#[derive(Clone, Debug, Default)]
pub struct Wanted {
    /// Certificate and key, each pair in two files of PEM.
    pub pairs: Vec<(PathBuf, PathBuf)>,
    /// Those whose word is taken for the certificates of clients.
    pub ca_file: Option<PathBuf>,
    /// Clients show a certificate.
    pub verify: bool,
    /// That names the user.
    pub map: bool,
    pub(super) timeout: Option<Duration>,
    pub(super) first: HandshakeFirst,
    pub(super) suites: Vec<SupportedCipherSuite>,
    pub(super) groups: Vec<&'static dyn SupportedKxGroup>,
    pub(super) is_newest_only: bool,
    /// Of a server that is dialled: its certificate is not looked at.
    pub(super) is_insecure: bool,
    pub(super) pinned: BTreeSet<[u8; 32]>,
}

/// TLS for clients, with the files that it needs read. Equal to another one that does the same, by files of the same content.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Encryption {
    timeout: Duration,
    first: HandshakeFirst,
    pinned: BTreeSet<[u8; 32]>,
    verifies: bool,
    loaded: Loaded,
    /// A client's certificate names its user.
    pub maps: bool,
}

impl Encryption {
    /// Reads the files.
    ///
    /// # Errors
    /// What is wrong, with the name of the file.
    pub fn load(wanted: &Wanted) -> Result<Self, String> {
        Ok(Self {
            timeout: wanted.timeout.unwrap_or(TIMEOUT),
            first: wanted.first,
            pinned: wanted.pinned.clone(),
            verifies: wanted.verify || wanted.map,
            loaded: load::load(wanted)?,
            maps: wanted.map,
        })
    }

    /// As the broker takes it; with `allows_plain`, clients need not make use of it.
    #[must_use]
    pub fn to_broker(&self, allows_plain: bool) -> Arc<Tls> {
        Arc::new(Tls {
            timeout: self.timeout,
            first: self.first,
            allows_plain,
            verifies: self.verifies,
            pinned: self.pinned.clone(),
            ends: self.loaded.ends,
            ..Tls::new(self.loaded.server.clone())
        })
    }

    /// What those see who watch by HTTPS: of them no certificate is asked for.
    #[must_use]
    pub fn for_monitoring(&self) -> Arc<ServerConfig> {
        self.loaded.open.clone()
    }

    /// Time that a client has for its handshake.
    #[must_use]
    pub fn timeout(&self) -> Duration {
        self.timeout
    }
}

/// Reads the block, and the files that it names; `None` for an empty block, as for none.
pub(super) fn read(entry: &Entry, faults: &mut Faults) -> Option<Encryption> {
    let before = faults.errors.len();
    let block = faults.block(entry)?;
    if block.entries.is_empty() {
        return None;
    }
    let wanted = wanted(entry, block, faults);
    if wanted.pairs.is_empty() {
        faults.error(&entry.place, "tls names no certificate: cert_file and key_file are needed");
    }
    if faults.errors.len() > before {
        return None;
    }
    let loaded = Encryption::load(&wanted);
    loaded.map_err(|what| faults.error(&entry.place, what)).ok()
}

/// TLS towards another server, with the files that it needs read. Equal to another one of which the same is said, whatever is in its
/// files: they are read at the start alone.
#[derive(Clone, Debug)]
pub struct Outgoing {
    /// What the gateway takes.
    pub encryption: gateway::Encryption,
    said: String,
}

impl PartialEq for Outgoing {
    fn eq(&self, other: &Self) -> bool {
        self.said == other.said
    }
}

/// Reads the block of a server that is dialled.
pub(super) fn read_outgoing(entry: &Entry, faults: &mut Faults) -> Option<Outgoing> {
    let before = faults.errors.len();
    let wanted = wanted(entry, faults.block(entry)?, faults);
    if wanted.is_insecure {
        faults.refuse(
            entry,
            "tls",
            "insecure takes anybody's word; name who signs the server's certificate with ca_file",
        );
    }
    if wanted.verify || wanted.map || !wanted.pinned.is_empty() {
        faults
            .error(&entry.place, "verify, verify_and_map and pinned_certs are for those who connect, not for a remote");
    }
    if faults.errors.len() > before {
        return None;
    }
    let loaded = load::load_outgoing(&wanted);
    let client = loaded.map_err(|what| faults.error(&entry.place, what)).ok()?;
    let timeout = wanted.timeout.unwrap_or(TIMEOUT);
    let is_first = wanted.first != HandshakeFirst::Never;
    Some(Outgoing {
        encryption: gateway::Encryption { client, is_required: true, is_first, timeout },
        said: format!("{wanted:?}"),
    })
}

fn wanted(parent: &Entry, block: &Block, faults: &mut Faults) -> Wanted {
    let mut wanted = Wanted::default();
    let pair = pair(parent, block, faults);
    wanted.pairs.extend(pair);
    for entry in &block.entries {
        let key = entry.key.to_lowercase();
        if !(identity(&key, entry, &mut wanted, faults)
            || handshake(&key, entry, &mut wanted, faults)
            || refused(&key, entry, faults))
        {
            faults.unknown(entry);
        }
    }
    wanted
}

/// `cert_file` and `key_file`, which go together.
fn pair(parent: &Entry, block: &Block, faults: &mut Faults) -> Option<(PathBuf, PathBuf)> {
    let find = |name: &str| block.entries.iter().find(|entry| entry.key.eq_ignore_ascii_case(name));
    match (find("cert_file"), find("key_file")) {
        (Some(certificate), Some(key)) => Some((faults.text(certificate)?.into(), faults.text(key)?.into())),
        (None, None) => None,
        (has_certificate, _) => {
            let missing = if has_certificate.is_some() { "key_file" } else { "cert_file" };
            faults.error(&parent.place, format!("missing '{missing}' in TLS configuration"));
            None
        }
    }
}

/// Keys about who is who. False for another key, as in the functions that follow.
fn identity(key: &str, entry: &Entry, wanted: &mut Wanted, faults: &mut Faults) -> bool {
    match key {
        // Read together.
        "cert_file" | "key_file" => {}
        "certs" => {
            for item in faults.list(entry).unwrap_or_default() {
                let made = Entry { item: item.clone(), ..entry.clone() };
                let pair = faults.block(&made).and_then(|block| pair(&made, block, faults));
                wanted.pairs.extend(pair);
            }
        }
        "ca_file" => wanted.ca_file = faults.text(entry).filter(|path| !path.is_empty()).map(PathBuf::from),
        "verify" => wanted.verify = faults.flag(entry).unwrap_or_default(),
        "verify_and_map" => wanted.map = faults.flag(entry).unwrap_or_default(),
        "pinned_certs" => wanted.pinned = pinned(entry, faults),
        _ => return false,
    }
    true
}

/// Keys about how it is agreed on.
fn handshake(key: &str, entry: &Entry, wanted: &mut Wanted, faults: &mut Faults) -> bool {
    match key {
        "timeout" => wanted.timeout = timeout(entry, faults),
        "handshake_first" | "first" | "immediate" => wanted.first = first(entry, faults),
        "min_version" => wanted.is_newest_only = newest_only(entry, faults),
        "cipher_suites" => wanted.suites = named(entry, faults, suites::suite),
        "curve_preferences" => wanted.groups = named(entry, faults, suites::group),
        // Nobody's certificate is looked at by a server that does not verify: only of use where one is dialled.
        "insecure" => wanted.is_insecure = faults.flag(entry).unwrap_or_default(),
        _ => return false,
    }
    true
}

fn refused(key: &str, entry: &Entry, faults: &mut Faults) -> bool {
    let instead = match key {
        "connection_rate_limit" => "limit connections with max_connections, or before the server",
        "cert_store" | "cert_match" | "cert_match_by" | "cert_match_skip_invalid" | "ca_certs_match" => {
            "name files with cert_file, key_file and ca_file"
        }
        "ocsp_peer" => "revoke certificates by pinned_certs, or give them a short life",
        "allow_insecure_cipher_suites" | "verify_cert_and_check_known_urls" => "leave it out",
        _ => return false,
    };
    faults.refuse(entry, "tls", instead);
    true
}

fn timeout(entry: &Entry, faults: &mut Faults) -> Option<Duration> {
    let timeout = faults.seconds(entry)?;
    if timeout > TIMEOUT_MAX {
        faults.wrong(entry, "a number of seconds up to 3600, or a duration as \"2s\"");
        return None;
    }
    Some(timeout)
}

fn first(entry: &Entry, faults: &mut Faults) -> HandshakeFirst {
    match &entry.item.value {
        Value::Boolean(true) => HandshakeFirst::Always,
        Value::Boolean(false) => HandshakeFirst::Never,
        Value::Text(text) => match text.to_lowercase().as_str() {
            "true" | "on" => HandshakeFirst::Always,
            "false" | "off" => HandshakeFirst::Never,
            "auto" | "auto_fallback" => HandshakeFirst::Within(FIRST_WAIT),
            _ => faults.duration(entry).map_or(HandshakeFirst::Never, HandshakeFirst::Within),
        },
        _ => {
            faults.wrong(entry, "true, false, auto, or a duration as \"300ms\"");
            HandshakeFirst::Never
        }
    }
}

fn newest_only(entry: &Entry, faults: &mut Faults) -> bool {
    let said = match &entry.item.value {
        Value::Float(number) => number.to_string(),
        Value::Text(text) => text.to_uppercase().trim_start_matches("TLS").trim().to_owned(),
        _ => String::new(),
    };
    if !matches!(said.as_str(), "1.2" | "1.3") {
        faults.wrong(entry, "\"1.2\" or \"1.3\"");
    }
    said == "1.3"
}

/// What a list of names stands for, each looked up by `find`.
fn named<T>(entry: &Entry, faults: &mut Faults, find: impl Fn(&str) -> Result<T, String>) -> Vec<T> {
    let items = faults.list(entry).unwrap_or_default();
    if items.is_empty() {
        faults.wrong(entry, "an array with at least one name");
    }
    let mut found = Vec::new();
    for item in items {
        let named = match &item.value {
            Value::Text(name) => find(name),
            other => Err(format!("{} has {}, which is no name", entry.key, other.spoken())),
        };
        match named {
            Ok(one) => found.push(one),
            Err(what) => faults.error(&item.place, what),
        }
    }
    found
}

fn pinned(entry: &Entry, faults: &mut Faults) -> BTreeSet<[u8; 32]> {
    let digest = |text: &str| {
        let bytes = data_encoding::HEXLOWER_PERMISSIVE.decode(text.as_bytes()).unwrap_or_default();
        <[u8; 32]>::try_from(bytes).map_err(|_| {
            format!("pinned_certs has {text:?}, which is not the SHA-256 of a SubjectPublicKeyInfo: 64 digits in hex")
        })
    };
    named(entry, faults, digest).into_iter().collect()
}
