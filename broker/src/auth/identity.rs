//! Who a client is that has been let in, by what, and for how long.

use super::GLOBAL_ACCOUNT;
use super::account::AccountConfig;
use super::jwt::{Login as JwtLogin, Shown};
use super::rules::Rules;
use super::secret::Secret;
use super::user::User;
use std::sync::Arc;
use std::time::{Instant, SystemTime};

/// Who a client is, once it has been let in.
#[derive(Debug)]
pub struct Identity {
    /// Its name or public key; `None` when it had to show neither.
    pub user: Option<Box<str>>,
    /// Its account.
    pub account: Box<str>,
    /// What its account and it are called, where these have public keys.
    pub(crate) account_name: Box<str>,
    pub(crate) user_name: Box<str>,
    /// When its token ends, and its account's.
    pub(crate) user_until: Option<SystemTime>,
    pub(crate) account_until: Option<SystemTime>,
    /// What it may do; `None` is everything.
    pub(crate) rules: Option<Arc<Rules>>,
    /// Subscriptions of one connection, and bytes of a message, that the account allows.
    pub(crate) subscriptions_max: usize,
    pub(crate) payload_max: usize,
    pub(super) proof: Proof,
}

/// By what a client was let in: a reload that changes it shows the client out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Proof {
    Nothing,
    NoAuthUser,
    Token(Secret),
    Password(Secret),
    NKey,
    Jwt(Shown),
    /// The word of a service whose users this key signs.
    Service(Box<str>),
}

/// Whose token it is that ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Expiring {
    User,
    Account,
}

impl Expiring {
    /// What whoever it was is told then.
    pub(crate) fn text(self) -> &'static str {
        match self {
            Self::User => "User Authentication Expired",
            Self::Account => "Account Authentication Expired",
        }
    }
}

impl Identity {
    /// The user's name, for others to see; of those who know a token it says only that.
    #[must_use]
    pub fn label(&self) -> &str {
        match (&self.user, &self.proof) {
            (Some(user), _) => user,
            (None, Proof::Token(_)) => "[REDACTED]",
            (None, _) => "",
        }
    }

    /// When it has to go, and whose time is over then.
    pub(crate) fn until(&self) -> Option<(SystemTime, Expiring)> {
        let user = self.user_until.map(|at| (at, Expiring::User));
        let account = self.account_until.map(|at| (at, Expiring::Account));
        user.into_iter().chain(account).min_by_key(|(at, _)| *at)
    }

    /// The same on the clock that is `now` when the wall has `wall`; what is further away than can be told is never.
    pub(crate) fn expires(&self, now: Instant, wall: SystemTime) -> Option<(Instant, Expiring)> {
        let (at, whose) = self.until()?;
        Some((now.checked_add(at.duration_since(wall).unwrap_or_default())?, whose))
    }

    pub(super) fn of_jwt(login: JwtLogin) -> Self {
        Self {
            user: Some(login.shown.user().into()),
            account: login.shown.account().into(),
            account_name: login.account_name.into(),
            user_name: login.user_name.into(),
            user_until: login.user_until,
            account_until: login.account_until,
            rules: login.permissions.map(|permissions| Arc::new(Rules::new(&permissions))),
            subscriptions_max: login.subscriptions_max.unwrap_or(usize::MAX),
            payload_max: login.payload_max.unwrap_or(usize::MAX),
            proof: Proof::Jwt(login.shown),
        }
    }

    pub(super) fn new(
        user: Option<&User>,
        account: &str,
        rules: Option<Arc<Rules>>,
        proof: Proof,
        accounts: &[AccountConfig],
    ) -> Self {
        let account = if account.is_empty() { GLOBAL_ACCOUNT } else { account };
        let limits = accounts.iter().find(|other| other.name == account).map(|other| other.limits).unwrap_or_default();
        Self {
            user: user.map(|user| user.name.as_str().into()),
            account: account.into(),
            account_name: account.into(),
            user_name: Box::default(),
            user_until: None,
            account_until: None,
            rules,
            subscriptions_max: limits.subscriptions_max.unwrap_or(usize::MAX),
            payload_max: limits.payload_max.unwrap_or(usize::MAX),
            proof,
        }
    }
}
