//! The commands' calls against a control plane in this process.

use std::{path::Path, time::Duration};

use control_plane::{Access, Options, Running};
use tempfile::TempDir;

use super::*;
use crate::{
    apply::{Outcome, Patience, send},
    exit::Exit,
};

struct Plane {
    running: Running,
    _folder: TempDir,
}

impl Plane {
    async fn start(operators: Option<&str>) -> Self {
        // Another test in this process may have installed it already.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let folder = tempfile::tempdir().unwrap();
        let access = Access {
            operators: operators.map(|text| written(folder.path(), "operators.yaml", text)),
            tls: None,
        };
        for filter in ["gate.wasm", "recheck.wasm"] {
            written(folder.path(), filter, filter);
        }
        let options = Options {
            state_dir: folder.path().join("state"),
            grpc: ([127, 0, 0, 1], 0).into(),
            http: ([127, 0, 0, 1], 0).into(),
            wasm_dir: folder.path().to_owned(),
            seal_key: "07".repeat(32),
            observe: control_plane::observe::Observe::default(),
            access,
        };
        Self { running: control_plane::start(options).await.unwrap(), _folder: folder }
    }

    fn server(&self, token: Option<&str>) -> Server {
        let token = token.map(|token| token.parse().unwrap());
        Server::with(&format!("http://{}", self.running.http), token, None).unwrap()
    }
}

fn written(folder: &Path, name: &str, text: &str) -> PathBuf {
    let file = folder.join(name);
    std::fs::write(&file, text).unwrap();
    file
}

fn plane(region: &str) -> Change {
    let text = format!(
        "apiVersion: bulkhead.dev/v1\nkind: DataPlane\nmetadata: {{name: shared}}\nspec: {{region: {region}, tiers: [pool], endpoints: [{{address: 127.0.0.1, port: 1}}]}}\n"
    );
    let file = ResourceFile { name: "plane.yaml".to_owned(), text };
    Change { files: vec![file], ..Change::default() }
}

fn patience() -> Patience {
    Patience { timeout: Duration::from_secs(30), json: false }
}

async fn sent(server: &Server, change: &Change) -> Outcome {
    send(server, change, &patience()).await.unwrap()
}

#[tokio::test]
async fn who_may_not_is_told_why_and_who_may_does() {
    let (viewer, editor) = ("bulkhead_viewer", "bulkhead_editor");
    let digest = |token| control_plane::operators::TokenDigest::of(token).to_string();
    let operators = format!(
        "operators:\n- {{name: vera, role: viewer, tokenSha256: {}}}\n- {{name: ed, role: editor, tokenSha256: {}}}\n",
        digest(viewer),
        digest(editor)
    );
    let plane_of = Plane::start(Some(&operators)).await;

    let nobody = plane_of.server(None).status().await.unwrap_err();
    assert!(matches!(nobody, ServerError::Unauthenticated { .. }), "{nobody}");
    let stranger = plane_of.server(Some("bulkhead_stranger")).status().await.unwrap_err();
    assert!(stranger.to_string().contains("--operators"), "{stranger}");

    let vera = plane_of.server(Some(viewer));
    vera.status().await.unwrap();
    let refused = send(&vera, &plane("eu"), &patience()).await.unwrap_err();
    assert!(refused.to_string().contains("403"), "{refused}");

    let ed = plane_of.server(Some(editor));
    assert_eq!(sent(&ed, &plane("eu")).await.exit(), Exit::Done);
    let history = vera.history(10).await.unwrap();
    assert_eq!(history.revisions[0].actor, "ed");
}

#[tokio::test]
async fn each_end_of_a_change_comes_from_the_server_as_it_is_told() {
    let plane_of = Plane::start(None).await;
    let server = plane_of.server(None);
    let first = sent(&server, &Change { message: Some("one".to_owned()), ..plane("eu") }).await;
    let Outcome::InForce(applied, _) = &first else { panic!("{first:?}") };
    assert_eq!(applied.changes, ["DataPlane/shared created"]);

    assert!(server.diff(&plane("eu").files, false).await.unwrap().changes.is_empty());
    let planned = sent(&server, &Change { dry_run: true, ..plane("us") }).await;
    assert!(matches!(&planned, Outcome::Planned(it) if it.changes.len() == 1), "{planned:?}");

    assert_eq!(sent(&server, &plane("us")).await.exit(), Exit::Done);
    let stale = Change { expected_seq: Some(applied.seq), ..plane("asia") };
    let Outcome::Stale { diff, .. } = sent(&server, &stale).await else { panic!("not stale") };
    assert!(diff.concat().contains("DataPlane/shared changed"), "{diff:?}");

    assert_eq!(sent(&server, &plane("''")).await.exit(), Exit::Refused);
    let canary = Some(Canary::new(Canaries::Proxy("nobody".to_owned()), Duration::from_secs(1)));
    let change = Change { canary, ..plane("asia") };
    assert!(send(&server, &change, &patience()).await.is_err());

    let to = serde_json::json!({"to": applied.seq, "message": "back"});
    let back = server.rollback(&to).await.unwrap();
    assert_eq!(back.changes.len(), 1);
    assert!(server.diff(&plane("eu").files, false).await.unwrap().changes.is_empty());
    let messages: Vec<_> =
        server.history(2).await.unwrap().revisions.into_iter().map(|it| it.message).collect();
    assert_eq!(messages, [Some("back".to_owned()), None]);
    assert!(server.shadow().await.unwrap().counts.is_empty());
}
