//! Tells of routes that lead to a real nats-server: it speaks another protocol, on TCP, and would never answer.

use crate::drop_in::log::{Level, Log};
use crate::node::Node;
use lattice_broker::env::{Env, Stream};
use std::collections::BTreeSet;
use std::future::poll_fn;
use std::io;
use std::sync::Arc;
use std::time::Duration;

/// The first look: an attempt at a link that gets no answer takes five seconds.
const FIRST: Duration = Duration::from_secs(6);
const LATER: Duration = Duration::from_secs(10);
const PATIENCE: Duration = Duration::from_secs(5);

/// Looks now and then whether a nats-server is what answers where a route leads that does not come up; says so once.
pub(super) async fn watch(env: Env, log: Log, node: Arc<Node>) {
    let mut told = BTreeSet::new();
    env.sleep(FIRST).await;
    loop {
        for (address, _) in node.mesh().dial_problems() {
            let is_real =
                !told.contains(&address) && env.timeout(PATIENCE, greets(&env, &address)).await.unwrap_or(false);
            if is_real {
                let what = "a real nats-server answers there, to which there are no routes";
                let instead = "make it a hub of leaf nodes, and join it with: lattice up --upstream";
                log.write(Level::Error, &format!("Route to {address}: {what}: {instead}"));
                told.insert(address);
            }
        }
        env.sleep(LATER).await;
    }
}

/// Whether what listens at `address` begins as nats-servers do.
async fn greets(env: &Env, address: &str) -> bool {
    let Ok(found) = env.resolve(address).await else { return false };
    for at in found {
        if let Ok(stream) = env.tcp_connect(at).await {
            return first_bytes(&stream).await.is_ok_and(|bytes| bytes == *b"INFO {");
        }
    }
    false
}

async fn first_bytes(stream: &Arc<dyn Stream>) -> io::Result<[u8; 6]> {
    let (mut bytes, mut len) = ([0; 6], 0);
    while len < bytes.len() {
        poll_fn(|cx| stream.poll_read_ready(cx)).await?;
        match stream.try_read(&mut bytes[len..]) {
            Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(more) => len += more,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) => return Err(error),
        }
    }
    Ok(bytes)
}
