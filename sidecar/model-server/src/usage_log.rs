//! The folder of the usage log, which is one process's at a time, where one sidecar takes over from
//! another.
//!
//! The sidecar before holds its own until its last event is durable, which is after the next one
//! has to write its first. So there are several, of which a process takes the first that is free,
//! and ships what is left in the others once they are. An event's id is its request's, so one that
//! was shipped from two folders is counted once.

use std::{
    collections::HashMap,
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};

use anyhow::bail;
use metering::{
    HttpSink, LogOptions, OpenError, OpenedLog, Shipper, ShipperOptions, WriteAheadLog,
};
use tokio::task::spawn_blocking;
use tokio_util::sync::CancellationToken;

/// One in use, one of the process before it, and more of those that died with events unshipped.
const FOLDERS: usize = 8;

/// How long to wait for the folder: longer than a sidecar may take to end.
const PATIENCE: Duration = Duration::from_secs(30);
const PAUSE: Duration = Duration::from_millis(500);

/// How often the other folders are looked at.
const LOOK: Duration = Duration::from_secs(1);

/// Opens the log. One that takes over takes any folder that is free; another one waits for the
/// first, because a restart may overlap with the end of the sidecar before it.
pub(crate) async fn open(state_dir: &Path, take_over: bool) -> anyhow::Result<OpenedLog> {
    if take_over {
        for folder in folders(state_dir) {
            if let Some(opened) = try_open(folder).await? {
                return Ok(opened);
            }
        }
        bail!("expected one of {FOLDERS} usage logs to be free, found all locked: end a sidecar");
    }
    let folder = state_dir.join("usage");
    let mut attempts = PATIENCE.as_millis() / PAUSE.as_millis();
    loop {
        if let Some(opened) = try_open(folder.clone()).await? {
            return Ok(opened);
        }
        if attempts == 0 {
            return Err(OpenError::Locked { directory: folder }.into());
        }
        tracing::warn!(folder = %folder.display(), "waiting for the sidecar before this one to end");
        attempts -= 1;
        tokio::time::sleep(PAUSE).await;
    }
}

/// Ships what other sidecars left in their folders, whenever one is free, until `ended`.
pub(crate) async fn ship_others(
    state_dir: PathBuf,
    own: PathBuf,
    sink: impl Fn() -> HttpSink,
    ended: CancellationToken,
) {
    // A folder in which nothing was made or removed since it was empty is empty.
    let mut empty: HashMap<PathBuf, SystemTime> = HashMap::new();
    loop {
        for folder in folders(&state_dir).filter(|folder| *folder != own && folder.exists()) {
            if changed(&folder).is_some_and(|changed| empty.get(&folder) == Some(&changed)) {
                continue;
            }
            match try_open(folder.clone()).await {
                Ok(None) => {}
                Ok(Some(opened)) => {
                    if ship(opened, sink(), &ended).await {
                        empty.extend(changed(&folder).map(|changed| (folder, changed)));
                    }
                }
                Err(error) => tracing::error!(%error, "usage events of another sidecar wait"),
            }
        }
        tokio::select! {
            () = tokio::time::sleep(LOOK) => {}
            () = ended.cancelled() => return,
        }
    }
}

fn changed(folder: &Path) -> Option<SystemTime> {
    std::fs::metadata(folder).and_then(|metadata| metadata.modified()).ok()
}

/// Ships all that is in a log, and says whether it did.
async fn ship(opened: OpenedLog, sink: HttpSink, ended: &CancellationToken) -> bool {
    let OpenedLog { log, backlog, recovery } = opened;
    let folder = log.directory().display().to_string();
    tracing::info!(folder, events = recovery.events, "shipping what another sidecar left");
    let mut shipper = Shipper::new(backlog, sink, ShipperOptions::default());
    let shipped = tokio::select! {
        () = shipper.drain() => true,
        () = ended.cancelled() => false,
    };
    // The last handle on the log waits for its writer.
    spawn_blocking(move || drop((shipper, log))).await.is_ok() && shipped
}

/// The log in `folder`; `None` where another process has it.
async fn try_open(folder: PathBuf) -> anyhow::Result<Option<OpenedLog>> {
    let options = LogOptions::new(folder);
    match spawn_blocking(|| WriteAheadLog::open(options)).await? {
        Ok(opened) => Ok(Some(opened)),
        Err(OpenError::Locked { .. }) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

fn folders(state_dir: &Path) -> impl Iterator<Item = PathBuf> {
    let others = (1..FOLDERS).map(|number| format!("usage-{number}"));
    std::iter::once("usage".to_owned()).chain(others).map(|name| state_dir.join(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_sidecar_waits_for_the_one_before_it_to_end_unless_it_takes_over() {
        let folder = tempfile::tempdir().unwrap();
        let state = folder.path().to_owned();
        let before = open(&state, false).await.unwrap();
        let after = tokio::spawn({
            let state = state.clone();
            async move { open(&state, false).await }
        });
        let beside = open(&state, true).await.unwrap();
        assert_eq!(beside.log.directory(), state.join("usage-1"));
        assert!(!after.is_finished());
        drop(before);
        assert_eq!(after.await.unwrap().unwrap().log.directory(), state.join("usage"));
    }
}
