//! From an address to an open connection: INFO, CONNECT, and the PONG that says the server has accepted it.

use super::error::ClientError;
use super::incoming::{self, Op};
use super::{Options, ServerUrl, connection};
use bytes::BytesMut;
use lattice_broker::env::{Env, Stream, write_all};
use lattice_broker::proto::{Connect, Info, client};
use std::net::SocketAddr;
use std::sync::Arc;

/// A connection that the server has accepted, with what was read from it and not yet used.
pub(super) struct Opened {
    pub(super) stream: Arc<dyn Stream>,
    pub(super) input: BytesMut,
    pub(super) info: Info,
}

/// Dials `addr` and introduces itself. The caller sets the deadline.
pub(super) async fn open(
    env: &Env,
    addr: SocketAddr,
    server: &ServerUrl,
    options: &Options,
) -> Result<Opened, ClientError> {
    let stream = env.tcp_connect(addr).await.map_err(|error| ClientError::unreachable(server, &error))?;
    let mut opened = Opened { stream, input: BytesMut::new(), info: Info::default() };
    let Op::Info(info) = opened.next().await? else {
        return Err(ClientError::Lost { reason: "the server did not begin with INFO".to_owned() });
    };
    opened.info = *info;
    if opened.info.tls_required {
        return Err(ClientError::TlsRequired);
    }
    let introduction =
        introduction(server, options, opened.info.headers, opened.info.nonce.as_deref().unwrap_or_default());
    write_all(opened.stream.as_ref(), &introduction).await.map_err(|error| ClientError::lost(&error))?;
    loop {
        match opened.next().await? {
            Op::Pong => return Ok(opened),
            Op::Error(text) => return Err(ClientError::Refused { text }),
            Op::Info(info) => opened.info = *info,
            Op::Ping => {
                let written = write_all(opened.stream.as_ref(), client::PONG).await;
                written.map_err(|error| ClientError::lost(&error))?;
            }
            // Nothing is subscribed yet, and nothing asked for a confirmation.
            Op::Ok | Op::Message { .. } => {}
        }
    }
}

fn introduction(server: &ServerUrl, options: &Options, headers: bool, nonce: &str) -> Vec<u8> {
    let shown = server.credentials.show(nonce);
    let connect = Connect {
        verbose: false,
        pedantic: false,
        echo: options.echo,
        user: shown.user,
        pass: shown.pass,
        auth_token: shown.auth_token,
        nkey: shown.nkey,
        jwt: shown.jwt,
        sig: shown.sig,
        name: Some(options.name.clone()),
        lang: Some("rust-lattice".to_owned()),
        version: Some(env!("CARGO_PKG_VERSION").to_owned()),
        protocol: 1,
        headers,
        no_responders: headers,
        ..Connect::default()
    };
    let mut out = Vec::new();
    client::connect(&mut out, &connect);
    out.extend_from_slice(client::PING);
    out
}

impl Opened {
    async fn next(&mut self) -> Result<Op, ClientError> {
        loop {
            if let Some(op) = incoming::next(&mut self.input)? {
                return Ok(op);
            }
            let read = connection::read_some(self.stream.as_ref(), &mut self.input).await;
            if read.map_err(|error| ClientError::lost(&error))? == 0 {
                return Err(ClientError::Lost { reason: "the server closed it during the introduction".to_owned() });
            }
        }
    }
}
