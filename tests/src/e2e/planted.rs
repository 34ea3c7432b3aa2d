//! A filter as it ships, with a trap planted into it.
//!
//! Nothing in a filter's source can be asked to trap, so the trap is put into its built code: what
//! Envoy calls with each request's headers is wrapped in a function that counts its calls.

use std::{fs, path::Path};

use anyhow::{Context as _, Result, bail};
use wasm_encoder::{
    BlockType, Encode as _, ExportKind, ExportSection, Function, Module, RawSection, SectionId,
};
use wasmparser::{ExternalKind, FunctionSectionReader, Parser, Payload, TypeRef};

/// What the proxy calls with the headers of each request (proxy-wasm ABI 0.2.1).
const WRAPPED: &str = "proxy_on_request_headers";

/// How many parameters it has, each an `i32`, as is its one result.
const PARAMETERS: u32 = 3;

/// A global of its own: a mutable `i32` that starts at 0 (WebAssembly core specification 2.0,
/// 5.5.9, "Global Section").
const COUNTER: [u8; 5] = [0x7f, 0x01, 0x41, 0x00, 0x0b];

/// Writes the filters from `built` to `folder`, the gate with a trap: each of its VMs traps at
/// its `nth` request, the first being 1.
///
/// # Errors
/// Where the filters cannot be read, or are not built as expected.
pub fn filters_with_a_trapping_gate(built: &Path, folder: &Path, nth: u16) -> Result<()> {
    fs::create_dir_all(folder)?;
    fs::copy(built.join("recheck.wasm"), folder.join("recheck.wasm"))?;
    let code = fs::read(built.join("gate.wasm"))?;
    let trapping = with_a_trap(&code, nth).context("could not plant a trap into the gate")?;
    fs::write(folder.join("gate.wasm"), trapping)?;
    Ok(())
}

/// `code` with a trap in it.
fn with_a_trap(code: &[u8], nth: u16) -> Result<Vec<u8>> {
    let places = Places::of(code)?;
    let mut module = Module::new();
    for payload in Parser::new(0).parse_all(code) {
        let payload = payload?;
        let Some((id, range)) = payload.as_section() else { continue };
        let data = code.get(range).context("a section lies outside of the file")?;
        match payload {
            Payload::FunctionSection(_) => {
                let mut entry = Vec::new();
                places.ty.encode(&mut entry);
                append(&mut module, SectionId::Function, data, &entry)?;
            }
            Payload::GlobalSection(_) => append(&mut module, SectionId::Global, data, &COUNTER)?,
            Payload::CodeSectionStart { .. } => {
                let mut entry = Vec::new();
                wrapper(&places, nth).encode(&mut entry);
                append(&mut module, SectionId::Code, data, &entry)?;
            }
            Payload::ExportSection(exports) => {
                let mut changed = ExportSection::new();
                for export in exports {
                    let export = export?;
                    let index =
                        if export.name == WRAPPED { places.functions } else { export.index };
                    changed.export(export.name, kind(export.kind)?, index);
                }
                module.section(&changed);
            }
            _ => {
                module.section(&RawSection { id, data });
            }
        }
    }
    Ok(module.finish())
}

/// What the wrapper is made of, by their indexes.
struct Places {
    /// The function that is wrapped.
    wrapped: u32,
    /// Its type.
    ty: u32,
    /// How many functions there are, so that the wrapper is the one after them.
    functions: u32,
    /// How many globals there are, so that the counter is the one after them.
    globals: u32,
}

impl Places {
    fn of(code: &[u8]) -> Result<Self> {
        let (mut imported_functions, mut imported_globals) = (0, 0);
        let mut declared: Option<FunctionSectionReader<'_>> = None;
        let (mut globals, mut wrapped) = (None, None);
        for payload in Parser::new(0).parse_all(code) {
            match payload? {
                Payload::ImportSection(imports) => {
                    for import in imports.into_imports() {
                        match import?.ty {
                            TypeRef::Func(_) => imported_functions += 1,
                            TypeRef::Global(_) => imported_globals += 1,
                            _ => {}
                        }
                    }
                }
                Payload::FunctionSection(functions) => declared = Some(functions),
                Payload::GlobalSection(section) => globals = Some(section.count()),
                Payload::ExportSection(exports) => {
                    for export in exports {
                        let export = export?;
                        if (export.name, export.kind) == (WRAPPED, ExternalKind::Func) {
                            wrapped = Some(export.index);
                        }
                    }
                }
                _ => {}
            }
        }
        let declared = declared.context("it declares no function")?;
        let globals = imported_globals + globals.context("it declares no global")?;
        let functions = imported_functions + declared.count();
        let wrapped = wrapped.with_context(|| format!("it does not export `{WRAPPED}`"))?;
        let own = wrapped.checked_sub(imported_functions).context("it exports an import")?;
        let ty = declared
            .into_iter()
            .nth(own as usize)
            .context("it exports no function of its own")??;
        Ok(Self { wrapped, ty, functions, globals })
    }
}

/// Counts its call, traps at the `nth`, and else does what the wrapped function does.
fn wrapper(places: &Places, nth: u16) -> Function {
    let counter = places.globals;
    let mut function = Function::new([]);
    let mut body = function.instructions();
    body.global_get(counter).i32_const(1).i32_add().global_set(counter);
    body.global_get(counter).i32_const(i32::from(nth)).i32_eq();
    body.if_(BlockType::Empty).unreachable().end();
    for parameter in 0..PARAMETERS {
        body.local_get(parameter);
    }
    body.call(places.wrapped).end();
    function
}

/// Adds the section `id` with `entry` after its entries. `data` is a count, in LEB128, and them.
fn append(module: &mut Module, id: SectionId, data: &[u8], entry: &[u8]) -> Result<()> {
    let digits = data.iter().position(|byte| byte & 0x80 == 0).context("no count")? + 1;
    let (count, entries) = data.split_at(digits);
    let count = count.iter().rev().try_fold(0_u32, |count, byte| {
        count.checked_mul(0x80)?.checked_add(u32::from(byte & 0x7f))
    });
    let mut longer = Vec::with_capacity(data.len() + entry.len() + 1);
    count.and_then(|count| count.checked_add(1)).context("too many")?.encode(&mut longer);
    longer.extend([entries, entry].concat());
    module.section(&RawSection { id: id.into(), data: &longer });
    Ok(())
}

fn kind(kind: ExternalKind) -> Result<ExportKind> {
    Ok(match kind {
        ExternalKind::Func => ExportKind::Func,
        ExternalKind::Table => ExportKind::Table,
        ExternalKind::Memory => ExportKind::Memory,
        ExternalKind::Global => ExportKind::Global,
        other => bail!("expected no other exports of a filter, found a {other:?}"),
    })
}
