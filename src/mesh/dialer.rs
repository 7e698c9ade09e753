//! Dials: keeps a link to each configured peer (dial, wait until it ends, dial again, for ever), and makes single attempts
//! at other nodes.
//!
//! Which peers those are is the configuration's affair, which other nodes, `forming.rs`'s; what happens on a link once it is
//! dialled is `link.rs`'s.

use super::backoff::Backoff;
use super::forming::{Dial, Outcome, Why};
use super::link::{self, Ended};
use super::quic::{Connected, DialError, close as code};
use super::shared::{Input, Shared};
use crate::identity::NodeId;
use crate::planted::{self, Bug};
use quinn::VarInt;
use std::collections::BTreeMap;
use std::future::{Future, poll_fn};
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::Poll;
use std::time::{Duration, Instant};
use tokio::sync::oneshot;

/// After finding itself at a peer's address, a node looks again this much later: the address may come to be another's.
const SELF_PAUSE: Duration = Duration::from_secs(60);
/// Time that every attempt gets before the next one may begin: a handshake over half the world, with a packet lost.
const ANSWER_EXPECTED: Duration = Duration::from_secs(1);

/// After a peer has refused a link since it has many, it is asked again this much later.
const REFUSED_PAUSE: Duration = Duration::from_secs(10);
/// How much later than the address before it each further address of a node is dialled.
const ADDRESS_STAGGER: Duration = Duration::from_millis(250);

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
    let mut attempts = Attempts::new(&shared, &address);
    let mut known: Option<NodeId> = None;
    loop {
        if let Some(peer) = known {
            // The peer may have dialled us: one link is enough.
            if shared.links.get(&peer).is_some() {
                attempts.give_up();
            }
            shared.links.gone(&peer).await;
        }
        let mut next = shared.env.now() + backoff.wait(&mut rng);
        match attempts.next(next).await {
            Some(Ok(connected)) => {
                known = Some(connected.peer);
                attempts.give_up();
                shared.dial_problems.clear(&address);
                let ended = run(&shared, connected).await;
                if ended == Ended::AfterUp {
                    // Planted: it is taken for the end of the peer.
                    if planted::is(Bug::NeverRedials) {
                        return;
                    }
                    backoff.reset();
                }
                next = shared.env.now() + backoff.wait(&mut rng);
                if ended == Ended::Refused {
                    next += REFUSED_PAUSE;
                }
            }
            Some(Err(error)) => {
                if shared.dial_problems.note(&address, error.to_string()) {
                    tracing::warn!(address, %error, "cannot link to a peer; trying on");
                }
                if matches!(error, DialFailed::Dial(DialError::Myself { .. })) {
                    next += SELF_PAUSE;
                }
            }
            None => {}
        }
        shared.env.sleep_until(next).await;
    }
}

/// Makes one attempt at a node of which `forming.rs` wants a link, runs the link to its end, and says how it ended.
pub(super) async fn attempt(shared: Arc<Shared>, Dial { node, addresses, why }: Dial) {
    let outcome = match race(&shared, &addresses).await {
        Ok(connected) if connected.peer == node => {
            // While it was dialled, a bridge may have been made elsewhere: then every node of a part would add one.
            let enough = shared.links.count() >= shared.config.forming.links_max;
            if why == Why::Bridge && enough && shared.plane.reaches(&node) {
                connected.connection.close(VarInt::from_u32(code::DONE), b"no more links are needed");
                Outcome::Needless
            } else {
                match run(&shared, connected).await {
                    Ended::AfterUp => Outcome::WasLinked,
                    Ended::Refused if why == Why::Bridge => Outcome::Refused,
                    Ended::BeforeUp | Ended::Refused => Outcome::Failed,
                }
            }
        }
        Ok(other) => {
            // The address is another member's by now: as good a link as any, unless there is one.
            shared.tell(Input::Dialled(node, Outcome::Failed)).await;
            if shared.links.get(&other.peer).is_none() {
                run(&shared, other).await;
            }
            return;
        }
        Err(DialFailed::Dial(DialError::Revoked { .. })) => Outcome::Revoked,
        Err(error) => {
            tracing::debug!(%node, %error, "a member was not reached");
            Outcome::Failed
        }
    };
    shared.tell(Input::Dialled(node, outcome)).await;
}

/// Dials `addresses` one a little after the other; the first that answers wins.
async fn race(shared: &Shared, addresses: &[SocketAddr]) -> Result<Connected, DialFailed> {
    let dial = |(wait, addr): (u32, SocketAddr)| {
        Box::pin(async move {
            shared.env.sleep(ADDRESS_STAGGER * wait).await;
            shared.transport.dial(addr).await
        })
    };
    first((0..).zip(addresses.iter().copied()).map(dial).collect()).await
}

/// The first of `attempts` that succeeds, or how the last one failed.
async fn first<A>(mut attempts: Vec<Pin<Box<A>>>) -> Result<Connected, DialFailed>
where
    A: Future<Output = Result<Connected, DialError>>,
{
    let mut last = DialFailed::Unknown("the name has no address".into());
    poll_fn(|cx| {
        let mut index = 0;
        while index < attempts.len() {
            match attempts[index].as_mut().poll(cx) {
                Poll::Ready(Ok(connected)) => return Poll::Ready(Some(connected)),
                Poll::Ready(Err(error)) => {
                    last = DialFailed::Dial(error);
                    drop(attempts.remove(index));
                }
                Poll::Pending => index += 1,
            }
        }
        if attempts.is_empty() { Poll::Ready(None) } else { Poll::Pending }
    })
    .await
    .ok_or(last)
}

/// Runs the connection in a task of its own: when dialling stops, a link that is up still ends in peace.
async fn run(shared: &Arc<Shared>, connected: Connected) -> Ended {
    let (done, ended) = oneshot::channel();
    let task = Arc::clone(shared);
    shared.env.spawn(async move {
        // Nobody listens any more when dialling has stopped.
        let _ = done.send(link::run(&task, connected).await);
    });
    ended.await.unwrap_or(Ended::BeforeUp)
}

/// Attempts at one address: a new one at each turn, and one of those before that is given more time.
///
/// The network may come back at any moment, and an attempt that began before hears of it late: it repeats itself less and
/// less often, and one whose answers were lost goes on from the middle. On the other hand a slow link may need more time
/// than is between two attempts.
struct Attempts<'a> {
    shared: &'a Shared,
    address: &'a str,
    patient: Option<Attempt<'a>>,
}

type Attempt<'a> = Pin<Box<dyn Future<Output = Result<Connected, DialFailed>> + Send + 'a>>;

impl<'a> Attempts<'a> {
    fn new(shared: &'a Shared, address: &'a str) -> Self {
        Self { shared, address, patient: None }
    }

    /// Begins an attempt. Ready with the first connection, or when this attempt fails; else at `until`, or a little later,
    /// with how the earlier attempt has failed, if it has.
    async fn next(&mut self, until: Instant) -> Option<Result<Connected, DialFailed>> {
        let (shared, address) = (self.shared, self.address);
        let mut fresh: Attempt<'a> = Box::pin(dial(shared, address));
        let mut timer = shared.env.timer(until.max(shared.env.now() + ANSWER_EXPECTED));
        let mut failed = None;
        let ended = poll_fn(|cx| {
            match self.patient.as_mut().map(|patient| patient.as_mut().poll(cx)) {
                Some(Poll::Ready(Ok(connected))) => return Poll::Ready(Some(Ok(connected))),
                Some(Poll::Ready(Err(error))) => {
                    self.patient = None;
                    failed = Some(error);
                }
                Some(Poll::Pending) | None => {}
            }
            match fresh.as_mut().poll(cx) {
                Poll::Ready(ended) => Poll::Ready(Some(ended)),
                Poll::Pending => timer.as_mut().poll(cx).map(|()| None),
            }
        })
        .await;
        if ended.is_some() {
            return ended;
        }
        self.patient.get_or_insert(fresh);
        failed.map(Err)
    }

    /// Ends the attempt that is still under way.
    fn give_up(&mut self) {
        self.patient = None;
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
    first(addrs.iter().map(|addr| Box::pin(shared.transport.dial(*addr))).collect()).await
}

/// Why a peer was not reached.
#[derive(Debug, thiserror::Error)]
enum DialFailed {
    #[error("its name cannot be looked up: {0}")]
    Unknown(String),
    #[error(transparent)]
    Dial(DialError),
}
