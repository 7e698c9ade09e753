//! The joiner's side of a join: all addresses of the invite, until one answers for the right lattice.

use super::wire::{ANSWER_MAX, Answer, Request, proof};
use super::{EXCHANGE_TIMEOUT, JoinError, PEERS_MAX};
use crate::codec;
use crate::identity::{Applicant, ChainError, Identity, Invite, Refusal, printable};
use crate::mesh::quic::{
    ALPN_JOIN, BindError, DialError, Dialer, Expected, Standing, bind_client, client_config, client_transport, close,
};
use lattice_broker::env::{Elapsed, Env};
use quinn::{Connection, ConnectionError, VarInt};
use rustls::crypto::CryptoProvider;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc;

/// A connection attempt takes at most so long.
pub(super) const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// Between the starts of two attempts.
const STAGGER: Duration = Duration::from_millis(200);

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
    let tls = client_config(crypto, ALPN_JOIN, invite.certificates(), invite.key()).map_err(BindError::Tls)?;
    let transport = Arc::new(client_transport(EXCHANGE_TIMEOUT));
    let expected = Expected { lattice: invite.lattice(), standing: Standing::Line(Arc::new(invite.line().clone())) };
    let dialer = Dialer::new(env, &endpoint, tls, transport, expected, CONNECT_TIMEOUT);
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
                // Another member may know better, or may do more.
                Err(error @ (JoinError::Broken { .. } | JoinError::NotAccepted { .. })) => error,
                Err(error @ JoinError::Refused { refusal: Refusal::MayNot { .. }, .. }) => error,
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
        DialError::NotAMember { .. } => JoinError::NotAccepted { by },
        DialError::Unreachable { .. }
        | DialError::BadCertificate { .. }
        | DialError::NotLattice { .. }
        | DialError::Revoked { .. }
        | DialError::IsRevoked { .. }
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
            return Err(if refused { JoinError::NotAccepted { by } } else { JoinError::Broken { by, why } });
        }
        Err(Cut::Other(why)) => return Err(JoinError::Broken { by, why }),
    };
    match answer {
        Answer::Refused(refusal) => Err(JoinError::Refused { by, refusal: refusal.printable() }),
        Answer::Admitted { admission, peers } => {
            let identity = applicant.clone().accept(invite.chain().root(), admission);
            let identity =
                identity.map_err(|error| JoinError::Unusable { by, error })?.with_line(invite.line().clone());
            if let Some(what) = invite.line().refuses(identity.membership()) {
                return Err(JoinError::Unusable { by, error: ChainError::Revoked { what }.into() });
            }
            let peers = peers.into_iter().take(PEERS_MAX).map(SocketAddr::from).collect();
            Ok(Joined { identity, peers, via: by })
        }
    }
}

async fn ask(invite: &Invite, applicant: &Applicant, connection: &Connection) -> Result<Answer, Cut> {
    let challenge = proof(connection, invite.lattice(), &applicant.application()).map_err(Cut::Other)?;
    let request = codec::encode(&Request::new(applicant, &challenge));
    let cut = |other: String| connection.close_reason().map_or(Cut::Other(other), Cut::Connection);
    let (mut send, mut receive) = connection.open_bi().await.map_err(Cut::Connection)?;
    send.write_all(&request).await.map_err(|e| cut(e.to_string()))?;
    send.finish().map_err(|e| cut(e.to_string()))?;
    let answer = receive.read_to_end(ANSWER_MAX).await.map_err(|e| cut(e.to_string()))?;
    codec::decode(&answer).map_err(Cut::other)
}
