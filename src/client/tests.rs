//! Against a real nats-server: `LATTICE_NATS_SERVER` names the program, else `.work/nats-server` in the repository.

use super::*;
use lattice_broker::env::write_all;
use std::io::{BufRead, BufReader, Read};
use std::path::PathBuf;
use std::process::{Child, ChildStderr, Command, Stdio};

struct NatsServer {
    process: Child,
    url: ServerUrl,
    /// Stays open: a server whose log nobody reads any more is ended by its next line.
    _log: BufReader<ChildStderr>,
}

impl NatsServer {
    /// Starts one on a free port and waits until it says that it is ready.
    fn start(flags: &[&str]) -> Self {
        let here = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/.work/nats-server"));
        let program = std::env::var_os("LATTICE_NATS_SERVER").map_or(here, PathBuf::from);
        let mut command = Command::new(&program);
        command.args(["-a", "127.0.0.1", "-p", "-1"]).args(flags).stderr(Stdio::piped());
        let mut process = command.spawn().unwrap_or_else(|error| {
            panic!("{}: {error}; set LATTICE_NATS_SERVER to a nats-server 2.15", program.display())
        });
        let mut log = BufReader::new(process.stderr.take().unwrap());
        let mut lines = log.by_ref().lines().map(Result::unwrap);
        let marker = "Listening for client connections on ";
        let line = lines.find(|line| line.contains(marker)).expect("the server listens");
        let address = line.split(marker).nth(1).unwrap().to_owned();
        lines.find(|line| line.ends_with("Server is ready")).expect("the server is ready");
        Self { process, url: ServerUrl::parse(&address, 0).unwrap(), _log: log }
    }
}

impl Drop for NatsServer {
    fn drop(&mut self) {
        // It may have been killed by the test already.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn run(test: impl Future<Output = ()>) {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(test);
}

async fn connect(server: &NatsServer) -> Client {
    Client::connect(&Env::tokio(), &server.url, Options::default()).await.unwrap()
}

#[test]
fn messages_arrive_once_in_order_and_as_sent() {
    run(async {
        let server = NatsServer::start(&[]);
        let (publisher, subscriber) = (connect(&server).await, connect(&server).await);
        assert!(publisher.server().headers);
        let mut messages = subscriber.subscribe("a.>", None).await.unwrap();
        subscriber.flush().await.unwrap();
        for number in 0..10_000 {
            publisher.publish("a.b", format!("{number}").as_bytes()).await.unwrap();
        }
        let mut headers = Headers::default();
        headers.push("Trace: 1").unwrap();
        let large = vec![b'x'; 1 << 20];
        let last =
            Outgoing { subject: "a.c", reply: Some("r"), headers: Some(&headers), payload: &large[..(1 << 20) - 64] };
        publisher.send(last).await.unwrap();
        publisher.publish("a.d", b"").await.unwrap();
        publisher.close().await.unwrap();
        for number in 0..10_000 {
            assert_eq!(messages.next().await.unwrap().payload, format!("{number}"));
        }
        let message = messages.next().await.unwrap();
        assert_eq!((message.headers(), message.reply.as_deref()), (headers, Some("r")));
        assert_eq!(message.payload.len(), (1 << 20) - 64);
        assert_eq!(messages.next().await.unwrap().payload.len(), 0);
        assert_eq!(messages.dropped(), 0);
    });
}

#[test]
fn requests_are_answered_or_refused_at_once() {
    run(async {
        let server = NatsServer::start(&[]);
        let (service, asker) = (connect(&server).await, connect(&server).await);
        let mut requests = service.subscribe("double", Some("workers")).await.unwrap();
        service.flush().await.unwrap();
        let serve = async {
            while let Some(request) = requests.next().await {
                let twice = [&request.payload[..], &request.payload[..]].concat();
                service.publish(&request.reply.unwrap(), &twice).await.unwrap();
            }
        };
        let ask = async {
            for text in ["a", "bc", "d"] {
                let answer = asker.request("double", None, text.as_bytes(), Duration::from_secs(20)).await.unwrap();
                assert_eq!(answer.payload, text.repeat(2));
            }
            let nobody = asker.request("nobody", None, b"x", Duration::from_secs(20)).await.unwrap_err();
            assert_eq!(nobody, ClientError::NoResponders { subject: "nobody".into() });
            let _silent = asker.subscribe("silent", None).await.unwrap();
            let late = asker.request("silent", None, b"", Duration::from_millis(10)).await.unwrap_err();
            assert!(matches!(late, ClientError::TimedOut { .. }), "{late:?}");
        };
        tokio::select! {
            () = serve => panic!("the service's connection ended"),
            () = ask => {}
        }
    });
}

#[test]
fn a_subscription_ends_after_its_last_message_or_with_its_handle() {
    run(async {
        let server = NatsServer::start(&[]);
        let client = connect(&server).await;
        let mut two = client.subscribe("s", None).await.unwrap();
        two.unsubscribe_after(2).await.unwrap();
        let dropped = client.subscribe("s", None).await.unwrap();
        drop(dropped);
        for _ in 0..3 {
            client.publish("s", b"x").await.unwrap();
        }
        assert_eq!(
            [two.next().await.is_some(), two.next().await.is_some(), two.next().await.is_some()],
            [true, true, false]
        );
        let error = client.request("s", None, b"", Duration::from_secs(20)).await.unwrap_err();
        assert!(matches!(error, ClientError::NoResponders { .. }), "{error:?}");
    });
}

#[test]
fn a_full_subscription_drops_and_counts_or_waits() {
    run(async {
        let server = NatsServer::start(&[]);
        let publisher = connect(&server).await;
        for (when_full, kept) in [(WhenFull::Drop, 10), (WhenFull::Wait, 100)] {
            let options = Options { when_full, pending_bytes_max: 10 * (256 + 1 + 99), ..Options::default() };
            let client = Client::connect(&Env::tokio(), &server.url, options).await.unwrap();
            let mut messages = client.subscribe("f", None).await.unwrap();
            client.flush().await.unwrap();
            for _ in 0..100 {
                publisher.publish("f", &[b'x'; 99]).await.unwrap();
            }
            publisher.flush().await.unwrap();
            if when_full == WhenFull::Drop {
                client.flush().await.unwrap();
            }
            for _ in 0..kept {
                messages.next().await.unwrap();
            }
            assert_eq!(messages.dropped(), 100 - kept);
        }
    });
}

#[test]
fn the_servers_refusals_are_told() {
    run(async {
        let server = NatsServer::start(&["--user", "ann", "--pass", "s3cret"]);
        let env = Env::tokio();
        let refused = Client::connect(&env, &server.url, Options::default()).await.unwrap_err();
        assert_eq!(refused, ClientError::Refused { text: "Authorization Violation".into() });
        let credentials = Credentials::Password { user: "ann".into(), pass: "s3cret".into() };
        let url = ServerUrl { credentials, ..server.url.clone() };
        let client = Client::connect(&env, &url, Options::default()).await.unwrap();
        assert!(matches!(client.publish("a b", b"").await, Err(ClientError::BadSubject { .. })));
        assert!(matches!(client.publish("a", &vec![0; 2 << 20]).await, Err(ClientError::TooLarge { .. })));
        let _bad = client.subscribe("a..b", None).await.unwrap();
        assert_eq!(client.flush().await, Err(ClientError::Server { text: "Invalid Subject".into() }));
        client.flush().await.unwrap();
    });
}

#[test]
fn a_lost_server_ends_all_that_waits() {
    run(async {
        let mut server = NatsServer::start(&["--auth", "t0ken"]);
        let url = ServerUrl { credentials: Credentials::Token("t0ken".into()), ..server.url.clone() };
        let client = Client::connect(&Env::tokio(), &url, Options::default()).await.unwrap();
        let mut messages = client.subscribe("a", None).await.unwrap();
        client.flush().await.unwrap();
        server.process.kill().unwrap();
        assert!(messages.next().await.is_none());
        assert!(matches!(client.ended().await, ClientError::Lost { .. }));
        assert!(client.publish("a", b"").await.is_err() && client.flush().await.is_err());
        server.process.wait().unwrap();
        let gone = Client::connect(&Env::tokio(), &url, Options::default()).await.unwrap_err();
        assert!(matches!(gone, ClientError::Unreachable { refused: true, .. }), "{gone:?}");
    });
}

/// A server that accepts and says nothing, or nonsense.
#[test]
fn what_is_no_server_is_told_in_time() {
    run(async {
        let env = Env::tokio();
        let mut listener = env.tcp_listen("127.0.0.1:0".parse().unwrap()).unwrap();
        let url = ServerUrl::parse(&listener.local_addr().to_string(), 0).unwrap();
        let options = || Options { connect_timeout: Duration::from_millis(50), ..Options::default() };
        let silent = Client::connect(&env, &url, options()).await.unwrap_err();
        assert!(matches!(silent, ClientError::TimedOut { .. }), "{silent:?}");
        env.spawn(async move {
            while let Ok(stream) = std::future::poll_fn(|cx| listener.poll_accept(cx)).await {
                // The first stream belongs to the attempt that has been given up.
                let _ = write_all(stream.as_ref(), b"HTTP/1.1 400 Bad Request\r\n\r\n").await;
            }
        });
        let options = Options { connect_timeout: Duration::from_secs(20), ..Options::default() };
        let nonsense = Client::connect(&env, &url, options).await.unwrap_err();
        assert!(matches!(nonsense, ClientError::Protocol(_)), "{nonsense:?}");
    });
}
