//! A client that a service is asked about: the request, and what its answer makes of the client.

use super::request::{Connection, write};
use super::{ClientTls, SUBJECT, ServerId, Service, claimed};
use crate::auth::access::SlowCheck;
use crate::auth::identity::Proof;
use crate::auth::jwt::{Answered, Expected, Unfit, read_answer, told};
use crate::auth::rules::Rules;
use crate::auth::{ConnectionType, Identity};
use crate::proto::Connect;
use nkeys::{KeyPair, KeyPairType};
use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

/// A client that a service has yet to be asked about. Shown without secrets.
pub struct CalloutCheck {
    pub(in crate::auth) service: Arc<Service>,
    /// Whoever passes this is let in without asking.
    pub(in crate::auth) before: Option<SlowCheck>,
    pub(in crate::auth) connect: Connect,
    /// What was to be signed.
    pub(in crate::auth) nonce: String,
    pub(in crate::auth) over: ConnectionType,
    pub(in crate::auth) from: Option<IpAddr>,
}

/// What a service is asked, and has yet to answer. Shown without secrets.
pub(crate) struct Inquiry {
    check: CalloutCheck,
    server: String,
    /// The public key that was made for the client: an answer is about nobody else.
    user: String,
    /// What the service is sent.
    pub(crate) request: String,
}

impl CalloutCheck {
    /// What goes before asking.
    pub(crate) fn take_before(&mut self) -> Option<SlowCheck> {
        self.before.take()
    }

    /// The account that the service is in.
    pub(crate) fn account(&self) -> &str {
        self.service.callout.account()
    }

    /// Puts the request together: of the server that `key` is of, about the client with the number `id`, for which a
    /// key is made of the random `secret`. `None` when `key` cannot sign.
    pub(crate) fn inquire(
        self,
        (id, tls): (u64, Option<&ClientTls>),
        server: (&ServerId, &KeyPair),
        secret: [u8; 32],
        time: (SystemTime, Duration),
    ) -> Option<Inquiry> {
        let user = KeyPair::new_from_raw(KeyPairType::User, secret).ok()?.public_key();
        let connection = Connection { id, kind_of_client: crate::monitor::kind_of_client(self.over), tls };
        let request = write(&self, &connection, server, &user, time)?;
        Some(Inquiry { check: self, server: server.0.id.clone(), user, request })
    }
}

impl Inquiry {
    /// Who the client is, by an answer that came at the time `wall`; `None` when it is not let in.
    pub(crate) fn settle(self, answer: &[u8], wall: SystemTime) -> Option<Arc<Identity>> {
        match self.judge(answer, wall) {
            Ok(identity) => Some(Arc::new(identity)),
            Err(refusal) => {
                tracing::debug!(%refusal, "client not let in");
                None
            }
        }
    }

    pub(super) fn judge(&self, answer: &[u8], wall: SystemTime) -> Result<Identity, Unfit> {
        let Self { check, server, user, .. } = self;
        let issuer = &check.service.callout.issuer;
        let expected = Expected { user, server, issuer, over: check.over, from: check.from };
        let answered = read_answer(answer, &expected, wall)?;
        let account = told(&answered.account);
        Identity::of_answer(answered, claimed(&check.connect), &check.service).ok_or(Unfit::NoAccount(account))
    }
}

impl Identity {
    /// Who a client is by an answer, which calls it `claimed` unless that says otherwise; `None` when its account is not
    /// there. What its token limits besides permissions is not looked at, as with the real server.
    fn of_answer(answered: Answered, claimed: &str, service: &Service) -> Option<Self> {
        let Answered { account, name, mut permissions, until } = answered;
        let limits = service.accounts.get(&account)?;
        if account == service.callout.account() {
            permissions.get_or_insert_default().publish.deny.push(SUBJECT.to_owned());
        }
        let user = if name.is_empty() { claimed } else { &name };
        Some(Self {
            user: (!user.is_empty()).then(|| user.into()),
            account_name: account.as_str().into(),
            account: account.into(),
            user_name: Box::default(),
            user_until: until,
            account_until: None,
            rules: permissions.map(|permissions| Arc::new(Rules::new(&permissions))),
            subscriptions_max: limits.subscriptions_max.unwrap_or(usize::MAX),
            payload_max: limits.payload_max.unwrap_or(usize::MAX),
            proof: Proof::Service(service.callout.issuer.as_str().into()),
        })
    }
}

impl fmt::Debug for CalloutCheck {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CalloutCheck").finish_non_exhaustive()
    }
}

impl fmt::Debug for Inquiry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Inquiry").finish_non_exhaustive()
    }
}
