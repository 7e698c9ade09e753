//! Issuing invites: what one may grant, and why none is issued. Nothing is remembered of it: whoever sees it can check it.

use super::Identity;
use super::advice::Advice;
use super::certificate::ISSUERS_MAX;
use super::grant::Grant;
use super::invite::{ADDRESSES_MAX, Invite};
use super::key::Key;
use super::line::Line;
use super::nkey::Kind;
use super::warrant::{Claims, VoucherClaims};
use lattice_broker::env::Rng;
use std::net::SocketAddr;
use std::time::Duration;

/// Uses that one invite may grant, at most.
pub const USES_MAX: u32 = 1_000;

/// What an invite is to grant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Terms {
    /// For how long.
    pub valid_for: Duration,
    /// To how many devices, at most [`USES_MAX`].
    pub uses: u32,
    /// What they may do; less of it when the issuer may pass on less.
    pub grant: Grant,
    /// Where they are to try.
    pub addresses: Vec<SocketAddr>,
}

/// No invite was issued.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum IssueError {
    /// This node may not admit anyone.
    #[error("this node may not invite: {why}")]
    NoIssuer {
        /// Why not.
        why: NoIssuer,
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
    /// An account that this node has no say in.
    #[error("this node cannot grant account {account}: it is limited to {}", own.join(", "))]
    Account {
        /// As asked for.
        account: String,
        /// What it may grant.
        own: Vec<String>,
    },
}

/// Why a node may not admit others.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoIssuer {
    /// It was let in without.
    #[error("it was admitted with no-invite")]
    NotGranted,
    /// It stands too far from the root.
    #[error("{ISSUERS_MAX} issuers already stand between it and the root")]
    TooDeep,
}

impl IssueError {
    /// Likely cause, next command and code.
    #[must_use]
    pub fn advice(&self) -> Advice {
        match self {
            Self::NoIssuer { .. } => Advice::new(
                "E0109",
                "that is how it was invited",
                "lattice invite   on a member that may; lattice members tells which",
            ),
            Self::Uses { .. } => Advice::new("E0112", "a number out of range", "issue several invites"),
            Self::Addresses { .. } => Advice::new(
                "E0112",
                "no interface that others could reach",
                "link.advertise = [\"host:port\"] in the config",
            ),
            Self::Account { .. } => Advice::new(
                "E0112",
                "nobody grants more than it has itself",
                "lattice invite   on a member without that limit",
            ),
        }
    }
}

impl Identity {
    /// Issues an invite. `now` is in seconds since 1970; without it the invite does not expire by date.
    ///
    /// # Errors
    /// [`IssueError`]; there is no invite then.
    pub fn issue(&self, rng: &mut Rng, terms: Terms, now: Option<u64>) -> Result<Invite, IssueError> {
        let issuer = self.issuer.as_ref().ok_or(IssueError::NoIssuer { why: self.no_issuer() })?;
        if !(1..=USES_MAX).contains(&terms.uses) {
            return Err(IssueError::Uses { uses: terms.uses });
        }
        if !(1..=ADDRESSES_MAX).contains(&terms.addresses.len()) {
            return Err(IssueError::Addresses { count: terms.addresses.len() });
        }
        let grant = narrowed(terms.grant, issuer.chain.last().claims.grant())?;
        let claims = VoucherClaims {
            grant,
            uses: terms.uses,
            issued: now.unwrap_or_default(),
            expires: now.map_or(0, |now| now.saturating_add(terms.valid_for.as_secs())),
        };
        let key = Key::generate(Kind::Voucher, rng);
        let chain = issuer.chain.extend(&issuer.key, key.public(), Claims::Voucher(claims));
        let chain = chain.expect("what is granted is within what the issuer has");
        Ok(Invite { key, line: Line::new(chain.root()), chain, addresses: terms.addresses })
    }

    pub(super) fn no_issuer(&self) -> NoIssuer {
        if self.grant().invite { NoIssuer::TooDeep } else { NoIssuer::NotGranted }
    }
}

/// As much of `wanted` as `own` has. Accounts that are asked for by name are had or refused.
fn narrowed(wanted: Grant, own: &Grant) -> Result<Grant, IssueError> {
    let accounts = match (wanted.accounts, &own.accounts) {
        (Some(wanted), Some(own)) => {
            if let Some(account) = wanted.iter().find(|name| !own.contains(name)) {
                return Err(IssueError::Account { account: account.clone(), own: own.clone() });
            }
            Some(wanted)
        }
        (wanted, own) => wanted.or_else(|| own.clone()),
    };
    Ok(Grant { transit: wanted.transit && own.transit, invite: wanted.invite && own.invite, accounts })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::identity::Identity;
    use rand_core::SeedableRng;

    fn terms(uses: u32) -> Terms {
        let addresses = vec!["10.0.0.1:7443".parse().unwrap()];
        Terms { valid_for: Duration::from_secs(60), uses, grant: Grant::all(), addresses }
    }

    #[test]
    fn impossible_terms_are_refused() {
        let mut rng = Rng::seed_from_u64(1);
        let root = Identity::generate_root(&mut rng, "a");
        for uses in [0, USES_MAX + 1] {
            assert_eq!(root.issue(&mut rng, terms(uses), None).unwrap_err(), IssueError::Uses { uses });
        }
        let nowhere = Terms { addresses: Vec::new(), ..terms(1) };
        assert_eq!(root.issue(&mut rng, nowhere, None).unwrap_err(), IssueError::Addresses { count: 0 });
    }

    #[test]
    fn nobody_grants_more_than_it_has() {
        let mut rng = Rng::seed_from_u64(1);
        let root = Identity::generate_root(&mut rng, "a");
        let little = Grant { transit: false, ..Grant::all().limited_to(vec!["a".to_owned()]).unwrap() };
        let member = root.admit_with(&mut rng, "b", &little).unwrap();
        let invite = member.issue(&mut rng, terms(1), Some(5)).unwrap();
        assert_eq!(invite.terms().grant, little, "what is not asked for by name is left out");
        let other = Terms { grant: Grant::all().limited_to(vec!["b".to_owned()]).unwrap(), ..terms(1) };
        let refused = member.issue(&mut rng, other, Some(5)).unwrap_err();
        assert_eq!(refused.to_string(), "this node cannot grant account b: it is limited to a");
        let guest = root.admit_with(&mut rng, "c", &Grant { invite: false, ..Grant::all() }).unwrap();
        let refused = guest.issue(&mut rng, terms(1), Some(5)).unwrap_err();
        assert_eq!(refused, IssueError::NoIssuer { why: NoIssuer::NotGranted });
    }

    #[test]
    fn a_node_without_a_clock_dates_nothing() {
        let mut rng = Rng::seed_from_u64(1);
        let root = Identity::generate_root(&mut rng, "a");
        assert_eq!(root.issue(&mut rng, terms(1), None).unwrap().terms().expires, 0);
        assert_eq!(root.issue(&mut rng, terms(1), Some(7)).unwrap().terms().expires, 67);
    }
}
