//! What a service says of a client that it was asked about: a token of its own, with a user's token inside.
//!
//! ```text
//! authorization_response: for that client, for this server ── error: why not
//!     └─ jwt: a user's; its audience is the account
//! ```
//!
//! Both are signed by that issuer. What was asked, and how the answer comes, is left to `callout`.

use super::account::permissions;
use super::claims::{AuthorizationResponse, User};
use super::login::{Refusal, may_come};
use super::token::{JwtError, decode};
use super::when;
use crate::auth::{ConnectionType, Permissions};
use std::net::IpAddr;
use std::time::SystemTime;

/// Characters of what a service has written that are told.
const TOLD_MAX: usize = 200;

/// What an answer has to fit.
#[derive(Debug)]
pub(in crate::auth) struct Expected<'a> {
    /// The public key that was made for the client.
    pub(in crate::auth) user: &'a str,
    /// This server's public key.
    pub(in crate::auth) server: &'a str,
    /// Whose users are let in.
    pub(in crate::auth) issuer: &'a str,
    pub(in crate::auth) over: ConnectionType,
    pub(in crate::auth) from: Option<IpAddr>,
}

/// Who a client is, as a service says.
#[derive(Debug)]
pub(in crate::auth) struct Answered {
    /// Where it is to be; whether that is there has not been looked at.
    pub(in crate::auth) account: String,
    /// What it is called; empty when the service leaves it with what it calls itself.
    pub(in crate::auth) name: String,
    pub(in crate::auth) permissions: Option<Permissions>,
    pub(in crate::auth) until: Option<SystemTime>,
}

/// Why an answer lets nobody in.
#[derive(Debug, thiserror::Error)]
pub(in crate::auth) enum Unfit {
    #[error("the service gave no reason")]
    Empty,
    #[error("the service's answer is of no use: {0}")]
    Answer(JwtError),
    #[error("it is not the time of the service's answer")]
    Time,
    #[error("the service's answer is about {0:?}, who is another client")]
    AnotherClient(String),
    #[error("the service's answer is for {0:?}, which is another server")]
    AnotherServer(String),
    #[error("{0:?} signs no answers and no users of the service")]
    Issuer(String),
    #[error("the service says both who it is and an error")]
    Both,
    #[error("the service says: {0:?}")]
    Denied(String),
    #[error("the service's user names an issuer_account, which only operators have")]
    IssuerAccount,
    #[error("account {0:?} is not there: the aud of the service's user has to be an account's name")]
    NoAccount(String),
    #[error(transparent)]
    User(#[from] Refusal),
}

/// Reads an answer, at the time `wall`.
pub(in crate::auth) fn read(answer: &[u8], expected: &Expected<'_>, wall: SystemTime) -> Result<Answered, Unfit> {
    let user = decode::<User>(&users_token(answer, expected, wall)?).map_err(Refusal::Token)?;
    if user.subject != expected.user {
        return Err(Unfit::AnotherClient(user.subject));
    }
    if !when::is_valid(user.expires, user.not_before, wall) {
        return Err(Refusal::UserTime.into());
    }
    if !user.nats.issuer_account.is_empty() {
        return Err(Unfit::IssuerAccount);
    }
    issued(&user.issuer, expected)?;
    let day_end = may_come(&user.nats.rights, expected.over, expected.from, wall)?;
    Ok(Answered {
        permissions: permissions(&user.nats.rights.permissions).map_err(Refusal::Token)?,
        until: when::moment(user.expires).into_iter().chain(day_end).min(),
        account: user.audience,
        name: user.name,
    })
}

fn issued(issuer: &str, expected: &Expected<'_>) -> Result<(), Unfit> {
    if issuer == expected.issuer { Ok(()) } else { Err(Unfit::Issuer(issuer.to_owned())) }
}

/// The inner token of an answer.
fn users_token(answer: &[u8], expected: &Expected<'_>, wall: SystemTime) -> Result<String, Unfit> {
    if answer.is_empty() {
        return Err(Unfit::Empty);
    }
    let text = std::str::from_utf8(answer).map_err(|_| Unfit::Answer(JwtError::Form))?;
    let token = decode::<AuthorizationResponse>(text).map_err(Unfit::Answer)?;
    issued(&token.issuer, expected)?;
    if !when::is_valid(token.expires, token.not_before, wall) {
        return Err(Unfit::Time);
    }
    if token.subject != expected.user {
        return Err(Unfit::AnotherClient(token.subject));
    }
    if token.audience != expected.server {
        return Err(Unfit::AnotherServer(told(&token.audience)));
    }
    let AuthorizationResponse { jwt, error } = token.nats;
    match (jwt.is_empty(), error.is_empty()) {
        (false, true) => Ok(jwt),
        (false, false) => Err(Unfit::Both),
        (true, true) => Err(Unfit::Empty),
        (true, false) => Err(Unfit::Denied(told(&error))),
    }
}

/// As much of `text` as is told.
pub(in crate::auth) fn told(text: &str) -> String {
    text.chars().take(TOLD_MAX).collect()
}
