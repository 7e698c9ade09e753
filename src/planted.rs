//! Bugs that a test can plant, to see that simulated runs would find them if somebody made them.
//!
//! Each is a line or two at the place where such a bug would be made, behind `is`. With the cargo feature `planted`,
//! which nothing but this crate's own tests turns on, a test chooses one with `plant` for the thread that it runs on.
//! In every other build `is` is a constant `false`, and nothing of the bugs is left.
//!
//! What each breaks, and which check of a simulated run must see it:
//!
//! | Bug | What is wrong then | Check |
//! |---|---|---|
//! | `flow-window-forgotten` | a change of the routes forgets what has arrived: origins are asked for it again | duplicate |
//! | `late-released` | a frame that comes after a gap is delivered before the gap has closed | order |
//! | `gap-delivered-twice` | what a gap has held up is delivered twice | duplicate |
//! | `ask-unanswered` | nobody answers a destination that asks for what it misses | lost |
//! | `custody-dropped` | what a link leaves behind is lost, and nobody has it any more | lost |
//! | `numbers-restarted` | new routes start the numbers of frames again, which their receivers refuse as seen | completeness |
//! | `restart-unnoticed` | frames of an origin's new life are judged by the numbers of its last one | completeness |
//! | `stale-boot-accepted` | a node's interest of before its restart stays, and refuses the changes since | resume, interest |
//! | `interest-delta-dropped` | every fifth change of a node's interest is counted and not made | interest, request |
//! | `removal-never-flooded` | interest that ends is never withdrawn | interest, request |
//! | `gone-member-kept` | interest of nodes out of reach stays in force | request |
//! | `inbox-expired-early` | where answers go is forgotten at once | request |
//! | `queue-picked-twice` | a member of a queue group is chosen twice, and both choices get the message | queue group |
//! | `buffer-unbounded` | a link's buffer takes whatever comes | buffer bound |
//! | `half-open-believed` | what a link sends counts as a sign of its peer's life | request |
//! | `stale-route-kept` | a link that is down is still announced | request |
//! | `route-loop` | the way round is taken for the way: two nodes hand a frame back and forth | loop, completeness |
//! | `index-collision` | nodes do not look whether an index is taken | completeness, interest, loop |
//! | `never-redials` | a peer that was lost is not dialled again | resume |
//! | `task-leaked` | the reader of a link outlives the link | leak |
//! | `timer-leaked` | the timer of a link outlives the link | leak |

use std::fmt;
use std::str::FromStr;

/// Declares the bugs; the names are what people write.
macro_rules! bugs {
    ($($bug:ident = $name:literal,)*) => {
        /// A bug that can be planted; the module's page says what each breaks.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
        pub enum Bug { $(#[doc = concat!("`", $name, "`")] $bug,)* }

        impl Bug {
            /// All of them.
            pub const ALL: &[Self] = &[$(Self::$bug,)*];

            /// The name: lower-case words with hyphens.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self { $(Self::$bug => $name,)* }
            }
        }
    };
}

bugs! {
    FlowWindowForgotten = "flow-window-forgotten",
    LateReleased = "late-released",
    GapDeliveredTwice = "gap-delivered-twice",
    AskUnanswered = "ask-unanswered",
    CustodyDropped = "custody-dropped",
    NumbersRestarted = "numbers-restarted",
    RestartUnnoticed = "restart-unnoticed",
    StaleBootAccepted = "stale-boot-accepted",
    InterestDeltaDropped = "interest-delta-dropped",
    RemovalNeverFlooded = "removal-never-flooded",
    GoneMemberKept = "gone-member-kept",
    InboxExpiredEarly = "inbox-expired-early",
    QueuePickedTwice = "queue-picked-twice",
    BufferUnbounded = "buffer-unbounded",
    HalfOpenBelieved = "half-open-believed",
    StaleRouteKept = "stale-route-kept",
    RouteLoop = "route-loop",
    IndexCollision = "index-collision",
    NeverRedials = "never-redials",
    TaskLeaked = "task-leaked",
    TimerLeaked = "timer-leaked",
}

impl fmt::Display for Bug {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A text is the name of no bug.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no planted bug: the names are in lattice::planted")]
pub struct UnknownBug(String);

impl FromStr for Bug {
    type Err = UnknownBug;

    fn from_str(text: &str) -> Result<Self, UnknownBug> {
        Self::ALL.iter().copied().find(|bug| bug.name() == text).ok_or_else(|| UnknownBug(text.to_owned()))
    }
}

#[cfg(feature = "planted")]
mod switch {
    use super::Bug;
    use std::cell::Cell;

    thread_local! {
        static PLANTED: Cell<Option<Bug>> = const { Cell::new(None) };
    }

    /// Plants a bug in all nodes that run on this thread from now on, in place of the one before; or none.
    pub fn plant(bug: Option<Bug>) {
        PLANTED.set(bug);
    }

    pub(crate) fn is(bug: Bug) -> bool {
        PLANTED.get() == Some(bug)
    }
}

#[cfg(feature = "planted")]
pub(crate) use switch::is;
#[cfg(feature = "planted")]
pub use switch::plant;

/// Whether `bug` is planted here.
#[cfg(not(feature = "planted"))]
pub(crate) const fn is(_: Bug) -> bool {
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_as_written() {
        assert!(Bug::ALL.iter().all(|bug| bug.to_string().parse() == Ok(*bug)));
        assert_eq!("timer-lost".parse::<Bug>(), Err(UnknownBug("timer-lost".into())));
    }

    #[test]
    fn a_bug_is_planted_on_its_thread_alone() {
        plant(Some(Bug::RouteLoop));
        assert!(is(Bug::RouteLoop) && !is(Bug::TaskLeaked));
        let elsewhere = std::thread::scope(|scope| scope.spawn(|| is(Bug::RouteLoop)).join());
        assert_eq!(elsewhere.ok(), Some(false));
        plant(None);
        assert!(Bug::ALL.iter().all(|bug| !is(*bug)));
    }
}
