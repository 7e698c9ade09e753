//! What every task of the mesh holds on to.

use super::Config;
use super::dialer::DialProblems;
use super::frame::{ControlFrame, Hello};
use super::greeting::Facts;
use super::links::{Link, LinkId, Links};
use super::plane::{Arrivals, Plane};
use super::quic::Transport;
use super::view::InterestView;
use crate::identity::{Identity, Vouchers};
use lattice_broker::env::Env;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;

/// The parts of a running mesh.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) env: Env,
    pub(super) config: Config,
    pub(super) identity: Arc<Identity>,
    pub(super) vouchers: Arc<dyn Vouchers>,
    pub(super) facts: Facts,
    pub(super) transport: Transport,
    pub(super) links: Links,
    pub(super) plane: Arc<Plane>,
    pub(super) arrivals: Mutex<Arrivals>,
    pub(super) dial_problems: DialProblems,
    pub(super) inputs: mpsc::Sender<Input>,
    pub(super) last_link: AtomicU64,
    pub(super) stop: CancellationToken,
}

/// What the links tell the control plane.
#[derive(Debug)]
pub(super) enum Input {
    /// A link came up; the peer's greeting.
    Up(Arc<Link>, Hello),
    /// A link ended.
    Down(LinkId),
    /// A control frame came.
    Frame(LinkId, ControlFrame),
    /// Somebody wants to see whose interest is known.
    ShowInterest(oneshot::Sender<Vec<InterestView>>),
}

impl Shared {
    /// Hands `input` to the control plane. Waits while it is busy, which slows the sending peer down.
    pub(super) async fn tell(&self, input: Input) {
        // An error means that the mesh is stopped, and nobody needs to know any more.
        let _ = self.inputs.send(input).await;
    }

    pub(super) fn next_link(&self) -> u64 {
        self.last_link.fetch_add(1, Ordering::Relaxed) + 1
    }
}
