//! The whole deployment with the flights example, and beside it one more sidecar of its shared data
//! plane, at a TCP address, which the same client can ask without the Envoys.

use std::{
    fs,
    net::SocketAddr,
    time::{Duration, UNIX_EPOCH},
};

use anyhow::{Context, Result};
use devstack::{
    dev_issuer::TokenOptions,
    environment, http, ports,
    process::{Child, Launch},
    stack::Stack,
    until,
};
use passport::{Passport, SigningKey};
use serde_json::{Value, json};

use super::Addresses;

const PATIENCE: Duration = Duration::from_secs(60);
const TENANT: &str = "org_aa";
const PLANE: &str = "shared";

/// The tenant's documented answer to [`flight`], of `examples/flights/README.md`.
pub(super) const MINUTES: f64 = 329.71;

/// The tenant without the rate that the example gives it.
const UNLIMITED: &str = r#"
apiVersion: bulkhead.dev/v1
kind: Tenant
metadata:
  name: org_aa
spec:
  tier: bridge
  dataPlane: shared
  rateLimit: {requests: 100000, burst: 100000}
  models:
    - {name: air-time, model: air-time-aa, version: "1"}
"#;

/// A running deployment.
pub(super) struct Bulkhead {
    stack: Stack,
    sidecar: SocketAddr,
    key: SigningKey,
    token: String,
    _process: Child,
}

impl Bulkhead {
    pub(super) async fn start() -> Result<Self> {
        let stack = Stack::builder().start().await?;
        let file = stack.state_dir().join("unlimited.yaml");
        fs::write(&file, UNLIMITED)?;
        stack.apply(&[file]).await?;
        let sidecar = ports::free()?;
        let launch = Launch::new("sidecar-bench", environment::bulkhead()?, stack.state_dir())
            .args([
                "sidecar".into(),
                "--state".into(),
                stack.state_dir().join("bench").into_os_string(),
            ])
            .args(["--listen".to_owned(), sidecar.to_string()])
            .args(["--xds".to_owned(), format!("http://{}", stack.xds_grpc())])
            .args(["--control".to_owned(), stack.admin_url()])
            .args(["--node-id", "sidecar-bench", "--data-plane", PLANE]);
        let mut process = Child::spawn(&launch)?;
        let url = format!("http://{sidecar}/v2/health/ready");
        let waited = until("the sidecar to be ready", PATIENCE, async || {
            anyhow::ensure!(process.is_alive(), "the sidecar ended");
            let answer = http::get(&url).await;
            Ok(answer.is_ok_and(|answer| answer.status.is_success()).then_some(()))
        });
        waited.await.with_context(|| format!("its log ends:\n{}", launch.log_tail(20)))?;
        let key = fs::read(stack.state_dir().join("xds-server/passport.key"))?;
        let key = SigningKey::from_bytes(&key)?;
        let options = TokenOptions { expires_in: 3600, ..TokenOptions::default() };
        let token = stack.issuer().token(TENANT, &options)?;
        Ok(Self { stack, sidecar, key, token, _process: process })
    }

    /// The sidecar alone.
    pub(super) const fn sidecar(&self) -> Addresses {
        Addresses { http: self.sidecar, grpc: self.sidecar }
    }

    /// The ingress.
    pub(super) fn edge(&self) -> Addresses {
        let listen = self.stack.ingress().options().listen;
        Addresses { http: listen, grpc: listen }
    }

    /// What the sidecar is shown: a passport of a minute, as the gate mints one.
    pub(super) fn passport(&self) -> Result<Option<(&'static str, String)>> {
        let passport = Passport {
            tenant: TENANT.parse()?,
            tier: tenancy::Tier::Bridge,
            data_plane: PLANE.parse()?,
            revision: "0123456789abcdef".to_owned(),
        };
        let minted = self.key.mint(&passport, UNIX_EPOCH.elapsed()?.as_secs(), 60)?;
        Ok(Some((tenancy::headers::PASSPORT, minted)))
    }

    /// What the edge is shown: the tenant's own token.
    pub(super) fn token(&self) -> Option<(&'static str, String)> {
        Some(("authorization", format!("Bearer {}", self.token)))
    }
}

/// One flight, of which every row of a request is.
pub(super) fn flight() -> Value {
    let input = |name: &str, datatype: &str, value: Value| json!({"name": name, "datatype": datatype, "data": [value]});
    json!([
        input("carrier", "BYTES", json!("UA")),
        input("origin", "BYTES", json!("EWR")),
        input("dest", "BYTES", json!("LAX")),
        input("distance", "FP32", json!(2454)),
        input("month", "INT64", json!(11)),
        input("day", "INT64", json!(14)),
        input("sched_dep_time", "INT64", json!(1745)),
        input("sched_minutes", "FP32", json!(375)),
        input("dep_delay", "FP32", json!(4)),
    ])
}
