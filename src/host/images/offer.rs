//! What this host keeps, offered to the others: each image to whoever asks for it, and one of those who have it answers.
//!
//! All of it is between nodes: clients of the lattice neither hear it nor can ask that way. One chunk at a time is read and given.

use super::reference::Digest;
use super::shelf::{Chunk, Shelf};
use super::wire::{Given, Gone, Part, Wanted, decode, encode, subject};
use crate::ports::{Client, Deliveries, Delivery};
use lattice_broker::env::Env;
use std::collections::BTreeMap;
use std::future::poll_fn;
use std::ops::Bound;
use std::sync::Arc;
use std::task::{Context, Poll};
use tokio_util::sync::CancellationToken;

/// Questions for one image that wait, at most. More are dropped, and asked again.
const PENDING_MAX: usize = 64;

/// Gives chunks to those who ask.
#[derive(Debug)]
pub(super) struct Offer {
    pub(super) env: Env,
    pub(super) shelf: Shelf,
    /// In the account of the nodes.
    pub(super) client: Arc<dyn Client>,
    /// Bytes of a chunk, at most.
    pub(super) chunk_max: usize,
}

/// The images that are offered, each by a subscription.
#[derive(Debug, Default)]
struct Offered {
    questions: BTreeMap<Digest, Box<dyn Deliveries>>,
    /// Which was asked for last: the others come first then.
    last: Option<Digest>,
}

impl Offer {
    pub(super) async fn run(self, stop: CancellationToken) {
        let (mut changes, mut offered) = (self.shelf.changes(), Offered::default());
        loop {
            changes.mark_unchanged();
            self.look(&mut offered).await;
            loop {
                let (digest, question) = tokio::select! {
                    biased;
                    () = stop.cancelled() => return,
                    changed = changes.changed() => match changed {
                        Ok(()) => break,
                        // Nobody is left who could change anything.
                        Err(_) => return,
                    },
                    asked = poll_fn(|cx| offered.poll_next(cx)) => asked,
                };
                if !self.answer(digest, &question).await {
                    // Somebody has removed the file: then it is offered no more.
                    break;
                }
            }
        }
    }

    /// Offers what there is now, and nothing else.
    async fn look(&self, offered: &mut Offered) {
        let shelf = self.shelf.clone();
        let kept = match self.env.work(move || shelf.list()).await {
            Some(Ok(kept)) => kept,
            Some(Err(error)) => return tracing::warn!(%error, "images are not offered to other hosts"),
            None => return,
        };
        offered.questions.retain(|digest, _| kept.iter().any(|kept| kept.digest == *digest));
        for digest in kept.iter().map(|kept| kept.digest) {
            if offered.questions.contains_key(&digest) {
                continue;
            }
            let subject = subject(digest);
            match self.client.subscribe(&subject, Some(&subject), PENDING_MAX) {
                Ok(questions) => drop(offered.questions.insert(digest, questions)),
                Err(error) => tracing::warn!(image = %digest, %error, "not offered to other hosts"),
            }
        }
    }

    /// Gives what is asked for. False when the image is not there any more.
    async fn answer(&self, digest: Digest, question: &Delivery) -> bool {
        let (Some(reply), Some(Wanted { offset, len })) = (&question.reply, decode(&question.payload)) else {
            return true;
        };
        let (shelf, len) = (self.shelf.clone(), (len as usize).min(self.chunk_max));
        let given: Given = match self.env.work(move || shelf.read(digest, offset, len)).await {
            Some(Ok(Some(Chunk { size, bytes }))) => Ok(Part { size, offset, bytes }),
            Some(Ok(None)) | None => Err(Gone),
            Some(Err(error)) => {
                tracing::warn!(image = %digest, %error, "an image is not given to another host");
                Err(Gone)
            }
        };
        self.client.publish(&String::from_utf8_lossy(reply), None, &encode(&given));
        given.is_ok()
    }
}

impl Offered {
    fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<(Digest, Delivery)> {
        let after = self.last.map_or(Bound::Unbounded, Bound::Excluded);
        let until = self.last.map_or(Bound::Unbounded, Bound::Included);
        for (digest, questions) in self.questions.range_mut((after, Bound::Unbounded)) {
            if let Poll::Ready(question) = questions.poll_next(cx) {
                self.last = Some(*digest);
                return Poll::Ready((*digest, question));
            }
        }
        for (digest, questions) in self.questions.range_mut((Bound::Unbounded, until)) {
            if let Poll::Ready(question) = questions.poll_next(cx) {
                self.last = Some(*digest);
                return Poll::Ready((*digest, question));
            }
        }
        Poll::Pending
    }
}
