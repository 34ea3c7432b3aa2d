//! The registry's promises: the state is what was applied, and an edited journal is noticed.

#![allow(clippy::unwrap_used, clippy::panic, reason = "tests fail by panicking")]

mod support;

use std::path::{Path, PathBuf};

use policy_model::spec::{Kind, Resource};
use proptest::prelude::*;
use registry::{Applied, ApplyError, ChainError, Edit, Ledger, OpenError, Registry, What};
use sqlx::{Connection, SqliteConnection};
use support::{clock, resources, small_set, tenant};
use tempfile::TempDir;
use tenancy::Digest;

fn place() -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("registry.db");
    (folder, path)
}

async fn open(path: &Path) -> Registry {
    Registry::open_with_clock(path, clock().0).await.unwrap()
}

/// A registry that holds the small set: four resources and, at entry 5, that they are one change.
async fn filled(path: &Path) -> Registry {
    let registry = open(path).await;
    registry.apply("test", small_set(), None).await.unwrap();
    registry
}

fn put(resources: Vec<Resource>) -> Edit {
    Edit::Apply { resources, prune: false }
}

async fn delete(registry: &Registry, kind: Kind, name: &str) -> Result<Applied, ApplyError> {
    registry.change("test", &Edit::Delete { kind, name: name.to_owned() }, None).await
}

/// What an intruder with access to the file does, or a disk.
async fn edit(path: &Path, sql: &'static str) {
    let url = format!("sqlite://{}", path.display());
    let mut connection = SqliteConnection::connect(&url).await.unwrap();
    sqlx::query(sql).execute(&mut connection).await.unwrap();
    connection.close().await.unwrap();
}

#[tokio::test]
async fn a_reopened_registry_holds_what_was_applied() {
    let (_folder, path) = place();
    let registry = filled(&path).await;
    registry.apply("test", vec![tenant("org_b", 7)], Some(5)).await.unwrap();
    delete(&registry, Kind::Tenant, "org_a").await.unwrap();
    registry.artifact_stored("test", Digest::of(b"model"), 5).await.unwrap();
    let (before, head) = (registry.state(), registry.head().await);
    registry.close().await;
    let registry = open(&path).await;
    assert_eq!(*registry.state(), *before);
    assert_eq!(registry.head().await, head);
    assert_eq!((before.seq, before.changed_seq), (10, 9));
    assert_eq!(before.resource(Kind::Tenant, "org_b").unwrap().origin().file, "journal entry 6");
    assert_eq!(before.artifacts[&Digest::of(b"model")], 5);
    assert!(before.resource(Kind::Tenant, "org_a").is_none());
}

#[tokio::test]
async fn an_apply_that_changes_nothing_writes_nothing_even_after_a_restart() {
    let (_folder, path) = place();
    let registry = filled(&path).await;
    registry.close().await;
    let registry = open(&path).await;
    let mut watch = registry.watch();
    watch.mark_unchanged();
    let applied = registry.apply("test", small_set(), None).await.unwrap();
    assert!(!applied.wrote());
    assert!(applied.changes.iter().all(|change| change.what == What::Unchanged));
    assert_eq!((applied.seq, registry.head().await.seq), (5, 5));
    assert!(!watch.has_changed().unwrap());
    let again = registry.artifact_stored("test", Digest::of(b"m"), 1).await.unwrap();
    assert_eq!(registry.artifact_stored("test", Digest::of(b"m"), 1).await.unwrap(), again);
}

#[tokio::test]
async fn a_change_is_told_field_by_field_and_wakes_the_watcher() {
    let (_folder, path) = place();
    let registry = filled(&path).await;
    registry.apply("test", vec![tenant("org_b", 7)], None).await.unwrap();
    let mut watch = registry.watch();
    watch.mark_unchanged();
    let applied =
        registry.apply("test", vec![tenant("org_b", 8), tenant("org_c", 1)], None).await.unwrap();
    let words: Vec<String> = applied.changes.iter().map(ToString::to_string).collect();
    assert_eq!(
        words,
        ["Tenant/org_b changed: spec.rateLimit.requests 7 -> 8", "Tenant/org_c created"]
    );
    watch.changed().await.unwrap();
    assert_eq!(watch.borrow().seq, applied.seq);
    assert_eq!(*watch.borrow().resolved, *applied.resolved);
}

#[tokio::test]
async fn a_set_with_a_mistake_is_refused_whole() {
    let (_folder, path) = place();
    let registry = filled(&path).await;
    let before = registry.state();
    let mut wrong = tenant("org_b", 7);
    if let Resource::Tenant(object) = &mut wrong {
        object.spec.data_plane = "shraed".parse().unwrap();
    }
    let refused = registry.apply("test", vec![tenant("org_c", 1), wrong], None).await;
    let Err(ApplyError::Refused(diagnostics)) = refused else { panic!("{refused:?}") };
    assert!(diagnostics.to_string().contains("did you mean `shared`?"), "{diagnostics}");
    let twice = registry.apply("test", vec![tenant("org_c", 1), tenant("org_c", 2)], None).await;
    assert!(matches!(twice, Err(ApplyError::Refused(_))), "{twice:?}");
    assert_eq!(*registry.state(), *before);
    assert_eq!(registry.verify_chain().await.unwrap().seq, 5);
}

#[tokio::test]
async fn what_is_still_referred_to_cannot_be_deleted() {
    let (_folder, path) = place();
    let registry = filled(&path).await;
    for (kind, name) in [(Kind::DataPlane, "shared"), (Kind::Model, "eta"), (Kind::Tier, "pool")] {
        let refused = delete(&registry, kind, name).await;
        let Err(ApplyError::Refused(diagnostics)) = refused else { panic!("{refused:?}") };
        assert!(diagnostics.to_string().contains("Tenant/org_a"), "{diagnostics}");
    }
    let absent = delete(&registry, Kind::Tenant, "org_x").await;
    assert!(matches!(absent, Err(ApplyError::NotFound { .. })), "{absent:?}");
    assert_eq!(registry.head().await.seq, 5);
}

#[tokio::test]
async fn a_stale_apply_is_refused_and_of_two_concurrent_ones_one_wins() {
    let (_folder, path) = place();
    let registry = filled(&path).await;
    let (one, two) = tokio::join!(
        registry.apply("one", vec![tenant("org_b", 1)], Some(5)),
        registry.apply("two", vec![tenant("org_b", 2)], Some(5)),
    );
    assert_eq!([one.is_ok(), two.is_ok()].iter().filter(|ok| **ok).count(), 1);
    let stale = one.err().or(two.err()).unwrap();
    let ApplyError::Stale { expected: 5, found: 7, since } = &stale else { panic!("{stale:?}") };
    assert_eq!((since.len(), since[0].seq), (1, 7));
    assert!(["one", "two"].contains(&since[0].actor.as_str()));
    assert_eq!(since[0].changes, ["Tenant/org_b created"]);
    assert_eq!(registry.head().await.seq, 7, "nothing was written");
    let ahead = registry.apply("test", vec![tenant("org_b", 7)], Some(8)).await;
    assert!(matches!(ahead, Err(ApplyError::Ahead { expected: 8, found: 7 })), "{ahead:?}");
}

#[tokio::test]
async fn what_changes_no_resource_makes_no_change_stale() {
    let (_folder, path) = place();
    let registry = filled(&path).await;
    registry.artifact_stored("ci", Digest::of(b"m"), 1).await.unwrap();
    let noted = async |changed_seq| {
        registry.revision_published("bulkhead", "0123456789abcdef", changed_seq).await.unwrap()
    };
    assert!(!noted(4).await, "it is not that of the newest change set");
    assert!(noted(5).await);
    assert!(!noted(5).await, "it is known already");
    for seen in [5, 6, 7] {
        let plan = registry.plan(&put(vec![tenant("org_b", 1)]), Some(seen)).await;
        assert!(plan.is_ok(), "{seen}: {plan:?}");
    }
    let stale = registry.plan(&put(vec![tenant("org_b", 1)]), Some(4)).await;
    assert!(matches!(stale, Err(ApplyError::Stale { .. })), "{stale:?}");
}

#[tokio::test]
async fn every_entry_says_who_and_when_and_an_actor_is_required() {
    let (_folder, path) = place();
    let registry = filled(&path).await;
    assert!(matches!(
        registry.apply("", small_set(), None).await,
        Err(ApplyError::Actor { found: 0 })
    ));
    let entries = registry.journal(2, 2).await.unwrap();
    assert_eq!(entries.iter().map(|entry| entry.seq).collect::<Vec<_>>(), [2, 3]);
    assert_eq!(entries[0].actor, "test");
    assert_eq!(entries[0].at.as_second(), support::NOW);
    assert_eq!(entries[0].kind, "ResourceApplied");
    assert_eq!(entries[0].payload["resource"]["kind"], "DataPlane");
    assert_eq!(entries[1].previous_hash, entries[0].hash);
    let marks = registry.journal(5, 10).await.unwrap();
    assert_eq!((marks.len(), marks[0].kind.as_str()), (1, "ChangeSetCommitted"));
    assert_eq!(marks[0].payload["first_seq"], 1);
}

#[tokio::test]
async fn a_write_that_was_not_committed_leaves_nothing() {
    let (_folder, path) = place();
    let registry = filled(&path).await;
    let url = format!("sqlite://{}", path.display());
    let mut connection = SqliteConnection::connect(&url).await.unwrap();
    let mut transaction = connection.begin_with("BEGIN IMMEDIATE").await.unwrap();
    sqlx::query("INSERT INTO journal SELECT seq + 5, at_unix_micros, actor, kind, payload, hash, previous_hash FROM journal")
        .execute(&mut *transaction)
        .await
        .unwrap();
    drop(transaction);
    drop(connection);
    registry.close().await;
    let registry = open(&path).await;
    assert_eq!(registry.head().await.seq, 5);
    registry.apply("test", vec![tenant("org_b", 7)], Some(5)).await.unwrap();
}

#[tokio::test]
async fn an_edited_row_is_noticed_at_once_and_at_open() {
    for (sql, what) in [
        ("UPDATE journal SET actor = 'nobody' WHERE seq = 2", "entry 2 was altered"),
        ("UPDATE journal SET at_unix_micros = 0 WHERE seq = 3", "entry 3 was altered"),
        (
            "UPDATE journal SET payload = replace(payload, '10', '99') WHERE seq = 1",
            "entry 1 was altered",
        ),
        ("DELETE FROM journal WHERE seq = 2", "expected journal entry 2, found entry 3"),
        ("UPDATE journal SET previous_hash = hash WHERE seq = 3", "entry 3 does not follow"),
        ("UPDATE journal SET hash = 'x' WHERE seq = 4", "entry 4 cannot be read"),
    ] {
        let (_folder, path) = place();
        let registry = filled(&path).await;
        edit(&path, sql).await;
        let noticed = registry.verify_chain().await.unwrap_err().to_string();
        assert!(noticed.contains(what), "{sql}: {noticed}");
        registry.close().await;
        let noticed = Registry::open(&path).await.unwrap_err().to_string();
        assert!(noticed.contains(what) && noticed.contains("backup"), "{sql}: {noticed}");
    }
}

#[tokio::test]
async fn a_cut_off_end_is_noticed_by_the_process_that_wrote_it() {
    let (_folder, path) = place();
    let registry = filled(&path).await;
    edit(&path, "DELETE FROM journal WHERE seq = 5").await;
    let noticed = registry.verify_chain().await.unwrap_err();
    assert!(
        matches!(noticed, OpenError::Chain(ChainError::End { expected: 5, found: 4 })),
        "{noticed}"
    );
    let refused = registry.apply("test", vec![tenant("org_b", 7)], None).await.unwrap_err();
    assert!(refused.to_string().contains("another process"), "{refused}");
    assert_eq!(registry.state().seq, 5);
}

#[tokio::test]
async fn what_is_no_registry_is_never_overwritten() {
    let (_folder, path) = place();
    let text = b"not a database, but somebody's only copy of it".repeat(100);
    std::fs::write(&path, &text).unwrap();
    let error = Registry::open(&path).await.unwrap_err();
    assert!(matches!(error, OpenError::Damaged { .. }), "{error:?}");
    assert!(error.to_string().contains("restore a backup"), "{error}");
    assert_eq!(std::fs::read(&path).unwrap(), text);

    let (_folder, path) = place();
    Ledger::open(&path).await.unwrap().close().await;
    let error = Registry::open(&path).await.unwrap_err();
    assert!(matches!(error, OpenError::OtherStore { .. }), "{error:?}");

    let (_folder, path) = place();
    filled(&path).await.close().await;
    edit(&path, "UPDATE store SET format = 2").await;
    let error = Registry::open(&path).await.unwrap_err();
    assert!(matches!(error, OpenError::Newer { found: 2, .. }), "{error:?}");
}

#[tokio::test]
async fn a_damaged_page_is_said_at_open() {
    let (_folder, path) = place();
    let registry = filled(&path).await;
    registry.close().await;
    let mut bytes = std::fs::read(&path).unwrap();
    let len = bytes.len();
    bytes[4_096..len].fill(0x5a);
    std::fs::write(&path, &bytes).unwrap();
    let error = Registry::open(&path).await.unwrap_err();
    assert!(matches!(error, OpenError::Damaged { .. }), "{error:?}");
}

#[tokio::test]
async fn documents_are_kept_over_a_restart() {
    let (_folder, path) = place();
    let registry = open(&path).await;
    assert_eq!(registry.document("keys").await.unwrap(), None);
    registry.put_document("keys", "one").await.unwrap();
    registry.put_document("keys", "two").await.unwrap();
    registry.close().await;
    assert_eq!(open(&path).await.document("keys").await.unwrap().as_deref(), Some("two"));
}

#[tokio::test]
async fn every_kind_of_resource_survives_the_journal() {
    let (_folder, path) = place();
    let registry = filled(&path).await;
    let more = resources(
        r"
apiVersion: bulkhead.dev/v1
kind: Issuer
metadata: { name: idp, labels: { team: edge }, annotations: { note: 'a: b' } }
spec: { issuer: 'https://idp.example', audiences: [api], algorithms: [RS256], orgs: [org_a], orgClaim: org }
---
apiVersion: bulkhead.dev/v1
kind: DataPlane
metadata: { name: silo }
spec: { region: eu, tiers: [silo], exclusiveTo: org_s, endpoints: [{ address: '::1', port: 1 }] }
---
apiVersion: bulkhead.dev/v1
kind: Tenant
metadata: { name: org_s }
spec: { tier: silo, dataPlane: silo, rateLimit: { requests: 1, perSeconds: 9, burst: 2 }, suspended: true }
",
    );
    registry.apply("test", more.clone(), None).await.unwrap();
    let before = registry.state();
    registry.close().await;
    let registry = open(&path).await;
    assert_eq!(*registry.state(), *before);
    for resource in more {
        let kept = before.resource(resource.kind(), resource.name()).unwrap();
        assert_eq!(kept.to_json(), resource.to_json());
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]

    /// Whatever is applied and deleted in whatever order, a reopened registry is the same.
    #[test]
    fn the_fold_is_what_was_applied(steps in prop::collection::vec((0_u8..4, 1_u32..4, any::<bool>()), 1..12)) {
        let runtime = tokio::runtime::Runtime::new().unwrap();
        runtime.block_on(async {
            let (_folder, path) = place();
            let registry = filled(&path).await;
            for (tenant_number, requests, deletes) in steps {
                let name = format!("org_{tenant_number}");
                if deletes {
                    let _ = delete(&registry, Kind::Tenant, &name).await;
                } else {
                    registry.apply("test", vec![tenant(&name, requests)], None).await.unwrap();
                }
            }
            let before = registry.state();
            registry.close().await;
            assert_eq!(*open(&path).await.state(), *before);
        });
    }
}
