//! The shipped bootstrap files boot.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // tests fail by panicking

use std::{path::Path, process::Command, time::Duration};

use devstack::{
    environment,
    envoy::{Envoy, EnvoyOptions, Role, bootstrap_of},
    http, ports, until,
};

fn roles() -> [Role; 2] {
    [
        Role::Ingress { seal_key: "00".repeat(32) },
        Role::Node { data_plane: "shared".to_owned(), sidecar: "/tmp/sidecar.sock".into() },
    ]
}

fn options(role: Role, folder: &Path) -> EnvoyOptions {
    let node_id = match role {
        Role::Ingress { .. } => "ingress",
        Role::Node { .. } => "node",
    };
    EnvoyOptions {
        node_id: node_id.to_owned(),
        role,
        listen: ports::free().unwrap(),
        xds_grpc: ports::free().unwrap(),
        workers: 1,
        folder: folder.to_path_buf(),
    }
}

#[test]
fn envoy_finds_no_fault_in_the_bootstrap_files() {
    let folder = tempfile::tempdir().unwrap();
    for role in roles() {
        let options = options(role, folder.path());
        let bootstrap = bootstrap_of(&options, ports::free().unwrap()).unwrap();
        assert!(!bootstrap.contains("${"), "{bootstrap}");
        let file = folder.path().join("bootstrap.yaml");
        std::fs::write(&file, bootstrap).unwrap();
        let checked = Command::new(environment::envoy().unwrap())
            .args(["--mode", "validate", "--config-path"])
            .arg(&file)
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&checked.stderr).into_owned();
        assert!(checked.status.success(), "{}: {said}", options.node_id);
        assert!(!said.contains("deprecated"), "{}: {said}", options.node_id);
    }
}

#[tokio::test]
async fn an_envoy_says_who_it_is_and_never_its_seal_key() {
    let folder = tempfile::tempdir().unwrap();
    let [ingress, _] = roles();
    let envoy = Envoy::start(options(ingress, folder.path())).unwrap();
    let admin = format!("http://{}/config_dump", envoy.admin());
    until("Envoy's admin interface", Duration::from_secs(30), async || {
        envoy.service().check()?;
        Ok(http::get(&admin).await.ok())
    })
    .await
    .unwrap();
    let dump = envoy.config_dump().await.unwrap();
    let bootstrap = dump["configs"].as_array().unwrap().iter().find_map(|it| it.get("bootstrap"));
    let node = &bootstrap.unwrap()["node"];
    assert_eq!(node["metadata"]["role"], "gateway");
    assert_eq!(node["metadata"]["listen"], envoy.options().listen.to_string());
    let log = std::fs::read_to_string(&envoy.service().launch().log).unwrap();
    let key = "00".repeat(32);
    assert!(!dump.to_string().contains(&key) && !log.contains(&key));
    let workers = envoy.stats("server.concurrency").await.unwrap();
    assert_eq!(workers, [("server.concurrency".to_owned(), 1)]);
}
