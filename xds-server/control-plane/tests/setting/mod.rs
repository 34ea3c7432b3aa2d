//! What every test of the control plane starts it with.

use std::path::Path;

use control_plane::{Access, Options, observe::Observe};

/// The seal key of [`options`].
pub const SEAL_KEY: &str = "0707070707070707070707070707070707070707070707070707070707070707";

/// State and filters in the folder `state`, ports that are free, and no operators. The filters are
/// no WebAssembly: nothing here runs them.
pub fn options(state: &Path) -> Options {
    let wasm_dir = state.join("wasm");
    std::fs::create_dir_all(&wasm_dir).unwrap();
    for name in ["gate", "recheck"] {
        std::fs::write(wasm_dir.join(format!("{name}.wasm")), name).unwrap();
    }
    Options {
        state_dir: state.join("state"),
        grpc: ([127, 0, 0, 1], 0).into(),
        http: ([127, 0, 0, 1], 0).into(),
        wasm_dir,
        seal_key: SEAL_KEY.to_owned(),
        observe: Observe::default(),
        access: Access::default(),
    }
}
