//! NATS clients that are not ours, and how to know that a subscription has arrived elsewhere.

use super::LIMIT;
use async_nats::{Client, ConnectOptions};
use futures_util::StreamExt;
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
