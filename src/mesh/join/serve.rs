//! The member's side of a join. Who may come this far was decided by TLS; what is asked for is checked here.

use super::wire::{Answer, PROTOCOL, REQUEST_MAX, Request, proof};
use super::{EXCHANGE_TIMEOUT, PEERS_MAX};
use crate::codec;
use crate::identity::{Address, Admitted, BadName, Chain, Identity, Joiner, NodeId, Refusal, Roll, check_name};
use crate::mesh::quic::JoinAttempt;
use lattice_broker::env::{Elapsed, Env};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

/// A joiner that has its answer closes the connection within this time, or has it closed.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(3);

/// What came of a join, on the member's side.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Served {
    /// A new member, and what makes it one: for the others to know.
    Admitted(Joiner, Arc<Chain>),
    /// Turned away, and told why.
    Refused(Refusal),
}

/// The exchange did not come to its end. The joiner tries again if it can.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a join broke off: {why}")]
pub struct Broken {
    /// Where it stood.
    pub why: String,
}

/// Serves one joiner: checks what it asks for, counts the use of its invite, answers. `peers` are addresses of
/// members, this one's first. Ends within some ten seconds. Cancel safe: a use that was counted for an answer that
/// was not sent serves the same joiner again.
///
/// # Errors
/// [`Broken`] when the joiner went away or sent something else; nobody was admitted then, or it does not know yet.
pub async fn serve(
    env: &Env,
    identity: &Identity,
    roll: &Roll,
    attempt: JoinAttempt,
    peers: &[SocketAddr],
) -> Result<Served, Broken> {
    let exchange = async {
        let connection = &attempt.connection;
        let (mut send, mut receive) = connection.accept_bi().await.map_err(broken)?;
        let request = receive.read_to_end(REQUEST_MAX).await.map_err(broken)?;
        let (answer, served) = match decide(env, identity, roll, &attempt, &request).await {
            Ok((Admitted { admission, chain, .. }, joiner)) => {
                let peers = peers.iter().take(PEERS_MAX).copied().map(Address::from).collect();
                (Answer::Admitted { admission, peers }, Served::Admitted(joiner, chain))
            }
            Err(refusal) => (Answer::Refused(refusal.clone()), Served::Refused(refusal)),
        };
        send.write_all(&codec::encode(&answer)).await.map_err(broken)?;
        send.finish().map_err(broken)?;
        // The joiner closes when it has read it all; closing here could cut the answer off.
        let _ = env.timeout(CLOSE_TIMEOUT, connection.closed()).await;
        Ok(served)
    };
    env.timeout(EXCHANGE_TIMEOUT, exchange).await.unwrap_or_else(|Elapsed| Err(broken("it took too long")))
}

async fn decide(
    env: &Env,
    identity: &Identity,
    roll: &Roll,
    attempt: &JoinAttempt,
    request: &[u8],
) -> Result<(Admitted, Joiner), Refusal> {
    let bad = |why: String| Refusal::BadRequest { why };
    let request: Request = codec::decode(request).map_err(|e| bad(e.to_string()))?;
    if request.protocol != PROTOCOL {
        return Err(bad(format!("it speaks version {}, the member version {PROTOCOL}", request.protocol)));
    }
    check_name(&request.name).map_err(|e: BadName| bad(e.to_string()))?;
    let application = request.application();
    let challenge = proof(&attempt.connection, identity.lattice(), &application).map_err(bad)?;
    if !request.is_proved(&challenge) {
        return Err(bad("it does not prove that it holds its keys".to_owned()));
    }
    let joiner = Joiner { node: NodeId(application.node.0), name: request.name };
    let mut admitted = roll.admit(identity, &attempt.voucher, &application, &joiner, env.wall())?;
    // Also for a repeated use: the first one's count may still be on its way to the disk.
    (&mut admitted.durable).await.map_err(|error| Refusal::Unable { why: error.to_string() })?;
    Ok((admitted, joiner))
}

fn broken(why: impl ToString) -> Broken {
    Broken { why: why.to_string() }
}
