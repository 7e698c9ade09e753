use super::*;
use crate::mesh::id::NodeId;
use crate::mesh::lsdb::Lsa;
use crate::mesh::sorted::Sorted;
use crate::mesh::spf::Route;

const ME: NodeId = NodeId([1; 32]);

fn known(n: u8, urls: &[&str]) -> Arc<Announcement> {
    let lsa = Lsa {
        node: NodeId([n; 32]),
        area: 0,
        part: 0,
        index: n.into(),
        boot: 1,
        seq: 1,
        name: "node".into(),
        adjacency: Vec::new(),
        addresses: Vec::new(),
        upstreams: Vec::new(),
        interest_version: 0,
        interest_digest: 0,
        clients: urls.iter().map(|url| (*url).to_owned()).collect(),
    };
    Arc::new(Announcement::own(lsa, &[]))
}

/// Routes to nodes at these costs.
fn routes(costs: &[(u8, u32)]) -> Routes {
    let route = |&(n, cost): &(u8, u32)| {
        let node = NodeId([n; 32]);
        (u32::from(n), Route { node, next: node, cost, hops: 1, life: 1 })
    };
    Routes { by_index: Sorted::from_iter(costs.iter().map(route)), ..Routes::alone(ME, 1, 1) }
}

#[test]
fn own_first_then_the_nearest_and_nobody_out_of_reach() {
    let all = [known(1, &["me:1"]), known(2, &["far:1"]), known(3, &["near:1", "near:2"]), known(4, &["gone:1"])];
    let told = choose(&routes(&[(2, 30), (3, 20)]), &all, &[]);
    assert_eq!(told, ["me:1", "near:1", "near:2", "far:1"]);
    let all = [known(1, &[]), known(2, &["a:1"]), known(3, &["a:1"])];
    assert_eq!(choose(&routes(&[(2, 1), (3, 1)]), &all, &[]), ["a:1"], "each once");
}

#[test]
fn who_is_alone_tells_nothing() {
    let all = [known(1, &["me:1"]), known(2, &["a:1"]), known(3, &[])];
    assert!(choose(&routes(&[(3, 1)]), &all, &[]).is_empty());
    assert_eq!(choose(&routes(&[(2, 1)]), &all, &[]), ["me:1", "a:1"]);
}

/// Goal: what was told stays as long as it is good, so that costs that go up and down change nothing.
#[test]
fn the_list_is_bounded_and_steady() {
    let many: Vec<_> = (2..=80).map(|n| known(n, &[&format!("n{n}:1")])).collect();
    let at = |cost: fn(u8) -> u32| routes(&(2..=80).map(|n| (n, cost(n))).collect::<Vec<_>>());
    let first = choose(&at(|n| n.into()), &many, &[]);
    assert_eq!((first.len(), first[0].as_str()), (TOLD_MAX, "n2:1"));
    let mut later = choose(&at(|n| 200 - u32::from(n)), &many, &first);
    later.sort_unstable();
    let mut same = first.clone();
    same.sort_unstable();
    assert_eq!(later, same);
}
