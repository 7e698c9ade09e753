//! The end that calls: sends the parameters, and puts together what is returned.

use super::super::clocks::within;
use super::super::limiter::Share;
use super::inbox::{Inbox, Inboxes, Word};
use super::{ALIVE, BYTES, Call, Refusal, Room, SILENCE, WHY, header, headers, is_place, silence};
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
    pub(super) inboxes: Inboxes,
    pub(super) room: Room,
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
        let block = headers(&[
            ("source-id", call.source),
            ("target-id", call.target),
            ("link-name", "default"),
            (ALIVE, "0"),
            (BYTES, &params.len().to_string()),
        ]);
        let head = self.room.head(&mut params, block.len());
        let reply = Some(inbox.subject().as_bytes());
        if self.client.publish_headed(&subject, reply, &block, &head) == 0 {
            return Err(Refusal::Missing);
        }
        let alive = self.greeted(&mut inbox, head.len(), params).await?;
        self.results(&mut inbox, alive, share).await
    }

    /// Waits until somebody has taken the call, and sends the rest; whether signs of life will come.
    async fn greeted(&self, inbox: &mut Inbox, sent: usize, mut rest: Bytes) -> Result<bool, Refusal> {
        let Word { below, delivery } = self.next(inbox, silence(sent)).await?;
        if delivery.headers.starts_with(NO_RESPONDERS) {
            return Err(Refusal::Missing);
        }
        if !below.is_empty() {
            // The greeting is lost: what has become of the call is known only if this says it.
            return Err(header(&delivery.headers, WHY).map_or(Refusal::Lost, Refusal::of_word));
        }
        let alive = header(&delivery.headers, ALIVE).is_some();
        let to = delivery.reply.as_ref().and_then(|reply| str::from_utf8(reply).ok()).filter(|to| is_place(to));
        // Ours need no end when there is nothing to be ended.
        if let Some(to) = to.filter(|_| !rest.is_empty() || !alive) {
            let to = format!("{to}.params");
            while !rest.is_empty() {
                self.client.publish(&to, None, &self.room.part(&mut rest));
                tokio::task::yield_now().await;
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
                patience = announced.map_or(patience, |bytes: usize| silence(bytes.min(self.room.carried_max)));
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
            if let Some(why) = header(&delivery.headers, WHY) {
                return Err(Refusal::of_word(why));
            }
            // A part may have been lost on the way.
            let is_whole = header(&delivery.headers, BYTES).is_none_or(|bytes| bytes.parse() == Ok(whole.len()));
            return if is_whole { Ok(whole.freeze()) } else { Err(Refusal::Lost) };
        }
    }

    async fn next(&self, inbox: &mut Inbox, patience: Duration) -> Result<Word, Refusal> {
        let word = within(patience, inbox.next()).await.map_err(|_| Refusal::Lost)?;
        word.ok_or(Refusal::TooLong { max: self.room.carried_max })
    }
}
