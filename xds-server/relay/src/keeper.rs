//! When what was taken is written to the disk: soon, and seldom enough that a disk is never busy
//! with it, however many pushes there are.

use std::{
    io,
    pin::{Pin, pin},
    sync::Arc,
    time::Duration,
};

use tenancy::Digest;
use tokio::time::{Instant, sleep, timeout};

use crate::{
    code::CodeFolder,
    files::StateDir,
    memory::{Memory, Taken},
    saved,
    upstream::Upstream,
};

/// How long is waited for more before what was taken is written.
const PAUSE: Duration = Duration::from_millis(250);

/// A pause is at least so many times as long as the writing before it took.
const PAUSE_TO_WRITING: u32 = 10;

/// How often code that is missing is asked for.
const MISSING_CODE_ROUND: Duration = Duration::from_secs(30);

/// Who writes. Clones share the folder.
#[derive(Debug, Clone)]
pub(crate) struct Keeper {
    state: Arc<StateDir>,
    memory: Memory,
    upstream: Upstream,
    code: CodeFolder,
}

impl Keeper {
    pub(crate) fn new(state: StateDir, memory: Memory, upstream: Upstream) -> Self {
        let code = CodeFolder::new(state.code());
        Self { state: Arc::new(state), memory, upstream, code }
    }

    /// The folder with code.
    pub(crate) fn code(&self) -> CodeFolder {
        self.code.clone()
    }

    /// Writes what changes until it is to stop: what it has begun to write then, it has written when
    /// this returns.
    pub(crate) async fn keep(&self, stop: impl Future<Output = ()>) {
        let mut changes = self.memory.watch();
        let mut pause = PAUSE;
        let mut stop = pin!(stop);
        loop {
            let more = async {
                // Where nothing changes, there may still be something that could not be done before.
                let _ = timeout(MISSING_CODE_ROUND, changes.changed()).await;
                sleep(pause).await;
            };
            if is_first(&mut stop, more).await {
                return;
            }
            changes.mark_unchanged();
            let started = Instant::now();
            self.save().await;
            pause = PAUSE.max(started.elapsed() * PAUSE_TO_WRITING);
            let code = async {
                self.fetch_missing_code().await;
                self.sweep().await;
            };
            if is_first(&mut stop, code).await {
                return;
            }
        }
    }

    /// Writes what has changed.
    pub(crate) async fn save(&self) {
        for id in self.memory.forget_oldest() {
            // One that was never saved has no file.
            let _ = saved::remove(&self.state.snapshots(), &id);
        }
        for taken in self.memory.unsaved() {
            let who = taken.who.clone();
            if let Err(error) = self.write(taken).await {
                let folder = self.state.snapshots();
                let (envoy, folder) = (who.id(), folder.display());
                tracing::error!(envoy, %folder, %error, "what it took could not be saved; make room there");
                self.memory.not_saved(&who);
            }
        }
    }

    async fn write(&self, taken: Taken) -> io::Result<()> {
        let folder = self.state.snapshots();
        let written = tokio::task::spawn_blocking(move || saved::save(&folder, &taken));
        written.await.unwrap_or_else(|panicked| Err(io::Error::other(panicked)))
    }

    /// An Envoy whose relay is new, or has lost its folder, has code that it does not fetch again.
    async fn fetch_missing_code(&self) {
        let missing = self.memory.code().into_iter().filter(|digest| !self.code.has(*digest));
        for digest in missing.collect::<Vec<Digest>>() {
            match self.upstream.fetch(digest).await {
                Ok(Some(code)) => self.code.keep(digest, code).await,
                Ok(None) => tracing::error!(%digest, "the xds-server has no such code any more"),
                Err(error) => {
                    let error = format!("{error:#}");
                    tracing::warn!(%digest, error, "code that an Envoy has is not here yet");
                }
            }
        }
    }

    async fn sweep(&self) {
        let (code, named) = (self.code.clone(), self.memory.code());
        let swept = tokio::task::spawn_blocking(move || code.sweep(&named));
        let swept = swept.await.unwrap_or_else(|panicked| Err(io::Error::other(panicked)));
        if let Err(error) = swept {
            tracing::warn!(%error, "old code could not be removed");
        }
    }
}

/// Whether `stop` ends before `work`, which is then given up.
async fn is_first(
    stop: &mut Pin<&mut impl Future<Output = ()>>,
    work: impl Future<Output = ()>,
) -> bool {
    tokio::select! {
        () = stop => true,
        () = work => false,
    }
}
