//! What a thread lends to the connection that it is running: the read buffer and the stages. An idle connection holds neither.

use crate::batch::Batch;
use std::cell::Cell;

/// Bytes read at once. Larger reads mean fewer writes to the takers.
pub(super) const READ_BUFFER: usize = 256 << 10;

pub(super) struct Bench {
    pub(super) buffer: Vec<u8>,
    pub(super) batch: Batch,
}

thread_local! {
    static BENCH: Cell<Option<Box<Bench>>> = const { Cell::new(None) };
}

pub(super) fn with_bench<R>(work: impl FnOnce(&mut Bench) -> R) -> R {
    let fresh = || Box::new(Bench { buffer: vec![0; READ_BUFFER], batch: Batch::default() });
    let mut bench = BENCH.take().unwrap_or_else(fresh);
    let result = work(&mut bench);
    BENCH.set(Some(bench));
    result
}
