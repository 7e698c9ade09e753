//! A component that runs: its subscriptions, what waits for it, the calls in flight, and what is counted.
//!
//! A message goes from a subscription's task, which runs with the node's, into the queue, as a request by HTTP does from its
//! asker's, and from there to a worker on the threads of components. There are as many workers as calls in flight, and none when nothing is. What one call
//! does is `call.rs`'s, and `http.rs`'s.

use super::call::{self, CallError};
use super::http::{self, Exchange};
use super::invoke::{self, Invocation};
use super::live::Live;
use super::lock;
use super::queue::Queue;
use super::rate::{Pass, Rate};
use super::work::Work;
use super::wrpc::Serving;
use crate::ports::{Deliveries, Delivery};
use arc_swap::ArcSwap;
use lattice_broker::env::Env;
use std::collections::BTreeMap;
use std::future::poll_fn;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant, SystemTime};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// Messages that wait in a subscription until its task has looked: a burst, which one read of a socket can bring.
pub(super) const PENDING_MAX: usize = 1_024;

/// Calls that have failed are logged as often as this, in lines a second.
const FAILURES_PER_SECOND: u32 = 5;

/// How long a worker goes from one call to the next before others have their turn.
const TURN: Duration = Duration::from_millis(10);

/// How long calls that are ended may take to give way: much more than a tick.
const LAST_TURN: Duration = Duration::from_secs(1);

/// Messages that a subscription's task takes before other tasks of the node have their turn.
const BATCH: usize = 64;

/// A component that runs. Dropping it stops it at once; what is in hand is lost.
#[derive(Debug)]
pub(super) struct Component {
    shared: Arc<Shared>,
    /// By subject: cancelled when it is not wanted any more.
    subscriptions: Mutex<BTreeMap<String, CancellationToken>>,
    /// The tasks of subscriptions.
    listening: TaskTracker,
}

/// What a component's tasks have in common.
#[derive(Debug)]
pub(super) struct Shared {
    live: ArcSwap<Live>,
    count: AtomicU64,
    queue: Mutex<Queue>,
    /// Told when a worker has nothing more to do.
    idle: Notify,
    calls: AtomicU64,
    failed: AtomicU64,
    failure: Mutex<Failure>,
    /// No more is to be begun.
    closing: CancellationToken,
    stopped: CancellationToken,
}

#[derive(Debug)]
struct Failure {
    last: Option<(SystemTime, CallError)>,
    rate: Rate,
}

/// What a component has done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Figures {
    pub(super) count: u32,
    pub(super) calls: u64,
    pub(super) failed: u64,
    pub(super) waiting: usize,
    pub(super) dropped: u64,
}

/// A call in flight. Should it end by a panic, others still have their turn.
struct Slot(Option<Arc<Shared>>);

impl Component {
    /// One that is called for nothing yet.
    pub(super) fn new(live: Arc<Live>) -> Self {
        let queue = Queue::new(live.bounds.waiting_max, live.bounds.waiting_bytes_max);
        let rate = Rate::new(FAILURES_PER_SECOND, live.env.now());
        let shared = Shared {
            live: ArcSwap::new(live),
            count: AtomicU64::new(0),
            queue: Mutex::new(queue),
            idle: Notify::new(),
            calls: AtomicU64::new(0),
            failed: AtomicU64::new(0),
            failure: Mutex::new(Failure { last: None, rate }),
            closing: CancellationToken::new(),
            stopped: CancellationToken::new(),
        };
        Self { shared: Arc::new(shared), subscriptions: Mutex::default(), listening: TaskTracker::new() }
    }

    /// What its calls go by at present.
    pub(super) fn live(&self) -> Arc<Live> {
        self.shared.live()
    }

    /// What its calls go by from the next one on, and how many there may be at a time.
    pub(super) fn change(&self, live: Arc<Live>, count: u32) {
        self.shared.live.store(live);
        self.shared.count.store(count.into(), Relaxed);
        lock(&self.shared.queue).set_count(count as usize);
        self.shared.start();
    }

    /// Whether messages to `subject` come here.
    pub(super) fn hears(&self, subject: &str) -> bool {
        lock(&self.subscriptions).contains_key(subject)
    }

    /// Has messages to `subject` come here, as `deliveries` brings them, for what `ear` says.
    pub(super) fn hear(&self, subject: &str, ear: Ear, deliveries: Box<dyn Deliveries>) {
        let ended = self.shared.stopped.child_token();
        let former = lock(&self.subscriptions).insert(subject.to_owned(), ended.clone());
        if let Some(former) = former {
            former.cancel();
        }
        let listener = Listener { shared: self.shared.clone(), ear, tasks: self.listening.clone() };
        let task = listen(listener, deliveries, ended);
        self.live().env.spawn(self.listening.track_future(task));
    }

    /// Has it answer a request; what finds no room to wait is dropped.
    pub(super) fn ask(&self, exchange: Exchange) {
        self.shared.take(Work::Request(exchange));
    }

    /// Has it carry out a call of one of its functions; what finds no room to wait is dropped.
    pub(super) fn invoke(&self, invocation: Invocation) {
        self.shared.invoke(invocation);
    }

    /// Lets go of all subjects but those that are `wanted`. Messages that have come already are handled.
    pub(super) fn hear_only(&self, wanted: impl Fn(&str) -> bool) {
        lock(&self.subscriptions).retain(|subject, ended| {
            let keep = wanted(subject);
            if !keep {
                ended.cancel();
            }
            keep
        });
    }

    /// Takes no more messages, and waits until those in hand are handled, at most for `patience`. What is left then is ended.
    pub(super) async fn drain(&self, patience: Duration) {
        self.hear_only(|_| false);
        self.shared.closing.cancel();
        self.listening.close();
        let env = self.live().env.clone();
        let idle = async {
            // What they have taken from the lattice is in the queue then.
            self.listening.wait().await;
            self.shared.until(Queue::is_idle).await;
        };
        if env.timeout(patience, idle).await.is_err() {
            let (id, waiting) = (&self.live().id, lock(&self.shared.queue).waiting());
            tracing::warn!(component = %id, ?patience, waiting, "calls go on after the time to drain, and are ended");
        }
        self.shared.stop();
        // They end where they give way next; what they run on must not end before.
        if env.timeout(LAST_TURN, self.shared.until(Queue::is_quiet)).await.is_err() {
            let id = &self.live().id;
            tracing::warn!(component = %id, "a call does not give way");
        }
    }

    pub(super) fn figures(&self) -> Figures {
        let queue = lock(&self.shared.queue);
        Figures {
            count: u32::try_from(self.shared.count.load(Relaxed)).unwrap_or(u32::MAX),
            calls: self.shared.calls.load(Relaxed),
            failed: self.shared.failed.load(Relaxed),
            waiting: queue.waiting(),
            dropped: queue.dropped(),
        }
    }

    /// When the latest call failed that did, and why.
    pub(super) fn last_failure(&self) -> Option<(SystemTime, CallError)> {
        lock(&self.shared.failure).last.clone()
    }
}

impl Drop for Component {
    fn drop(&mut self) {
        self.shared.stop();
    }
}

impl Shared {
    /// What calls go by at present.
    pub(super) fn live(&self) -> Arc<Live> {
        self.live.load_full()
    }

    /// Waits until no more is to be begun.
    pub(super) async fn closing(&self) {
        self.closing.cancelled().await;
    }

    /// Waits until all has ended.
    pub(super) async fn stopped(&self) {
        self.stopped.cancelled().await;
    }

    /// See [`Component::invoke`].
    pub(super) fn invoke(self: &Arc<Self>, invocation: Invocation) {
        self.take(Work::Call(invocation));
    }

    fn take(self: &Arc<Self>, work: Work) {
        if self.stopped.is_cancelled() {
            return;
        }
        let first = lock(&self.queue).push(work);
        if let Some(first) = first {
            self.work(first);
        }
    }

    /// Has workers begin with what waits, as many as there may be.
    fn start(self: &Arc<Self>) {
        loop {
            let next = lock(&self.queue).start();
            let Some(next) = next else { return };
            self.work(next);
        }
    }

    /// Waits until the queue is as it should be, which it becomes by the end of a worker.
    async fn until(&self, good: impl Fn(&Queue) -> bool) {
        loop {
            let idle = self.idle.notified();
            tokio::pin!(idle);
            // Armed before looking, so that no end is missed.
            idle.as_mut().enable();
            if good(&lock(&self.queue)) {
                return;
            }
            idle.await;
        }
    }

    fn work(self: &Arc<Self>, first: Work) {
        let slot = Slot(Some(self.clone()));
        self.live.load().machine.spawn(work(slot, first));
    }

    /// A call has ended: what the same worker goes on with.
    fn finish(&self) -> Option<Work> {
        if self.stopped.is_cancelled() {
            self.forget();
        }
        let next = lock(&self.queue).finish();
        if next.is_none() {
            self.idle.notify_waiters();
        }
        next
    }

    /// Tells those who wait that nothing will come of it.
    fn forget(&self) {
        // Not under the lock: whoever waits may have something to say.
        let waiting = lock(&self.queue).forget();
        drop(waiting);
    }

    /// Ends all at once.
    fn stop(&self) {
        self.closing.cancel();
        self.stopped.cancel();
        self.forget();
    }

    async fn call(&self, work: Work) -> Env {
        let live = self.live();
        match work {
            Work::Message(message) => {
                self.calls.fetch_add(1, Relaxed);
                if let Err(error) = self.unless_stopped(&live, call::call(&live, Some(message))).await {
                    self.fail(&live, error);
                }
            }
            // Who has asked may be gone by now.
            Work::Request(exchange) if exchange.answer.is_closed() => {}
            Work::Request(Exchange { request, mut answer }) => {
                self.calls.fetch_add(1, Relaxed);
                let done = self.unless_stopped(&live, http::call(&live, request, answer.closed())).await;
                let told = done.map_err(|error| {
                    let told = http::told(&error);
                    self.fail(&live, error);
                    told
                });
                drop(answer.send(told));
            }
            Work::Call(invocation) if invocation.answer.is_closed() => {}
            Work::Call(invocation) => self.carry_out(&live, invocation).await,
        }
        live.env.clone()
    }

    async fn carry_out(&self, live: &Arc<Live>, invocation: Invocation) {
        let Invocation { interface, function, params, share, mut answer } = invocation;
        self.calls.fetch_add(1, Relaxed);
        let call = async { invoke::call(live, &interface, &function, (params, share), answer.closed()).await };
        let done = tokio::select! {
            biased;
            () = self.stopped.cancelled() => Err(CallError::Stopped { id: live.id.clone() }.into()),
            done = call => done,
        };
        let told = done.map_err(|failure| {
            let told = failure.told();
            if let invoke::Failure::Component(error) = failure {
                self.fail(live, error);
            }
            told
        });
        drop(answer.send(told));
    }

    async fn unless_stopped<T>(
        &self,
        live: &Live,
        call: impl Future<Output = Result<T, CallError>>,
    ) -> Result<T, CallError> {
        tokio::select! {
            biased;
            () = self.stopped.cancelled() => Err(CallError::Stopped { id: live.id.clone() }),
            done = call => done,
        }
    }

    fn fail(&self, live: &Live, error: CallError) {
        self.failed.fetch_add(1, Relaxed);
        let now = live.env.now();
        let mut failure = lock(&self.failure);
        if let Pass::Yes { refused } = failure.rate.pass(now) {
            tracing::warn!(component = %live.id, %error, unlogged = refused, "a call has failed");
        }
        failure.last = Some((live.env.wall(), error));
    }
}

impl Slot {
    /// Says that its call has ended; what the next one in it is for.
    fn next(&mut self) -> Option<Work> {
        let next = self.0.as_ref()?.finish();
        if next.is_none() {
            self.0 = None;
        }
        next
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        if let Some(shared) = self.0.take()
            && let Some(next) = shared.finish()
        {
            shared.work(next);
        }
    }
}

async fn work(mut slot: Slot, mut next: Work) {
    let mut turn: Option<Instant> = None;
    while let Some(shared) = slot.0.clone() {
        let env = shared.call(next).await;
        drop(shared);
        let Some(following) = slot.next() else { return };
        next = following;
        // Calls that never wait would keep a thread for themselves.
        let now = env.now();
        if now.saturating_duration_since(*turn.get_or_insert(now)) >= TURN {
            tokio::task::yield_now().await;
            turn = None;
        }
    }
}

/// What comes by a subscription.
#[derive(Clone, Debug)]
pub(super) enum Ear {
    /// Messages.
    Messages,
    /// Calls of functions.
    Calls(Arc<Serving>),
}

struct Listener {
    shared: Arc<Shared>,
    ear: Ear,
    tasks: TaskTracker,
}

impl Listener {
    fn take(&self, delivery: Delivery) {
        match &self.ear {
            Ear::Messages => self.shared.take(Work::Message(delivery.into())),
            Ear::Calls(serving) => {
                let answering = Arc::clone(serving).answer(Arc::clone(&self.shared), delivery);
                self.shared.live().env.spawn(self.tasks.track_future(answering));
            }
        }
    }
}

async fn listen(listener: Listener, mut deliveries: Box<dyn Deliveries>, ended: CancellationToken) {
    let mut dropped = 0;
    for taken in 1usize.. {
        if taken.is_multiple_of(BATCH) {
            tokio::task::yield_now().await;
        }
        let delivery = tokio::select! {
            biased;
            () = ended.cancelled() => break,
            delivery = poll_fn(|cx| deliveries.poll_next(cx)) => delivery,
        };
        listener.take(delivery);
        count_dropped(&listener.shared, &*deliveries, &mut dropped);
    }
    // Those that have been taken from the lattice already have no other taker.
    // No more than can wait there: others may go on publishing.
    for _ in 0..PENDING_MAX {
        let Poll::Ready(delivery) = deliveries.poll_next(&mut Context::from_waker(Waker::noop())) else { break };
        listener.take(delivery);
    }
    count_dropped(&listener.shared, &*deliveries, &mut dropped);
}

fn count_dropped(shared: &Shared, deliveries: &dyn Deliveries, dropped: &mut u64) {
    let now = deliveries.dropped();
    if now > *dropped {
        lock(&shared.queue).count_dropped(now - *dropped);
        *dropped = now;
    }
}
