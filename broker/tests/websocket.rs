//! Openings and control frames of WebSockets, byte for byte: what is asked of us is asked of the real nats-server too.
#![allow(clippy::unwrap_used, clippy::disallowed_methods, reason = "tests talk to real processes in real time")]
#![allow(unreachable_pub, dead_code, reason = "other tests need more of what is shared")]

#[path = "support/nats_server.rs"]
mod nats_server;

use lattice_broker::env::{Env, Stream};
use lattice_broker::websocket::{Rules, accept};
use nats_server::NatsServer;
use std::future::poll_fn;
use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// How long an answer may take.
const LIMIT: Duration = Duration::from_secs(20);
/// How often the real server is asked what it says of an error: it often closes before it has said it.
const TRIES: usize = 500;

const SETTINGS: &str = "no_tls: true, compression: true, same_origin: true,
    allowed_origins: [\"http://a.example\", \"https://b.example\"], headers { X-One: \"1 2\" }";

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// The real server, and where it serves WebSockets.
fn real() -> (NatsServer, SocketAddr) {
    let folder = tempfile::tempdir().unwrap();
    let ports = format!("ports_file_dir: \"{}\"", folder.path().display());
    let server = NatsServer::start(&format!("websocket {{ listen: \"127.0.0.1:-1\", {SETTINGS} }}\n{ports}"));
    let began = Instant::now();
    loop {
        if let Some(address) = websocket_port(folder.path()) {
            return (server, address);
        }
        assert!(began.elapsed() < LIMIT, "never said which port it has");
        std::thread::yield_now();
    }
}

fn websocket_port(folder: &Path) -> Option<SocketAddr> {
    let file = std::fs::read_dir(folder).unwrap().next()?.unwrap().path();
    let ports: serde_json::Value = serde_json::from_str(&std::fs::read_to_string(file).ok()?).ok()?;
    ports["websocket"][0].as_str()?.strip_prefix("ws://")?.parse().ok()
}

/// Ours, by the same settings: it reads until the end, and says nothing by itself.
fn ours(env: &Env) -> SocketAddr {
    let origins = ["http://a.example", "https://b.example"].map(|origin| origin.parse().unwrap());
    let rules = Arc::new(Rules {
        compression: true,
        same_origin: true,
        allowed_origins: origins.to_vec(),
        headers: vec![("X-One".to_owned(), "1 2".to_owned())],
        ..Rules::default()
    });
    let mut listener = env.tcp_listen("127.0.0.1:0".parse().unwrap()).unwrap();
    let (address, spawner) = (listener.local_addr(), env.clone());
    env.spawn(async move {
        while let Ok(stream) = poll_fn(|cx| listener.poll_accept(cx)).await {
            let rules = rules.clone();
            spawner.spawn(async move {
                if let Ok(accepted) = accept(stream, &rules, false).await {
                    serve(&accepted.stream).await;
                }
            });
        }
    });
    address
}

async fn serve(stream: &dyn Stream) {
    while poll_fn(|cx| stream.poll_read_ready(cx)).await.is_ok() {
        match stream.try_read(&mut [0; 1000]) {
            Ok(len) if len > 0 => {}
            Err(error) if error.kind() == ErrorKind::WouldBlock => {}
            Ok(_) | Err(_) => break,
        }
    }
    stream.shutdown_write();
}

const USUAL: &str = "GET / HTTP/1.1\r\nHost: a.example\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
    Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n";
const DEFLATE: &str = "Sec-WebSocket-Extensions: permessage-deflate\r\n";

/// The usual request with `from` as `to`.
fn request(from: &str, to: &str) -> String {
    assert!(USUAL.contains(from));
    USUAL.replacen(from, to, 1)
}

/// Connects and sends `request`; returns the head of the answer, too.
fn open(address: SocketAddr, request: &str) -> (TcpStream, String) {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(LIMIT)).unwrap();
    stream.write_all(request.as_bytes()).unwrap();
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(byte(&mut stream).unwrap());
    }
    (stream, String::from_utf8(head).unwrap())
}

fn byte(stream: &mut TcpStream) -> Option<u8> {
    let mut byte = [0];
    (stream.read(&mut byte).ok()? == 1).then_some(byte[0])
}

/// The answer to a request, without the fields in which the two differ.
fn answer(address: SocketAddr, request: &str) -> String {
    let (mut stream, head) = open(address, request);
    let len = head.lines().find_map(|line| line.strip_prefix("Content-Length: "));
    let has_body = !request.starts_with("HEAD") && !head.starts_with("HTTP/1.1 101");
    let mut body = vec![0; len.map_or(0, |len| len.parse().unwrap()) * usize::from(has_body)];
    stream.read_exact(&mut body).unwrap();
    if len.is_none() && has_body {
        stream.read_to_end(&mut body).unwrap();
    }
    let is_same = |line: &&str| !line.starts_with("Date: ") && *line != "Connection: close";
    let head: Vec<&str> = head.lines().filter(is_same).collect();
    format!("{}\n{}", head.join("\n"), String::from_utf8(body).unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_get_the_same_answers() {
    let env = Env::tokio();
    let ((_server, real), ours) = (real(), ours(&env));
    let (end, key) = ("\r\n\r\n", "dGhlIHNhbXBsZSBub25jZQ==");
    let deflate = |offer: &str| request(end, &format!("\r\nSec-WebSocket-Extensions: {offer}\r\n\r\n"));
    let origin = |origin: &str| request(end, &format!("\r\nOrigin: {origin}\r\n\r\n"));
    let requests = [
        USUAL.to_owned(),
        deflate("permessage-deflate"),
        deflate("foo, Permessage-Deflate; client_max_window_bits"),
        deflate("x-deflate"),
        request(end, "\r\nNats-No-Masking: true\r\n\r\n"),
        request(end, "\r\nNats-No-Masking: yes\r\n\r\n"),
        request("GET /", "GET /path?/mqtt"),
        request("GET /", "GET http://c.example/path"),
        request("HTTP/1.1", "HTTP/1.0"),
        request("Connection: Upgrade", "connection: keep-alive, upgrade"),
        request("Upgrade: websocket", "UPGRADE: h2c, WebSocket"),
        request(key, "dGhlIHNhbXBsZSBub25jZR=="),
        USUAL.replace("\r\n", "\n"),
        request("GET", "POST"),
        request("GET", "HEAD"),
        request("GET /", "GET /mqtt"),
        request("GET /", "POST /a/mqtt?b"),
        request("Host: a.example", "Host:"),
        request("Upgrade: websocket\r\n", ""),
        request("Upgrade: websocket", "Upgrade: websockets"),
        request("Connection: Upgrade", "Connection: keep-alive"),
        request("Connection: Upgrade\r\n", ""),
        request("Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n", ""),
        request(key, "abc"),
        request(key, "dGhlIHNhbXBsZSBub25jZWFi"),
        request("Version: 13", "Version: 8"),
        request("Version: 13", "Version: 8, 13"),
        origin("http://a.example"),
        origin("http://A.example:80"),
        origin("http://a.example/path"),
        origin("http://a.example:81"),
        origin("https://a.example"),
        origin("http://b.example"),
        origin("https://b.example"),
        origin("null"),
        origin("file:///a"),
        origin("http://a.example:80:80"),
        origin("http://a.example:x"),
        origin("http://b@a.example"),
        request(end, "\r\nSec-WebSocket-Origin: http://b.example\r\n\r\n"),
        "CONNECT {}\r\nPING\r\n\r\n".to_owned(),
        "GET / HTTP/1.1\r\nfoo bar\r\n\r\n".to_owned(),
        request("GET /", "GET foo"),
        request(end, "\r\nHost: b.example\r\n\r\n"),
        request("Host: a.example\r\n", ""),
        request("HTTP/1.1", "HTTP/2.0"),
    ];
    for request in requests {
        assert_eq!(answer(ours, &request), answer(real, &request), "ours, real; {request}");
    }
}

/// A frame of a client, masked with nothing.
fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    let len = payload.len() as u8;
    let extended: &[u8] = if len > 125 { &[0, len] } else { &[] };
    [&[first, 0x80 | len.min(126)], extended, &[0; 4], payload].concat()
}

/// What is said to `frames` until the end. The real server says INFO first, in one frame.
fn reply(address: SocketAddr, frames: &[u8], has_info: bool) -> Vec<u8> {
    let (mut stream, _) = open(address, &request("\r\n\r\n", &format!("\r\n{DEFLATE}\r\n")));
    if has_info {
        let mut head = [0; 4];
        stream.read_exact(&mut head).unwrap();
        assert_eq!(head[1], 126, "INFO is of some length");
        let mut info = vec![0; usize::from(u16::from_be_bytes([head[2], head[3]]))];
        stream.read_exact(&mut info).unwrap();
    }
    // The server may have heard enough before the end.
    let _ = stream.write_all(frames);
    std::iter::from_fn(|| byte(&mut stream)).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn frames_get_the_same_answers() {
    let env = Env::tokio();
    let ((_server, real), ours) = (real(), ours(&env));
    let join = |frames: &[(u8, &[u8])]| frames.iter().flat_map(|(first, payload)| frame(*first, payload)).collect();
    let close = (0x88, &b"\x03\xe8bye"[..]);
    let cases: [Vec<u8>; 25] = [
        join(&[close]),
        join(&[(0x88, b"")]),
        join(&[(0x88, b"\x13\x87")]),
        join(&[(0x88, b"\x03\xe8\xff")]),
        join(&[(0x89, b"hi"), close]),
        join(&[(0x89, &[b'x'; 125]), (0x8a, b""), close]),
        join(&[(0x82, b"+OK\r\n"), (0x01, b"+O"), (0x89, b""), (0x00, b""), (0x80, b"K\r\n"), close]),
        // `+OK\r\n` compressed, with and without a last block; nothing; and nothing in a plain message.
        join(&[(0xc2, b"\xd2\xf6\xf7\xe6\xe5\x02\x00"), (0xc2, b"\0"), (0x82, b""), close]),
        join(&[(0xc2, b"\xd3\xf6\xf7\xe6\xe5\x02\x00junk"), close]),
        join(&[(0x42, b"\xd2\xf6\xf7"), (0x89, b"?"), (0x80, b"\xe6\xe5\x02\x00"), close]),
        b"\x82\x05+OK\r\n".to_vec(),
        join(&[(0xa2, b"x")]),
        join(&[(0x92, b"x")]),
        join(&[(0x83, b"")]),
        join(&[(0xcb, b"")]),
        join(&[(0xbb, b"")]),
        join(&[(0x09, b"")]),
        join(&[(0x89, &[b'x'; 126])]),
        join(&[(0xc9, b"")]),
        join(&[(0x80, b"x")]),
        join(&[(0x02, b"+"), (0xc0, b"x")]),
        join(&[(0x02, b"+"), (0x82, b"x")]),
        join(&[(0x88, b"a")]),
        join(&[(0x88, b"\x03\xed")]),
        [&b"\x82\xff"[..], &[0xff; 8], b"mask"].concat(),
    ];
    for frames in cases {
        let wanted = reply(ours, &frames, false);
        assert!(wanted.len() > 1, "ours says nothing to {frames:?}");
        let said = (0..TRIES).map(|_| reply(real, &frames, true)).find(|said| said.len() >= wanted.len());
        let text = said.as_deref().map(String::from_utf8_lossy);
        assert_eq!(text, Some(String::from_utf8_lossy(&wanted)), "real, ours; {frames:?}");
    }
    // What cannot be inflated is an end to both; only ours says why.
    for bytes in [&b"\xff\xff\xff\xff"[..], b""] {
        let frames = join(&[(0xc2, bytes), close]);
        assert_eq!(reply(real, &frames, true), b"");
        assert!(reply(ours, &frames, false).starts_with(b"\x88\x2c\x03\xefa compressed"));
    }
}
