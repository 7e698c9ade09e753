//! One link from its first frame to its last: greet, carry, watch, end.
//!
//! A link is a QUIC connection with one control stream and one data stream in each direction, and datagrams as
//! heartbeats. This file moves bytes between them and the node; what the control frames mean is left to `control.rs`,
//! where data goes, to `plane.rs`, who may connect at all, to `quic.rs`.

use super::frame::{ControlFrame, DATA_MAX, FrameError, Goodbye, Hello, Kind, Reader};
use super::greeting::GreetError;
use super::heartbeat::{Due, Heartbeat};
use super::links::{Link, LinkId};
use super::outbuf::Outbuf;
use super::plane::{Batch, Touched};
use super::quic::{Connected, close as code, plain};
use super::shared::{Input, Shared};
use crate::planted::{self, Bug};
use crate::ports::BoxFuture;
use bytes::Bytes;
use quinn::{Connection, RecvStream, SendStream, VarInt};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
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

/// How a connection ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ended {
    /// It was a link for a while.
    AfterUp,
    /// It never became one.
    BeforeUp,
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
        Err(error) => {
            let address = plain(connection.remote_address());
            tracing::debug!(%address, %error, "a connection did not become a link");
            close(&connection, code::PROTOCOL, &error.to_string());
            Ended::BeforeUp
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
    let Connected { connection, peer, dialed } = connected;
    let has_link = shared.links.get(peer).is_some_and(|link| !link.stop.is_cancelled());
    let mut control_out = connection.open_uni().await?;
    control_out.write_all(&shared.facts.hello(has_link).encode()).await?;
    let mut control_in = ControlReader::new(connection.accept_uni().await?);
    let hello = shared.facts.check(*peer, control_in.next().await?)?;
    let link = Arc::new(Link {
        id: LinkId(shared.next_link()),
        peer: *peer,
        boot: hello.boot,
        name: hello.name.clone(),
        dialed: *dialed,
        since: shared.env.now(),
        connection: connection.clone(),
        control: Outbuf::new(shared.config.link_bytes_max),
        data: Outbuf::new(shared.config.link_bytes_max),
        confirmed: AtomicBool::new(false),
        heard: AtomicBool::new(false),
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
    shared.plane.counters.links_up.add(1);
    shared.tell(Input::Up(Arc::clone(&link), hello)).await;

    // The tasks that end by themselves when both sides have said all they had to.
    let streams = TaskTracker::new();
    shared.env.spawn(streams.track_future(write(Arc::clone(&link), control_out, |link| &link.control)));
    shared.env.spawn(streams.track_future(write_data(Arc::clone(&link))));
    shared.env.spawn(streams.track_future(read_data(Arc::clone(shared), Arc::clone(&link))));
    shared.env.spawn(read_control(Arc::clone(shared), Arc::clone(&link), control_in));
    streams.close();

    let reason = watch(shared, &link).await;
    shared.links.remove(&link);
    shared.tell(Input::Down(link.id)).await;
    if let Reason::Stopped = reason {
        farewell(shared, &link, &streams).await;
    }
    let lost = link.data.close();
    link.control.close();
    shared.plane.counters.dropped_link_down.add(lost);
    shared.plane.counters.links_down.add(1);
    tracing::info!(%peer, name = link.name, %reason, frames_lost = lost, "link down");
    close(&link.connection, reason.code(), &reason.to_string());
}

/// Waits for the end of the link, sending heartbeats and listening for the peer's.
async fn watch(shared: &Shared, link: &Link) -> Reason {
    let config = &shared.config;
    let mut heartbeat = Heartbeat::new(shared.env.now(), config.heartbeat, config.dead_after, link.dialed);
    let mut timer = shared.env.timer(heartbeat.next());
    if planted::is(Bug::TimerLeaked) {
        // Planted: a timer that nobody drops when the link has ended.
        std::mem::forget(shared.env.timer(heartbeat.next()));
    }
    loop {
        let due = std::future::poll_fn(|cx| timer.as_mut().poll(cx));
        tokio::select! {
            biased;
            () = link.stop.cancelled() => return Reason::Stopped,
            error = link.connection.closed() => return Reason::Closed(error),
            datagram = link.connection.read_datagram() => match datagram {
                Ok(_) => heartbeat.heard(shared.env.now()),
                Err(error) => return Reason::Closed(error),
            },
            () = due => {
                // Planted: the heartbeats that are sent count for those that should come.
                if link.heard.swap(false, Ordering::Relaxed) || planted::is(Bug::HalfOpenBelieved) {
                    heartbeat.heard(shared.env.now());
                }
                // What the peer acknowledges it has decrypted: as good a sign of life as a heartbeat of its own.
                let stats = link.connection.stats();
                heartbeat.acknowledged(shared.env.now(), stats.frame_rx.acks, stats.path.rtt);
                match heartbeat.due(shared.env.now()) {
                    Due::Nothing => {}
                    // An error here means that the connection is closed, which the next round sees.
                    Due::Send => drop(link.connection.send_datagram(Bytes::new())),
                    Due::Dead { silent } => return Reason::Silent(silent),
                }
                timer.as_mut().reset(heartbeat.next());
            }
        }
    }
}

/// Says goodbye and lets what is in the buffers arrive, here and at the peer: whoever closes first cuts the other off.
async fn farewell(shared: &Shared, link: &Link, streams: &TaskTracker) {
    link.send(&ControlFrame::Goodbye(Goodbye { reason: "this node ends the link".into() }));
    link.data.finish();
    link.control.finish();
    // When the time is up, what has not arrived is counted as lost.
    let _ = shared.env.timeout(FAREWELL_MAX, streams.wait()).await;
}

async fn write_data(link: Arc<Link>) {
    if let Ok(stream) = link.connection.open_uni().await {
        write(link, stream, |link| &link.data).await;
    }
}

/// Writes what gathers in a buffer, as long as the connection lives.
async fn write(link: Arc<Link>, mut stream: SendStream, buffer: impl Fn(&Link) -> &Outbuf) {
    while let Some(mut pieces) = buffer(&link).take().await {
        if stream.write_all_chunks(&mut pieces).await.is_err() {
            // A peer that stops a stream on a connection that lives on has no use for the link.
            if link.connection.close_reason().is_none() {
                link.stop.cancel();
            }
            return;
        }
    }
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
                link.heard.store(true, Ordering::Relaxed);
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
    let Ok(mut stream) = link.connection.accept_uni().await else { return };
    let mut reader = Reader::new(DATA_MAX);
    let mut touched = Touched::default();
    let mut pieces = vec![Bytes::new(); PIECES_MAX];
    while let Ok(Some(count)) = stream.read_chunks(&mut pieces).await {
        link.heard.store(true, Ordering::Relaxed);
        let (taken, congested) = take_batch(&shared, &mut reader, &mut pieces[..count], &mut touched);
        let fullest = touched.flush();
        if let Err(error) = taken {
            return reject(&shared, &link, &error);
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
            if raw.kind != Kind::Data {
                return Err(FrameError::Misplaced(raw.kind));
            }
            shared.plane.receive(raw.payload, batch, touched)?;
        }
        // A piece holds the whole packet that it came in.
        *piece = Bytes::new();
    }
    Ok(())
}

/// The peer broke the protocol.
pub(super) fn reject(shared: &Shared, link: &Link, reason: &dyn std::fmt::Display) {
    tracing::warn!(peer = %link.peer, name = link.name, %reason, "a peer broke the protocol; its link is closed");
    shared.plane.counters.links_rejected.add(1);
    close(&link.connection, code::PROTOCOL, &reason.to_string());
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

/// Why a link ended.
#[derive(Debug, thiserror::Error)]
enum Reason {
    #[error("ended in peace, or replaced by a newer link")]
    Stopped,
    #[error("{0}")]
    Closed(quinn::ConnectionError),
    #[error("nothing heard for {} ms", .0.as_millis())]
    Silent(Duration),
}

impl Reason {
    fn code(&self) -> u32 {
        match self {
            Self::Stopped | Self::Closed(_) => code::DONE,
            Self::Silent(_) => code::SILENT,
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
    #[error("instead of a welcome came {0:?}")]
    NotWelcome(Kind),
    #[error(transparent)]
    Greeting(#[from] GreetError),
    #[error(transparent)]
    Connection(#[from] quinn::ConnectionError),
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
