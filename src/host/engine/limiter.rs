//! Counts what one instance takes, and says when that is enough: memory, tables, calls to the host, messages.
//!
//! What stopped an instance is remembered here, since what wasmtime reports is often only how the code in it took the
//! refusal. Time is `call.rs`'s business.

use super::bounds::{Allowed, Bounds};
use super::call::Limit;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use wasmtime::ResourceLimiter;

/// Bytes of linear memory that all instances of a node share.
#[derive(Debug)]
pub(super) struct Budget {
    max: u64,
    used: AtomicU64,
}

impl Budget {
    pub(super) fn new(max: u64) -> Self {
        Self { max, used: AtomicU64::new(0) }
    }

    fn take(&self, bytes: u64) -> bool {
        let more = |used: u64| used.checked_add(bytes).filter(|&sum| sum <= self.max);
        self.used.fetch_update(Relaxed, Relaxed, more).is_ok()
    }

    fn give_back(&self, bytes: u64) {
        self.used.fetch_sub(bytes, Relaxed);
    }

    /// Bytes in use.
    pub(super) fn used(&self) -> u64 {
        self.used.load(Relaxed)
    }
}

/// What one instance has taken. Dropping it gives its memory back.
#[derive(Debug)]
pub(super) struct Limiter {
    budget: Arc<Budget>,
    memory_max: u64,
    memory: u64,
    table_elements_max: usize,
    parts_max: usize,
    host_calls_max: u64,
    host_calls: u64,
    published_max: u64,
    published: u64,
    /// What it was refused last.
    hit: Option<Limit>,
}

impl Limiter {
    pub(super) fn new(bounds: &Bounds, allowed: Allowed, budget: &Arc<Budget>) -> Self {
        Self {
            budget: budget.clone(),
            memory_max: allowed.memory,
            memory: 0,
            table_elements_max: bounds.table_elements_max,
            parts_max: bounds.parts_max,
            host_calls_max: bounds.host_calls_max,
            host_calls: 0,
            published_max: bounds.published_max,
            published: 0,
            hit: None,
        }
    }

    /// The limit that the instance ran into, if it did.
    pub(super) fn hit(&self) -> Option<Limit> {
        self.hit
    }

    /// Counts a call to the host.
    ///
    /// # Errors
    /// There were too many: the instance is to be stopped.
    #[inline]
    pub(super) fn host_call(&mut self) -> Result<(), Limit> {
        self.host_calls += 1;
        if self.host_calls <= self.host_calls_max {
            return Ok(());
        }
        Err(self.stop(Limit::HostCalls { max: self.host_calls_max }))
    }

    /// Counts a message that is to be published.
    ///
    /// # Errors
    /// As [`Limiter::host_call`].
    pub(super) fn publish(&mut self) -> Result<(), Limit> {
        self.published += 1;
        if self.published <= self.published_max {
            return Ok(());
        }
        Err(self.stop(Limit::Published { max: self.published_max }))
    }

    fn stop(&mut self, limit: Limit) -> Limit {
        self.hit = Some(limit);
        limit
    }
}

impl ResourceLimiter for Limiter {
    fn memory_growing(&mut self, current: usize, desired: usize, maximum: Option<usize>) -> wasmtime::Result<bool> {
        if maximum.is_some_and(|maximum| desired > maximum) {
            // Its own limit, and no business of ours.
            return Ok(false);
        }
        let more = desired.saturating_sub(current) as u64;
        if self.memory.saturating_add(more) > self.memory_max {
            self.stop(Limit::Memory { max: self.memory_max });
            return Ok(false);
        }
        if !self.budget.take(more) {
            self.stop(Limit::MemoryTotal { max: self.budget.max });
            return Ok(false);
        }
        self.memory += more;
        Ok(true)
    }

    fn table_growing(&mut self, _current: usize, desired: usize, _maximum: Option<usize>) -> wasmtime::Result<bool> {
        if desired > self.table_elements_max {
            self.stop(Limit::Table { max: self.table_elements_max });
            return Ok(false);
        }
        Ok(true)
    }

    fn instances(&self) -> usize {
        self.parts_max
    }

    fn tables(&self) -> usize {
        self.parts_max
    }

    fn memories(&self) -> usize {
        self.parts_max
    }
}

impl Drop for Limiter {
    fn drop(&mut self) {
        self.budget.give_back(self.memory);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn memory_is_bounded_for_each_and_for_all() {
        let budget = Arc::new(Budget::new(300));
        let allowed = Allowed { memory: 200, call: Duration::ZERO };
        let limiter = || Limiter::new(&Bounds::default(), allowed, &budget);
        let (mut one, mut other) = (limiter(), limiter());
        assert!(one.memory_growing(0, 150, None).unwrap());
        assert!(!one.memory_growing(150, 250, None).unwrap());
        assert_eq!(one.hit(), Some(Limit::Memory { max: 200 }));
        assert!(!other.memory_growing(0, 200, None).unwrap());
        assert_eq!(other.hit(), Some(Limit::MemoryTotal { max: 300 }));
        drop(one);
        assert!(other.memory_growing(0, 200, None).unwrap());
        drop(other);
        assert_eq!(budget.used(), 0);
    }
}
