//! The gateway's task: dials the upstream for ever, runs one link at a time, and says so when that changes.

use super::Gateway;
use super::config::{UpstreamUrl, credentials_in};
use super::link::{self, End};
use super::open::{Opened, open};
use crate::identity::printable;
use crate::ports::Bus;
use lattice_broker::Credentials;
use lattice_broker::env::Rng;
use lattice_broker::leaf::{Close, retry_delay};
use std::future::{Future, poll_fn};
use std::net::IpAddr;
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;
use tracing::{info, warn};

pub(super) async fn run(gateway: Arc<Gateway>, bus: Arc<dyn Bus>) {
    let rng = gateway.env.rng("gateway.retry");
    let mut driver = Driver {
        gateway: &gateway,
        bus,
        rng,
        discovered: Vec::new(),
        next: 0,
        learnt_by: 0,
        is_secured: false,
        said: None,
    };
    while driver.until_wanted().await {
        if let Some(failure) = driver.attempt().await {
            driver.failed(&failure);
            let delay = failure.retry_delay(&mut driver.rng);
            while_wanted(&gateway, gateway.env.sleep(delay)).await;
        } else {
            info!(upstream = %gateway.config.url, "upstream link closed: no longer wanted");
        }
    }
    // The broker's handle goes first: whoever waits for the end finds nothing left.
    drop(driver);
    gateway.stopped.cancel();
}

/// Of the addresses that a server has told of, so many are tried before the configured ones get their turn again.
const DISCOVERED_TRIED_MAX: usize = 8;

/// Why there is no link.
#[derive(Debug, thiserror::Error)]
enum Failure {
    /// No connection came about, or none on which the protocol could begin.
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

/// Waits for `future`, but gives it up when no link is wanted any more.
async fn while_wanted<T>(gateway: &Gateway, future: impl Future<Output = T>) -> Option<T> {
    let mut future = pin!(future);
    poll_fn(|cx| {
        let shared = &gateway.shared;
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

/// A connection, and what its server is shown.
pub(super) struct Dialled {
    pub(super) opened: Opened,
    pub(super) credentials: Credentials,
}

struct Driver<'g> {
    gateway: &'g Gateway,
    bus: Arc<dyn Bus>,
    rng: Rng,
    /// Where else the upstream's cluster listens.
    discovered: Vec<String>,
    /// The configured server that is tried first, and the one by which the others were learnt.
    next: usize,
    learnt_by: usize,
    /// A link was encrypted.
    is_secured: bool,
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

    /// Dials and runs a link to its end. `None` when it was ended from this side.
    async fn attempt(&mut self) -> Option<Failure> {
        let gateway = self.gateway;
        let dialled = match while_wanted(gateway, self.dial()).await? {
            Ok(dialled) => dialled,
            Err(failure) => return Some(failure),
        };
        match link::run(self.gateway, &*self.bus, dialled, &mut self.discovered, &mut self.said).await {
            End::Closed(close) => Some(close.into()),
            End::Unwanted => None,
        }
    }

    /// Tries each of the configured servers, from the one behind the last that was reached, then those that one has told of.
    async fn dial(&mut self) -> Result<Dialled, Failure> {
        let config = &self.gateway.config;
        let urls: Vec<&UpstreamUrl> = std::iter::once(&config.url).chain(&config.others).collect();
        let mut reasons = Vec::new();
        for at in (self.next..self.next + urls.len()).map(|at| at % urls.len()) {
            match self.dial_at(urls[at], &urls[at].host_port(), urls[at].host()).await {
                Ok(opened) => {
                    (self.next, self.learnt_by) = ((at + 1) % urls.len(), at);
                    return self.dialled(opened, urls[at]);
                }
                Err(failed) => reasons.extend(failed),
            }
        }
        let by = urls[self.learnt_by];
        let is_known = |target: &str| urls.iter().any(|url| url.host_port() == target);
        for target in self.discovered.iter().filter(|target| !is_known(target)).take(DISCOVERED_TRIED_MAX) {
            // The certificate of an address is that of the name by which it was learnt.
            let host = target.rsplit_once(':').map_or(target.as_str(), |(host, _)| host.trim_matches(['[', ']']));
            let is_bare = host.parse::<IpAddr>().is_ok() && by.host().parse::<IpAddr>().is_err();
            match self.dial_at(by, target, if is_bare { by.host() } else { host }).await {
                Ok(opened) => return self.dialled(opened, by),
                Err(failed) => reasons.extend(failed),
            }
        }
        Err(Failure::Dial(reasons.into_iter().next().unwrap_or_else(|| format!("{by} has no address"))))
    }

    /// What is shown over a connection that stands. Once it was encrypted none is made in the clear any more: who could
    /// cut it could also listen.
    fn dialled(&mut self, opened: Opened, url: &UpstreamUrl) -> Result<Dialled, Failure> {
        self.is_secured |= opened.is_encrypted;
        let Some(file) = &self.gateway.config.credentials_file else {
            return Ok(Dialled { opened, credentials: url.credentials().clone() });
        };
        let credentials = credentials_in(file).map_err(|why| Failure::Dial(format!("{}: {why}", file.display())))?;
        Ok(Dialled { opened, credentials })
    }

    /// Tries each address of `target`, whose certificate is that of `host`. `None` when it has none.
    async fn dial_at(&self, url: &UpstreamUrl, target: &str, host: &str) -> Result<Opened, Option<String>> {
        let (env, config) = (&self.gateway.env, &self.gateway.config);
        let mut reason = None;
        let looked_up = match env.timeout(config.dial_timeout, env.resolve(target)).await {
            Ok(Ok(addrs)) => Ok(addrs),
            Ok(Err(error)) => Err(error.to_string()),
            Err(elapsed) => Err(elapsed.to_string()),
        };
        let addrs = looked_up.map_err(|why| Some(format!("{target} cannot be looked up: {why}")))?;
        for addr in addrs {
            let failed = match env.timeout(config.dial_timeout, env.tcp_connect(addr)).await {
                Ok(Ok(raw)) => match open(env, raw, &config.tls, url.is_encrypted() || self.is_secured, host).await {
                    Ok(opened) => return Ok(opened),
                    Err(failure) => format!("{addr}: {failure}"),
                },
                Ok(Err(error)) => format!("{addr} cannot be reached: {error}"),
                Err(elapsed) => format!("{addr} cannot be reached: {elapsed}"),
            };
            reason.get_or_insert(failed);
        }
        Err(reason)
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
