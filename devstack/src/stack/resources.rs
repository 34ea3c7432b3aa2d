//! The resources of an example, with the data planes and issuers of this machine.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write,
    fs,
    net::SocketAddr,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, bail};
use policy_model::spec::{Resource, parse};
use tenancy::{DataPlaneId, TenantId, Tier};

use crate::dev_issuer::{AUDIENCE, DevIssuer};

/// Where a data plane is where its example does not say.
const SHARED_REGION: &str = "us-east-1";
const SILO_REGION: &str = "us-east-2";

/// A data plane to start.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlaneSpec {
    /// The name.
    pub id: DataPlaneId,
    /// The region.
    pub region: String,
    /// The tiers that it serves, sorted.
    pub tiers: BTreeSet<Tier>,
    /// The one tenant that it is for.
    pub exclusive_to: Option<TenantId>,
}

/// What an example declares.
#[derive(Debug, Default)]
pub(super) struct Declared {
    /// The tenants, sorted.
    pub(super) tenants: BTreeSet<TenantId>,
    /// The data planes that they name, sorted by name.
    pub(super) planes: Vec<PlaneSpec>,
    /// The files that are applied as they are.
    files: Vec<PathBuf>,
}

impl Declared {
    /// Reads files and folders. A file that holds DataPlanes or Issuers is not applied: their
    /// addresses are of another machine. The regions of its data planes are taken over.
    pub(super) fn read(paths: &[PathBuf]) -> Result<Self> {
        let mut declared = Self::default();
        let mut planes: BTreeMap<DataPlaneId, PlaneSpec> = BTreeMap::new();
        let mut regions: BTreeMap<String, String> = BTreeMap::new();
        for file in yaml_files(paths)? {
            let mut is_local = true;
            for resource in read(&file)? {
                match resource {
                    Resource::Tenant(tenant) => {
                        let id: TenantId = tenant.metadata.name.parse()?;
                        let plane = planes
                            .entry(tenant.spec.data_plane.clone())
                            .or_insert_with(|| PlaneSpec::new(tenant.spec.data_plane));
                        plane.add(&id, tenant.spec.tier);
                        declared.tenants.insert(id);
                    }
                    Resource::DataPlane(plane) => {
                        regions.insert(plane.metadata.name, plane.spec.region);
                        is_local = false;
                    }
                    Resource::Issuer(_) => is_local = false,
                    _ => {}
                }
            }
            if is_local {
                declared.files.push(file);
            }
        }
        declared.planes = planes.into_values().collect();
        for plane in &mut declared.planes {
            if let Some(region) = regions.get(plane.id.as_str()) {
                plane.region.clone_from(region);
            }
        }
        if declared.tenants.is_empty() {
            bail!("expected at least one Tenant in {paths:?}, found none");
        }
        Ok(declared)
    }

    /// Writes `data-planes.yaml` and `issuers.yaml` into `folder`; returns all there is to apply.
    pub(super) fn render(
        &self,
        folder: &Path,
        endpoints: &[(PlaneSpec, SocketAddr)],
        issuer: &DevIssuer,
    ) -> Result<Vec<PathBuf>> {
        let planes: String =
            endpoints.iter().map(|(plane, address)| plane.to_yaml(*address)).collect();
        let issuers: String = self.tenants.iter().map(|org| issuer_yaml(org, issuer)).collect();
        let mut files = self.files.clone();
        for (name, text) in [("data-planes.yaml", planes), ("issuers.yaml", issuers)] {
            let file = folder.join(name);
            fs::write(&file, text)
                .with_context(|| format!("could not write {}", file.display()))?;
            files.push(file);
        }
        Ok(files)
    }
}

impl PlaneSpec {
    fn new(id: DataPlaneId) -> Self {
        Self { id, region: SHARED_REGION.to_owned(), tiers: BTreeSet::new(), exclusive_to: None }
    }

    fn add(&mut self, tenant: &TenantId, tier: Tier) {
        self.tiers.insert(tier);
        if tier == Tier::Silo {
            SILO_REGION.clone_into(&mut self.region);
            self.exclusive_to = Some(tenant.clone());
        }
    }

    fn to_yaml(&self, endpoint: SocketAddr) -> String {
        let tiers: Vec<String> = self.tiers.iter().map(ToString::to_string).collect();
        let mut yaml = head("DataPlane", self.id.as_str());
        _ = writeln!(yaml, "  region: {}\n  tiers: [{}]", self.region, tiers.join(", "));
        if let Some(tenant) = &self.exclusive_to {
            _ = writeln!(yaml, "  exclusiveTo: {tenant}");
        }
        let (address, port) = (endpoint.ip(), endpoint.port());
        _ = writeln!(yaml, "  endpoints:\n    - {{address: {address}, port: {port}}}");
        yaml
    }
}

fn issuer_yaml(org: &TenantId, issuer: &DevIssuer) -> String {
    let mut yaml = head("Issuer", &format!("development-{org}"));
    let url = issuer.issuer_url(org.as_str());
    _ = writeln!(yaml, "  issuer: {url}\n  audiences: [{AUDIENCE}]\n  orgs: [{org}]");
    yaml
}

fn head(kind: &str, name: &str) -> String {
    format!("---\napiVersion: bulkhead.dev/v1\nkind: {kind}\nmetadata:\n  name: {name}\nspec:\n")
}

fn read(file: &Path) -> Result<Vec<Resource>> {
    let text =
        fs::read_to_string(file).with_context(|| format!("could not read {}", file.display()))?;
    parse(&file.display().to_string(), &text).map_err(|mistakes| {
        let mistakes: Vec<String> = mistakes.iter().map(ToString::to_string).collect();
        anyhow::anyhow!(mistakes.join("\n"))
    })
}

fn yaml_files(paths: &[PathBuf]) -> Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for path in paths {
        if !path.is_dir() {
            files.push(path.clone());
            continue;
        }
        let entries =
            fs::read_dir(path).with_context(|| format!("could not read {}", path.display()))?;
        for entry in entries {
            let file = entry?.path();
            if file.extension().is_some_and(|extension| extension == "yaml") {
                files.push(file);
            }
        }
    }
    files.sort();
    Ok(files)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests fail by panicking")]
mod tests {
    use policy_model::compile::compile;

    use super::*;
    use crate::dev_issuer::Org;

    const EXAMPLE: &str = "apiVersion: bulkhead.dev/v1
kind: Tenant
metadata: {name: org_a}
spec: {tier: pool, dataPlane: shared, models: [{name: m, model: both, version: v}]}
---
apiVersion: bulkhead.dev/v1
kind: Tenant
metadata: {name: org_b}
spec: {tier: silo, dataPlane: silo-b, models: [{name: m, model: own, version: v}]}
---
apiVersion: bulkhead.dev/v1
kind: Tier
metadata: {name: pool}
spec: {rateLimit: {requests: 1, burst: 1}}
---
apiVersion: bulkhead.dev/v1
kind: Tier
metadata: {name: silo}
spec: {rateLimit: {requests: 1, burst: 1}}
";

    fn models() -> String {
        let model = |name: &str, trained_on: &str| {
            let digest = tenancy::Digest::of(name.as_bytes());
            format!(
                "---\napiVersion: bulkhead.dev/v1\nkind: Model\nmetadata: {{name: {name}}}\nspec: {{versions: [{{version: v, artifact: {name}.onnx, digest: \"{digest}\", trainedOn: [{trained_on}]}}]}}\n"
            )
        };
        model("both", "org_a, org_b") + &model("own", "org_b")
    }

    #[tokio::test]
    async fn what_is_rendered_compiles_with_the_example_and_warns_of_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("tenants.yaml");
        fs::write(&file, EXAMPLE.to_owned() + &models()).unwrap();
        let elsewhere = folder.path().join("production.yaml");
        let plane = "apiVersion: bulkhead.dev/v1\nkind: DataPlane\nmetadata: {name: silo-b}\nspec: {region: eu-central-1, tiers: [silo], exclusiveTo: org_b, endpoints: [{address: 10.0.0.1, port: 80}]}\n";
        fs::write(&elsewhere, plane).unwrap();

        let declared = Declared::read(&[file, elsewhere]).unwrap();
        let orgs = declared.tenants.iter().cloned().map(Org::new);
        let issuer = DevIssuer::start(orgs).await.unwrap();
        let endpoints: Vec<_> =
            declared.planes.iter().map(|plane| (plane.clone(), issuer.address())).collect();
        let files = declared.render(folder.path(), &endpoints, &issuer).unwrap();

        let resources: Vec<Resource> = files.iter().flat_map(|file| read(file).unwrap()).collect();
        let compiled = compile(&resources).unwrap();
        assert_eq!(compiled.warnings, []);
        let silo = &compiled.resolved.data_planes["silo-b"];
        assert_eq!(
            (silo.region.as_str(), silo.endpoints.as_slice()),
            ("eu-central-1", [issuer.address()].as_slice())
        );
        assert_eq!(compiled.resolved.issuers.len(), 2);
    }
}
