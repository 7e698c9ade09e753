//! The one encoding of what crosses a link and what goes to disk: a version byte, then bincode.
//!
//! Decoding is for input that nobody vouches for: what it allocates is bounded by the length of the input, and
//! bytes that are left over are an error. What a record means, and how long it may be, is left to its owner.

use bincode::config::{self, Configuration, Limit, LittleEndian, Varint};
use bincode::enc::write::Writer;
use bincode::error::EncodeError;
pub use bincode::{BorrowDecode, Decode, Encode};

/// First byte of everything encoded here. Raised when the encoding of any record changes incompatibly.
pub const VERSION: u8 = 1;

/// The longest input that is decoded as a whole, in bytes.
pub const INPUT_MAX: usize = 16 << 20;

/// What a decoder may claim, in bytes of memory, for an input of at most a 32nd of it. Containers are claimed
/// before they are filled, and an element in memory is larger than its shortest encoding.
const SMALL: usize = 64 << 10;
const MIDDLE: usize = 2 << 20;
const LARGE: usize = 32 * INPUT_MAX;

/// Bytes that are no record of the type that was asked for.
#[derive(Debug, thiserror::Error)]
pub enum DecodeError {
    /// There is not even a version.
    #[error("record is empty")]
    Empty,
    /// Written by another generation of this program.
    #[error("record has version {0}, this program reads version {VERSION}")]
    Version(u8),
    /// More than is decoded at once.
    #[error("record of {len} bytes exceeds {INPUT_MAX}")]
    TooLong {
        /// Its length in bytes.
        len: usize,
    },
    /// The record ends before the input does.
    #[error("record is followed by {0} bytes that do not belong to it")]
    Trailing(usize),
    /// The bytes do not form such a record.
    #[error("record is malformed: {0}")]
    Malformed(bincode::error::DecodeError),
}

impl From<bincode::error::DecodeError> for DecodeError {
    fn from(error: bincode::error::DecodeError) -> Self {
        Self::Malformed(error)
    }
}

/// Encodes `value`.
#[must_use]
pub fn encode<T: Encode + ?Sized>(value: &T) -> Vec<u8> {
    let mut out = Vec::new();
    encode_into(value, &mut out);
    out
}

/// Appends the encoding of `value` to `out`.
pub fn encode_into<T: Encode + ?Sized>(value: &T, out: &mut Vec<u8>) {
    out.push(VERSION);
    bincode::encode_into_writer(value, Appender(out), config::standard())
        .expect("a vector takes all bytes, and no record refuses to be encoded");
}

/// Decodes a value that owns its parts.
///
/// # Errors
/// [`DecodeError`]: whoever wrote the bytes is at fault.
pub fn decode<T: Decode<()>>(bytes: &[u8]) -> Result<T, DecodeError> {
    let (record, len) = (record(bytes)?, bytes.len());
    let (value, used) = if len * 32 <= SMALL {
        bincode::decode_from_slice(record, limited::<SMALL>())?
    } else if len * 32 <= MIDDLE {
        bincode::decode_from_slice(record, limited::<MIDDLE>())?
    } else {
        bincode::decode_from_slice(record, limited::<LARGE>())?
    };
    complete(value, record.len() - used)
}

/// Decodes a value that borrows from `bytes`.
///
/// # Errors
/// As [`decode`].
pub fn decode_borrowed<'a, T: BorrowDecode<'a, ()>>(bytes: &'a [u8]) -> Result<T, DecodeError> {
    let (record, len) = (record(bytes)?, bytes.len());
    let (value, used) = if len * 32 <= SMALL {
        bincode::borrow_decode_from_slice(record, limited::<SMALL>())?
    } else if len * 32 <= MIDDLE {
        bincode::borrow_decode_from_slice(record, limited::<MIDDLE>())?
    } else {
        bincode::borrow_decode_from_slice(record, limited::<LARGE>())?
    };
    complete(value, record.len() - used)
}

/// Decodes a value that stands at the start of `bytes`, and returns what follows it.
///
/// The value may take at most 2 MiB; `bytes` may be of any length.
///
/// # Errors
/// As [`decode`], but for [`DecodeError::Trailing`] and [`DecodeError::TooLong`].
pub fn decode_prefix<'a, T: BorrowDecode<'a, ()>>(bytes: &'a [u8]) -> Result<(T, &'a [u8]), DecodeError> {
    let record = versioned(bytes)?;
    let (value, used) = bincode::borrow_decode_from_slice(record, limited::<MIDDLE>())?;
    Ok((value, &record[used..]))
}

fn limited<const N: usize>() -> Configuration<LittleEndian, Varint, Limit<N>> {
    config::standard().with_limit::<N>()
}

fn versioned(bytes: &[u8]) -> Result<&[u8], DecodeError> {
    match bytes.split_first() {
        None => Err(DecodeError::Empty),
        Some((&VERSION, record)) => Ok(record),
        Some((&other, _)) => Err(DecodeError::Version(other)),
    }
}

fn record(bytes: &[u8]) -> Result<&[u8], DecodeError> {
    let record = versioned(bytes)?;
    if bytes.len() > INPUT_MAX {
        return Err(DecodeError::TooLong { len: bytes.len() });
    }
    Ok(record)
}

fn complete<T>(value: T, rest: usize) -> Result<T, DecodeError> {
    match rest {
        0 => Ok(value),
        rest => Err(DecodeError::Trailing(rest)),
    }
}

struct Appender<'a>(&'a mut Vec<u8>);

impl Writer for Appender<'_> {
    #[inline]
    fn write(&mut self, bytes: &[u8]) -> Result<(), EncodeError> {
        self.0.extend_from_slice(bytes);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[derive(Debug, PartialEq, Encode, Decode)]
    struct Record {
        name: String,
        numbers: Vec<u64>,
        inner: Option<Vec<Option<u32>>>,
    }

    proptest! {
        #[test]
        fn round_trip(name in ".*", numbers: Vec<u64>, inner: Option<Vec<Option<u32>>>) {
            let record = Record { name, numbers, inner };
            prop_assert_eq!(decode::<Record>(&encode(&record)).unwrap(), record);
        }

        #[test]
        fn garbage_is_an_error_or_a_value(mut bytes: Vec<u8>) {
            bytes.insert(0, VERSION);
            let _ = decode::<Record>(&bytes);
            let _ = decode_borrowed::<(&str, Vec<&[u8]>)>(&bytes);
        }
    }

    #[test]
    fn a_borrowed_value_points_into_its_input() {
        let bytes = encode(&("subject", b"body".as_slice()));
        let (subject, body): (&str, &[u8]) = decode_borrowed(&bytes).unwrap();
        assert_eq!((subject, body), ("subject", b"body".as_slice()));
        assert!(bytes.as_ptr_range().contains(&subject.as_ptr()));
    }

    #[test]
    fn a_prefix_leaves_the_rest() {
        let mut bytes = encode(&7u32);
        bytes.extend_from_slice(b"rest");
        assert_eq!(decode_prefix::<u32>(&bytes).unwrap(), (7, b"rest".as_slice()));
        assert!(matches!(decode::<u32>(&bytes), Err(DecodeError::Trailing(4))));
    }

    #[test]
    fn a_length_that_the_input_cannot_hold_is_refused_before_it_is_allocated() {
        let mut bytes = encode(&(1u64 << 40));
        bytes.resize(100, 0);
        assert!(matches!(
            decode::<Vec<u64>>(&bytes),
            Err(DecodeError::Malformed(bincode::error::DecodeError::LimitExceeded))
        ));
    }

    #[test]
    fn another_version_is_named() {
        let mut bytes = encode(&7u32);
        bytes[0] = 9;
        assert_eq!(
            decode::<u32>(&bytes).unwrap_err().to_string(),
            "record has version 9, this program reads version 1"
        );
        assert!(matches!(decode::<u32>(&[]), Err(DecodeError::Empty)));
    }
}
