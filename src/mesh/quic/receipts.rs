//! What the peer has acknowledged, and when it said so: that is how an end learns that it is heard.
//!
//! The transport tells its congestion controller of every acknowledged packet, and nobody else. `Noting` stands between
//! the two: it notes the latest acknowledgements and leaves the rest to the controller inside, but for one thing. What
//! nobody acknowledges fills the window, and a heartbeat would wait behind it, just when it could tell a peer that it is
//! not heard, or bring the first acknowledgement after a cut: [`make_room`] lets it pass.

use quinn::congestion::{Controller, ControllerFactory, ControllerMetrics};
use quinn_proto::RttEstimator;
use std::any::Any;
use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

/// Acknowledgements that are kept: enough for a quiet link, on which alone they are looked at one by one.
pub const RECEIPTS_MAX: usize = 8;

/// A packet, and one more since a window must never be quite full.
const ROOM: u64 = 2 * 1_500;

/// One packet that was acknowledged before any that was sent after it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Receipt {
    /// When the packet went out.
    pub sent: Instant,
    /// When the acknowledgement came.
    pub at: Instant,
}

/// The latest acknowledgements on `connection`, oldest first, [`RECEIPTS_MAX`] at most. After the peer has moved to
/// another address there are none before the first packet of the new path was acknowledged.
#[must_use]
pub fn receipts(connection: &quinn::Connection) -> VecDeque<Receipt> {
    let noted = connection.congestion_state().into_any().downcast::<Noted>();
    noted.map(|noted| noted.receipts).unwrap_or_default()
}

/// Lets one more packet out on `connection`, however much is under way, until something is acknowledged.
pub fn make_room(connection: &quinn::Connection) {
    if let Ok(noted) = connection.congestion_state().into_any().downcast::<Noted>() {
        noted.room.fetch_add(ROOM, Ordering::Relaxed);
    }
}

/// Makes controllers that note.
pub(super) struct Noting(pub(super) Arc<dyn ControllerFactory + Send + Sync>);

impl ControllerFactory for Noting {
    fn build(self: Arc<Self>, now: Instant, current_mtu: u16) -> Box<dyn Controller> {
        let inner = Arc::clone(&self.0).build(now, current_mtu);
        Box::new(Noted { inner, receipts: VecDeque::new(), room: Arc::default() })
    }
}

struct Noted {
    inner: Box<dyn Controller>,
    receipts: VecDeque<Receipt>,
    /// Bytes on top of the window; shared with the copies that the connection hands out.
    room: Arc<AtomicU64>,
}

impl Noted {
    fn note(&mut self, receipt: Receipt) {
        if self.receipts.back().is_some_and(|last| last.sent >= receipt.sent) {
            return;
        }
        if self.receipts.len() == RECEIPTS_MAX {
            self.receipts.pop_front();
        }
        self.receipts.push_back(receipt);
    }
}

impl Controller for Noted {
    fn on_sent(&mut self, now: Instant, bytes: u64, last_packet_number: u64) {
        self.inner.on_sent(now, bytes, last_packet_number);
    }

    fn on_ack(&mut self, now: Instant, sent: Instant, bytes: u64, app_limited: bool, rtt: &RttEstimator) {
        self.note(Receipt { sent, at: now });
        self.room.store(0, Ordering::Relaxed);
        self.inner.on_ack(now, sent, bytes, app_limited, rtt);
    }

    fn on_end_acks(&mut self, now: Instant, in_flight: u64, app_limited: bool, largest_packet_num_acked: Option<u64>) {
        self.inner.on_end_acks(now, in_flight, app_limited, largest_packet_num_acked);
    }

    fn on_congestion_event(&mut self, now: Instant, sent: Instant, is_persistent_congestion: bool, lost_bytes: u64) {
        self.inner.on_congestion_event(now, sent, is_persistent_congestion, lost_bytes);
    }

    fn on_mtu_update(&mut self, new_mtu: u16) {
        self.inner.on_mtu_update(new_mtu);
    }

    fn window(&self) -> u64 {
        self.inner.window().saturating_add(self.room.load(Ordering::Relaxed))
    }

    fn metrics(&self) -> ControllerMetrics {
        self.inner.metrics()
    }

    fn clone_box(&self) -> Box<dyn Controller> {
        let (inner, receipts, room) = (self.inner.clone_box(), self.receipts.clone(), Arc::clone(&self.room));
        Box::new(Self { inner, receipts, room })
    }

    fn initial_window(&self) -> u64 {
        self.inner.initial_window()
    }

    fn into_any(self: Box<Self>) -> Box<dyn Any> {
        self
    }
}
