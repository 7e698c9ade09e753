//! `Invite`: the line of text that a new device needs. What the inviter remembers of it is left to `voucher.rs`.
//!
//! `lat1:` and base64url (no padding) of `version ‖ body ‖ checksum`, the body encoded by `codec`, the checksum the
//! first 4 bytes of SHA-256 over version and body. The checksum's place stays the same in all versions, so that a
//! damaged invite and a newer one are told apart.

use super::address::Address;
use super::advice::{self, Advice};
use super::key::Key;
use super::nkey::Kind;
use super::{LatticeId, unix};
use crate::codec;
use bincode::{Decode, Encode};
use data_encoding::BASE64URL_NOPAD;
use std::fmt;
use std::net::SocketAddr;
use std::str::FromStr;
use std::time::SystemTime;

const SCHEME: &str = "lat1:";
const VERSION: u8 = 1;
const CHECKSUM: usize = 4;
const TEXT_MAX: usize = 2_048;

/// Addresses in an invite, at most: it has to fit a line.
pub const ADDRESSES_MAX: usize = 16;

/// Which lattice to join, where, and the short-lived key that opens the door. Its text is a secret until used.
#[derive(Clone, Debug)]
pub struct Invite {
    /// The lattice: whoever answers must show this root.
    pub lattice: LatticeId,
    /// The key that the inviter knows.
    pub voucher: Key,
    /// When it expires, in seconds since 1970, by the inviter's clock.
    pub expires: u64,
    /// Where to try.
    pub addresses: Vec<SocketAddr>,
}

#[derive(Encode, Decode)]
struct Body {
    lattice: [u8; 32],
    voucher: [u8; 32],
    expires: u64,
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
    /// Made by a newer program.
    #[error("the invite is of version {got}, this program reads up to {VERSION}")]
    Newer {
        /// Its version.
        got: u32,
    },
    /// No longer valid.
    #[error("the invite expired {} ago, by this device's clock", advice::duration(*.ago_secs))]
    Expired {
        /// For how long.
        ago_secs: u64,
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
            Self::Newer { .. } => {
                Advice::new("E0103", "the member runs a newer lattice", "install the same version here")
            }
            Self::Expired { .. } => Advice::new(
                "E0104",
                "invites are short-lived on purpose",
                "lattice invite   on a member, for a new one",
            ),
        }
    }
}

impl Invite {
    /// Whether it has expired by a clock that says `now`.
    ///
    /// A hint for messages only: the member's clock decides, since a new device may have none.
    ///
    /// # Errors
    /// [`InviteError::Expired`].
    pub fn check_expiry(&self, now: SystemTime) -> Result<(), InviteError> {
        match unix(now).checked_sub(self.expires) {
            Some(ago_secs) if ago_secs > 0 => Err(InviteError::Expired { ago_secs }),
            Some(_) | None => Ok(()),
        }
    }
}

impl fmt::Display for Invite {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let addresses = self.addresses.iter().take(ADDRESSES_MAX).copied().map(Address::from).collect();
        let voucher = self.voucher.secret();
        let body = Body { lattice: self.lattice.0, voucher, expires: self.expires, addresses };
        let mut raw = vec![VERSION];
        raw.extend(codec::encode(&body));
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
        if version != VERSION {
            return Err(InviteError::Newer { got: version.into() });
        }
        let body: Body = codec::decode(body).map_err(|_| damaged("its content is not readable"))?;
        if body.addresses.is_empty() || body.addresses.len() > ADDRESSES_MAX {
            return Err(damaged("it names no address to try, or too many"));
        }
        Ok(Self {
            lattice: LatticeId(body.lattice),
            voucher: Key::from_seed(Kind::Node, body.voucher),
            expires: body.expires,
            addresses: body.addresses.into_iter().map(SocketAddr::from).collect(),
        })
    }
}

fn foreign(text: &str) -> InviteError {
    let later = text.strip_prefix("lat").and_then(|rest| rest.split_once(':')).and_then(|(n, _)| n.parse().ok());
    match later {
        Some(got) if got > u32::from(VERSION) => InviteError::Newer { got },
        Some(_) | None => InviteError::NotAnInvite { start: text.chars().take(5).collect() },
    }
}

fn checksum(data: &[u8]) -> [u8; CHECKSUM] {
    let digest = ring::digest::digest(&ring::digest::SHA256, data);
    *digest.as_ref().first_chunk().expect("SHA-256 has 32 bytes")
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::time::{Duration, UNIX_EPOCH};

    fn invite() -> Invite {
        let addresses = vec!["192.168.1.20:7443".parse().unwrap(), "[fe80::1]:7443".parse().unwrap()];
        let voucher = Key::from_seed(Kind::Node, [3; 32]);
        Invite { lattice: LatticeId([9; 32]), voucher, expires: 1_800_000_000, addresses }
    }

    #[test]
    fn text_and_back() {
        let text = invite().to_string();
        assert!(text.starts_with("lat1:") && text.len() < 160, "{} characters", text.len());
        let back: Invite = format!("  {text}\n").parse().unwrap();
        assert_eq!(back.to_string(), text);
        assert_eq!(back.addresses, invite().addresses);
    }

    #[test]
    fn what_is_wrong_is_said() {
        let parse = |text: &str| text.parse::<Invite>().unwrap_err();
        assert!(matches!(parse("nats://x"), InviteError::NotAnInvite { .. }));
        assert!(matches!(parse(""), InviteError::NotAnInvite { .. }));
        assert!(matches!(parse("lat1:"), InviteError::Damaged { .. }));
        assert_eq!(parse("lat2:xyz"), InviteError::Newer { got: 2 });
        let mut raw = vec![9, 1, 2, 3];
        raw.extend(checksum(&raw));
        assert_eq!(parse(&format!("lat1:{}", BASE64URL_NOPAD.encode(&raw))), InviteError::Newer { got: 9 });
        for error in [parse("x"), parse("lat1:AAAA"), parse("lat7:")] {
            assert!(error.advice().explain(&error).contains("(E01"), "{error}");
        }
    }

    #[test]
    fn expiry_goes_by_the_clock_given() {
        let at = |secs| invite().check_expiry(UNIX_EPOCH + Duration::from_secs(secs));
        assert_eq!(at(1_800_000_000), Ok(()));
        assert_eq!(at(1_800_007_201), Err(InviteError::Expired { ago_secs: 7_201 }));
        assert!(at(1_800_007_201).unwrap_err().to_string().contains("expired 2 h ago"));
    }

    proptest! {
        #[test]
        fn any_change_of_a_character_is_noticed(at in 5usize..100, to in "[A-Za-z0-9_-]") {
            let text = invite().to_string();
            let changed = format!("{}{to}{}", &text[..at], &text[at + 1..]);
            prop_assume!(changed != text);
            prop_assert!(changed.parse::<Invite>().is_err());
        }

        #[test]
        fn no_text_panics(text in "(lat1:)?.{0,200}") {
            let _ = text.parse::<Invite>();
        }
    }
}
