//! What must hold on the nodes when it is quiet: no loops, interest known everywhere, buffers within their bounds.

use super::play::Run;
use lattice::mesh::view::InterestView;
use lattice::node::Node;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};
use std::time::Duration;

fn nodes(run: &Run) -> Vec<Arc<Node>> {
    (0..).map_while(|i| run.lattice.node(i)).collect()
}

/// Frames that went in circles, and ways that lead in one.
pub fn loops(run: &Run) -> Vec<String> {
    let nodes = nodes(run);
    let mut broken = Vec::new();
    let views: BTreeMap<_, _> = nodes
        .iter()
        .map(|node| {
            let ways = node.mesh().view();
            let ways = ways.nodes.iter().filter_map(|other| Some((other.id, other.way?.next)));
            (node.id(), ways.collect::<BTreeMap<_, _>>())
        })
        .collect();
    for node in &nodes {
        let hops = node.mesh().counters().into_iter().find(|(name, _)| *name == "dropped_hops").unwrap().1;
        if hops > 0 {
            broken.push(format!("loop: {hops} frames were dropped for their hops"));
        }
        for other in views.keys().filter(|other| **other != node.id()) {
            let (mut at, mut seen) = (node.id(), BTreeSet::new());
            while at != *other {
                if !seen.insert(at) {
                    broken.push(format!("loop: the way from {} to {other} comes back to {at}", node.id()));
                    break;
                }
                let Some(next) = views[&at].get(other) else {
                    broken.push(format!("loop: the way from {} to {other} ends at {at}", node.id()));
                    break;
                };
                at = *next;
            }
        }
    }
    broken
}

/// Buffers that took more than they may.
pub fn buffers(run: &Run) -> Vec<String> {
    let all = nodes(run).into_iter().flat_map(|node| node.mesh().backlogs());
    all.filter(|backlog| backlog.bytes_most > backlog.bytes_max).map(|backlog| format!("buffer: {backlog:?}")).collect()
}

/// Nodes that do not know what another wants. Asked at a moment when nothing has changed for a while.
pub fn interest(run: &mut Run) -> Vec<String> {
    let shown: Arc<Mutex<Vec<Vec<InterestView>>>> = Arc::default();
    let all = nodes(run);
    // Shifts come and go: what differs at each of many moments differs for good.
    let mut lasting: Option<BTreeSet<String>> = None;
    for _ in 0..40 {
        run.world.run_for(Duration::from_millis(130));
        shown.lock().unwrap().clear();
        for (i, node) in all.iter().enumerate() {
            let (node, shown) = (Arc::clone(node), Arc::clone(&shown));
            run.world.spawn_on(i, async move {
                let interest = node.mesh().interest().await;
                shown.lock().unwrap().push(interest);
            });
        }
        run.world.run_for(Duration::ZERO);
        let now = differences(&shown.lock().unwrap());
        lasting = Some(lasting.map_or(now.clone(), |before| &before & &now));
    }
    let mut broken: Vec<String> = lasting.unwrap_or_default().into_iter().collect();
    let subscribed = [b"feed.*".as_slice(), b"work"];
    for view in shown.lock().unwrap().iter() {
        let own = |subject: &[u8]| view[0].entries.iter().any(|(key, _)| *key.subject == *subject);
        if !subscribed.into_iter().all(own) {
            broken.push(format!("interest: {} does not say what its clients want", view[0].node));
        }
        // A shift's subject and its end: one entry at most of each name can be there.
    }
    broken
}

/// Where what one node knows of another is not what that one says.
fn differences(shown: &[Vec<InterestView>]) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for told in shown.iter().filter_map(|view| view.first()) {
        for view in shown.iter().filter(|view| view[0].node != told.node) {
            let known = view.iter().find(|known| known.node == told.node);
            let same = known.is_some_and(|known| known.in_force && known.entries == told.entries);
            if !same {
                found.insert(format!("interest: {} does not know what {} wants", view[0].node, told.node));
            }
        }
    }
    found
}

/// The kinds of what is broken, with their numbers.
pub fn kinds(broken: &[String]) -> String {
    let names = [
        "Duplicate",
        "OutOfOrder",
        "Missing",
        "Resumed",
        "work",
        "crew",
        "is served",
        "at once",
        "fresh",
        "interest",
        "loop",
        "buffer",
        "leak",
    ];
    let count = |name: &str| broken.iter().filter(|text| text.contains(name)).count();
    let counts = names.iter().map(|name| (count(name), name)).filter(|(count, _)| *count > 0);
    counts.map(|(count, name)| format!("{count} {name}")).collect::<Vec<_>>().join(", ")
}
