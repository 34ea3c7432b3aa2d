//! Tables as the control plane pushes them.

use std::rc::Rc;

use expression::Budget;
use filter_core::{
    Caller, Gate, Recheck,
    memory_host::{Clock, MemoryHost, SharedData},
};
use policy_model::table::{ArchivedCheckRow, GateTable, NodeTable};
use tenancy::{Digest, Tier};

use crate::{
    cel::Known,
    deployment::{SEAL_KEY, TENANT, request},
};

/// Magic and version, kind, and the archive's SHA-256.
const MAGIC: &[u8] = b"BHTABLE2";
const HEADER_BYTES: usize = MAGIC.len() + 4 + 32;

/// Decodes a table of the gate and of a node, and decides by what is decoded: from the bytes as
/// they are, and with their header mended, as no mutation would find a digest.
pub fn table(bytes: &[u8]) -> bool {
    let accepted = decide(bytes);
    let archive = bytes.get(HEADER_BYTES..).unwrap_or(bytes);
    let mended = [b"gate", b"node"].map(|kind| {
        let digest = Digest::of(archive);
        decide(&[MAGIC, kind, digest.as_bytes(), archive].concat())
    });
    accepted || mended.contains(&true)
}

fn decide(bytes: &[u8]) -> bool {
    let host = MemoryHost::new(&Clock::default(), &SharedData::default());
    host.begin(request(None));
    let mut accepted = false;
    if let Ok(table) = GateTable::decode(bytes) {
        accepted = true;
        evaluate(table.checks());
        for tier in Tier::ALL {
            let _ = table.tier(tier).map(|row| row.tier());
        }
        let _ = (table.data_plane("shared"), table.issuer("https://login.example"));
        if let Ok(gate) = Gate::configure(&Rc::default(), &host, bytes, Some(SEAL_KEY)) {
            let _ = gate.explain_as(&host, caller());
        }
    }
    if let Ok(table) = NodeTable::decode(bytes) {
        accepted = true;
        evaluate(table.checks());
        if let Ok(recheck) = Recheck::configure(bytes) {
            let _ = recheck.explain_as(&host, &tenant());
            let _ = recheck.on_request_headers(&host);
        }
    }
    accepted
}

/// Each check, also those of tenants that no request comes from.
fn evaluate(checks: &[ArchivedCheckRow]) {
    let known = Known::new();
    for check in checks.iter().take(64) {
        let mut budget = Budget::new(1 << 16);
        let _ = check.program.evaluate_bool(&known, &mut budget);
        let _ = check.message.render(&known, &mut budget);
    }
}

fn tenant() -> tenancy::TenantId {
    TENANT.parse().expect("a tenant's name")
}

fn caller() -> Caller {
    Caller {
        tenant: tenant(),
        issuer: "https://login.example".to_owned(),
        algorithm: "ES256".to_owned(),
        key_id: "key-1".to_owned(),
        issued_at: Some(1_780_000_000),
        expires_at: 1_780_003_600,
        claims: serde_json::Map::new(),
    }
}
