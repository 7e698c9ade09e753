//! TLS for clients in the place of a nats-server: upgrade, handshake first, certificates of clients, users by them, reload.
//!
//! Each story is told to ours and to the real one.
use crate::support::LIMIT;
use crate::support::whose::{BOTH, OPEN, Whose, folder, path, write};
use rcgen::{BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, SanType};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use tempfile::TempDir;

/// Whoever signs, a server's certificate, and where they are.
struct World {
    folder: TempDir,
    authority: Issuer<'static, KeyPair>,
}

impl World {
    fn new() -> Self {
        let folder = folder();
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, "authority");
        let key = KeyPair::generate().unwrap();
        write(&folder, "ca.pem", &params.self_signed(&key).unwrap().pem());
        let world = Self { folder, authority: Issuer::new(params, key) };
        world.issue("server", &["localhost"], |_| {});
        world
    }

    /// Writes a certificate with its key to files of this name.
    fn issue(&self, file: &str, hosts: &[&str], more: impl FnOnce(&mut CertificateParams)) {
        let hosts: Vec<String> = hosts.iter().map(|&host| host.to_owned()).collect();
        let mut params = CertificateParams::new(hosts).unwrap();
        params.distinguished_name = rcgen::DistinguishedName::new();
        params.distinguished_name.push(DnType::OrganizationName, "lattice");
        params.distinguished_name.push(DnType::CommonName, file);
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
        more(&mut params);
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.authority).unwrap();
        write(&self.folder, &format!("{file}.pem"), &certificate.pem());
        write(&self.folder, &format!("{file}.key"), &key.serialize_pem());
    }

    fn file(&self, name: &str) -> String {
        path(&self.folder, name)
    }

    /// A config with a `tls` block of the server's certificate and `block`, and `rest` behind it.
    fn config(&self, block: &str, rest: &str) -> String {
        let (certificate, key, ca) = (self.file("server.pem"), self.file("server.key"), self.file("ca.pem"));
        let tls = format!("cert_file: {certificate:?}, key_file: {key:?}, ca_file: {ca:?}, {block}");
        write(&self.folder, "server.conf", &format!("listen: \"127.0.0.1:-1\"\ntls {{ {tls} }}\n{rest}\n"))
    }

    /// TLS of a client that shows the certificate in files of this name.
    fn client(&self, certificate: Option<&str>) -> Arc<ClientConfig> {
        self.client_from(self, certificate)
    }

    /// The same with a certificate of another world.
    fn client_from(&self, other: &Self, certificate: Option<&str>) -> Arc<ClientConfig> {
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_file(self.file("ca.pem")).unwrap()).unwrap();
        let builder = ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()));
        let builder = builder.with_safe_default_protocol_versions().unwrap().with_root_certificates(roots);
        Arc::new(match certificate {
            None => builder.with_no_client_auth(),
            Some(name) => {
                let chain = vec![CertificateDer::from_pem_file(other.file(&format!("{name}.pem"))).unwrap()];
                let key = PrivateKeyDer::from_pem_file(other.file(&format!("{name}.key"))).unwrap();
                builder.with_client_auth_cert(chain, key).unwrap()
            }
        })
    }
}

fn dial(at: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(at).unwrap();
    stream.set_read_timeout(Some(LIMIT)).unwrap();
    stream
}

/// A client that has got INFO, and that.
fn greeted(at: SocketAddr) -> (TcpStream, String) {
    let mut stream = dial(at);
    let info = hear(&mut stream, "\r\n");
    (stream, info)
}

fn encrypt(stream: TcpStream, config: Arc<ClientConfig>) -> StreamOwned<ClientConnection, TcpStream> {
    StreamOwned::new(ClientConnection::new(config, ServerName::try_from("localhost").unwrap()).unwrap(), stream)
}

/// Reads until `text` has come, or the other end closes.
fn hear(stream: &mut impl Read, text: &str) -> String {
    let mut heard = String::new();
    while !heard.contains(text) {
        let mut chunk = [0; 4096];
        match stream.read(&mut chunk) {
            Ok(0) => break,
            Ok(len) => heard.push_str(&String::from_utf8_lossy(&chunk[..len])),
            Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut) => {
                panic!("{text:?} has not come in time, but {heard:?}")
            }
            // The end, as a peer makes it that does not go on.
            Err(_) => break,
        }
    }
    heard
}

/// What a client is answered to a CONNECT and a PING, in TLS or not.
fn greet(stream: &mut (impl Read + Write), connect: &str) -> String {
    match stream.write_all(format!("CONNECT {connect}\r\nPING\r\n").as_bytes()).and_then(|()| stream.flush()) {
        Ok(()) => hear(stream, "PONG\r\n"),
        Err(_) => String::new(),
    }
}

/// Takes INFO, encrypts, and connects.
fn upgrade(at: SocketAddr, config: Arc<ClientConfig>, connect: &str) -> String {
    let mut stream = dial(at);
    assert!(hear(&mut stream, "\r\n").starts_with("INFO {"));
    greet(&mut encrypt(stream, config), connect)
}

fn start(whose: Whose, config: &str) -> (crate::support::process::Process, SocketAddr) {
    whose.start(&["-c", config])
}

#[test]
fn info_comes_in_the_clear_and_all_else_in_tls() {
    let world = World::new();
    for whose in BOTH {
        let (_server, at) = start(whose, &world.config("", ""));
        let (stream, info) = greeted(at);
        assert!(info.contains("\"tls_required\":true") && !info.contains("tls_verify"), "{whose:?} {info}");
        assert!(!info.contains("tls_available"), "{whose:?} {info}");
        let mut stream = encrypt(stream, world.client(None));
        assert!(greet(&mut stream, OPEN).contains("PONG\r\n"), "{whose:?}");
        stream.write_all(b"SUB foo 1\r\nPUB foo 5\r\nhello\r\n").unwrap();
        assert!(hear(&mut stream, "hello\r\n").ends_with("MSG foo 1 5\r\nhello\r\n"), "{whose:?}");
        // A large message both ways, beyond every buffer between.
        let body = "x".repeat(900_000);
        stream.write_all(format!("PUB foo {}\r\n{body}\r\n", body.len()).as_bytes()).unwrap();
        assert!(hear(&mut stream, "x\r\n").contains(&body), "{whose:?}");
    }
}

#[test]
fn who_does_not_encrypt_is_closed_without_a_word() {
    let world = World::new();
    for whose in BOTH {
        let (_server, at) = start(whose, &world.config("timeout: 0.3", ""));
        let (mut stream, _) = greeted(at);
        assert_eq!(greet(&mut stream, OPEN), "", "{whose:?}");
        // Nor is one waited for longer than was said.
        let (mut silent, _) = greeted(at);
        assert_eq!(hear(&mut silent, "never"), "", "{whose:?}");
    }
}

#[test]
fn tls_may_be_left_to_the_client() {
    let world = World::new();
    for whose in BOTH {
        let (_server, at) = start(whose, &world.config("", "allow_non_tls: true"));
        let (mut stream, info) = greeted(at);
        assert!(info.contains("\"tls_available\":true") && !info.contains("tls_required"), "{whose:?} {info}");
        assert!(greet(&mut stream, OPEN).starts_with("PONG\r\n"), "{whose:?}");
        assert!(upgrade(at, world.client(None), OPEN).contains("PONG\r\n"), "{whose:?}");
    }
}

#[test]
fn the_handshake_may_come_first() {
    let world = World::new();
    for whose in BOTH {
        for (block, falls_back) in [("handshake_first: true", false), ("handshake_first: \"200ms\"", true)] {
            let (_server, at) = start(whose, &world.config(block, ""));
            let mut stream = encrypt(dial(at), world.client(None));
            let heard = greet(&mut stream, OPEN);
            assert!(heard.starts_with("INFO {") && heard.contains("\r\nPONG\r\n"), "{whose:?} {block} {heard}");
            if falls_back {
                assert!(upgrade(at, world.client(None), OPEN).contains("PONG\r\n"), "{whose:?}");
            } else {
                assert_eq!(greet(&mut dial(at), OPEN), "", "{whose:?}");
            }
        }
    }
}

#[test]
fn a_certificate_is_asked_for_and_has_to_be_trusted() {
    let world = World::new();
    let strangers = World::new();
    world.issue("joe", &[], |_| {});
    for whose in BOTH {
        let (_server, at) = start(whose, &world.config("verify: true", ""));
        assert!(hear(&mut dial(at), "\r\n").contains("\"tls_required\":true,\"tls_verify\":true"), "{whose:?}");
        assert!(upgrade(at, world.client(Some("joe")), OPEN).contains("PONG\r\n"), "{whose:?}");
        assert!(!upgrade(at, world.client(None), OPEN).contains("PONG"), "{whose:?}");
        strangers.issue("joe", &[], |_| {});
        let stranger = world.client_from(&strangers, Some("joe"));
        assert!(!upgrade(at, stranger, OPEN).contains("PONG"), "{whose:?}");
    }
}

#[test]
fn a_certificate_may_name_the_user() {
    let world = World::new();
    let mail = |address: &'static str| {
        move |params: &mut CertificateParams| {
            params.subject_alt_names.push(SanType::Rfc822Name(address.try_into().unwrap()));
        }
    };
    world.issue("mail", &[], mail("joe@lattice.example"));
    world.issue("host", &["edge-1.example"], |_| {});
    world.issue("subject", &[], |_| {});
    world.issue("reordered", &[], |_| {});
    world.issue("nobody", &[], |_| {});
    let users = "accounts { A { users [ {user: \"joe@lattice.example\"}, {user: \"edge-1.example\"},\n\
                 {user: \"CN=subject,O=lattice\"}, {user: \"O=lattice,CN=reordered\"} ] } }";
    for whose in BOTH {
        let (_server, at) = start(whose, &world.config("verify_and_map: true", users));
        for (certificate, user) in [
            ("mail", "joe@lattice.example"),
            ("host", "edge-1.example"),
            ("subject", "CN=subject,O=lattice"),
            ("reordered", "O=lattice,CN=reordered"),
        ] {
            let mut stream = dial(at);
            assert!(hear(&mut stream, "\r\n").contains("\"auth_required\":true"), "{whose:?}");
            let mut stream = encrypt(stream, world.client(Some(certificate)));
            let heard = greet(&mut stream, OPEN);
            assert!(heard.contains("PONG\r\n"), "{whose:?} {certificate} {heard}");
            assert_eq!(who(&mut stream), user, "{whose:?} {certificate}");
        }
        // A name that is said does not count.
        let said = "{\"verbose\":false,\"user\":\"edge-1.example\"}";
        let heard = upgrade(at, world.client(Some("nobody")), said);
        assert!(heard.contains("-ERR 'Authorization Violation'"), "{whose:?} {heard}");
        assert!(upgrade(at, world.client(Some("mail")), said).contains("PONG\r\n"), "{whose:?}");
        // A password does, where there is one or not.
        let said = "{\"verbose\":false,\"pass\":\"x\"}";
        let heard = upgrade(at, world.client(Some("mail")), said);
        assert!(heard.contains("-ERR 'Authorization Violation'"), "{whose:?} {heard}");
    }
}

/// Whom a client is taken for, once it is in.
fn who(stream: &mut (impl Read + Write)) -> String {
    stream.write_all(b"SUB in 1\r\nPUB $SYS.REQ.USER.INFO in 0\r\n\r\n").unwrap();
    let heard = hear(stream, "}}\r\n");
    let user = heard.split_once("\"data\":{\"user\":\"").and_then(|(_, rest)| rest.split('"').next());
    user.unwrap_or(&heard).to_owned()
}

#[test]
fn nobody_gets_round_the_certificate() {
    let world = World::new();
    world.issue("joe", &[], |_| {});
    let users = "allow_non_tls: true\nno_auth_user: guest\n\
                 authorization { users [ {user: \"CN=joe,O=lattice\"}, {user: guest, password: x} ] }";
    for whose in BOTH {
        let (_server, at) = start(whose, &world.config("verify_and_map: true", users));
        for connect in [OPEN, "{\"verbose\":false,\"user\":\"CN=joe,O=lattice\"}"] {
            let (mut plain, _) = greeted(at);
            let heard = greet(&mut plain, connect);
            assert!(heard.contains("-ERR 'Authorization Violation'"), "{whose:?} {connect} {heard}");
        }
        let (mut silent, _) = greeted(at);
        silent.write_all(b"PING\r\n").unwrap();
        let heard = hear(&mut silent, "PONG");
        assert!(heard.contains("-ERR 'Authorization Violation'"), "{whose:?} {heard}");
        let (stream, _) = greeted(at);
        let mut stream = encrypt(stream, world.client(Some("joe")));
        assert!(greet(&mut stream, OPEN).contains("PONG\r\n"), "{whose:?}");
        assert_eq!(who(&mut stream), "CN=joe,O=lattice", "{whose:?}");
    }
}

#[test]
fn certificates_name_those_of_a_list_alone() {
    let world = World::new();
    world.issue("joe", &[], |_| {});
    for whose in BOTH {
        for (rest, connect) in [
            ("authorization { token: secret }", "{\"verbose\":false,\"auth_token\":\"secret\"}"),
            ("authorization { user: a, password: b }", "{\"verbose\":false,\"user\":\"a\",\"pass\":\"b\"}"),
        ] {
            let (_server, at) = start(whose, &world.config("verify_and_map: true", rest));
            assert!(upgrade(at, world.client(Some("joe")), connect).contains("PONG\r\n"), "{whose:?} {rest}");
            let heard = upgrade(at, world.client(Some("joe")), OPEN);
            assert!(heard.contains("-ERR 'Authorization Violation'"), "{whose:?} {rest} {heard}");
        }
    }
}

#[test]
fn certificates_may_be_pinned() {
    let world = World::new();
    world.issue("good", &[], |_| {});
    world.issue("other", &[], |_| {});
    let der = CertificateDer::from_pem_file(world.file("good.pem")).unwrap();
    let (_, certificate) = x509_parser::parse_x509_certificate(&der).unwrap();
    let digest = ring::digest::digest(&ring::digest::SHA256, certificate.public_key().raw);
    let digest = data_encoding::HEXLOWER.encode(digest.as_ref());
    for whose in BOTH {
        let block = format!("verify: true, pinned_certs: [\"{digest}\"]");
        let (_server, at) = start(whose, &world.config(&block, ""));
        assert!(upgrade(at, world.client(Some("good")), OPEN).contains("PONG\r\n"), "{whose:?}");
        assert!(!upgrade(at, world.client(Some("other")), OPEN).contains("PONG"), "{whose:?}");
    }
}

/// What the server shows of itself.
fn shown(at: SocketAddr, config: Arc<ClientConfig>) -> Vec<u8> {
    let (stream, _) = greeted(at);
    let mut stream = encrypt(stream, config);
    assert!(greet(&mut stream, OPEN).contains("PONG\r\n"));
    stream.conn.peer_certificates().unwrap()[0].to_vec()
}

#[test]
fn a_reload_takes_new_certificates_and_leaves_connections_alone() {
    let world = World::new();
    for whose in BOTH {
        let (mut server, at) = start(whose, &world.config("", ""));
        let (stream, _) = greeted(at);
        let mut before = encrypt(stream, world.client(None));
        assert!(greet(&mut before, OPEN).contains("PONG\r\n"), "{whose:?}");
        let first = shown(at, world.client(None));
        world.issue("server", &["localhost"], |_| {});
        server.tell("HUP");
        server.wait_line("the reload", |line| line.contains("Reloaded server configuration").then_some(()));
        let second = shown(at, world.client(None));
        assert_ne!(first, second, "{whose:?}");
        assert_eq!(second, CertificateDer::from_pem_file(world.file("server.pem")).unwrap().to_vec(), "{whose:?}");
        before.write_all(b"PING\r\n").unwrap();
        assert!(hear(&mut before, "PONG\r\n").contains("PONG\r\n"), "{whose:?}");
        // A certificate that cannot be read changes nothing.
        write(&world.folder, "server.pem", "");
        server.tell("HUP");
        server.wait_line("that it was refused", |line| line.contains("[ERR]").then_some(()));
        assert_eq!(shown(at, world.client(None)), second, "{whose:?}");
        world.issue("server", &["localhost"], |_| {});
    }
}

#[test]
fn those_who_watch_see_what_was_agreed_on() {
    let world = World::new();
    world.issue("joe", &[], |_| {});
    for whose in BOTH {
        let config = world.config("verify: true, timeout: 3", "https: \"127.0.0.1:-1\"");
        let mut server = crate::support::process::Process::start("nats-server", &mut whose.command(&["-c", &config]));
        let port = |line: &str, what: &str| line.split_once(what)?.1.rsplit_once(':')?.1.trim().parse::<u16>().ok();
        let https = server.wait_line("https", |line| port(line, "Starting https monitor on "));
        let nats = server.wait_line("nats", |line| port(line, "Listening for client connections on "));
        server.wait_line("TLS", |line| line.contains("TLS required for client connections").then_some(()));
        server.wait_line("ready", |line| line.contains("Server is ready").then_some(()));
        let mut stream = dial(SocketAddr::from(([127, 0, 0, 1], nats)));
        hear(&mut stream, "\r\n");
        let mut client = encrypt(stream, world.client(Some("joe")));
        assert!(greet(&mut client, OPEN).contains("PONG\r\n"), "{whose:?}");
        let ask = |path: &str| {
            let mut stream = encrypt(dial(SocketAddr::from(([127, 0, 0, 1], https))), world.client(None));
            write!(stream, "GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").unwrap();
            let answer = hear(&mut stream, "never");
            let body = answer.split_once("\r\n\r\n").unwrap().1;
            let (start, end) = (body.find('{').unwrap(), body.rfind('}').unwrap());
            serde_json::from_str::<serde_json::Value>(&body[start..=end]).unwrap()
        };
        let connection = &ask("/connz?auth=1")["connections"][0];
        assert_eq!(connection["tls_version"], "1.3", "{whose:?} {connection}");
        assert_eq!(connection["tls_cipher_suite"].as_str().map(|suite| &suite[..4]), Some("TLS_"), "{whose:?}");
        let shown = &connection["tls_peer_certs"][0];
        assert_eq!(shown["subject"], "CN=joe,O=lattice", "{whose:?} {connection}");
        assert_eq!(shown["cert_sha256"].as_str().map(str::len), Some(64), "{whose:?} {connection}");
        let varz = ask("/varz");
        for (key, value) in [("tls_required", true), ("tls_verify", true)] {
            assert_eq!(varz[key], value, "{whose:?} {key}");
        }
        assert_eq!((varz["tls_timeout"].as_f64(), varz["auth_timeout"].as_f64()), (Some(3.0), Some(4.0)), "{whose:?}");
        // The real one tells the number of the config.
        let expected = if whose == Whose::Ours { i64::from(https) } else { -1 };
        assert_eq!((&varz["https_port"], &varz["http_port"]), (&expected.into(), &0.into()), "{whose:?}");
        assert!(varz["tls_cert_not_after"].as_str().is_some_and(|at| at.ends_with('Z')), "{whose:?}");
    }
}
