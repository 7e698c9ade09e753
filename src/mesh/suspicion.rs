//! When a link is no longer relied on, and when it is again. No clock.
//!
//! ```text
//! trusted ──silent for too long──► suspected ──calm for a while──► trusted
//!                                   │    ▲
//!        silent, and used all the same  ▼    │ calm for a second
//!                                   worse
//! ```
//!
//! A second of calm is enough the first time. A link that was trusted again and soon disappoints has to be calm for twice
//! as long, and so on: however it flaps, the rest of the lattice hears of it a few times only. The memory of this
//! outlives the link, so that one that dies and comes back is treated in the same way.

use super::id::NodeId;
use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard};
use std::time::{Duration, Instant};

/// Calm after which a link is trusted again: the first time, and at most.
const CALM_MIN: Duration = Duration::from_secs(1);
const CALM_MAX: Duration = Duration::from_secs(60);
/// Trust that was disappointed within so many times the calm that led to it, but no sooner than this, was early.
const RELAPSE: u32 = 10;
const RELAPSE_MIN: Duration = Duration::from_secs(10);
/// How much a link is doubted that is silent and used all the same: more than some links together that are on probation.
const WORSE: u32 = 9;
/// Neighbours that are remembered; of more, those that have been good for the longest are forgotten.
const REMEMBERED_MAX: usize = 1024;

/// How a neighbour's links have behaved.
#[derive(Clone, Copy, Debug)]
pub struct History {
    /// Calm that is asked for.
    calm: Duration,
    troubled: bool,
    /// When that changed last.
    since: Option<Instant>,
}

impl Default for History {
    fn default() -> Self {
        Self { calm: CALM_MIN, troubled: false, since: None }
    }
}

impl History {
    /// A link has become silent, or died.
    pub fn trouble(&mut self, now: Instant) {
        if self.troubled {
            return;
        }
        let relapse = self.since.is_some_and(|since| now < since + (self.calm * RELAPSE).max(RELAPSE_MIN));
        self.calm = if relapse { (self.calm * 2).min(CALM_MAX) } else { CALM_MIN };
        (self.troubled, self.since) = (true, Some(now));
    }

    /// A link has been calm for long enough.
    fn over(&mut self, now: Instant) {
        (self.troubled, self.since) = (false, Some(now));
    }
}

/// How the links of all neighbours have behaved, as far as they have given reason to remember it.
#[derive(Debug, Default)]
pub struct Histories(Mutex<BTreeMap<NodeId, History>>);

impl Histories {
    /// A link to `peer` has died.
    pub fn trouble(&self, now: Instant, peer: NodeId) {
        self.with(peer, |history| history.trouble(now));
    }

    /// Looks at, or changes, what is remembered of `peer`.
    pub fn with<T>(&self, peer: NodeId, look: impl FnOnce(&mut History) -> T) -> T {
        let mut all = self.lock();
        let history = all.entry(peer).or_default();
        let seen = look(history);
        if history.since.is_none() {
            all.remove(&peer);
        } else if all.len() > REMEMBERED_MAX {
            let oldest = all.iter().min_by_key(|(_, history)| (history.troubled, history.since)).map(|(peer, _)| *peer);
            oldest.and_then(|oldest| all.remove(&oldest));
        }
        seen
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<NodeId, History>> {
        self.0.lock().expect("no holder of this lock panics")
    }
}

/// What a look at a link has changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Turn {
    /// It is not to be relied on.
    Suspected,
    /// It is good again.
    Trusted,
}

/// Whether one link is relied on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Suspicion {
    /// It is.
    Trusted,
    /// It is not.
    Suspected {
        /// Since when it has shown nothing of what it is suspected for.
        calm_since: Option<Instant>,
        /// It is worse than others that are suspected.
        worse: bool,
    },
}

impl Suspicion {
    /// A link that has just come up: after trouble it has to be calm for a while before it counts as others do.
    #[must_use]
    pub fn new(now: Instant, history: &History) -> Self {
        if history.troubled { Self::Suspected { calm_since: Some(now), worse: false } } else { Self::Trusted }
    }

    /// How much it is doubted: not at all while it is relied on.
    #[must_use]
    pub fn doubt(self) -> u32 {
        match self {
            Self::Trusted => 0,
            Self::Suspected { worse, .. } => {
                if worse {
                    WORSE
                } else {
                    1
                }
            }
        }
    }

    /// It is silent and used all the same, though there is a way round it: the links of that are doubted as well, and were
    /// silent before. From now on it counts for less than they do, until it has been calm for a second. Returns whether it did
    /// not before.
    pub fn worsen(&mut self) -> bool {
        match self {
            Self::Suspected { calm_since: None, worse } => !std::mem::replace(worse, true),
            Self::Suspected { .. } | Self::Trusted => false,
        }
    }

    /// Whether the link is not relied on.
    #[must_use]
    pub fn is_suspected(self) -> bool {
        self != Self::Trusted
    }

    /// There has been no sign of life for `missing`; `suspect_after` is too long, and two thirds of it are no calm.
    pub fn look(
        &mut self,
        now: Instant,
        missing: Duration,
        suspect_after: Duration,
        history: &mut History,
    ) -> Option<Turn> {
        match *self {
            Self::Trusted if missing < suspect_after => None,
            Self::Trusted => {
                history.trouble(now);
                *self = Self::Suspected { calm_since: None, worse: false };
                Some(Turn::Suspected)
            }
            Self::Suspected { worse, .. } if missing >= suspect_after * 2 / 3 => {
                *self = Self::Suspected { calm_since: None, worse };
                None
            }
            Self::Suspected { calm_since: Some(since), .. } if now >= since + history.calm => {
                history.over(now);
                *self = Self::Trusted;
                Some(Turn::Trusted)
            }
            Self::Suspected { calm_since, worse } => {
                let since = calm_since.unwrap_or(now);
                *self = Self::Suspected { calm_since: Some(since), worse: worse && now < since + CALM_MIN };
                None
            }
        }
    }

    /// When to look again, at the latest.
    #[must_use]
    pub fn next(self, history: &History) -> Option<Instant> {
        match self {
            Self::Suspected { calm_since: Some(since), worse } => {
                Some(since + if worse { CALM_MIN } else { history.calm })
            }
            Self::Suspected { calm_since: None, .. } | Self::Trusted => None,
        }
    }
}

#[cfg(test)]
mod tests;
