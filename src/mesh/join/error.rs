//! Why a device did not become a member, and what can be done about it.

use crate::identity::{AdmissionError, Advice, LatticeId, Refusal};
use crate::mesh::quic::{BindError, DialError};
use std::net::SocketAddr;

/// No membership. Trying again with the same invite helps after [`JoinError::NoAnswer`] and [`JoinError::Broken`] only.
#[derive(Debug, thiserror::Error)]
pub enum JoinError {
    /// No socket to dial from.
    #[error(transparent)]
    Bind(#[from] BindError),
    /// Nobody is there.
    #[error("no answer from {}", list(tried))]
    NoAnswer {
        /// All addresses in the invite.
        tried: Vec<SocketAddr>,
    },
    /// A node of another lattice.
    #[error("{by} answered, but for another lattice (root {theirs}, the invite says {ours})")]
    OtherLattice {
        /// Who.
        by: SocketAddr,
        /// The invite's lattice.
        ours: LatticeId,
        /// The one that answered.
        theirs: LatticeId,
    },
    /// A member of the right lattice, for which the invite is no invite.
    #[error("{by} is of the right lattice and does not accept this invite")]
    NotAccepted {
        /// Who.
        by: SocketAddr,
    },
    /// A member that says no.
    #[error("{refusal} (says {by})")]
    Refused {
        /// Who.
        by: SocketAddr,
        /// Why.
        refusal: Refusal,
    },
    /// A member's answer that makes no member.
    #[error("{by} sent no usable answer: {error}")]
    Unusable {
        /// Who.
        by: SocketAddr,
        /// What is wrong with it.
        error: AdmissionError,
    },
    /// The connection came about otherwise than it has to.
    #[error(transparent)]
    Dial(DialError),
    /// The connection ended too early.
    #[error("{by} was reached, but the exchange broke off: {why}")]
    Broken {
        /// Who.
        by: SocketAddr,
        /// Where it stood.
        why: String,
    },
}

impl JoinError {
    /// Likely cause, next command and code.
    #[must_use]
    pub fn advice(&self) -> Advice {
        match self {
            Self::Bind(_) => Advice::new("E0138", "no network yet, or too few rights", "try again with a network up"),
            Self::NoAnswer { tried } => Advice::new(
                "E0106",
                "the inviting node is off or out of reach, or a firewall drops UDP",
                format!(
                    "lattice status   there, and let UDP port {} pass",
                    tried.first().map_or(7443, SocketAddr::port)
                ),
            ),
            Self::OtherLattice { .. } => Advice::new(
                "E0107",
                "the lattice was made anew after this invite",
                "lattice invite   on a member, for a new one",
            ),
            Self::NotAccepted { .. } => Advice::new(
                "E0108",
                "the member that made the invite was thrown out, or the releases differ",
                "lattice invite   on a member, for a new one",
            ),
            Self::Refused { refusal, .. } => refusal.advice(),
            Self::Unusable { .. } => {
                Advice::new("E0110", "the versions here and there differ", "lattice --version   on both")
            }
            Self::Dial(error) => error.advice(),
            Self::Broken { .. } => Advice::new("E0113", "a bad connection", "the same command again; it costs no use"),
        }
    }

    /// How much it says about what is wrong: of several addresses' errors the most telling one is shown.
    pub(super) const fn weight(&self) -> u8 {
        match self {
            Self::Refused { .. } | Self::Unusable { .. } => 5,
            Self::NotAccepted { .. } => 4,
            Self::OtherLattice { .. } => 3,
            Self::Broken { .. } => 2,
            Self::Dial(_) | Self::Bind(_) => 1,
            Self::NoAnswer { .. } => 0,
        }
    }
}

fn list(addresses: &[SocketAddr]) -> String {
    addresses.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}
