//! The mappings in the token of an account, to the settings that a configured account has.

use super::claims::Weighted;
use crate::auth::{MappedTo, SubjectMapping, WEIGHTS};
use std::collections::BTreeMap;

type Claims = BTreeMap<String, Vec<Weighted>>;

/// Looks for what makes the token one of no use: the value, and what is accepted.
pub(super) fn check(claims: &Claims) -> Result<(), (String, &'static str)> {
    for (source, destinations) in claims {
        let mut subjects = [source].into_iter().chain(destinations.iter().map(|to| &to.subject));
        if let Some(subject) = subjects.find(|subject| !is_subject(subject)) {
            return Err((format!("{subject:?} of {source:?}"), "subjects without blanks and empty tokens"));
        }
        let mut sums: BTreeMap<&str, u32> = BTreeMap::new();
        for to in destinations {
            *sums.entry(&to.cluster).or_default() += u32::from(weight(to));
        }
        if let Some(sum) = sums.values().find(|sum| **sum > u32::from(WEIGHTS)) {
            return Err((format!("{source:?} with weights of {sum}"), "weights of 100 together, for each cluster"));
        }
    }
    Ok(())
}

/// The mappings of `account`. What else cannot be is left out, and all others are there.
pub(super) fn settings(account: &str, claims: &Claims) -> Vec<SubjectMapping> {
    let made = claims.iter().map(|(source, destinations)| SubjectMapping {
        source: source.clone(),
        destinations: destinations.iter().map(destination).collect(),
    });
    let fits = |mapping: &SubjectMapping| match mapping.validate() {
        Ok(()) => true,
        Err(error) => {
            tracing::warn!(account, subject = mapping.source, %error, "left out a mapping that cannot be");
            false
        }
    };
    made.filter(fits).collect()
}

fn destination(claim: &Weighted) -> MappedTo {
    MappedTo { cluster: claim.cluster.clone(), ..MappedTo::new(&claim.subject, weight(claim)) }
}

fn weight(claim: &Weighted) -> u8 {
    if claim.weight == 0 { WEIGHTS } else { claim.weight }
}

fn is_subject(text: &str) -> bool {
    !text.contains(' ') && text.split('.').all(|token| !token.is_empty())
}
