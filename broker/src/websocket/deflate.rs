//! Compression of one message by itself (RFC 7692, neither side keeps its context).
//!
//! What a client sends is inflated in steps, into the room that the reader has: a message of any size takes the window
//! and no more.

use flate2::{Compress, Compression, Decompress, FlushCompress, FlushDecompress, Status};

/// What the end of a message stands for (RFC 7692 section 7.2.2), and a last block, by which a whole message is told
/// from one that is cut off.
const TAIL: [u8; 9] = [0x00, 0x00, 0xff, 0xff, 0x01, 0x00, 0x00, 0xff, 0xff];
/// What a sender leaves away.
const FLUSHED: usize = 4;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum InflateError {
    /// It is no compressed message, or not all of one.
    Corrupt,
    /// It comes to more than it may.
    TooLong,
}

/// A message that is being inflated.
#[derive(Debug)]
pub(super) struct Inflate {
    state: Decompress,
    /// Bytes that it may still come to.
    left: usize,
    /// Bytes of [`TAIL`] that are in.
    tail: usize,
    /// The last block has ended; what follows means nothing.
    is_over: bool,
    /// There may be more without more input.
    has_more: bool,
}

impl Inflate {
    pub(super) fn new(max: usize) -> Self {
        Self { state: Decompress::new(false), left: max, tail: 0, is_over: false, has_more: false }
    }

    /// Whether a step may yield something without input.
    pub(super) fn has_more(&self) -> bool {
        self.has_more
    }

    /// Inflates some of `input` into `out`, which has room; returns the bytes used and written.
    pub(super) fn step(&mut self, input: &[u8], out: &mut [u8]) -> Result<(usize, usize), InflateError> {
        if self.is_over {
            return Ok((input.len(), 0));
        }
        let mut probe = [0];
        let is_probe = self.left == 0;
        let room = if is_probe { out.len().min(1) } else { out.len().min(self.left) };
        let out = if is_probe { &mut probe[..room] } else { &mut out[..room] };
        let before = (self.state.total_in(), self.state.total_out());
        let status = self.state.decompress(input, out, FlushDecompress::None);
        let status = status.map_err(|_| InflateError::Corrupt)?;
        // Both are at most the length of a slice.
        let used = (self.state.total_in() - before.0) as usize;
        let written = (self.state.total_out() - before.1) as usize;
        if is_probe && written > 0 {
            return Err(InflateError::TooLong);
        }
        if used == 0 && written == 0 && !input.is_empty() {
            return Err(InflateError::Corrupt);
        }
        self.left -= written;
        self.is_over = status == Status::StreamEnd;
        self.has_more = written == room && !self.is_over;
        Ok((used, written))
    }

    /// Goes on after the last of the input; returns the bytes written, and whether that was all.
    pub(super) fn finish(&mut self, out: &mut [u8]) -> Result<(usize, bool), InflateError> {
        let (used, written) = self.step(&TAIL[self.tail..], out)?;
        self.tail += used;
        let is_stuck = used == 0 && written == 0 && !self.has_more;
        if is_stuck && !self.is_over { Err(InflateError::Corrupt) } else { Ok((written, self.is_over)) }
    }
}

/// `payload` as a compressed message, if that is shorter.
pub(super) fn deflate(payload: &[u8]) -> Option<Vec<u8>> {
    let mut deflated = Vec::with_capacity(payload.len());
    let mut state = Compress::new(Compression::fast(), false);
    state.compress_vec(payload, &mut deflated, FlushCompress::Sync).ok()?;
    let is_whole = state.total_in() == payload.len() as u64 && deflated.ends_with(&TAIL[..FLUSHED]);
    deflated.truncate(deflated.len().saturating_sub(FLUSHED));
    (is_whole && deflated.len() < payload.len()).then_some(deflated)
}
