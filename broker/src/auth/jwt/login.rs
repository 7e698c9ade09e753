//! A user that shows a token: whether it is let in, and as whom; and the same again when the accounts are others.

use super::account::{has_signer, limit, permissions, revokes};
use super::claims::{Account, Limits, Rights, Scope, SigningKey, User};
use super::operator::Operator;
use super::template;
use super::token::{JwtError, Token, decode};
use super::{when, whence};
use crate::auth::access::has_signed;
use crate::auth::{ConnectionType, Permissions};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::SystemTime;

/// What a client shows, which has yet to be judged: verifying signatures takes some time.
pub(in crate::auth) struct LoginCheck {
    pub(in crate::auth) operator: Arc<Operator>,
    pub(in crate::auth) jwt: String,
    /// The nonce, as signed by the client, and the nonce.
    pub(in crate::auth) signature: String,
    pub(in crate::auth) nonce: String,
    pub(in crate::auth) over: ConnectionType,
    pub(in crate::auth) from: Option<IpAddr>,
}

/// Who a client is that has shown a good token.
#[derive(Debug)]
pub(in crate::auth) struct Login {
    /// What it has shown, for the next look.
    pub(in crate::auth) shown: Shown,
    pub(in crate::auth) account_name: String,
    pub(in crate::auth) user_name: String,
    pub(in crate::auth) permissions: Option<Permissions>,
    pub(in crate::auth) subscriptions_max: Option<usize>,
    pub(in crate::auth) payload_max: Option<usize>,
    /// When the user's token, or its time of the day, ends.
    pub(in crate::auth) user_until: Option<SystemTime>,
    pub(in crate::auth) account_until: Option<SystemTime>,
}

/// A token that has been verified, and the scope of the key that signed it, as it was then.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::auth) struct Shown {
    token: Arc<Token<User>>,
    scope: Option<Box<Scope>>,
}

/// Why a client is not let in, or not any longer.
#[derive(Debug, thiserror::Error)]
pub(in crate::auth) enum Refusal {
    #[error("the user's JWT is of no use: {0}")]
    Token(#[from] JwtError),
    #[error("it is not the time of the user's JWT")]
    UserTime,
    #[error("account {0:?} is not known")]
    NoAccount(String),
    #[error("it is not the time of the account's JWT")]
    AccountTime,
    #[error("{0:?} signs no users of the account")]
    Issuer(String),
    #[error("the scope of the signing key is of kind {0:?}, or does not fit the user")]
    Scope(String),
    #[error("the account allows no bearer tokens")]
    Bearer,
    #[error("the user is not allowed this kind of connection")]
    Connection,
    #[error("the nonce is not signed by the user")]
    Nonce,
    #[error("the user has been revoked")]
    Revoked,
    #[error("the user may not come from here")]
    Source,
    #[error("{0}, which is not here")]
    Unsupported(String),
}

impl LoginCheck {
    /// Judges, at the time `wall`.
    pub(in crate::auth) fn run(self, wall: SystemTime) -> Result<Login, Refusal> {
        let shown = Shown { token: Arc::new(decode::<User>(&self.jwt)?), scope: None };
        let is_signed = has_signed(&shown.token.subject, &self.nonce, &self.signature);
        self.operator.admit(&shown, is_signed, self.over, self.from, wall)
    }
}

impl Shown {
    /// The user's public key.
    pub(in crate::auth) fn user(&self) -> &str {
        &self.token.subject
    }

    /// The public key of its account.
    pub(in crate::auth) fn account(&self) -> &str {
        let Token { issuer, nats, .. } = &*self.token;
        if nats.issuer_account.is_empty() { issuer } else { &nats.issuer_account }
    }
}

impl Operator {
    /// Judges `shown`, for which the nonce `is_signed` or not.
    pub(in crate::auth) fn admit(
        &self,
        shown: &Shown,
        is_signed: bool,
        over: ConnectionType,
        from: Option<IpAddr>,
        wall: SystemTime,
    ) -> Result<Login, Refusal> {
        let user = &*shown.token;
        let account = self.account(shown.account()).ok_or_else(|| Refusal::NoAccount(shown.account().to_owned()))?;
        if revokes(&account.nats.revocations, &user.subject, user.issued) {
            return Err(Refusal::Revoked);
        }
        if !when::is_valid(user.expires, user.not_before, wall) {
            return Err(Refusal::UserTime);
        }
        if !when::is_valid(account.expires, account.not_before, wall) {
            return Err(Refusal::AccountTime);
        }
        let limits: &Limits = &account.nats.limits;
        let scope = scope(user, account)?;
        let rights = scope.map_or_else(|| Ok(user.nats.rights.clone()), |scope| scoped(scope, user, account))?;
        if rights.bearer_token && limits.disallow_bearer {
            return Err(Refusal::Bearer);
        }
        if !(is_signed || rights.bearer_token) {
            return Err(Refusal::Nonce);
        }
        let day_end = may_come(&rights, over, from, wall)?;
        let expires = when::moment(user.expires);
        let own = permissions(&rights.permissions)?;
        Ok(Login {
            shown: Shown { token: shown.token.clone(), scope: scope.cloned().map(Box::new) },
            user_name: user.name.clone(),
            account_name: if account.name.is_empty() { account.subject.clone() } else { account.name.clone() },
            permissions: own.map_or_else(|| permissions(&account.nats.default_permissions), |own| Ok(Some(own)))?,
            subscriptions_max: least(rights.subs, limits.subs),
            payload_max: least(rights.payload, limits.payload),
            user_until: expires.into_iter().chain(day_end).min(),
            account_until: when::moment(account.expires),
        })
    }
}

fn least(user: i64, account: i64) -> Option<usize> {
    [limit(user), limit(account)].into_iter().flatten().min()
}

/// What the key that signed the user stands for; `None` is that the user's own token says what it is allowed.
fn scope<'a>(user: &Token<User>, account: &'a Token<Account>) -> Result<Option<&'a Scope>, Refusal> {
    let issuer = &user.issuer;
    if *issuer != account.subject && !has_signer(account, issuer) {
        return Err(Refusal::Issuer(issuer.clone()));
    }
    Ok(account.nats.signing_keys.iter().find_map(|signer| match signer {
        SigningKey::Scoped(scope) if scope.key == *issuer => Some(&**scope),
        SigningKey::Scoped(_) | SigningKey::Plain(_) => None,
    }))
}

/// A scope allows what its template says, to users that say nothing of it themselves.
fn scoped(scope: &Scope, user: &Token<User>, account: &Token<Account>) -> Result<Rights, Refusal> {
    let refused = || Refusal::Scope(scope.kind.clone());
    if scope.kind != "user_scope" || user.nats.rights != Rights::default() {
        return Err(refused());
    }
    let permissions = template::fill(&scope.template.permissions, user, account).ok_or_else(refused)?;
    Ok(Rights { permissions, ..scope.template.clone() })
}

/// Whether the user may come over this, from there and now; returns when the part of the day ends.
pub(super) fn may_come(
    rights: &Rights,
    over: ConnectionType,
    from: Option<IpAddr>,
    wall: SystemTime,
) -> Result<Option<SystemTime>, Refusal> {
    let types = &rights.allowed_connection_types;
    if !types.is_empty() && !types.iter().any(|name| ConnectionType::parse(name) == Some(over)) {
        return Err(Refusal::Connection);
    }
    if !rights.src.is_empty() && !rights.src.iter().any(|net| from.is_some_and(|ip| whence::contains(net, ip))) {
        return Err(Refusal::Source);
    }
    if rights.proxy_required {
        return Err(Refusal::Unsupported("the user has to come through a proxy".to_owned()));
    }
    if rights.times.is_empty() {
        return Ok(None);
    }
    // Local times of other places need their rules, which a small device does not have.
    if rights.times_location != "UTC" {
        let what = format!("the user has times in {:?} instead of \"UTC\"", rights.times_location);
        return Err(Refusal::Unsupported(what));
    }
    when::ends(&rights.times, wall).map(Some).ok_or(Refusal::UserTime)
}
