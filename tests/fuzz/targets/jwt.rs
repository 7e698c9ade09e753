//! What a client shows as a JWT: as it is, and as claims of an account that are signed here, so that the fuzzer gets past
//! the signature.
#![no_main]

use data_encoding::BASE64URL_NOPAD;
use lattice_broker::jwt::{Operator, TokenKind, inspect};
use lattice_broker::{Auth, Config};
use libfuzzer_sys::fuzz_target;
use nkeys::{KeyPair, KeyPairType};

const KINDS: [TokenKind; 4] = [TokenKind::Operator, TokenKind::Account, TokenKind::User, TokenKind::Activation];

fuzz_target!(|data: &[u8]| {
    let text = String::from_utf8_lossy(data);
    for kind in KINDS {
        // Nobody signed it: it must be refused, or be a seed of the corpus as it is.
        let _ = inspect(&text, kind);
    }
    let operator = key(KeyPairType::Operator, 1);
    let trusted = sign(&operator, &operator.public_key(), r#"{"type":"operator","version":2}"#);
    let mut trusted = Operator::new([trusted.as_str()]).expect("an operator of one's own");
    for seed in [2, 3] {
        let account = key(KeyPairType::Account, seed).public_key();
        // The corpus names the two accounts `A2` and `A3`.
        let nats = text.replace("A2", &key(KeyPairType::Account, 2).public_key());
        let nats = nats.replace("A3", &key(KeyPairType::Account, 3).public_key());
        let _ = trusted.add_account(&sign(&operator, &account, &nats));
        for kind in KINDS {
            let _ = inspect(&sign(&key(KeyPairType::Account, seed), &account, &nats), kind);
        }
    }
    // Whatever is taken in makes settings that work.
    let config = Config { auth: Auth::operator(trusted), ..Config::default() };
    assert_eq!(config.validate(), Ok(()));
});

fn key(kind: KeyPairType, seed: u8) -> KeyPair {
    KeyPair::new_from_raw(kind, [seed; 32]).expect("any 32 bytes are a secret key")
}

/// A token that says `nats`, whatever that is.
fn sign(issuer: &KeyPair, subject: &str, nats: &str) -> String {
    let claims = format!(r#"{{"iss":"{}","sub":"{subject}","iat":1,"nats":{nats}}}"#, issuer.public_key());
    let header = r#"{"typ":"JWT","alg":"ed25519-nkey"}"#;
    let part = |text: &str| BASE64URL_NOPAD.encode(text.as_bytes());
    let signed = format!("{}.{}", part(header), part(&claims));
    let signature = issuer.sign(signed.as_bytes()).expect("the key has its secret half");
    format!("{signed}.{}", BASE64URL_NOPAD.encode(&signature))
}
