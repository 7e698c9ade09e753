//! The one lock of the crate: state that many handles share and one thread uses.

use std::sync::{Mutex, MutexGuard, PoisonError};

/// A mutex that nobody waits for. It exists because handles must be `Send`, not because threads compete.
#[derive(Debug, Default)]
pub(crate) struct Guarded<T>(Mutex<T>);

impl<T> Guarded<T> {
    pub(crate) fn new(value: T) -> Self {
        Self(Mutex::new(value))
    }

    /// Takes the lock. A panic elsewhere must not hide behind a second one while a world is torn down,
    /// so poison is ignored.
    pub(crate) fn lock(&self) -> MutexGuard<'_, T> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
