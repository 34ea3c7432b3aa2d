//! Sending a change.

use anyhow::Result;

use super::{Outcome, Patience, artifacts, resources, wait};
use crate::server::{Change, Server};

/// Uploads the artifacts that a change names, makes it, and waits for the proxies.
pub(crate) async fn send(server: &Server, change: &Change, patience: &Patience) -> Result<Outcome> {
    // Read here too, so that a mistake is told with nothing sent.
    let resources = match resources(&change.files) {
        Ok(resources) => resources,
        Err(mistakes) => {
            return Ok(Outcome::Refused { detail: String::new(), mistakes: mistakes.0 });
        }
    };
    if change.dry_run {
        return match server.apply(change).await {
            Ok(planned) => Ok(Outcome::Planned(planned)),
            Err(error) => Outcome::of(error),
        };
    }
    for artifact in artifacts::upload(server, &resources).await? {
        eprintln!("artifact {artifact} uploaded");
    }
    match server.apply(change).await {
        Ok(applied) => wait::finish(server, applied, patience).await,
        Err(error) => Outcome::of(error),
    }
}
