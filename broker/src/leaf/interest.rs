//! What this side wants from the leaf link's peer: who wants it here, and what the peer has been told.
//!
//! The table outlives the links. Only differences are sent, because a real server counts a repeated plain LS+ and
//! then keeps the interest for ever (§6.1). What may be told is left to [`Direction`].

use super::encode::write_interest;
use super::permissions::Direction;
use crate::message::ClusterId;
use crate::neighbor::{InterestChange, InterestSource};
use smallvec::SmallVec;
use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, Instant};

/// How long a reply subject is kept that was seen before the interest in it: a flood arrives much earlier.
const LEARNT_FOR: Duration = Duration::from_secs(10);
/// Reply subjects kept at once; the oldest makes way.
const LEARNT_MAX: usize = 4096;
/// A real server reads weights as signed 32-bit numbers.
const WEIGHT_MAX: u32 = i32::MAX as u32;

/// Interest of one account in what the peer has, by source, and as told to the peer.
#[derive(Debug)]
pub struct Interest {
    account: Box<[u8]>,
    scope: Scope,
    /// By the words of the LS+ line: the subject, or the subject, a blank and the queue group.
    entries: BTreeMap<Box<[u8]>, Entry>,
    /// Reply subjects in the order in which they expire.
    learnt: VecDeque<(Instant, Box<[u8]>)>,
    scratch: Vec<u8>,
}

/// Whose interest the peer is told of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// The peer is above: that of clients of this server and of the mesh, leaf nodes below included. Two real servers are
    /// never bridged: what another one wants is its own affair.
    Up,
    /// The peer is below: everybody's.
    Down {
        /// But for other leaf nodes of its cluster, which it is told by these.
        cluster: Option<ClusterId>,
        /// But for all other leaf nodes.
        is_isolated: bool,
    },
}

#[derive(Debug, Default)]
struct Entry {
    /// Sorted by source; no zeros.
    weights: SmallVec<[(Source, u32); 1]>,
    /// As the peer knows it; 0 when it does not.
    told: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Source {
    Clients,
    Member(u32),
    /// The upstream of a member of the mesh.
    Behind(u32, u64),
    /// Another leaf link of this server.
    Upstream(u64),
    /// Another leaf node of this server.
    Spoke(u32),
    /// The account itself: what it takes for others.
    Account,
    Learnt,
}

impl Scope {
    fn source(self, source: InterestSource) -> Option<Source> {
        match (self, source) {
            (_, InterestSource::Clients) => Some(Source::Clients),
            (_, InterestSource::Mesh { member, via: None }) => Some(Source::Member(member)),
            (Self::Down { .. }, InterestSource::Mesh { member, via: Some(via) }) => Some(Source::Behind(member, via.0)),
            (Self::Down { .. }, InterestSource::Leaf(upstream)) => Some(Source::Upstream(upstream.0)),
            (Self::Down { cluster: own, is_isolated: false }, InterestSource::Spoke { id, cluster }) => {
                (cluster.is_none() || cluster != own).then_some(Source::Spoke(id))
            }
            (Self::Up | Self::Down { .. }, _) => None,
        }
    }
}

/// A link that is up: what it may be told, and where to write it.
#[derive(Debug)]
pub(super) struct Outlet<'a> {
    pub(super) import: &'a Direction,
    pub(super) out: &'a mut Vec<u8>,
}

impl Interest {
    /// An empty table for `account`; changes in other accounts, and of whoever is not in `scope`, are passed over.
    #[must_use]
    pub fn new(account: &[u8], scope: Scope) -> Self {
        Self { account: account.into(), scope, entries: BTreeMap::new(), learnt: VecDeque::new(), scratch: Vec::new() }
    }

    /// Takes a change while no link is up.
    pub fn record(&mut self, change: &InterestChange<'_>) {
        self.change(change, None);
    }

    /// The peer is gone and with it what it has been told.
    pub fn forget_peer(&mut self) {
        self.learnt.clear();
        self.entries.retain(|_, entry| {
            entry.told = 0;
            entry.set(Source::Learnt, 0);
            !entry.weights.is_empty()
        });
    }

    /// Takes a change and tells the difference to the link.
    pub(super) fn change(&mut self, change: &InterestChange<'_>, link: Option<Outlet<'_>>) {
        let Some(source) = self.scope.source(change.source) else { return };
        // A node that has not heard of a leaf node's leaving would bring its mark back to it, wherever it comes in again.
        let is_far = matches!(source, Source::Member(_) | Source::Behind(..)) && change.subject.starts_with(b"$LDS.");
        if is_far && self.scope != Scope::Up {
            return;
        }
        if change.account != &*self.account {
            return;
        }
        let mut key = std::mem::take(&mut self.scratch);
        key.clear();
        key.extend_from_slice(change.subject);
        if let Some(queue) = change.queue {
            key.push(b' ');
            key.extend_from_slice(queue);
        }
        self.set(&key, source, change.weight, link);
        self.scratch = key;
    }

    /// Takes `subjects`, with wildcards, that the account takes for others; to be told with all the rest.
    pub fn take_for_others<'s>(&mut self, subjects: impl Iterator<Item = &'s str>) {
        subjects.for_each(|subject| self.set(subject.as_bytes(), Source::Account, 1, None));
    }

    /// Expects an answer on `reply`, although nobody's interest in it may have arrived yet: a request can overtake
    /// its inbox's interest on the mesh, and the answer would find no way back.
    pub(super) fn expect_reply(&mut self, now: Instant, reply: &[u8], link: Outlet<'_>) {
        if self.covers_usually(reply) {
            return;
        }
        let Outlet { import, out } = link;
        if self.learnt.len() >= LEARNT_MAX {
            self.forget_oldest_reply(Some(Outlet { import, out }));
        }
        self.learnt.push_back((now + LEARNT_FOR, reply.into()));
        self.set(reply, Source::Learnt, 1, Some(Outlet { import, out }));
    }

    /// Forgets reply subjects whose time is up.
    pub(super) fn expire(&mut self, now: Instant, link: Outlet<'_>) {
        let Outlet { import, out } = link;
        while self.expires().is_some_and(|at| at <= now) {
            self.forget_oldest_reply(Some(Outlet { import, out }));
        }
    }

    /// When [`Interest::expire`] has something to do.
    pub(super) fn expires(&self) -> Option<Instant> {
        self.learnt.front().map(|&(at, _)| at)
    }

    /// Tells all differences: everything to a new link, and what new permissions have changed to an old one.
    pub(super) fn tell_all(&mut self, link: Outlet<'_>) {
        let Outlet { import, out } = link;
        self.entries.retain(|key, entry| entry.tell(key, &mut Outlet { import, out }));
    }

    fn forget_oldest_reply(&mut self, link: Option<Outlet<'_>>) {
        if let Some((_, reply)) = self.learnt.pop_front() {
            self.set(&reply, Source::Learnt, 0, link);
        }
    }

    fn set(&mut self, key: &[u8], source: Source, weight: u32, link: Option<Outlet<'_>>) {
        if !self.entries.contains_key(key) {
            if weight == 0 {
                return;
            }
            self.entries.insert(key.into(), Entry::default());
        }
        let entry = self.entries.get_mut(key).expect("it was there or has just been put there");
        entry.set(source, weight);
        let keep = match link {
            Some(mut link) => entry.tell(key, &mut link),
            None => entry.keep(),
        };
        if !keep {
            self.entries.remove(key);
        }
    }

    /// Whether an entry is there for `reply` as inboxes are subscribed to: itself, with `*` last, or with `>` last.
    fn covers_usually(&mut self, reply: &[u8]) -> bool {
        let wanted = |entries: &BTreeMap<Box<[u8]>, Entry>, key: &[u8]| entries.contains_key(key);
        if wanted(&self.entries, reply) || wanted(&self.entries, b">") {
            return true;
        }
        let mut key = std::mem::take(&mut self.scratch);
        let mut found = false;
        for (dots, (at, _)) in reply.iter().enumerate().rev().filter(|&(_, &byte)| byte == b'.').enumerate() {
            key.clear();
            key.extend_from_slice(&reply[..=at]);
            key.push(b'>');
            found = wanted(&self.entries, &key);
            if !found && dots == 0 {
                key[at + 1] = b'*';
                found = wanted(&self.entries, &key);
            }
            if found {
                break;
            }
        }
        self.scratch = key;
        found
    }
}

impl Entry {
    fn set(&mut self, source: Source, weight: u32) {
        match (self.weights.binary_search_by_key(&source, |&(source, _)| source), weight) {
            (Ok(at), 0) => {
                self.weights.remove(at);
            }
            (Ok(at), _) => self.weights[at].1 = weight,
            (Err(_), 0) => {}
            (Err(at), _) => self.weights.insert(at, (source, weight)),
        }
    }

    fn keep(&self) -> bool {
        !self.weights.is_empty() || self.told > 0
    }

    /// Tells what is new; false when nothing is left of the entry.
    fn tell(&mut self, key: &[u8], link: &mut Outlet<'_>) -> bool {
        let (subject, is_queue) = match key.iter().position(|&byte| byte == b' ') {
            Some(at) => (&key[..at], true),
            None => (key, false),
        };
        let sum = self.weights.iter().fold(0u32, |sum, &(_, weight)| sum.saturating_add(weight));
        let wanted = match link.import.interest(subject) {
            Ok(()) => sum.min(if is_queue { WEIGHT_MAX } else { 1 }),
            Err(_) => 0,
        };
        if wanted != self.told {
            write_interest(link.out, key, wanted);
            self.told = wanted;
        }
        self.keep()
    }
}

#[cfg(test)]
mod tests;
