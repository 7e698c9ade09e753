//! The member's side of a join. Who may come this far was decided by TLS; what is asked for is checked here.

use super::wire::{Answer, PROTOCOL, REQUEST_MAX, Request, proof};
use super::{EXCHANGE_TIMEOUT, PEERS_MAX};
use crate::codec;
use crate::identity::{
    Address, Admission, AdmissionError, BadName, Identity, Joiner, NodeId, Refusal, Vouchers, check_name,
};
use crate::mesh::quic::JoinAttempt;
use lattice_broker::env::{Elapsed, Env};
use std::net::SocketAddr;
use std::time::Duration;

/// A joiner that has its answer closes the connection within this time, or has it closed.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(3);

/// What came of a join, on the member's side.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Served {
    /// A new member.
    Admitted(Joiner),
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
    vouchers: &dyn Vouchers,
    attempt: JoinAttempt,
    peers: &[SocketAddr],
) -> Result<Served, Broken> {
    let exchange = async {
        let connection = &attempt.connection;
        let (mut send, mut receive) = connection.accept_bi().await.map_err(broken)?;
        let request = receive.read_to_end(REQUEST_MAX).await.map_err(broken)?;
        let (answer, served) = match decide(env, identity, vouchers, &attempt, &request).await {
            Ok((admission, joiner)) => {
                let peers = peers.iter().take(PEERS_MAX).copied().map(Address::from).collect();
                (Answer::Admitted { admission, peers }, Served::Admitted(joiner))
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
    vouchers: &dyn Vouchers,
    attempt: &JoinAttempt,
    request: &[u8],
) -> Result<(Admission, Joiner), Refusal> {
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
    // Signed first: a node that may not invite must not spend the invite.
    let admission = identity.admission(&application).map_err(|e| unable(&e))?;
    vouchers.redeem(attempt.voucher, &joiner, env.wall()).await?;
    Ok((admission, joiner))
}

fn unable(error: &AdmissionError) -> Refusal {
    match error {
        AdmissionError::NoIssuer { depth_max } => {
            Refusal::NoIssuer { depth_max: u32::try_from(*depth_max).unwrap_or(u32::MAX) }
        }
        AdmissionError::Chain(_) | AdmissionError::OtherKeys | AdmissionError::Name(_) => {
            Refusal::Unable { why: error.to_string() }
        }
    }
}

fn broken(why: impl ToString) -> Broken {
    Broken { why: why.to_string() }
}
