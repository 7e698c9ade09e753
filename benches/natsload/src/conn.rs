//! One raw connection: connects (inside a network namespace if asked), greets, and reads what comes without copying
//! it. What the messages mean is its caller's.
use crate::Opts;
pub use crate::frame::Ev;
use crate::frame::frames;
use nix::sched::{CloneFlags, setns};
use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::time::Duration;

/// Address "host:port" or "netns@host:port" (netns = a name under /run/netns).
pub fn tcp(addr: &str) -> io::Result<TcpStream> {
    let (ns, a) = match addr.split_once('@') {
        Some((n, a)) => (Some(n), a),
        None => (None, addr),
    };
    if let Some(ns) = ns {
        let own = std::fs::File::open("/proc/thread-self/ns/net")?;
        let f = std::fs::File::open(format!("/run/netns/{ns}"))?;
        setns(f, CloneFlags::CLONE_NEWNET)?;
        let r = TcpStream::connect(a);
        setns(own, CloneFlags::CLONE_NEWNET)?;
        return r;
    }
    TcpStream::connect(a)
}

pub struct Conn {
    pub s: TcpStream,
    buf: Vec<u8>,
    a: usize,
    e: usize,
    pub pings: u64,
}

impl Conn {
    pub fn open(addr: &str, o: &Opts, bufsz: usize) -> io::Result<Conn> {
        let s = tcp(addr)?;
        s.set_nodelay(true)?;
        s.set_read_timeout(Some(Duration::from_secs(10)))?;
        let mut c = Conn { s, buf: vec![0; bufsz.max(32768)], a: 0, e: 0, pings: 0 };
        // INFO
        loop {
            if let Some(k) = memchr::memchr(b'\n', &c.buf[..c.e]) {
                c.a = k + 1;
                break;
            }
            if c.fill()? == 0 {
                return Err(io::Error::other("closed before INFO"));
            }
        }
        if !c.buf.starts_with(b"INFO ") {
            return Err(io::Error::other("no INFO"));
        }
        let auth = match (&o.user, &o.pass) {
            (Some(u), Some(p)) => format!(",\"user\":\"{u}\",\"pass\":\"{p}\""),
            _ => String::new(),
        };
        let m = format!(
            "CONNECT {{\"verbose\":false,\"pedantic\":false,\"tls_required\":false,\"name\":\"natsload\",\"lang\":\"rust-natsload\",\"version\":\"0.1\",\"protocol\":1,\"echo\":true,\"headers\":true,\"no_responders\":false{auth}}}\r\nPING\r\n"
        );
        c.s.write_all(m.as_bytes())?;
        c.wait_pong()?;
        c.s.set_read_timeout(Some(Duration::from_millis(100)))?;
        Ok(c)
    }
    /// Send PING and wait for PONG; returns messages seen meanwhile.
    pub fn flush(&mut self) -> io::Result<u64> {
        self.s.set_read_timeout(Some(Duration::from_secs(30)))?;
        self.s.write_all(b"PING\r\n")?;
        let n = self.wait_pong()?;
        self.s.set_read_timeout(Some(Duration::from_millis(100)))?;
        Ok(n)
    }
    pub fn wait_pong(&mut self) -> io::Result<u64> {
        let (mut n, mut done, mut err) = (0u64, false, None);
        loop {
            self.parse(|ev| match ev {
                Ev::Msg { .. } => n += 1,
                Ev::Pong => done = true,
                Ev::Err(e) => err = Some(String::from_utf8_lossy(e).into_owned()),
            })?;
            if let Some(e) = err {
                return Err(io::Error::other(e));
            }
            if done {
                return Ok(n);
            }
            match self.fill() {
                Ok(0) => return Err(io::Error::other("closed by server")),
                Ok(_) => {}
                Err(e) => return Err(e),
            }
        }
    }
    /// One read(2). WouldBlock/TimedOut are errors of that kind.
    #[inline]
    pub fn fill(&mut self) -> io::Result<usize> {
        if self.a == self.e {
            self.a = 0;
            self.e = 0
        } else if self.buf.len() - self.e < self.buf.len() / 4 {
            self.buf.copy_within(self.a..self.e, 0);
            self.e -= self.a;
            self.a = 0;
            if self.e == self.buf.len() {
                let n = self.buf.len() * 2;
                self.buf.resize(n, 0)
            }
        }
        loop {
            match self.s.read(&mut self.buf[self.e..]) {
                Err(e) if e.kind() == io::ErrorKind::Interrupted => continue,
                Ok(n) => {
                    self.e += n;
                    return Ok(n);
                }
                Err(e) => return Err(e),
            }
        }
    }
    /// Non-blocking look at the socket (a publisher must answer PING).
    pub fn poll_nb(&mut self) -> io::Result<()> {
        self.s.set_nonblocking(true)?;
        let r = self.fill();
        self.s.set_nonblocking(false)?;
        match r {
            Ok(0) => return Err(io::Error::other("closed by server")),
            Ok(_) => {}
            Err(e) if e.kind() == io::ErrorKind::WouldBlock => return Ok(()),
            Err(e) => return Err(e),
        }
        let mut err = None;
        self.parse(|ev| {
            if let Ev::Err(e) = ev {
                err = Some(String::from_utf8_lossy(e).into_owned())
            }
        })?;
        match err {
            Some(e) => Err(io::Error::other(e)),
            None => Ok(()),
        }
    }
    /// Parse all complete frames in the buffer.
    #[inline]
    pub fn parse<F: FnMut(Ev)>(&mut self, f: F) -> io::Result<()> {
        let (used, pings) = frames(&self.buf[self.a..self.e], f)?;
        self.a += used;
        for _ in 0..pings {
            self.pings += 1;
            self.s.write_all(b"PONG\r\n")?;
        }
        Ok(())
    }
}
