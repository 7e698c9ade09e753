//! What components may take of the node, each and all together: one value, with the defaults, and what is held against it
//! when a component is to start.
//!
//! Who holds it in which place: `image.rs` the size of an image, `limiter.rs` memory, tables and calls to the
//! host, `call.rs` time, `outgoing/` what is asked by HTTP, `queue.rs` what waits, `log.rs` what is written.

use crate::host::Config;
use crate::host::images::IMAGE_BYTES_MAX;
use crate::host::runner::{RunError, Spec};
use std::time::Duration;

/// Bytes of a page of linear memory: less than one is no memory at all.
const PAGE_BYTES: u64 = 64 << 10;

/// Shorter than this, a call could end before the clock that cuts it off has ticked.
const CALL_MIN: Duration = Duration::from_millis(10);

/// What components may take. None of it is unlimited.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// Components on this node.
    pub components_max: usize,
    /// Calls in flight of all components together, and the highest `count` of one. More wait.
    pub calls_max: u32,
    /// Bytes of an image.
    pub image_bytes_max: u64,
    /// Bytes of linear memory of an instance, when its component does not say.
    pub memory_bytes: u64,
    /// Bytes of memory of all instances together: linear memory, tables, and what each takes from its beginning, its stack
    /// (1 MiB) among it; and the most that one component may ask for.
    pub memory_total_bytes_max: u64,
    /// Elements of each table of an instance.
    pub table_elements_max: usize,
    /// Core instances and tables (each) that one component may be made of.
    pub parts_max: usize,
    /// Memories of an instance: each keeps address space, used or not.
    pub memories_max: usize,
    /// Subjects that one component may be called for.
    pub subscriptions_max: usize,
    /// Resources that an instance may hold.
    pub handles_max: usize,
    /// Longest time of a call, when its component does not say.
    pub call: Duration,
    /// Longest time that a component may ask for.
    pub call_max: Duration,
    /// Calls to the host within one call, growing of memory included.
    pub host_calls_max: u64,
    /// Messages that a component may publish within one call, requests included.
    pub published_max: u64,
    /// Values that a component may write or delete within one call.
    pub written_max: u64,
    /// Requests by HTTP that a component may make of others within one call.
    pub asked_max: u64,
    /// Requests of one component to others that may be in hand; and those of all. More are refused.
    pub asking_max: usize,
    /// See [`Bounds::asking_max`].
    pub asking_total_max: usize,
    /// Bytes of the body of such a request, and of that of its answer.
    pub asking_body_bytes_max: u64,
    /// Longest time until there is a connection to who is asked.
    pub asking_connect: Duration,
    /// Longest time until an answer begins, and between two pieces of its body.
    pub asking_wait: Duration,
    /// Bytes that a component may hand to the host in one call to it.
    pub transfer_bytes_max: usize,
    /// Bytes of the parameters, and of the results, of a call from component to component.
    pub carried_bytes_max: usize,
    /// Bytes of memory that those may take while they are handed over: a byte in a list is 40 of them.
    pub values_bytes_max: u64,
    /// Bytes of the body that a component may answer a request by HTTP with.
    pub http_body_bytes_max: usize,
    /// How long a request by HTTP may wait for its turn.
    pub http_wait: Duration,
    /// Messages and requests that wait for a component, beside the 1,024 of each subscription that have not been looked at yet. More
    /// are dropped and counted.
    pub waiting_max: usize,
    /// Bytes of the messages and requests that wait for a component. More are dropped and counted.
    pub waiting_bytes_max: usize,
    /// Lines a second that a component may log, and as many at once. More are dropped and counted.
    pub log_lines_per_second: u32,
    /// Longest time that a component which is stopped may go on with what is in hand: less than a node has to end.
    pub drain: Duration,
}

impl Default for Bounds {
    /// What a host has unless it is told otherwise.
    fn default() -> Self {
        Self::of(&Config::default())
    }
}

impl Bounds {
    /// What `host` says; the rest cannot be changed.
    #[must_use]
    pub fn of(host: &Config) -> Self {
        Self {
            components_max: 1_000,
            calls_max: host.calls_max,
            image_bytes_max: IMAGE_BYTES_MAX,
            memory_bytes: host.instance_memory,
            memory_total_bytes_max: host.memory_max,
            table_elements_max: 100_000,
            parts_max: 64,
            memories_max: 16,
            subscriptions_max: 64,
            handles_max: 512,
            call: Duration::from_secs(10),
            call_max: Duration::from_secs(600),
            host_calls_max: 1_000_000,
            published_max: 1_000,
            written_max: 1_000,
            asked_max: 100,
            asking_max: 32,
            asking_total_max: 128,
            asking_body_bytes_max: 64 << 20,
            asking_connect: Duration::from_secs(10),
            asking_wait: Duration::from_secs(120),
            transfer_bytes_max: 2 << 20,
            carried_bytes_max: 4 << 20,
            values_bytes_max: 16 << 20,
            http_body_bytes_max: 4 << 20,
            http_wait: Duration::from_secs(10),
            waiting_max: 1_024,
            waiting_bytes_max: 8 << 20,
            log_lines_per_second: 100,
            drain: Duration::from_secs(5),
        }
    }
}

/// What one component may take, with what it did not say filled in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Allowed {
    pub(super) memory: u64,
    pub(super) call: Duration,
}

impl Bounds {
    /// What `spec` may take.
    ///
    /// # Errors
    /// [`RunError::Refused`] names what it wants, and what would be accepted.
    pub(super) fn allow(&self, spec: &Spec) -> Result<Allowed, RunError> {
        let refused = |why: String| Err(RunError::Refused { id: spec.id.clone(), why });
        if spec.id.is_empty() || spec.id.len() > 256 || spec.id.contains(|c: char| c.is_whitespace() || c.is_control())
        {
            return refused(format!("{:?} is no id: expected 1 to 256 bytes without blanks", spec.id));
        }
        if spec.count > self.calls_max {
            return refused(format!("count {} is too high: expected at most {}", spec.count, self.calls_max));
        }
        let subjects = spec.subscriptions.len();
        if subjects > self.subscriptions_max {
            let most = self.subscriptions_max;
            return refused(format!(
                "{subjects} subjects to be called for: expected at most {most} (subscriptions_max)"
            ));
        }
        let memory = spec.limits.memory.unwrap_or(self.memory_bytes);
        if !(PAGE_BYTES..=self.memory_total_bytes_max).contains(&memory) {
            let most = self.memory_total_bytes_max;
            return refused(format!("limits.memory of {memory} bytes: expected {PAGE_BYTES} to {most}"));
        }
        let call = spec.limits.call.unwrap_or(self.call);
        if !(CALL_MIN..=self.call_max).contains(&call) {
            return refused(format!("limits.call of {call:?}: expected {CALL_MIN:?} to {:?}", self.call_max));
        }
        Ok(Allowed { memory, call })
    }
}
