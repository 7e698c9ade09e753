//! What one instance has: its share of WASI, which is empty, and what its host functions look at.

use super::call::Limit;
use super::clocks::{Monotonic, Wall};
use super::limiter::Limiter;
use super::live::Live;
use super::log::Level;
use super::machine::STACK_BYTES;
use super::outgoing::Hooks;
use super::output::Output;
use std::sync::Arc;
use tokio::sync::OwnedSemaphorePermit;
use wasmtime::component::ResourceTable;
use wasmtime_wasi::{WasiCtx, WasiCtxView, WasiView};
use wasmtime_wasi_http::{WasiHttpCtx, WasiHttpCtxView, WasiHttpView};

/// Random bytes that an instance may ask for at a time.
const RANDOM_BYTES_MAX: u64 = 64 << 10;

/// Bytes of each set of headers that an instance may put together: as many as servers read of a request's.
const HEADERS_BYTES_MAX: usize = 16 << 10;

/// The state behind one instance, from its making to the end of its call.
pub(super) struct State {
    pub(super) live: Arc<Live>,
    pub(super) limiter: Limiter,
    /// Where an answer to the message in hand is wanted.
    pub(super) reply: Option<Box<str>>,
    /// One of the turns of all calls, while this one computes.
    pub(super) turn: Option<OwnedSemaphorePermit>,
    wasi: WasiCtx,
    http: WasiHttpCtx,
    hooks: Hooks,
    resources: ResourceTable,
}

impl State {
    /// For an instance that takes `beside` bytes besides what it is made of.
    ///
    /// # Errors
    /// There is no memory left for it.
    pub(super) fn new(live: &Arc<Live>, reply: Option<Box<str>>, beside: u64) -> Result<Self, Limit> {
        let price = STACK_BYTES as u64 + live.code.parts.bytes + beside;
        let limiter = Limiter::new(&live.bounds, live.allowed, &live.budget, price)?;
        let output = |level, source| Output { log: live.log.clone(), level, source };
        // No folders, no variables, no arguments, no sockets, no input.
        let wasi = WasiCtx::builder()
            .stdout(output(Level::Info, "stdout"))
            .stderr(output(Level::Warn, "stderr"))
            .wall_clock(Wall(live.env.clone()))
            .monotonic_clock(Monotonic { env: live.env.clone(), start: live.start })
            .max_random_size(RANDOM_BYTES_MAX)
            .allow_tcp(false)
            .allow_udp(false)
            .build();
        let mut resources = ResourceTable::new();
        resources.set_max_capacity(live.bounds.handles_max);
        let mut http = WasiHttpCtx::new();
        http.set_field_size_limit(HEADERS_BYTES_MAX);
        Ok(Self { live: live.clone(), limiter, reply, turn: None, wasi, http, hooks: Hooks(live.clone()), resources })
    }

    /// Waits for others, who may have this call's turn meanwhile: whom it asks needs one, too.
    pub(super) async fn waiting<T>(&mut self, others: impl Future<Output = T>) -> T {
        drop(self.turn.take());
        let done = others.await;
        self.turn = self.live.turn().await;
        done
    }
}

impl WasiView for State {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        WasiCtxView { ctx: &mut self.wasi, table: &mut self.resources }
    }
}

impl WasiHttpView for State {
    fn http(&mut self) -> WasiHttpCtxView<'_> {
        WasiHttpCtxView { hooks: &mut self.hooks, table: &mut self.resources, ctx: &mut self.http }
    }
}
