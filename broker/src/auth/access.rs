//! Judging a CONNECT: from what a client shows to who it is.
//!
//! Made from an [`Auth`] once, and again at each reload. A password that is kept as a hash takes long to compare: that
//! is handed back as a [`SlowCheck`], so that whoever runs the session can have it done beside it.

use super::callout::{self, CalloutCheck, Service};
use super::identity::{Identity, Proof};
use super::jwt::{LoginCheck, Operator, Refusal};
use super::rules::Rules;
use super::secret::{Comparison, Secret};
use super::user::{ConnectionType, Login, User};
use super::{Auth, GLOBAL_ACCOUNT};
use crate::proto::Connect;
use crate::tls::{Attributes, CertificateNames, parse_name};
use std::collections::BTreeMap;
use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::SystemTime;

/// Who may connect, ready to be asked.
#[derive(Debug)]
pub struct Access {
    is_required: bool,
    has_nkeys: bool,
    passwords: BTreeMap<Box<str>, Known>,
    nkeys: BTreeMap<Box<str>, Known>,
    /// Over what certificates name users.
    by_certificate: Vec<ConnectionType>,
    /// Those of `passwords` whose name is that of a certificate's subject.
    distinguished: BTreeMap<Attributes, Box<str>>,
    token: Option<Secret>,
    /// Whoever it vouches for, and nobody else.
    operator: Option<Arc<Operator>>,
    /// Who is asked.
    service: Option<Arc<Service>>,
    no_auth_user: Option<Arc<Identity>>,
    websocket_no_auth_user: Option<Arc<Identity>>,
    /// Of those who need not show anything, or a token.
    anyone: Arc<Identity>,
    /// A hash to compare with when there is no such user: the time taken then does not tell which names exist.
    decoy: Option<Secret>,
}

#[derive(Debug)]
struct Known {
    identity: Arc<Identity>,
    user: User,
}

/// What a client shows.
#[derive(Debug)]
pub(crate) struct Showing<'a> {
    pub(crate) connect: &'a Connect,
    /// What was to be signed.
    pub(crate) nonce: Option<&'a str>,
    pub(crate) over: ConnectionType,
    /// Where it comes from.
    pub(crate) from: Option<IpAddr>,
    /// The names of its certificate, which has been verified.
    pub(crate) certificate: Option<&'a CertificateNames>,
}

/// What a CONNECT deserves.
#[derive(Debug)]
pub(crate) enum Verdict {
    Admitted(Arc<Identity>),
    Denied,
    /// It depends on a comparison that takes long.
    Slow(SlowCheck),
    /// It depends on what a service says.
    Asked(Box<CalloutCheck>),
}

/// A comparison with a hash, or signatures, that have yet to be looked at. Shown without secrets.
pub struct SlowCheck(Check);

enum Check {
    Hash {
        hash: Secret,
        given: String,
        /// Nobody, when only time is to be taken.
        identity: Option<Arc<Identity>>,
    },
    Jwt(Box<LoginCheck>),
}

/// What a reload means for a client that is in.
#[derive(Debug)]
pub(crate) enum Review {
    /// It stays, perhaps with other permissions.
    Stays(Arc<Identity>),
    /// Its user is gone or has another account.
    Gone,
    /// What it has shown is not enough any more.
    Denied,
    /// What it has shown has been declared void.
    Revoked,
}

impl SlowCheck {
    /// Where a client is that passes; `None` when that is not known before, or nowhere.
    fn account(&self) -> Option<&str> {
        match &self.0 {
            Check::Hash { identity, .. } => identity.as_ref().map(|identity| &*identity.account),
            Check::Jwt(_) => None,
        }
    }

    /// Makes the comparison, which takes the CPU for tens of milliseconds to seconds, or looks at the signatures. The
    /// time is `wall`.
    pub(crate) fn run(self, wall: SystemTime) -> Option<Arc<Identity>> {
        match self.0 {
            Check::Hash { hash, given, identity } => {
                let is_same = hash.matches_slowly(&given);
                identity.filter(|_| is_same)
            }
            Check::Jwt(check) => match check.run(wall) {
                Ok(login) => Some(Arc::new(Identity::of_jwt(login))),
                Err(refusal) => {
                    tracing::debug!(%refusal, "client not let in");
                    None
                }
            },
        }
    }
}

impl fmt::Debug for SlowCheck {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SlowCheck").finish_non_exhaustive()
    }
}

impl Access {
    /// What `auth`, which has been validated, says.
    #[must_use]
    pub fn new(auth: &Auth) -> Self {
        let known = |user: &User| (user.name.as_str().into(), Known::new(user, auth));
        let of = |nkeys: bool| auth.users.iter().filter(move |user| (user.login == Login::NKey) == nkeys);
        let proof = auth.token.clone().map_or(Proof::Nothing, Proof::Token);
        let mut access = Self {
            is_required: auth.is_required(),
            has_nkeys: of(true).next().is_some(),
            passwords: of(false).map(known).collect(),
            nkeys: of(true).map(known).collect(),
            // They name users; where there are none, a token decides.
            by_certificate: if of(false).next().is_some() { auth.by_certificate.clone() } else { Vec::new() },
            distinguished: if auth.by_certificate.is_empty() { BTreeMap::new() } else { distinguished(&auth.users) },
            token: auth.token.clone(),
            operator: auth.operator.clone(),
            service: auth.callout.as_ref().map(|callout| Arc::new(Service::new(callout, auth))),
            no_auth_user: None,
            websocket_no_auth_user: None,
            anyone: Arc::new(Identity::new(None, "", None, proof, &auth.accounts)),
            decoy: None,
        };
        let silent = |name: &Option<String>| {
            let user = &access.find(name.as_deref()?)?.user;
            let rules = rules(user, auth);
            let identity = Identity::new(Some(user), &user.account, rules, Proof::NoAuthUser, &auth.accounts);
            Some(Arc::new(identity))
        };
        (access.no_auth_user, access.websocket_no_auth_user) =
            (silent(&auth.no_auth_user), silent(&auth.websocket_no_auth_user));
        access.decoy = access.passwords.values().find_map(|known| match &known.user.login {
            Login::Password(secret) if secret.is_hashed() => Some(secret.clone()),
            Login::Password(_) | Login::NKey => None,
        });
        access
    }

    /// True when a client must be someone.
    pub(crate) fn is_required(&self) -> bool {
        self.is_required
    }

    /// True when INFO says, before CONNECT, that credentials are wanted.
    pub(crate) fn is_asked_for(&self, over: ConnectionType) -> bool {
        // As nats-server has it: a page is told so even where it need not show anything.
        self.is_required && (over == ConnectionType::WebSocket || self.silent(over).is_none())
    }

    /// True when clients may have to sign a nonce.
    pub(crate) fn wants_nonce(&self) -> bool {
        self.has_nkeys || self.operator.is_some()
    }

    /// Who a client is that shows nothing; `None` when it has to.
    pub(crate) fn anonymous(&self, over: ConnectionType) -> Option<&Arc<Identity>> {
        if self.is_required { self.silent(over) } else { Some(&self.anyone) }
    }

    /// The user that need not show anything. Where certificates name users it has to have a key.
    fn silent(&self, over: ConnectionType) -> Option<&Arc<Identity>> {
        let websocket = self.websocket_no_auth_user.as_ref().filter(|_| over == ConnectionType::WebSocket);
        let silent = websocket.or(self.no_auth_user.as_ref())?;
        let has_key = silent.user.as_ref().is_some_and(|user| self.nkeys.contains_key(user));
        (has_key || !self.by_certificate.contains(&over)).then_some(silent)
    }

    /// Who a client is before it is anyone: in the account of those without one, as far as it may do anything at all.
    pub(crate) fn nobody(&self) -> &Arc<Identity> {
        &self.anyone
    }

    /// Judges what a client shows.
    pub(crate) fn judge(&self, shown: &Showing<'_>) -> Verdict {
        let Some(service) = self.service.as_ref().filter(|service| !service.callout.exempts(shown.connect)) else {
            return self.judge_here(shown);
        };
        let before = match self.judge_here(shown) {
            Verdict::Admitted(identity) if !service.callout.covers(&identity.account) => {
                return Verdict::Admitted(identity);
            }
            Verdict::Slow(check) if check.account().is_some_and(|account| !service.callout.covers(account)) => {
                Some(check)
            }
            Verdict::Admitted(_) | Verdict::Denied | Verdict::Slow(_) | Verdict::Asked(_) => None,
        };
        Verdict::Asked(Box::new(CalloutCheck {
            service: service.clone(),
            before,
            connect: shown.connect.clone(),
            nonce: shown.nonce.unwrap_or_default().to_owned(),
            over: shown.over,
            from: shown.from,
        }))
    }

    /// Judges by what is known here.
    fn judge_here(&self, shown: &Showing<'_>) -> Verdict {
        let &Showing { connect, nonce, over, from, certificate } = shown;
        if !self.is_required {
            return Verdict::Admitted(self.anyone.clone());
        }
        if let Some(operator) = &self.operator {
            let text = |field: &Option<String>| field.clone().unwrap_or_default();
            let (jwt, signature, nonce) =
                (text(&connect.jwt), text(&connect.sig), nonce.unwrap_or_default().to_owned());
            let check = LoginCheck { operator: operator.clone(), jwt, signature, nonce, over, from };
            return Verdict::Slow(SlowCheck(Check::Jwt(Box::new(check))));
        }
        let given = |field: &Option<String>| field.as_deref().is_some_and(|text| !text.is_empty());
        let has_password = given(&connect.user) || given(&connect.pass) || given(&connect.auth_token);
        let has_nkey = self.has_nkeys && given(&connect.nkey);
        if let Some(identity) = self.silent(over)
            && !has_password
            && !has_nkey
        {
            return Verdict::Admitted(identity.clone());
        }
        if has_nkey {
            return self.judge_nkey(connect, nonce.unwrap_or_default(), over);
        }
        if self.by_certificate.contains(&over) {
            let known = certificate.and_then(|names| self.find_named(names, over));
            return known.map_or(Verdict::Denied, |known| known.judge(connect));
        }
        if !self.passwords.is_empty() && given(&connect.user) {
            return self.judge_password(connect, over);
        }
        match &self.token {
            Some(token) => compare(token, connect.auth_token.as_deref().unwrap_or_default(), Some(&self.anyone)),
            None => Verdict::Denied,
        }
    }

    /// Looks again, at the time `wall`, at a client that is in, after a reload.
    pub(crate) fn review(
        &self,
        identity: &Arc<Identity>,
        over: ConnectionType,
        from: Option<IpAddr>,
        wall: SystemTime,
    ) -> Review {
        if let Proof::Service(issuer) = &identity.proof {
            return self.review_asked(identity, issuer);
        }
        if let Some(operator) = &self.operator {
            return match &identity.proof {
                // Its nonce was signed when it came in.
                Proof::Jwt(shown) => match operator.admit(shown, true, over, from, wall) {
                    // Whom a key has signed goes when that stands for something else.
                    Ok(login) if login.shown != *shown => Review::Gone,
                    Ok(login) => Review::Stays(Arc::new(Identity::of_jwt(login))),
                    Err(Refusal::Issuer(_)) => Review::Gone,
                    Err(Refusal::Revoked) => Review::Revoked,
                    Err(_) => Review::Denied,
                },
                Proof::Nothing
                | Proof::NoAuthUser
                | Proof::Token(_)
                | Proof::Password(_)
                | Proof::NKey
                | Proof::Service(_) => Review::Denied,
            };
        }
        let Some(name) = &identity.user else {
            let knows_token = self.token.is_some() && identity.proof == self.anyone.proof;
            return match self.silent(over) {
                _ if !self.is_required || knows_token => Review::Stays(self.anyone.clone()),
                Some(user) if user.account == identity.account => Review::Stays(user.clone()),
                Some(_) => Review::Gone,
                None => Review::Denied,
            };
        };
        let Some(known) = self.find(name).filter(|known| known.identity.account == identity.account) else {
            return Review::Gone;
        };
        if !known.user.may_use(over) {
            return Review::Denied;
        }
        match self.silent(over) {
            Some(no_auth) if identity.proof == Proof::NoAuthUser && no_auth.user == identity.user => {
                Review::Stays(no_auth.clone())
            }
            _ if known.identity.proof == identity.proof => Review::Stays(known.identity.clone()),
            _ => Review::Denied,
        }
    }

    /// Whom a service has let in stays while users of that `issuer` are, and its account is there: it is not asked again.
    fn review_asked(&self, identity: &Arc<Identity>, issuer: &str) -> Review {
        match &self.service {
            Some(service) if service.callout.issuer == issuer => match service.accounts.get(&*identity.account) {
                Some(_) => Review::Stays(identity.clone()),
                None => Review::Gone,
            },
            Some(_) | None => Review::Denied,
        }
    }

    fn find(&self, name: &str) -> Option<&Known> {
        self.nkeys.get(name).or_else(|| self.passwords.get(name))
    }

    /// The user that a certificate names: by mail address, host or URI, then by the subject.
    fn find_named(&self, names: &CertificateNames, over: ConnectionType) -> Option<&Known> {
        let subject = self.distinguished.get(&names.attributes).map(|name| &**name);
        let all = names.alternatives.iter().map(String::as_str).chain(subject).chain([&*names.subject]);
        all.filter_map(|name| self.passwords.get(name)).find(|known| known.user.may_use(over))
    }

    fn judge_nkey(&self, connect: &Connect, nonce: &str, over: ConnectionType) -> Verdict {
        let public = connect.nkey.as_deref().unwrap_or_default();
        let Some(known) = self.nkeys.get(public).filter(|known| known.user.may_use(over)) else {
            return Verdict::Denied;
        };
        if has_signed(public, nonce, connect.sig.as_deref().unwrap_or_default()) {
            Verdict::Admitted(known.identity.clone())
        } else {
            Verdict::Denied
        }
    }

    fn judge_password(&self, connect: &Connect, over: ConnectionType) -> Verdict {
        let (name, given) = (connect.user.as_deref().unwrap_or_default(), connect.pass.as_deref().unwrap_or_default());
        match self.passwords.get(name).filter(|known| known.user.may_use(over)) {
            // A user that only a certificate makes known has none, and an empty one shall not do.
            Some(known) if known.has_password() => known.judge(connect),
            Some(_) | None => self.decoy.as_ref().map_or(Verdict::Denied, |decoy| compare(decoy, given, None)),
        }
    }
}

impl Known {
    fn new(user: &User, auth: &Auth) -> Self {
        let proof = match &user.login {
            Login::Password(secret) => Proof::Password(secret.clone()),
            Login::NKey => Proof::NKey,
        };
        let identity = Identity::new(Some(user), &user.account, rules(user, auth), proof, &auth.accounts);
        let identity = Arc::new(identity);
        Self { identity, user: user.clone() }
    }

    fn has_password(&self) -> bool {
        matches!(&self.user.login, Login::Password(secret) if !secret.is_empty())
    }

    /// Judges a password.
    fn judge(&self, connect: &Connect) -> Verdict {
        match &self.user.login {
            Login::Password(secret) => {
                compare(secret, connect.pass.as_deref().unwrap_or_default(), Some(&self.identity))
            }
            Login::NKey => Verdict::Denied,
        }
    }
}

/// Users whose name is a distinguished one.
fn distinguished(users: &[User]) -> BTreeMap<Attributes, Box<str>> {
    let named = users.iter().filter(|user| user.login != Login::NKey);
    named.filter_map(|user| Some((parse_name(&user.name)?, user.name.as_str().into()))).collect()
}

/// What `user` may do. Who is beside a service may not ask it.
fn rules(user: &User, auth: &Auth) -> Option<Arc<Rules>> {
    let account = if user.account.is_empty() { GLOBAL_ACCOUNT } else { &user.account };
    let mut permissions = user.permissions.clone();
    if auth.callout.as_ref().is_some_and(|callout| callout.account() == account) {
        permissions.get_or_insert_default().publish.deny.push(callout::SUBJECT.to_owned());
    }
    permissions.map(|permissions| Arc::new(Rules::new(&permissions)))
}

fn compare(secret: &Secret, given: &str, identity: Option<&Arc<Identity>>) -> Verdict {
    match (secret.compare(given), identity) {
        (Comparison::Same, Some(identity)) => Verdict::Admitted(identity.clone()),
        (Comparison::Same, None) | (Comparison::Different, _) => Verdict::Denied,
        (Comparison::Slow, identity) => {
            let (hash, given, identity) = (secret.clone(), given.to_owned(), identity.cloned());
            Verdict::Slow(SlowCheck(Check::Hash { hash, given, identity }))
        }
    }
}

/// True when `signature`, in base64 for URLs or not, is that of `nonce` by the key.
pub(super) fn has_signed(public: &str, nonce: &str, signature: &str) -> bool {
    let text = signature.as_bytes();
    let decoded =
        data_encoding::BASE64URL_NOPAD.decode(text).or_else(|_| data_encoding::BASE64.decode(text)).unwrap_or_default();
    nkeys::KeyPair::from_public_key(public).is_ok_and(|key| key.verify(nonce.as_bytes(), &decoded).is_ok())
}

#[cfg(test)]
mod tests;
