//! A small NATS client, for the command line and for tests: publish, subscribe, request, over any [`Env`].
//!
//! It speaks to one server over one connection and does not reconnect: what a lost connection means is for its user
//! to say. The bytes are the affair of [`lattice_broker::proto`], the tasks that move them `connection`'s.
//!
//! ```
//! use lattice::client::{Client, Options, ServerUrl};
//! # use lattice_broker::env::Env;
//! # async fn example() -> Result<(), lattice::client::ClientError> {
//! let url = ServerUrl::parse("nats://127.0.0.1:4222", 4222).expect("the text is a URL");
//! let client = Client::connect(&Env::tokio(), &url, Options::default()).await?;
//! let mut greetings = client.subscribe("greet.*", None).await?;
//! client.publish("greet.ann", b"hello").await?;
//! assert_eq!(&greetings.next().await.expect("the connection stands").payload[..], b"hello");
//! client.close().await
//! # }
//! ```

mod connection;
mod error;
mod handshake;
mod headers;
mod incoming;

pub use crate::nats_url::{BadUrl, ServerUrl};
pub use error::ClientError;
pub use headers::{BadHeader, Headers};
pub use lattice_broker::Credentials;

use bytes::Bytes;
use connection::{Held, Shared};
use lattice_broker::env::Env;
use lattice_broker::proto::{self, Info};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::DropGuard;

/// What happens to a message when its subscription holds [`Options::pending_bytes_max`] already.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WhenFull {
    /// It is dropped, and counted by [`Subscription::dropped`].
    Drop,
    /// Nothing more is read from the server until there is room: no answer, no message for another subscription. The
    /// server in its turn may close a client that is too slow. For users of one subscription that they always read.
    Wait,
}

/// How to connect.
#[derive(Clone, Debug)]
pub struct Options {
    /// What the server calls this client.
    pub name: String,
    /// How long connecting may take, once the address is known.
    pub connect_timeout: Duration,
    /// Whether this connection's own messages come back to its own subscriptions.
    pub echo: bool,
    /// What one subscription may hold before [`WhenFull`] applies, in bytes.
    pub pending_bytes_max: usize,
    /// What to do then.
    pub when_full: WhenFull,
    /// How often to check that the server answers. It counts as lost when an answer takes longer than that.
    pub ping_interval: Duration,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            name: "lattice".to_owned(),
            connect_timeout: Duration::from_secs(5),
            echo: true,
            pending_bytes_max: 64 << 20,
            when_full: WhenFull::Drop,
            ping_interval: Duration::from_secs(30),
        }
    }
}

/// A message that arrived.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// The subject that it was published to.
    pub subject: String,
    /// Where an answer is wanted.
    pub reply: Option<String>,
    /// The header block as sent; empty when there is none.
    pub header: Bytes,
    /// The payload.
    pub payload: Bytes,
}

impl Message {
    /// What the header block says.
    #[must_use]
    pub fn headers(&self) -> Headers {
        if self.header.is_empty() { Headers::default() } else { Headers::decode(&self.header) }
    }
}

/// A message to publish.
#[derive(Clone, Copy, Debug)]
pub struct Outgoing<'a> {
    /// Where to.
    pub subject: &'a str,
    /// Where an answer is wanted.
    pub reply: Option<&'a str>,
    /// Headers, when there are any.
    pub headers: Option<&'a Headers>,
    /// The payload.
    pub payload: &'a [u8],
}

/// A connection to a server. Clones share it; it ends with the last clone and the last [`Subscription`].
#[derive(Clone, Debug)]
pub struct Client {
    shared: Arc<Shared>,
    _ends_with_last: Arc<DropGuard>,
}

/// How long [`Client::flush`] and [`Client::close`] wait for the server.
const FLUSH_TIMEOUT: Duration = Duration::from_secs(10);

impl Client {
    /// Connects to `server`, trying its addresses in turn, and shows it the URL's credentials.
    ///
    /// Spawns the tasks that read, write and check the connection; they end with it. Cancel safe.
    ///
    /// # Errors
    /// [`ClientError::Unreachable`], [`ClientError::TimedOut`]: try again later. [`ClientError::Refused`] is final
    /// until credentials change.
    pub async fn connect(env: &Env, server: &ServerUrl, options: Options) -> Result<Self, ClientError> {
        let unreachable = |error: &std::io::Error| ClientError::unreachable(server, error);
        let addrs = env.resolve(&server.host_port()).await.map_err(|error| unreachable(&error))?;
        let mut last = ClientError::Closed;
        for addr in addrs {
            let attempt = handshake::open(env, addr, server, &options);
            match env.timeout(options.connect_timeout, attempt).await {
                Ok(Ok(opened)) => {
                    let (shared, guard) = connection::start(env, opened, options);
                    return Ok(Self { shared, _ends_with_last: Arc::new(guard) });
                }
                Ok(Err(error)) => last = error,
                Err(_) => last = ClientError::TimedOut { what: format!("connecting to {server}") },
            }
        }
        Err(last)
    }

    /// What the server has said of itself.
    #[must_use]
    pub fn server(&self) -> Info {
        self.shared.info()
    }

    /// Publishes a message without reply subject or headers, as [`Client::send`] does.
    ///
    /// # Errors
    /// As [`Client::send`].
    pub async fn publish(&self, subject: &str, payload: &[u8]) -> Result<(), ClientError> {
        self.send(Outgoing { subject, reply: None, headers: None, payload }).await
    }

    /// Hands a message over for writing; waits while 1 MiB or more is still to be written.
    ///
    /// Messages of one client leave in the order of the calls. That one was handed over does not mean that it
    /// arrived: [`Client::flush`] tells that the server has it. Cancel safe: the message is sent whole or not at all.
    ///
    /// # Errors
    /// [`ClientError::BadSubject`] and [`ClientError::TooLarge`] are the caller's; others mean that the connection is gone.
    pub async fn send(&self, message: Outgoing<'_>) -> Result<(), ClientError> {
        connection::check_subject(message.subject)?;
        message.reply.map_or(Ok(()), connection::check_subject)?;
        let mut with_headers = Vec::new();
        let header_len = match message.headers.filter(|headers| !headers.is_empty()) {
            Some(headers) => headers.encode(&mut with_headers),
            None => 0,
        };
        let body = if header_len > 0 {
            with_headers.extend_from_slice(message.payload);
            &with_headers
        } else {
            message.payload
        };
        let (len, max) = (body.len(), self.shared.max_payload());
        if max > 0 && len > max {
            return Err(ClientError::TooLarge { len, max });
        }
        let (subject, reply) = (message.subject.as_bytes(), message.reply.map(str::as_bytes));
        let message = lattice_broker::Message { subject, reply, header_len, body };
        self.shared.write(|out| proto::client::publish(out, &message)).await
    }

    /// Waits until the server has processed all that was sent before.
    ///
    /// # Errors
    /// [`ClientError::Server`] when the server has complained since the last flush; [`ClientError::TimedOut`] after
    /// ten seconds; others mean that the connection is gone.
    pub async fn flush(&self) -> Result<(), ClientError> {
        let (pong, ponged) = oneshot::channel();
        self.shared.ping(pong).await?;
        match self.shared.env.timeout(FLUSH_TIMEOUT, ponged).await {
            Ok(Ok(())) => self.shared.complaint(),
            Ok(Err(_)) => Err(self.shared.end()),
            Err(_) => Err(ClientError::TimedOut { what: "waiting for the server to answer a ping".to_owned() }),
        }
    }

    /// Subscribes to `subject`, as a member of `queue` when one is given.
    ///
    /// The request is on its way when this returns; [`Client::flush`] tells that it is in force, or why not.
    ///
    /// # Errors
    /// [`ClientError::BadSubject`], or the connection is gone.
    pub async fn subscribe(&self, subject: &str, queue: Option<&str>) -> Result<Subscription, ClientError> {
        connection::check_subject(subject)?;
        queue.map_or(Ok(()), connection::check_subject)?;
        let (sid, messages, dropped) = self.shared.register();
        let subscription = Subscription { client: self.clone(), sid, messages, dropped };
        let (filter, queue) = (subject.as_bytes(), queue.map(str::as_bytes));
        self.shared.write(|out| proto::client::subscribe(out, filter, queue, sid.to_string().as_bytes())).await?;
        Ok(subscription)
    }

    /// Publishes a request and waits at most `timeout` for the first answer. Cancel safe.
    ///
    /// # Errors
    /// [`ClientError::NoResponders`] when nobody serves the subject, at once; [`ClientError::TimedOut`]; and those of
    /// [`Client::send`].
    pub async fn request(
        &self,
        subject: &str,
        headers: Option<&Headers>,
        payload: &[u8],
        timeout: Duration,
    ) -> Result<Message, ClientError> {
        let (pending, inbox) = self.shared.expect_answer().await?;
        self.send(Outgoing { subject, reply: Some(&inbox), headers, payload }).await?;
        let answer = match self.shared.env.timeout(timeout, pending.answer()).await {
            Ok(Some(answer)) => answer,
            Ok(None) => return Err(self.shared.end()),
            Err(_) => return Err(ClientError::TimedOut { what: format!("waiting for an answer on {subject}") }),
        };
        if answer.payload.is_empty() && proto::headers::status(&answer.header) == Some(503) {
            return Err(ClientError::NoResponders { subject: subject.to_owned() });
        }
        Ok(answer)
    }

    /// Sends what is still to be sent, waits until the server has it, and closes the connection for all clones.
    ///
    /// # Errors
    /// As [`Client::flush`]; the connection is closed all the same.
    pub async fn close(self) -> Result<(), ClientError> {
        let flushed = self.flush().await;
        self.shared.close();
        flushed
    }

    /// True once the connection has ended.
    #[must_use]
    pub fn has_ended(&self) -> bool {
        self.shared.has_ended()
    }

    /// Waits until the connection has ended, and says why. Cancel safe.
    pub async fn ended(&self) -> ClientError {
        self.shared.ended().await
    }
}

/// The messages of one subscription, in the server's order. Dropping it unsubscribes.
#[derive(Debug)]
pub struct Subscription {
    client: Client,
    sid: u64,
    messages: mpsc::UnboundedReceiver<Held>,
    dropped: Arc<AtomicU64>,
}

impl Subscription {
    /// The next message; `None` after the last one, when the connection or the subscription has ended. Cancel safe.
    pub async fn next(&mut self) -> Option<Message> {
        self.messages.recv().await.map(Held::release)
    }

    /// How many messages were dropped because this subscription was full.
    #[must_use]
    pub fn dropped(&self) -> u64 {
        self.dropped.load(Ordering::Relaxed)
    }

    /// Ends the subscription once it has had `max` messages, counted from its start.
    ///
    /// # Errors
    /// The connection is gone.
    pub async fn unsubscribe_after(&self, max: u64) -> Result<(), ClientError> {
        self.client.shared.limit(self.sid, max);
        self.client.shared.write(|out| proto::client::unsubscribe(out, self.sid.to_string().as_bytes(), max)).await
    }
}

impl Drop for Subscription {
    fn drop(&mut self) {
        self.client.shared.unsubscribe(self.sid);
    }
}

#[cfg(test)]
mod tests;
