//! The end of a connection: what it wanted is taken out, and those who watch are told.

use super::Conn;
use crate::monitor::{LISTED_MAX, Record};
use crate::stats::CloseReason;
use crate::subscription::Subscription;
use crate::system::events;
use std::future::poll_fn;
use std::sync::Arc;
use std::task::Poll;

/// Subscriptions that are taken out before others have their turn: a fraction of a millisecond.
const AT_A_TIME: usize = 256;

impl Conn {
    /// Forgets the connection. Others go on meanwhile, however many subscriptions it has.
    pub(in crate::server) async fn end(mut self, reason: CloseReason) {
        let pending = self.client.outbox.pending();
        self.client.outbox.close(reason);
        let mut subscriptions = self.session.take_subscriptions();
        let count = subscriptions.len();
        let first: Vec<Arc<Subscription>> = subscriptions.by_ref().take(LISTED_MAX).collect();
        first.iter().for_each(|subscription| self.remove(subscription));
        for (at, subscription) in subscriptions.enumerate() {
            self.remove(&subscription);
            if at % AT_A_TIME == AT_A_TIME - 1 {
                give_way().await;
            }
        }
        self.leave_account();
        let record = Record::closed(&self.client, reason, self.hub.clock.stamp(self.hub.env.now()), pending);
        self.account.take_leave(&record);
        events::disconnected(&self.hub, &record, &self.account);
        self.hub.remember(record.with_subscriptions(&first, count));
        self.hub.counters.close(reason);
        self.hub.flows.give_back(self.client.figures.publisher(), self.flow);
        drop(self.place); // Whoever waits for the last one to leave finds none.
        self.hub.leave(self.client.id);
        tracing::debug!(cid = self.client.id, peer = %self.stream.peer_addr(), reason = reason.text(), "client closed");
    }
}

/// Lets other tasks have their turn.
async fn give_way() {
    let mut has_waited = false;
    poll_fn(|cx| {
        if std::mem::replace(&mut has_waited, true) {
            return Poll::Ready(());
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}
