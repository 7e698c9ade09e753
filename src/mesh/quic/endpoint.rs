//! The quinn endpoint: its settings, and where each random number in it comes from.

use super::cid::Cids;
use super::congestion::Steadies;
use super::counters::Counters;
use super::receipts::Noting;
use super::{BindError, Config, runtime};
use crate::identity::Identity;
use crate::mesh::frame::STREAMS;
use lattice_broker::env::{Env, Rng};
use quinn::crypto::rustls::QuicServerConfig;
use quinn::{
    AsyncUdpSocket, ConnectionId, Endpoint, EndpointConfig, MtuDiscoveryConfig, ServerConfig, TimeSource,
    TransportConfig, VarInt,
};
use rand_core::Rng as _;
use ring::{hkdf, hmac};
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

/// Bytes of datagrams that wait in each direction of a connection, at most; the oldest go first.
const DATAGRAM_BUFFER: usize = 256 * 1024;

/// First packets, and what follows them, that wait for the accepting task.
const INCOMING_MAX: usize = 512;
const INCOMING_BYTES_MAX: u64 = 64 * 1024;

/// Opens the socket of a node.
pub(super) fn bind(
    env: &Env,
    config: &Config,
    identity: &Identity,
    tls: rustls::ServerConfig,
    counters: &Arc<Counters>,
) -> Result<Endpoint, BindError> {
    let socket = open(env, config.listen)?;
    // Derived from the node's key: what a restarted node gets for connections of its last life, it answers with a
    // reset that the peer believes, and the peer is spared its idle time-out.
    let reset_key = identity.key().derive("quic stateless reset");
    let cids = Cids::new(env.rng("quic connection ids"), identity, counters);
    let mut endpoint = endpoint_config(env, "quic endpoint", reset_key);
    endpoint.cid_generator(move || Box::new(cids.clone()));
    endpoint.max_udp_payload_size(config.payload_max.max(1_200)).expect("the range was just ensured");
    let server = server_config(env, config, tls)?;
    start(env, endpoint, Some(server), socket, config.listen)
}

/// Opens a socket to dial from, for a device that is no member yet.
pub(crate) fn bind_client(env: &Env, addr: SocketAddr) -> Result<Endpoint, BindError> {
    let socket = open(env, addr)?;
    let mut reset_key = [0; 32];
    let mut rng = env.rng("quic client");
    rng.fill_bytes(&mut reset_key);
    let mut endpoint = endpoint_config(env, "quic client endpoint", reset_key);
    let cids = RandomCids(rng);
    endpoint.cid_generator(move || Box::new(cids.clone()));
    start(env, endpoint, None, socket, addr)
}

fn open(env: &Env, addr: SocketAddr) -> Result<Arc<dyn AsyncUdpSocket>, BindError> {
    runtime::bind(env, addr).map_err(|error| match error.kind() {
        io::ErrorKind::AddrInUse => BindError::InUse { addr },
        _ => BindError::Io { addr, error },
    })
}

fn start(
    env: &Env,
    endpoint: EndpointConfig,
    server: Option<ServerConfig>,
    socket: Arc<dyn AsyncUdpSocket>,
    addr: SocketAddr,
) -> Result<Endpoint, BindError> {
    let runtime = Arc::new(runtime::EnvRuntime(env.clone()));
    Endpoint::new_with_abstract_socket(endpoint, server, socket, runtime).map_err(|error| BindError::Io { addr, error })
}

fn endpoint_config(env: &Env, label: &str, reset_key: [u8; 32]) -> EndpointConfig {
    let mut seed = [0; 32];
    env.rng(label).fill_bytes(&mut seed);
    let mut config = EndpointConfig::new(Arc::new(hmac::Key::new(hmac::HMAC_SHA256, &reset_key)));
    config.rng_seed(Some(seed));
    config
}

fn server_config(env: &Env, config: &Config, tls: rustls::ServerConfig) -> Result<ServerConfig, BindError> {
    let crypto = QuicServerConfig::try_from(tls).map_err(|e| rustls::Error::General(e.to_string()))?;
    let mut secret = [0; 64];
    env.rng("quic tokens").fill_bytes(&mut secret);
    let token_key = hkdf::Salt::new(hkdf::HKDF_SHA256, &[]).extract(&secret);
    let mut server = ServerConfig::new(Arc::new(crypto), Arc::new(token_key));
    server
        .transport_config(Arc::new(transport(config)))
        .time_source(Arc::new(Wall(env.clone())))
        .migration(true)
        .max_incoming(INCOMING_MAX)
        .incoming_buffer_size(INCOMING_BYTES_MAX)
        .incoming_buffer_size_total(INCOMING_BYTES_MAX * 64);
    Ok(server)
}

/// How connections of members behave, on either side.
pub(super) fn transport(config: &Config) -> TransportConfig {
    let mut mtu = MtuDiscoveryConfig::default();
    mtu.upper_bound(config.payload_max.max(1_200));
    let mut transport = TransportConfig::default();
    let idle = config.idle_timeout.try_into().expect("an idle time-out in milliseconds fits 62 bits");
    transport
        .max_idle_timeout(Some(idle))
        .congestion_controller_factory(Arc::new(Noting(Arc::new(Steadies))))
        // A guess between LAN and WAN: a lost first packet is sent again after three of them.
        .initial_rtt(Duration::from_millis(100))
        .mtu_discovery_config(Some(mtu))
        // Who writes keeps to the window itself (`share.rs`), so that each stream may be written at any time. By these two it
        // could not: what one stream has used up of them no other can write. So they are what is never reached: a reader that
        // waits leaves no more than a stream's window to QUIC, and the control stream has one, too.
        .receive_window(VarInt::from_u32((config.window / 2).saturating_mul(STREAMS as u32 + 1)))
        .send_window(u64::from(config.window) * 2)
        .stream_receive_window(VarInt::from_u32(config.window / 2))
        .max_concurrent_bidi_streams(VarInt::from_u32(16))
        .max_concurrent_uni_streams(VarInt::from_u32(64))
        .datagram_receive_buffer_size(Some(DATAGRAM_BUFFER))
        .datagram_send_buffer_size(DATAGRAM_BUFFER)
        .allow_spin(false);
    transport
}

/// How the connection of a joining device behaves.
pub(crate) fn client_transport(idle_timeout: Duration) -> TransportConfig {
    let any = SocketAddr::from(([0, 0, 0, 0], 0));
    transport(&Config { idle_timeout, window: 256 * 1024, ..Config::new(any) })
}

/// Ids that dialled connections have until the peer chooses its own.
pub(super) fn initial_ids(rng: Rng) -> Arc<dyn Fn() -> ConnectionId + Send + Sync> {
    let rng = Mutex::new(rng);
    Arc::new(move || {
        let mut id = [0; 20];
        rng.lock().expect("no one panics while holding it").fill_bytes(&mut id);
        ConnectionId::new(&id)
    })
}

#[derive(Clone)]
struct RandomCids(Rng);

impl quinn::ConnectionIdGenerator for RandomCids {
    fn generate_cid(&mut self) -> ConnectionId {
        let mut id = [0; 8];
        self.0.fill_bytes(&mut id);
        ConnectionId::new(&id)
    }

    fn cid_len(&self) -> usize {
        8
    }

    fn cid_lifetime(&self) -> Option<Duration> {
        None
    }
}

/// The wall clock, by which quinn judges the age of its retry tokens.
struct Wall(Env);

impl TimeSource for Wall {
    fn now(&self) -> SystemTime {
        self.0.wall()
    }
}
