//! Who may connect, in which account, and what they may do there: as it is configured.
//!
//! `access.rs` judges what a client shows, `callout` has a service judge it, `rules.rs` answers what it may do. When
//! credentials are asked for, and what a refusal says, is left to the session.

mod access;
mod account;
mod callout;
mod identity;
pub mod jwt;
mod mapping;
mod permissions;
mod replies;
mod rules;
mod secret;
mod user;

pub use access::{Access, SlowCheck};
pub use account::{AccountConfig, AccountLimits, Export, ExportKind, Import, LocalSubject, ResponseType};
pub use callout::{Callout, CalloutCheck};
pub use identity::Identity;
pub use mapping::{MappedTo, MappingError, SubjectMapping};
pub use permissions::{AllowResponses, Permissions, SubjectRules};
pub use secret::Secret;
pub use user::{ConnectionType, Login, User};

pub(crate) use access::{Review, Showing, Verdict};
pub(crate) use callout::{ClientTls, Inquiry, SUBJECT as CALLOUT_SUBJECT, ServerId};
pub(crate) use identity::Expiring;
pub(crate) use mapping::WEIGHTS;
pub(crate) use replies::Replies;
pub(crate) use rules::{Rules, Verdicts};

use crate::config::ConfigError;
use jwt::Operator;
use std::collections::BTreeSet;
use std::sync::Arc;

/// The account of clients when nothing else is configured.
pub const GLOBAL_ACCOUNT: &str = "$G";
/// The account of those who watch over the server, when nothing else is configured.
pub const SYSTEM_ACCOUNT: &str = "$SYS";

/// Who may connect, and the accounts that there are. The default lets everyone in, to [`GLOBAL_ACCOUNT`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Auth {
    /// Those who may connect by a name and a password, or by a key. Each name once.
    pub users: Vec<User>,
    /// Lets in whoever knows it, to [`GLOBAL_ACCOUNT`] and without restrictions.
    pub token: Option<Secret>,
    /// Over these connections a client is the user whom its certificate names, whatever it says. Passwords may be empty
    /// then, and have to be right if not.
    pub by_certificate: Vec<ConnectionType>,
    /// The user that a client is that shows nothing at all.
    pub no_auth_user: Option<String>,
    /// The same for clients by WebSocket, in the place of the other one.
    pub websocket_no_auth_user: Option<String>,
    /// The accounts, in any order. [`GLOBAL_ACCOUNT`] and the system account are there without being named.
    pub accounts: Vec<AccountConfig>,
    /// The account of those who watch over the server; empty is [`SYSTEM_ACCOUNT`].
    pub system_account: String,
    /// Those whose word is taken for who may connect, by JWT alone. Their accounts are among `accounts`.
    pub operator: Option<Arc<Operator>>,
    /// A service that says who may connect, in the place of all of the above; only its own users are judged here.
    pub callout: Option<Callout>,
}

impl Auth {
    /// Everyone who knows `token`.
    #[must_use]
    pub fn token(token: impl Into<String>) -> Self {
        Self { token: Some(Secret::new(token)), ..Self::default() }
    }

    /// These users.
    #[must_use]
    pub fn users(users: Vec<User>) -> Self {
        Self { users, ..Self::default() }
    }

    /// Everyone whom `operator` vouches for, in the accounts that it knows.
    #[must_use]
    pub fn operator(operator: Operator) -> Self {
        Self { accounts: operator.settings(), operator: Some(Arc::new(operator)), ..Self::default() }
    }

    /// True when a client must be someone.
    #[must_use]
    pub fn is_required(&self) -> bool {
        !self.users.is_empty() || self.token.is_some() || self.operator.is_some()
    }

    /// The name of the account of those who watch over the server.
    #[must_use]
    pub fn system_account(&self) -> &str {
        if self.system_account.is_empty() { SYSTEM_ACCOUNT } else { &self.system_account }
    }

    pub(crate) fn account(&self, name: &str) -> Option<&AccountConfig> {
        self.accounts.iter().find(|account| account.name == name)
    }

    /// Whether clients can be in an account of that name.
    #[must_use]
    pub fn has_account(&self, name: &str) -> bool {
        name == GLOBAL_ACCOUNT || name == self.system_account() || self.account(name).is_some()
    }

    /// Users that need not show anything, with the keys by which these are configured.
    fn silent_users(&self) -> impl Iterator<Item = (&'static str, &str)> {
        let all =
            [("auth.no_auth_user", &self.no_auth_user), ("auth.websocket_no_auth_user", &self.websocket_no_auth_user)];
        all.into_iter().filter_map(|(key, name)| Some((key, name.as_deref()?)))
    }

    pub(crate) fn validate(&self) -> Result<(), ConfigError> {
        let refuse = |key, value: String, range| Err(ConfigError { key, value, range });
        let mut accounts = BTreeSet::from([GLOBAL_ACCOUNT, self.system_account()]);
        let mut named = BTreeSet::new();
        for account in &self.accounts {
            let is_name = !account.name.is_empty() && !account.name.contains(char::is_whitespace);
            if !is_name || !named.insert(&*account.name) {
                return refuse("auth.accounts", format!("{:?}", account.name), "names without blanks, each once");
            }
            accounts.insert(&account.name);
        }
        self.accounts.iter().try_for_each(|account| account.validate(self))?;
        if self.operator.is_some()
            && (!self.users.is_empty() || self.token.is_some() || self.silent_users().next().is_some())
        {
            let value = "an operator, and users or a token beside it".to_owned();
            return refuse("auth.operator", value, "an operator alone: its users come with JWTs");
        }
        let mut names = BTreeSet::new();
        for user in &self.users {
            let account = user.account.as_str();
            let is_good = match &user.login {
                Login::Password(secret) => {
                    !user.name.is_empty() && (!self.by_certificate.is_empty() || !secret.is_empty())
                }
                Login::NKey => user.name.starts_with('U') && nkeys::KeyPair::from_public_key(&user.name).is_ok(),
            };
            if !is_good {
                let range = "users with a name and a password, or with the public key of a user";
                return refuse("auth.users", format!("user {:?}", user.name), range);
            }
            if !names.insert(&*user.name) {
                return refuse("auth.users", format!("user {:?} twice", user.name), "each name once");
            }
            if !account.is_empty() && !accounts.contains(account) {
                return refuse("auth.users.account", format!("{account:?}"), "the name of an account");
            }
            user.permissions.as_ref().map_or(Ok(()), Permissions::validate)?;
        }
        if self.token.as_ref().is_some_and(Secret::is_empty) {
            return refuse("auth.token", "an empty token".to_owned(), "tokens of at least 1 byte");
        }
        if let Some((key, name)) = self.silent_users().find(|(_, name)| !names.contains(name)) {
            return refuse(key, format!("{name:?}"), "the name of a user");
        }
        self.callout.as_ref().map_or(Ok(()), |callout| callout.validate(self, &accounts))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_work_is_named() {
        let users = |users| Auth::users(users).validate().map_err(|error| (error.key, error.value));
        let ann = || User::with_password("ann", "s3cret");
        assert_eq!(Auth::default().validate(), Ok(()));
        assert_eq!(users(vec![ann()]), Ok(()));
        assert_eq!(users(vec![ann(), ann()]), Err(("auth.users", "user \"ann\" twice".to_owned())));
        assert_eq!(users(vec![User::with_password("", "x")]), Err(("auth.users", "user \"\"".to_owned())));
        assert_eq!(users(vec![User::with_nkey("UABC")]), Err(("auth.users", "user \"UABC\"".to_owned())));
        assert_eq!(users(vec![ann().in_account("B")]), Err(("auth.users.account", "\"B\"".to_owned())));
        assert_eq!(users(vec![ann().in_account("$SYS")]), Ok(()));
        let auth = Auth { no_auth_user: Some("bob".to_owned()), ..Auth::users(vec![ann()]) };
        assert_eq!(auth.validate().unwrap_err().key, "auth.no_auth_user");
        assert_eq!(Auth::token("").validate().unwrap_err().key, "auth.token");
        let twice = Auth { accounts: vec![AccountConfig::new("A"), AccountConfig::new("A")], ..Auth::default() };
        assert_eq!(twice.validate().unwrap_err().key, "auth.accounts");
    }

    #[test]
    fn secrets_are_not_shown() {
        let auth = Auth { token: Some("t0k".into()), ..Auth::users(vec![User::with_password("ann", "s3cret")]) };
        for shown in [format!("{auth:?}"), format!("{:?}", Access::new(&auth))] {
            assert!(shown.contains("ann") && !shown.contains("s3cret") && !shown.contains("t0k"), "{shown}");
        }
    }
}
