//! One link from its first frame to its last: greet, carry, end.
//!
//! A link is a QUIC connection with one control stream and one data stream in each direction, and datagrams as
//! heartbeats. This file moves bytes between the streams and the node; whether the link lives is left to `watcher.rs`, what
//! the control frames mean, to `control.rs`, where data goes, to `plane.rs`, who may connect at all, to `quic.rs`.

use super::custody::{self, Receipt};
use super::events::What;
use super::frame::{ControlFrame, DATA_MAX, FrameError, Goodbye, Hello, Kind, Reader, TRACE};
use super::frame_queue::FrameQueue;
use super::greeting::GreetError;
use super::links::{Link, LinkId};
use super::outbuf::Outbuf;
use super::plane::{Batch, Touched};
use super::quic::{Connected, close as code, plain};
use super::shared::{Input, Shared};
use super::watcher::{Health, Reason, watch};
use crate::planted::{self, Bug};
use crate::ports::BoxFuture;
use bytes::Bytes;
use lattice_broker::env::Timer;
use quinn::{Connection, ConnectionError, RecvStream, SendStream, VarInt};
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::task::Poll;
use std::time::Duration;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// Most bytes that one read of a control stream takes.
const READ_MAX: usize = 256 << 10;
/// Most pieces, each of at most one packet, that one read of a data stream takes: what they bring is handed on together.
const PIECES_MAX: usize = 64;
/// A reader waits while more than this many bytes wait on the next link: the peer is slowed down by flow control.
const FORWARD_PENDING_MAX: usize = 1 << 20;
/// How long the last bytes of a link that ends in peace may take.
const FAREWELL_MAX: Duration = Duration::from_secs(2);

const BUSY: VarInt = VarInt::from_u32(code::BUSY);

/// How a connection ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ended {
    /// It was a link for a while.
    AfterUp,
    /// It never became one.
    BeforeUp,
    /// Nor did it because the peer has as many links as it wants.
    Refused,
}

/// Runs a connection to its end.
pub(super) async fn run(shared: &Arc<Shared>, connected: Connected) -> Ended {
    let connection = connected.connection.clone();
    let greeted = match shared.env.timeout(shared.config.greet_timeout, greet(shared, &connected)).await {
        Ok(greeted) => greeted,
        Err(elapsed) => Err(GreetFailed::Late(elapsed)),
    };
    match greeted {
        Ok(greeted) => {
            serve(shared, greeted).await;
            Ended::AfterUp
        }
        Err(GreetFailed::Duplicate) => {
            close(&connection, code::DUPLICATE, "another link between us is up");
            Ended::BeforeUp
        }
        Err(GreetFailed::Enough) => {
            shared.plane.counters.links_refused.add(1);
            close(&connection, code::BUSY, "this node has enough links, and reaches you by them");
            Ended::BeforeUp
        }
        Err(error) => {
            let address = plain(connection.remote_address());
            tracing::debug!(%address, %error, "a connection did not become a link");
            let busy = |closed| matches!(closed, ConnectionError::ApplicationClosed(why) if why.error_code == BUSY);
            let refused = connection.close_reason().is_some_and(busy);
            close(&connection, code::PROTOCOL, &error.to_string());
            if refused { Ended::Refused } else { Ended::BeforeUp }
        }
    }
}

/// A link that both ends agree on, and its control streams.
struct Greeted {
    link: Arc<Link>,
    hello: Hello,
    control_out: SendStream,
    control_in: ControlReader,
}

async fn greet(shared: &Arc<Shared>, connected: &Connected) -> Result<Greeted, GreetFailed> {
    let Connected { connection, peer, member, dialed } = connected;
    let enough = !dialed && shared.links.count() >= shared.config.forming.accept_max;
    // Before the greeting, by which the peer might take the link for good.
    if enough && shared.links.get(peer).is_none() && shared.plane.reaches(peer) {
        return Err(GreetFailed::Enough);
    }
    let has_link = shared.links.get(peer).is_some_and(|link| !link.stop.is_cancelled());
    let mut control_out = connection.open_uni().await?;
    control_out.write_all(&shared.facts.hello(has_link).encode()).await?;
    let mut control_in = ControlReader::new(connection.accept_uni().await?);
    let hello = shared.facts.check(*peer, control_in.next().await?)?;
    let link = Arc::new(Link {
        id: LinkId(shared.next_link()),
        peer: *peer,
        member: Arc::clone(member),
        boot: hello.boot,
        name: hello.name.clone(),
        dialed: *dialed,
        traces: hello.features & TRACE != 0,
        since: shared.env.now(),
        connection: connection.clone(),
        control: FrameQueue::new(shared.config.link_bytes_max),
        data: Outbuf::with_custody(shared.config.link_bytes_max, Arc::clone(&shared.plane.ring)),
        confirmed: AtomicBool::new(false),
        heard: AtomicU64::new(0),
        in_vain: AtomicBool::new(false),
        health: Mutex::new(Health::new(shared, *peer, connection.rtt())),
        stop: CancellationToken::new(),
    });
    if shared.facts.decides(*peer) {
        shared.links.decide(&link, hello.has_link).map_err(|_| GreetFailed::Duplicate)?;
        // Through the link's buffer, which is written first thing: were it written here and failed, the link would
        // have to be taken back.
        link.send(&ControlFrame::Welcome);
    } else {
        match control_in.next().await? {
            ControlFrame::Welcome => shared.links.accept(&link),
            other => return Err(GreetFailed::NotWelcome(other.kind())),
        }
    }
    Ok(Greeted { link, hello, control_out, control_in })
}

/// Carries frames until the link ends.
async fn serve(shared: &Arc<Shared>, greeted: Greeted) {
    let Greeted { link, hello, control_out, control_in } = greeted;
    let peer = link.peer;
    tracing::info!(%peer, name = link.name, address = %link.address(), dialed = link.dialed, "link up");
    shared.note(What::LinkUp, Some((peer, &link.name)), Some(format!("{}", link.address())));
    shared.plane.counters.links_up.add(1);
    shared.tell(Input::Up(Arc::clone(&link), hello)).await;

    // The tasks that end by themselves when both sides have said all they had to.
    let streams = TaskTracker::new();
    shared.env.spawn(streams.track_future(write_control(Arc::clone(&link), control_out)));
    shared.env.spawn(streams.track_future(write_data(Arc::clone(&link))));
    shared.env.spawn(streams.track_future(read_data(Arc::clone(shared), Arc::clone(&link))));
    shared.env.spawn(read_control(Arc::clone(shared), Arc::clone(&link), control_in));
    streams.close();

    let reason = watch(shared, &link).await;
    // Before what follows from it.
    shared.note(What::LinkDown, Some((peer, &link.name)), Some(reason.to_string()));
    if !matches!(reason, Reason::Stopped) {
        shared.histories.trouble(shared.env.now(), peer);
    }
    shared.links.remove(&link);
    // One that was replaced has a better one beside it: what it still carries goes there.
    if let Reason::Stopped = reason
        && shared.links.get(&peer).is_none()
    {
        shared.tell(Input::Down(link.id)).await;
        farewell(shared, &link, &streams).await;
        shared.plane.take_over(&link);
    } else {
        shared.plane.take_over(&link);
        shared.tell(Input::Down(link.id)).await;
    }
    link.control.close();
    shared.plane.counters.links_down.add(1);
    tracing::info!(%peer, name = link.name, %reason, "link down");
    close(&link.connection, reason.code(), &reason.to_string());
}

/// Says goodbye and lets what is in the buffers arrive, here and at the peer: whoever closes first cuts the other off.
async fn farewell(shared: &Shared, link: &Link, streams: &TaskTracker) {
    link.send(&ControlFrame::Goodbye(Goodbye { reason: "this node ends the link".into() }));
    link.data.finish();
    link.control.finish();
    let receipts = async {
        while let Ok(datagram) = link.connection.read_datagram().await {
            take_receipt(shared, link, &datagram);
        }
    };
    let settled = async {
        streams.wait().await;
        link.data.settled().await;
    };
    // When the time is up, what has not arrived goes another way.
    let _ = shared
        .env
        .timeout(FAREWELL_MAX, async {
            tokio::select! { () = receipts => {}, () = settled => {} }
        })
        .await;
}

/// Takes in what the peer says of the frames that it has taken; another datagram is but a sign of life.
pub(super) fn take_receipt(shared: &Shared, link: &Link, datagram: &[u8]) {
    if datagram.first() == Some(&custody::TAG)
        && let Err(error) = custody::read(datagram).and_then(|taken| link.data.acknowledge(taken))
    {
        reject(shared, link, &error);
    }
}

async fn write_control(link: Arc<Link>, mut stream: SendStream) {
    while let Some(mut frames) = link.control.take().await {
        if !write(&link, &mut stream, &mut frames).await {
            return;
        }
    }
    finish(stream).await;
}

async fn write_data(link: Arc<Link>) {
    let Ok(mut stream) = link.connection.open_uni().await else { return };
    while let Some(mut pieces) = link.data.take().await {
        if !write(&link, &mut stream, &mut pieces).await {
            return;
        }
    }
    finish(stream).await;
}

/// Writes `pieces`. Returns whether the stream is still good for more.
async fn write(link: &Link, stream: &mut SendStream, pieces: &mut [Bytes]) -> bool {
    let written = stream.write_all_chunks(pieces).await;
    // A peer that stops a stream on a connection that lives on has no use for the link.
    if written.is_err() && link.connection.close_reason().is_none() {
        link.stop.cancel();
    }
    written.is_ok()
}

/// Ends a stream, and waits until the peer has all of it.
async fn finish(mut stream: SendStream) {
    // Both fail only when the connection is gone, and then there is nothing left to wait for.
    if stream.finish().is_ok() {
        let _ = stream.stopped().await;
    }
}

async fn read_control(shared: Arc<Shared>, link: Arc<Link>, mut stream: ControlReader) {
    loop {
        match stream.next().await {
            Ok(ControlFrame::Goodbye(goodbye)) => {
                tracing::debug!(peer = %link.peer, reason = goodbye.reason, "the peer says goodbye");
                return link.stop.cancel();
            }
            Ok(frame) => {
                link.confirmed.store(true, Ordering::Relaxed);
                link.hear(shared.env.now());
                shared.tell(Input::Frame(link.id, frame)).await;
            }
            Err(ReadFailed::Frame(error)) => return reject(&shared, &link, &error),
            // Planted: the task goes on waiting for a link that has ended.
            Err(ReadFailed::Gone) if planted::is(Bug::TaskLeaked) => std::future::pending().await,
            Err(ReadFailed::Gone) => return,
        }
    }
}

async fn read_data(shared: Arc<Shared>, link: Arc<Link>) {
    let mut timer = shared.env.timer(shared.env.now());
    let Ok(mut stream) = link.connection.accept_uni().await else { return };
    let mut reader = Reader::new(DATA_MAX);
    let mut touched = Touched::default();
    let mut pieces = vec![Bytes::new(); PIECES_MAX];
    let (mut receipt, mut received) = (Receipt::default(), 0);
    loop {
        let due = std::future::poll_fn(|cx| match receipt.due() {
            Some(_) => timer.as_mut().poll(cx),
            None => Poll::Pending,
        });
        let count = tokio::select! {
            biased;
            read = stream.read_chunks(&mut pieces) => match read {
                Ok(Some(count)) => count,
                Ok(None) | Err(_) => break,
            },
            () = due => {
                tell(&shared, &link, &mut receipt, &mut timer);
                continue;
            }
        };
        link.hear(shared.env.now());
        received += pieces[..count].iter().map(|piece| piece.len() as u64).sum::<u64>();
        let (taken, congested) = take_batch(&shared, &mut reader, &mut pieces[..count], &mut touched);
        let fullest = touched.flush();
        if let Err(error) = taken {
            return reject(&shared, &link, &error);
        }
        if let Some(due) = receipt.took(|| shared.env.now(), received - reader.unfinished() as u64) {
            timer.as_mut().reset(due);
        }
        if receipt.is_large() {
            tell(&shared, &link, &mut receipt, &mut timer);
        }
        if let Some((pending, next)) = fullest
            && pending > FORWARD_PENDING_MAX
        {
            // Never without a limit: links that wait for each other in a circle would wait for ever.
            let _ = shared.env.timeout(shared.config.stall_max, next.data.drained(FORWARD_PENDING_MAX)).await;
        }
        if let Some(ready) = congested {
            ready.await;
        }
    }
    // The peer has said all it had to say, and may wait to hear that it has arrived.
    tell(&shared, &link, &mut receipt, &mut timer);
}

/// Tells the peer how much was taken, and sets the timer for the next time.
fn tell(shared: &Shared, link: &Link, receipt: &mut Receipt, timer: &mut Pin<Box<dyn Timer>>) {
    let (datagram, due) = receipt.tell(shared.env.now());
    timer.as_mut().reset(due);
    // When it cannot be sent the connection is gone, and the peer keeps what it has.
    drop(link.connection.send_datagram(datagram));
}

/// Hands all whole frames in `pieces` on, those before a bad one too. When a subscriber here is congested, the future ends
/// with that.
fn take_batch(
    shared: &Shared,
    reader: &mut Reader,
    pieces: &mut [Bytes],
    touched: &mut Touched,
) -> (Result<(), FrameError>, Option<BoxFuture<()>>) {
    let mut batch = Batch::new(&shared.arrivals);
    let taken = take_frames(shared, reader, pieces, &mut batch, touched);
    (taken, batch.flush())
}

fn take_frames(
    shared: &Shared,
    reader: &mut Reader,
    pieces: &mut [Bytes],
    batch: &mut Batch<'_>,
    touched: &mut Touched,
) -> Result<(), FrameError> {
    for piece in pieces {
        let mut input = &piece[..];
        while let Some(raw) = reader.next(&mut input)? {
            if !matches!(raw.kind, Kind::Data | Kind::Ask | Kind::Mark | Kind::Probe | Kind::Report) {
                return Err(FrameError::Misplaced(raw.kind));
            }
            shared.plane.receive(raw, batch, touched)?;
        }
        // A piece holds the whole packet that it came in.
        *piece = Bytes::new();
    }
    Ok(())
}

/// The peer broke the protocol.
pub(super) fn reject(shared: &Shared, link: &Link, reason: &dyn std::fmt::Display) {
    tracing::warn!(peer = %link.peer, name = link.name, %reason, "a peer broke the protocol; its link is closed");
    shared.note(What::LinkRejected, Some((link.peer, &link.name)), Some(reason.to_string()));
    shared.plane.counters.links_rejected.add(1);
    close(&link.connection, code::PROTOCOL, &reason.to_string());
}

/// The peer is a member no more.
pub(super) fn expel(link: &Link) {
    tracing::warn!(peer = %link.peer, name = link.name, "a peer has been revoked; its link is closed");
    close(&link.connection, code::REVOKED, "revoked");
}

fn close(connection: &Connection, code: u32, reason: &str) {
    connection.close(VarInt::from_u32(code), reason.as_bytes());
}

/// Reads control frames off a stream.
struct ControlReader {
    stream: RecvStream,
    reader: Reader,
    chunk: Bytes,
}

impl ControlReader {
    fn new(stream: RecvStream) -> Self {
        Self { stream, reader: Reader::new(0), chunk: Bytes::new() }
    }

    /// The next frame. Cancel safe.
    async fn next(&mut self) -> Result<ControlFrame, ReadFailed> {
        loop {
            let mut input = &self.chunk[..];
            let frame = self.reader.next(&mut input)?.map(ControlFrame::decode).transpose()?;
            let used = self.chunk.len() - input.len();
            bytes::Buf::advance(&mut self.chunk, used);
            if let Some(frame) = frame {
                return Ok(frame);
            }
            match self.stream.read_chunk(READ_MAX, true).await {
                Ok(Some(chunk)) => self.chunk = chunk.bytes,
                Ok(None) | Err(_) => return Err(ReadFailed::Gone),
            }
        }
    }
}

/// Why a connection did not become a link.
#[derive(Debug, thiserror::Error)]
enum GreetFailed {
    #[error("no greeting came in time")]
    Late(lattice_broker::env::Elapsed),
    #[error("another link between the two is up")]
    Duplicate,
    #[error("this node has enough links")]
    Enough,
    #[error("instead of a welcome came {0:?}")]
    NotWelcome(Kind),
    #[error(transparent)]
    Greeting(#[from] GreetError),
    #[error(transparent)]
    Connection(#[from] ConnectionError),
    #[error(transparent)]
    Write(#[from] quinn::WriteError),
    #[error(transparent)]
    Read(#[from] ReadFailed),
}

#[derive(Debug, thiserror::Error)]
enum ReadFailed {
    #[error("the peer closed the connection")]
    Gone,
    #[error(transparent)]
    Frame(#[from] FrameError),
}
