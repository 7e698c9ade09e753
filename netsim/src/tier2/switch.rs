//! The switch: one thread that reads packets from the hosts' devices and writes them when they are due, and measures
//! how late it does so. Which packet is due when, is `shape`'s.

use super::lateness::Histogram;
use super::shape::{Departure, PACKET_MAX, Shape};
use super::{Lateness, go_first, monotonic};
use crate::clock::{Nanos, nanos};
use crate::guarded::Guarded;
use nix::poll::{PollFd, PollFlags, ppoll};
use nix::sys::eventfd::EventFd;
use nix::sys::time::TimeSpec;
use std::io;
use std::os::fd::AsFd;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;
use tun_rs::SyncDevice;

/// Packets that are read from one device before others get their turn.
const BATCH: usize = 64;

/// What the thread and its owner share.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) shape: Guarded<Shape>,
    lateness: Guarded<Histogram>,
    /// When it began, by [`monotonic`]: its own time counts from there.
    pub(crate) began: Duration,
    stop: EventFd,
}

impl Shared {
    pub(crate) fn now(&self) -> Nanos {
        nanos(monotonic().saturating_sub(self.began))
    }

    pub(crate) fn lateness(&self) -> Lateness {
        self.lateness.lock().lateness()
    }

    pub(crate) fn forget_lateness(&self) {
        *self.lateness.lock() = Histogram::default();
    }
}

/// A running switch. Dropping it ends the thread and closes the devices.
#[derive(Debug)]
pub(crate) struct Switch {
    pub(crate) shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

impl Switch {
    /// Starts a thread that carries packets between `devices`, of which each is the host of its place in the list.
    #[expect(clippy::disallowed_methods, reason = "a switch of real packets is no part of a simulated world")]
    pub(crate) fn start(shape: Shape, devices: Vec<SyncDevice>) -> io::Result<Self> {
        for device in &devices {
            device.set_nonblocking(true)?;
        }
        let (shape, lateness) = (Guarded::new(shape), Guarded::new(Histogram::default()));
        let shared = Arc::new(Shared { shape, lateness, began: monotonic(), stop: EventFd::new()? });
        let carrier = Carrier { shared: shared.clone(), devices, buffer: vec![0; PACKET_MAX + 1] };
        let thread = std::thread::spawn(move || carrier.run());
        Ok(Self { shared, thread: Some(thread) })
    }

    /// True when the thread has ended by itself: a device is gone.
    pub(crate) fn has_ended(&self) -> bool {
        self.thread.as_ref().is_none_or(JoinHandle::is_finished)
    }
}

impl Drop for Switch {
    fn drop(&mut self) {
        // It cannot be full after a single write, and a thread that has ended needs no word.
        let _ = self.shared.stop.write(1);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// What the thread owns.
struct Carrier {
    shared: Arc<Shared>,
    devices: Vec<SyncDevice>,
    buffer: Vec<u8>,
}

impl Carrier {
    fn run(mut self) {
        go_first();
        loop {
            let next = self.send_due();
            match self.wait(next) {
                Ok(Woken::Stop) | Err(_) => return,
                Ok(Woken::Readable(hosts)) => {
                    if hosts.into_iter().any(|host| self.read(host).is_err()) {
                        return;
                    }
                }
            }
        }
    }

    /// Sends all that is due; returns when the next packet will be.
    fn send_due(&self) -> Option<Nanos> {
        loop {
            let departure = self.shared.shape.lock().departure(self.shared.now());
            let Some(Departure { due, to, packet, .. }) = departure else { break };
            // A device takes what it is given or loses it, as a full receive queue does.
            let _ = self.devices[to].send(&packet);
            self.shared.lateness.lock().add(Duration::from_nanos(self.shared.now().saturating_sub(due)));
        }
        self.shared.shape.lock().next_due()
    }

    fn wait(&self, next: Option<Nanos>) -> nix::Result<Woken> {
        let readable = |fd| PollFd::new(fd, PollFlags::POLLIN);
        let mut polled: Vec<PollFd<'_>> = self.devices.iter().map(|device| readable(device.as_fd())).collect();
        polled.push(readable(self.shared.stop.as_fd()));
        let timeout = next.map(|next| TimeSpec::from(Duration::from_nanos(next.saturating_sub(self.shared.now()))));
        match ppoll(&mut polled, timeout, None) {
            Ok(_) | Err(nix::errno::Errno::EINTR) => {}
            Err(error) => return Err(error),
        }
        let woken = |fd: &PollFd<'_>| fd.any().unwrap_or(false);
        if polled.pop().is_some_and(|stop| woken(&stop)) {
            return Ok(Woken::Stop);
        }
        Ok(Woken::Readable((0..polled.len()).filter(|host| woken(&polled[*host])).collect()))
    }

    fn read(&mut self, host: usize) -> io::Result<()> {
        for _ in 0..BATCH {
            match self.devices[host].recv(&mut self.buffer) {
                Ok(len) => self.shared.shape.lock().packet(self.shared.now(), host, &self.buffer[..len]),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}

enum Woken {
    Stop,
    Readable(Vec<usize>),
}
