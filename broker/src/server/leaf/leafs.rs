//! All leaf nodes of a server, and what they are judged by.

use super::Spoke;
use crate::auth::{Access, ConnectionType, Identity, Review};
use crate::config::Config;
use crate::env::{Env, Rng};
use crate::hub::Hub;
use crate::leaf::{LeafPort, random_token};
use crate::lock::{lock, read, write};
use crate::session::Terms;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, OnceLock, RwLock};

/// Connections at a time that have not said yet who they are, or are being judged: each may hold a line of 64 KiB.
const STRANGERS_MAX: usize = 256;

/// Leaf nodes, by their numbers.
#[derive(Debug)]
pub(crate) struct Leafs {
    spokes: Mutex<BTreeMap<u64, Arc<Spoke>>>,
    /// What marks the interest of each account.
    tokens: Mutex<(Rng, BTreeMap<Box<str>, String>)>,
    /// Who may connect, if that is not whoever may as a client.
    access: RwLock<Option<Arc<Access>>>,
    /// Where they connect, once they can.
    listened: OnceLock<(String, u16)>,
}

/// By what a leaf node is judged.
pub(super) enum Judge {
    Own(Arc<Access>),
    OfClients(Arc<Terms>),
}

impl Judge {
    pub(super) fn access(&self) -> &Access {
        match self {
            Self::Own(access) => access,
            Self::OfClients(terms) => &terms.access,
        }
    }
}

impl Leafs {
    pub(crate) fn new(env: &Env, config: &Config) -> Self {
        Self {
            spokes: Mutex::default(),
            tokens: Mutex::new((env.rng("leaf tokens"), BTreeMap::new())),
            access: RwLock::new(access(config)),
            listened: OnceLock::new(),
        }
    }

    /// Leaf nodes can connect from now on, first of all there.
    pub(crate) fn set_address(&self, host: &str, port: u16) {
        // What was there first stays.
        let _ = self.listened.set((host.to_owned(), port));
    }

    /// Where they connect, if they can.
    pub(crate) fn address(&self) -> Option<&(String, u16)> {
        self.listened.get()
    }

    /// Takes one more in, if there are not `max` already.
    pub(super) fn enter(&self, spoke: &Arc<Spoke>, max: usize) -> bool {
        let mut spokes = lock(&self.spokes);
        let strangers = spokes.values().filter(|spoke| spoke.bound().is_none()).count();
        let has_room = spokes.len() < max && strangers < STRANGERS_MAX;
        if has_room {
            spokes.insert(spoke.id, spoke.clone());
        }
        has_room
    }

    /// One has gone.
    pub(super) fn leave(&self, hub: &Hub, id: u64) {
        lock(&self.spokes).remove(&id);
        hub.closed.notify_waiters();
    }

    /// Those that are connected, let in or not, in the order in which they came.
    pub(crate) fn all(&self) -> Vec<Arc<Spoke>> {
        lock(&self.spokes).values().cloned().collect()
    }

    /// How many of them are in `account`, or in any.
    pub(crate) fn count(&self, account: Option<&[u8]>) -> usize {
        let is_in =
            |spoke: &&Arc<Spoke>| spoke.bound().is_some_and(|bound| account.is_none_or(|one| *bound.account == *one));
        lock(&self.spokes).values().filter(is_in).count()
    }

    pub(crate) fn is_empty(&self) -> bool {
        lock(&self.spokes).is_empty()
    }

    /// What marks the interest of `account`: should it come back, there is a loop.
    pub(crate) fn token(&self, account: &str) -> String {
        let mut tokens = lock(&self.tokens);
        let (rng, known) = &mut *tokens;
        known.entry(account.into()).or_insert_with(|| random_token(rng)).clone()
    }

    pub(super) fn judge(&self, hub: &Hub) -> Judge {
        match &*read(&self.access) {
            Some(access) => Judge::Own(access.clone()),
            None => Judge::OfClients(hub.terms()),
        }
    }

    /// Ends the links of all, as the server stops.
    pub(crate) fn stop(&self) {
        self.all().iter().for_each(|spoke| spoke.drop_link());
    }

    /// Other settings hold from now on: those that may not stay are told so, and those for whom something has changed have to
    /// come again, which they do within a second.
    pub(crate) fn reload(&self, hub: &Hub, config: &Config) {
        *write(&self.access) = access(config);
        let judge = self.judge(hub);
        for spoke in self.all() {
            let Some(bound) = spoke.bound() else { continue };
            let from = Some(spoke.peer.ip());
            match judge.access().review(&bound.identity, ConnectionType::LeafNode, from, hub.env.wall()) {
                Review::Stays(now) if now.rules == bound.identity.rules => {
                    let is_there = hub.account(&bound.account).is_some();
                    let name = String::from_utf8_lossy(&bound.account);
                    if !is_there || taken_for_others(config, &name) != bound.taken_for_others {
                        spoke.drop_link();
                    }
                }
                Review::Stays(_) | Review::Gone => spoke.drop_link(),
                Review::Revoked => spoke.turn_out("User Authentication Revoked"),
                Review::Denied => spoke.turn_out("Authorization Violation"),
            }
        }
    }
}

/// The account of one that is `identity`.
pub(super) fn account(judge: &Judge, port: &LeafPort, identity: &Identity) -> Box<str> {
    match port.account.as_str() {
        name if !name.is_empty() && !judge.access().is_required() => name.into(),
        _ => identity.account.clone(),
    }
}

/// What `account` takes for others.
pub(super) fn taken_for_others(config: &Config, account: &str) -> Vec<String> {
    config.auth.account(account).map(|account| account.taken_for_others().collect()).unwrap_or_default()
}

fn access(config: &Config) -> Option<Arc<Access>> {
    let auth = config.leaf.as_ref()?.auth.as_ref()?;
    Some(Arc::new(Access::new(auth)))
}
