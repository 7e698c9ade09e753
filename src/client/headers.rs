//! A message's headers: the block on the wire, and what it says.

use bytes::Bytes;
use std::fmt::Write as _;

/// Headers in the order in which they were sent, with the status that servers answer with.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Headers {
    /// The status code, as 503 when nobody serves a subject.
    pub status: Option<u16>,
    /// Names and values.
    pub pairs: Vec<(String, String)>,
}

/// A header that cannot be sent.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is no header: write name:value, the name without blanks or colons")]
pub struct BadHeader {
    text: String,
}

impl Headers {
    /// Adds `name:value`.
    ///
    /// # Errors
    /// [`BadHeader`] when there is no name, or when the parts would break the block apart.
    pub fn push(&mut self, text: &str) -> Result<(), BadHeader> {
        let bad = || BadHeader { text: text.to_owned() };
        let (name, value) = text.split_once(':').ok_or_else(bad)?;
        let breaks = |c: char| c == '\r' || c == '\n';
        if name.is_empty() || name.contains(char::is_whitespace) || value.contains(breaks) {
            return Err(bad());
        }
        self.pairs.push((name.to_owned(), value.trim().to_owned()));
        Ok(())
    }

    /// True when there is nothing to send.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.pairs.is_empty() && self.status.is_none()
    }

    /// The first value of `name`, whose case counts.
    #[must_use]
    pub fn value(&self, name: &str) -> Option<&str> {
        self.pairs.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    /// The block as it is sent, with its blank line. A status is the server's affair and is left out.
    #[must_use]
    pub fn encode(&self) -> String {
        let mut out = String::from("NATS/1.0\r\n");
        for (name, value) in &self.pairs {
            let _ = write!(out, "{name}: {value}\r\n");
        }
        out.push_str("\r\n");
        out
    }

    /// Reads a block. Lines that are no headers are passed over, as servers let them through.
    #[must_use]
    pub fn decode(block: &Bytes) -> Self {
        let text = String::from_utf8_lossy(block);
        let mut lines = text.split("\r\n");
        let first = lines.next().unwrap_or_default();
        let code = first.strip_prefix("NATS/1.0").and_then(|rest| rest.trim_start().get(..3));
        let pairs = lines.filter_map(|line| line.split_once(':'));
        Self {
            status: code.and_then(|code| code.parse().ok()),
            pairs: pairs.map(|(name, value)| (name.to_owned(), value.trim().to_owned())).collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_encoded_is_decoded() {
        let mut headers = Headers::default();
        headers.push("Trace: a:b").unwrap();
        headers.push("Empty:").unwrap();
        assert_eq!(headers.encode(), "NATS/1.0\r\nTrace: a:b\r\nEmpty: \r\n\r\n");
        assert_eq!(Headers::decode(&Bytes::from(headers.encode())), headers);
        assert_eq!(headers.value("Trace"), Some("a:b"));
        for bad in ["none", ":x", "a b:c", "a:b\r\nc:d"] {
            assert!(headers.push(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_status_is_read() {
        let block = Bytes::from_static(b"NATS/1.0 503\r\nNats-Subject: a.b\r\n\r\n");
        let headers = Headers::decode(&block);
        assert_eq!((headers.status, headers.value("Nats-Subject")), (Some(503), Some("a.b")));
        assert_eq!(Headers::decode(&Bytes::from_static(b"\xffx")), Headers::default());
    }
}
