//! Checks: type-checked at each of their points, and given to the tenants that they hold for.

use std::collections::{BTreeMap, BTreeSet};

use expression::{Environment, Mistake, Type};
use tenancy::{DataPlaneId, TenantId, problem::Problem};

use super::{Compiler, Subject};
use crate::{
    diagnostic::{closest, did_you_mean},
    resolved::{Check, CheckName, Denial, Rule, Tenant},
    spec::{CheckSpec, Kind, Object, Point, SelectorSpec},
    variables,
};

/// The most checks of a deployment.
const MAX_CHECKS: usize = 1024;
/// The longest description, in bytes.
const MAX_DESCRIPTION_BYTES: usize = 1024;

impl Compiler<'_> {
    pub(super) fn resolve_checks(&mut self) {
        let environments: BTreeMap<Point, Environment> =
            Point::ALL.into_iter().map(|point| (point, variables::environment(point))).collect();
        for (place, (name, object)) in self.checks.clone().into_iter().enumerate() {
            let subject = Subject::new(Kind::Check, object);
            if place == MAX_CHECKS {
                let message = format!("expected at most {MAX_CHECKS} checks; merge some");
                self.report.error(&subject, "metadata.name", message);
                return;
            }
            self.check_words(&subject, &object.spec);
            self.check_selector(&subject, &object.spec.selector);
            let rules = self.rules(&subject, &object.spec, &environments);
            self.resolve_check(name, object, rules);
        }
    }

    fn resolve_check(
        &mut self,
        name: CheckName,
        object: &Object<CheckSpec>,
        rules: BTreeMap<Point, Rule>,
    ) {
        let spec = &object.spec;
        let mut fits = false;
        for tenant in self.resolved.tenants.values_mut() {
            if selects(&spec.selector, tenant) {
                // Names come in their order, which is the order of evaluation.
                tenant.checks.push(name.clone());
                fits = true;
            }
        }
        if !fits && !self.resolved.tenants.is_empty() {
            self.report.warning(
                &Subject::new(Kind::Check, object),
                "spec.selector",
                "holds for no tenant: no one fits all that its selector says".to_owned(),
            );
        }
        let denial = Denial { status: spec.denial.status, code: spec.denial.code.clone() };
        let check = Check {
            name: name.clone(),
            description: spec.description.clone(),
            mode: spec.mode,
            expression: spec.expression.clone(),
            denial,
            rules,
        };
        self.resolved.checks.insert(name, check);
    }

    fn check_words(&mut self, subject: &Subject<'_>, spec: &CheckSpec) {
        let CheckSpec { description, points, denial, .. } = spec;
        if description.trim().is_empty() || description.len() > MAX_DESCRIPTION_BYTES {
            let found = description.len();
            self.report.error(subject, "spec.description", format!("expected a description of 1 to {MAX_DESCRIPTION_BYTES} bytes, found {found}; say what the check is for"));
        }
        if points.is_empty() {
            self.report.error(subject, "spec.points", "expected at least one of gate, recheck, sidecar, promotion in `points`, found none: it would hold nowhere".to_owned());
        }
        let mut seen = BTreeSet::new();
        for (index, point) in points.iter().enumerate() {
            if !seen.insert(point) {
                let path = format!("spec.points[{index}]");
                let message = format!("expected each point once, found `{point}` again");
                self.report.error(subject, &path, message);
            }
        }
        let status = denial.status;
        if !(400..=499).contains(&status) && status != 503 {
            self.report.error(
                subject,
                "spec.denial.status",
                format!("expected a status of 400 to 499, or 503, found {status}"),
            );
        }
        let code = denial.code.escape_debug();
        if !is_code(&denial.code) {
            self.report.error(subject, "spec.denial.code", format!("expected a code of 3 to 64 small letters, digits and '_', starting with a letter, found `{code}`"));
        } else if Problem::from_code(&denial.code).is_some() {
            self.report.error(subject, "spec.denial.code", format!("expected a code of the check's own, found `{code}`, which is built in: who reads it could not tell the two apart"));
        }
        if denial.message.trim().is_empty() {
            self.report.error(
                subject,
                "spec.denial.message",
                "expected a message that tells the caller what to do, found none".to_owned(),
            );
        }
    }

    fn check_selector(&mut self, subject: &Subject<'_>, selector: &SelectorSpec) {
        let SelectorSpec { tiers, tenants, data_planes, labels } = selector;
        for (field, empty) in [
            ("tiers", tiers.as_ref().is_some_and(Vec::is_empty)),
            ("tenants", tenants.as_ref().is_some_and(Vec::is_empty)),
            ("dataPlanes", data_planes.as_ref().is_some_and(Vec::is_empty)),
        ] {
            if empty {
                self.report.error(subject, &format!("spec.selector.{field}"), format!("expected at least one entry in `{field}`, found none: it would hold for nobody; leave `{field}` out to mean everyone"));
            }
        }
        for (index, tenant) in tenants.iter().flatten().enumerate() {
            if !self.tenants.contains_key(tenant) {
                let mend = did_you_mean(tenant.as_str(), self.tenants.keys().map(TenantId::as_str));
                let path = format!("spec.selector.tenants[{index}]");
                let message = format!("expected the name of a Tenant, found `{tenant}`{mend}");
                self.report.error(subject, &path, message);
            }
        }
        for (index, plane) in data_planes.iter().flatten().enumerate() {
            if !self.data_planes.contains_key(plane) {
                let known = self.data_planes.keys().map(DataPlaneId::as_str);
                let mend = did_you_mean(plane.as_str(), known);
                let path = format!("spec.selector.dataPlanes[{index}]");
                let message = format!("expected the name of a DataPlane, found `{plane}`{mend}");
                self.report.error(subject, &path, message);
            }
        }
        for label in labels.keys() {
            let worn = || self.tenants.values().flat_map(|tenant| tenant.metadata.labels.keys());
            if !worn().any(|known| known == label) {
                let mend = closest(label, worn().map(String::as_str))
                    .map_or_else(String::new, |name| format!("; did you mean `{name}`?"));
                let path = format!("spec.selector.labels.{label}");
                let label = label.escape_debug();
                self.report.warning(
                    subject,
                    &path,
                    format!("no tenant wears a label `{label}`{mend}"),
                );
            }
        }
    }

    /// What is evaluated at each point; what does not compile is told, and is not among them.
    fn rules(
        &mut self,
        subject: &Subject<'_>,
        spec: &CheckSpec,
        environments: &BTreeMap<Point, Environment>,
    ) -> BTreeMap<Point, Rule> {
        let mut rules = BTreeMap::new();
        let (source, text) = (spec.expression.as_str(), spec.denial.message.as_str());
        let points: BTreeSet<Point> = spec.points.iter().copied().collect();
        // A mistake at every point is told once; one at some points says at which.
        let mut mistakes: BTreeMap<(&str, Mistake), Vec<Point>> = BTreeMap::new();
        let mut note = |path, point, found: Vec<Mistake>| {
            for mistake in found {
                mistakes.entry((path, mistake)).or_default().push(point);
            }
        };
        for point in &points {
            let Some(environment) = environments.get(point) else { continue };
            let program = expression::compile(source, environment, Type::Bool)
                .map_err(|found| note(EXPRESSION, *point, found));
            let message = expression::compile_template(text, environment)
                .map_err(|found| note(MESSAGE, *point, found));
            if let (Ok(compiled), Ok(message)) = (program, message) {
                rules.insert(*point, Rule { program: compiled.program, message });
            }
        }
        for ((path, mistake), at) in mistakes {
            let value = if path == EXPRESSION { source } else { text };
            let somewhere = if at.len() < points.len() {
                let at: Vec<&str> = at.into_iter().map(Point::as_str).collect();
                format!(" (at point {})", at.join(", "))
            } else {
                String::new()
            };
            let field = path.trim_start_matches("spec.");
            let message = format!("{field}: {}{somewhere}", mistake.message);
            self.report.error_within(subject, (path, value, mistake.offset), message);
        }
        rules
    }
}

const EXPRESSION: &str = "spec.expression";
const MESSAGE: &str = "spec.denial.message";

fn is_code(code: &str) -> bool {
    (3..=64).contains(&code.len())
        && code.starts_with(|c: char| c.is_ascii_lowercase())
        && code.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_')
}

/// Whether all that is given fits.
fn selects(selector: &SelectorSpec, tenant: &Tenant) -> bool {
    let SelectorSpec { tiers, tenants, data_planes, labels } = selector;
    tiers.as_ref().is_none_or(|tiers| tiers.contains(&tenant.tier))
        && tenants.as_ref().is_none_or(|tenants| tenants.contains(&tenant.id))
        && data_planes.as_ref().is_none_or(|planes| planes.contains(&tenant.data_plane))
        && labels.iter().all(|(name, value)| tenant.labels.get(name) == Some(value))
}
