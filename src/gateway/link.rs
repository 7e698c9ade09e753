//! One connection to the upstream: its bytes to the session and the broker, and what waits to its socket.
//!
//! One task does both, and neither waits for the other: while takers here are congested nothing is read, which slows
//! the server down by TCP, and writing goes on.

use super::Gateway;
use super::buffer::{ReadBuffer, WriteBuffer};
use super::state::State;
use crate::identity::printable;
use crate::ports::{Bus, Groups, Inbound, Pick, RemoteInterest};
use lattice_broker::env::{BoxFuture, Stream, Timer};
use lattice_broker::leaf::{
    Close, Control, Direction, Event, Interest, LeafMessage, Op, Parser, ParserLimits, ProtocolError, Session, Step,
};
use smallvec::SmallVec;
use std::future::poll_fn;
use std::io::ErrorKind;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};
use tracing::{debug, info};

/// Reads in a row before what they brought is handed out and the other direction gets its turn.
const READS_MAX: usize = 16;
/// Writes in a row, likewise.
const WRITES_MAX: usize = 16;
/// How long the last words of a link may take.
const FAREWELL: Duration = Duration::from_secs(1);

/// How a link ended.
#[derive(Debug)]
pub(super) enum End {
    /// By an error; dial again.
    Closed(Close),
    /// From this side: the gateway stops, or another node takes over.
    Unwanted,
}

pub(super) struct Link<'g> {
    gateway: &'g Gateway,
    bus: &'g dyn Bus,
    stream: Arc<dyn Stream>,
    discovered: &'g mut Vec<String>,
    said: &'g mut Option<String>,
    parser: Parser,
    read: ReadBuffer,
    write: WriteBuffer,
    inbound: Box<dyn Inbound>,
    /// What may come in; `None` until the link is open.
    import: Option<Arc<Direction>>,
    /// Set while takers here have no room.
    stalled: Option<BoxFuture<()>>,
    timer: Pin<Box<dyn Timer>>,
    armed: Instant,
}

/// Why the task goes on.
enum Wake {
    Work,
    Timeout,
    Readable,
    Writable,
    Ready,
}

impl<'g> Link<'g> {
    pub(super) fn new(
        gateway: &'g Gateway,
        bus: &'g dyn Bus,
        stream: Arc<dyn Stream>,
        discovered: &'g mut Vec<String>,
        said: &'g mut Option<String>,
    ) -> Self {
        let now = gateway.env.now();
        gateway.shared.lock().session = Some(Session::new(Arc::clone(&gateway.session), now));
        let limits = ParserLimits { payload_bytes_max: gateway.config.payload_bytes_max, ..ParserLimits::default() };
        Self {
            parser: Parser::new(limits),
            read: ReadBuffer::default(),
            write: WriteBuffer::default(),
            inbound: bus.inbound(),
            import: None,
            stalled: None,
            timer: gateway.env.timer(now),
            armed: now,
            gateway,
            bus,
            stream,
            discovered,
            said,
        }
    }

    /// Runs the link to its end, after which nothing of it is left in the broker.
    pub(super) async fn run(&mut self) -> End {
        let end = match self.steps().await {
            Ok(()) => End::Unwanted,
            Err(close) => End::Closed(close),
        };
        self.take_down(&end);
        self.bus.remove_member(0);
        self.inbound.flush();
        self.farewell().await;
        end
    }

    /// Ends the session; what it has left to say is kept for the farewell.
    fn take_down(&mut self, end: &End) {
        let mut state = self.gateway.shared.lock();
        let State { session, interest, server, error, .. } = &mut *state;
        *server = None;
        *error = match end {
            End::Closed(close) => Some(close.to_string()),
            End::Unwanted => None,
        };
        if let Some(mut session) = session.take() {
            self.write.take(&mut session, interest);
        }
        interest.forget_peer();
        let go_on = state.drained();
        drop(state);
        go_on.into_iter().for_each(Waker::wake);
    }

    async fn steps(&mut self) -> Result<(), Close> {
        loop {
            self.write_out()?;
            match poll_fn(|cx| self.poll_wake(cx)).await {
                Wake::Work => {
                    if !self.gateway.shared.lock().wanted() {
                        return Ok(());
                    }
                }
                Wake::Timeout => self.with_session(|session, state, now| session.handle_timeout(now, state))?,
                Wake::Readable => self.read_in()?,
                Wake::Writable => {}
                Wake::Ready => {
                    self.stalled = None;
                    self.with_session(|session, _, now| session.resumed(now));
                }
            }
        }
    }

    fn poll_wake(&mut self, cx: &mut Context<'_>) -> Poll<Wake> {
        let deadline = {
            let mut state = self.gateway.shared.lock();
            if state.poll_work(cx).is_ready() {
                return Poll::Ready(Wake::Work);
            }
            let State { session, interest, .. } = &mut *state;
            session.as_ref().expect(SESSION).poll_timeout(interest)
        };
        if let Some(ready) = &mut self.stalled {
            // Silence proves nothing while nothing is read: the session's time stands still.
            if ready.as_mut().poll(cx).is_ready() {
                return Poll::Ready(Wake::Ready);
            }
        } else {
            if self.stream.poll_read_ready(cx).is_ready() {
                return Poll::Ready(Wake::Readable);
            }
            if self.armed != deadline {
                self.armed = deadline;
                self.timer.as_mut().reset(deadline);
            }
            if self.timer.as_mut().poll(cx).is_ready() {
                return Poll::Ready(Wake::Timeout);
            }
        }
        if !self.write.is_empty() && self.stream.poll_write_ready(cx).is_ready() {
            return Poll::Ready(Wake::Writable);
        }
        Poll::Pending
    }

    /// Reads what is there and hands it out; returns to be polled again when there is more.
    fn read_in(&mut self) -> Result<(), Close> {
        let mut lost = None;
        for _ in 0..READS_MAX {
            match self.stream.try_read(self.read.room()) {
                Ok(0) => lost = Some("closed by the server".to_owned()),
                Ok(bytes) => {
                    self.read.end += bytes;
                    self.with_session(|session, _, _| session.heard());
                    self.take_operations()?;
                    continue;
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Err(error) => lost = Some(error.to_string()),
            }
            break;
        }
        if self.inbound.flush() {
            self.stalled = Some(self.inbound.ready());
        }
        self.read.shrink();
        match lost {
            Some(cause) => Err(self.with_session(|session, _, now| session.lost(now, cause))),
            None => Ok(()),
        }
    }

    /// Takes all operations that are complete.
    fn take_operations(&mut self) -> Result<(), Close> {
        // Taken out for the while, so that operations may borrow from it.
        let mut read = std::mem::take(&mut self.read);
        let result = loop {
            match self.parser.step(read.bytes()) {
                Ok(Step::Op { op, used }) => {
                    if let Err(close) = self.take_operation(op) {
                        break Err(close);
                    }
                    read.start += used;
                }
                Ok(Step::Skip { used }) => read.start += used,
                Ok(Step::More { need }) => {
                    read.need = need;
                    break Ok(());
                }
                Err(error) => break Err(self.broken(error)),
            }
        };
        self.read = read;
        result
    }

    fn broken(&self, error: ProtocolError) -> Close {
        self.with_session(|session, _, _| session.protocol_error(error))
    }

    fn take_operation(&mut self, op: Op<'_>) -> Result<(), Close> {
        match op {
            Op::Message(message) => self.publish(&message),
            Op::Oversize { size, .. } => {
                debug!(size, "message from the upstream is over the limit");
                self.gateway.counters.in_oversize.add(1);
            }
            Op::Control(control) => self.control(control)?,
        }
        Ok(())
    }

    fn publish(&mut self, leaf: &LeafMessage<'_>) {
        let counters = &self.gateway.counters;
        let admitted = self.import.as_ref().is_some_and(|import| import.message(leaf.message.subject).is_ok());
        if !admitted {
            counters.in_denied.add(1);
            return;
        }
        let picks: SmallVec<[Pick<'_>; 4]> =
            leaf.groups.iter().map(|group| Pick { group, member: 0, via: None, again: false }).collect();
        let account = self.gateway.config.account.as_bytes();
        let via = Some(self.gateway.upstream);
        counters.messages_in.add(1);
        if self.inbound.publish(account, &leaf.message, Groups::Only(&picks), via) == 0 {
            counters.in_unwanted.add(1);
        }
    }

    fn control(&mut self, control: Control<'_>) -> Result<(), Close> {
        let event = self.with_session(|session, interest, now| session.handle(now, control, interest))?;
        let counters = &self.gateway.counters;
        match event {
            None => {}
            Some(Event::Opened(peer)) => {
                let server = printable(&peer.server);
                info!(upstream = %self.gateway.config.url, %server, "linked to the upstream");
                counters.connects.add(1);
                self.import = Some(peer.import);
                (*self.discovered, *self.said) = (peer.discovered, None);
                let mut state = self.gateway.shared.lock();
                (state.server, state.error) = (Some(server), None);
            }
            Some(Event::Permissions(import)) => self.import = Some(import),
            Some(Event::Interest { subject, queue, weight }) => {
                let account = self.gateway.config.account.as_bytes();
                let entry = RemoteInterest { account, member: 0, via: None, subject, queue, weight };
                if let Err(error) = self.bus.set_interest(&entry) {
                    debug!(%error, "interest of the upstream is refused");
                    counters.interest_refused.add(1);
                }
            }
            Some(Event::InterestRefused) => counters.interest_refused.add(1),
            Some(Event::Discovered(urls)) => *self.discovered = urls,
            Some(Event::Complaint(text)) => {
                info!(upstream = %self.gateway.config.url, text = printable(&text), "the upstream complains");
            }
        }
        Ok(())
    }

    /// Writes what waits, as far as the socket takes it and the other direction can wait.
    fn write_out(&mut self) -> Result<(), Close> {
        for _ in 0..WRITES_MAX {
            if self.write.is_empty() && !self.refill() {
                return Ok(());
            }
            match self.write.write_to(&*self.stream) {
                Ok(bytes) => {
                    let mut state = self.gateway.shared.lock();
                    state.session.as_mut().expect(SESSION).written(bytes);
                    let go_on = state.drained();
                    drop(state);
                    go_on.into_iter().for_each(Waker::wake);
                    self.count_written();
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => {
                    // Why the server has closed may still be there to read.
                    self.read_in()?;
                    return Err(self.with_session(|session, _, now| session.lost(now, error)));
                }
            }
        }
        self.gateway.shared.lock().wake_task();
        Ok(())
    }

    /// Takes what the session wants written; false when that is nothing.
    fn refill(&mut self) -> bool {
        let mut state = self.gateway.shared.lock();
        let State { session, interest, .. } = &mut *state;
        self.write.take(session.as_mut().expect(SESSION), interest);
        !self.write.is_empty()
    }

    fn count_written(&mut self) {
        if self.write.is_empty() {
            self.gateway.counters.messages_out.add(std::mem::take(&mut self.write.messages));
        }
    }

    /// Writes the last words, within a limit, and closes.
    async fn farewell(&mut self) {
        let Self { gateway, stream, write, .. } = self;
        let last_words = poll_fn(|cx| {
            while !write.is_empty() {
                match write.write_to(&**stream) {
                    Ok(_) => {}
                    Err(error) if error.kind() == ErrorKind::Interrupted => {}
                    Err(error) if error.kind() == ErrorKind::WouldBlock => {
                        if stream.poll_write_ready(cx).is_pending() {
                            return Poll::Pending;
                        }
                    }
                    Err(_) => break,
                }
            }
            Poll::Ready(())
        });
        // Neither time-out nor error is news: the link has ended, and what was lost is counted.
        let _ = gateway.env.timeout(FAREWELL, last_words).await;
        stream.shutdown_write();
        self.count_written();
        self.gateway.counters.out_lost.add(std::mem::take(&mut self.write.messages));
    }

    fn with_session<T>(&self, act: impl FnOnce(&mut Session, &mut Interest, Instant) -> T) -> T {
        let now = self.gateway.env.now();
        let mut state = self.gateway.shared.lock();
        let State { session, interest, .. } = &mut *state;
        act(session.as_mut().expect(SESSION), interest, now)
    }
}

const SESSION: &str = "the link's task alone takes the session away, at its end";
