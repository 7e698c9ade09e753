use super::client::{AskError, ask};
use super::server::Server;
use super::*;
use lattice_broker::env::Env;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio_util::sync::CancellationToken;

#[derive(Debug, Default)]
struct Double {
    stopped: AtomicUsize,
}

impl Handler for Double {
    fn status(&self) -> Status {
        crate::cli::status::tests::example()
    }

    fn invite(&self, request: InviteRequest) -> BoxFuture<Result<String, Refused>> {
        let answer = match request.uses {
            0 => Err(Refused { message: "no uses".into(), likely: Some("a slip".into()), r#try: None }),
            uses => Ok(format!("lat1:{uses}:{}", request.expires.as_secs())),
        };
        Box::pin(std::future::ready(answer))
    }

    fn members(&self) -> Vec<Member> {
        Vec::new()
    }

    fn revoke(&self, request: RevokeRequest) -> BoxFuture<Result<Revoked, Refused>> {
        let nodes = vec![format!("{request:?}")];
        Box::pin(std::future::ready(Ok(Revoked { nodes, file: String::new() })))
    }

    fn root(&self, request: RootRequest) -> BoxFuture<Result<Roots, Refused>> {
        let message = format!("{request:?}");
        Box::pin(std::future::ready(Err(Refused { message, likely: None, r#try: None })))
    }

    fn see(&self, question: Question) -> BoxFuture<Result<Seen, Refused>> {
        let Question::Events(next) = question else { panic!("{question:?}") };
        Box::pin(std::future::ready(Ok(Seen::Events(Events { next, ..Events::default() }))))
    }

    fn stop(&self) {
        self.stopped.fetch_add(1, Ordering::Relaxed);
    }
}

fn run(test: impl Future<Output = ()>) {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(test);
}

async fn serve(env: &Env, data: &Path) -> (Arc<Double>, CancellationToken) {
    let (double, stop) = (Arc::new(Double::default()), CancellationToken::new());
    let server = Server::claim(env, data).await.unwrap();
    env.spawn(server.serve(env.clone(), double.clone(), stop.clone()));
    (double, stop)
}

fn invite(uses: u32) -> Request {
    Request::Invite(InviteRequest::new(Duration::from_secs(60), uses))
}

#[test]
fn questions_are_answered() {
    run(async {
        let (env, folder) = (Env::tokio(), tempfile::tempdir().unwrap());
        let (double, _stop) = serve(&env, folder.path()).await;
        let status = ask(&env, folder.path(), Request::Status).await.unwrap();
        assert_eq!(status, Answer::Status(Box::new(double.status())));
        assert_eq!(ask(&env, folder.path(), invite(3)).await.unwrap(), Answer::Invite("lat1:3:60".into()));
        let refused = ask(&env, folder.path(), invite(0)).await.unwrap_err();
        assert!(matches!(refused, AskError::Refused(Refused { likely: Some(_), .. })), "{refused:?}");
        let place = Place { life: 3, number: 7 };
        let seen = ask(&env, folder.path(), Request::See(Question::Events(place))).await.unwrap();
        assert_eq!(seen, Answer::Seen(Seen::Events(Events { next: place, ..Events::default() })));
        assert_eq!(ask(&env, folder.path(), Request::Stop).await.unwrap(), Answer::Stopping);
        assert_eq!(double.stopped.load(Ordering::Relaxed), 1);
    });
}

#[test]
fn the_socket_is_for_its_user_alone_and_goes_with_the_node() {
    run(async {
        let (env, folder) = (Env::tokio(), tempfile::tempdir().unwrap());
        let data = folder.path().join("made/by/claim");
        let (_, stop) = serve(&env, &data).await;
        let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode(&data.join("control.sock")), 0o600);
        assert_eq!(mode(&data), 0o700);
        assert!(matches!(Server::claim(&env, &data).await, Err(SocketError::InUse { .. })));
        stop.cancel();
        wait_until(&env, || !data.join("control.sock").exists()).await;
        let gone = ask(&env, &data, Request::Status).await.unwrap_err();
        assert!(matches!(gone, AskError::Socket(SocketError::NotRunning { .. })), "{gone:?}");
        drop(Server::claim(&env, &data).await.unwrap());
    });
}

async fn wait_until(env: &Env, holds: impl Fn() -> bool) {
    let wait = async {
        while !holds() {
            env.sleep(Duration::from_millis(1)).await;
        }
    };
    env.timeout(Duration::from_secs(20), wait).await.expect("the condition holds in the end");
}

#[test]
fn a_dead_nodes_socket_is_replaced() {
    run(async {
        let (env, folder) = (Env::tokio(), tempfile::tempdir().unwrap());
        drop(std::os::unix::net::UnixListener::bind(folder.path().join("control.sock")).unwrap());
        std::fs::write(folder.path().join("control.lock"), "").unwrap();
        let error = ask(&env, folder.path(), Request::Status).await.unwrap_err();
        assert!(matches!(error, AskError::Socket(SocketError::NotRunning { .. })), "{error:?}");
        let _running = serve(&env, folder.path()).await;
        ask(&env, folder.path(), Request::Status).await.unwrap();
    });
}

#[test]
fn a_long_path_works_too() {
    run(async {
        let (env, folder) = (Env::tokio(), tempfile::tempdir().unwrap());
        let data = folder.path().join("long".repeat(40));
        let (_, stop) = serve(&env, &data).await;
        ask(&env, &data, Request::Status).await.unwrap();
        stop.cancel();
        wait_until(&env, || !data.join("control.sock").exists()).await;
    });
}

async fn say(data: &Path, text: &[u8]) -> String {
    let mut stream = UnixStream::connect(data.join("control.sock")).await.unwrap();
    // The server may hang up before it has read all.
    let _ = stream.write_all(text).await;
    stream.shutdown().await.unwrap();
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer).await;
    String::from_utf8(answer).unwrap()
}

#[test]
fn nonsense_is_refused_and_the_next_client_served() {
    run(async {
        let (env, folder) = (Env::tokio(), tempfile::tempdir().unwrap());
        let _running = serve(&env, folder.path()).await;
        assert!(say(folder.path(), b"hello\n").await.contains("malformed"));
        assert!(say(folder.path(), b"{\"v\":9,\"request\":\"later\"}\n").await.contains("has version 9"));
        assert!(say(folder.path(), b"{\"v\":1,\"request\":\"dance\"}\n").await.contains("unknown"));
        assert_eq!(say(folder.path(), b"{\"v\":1").await, "");
        assert!(say(folder.path(), &vec![b'x'; REQUEST_BYTES_MAX + 1]).await.contains("more than"));
        ask(&env, folder.path(), Request::Status).await.unwrap();
    });
}

#[test]
fn many_ask_at_once_and_one_connection_often() {
    run(async {
        let (env, folder) = (Env::tokio(), tempfile::tempdir().unwrap());
        let _running = serve(&env, folder.path()).await;
        let idle = UnixStream::connect(folder.path().join("control.sock")).await.unwrap();
        let asked: Vec<_> = (1..=40).map(|uses| (uses, ask(&env, folder.path(), invite(uses)))).collect();
        for (uses, answer) in
            futures_util::future::join_all(asked.into_iter().map(async |(n, ask)| (n, ask.await))).await
        {
            assert_eq!(answer.unwrap(), Answer::Invite(format!("lat1:{uses}:60")));
        }
        let twice = say(folder.path(), b"{\"v\":1,\"request\":\"stop\"}\n{\"v\":1,\"request\":\"stop\"}\n").await;
        assert_eq!(twice, "{\"v\":1,\"answer\":\"stopping\"}\n".repeat(2));
        drop(idle);
    });
}

#[test]
fn a_node_waits_for_a_command_that_holds_the_folder() {
    run(async {
        let (env, folder) = (Env::tokio(), tempfile::tempdir().unwrap());
        let data = folder.path().join("data");
        let held = hold(&data).unwrap();
        let asked = ask(&env, &data, Request::Status).await.unwrap_err();
        assert!(matches!(asked, AskError::Socket(SocketError::NotRunning { .. })), "{asked:?}");
        let mut claim = std::pin::pin!(Server::claim(&env, &data));
        let early = env.timeout(4 * HELD_POLL, claim.as_mut()).await;
        assert!(early.is_err(), "{early:?}");
        drop(held);
        let claimed = claim.await.unwrap();
        assert!(matches!(hold(&data), Err(SocketError::InUse { .. })));
        drop(claimed);
        drop(hold(&data).unwrap());
    });
}
