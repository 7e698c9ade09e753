//! Changes of the broker's interest on their way to the control plane.
//!
//! The broker must never wait, and the control plane may be busy: what is kept here is the latest weight of each entry
//! that changed, so the queue is bounded by the number of different subscriptions, however fast they come and go.

use crate::ports::{InterestChange, InterestSource};
use std::collections::BTreeMap;
use std::sync::Mutex;
use tokio::sync::Notify;

/// The latest weight of each changed entry, until it is taken.
#[derive(Debug, Default)]
pub struct InterestQueue {
    changed: Mutex<BTreeMap<Entry, u32>>,
    ready: Notify,
}

#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Entry {
    source: InterestSource,
    account: Box<[u8]>,
    subject: Box<[u8]>,
    queue: Option<Box<[u8]>>,
}

impl InterestQueue {
    /// Notes a change, in place of an earlier one of the same entry.
    pub fn push(&self, change: &InterestChange<'_>) {
        let entry = Entry {
            source: change.source,
            account: change.account.into(),
            subject: change.subject.into(),
            queue: change.queue.map(Into::into),
        };
        self.changed.lock().expect("no holder of this lock panics").insert(entry, change.weight);
        self.ready.notify_one();
    }

    /// Waits until there are changes. Cancel safe.
    pub async fn ready(&self) {
        self.ready.notified().await;
    }

    /// Takes all changes and hands each to `each`.
    pub fn take(&self, mut each: impl FnMut(&InterestChange<'_>)) {
        let changed = std::mem::take(&mut *self.changed.lock().expect("no holder of this lock panics"));
        for (entry, weight) in &changed {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keeps_the_latest_weight_of_each_entry() {
        let queue = InterestQueue::default();
        let change = |subject: &'static [u8], weight| InterestChange {
            source: InterestSource::Clients,
            account: b"$G",
            subject,
            queue: None,
            weight,
        };
        for change in [change(b"a", 1), change(b"b", 1), change(b"a", 0)] {
            queue.push(&change);
        }
        let mut taken = Vec::new();
        queue.take(|change| taken.push((change.subject.to_vec(), change.weight)));
        assert_eq!(taken, [(b"a".to_vec(), 0), (b"b".to_vec(), 1)]);
        queue.take(|_| panic!("nothing is left"));
    }
}
