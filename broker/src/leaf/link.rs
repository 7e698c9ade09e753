//! One leaf connection: its bytes to the session and its handler, and what waits to its socket.
//!
//! One task does both, and neither waits for the other: while the handler is busy (its takers are congested, or the peer is
//! being looked at) nothing is read, which slows the peer down by TCP, and writing goes on. What messages and events mean
//! is left to the [`Handler`], what the protocol says to the [`Session`].

use super::buffer::{ReadBuffer, WriteBuffer};
use super::close::Close;
use super::desk::Desk;
use super::proto::{LeafMessage, Op, Parser, ParserLimits, Step};
use super::session::{Event, Session};
use crate::env::{BoxFuture, Env, Stream, Timer};
use crate::lock::lock;
use std::fmt;
use std::future::poll_fn;
use std::io::ErrorKind;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

/// Reads in a row before what they brought is handed out and the other direction gets its turn.
const READS_MAX: usize = 16;
/// Writes in a row, likewise.
const WRITES_MAX: usize = 16;
/// How long the last words of a link may take.
const FAREWELL: Duration = Duration::from_secs(1);

/// What a link is made for. No call may block.
pub trait Handler: Send {
    /// What those who send share with the link's task.
    fn desk(&self) -> &Mutex<Desk>;

    /// False when the link is to end from this side. Asked whenever the desk's task is woken.
    fn is_wanted(&self) -> bool;

    /// A message has come, on a link that is open.
    ///
    /// # Errors
    /// [`Close`]: the link ends. The same of the others.
    fn message(&mut self, message: &LeafMessage<'_>) -> Result<(), Close>;

    /// A message of `size` bytes has come, which is more than is taken.
    ///
    /// # Errors
    /// As there.
    fn oversize(&mut self, size: usize) -> Result<(), Close>;

    /// The session has news.
    ///
    /// # Errors
    /// As there.
    fn event(&mut self, event: Event<'_>) -> Result<(), Close>;

    /// No more input is at hand. While what it returns is pending, nothing more is read.
    fn flush(&mut self) -> Option<BoxFuture<()>>;

    /// True when what was read must wait for the future of the next [`Handler::flush`].
    fn is_busy(&self) -> bool {
        false
    }

    /// That future is ready.
    ///
    /// # Errors
    /// As there.
    fn ready(&mut self) -> Result<(), Close> {
        Ok(())
    }

    /// So many messages were written.
    fn wrote(&mut self, messages: u64);
}

/// A connection with the handler that it is made for.
pub struct Link<H> {
    env: Env,
    stream: Arc<dyn Stream>,
    handler: H,
    parser: Parser,
    /// Messages may come, of so many bytes.
    payload_bytes_max: usize,
    is_open: bool,
    read: ReadBuffer,
    write: WriteBuffer,
    /// Since when the peer has taken nothing of what waits, and how long it may.
    stuck: Option<Instant>,
    write_deadline: Duration,
    /// Set while the handler takes nothing.
    stalled: Option<BoxFuture<()>>,
    timer: Pin<Box<dyn Timer>>,
    armed: Instant,
}

impl<H: fmt::Debug> fmt::Debug for Link<H> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Link").field("stream", &self.stream).field("handler", &self.handler).finish_non_exhaustive()
    }
}

/// Why the task goes on.
enum Wake {
    Work,
    Timeout,
    Readable,
    Writable,
    Ready,
}

impl<H: Handler> Link<H> {
    /// A link over `stream`, whose `session` goes to the handler's desk.
    pub fn new(env: &Env, stream: Arc<dyn Stream>, session: Session, limits: ParserLimits, handler: H) -> Self {
        let now = env.now();
        let write_deadline = session.write_deadline();
        lock(handler.desk()).session = Some(session);
        Self {
            env: env.clone(),
            stream,
            // Who is not in yet has no message to wait for.
            parser: Parser::new(ParserLimits { payload_bytes_max: 0, ..limits }),
            payload_bytes_max: limits.payload_bytes_max,
            is_open: false,
            read: ReadBuffer::default(),
            write: WriteBuffer::default(),
            stuck: None,
            write_deadline,
            stalled: None,
            timer: env.timer(now),
            armed: now,
            handler,
        }
    }

    /// The same, with bytes that have been read from the stream already.
    #[must_use]
    pub fn with_read(mut self, bytes: &[u8]) -> Self {
        self.read.put(bytes);
        self
    }

    /// Runs the link until it ends; the session is gone then, and its last words wait for [`Link::farewell`]. `None` when it
    /// was not wanted any more.
    pub async fn run(&mut self) -> Option<Close> {
        let end = self.steps().await.err();
        let mut desk = lock(self.handler.desk());
        let Desk { session, interest, .. } = &mut *desk;
        if let Some(mut session) = session.take() {
            self.write.take(&mut session, interest);
        }
        desk.interest.forget_peer();
        let go_on = desk.drained();
        drop(desk);
        go_on.into_iter().for_each(Waker::wake);
        end
    }

    /// Writes the last words, within a second, and closes. Returns the handler, and how many messages were not written.
    pub async fn farewell(mut self) -> (H, u64) {
        let Self { env, stream, write, .. } = &mut self;
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
        let _ = env.timeout(FAREWELL, last_words).await;
        stream.shutdown_write();
        self.count_written();
        (self.handler, self.write.messages)
    }

    /// The handler, to end what it holds before the farewell.
    pub fn handler(&mut self) -> &mut H {
        &mut self.handler
    }

    async fn steps(&mut self) -> Result<(), Close> {
        self.take_operations()?;
        loop {
            self.write_out()?;
            match poll_fn(|cx| self.poll_wake(cx)).await {
                Wake::Work => {
                    if !self.handler.is_wanted() {
                        return Ok(());
                    }
                }
                Wake::Timeout => self.time_is_up()?,
                Wake::Readable => self.read_in()?,
                Wake::Writable => {}
                Wake::Ready => self.go_on()?,
            }
        }
    }

    fn poll_wake(&mut self, cx: &mut Context<'_>) -> Poll<Wake> {
        let mut due = {
            let mut desk = lock(self.handler.desk());
            if desk.poll_work(cx).is_ready() {
                return Poll::Ready(Wake::Work);
            }
            let Desk { session, interest, .. } = &mut *desk;
            session.as_ref().expect(SESSION).poll_timeout(interest)
        };
        let give_up = self.stuck.map(|since| since + self.write_deadline);
        if let Some(ready) = &mut self.stalled {
            if ready.as_mut().poll(cx).is_ready() {
                return Poll::Ready(Wake::Ready);
            }
        } else if self.stream.poll_read_ready(cx).is_ready() {
            return Poll::Ready(Wake::Readable);
        }
        // Silence proves nothing while nothing is read: the session's time stands still.
        let is_timed = self.stalled.is_none() || give_up.is_some();
        due = give_up.map_or(due, |at| if self.stalled.is_some() { at } else { at.min(due) });
        if is_timed && self.armed != due {
            self.armed = due;
            self.timer.as_mut().reset(due);
        }
        if is_timed && self.timer.as_mut().poll(cx).is_ready() {
            return Poll::Ready(Wake::Timeout);
        }
        if !self.write.is_empty() && self.stream.poll_write_ready(cx).is_ready() {
            return Poll::Ready(Wake::Writable);
        }
        Poll::Pending
    }

    fn time_is_up(&mut self) -> Result<(), Close> {
        if self.stuck.is_some_and(|since| since + self.write_deadline <= self.env.now()) {
            return Err(Close::Slow(self.write_deadline));
        }
        if self.stalled.is_some() {
            return Ok(());
        }
        self.with_session(|session, interest, now| session.handle_timeout(now, interest))
    }

    /// The handler has room again: takes what was read before.
    fn go_on(&mut self) -> Result<(), Close> {
        self.stalled = None;
        self.handler.ready()?;
        self.note_open();
        self.with_session(|session, _, now| session.resumed(now));
        self.take_operations()?;
        self.stalled = self.handler.flush();
        Ok(())
    }

    /// Reads what is there and hands it out; returns to be polled again when there is more.
    fn read_in(&mut self) -> Result<(), Close> {
        let mut lost = None;
        for _ in 0..READS_MAX {
            match self.stream.try_read(self.read.room()) {
                Ok(0) => lost = Some("closed by the other side".to_owned()),
                Ok(bytes) => {
                    self.read.end += bytes;
                    self.with_session(|session, _, _| session.heard());
                    self.take_operations()?;
                    if !self.handler.is_busy() {
                        continue;
                    }
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Err(error) => lost = Some(error.to_string()),
            }
            break;
        }
        self.stalled = self.handler.flush();
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
            if self.handler.is_busy() {
                break Ok(());
            }
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
                Err(error) => break Err(self.with_session(|session, _, _| session.protocol_error(error))),
            }
        };
        self.read = read;
        result
    }

    fn take_operation(&mut self, op: Op<'_>) -> Result<(), Close> {
        let control = match op {
            Op::Message(message) => {
                self.may_hear()?;
                return self.handler.message(&message);
            }
            Op::Oversize { size, .. } => {
                self.may_hear()?;
                return self.handler.oversize(size);
            }
            Op::Control(control) => control,
        };
        if let Some(event) = self.with_session(|session, interest, now| session.handle(now, control, interest))? {
            self.handler.event(event)?;
        }
        self.note_open();
        Ok(())
    }

    fn may_hear(&self) -> Result<(), Close> {
        if self.is_open { Ok(()) } else { self.with_session(|session, _, _| session.may_hear()) }
    }

    fn note_open(&mut self) {
        if !self.is_open && self.with_session(|session, _, _| session.is_open()) {
            self.is_open = true;
            self.parser.set_payload_max(self.payload_bytes_max);
        }
    }

    /// Writes what waits, as far as the socket takes it and the other direction can wait.
    fn write_out(&mut self) -> Result<(), Close> {
        for _ in 0..WRITES_MAX {
            if self.write.is_empty() && !self.refill() {
                self.stuck = None;
                return Ok(());
            }
            match self.write.write_to(&*self.stream) {
                Ok(bytes) => {
                    self.stuck = None;
                    let mut desk = lock(self.handler.desk());
                    desk.session.as_mut().expect(SESSION).written(bytes);
                    let go_on = desk.drained();
                    drop(desk);
                    go_on.into_iter().for_each(Waker::wake);
                    self.count_written();
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    self.stuck.get_or_insert_with(|| self.env.now());
                    return Ok(());
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => {
                    // Why the peer has closed may still be there to read.
                    if self.stalled.is_none() {
                        self.read_in()?;
                    }
                    return Err(self.with_session(|session, _, now| session.lost(now, error)));
                }
            }
        }
        lock(self.handler.desk()).wake_task();
        Ok(())
    }

    /// Takes what the session wants written; false when that is nothing.
    fn refill(&mut self) -> bool {
        let mut desk = lock(self.handler.desk());
        let Desk { session, interest, .. } = &mut *desk;
        self.write.take(session.as_mut().expect(SESSION), interest);
        !self.write.is_empty()
    }

    fn count_written(&mut self) {
        if self.write.is_empty() {
            self.handler.wrote(std::mem::take(&mut self.write.messages));
        }
    }

    fn with_session<T>(&self, act: impl FnOnce(&mut Session, &mut super::Interest, Instant) -> T) -> T {
        let now = self.env.now();
        let mut desk = lock(self.handler.desk());
        let Desk { session, interest, .. } = &mut *desk;
        act(session.as_mut().expect(SESSION), interest, now)
    }
}

const SESSION: &str = "the link's task alone takes the session away, at its end";
