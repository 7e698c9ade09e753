//! The command line's end of the control socket: one question, one answer.

use super::socket::{self, SocketError};
use super::{ANSWER_BYTES_MAX, Answer, AnswerLine, Refused, Request, RequestLine, TIMEOUT, VERSION, read_line};
use lattice_broker::env::Env;
use std::io;
use std::path::Path;
use tokio::io::{AsyncWriteExt, BufReader};

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum AskError {
    /// The socket cannot be used; [`SocketError::NotRunning`] among the reasons.
    #[error(transparent)]
    Socket(#[from] SocketError),
    /// The node said no.
    #[error(transparent)]
    Refused(#[from] Refused),
    /// The node did not answer in time.
    #[error("the node did not answer within {} s", TIMEOUT.as_secs())]
    TimedOut,
    /// The talk broke off.
    #[error("the node hung up: {0}")]
    Broken(#[from] io::Error),
    /// The answer is not what the question was about, or of another version.
    #[error("the node's answer is not understood; it is probably another release")]
    Misunderstood,
}

/// Asks the node that runs on `data`.
///
/// # Errors
/// [`AskError`].
pub async fn ask(env: &Env, data: &Path, request: Request) -> Result<Answer, AskError> {
    let answer = env.timeout(TIMEOUT, exchange(data, request)).await.map_err(|_| AskError::TimedOut)??;
    match answer {
        AnswerLine { refused: Some(refused), .. } => Err(refused.into()),
        AnswerLine { v: VERSION, answer: Some(answer), .. } => Ok(answer),
        AnswerLine { .. } => Err(AskError::Misunderstood),
    }
}

async fn exchange(data: &Path, request: Request) -> Result<AnswerLine, AskError> {
    let mut stream = BufReader::new(socket::connect(data).await?);
    let mut text = serde_json::to_vec(&RequestLine { v: VERSION, request }).map_err(io::Error::other)?;
    text.push(b'\n');
    stream.get_mut().write_all(&text).await?;
    let line = read_line(&mut stream, ANSWER_BYTES_MAX).await?;
    let line = line.ok_or_else(|| io::Error::from(io::ErrorKind::UnexpectedEof))?;
    serde_json::from_slice(&line).map_err(|_| AskError::Misunderstood)
}
