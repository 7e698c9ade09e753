//! What a node's user can see of the members, and do about one: over the roll, whether the node runs or not.

use crate::identity::{Identity, Member, NodeId, Revocation, RevocationError, Roll, revocation};
use crate::status;
use crate::store::StoreError;
use std::collections::BTreeSet;

/// Nobody was revoked.
#[derive(Debug, thiserror::Error)]
pub enum RevokeError {
    /// No member is called so.
    #[error("no member {name:?} is known: expected a name, an id as lattice members shows it, or a key N…")]
    Unknown {
        /// As given.
        name: String,
    },
    /// Several are.
    #[error("{} members are called {name:?}: {}", ids.len(), ids.join(", "))]
    Ambiguous {
        /// As given.
        name: String,
        /// Their ids.
        ids: Vec<String>,
    },
    /// This node itself.
    #[error("{name} is this node itself")]
    Myself {
        /// Its name.
        name: String,
    },
    /// This node does not stand above it.
    #[error("this node may not revoke {name}: only the holder of the root key may, or {}", who(above))]
    NotAbove {
        /// Whom.
        name: String,
        /// Names of members that have admitted it, directly or not.
        above: Vec<String>,
    },
    /// What was given to import.
    #[error(transparent)]
    Revocation(#[from] RevocationError),
    /// The disk fails.
    #[error(transparent)]
    Store(#[from] StoreError),
}

fn who(above: &[String]) -> String {
    if above.is_empty() { "nobody else".to_owned() } else { above.join(", ") }
}

/// Makes the revocation of the member that `name` names; it is in force nowhere yet.
///
/// # Errors
/// [`RevokeError`].
pub(super) fn revocation_of(
    identity: &Identity,
    roll: &Roll,
    name: &str,
    now: Option<u64>,
) -> Result<Revocation, RevokeError> {
    let members = roll.list();
    let node = find(&members, name)?;
    if node == identity.node_id() {
        return Err(RevokeError::Myself { name: identity.name().to_owned() });
    }
    let chains = roll.chains(node);
    let chains: Vec<_> = chains.iter().map(AsRef::as_ref).collect();
    identity.revoke(node, &chains, now.unwrap_or_default(), roll.line().current()).ok_or_else(|| {
        let name_of =
            |node: NodeId| members.iter().find(|member| member.node == node).map(|member| member.name.clone());
        let above = chains.iter().flat_map(|chain| chain.above()).filter_map(name_of).collect::<BTreeSet<_>>();
        RevokeError::NotAbove { name: name.to_owned(), above: above.into_iter().collect() }
    })
}

/// The member that `name` is the name, the short id or the key of. A key needs not be known: who holds the root can
/// revoke a node that nobody has told it of.
///
/// # Errors
/// [`RevokeError::Unknown`], [`RevokeError::Ambiguous`].
pub fn find(members: &[Member], name: &str) -> Result<NodeId, RevokeError> {
    if let Ok(node) = name.parse() {
        return Ok(node);
    }
    let called = |member: &&Member| member.name == name || short(&member.node) == name;
    let found: Vec<&Member> = members.iter().filter(called).collect();
    match &found[..] {
        [one] => Ok(one.node),
        [] => Err(RevokeError::Unknown { name: name.to_owned() }),
        several => {
            let ids = several.iter().map(|member| member.node.to_string()).collect();
            Err(RevokeError::Ambiguous { name: name.to_owned(), ids })
        }
    }
}

/// As commands show a node.
fn short(node: &NodeId) -> String {
    let text = node.to_string();
    format!("{}-{}", &text[..4], &text[4..8])
}

/// What is to be told of `node`'s revocation: whom it concerns, and the file for those who are not in reach.
#[must_use]
pub fn told(roll: &Roll, revocations: &[Revocation], before: &[Member]) -> status::Revoked {
    let was_in = |node| before.iter().any(|member| member.node == node && !member.revoked);
    let gone = roll.list().into_iter().filter(|member| member.revoked && was_in(member.node));
    status::Revoked {
        nodes: gone.map(|member| format!("{} ({})", member.name, short(&member.node))).collect(),
        file: revocation::to_text(roll.root(), revocations),
    }
}

/// The members as `lattice members` shows them. `reachable` tells of those that announce themselves.
#[must_use]
pub fn list(
    identity: &Identity,
    roll: &Roll,
    now: Option<u64>,
    reachable: impl Fn(NodeId) -> Option<bool>,
) -> Vec<status::Member> {
    let members = roll.list();
    let name_of = |node: NodeId| members.iter().find(|member| member.node == node).map(|member| member.name.clone());
    let state = |member: &Member| match reachable(member.node) {
        _ if member.revoked => status::MemberState::Revoked,
        _ if member.node == identity.node_id() => status::MemberState::Here,
        Some(true) => status::MemberState::Reachable,
        Some(false) => status::MemberState::Lost,
        None => status::MemberState::Unseen,
    };
    let member = |member: &Member| status::Member {
        name: member.name.clone(),
        id: member.node.to_string(),
        admitted_by: member.by.map(|node| name_of(node).unwrap_or_else(|| short(&node))),
        admitted_secs: (member.at > 0).then_some(member.at),
        ago_secs: now.filter(|_| member.at > 0).map(|now| now.saturating_sub(member.at)),
        grant: member.grant.clone(),
        excess: member.excess,
        state: state(member),
    };
    members.iter().map(member).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::MemoryStore;
    use lattice_broker::env::Rng;
    use rand_core::SeedableRng;
    use std::sync::Arc;

    #[test]
    fn who_is_meant_and_who_may_is_said() {
        let mut rng = Rng::seed_from_u64(1);
        let a = Identity::generate_root(&mut rng, "a");
        let (b, twin) = (a.admit(&mut rng, "b").unwrap(), a.admit(&mut rng, "b").unwrap());
        let c = b.admit(&mut rng, "c").unwrap();
        let roll_of = |me: &Identity| {
            let roll = Roll::open(me, Arc::new(MemoryStore::default()), Arc::default()).unwrap();
            for member in [&a, &b, &twin, &c] {
                roll.learn(member.membership().warrants().to_vec()).unwrap();
            }
            roll
        };
        let roll = roll_of(&a);
        let error = |name: &str| revocation_of(&a, &roll, name, None).unwrap_err().to_string();
        assert!(error("nobody").contains("no member \"nobody\" is known"));
        assert!(error("b").contains("2 members are called \"b\""), "{}", error("b"));
        assert!(error("a").contains("this node itself"));
        let by_key = revocation_of(&a, &roll, &b.node_id().to_string(), None).unwrap();
        assert_eq!(by_key.node(), b.node_id());
        assert_eq!(revocation_of(&a, &roll, &short(&twin.node_id()), None).unwrap().node(), twin.node_id());
        let refused = revocation_of(&twin, &roll_of(&twin), "c", None).unwrap_err().to_string();
        assert!(refused.ends_with("only the holder of the root key may, or a, b"), "{refused}");

        let before = roll.list();
        roll.revoke(&by_key).unwrap();
        let told = told(&roll, &[by_key], &before);
        assert!(told.file.starts_with("latrev1:") && told.nodes.len() == 2, "{told:?}");
        let listed = list(&a, &roll, Some(5), |_| Some(true));
        let state = |name: &str| listed.iter().find(|member| member.name == name).unwrap().state;
        assert_eq!((state("a"), state("c")), (status::MemberState::Here, status::MemberState::Revoked));
    }
}
