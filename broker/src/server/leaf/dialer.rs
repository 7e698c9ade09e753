//! What comes over the link of a leaf node: who it says that it is, its messages and its interest.

use super::leafs;
use super::spoke::{Bound, Spoke};
use crate::account::Account;
use crate::attach::{Attachment, Publisher};
use crate::auth::{ConnectionType, Identity, Replies, Review, Rules, Showing, Verdict};
use crate::delivery::Dice;
use crate::env::BoxFuture;
use crate::generation::hash;
use crate::hub::Hub;
use crate::leaf::{
    Binding, Close, Connect, Desk, Direction, Event, Handler, Interest, LeafMessage, LeafPort, Refusal, Scope, Session,
    SubjectLists, violation,
};
use crate::lock::lock;
use crate::message::{ClusterId, Groups, Message};
use crate::neighbor::NeighborKind;
use crate::proto;
use crate::server::callout;
use crate::session::SLOW_CHECK_MAX;
use crate::stats::add;
use crate::tls::CertificateNames;
use std::sync::{Arc, Mutex};
use std::time::Instant;

/// The handler of a leaf node's link.
pub(super) struct Dialer {
    hub: Arc<Hub>,
    port: Arc<LeafPort>,
    spoke: Arc<Spoke>,
    nonce: String,
    names: Option<CertificateNames>,
    dice: Dice,
    state: State,
}

enum State {
    /// It has not said who it is, or was not let in.
    Out,
    /// It has, and that is being looked at beside this task.
    Judged(Box<Judged>),
    In(Box<In>),
}

struct Judged {
    connect: Box<Connect>,
    /// Who it is, if it is anyone; until somebody waits for that.
    look: Option<BoxFuture<Option<Arc<Identity>>>>,
    /// What that has come to.
    found: Arc<Mutex<Option<Arc<Identity>>>>,
}

struct In {
    account: Arc<Account>,
    attachment: Attachment,
    publisher: Publisher,
    received: Arc<Direction>,
    replies: Option<Arc<Replies>>,
    _place: Place,
}

/// Its place among the connections of its account.
struct Place(Arc<Account>);

impl Place {
    fn enter(account: &Arc<Account>) -> Option<Self> {
        account.enter().then(|| Self(account.clone()))
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.0.leave();
    }
}

impl Dialer {
    pub(super) fn new(
        hub: &Arc<Hub>,
        port: &Arc<LeafPort>,
        spoke: Arc<Spoke>,
        nonce: String,
        names: Option<CertificateNames>,
    ) -> Self {
        let dice = hub.dice();
        Self { hub: hub.clone(), port: port.clone(), spoke, nonce, names, dice, state: State::Out }
    }

    /// Takes its interest back, and hands on what it has sent.
    pub(super) fn end(&mut self) {
        if let State::In(inside) = &mut self.state {
            inside.publisher.flush();
        }
        self.state = State::Out;
        self.hub.leafs.leave(&self.hub, self.spoke.id);
        self.spoke.ended.cancel();
    }

    fn with_session<T>(&self, act: impl FnOnce(&mut Session, Instant) -> T) -> Result<T, Close> {
        let now = self.hub.env.now();
        match &mut lock(self.spoke.desk()).session {
            Some(session) => Ok(act(session, now)),
            None => Err(Close::Lost("the link has ended".to_owned())),
        }
    }

    fn refuse(&self, text: &str) -> Close {
        self.with_session(|session, _| session.refuse(text)).unwrap_or_else(|close| close)
    }

    /// Finds out who it is, at once or by something that takes long.
    fn judge(&mut self, connect: Box<Connect>) -> Result<(), Close> {
        let shown = credentials(&connect);
        let showing = Showing {
            connect: &shown,
            nonce: Some(&self.nonce),
            over: ConnectionType::LeafNode,
            from: Some(self.spoke.peer.ip()),
            certificate: self.names.as_ref(),
        };
        let (hub, env) = (self.hub.clone(), self.hub.env.clone());
        let look: BoxFuture<_> = match self.hub.leafs.judge(&hub).access().judge(&showing) {
            Verdict::Admitted(identity) => return self.let_in(&connect, identity),
            Verdict::Denied => return Err(self.refuse("Authorization Violation")),
            Verdict::Slow(check) => Box::pin(async move {
                let look = hub.work_slowly(move |wall| check.run(wall));
                env.timeout(SLOW_CHECK_MAX, look).await.ok().flatten().flatten()
            }),
            Verdict::Asked(check) => {
                let (look, max) = (callout::ask(hub, self.spoke.id, None, *check), self.port.auth_timeout);
                Box::pin(async move { env.timeout(max, look).await.ok().flatten() })
            }
        };
        self.state = State::Judged(Box::new(Judged { connect, look: Some(look), found: Arc::default() }));
        Ok(())
    }

    /// It has been looked at. What it is judged by may be others by now.
    fn judged(&mut self, judged: &Judged) -> Result<(), Close> {
        let found = lock(&judged.found).take().and_then(|identity| {
            let (judge, from) = (self.hub.leafs.judge(&self.hub), Some(self.spoke.peer.ip()));
            match judge.access().review(&identity, ConnectionType::LeafNode, from, self.hub.env.wall()) {
                Review::Stays(identity) => Some(identity),
                Review::Gone | Review::Denied | Review::Revoked => None,
            }
        });
        match found {
            Some(identity) => self.let_in(&judged.connect, identity),
            None => Err(self.refuse("Authorization Violation")),
        }
    }

    /// Binds it to its account, and makes it known there.
    fn let_in(&mut self, connect: &Connect, identity: Arc<Identity>) -> Result<(), Close> {
        let hub = self.hub.clone();
        let name = leafs::account(&hub.leafs.judge(&hub), &self.port, &identity);
        let Some(account) = hub.account(name.as_bytes()) else {
            return Err(self.refuse("Authorization Violation"));
        };
        let Some(place) = Place::enter(&account) else {
            return Err(self.refuse("maximum account active connections exceeded"));
        };
        let cluster = (!connect.cluster.is_empty()).then(|| ClusterId(hash(connect.cluster.as_bytes())));
        let is_isolated = self.port.is_isolated || connect.isolate;
        let taken_for_others = leafs::taken_for_others(&hub.live(), &name);
        let mut interest = Interest::new(name.as_bytes(), Scope::Down { cluster, is_isolated });
        let answers = account.common().replies();
        interest.take_for_others(taken_for_others.iter().map(String::as_str).chain([&*answers]));
        let received = self.open(&name, &identity, interest)?;
        let replies =
            identity.rules.as_ref().and_then(|rules| rules.responses()).map(|allowed| Arc::new(Replies::new(allowed)));
        self.expire(&identity);
        let bound = Bound {
            name: connect.name.clone(),
            cluster: connect.cluster.clone(),
            remote_account: connect.remote_account.clone(),
            account: account.name().into(),
            identity,
            is_isolated,
            taken_for_others,
            replies: replies.clone(),
        };
        self.spoke.bind(&hub, bound);
        let attachment = Attachment::to_account(hub, account.clone(), NeighborKind::Spoke(cluster), self.spoke.clone());
        let publisher = attachment.publisher();
        self.state = State::In(Box::new(In { account, attachment, publisher, received, replies, _place: place }));
        let (lid, peer) = (self.spoke.id, self.spoke.peer);
        tracing::info!(lid, %peer, name = connect.name, account = %name, "leaf node is linked");
        Ok(())
    }

    /// Opens its session, with the interest that it is told of.
    fn open(&self, account: &str, identity: &Identity, mut interest: Interest) -> Result<Arc<Direction>, Close> {
        let [export, import] = identity.rules.as_deref().map(lists).unwrap_or_default();
        let is_system = account == &*self.hub.terms().system_account;
        let token = self.hub.leafs.token(account);
        let is_untold = identity.rules.as_ref().is_some_and(|rules| rules.responses().is_some());
        let binding = Binding { account: account.to_owned(), token, is_system, import, export, is_untold };
        let now = self.hub.env.now();
        let mut desk = lock(self.spoke.desk());
        let Desk { session, interest: place, .. } = &mut *desk;
        let Some(session) = session else { return Err(Close::Lost("the link has ended".to_owned())) };
        let received = session.bind(now, &binding, &mut interest)?;
        *place = interest;
        Ok(received)
    }

    /// Has it go when its credentials end.
    fn expire(&self, identity: &Identity) {
        let Some((at, whose)) = identity.expires(self.hub.env.now(), self.hub.env.wall()) else { return };
        let (env, spoke, ended) = (self.hub.env.clone(), Arc::downgrade(&self.spoke), self.spoke.ended.clone());
        self.hub.env.spawn(async move {
            if ended.run_until_cancelled(env.sleep_until(at)).await.is_some()
                && let Some(spoke) = spoke.upgrade()
            {
                spoke.turn_out(whose.text());
            }
        });
    }
}

impl Handler for Dialer {
    fn desk(&self) -> &Mutex<Desk> {
        self.spoke.desk()
    }

    fn is_wanted(&self) -> bool {
        self.spoke.is_wanted()
    }

    fn message(&mut self, leaf: &LeafMessage<'_>) -> Result<(), Close> {
        let State::In(inside) = &mut self.state else { return Ok(()) };
        let mut message = leaf.message;
        match inside.received.message(message.subject) {
            Ok(()) => {}
            Err(Refusal::DeniedHere) => return Ok(()),
            Err(Refusal::NotPermitted) => {
                let (replies, now) = (inside.replies.as_ref(), self.hub.env.now());
                if !replies.is_some_and(|replies| replies.may_answer(now, message.subject)) {
                    add(&self.hub.counters.drop_denied, 1);
                    // It cannot know which answers it has leave to give, and was told of no bounds.
                    if replies.is_some() {
                        return Ok(());
                    }
                    return Err(self.refuse(&violation("Publish", message.subject)));
                }
            }
        }
        self.spoke.count_in(message.body.len());
        let picks = leaf.groups.picks();
        let mapped = inside.account.mappings().and_then(|mappings| mappings.apply(message.subject, &mut self.dice));
        // Whoever has chosen groups for a subject could not know what becomes of it.
        let groups = if mapped.is_some() && picks.is_empty() { Groups::Any } else { Groups::Only(&picks) };
        if let Some(subject) = &mapped {
            message = Message { subject, ..message };
        }
        inside.publisher.publish(inside.account.name(), &message, groups, None);
        Ok(())
    }

    fn oversize(&mut self, _: usize) -> Result<(), Close> {
        Err(self.refuse("Maximum Payload Violation"))
    }

    fn event(&mut self, event: Event<'_>) -> Result<(), Close> {
        match event {
            Event::Connect(connect) => self.judge(connect)?,
            Event::Interest { subject, queue, weight } => {
                let State::In(inside) = &self.state else { return Ok(()) };
                if inside.attachment.set_interest(inside.account.name(), 0, None, subject, queue, weight).is_err() {
                    self.with_session(|session, _| session.complain("Invalid Subscription"))?;
                }
            }
            Event::Complaint(text) => {
                tracing::info!(lid = self.spoke.id, peer = %self.spoke.peer, text = text.escape_debug().to_string(), "a leaf node complains");
            }
            Event::InterestRefused | Event::Opened(_) | Event::Permissions(_) | Event::Discovered(_) => {}
        }
        Ok(())
    }

    fn flush(&mut self) -> Option<BoxFuture<()>> {
        match &mut self.state {
            State::Out => None,
            State::Judged(judged) => {
                let (look, found) = (judged.look.take()?, judged.found.clone());
                Some(Box::pin(async move {
                    let identity = look.await;
                    *lock(&found) = identity;
                }))
            }
            State::In(inside) => inside.publisher.flush().then(|| inside.publisher.ready()),
        }
    }

    fn is_busy(&self) -> bool {
        matches!(self.state, State::Judged(_))
    }

    fn ready(&mut self) -> Result<(), Close> {
        match std::mem::replace(&mut self.state, State::Out) {
            State::Judged(judged) => self.judged(&judged),
            state => {
                self.state = state;
                Ok(())
            }
        }
    }

    fn wrote(&mut self, _: u64) {}
}

/// What a user may send and may receive, as its leaf node is told; `None` is everything.
fn lists(rules: &Rules) -> [Option<SubjectLists>; 2] {
    let subject = |rule: &String| rule.split(' ').next().unwrap_or_default().to_owned();
    let [[publish, not_publish], [subscribe, not_subscribe]] = rules.describe();
    let everything = || vec![">".to_owned()];
    let not_publish = if rules.publish_nothing() { everything() } else { not_publish };
    // What is denied to a group alone is not denied to the node.
    let not_subscribe = not_subscribe.into_iter().filter(|rule| !rule.contains(' ')).collect();
    [(publish, not_publish), (subscribe.iter().map(subject).collect(), not_subscribe)]
        .map(|(allow, deny)| (!allow.is_empty() || !deny.is_empty()).then_some(SubjectLists { allow, deny }))
}

/// What it shows, as clients show it.
fn credentials(connect: &Connect) -> proto::Connect {
    let Connect { user, pass, auth_token, nkey, jwt, sig, .. } = connect.clone();
    proto::Connect {
        user,
        pass,
        auth_token,
        nkey,
        jwt,
        sig,
        name: Some(connect.name.clone()),
        ..proto::Connect::default()
    }
}
