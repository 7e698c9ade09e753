//! `remotes: [ … ]` of `leafnodes`: the servers of which this one is a leaf node, and as whom. What is dialled, and when,
//! is left to the gateway.

use super::grammar::{Block, Entry, Item, Value};
use super::leafnodes::compression;
use super::read::Faults;
use super::tls::{self, Outgoing};
use crate::gateway::{UpstreamUrl, credentials_in};
use lattice_broker::{Credentials, UserKey, is_filter};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// A server, or several of one cluster, of which this one is a leaf node.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Remote {
    /// Where it is reached, at least one.
    pub urls: Vec<UpstreamUrl>,
    /// They are tried in this order.
    pub is_ordered: bool,
    /// A file of credentials, read at each attempt.
    pub credentials_file: Option<PathBuf>,
    /// Where else a server says that it is reached is not tried.
    pub ignores_discovered: bool,
    /// Time for a connection.
    pub dial_timeout: Option<Duration>,
    /// The account here that is joined to it.
    pub account: String,
    /// Encryption, if the URLs and the server shall not decide alone.
    pub tls: Option<Outgoing>,
    /// Subjects that are not taken from there.
    pub denied_in: Vec<String>,
    /// Subjects that are not sent there.
    pub denied_out: Vec<String>,
}

/// Reads the list.
pub(super) fn read(entry: &Entry, faults: &mut Faults) -> Vec<Remote> {
    let items = faults.list(entry).unwrap_or_default();
    items.iter().filter_map(|item| remote(item, faults)).collect()
}

/// What an entry says before it is put together.
#[derive(Default)]
struct Said {
    remote: Remote,
    key: Option<UserKey>,
    is_disabled: bool,
}

/// `None` for one that is disabled, or wrong.
fn remote(item: &Item, faults: &mut Faults) -> Option<Remote> {
    let Value::Block(block) = &item.value else {
        faults.error(&item.place, format!("a remote is {}, which is not a block: {{url: …}}", item.value.spoken()));
        return None;
    };
    let before = faults.errors.len();
    let said = said(block, faults);
    let Said { mut remote, key, is_disabled } = said;
    if remote.account.is_empty() {
        "$G".clone_into(&mut remote.account);
    }
    if remote.urls.is_empty() && faults.errors.len() == before {
        faults.error(&item.place, "a remote has no url: {url: \"nats://host:7422\"}");
    }
    let is_named = remote.urls.iter().any(|url| *url.credentials() != Credentials::None);
    if [is_named, key.is_some(), remote.credentials_file.is_some()].iter().filter(|one| **one).count() > 1 {
        faults.error(&item.place, "a remote shows one thing: what is in its url, or nkey, or credentials");
    }
    if let Some(key) = key {
        remote.urls = remote.urls.into_iter().map(|url| url.with_key(key.clone())).collect();
    }
    (!is_disabled && faults.errors.len() == before).then_some(remote)
}

fn said(block: &Block, faults: &mut Faults) -> Said {
    let mut said = Said::default();
    for entry in &block.entries {
        let key = entry.key.to_lowercase();
        if !(place(&key, entry, &mut said, faults)
            || manner(&key, entry, &mut said, faults)
            || refused(&key, entry, faults))
        {
            faults.unknown(entry);
        }
    }
    said
}

/// Keys about where it is, and as whom. False for another key, as in the functions that follow.
fn place(key: &str, entry: &Entry, said: &mut Said, faults: &mut Faults) -> bool {
    match key {
        "url" | "urls" => {
            for text in faults.texts(entry).unwrap_or_default() {
                match text.parse::<UpstreamUrl>() {
                    Ok(url) => said.remote.urls.push(url),
                    // The text may hold a password: the error has it without.
                    Err(error) => faults.error(&entry.place, format!("{key}: {error}")),
                }
            }
        }
        "account" | "local" => said.remote.account = faults.text(entry).unwrap_or_default(),
        "credentials" | "creds" => {
            said.remote.credentials_file = faults.text(entry).and_then(|path| creds(path, entry, faults))
        }
        "nkey" | "seed" => {
            let key = faults.text(entry).map(|seed| UserKey::from_seed(&seed));
            match key {
                Some(Ok(key)) => said.key = Some(key),
                // The value is a secret.
                Some(Err(error)) => faults.error(&entry.place, format!("{}: {error}", entry.key)),
                None => {}
            }
        }
        "tls" => said.remote.tls = tls::read_outgoing(entry, faults),
        _ => return false,
    }
    true
}

/// A file that can be used now; it may be another one when the link is made.
fn creds(path: String, entry: &Entry, faults: &mut Faults) -> Option<PathBuf> {
    let read = credentials_in(Path::new(&path));
    read.map_err(|error| faults.error(&entry.place, format!("{}: {path}: {error}", entry.key))).ok()?;
    Some(path.into())
}

/// Keys about what goes over the link, and how it is made.
fn manner(key: &str, entry: &Entry, said: &mut Said, faults: &mut Faults) -> bool {
    match key {
        "deny_import" | "deny_imports" => said.remote.denied_in = subjects(entry, faults),
        "deny_export" | "deny_exports" => said.remote.denied_out = subjects(entry, faults),
        "no_randomize" | "dont_randomize" => said.remote.is_ordered = faults.flag(entry).unwrap_or_default(),
        "disabled" => said.is_disabled = faults.flag(entry).unwrap_or_default(),
        "hub" => {
            if faults.flag(entry) == Some(true) {
                faults.refuse(
                    entry,
                    "remotes",
                    "let the other server be the leaf node: give this one a port in leafnodes",
                );
            }
        }
        "compression" => compression(entry, faults),
        "ignore_discovered_servers" => said.remote.ignores_discovered = faults.flag(entry).unwrap_or_default(),
        "dial_timeout" => said.remote.dial_timeout = faults.duration(entry),
        "first_info_timeout" | "reconnect" | "reconnect_delay" | "reconnect_interval" => drop(faults.duration(entry)),
        _ => return false,
    }
    true
}

fn subjects(entry: &Entry, faults: &mut Faults) -> Vec<String> {
    let subjects = faults.texts(entry).unwrap_or_default();
    if let Some(bad) = subjects.iter().find(|subject| !is_filter(subject.as_bytes())) {
        faults.error(&entry.place, format!("{} has {bad:?}, which is not a subject, with wildcards or not", entry.key));
    }
    subjects
}

fn refused(key: &str, entry: &Entry, faults: &mut Faults) -> bool {
    let instead = match key {
        "websocket" | "ws_compression" | "ws_compress" | "ws_no_masking" | "ws_no_mask" => {
            "leaf links go over TCP, with TLS or without"
        }
        "proxy" => "leaf links are made without a proxy",
        "jetstream_cluster_migrate" | "js_cluster_migrate" => "leave it out: JetStream is not here",
        "request_isolation" | "isolate" | "isolate_leafnode_interest" | "local_isolation" => {
            "isolate at the other end: isolate_leafnode_interest of its leafnodes"
        }
        _ => return false,
    };
    faults.refuse(entry, "remotes", instead);
    true
}

#[cfg(test)]
mod tests {
    use super::super::read::tests::read;

    fn faults(text: &str) -> Vec<String> {
        let (_, faults) = read(&format!("leafnodes {{ remotes: [ {{ {text} }} ] }}"));
        faults.errors.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn remotes_are_read() {
        let text = "leafnodes { remotes: [
            {url: \"nats://u:p@hub:7000\", account: A, deny_imports: \"in.>\", deny_exports: [out, \"x.*\"]}
            {urls: [\"tls://a\", \"nats-leaf://b:1\"], no_randomize: true, tls {timeout: 3}, hub: false}
            {url: \"nats://off\", disabled: true} ] }";
        let (options, faults) = read(text);
        assert!(faults.errors.is_empty(), "{:?}", faults.errors);
        assert!(options.leafnodes.is_none());
        let [first, second] = &options.remotes[..] else { panic!("{:?}", options.remotes) };
        assert_eq!((first.urls[0].to_string().as_str(), first.account.as_str()), ("nats://hub:7000", "A"));
        assert_eq!((first.denied_in.as_slice(), first.denied_out.len()), (&["in.>".to_owned()][..], 2));
        let shown: Vec<String> = second.urls.iter().map(ToString::to_string).collect();
        assert_eq!((shown, second.is_ordered), (vec!["tls://a:7422".to_owned(), "nats://b:1".to_owned()], true));
        assert!(second.tls.as_ref().is_some_and(|tls| tls.encryption.is_required));
    }

    #[test]
    fn what_cannot_be_used_is_named_without_secrets() {
        let seed = nkeys::KeyPair::new_user().seed().unwrap();
        let twice = format!("url: \"nats://u:s3cret@h\", nkey: {seed}");
        for (text, expected) in [
            ("account: A", "has no url"),
            ("url: \"http://u:s3cret@h\"", "nats:// or tls://"),
            ("url: \"ws://h\"", "WebSocket"),
            ("url: \"nats://h\", credentials: \"/none/here.creds\"", "/none/here.creds"),
            ("url: \"nats://h\", nkey: SUs3cret", "no seed of a user's key"),
            (&*twice, "shows one thing"),
            ("url: \"nats://h\", hub: true", "let the other server be the leaf node"),
            ("url: \"nats://h\", deny_imports: \"a..b\"", "\"a..b\""),
            ("url: \"nats://h\", tls {insecure: true}", "ca_file"),
            ("url: \"nats://h\", tls {ca_file: \"/none/ca.pem\"}", "/none/ca.pem"),
            ("url: \"nats://h\", tls {verify: true}", "not for a remote"),
            ("url: \"nats://h\", proxy {url: x}", "without a proxy"),
            ("url: \"nats://h\", foo: 1", "unknown field \"foo\""),
        ] {
            let said = faults(text);
            assert!(said.iter().any(|one| one.contains(expected)), "{text}: {said:?} does not say {expected:?}");
            assert!(!said.concat().contains("s3cret"), "{said:?}");
        }
    }
}
