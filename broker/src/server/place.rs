//! A connection's place among those that there may be: it is one from its first byte to its end.

use crate::hub::Hub;
use crate::stats::{add, sub};
use std::sync::Arc;

pub(super) struct Place(Arc<Hub>);

impl Place {
    pub(super) fn take(hub: &Arc<Hub>) -> Self {
        add(&hub.counters.connections, 1);
        Self(hub.clone())
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        sub(&self.0.counters.connections, 1);
    }
}
