//! Joining: the one exchange by which a device with an invite becomes a member, on both sides of it.
//!
//! ```text
//! joiner ── TLS: voucher's key ──────────────► member   knows the voucher, spent ones included
//!        ◄── TLS: chain to the invite's root ──
//!        ── Request: name, keys, proofs ─────►          counts the use, durably
//!        ◄── Answer: Admitted | Refused ───────
//! ```
//!
//! One bidirectional stream, one message each way, each ended by the stream's end and bounded in size and time. What
//! an admission holds is left to `identity`; when to serve, to the node.

mod wire;

use super::quic::{
    ALPN_JOIN, BindError, DialError, Dialer, JoinAttempt, bind_client, client_config, client_transport, close,
};
use crate::codec;
use crate::identity::{
    Address, Admission, AdmissionError, Advice, Applicant, BadName, Identity, Invite, Joiner, LatticeId, NodeId,
    Refusal, Vouchers, certificate, check_name, printable,
};
use lattice_broker::env::{Elapsed, Env};
use quinn::{Connection, ConnectionError, VarInt};
use rustls::crypto::CryptoProvider;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc;
use wire::{ANSWER_MAX, Answer, PROTOCOL, REQUEST_MAX, Request, proof};

/// A whole exchange takes at most so long, on either side.
const EXCHANGE_TIMEOUT: Duration = Duration::from_secs(10);

/// A connection attempt takes at most so long.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// A joiner that has its answer closes the connection within this time, or has it closed.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(3);

/// Between the starts of two attempts.
const STAGGER: Duration = Duration::from_millis(200);

/// Addresses of members in an answer, at most.
const PEERS_MAX: usize = 32;

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

/// What came of a join, on the joiner's side.
#[derive(Clone, Debug)]
pub struct Joined {
    /// The new member; to be stored before it is used.
    pub identity: Identity,
    /// Where other members are.
    pub peers: Vec<SocketAddr>,
    /// Who answered.
    pub via: SocketAddr,
}

/// No membership. Trying again with the same invite helps after [`JoinError::NoAnswer`] and [`JoinError::Broken`] only.
#[derive(Debug, thiserror::Error)]
pub enum JoinError {
    /// No socket to dial from.
    #[error(transparent)]
    Bind(#[from] BindError),
    /// Nobody is there.
    #[error("no answer from {}", list(tried))]
    NoAnswer {
        /// All addresses in the invite.
        tried: Vec<SocketAddr>,
    },
    /// A node of another lattice.
    #[error("{by} answered, but for another lattice (root {theirs}, the invite says {ours})")]
    OtherLattice {
        /// Who.
        by: SocketAddr,
        /// The invite's lattice.
        ours: LatticeId,
        /// The one that answered.
        theirs: LatticeId,
    },
    /// A member of the right lattice, for which the invite is no invite.
    #[error("{by} is of the right lattice and does not know this invite")]
    UnknownInvite {
        /// Who.
        by: SocketAddr,
    },
    /// A member that says no.
    #[error("{refusal} (says {by})")]
    Refused {
        /// Who.
        by: SocketAddr,
        /// Why.
        refusal: Refusal,
    },
    /// A member's answer that makes no member.
    #[error("{by} sent no usable answer: {error}")]
    Unusable {
        /// Who.
        by: SocketAddr,
        /// What is wrong with it.
        error: AdmissionError,
    },
    /// The connection came about otherwise than it has to.
    #[error(transparent)]
    Dial(DialError),
    /// The connection ended too early.
    #[error("{by} was reached, but the exchange broke off: {why}")]
    Broken {
        /// Who.
        by: SocketAddr,
        /// Where it stood.
        why: String,
    },
}

impl JoinError {
    /// Likely cause, next command and code.
    #[must_use]
    pub fn advice(&self) -> Advice {
        match self {
            Self::Bind(_) => Advice::new("E0138", "no network yet, or too few rights", "try again with a network up"),
            Self::NoAnswer { tried } => Advice::new(
                "E0106",
                "the inviting node is off or out of reach, or a firewall drops UDP",
                format!(
                    "lattice status   there, and let UDP port {} pass",
                    tried.first().map_or(7443, SocketAddr::port)
                ),
            ),
            Self::OtherLattice { .. } => Advice::new(
                "E0107",
                "the lattice was made anew after this invite",
                "lattice invite   on a member, for a new one",
            ),
            Self::UnknownInvite { .. } => Refusal::Unknown.advice(),
            Self::Refused { refusal, .. } => refusal.advice(),
            Self::Unusable { .. } => {
                Advice::new("E0110", "the versions here and there differ", "lattice --version   on both")
            }
            Self::Dial(error) => error.advice(),
            Self::Broken { .. } => Advice::new("E0113", "a bad connection", "the same command again; it costs no use"),
        }
    }

    /// How much it says about what is wrong: of several addresses' errors the most telling one is shown.
    const fn weight(&self) -> u8 {
        match self {
            Self::Refused { .. } | Self::Unusable { .. } => 5,
            Self::UnknownInvite { .. } => 4,
            Self::OtherLattice { .. } => 3,
            Self::Broken { .. } => 2,
            Self::Dial(_) | Self::Bind(_) => 1,
            Self::NoAnswer { .. } => 0,
        }
    }
}

fn list(addresses: &[SocketAddr]) -> String {
    addresses.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

/// Asks the members named in `invite` for membership: all addresses in parallel with a stagger, the exchange with the
/// first that answers for the right lattice. Ends after some fifteen seconds at the latest. `bind` is where to dial
/// from; unspecified picks any address. Cancel safe: asking again with the same `applicant` costs no further use.
///
/// # Errors
/// [`JoinError`], the most telling one of all addresses'.
pub async fn join(
    env: &Env,
    invite: &Invite,
    applicant: &Applicant,
    crypto: &Arc<CryptoProvider>,
    bind: Option<SocketAddr>,
) -> Result<Joined, JoinError> {
    let endpoint = match bind {
        Some(addr) => bind_client(env, addr)?,
        None => bind_any(env, invite)?,
    };
    let voucher = vec![certificate::voucher(&invite.voucher)];
    let tls = client_config(crypto, ALPN_JOIN, voucher, &invite.voucher).map_err(BindError::Tls)?;
    let transport = Arc::new(client_transport(EXCHANGE_TIMEOUT));
    let dialer = Dialer::new(env, &endpoint, tls, transport, invite.lattice, CONNECT_TIMEOUT);
    let result = ask_all(env, invite, applicant, &dialer).await;
    endpoint.close(VarInt::from_u32(close::DONE), b"");
    // The member waits for this close before it forgets the connection; it has its own time-out as well.
    let _ = env.timeout(Duration::from_secs(1), endpoint.wait_idle()).await;
    result
}

fn bind_any(env: &Env, invite: &Invite) -> Result<quinn::Endpoint, BindError> {
    let v4 = SocketAddr::from(([0, 0, 0, 0], 0));
    if invite.addresses.iter().all(SocketAddr::is_ipv4) {
        return bind_client(env, v4);
    }
    // A device without IPv6 still reaches the IPv4 addresses.
    bind_client(env, SocketAddr::from(([0_u16; 8], 0))).or_else(|_| bind_client(env, v4))
}

async fn ask_all(env: &Env, invite: &Invite, applicant: &Applicant, dialer: &Dialer) -> Result<Joined, JoinError> {
    let (attempts, mut results) = mpsc::channel(invite.addresses.len().max(1));
    for (n, &addr) in (0_u32..).zip(&invite.addresses) {
        let (env, dialer, attempts) = (env.clone(), dialer.clone(), attempts.clone());
        env.clone().spawn(async move {
            env.sleep(STAGGER * n).await;
            if !attempts.is_closed() {
                // An error says that another address was quicker.
                let _ = attempts.send((addr, dialer.connect(addr).await)).await;
            }
        });
    }
    drop(attempts);
    let mut worst = JoinError::NoAnswer { tried: invite.addresses.clone() };
    while let Some((by, attempt)) = results.recv().await {
        let error = match attempt {
            Ok(connection) => match exchange(env, invite, applicant, &connection, by, dialer).await {
                Err(error @ JoinError::Broken { .. }) => error,
                Err(error @ JoinError::UnknownInvite { .. }) => error,
                done => return done,
            },
            Err(error) => from_dial(by, error),
        };
        if error.weight() > worst.weight() {
            worst = error;
        }
    }
    Err(worst)
}

fn from_dial(by: SocketAddr, error: DialError) -> JoinError {
    match error {
        DialError::NoAnswer { addr, .. } => JoinError::NoAnswer { tried: vec![addr] },
        DialError::OtherLattice { ours, theirs, .. } => JoinError::OtherLattice { by, ours, theirs },
        DialError::NotAMember { .. } => JoinError::UnknownInvite { by },
        DialError::Unreachable { .. }
        | DialError::BadCertificate { .. }
        | DialError::NotLattice { .. }
        | DialError::Busy { .. }
        | DialError::Myself { .. }
        | DialError::Closing { .. } => JoinError::Dial(error),
    }
}

/// Why an exchange with a member broke off.
enum Cut {
    Connection(ConnectionError),
    Other(String),
}

impl Cut {
    fn other(why: impl ToString) -> Self {
        Self::Other(why.to_string())
    }
}

async fn exchange(
    env: &Env,
    invite: &Invite,
    applicant: &Applicant,
    connection: &Connection,
    by: SocketAddr,
    dialer: &Dialer,
) -> Result<Joined, JoinError> {
    let exchange = env.timeout(EXCHANGE_TIMEOUT, ask(invite, applicant, connection));
    let answer = match exchange.await.unwrap_or_else(|Elapsed| Err(Cut::other("it took too long"))) {
        Ok(answer) => answer,
        Err(Cut::Connection(error)) => {
            let refused = matches!(dialer.explain(by, &error, None), DialError::NotAMember { .. });
            let why = printable(&error.to_string());
            return Err(if refused { JoinError::UnknownInvite { by } } else { JoinError::Broken { by, why } });
        }
        Err(Cut::Other(why)) => return Err(JoinError::Broken { by, why }),
    };
    match answer {
        Answer::Refused(refusal) => Err(JoinError::Refused { by, refusal: refusal.printable() }),
        Answer::Admitted { admission, peers } => {
            let identity = applicant
                .clone()
                .accept(invite.lattice, admission)
                .map_err(|error| JoinError::Unusable { by, error })?;
            let peers = peers.into_iter().take(PEERS_MAX).map(SocketAddr::from).collect();
            Ok(Joined { identity, peers, via: by })
        }
    }
}

async fn ask(invite: &Invite, applicant: &Applicant, connection: &Connection) -> Result<Answer, Cut> {
    let challenge = proof(connection, invite.lattice, &applicant.application()).map_err(Cut::Other)?;
    let request = codec::encode(&Request::new(applicant, &challenge));
    let cut = |other: String| connection.close_reason().map_or(Cut::Other(other), Cut::Connection);
    let (mut send, mut receive) = connection.open_bi().await.map_err(Cut::Connection)?;
    send.write_all(&request).await.map_err(|e| cut(e.to_string()))?;
    send.finish().map_err(|e| cut(e.to_string()))?;
    let answer = receive.read_to_end(ANSWER_MAX).await.map_err(|e| cut(e.to_string()))?;
    codec::decode(&answer).map_err(Cut::other)
}

#[cfg(test)]
mod tests;
