//! A connection at one moment, or as it was when it ended: what all answers about connections are made of.

use super::subsz::SubDetail;
use crate::auth::ConnectionType;
use crate::clock::Stamp;
use crate::server::{Client, Who};
use crate::stats::{CloseReason, Traffic};
use crate::subscription::Subscription;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

/// Subscriptions of an ended connection that are remembered, and the bytes of their words together.
pub(crate) const LISTED_MAX: usize = 8;
const LISTED_BYTES_MAX: usize = 1024;

/// A connection.
#[derive(Clone, Debug)]
pub(crate) struct Record {
    pub(crate) id: u64,
    pub(crate) peer: SocketAddr,
    pub(crate) over: ConnectionType,
    pub(crate) began: Stamp,
    pub(crate) last: Stamp,
    pub(crate) end: Option<(Stamp, CloseReason)>,
    pub(crate) who: Who,
    pub(crate) pending: usize,
    pub(crate) received: Traffic,
    pub(crate) sent: Traffic,
    pub(crate) stalls: u64,
    pub(crate) subscriptions: usize,
    /// Those of one that has ended.
    pub(crate) listed: Vec<SubDetail>,
}

impl Record {
    /// A connection as it is now.
    pub(crate) fn of(client: &Client) -> Self {
        let figures = &client.figures;
        let (sent, last_out) = client.outbox.carried();
        Self {
            id: client.id,
            peer: figures.peer,
            over: figures.over,
            began: figures.began,
            last: figures.last_in().max(last_out),
            end: None,
            who: figures.who(),
            pending: client.outbox.pending(),
            received: figures.received(),
            sent,
            stalls: figures.stalls(),
            subscriptions: figures.subscriptions(),
            listed: Vec::new(),
        }
    }

    /// One that ends at `at`, with `pending` bytes that it has not taken.
    pub(crate) fn closed(client: &Client, reason: CloseReason, at: Stamp, pending: usize) -> Self {
        let mut record = Self { end: Some((at, reason)), pending, ..Self::of(client) };
        record.who.tls = record.who.tls.map(|tls| Arc::new(tls.remembered()));
        record
    }

    /// With the subscriptions that it had: all counted, the first ones named.
    #[must_use]
    pub(crate) fn with_subscriptions(self, first: &[Arc<Subscription>], count: usize) -> Self {
        let mut bytes = 0;
        let is_short = |entry: &&Arc<Subscription>| {
            bytes += entry.filter.len() + entry.sid.len() + entry.queue.as_ref().map_or(0, |queue| queue.len());
            bytes <= LISTED_BYTES_MAX
        };
        let short = first.iter().take(LISTED_MAX).take_while(is_short);
        let listed = short.map(|entry| SubDetail::of(entry, None)).collect();
        Self { subscriptions: count, listed, ..self }
    }

    /// True when it ended because it did not keep up.
    pub(crate) fn is_slow_consumer(&self) -> bool {
        use CloseReason::{SlowConsumerPendingBytes, SlowConsumerWriteDeadline};
        matches!(self.end, Some((_, SlowConsumerPendingBytes | SlowConsumerWriteDeadline)))
    }

    /// The account that it is or was in.
    pub(crate) fn account(&self) -> &str {
        &self.who.identity.account
    }

    /// Who it is, or has claimed to be.
    pub(crate) fn user(&self) -> &str {
        if self.who.is_in { self.who.identity.label() } else { self.who.about.user.as_deref().unwrap_or_default() }
    }

    /// When it ended, or `now`.
    pub(crate) fn until(&self, now: Stamp) -> Stamp {
        self.end.map_or(now, |(at, _)| at)
    }

    /// How long it was or has been there.
    pub(crate) fn uptime(&self, now: Stamp) -> Duration {
        self.until(now).since(self.began)
    }

    /// How long nothing came or went.
    pub(crate) fn idle(&self, now: Stamp) -> Duration {
        self.until(now).since(self.last)
    }
}
