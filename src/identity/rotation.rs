//! Replacing the root key: what the one who holds it signs, what goes on and who stays out. Where that is kept is left to
//! `folder.rs` and `roll/line.rs`, how the others hear of it to `mesh/control/members.rs`.

use super::key::{Key, PublicKey};
use super::line::Line;
use super::nkey::Kind;
use super::revocation;
use super::succession::{EXPELLED_MAX, Expelled, KEPT_MAX, SUCCESSIONS_MAX, Succession, SuccessionError, digest_of};
use super::warrant::{Claims, Warrant};
use super::{Advice, Chain, Grant, Identity, Member, NodeId, Roll};
use lattice_broker::env::Rng;
use std::collections::{BTreeMap, BTreeSet};

/// A root key that is to take the place of another.
#[derive(Debug)]
pub struct Rotation {
    /// The new key.
    pub root: Key,
    /// The line that leads to it, with all who stay revoked by it.
    pub line: Line,
    /// Members that are none any more by it: the old key has certified them, or whoever admitted them, and they do not go on.
    pub left: Vec<Member>,
}

/// The root key was not replaced.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RotationError {
    /// The key is elsewhere.
    #[error("this node does not hold the root key")]
    NoRoot,
    /// It holds one that speaks for the lattice no more.
    #[error("the root key that this node holds has been replaced already, by {}", new.to_root_text())]
    Replaced {
        /// By which.
        new: PublicKey,
    },
    /// What makes the node a member that has made the lattice is not known here.
    #[error("the certificate of the node that has made the lattice ({}) is not known here, and could not go on", node.short())]
    Founder {
        /// That node.
        node: NodeId,
    },
    /// It was replaced before, and this node has heard the keys alone.
    #[error("whom the root keys before this one have revoked is not known here, and they would be members again")]
    Unheard,
    /// This node, or one by which it is a member, would be out.
    #[error("the root key has revoked {name}, without whom this node is no member itself")]
    Above {
        /// Who, in words.
        name: String,
    },
    /// There is nothing to pardon.
    #[error("{name} was not revoked by the root key")]
    Pardon {
        /// Who, in words.
        name: String,
    },
    /// More nodes would stay out than a succession can name.
    #[error("{count} nodes are revoked by the root key, and a new one can take over {EXPELLED_MAX}")]
    TooMany {
        /// How many there are.
        count: usize,
    },
    /// It cannot be replaced any more, or too much would go on.
    #[error(transparent)]
    Succession(#[from] SuccessionError),
}

impl RotationError {
    /// Likely cause, next command and code.
    #[must_use]
    pub fn advice(&self) -> Advice {
        match self {
            Self::NoRoot => Advice::new(
                "E0128",
                "another node has made the lattice, or the key is offline",
                "lattice root import FILE   with the key, and then again",
            ),
            Self::Replaced { .. } => {
                Advice::new("E0129", "it was replaced on another node", "lattice root import FILE   with the new key")
            }
            Self::Founder { .. } | Self::Unheard => Advice::new(
                "E0141",
                "this node has had no link since it became a member",
                "lattice up   until it has one, and then again",
            ),
            Self::Above { .. } => Advice::new(
                "E0144",
                "whoever stole the key has done that, or it was done by mistake",
                "lattice root rotate --pardon NAME   with that one, or lattice root rotate   on another node, with the key",
            ),
            Self::Pardon { .. } => Advice::new(
                "E0145",
                "another member has revoked it, or nobody has",
                "lattice members   shows who is revoked",
            ),
            Self::TooMany { .. } => Advice::new(
                "E0146",
                "somebody revokes whomever he can think of",
                "lattice root rotate --pardon NAME   for those who need not be revoked",
            ),
            Self::Succession(error) => error.advice(),
        }
    }
}

impl Identity {
    /// A new root key for the lattice, and what is to be told of it; nothing is in force yet.
    ///
    /// What goes on is what makes this node a member and the one that has made the lattice, with all whom that one has admitted,
    /// directly or not. Whoever stole the old key may have certified others. Who was revoked by a root key stays out, but the
    /// nodes in `pardon`.
    ///
    /// # Errors
    /// [`RotationError`]; nothing has changed.
    pub fn rotate(&self, rng: &mut Rng, roll: &Roll, pardon: &[NodeId], at: u64) -> Result<Rotation, RotationError> {
        let line = roll.line();
        let old = self.root.as_ref().ok_or(RotationError::NoRoot)?;
        if old.public() != line.current() {
            return Err(RotationError::Replaced { new: line.current() });
        }
        if line.steps().len() >= SUCCESSIONS_MAX {
            return Err(SuccessionError::Full.into());
        }
        let kept = self.goes_on(roll)?;
        let expelled = self.stay_out(roll, pardon)?;
        let root = Key::generate(Kind::Root, rng);
        let step = Succession::sign(line.first(), (old, &root), kept, &expelled, at);
        let line = line.and(step, expelled)?;
        let stays = |chain: &Chain| line.keeps(&chain.warrants()[0]) && roll.refuses(chain).is_none();
        let goes = |member: &Member| !member.revoked && !roll.chains(member.node).iter().any(|chain| stays(chain));
        let left = roll.list().into_iter().filter(goes).collect();
        Ok(Rotation { root, line, left })
    }

    /// Digests of the certificates of the root that go on.
    fn goes_on(&self, roll: &Roll) -> Result<Vec<[u8; 32]>, RotationError> {
        let top = &self.chain.warrants()[0];
        let founder = founder_of(top);
        let mut kept = vec![digest_of(top)];
        kept.extend(self.issuer.as_ref().map(|issuer| digest_of(&issuer.chain.warrants()[0])));
        // Elsewhere its own certificate is told from what a thief may have made for its key: by what a founder may do, which is
        // all. A further one of that kind is of no use to anybody who has not that key.
        if founder != self.node_id() {
            let of_founder = roll.chains(founder);
            let genuine = of_founder.iter().filter(|chain| {
                chain.warrants().len() == 1 && chain.node().is_some_and(|(_, claims)| claims.grant == Grant::all())
            });
            let before = kept.len();
            kept.extend(genuine.map(|chain| digest_of(chain.last())));
            if kept.len() == before {
                return Err(RotationError::Founder { node: founder });
            }
        }
        kept.sort_unstable();
        kept.dedup();
        debug_assert!(kept.len() <= KEPT_MAX, "a roll keeps few chains of a node");
        Ok(kept)
    }

    /// Whom the roots have revoked and this node's user has not pardoned, in order.
    fn stay_out(&self, roll: &Roll, pardon: &[NodeId]) -> Result<Vec<Expelled>, RotationError> {
        let before = roll.line();
        let before = before.expelled().ok_or(RotationError::Unheard)?;
        let mut out: BTreeMap<[u8; 32], u64> = before.iter().map(|one| (one.node, one.at)).collect();
        let by_root = roll.revocations().into_iter().filter(|known| known.signer.is_empty());
        out.extend(by_root.map(|known| (known.node, known.at)));
        for node in pardon.iter().collect::<BTreeSet<_>>() {
            out.remove(&node.0).ok_or_else(|| RotationError::Pardon { name: roll.named(*node) })?;
        }
        let root = self.chain.root();
        let above = revocation::pairs(&self.chain).find(|(by, node)| *by == root && out.contains_key(&node.0));
        if let Some((_, node)) = above {
            return Err(RotationError::Above { name: roll.named(node) });
        }
        if out.len() > EXPELLED_MAX {
            return Err(RotationError::TooMany { count: out.len() });
        }
        Ok(out.into_iter().map(|(node, at)| Expelled { node, at }).collect())
    }
}

/// The node that a certificate of the root is about: itself, or as an issuer.
fn founder_of(top: &Warrant) -> NodeId {
    match &top.claims {
        Claims::Issuer(claims) => NodeId(claims.node),
        Claims::Node(_) | Claims::Voucher(_) => NodeId(top.subject),
    }
}

#[cfg(test)]
mod tests;
