//! What one read (or one burst of a neighbour) puts out, staged for each taker and written at its end.
//!
//! One write for each taker and batch is what makes the broker cheap. Frames are copied into the taker's stage;
//! a large payload is only noted by its place in the input and written from there. Whom a message goes to is the
//! delivery's affair, what does not fit into a socket the outbox's.

use crate::clock::Stamp;
use crate::message::Message;
use crate::neighbor::Waiting;
use crate::proto::encode;
use crate::route::{Attached, Target};
use crate::server::Client;
use crate::stats::{Counters, Traffic, add};
use crate::subscription::{Subscription, Take, Taker};
use smallvec::SmallVec;
use std::collections::HashMap;
use std::sync::Arc;

/// From this length on a payload is written from the input, without a copy.
const REFERENCE_MIN: usize = 8 << 10;
/// Bytes that a batch stages before it must be written: bounds what a large fan-out of one read takes.
const STAGED_MAX: usize = 4 << 20;
/// Stages kept for the next batch, and the capacity that they may keep together.
const STAGES_KEPT: usize = 64;
const CAPACITY_KEPT: usize = 2 << 20;
/// Up to so many stages are searched one by one.
const SEARCHED_MAX: usize = 8;

/// A message as it is written to takers: the same bytes for all of them, after each one's prefix.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Frame<'a> {
    pub(crate) message: Message<'a>,
    pub(crate) has_headers: bool,
    /// Written one after the other: `[reply ][header_len ]len CR LF body CR LF`.
    pub(crate) parts: [&'a [u8]; 3],
    /// Where the first part (which then is all) lies in the input of the batch.
    pub(crate) input_at: Option<usize>,
    /// The subject differs from the route's: prefixes must be made anew.
    pub(crate) is_renamed: bool,
}

/// Bytes for one client, in order: own ones, and pieces of the input between them.
#[derive(Debug, Default)]
pub(crate) struct Stage {
    client: Option<Arc<Client>>,
    own: Vec<u8>,
    cuts: Vec<Cut>,
    /// Messages among them.
    carried: Traffic,
    /// The subscription that was last delivered to, and messages not yet counted there.
    counted: Option<Arc<Subscription>>,
    count: u64,
    /// Capacity that was kept after the last batch.
    kept: usize,
}

/// After `own_end` own bytes comes a piece of the input.
#[derive(Clone, Copy, Debug)]
struct Cut {
    own_end: usize,
    start: usize,
    len: usize,
}

/// A taker that has more waiting for it than it should.
#[derive(Clone, Debug)]
pub(crate) enum Congested {
    Client(Arc<Client>),
    /// A neighbour, and which of its buffers.
    Neighbor(Arc<Attached>, u64),
}

#[derive(Debug, Default)]
pub(crate) struct Batch {
    /// The first belongs to the publisher itself and is written last.
    stages: Vec<Stage>,
    used: usize,
    last: usize,
    by_client: HashMap<u64, usize>,
    staged_bytes: usize,
    /// Capacity kept by all stages.
    kept: usize,
    neighbors: Vec<(Arc<Attached>, Waiting)>,
    /// Subscriptions that have had their last message.
    expired: Vec<Arc<Subscription>>,
    congested: Vec<Congested>,
    pub(crate) scratch: Vec<u8>,
    /// Positions of the picks that nobody took, of one message.
    pub(crate) untaken: SmallVec<[usize; 2]>,
    /// Messages of the publisher.
    pub(crate) published: Traffic,
    pub(crate) neighbor_out_msgs: u64,
    carried: Traffic,
    /// When it began.
    now: Stamp,
    dropped_local: u64,
    dropped_closed: u64,
}

impl Batch {
    /// Begins at `now`; `own` is the client that publishes, when it is one.
    pub(crate) fn begin(&mut self, own: Option<&Arc<Client>>, now: Stamp) {
        self.now = now;
        if self.stages.is_empty() {
            self.stages.push(Stage::default());
        }
        self.stages[0].client = own.cloned();
        self.used = 1;
        self.last = 0;
    }

    /// Sets when what is written next was sent, where that is later than the beginning.
    pub(crate) fn set_time(&mut self, now: Stamp) {
        self.now = now;
    }

    /// Where the publisher's own answers go.
    #[inline]
    pub(crate) fn own(&mut self) -> &mut Vec<u8> {
        &mut self.stages[0].own
    }

    /// True when it is time for [`Batch::write`], although the input has more.
    #[inline]
    pub(crate) fn is_full(&self) -> bool {
        self.staged_bytes > STAGED_MAX
    }

    /// Stages a message for a subscription; false when that takes no more.
    #[inline]
    pub(crate) fn give(&mut self, target: &Target, frame: &Frame<'_>) -> bool {
        let client = match &target.subscription.taker {
            Taker::Client(client) => client,
            Taker::Local(inbox) => {
                let subject = target.renamed.as_deref().unwrap_or(frame.message.subject);
                let taken = inbox.push(&Message { subject, ..frame.message });
                self.carried.msgs += u64::from(taken);
                self.dropped_local += u64::from(!taken);
                // A full in-process queue is a taker that lost a message, not a missing one.
                return true;
            }
        };
        if client.outbox.is_closed() {
            self.dropped_closed += 1;
            return false;
        }
        let is_counted = match target.subscription.take() {
            Take::Uncounted => false,
            Take::Yes => true,
            Take::Last => {
                self.expired.push(target.subscription.clone());
                true
            }
            Take::No => return false,
        };
        let at = self.stage_of(client);
        let stage = &mut self.stages[at];
        if !is_counted {
            stage.count(&target.subscription);
        }
        let before = stage.own.len();
        if let Some(reply) = frame.message.reply {
            client.note_reply(reply);
        }
        if frame.has_headers && !client.has_headers() {
            stage.put_without_headers(target, &frame.message);
        } else {
            stage.put(target, frame);
        }
        stage.carried.count(frame.message.body.len());
        self.staged_bytes += stage.own.len() - before;
        true
    }

    /// A neighbour was given something: it is told at the end of the batch.
    pub(crate) fn touch(&mut self, attached: &Arc<Attached>, waiting: Waiting) {
        match self.neighbors.iter_mut().find(|(other, _)| Arc::ptr_eq(other, attached)) {
            Some((_, fullest)) => *fullest = fullest.max(waiting),
            None => self.neighbors.push((attached.clone(), waiting)),
        }
    }

    /// Brings the counts of subscriptions up to date, which a maximum is compared with.
    pub(crate) fn settle_counts(&mut self) {
        for stage in &mut self.stages[..self.used] {
            stage.settle_count();
        }
    }

    /// Writes everything out, others first, the publisher's own bytes last. `input` is what references point to.
    pub(crate) fn write(&mut self, input: &[u8], stall_pending: usize, counters: &Counters) {
        for (attached, waiting) in self.neighbors.drain(..) {
            attached.neighbor.flush();
            if waiting.excess > 0 {
                self.congested.push(Congested::Neighbor(attached, waiting.buffer));
            }
        }
        // Before the client hears anything that follows from it: it may ask for the figures then.
        if let Some(own) = &self.stages[0].client {
            own.figures.published(self.published);
        }
        for at in (1..self.used).chain([0]) {
            self.carried += self.stages[at].carried;
            if let Some(client) = self.stages[at].write(input, stall_pending, self.now) {
                self.congested.push(Congested::Client(client));
            }
        }
        let own = self.stages[0].client.take();
        for (at, stage) in self.stages[..self.used].iter_mut().enumerate() {
            let room = if at < STAGES_KEPT { CAPACITY_KEPT.saturating_sub(self.kept - stage.kept) } else { 0 };
            self.kept -= stage.kept;
            stage.clear(room);
            self.kept += stage.kept;
        }
        self.stages.truncate(STAGES_KEPT);
        self.by_client.clear();
        self.staged_bytes = 0;
        self.begin(own.as_ref(), self.now);
        self.flush_counters(counters);
    }

    /// Ends the batch; returns who cannot keep up.
    pub(crate) fn end(&mut self) -> Vec<Congested> {
        self.stages[0].client = None;
        std::mem::take(&mut self.congested)
    }

    pub(crate) fn take_expired(&mut self) -> Vec<Arc<Subscription>> {
        std::mem::take(&mut self.expired)
    }

    /// Finds or makes the stage of a client. A fan-out comes in the same order for each message, so the stage
    /// behind the last one used is tried first.
    #[inline]
    fn stage_of(&mut self, client: &Arc<Client>) -> usize {
        let is = |stage: &Stage| stage.client.as_ref().is_some_and(|other| Arc::ptr_eq(other, client));
        let used = &self.stages[..self.used];
        if is(&used[self.last]) {
            return self.last;
        }
        let next = if self.last + 1 < used.len() { self.last + 1 } else { 1 };
        if used.get(next).is_some_and(is) {
            self.last = next;
            return next;
        }
        self.last = self.search(client);
        self.last
    }

    fn search(&mut self, client: &Arc<Client>) -> usize {
        let is = |stage: &Stage| stage.client.as_ref().is_some_and(|other| Arc::ptr_eq(other, client));
        if let Some(at) = self.stages[..self.used.min(SEARCHED_MAX)].iter().position(is) {
            return at;
        }
        if let Some(at) = self.by_client.get(&client.id) {
            return *at;
        }
        if self.used == self.stages.len() {
            self.stages.push(Stage::default());
        }
        let at = self.used;
        self.stages[at].client = Some(client.clone());
        self.used += 1;
        if at >= SEARCHED_MAX {
            self.by_client.insert(client.id, at);
        }
        at
    }

    fn flush_counters(&mut self, counters: &Counters) {
        let take = std::mem::take::<u64>;
        add(&counters.in_msgs, take(&mut self.published.msgs));
        add(&counters.in_bytes, take(&mut self.published.bytes));
        add(&counters.out_msgs, take(&mut self.carried.msgs));
        add(&counters.out_bytes, take(&mut self.carried.bytes));
        add(&counters.neighbor_out_msgs, take(&mut self.neighbor_out_msgs));
        add(&counters.drop_local_full, take(&mut self.dropped_local));
        add(&counters.drop_closed, take(&mut self.dropped_closed));
    }
}

impl Stage {
    #[inline]
    fn put(&mut self, target: &Target, frame: &Frame<'_>) {
        if frame.is_renamed {
            self.put_prefix(target, &frame.message, frame.has_headers);
        } else {
            self.own.extend_from_slice(&target.prefix[usize::from(!frame.has_headers)..]);
        }
        match frame.input_at {
            Some(start) if frame.parts[0].len() >= REFERENCE_MIN => {
                self.cuts.push(Cut { own_end: self.own.len(), start, len: frame.parts[0].len() });
            }
            Some(_) => self.own.extend_from_slice(frame.parts[0]),
            None => frame.parts.iter().for_each(|part| self.own.extend_from_slice(part)),
        }
    }

    fn put_without_headers(&mut self, target: &Target, message: &Message<'_>) {
        self.put_prefix(target, message, false);
        let bare = Message { header_len: 0, body: &message.body[message.header_len..], ..*message };
        encode::tail(&mut self.own, &bare, false);
        self.own.extend_from_slice(bare.body);
        self.own.extend_from_slice(b"\r\n");
    }

    fn put_prefix(&mut self, target: &Target, message: &Message<'_>, has_headers: bool) {
        let verb: &[u8] = if has_headers { b"HMSG " } else { b"MSG " };
        let subject = target.renamed.as_deref().unwrap_or(message.subject);
        for part in [verb, subject, b" ", &target.subscription.sid, b" "] {
            self.own.extend_from_slice(part);
        }
    }

    #[inline]
    fn count(&mut self, subscription: &Arc<Subscription>) {
        if !self.counted.as_ref().is_some_and(|counted| Arc::ptr_eq(counted, subscription)) {
            self.settle_count();
            self.counted = Some(subscription.clone());
        }
        self.count += 1;
    }

    fn settle_count(&mut self) {
        if let Some(subscription) = self.counted.take() {
            subscription.count(std::mem::take(&mut self.count));
        }
    }

    /// Writes to the client; returns it when too much is waiting there.
    fn write(&mut self, input: &[u8], stall_pending: usize, now: Stamp) -> Option<Arc<Client>> {
        self.settle_count();
        let client = self.client.as_ref()?;
        if self.own.is_empty() {
            return None;
        }
        let pending = client.outbox.send(self.parts(input), self.carried, now);
        (pending > stall_pending.min(client.outbox.pending_max() / 4 * 3)).then(|| client.clone())
    }

    fn parts<'a>(&'a self, input: &'a [u8]) -> impl Iterator<Item = &'a [u8]> + Clone {
        let starts = std::iter::once(0).chain(self.cuts.iter().map(|cut| cut.own_end));
        let between = starts
            .zip(&self.cuts)
            .flat_map(move |(start, cut)| [&self.own[start..cut.own_end], &input[cut.start..cut.start + cut.len]]);
        let rest = self.cuts.last().map_or(0, |cut| cut.own_end);
        between.chain([&self.own[rest..]]).filter(|part| !part.is_empty())
    }

    /// Makes ready for the next batch, with no more memory than `room`.
    fn clear(&mut self, room: usize) {
        self.client = None;
        self.carried = Traffic::default();
        self.cuts.clear();
        self.own.clear();
        if self.own.capacity() > room {
            self.own = Vec::new();
        }
        self.kept = self.own.capacity();
    }
}
