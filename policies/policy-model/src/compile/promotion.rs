//! Checks at the promotion point: evaluated here, for each tenant and each model version that it
//! is given, so that what they refuse never gets into a set.

use expression::{Budget, EvaluationError, Value, Variables};
use tenancy::ModelName;

use super::{Compiler, Subject};
use crate::{
    diagnostic::Severity,
    resolved::{Check, ModelVersion, Resolved, Rule, Tenant},
    spec::{Kind, Point},
    table::requests_per_second,
};

impl Compiler<'_> {
    pub(super) fn hold_promotions(&mut self) {
        let resolved = &self.resolved;
        for (id, tenant) in &resolved.tenants {
            let Some(object) = self.tenants.get(id) else { continue };
            let subject = Subject::new(Kind::Tenant, object);
            for (check, rule) in resolved.checks_of(tenant, Point::Promotion) {
                for (index, model) in object.spec.models.iter().enumerate() {
                    let Some(resolved_model) = tenant.models.get(&model.name) else { continue };
                    for version in resolved_model.versions.values() {
                        let promotion = Promotion::new(resolved, tenant, &model.name, version);
                        let Some(refusal) = promotion.refusal(check, rule) else { continue };
                        let other = model.other_versions.iter().position(|v| *v == version.version);
                        let path = match other.filter(|_| version.version != model.version) {
                            Some(other) => format!("spec.models[{index}].otherVersions[{other}]"),
                            None => format!("spec.models[{index}].version"),
                        };
                        let (severity, told) = match check.is_shadow() {
                            true => (
                                Severity::Warning,
                                format!("{refusal} (in shadow: it is let through)"),
                            ),
                            false => (Severity::Error, refusal),
                        };
                        let check = (check.name.as_str(), severity);
                        self.report.of_check(check, &subject, &path, told);
                    }
                }
            }
        }
    }
}

/// A model version that is to be given to a tenant.
struct Promotion<'a> {
    resolved: &'a Resolved,
    tenant: &'a Tenant,
    public_name: &'a ModelName,
    version: &'a ModelVersion,
    digest: String,
    trained_on: Vec<String>,
    base_trained_on: Vec<String>,
}

impl<'a> Promotion<'a> {
    fn new(
        resolved: &'a Resolved,
        tenant: &'a Tenant,
        public_name: &'a ModelName,
        version: &'a ModelVersion,
    ) -> Self {
        let digest = version.digest.to_string();
        let trained_on = version.trained_on.iter().map(ToString::to_string).collect();
        let base = version.base.iter().flat_map(|base| &base.trained_on);
        let base_trained_on = base.map(ToString::to_string).collect();
        Self { resolved, tenant, public_name, version, digest, trained_on, base_trained_on }
    }

    /// What is to be told, where `rule` refuses it.
    fn refusal(&self, check: &Check, rule: &Rule) -> Option<String> {
        let passed = rule.program.evaluate_bool(self, &mut Budget::default());
        let why = match passed {
            Ok(true) => return None,
            Ok(false) => String::new(),
            Err(error) => format!(" ({})", explained(&error)),
        };
        let message = rule.message.render(self, &mut Budget::default());
        let ModelVersion { model, version, .. } = self.version;
        let name = &check.name;
        Some(format!(
            "expected a version that Check/{name} promotes, found Model/{model} version `{version}`: {message}{why}; pin another"
        ))
    }
}

fn explained(error: &EvaluationError) -> String {
    format!("the expression could not be evaluated: {error}")
}

impl Variables for Promotion<'_> {
    fn get(&self, path: &str) -> Option<Value<'_>> {
        let Self { tenant, version, .. } = self;
        let tier = || self.resolved.tiers.get(&tenant.tier);
        let plane = || self.resolved.data_planes.get(&tenant.data_plane);
        let evaluation = version.evaluation;
        let int = |rows: u64| Value::Int(i64::try_from(rows).unwrap_or(i64::MAX));
        Some(match path {
            "tenant.id" => Value::from(tenant.id.as_str()),
            "tenant.tier" | "tier.name" => Value::from(tenant.tier.as_str()),
            "tenant.labels" => Value::map(&tenant.labels),
            "tier.requests_per_second" => {
                Value::Double(requests_per_second(tier()?.rate_limit.interval_ns))
            }
            "tier.burst" => Value::Int(i64::from(tier()?.rate_limit.burst)),
            "tier.labels" => tier().map_or_else(no_labels, |tier| Value::map(&tier.labels)),
            "data_plane.id" => Value::from(tenant.data_plane.as_str()),
            "data_plane.region" => Value::from(plane()?.region.as_str()),
            "data_plane.exclusive_to" => {
                Value::from(plane()?.exclusive_to().map_or("", |tenant| tenant.as_str()))
            }
            "data_plane.labels" => Value::map(&plane()?.labels),
            "model.public_name" => Value::from(self.public_name.as_str()),
            "model.name" => Value::from(version.model.as_str()),
            "model.version" => Value::from(version.version.as_str()),
            "model.digest" => Value::from(self.digest.as_str()),
            "model.trained_on" => Value::list(&self.trained_on),
            "model.base" => {
                Value::from(version.base.as_ref().map_or("", |base| base.model.as_str()))
            }
            "model.base_trained_on" => Value::list(&self.base_trained_on),
            "model.status" => Value::from(version.status.as_str()),
            "model.evaluation.rows_trained" => int(evaluation?.rows_trained),
            "model.evaluation.rows_evaluated" => int(evaluation?.rows_evaluated),
            "model.evaluation.mape" => Value::Double(evaluation?.mape),
            "model.evaluation.pooled_mape" => Value::Double(evaluation?.pooled_mape),
            _ => return None,
        })
    }
}

fn no_labels<'a>() -> Value<'a> {
    static NONE: std::sync::LazyLock<crate::resolved::Labels> =
        std::sync::LazyLock::new(crate::resolved::Labels::default);
    Value::map(&*NONE)
}
