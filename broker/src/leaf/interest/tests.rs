use super::*;
use crate::leaf::info::SubjectLists;
use crate::leaf::some_moment;
use crate::message::UpstreamId;

const CLIENTS: InterestSource = InterestSource::Clients;

fn member(member: u32) -> InterestSource {
    InterestSource::Mesh { member, via: None }
}

struct Fixture {
    interest: Interest,
    import: Direction,
    out: Vec<u8>,
}

impl Fixture {
    fn new() -> Self {
        Self { interest: Interest::new(b"$G", Scope::Up), import: Direction::default(), out: Vec::new() }
    }

    fn change(&mut self, source: InterestSource, subject: &str, queue: Option<&str>, weight: u32) -> String {
        let (subject, queue) = (subject.as_bytes(), queue.map(str::as_bytes));
        let change = InterestChange { source, account: b"$G", subject, queue, weight };
        self.interest.change(&change, Some(Outlet { import: &self.import, out: &mut self.out }));
        self.told()
    }

    fn all(&mut self) -> String {
        self.interest.tell_all(Outlet { import: &self.import, out: &mut self.out });
        self.told()
    }

    fn expect_reply(&mut self, now: Instant, reply: &str) -> String {
        let link = Outlet { import: &self.import, out: &mut self.out };
        self.interest.expect_reply(now, reply.as_bytes(), link);
        self.told()
    }

    fn told(&mut self) -> String {
        String::from_utf8(std::mem::take(&mut self.out)).unwrap().replace("\r\n", ";")
    }
}

#[test]
fn plain_interest_is_told_once_and_withdrawn_once() {
    let mut f = Fixture::new();
    assert_eq!(f.change(CLIENTS, "a", None, 1), "LS+ a;");
    assert_eq!(f.change(CLIENTS, "a", None, 1), "");
    assert_eq!(f.change(member(3), "a", None, 1), "");
    assert_eq!(f.change(CLIENTS, "a", None, 0), "");
    assert_eq!(f.change(member(3), "a", None, 0), "LS- a;");
    assert_eq!(f.change(member(3), "a", None, 0), "");
    assert!(f.interest.entries.is_empty());
}

#[test]
fn queue_weights_are_summed_and_told_each_time() {
    let mut f = Fixture::new();
    assert_eq!(f.change(CLIENTS, "a", Some("q"), 2), "LS+ a q 2;");
    assert_eq!(f.change(member(1), "a", Some("q"), 3), "LS+ a q 5;");
    assert_eq!(f.change(CLIENTS, "a", Some("q"), 1), "LS+ a q 4;");
    assert_eq!(f.change(member(1), "a", Some("q"), u32::MAX), "LS+ a q 2147483647;");
    assert_eq!(f.change(member(1), "a", Some("q"), 0), "LS+ a q 1;");
    assert_eq!(f.change(CLIENTS, "a", Some("q"), 0), "LS- a q;");
}

#[test]
fn upstreams_and_other_accounts_are_passed_over() {
    let mut f = Fixture::new();
    let upstream = UpstreamId(1);
    assert_eq!(f.change(InterestSource::Leaf(upstream), "a", None, 1), "");
    assert_eq!(f.change(InterestSource::Mesh { member: 1, via: Some(upstream) }, "a", None, 1), "");
    let other = InterestChange { source: CLIENTS, account: b"B", subject: b"a", queue: None, weight: 1 };
    f.interest.record(&other);
    assert_eq!(f.all(), "");
}

#[test]
fn a_new_link_is_told_everything_in_order() {
    let mut f = Fixture::new();
    f.change(CLIENTS, "b", None, 1);
    f.change(CLIENTS, "a", Some("q"), 2);
    f.interest.forget_peer();
    let gone = InterestChange { source: CLIENTS, account: b"$G", subject: b"b", queue: None, weight: 0 };
    f.interest.record(&gone);
    assert_eq!(f.all(), "LS+ a q 2;");
    assert_eq!(f.all(), "");
}

#[test]
fn changed_permissions_are_told_as_differences() {
    let mut f = Fixture::new();
    f.change(CLIENTS, "up.a", None, 1);
    f.change(CLIENTS, "down.a", None, 1);
    f.import.permit(&SubjectLists { allow: vec!["down.>".into()], deny: vec![] });
    assert_eq!(f.all(), "LS- up.a;");
    assert_eq!(f.change(CLIENTS, "up.b", None, 1), "");
    f.import.permit(&SubjectLists::default());
    assert_eq!(f.all(), "LS+ up.a;LS+ up.b;");
}

#[test]
fn replies_are_expected_until_their_interest_is_known() {
    let (mut f, start) = (Fixture::new(), some_moment());
    assert_eq!(f.expect_reply(start, "_INBOX.a.1"), "LS+ _INBOX.a.1;");
    assert_eq!(f.expect_reply(start, "_INBOX.a.1"), "");
    assert_eq!(f.change(member(2), "_INBOX.a.*", None, 1), "LS+ _INBOX.a.*;");
    assert_eq!(f.expect_reply(start, "_INBOX.a.2"), "");
    f.change(member(2), "_INBOX.b.>", None, 1);
    assert_eq!(f.expect_reply(start, "_INBOX.b.x.y"), "");
    assert_eq!(f.expect_reply(start, "_INBOX.c"), "LS+ _INBOX.c;");
    f.change(member(2), "_INBOX.c", None, 1);
    assert_eq!(f.interest.expires(), Some(start + LEARNT_FOR));
    f.interest.expire(start + LEARNT_FOR, Outlet { import: &f.import, out: &mut f.out });
    assert_eq!(f.told(), "LS- _INBOX.a.1;");
    assert_eq!(f.interest.expires(), None);
}

#[test]
fn expected_replies_are_bounded() {
    let (mut f, start) = (Fixture::new(), some_moment());
    for n in 0..=LEARNT_MAX {
        f.expect_reply(start, &format!("r{n}"));
    }
    assert_eq!(f.interest.entries.len(), LEARNT_MAX);
    f.interest.forget_peer();
    assert!(f.interest.entries.is_empty() && f.interest.learnt.is_empty());
}
