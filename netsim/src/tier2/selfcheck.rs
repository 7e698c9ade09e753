//! The emulator checked against itself: probes through the switch, and what they measure beside what was configured.
//!
//! All pairs are probed at once, each with another link, so that a link that leaks into another pair is seen too.

use super::lateness::Histogram;
use super::shape::{HEADERS, PACKET_MAX};
use super::{Lateness, NamespaceError, Network};
use crate::link::{Degrade, Link};
use probe::{Heard, probe};
use serde::Serialize;
use std::time::Duration;

mod probe;

/// One figure of one directed pair of hosts.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Check {
    /// From which host to which.
    pub pair: (usize, usize),
    /// What was measured, with its unit.
    pub what: &'static str,
    /// What was configured.
    pub configured: f64,
    /// What came out.
    pub measured: f64,
    /// The least and the most that is right.
    pub accepted: (f64, f64),
}

impl Check {
    /// True when what was measured is right.
    #[must_use]
    pub fn passed(&self) -> bool {
        (self.accepted.0..=self.accepted.1).contains(&self.measured)
    }
}

/// What probing showed.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct EmulatorReport {
    /// Each figure.
    pub checks: Vec<Check>,
    /// How late the switch was.
    pub lateness: Lateness,
    /// How late probes were sent.
    pub probes_late: Lateness,
}

impl EmulatorReport {
    /// False when the machine was too busy for the figures to say anything.
    #[must_use]
    pub fn usable(&self) -> bool {
        self.lateness.usable() && self.probes_late.usable()
    }

    /// True when every figure is right.
    #[must_use]
    pub fn passed(&self) -> bool {
        self.checks.iter().all(Check::passed)
    }
}

const HOSTS: usize = 3;
const PAIRS: [(usize, usize); 6] = [(0, 1), (1, 0), (0, 2), (2, 0), (1, 2), (2, 1)];
/// Probes of a pair in the first part: enough for shares to be within [`SIGMAS`] of what is configured.
const PROBES: u64 = 2_000;
const GAP: Duration = Duration::from_millis(2);
/// Bytes of a probe as a packet.
const PROBE_BYTES: usize = 500;
/// Of 16 shares in 1,000 runs of right figures, one is refused by chance.
const SIGMAS: f64 = 4.0;
/// What kernels, the switch and the reader may add, in the middle and in the worst hundredth.
const MEDIAN_LATE_MS: f64 = 1.0;
const WORST_LATE_MS: f64 = 5.0;
/// 125 of the probes in a second, of the 500 that are sent.
const RATE: u64 = 125 * (PROBE_BYTES - HEADERS) as u64;
const QUEUE: u64 = 20_000;

fn still(delay_ms: u64) -> Link {
    Link {
        delay: Duration::from_millis(delay_ms),
        jitter: Duration::ZERO,
        mtu_bytes: PACKET_MAX - HEADERS,
        ..Link::default()
    }
}

/// Measures every figure of the emulator; takes about seven seconds.
///
/// # Errors
/// [`NamespaceError`]: it cannot be tried here.
pub fn check_emulator(seed: u64) -> Result<EmulatorReport, NamespaceError> {
    let network = Network::new(seed, HOSTS, still(10))?;
    let mut late = Histogram::default();
    let mut checks = shaped(&network, &mut late)?;
    checks.extend(faulty(&network, &mut late)?);
    Ok(EmulatorReport { checks, lateness: network.lateness(), probes_late: late.lateness() })
}

/// The figures of links: each pair has its own.
fn shaped(network: &Network, late: &mut Histogram) -> Result<Vec<Check>, NamespaceError> {
    let links = [
        still(5),
        Link { jitter: Duration::from_millis(20), ..still(15) },
        Link { loss: 0.2, ..still(10) },
        Link { duplicate: 0.1, ..still(25) },
        Link { rate: Some(RATE), queue_bytes: QUEUE, ..still(10) },
        Link { reorder: 0.1, ..still(20) },
    ];
    for ((from, to), link) in PAIRS.into_iter().zip(links) {
        network.set(from, to, link);
    }
    let heard = probe(network, &PAIRS, PROBES, GAP, PROBE_BYTES, late)?;
    let checks = heard.iter().zip(&links).flat_map(|(heard, link)| of_link(heard, link));
    Ok(checks.collect())
}

/// The checks of one pair: what its link has, and that it has nothing else.
fn of_link(heard: &Heard, link: &Link) -> Vec<Check> {
    let ms = |time: Duration| time.as_secs_f64() * 1_000.0;
    let bytes = PROBE_BYTES - HEADERS;
    let transmission = link.rate.map_or(0.0, |rate| bytes as f64 * 1_000.0 / rate as f64);
    let (delay, jitter) = (ms(link.delay) + transmission, ms(link.jitter));
    let one = |what, configured, measured, accepted| Check { pair: heard.pair, what, configured, measured, accepted };
    let share = |what, configured: f64, measured| {
        let sigma = (configured * (1.0 - configured) / PROBES as f64).sqrt() * SIGMAS;
        one(what, configured * 100.0, measured * 100.0, ((configured - sigma) * 100.0, (configured + sigma) * 100.0))
    };
    // Behind a rate every probe but the very first waits in the queue: it is one sample, not the best of many.
    let late = if link.rate.is_some() { WORST_LATE_MS } else { MEDIAN_LATE_MS };
    let least = one("least delay, ms", delay, heard.quantile_ms(0), (delay - 0.01, delay + late + jitter / 3.0));
    let mut checks = vec![least];
    if let Some(rate) = link.rate {
        let (rate, sent) = (rate as f64, bytes as f64 / GAP.as_secs_f64());
        checks.push(one("rate, bytes/s", rate, heard.rate(bytes), (rate * 0.97, rate * 1.03)));
        let most = delay + link.queue_bytes as f64 * 1_000.0 / rate;
        checks.push(one(
            "longest wait in the queue, ms",
            most,
            heard.quantile_ms(99),
            (most * 0.9, most * 1.1 + WORST_LATE_MS),
        ));
        // What waits when the last probe is sent still arrives.
        let lost = 1.0 - rate / sent - link.queue_bytes as f64 / (PROBES * bytes as u64) as f64;
        checks.push(one("lost to the full queue, %", lost * 100.0, heard.lost() * 100.0, (lost * 97.0, lost * 103.0)));
        checks.push(share("duplicated, %", 0.0, heard.duplicated()));
        checks.push(one("overtaken, %", 0.0, heard.overtaken() * 100.0, (0.0, 0.0)));
        return checks;
    }
    if link.reorder == 0.0 {
        let most = delay + jitter;
        checks.push(one(
            "most delay (p99), ms",
            most,
            heard.quantile_ms(99),
            (most - jitter / 20.0 - 0.01, most + WORST_LATE_MS),
        ));
        checks.push(one("overtaken, %", 0.0, heard.overtaken() * 100.0, (0.0, 0.0)));
    } else {
        // Delayed by up to the delay once more, evenly: a probe is overtaken unless it is by less than the gap.
        let expected = link.reorder * (1.0 - ms(GAP) / delay);
        checks.push(share("overtaken, %", expected, heard.overtaken()));
    }
    // A copy is lost with its original.
    checks.push(share("lost, %", link.loss, heard.lost()));
    checks.push(share("duplicated, %", link.duplicate, heard.duplicated()));
    checks
}

/// The faults: a cut of one direction, a partition's end, links that get worse and better again.
fn faulty(network: &Network, late: &mut Histogram) -> Result<Vec<Check>, NamespaceError> {
    const COUNT: u64 = 200;
    PAIRS.into_iter().for_each(|(from, to)| network.set(from, to, still(10)));
    let cut = network.cut(&[0], &[1], false);
    let slow = network.degrade(&[1], &[2], true, Degrade { delay: Duration::from_millis(30), ..Degrade::default() });
    let during = probe(network, &PAIRS, COUNT, GAP, PROBE_BYTES, late)?;
    network.lift(cut);
    network.lift(slow);
    let after = probe(network, &PAIRS, COUNT, GAP, PROBE_BYTES, late)?;
    let mut checks = Vec::new();
    for (heard, is_during) in during.iter().map(|heard| (heard, true)).chain(after.iter().map(|heard| (heard, false))) {
        let pair = heard.pair;
        let is_cut = is_during && pair == (0, 1);
        let lost = if is_cut { 100.0 } else { 0.0 };
        let what = if is_during { "lost while 0->1 is cut, %" } else { "lost after the heal, %" };
        checks.push(Check { pair, what, configured: lost, measured: heard.lost() * 100.0, accepted: (lost, lost) });
        if !is_cut {
            let slowed = is_during && [(1, 2), (2, 1)].contains(&pair);
            let delay = if slowed { 40.0 } else { 10.0 };
            let what = if is_during { "delay while 1<->2 is worse, ms" } else { "delay after the heal, ms" };
            let accepted = (delay - 0.01, delay + MEDIAN_LATE_MS);
            checks.push(Check { pair, what, configured: delay, measured: heard.quantile_ms(50), accepted });
        }
    }
    Ok(checks)
}
