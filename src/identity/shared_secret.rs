//! A lattice whose members know one secret, in the place of a root that admits them: what servers are that have nothing but
//! the same config file. Whoever knows the secret makes the root's key of it, and certifies itself.

use super::chain::Chain;
use super::grant::Grant;
use super::key::Key;
use super::nkey::Kind;
use super::warrant::{Claims, NodeClaims};
use super::{BadName, Identity, check_name};
use lattice_broker::env::Rng;
use ring::pbkdf2::{self, PBKDF2_HMAC_SHA256};
use std::num::NonZeroU32;

/// Anybody who connects sees the root's public key, and may try secrets on it: each try costs as much as the real one,
/// some 30 ms.
const ROUNDS: NonZeroU32 = NonZeroU32::new(100_000).expect("not zero");
const SALT: &[u8] = b"lattice of a shared secret 1\0";

impl Identity {
    /// A new member, called `name`, of the lattice of `user` and `password`. It may not invite: who is to be a member is
    /// told the secret. Takes some 30 ms of computing.
    ///
    /// # Errors
    /// [`BadName`].
    pub fn of_secret(rng: &mut Rng, name: &str, user: &str, password: &str) -> Result<Self, BadName> {
        check_name(name)?;
        let mut seed = [0; 32];
        let salt = [SALT, user.as_bytes()].concat();
        pbkdf2::derive(PBKDF2_HMAC_SHA256, ROUNDS, &salt, password.as_bytes(), &mut seed);
        let (root, node) = (Key::from_seed(Kind::Root, seed), Key::generate(Kind::Node, rng));
        let grant = Grant { invite: false, ..Grant::all() };
        let claims = NodeClaims { name: name.to_owned(), grant, voucher: None, at: 0 };
        let chain = Chain::found(&root, node.public(), Claims::Node(claims)).expect("the name was checked");
        Ok(Self::member(node, chain, None, name.to_owned(), name.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand_core::SeedableRng;

    #[test]
    fn who_knows_the_secret_is_a_member() {
        let mut rng = Rng::seed_from_u64(1);
        let mut member = |user: &str, password: &str| Identity::of_secret(&mut rng, "n", user, password).unwrap();
        let (a, b) = (member("u", "p"), member("u", "p"));
        assert!(a.node_id() != b.node_id() && !a.can_invite() && !a.has_root());
        let (chain, node) = Chain::read_member(a.lattice(), b.chain()).unwrap();
        assert_eq!((&chain, node), (b.membership(), b.node_id()));
        for other in [member("u", "q"), member("v", "p"), member("up", "")] {
            assert_ne!(other.lattice(), a.lattice());
            assert!(Chain::read_member(a.lattice(), other.chain()).is_err());
        }
        assert!(Identity::of_secret(&mut rng, "a b", "", "").is_err());
    }
}
