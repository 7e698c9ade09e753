//! The state of one leaf link: the peer's operations, local interest and messages in; bytes and events out. No sockets, no
//! clock. How it opens is in `session/dialling.rs` and `session/accepting.rs`.
//!
//! ```text
//! dialled:   AwaitInfo ──INFO──► AwaitAnswer ──INFO with connect_info──► Open ──any error──► dropped by the caller
//! accepted:  AwaitConnect ──CONNECT──► Judging ──the caller binds it───────┘
//! ```
//!
//! The caller feeds [`Control`] operations and the time, takes what is to be written by [`Session::take_output`], and
//! drops the session when a call returns [`Close`], after writing what it left. Messages that arrive do not pass
//! through here: they are judged by the `import` permissions that came with the last event.

use super::close::Close;
use super::config::Config;
use super::encode::{write_err, write_message, write_ping, write_pong};
use super::info::{Connect, Info};
use super::interest::{Interest, Outlet};
use super::permissions::{Direction, Permissions, Refusal};
use super::proto::{Control, ProtocolError};
use crate::message::Message;
use crate::neighbor::InterestChange;
use crate::subject::{covers, has_wildcard};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

mod accepting;
mod dialling;

pub use accepting::{Binding, version};

/// The version of the real server whose behaviour this follows; peers may require a minimum.
const VERSION: &str = "2.15.1";
/// Below 3: messages that are only traces are withheld from us.
pub(crate) const PROTOCOL: u8 = 1;
/// The first PING goes out soon, so that a link that only seems to be up is noticed early.
const FIRST_PING: Duration = Duration::from_secs(1);
/// How long after a complaint the end of the connection is taken for its consequence.
const COMPLAINT_EXPLAINS: Duration = Duration::from_secs(2);
/// Bytes of an error text that are kept.
const ERROR_TEXT_MAX: usize = 256;
/// Addresses of the peer's cluster that are kept.
const DISCOVERED_MAX: usize = 64;
/// Bytes of a subject and a group in which the peer may be interested: as much as a line of a client has, and little enough to
/// be passed on to others.
const INTEREST_BYTES_MAX: usize = 4096;
/// A control line longer than this is not sent: the peer would close the link.
const LINE_BYTES_MAX: usize = 60 << 10;

/// Something for the caller to act on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event<'a> {
    /// The link is up that was dialled.
    Opened(Peer),
    /// The dialer has said who it is: nothing more of it is to be handled before [`Session::bind`].
    Connect(Box<Connect>),
    /// What may be received has changed.
    Permissions(Arc<Direction>),
    /// The peer wants more, or less; an absolute weight, 0 for no more.
    Interest {
        /// The subject, with wildcards.
        subject: &'a [u8],
        /// The queue group.
        queue: Option<&'a [u8]>,
        /// Members of the group, 1 for plain interest.
        weight: u32,
    },
    /// Interest that was not taken: the table is full, or the subject is of no use here.
    InterestRefused,
    /// Where else the peer's cluster listens.
    Discovered(Vec<String>),
    /// The peer complains. If it closes the link as well, this is the reason.
    Complaint(String),
}

/// The other end of a link that is up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Peer {
    /// Its name, or its id when it has none.
    pub server: String,
    /// What may be received from it.
    pub import: Arc<Direction>,
    /// Where its cluster listens.
    pub discovered: Vec<String>,
}

/// Why a message was not sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Unsent {
    /// No link is up.
    Down,
    /// It is kept on this side.
    Denied,
    /// The peer does not permit it.
    NotPermitted,
    /// It is larger than the peer takes.
    TooLarge,
    /// Too much waits already.
    Full,
}

/// One link.
#[derive(Debug)]
pub struct Session {
    config: Arc<Config>,
    /// The local account.
    account: String,
    /// Marks the local interest.
    token: String,
    state: State,
    /// The connection is encrypted already.
    is_encrypted: bool,
    /// The round-trip time as last measured, and when the PING went out that waits for its answer.
    rtt: Option<Duration>,
    ping_sent: Option<Instant>,
    permissions: Permissions,
    /// What the link is known to be able to take.
    capacity: Capacity,
    /// The peer's interest, by the words of its LS+ lines.
    peer_interest: BTreeMap<Box<[u8]>, u32>,
    complaint: Option<(Instant, String)>,
    out: Vec<u8>,
    out_messages: u64,
    /// Bytes that were taken and are not written yet.
    in_flight_bytes: usize,
    /// Interest changed while too much was waiting: tell the differences when there is room.
    behind: bool,
}

#[derive(Debug)]
enum State {
    AwaitInfo { deadline: Instant },
    AwaitAnswer { deadline: Instant, server: String, discovered: Vec<String> },
    AwaitConnect { deadline: Instant, info: Box<Info> },
    Judging { deadline: Instant, info: Box<Info>, connect: Box<Connect> },
    Open { next_ping: Instant, unanswered: u32 },
}

#[derive(Clone, Copy, Debug, Default)]
struct Capacity {
    headers: bool,
    /// 0 when the peer did not say.
    payload_bytes_max: usize,
}

impl Session {
    /// A link whose connection has just been made.
    #[must_use]
    pub fn new(config: Arc<Config>, now: Instant) -> Self {
        let deadline = now + config.first_info_timeout;
        Self::begun(config, State::AwaitInfo { deadline })
    }

    /// The same over a connection on which TLS has begun.
    #[must_use]
    pub fn encrypted(mut self) -> Self {
        self.is_encrypted = true;
        self
    }

    fn begun(config: Arc<Config>, state: State) -> Self {
        Self {
            state,
            is_encrypted: false,
            account: config.account.clone(),
            token: config.token.clone(),
            rtt: None,
            ping_sent: None,
            permissions: Permissions::new(&config.denied, &config.denied_in, &config.denied_out),
            capacity: Capacity::default(),
            peer_interest: BTreeMap::new(),
            complaint: None,
            out: Vec::new(),
            out_messages: 0,
            in_flight_bytes: 0,
            behind: false,
            config,
        }
    }

    /// Takes one operation of the peer.
    ///
    /// # Errors
    /// [`Close`]: write what is left, close the connection, drop the session.
    pub fn handle<'a>(
        &mut self,
        now: Instant,
        control: Control<'a>,
        interest: &mut Interest,
    ) -> Result<Option<Event<'a>>, Close> {
        match (&self.state, control) {
            (State::AwaitConnect { .. }, Control::Connect(json)) => return self.connect_came(now, json),
            (State::AwaitConnect { .. } | State::Judging { .. }, _) => return Err(self.too_early()),
            (State::AwaitInfo { .. } | State::AwaitAnswer { .. } | State::Open { .. }, _) => {}
        }
        match control {
            // A dialer may tell of itself, and has nothing to say that matters here.
            Control::Info(_) if self.config.is_acceptor => Ok(None),
            Control::Info(json) => self.info(now, json, interest),
            Control::Subscribe { subject, queue } => self.peer_subscribed(subject, queue),
            Control::Unsubscribe { subject, queue } => Ok(self.peer_unsubscribed(subject, queue)),
            Control::Ping => {
                // A peer that asks without ever reading must not fill the memory with answers.
                if self.pending_bytes() < self.config.pending_bytes_max {
                    write_pong(&mut self.out);
                }
                Ok(None)
            }
            Control::Pong => {
                self.rtt = self.ping_sent.take().map(|sent| now.saturating_duration_since(sent)).or(self.rtt);
                Ok(None)
            }
            Control::Ok => Ok(None),
            Control::Err(text) => self.complaint(now, text).map(Some),
            Control::Connect(_) => Err(Close::UnexpectedConnect),
        }
    }

    /// A message has come: whether that may be, on this link and now.
    ///
    /// # Errors
    /// [`Close`], as with [`Session::handle`].
    pub fn may_hear(&mut self) -> Result<(), Close> {
        match self.state {
            State::AwaitConnect { .. } | State::Judging { .. } => Err(self.too_early()),
            // One that was dialled has no permissions yet, by which its caller knows.
            State::AwaitInfo { .. } | State::AwaitAnswer { .. } | State::Open { .. } => Ok(()),
        }
    }

    /// How long a peer may take nothing of what waits for it.
    #[must_use]
    pub fn write_deadline(&self) -> Duration {
        self.config.write_deadline
    }

    /// The round-trip time as last measured.
    #[must_use]
    pub fn rtt(&self) -> Option<Duration> {
        self.rtt
    }

    /// Subjects and groups in which the peer is interested.
    #[must_use]
    pub fn peer_interest(&self) -> usize {
        self.peer_interest.len()
    }

    /// Bytes have arrived: the peer lives.
    pub fn heard(&mut self) {
        if let State::Open { unanswered, .. } = &mut self.state {
            *unanswered = 0;
        }
    }

    /// Nothing was read for a while by our own choice: the peer's silence proved nothing.
    pub fn resumed(&mut self, now: Instant) {
        if let State::Open { next_ping, unanswered } = &mut self.state {
            (*next_ping, *unanswered) = (now + self.config.ping_interval, 0);
        }
    }

    /// When to call [`Session::handle_timeout`].
    #[must_use]
    pub fn poll_timeout(&self, interest: &Interest) -> Instant {
        match &self.state {
            State::AwaitInfo { deadline }
            | State::AwaitAnswer { deadline, .. }
            | State::AwaitConnect { deadline, .. }
            | State::Judging { deadline, .. } => *deadline,
            State::Open { next_ping, .. } => interest.expires().map_or(*next_ping, |at| at.min(*next_ping)),
        }
    }

    /// Does what is due.
    ///
    /// # Errors
    /// [`Close`], as with [`Session::handle`].
    pub fn handle_timeout(&mut self, now: Instant, interest: &mut Interest) -> Result<(), Close> {
        match &mut self.state {
            State::AwaitInfo { deadline } if *deadline <= now => Err(Close::NoInfo(self.config.first_info_timeout)),
            State::AwaitAnswer { deadline, .. } if *deadline <= now => {
                write_err(&mut self.out, "Stale Leaf Node Connection - Closing");
                Err(Close::NoAnswer(self.config.answer_timeout))
            }
            State::AwaitConnect { deadline, .. } | State::Judging { deadline, .. } if *deadline <= now => {
                Err(self.refuse("Authentication Timeout"))
            }
            State::Open { next_ping, unanswered } if *next_ping <= now => {
                if *unanswered >= self.config.pings_max {
                    write_err(&mut self.out, "Stale Connection");
                    return Err(Close::Stale(self.config.ping_interval * *unanswered));
                }
                (*next_ping, *unanswered) = (now + self.config.ping_interval, *unanswered + 1);
                write_ping(&mut self.out);
                self.ping_sent = Some(now);
                interest.expire(now, Outlet { import: &self.permissions.import, out: &mut self.out });
                Ok(())
            }
            State::Open { .. } => {
                interest.expire(now, Outlet { import: &self.permissions.import, out: &mut self.out });
                Ok(())
            }
            State::AwaitInfo { .. }
            | State::AwaitAnswer { .. }
            | State::AwaitConnect { .. }
            | State::Judging { .. } => Ok(()),
        }
    }

    /// Takes a change of local interest and tells it to the peer.
    pub fn interest(&mut self, change: &InterestChange<'_>, interest: &mut Interest) {
        // A peer that does not read is told later, in one go: flapping interest must not fill the memory.
        if self.is_open() && self.pending_bytes() < self.config.pending_bytes_max {
            interest.change(change, Some(Outlet { import: &self.permissions.import, out: &mut self.out }));
        } else {
            interest.record(change);
            self.behind = self.is_open();
        }
    }

    /// Sends a message to the peer's plain interest and to one member of each of `groups`.
    ///
    /// # Errors
    /// [`Unsent`]: it was dropped, and is to be counted.
    pub fn send<'g>(
        &mut self,
        now: Instant,
        message: &Message<'_>,
        groups: impl Iterator<Item = &'g [u8]> + Clone,
        interest: &mut Interest,
    ) -> Result<(), Unsent> {
        if !self.is_open() {
            return Err(Unsent::Down);
        }
        let mut message = *message;
        if !self.capacity.headers && message.header_len > 0 {
            message.body = &message.body[message.header_len..];
            message.header_len = 0;
        }
        self.may_send(&message, groups.clone())?;
        if let Some(reply) = message.reply {
            interest.expect_reply(now, reply, Outlet { import: &self.permissions.import, out: &mut self.out });
        }
        write_message(&mut self.out, &message, groups);
        self.out_messages += 1;
        Ok(())
    }

    fn may_send<'g>(&self, message: &Message<'_>, groups: impl Iterator<Item = &'g [u8]>) -> Result<(), Unsent> {
        self.permissions.export.message(message.subject).map_err(|refusal| match refusal {
            Refusal::DeniedHere => Unsent::Denied,
            Refusal::NotPermitted => Unsent::NotPermitted,
        })?;
        // A `>` of the peer means its subjects, not this side's server.
        if message.subject.starts_with(b"$SYS.") && !self.peer_wants_system(message.subject) {
            return Err(Unsent::Denied);
        }
        let max = self.capacity.payload_bytes_max;
        let line = message.subject.len()
            + message.reply.map_or(0, <[u8]>::len)
            + groups.map(|group| group.len() + 1).sum::<usize>();
        if (max > 0 && message.body.len() > max) || line > LINE_BYTES_MAX {
            return Err(Unsent::TooLarge);
        }
        let full = self.pending_bytes() + message.body.len() + line > self.config.pending_bytes_max;
        if full { Err(Unsent::Full) } else { Ok(()) }
    }

    fn peer_wants_system(&self, subject: &[u8]) -> bool {
        let from: &[u8] = b"$SYS.";
        self.peer_interest
            .range::<[u8], _>((std::ops::Bound::Included(from), std::ops::Bound::Unbounded))
            .map(|(key, _)| key.split(|&byte| byte == b' ').next().unwrap_or(key))
            .take_while(|filter| filter.starts_with(from))
            .any(|filter| covers(filter, subject))
    }

    /// True once messages may flow.
    #[must_use]
    pub fn is_open(&self) -> bool {
        matches!(self.state, State::Open { .. })
    }

    /// Bytes that wait to be written, those taken and not yet [`Session::written`] included.
    #[must_use]
    pub fn pending_bytes(&self) -> usize {
        self.out.len() + self.in_flight_bytes
    }

    /// Swaps what is to be written with `buffer`, which must be empty; returns how many messages are in it. Tell
    /// [`Session::written`] of each byte.
    pub fn take_output(&mut self, buffer: &mut Vec<u8>, interest: &mut Interest) -> u64 {
        debug_assert!(buffer.is_empty(), "what was taken before is written first");
        if self.behind && self.is_open() {
            self.behind = false;
            interest.tell_all(Outlet { import: &self.permissions.import, out: &mut self.out });
        }
        std::mem::swap(&mut self.out, buffer);
        self.in_flight_bytes += buffer.len();
        std::mem::take(&mut self.out_messages)
    }

    /// That many bytes of what was taken are written.
    pub fn written(&mut self, bytes: usize) {
        self.in_flight_bytes -= bytes;
    }

    /// The connection has ended; what the peer complained of just before is the better reason.
    #[must_use]
    pub fn lost(&self, now: Instant, cause: impl std::fmt::Display) -> Close {
        match &self.complaint {
            Some((at, text)) if now - *at <= COMPLAINT_EXPLAINS => Close::Refused(text.clone()),
            Some(_) | None => Close::Lost(cause.to_string()),
        }
    }

    /// What the peer sent is no leaf protocol; tells it so where a real server would.
    #[must_use]
    pub fn protocol_error(&mut self, error: ProtocolError) -> Close {
        match error {
            ProtocolError::UnknownOperation { .. } if !self.is_open() && self.config.is_acceptor => {
                return self.too_early();
            }
            ProtocolError::UnknownOperation { .. } => write_err(&mut self.out, "Unknown Protocol Operation"),
            ProtocolError::ControlLineTooLong { .. } => write_err(&mut self.out, "maximum control line exceeded"),
            ProtocolError::BadArguments { .. } | ProtocolError::BadMessageEnd { .. } => {}
        }
        // Before INFO it is not a broken leaf node but something else that listens there.
        match self.state {
            State::AwaitInfo { .. } => Close::WrongPort,
            State::AwaitAnswer { .. } | State::Open { .. } | State::AwaitConnect { .. } | State::Judging { .. } => {
                Close::Protocol(error)
            }
        }
    }

    fn open(&mut self, now: Instant, interest: &mut Interest) {
        let first_ping = FIRST_PING.min(self.config.ping_interval);
        self.state = State::Open { next_ping: now + first_ping, unanswered: 0 };
        // The mark goes first: a loop shows before anything else has gone round.
        self.out.extend_from_slice(format!("LS+ $LDS.{}\r\n", self.token).as_bytes());
        interest.tell_all(Outlet { import: &self.permissions.import, out: &mut self.out });
    }

    fn peer_subscribed<'a>(
        &mut self,
        subject: &'a [u8],
        queue: Option<(&'a [u8], u32)>,
    ) -> Result<Option<Event<'a>>, Close> {
        if let Some(token) = subject.strip_prefix(b"$LDS.") {
            if token == self.token.as_bytes() {
                return Err(self.looped());
            }
            // Marks of others matter where they are passed on: to those whom this server has accepted.
            if !self.config.is_acceptor && !self.config.relays_marks {
                return Ok(None);
            }
        }
        if subject.len() + queue.map_or(0, |(queue, _)| queue.len()) > INTEREST_BYTES_MAX {
            if self.config.is_acceptor {
                self.complain("Invalid Subscription");
            }
            return Ok(Some(Event::InterestRefused));
        }
        match self.permissions.export.interest(subject) {
            Err(Refusal::NotPermitted) if self.config.is_acceptor && !has_wildcard(subject) => {
                return Err(self.refuse(&violation("Subscription", subject)));
            }
            // Denied subjects would only make requests wait that can be answered at once: nobody there.
            Err(Refusal::DeniedHere) => return Ok(Some(Event::InterestRefused)),
            // Of a wildcard each message is looked at.
            Err(Refusal::NotPermitted) | Ok(()) => {}
        }
        let (queue, weight) = match queue {
            // A group of no members is never selected (§6.1).
            Some((_, 0)) => return Ok(Some(Event::InterestRefused)),
            Some((queue, weight)) => (Some(queue), weight),
            None => (None, 1),
        };
        let key = key(subject, queue);
        if let Some(known) = self.peer_interest.get_mut(&key) {
            if *known == weight {
                return Ok(None);
            }
            *known = weight;
        } else if self.peer_interest.len() < self.config.peer_interest_max {
            self.peer_interest.insert(key, weight);
        } else {
            if self.config.is_acceptor {
                self.complain("maximum subscriptions exceeded");
            }
            return Ok(Some(Event::InterestRefused));
        }
        Ok(Some(Event::Interest { subject, queue, weight }))
    }

    fn peer_unsubscribed<'a>(&mut self, subject: &'a [u8], queue: Option<&'a [u8]>) -> Option<Event<'a>> {
        self.peer_interest.remove(&key(subject, queue))?;
        Some(Event::Interest { subject, queue, weight: 0 })
    }

    fn looped(&mut self) -> Close {
        let account = &self.account;
        let text = format!("Loop detected for leafnode account=\"{account}\". Delaying attempt to reconnect for 30s");
        write_err(&mut self.out, &text);
        Close::Loop
    }

    fn complaint<'a>(&mut self, now: Instant, text: &[u8]) -> Result<Event<'a>, Close> {
        let text = String::from_utf8_lossy(&text[..text.len().min(ERROR_TEXT_MAX)]).into_owned();
        // The one complaint after which the receiver closes; any other leaves that to the sender (§2.5).
        if text.contains("Loop detected") {
            return Err(Close::Refused(text));
        }
        self.complaint = Some((now, text.clone()));
        Ok(Event::Complaint(text))
    }
}

/// What a peer is told that has gone beyond its permissions, before the link is closed.
pub(crate) fn violation(what: &str, subject: &[u8]) -> String {
    format!("Permissions Violation for {what} to \"{}\"", crate::subject::text(subject))
}

fn key(subject: &[u8], queue: Option<&[u8]>) -> Box<[u8]> {
    match queue {
        Some(queue) => [subject, b" ", queue].concat().into(),
        None => subject.into(),
    }
}

#[cfg(test)]
mod tests;
