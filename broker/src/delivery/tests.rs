use super::*;
use crate::env::Env;
use crate::lock::lock;
use crate::neighbor::{Candidate, InterestChange, Neighbor, Waiting};
use crate::{Attachment, Broker, Config, Subscription};
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex};
use std::task::Waker;
use std::time::Duration;

const U: UpstreamId = UpstreamId(1);
const V: UpstreamId = UpstreamId(2);

/// A neighbour that writes down what it is given.
#[derive(Debug, Default)]
struct Recorder {
    delivered: Mutex<Vec<String>>,
    interest: Mutex<Vec<String>>,
    learnt: Mutex<Option<u32>>,
    flows: Mutex<Vec<u64>>,
    excess: AtomicUsize,
    waker: Mutex<Option<Waker>>,
}

impl Recorder {
    fn take(&self) -> Vec<String> {
        std::mem::take(&mut *lock(&self.delivered))
    }

    fn take_interest(&self) -> Vec<String> {
        std::mem::take(&mut *lock(&self.interest))
    }
}

impl Neighbor for Recorder {
    fn deliver(
        &self,
        _: &[u8],
        message: &Message<'_>,
        flow: u64,
        via: Option<UpstreamId>,
        members: &[u32],
        picks: &[Pick<'_>],
    ) -> Waiting {
        let picks: Vec<_> = picks
            .iter()
            .map(|p| {
                format!("{}:{}{}", String::from_utf8_lossy(p.group), p.member, if p.via.is_some() { "^" } else { "" })
            })
            .collect();
        let via = via.map_or(String::new(), |via| format!(" via {}", via.0));
        lock(&self.flows).push(flow);
        let subject = String::from_utf8_lossy(message.subject);
        lock(&self.delivered).push(format!("{subject} {members:?} [{}]{via}", picks.join(",")));
        Waiting { buffer: 7, excess: self.excess.load(Relaxed) }
    }

    fn flush(&self) {}

    fn excess(&self, buffer: u64) -> usize {
        assert_eq!(buffer, 7, "the buffer that the message went to");
        self.excess.load(Relaxed)
    }

    fn wake_when_drained(&self, _: u64, waker: &Waker) {
        *lock(&self.waker) = Some(waker.clone());
    }

    fn interest(&self, change: &InterestChange<'_>) {
        let subject = String::from_utf8_lossy(change.subject);
        let queue = change.queue.map_or(String::new(), |queue| format!(" {}", String::from_utf8_lossy(queue)));
        lock(&self.interest).push(format!("{:?} {subject}{queue} = {}", change.source, change.weight));
    }

    fn learnt(&self, _: &[u8], subject: &[u8]) -> Option<u32> {
        lock(&self.learnt).filter(|_| subject.starts_with(b"inbox."))
    }

    fn choose(&self, candidates: &[Candidate], _: u64) -> usize {
        candidates.len() - 1
    }
}

struct World {
    broker: Broker,
    mesh: Arc<Recorder>,
    leaf_u: Arc<Recorder>,
    leaf_v: Arc<Recorder>,
    on_mesh: Attachment,
    on_u: Attachment,
    on_v: Attachment,
}

impl World {
    fn new() -> Self {
        Self::with(Config::default())
    }

    fn with(config: Config) -> Self {
        let broker = Broker::new(Env::tokio(), config).unwrap();
        let (mesh, leaf_u, leaf_v) = (Arc::new(Recorder::default()), Arc::default(), Arc::default());
        let on_mesh = broker.attach(NeighborKind::Mesh, mesh.clone());
        let on_u = broker.attach(NeighborKind::Leaf(U), Arc::<Recorder>::clone(&leaf_u));
        let on_v = broker.attach(NeighborKind::Leaf(V), Arc::<Recorder>::clone(&leaf_v));
        Self { broker, mesh, leaf_u, leaf_v, on_mesh, on_u, on_v }
    }

    fn want(&self, from: &Attachment, member: u32, via: Option<UpstreamId>, subject: &str, queue: Option<&str>) {
        from.set_interest(b"$G", member, via, subject.as_bytes(), queue.map(str::as_bytes), 1).unwrap();
    }

    fn subscribe(&self, filter: &str, queue: Option<&str>) -> Subscription {
        self.broker.local().subscribe(filter.as_bytes(), queue.map(str::as_bytes), 1000).unwrap()
    }

    fn publish(&self, subject: &str) -> usize {
        self.broker.local().publish(&message(subject))
    }

    /// What mesh, leaf U and leaf V have been given.
    fn given(&self) -> [Vec<String>; 3] {
        [self.mesh.take(), self.leaf_u.take(), self.leaf_v.take()]
    }
}

fn message(subject: &str) -> Message<'_> {
    Message { subject: subject.as_bytes(), reply: None, header_len: 0, body: b"x" }
}

fn pick(group: &str, via: Option<UpstreamId>) -> Pick<'_> {
    Pick { group: group.as_bytes(), member: 0, via, again: false }
}

fn none() -> Vec<String> {
    Vec::new()
}

fn one(line: &str) -> Vec<String> {
    vec![line.to_owned()]
}

/// Goal: a neighbour knows whose messages have to stay in order.
#[tokio::test]
async fn publishers_are_told_apart() {
    let world = World::new();
    world.want(&world.on_mesh, 1, None, "x", None);
    let (mut one, mut two) = (world.broker.local(), world.broker.local());
    one.publish(&message("x"));
    two.publish(&message("x"));
    one.publish(&message("x"));
    let flows = std::mem::take(&mut *lock(&world.mesh.flows));
    assert!(flows.len() == 3 && flows[0] == flows[2] && flows[0] != flows[1], "{flows:?}");
}

#[tokio::test]
async fn a_client_reaches_everybody_once() {
    let world = World::new();
    world.want(&world.on_mesh, 4, None, "a.*", None);
    world.want(&world.on_mesh, 4, Some(V), "a.b", None);
    world.want(&world.on_mesh, 5, Some(V), "a.>", None);
    world.want(&world.on_u, 0, None, "a.b", None);
    let mut local = world.subscribe("a.b", None);
    assert_eq!(world.publish("a.b"), 4);
    assert_eq!(world.given(), [one("a.b [4, 5] []"), one("a.b [0] []"), none()]);
    assert!(local.try_next().is_some() && local.try_next().is_none());
    assert_eq!(world.publish("b"), 0);
    assert_eq!(world.given(), [none(), none(), none()]);
}

#[tokio::test]
async fn what_comes_from_the_mesh_goes_to_clients_and_what_is_ours_to_upstreams() {
    let world = World::new();
    world.want(&world.on_mesh, 4, None, "a", None);
    world.want(&world.on_u, 0, None, "a", None);
    world.want(&world.on_v, 0, None, "a", None);
    let mut local = world.subscribe("a", None);
    let mut publisher = world.on_mesh.publisher();
    assert_eq!(publisher.publish(b"$G", &message("a"), Groups::Only(&[]), Some(U)), 1);
    assert!(!publisher.flush());
    assert_eq!(world.given(), [none(), none(), none()]);
    assert!(local.try_next().is_some() && local.try_next().is_none());
    assert_eq!(publisher.publish(b"$G", &message("a"), Groups::Only(&[]), None), 3);
    assert_eq!(world.given(), [none(), one("a [0] []"), one("a [0] []")]);
    assert_eq!(publisher.publish(b"other", &message("a"), Groups::Any, None), 0);
    assert_eq!(world.broker.stats().drops["unknown account"], 1);
}

#[tokio::test]
async fn what_comes_from_a_leaf_goes_to_no_upstream() {
    let world = World::new();
    world.want(&world.on_mesh, 4, None, "a", None);
    world.want(&world.on_mesh, 5, Some(V), "a", None);
    world.want(&world.on_u, 0, None, "a", None);
    world.want(&world.on_v, 0, None, "a", None);
    assert_eq!(world.on_u.publisher().publish(b"$G", &message("a"), Groups::Only(&[]), None), 1);
    assert_eq!(world.given(), [one("a [4] [] via 1"), none(), none()]);
}

#[tokio::test]
async fn a_group_prefers_local_then_mesh_then_upstream() {
    let world = World::new();
    world.want(&world.on_mesh, 6, Some(V), "a", Some("q"));
    assert_eq!(world.publish("a"), 1);
    assert_eq!(world.given(), [one("a [] [q:6^]"), none(), none()]);
    world.want(&world.on_u, 0, None, "a", Some("q"));
    assert_eq!(world.publish("a"), 1);
    assert_eq!(world.given(), [none(), one("a [] [q:0^]"), none()]);
    world.want(&world.on_mesh, 4, None, "a", Some("q"));
    world.want(&world.on_mesh, 5, None, "*", Some("q"));
    assert_eq!(world.publish("a"), 1);
    assert_eq!(world.given(), [one("a [] [q:5]"), none(), none()]);
    let mut local = world.subscribe(">", Some("q"));
    assert_eq!(world.publish("a"), 1);
    assert_eq!(world.given(), [none(), none(), none()]);
    assert!(local.try_next().is_some());
    // Plain interest and a pick of one neighbour come in one call.
    world.want(&world.on_mesh, 4, None, "a", None);
    world.want(&world.on_mesh, 9, None, "a", Some("r"));
    assert_eq!(world.publish("a"), 3);
    assert_eq!(world.given(), [one("a [4] [r:9]"), none(), none()]);
}

#[tokio::test]
async fn a_pick_of_the_mesh_is_final() {
    let world = World::new();
    world.want(&world.on_mesh, 4, None, "a", Some("q"));
    world.want(&world.on_u, 0, None, "a", Some("q"));
    let mut publisher = world.on_mesh.publisher();
    let mut to = |picks: &[Pick<'_>], via| publisher.publish(b"$G", &message("a"), Groups::Only(picks), via);
    assert_eq!(to(&[pick("q", None)], None), 0, "no local member");
    assert_eq!(to(&[pick("q", Some(V))], None), 0, "that upstream has none");
    assert_eq!(to(&[pick("q", Some(U))], Some(U)), 0, "never back to where it came from");
    assert_eq!(world.given(), [none(), none(), none()]);
    assert_eq!(to(&[pick("q", Some(U))], None), 1);
    assert_eq!(world.given(), [none(), one("a [] [q:0^]"), none()]);
    let mut local = world.subscribe("a", Some("q"));
    assert_eq!(to(&[pick("q", None), pick("r", None)], None), 1);
    assert!(local.try_next().is_some());
    assert_eq!(to(&[], None), 0);
    assert_eq!(world.given(), [none(), none(), none()]);
}

#[tokio::test]
async fn what_is_handed_back_goes_to_another_member_and_to_nobody_else() {
    let world = World::new();
    world.want(&world.on_mesh, 4, None, "a", Some("q"));
    world.want(&world.on_mesh, 5, None, "a", Some("q"));
    world.want(&world.on_mesh, 6, None, "a", None);
    let mut plain = world.subscribe("a", None);
    let mut publisher = world.on_mesh.publisher();
    let from = |member| Pick { member, ..pick("q", None) };
    let mut again = |member, via| publisher.publish(b"$G", &message("a"), Groups::Again(&[from(member)]), via);
    assert_eq!(again(5, None), 1);
    assert_eq!(world.given(), [one("a [] [q:4]"), none(), none()]);
    assert_eq!(again(4, Some(U)), 1);
    assert_eq!(world.given(), [one("a [] [q:5] via 1"), none(), none()]);
    world.on_mesh.remove_member(5);
    assert_eq!(again(4, None), 1, "there is no other: it may be back");
    assert_eq!(world.given(), [one("a [] [q:4]"), none(), none()]);
    world.on_mesh.remove_member(4);
    assert_eq!(again(4, None), 0, "nobody is left");
    let mut local = world.subscribe("a", Some("q"));
    assert_eq!(again(4, None), 1);
    assert!(local.try_next().is_some() && plain.try_next().is_none());
    assert_eq!(world.given(), [none(), none(), none()]);
}

#[tokio::test]
async fn what_is_handed_back_for_many_groups_is_one_message_and_comes_once_to_each() {
    let world = World::new();
    world.want(&world.on_mesh, 4, None, "a", Some("q"));
    world.want(&world.on_mesh, 5, None, "a", Some("r"));
    let mut publisher = world.on_mesh.publisher();
    let picks = [pick("q", None), pick("r", None), pick("q", None), pick("s", None), pick("q", None)];
    assert_eq!(publisher.publish(b"$G", &message("a"), Groups::Again(&picks), None), 2);
    assert_eq!(world.given(), [one("a [] [q:4,r:5]"), none(), none()]);
    assert_eq!(publisher.untaken(), [3]);
}

#[tokio::test]
async fn picks_that_nobody_took_are_told() {
    let world = World::new();
    let _local = world.subscribe("a", Some("q"));
    let _plain = world.subscribe("a", None);
    let mut publisher = world.on_mesh.publisher();
    let picks = [pick("p", None), pick("q", None), pick("q", Some(U))];
    assert_eq!(publisher.publish(b"$G", &message("a"), Groups::Only(&picks), None), 2);
    assert_eq!(publisher.untaken(), [0, 2]);
    assert_eq!(publisher.publish(b"other", &message("a"), Groups::Only(&[]), None), 0, "no such account");
    assert!(publisher.untaken().is_empty(), "that is of the message before");
    assert_eq!(publisher.publish(b"$G", &message("wanted.by.nobody"), Groups::Only(&picks), None), 0);
    assert_eq!(publisher.untaken(), [0, 1, 2]);
    assert_eq!(publisher.publish(b"$G", &message("a"), Groups::Only(&picks), None), 2);
    assert_eq!(publisher.publish(b"$G", &message("a"), Groups::Only(&picks[1..2]), None), 2);
    assert!(publisher.untaken().is_empty());
}

#[tokio::test]
async fn groups_named_by_a_leaf_get_one_member_each() {
    let world = World::new();
    world.want(&world.on_mesh, 4, None, "a", Some("q"));
    world.want(&world.on_mesh, 6, Some(V), "a", Some("r"));
    world.want(&world.on_v, 0, None, "a", Some("r"));
    let mut local = world.subscribe("a", Some("s"));
    let mut publisher = world.on_u.publisher();
    let named = [pick("q", None), pick("r", None)];
    assert_eq!(publisher.publish(b"$G", &message("a"), Groups::Only(&named), None), 1);
    assert_eq!(world.given(), [one("a [] [q:4] via 1"), none(), none()]);
    assert!(local.try_next().is_none(), "its group was not named");
    assert_eq!(publisher.publish(b"$G", &message("a"), Groups::Only(&[pick("s", None)]), None), 1);
    assert!(local.try_next().is_some());
}

#[tokio::test]
async fn learnt_members_get_answers_before_their_interest_arrives() {
    let world = World::new();
    assert_eq!(world.publish("inbox.1"), 0);
    *lock(&world.mesh.learnt) = Some(3);
    assert_eq!(world.publish("inbox.1"), 0, "routes are kept until told otherwise");
    world.on_mesh.invalidate();
    assert_eq!(world.publish("inbox.1"), 1);
    world.want(&world.on_mesh, 3, None, "inbox.*", None);
    assert_eq!(world.publish("inbox.1"), 1);
    assert_eq!(world.mesh.take(), ["inbox.1 [3] []", "inbox.1 [3] []"]);
}

#[tokio::test]
async fn interest_is_replayed_and_then_told_in_order() {
    let world = World::new();
    let first = world.subscribe("a", None);
    let second = world.subscribe("a", None);
    let queued = [world.subscribe("b", Some("q")), world.subscribe("b", Some("q"))];
    world.want(&world.on_mesh, 4, Some(V), "c", None);
    world.want(&world.on_u, 0, None, "d", Some("q"));
    let expected_by_mesh = ["Clients a = 1", "Clients b q = 1", "Clients b q = 2", "Leaf(UpstreamId(1)) d q = 1"];
    assert_eq!(world.mesh.take_interest(), expected_by_mesh);
    let late = Arc::new(Recorder::default());
    let attachment = world.broker.attach(NeighborKind::Leaf(UpstreamId(9)), late.clone());
    let mesh_interest = "Mesh { member: 4, via: Some(UpstreamId(2)) } c = 1";
    let replay = ["Clients a = 1", "Clients b q = 2", mesh_interest, "Leaf(UpstreamId(1)) d q = 1"];
    assert_eq!(late.take_interest(), replay);
    drop(first);
    drop(queued);
    drop(second);
    world.on_mesh.remove_member(4);
    let gone = "Mesh { member: 4, via: Some(UpstreamId(2)) } c = 0";
    assert_eq!(late.take_interest(), ["Clients b q = 1", "Clients b q = 0", "Clients a = 0", gone]);
    drop(attachment);
    assert_eq!(Arc::strong_count(&late), 1, "nothing keeps a detached neighbour alive");
}

#[tokio::test]
async fn detaching_withdraws_everything() {
    let world = World::new();
    world.want(&world.on_mesh, 4, None, "a", None);
    assert_eq!(world.publish("a"), 1);
    let World { broker, leaf_u, on_mesh, .. } = world;
    leaf_u.take_interest();
    let publisher = on_mesh.publisher();
    drop(on_mesh);
    assert!(leaf_u.take_interest().is_empty(), "a publisher still holds it");
    drop(publisher);
    assert_eq!(leaf_u.take_interest(), ["Mesh { member: 4, via: None } a = 0"]);
    assert_eq!(broker.local().publish(&message("a")), 0);
}

#[tokio::test]
async fn local_members_of_a_group_share_evenly() {
    let world = World::new();
    let members: Vec<_> = (0..4).map(|n| world.subscribe(if n % 2 == 0 { "a.*" } else { "a.b" }, Some("q"))).collect();
    let mut publisher = world.broker.local();
    for _ in 0..2000 {
        assert_eq!(publisher.publish(&message("a.b")), 1);
    }
    let mut counts = BTreeMap::new();
    for (n, mut member) in members.into_iter().enumerate() {
        while member.try_next().is_some() {
            *counts.entry(n).or_insert(0) += 1;
        }
    }
    assert_eq!(counts.values().sum::<i32>(), 2000);
    assert!(counts.len() == 4 && counts.values().all(|count| (400..=600).contains(count)), "{counts:?}");
}

#[tokio::test]
async fn a_full_in_process_queue_drops_and_counts() {
    let world = World::new();
    let mut local = world.broker.local();
    let subscription = local.subscribe(b"a", None, 2).unwrap();
    for _ in 0..5 {
        assert_eq!(local.publish(&message("a")), 1);
    }
    assert_eq!(subscription.dropped(), 3);
    assert_eq!(world.broker.stats().drops["local subscription full"], 3);
}

#[tokio::test]
async fn a_publisher_waits_for_a_congested_neighbour_until_it_drains() {
    let world = World::with(Config { neighbor_stall_max: Duration::from_secs(60), ..Config::default() });
    world.want(&world.on_u, 0, None, "a", None);
    let mut publisher = world.on_mesh.publisher();
    world.leaf_u.excess.store(usize::MAX, Relaxed);
    publisher.publish(b"$G", &message("a"), Groups::Only(&[]), None);
    assert!(publisher.flush());
    let leaf = world.leaf_u.clone();
    let drained = async move {
        // The publisher's task waits by now, as it was polled first.
        leaf.excess.store(0, Relaxed);
        let waker = lock(&leaf.waker).take();
        waker.expect("asked to be woken").wake();
    };
    tokio::join!(biased; publisher.ready(), drained);
    assert!(!publisher.flush());
    assert_eq!(world.broker.stats().stalls, 1);
}

#[tokio::test]
async fn a_publisher_waits_no_longer_than_the_limit() {
    let world = World::with(Config { neighbor_stall_max: Duration::from_millis(5), ..Config::default() });
    world.want(&world.on_u, 0, None, "a", None);
    let mut publisher = world.on_mesh.publisher();
    world.leaf_u.excess.store(usize::MAX, Relaxed);
    publisher.publish(b"$G", &message("a"), Groups::Only(&[]), None);
    assert!(publisher.flush());
    publisher.ready().await;
    publisher.ready().await;
}

#[test]
fn stored_subjects_come_back_out_of_the_reply() {
    let rewritten = |reply: &'static str| {
        let message = Message { reply: Some(reply.as_bytes()), ..message("push") };
        let message = without_stored_subject(&message);
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        (text(message.subject), message.reply.map(text).unwrap_or_default())
    };
    let ack = "$JS.ACK.S@x.PULL.1.1.1.1795398629966121503.1";
    assert_eq!(rewritten("$JS.ACK.S@x.PULL.1.1.1.1795398629966121503.1@s.one"), ("s.one".into(), ack.into()));
    for unchanged in ["$JS.ACK.S@x.PULL.1.1.1.1", ack, "other.a.b.c.d.e.f.g.h@s", "$JS.ACK.S.C.1.1.1.17.1@"] {
        assert_eq!(rewritten(unchanged), ("push".into(), unchanged.into()));
    }
}

mod spokes;
