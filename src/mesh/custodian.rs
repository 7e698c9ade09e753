//! The task that looks after what waits: frames that came too early, frames without a way, rows to be told of.
//!
//! What is done then is `plane/recover.rs`'s; this is its clock.

use super::shared::Shared;
use std::sync::Arc;
use std::task::Poll;

/// Runs until the mesh is stopped.
pub(super) async fn run(shared: Arc<Shared>) {
    let Shared { env, plane, arrivals, stop, .. } = &*shared;
    let mut timer = env.timer(env.now());
    loop {
        let at = plane.due(arrivals);
        if let Some(at) = at {
            timer.as_mut().reset(at);
        }
        let due = std::future::poll_fn(|cx| if at.is_some() { timer.as_mut().poll(cx) } else { Poll::Pending });
        tokio::select! {
            biased;
            () = stop.cancelled() => return,
            () = due => {}
            () = plane.news() => continue,
        }
        if let Some(ready) = plane.tend(arrivals) {
            ready.await;
        }
    }
}
