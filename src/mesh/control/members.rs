//! Who is a member, and who is one no more: taking in what neighbours know of it, and passing on what is new.
//!
//! When a link comes up both ends send the line of root keys, with all who stay revoked by it, and all other revocations,
//! before anything else, and then a digest of each of the [`BUCKETS`] that they sort the members' chains into. Whoever sees
//! another digest than its own tells which chains it has in that bucket, and is sent the others. Since links deliver in order
//! and both ends do this, what either has both have soon; afterwards whatever is new is passed on over every other link, and
//! not along the branches that other news goes by (`spread.rs`): those are learnt from news of nodes that are known already.
//!
//! An announcement counts only when its node is a member: one that comes before its node's chain waits for it here.

use super::{Action, Control, Violation};
use crate::identity::{BUCKETS, Chain, Grant, Learnt, News, Revocation, RevocationError, Roll, SuccessionError};
use crate::mesh::frame::{ControlFrame, LIST_MAX, Members, Told};
use crate::mesh::id::{LinkId, NodeId};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

/// Announcements that wait for their nodes' chains, at most; further ones are dropped and counted.
const WAITING_MAX: usize = 256;
/// Bytes of chains that one frame takes before it is sent; a chain is shorter than what is left then.
const CHAINS_BYTES: usize = LIST_MAX / 2;
/// Chains that are named in one frame, at most: nine bytes each.
const IDS_MAX: usize = 4_096;
/// Revocations in one frame, at most: the longest take five kilobytes.
const REVOCATIONS_MAX: usize = 12;

/// What is kept of the members here; the chains themselves are in the roll.
#[derive(Debug, Default)]
pub(super) struct Membership {
    /// What those may do that may not do all.
    pub(super) limits: BTreeMap<NodeId, Arc<Grant>>,
    /// Announcements of nodes of which nobody has said that they are members, with the link that brought each.
    waiting: BTreeMap<NodeId, (LinkId, Vec<u8>)>,
}

impl Membership {
    /// What `roll` knows from before.
    pub(super) fn of(roll: &Roll) -> Self {
        let limits = roll.list().into_iter().filter(|member| !member.revoked && member.grant != Grant::all());
        let limits = limits.filter_map(|member| Some((member.node, Arc::new(roll.grant(member.node)?)))).collect();
        Self { limits, waiting: BTreeMap::new() }
    }

    /// Whether interest of `node` in `account` counts.
    pub(super) fn allows_account(&self, node: NodeId, account: &[u8]) -> bool {
        self.limits.get(&node).is_none_or(|grant| grant.allows_account(account))
    }

    /// Whether frames of others may go through `node`.
    pub(super) fn may_transit(&self, node: NodeId) -> bool {
        self.limits.get(&node).is_none_or(|grant| grant.transit)
    }
}

impl Control {
    /// Tells a new neighbour what to know before anything else, and takes in what makes it a member.
    pub(super) fn introduce_members(&mut self, now: Instant, link: LinkId, peer: &Arc<Chain>) {
        self.tell_line(&[link]);
        let revocations = self.roll.revocations();
        self.tell_revocations(&[link], &revocations);
        let learnt = self.roll.learn(peer.warrants().to_vec());
        if let Ok(Learnt::New(chain)) = learnt {
            self.admitted(now, Some(link), &[chain]);
        }
        self.send(link, &ControlFrame::Members(Members::Digests(self.roll.digests())));
    }

    /// Chains have become known: they hold, and whoever does not have them yet is told.
    pub(super) fn admitted(&mut self, now: Instant, from: Option<LinkId>, chains: &[Arc<Chain>]) {
        for frame in frames(chains) {
            self.tell_all(from, &frame.encode());
        }
        for node in chains.iter().filter_map(|chain| chain.node()).map(|(node, _)| node) {
            self.judge(now, node);
            if let Some((link, signed)) = self.membership.waiting.remove(&node) {
                // Its signature is looked at only now; whoever passed on a forgery is not asked twice.
                if let Err(reason) = self.ingest_lsa(now, link, &signed) {
                    self.reject(now, link, reason);
                }
            }
        }
    }

    /// Looks anew at what a node may do.
    fn judge(&mut self, now: Instant, node: NodeId) {
        let grant = self.roll.grant(node).unwrap_or_default();
        let limits = &mut self.membership.limits;
        let before =
            if grant == Grant::all() { limits.remove(&node) } else { limits.insert(node, Arc::new(grant.clone())) };
        if before.as_deref().unwrap_or(&Grant::all()) != &grant {
            // What is in force of its interest is put in force anew, by what it may want now.
            if let Some((member, _)) = self.in_force.remove(&node) {
                self.actions.push_back(Action::MemberGone { member });
            }
            self.routes_changed(now);
        }
    }

    pub(super) fn members(&mut self, now: Instant, link: LinkId, members: Members) -> Result<(), Violation> {
        match members {
            Members::Digests(theirs) => self.compare_members(now, link, &theirs),
            Members::Have { bucket, ids } => self.tell_members(now, link, bucket, &ids),
            Members::Chains(chains) => return self.learn(now, link, chains),
        }
        Ok(())
    }

    fn compare_members(&mut self, now: Instant, link: LinkId, theirs: &[u64]) {
        let ours = self.roll.digests();
        // One that sends fewer has nothing in the others, as far as this node cares.
        let differ = |bucket: &usize| theirs.get(*bucket).is_some_and(|digest| *digest != ours[*bucket]);
        for bucket in (0..BUCKETS).filter(differ) {
            let mut ids = self.roll.ids(bucket);
            ids.truncate(IDS_MAX);
            let bucket = u8::try_from(bucket).expect("there are few buckets");
            if !self.answer_members(now, link, &ControlFrame::Members(Members::Have { bucket, ids })) {
                return;
            }
        }
    }

    /// Sends what the neighbour lacks of a bucket, as far as its allowance goes: the rest when the link comes up again.
    fn tell_members(&mut self, now: Instant, link: LinkId, bucket: u8, theirs: &[u64]) {
        let missing = self.roll.missing(bucket.into(), theirs);
        for frame in frames(&missing) {
            if !self.answer_members(now, link, &frame) {
                return;
            }
        }
    }

    /// Sends an answer, unless the neighbour has asked for too much.
    fn answer_members(&mut self, now: Instant, link: LinkId, frame: &ControlFrame) -> bool {
        let frame = frame.encode();
        let may = self.links.get_mut(&link).is_some_and(|entry| entry.may_answer(now, frame.len()));
        if may {
            self.send_encoded(link, frame);
        } else {
            self.counters.pulls_refused += 1;
        }
        may
    }

    fn learn(&mut self, now: Instant, link: LinkId, told: Vec<Told>) -> Result<(), Violation> {
        let mut new = Vec::new();
        let mut unknown = told.into_iter().filter(|told| !self.roll.has(told.id));
        let outcome = unknown.try_for_each(|told| {
            let warrants = crate::codec::decode(&told.warrants).map_err(Violation::Warrants)?;
            match self.roll.learn(warrants)? {
                Learnt::New(chain) => new.push(chain),
                Learnt::Known => {}
                // What is void came from a peer that has not heard of it.
                Learnt::Full | Learnt::Void => self.counters.members_refused += 1,
            }
            Ok(())
        });
        // Those before a bad one are good.
        self.counters.members += new.len() as u64;
        self.admitted(now, Some(link), &new);
        outcome
    }

    /// Takes in what a neighbour tells of who is a member no more.
    pub(super) fn revoked(
        &mut self,
        now: Instant,
        link: LinkId,
        revocations: Vec<Revocation>,
    ) -> Result<(), Violation> {
        let mut new = Vec::new();
        let outcome = revocations.into_iter().try_for_each(|revocation| {
            match self.roll.revoke(&revocation) {
                Ok(true) => new.push(revocation),
                Ok(false) => {}
                // The peer has more room, heard in another order, or goes by another root key.
                Err(RevocationError::Full | RevocationError::Root) => self.counters.revocations_refused += 1,
                Err(RevocationError::Signature) if revocation.signer.is_empty() && self.refused_line(link) => {
                    self.counters.revocations_refused += 1;
                }
                Err(error) => return Err(error.into()),
            }
            Ok(())
        });
        // Those before a bad one are good, and must not be left half in force.
        if !new.is_empty() {
            self.enforce_revocations(now, Some(link), &new);
        }
        outcome
    }

    /// Revocations have become known: they hold, and whoever does not have them yet is told.
    pub(super) fn enforce_revocations(&mut self, now: Instant, from: Option<LinkId>, new: &[Revocation]) {
        self.counters.revocations += new.len() as u64;
        let others: Vec<LinkId> = self.links.keys().copied().filter(|link| Some(*link) != from).collect();
        self.tell_revocations(&others, new);
        self.expel(now);
    }

    /// Who has not heard that the root key was replaced, and cannot, would take what the new one has signed for a forgery.
    fn tell_revocations(&mut self, links: &[LinkId], new: &[Revocation]) {
        let is_issuers = |known: &Revocation| !known.signer.is_empty();
        let line = self.roll.line();
        let (is_replaced, is_told) = (!line.steps().is_empty(), line.expelled().is_some());
        for link in links {
            let takes_all =
                !is_replaced || is_told && self.links.get(link).is_some_and(|entry| entry.takes_successions);
            let told: Vec<Revocation> = new.iter().filter(|known| takes_all || is_issuers(known)).cloned().collect();
            for part in told.chunks(REVOCATIONS_MAX) {
                self.send(*link, &ControlFrame::Revoked(part.to_vec()));
            }
        }
    }

    /// Takes in what a neighbour tells of the root keys: all of it, or nothing.
    pub(super) fn succeeded(&mut self, now: Instant, link: LinkId, news: News) -> Result<(), Violation> {
        match self.roll.hear(news) {
            Ok(true) => self.enforce_line(now, Some(link)),
            Ok(false) => {}
            Err(error @ SuccessionError::Broken { .. }) => return Err(error.into()),
            // The peer goes by another line, which this node's user has to be told of, or the disk fails: then it is told anew
            // when the next link comes up.
            Err(_) => {
                self.counters.successions_refused += 1;
                if let Some(entry) = self.links.get_mut(&link) {
                    entry.refused_line = true;
                }
            }
        }
        Ok(())
    }

    /// Goes by the root keys that this node's user has told of. Whatever the neighbours were told before may have been dropped
    /// by them, or by this node for other keys' sake.
    pub(super) fn succeeded_by_user(&mut self, now: Instant) {
        self.enforce_line(now, None);
        let mut by_root = self.roll.revocations();
        by_root.retain(|known| known.signer.is_empty());
        let links: Vec<LinkId> = self.links.keys().copied().collect();
        self.tell_revocations(&links, &by_root);
    }

    /// Other root keys speak for the lattice: only what goes on holds, and whoever does not know yet is told.
    fn enforce_line(&mut self, now: Instant, from: Option<LinkId>) {
        self.counters.successions += 1;
        let others: Vec<LinkId> = self.links.keys().copied().filter(|link| Some(*link) != from).collect();
        self.tell_line(&others);
        self.expel(now);
        let others: Vec<NodeId> = self.lsdb.iter().map(|(node, _)| node).filter(|node| *node != self.me.node).collect();
        others.into_iter().for_each(|node| self.judge(now, node));
        // There may be room now for chains that others have, and some that were dropped for other keys' sake count again.
        let digests = ControlFrame::Members(Members::Digests(self.roll.digests())).encode();
        let links: Vec<LinkId> = self.links.keys().copied().collect();
        links.into_iter().for_each(|link| self.send_encoded(link, digests.clone()));
    }

    /// Tells all of the root keys, unless the first one speaks or this node does not know yet who stays out.
    fn tell_line(&mut self, links: &[LinkId]) {
        let Some(news) = self.roll.line().news() else { return };
        let frame = ControlFrame::Succession(news).encode();
        for link in links {
            if self.links.get(link).is_some_and(|entry| entry.takes_successions) {
                self.send_encoded(*link, frame.clone());
            }
        }
    }

    fn refused_line(&self, link: LinkId) -> bool {
        self.links.get(&link).is_some_and(|entry| entry.refused_line)
    }

    /// Cuts off who is no member any more: links, announcements, interest.
    fn expel(&mut self, now: Instant) {
        let gone = |node: NodeId| !self.roll.is_member(node);
        let links: Vec<LinkId> = self.links.iter().filter(|(_, link)| gone(link.peer)).map(|(id, _)| *id).collect();
        let others = self.lsdb.iter().map(|(node, _)| node).filter(|node| *node != self.me.node);
        let nodes: Vec<NodeId> = others.filter(|node| gone(*node)).collect();
        for link in links {
            self.link_down(now, link);
            self.actions.push_back(Action::Expel { link });
        }
        for node in nodes {
            self.lsdb.remove(node);
            self.drop_interest(node);
            self.membership.limits.remove(&node);
            self.digest = None;
            self.routes_changed(now);
        }
    }

    /// Whether an announcement of `node` counts. One of a node that may yet turn out to be a member is kept for then.
    pub(super) fn counts(&mut self, link: LinkId, node: NodeId, signed: &[u8]) -> bool {
        if node == self.me.node || self.roll.is_member(node) {
            return true;
        }
        let waiting = &mut self.membership.waiting;
        if !self.roll.knows(node) && (waiting.len() < WAITING_MAX || waiting.contains_key(&node)) {
            waiting.insert(node, (link, signed.to_vec()));
        } else {
            self.counters.strangers += 1;
        }
        false
    }

    /// Forgets what a link that has ended brought of nodes that nobody knows.
    pub(super) fn forget_strangers(&mut self, link: LinkId) {
        self.membership.waiting.retain(|_, (by, _)| *by != link);
    }

    /// What those may do that may not do all.
    pub fn limits(&self) -> &BTreeMap<NodeId, Arc<Grant>> {
        &self.membership.limits
    }
}

/// Chains as frames, each within the bounds.
fn frames(chains: &[Arc<Chain>]) -> impl Iterator<Item = ControlFrame> {
    let mut parts = vec![(0, Vec::new())];
    for chain in chains {
        let warrants = crate::codec::encode(chain.warrants());
        let (bytes, part) = parts.last_mut().expect("there is one from the start on");
        if *bytes + warrants.len() > CHAINS_BYTES && !part.is_empty() {
            parts.push((0, Vec::new()));
        }
        let (bytes, part) = parts.last_mut().expect("there is one from the start on");
        *bytes += warrants.len() + 16;
        part.push(Told { id: chain.id(), warrants });
    }
    parts.into_iter().filter(|(_, part)| !part.is_empty()).map(|(_, part)| ControlFrame::Members(Members::Chains(part)))
}
