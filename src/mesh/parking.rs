//! Frames that lead nowhere at present: held for when there is a way again, in the order in which they came.
//!
//! Bounded in bytes and in time. Who has to go is the caller's to count; finding ways, too.

use bytes::Bytes;
use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// What holding a frame costs beside its bytes.
const OVERHEAD: usize = 64;

/// A bounded queue of frames.
#[derive(Debug)]
pub struct Parking {
    frames: VecDeque<(Instant, Bytes)>,
    len: usize,
    bytes_max: usize,
    time: Duration,
}

/// There is no room for a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Full;

impl Parking {
    /// Room for `bytes_max` bytes, each frame for `time`.
    #[must_use]
    pub fn new(bytes_max: usize, time: Duration) -> Self {
        Self { frames: VecDeque::new(), len: 0, bytes_max, time }
    }

    /// Holds a whole frame that came at `since`, which is no earlier than the last one.
    ///
    /// # Errors
    /// [`Full`]: it is not held.
    pub fn push(&mut self, since: Instant, frame: Bytes) -> Result<(), Full> {
        let cost = frame.len() + OVERHEAD;
        if self.len + cost > self.bytes_max {
            return Err(Full);
        }
        self.len += cost;
        self.frames.push_back((since, frame));
        Ok(())
    }

    /// Takes all frames out, the oldest first, with when each came.
    pub fn take(&mut self) -> VecDeque<(Instant, Bytes)> {
        self.len = 0;
        std::mem::take(&mut self.frames)
    }

    /// Takes out the next frame that has been held for too long.
    pub fn expired(&mut self, now: Instant) -> Option<Bytes> {
        if self.due()? > now {
            return None;
        }
        let (_, frame) = self.frames.pop_front()?;
        self.len -= frame.len() + OVERHEAD;
        Some(frame)
    }

    /// When the next frame will have been held for too long.
    #[must_use]
    pub fn due(&self) -> Option<Instant> {
        self.frames.front().map(|(since, _)| *since + self.time)
    }

    /// The frames, the oldest first.
    pub fn frames(&self) -> impl Iterator<Item = &Bytes> {
        self.frames.iter().map(|(_, frame)| frame)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mesh::start_of_time;

    #[test]
    fn frames_wait_in_order_until_their_time_is_up() {
        let (start, second) = (start_of_time(), Duration::from_secs(1));
        let mut parking = Parking::new(2 * (1 + OVERHEAD), second);
        let frame = Bytes::from_static;
        assert_eq!(parking.push(start, frame(b"a")), Ok(()));
        assert_eq!(parking.push(start + second, frame(b"b")), Ok(()));
        assert_eq!(parking.push(start + second, frame(b"c")), Err(Full));
        assert_eq!((parking.due(), parking.expired(start)), (Some(start + second), None));
        assert_eq!(parking.expired(start + second), Some(frame(b"a")));
        assert_eq!(parking.push(start + second, frame(b"d")), Ok(()));
        assert_eq!(parking.take().into_iter().map(|(_, frame)| frame).collect::<Vec<_>>(), ["b", "d"]);
        assert_eq!((parking.due(), parking.frames().count()), (None, 0));
    }
}
