//! Taking in what neighbours flood, and passing on what is new.

use super::{Action, Control, Violation};
use crate::mesh::announcement::{Announcement, Shelf};
use crate::mesh::frame::{Changes, ControlFrame, Delta, More, Snapshot, Want};
use crate::mesh::id::{LinkId, NodeId};
use crate::mesh::interest::{Applied, Change, Held, flaw};
use crate::mesh::lsdb::{Entry, Ingest, Lsa};
use crate::planted::{self, Bug};
use std::sync::Arc;
use std::time::Instant;

impl Control {
    pub(super) fn ingest_lsa(&mut self, now: Instant, link: LinkId, signed: &[u8]) -> Result<(), Violation> {
        if let Some(node) = Lsa::node_of(signed) {
            // Most copies are of what is known: nothing of these needs to be looked at.
            if self.lsdb.holds(node, signed) {
                self.came_in_vain(now, link, node);
                return Ok(());
            }
            if !self.counts(link, node, signed) {
                return Ok(());
            }
        }
        match self.lsdb.ingest(now, signed)? {
            Ingest::New { node, before, evicted } => {
                if let Some(evicted) = evicted {
                    self.drop_interest(evicted);
                }
                self.counters.announcements += 1;
                self.announced(now, link, node, before.as_deref().map(Announcement::lsa));
            }
            Ingest::Own { boot, seq } => self.outbid(now, boot, seq),
            Ingest::Old(node) => {
                // The sender, or the node itself after a restart, has to know that there is a newer one.
                if let Some(frame) = self.lsdb.get(node).map(Entry::frame) {
                    self.send_encoded(link, frame);
                }
            }
            Ingest::Known(node) => self.came_in_vain(now, link, node),
            Ingest::Full => self.counters.nodes_refused += 1,
        }
        Ok(())
    }

    /// A new announcement of `node` is in the database.
    fn announced(&mut self, now: Instant, link: LinkId, node: NodeId, before: Option<&Lsa>) {
        let entry = self.lsdb.get(node).expect("it has just been taken in");
        let lsa = entry.lsa();
        let (boot, index) = (lsa.boot, lsa.index);
        let same_graph = before.is_some_and(|before| {
            (before.boot, before.index, &before.adjacency, &before.upstreams)
                == (lsa.boot, lsa.index, &lsa.adjacency, &lsa.upstreams)
        });
        if before.is_none_or(|before| before.addresses != lsa.addresses) {
            self.actions.push_back(Action::Announced { node });
        }
        if before.is_some_and(|before| before.clients != lsa.clients) {
            self.actions.push_back(Action::ClientUrls);
        }
        self.pass_on_lsa(now, link, node);
        // Planted: whoever was known is taken for the same life as before.
        let same_life = |before: &Lsa| before.boot >= boot || planted::is(Bug::StaleBootAccepted);
        if !before.is_some_and(same_life) {
            // Its clients went with it: what they wanted before its start counts no more.
            self.drop_interest(node);
            self.interest.reset(node, boot);
            self.interest.share(node, self.lsdb.shelf());
        }
        self.check_anchor(link, node);
        self.pulls.pump();
        if !self.routes.reachable.contains_key(&node) {
            self.routes_grow(now);
        } else if !same_graph {
            self.routes_changed(now);
        }
        if self.own_index() == Some(index) {
            self.index_claimed(now);
        }
    }

    /// Compares the copy of a node's interest with what the node has signed.
    fn check_anchor(&mut self, link: LinkId, node: NodeId) {
        let Some((lsa, held)) = self.lsdb.get(node).map(Entry::lsa).zip(self.interest.get(node)) else {
            return;
        };
        let (version, digest) = (lsa.interest_version, lsa.interest_digest);
        let comparable = held.exact_version() == version && !held.truncated();
        if comparable && held.digest() != digest {
            self.counters.interest_mismatches += 1;
            let boot = lsa.boot;
            self.interest.distrust(node);
            self.offer(link, node, boot, version);
        }
    }

    pub(super) fn ingest_delta(&mut self, now: Instant, link: LinkId, told: Changes) -> Result<(), Violation> {
        let Changes { node, boot, from, len, .. } = told;
        let to = from.checked_add(len).ok_or(Violation::Interest("a version out of range"))?;
        if len == 0 {
            return Err(Violation::Interest("a delta without changes"));
        }
        let held = self.interest.get(node).filter(|held| held.boot() == boot && held.version() >= to);
        if let Some(version) = held.map(Held::version) {
            if version == to {
                self.came_in_vain(now, link, node);
            }
            return Ok(());
        }
        let delta = told.open()?;
        if let Some(what) = flaw(&delta.changes) {
            return Err(Violation::Interest(what));
        }
        self.ingest_opened(now, link, told, delta, to);
        Ok(())
    }

    /// Takes in changes that lead to the version `to`, and passes on as they came those that are all new.
    fn ingest_opened(&mut self, now: Instant, link: LinkId, told: Changes, mut delta: Delta, to: u64) {
        let Delta { node, boot, from, .. } = delta;
        if node == self.me.node {
            self.outbid_interest(now, boot, to);
            return;
        }
        let known = self.lsdb.get(node).map(|entry| entry.lsa().boot);
        if known.is_none_or(|known| known < boot) {
            // Announcements go first, so one was lost on the way to this neighbour; it has it by now.
            self.send(link, &ControlFrame::Pull(vec![Want { node, lsa: true, interest: None }]));
            self.offer(link, node, boot, to);
            return;
        }
        if known.is_some_and(|known| known > boot) {
            return;
        }
        share(self.lsdb.shelf(), &mut delta.changes);
        match self.interest.apply(&delta) {
            // It has been looked for before.
            Applied::Old => {}
            Applied::Gap => self.offer(link, node, boot, to),
            Applied::New { skipped, changed } => {
                let frame = if skipped == 0 {
                    ControlFrame::Delta(told)
                } else {
                    let changes = delta.changes.split_off(skipped);
                    ControlFrame::delta(&Delta { node, boot, from: from + skipped as u64, changes })
                };
                self.pass_on_delta(now, link, node, &frame.encode());
                self.interest_changed(node, changed);
            }
        }
    }

    pub(super) fn ingest_snapshot(&mut self, now: Instant, link: LinkId, mut part: Snapshot) -> Result<(), Violation> {
        if let Some(what) = flaw(&part.entries) {
            return Err(Violation::Interest(what));
        }
        let (node, more) = (part.node, part.more);
        let last = part.entries.last().map(|change| change.key.clone());
        let Some(pull) = self.pulls.of(node, link, part.boot) else { return Ok(()) };
        pull.deadline = now + self.config.pull_timeout;
        share(self.lsdb.shelf(), &mut part.entries);
        let Some(staging) = self.interest.stage(pull.staging.take(), &part) else { return Ok(()) };
        match more {
            More::Next => pull.staging = Some(staging),
            More::Ask => {
                pull.staging = Some(staging);
                let after = last.ok_or(Violation::Interest("an empty part of a snapshot"))?;
                let want = Want::part(node, part.boot, Some(after));
                self.send(link, &ControlFrame::Pull(vec![want]));
            }
            More::End => {
                self.pulls.cancel(node);
                let Some(changed) = self.interest.replace(node, staging) else { return Ok(()) };
                self.counters.snapshots += 1;
                self.interest_changed(node, changed);
                match self.interest.get(node) {
                    // The parts were of several versions: the changes between them settle it.
                    Some(held) if held.exact_version() == 0 => self.offer(link, node, part.boot, part.version),
                    Some(_) | None => self.offer_to_all(now, Some(link), node),
                }
            }
        }
        Ok(())
    }

    /// Entries of a node's interest are different now.
    fn interest_changed(&mut self, node: NodeId, changed: Vec<Change>) {
        self.counters.interest_changes += changed.len() as u64;
        self.interest.share(node, self.lsdb.shelf());
        if let Some(held) = self.interest.get(node) {
            self.pulls.reached(node, held.boot(), held.exact_version());
        }
        let Some(&(member, _)) = self.in_force.get(&node) else { return };
        let served = |change: &Change| self.membership.allows_account(node, &change.key.account);
        let served = changed.into_iter().filter(served);
        self.actions.extend(served.map(|Change { key, weight }| Action::SetInterest { member, key, weight }));
    }
}

/// Lets the nodes of one process, where there are several, keep equal keys once.
fn share(shelf: &dyn Shelf, changes: &mut [Change]) {
    for change in changes {
        change.key = shelf.key(Arc::clone(&change.key));
    }
}
