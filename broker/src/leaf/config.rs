//! What a link is told before it starts. Where it comes from is left to the caller.

use crate::credentials::Credentials;
use crate::env::Rng;
use rand_core::Rng as _;
use std::time::Duration;

/// What this side of a link knows before it begins.
#[derive(Clone, Debug)]
pub struct Config {
    /// The link is one that was accepted, not dialled.
    pub is_acceptor: bool,
    /// This node's name; the peer replaces an older link of the same name.
    pub name: String,
    /// The cluster that all nodes of the lattice claim to be; of an acceptor, its own.
    pub cluster: String,
    /// The local account.
    pub account: String,
    /// What the peer asks for.
    pub credentials: Credentials,
    /// Marks our interest: should it come back, there is a loop. From [`random_token`], one for the process's life.
    pub token: String,
    /// The dialling side has accepted others, who hear the marks of those beyond: a loop through this server shows to them.
    pub relays_marks: bool,
    /// Subjects kept on this side, and refused from the other.
    pub denied: Vec<String>,
    /// Subjects besides that are not taken from the other side.
    pub denied_in: Vec<String>,
    /// Subjects besides that are not sent there.
    pub denied_out: Vec<String>,
    /// How long the peer may take to speak first.
    pub first_info_timeout: Duration,
    /// How long it may take to answer CONNECT; of a dialer that was accepted, to send it, and to be judged.
    pub answer_timeout: Duration,
    /// Time between PINGs.
    pub ping_interval: Duration,
    /// PINGs in a row that may stay without any sign of life.
    pub pings_max: u32,
    /// Bytes that may wait to be written; messages beyond are dropped.
    pub pending_bytes_max: usize,
    /// Time without progress after which a peer that does not read is left.
    pub write_deadline: Duration,
    /// Entries of the peer's interest that are kept; more are refused.
    pub peer_interest_max: usize,
    /// The oldest version that a dialer may be of.
    pub version_min: Option<(u32, u32, u32)>,
}

impl Config {
    /// Defaults for everything but who we are.
    #[must_use]
    pub fn new(name: &str, cluster: &str, account: &str, token: String) -> Self {
        Self {
            is_acceptor: false,
            name: name.to_owned(),
            cluster: cluster.to_owned(),
            account: account.to_owned(),
            credentials: Credentials::None,
            token,
            relays_marks: false,
            // What a real server denies on every leaf link: otherwise each reachable JetStream would answer (§7.1).
            denied: ["$JS.API.>", "$KV.>", "$OBJ.>"].map(str::to_owned).to_vec(),
            denied_in: Vec::new(),
            denied_out: Vec::new(),
            first_info_timeout: Duration::from_secs(2),
            answer_timeout: Duration::from_secs(2),
            ping_interval: Duration::from_secs(5),
            pings_max: 2,
            pending_bytes_max: 64 << 20,
            write_deadline: Duration::from_secs(10),
            peer_interest_max: 1 << 20,
            version_min: None,
        }
    }
}

/// A mark for [`Config::token`].
#[must_use]
pub fn random_token(rng: &mut Rng) -> String {
    const DIGITS: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
    (0..22).map(|_| char::from(DIGITS[(rng.next_u64() % 62) as usize])).collect()
}
