//! A connection of which one thread has thousands: it never blocks, has no buffer while nothing is half read, and its
//! PINGs are answered. What the messages mean is its caller's.
use crate::conn::tcp;
use crate::frame::{Ev, frames};
use crate::options::Opts;
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags};
use nix::sys::socket::{setsockopt, sockopt};
use std::io::{self, ErrorKind, Read, Write};
use std::net::TcpStream;

pub struct Light {
    s: TcpStream,
    /// A frame that is not complete.
    rest: Vec<u8>,
    /// What the kernel has not taken yet.
    out: Vec<u8>,
}

impl Light {
    pub fn open(addr: &str) -> io::Result<Self> {
        let s = tcp(addr)?;
        s.set_nodelay(true)?;
        s.set_nonblocking(true)?;
        Ok(Self { s, rest: vec![], out: vec![] })
    }

    /// Opens one that has said CONNECT, then `more`; what the server says to it comes with `read`.
    pub fn greet(o: &Opts, name: &str, more: &str) -> io::Result<Self> {
        let mut c = Self::open(&o.addr)?;
        c.send(format!("{}{more}", connect(o, name)).as_bytes())?;
        Ok(c)
    }

    /// What does not go out now goes with the next `send` or `flush`.
    pub fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.out.extend_from_slice(bytes);
        self.flush()
    }

    pub fn flush(&mut self) -> io::Result<()> {
        while !self.out.is_empty() {
            match self.s.write(&self.out) {
                Ok(n) => {
                    self.out.drain(..n);
                }
                Err(e) if e.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(e) if e.kind() == ErrorKind::Interrupted => {}
                Err(e) => return Err(e),
            }
        }
        self.out = vec![];
        Ok(())
    }

    pub fn is_flushed(&self) -> bool {
        self.out.is_empty()
    }

    /// One read into `scratch`, which all may share. False once the server has closed.
    pub fn read<F: FnMut(Ev)>(&mut self, scratch: &mut [u8], f: F) -> io::Result<bool> {
        let n = match self.s.read(scratch) {
            Ok(0) => return Ok(false),
            Ok(n) => n,
            Err(e) if matches!(e.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => return Ok(true),
            Err(e) => return Err(e),
        };
        let pings = if self.rest.is_empty() {
            let (used, pings) = frames(&scratch[..n], f)?;
            self.rest.extend_from_slice(&scratch[used..n]);
            pings
        } else {
            self.rest.extend_from_slice(&scratch[..n]);
            let (used, pings) = frames(&self.rest, f)?;
            self.rest.drain(..used);
            pings
        };
        if self.rest.is_empty() {
            self.rest = vec![];
        }
        for _ in 0..pings {
            self.send(b"PONG\r\n")?;
        }
        Ok(true)
    }

    /// Takes less in than the kernel would, so that a server finds sooner that nobody reads.
    pub fn narrow(&self) -> io::Result<()> {
        Ok(setsockopt(&self.s, sockopt::RcvBuf, &65536)?)
    }

    /// Ends with a TCP reset, as after a crash: the server is told nothing else.
    pub fn reset(self) {
        let _ = setsockopt(&self.s, sockopt::Linger, &nix::libc::linger { l_onoff: 1, l_linger: 0 });
    }
}

pub fn connect(o: &Opts, name: &str) -> String {
    let auth = match (&o.user, &o.pass) {
        (Some(u), Some(p)) => format!(",\"user\":\"{u}\",\"pass\":\"{p}\""),
        _ => String::new(),
    };
    format!("CONNECT {{\"verbose\":false,\"name\":\"{name}\",\"protocol\":1,\"headers\":true{auth}}}\r\n")
}

/// Which of many connections have something to read, each by its number. One that is dropped leaves by itself.
pub struct Readable {
    epoll: Epoll,
    events: Vec<EpollEvent>,
}

impl Readable {
    pub fn new() -> io::Result<Self> {
        let epoll = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)?;
        Ok(Self { epoll, events: vec![EpollEvent::empty(); 1024] })
    }

    pub fn add(&self, c: &Light, number: usize) -> io::Result<()> {
        self.add_stream(&c.s, number)
    }

    pub fn add_stream(&self, s: &TcpStream, number: usize) -> io::Result<()> {
        Ok(self.epoll.add(s, EpollEvent::new(EpollFlags::EPOLLIN | EpollFlags::EPOLLRDHUP, number as u64))?)
    }

    /// Waits for at most so many milliseconds.
    pub fn wait(&mut self, ms: u16) -> io::Result<Vec<usize>> {
        match self.epoll.wait(&mut self.events, ms) {
            Ok(n) => Ok(self.events[..n].iter().map(|event| event.data() as usize).collect()),
            Err(nix::errno::Errno::EINTR) => Ok(vec![]),
            Err(e) => Err(e.into()),
        }
    }
}
