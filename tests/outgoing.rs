//! Components that ask others by HTTP: whom a link names, and nobody else; within bounds, each of which has its word in `wasi:http`; and
//! no longer than their calls. The servers are on this machine, and do as they are told.
#![cfg(feature = "components")]
#![allow(clippy::unwrap_used, reason = "a failure here is a failed test")]

mod components;

use components::Asking;
use lattice::host::engine::{Bounds, Engine, Settings};
use lattice::host::keyvalue::Buckets;
use lattice::host::links::Links;
use lattice::host::outgoing::Outgoing;
use lattice::host::runner::{HttpError, HttpResponse, Limits, Runner, Spec};
use lattice::wiring;
use lattice_broker::env::{
    BoxFuture, Env, Interface, Lan, LanConfig, Listener, Platform, Rng, Stream, Timer, UdpSocket, is_passing, write_all,
};
use lattice_broker::tls::TlsStream;
use lattice_broker::{Broker, Config};
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};
use rustls::ServerConfig;
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use std::future::{pending, poll_fn};
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant, SystemTime};
use tempfile::TempDir;

/// Longer than anything here takes on a machine that is busy.
const PATIENCE: Duration = Duration::from_secs(30);

/// What a component puts into its answer for an `error-code`.
const DNS_TIMEOUT: &str = "!00";
const DNS_ERROR: &str = "!01";
const IP_PROHIBITED: &str = "!04";
const REFUSED: &str = "!06";
const CONNECTION_TIMEOUT: &str = "!08";
const READ_TIMEOUT: &str = "!09";
const LIMIT_REACHED: &str = "!11";
const TLS_PROTOCOL: &str = "!12";
const TLS_CERTIFICATE: &str = "!13";
const DENIED: &str = "!15";
const REQUEST_BODY_SIZE: &str = "!17";
const URI_INVALID: &str = "!19";
const INCOMPLETE: &str = "!25";
const HEADER_SECTION_SIZE: &str = "!26";
const RESPONSE_BODY_SIZE: &str = "!28";
const UPGRADE_FAILED: &str = "!34";
const PROTOCOL_ERROR: &str = "!35";
const INTERNAL: &str = "!38";

/// What a server does with a connection, once it has the head of a request.
#[derive(Clone)]
enum Step {
    Say(Vec<u8>),
    Wait(u64),
    /// Reads until it has so many bytes in all.
    Read(usize),
    /// Says nothing until the client is gone.
    Hold,
    /// As the first: says this before it has heard anything.
    Blurt(&'static str),
}

/// A server, and what it has seen.
#[derive(Clone)]
struct Server {
    at: SocketAddr,
    /// The head of each request.
    asked: Arc<Mutex<Vec<String>>>,
    /// Clients that have gone while they were held.
    gone: Arc<AtomicUsize>,
}

impl Server {
    fn start(env: &Env, tls: Option<Arc<ServerConfig>>, steps: Vec<Step>) -> Self {
        let mut listener = env.tcp_listen("127.0.0.1:0".parse().unwrap()).unwrap();
        let server = Self { at: listener.local_addr(), asked: Arc::default(), gone: Arc::default() };
        let (spawning, serving) = (env.clone(), server.clone());
        env.spawn(async move {
            while let Ok(stream) = poll_fn(|cx| listener.poll_accept(cx)).await {
                let (env, server) = (spawning.clone(), serving.clone());
                let (tls, steps) = (tls.clone(), steps.clone());
                spawning.spawn(async move {
                    let stream: Arc<dyn Stream> = match tls {
                        Some(tls) => match TlsStream::accept(stream, tls).await {
                            Ok(stream) => Arc::new(stream),
                            Err(_) => return,
                        },
                        None => stream,
                    };
                    server.serve(&env, &*stream, steps).await;
                });
            }
        });
        server
    }

    fn saying(env: &Env, answer: &str) -> Self {
        Self::start(env, None, vec![Step::Say(answer.as_bytes().to_vec())])
    }

    async fn serve(&self, env: &Env, stream: &dyn Stream, steps: Vec<Step>) {
        let mut got = Vec::new();
        if let Some(Step::Blurt(text)) = steps.first() {
            drop(write_all(stream, text.as_bytes()).await);
        }
        while !got.windows(4).any(|end| end == b"\r\n\r\n") {
            let Some(more) = read(stream).await else { return };
            got.extend(more);
        }
        self.asked.lock().unwrap().push(String::from_utf8_lossy(&got).into_owned());
        for step in steps {
            match step {
                Step::Say(bytes) => drop(write_all(stream, &bytes).await),
                Step::Wait(millis) => env.sleep(Duration::from_millis(millis)).await,
                Step::Read(len) => {
                    while got.len() < len {
                        let Some(more) = read(stream).await else { break };
                        got.extend(more);
                    }
                }
                Step::Hold => {
                    while read(stream).await.is_some() {}
                    self.gone.fetch_add(1, SeqCst);
                    return;
                }
                Step::Blurt(_) => {}
            }
        }
        stream.shutdown_write();
        // What is closed before all is read may take along what was said.
        while read(stream).await.is_some() {}
    }

    fn asked(&self) -> Vec<String> {
        self.asked.lock().unwrap().clone()
    }
}

/// What comes next; `None` at the end.
async fn read(stream: &dyn Stream) -> Option<Vec<u8>> {
    let mut chunk = vec![0; 16 << 10];
    loop {
        poll_fn(|cx| stream.poll_read_ready(cx)).await.ok()?;
        match stream.try_read(&mut chunk) {
            Ok(0) => return None,
            Ok(len) => {
                chunk.truncate(len);
                return Some(chunk);
            }
            Err(error) if is_passing(&error) => {}
            Err(_) => return None,
        }
    }
}

/// The real world, but for what names lead to.
#[derive(Debug)]
struct Names(Env);

impl Platform for Names {
    fn spawn(&self, task: BoxFuture<()>) {
        self.0.spawn(task);
    }

    fn timer(&self, at: Instant) -> Pin<Box<dyn Timer>> {
        self.0.timer(at)
    }

    fn now(&self) -> Instant {
        self.0.now()
    }

    fn wall(&self) -> SystemTime {
        self.0.wall()
    }

    fn rng(&self, label: &str) -> Rng {
        self.0.rng(label)
    }

    fn udp_bind(&self, addr: SocketAddr) -> io::Result<UdpSocket> {
        self.0.udp_bind(addr)
    }

    fn tcp_listen(&self, addr: SocketAddr) -> io::Result<Box<dyn Listener>> {
        self.0.tcp_listen(addr)
    }

    fn tcp_connect(&self, addr: SocketAddr) -> BoxFuture<io::Result<Arc<dyn Stream>>> {
        let env = self.0.clone();
        // An address of nobody, as it is with a router that drops what it does not know.
        let is_void = addr.ip().to_string() == "192.0.2.1";
        Box::pin(async move { if is_void { pending().await } else { env.tcp_connect(addr).await } })
    }

    fn resolve(&self, host_port: &str) -> BoxFuture<io::Result<Vec<SocketAddr>>> {
        let (name, port) = host_port.rsplit_once(':').unwrap();
        let at = |address: &str| SocketAddr::new(address.parse().unwrap(), port.parse().unwrap());
        let found = match name {
            "localhost" | "inside.example" | "a.inside.example" => vec![at("127.0.0.1")],
            "metadata.example" => vec![at("169.254.169.254"), at("fe80::1"), at("::ffff:127.0.0.1")],
            "two.example" => vec![at("192.0.2.1"), at("127.0.0.1")],
            "void.example" => vec![at("192.0.2.1")],
            "slow.example" => return Box::pin(pending()),
            _ => return Box::pin(async { Err(io::Error::other("Name or service not known")) }),
        };
        Box::pin(async { Ok(found) })
    }

    fn interfaces(&self) -> Vec<Interface> {
        Vec::new()
    }

    fn lan(&self, config: &LanConfig) -> io::Result<Arc<dyn Lan>> {
        self.0.lan(config)
    }
}

/// An engine in that world, and a folder for images.
struct Host {
    env: Env,
    engine: Engine,
    folder: TempDir,
}

impl Host {
    fn new(bounds: Bounds) -> Self {
        let env = Env::new(Arc::new(Names(Env::tokio())));
        let broker = Broker::new(env.clone(), Config::default()).unwrap();
        let settings = Settings { bounds, threads: 2, ..Settings::default() };
        let engine = Engine::new(env.clone(), wiring::clients(&broker), settings);
        Self { env, engine, folder: tempfile::tempdir().unwrap() }
    }

    fn spec(&self, id: &str, how: Asking, links: &[&[(&str, &str)]]) -> Spec {
        let path = self.folder.path().join(id);
        std::fs::write(&path, components::asking(how)).unwrap();
        let mut outgoing = Outgoing::default();
        for config in links {
            let config = config.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
            outgoing.open("default", "http-client", &config);
        }
        Spec {
            id: id.to_owned(),
            image: path.to_str().unwrap().to_owned(),
            count: 2,
            config: [].into(),
            limits: Limits::default(),
            subscriptions: Vec::new(),
            buckets: Buckets::default(),
            links: Links::default(),
            outgoing,
        }
    }

    /// Starts a component that may ask those in `allow`.
    async fn start(&self, id: &str, how: Asking, allow: &str) {
        self.engine.apply(self.spec(id, how, &[&[("allow", allow)]])).await.unwrap();
    }

    /// Has the component ask `url`, and waits for what it says of that.
    async fn ask(&self, id: &str, url: &str) -> (u16, String) {
        let answer = self.try_ask(id, url).await.unwrap();
        (answer.status().as_u16(), String::from_utf8(answer.body().to_vec()).unwrap())
    }

    async fn try_ask(&self, id: &str, url: &str) -> Result<HttpResponse, HttpError> {
        let (scheme, rest) = url.split_once("://").unwrap();
        let (authority, path) = rest.split_once('/').unwrap();
        let method = if scheme == "http" { "GET" } else { "POST" };
        let request = hyper::Request::builder().method(method).uri(format!("/{path}")).header("host", "here:8000");
        self.engine.answer(id, request.body(authority.to_owned().into()).unwrap()).await
    }

    /// What a component says that asks one server which does `steps`.
    async fn once(&self, how: Asking, steps: Vec<Step>) -> String {
        let server = Server::start(&self.env, None, steps);
        self.start("asks", how, &server.at.to_string()).await;
        self.ask("asks", &format!("http://{}/", server.at)).await.1
    }

    async fn until(&self, what: &str, good: impl Fn() -> bool) {
        let deadline = self.env.now() + PATIENCE;
        while !good() {
            assert!(self.env.now() < deadline, "{what}");
            self.env.sleep(Duration::from_millis(5)).await;
        }
    }
}

fn say(text: &str) -> Step {
    Step::Say(text.as_bytes().to_vec())
}

const HELLO: &str = "HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello";

#[tokio::test(flavor = "multi_thread")]
async fn whom_no_link_names_nobody_asks() {
    let host = Host::new(Bounds::default());
    let server = Server::saying(&host.env, HELLO);
    let (at, port) = (server.at, server.at.port());
    host.engine.apply(host.spec("asks", Asking::default(), &[])).await.unwrap();
    assert_eq!(host.ask("asks", &format!("http://{at}/")).await, (502, DENIED.to_owned()));
    let (other, scheme) = (format!("127.0.0.1:{}", port ^ 1), format!("https://{at}"));
    let lists = [&*other, "127.0.0.1", &*scheme, "127.0.0.2, *.example, localhost, [::1]", ""];
    for list in lists {
        host.start("asks", Asking::default(), list).await;
        assert_eq!(host.ask("asks", &format!("http://{at}/")).await, (502, DENIED.to_owned()), "{list}");
    }
    host.start("asks", Asking::default(), &at.to_string()).await;
    for url in [format!("http://localhost:{port}/"), format!("http://inside.example:{port}/")] {
        assert_eq!(host.ask("asks", &url).await.1, DENIED, "{url}");
    }
    let url = format!("http://me@{at}/");
    assert_eq!(host.ask("asks", &url).await.1, URI_INVALID, "{url}");
    assert_eq!(server.asked().len(), 0);
    // What tells who may be asked applies from the next call on.
    assert_eq!(host.ask("asks", &format!("http://{at}/")).await, (200, "hello".to_owned()));
    let asking = components::http_asking();
    let path = host.folder.path().join("denied");
    std::fs::write(&path, asking).unwrap();
    let image = path.to_str().unwrap().to_owned();
    host.engine.apply(Spec { image, ..host.spec("other", Asking::default(), &[]) }).await.unwrap();
    assert_eq!(host.ask("other", "http://x/").await, (200, "denied".to_owned()));
}

#[tokio::test(flavor = "multi_thread")]
async fn whom_a_link_names_a_component_asks() {
    let host = Host::new(Bounds::default());
    let server = Server::saying(&host.env, HELLO);
    let port = server.at.port();
    host.start("asks", Asking::default(), &format!("b.example, http://127.0.0.1:{port}")).await;
    assert_eq!(host.ask("asks", &format!("http://127.0.0.1:{port}/a/b?c=%20")).await, (200, "hello".to_owned()));
    let head = server.asked()[0].to_ascii_lowercase();
    assert!(head.starts_with("get /a/b?c=%20 http/1.1\r\n"), "{head}");
    for line in [format!("host: 127.0.0.1:{port}\r\n"), "connection: close\r\n".to_owned()] {
        assert_eq!(head.matches(&line).count(), 1, "{head}");
    }
    let missing =
        Server::saying(&host.env, "HTTP/1.1 404 Not Found\r\ntransfer-encoding: chunked\r\n\r\n2\r\nno\r\n0\r\n\r\n");
    host.start("asks", Asking::default(), &missing.at.to_string()).await;
    assert_eq!(host.ask("asks", &format!("http://{}/", missing.at)).await, (404, "no".to_owned()));
    // As long as the connection lasts.
    let old = host.once(Asking::default(), vec![say("HTTP/1.0 200 OK\r\n\r\nold")]).await;
    assert_eq!(old, "old");
    let sent = Asking { upload: 20_000, ..Asking::default() };
    assert_eq!(host.once(sent, vec![Step::Read(20_000), say(HELLO)]).await, "hello");
    host.until("what was asked is given back", || host.engine.memory_bytes() == 0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn names_lead_to_this_machine_only_where_the_list_says_so() {
    let bounds = Bounds { asking_connect: Duration::from_secs(2), ..Bounds::default() };
    let host = Host::new(bounds);
    let server = Server::saying(&host.env, HELLO);
    let port = server.at.port();
    let names = format!("*.example:{port}, http://*.inside.example:{port}");
    host.start("asks", Asking::default(), &names).await;
    let urls = ["inside", "A.Inside", "metadata"].map(|name| format!("http://{name}.example:{port}/"));
    for url in &urls {
        assert_eq!(host.ask("asks", url).await.1, IP_PROHIBITED, "{url}");
    }
    assert_eq!(host.ask("asks", &format!("http://nobody.example:{port}/")).await.1, DNS_ERROR);
    assert_eq!(server.asked().len(), 0);
    host.start("asks", Asking::default(), &format!("{names}, 127.0.0.1:{port}")).await;
    for url in &urls {
        assert_eq!(host.ask("asks", url).await.1, "hello", "{url}");
    }
    assert!(server.asked()[1].contains(&format!("host: a.inside.example:{port}\r\n")), "{:?}", server.asked());
    // The first of its addresses has its part of the time, and no more.
    assert_eq!(host.ask("asks", &format!("http://two.example:{port}/")).await.1, "hello");
    host.start("asks", Asking::default(), &format!("localhost:{port}")).await;
    assert_eq!(host.ask("asks", &format!("http://localhost:{port}/")).await.1, "hello");
    assert_eq!(host.ask("asks", &format!("http://127.0.0.1:{port}/")).await.1, DENIED);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_reached_is_told() {
    let host = Host::new(Bounds::default());
    let free = host.env.tcp_listen("127.0.0.1:0".parse().unwrap()).unwrap().local_addr();
    let soon = Asking { connect: Some(500), ..Asking::default() };
    host.start("asks", soon, &format!("{free}, *.example")).await;
    assert_eq!(host.ask("asks", &format!("http://{free}/")).await.1, REFUSED);
    assert_eq!(host.ask("asks", "http://void.example/").await.1, CONNECTION_TIMEOUT);
    // Lookups that do not end keep their places, and nobody waits for long.
    for _ in 0..4 {
        assert_eq!(host.ask("asks", "http://slow.example/").await.1, DNS_TIMEOUT);
    }
    host.start("other", soon, "*.example").await;
    assert_eq!(host.ask("other", "http://nobody.example/").await.1, DNS_ERROR, "others have places of their own");
}

/// Certificates of one authority: PEM of the authority, and a server with a certificate for these names.
fn certified(names: &[&str]) -> (String, Arc<ServerConfig>) {
    let key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.distinguished_name.push(DnType::CommonName, "site");
    let authority = params.self_signed(&key).unwrap();
    let issuer = Issuer::new(params, key);
    let own = KeyPair::generate().unwrap();
    let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
    let certificate = CertificateParams::new(names).unwrap().signed_by(&own, &issuer).unwrap();
    let own = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(own.serialize_der()));
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let server = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    let server = server.with_no_client_auth().with_single_cert(vec![certificate.der().clone()], own).unwrap();
    (authority.pem(), Arc::new(server))
}

#[tokio::test(flavor = "multi_thread")]
async fn servers_show_certificates_of_those_who_are_trusted() {
    let host = Host::new(Bounds::default());
    let (ca, tls) = certified(&["127.0.0.1", "inside.example"]);
    let server = Server::start(&host.env, Some(tls), vec![say(HELLO)]);
    let (at, port) = (server.at, server.at.port());
    let list = format!("{at}, inside.example:{port}, localhost:{port}");
    let start = async |links: &[&[(&str, &str)]]| {
        host.engine.apply(host.spec("asks", Asking::default(), links)).await.unwrap();
    };
    start(&[&[("allow", &list), ("ca", &ca)]]).await;
    assert_eq!(host.ask("asks", &format!("https://{at}/x")).await, (200, "hello".to_owned()));
    assert_eq!(host.ask("asks", &format!("https://inside.example:{port}/")).await.1, "hello");
    let url = format!("https://localhost:{port}/");
    assert_eq!(host.ask("asks", &url).await.1, TLS_CERTIFICATE, "a name that the certificate has not");
    let plain = Server::saying(&host.env, HELLO);
    let (other, _) = certified(&["127.0.0.1"]);
    let both: String = [&*other, &*ca].concat();
    for (ca, answer) in [(&other, TLS_CERTIFICATE), (&both, "hello")] {
        start(&[&[("allow", &list), ("ca", ca)]]).await;
        assert_eq!(host.ask("asks", &format!("https://{at}/")).await.1, answer);
    }
    let at_plain = plain.at.to_string();
    // The first that allows it says who is trusted.
    start(&[&[("allow", &at_plain)], &[("allow", &list), ("ca", &ca)], &[("allow", &list), ("ca", &other)]]).await;
    assert_eq!(host.ask("asks", &format!("https://{at}/")).await.1, "hello");
    start(&[&[("allow", &at_plain), ("ca", &ca)]]).await;
    assert_eq!(host.ask("asks", &format!("http://{at_plain}/")).await.1, "hello", "no certificate is wanted there");
    let soon = Asking { connect: Some(300), ..Asking::default() };
    for (steps, answer) in
        [(vec![Step::Blurt("HTTP/1.1 400 Bad Request\r\n\r\n")], TLS_PROTOCOL), (vec![], CONNECTION_TIMEOUT)]
    {
        let plain = Server::start(&host.env, None, steps);
        let spec = host.spec("asks", soon, &[&[("allow", &plain.at.to_string()), ("ca", &ca)]]);
        host.engine.apply(spec).await.unwrap();
        assert_eq!(host.ask("asks", &format!("https://{}/", plain.at)).await.1, answer);
    }
    assert_eq!(server.asked().len(), 4);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_says_nothing_is_not_waited_for() {
    let host = Host::new(Bounds { asking_wait: Duration::from_secs(2), ..Bounds::default() });
    let begun = || vec![say("HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\npart"), Step::Hold];
    let first_byte = |millis| Asking { first_byte: Some(millis), ..Asking::default() };
    let between_bytes = |millis| Asking { between_bytes: Some(millis), ..Asking::default() };
    for how in [first_byte(100), first_byte(3_600_000), Asking::default()] {
        assert_eq!(host.once(how, vec![Step::Hold]).await, READ_TIMEOUT, "{how:?}");
    }
    for how in [between_bytes(100), between_bytes(3_600_000), Asking::default()] {
        assert_eq!(host.once(how, begun()).await, format!("part{READ_TIMEOUT}"), "{how:?}");
    }
    // It is the time in which nothing comes.
    let mut slowly = vec![say("HTTP/1.1 200 OK\r\ncontent-length: 6\r\n\r\n")];
    slowly.extend((0..6).flat_map(|_| [Step::Wait(500), say("x")]));
    assert_eq!(host.once(Asking::default(), slowly).await, "xxxxxx");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_too_large_is_broken_off() {
    let host = Host::new(Bounds { asking_body_bytes_max: 10_000, ..Bounds::default() });
    let answer = |len: usize| say(&format!("HTTP/1.1 200 OK\r\ncontent-length: {len}\r\n\r\n{}", "x".repeat(len)));
    assert_eq!(host.once(Asking::default(), vec![answer(10_000)]).await, "x".repeat(10_000));
    assert_eq!(host.once(Asking::default(), vec![answer(10_001)]).await, RESPONSE_BODY_SIZE);
    let chunk = format!("1000\r\n{}\r\n", "x".repeat(0x1000));
    let chunks = say(&format!("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n{}0\r\n\r\n", chunk.repeat(3)));
    let cut = host.once(Asking::default(), vec![chunks]).await;
    assert!(cut.ends_with(RESPONSE_BODY_SIZE) && cut.len() <= 10_003, "{}", cut.len());
    let head = say(&format!("HTTP/1.1 200 OK\r\nx: {}\r\ncontent-length: 0\r\n\r\n", "x".repeat(40_000)));
    assert_eq!(host.once(Asking::default(), vec![head]).await, HEADER_SECTION_SIZE);
    let fields = say(&format!("HTTP/1.1 200 OK\r\n{}content-length: 0\r\n\r\n", "x: y\r\n".repeat(200)));
    assert_eq!(host.once(Asking::default(), vec![fields]).await, HEADER_SECTION_SIZE);
    let upload = |upload| Asking { upload, ..Asking::default() };
    assert_eq!(host.once(upload(10_000), vec![Step::Read(10_000), say(HELLO)]).await, "hello");
    assert_eq!(host.once(upload(10_001), vec![Step::Hold]).await, REQUEST_BODY_SIZE);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_breaks_off_is_told() {
    let host = Host::new(Bounds::default());
    let once = async |text: &str| host.once(Asking::default(), vec![say(text)]).await;
    assert_eq!(once("HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\npart").await, format!("part{INCOMPLETE}"));
    assert_eq!(
        once("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n4\r\npart\r\n").await,
        format!("part{INCOMPLETE}")
    );
    assert_eq!(once("").await, INCOMPLETE);
    assert_eq!(once("HTTP/1.1 200").await, INCOMPLETE);
    assert_eq!(once("SSH-2.0-server\r\n\r\n").await, PROTOCOL_ERROR);
    assert_eq!(once("HTTP/1.1 101 Switching Protocols\r\nupgrade: x\r\n\r\n").await, UPGRADE_FAILED);
}

#[tokio::test(flavor = "multi_thread")]
async fn so_many_may_be_in_hand_and_no_more() {
    let bounds = Bounds { asking_max: 4, asking_total_max: 6, asked_max: 40, ..Bounds::default() };
    let host = Host::new(bounds);
    let server = Server::start(&host.env, None, vec![Step::Wait(2_000), say(HELLO)]);
    let (allow, url) = (server.at.to_string(), format!("http://{}/", server.at));
    let count = |text: &str| (text.matches("hello").count(), text.matches(LIMIT_REACHED).count());
    host.start("one", Asking { times: 40, ..Asking::default() }, &allow).await;
    assert_eq!(count(&host.ask("one", &url).await.1), (4, 36));
    host.start("other", Asking { times: 4, ..Asking::default() }, &allow).await;
    let (one, other) = futures_util::future::join(host.ask("one", &url), host.ask("other", &url)).await;
    let (one, other) = (count(&one.1), count(&other.1));
    assert_eq!((one.0 + one.1, other.0 + other.1, one.0 + other.0), (40, 4, 6));
    assert_eq!(count(&host.ask("other", &url).await.1), (4, 0), "places come back");
    host.start("more", Asking { times: 41, ..Asking::default() }, &allow).await;
    assert_eq!(host.try_ask("more", &url).await.unwrap_err(), HttpError::Failed);
    let failed = host.engine.inspect("more").unwrap().last_failure.unwrap().to_string();
    assert_eq!(failed, "component more: more than 40 requests made by HTTP within one call (asked_max)");
    host.until("what was asked is given back", || host.engine.memory_bytes() == 0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_in_hand_counts_as_memory() {
    let host = Host::new(Bounds { call: Duration::from_millis(500), ..Bounds::default() });
    let server = Server::start(&host.env, None, vec![Step::Hold]);
    let (allow, url) = (server.at.to_string(), format!("http://{}/", server.at));
    host.start("asks", Asking::default(), &allow).await;
    let (asked, most) = futures_util::future::join(host.try_ask("asks", &url), async {
        host.until("it asks", || server.asked().len() == 1).await;
        host.engine.memory_bytes()
    })
    .await;
    assert_eq!(asked.unwrap_err(), HttpError::Late);
    let host = Host::new(Bounds { memory_total_bytes_max: most - 1, memory_bytes: 9 << 20, ..Bounds::default() });
    host.start("asks", Asking::default(), &allow).await;
    assert_eq!(host.ask("asks", &url).await.1, INTERNAL);
    let bounds = Bounds { memory_total_bytes_max: most, memory_bytes: 9 << 20, ..Bounds::default() };
    let host = Host::new(Bounds { asking_wait: Duration::from_millis(100), ..bounds });
    host.start("asks", Asking::default(), &allow).await;
    assert_eq!(host.ask("asks", &url).await.1, READ_TIMEOUT);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_in_hand_ends_with_the_call() {
    let host =
        Host::new(Bounds { call: Duration::from_millis(300), drain: Duration::from_millis(100), ..Bounds::default() });
    let steps = [vec![Step::Hold], vec![say("HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\npart"), Step::Hold]];
    for steps in steps {
        let server = Server::start(&host.env, None, steps);
        host.start("asks", Asking { times: 3, ..Asking::default() }, &server.at.to_string()).await;
        let late = host.try_ask("asks", &format!("http://{}/", server.at)).await;
        assert_eq!(late.unwrap_err(), HttpError::Late);
        host.until("connections end", || server.gone.load(SeqCst) == 3).await;
    }
    host.until("what was asked is given back", || host.engine.memory_bytes() == 0).await;
    let limits = Limits { call: Some(Duration::from_secs(60)), ..Limits::default() };
    let server = Server::start(&host.env, None, vec![Step::Hold]);
    let spec = host.spec("stopped", Asking::default(), &[&[("allow", &server.at.to_string())]]);
    host.engine.apply(Spec { limits, ..spec }).await.unwrap();
    let (asked, ()) = futures_util::future::join(host.try_ask("stopped", &format!("http://{}/", server.at)), async {
        host.until("it asks", || server.asked().len() == 1).await;
        host.engine.stop().await;
    })
    .await;
    assert_eq!(asked.unwrap_err(), HttpError::Busy);
    host.until("connections end", || server.gone.load(SeqCst) == 1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_link_that_cannot_be_gone_by_is_refused_and_named() {
    let host = Host::new(Bounds::default());
    let refusal = async |config: &[(&str, &str)]| {
        host.engine.apply(host.spec("asks", Asking::default(), &[config])).await.unwrap_err().to_string()
    };
    let why = refusal(&[("allow", "a.example, https://b.example/path")]).await;
    let expected =
        "component asks: link default to http-client: allow has \"https://b.example/path\": its host is no name";
    assert!(why.starts_with(expected) && why.contains("expected authorities with commas between them"), "{why}");
    let why = refusal(&[("allow", "a.example"), ("ca", "/etc/ssl/ca.pem")]).await;
    let expected =
        "component asks: link default to http-client: ca: it has no certificate: expected certificates as PEM text";
    assert_eq!(why, expected);
    assert!(host.engine.running().is_empty());
}
