//! Changes of the broker's interest on their way to the control plane.
//!
//! The broker must never wait, and the control plane may be busy: what is kept here is the latest weight of each entry
//! that changed, so the queue is bounded by the number of different subscriptions, however fast they come and go.
//! Entries keep their order: who subscribes to `a` and then to `b` may rely on `a` being known wherever `b` is.

use crate::ports::{InterestChange, InterestSource};
use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use tokio::sync::Notify;

/// The latest weight of each changed entry, until it is taken.
#[derive(Debug, Default)]
pub struct InterestQueue {
    changed: Mutex<Changed>,
    ready: Notify,
}

#[derive(Debug, Default)]
struct Changed {
    in_order: Vec<(Arc<Entry>, u32)>,
    /// Positions in `in_order`. Only looked up.
    positions: HashMap<Arc<Entry>, usize>,
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct Entry {
    source: InterestSource,
    account: Box<[u8]>,
    subject: Box<[u8]>,
    queue: Option<Box<[u8]>>,
}

impl InterestQueue {
    /// Notes a change, in place of an earlier one of the same entry.
    pub fn push(&self, change: &InterestChange<'_>) {
        let entry = Arc::new(Entry {
            source: change.source,
            account: change.account.into(),
            subject: change.subject.into(),
            queue: change.queue.map(Into::into),
        });
        self.changed.lock().expect("no holder of this lock panics").note(entry, change.weight);
        self.ready.notify_one();
    }

    /// Waits until there are changes. Cancel safe.
    pub async fn ready(&self) {
        self.ready.notified().await;
    }

    /// Takes all changes and hands each to `each`.
    pub fn take(&self, mut each: impl FnMut(&InterestChange<'_>)) {
        let changed = std::mem::take(&mut *self.changed.lock().expect("no holder of this lock panics"));
        for (entry, weight) in &changed.in_order {
            each(&InterestChange {
                source: entry.source,
                account: &entry.account,
                subject: &entry.subject,
                queue: entry.queue.as_deref(),
                weight: *weight,
            });
        }
    }
}

impl Changed {
    fn note(&mut self, entry: Arc<Entry>, weight: u32) {
        if let Some(&position) = self.positions.get(&entry) {
            self.in_order[position].1 = weight;
            return;
        }
        self.positions.insert(Arc::clone(&entry), self.in_order.len());
        self.in_order.push((entry, weight));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keeps_the_latest_weight_of_each_entry_in_the_order_of_the_first() {
        let queue = InterestQueue::default();
        let change = |subject: &'static [u8], weight| InterestChange {
            source: InterestSource::Clients,
            account: b"$G",
            subject,
            queue: None,
            weight,
        };
        for change in [change(b"b", 1), change(b"a", 1), change(b"b", 0)] {
            queue.push(&change);
        }
        let mut taken = Vec::new();
        queue.take(|change| taken.push((change.subject.to_vec(), change.weight)));
        assert_eq!(taken, [(b"b".to_vec(), 0), (b"a".to_vec(), 1)]);
        queue.take(|_| panic!("nothing is left"));
    }
}
