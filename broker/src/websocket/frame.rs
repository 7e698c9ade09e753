//! Heads of frames (RFC 6455 section 5.2), and what a client may not say in them.
//!
//! What is wrong with a head is found as soon as its first two bytes are there, in the order in which nats-server looks,
//! so that both give the same reason. What belongs to a message is in `incoming.rs` and `outgoing.rs`.

use super::Terms;

/// The payload of a control frame.
pub(super) const CONTROL_MAX: usize = 125;
/// The longest head: two bytes, eight of length, four of the mask.
const HEAD_MAX: usize = 14;

const FINAL: u8 = 0x80;
const COMPRESSED: u8 = 0x40;
const RESERVED: u8 = 0x30;
const OPCODE: u8 = 0x0f;
const MASKED: u8 = 0x80;
const LENGTH: u8 = 0x7f;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Opcode {
    Continuation = 0,
    Text = 1,
    Binary = 2,
    Close = 8,
    Ping = 9,
    Pong = 10,
}

impl Opcode {
    pub(super) fn is_control(self) -> bool {
        matches!(self, Self::Close | Self::Ping | Self::Pong)
    }
}

/// What is wrong with a frame, in the words of nats-server, which the client gets to read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Violation {
    /// A bit of no known extension is set.
    #[error("RSV2 and RSV3 must be clear")]
    Reserved,
    /// Compression was not agreed on.
    #[error("compressed frame received without negotiated permessage-deflate")]
    NotNegotiated,
    /// Clients have to mask what they send.
    #[error("mask bit missing")]
    NoMask,
    /// A ping, pong or close is longer than its kind may be.
    #[error("control frame length bigger than maximum allowed of {CONTROL_MAX} bytes")]
    ControlTooLong,
    /// A ping, pong or close is in fragments.
    #[error("control frame does not have final bit set")]
    ControlFragmented,
    /// A ping, pong or close is compressed.
    #[error("control frame must not be compressed")]
    ControlCompressed,
    /// The message before has not ended.
    #[error("new message started before final frame for previous message was received")]
    Interleaved,
    /// There is no message to go on with, or it was said to be compressed at another place than its start.
    #[error("invalid continuation frame")]
    Continuation,
    /// There is no such kind of frame.
    #[error("unknown opcode {0}")]
    Opcode(u8),
    /// The highest bit of the length is set.
    #[error("invalid 64-bit payload length")]
    Length,
    /// Half a status.
    #[error("close frame payload cannot be 1 byte")]
    HalfStatus,
    /// A status that nobody may send.
    #[error("invalid close status code {0}")]
    Status(u16),
}

/// What comes before the payload of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Head {
    pub(super) opcode: Opcode,
    pub(super) is_final: bool,
    pub(super) is_compressed: bool,
    pub(super) mask: Option<[u8; 4]>,
    /// Bytes of payload.
    pub(super) len: u64,
}

/// A head, as far as it has come.
#[derive(Debug, Default)]
pub(super) struct HeadReader {
    bytes: [u8; HEAD_MAX],
    len: usize,
}

impl HeadReader {
    /// Takes what belongs to the head off `raw`; returns it once it is whole.
    pub(super) fn read(
        &mut self,
        raw: &mut &[u8],
        terms: &Terms,
        is_in_message: bool,
    ) -> Result<Option<Head>, Violation> {
        if !self.fill(raw, 2) {
            return Ok(None);
        }
        let [first, second, ..] = self.bytes;
        let opcode = check(first, second, terms, is_in_message)?;
        let extended = match second & LENGTH {
            126 => 2,
            127 => 8,
            _ => 0,
        };
        let is_masked = second & MASKED != 0;
        let whole = 2 + extended + if is_masked { 4 } else { 0 };
        if !self.fill(raw, whole) {
            return Ok(None);
        }
        self.len = 0;
        let number = self.bytes[2..2 + extended].iter().fold(0, |number, byte| number << 8 | u64::from(*byte));
        let len = if extended == 0 { u64::from(second & LENGTH) } else { number };
        if len > i64::MAX as u64 {
            return Err(Violation::Length);
        }
        let mask = self.bytes[..whole].last_chunk().copied().filter(|_| is_masked);
        let (is_final, is_compressed) = (first & FINAL != 0, first & COMPRESSED != 0);
        Ok(Some(Head { opcode, is_final, is_compressed, mask, len }))
    }

    /// Has `len` bytes, if `raw` has what is missing.
    fn fill(&mut self, raw: &mut &[u8], len: usize) -> bool {
        let taken = len.saturating_sub(self.len).min(raw.len());
        let (now, later) = raw.split_at(taken);
        self.bytes[self.len..self.len + taken].copy_from_slice(now);
        self.len += taken;
        *raw = later;
        self.len >= len
    }
}

fn check(first: u8, second: u8, terms: &Terms, is_in_message: bool) -> Result<Opcode, Violation> {
    let is_compressed = first & COMPRESSED != 0;
    if first & RESERVED != 0 {
        return Err(Violation::Reserved);
    }
    if is_compressed && !terms.is_deflating {
        return Err(Violation::NotNegotiated);
    }
    if second & MASKED == 0 && terms.needs_mask {
        return Err(Violation::NoMask);
    }
    let opcode = match first & OPCODE {
        0 => Opcode::Continuation,
        1 => Opcode::Text,
        2 => Opcode::Binary,
        8 => Opcode::Close,
        9 => Opcode::Ping,
        10 => Opcode::Pong,
        unknown => return Err(Violation::Opcode(unknown)),
    };
    match opcode {
        Opcode::Close | Opcode::Ping | Opcode::Pong => {
            if usize::from(second & LENGTH) > CONTROL_MAX {
                return Err(Violation::ControlTooLong);
            }
            if first & FINAL == 0 {
                return Err(Violation::ControlFragmented);
            }
            if is_compressed {
                return Err(Violation::ControlCompressed);
            }
        }
        Opcode::Text | Opcode::Binary if is_in_message => return Err(Violation::Interleaved),
        Opcode::Continuation if !is_in_message || is_compressed => return Err(Violation::Continuation),
        Opcode::Text | Opcode::Binary | Opcode::Continuation => {}
    }
    Ok(opcode)
}

/// Puts the head of a frame to a client, which has no mask, at the end of `out`.
pub(super) fn push_head(out: &mut Vec<u8>, opcode: Opcode, is_final: bool, is_compressed: bool, len: usize) {
    let first = opcode as u8 | if is_final { FINAL } else { 0 } | if is_compressed { COMPRESSED } else { 0 };
    out.push(first);
    match (u8::try_from(len), u16::try_from(len)) {
        (Ok(len), _) if usize::from(len) <= CONTROL_MAX => out.push(len),
        (_, Ok(len)) => {
            out.push(126);
            out.extend_from_slice(&len.to_be_bytes());
        }
        (_, Err(_)) => {
            out.push(127);
            out.extend_from_slice(&(len as u64).to_be_bytes());
        }
    }
}

/// The payload of a close frame: `code`, and as much of `text` as fits.
pub(super) fn close_payload(code: u16, text: &str) -> Vec<u8> {
    const CUT: &str = "...";
    let mut payload = code.to_be_bytes().to_vec();
    let room = CONTROL_MAX - payload.len();
    if text.len() <= room {
        payload.extend_from_slice(text.as_bytes());
    } else {
        let end = text.floor_char_boundary(room - CUT.len());
        payload.extend_from_slice(&text.as_bytes()[..end]);
        payload.extend_from_slice(CUT.as_bytes());
    }
    payload
}

/// Writes `from`, whose first byte is at `at` of the payload, without its mask to the start of `to`, which is no shorter.
pub(super) fn unmask(mask: [u8; 4], at: usize, from: &[u8], to: &mut [u8]) {
    let key: [u8; 8] = std::array::from_fn(|i| mask[(at + i) & 3]);
    let (from, from_rest) = from.as_chunks();
    let (to, to_rest) = to[..from.len() * 8 + from_rest.len()].as_chunks_mut();
    for (from, to) in from.iter().zip(to) {
        *to = (u64::from_ne_bytes(*from) ^ u64::from_ne_bytes(key)).to_ne_bytes();
    }
    for ((from, to), key) in from_rest.iter().zip(to_rest).zip(key) {
        *to = from ^ key;
    }
}
