//! What a client or a leaf link shows to the server that it dials. Judging it is left to `auth`.

use std::fmt;

/// What identifies us to a server. Shown without its secrets.
#[derive(Clone, Default, PartialEq, Eq)]
pub enum Credentials {
    /// Nothing.
    #[default]
    None,
    /// User name and password.
    Password {
        /// The user name.
        user: String,
        /// The password.
        pass: String,
    },
    /// A token.
    Token(String),
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::None => "None",
            Self::Password { .. } => "Password(…)",
            Self::Token(_) => "Token(…)",
        })
    }
}
