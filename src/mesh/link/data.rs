//! The data streams of a link: opened and written as there is something for them, accepted and read as the peer opens them.
//!
//! One task writes and one reads, with a future for each stream, so that no stream waits for another: what a
//! stream's next hop or subscriber has no room for holds up that stream alone. What waits for them is left to `streams.rs`,
//! what the frames mean, to `plane.rs`.

use super::{finish, give_up, reject};
use crate::mesh::custody::Receipt;
use crate::mesh::frame::{DATA_MAX, FrameError, Kind, Reader, STREAMS, URGENT};
use crate::mesh::links::Link;
use crate::mesh::plane::{Batch, Touched};
use crate::mesh::shared::Shared;
use crate::ports::BoxFuture;
use bytes::Bytes;
use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use quinn::{RecvStream, SendStream};
use std::sync::{Arc, Mutex, MutexGuard};
use std::task::Poll;
use std::time::Instant;
use tokio::sync::{Notify, Semaphore};
use tokio_util::sync::CancellationToken;

/// Most pieces, each of at most one packet, that one read of a data stream takes: what they bring is handed on together.
const PIECES_MAX: usize = 64;
/// Room for so many is made at first: most streams never have more at a time.
const PIECES_FIRST: usize = 4;
/// A reader waits while more than this many bytes wait for the same stream of the next link: the peer is slowed down by flow
/// control.
const FORWARD_PENDING_MAX: usize = 1 << 20;

/// Priorities of streams beside the control stream's, which is greater.
const URGENT_PRIORITY: i32 = 2;
const LIGHT_PRIORITY: i32 = 1;
const BULK_PRIORITY: i32 = 0;
/// A stream is a light one while no more than this has been written and not been taken by the peer…
const LIGHT_MAX: usize = 16 << 10;
/// …and an urgent one goes first while it is no more than this: who floods it gets no more than its turn.
const URGENT_MAX: usize = 64 << 10;
/// Of a frame that is not whole each stream may have so much; more than that one of them at a time.
const UNFINISHED_MAX: usize = 256 << 10;

/// Writes the data streams of a link: opens one for each buffer that is new. Ends once [`Streams::finish`] was called and all
/// has arrived, or with the connection.
///
/// [`Streams::finish`]: crate::mesh::streams::Streams::finish
pub(super) async fn write(link: Arc<Link>) {
    let (mut writers, mut is_opening) = (FuturesUnordered::new(), true);
    while is_opening || !writers.is_empty() {
        tokio::select! {
            biased;
            number = link.data.unopened(), if is_opening => match number {
                Some(number) => {
                    let Ok(stream) = link.connection.open_uni().await else { return };
                    writers.push(write_stream(&link, number, stream));
                }
                None => is_opening = false,
            },
            Some(()) = writers.next(), if !writers.is_empty() => {}
        }
    }
}

/// Writes what gathers for a stream, as long as the connection lives.
async fn write_stream(link: &Link, number: u8, mut stream: SendStream) {
    let (buffer, mut priority) = (link.data.buffer(number), BULK_PRIORITY);
    if stream.write_all(&[number]).await.is_err() {
        return give_up(link);
    }
    while let Some(mut pieces) = buffer.take().await {
        let due = match buffer.kept() {
            ..=URGENT_MAX if number == URGENT => URGENT_PRIORITY,
            ..=LIGHT_MAX => LIGHT_PRIORITY,
            _ => BULK_PRIORITY,
        };
        if due != priority {
            // It fails when the connection is gone, and then so does the write.
            let _ = stream.set_priority(due);
            priority = due;
        }
        if stream.write_all_chunks(&mut pieces).await.is_err() {
            return give_up(link);
        }
    }
    finish(stream).await;
}

/// What has been taken of all streams, for the task that tells the peer.
#[derive(Debug)]
struct Receipts {
    state: Mutex<Taken>,
    /// Woken when something is to be told earlier than that task wakes.
    news: Notify,
    /// The one large frame that may be unfinished; others are left to QUIC meanwhile, which slows the peer down.
    large: Semaphore,
}

#[derive(Debug, Default)]
struct Taken {
    receipt: Receipt,
    /// When that task wakes.
    wakes_at: Option<Instant>,
    /// Bits of the streams that there are.
    seen: u16,
}

impl Receipts {
    fn new() -> Self {
        Self { state: Mutex::default(), news: Notify::new(), large: Semaphore::new(1) }
    }

    fn lock(&self) -> MutexGuard<'_, Taken> {
        self.state.lock().expect("no holder of this lock panics")
    }

    /// When something is to be told next. The caller wakes then.
    fn due(&self) -> Option<Instant> {
        let mut taken = self.lock();
        taken.wakes_at = taken.receipt.due();
        taken.wakes_at
    }

    /// Notes a new stream.
    fn begin(&self, number: u8) -> Result<(), BadStream> {
        if usize::from(number) >= STREAMS {
            return Err(BadStream::Unknown(number));
        }
        let (mut taken, bit) = (self.lock(), 1 << number);
        if taken.seen & bit != 0 {
            return Err(BadStream::Twice(number));
        }
        taken.seen |= bit;
        Ok(())
    }

    /// Tells the peer what has been taken of all streams.
    fn tell(&self, link: &Link, now: Instant) {
        if let Some(datagram) = self.lock().receipt.tell(now) {
            // When it cannot be sent the connection is gone, and the peer keeps what it has.
            drop(link.connection.send_datagram(datagram));
        }
    }
}

/// The peer opened a stream that it may not open.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
enum BadStream {
    #[error("data stream {0}, where {STREAMS} are all")]
    Unknown(u8),
    #[error("data stream {0} a second time")]
    Twice(u8),
}

/// Reads the data streams of a link as the peer opens them, and tells it at the right times what has been taken of them. Ends
/// when the peer has finished them; `peer_is_done` says that no other will come.
pub(super) async fn read(shared: Arc<Shared>, link: Arc<Link>, peer_is_done: CancellationToken) {
    let (receipts, mut readers) = (Receipts::new(), FuturesUnordered::new());
    let mut timer = shared.env.timer(shared.env.now());
    let mut is_accepting = true;
    while is_accepting || !readers.is_empty() {
        let at = receipts.due();
        if let Some(at) = at {
            timer.as_mut().reset(at);
        }
        let due = std::future::poll_fn(|cx| if at.is_some() { timer.as_mut().poll(cx) } else { Poll::Pending });
        tokio::select! {
            biased;
            stream = link.connection.accept_uni(), if is_accepting => match stream {
                Ok(stream) => readers.push(read_stream(&shared, &link, stream, &receipts)),
                Err(_) => is_accepting = false,
            },
            Some(()) = readers.next(), if !readers.is_empty() => {}
            // Unless it has been told meanwhile.
            () = due => if receipts.lock().receipt.due().is_some_and(|due| due <= shared.env.now()) {
                receipts.tell(&link, shared.env.now());
            },
            () = receipts.news.notified() => {}
            () = peer_is_done.cancelled(), if is_accepting => is_accepting = false,
        }
    }
}

async fn read_stream(shared: &Shared, link: &Link, mut stream: RecvStream, receipts: &Receipts) {
    let mut number = [0];
    if stream.read_exact(&mut number).await.is_err() {
        return;
    }
    let [number] = number;
    if let Err(error) = receipts.begin(number) {
        return reject(shared, link, &error);
    }
    let mut reader = Reader::new(DATA_MAX);
    let mut touched = Touched::default();
    let (mut pieces, mut received, mut large) = (vec![Bytes::new(); PIECES_FIRST], 0, None);
    while let Ok(Some(count)) = stream.read_chunks(&mut pieces).await {
        link.hear(shared.env.now());
        received += pieces[..count].iter().map(|piece| piece.len() as u64).sum::<u64>();
        let (taken, congested) = take_batch(shared, &mut reader, &mut pieces[..count], &mut touched);
        let fullest = touched.flush();
        if let Err(error) = taken {
            return reject(shared, link, &error);
        }
        note(shared, link, receipts, number, received - reader.unfinished() as u64);
        if let Some((pending, next, stream)) = fullest
            && pending > FORWARD_PENDING_MAX
        {
            let drained = next.data.buffer(stream).drained(FORWARD_PENDING_MAX);
            // Never without a limit: links that wait for each other in a circle would wait for ever.
            let _ = shared.env.timeout(shared.config.stall_max, drained).await;
        }
        if let Some(ready) = congested {
            ready.await;
        }
        if count == pieces.len() && count < PIECES_MAX {
            pieces.resize(PIECES_MAX, Bytes::new());
        }
        match reader.unfinished() {
            ..=UNFINISHED_MAX => large = None,
            _ if large.is_some() => {}
            // It is never closed.
            _ => large = receipts.large.acquire().await.ok(),
        }
    }
    // The peer has said all it had to say, and may wait to hear that it has arrived.
    receipts.tell(link, shared.env.now());
}

/// Notes how much of a stream has been taken, and tells the peer if that is much.
fn note(shared: &Shared, link: &Link, receipts: &Receipts, stream: u8, taken: u64) {
    let (sooner, is_large) = {
        let Taken { receipt, wakes_at, .. } = &mut *receipts.lock();
        let due = receipt.took(|| shared.env.now(), stream, taken);
        (due.is_some_and(|due| wakes_at.is_none_or(|wakes_at| due < wakes_at)), receipt.is_large())
    };
    if is_large {
        receipts.tell(link, shared.env.now());
    } else if sooner {
        receipts.news.notify_one();
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
