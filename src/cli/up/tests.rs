use super::*;
use crate::control::Answer;
use crate::control::Request;
use crate::control::client::ask;
use lattice_broker::env::BoxFuture;
use std::sync::Mutex;
use tokio::sync::{Semaphore, mpsc};

/// A node that tells what it is asked, and ends when it has a permit to.
#[derive(Debug)]
struct Double {
    may_end: Arc<Semaphore>,
    asked: Mutex<Vec<&'static str>>,
}

impl RunningNode for Double {
    fn status(&self) -> Status {
        Status {
            nats: "127.0.0.1:4222".into(),
            link: "127.0.0.1:7443".into(),
            ..super::super::status::tests::example()
        }
    }

    fn invite(&self, request: InviteRequest) -> BoxFuture<Result<String, CliError>> {
        self.asked.lock().unwrap().push("invite");
        Box::pin(std::future::ready(Ok(format!("lat1:{}", request.uses))))
    }

    fn members(&self) -> Vec<Member> {
        Vec::new()
    }

    fn revoke(&self, request: RevokeRequest) -> BoxFuture<Result<Revoked, CliError>> {
        let nodes = vec![format!("{request:?}")];
        Box::pin(std::future::ready(Ok(Revoked { nodes, file: String::new() })))
    }

    fn root(&self, request: RootRequest) -> BoxFuture<Result<Roots, CliError>> {
        Box::pin(std::future::ready(Err(CliError::new(format!("{request:?}")))))
    }

    fn see(&self, question: Question) -> BoxFuture<Result<Seen, CliError>> {
        Box::pin(std::future::ready(Err(CliError::new(format!("{question:?}")))))
    }

    fn drain(&self) -> BoxFuture<()> {
        self.asked.lock().unwrap().push("drain");
        let may_end = self.may_end.clone();
        Box::pin(async move { drop(may_end.acquire().await) })
    }
}

fn double(permits: usize) -> Arc<Double> {
    Arc::new(Double { may_end: Arc::new(Semaphore::new(permits)), asked: Mutex::new(Vec::new()) })
}

fn run(test: impl Future<Output = ()>) {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(test);
}

/// Lives with `node` while `test` runs; signals are what is sent on the channel.
async fn with_node<T>(node: Arc<Double>, test: impl AsyncFnOnce(&Env, &Path, mpsc::Sender<()>) -> T) -> T {
    let (env, folder) = (Env::tokio(), tempfile::tempdir().unwrap());
    let control = Server::claim(&env, folder.path()).await.unwrap();
    let (send, mut signals) = mpsc::channel(2);
    let signal = async || {
        signals.recv().await;
    };
    let life = async {
        live(&env, node, control, signal, async |_| ()).await;
        assert!(!folder.path().join("control.sock").exists());
    };
    let limit = Duration::from_secs(20);
    let both = async { tokio::join!(life, test(&env, folder.path(), send)).1 };
    env.timeout(limit, both).await.expect("the node ends")
}

#[test]
fn it_answers_and_ends_by_request() {
    run(async {
        let node = double(1);
        with_node(node.clone(), async |env, data, signals| {
            let request = InviteRequest::new(Duration::from_secs(1), 2);
            let invite = ask(env, data, Request::Invite(request)).await.unwrap();
            assert_eq!(invite, Answer::Invite("lat1:2".into()));
            assert_eq!(ask(env, data, Request::Stop).await.unwrap(), Answer::Stopping);
            signals
        })
        .await;
        assert_eq!(*node.asked.lock().unwrap(), ["invite", "drain"]);
    });
}

#[test]
fn the_second_signal_ends_it_at_once() {
    run(async {
        let node = double(0);
        with_node(node.clone(), async |_, _, signals| {
            signals.send(()).await.unwrap();
            signals.send(()).await.unwrap();
            signals
        })
        .await;
        assert_eq!(*node.asked.lock().unwrap(), ["drain"]);
    });
}

#[test]
fn the_banner_says_what_comes_next() {
    run(async {
        let env = Env::tokio();
        let mut config = Config { data: "/data".into(), ..Config::default() };
        config.link.advertise = vec!["10.0.0.7:7443".into()];
        let lines = banner(&env, &config, double(0).as_ref(), &Output::new(false, true), env.now()).await;
        let shown = lines[..lines.len() - 1].join("\n");
        let expected = "\
lattice 0.1.0  node \"kitchen-pi\"  id NDJU-QXYZ   data /data
  nats  nats://127.0.0.1:4222           any NATS client
  link  quic://10.0.0.7:7443
  knows 4 other nodes";
        assert!(shown.starts_with(expected), "{shown}");
        // An invite is for a person's eyes: what a test or a service prints goes into a log.
        if !Output::new(false, true).is_terminal() {
            assert!(shown.ends_with("add a node:  lattice invite --data /data"), "{shown}");
        }
        assert!(lines.last().unwrap().starts_with("ready in "));
    });
}
