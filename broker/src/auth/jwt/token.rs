//! One token: `header.claims.signature`, each in base64 for URLs, signed with the key of its issuer.
//!
//! Tokens of version 1 of the format are read as well: their header names another algorithm, which is the same over the
//! claims alone, and their type stands beside `nats`. What the claims mean is in `claims.rs`; whether the issuer may have issued it is left to who asks.

use data_encoding::{BASE32_NOPAD, BASE64URL_NOPAD};
use nkeys::KeyPair;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

/// Bytes of a token; a longer one is refused unread.
pub const TOKEN_BYTES_MAX: usize = 1 << 20;

/// Why a token is of no use. No variant holds the token itself, which may be a credential.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum JwtError {
    /// It has too many bytes.
    #[error("a JWT of {len} bytes exceeds {max}")]
    TooLong {
        /// Its length.
        len: usize,
        /// The longest.
        max: usize,
    },
    /// It has not the form of a token.
    #[error("it is no JWT: three parts of base64 for URLs are accepted, joined by dots")]
    Form,
    /// It says that it is something else.
    #[error(
        "its header says type {kind:?} and algorithm {algorithm:?}; JWT and ed25519-nkey are accepted, or ed25519 of version 1"
    )]
    Header {
        /// The type.
        kind: String,
        /// The algorithm.
        algorithm: String,
    },
    /// Its claims are not what they should be.
    #[error("its claims cannot be read: {0}")]
    Claims(String),
    /// It is of another kind, or another version.
    #[error("it is of type {kind:?} and version {version}; {wanted:?} and versions 1 and 2 are accepted")]
    Kind {
        /// Its type.
        kind: String,
        /// Its version.
        version: i64,
        /// The type that it should be of.
        wanted: &'static str,
    },
    /// Its issuer is not one that issues such tokens.
    #[error("its issuer {issuer:?} is no public key of {accepted}")]
    Issuer {
        /// The issuer.
        issuer: String,
        /// Who may issue it.
        accepted: &'static str,
    },
    /// Its subject is not what it should be.
    #[error("its subject {subject:?} is no public key of {accepted}")]
    Subject {
        /// The subject.
        subject: String,
        /// What it should be.
        accepted: &'static str,
    },
    /// The signature is not its issuer's.
    #[error("its signature is not that of its issuer {issuer:?}")]
    Signature {
        /// The issuer.
        issuer: String,
    },
    /// It is good, but nobody here vouches for its issuer.
    #[error("its issuer {issuer:?} is no key of the operator: {accepted}")]
    Untrusted {
        /// The issuer.
        issuer: String,
        /// The keys that are trusted.
        accepted: String,
    },
    /// It says what its limits do not allow, or what there is no equivalent of.
    #[error("{key} is {value}; accepted: {accepted}")]
    Value {
        /// The claim.
        key: &'static str,
        /// What it is.
        value: String,
        /// What it may be.
        accepted: String,
    },
}

/// What a kind of token holds.
pub(super) trait Claims: Default + DeserializeOwned {
    /// Its name in `nats.type`.
    const KIND: &'static str;
    /// First letters of the public keys that issue it, and that it is about.
    const ISSUERS: &'static [u8];
    const SUBJECT: u8;

    /// What a token of version 1 means in version 2; `kind` is what it says for `nats.type`.
    #[must_use]
    fn migrated(self, _kind: String) -> Self {
        self
    }
}

/// A token whose signature is that of its issuer.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub(super) struct Token<C> {
    #[serde(rename = "iss", default)]
    pub(super) issuer: String,
    #[serde(rename = "sub", default)]
    pub(super) subject: String,
    #[serde(rename = "aud", default)]
    pub(super) audience: String,
    #[serde(default)]
    pub(super) name: String,
    /// Seconds since 1970; 0 is none.
    #[serde(rename = "iat", default)]
    pub(super) issued: i64,
    #[serde(rename = "exp", default)]
    pub(super) expires: i64,
    #[serde(rename = "nbf", default)]
    pub(super) not_before: i64,
    #[serde(default)]
    pub(super) nats: C,
}

#[derive(Deserialize)]
struct Header {
    #[serde(default)]
    typ: String,
    #[serde(default)]
    alg: String,
}

#[derive(Deserialize)]
struct Outline {
    /// Of version 1.
    #[serde(rename = "type", default)]
    kind: String,
    #[serde(default)]
    nats: Generic,
}

#[derive(Default, Deserialize)]
struct Generic {
    #[serde(rename = "type", default)]
    kind: String,
    #[serde(default)]
    version: i64,
}

/// A token to be written. Its fields are in the order in which they are said.
#[derive(Debug, Serialize)]
pub(in crate::auth) struct Unsigned<'a, C> {
    #[serde(rename = "aud")]
    pub(in crate::auth) audience: &'a str,
    /// Seconds since 1970.
    #[serde(rename = "exp")]
    pub(in crate::auth) expires: i64,
    #[serde(rename = "iat")]
    pub(in crate::auth) issued: i64,
    #[serde(rename = "sub")]
    pub(in crate::auth) subject: &'a str,
    /// With its `type` and `version`.
    pub(in crate::auth) nats: C,
}

/// The same with what is made of it.
#[derive(Serialize)]
struct Issued<'a, C> {
    #[serde(rename = "iss")]
    issuer: &'a str,
    #[serde(rename = "jti")]
    id: &'a str,
    #[serde(flatten)]
    token: &'a Unsigned<'a, C>,
}

/// Writes a token of `claims`, signed by `key`; `None` when that has no secret to sign with.
pub(in crate::auth) fn encode<C: Serialize>(key: &KeyPair, token: &Unsigned<'_, C>) -> Option<String> {
    let issuer = key.public_key();
    let issued = |id: &str| serde_json::to_vec(&Issued { issuer: &issuer, id, token }).ok();
    // Its name is the digest of what it says.
    let digest = ring::digest::digest(&ring::digest::SHA512_256, &issued("")?);
    let claims = issued(&BASE32_NOPAD.encode(digest.as_ref()))?;
    let header = BASE64URL_NOPAD.encode(br#"{"typ":"JWT","alg":"ed25519-nkey"}"#);
    let signed = format!("{header}.{}", BASE64URL_NOPAD.encode(&claims));
    let signature = key.sign(signed.as_bytes()).ok()?;
    Some(format!("{signed}.{}", BASE64URL_NOPAD.encode(&signature)))
}

/// Reads a token and verifies its signature.
pub(super) fn decode<C: Claims>(text: &str) -> Result<Token<C>, JwtError> {
    if text.len() > TOKEN_BYTES_MAX {
        return Err(JwtError::TooLong { len: text.len(), max: TOKEN_BYTES_MAX });
    }
    let (signed, signature) = text.rsplit_once('.').ok_or(JwtError::Form)?;
    let (header, claims_text) =
        signed.split_once('.').filter(|(_, claims)| !claims.contains('.')).ok_or(JwtError::Form)?;
    let bytes = |part: &str| BASE64URL_NOPAD.decode(part.as_bytes()).map_err(|_| JwtError::Form);
    let (header, claims, signature) = (bytes(header)?, bytes(claims_text)?, bytes(signature)?);
    let format = format(&header)?;
    let Outline { kind: outer, nats: Generic { kind: inner, version } } = json(&claims)?;
    let (kind, version, signed) = match format {
        // What says that it is of version 2 in there is not what it was signed as.
        Format::One => (&outer, if version == 0 { 1 } else { version }, claims_text),
        Format::Two => (&inner, version, signed),
    };
    if kind != C::KIND || version != format as i64 {
        return Err(JwtError::Kind { kind: kind.clone(), version, wanted: C::KIND });
    }
    let mut token: Token<C> = json(&claims)?;
    if matches!(format, Format::One) {
        token.nats = token.nats.migrated(inner);
    }
    let key = public_key(&token.issuer, C::ISSUERS)
        .ok_or_else(|| JwtError::Issuer { issuer: token.issuer.clone(), accepted: keys(C::ISSUERS) })?;
    if public_key(&token.subject, &[C::SUBJECT]).is_none() {
        return Err(JwtError::Subject { subject: token.subject, accepted: keys(&[C::SUBJECT]) });
    }
    if key.verify(signed.as_bytes(), &signature).is_err() {
        return Err(JwtError::Signature { issuer: token.issuer });
    }
    Ok(token)
}

/// A version of the format.
#[derive(Clone, Copy)]
enum Format {
    One = 1,
    Two = 2,
}

fn format(header: &[u8]) -> Result<Format, JwtError> {
    let header: Header = json(header)?;
    match header.alg.to_ascii_lowercase().as_str() {
        "ed25519-nkey" if header.typ.eq_ignore_ascii_case("JWT") => Ok(Format::Two),
        "ed25519" if header.typ.eq_ignore_ascii_case("JWT") => Ok(Format::One),
        _ => Err(JwtError::Header { kind: header.typ, algorithm: header.alg }),
    }
}

fn json<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, JwtError> {
    serde_json::from_slice(bytes).map_err(|error| JwtError::Claims(error.to_string()))
}

/// The key that `text` is, when it begins with one of `letters`.
pub(super) fn public_key(text: &str, letters: &[u8]) -> Option<KeyPair> {
    let is_wanted = text.as_bytes().first().is_some_and(|letter| letters.contains(letter));
    is_wanted.then(|| KeyPair::from_public_key(text).ok())?
}

/// Those whose public keys begin with one of `letters`, in words.
fn keys(letters: &[u8]) -> &'static str {
    match letters {
        [b'O'] => "an operator",
        [b'A'] => "an account",
        [b'U'] => "a user",
        _ => "an account or an operator",
    }
}
