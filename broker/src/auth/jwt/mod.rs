//! JWTs of operators, accounts and users: who vouches for whom, and what they are allowed.
//!
//! ```text
//! operator ──signs──► account ──signs──► user ──signs──► the nonce of INFO
//!     └─ or a signing key of it  └─ or a signing key of it, perhaps with a scope
//! ```
//!
//! `token.rs` reads and verifies one token, `claims.rs` says what tokens hold, [`Operator`] keeps the accounts that are
//! vouched for, `login.rs` judges users by them, and `answer.rs` judges what a service says of a client. No clock: the time is an argument. Where tokens come from is left
//! to whoever makes the [`Operator`], what a refusal says to the session.

mod account;
mod answer;
mod claims;
mod login;
mod mappings;
mod operator;
mod template;
mod token;
mod when;
mod whence;

pub use operator::Operator;
pub use token::{JwtError, TOKEN_BYTES_MAX};

pub(super) use answer::{Answered, Expected, Unfit, read as read_answer, told};
pub(super) use login::{Login, LoginCheck, Refusal, Shown};
pub(super) use token::{Unsigned, encode};
pub(super) use when::seconds;

/// What a token turns out to be, once its signature has been verified.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TokenKind {
    /// Of an operator, `O…`.
    Operator,
    /// Of an account, `A…`.
    Account,
    /// Of a user, `U…`.
    User,
    /// By which an account lets another one import something.
    Activation,
}

/// Reads and verifies a token of any kind; whether its issuer is to be trusted, and its time, is not looked at.
///
/// # Errors
/// [`JwtError`]: it is no token, or of another kind, or not signed by its issuer.
pub fn inspect(token: &str, kind: TokenKind) -> Result<(), JwtError> {
    match kind {
        TokenKind::Operator => token::decode::<claims::Operator>(token).map(drop),
        TokenKind::Account => token::decode::<claims::Account>(token).map(drop),
        TokenKind::User => token::decode::<claims::User>(token).map(drop),
        TokenKind::Activation => token::decode::<claims::Activation>(token).map(drop),
    }
}

#[cfg(test)]
pub(super) mod tests;
