//! `Warrant`: a certificate of the lattice in few bytes, as invites, joins and links carry it.

use super::grant::Grant;
use super::key::PublicKey;
use bincode::{Decode, Encode};

/// A certificate without what can be made again: the rest is fixed, or follows from the place in a [`Chain`](super::Chain).
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Warrant {
    /// Whose it is: a public key.
    pub subject: [u8; 32],
    /// What it says of the subject.
    pub claims: Claims,
    /// The signature of the one above, over the whole certificate.
    pub signature: [u8; 64],
}

/// What a certificate says of its subject.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub enum Claims {
    /// It admits others.
    Issuer(IssuerClaims),
    /// It is a member.
    Node(NodeClaims),
    /// Its holder may become a member.
    Voucher(VoucherClaims),
}

/// An issuer: the key by which a node admits others.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct IssuerClaims {
    /// The node whose it is: who revokes the node revokes it as well.
    pub node: [u8; 32],
    /// How far below the root: 1 for an issuer that the root has signed.
    pub depth: u8,
    /// What it may pass on, at most.
    pub grant: Grant,
}

/// A member.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct NodeClaims {
    /// What it called itself when it was admitted.
    pub name: String,
    /// What it may do.
    pub grant: Grant,
    /// The voucher by which it came; none for the node that made the lattice.
    pub voucher: Option<VoucherUse>,
    /// When, in seconds since 1970, as far as the admitting member knew; 0 when it had no idea.
    pub at: u64,
}

/// By which voucher a member came.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct VoucherUse {
    /// The voucher's key.
    pub key: [u8; 32],
    /// How many devices it lets in.
    pub uses: u32,
}

/// A voucher: the key in an invite.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct VoucherClaims {
    /// What those whom it lets in may do.
    pub grant: Grant,
    /// How many devices it lets in.
    pub uses: u32,
    /// When it was issued, in seconds since 1970, as far as the issuer knew.
    pub issued: u64,
    /// Until when it is good, in seconds since 1970; 0 when the issuer had no clock to say.
    pub expires: u64,
}

impl Warrant {
    /// Whose it is.
    #[must_use]
    pub const fn subject(&self) -> PublicKey {
        PublicKey(self.subject)
    }
}

impl Claims {
    /// What is granted.
    #[must_use]
    pub const fn grant(&self) -> &Grant {
        match self {
            Self::Issuer(IssuerClaims { grant, .. })
            | Self::Node(NodeClaims { grant, .. })
            | Self::Voucher(VoucherClaims { grant, .. }) => grant,
        }
    }
}
