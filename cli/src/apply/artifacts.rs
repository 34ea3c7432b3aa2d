//! The artifacts that models name: those that the server lacks are given to it.

use std::{
    fs::File,
    io::{self, Read},
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, bail};
use policy_model::spec::Resource;
use sha2::{Digest as _, Sha256};
use tenancy::Digest;

use crate::server::Server;

const CHUNK_BYTES: usize = 1 << 20;

/// An artifact that a resource names.
struct Named {
    file: PathBuf,
    digest: Digest,
    by: String,
}

/// Uploads what the server lacks, each file checked against its digest first. Returns what was
/// uploaded.
pub(super) async fn upload(server: &Server, resources: &[Resource]) -> Result<Vec<String>> {
    let mut uploaded = Vec::new();
    for artifact in resources.iter().flat_map(named_by) {
        if server.has_artifact(&artifact.digest).await? {
            continue;
        }
        let Named { file, digest, by } = artifact;
        let what = format!("{by}: {}", file.display());
        let path = file.clone();
        let found = tokio::task::spawn_blocking(move || digest_of(&path)).await?;
        let found = found.with_context(|| format!("could not read the artifact of {what}"))?;
        if found != digest {
            bail!(
                "{what}: expected the artifact to have the digest {digest}, found {found}; was it changed after it was evaluated?"
            );
        }
        let contents = tokio::fs::File::open(&file).await?;
        server.put_artifact(&digest, contents).await.with_context(|| what.clone())?;
        uploaded.push(format!("{} ({digest})", file.display()));
    }
    Ok(uploaded)
}

fn named_by(resource: &Resource) -> Vec<Named> {
    let Resource::Model(model) = resource else {
        return Vec::new();
    };
    let folder = Path::new(&model.origin.file).parent().unwrap_or_else(|| Path::new(""));
    let named = |version: &policy_model::spec::ModelVersionSpec| Named {
        file: folder.join(&version.artifact),
        digest: version.digest,
        by: format!("{}: {} version {}", model.origin, resource.id(), version.version),
    };
    model.spec.versions.iter().map(named).collect()
}

fn digest_of(path: &Path) -> io::Result<Digest> {
    let mut file = File::open(path)?;
    let mut hash = Sha256::new();
    let mut chunk = vec![0; CHUNK_BYTES];
    loop {
        match file.read(&mut chunk)? {
            0 => return Ok(Digest::from_bytes(hash.finalize().into())),
            length => hash.update(chunk.get(..length).unwrap_or_default()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_artifact_is_found_beside_the_file_that_names_it() {
        let digest = Digest::of(b"weights");
        let text = format!(
            "apiVersion: bulkhead.dev/v1\nkind: Model\nmetadata: {{name: m}}\nspec: {{versions: [{{version: \"1\", artifact: ../m.onnx, digest: \"{digest}\", trainedOn: [org_a]}}]}}\n"
        );
        let resources = policy_model::spec::parse("models/m.yaml", &text).unwrap();
        let named = named_by(&resources[0]);
        assert_eq!(named[0].file, Path::new("models/../m.onnx"));
        assert_eq!(named[0].digest, digest);
    }

    #[test]
    fn a_digest_is_that_of_the_whole_file() {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        let bytes = vec![7; 2 * CHUNK_BYTES + 1];
        io::Write::write_all(&mut file, &bytes).unwrap();
        assert_eq!(digest_of(file.path()).unwrap(), Digest::of(&bytes));
    }
}
