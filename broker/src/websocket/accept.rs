//! Opens a WebSocket on a stream: reads the request, answers it, and hands over what comes after.

use super::Rules;
use super::handshake::{AcceptError, Cookies, HEAD_MAX, Refusal, Upgrade, parse};
use super::stream::WsStream;
use crate::env::{Stream, is_passing, write_all};
use std::future::poll_fn;
use std::net::IpAddr;
use std::sync::Arc;

/// Bytes of a request that are read at a time.
const READ: usize = 2048;

/// A WebSocket that is open.
#[derive(Debug)]
pub struct Accepted {
    /// What is said in it.
    pub stream: WsStream,
    /// What the client brought as cookies.
    pub cookies: Cookies,
    /// Whom a proxy says that it speaks for: `X-Forwarded-For`, when that is one address. Anybody can say so.
    pub client_ip: Option<IpAddr>,
}

/// Opens a WebSocket on a stream of which nothing has been read, as the server. `is_tls` says that the stream is
/// encrypted, which is part of what a page's origin is compared with.
///
/// Takes as long as the client does: bound it. Dropping the future gives the attempt up. Of the request at most 16 KiB are
/// kept, and as much of what comes with it.
///
/// # Errors
/// [`AcceptError::Refused`] when the request is not one that the rules allow (it has got its answer then);
/// [`AcceptError::Left`] when the client leaves first, and what the stream below says.
pub async fn accept(inner: Arc<dyn Stream>, rules: &Rules, is_tls: bool) -> Result<Accepted, AcceptError> {
    let mut head = Vec::new();
    let upgrade = loop {
        match judge(&head, rules, is_tls) {
            Ok(Some((upgrade, len))) => {
                head.drain(..len);
                break upgrade;
            }
            Ok(None) => read(&*inner, &mut head).await?,
            Err(refusal) => {
                write_all(&*inner, &refusal.response()).await?;
                inner.shutdown_write();
                return Err(refusal.into());
            }
        }
    };
    write_all(&*inner, &upgrade.response(rules)).await?;
    let stream = WsStream::new(inner, upgrade.terms, head);
    Ok(Accepted { stream, cookies: upgrade.cookies, client_ip: upgrade.client_ip })
}

fn judge(head: &[u8], rules: &Rules, is_tls: bool) -> Result<Option<(Upgrade, usize)>, Refusal> {
    let Some((request, len)) = parse(head)? else {
        return Ok(None);
    };
    Ok(Some((request.upgrade(rules, is_tls)?, len)))
}

/// Reads more of the head.
async fn read(inner: &dyn Stream, head: &mut Vec<u8>) -> Result<(), AcceptError> {
    loop {
        poll_fn(|cx| inner.poll_read_ready(cx)).await?;
        let start = head.len();
        head.resize((start + READ).min(HEAD_MAX), 0);
        let read = inner.try_read(&mut head[start..]);
        head.truncate(start + read.as_ref().map_or(0, |len| *len));
        match read {
            Ok(0) => return Err(AcceptError::Left),
            Ok(_) => return Ok(()),
            Err(error) if is_passing(&error) => {}
            Err(error) => return Err(error.into()),
        }
    }
}
