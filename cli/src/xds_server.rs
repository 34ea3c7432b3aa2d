//! `bulkhead xds-server`.

use std::{net::SocketAddr, path::PathBuf};

use anyhow::{Context, Result};
use clap::Args;
use control_plane::{Access, TlsFiles, observe::Observe};

/// The variable with the seal key. It is no argument, because arguments are for all to see.
const SEAL_KEY: &str = "BULKHEAD_SEAL_KEY";

/// Needs BULKHEAD_SEAL_KEY in its environment: 64 hexadecimal digits, the same as the ingress
/// Envoys'.
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// The folder for the journal, the artifacts and the usage ledger.
    #[arg(long, value_name = "DIR")]
    state: PathBuf,
    /// Where ADS listens.
    #[arg(long, value_name = "ADDRESS")]
    grpc: SocketAddr,
    /// Where the HTTP API listens.
    #[arg(long, value_name = "ADDRESS")]
    http: SocketAddr,
    /// The folder with gate.wasm and recheck.wasm.
    #[arg(long, value_name = "DIR")]
    wasm_dir: PathBuf,
    /// The file of operators who may use the HTTP API; `bulkhead operator token` makes its entries.
    /// It is read again when it changes. Without it, the API listens on loopback only, and
    /// everybody there is an admin.
    #[arg(long, value_name = "FILE")]
    operators: Option<PathBuf>,
    /// The certificate chain for the HTTP API, PEM. An address beyond loopback needs it.
    #[arg(long, value_name = "FILE", requires = "http_tls_key")]
    http_tls_cert: Option<PathBuf>,
    /// The certificate's private key, PEM.
    #[arg(long, value_name = "FILE", requires = "http_tls_cert")]
    http_tls_key: Option<PathBuf>,
    /// What is shown of decisions: `response-headers` (the revision, and the check that denied),
    /// `access-log` (one line of JSON a request at every Envoy), or both with a comma between.
    #[arg(long, value_name = "WHAT", default_value = "")]
    observe: Observe,
}

pub(crate) async fn run(arguments: Arguments) -> Result<()> {
    let seal_key = std::env::var(SEAL_KEY).with_context(|| {
        format!("expected {SEAL_KEY} in the environment: 64 hexadecimal digits, for instance from `openssl rand -hex 32`")
    })?;
    let tls = arguments.http_tls_cert.zip(arguments.http_tls_key);
    let tls = tls.map(|(certificate, key)| TlsFiles { certificate, key });
    control_plane::run(control_plane::Options {
        state_dir: arguments.state,
        grpc: arguments.grpc,
        http: arguments.http,
        wasm_dir: arguments.wasm_dir,
        seal_key,
        observe: arguments.observe,
        access: Access { operators: arguments.operators, tls },
    })
    .await
}
