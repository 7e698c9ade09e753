//! Numbers of those who publish: what one connection publishes stays in order, and so does what follows after it has been
//! lost and made again.
//!
//! A neighbour may carry what has different numbers beside each other. A client whose connection breaks comes back soon,
//! and what it had published before may still be under way: it has the same number again. Whoever it is, is told by its
//! address and name; of several that are alike, the one that has left first comes back first. A connection that is held up by
//! those who do not keep up with it reads nothing, and so does not see that it is broken: who comes back meanwhile shares its
//! number.

use crate::lock::lock;
use std::collections::{BTreeMap, VecDeque};
use std::net::IpAddr;
use std::sync::{Arc, Mutex};

/// Numbers of connections that have ended which are remembered; of more, the oldest is forgotten.
const ENDED_MAX: usize = 1024;

/// Who publishes, as far as that can be told from one connection to the next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Publisher {
    pub(crate) address: IpAddr,
    pub(crate) name: Option<Box<str>>,
}

/// The numbers that have been given out, from 1 on.
#[derive(Clone, Debug, Default)]
pub(crate) struct Flows(Arc<Mutex<State>>);

#[derive(Debug, Default)]
struct State {
    last: u64,
    ended: VecDeque<(Publisher, u64)>,
    /// Who is held up, by number: no more than there are connections.
    held_up: BTreeMap<u64, Publisher>,
}

/// A connection that is held up, until this is dropped.
#[derive(Debug)]
pub(crate) struct HeldUp {
    flows: Flows,
    flow: u64,
}

impl Drop for HeldUp {
    fn drop(&mut self) {
        lock(&self.flows.0).held_up.remove(&self.flow);
    }
}

impl Flows {
    /// A number that nobody has had.
    pub(crate) fn next(&self) -> u64 {
        lock(&self.0).next()
    }

    /// A number for a connection that publishes for the first time.
    pub(crate) fn deal(&self, publisher: &Publisher) -> u64 {
        let mut state = lock(&self.0);
        let back = state.ended.iter().position(|(who, _)| who == publisher).and_then(|at| state.ended.remove(at));
        let shared = || state.held_up.iter().find(|(_, who)| *who == publisher).map(|(flow, _)| *flow);
        let flow = back.map(|(_, flow)| flow).or_else(shared);
        flow.unwrap_or_else(|| state.next())
    }

    /// A connection is held up: until what is returned is dropped it may be broken without knowing.
    pub(crate) fn hold_up(&self, publisher: Publisher, flow: u64) -> HeldUp {
        lock(&self.0).held_up.insert(flow, publisher);
        HeldUp { flows: self.clone(), flow }
    }

    /// A connection has ended; 0 for one that has never published.
    pub(crate) fn give_back(&self, publisher: Publisher, flow: u64) {
        let mut state = lock(&self.0);
        if flow == 0 {
            return;
        }
        if state.ended.len() == ENDED_MAX {
            state.ended.pop_front();
        }
        state.ended.push_back((publisher, flow));
    }
}

impl State {
    fn next(&mut self) -> u64 {
        self.last += 1;
        self.last
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn publisher(last: u8, name: Option<&str>) -> Publisher {
        Publisher { address: [10, 0, 0, last].into(), name: name.map(Into::into) }
    }

    #[test]
    fn who_comes_back_has_its_number_again() {
        let flows = Flows::default();
        let (a, b, unnamed) = (publisher(1, Some("a")), publisher(1, Some("b")), publisher(2, None));
        assert_eq!([&a, &b, &unnamed, &unnamed].map(|who| flows.deal(who)), [1, 2, 3, 4]);
        for (who, flow) in [(&unnamed, 4), (&b, 2), (&unnamed, 3), (&a, 1)] {
            flows.give_back(who.clone(), flow);
        }
        assert_eq!([&a, &b, &unnamed, &unnamed, &a].map(|who| flows.deal(who)), [1, 2, 4, 3, 5]);
    }

    #[test]
    fn who_comes_back_before_its_connection_is_known_to_be_broken_shares_the_number() {
        let flows = Flows::default();
        let (a, b) = (publisher(1, Some("a")), publisher(1, Some("b")));
        assert_eq!([&a, &b].map(|who| flows.deal(who)), [1, 2]);
        let held_up = flows.hold_up(a.clone(), 1);
        assert_eq!([&a, &b].map(|who| flows.deal(who)), [1, 3]);
        drop(held_up);
        assert_eq!(flows.deal(&a), 4, "another one of the same name, while the first can see that it is broken");
    }

    #[test]
    fn what_is_remembered_is_bounded() {
        let flows = Flows::default();
        (1..=2 * ENDED_MAX as u64).for_each(|flow| flows.give_back(publisher(1, None), flow));
        assert_eq!(lock(&flows.0).ended.len(), ENDED_MAX);
        assert_eq!(flows.deal(&publisher(1, None)), ENDED_MAX as u64 + 1);
    }
}
