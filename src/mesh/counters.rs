//! What the mesh counts: every frame that it moved, and every one that it could not, by reason.

use std::sync::atomic::{AtomicU64, Ordering};

macro_rules! counters {
    ($($(#[$doc:meta])* $name:ident,)*) => {
        /// Counts since the start.
        #[derive(Debug, Default)]
        pub struct Counters { $($(#[$doc])* pub $name: Counter,)* }

        impl Counters {
            /// All counts by name.
            #[must_use]
            pub fn by_name(&self) -> Vec<(&'static str, u64)> {
                vec![$((stringify!($name), self.$name.count()),)*]
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
    /// Frames for a node that no path leads to.
    dropped_no_route,
    /// Frames that did not fit into a link's buffer.
    dropped_link_full,
    /// Frames that a link had not written when it went down.
    dropped_link_down,
    /// Frames that had passed too many links.
    dropped_hops,
    /// Messages too large for a frame: see `mesh.frame_max`.
    dropped_too_large,
    /// Frames whose subject or reply is none.
    dropped_malformed,
    /// Frames of origins that are not known, while very many are remembered.
    dropped_stranger,
    /// Queue groups beyond what one frame can name.
    dropped_groups,
    /// Frames overtaken on a change of routes, refused to keep the order.
    dropped_late,
    /// Frames from an earlier life of their origin.
    dropped_stale_boot,
    /// Numbers skipped in a row from one origin: what was lost on the way.
    missing,
    /// Frames for this node that nobody here wanted any more.
    unwanted,
    /// Interest of other nodes that the broker does not take: they get no messages on it from here.
    interest_unserved,
    /// Links that came up.
    links_up,
    /// Links that went down.
    links_down,
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
