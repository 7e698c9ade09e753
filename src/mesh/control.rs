//! The mesh's control plane as one state machine: events in, actions out. No sockets, no clock, no tasks.
//!
//! ```text
//! links ──► flood, repair ──► lsdb ──► routes ──► Action::Routes, Action::Upstream
//!                    └──────► interest ──┴──────► Action::SetInterest, Action::MemberGone
//! ```
//!
//! Contract: after each [`Control::handle`], or several [`Control::take`] and one [`Control::settle`], drain
//! [`Control::poll_action`] to `None` in order, then arm [`Control::poll_timeout`] and answer it with
//! [`Event::Timeout`]. One task owns it.
//!
//! How nodes agree:
//! - What is new (an announcement, changes of interest) is flooded: a node tells it to all its neighbours, and these pass
//!   it on along the branches of a tree that forms by itself. Over the other links follow summaries, by which it is
//!   pulled where a branch has broken off. Links deliver in order while they last, so this is all that happens on a
//!   quiet day.
//! - When a link comes up both ends send a summary of what they know, and pull what the other has newer. The same
//!   happens when the digests of the databases, exchanged about once a second, have differed for two rounds: whatever
//!   was lost is found, and no timer needs to know why.
//! - Only the interest of nodes that can be reached is in force.
//!
//! Left to others: making, keeping and watching links, the data frames, and the broker.

mod flood;
mod link;
mod members;
mod own;
mod reach;
mod repair;
mod spread;

use super::announcement::{Announcement, Shelf};
use super::frame::{ControlFrame, FEATURES, FrameError, Hello, PROTOCOL};
use super::id::{LinkId, NodeId};
use super::interest::{Held, Interest, Key, Limits};
use super::lsdb::{Entry, Lsa, LsaError, Lsdb, Signer};
use super::sorted::Sorted;
use super::spf::Routes;
use super::view::InterestView;
use crate::codec::DecodeError;
use crate::identity::{Chain, ChainError, Revocation, RevocationError, Roll, SuccessionError};
use crate::ports::{InterestChange, UpstreamId};
use bytes::Bytes;
use link::Link;
use members::Membership;
use own::Own;
use repair::Pulls;
use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Actions that there is room for all the time.
const ACTIONS_KEPT_MAX: usize = 32;

/// Delays and bounds of the control plane.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// Most nodes that are known at a time, this one included. Past it, nodes out of reach are forgotten first.
    pub nodes_max: usize,
    /// Bounds on what is kept of other nodes' interest.
    pub interest: Limits,
    /// How soon interest that has ended is withdrawn; interest that returns before costs nothing.
    pub remove_delay: Duration,
    /// Least time between two announcements of this node.
    pub announce_interval: Duration,
    /// How long after a link has come up it is announced: links tend to come up together, and each announcement goes
    /// to every node. A link that has ended is announced at once.
    pub link_up_delay: Duration,
    /// Least time between two computations of the routes.
    pub routes_interval: Duration,
    /// The same while the graph goes on changing.
    pub routes_interval_max: Duration,
    /// How long after news of a node out of reach the routes are computed, if there are none of another by then.
    pub routes_pause: Duration,
    /// Least time between two floods of changes of this node's interest.
    pub flush_interval: Duration,
    /// Least time between two times that news of others are passed on.
    pub pass_interval: Duration,
    /// How long after something new the neighbours are told of it that are not sent it: most have it by then.
    pub spread_delay: Duration,
    /// How often digests of the databases are compared, and sent when they have changed.
    pub digest_interval: Duration,
    /// How long after a change of interest the announcement tells its new digest.
    pub anchor_delay: Duration,
    /// How often a node announces itself when nothing has changed.
    pub refresh: Duration,
    /// How long a node that cannot be reached is remembered.
    pub forget: Duration,
    /// How long an answer to a pull is waited for.
    pub pull_timeout: Duration,
    /// Bytes a second that the answers to one neighbour's pulls may amount to.
    pub answer_rate: u64,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            nodes_max: 4096,
            interest: Limits::default(),
            remove_delay: Duration::from_millis(250),
            announce_interval: Duration::from_millis(50),
            link_up_delay: Duration::from_millis(20),
            routes_interval: Duration::from_millis(5),
            routes_interval_max: Duration::from_millis(80),
            routes_pause: Duration::from_millis(10),
            flush_interval: Duration::from_millis(5),
            pass_interval: Duration::from_millis(3),
            spread_delay: Duration::from_millis(10),
            digest_interval: Duration::from_secs(1),
            anchor_delay: Duration::from_secs(30),
            refresh: Duration::from_secs(30 * 60),
            forget: Duration::from_secs(60 * 60),
            pull_timeout: Duration::from_secs(2),
            answer_rate: 32 << 20,
        }
    }
}

/// Who this node is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// Its key.
    pub node: NodeId,
    /// Its name, which has passed [`check_name`](crate::identity::check_name): others refuse its announcements else.
    pub name: String,
    /// Its boot epoch: greater than at any start before.
    pub boot: u64,
    /// The lattice: hash of its root key.
    pub lattice: [u8; 32],
}

/// What happens to the control plane.
#[derive(Debug)]
pub enum Event<'a> {
    /// A link has come up: its handshake has proven `peer`, and both ends have sent their `Hello`.
    LinkUp {
        /// The link.
        link: LinkId,
        /// Who is at the other end.
        peer: NodeId,
        /// What makes it a member.
        member: &'a Arc<Chain>,
        /// What it costs to send there.
        cost: u32,
        /// How the other end has introduced itself.
        hello: &'a Hello,
    },
    /// A link has ended, for whatever reason. Unknown links are fine.
    LinkDown {
        /// The link.
        link: LinkId,
    },
    /// A link has brought a frame. Frames of unknown links are ignored.
    Frame {
        /// The link.
        link: LinkId,
        /// The frame.
        frame: ControlFrame,
    },
    /// A link costs something else now. It is announced: whoever measures costs tells only what matters.
    Cost {
        /// The link.
        link: LinkId,
        /// What it costs to send there.
        cost: u32,
    },
    /// The interest of this node's clients, or of one of its upstreams, has changed. Interest that comes from the
    /// mesh is ignored.
    LocalInterest(InterestChange<'a>),
    /// This node has admitted somebody: the roll has it, and the others are to know.
    Admitted(Arc<Chain>),
    /// Somebody is a member no more, as this node's user says: the roll has it, and the others are to know.
    Revoke(Vec<Revocation>),
    /// Other root keys speak for the lattice, as this node's user says: the roll has it, and the others are to know.
    Succeed,
    /// Where this node can be dialled; at most 16 are announced.
    Addresses(&'a [SocketAddr]),
    /// Where clients can connect to this node, each as `host:port`; at most 8 are announced.
    ClientUrls(&'a [String]),
    /// The upstreams that this node can serve; at most 64 are announced. Leave one out to stand back from it.
    Upstreams(&'a [UpstreamId]),
    /// The time of [`Control::poll_timeout`] has come.
    Timeout,
}

/// What the control plane wants done.
#[derive(Debug)]
pub enum Action {
    /// Send a frame, in the order of the actions.
    Send {
        /// On which link.
        link: LinkId,
        /// A whole frame with its length and kind; the same buffer for all links that it goes to.
        frame: Bytes,
    },
    /// Forward by these routes from now on.
    Routes(Arc<Routes>),
    /// A node is known, or says that it is dialled elsewhere: [`Control::lsa`].
    Announced {
        /// Which.
        node: NodeId,
    },
    /// This node or one that was known has other addresses for clients.
    ClientUrls,
    /// A node that can be reached is interested.
    SetInterest {
        /// Its index.
        member: u32,
        /// In what.
        key: Arc<Key>,
        /// How much; 0 when it is not any more.
        weight: u32,
    },
    /// No interest of this member counts any more.
    MemberGone {
        /// The index.
        member: u32,
    },
    /// This node has become, or is no longer, the one that serves an upstream.
    Upstream {
        /// Which.
        id: UpstreamId,
        /// Whether it is the one.
        active: bool,
    },
    /// The peer is a member no more: close the link. It is down already for the control plane.
    Expel {
        /// The link.
        link: LinkId,
    },
    /// The peer broke the protocol: close the link with this reason. It is down already for the control plane.
    Reject {
        /// The link.
        link: LinkId,
        /// Why.
        reason: Violation,
    },
}

/// What a peer has done that no honest neighbour would.
#[derive(Debug, thiserror::Error)]
pub enum Violation {
    /// Another version of the link protocol.
    #[error("peer speaks link protocol {theirs}, this node {PROTOCOL}")]
    Protocol {
        /// The peer's version.
        theirs: u16,
    },
    /// A member of another lattice.
    #[error("peer belongs to another lattice")]
    Lattice,
    /// It claims to be another node than its handshake has proven.
    #[error("peer introduces itself as another node")]
    Identity,
    /// It has this node's own key: a copied data folder, or a link to itself.
    #[error("peer has the same key as this node")]
    Myself,
    /// Frames that are none; raised by whoever decodes them.
    #[error(transparent)]
    Frame(#[from] FrameError),
    /// An announcement that is not genuine.
    #[error(transparent)]
    Lsa(#[from] LsaError),
    /// A second `Hello` or `Welcome`.
    #[error("peer greets twice")]
    SecondHello,
    /// What should make somebody a member is no record.
    #[error("peer sent a member's chain that is none: {0}")]
    Warrants(DecodeError),
    /// What should make somebody a member does not.
    #[error("peer tells of a member: {0}")]
    Chain(#[from] ChainError),
    /// A revocation that nobody has signed who may.
    #[error("peer sent {0}")]
    Revocation(#[from] RevocationError),
    /// A root key that hands over without having said so.
    #[error("peer sent {0}")]
    Succession(#[from] SuccessionError),
    /// Interest that contradicts itself.
    #[error("peer sent interest with {0}")]
    Interest(&'static str),
}

/// Declares the counters; they are shown by the names of the fields.
macro_rules! counters {
    ($($(#[$doc:meta])* $name:ident,)*) => {
        /// What has happened since the start.
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
        pub struct Counters { $($(#[$doc])* pub $name: u64,)* }

        impl Counters {
            /// All counts by name.
            #[must_use]
            pub fn by_name(&self) -> Vec<(&'static str, u64)> {
                vec![$((stringify!($name), self.$name),)*]
            }
        }
    };
}

counters! {
    /// Announcements taken in.
    announcements,
    /// Announcements refused because the database was full.
    nodes_refused,
    /// Announcements of this node that it has not made: the key is in use twice, or the boot epoch went back.
    outbid,
    /// Changes of other nodes' interest taken in.
    interest_changes,
    /// Entries of interest refused because of a limit: they get no messages from, or on, this node.
    interest_refused,
    /// Snapshots of another node's interest taken in.
    snapshots,
    /// Copies of a node's interest found to differ from what it has signed, and fetched anew.
    interest_mismatches,
    /// Summaries sent because a neighbour's digest went on differing.
    repairs,
    /// Pulls that got no answer in time.
    pull_timeouts,
    /// Pulls left unanswered because the neighbour asked for more than [`Config::answer_rate`].
    pulls_refused,
    /// Computations of the routes.
    routes_computed,
    /// Peers rejected.
    rejected,
    /// Chains of members taken in.
    members,
    /// Chains of members refused because too many were known.
    members_refused,
    /// Revocations taken in.
    revocations,
    /// Revocations refused because too many were known.
    revocations_refused,
    /// Times that other root keys were taken in.
    successions,
    /// Times that they were refused: this node goes by others, or could not write them down.
    successions_refused,
    /// Announcements dropped because their nodes are no members, or none that anybody has told of.
    strangers,
}

/// The control plane of one node.
#[derive(Debug)]
pub struct Control {
    config: Config,
    me: Identity,
    signer: Box<dyn Signer>,
    roll: Arc<Roll>,
    membership: Membership,
    lsdb: Lsdb,
    interest: Interest,
    links: BTreeMap<LinkId, Link>,
    own: Own,
    pulls: Pulls,
    routes: Arc<Routes>,
    /// Nodes whose interest has been handed out, with the index and boot epoch that it was under.
    in_force: Sorted<NodeId, (u32, u64)>,
    /// Upstreams that this node was last said to serve.
    serving: std::collections::BTreeSet<u64>,
    routes_due: Option<Instant>,
    routes_last: Option<Instant>,
    /// Least time from the last computation to the next.
    routes_wait: Duration,
    pace: spread::Pace,
    digest_due: Option<Instant>,
    /// The digest of what is known, until that changes.
    digest: Option<u64>,
    actions: VecDeque<Action>,
    counters: Counters,
}

impl Control {
    /// A node without links. Its first routes, to nobody, are among its actions at once.
    #[must_use]
    pub fn new(
        config: Config,
        me: Identity,
        signer: Box<dyn Signer>,
        roll: Arc<Roll>,
        shelf: Arc<dyn Shelf>,
        now: Instant,
    ) -> Self {
        let lsdb = Lsdb::new(me.node, config.nodes_max, shelf);
        let mut control = Self {
            membership: Membership::of(&roll),
            roll,
            lsdb,
            interest: Interest::new(config.interest),
            links: BTreeMap::new(),
            own: Own::new(&me, config.interest, config.remove_delay),
            pulls: Pulls::default(),
            routes: Arc::new(Routes::alone(me.node, 0, me.boot)),
            in_force: Sorted::default(),
            serving: std::collections::BTreeSet::new(),
            routes_due: Some(now),
            routes_last: None,
            routes_wait: config.routes_interval,
            pace: spread::Pace::default(),
            digest_due: None,
            digest: None,
            actions: VecDeque::new(),
            counters: Counters::default(),
            config,
            me,
            signer,
        };
        control.own.announce_at(now);
        control.settle(now);
        control
    }

    /// Takes an event in and does what follows. Work is bounded by the size of the event and of the database.
    pub fn handle(&mut self, now: Instant, event: Event<'_>) {
        self.take(now, event);
        self.settle(now);
    }

    /// Takes an event in. What follows from it is left to [`Control::settle`], which must come soon, and at no earlier `now`.
    pub fn take(&mut self, now: Instant, event: Event<'_>) {
        if !matches!(event, Event::Timeout | Event::Frame { frame: ControlFrame::Digest(_), .. }) {
            self.digest = None;
        }
        match event {
            Event::LinkUp { link, peer, member, cost, hello } => self.link_up(now, (link, peer), member, cost, hello),
            Event::LinkDown { link } => self.link_down(now, link),
            Event::Frame { link, frame } => self.frame(now, link, frame),
            Event::Cost { link, cost } => self.cost(now, link, cost),
            Event::LocalInterest(change) => self.local_interest(now, &change),
            Event::Admitted(chain) => self.admitted(now, None, &[chain]),
            Event::Revoke(revocations) => self.enforce_revocations(now, None, &revocations),
            Event::Succeed => self.succeeded_by_user(now),
            Event::Addresses(addresses) => self.set_addresses(now, addresses),
            Event::ClientUrls(urls) => self.set_client_urls(now, urls),
            Event::Upstreams(upstreams) => self.set_upstreams(now, upstreams),
            Event::Timeout => {}
        }
    }

    /// What is to be done next.
    pub fn poll_action(&mut self) -> Option<Action> {
        let action = self.actions.pop_front();
        if action.is_none() {
            // New routes may bring thousands at once, and seldom do.
            self.actions.shrink_to(ACTIONS_KEPT_MAX);
        }
        action
    }

    /// When [`Event::Timeout`] is due next.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        let forget = self.lsdb.oldest_unreachable().map(|since| since + self.config.forget);
        let timers = [self.own.due(), self.routes_due, self.pace.due(), self.digest_due, self.pulls.due(), forget];
        timers.into_iter().flatten().min()
    }

    /// How this node introduces itself on a link.
    #[must_use]
    pub fn hello(&self) -> Hello {
        let Identity { node, ref name, boot, lattice } = self.me;
        Hello { protocol: PROTOCOL, node, name: name.clone(), boot, lattice, features: FEATURES, has_link: false }
    }

    /// The routes as of the last [`Action::Routes`].
    #[must_use]
    pub fn routes(&self) -> &Arc<Routes> {
        &self.routes
    }

    /// The cheapest link to a neighbour.
    #[must_use]
    pub fn link_to(&self, peer: NodeId) -> Option<LinkId> {
        let links = self.links.iter().filter(|(_, link)| link.peer == peer);
        links.min_by_key(|(id, link)| (link.cost, **id)).map(|(id, _)| *id)
    }

    /// The announcement of every node that is known, this one too, in the order of their keys.
    pub fn announcements(&self) -> impl Iterator<Item = &Arc<Announcement>> {
        self.lsdb.iter().map(|(_, entry)| &entry.announcement)
    }

    /// What is known of `node`.
    #[must_use]
    pub fn lsa(&self, node: NodeId) -> Option<&Lsa> {
        self.lsdb.get(node).map(Entry::lsa)
    }

    /// What this node wants of the others, as they are told, and what is known of each of them. Costs a list as long.
    #[must_use]
    pub fn interest(&self) -> Vec<InterestView> {
        let others = self.lsdb.iter().filter(|(node, _)| *node != self.me.node);
        let others = others.map(|(node, _)| (node, self.in_force.contains_key(&node), self.interest.get(node)));
        let all = std::iter::once((self.me.node, true, Some(self.own.interest.held()))).chain(others);
        let entries = |held: &Held| held.entries().map(|(key, weight)| (key.clone(), weight)).collect();
        let view = |(node, in_force, held): (_, _, Option<&Held>)| InterestView {
            node,
            in_force,
            entries: held.map(entries).unwrap_or_default(),
        };
        all.map(view).collect()
    }

    /// What has happened since the start.
    #[must_use]
    pub fn counters(&self) -> Counters {
        Counters { interest_refused: self.interest.refused + self.own.interest.refused, ..self.counters }
    }

    /// Does what is due, in the order in which one thing leads to the next.
    pub fn settle(&mut self, now: Instant) {
        self.flush_interest(now);
        self.announce(now);
        self.forget(now);
        self.update_routes(now);
        self.spread(now);
        self.exchange_digests(now);
        self.pump_pulls(now);
    }

    fn frame(&mut self, now: Instant, link: LinkId, frame: ControlFrame) {
        if !self.links.contains_key(&link) {
            return;
        }
        let outcome = match frame {
            ControlFrame::Hello(_) | ControlFrame::Welcome => Err(Violation::SecondHello),
            ControlFrame::Goodbye(_) => {
                self.link_down(now, link);
                Ok(())
            }
            ControlFrame::Lsa(signed) => self.ingest_lsa(now, link, &signed),
            ControlFrame::Delta(delta) => self.ingest_delta(now, link, delta),
            ControlFrame::Snapshot(part) => self.ingest_snapshot(now, link, part),
            ControlFrame::Summary(known) => {
                self.compare(now, link, &known);
                Ok(())
            }
            ControlFrame::Pull(wants) => {
                self.answer(now, link, &wants);
                Ok(())
            }
            ControlFrame::Digest(digest) => {
                self.note_digest(link, digest);
                Ok(())
            }
            ControlFrame::Revoked(revocations) => self.revoked(now, link, revocations),
            ControlFrame::Members(members) => self.members(now, link, members),
            ControlFrame::Succession(news) => self.succeeded(now, link, news),
        };
        if let Err(reason) = outcome {
            self.reject(now, link, reason);
        }
    }

    fn reject(&mut self, now: Instant, link: LinkId, reason: Violation) {
        self.counters.rejected += 1;
        self.link_down(now, link);
        self.actions.push_back(Action::Reject { link, reason });
    }

    fn send(&mut self, link: LinkId, frame: &ControlFrame) {
        self.send_encoded(link, frame.encode());
    }

    fn send_encoded(&mut self, link: LinkId, frame: Bytes) {
        self.actions.push_back(Action::Send { link, frame });
    }

    /// Sends to every neighbour but the one that the news came by.
    fn tell_all(&mut self, except: Option<LinkId>, frame: &Bytes) {
        let others = self.links.keys().filter(|link| Some(**link) != except);
        self.actions.extend(others.map(|&link| Action::Send { link, frame: frame.clone() }));
    }
}

#[cfg(test)]
mod tests;
