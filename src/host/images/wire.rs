//! What hosts say to each other about images: one chunk is asked for, and given. Sans-IO.

use super::reference::Digest;
use crate::codec::{self, Decode, Encode};

/// Bytes that a record's version, its numbers and the subjects take of a message.
pub(super) const MARGIN: usize = 1 << 10;

/// Where a chunk of an image is asked for: of a host that has it. It is also the name of their group, so that one answers.
pub(super) fn subject(digest: Digest) -> String {
    format!("image.get.{}", digest.to_hex())
}

/// Which bytes are asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
pub(super) struct Wanted {
    /// The first of them.
    pub(super) offset: u64,
    /// How many, at most.
    pub(super) len: u32,
}

/// Some bytes of an image.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub(super) struct Part {
    /// How many the image has.
    pub(super) size: u64,
    /// The first of these.
    pub(super) offset: u64,
    pub(super) bytes: Vec<u8>,
}

/// The host that was asked does not have the image any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
pub(super) struct Gone;

/// What is answered.
pub(super) type Given = Result<Part, Gone>;

pub(super) fn encode<T: Encode>(record: &T) -> Vec<u8> {
    codec::encode(record)
}

/// `None`: those are no such record.
pub(super) fn decode<T: Decode<()>>(bytes: &[u8]) -> Option<T> {
    codec::decode(bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn questions_and_chunks_come_as_they_went() {
        let wanted = Wanted { offset: 1 << 24, len: 1 << 18 };
        assert_eq!(decode::<Wanted>(&encode(&wanted)), Some(wanted));
        let part: Given = Ok(Part { size: 1 << 25, offset: 1 << 24, bytes: vec![7; 1 << 18] });
        let bytes = encode(&part);
        assert!(bytes.len() < (1 << 18) + MARGIN);
        for len in [0, 1, 10, bytes.len() - 1] {
            assert_eq!(decode::<Given>(&bytes[..len]), None, "{len}");
        }
        assert_eq!(decode(&bytes), Some(part));
        assert_eq!(decode::<Given>(&encode(&Given::Err(Gone))), Some(Err(Gone)));
    }
}
