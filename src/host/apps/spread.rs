//! Which host runs how many instances of a component: a function of what all hosts know, so that all come to the same without a word.
//!
//! Hosts stand in an order of their own for each component, by a hash of both (rendezvous hashing): when one goes, its place goes to the next,
//! and the others keep theirs; when one comes, it takes from few.

use super::app::{Component, Spread};
use crate::host::control::Map;
use crate::host::state::Key;
use crate::identity::NodeId;
use std::collections::BTreeMap;

/// Whether a host of these labels is one that is asked for.
#[must_use]
pub fn fits(on: &Map, labels: &Map) -> bool {
    on.iter().all(|(key, value)| labels.get(key) == Some(value))
}

/// How many instances of component `id` each of `hosts` runs, which are told with their labels; those that run none are left out.
#[must_use]
pub fn spread(id: &str, component: &Component, hosts: &BTreeMap<NodeId, &Map>) -> BTreeMap<NodeId, u32> {
    let fitting = hosts.iter().filter(|(_, labels)| fits(&component.on, labels)).map(|(host, _)| *host);
    match component.spread {
        Spread::PerHost(count) => fitting.map(|host| (host, count)).collect(),
        Spread::Instances(count) => {
            let mut order: Vec<(u64, NodeId)> =
                fitting.map(|host| (Key::owned(host, format!("place of {id}")).hash(), host)).collect();
            order.sort_unstable();
            let hosts = u32::try_from(order.len()).unwrap_or(u32::MAX).max(1);
            let (each, first) = (count / hosts, count % hosts);
            let share = |(place, (_, host))| (host, each + u32::from(place < first));
            (0..).zip(order).map(share).filter(|(_, count)| *count > 0).collect()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn component(spread: Spread, on: Option<&str>) -> Component {
        let on = on.map(|zone| ("zone".to_owned(), zone.to_owned())).into_iter().collect();
        Component { image: "a".to_owned(), spread, on, config: Vec::new(), limits: Map::new() }
    }

    fn labels(zone: &str) -> Map {
        [("zone".to_owned(), zone.to_owned())].into()
    }

    fn node(n: u8) -> NodeId {
        NodeId([n; 32])
    }

    #[test]
    fn labels_choose() {
        let (here, there) = (labels("here"), labels("there"));
        let hosts = [(node(1), &here), (node(2), &there), (node(3), &here)].into();
        let all = spread("c", &component(Spread::PerHost(2), Some("here")), &hosts);
        assert_eq!(all, [(node(1), 2), (node(3), 2)].into());
        let one = spread("c", &component(Spread::Instances(3), Some("there")), &hosts);
        assert_eq!(one, [(node(2), 3)].into());
        assert!(spread("c", &component(Spread::Instances(3), Some("nowhere")), &hosts).is_empty());
    }

    proptest! {
        /// Goal: all are there, evenly; and a host that goes moves no place but its own ones.
        #[test]
        fn places_are_even_and_stay(count in 1u32..40, nodes in 1u8..20, gone in 0u8..20, id in "[a-z]{1,8}") {
            let none = Map::new();
            let hosts: BTreeMap<NodeId, &Map> = (0..nodes).map(|n| (node(n), &none)).collect();
            let wanted = component(Spread::Instances(count), None);
            let before = spread(&id, &wanted, &hosts);
            prop_assert_eq!(before.values().sum::<u32>(), count);
            let (each, more) = (count / u32::from(nodes), u32::from(!count.is_multiple_of(u32::from(nodes))));
            prop_assert!(before.values().all(|share| (each..=each + more).contains(share)));

            let mut left = hosts.clone();
            if left.remove(&node(gone)).is_some() && !left.is_empty() {
                let after = spread(&id, &wanted, &left);
                prop_assert_eq!(after.values().sum::<u32>(), count);
                let less = |(host, share): (&NodeId, &u32)| *host != node(gone) && after.get(host).unwrap_or(&0) < share;
                prop_assert!(!before.iter().any(less), "{before:?} {after:?}");
            }
        }
    }
}
