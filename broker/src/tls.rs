//! TLS over a stream, as a stream: the same readiness, the same bounds, the bytes between encrypted.
//!
//! It owns the records that are under way; certificates, versions and who is trusted are in the
//! [`rustls::ServerConfig`] that is handed in ([`Tls`] among other settings), and how long a handshake may take is its
//! caller's affair.

mod facts;
mod names;
mod settings;
#[cfg(test)]
mod tests;

pub use facts::{ShownCertificate, TlsFacts, cipher_name};
pub use names::CertificateNames;
pub use settings::{HandshakeFirst, Tls, TlsOffer};

pub(crate) use names::{Attributes, parse as parse_name};

use crate::env::Stream;
use crate::layer::{Owed, poll_flush};
use crate::lock::lock;
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, Connection, ServerConfig, ServerConnection};
use std::future::poll_fn;
use std::io::{self, IoSlice, Read, Write};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};

/// Bytes of records that may wait for room in the stream below.
const RECORDS_MAX: usize = 64 << 10;

/// Times that one read takes records in: a peer may send them empty for as long as it likes.
const PULLS_MAX: usize = 128;

/// One end of a TLS connection whose handshake is over.
///
/// Plaintext counts as written once its records are: until then the write is
/// [`io::ErrorKind::WouldBlock`], and the caller has to offer the same bytes again, as any writer of a byte stream
/// does. So nothing waits here of which the caller does not know, but for one write of at most 64 KiB.
#[derive(Debug)]
pub struct TlsStream {
    inner: Arc<dyn Stream>,
    state: Mutex<State>,
    /// Whether an end without a notice is an error.
    strict: bool,
}

#[derive(Debug)]
struct State {
    tls: Connection,
    /// Plaintext that is in records already, and was not yet said to be written.
    owed: Owed,
    end: End,
}

/// How far the end of writing has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    Open,
    /// The notice is among the records that wait.
    Noticed,
    /// The stream below is told.
    Shut,
}

impl TlsStream {
    /// Shakes hands as the server, on a stream of which nothing has been read that is part of TLS.
    ///
    /// Takes as long as the client does: bound it. Dropping the future gives the attempt up.
    ///
    /// # Errors
    /// [`io::ErrorKind::InvalidData`] when the client does not speak TLS or is not accepted (it has got an alert then),
    /// [`io::ErrorKind::UnexpectedEof`] when it leaves first, and what the stream below says.
    pub async fn accept(inner: Arc<dyn Stream>, config: Arc<ServerConfig>) -> io::Result<Self> {
        let tls = ServerConnection::new(config).map_err(io::Error::other)?;
        Self::shake_hands(inner, tls.into()).await
    }

    /// Shakes hands as the client of the server of that name, which its certificate has to have.
    ///
    /// As for [`TlsStream::accept`]: bound it; dropping the future gives the attempt up.
    ///
    /// # Errors
    /// [`io::ErrorKind::InvalidData`] when the server does not speak TLS, or is not who it should be, or does not
    /// accept us; otherwise as there.
    pub async fn connect(
        inner: Arc<dyn Stream>,
        config: Arc<ClientConfig>,
        name: ServerName<'static>,
    ) -> io::Result<Self> {
        let tls = ClientConnection::new(config, name).map_err(io::Error::other)?;
        Self::shake_hands(inner, tls.into()).await
    }

    async fn shake_hands(inner: Arc<dyn Stream>, mut tls: Connection) -> io::Result<Self> {
        tls.set_buffer_limit(Some(RECORDS_MAX));
        let state = Mutex::new(State { tls, owed: Owed::default(), end: End::Open });
        let stream = Self { inner, state, strict: false };
        poll_fn(|cx| stream.poll_handshake(cx)).await?;
        Ok(stream)
    }

    /// The same, of which an end counts only when the other end has said so: whoever is on the way could make one.
    /// [`io::ErrorKind::UnexpectedEof`] is what any other end is then.
    #[must_use]
    pub fn to_its_end(self) -> Self {
        Self { strict: true, ..self }
    }

    /// What the handshake has come to.
    #[must_use]
    pub fn facts(&self) -> TlsFacts {
        TlsFacts::of(&lock(&self.state).tls)
    }

    /// The names of the certificate that the other end has shown; `None` when it has shown none.
    #[must_use]
    pub fn names(&self) -> Option<CertificateNames> {
        CertificateNames::of(lock(&self.state).tls.peer_certificates()?.first()?)
    }

    fn poll_handshake(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut state = lock(&self.state);
        loop {
            let is_flushed = state.poll_flush(&*self.inner, cx)?.is_ready();
            if !state.tls.is_handshaking() {
                return if is_flushed { Poll::Ready(Ok(())) } else { Poll::Pending };
            }
            if self.inner.poll_read_ready(cx)?.is_pending() {
                return Poll::Pending;
            }
            match state.pull(&*self.inner) {
                Ok(0) => return Poll::Ready(Err(io::ErrorKind::UnexpectedEof.into())),
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Poll::Ready(Err(error)),
            }
        }
    }
}

impl Stream for TlsStream {
    fn poll_read_ready(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut state = lock(&self.state);
        loop {
            // What is sent without being asked for, an answer to a new key or the last notice, has no other driver.
            let _ = state.poll_flush(&*self.inner, cx)?;
            if state.is_readable()? {
                return Poll::Ready(Ok(()));
            }
            if self.inner.poll_read_ready(cx)?.is_pending() {
                return Poll::Pending;
            }
            match state.pull(&*self.inner) {
                Ok(0) => return Poll::Ready(Ok(())),
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Poll::Ready(Err(error)),
            }
        }
    }

    fn try_read(&self, buf: &mut [u8]) -> io::Result<usize> {
        let mut state = lock(&self.state);
        let (mut filled, mut pulls) = (0, 0);
        while filled < buf.len() {
            let read = match state.tls.reader().read(&mut buf[filled..]) {
                // Many clients leave without a notice; the protocol inside has its own ends of operations.
                Err(error) if error.kind() == io::ErrorKind::UnexpectedEof && !self.strict => Ok(0),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock && pulls < PULLS_MAX => {
                    pulls += 1;
                    match state.pull(&*self.inner) {
                        Ok(_) => continue,
                        Err(error) => Err(error),
                    }
                }
                read => read,
            };
            match read {
                Ok(0) => break,
                Ok(len) => filled += len,
                // It comes again with the next read.
                Err(_) if filled > 0 => break,
                Err(error) => return Err(error),
            }
        }
        Ok(filled)
    }

    fn poll_write_ready(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        lock(&self.state).poll_flush(&*self.inner, cx)
    }

    fn try_write_vectored(&self, bufs: &[IoSlice<'_>]) -> io::Result<usize> {
        let mut state = lock(&self.state);
        state.flush(&*self.inner)?;
        if state.owed.is_none() {
            let taken = state.tls.writer().write_vectored(bufs)?;
            state.owed.set(taken);
            state.flush(&*self.inner)?;
        }
        Ok(state.owed.settle(bufs))
    }

    /// As for every stream; the client gets a `close_notify` first. When that does not fit yet, it goes with a later
    /// poll of either direction.
    fn shutdown_write(&self) {
        let mut state = lock(&self.state);
        if state.end == End::Open {
            state.tls.send_close_notify();
            state.end = End::Noticed;
        }
        // An error means that the stream has ended already, which is what was asked for.
        let _ = state.flush(&*self.inner);
    }

    fn peer_addr(&self) -> SocketAddr {
        self.inner.peer_addr()
    }

    fn local_addr(&self) -> SocketAddr {
        self.inner.local_addr()
    }
}

impl State {
    /// Writes the records that wait; `WouldBlock` when some still do.
    fn flush(&mut self, inner: &dyn Stream) -> io::Result<()> {
        while self.tls.wants_write() {
            if self.tls.write_tls(&mut Below(inner))? == 0 {
                return Err(io::ErrorKind::WriteZero.into());
            }
        }
        if self.end == End::Noticed {
            self.end = End::Shut;
            inner.shutdown_write();
        }
        Ok(())
    }

    fn poll_flush(&mut self, inner: &dyn Stream, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        poll_flush(inner, cx, || self.flush(inner))
    }

    /// Whether a read gets anything, the end among it.
    fn is_readable(&mut self) -> io::Result<bool> {
        let state = self.tls.process_new_packets().map_err(invalid)?;
        Ok(state.plaintext_bytes_to_read() > 0 || state.peer_has_closed() || !self.tls.wants_read())
    }

    /// Takes records in: the bytes of them, 0 at the end of the stream below. Only called while no plaintext waits,
    /// which bounds it.
    fn pull(&mut self, inner: &dyn Stream) -> io::Result<usize> {
        let len = self.tls.read_tls(&mut Below(inner))?;
        let taken = self.tls.process_new_packets();
        // Whatever it came to, an alert say, is for the peer to know; what does not fit waits.
        match self.flush(inner) {
            Err(error) if error.kind() != io::ErrorKind::WouldBlock && taken.is_ok() => return Err(error),
            Ok(()) | Err(_) => {}
        }
        taken.map_err(invalid)?;
        Ok(len)
    }
}

fn invalid(error: rustls::Error) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, error)
}

/// The stream below, for rustls.
struct Below<'a>(&'a dyn Stream);

impl Read for Below<'_> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        self.0.try_read(buf)
    }
}

impl Write for Below<'_> {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        self.0.try_write_vectored(&[IoSlice::new(buf)])
    }

    fn write_vectored(&mut self, bufs: &[IoSlice<'_>]) -> io::Result<usize> {
        self.0.try_write_vectored(bufs)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
