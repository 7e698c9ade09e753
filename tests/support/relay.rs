//! A link that can be cut: datagrams between two nodes pass through here, until they are told not to.
//!
//! One node dials the relay's address instead of the other node's. Both ends go on sending into a cut link and hear
//! nothing, not even a refusal: what a pulled cable or a firewall does.

use std::collections::BTreeMap;
use std::io;
use std::net::{SocketAddr, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

/// A relay in front of one node. Dropping it cuts it for good.
#[derive(Debug)]
pub struct Link {
    address: SocketAddr,
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    cut: AtomicBool,
    closed: AtomicBool,
    passed: AtomicU64,
    dropped: AtomicU64,
}

impl Shared {
    fn pass(&self) -> bool {
        let cut = self.cut.load(Ordering::Relaxed);
        let counter = if cut { &self.dropped } else { &self.passed };
        counter.fetch_add(1, Ordering::Relaxed);
        !cut
    }
}

impl Link {
    /// A relay that passes what it gets to `target`, and the answers back.
    pub fn to(target: SocketAddr) -> Self {
        let front = Arc::new(UdpSocket::bind("127.0.0.1:0").unwrap());
        let address = front.local_addr().unwrap();
        let shared = Arc::<Shared>::default();
        let state = Arc::clone(&shared);
        thread::spawn(move || forward(&front, target, &state));
        Self { address, shared }
    }

    /// What to dial.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Loses every datagram from now on, both ways.
    pub fn cut(&self) {
        self.shared.cut.store(true, Ordering::Relaxed);
    }

    /// Passes datagrams again.
    pub fn heal(&self) {
        self.shared.cut.store(false, Ordering::Relaxed);
    }

    /// Datagrams passed and lost so far: a test asserts by them that its cut has bitten.
    pub fn counts(&self) -> (u64, u64) {
        (self.shared.passed.load(Ordering::Relaxed), self.shared.dropped.load(Ordering::Relaxed))
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        self.shared.closed.store(true, Ordering::Relaxed);
    }
}

/// Takes datagrams from those who dial; each of them gets a socket of its own towards the target.
fn forward(front: &Arc<UdpSocket>, target: SocketAddr, shared: &Arc<Shared>) {
    let mut backs: BTreeMap<SocketAddr, Arc<UdpSocket>> = BTreeMap::new();
    receive(front, shared, |from, data| {
        let back = backs.entry(from).or_insert_with(|| {
            let back = Arc::new(UdpSocket::bind("127.0.0.1:0").unwrap());
            let (front, reader, state) = (Arc::clone(front), Arc::clone(&back), Arc::clone(shared));
            thread::spawn(move || receive(&reader, &state, |_, data| drop(front.send_to(data, from))));
            back
        });
        // A target that is down refuses: the same as a loss.
        drop(back.send_to(data, target));
    });
}

fn receive(socket: &UdpSocket, shared: &Shared, mut take: impl FnMut(SocketAddr, &[u8])) {
    socket.set_read_timeout(Some(Duration::from_millis(200))).unwrap();
    let mut buffer = vec![0; 65_536];
    while !shared.closed.load(Ordering::Relaxed) {
        match socket.recv_from(&mut buffer) {
            Ok((len, from)) if shared.pass() => take(from, &buffer[..len]),
            Ok(_) => {}
            // The refusal of an earlier datagram may be reported here.
            Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {}
            Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut) => {}
            Err(error) => panic!("relay: {error}"),
        }
    }
}
