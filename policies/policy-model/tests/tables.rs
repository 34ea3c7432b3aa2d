//! The tables: what is encoded is what is read, equal rows are equal bytes, and an altered table
//! is refused.

#![allow(clippy::unwrap_used, reason = "tests fail by panicking")]

use policy_model::table::{
    GateRows, GateTable, IssuerRow, KeyRow, NodeRows, NodeTable, PassportKeyRow, SealedKeyRow,
    TableError, TenantRow,
};
use proptest::{prelude::*, sample::Index};
use tenancy::Tier;

fn tenant(id: &str) -> TenantRow {
    TenantRow {
        id: id.to_owned(),
        tier: TenantRow::tier_index(Tier::Bridge),
        data_plane: "shared".to_owned(),
        cluster: "plane:shared".to_owned(),
        interval_ns: 10_000_000,
        burst: 20,
        suspended: id.len().is_multiple_of(2),
        ..TenantRow::default()
    }
}

fn issuer(number: usize) -> IssuerRow {
    let key = |id: &str, algorithm: &str, byte: u8| KeyRow {
        id: id.to_owned(),
        algorithm: algorithm.to_owned(),
        spki: vec![byte; 91],
    };
    IssuerRow {
        issuer: format!("https://idp-{number}.example"),
        audiences: vec!["api".to_owned()],
        algorithms: vec!["ES256".to_owned(), "RS256".to_owned()],
        orgs: vec![format!("org_{number}")],
        org_claim: "org_id".to_owned(),
        // An RSA key whose algorithm is not said is in the table once for each of its algorithms.
        keys: vec![key("k1", "RS256", 1), key("k1", "RS384", 1), key("", "ES256", 2)],
    }
}

fn rows(tenants: usize) -> GateRows {
    GateRows {
        passport_key: SealedKeyRow {
            key_id: "p1".to_owned(),
            nonce: vec![7; 12],
            ciphertext: vec![9; 48],
        },
        issuers: (0..4).map(issuer).collect(),
        tenants: (0..tenants).map(|number| tenant(&format!("org_{number}"))).collect(),
        ..GateRows::default()
    }
}

fn node() -> NodeRows {
    let key = |id: &str| PassportKeyRow { id: id.to_owned(), public_key: vec![3; 32] };
    NodeRows {
        data_plane: "shared".to_owned(),
        passport_keys: vec![key("p2"), key("p1")],
        ..NodeRows::default()
    }
}

#[test]
fn every_row_is_found_as_it_was_written() {
    let written = rows(300);
    let table = GateTable::decode(&written.clone().encode().unwrap()).unwrap();
    assert_eq!(table.tenants(), 300);
    assert_eq!(table.passport_key().key_id.as_str(), "p1");
    assert_eq!(table.passport_key().nonce.as_slice(), [7; 12]);
    for row in &written.tenants {
        let found = table.tenant(&row.id.parse().unwrap()).unwrap();
        assert_eq!(found.id.as_str(), row.id);
        assert_eq!(found.tier(), Some(Tier::Bridge));
        assert_eq!(found.cluster.as_str(), row.cluster);
        assert_eq!(found.interval_ns.to_native(), row.interval_ns);
        assert_eq!(found.burst.to_native(), row.burst);
        assert_eq!(found.suspended, row.suspended);
    }
    for row in &written.issuers {
        let found = table.issuer(&row.issuer).unwrap();
        assert_eq!(found.orgs[0].as_str(), row.orgs[0]);
        assert_eq!(found.keys.len(), 3);
    }
    assert!(table.tenant(&"org_300".parse().unwrap()).is_none());
    assert!(table.issuer("https://idp-0.example/").is_none());
}

#[test]
fn a_node_table_is_read_as_it_was_written() {
    let table = NodeTable::decode(&node().encode().unwrap()).unwrap();
    assert_eq!(table.data_plane, "shared");
    assert_eq!(
        table.passport_keys.iter().map(|key| key.id.as_str()).collect::<Vec<_>>(),
        ["p1", "p2"]
    );
}

#[test]
fn a_tables_revision_is_its_content() {
    let revision =
        |rows: GateRows| GateTable::decode(&rows.encode().unwrap()).unwrap().revision().to_owned();
    let mut changed = rows(3);
    changed.tenants[1].burst += 1;
    assert_eq!(revision(rows(3)), revision(rows(3)));
    assert_ne!(revision(rows(3)), revision(changed));
}

#[test]
fn a_table_for_the_other_filter_is_refused() {
    let gate = rows(2).encode().unwrap();
    let node = node().encode().unwrap();
    assert!(matches!(NodeTable::decode(&gate), Err(TableError::Kind { .. })));
    assert!(matches!(GateTable::decode(&node), Err(TableError::Kind { .. })));
    assert!(matches!(GateTable::decode(b""), Err(TableError::Size(0))));
    assert!(matches!(GateTable::decode(b"BHTABLE9gate0000"), Err(TableError::Format { .. })));
}

fn shuffled<T>(items: Vec<T>, keys: &[u32]) -> Vec<T> {
    let mut keyed: Vec<_> = keys.iter().copied().cycle().zip(items).collect();
    keyed.sort_by_key(|(key, _)| *key);
    keyed.into_iter().map(|(_, item)| item).collect()
}

proptest! {
    #[test]
    fn rows_in_any_order_are_the_same_bytes(keys in prop::collection::vec(any::<u32>(), 1..20)) {
        let sorted = rows(12);
        let mut mixed = sorted.clone();
        mixed.tenants = shuffled(mixed.tenants, &keys);
        mixed.issuers = shuffled(mixed.issuers, &keys);
        for issuer in &mut mixed.issuers {
            issuer.keys = shuffled(std::mem::take(&mut issuer.keys), &keys);
        }
        prop_assert_eq!(mixed.encode().unwrap(), sorted.encode().unwrap());
    }

    #[test]
    fn a_flipped_bit_never_decodes(at in any::<Index>(), bit in 0_u8..8) {
        for mut bytes in [rows(5).encode().unwrap(), node().encode().unwrap()] {
            let at = at.index(bytes.len());
            bytes[at] ^= 1 << bit;
            prop_assert!(GateTable::decode(&bytes).is_err());
            prop_assert!(NodeTable::decode(&bytes).is_err());
        }
    }

    #[test]
    fn a_cut_or_lengthened_table_never_decodes(at in any::<Index>(), more in prop::collection::vec(any::<u8>(), 1..64)) {
        let bytes = rows(5).encode().unwrap();
        prop_assert!(GateTable::decode(&bytes[..at.index(bytes.len())]).is_err());
        prop_assert!(GateTable::decode(&[bytes, more].concat()).is_err());
    }

    #[test]
    fn no_bytes_panic(bytes in prop::collection::vec(any::<u8>(), 0..300), honest in any::<bool>()) {
        let _ = GateTable::decode(&bytes);
        // Bytes with a right header and digest still have to be an archive.
        let kind = if honest { b"gate" } else { b"node" };
        let digest = tenancy::Digest::of(&bytes);
        let table = [b"BHTABLE2", kind.as_slice(), digest.as_bytes(), &bytes].concat();
        let _ = GateTable::decode(&table);
        let _ = NodeTable::decode(&table);
    }
}
