//! Models.

use std::collections::BTreeSet;

use tenancy::ModelName;

use super::{Compiler, Subject};
use crate::{
    diagnostic::did_you_mean,
    resolved::{Base, ModelVersion},
    spec::{BaseSpec, Kind, ModelSpec, ModelStatus, ModelVersionSpec, Object},
    variables::MAX_TRAINED_ON,
};

impl Compiler<'_> {
    pub(super) fn check_model(&mut self, object: &Object<ModelSpec>) {
        let subject = Subject::new(Kind::Model, object);
        let mut seen = BTreeSet::new();
        for (index, version) in object.spec.versions.iter().enumerate() {
            let ModelVersionSpec { version: name, trained_on, .. } = version;
            if !seen.insert(name) {
                let path = format!("spec.versions[{index}].version");
                let message = format!("expected each version once, found `{name}` again");
                self.report.error(&subject, &path, message);
            }
            let path = format!("spec.versions[{index}].trainedOn");
            if trained_on.is_empty() {
                self.report.error(&subject, &path, format!("expected `trainedOn` of version `{name}` to name the tenants whose data it was trained on, found none"));
            }
            if trained_on.len() > MAX_TRAINED_ON {
                let found = trained_on.len();
                self.report.error(&subject, &path, format!("expected at most {MAX_TRAINED_ON} tenants in `trainedOn` of version `{name}`, found {found}"));
            }
            if let Some(Err((field, message))) = version.base.as_ref().map(|base| self.base(base)) {
                let path = format!("spec.versions[{index}].base.{field}");
                self.report.error(&subject, &path, message);
            }
        }
    }

    /// The model version that `spec` names; else which of its fields is wrong, and why.
    fn base(&self, spec: &BaseSpec) -> Result<Base, (&'static str, String)> {
        let BaseSpec { model, version } = spec;
        let Some(found) = self.models.get(model) else {
            let mend = did_you_mean(model.as_str(), self.models.keys().map(ModelName::as_str));
            let message = format!("expected base.model to name a Model, found `{model}`{mend}");
            return Err(("model", message));
        };
        let known = &found.spec.versions;
        let Some(found) = known.iter().find(|it| it.version == *version) else {
            let mend = did_you_mean(version.as_str(), known.iter().map(|it| it.version.as_str()));
            let message = format!("expected a version of Model/{model}, found `{version}`{mend}");
            return Err(("version", message));
        };
        if found.base.is_some() {
            let message = format!(
                "expected a base that stands for itself, found Model/{model} version `{version}`, which changes another one; make the adapter over that"
            );
            return Err(("version", message));
        }
        if found.status != ModelStatus::Ready {
            let status = found.status.as_str();
            let message = format!(
                "expected a base that is ready, found Model/{model} version `{version}`, which is {status}; make the adapter over another"
            );
            return Err(("version", message));
        }
        let (model, version) = (model.clone(), version.clone());
        let trained_on = sorted(&found.trained_on);
        Ok(Base { model, version, digest: found.digest, trained_on })
    }

    /// A version of `model` with what it refers to; what it refers to wrongly was told of the model.
    pub(super) fn model_version(
        &self,
        model: &ModelName,
        version: &ModelVersionSpec,
    ) -> ModelVersion {
        ModelVersion {
            model: model.clone(),
            version: version.version.clone(),
            digest: version.digest,
            trained_on: sorted(&version.trained_on),
            base: version.base.as_ref().and_then(|base| self.base(base).ok()),
            status: version.status,
            evaluation: version.evaluation,
        }
    }
}

pub(super) fn sorted<T: Clone + Ord>(items: &[T]) -> Vec<T> {
    items.iter().cloned().collect::<BTreeSet<_>>().into_iter().collect()
}
