//! The control plane and its ingress.

use std::{fs, time::Duration};

use anyhow::{Context, Result};
use control_plane::{Access, Options, Running, observe::Observe};
use devstack::{
    dev_issuer::{AUDIENCE, DevIssuer, Org, TokenOptions},
    environment,
    envoy::{Envoy, EnvoyOptions, Role},
    ports,
};
use passport::seal::SealKey;
use policy_model::spec::{Resource, parse};
use tempfile::TempDir;

const PATIENCE: Duration = Duration::from_secs(60);

/// Whose requests are sent, and all denied.
const PROBE: &str = "org_probe";
/// Whose limit each commit changes.
const CHANGED: &str = "org_changed";
/// The code of the denial.
pub(super) const CODE: &str = "probe_denied";

/// A running edge. Dropping it stops it.
pub(super) struct Edge {
    control: Running,
    ingress: Envoy,
    issuer: DevIssuer,
    _folder: TempDir,
}

impl Edge {
    /// Starts it with `tenants` tenants in force.
    pub(super) async fn start(tenants: u32) -> Result<Self> {
        let folder = TempDir::with_prefix("bulkhead-push-")?;
        let seal_key = SealKey::from_bytes([0x5e; 32]).to_hex();
        let control = control_plane::start(Options {
            state_dir: folder.path().join("xds-server"),
            grpc: ports::free()?,
            http: ports::free()?,
            wasm_dir: environment::wasm_dir()?,
            seal_key: seal_key.clone(),
            observe: Observe::default(),
            access: Access::default(),
        })
        .await?;
        let issuer = DevIssuer::start([Org::new(PROBE.parse()?)]).await?;
        let resources = resources(tenants, &issuer.issuer_url(PROBE))?;
        control.registry.apply("bench", resources, None).await?;
        let ingress = Envoy::start(EnvoyOptions {
            node_id: "ingress".to_owned(),
            role: Role::Ingress { seal_key },
            listen: ports::free()?,
            xds_grpc: control.grpc,
            workers: 2,
            folder: folder.path().join("logs"),
        })?;
        ingress.ready(PATIENCE).await?;
        Ok(Self { control, ingress, issuer, _folder: folder })
    }

    pub(super) fn listen(&self) -> std::net::SocketAddr {
        self.ingress.options().listen
    }

    /// A token of the probe, good for longer than the measurement.
    pub(super) fn token(&self) -> Result<String> {
        let options = TokenOptions { expires_in: 24 * 3600, ..TokenOptions::default() };
        self.issuer.token(PROBE, &options)
    }

    /// Commits the change of this number to the journal: no two in a row are equal, nor is the first
    /// what holds at the start.
    pub(super) async fn commit(&self, number: u32) -> Result<()> {
        let changed = resource(&tenant(CHANGED, 1001 + number % 7))?;
        self.control.registry.apply("bench", changed, None).await?;
        Ok(())
    }

    /// What Envoy holds in memory, in KiB.
    pub(super) fn resident_kib(&self) -> Result<u64> {
        let pid = self.ingress.service().pid().context("the ingress has ended")?;
        let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let number = line.and_then(|line| line.split_ascii_whitespace().next());
        number.and_then(|number| number.parse().ok()).context("expected VmRSS in KiB")
    }

    /// How many connections each worker of the ingress has.
    pub(super) async fn connections_by_worker(&self) -> Result<Vec<u64>> {
        let stats = self.ingress.stats(r"^listener\..*\.worker_\d+\.downstream_cx_active$").await?;
        Ok(stats.into_iter().filter(|(name, _)| !name.contains("admin")).map(|(_, n)| n).collect())
    }
}

fn resources(tenants: u32, issuer: &str) -> Result<Vec<Resource>> {
    let names: Vec<String> = (0..tenants.saturating_sub(2))
        .map(|number| format!("org_{number:05}"))
        .chain([PROBE.to_owned(), CHANGED.to_owned()])
        .collect();
    let mut yaml = head("DataPlane", "shared");
    yaml.push_str(
        "  region: here\n  tiers: [pool]\n  endpoints: [{address: 127.0.0.1, port: 9}]\n",
    );
    yaml.push_str(&head("Issuer", "everybodys"));
    yaml.push_str(&format!(
        "  issuer: {issuer}\n  audiences: [{AUDIENCE}]\n  orgs: [{}]\n",
        names.join(", ")
    ));
    yaml.push_str(&head("Check", "probe"));
    yaml.push_str(&format!(
        "  description: Every request of the probe is denied, so that its answer names the revision.\n  \
         points: [gate]\n  selector: {{tenants: [{PROBE}]}}\n  mode: enforce\n  \
         expression: tenant.id != '{PROBE}'\n  \
         denial: {{status: 403, code: {CODE}, message: denied}}\n"
    ));
    for name in names {
        yaml.push_str(&tenant(&name, 1000));
    }
    resource(&yaml)
}

fn tenant(name: &str, burst: u32) -> String {
    let mut yaml = head("Tenant", name);
    yaml.push_str(&format!(
        "  tier: pool\n  dataPlane: shared\n  rateLimit: {{requests: 1000, burst: {burst}}}\n"
    ));
    yaml
}

fn head(kind: &str, name: &str) -> String {
    format!("---\napiVersion: bulkhead.dev/v1\nkind: {kind}\nmetadata: {{name: {name}}}\nspec:\n")
}

fn resource(yaml: &str) -> Result<Vec<Resource>> {
    parse("bench", yaml).map_err(|mistakes| {
        anyhow::anyhow!(mistakes.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))
    })
}
