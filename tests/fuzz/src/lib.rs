//! What the fuzz targets share: how a stream of bytes is cut into the pieces that a network makes of it.
//!
//! Each target plays the same bytes twice, whole and in pieces: any split must yield the same operations and end in the
//! same way, and nothing may panic.

/// What a parser made of a stream: its operations as text, and the kind of error that ended it.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Story {
    /// Each operation, in order.
    pub ops: Vec<String>,
    /// The error, without its figures: how much was there when it was found depends on the pieces.
    pub error: Option<String>,
}

impl Story {
    /// Ends the story with `error`.
    pub fn fail(&mut self, error: &impl std::fmt::Debug) {
        let text = format!("{error:?}");
        let kind = text.split([' ', '(', '{']).next().unwrap_or_default();
        self.error = Some(kind.to_owned());
    }
}

/// The first bytes of an input choose the pieces, the rest is what is sent.
pub fn split_input(data: &[u8]) -> Option<(u64, &[u8])> {
    let (seed, stream) = data.split_at_checked(2)?;
    Some((u64::from(u16::from_le_bytes([seed[0], seed[1]])), stream))
}

/// Where the pieces of `len` bytes end, the last at `len`: mostly short ones, chosen by `seed`.
pub fn ends(len: usize, seed: u64) -> impl Iterator<Item = usize> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut at = 0;
    std::iter::from_fn(move || {
        if at >= len {
            return None;
        }
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        let most = if state & 0x700 == 0 { 300 } else { 5 };
        at = len.min(at + 1 + (state >> 40) as usize % most);
        Some(at)
    })
}
