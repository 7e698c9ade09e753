//! Bytes that wait for a socket: a queue of chunks, so that growing never copies and memory goes as it is written.

use std::collections::VecDeque;
use std::io::IoSlice;

const CHUNK_MIN: usize = 4 << 10;
const CHUNK_MAX: usize = 256 << 10;

#[derive(Debug, Default)]
pub(super) struct Backlog {
    chunks: VecDeque<Vec<u8>>,
    /// Bytes of the first chunk that are gone already.
    start: usize,
    len: usize,
}

impl Backlog {
    pub(super) fn len(&self) -> usize {
        self.len
    }

    pub(super) fn is_empty(&self) -> bool {
        self.len == 0
    }

    pub(super) fn push(&mut self, mut bytes: &[u8]) {
        self.len += bytes.len();
        while !bytes.is_empty() {
            let room = self.chunks.back().map_or(0, |chunk| chunk.capacity() - chunk.len());
            if room == 0 {
                // Chunks grow with the backlog: a few bytes take little memory, many take few chunks.
                let size = self.len.next_power_of_two().clamp(CHUNK_MIN, CHUNK_MAX);
                self.chunks.push_back(Vec::with_capacity(size));
                continue;
            }
            let (now, later) = bytes.split_at(room.min(bytes.len()));
            if let Some(chunk) = self.chunks.back_mut() {
                chunk.extend_from_slice(now);
            }
            bytes = later;
        }
    }

    /// The first bytes, for a vectored write.
    pub(super) fn slices(&self) -> impl Iterator<Item = IoSlice<'_>> {
        let starts = std::iter::once(self.start).chain(std::iter::repeat(0));
        self.chunks.iter().zip(starts).map(|(chunk, start)| IoSlice::new(&chunk[start..]))
    }

    /// Removes the first `n` bytes, which have been written.
    pub(super) fn consume(&mut self, n: usize) {
        self.len -= n;
        self.start += n;
        while self.chunks.front().is_some_and(|chunk| self.start >= chunk.len()) {
            self.start -= self.chunks.pop_front().map_or(0, |chunk| chunk.len());
        }
        if self.chunks.is_empty() {
            *self = Self::default();
        }
    }

    pub(super) fn clear(&mut self) {
        *self = Self::default();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(24))]

        /// Goal: what is pushed comes out, in order, in whatever portions it is written.
        #[test]
        fn is_a_queue(steps in proptest::collection::vec((0usize..20_000, 0usize..30_000), 1..30)) {
            let (mut backlog, mut expected, mut next) = (Backlog::default(), VecDeque::new(), 0u8);
            for (pushed, written) in steps {
                let bytes: Vec<u8> = (0..pushed).map(|_| { next = next.wrapping_add(1); next }).collect();
                backlog.push(&bytes);
                expected.extend(bytes);
                let written = written.min(backlog.len());
                let front: Vec<u8> = backlog.slices().flat_map(|slice| slice.to_vec()).take(written).collect();
                prop_assert_eq!(front, expected.drain(..written).collect::<Vec<u8>>());
                backlog.consume(written);
                prop_assert_eq!(backlog.len(), expected.len());
            }
        }
    }
}
