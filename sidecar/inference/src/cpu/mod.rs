//! The backend that runs everywhere: the CPU.
//!
//! A package with a plan runs from where it is mapped (`planned.rs`, `run`). Everything else, an
//! ONNX file or a package whose graph has no plan, runs by tract (`model.rs`).

mod confined;
mod convert;
mod graph;
pub(crate) mod model;
mod planned;
mod recurrent;
mod run;

use std::sync::{Arc, Mutex, PoisonError};

use artifact::{Mapped, Package, SectionKind};

use crate::{Backend, Limits, LoadError, Model, Signature, cpu::run::Workspace, plan::PackedPlan};

/// Loads models for the CPU. One request runs on the one thread that calls
/// [`Model::infer`], so that how many cores a tenant gets is the scheduler's choice.
///
/// # Against hostile files
///
/// A file may come from a tenant's own training. Its bytes are decoded with bounds, symbolic
/// dimensions never reach tract's expression parser (which recurses), external data is refused,
/// intermediate tensors are bounded by [`Limits`], and a panic inside tract becomes an error, so
/// that one tenant's bad graph does not end the requests of the others. That last guard needs
/// unwinding: a build with `panic = "abort"` does without it. Not held here: a graph that computes
/// for very long, or whose shapes depend on values and grow without bound. Those need a process
/// with its own limits on time and memory.
#[derive(Debug, Clone, Default)]
pub struct CpuBackend {
    limits: Limits,
    workspaces: Arc<Workspaces>,
}

impl CpuBackend {
    /// A backend that holds every request to `limits`. Its models share the memory that requests
    /// need while they run, as much as ran at once.
    pub fn new(limits: Limits) -> Self {
        Self { limits, workspaces: Arc::default() }
    }
}

impl Backend for CpuBackend {
    fn load(&self, file: &Mapped) -> Result<Arc<dyn Model>, LoadError> {
        if !Package::is_one(file) {
            return Ok(Arc::new(model::CpuModel::load(file, self.limits)?));
        }
        let package = Package::open(file.clone())?;
        if package.header().base.is_some() {
            return Err(LoadError::Base);
        }
        if package.section(SectionKind::Plan).is_some() {
            let plan = PackedPlan::open(package)?;
            let workspaces = Arc::clone(&self.workspaces);
            return Ok(Arc::new(planned::PlannedModel::load(plan, self.limits, workspaces)?));
        }
        let source = package.section(SectionKind::Source).ok_or(LoadError::NoSource)?;
        let mut model = model::CpuModel::load(source, self.limits)?;
        say_trained_on(&package, &mut model.signature);
        Ok(Arc::new(model))
    }

    fn name(&self) -> &'static str {
        "cpu"
    }
}

/// Puts what a package says that its model was trained on where an ONNX file says it, so that
/// whoever checks the one checks the other.
fn say_trained_on(package: &Package, signature: &mut Signature) {
    let tenants: Vec<&str> =
        package.header().identity.trained_on.iter().map(|it| it.as_str()).collect();
    if !tenants.is_empty() {
        signature.metadata.insert("trained_on".to_owned(), tenants.join(","));
    }
}

/// Workspaces that no request uses now.
#[derive(Debug, Default)]
struct Workspaces {
    free: Mutex<Vec<Workspace>>,
}

impl Workspaces {
    /// The workspace that was used last, which is the one that is still in a cache.
    fn take(&self) -> Workspace {
        self.free.lock().unwrap_or_else(PoisonError::into_inner).pop().unwrap_or_default()
    }

    fn give_back(&self, workspace: Workspace) {
        if workspace.is_small() {
            self.free.lock().unwrap_or_else(PoisonError::into_inner).push(workspace);
        }
    }
}
