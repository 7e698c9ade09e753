//! The buffers of one connection: what was read and not used, what is to be written. When to read and write is left to
//! `link.rs`.

use super::interest::Interest;
use super::session::Session;
use crate::env::Stream;
use std::io::{self, IoSlice};

/// Bytes read at a time; the buffer grows for a larger message and shrinks after it.
const READ_BYTES: usize = 64 << 10;
/// A write buffer larger than this is given back once it is empty.
const WRITE_BYTES_KEPT: usize = 1 << 20;

/// What was read and not used yet.
#[derive(Default)]
pub(super) struct ReadBuffer {
    buf: Vec<u8>,
    pub(super) start: usize,
    pub(super) end: usize,
    /// Bytes that must be there for the next operation; 0 when unknown.
    pub(super) need: usize,
}

impl ReadBuffer {
    pub(super) fn bytes(&self) -> &[u8] {
        &self.buf[self.start..self.end]
    }

    /// Room to read into, enough in all for what the parser needs.
    pub(super) fn room(&mut self) -> &mut [u8] {
        let need = self.need.max(self.end - self.start + 1);
        if self.start == self.end {
            (self.start, self.end) = (0, 0);
        }
        // Little room at the end would make for many small reads.
        let cramped = self.start > 0 && self.buf.len() - self.end < READ_BYTES / 2;
        if cramped || self.start + need > self.buf.len() {
            self.buf.copy_within(self.start..self.end, 0);
            (self.start, self.end) = (0, self.end - self.start);
            self.buf.resize(need.next_multiple_of(READ_BYTES).max(self.buf.len()), 0);
        }
        &mut self.buf[self.end..]
    }

    /// Takes what was read elsewhere, before anything was read here.
    pub(super) fn put(&mut self, bytes: &[u8]) {
        self.need = bytes.len();
        self.room()[..bytes.len()].copy_from_slice(bytes);
        (self.end, self.need) = (bytes.len(), 0);
    }

    pub(super) fn shrink(&mut self) {
        if self.start == self.end && self.buf.len() > 4 * READ_BYTES {
            *self = Self::default();
        }
    }
}

/// What was taken from the session and is not written yet.
#[derive(Default)]
pub(super) struct WriteBuffer {
    buf: Vec<u8>,
    at: usize,
    /// Messages in it.
    pub(super) messages: u64,
}

impl WriteBuffer {
    pub(super) fn is_empty(&self) -> bool {
        self.at == self.buf.len()
    }

    pub(super) fn take(&mut self, session: &mut Session, interest: &mut Interest) {
        if self.is_empty() {
            self.at = 0;
            self.buf.clear();
            self.buf.shrink_to(WRITE_BYTES_KEPT);
            self.messages += session.take_output(&mut self.buf, interest);
        } else {
            let mut more = Vec::new();
            self.messages += session.take_output(&mut more, interest);
            self.buf.append(&mut more);
        }
    }

    pub(super) fn write_to(&mut self, stream: &dyn Stream) -> io::Result<usize> {
        let bytes = stream.try_write_vectored(&[IoSlice::new(&self.buf[self.at..])])?;
        self.at += bytes;
        Ok(bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn room_is_made_for_what_is_needed_and_given_back() {
        let mut read = ReadBuffer::default();
        assert_eq!(read.room().len(), READ_BYTES);
        read.buf[READ_BYTES - 3..].copy_from_slice(b"abc");
        (read.start, read.end) = (READ_BYTES - 3, READ_BYTES);
        assert_eq!(read.room().len(), READ_BYTES - 3);
        assert_eq!(read.bytes(), b"abc");
        read.need = 10 * READ_BYTES + 1;
        assert_eq!(read.room().len(), 11 * READ_BYTES - 3);
        assert_eq!(read.bytes(), b"abc");
        read.shrink();
        assert_eq!(read.bytes(), b"abc");
        read.start = read.end;
        read.shrink();
        assert_eq!(read.buf.capacity(), 0);
    }
}
