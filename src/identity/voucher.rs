//! Vouchers: what an inviter remembers of its invites, who used them, and who is refused and why.
//!
//! A voucher that is used up or expired is kept for a week, so that a late joiner is told what happened. How the
//! joiner is spoken to is left to `mesh/join.rs`.

use super::invite::Invite;
use super::issue::{IssueError, Terms, VOUCHERS_MAX, check_terms};
use super::key::{Key, PublicKey};
use super::nkey::Kind;
use super::{Identity, NodeId, Refusal, unix};
use crate::codec;
use crate::store::{Store, StoreError};
use bincode::{Decode, Encode};
use lattice_broker::env::{BoxFuture, Rng};
use std::fmt;
use std::sync::{Arc, Mutex};
use std::time::SystemTime;

const REMEMBERED_SECS: u64 = 7 * 24 * 3_600;
const PREFIX: &[u8] = b"voucher/";

/// What a member remembers of an invite that it issued.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Voucher {
    /// When it was issued, in seconds since 1970.
    pub created: u64,
    /// Until when it is good, in seconds since 1970.
    pub expires: u64,
    /// How many more devices it is good for.
    pub uses_left: u32,
    /// Who has used it, first to last.
    pub used_by: Vec<Use>,
}

/// One use of a [`Voucher`].
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Use {
    /// The node's key.
    pub node: [u8; 32],
    /// Its name.
    pub name: String,
    /// When, in seconds since 1970.
    pub at: u64,
}

/// A device that shows a voucher.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Joiner {
    /// Its key.
    pub node: NodeId,
    /// Its name.
    pub name: String,
}

impl Voucher {
    /// Counts a use by `joiner`, unless there is a reason not to. True when the record has changed: a joiner that
    /// asks again (its answer was lost) is admitted again for nothing.
    ///
    /// # Errors
    /// [`Refusal`]; nothing has changed then.
    pub fn redeem(&mut self, joiner: &Joiner, now: u64) -> Result<bool, Refusal> {
        if self.used_by.iter().any(|u| u.node == joiner.node.0) {
            return Ok(false);
        }
        if self.uses_left == 0 {
            let last = self.used_by.last();
            let by = last.map_or_else(String::new, |u| u.name.clone());
            return Err(Refusal::UsedUp { by, ago_secs: now.saturating_sub(last.map_or(now, |u| u.at)) });
        }
        if now > self.expires {
            return Err(Refusal::Expired { ago_secs: now - self.expires });
        }
        self.uses_left -= 1;
        self.used_by.push(Use { node: joiner.node.0, name: joiner.name.clone(), at: now });
        Ok(true)
    }

    /// Whether nobody needs to be told of it any more.
    fn is_stale(&self, now: u64) -> bool {
        let spent_at = if self.uses_left == 0 { self.used_by.last().map_or(self.created, |u| u.at) } else { u64::MAX };
        now > self.expires.min(spent_at).saturating_add(REMEMBERED_SECS)
    }
}

/// What transport and join need to know of vouchers.
pub trait Vouchers: Send + Sync + fmt::Debug + 'static {
    /// Whether `key` is a voucher's, spent and expired ones included: its holder gets to hear why.
    fn knows(&self, key: PublicKey) -> bool;
    /// Counts a use. Ready, and `Ok`, when the count survives a loss of power. Effective even when dropped early.
    fn redeem(&self, key: PublicKey, joiner: &Joiner, now: SystemTime) -> BoxFuture<Result<(), Refusal>>;
}

/// No invites, ever.
#[derive(Clone, Copy, Debug)]
pub struct NoVouchers;

impl Vouchers for NoVouchers {
    fn knows(&self, _: PublicKey) -> bool {
        false
    }

    fn redeem(&self, _: PublicKey, _: &Joiner, _: SystemTime) -> BoxFuture<Result<(), Refusal>> {
        Box::pin(std::future::ready(Err(Refusal::Unknown)))
    }
}

/// Vouchers in a [`Store`], one record each.
#[derive(Debug)]
pub struct StoreVouchers {
    store: Arc<dyn Store>,
    /// Held from reading a record to writing it back.
    writing: Mutex<()>,
}

impl StoreVouchers {
    /// The vouchers in `store`.
    #[must_use]
    pub fn new(store: Arc<dyn Store>) -> Self {
        Self { store, writing: Mutex::new(()) }
    }

    /// Issues an invite to the lattice of `identity`. It is on the disk for good before it is returned.
    ///
    /// # Errors
    /// [`IssueError`]; there is no invite then.
    pub async fn issue(
        &self,
        identity: &Identity,
        rng: &mut Rng,
        terms: &Terms,
        now: SystemTime,
    ) -> Result<Invite, IssueError> {
        let now = unix(now);
        check_terms(identity, terms)?;
        if self.forget_stale(now)? >= VOUCHERS_MAX {
            return Err(IssueError::TooMany);
        }
        let key = Key::generate(Kind::Node, rng);
        let expires = now.saturating_add(terms.valid_for.as_secs());
        let record = Voucher { created: now, expires, uses_left: terms.uses, used_by: Vec::new() };
        self.store.put(&record_key(key.public()), &codec::encode(&record))?;
        self.store.flush_durable().await?;
        Ok(Invite { lattice: identity.lattice(), voucher: key, expires, addresses: terms.addresses.clone() })
    }

    /// What is remembered of `key`.
    ///
    /// # Errors
    /// [`StoreError::Io`]: the disk fails, or holds something else there.
    pub fn find(&self, key: PublicKey) -> Result<Option<Voucher>, StoreError> {
        let bytes = self.store.get(&record_key(key))?;
        bytes.map(|b| codec::decode(&b).map_err(|e| StoreError::Io { why: e.to_string() })).transpose()
    }

    /// Deletes what nobody needs to be told of any more. Returns how many are left.
    fn forget_stale(&self, now: u64) -> Result<usize, StoreError> {
        let mut left = 0;
        for (key, value) in self.store.scan(PREFIX, None, VOUCHERS_MAX + 1)? {
            match codec::decode::<Voucher>(&value) {
                Ok(voucher) if !voucher.is_stale(now) => left += 1,
                Ok(_) | Err(_) => self.store.delete(&key)?,
            }
        }
        Ok(left)
    }

    /// True when a use was counted that still has to reach the disk.
    fn count(&self, key: PublicKey, joiner: &Joiner, now: u64) -> Result<bool, Refusal> {
        let unable = |e: StoreError| Refusal::Unable { why: e.to_string() };
        let _guard = self.writing.lock().expect("no one panics while holding it");
        let mut voucher = self.find(key).map_err(unable)?.ok_or(Refusal::Unknown)?;
        let changed = voucher.redeem(joiner, now)?;
        if changed {
            self.store.put(&record_key(key), &codec::encode(&voucher)).map_err(unable)?;
        }
        Ok(changed)
    }
}

impl Vouchers for StoreVouchers {
    fn knows(&self, key: PublicKey) -> bool {
        matches!(self.find(key), Ok(Some(_)))
    }

    fn redeem(&self, key: PublicKey, joiner: &Joiner, now: SystemTime) -> BoxFuture<Result<(), Refusal>> {
        if let Err(refusal) = self.count(key, joiner, unix(now)) {
            return Box::pin(std::future::ready(Err(refusal)));
        }
        // Also for a repeated use: the first one's count may still be on its way to the disk.
        let durable = self.store.flush_durable();
        Box::pin(async move { durable.await.map_err(|e| Refusal::Unable { why: e.to_string() }) })
    }
}

fn record_key(key: PublicKey) -> Vec<u8> {
    [PREFIX, &key.0].concat()
}

#[cfg(test)]
mod tests;
