//! HTTP with those who ask: connections are taken in, requests read whole, and answered by the component that they are for.
//!
//! Bounds, of all servers of a host together: [`CONNECTIONS_MAX`] connections, further ones are closed at once; [`BODIES_KIB`] of
//! bodies of requests in memory, beyond which requests are refused (503), and as much of answers. Each connection has [`HEAD_TIMEOUT`] for a head, of
//! [`HEAD_MAX`] bytes and [`HEADERS_MAX`] fields, and between two requests; [`BODY_TIMEOUT`] for a body of at most [`BODY_MAX`]
//! bytes (413); [`SEND_TIMEOUT`] to take an answer; and ends after [`LIFE_MAX`].

use super::elsewhere::Elsewhere;
use super::site::Site;
use crate::host::runner::{HttpError, HttpRequest, HttpResponse, Runner};
use crate::hyper_io::{Clock, Transport};
use arc_swap::ArcSwap;
use bytes::{Bytes, BytesMut};
use http_body_util::BodyExt as _;
use hyper::body::{Body, Frame, Incoming, SizeHint};
use hyper::header::{CONNECTION, CONTENT_LENGTH, CONTENT_TYPE, HOST, HeaderValue, TRANSFER_ENCODING};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use lattice_broker::env::{Env, Listener, Stream};
use std::convert::Infallible;
use std::future::poll_fn;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// Connections at a time.
const CONNECTIONS_MAX: usize = 512;
/// Memory for the bodies of requests, and as much for those of answers: whoever sends slowly keeps nobody from being answered.
const BODIES_KIB: usize = 32 << 10;
/// Bytes of a request's body.
const BODY_MAX: usize = 4 << 20;
const BODY_TIMEOUT: Duration = Duration::from_secs(30);
const HEAD_TIMEOUT: Duration = Duration::from_secs(30);
const HEAD_MAX: usize = 16 << 10;
const HEADERS_MAX: usize = 100;
/// What is not sent by then has a peer that does not read, and would keep others from being answered.
const SEND_TIMEOUT: Duration = Duration::from_secs(120);
/// How often that is looked at.
const TICK: Duration = Duration::from_secs(10);
/// Bytes of a body that are handed on at a time.
const CHUNK: usize = 16 << 10;
const LIFE_MAX: Duration = Duration::from_secs(600);
/// What a connection gets to finish its last answer.
const FAREWELL: Duration = Duration::from_secs(10);
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// What all servers of a host share.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) env: Env,
    pub(super) runner: Arc<dyn Runner>,
    pub(super) tasks: TaskTracker,
    pub(super) elsewhere: Elsewhere,
    places: Arc<Semaphore>,
    bodies: Arc<Semaphore>,
    answers: Arc<Semaphore>,
}

impl Shared {
    pub(super) fn new(env: Env, runner: Arc<dyn Runner>, elsewhere: Elsewhere) -> Self {
        Self {
            env,
            runner,
            tasks: TaskTracker::new(),
            elsewhere,
            places: Arc::new(Semaphore::new(CONNECTIONS_MAX)),
            bodies: Arc::new(Semaphore::new(BODIES_KIB)),
            answers: Arc::new(Semaphore::new(BODIES_KIB)),
        }
    }

    /// Room for a request of another host; `None` when there is none.
    pub(super) fn take(&self, bytes: usize) -> Option<(OwnedSemaphorePermit, Option<OwnedSemaphorePermit>)> {
        let place = Arc::clone(&self.places).try_acquire_owned().ok()?;
        Some((place, room(&self.bodies, bytes).ok()?))
    }

    /// Has the component answer, here or where it runs. Who has just stopped it has executed nothing: then another is asked, once.
    async fn answer(&self, component: &str, request: HttpRequest) -> Result<HttpResponse, HttpError> {
        let first = if self.runner.runs(component) {
            self.runner.answer(component, request.clone()).await
        } else {
            self.elsewhere.ask(component, &request).await
        };
        match first {
            Err(HttpError::Missing) => self.elsewhere.ask(component, &request).await,
            done => done,
        }
    }
}

/// Room for so many bytes; `None` for none, which need no room.
fn room(of: &Arc<Semaphore>, bytes: usize) -> Result<Option<OwnedSemaphorePermit>, Refused> {
    if bytes == 0 {
        return Ok(None);
    }
    let kib = u32::try_from(bytes.div_ceil(1024)).unwrap_or(u32::MAX);
    let room = Arc::clone(of).try_acquire_many_owned(kib);
    room.map(Some).map_err(|_| Refused(StatusCode::SERVICE_UNAVAILABLE, "the host has no room for more requests"))
}

/// Takes connections in until `stop`, which lets those that are there finish what is in hand.
pub(super) async fn accept(
    shared: Arc<Shared>,
    mut listener: Box<dyn Listener>,
    site: Arc<ArcSwap<Site>>,
    stop: CancellationToken,
) {
    loop {
        let accepted = tokio::select! {
            biased;
            () = stop.cancelled() => return,
            accepted = poll_fn(|cx| listener.poll_accept(cx)) => accepted,
        };
        match accepted {
            Ok(stream) => {
                let Ok(place) = Arc::clone(&shared.places).try_acquire_owned() else { continue };
                let (serving, site, stop) = (Arc::clone(&shared), Arc::clone(&site), stop.clone());
                shared.env.spawn(shared.tasks.track_future(async move {
                    serve(serving, stream, site, stop).await;
                    drop(place);
                }));
            }
            Err(error) => {
                tracing::debug!(%error, "cannot accept a connection for a component");
                // Often a lack of descriptors, against which only waiting helps.
                shared.env.sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

async fn serve(shared: Arc<Shared>, stream: Arc<dyn Stream>, site: Arc<ArcSwap<Site>>, stop: CancellationToken) {
    let env = shared.env.clone();
    let sending = Sending::default();
    let service = service_fn({
        let sending = sending.clone();
        move |request| {
            let (shared, site, sending) = (Arc::clone(&shared), site.load_full(), sending.clone());
            async move {
                let answered = answer(&shared, &site, request).await;
                let mut answered = answered.unwrap_or_else(Refused::response);
                answered.body_mut().begin(sending, shared.env.now());
                Ok::<_, Infallible>(answered)
            }
        }
    });
    let connection = http1::Builder::new()
        .timer(Clock(env.clone()))
        .header_read_timeout(HEAD_TIMEOUT)
        .max_buf_size(HEAD_MAX)
        .max_headers(HEADERS_MAX)
        // It would be the system's clock, which is not the one that this goes by.
        .auto_date_header(false)
        .serve_connection(Transport(stream), service);
    let mut connection = std::pin::pin!(connection);
    tokio::select! {
        biased;
        // A peer that goes away in the middle is no failure of ours.
        _ = connection.as_mut() => return,
        () = stop.cancelled() => {}
        is_over = outlived(&env, &sending) => if is_over == Over::Stalled { return },
    }
    connection.as_mut().graceful_shutdown();
    drop(env.timeout(FAREWELL, connection).await);
}

/// Since when an answer is being sent, if one is.
#[derive(Clone, Debug, Default)]
struct Sending(Arc<Mutex<Option<Instant>>>);

impl Sending {
    fn set(&self, since: Option<Instant>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = since;
    }

    fn since(&self) -> Option<Instant> {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Why a connection ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Over {
    /// It has been there long enough.
    Old,
    /// Its peer does not read.
    Stalled,
}

async fn outlived(env: &Env, sending: &Sending) -> Over {
    let begun = env.now();
    loop {
        env.sleep(TICK).await;
        let now = env.now();
        if sending.since().is_some_and(|since| now.saturating_duration_since(since) >= SEND_TIMEOUT) {
            return Over::Stalled;
        }
        if now.saturating_duration_since(begun) >= LIFE_MAX {
            return Over::Old;
        }
    }
}

/// A request that no component has answered, and what its sender is told.
struct Refused(StatusCode, &'static str);

impl Refused {
    fn response(self) -> Response<Held> {
        let Self(status, why) = self;
        let mut response = Response::new(Held::new(Bytes::from(format!("{why}\n")), None));
        *response.status_mut() = status;
        response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
        response
    }
}

impl From<HttpError> for Refused {
    /// Of what has gone wrong inside a component strangers are told nothing.
    fn from(error: HttpError) -> Self {
        match error {
            HttpError::Missing => {
                Self(StatusCode::SERVICE_UNAVAILABLE, "the component runs on no host that can be reached")
            }
            HttpError::NoHandler => Self(StatusCode::BAD_GATEWAY, "the component has nothing that answers HTTP"),
            HttpError::Busy => Self(StatusCode::SERVICE_UNAVAILABLE, "the component has no room for more requests"),
            HttpError::Late => Self(StatusCode::GATEWAY_TIMEOUT, "the component has not answered in time"),
            HttpError::RequestTooLong => {
                Self(StatusCode::PAYLOAD_TOO_LARGE, "a body that is too long for a component on another host")
            }
            HttpError::AnswerTooLong => Self(StatusCode::BAD_GATEWAY, "an answer that is too long from another host"),
            HttpError::Lost => Self(StatusCode::BAD_GATEWAY, "the host was lost on which the component runs"),
            HttpError::Failed => Self(StatusCode::INTERNAL_SERVER_ERROR, "the component has failed"),
        }
    }
}

async fn answer(shared: &Shared, site: &Site, request: Request<Incoming>) -> Result<Response<Held>, Refused> {
    if request.method() == Method::CONNECT {
        return Err(Refused(StatusCode::METHOD_NOT_ALLOWED, "this is no proxy"));
    }
    if request.headers().get_all(HOST).iter().nth(1).is_some() {
        return Err(Refused(StatusCode::BAD_REQUEST, "the header host is there twice"));
    }
    // What a target names goes before the header (RFC 9112, section 3.2.2).
    let target = request.uri().authority().map(hyper::http::uri::Authority::as_str);
    let header = |name: &str| match target.filter(|_| name.eq_ignore_ascii_case(HOST.as_str())) {
        Some(target) => Some(target),
        None => request.headers().get(name).and_then(|value| value.to_str().ok()),
    };
    if header(HOST.as_str()).is_none_or(str::is_empty) {
        return Err(Refused(StatusCode::BAD_REQUEST, "the header host is missing"));
    }
    let found = site.routes.find(request.uri().path(), header);
    let component = found.map_err(|refusal| match refusal {
        super::site::Refusal::Path => Refused(StatusCode::NOT_FOUND, "nothing is served at this path"),
        super::site::Refusal::Host => Refused(StatusCode::NOT_FOUND, "nothing is served under this name"),
    })?;
    let is_head = request.method() == Method::HEAD;
    let (head, body) = request.into_parts();
    let (body, room) = read(shared, body).await?;
    let answer = shared.answer(component, Request::from_parts(head, body)).await?;
    drop(room);
    finish(shared, answer, is_head)
}

/// A body as far as it has come, and the room that it takes.
type Read = (BytesMut, Vec<OwnedSemaphorePermit>);

/// The whole body of a request, and the room that it takes.
async fn read(shared: &Shared, body: Incoming) -> Result<(Bytes, Vec<OwnedSemaphorePermit>), Refused> {
    if body.size_hint().lower() > BODY_MAX as u64 {
        return Err(TOO_LONG);
    }
    let (whole, held) = shared
        .env
        .timeout(BODY_TIMEOUT, collect(shared, body))
        .await
        .map_err(|_| Refused(StatusCode::REQUEST_TIMEOUT, "the body has not come in time"))??;
    Ok((whole.freeze(), held))
}

const TOO_LONG: Refused = Refused(StatusCode::PAYLOAD_TOO_LARGE, "a body of more than 4194304 bytes");

/// Copies what comes into one piece: each of many small ones would take many times its length. Room is taken as it fills.
async fn collect(shared: &Shared, mut body: Incoming) -> Result<Read, Refused> {
    let (mut whole, mut held, mut room_for) = (BytesMut::new(), Vec::new(), 0);
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|_| Refused(StatusCode::BAD_REQUEST, "the body breaks off"))?;
        let Ok(data) = frame.into_data() else { continue };
        let len = whole.len() + data.len();
        if len > BODY_MAX {
            return Err(TOO_LONG);
        }
        if len > room_for {
            // Twice as much as before at least: that is how the buffer grows.
            let more = (len - room_for).max(room_for).max(CHUNK);
            held.extend(room(&shared.bodies, more)?);
            room_for += more;
        }
        whole.extend_from_slice(&data);
    }
    Ok((whole, held))
}

/// The answer as it is sent: how it is framed is for this side to say.
fn finish(shared: &Shared, answer: HttpResponse, is_head: bool) -> Result<Response<Held>, Refused> {
    if answer.status().is_informational() {
        return Err(HttpError::Failed.into());
    }
    let room = room(&shared.answers, answer.body().len())?;
    let mut response = answer.map(|body| Held::new(body, room));
    let headers = response.headers_mut();
    headers.remove(CONNECTION);
    headers.remove(TRANSFER_ENCODING);
    // Without a body it says how long that would be.
    if !is_head {
        headers.remove(CONTENT_LENGTH);
    }
    Ok(response)
}

/// The body of an answer, with the room that it takes until it is sent. It is handed on in pieces, so that this is known.
struct Held {
    rest: Bytes,
    _room: Option<OwnedSemaphorePermit>,
    sending: Sending,
}

impl Held {
    fn new(rest: Bytes, room: Option<OwnedSemaphorePermit>) -> Self {
        Self { rest, _room: room, sending: Sending::default() }
    }

    fn begin(&mut self, sending: Sending, now: Instant) {
        sending.set(Some(now));
        self.sending = sending;
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.sending.set(None);
    }
}

impl Body for Held {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(mut self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let len = self.rest.len().min(CHUNK);
        let chunk = self.rest.split_to(len);
        Poll::Ready((len > 0).then(|| Ok(Frame::data(chunk))))
    }

    fn is_end_stream(&self) -> bool {
        self.rest.is_empty()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.rest.len() as u64)
    }
}
