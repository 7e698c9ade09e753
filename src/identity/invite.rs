//! `Invite`: what a new device needs to become a member, as one line of text. Making one is left to `issue.rs`.
//!
//! `lat1:` and base64url (no padding) of `version ‖ body ‖ checksum`, the body encoded by `codec`, the checksum the
//! first 4 bytes of SHA-256 over version and body. The checksum's place stays the same in all versions, so that a
//! damaged invite and one of another version are told apart.

use super::LatticeId;
use super::address::Address;
use super::advice::Advice;
use super::chain::Chain;
use super::key::{Key, PublicKey};
use super::line::Line;
use super::nkey::Kind;
use super::succession::Succession;
use super::warrant::{VoucherClaims, Warrant};

use crate::codec;
use bincode::{Decode, Encode};
use data_encoding::BASE64URL_NOPAD;
use rustls::pki_types::CertificateDer;
use std::fmt;
use std::net::SocketAddr;
use std::str::FromStr;

const SCHEME: &str = "lat1:";
const VERSION: u8 = 2;
/// The same with how the root key was replaced, if it was.
const VERSION_LINE: u8 = 3;
const CHECKSUM: usize = 4;

/// Characters in an invite, at most; one from close to the root has some 400.
pub const TEXT_MAX: usize = 28_672;

/// Addresses in an invite, at most: it has to fit a line.
pub const ADDRESSES_MAX: usize = 16;

/// Which lattice to join, where, and the voucher that opens the door. Its text is a secret until used.
#[derive(Clone, Debug)]
pub struct Invite {
    /// The voucher's key, which the joiner proves to have.
    pub(super) key: Key,
    /// What makes it a voucher, for any member to check.
    pub(super) chain: Chain,
    /// Where to try.
    pub addresses: Vec<SocketAddr>,
    /// The root keys: a joiner believes nobody by one that was replaced.
    pub(super) line: Line,
}

#[derive(Encode, Decode)]
struct Body {
    root: [u8; 32],
    key: [u8; 32],
    warrants: Vec<Warrant>,
    addresses: Vec<Address>,
}

/// Text that is no invite. Ask for it again; nothing has been contacted.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InviteError {
    /// Something else altogether.
    #[error("that is no invite: it starts with {start:?}, an invite with \"lat1:\"")]
    NotAnInvite {
        /// Its first characters.
        start: String,
    },
    /// Characters were lost or changed.
    #[error("the invite is damaged: {why}")]
    Damaged {
        /// How that was noticed.
        why: &'static str,
    },
    /// Made by another release.
    #[error("the invite is of version {got}, this program reads versions {VERSION} and {VERSION_LINE}")]
    Version {
        /// Its version.
        got: u32,
    },
    /// Whole, and not signed as it has to be.
    #[error("the invite is forged: {why}")]
    Forged {
        /// What is wrong with it.
        why: String,
    },
}

impl InviteError {
    /// Likely cause, next command and code.
    #[must_use]
    pub fn advice(&self) -> Advice {
        match self {
            Self::NotAnInvite { .. } => {
                Advice::new("E0101", "another text was pasted", "lattice invite   on a member, and paste its last line")
            }
            Self::Damaged { .. } => Advice::new(
                "E0102",
                "the line was cut off or wrapped while copying",
                "copy it again, whole; it has no spaces",
            ),
            Self::Version { .. } => {
                Advice::new("E0103", "the member runs another release", "install the same version here")
            }
            Self::Forged { .. } => Advice::new(
                "E0114",
                "somebody changed what it grants, or made it without being a member",
                "lattice invite   on a member that you trust",
            ),
        }
    }
}

impl Invite {
    /// The lattice: whoever answers must show this root.
    #[must_use]
    pub fn lattice(&self) -> LatticeId {
        LatticeId::of(self.chain.root())
    }

    /// What it grants.
    #[must_use]
    pub fn terms(&self) -> &VoucherClaims {
        self.chain.voucher().expect("an invite is about a voucher").1
    }

    /// The voucher's key.
    #[must_use]
    pub const fn key(&self) -> &Key {
        &self.key
    }

    /// The same as TLS shows it.
    #[must_use]
    pub(crate) fn certificates(&self) -> Vec<CertificateDer<'static>> {
        self.chain.to_der()
    }

    /// The same, which tells as well how the root key was replaced.
    #[must_use]
    pub fn with_line(mut self, line: &Line) -> Self {
        self.line = line.keys_alone();
        self
    }

    /// The root keys.
    #[must_use]
    pub const fn line(&self) -> &Line {
        &self.line
    }

    /// What makes it a voucher.
    #[must_use]
    pub const fn chain(&self) -> &Chain {
        &self.chain
    }
}

impl fmt::Display for Invite {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let addresses = self.addresses.iter().take(ADDRESSES_MAX).copied().map(Address::from).collect();
        let warrants = self.chain.warrants().to_vec();
        let body = Body { root: self.chain.root().0, key: self.key.secret(), warrants, addresses };
        let steps = self.line.steps();
        let mut raw = vec![if steps.is_empty() { VERSION } else { VERSION_LINE }];
        raw.extend(if steps.is_empty() { codec::encode(&body) } else { codec::encode(&(body, steps)) });
        raw.extend(checksum(&raw));
        write!(f, "{SCHEME}{}", BASE64URL_NOPAD.encode(&raw))
    }
}

impl FromStr for Invite {
    type Err = InviteError;

    fn from_str(text: &str) -> Result<Self, InviteError> {
        let text = text.trim();
        let Some(payload) = text.strip_prefix(SCHEME) else {
            return Err(foreign(text));
        };
        let damaged = |why| InviteError::Damaged { why };
        if payload.len() > TEXT_MAX {
            return Err(damaged("it is far too long"));
        }
        let raw = BASE64URL_NOPAD
            .decode(payload.as_bytes())
            .map_err(|_| damaged("it holds characters that no invite has, or lost its end"))?;
        let (checked, sum) = raw.split_last_chunk::<CHECKSUM>().ok_or(damaged("it is far too short"))?;
        if checksum(checked) != *sum {
            return Err(damaged("its checksum does not match"));
        }
        let (&version, body) = checked.split_first().ok_or(damaged("it is far too short"))?;
        let read = match version {
            VERSION => codec::decode(body).map(|body| (body, Vec::new())),
            VERSION_LINE => codec::decode(body),
            got => return Err(InviteError::Version { got: got.into() }),
        };
        let (body, steps): (Body, Vec<Succession>) = read.map_err(|_| damaged("its content is not readable"))?;
        if body.addresses.is_empty() || body.addresses.len() > ADDRESSES_MAX {
            return Err(damaged("it names no address to try, or too many"));
        }
        body.invite(steps)
    }
}

impl Body {
    fn invite(self, steps: Vec<Succession>) -> Result<Invite, InviteError> {
        let forged = |why: String| InviteError::Forged { why };
        let key = Key::from_seed(Kind::Voucher, self.key);
        let chain = Chain::verify(PublicKey(self.root), self.warrants).map_err(|error| forged(error.to_string()))?;
        match chain.voucher() {
            Some((public, _)) if public == key.public() => {}
            Some(_) | None => return Err(forged("what is signed in it is about another key".to_owned())),
        }
        let line = Line::of(chain.root(), steps, None).map_err(|error| forged(error.to_string()))?;
        if !line.keeps(&chain.warrants()[0]) {
            return Err(forged("a root key has signed it that was replaced".to_owned()));
        }
        Ok(Invite { key, chain, line, addresses: self.addresses.into_iter().map(SocketAddr::from).collect() })
    }
}

fn foreign(text: &str) -> InviteError {
    let other = text.strip_prefix("lat").and_then(|rest| rest.split_once(':')).and_then(|(n, _)| n.parse().ok());
    match other {
        Some(got) => InviteError::Version { got },
        None => InviteError::NotAnInvite { start: text.chars().take(5).collect() },
    }
}

fn checksum(data: &[u8]) -> [u8; CHECKSUM] {
    let digest = ring::digest::digest(&ring::digest::SHA256, data);
    *digest.as_ref().first_chunk().expect("SHA-256 has 32 bytes")
}

#[cfg(test)]
mod tests;
