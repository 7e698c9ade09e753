//! From an address to an open connection: INFO, CONNECT, and the PONG that says the server has accepted it.

use super::error::ClientError;
use super::wire::{Op, Parser, ServerInfo};
use super::{Credentials, Options, ServerUrl, connection};
use bytes::BytesMut;
use lattice_broker::env::{Env, Stream};
use serde::Serialize;
use std::net::SocketAddr;
use std::sync::Arc;

/// A connection that the server has accepted, with what was read from it and not yet used.
pub(super) struct Opened {
    pub(super) stream: Arc<dyn Stream>,
    pub(super) parser: Parser,
    pub(super) input: BytesMut,
    pub(super) info: ServerInfo,
}

#[derive(Serialize)]
struct Connect<'a> {
    verbose: bool,
    pedantic: bool,
    echo: bool,
    headers: bool,
    no_responders: bool,
    protocol: u8,
    lang: &'static str,
    version: &'static str,
    name: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    user: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pass: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    auth_token: Option<&'a str>,
}

/// Dials `addr` and introduces itself. The caller sets the deadline.
pub(super) async fn open(
    env: &Env,
    addr: SocketAddr,
    server: &ServerUrl,
    options: &Options,
) -> Result<Opened, ClientError> {
    let stream = env.tcp_connect(addr).await.map_err(|error| ClientError::unreachable(server, &error))?;
    let mut opened = Opened { stream, parser: Parser::default(), input: BytesMut::new(), info: ServerInfo::default() };
    let Op::Info(info) = opened.next().await? else {
        return Err(ClientError::Lost { reason: "the server did not begin with INFO".to_owned() });
    };
    opened.info = *info;
    if opened.info.tls_required {
        return Err(ClientError::TlsRequired);
    }
    let text = introduction(server, options, opened.info.headers);
    connection::write_all(opened.stream.as_ref(), text.as_bytes()).await.map_err(|error| ClientError::lost(&error))?;
    loop {
        match opened.next().await? {
            Op::Pong => return Ok(opened),
            Op::Err(text) => return Err(ClientError::Refused { text }),
            Op::Info(info) => opened.info = *info,
            Op::Ping => {
                let written = connection::write_all(opened.stream.as_ref(), b"PONG\r\n").await;
                written.map_err(|error| ClientError::lost(&error))?;
            }
            // Nothing is subscribed yet, and nothing asked for a confirmation.
            Op::Ok | Op::Message { .. } => {}
        }
    }
}

fn introduction(server: &ServerUrl, options: &Options, headers: bool) -> String {
    let (user, pass, auth_token) = match &server.credentials {
        Credentials::None => (None, None, None),
        Credentials::Token(token) => (None, None, Some(token.as_str())),
        Credentials::Password { user, pass } => (Some(user.as_str()), Some(pass.as_str()), None),
    };
    let connect = Connect {
        verbose: false,
        pedantic: false,
        echo: options.echo,
        headers,
        no_responders: headers,
        protocol: 1,
        lang: "rust-lattice",
        version: env!("CARGO_PKG_VERSION"),
        name: &options.name,
        user,
        pass,
        auth_token,
    };
    let json = serde_json::to_string(&connect).expect("strings and booleans are always JSON");
    format!("CONNECT {json}\r\nPING\r\n")
}

impl Opened {
    async fn next(&mut self) -> Result<Op, ClientError> {
        loop {
            if let Some(op) = self.parser.next(&mut self.input)? {
                return Ok(op);
            }
            let read = connection::read_some(self.stream.as_ref(), &mut self.input).await;
            if read.map_err(|error| ClientError::lost(&error))? == 0 {
                return Err(ClientError::Lost { reason: "the server closed it during the introduction".to_owned() });
            }
        }
    }
}
