//! What a node shows of the lattice: which way messages go, who takes them, what has happened, and how long a way takes.
//!
//! All of it is read from snapshots that are there anyway, or asked of tasks that are not on a message's way. How it looks
//! is left to the command line.

use super::Node;
use crate::control::{Question, Seen, TRACE_MAX, TraceRequest};
use crate::identity::NodeId;
use crate::mesh::events::{Event, What};
use crate::mesh::frame::Fate;
use crate::mesh::plane::WayOut;
use crate::mesh::trace::{self, DESTINATIONS_MAX, TraceError};
use crate::ports::{Neighbor, UpstreamId};
use crate::status::events::{Event as EventTold, Events, Place};
use crate::status::routes::{Members, Route, Routes, Taker, Takers};
use crate::status::trace::{End, Hop, Trace, Way};
use lattice_broker::{self as broker, BadSubject, GLOBAL_ACCOUNT};
use rand_core::Rng;
use std::collections::BTreeMap;
use std::time::{Duration, UNIX_EPOCH};

/// Nodes that one answer tells of; it says how many more there are.
pub(super) const NODES_MAX: usize = 1000;

/// Nothing is shown.
#[derive(Debug, thiserror::Error)]
pub enum SeeError {
    /// No message can have this subject.
    #[error("{subject:?} is no subject of a message")]
    Subject {
        /// As given.
        subject: String,
    },
    /// Too much was asked.
    #[error(transparent)]
    Trace(#[from] TraceError),
}

impl From<BadSubject> for SeeError {
    fn from(BadSubject { subject }: BadSubject) -> Self {
        Self::Subject { subject }
    }
}

/// Nodes by the numbers that frames name them with.
struct Names {
    me: (u32, String, String),
    others: BTreeMap<u32, Route>,
}

impl Node {
    /// Shows something of the lattice. What it costs is borne by tasks that no message waits for.
    ///
    /// # Errors
    /// [`SeeError`].
    pub async fn see(&self, question: Question) -> Result<Seen, SeeError> {
        Ok(match question {
            Question::Routes => Seen::Routes(self.routes().await),
            Question::Takers(subject) => Seen::Takers(self.takers(subject).await?),
            Question::Events(after) => Seen::Events(self.events(after)),
            Question::Trace(TraceRequest { subject, patience }) => {
                Seen::Trace(self.trace(subject, patience.min(TRACE_MAX)).await?)
            }
        })
    }

    async fn routes(&self) -> Routes {
        let mut nodes: Vec<Route> = self.names().await.others.into_values().collect();
        nodes.sort_by(|a, b| (&a.name, &a.id).cmp(&(&b.name, &b.id)));
        Routes { left_out: cut(&mut nodes), nodes }
    }

    async fn takers(&self, subject: String) -> Result<Takers, SeeError> {
        let found = self.broker.takers(subject.as_bytes())?;
        let mut nodes = takers(&found, &self.names().await);
        let account = GLOBAL_ACCOUNT.to_owned();
        Ok(Takers { subject, account, left_out: cut(&mut nodes), nodes })
    }

    /// Follows the way of a message on `subject`, for as long as `patience`.
    async fn trace(&self, subject: String, patience: Duration) -> Result<Trace, SeeError> {
        let found = self.broker.takers(subject.as_bytes())?;
        let mut rng = self.env.rng("trace");
        let (plan, groups_here, upstream_here) =
            plan(&found, |candidates| self.mesh.plane().choose(candidates, rng.next_u64()));
        let destinations: Vec<u32> = plan.keys().copied().take(DESTINATIONS_MAX).collect();
        let found_ways = self.mesh.plane().trace(&destinations, patience).await?;
        let names = self.names().await;
        let mut ways: Vec<Way> = found_ways.iter().map(|(to, way)| way_told(*to, way, &plan[to], &names)).collect();
        ways.sort_by(|a, b| (&a.name, &a.id).cmp(&(&b.name, &b.id)));
        let left_out = plan.len() - destinations.len();
        Ok(Trace { subject, plain_here: found.here, groups_here, upstream_here, ways, left_out })
    }

    pub(super) fn events(&self, after: Place) -> Events {
        let life = self.identity.boot();
        let since = self.mesh.events(if after.life == life { after.number } else { 0 });
        let upstream = |id: UpstreamId| {
            let gateway = self.gateway.as_ref().filter(|gateway| gateway.upstream() == id);
            gateway.map(|gateway| gateway.status().url)
        };
        let events = since.events.into_iter().map(|event| event_told(event, upstream)).collect();
        Events { events, lost: since.lost, next: Place { life, number: since.last } }
    }

    async fn names(&self) -> Names {
        let alternates = self.mesh.alternates().await;
        let view = self.mesh.view();
        let known: BTreeMap<NodeId, &str> = view.nodes.iter().map(|node| (node.id, &*node.name)).collect();
        let name = |id: NodeId| known.get(&id).map_or_else(|| id.to_string(), |name| (*name).to_owned());
        let route = |WayOut { index, route, next }: WayOut| {
            let told = Route {
                name: name(route.node),
                id: route.node.to_string(),
                hops: route.hops,
                cost: route.cost,
                next: next.map(name),
                next_id: next.map(|id| id.to_string()),
                detour: next.is_some_and(|next| next != route.next),
                alternate: alternates.get(&route.node).copied().map(name),
            };
            (index, told)
        };
        let plane = self.mesh.plane();
        let me = (plane.index(), self.identity.name().to_owned(), self.identity.node_id().to_string());
        Names { me, others: plane.ways().into_iter().map(route).collect() }
    }
}

impl Names {
    /// Name and key of the node that frames call `index`.
    fn of(&self, index: u32) -> (String, Option<String>) {
        let (me, name, id) = &self.me;
        match self.others.get(&index) {
            _ if index == *me => (name.clone(), Some(id.clone())),
            Some(route) => (route.name.clone(), Some(route.id.clone())),
            None => (format!("node {index}"), None),
        }
    }
}

/// Keeps as many as an answer has room for; returns how many are left out.
fn cut<T>(list: &mut Vec<T>) -> usize {
    let over = list.len().saturating_sub(NODES_MAX);
    list.truncate(NODES_MAX);
    over
}

fn takers(found: &broker::Takers, names: &Names) -> Vec<Taker> {
    let mut by_node: BTreeMap<u32, Taker> = BTreeMap::new();
    let mut at = |index: u32, change: &dyn Fn(&mut Taker)| {
        let (name, id) = names.of(index);
        let route = names.others.get(&index).cloned();
        let here = index == names.me.0;
        let new =
            Taker { name, id: id.unwrap_or_default(), here, plain: 0, upstream: false, groups: Vec::new(), route };
        change(by_node.entry(index).or_insert(new));
    };
    let me = names.me.0;
    if found.here > 0 {
        at(me, &|taker| taker.plain = found.here);
    }
    if !found.upstreams.is_empty() {
        at(me, &|taker| taker.upstream = true);
    }
    for &(member, only_upstream) in &found.members {
        at(member, &|taker| if only_upstream { taker.upstream = true } else { taker.plain = 1 });
    }
    for group in &found.groups {
        let name = String::from_utf8_lossy(&group.name);
        let members = |weight, upstream| move |name: &str| Members { group: name.to_owned(), weight, upstream };
        if group.here > 0 {
            let weight = u32::try_from(group.here).unwrap_or(u32::MAX);
            at(me, &|taker| taker.groups.push(members(weight, false)(&name)));
        }
        for _ in &group.upstreams {
            at(me, &|taker| taker.groups.push(members(1, true)(&name)));
        }
        for candidate in group.mesh.iter().chain(&group.mesh_upstream) {
            let new = members(candidate.weight, candidate.via.is_some());
            at(candidate.member, &|taker| taker.groups.push(new(&name)));
        }
    }
    let mut nodes: Vec<Taker> = by_node.into_values().collect();
    nodes.sort_by(|a, b| (!a.here, &a.name, &a.id).cmp(&(!b.here, &b.name, &b.id)));
    nodes
}

/// The other nodes that a message goes to, each with the groups that it is chosen for; the groups whose member is here;
/// and whether this node's upstream gets it.
fn plan(
    found: &broker::Takers,
    mut choose: impl FnMut(&[broker::Candidate]) -> usize,
) -> (BTreeMap<u32, Vec<String>>, Vec<String>, bool) {
    let mut plan: BTreeMap<u32, Vec<String>> = found.members.iter().map(|(member, _)| (*member, Vec::new())).collect();
    let (mut here, mut upstream) = (Vec::new(), !found.upstreams.is_empty());
    for group in &found.groups {
        let name = String::from_utf8_lossy(&group.name).into_owned();
        match group.chosen_among() {
            [] if group.here > 0 => here.push(name),
            [] => upstream |= !group.upstreams.is_empty(),
            candidates => {
                let chosen = candidates.get(choose(candidates)).unwrap_or(&candidates[0]);
                plan.entry(chosen.member).or_default().push(name);
            }
        }
    }
    (plan, here, upstream)
}

fn way_told(to: u32, way: &trace::Way, groups: &[String], names: &Names) -> Way {
    let (name, id) = names.of(to);
    let hop = |passed: &trace::Passed| {
        let (name, id) = names.of(passed.step.node);
        Hop {
            name,
            id,
            round_trip_ms: passed.round_trip.map(|time| time.as_secs_f64() * 1e3),
            took_us: passed.step.took_us,
            waiting_bytes: passed.step.waiting,
            link_rtt_ms: (passed.step.rtt_us > 0).then(|| f64::from(passed.step.rtt_us) / 1e3),
        }
    };
    let end = match way.end {
        Some(Fate::Arrived) => End::Arrived,
        Some(Fate::NoWay) => End::NoWay,
        Some(Fate::Full) => End::Full,
        Some(Fate::Unknown) => End::Unknown,
        Some(Fate::TooFar) => End::TooFar,
        Some(Fate::Passed) | None => End::Silent,
    };
    Way { name, id: id.unwrap_or_default(), groups: groups.to_vec(), hops: way.passed.iter().map(hop).collect(), end }
}

fn event_told(event: Event, upstream: impl Fn(UpstreamId) -> Option<String>) -> EventTold {
    let Event { number, at, what, node, why } = event;
    let (count, why) = match what {
        What::MoreReached(count) | What::MoreLost(count) => (Some(count), why),
        What::UpstreamElected(id) | What::UpstreamLeft(id) => (None, upstream(id)),
        _ => (None, why),
    };
    let since_1970 = at.duration_since(UNIX_EPOCH).unwrap_or_default();
    EventTold {
        number,
        at_ms: u64::try_from(since_1970.as_millis()).unwrap_or(u64::MAX),
        event: what.name().to_owned(),
        id: node.as_ref().map(|(id, _)| id.to_string()),
        node: node.map(|(_, name)| name),
        count,
        why,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use lattice_broker::{Candidate, GroupTakers};

    fn names() -> Names {
        let route = |name: &str| Route {
            name: name.to_owned(),
            id: format!("N{name}"),
            hops: 1,
            cost: 10,
            next: Some(name.to_owned()),
            next_id: Some(format!("N{name}")),
            detour: false,
            alternate: None,
        };
        let me = (1, "a".to_owned(), "Na".to_owned());
        Names { me, others: BTreeMap::from([(2, route("b")), (3, route("c"))]) }
    }

    fn found() -> broker::Takers {
        let candidate = |member, weight, via: Option<u64>| Candidate { member, weight, via: via.map(UpstreamId) };
        let near = GroupTakers {
            name: (*b"near").into(),
            here: 2,
            mesh: vec![candidate(2, 3, None)],
            ..GroupTakers::default()
        };
        let far = GroupTakers {
            name: (*b"far").into(),
            mesh: vec![candidate(2, 1, None), candidate(3, 4, None)],
            mesh_upstream: vec![candidate(3, 1, Some(9))],
            ..GroupTakers::default()
        };
        broker::Takers {
            here: 1,
            members: vec![(2, true), (3, false)],
            groups: vec![far, near],
            ..broker::Takers::default()
        }
    }

    #[test]
    fn takers_are_put_together_by_node() {
        let nodes = takers(&found(), &names());
        let groups = |taker: &Taker| {
            taker
                .groups
                .iter()
                .map(|members| (members.group.clone(), members.weight, members.upstream))
                .collect::<Vec<_>>()
        };
        let seen: Vec<_> =
            nodes.iter().map(|taker| (&*taker.name, taker.here, taker.plain, taker.upstream, groups(taker))).collect();
        let [far, near] = ["far".to_owned(), "near".to_owned()];
        let expected = [
            ("a", true, 1, false, vec![(near.clone(), 2, false)]),
            ("b", false, 0, true, vec![(far.clone(), 1, false), (near, 3, false)]),
            ("c", false, 1, false, vec![(far.clone(), 4, false), (far, 1, true)]),
        ];
        assert_eq!(seen, expected);
        assert_eq!(nodes[1].route.as_ref().unwrap().next.as_deref(), Some("b"));
    }

    /// Goal: probes go to whom a message would go to.
    #[test]
    fn a_plan_takes_one_member_of_each_group_and_prefers_this_node() {
        let (plan, here, upstream) = plan(&found(), |candidates| candidates.len() - 1);
        assert_eq!(plan, BTreeMap::from([(2, vec![]), (3, vec!["far".to_owned()])]));
        assert_eq!((here, upstream), (vec!["near".to_owned()], false));
    }

    #[test]
    fn an_answer_is_bounded_and_says_so() {
        let mut list = vec![0; NODES_MAX + 5];
        assert_eq!((cut(&mut list), list.len(), cut(&mut list)), (5, NODES_MAX, 0));
    }
}
