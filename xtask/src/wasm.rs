//! What is done to a filter after it is built.
//!
//! The SDK exports a callback for every event that a proxy can tell a filter of, and the proxy
//! makes each call that is exported, several a request, for the SDK to find that nobody asked.
//! Here a filter keeps only the exports that it has a use for.

use std::{fs, path::Path};

use anyhow::{Context as _, Result, bail};
use wasm_encoder::{ExportKind, ExportSection, Module, RawSection};
use wasmparser::{ExternalKind, Parser, Payload};

/// What is called of a filter: by WASI, by the ABI, and the events that `gate` and `recheck`
/// implement. One that they implement and that is not here is never called.
const EXPORTS: [&str; 9] = [
    "memory",
    "_initialize",
    "proxy_abi_version_0_2_1",
    "proxy_on_memory_allocate",
    "proxy_on_context_create",
    "proxy_on_vm_start",
    "proxy_on_configure",
    "proxy_on_request_headers",
    "proxy_on_delete",
];

/// Writes the filter in `from` to `to` without the exports that it has no use for.
pub(crate) fn trim(from: &Path, to: &Path) -> Result<()> {
    let code = fs::read(from).with_context(|| format!("could not read {}", from.display()))?;
    let trimmed = without_idle_exports(&code)
        .with_context(|| format!("could not take {} apart", from.display()))?;
    if fs::read(to).is_ok_and(|there| there == trimmed) {
        return Ok(());
    }
    fs::write(to, trimmed).with_context(|| format!("could not write {}", to.display()))
}

fn without_idle_exports(code: &[u8]) -> Result<Vec<u8>> {
    let mut module = Module::new();
    for payload in Parser::new(0).parse_all(code) {
        match payload? {
            Payload::ExportSection(exports) => {
                let mut kept = ExportSection::new();
                for export in exports {
                    let export = export?;
                    if EXPORTS.contains(&export.name) {
                        kept.export(export.name, kind(export.kind)?, export.index);
                    }
                }
                module.section(&kept);
            }
            other => {
                if let Some((id, range)) = other.as_section() {
                    let data = code.get(range).context("a section lies outside of the file")?;
                    module.section(&RawSection { id, data });
                }
            }
        }
    }
    Ok(module.finish())
}

fn kind(kind: ExternalKind) -> Result<ExportKind> {
    Ok(match kind {
        ExternalKind::Func => ExportKind::Func,
        ExternalKind::Memory => ExportKind::Memory,
        other => bail!("expected functions and memories as exports to keep, found a {other:?}"),
    })
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use wasm_encoder::{
        CodeSection, Function, FunctionSection, MemorySection, MemoryType, TypeSection,
    };

    use super::*;

    /// A module with one function that is exported under each of `names`.
    fn module(names: &[&str]) -> Vec<u8> {
        let (mut types, mut functions) = (TypeSection::new(), FunctionSection::new());
        types.ty().function([], []);
        functions.function(0);
        let mut memories = MemorySection::new();
        memories.memory(MemoryType {
            minimum: 1,
            maximum: None,
            memory64: false,
            shared: false,
            page_size_log2: None,
        });
        let mut exports = ExportSection::new();
        exports.export("memory", ExportKind::Memory, 0);
        for name in names {
            exports.export(name, ExportKind::Func, 0);
        }
        let mut code = CodeSection::new();
        let mut function = Function::new([]);
        function.instructions().end();
        code.function(&function);
        let mut module = Module::new();
        module.section(&types).section(&functions).section(&memories);
        module.section(&exports).section(&code);
        module.finish()
    }

    #[test]
    fn only_the_exports_with_a_use_are_kept_and_all_else_is_untouched() {
        let whole = module(&["proxy_on_log", "proxy_on_request_headers", "proxy_on_done"]);
        let trimmed = without_idle_exports(&whole).unwrap();
        assert_eq!(trimmed, module(&["proxy_on_request_headers"]));
        assert_eq!(without_idle_exports(&trimmed).unwrap(), trimmed);
        assert!(without_idle_exports(&trimmed[..trimmed.len() - 1]).is_err());
    }
}
