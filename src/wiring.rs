//! Joins the layers: the ports that mesh and gateway ask for, implemented over the broker.
//!
//! The one file that names everyone; it has no logic of its own.

use crate::ports::{
    BadInterest, BoxFuture, Bus, Groups, Inbound, Message, Neighbor, NeighborKind, RemoteInterest, UpstreamId,
};
use lattice_broker::{Attachment, Broker, Publisher};
use std::sync::Arc;

/// Attaches `neighbor` to `broker`; it is told the present interest before this returns.
#[must_use]
pub fn attach(broker: &Broker, kind: NeighborKind, neighbor: Arc<dyn Neighbor>) -> Arc<dyn Bus> {
    Arc::new(BrokerBus(broker.attach(kind, neighbor)))
}

#[derive(Debug)]
struct BrokerBus(Attachment);

impl Bus for BrokerBus {
    fn set_interest(&self, entry: &RemoteInterest<'_>) -> Result<(), BadInterest> {
        let RemoteInterest { account, member, via, subject, queue, weight } = *entry;
        self.0
            .set_interest(account, member, via, subject, queue, weight)
            .map_err(|_| BadInterest { subject: String::from_utf8_lossy(subject).into_owned() })
    }

    fn remove_member(&self, member: u32) {
        self.0.remove_member(member);
    }

    fn invalidate(&self) {
        self.0.invalidate();
    }

    fn inbound(&self) -> Box<dyn Inbound> {
        Box::new(BrokerInbound(self.0.publisher()))
    }
}

struct BrokerInbound(Publisher);

impl Inbound for BrokerInbound {
    fn publish(&mut self, account: &[u8], message: &Message<'_>, groups: Groups<'_>, via: Option<UpstreamId>) -> usize {
        self.0.publish(account, message, groups, via)
    }

    fn untaken(&self) -> &[usize] {
        self.0.untaken()
    }

    fn flush(&mut self) -> bool {
        self.0.flush()
    }

    fn ready(&mut self) -> BoxFuture<()> {
        self.0.ready()
    }
}
