//! Clients that are not ours, and a nats-server that is not ours, on one lattice.
//!
//! The `real` tests play the same scenarios on nats-servers alone: they prove the scenarios.
#![allow(clippy::unwrap_used, clippy::disallowed_methods, reason = "tests talk to real processes in real time")]

mod support;

use support::clients::{self, connect, connect_all, joined, joined_within};
use support::cluster::{Cluster, Node};
use support::nats_server::NatsServer;
use support::relay::Link;
use support::{LIMIT, scenario, tell, wait_for};

use async_nats::Client;
use futures_util::StreamExt;
use std::net::{SocketAddr, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

const MESSAGES: u64 = 10_000;

/// A request that nobody serves: known at once, wherever one asks.
const NOBODY_MAX: Duration = Duration::from_millis(50);

/// From the moment of a cut until messages arrive again: far more than it takes, far less than a person would wait.
const RESUME_MAX: Duration = Duration::from_secs(20);

fn urls(cluster: &Cluster) -> Vec<String> {
    cluster.nodes.iter().map(Node::url).collect()
}

/// Everything that holds between two clients, wherever they are.
async fn all_between(near: &Client, far: &Client) {
    tokio::join!(scenario::in_order(near, far, MESSAGES), scenario::in_order(far, near, MESSAGES));
    scenario::headers(near, far).await;
    scenario::headers(far, near).await;
    scenario::payloads(near, far).await;
    scenario::payloads(far, near).await;
    let there = scenario::requests(near, far, 200).await;
    let back = scenario::requests(far, near, 200).await;
    tell(&format!("request: median {there:?} there, {back:?} back"));
    for client in [near, far] {
        let refused = scenario::nobody_serves(client).await;
        tell(&format!("request that nobody serves: median {refused:?}"));
        assert!(refused < NOBODY_MAX, "{refused:?}");
    }
}

mod real {
    use super::*;

    #[tokio::test(flavor = "multi_thread")]
    async fn one_server() {
        let server = NatsServer::start("one", "");
        let clients = connect_all(&vec![server.url(); 5]).await;
        all_between(&clients[0], &clients[1]).await;
        let got = scenario::one_member_each(&clients[0], &clients[1..], MESSAGES).await;
        tell(&format!("queue members got {got:?}"));
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_leaf_and_its_hub() {
        let hub = NatsServer::start("hub", "");
        let leaf = NatsServer::leaf_of(&hub, "leaf");
        let (near, far) = (connect(&leaf.url()).await, connect(&hub.url()).await);
        joined(&near, &far).await;
        all_between(&near, &far).await;
        scenario::one_member_each(&near, &[far.clone(), near.clone()], MESSAGES).await;
    }
}

/// Goal: the relay that other tests cut their links with passes all, nothing, and all again.
#[test]
fn a_cut_link_passes_nothing() {
    let node = UdpSocket::bind("127.0.0.1:0").unwrap();
    let dialer = UdpSocket::bind("127.0.0.1:0").unwrap();
    node.set_read_timeout(Some(LIMIT)).unwrap();
    dialer.set_read_timeout(Some(LIMIT)).unwrap();
    let link = Link::to(node.local_addr().unwrap());
    let mut buffer = [0; 16];
    let mut exchange = || {
        dialer.send_to(b"there", link.address()).unwrap();
        let (_, from) = node.recv_from(&mut buffer).unwrap();
        node.send_to(b"and back", from).unwrap();
        assert_eq!(dialer.recv_from(&mut buffer).unwrap(), (8, link.address()));
    };
    exchange();
    link.cut();
    for _ in 0..10 {
        dialer.send_to(b"lost", link.address()).unwrap();
    }
    wait_for("all are lost", LIMIT, || (link.counts() == (2, 10)).then_some(()));
    link.heal();
    exchange();
}

mod line {
    use super::*;

    #[tokio::test(flavor = "multi_thread")]
    async fn a_message_crosses_to_the_third_node() {
        let cluster = Cluster::line(4);
        let clients = connect_all(&urls(&cluster)).await;
        all_between(&clients[0], &clients[2]).await;
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn requests_are_answered_over_three_hops() {
        let cluster = Cluster::line(4);
        let clients = connect_all(&urls(&cluster)).await;
        let time = scenario::requests(&clients[0], &clients[3], 500).await;
        tell(&format!("request over 3 hops: median {time:?}"));
        scenario::requests(&clients[3], &clients[0], 500).await;
        scenario::in_order(&clients[0], &clients[3], MESSAGES).await;
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_queue_group_over_three_nodes_takes_each_message_once() {
        let cluster = Cluster::line(4);
        let urls = urls(&cluster);
        let members = connect_all(&[&urls[0], &urls[1], &urls[1], &urls[2]].map(String::clone)).await;
        // From a node without a member, from one with a member, and from one in the middle.
        for from in [&urls[3], &urls[0], &urls[1]] {
            let got = scenario::one_member_each(&connect(from).await, &members, MESSAGES).await;
            tell(&format!("members on a, b, b, c got {got:?}"));
        }
    }
}

/// Goal: what was meant for a member that has just left goes to another one: interest is withdrawn later than that.
#[tokio::test(flavor = "multi_thread")]
async fn what_a_member_that_leaves_does_not_take_another_one_does() {
    let cluster = Cluster::line(4);
    let clients = connect_all(&urls(&cluster)).await;
    let got = scenario::one_member_leaves(&clients[0], &clients[3], &clients[1], MESSAGES).await;
    let counted = |node: usize, name: &str| cluster.nodes[node].status().counters[name];
    let back = counted(1, "mesh_handed_back");
    tell(&format!("the one that stayed and the one that left got {got:?}, {back} were handed back"));
    assert!(back > 0, "nothing was on its way when the member left");
    assert_eq!((counted(0, "mesh_chosen_again"), counted(0, "mesh_handed_back_lost")), (back, 0));
}

/// Goal: what a cut has split becomes one again by itself, and meanwhile each half knows that the other is gone.
#[tokio::test(flavor = "multi_thread")]
async fn a_split_line_heals() {
    let nodes = ["a", "b", "c"].map(|name| Node::new(name, ""));
    let link = nodes[1].behind_relay();
    let cluster = Cluster::chain(nodes.into());
    let (near, far) = (connect(&cluster.nodes[0].url()).await, connect(&cluster.nodes[2].url()).await);
    scenario::in_order(&near, &far, 1_000).await;
    link.cut();
    wait_for("both halves know", LIMIT, || {
        (cluster.nodes[0].reaches() == 1 && cluster.nodes[2].reaches() == 0).then_some(())
    });
    let refused = scenario::nobody_serves(&near).await;
    assert!(refused < NOBODY_MAX, "{refused:?} while split");
    link.heal();
    let time = joined_within(&near, &far, RESUME_MAX).await;
    tell(&format!("the halves spoke again {time:?} after the heal"));
    tokio::join!(scenario::in_order(&near, &far, 1_000), scenario::in_order(&far, &near, 1_000));
}

/// Waits until who connects to the first of `nodes` is told of these and of no other.
fn wait_told(nodes: &[&Node]) {
    let all: Vec<SocketAddr> = nodes.iter().map(|node| node.address()).collect();
    clients::wait_told(all[0], &all);
}

/// Goal: a client that was told of one node goes on when that dies, as it has learnt of the others, and is found there.
#[tokio::test(flavor = "multi_thread")]
async fn a_client_goes_elsewhere_when_its_node_dies() {
    let mut cluster = Cluster::chain(["a", "b", "c"].map(|name| Node::new(name, "").advertised()).into());
    wait_told(&[&cluster.nodes[2], &cluster.nodes[0], &cluster.nodes[1]]);
    let client = connect(&cluster.nodes[2].url()).await;
    let mut kept = client.subscribe("kept").await.unwrap();

    cluster.nodes[2].kill();
    let other = connect(&cluster.nodes[0].url()).await;
    joined(&other, &client).await;
    wait_told(&[&cluster.nodes[0], &cluster.nodes[1]]);
    other.publish("kept", "1".into()).await.unwrap();
    let message = tokio::time::timeout(LIMIT, kept.next()).await.unwrap().unwrap();
    assert_eq!(&message.payload[..], b"1");

    // Whichever of the two it is on: one of them stops in order.
    assert!(cluster.nodes[1].stop().success());
    joined(&other, &client).await;
    scenario::in_order(&client, &other, 1_000).await;
}

mod triangle {
    use super::*;

    #[tokio::test(flavor = "multi_thread")]
    async fn a_message_arrives_once_although_there_are_two_ways() {
        let (cluster, _link) = Cluster::triangle();
        let clients = connect_all(&urls(&cluster)).await;
        all_between(&clients[0], &clients[2]).await;
        for from in &clients {
            let members = [0, 1, 1, 2].map(|at: usize| clients[at].clone());
            let got = scenario::one_member_each(from, &members, MESSAGES).await;
            tell(&format!("members on a, b, b, c got {got:?}"));
        }
    }

    /// Goal: messages from A reach C while the link between them is cut, while B is dead, and after B is back.
    #[tokio::test(flavor = "multi_thread")]
    async fn it_delivers_while_a_link_is_cut_and_a_node_is_dead() {
        let (mut cluster, link) = Cluster::triangle();
        let stream =
            Stream::start(&connect(&cluster.nodes[0].url()).await, &connect(&cluster.nodes[2].url()).await).await;
        stream.flows("at first").await;

        let (_, before) = link.counts();
        link.cut();
        stream.flows("after the cut of A–C").await;
        cluster.wait_unlinked(0, 2);
        stream.flows("while A–C is cut").await;
        assert!(link.counts().1 > before, "the cut has lost no datagram: nothing went over this link");

        link.heal();
        cluster.wait_linked(0, 2);
        stream.flows("after the heal of A–C").await;

        cluster.nodes[1].kill();
        stream.flows("after the death of B").await;
        cluster.wait_unlinked(0, 1);
        cluster.wait_unlinked(2, 1);
        stream.flows("while B is dead").await;

        cluster.nodes[1].start(&[]);
        cluster.wait_formed();
        stream.flows("after the return of B").await;
        stream.end().await;
    }
}

mod upstream {
    use super::*;

    /// A–B–C–D, and a nats-server above D.
    async fn three_hops_away(server: &NatsServer) -> (Cluster, Client, Client) {
        let d = Node::new("d", "").with(&["--upstream", &server.leaf_url()]);
        let cluster = Cluster::chain(vec![Node::new("a", ""), Node::new("b", ""), Node::new("c", ""), d]);
        let (near, far) = (connect(&cluster.nodes[0].url()).await, connect(&server.url()).await);
        joined(&near, &far).await;
        joined(&far, &near).await;
        (cluster, near, far)
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn clients_on_it_and_clients_three_hops_away_reach_each_other() {
        let server = NatsServer::start("hub", "");
        let (_cluster, near, far) = three_hops_away(&server).await;
        all_between(&near, &far).await;
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_queue_group_on_both_sides_takes_each_message_once() {
        let server = NatsServer::start("hub", "");
        let (cluster, near, far) = three_hops_away(&server).await;
        let middle = connect(&cluster.nodes[1].url()).await;
        let other = connect(&server.url()).await;
        for from in [&near, &far, &connect(&cluster.nodes[3].url()).await] {
            for members in [
                vec![far.clone(), other.clone()],
                vec![near.clone(), middle.clone()],
                vec![near.clone(), middle.clone(), far.clone(), other.clone()],
            ] {
                let got = scenario::one_member_each(from, &members, 1_000).await;
                tell(&format!("members got {got:?}"));
            }
        }
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn traffic_resumes_after_its_restart() {
        let mut server = NatsServer::start("hub", "");
        let (_cluster, near, far) = three_hops_away(&server).await;
        for _ in 0..2 {
            server.kill();
            // Nobody on the other side any more: the lattice itself goes on, and says so.
            let refused = scenario::nobody_serves(&near).await;
            assert!(refused < NOBODY_MAX, "{refused:?} while the server is dead");
            server.restart();
            let time = joined_within(&near, &far, LIMIT).await;
            tell(&format!("traffic resumed {time:?} after the server was back"));
            joined_within(&far, &near, LIMIT).await;
            tokio::join!(scenario::in_order(&near, &far, 1_000), scenario::in_order(&far, &near, 1_000));
        }
    }
}

/// A flow of numbered messages, a thousand a second, that goes on while the lattice is being broken.
struct Stream {
    sent: Arc<AtomicU64>,
    received: Arc<Received>,
    stop: Arc<AtomicBool>,
    sender: tokio::task::JoinHandle<()>,
    receiver: tokio::task::JoinHandle<()>,
}

#[derive(Default)]
struct Received {
    count: AtomicU64,
    last: AtomicU64,
}

impl Stream {
    async fn start(from: &Client, to: &Client) -> Self {
        let subject = from.new_inbox();
        let mut incoming = to.subscribe(subject.clone()).await.unwrap();
        joined(from, to).await;
        let (sent, received, stop) =
            (Arc::<AtomicU64>::default(), Arc::<Received>::default(), Arc::<AtomicBool>::default());
        let (counter, stopped, publisher) = (Arc::clone(&sent), Arc::clone(&stop), from.clone());
        let sender = tokio::spawn(async move {
            let mut tick = tokio::time::interval(Duration::from_millis(1));
            while !stopped.load(Ordering::Relaxed) {
                tick.tick().await;
                let n = counter.fetch_add(1, Ordering::Relaxed) + 1;
                publisher.publish(subject.clone(), n.to_string().into()).await.unwrap();
            }
            // This is the last handle of its connection, which ends with it, whatever is still to be written.
            publisher.flush().await.unwrap();
        });
        let state = Arc::clone(&received);
        let receiver = tokio::spawn(async move {
            while let Some(message) = incoming.next().await {
                let n: u64 = std::str::from_utf8(&message.payload).unwrap().parse().unwrap();
                let last = state.last.swap(n, Ordering::Relaxed);
                assert!(n > last, "message {n} came after message {last}: twice, or out of order");
                state.count.fetch_add(1, Ordering::Relaxed);
            }
        });
        Self { sent, received, stop, sender, receiver }
    }

    /// Waits until messages that are sent from now on arrive, and prints what was lost so far.
    async fn flows(&self, when: &str) {
        let (start, already) = (Instant::now(), self.sent.load(Ordering::Relaxed));
        while self.received.last.load(Ordering::Relaxed) <= already {
            assert!(!self.receiver.is_finished(), "{when}: the receiver has failed");
            assert!(start.elapsed() < RESUME_MAX, "{when}: nothing arrived for {RESUME_MAX:?}");
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        let resumed = start.elapsed();
        // Some hundreds more in this state, not only the first.
        while self.received.last.load(Ordering::Relaxed) <= already + 500 {
            assert!(start.elapsed() < RESUME_MAX * 2, "{when}: it stopped again");
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        let last = self.received.last.load(Ordering::Relaxed);
        let lost = last.saturating_sub(self.received.count.load(Ordering::Relaxed));
        tell(&format!("{when}: flows after {resumed:?}; lost {lost} of {last} so far"));
    }

    async fn end(self) {
        self.stop.store(true, Ordering::Relaxed);
        self.sender.await.unwrap();
        let sent = self.sent.load(Ordering::Relaxed);
        let start = Instant::now();
        while self.received.last.load(Ordering::Relaxed) < sent {
            assert!(start.elapsed() < RESUME_MAX, "the last messages of a whole lattice did not arrive");
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        let lost = sent - self.received.count.load(Ordering::Relaxed);
        tell(&format!("in all: sent {sent}, lost {lost}"));
        assert!(!self.receiver.is_finished(), "the receiver has failed");
        self.receiver.abort();
    }
}
