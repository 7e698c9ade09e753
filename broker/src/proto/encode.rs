//! Writing the protocol: what a server and a client say, appended to a buffer.

use super::info::{Connect, Info};
use crate::message::Message;

/// Appends `n` in decimal.
#[inline]
pub fn decimal(out: &mut Vec<u8>, mut n: usize) {
    let mut digits = [0; 20];
    let mut at = digits.len();
    loop {
        at -= 1;
        digits[at] = b'0' + (n % 10) as u8;
        n /= 10;
        if n == 0 {
            break;
        }
    }
    out.extend_from_slice(&digits[at..]);
}

/// Appends `INFO {…} \r\n`.
pub fn info(out: &mut Vec<u8>, info: &Info) {
    out.extend_from_slice(b"INFO ");
    serde_json::to_writer(&mut *out, info).expect("strings and numbers always encode");
    out.extend_from_slice(b" \r\n");
}

/// Appends `CONNECT {…}\r\n`.
pub fn connect(out: &mut Vec<u8>, connect: &Connect) {
    out.extend_from_slice(b"CONNECT ");
    serde_json::to_writer(&mut *out, connect).expect("strings and numbers always encode");
    out.extend_from_slice(b"\r\n");
}

/// Appends `-ERR 'text'\r\n`.
pub fn error(out: &mut Vec<u8>, text: &[u8]) {
    out.extend_from_slice(b"-ERR '");
    out.extend_from_slice(text);
    out.extend_from_slice(b"'\r\n");
}

/// Appends `PUB` or `HPUB`, whichever `message` needs, with its body.
pub fn publish(out: &mut Vec<u8>, message: &Message<'_>) {
    out.extend_from_slice(if message.header_len > 0 { b"HPUB " } else { b"PUB " });
    out.extend_from_slice(message.subject);
    out.push(b' ');
    tail(out, message, message.header_len > 0);
    out.extend_from_slice(message.body);
    out.extend_from_slice(b"\r\n");
}

/// Appends `[reply ][header_len ]len\r\n`, which `PUB` and `MSG` lines have in common.
#[inline]
pub(crate) fn tail(out: &mut Vec<u8>, message: &Message<'_>, has_headers: bool) {
    if let Some(reply) = message.reply {
        out.extend_from_slice(reply);
        out.push(b' ');
    }
    if has_headers {
        decimal(out, message.header_len);
        out.push(b' ');
    }
    decimal(out, message.body.len());
    out.extend_from_slice(b"\r\n");
}

/// Appends `SUB`.
pub fn subscribe(out: &mut Vec<u8>, filter: &[u8], queue: Option<&[u8]>, sid: &[u8]) {
    out.extend_from_slice(b"SUB ");
    out.extend_from_slice(filter);
    if let Some(queue) = queue {
        out.push(b' ');
        out.extend_from_slice(queue);
    }
    out.push(b' ');
    out.extend_from_slice(sid);
    out.extend_from_slice(b"\r\n");
}

/// Appends `UNSUB`; `max` counts from the start of the subscription, 0 is now.
pub fn unsubscribe(out: &mut Vec<u8>, sid: &[u8], max: u64) {
    out.extend_from_slice(b"UNSUB ");
    out.extend_from_slice(sid);
    if max > 0 {
        out.extend_from_slice(format!(" {max}").as_bytes());
    }
    out.extend_from_slice(b"\r\n");
}

/// Appends the answer to a request that nobody serves, for the requester's subscription `sid`.
pub(crate) fn no_responders(out: &mut Vec<u8>, reply: &[u8], sid: &[u8], subject: &[u8]) {
    const FRAME_LEN: usize = b"NATS/1.0 503\r\nNats-Subject: \r\n\r\n".len();
    let len = FRAME_LEN + subject.len();
    for part in [b"HMSG ", reply, b" ", sid, b" "] {
        out.extend_from_slice(part);
    }
    decimal(out, len);
    out.push(b' ');
    decimal(out, len);
    for part in [&b"\r\nNATS/1.0 503\r\nNats-Subject: "[..], subject, b"\r\n\r\n\r\n"] {
        out.extend_from_slice(part);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers() {
        let mut out = Vec::new();
        for n in [0, 7, 10, 1_048_576, usize::MAX] {
            out.clear();
            decimal(&mut out, n);
            assert_eq!(out, n.to_string().as_bytes());
        }
    }

    #[test]
    fn no_responders_counts_its_header() {
        let mut out = Vec::new();
        no_responders(&mut out, b"in.1", b"4", b"svc");
        assert_eq!(out, b"HMSG in.1 4 35 35\r\nNATS/1.0 503\r\nNats-Subject: svc\r\n\r\n\r\n");
    }

    #[test]
    fn what_is_encoded_is_parsed() {
        use crate::proto::{Limits, Op, Step, parse};
        let message = Message { subject: b"a", reply: Some(b"r"), header_len: 12, body: b"NATS/1.0\r\n\r\nhi" };
        let mut out = Vec::new();
        publish(&mut out, &message);
        let Ok(Step::Op { op: Op::Publish { message: read, has_headers: true, wire: Some(_) }, len }) =
            parse(&out, &Limits { line_max: 4096, payload_max: 100 })
        else {
            panic!("{out:?}")
        };
        assert_eq!((read, len), (message, out.len()));
    }
}
