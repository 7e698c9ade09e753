//! What the broker remembers for those who watch, and in which order it tells of it.
#![expect(clippy::unwrap_used, reason = "the helpers are part of the tests")]

use lattice_broker::env::Env;
use lattice_broker::monitor::{BadQuestion, ConnState, Connz, ConnzOptions, SubszOptions};
use lattice_broker::{Broker, Config};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

const LIMIT: Duration = Duration::from_secs(20);

fn start(config: Config) -> (Broker, SocketAddr) {
    let broker = Broker::new(Env::tokio(), config).unwrap();
    let addr = broker.listen().unwrap();
    (broker, addr)
}

fn config() -> Config {
    Config { listen: SocketAddr::from(([127, 0, 0, 1], 0)), ..Config::default() }
}

/// A client that has said `text`, all of which has been handled.
fn client(addr: SocketAddr, text: &str) -> TcpStream {
    let mut stream = TcpStream::connect(addr).unwrap();
    stream.set_read_timeout(Some(LIMIT)).unwrap();
    stream.write_all(format!("CONNECT {{\"verbose\":false}}\r\n{text}PING\r\n").as_bytes()).unwrap();
    let mut heard = Vec::new();
    while !heard.ends_with(b"PONG\r\n") {
        let mut chunk = [0; 4096];
        let len = stream.read(&mut chunk).unwrap();
        assert!(len > 0, "closed: {}", String::from_utf8_lossy(&heard));
        heard.extend_from_slice(&chunk[..len]);
    }
    stream
}

async fn until(what: &str, mut condition: impl FnMut() -> bool) {
    let env = Env::tokio();
    let deadline = env.now() + LIMIT;
    while !condition() {
        assert!(env.now() < deadline, "never: {what}");
        env.sleep(Duration::from_millis(2)).await;
    }
}

fn cids(connz: &Connz) -> Vec<u64> {
    connz.connections.as_ref().unwrap().iter().map(|connection| connection.cid).collect()
}

/// Goal: of connections that have ended the last ones are remembered, and no more than were asked for.
#[tokio::test(flavor = "multi_thread")]
async fn what_has_ended_is_remembered_up_to_a_bound() {
    let (broker, addr) = start(Config { closed_max: 3, ..config() });
    let closed = ConnzOptions { state: ConnState::Closed, subscriptions: true, ..ConnzOptions::default() };
    let mut last = 0;
    for at in 0..5 {
        let subs: String = (0..40).map(|sid| format!("SUB s{at} {sid}\r\n")).collect();
        let stream = client(addr, &subs);
        last = cids(&broker.monitor().connz(&ConnzOptions::default()).unwrap())[0];
        drop(stream);
        until("it is gone", || broker.stats().connections == 0).await;
    }
    until("all are remembered", || cids(&broker.monitor().connz(&closed).unwrap()).last() == Some(&last)).await;
    let connz = broker.monitor().connz(&closed).unwrap();
    assert_eq!((connz.total, connz.num_connections), (3, 3));
    let newest = &connz.connections.unwrap()[2];
    assert_eq!((newest.reason, newest.subscriptions, newest.subscriptions_list.len()), ("Client Closed", 40, 8));
    broker.drain().await;
}

/// Goal: connections come in the order that is asked for, a page at a time.
#[tokio::test(flavor = "multi_thread")]
async fn connections_are_put_in_order() {
    let (broker, addr) = start(config());
    let _first = client(addr, "SUB a 1\r\nPUB b 3\r\nxyz\r\nPUB a 1\r\nx\r\n");
    let _second = client(addr, "SUB c 1\r\nSUB d 2\r\nPUB b 9\r\n123456789\r\n");
    let ask = |sort: &str| {
        let options = ConnzOptions { sort: sort.to_owned(), ..ConnzOptions::default() };
        broker.monitor().connz(&options).map(|connz| cids(&connz))
    };
    let all = ask("cid").unwrap();
    let turned: Vec<u64> = all.iter().rev().copied().collect();
    for (sort, expected) in [
        ("", &all),
        ("start", &all),
        ("msgs_from", &all),
        ("msgs_to", &all),
        ("bytes_to", &all),
        ("uptime", &all),
        ("pending", &all),
        ("subs", &turned),
        ("bytes_from", &turned),
        ("last", &turned),
    ] {
        assert_eq!(&ask(sort).unwrap(), expected, "{sort}");
    }
    assert_eq!(ask("nothing"), Err(BadQuestion::Sort("nothing".to_owned())));
    assert_eq!(ask("stop"), Err(BadQuestion::SortOpen("stop")));
    let page = ConnzOptions { offset: 1, limit: 1, ..ConnzOptions::default() };
    assert_eq!(cids(&broker.monitor().connz(&page).unwrap()), &all[1..]);
    let test = SubszOptions { subscriptions: true, test: "d".to_owned(), ..SubszOptions::default() };
    let subsz = broker.monitor().subsz(&test).unwrap();
    assert_eq!((subsz.total, &*subsz.subscriptions_list[0].sid), (1, "2"));
    broker.drain().await;
}
