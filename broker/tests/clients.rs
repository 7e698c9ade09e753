//! The server as its clients see it: real sockets on loopback, bytes sent and bytes expected.
//!
//! What each operation means is tested in the session; here it is what needs several connections, or a socket.
#![expect(clippy::unwrap_used, reason = "the helpers are part of the tests")]

use lattice_broker::env::Env;
use lattice_broker::{AccountConfig, Auth, Broker, Config, GLOBAL_ACCOUNT, ListenError, Message, SubjectMapping};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

const LIMIT: Duration = Duration::from_secs(20);

fn config() -> Config {
    Config { listen: SocketAddr::from(([127, 0, 0, 1], 0)), ..Config::default() }
}

fn start(config: Config) -> (Broker, SocketAddr) {
    let broker = Broker::new(Env::tokio(), config).unwrap();
    let addr = broker.listen().unwrap();
    (broker, addr)
}

/// A client that is nothing but its socket.
struct Wire(TcpStream);

impl Wire {
    /// Connects, reads INFO, and sends nothing.
    fn raw(addr: SocketAddr) -> Self {
        let stream = TcpStream::connect(addr).unwrap();
        stream.set_read_timeout(Some(LIMIT)).unwrap();
        stream.set_write_timeout(Some(LIMIT)).unwrap();
        stream.set_nodelay(true).unwrap();
        let mut wire = Self(stream);
        assert!(wire.line().starts_with("INFO {"));
        wire
    }

    fn connect(addr: SocketAddr) -> Self {
        Self::connect_with(addr, r#""headers":true,"no_responders":true"#)
    }

    fn connect_with(addr: SocketAddr, options: &str) -> Self {
        let mut wire = Self::raw(addr);
        wire.send(&format!("CONNECT {{\"verbose\":false,\"pedantic\":false,{options}}}\r\n"));
        wire.fence();
        wire
    }

    fn send(&mut self, text: &str) {
        self.0.write_all(text.as_bytes()).unwrap();
    }

    /// All that was sent before has been handled.
    fn fence(&mut self) {
        self.send("PING\r\n");
        self.expect("PONG\r\n");
    }

    fn line(&mut self) -> String {
        let (mut line, mut byte) = (Vec::new(), [0]);
        while !line.ends_with(b"\n") {
            self.0.read_exact(&mut byte).unwrap();
            line.push(byte[0]);
        }
        String::from_utf8(line).unwrap()
    }

    #[track_caller]
    fn expect(&mut self, text: &str) {
        let mut got = vec![0; text.len()];
        if let Err(error) = self.0.read_exact(&mut got) {
            panic!("{error} instead of {text:?}");
        }
        assert_eq!(String::from_utf8_lossy(&got), text);
    }

    /// The server says `text` and then closes.
    #[track_caller]
    fn expect_end(&mut self, text: &str) {
        let mut got = String::new();
        self.0.read_to_string(&mut got).unwrap();
        assert_eq!(got, text);
    }
}

async fn until(what: &str, mut condition: impl FnMut() -> bool) {
    let env = Env::tokio();
    let deadline = env.now() + LIMIT;
    while !condition() {
        assert!(env.now() < deadline, "never: {what}");
        env.sleep(Duration::from_millis(2)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn publish_and_subscribe() {
    let (broker, addr) = start(config());
    let (mut a, mut b) = (Wire::connect(addr), Wire::connect(addr));
    a.send("SUB > 2\r\nSUB a.* 1\r\n");
    a.fence();
    b.send("PUB a.b 2\r\nhi\r\npub c  reply\t0 \n\r\nPUB a..b 1\r\nx\r\n");
    b.fence();
    a.expect("MSG a.b 2 2\r\nhi\r\nMSG a.b 1 2\r\nhi\r\nMSG c 2 reply 0\r\n\r\n");
    // A PONG follows what was published before it.
    a.send("PUB a.me 1\r\nx\r\nPING\r\n");
    a.expect("MSG a.me 2 1\r\nx\r\nMSG a.me 1 1\r\nx\r\nPONG\r\n");
    until("counted", || broker.stats().in_msgs == 4).await;
    let stats = broker.stats();
    assert_eq!((stats.connections, stats.subscriptions, stats.out_msgs, stats.in_bytes), (2, 2, 5, 4));
}

#[tokio::test(flavor = "multi_thread")]
async fn large_payloads_arrive_whole() {
    let (_broker, addr) = start(config());
    let (mut a, mut b) = (Wire::connect(addr), Wire::connect(addr));
    a.send("SUB a 1\r\n");
    a.fence();
    for size in [0, 1, 8191, 8192, 100_000, 131_072, 262_144, 400_000, 1 << 20] {
        let body: String = (0..size).map(|n: usize| char::from(b'a' + (n % 23) as u8)).collect();
        let bytes = format!("PUB a r {size}\r\n{body}\r\nPUB a 1\r\n.\r\n");
        let (head, tail) = bytes.split_at(bytes.len() / 3);
        b.send(head);
        b.send(tail);
        a.expect(&format!("MSG a 1 r {size}\r\n{body}\r\nMSG a 1 1\r\n.\r\n"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn headers_are_passed_on_or_cut() {
    let (_broker, addr) = start(config());
    let (mut with, mut without) = (Wire::connect(addr), Wire::connect_with(addr, r#""headers":false"#));
    with.send("SUB a 1\r\n");
    with.fence();
    without.send("SUB a 2\r\n");
    without.fence();
    with.send("HPUB a r 18 20\r\nNATS/1.0\r\nA: b\r\n\r\nhi\r\nHPUB a 4 6\r\njunkhi\r\n");
    with.expect("HMSG a 1 r 18 20\r\nNATS/1.0\r\nA: b\r\n\r\nhi\r\nHMSG a 1 4 6\r\njunkhi\r\n");
    without.expect("MSG a 2 r 2\r\nhi\r\nMSG a 2 2\r\nhi\r\n");
}

#[tokio::test(flavor = "multi_thread")]
async fn echo_off_and_nobody_there() {
    let (_broker, addr) = start(config());
    let mut a = Wire::connect_with(addr, r#""headers":true,"no_responders":true,"echo":false"#);
    a.send("SUB svc 1\r\nSUB inbox.* 2\r\nSUB inbox.q q 3\r\nPUB svc 0\r\n\r\n");
    a.fence();
    a.send("PUB svc inbox.1 0\r\n\r\n");
    a.expect("HMSG inbox.1 2 35 35\r\nNATS/1.0 503\r\nNats-Subject: svc\r\n\r\n\r\n");
    // Nobody waits for this answer with a plain subscription.
    a.send("UNSUB 2\r\nPUB svc inbox.q 0\r\n\r\n");
    a.fence();
    let mut b = Wire::connect(addr);
    b.send("SUB svc 1\r\n");
    b.fence();
    a.send("PUB svc inbox.1 0\r\n\r\n");
    a.fence();
    b.expect("MSG svc 1 inbox.1 0\r\n\r\n");
}

#[tokio::test(flavor = "multi_thread")]
async fn unsubscribe_after_a_maximum() {
    let (broker, addr) = start(config());
    let mut a = Wire::connect(addr);
    // Two before the maximum is set count as well; the same sid is free again afterwards.
    a.send("SUB a 1\r\nPUB a 1\r\n1\r\nPUB a 1\r\n2\r\nUNSUB 1 3\r\nPUB a 1\r\n3\r\nPUB a 1\r\n4\r\n");
    a.fence_after("MSG a 1 1\r\n1\r\nMSG a 1 1\r\n2\r\nMSG a 1 1\r\n3\r\n");
    until("the subscription is gone", || broker.stats().subscriptions == 0).await;
    a.send("SUB a 1\r\nPUB a 1\r\n5\r\nUNSUB 1 1\r\nPUB a 1\r\n6\r\n");
    a.fence_after("MSG a 1 1\r\n5\r\n");
    assert_eq!(broker.stats().subscriptions, 0);
}

impl Wire {
    #[track_caller]
    fn fence_after(&mut self, text: &str) {
        self.send("PING\r\n");
        self.expect(text);
        self.expect("PONG\r\n");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_that_used_up_its_subscription_finds_nobody() {
    let (_broker, addr) = start(config());
    let (mut a, mut b) = (Wire::connect(addr), Wire::connect(addr));
    b.send("SUB svc 1\r\nUNSUB 1 1\r\n");
    b.fence();
    a.send("SUB in.* 9\r\nPUB svc in.1 0\r\n\r\nPUB svc in.2 0\r\n\r\n");
    a.expect("HMSG in.2 9 35 35\r\nNATS/1.0 503\r\nNats-Subject: svc\r\n\r\n\r\n");
    b.expect("MSG svc 1 in.1 0\r\n\r\n");
}

#[tokio::test(flavor = "multi_thread")]
async fn one_member_of_each_group() {
    let (_broker, addr) = start(config());
    let mut members: Vec<Wire> = (0..3).map(|_| Wire::connect(addr)).collect();
    for (n, member) in members.iter_mut().enumerate() {
        member.send(&format!("SUB {} q 1\r\n", if n == 0 { "work.*" } else { "work.a" }));
        member.fence();
    }
    let mut publisher = Wire::connect(addr);
    for _ in 0..300 {
        publisher.send("PUB work.a 1\r\nx\r\n");
    }
    publisher.fence();
    let counts: Vec<usize> = members
        .iter_mut()
        .map(|member| {
            member.send("PING\r\n");
            let mut count = 0;
            while member.line().starts_with("MSG") {
                member.line();
                count += 1;
            }
            count
        })
        .collect();
    assert_eq!(counts.iter().sum::<usize>(), 300, "{counts:?}");
    assert!(counts.iter().all(|count| *count > 50), "{counts:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn bad_input_ends_one_client_and_not_the_server() {
    let (broker, addr) = start(Config { max_payload: 1000, ..config() });
    for (input, answer) in [
        (&b"\x16\x03\x01\x02\x00\x01\x00"[..], "-ERR 'Unknown Protocol Operation'\r\n"),
        (b"GET / HTTP/1.1\r\n\r\n", "-ERR 'Unknown Protocol Operation'\r\n"),
        (b"PUB a 1001\r\n", "-ERR 'Maximum Payload Violation'\r\n"),
        (&[b"SUB ", &[b'a'; 5000][..]].concat(), "-ERR 'maximum control line exceeded'\r\n"),
        (b"CONNECT {\r\n", ""),
        (b"PING\r\nPUB a\r\n", "PONG\r\n"),
    ] {
        let mut client = Wire::raw(addr);
        client.0.write_all(input).unwrap();
        client.expect_end(answer);
    }
    until("all are gone", || broker.stats().connections == 0).await;
    assert_eq!(broker.stats().closed["Protocol Violation"], 4);
    Wire::connect(addr).fence();
}

#[tokio::test(flavor = "multi_thread")]
async fn too_many_connections_are_told_so() {
    let (broker, addr) = start(Config { max_connections: 1, ..config() });
    let first = Wire::connect(addr);
    Wire::raw(addr).expect_end("-ERR 'maximum connections exceeded'\r\n");
    drop(first);
    until("there is room", || broker.stats().connections == 0).await;
    Wire::connect(addr).fence();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_does_not_read_is_closed() {
    let config = Config { max_pending: 1 << 20, stall_max: Duration::from_millis(1), ..config() };
    let (broker, addr) = start(config);
    let mut slow = Wire::connect(addr);
    slow.send("SUB a 1\r\n");
    slow.fence();
    let mut publisher = Wire::connect(addr);
    let frame = format!("PUB a 60000\r\n{}\r\n", "x".repeat(60_000));
    for _ in 0..10_000 {
        publisher.send(&frame);
        if broker.stats().slow_consumers > 0 {
            break;
        }
    }
    publisher.fence();
    assert_eq!(broker.stats().closed["Slow Consumer (Pending Bytes)"], 1);
    until("its subscription is gone", || broker.stats().subscriptions == 0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_stops_reading_is_closed_at_the_deadline() {
    let config = Config { write_deadline: Duration::from_millis(50), ..config() };
    let (broker, addr) = start(config);
    let mut slow = Wire::connect(addr);
    slow.send("SUB a 1\r\n");
    slow.fence();
    let mut publisher = Wire::connect(addr);
    // More than the sockets' buffers hold, less than the limit on what may wait.
    let frame = format!("PUB a 1000000\r\n{}\r\n", "x".repeat(1_000_000));
    for _ in 0..30 {
        publisher.send(&frame);
    }
    publisher.fence();
    until("it is closed", || broker.stats().closed.contains_key("Slow Consumer (Write Deadline)")).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slow_reader_gets_everything() {
    let (broker, addr) = start(Config { stall_pending: 64 << 10, ..config() });
    let mut slow = Wire::connect(addr);
    slow.send("SUB a 1\r\n");
    slow.fence();
    let mut publisher = Wire::connect(addr);
    let body = "x".repeat(50_000);
    for n in 0..400 {
        publisher.send(&format!("PUB a {}\r\n{n:04}{body}\r\n", body.len() + 4));
    }
    for n in 0..400 {
        slow.expect(&format!("MSG a 1 {}\r\n{n:04}{body}\r\n", body.len() + 4));
    }
    publisher.fence();
    assert_eq!(broker.stats().slow_consumers, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn draining_writes_what_waits_and_closes() {
    let (broker, addr) = start(config());
    let mut client = Wire::connect(addr);
    client.send("SUB a 1\r\n");
    client.fence();
    broker.local().publish(&Message { subject: b"a", reply: None, header_len: 0, body: b"last" });
    broker.drain().await;
    client.expect_end("MSG a 1 4\r\nlast\r\n");
    assert!(TcpStream::connect(addr).is_err(), "it does not listen any more");
    assert_eq!(broker.stats().connections, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_port_in_use_is_named() {
    let (_broker, addr) = start(config());
    let second = Broker::new(Env::tokio(), Config { listen: addr, ..config() }).unwrap();
    let error = second.listen().unwrap_err();
    assert!(matches!(error, ListenError::InUse { addr: named } if named == addr));
    assert_eq!(error.to_string(), format!("cannot listen for NATS clients on {addr}: the address is in use"));
}

#[tokio::test(flavor = "multi_thread")]
async fn inside_and_outside_clients_meet() {
    let (broker, addr) = start(config());
    let mut local = broker.local();
    let mut inside = local.subscribe(b"in", None, 10).unwrap();
    let mut outside = Wire::connect(addr);
    outside.send("SUB out 1\r\n");
    outside.fence();
    outside.send("HPUB in back 12 14\r\nNATS/1.0\r\n\r\nhi\r\n");
    let message = inside.next().await;
    assert_eq!((&message.headers[..], &message.payload[..]), (&b"NATS/1.0\r\n\r\n"[..], &b"hi"[..]));
    assert_eq!(message.reply.as_deref(), Some(&b"back"[..]));
    assert_eq!(local.publish(&Message { subject: b"out", reply: Some(b"r"), header_len: 0, body: b"yes" }), 1);
    outside.expect("MSG out 1 r 3\r\nyes\r\n");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_inside_clients_publish_is_mapped() {
    let mappings = vec![SubjectMapping::all("a.*", "b.$1"), SubjectMapping::all("b.*", "c.$1")];
    let global = AccountConfig { mappings, ..AccountConfig::new(GLOBAL_ACCOUNT) };
    let auth = Auth { accounts: vec![global], ..Auth::default() };
    let (broker, _) = start(Config { auth, ..config() });
    let mut local = broker.local();
    let mut inside = local.subscribe(b">", None, 10).unwrap();
    assert_eq!(local.publish(&Message { subject: b"a.x", reply: Some(b"a.r"), header_len: 0, body: b"" }), 1);
    let message = inside.next().await;
    assert_eq!((&message.subject[..], message.reply.as_deref()), (&b"b.x"[..], Some(&b"a.r"[..])));
}
