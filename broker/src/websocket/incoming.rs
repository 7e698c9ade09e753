//! Frames of a client into bytes: data as it comes, whatever message it is in, and what control frames ask for.

use super::Terms;
use super::deflate::{Inflate, InflateError};
use super::frame::{CONTROL_MAX, Head, HeadReader, Opcode, Violation, close_payload, unmask};

/// Bytes that are unmasked at a time before they are inflated.
const SCRATCH: usize = 512;

/// Why nothing more is read of a client.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// A frame that no client may send.
    #[error(transparent)]
    Frame(#[from] Violation),
    /// A compressed message that cannot be inflated.
    #[error("a compressed message is corrupt or cut off")]
    Corrupt,
    /// A compressed message that comes to more than it may.
    #[error("a compressed message comes to more than {max} bytes")]
    TooLong {
        /// [`message_max`](super::Rules::message_max).
        max: usize,
    },
}

impl Fault {
    /// The payload of the close frame that says so. nats-server says nothing of messages that cannot be inflated.
    pub(super) fn farewell(&self) -> Vec<u8> {
        let code = match self {
            Self::Frame(_) => 1002,
            Self::Corrupt => 1007,
            Self::TooLong { .. } => 1009,
        };
        close_payload(code, &self.to_string())
    }
}

/// What a call of [`Incoming::read`] has done, and why it has stopped.
#[derive(Debug)]
pub(super) struct Progress {
    /// Bytes taken of what the client sent.
    pub(super) used: usize,
    /// Bytes of data written.
    pub(super) written: usize,
    pub(super) stop: Stop,
}

#[derive(Debug, PartialEq, Eq)]
pub(super) enum Stop {
    /// All is used.
    Starved,
    /// There is more than there is room for.
    Full,
    /// A ping with this payload.
    Ping(Vec<u8>),
    /// The client ends; it is to be answered by a close frame with this payload.
    Close(Vec<u8>),
    /// The client broke the protocol.
    Fault(Fault),
}

/// A frame whose payload is being read.
#[derive(Debug)]
struct Frame {
    head: Head,
    /// Bytes of payload that are read.
    at: u64,
}

impl Frame {
    fn rest(&self, raw: &[u8]) -> usize {
        usize::try_from(self.head.len - self.at).unwrap_or(usize::MAX).min(raw.len())
    }

    /// Copies bytes of `raw`, which are payload, without their mask into `to`; [`Frame::take`] says how many of them count.
    fn copy(&self, raw: &[u8], to: &mut [u8]) {
        unmask(self.head.mask.unwrap_or_default(), (self.at & 3) as usize, raw, to);
    }

    fn take(&mut self, raw: &mut &[u8], len: usize) {
        self.at += len as u64;
        *raw = &raw[len..];
    }

    fn is_read(&self) -> bool {
        self.at == self.head.len
    }
}

/// What of a client's frames has been read.
#[derive(Debug)]
pub(super) struct Incoming {
    terms: Terms,
    head: HeadReader,
    frame: Option<Frame>,
    /// The payload of a control frame, as far as it has come.
    control: Vec<u8>,
    /// A message has begun whose last frame has not.
    is_in_message: bool,
    /// The message is compressed.
    inflate: Option<Box<Inflate>>,
}

impl Incoming {
    pub(super) fn new(terms: Terms) -> Self {
        let head = HeadReader::default();
        Self { terms, head, frame: None, control: Vec::new(), is_in_message: false, inflate: None }
    }

    /// Reads `raw`, what the client sent after what was used before, and writes data to `out`. With an empty `out` it
    /// reads up to the next data. Not to be called again after a close or a fault.
    pub(super) fn read(&mut self, raw: &[u8], out: &mut [u8]) -> Progress {
        let (mut rest, mut room) = (raw, &mut out[..]);
        let stop = loop {
            let stop = match &self.frame {
                None => self.read_head(&mut rest),
                Some(frame) if frame.head.opcode.is_control() => self.read_control(&mut rest),
                Some(_) if self.inflate.is_some() => self.read_compressed(&mut rest, &mut room),
                Some(_) => self.read_plain(&mut rest, &mut room),
            };
            match stop {
                Ok(None) => {}
                Ok(Some(stop)) => break stop,
                Err(fault) => break Stop::Fault(fault),
            }
        };
        let (used, left) = (raw.len() - rest.len(), room.len());
        Progress { used, written: out.len() - left, stop }
    }

    fn read_head(&mut self, raw: &mut &[u8]) -> Result<Option<Stop>, Fault> {
        let Some(head) = self.head.read(raw, &self.terms, self.is_in_message)? else {
            return Ok(Some(Stop::Starved));
        };
        if !head.opcode.is_control() {
            self.is_in_message = !head.is_final;
        }
        if head.is_compressed {
            self.inflate = Some(Box::new(Inflate::new(self.terms.message_max)));
        }
        self.frame = Some(Frame { head, at: 0 });
        Ok(None)
    }

    fn read_control(&mut self, raw: &mut &[u8]) -> Result<Option<Stop>, Fault> {
        let Some(frame) = &mut self.frame else {
            return Ok(None);
        };
        let (len, start) = (frame.rest(raw), self.control.len());
        self.control.resize(start + len, 0);
        frame.copy(&raw[..len], &mut self.control[start..]);
        frame.take(raw, len);
        if !frame.is_read() {
            return Ok(Some(Stop::Starved));
        }
        let opcode = frame.head.opcode;
        self.frame = None;
        let payload = std::mem::take(&mut self.control);
        match opcode {
            Opcode::Ping => Ok(Some(Stop::Ping(payload))),
            Opcode::Close => Ok(Some(Stop::Close(answer(payload)?))),
            Opcode::Pong | Opcode::Continuation | Opcode::Text | Opcode::Binary => Ok(None),
        }
    }

    fn read_plain(&mut self, raw: &mut &[u8], room: &mut &mut [u8]) -> Result<Option<Stop>, Fault> {
        let Some(frame) = &mut self.frame else {
            return Ok(None);
        };
        let len = frame.rest(raw).min(room.len());
        frame.copy(&raw[..len], room);
        frame.take(raw, len);
        advance(room, len);
        if frame.is_read() {
            self.frame = None;
            return Ok(None);
        }
        Ok(Some(if raw.is_empty() { Stop::Starved } else { Stop::Full }))
    }

    fn read_compressed(&mut self, raw: &mut &[u8], room: &mut &mut [u8]) -> Result<Option<Stop>, Fault> {
        let (Some(frame), Some(inflate)) = (&mut self.frame, &mut self.inflate) else {
            return Ok(None);
        };
        let failed = |error| match error {
            InflateError::Corrupt => Fault::Corrupt,
            InflateError::TooLong => Fault::TooLong { max: self.terms.message_max },
        };
        let is_at_end = frame.is_read() && frame.head.is_final;
        if frame.is_read() && !frame.head.is_final && !inflate.has_more() {
            self.frame = None;
            return Ok(None);
        }
        if raw.is_empty() && !is_at_end && !inflate.has_more() {
            return Ok(Some(Stop::Starved));
        }
        if room.is_empty() {
            return Ok(Some(Stop::Full));
        }
        if is_at_end {
            let (written, is_over) = inflate.finish(room).map_err(failed)?;
            advance(room, written);
            if is_over {
                (self.frame, self.inflate) = (None, None);
            }
        } else {
            let mut scratch = [0; SCRATCH];
            let len = frame.rest(raw).min(SCRATCH);
            frame.copy(&raw[..len], &mut scratch);
            let (used, written) = inflate.step(&scratch[..len], room).map_err(failed)?;
            frame.take(raw, used);
            advance(room, written);
        }
        Ok(None)
    }
}

/// Leaves `len` bytes, which are written, behind.
fn advance(room: &mut &mut [u8], len: usize) {
    *room = &mut std::mem::take(room)[len..];
}

/// What a close frame with `payload` is answered with.
fn answer(payload: Vec<u8>) -> Result<Vec<u8>, Violation> {
    debug_assert!(payload.len() <= CONTROL_MAX, "the head was checked");
    let Some((status, text)) = payload.split_first_chunk() else {
        return if payload.is_empty() { Ok(payload) } else { Err(Violation::HalfStatus) };
    };
    match u16::from_be_bytes(*status) {
        // RFC 6455 section 7.4: the others are reserved, or are never sent.
        1000..=1003 | 1007..=1014 | 3000..=4999 if std::str::from_utf8(text).is_ok() => Ok(payload),
        1000..=1003 | 1007..=1014 | 3000..=4999 => Ok(close_payload(1007, "invalid utf8 body in close frame")),
        status => Err(Violation::Status(status)),
    }
}
