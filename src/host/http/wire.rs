//! Requests by HTTP and their answers as hosts hand them to each other: each one record, whole. Sans-IO.

use crate::codec::{self, Decode, Encode};
use crate::host::runner::{HttpError, HttpRequest, HttpResponse};
use bytes::Bytes;
use hyper::header::{HeaderMap, HeaderName, HeaderValue};
use hyper::{Method, Request, Response, StatusCode, Uri};

#[derive(Encode, Decode)]
struct Asked {
    method: String,
    uri: String,
    headers: Vec<(String, Vec<u8>)>,
    body: Vec<u8>,
}

#[derive(Encode, Decode)]
struct Given {
    status: u16,
    headers: Vec<(String, Vec<u8>)>,
    body: Vec<u8>,
}

/// What a host says to who has asked it.
#[derive(Encode, Decode)]
enum Said {
    /// It is at work, and will say more.
    Working,
    /// What comes next has so many bytes, which may take their time.
    Long(u64),
    /// It is done.
    Done(Result<Given, HttpError>),
}

/// What a host says to who has asked it, as it is understood.
#[derive(Debug)]
pub(super) enum Word {
    /// It is at work, and will say more.
    Working,
    /// An answer of so many bytes comes next.
    Long(u64),
    /// The answer.
    Answer(Result<HttpResponse, HttpError>),
}

pub(super) fn encode_working() -> Vec<u8> {
    codec::encode(&Said::Working)
}

pub(super) fn encode_long(bytes: usize) -> Vec<u8> {
    codec::encode(&Said::Long(bytes as u64))
}

pub(super) fn encode_request(request: &HttpRequest) -> Vec<u8> {
    codec::encode(&Asked {
        method: request.method().to_string(),
        uri: request.uri().to_string(),
        headers: list(request.headers()),
        body: request.body().to_vec(),
    })
}

/// `None`: those are no request.
pub(super) fn decode_request(bytes: &[u8]) -> Option<HttpRequest> {
    let Asked { method, uri, headers, body } = codec::decode(bytes).ok()?;
    let mut request = Request::new(Bytes::from(body));
    *request.method_mut() = Method::from_bytes(method.as_bytes()).ok()?;
    *request.uri_mut() = uri.parse::<Uri>().ok()?;
    *request.headers_mut() = map(headers)?;
    Some(request)
}

/// What is longer than `max` becomes an error that says so.
pub(super) fn encode_answer(answer: &Result<HttpResponse, HttpError>, max: usize) -> Vec<u8> {
    let given = answer.as_ref().map_err(|error| *error).map(|response| Given {
        status: response.status().as_u16(),
        headers: list(response.headers()),
        body: response.body().to_vec(),
    });
    let bytes = codec::encode(&Said::Done(given));
    if bytes.len() <= max { bytes } else { codec::encode(&Said::Done(Err(HttpError::AnswerTooLong))) }
}

/// `None`: those are no words.
pub(super) fn decode_word(bytes: &[u8]) -> Option<Word> {
    let Given { status, headers, body } = match codec::decode::<Said>(bytes).ok()? {
        Said::Working => return Some(Word::Working),
        Said::Long(bytes) => return Some(Word::Long(bytes)),
        Said::Done(Err(error)) => return Some(Word::Answer(Err(error))),
        Said::Done(Ok(given)) => given,
    };
    let mut response = Response::new(Bytes::from(body));
    *response.status_mut() = StatusCode::from_u16(status).ok()?;
    *response.headers_mut() = map(headers)?;
    Some(Word::Answer(Ok(response)))
}

fn list(headers: &HeaderMap) -> Vec<(String, Vec<u8>)> {
    headers.iter().map(|(name, value)| (name.to_string(), value.as_bytes().to_vec())).collect()
}

fn map(list: Vec<(String, Vec<u8>)>) -> Option<HeaderMap> {
    let mut headers = HeaderMap::new();
    for (name, value) in list {
        let name = HeaderName::from_bytes(name.as_bytes()).ok()?;
        headers.try_append(name, HeaderValue::from_maybe_shared(Bytes::from(value)).ok()?).ok()?;
    }
    Some(headers)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_and_answers_come_as_they_went() {
        let request = Request::post("/a/b?c=%20").header("host", "x").header("x-twice", "1").header("x-twice", "2");
        let request = request.body(Bytes::from_static(b"\0body")).unwrap();
        let bytes = encode_request(&request);
        let back = decode_request(&bytes).unwrap();
        assert_eq!((back.method(), back.uri(), back.body()), (request.method(), request.uri(), request.body()));
        assert_eq!(back.headers(), request.headers());
        for len in 0..bytes.len() {
            assert!(decode_request(&bytes[..len]).is_none(), "{len}");
        }
        let answer = Response::builder().status(418).header("x", "y").body(Bytes::from_static(b"short")).unwrap();
        let said = |bytes: &[u8]| match decode_word(bytes).unwrap() {
            Word::Answer(answer) => answer,
            word => panic!("{word:?}"),
        };
        let back = said(&encode_answer(&Ok(answer.clone()), 1000)).unwrap();
        assert_eq!((back.status(), back.headers(), back.body()), (answer.status(), answer.headers(), answer.body()));
        let error = |bytes: &[u8]| said(bytes).unwrap_err();
        assert_eq!(error(&encode_answer(&Ok(answer), 10)), HttpError::AnswerTooLong);
        assert_eq!(error(&encode_answer(&Err(HttpError::Late), 10)), HttpError::Late);
        assert!(matches!(decode_word(&encode_working()), Some(Word::Working)));
        assert!(matches!(decode_word(&encode_long(70_000)), Some(Word::Long(70_000))));
        assert!(decode_word(b"").is_none() && decode_word(&bytes).is_none());
    }
}
