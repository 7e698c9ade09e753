//! What the mesh counts: every frame that it moved, and every one that it could not, by reason; and what it times.

use super::times::Times;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Of changes whose new routes are in force. [`REROUTED_NAMES`] are those of the counts between them.
const REROUTED: &[Duration] = &[Duration::from_millis(10), Duration::from_millis(100), Duration::from_secs(1)];
const REROUTED_NAMES: [&str; 4] = ["rerouted_10ms", "rerouted_100ms", "rerouted_1s", "rerouted_later"];
/// From one machine to the other side of the Earth, and further where something waits.
const ROUND_TRIPS: &[Duration] = &[
    Duration::from_micros(200),
    Duration::from_micros(500),
    Duration::from_millis(1),
    Duration::from_millis(2),
    Duration::from_millis(5),
    Duration::from_millis(10),
    Duration::from_millis(20),
    Duration::from_millis(50),
    Duration::from_millis(100),
    Duration::from_millis(200),
    Duration::from_millis(500),
    Duration::from_secs(1),
];

macro_rules! counters {
    ($($(#[$doc:meta])* $name:ident,)*) => {
        /// Counts since the start.
        #[derive(Debug)]
        pub struct Counters {
            $($(#[$doc])* pub $name: Counter,)*
            /// From a change of this node's own links until the routes that follow from it were in force.
            pub rerouted: Times,
            /// Round trips of the links that this node has dialled, smoothed, at each heartbeat that was answered.
            pub round_trips: Times,
        }

        impl Default for Counters {
            fn default() -> Self {
                $(let $name = Counter::default();)*
                Self { $($name,)* rerouted: Times::new(REROUTED), round_trips: Times::new(ROUND_TRIPS) }
            }
        }

        impl Counters {
            /// All counts by name.
            #[must_use]
            pub fn by_name(&self) -> Vec<(&'static str, u64)> {
                let mut all = vec![$((stringify!($name), self.$name.count()),)*];
                all.extend(REROUTED_NAMES.into_iter().zip(self.rerouted.counts()));
                all
            }
        }
    };
}

counters! {
    /// Frames that started here.
    originated,
    /// Frames passed on for others.
    forwarded,
    /// Frames that reached local subscribers.
    delivered,
    /// Frames that a link left behind: routed again, but for copies.
    resent,
    /// Frames that a suspected link held, and that went another way as well.
    copied,
    /// Such copies that found no way or no room, or whose link died: what they are copies of is in somebody's keeping.
    copies_dropped,
    /// Frames that led nowhere and were held for when they would.
    parked,
    /// Frames that came before their time and were held.
    held,
    /// Of these, those that were delivered.
    released,
    /// Questions to origins for what was missing.
    asked,
    /// Questions of destinations that were answered.
    asks_answered,
    /// Questions that were not: there were too many.
    asks_refused,
    /// Frames that were sent again because a destination had asked for them.
    ring_resent,
    /// Numbers that a destination had asked for and that were nowhere any more.
    ring_missed,
    /// Destinations that were told how far their rows go.
    marked,
    /// Probes and reports of others that were not passed on: there were too many.
    traces_refused,
    /// Frames for a node that was never known, and questions and answers for one that no path leads to.
    dropped_no_route,
    /// Frames that led nowhere, and found no room to wait.
    dropped_parked_full,
    /// Frames that led nowhere for too long.
    dropped_parked_late,
    /// Frames that did not fit into a link's buffer.
    dropped_link_full,
    /// Frames that a link took with it.
    dropped_link_down,
    /// Frames that had passed too many links.
    dropped_hops,
    /// Messages too large for a frame: see `mesh.frame_max`.
    dropped_too_large,
    /// Frames whose subject or reply is none.
    dropped_malformed,
    /// Messages in an account that this node, or the one that they come from, was not granted.
    dropped_account,
    /// Frames of origins that are not known, while very many are remembered.
    dropped_stranger,
    /// Queue groups beyond what one frame can name.
    dropped_groups,
    /// Frames that had arrived before, or were given up before they did.
    dropped_duplicate,
    /// Frames from an earlier life of their origin.
    dropped_stale_boot,
    /// Frames to another life of this node.
    dropped_other_life,
    /// Numbers given up in a row from one origin: what was lost on the way.
    missing,
    /// Of these, those that were given up to make room.
    missing_crowded,
    /// Frames for this node that nobody here wanted any more.
    unwanted,
    /// Choices for queue groups that have no member here any more, which went back to their origins…
    handed_back,
    /// …and those that came back, and for which somebody else was found…
    chosen_again,
    /// …or nobody.
    handed_back_lost,
    /// Interest of other nodes that the broker does not take: they get no messages on it from here.
    interest_unserved,
    /// Links that were silent for so long that traffic went round them…
    links_suspected,
    /// …and those that were good again.
    links_trusted_again,
    /// Costs of links that were told anew since what was measured had changed much and for long.
    link_costs_changed,
    /// Beacons sent to the local network…
    beacons_sent,
    /// …and heard there, of members as it seems.
    beacons_heard,
    /// What came to the beacons' port and is none of this lattice.
    beacons_foreign,
    /// The same, not even looked at: too many came from there, or in all.
    beacons_refused,
    /// Links that came up.
    links_up,
    /// Links that went down.
    links_down,
    /// Connections of nodes that are in reach already, which found enough links here.
    links_refused,
    /// Links closed because the peer broke the protocol.
    links_rejected,
}

/// One count.
#[derive(Debug, Default)]
pub struct Counter(AtomicU64);

impl Counter {
    /// Adds `n`.
    pub fn add(&self, n: u64) {
        self.0.fetch_add(n, Ordering::Relaxed);
    }

    /// The count.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}
