//! One of the Envoys that are compared.

use std::{
    fs,
    net::SocketAddr,
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Context, Result, bail};
use devstack::{
    environment, http, ports,
    process::{Child, Launch},
    until,
};
use passport::seal;

use super::{
    bootstrap::{Places, Variant, bootstrap},
    fixture::Fixture,
};
use crate::{affinity::Division, cpu};

const PATIENCE: Duration = Duration::from_secs(60);

/// A running Envoy with one worker. Dropping it stops it.
pub(crate) struct Proxy {
    pub(crate) variant: Variant,
    pub(crate) listen: SocketAddr,
    child: Child,
}

impl Proxy {
    /// Starts it and waits until it is ready.
    pub(crate) async fn start(
        variant: Variant,
        fixture: &Fixture,
        upstream: SocketAddr,
        gate: &Path,
        folder: &Path,
        division: &Division,
    ) -> Result<Self> {
        let (listen, admin) = (ports::free()?, ports::free()?);
        let places = Places { listen, admin, upstream, gate };
        let bootstrap = bootstrap(variant, fixture, &places)?;
        let file = folder.join(format!("{}.json", variant.name()));
        fs::write(&file, serde_json::to_vec_pretty(&bootstrap)?)
            .with_context(|| format!("could not write {}", file.display()))?;
        let launch = Launch::new(variant.name(), environment::envoy()?, folder)
            .args(["--config-path".into(), file.into_os_string()])
            .args(["--concurrency", "1", "--disable-hot-restart", "--log-level", "warn"])
            .env(seal::ENVIRONMENT_VARIABLE, fixture.seal_key.to_hex());
        let mut child = Child::spawn(&launch)?;
        let ready = format!("http://{admin}/ready");
        let what = format!("the {} Envoy to be ready", variant.name());
        let waited = until(&what, PATIENCE, async || {
            if let Some(status) = child.exit_status() {
                bail!("it ended: {status}");
            }
            let answer = http::get(&ready).await;
            Ok(answer.is_ok_and(|answer| answer.status.is_success()).then_some(()))
        });
        waited.await.with_context(|| {
            format!("the log of the {} Envoy ends:\n{}", variant.name(), child.log_tail(20))
        })?;
        division.keep_measured(child.pid())?;
        Ok(Self { variant, listen, child })
    }

    /// The CPU time of the whole process so far.
    pub(crate) fn cpu(&self) -> Result<Duration> {
        cpu::used_by(self.child.pid())
    }

    pub(crate) fn log_tail(&self) -> String {
        self.child.log_tail(20)
    }
}

/// The filter as `cargo xtask` built it.
pub(crate) fn gate_wasm() -> Result<PathBuf> {
    let file = environment::wasm_dir()?.join("gate.wasm");
    if !file.is_file() {
        bail!(
            "expected the gate at {}, found no file; `cargo xtask wasm` builds it",
            file.display()
        );
    }
    Ok(file)
}
