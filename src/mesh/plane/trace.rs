//! Probes: they find the ways that data takes by taking them, and deliver nothing.
//!
//! Each node that a probe comes to says so to the probe's origin, over the way that data takes there. What the origin makes of
//! it is `mesh/trace.rs`'s. Frames of this kind are lost with a link that ends: whoever asks can ask again.

use super::{HOPS_AFTER, Plane, Table, Touched};
use crate::identity::NodeId;
use crate::mesh::frame::{Fate, FrameError, Probe, Raw, Report, STEPS_MAX, Step, TraceFrame, URGENT};
use crate::mesh::links::Link;
use crate::mesh::outbuf::Refused;
use crate::mesh::spf::Route;
use crate::mesh::trace::{DESTINATIONS_MAX, TraceError, Traces, Way};
use std::collections::BTreeMap;
use std::sync::{Arc, MutexGuard};
use std::time::{Duration, Instant};

/// The way that frames to a node take at present.
#[derive(Clone, Copy, Debug)]
pub struct WayOut {
    /// The node's index in frames.
    pub index: u32,
    /// The way as computed.
    pub route: Route,
    /// The neighbour whose link frames go to: another one than the route's while that is suspected. None while the link
    /// is down and the routes are not new yet.
    pub next: Option<NodeId>,
}

impl Plane {
    /// The ways that frames take, in the order of the indices. A copy: what it costs is the caller's.
    #[must_use]
    pub fn ways(&self) -> Vec<WayOut> {
        let table = self.table.load();
        let way =
            |(&index, &route): (&u32, &Route)| WayOut { index, route, next: table.next(index).map(|link| link.peer) };
        table.routes.by_index.iter().map(way).collect()
    }

    /// This node's index in frames.
    #[must_use]
    pub fn index(&self) -> u32 {
        self.table.load().routes.index
    }

    /// Sends a probe to each of `destinations` (their indices; at most
    /// [`DESTINATIONS_MAX`] of them), and waits until all have come to an end, or for
    /// as long as `patience`. Nothing is delivered to anybody. Cancel safe.
    ///
    /// # Errors
    /// [`TraceError`]: nothing was sent.
    pub async fn trace(&self, destinations: &[u32], patience: Duration) -> Result<BTreeMap<u32, Way>, TraceError> {
        let id = self.traces().begin(self.env.now(), destinations.iter().copied())?;
        let open = Closing { plane: self, id };
        self.send_probes(id, destinations);
        let done = async {
            loop {
                let mut told = std::pin::pin!(self.traced.notified());
                // Registered before the look, so that no report between the two is missed.
                told.as_mut().enable();
                if self.traces().is_done(id) {
                    return;
                }
                told.await;
            }
        };
        // What has not come by then is what there is to tell.
        let _ = self.env.timeout(patience, done).await;
        Ok(open.close())
    }

    fn send_probes(&self, id: u64, destinations: &[u32]) {
        let (table, mut touched, now) = (self.table.load(), Touched::default(), self.env.now());
        let (origin, boot) = (table.routes.index, table.routes.boot);
        for &to in destinations.iter().take(DESTINATIONS_MAX) {
            // The first link counts as well here.
            let probe = Probe { to, hops: HOPS_AFTER + 1, origin, boot, id, steps: Vec::new() };
            self.pass_probe(&table, now, probe, &mut touched);
        }
        touched.flush();
    }

    /// Handles a probe or a report that arrived on a data stream.
    pub(super) fn receive_trace(&self, raw: Raw<'_>, touched: &mut Touched) -> Result<(), FrameError> {
        let frame = TraceFrame::decode(raw)?;
        let (table, now) = (self.table.load(), self.env.now());
        if !self.traces().may(now) {
            self.counters.traces_refused.add(1);
            return Ok(());
        }
        match frame {
            TraceFrame::Probe(probe) => self.pass_probe(&table, now, probe, touched),
            TraceFrame::Report(report) => self.pass_report(&table, report, touched),
        }
        Ok(())
    }

    /// Passes a probe on that came at `came`, unless it ends here, and tells its origin.
    fn pass_probe(&self, table: &Table, came: Instant, mut probe: Probe, touched: &mut Touched) {
        if probe.steps.len() >= STEPS_MAX {
            return self.counters.dropped_hops.add(1);
        }
        probe.steps.push(Step { node: table.routes.index, took_us: 0, waiting: 0, rtt_us: 0 });
        let fate = match probe.hops.min(HOPS_AFTER + 1).checked_sub(1) {
            _ if probe.to == table.routes.index => Fate::Arrived,
            None => Fate::TooFar,
            Some(hops) => {
                probe.hops = hops;
                match table.next(probe.to) {
                    Some(link) => self.push_probe(link, came, &mut probe, touched),
                    None => Fate::NoWay,
                }
            }
        };
        let Probe { to: destination, origin, boot, id, steps, .. } = probe;
        let report = Report { to: origin, hops: HOPS_AFTER + 1, destination, boot, id, steps, fate };
        self.pass_report(table, report, touched);
    }

    fn push_probe(&self, link: &Arc<Link>, came: Instant, probe: &mut Probe, touched: &mut Touched) -> Fate {
        if !link.traces {
            return Fate::Unknown;
        }
        if let Some(step) = probe.steps.last_mut() {
            step.took_us = micros(self.env.now().saturating_duration_since(came));
            step.waiting = u32::try_from(link.data.pending()).unwrap_or(u32::MAX);
            step.rtt_us = micros(link.connection.rtt());
        }
        match link.data.push(URGENT, false, |out| TraceFrame::Probe(probe.clone()).encode(out)) {
            Ok(_) => {
                touched.add(link, URGENT);
                Fate::Passed
            }
            Err(Refused::Full) => Fate::Full,
            Err(Refused::Closed) => Fate::NoWay,
        }
    }

    fn pass_report(&self, table: &Table, mut report: Report, touched: &mut Touched) {
        if report.to == table.routes.index {
            if report.boot == table.routes.boot && self.traces().told(self.env.now(), &report) {
                self.traced.notify_waiters();
            }
            return;
        }
        let Some(hops) = report.hops.min(HOPS_AFTER + 1).checked_sub(1) else {
            return self.counters.dropped_hops.add(1);
        };
        report.hops = hops;
        let Some(link) = table.next(report.to).filter(|link| link.traces) else {
            return self.counters.dropped_no_route.add(1);
        };
        self.push_once(link, URGENT, touched, |out| TraceFrame::Report(report).encode(out));
    }

    fn traces(&self) -> MutexGuard<'_, Traces> {
        self.traces.lock().expect("no holder of this lock panics")
    }
}

/// A question that is closed in any case.
struct Closing<'a> {
    plane: &'a Plane,
    id: u64,
}

impl Closing<'_> {
    fn close(&self) -> BTreeMap<u32, Way> {
        self.plane.traces().close(self.id)
    }
}

impl Drop for Closing<'_> {
    fn drop(&mut self) {
        drop(self.close());
    }
}

fn micros(time: Duration) -> u32 {
    u32::try_from(time.as_micros()).unwrap_or(u32::MAX)
}
