//! The end that is called: takes calls from the lattice, has a component carry them out, and sends what it returns.

use super::super::component::Shared;
use super::super::functions::Export;
use super::super::invoke::Invocation;
use super::super::limiter::Share;
use super::super::live::Live;
use super::super::values::{self, Fault};
use super::inbox::Inbox;
use super::{ALIVE, Calls, MARGIN, Refusal, WHY, WORKING, header, headers, silence};
use crate::ports::{Client, Delivery};
use bytes::{Bytes, BytesMut};
use std::pin::pin;
use std::sync::Arc;
use tokio::sync::oneshot;

/// Where further parameters come, below the inbox.
const PARAMS: &str = "params";
/// From how many bytes on what is returned is announced.
const LONG: usize = 16 << 10;

/// An interface of a component that others call.
#[derive(Debug)]
pub(in crate::host::engine) struct Serving {
    calls: Arc<Calls>,
    interface: Arc<str>,
    /// Bytes of a subject before the function's name.
    skip: usize,
}

impl Serving {
    /// For calls that come to `subject`, as [`Calls::place`] says it.
    pub(in crate::host::engine) fn new(calls: &Arc<Calls>, interface: &str, subject: &str) -> Self {
        Self { calls: Arc::clone(calls), interface: interface.into(), skip: subject.len() - 1 }
    }

    /// Carries out one call, and answers it.
    pub(in crate::host::engine) async fn answer(self: Arc<Self>, shared: Arc<Shared>, call: Delivery) {
        let Some(rx) = call.reply.as_ref().and_then(|reply| str::from_utf8(reply).ok()) else { return };
        let alive = header(&call.headers, ALIVE).is_some();
        let env = shared.live().env.clone();
        let mut working = pin!(self.work(&shared, &call, rx, alive));
        let outcome = loop {
            match env.timeout(WORKING, &mut working).await {
                Ok(outcome) => break outcome,
                Err(_) if alive => drop(self.client().publish_headed(rx, None, &headers(&[(ALIVE, "0")]), &[])),
                Err(_) => {}
            }
        };
        self.reply(rx, alive, outcome);
    }

    async fn work(&self, shared: &Arc<Shared>, call: &Delivery, rx: &str, alive: bool) -> Result<Bytes, Refusal> {
        let function = call.subject.get(self.skip..).and_then(|name| str::from_utf8(name).ok()).unwrap_or_default();
        let live = shared.live();
        let export = live.code.exports.get(&self.interface, function);
        let is_short = |export: &&Export| {
            let measured = values::measure(&export.signature.params, &call.payload, live.bounds.values_bytes_max);
            measured == Err(Fault::Short)
        };
        // Whose parameters are all here needs no ear.
        let more = match export.filter(is_short) {
            Some(_) => Some(self.calls.inboxes.open().ok_or(Refusal::Busy)?),
            None => None,
        };
        let tx = more.as_ref().map_or_else(|| self.calls.inboxes.nowhere(), |inbox| inbox.subject().to_owned());
        let block = if alive { headers(&[(ALIVE, "0")]) } else { Vec::new() };
        self.client().publish_headed(rx, Some(tx.as_bytes()), &block, &[]);
        if export.is_none() {
            return Err(Refusal::NoFunction);
        }
        let params = match more {
            Some(inbox) => self.rest(&live, inbox, &call.payload).await?,
            // It shares its memory with the headers, which would wait with it.
            None => Bytes::copy_from_slice(&call.payload),
        };
        drop(live);
        let (answer, answered) = oneshot::channel();
        let interface = Arc::clone(&self.interface);
        shared.invoke(Invocation { interface, function: function.into(), params, answer });
        // It found no room, or its turn had not come when the component was stopped.
        answered.await.unwrap_or(Err(Refusal::Busy))
    }

    /// Puts the parameters together, until an empty message ends them.
    async fn rest(&self, live: &Live, mut inbox: Inbox, head: &[u8]) -> Result<Bytes, Refusal> {
        let mut share = Share::of(&live.budget);
        let mut whole = BytesMut::from(head);
        share.take(head.len() as u64).map_err(|_| Refusal::Busy)?;
        let patience = silence(self.calls.payload_max);
        loop {
            let word = live.env.timeout(patience, inbox.next()).await.map_err(|_| Refusal::Values(Fault::Short))?;
            let word = word.ok_or(Refusal::TooLong { max: self.calls.asking.carried_max })?;
            if &*word.below != PARAMS {
                continue;
            }
            if word.delivery.payload.is_empty() {
                return Ok(whole.freeze());
            }
            share.take(word.delivery.payload.len() as u64).map_err(|_| Refusal::Busy)?;
            whole.extend_from_slice(&word.delivery.payload);
        }
    }

    fn reply(&self, rx: &str, alive: bool, outcome: Result<Bytes, Refusal>) {
        let to = format!("{rx}.results");
        let chunk = self.calls.payload_max.saturating_sub(MARGIN).max(1);
        match outcome {
            Ok(mut answer) => {
                if alive && answer.len() > LONG {
                    self.client().publish_headed(rx, None, &headers(&[(ALIVE, &answer.len().to_string())]), &[]);
                }
                while !answer.is_empty() {
                    self.client().publish(&to, None, &answer.split_to(answer.len().min(chunk)));
                }
                self.client().publish(&to, None, &[]);
            }
            Err(refusal) => {
                self.client().publish_headed(&to, None, &headers(&[(WHY, refusal.word())]), &[]);
            }
        }
    }

    fn client(&self) -> &dyn Client {
        &*self.calls.asking.client
    }
}
