//! The filters' code, as it was built; anybody may fetch it by its digest, to compare.

use std::{collections::BTreeMap, path::Path};

use anyhow::Context as _;
use bytes::Bytes;
use tenancy::Digest;

/// The filters' names; their files are `{name}.wasm`.
pub(crate) const FILTERS: [&str; 2] = ["gate", "recheck"];

/// The code of every filter.
pub(crate) struct WasmModules {
    digests: BTreeMap<&'static str, Digest>,
    code: BTreeMap<Digest, Bytes>,
}

impl WasmModules {
    /// Reads the filters' files from `folder`.
    pub(crate) fn load(folder: &Path) -> anyhow::Result<Self> {
        let mut modules = Self { digests: BTreeMap::new(), code: BTreeMap::new() };
        for name in FILTERS {
            let path = folder.join(format!("{name}.wasm"));
            let code = std::fs::read(&path).with_context(|| {
                format!("cannot read {}; build it with `cargo xtask wasm`", path.display())
            })?;
            let digest = Digest::of(&code);
            modules.digests.insert(name, digest);
            modules.code.insert(digest, code.into());
        }
        Ok(modules)
    }

    /// A filter's code.
    pub(crate) fn of(&self, name: &str) -> anyhow::Result<Bytes> {
        let digest = self.digests.get(name);
        let code = digest.and_then(|digest| self.code(digest));
        code.with_context(|| format!("there is no filter `{name}`"))
    }

    /// The code with this digest.
    pub(crate) fn code(&self, digest: &Digest) -> Option<Bytes> {
        self.code.get(digest).cloned()
    }
}
