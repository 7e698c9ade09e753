//! What stands between a [`Client`](super::Client) and its stream: a reading, a writing and a checking task, and the
//! state that they share. The lock is held for moments only, never across an await.

use super::error::ClientError;
use super::handshake::Opened;
use super::incoming::{self, Op};
use super::{Message, Options, WhenFull};
use bytes::BytesMut;
use lattice_broker::env::{Env, Stream, write_all};
use lattice_broker::proto::{Info, client};
use rand_core::Rng as _;
use std::collections::{BTreeMap, VecDeque};
use std::future::poll_fn;
use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore, mpsc, oneshot};
use tokio_util::sync::{CancellationToken, DropGuard};

/// Publishers wait while so many bytes are still to be written.
const OUTPUT_MAX: usize = 1 << 20;
/// What a held message costs besides its bytes, so that empty ones are bounded too.
const MESSAGE_OVERHEAD: usize = 256;
/// Complaints that are kept until a flush fetches one; later ones are dropped, the first is the cause.
const COMPLAINTS_MAX: usize = 16;
/// How long a broken connection may still bring what the server said before.
const LAST_WORDS_TIMEOUT: Duration = Duration::from_secs(1);
/// Room for what a client gets at a time as a rule, …
const READ_CHUNK: usize = 4 << 10;
/// … and for more when that was not all.
const READ_CHUNK_MORE: usize = 64 << 10;
/// The subscription that answers to requests arrive on.
const ANSWERS_SID: u64 = 1;

/// A message with its share of the subscription's room.
#[derive(Debug)]
pub(super) struct Held {
    message: Message,
    _room: OwnedSemaphorePermit,
}

impl Held {
    pub(super) fn release(self) -> Message {
        self.message
    }
}

#[derive(Debug)]
struct Subscriber {
    messages: mpsc::UnboundedSender<Held>,
    room: Arc<Semaphore>,
    dropped: Arc<AtomicU64>,
    had: u64,
    max: Option<u64>,
}

#[derive(Debug)]
struct State {
    info: Info,
    output: Vec<u8>,
    subscribers: BTreeMap<u64, Subscriber>,
    sid_last: u64,
    answers: BTreeMap<u64, oneshot::Sender<Message>>,
    answer_last: u64,
    answers_subscribed: bool,
    pongs: VecDeque<oneshot::Sender<()>>,
    complaints: VecDeque<String>,
    end: Option<ClientError>,
}

#[derive(Debug)]
pub(super) struct Shared {
    pub(super) env: Env,
    stream: Arc<dyn Stream>,
    options: Options,
    inbox: String,
    state: Mutex<State>,
    /// Something is to be written.
    written_to: Notify,
    /// Something has been written.
    written: Notify,
    closed: CancellationToken,
}

/// Starts the tasks of a connection. They end when the guard is dropped or the stream ends.
pub(super) fn start(env: &Env, opened: Opened, options: Options) -> (Arc<Shared>, DropGuard) {
    let Opened { stream, input, info } = opened;
    let state = State {
        info,
        output: Vec::new(),
        subscribers: BTreeMap::new(),
        sid_last: ANSWERS_SID,
        answers: BTreeMap::new(),
        answer_last: 0,
        answers_subscribed: false,
        pongs: VecDeque::new(),
        complaints: VecDeque::new(),
        end: None,
    };
    let shared = Arc::new(Shared {
        env: env.clone(),
        inbox: inbox_name(env, stream.as_ref()),
        stream,
        options,
        state: Mutex::new(state),
        written_to: Notify::new(),
        written: Notify::new(),
        closed: CancellationToken::new(),
    });
    env.spawn(read_task(shared.clone(), input));
    env.spawn(write_task(shared.clone()));
    env.spawn(check_task(shared.clone()));
    let guard = shared.closed.clone().drop_guard();
    (shared, guard)
}

/// `_INBOX.` and twenty letters that no other connection has.
///
/// The label names the connection: streams of one label may be the same stream in the simulator.
fn inbox_name(env: &Env, stream: &dyn Stream) -> String {
    let mut random = [0; 15];
    env.rng(&format!("client inbox {}", stream.local_addr())).fill_bytes(&mut random);
    format!("_INBOX.{}", data_encoding::BASE64URL_NOPAD.encode(&random))
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        // No code that holds the lock can panic halfway through a change that others must not see.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn info(&self) -> Info {
        self.state().info.clone()
    }

    /// The largest message that the server takes, in bytes; 0 when it did not say.
    pub(super) fn max_payload(&self) -> usize {
        self.state().info.max_payload
    }

    /// Lets `append` add to what is to be written, as soon as that is little enough.
    pub(super) async fn write(&self, append: impl FnOnce(&mut Vec<u8>)) -> Result<(), ClientError> {
        self.write_and(|state| append(&mut state.output)).await
    }

    /// Does `append` as soon as there is room in the output, in the same moment as whatever it changes besides.
    async fn write_and<T>(&self, append: impl FnOnce(&mut State) -> T) -> Result<T, ClientError> {
        loop {
            let mut room = std::pin::pin!(self.written.notified());
            // From here on no notification is missed, also not one between the look at the state and the await.
            room.as_mut().enable();
            {
                let mut state = self.state();
                if let Some(end) = &state.end {
                    return Err(end.clone());
                }
                if state.output.len() < OUTPUT_MAX {
                    self.written_to.notify_one();
                    return Ok(append(&mut state));
                }
            }
            tokio::select! {
                biased;
                () = self.closed.cancelled() => return Err(self.end()),
                () = room => {}
            }
        }
    }

    pub(super) async fn ping(&self, pong: oneshot::Sender<()>) -> Result<(), ClientError> {
        let append = |state: &mut State| {
            state.output.extend_from_slice(client::PING);
            state.pongs.push_back(pong);
        };
        self.write_and(append).await
    }

    /// The oldest complaint of the server, if there is one.
    pub(super) fn complaint(&self) -> Result<(), ClientError> {
        match self.state().complaints.pop_front() {
            Some(text) => Err(ClientError::Server { text }),
            None => Ok(()),
        }
    }

    pub(super) fn register(&self) -> (u64, mpsc::UnboundedReceiver<Held>, Arc<AtomicU64>) {
        let (messages, receiver) = mpsc::unbounded_channel();
        let room = Arc::new(Semaphore::new(self.room_max()));
        let dropped = Arc::new(AtomicU64::new(0));
        let mut state = self.state();
        state.sid_last += 1;
        let sid = state.sid_last;
        // After the end nothing will come: without an entry, the receiver says so at once.
        if state.end.is_none() {
            let subscriber = Subscriber { messages, room, dropped: dropped.clone(), had: 0, max: None };
            state.subscribers.insert(sid, subscriber);
        }
        (sid, receiver, dropped)
    }

    fn room_max(&self) -> usize {
        self.options.pending_bytes_max.clamp(MESSAGE_OVERHEAD, u32::MAX as usize)
    }

    pub(super) fn limit(&self, sid: u64, max: u64) {
        let mut state = self.state();
        let ended = state.subscribers.get_mut(&sid).is_some_and(|subscriber| {
            subscriber.max = Some(max);
            subscriber.had >= max
        });
        if ended {
            state.subscribers.remove(&sid);
        }
    }

    pub(super) fn unsubscribe(&self, sid: u64) {
        let mut state = self.state();
        if state.subscribers.remove(&sid).is_some() && state.end.is_none() {
            // A few bytes over the bound at worst: one line for each subscription that there was.
            client::unsubscribe(&mut state.output, sid.to_string().as_bytes(), 0);
            self.written_to.notify_one();
        }
    }

    /// Prepares for an answer and returns the subject for it. Subscribes to answers, the first time.
    pub(super) async fn expect_answer(self: &Arc<Self>) -> Result<(PendingAnswer, String), ClientError> {
        let (sender, receiver) = oneshot::channel();
        let prepare = |state: &mut State| {
            if !std::mem::replace(&mut state.answers_subscribed, true) {
                let filter = format!("{}.*", self.inbox);
                client::subscribe(&mut state.output, filter.as_bytes(), None, ANSWERS_SID.to_string().as_bytes());
            }
            state.answer_last += 1;
            state.answers.insert(state.answer_last, sender);
            state.answer_last
        };
        let token = self.write_and(prepare).await?;
        Ok((PendingAnswer { shared: self.clone(), token, receiver }, format!("{}.{token}", self.inbox)))
    }

    /// Why the connection ended.
    pub(super) fn end(&self) -> ClientError {
        self.state().end.clone().unwrap_or(ClientError::Closed)
    }

    pub(super) fn has_ended(&self) -> bool {
        self.closed.is_cancelled()
    }

    pub(super) async fn ended(&self) -> ClientError {
        self.closed.cancelled().await;
        self.end()
    }

    pub(super) fn close(&self) {
        self.finish(ClientError::Closed);
    }

    /// Ends everything that waits. The first reason stays; a server's last words are a better one than the hang-up.
    fn finish(&self, reason: ClientError) {
        let mut state = self.state();
        let last_words = state.complaints.back().cloned();
        let reason = match (reason, last_words) {
            (ClientError::Lost { .. }, Some(text)) => ClientError::Server { text },
            (reason, _) => reason,
        };
        state.end.get_or_insert(reason);
        state.subscribers.clear();
        state.answers.clear();
        state.pongs.clear();
        drop(state);
        self.closed.cancel();
    }

    async fn handle(&self, op: Op) {
        match op {
            Op::Message { sid, message } => {
                if sid == ANSWERS_SID {
                    self.answer(message)
                } else {
                    self.deliver(sid, message).await
                }
            }
            Op::Ping => self.pong(),
            Op::Pong => {
                if let Some(pong) = self.state().pongs.pop_front() {
                    // Nobody waits any more after a time-out.
                    let _ = pong.send(());
                }
            }
            Op::Info(info) => self.state().info = *info,
            Op::Error(text) => {
                let mut state = self.state();
                if state.complaints.len() < COMPLAINTS_MAX {
                    state.complaints.push_back(text);
                }
            }
            Op::Ok => {}
        }
    }

    /// A server that does not read what it is sent will not miss a PONG among it.
    fn pong(&self) {
        let mut state = self.state();
        if state.output.len() < OUTPUT_MAX {
            state.output.extend_from_slice(client::PONG);
            self.written_to.notify_one();
        }
    }

    fn answer(&self, message: Message) {
        let token = message.subject.rsplit('.').next().and_then(|token| token.parse().ok());
        if let Some(answer) = token.and_then(|token: u64| self.state().answers.remove(&token)) {
            // The request may have been given up in this moment.
            let _ = answer.send(message);
        }
    }

    async fn deliver(&self, sid: u64, message: Message) {
        let Some((messages, room, dropped)) = self.count_for(sid) else { return };
        let size = message.header.len() + message.payload.len() + message.subject.len() + MESSAGE_OVERHEAD;
        let size = u32::try_from(size.min(self.room_max())).expect("the room is at most u32::MAX");
        let permit = match self.options.when_full {
            WhenFull::Drop => room.try_acquire_many_owned(size).ok(),
            WhenFull::Wait => tokio::select! {
                biased;
                () = self.closed.cancelled() => None,
                () = messages.closed() => None,
                permit = room.acquire_many_owned(size) => permit.ok(),
            },
        };
        match permit {
            // The subscription may have been dropped in this moment.
            Some(room) => drop(messages.send(Held { message, _room: room })),
            None => drop(dropped.fetch_add(1, Ordering::Relaxed)),
        }
    }

    /// Where messages of `sid` go. Counts one; the entry goes with the last message that was asked for.
    fn count_for(&self, sid: u64) -> Option<(mpsc::UnboundedSender<Held>, Arc<Semaphore>, Arc<AtomicU64>)> {
        let mut state = self.state();
        let subscriber = state.subscribers.get_mut(&sid)?;
        subscriber.had += 1;
        let last = subscriber.max.is_some_and(|max| subscriber.had >= max);
        let found = (subscriber.messages.clone(), subscriber.room.clone(), subscriber.dropped.clone());
        if last {
            state.subscribers.remove(&sid);
        }
        Some(found)
    }
}

/// An answer that is waited for. Dropping it forgets the request.
pub(super) struct PendingAnswer {
    shared: Arc<Shared>,
    token: u64,
    receiver: oneshot::Receiver<Message>,
}

impl PendingAnswer {
    /// `None` when the connection ends first.
    pub(super) async fn answer(mut self) -> Option<Message> {
        (&mut self.receiver).await.ok()
    }
}

impl Drop for PendingAnswer {
    fn drop(&mut self) {
        self.shared.state().answers.remove(&self.token);
    }
}

async fn read_task(shared: Arc<Shared>, mut input: BytesMut) {
    let reason = loop {
        match incoming::next(&mut input) {
            Ok(Some(op)) => {
                shared.handle(op).await;
                continue;
            }
            Ok(None) => {}
            Err(error) => break error.into(),
        }
        let read = tokio::select! {
            biased;
            () = shared.closed.cancelled() => break ClientError::Closed,
            read = read_some(shared.stream.as_ref(), &mut input) => read,
        };
        match read {
            Ok(0) => break ClientError::Lost { reason: "the server closed it".to_owned() },
            Ok(_) => {}
            Err(error) => break ClientError::lost(&error),
        }
    };
    shared.finish(reason);
}

async fn write_task(shared: Arc<Shared>) {
    loop {
        let output = std::mem::take(&mut shared.state().output);
        if output.is_empty() {
            tokio::select! {
                biased;
                () = shared.closed.cancelled() => break,
                () = shared.written_to.notified() => continue,
            }
        }
        let written = tokio::select! {
            biased;
            () = shared.closed.cancelled() => break,
            written = write_all(shared.stream.as_ref(), &output) => written,
        };
        if let Err(error) = written {
            // The server's last words may still be unread: they are a better reason than this one.
            let reason = ClientError::lost(&error);
            if shared.env.timeout(LAST_WORDS_TIMEOUT, shared.closed.cancelled()).await.is_err() {
                shared.finish(reason);
            }
            break;
        }
        shared.written.notify_waiters();
    }
    shared.stream.shutdown_write();
}

/// Asks for a sign of life in each interval; without one by the next, the connection is lost.
async fn check_task(shared: Arc<Shared>) {
    let interval = shared.options.ping_interval;
    loop {
        let check = async {
            shared.env.sleep(interval).await;
            let (pong, ponged) = oneshot::channel();
            let ping = async {
                shared.ping(pong).await.ok()?;
                ponged.await.ok()
            };
            shared.env.timeout(interval, ping).await.is_ok()
        };
        tokio::select! {
            biased;
            () = shared.closed.cancelled() => return,
            alive = check => if !alive {
                shared.finish(ClientError::Lost { reason: format!("the server did not answer for {interval:?}") });
                return;
            }
        }
    }
}

/// Reads what is there, or waits for something; 0 at the end. Cancel safe.
pub(super) async fn read_some(stream: &dyn Stream, input: &mut BytesMut) -> io::Result<usize> {
    loop {
        poll_fn(|cx| stream.poll_read_ready(cx)).await?;
        match read_now(stream, input, READ_CHUNK) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            // What stands in the way of more shows at the next call.
            Ok(READ_CHUNK) => return Ok(READ_CHUNK + read_now(stream, input, READ_CHUNK_MORE).unwrap_or(0)),
            other => return other,
        }
    }
}

fn read_now(stream: &dyn Stream, input: &mut BytesMut, chunk: usize) -> io::Result<usize> {
    let old = input.len();
    input.resize(old + chunk, 0);
    let read = stream.try_read(&mut input[old..]);
    input.truncate(old + read.as_ref().map_or(0, |len| *len));
    read
}

/// What would break the protocol's line apart is refused; all else is the server's to judge.
pub(super) fn check_subject(subject: &str) -> Result<(), ClientError> {
    let breaks = |c: char| c.is_ascii_whitespace() || c == '\0';
    if subject.is_empty() || subject.contains(breaks) {
        return Err(ClientError::BadSubject { subject: subject.to_owned() });
    }
    Ok(())
}
