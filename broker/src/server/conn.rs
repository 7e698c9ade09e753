//! One client connection's task: reads, steps the session, stages what follows from it, and writes.
//!
//! ```text
//! Running ──error, EOF, drain──► Closing (write what waits, say no more) ──► gone
//! ```
//!
//! The read buffer and the stages are the thread's (`bench.rs`). How a connection is forgotten is left to `conn/leaving.rs`.

mod leaving;

use super::bench::{Bench, READ_BUFFER, with_bench};
use super::callout;
use super::client::Client;
use super::newcomer::Newcomer;
use super::place::Place;
use super::stall::Stall;
use crate::account::Account;
use crate::auth::{CalloutCheck, ClientTls, Identity, SlowCheck};
use crate::batch::Batch;
use crate::config::Config;
use crate::delivery::{Dice, Job, Origin, deliver};
use crate::env::{Stream, Timer, is_passing};
use crate::hub::Hub;
use crate::mappings::Mappings;
use crate::message::{Groups, Message};
use crate::proto::{Step, encode, parse};
use crate::route::RouteCache;
use crate::session::{Action, News, Session, Terms};
use crate::stats::{CloseReason, add, sub};
use crate::subject::Filter;
use crate::subscription::{Subscription, Taker};
use crate::system::{self, Asker, Said, events};
use crate::trace::Traced;
use std::future::{Future, poll_fn};
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};
use tokio::sync::oneshot;

/// An operation that needs more is put together outside the shared buffer.
const ASSEMBLED_MIN: usize = READ_BUFFER / 2;
/// A read of less means that the bytes trickle in; then putting together begins at this length already, as the
/// start of an operation would otherwise be moved with every read.
const TRICKLE_MAX: usize = 16 << 10;
/// Reads before other tasks get their turn.
const READS_MAX: usize = 8;
/// What a closing connection waits for its peer to have read the reason.
const LINGER: Duration = Duration::from_secs(1);

#[derive(Debug)]
enum Phase {
    Running,
    /// Nothing more is taken; what waits is written until then.
    Closing {
        reason: CloseReason,
        until: Instant,
        is_shut: bool,
    },
}

pub(super) struct Conn {
    hub: Arc<Hub>,
    /// The settings that it goes by.
    config: Arc<Config>,
    stream: Arc<dyn Stream>,
    client: Arc<Client>,
    account: Arc<Account>,
    place: Place,
    /// What its messages are sent to instead.
    mappings: Option<Arc<Mappings>>,
    /// The account counts this connection: after its CONNECT.
    is_counted: bool,
    session: Session<Arc<Subscription>>,
    /// What a comparison that takes long, or a service, comes to; nothing is read or handled before.
    checking: Option<oneshot::Receiver<Option<Arc<Identity>>>>,
    routes: RouteCache,
    dice: Dice,
    /// Its number among those who publish; 0 before it has published anything.
    flow: u64,
    /// The start of an operation whose rest has not arrived, and the bytes that it needs at least.
    partial: Vec<u8>,
    need: usize,
    is_trickling: bool,
    phase: Phase,
    stall: Option<Box<Stall>>,
    /// Bytes written when last looked at, and since when nothing has moved.
    progress: Option<(u64, Instant)>,
    timer: Pin<Box<dyn Timer>>,
    armed: Instant,
    waker: Option<Waker>,
}

/// Serves a connection until it ends.
pub(super) async fn run(mut conn: Conn) {
    let reason = poll_fn(|cx| conn.poll(cx)).await;
    conn.end(reason).await;
}

/// Makes a client known, and has it learn what has changed since its session was made of these.
fn enter(hub: &Hub, client: &Arc<Client>, terms: &Arc<Terms>, news: &Arc<News>) {
    hub.enter(client);
    // What changed before it was there to be told.
    if !Arc::ptr_eq(terms, &hub.terms()) {
        client.revise();
    }
    if !Arc::ptr_eq(news, &hub.news()) {
        client.tell_news();
    }
    if hub.stopping.is_cancelled() {
        client.drain();
    }
}

impl Conn {
    /// A connection that goes on over `stream`; what it is owed of a greeting is written.
    pub(super) fn new(hub: &Arc<Hub>, stream: Arc<dyn Stream>, newcomer: Newcomer) -> Self {
        let Newcomer { id, session, figures, greeting, place, terms, news } = newcomer;
        let stream = Traced::over(stream, hub.config.tracer.as_ref(), "cid", id);
        let client = Arc::new(Client::new(id, stream.clone(), hub.live().max_pending, figures));
        enter(hub, &client, &terms, &news);
        client.set_manners(&hub.env, session.identity(), session.replies());
        let account = hub.account(session.identity().account.as_bytes());
        let account = account.unwrap_or_else(|| hub.global_account().clone());
        client.outbox.say(std::iter::once(&greeting[..]));
        let armed = session.poll_timeout();
        Self {
            hub: hub.clone(),
            config: hub.live(),
            stream,
            client,
            mappings: account.mappings(),
            account,
            place,
            is_counted: false,
            session,
            checking: None,
            routes: RouteCache::default(),
            dice: hub.dice(),
            flow: 0,
            partial: Vec::new(),
            need: 0,
            is_trickling: false,
            phase: Phase::Running,
            stall: None,
            progress: None,
            timer: hub.env.timer(armed),
            armed,
            waker: None,
        }
    }

    /// The same connection, which is closed as there are too many.
    #[must_use]
    pub(super) fn refused(mut self) -> Self {
        let mut out = Vec::new();
        let action = self.session.refuse(&mut out);
        self.client.outbox.say(std::iter::once(&out[..]));
        self.close_if(&action, self.hub.env.now());
        self
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<CloseReason> {
        if !self.waker.as_ref().is_some_and(|waker| waker.will_wake(cx.waker())) {
            self.client.outbox.set_owner(cx.waker());
            self.waker = Some(cx.waker().clone());
            let _ = self.timer.as_mut().poll(cx);
        }
        let now = self.hub.env.now();
        self.write_pending(cx, now);
        if let Some(reason) = self.client.outbox.end_reason() {
            return Poll::Ready(reason);
        }
        if now >= self.session.poll_timeout() {
            self.tick(now);
        }
        if self.client.take_has_news() && matches!(self.phase, Phase::Running) {
            self.hear_news();
        }
        if self.client.take_revise() && matches!(self.phase, Phase::Running) {
            self.revise(now);
        }
        if self.client.is_draining() && matches!(self.phase, Phase::Running) {
            self.session.drain();
            let is_kicked = self.client.is_kicked();
            self.close(if is_kicked { CloseReason::Kicked } else { CloseReason::ServerShutdown }, now);
        }
        let ended = match self.phase {
            Phase::Running => self.poll_input(cx, now),
            Phase::Closing { .. } => Poll::Pending,
        };
        let ended = match self.phase {
            Phase::Running => ended,
            Phase::Closing { .. } => self.poll_closing(cx, now),
        };
        if ended.is_pending() {
            self.arm(cx, now);
        }
        ended
    }

    /// Writes what waits, and notices when the client does not read.
    fn write_pending(&mut self, cx: &mut Context<'_>, now: Instant) {
        let mut pending = self.client.outbox.pending();
        while pending > 0 {
            match self.stream.poll_write_ready(cx) {
                Poll::Pending => break,
                Poll::Ready(Ok(())) => pending = self.client.outbox.flush(),
                Poll::Ready(Err(_)) => {
                    self.client.outbox.close(CloseReason::WriteError);
                    return;
                }
            }
        }
        if pending == 0 {
            self.progress = None;
            return;
        }
        let written = self.client.outbox.written();
        match self.progress {
            Some((before, since)) if before == written => {
                if now >= since + self.config.write_deadline {
                    self.client.outbox.close(CloseReason::SlowConsumerWriteDeadline);
                }
            }
            Some(_) | None => self.progress = Some((written, now)),
        }
    }

    fn tick(&mut self, now: Instant) {
        let mut out = Vec::new();
        let jitter = self.dice.roll();
        let action = self.session.tick(now, jitter, &mut out);
        if !out.is_empty() {
            self.client.outbox.say(std::iter::once(&out[..]));
        }
        self.close_if(&action, now);
    }

    fn hear_news(&mut self) {
        let mut out = Vec::new();
        let mut news = self.hub.news();
        if self.client.is_lame() {
            Arc::make_mut(&mut news).is_lame = true;
        }
        self.session.hear(news, &mut out);
        if !out.is_empty() {
            self.client.outbox.say(std::iter::once(&out[..]));
        }
    }

    /// Goes by the terms that the hub has now.
    fn revise(&mut self, now: Instant) {
        let mut out = Vec::new();
        self.config = self.hub.live();
        self.mappings = self.account.mappings();
        let (wall, terms) = (self.hub.env.wall(), self.hub.terms());
        let action = self.session.revise(now, wall, terms, |entry| (&entry.filter, entry.queue.as_deref()), &mut out);
        if !out.is_empty() {
            self.client.outbox.say(std::iter::once(&out[..]));
        }
        if let Action::Revised(ended) = &action {
            ended.iter().for_each(|subscription| self.remove(subscription));
            self.client.set_manners(&self.hub.env, self.session.identity(), self.session.replies());
            // What is kept from the client is worked out with the routes.
            self.account.invalidate();
        }
        self.close_if(&action, now);
    }

    fn poll_input(&mut self, cx: &mut Context<'_>, now: Instant) -> Poll<CloseReason> {
        for (sid, id) in self.client.take_expired() {
            self.session.expired(&sid, |subscription| subscription.id == id);
        }
        if self.poll_checking(cx, now).is_pending() {
            return Poll::Pending;
        }
        for _ in 0..READS_MAX {
            if let Some(stall) = &mut self.stall {
                if stall.poll(now, false, cx.waker()).is_pending() {
                    return Poll::Pending;
                }
                self.stall = None;
            }
            match self.stream.poll_read_ready(cx) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(Err(_)) => return Poll::Ready(CloseReason::ReadError),
                Poll::Ready(Ok(())) => {}
            }
            match self.read(now) {
                Ok(0) => return Poll::Ready(CloseReason::ClientClosed),
                Ok(_) => {}
                Err(error) if is_passing(&error) => {}
                Err(_) => return Poll::Ready(CloseReason::ReadError),
            }
            if !matches!(self.phase, Phase::Running) || self.client.outbox.is_closed() || self.checking.is_some() {
                // What follows is decided when this task runs again.
                break;
            }
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    /// Waits for what a comparison comes to, and then goes on with what was read before.
    fn poll_checking(&mut self, cx: &mut Context<'_>, now: Instant) -> Poll<()> {
        let Some(checking) = &mut self.checking else {
            return Poll::Ready(());
        };
        let Poll::Ready(result) = Pin::new(checking).poll(cx) else {
            return Poll::Pending;
        };
        self.checking = None;
        let input = std::mem::take(&mut self.partial);
        with_bench(|bench| {
            let batch = &mut bench.batch;
            batch.begin(Some(&self.client), self.hub.clock.stamp(now));
            let action = self.session.verified(now, self.hub.env.wall(), result.ok().flatten(), batch.own());
            self.act(action, &[], batch, now);
            batch.write(&[], self.hub.config.stall_pending, &self.hub.counters);
            drop(batch.end());
            let used = self.run_batch(&input, batch, now);
            self.keep(&input[used..]);
        });
        Poll::Ready(())
    }

    /// Has a comparison made beside the tasks, when its turn comes.
    fn check(&mut self, check: SlowCheck) {
        let hub = self.hub.clone();
        self.await_identity(async move { hub.work_slowly(move |wall| check.run(wall)).await.flatten() });
    }

    fn consult(&mut self, check: CalloutCheck) {
        let tls = self.client.figures.who().tls.map(|facts| ClientTls::new(&facts));
        self.await_identity(callout::ask(self.hub.clone(), self.client.id, tls, check));
    }

    /// Goes on when it is known who the client is.
    fn await_identity(&mut self, found: impl Future<Output = Option<Arc<Identity>>> + Send + 'static) {
        let (mut done, checking) = oneshot::channel();
        self.hub.env.spawn(async move {
            tokio::select! {
                // Nobody may be waiting any more.
                identity = found => drop(done.send(identity)),
                // The client has gone, or its time is up: nobody would hear of it.
                () = done.closed() => {}
            }
        });
        self.checking = Some(checking);
    }

    /// Reads once, and does all that the bytes say.
    fn read(&mut self, now: Instant) -> io::Result<usize> {
        with_bench(|bench| {
            let Bench { buffer, batch } = bench;
            let held = self.partial.len();
            let is_assembled = self.need > if self.is_trickling { TRICKLE_MAX } else { ASSEMBLED_MIN };
            let start = if is_assembled { 0 } else { held };
            // Of a large operation no more than its end is read: what follows can use the shared buffer again.
            let end = if is_assembled { (self.need - held).clamp(4096, buffer.len()) } else { buffer.len() };
            let n = self.stream.try_read(&mut buffer[start..end])?;
            if n == 0 {
                return Ok(0);
            }
            // Terms that changed before this was sent hold for it.
            if self.client.take_revise() {
                self.revise(now);
            }
            self.session.heard(now);
            self.client.figures.heard(self.hub.clock.stamp(now));
            self.is_trickling = n < TRICKLE_MAX;
            if is_assembled {
                self.partial.extend_from_slice(&buffer[..n]);
                if self.partial.len() >= self.need {
                    let input = std::mem::take(&mut self.partial);
                    let used = self.run_batch(&input, batch, now);
                    self.keep(&input[used..]);
                }
            } else {
                buffer[..held].copy_from_slice(&self.partial);
                let input = &buffer[..held + n];
                let used = self.run_batch(input, batch, now);
                self.keep(&input[used..]);
            }
            Ok(n)
        })
    }

    /// Keeps the start of an operation for the next read.
    fn keep(&mut self, rest: &[u8]) {
        if rest.is_empty() {
            self.partial = Vec::new();
        } else {
            self.partial.clear();
            self.partial.extend_from_slice(rest);
        }
    }

    /// Does what `input` says and writes what follows from it; returns the bytes used.
    fn run_batch(&mut self, input: &[u8], batch: &mut Batch, now: Instant) -> usize {
        batch.begin(Some(&self.client), self.hub.clock.stamp(now));
        let mut used = 0;
        self.need = 0;
        while matches!(self.phase, Phase::Running) && self.checking.is_none() {
            match parse(&input[used..], self.session.limits()) {
                Ok(Step::Op { op, len }) => {
                    let subject = Mappings::of_op(self.mappings.as_deref(), &op, &mut self.dice);
                    let action = match &subject {
                        None => self.session.handle(now, op, batch.own()),
                        Some(subject) => self.session.handle_mapped(now, op, subject, batch.own()),
                    };
                    self.act(action, input, batch, now);
                    used += len;
                    if batch.is_full() {
                        batch.write(input, self.hub.config.stall_pending, &self.hub.counters);
                    }
                }
                Ok(Step::Incomplete { need }) => {
                    self.need = need;
                    break;
                }
                Err(error) => {
                    let action = self.session.parse_failed(error, batch.own());
                    self.close_if(&action, now);
                }
            }
        }
        self.client.figures.set_subscriptions(self.session.subscriptions());
        batch.write(input, self.hub.config.stall_pending, &self.hub.counters);
        self.hub.expire(batch);
        let congested = batch.end();
        if !congested.is_empty() {
            self.client.figures.stalled();
            let stall = Stall::new(&self.hub, congested);
            self.stall = stall.map(|stall| Box::new(stall.of(&self.hub, &self.client, self.flow)));
        }
        used
    }

    #[inline]
    fn act(&mut self, action: Action<'_, Arc<Subscription>>, input: &[u8], batch: &mut Batch, now: Instant) {
        match action {
            Action::Publish { message, has_headers, wire } => {
                let at = |wire: &[u8]| wire.as_ptr() as usize - input.as_ptr() as usize;
                self.publish(message, has_headers, wire.map(|wire| (wire, at(wire))), batch);
            }
            Action::None => {}
            Action::Measured => self.client.figures.set_who(|who| who.rtt = self.session.rtt()),
            Action::Ask { message, has_headers, wire } => {
                // What came before the question counts in the answer.
                batch.write(input, self.hub.config.stall_pending, &self.hub.counters);
                self.client.figures.set_subscriptions(self.session.subscriptions());
                let at = |wire: &[u8]| wire.as_ptr() as usize - input.as_ptr() as usize;
                self.ask(message, has_headers, wire.map(|wire| (wire, at(wire))), batch);
            }
            Action::Refused => add(&self.hub.counters.drop_denied, 1),
            Action::Subscribe { subject, queue, sid } => self.subscribe(subject, queue, sid, batch),
            Action::Limit { subscription, max } => {
                batch.settle_counts();
                if subscription.limit(max) {
                    self.session.expired(&subscription.sid, |other| other.id == subscription.id);
                    self.remove(&subscription);
                }
            }
            Action::Remove(subscription) => self.remove(&subscription),
            Action::Verify(check) => self.check(check),
            Action::Consult(check) => self.consult(*check),
            Action::Connected { identity, headers, stale } => {
                stale.iter().for_each(|subscription| self.remove(subscription));
                self.client.set_headers(headers);
                self.enter(&identity, batch, now);
            }
            // Said in answer to `Session::revise` alone.
            Action::Revised(_) => {}
            Action::Close(reason) => self.close(reason, now),
        }
    }

    /// Goes over to the account of `identity`, if that takes another client.
    fn enter(&mut self, identity: &Identity, batch: &mut Batch, now: Instant) {
        self.leave_account();
        if let Some(account) = self.hub.account(identity.account.as_bytes())
            && account.enter()
        {
            (self.account, self.is_counted) = (account, true);
            self.mappings = self.account.mappings();
            self.routes.clear();
            self.client.set_manners(&self.hub.env, identity, self.session.replies());
            self.client.figures.set_who(|who| {
                who.about = self.session.about().clone();
                who.identity = self.session.identity().clone();
                who.is_in = true;
                // Until it has answered a PING: the time that it took to answer INFO.
                let took = self.hub.clock.stamp(now).since(self.client.figures.began);
                who.rtt.get_or_insert(took);
            });
            self.session.admitted(batch.own());
            events::connected(&self.hub, &self.client, &self.account);
        } else {
            let action = self.session.refuse_account(batch.own());
            self.close_if(&action, now);
        }
    }

    fn leave_account(&mut self) {
        if std::mem::take(&mut self.is_counted) {
            self.account.leave();
        }
    }

    #[inline]
    fn publish(&mut self, message: Message<'_>, has_headers: bool, wire: Option<(&[u8], usize)>, batch: &mut Batch) {
        if self.hand_on(message, has_headers, wire, batch) == 0
            && self.session.no_responders()
            && let Some(reply) = message.reply
        {
            self.answer_nobody(reply, message.subject, batch);
        }
    }

    /// Delivers a message of the client; returns how many takers there are.
    #[inline]
    fn hand_on(
        &mut self,
        message: Message<'_>,
        has_headers: bool,
        wire: Option<(&[u8], usize)>,
        batch: &mut Batch,
    ) -> usize {
        batch.published.count(message.body.len());
        if self.flow == 0 {
            self.flow = self.hub.flows.deal(&self.client.figures.publisher());
        }
        let job = Job {
            account: self.account.name(),
            origin: Origin::Client { id: self.client.id, echo: self.session.echo() },
            flow: self.flow,
            groups: Groups::Any,
            message,
            has_headers,
            wire,
            crossed: 0,
        };
        let route = self.routes.find(&self.account, message.subject);
        deliver(route, &job, &mut self.dice, batch)
    }

    /// Delivers what may be a question to the server, and answers it if it is.
    fn ask(&mut self, message: Message<'_>, has_headers: bool, wire: Option<(&[u8], usize)>, batch: &mut Batch) {
        let asker = Asker { hub: &self.hub, identity: self.session.identity() };
        let Some(said) = system::answer(asker, message.subject, &message.body[message.header_len..]) else {
            return self.publish(message, has_headers, wire, batch);
        };
        self.hand_on(message, has_headers, wire, batch);
        match (said, message.reply) {
            (Said::Answer(body), Some(reply)) => self.tell(reply, &body, batch),
            (Said::Later(outcome), Some(reply)) => {
                let (hub, account) = (self.hub.clone(), self.account.clone());
                self.hub.env.spawn(events::tell_outcome(hub, account, reply.into(), outcome));
            }
            (Said::Answer(_) | Said::Later(_), None) | (Said::Nothing, _) => {}
        }
    }

    /// Sends what the server itself says.
    fn tell(&mut self, reply: &[u8], body: &[u8], batch: &mut Batch) {
        let message = Message { subject: reply, reply: None, header_len: 0, body };
        let job = Job {
            account: self.account.name(),
            origin: Origin::Local,
            flow: self.flow,
            groups: Groups::Any,
            message,
            has_headers: false,
            wire: None,
            crossed: 0,
        };
        deliver(self.routes.find(&self.account, reply), &job, &mut self.dice, batch);
    }

    /// Nobody serves the request: tells the requester at once, on the subscription that waits for the answer.
    fn answer_nobody(&self, reply: &[u8], subject: &[u8], batch: &mut Batch) {
        let is_own = |subscription: &Subscription| match &subscription.taker {
            Taker::Client(client) => client.id == self.client.id,
            Taker::Local(_) => false,
        };
        if let Some(subscription) = self.account.find_plain(reply, is_own) {
            encode::no_responders(batch.own(), reply, &subscription.sid, subject);
        }
    }

    fn subscribe(&mut self, subject: &[u8], queue: Option<&[u8]>, sid: &[u8], batch: &mut Batch) {
        let Ok(filter) = Filter::parse(subject) else {
            return;
        };
        let taker = Taker::Client(self.client.clone());
        let subscription = Arc::new(Subscription::new(self.hub.next_id(), filter, queue, sid, taker, &self.account));
        self.account.subscribe(&subscription);
        add(&self.hub.counters.subscriptions, 1);
        self.session.subscribed(sid, subscription, batch.own());
    }

    fn remove(&self, subscription: &Subscription) {
        if self.account.unsubscribe(subscription) {
            sub(&self.hub.counters.subscriptions, 1);
        }
    }

    fn close_if(&mut self, action: &Action<'_, Arc<Subscription>>, now: Instant) {
        if let Action::Close(reason) = action {
            self.close(*reason, now);
        }
    }

    fn close(&mut self, reason: CloseReason, now: Instant) {
        let patience = match reason {
            CloseReason::ServerShutdown => self.hub.config.drain_timeout,
            _ => LINGER,
        };
        self.stream.set_farewell(reason.websocket_status(), reason.text());
        self.leave_account();
        self.client.figures.set_who(|who| {
            // Those who were not let in are remembered, too.
            who.about = self.session.about().clone();
        });
        (self.stall, self.checking) = (None, None);
        self.partial = Vec::new();
        self.phase = Phase::Closing { reason, until: now + patience, is_shut: false };
    }

    /// Writes what waits, says that no more comes, and gives the peer time to read it: a socket closed with
    /// unread input would be reset, and the reason be lost.
    fn poll_closing(&mut self, cx: &mut Context<'_>, now: Instant) -> Poll<CloseReason> {
        let Phase::Closing { reason, until, is_shut } = &mut self.phase else {
            return Poll::Pending;
        };
        let reason = *reason;
        if now >= *until || self.client.outbox.is_closed() {
            return Poll::Ready(reason);
        }
        if self.client.outbox.pending() == 0 && !*is_shut {
            *is_shut = true;
            *until = (*until).min(now + LINGER);
            self.stream.shutdown_write();
        }
        for _ in 0..READS_MAX {
            match self.stream.poll_read_ready(cx) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(Err(_)) => return Poll::Ready(reason),
                Poll::Ready(Ok(())) => {}
            }
            match with_bench(|bench| self.stream.try_read(&mut bench.buffer)) {
                Ok(0) if self.client.outbox.pending() == 0 => return Poll::Ready(reason),
                // The peer sends no more, but may still read; readiness would only repeat itself.
                Ok(0) => return Poll::Pending,
                Ok(_) => {}
                Err(error) if is_passing(&error) => {}
                Err(_) => return Poll::Ready(reason),
            }
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    /// Sets the timer to the next thing that is due, unless it fires before that anyway.
    fn arm(&mut self, cx: &mut Context<'_>, now: Instant) {
        let mut due = self.session.poll_timeout();
        if let Some(stall) = &self.stall {
            due = due.min(stall.until());
        }
        if let Some((_, since)) = self.progress {
            due = due.min(since + self.config.write_deadline);
        }
        if let Phase::Closing { until, .. } = self.phase {
            due = until.min(due);
        }
        if due < self.armed || now >= self.armed {
            self.armed = due;
            self.timer.as_mut().reset(due);
            if self.timer.as_mut().poll(cx).is_ready() {
                cx.waker().wake_by_ref();
            }
        }
    }
}
