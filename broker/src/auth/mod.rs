//! Who may connect: credentials to an account.
//!
//! When they are asked for, and what a refusal says, is left to the session.

use crate::config::ConfigError;
use crate::proto::Connect;
use std::fmt;

/// The account of clients when nothing else is configured.
pub const GLOBAL_ACCOUNT: &str = "$G";

/// What a client has to show.
#[derive(Clone, Default, PartialEq, Eq)]
pub enum Auth {
    /// Nothing.
    #[default]
    None,
    /// One of these names, with its password.
    Users(Vec<User>),
    /// This token.
    Token(String),
}

/// A user and its password.
#[derive(Clone, PartialEq, Eq)]
pub struct User {
    /// The name.
    pub name: String,
    /// The password, in clear.
    pub password: String,
}

/// The credentials are not right.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("authorization violation")]
pub struct Denied;

impl Auth {
    /// True when a client must show something.
    #[must_use]
    pub fn is_required(&self) -> bool {
        match self {
            Self::None => false,
            Self::Users(_) | Self::Token(_) => true,
        }
    }

    /// The account that `connect` may use.
    ///
    /// # Errors
    /// [`Denied`], without telling what was wrong.
    pub fn check(&self, connect: &Connect) -> Result<&'static str, Denied> {
        let allowed = match self {
            Self::None => true,
            Self::Users(users) => {
                let name = connect.user.as_deref().unwrap_or_default();
                let password = connect.pass.as_deref().unwrap_or_default();
                // All are compared, so that the time taken does not tell which names exist.
                users.iter().fold(false, |found, user| {
                    found
                        | (same(user.name.as_bytes(), name.as_bytes())
                            & same(user.password.as_bytes(), password.as_bytes()))
                })
            }
            Self::Token(token) => same(token.as_bytes(), connect.auth_token.as_deref().unwrap_or_default().as_bytes()),
        };
        if allowed { Ok(GLOBAL_ACCOUNT) } else { Err(Denied) }
    }

    pub(crate) fn validate(&self) -> Result<(), ConfigError> {
        let refuse = |key, value: &str, range| Err(ConfigError { key, value: value.to_owned(), range });
        match self {
            Self::None => Ok(()),
            Self::Users(users) if users.is_empty() => refuse("auth", "a list without users", "at least one user"),
            Self::Users(users) => match users.iter().find(|user| user.name.is_empty() || user.password.is_empty()) {
                Some(user) => refuse("auth", &format!("user {:?}", user.name), "users with a name and a password"),
                None => Ok(()),
            },
            Self::Token(token) if token.is_empty() => refuse("auth", "an empty token", "tokens of at least 1 byte"),
            Self::Token(_) => Ok(()),
        }
    }
}

impl fmt::Debug for Auth {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::None => f.write_str("None"),
            Self::Users(users) => f.debug_tuple("Users").field(users).finish(),
            Self::Token(_) => f.write_str("Token(…)"),
        }
    }
}

impl fmt::Debug for User {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "User({:?})", self.name)
    }
}

/// Compares in a time that depends on the length of `given` only.
fn same(secret: &[u8], given: &[u8]) -> bool {
    let mut differs = usize::from(secret.len() != given.len());
    for (at, byte) in given.iter().enumerate() {
        differs |= usize::from(byte ^ secret.get(at).copied().unwrap_or(!byte));
    }
    differs == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    fn login(user: &str, pass: &str, token: &str) -> Connect {
        let some = |text: &str| (!text.is_empty()).then(|| text.to_owned());
        Connect { user: some(user), pass: some(pass), auth_token: some(token), ..Connect::default() }
    }

    #[test]
    fn users_and_tokens() {
        let user = |name: &str, password: &str| User { name: name.into(), password: password.into() };
        let users = Auth::Users(vec![user("a", "1"), user("b", "2")]);
        assert!(users.check(&login("b", "2", "")).is_ok());
        for (name, pass, token) in [("a", "2", ""), ("", "", ""), ("a", "", ""), ("a", "11", ""), ("", "", "1")] {
            assert_eq!(users.check(&login(name, pass, token)), Err(Denied));
        }
        let token = Auth::Token("t0k".into());
        assert!(token.check(&login("", "", "t0k")).is_ok());
        assert!(token.check(&login("", "", "t0")).is_err());
        assert!(token.check(&login("t0k", "t0k", "")).is_err());
        assert_eq!(format!("{users:?} {token:?}"), "Users([User(\"a\"), User(\"b\")]) Token(…)");
    }
}
