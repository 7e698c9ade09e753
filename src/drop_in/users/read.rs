//! `authorization` and `accounts` of a config file to the model, and what does not fit together in it.

use super::callout;
use super::{Account, Auth, Export, Import, Kind, Permissions, Proof, Responses, Rules, Secret, User};
use crate::drop_in::grammar::{Block, Entry, Item, Place, Value};
use crate::drop_in::mappings;
use crate::drop_in::options::Options;
use crate::drop_in::read::Faults;
use lattice_broker::is_filter;
use std::time::Duration;

/// What a nats-server waits for an answer that may still come, and how many, unless the file says otherwise.
const RESPONSES: Responses = Responses { max: 1, expires: Duration::from_secs(120) };

/// Sets what the block of `authorization`, the value of `entry`, says.
pub fn authorization(entry: &Entry, block: &Block, auth: &mut Auth, faults: &mut Faults) {
    let (mut name, mut password) = (None, None);
    for entry in &block.entries {
        match entry.key.to_lowercase().as_str() {
            "user" | "username" => name = faults.text(entry),
            "pass" | "password" => password = faults.text(entry).map(Secret),
            "token" => auth.token = faults.text(entry).map(Secret),
            "timeout" => auth.timeout = faults.seconds(entry),
            "users" => auth.users = users(entry, faults),
            "default_permission" | "default_permissions" | "permissions" => {
                auth.default_permissions = permissions(entry, faults);
            }
            "auth_callout" | "auth_hook" => auth.callout = callout::read(entry, faults),
            _ => faults.unknown(entry),
        }
    }
    let has_single = name.is_some() || password.is_some();
    if has_single && auth.token.is_some() {
        faults.error(&entry.place, "Cannot have a user/pass and token");
    }
    if has_single && !auth.users.is_empty() {
        faults.error(&entry.place, "Can not have a single user/pass and a users array");
    }
    if auth.token.is_some() && !auth.users.is_empty() {
        faults.error(&entry.place, "Can not have a token and a users array");
    }
    auth.single = has_single.then(|| (name.unwrap_or_default(), password.unwrap_or(Secret(String::new()))));
}

fn users(entry: &Entry, faults: &mut Faults) -> Vec<User> {
    let items = faults.list(entry).unwrap_or_default();
    items.iter().filter_map(|item| user(item, faults)).collect()
}

fn user(item: &Item, faults: &mut Faults) -> Option<User> {
    let block = user_block(item, faults)?;
    let (mut name, mut password, mut nkey) = (None, None, None);
    let (mut rights, mut connection_types) = (None, Vec::new());
    for entry in &block.entries {
        match entry.key.to_lowercase().as_str() {
            "user" | "username" => name = faults.text(entry),
            "pass" | "password" => password = faults.text(entry).map(Secret),
            "nkey" => nkey = faults.text(entry),
            "permission" | "permissions" | "authorization" => rights = permissions(entry, faults),
            "allowed_connection_types" | "connection_types" | "clients" => {
                connection_types = names(entry, faults).iter().map(|name| name.to_uppercase()).collect();
            }
            _ => faults.unknown(entry),
        }
    }
    let proof = proof(item, name, password, nkey, faults)?;
    Some(User { proof, permissions: rights, connection_types })
}

/// What is said of a user.
pub(in crate::drop_in) fn user_block<'a>(item: &'a Item, faults: &mut Faults) -> Option<&'a Block> {
    let Value::Block(block) = &item.value else {
        let what = format!("a user is {}, which is not a block: {{user: …, password: …}}", item.value.spoken());
        faults.error(&item.place, what);
        return None;
    };
    Some(block)
}

/// How a user proves who it is of which `item` says this.
pub(in crate::drop_in) fn proof(
    item: &Item,
    name: Option<String>,
    password: Option<Secret>,
    nkey: Option<String>,
    faults: &mut Faults,
) -> Option<Proof> {
    let wrong = match (name, nkey) {
        (Some(name), None) => {
            return Some(Proof::Password { name, password: password.unwrap_or(Secret(String::new())) });
        }
        (None, Some(key)) if is_key(&key, 'U') => return Some(Proof::Nkey(key)),
        (None, Some(_)) => "Not a valid public nkey for a user",
        (Some(_), Some(_)) => "a user has a name or an nkey, not both",
        (None, None) => "a user has neither user nor nkey",
    };
    faults.error(&item.place, wrong);
    None
}

/// True for a public key of the kind that begins with `kind`.
pub(super) fn is_key(key: &str, kind: char) -> bool {
    key.starts_with(kind) && nkeys::KeyPair::from_public_key(key).is_ok()
}

/// A name, or an array of names.
pub(super) fn names(entry: &Entry, faults: &mut Faults) -> Vec<String> {
    let Value::List(items) = &entry.item.value else { return faults.text(entry).into_iter().collect() };
    let mut names = Vec::new();
    for item in items {
        match &item.value {
            Value::Text(text) => names.push(text.clone()),
            other => {
                let what = format!("{} has {}, where strings are accepted", entry.key, other.spoken());
                faults.error(&item.place, what);
            }
        }
    }
    names
}

fn permissions(entry: &Entry, faults: &mut Faults) -> Option<Permissions> {
    let block = faults.block(entry)?;
    let mut rights = Permissions::default();
    for entry in &block.entries {
        match entry.key.to_lowercase().as_str() {
            "pub" | "publish" | "import" => rights.publish = rules(entry, false, faults),
            "sub" | "subscribe" | "export" => rights.subscribe = rules(entry, true, faults),
            "publish_allow_responses" | "allow_responses" => rights.responses = responses(entry, faults),
            _ => faults.unknown(entry),
        }
    }
    Some(rights)
}

/// A subject, an array of them, or a block with `allow` and `deny`.
fn rules(entry: &Entry, has_queues: bool, faults: &mut Faults) -> Rules {
    let Value::Block(block) = &entry.item.value else {
        return Rules { allow: Some(subjects(entry, has_queues, faults)), deny: Vec::new() };
    };
    let mut rules = Rules::default();
    for entry in &block.entries {
        match entry.key.to_lowercase().as_str() {
            "allow" => rules.allow = Some(subjects(entry, has_queues, faults)),
            "deny" => rules.deny = subjects(entry, has_queues, faults),
            _ => faults.unknown(entry),
        }
    }
    rules
}

fn subjects(entry: &Entry, has_queues: bool, faults: &mut Faults) -> Vec<String> {
    let all = names(entry, faults);
    for text in &all {
        let mut parts = text.split_whitespace();
        let subject = parts.next().unwrap_or_default();
        if !is_filter(subject.as_bytes()) || parts.count() > usize::from(has_queues) {
            faults.error(&entry.place, format!("subject {text:?} is not a valid subject"));
        }
    }
    all
}

fn responses(entry: &Entry, faults: &mut Faults) -> Option<Responses> {
    if let Value::Boolean(allowed) = entry.item.value {
        return allowed.then_some(RESPONSES);
    }
    let mut responses = RESPONSES;
    for entry in &faults.block(entry)?.entries {
        match entry.key.to_lowercase().as_str() {
            "max" | "max_msgs" | "max_messages" | "max_responses" => {
                responses.max = faults.integer(entry, -1, i64::from(i32::MAX)).unwrap_or(responses.max);
            }
            "expires" | "expiration" | "ttl" => {
                responses.expires = faults.duration(entry).unwrap_or(responses.expires);
            }
            _ => faults.unknown(entry),
        }
    }
    Some(responses)
}

/// The accounts of `entry`: an array of names, or a block for each.
pub fn accounts(entry: &Entry, faults: &mut Faults) -> Vec<Account> {
    if let Value::List(_) = &entry.item.value {
        let names = names(entry, faults);
        return names.into_iter().map(|name| Account { name, ..Account::default() }).collect();
    }
    let Some(block) = faults.block(entry) else { return Vec::new() };
    let accounts = block.entries.iter().filter_map(|entry| {
        let block = faults.block(entry)?;
        Some(account(&entry.key, block, faults))
    });
    accounts.collect()
}

fn account(name: &str, block: &Block, faults: &mut Faults) -> Account {
    let mut account = Account { name: name.to_owned(), ..Account::default() };
    for entry in &block.entries {
        match entry.key.to_lowercase().as_str() {
            "nkey" => match faults.text(entry) {
                Some(key) if !is_key(&key, 'A') => {
                    faults.error(&entry.place, format!("Not a valid public nkey for an account: {key:?}"));
                }
                key => account.nkey = key,
            },
            "users" => account.users = users(entry, faults),
            "default_permissions" => account.default_permissions = permissions(entry, faults),
            "exports" => account.exports = each(entry, faults, export),
            "imports" => account.imports = each(entry, faults, import),
            "jetstream" if matches!(entry.item.value, Value::Boolean(false)) => {}
            "mappings" | "maps" => mappings::read(entry, &mut account.mappings, faults),
            "jetstream" | "limits" | "msg_trace" | "trace_dest" | "cluster_traffic" => {
                let what = format!("{:?} of account {name:?} is not here: leave it out", entry.key);
                faults.error(&entry.place, what);
            }
            _ => faults.unknown(entry),
        }
    }
    account
}

fn each<T>(entry: &Entry, faults: &mut Faults, read: fn(&Block, &Place, &mut Faults) -> Option<T>) -> Vec<T> {
    let mut all = Vec::new();
    for item in faults.list(entry).unwrap_or_default() {
        match &item.value {
            Value::Block(block) => all.extend(read(block, &item.place, faults)),
            other => {
                faults.error(&item.place, format!("{} has {}, where blocks are accepted", entry.key, other.spoken()))
            }
        }
    }
    all
}

fn export(block: &Block, place: &Place, faults: &mut Faults) -> Option<Export> {
    let (mut what, mut accounts, mut response_type, mut response_threshold) = (None, None, None, None);
    for entry in &block.entries {
        match entry.key.to_lowercase().as_str() {
            "stream" => what = faults.text(entry).map(|subject| (Kind::Stream, subject)),
            "service" => what = faults.text(entry).map(|subject| (Kind::Service, subject)),
            "accounts" => accounts = Some(names(entry, faults)),
            "response" | "response_type" => response_type = faults.text(entry).map(|text| text.to_lowercase()),
            "threshold" | "response_threshold" | "response_time" | "response_max_time" => {
                response_threshold = faults.duration(entry);
            }
            "latency" | "account_token_position" | "allow_trace" => {
                faults.error(&entry.place, format!("{:?} of an export is not here: leave it out", entry.key));
            }
            _ => faults.unknown(entry),
        }
    }
    let Some((kind, subject)) = what else {
        faults.error(place, "an export has neither stream nor service");
        return None;
    };
    check_subject(&subject, place, faults);
    Some(Export { kind, subject, accounts, response_type, response_threshold })
}

fn import(block: &Block, place: &Place, faults: &mut Faults) -> Option<Import> {
    let (mut what, mut to, mut prefix, mut share) = (None, None, None, false);
    for entry in &block.entries {
        match entry.key.to_lowercase().as_str() {
            "stream" => what = source(entry, faults).map(|source| (Kind::Stream, source)),
            "service" => what = source(entry, faults).map(|source| (Kind::Service, source)),
            "to" => to = faults.text(entry),
            "prefix" => prefix = faults.text(entry),
            "share" => share = faults.flag(entry).unwrap_or_default(),
            "allow_trace" => faults.error(&entry.place, "\"allow_trace\" of an import is not here: leave it out"),
            _ => faults.unknown(entry),
        }
    }
    let Some((kind, (account, subject))) = what else {
        faults.error(place, "an import has neither stream nor service");
        return None;
    };
    check_subject(&subject, place, faults);
    Some(Import { kind, account, subject, to, prefix, share })
}

/// `{account: A, subject: "a.b"}`
fn source(entry: &Entry, faults: &mut Faults) -> Option<(String, String)> {
    let (mut account, mut subject) = (None, None);
    for entry in &faults.block(entry)?.entries {
        match entry.key.to_lowercase().as_str() {
            "account" => account = faults.text(entry),
            "subject" => subject = faults.text(entry),
            _ => faults.unknown(entry),
        }
    }
    if account.is_none() || subject.is_none() {
        faults.error(&entry.place, format!("{} has not both account and subject", entry.key));
    }
    account.zip(subject)
}

fn check_subject(subject: &str, place: &Place, faults: &mut Faults) {
    if !is_filter(subject.as_bytes()) {
        faults.error(place, format!("subject {subject:?} is not a valid subject"));
    }
}

/// What names something that is not there, or names it twice. `block` is the whole file.
pub(in crate::drop_in) fn check(block: &Block, options: &Options, faults: &mut Faults) {
    let auth = &options.auth;
    let mut seen = std::collections::BTreeSet::new();
    let place = |key: &str| block.find(key).map(|entry| entry.place.clone());
    let mut fail = |keys: [&str; 2], what: String| {
        if let Some(place) = keys.into_iter().find_map(place) {
            faults.error(&place, what);
        }
    };
    for user in auth.all_users() {
        let name = match &user.proof {
            Proof::Password { name, .. } | Proof::Nkey(name) => name,
        };
        if !seen.insert(name) {
            fail(["accounts", "authorization"], format!("Duplicate user {name:?} detected"));
        }
    }
    for name in auth.callout.iter().flat_map(|callout| &callout.accounts) {
        if !auth.accounts.iter().any(|account| account.name == *name) {
            fail(
                ["authorization"; 2],
                format!("auth_callout allowed account {name:?} not found in configured accounts"),
            );
        }
    }
    let is_account = |name: &str| name == "$G" || auth.accounts.iter().any(|account| account.name == name);
    for import in auth.accounts.iter().flat_map(|account| &account.imports) {
        if !is_account(&import.account) {
            let kind = match import.kind {
                Kind::Stream => "stream",
                Kind::Service => "service",
            };
            fail(["accounts"; 2], format!("{:?} account not defined for {kind} import", import.account));
        }
    }
}
