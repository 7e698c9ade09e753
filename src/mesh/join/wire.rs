//! The two messages of a join, and what their signatures cover.

use crate::identity::{Address, Admission, Applicant, Application, LatticeId, PublicKey, Refusal};
use bincode::{Decode, Encode};
use quinn::Connection;

/// The version of the exchange.
pub(super) const PROTOCOL: u16 = 2;

/// Bytes in a request, at most.
pub(super) const REQUEST_MAX: usize = 1_024;

/// Bytes in an answer, at most: the longest chain with the longest grants is about half of it.
pub(super) const ANSWER_MAX: usize = 16 * 1_024;

/// What a joiner asks for.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub(super) struct Request {
    pub(super) protocol: u16,
    pub(super) name: String,
    node: [u8; 32],
    issuer: [u8; 32],
    node_proof: [u8; 64],
    issuer_proof: [u8; 64],
}

impl Request {
    pub(super) fn new(applicant: &Applicant, challenge: &[u8]) -> Self {
        let (node_proof, issuer_proof) = applicant.sign(challenge);
        let Application { node, issuer } = applicant.application();
        let name = applicant.name().to_owned();
        Self { protocol: PROTOCOL, name, node: node.0, issuer: issuer.0, node_proof, issuer_proof }
    }

    pub(super) const fn application(&self) -> Application {
        Application { node: PublicKey(self.node), issuer: PublicKey(self.issuer) }
    }

    /// Whether both keys have signed `challenge`.
    pub(super) fn is_proved(&self, challenge: &[u8]) -> bool {
        let Application { node, issuer } = self.application();
        node.verifies(challenge, &self.node_proof) && issuer.verifies(challenge, &self.issuer_proof)
    }
}

/// What a member answers.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub(super) enum Answer {
    Admitted { admission: Admission, peers: Vec<Address> },
    Refused(Refusal),
}

/// What the joiner signs with the keys that it wants certified. It names this TLS session, this lattice and both keys:
/// a proof is worth nothing anywhere else.
pub(super) fn proof(connection: &Connection, lattice: LatticeId, application: &Application) -> Result<Vec<u8>, String> {
    let mut session = [0; 32];
    connection
        .export_keying_material(&mut session, b"EXPORTER-lattice-join", &lattice.0)
        .map_err(|_| "the TLS session exports no key".to_owned())?;
    Ok([&b"lattice join 2"[..], &session, &lattice.0, &application.node.0, &application.issuer.0].concat())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::codec;
    use lattice_broker::env::Rng;
    use proptest::prelude::*;
    use rand_core::SeedableRng;

    #[test]
    fn a_proof_is_for_its_challenge_and_its_keys() {
        let mut rng = Rng::seed_from_u64(1);
        let (a, b) = (Applicant::generate(&mut rng, "a"), Applicant::generate(&mut rng, "b"));
        let request = Request::new(&a, b"challenge");
        assert!(request.is_proved(b"challenge"));
        assert!(!request.is_proved(b"another"));
        let stolen = Request { issuer: b.application().issuer.0, ..request };
        assert!(!stolen.is_proved(b"challenge"));
    }

    #[test]
    fn the_largest_request_fits() {
        let applicant = Applicant::generate(&mut Rng::seed_from_u64(1), &"x".repeat(crate::identity::NAME_MAX));
        assert!(codec::encode(&Request::new(&applicant, b"")).len() < REQUEST_MAX);
    }

    proptest! {
        #[test]
        fn no_bytes_panic(mut bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
            bytes.insert(0, codec::VERSION);
            let _ = codec::decode::<Request>(&bytes);
            let _ = codec::decode::<Answer>(&bytes);
        }
    }
}
