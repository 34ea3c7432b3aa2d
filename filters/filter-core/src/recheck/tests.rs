#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use passport::{Passport, SigningKey};
use policy_model::table::{NodeRows, NodeTenantRow, PassportKeyRow};
use proptest::prelude::*;
use tenancy::Tier;

use super::*;
use crate::memory_host::{Clock, MemoryHost, SharedData};

struct Node {
    clock: Clock,
    host: MemoryHost,
    key: SigningKey,
    recheck: Recheck,
}

fn table(data_plane: &str, keys: &[&SigningKey]) -> Vec<u8> {
    let passport_keys = keys
        .iter()
        .map(|key| PassportKeyRow {
            id: key.id().to_owned(),
            public_key: key.verifying_key().bytes,
        })
        .collect();
    let tenants = vec![NodeTenantRow { id: "org_ua".to_owned(), ..NodeTenantRow::default() }];
    let data_plane = data_plane.to_owned();
    NodeRows { data_plane, passport_keys, tenants, ..NodeRows::default() }.encode().unwrap()
}

impl Node {
    fn new() -> Self {
        let clock = Clock::default();
        let key = SigningKey::generate();
        let recheck = Recheck::configure(&table("shared", &[&key])).unwrap();
        let host = MemoryHost::new(&clock, &SharedData::default());
        Self { host, clock, key, recheck }
    }

    fn passport(&self, key: &SigningKey, data_plane: &str) -> String {
        let passport = Passport {
            tenant: "org_ua".parse().unwrap(),
            tier: Tier::Pool,
            data_plane: data_plane.parse().unwrap(),
            revision: "0123456789abcdef".to_owned(),
        };
        key.mint(&passport, self.clock.unix_secs(), 60).unwrap()
    }

    fn ask(&self, passports: &[&[u8]]) -> Verdict {
        let mut request = vec![(":path".to_owned(), b"/".to_vec())];
        request.extend(passports.iter().map(|p| (headers::PASSPORT.to_owned(), p.to_vec())));
        self.host.begin(request.clone());
        let verdict = self.recheck.on_request_headers(&self.host);
        assert_eq!(self.host.request(), request, "the recheck changes nothing");
        verdict
    }
}

#[test]
fn a_passport_for_this_data_plane_passes_until_it_expires() {
    let node = Node::new();
    let passport = node.passport(&node.key, "shared");
    assert_eq!(node.ask(&[passport.as_bytes()]), Verdict::Forward);
    node.clock.advance_secs(59);
    assert_eq!(node.ask(&[passport.as_bytes()]), Verdict::Forward);
    node.clock.advance_secs(1);
    let expired = Verdict::Denied(Problem::PassportExpired.into());
    assert_eq!(node.ask(&[passport.as_bytes()]), expired);
    let fresh = Recheck::configure(&table("shared", &[&node.key])).unwrap();
    node.host.begin(vec![(headers::PASSPORT.to_owned(), passport.into_bytes())]);
    assert_eq!(fresh.on_request_headers(&node.host), expired);
}

#[test]
fn a_passport_for_another_data_plane_is_refused_every_time() {
    let node = Node::new();
    let passport = node.passport(&node.key, "silo-dl");
    for _ in 0..2 {
        let verdict = node.ask(&[passport.as_bytes()]);
        assert_eq!(verdict, Verdict::Denied(Problem::WrongDataPlane.into()));
    }
    assert_eq!(node.host.counter("bulkhead_recheck_denied.wrong_data_plane"), 2);
}

#[test]
fn no_passport_two_passports_and_anothers_passport_are_refused() {
    let node = Node::new();
    let ours = node.passport(&node.key, "shared");
    let theirs = node.passport(&SigningKey::generate(), "shared");
    assert_eq!(node.ask(&[]), Verdict::Denied(Problem::PassportMissing.into()));
    let invalid = Verdict::Denied(Problem::PassportInvalid.into());
    assert_eq!(node.ask(&[ours.as_bytes(), ours.as_bytes()]), invalid);
    assert_eq!(node.ask(&[format!("{ours},{ours}").as_bytes()]), invalid);
    assert_eq!(node.ask(&[theirs.as_bytes()]), invalid);
    assert_eq!(node.ask(&[b""]), invalid);
    assert_eq!(node.ask(&[b"\xff\xfe"]), invalid);
}

#[test]
fn a_rotated_key_is_accepted_beside_the_old_one_and_then_the_old_one_is_not() {
    let node = Node::new();
    let next = SigningKey::generate();
    let (old, new) = (node.passport(&node.key, "shared"), node.passport(&next, "shared"));
    let ask = |keys: &[&SigningKey], passport: &str| {
        let recheck = Recheck::configure(&table("shared", keys)).unwrap();
        node.host.begin(vec![(headers::PASSPORT.to_owned(), passport.as_bytes().to_vec())]);
        recheck.on_request_headers(&node.host)
    };
    assert_eq!(ask(&[&node.key, &next], &old), Verdict::Forward);
    assert_eq!(ask(&[&node.key, &next], &new), Verdict::Forward);
    assert_eq!(ask(&[&next], &old), Verdict::Denied(Problem::PassportInvalid.into()));
}

#[test]
fn a_push_that_cannot_be_used_is_refused() {
    let key = SigningKey::generate();
    let mut altered = table("shared", &[&key]);
    *altered.last_mut().unwrap() ^= 1;
    assert!(matches!(Recheck::configure(&altered), Err(ConfigureError::Table(_))));
    assert!(matches!(Recheck::configure(b""), Err(ConfigureError::Table(_))));
    let nobody = table("shared", &[]);
    assert_eq!(Recheck::configure(&nobody).err(), Some(ConfigureError::NoPassportKeys));
}

proptest! {
    #[test]
    fn arbitrary_passports_never_pass_and_never_panic(
        passports in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..200), 0..3)
    ) {
        let node = Node::new();
        let passports: Vec<&[u8]> = passports.iter().map(Vec::as_slice).collect();
        prop_assert!(matches!(node.ask(&passports), Verdict::Denied(_)));
    }
}
