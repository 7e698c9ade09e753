//! What is at which path.

use super::lattice::Watched;
use super::query::Query;
use super::{index, metrics};
use bytes::Bytes;
use http_body_util::Full;
use hyper::header::{ACCESS_CONTROL_ALLOW_ORIGIN, CONTENT_TYPE, HeaderValue};
use hyper::{Request, Response, StatusCode};
use serde::Serialize;

const JSON: HeaderValue = HeaderValue::from_static("application/json");
const TEXT: HeaderValue = HeaderValue::from_static("text/plain; charset=utf-8");
const HTML: HeaderValue = HeaderValue::from_static("text/html; charset=utf-8");
const METRICS: HeaderValue = HeaderValue::from_static("application/openmetrics-text; version=1.0.0; charset=utf-8");

pub(super) type Answer = Response<Full<Bytes>>;

/// The paths of one server.
#[derive(Debug)]
pub(super) struct Endpoints {
    watched: Watched,
    /// What each path begins with: empty, or with a slash at its beginning and none at its end.
    base: String,
}

/// Why there is no answer.
enum Failure {
    /// The question cannot be read, or has none.
    Bad(String),
    Unknown,
}

impl From<String> for Failure {
    fn from(misread: String) -> Self {
        Self::Bad(misread)
    }
}

impl From<lattice_broker::monitor::BadQuestion> for Failure {
    fn from(question: lattice_broker::monitor::BadQuestion) -> Self {
        Self::Bad(question.to_string())
    }
}

impl Endpoints {
    pub(super) fn new(watched: Watched, base: &str) -> Self {
        let base = base.trim_matches('/');
        let base = if base.is_empty() { String::new() } else { format!("/{base}") };
        Self { watched, base }
    }

    pub(super) fn answer<B>(&self, request: &Request<B>) -> Answer {
        let path = request.uri().path().strip_prefix(&*self.base);
        let query = Query::new(request.uri().query().unwrap_or_default());
        let answer = path.ok_or(Failure::Unknown).and_then(|path| self.at(path, &query));
        answer.unwrap_or_else(|failure| match failure {
            Failure::Bad(why) => respond(StatusCode::BAD_REQUEST, TEXT, why),
            Failure::Unknown => respond(StatusCode::NOT_FOUND, TEXT, "404 page not found\n"),
        })
    }

    fn at(&self, path: &str, query: &Query) -> Result<Answer, Failure> {
        let monitor = &self.watched.monitor;
        let count = |path| monitor.count_request(path);
        match path {
            "" | "/" => {
                count("/");
                Ok(respond(StatusCode::OK, HTML, index::page(&self.watched.varz(), &self.base)))
            }
            "/metrics" => Ok(respond(StatusCode::OK, METRICS, metrics::text(&self.watched))),
            "/varz" => {
                count("/varz");
                Ok(json(&self.watched.varz()))
            }
            "/connz" => {
                count("/connz");
                Ok(json(&monitor.connz(&query.connz()?)?))
            }
            "/subsz" | "/subscriptionsz" => {
                count("/subsz");
                Ok(json(&monitor.subsz(&query.subsz()?)?))
            }
            "/accountz" => {
                count("/accountz");
                Ok(json(&monitor.accountz(&query.accountz())?))
            }
            "/accstatz" => {
                count("/accstatz");
                Ok(json(&monitor.accstatz(&query.accstatz()?)))
            }
            "/healthz" => {
                count("/healthz");
                query.flags(&["js-enabled", "js-enabled-only", "js-server-only", "js-meta-only", "details"])?;
                Ok(self.health())
            }
            path => self.elsewhere(path, query),
        }
    }

    /// What other servers are behind, of which a lone one has little to say.
    fn elsewhere(&self, path: &str, query: &Query) -> Result<Answer, Failure> {
        let monitor = &self.watched.monitor;
        let count = |path| monitor.count_request(path);
        match path {
            "/leafz" => {
                count("/leafz");
                query.flags(&["subs"])?;
                Ok(json(&self.watched.leafz()))
            }
            "/routez" => {
                count("/routez");
                query.subs()?;
                Ok(json(&monitor.routez()))
            }
            "/gatewayz" => {
                count("/gatewayz");
                query.flags(&["accs", "subs"])?;
                Ok(json(&monitor.gatewayz()))
            }
            "/jsz" => {
                count("/jsz");
                query.flags(&["accounts", "streams", "consumers", "config", "leader-only", "raft"])?;
                Ok(json(&monitor.jsz()))
            }
            _ => Err(Failure::Unknown),
        }
    }

    /// On one line, as probes like it.
    fn health(&self) -> Answer {
        let health = self.watched.monitor.healthz();
        let code = StatusCode::from_u16(health.status_code).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        shared(respond(code, JSON, encoded(serde_json::to_vec(&health))))
    }
}

fn json(data: &impl Serialize) -> Answer {
    shared(respond(StatusCode::OK, JSON, encoded(serde_json::to_vec_pretty(data))))
}

/// What an answer is made of has names for keys and no numbers that JSON has not: it always encodes.
fn encoded(text: serde_json::Result<Vec<u8>>) -> Vec<u8> {
    text.unwrap_or_default()
}

/// Pages of other servers may look at it.
fn shared(mut answer: Answer) -> Answer {
    answer.headers_mut().insert(ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
    answer
}

fn respond(code: StatusCode, kind: HeaderValue, body: impl Into<Bytes>) -> Answer {
    let mut answer = Response::new(Full::new(body.into()));
    *answer.status_mut() = code;
    answer.headers_mut().insert(CONTENT_TYPE, kind);
    answer
}
