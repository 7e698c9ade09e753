//! When nothing is wrong, and who is known to be cut off from whom: what may be asked of the lattice, and when.

use lattice_netsim::{FaultKind, Scenario};
use std::time::Duration;

/// After so long a cut is known everywhere: the longest silence of a link, a heartbeat, and the flood.
const CUT_KNOWN: Duration = Duration::from_secs(3);

/// Whether something sent at `at` must arrive: no fault is on, none begins before it has arrived, and the time for
/// resumption is over.
pub fn is_calm(scenario: &Scenario, at: Duration) -> bool {
    let deliver = Duration::from_millis(scenario.bounds.deliver_ms);
    let resume = Duration::from_millis(scenario.bounds.resume_ms);
    let first = scenario.faults.iter().map(|fault| fault.at_ms).min().unwrap_or(scenario.duration_ms);
    let before = at >= Duration::from_millis(scenario.traffic.start_ms) && at + deliver <= Duration::from_millis(first);
    let after = at >= scenario.healed_at() + resume && at + deliver <= Duration::from_millis(scenario.duration_ms);
    before || after
}

/// Whether a partition parts `a` from `b` at `at`, and `a` must know: nothing else has begun or ended since for as long
/// as that takes. A node that dies before it has missed another is believed until it is missed itself.
pub fn is_known_apart(scenario: &Scenario, at: Duration, a: usize, b: usize) -> bool {
    let turns = scenario.faults.iter().flat_map(|fault| [fault.at_ms, fault.at_ms + fault.for_ms]);
    let mut past = turns.map(Duration::from_millis).filter(|turn| *turn <= at);
    past.all(|turn| turn + CUT_KNOWN <= at)
        && scenario.faults.iter().any(|fault| {
            let FaultKind::Partition(groups) = &fault.what else { return false };
            let group = |node| groups.iter().position(|group| group.contains(&node));
            let ends = Duration::from_millis(fault.at_ms + fault.for_ms);
            Duration::from_millis(fault.at_ms) <= at && at < ends && group(a) != group(b)
        })
}
