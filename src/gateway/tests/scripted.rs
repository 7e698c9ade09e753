//! Against a server that says what the test wants.

use super::double::{Node, config, until};
use crate::ports::{Neighbor, UpstreamId};
use lattice_broker::env::{Env, Listener, Stream};
use std::future::poll_fn;
use std::io::{ErrorKind, IoSlice};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Wake, Waker};
use std::time::Duration;

const INFO1: &str = "INFO {\"client_id\":1,\"server_name\":\"hub\",\"headers\":true,\"info_on_connect\":true}\r\n";
const INFO2: &str = "INFO {\"connect_info\":true}\r\n";

struct Hub {
    env: Env,
    listener: Box<dyn Listener>,
}

impl Hub {
    fn new() -> (Self, String) {
        let env = Env::tokio();
        let listener = env.tcp_listen("127.0.0.1:0".parse().unwrap()).unwrap();
        let url = format!("nats://{}", listener.local_addr());
        (Self { env, listener }, url)
    }

    async fn accept(&mut self) -> Peer {
        let accepted = self.env.timeout(Duration::from_secs(20), poll_fn(|cx| self.listener.poll_accept(cx))).await;
        Peer { env: self.env.clone(), stream: accepted.expect("a connection in time").unwrap(), read: Vec::new() }
    }

    /// Accepts a link and opens it.
    async fn open(&mut self) -> Peer {
        let mut peer = self.accept().await;
        peer.say(INFO1).await;
        peer.hears("CONNECT ").await;
        peer.say(INFO2).await;
        peer.hears("LS+ $LDS.").await;
        peer
    }
}

struct Peer {
    env: Env,
    stream: Arc<dyn Stream>,
    read: Vec<u8>,
}

impl Peer {
    async fn say(&mut self, text: &str) {
        let mut rest = text.as_bytes();
        while !rest.is_empty() {
            match self.stream.try_write_vectored(&[IoSlice::new(rest)]) {
                Ok(bytes) => rest = &rest[bytes..],
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    poll_fn(|cx| self.stream.poll_write_ready(cx)).await.unwrap();
                }
                Err(error) => panic!("{error}"),
            }
        }
    }

    /// Reads until `text` has come, and forgets all up to its end.
    async fn hears(&mut self, text: &str) {
        const KEPT: usize = 4 << 10;
        let found = |read: &[u8]| read.windows(text.len()).position(|part| part == text.as_bytes());
        loop {
            if let Some(at) = found(&self.read) {
                self.read.drain(..at + text.len());
                return;
            }
            self.read.drain(..self.read.len().saturating_sub(KEPT));
            let open = self.env.timeout(Duration::from_secs(20), read_some(&*self.stream, &mut self.read)).await;
            assert_eq!(open, Ok(true), "{text:?} does not come after {:?}", String::from_utf8_lossy(&self.read));
        }
    }

    /// Reads until the end.
    async fn ends(&mut self) {
        let end = async { while read_some(&*self.stream, &mut self.read).await {} };
        self.env.timeout(Duration::from_secs(20), end).await.expect("the link is closed");
    }
}

/// False at the end of the stream.
async fn read_some(stream: &dyn Stream, into: &mut Vec<u8>) -> bool {
    let mut buf = vec![0; 1 << 16];
    loop {
        match stream.try_read(&mut buf) {
            Ok(bytes) => {
                into.extend_from_slice(&buf[..bytes]);
                return bytes > 0;
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => {
                if poll_fn(|cx| stream.poll_read_ready(cx)).await.is_err() {
                    return false;
                }
            }
            Err(_) => return false,
        }
    }
}

#[derive(Default)]
struct Wakes(AtomicUsize);

impl Wake for Wakes {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

#[tokio::test]
async fn a_server_that_does_not_read_costs_bounded_memory() {
    let (mut hub, url) = Hub::new();
    let mut config = config(&url, "n1");
    config.pending_bytes_max = 1 << 20;
    let node = Node::start(config);
    let mut peer = hub.open().await;
    node.until_linked().await;
    let payload = vec![b'x'; 1 << 16];
    until("the buffers to fill", || {
        node.deliver("a", None, "", &payload, &[]);
        node.count("out_dropped_full") > 0
    })
    .await;
    assert!((1..=7 << 17).contains(&node.gateway.excess(0)), "beyond an eighth of the bound");
    let wakes = Arc::new(Wakes::default());
    node.gateway.wake_when_drained(0, &Waker::from(Arc::clone(&wakes)));
    assert_eq!(wakes.0.load(Ordering::SeqCst), 0);
    node.deliver("end", None, "", b"", &[]);
    peer.hears("LMSG end 0\r\n").await;
    until("the publisher to be woken", || wakes.0.load(Ordering::SeqCst) == 1).await;
    until("nothing to be too much", || node.gateway.excess(0) == 0).await;
    until("nothing to wait", || node.gateway.shared.lock_desk().pending_bytes() == 0).await;
    // Drained already: woken at once.
    node.gateway.wake_when_drained(0, &Waker::from(Arc::clone(&wakes)));
    assert_eq!(wakes.0.load(Ordering::SeqCst), 2);
}

#[tokio::test]
async fn congestion_here_stops_the_reading_there() {
    let (mut hub, url) = Hub::new();
    let node = Node::start(config(&url, "n1"));
    let mut peer = hub.open().await;
    node.until_linked().await;
    node.bus.congested.store(true, Ordering::SeqCst);
    peer.say("LMSG a 1\r\n1\r\n").await;
    until("the first message", || node.bus.received().len() == 1).await;
    peer.say("LMSG a 1\r\n2\r\nLS+ seen\r\n").await;
    // The other direction goes on, and is slower than a read would be.
    for n in 0..20 {
        node.deliver(&format!("b{n}"), None, "", b"", &[]);
        peer.hears(&format!("LMSG b{n} 0\r\n")).await;
    }
    assert_eq!((node.bus.received().len(), node.bus.wants("seen", None)), (1, 0));
    node.bus.relieve();
    until("the second message", || node.bus.received().len() == 2).await;
    until("the interest", || node.bus.wants("seen", None) == 1).await;
}

#[tokio::test]
async fn a_silent_server_is_left_and_dialled_again() {
    let (mut hub, url) = Hub::new();
    let mut config = config(&url, "n1");
    config.ping_interval = Duration::from_millis(50);
    let node = Node::start(config);
    let mut peer = hub.open().await;
    peer.say("LS+ there\r\n").await;
    until("the interest", || node.bus.wants("there", None) == 1).await;
    peer.hears("PING\r\n").await;
    peer.hears("-ERR 'Stale Connection'\r\n").await;
    peer.ends().await;
    until("the reason", || node.gateway.status().error.is_some_and(|error| error.contains("not answered"))).await;
    assert!(node.bus.interest_is_empty());
    node.deliver("a", None, "", b"", &[]);
    assert_eq!(node.count("out_dropped_down"), 1);
    let _peer = hub.open().await;
    node.until_linked().await;
    assert_eq!((node.count("connects"), node.count("failures")), (2, 1));
}

#[tokio::test]
async fn what_cannot_work_is_named() {
    for (line, reason) in [
        ("INFO {\"client_id\":1,\"info_on_connect\":true,\"tls_required\":true}\r\n", "TLS"),
        ("INFO {\"client_id\":1}\r\n", "port for clients"),
        ("HTTP/1.1 400 Bad Request\r\n\r\n", "leaf-node port"),
        ("INFO nonsense\r\n", "INFO cannot be read"),
    ] {
        let (mut hub, url) = Hub::new();
        let node = Node::start(config(&url, "n1"));
        let mut peer = hub.accept().await;
        peer.say(line).await;
        until(reason, || node.gateway.status().error.is_some_and(|error| error.contains(reason))).await;
        peer.ends().await;
        node.gateway.stop().await;
    }
    // Nobody there at all.
    let (hub, url) = Hub::new();
    drop(hub);
    let node = Node::start(config(&url, "n1"));
    until("the reason", || node.gateway.status().error.is_some_and(|error| error.contains("refused"))).await;
}

#[tokio::test]
async fn large_messages_and_those_in_pieces_arrive_whole() {
    let (mut hub, url) = Hub::new();
    let mut config = config(&url, "n1");
    config.payload_bytes_max = 1 << 20;
    let node = Node::start(config);
    let mut peer = hub.open().await;
    node.until_linked().await;
    for size in [0, 1, 70_000, 1 << 20, (1 << 20) + 1, 3] {
        peer.say(&format!("LMSG a {size}\r\n{}\r\n", "x".repeat(size))).await;
    }
    for piece in ["HM", "SG a + r q1 q", "2 4 ", "6\r", "\nH\r", "\n\r", "xy\r", "\n"] {
        peer.say(piece).await;
        // The other direction's round trip leaves the time for each piece to be read by itself.
        node.deliver("between", None, "", b"", &[]);
        peer.hears("LMSG between 0\r\n").await;
    }
    until("all messages", || node.bus.received().len() == 6).await;
    let received = node.bus.received();
    let sizes: Vec<_> = received.iter().map(|message| message.payload.len()).collect();
    assert_eq!(sizes, [0, 1, 70_000, 1 << 20, 3, 2]);
    assert_eq!((received[5].header.as_str(), &received[5].groups[..]), ("H\r\n\r", &["q1".into(), "q2".into()][..]));
    assert_eq!(node.count("in_dropped_oversize"), 1);
    // What is denied both ways is not taken either.
    peer.say("LMSG $JS.API.INFO 0\r\n\r\n").await;
    until("the denial", || node.count("in_dropped_denied") == 1).await;
}

#[tokio::test]
async fn only_the_active_one_connects_and_stopping_writes_what_waits() {
    let (mut hub, url) = Hub::new();
    let node = Node::start(config(&url, "n1"));
    let mut peer = hub.open().await;
    peer.say("LS+ there\r\n").await;
    until("the interest", || node.bus.wants("there", None) == 1).await;
    node.deliver("last", None, "", b"words", &[]);
    node.gateway.set_active(false);
    peer.hears("LMSG last 5\r\nwords\r\n").await;
    peer.ends().await;
    until("the standby", || !node.gateway.status().connected && node.bus.interest_is_empty()).await;
    assert!(node.gateway.status().standby && node.gateway.status().error.is_none());
    node.gateway.set_active(true);
    let mut peer = hub.open().await;
    node.until_linked().await;
    // Nothing goes back to where it came from.
    let message = crate::ports::Message { subject: b"a", reply: None, header_len: 0, body: b"" };
    let upstream: UpstreamId = url.parse::<crate::gateway::UpstreamUrl>().unwrap().id();
    node.gateway.deliver(b"$G", &message, 0, Some(upstream), &[0], &[]);
    assert_eq!(node.count("out_dropped_echo"), 1);
    node.deliver("last", None, "", b"", &[]);
    node.gateway.stop().await;
    assert!(!node.gateway.status().connected);
    peer.hears("LMSG last 0\r\n").await;
    peer.ends().await;
}

#[tokio::test]
async fn what_the_server_calls_itself_moves_no_cursor() {
    let (mut hub, url) = Hub::new();
    let node = Node::start(config(&url, "n1"));
    let mut peer = hub.accept().await;
    peer.say(&INFO1.replace("hub", "h\\u001b[2Jub")).await;
    peer.hears("CONNECT ").await;
    peer.say(INFO2).await;
    node.until_linked().await;
    assert_eq!(node.gateway.status().server.as_deref(), Some("h[2Jub"));
}

#[tokio::test]
async fn a_server_that_is_not_there_was_not_lost() {
    let (hub, url) = Hub::new();
    let address = hub.listener.local_addr();
    drop(hub);
    let node = Node::start(config(&url, "n1"));
    until("the failure", || node.gateway.status().error.is_some()).await;
    let error = node.gateway.status().error.unwrap();
    assert!(error.starts_with(&format!("{address} cannot be reached: ")), "{error}");
    node.gateway.stop().await;
}
