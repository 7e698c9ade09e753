//! Where answers go: which node waits behind a reply subject, learnt from the requests that came from there.
//!
//! A request overtakes the interest in its answer, so the node that serves it may not know yet who wants the answer.
//! Clients take their reply subjects from one prefix each (`_INBOX.<client>.<request>`), so the prefix, up to the last
//! dot, is what is remembered: one entry for all requests of a client. Where two nodes turn out to use the same
//! prefix, and where the prefix is but one word (`_INBOX.<request>`), whole subjects are remembered instead.
//!
//! Bounded: when full, what was learnt the longest ago goes first. Losing an entry costs an answer only while the
//! interest itself is still on its way.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Entries in line that are looked at for each new one.
const LOOKED_AT: usize = 4;

type Name = Arc<[u8]>;

/// Reply subjects and the nodes behind them.
#[derive(Debug)]
pub struct Learnt {
    entries_max: usize,
    lifetime: Duration,
    /// By account, by prefix or whole subject. Only looked up, never iterated.
    accounts: HashMap<Name, HashMap<Name, Slot>>,
    /// Every slot once, with when it was put in line; the one to look at first is in front.
    oldest: VecDeque<(Instant, Name, Name)>,
}

#[derive(Clone, Copy, Debug)]
struct Slot {
    owner: Owner,
    seen: Instant,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Owner {
    Member(u32),
    /// Several nodes use the prefix: whole subjects count.
    Several,
}

impl Learnt {
    /// Nothing learnt yet. At most `entries_max` are kept, each for `lifetime` after its last request.
    #[must_use]
    pub fn new(entries_max: usize, lifetime: Duration) -> Self {
        Self { entries_max, lifetime, accounts: HashMap::new(), oldest: VecDeque::new() }
    }

    /// Remembers that `member` waits for an answer on `reply`. True when that changes what [`Learnt::member`] answers:
    /// routes that were looked up before are stale then.
    pub fn learn(&mut self, now: Instant, account: &[u8], reply: &[u8], member: u32) -> bool {
        let Some(prefix) = prefix(reply) else { return self.put(now, account, reply, member) };
        match self.alive(now, account, prefix) {
            None => self.put(now, account, prefix, member),
            Some(Owner::Member(known)) if known == member => self.put(now, account, prefix, member),
            Some(Owner::Member(_) | Owner::Several) => {
                self.put_owner(now, account, prefix, Owner::Several);
                self.put(now, account, reply, member)
            }
        }
    }

    /// The node that waits for an answer on `subject`.
    #[must_use]
    pub fn member(&self, now: Instant, account: &[u8], subject: &[u8]) -> Option<u32> {
        let key = prefix(subject).unwrap_or(subject);
        let whole = || match self.alive(now, account, subject)? {
            Owner::Member(member) => Some(member),
            Owner::Several => None,
        };
        match self.alive(now, account, key)? {
            Owner::Member(member) => Some(member),
            Owner::Several => whole(),
        }
    }

    /// Number of entries.
    #[must_use]
    pub fn len(&self) -> usize {
        self.oldest.len()
    }

    /// True when nothing is remembered.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.oldest.is_empty()
    }

    fn alive(&self, now: Instant, account: &[u8], key: &[u8]) -> Option<Owner> {
        let slot = self.accounts.get(account)?.get(key)?;
        (now < slot.seen + self.lifetime).then_some(slot.owner)
    }

    fn put(&mut self, now: Instant, account: &[u8], key: &[u8], member: u32) -> bool {
        self.put_owner(now, account, key, Owner::Member(member))
    }

    fn put_owner(&mut self, now: Instant, account: &[u8], key: &[u8], owner: Owner) -> bool {
        let lifetime = self.lifetime;
        if let Some(slot) = self.accounts.get_mut(account).and_then(|slots| slots.get_mut(key)) {
            let changed = slot.owner != owner || now >= slot.seen + lifetime;
            *slot = Slot { owner, seen: now };
            return changed;
        }
        self.make_room(now);
        let account: Name = match self.accounts.get_key_value(account) {
            Some((account, _)) => account.clone(),
            None => account.into(),
        };
        let key: Name = key.into();
        self.accounts.entry(account.clone()).or_default().insert(key.clone(), Slot { owner, seen: now });
        self.oldest.push_back((now, account, key));
        true
    }

    /// Drops what has expired, and when that is not enough, what was learnt the longest ago.
    ///
    /// An entry that was seen again since it was put in line goes to the line's end. Few are looked at each time, so
    /// that learning costs the same however much is known; then the first in line has to go.
    fn make_room(&mut self, now: Instant) {
        for _ in 0..LOOKED_AT {
            let full = self.oldest.len() >= self.entries_max;
            let Some((queued, account, key)) = self.oldest.pop_front() else { return };
            let seen = self.accounts.get(&account).and_then(|slots| slots.get(&key)).map(|slot| slot.seen);
            match seen {
                Some(seen) if now < seen + self.lifetime && seen > queued => {
                    self.oldest.push_back((seen, account, key))
                }
                Some(seen) if now < seen + self.lifetime && !full => {
                    self.oldest.push_front((queued, account, key));
                    return;
                }
                Some(_) | None => self.remove(&account, &key),
            }
        }
        while self.oldest.len() >= self.entries_max.max(1) {
            let Some((_, account, key)) = self.oldest.pop_front() else { return };
            self.remove(&account, &key);
        }
    }

    fn remove(&mut self, account: &Name, key: &Name) {
        if let Some(slots) = self.accounts.get_mut(account) {
            slots.remove(key);
            if slots.is_empty() {
                self.accounts.remove(account);
            }
        }
    }
}

/// The part of a reply subject that one client has for itself: up to the last dot, when that is two words or more.
fn prefix(subject: &[u8]) -> Option<&[u8]> {
    let end = last_dot(subject)?;
    last_dot(&subject[..end]).map(|_| &subject[..=end])
}

fn last_dot(text: &[u8]) -> Option<usize> {
    text.iter().rposition(|&byte| byte == b'.')
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mesh::start_of_time;

    fn secs(n: u64) -> Duration {
        Duration::from_secs(n)
    }

    #[test]
    fn one_request_tells_of_all_answers_of_a_client() {
        let (now, mut learnt) = (start_of_time(), Learnt::new(9, secs(60)));
        assert!(learnt.learn(now, b"A", b"_INBOX.client.1", 7));
        assert!(!learnt.learn(now, b"A", b"_INBOX.client.2", 7), "nothing has changed");
        assert_eq!(learnt.member(now, b"A", b"_INBOX.client.3"), Some(7));
        assert_eq!(learnt.member(now, b"B", b"_INBOX.client.3"), None);
        assert_eq!(learnt.member(now, b"A", b"_INBOX.other.3"), None);
        assert_eq!(learnt.len(), 1);
    }

    #[test]
    fn what_two_nodes_share_is_no_prefix() {
        let (now, mut learnt) = (start_of_time(), Learnt::new(9, secs(60)));
        learnt.learn(now, b"A", b"_INBOX.1", 7);
        assert!(learnt.learn(now, b"A", b"_INBOX.2", 8));
        assert_eq!(learnt.member(now, b"A", b"_INBOX.1"), Some(7));
        assert_eq!(learnt.member(now, b"A", b"_INBOX.2"), Some(8));

        learnt.learn(now, b"A", b"service.answers.1", 7);
        assert!(learnt.learn(now, b"A", b"service.answers.2", 8));
        assert_eq!(learnt.member(now, b"A", b"service.answers.2"), Some(8));
        assert_eq!(learnt.member(now, b"A", b"service.answers.3"), None);
        assert!(learnt.learn(now, b"A", b"service.answers.3", 7));
        assert_eq!(learnt.member(now, b"A", b"service.answers.3"), Some(7));
    }

    #[test]
    fn what_is_not_seen_again_expires() {
        let (now, mut learnt) = (start_of_time(), Learnt::new(9, secs(60)));
        learnt.learn(now, b"A", b"_INBOX.client.1", 7);
        assert!(!learnt.learn(now + secs(50), b"A", b"_INBOX.client.1", 7));
        assert_eq!(learnt.member(now + secs(109), b"A", b"_INBOX.client.1"), Some(7));
        assert_eq!(learnt.member(now + secs(110), b"A", b"_INBOX.client.1"), None);
        assert!(learnt.learn(now + secs(110), b"A", b"_INBOX.client.1", 7), "it was forgotten, so this is news");
    }

    #[test]
    fn when_full_the_longest_unseen_goes() {
        let (start, mut learnt) = (start_of_time(), Learnt::new(3, secs(60)));
        for (at, client) in [(0, "a"), (1, "b"), (2, "c"), (3, "a"), (4, "d")] {
            learnt.learn(start + secs(at), b"A", format!("_INBOX.{client}.1").as_bytes(), 7);
        }
        let known = |client: &str| learnt.member(start + secs(5), b"A", format!("_INBOX.{client}.9").as_bytes());
        assert_eq!(["a", "b", "c", "d"].map(|client| known(client).is_some()), [true, false, true, true]);
        assert_eq!(learnt.len(), 3);
    }

    #[test]
    fn memory_is_bounded_and_freed() {
        let (start, mut learnt) = (start_of_time(), Learnt::new(100, secs(60)));
        for n in 0..10_000u32 {
            let now = start + Duration::from_millis(n.into());
            learnt.learn(now, format!("account {}", n % 7).as_bytes(), format!("_INBOX.{n}.1").as_bytes(), n);
            assert!(learnt.len() <= 100);
        }
        for n in 0..200u32 {
            learnt.learn(start + secs(1000 + u64::from(n) * 61), b"A", format!("_INBOX.{n}.1").as_bytes(), n);
        }
        assert_eq!((learnt.len(), learnt.accounts.len()), (1, 1));
    }
}
