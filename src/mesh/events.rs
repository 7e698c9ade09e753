//! What has happened to links, nodes and upstreams of late: a ring that forgets the oldest, and says how many it has
//! forgotten. No clock.
//!
//! Who notes what is left to `watcher.rs`, `link.rs` and `driver.rs`, next to their log lines; how it is told, to the node.

use crate::identity::NodeId;
use crate::ports::UpstreamId;
use std::collections::VecDeque;
use std::time::SystemTime;

/// Events that are kept.
pub const KEPT_MAX: usize = 1024;
/// Longest text that is kept of a name or a reason, in bytes: peers have a say in both.
const TEXT_MAX: usize = 256;

/// Something that has happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// Its number, from 1 on without gaps since the start of the node.
    pub number: u64,
    /// When, by the wall clock.
    pub at: SystemTime,
    /// What.
    pub what: What,
    /// Whom it is about, and the name of that node.
    pub node: Option<(NodeId, String)>,
    /// Why, as far as there is more to say.
    pub why: Option<String>,
}

/// What can happen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum What {
    /// A link came up.
    LinkUp,
    /// A link ended.
    LinkDown,
    /// A link was silent for so long that traffic goes round it.
    LinkSuspected,
    /// A suspected link is good again.
    LinkCleared,
    /// A link was closed since the peer broke the protocol.
    LinkRejected,
    /// There is a way to a node.
    NodeReached,
    /// There is no way to it any more.
    NodeLost,
    /// There is a way to so many more nodes, which are not told one by one.
    MoreReached(usize),
    /// There is none to so many more.
    MoreLost(usize),
    /// A member was admitted by this node.
    MemberAdmitted,
    /// A member is one no more.
    MemberRevoked,
    /// The root key was replaced.
    RootReplaced,
    /// This node has become the one that serves an upstream.
    UpstreamElected(UpstreamId),
    /// It is that no longer.
    UpstreamLeft(UpstreamId),
}

impl What {
    /// Its name in records.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::LinkUp => "link_up",
            Self::LinkDown => "link_down",
            Self::LinkSuspected => "link_suspected",
            Self::LinkCleared => "link_cleared",
            Self::LinkRejected => "link_rejected",
            Self::NodeReached => "node_reached",
            Self::NodeLost => "node_lost",
            Self::MoreReached(_) => "more_reached",
            Self::MoreLost(_) => "more_lost",
            Self::MemberAdmitted => "member_admitted",
            Self::MemberRevoked => "member_revoked",
            Self::RootReplaced => "root_replaced",
            Self::UpstreamElected(_) => "upstream_elected",
            Self::UpstreamLeft(_) => "upstream_left",
        }
    }
}

/// The ring.
#[derive(Debug, Default)]
pub struct Events {
    kept: VecDeque<Event>,
    last: u64,
}

/// A part of the events.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Since {
    /// The oldest first.
    pub events: Vec<Event>,
    /// How many there were before these that are forgotten.
    pub lost: u64,
    /// The number of the latest one of all: what to ask from next.
    pub last: u64,
}

impl Events {
    /// Notes what has happened; the oldest is forgotten when there is no room.
    pub fn note(&mut self, at: SystemTime, what: What, node: Option<(NodeId, &str)>, why: Option<String>) {
        self.last += 1;
        if self.kept.len() >= KEPT_MAX {
            self.kept.pop_front();
        }
        let node = node.map(|(id, name)| (id, short(name.to_owned())));
        self.kept.push_back(Event { number: self.last, at, what, node, why: why.map(short) });
    }

    /// What has happened after the event numbered `after`.
    #[must_use]
    pub fn since(&self, after: u64) -> Since {
        let after = after.min(self.last);
        let events: Vec<Event> = self.kept.iter().filter(|event| event.number > after).cloned().collect();
        Since { lost: self.last - after - events.len() as u64, events, last: self.last }
    }
}

fn short(mut text: String) -> String {
    text.truncate(text.floor_char_boundary(TEXT_MAX));
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn noted(count: u64) -> Events {
        let mut events = Events::default();
        for n in 0..count {
            let what = if n % 2 == 0 { What::LinkUp } else { What::LinkDown };
            events.note(SystemTime::UNIX_EPOCH, what, Some((NodeId([7; 32]), "b")), Some(n.to_string()));
        }
        events
    }

    #[test]
    fn events_are_told_once_and_in_order() {
        let mut events = noted(3);
        let first = events.since(0);
        let numbers: Vec<u64> = first.events.iter().map(|event| event.number).collect();
        assert_eq!((numbers, first.lost, first.last), (vec![1, 2, 3], 0, 3));
        assert_eq!(events.since(3), Since { last: 3, ..Since::default() });
        events.note(SystemTime::UNIX_EPOCH, What::NodeLost, None, None);
        assert_eq!(events.since(3).events[0].what, What::NodeLost);
    }

    #[test]
    fn what_is_forgotten_is_counted() {
        let events = noted(KEPT_MAX as u64 + 10);
        let told = events.since(4);
        assert_eq!((told.events.len(), told.lost, told.events[0].number), (KEPT_MAX, 6, 11));
        assert_eq!(events.since(events.last + 1), Since { last: events.last, ..Since::default() });
    }

    #[test]
    fn texts_are_cut() {
        let mut events = Events::default();
        events.note(SystemTime::UNIX_EPOCH, What::LinkDown, None, Some("\u{2013}".repeat(1000)));
        assert!(events.since(0).events[0].why.as_ref().unwrap().len() <= TEXT_MAX);
    }
}
