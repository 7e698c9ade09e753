//! The end that is called: takes calls from the lattice, has a component carry them out, and sends what it returns.

use super::super::component::Shared;
use super::super::invoke::Invocation;
use super::super::limiter::Share;
use super::super::live::Live;
use super::super::values::{self, Fault};
use super::inbox::Inbox;
use super::{ALIVE, BYTES, Calls, Refusal, WHY, WORKING, header, headers, is_place};
use crate::ports::Delivery;
use bytes::{Bytes, BytesMut};
use std::pin::pin;
use std::sync::Arc;
use tokio::sync::oneshot;

/// Where further parameters come, below the inbox.
const PARAMS: &str = "params";
/// From how many bytes on what is returned is announced.
const LONG: usize = 16 << 10;
/// How many bytes are looked through on the node's own threads.
const SHORT: usize = 4 << 10;

/// An interface of a component that others call.
#[derive(Debug)]
pub(in crate::host::engine) struct Serving {
    calls: Arc<Calls>,
    interface: Arc<str>,
    /// Bytes of a subject before the function's name.
    skip: usize,
}

/// A call as it has come, without what is not needed any more.
struct Asked {
    rx: String,
    function: Arc<str>,
    /// Whether signs of life are wanted.
    alive: bool,
    /// How many bytes the parameters have, if that is said.
    bytes: Option<usize>,
    head: Bytes,
}

impl Serving {
    /// For calls that come to `subject`, as [`Calls::place`] says it.
    pub(in crate::host::engine) fn new(calls: &Arc<Calls>, interface: &str, subject: &str) -> Self {
        Self { calls: Arc::clone(calls), interface: interface.into(), skip: subject.len() - 1 }
    }

    /// Carries out one call, and answers it.
    pub(in crate::host::engine) async fn answer(self: Arc<Self>, shared: Arc<Shared>, call: Delivery) {
        let Some(asked) = self.take_apart(call) else { return };
        let env = shared.live().env.clone();
        let mut working = pin!(self.work(&shared, &asked));
        let outcome = loop {
            let outcome = tokio::select! {
                biased;
                () = shared.stopped() => Ok(Err(Refusal::Busy)),
                outcome = env.timeout(WORKING, &mut working) => outcome,
            };
            match outcome {
                Ok(outcome) => break outcome,
                Err(_) if asked.alive => self.say(&asked.rx, (ALIVE, "0")),
                Err(_) => {}
            }
        };
        self.reply(&asked, outcome).await;
    }

    fn take_apart(&self, call: Delivery) -> Option<Asked> {
        let rx = str::from_utf8(call.reply.as_ref()?).ok().filter(|rx| is_place(rx))?.to_owned();
        let function = str::from_utf8(call.subject.get(self.skip..)?).ok()?.into();
        let alive = header(&call.headers, ALIVE).is_some();
        let bytes = header(&call.headers, BYTES).and_then(|bytes| bytes.parse().ok());
        // It shares its memory with the headers, which then would stay, uncounted, for as long as it waits.
        let head = if call.headers.is_empty() { call.payload } else { Bytes::copy_from_slice(&call.payload) };
        Some(Asked { rx, function, alive, bytes, head })
    }

    async fn work(&self, shared: &Arc<Shared>, asked: &Asked) -> Result<Bytes, Refusal> {
        let live = shared.live();
        let more = self.is_short(&live, asked).await.then(|| self.calls.inboxes.open());
        let inbox = more.as_ref().and_then(Option::as_ref);
        let tx = inbox.map_or_else(|| self.calls.inboxes.nowhere(), |inbox| inbox.subject().to_owned());
        let block = if asked.alive { headers(&[(ALIVE, "0")]) } else { Vec::new() };
        self.calls.client.publish_headed(&asked.rx, Some(tx.as_bytes()), &block, &[]);
        if live.code.exports.get(&self.interface, &asked.function).is_none() {
            return Err(Refusal::NoFunction);
        }
        let (params, share) = match more {
            None => (asked.head.clone(), None),
            Some(inbox) => {
                let rest = self.rest(&live, inbox.ok_or(Refusal::Busy)?, asked);
                let (params, share) = tokio::select! {
                    biased;
                    () = shared.closing() => Err(Refusal::Busy),
                    rest = live.env.timeout(live.allowed.call, rest) => rest.map_err(|_| Refusal::Values(Fault::Short))?,
                }?;
                (params, Some(share))
            }
        };
        let (env, patience) = (live.env.clone(), live.allowed.call + live.bounds.http_wait);
        drop(live);
        let (answer, answered) = oneshot::channel();
        let (interface, function) = (Arc::clone(&self.interface), Arc::clone(&asked.function));
        shared.invoke(Invocation { interface, function, params, share, answer });
        match env.timeout(patience, answered).await {
            Ok(Ok(answer)) => answer,
            // It found no room, or its turn had not come when the component was stopped.
            Ok(Err(_)) => Err(Refusal::Busy),
            Err(_) => Err(Refusal::Late),
        }
    }

    /// Whether parameters are missing yet.
    async fn is_short(&self, live: &Arc<Live>, asked: &Asked) -> bool {
        if let Some(bytes) = asked.bytes {
            return asked.head.len() < bytes;
        }
        let look = {
            let (live, interface) = (Arc::clone(live), Arc::clone(&self.interface));
            let (function, head) = (Arc::clone(&asked.function), asked.head.clone());
            move || {
                let export = live.code.exports.get(&interface, &function);
                let max = live.bounds.values_bytes_max;
                export.is_some_and(|export| values::measure(&export.signature.params, &head, max) == Err(Fault::Short))
            }
        };
        if asked.head.len() <= SHORT {
            return look();
        }
        let (done, looked) = oneshot::channel();
        live.machine.spawn(async move {
            // An error says that nobody waits any more.
            done.send(look()).ok();
        });
        looked.await.unwrap_or_default()
    }

    /// Puts the parameters together, until an empty message ends them.
    async fn rest(&self, live: &Live, mut inbox: Inbox, asked: &Asked) -> Result<(Bytes, Share), Refusal> {
        let mut share = Share::of(&live.budget);
        let mut whole = BytesMut::from(&*asked.head);
        share.take(whole.len() as u64).map_err(|_| Refusal::Busy)?;
        loop {
            let word = inbox.next().await.ok_or(Refusal::TooLong { max: self.calls.room.carried_max })?;
            if &*word.below != PARAMS {
                continue;
            }
            if word.delivery.payload.is_empty() {
                let is_whole = asked.bytes.is_none_or(|bytes| bytes == whole.len());
                return if is_whole { Ok((whole.freeze(), share)) } else { Err(Refusal::Values(Fault::Short)) };
            }
            share.take(word.delivery.payload.len() as u64).map_err(|_| Refusal::Busy)?;
            whole.extend_from_slice(&word.delivery.payload);
        }
    }

    async fn reply(&self, asked: &Asked, outcome: Result<Bytes, Refusal>) {
        let to = format!("{}.results", asked.rx);
        match outcome {
            Ok(mut answer) => {
                let bytes = answer.len().to_string();
                if asked.alive && answer.len() > LONG {
                    self.say(&asked.rx, (ALIVE, &bytes));
                }
                while !answer.is_empty() {
                    self.calls.client.publish(&to, None, &self.calls.room.part(&mut answer));
                    tokio::task::yield_now().await;
                }
                self.say(&to, (BYTES, &bytes));
            }
            Err(refusal) => self.say(&to, (WHY, refusal.word())),
        }
    }

    /// Publishes an empty message with a header.
    fn say(&self, to: &str, header: (&str, &str)) {
        self.calls.client.publish_headed(to, None, &headers(&[header]), &[]);
    }
}
