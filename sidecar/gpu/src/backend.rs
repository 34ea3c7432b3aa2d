//! Loading models that can be on a device.

use std::{
    any::Any,
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError, Weak},
};

use artifact::Mapped;
use inference::{
    Backend, LoadError, Model,
    cpu::{CpuBackend, PlannedModel},
};
use tenancy::Digest;

use crate::{Device, Mode, PlacedModel, model::Blueprint};

/// Loads models that run on a device where that is faster, and on the CPU else. Without a device it
/// is the CPU's backend.
#[derive(Clone)]
pub struct GpuBackend {
    cpu: CpuBackend,
    device: Option<Device>,
    mode: Mode,
    blueprints: Arc<Blueprints>,
}

/// What models of equal plans share, by their family.
type Blueprints = Mutex<HashMap<Digest, Weak<Blueprint>>>;

impl GpuBackend {
    /// A backend for models that `cpu` loads, and that run on `device` too where there is one.
    pub fn new(cpu: CpuBackend, device: Option<Device>, mode: Mode) -> Self {
        Self { cpu, device, mode, blueprints: Arc::default() }
    }

    /// The device.
    pub const fn device(&self) -> Option<&Device> {
        self.device.as_ref()
    }

    fn placed(&self, model: Arc<dyn Model>) -> Arc<dyn Model> {
        let Some(device) = &self.device else { return model };
        let any: &dyn Any = &*model;
        let Some(planned) = any.downcast_ref::<PlannedModel>() else { return model };
        let Some(blueprint) = self.blueprint(planned) else { return model };
        Arc::new(PlacedModel::new(model, device.clone(), blueprint, self.mode))
    }

    fn blueprint(&self, model: &PlannedModel) -> Option<Arc<Blueprint>> {
        let family = Blueprint::family(model.plan())?;
        let mut known = self.blueprints.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(blueprint) = known.get(&family).and_then(Weak::upgrade) {
            return Some(blueprint);
        }
        known.retain(|_, blueprint| blueprint.strong_count() > 0);
        let blueprint = Arc::new(Blueprint::of(model.plan(), family, self.mode)?);
        known.insert(family, Arc::downgrade(&blueprint));
        Some(blueprint)
    }
}

impl Backend for GpuBackend {
    fn load(&self, file: &Mapped) -> Result<Arc<dyn Model>, LoadError> {
        Ok(self.placed(self.cpu.load(file)?))
    }

    fn load_over(&self, file: &Mapped, base: &Arc<dyn Model>) -> Result<Arc<dyn Model>, LoadError> {
        let any: &dyn Any = &**base;
        match any.downcast_ref::<PlacedModel>() {
            Some(placed) => {
                let model = self.cpu.load_over(file, placed.on_cpu())?;
                let over = PlacedModel::over(Arc::clone(&model), base);
                Ok(over.map_or(model, |over| Arc::new(over) as Arc<dyn Model>))
            }
            None => self.cpu.load_over(file, base),
        }
    }

    fn name(&self) -> &'static str {
        if self.device.is_some() { "gpu" } else { self.cpu.name() }
    }
}
