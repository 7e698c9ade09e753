//! WebSocket over a stream, as a stream: what clients send in frames is read as bytes, what is written goes in frames.
//!
//! [`accept`] opens it by HTTP (RFC 6455), with compression by message where both want it (RFC 7692). Who listens, how
//! long an opening may take, and what the values of the cookies are good for is the caller's affair; so is TLS, which
//! lies below.
//!
//! ```text
//! accept ─ handshake, origin ─► WsStream ─┬─ incoming ─ frame, inflate ◄─ bytes of the client
//!                                         └─ outgoing ─ frame, deflate ─► bytes to the client
//! ```

mod accept;
mod deflate;
mod frame;
mod handshake;
mod incoming;
mod origin;
mod outgoing;
mod stream;
#[cfg(test)]
mod tests;

pub use accept::{Accepted, accept};
pub use frame::Violation;
pub use handshake::{AcceptError, Cookies, Refusal};
pub use incoming::Fault;
pub use origin::{Origin, OriginError, OriginRefusal};
pub use stream::WsStream;

use crate::tls::Tls;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

/// Time for an opening, unless something else is said.
pub const TIMEOUT: Duration = Duration::from_secs(2);

/// Where clients connect by WebSocket, and how.
#[derive(Clone, Debug)]
pub struct WebSocket {
    /// Where; port 0 picks a free one.
    pub listen: SocketAddr,
    /// What INFO calls the host; empty means the address.
    pub host: String,
    /// How their connections are encrypted; `None` is not at all. The handshake comes first, whatever is said there.
    pub tls: Option<Arc<Tls>>,
    /// Who may, and how.
    pub rules: Arc<Rules>,
    /// Time for the handshake of TLS, and for the opening. 1 ms to 1 hour.
    pub timeout: Duration,
    /// Time without input after which a PING is sent, if it is another one than for others. 1 ms to 1 day.
    pub ping_interval: Option<Duration>,
}

/// Whom [`accept`] lets in, and what it offers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rules {
    /// Messages are compressed for clients that offer it.
    pub compression: bool,
    /// A page has to come from the host and port that it connects to. Clients that are no pages name no origin, and are
    /// not held to this.
    pub same_origin: bool,
    /// The origins that pages may come from; all when empty.
    pub allowed_origins: Vec<Origin>,
    /// The cookie that holds a JWT.
    pub jwt_cookie: Option<String>,
    /// The cookie that holds a user's name.
    pub user_cookie: Option<String>,
    /// The cookie that holds a password.
    pub pass_cookie: Option<String>,
    /// The cookie that holds a token.
    pub token_cookie: Option<String>,
    /// Names and values of what is added to the head of the answer, as they are.
    pub headers: Vec<(String, String)>,
    /// The bytes that one compressed message may come to.
    pub message_max: usize,
}

impl Default for Rules {
    fn default() -> Self {
        Self {
            compression: false,
            same_origin: false,
            allowed_origins: Vec::new(),
            jwt_cookie: None,
            user_cookie: None,
            pass_cookie: None,
            token_cookie: None,
            headers: Vec::new(),
            message_max: 1 << 20,
        }
    }
}

/// What an opening comes to for the frames that follow.
#[derive(Clone, Copy, Debug)]
struct Terms {
    /// A frame of the client without a mask is an error.
    needs_mask: bool,
    is_deflating: bool,
    /// The bytes that a compressed message of the client may come to.
    message_max: usize,
    /// The payload of one frame to the client.
    frame_max: usize,
    /// A compressed message is cut by that as well.
    splits_deflated: bool,
}
