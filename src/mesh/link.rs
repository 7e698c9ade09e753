//! One link from its first frame to its last: greet, carry, end.
//!
//! A link is a QUIC connection with one control stream and a few data streams in each direction, and datagrams as
//! heartbeats. This file moves bytes between the control streams and the node, and knows when the link begins and ends; the
//! data streams are `link/data.rs`'s, whether the link lives is left to `watcher.rs`, what
//! the control frames mean, to `control.rs`, where data goes, to `plane.rs`, who may connect at all, to `quic.rs`.

mod data;

use super::custody;
use super::events::What;
use super::frame::{ControlFrame, FrameError, Goodbye, Hello, Kind, Reader, TRACE};
use super::frame_queue::FrameQueue;
use super::greeting::GreetError;
use super::links::{Link, LinkId};
use super::quic::{Connected, WINDOW, close as code, plain};
use super::shared::{Input, Shared};
use super::streams::Streams;
use super::watcher::{Health, Reason, watch};
use crate::planted::{self, Bug};
use bytes::Bytes;
use quinn::{Connection, ConnectionError, RecvStream, SendStream, VarInt};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio_util::sync::{CancellationToken, DropGuard};
use tokio_util::task::TaskTracker;

/// Most bytes that one read of a control stream takes.
const READ_MAX: usize = 256 << 10;
/// How long the last bytes of a link that ends in peace may take.
const FAREWELL_MAX: Duration = Duration::from_secs(2);

/// QUIC lets streams with a greater priority go first: control, what is in no row, streams with little under way, others.
const CONTROL_PRIORITY: i32 = 3;

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
        data: Streams::new(
            shared.config.link_bytes_max,
            shared.config.link_bytes_max.min(WINDOW as usize),
            Arc::clone(&shared.plane.ring),
        ),
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
    let written = TaskTracker::new();
    shared.env.spawn(written.track_future(data::write(Arc::clone(&link))));
    written.close();
    let peer_is_done = CancellationToken::new();
    let reader = data::read(Arc::clone(shared), Arc::clone(&link), peer_is_done.clone());
    shared.env.spawn(streams.track_future(reader));
    shared.env.spawn(streams.track_future(read_control(
        Arc::clone(shared),
        Arc::clone(&link),
        control_in,
        peer_is_done.drop_guard(),
    )));
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
        farewell(shared, &link, &written, &streams).await;
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
async fn farewell(shared: &Shared, link: &Link, written: &TaskTracker, streams: &TaskTracker) {
    link.send(&ControlFrame::Goodbye(Goodbye { reason: "this node ends the link".into() }));
    link.data.finish();
    let receipts = async {
        while let Ok(datagram) = link.connection.read_datagram().await {
            take_receipt(shared, link, &datagram);
        }
    };
    let settled = async {
        // Its end tells the peer that no other data stream will come.
        written.wait().await;
        link.control.finish();
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
        && let Err(error) = link.data.acknowledge(datagram)
    {
        reject(shared, link, &error);
    }
}

/// Writes what gathers for the control stream, as long as the connection lives.
async fn write_control(link: Arc<Link>, mut stream: SendStream) {
    // It fails when the connection is gone, and then so does the first write.
    let _ = stream.set_priority(CONTROL_PRIORITY);
    while let Some(mut pieces) = link.control.take().await {
        if stream.write_all_chunks(&mut pieces).await.is_err() {
            return give_up(&link);
        }
    }
    finish(stream).await;
}

/// A stream cannot be written any more. A peer that stops one on a connection that lives on has no use for the link.
fn give_up(link: &Link) {
    if link.connection.close_reason().is_none() {
        link.stop.cancel();
    }
}

/// Ends a stream and waits until all of it has arrived.
async fn finish(mut stream: SendStream) {
    // Both fail only when the connection is gone, and then there is nothing left to wait for.
    if stream.finish().is_ok() {
        let _ = stream.stopped().await;
    }
}

/// Reads the control stream to its end, and lets go of `_until_done` then: the peer's data streams have all come by that time.
async fn read_control(shared: Arc<Shared>, link: Arc<Link>, mut stream: ControlReader, _until_done: DropGuard) {
    loop {
        match stream.next().await {
            Ok(ControlFrame::Goodbye(goodbye)) => {
                tracing::debug!(peer = %link.peer, reason = goodbye.reason, "the peer says goodbye");
                link.stop.cancel();
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
