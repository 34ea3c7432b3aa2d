//! What a client is told, and how it answers.

use bytes::Bytes;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;

/// A resource that is new or has changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Upsert {
    /// Its name, unique within its type.
    pub name: String,
    /// Its version, to be told to [`super::DeltaClient::holding`] after a restart.
    pub version: String,
    /// The encoded message.
    pub value: Bytes,
}

/// A change to the resources of one type. The first one of each connection comes even where it is
/// empty: it says that what is held is current.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Update {
    /// The type of all resources below.
    pub type_url: String,
    /// The version of the type as a whole that this update leads to.
    pub version: String,
    /// What is new or has changed.
    pub upserts: Vec<Upsert>,
    /// Names of resources to let go.
    pub removed: Vec<String>,
}

/// The answer that the server waits for. One that is dropped unanswered refuses the update.
#[derive(Debug)]
pub struct Responder {
    answer: oneshot::Sender<Result<(), String>>,
}

impl Responder {
    pub(super) fn new() -> (Self, oneshot::Receiver<Result<(), String>>) {
        let (answer, receiver) = oneshot::channel();
        (Self { answer }, receiver)
    }

    /// The update has been taken into use.
    pub fn ack(self) {
        // Where nobody listens any more, the server will send the difference again.
        let _unheard = self.answer.send(Ok(()));
    }

    /// The update has been refused, for this reason; what was held before stays in use.
    pub fn nack(self, reason: impl Into<String>) {
        let _unheard = self.answer.send(Err(reason.into()));
    }
}

/// The updates as they come. Dropping it ends the client.
#[derive(Debug)]
pub struct Updates {
    receiver: mpsc::Receiver<(Update, Responder)>,
    task: JoinHandle<()>,
}

impl Updates {
    pub(super) fn new(receiver: mpsc::Receiver<(Update, Responder)>, task: JoinHandle<()>) -> Self {
        Self { receiver, task }
    }

    /// The next update. The one after it comes once this one has been answered. Nothing is returned
    /// only where the client's task has died.
    pub async fn next(&mut self) -> Option<(Update, Responder)> {
        self.receiver.recv().await
    }
}

impl Drop for Updates {
    fn drop(&mut self) {
        self.task.abort();
    }
}
