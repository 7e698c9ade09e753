use super::*;
use crate::auth::{Access, Auth, User};
use crate::proto::{Step, parse};

const MS: Duration = Duration::from_millis(1);

fn terms(auth: Auth) -> Terms {
    Terms {
        info: Info { max_payload: 100, headers: true, ..Info::default() },
        limits: Limits { line_max: 128, payload_max: 100 },
        access: Access::new(&auth),
        system_account: "$SYS".into(),
        subscriptions_max: 2,
        ping_interval: Duration::from_secs(10),
        websocket_ping_interval: Duration::from_secs(10),
        ping_max: 2,
        auth_timeout: Duration::from_secs(1),
    }
}

/// A session fed with text, as a socket would feed it.
struct Talk {
    session: Session<u32>,
    now: Instant,
    next: u32,
}

impl Talk {
    #[expect(clippy::disallowed_methods, reason = "only an origin for virtual time")]
    fn new(auth: Auth) -> Self {
        let now = Instant::now();
        let mut out = Vec::new();
        let peer = Peer { client_id: 7, client_ip: "127.0.0.1".into(), nonce: Some("n0nce".into()), ..Peer::default() };
        let session = Session::new(Arc::new(terms(auth)), Arc::default(), peer, now);
        session.greet(&mut out);
        assert!(out.starts_with(b"INFO {") && out.ends_with(b"} \r\n"));
        Self { session, now, next: 1 }
    }

    fn connected(options: &str) -> Self {
        let mut talk = Self::new(Auth::default());
        assert_eq!(talk.say(&format!("CONNECT {options}\r\n")), "connected []\n");
        talk
    }

    /// What is answered, and what is to be done, in order.
    fn say(&mut self, input: &str) -> String {
        let (mut rest, mut heard) = (input.as_bytes(), String::new());
        while !rest.is_empty() {
            let mut out = Vec::new();
            let limits = *self.session.limits();
            let (action, len) = match parse(rest, &limits) {
                Ok(Step::Op { op, len }) => (self.session.handle(self.now, op, &mut out), len),
                Ok(Step::Incomplete { .. }) => panic!("incomplete: {input:?}"),
                Err(error) => (self.session.parse_failed(error, &mut out), rest.len()),
            };
            let done = match action {
                Action::None | Action::Measured => String::new(),
                Action::Connected { stale, .. } => {
                    self.session.admitted(&mut out);
                    format!("connected {stale:?}\n")
                }
                Action::Verify(_) => "verify\n".to_owned(),
                Action::Consult(_) => "consult\n".to_owned(),
                Action::Revised(ended) => format!("revised {ended:?}\n"),
                Action::Publish { message, .. } => format!("publish {}\n", subject::text(message.subject)),
                Action::Ask { message, .. } => format!("ask {}\n", subject::text(message.subject)),
                Action::Refused => "refused\n".to_owned(),
                Action::Subscribe { sid, .. } => {
                    self.session.subscribed(sid, self.next, &mut out);
                    self.next += 1;
                    "subscribe\n".to_owned()
                }
                Action::Limit { subscription, max } => format!("limit {subscription} {max}\n"),
                Action::Remove(subscription) => format!("remove {subscription}\n"),
                Action::Close(reason) => format!("close: {}\n", reason.text()),
            };
            heard += &subject::text(&out);
            heard += &done;
            rest = &rest[len..];
        }
        heard
    }

    fn wait(&mut self, time: Duration) -> String {
        self.now += time;
        let mut out = Vec::new();
        let action = self.session.tick(self.now, 0, &mut out);
        let end =
            if let Action::Close(reason) = action { format!("close: {}\n", reason.text()) } else { String::new() };
        subject::text(&out) + &end
    }
}

const QUIET: &str = r#"{"verbose":false,"pedantic":false}"#;

#[test]
fn before_connect_the_defaults_hold() {
    let mut talk = Talk::new(Auth::default());
    assert_eq!(talk.say("PING\r\n"), "PONG\r\n");
    assert_eq!(talk.say("SUB a 1\r\n"), "+OK\r\nsubscribe\n");
    assert_eq!(talk.say("PUB a.* 0\r\n\r\n"), "-ERR 'Invalid Publish Subject'\r\n+OK\r\npublish a.*\n");
}

#[test]
fn verbose_answers_everything_but_ping() {
    let mut talk = Talk::new(Auth::default());
    assert_eq!(talk.say("CONNECT {}\r\n"), "+OK\r\nconnected []\n");
    let input = "SUB a 1\r\nSUB a 1\r\nUNSUB 1 5\r\nUNSUB 1\r\nUNSUB 9\r\nPUB a 0\r\n\r\nPING\r\n";
    let expected = "+OK\r\nsubscribe\n+OK\r\n+OK\r\nlimit 1 5\n+OK\r\nremove 1\n+OK\r\n+OK\r\npublish a\nPONG\r\n";
    assert_eq!(talk.say(input), expected);
}

#[test]
fn the_first_ping_brings_connect_info() {
    let mut talk = Talk::connected(r#"{"verbose":false,"protocol":1}"#);
    let answer = talk.say("PING\r\n");
    assert!(answer.starts_with("PONG\r\nINFO {"), "{answer}");
    assert!(answer.contains(r#""connect_info":true,"remote_account":"$G""#), "{answer}");
    assert_eq!(talk.say("PING\r\n"), "PONG\r\n");
    assert_eq!(Talk::connected(QUIET).say("PING\r\n"), "PONG\r\n");
}

#[test]
fn errors_that_close() {
    for (input, expected) in [
        ("FOO\r\n", "-ERR 'Unknown Protocol Operation'\r\nclose: Protocol Violation\n"),
        ("PUB a 2\r\nabcd", "-ERR 'Unknown Protocol Operation'\r\nclose: Protocol Violation\n"),
        ("PUB a\r\n", "close: Protocol Violation\n"),
        ("HPUB a 2 2\r\nab\r\n", "close: Protocol Violation\n"),
        ("CONNECT {\r\n", "close: Protocol Violation\n"),
        ("CONNECT []\r\n", "close: Protocol Violation\n"),
        ("PUB a 101\r\n", "-ERR 'Maximum Payload Violation'\r\nclose: Maximum Message Payload Exceeded\n"),
        ("CONNECT {\"protocol\":2}\r\n", "-ERR 'invalid client protocol'\r\nclose: Bad Client Protocol Version\n"),
        (
            "CONNECT {\"no_responders\":true}\r\n",
            "-ERR 'no responders requires headers support'\r\nclose: No Responders Requires Headers\n",
        ),
        ("CONNECT {\"account\":\"A\"}\r\n", "-ERR 'Authorization Violation'\r\nclose: Authentication Failure\n"),
        ("-ERR 'x'\r\n", "close: Parse Error\n"),
    ] {
        assert_eq!(Talk::connected(QUIET).say(input), expected, "{input:?}");
    }
    let long = format!("SUB {} 1\r\n", "a".repeat(200));
    let expected = "-ERR 'maximum control line exceeded'\r\nclose: Maximum Control Line Exceeded\n";
    assert_eq!(Talk::connected(QUIET).say(&long), expected);
}

#[test]
fn errors_that_do_not_close() {
    let mut talk = Talk::connected(QUIET);
    for (input, expected) in [
        ("SUB foo..bar 1\r\n", "-ERR 'Invalid Subject'\r\n"),
        ("SUB a _sys_ 1\r\n", "-ERR 'Permissions Violation for Subscription to \"a\" using queue \"_sys_\"'\r\n"),
        ("PUB _GR_.x 0\r\n\r\n", "-ERR 'Permissions Violation for Publish to \"_GR_.x\"'\r\nrefused\n"),
        ("PUB a _R_.x 0\r\n\r\n", "-ERR 'Permissions Violation for Publish with Reply of \"_R_.x\"'\r\nrefused\n"),
        (
            "PUB a $JS.ACK.x 0\r\n\r\n",
            "-ERR 'Permissions Violation for Publish with Reply of \"$JS.ACK.x\"'\r\nrefused\n",
        ),
        ("SUB a 1\r\nSUB b 2\r\n", "subscribe\nsubscribe\n"),
        ("SUB c 3\r\n", "-ERR 'maximum subscriptions exceeded'\r\n"),
        ("INFO {}\r\n+OK\r\n", ""),
        ("PUB $JS.ACK.x 0\r\n\r\n", "publish $JS.ACK.x\n"),
    ] {
        assert_eq!(talk.say(input), expected, "{input:?}");
    }
}

#[test]
fn connecting_again_drops_all_subscriptions() {
    let mut talk = Talk::connected(QUIET);
    talk.say("SUB a 1\r\nSUB b 2\r\n");
    assert_eq!(talk.say(&format!("CONNECT {QUIET}\r\n")), "connected [1, 2]\n");
    assert_eq!(talk.say("UNSUB 1\r\n"), "");
}

#[test]
fn an_expired_sid_may_be_used_again() {
    let mut talk = Talk::connected(QUIET);
    talk.say("SUB a 1\r\n");
    talk.session.expired(b"1", |subscription| *subscription == 99);
    assert_eq!(talk.say("SUB a 1\r\n"), "", "another subscription of that name expired, not this one");
    talk.session.expired(b"1", |subscription| *subscription == 1);
    assert_eq!(talk.say("SUB a 1\r\n"), "subscribe\n");
}

#[test]
fn credentials() {
    let auth = || Auth::users(vec![User::with_password("u", "p")]);
    let denied = "-ERR 'Authorization Violation'\r\nclose: Authentication Failure\n";
    for input in ["PING\r\n", "SUB a 1\r\n", "FOO\r\n", "CONNECT {}\r\n", "CONNECT {\"user\":\"u\",\"pass\":\"x\"}\r\n"]
    {
        assert_eq!(Talk::new(auth()).say(input), denied, "{input:?}");
    }
    let mut talk = Talk::new(auth());
    assert_eq!(talk.say("CONNECT {\"user\":\"u\",\"pass\":\"p\",\"verbose\":false}\r\n"), "connected []\n");
    assert_eq!(talk.say("CONNECT {\"user\":\"u\"}\r\n"), denied);
    let mut talk = Talk::new(auth());
    assert_eq!(talk.wait(999 * MS), "");
    assert_eq!(talk.wait(MS), "-ERR 'Authentication Timeout'\r\nclose: Authentication Timeout\n");
}

/// Whoever has said its password in time may wait for its turn to have it checked: others stand in line before it.
#[test]
fn a_password_that_is_slow_to_check_has_more_time() {
    let hash = bcrypt::hash("p", 4).unwrap();
    let mut talk = Talk::new(Auth::users(vec![User::with_password("u", hash)]));
    assert_eq!(talk.say("CONNECT {\"user\":\"u\",\"pass\":\"p\",\"verbose\":false}\r\n"), "verify\n");
    assert_eq!(talk.wait(SLOW_CHECK_MAX - MS), "");
    assert_eq!(talk.wait(MS), "-ERR 'Authentication Timeout'\r\nclose: Authentication Timeout\n");
}

#[test]
fn a_silent_client_goes_stale() {
    let mut talk = Talk::connected(QUIET);
    assert_eq!(talk.wait(1999 * MS), "");
    assert_eq!(talk.wait(MS), "PING\r\n");
    assert_eq!(talk.wait(10_000 * MS), "PING\r\n");
    assert_eq!(talk.wait(10_000 * MS), "-ERR 'Stale Connection'\r\nclose: Stale Connection\n");
}

#[test]
fn an_active_client_is_not_pinged() {
    let mut talk = Talk::connected(QUIET);
    assert_eq!(talk.wait(2000 * MS), "PING\r\n");
    talk.now += 3 * MS;
    talk.say("PONG\r\n");
    assert_eq!(talk.session.rtt(), Some(3 * MS));
    for _ in 0..5 {
        talk.session.heard(talk.now + 9000 * MS);
        assert_eq!(talk.wait(10_000 * MS), "");
    }
    assert_eq!(talk.wait(20_000 * MS), "PING\r\n");
}

#[test]
fn refusing_says_why() {
    let mut talk = Talk::new(Auth::default());
    let mut out = Vec::new();
    let action = talk.session.refuse(&mut out);
    assert!(matches!(action, Action::Close(CloseReason::MaximumConnectionsExceeded)));
    assert_eq!(out, b"-ERR 'maximum connections exceeded'\r\n");
    assert_eq!(talk.say("PING\r\n"), "", "closed sessions say nothing");
}

/// Goal: news is told once, and only to those who understand an INFO that comes later.
#[test]
fn news_is_told_once() {
    let told = |talk: &mut Talk, urls: &[&str], is_lame| {
        let mut out = Vec::new();
        let connect_urls = urls.iter().map(|url| (*url).to_owned()).collect();
        talk.session.hear(Arc::new(News { connect_urls, is_lame }), &mut out);
        subject::text(&out)
    };
    let mut talk = Talk::connected(r#"{"verbose":false,"protocol":1}"#);
    assert_eq!(told(&mut talk, &[], false), "", "it has heard that at the start");
    let other = told(&mut talk, &["10.0.0.2:4222"], false);
    assert!(other.starts_with("INFO {") && other.contains(r#""connect_urls":["10.0.0.2:4222"]"#), "{other}");
    assert!(!other.contains("ldm"), "{other}");
    assert_eq!(told(&mut talk, &["10.0.0.2:4222"], false), "");
    let lame = told(&mut talk, &["10.0.0.2:4222"], true);
    assert!(lame.contains("\"ldm\":true"), "{lame}");
    assert_eq!(told(&mut talk, &["10.0.0.2:4222"], true), "");
    assert_eq!(told(&mut Talk::connected(QUIET), &["10.0.0.2:4222"], true), "");
}

/// Goal: what has changed between a connection and its CONNECT is told after that.
#[test]
fn news_before_connect_is_not_lost() {
    let mut talk = Talk::new(Auth::default());
    let mut out = Vec::new();
    talk.session.hear(Arc::new(News { connect_urls: vec!["a:1".to_owned()], is_lame: false }), &mut out);
    assert_eq!(subject::text(&out), "", "it may not understand");
    let said = talk.say("CONNECT {\"verbose\":false,\"protocol\":1}\r\nPING\r\n");
    assert!(said.contains("PONG\r\nINFO {") && said.contains(r#""connect_urls":["a:1"]"#), "{said}");
}
