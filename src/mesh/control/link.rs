//! What the control plane keeps for each link, and what it does when one comes, goes or changes its cost.

use super::spread::Waiting;
use super::{Action, Config, Control, Hello, PROTOCOL, Violation};
use crate::identity::Chain;
use crate::mesh::frame::SUCCESSION;
use crate::mesh::id::{LinkId, NodeId};
use crate::mesh::spf::COST;
use crate::planted::{self, Bug};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Seconds' worth of answers that a neighbour may ask for at once.
const BURST: u64 = 1;

/// One link.
#[derive(Debug)]
pub(super) struct Link {
    pub(super) peer: NodeId,
    pub(super) cost: u32,
    /// The digest that was sent last.
    pub(super) told: Option<u64>,
    /// The digest that the peer has sent last.
    pub(super) heard: Option<u64>,
    /// Rounds in a row in which `heard` was not ours.
    pub(super) differed: u32,
    /// No repair before this; it is put off further each time.
    pub(super) repair_after: Instant,
    pub(super) repair_wait: Duration,
    /// Interest that the peer has newer than this node: boot epoch and version.
    pub(super) offers: BTreeMap<NodeId, Offer>,
    /// The peer has this node's own announcement and knows of its interest.
    pub(super) told_own: bool,
    /// The peer takes news of root keys.
    pub(super) takes_successions: bool,
    /// The peer goes by root keys that this node does not go by, or cannot write down: what they revoke is no forgery.
    pub(super) refused_line: bool,
    /// By which the database speaks of it.
    pub(super) bit: u64,
    /// What is to be passed on over it.
    pub(super) waiting: Waiting,
    answers: Allowance,
}

/// Interest that a neighbour is known to have.
#[derive(Clone, Copy, Debug)]
pub(super) struct Offer {
    pub(super) boot: u64,
    pub(super) version: u64,
    /// Pulls that it has not answered.
    pub(super) ignored: u32,
}

/// Bytes that may be sent, replenished as time passes.
#[derive(Debug)]
struct Allowance {
    rate: u64,
    left: u64,
    at: Instant,
}

impl Allowance {
    fn take(&mut self, now: Instant, bytes: usize) -> bool {
        let passed = now.saturating_duration_since(self.at).as_micros();
        let earned = u128::from(self.rate) * passed / 1_000_000;
        if earned > 0 {
            self.left = u64::try_from(earned).unwrap_or(u64::MAX).saturating_add(self.left).min(self.rate * BURST);
            self.at = now;
        }
        let enough = self.left > 0;
        self.left = self.left.saturating_sub(bytes as u64);
        enough
    }
}

impl Link {
    fn new(now: Instant, peer: NodeId, cost: u32, (bit, features): (u64, u64), config: &Config) -> Self {
        Self {
            peer,
            cost: clamp(cost),
            takes_successions: features & SUCCESSION != 0,
            refused_line: false,
            told: None,
            heard: None,
            differed: 0,
            repair_after: now,
            repair_wait: config.digest_interval * 2,
            offers: BTreeMap::new(),
            told_own: false,
            bit,
            waiting: Waiting::default(),
            answers: Allowance { rate: config.answer_rate, left: config.answer_rate * BURST, at: now },
        }
    }

    /// Takes the bytes of an answer out of what the peer may ask for. False when that is used up.
    pub(super) fn may_answer(&mut self, now: Instant, bytes: usize) -> bool {
        self.answers.take(now, bytes)
    }
}

impl Control {
    pub(super) fn link_up(
        &mut self,
        now: Instant,
        (link, peer): (LinkId, NodeId),
        member: &Arc<Chain>,
        cost: u32,
        hello: &Hello,
    ) {
        let refusal = if peer == self.me.node {
            Some(Violation::Myself)
        } else if hello.protocol != PROTOCOL {
            Some(Violation::Protocol { theirs: hello.protocol })
        } else if hello.lattice != self.me.lattice {
            Some(Violation::Lattice)
        } else if hello.node != peer {
            Some(Violation::Identity)
        } else {
            None
        };
        if let Some(reason) = refusal {
            return self.reject(now, link, reason);
        }
        // Revoked since its handshake.
        if self.roll.refuses(member).is_some() {
            return self.actions.push_back(Action::Expel { link });
        }
        let bit = self.free_bit();
        self.links.insert(link, Link::new(now, peer, cost, (bit, hello.features), &self.config));
        self.own.changed(now + self.config.link_up_delay, self.config.announce_interval);
        self.digest_due.get_or_insert(now + self.config.digest_interval);
        self.introduce_members(now, link, member);
        self.greet(link);
    }

    pub(super) fn link_down(&mut self, now: Instant, link: LinkId) {
        if self.links.remove(&link).is_none() {
            return;
        }
        self.pulls.abandon(link);
        self.forget_strangers(link);
        // Planted: nobody is told.
        if planted::is(Bug::StaleRouteKept) {
            return;
        }
        self.own.changed(now, self.config.announce_interval);
        if self.links.is_empty() {
            self.digest_due = None;
        }
    }

    pub(super) fn cost(&mut self, now: Instant, link: LinkId, cost: u32) {
        let Some(entry) = self.links.get_mut(&link) else { return };
        entry.cost = clamp(cost);
        let peer = entry.peer;
        let announced = self.lsdb.get(self.me.node).and_then(|own| {
            let adjacency = &own.lsa().adjacency;
            adjacency.binary_search_by_key(&peer, |(node, _)| *node).ok().map(|at| adjacency[at].1)
        });
        let actual = self.adjacency().get(&peer).copied();
        if announced.zip(actual).is_some_and(|(announced, actual)| announced != actual) {
            self.own.changed(now, self.config.announce_interval);
        }
    }

    /// The neighbours, each at the cost of its cheapest link.
    pub(super) fn adjacency(&self) -> BTreeMap<NodeId, u32> {
        let mut adjacency = BTreeMap::new();
        for link in self.links.values() {
            let cost = adjacency.entry(link.peer).or_insert(link.cost);
            *cost = link.cost.min(*cost);
        }
        adjacency
    }
}

fn clamp(cost: u32) -> u32 {
    cost.clamp(*COST.start(), *COST.end())
}
