//! Who may connect, as the config file says it: a plain model of `authorization`, `accounts` and `no_auth_user`.
//!
//! It knows what the file may say, not what the broker can do: `to_broker.rs` compares the two.

mod callout;
mod read;

use lattice_broker::{Callout, SubjectMapping};
use std::fmt;
use std::time::Duration;

pub use read::{accounts, authorization};
pub(super) use read::{check, proof, user_block};

/// A password or token. Its debug form does not tell it.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(pub String);

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("…")
    }
}

/// Who may connect.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Auth {
    /// The one user without a list, of `--user` or `authorization { user, password }`.
    pub single: Option<(String, Secret)>,
    /// The token that everybody shows.
    pub token: Option<Secret>,
    /// `authorization { users }`.
    pub users: Vec<User>,
    /// The rights of users that have none of their own.
    pub default_permissions: Option<Permissions>,
    /// Time for CONNECT.
    pub timeout: Option<Duration>,
    /// `accounts`.
    pub accounts: Vec<Account>,
    /// What messages of users without an account are sent to instead.
    pub mappings: Vec<SubjectMapping>,
    /// Who those are that show nothing.
    pub no_auth_user: Option<String>,
    /// The account whose users may ask about the server.
    pub system_account: Option<String>,
    /// Those who vouch for accounts and users, in the place of all of the above.
    pub operator: Option<lattice_broker::jwt::Operator>,
    /// Who says who may connect.
    pub callout: Option<Callout>,
}

/// How a user proves who it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Proof {
    /// A name and a password, in clear or as bcrypt hash.
    Password {
        /// The name.
        name: String,
        /// The password.
        password: Secret,
    },
    /// A public key, `U…`.
    Nkey(String),
}

/// A user.
#[derive(Clone, Debug, PartialEq)]
pub struct User {
    /// How it proves who it is.
    pub proof: Proof,
    /// Its rights; none means the default ones, or all.
    pub permissions: Option<Permissions>,
    /// The kinds of connections that it may use, in upper case; empty means all.
    pub connection_types: Vec<String>,
}

/// Subjects that may and may not be used; a subject that is denied is, whatever else is allowed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rules {
    /// None means all.
    pub allow: Option<Vec<String>>,
    /// What is taken out.
    pub deny: Vec<String>,
}

/// The rights of a user.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Permissions {
    /// What it may publish to.
    pub publish: Rules,
    /// What it may subscribe to, each as `subject` or `subject queue`.
    pub subscribe: Rules,
    /// May it answer requests that it got.
    pub responses: Option<Responses>,
}

/// Answers to requests.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Responses {
    /// Answers to one request; -1 means as many as it likes.
    pub max: i64,
    /// How long after the request.
    pub expires: Duration,
}

/// An account.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Account {
    /// Its name.
    pub name: String,
    /// Its public key, `A…`.
    pub nkey: Option<String>,
    /// Its users.
    pub users: Vec<User>,
    /// The rights of users that have none of their own.
    pub default_permissions: Option<Permissions>,
    /// What others may use of it.
    pub exports: Vec<Export>,
    /// What it uses of others.
    pub imports: Vec<Import>,
    /// What messages of its users are sent to instead.
    pub mappings: Vec<SubjectMapping>,
}

/// Messages, or answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Messages, one way.
    Stream,
    /// Requests and answers.
    Service,
}

/// What others may use of an account.
#[derive(Clone, Debug, PartialEq)]
pub struct Export {
    /// Messages, or answers.
    pub kind: Kind,
    /// The subject.
    pub subject: String,
    /// Who may use it; none means everybody.
    pub accounts: Option<Vec<String>>,
    /// `singleton`, `stream` or `chunked`, in lower case.
    pub response_type: Option<String>,
    /// How long an answer may take.
    pub response_threshold: Option<Duration>,
}

/// What an account uses of another one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Import {
    /// Messages, or answers.
    pub kind: Kind,
    /// Whose.
    pub account: String,
    /// The subject there.
    pub subject: String,
    /// The subject here, when it is another one.
    pub to: Option<String>,
    /// What stands before the subject here.
    pub prefix: Option<String>,
    /// Whether the account learns who asks.
    pub share: bool,
}

impl Auth {
    /// The users of all lists.
    pub fn all_users(&self) -> impl Iterator<Item = &User> {
        self.users.iter().chain(self.accounts.iter().flat_map(|account| &account.users))
    }
}
