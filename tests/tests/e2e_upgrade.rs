//! Sidecars that are replaced and restarted while tenants with real tokens ask through real Envoys:
//! no request is lost, and each is metered once.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // tests fail by panicking

use devstack::{stack::Stack, until};
use tests::e2e::{
    edge::PATIENCE,
    ledger::{Ledger, Metered},
    load::Load,
};

/// Tenants of every tier, and how many flights each asks about in a request.
const CALLERS: [(&str, usize); 3] = [("org_ua", 1), ("org_aa", 3), ("org_dl", 2)];
const PLANES: [&str; 2] = ["shared", "silo-dl"];

const UPGRADES: u32 = 3;
const ANSWERS_BETWEEN: usize = 20;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sidecars_upgraded_and_ended_under_load_fail_no_request_and_meter_each_once() {
    let stack = Stack::builder().start().await.unwrap();
    let ledger = Ledger::of(&stack);
    let loads = CALLERS.map(|(id, rows)| Load::of_predictions(&stack, id, rows).unwrap());
    let go_on = async || {
        for load in &loads {
            load.answers(ANSWERS_BETWEEN).await.unwrap();
        }
    };
    for _ in 0..UPGRADES {
        go_on().await;
        for plane in PLANES {
            stack.upgrade_sidecar(plane).await.unwrap();
        }
    }
    go_on().await;
    // SIGTERM, and another one only once it has ended: callers wait, and nobody is refused.
    for plane in PLANES {
        stack.restart_sidecar(plane).await.unwrap();
    }
    go_on().await;

    for ((tenant, rows), load) in CALLERS.into_iter().zip(loads) {
        let outcomes = load.stop().await.unwrap();
        outcomes.all_served().unwrap();
        let expected = Metered::requests(outcomes.served, rows);
        let what = format!("all of {tenant} to be metered");
        let metered = until(&what, PATIENCE, async || {
            let metered = ledger.metered(tenant).await?;
            Ok((metered.events >= expected.events).then_some(metered))
        });
        let metered = metered.await.unwrap();
        eprintln!("{tenant}: {} requests of {rows} rows answered, {metered:?}", outcomes.served);
        assert_eq!(metered, expected, "{tenant}");
    }
    for plane in stack.planes() {
        assert_eq!(plane.sidecar().restarts(), 0, "{}", plane.sidecar().name());
    }
}
