//! What a gateway has counted since its start.

use lattice_broker::leaf::Unsent;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};

/// Declares the counters and the names under which they are shown.
macro_rules! counters {
    ($($(#[$doc:meta])* $field:ident => $name:literal,)*) => {
        #[derive(Debug, Default)]
        pub(super) struct Counters {
            $($(#[$doc])* pub(super) $field: Count,)*
        }

        impl Counters {
            pub(super) fn by_name(&self) -> BTreeMap<&'static str, u64> {
                BTreeMap::from([$(($name, self.$field.value()),)*])
            }
        }
    };
}

counters! {
    /// Links that came up.
    connects => "connects",
    /// Attempts and links that ended with an error.
    failures => "failures",
    /// Messages taken from the server.
    messages_in => "messages_in",
    /// Messages written for the server.
    messages_out => "messages_out",
    /// Messages from the server that nobody wanted any more.
    in_unwanted => "in_unwanted",
    /// Messages from the server on subjects that it should have kept, or that its permissions exclude.
    in_denied => "in_dropped_denied",
    /// Messages from the server over the size limit.
    in_oversize => "in_dropped_oversize",
    /// Interest of the server that was refused.
    interest_refused => "interest_refused",
    /// Messages for the server while no link was up.
    out_down => "out_dropped_down",
    /// Messages on subjects that are kept on this side.
    out_denied => "out_dropped_denied",
    /// Messages outside the server's permissions.
    out_not_permitted => "out_dropped_not_permitted",
    /// Messages over the server's size limit.
    out_too_large => "out_dropped_too_large",
    /// Messages over the limit on what may wait.
    out_full => "out_dropped_full",
    /// Messages that had come from this upstream.
    out_echo => "out_dropped_echo",
    /// Messages that waited when the link ended. The last write may have taken some of them along.
    out_lost => "out_lost",
}

impl Counters {
    pub(super) fn unsent(&self, unsent: Unsent) {
        match unsent {
            Unsent::Down => &self.out_down,
            Unsent::Denied => &self.out_denied,
            Unsent::NotPermitted => &self.out_not_permitted,
            Unsent::TooLarge => &self.out_too_large,
            Unsent::Full => &self.out_full,
        }
        .add(1);
    }
}

#[derive(Debug, Default)]
pub(super) struct Count(AtomicU64);

impl Count {
    pub(super) fn add(&self, count: u64) {
        self.0.fetch_add(count, Ordering::Relaxed);
    }

    pub(super) fn value(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}
