//! Fan-out: which takers of a route a message goes to, and which member of each queue group.
//!
//! The routing table between clients, mesh and leaf links is in `neighbor.rs`; [`Reach`] is its rows. How bytes
//! are staged is left to the batch.

use crate::batch::{Batch, Frame};
use crate::crossing::{Crossing, cross};
use crate::message::{ClusterId, Groups, Message, Pick, UpstreamId};
use crate::neighbor::{Candidate, NeighborKind, by_weight};
use crate::proto::encode;
use crate::route::{Attached, Group, Hop, Route, Target};
use crate::sublist::NeighborId;
use crate::subscription::Taker;
use smallvec::SmallVec;

/// Where a message comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Origin {
    /// A client; without `echo` it does not get its own messages.
    Client { id: u64, echo: bool },
    /// A client inside the process.
    Local,
    /// The mesh; `via` is the upstream that it came from before.
    Mesh { via: Option<UpstreamId> },
    /// A leaf link.
    Leaf(UpstreamId),
    /// A leaf node of this server.
    Spoke(Spoke),
}

/// A leaf node that a message comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Spoke {
    pub(crate) id: NeighborId,
    pub(crate) cluster: Option<ClusterId>,
}

impl Spoke {
    /// Whether what it sends may go to the leaf node at the other end of `attached`.
    fn may_reach(self, attached: &Attached) -> bool {
        let is_of_its_cluster = |cluster| self.cluster.is_some() && cluster == self.cluster;
        attached.id != self.id && !matches!(attached.kind, NeighborKind::Spoke(cluster) if is_of_its_cluster(cluster))
    }
}

/// A message on its way.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Job<'a> {
    pub(crate) account: &'a [u8],
    pub(crate) origin: Origin,
    /// Who published it: messages with the same number stay in order. 0 is the server itself.
    pub(crate) flow: u64,
    pub(crate) groups: Groups<'a>,
    pub(crate) message: Message<'a>,
    pub(crate) has_headers: bool,
    /// As in `Op::Publish`, and where it lies in the batch's input.
    pub(crate) wire: Option<(&'a [u8], usize)>,
    /// Accounts that it has come through.
    pub(crate) crossed: u8,
}

impl Job<'_> {
    /// Another member of a queue group is wanted, and nobody else gets the message.
    fn is_again(&self) -> bool {
        matches!(self.groups, Groups::Again(_))
    }
}

/// Random numbers for choices among equals: fast, not secret.
#[derive(Debug)]
pub(crate) struct Dice(u64);

impl Dice {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// SplitMix64.
    pub(crate) fn roll(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below `n`.
    pub(crate) fn below(&mut self, n: usize) -> usize {
        ((u128::from(self.roll()) * n as u128) >> 64) as usize
    }
}

type Picks<'a> = SmallVec<[(usize, Pick<'a>); 4]>;

/// Hands a message to its takers; returns how many there were.
#[inline]
pub(crate) fn deliver(route: &Route, job: &Job<'_>, dice: &mut Dice, batch: &mut Batch) -> usize {
    if let (Some((wire, at)), Origin::Client { .. } | Origin::Local) = (job.wire, job.origin) {
        let frame = Frame {
            message: job.message,
            has_headers: job.has_headers,
            parts: [wire, &[], &[]],
            input_at: Some(at),
            is_renamed: false,
        };
        return fan_out(route, job, &frame, dice, batch);
    }
    let mut scratch = std::mem::take(&mut batch.scratch);
    scratch.clear();
    let message = if matches!(job.origin, Origin::Client { .. } | Origin::Local) {
        job.message
    } else {
        without_stored_subject(&job.message)
    };
    encode::tail(&mut scratch, &message, job.has_headers);
    let frame = Frame {
        message,
        has_headers: job.has_headers,
        parts: [&scratch, message.body, b"\r\n"],
        input_at: None,
        is_renamed: message.subject != job.message.subject,
    };
    let takers = fan_out(route, job, &frame, dice, batch);
    batch.scratch = scratch;
    takers
}

#[inline]
fn fan_out(route: &Route, job: &Job<'_>, frame: &Frame<'_>, dice: &mut Dice, batch: &mut Batch) -> usize {
    let mut takers = 0;
    let plain: &[Target] = if job.is_again() { &[] } else { &route.plain };
    for target in plain {
        takers += usize::from(may_echo(target, job.origin) && batch.give(target, frame));
    }
    let mut picks = Picks::new();
    takers += match job.groups {
        Groups::Any if route.groups.is_empty() && route.hops.is_empty() && route.crossings.is_empty() => return takers,
        Groups::Any => {
            let reach = Reach::of(job.origin);
            let all = route.groups.iter();
            all.filter(|group| choose(route, group, &reach, None, job, frame, dice, batch, &mut picks)).count()
        }
        Groups::Only(named) | Groups::Again(named) => choose_named(route, named, job, frame, dice, batch, &mut picks),
    };
    for (at, hop) in route.hops.iter().enumerate() {
        takers += pass_on(hop, at, &picks, job, batch);
    }
    let crossings: &[Crossing] = if job.is_again() { &[] } else { &route.crossings };
    for crossing in crossings {
        takers += cross(crossing, job, dice, batch);
    }
    takers
}

/// Chooses a member of each group that is named, and notes those that have none. Returns how many have one.
///
/// Groups whose members were chosen before and are gone get the message once, however often they are named: it is another
/// node that names them.
fn choose_named<'a>(
    route: &'a Route,
    named: &[Pick<'_>],
    job: &Job<'_>,
    frame: &Frame<'_>,
    dice: &mut Dice,
    batch: &mut Batch,
    picks: &mut Picks<'a>,
) -> usize {
    let mut seen: SmallVec<[&[u8]; 4]> = SmallVec::new();
    let mut taken = 0;
    for (position, pick) in named.iter().enumerate() {
        let (reach, not) = match job.is_again() {
            true if seen.contains(&pick.group) => continue,
            true => {
                seen.push(pick.group);
                (Reach::of(job.origin), Some(pick))
            }
            false => (Reach::of_pick(job.origin, pick), None),
        };
        let group = route.group(pick.group);
        match group.is_some_and(|group| choose(route, group, &reach, not, job, frame, dice, batch, picks)) {
            true => taken += 1,
            false => batch.untaken.push(position),
        }
    }
    taken
}

/// Gives a neighbour the message once, with all its plain members and all its picks.
fn pass_on(hop: &Hop, at: usize, picks: &Picks<'_>, job: &Job<'_>, batch: &mut Batch) -> usize {
    let (members, via): (&[u32], _) = match (job.origin, hop.attached.kind) {
        (Origin::Spoke(spoke), NeighborKind::Spoke(_)) if !spoke.may_reach(&hop.attached) => return 0,
        (Origin::Client { .. } | Origin::Local | Origin::Spoke(_), _) => (&hop.members, None),
        // Spokes are below this server, wherever the message comes from.
        (_, NeighborKind::Spoke(_)) => (&hop.members, None),
        (Origin::Mesh { .. }, NeighborKind::Mesh) | (Origin::Leaf(_), NeighborKind::Leaf(_)) => return 0,
        // One upstream's messages never go to another: two servers of one cluster would pass them round for ever.
        (Origin::Mesh { via: Some(_) }, NeighborKind::Leaf(_)) => return 0,
        (Origin::Mesh { via: None }, NeighborKind::Leaf(_)) => (&hop.members, None),
        (Origin::Leaf(upstream), NeighborKind::Mesh) => (&hop.direct, Some(upstream)),
    };
    let members = if job.is_again() { &[] } else { members };
    let mine: SmallVec<[Pick<'_>; 4]> = picks.iter().filter(|(hop, _)| *hop == at).map(|(_, pick)| *pick).collect();
    if members.is_empty() && mine.is_empty() {
        return 0;
    }
    let waiting = hop.attached.neighbor.deliver(job.account, &job.message, job.flow, via, members, &mine);
    batch.neighbor_out_msgs += 1;
    batch.touch(&hop.attached, waiting);
    // Queue members were counted when they were picked.
    members.len()
}

/// Which members of a queue group may be chosen, in the order of preference.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Reach {
    local: bool,
    mesh: bool,
    leaf: LeafReach,
    mesh_upstream: bool,
    /// Not this one, and not its cluster.
    but: Option<Spoke>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum LeafReach {
    None,
    Only(UpstreamId),
    AllBut(Option<UpstreamId>),
}

impl Reach {
    const EVERYWHERE: Self =
        Self { local: true, mesh: true, leaf: LeafReach::AllBut(None), mesh_upstream: true, but: None };

    fn of(origin: Origin) -> Self {
        match origin {
            Origin::Client { .. } | Origin::Local => Self::EVERYWHERE,
            Origin::Spoke(spoke) => Self { but: Some(spoke), ..Self::EVERYWHERE },
            Origin::Mesh { via } => {
                Self { mesh: false, leaf: LeafReach::AllBut(via), mesh_upstream: false, ..Self::EVERYWHERE }
            }
            Origin::Leaf(_) => Self { leaf: LeafReach::None, mesh_upstream: false, ..Self::EVERYWHERE },
        }
    }

    fn of_pick(origin: Origin, pick: &Pick<'_>) -> Self {
        let nobody = Self { local: false, mesh: false, leaf: LeafReach::None, mesh_upstream: false, but: None };
        match (origin, pick.via) {
            (Origin::Mesh { .. }, None) => Self { local: true, ..nobody },
            (Origin::Mesh { via }, Some(upstream)) if via == Some(upstream) => nobody,
            (Origin::Mesh { .. }, Some(upstream)) => Self { leaf: LeafReach::Only(upstream), ..nobody },
            (Origin::Client { .. } | Origin::Local | Origin::Leaf(_) | Origin::Spoke(_), _) => Self::of(origin),
        }
    }
}

impl LeafReach {
    fn allows(self, upstream: UpstreamId) -> bool {
        match self {
            Self::None => false,
            Self::Only(only) => only == upstream,
            Self::AllBut(but) => but != Some(upstream),
        }
    }
}

/// Chooses one member of a group, another one than `not` if there is one, and gives it the message or notes the pick. False
/// when there is none.
#[expect(clippy::too_many_arguments, reason = "the parts of one delivery, which live in different places")]
fn choose<'a>(
    route: &'a Route,
    group: &'a Group,
    reach: &Reach,
    not: Option<&Pick<'_>>,
    job: &Job<'_>,
    frame: &Frame<'_>,
    dice: &mut Dice,
    batch: &mut Batch,
    picks: &mut Picks<'a>,
) -> bool {
    if reach.local && !group.local.is_empty() {
        let start = dice.below(group.local.len());
        let (behind, ahead) = group.local.split_at(start);
        for target in ahead.iter().chain(behind) {
            if may_echo(target, job.origin) && batch.give(target, frame) {
                return true;
            }
        }
    }
    let mut pick = None;
    if reach.local {
        pick = pick_on_spoke(route, group, reach, not.is_some(), dice);
    }
    if pick.is_none() && reach.mesh {
        pick = pick_on_mesh(route, group, &group.mesh, not, dice);
    }
    if pick.is_none() {
        pick = pick_on_leaf(group, reach, not.is_some(), dice);
    }
    if pick.is_none() && reach.mesh_upstream {
        pick = pick_on_mesh(route, group, &group.mesh_upstream, not, dice);
    }
    picks.extend(pick);
    pick.is_some()
}

/// Among leaf nodes of this server, by how many members each stands for.
fn pick_on_spoke<'a>(
    route: &Route,
    group: &'a Group,
    reach: &Reach,
    again: bool,
    dice: &mut Dice,
) -> Option<(usize, Pick<'a>)> {
    let may_reach = |&&(hop, _): &&(usize, u32)| reach.but.is_none_or(|but| but.may_reach(&route.hops[hop].attached));
    let spokes: SmallVec<[Candidate; 4]> =
        group.spokes.iter().filter(may_reach).map(|&(_, weight)| Candidate { member: 0, weight, via: None }).collect();
    if spokes.is_empty() {
        return None;
    }
    let chosen = by_weight(&spokes, dice.roll());
    let (hop, _) = group.spokes.iter().filter(may_reach).nth(chosen)?;
    Some((*hop, Pick { group: &group.name, member: 0, via: None, again }))
}

fn pick_on_leaf<'a>(group: &'a Group, reach: &Reach, again: bool, dice: &mut Dice) -> Option<(usize, Pick<'a>)> {
    let leaves: SmallVec<[(usize, UpstreamId); 2]> =
        group.leaves.iter().filter(|(_, upstream)| reach.leaf.allows(*upstream)).copied().collect();
    if leaves.is_empty() {
        return None;
    }
    let (hop, upstream) = leaves[dice.below(leaves.len())];
    Some((hop, Pick { group: &group.name, member: 0, via: Some(upstream), again }))
}

fn pick_on_mesh<'a>(
    route: &Route,
    group: &'a Group,
    candidates: &[Candidate],
    not: Option<&Pick<'_>>,
    dice: &mut Dice,
) -> Option<(usize, Pick<'a>)> {
    let mut others: SmallVec<[Candidate; 8]> = SmallVec::new();
    if let Some(not) = not {
        others.extend(candidates.iter().copied().filter(|other| (other.member, other.via) != (not.member, not.via)));
    }
    // Where there is no other, its members may be back: there was no news of their leaving.
    let candidates = if others.is_empty() { candidates } else { &others[..] };
    if candidates.is_empty() {
        return None;
    }
    let hop = route.mesh_hop()?;
    let chosen = route.hops[hop].attached.neighbor.choose(candidates, dice.roll());
    // An index out of range is the neighbour's mistake; the message then goes to a member all the same.
    let candidate = candidates.get(chosen).or(candidates.first())?;
    Some((hop, Pick { group: &group.name, member: candidate.member, via: candidate.via, again: not.is_some() }))
}

#[inline]
fn may_echo(target: &Target, origin: Origin) -> bool {
    match (origin, &target.subscription.taker) {
        (Origin::Client { id, echo: false }, Taker::Client(client)) => client.id != id,
        (_, Taker::Client(_) | Taker::Local(_)) => true,
    }
}

/// LEAFNODE §6.8: a stored message arrives with its delivery subject, and its own subject behind an `@` in the
/// reply. The last server before the client puts both where the client expects them.
fn without_stored_subject<'a>(message: &Message<'a>) -> Message<'a> {
    let split = message.reply.filter(|reply| reply.starts_with(b"$JS.ACK.")).and_then(|reply| {
        // Stream and consumer names may have an `@` as well; the ninth token may not.
        let eighth = reply.iter().enumerate().filter(|(_, byte)| **byte == b'.').nth(7)?.0;
        let at = eighth + reply[eighth..].iter().position(|byte| *byte == b'@')?;
        (at + 1 < reply.len()).then(|| (&reply[..at], &reply[at + 1..]))
    });
    match split {
        Some((reply, subject)) => Message { subject, reply: Some(reply), ..*message },
        None => *message,
    }
}

#[cfg(test)]
mod tests;
