//! How much a link sends at a time: the shell between quinn and `congestion/window.rs`, which decides.
//!
//! quinn paces what the window allows, at five quarters of a window in a round trip, and keeps to itself what is
//! acknowledged, lost and sent again.

mod delay;
mod losses;
mod rate;
mod window;

use quinn::congestion::{Controller, ControllerFactory};
use quinn_proto::RttEstimator;
use std::any::Any;
use std::sync::Arc;
use std::time::Instant;
use window::Window;

/// Makes a [`Steady`] for each path of a connection.
#[derive(Debug)]
pub(super) struct Steadies;

impl ControllerFactory for Steadies {
    fn build(self: Arc<Self>, now: Instant, current_mtu: u16) -> Box<dyn Controller> {
        Box::new(Steady(Window::new(now, current_mtu)))
    }
}

#[derive(Clone, Debug)]
struct Steady(Window);

impl Controller for Steady {
    fn on_ack(&mut self, _now: Instant, sent: Instant, bytes: u64, app_limited: bool, _rtt: &RttEstimator) {
        self.0.acked(sent, bytes, app_limited);
    }

    fn on_end_acks(&mut self, now: Instant, _in_flight: u64, _app_limited: bool, _largest: Option<u64>) {
        self.0.acked_all(now);
    }

    fn on_congestion_event(&mut self, now: Instant, sent: Instant, is_persistent_congestion: bool, lost_bytes: u64) {
        match lost_bytes {
            0 => self.0.marked(),
            _ => self.0.lost(now, sent, lost_bytes),
        }
        if is_persistent_congestion {
            self.0.cut(now);
        }
    }

    fn on_mtu_update(&mut self, new_mtu: u16) {
        self.0.set_mtu(new_mtu);
    }

    fn window(&self) -> u64 {
        self.0.bytes()
    }

    fn clone_box(&self) -> Box<dyn Controller> {
        Box::new(self.clone())
    }

    fn initial_window(&self) -> u64 {
        self.0.initial()
    }

    fn into_any(self: Box<Self>) -> Box<dyn Any> {
        self
    }
}

#[cfg(test)]
mod tests;
