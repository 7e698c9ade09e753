//! What clients ask of a host about its images: to take one, chunk by chunk, to list them, and to remove one.
//!
//! Requests are looked at one after the other, so that one chunk at a time is written. Every answer is that of the control interface:
//! `{"success", "message", "response"?}`.

use super::reference::{BadReference, Digest};
use super::shelf::{Kept, Progress, Shelf};
use crate::host::control::Reply;
use crate::ports::{BadInterest, Client, Deliveries, Delivery};
use lattice_broker::env::Env;
use serde::Deserialize;
use serde_json::json;
use std::future::poll_fn;
use std::sync::Arc;
use tokio_util::sync::CancellationToken;

/// Requests that wait, at most: each may have as many bytes as a message. More are dropped, and their askers ask again.
const PENDING_MAX: usize = 16;

/// The host that is asked.
#[derive(Debug)]
pub(super) struct Service {
    pub(super) env: Env,
    pub(super) shelf: Shelf,
    pub(super) client: Arc<dyn Client>,
    /// Its id.
    pub(super) host: String,
    /// The lattice that it is a host of.
    pub(super) lattice: String,
    pub(super) payload_max: usize,
}

/// What is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Operation {
    Put { digest: Digest, size: u64, offset: u64 },
    List,
    Delete(Digest),
}

/// A request that cannot be understood.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
enum BadRequest {
    #[error(
        "{operation:?} is nothing that can be done with images: image.put.<host>.<digest>.<size>.<offset>, image.list.<host> and \
         image.del.<host> are accepted"
    )]
    Unknown { operation: String },
    #[error(transparent)]
    Digest(#[from] BadReference),
    #[error("image.put has {name} = {value:?}: a whole number of bytes is accepted")]
    Number { name: &'static str, value: String },
    #[error("image.del: {why}: an object is accepted, {{\"digest\": \"sha256:…\"}}")]
    Body { why: String },
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Named {
    digest: String,
}

impl Service {
    /// Listens; what is to be run then ends with `stop`.
    ///
    /// # Errors
    /// [`BadInterest`]: the name of the lattice cannot be a part of a subject.
    pub(super) fn listen(self, stop: CancellationToken) -> Result<impl Future<Output = ()> + Send, BadInterest> {
        let (prefix, host) = (self.prefix(), &self.host);
        // Whatever else is asked of this host's images gets an answer that says so.
        let long = self.client.subscribe(&format!("{prefix}*.{host}.>"), None, PENDING_MAX)?;
        let short = self.client.subscribe(&format!("{prefix}*.{host}"), None, PENDING_MAX)?;
        Ok(self.run(long, short, stop))
    }

    async fn run(self, mut long: Box<dyn Deliveries>, mut short: Box<dyn Deliveries>, stop: CancellationToken) {
        loop {
            let request = tokio::select! {
                biased;
                () = stop.cancelled() => return,
                request = poll_fn(|cx| short.poll_next(cx)) => request,
                request = poll_fn(|cx| long.poll_next(cx)) => request,
            };
            let reply = self.answer(&request).await;
            if let Some(to) = &request.reply {
                self.client.publish(&String::from_utf8_lossy(to), None, &reply.encode(self.payload_max));
            }
        }
    }

    fn prefix(&self) -> String {
        format!("lattice.ctl.v1.{}.image.", self.lattice)
    }

    async fn answer(&self, request: &Delivery) -> Reply {
        let subject = String::from_utf8_lossy(&request.subject);
        let operation = subject.strip_prefix(&self.prefix()).unwrap_or(&subject);
        let operation = match parse(operation, &request.payload) {
            Ok(operation) => operation,
            Err(error) => return Reply::failed(error),
        };
        let (shelf, body) = (self.shelf.clone(), request.payload.clone());
        let done = self.env.work(move || carry_out(&shelf, operation, &body)).await;
        done.unwrap_or_else(|| Reply::failed("the host fails at it: its log says why"))
    }
}

/// Waits for the disk.
fn carry_out(shelf: &Shelf, operation: Operation, body: &[u8]) -> Reply {
    match operation {
        Operation::Put { digest, size, offset } => match shelf.put(digest, size, offset, body) {
            Ok(Progress { have, done }) => {
                if done && !body.is_empty() {
                    tracing::info!(image = %digest, bytes = size, "image kept");
                }
                Reply::with(json!({ "have": have, "done": done }))
            }
            Err(error) => Reply::failed(error),
        },
        Operation::List => match shelf.list() {
            Ok(kept) => {
                let listed = |Kept { digest, size }: Kept| json!({ "digest": digest.to_string(), "size": size });
                Reply::with(kept.into_iter().map(listed).collect())
            }
            Err(error) => Reply::failed(error),
        },
        Operation::Delete(digest) => match shelf.remove(digest) {
            Ok(true) => {
                tracing::info!(image = %digest, "image removed");
                Reply::done("image removed")
            }
            Ok(false) => Reply::done(format!("there was no image {digest}")),
            Err(error) => Reply::failed(error),
        },
    }
}

/// Reads a request: the words of its subject from the operation on, and its body.
fn parse(operation: &str, body: &[u8]) -> Result<Operation, BadRequest> {
    let words: Vec<&str> = operation.split('.').collect();
    match words[..] {
        ["put", _, digest, size, offset] => {
            let (size, offset) = (number("size", size)?, number("offset", offset)?);
            Ok(Operation::Put { digest: digest.parse()?, size, offset })
        }
        ["list", _] => Ok(Operation::List),
        ["del", _] => {
            let named: Named = serde_json::from_slice(body).map_err(|why| BadRequest::Body { why: why.to_string() })?;
            Ok(Operation::Delete(named.digest.parse()?))
        }
        _ => Err(BadRequest::Unknown { operation: format!("image.{operation}") }),
    }
}

fn number(name: &'static str, value: &str) -> Result<u64, BadRequest> {
    value.parse().map_err(|_| BadRequest::Number { name, value: value.to_owned() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_are_read_or_named() {
        let digest = Digest::of(b"abc");
        let hex = digest.to_hex();
        let put = Operation::Put { digest, size: 10, offset: 4 };
        assert_eq!(parse(&format!("put.NHOST.{hex}.10.4"), b"body"), Ok(put));
        assert_eq!(parse("list.NHOST", b""), Ok(Operation::List));
        let body = json!({ "digest": digest.to_string() }).to_string();
        assert_eq!(parse("del.NHOST", body.as_bytes()), Ok(Operation::Delete(digest)));
        let refused = |operation: &str, body: &str| parse(operation, body.as_bytes()).unwrap_err().to_string();
        assert!(refused("eat.NHOST", "").contains("\"image.eat.NHOST\" is nothing that can be done with images"));
        assert!(refused("put.NHOST", "").contains("image.put.<host>.<digest>.<size>.<offset>"));
        assert!(refused("put.NHOST.abc.10.4", "").contains("\"abc\" is no image"));
        assert!(refused(&format!("put.NHOST.{hex}.-1.4"), "").contains("size = \"-1\""));
        assert!(refused(&format!("put.NHOST.{hex}.1.x"), "").contains("offset = \"x\""));
        assert!(refused("del.NHOST", "{}").contains("{\"digest\": \"sha256:…\"}"));
        assert!(refused("del.NHOST", "{\"digest\": \"x\"}").contains("\"x\" is no image"));
    }
}
