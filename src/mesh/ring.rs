//! What this node has sent of its own lately: for destinations that ask for what they miss.
//!
//! It keeps the pieces that were written to the links, as they are and without copying, from the newest back to a bound
//! in bytes. They hold frames that were only passed on as well; who searches them looks away from those.

use bytes::Bytes;
use std::collections::VecDeque;
use std::sync::Mutex;

/// What keeping a piece costs beside its bytes.
const OVERHEAD: usize = 96;

/// A bounded queue of pieces of whole frames.
#[derive(Debug)]
pub struct Ring {
    state: Mutex<State>,
    bytes_max: usize,
}

#[derive(Debug, Default)]
struct State {
    pieces: VecDeque<(Bytes, usize)>,
    len: usize,
}

impl Ring {
    /// A ring of at most `bytes_max` bytes: the oldest piece goes first.
    #[must_use]
    pub fn new(bytes_max: usize) -> Self {
        Self { state: Mutex::default(), bytes_max }
    }

    /// Adds a piece, which takes `room` bytes of memory.
    pub fn push(&self, piece: Bytes, room: usize) {
        let cost = room + OVERHEAD;
        let mut state = self.lock();
        state.len += cost;
        state.pieces.push_back((piece, cost));
        while state.len > self.bytes_max {
            let Some((_, cost)) = state.pieces.pop_front() else { return };
            state.len -= cost;
        }
    }

    /// The pieces, the oldest first.
    #[must_use]
    pub fn pieces(&self) -> Vec<Bytes> {
        self.lock().pieces.iter().map(|(piece, _)| piece.clone()).collect()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().expect("no holder of this lock panics")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_piece_goes_when_there_is_no_room() {
        let ring = Ring::new(2 * (10 + OVERHEAD));
        for piece in [&b"one"[..], b"two", b"three"] {
            ring.push(Bytes::from_static(piece), 10);
        }
        assert_eq!(ring.pieces(), [&b"two"[..], b"three"]);
        ring.push(Bytes::from_static(b"huge"), 1 << 20);
        assert!(ring.pieces().is_empty());
    }
}
