//! Models.

use std::collections::BTreeSet;

use tenancy::ModelName;

use super::{Compiler, Subject};
use crate::{
    resolved::ModelVersion,
    spec::{Kind, ModelSpec, ModelVersionSpec, Object},
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
        }
    }
}

pub(super) fn model_version(model: &ModelName, version: &ModelVersionSpec) -> ModelVersion {
    ModelVersion {
        model: model.clone(),
        version: version.version.clone(),
        digest: version.digest,
        trained_on: sorted(&version.trained_on),
        status: version.status,
        evaluation: version.evaluation,
    }
}

pub(super) fn sorted<T: Clone + Ord>(items: &[T]) -> Vec<T> {
    items.iter().cloned().collect::<BTreeSet<_>>().into_iter().collect()
}
