//! Who would take a message, for people to look at: nothing is delivered, and nobody is told.
//!
//! The same route is looked up as for a message, and the same one member of each queue group would be chosen as
//! `delivery.rs` chooses; what can be reached by which way is left to the neighbours.

use crate::message::UpstreamId;
use crate::neighbor::{Candidate, NeighborKind};
use crate::route::{Group, Route};
use crate::subject::is_literal;
use crate::{BadSubject, Broker};

/// Who takes the messages of one subject that clients of this broker publish.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Takers {
    /// Plain subscriptions of this broker's own clients, and leaf nodes of it with plain interest.
    pub here: usize,
    /// Upstreams of this broker with plain interest.
    pub upstreams: Vec<UpstreamId>,
    /// Members of the mesh with plain interest, each with whether it is only its upstream that is interested.
    pub members: Vec<(u32, bool)>,
    /// Queue groups, in the order of their names.
    pub groups: Vec<GroupTakers>,
}

/// The members of one queue group.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct GroupTakers {
    /// Its name.
    pub name: Box<[u8]>,
    /// Members that are this broker's own clients, or its leaf nodes': one of them is chosen before all others.
    pub here: usize,
    /// Upstreams of this broker with members: chosen when no client anywhere is a member.
    pub upstreams: Vec<UpstreamId>,
    /// Members of the mesh whose clients are members of the group.
    pub mesh: Vec<Candidate>,
    /// Members of the mesh whose upstreams are.
    pub mesh_upstream: Vec<Candidate>,
}

impl GroupTakers {
    /// Those of the mesh among whom one is chosen; none when the message stays here, or goes to an upstream of this broker.
    #[must_use]
    pub fn chosen_among(&self) -> &[Candidate] {
        match (self.here, &self.mesh[..], &self.upstreams[..]) {
            (1.., ..) => &[],
            (0, [_, ..], _) => &self.mesh,
            (0, [], [_, ..]) => &[],
            (0, [], []) => &self.mesh_upstream,
        }
    }
}

impl Broker {
    /// Who takes the messages that clients publish on `subject`, in the account of those without one.
    ///
    /// Costs what the first message on a subject costs; delivers nothing.
    ///
    /// # Errors
    /// [`BadSubject`]: nothing can be published there.
    pub fn takers(&self, subject: &[u8]) -> Result<Takers, BadSubject> {
        if !is_literal(subject) {
            return Err(BadSubject { subject: String::from_utf8_lossy(subject).into_owned() });
        }
        Ok(Takers::of(&self.hub.global_account().route(subject)))
    }
}

impl Takers {
    fn of(route: &Route) -> Self {
        let mut takers = Self { here: route.plain.len(), ..Self::default() };
        for hop in &route.hops {
            match hop.attached.kind {
                NeighborKind::Leaf(upstream) if !hop.members.is_empty() => takers.upstreams.push(upstream),
                NeighborKind::Spoke(_) if !hop.members.is_empty() => takers.here += 1,
                NeighborKind::Leaf(_) | NeighborKind::Spoke(_) => {}
                NeighborKind::Mesh => {
                    let member = |&member: &u32| (member, !hop.direct.contains(&member));
                    takers.members.extend(hop.members.iter().map(member));
                }
            }
        }
        takers.groups = route.groups.iter().map(GroupTakers::of).collect();
        takers
    }
}

impl GroupTakers {
    fn of(group: &Group) -> Self {
        Self {
            name: group.name.clone(),
            here: group.local.len() + group.spokes.iter().map(|(_, weight)| *weight as usize).sum::<usize>(),
            upstreams: group.leaves.iter().map(|(_, upstream)| *upstream).collect(),
            mesh: group.mesh.clone(),
            mesh_upstream: group.mesh_upstream.clone(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_group_is_chosen_from_like_for_a_message() {
        let candidate = |member, via: Option<u64>| Candidate { member, weight: 1, via: via.map(UpstreamId) };
        let mesh_upstream = vec![candidate(3, Some(1))];
        let far = GroupTakers { mesh_upstream, ..GroupTakers::default() };
        let with_leaf = GroupTakers { upstreams: vec![UpstreamId(1)], ..far.clone() };
        let with_mesh = GroupTakers { mesh: vec![candidate(2, None)], ..with_leaf.clone() };
        let with_here = GroupTakers { here: 1, ..with_mesh.clone() };
        let among = |group: &GroupTakers| group.chosen_among().iter().map(|c| c.member).collect::<Vec<_>>();
        assert_eq!([&far, &with_leaf, &with_mesh, &with_here].map(among), [vec![3], vec![], vec![2], vec![]]);
    }

    #[tokio::test]
    async fn takers_are_told_and_get_nothing() {
        let broker = Broker::new(crate::env::Env::tokio(), crate::Config::default()).unwrap();
        let local = broker.local();
        let mut plain = local.subscribe(b"a.*", None, 8).unwrap();
        let _member = local.subscribe(b"a.>", Some(b"g"), 8).unwrap();
        let takers = broker.takers(b"a.b").unwrap();
        let group = GroupTakers { name: (*b"g").into(), here: 1, ..GroupTakers::default() };
        assert_eq!(takers, Takers { here: 1, groups: vec![group], ..Takers::default() });
        assert_eq!(broker.takers(b"b").unwrap(), Takers::default());
        assert!(broker.takers(b"a.*").is_err() && broker.takers(b"").is_err());
        assert_eq!(plain.try_next(), None);
    }
}
