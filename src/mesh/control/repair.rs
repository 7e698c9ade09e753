//! Finding out what two neighbours know differently, and fetching it.
//!
//! A summary says what its sender knows; the receiver pulls what it lacks. Announcements are pulled at once. Interest
//! may be long, so only some nodes' is pulled at a time, from one neighbour each, and in parts that are asked for: a
//! slow link never has more waiting than a few windows.

use super::link::Offer;
use super::{Control, Link};
use crate::mesh::digest::{Digest, Element};
use crate::mesh::frame::{ControlFrame, Delta, Known, More, Snapshot, Want, WantInterest};
use crate::mesh::id::{LinkId, NodeId};
use crate::mesh::interest::{Held, Key, Staging, frames};
use crate::mesh::lsdb::Entry;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Nodes whose interest is pulled from one neighbour at a time.
const PULLS_MAX: usize = 16;
/// Parts of a snapshot that are sent for one pull.
const WINDOW: usize = 4;
/// Entries of a list that fit one frame.
const LIST: usize = 900;
/// Pulls of one node that a neighbour may leave unanswered before it is not asked again.
const IGNORED_MAX: u32 = 3;
/// Rounds that digests may differ before a summary is sent.
const DIFFERED_MAX: u32 = 2;
const REPAIR_WAIT_MAX: Duration = Duration::from_secs(60);

/// What has been asked for and has not come yet.
#[derive(Debug, Default)]
pub(super) struct Pulls {
    under_way: BTreeMap<NodeId, Pull>,
    /// There may be something to ask for.
    pump: bool,
}

#[derive(Debug)]
pub(super) struct Pull {
    link: LinkId,
    boot: u64,
    version: u64,
    pub(super) deadline: Instant,
    pub(super) staging: Option<Staging>,
}

impl Pulls {
    pub(super) fn due(&self) -> Option<Instant> {
        self.under_way.values().map(|pull| pull.deadline).min()
    }

    /// The pull that a part of a snapshot belongs to.
    pub(super) fn of(&mut self, node: NodeId, link: LinkId, boot: u64) -> Option<&mut Pull> {
        self.under_way.get_mut(&node).filter(|pull| pull.link == link && pull.boot == boot)
    }

    pub(super) fn pump(&mut self) {
        self.pump = true;
    }

    pub(super) fn cancel(&mut self, node: NodeId) {
        self.pump |= self.under_way.remove(&node).is_some();
    }

    /// A copy is of this version now: whoever waited for that need not any more.
    pub(super) fn reached(&mut self, node: NodeId, boot: u64, version: u64) {
        if self.under_way.get(&node).is_some_and(|pull| pull.boot == boot && pull.version <= version) {
            self.cancel(node);
        }
    }

    pub(super) fn abandon(&mut self, link: LinkId) {
        self.under_way.retain(|_, pull| pull.link != link);
        self.pump = true;
    }

    fn on(&self, link: LinkId) -> usize {
        self.under_way.values().filter(|pull| pull.link == link).count()
    }
}

impl Want {
    /// Asks for a part of the set itself.
    pub(super) fn part(node: NodeId, boot: u64, after: Option<Arc<Key>>) -> Self {
        Self { node, lsa: false, interest: Some(WantInterest { boot, have: None, after }) }
    }
}

impl Control {
    /// Tells a new neighbour what this node knows of the others. About this node itself it is told with the announcement
    /// that has the link in it: an earlier one would go through the whole lattice for nothing.
    pub(super) fn greet(&mut self, link: LinkId) {
        self.summarize_all(link, Some(self.me.node));
    }

    /// Tells new neighbours which interest this node has. They have its announcement.
    pub(super) fn introduce(&mut self) {
        let new = |(id, link): (&LinkId, &mut Link)| (!std::mem::replace(&mut link.told_own, true)).then_some(*id);
        let new: Vec<LinkId> = self.links.iter_mut().filter_map(new).collect();
        if let Some(known) = self.known(self.me.node) {
            for link in new {
                self.send(link, &ControlFrame::Summary(vec![known]));
            }
        }
    }

    /// Sends what is known of the nodes within reach. Of the others nobody needs to be told: who can reach them knows
    /// better.
    fn summarize_all(&mut self, link: LinkId, except: Option<NodeId>) {
        let routes = Arc::clone(&self.routes);
        self.summarize(link, routes.reachable.keys().copied().filter(|node| Some(*node) != except));
    }

    /// Sends what is known of `nodes`.
    pub(super) fn summarize(&mut self, link: LinkId, nodes: impl Iterator<Item = NodeId>) {
        let known: Vec<Known> = nodes.filter_map(|node| self.known(node)).collect();
        for known in known.chunks(LIST) {
            self.send(link, &ControlFrame::Summary(known.to_vec()));
        }
    }

    fn known(&self, node: NodeId) -> Option<Known> {
        let lsa = self.lsdb.get(node)?.lsa();
        let interest = self.held(node).filter(|held| held.boot() == lsa.boot).map_or(0, Held::exact_version);
        Some(Known { node, boot: lsa.boot, seq: lsa.seq, interest })
    }

    fn held(&self, node: NodeId) -> Option<&Held> {
        if node == self.me.node { Some(self.own.interest.held()) } else { self.interest.get(node) }
    }

    /// Compares a neighbour's summary with what is known, and asks for what is newer.
    pub(super) fn compare(&mut self, now: Instant, link: LinkId, theirs: &[Known]) {
        let mut wants = Vec::new();
        for known in theirs {
            let &Known { node, boot, seq, interest } = known;
            let mine = self.known(node);
            if mine.is_none_or(|mine| (mine.boot, mine.seq) < (boot, seq)) {
                wants.push(Want { node, lsa: true, interest: None });
            }
            if node == self.me.node {
                self.outbid_interest(now, boot, interest);
            } else if mine.as_ref() == Some(known) {
                self.has_too(link, node);
            } else if interest > 0 {
                self.offer(link, node, boot, interest);
            }
        }
        for wants in wants.chunks(LIST) {
            self.send(link, &ControlFrame::Pull(wants.to_vec()));
        }
    }

    /// A neighbour has a version of a node's interest: remember it if it is newer.
    pub(super) fn offer(&mut self, link: LinkId, node: NodeId, boot: u64, version: u64) {
        let nodes_max = self.config.nodes_max;
        if !self.is_newer(node, boot, version) {
            return;
        }
        let Some(link) = self.links.get_mut(&link) else { return };
        if link.offers.len() < nodes_max || link.offers.contains_key(&node) {
            link.offers.insert(node, Offer { boot, version, ignored: 0 });
            self.pulls.pump();
        }
    }

    /// Whether a version of a node's interest is better than the copy that is held.
    fn is_newer(&self, node: NodeId, boot: u64, version: u64) -> bool {
        self.interest.get(node).is_none_or(|held| (held.boot(), held.exact_version()) < (boot, version))
    }

    /// Asks for interest that neighbours have newer, as far as not too much has been asked for already.
    pub(super) fn pump_pulls(&mut self, now: Instant) {
        self.expire_pulls(now);
        if !std::mem::take(&mut self.pulls.pump) {
            return;
        }
        let links: Vec<LinkId> = self.links.keys().copied().collect();
        for link in links {
            let wants = self.next_pulls(now, link);
            if !wants.is_empty() {
                self.send(link, &ControlFrame::Pull(wants));
            }
        }
    }

    fn expire_pulls(&mut self, now: Instant) {
        if self.pulls.due().is_none_or(|due| due > now) {
            return;
        }
        let late: Vec<(NodeId, LinkId)> = (self.pulls.under_way.iter())
            .filter(|(_, pull)| pull.deadline <= now)
            .map(|(node, pull)| (*node, pull.link))
            .collect();
        for (node, link) in late {
            self.counters.pull_timeouts += 1;
            self.pulls.cancel(node);
            let Some(link) = self.links.get_mut(&link) else { continue };
            if let Some(offer) = link.offers.get_mut(&node) {
                offer.ignored += 1;
                if offer.ignored >= IGNORED_MAX {
                    link.offers.remove(&node);
                }
            }
        }
    }

    fn next_pulls(&mut self, now: Instant, link: LinkId) -> Vec<Want> {
        let (mut wants, mut done) = (Vec::new(), Vec::new());
        let mut room = PULLS_MAX.saturating_sub(self.pulls.on(link));
        for (&node, &Offer { boot, version, .. }) in
            self.links.get(&link).map(|link| &link.offers).into_iter().flatten()
        {
            if room == 0 {
                break;
            }
            if !self.is_newer(node, boot, version) {
                done.push(node);
                continue;
            }
            let Some(held) = self.interest.get(node).filter(|held| held.boot() == boot) else { continue };
            if self.pulls.under_way.contains_key(&node) {
                continue;
            }
            // A copy of several versions is settled by the changes that follow; one that is distrusted never is.
            let have = (!held.distrusted()).then_some(held.version());
            wants.push(Want { node, lsa: false, interest: Some(WantInterest { boot, have, after: None }) });
            let deadline = now + self.config.pull_timeout;
            self.pulls.under_way.insert(node, Pull { link, boot, version, deadline, staging: None });
            room -= 1;
        }
        if let Some(link) = self.links.get_mut(&link) {
            link.offers.retain(|node, _| !done.contains(node));
        }
        wants
    }

    /// Sends what a neighbour lacks, as far as it does not ask for too much.
    pub(super) fn answer(&mut self, now: Instant, link: LinkId, wants: &[Want]) {
        for want in wants {
            let allowed = self.links.get_mut(&link).is_some_and(|link| link.may_answer(now, 0));
            if !allowed {
                self.counters.pulls_refused += 1;
                continue;
            }
            self.is_branch(link, want.node);
            let announcement = self.lsdb.get(want.node).filter(|_| want.lsa);
            let announcement = announcement.map(Entry::frame);
            let interest = want.interest.as_ref().map(|part| self.interest_for(want.node, part));
            let interest = interest.into_iter().flatten().map(|frame| frame.encode());
            for frame in announcement.into_iter().chain(interest) {
                self.links.get_mut(&link).map(|link| link.may_answer(now, frame.len()));
                self.actions.push_back(super::Action::Send { link, frame });
            }
        }
    }

    /// The changes that lead from what the asker has to what is held, or else the next parts of the set.
    fn interest_for(&self, node: NodeId, want: &WantInterest) -> Vec<ControlFrame> {
        let Some(held) = self.held(node).filter(|held| held.exact_version() > 0) else { return Vec::new() };
        let (boot, version) = (held.boot(), held.version());
        let (have, after) = if want.boot == boot { (want.have, want.after.clone()) } else { (Some(0), None) };
        if let Some((have, changes)) = have.and_then(|have| Some((have, held.since(have)?))) {
            let mut from = have;
            let delta = |changes: Vec<_>| {
                let delta = Delta { node, boot, from, changes };
                from += delta.changes.len() as u64;
                ControlFrame::delta(&delta)
            };
            return frames(changes).into_iter().map(delta).collect();
        }
        let (mut parts, mut after) = (Vec::new(), after);
        let mut first = after.is_none();
        for nth in 1..=WINDOW {
            let (entries, last) = held.part(after.as_deref());
            after = entries.last().map(|change| change.key.clone());
            let more = if last {
                More::End
            } else if nth == WINDOW {
                More::Ask
            } else {
                More::Next
            };
            parts.push(ControlFrame::Snapshot(Snapshot { node, boot, version, first, entries, more }));
            first = false;
            if last {
                break;
            }
        }
        parts
    }

    pub(super) fn note_digest(&mut self, link: LinkId, digest: u64) {
        if let Some(link) = self.links.get_mut(&link) {
            link.heard = Some(digest);
        }
    }

    /// Compares digests with the neighbours once a round: tells a new one, and sends a summary to those with whom it
    /// has differed for too long.
    pub(super) fn exchange_digests(&mut self, now: Instant) {
        if self.digest_due.is_none_or(|due| due > now) {
            return;
        }
        self.digest_due = Some(now + self.config.digest_interval);
        let digest = self.digest.unwrap_or_else(|| self.digest());
        self.digest = Some(digest);
        let (mut tell, mut repair) = (Vec::new(), Vec::new());
        for (&id, link) in &mut self.links {
            // Links deliver what they are given: what has been told need not be repeated.
            if link.told.replace(digest) != Some(digest) {
                tell.push(id);
            }
            if link.differs(now, digest, self.config.digest_interval * 2) {
                repair.push(id);
            }
        }
        for link in tell {
            self.send(link, &ControlFrame::Digest(digest));
        }
        for link in repair {
            self.counters.repairs += 1;
            self.summarize_all(link, None);
        }
    }

    /// Digest of the nodes within reach and of the versions that are known of them.
    pub(super) fn digest(&self) -> u64 {
        let mut digest = Digest::default();
        for known in self.routes.reachable.keys().filter_map(|&node| self.known(node)) {
            digest.add(Element::new().bytes(&known.node.0).number(known.boot).number(known.seq).number(known.interest));
        }
        digest.0
    }
}

impl Link {
    /// Whether the peer's digest has been another than `digest` for so long that something must be done now.
    fn differs(&mut self, now: Instant, digest: u64, wait: Duration) -> bool {
        if self.heard.is_none_or(|heard| heard == digest) {
            self.differed = 0;
            self.repair_wait = wait;
            return false;
        }
        self.differed += 1;
        if self.differed < DIFFERED_MAX || now < self.repair_after {
            return false;
        }
        self.repair_after = now + self.repair_wait;
        self.repair_wait = (self.repair_wait * 2).min(REPAIR_WAIT_MAX);
        self.differed = 0;
        true
    }
}
