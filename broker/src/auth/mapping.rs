//! What messages of an account's clients are sent to in the place of what they say, as it is configured.
//!
//! How a destination is chosen is in `crate::mappings`, how it is made of the subject in `crate::mapping`.

use crate::mapping::{BadDestination, destination, source};
use std::collections::{BTreeMap, BTreeSet};

/// Weights are parts of this.
pub(crate) const WEIGHTS: u8 = 100;

/// Subjects that become others when clients publish to them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SubjectMapping {
    /// The subjects, perhaps with wildcards.
    pub source: String,
    /// What becomes of them: where these weigh less than 100 together, the rest stays what it is. The rest is lost when
    /// the source is itself among them.
    pub destinations: Vec<MappedTo>,
}

/// What becomes of a part of the messages.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MappedTo {
    /// A subject; `$1` or `{{wildcard(1)}}` in it is what the first wildcard for one token stands for, and a last `>`
    /// the rest. There are partition, random, split, splitFromLeft, splitFromRight, sliceFromLeft, sliceFromRight,
    /// left and right, too.
    pub subject: String,
    /// How many messages of a hundred. 0 to 100.
    pub weight: u8,
    /// The cluster whose servers do so; one that has destinations of its own has no others. Empty is every other one.
    pub cluster: String,
}

/// A mapping that cannot be.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MappingError {
    /// The source is no subject.
    #[error("{0:?} is no subject: there are tokens between dots, * for any one, and a last > for the rest")]
    Source(String),
    /// A destination is none for this source.
    #[error(transparent)]
    Destination(#[from] BadDestination),
    /// A destination is there twice.
    #[error("{0:?} is among the destinations twice")]
    Twice(String),
    /// The weights of one cluster are too many.
    #[error("the weights are {weight} together, which is more than 100")]
    Weight {
        /// All of them.
        weight: u32,
    },
}

impl SubjectMapping {
    /// All messages to `source` become messages to `destination`.
    #[must_use]
    pub fn all(source: impl Into<String>, destination: impl Into<String>) -> Self {
        Self { source: source.into(), destinations: vec![MappedTo::new(destination, WEIGHTS)] }
    }

    /// What becomes of messages by the destinations of `cluster`, the least first: of a hundred, those from the bound of
    /// the one before to its own. `None` leaves them what they are; those past the last bound are lost.
    pub(crate) fn bounds(&self, cluster: &str) -> Vec<(Option<&MappedTo>, u8)> {
        let own = self.destinations.iter().filter(|to| to.cluster == cluster);
        let mut parts: Vec<(Option<&MappedTo>, u8)> = own.map(|to| (Some(to), to.weight)).collect();
        let rest = WEIGHTS.saturating_sub(parts.iter().fold(0, |sum: u8, (_, weight)| sum.saturating_add(*weight)));
        if rest > 0 && !self.destinations.iter().any(|to| to.subject == self.source) {
            parts.push((None, rest));
        }
        parts.sort_by_key(|(_, weight)| *weight);
        let mut bound = 0_u8;
        for (_, weight) in &mut parts {
            bound = bound.saturating_add(*weight);
            *weight = bound;
        }
        parts
    }

    /// The clusters that have destinations of their own.
    pub(crate) fn clusters(&self) -> BTreeSet<&str> {
        self.destinations.iter().map(|to| to.cluster.as_str()).filter(|cluster| !cluster.is_empty()).collect()
    }

    /// Checks that it can be.
    ///
    /// # Errors
    /// [`MappingError`] for the first thing that is wrong.
    pub fn validate(&self) -> Result<(), MappingError> {
        let from = source(self.source.as_bytes()).ok_or_else(|| MappingError::Source(self.source.clone()))?;
        let mut weights: BTreeMap<&str, u32> = BTreeMap::new();
        for (at, to) in self.destinations.iter().enumerate() {
            if self.destinations[..at].iter().any(|other| other.subject == to.subject) {
                return Err(MappingError::Twice(to.subject.clone()));
            }
            destination(&to.subject, &from)?;
            let sum = weights.entry(&to.cluster).or_default();
            *sum += u32::from(to.weight);
            if *sum > u32::from(WEIGHTS) {
                return Err(MappingError::Weight { weight: *sum });
            }
        }
        Ok(())
    }
}

impl MappedTo {
    /// That part of the messages, in every cluster.
    #[must_use]
    pub fn new(subject: impl Into<String>, weight: u8) -> Self {
        Self { subject: subject.into(), weight, cluster: String::new() }
    }
}
