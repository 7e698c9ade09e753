//! Keeps a link to each configured peer: dial, wait until it ends, dial again, for ever.
//!
//! Which addresses those are is the configuration's affair; what happens on a link once it is dialled is `link.rs`'s.

use super::backoff::Backoff;
use super::link::{self, Ended};
use super::quic::{Connected, DialError};
use super::shared::Shared;
use crate::identity::NodeId;
use std::collections::BTreeMap;
use std::future::Future;
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// After finding itself at a peer's address, a node looks again this much later: the address may come to be another's.
const SELF_PAUSE: Duration = Duration::from_secs(60);

/// Why each peer is not linked at present, by the address as configured.
#[derive(Debug, Default)]
pub(super) struct DialProblems(Mutex<BTreeMap<String, String>>);

impl DialProblems {
    /// The present problems, as `(address, reason)`.
    #[must_use]
    pub(super) fn list(&self) -> Vec<(String, String)> {
        self.lock().iter().map(|(address, reason)| (address.clone(), reason.clone())).collect()
    }

    /// Notes a failure; true when it is a new one, worth a line in the log.
    fn note(&self, address: &str, reason: String) -> bool {
        let before = self.lock().insert(address.to_owned(), reason.clone());
        before.as_ref() != Some(&reason)
    }

    fn clear(&self, address: &str) {
        self.lock().remove(address);
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, BTreeMap<String, String>> {
        self.0.lock().expect("no holder of this lock panics")
    }
}

/// Keeps a link to whoever answers at `address` (`host:port`), until the mesh is stopped.
pub(super) async fn keep(shared: Arc<Shared>, address: String) {
    let config = &shared.config;
    let mut backoff = Backoff::new(config.redial_min, config.redial_max);
    let mut rng = shared.env.rng(&format!("dial {address}"));
    let mut known: Option<NodeId> = None;
    loop {
        if let Some(peer) = known {
            // The peer may have dialled us: one link is enough.
            shared.links.gone(&peer).await;
        }
        match dial(&shared, &address).await {
            Ok(connected) => {
                known = Some(connected.peer);
                shared.dial_problems.clear(&address);
                if let Ended::AfterUp = link::run(&shared, connected).await {
                    backoff.reset();
                }
            }
            Err(error) => {
                if shared.dial_problems.note(&address, error.to_string()) {
                    tracing::warn!(address, %error, "cannot link to a peer; trying on");
                }
                if matches!(error, DialFailed::Dial(DialError::Myself { .. })) {
                    shared.env.sleep(SELF_PAUSE).await;
                }
            }
        }
        shared.env.sleep(backoff.wait(&mut rng)).await;
    }
}

/// Tries all addresses of `address` at the same time; the first that answers wins.
async fn dial(shared: &Shared, address: &str) -> Result<Connected, DialFailed> {
    let lookup = shared.env.timeout(shared.config.dial_timeout, shared.env.resolve(address)).await;
    let addrs = match lookup {
        Ok(Ok(addrs)) => addrs,
        Ok(Err(error)) => return Err(DialFailed::Unknown(error.to_string())),
        Err(elapsed) => return Err(DialFailed::Unknown(elapsed.to_string())),
    };
    let mut attempts: Vec<_> = addrs.iter().map(|addr| Box::pin(shared.transport.dial(*addr))).collect();
    let mut last = DialFailed::Unknown("the name has no address".into());
    std::future::poll_fn(|cx| {
        let mut index = 0;
        while index < attempts.len() {
            match attempts[index].as_mut().poll(cx) {
                std::task::Poll::Ready(Ok(connected)) => return std::task::Poll::Ready(Some(connected)),
                std::task::Poll::Ready(Err(error)) => {
                    last = DialFailed::Dial(error);
                    drop(attempts.remove(index));
                }
                std::task::Poll::Pending => index += 1,
            }
        }
        if attempts.is_empty() { std::task::Poll::Ready(None) } else { std::task::Poll::Pending }
    })
    .await
    .ok_or(last)
}

/// Why a peer was not reached.
#[derive(Debug, thiserror::Error)]
enum DialFailed {
    #[error("its name cannot be looked up: {0}")]
    Unknown(String),
    #[error(transparent)]
    Dial(DialError),
}
