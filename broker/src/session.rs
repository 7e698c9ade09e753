//! State of one client connection: operations in, answers and actions out. No sockets, no clock.
//!
//! ```text
//! AwaitConnect ──CONNECT──► Checking ──verified──► Open ──drain──► Draining
//!       └────────── any error that closes ─────────────────────────────┴──► Closed
//! ```
//!
//! It knows what the protocol says to what (credentials, `+OK`, the `-ERR` texts, when to PING, which sids
//! exist). Whom a message goes to is left to the delivery; how bytes reach the socket, to the connection.
//! Contract: after `handle` do what the action says, write `out`, and arm `poll_timeout`.

use crate::auth::{ConnectionType, Expiring, Identity, Replies, Review, Showing, Verdict};
use crate::message::Message;
use crate::proto::{Connect, Info, Limits, Op, ParseError, encode, quoted};
use crate::stats::CloseReason;
use crate::subject;
use crate::system::QUESTION;
use crate::tls::CertificateNames;
use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

mod about;
mod action;
mod grant;
mod terms;

pub use about::About;
pub use action::Action;
pub use terms::{News, Peer, Terms};

use grant::Grant;

/// The first PING after CONNECT comes soon, as clients learn the round-trip time from it.
const FIRST_PING: Duration = Duration::from_secs(2);
/// How long a password that is slow to check may wait for its turn. The client has said what it had to in its time, and
/// whoever guesses must not be able to keep it out by standing in line before it.
pub(crate) const SLOW_CHECK_MAX: Duration = Duration::from_secs(30);
/// The round-trip time is measured again after this.
const RTT_VALID: Duration = Duration::from_secs(3600);

#[derive(Debug)]
enum State {
    AwaitConnect,
    Checking(Box<Connect>, Late),
    Open,
    Draining,
    Closed,
}

/// What a client is told that could not be judged in time.
#[derive(Clone, Copy, Debug)]
enum Late {
    TooLate,
    /// A service that does not answer lets nobody in.
    Denied,
}

/// One client connection.
#[derive(Debug)]
pub struct Session<S> {
    terms: Arc<Terms>,
    peer: Peer,
    about: Arc<About>,
    state: State,
    grant: Grant,
    subscriptions: BTreeMap<Box<[u8]>, S>,
    verbose: bool,
    pedantic: bool,
    echo: bool,
    headers: bool,
    no_responders: bool,
    info_due: bool,
    /// It understands an INFO that comes later.
    hears_info: bool,
    news: Arc<News>,
    pings_out: u32,
    last_in: Instant,
    ping_sent: Option<Instant>,
    rtt: Option<Duration>,
    timeout: Instant,
    /// When its credentials end, and whose these are.
    expires: Option<(Instant, Expiring)>,
}

impl<S: Clone> Session<S> {
    /// A session that begins now.
    pub fn new(terms: Arc<Terms>, news: Arc<News>, peer: Peer, now: Instant) -> Self {
        let anonymous = terms.access.anonymous(peer.over);
        let is_awaited = anonymous.is_none();
        let identity = anonymous.unwrap_or_else(|| terms.access.nobody());
        let mut session = Self {
            state: if is_awaited { State::AwaitConnect } else { State::Open },
            grant: Grant::new(&terms, identity.clone(), None),
            terms,
            peer,
            about: Arc::default(),
            subscriptions: BTreeMap::new(),
            // PROTOCOL §2: until CONNECT says otherwise, the defaults hold.
            verbose: true,
            pedantic: true,
            echo: true,
            headers: false,
            no_responders: false,
            info_due: false,
            hears_info: false,
            news,
            pings_out: 0,
            last_in: now,
            ping_sent: None,
            rtt: None,
            timeout: now,
            expires: None,
        };
        session.begin(now, None);
        session
    }

    /// Puts INFO out, with which a server begins.
    pub fn greet(&self, out: &mut Vec<u8>) {
        encode::info(out, &self.info());
    }

    /// The client's time for CONNECT begins: at the start, and again after what came between INFO and that. `certificate`
    /// is what it has shown in a TLS handshake.
    pub fn begin(&mut self, now: Instant, certificate: Option<Arc<CertificateNames>>) {
        self.peer.certificate = certificate;
        let first = if matches!(self.state, State::AwaitConnect) {
            self.terms.auth_timeout
        } else {
            FIRST_PING.min(self.ping_interval())
        };
        (self.timeout, self.last_in) = (now + first, now);
    }

    /// Takes one operation.
    #[inline]
    pub fn handle<'a>(&mut self, now: Instant, op: Op<'a>, out: &mut Vec<u8>) -> Action<'a, S> {
        match self.state {
            State::Open => {}
            State::Checking(..) => return Action::None,
            State::AwaitConnect => {
                return match op {
                    Op::Connect(json) => self.connect(now, json, out),
                    Op::Publish { .. }
                    | Op::Subscribe { .. }
                    | Op::Unsubscribe { .. }
                    | Op::Ping
                    | Op::Pong
                    | Op::Ignored
                    | Op::Error => self.deny(out),
                };
            }
            State::Draining | State::Closed => return Action::None,
        }
        match op {
            Op::Publish { message, has_headers, wire } => {
                self.publish(now, message, message.subject, has_headers, wire, out)
            }
            Op::Subscribe { subject, queue, sid } => self.subscribe(subject, queue, sid, out),
            Op::Unsubscribe { sid, max } => self.unsubscribe(sid, max, out),
            Op::Connect(json) => self.connect(now, json, out),
            Op::Ping => {
                self.ping(out);
                Action::None
            }
            Op::Pong => {
                self.pong(now);
                Action::Measured
            }
            Op::Ignored => Action::None,
            Op::Error => self.close(CloseReason::ParseError, b"", out),
        }
    }

    /// As [`Session::handle`] with a message that goes to `subject` in the place of its own; an empty one is nobody's.
    pub fn handle_mapped<'a>(
        &mut self,
        now: Instant,
        op: Op<'a>,
        subject: &'a [u8],
        out: &mut Vec<u8>,
    ) -> Action<'a, S> {
        match (&self.state, op) {
            (State::Open, Op::Publish { message, has_headers, wire }) => {
                let mapped = Message { subject, ..message };
                self.publish(now, mapped, message.subject, has_headers, wire, out)
            }
            (_, op) => self.handle(now, op, out),
        }
    }

    /// Something has arrived: the client is alive.
    #[inline]
    pub fn heard(&mut self, now: Instant) {
        self.last_in = now;
    }

    /// The time is what [`Session::poll_timeout`] said, or later.
    pub fn tick(&mut self, now: Instant, jitter: u64, out: &mut Vec<u8>) -> Action<'static, S> {
        if now < self.poll_timeout() {
            return Action::None;
        }
        match self.state {
            State::Checking(_, Late::Denied) => self.deny(out),
            State::AwaitConnect | State::Checking(_, Late::TooLate) => {
                self.close(CloseReason::AuthenticationTimeout, b"Authentication Timeout", out)
            }
            State::Open => match self.expires.filter(|(at, _)| now >= *at) {
                Some((_, whose)) => self.expire(whose, out),
                None => self.ping_due(now, jitter, out),
            },
            State::Draining | State::Closed => {
                self.expires = None;
                self.timeout = now + self.ping_interval();
                Action::None
            }
        }
    }

    /// When to call [`Session::tick`] next.
    #[inline]
    pub fn poll_timeout(&self) -> Instant {
        self.expires.map_or(self.timeout, |(at, _)| at.min(self.timeout))
    }

    /// The bytes cannot be read: says why.
    pub fn parse_failed(&mut self, error: ParseError, out: &mut Vec<u8>) -> Action<'static, S> {
        if matches!(self.state, State::AwaitConnect) && error == ParseError::UnknownOperation {
            return self.deny(out);
        }
        let (reason, text): (_, &[u8]) = match error {
            ParseError::UnknownOperation => (CloseReason::ProtocolViolation, b"Unknown Protocol Operation"),
            ParseError::Malformed => (CloseReason::ProtocolViolation, b""),
            ParseError::LineTooLong { .. } => {
                (CloseReason::MaximumControlLineExceeded, b"maximum control line exceeded")
            }
            ParseError::PayloadTooLong { .. } => (CloseReason::MaximumPayloadExceeded, b"Maximum Payload Violation"),
        };
        self.close(reason, text, out)
    }

    /// Refuses the connection, as there are too many.
    pub fn refuse(&mut self, out: &mut Vec<u8>) -> Action<'static, S> {
        self.close(CloseReason::MaximumConnectionsExceeded, b"maximum connections exceeded", out)
    }

    /// Refuses who was admitted, as the account has connections enough.
    pub fn refuse_account(&mut self, out: &mut Vec<u8>) -> Action<'static, S> {
        let text = b"maximum account active connections exceeded";
        self.close(CloseReason::MaximumAccountConnectionsExceeded, text, out)
    }

    /// What [`Action::Verify`] has come to: who the client is, if it is anyone.
    /// `wall` is the time by which its credentials end.
    pub fn verified(
        &mut self,
        now: Instant,
        wall: SystemTime,
        identity: Option<Arc<Identity>>,
        out: &mut Vec<u8>,
    ) -> Action<'static, S> {
        match std::mem::replace(&mut self.state, State::Open) {
            // The terms may be others than those that it was judged by.
            State::Checking(connect, _) => match identity.and_then(|identity| self.still(&identity, wall)) {
                Some(identity) => {
                    self.expires = identity.expires(now, wall);
                    self.admit(now, &connect, identity, out)
                }
                None => self.deny(out),
            },
            state => {
                self.state = state;
                Action::None
            }
        }
    }

    /// [`Action::Connected`] has been done. `replies` are the answers that the client's rules speak of.
    pub fn admitted(&mut self, out: &mut Vec<u8>) {
        self.ok(out);
    }

    /// The terms are others now: subscriptions that are not allowed any more end, and the client is told which; a
    /// client that may not be here any more, by the time `wall`, is closed. `describe` tells the filter and the queue of a subscription.
    pub fn revise(
        &mut self,
        now: Instant,
        wall: SystemTime,
        terms: Arc<Terms>,
        describe: impl Fn(&S) -> (&[u8], Option<&[u8]>),
        out: &mut Vec<u8>,
    ) -> Action<'static, S> {
        self.terms = terms;
        if !matches!(self.state, State::Open) {
            return Action::None;
        }
        match self.terms.access.review(&self.grant.identity, self.peer.over, self.from(), wall) {
            Review::Stays(identity) => {
                self.expires = identity.expires(now, wall);
                self.grant = Grant::new(&self.terms, identity, Some(&self.grant));
            }
            Review::Revoked => return self.close(CloseReason::Revocation, b"User Authentication Revoked", out),
            Review::Gone => return self.close(CloseReason::ClientClosed, b"", out),
            Review::Denied => return self.deny(out),
        }
        let grant = &self.grant;
        let ended = self.subscriptions.extract_if(.., |sid, subscription| {
            let (filter, queue) = describe(subscription);
            let ends = !grant.may_subscribe(filter, queue);
            if ends {
                let text = format!("{} (sid {})", subscription_violation(filter, queue), quoted(sid));
                encode::error(out, text.as_bytes());
            }
            ends
        });
        Action::Revised(ended.map(|(_, subscription)| subscription).collect())
    }

    /// There is news: tells it to a client that understands an INFO that comes later, unless it knows.
    pub fn hear(&mut self, news: Arc<News>, out: &mut Vec<u8>) {
        let is_known = news == self.news;
        self.news = news;
        if matches!(self.state, State::Open) && self.hears_info && !is_known {
            encode::info(out, &self.info());
        }
    }

    /// Takes no more operations.
    pub fn drain(&mut self) {
        match self.state {
            State::AwaitConnect | State::Checking(..) | State::Open => self.state = State::Draining,
            State::Draining | State::Closed => {}
        }
    }

    /// [`Action::Subscribe`] has been done.
    pub fn subscribed(&mut self, sid: &[u8], subscription: S, out: &mut Vec<u8>) {
        self.subscriptions.insert(sid.into(), subscription);
        self.ok(out);
    }

    /// Forgets `sid` if it still is the subscription that `is_same` knows: it has had its last message.
    pub fn expired(&mut self, sid: &[u8], is_same: impl FnOnce(&S) -> bool) {
        if self.subscriptions.get(sid).is_some_and(is_same) {
            self.subscriptions.remove(sid);
        }
    }

    /// All subscriptions, to be removed as the connection ends.
    pub fn take_subscriptions(&mut self) -> impl ExactSizeIterator<Item = S> + use<S> {
        std::mem::take(&mut self.subscriptions).into_values()
    }

    /// The client wants its own messages.
    #[inline]
    pub fn echo(&self) -> bool {
        self.echo
    }

    /// The client wants a 503 when nobody serves a request.
    #[inline]
    pub fn no_responders(&self) -> bool {
        self.no_responders
    }

    /// What the client says of itself.
    pub fn about(&self) -> &Arc<About> {
        &self.about
    }

    /// Subscriptions that there are.
    pub fn subscriptions(&self) -> usize {
        self.subscriptions.len()
    }

    /// Who the client is.
    pub fn identity(&self) -> &Arc<Identity> {
        &self.grant.identity
    }

    /// What the client may send.
    #[inline]
    pub fn limits(&self) -> &Limits {
        &self.grant.limits
    }

    /// Leave to answer, to be noted when messages are delivered to the client.
    pub(crate) fn replies(&self) -> Option<&Arc<Replies>> {
        self.grant.replies()
    }

    /// The last measured round-trip time.
    pub fn rtt(&self) -> Option<Duration> {
        self.rtt
    }

    fn info(&self) -> Info {
        let (peer, news) = (&self.peer, &self.news);
        // These speak plain TCP, which a browser cannot.
        let is_other = peer.over == ConnectionType::WebSocket;
        Info {
            connect_urls: if is_other { Vec::new() } else { news.connect_urls.clone() },
            ldm: news.is_lame,
            host: peer.host.to_string(),
            port: peer.port,
            auth_required: self.terms.access.is_asked_for(peer.over),
            nonce: peer.nonce.as_deref().map(str::to_owned),
            client_id: Some(peer.client_id),
            client_ip: peer.client_ip.to_string(),
            tls_required: peer.tls.required,
            tls_verify: peer.tls.verify,
            tls_available: peer.tls.available,
            max_payload: self.grant.limits.payload_max,
            ..self.terms.info.clone()
        }
    }

    fn connect(&mut self, now: Instant, json: &[u8], out: &mut Vec<u8>) -> Action<'static, S> {
        // An array would do for serde, but is no set of options.
        let connect = json.starts_with(b"{").then(|| serde_json::from_slice::<Connect>(json));
        let Some(Ok(mut connect)) = connect else {
            return self.close(CloseReason::ProtocolViolation, b"", out);
        };
        self.peer.cookies.fill(&mut connect);
        self.about = Arc::new(About::of(&connect));
        self.expires = None;
        let peer = &self.peer;
        let shown = Showing {
            connect: &connect,
            nonce: peer.nonce.as_deref(),
            over: peer.over,
            from: self.from(),
            certificate: peer.certificate.as_deref(),
        };
        match self.terms.access.judge(&shown) {
            Verdict::Admitted(identity) => self.admit(now, &connect, identity, out),
            Verdict::Denied => self.deny(out),
            Verdict::Slow(check) => {
                self.await_check(now + SLOW_CHECK_MAX, connect, Late::TooLate);
                Action::Verify(check)
            }
            Verdict::Asked(check) => {
                self.await_check(now + self.terms.auth_timeout, connect, Late::Denied);
                Action::Consult(check)
            }
        }
    }

    /// Who `identity` is by the terms of now, if it may be here.
    fn still(&self, identity: &Arc<Identity>, wall: SystemTime) -> Option<Arc<Identity>> {
        match self.terms.access.review(identity, self.peer.over, self.from(), wall) {
            Review::Stays(identity) => Some(identity),
            Review::Revoked | Review::Gone | Review::Denied => None,
        }
    }

    fn await_check(&mut self, until: Instant, connect: Connect, late: Late) {
        let kept = Connect { pass: None, auth_token: None, jwt: None, ..connect };
        self.state = State::Checking(Box::new(kept), late);
        self.timeout = until;
    }

    fn admit(
        &mut self,
        now: Instant,
        connect: &Connect,
        identity: Arc<Identity>,
        out: &mut Vec<u8>,
    ) -> Action<'static, S> {
        if connect.account.is_some() || connect.new_account {
            return self.deny(out);
        }
        if !(0..=1).contains(&connect.protocol) {
            return self.close(CloseReason::BadProtocolVersion, b"invalid client protocol", out);
        }
        if connect.no_responders && !connect.headers {
            return self.close(CloseReason::NoRespondersWithoutHeaders, b"no responders requires headers support", out);
        }
        self.grant = Grant::new(&self.terms, identity.clone(), None);
        (self.verbose, self.pedantic, self.echo) = (connect.verbose, connect.pedantic, connect.echo);
        (self.headers, self.no_responders) = (connect.headers, connect.no_responders);
        self.info_due = connect.protocol >= 1;
        self.hears_info = self.info_due;
        self.state = State::Open;
        self.timeout = now + FIRST_PING.min(self.ping_interval());
        Action::Connected { identity, headers: connect.headers, stale: self.take_subscriptions().collect() }
    }

    #[inline]
    fn publish<'a>(
        &mut self,
        now: Instant,
        message: Message<'a>,
        sent: &[u8],
        has_headers: bool,
        wire: Option<&'a [u8]>,
        out: &mut Vec<u8>,
    ) -> Action<'a, S> {
        if has_headers && !self.headers {
            return self.close(CloseReason::ProtocolViolation, b"", out);
        }
        if self.pedantic && !subject::is_literal(sent) {
            encode::error(out, b"Invalid Publish Subject");
        }
        let is_special = message.subject.first().is_some_and(|byte| matches!(byte, b'$' | b'_'));
        if is_special && is_reserved(message.subject) {
            quoted_error(out, b"Permissions Violation for Publish to", message.subject);
            return Action::Refused;
        }
        if !self.grant.may_publish(now, message.subject) {
            quoted_error(out, b"Permissions Violation for Publish to", message.subject);
            return Action::Refused;
        }
        if let Some(reply) = message.reply
            && is_reserved_reply(reply)
        {
            quoted_error(out, b"Permissions Violation for Publish with Reply of", reply);
            return Action::Refused;
        }
        self.ok(out);
        if is_special && message.subject.starts_with(QUESTION) {
            return Action::Ask { message, has_headers, wire };
        }
        Action::Publish { message, has_headers, wire }
    }

    fn subscribe<'a>(
        &mut self,
        subject: &'a [u8],
        queue: Option<&'a [u8]>,
        sid: &'a [u8],
        out: &mut Vec<u8>,
    ) -> Action<'a, S> {
        if queue == Some(b"_sys_") || !self.grant.may_subscribe(subject, queue) {
            encode::error(out, subscription_violation(subject, queue).as_bytes());
            return Action::None;
        }
        if self.subscriptions.len() >= self.grant.subscriptions_max {
            encode::error(out, b"maximum subscriptions exceeded");
            return Action::None;
        }
        if !subject::is_filter(subject) {
            encode::error(out, b"Invalid Subject");
            return Action::None;
        }
        if self.subscriptions.contains_key(sid) {
            // PROTOCOL §3: the first one stays, and this is no error.
            self.ok(out);
            return Action::None;
        }
        Action::Subscribe { subject, queue, sid }
    }

    fn unsubscribe(&mut self, sid: &[u8], max: u64, out: &mut Vec<u8>) -> Action<'static, S> {
        self.ok(out);
        if max > 0 {
            return match self.subscriptions.get(sid) {
                Some(subscription) => Action::Limit { subscription: subscription.clone(), max },
                None => Action::None,
            };
        }
        self.subscriptions.remove(sid).map_or(Action::None, Action::Remove)
    }

    fn ping(&mut self, out: &mut Vec<u8>) {
        out.extend_from_slice(b"PONG\r\n");
        if std::mem::take(&mut self.info_due) {
            let account = self.grant.identity.account.to_string();
            let acc_is_sys = account == self.terms.system_account.as_ref();
            let info = Info {
                auth_required: self.terms.access.is_required(),
                nonce: None,
                connect_info: true,
                remote_account: Some(account),
                acc_is_sys,
                ..self.info()
            };
            encode::info(out, &info);
        }
    }

    fn pong(&mut self, now: Instant) {
        self.pings_out = 0;
        if let Some(sent) = self.ping_sent {
            self.rtt = Some(now.saturating_duration_since(sent));
        }
    }

    fn ping_due(&mut self, now: Instant, jitter: u64, out: &mut Vec<u8>) -> Action<'static, S> {
        let interval = self.ping_interval();
        // Up to a tenth earlier, so that connections made together do not stay together.
        self.timeout = now + interval - interval.mul_f64((jitter >> 32) as f64 / f64::from(u32::MAX) * 0.1);
        let rtt_known =
            self.rtt.is_some() && self.ping_sent.is_some_and(|sent| now.saturating_duration_since(sent) < RTT_VALID);
        if rtt_known && now.saturating_duration_since(self.last_in) < interval {
            return Action::None;
        }
        if self.pings_out >= self.terms.ping_max {
            return self.close(CloseReason::StaleConnection, b"Stale Connection", out);
        }
        self.pings_out += 1;
        self.ping_sent = Some(now);
        out.extend_from_slice(b"PING\r\n");
        Action::None
    }

    /// The address that the client comes from.
    fn from(&self) -> Option<IpAddr> {
        self.peer.client_ip.parse().ok()
    }

    fn ping_interval(&self) -> Duration {
        self.terms.ping_interval(self.peer.over)
    }

    fn deny<'a>(&mut self, out: &mut Vec<u8>) -> Action<'a, S> {
        self.close(CloseReason::AuthenticationFailure, b"Authorization Violation", out)
    }

    fn expire(&mut self, whose: Expiring, out: &mut Vec<u8>) -> Action<'static, S> {
        self.close(CloseReason::AuthenticationExpired, whose.text().as_bytes(), out)
    }

    #[inline]
    fn ok(&self, out: &mut Vec<u8>) {
        if self.verbose {
            out.extend_from_slice(b"+OK\r\n");
        }
    }

    /// An empty `text` closes without a word, as the protocol has it for what is malformed.
    fn close<'a>(&mut self, reason: CloseReason, text: &[u8], out: &mut Vec<u8>) -> Action<'a, S> {
        if !text.is_empty() {
            encode::error(out, text);
        }
        self.state = State::Closed;
        Action::Close(reason)
    }
}

/// Subjects that only servers publish to.
fn is_reserved(subject: &[u8]) -> bool {
    [&b"_GR_."[..], b"$GR.", b"$NRG."].iter().any(|prefix| subject.starts_with(prefix))
}

/// Replies that only servers ask for.
#[inline]
fn is_reserved_reply(reply: &[u8]) -> bool {
    matches!(reply.first(), Some(b'_' | b'$'))
        && [&b"_R_"[..], b"$JS.ACK.", b"_GR_."].iter().any(|prefix| reply.starts_with(prefix))
}

fn quoted_error(out: &mut Vec<u8>, text: &[u8], subject: &[u8]) {
    encode::error(out, &[text, b" ", quoted(subject).as_bytes()].concat());
}

fn subscription_violation(subject: &[u8], queue: Option<&[u8]>) -> String {
    let text = format!("Permissions Violation for Subscription to {}", quoted(subject));
    match queue {
        Some(queue) => format!("{text} using queue {}", quoted(queue)),
        None => text,
    }
}

#[cfg(test)]
mod tests;
