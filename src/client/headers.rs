//! A message's headers: the block on the wire, and what it says.

use bytes::Bytes;
use lattice_broker::proto::headers;

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

    /// Appends the block as it is sent, with its blank line; returns its length. A status is the server's affair and
    /// is left out.
    pub fn encode(&self, out: &mut Vec<u8>) -> usize {
        headers::write(out, self.pairs.iter().map(|(name, value)| (name.as_bytes(), value.as_bytes())))
    }

    /// Reads a block. Lines that are no headers are passed over, as servers let them through.
    #[must_use]
    pub fn decode(block: &Bytes) -> Self {
        let text = |bytes| String::from_utf8_lossy(bytes).into_owned();
        let pairs = headers::iter(block).map(|(name, value)| (text(name), text(value)));
        Self { status: headers::status(block), pairs: pairs.collect() }
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
        let mut block = Vec::new();
        assert_eq!(headers.encode(&mut block), block.len());
        assert_eq!(block, b"NATS/1.0\r\nTrace: a:b\r\nEmpty: \r\n\r\n");
        assert_eq!(Headers::decode(&Bytes::from(block)), headers);
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
