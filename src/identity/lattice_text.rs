//! Records of one lattice as a line of text, for files that people carry to where no link leads.

use super::LatticeId;
use super::key::PublicKey;
use crate::codec;
use bincode::{Decode, Encode};
use data_encoding::BASE64URL_NOPAD;

/// What such a line holds, for errors.
#[derive(Clone, Copy, Debug)]
pub(super) struct Kind {
    /// What it begins with.
    pub(super) scheme: &'static str,
    /// What is expected: `revocations`.
    pub(super) what: &'static str,
    /// The same before `of lattice …`: `they are`.
    pub(super) they_are: &'static str,
}

impl Kind {
    /// Writes `record` of the lattice that `root` has made.
    pub(super) fn encode<T: Encode>(self, root: PublicKey, record: T) -> String {
        format!("{}{}", self.scheme, BASE64URL_NOPAD.encode(&codec::encode(&(root.0, record))))
    }

    /// Reads what [`Kind::encode`] wrote for the lattice of `root`; else says what is wrong with it.
    pub(super) fn decode<T: Decode<()>>(self, root: PublicKey, text: &str) -> Result<T, String> {
        let Self { scheme, what, they_are } = self;
        let text = text.trim();
        let payload = text.strip_prefix(scheme).ok_or_else(|| {
            let start: String = text.chars().take(scheme.len()).collect();
            format!("it starts with {start:?}, {what} with {scheme:?}")
        })?;
        let bytes = BASE64URL_NOPAD.decode(payload.as_bytes());
        let bytes = bytes.map_err(|_| "characters were lost or changed".to_owned())?;
        let (of, record): ([u8; 32], T) = codec::decode(&bytes).map_err(|error| error.to_string())?;
        if of != root.0 {
            let (theirs, ours) = (LatticeId::of(PublicKey(of)), LatticeId::of(root));
            return Err(format!("{they_are} of lattice {theirs}, this is {ours}"));
        }
        Ok(record)
    }
}
