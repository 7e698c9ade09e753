//! What the first frames of a link must say before it carries anything else. No sockets, no clock.

use super::frame::{ControlFrame, FEATURES, Hello, PROTOCOL};
use crate::identity::{BadName, NodeId, check_name};

/// What this node says of itself on every link.
#[derive(Clone, Debug)]
pub struct Facts {
    /// Its key.
    pub id: NodeId,
    /// Its name.
    pub name: String,
    /// Its life.
    pub boot: u64,
    /// Its lattice.
    pub lattice: [u8; 32],
}

impl Facts {
    /// The first frame of a link.
    #[must_use]
    pub fn hello(&self, has_link: bool) -> ControlFrame {
        ControlFrame::Hello(Hello {
            protocol: PROTOCOL,
            node: self.id,
            name: self.name.clone(),
            boot: self.boot,
            lattice: self.lattice,
            features: FEATURES,
            has_link,
        })
    }

    /// Checks the peer's first frame against who it is, as the handshake has proven.
    ///
    /// # Errors
    /// [`GreetError`]: close the connection with its text.
    pub fn check(&self, peer: NodeId, frame: ControlFrame) -> Result<Hello, GreetError> {
        let kind = frame.kind();
        let ControlFrame::Hello(hello) = frame else { return Err(GreetError::NotHello(kind)) };
        if hello.protocol != PROTOCOL {
            return Err(GreetError::Protocol { theirs: hello.protocol });
        }
        if hello.node != peer {
            return Err(GreetError::OtherNode);
        }
        if hello.lattice != self.lattice {
            return Err(GreetError::OtherLattice);
        }
        check_name(&hello.name)?;
        Ok(hello)
    }

    /// True when this end decides whether a link to `peer` comes up.
    #[must_use]
    pub fn decides(&self, peer: NodeId) -> bool {
        self.id < peer
    }
}

/// A peer's greeting is not acceptable.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum GreetError {
    /// Something else came first.
    #[error("a link begins with Hello, not with {0:?}")]
    NotHello(super::frame::Kind),
    /// A version that this one cannot talk to.
    #[error("the peer speaks link protocol {theirs}, this node {PROTOCOL}: update the older of the two")]
    Protocol {
        /// The peer's version.
        theirs: u16,
    },
    /// It claims a key that is not the one in its certificate.
    #[error("the greeting names another node than the certificate")]
    OtherNode,
    /// It is a member of another lattice.
    #[error("the greeting names another lattice than the certificate")]
    OtherLattice,
    /// Its name cannot be shown.
    #[error(transparent)]
    Name(#[from] BadName),
}

#[cfg(test)]
mod tests {
    use super::*;

    fn facts(key: u8) -> Facts {
        Facts { id: NodeId([key; 32]), name: "kitchen-pi".into(), boot: 3, lattice: [9; 32] }
    }

    #[test]
    fn a_greeting_is_checked_against_the_certificate() {
        let (here, there) = (facts(1), facts(2));
        let hello = here.check(there.id, there.hello(true)).unwrap();
        assert_eq!((hello.boot, hello.has_link, hello.name.as_str()), (3, true, "kitchen-pi"));
        assert_eq!(here.check(NodeId([3; 32]), there.hello(false)), Err(GreetError::OtherNode));
        let stranger = Facts { lattice: [8; 32], ..there.clone() };
        assert_eq!(here.check(there.id, stranger.hello(false)), Err(GreetError::OtherLattice));
        let long = Facts { name: "x".repeat(65), ..there.clone() };
        assert!(matches!(here.check(there.id, long.hello(false)), Err(GreetError::Name(_))));
        assert!(matches!(here.check(there.id, ControlFrame::Welcome), Err(GreetError::NotHello(_))));
    }

    #[test]
    fn exactly_one_end_decides() {
        let (here, there) = (facts(1), facts(2));
        assert!(here.decides(there.id) != there.decides(here.id));
    }
}
