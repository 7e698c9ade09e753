use super::*;
use crate::leaf::{Control, Op, Parser, ParserLimits, Scope, Step, Unsent, some_moment};
use crate::message::{ClusterId, Message};
use crate::neighbor::{InterestChange, InterestSource};
use std::time::Duration;

struct Hub {
    session: Session,
    interest: Interest,
    now: Instant,
}

fn lists(allow: &[&str], deny: &[&str]) -> SubjectLists {
    let owned = |list: &[&str]| list.iter().map(|&subject| subject.to_owned()).collect();
    SubjectLists { allow: owned(allow), deny: owned(deny) }
}

impl Hub {
    fn new() -> Self {
        let config = Config {
            is_acceptor: true,
            version_min: Some((2, 8, 0)),
            peer_interest_max: 3,
            ..Config::new("hub", "HUB", "", String::new())
        };
        let info = Info { client_id: 7, nonce: "n0nce".to_owned(), ..Info::default() };
        let now = some_moment();
        let mut session = Session::accepted(Arc::new(config), info, now);
        session.greet();
        let scope = Scope::Down { cluster: Some(ClusterId(1)), is_isolated: false };
        Self { session, interest: Interest::new(b"A", scope), now }
    }

    fn says(&mut self, line: &str) -> Result<String, Close> {
        let bytes = format!("{line}\r\n");
        match Parser::new(ParserLimits::default()).step(bytes.as_bytes()) {
            Ok(Step::Op { op: Op::Control(control), .. }) => self.control(control),
            Err(error) => Err(self.session.protocol_error(error)),
            Ok(other) => panic!("{other:?}"),
        }
    }

    fn control(&mut self, control: Control<'_>) -> Result<String, Close> {
        let event = self.session.handle(self.now, control, &mut self.interest)?;
        Ok(event.map_or_else(String::new, |event| match event {
            Event::Interest { subject, queue, weight } => {
                let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
                format!("{} {:?} {weight}", text(subject), queue.map(text))
            }
            other => format!("{other:?}"),
        }))
    }

    fn bind(&mut self, import: Option<SubjectLists>, export: Option<SubjectLists>) -> Result<Arc<Direction>, Close> {
        let binding = Binding {
            account: "A".to_owned(),
            token: "MARK".to_owned(),
            is_system: false,
            import,
            export,
            is_untold: false,
        };
        self.session.bind(self.now, &binding, &mut self.interest)
    }

    fn linked() -> Self {
        let mut hub = Self::new();
        hub.says(r#"CONNECT {"name":"spoke","version":"2.15.1","headers":true}"#).unwrap();
        hub.bind(None, None).unwrap();
        hub.wrote();
        hub
    }

    fn wrote(&mut self) -> String {
        let mut buffer = Vec::new();
        self.session.take_output(&mut buffer, &mut self.interest);
        self.session.written(buffer.len());
        String::from_utf8(buffer).unwrap().replace("\r\n", ";")
    }

    fn change(&mut self, source: InterestSource, subject: &str, weight: u32) {
        let change = InterestChange { source, account: b"A", subject: subject.as_bytes(), queue: None, weight };
        self.session.interest(&change, &mut self.interest);
    }

    fn send(&mut self, subject: &str) -> Result<(), Unsent> {
        let message = Message { subject: subject.as_bytes(), reply: None, header_len: 0, body: b"x" };
        self.session.send(self.now, &message, std::iter::empty(), &mut self.interest)
    }
}

#[test]
fn the_dialer_is_greeted_judged_and_answered() {
    let mut hub = Hub::new();
    assert!(hub.wrote().starts_with("INFO {") && !hub.session.is_open());
    let event = hub.says(r#"CONNECT {"name":"spoke","cluster":"S","version":"2.15.1"}"#).unwrap();
    assert!(event.contains("spoke"), "{event}");
    assert_eq!(hub.wrote(), "", "the answer waits for the caller's verdict");
    let received = hub.bind(Some(lists(&["down.>"], &[])), Some(lists(&["up.>"], &["up.no"]))).unwrap();
    let wrote = hub.wrote();
    let (info, rest) = wrote.split_once(';').unwrap();
    assert!(info.contains(r#""connect_info":true,"remote_account":"A""#), "{info}");
    assert!(info.contains(r#""import":{"allow":["down.>"],"deny":[]}"#) && !info.contains("n0nce"), "{info}");
    assert_eq!(rest, "LS+ $LDS.MARK;");
    assert!(received.message(b"up.a").is_ok() && received.message(b"up.no").is_err());
    assert_eq!((hub.send("down.a"), hub.send("up.a")), (Ok(()), Err(Unsent::NotPermitted)));
}

#[test]
fn interest_of_all_but_its_cluster_is_told() {
    let mut hub = Hub::linked();
    let spoke = |id, cluster: Option<u64>| InterestSource::Spoke { id, cluster: cluster.map(ClusterId) };
    hub.change(InterestSource::Clients, "a", 1);
    hub.change(spoke(4, Some(2)), "b", 1);
    hub.change(spoke(5, None), "c", 1);
    hub.change(spoke(6, Some(1)), "d", 1);
    hub.change(InterestSource::Leaf(crate::UpstreamId(1)), "e", 1);
    hub.change(InterestSource::Mesh { member: 3, via: Some(crate::UpstreamId(1)) }, "f", 1);
    assert_eq!(hub.wrote(), "LS+ a;LS+ b;LS+ c;LS+ e;LS+ f;");
    hub.change(spoke(4, Some(2)), "a", 1);
    hub.change(InterestSource::Clients, "a", 0);
    assert_eq!(hub.wrote(), "", "one other still wants it");
    hub.change(spoke(4, Some(2)), "a", 0);
    assert_eq!(hub.wrote(), "LS- a;");
}

#[test]
fn marks_are_passed_on_and_ones_own_is_a_loop() {
    let mut hub = Hub::linked();
    assert_eq!(hub.says("LS+ $LDS.OTHER").unwrap(), "$LDS.OTHER None 1");
    assert_eq!(hub.says("LS+ $LDS.MARK"), Err(Close::Loop));
    assert!(hub.wrote().contains("Loop detected for leafnode account=\"A\""));
}

#[test]
fn what_is_not_permitted_ends_the_link_or_is_passed_over() {
    let mut hub = Hub::new();
    hub.says(r#"CONNECT {"version":"2.15.1","deny_pub":["down.x"]}"#).unwrap();
    hub.bind(Some(lists(&["down.>"], &[])), None).unwrap();
    hub.wrote();
    assert_eq!(hub.send("down.x"), Err(Unsent::NotPermitted), "it has asked not to be sent that");
    assert_eq!(hub.says("LS+ >").unwrap(), "> None 1");
    let close = hub.says("LS+ up.a").unwrap_err();
    assert!(close.to_string().contains("Permissions Violation for Subscription to \"up.a\""), "{close}");
    assert_eq!(hub.wrote(), "-ERR 'Permissions Violation for Subscription to \"up.a\"';");
}

#[test]
fn a_full_table_is_complained_of() {
    let mut hub = Hub::linked();
    for subject in ["a", "b", "c"] {
        hub.says(&format!("LS+ {subject}")).unwrap();
    }
    assert_eq!(hub.says("LS+ d").unwrap(), "InterestRefused");
    assert_eq!(hub.wrote(), "-ERR 'maximum subscriptions exceeded';");
    assert_eq!(hub.says("LS- a").unwrap(), "a None 0");
    assert_eq!(hub.says("LS+ d").unwrap(), "d None 1");
}

#[test]
fn whatever_comes_before_connect_is_refused() {
    for line in ["PING", "LS+ a", "INFO {}", "SUB a 1", "-ERR 'x'"] {
        let mut hub = Hub::new();
        hub.wrote();
        let close = hub.says(line).unwrap_err();
        assert_eq!(close, Close::Told("Authorization Violation".to_owned()), "{line}");
        assert_eq!(hub.wrote(), "-ERR 'Authorization Violation';", "{line}");
    }
    let mut hub = Hub::new();
    assert!(hub.session.may_hear().is_err(), "a message, too");
    let mut hub = Hub::new();
    assert!(matches!(hub.says("CONNECT {"), Err(Close::BadConnect(_))));
}

#[test]
fn dialers_that_do_not_fit_are_told_why() {
    for (connect, text) in [
        (r#"{"lang":"go","version":"2.15.1"}"#, "attempted to connect to leaf node port"),
        (r#"{"gateway":"G"}"#, "Rejecting connection from gateway \"G\" on the leafnode port"),
        (r#"{"cluster":"a b"}"#, "cluster name cannot contain spaces"),
        (r#"{"cluster":"_"}"#, "cluster name is reserved"),
        (r#"{"cluster":"HUB"}"#, "remote leafnode has same cluster name"),
        (r#"{"version":"2.7.9"}"#, "connection rejected since minimum version required is \"2.8.0\""),
        (r#"{"version":"x"}"#, "connection rejected since minimum version required is \"2.8.0\""),
        (r#"{"is_hub":true}"#, "leaf nodes that want to be the hub are not served here"),
    ] {
        let mut hub = Hub::new();
        hub.says(&format!("CONNECT {connect}")).unwrap();
        assert_eq!(hub.bind(None, None), Err(Close::Told(text.to_owned())), "{connect}");
        assert!(hub.wrote().ends_with(&format!("-ERR '{text}';")), "{connect}");
    }
}

#[test]
fn who_says_nothing_has_its_time_and_a_dead_one_is_noticed() {
    let mut hub = Hub::new();
    let due = hub.session.poll_timeout(&hub.interest);
    assert_eq!(hub.session.handle_timeout(due - Duration::from_millis(1), &mut hub.interest), Ok(()));
    assert_eq!(
        hub.session.handle_timeout(due, &mut hub.interest),
        Err(Close::Told("Authentication Timeout".to_owned()))
    );
    let mut hub = Hub::linked();
    let first = hub.session.poll_timeout(&hub.interest);
    hub.session.handle_timeout(first, &mut hub.interest).unwrap();
    assert_eq!(hub.wrote(), "PING;");
    hub.now = first + Duration::from_millis(3);
    hub.says("PONG").unwrap();
    assert_eq!(hub.session.rtt(), Some(Duration::from_millis(3)));
}

#[test]
fn versions_are_three_numbers() {
    assert_eq!(version("2.15.1"), Some((2, 15, 1)));
    assert_eq!(version("v2.14.0-dev"), Some((2, 14, 0)));
    for bad in ["", "2", "2.15", "a.b.c", "2..1"] {
        assert_eq!(version(bad), None, "{bad}");
    }
}
