//! Joins the layers: the ports that mesh and gateway ask for, implemented over the broker.
//!
//! The one file that names everyone; it has no logic of its own.

use crate::ports::{
    BadInterest, BoxFuture, Bus, Client, Clients, Deliveries, Delivery, Groups, Inbound, Message, Neighbor,
    NeighborKind, RemoteInterest, UpstreamId,
};
use lattice_broker::{Attachment, Broker, Local, Publisher, Subscription};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};

/// The account in which nodes speak with each other: their clients are never in it.
pub const NODES_ACCOUNT: &str = "$LATTICE";

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

/// A client of `broker` in the account of clients that say nothing else.
#[must_use]
pub fn client(broker: &Broker) -> Arc<dyn Client> {
    Arc::new(BrokerClient(Mutex::new(broker.local())))
}

/// A client of `broker` in [`NODES_ACCOUNT`]; `None` when the broker was made without it.
#[must_use]
pub fn nodes_client(broker: &Broker) -> Option<Arc<dyn Client>> {
    Some(Arc::new(BrokerClient(Mutex::new(broker.local_in(NODES_ACCOUNT)?))))
}

/// Clients of `broker`, each as [`client`] makes it.
#[must_use]
pub fn clients(broker: &Broker) -> Arc<dyn Clients> {
    Arc::new(BrokerClients(broker.clone()))
}

#[derive(Debug)]
struct BrokerClients(Broker);

impl Clients for BrokerClients {
    fn client(&self) -> Arc<dyn Client> {
        client(&self.0)
    }
}

#[derive(Debug)]
struct BrokerClient(Mutex<Local>);

impl Client for BrokerClient {
    fn publish_headed(&self, subject: &str, reply: Option<&[u8]>, headers: &[u8], body: &[u8]) -> usize {
        let joined;
        let whole = if headers.is_empty() {
            body
        } else {
            joined = [headers, body].concat();
            &joined
        };
        let message = Message { subject: subject.as_bytes(), reply, header_len: headers.len(), body: whole };
        self.0.lock().expect("publishing does not panic").publish(&message)
    }

    fn subscribe(
        &self,
        filter: &str,
        queue: Option<&str>,
        pending_max: usize,
    ) -> Result<Box<dyn Deliveries>, BadInterest> {
        let local = self.0.lock().expect("publishing does not panic");
        let subscription = local.subscribe(filter.as_bytes(), queue.map(str::as_bytes), pending_max);
        let subscription = subscription.map_err(|_| BadInterest { subject: filter.to_owned() })?;
        Ok(Box::new(BrokerDeliveries(subscription)))
    }
}

#[derive(Debug)]
struct BrokerDeliveries(Subscription);

impl Deliveries for BrokerDeliveries {
    fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Delivery> {
        self.0.poll_next(cx).map(|message| Delivery {
            subject: message.subject,
            reply: message.reply,
            headers: message.headers,
            payload: message.payload,
        })
    }

    fn dropped(&self) -> u64 {
        self.0.dropped()
    }
}
