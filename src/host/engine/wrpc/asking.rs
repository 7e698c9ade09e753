//! The end that calls: sends the parameters, and puts together what is returned.

use super::super::clocks::within;
use super::super::limiter::Share;
use super::inbox::{Inbox, Inboxes, Word};
use super::{ALIVE, Call, MARGIN, Refusal, SILENCE, WHY, header, headers, silence};
use crate::ports::Client;
use bytes::{Bytes, BytesMut};
use std::sync::Arc;
use std::time::Duration;

/// What a server answers for nobody.
const NO_RESPONDERS: &[u8] = b"NATS/1.0 503";
/// Where results come, below the inbox.
const RESULTS: &str = "results";
/// A host that does not say that it is alive may take so long: the caller's own time is shorter.
const PATIENCE: Duration = Duration::from_secs(3_600);

/// Calls components elsewhere.
#[derive(Debug)]
pub(super) struct Asking {
    pub(super) client: Arc<dyn Client>,
    pub(super) inboxes: Arc<Inboxes>,
    pub(super) payload_max: usize,
    pub(super) carried_max: usize,
}

impl Asking {
    /// Calls a function below `base`; what it returns, encoded, for which `share` grows.
    ///
    /// # Errors
    /// [`Refusal`].
    pub(super) async fn call(
        &self,
        call: &Call<'_>,
        base: &str,
        mut params: Bytes,
        share: &mut Share,
    ) -> Result<Bytes, Refusal> {
        let mut inbox = self.inboxes.open().ok_or(Refusal::Busy)?;
        let subject = format!("{base}.{}", call.function);
        let block =
            headers(&[("source-id", call.source), ("target-id", call.target), ("link-name", "default"), (ALIVE, "0")]);
        let chunk = self.payload_max.saturating_sub(MARGIN + block.len()).max(1);
        let head = params.split_to(params.len().min(chunk));
        let reply = Some(inbox.subject().as_bytes());
        if self.client.publish_headed(&subject, reply, &block, &head) == 0 {
            return Err(Refusal::Missing);
        }
        let alive = self.greeted(&mut inbox, head.len(), params, chunk).await?;
        self.results(&mut inbox, alive, share).await
    }

    /// Waits until somebody has taken the call, and sends the rest; whether signs of life will come.
    async fn greeted(&self, inbox: &mut Inbox, sent: usize, mut rest: Bytes, chunk: usize) -> Result<bool, Refusal> {
        let word = self.next(inbox, silence(sent)).await?;
        let greeting = &word.delivery;
        if greeting.headers.starts_with(NO_RESPONDERS) || !word.below.is_empty() {
            return Err(Refusal::Missing);
        }
        let alive = header(&greeting.headers, ALIVE).is_some();
        let to = greeting.reply.as_ref().and_then(|reply| str::from_utf8(reply).ok());
        // Ours need no end when there is nothing to be ended.
        if let Some(to) = to.filter(|_| !rest.is_empty() || !alive) {
            let to = format!("{to}.params");
            while !rest.is_empty() {
                self.client.publish(&to, None, &rest.split_to(rest.len().min(chunk)));
            }
            self.client.publish(&to, None, &[]);
        }
        Ok(alive)
    }

    async fn results(&self, inbox: &mut Inbox, alive: bool, share: &mut Share) -> Result<Bytes, Refusal> {
        let mut patience = if alive { SILENCE } else { PATIENCE };
        let mut whole = BytesMut::new();
        loop {
            let Word { below, delivery } = self.next(inbox, patience).await?;
            if below.is_empty() {
                let announced = header(&delivery.headers, ALIVE).and_then(|bytes| bytes.parse().ok());
                patience = announced.map_or(patience, |bytes: usize| silence(bytes.min(self.carried_max)));
            }
            // Streams come further below, and are of no type that is carried.
            if &*below != RESULTS {
                continue;
            }
            if !delivery.payload.is_empty() {
                share.take(delivery.payload.len() as u64).map_err(|_| Refusal::Busy)?;
                whole.extend_from_slice(&delivery.payload);
                continue;
            }
            return match header(&delivery.headers, WHY) {
                Some(why) => Err(Refusal::of_word(why)),
                None => Ok(whole.freeze()),
            };
        }
    }

    async fn next(&self, inbox: &mut Inbox, patience: Duration) -> Result<Word, Refusal> {
        let word = within(patience, inbox.next()).await.map_err(|_| Refusal::Lost)?;
        word.ok_or(Refusal::TooLong { max: self.carried_max })
    }
}
