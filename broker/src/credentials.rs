//! What a client or a leaf link shows to the server that it dials. Judging it is left to `auth`.

use data_encoding::BASE64URL_NOPAD;
use nkeys::{KeyPair, KeyPairType};
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
    /// A user's key, which signs what the server asks to have signed.
    Key(UserKey),
    /// A user's JWT, and the key that it is about.
    Jwt {
        /// The JWT.
        jwt: String,
        /// The key.
        key: UserKey,
    },
}

/// The key of a user, by its seed.
#[derive(Clone, PartialEq, Eq)]
pub struct UserKey {
    seed: String,
    public: String,
}

/// A text that holds no credentials of a user. It is not repeated: it may hold a part of a secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadKey {
    /// Not a seed, or that of another kind of key.
    #[error("no seed of a user's key: it starts with SU and has 58 characters")]
    Seed,
    /// No file of credentials.
    #[error("no credentials: a JWT and a seed are expected, each between its lines of BEGIN and END")]
    File,
}

/// What `CONNECT` has of credentials, each under the name that it has there.
#[derive(Clone, Default, PartialEq, Eq)]
#[expect(missing_debug_implementations, reason = "it is made of secrets")]
pub struct Shown {
    /// User name.
    pub user: Option<String>,
    /// Password.
    pub pass: Option<String>,
    /// Token.
    pub auth_token: Option<String>,
    /// Public key of the user.
    pub nkey: Option<String>,
    /// JWT of the user.
    pub jwt: Option<String>,
    /// The server's nonce, signed.
    pub sig: Option<String>,
}

impl Credentials {
    /// Reads a file of credentials, as `nsc` writes it (`.creds`).
    ///
    /// # Errors
    /// [`BadKey`] when a part is missing.
    pub fn from_creds(text: &str) -> Result<Self, BadKey> {
        let jwt = section(text, "USER JWT").ok_or(BadKey::File)?;
        let seed = section(text, "USER NKEY SEED").ok_or(BadKey::File)?;
        Ok(Self::Jwt { jwt: jwt.to_owned(), key: UserKey::from_seed(seed)? })
    }

    /// What a server is shown that has said `nonce`.
    #[must_use]
    pub fn show(&self, nonce: &str) -> Shown {
        let none = Shown::default();
        match self.clone() {
            Self::None => none,
            Self::Password { user, pass } => Shown { user: Some(user), pass: Some(pass), ..none },
            Self::Token(token) => Shown { auth_token: Some(token), ..none },
            Self::Key(key) => Shown { sig: key.sign(nonce), nkey: Some(key.public), ..none },
            Self::Jwt { jwt, key } => Shown { sig: key.sign(nonce), jwt: Some(jwt), ..none },
        }
    }
}

/// The one line between those that begin and end the section of that name.
fn section<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    let mut lines = text.lines().map(str::trim);
    lines.find(|line| line.starts_with("--") && line.contains("BEGIN ") && line.contains(name))?;
    lines.find(|line| !line.is_empty()).filter(|line| !line.starts_with("--"))
}

impl UserKey {
    /// The key of a seed.
    ///
    /// # Errors
    /// [`BadKey::Seed`] when it is none of a user.
    pub fn from_seed(seed: &str) -> Result<Self, BadKey> {
        let pair = KeyPair::from_seed(seed.trim()).map_err(|_| BadKey::Seed)?;
        if pair.key_pair_type() != KeyPairType::User {
            return Err(BadKey::Seed);
        }
        Ok(Self { seed: seed.trim().to_owned(), public: pair.public_key() })
    }

    /// The nonce signed; nothing where the server has said none.
    fn sign(&self, nonce: &str) -> Option<String> {
        let pair = KeyPair::from_seed(&self.seed).ok().filter(|_| !nonce.is_empty())?;
        Some(BASE64URL_NOPAD.encode(&pair.sign(nonce.as_bytes()).ok()?))
    }
}

impl fmt::Debug for UserKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "UserKey({})", self.public)
    }
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::None => "None",
            Self::Password { .. } => "Password(…)",
            Self::Token(_) => "Token(…)",
            Self::Key(_) => "Key(…)",
            Self::Jwt { .. } => "Jwt(…)",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_of_credentials_is_read_and_signs() {
        let pair = KeyPair::new_user();
        let seed = pair.seed().unwrap();
        let text = format!(
            "-----BEGIN NATS USER JWT-----\r\ne30.e30.sig\r\n------END NATS USER JWT------\n\n****** IMPORTANT ******\n\n\
             -----BEGIN USER NKEY SEED-----\n{seed}\n------END USER NKEY SEED------\n"
        );
        let shown = Credentials::from_creds(&text).unwrap().show("n0nce");
        assert_eq!((shown.jwt.as_deref(), shown.nkey), (Some("e30.e30.sig"), None));
        let signature = BASE64URL_NOPAD.decode(shown.sig.unwrap().as_bytes()).unwrap();
        pair.verify(b"n0nce", &signature).unwrap();
        let key = UserKey::from_seed(&format!(" {seed}\n")).unwrap();
        assert_eq!(Credentials::Key(key).show("").nkey, Some(pair.public_key()));
    }

    #[test]
    fn what_is_none_is_refused_and_not_repeated() {
        let account = KeyPair::new_account().seed().unwrap();
        for seed in ["", "SUAB", account.as_str()] {
            assert_eq!(UserKey::from_seed(seed), Err(BadKey::Seed), "{seed}");
        }
        for text in ["", "-----BEGIN NATS USER JWT-----\n------END NATS USER JWT------\n"] {
            assert_eq!(Credentials::from_creds(text), Err(BadKey::File), "{text}");
        }
        let key = UserKey::from_seed(&KeyPair::new_user().seed().unwrap()).unwrap();
        assert!(!format!("{:?}{:?}", key, Credentials::Key(key.clone())).contains("SU"));
    }
}
