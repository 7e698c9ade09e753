//! Counts what one instance takes, and says when that is enough: memory (tables are memory, too), stack, calls to the host, messages,
//! values that are written, requests by HTTP.
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

/// A part of the budget that grows. Dropping it gives it back.
#[derive(Debug)]
pub(super) struct Share {
    budget: Arc<Budget>,
    bytes: u64,
}

impl Share {
    /// Nothing of `budget`, yet.
    pub(super) fn of(budget: &Arc<Budget>) -> Self {
        Self { budget: budget.clone(), bytes: 0 }
    }

    /// Takes so much more.
    ///
    /// # Errors
    /// There is no room for that.
    pub(super) fn take(&mut self, bytes: u64) -> Result<(), Limit> {
        if !self.budget.take(bytes) {
            return Err(Limit::MemoryTotal { max: self.budget.max });
        }
        self.bytes += bytes;
        Ok(())
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.budget.give_back(self.bytes);
    }
}

/// Bytes of an element of a table.
const ELEMENT_BYTES: u64 = 16;

/// What one instance has taken. Dropping it gives its memory back.
#[derive(Debug)]
pub(super) struct Limiter {
    budget: Arc<Budget>,
    memory_max: u64,
    memory: u64,
    /// What it had of the budget from its beginning.
    price: u64,
    table_elements_max: usize,
    parts_max: usize,
    memories_max: usize,
    host_calls_max: u64,
    host_calls: u64,
    published_max: u64,
    published: u64,
    written_max: u64,
    written: u64,
    asked_max: u64,
    asked: u64,
    /// What it was refused last.
    hit: Option<Limit>,
}

impl Limiter {
    /// For an instance that takes `price` bytes of the budget before it has a memory.
    ///
    /// # Errors
    /// There is no room for that.
    pub(super) fn new(bounds: &Bounds, allowed: Allowed, budget: &Arc<Budget>, price: u64) -> Result<Self, Limit> {
        if !budget.take(price) {
            return Err(Limit::MemoryTotal { max: budget.max });
        }
        Ok(Self {
            budget: budget.clone(),
            memory_max: allowed.memory,
            memory: 0,
            price,
            table_elements_max: bounds.table_elements_max,
            parts_max: bounds.parts_max,
            memories_max: bounds.memories_max,
            host_calls_max: bounds.host_calls_max,
            host_calls: 0,
            published_max: bounds.published_max,
            published: 0,
            written_max: bounds.written_max,
            written: 0,
            asked_max: bounds.asked_max,
            asked: 0,
            hit: None,
        })
    }

    /// Lets it publish nothing, write nothing, and ask nobody by HTTP.
    pub(super) fn silence(&mut self) {
        self.published_max = 0;
        self.written_max = 0;
        self.asked_max = 0;
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

    /// Counts a value that is to be written or deleted.
    ///
    /// # Errors
    /// As [`Limiter::host_call`].
    pub(super) fn write(&mut self) -> Result<(), Limit> {
        self.written += 1;
        if self.written <= self.written_max {
            return Ok(());
        }
        Err(self.stop(Limit::Written { max: self.written_max }))
    }

    /// Counts a request by HTTP that is to be made.
    ///
    /// # Errors
    /// As [`Limiter::host_call`].
    pub(super) fn ask(&mut self) -> Result<(), Limit> {
        self.asked += 1;
        if self.asked <= self.asked_max {
            return Ok(());
        }
        Err(self.stop(Limit::Asked { max: self.asked_max }))
    }

    /// Takes so much more memory, if there is as much.
    fn take(&mut self, bytes: u64) -> bool {
        if self.memory.saturating_add(bytes) > self.memory_max {
            self.stop(Limit::Memory { max: self.memory_max });
            return false;
        }
        if !self.budget.take(bytes) {
            self.stop(Limit::MemoryTotal { max: self.budget.max });
            return false;
        }
        self.memory += bytes;
        true
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
        Ok(self.take(desired.saturating_sub(current) as u64))
    }

    fn table_growing(&mut self, current: usize, desired: usize, maximum: Option<usize>) -> wasmtime::Result<bool> {
        if maximum.is_some_and(|maximum| desired > maximum) {
            return Ok(false);
        }
        if desired > self.table_elements_max {
            self.stop(Limit::Table { max: self.table_elements_max });
            return Ok(false);
        }
        Ok(self.take((desired.saturating_sub(current) as u64).saturating_mul(ELEMENT_BYTES)))
    }

    fn instances(&self) -> usize {
        self.parts_max
    }

    fn tables(&self) -> usize {
        self.parts_max
    }

    fn memories(&self) -> usize {
        self.memories_max
    }
}

impl Drop for Limiter {
    fn drop(&mut self) {
        self.budget.give_back(self.memory + self.price);
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
        let limiter = || Limiter::new(&Bounds::default(), allowed, &budget, 0).unwrap();
        let (mut one, mut other) = (limiter(), limiter());
        assert!(one.memory_growing(0, 150, None).unwrap());
        assert!(!one.memory_growing(150, 250, None).unwrap());
        assert_eq!(one.hit(), Some(Limit::Memory { max: 200 }));
        assert!(!other.memory_growing(0, 200, None).unwrap());
        assert_eq!(other.hit(), Some(Limit::MemoryTotal { max: 300 }));
        assert!(one.table_growing(0, 3, None).unwrap());
        assert_eq!((budget.used(), one.memory), (198, 198), "tables are memory");
        drop(one);
        assert!(other.memory_growing(0, 200, None).unwrap());
        assert!(Limiter::new(&Bounds::default(), allowed, &budget, 101).is_err());
        let third = Limiter::new(&Bounds::default(), allowed, &budget, 100).unwrap();
        drop((other, third));
        assert_eq!(budget.used(), 0);
    }
}
