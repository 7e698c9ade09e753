//! The gateway's task: dials the upstream for ever, runs one link at a time, and says so when that changes.

use super::Gateway;
use super::link::{self, End};
use crate::identity::printable;
use crate::ports::Bus;
use lattice_broker::env::{Rng, Stream};
use lattice_broker::leaf::{Close, retry_delay};
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;
use tracing::{info, warn};

pub(super) async fn run(gateway: Arc<Gateway>, bus: Arc<dyn Bus>) {
    let rng = gateway.env.rng("gateway.retry");
    let mut driver = Driver { gateway: &gateway, bus, rng, discovered: Vec::new(), said: None };
    while driver.until_wanted().await {
        if let Some(failure) = driver.attempt().await {
            driver.failed(&failure);
            let delay = failure.retry_delay(&mut driver.rng);
            driver.while_wanted(gateway.env.sleep(delay)).await;
        } else {
            info!(upstream = %gateway.config.url, "upstream link closed: no longer wanted");
        }
    }
    // The broker's handle goes first: whoever waits for the end finds nothing left.
    drop(driver);
    gateway.stopped.cancel();
}

/// Why there is no link.
#[derive(Debug, thiserror::Error)]
enum Failure {
    /// No connection came about.
    #[error("{0}")]
    Dial(String),
    /// It ended.
    #[error(transparent)]
    Closed(#[from] Close),
}

impl Failure {
    fn retry_delay(self, rng: &mut Rng) -> Duration {
        match self {
            Self::Closed(close) => retry_delay(&close, rng),
            // The server is as far away as one whose connection was lost.
            Self::Dial(reason) => retry_delay(&Close::Lost(reason), rng),
        }
    }
}

struct Driver<'g> {
    gateway: &'g Gateway,
    bus: Arc<dyn Bus>,
    rng: Rng,
    /// Where else the upstream's cluster listens.
    discovered: Vec<String>,
    /// The reason that was logged last; the same one again is not news.
    said: Option<String>,
}

impl Driver<'_> {
    /// Waits until a link is wanted; false when the gateway stops.
    async fn until_wanted(&self) -> bool {
        poll_fn(|cx| {
            let shared = &self.gateway.shared;
            loop {
                let state = shared.lock();
                if state.stopping || state.active {
                    return Poll::Ready(!state.stopping);
                }
                drop(state);
                if shared.lock_desk().poll_work(cx).is_pending() {
                    return Poll::Pending;
                }
            }
        })
        .await
    }

    /// Waits for `future`, but gives it up when no link is wanted any more.
    async fn while_wanted<T>(&self, future: impl Future<Output = T>) -> Option<T> {
        let mut future = pin!(future);
        poll_fn(|cx| {
            let shared = &self.gateway.shared;
            loop {
                if !shared.is_wanted() {
                    return Poll::Ready(None);
                }
                if shared.lock_desk().poll_work(cx).is_pending() {
                    break;
                }
            }
            future.as_mut().poll(cx).map(Some)
        })
        .await
    }

    /// Dials and runs a link to its end. `None` when it was ended from this side.
    async fn attempt(&mut self) -> Option<Failure> {
        let stream = match self.while_wanted(self.dial()).await? {
            Ok(stream) => stream,
            Err(failure) => return Some(failure),
        };
        match link::run(self.gateway, &*self.bus, stream, &mut self.discovered, &mut self.said).await {
            End::Closed(close) => Some(close.into()),
            End::Unwanted => None,
        }
    }

    /// Tries each address of the configured server, then of those that it told of.
    async fn dial(&self) -> Result<Arc<dyn Stream>, Failure> {
        let (env, timeout) = (&self.gateway.env, self.gateway.config.dial_timeout);
        let configured = self.gateway.config.url.host_port();
        let others = self.discovered.iter().filter(|&other| *other != configured);
        let mut reason = None;
        for target in std::iter::once(&configured).chain(others) {
            let addrs = match env.timeout(timeout, env.resolve(target)).await {
                Ok(Ok(addrs)) => addrs,
                Ok(Err(error)) => {
                    reason.get_or_insert(format!("{target} cannot be looked up: {error}"));
                    continue;
                }
                Err(elapsed) => {
                    reason.get_or_insert(format!("{target} cannot be looked up: {elapsed}"));
                    continue;
                }
            };
            for addr in addrs {
                match env.timeout(timeout, env.tcp_connect(addr)).await {
                    Ok(Ok(stream)) => return Ok(stream),
                    Ok(Err(error)) => reason.get_or_insert(format!("{addr} cannot be reached: {error}")),
                    Err(elapsed) => reason.get_or_insert(format!("{addr} cannot be reached: {elapsed}")),
                };
            }
        }
        Err(Failure::Dial(reason.unwrap_or_else(|| format!("{configured} has no address"))))
    }

    fn failed(&mut self, failure: &Failure) {
        self.gateway.counters.failures.add(1);
        // What the server said is part of it.
        let reason = printable(&failure.to_string());
        if self.said.as_ref() != Some(&reason) {
            warn!(upstream = %self.gateway.config.url, %reason, "no link to the upstream; trying on");
            self.said = Some(reason.clone());
        }
        self.gateway.shared.lock().error = Some(reason);
    }
}
