//! The choice of the queue-group member that takes a message, made once, where the message enters the mesh.
//!
//! The rule, in this order:
//! 1. Clients of the lattice before members behind an upstream, as NATS prefers its own cluster over a leaf link.
//! 2. Members within reach before those without a route: they may only be gone from one of two tables yet.
//! 3. Near before far: only members that cost at most twice as much to reach as the nearest take part. Twice, since
//!    costs are measured and waver; between members as good as equal the load is shared.
//! 4. Among those, by chance, in proportion to how many subscriptions each stands for.
//!
//! That a member on the publisher's own node comes first of all is the broker's doing.

use super::spf::Routes;
use crate::ports::{Candidate, by_weight};

/// How much more than the nearest a member may cost to still take part.
const NEAR: u64 = 2;

/// Chooses among `candidates`, which are not empty, and returns an index. `random` is uniform.
#[must_use]
pub fn choose(candidates: &[Candidate], routes: &Routes, random: u64) -> usize {
    let far = |candidate: &Candidate| {
        let cost = routes.by_index.get(&candidate.member).map(|route| u64::from(route.cost));
        (candidate.via.is_some(), cost.is_none(), cost.unwrap_or(0))
    };
    let Some((via, unreachable, cost)) = candidates.iter().map(far).min() else { return 0 };
    let takes_part = |candidate: &Candidate| {
        let (its_via, its_unreachable, its_cost) = far(candidate);
        (its_via, its_unreachable) == (via, unreachable) && its_cost <= cost * NEAR
    };
    // A weight of 0 never wins, so no list of those that take part has to be made.
    let total: u64 = candidates.iter().filter(|c| takes_part(c)).map(|c| u64::from(c.weight)).sum();
    let mut at = ((u128::from(random) * u128::from(total)) >> 64) as u64;
    for (index, candidate) in candidates.iter().enumerate().filter(|(_, c)| takes_part(c)) {
        match at.checked_sub(u64::from(candidate.weight)) {
            None => return index,
            Some(rest) => at = rest,
        }
    }
    by_weight(candidates, random)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mesh::id::NodeId;
    use crate::mesh::spf::Route;
    use crate::ports::UpstreamId;
    use proptest::collection::vec;
    use proptest::prelude::*;

    fn routes(costs: &[(u32, u32)]) -> Routes {
        let node = NodeId([0; 32]);
        let mut routes = Routes::alone(node, 99, 1);
        let route = |cost| Route { node, next: node, cost, hops: 1, life: 0 };
        routes.by_index = costs.iter().map(|&(member, cost)| (member, route(cost))).collect();
        routes
    }

    fn candidate(member: u32, weight: u32, via: Option<u64>) -> Candidate {
        Candidate { member, weight, via: via.map(UpstreamId) }
    }

    /// How often each candidate is chosen, over evenly spread chances.
    fn shares(candidates: &[Candidate], routes: &Routes) -> Vec<u32> {
        let mut shares = vec![0; candidates.len()];
        let step = u64::MAX / 1000;
        for n in 0..1000 {
            shares[choose(candidates, routes, n * step + step / 2)] += 1;
        }
        shares
    }

    #[test]
    fn the_near_share_by_weight_and_the_far_get_nothing() {
        let routes = routes(&[(1, 10), (2, 20), (3, 21)]);
        let candidates = [candidate(1, 3, None), candidate(2, 1, None), candidate(3, 9, None)];
        assert_eq!(shares(&candidates, &routes), [750, 250, 0]);
    }

    #[test]
    fn upstreams_and_the_unreachable_come_last() {
        let routes = routes(&[(1, 500), (2, 10)]);
        let (far, upstream, lost) = (candidate(1, 1, None), candidate(2, 1, Some(7)), candidate(3, 1, None));
        assert_eq!(shares(&[upstream, far, lost], &routes), [0, 1000, 0]);
        assert_eq!(shares(&[upstream, lost], &routes), [0, 1000]);
        assert_eq!(shares(&[upstream], &routes), [1000]);
        assert_eq!(shares(&[lost, candidate(4, 1, None)], &routes), [500, 500]);
    }

    proptest! {
        #[test]
        fn there_is_always_a_choice(
            members in vec((0u32..9, any::<u32>(), any::<Option<u64>>()), 1..9),
            costs in vec((0u32..9, any::<u32>()), 0..9), random: u64,
        ) {
            let candidates: Vec<_> = members.into_iter().map(|(m, w, via)| candidate(m, w, via)).collect();
            prop_assert!(choose(&candidates, &routes(&costs), random) < candidates.len());
        }
    }
}
