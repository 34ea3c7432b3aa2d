//! `bulkhead dev-issuer`.

use std::net::SocketAddr;

use anyhow::Result;
use clap::Args;
use devstack::dev_issuer::{DevIssuer, Org};
use tenancy::TenantId;

#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// Where it listens.
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:0")]
    listen: SocketAddr,
    /// An org that it speaks for, with ES256 keys; can be given again.
    #[arg(long = "org", value_name = "ORG")]
    orgs: Vec<TenantId>,
    /// An org that it speaks for, with RS256 keys; can be given again.
    #[arg(long = "rs256-org", value_name = "ORG")]
    rs256_orgs: Vec<TenantId>,
}

pub(crate) async fn run(arguments: Arguments) -> Result<()> {
    let es256 = arguments.orgs.into_iter().map(Org::new);
    let orgs = es256.chain(arguments.rs256_orgs.into_iter().map(Org::rs256));
    let issuer = DevIssuer::start_at(arguments.listen, orgs).await?;
    println!("for development only: this issuer gives a token to whoever asks");
    for org in issuer.orgs() {
        println!("{}", issuer.issuer_url(org.as_str()));
    }
    tokio::signal::ctrl_c().await?;
    Ok(())
}
