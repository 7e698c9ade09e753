//! The executor: tasks that belong to hosts, polled one at a time in an order that the seed chooses.
//!
//! A killed host's tasks are dropped, a paused host's tasks are kept back. It knows no time: `world.rs` lets it run
//! until nothing is ready, then moves the clock on.

use crate::guarded::Guarded;
use crate::rng::Dice;
use lattice_broker::env::BoxFuture;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::task::{Context, Poll, Wake, Waker};

/// A host, by number.
pub(crate) type HostId = usize;

/// Polls at one moment of virtual time after which something spins: real code needs thousands.
const POLLS_AT_ONCE_MAX: u64 = 1_000_000;

/// What tasks and their wakers hand to the executor from wherever they are.
#[derive(Default)]
pub(crate) struct Inbox {
    ready: Guarded<Vec<TaskRef>>,
    spawned: Guarded<Vec<(HostId, BoxFuture<()>)>>,
}

impl fmt::Debug for Inbox {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Inbox")
    }
}

impl Inbox {
    pub(crate) fn spawn(&self, host: HostId, task: BoxFuture<()>) {
        self.spawned.lock().push((host, task));
    }
}

#[derive(Clone, Copy, Debug)]
struct TaskRef {
    slot: usize,
    generation: u64,
}

struct TaskWaker {
    task: TaskRef,
    queued: AtomicBool,
    inbox: Arc<Inbox>,
}

impl Wake for TaskWaker {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        if !self.queued.swap(true, Relaxed) {
            self.inbox.ready.lock().push(self.task);
        }
    }
}

struct Task {
    host: HostId,
    /// `None` while it is being polled.
    future: Option<BoxFuture<()>>,
    waker: Arc<TaskWaker>,
}

/// The tasks of a world.
pub(crate) struct Executor {
    inbox: Arc<Inbox>,
    tasks: Vec<Option<Task>>,
    free: Vec<usize>,
    generation: u64,
    ready: Vec<TaskRef>,
    /// For each paused host, what became ready meanwhile.
    frozen: Vec<Option<Vec<TaskRef>>>,
    dice: Dice,
    polls: u64,
}

impl fmt::Debug for Executor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Executor").field("tasks", &self.tasks()).field("polls", &self.polls).finish_non_exhaustive()
    }
}

impl Executor {
    pub(crate) fn new(seed: u64, hosts: usize) -> Self {
        Self {
            inbox: Arc::default(),
            tasks: Vec::new(),
            free: Vec::new(),
            generation: 0,
            ready: Vec::new(),
            frozen: (0..hosts).map(|_| None).collect(),
            dice: Dice::new(seed, "schedule", 0),
            polls: 0,
        }
    }

    pub(crate) fn inbox(&self) -> Arc<Inbox> {
        self.inbox.clone()
    }

    /// Tasks that have not ended.
    pub(crate) fn tasks(&self) -> usize {
        self.tasks.len() - self.free.len() + self.inbox.spawned.lock().len()
    }

    /// How often a task was polled.
    pub(crate) fn polls(&self) -> u64 {
        self.polls
    }

    /// Polls ready tasks, in an order that the seed chooses, until none is ready.
    ///
    /// # Panics
    /// When that never happens: tasks that keep waking themselves or each other would stop time for good.
    pub(crate) fn run_ready(&mut self) {
        let start = self.polls;
        loop {
            self.collect();
            if self.ready.is_empty() {
                return;
            }
            let pick = self.dice.below(self.ready.len() as u64) as usize;
            let task = self.ready.swap_remove(pick);
            if let Some(host) = self.poll(task) {
                let polls = self.polls - start;
                assert!(polls < POLLS_AT_ONCE_MAX, "time stands still: tasks of host {host} wake each other for ever");
            }
        }
    }

    /// Takes in what was spawned and woken.
    fn collect(&mut self) {
        // A task may spawn while another is dropped, so the list is taken out before it is walked.
        let spawned = std::mem::take(&mut *self.inbox.spawned.lock());
        for (host, future) in spawned {
            self.generation += 1;
            let slot = self.free.pop().unwrap_or_else(|| {
                self.tasks.push(None);
                self.tasks.len() - 1
            });
            let task = TaskRef { slot, generation: self.generation };
            let waker = Arc::new(TaskWaker { task, queued: AtomicBool::new(true), inbox: self.inbox.clone() });
            self.tasks[slot] = Some(Task { host, future: Some(future), waker });
            self.ready.push(task);
        }
        self.ready.append(&mut self.inbox.ready.lock());
    }

    /// Polls one task. Returns its host, or `None` when there was nothing to poll.
    fn poll(&mut self, id: TaskRef) -> Option<HostId> {
        let task = self.tasks[id.slot].as_mut().filter(|task| task.waker.task.generation == id.generation)?;
        let host = task.host;
        if let Some(frozen) = &mut self.frozen[host] {
            frozen.push(id);
            return None;
        }
        task.waker.queued.store(false, Relaxed);
        let waker = Waker::from(task.waker.clone());
        let mut future = task.future.take()?;
        self.polls += 1;
        match future.as_mut().poll(&mut Context::from_waker(&waker)) {
            Poll::Pending => {
                if let Some(task) = &mut self.tasks[id.slot] {
                    task.future = Some(future);
                }
            }
            Poll::Ready(()) => {
                self.tasks[id.slot] = None;
                self.free.push(id.slot);
            }
        }
        Some(host)
    }

    /// Drops all tasks of `host`, in the order of their slots. A pause of the host ends.
    pub(crate) fn kill(&mut self, host: HostId) {
        self.frozen[host] = None;
        // What is dropped may spawn: that belongs to a dead host and is refused before it gets here.
        let spawned = std::mem::take(&mut *self.inbox.spawned.lock());
        let (dead, live): (Vec<_>, Vec<_>) = spawned.into_iter().partition(|(owner, _)| *owner == host);
        *self.inbox.spawned.lock() = live;
        drop(dead);
        for slot in 0..self.tasks.len() {
            if self.tasks[slot].as_ref().is_some_and(|task| task.host == host) {
                self.free.push(slot);
                drop(self.tasks[slot].take());
            }
        }
    }

    /// Keeps the tasks of `host` back until [`Executor::resume`], as a stop signal would.
    pub(crate) fn pause(&mut self, host: HostId) {
        self.frozen[host].get_or_insert_default();
    }

    /// Lets them go on. Returns how many were waiting to.
    pub(crate) fn resume(&mut self, host: HostId) -> usize {
        let frozen = self.frozen[host].take().unwrap_or_default();
        self.ready.extend(&frozen);
        frozen.len()
    }
}

impl Drop for Executor {
    fn drop(&mut self) {
        // Wakers that outlive the world keep the inbox alive; it must not keep tasks alive in turn.
        self.tasks.clear();
        loop {
            let spawned = std::mem::take(&mut *self.inbox.spawned.lock());
            if spawned.is_empty() {
                return;
            }
            drop(spawned);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::future::{pending, poll_fn};

    fn logging(log: &Arc<Guarded<Vec<u32>>>, n: u32) -> BoxFuture<()> {
        let log = log.clone();
        Box::pin(async move { log.lock().push(n) })
    }

    fn order(seed: u64) -> Vec<u32> {
        let log = Arc::new(Guarded::new(Vec::new()));
        let mut executor = Executor::new(seed, 1);
        for n in 0..20 {
            executor.inbox().spawn(0, logging(&log, n));
        }
        executor.run_ready();
        assert_eq!(executor.tasks(), 0);
        std::mem::take(&mut *log.lock())
    }

    #[test]
    fn the_seed_chooses_the_order() {
        assert_eq!(order(1), order(1));
        assert_ne!(order(1), order(2));
        let mut all = order(3);
        all.sort_unstable();
        assert_eq!(all, (0..20).collect::<Vec<_>>());
    }

    #[test]
    fn killing_a_host_drops_its_tasks_only() {
        let mut executor = Executor::new(1, 2);
        let held = Arc::new(());
        for host in [0, 1, 0] {
            let held = held.clone();
            executor.inbox().spawn(
                host,
                Box::pin(async move {
                    pending::<()>().await;
                    drop(held);
                }),
            );
        }
        executor.run_ready();
        assert_eq!((executor.tasks(), Arc::strong_count(&held)), (3, 4));
        executor.kill(0);
        assert_eq!((executor.tasks(), Arc::strong_count(&held)), (1, 2));
    }

    #[test]
    fn a_paused_host_goes_on_where_it_was() {
        let log = Arc::new(Guarded::new(Vec::new()));
        let mut executor = Executor::new(1, 2);
        executor.pause(0);
        executor.inbox().spawn(0, logging(&log, 0));
        executor.inbox().spawn(1, logging(&log, 1));
        executor.run_ready();
        assert_eq!(*log.lock(), [1]);
        assert_eq!(executor.resume(0), 1);
        executor.run_ready();
        assert_eq!(*log.lock(), [1, 0]);
    }

    /// Goal: a waker kept beyond its task's end never wakes the task that took the slot.
    #[test]
    fn stale_wakers_do_nothing() {
        let kept = Arc::new(Guarded::new(None));
        let mut executor = Executor::new(1, 1);
        let keep = kept.clone();
        executor.inbox().spawn(
            0,
            Box::pin(poll_fn(move |cx| {
                *keep.lock() = Some(cx.waker().clone());
                Poll::Ready(())
            })),
        );
        executor.run_ready();
        executor.inbox().spawn(0, Box::pin(pending()));
        executor.run_ready();
        let polls = executor.polls();
        kept.lock().take().unwrap().wake();
        executor.run_ready();
        assert_eq!(executor.polls(), polls);
    }
}
