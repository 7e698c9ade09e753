//! What a test does to the clocks of hosts, and takes back.

use super::World;
use crate::link::FaultId;
use std::time::Duration;

impl World {
    /// Lets the clock of host `i` run `ppm` parts per million too fast from now on, or too slow when that is below 0. At
    /// most a tenth of a second per second. What it reads goes on from what it reads now; timers fall due by it. It
    /// strays on through crashes, until another drift or [`World::lift`], which lets it run true but does not set it
    /// right.
    ///
    /// Its hits are the timers that somebody waits for, and those set or moved while it strays.
    pub fn drift(&mut self, i: usize, ppm: i32) -> FaultId {
        let fault = self.fault(|links, now| links.faults.note(now, format!("drift {i} by {ppm} ppm")));
        self.set_pace(i, ppm, Some(fault));
        fault
    }

    fn set_pace(&mut self, i: usize, ppm: i32, fault: Option<FaultId>) {
        self.kernel.with(|state, now| {
            let (pace, ended) = self.kernel.clocks[i].drift(now, ppm, fault);
            let waited_for = state.agenda.rearm(i, |local| pace.global(local));
            if let Some(fault) = fault {
                state.links.faults.bite(fault, waited_for);
            }
            if let Some(ended) = ended {
                state.links.faults.lift(now, ended);
            }
        });
    }

    /// Sets the wall clock of host `i` on by so much, or back, until [`World::lift`]; never before 1970. The monotonic
    /// clock, by which timers go, does not step. Steps add up, and outlast crashes.
    ///
    /// Its hits are the times that the clock was read.
    pub fn step(&mut self, i: usize, by: Duration, forwards: bool) -> FaultId {
        let way = if forwards { "on" } else { "back" };
        let fault =
            self.fault(|links, now| links.faults.note(now, format!("set the wall clock of {i} {way} by {by:?}")));
        self.kernel.clocks[i].step(fault, by, forwards);
        fault
    }

    /// Ends what `fault` does to clocks.
    pub(super) fn right_clocks(&mut self, fault: FaultId) {
        self.kernel.clocks.iter().for_each(|clock| clock.step_back(fault));
        if let Some(i) = self.kernel.clocks.iter().position(|clock| clock.strays_by(fault)) {
            self.set_pace(i, 0, None);
        }
    }
}
