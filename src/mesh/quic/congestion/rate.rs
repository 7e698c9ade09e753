//! What the line carries, as the rounds show.

/// The most that was delivered in a round of late, in bytes per second.
///
/// What was delivered while there was little to send says what the line carries at least, and no more.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Rate {
    /// The most in this span of rounds and in the one before.
    most: [f64; 2],
}

impl Rate {
    /// Takes in one round.
    pub(super) fn sample(&mut self, rate: f64) {
        self.most[0] = self.most[0].max(rate);
    }

    /// What the line carries; 0 before the first round.
    pub(super) fn best(&self) -> f64 {
        self.most[0].max(self.most[1])
    }

    /// Begins a new span, and forgets the one before the last.
    pub(super) fn turn(&mut self) {
        self.most = [0.0, self.most[0]];
    }

    /// The line carries this, whatever was seen before.
    pub(super) fn set(&mut self, rate: f64) {
        self.most = [rate, rate];
    }
}
