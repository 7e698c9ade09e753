//! Operators and their accounts: `operator`, `resolver`, `resolver_preload`, to whom the broker trusts.
//!
//! JWTs stand in the file itself or in files of their own, which are read here. What they say is left to the broker.

use super::grammar::{Block, Entry, Item, Place, Value};
use super::read::{Fault, Faults};
use super::users::Auth;
use lattice_broker::jwt::{Operator, TOKEN_BYTES_MAX};
use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};

/// Files of a resolver's folder that are looked at.
const FILES_MAX: usize = 100_000;
/// What every JWT begins with, as nats-server tells one from a path.
const JWT_START: &str = "eyJ";

/// What the file says about operators.
#[derive(Debug, Default)]
pub(super) struct Trust {
    operators: Vec<(Place, String)>,
    /// Nothing inside when what is written there is wrong, which has been said.
    resolver: Option<Option<Resolver>>,
    /// Public keys and tokens of accounts.
    preload: Vec<(Place, String, String)>,
}

/// Where accounts are found.
#[derive(Debug)]
enum Resolver {
    /// In `resolver_preload` alone.
    Memory,
    /// In this folder too: `<public key>.jwt`.
    Folder(Place, PathBuf),
}

impl Trust {
    /// Takes in `entry` of the file. False when it is about something else.
    pub(super) fn read(&mut self, key: &str, entry: &Entry, faults: &mut Faults) -> bool {
        match key {
            "operator" | "operators" | "roots" | "root" | "root_operators" | "root_operator" => {
                self.operators = operators(entry, faults);
            }
            "resolver" | "account_resolver" | "accounts_resolver" => self.resolver = Some(resolver(entry, faults)),
            "resolver_preload" => self.preload = preload(entry, faults),
            _ => return false,
        }
        true
    }

    /// Puts what was read together, for `auth`. `block` is the whole file.
    pub(super) fn apply(self, block: &Block, auth: &mut Auth, faults: &mut Faults) {
        let Some((first, _)) = self.operators.first() else {
            return;
        };
        if let Some(error) = beside(auth).or_else(|| lonely(self.resolver.is_some())) {
            faults.error(first, error);
            return;
        }
        let mut operator = match Operator::new(self.operators.iter().map(|(_, token)| token.as_str())) {
            Ok(operator) => operator,
            Err(error) => {
                faults.error(first, format!("operator: {error}"));
                return;
            }
        };
        for (place, key, token) in &self.preload {
            match operator.add_account(token) {
                Ok(subject) if subject == *key => {}
                Ok(subject) => faults.error(place, format!("the JWT of account {key:?} is that of {subject:?}")),
                Err(error) => faults.error(place, format!("the JWT of account {key:?}: {error}")),
            }
        }
        if let Some(Some(Resolver::Folder(place, folder))) = &self.resolver {
            add_folder(&mut operator, place, folder, faults);
        }
        settle_system_account(&operator, first, block, auth, faults);
        auth.operator = Some(operator);
    }
}

/// What may not be there beside an operator.
fn beside(auth: &Auth) -> Option<&'static str> {
    let has_users = !auth.users.is_empty() || auth.single.is_some() || auth.token.is_some() || auth.callout.is_some();
    if !auth.accounts.is_empty() {
        Some("operators do not allow Accounts to be configured directly: leave accounts out, or operator")
    } else if !auth.mappings.is_empty() {
        Some("operators do not allow mappings to be configured directly: leave mappings out, or operator")
    } else if has_users || auth.no_auth_user.is_some() {
        Some("operators do not allow users to be configured directly: leave authorization out, or operator")
    } else {
        None
    }
}

fn lonely(has_resolver: bool) -> Option<&'static str> {
    let accepted = "operators require an account resolver to be configured: resolver: MEMORY, with resolver_preload";
    (!has_resolver).then_some(accepted)
}

/// The system account is the one that the file names, or else the operator; it has to be known.
fn settle_system_account(operator: &Operator, first: &Place, block: &Block, auth: &mut Auth, faults: &mut Faults) {
    let named = operator.system_accounts();
    let entry = block.find("system_account").or_else(|| block.find("system"));
    let place = entry.map_or(first, |entry| &entry.place);
    let account = match &auth.system_account {
        Some(account) if !named.is_empty() && !named.contains(account) => {
            let what = format!("system_account is {account:?}; the operator's JWT names {}", named.join(", "));
            faults.error(place, what);
            return;
        }
        Some(account) => account,
        None => match named.first() {
            Some(account) => account,
            None => return,
        },
    };
    if !operator.knows(account) {
        faults.error(place, format!("system_account {account:?} is not known: name its JWT in resolver_preload"));
    }
    auth.system_account = Some(account.clone());
}

/// `operator: path`, `operator: eyJ…`, or a list of them.
fn operators(entry: &Entry, faults: &mut Faults) -> Vec<(Place, String)> {
    let one = std::slice::from_ref(&entry.item);
    let items: &[Item] = if let Value::List(items) = &entry.item.value { items } else { one };
    let mut tokens = Vec::new();
    for item in items {
        match &item.value {
            Value::Text(text) if text.starts_with(JWT_START) => tokens.push((item.place.clone(), text.clone())),
            Value::Text(path) => match read_token(Path::new(path)) {
                Ok(token) => tokens.push((item.place.clone(), token)),
                Err(error) => faults.error(&item.place, format!("{}: cannot read {path:?}: {error}", entry.key)),
            },
            _ => faults.wrong(entry, "the JWT of an operator, the path of a file that has one, or an array of them"),
        }
    }
    tokens
}

/// `MEMORY`, or `{ type: full, dir: path }`.
fn resolver(entry: &Entry, faults: &mut Faults) -> Option<Resolver> {
    const ACCEPTED: &str = "MEMORY, with accounts in resolver_preload, or { type: full, dir: \"path\" }";
    let memory = |text: &str| ["MEM", "MEMORY"].iter().any(|name| text.eq_ignore_ascii_case(name));
    let block = match &entry.item.value {
        Value::Text(text) if memory(text) => return Some(Resolver::Memory),
        Value::Block(block) => block,
        _ => {
            faults.wrong(entry, ACCEPTED);
            return None;
        }
    };
    let (mut kind, mut folder) = (None, None);
    for entry in &block.entries {
        match entry.key.to_lowercase().as_str() {
            "type" => kind = faults.text(entry),
            "dir" => folder = faults.text(entry).map(|path| (entry.place.clone(), PathBuf::from(path))),
            // They are about taking accounts in while the server runs.
            "allow_delete" | "hard_delete" | "interval" | "limit" | "timeout" => {}
            _ => faults.unknown(entry),
        }
    }
    let kind = kind.unwrap_or_default();
    match folder {
        _ if memory(&kind) => Some(Resolver::Memory),
        Some((place, path)) if kind.eq_ignore_ascii_case("full") => Some(Resolver::Folder(place, path)),
        folder => {
            let dir = if folder.is_some() { "a dir" } else { "no dir" };
            faults.error(&entry.place, format!("{} has type {kind:?} and {dir}, which is not {ACCEPTED}", entry.key));
            None
        }
    }
}

/// `{ A…: eyJ… }`.
fn preload(entry: &Entry, faults: &mut Faults) -> Vec<(Place, String, String)> {
    let entries = faults.block(entry).map(|block| block.entries.as_slice()).unwrap_or_default();
    let read = |entry: &Entry| Some((entry.place.clone(), entry.key.clone(), faults.text(entry)?));
    entries.iter().filter_map(read).collect()
}

/// Takes in the accounts of a folder. Those that are of no use are passed over, with a warning.
fn add_folder(operator: &mut Operator, place: &Place, folder: &Path, faults: &mut Faults) {
    let files = match std::fs::read_dir(folder) {
        Ok(files) => files,
        // A resolver's folder is made when there is something to put into it.
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return,
        Err(error) => {
            faults.error(place, format!("cannot read the resolver's dir {}: {error}", folder.display()));
            return;
        }
    };
    let paths = files.filter_map(Result::ok).map(|file| file.path());
    for path in paths.filter(|path| path.extension().is_some_and(|end| end == "jwt")).take(FILES_MAX) {
        let key = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        if operator.knows(&key) {
            continue;
        }
        let added = read_token(&path).map_err(|error| error.to_string());
        let added = added.and_then(|token| operator.add_account(&token).map_err(|error| error.to_string()));
        if let Err(error) = added {
            let what = format!("passed over {}: {error}", path.display());
            faults.warnings.push(Fault { place: place.clone(), what });
        }
    }
}

/// The token in a file, alone or between `-----BEGIN …` and `------END …`.
fn read_token(path: &Path) -> std::io::Result<String> {
    let mut text = String::new();
    // One byte more than is accepted, so that the token is found to be too long.
    File::open(path)?.take(TOKEN_BYTES_MAX as u64 + 1).read_to_string(&mut text)?;
    let token = text.lines().map(str::trim).find(|line| !line.is_empty() && !line.starts_with("---"));
    Ok(token.unwrap_or_default().to_owned())
}

#[cfg(test)]
mod tests;
