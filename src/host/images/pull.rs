//! Has an image that others keep come to this host: chunk by chunk, of whoever has it, until it is whole.
//!
//! One chunk of an image is asked for at a time, of any of the hosts that have it, so that one which goes meanwhile is no loss. What
//! arrives takes the way of what clients send (`shelf.rs`), and is nothing before it is what its digest says. Whoever wants an
//! image that is on its way already waits for that.

use super::reference::Digest;
use super::shelf::{Shelf, ShelfError};
use super::wire::{Given, Part, Wanted, decode, encode, subject};
use crate::ports::{BadInterest, Client, Deliveries};
use lattice_broker::env::{Env, Rng};
use rand_core::Rng as _;
use std::collections::BTreeMap;
use std::future::poll_fn;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;
use tokio::sync::{Semaphore, watch};
use tokio_util::sync::CancellationToken;

/// Images that are fetched at a time, at most. More wait.
const PULLS_MAX: usize = 4;
/// How long a chunk is waited for.
const ANSWER: Duration = Duration::from_secs(5);
/// How often a chunk is asked for.
const TRIES: u32 = 6;
/// How long until it is asked for again when nobody has the image, and twice as long each time: news of who has it travels.
const PAUSE: Duration = Duration::from_millis(100);
/// How long an image may take.
const PATIENCE: Duration = Duration::from_secs(30 * 60);
/// How often an image is fetched that turns out to be another one: the next time it is perhaps another host that gives it.
const ROUNDS: u32 = 3;
/// What is asked for at least, when a chunk was late: the line may be thin.
const CHUNK_MIN: usize = 8 << 10;
/// Answers of one image that wait until they are looked at.
const PENDING_MAX: usize = 8;

/// An image is not here.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PullError {
    /// Nobody has it.
    #[error("no host that can be reached has image {digest}: lattice push it again")]
    Missing {
        /// Which.
        digest: Digest,
    },
    /// Whoever has it does not answer.
    #[error("the hosts that have image {digest} do not give it in time: ask again when they can be reached better")]
    Late {
        /// Which.
        digest: Digest,
    },
    /// It cannot be kept.
    #[error(transparent)]
    Shelf(#[from] ShelfError),
    /// Answers cannot be listened for.
    #[error(transparent)]
    Subject(#[from] BadInterest),
    /// The host stops, or has failed at it.
    #[error("image {digest} is not fetched: the host stops")]
    Stopping {
        /// Which.
        digest: Digest,
    },
}

type Outcome = Option<Result<(), PullError>>;

/// The images that are on their way.
#[derive(Debug)]
pub(super) struct Pulls {
    env: Env,
    shelf: Shelf,
    client: Arc<dyn Client>,
    chunk_max: usize,
    turns: Semaphore,
    state: Mutex<State>,
    stop: CancellationToken,
}

#[derive(Debug)]
struct State {
    under_way: BTreeMap<Digest, watch::Receiver<Outcome>>,
    /// Who answers one question must not be able to answer another.
    unguessable: Rng,
}

/// What one image is asked for by.
struct Question {
    digest: Digest,
    inbox: String,
    answers: Box<dyn Deliveries>,
    /// Bytes that are asked for at a time.
    len: usize,
}

impl Pulls {
    /// Over `client`, in the account of the nodes; chunks have `chunk_max` bytes at most.
    pub(super) fn new(
        env: Env,
        shelf: Shelf,
        client: Arc<dyn Client>,
        chunk_max: usize,
        stop: CancellationToken,
    ) -> Self {
        let state = Mutex::new(State { under_way: BTreeMap::new(), unguessable: env.rng("images between hosts") });
        Self { env, shelf, client, chunk_max, turns: Semaphore::new(PULLS_MAX), state, stop }
    }

    /// Ready when image `digest` is on the shelf. Dropping the future leaves the image on its way.
    ///
    /// # Errors
    /// [`PullError`].
    pub(super) async fn obtain(self: &Arc<Self>, digest: Digest) -> Result<(), PullError> {
        if self.on_disk(move |shelf| shelf.size(digest)).await.flatten().is_some() {
            return Ok(());
        }
        let mut outcome = self.under_way(digest);
        let done = outcome.wait_for(Option::is_some).await;
        // An error says that the task is gone.
        done.ok().and_then(|done| done.clone()).unwrap_or(Err(PullError::Stopping { digest }))
    }

    /// The pull of that image, begun if it was not yet.
    fn under_way(self: &Arc<Self>, digest: Digest) -> watch::Receiver<Outcome> {
        let mut state = self.state();
        if let Some(outcome) = state.under_way.get(&digest) {
            return outcome.clone();
        }
        let (done, outcome) = watch::channel(None);
        state.under_way.insert(digest, outcome.clone());
        let pulls = Arc::clone(self);
        self.env.spawn(async move {
            let result = tokio::select! {
                biased;
                () = pulls.stop.cancelled() => Err(PullError::Stopping { digest }),
                result = pulls.pull(digest) => result,
            };
            pulls.state().under_way.remove(&digest);
            done.send_replace(Some(result));
        });
        outcome
    }

    async fn pull(&self, digest: Digest) -> Result<(), PullError> {
        // It is never closed.
        let _turn = self.turns.acquire().await;
        let fetched = self.env.timeout(PATIENCE, async {
            for _ in 1..ROUNDS {
                match self.fetch(digest).await {
                    Err(PullError::Shelf(error @ ShelfError::Other { .. })) => {
                        tracing::warn!(image = %digest, %error, "fetched in vain");
                    }
                    result => return result,
                }
            }
            self.fetch(digest).await
        });
        fetched.await.unwrap_or(Err(PullError::Late { digest }))?;
        tracing::info!(image = %digest, "image fetched of other hosts");
        Ok(())
    }

    async fn fetch(&self, digest: Digest) -> Result<(), PullError> {
        let inbox = self.inbox();
        let answers = self.client.subscribe(&inbox, None, PENDING_MAX)?;
        let mut question = Question { digest, inbox, answers, len: self.chunk_max };
        let mut have = 0;
        loop {
            let Part { size, bytes, .. } = self.part(&mut question, have).await?;
            let put = self.on_disk(move |shelf| shelf.put(digest, size, have, &bytes)).await;
            let progress = put.ok_or(PullError::Stopping { digest })??;
            if progress.done {
                return Ok(());
            }
            have = progress.have;
        }
    }

    /// The bytes at `offset`, of whoever has them.
    async fn part(&self, question: &mut Question, offset: u64) -> Result<Part, PullError> {
        let digest = question.digest;
        let mut error = PullError::Missing { digest };
        for attempt in 0..TRIES {
            let wanted = Wanted { offset, len: u32::try_from(question.len).unwrap_or(u32::MAX) };
            let takers = self.client.publish(&subject(digest), Some(question.inbox.as_bytes()), &encode(&wanted));
            let answer = match takers {
                0 => Ok(None),
                _ => self.env.timeout(ANSWER, question.answer(offset)).await,
            };
            match answer {
                Ok(Some(part)) => return Ok(part),
                Ok(None) => {
                    error = PullError::Missing { digest };
                    if attempt + 1 < TRIES {
                        self.env.sleep(PAUSE * (1 << attempt)).await;
                    }
                }
                Err(_) => {
                    error = PullError::Late { digest };
                    question.len = (question.len / 2).max(CHUNK_MIN).min(self.chunk_max);
                }
            }
        }
        Err(error)
    }

    /// Does what waits for the disk; `None` when that has panicked.
    async fn on_disk<T: Send + 'static>(&self, work: impl FnOnce(&Shelf) -> T + Send + 'static) -> Option<T> {
        let shelf = self.shelf.clone();
        self.env.work(move || work(&shelf)).await
    }

    fn inbox(&self) -> String {
        let mut bytes = [0; 16];
        self.state().unguessable.fill_bytes(&mut bytes);
        format!("_INBOX.{}.image", data_encoding::BASE32_NOPAD.encode(&bytes))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("no holder of this lock panics")
    }
}

impl Question {
    /// The bytes at `offset`, also by an answer that was late; `None` when whoever was asked has nothing.
    async fn answer(&mut self, offset: u64) -> Option<Part> {
        loop {
            let answer = poll_fn(|cx| self.answers.poll_next(cx)).await;
            // The one taker has gone in the meantime: then an answer without anything in it says so.
            if answer.payload.is_empty() {
                return None;
            }
            match decode::<Given>(&answer.payload) {
                Some(Ok(part)) if part.offset == offset && !part.bytes.is_empty() => return Some(part),
                Some(Err(_gone)) => return None,
                // An earlier question's, which had its answer; or nonsense.
                Some(Ok(_)) | None => {}
            }
        }
    }
}
