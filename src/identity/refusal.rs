//! `Refusal`: why a member does not admit a joiner, in words for the joiner.

use super::advice::{self, Advice};
use super::printable;
use bincode::{Decode, Encode};

/// Why a joiner is not admitted. Crosses the wire, and is the joiner's last word.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode, thiserror::Error)]
pub enum Refusal {
    /// All uses are spent.
    #[error("this invite was used by {} {} ago", by, advice::duration(*.ago_secs))]
    UsedUp {
        /// The last one's name.
        by: String,
        /// When, by the member's clock.
        ago_secs: u64,
    },
    /// Too late.
    #[error("this invite expired {} ago", advice::duration(*.ago_secs))]
    Expired {
        /// For how long, by the member's clock.
        ago_secs: u64,
    },
    /// Not issued here, or forgotten.
    #[error("the member does not know this invite")]
    Unknown,
    /// The member may not admit anyone.
    #[error("the member may not invite: {depth_max} issuers already stand between it and the root")]
    NoIssuer {
        /// How many may.
        depth_max: u32,
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
            Self::Expired { .. } | Self::Unknown | Self::NoIssuer { .. } => self,
        }
    }

    /// Likely cause, next command and code.
    #[must_use]
    pub fn advice(&self) -> Advice {
        let anew = "lattice invite   on a member, for a new one";
        match self {
            Self::UsedUp { .. } => Advice::new("E0105", "an invite admits one device, unless made for more", anew),
            Self::Expired { .. } => Advice::new("E0104", "invites are short-lived on purpose", anew),
            Self::Unknown => Advice::new("E0108", "it was made by another member, or over a week ago", anew),
            Self::NoIssuer { .. } => Advice::new(
                "E0109",
                "the invite comes from the end of a long row of invitations",
                "lattice invite   on a member closer to the first node",
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
