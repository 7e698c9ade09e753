//! The node's end of the control socket: several clients at a time, each under limits of size and time.

use super::socket::{self, Claim, SocketError};
use super::{
    Answer, AnswerLine, HELD_MAX, HELD_POLL, Handler, REQUEST_BYTES_MAX, Refused, Request, RequestLine, TIMEOUT,
    VERSION, read_line,
};
use lattice_broker::env::Env;
use serde::Deserialize;
use std::io;
use std::path::Path;
use std::sync::Arc;
use tokio::io::{AsyncWriteExt, BufReader};
use tokio::net::UnixStream;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

/// Clients at a time; further ones wait in the system's queue.
const CLIENTS_MAX: usize = 16;

/// A claimed data folder whose socket is not answered yet.
#[derive(Debug)]
pub struct Server {
    claim: Claim,
}

impl Server {
    /// Claims `data` for this process; it is made when it is missing. Clients may connect, and wait until [`Server::serve`].
    ///
    /// A command that holds the folder for a moment ([`super::hold`]) is waited for, up to [`HELD_MAX`]. Cancel safe.
    ///
    /// # Errors
    /// [`SocketError::InUse`] when another node has it; [`SocketError::Io`] when the system says no.
    pub async fn claim(env: &Env, data: &Path) -> Result<Self, SocketError> {
        let until = env.now() + HELD_MAX;
        loop {
            match socket::claim(data).await {
                Ok(claim) => return Ok(Self { claim }),
                // A node listens from the moment it has the lock: nobody there is a command, or a node about to end.
                Err(SocketError::InUse { .. }) if env.now() < until && is_silent(data).await => {
                    env.sleep(HELD_POLL).await;
                }
                Err(error) => return Err(error),
            }
        }
    }

    /// Answers clients until `stop`, then removes the socket and gives the folder up.
    pub async fn serve(self, env: Env, handler: Arc<dyn Handler>, stop: CancellationToken) {
        let clients = Arc::new(Semaphore::new(CLIENTS_MAX));
        loop {
            let place = clients.clone().acquire_owned().await.expect("the semaphore is never closed");
            let accepted = tokio::select! {
                biased;
                () = stop.cancelled() => return,
                accepted = self.claim.listener.accept() => accepted,
            };
            let stream = match accepted {
                Ok((stream, _)) => stream,
                Err(error) => {
                    tracing::warn!(%error, "cannot accept a client of the control socket");
                    // Out of descriptors, most likely: without a pause this would spin.
                    env.sleep(std::time::Duration::from_millis(100)).await;
                    continue;
                }
            };
            if !self.allowed(&stream) {
                tracing::warn!("another user tried the control socket");
                continue;
            }
            let (task_env, handler, stop) = (env.clone(), handler.clone(), stop.clone());
            env.spawn(async move {
                let ended = stop.run_until_cancelled(talk(&task_env, stream, handler.as_ref())).await;
                if let Some(Err(error)) = ended {
                    tracing::debug!(%error, "a client of the control socket left in the middle");
                }
                drop(place);
            });
        }
    }

    /// The permissions say the same already; not all systems heed those of a socket.
    fn allowed(&self, stream: &UnixStream) -> bool {
        stream.peer_cred().is_ok_and(|peer| peer.uid() == self.claim.owner || peer.uid() == 0)
    }
}

async fn is_silent(data: &Path) -> bool {
    matches!(socket::connect(data).await, Err(SocketError::NotRunning { .. }))
}

async fn talk(env: &Env, stream: UnixStream, handler: &dyn Handler) -> io::Result<()> {
    let mut stream = BufReader::new(stream);
    loop {
        let Ok(line) = env.timeout(TIMEOUT, read_line(&mut stream, REQUEST_BYTES_MAX)).await else { return Ok(()) };
        let (result, go_on) = match line {
            Ok(Some(line)) => (answer(&line, handler).await, true),
            Ok(None) => return Ok(()),
            Err(error) if error.kind() == io::ErrorKind::InvalidData => (Err(refuse(error.to_string())), false),
            Err(error) => return Err(error),
        };
        let mut text = serde_json::to_vec(&AnswerLine::from(result)).map_err(io::Error::other)?;
        text.push(b'\n');
        match env.timeout(TIMEOUT, stream.get_mut().write_all(&text)).await {
            Ok(written) => written?,
            Err(elapsed) => return Err(io::Error::new(io::ErrorKind::TimedOut, elapsed)),
        }
        if !go_on {
            return Ok(());
        }
    }
}

async fn answer(line: &[u8], handler: &dyn Handler) -> Result<Answer, Refused> {
    #[derive(Deserialize)]
    struct Versioned {
        v: u32,
    }
    let versioned: Versioned =
        serde_json::from_slice(line).map_err(|error| refuse(format!("the request is malformed: {error}")))?;
    if versioned.v != VERSION {
        return Err(Refused {
            message: format!("the request has version {}, this node speaks {VERSION}", versioned.v),
            likely: Some("the node and the command are different releases".to_owned()),
            r#try: Some("restart the node with the same binary".to_owned()),
        });
    }
    let line: RequestLine =
        serde_json::from_slice(line).map_err(|error| refuse(format!("the request is unknown: {error}")))?;
    match line.request {
        Request::Status => Ok(Answer::Status(Box::new(handler.status()))),
        Request::Invite(request) => handler.invite(request).await.map(Answer::Invite),
        Request::Members => Ok(Answer::Members(handler.members())),
        Request::Revoke(request) => handler.revoke(request).await.map(Answer::Revoked),
        Request::Root(request) => handler.root(request).await.map(Answer::Roots),
        Request::See(question) => handler.see(question).await.map(Answer::Seen),
        Request::Stop => {
            handler.stop();
            Ok(Answer::Stopping)
        }
    }
}

fn refuse(message: String) -> Refused {
    Refused { message, likely: None, r#try: None }
}
