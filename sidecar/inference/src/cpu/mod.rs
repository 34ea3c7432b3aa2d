//! The backend that runs everywhere: the CPU.
//!
//! A package with a plan runs from where it is mapped (`planned.rs`, `run`). Everything else, an
//! ONNX file or a package whose graph has no plan, runs by tract (`model.rs`).

mod adapter;
mod backwards;
mod base;
mod confined;
mod convert;
mod edges;
mod graph;
mod matrices;
mod misread;
pub(crate) mod model;
mod nodes;
mod planned;
mod recurrent;
mod run;

pub use planned::PlannedModel;
pub use run::Steps;

use std::sync::{Arc, Mutex, PoisonError};

use artifact::{Derived, Mapped, Package, SectionKind};
use kernels::Helpers;

use crate::{
    Backend, Limits, LoadError, Model, Signature,
    cpu::run::Workspace,
    pack::Unpacked,
    plan::{PackedPlan, PlanError},
};

/// Loads models for the CPU. A request runs on the one thread that calls [`Model::infer`], so that
/// how many cores a tenant gets is the scheduler's choice; cores that no request of this backend
/// uses help with the large products of a plan, and answers are the same to the bit either way.
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
    repacked: Option<Derived>,
}

impl CpuBackend {
    /// A backend that holds every request to `limits`. Its models share the memory that requests
    /// need while they run, as much as ran at once. It uses every core that the process may.
    pub fn new(limits: Limits) -> Self {
        Self { limits, ..Self::default() }
    }

    /// As [`CpuBackend::new`], on at most `cores` cores: with 1, no request is divided.
    pub fn with_cores(limits: Limits, cores: usize) -> Self {
        Self { limits, workspaces: Arc::new(Workspaces::for_cores(cores)), repacked: None }
    }

    /// Keeps in `files` what it packs again of packages that have no panels for this processor, so
    /// that this is done once for all processes of a node. Without, each load does it, into memory.
    pub fn repacking_into(self, files: Derived) -> Self {
        Self { repacked: Some(files), ..self }
    }
}

impl Backend for CpuBackend {
    fn load(&self, file: &Mapped) -> Result<Arc<dyn Model>, LoadError> {
        if !Package::is_one(file) {
            let workspaces = Arc::clone(&self.workspaces);
            return Ok(Arc::new(model::CpuModel::load(file, self.limits, workspaces)?));
        }
        let package = Package::open(file.clone())?;
        if package.header().base.is_some() {
            return Err(LoadError::Base);
        }
        let workspaces = Arc::clone(&self.workspaces);
        if package.section(SectionKind::Plan).is_some() {
            let plan = PackedPlan::open(package)?;
            let repacked = self.repacked.as_ref();
            let model = planned::PlannedModel::load(plan, self.limits, workspaces, repacked)?;
            return Ok(Arc::new(model));
        }
        let source = package.section(SectionKind::Source).ok_or(LoadError::NoSource)?;
        let mut model = model::CpuModel::load(source, self.limits, workspaces)?;
        say_trained_on(&package, &mut model.signature);
        Ok(Arc::new(model))
    }

    fn load_over(&self, file: &Mapped, base: &Arc<dyn Model>) -> Result<Arc<dyn Model>, LoadError> {
        let package = Package::open(file.clone())?;
        let base = planned::PlannedModel::of(&**base).ok_or(LoadError::NoBasePlan)?;
        Ok(Arc::new(base.load_over(package)?))
    }

    fn name(&self) -> &'static str {
        "cpu"
    }
}

/// Whether a package has a plan and no panels for this processor, so that a node like this machine
/// packs them again.
///
/// # Errors
/// [`LoadError`] where its plan cannot be run.
pub fn is_packed_again(package: &Package) -> Result<bool, LoadError> {
    if package.section(SectionKind::Plan).is_none() {
        return Ok(false);
    }
    let plan = PackedPlan::open(Package::open(package.file().clone())?)?;
    Ok(matrices::readable(&plan).is_none())
}

/// Every matrix of a plan, from the first of its layouts.
pub(crate) fn unpacked(plan: &PackedPlan) -> Result<Vec<Unpacked>, PlanError> {
    matrices::unpacked(plan)
}

/// How many columns a panel has that the kernels of this processor read.
pub fn lanes() -> usize {
    kernels::lanes()
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

/// What the models of a backend share: workspaces that no request uses now, and idle cores.
#[derive(Debug)]
struct Workspaces {
    free: Mutex<Vec<Workspace>>,
    helpers: Helpers,
}

impl Default for Workspaces {
    fn default() -> Self {
        Self::for_cores(std::thread::available_parallelism().map_or(1, usize::from))
    }
}

impl Workspaces {
    fn for_cores(cores: usize) -> Self {
        Self { free: Mutex::default(), helpers: Helpers::new(cores) }
    }

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
