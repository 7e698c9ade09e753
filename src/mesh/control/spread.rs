//! Passing on what is new: together, and once to each neighbour as far as can be told.
//!
//! For each node it is remembered over which links its news came in vain: the peer had it from elsewhere. These are no
//! branches of the tree by which that node's news spread, so that over them goes, a little later, only a line of a
//! summary. Whoever lacks what it tells pulls it, and the link is a branch again: a tree that was torn costs a moment,
//! and nobody has to notice that it was. Nothing is agreed upon, as both ends see that two copies have crossed.
//!
//! News that come one by one go on at once; when they come thick, those of a few milliseconds go on together. A lattice
//! that forms would otherwise send a packet for each of them.

use super::{Action, Control};
use crate::mesh::id::{LinkId, NodeId};
use bytes::Bytes;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Instant;

/// What waits to be passed on over one link.
#[derive(Debug, Default)]
pub(super) struct Waiting {
    /// By the node that it is about, to be sent.
    soon: BTreeMap<NodeId, News>,
    /// Of whom the next summary tells.
    later: BTreeSet<NodeId>,
}

/// News of a node that a peer is sent.
#[derive(Debug, Default)]
struct News {
    /// Its announcement, whichever is the newest then.
    lsa: bool,
    /// Changes of its interest, as frames.
    deltas: Vec<Bytes>,
}

/// When what waits goes out.
#[derive(Debug, Default)]
pub(super) struct Pace {
    soon: Option<Instant>,
    later: Option<Instant>,
    /// When anything was passed on last.
    last: Option<Instant>,
}

impl Pace {
    pub(super) fn due(&self) -> Option<Instant> {
        [self.soon, self.later].into_iter().flatten().min()
    }
}

impl Control {
    /// Passes on a node's announcement that `from` has brought.
    pub(super) fn pass_on_lsa(&mut self, now: Instant, from: LinkId, node: NodeId) {
        self.pass_on(now, from, node, |news| news.lsa = true);
    }

    /// Passes on changes of a node's interest that `from` has brought.
    pub(super) fn pass_on_delta(&mut self, now: Instant, from: LinkId, node: NodeId, delta: &Bytes) {
        self.pass_on(now, from, node, |news| news.deltas.push(delta.clone()));
    }

    /// Where the link is a branch, what `add` puts to the news goes soon, else later a line of a summary.
    fn pass_on(&mut self, now: Instant, from: LinkId, node: NodeId, add: impl Fn(&mut News)) {
        let idle = self.lsdb.get(node).map_or(0, |entry| entry.idle);
        let (mut soon, mut later) = (false, false);
        for (_, link) in self.links.iter_mut().filter(|(id, _)| **id != from) {
            if link.bit & idle == 0 {
                add(link.waiting.soon.entry(node).or_default());
                soon = true;
            } else {
                link.waiting.later.insert(node);
                later = true;
            }
        }
        if soon {
            let due = self.pace.last.map_or(now, |last| now.max(last + self.config.pass_interval));
            self.pace.soon.get_or_insert(due);
        }
        if later {
            self.spread_later(now);
        }
    }

    /// Lets the next summaries to all neighbours but `except` tell that there is something to fetch.
    pub(super) fn offer_to_all(&mut self, now: Instant, except: Option<LinkId>, node: NodeId) {
        for (_, link) in self.links.iter_mut().filter(|(id, _)| Some(**id) != except) {
            link.waiting.later.insert(node);
        }
        self.spread_later(now);
    }

    fn spread_later(&mut self, now: Instant) {
        self.pace.later.get_or_insert(now + self.config.spread_delay);
    }

    /// A neighbour has sent what was known. When it was sent the same, both ends see it; else it has to be told.
    pub(super) fn came_in_vain(&mut self, now: Instant, link: LinkId, node: NodeId) {
        let Some(entry) = self.links.get_mut(&link).filter(|_| node != self.me.node) else { return };
        let spared = entry.waiting.soon.remove(&node).is_some();
        let was_branch = self.lsdb.set_idle(node, entry.bit, true);
        if spared || !was_branch {
            entry.waiting.later.insert(node);
            self.spread_later(now);
        }
    }

    /// A neighbour says that it has just what is known here: it has no need of another copy.
    pub(super) fn has_too(&mut self, link: LinkId, node: NodeId) {
        let Some(link) = self.links.get_mut(&link) else { return };
        self.lsdb.set_idle(node, link.bit, true);
        link.waiting.soon.remove(&node);
        link.waiting.later.remove(&node);
    }

    /// A neighbour had to ask: from now on it gets what is new of `node` at once.
    pub(super) fn is_branch(&mut self, link: LinkId, node: NodeId) {
        if let Some(link) = self.links.get(&link) {
            self.lsdb.set_idle(node, link.bit, false);
        }
    }

    /// Sends what waits, as far as it is due.
    pub(super) fn spread(&mut self, now: Instant) {
        let is_due = |due: Option<Instant>| due.is_some_and(|due| due <= now);
        let (soon, later) = (is_due(self.pace.soon), is_due(self.pace.later));
        if soon {
            (self.pace.soon, self.pace.last) = (None, Some(now));
            let waiting = self.links.iter_mut().map(|(id, link)| (*id, std::mem::take(&mut link.waiting.soon)));
            for (link, node, news) in
                waiting.flat_map(|(link, all)| all.into_iter().map(move |(n, news)| (link, n, news)))
            {
                let lsa = self.lsdb.get(node).filter(|_| news.lsa).map(|entry| entry.frame());
                let frames = lsa.into_iter().chain(news.deltas);
                self.actions.extend(frames.map(|frame| Action::Send { link, frame }));
            }
        }
        if later {
            self.pace.later = None;
            let waiting = self.links.iter_mut().map(|(id, link)| (*id, std::mem::take(&mut link.waiting.later)));
            let waiting: Vec<_> = waiting.filter(|(_, nodes)| !nodes.is_empty()).collect();
            for (link, nodes) in waiting {
                self.summarize(link, nodes.into_iter());
            }
        }
    }

    /// A bit by which the database can speak of a link; 0 when all are taken, and then it is always a branch.
    pub(super) fn free_bit(&mut self) -> u64 {
        let taken = self.links.values().fold(0, |taken, link| taken | link.bit);
        let free = !taken & taken.wrapping_add(1);
        self.lsdb.no_idle(free);
        free
    }
}
