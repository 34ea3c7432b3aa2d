//! Every promise in `tests/scenarios/`, over the native core.

use anyhow::Result;
use tests::scenario::{
    Deployment,
    native::{Native, Verification},
    run_all,
};

#[test]
fn the_native_core_keeps_every_promise() -> Result<()> {
    let deployment = Deployment::load()?;
    run_all(&deployment, &mut Native::start(&deployment, Verification::ByHost)?)
}

#[test]
fn a_host_without_native_verification_changes_no_promise() -> Result<()> {
    let deployment = Deployment::load()?;
    run_all(&deployment, &mut Native::start(&deployment, Verification::ByFilter)?)
}
