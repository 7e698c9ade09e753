//! A deterministic network for whole nodes: virtual time, seeded faults, one process.
//!
//! A [`World`] holds hosts, the network between them and a clock of its own. Programs that reach the outside through
//! [`lattice_broker::env::Env`] alone run on its hosts unchanged; a minute of theirs costs milliseconds of ours, and
//! everything that chance decides (which task goes first, which packet is lost, every key) comes from one seed. The
//! same seed gives the same run, byte for byte, which [`World::trace_hash`] shows.
//!
//! # Example
//! Two hosts, an echo, a partition; the same seed twice.
//! ```
//! use lattice_broker::env::{Env, UdpSocket};
//! use lattice_netsim::{Host, World, WorldConfig};
//! use std::sync::Arc;
//! use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
//! use std::{future::poll_fn, time::Duration};
//!
//! async fn echo(env: Env) {
//!     let Ok(UdpSocket::Virtual(socket)) = env.udp_bind(([0, 0, 0, 0], 7).into()) else { return };
//!     let mut buf = [0; 1500];
//!     while let Ok(datagram) = poll_fn(|cx| socket.poll_recv(cx, &mut buf)).await {
//!         socket.send(datagram.from, &buf[..datagram.len], 0);
//!     }
//! }
//!
//! fn run(seed: u64) -> String {
//!     let mut world = World::new(seed, WorldConfig::hosts(2));
//!     world.install([0], Arc::new(|host: Host| host.env().spawn(echo(host.env()))));
//!     world.boot(0);
//!
//!     let echoes = Arc::new(AtomicU32::new(0));
//!     let (env, server, counted) = (world.host(1).env(), world.addr(0, 7), echoes.clone());
//!     world.spawn_on(1, async move {
//!         let Ok(UdpSocket::Virtual(socket)) = env.udp_bind(([0, 0, 0, 0], 0).into()) else { return };
//!         let mut buf = [0; 1500];
//!         loop {
//!             socket.send(server, b"ping", 0);
//!             let echo = poll_fn(|cx| socket.poll_recv(cx, &mut buf));
//!             if env.timeout(Duration::from_secs(1), echo).await.is_ok() {
//!                 counted.fetch_add(1, Relaxed);
//!             }
//!         }
//!     });
//!
//!     let first = world.run_until(|| echoes.load(Relaxed) == 1, Duration::from_secs(1)).expect("a calm network");
//!     assert!(first >= Duration::from_millis(20), "there and back");
//!     world.partition(&[&[0], &[1]]);
//!     let before = echoes.load(Relaxed);
//!     world.run_for(Duration::from_secs(60));
//!     assert_eq!(echoes.load(Relaxed), before);
//!     world.heal();
//!     world.run_until(|| echoes.load(Relaxed) > before, Duration::from_secs(2)).expect("the network is whole again");
//!     assert!(world.bites()[0].hits >= 60, "the partition made a difference");
//!     world.trace_hash()
//! }
//!
//! assert_eq!(run(1), run(1));
//! assert_ne!(run(1), run(2));
//! ```
//!
//! # What breaks determinism
//! The simulator decides everything that goes through the `Env`. Around it, these make two runs of one seed differ, some
//! of them only in another process or on another machine:
//! - Iterating over a `HashMap` or `HashSet`: its order comes from the operating system. Looking things up is harmless.
//! - `tokio::select!` without `biased`: it draws its first branch from a generator of its own. The same goes for `join!`
//!   and `select!` of other crates where they shuffle.
//! - Real time and real randomness: `Instant::now`, `SystemTime::now`, `getrandom`, thread generators, and libraries
//!   that use them inside. Of QUIC: the endpoint's reset key and generator seed, connection ids, the token key, the time
//!   source and BBR; of TLS: `secure_random`, the X25519 group (see [`tls`]), and ECDSA, whose signatures vary.
//! - Running a world inside a task of tokio: that task's budget runs out, and every channel in the world with it.
//! - Threads, `spawn_blocking`, real sockets and files.
//! - Addresses in memory: ordering or hashing by pointer.
//! - Statics that outlive a world: the second run finds what the first left.
#![forbid(unsafe_code)]

mod agenda;
mod check;
mod clock;
mod disk;
mod epochs;
mod exec;
mod guarded;
mod host;
mod kernel;
mod lan;
mod library;
mod link;
mod net;
mod play;
mod ports;
pub mod report;
mod rng;
mod scenario;
mod shrink;
mod stream;
mod strike;
#[cfg(target_os = "linux")]
pub mod tier2;
mod timeline;
pub mod tls;
mod verdict;
mod world;

pub use check::{BadMessageId, Checker, MessageId};
pub use disk::{Disk, DiskConfig, DiskCounters, DiskError, DiskRecord};
pub use epochs::{Epoch, Epochs};
pub use host::{Host, Process};
pub use library::library;
pub use link::{Bite, Burst, Counters, Degrade, Fate, FateKind, FaultId, Link};
pub use play::{Played, Seen, Watch};
pub use rng::Dice;
pub use scenario::{
    Bounds, BurstModel, ChurnModel, CutModel, DegradeModel, DiskFault, DiskModel, DriftModel, Each, Edge, Fault,
    FaultKind, FlapModel, Hear, Kind, LinkModel, NodeSet, OneLink, RandomCutsModel, RollingModel, Scenario,
    ScenarioError, Shape, Site, Space, StepModel, Topology, Traffic, UnknownKind,
};
pub use shrink::{Shrunk, Trial, shrink};
pub use stream::StreamConfig;
pub use timeline::{Band, LinkLine, NodeLine, Resumption, Spans, Timeline, ms};
pub use verdict::{Check, Count, FaultBite, Shortfall, Tally, Verdict, Violation};
pub use world::{NotReached, Usage, World, WorldConfig};

#[cfg(test)]
mod tests;
