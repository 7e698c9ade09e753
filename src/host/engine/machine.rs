//! wasmtime as this node uses it: the engine, what it gives to components, the threads they run on, and the clock that
//! interrupts them. There is one while components run, and none before and after.
//!
//! Components have threads of their own, which give way to those of the node: code that computes for 10 ms at a time must
//! not make messages wait that pass through.

use super::cache::{CodeName, sum};
use super::imports;
use super::interfaces;
use super::state::State;
use super::ticker::{Ticker, Ticking};
use ring::digest;
use std::hash::{Hash as _, Hasher};
use std::time::Duration;
use tokio::runtime::{Builder, Runtime};
use wasmtime::component::{Component, InstancePre, Linker};
use wasmtime::{Config, Engine};

/// Bytes of stack that a component may use.
const WASM_STACK_BYTES: usize = 512 << 10;

/// The same, with what the host needs on it when it is called.
pub(super) const STACK_BYTES: usize = 1 << 20;

/// Address space of a memory. With much more, code need not look at its bounds; but small systems have 512 GiB for all.
const MEMORY_RESERVATION_BYTES: u64 = 256 << 20;
const MEMORY_GUARD_BYTES: u64 = 64 << 10;

/// How far the threads of components give way to others, as `nice` counts it.
const NICE: i32 = 10;

/// How long a thread that waits for the disk is kept.
const KEEP_ALIVE: Duration = Duration::from_secs(1);

/// Runs components. The last handle ends the threads, and what runs on them.
pub(super) struct Machine {
    pub(super) engine: Engine,
    linker: Linker<State>,
    ticker: Ticker,
    /// Taken when it ends, and never before.
    threads: Option<Runtime>,
    settings: [u8; 32],
}

impl Machine {
    /// Makes one with so many threads. Takes a few milliseconds.
    ///
    /// # Errors
    /// What the system lacks.
    pub(super) fn new(threads: usize) -> Result<Self, String> {
        let engine = Engine::new(&config()).map_err(|error| format!("wasmtime: {error:#}"))?;
        let linker = interfaces::linker(&engine).map_err(|error| format!("wasmtime: {error:#}"))?;
        let ticker = Ticker::new({
            let engine = engine.clone();
            move || engine.increment_epoch()
        });
        let ticker = ticker.map_err(|error| format!("a thread for the clock: {error}"))?;
        let threads = Builder::new_multi_thread()
            .worker_threads(threads)
            .max_blocking_threads(1)
            .thread_keep_alive(KEEP_ALIVE)
            // Tasks here run for up to 10 ms: who is new, or whose time has come, must not wait for dozens of them.
            .global_queue_interval(2)
            .event_interval(8)
            .thread_name("component")
            .on_thread_start(give_way)
            .enable_time()
            // What components ask by HTTP: see `outgoing/`. The node's own sockets are not among these.
            .enable_io()
            .build()
            .map_err(|error| format!("threads for components: {error}"))?;
        let settings = settings(&engine);
        Ok(Self { engine, linker, ticker, threads: Some(threads), settings })
    }

    /// Runs `task` on the threads of components.
    pub(super) fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        if let Some(threads) = &self.threads {
            threads.spawn(task);
        }
    }

    /// Interrupts running code every 10 ms until the result is dropped.
    pub(super) fn ticking(&self) -> Ticking {
        self.ticker.ticking()
    }

    /// By which name compiled code of `image` is kept.
    pub(super) fn code_name(&self, image: &[u8]) -> CodeName {
        CodeName::new(image, &self.settings)
    }

    /// Joins `component` with what is given to it, and with what others are called by.
    ///
    /// # Errors
    /// It wants what is not given, or in another shape.
    pub(super) fn link(&self, component: &Component) -> Result<InstancePre<State>, String> {
        let mut linker = self.linker.clone();
        imports::add(&mut linker, component)?;
        linker.instantiate_pre(component).map_err(|error| format!("{error:#}"))
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        if let Some(threads) = self.threads.take() {
            // Not by waiting: the last handle may be held by a task that ends on one of them.
            threads.shutdown_background();
        }
    }
}

impl std::fmt::Debug for Machine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Machine").finish_non_exhaustive()
    }
}

/// What is off is not only not needed: it is code that a hostile component would look for mistakes in.
fn config() -> Config {
    let mut config = Config::new();
    config
        .epoch_interruption(true)
        .max_wasm_stack(WASM_STACK_BYTES)
        .async_stack_size(STACK_BYTES)
        .memory_reservation(MEMORY_RESERVATION_BYTES)
        .memory_reservation_for_growth(0)
        .memory_guard_size(MEMORY_GUARD_BYTES)
        .wasm_backtrace_max_frames(None)
        .generate_address_map(false)
        .wasm_memory64(false)
        .wasm_multi_memory(false)
        .wasm_gc(false)
        .wasm_stack_switching(false)
        .wasm_relaxed_simd(false)
        .wasm_custom_page_sizes(false)
        .wasm_wide_arithmetic(false);
    config
}

/// All that has a say in what is compiled: wasmtime's version, its settings, and the processor.
fn settings(engine: &Engine) -> [u8; 32] {
    let mut hasher = Sha(digest::Context::new(&digest::SHA256));
    engine.precompile_compatibility_hash().hash(&mut hasher);
    sum(hasher.0)
}

struct Sha(digest::Context);

impl Hasher for Sha {
    fn write(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    /// Nobody asks: the whole sum is what counts.
    fn finish(&self) -> u64 {
        0
    }
}

/// The thread that calls this gives way to those of the node from now on.
pub(super) fn give_way() {
    if let Err(error) = rustix::process::setpriority_process(None, NICE) {
        tracing::debug!(%error, "threads of components do not give way");
    }
}
