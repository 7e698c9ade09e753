//! From a connection to a stream on which the leaf protocol goes on: what the server says first, and TLS where it is asked for.
//!
//! Which server, and what is said to it, is left to others. Nothing is sent before TLS has begun where it is wanted, and what
//! came in the clear besides INFO ends the attempt: it may be anybody's.

use crate::trust::{client, of_the_system};
use lattice_broker::env::{Env, Stream};
use lattice_broker::leaf::{Info, write_info};
use lattice_broker::tls::TlsStream;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use std::future::poll_fn;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

/// How long the server may take to speak first.
const FIRST_INFO: Duration = Duration::from_secs(2);
/// Bytes of its INFO.
const INFO_MAX: usize = 64 << 10;

/// How links are encrypted, where the URL or the server asks for it.
#[derive(Clone, Debug)]
pub struct Encryption {
    /// Who is trusted, and what is shown; `None` is whoever the system trusts, and nothing.
    pub client: Option<Arc<ClientConfig>>,
    /// Never in the clear, whatever the URL says.
    pub is_required: bool,
    /// The handshake comes before the server's INFO.
    pub is_first: bool,
    /// Time for the handshake.
    pub timeout: Duration,
}

impl Default for Encryption {
    fn default() -> Self {
        Self { client: None, is_required: false, is_first: false, timeout: Duration::from_secs(2) }
    }
}

impl Encryption {
    /// Trusts those in a file of certificates, and nobody else, and never goes in the clear. Reads the file.
    ///
    /// # Errors
    /// Why it cannot be used.
    pub fn trusting(file: &Path) -> Result<Self, String> {
        let found: Result<Vec<_>, _> = CertificateDer::pem_file_iter(file).and_then(Iterator::collect);
        let mut roots = RootCertStore::empty();
        for certificate in found.map_err(|error| error.to_string())? {
            roots.add(certificate).map_err(|error| error.to_string())?;
        }
        if roots.is_empty() {
            return Err("it has none".to_owned());
        }
        Ok(Self { client: client(roots), is_required: true, ..Self::default() })
    }
}

/// Equal when the same handshake comes of it: the same authorities, read once.
impl PartialEq for Encryption {
    fn eq(&self, other: &Self) -> bool {
        let same = match (&self.client, &other.client) {
            (Some(one), Some(other)) => Arc::ptr_eq(one, other),
            (one, other) => one.is_none() && other.is_none(),
        };
        same && (self.is_required, self.is_first, self.timeout) == (other.is_required, other.is_first, other.timeout)
    }
}

impl Eq for Encryption {}

/// A stream on which the leaf protocol goes on.
pub(super) struct Opened {
    pub(super) stream: Arc<dyn Stream>,
    /// What has been read from it.
    pub(super) read: Vec<u8>,
    pub(super) is_encrypted: bool,
}

/// Why it does not.
#[derive(Debug, thiserror::Error)]
pub(super) enum Failure {
    #[error("the server sent no INFO within {FIRST_INFO:?}")]
    NoInfo,
    #[error("connection lost: {0}")]
    Lost(#[from] io::Error),
    #[error("the server said something else than INFO, or more than {INFO_MAX} bytes of it")]
    NotInfo,
    #[error("TLS is asked for, and the server's leaf-node port has none")]
    NoTls,
    #[error("the server went on in the clear where TLS was to begin")]
    Clear,
    #[error("no certificate authorities are known on this system: name a file of them (ca, ca_file)")]
    NoAuthorities,
    #[error("{0:?} is no name that a certificate could have")]
    NoName(String),
    #[error("TLS handshake: {0}")]
    Handshake(io::Error),
}

/// Brings a connection to `host` so far.
pub(super) async fn open(
    env: &Env,
    raw: Arc<dyn Stream>,
    tls: &Encryption,
    is_wanted: bool,
    host: &str,
) -> Result<Opened, Failure> {
    let is_wanted = is_wanted || tls.is_required;
    if tls.is_first {
        let stream = secure(env, raw, tls, host).await?;
        return Ok(Opened { stream, read: Vec::new(), is_encrypted: true });
    }
    let read = env.timeout(FIRST_INFO, first_line(&*raw)).await.map_err(|_| Failure::NoInfo)??;
    // Whatever else it may be is for the session to say.
    let said = info(&read);
    let asks = said.as_ref().is_some_and(|info| info.tls_required);
    if !asks && !is_wanted {
        return Ok(Opened { stream: raw, read, is_encrypted: false });
    }
    if !asks {
        return Err(Failure::NoTls);
    }
    if !read.ends_with(b"\n") || read.iter().filter(|byte| **byte == b'\n').count() > 1 {
        return Err(Failure::Clear);
    }
    let stream = secure(env, raw, tls, host).await?;
    let mut read = Vec::new();
    write_info(&mut read, &unproven(said.unwrap_or_default()));
    Ok(Opened { stream, read, is_encrypted: true })
}

/// What is believed of an INFO that came in the clear: where else to go, and what may cross, might be anybody's word. The
/// server says it again in its answer to CONNECT.
fn unproven(info: Info) -> Info {
    Info {
        leafnode_urls: info.leafnode_urls.map(|_| Vec::new()),
        import: None,
        export: None,
        max_payload: None,
        ..info
    }
}

fn info(line: &[u8]) -> Option<Info> {
    let line = line.split(|byte| *byte == b'\n').next()?;
    let json = line.get(..5).filter(|word| word.eq_ignore_ascii_case(b"INFO ")).and(line.get(5..))?;
    serde_json::from_slice(json).ok()
}

/// What comes up to the end of a line, and perhaps more.
async fn first_line(raw: &dyn Stream) -> Result<Vec<u8>, Failure> {
    let (mut read, mut buf) = (Vec::new(), vec![0; 4096]);
    while !read.contains(&b'\n') {
        poll_fn(|cx| raw.poll_read_ready(cx)).await?;
        match raw.try_read(&mut buf) {
            Ok(0) => return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "closed by the other side").into()),
            Ok(len) => read.extend_from_slice(&buf[..len]),
            Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted) => {}
            Err(error) => return Err(error.into()),
        }
        if read.len() > INFO_MAX {
            return Err(Failure::NotInfo);
        }
    }
    Ok(read)
}

async fn secure(env: &Env, raw: Arc<dyn Stream>, tls: &Encryption, host: &str) -> Result<Arc<dyn Stream>, Failure> {
    let name = ServerName::try_from(host.to_owned()).map_err(|_| Failure::NoName(host.to_owned()))?;
    let config = tls.client.clone().or_else(of_the_system).ok_or(Failure::NoAuthorities)?;
    let secured = env.timeout(tls.timeout, TlsStream::connect(raw, config, name)).await;
    let secured = secured.map_err(|elapsed| Failure::Handshake(io::Error::new(io::ErrorKind::TimedOut, elapsed)))?;
    Ok(Arc::new(secured.map_err(Failure::Handshake)?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use lattice_broker::leaf::SubjectLists;

    #[test]
    fn what_came_in_the_clear_says_neither_where_to_go_nor_what_may_cross() {
        let lists = SubjectLists { allow: vec!["a".to_owned()], deny: Vec::new() };
        let said = Info {
            leafnode_urls: Some(vec!["evil.example:7422".to_owned()]),
            import: Some(lists.clone()),
            export: Some(lists),
            max_payload: Some(1),
            nonce: "n".to_owned(),
            client_id: 7,
            ..Info::default()
        };
        let kept = unproven(said);
        assert_eq!(kept.leafnode_urls, Some(Vec::new()));
        assert_eq!((kept.import, kept.export, kept.max_payload), (None, None, None));
        assert_eq!((kept.nonce.as_str(), kept.client_id), ("n", 7));
    }

    #[test]
    fn a_line_is_read_as_info_or_not() {
        assert!(info(b"INFO {\"tls_required\":true}\r\nmore").unwrap().tls_required);
        for line in [&b""[..], b"INFO", b"INFO {", b"HTTP/1.1 400 Bad\r\n", b"PING\r\n"] {
            assert!(info(line).is_none());
        }
    }
}
