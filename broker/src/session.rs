//! State of one client connection: operations in, answers and actions out. No sockets, no clock.
//!
//! ```text
//! AwaitConnect ──CONNECT──► Open ──drain──► Draining
//!       └────────── any error that closes ──────┴──► Closed
//! ```
//!
//! It knows what the protocol says to what (credentials, `+OK`, the `-ERR` texts, when to PING, which sids
//! exist). Whom a message goes to is left to the delivery; how bytes reach the socket, to the connection.
//! Contract: after `handle` do what the action says, write `out`, and arm `poll_timeout`.

use crate::auth::Auth;
use crate::message::Message;
use crate::proto::{Connect, Info, Limits, Op, ParseError, encode};
use crate::stats::CloseReason;
use crate::subject;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// The first PING after CONNECT comes soon, as clients learn the round-trip time from it.
const FIRST_PING: Duration = Duration::from_secs(2);
/// The round-trip time is measured again after this.
const RTT_VALID: Duration = Duration::from_secs(3600);

/// What all sessions of a server have in common.
#[derive(Debug)]
pub struct Terms {
    /// What INFO says, without what differs from connection to connection.
    pub info: Info,
    /// What a client may send.
    pub limits: Limits,
    /// Who may connect.
    pub auth: Auth,
    /// Subscriptions of one client.
    pub subscriptions_max: usize,
    /// Time without input after which a PING is sent.
    pub ping_interval: Duration,
    /// PINGs without answer.
    pub ping_max: u32,
    /// Time for CONNECT when credentials are wanted.
    pub auth_timeout: Duration,
}

/// What the caller has to do. `S` is its handle of a subscription.
#[derive(Debug, PartialEq)]
pub enum Action<'a, S> {
    /// Nothing but to write what was put out.
    None,
    /// The client is (again) who it says: apply the options, and remove the subscriptions of its former life.
    Connected {
        /// The account.
        account: &'static str,
        /// Whether it understands headers.
        headers: bool,
        /// Subscriptions to remove.
        stale: Vec<S>,
    },
    /// Deliver a message.
    Publish {
        /// The message.
        message: Message<'a>,
        /// It came as `HPUB`.
        has_headers: bool,
        /// As in [`Op::Publish`].
        wire: Option<&'a [u8]>,
    },
    /// A message that was refused, and answered.
    Refused,
    /// Make a subscription and tell [`Session::subscribed`].
    Subscribe {
        /// A valid filter.
        subject: &'a [u8],
        /// The queue group.
        queue: Option<&'a [u8]>,
        /// Its name.
        sid: &'a [u8],
    },
    /// Limit a subscription to `max` messages from its start; when it has had them already, remove it and tell
    /// [`Session::expired`].
    Limit {
        /// The subscription.
        subscription: S,
        /// Messages in all.
        max: u64,
    },
    /// Remove a subscription.
    Remove(S),
    /// Write what was put out, then close.
    Close(CloseReason),
}

#[derive(Debug)]
enum State {
    AwaitConnect,
    Open,
    Draining,
    Closed,
}

/// One client connection.
#[derive(Debug)]
pub struct Session<S> {
    terms: Arc<Terms>,
    state: State,
    subscriptions: BTreeMap<Box<[u8]>, S>,
    /// Own fields of INFO.
    client_id: u64,
    client_ip: Box<str>,
    account: &'static str,
    verbose: bool,
    pedantic: bool,
    echo: bool,
    headers: bool,
    no_responders: bool,
    info_due: bool,
    pings_out: u32,
    last_in: Instant,
    ping_sent: Option<Instant>,
    rtt: Option<Duration>,
    timeout: Instant,
}

impl<S: Clone> Session<S> {
    /// A session that begins now; puts INFO out.
    pub fn new(terms: Arc<Terms>, now: Instant, client_id: u64, client_ip: &str, out: &mut Vec<u8>) -> Self {
        let first = if terms.auth.is_required() { terms.auth_timeout } else { FIRST_PING.min(terms.ping_interval) };
        let session = Self {
            state: if terms.auth.is_required() { State::AwaitConnect } else { State::Open },
            terms,
            subscriptions: BTreeMap::new(),
            client_id,
            client_ip: client_ip.into(),
            account: crate::auth::GLOBAL_ACCOUNT,
            // PROTOCOL §2: until CONNECT says otherwise, the defaults hold.
            verbose: true,
            pedantic: true,
            echo: true,
            headers: false,
            no_responders: false,
            info_due: false,
            pings_out: 0,
            last_in: now,
            ping_sent: None,
            rtt: None,
            timeout: now + first,
        };
        encode::info(out, &session.info());
        session
    }

    /// Takes one operation.
    #[inline]
    pub fn handle<'a>(&mut self, now: Instant, op: Op<'a>, out: &mut Vec<u8>) -> Action<'a, S> {
        match self.state {
            State::Open => {}
            State::AwaitConnect => {
                return match op {
                    Op::Connect(json) => self.connect(now, json, out),
                    Op::Publish { .. }
                    | Op::Subscribe { .. }
                    | Op::Unsubscribe { .. }
                    | Op::Ping
                    | Op::Pong
                    | Op::Ignored
                    | Op::Error => self.close(CloseReason::AuthenticationFailure, b"Authorization Violation", out),
                };
            }
            State::Draining | State::Closed => return Action::None,
        }
        match op {
            Op::Publish { message, has_headers, wire } => self.publish(message, has_headers, wire, out),
            Op::Subscribe { subject, queue, sid } => self.subscribe(subject, queue, sid, out),
            Op::Unsubscribe { sid, max } => self.unsubscribe(sid, max, out),
            Op::Connect(json) => self.connect(now, json, out),
            Op::Ping => {
                self.ping(out);
                Action::None
            }
            Op::Pong => {
                self.pong(now);
                Action::None
            }
            Op::Ignored => Action::None,
            Op::Error => self.close(CloseReason::ClientClosed, b"", out),
        }
    }

    /// Something has arrived: the client is alive.
    #[inline]
    pub fn heard(&mut self, now: Instant) {
        self.last_in = now;
    }

    /// The time is what [`Session::poll_timeout`] said, or later.
    pub fn tick(&mut self, now: Instant, jitter: u64, out: &mut Vec<u8>) -> Action<'static, S> {
        if now < self.timeout {
            return Action::None;
        }
        match self.state {
            State::AwaitConnect => self.close(CloseReason::AuthenticationTimeout, b"Authentication Timeout", out),
            State::Open => self.ping_due(now, jitter, out),
            State::Draining | State::Closed => {
                self.timeout = now + self.terms.ping_interval;
                Action::None
            }
        }
    }

    /// When to call [`Session::tick`] next.
    #[inline]
    pub fn poll_timeout(&self) -> Instant {
        self.timeout
    }

    /// The bytes cannot be read: says why.
    pub fn parse_failed(&mut self, error: ParseError, out: &mut Vec<u8>) -> Action<'static, S> {
        if matches!(self.state, State::AwaitConnect) && error == ParseError::UnknownOperation {
            return self.close(CloseReason::AuthenticationFailure, b"Authorization Violation", out);
        }
        let (reason, text): (_, &[u8]) = match error {
            ParseError::UnknownOperation => (CloseReason::ParseError, b"Unknown Protocol Operation"),
            ParseError::Malformed => (CloseReason::ParseError, b""),
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

    /// Takes no more operations.
    pub fn drain(&mut self) {
        match self.state {
            State::AwaitConnect | State::Open => self.state = State::Draining,
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
    pub fn take_subscriptions(&mut self) -> Vec<S> {
        std::mem::take(&mut self.subscriptions).into_values().collect()
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

    /// The account that the client is in.
    pub fn account(&self) -> &'static str {
        self.account
    }

    /// The last measured round-trip time.
    pub fn rtt(&self) -> Option<Duration> {
        self.rtt
    }

    fn info(&self) -> Info {
        Info { client_id: Some(self.client_id), client_ip: self.client_ip.to_string(), ..self.terms.info.clone() }
    }

    fn connect(&mut self, now: Instant, json: &[u8], out: &mut Vec<u8>) -> Action<'static, S> {
        // An array would do for serde, but is no set of options.
        let connect = json.starts_with(b"{").then(|| serde_json::from_slice::<Connect>(json));
        let Some(Ok(connect)) = connect else {
            return self.close(CloseReason::ParseError, b"", out);
        };
        let account = match self.terms.auth.check(&connect) {
            Ok(account) if connect.account.is_none() => account,
            Ok(_) | Err(_) => return self.close(CloseReason::AuthenticationFailure, b"Authorization Violation", out),
        };
        if !(0..=1).contains(&connect.protocol) {
            return self.close(CloseReason::ProtocolViolation, b"invalid client protocol", out);
        }
        if connect.no_responders && !connect.headers {
            return self.close(CloseReason::ProtocolViolation, b"no responders requires headers support", out);
        }
        self.account = account;
        (self.verbose, self.pedantic, self.echo) = (connect.verbose, connect.pedantic, connect.echo);
        (self.headers, self.no_responders) = (connect.headers, connect.no_responders);
        self.info_due = connect.protocol >= 1;
        self.state = State::Open;
        self.timeout = now + FIRST_PING.min(self.terms.ping_interval);
        self.ok(out);
        Action::Connected { account, headers: connect.headers, stale: self.take_subscriptions() }
    }

    #[inline]
    fn publish<'a>(
        &mut self,
        message: Message<'a>,
        has_headers: bool,
        wire: Option<&'a [u8]>,
        out: &mut Vec<u8>,
    ) -> Action<'a, S> {
        if has_headers && !self.headers {
            return self.close(CloseReason::ParseError, b"", out);
        }
        if self.pedantic && !subject::is_literal(message.subject) {
            encode::error(out, b"Invalid Publish Subject");
        }
        if message.subject.first().is_some_and(|byte| matches!(byte, b'$' | b'_')) && is_reserved(message.subject) {
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
        Action::Publish { message, has_headers, wire }
    }

    fn subscribe<'a>(
        &mut self,
        subject: &'a [u8],
        queue: Option<&'a [u8]>,
        sid: &'a [u8],
        out: &mut Vec<u8>,
    ) -> Action<'a, S> {
        if self.subscriptions.len() >= self.terms.subscriptions_max {
            encode::error(out, b"maximum subscriptions exceeded");
            return Action::None;
        }
        if !subject::is_filter(subject) {
            encode::error(out, b"Invalid Subject");
            return Action::None;
        }
        if queue == Some(b"_sys_") {
            let text = format!(
                "Permissions Violation for Subscription to \"{}\" using queue \"_sys_\"",
                String::from_utf8_lossy(subject)
            );
            encode::error(out, text.as_bytes());
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
            let info = Info { connect_info: true, remote_account: Some(self.account.to_owned()), ..self.info() };
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
        let interval = self.terms.ping_interval;
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
    encode::error(out, &[text, b" \"", subject, b"\""].concat());
}

#[cfg(test)]
mod tests;
