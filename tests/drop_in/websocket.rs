//! Clients by WebSocket in the place of a nats-server: a client library, cookies, users, origins, and how it ends.
//!
//! Each story is told to ours and to the real one. What the frames themselves may be is `broker/tests/websocket.rs`'s.

use crate::jwt;
use crate::support::LIMIT;
use crate::support::process::Process;
use crate::support::whose::{BOTH, OPEN, Whose, folder, path, write};
use async_nats::ConnectOptions;
use futures_util::StreamExt as _;
use nkeys::KeyPair;
use serde_json::json;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use tempfile::TempDir;

/// A server that runs: where clients by WebSocket connect, and others.
struct Server {
    process: Process,
    websocket: SocketAddr,
    nats: SocketAddr,
    _folder: TempDir,
}

fn at(line: &str, what: &str) -> Option<SocketAddr> {
    let port = line.split_once(what)?.1.rsplit_once(':')?.1.trim().parse().ok()?;
    Some(SocketAddr::from(([127, 0, 0, 1], port)))
}

fn start(whose: Whose, block: &str, rest: &str) -> Server {
    let folder = folder();
    let text = format!(
        "listen: \"127.0.0.1:-1\"\nwebsocket {{ listen: \"127.0.0.1:-1\", {block} }}\n{rest}\nports_file_dir: {:?}\n",
        folder.path()
    );
    let config = write(&folder, "server.conf", &text);
    let mut process = Process::start(&format!("{whose:?} nats-server"), &mut whose.command(&["-c", &config]));
    let websocket = process.wait_line("websocket", |line| at(line, "Listening for websocket clients on "));
    let nats = process.wait_line("nats", |line| at(line, "Listening for client connections on "));
    process.wait_line("ready", |line| line.contains("Server is ready").then_some(()));
    Server { process, websocket, nats, _folder: folder }
}

/// A page's end of a WebSocket, by hand.
struct Page {
    stream: TcpStream,
    bytes: Vec<u8>,
}

impl Page {
    /// Asks for a WebSocket, with `fields` besides those that it takes; returns the head of the answer as well.
    fn open(at: SocketAddr, fields: &str) -> (Self, String) {
        let mut stream = TcpStream::connect(at).unwrap();
        stream.set_read_timeout(Some(LIMIT)).unwrap();
        let request = format!(
            "GET / HTTP/1.1\r\nHost: {at}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
             Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n{fields}\r\n"
        );
        stream.write_all(request.as_bytes()).unwrap();
        let mut page = Self { stream, bytes: Vec::new() };
        let end = page.wait("the head", |bytes| bytes.windows(4).position(|four| four == b"\r\n\r\n"));
        let head = page.bytes.drain(..end + 4).collect();
        (page, String::from_utf8(head).unwrap())
    }

    fn wait<T>(&mut self, what: &str, find: impl Fn(&[u8]) -> Option<T>) -> T {
        loop {
            if let Some(found) = find(&self.bytes) {
                return found;
            }
            let mut chunk = [0; 4096];
            let len = self.stream.read(&mut chunk).unwrap_or_else(|error| panic!("{what} has not come: {error}"));
            assert!(len > 0, "the end came before {what}: {:?}", String::from_utf8_lossy(&self.bytes));
            self.bytes.extend_from_slice(&chunk[..len]);
        }
    }

    fn send(&mut self, text: &str) {
        let len = u8::try_from(text.len()).unwrap();
        assert!(len < 126, "a short frame");
        // A mask of zeros is one as well.
        let frame = [&[0x82, 0x80 | len, 0, 0, 0, 0], text.as_bytes()].concat();
        self.stream.write_all(&frame).unwrap();
    }

    /// The next frame: its first byte, and what is in it.
    fn frame(&mut self) -> (u8, Vec<u8>) {
        let (header, len) = self.wait("a frame", |bytes| {
            let (header, len) = match bytes.get(1)? {
                126 => (4, usize::from(u16::from_be_bytes([*bytes.get(2)?, *bytes.get(3)?]))),
                127 => (10, usize::try_from(u64::from_be_bytes(bytes.get(2..10)?.try_into().unwrap())).unwrap()),
                len => (2, usize::from(*len)),
            };
            (bytes.len() >= header + len).then_some((header, len))
        });
        let frame: Vec<u8> = self.bytes.drain(..header + len).collect();
        (frame[0], frame[header..].to_vec())
    }

    /// Reads until `text` has come, or a close frame; returns all that has come, that frame as `close STATUS reason`.
    fn hear(&mut self, text: &str) -> String {
        let mut heard = String::new();
        while !heard.contains(text) {
            let (kind, payload) = self.frame();
            if kind == 0x88 {
                let status = u16::from_be_bytes([payload[0], payload[1]]);
                return format!("{heard}close {status} {}", String::from_utf8_lossy(&payload[2..]));
            }
            heard.push_str(&String::from_utf8_lossy(&payload));
        }
        heard
    }

    /// Who the server takes it for, after this CONNECT.
    fn who(&mut self, connect: &str) -> String {
        self.hear("\r\n");
        self.send(&format!("CONNECT {connect}\r\n"));
        self.send("SUB in 1\r\nPUB $SYS.REQ.USER.INFO in 0\r\n\r\n");
        let heard = self.hear("}}\r\n");
        match heard.split_once("\"data\":{\"user\":\"") {
            Some((_, user)) => user.split('"').next().unwrap().to_owned(),
            None => heard,
        }
    }
}

/// Goal: a client library says and hears over a WebSocket what others do, and these hear it.
#[tokio::test]
async fn a_client_library_goes_by_websocket() {
    for whose in BOTH {
        let server = start(whose, "no_tls: true, compression: true", "");
        let page = ConnectOptions::new().connect(format!("ws://{}", server.websocket)).await.unwrap();
        let other = async_nats::connect(server.nats.to_string()).await.unwrap();
        let mut requests = page.subscribe("help").await.unwrap();
        // Once this has come back, that is known.
        let mut echo = page.subscribe("echo").await.unwrap();
        page.publish("echo", "".into()).await.unwrap();
        echo.next().await.unwrap();
        let serving = tokio::spawn({
            let page = page.clone();
            async move {
                while let Some(request) = requests.next().await {
                    page.publish(request.reply.unwrap(), request.payload).await.unwrap();
                }
            }
        });
        for len in [0, 1, 125, 126, 65_535, 65_536, 1_000_000] {
            let body: Vec<u8> = (0..len).map(|at| u8::try_from(at % 251).unwrap()).collect();
            let answer = other.request("help", body.clone().into()).await.unwrap();
            assert!(answer.payload == body, "{whose:?}: {len} bytes");
        }
        serving.abort();
    }
}

/// Goal: cookies stand for what CONNECT leaves out, and a page may have a user of its own.
#[test]
fn a_page_shows_cookies() {
    let users = "authorization { users = [ {user: a, password: x}, {user: b, password: y}, {user: c, password: z} ] }";
    for whose in BOTH {
        let server = start(whose, "no_tls: true, user_cookie: u, pass_cookie: p, no_auth_user: c", users);
        for (fields, connect, user) in [
            ("Cookie: u=a; p=x\r\n", OPEN, "a"),
            ("Cookie: u=a; p=x\r\n", "{\"verbose\":false,\"user\":\"b\",\"pass\":\"y\"}", "b"),
            ("Cookie: u=a\r\n", "{\"verbose\":false,\"pass\":\"x\"}", "a"),
            ("Cookie: p=x\r\n", "{\"verbose\":false,\"user\":\"a\"}", "a"),
            ("", OPEN, "c"),
        ] {
            let (mut page, _) = Page::open(server.websocket, fields);
            assert_eq!(page.who(connect), user, "{whose:?} {fields} {connect}");
        }
        let (mut page, _) = Page::open(server.websocket, "Cookie: u=a; p=bad\r\n");
        let denied = "-ERR 'Authorization Violation'\r\nclose 1008 Authentication Failure";
        assert_eq!(page.who(OPEN), denied, "{whose:?}");
    }
}

/// Goal: a page is the user of the JWT in its cookie, if nobody has to sign for that.
#[test]
fn a_page_shows_a_jwt() {
    let (operator, account, user) = (KeyPair::new_operator(), KeyPair::new_account(), KeyPair::new_user());
    let preload = jwt::account(&operator, &account, &json!({}), &json!({}));
    let rest = format!(
        "operator: {}\nresolver: MEMORY\nresolver_preload: {{ {}: {preload} }}",
        jwt::operator(&operator, &json!({})),
        account.public_key()
    );
    let token =
        |issuer: &KeyPair, is_bearer: bool| jwt::user(issuer, &user, &json!({ "bearer_token": is_bearer }), &json!({}));
    for whose in BOTH {
        let server = start(whose, "no_tls: true, jwt_cookie: j", &rest);
        // There is no system account here that would tell who it is.
        let said = |token: &str| {
            let (mut page, _) = Page::open(server.websocket, &format!("Cookie: j={token}\r\n"));
            page.hear("\r\n");
            page.send(&format!("CONNECT {OPEN}\r\nPING\r\n"));
            page.hear("PONG\r\n")
        };
        assert!(said(&token(&account, true)).starts_with("PONG\r\n"), "{whose:?}");
        let denied = "-ERR 'Authorization Violation'\r\nclose 1008 Authentication Failure";
        assert_eq!(said(&token(&account, false)), denied, "{whose:?}");
        assert_eq!(said(&token(&KeyPair::new_account(), true)), denied, "{whose:?}");
    }
}

/// Goal: a page is told that credentials are wanted, though it need not show any.
#[test]
fn info_asks_a_page_for_credentials() {
    for whose in BOTH {
        let users = "no_auth_user: a\nauthorization { users = [ {user: a, password: x} ] }";
        let server = start(whose, "no_tls: true", users);
        let (mut page, _) = Page::open(server.websocket, "");
        assert_eq!(page.who(OPEN), "a", "{whose:?}");
        let (mut page, _) = Page::open(server.websocket, "");
        assert!(page.hear("\r\n").contains("\"auth_required\":true"), "{whose:?}");
        let mut other = TcpStream::connect(server.nats).unwrap();
        other.set_read_timeout(Some(LIMIT)).unwrap();
        let mut info = [0; 2048];
        let len = other.read(&mut info).unwrap();
        assert!(!String::from_utf8_lossy(&info[..len]).contains("auth_required"), "{whose:?}");
    }
}

/// Goal: what INFO says of the place; whom a proxy speaks for is not in it.
#[test]
fn info_tells_of_the_websocket() {
    for whose in BOTH {
        let server = start(whose, "no_tls: true", "");
        let (mut page, head) = Page::open(server.websocket, "X-Forwarded-For: 10.9.8.7\r\n");
        assert!(head.contains("Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n"), "{whose:?} {head}");
        let info = page.hear("\r\n");
        let expected = format!("\"port\":{}", server.websocket.port());
        assert!(info.starts_with("INFO {") && info.contains(&expected), "{whose:?} {info}");
        assert!(info.contains("\"client_ip\":\"127.0.0.1\""), "{whose:?} {info}");
        assert!(!info.contains("tls_required") && !info.contains("tls_available"), "{whose:?} {info}");
    }
}

/// Goal: only pages from where they may come get in.
#[test]
fn a_page_has_to_come_from_an_allowed_origin() {
    for whose in BOTH {
        let server = start(whose, "no_tls: true, allowed_origins: [\"http://good.example\"]", "");
        for (origin, status) in [("http://good.example", 101), ("http://bad.example", 403)] {
            let (_, head) = Page::open(server.websocket, &format!("Origin: {origin}\r\n"));
            assert!(head.starts_with(&format!("HTTP/1.1 {status} ")), "{whose:?} {origin} {head}");
        }
    }
}

/// Goal: a page is told why it ends.
#[test]
fn the_last_frame_says_why() {
    for whose in BOTH {
        let server = start(whose, "no_tls: true", "max_payload: 100");
        let open = || {
            let (mut page, _) = Page::open(server.websocket, "");
            page.hear("\r\n");
            page.send(&format!("CONNECT {OPEN}\r\nPING\r\n"));
            page.hear("PONG\r\n");
            page
        };
        let mut large = open();
        large.send("PUB foo 101\r\n");
        let heard = large.hear("never");
        assert!(heard.ends_with("close 1009 Maximum Message Payload Exceeded"), "{whose:?} {heard}");
        if whose == Whose::Ours {
            // The real one often closes before it has said so.
            let mut wrong = open();
            wrong.send("FOO\r\n");
            let heard = wrong.hear("never");
            assert!(heard.ends_with("close 1002 Protocol Violation"), "{heard}");
        }
        // Whoever leaves in order is answered in order.
        let mut leaving = open();
        leaving.stream.write_all(&[0x88, 0x82, 0, 0, 0, 0, 0x03, 0xe8]).unwrap();
        assert!(leaving.hear("never").ends_with("close 1000 "), "{whose:?}");
        let mut last = open();
        server.process.tell("TERM");
        let heard = last.hear("never");
        assert!(heard.ends_with("close 1001 Server Shutdown"), "{whose:?} {heard}");
    }
}

/// Goal: the same in TLS, with the certificate of the block.
#[tokio::test]
async fn a_client_library_goes_by_websocket_in_tls() {
    for whose in BOTH {
        let keys = folder();
        let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
        let certificate = write(&keys, "server.pem", &made.cert.pem());
        let key = write(&keys, "server.key", &made.signing_key.serialize_pem());
        let server = start(whose, &format!("tls {{ cert_file: {certificate:?}, key_file: {key:?} }}"), "");
        let options = ConnectOptions::new().add_root_certificates(path(&keys, "server.pem").into());
        let page = options.connect(format!("wss://localhost:{}", server.websocket.port())).await.unwrap();
        let info = page.server_info();
        assert!(info.tls_required, "{whose:?} {info:?}");
        let mut heard = page.subscribe("foo").await.unwrap();
        page.publish("foo", "hello".into()).await.unwrap();
        assert_eq!(heard.next().await.unwrap().payload, "hello", "{whose:?}");
        // Who does not encrypt there is closed without a word.
        let mut plain = TcpStream::connect(server.websocket).unwrap();
        plain.set_read_timeout(Some(LIMIT)).unwrap();
        plain.write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
        let mut answer = Vec::new();
        let _ = plain.read_to_end(&mut answer);
        assert!(!String::from_utf8_lossy(&answer).contains("101"), "{whose:?}");
    }
}
