//! `leafnodes { … }`: where other servers connect as leaf nodes of this one, and as whom.
//!
//! The other direction, `remotes`, is left to `remotes.rs`.

use super::grammar::{Block, Entry, Item, Value};
use super::read::{Faults, listener};
use super::remotes::{self, Remote};
use super::tls::{self, Encryption};
use super::users::{Proof, Secret, User, proof, user_block};
use lattice_broker::leaf::version;
use std::time::Duration;

/// The settings of the listener.
#[derive(Clone, Debug, PartialEq)]
pub struct LeafNodes {
    /// A name or an address, as for clients.
    pub host: String,
    /// Where; 0 picks a free one.
    pub port: u16,
    /// What leaf nodes are told to connect to instead.
    pub advertise: Option<String>,
    /// They are told where they connect.
    pub is_advertised: bool,
    /// How connections are encrypted; `None` is not at all.
    pub tls: Option<Encryption>,
    /// Who may connect, if that is not whoever may connect as a client.
    pub auth: LeafAuth,
    /// The oldest version that they may be of.
    pub version_min: Option<(u32, u32, u32)>,
    /// None is told what others are interested in.
    pub is_isolated: bool,
}

/// Who may connect as a leaf node.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct LeafAuth {
    /// Each with its account; empty is that of those without one.
    pub users: Vec<(User, String)>,
    /// The account of those who need not be anyone.
    pub account: Option<String>,
    /// Time for CONNECT.
    pub timeout: Option<Duration>,
}

/// What a block says, before it is held against itself.
#[derive(Debug, Default)]
struct Said {
    host: Option<String>,
    port: Option<u16>,
    advertise: Option<String>,
    no_advertise: bool,
    tls: Option<Encryption>,
    auth: LeafAuth,
    version_min: Option<(u32, u32, u32)>,
    is_isolated: bool,
}

/// Reads the block: the listener, `None` where no port is named, as for none; and those that are dialled.
pub(super) fn read(entry: &Entry, faults: &mut Faults) -> (Option<LeafNodes>, Vec<Remote>) {
    let (mut said, mut dialled) = (Said::default(), Vec::new());
    for entry in faults.block(entry).map(|block| &block.entries[..]).unwrap_or_default() {
        let key = entry.key.to_lowercase();
        if key == "remotes" {
            dialled = remotes::read(entry, faults);
        } else if !(place(&key, entry, &mut said, faults) || manner(&key, entry, &mut said, faults)) {
            faults.unknown(entry);
        }
    }
    (listener_of(said), dialled)
}

fn listener_of(said: Said) -> Option<LeafNodes> {
    Some(LeafNodes {
        host: said.host.unwrap_or_else(|| "0.0.0.0".to_owned()),
        port: said.port?,
        advertise: said.advertise,
        is_advertised: !said.no_advertise,
        tls: said.tls,
        auth: said.auth,
        version_min: said.version_min,
        is_isolated: said.is_isolated,
    })
}

/// Keys about where it listens. False for another key, as in the functions that follow.
fn place(key: &str, entry: &Entry, said: &mut Said, faults: &mut Faults) -> bool {
    match key {
        "advertise" => said.advertise = faults.text(entry).filter(|text| !text.is_empty()),
        "tls" => said.tls = tls::read(entry, faults),
        _ => return listener(key, entry, &mut said.host, &mut said.port, faults),
    }
    true
}

/// Keys about who comes, and what they get.
fn manner(key: &str, entry: &Entry, said: &mut Said, faults: &mut Faults) -> bool {
    match key {
        "authorization" => {
            if let Some(block) = faults.block(entry) {
                said.auth = authorization(entry, block, faults);
            }
        }
        "min_version" => {
            if let Some(text) = faults.text(entry) {
                said.version_min = version(&text);
                if said.version_min.is_none_or(|version| version < (2, 8, 0)) {
                    let what = format!("min_version is {text:?}, which is not a version of at least 2.8.0");
                    faults.error(&entry.place, what);
                }
            }
        }
        "isolate" | "isolate_leafnode_interest" => said.is_isolated = faults.flag(entry).unwrap_or_default(),
        "no_advertise" => said.no_advertise = faults.flag(entry).unwrap_or_default(),
        "compression" => compression(entry, faults),
        // Links are given as long as clients; nothing is dialled from here.
        "write_deadline" | "reconnect" | "reconnect_delay" | "reconnect_interval" => drop(faults.duration(entry)),
        _ => return false,
    }
    true
}

/// It is for both ends to agree on, and agreed on none.
pub(super) fn compression(entry: &Entry, faults: &mut Faults) {
    match &entry.item.value {
        Value::Boolean(_) | Value::Text(_) => {}
        Value::Block(_) | Value::Integer(_) | Value::Float(_) | Value::Date(_) | Value::List(_) => {
            let what = format!(
                "compression is {}, where a mode is accepted: off, accept, s2_auto …",
                entry.item.value.spoken()
            );
            faults.error(&entry.place, what);
        }
    }
}

fn authorization(entry: &Entry, block: &Block, faults: &mut Faults) -> LeafAuth {
    let (mut name, mut password, mut nkey, mut auth) = (None, None, None, LeafAuth::default());
    for entry in &block.entries {
        match entry.key.to_lowercase().as_str() {
            "user" | "username" => name = faults.text(entry),
            "pass" | "password" => password = faults.text(entry).map(Secret),
            "nkey" => nkey = faults.text(entry),
            "account" => auth.account = faults.text(entry),
            "timeout" => auth.timeout = faults.seconds(entry),
            "users" => {
                let items = faults.list(entry).unwrap_or_default();
                auth.users = items.iter().filter_map(|item| user(item, faults)).collect();
            }
            _ => faults.unknown(entry),
        }
    }
    let is_single = name.is_some() || password.is_some() || nkey.is_some();
    // A password alone is that of a user without a name.
    let name = name.or_else(|| nkey.is_none().then(String::new));
    if is_single && !auth.users.is_empty() {
        faults.error(&entry.place, "can not have a single user/pass and a users array");
    } else if is_single && let Some(proof) = proof(&entry.item, name, password, nkey, faults) {
        auth.users.push((bare(proof), auth.account.clone().unwrap_or_default()));
    }
    auth
}

fn user(item: &Item, faults: &mut Faults) -> Option<(User, String)> {
    let block = user_block(item, faults)?;
    let (mut name, mut password, mut account) = (None, None, None);
    for entry in &block.entries {
        match entry.key.to_lowercase().as_str() {
            "user" | "username" => name = faults.text(entry),
            "pass" | "password" => password = faults.text(entry).map(Secret),
            "account" => account = faults.text(entry),
            _ => faults.unknown(entry),
        }
    }
    if name.is_none() {
        faults.error(&item.place, "a user of leaf nodes has no name: {user: …, password: …}");
        return None;
    }
    let proof = proof(item, name, password, None, faults)?;
    Some((bare(proof), account.unwrap_or_default()))
}

fn bare(proof: Proof) -> User {
    User { proof, permissions: None, connection_types: Vec::new() }
}

#[cfg(test)]
mod tests {
    use super::super::read::tests::read;
    use super::*;

    #[test]
    fn a_block_is_read() {
        let text =
            "leafnodes { listen: \"127.0.0.1:-1\", advertise: \"hub:7422\", isolate: true, min_version: \"2.11.0-dev\",
            compression: s2_auto, no_advertise: true, remotes: [],
            authorization { timeout: 3, users: [{user: a, password: p, account: A}, {user: b, password: q}] } }
            accounts { A {} }";
        let (options, faults) = read(text);
        assert!(faults.errors.is_empty(), "{:?}", faults.errors);
        let made = options.leafnodes.unwrap();
        assert_eq!((made.host.as_str(), made.port, made.advertise.as_deref()), ("127.0.0.1", 0, Some("hub:7422")));
        assert_eq!((made.version_min, made.is_isolated), (Some((2, 11, 0)), true));
        assert_eq!(made.auth.timeout, Some(Duration::from_secs(3)));
        let accounts: Vec<&str> = made.auth.users.iter().map(|(_, account)| account.as_str()).collect();
        assert_eq!(accounts, ["A", ""]);
        for none in ["leafnodes {}", "leaf { port: 0 }"] {
            assert!(read(none).0.leafnodes.is_none(), "{none}");
        }
    }

    #[test]
    fn what_cannot_be_used_is_named() {
        for (text, expected) in [
            ("port: 7422, foo: 1", "unknown field \"foo\""),
            ("port: 7422, min_version: \"1.0\"", "min_version is \"1.0\""),
            ("port: 7422, min_version: \"2.7.9\"", "at least 2.8.0"),
            ("port: 99999", "port is 99999"),
            ("port: 7422, remotes: [{url: \"nats://h:x\"}]", "accepted is nats:// or tls://"),
            ("port: 7422, authorization { user: a, users: [{user: b}] }", "can not have a single user/pass"),
            ("port: 7422, authorization { users: [{nkey: U}] }", "unknown field \"nkey\""),
            ("port: 7422, authorization { nkey: UX }", "Not a valid public nkey"),
            ("port: 7422, compression: 3", "compression is"),
        ] {
            let (_, faults) = read(&format!("leafnodes {{ {text} }}"));
            let said: Vec<String> = faults.errors.iter().map(ToString::to_string).collect();
            assert!(said.iter().any(|one| one.contains(expected)), "{text}: {said:?} does not say {expected:?}");
        }
    }
}
