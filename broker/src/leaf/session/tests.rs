use super::*;
use crate::credentials::Credentials;
use crate::env::Rng;
use crate::leaf::{Op, Parser, ParserLimits, Scope, Step, retry_delay, some_moment};
use crate::neighbor::InterestSource;
use rand_core::SeedableRng;

const INFO1: &str = r#"INFO {"server_id":"NID","server_name":"hub","version":"2.15.1","proto":3,"headers":true,"max_payload":64,"client_id":6,"nonce":"n","compression":"s2_auto","info_on_connect":true,"leafnode_urls":["10.0.0.1:7422"]}"#;
const INFO2: &str = r#"INFO {"client_id":6,"connect_info":true,"remote_account":"A","headers":true,"max_payload":64}"#;
const CONNECT: &str = r#"CONNECT {"version":"2.15.1","server_id":"n1","name":"n1","cluster":"mesh","headers":true,"protocol":1,"compress_mode":"off","remote_account":"$G","deny_pub":["$JS.API.>","$KV.>","$OBJ.>"]}"#;

struct Link {
    session: Session,
    interest: Interest,
    start: Instant,
    now: Instant,
}

impl Link {
    fn new() -> Self {
        Self::with(|_| {})
    }

    fn with(change: impl FnOnce(&mut Config)) -> Self {
        let mut config = Config::new("n1", "mesh", "$G", "TOKEN".to_owned());
        change(&mut config);
        let now = some_moment();
        let session = Session::new(Arc::new(config), now);
        Self { session, interest: Interest::new(b"$G", Scope::Up), start: now, now }
    }

    fn opened() -> Self {
        let mut link = Self::new();
        link.says(INFO1).unwrap();
        link.says(INFO2).unwrap();
        link.wrote();
        link
    }

    /// The peer says one line; returns the event as text.
    fn says(&mut self, line: &str) -> Result<String, Close> {
        let bytes = format!("{line}\r\n");
        let step = Parser::new(ParserLimits::default()).step(bytes.as_bytes());
        let control = match step {
            Ok(Step::Op { op: Op::Control(control), .. }) => control,
            Err(error) => return Err(self.session.protocol_error(error)),
            Ok(other) => panic!("{other:?}"),
        };
        let event = self.session.handle(self.now, control, &mut self.interest)?;
        Ok(event.map_or_else(String::new, |event| match event {
            Event::Interest { subject, queue, weight } => {
                let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
                format!("{} {:?} {weight}", text(subject), queue.map(text))
            }
            other => format!("{other:?}"),
        }))
    }

    fn wrote(&mut self) -> String {
        let mut buffer = Vec::new();
        self.session.take_output(&mut buffer, &mut self.interest);
        self.session.written(buffer.len());
        String::from_utf8(buffer).unwrap().replace("\r\n", ";")
    }

    fn wants(&mut self, subject: &str, queue: Option<&str>, weight: u32) {
        let (subject, queue) = (subject.as_bytes(), queue.map(str::as_bytes));
        let source = InterestSource::Clients;
        let change = InterestChange { source, account: b"$G", subject, queue, weight };
        self.session.interest(&change, &mut self.interest);
    }

    fn send(&mut self, subject: &str, header_len: usize, body: &str, groups: &[&str]) -> Result<(), Unsent> {
        let message = Message { subject: subject.as_bytes(), reply: None, header_len, body: body.as_bytes() };
        self.session.send(self.now, &message, groups.iter().map(|group| group.as_bytes()), &mut self.interest)
    }

    fn advance(&mut self, duration: Duration) -> Result<(), Close> {
        self.now += duration;
        self.session.handle_timeout(self.now, &mut self.interest)
    }
}

#[test]
fn a_link_opens_as_a_real_server_expects() {
    let mut link = Link::new();
    link.wants("b", None, 1);
    link.wants("a", Some("q"), 2);
    assert_eq!(link.wrote(), "");
    assert_eq!(link.says(INFO1), Ok(String::new()));
    assert_eq!(link.wrote(), format!("{CONNECT};"));
    assert_eq!(link.send("x", 0, "", &[]), Err(Unsent::Down));
    let opened = link.says(INFO2).unwrap();
    assert!(opened.starts_with("Opened") && opened.contains("hub") && opened.contains("10.0.0.1:7422"), "{opened}");
    assert_eq!(link.wrote(), "LS+ $LDS.TOKEN;LS+ a q 2;LS+ b;");
    link.wants("b", None, 1);
    link.wants("a", Some("q"), 3);
    link.wants("b", None, 0);
    assert_eq!(link.wrote(), "LS+ a q 3;LS- b;");
}

#[test]
fn an_old_server_does_not_answer_connect() {
    let mut link = Link::new();
    assert!(link.says(r#"INFO {"client_id":1,"leafnode_urls":[]}"#).unwrap().starts_with("Opened"));
    assert_eq!(link.wrote(), format!("{CONNECT};LS+ $LDS.TOKEN;"));
}

#[test]
fn credentials_are_sent_and_never_shown() {
    let mut link = Link::with(|config| {
        config.credentials = Credentials::Password { user: "u".into(), pass: "secret".into() };
    });
    assert!(!format!("{:?}", link.session).contains("secret"));
    link.says(INFO1).unwrap();
    assert!(link.wrote().contains(r#""user":"u","pass":"secret"}"#));
    let mut link = Link::with(|config| config.credentials = Credentials::Token("secret".into()));
    link.says(INFO1).unwrap();
    assert!(link.wrote().contains(r#""user":"secret","auth_token":"secret"}"#));
}

#[test]
fn other_ports_are_recognised() {
    for info in [
        // A client port; a route port; TLS; something that is no NATS server at all.
        (r#"INFO {"server_id":"N","client_id":5,"headers":true,"max_payload":1048576}"#, Close::WrongPort),
        (r#"INFO {"server_id":"N","info_on_connect":true}"#, Close::WrongPort),
        (r#"INFO {"client_id":5,"info_on_connect":true,"tls_required":true}"#, Close::TlsRequired),
        ("HTTP/1.1 400 Bad Request", Close::WrongPort),
    ] {
        assert_eq!(Link::new().says(info.0), Err(info.1), "{}", info.0);
    }
    assert!(matches!(Link::new().says("INFO {"), Err(Close::BadInfo(_))));
    assert_eq!(Link::opened().says("CONNECT {}"), Err(Close::UnexpectedConnect));
}

#[test]
fn silence_ends_the_link_in_each_state() {
    let mut link = Link::new();
    assert_eq!(link.session.poll_timeout(&link.interest), link.start + Duration::from_secs(2));
    assert_eq!(link.advance(Duration::from_secs(1)), Ok(()));
    assert_eq!(link.advance(Duration::from_secs(1)), Err(Close::NoInfo(Duration::from_secs(2))));
    let mut link = Link::new();
    link.says(INFO1).unwrap();
    link.wrote();
    assert_eq!(link.advance(Duration::from_secs(2)), Err(Close::NoAnswer(Duration::from_secs(2))));
    assert_eq!(link.wrote(), "-ERR 'Stale Leaf Node Connection - Closing';");
}

#[test]
fn pings_go_out_and_need_a_sign_of_life() {
    let mut link = Link::opened();
    assert_eq!(link.advance(Duration::from_millis(999)), Ok(()));
    assert_eq!(link.wrote(), "");
    assert_eq!(link.advance(Duration::from_millis(1)), Ok(()));
    assert_eq!(link.wrote(), "PING;");
    link.session.heard();
    for _ in 0..2 {
        assert_eq!(link.advance(Duration::from_secs(5)), Ok(()));
        assert_eq!(link.wrote(), "PING;");
    }
    assert_eq!(link.says("PING"), Ok(String::new()));
    assert_eq!(link.wrote(), "PONG;");
    assert_eq!(link.advance(Duration::from_secs(5)), Err(Close::Stale(Duration::from_secs(10))));
    assert_eq!(link.wrote(), "-ERR 'Stale Connection';");
}

#[test]
fn not_reading_is_no_reason_to_call_the_peer_stale() {
    let mut link = Link::opened();
    link.advance(Duration::from_secs(1)).unwrap();
    link.advance(Duration::from_secs(5)).unwrap();
    link.now += Duration::from_secs(60);
    link.session.resumed(link.now);
    assert_eq!(link.advance(Duration::from_secs(5)), Ok(()));
}

#[test]
fn the_peers_interest_is_handed_on_as_differences() {
    let mut link = Link::opened();
    assert_eq!(link.says("LS+ a.*").as_deref(), Ok("a.* None 1"));
    assert_eq!(link.says("LS+ a.*").as_deref(), Ok(""));
    assert_eq!(link.says("LS+ a q 2").as_deref(), Ok("a Some(\"q\") 2"));
    assert_eq!(link.says("LS+ a q 5").as_deref(), Ok("a Some(\"q\") 5"));
    assert_eq!(link.says("LS- a q").as_deref(), Ok("a Some(\"q\") 0"));
    assert_eq!(link.says("LS- a q").as_deref(), Ok(""));
    assert_eq!(link.says("LS- a.*").as_deref(), Ok("a.* None 0"));
    for refused in ["LS+ $JS.API.>", "LS+ $KV.b.k", "LS+ a q 0"] {
        assert_eq!(link.says(refused).as_deref(), Ok("InterestRefused"), "{refused}");
    }
    link.session.config = Arc::new(Config { peer_interest_max: 1, ..(*link.session.config).clone() });
    assert_eq!(link.says("LS+ b").as_deref(), Ok("b None 1"));
    assert_eq!(link.says("LS+ c").as_deref(), Ok("InterestRefused"));
}

#[test]
fn its_own_mark_is_a_loop() {
    let mut link = Link::opened();
    assert_eq!(link.says("LS+ $LDS.OTHER").as_deref(), Ok(""));
    assert_eq!(link.says("LS+ $LDS.TOKEN"), Err(Close::Loop));
    let text = "-ERR 'Loop detected for leafnode account=\"$G\". Delaying attempt to reconnect for 30s';";
    assert_eq!(link.wrote(), text);
}

#[test]
fn refusals_delay_the_next_attempt() {
    let mut rng = Rng::from_seed([7; 32]);
    let mut delay = |close: &Close| retry_delay(close, &mut rng).as_secs();
    let mut link = Link::opened();
    let loop_detected = link.says("-ERR 'Loop detected for leafnode account=\"A\"'").unwrap_err();
    assert_eq!(delay(&loop_detected), 31);
    assert_eq!(delay(&Close::Loop), 31);
    for (text, secs) in [
        ("remote leafnode has same cluster name", 31),
        ("connection rejected since minimum version required is \"3.0.0\"", 6),
        ("Authorization Violation", 1),
    ] {
        let mut link = Link::opened();
        assert!(link.says(&format!("-ERR '{text}'")).unwrap().contains("Complaint"));
        let close = link.session.lost(link.now, "closed by the server");
        assert_eq!(close, Close::Refused(text.to_owned()));
        assert_eq!(delay(&close), secs, "{text}");
        // Long after the complaint, the end has another cause.
        let later = link.now + Duration::from_secs(60);
        assert_eq!(link.session.lost(later, "reset"), Close::Lost("reset".to_owned()));
    }
}

#[test]
fn messages_are_written_in_their_form() {
    let mut link = Link::opened();
    assert_eq!(link.send("a", 0, "hi", &[]), Ok(()));
    assert_eq!(link.send("a", 4, "H\r\nhi", &["q1", "q2"]), Ok(()));
    assert_eq!(link.wrote(), "LMSG a 2;hi;HMSG a | q1 q2 4 5;H;hi;");
    let message = Message { subject: b"a", reply: Some(b"r"), header_len: 0, body: b"x" };
    let groups = [&b"q"[..]];
    link.session.send(link.now, &message, groups.iter().copied(), &mut link.interest).unwrap();
    // The way back is told first.
    assert_eq!(link.wrote(), "LS+ r;LMSG a + r q 1;x;");
}

#[test]
fn a_peer_without_headers_gets_none() {
    let mut link = Link::new();
    link.says(r#"INFO {"client_id":1,"leafnode_urls":[]}"#).unwrap();
    link.wrote();
    assert_eq!(link.send("a", 3, "H\r\nhi", &[]), Ok(()));
    assert_eq!(link.wrote(), "LMSG a 2;hi;");
}

#[test]
fn what_would_cost_the_link_is_not_sent() {
    let mut link = Link::new();
    link.says(INFO1).unwrap();
    let permissions = r#"INFO {"connect_info":true,"export":{"allow":["up.\u003e"],"deny":["up.secret"]},"import":{"allow":["down.\u003e"],"deny":null}}"#;
    link.wants("down.a", None, 1);
    link.wants("up.a", None, 1);
    link.says(permissions).unwrap();
    assert!(link.wrote().ends_with("LS+ $LDS.TOKEN;LS+ down.a;"));
    assert_eq!(link.send("up.a", 0, "", &[]), Ok(()));
    assert_eq!(link.send("up.secret", 0, "", &[]), Err(Unsent::NotPermitted));
    assert_eq!(link.send("else", 0, "", &[]), Err(Unsent::NotPermitted));
    assert_eq!(link.send("$JS.API.INFO", 0, "", &[]), Err(Unsent::Denied));
    assert_eq!(link.send("up.a", 0, &"x".repeat(65), &[]), Err(Unsent::TooLarge));
    link.wrote();
    // Permissions of a later INFO hold at once; their absence changes nothing.
    assert!(link.says(r#"INFO {"leafnode_urls":["x:1"]}"#).unwrap().starts_with("Discovered"));
    assert_eq!(link.send("else", 0, "", &[]), Err(Unsent::NotPermitted));
    assert!(link.says(r#"INFO {"export":{"allow":["else"]},"import":{}}"#).unwrap().starts_with("Permissions"));
    assert_eq!(link.wrote(), "LS+ up.a;");
    assert_eq!(link.send("else", 0, "", &[]), Ok(()));
}

#[test]
fn system_subjects_go_only_where_they_are_asked_for() {
    let mut link = Link::opened();
    link.says("LS+ >").unwrap();
    assert_eq!(link.send("$SYS.REQ.USER.INFO", 0, "", &[]), Err(Unsent::Denied));
    link.says("LS+ $SYS.REQ.USER.INFO").unwrap();
    link.says("LS+ $SYS.REQ.*.PING q 1").unwrap();
    assert_eq!(link.send("$SYS.REQ.USER.INFO", 0, "", &[]), Ok(()));
    assert_eq!(link.send("$SYS.REQ.SERVER.PING", 0, "", &["q"]), Ok(()));
    assert_eq!(link.send("$SYS.REQ.OTHER", 0, "", &[]), Err(Unsent::Denied));
}

#[test]
fn the_backlog_is_bounded_and_interest_catches_up() {
    let mut link = Link::with(|config| config.pending_bytes_max = 100);
    link.says(INFO1).unwrap();
    link.says(INFO2).unwrap();
    link.wrote();
    let mut sent = 0;
    while link.send("a", 0, "0123456789", &[]).is_ok() {
        sent += 1;
    }
    assert!((3..=8).contains(&sent), "{sent}");
    assert_eq!(link.send("a", 0, "0123456789", &[]), Err(Unsent::Full));
    link.session.config = Arc::new(Config { pending_bytes_max: 10, ..(*link.session.config).clone() });
    link.wants("b", None, 1);
    link.wants("c", None, 1);
    link.wants("b", None, 0);
    assert!(link.wrote().ends_with(";LS+ c;"));
    assert_eq!(link.session.pending_bytes(), 0);
    link.wants("b", None, 1);
    assert_eq!(link.wrote(), "LS+ b;");
}
