//! `Grant`: what a member may do. Certificates carry it, from the root down each within the one above.
//!
//! Where it is held to: transit in `mesh/spf.rs`, accounts in `mesh/plane.rs` and `mesh/driver.rs`, invitations where a
//! node is admitted.

use bincode::{Decode, Encode};
use serde::{Deserialize, Serialize};
use std::fmt;

/// Accounts that a grant may be limited to, at most.
pub const ACCOUNTS_MAX: usize = 16;
/// Bytes in the name of such an account, at most.
pub const ACCOUNT_LEN_MAX: usize = 64;

/// What a member may do, beside being one.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode, Serialize, Deserialize)]
pub struct Grant {
    /// Whether frames of others may take their way through it.
    pub transit: bool,
    /// Whether it may admit others.
    pub invite: bool,
    /// The accounts that its clients may speak and hear in, in ascending order; `None` for all.
    pub accounts: Option<Vec<String>>,
}

/// A grant that cannot be one.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum GrantError {
    /// No account at all, or too many.
    #[error("a grant is limited to 1 to {ACCOUNTS_MAX} accounts, not {count}")]
    Accounts {
        /// How many were named.
        count: usize,
    },
    /// A name that no account can have.
    #[error("{name:?} cannot be an account: 1 to {ACCOUNT_LEN_MAX} bytes, no spaces or control characters")]
    Account {
        /// Its start.
        name: String,
    },
}

impl Default for Grant {
    fn default() -> Self {
        Self::all()
    }
}

impl Grant {
    /// Everything: what the root has.
    #[must_use]
    pub const fn all() -> Self {
        Self { transit: true, invite: true, accounts: None }
    }

    /// The same limited to `accounts`, in whatever order; no name at all limits nothing.
    ///
    /// # Errors
    /// [`GrantError`] names what cannot be.
    pub fn limited_to(self, mut accounts: Vec<String>) -> Result<Self, GrantError> {
        accounts.sort_unstable();
        accounts.dedup();
        let grant = Self { accounts: (!accounts.is_empty()).then_some(accounts), ..self };
        grant.check().map(|()| grant)
    }

    /// Whether it is one: certificates come from others.
    ///
    /// # Errors
    /// [`GrantError`] names what cannot be.
    pub fn check(&self) -> Result<(), GrantError> {
        let Some(accounts) = &self.accounts else { return Ok(()) };
        if !(1..=ACCOUNTS_MAX).contains(&accounts.len()) || !accounts.is_sorted_by(|a, b| a < b) {
            return Err(GrantError::Accounts { count: accounts.len() });
        }
        let visible = |name: &str| name.chars().all(|c| !c.is_control() && !c.is_whitespace());
        let bad = accounts.iter().find(|name| name.is_empty() || name.len() > ACCOUNT_LEN_MAX || !visible(name));
        bad.map_or(Ok(()), |name| Err(GrantError::Account { name: name.chars().take(ACCOUNT_LEN_MAX).collect() }))
    }

    /// Whether it allows nothing that `wider` does not.
    #[must_use]
    pub fn within(&self, wider: &Self) -> bool {
        let accounts = match (&self.accounts, &wider.accounts) {
            (_, None) => true,
            (None, Some(_)) => false,
            (Some(few), Some(more)) => few.iter().all(|name| more.contains(name)),
        };
        accounts && self.transit <= wider.transit && self.invite <= wider.invite
    }

    /// What both allow; with no account in common, none.
    #[must_use]
    pub(super) fn meet(&self, other: &Self) -> Self {
        let accounts = match (&self.accounts, &other.accounts) {
            (Some(one), Some(other)) => Some(one.iter().filter(|name| other.contains(name)).cloned().collect()),
            (one, other) => one.clone().or_else(|| other.clone()),
        };
        Self { transit: self.transit && other.transit, invite: self.invite && other.invite, accounts }
    }

    /// Whether its clients may speak and hear in `account`.
    #[must_use]
    pub fn allows_account(&self, account: &[u8]) -> bool {
        let Some(accounts) = &self.accounts else { return true };
        accounts.iter().any(|name| name.as_bytes() == account)
    }
}

impl fmt::Display for Grant {
    /// `all`, or what is left out: `no-transit, no-invite, account telemetry`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut limits = Vec::new();
        limits.extend((!self.transit).then(|| "no-transit".to_owned()));
        limits.extend((!self.invite).then(|| "no-invite".to_owned()));
        limits.extend(self.accounts.iter().flatten().map(|name| format!("account {name}")));
        f.write_str(if limits.is_empty() { "all" } else { "" })?;
        f.write_str(&limits.join(", "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limited(names: &[&str]) -> Grant {
        Grant::all().limited_to(names.iter().map(|&name| name.to_owned()).collect()).unwrap()
    }

    #[test]
    fn each_limit_counts() {
        let all = Grant::all();
        let leaf = Grant { transit: false, ..Grant::all() };
        let guest = Grant { invite: false, ..Grant::all() };
        for less in [&leaf, &guest, &limited(&["a"])] {
            assert!(less.within(&all) && !all.within(less), "{less}");
        }
        assert!(!leaf.within(&guest) && !guest.within(&leaf));
        assert!(limited(&["a"]).within(&limited(&["b", "a"])) && !limited(&["a", "c"]).within(&limited(&["a", "b"])));
        assert!(limited(&["a"]).allows_account(b"a") && !limited(&["a"]).allows_account(b"$G"));
        assert!(all.allows_account(b"$G"));
    }

    #[test]
    fn what_cannot_be_is_named() {
        let none = Grant { accounts: Some(Vec::new()), ..Grant::all() };
        assert_eq!(none.check(), Err(GrantError::Accounts { count: 0 }));
        let many = (0..17).map(|n| format!("a{n}")).collect();
        assert_eq!(Grant::all().limited_to(many), Err(GrantError::Accounts { count: 17 }));
        let blank = Grant::all().limited_to(vec!["two words".to_owned()]);
        assert_eq!(blank, Err(GrantError::Account { name: "two words".to_owned() }));
        let unsorted = Grant { accounts: Some(vec!["b".to_owned(), "a".to_owned()]), ..Grant::all() };
        assert!(unsorted.check().is_err());
    }

    #[test]
    fn people_read_what_is_left_out() {
        assert_eq!(Grant::all().to_string(), "all");
        let little = Grant { transit: false, invite: false, ..limited(&["telemetry"]) };
        assert_eq!(little.to_string(), "no-transit, no-invite, account telemetry");
    }
}
