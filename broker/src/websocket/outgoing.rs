//! Bytes for a client into frames.

use super::Terms;
use super::deflate::deflate;
use super::frame::{Opcode, push_head};

/// Up to this length a payload is not worth compressing.
const PLAIN_MAX: usize = 64;

/// Puts `payload` at the end of `out`, as one message, or as one for each frame.
pub(super) fn push_payload(out: &mut Vec<u8>, payload: &[u8], terms: &Terms) {
    if terms.is_deflating
        && payload.len() > PLAIN_MAX
        && let Some(deflated) = deflate(payload)
    {
        push_deflated(out, &deflated, if terms.splits_deflated { terms.frame_max } else { usize::MAX });
    } else {
        for payload in payload.chunks(terms.frame_max) {
            push_head(out, Opcode::Binary, true, false, payload.len());
            out.extend_from_slice(payload);
        }
    }
}

fn push_deflated(out: &mut Vec<u8>, deflated: &[u8], frame_max: usize) {
    let mut frames = deflated.chunks(frame_max).peekable();
    let mut opcode = Opcode::Binary;
    while let Some(frame) = frames.next() {
        push_head(out, opcode, frames.peek().is_none(), opcode == Opcode::Binary, frame.len());
        out.extend_from_slice(frame);
        opcode = Opcode::Continuation;
    }
}

/// Puts a ping, pong or close at the end of `out`.
pub(super) fn push_control(out: &mut Vec<u8>, opcode: Opcode, payload: &[u8]) {
    push_head(out, opcode, true, false, payload.len());
    out.extend_from_slice(payload);
}
