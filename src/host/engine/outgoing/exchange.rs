//! One request by HTTP that a component makes, from what it hands over to the head of the answer; the rest is `body.rs`'s. HTTP/1.1, over
//! a connection of its own.

use super::Places;
use super::allow::Asked;
use super::body::{Answer, Upload};
use super::connect::connect;
use super::fault::broken;
use super::trust::Trust;
use crate::host::engine::call::Limit;
use crate::host::engine::clocks::{TimeIsUp, within};
use crate::host::engine::limiter::Share;
use crate::host::engine::live::Live;
use crate::hyper_io::Transport;
use http_body_util::BodyExt as _;
use hyper::body::{Body as _, Incoming};
use hyper::client::conn::http1;
use hyper::header::{CONNECTION, CONTENT_LENGTH, HOST, HeaderMap, HeaderValue};
use hyper::{Method, Request, Response, StatusCode, Uri};
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;
use wasmtime_wasi_http::{Error, RequestOptions, WasiBody};

/// Bytes of the head of an answer, and its fields.
pub(super) const HEAD_BYTES_MAX: usize = 16 << 10;
const FIELDS_MAX: usize = 100;

/// Bytes that a connection reads ahead, and as many that wait to be written.
const BUFFER_BYTES: usize = 32 << 10;

/// Bytes of memory that a request is charged with while it is in hand: what its connection buffers, with the records of TLS below.
const PRICE_BYTES: u64 = 256 << 10;

/// An answer, and what drives its connection while its body is read.
pub(super) type Sent = Result<(Response<WasiBody>, Box<dyn Future<Output = Result<(), Error>> + Send>), Error>;

/// What a request takes while it is in hand.
#[derive(Debug)]
pub(super) struct Held {
    _places: Places,
    _memory: Share,
}

/// How long is waited for what.
#[derive(Clone, Copy, Debug)]
struct Patience {
    connect: Duration,
    first_byte: Duration,
    between_bytes: Duration,
}

/// A request that may be made.
pub(super) struct Exchange {
    live: Arc<Live>,
    asked: Asked,
    trust: Trust,
    request: Request<Upload>,
    patience: Patience,
    held: Arc<Held>,
}

impl Exchange {
    /// Looks whether a component may make `request`, and takes what it needs.
    ///
    /// # Errors
    /// What the component is to be told.
    pub(super) fn begin(live: &Arc<Live>, request: Request<WasiBody>, options: RequestOptions) -> Result<Self, Error> {
        if request.method() == Method::CONNECT {
            return Err(Error::HttpRequestMethodInvalid);
        }
        let asked = Asked::of(request.uri())?;
        let Some(trust) = live.asking.allow.find(&asked).cloned() else {
            tracing::debug!(component = %live.id, host = %asked.header(), "may not be asked: no link allows it");
            return Err(Error::HttpRequestDenied);
        };
        let bounds = &live.bounds;
        let max = bounds.asking_body_bytes_max;
        if length(request.headers()).is_some_and(|length| length > max) {
            return Err(Error::HttpRequestBodySize(Some(max)));
        }
        let places = live.asking.place().ok_or(Error::ConnectionLimitReached)?;
        let mut memory = Share::of(&live.budget);
        memory.take(PRICE_BYTES).map_err(|limit: Limit| Error::InternalError(Some(limit.to_string())))?;
        let patience = Patience {
            connect: at_most(options.connect_timeout, bounds.asking_connect),
            first_byte: at_most(options.first_byte_timeout, bounds.asking_wait),
            between_bytes: at_most(options.between_bytes_timeout, bounds.asking_wait),
        };
        let request = request.map(|body| Upload::new(body, max));
        let held = Arc::new(Held { _places: places, _memory: memory });
        Ok(Self { live: live.clone(), asked, trust, request, patience, held })
    }

    /// Makes it, and waits for the head of the answer. Dropping the future gives up the connection.
    pub(super) async fn run(self) -> Sent {
        let Self { live, asked, trust, request, patience, held } = self;
        let stream = connect(&live, &asked, &trust, patience.connect).await?;
        let mut builder = http1::Builder::new();
        builder.max_buf_size(BUFFER_BYTES).max_header_size(HEAD_BYTES_MAX).max_headers(FIELDS_MAX);
        let opened = builder.handshake::<_, Upload>(Transport(stream)).await;
        let (mut sender, mut connection) = opened.map_err(|error| broken(&error))?;
        let sending = sender.send_request(framed(request, &asked));
        let head = within(patience.first_byte, async {
            let mut sending = pin!(sending);
            tokio::select! {
                biased;
                head = &mut sending => Ok((head?, false)),
                // An answer may have come with the end, and count although what was sent was not wanted to its end.
                ended = &mut connection => match sending.await {
                    Ok(head) => Ok((head, true)),
                    Err(error) => {
                        ended?;
                        Err(error)
                    }
                },
            }
        });
        let head = head.await.map_err(|TimeIsUp| Error::ConnectionReadTimeout)?;
        let (answer, is_over) = head.map_err(|error: hyper::Error| broken(&error))?;
        let max = live.bounds.asking_body_bytes_max;
        check(&answer, max)?;
        let answer =
            answer.map(|body| Answer::new(body, max, patience.between_bytes, Arc::clone(&held)).boxed_unsync());
        let rest = async move {
            // The connection goes on after the answer's end, as long as the component sends.
            let _held = held;
            if !is_over {
                // Who reads the body is told.
                drop(connection.await);
            }
            Ok(())
        };
        Ok((answer, Box::new(rest)))
    }
}

fn at_most(wanted: Option<Duration>, max: Duration) -> Duration {
    wanted.map_or(max, |wanted| wanted.min(max))
}

fn length(headers: &HeaderMap) -> Option<u64> {
    headers.get(CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

/// As it goes over a connection to whom is asked, which is for this request alone.
fn framed(mut request: Request<Upload>, asked: &Asked) -> Request<Upload> {
    let path = request.uri().path_and_query().cloned();
    *request.uri_mut() = path.map_or_else(|| Uri::from_static("/"), Uri::from);
    let headers = request.headers_mut();
    headers.insert(CONNECTION, HeaderValue::from_static("close"));
    // Nothing but letters, digits and what is between them.
    if let Ok(host) = HeaderValue::try_from(asked.header()) {
        headers.insert(HOST, host);
    }
    request
}

fn check(answer: &Response<Incoming>, max: u64) -> Result<(), Error> {
    if answer.status() == StatusCode::SWITCHING_PROTOCOLS {
        return Err(Error::HttpUpgradeFailed);
    }
    if answer.body().size_hint().lower() > max {
        return Err(Error::HttpResponseBodySize(Some(max)));
    }
    Ok(())
}
