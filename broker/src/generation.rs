//! Which cached routes are stale: counters that a change of interest bumps.
//!
//! One counter would make every subscription to a fresh inbox forget all routes. So there are many: a literal
//! filter bumps the one of its subject, a wildcard filter the one of its first token, and only a filter that
//! starts with a wildcard bumps the one that all subjects share.

use crate::subject::{has_wildcard, tokens};
use std::sync::atomic::{AtomicU64, Ordering};

const SHARDS: usize = 256;

/// The counters of an account.
#[derive(Debug)]
pub(crate) struct Generations {
    all: AtomicU64,
    by_subject: [AtomicU64; SHARDS],
    by_first_token: [AtomicU64; SHARDS],
}

/// Which counters concern a subject.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Shards {
    subject: u8,
    first_token: u8,
}

impl Default for Generations {
    fn default() -> Self {
        let zeros = || std::array::from_fn(|_| AtomicU64::new(0));
        Self { all: AtomicU64::new(0), by_subject: zeros(), by_first_token: zeros() }
    }
}

impl Shards {
    pub(crate) fn of(subject: &[u8]) -> Self {
        Self { subject: shard(subject), first_token: shard(first_token(subject)) }
    }
}

impl Generations {
    /// Grows whenever interest in a subject with these shards may have changed.
    #[inline]
    pub(crate) fn stamp(&self, shards: Shards) -> u64 {
        // Each counter only grows, so the sum is the same only while all three are.
        self.all.load(Ordering::Acquire)
            + self.by_subject[usize::from(shards.subject)].load(Ordering::Acquire)
            + self.by_first_token[usize::from(shards.first_token)].load(Ordering::Acquire)
    }

    /// Interest in `filter` has changed.
    pub(crate) fn bump(&self, filter: &[u8]) {
        let counter = match first_token(filter) {
            _ if !has_wildcard(filter) => &self.by_subject[usize::from(shard(filter))],
            b"*" | b">" => &self.all,
            first => &self.by_first_token[usize::from(shard(first))],
        };
        counter.fetch_add(1, Ordering::Release);
    }

    /// Anything may have changed.
    pub(crate) fn bump_all(&self) {
        self.all.fetch_add(1, Ordering::Release);
    }
}

fn first_token(subject: &[u8]) -> &[u8] {
    tokens(subject).next().unwrap_or_default()
}

fn shard(bytes: &[u8]) -> u8 {
    (hash(bytes) >> 56) as u8
}

/// A quick hash for small fixed tables; collisions cost time, never correctness.
#[inline]
pub(crate) fn hash(bytes: &[u8]) -> u64 {
    const MIX: u64 = 0x9e37_79b9_7f4a_7c15;
    let mut state = bytes.len() as u64;
    let (words, rest) = bytes.as_chunks::<8>();
    for word in words {
        state = (state.rotate_left(5) ^ u64::from_le_bytes(*word)).wrapping_mul(MIX);
    }
    let mut last = [0; 8];
    last[..rest.len()].copy_from_slice(rest);
    (state.rotate_left(5) ^ u64::from_le_bytes(last)).wrapping_mul(MIX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::subject::matches;

    #[test]
    fn a_change_is_seen_by_every_subject_that_it_matches() {
        let generations = Generations::default();
        for (filter, subject) in [("a.b", "a.b"), ("a.*", "a.b"), ("a.>", "a.b.c"), ("*.b", "a.b"), (">", "x")] {
            assert!(matches(filter.as_bytes(), subject.as_bytes()));
            let before = generations.stamp(Shards::of(subject.as_bytes()));
            generations.bump(filter.as_bytes());
            assert_ne!(generations.stamp(Shards::of(subject.as_bytes())), before, "{filter}");
        }
    }

    #[test]
    fn an_inbox_does_not_disturb_others() {
        let generations = Generations::default();
        let before = generations.stamp(Shards::of(b"orders.eu"));
        for n in 0..3 {
            generations.bump(format!("_INBOX.{n}.*").as_bytes());
        }
        assert_eq!(generations.stamp(Shards::of(b"orders.eu")), before);
    }
}
