//! What a `tls` block may say, what it may not, and when two say the same.

use super::super::read::tests::read;
use std::fs;

/// A certificate with its key in a folder of their own, and the text that names them.
fn files() -> (tempfile::TempDir, String) {
    let folder = tempfile::tempdir().unwrap();
    let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
    let (certificate, key) = (folder.path().join("c.pem"), folder.path().join("k.pem"));
    fs::write(&certificate, made.cert.pem()).unwrap();
    fs::write(&key, made.signing_key.serialize_pem()).unwrap();
    let text = format!("cert_file: {certificate:?}, key_file: {key:?}");
    (folder, text)
}

#[test]
fn what_may_be_said() {
    let (_folder, files) = files();
    for more in [
        "",
        "timeout: 1.5",
        "timeout: \"3s\", handshake_first: auto",
        "handshake_first: \"300ms\", min_version: \"1.3\"",
        "cipher_suites: [\"TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256\", \"TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305\"]",
        "curve_preferences: [X25519, CurveP256], insecure: true",
    ] {
        let (options, faults) = read(&format!("tls {{ {files}, {more} }}"));
        assert!(faults.errors.is_empty(), "{more}: {:?}", faults.errors);
        assert!(options.tls.is_some(), "{more}");
    }
    let (options, faults) = read("tls {}");
    assert!(options.tls.is_none() && faults.errors.is_empty(), "as for the real one, it is no block");
    let (options, faults) = read(&format!("tls {{ certs: [ {{ {files} }} ] }}"));
    assert!(options.tls.is_some() && faults.errors.is_empty(), "{:?}", faults.errors);
}

#[test]
fn what_cannot_be_used_is_named() {
    let (folder, files) = files();
    let key = folder.path().join("k.pem");
    for (text, expected) in [
        ("cert_file: \"/none\"".to_owned(), "missing 'key_file' in TLS configuration"),
        ("cert_file: \"/none\", key_file: \"/none\"".to_owned(), "open /none: No such file"),
        (format!("cert_file: {key:?}, key_file: {key:?}"), "no certificate in PEM"),
        ("verify: true".to_owned(), "names no certificate"),
        (format!("{files}, verify: true"), "whose certificates are trusted"),
        (format!("{files}, ca_file: \"/none\""), "open /none"),
        (format!("{files}, cipher_suites: [foo]"), "unrecognized cipher foo: accepted are TLS_"),
        (format!("{files}, cipher_suites: []"), "at least one name"),
        (format!("{files}, curve_preferences: [CurveP521]"), "unrecognized curve preference CurveP521"),
        (format!("{files}, min_version: \"1.1\""), "min_version is \"1.1\", which is not \"1.2\" or \"1.3\""),
        (format!("{files}, handshake_first: maybe"), "handshake_first"),
        (format!("{files}, pinned_certs: [abc]"), "pinned_certs has \"abc\""),
        (format!("{files}, timeout: 9999"), "seconds up to 3600"),
        (format!("{files}, connection_rate_limit: 5"), "max_connections"),
        (format!("{files}, foo: 1"), "unknown field \"foo\""),
    ] {
        let (_, faults) = read(&format!("tls {{ {text} }}"));
        let said: Vec<String> = faults.errors.iter().map(ToString::to_string).collect();
        assert!(said.iter().any(|one| one.contains(expected)), "{text}: {said:?} does not say {expected:?}");
    }
}

#[test]
fn equal_is_what_does_the_same() {
    let (_folder, files) = files();
    let of = |more: &str| read(&format!("tls {{ {files}, {more} }}")).0.tls.unwrap();
    assert_eq!(of("timeout: 1"), of("timeout: \"1s\""));
    assert_ne!(of("timeout: 1"), of("timeout: 2"));
    assert_ne!(of(""), of("min_version: \"1.3\""));
}
