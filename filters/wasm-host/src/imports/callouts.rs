//! What this host does not offer: callouts and queues. They link, and answer so.

use wasmtime::{FuncType, Linker, Val, ValType};

use crate::Status;
use crate::state::HostState;

/// Name and number of parameters, all of them 32 bits wide.
const UNIMPLEMENTED: [(&str, usize); 11] = [
    ("proxy_http_call", 10),
    ("proxy_grpc_call", 12),
    ("proxy_grpc_stream", 9),
    ("proxy_grpc_send", 4),
    ("proxy_grpc_cancel", 1),
    ("proxy_grpc_close", 1),
    ("proxy_get_status", 3),
    ("proxy_register_shared_queue", 3),
    ("proxy_resolve_shared_queue", 5),
    ("proxy_dequeue_shared_queue", 3),
    ("proxy_enqueue_shared_queue", 3),
];

pub(super) fn link(linker: &mut Linker<HostState>) -> wasmtime::Result<()> {
    for (name, parameters) in UNIMPLEMENTED {
        let signature = FuncType::new(
            linker.engine(),
            std::iter::repeat_n(ValType::I32, parameters),
            [ValType::I32],
        );
        linker.func_new("env", name, signature, |_, _, results| {
            if let Some(status) = results.first_mut() {
                *status = Val::I32(Status::Unimplemented as i32);
            }
            Ok(())
        })?;
    }
    Ok(())
}
