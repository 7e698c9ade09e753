//! How an image is named that the lattice keeps: by what is in it, `lattice://sha256:HEX`.

use ring::digest::{SHA256, digest};
use std::fmt;
use std::str::FromStr;

/// How a reference to an image begins that hosts keep and hand to each other.
pub const SCHEME: &str = "lattice://";
const ALGORITHM: &str = "sha256:";
const BYTES: usize = 32;
/// Hexadecimal digits by which people tell images apart.
const SHORT: usize = 12;

/// The SHA-256 of an image: whoever has it can tell whether a file is that image.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Digest([u8; BYTES]);

/// A text that names no image.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is no image: expected lattice://sha256: and 64 hexadecimal digits, as lattice push prints them")]
pub struct BadReference {
    /// As it was given.
    pub text: String,
}

impl Digest {
    /// The digest of `image`.
    #[must_use]
    pub fn of(image: &[u8]) -> Self {
        Self::from_ring(&digest(&SHA256, image))
    }

    pub(super) fn from_ring(digest: &ring::digest::Digest) -> Self {
        let mut bytes = [0; BYTES];
        bytes.copy_from_slice(digest.as_ref());
        Self(bytes)
    }

    /// The digest in `image`, when that is a reference to an image of the lattice's; `None` when it is of another kind, such as
    /// `file:///path`.
    #[must_use]
    pub fn in_reference(image: &str) -> Option<Result<Self, BadReference>> {
        let text = image.strip_prefix(SCHEME)?;
        let bad = || BadReference { text: image.to_owned() };
        Some(text.strip_prefix(ALGORITHM).and_then(|hex| hex.parse().ok()).ok_or_else(bad))
    }

    /// The reference by which a component is started from it.
    #[must_use]
    pub fn to_reference(self) -> String {
        format!("{SCHEME}{self}")
    }

    /// 64 hexadecimal digits.
    #[must_use]
    pub fn to_hex(self) -> String {
        data_encoding::HEXLOWER.encode(&self.0)
    }

    /// The first 12 of them.
    #[must_use]
    pub fn to_short(self) -> String {
        let mut hex = self.to_hex();
        hex.truncate(SHORT);
        hex
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{ALGORITHM}{}", self.to_hex())
    }
}

/// With `sha256:` before the digits, or without.
impl FromStr for Digest {
    type Err = BadReference;

    fn from_str(text: &str) -> Result<Self, BadReference> {
        let hex = text.strip_prefix(ALGORITHM).unwrap_or(text);
        let bytes = data_encoding::HEXLOWER_PERMISSIVE.decode(hex.as_bytes()).ok();
        let bytes = bytes.and_then(|bytes| bytes.try_into().ok());
        bytes.map(Self).ok_or_else(|| BadReference { text: text.to_owned() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ABC: &str = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";

    #[test]
    fn a_reference_is_read_as_it_is_written() {
        let digest = Digest::of(b"abc");
        assert_eq!((digest.to_hex(), digest.to_short()), (ABC.to_owned(), ABC[..12].to_owned()));
        let reference = digest.to_reference();
        assert_eq!(reference, format!("lattice://sha256:{ABC}"));
        assert_eq!(Digest::in_reference(&reference), Some(Ok(digest)));
        for text in [ABC.to_owned(), digest.to_string(), ABC.to_uppercase()] {
            assert_eq!(text.parse(), Ok(digest), "{text}");
        }
    }

    #[test]
    fn what_is_none_is_named() {
        for text in ["file:///a.wasm", "a.wasm", "", "Lattice://sha256:"] {
            assert_eq!(Digest::in_reference(text), None, "{text}");
        }
        let long = format!("lattice://sha256:{ABC}00");
        let other = format!("lattice://sha512:{ABC}");
        for text in ["lattice://", "lattice://sha256:", "lattice://sha256:abc", "lattice://hello", &*long, &*other] {
            let error = Digest::in_reference(text).unwrap().unwrap_err().to_string();
            assert!(error.starts_with(&format!("{text:?} is no image: expected lattice://sha256:")), "{error}");
        }
        assert!(format!("{}é", &ABC[..62]).parse::<Digest>().is_err());
    }
}
