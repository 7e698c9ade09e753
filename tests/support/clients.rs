//! NATS clients that are not ours, and how to know that a subscription has arrived elsewhere.

use super::{LIMIT, wait_for};
use async_nats::{Client, ConnectOptions};
use futures_util::StreamExt;
use std::io::{BufRead, BufReader};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

/// Connects, and stays: the client reconnects by itself whenever its server returns.
pub async fn connect(url: &str) -> Client {
    ConnectOptions::new()
        .request_timeout(Some(Duration::from_secs(5)))
        .reconnect_delay_callback(|_| Duration::from_millis(50))
        .max_reconnects(None)
        .connect(url)
        .await
        .unwrap_or_else(|error| panic!("{url}: {error}"))
}

/// Connects to each.
pub async fn connect_all(urls: &[String]) -> Vec<Client> {
    let mut clients = Vec::new();
    for url in urls {
        clients.push(connect(url).await);
    }
    clients
}

/// Waits until all that `to` has subscribed to so far is known where `from` is connected; returns how long it took.
///
/// Interest travels in order: once one further subject of `to` answers to `from`, the earlier ones are there as well.
///
/// # Panics
/// After `limit`.
pub async fn joined_within(from: &Client, to: &Client, limit: Duration) -> Duration {
    let start = Instant::now();
    let subject = to.new_inbox();
    let mut asked = to.subscribe(subject.clone()).await.unwrap();
    let responder = to.clone();
    let answering = tokio::spawn(async move {
        while let Some(request) = asked.next().await {
            if let Some(reply) = request.reply {
                responder.publish(reply, "".into()).await.unwrap();
            }
        }
    });
    loop {
        let answer = tokio::time::timeout(Duration::from_millis(500), from.request(subject.clone(), "".into())).await;
        if let Ok(Ok(_)) = answer {
            answering.abort();
            return start.elapsed();
        }
        assert!(start.elapsed() < limit, "no request got through within {limit:?}, the last said: {answer:?}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// As [`joined_within`], with the usual limit.
pub async fn joined(from: &Client, to: &Client) -> Duration {
    joined_within(from, to, LIMIT).await
}

/// The INFO of the server at `address`, if it answers.
fn info_of(address: SocketAddr) -> Option<async_nats::ServerInfo> {
    let mut info = String::new();
    BufReader::new(TcpStream::connect(address).ok()?).read_line(&mut info).ok()?;
    serde_json::from_str(info.strip_prefix("INFO ")?).ok()
}

/// Waits until who connects to `address` is told of the servers `all` and of no other, and of that one first.
pub fn wait_told(address: SocketAddr, all: &[SocketAddr]) {
    let mut wanted: Vec<String> = all.iter().map(ToString::to_string).collect();
    wanted.sort_unstable();
    wait_for(&format!("clients of {address} are told of {wanted:?}"), LIMIT, || {
        let mut told = info_of(address)?.connect_urls;
        let is_first = told.first() == Some(&address.to_string());
        told.sort_unstable();
        (is_first && told == wanted).then_some(())
    });
}
