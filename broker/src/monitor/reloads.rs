//! Wishes of the system account that the config be read again, on their way to the program that can.

use crate::lock::lock;
use std::sync::Mutex;
use tokio::sync::{mpsc, oneshot};

/// Wishes that may wait; further ones are refused.
const WAITING_MAX: usize = 4;

/// A wish that the config be read again.
#[derive(Debug)]
pub struct Reload(oneshot::Sender<Result<(), String>>);

impl Reload {
    /// It has been, or why it could not be: whoever wished it is told.
    pub fn done(self, result: Result<(), String>) {
        // Nobody may be waiting any more.
        drop(self.0.send(result));
    }
}

/// Wishes that the config be read again, in their order. While there is one of these the broker takes such wishes.
#[derive(Debug)]
pub struct Reloads(mpsc::Receiver<Reload>);

impl Reloads {
    /// The next one. Cancel safe. Waits for ever when another one of these was made since.
    pub async fn next(&mut self) -> Reload {
        match self.0.recv().await {
            Some(reload) => reload,
            None => std::future::pending().await,
        }
    }
}

/// The broker's end.
#[derive(Debug, Default)]
pub(crate) struct ReloadDesk(Mutex<Option<mpsc::Sender<Reload>>>);

/// What comes of a wish, in time.
pub(crate) type Outcome = oneshot::Receiver<Result<(), String>>;

impl ReloadDesk {
    /// From now on wishes go there.
    pub(super) fn open(&self) -> Reloads {
        let (sender, receiver) = mpsc::channel(WAITING_MAX);
        *lock(&self.0) = Some(sender);
        Reloads(receiver)
    }

    /// `None` when nobody takes wishes, or too many wait.
    pub(crate) fn wish(&self) -> Option<Outcome> {
        let (done, outcome) = oneshot::channel();
        lock(&self.0).as_ref()?.try_send(Reload(done)).ok()?;
        Some(outcome)
    }
}
