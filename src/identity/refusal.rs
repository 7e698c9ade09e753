//! `Refusal`: why a member does not admit a joiner, in words for the joiner.

use super::advice::{self, Advice};
use super::printable;
use bincode::{Decode, Encode};

/// Members that a refusal names, at most.
pub(crate) const ASK_MAX: usize = 3;

/// Why a joiner is not admitted. Crosses the wire, and is the joiner's last word.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode, thiserror::Error)]
pub enum Refusal {
    /// All uses are spent.
    #[error("this invite was used by {by}{}", ago_secs.map_or_else(String::new, |secs| format!(" {} ago", advice::duration(secs))))]
    UsedUp {
        /// The last one's name.
        by: String,
        /// When, as far as the member can tell.
        ago_secs: Option<u64>,
    },
    /// Too late.
    #[error("this invite expired {} ago", advice::duration(*.ago_secs))]
    Expired {
        /// For how long, by the member's clock.
        ago_secs: u64,
    },
    /// The invite, or who made it, counts no more.
    #[error("this invite has been revoked: {what}")]
    Revoked {
        /// Who.
        what: String,
    },
    /// The member may not admit anyone, or not grant as much.
    #[error("{member} may not admit this device: {why}{}", ask_for(ask))]
    MayNot {
        /// The member's name.
        member: String,
        /// Why not.
        why: String,
        /// Names of members that may.
        ask: Vec<String>,
    },
    /// The joiner's request is not as it has to be.
    #[error("the member did not accept the request: {why}")]
    BadRequest {
        /// What is wrong with it.
        why: String,
    },
    /// The member could not write the use down.
    #[error("the member cannot admit anyone now: {why}")]
    Unable {
        /// What failed there.
        why: String,
    },
}

impl Refusal {
    /// The same with its texts fit to be shown: they come from a peer.
    #[must_use]
    pub(crate) fn printable(self) -> Self {
        match self {
            Self::UsedUp { by, ago_secs } => Self::UsedUp { by: printable(&by), ago_secs },
            Self::BadRequest { why } => Self::BadRequest { why: printable(&why) },
            Self::Unable { why } => Self::Unable { why: printable(&why) },
            Self::Revoked { what } => Self::Revoked { what: printable(&what) },
            Self::MayNot { member, why, ask } => Self::MayNot {
                member: printable(&member),
                why: printable(&why),
                ask: ask.iter().take(ASK_MAX).map(|name| printable(name)).collect(),
            },
            Self::Expired { .. } => self,
        }
    }

    /// Likely cause, next command and code.
    #[must_use]
    pub fn advice(&self) -> Advice {
        let anew = "lattice invite   on a member, for a new one";
        match self {
            Self::UsedUp { .. } => Advice::new("E0105", "an invite admits one device, unless made for more", anew),
            Self::Expired { .. } => Advice::new("E0104", "invites are short-lived on purpose", anew),
            Self::Revoked { .. } => Advice::new("E0108", "the member that made it was thrown out", anew),
            Self::MayNot { .. } => Advice::new(
                "E0109",
                "it was itself invited with limits",
                "lattice join   where another member is in reach, or a new invite with less",
            ),
            Self::BadRequest { .. } => {
                Advice::new("E0110", "the versions here and there differ", "lattice --version   on both")
            }
            Self::Unable { .. } => {
                Advice::new("E0111", "that member's disk is full or failing", "lattice status   there")
            }
        }
    }
}

fn ask_for(names: &[String]) -> String {
    if names.is_empty() { String::new() } else { format!("; {} may", names.join(", ")) }
}
