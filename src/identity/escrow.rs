//! The root's key in a file of its own, away from any node: sealed under a passphrase, or plain.
//!
//! `latroot1:` and base64url (no padding) of `salt ‖ nonce ‖ sealed`: PBKDF2-HMAC-SHA-256 of the passphrase makes the key,
//! ChaCha20-Poly1305 seals the seed. Plain it is the seed as an nkey, `SO…`.

use super::key::Key;
use super::nkey::{Kind, NkeyError};
use data_encoding::BASE64URL_NOPAD;
use lattice_broker::env::Rng;
use rand_core::Rng as _;
use ring::aead::{Aad, CHACHA20_POLY1305, LessSafeKey, Nonce, UnboundKey};
use ring::pbkdf2;
use std::num::NonZeroU32;

const SCHEME: &str = "latroot1:";
const SALT: usize = 16;
const NONCE: usize = 12;
/// What OWASP recommends for this function: some tenths of a second on a small device.
const ITERATIONS: NonZeroU32 = NonZeroU32::new(600_000).expect("not zero");
/// Characters in a passphrase, at least.
pub const PASSPHRASE_MIN: usize = 12;

/// A file that gives no root key.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EscrowError {
    /// It is sealed, and nothing was given to open it with.
    #[error("the key is sealed under a passphrase, and none was given")]
    NoPassphrase,
    /// Another passphrase, or a changed file.
    #[error("the passphrase is not the one that the key was sealed under, or the file was changed")]
    WrongPassphrase,
    /// Too easy to guess.
    #[error("a passphrase of {len} characters is too short: expected {PASSPHRASE_MIN} or more")]
    Short {
        /// How many it has.
        len: usize,
    },
    /// Cut off or changed.
    #[error("the file is damaged: {why}")]
    Damaged {
        /// How that was noticed.
        why: &'static str,
    },
    /// Something else altogether.
    #[error("it holds no root key: {0}")]
    Other(#[from] NkeyError),
}

/// Seals the root's `key` under `passphrase`.
///
/// # Errors
/// [`EscrowError::Short`].
pub fn seal(key: &Key, passphrase: &str, rng: &mut Rng) -> Result<String, EscrowError> {
    let len = passphrase.chars().count();
    if len < PASSPHRASE_MIN {
        return Err(EscrowError::Short { len });
    }
    let mut head = [0; SALT + NONCE];
    rng.fill_bytes(&mut head);
    let (salt, nonce) = split(&head);
    let mut sealed = key.secret().to_vec();
    cipher(passphrase, salt)
        .seal_in_place_append_tag(nonce, Aad::from(SCHEME), &mut sealed)
        .expect("32 bytes can always be sealed");
    Ok(format!("{SCHEME}{}", BASE64URL_NOPAD.encode(&[&head[..], &sealed].concat())))
}

/// Reads a root's key, sealed or plain.
///
/// # Errors
/// [`EscrowError`] says what is wrong.
pub fn open(text: &str, passphrase: Option<&str>) -> Result<Key, EscrowError> {
    let text = text.trim();
    let Some(payload) = text.strip_prefix(SCHEME) else {
        return Ok(Key::parse(Kind::Root, text)?);
    };
    let damaged = |why| EscrowError::Damaged { why };
    let raw = BASE64URL_NOPAD.decode(payload.as_bytes()).map_err(|_| damaged("characters were lost or changed"))?;
    let (head, sealed) = raw.split_first_chunk::<{ SALT + NONCE }>().ok_or(damaged("it is far too short"))?;
    let (salt, nonce) = split(head);
    let passphrase = passphrase.ok_or(EscrowError::NoPassphrase)?;
    let mut sealed = sealed.to_vec();
    let opened = cipher(passphrase, salt).open_in_place(nonce, Aad::from(SCHEME), &mut sealed);
    let seed = opened.map_err(|_| EscrowError::WrongPassphrase)?;
    let seed = <[u8; 32]>::try_from(&*seed).map_err(|_| damaged("what it seals is no key"))?;
    Ok(Key::from_seed(Kind::Root, seed))
}

fn split(head: &[u8; SALT + NONCE]) -> (&[u8], Nonce) {
    let (salt, nonce) = head.split_at(SALT);
    (salt, Nonce::assume_unique_for_key(nonce.try_into().expect("the rest of the head")))
}

fn cipher(passphrase: &str, salt: &[u8]) -> LessSafeKey {
    let mut key = [0; 32];
    pbkdf2::derive(pbkdf2::PBKDF2_HMAC_SHA256, ITERATIONS, salt, passphrase.as_bytes(), &mut key);
    LessSafeKey::new(UnboundKey::new(&CHACHA20_POLY1305, &key).expect("the key has 32 bytes"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand_core::SeedableRng;

    const PASSPHRASE: &str = "correct horse battery";

    #[test]
    fn a_sealed_key_comes_back_by_its_passphrase_alone() {
        let key = Key::from_seed(Kind::Root, [7; 32]);
        let text = seal(&key, PASSPHRASE, &mut Rng::seed_from_u64(1)).unwrap();
        assert_eq!(open(&format!("{text}\n"), Some(PASSPHRASE)).unwrap().public(), key.public());
        assert_eq!(open(&text, None).unwrap_err(), EscrowError::NoPassphrase);
        assert_eq!(open(&text, Some("incorrect horse")).unwrap_err(), EscrowError::WrongPassphrase);
        assert!(open(&text[..text.len() - 4], Some(PASSPHRASE)).is_err());
        assert!(matches!(open(&text[..20], Some(PASSPHRASE)), Err(EscrowError::Damaged { .. })));
        assert_eq!(seal(&key, "short", &mut Rng::seed_from_u64(1)).unwrap_err(), EscrowError::Short { len: 5 });
    }

    #[test]
    fn a_plain_key_is_a_seed() {
        let key = Key::from_seed(Kind::Root, [7; 32]);
        assert_eq!(open(&key.to_text(), None).unwrap().public(), key.public());
        let other = Key::from_seed(Kind::Node, [7; 32]).to_text();
        assert!(matches!(open(&other, None), Err(EscrowError::Other(NkeyError::OtherKind { .. }))));
        assert!(matches!(open("hello", None), Err(EscrowError::Other(_))));
    }
}
