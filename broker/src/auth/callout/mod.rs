//! Asking a service who a client is, in the place of judging it here.
//!
//! ```text
//! CONNECT ──judge──► CalloutCheck ──request──► the service, a client of `account`
//!                                                   │ answer
//!                     Identity, or nobody ◄──settle─┘
//! ```
//!
//! `request.rs` says what the service is told, `check.rs` makes an [`Identity`](super::Identity) of its answer; the
//! tokens themselves are `jwt`'s. No clock and no randomness: both are arguments. Sending, waiting and giving up is left
//! to the server, what a refusal says to the session.

mod check;
mod request;

pub use check::CalloutCheck;
pub(crate) use check::Inquiry;
pub(crate) use request::{ClientTls, ServerId};

use super::{AccountLimits, Auth, GLOBAL_ACCOUNT, SYSTEM_ACCOUNT};
use crate::config::ConfigError;
use crate::proto::Connect;
use std::collections::{BTreeMap, BTreeSet};

/// Where a service is asked. Clients in its account may not publish there.
pub(crate) const SUBJECT: &str = "$SYS.REQ.USER.AUTH";

/// A service that says who a client is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Callout {
    /// The public key of an account, `A…`: users whose tokens it has signed are let in.
    pub issuer: String,
    /// The account that the service is in; empty is [`GLOBAL_ACCOUNT`].
    pub account: String,
    /// Names or keys of users that are judged here all the same: the service's own. At least one.
    pub users: Vec<String>,
    /// Those who are in another account than these when judged here, are let in without asking; empty is that everyone
    /// is asked about.
    pub accounts: Vec<String>,
}

/// A service, and the accounts that it may let clients into: all.
#[derive(Debug)]
pub(super) struct Service {
    pub(super) callout: Callout,
    pub(super) accounts: BTreeMap<String, AccountLimits>,
}

impl Service {
    pub(super) fn new(callout: &Callout, auth: &Auth) -> Self {
        let always = [GLOBAL_ACCOUNT, SYSTEM_ACCOUNT, auth.system_account()];
        let always = always.into_iter().map(|name| (name.to_owned(), AccountLimits::default()));
        let named = auth.accounts.iter().map(|account| (account.name.clone(), account.limits));
        Self { callout: callout.clone(), accounts: always.chain(named).collect() }
    }
}

impl Callout {
    /// The name of the account that the service is in.
    #[must_use]
    pub fn account(&self) -> &str {
        if self.account.is_empty() { GLOBAL_ACCOUNT } else { &self.account }
    }

    /// True when the client that shows this is judged here.
    pub(super) fn exempts(&self, connect: &Connect) -> bool {
        let name = claimed(connect);
        !name.is_empty() && self.users.iter().any(|user| user == name)
    }

    /// True when a client that would be let into `account` is asked about.
    pub(super) fn covers(&self, account: &str) -> bool {
        account == GLOBAL_ACCOUNT || self.accounts.is_empty() || self.accounts.iter().any(|one| one == account)
    }

    pub(super) fn validate(&self, auth: &Auth, accounts: &BTreeSet<&str>) -> Result<(), ConfigError> {
        let refuse = |key, value: String, range| Err(ConfigError { key, value, range });
        if !self.issuer.starts_with('A') || nkeys::KeyPair::from_public_key(&self.issuer).is_err() {
            return refuse("auth.callout.issuer", format!("{:?}", self.issuer), "public keys of an account");
        }
        if !accounts.contains(self.account()) {
            return refuse("auth.callout.account", format!("{:?}", self.account()), "the names of the accounts");
        }
        if self.users.is_empty() {
            return refuse("auth.callout.users", "an empty list".to_owned(), "lists of 1 user or more");
        }
        if let Some(name) = self.users.iter().find(|name| !auth.users.iter().any(|user| user.name == **name)) {
            return refuse("auth.callout.users", format!("{name:?}"), "the names of the users");
        }
        if let Some(name) = self.accounts.iter().find(|name| !accounts.contains(&***name)) {
            return refuse("auth.callout.accounts", format!("{name:?}"), "the names of the accounts");
        }
        let beside = |what: &str| format!("a service to ask, and {what} beside it");
        if auth.operator.is_some() {
            return refuse("auth.callout", beside("an operator"), "a service without an operator");
        }
        if auth.silent_users().next().is_some() {
            let range = "a service that is asked about those who show nothing, too";
            return refuse("auth.callout", beside("a user for those who show nothing"), range);
        }
        if !auth.by_certificate.is_empty() {
            let range = "a service that is told of certificates";
            return refuse("auth.callout", beside("certificates that name users"), range);
        }
        Ok(())
    }
}

/// Who a client claims to be, for others to see: no secret, which a token would be.
fn claimed(connect: &Connect) -> &str {
    let given = |field: &Option<String>| field.as_deref().is_some_and(|text| !text.is_empty());
    match (&connect.nkey, &connect.user) {
        (Some(key), _) if given(&connect.nkey) => key,
        (_, Some(name)) if given(&connect.user) => name,
        _ if given(&connect.auth_token) => "[REDACTED]",
        _ => "",
    }
}

#[cfg(test)]
mod tests;
