//! A queue group's message whose chosen node has no members any more: back to its origin, for another choice.
//!
//! Interest takes its time to be withdrawn, so that an origin may choose a node whose last member has just gone. The node
//! hands the message back, to the one place where all members are known. Once: whoever is chosen then and has no members
//! either drops it, or two nodes that have both just lost theirs would pass it to and fro.

use super::{Arrivals, HOPS_AFTER, Plane, Touched, address};
use crate::mesh::frame::DataHeader;
use crate::ports::{Groups, Message, Pick, UpstreamId};
use smallvec::SmallVec;

impl Plane {
    /// Sends a message back to the node that it came from, for the queue groups in `picks`. Who brought it waits, as when it
    /// is passed on, while that way is full.
    pub(super) fn hand_back(&self, header: &DataHeader<'_>, picks: &[Pick<'_>], body: &[u8], touched: &mut Touched) {
        let mut departures = self.departures();
        let numbering = &mut departures.numbering;
        // Looked at under the lock: the numbers belong to this table's index and boot.
        let table = self.table.load();
        let mut back = DataHeader {
            class: DataHeader::returned(),
            origin: table.routes.index,
            boot: table.routes.boot,
            hops: HOPS_AFTER,
            row: header.row,
            destinations: SmallVec::new(),
            picks: SmallVec::new(),
            ..header.clone()
        };
        self.counters.dropped_no_route.add(address(&mut back, &[], picks, numbering, &table));
        if back.destinations.is_empty() {
            return;
        }
        self.counters.handed_back.add(picks.len() as u64);
        self.forward(&table, &back, body, touched);
    }

    /// Chooses other members than those of the node that handed the message back, where there are others.
    pub(super) fn choose_again(
        &self,
        header: &DataHeader<'_>,
        picks: &[Pick<'_>],
        message: &Message<'_>,
        arrivals: &mut Arrivals,
    ) {
        let via = header.via.map(UpstreamId);
        let takers = arrivals.inbound.publish(header.account, message, Groups::Again(picks), via);
        self.counters.chosen_again.add(takers as u64);
        self.counters.handed_back_lost.add(arrivals.inbound.untaken().len() as u64);
    }
}
