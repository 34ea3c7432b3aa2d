//! The registry's promises on the past: what was changed together is told together, an earlier
//! state can be looked at and gone back to, and a journal of an older release says the same.

#![allow(clippy::unwrap_used, clippy::panic, reason = "tests fail by panicking")]

mod support;

use std::{
    path::{Path, PathBuf},
    sync::atomic::Ordering,
};

use policy_model::spec::{Kind, Resource};
use registry::{
    ApplyError, By, CanaryEnded, CanaryOutcome, CanaryStarted, ChangeSet, Edit, PastError,
    Registry, impact,
};
use sqlx::{Connection, SqliteConnection};
use support::{clock, resources, small_set, tenant};
use tempfile::TempDir;

/// As the first release wrote it.
const OLD_JOURNAL: &str = include_str!("fixtures/journal-1.sql");

fn place() -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("registry.db");
    (folder, path)
}

async fn old_journal(path: &Path) {
    std::fs::File::create(path).unwrap();
    let url = format!("sqlite://{}", path.display());
    let mut connection = SqliteConnection::connect(&url).await.unwrap();
    sqlx::raw_sql(OLD_JOURNAL).execute(&mut connection).await.unwrap();
    connection.close().await.unwrap();
}

fn put(resources: Vec<Resource>) -> Edit {
    Edit::Apply { resources, prune: false }
}

fn gone(name: &str) -> Edit {
    Edit::Delete { kind: Kind::Tenant, name: name.to_owned() }
}

async fn commit(registry: &Registry, edit: Edit, by: By) -> u64 {
    let turn = registry.turn().await;
    let plan = registry.plan(&edit, None).await.unwrap();
    turn.commit(plan, by).await.unwrap().seq
}

fn by(actor: &str, message: &str, revision: &str) -> By {
    By {
        actor: actor.to_owned(),
        message: Some(message.to_owned()),
        revision: Some(revision.to_owned()),
    }
}

/// Three change sets: entries 1 to 5, 6 and 7, 8 and 9.
async fn three(path: &Path) -> Registry {
    let (clock, seconds) = clock();
    let registry = Registry::open_with_clock(path, clock).await.unwrap();
    let first = by("bulkhead", "what ships", "aaaaaaaa00000000");
    assert_eq!(commit(&registry, put(small_set()), first).await, 5);
    seconds.fetch_add(60, Ordering::SeqCst);
    let second = by("ann", "let org_b in", "bbbbbbbb00000000");
    assert_eq!(commit(&registry, put(vec![tenant("org_b", 7)]), second).await, 7);
    let third = by("ben", "more for org_b", "bbbbbbbb11111111");
    assert_eq!(commit(&registry, put(vec![tenant("org_b", 9)]), third).await, 9);
    registry
}

fn told(sets: &[ChangeSet]) -> Vec<(u64, &str, Option<&str>, &[String])> {
    sets.iter()
        .map(|set| (set.seq, set.actor.as_str(), set.message.as_deref(), set.changes.as_slice()))
        .collect()
}

#[tokio::test]
async fn history_tells_who_changed_what_when_and_why_newest_first() {
    let (_folder, path) = place();
    let registry = three(&path).await;
    let sets = registry.history(None, 2).await.unwrap();
    assert_eq!(
        told(&sets),
        [
            (
                9,
                "ben",
                Some("more for org_b"),
                &["Tenant/org_b changed: spec.rateLimit.requests 7 -> 9".to_owned()][..]
            ),
            (7, "ann", Some("let org_b in"), &["Tenant/org_b created".to_owned()][..]),
        ]
    );
    assert_eq!(sets[1].at.as_second(), support::NOW + 60);
    assert_eq!(sets[0].revision.as_deref(), Some("bbbbbbbb11111111"));
    let rest = registry.history(Some(7), 10).await.unwrap();
    assert_eq!((rest.len(), rest[0].seq, rest[0].changes.len()), (1, 5, 4));
    registry.close().await;
    let reopened = Registry::open(&path).await.unwrap();
    assert_eq!(reopened.history(None, 2).await.unwrap(), sets);
}

#[tokio::test]
async fn an_earlier_state_is_told_by_any_entry_of_its_time() {
    let (_folder, path) = place();
    let registry = three(&path).await;
    for (asked, seq, requests) in
        [(5, 5, None), (6, 5, None), (7, 7, Some(7)), (8, 7, Some(7)), (9, 9, Some(9))]
    {
        let state = registry.state_at(asked).await.unwrap();
        let found = state.resource(Kind::Tenant, "org_b").map(|it| it.to_json());
        let found = found.map(|json| json["spec"]["rateLimit"]["requests"].as_u64().unwrap());
        assert_eq!((state.seq, found), (seq, requests), "asked for {asked}");
    }
    for absent in [0, 10] {
        let refused = registry.state_at(absent).await;
        assert!(matches!(refused, Err(PastError::NoEntry { found: 9, .. })), "{refused:?}");
    }
}

#[tokio::test]
async fn a_rollback_is_a_change_of_its_own_and_can_be_taken_back() {
    let (_folder, path) = place();
    let registry = three(&path).await;
    let was = registry.state();
    let plan = registry.plan(&Edit::Rollback { to_seq: 5 }, Some(9)).await.unwrap();
    assert_eq!(plan.words(), ["Tenant/org_b deleted"]);
    assert_eq!(registry.state().seq, 9, "a plan writes nothing");
    assert_eq!(commit(&registry, Edit::Rollback { to_seq: 5 }, by("ann", "no", "x")).await, 11);
    assert!(registry.state().resource(Kind::Tenant, "org_b").is_none());
    assert_eq!(registry.history(None, 1).await.unwrap()[0].rolled_back_to, Some(5));
    commit(&registry, Edit::Rollback { to_seq: 9 }, by("ann", "yes", "x")).await;
    let now = registry.state();
    assert_eq!(now.resolved, was.resolved);
    let nothing = registry.plan(&Edit::Rollback { to_seq: 9 }, None).await.unwrap();
    assert!(!nothing.changes_something());
}

#[tokio::test]
async fn a_rollback_to_what_does_not_compile_today_is_refused_with_the_reason() {
    let (_folder, path) = place();
    old_journal(&path).await;
    // What an older release let pass and a rule of today does not.
    let old = r#"{"resource":{"apiVersion":"bulkhead.dev/v1","kind":"Tenant","metadata":{"name":"org_z"},"spec":{"tier":"pool","dataPlane":"elsewhere"}}}"#;
    let gone = r#"{"kind":"Tenant","name":"org_z"}"#;
    support::append(&path, &[("ResourceApplied", old)], 3).await;
    support::append(&path, &[("ResourceDeleted", gone)], 4).await;
    let registry = Registry::open(&path).await.unwrap();
    let refused = registry.plan(&Edit::Rollback { to_seq: 10 }, None).await;
    let Err(ApplyError::Outdated { seq: 10, diagnostics }) = refused else { panic!("{refused:?}") };
    assert!(diagnostics.to_string().contains("elsewhere"), "{diagnostics}");
    assert_eq!(registry.state().seq, 11);
}

#[tokio::test]
async fn a_revision_is_found_by_its_first_digits() {
    let (_folder, path) = place();
    let registry = three(&path).await;
    registry.revision_published("bulkhead", "cccccccc00000000", 9).await.unwrap();
    for (asked, entry) in
        [("aaaaaaaa", 5), ("bbbbbbbb0", 7), ("bbbbbbbb11111111", 9), ("cccccccc", 10)]
    {
        assert_eq!(registry.entry_of_revision(asked).await.unwrap(), entry, "{asked}");
    }
    let two = registry.entry_of_revision("bbbbbbbb").await;
    assert!(matches!(two, Err(PastError::Ambiguous { .. })), "{two:?}");
    for nothing in ["aaaaaaa", "dddddddd", "", "%%%%%%%%", "AAAAAAAA"] {
        let refused = registry.entry_of_revision(nothing).await;
        assert!(matches!(refused, Err(PastError::NoRevision { .. })), "{nothing}: {refused:?}");
    }
}

#[tokio::test]
async fn pruning_deletes_what_is_not_named_and_keeps_what_shipped() {
    let (_folder, path) = place();
    let registry = Registry::open(&path).await.unwrap();
    let tier = |requests: u32| {
        resources(&format!(
            "apiVersion: bulkhead.dev/v1\nkind: Tier\nmetadata: {{ name: bridge }}\nspec: {{ rateLimit: {{ requests: {requests}, burst: 2 }} }}\n"
        ))
    };
    registry.apply("bulkhead", tier(1), None).await.unwrap();
    registry.apply("ann", small_set(), None).await.unwrap();
    registry.apply("ann", vec![tenant("org_b", 7)], None).await.unwrap();
    let prune = |resources| Edit::Apply { resources, prune: true };
    let plan = registry.plan(&prune(small_set()), None).await.unwrap();
    assert_eq!(plan.words(), ["Tenant/org_b deleted"], "the shipped tier stays");
    registry.apply("ann", tier(2), None).await.unwrap();
    let plan = registry.plan(&prune(small_set()), None).await.unwrap();
    assert_eq!(plan.words(), ["Tier/bridge deleted", "Tenant/org_b deleted"]);
    let nothing = registry.plan(&prune(Vec::new()), None).await;
    assert!(matches!(nothing, Err(ApplyError::NothingToKeep)), "{nothing:?}");
    let needed = registry.plan(&prune(vec![tenant("org_b", 7)]), None).await;
    assert!(matches!(needed, Err(ApplyError::Refused(_))), "{needed:?}");
}

#[tokio::test]
async fn a_journal_of_the_first_release_is_read_and_gone_on_with() {
    let (_folder, path) = place();
    old_journal(&path).await;
    let registry = Registry::open(&path).await.unwrap();
    registry.verify_chain().await.unwrap();
    let state = registry.state();
    assert_eq!((state.seq, state.changed_seq), (9, 9));
    assert_eq!(state.resources.len(), 5);
    assert!(state.is_as_shipped(Kind::Tier, "pool"));
    let sets = registry.history(None, 10).await.unwrap();
    let seqs: Vec<_> =
        sets.iter().map(|set| (set.first_seq, set.seq, set.actor.as_str())).collect();
    assert_eq!(seqs, [(8, 9, "operator"), (6, 7, "operator"), (1, 4, "bulkhead")]);
    assert_eq!(sets[1].changes, ["Tenant/org_b created", "Tenant/org_c created"]);

    let plan = registry.plan(&put(vec![tenant("org_d", 1)]), Some(7)).await;
    let Err(ApplyError::Stale { since, .. }) = plan else { panic!("{plan:?}") };
    assert_eq!(
        since[0].changes,
        ["Tenant/org_b changed: spec.rateLimit.requests 7 -> 9", "Tenant/org_c deleted"]
    );
    assert_eq!(commit(&registry, Edit::Rollback { to_seq: 7 }, by("ann", "back", "x")).await, 12);
    assert!(registry.state().resource(Kind::Tenant, "org_c").is_some());
    registry.close().await;
    let registry = Registry::open(&path).await.unwrap();
    let sets = registry.history(None, 10).await.unwrap();
    assert_eq!(sets.iter().map(|set| set.seq).collect::<Vec<_>>(), [12, 9, 7, 4]);
    assert_eq!(registry.history(Some(12), 1).await.unwrap()[0].seq, 9);
}

#[tokio::test]
async fn a_trial_that_the_process_did_not_end_is_noted_as_abandoned() {
    let (_folder, path) = place();
    let registry = three(&path).await;
    let start = CanaryStarted {
        selection: "10 % of the proxies".to_owned(),
        revision: None,
        message: None,
        changes: vec!["Tenant/org_b deleted".to_owned()],
    };
    let started_seq = registry.canary_started("ann", start).await.unwrap();
    assert_eq!(registry.state().canary, Some(started_seq));
    registry.close().await;
    let registry = Registry::open(&path).await.unwrap();
    assert_eq!(registry.state().canary, None);
    let entry = registry.journal(started_seq + 1, 1).await.unwrap().remove(0);
    assert_eq!((entry.kind.as_str(), entry.actor.as_str()), ("CanaryEnded", "bulkhead"));
    assert_eq!(entry.payload["outcome"], "abandoned");
    assert_eq!(entry.payload["started_seq"], started_seq);
    let again = CanaryEnded { started_seq, outcome: CanaryOutcome::Accepted, details: Vec::new() };
    registry.canary_ended("ann", again).await.unwrap();
}

#[tokio::test]
async fn a_plan_is_not_committed_over_a_change_that_came_after_it() {
    let (_folder, path) = place();
    let registry = three(&path).await;
    let plan = registry.plan(&gone("org_b"), None).await.unwrap();
    registry.apply("ben", vec![tenant("org_b", 10)], None).await.unwrap();
    let stale = registry.turn().await.commit(plan, by("ann", "late", "x")).await;
    assert!(matches!(stale, Err(ApplyError::Stale { expected: 9, found: 11, .. })), "{stale:?}");
    let plan = registry.plan(&gone("org_b"), None).await.unwrap();
    let long = By { actor: "ann".to_owned(), message: Some("x".repeat(1025)), revision: None };
    let refused = registry.turn().await.commit(plan, long).await;
    assert!(matches!(refused, Err(ApplyError::Message { found: 1025 })), "{refused:?}");
    assert_eq!(registry.state().seq, 11);
}

#[tokio::test]
async fn what_a_change_means_is_told_for_each_tenant_that_it_touches() {
    let (_folder, path) = place();
    let registry = three(&path).await;
    let edit = put(resources(
        r"
apiVersion: bulkhead.dev/v1
kind: Tenant
metadata: { name: org_b }
spec: { tier: bridge, dataPlane: shared, rateLimit: { requests: 1, perSeconds: 7, burst: 5 }, suspended: true }
---
apiVersion: bulkhead.dev/v1
kind: Tenant
metadata: { name: org_n }
spec: { tier: pool, dataPlane: shared, models: [{ name: eta, model: eta, version: v1 }] }
---
apiVersion: bulkhead.dev/v1
kind: Issuer
metadata: { name: idp }
spec: { issuer: 'https://idp.example', audiences: [api], algorithms: [RS256], orgs: [org_a], orgClaim: org }
",
    ));
    let plan = registry.plan(&edit, None).await.unwrap();
    let told: Vec<String> = impact(&plan.before, &plan.resolved)
        .iter()
        .map(|it| format!("{}: {}", it.tenant, it.changes.join("; ")))
        .collect();
    assert_eq!(
        told,
        [
            "org_a: issuer https://idp.example may speak for it, to audience api",
            "org_b: tier pool -> bridge; rate limit 9/s burst 5 -> rate limit 0.14/s burst 5; bases of its adapters may be trained on others' data too -> on its own data alone; it is suspended: every request of it is refused; model eta: removed",
            "org_n: it is new: tier pool, data plane shared in region eu-central-1, rate limit 10/s burst 20; model eta: answered by eta v1",
        ]
    );
    let plan = registry.plan(&gone("org_b"), None).await.unwrap();
    let told = impact(&plan.before, &plan.resolved);
    assert_eq!((told.len(), told[0].tenant.as_str()), (1, "org_b"));
    assert!(told[0].changes[0].contains("unknown_tenant"));
}

#[tokio::test]
async fn a_check_is_told_to_the_tenants_that_it_comes_to_hold_for() {
    let (_folder, path) = place();
    let registry = three(&path).await;
    let check = |mode: &str, hour: u32, tenants: &str| {
        put(resources(&format!(
            "
apiVersion: bulkhead.dev/v1
kind: Check
metadata: {{ name: token-age }}
spec:
  description: A token is young.
  points: [gate]
  selector: {{ tenants: [{tenants}] }}
  mode: {mode}
  expression: now - token.issued_at <= duration('{hour}h')
  denial: {{ status: 403, code: token_too_old, message: too old }}
"
        )))
    };
    let told = async |edit: Edit| -> Vec<String> {
        let turn = registry.turn().await;
        let plan = registry.plan(&edit, None).await.unwrap();
        let impact = impact(&plan.before, &plan.resolved);
        turn.commit(plan, by("ann", "checks", "x")).await.unwrap();
        impact.iter().map(|it| format!("{}: {}", it.tenant, it.changes.join("; "))).collect()
    };
    assert_eq!(
        told(check("shadow", 1, "org_a")).await,
        ["org_a: check token-age applies now, in shadow, at gate"]
    );
    assert_eq!(
        told(check("enforce", 2, "org_a, org_b")).await,
        [
            "org_a: check token-age: in shadow -> enforced; check token-age asks `now - token.issued_at <= duration('1h')` -> `now - token.issued_at <= duration('2h')`",
            "org_b: check token-age applies now, enforced, at gate",
        ]
    );
    let gone = Edit::Delete { kind: Kind::Check, name: "token-age".to_owned() };
    assert_eq!(
        told(gone).await,
        ["org_a: check token-age applies no longer", "org_b: check token-age applies no longer"]
    );
}
