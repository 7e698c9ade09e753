//! What clients may expect of a NATS server, wherever each of them is connected.
//!
//! Each function takes clients and knows nothing of servers: the same expectations hold for one nats-server, for a
//! leaf pair of them, for a lattice, and for both together.

use super::LIMIT;
use super::clients::joined;
use async_nats::client::RequestErrorKind;
use async_nats::{Client, HeaderMap, Message, Subscriber};
use futures_util::StreamExt;
use std::time::{Duration, Instant};

const MEGABYTE: usize = 1 << 20;

/// The next message, within the usual limit.
pub async fn next(subscription: &mut Subscriber, what: &str) -> Message {
    match tokio::time::timeout(LIMIT, subscription.next()).await {
        Ok(Some(message)) => message,
        Ok(None) => panic!("the subscription ended: {what}"),
        Err(_) => panic!("no message within {LIMIT:?}: {what}"),
    }
}

fn number(message: &Message) -> u64 {
    u64::from_be_bytes(message.payload[..8].try_into().unwrap())
}

/// `count` messages from one to the other: each once, in order, and nothing else.
pub async fn in_order(from: &Client, to: &Client, count: u64) {
    let subject = from.new_inbox();
    let mut received = to.subscribe(format!("{subject}.*")).await.unwrap();
    joined(from, to).await;
    let publisher = from.clone();
    let sender = tokio::spawn(async move {
        for n in 0..count {
            let name = format!("{subject}.{}", n % 7);
            publisher.publish(name, n.to_be_bytes().to_vec().into()).await.unwrap();
        }
        // Whatever was sent twice would come before this.
        publisher.publish(format!("{subject}.end"), u64::MAX.to_be_bytes().to_vec().into()).await.unwrap();
        publisher.flush().await.unwrap();
    });
    for n in 0..count {
        let message = next(&mut received, &format!("message {n} of {count}")).await;
        assert_eq!(number(&message), n, "wrong message in place {n} of {count}");
    }
    let last = next(&mut received, "the end").await;
    assert_eq!(number(&last), u64::MAX, "a message came after all had come");
    sender.await.unwrap();
}

/// A queue group: each of `count` messages reaches exactly one of its members. Returns how many each got.
pub async fn one_member_each(from: &Client, members: &[Client], count: u64) -> Vec<usize> {
    let subject = from.new_inbox();
    let end = from.new_inbox();
    let mut tasks = Vec::new();
    for member in members {
        let mut work = member.queue_subscribe(subject.clone(), "workers".to_owned()).await.unwrap();
        let mut ends = member.subscribe(end.clone()).await.unwrap();
        joined(from, member).await;
        tasks.push(tokio::spawn(async move {
            let mut got = Vec::new();
            loop {
                tokio::select! {
                    biased;
                    Some(message) = work.next() => got.push(number(&message)),
                    Some(_) = ends.next() => return got,
                }
            }
        }));
    }
    for n in 0..count {
        from.publish(subject.clone(), n.to_be_bytes().to_vec().into()).await.unwrap();
    }
    // On the same connection, so that it reaches each member after all that the member got.
    from.publish(end, "".into()).await.unwrap();
    from.flush().await.unwrap();
    let mut per_member = Vec::new();
    let mut all = Vec::new();
    for task in tasks {
        let got = tokio::time::timeout(LIMIT, task).await.expect("every member sees the end").unwrap();
        assert!(got.is_sorted(), "a member got messages out of order");
        per_member.push(got.len());
        all.extend(got);
    }
    all.sort_unstable();
    assert_eq!(all, (0..count).collect::<Vec<_>>(), "each message exactly once; members got {per_member:?}");
    per_member
}

/// Of two members of a queue group one leaves while messages for it are on their way; the two get each message once. Returns
/// how many each got.
pub async fn one_member_leaves(from: &Client, stays: &Client, leaves: &Client, count: u64) -> (usize, usize) {
    let subject = from.new_inbox();
    let mut staying = stays.queue_subscribe(subject.clone(), "workers".to_owned()).await.unwrap();
    let mut leaving = leaves.queue_subscribe(subject.clone(), "workers".to_owned()).await.unwrap();
    // Server and client count alike. After a plain UNSUB this client drops what the server sends until it has read that.
    leaving.unsubscribe_after(100).await.unwrap();
    joined(from, stays).await;
    joined(from, leaves).await;
    let left = tokio::spawn(leaving.map(|message| number(&message)).collect::<Vec<_>>());
    for n in 0..count {
        from.publish(subject.clone(), n.to_be_bytes().to_vec().into()).await.unwrap();
        // Spread over the time that interest takes to be withdrawn.
        if n % 100 == 0 {
            from.flush().await.unwrap();
        }
    }
    from.flush().await.unwrap();
    let mut all = tokio::time::timeout(LIMIT, left).await.expect("one has left").unwrap();
    let before = all.len();
    while all.len() < usize::try_from(count).unwrap() {
        let next = tokio::time::timeout(LIMIT, staying.next()).await;
        let message = next.unwrap_or_else(|_| panic!("{} of {count} have come, {before} of them at first", all.len()));
        all.push(number(&message.unwrap()));
    }
    all.sort_unstable();
    assert_eq!(all, (0..count).collect::<Vec<_>>(), "each message exactly once");
    (all.len() - before, before)
}

/// Requests are answered by who serves them. Returns the median time of one.
pub async fn requests(from: &Client, to: &Client, count: u32) -> Duration {
    let subject = from.new_inbox();
    let mut served = to.subscribe(subject.clone()).await.unwrap();
    joined(from, to).await;
    let server = to.clone();
    let serving = tokio::spawn(async move {
        while let Some(request) = served.next().await {
            let answer = [b"re: ", request.payload.as_ref()].concat();
            server.publish(request.reply.expect("a request"), answer.into()).await.unwrap();
        }
    });
    let mut times = Vec::new();
    for n in 0..count {
        let start = Instant::now();
        let answer = from.request(subject.clone(), n.to_string().into()).await.unwrap();
        times.push(start.elapsed());
        assert_eq!(answer.payload, format!("re: {n}").as_bytes());
    }
    serving.abort();
    median(times)
}

/// A request that nobody serves is refused at once. Returns the median time of several: one alone may be held up by
/// whatever else the machine does.
pub async fn nobody_serves(from: &Client) -> Duration {
    let subject = from.new_inbox();
    let mut times = Vec::new();
    for _ in 0..21 {
        let start = Instant::now();
        let error = from.request(subject.clone(), "anyone?".into()).await.expect_err("nobody serves this");
        times.push(start.elapsed());
        assert_eq!(error.kind(), RequestErrorKind::NoResponders, "{error}");
    }
    median(times)
}

/// Headers arrive as sent, with and without a payload.
pub async fn headers(from: &Client, to: &Client) {
    let subject = from.new_inbox();
    let mut received = to.subscribe(subject.clone()).await.unwrap();
    joined(from, to).await;
    let mut sent = HeaderMap::new();
    sent.insert("X-Plain", "value");
    sent.append("X-Twice", "first");
    sent.append("X-Twice", "second, with = and : inside");
    sent.insert("lower-case", "kept");
    sent.insert("X-Utf8", "grüße, 世界");
    for payload in ["", "with a payload"] {
        from.publish_with_headers(subject.clone(), sent.clone(), payload.into()).await.unwrap();
        let message = next(&mut received, "a message with headers").await;
        assert_eq!(message.headers.as_ref(), Some(&sent));
        assert_eq!(message.payload, payload.as_bytes());
    }
    from.publish(subject, "none".into()).await.unwrap();
    assert_eq!(next(&mut received, "a message without headers").await.headers, None);
}

/// The smallest and the largest payload, and the sizes around what buffers are made of.
pub async fn payloads(from: &Client, to: &Client) {
    let subject = from.new_inbox();
    let mut received = to.subscribe(subject.clone()).await.unwrap();
    joined(from, to).await;
    for size in [0, 1, 4_095, 65_536, 65_537, MEGABYTE, 0, MEGABYTE] {
        let payload: Vec<u8> = (0..size).map(|at| u8::try_from((at * 31 + at / 251) % 256).unwrap()).collect();
        from.publish(subject.clone(), payload.clone().into()).await.unwrap();
        let message = next(&mut received, &format!("a payload of {size} bytes")).await;
        assert_eq!(message.payload.len(), size);
        assert!(message.payload == payload, "a payload of {size} bytes arrived changed");
    }
}

/// The middle one.
pub fn median(mut times: Vec<Duration>) -> Duration {
    times.sort_unstable();
    times[times.len() / 2]
}
