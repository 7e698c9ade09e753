//! The text form of keys, as NATS writes them: kind, key and CRC-16 in base32. What the keys sign is left to others.
//!
//! A public key is `kind ‖ key ‖ crc`, a seed is `S` and its kind in two bytes `‖ seed ‖ crc`; the checksum is
//! CRC-16/XMODEM, low byte first. A key file that was damaged is noticed by it.

use data_encoding::BASE32_NOPAD;

/// What a key is for; the first letter of its text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A node, `N…`.
    Node,
    /// An issuer, `A…`: it admits nodes.
    Issuer,
    /// A lattice's root, `O…`.
    Root,
    /// A voucher, `X…`: the key in an invite.
    Voucher,
}

impl Kind {
    const fn prefix(self) -> u8 {
        match self {
            Self::Node => 13 << 3,
            Self::Issuer => 0,
            Self::Root => 14 << 3,
            Self::Voucher => 23 << 3,
        }
    }
}

const SEED: u8 = 18 << 3;

/// Text that is no key of the wanted kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NkeyError {
    /// Characters other than base32's, or too many or few of them.
    #[error("{len} characters that are no key")]
    NotAKey {
        /// How many.
        len: usize,
    },
    /// The checksum does not match.
    #[error("the key's checksum does not match: characters were changed or lost")]
    Damaged,
    /// A sound key of another kind.
    #[error("a key of another kind (expected {expected:?})")]
    OtherKind {
        /// What was expected.
        expected: Kind,
    },
}

/// Writes a public key.
#[must_use]
pub fn public(kind: Kind, key: &[u8; 32]) -> String {
    let mut raw = Vec::with_capacity(35);
    raw.push(kind.prefix());
    raw.extend_from_slice(key);
    checked(raw)
}

/// Reads a public key.
///
/// # Errors
/// [`NkeyError`]: ask for the text again.
pub fn parse_public(kind: Kind, text: &str) -> Result<[u8; 32], NkeyError> {
    let raw = unchecked(text, 33)?;
    if raw[0] != kind.prefix() {
        return Err(NkeyError::OtherKind { expected: kind });
    }
    Ok(raw[1..].try_into().expect("33 bytes were asked for"))
}

/// Writes a seed: a secret.
#[must_use]
pub fn seed(kind: Kind, seed: &[u8; 32]) -> String {
    let mut raw = Vec::with_capacity(36);
    raw.push(SEED | (kind.prefix() >> 5));
    raw.push((kind.prefix() & 31) << 3);
    raw.extend_from_slice(seed);
    checked(raw)
}

/// Reads a seed.
///
/// # Errors
/// [`NkeyError`]: the text is damaged or something else.
pub fn parse_seed(kind: Kind, text: &str) -> Result<[u8; 32], NkeyError> {
    let raw = unchecked(text, 34)?;
    if raw[0] != SEED | (kind.prefix() >> 5) || raw[1] != (kind.prefix() & 31) << 3 {
        return Err(NkeyError::OtherKind { expected: kind });
    }
    Ok(raw[2..].try_into().expect("34 bytes were asked for"))
}

fn checked(mut raw: Vec<u8>) -> String {
    raw.extend_from_slice(&crc16(&raw).to_le_bytes());
    BASE32_NOPAD.encode(&raw)
}

fn unchecked(text: &str, len: usize) -> Result<Vec<u8>, NkeyError> {
    let mut raw = BASE32_NOPAD.decode(text.as_bytes()).map_err(|_| NkeyError::NotAKey { len: text.len() })?;
    if raw.len() != len + 2 {
        return Err(NkeyError::NotAKey { len: text.len() });
    }
    let crc = raw.split_off(len);
    if crc16(&raw).to_le_bytes() != crc[..] {
        return Err(NkeyError::Damaged);
    }
    Ok(raw)
}

fn crc16(data: &[u8]) -> u16 {
    data.iter().fold(0, |crc, &byte| {
        (0..8).fold(
            crc ^ (u16::from(byte) << 8),
            |crc, _| {
                if crc & 0x8000 == 0 { crc << 1 } else { (crc << 1) ^ 0x1021 }
            },
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_checksum_is_xmodem() {
        assert_eq!(crc16(b"123456789"), 0x31c3);
    }

    #[test]
    fn seeds_and_keys_come_back() {
        for kind in [Kind::Node, Kind::Issuer, Kind::Root, Kind::Voucher] {
            assert_eq!(parse_seed(kind, &seed(kind, &[9; 32])), Ok([9; 32]));
            assert_eq!(parse_public(kind, &public(kind, &[9; 32])), Ok([9; 32]));
        }
        assert!(seed(Kind::Node, &[1; 32]).starts_with("SN"));
        assert!(seed(Kind::Issuer, &[1; 32]).starts_with("SA"));
        assert!(seed(Kind::Root, &[1; 32]).starts_with("SO"));
    }

    #[test]
    fn damage_is_named() {
        let good = seed(Kind::Node, &[9; 32]);
        let bad = format!("{}{}{}", &good[..20], if &good[20..21] == "A" { "B" } else { "A" }, &good[21..]);
        assert_eq!(parse_seed(Kind::Node, &bad), Err(NkeyError::Damaged));
        assert_eq!(parse_seed(Kind::Node, &good[..40]), Err(NkeyError::NotAKey { len: 40 }));
        assert_eq!(parse_seed(Kind::Root, &good), Err(NkeyError::OtherKind { expected: Kind::Root }));
    }
}
