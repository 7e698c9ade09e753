//! What an invite may grant, and why none is issued. Issuing it is left to `voucher.rs`.

use super::Identity;
use super::advice::Advice;
use super::certificate::ISSUERS_MAX;
use super::invite::ADDRESSES_MAX;
use crate::store::StoreError;
use std::net::SocketAddr;
use std::time::Duration;

/// Uses that one invite may grant, at most.
pub const USES_MAX: u32 = 100;

/// Vouchers remembered, at most; issuing more is refused until some are forgotten.
pub(super) const VOUCHERS_MAX: usize = 1_000;

/// What an invite is to grant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Terms {
    /// For how long.
    pub valid_for: Duration,
    /// To how many devices, at most [`USES_MAX`].
    pub uses: u32,
    /// Where they are to try.
    pub addresses: Vec<SocketAddr>,
}

/// No invite was issued.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum IssueError {
    /// This node may not admit anyone.
    #[error("this node may not invite: {depth_max} issuers already stand between it and the root")]
    NoIssuer {
        /// How many may.
        depth_max: usize,
    },
    /// Not as many uses as asked for.
    #[error("an invite is for 1 to {USES_MAX} uses, not {uses}")]
    Uses {
        /// How many were asked for.
        uses: u32,
    },
    /// No address, or too many.
    #[error("an invite holds 1 to {ADDRESSES_MAX} addresses, not {count}")]
    Addresses {
        /// How many were given.
        count: usize,
    },
    /// Too many are remembered.
    #[error("{VOUCHERS_MAX} invites of the last week are remembered already")]
    TooMany,
    /// It could not be written down.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl IssueError {
    /// Likely cause, next command and code.
    #[must_use]
    pub fn advice(&self) -> Advice {
        match self {
            Self::NoIssuer { .. } => Advice::new(
                "E0109",
                "it was invited at the end of a long row of invitations",
                "lattice invite   on a member closer to the first node",
            ),
            Self::Uses { .. } => Advice::new("E0112", "a number out of range", "issue several invites"),
            Self::Addresses { .. } => Advice::new(
                "E0112",
                "no interface that others could reach",
                "link.advertise = [\"host:port\"] in the config",
            ),
            Self::TooMany => Advice::new("E0112", "a script that invites in a loop", "wait, or invite with more uses"),
            Self::Store(_) => Advice::new("E0111", "the disk is full or failing", "lattice status"),
        }
    }
}

pub(super) fn check_terms(identity: &Identity, terms: &Terms) -> Result<(), IssueError> {
    if !identity.can_invite() {
        return Err(IssueError::NoIssuer { depth_max: ISSUERS_MAX });
    }
    if !(1..=USES_MAX).contains(&terms.uses) {
        return Err(IssueError::Uses { uses: terms.uses });
    }
    if !(1..=ADDRESSES_MAX).contains(&terms.addresses.len()) {
        return Err(IssueError::Addresses { count: terms.addresses.len() });
    }
    Ok(())
}
