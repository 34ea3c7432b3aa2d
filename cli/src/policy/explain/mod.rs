//! `bulkhead policy explain`.

mod request;
mod story;

use std::{path::PathBuf, process::ExitCode};

use anyhow::{Context, Result};
use clap::Args;
use policy_model::{diagnostic::Origin, spec::Resource};
use scenario::{Deployment, explain};

use crate::{policy::test::deployment, server::ServerArguments};
use request::RequestArguments;
use story::Story;

/// The decision is made by the filters' own code, natively, over the files' resources or, where
/// none are given, over those that the xds-server has in force. Rates are not counted, and no
/// signature is verified: the issuers' keys are not at hand.
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// The resources: a file, or a folder with all below it; can be given again.
    #[arg(short, long = "file", value_name = "FILE|DIR", num_args = 1..)]
    files: Vec<PathBuf>,
    #[command(flatten)]
    server: ServerArguments,
    #[command(flatten)]
    request: RequestArguments,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

pub(crate) async fn run(arguments: Arguments) -> Result<ExitCode> {
    let deployment = match arguments.files.as_slice() {
        [] => in_force(&arguments.server).await?,
        files => deployment(files)?,
    };
    let (request, now) = arguments.request.prepare(&deployment)?;
    let explained = explain(&deployment, &request, now)?;
    let story = Story { deployment: &deployment, explained: &explained };
    if arguments.json {
        println!("{:#}", story.json());
    } else {
        print!("{}", story.text());
    }
    Ok(ExitCode::SUCCESS)
}

/// What the xds-server has in force.
async fn in_force(server: &ServerArguments) -> Result<Deployment> {
    let resources = server.connect()?.resources().await?;
    let resources = resources.into_iter().map(|json| {
        Resource::from_json(json, Origin::default())
            .map_err(anyhow::Error::msg)
            .context("the xds-server has a resource that this release cannot read")
    });
    Ok(Deployment::of(resources.collect::<Result<_>>()?)?)
}
