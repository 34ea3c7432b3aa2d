//! What a change means for each tenant, in words.

use std::{collections::BTreeSet, fmt::Display};

use policy_model::resolved::{
    Base, Check, DeviceMemory, Issuer, Memory, RateLimit, Resolved, Serves, Share, Tenant,
    TenantModel,
};
use policy_model::spec::Bases;
use tenancy::TenantId;

/// What a change means for one tenant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TenantImpact {
    /// The tenant.
    pub tenant: TenantId,
    /// What becomes different for it, in words.
    pub changes: Vec<String>,
}

/// What becomes different for whom where `before` held and `after` will. Tenants for whom nothing
/// does are left out.
pub fn impact(before: &Resolved, after: &Resolved) -> Vec<TenantImpact> {
    let tenants: BTreeSet<&TenantId> = before.tenants.keys().chain(after.tenants.keys()).collect();
    let told = tenants.into_iter().map(|tenant| TenantImpact {
        tenant: tenant.clone(),
        changes: changes(tenant, before, after),
    });
    told.filter(|impact| !impact.changes.is_empty()).collect()
}

fn changes(id: &TenantId, before: &Resolved, after: &Resolved) -> Vec<String> {
    let mut words = Words::default();
    match (before.tenants.get(id), after.tenants.get(id)) {
        (None, Some(tenant)) => words.arrives(tenant),
        (Some(_), None) => {
            words.say("it is removed: every request of it is refused as unknown_tenant".to_owned());
        }
        (Some(old), Some(new)) => {
            words.tenant(old, new);
            words.nodes(old, before, new, after);
            words.models(old, new);
            words.labels(old, new);
            words.checks(old, before, new, after);
        }
        (None, None) => {}
    }
    words.issuers(id, before, after);
    words.0
}

#[derive(Default)]
struct Words(Vec<String>);

impl Words {
    fn say(&mut self, words: String) {
        self.0.push(words);
    }

    fn field<T: PartialEq + Display>(&mut self, name: &str, old: &T, new: &T) {
        if old != new {
            self.say(format!("{name} {old} -> {new}"));
        }
    }

    fn arrives(&mut self, tenant: &Tenant) {
        let Tenant { tier, data_plane, region, rate_limit, models, suspended, .. } = tenant;
        let limit = rate(*rate_limit);
        self.say(format!(
            "it is new: tier {tier}, data plane {data_plane} in region {region}, {limit}"
        ));
        for (name, model) in models {
            self.say(format!("model {name}: answered by {}", answers(model)));
        }
        if *suspended {
            self.say("it is suspended: every request of it is refused".to_owned());
        }
    }

    fn tenant(&mut self, old: &Tenant, new: &Tenant) {
        self.field("tier", &old.tier, &new.tier);
        self.field("data plane", &old.data_plane, &new.data_plane);
        self.field("region", &old.region, &new.region);
        if old.rate_limit != new.rate_limit {
            self.say(format!("{} -> {}", rate(old.rate_limit), rate(new.rate_limit)));
        }
        if old.share != new.share {
            self.say(format!("{} -> {}", share(old.share), share(new.share)));
        }
        if old.memory != new.memory {
            self.say(format!("{} -> {}", memory(old.memory), memory(new.memory)));
        }
        if old.bases != new.bases {
            let said = |bases: Bases| match bases {
                Bases::Own => "on its own data alone",
                Bases::Shared => "on others' data too",
            };
            let (old, new) = (said(old.bases), said(new.bases));
            self.say(format!("bases of its adapters may be trained {old} -> {new}"));
        }
        match (old.suspended, new.suspended) {
            (false, true) => {
                self.say("it is suspended: every request of it is refused".to_owned());
            }
            (true, false) => self.say("it is suspended no longer".to_owned()),
            _ => {}
        }
    }

    /// Where the tenant stays on its data plane, and that is on other nodes or serves others.
    fn nodes(&mut self, old: &Tenant, before: &Resolved, new: &Tenant, after: &Resolved) {
        let planes =
            (before.data_planes.get(&old.data_plane), after.data_planes.get(&new.data_plane));
        let (Some(old), Some(new)) = planes else { return };
        if old.id != new.id {
            return;
        }
        if old.endpoints != new.endpoints {
            let (before, after) = (list(&old.endpoints), list(&new.endpoints));
            self.say(format!("nodes of data plane {}: {before} -> {after}", new.id));
        }
        match (&old.serves, &new.serves) {
            (Serves::Shared, Serves::Only(_)) => {
                self.say(format!("data plane {} is its own now", new.id));
            }
            (Serves::Only(_), Serves::Shared) => {
                self.say(format!("data plane {} is shared with others now", new.id));
            }
            _ => {}
        }
    }

    fn models(&mut self, old: &Tenant, new: &Tenant) {
        let names: BTreeSet<_> = old.models.keys().chain(new.models.keys()).collect();
        for name in names {
            match (old.models.get(name), new.models.get(name)) {
                (None, Some(model)) => {
                    self.say(format!("model {name}: new, answered by {}", answers(model)));
                }
                (Some(_), None) => self.say(format!("model {name}: removed")),
                (Some(old), Some(new)) if old != new => self.model(name.as_str(), old, new),
                _ => {}
            }
        }
    }

    fn model(&mut self, name: &str, old: &TenantModel, new: &TenantModel) {
        let (before, after) = (answers(old), answers(new));
        if before != after {
            self.say(format!("model {name}: {before} -> {after}"));
        }
        for (version, new) in &new.versions {
            let Some(old) = old.versions.get(version).filter(|old| old.model == new.model) else {
                continue;
            };
            if old.digest != new.digest {
                let (old, new) = (old.digest.short(), new.digest.short());
                self.say(format!("model {name} version {version}: artifact {old} -> {new}"));
            }
            if old.trained_on != new.trained_on {
                let (old, new) = (list(&old.trained_on), list(&new.trained_on));
                self.say(format!("model {name} version {version}: trained on {old} -> {new}"));
            }
            if old.base != new.base {
                let (old, new) = (over(old.base.as_ref()), over(new.base.as_ref()));
                self.say(format!("model {name} version {version}: {old} -> {new}"));
            }
        }
    }

    fn labels(&mut self, old: &Tenant, new: &Tenant) {
        let names: BTreeSet<_> = old.labels.keys().chain(new.labels.keys()).collect();
        for name in names {
            let (old, new) = (old.labels.get(name), new.labels.get(name));
            if old != new {
                let of =
                    |label: Option<&String>| label.map_or("(nothing)", String::as_str).to_owned();
                self.say(format!("label {name}: {} -> {}", of(old), of(new)));
            }
        }
    }

    fn checks(&mut self, old: &Tenant, before: &Resolved, new: &Tenant, after: &Resolved) {
        let names: BTreeSet<_> = old.checks.iter().chain(&new.checks).collect();
        for name in names {
            let check = |tenant: &Tenant, resolved: &'_ Resolved| {
                tenant.checks.contains(name).then(|| resolved.checks.get(name).cloned()).flatten()
            };
            match (check(old, before), check(new, after)) {
                (None, Some(check)) => {
                    let (mode, points) = (mode(&check), points(&check));
                    self.say(format!("check {name} applies now, {mode}, at {points}"));
                }
                (Some(_), None) => self.say(format!("check {name} applies no longer")),
                (Some(old), Some(new)) => self.check(&old, &new),
                (None, None) => {}
            }
        }
    }

    fn check(&mut self, old: &Check, new: &Check) {
        let of = |what: &str| format!("check {}{what}", new.name);
        self.field(&of(":"), &mode(old), &mode(new));
        self.field(&of(" holds at"), &points(old), &points(new));
        if old.expression != new.expression {
            let (old, new) = (shown(&old.expression), shown(&new.expression));
            self.say(format!("{} `{old}` -> `{new}`", of(" asks")));
        }
        let denial = |check: &Check| format!("{} {}", check.denial.status, check.denial.code);
        self.field(&of(" denies with"), &denial(old), &denial(new));
        let messages = |check: &Check| -> Vec<_> {
            check.rules.values().map(|rule| rule.message.clone()).collect()
        };
        if messages(old) != messages(new) {
            self.say(of(" says something else in its denial"));
        }
    }

    fn issuers(&mut self, id: &TenantId, before: &Resolved, after: &Resolved) {
        let speaks = |issuer: &&Issuer| issuer.orgs.contains(id);
        let names: BTreeSet<_> = before.issuers.keys().chain(after.issuers.keys()).collect();
        for name in names {
            let old = before.issuers.get(name).filter(speaks);
            let new = after.issuers.get(name).filter(speaks);
            match (old, new) {
                (None, Some(new)) => self.say(format!(
                    "issuer {name} may speak for it, to audience {}",
                    list(&new.audiences)
                )),
                (Some(_), None) => self.say(format!("issuer {name} may no longer speak for it")),
                (Some(old), Some(new)) => self.issuer(name, old, new),
                (None, None) => {}
            }
        }
    }

    fn issuer(&mut self, name: &str, old: &Issuer, new: &Issuer) {
        let of = |what: &str| format!("issuer {name}: {what}");
        self.field(&of("audiences"), &list(&old.audiences), &list(&new.audiences));
        self.field(&of("algorithms"), &list(&old.algorithms), &list(&new.algorithms));
        self.field(&of("org claim"), &old.org_claim, &new.org_claim);
    }
}

fn share(share: Share) -> String {
    let Share { weight, priority, concurrency, waiting } = share;
    let priority = priority.as_str();
    format!(
        "share weight {weight} priority {priority}, {concurrency} at once and {waiting} waiting"
    )
}

fn memory(memory: Memory) -> String {
    let Memory { floor_bytes, ceiling_bytes, pinned, device } = memory;
    let bounds = |floor: u64, ceiling: Option<u64>| {
        let ceiling = ceiling.map_or_else(|| "all".to_owned(), |bytes| format!("{bytes} B"));
        format!("at least {floor} B, at most {ceiling}")
    };
    let pinned = if pinned { ", pinned" } else { "" };
    let on_devices = match device {
        DeviceMemory { floor_bytes: 0, ceiling_bytes: None } => String::new(),
        DeviceMemory { floor_bytes, ceiling_bytes } => {
            format!("; on devices {}", bounds(floor_bytes, ceiling_bytes))
        }
    };
    format!("model memory {}{pinned}{on_devices}", bounds(floor_bytes, ceiling_bytes))
}

fn over(base: Option<&Base>) -> String {
    base.map_or_else(
        || "stands for itself".to_owned(),
        |Base { model, version, digest, trained_on }| {
            let (digest, trained_on) = (digest.short(), list(trained_on));
            format!("over {model} {version} ({digest}, trained on {trained_on})")
        },
    )
}

fn rate(limit: RateLimit) -> String {
    const SECOND_NS: u64 = 1_000_000_000;
    let RateLimit { interval_ns, burst } = limit;
    let interval = interval_ns.max(1);
    // To two decimals, in whole numbers: an interval is rounded, the rate that was written is not.
    let hundredths = (SECOND_NS.saturating_mul(100) + interval / 2) / interval;
    let (whole, part) = (hundredths / 100, hundredths % 100);
    match (whole, part) {
        (0, 0) => format!("rate limit one in {} s burst {burst}", interval / SECOND_NS),
        (_, 0) => format!("rate limit {whole}/s burst {burst}"),
        _ => format!("rate limit {whole}.{part:02}/s burst {burst}"),
    }
}

fn answers(model: &TenantModel) -> String {
    let mut words = format!("{} {}", model.default.model, model.default.version);
    let others: Vec<_> =
        model.versions.keys().filter(|version| **version != model.default.version).collect();
    if !others.is_empty() {
        words.push_str(&format!(" (by name also {})", list(&others)));
    }
    words
}

fn mode(check: &Check) -> &'static str {
    if check.is_shadow() { "in shadow" } else { "enforced" }
}

fn points(check: &Check) -> String {
    list(&check.rules.keys().map(|point| point.as_str()).collect::<Vec<_>>())
}

fn shown(expression: &str) -> String {
    const SHOWN_CHARS: usize = 120;
    let line = expression.split_whitespace().collect::<Vec<_>>().join(" ");
    match line.char_indices().nth(SHOWN_CHARS) {
        Some((end, _)) => format!("{}...", line.get(..end).unwrap_or_default()),
        None => line,
    }
}

fn list<T: Display>(items: &[T]) -> String {
    if items.is_empty() {
        return "none".to_owned();
    }
    items.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}
