//! A world: hosts, the network between them, time, and the hand that a test has in all of it.
//!
//! What can go wrong between hosts is in `world/faults.rs`, what can with their clocks in `world/clocks.rs`.

mod clocks;
mod faults;

use crate::clock::{Nanos, nanos};
use crate::exec::Executor;
use crate::host::{Host, Life, Process};
use crate::kernel::{Kernel, State};
use crate::link::{Bite, Counters, Fate, FaultId, Link, Links};
use crate::ports;
use crate::stream::StreamConfig;
use lattice_broker::env::Platform;
use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

/// What a world is made of.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct WorldConfig {
    /// Hosts, nodes and clients' machines alike; at most 65,024.
    pub hosts: usize,
    /// Every link that has not been given its own by [`World::link`].
    pub link: Link,
    /// The delay within a host.
    pub loopback: Duration,
    /// How streams behave.
    pub stream: StreamConfig,
}

impl WorldConfig {
    /// `hosts` hosts, 10 ms apart, 20 µs within.
    #[must_use]
    pub fn hosts(hosts: usize) -> Self {
        Self { hosts, link: Link::default(), loopback: Duration::from_micros(20), stream: StreamConfig::default() }
    }
}

/// The condition of [`World::run_until`] did not come true in time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not reached within {limit:?} (virtual time {at:?}, seed {seed})")]
pub struct NotReached {
    /// How long it was waited for.
    pub limit: Duration,
    /// When it was given up.
    pub at: Duration,
    /// The seed of the world.
    pub seed: u64,
}

/// What exists at one moment; what grows from quiet moment to quiet moment leaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Usage {
    /// Tasks that have not ended.
    pub tasks: usize,
    /// Timers.
    pub timers: usize,
    /// Datagram sockets.
    pub sockets: usize,
    /// Ends of streams.
    pub streams: usize,
}

struct Slot {
    life: Option<Arc<Life>>,
    /// Incarnations begun so far.
    lives: u32,
    started: bool,
    process: Option<Arc<dyn Process>>,
    down: Option<FaultId>,
    paused: Option<FaultId>,
}

/// A simulated network of hosts in virtual time.
///
/// Time passes only in [`World::run_for`] and [`World::run_until`]; faults strike between. Dropping it drops all tasks.
/// A panic in a task ends the run and comes out of the `run` call; the world then prints its seed and time.
pub struct World {
    // Tasks go first: what they do as they are dropped needs the rest.
    executor: Executor,
    kernel: Arc<Kernel>,
    slots: Vec<Slot>,
}

impl fmt::Debug for World {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut world = f.debug_struct("World");
        world.field("seed", &self.seed()).field("now", &self.now()).field("usage", &self.usage());
        world.finish_non_exhaustive()
    }
}

impl World {
    /// A world in which everything that chance decides comes from `seed`. All hosts are on, and nothing runs yet.
    ///
    /// # Panics
    /// When `config.hosts` is more than there are addresses for.
    #[must_use]
    pub fn new(seed: u64, config: WorldConfig) -> Self {
        let hosts = config.hosts;
        assert!(hosts <= ports::HOSTS_MAX, "{hosts} hosts, addresses for {}", ports::HOSTS_MAX);
        let links = Links::new(seed, hosts, config.link, config.loopback);
        let state = State::new(seed, hosts, links, config.stream);
        let executor = Executor::new(seed, hosts);
        let kernel = Arc::new(Kernel::new(seed, hosts, executor.inbox(), state));
        let slots = (0..hosts).map(|host| Slot {
            life: Some(Arc::new(Life::new(kernel.clone(), host, 0))),
            lives: 1,
            started: false,
            process: None,
            down: None,
            paused: None,
        });
        Self { executor, slots: slots.collect(), kernel }
    }

    // Hosts.

    /// Says what each of `hosts` runs when it boots.
    pub fn install(&mut self, hosts: impl IntoIterator<Item = usize>, process: Arc<dyn Process>) {
        for host in hosts {
            self.slots[host].process = Some(process.clone());
        }
    }

    /// Starts what is installed on host `i`, after switching it on if it was killed.
    ///
    /// # Panics
    /// When it has been started and not killed since.
    pub fn boot(&mut self, i: usize) {
        assert!(!self.slots[i].started, "host {i} is running");
        let life = self.switch_on(i);
        self.mark(format_args!("boot {i}"));
        self.slots[i].started = true;
        if let Some(process) = self.slots[i].process.clone() {
            process.start(Host::new(life));
        }
    }

    fn switch_on(&mut self, i: usize) -> Arc<Life> {
        if let Some(fault) = self.slots[i].down.take() {
            self.lift(fault);
        }
        let (slot, kernel) = (&mut self.slots[i], &self.kernel);
        let life = slot.life.get_or_insert_with(|| {
            slot.lives += 1;
            Arc::new(Life::new(kernel.clone(), i, slot.lives - 1))
        });
        life.clone()
    }

    /// Ends everything on host `i` at once, as a kill signal would: its tasks are dropped unheard, its sockets close,
    /// the peers of its streams see a reset. Nothing that its tasks send while they are dropped leaves it.
    ///
    /// Does nothing to a host that is down.
    pub fn kill(&mut self, i: usize) -> FaultId {
        let Some(life) = self.slots[i].life.take() else {
            return self.slots[i].down.expect("a host without a life was killed");
        };
        if self.slots[i].paused.is_some() {
            self.resume(i);
        }
        life.end();
        let before = self.executor.tasks();
        self.kernel.with(|state, now| {
            state.datagrams.kill(i);
            let (streams, mut wire) = state.streams(now);
            streams.kill(&mut wire, i);
        });
        self.executor.kill(i);
        let tasks = before - self.executor.tasks();
        self.slots[i].started = false;
        self.mark(format_args!("kill {i}"));
        let fault = self.kernel.with(|state, now| {
            let fault = state.links.faults.note(now, format!("crash {i}"));
            state.links.faults.bite(fault, tasks as u64);
            fault
        });
        self.slots[i].down = Some(fault);
        fault
    }

    /// Kills host `i` if it runs, and boots it: its address stays, its incarnation is the next.
    pub fn restart(&mut self, i: usize) {
        self.kill(i);
        self.boot(i);
    }

    /// Stops the tasks of host `i`, as a stop signal would: packets and timers wait for [`World::resume`].
    pub fn pause(&mut self, i: usize) -> FaultId {
        if let Some(fault) = self.slots[i].paused {
            return fault;
        }
        self.mark(format_args!("pause {i}"));
        self.executor.pause(i);
        let fault = self.kernel.with(|state, now| state.links.faults.note(now, format!("pause {i}")));
        self.slots[i].paused = Some(fault);
        fault
    }

    /// Lets them go on.
    pub fn resume(&mut self, i: usize) {
        let Some(fault) = self.slots[i].paused.take() else { return };
        let woken = self.executor.resume(i);
        self.kernel.with(|state, _| state.links.faults.bite(fault, woken as u64));
        self.lift(fault);
    }

    /// Host `i` as it is now.
    ///
    /// # Panics
    /// When it is down.
    #[must_use]
    pub fn host(&self, i: usize) -> Host {
        Host::new(self.slots[i].life.clone().expect("the host is up"))
    }

    /// True while host `i` has not been killed.
    #[must_use]
    pub fn is_up(&self, i: usize) -> bool {
        self.slots[i].life.is_some()
    }

    /// The present address of host `i`, with `port`.
    #[must_use]
    pub fn addr(&self, i: usize, port: u16) -> SocketAddr {
        self.kernel.addr(i, port)
    }

    /// From now on `hosts` are one local network: each hears what another calls to all. The link between two of them is what
    /// it is for other packets. A host that is in no such network has none.
    pub fn segment(&mut self, hosts: impl IntoIterator<Item = usize>) {
        let hosts: Vec<usize> = hosts.into_iter().collect();
        self.kernel.with(|state, _| state.segments.join(&hosts));
    }

    /// Runs a task of the test's own on host `i`: a client, a probe. It dies with the host.
    ///
    /// # Panics
    /// When the host is down.
    pub fn spawn_on(&self, i: usize, task: impl Future<Output = ()> + Send + 'static) {
        let life = self.slots[i].life.as_ref().expect("the host is up");
        life.spawn(Box::pin(task));
    }

    // Time.

    /// Lets `duration` pass.
    pub fn run_for(&mut self, duration: Duration) {
        let until = self.kernel.clock.now().saturating_add(nanos(duration));
        self.run(until, || false);
    }

    /// Lets time pass until `condition` holds. Returns how much did. The condition is asked after each event.
    ///
    /// # Errors
    /// [`NotReached`] when `limit` has passed first.
    pub fn run_until(&mut self, condition: impl FnMut() -> bool, limit: Duration) -> Result<Duration, NotReached> {
        let start = self.now();
        if self.run(nanos(start.saturating_add(limit)), condition) {
            return Ok(self.now() - start);
        }
        Err(NotReached { limit, at: self.now(), seed: self.seed() })
    }

    fn run(&mut self, until: Nanos, mut done: impl FnMut() -> bool) -> bool {
        loop {
            self.executor.run_ready();
            if done() {
                return true;
            }
            match self.kernel.next_due().filter(|at| *at <= until) {
                Some(at) => self.kernel.advance(at),
                None => {
                    self.kernel.advance(until);
                    return done();
                }
            }
        }
    }

    /// Virtual time since the world began.
    #[must_use]
    pub fn now(&self) -> Duration {
        Duration::from_nanos(self.kernel.clock.now())
    }

    // What there is to see.

    /// The seed that everything here comes from.
    #[must_use]
    pub fn seed(&self) -> u64 {
        self.kernel.seed
    }

    /// A hash over all that happened on the network until now: time, ends and bytes of every datagram and stream
    /// segment, and every fault. The same seed and the same program give the same one.
    #[must_use]
    pub fn trace_hash(&self) -> String {
        self.kernel.with(|state, _| state.trace.hex())
    }

    /// One fault, and how often it made a difference until now.
    #[must_use]
    pub fn bite(&self, fault: FaultId) -> Bite {
        self.kernel.with(|state, _| state.links.faults.bites()[fault.0].clone())
    }

    /// All faults until now, and how often each made a difference. Those that never did prove nothing.
    #[must_use]
    pub fn bites(&self) -> Vec<Bite> {
        self.kernel.with(|state, _| state.links.faults.bites().to_vec())
    }

    /// What chance, partitions and cuts did to datagrams until now, one by one: the first 100,000 of
    /// [`World::fates_total`]. [`World::force`] makes them happen again.
    #[must_use]
    pub fn fates(&self) -> Vec<Fate> {
        self.kernel.with(|state, _| state.links.ledger.recorded().to_vec())
    }

    /// How much chance, partitions and cuts did to datagrams until now.
    #[must_use]
    pub fn fates_total(&self) -> u64 {
        self.kernel.with(|state, _| state.links.ledger.total())
    }

    /// Datagrams by what became of them.
    #[must_use]
    pub fn counters(&self) -> Counters {
        self.kernel.with(|state, _| state.links.counters)
    }

    /// What exists now.
    #[must_use]
    pub fn usage(&self) -> Usage {
        let (timers, sockets, streams) =
            self.kernel.with(|state, _| (state.agenda.timers(), state.datagrams.sockets(), state.streams.ends()));
        Usage { tasks: self.executor.tasks(), timers, sockets, streams }
    }

    /// How often a task was polled.
    #[must_use]
    pub fn polls(&self) -> u64 {
        self.executor.polls()
    }
}

impl Drop for World {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("netsim: the run with seed {} ended at {:?} of virtual time", self.seed(), self.now());
        }
    }
}
