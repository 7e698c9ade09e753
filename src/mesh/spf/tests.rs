use super::*;
use proptest::collection::vec;
use proptest::prelude::*;

/// A database: for each node its index and its adjacency.
type Database = BTreeMap<NodeId, (u32, Vec<(NodeId, u32)>)>;

fn id(n: usize) -> NodeId {
    // Not in the order of the numbers, so that ties are not broken by accident.
    let mut key = [0; 32];
    key[0] = (n as u8).wrapping_mul(167);
    key[31] = n as u8;
    NodeId(key)
}

/// Edges as (from, to, cost there, cost back, which ends announce it: 0 both, 1 and 2 one alone).
fn database(count: usize, edges: &[(usize, usize, u32, u32, u8)]) -> Database {
    let mut adjacency: BTreeMap<NodeId, BTreeMap<NodeId, u32>> = (0..count).map(|n| (id(n), BTreeMap::new())).collect();
    for &(a, b, there, back, ends) in edges {
        let (a, b) = (id(a % count), id(b % count));
        if ends != 1 {
            adjacency.get_mut(&a).unwrap().insert(b, there);
        }
        if ends != 2 {
            adjacency.get_mut(&b).unwrap().insert(a, back);
        }
    }
    let indexed = adjacency.into_iter().enumerate();
    indexed.map(|(n, (node, edges))| (node, (n as u32 + 1, edges.into_iter().collect()))).collect()
}

fn vertices(database: &Database) -> Vec<Vertex<'_>> {
    database
        .iter()
        .map(|(&node, (index, adjacency))| Vertex { node, index: *index, life: 0, transit: true, adjacency })
        .collect()
}

fn compute(database: &Database, me: NodeId) -> Routes {
    Routes::compute(me, 1, &vertices(database))
}

fn route(routes: &Routes, index: u32) -> Route {
    *routes.by_index.get(&index).unwrap()
}

/// Costs between all nodes, by the simplest algorithm there is (Floyd and Warshall).
fn naive(database: &Database) -> BTreeMap<(NodeId, NodeId), u32> {
    let mut costs = BTreeMap::new();
    for (&from, (_, adjacency)) in database {
        for &(to, cost) in adjacency {
            if to != from && database[&to].1.iter().any(|&(back, _)| back == from) {
                costs.insert((from, to), cost);
            }
        }
        costs.insert((from, from), 0);
    }
    for &via in database.keys() {
        for &a in database.keys() {
            for &b in database.keys() {
                if let (Some(&there), Some(&on)) = (costs.get(&(a, via)), costs.get(&(via, b))) {
                    let cost = costs.entry((a, b)).or_insert(u32::MAX);
                    *cost = (*cost).min(there + on);
                }
            }
        }
    }
    costs
}

fn graph() -> impl Strategy<Value = Database> {
    let edge = (0usize..12, 0usize..12, 1u32..6, 1u32..6, prop_oneof![8 => Just(0u8), 1 => Just(1), 1 => Just(2)]);
    (2usize..12, vec(edge, 0..30)).prop_map(|(count, edges)| database(count, &edges))
}

proptest! {
    #[test]
    fn costs_are_those_of_the_naive_algorithm(database in graph()) {
        let costs = naive(&database);
        for &me in database.keys() {
            let routes = compute(&database, me);
            for (&node, (index, _)) in &database {
                let route = routes.by_index.get(index).filter(|_| node != me);
                let expected = costs.get(&(me, node)).filter(|_| node != me);
                prop_assert_eq!(route.map(|r| r.cost), expected.copied());
                prop_assert_eq!(routes.reachable.contains_key(&node), costs.contains_key(&(me, node)));
            }
        }
    }

    #[test]
    fn following_the_routes_arrives_within_the_hops_promised(database in graph()) {
        let all: BTreeMap<NodeId, Routes> = database.keys().map(|&n| (n, compute(&database, n))).collect();
        for routes in all.values() {
            for (index, way) in routes.by_index.iter() {
                let (mut at, mut cost) = (routes.me, 0);
                for _ in 0..database.len() {
                    if at == way.node {
                        break;
                    }
                    let next = route(&all[&at], *index).next;
                    cost += database[&at].1.iter().find(|&&(n, _)| n == next).unwrap().1;
                    at = next;
                }
                prop_assert_eq!((at, cost), (way.node, way.cost));
            }
        }
    }

    #[test]
    fn a_way_round_is_one_that_is_left_without_the_edge(database in graph()) {
        for (&me, (_, adjacency)) in &database {
            for &(neighbor, _) in adjacency.iter().filter(|(neighbor, _)| *neighbor != me) {
                let mut without = database.clone();
                without.get_mut(&me).unwrap().1.retain(|&(to, _)| to != neighbor);
                let left = compute(&without, me).reachable.contains_key(&neighbor);
                prop_assert_eq!(is_way_round(me, neighbor, &vertices(&database)), left);
            }
        }
    }

    #[test]
    fn alternates_do_not_come_back(database in graph()) {
        let (costs, all) = (
            naive(&database),
            database.keys().map(|&n| (n, compute(&database, n))).collect::<BTreeMap<_, _>>(),
        );
        for (&me, routes) in &all {
            let alternates = alternates(me, &vertices(&database));
            for (index, way) in routes.by_index.iter() {
                let candidates = database[&me].1.iter().filter(|&&(n, _)| {
                    n != way.next && costs.contains_key(&(me, n)) && n != me && costs.contains_key(&(n, way.node))
                        && database[&n].1.iter().any(|&(back, _)| back == me)
                        && costs[&(n, way.node)] < costs[&(n, me)] + costs[&(me, way.node)]
                });
                prop_assert_eq!(alternates.contains_key(&way.node), candidates.count() > 0);
                let Some(mut at) = alternates.get(&way.node).copied() else { continue };
                while at != way.node {
                    prop_assert_ne!(at, me, "the alternate's own path comes back");
                    at = route(&all[&at], *index).next;
                }
            }
        }
    }
}

#[test]
fn equal_paths_are_decided_by_hops_and_then_by_key() {
    // 0 to 3 over 1 or 2 at the same cost, and directly at that cost with one hop.
    let square = [(0, 1, 2, 2, 0), (0, 2, 2, 2, 0), (1, 3, 2, 2, 0), (2, 3, 2, 2, 0)];
    let database = database(4, &square);
    let index = |database: &Database, n| database[&id(n)].0;
    let routes = compute(&database, id(0));
    assert_eq!(route(&routes, index(&database, 3)).next, id(1).min(id(2)));
    assert_eq!(alternates(id(0), &vertices(&database)).get(&id(3)), Some(&id(1).max(id(2))));
    let direct = self::database(4, &[&square[..], &[(0, 3, 4, 4, 0)]].concat());
    assert_eq!(route(&compute(&direct, id(0)), index(&direct, 3)).hops, 1);
}

#[test]
fn a_node_that_is_too_far_away_is_within_reach_but_gets_no_frames() {
    let far = HOPS_MAX as usize;
    let line: Vec<_> = (0..far + 2).map(|n| (n, n + 1, 1, 1, 0)).collect();
    let database = database(far + 3, &line);
    let routes = compute(&database, id(0));
    assert_eq!((routes.by_index.len(), routes.reachable.len(), routes.too_far), (far, far + 3, 2));
    assert_eq!(route(&routes, database[&id(far)].0).hops, HOPS_MAX);
    assert!(routes.by_index.get(&database[&id(far + 1)].0).is_none());
}

#[test]
fn an_alternate_that_avoids_the_next_node_is_preferred() {
    // From 0 to 9: over 1. Both 2 (cheap, but through 1) and 3 (dear, around it) would do.
    let edges =
        [(0, 1, 1, 1, 0), (1, 9, 10, 10, 0), (0, 2, 1, 1, 0), (2, 1, 1, 1, 0), (0, 3, 8, 8, 0), (3, 9, 11, 11, 0)];
    let database = database(10, &edges);
    assert_eq!(route(&compute(&database, id(0)), database[&id(9)].0).next, id(1));
    assert_eq!(alternates(id(0), &vertices(&database)).get(&id(9)), Some(&id(3)));
}

#[test]
fn an_index_that_two_claim_belongs_to_the_smaller_key() {
    let mut database = database(3, &[(0, 1, 1, 1, 0), (0, 2, 1, 1, 0)]);
    for (index, _) in database.values_mut() {
        *index = 7;
    }
    let keys: Vec<_> = database.keys().copied().collect();
    assert_eq!(route(&compute(&database, keys[2]), 7).node, keys[0]);
    assert!(compute(&database, keys[0]).by_index.is_empty());
    assert_eq!(compute(&database, keys[0]).reachable.len(), 3);
}

/// Goal: a node that gives no transit is the end of each path that leads to it, whatever it announces; it reaches all itself.
#[test]
fn nothing_goes_through_a_node_without_transit() {
    // 0 – 1 – 2 is cheap, and 0 – 3 – 2 dear; 4 hangs on 1 alone.
    let edges = [(0, 1, 1, 1, 0), (1, 2, 1, 1, 0), (0, 3, 50, 50, 0), (3, 2, 50, 50, 0), (1, 4, 1, 1, 0)];
    let database = database(5, &edges);
    let without = |leaf: usize| -> Vec<Vertex<'_>> {
        let all = vertices(&database).into_iter();
        all.map(|vertex| Vertex { transit: vertex.node != id(leaf), ..vertex }).collect()
    };
    let routes = |me: usize| Routes::compute(id(me), 1, &without(1));
    let next = |routes: &Routes, to: usize| {
        let found = routes.by_index.values().find(|route| route.node == id(to));
        found.map(|route| (route.next, route.hops))
    };
    let from_0 = routes(0);
    assert_eq!(next(&from_0, 1), Some((id(1), 1)), "it is reached itself");
    assert_eq!(next(&from_0, 2), Some((id(3), 2)), "round it, though that is dear");
    assert_eq!(next(&from_0, 4), None, "what is behind it alone cannot be reached");
    let from_1 = routes(1);
    assert_eq!((next(&from_1, 2), next(&from_1, 4)), (Some((id(2), 1)), Some((id(4), 1))), "its own go out");
    assert!(is_way_round(id(0), id(1), &vertices(&database)) && is_way_round(id(0), id(3), &vertices(&database)));
    assert!(!is_way_round(id(0), id(3), &without(1)), "it is none for others");
    let around = alternates(id(0), &without(1));
    assert_eq!(around.get(&id(2)), None, "it is no way round either");
}
