//! Leaf nodes of this server: to all but each other they are clients of it.

use super::*;
use crate::message::ClusterId;

/// A world with two leaf nodes of one cluster, and one of another.
struct Leaves {
    world: World,
    spokes: [Arc<Recorder>; 3],
    on: [Attachment; 3],
}

const TWINS: ClusterId = ClusterId(11);
const OTHER: ClusterId = ClusterId(12);

impl Leaves {
    fn new() -> Self {
        let world = World::new();
        let spokes: [Arc<Recorder>; 3] = [Arc::default(), Arc::default(), Arc::default()];
        let attach = |at: usize, cluster| {
            world.broker.attach(NeighborKind::Spoke(Some(cluster)), Arc::<Recorder>::clone(&spokes[at]))
        };
        let on = [attach(0, TWINS), attach(1, TWINS), attach(2, OTHER)];
        Self { world, spokes, on }
    }

    fn all_want(&self, subject: &str, queue: Option<&str>) {
        self.on.iter().for_each(|on| self.world.want(on, 0, None, subject, queue));
    }

    /// What the leaf nodes have been given.
    fn given(&self) -> [Vec<String>; 3] {
        [0, 1, 2].map(|at| self.spokes[at].take())
    }

    fn from(&self, at: usize, groups: Groups<'_>) -> usize {
        self.on[at].publisher().publish(b"$G", &message("a"), groups, None)
    }
}

#[tokio::test]
async fn what_anybody_publishes_goes_to_all_of_them() {
    let leaves = Leaves::new();
    leaves.all_want("a", None);
    let everyone = || [one("a [0] []"), one("a [0] []"), one("a [0] []")];
    assert_eq!(leaves.world.publish("a"), 3);
    assert_eq!(leaves.given(), everyone());
    let through = |on: &Attachment, via| on.publisher().publish(b"$G", &message("a"), Groups::Only(&[]), via);
    for via in [None, Some(V)] {
        assert_eq!(through(&leaves.world.on_mesh, via), 3);
        assert_eq!(leaves.given(), everyone(), "from the mesh, and from an upstream there");
    }
    assert_eq!(through(&leaves.world.on_u, None), 3);
    assert_eq!(leaves.given(), everyone(), "from an upstream here");
}

#[tokio::test]
async fn what_one_publishes_goes_to_all_but_its_cluster() {
    let leaves = Leaves::new();
    leaves.all_want("a", None);
    leaves.world.want(&leaves.world.on_mesh, 4, None, "a", None);
    leaves.world.want(&leaves.world.on_mesh, 6, Some(V), "a", None);
    leaves.world.want(&leaves.world.on_u, 0, None, "a", None);
    let mut local = leaves.world.subscribe("a", None);
    assert_eq!(leaves.from(0, Groups::Only(&[])), 5, "a client, two nodes of the mesh, an upstream, a leaf node");
    assert_eq!(leaves.given(), [none(), none(), one("a [0] []")]);
    assert_eq!(leaves.world.given(), [one("a [4, 6] []"), one("a [0] []"), none()]);
    assert!(local.try_next().is_some());
    leaves.from(2, Groups::Only(&[]));
    assert_eq!(leaves.given(), [one("a [0] []"), one("a [0] []"), none()]);
}

#[tokio::test]
async fn members_of_a_group_behind_them_come_after_clients_and_before_the_mesh() {
    let leaves = Leaves::new();
    leaves.world.want(&leaves.world.on_mesh, 4, None, "a", Some("q"));
    leaves.world.want(&leaves.on[0], 0, None, "a", Some("q"));
    leaves.on[2].set_interest(b"$G", 0, None, b"a", Some(b"q"), 9).unwrap();
    let mut counts = [0, 0];
    for _ in 0..1000 {
        assert_eq!(leaves.world.publish("a"), 1);
        let [first, _, third] = leaves.given();
        counts[0] += first.len();
        counts[1] += third.len();
    }
    assert_eq!((counts[0] + counts[1], leaves.world.given()), (1000, [none(), none(), none()]));
    assert!((50..200).contains(&counts[0]), "one member against nine: {counts:?}");
    // From the other twin, the first one is out of reach.
    for _ in 0..50 {
        leaves.from(1, Groups::Only(&[pick("q", None)]));
        assert_eq!(leaves.given(), [none(), none(), one("a [] [q:0]")]);
    }
    drop(leaves.on[2].clone());
    leaves.on[2].remove_member(0);
    leaves.from(1, Groups::Only(&[pick("q", None)]));
    assert_eq!(leaves.given(), [none(), none(), none()]);
    assert_eq!(leaves.world.given(), [one("a [] [q:4]"), none(), none()], "the mesh has one still");
    let mut local = leaves.world.subscribe("a", Some("q"));
    leaves.world.publish("a");
    assert_eq!((local.try_next().is_some(), leaves.given()), (true, [none(), none(), none()]));
}

#[tokio::test]
async fn the_mesh_finds_a_member_behind_them_or_is_told_that_there_is_none() {
    let leaves = Leaves::new();
    leaves.world.want(&leaves.on[1], 0, None, "a", Some("q"));
    let mut publisher = leaves.world.on_mesh.publisher();
    assert_eq!(publisher.publish(b"$G", &message("a"), Groups::Only(&[pick("q", None), pick("r", None)]), None), 1);
    assert_eq!(publisher.untaken(), [1]);
    assert_eq!(leaves.given(), [none(), one("a [] [q:0]"), none()]);
}

#[tokio::test]
async fn others_are_told_of_one_interest_of_all_clients_and_leaf_nodes() {
    let leaves = Leaves::new();
    let client = leaves.world.subscribe("a", None);
    leaves.world.want(&leaves.on[0], 0, None, "a", None);
    assert_eq!(leaves.world.leaf_u.take_interest(), ["Clients a = 1", "Clients a = 1"]);
    drop(client);
    assert_eq!(leaves.world.leaf_u.take_interest(), ["Clients a = 1"], "the leaf node wants it still");
    leaves.on[2].set_interest(b"$G", 0, None, b"w", Some(b"q"), 3).unwrap();
    let member = leaves.world.subscribe("w", Some("q"));
    assert_eq!(leaves.world.mesh.take_interest()[3..], ["Clients w q = 3", "Clients w q = 4"]);
    let id = leaves.spokes[1].take_interest();
    assert_eq!(id.len(), 5, "each of them is told of, one by one: {id:?}");
    assert!(id[1].starts_with("Spoke {") && id[1].ends_with("a = 1") && id[4] == "Clients w q = 1", "{id:?}");
    let late = Arc::new(Recorder::default());
    let attachment = leaves.world.broker.attach(NeighborKind::Leaf(UpstreamId(9)), late.clone());
    assert_eq!(late.take_interest(), ["Clients a = 1", "Clients w q = 4"]);
    leaves.on[0].remove_member(0);
    drop(member);
    assert_eq!(late.take_interest(), ["Clients a = 0", "Clients w q = 3"]);
    drop(attachment);
}
