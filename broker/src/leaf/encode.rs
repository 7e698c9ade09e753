//! Operations of the leaf protocol, written to a buffer. Whether they may be sent is left to `session.rs`.

use super::info::{Connect, Info};
use crate::message::Message;
use crate::proto::encode::decimal;
use serde::Serialize;

/// Writes LMSG, or HMSG when the message has a header block. Groups must be names without blanks.
pub fn write_message<'g>(out: &mut Vec<u8>, message: &Message<'_>, groups: impl Iterator<Item = &'g [u8]>) {
    let mut groups = groups.peekable();
    out.extend_from_slice(if message.header_len > 0 { b"HMSG " } else { b"LMSG " });
    out.extend_from_slice(message.subject);
    match (message.reply, groups.peek().is_some()) {
        (Some(reply), true) => {
            out.extend_from_slice(b" + ");
            out.extend_from_slice(reply);
        }
        (Some(reply), false) => {
            out.push(b' ');
            out.extend_from_slice(reply);
        }
        (None, true) => out.extend_from_slice(b" |"),
        (None, false) => {}
    }
    for group in groups {
        out.push(b' ');
        out.extend_from_slice(group);
    }
    if message.header_len > 0 {
        out.push(b' ');
        decimal(out, message.header_len);
    }
    out.push(b' ');
    decimal(out, message.body.len());
    out.extend_from_slice(b"\r\n");
    out.extend_from_slice(message.body);
    out.extend_from_slice(b"\r\n");
}

/// Writes LS+ or LS-. `key` is the subject or, for a queue group, the subject, a blank and the group; `weight` is
/// 0 for LS-.
pub fn write_interest(out: &mut Vec<u8>, key: &[u8], weight: u32) {
    out.extend_from_slice(if weight > 0 { b"LS+ " } else { b"LS- " });
    out.extend_from_slice(key);
    if weight > 0 && key.contains(&b' ') {
        out.push(b' ');
        decimal(out, weight as usize);
    }
    out.extend_from_slice(b"\r\n");
}

/// Writes INFO.
pub fn write_info(out: &mut Vec<u8>, info: &Info) {
    write_json(out, b"INFO ", info);
}

/// Writes CONNECT.
pub fn write_connect(out: &mut Vec<u8>, connect: &Connect) {
    write_json(out, b"CONNECT ", connect);
}

/// Writes -ERR. Quotes in `text` stay as they are: the other end takes the outermost.
pub fn write_err(out: &mut Vec<u8>, text: &str) {
    out.extend_from_slice(b"-ERR '");
    out.extend_from_slice(text.as_bytes());
    out.extend_from_slice(b"'\r\n");
}

/// Writes PING.
pub fn write_ping(out: &mut Vec<u8>) {
    out.extend_from_slice(b"PING\r\n");
}

/// Writes PONG.
pub fn write_pong(out: &mut Vec<u8>) {
    out.extend_from_slice(b"PONG\r\n");
}

fn write_json(out: &mut Vec<u8>, verb: &[u8], value: &impl Serialize) {
    out.extend_from_slice(verb);
    serde_json::to_writer(&mut *out, value).expect("strings, numbers and lists always serialize");
    out.extend_from_slice(b"\r\n");
}
