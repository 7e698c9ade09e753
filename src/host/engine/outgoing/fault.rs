//! What goes wrong as a component asks by HTTP, in the words that `wasi:http` has for it.

use super::exchange::HEAD_BYTES_MAX;
use rustls::Error as Tls;
use std::error::Error as _;
use std::io;
use std::io::ErrorKind;
use wasmtime_wasi_http::Error;
use wasmtime_wasi_http::p2::bindings::http::types::{ErrorCode, TlsAlertReceivedPayload};

/// There is no connection.
pub(super) fn unreachable(error: &io::Error) -> Error {
    match error.kind() {
        ErrorKind::ConnectionRefused => Error::ConnectionRefused,
        ErrorKind::ConnectionReset | ErrorKind::ConnectionAborted => Error::ConnectionTerminated,
        ErrorKind::HostUnreachable => Error::DestinationUnavailable,
        ErrorKind::NetworkUnreachable | ErrorKind::AddrNotAvailable => Error::DestinationIpUnroutable,
        ErrorKind::TimedOut => Error::ConnectionTimeout,
        // The system lacks something, descriptors say.
        _ => Error::InternalError(Some(error.to_string())),
    }
}

/// The handshake of TLS came to nothing, or what followed on it was not whole.
pub(super) fn handshake(error: &io::Error) -> Error {
    match error.get_ref().and_then(|cause| cause.downcast_ref::<Tls>()) {
        Some(Tls::InvalidCertificate(_)) => Error::TlsCertificateError,
        Some(Tls::AlertReceived(alert)) => {
            Error::TlsAlertReceived { alert_id: Some(u8::from(*alert)), alert_message: Some(format!("{alert:?}")) }
        }
        Some(_) => Error::TlsProtocolError,
        None => Error::ConnectionTerminated,
    }
}

/// The connection came to nothing.
pub(super) fn broken(error: &hyper::Error) -> Error {
    let cause = error.source();
    // What the body of the request says of itself.
    if let Some(Error::HttpRequestBodySize(max)) = cause.and_then(|cause| cause.downcast_ref()) {
        return Error::HttpRequestBodySize(*max);
    }
    if error.is_parse_too_large() {
        return Error::HttpResponseHeaderSectionSize(u32::try_from(HEAD_BYTES_MAX).ok());
    }
    if error.is_parse() || error.is_user() {
        return Error::HttpProtocolError;
    }
    match cause.and_then(|cause| cause.downcast_ref::<io::Error>()) {
        Some(error) if error.kind() == ErrorKind::UnexpectedEof => Error::HttpResponseIncomplete,
        Some(error) if error.kind() == ErrorKind::InvalidInput => Error::HttpProtocolError,
        Some(error) => handshake(error),
        None => Error::HttpResponseIncomplete,
    }
}

/// What an error that reading a body ended with is called where a component asks for that.
pub(in crate::host::engine) fn code(error: &Error) -> ErrorCode {
    match error {
        Error::ConnectionReadTimeout => ErrorCode::ConnectionReadTimeout,
        Error::ConnectionTerminated => ErrorCode::ConnectionTerminated,
        Error::HttpRequestBodySize(max) => ErrorCode::HttpRequestBodySize(*max),
        Error::HttpResponseBodySize(max) => ErrorCode::HttpResponseBodySize(*max),
        Error::HttpResponseHeaderSectionSize(max) => ErrorCode::HttpResponseHeaderSectionSize(*max),
        Error::HttpResponseIncomplete => ErrorCode::HttpResponseIncomplete,
        Error::TlsProtocolError => ErrorCode::TlsProtocolError,
        Error::TlsCertificateError => ErrorCode::TlsCertificateError,
        Error::TlsAlertReceived { alert_id, alert_message } => ErrorCode::TlsAlertReceived(TlsAlertReceivedPayload {
            alert_id: *alert_id,
            alert_message: alert_message.clone(),
        }),
        _ => ErrorCode::HttpProtocolError,
    }
}
