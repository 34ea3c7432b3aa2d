//! Which models stay.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // tests fail by panicking

use std::{collections::HashMap, time::Duration};

use proptest::prelude::*;
use scheduler::{
    ModelKey,
    residency::{Footprint, ModelTerms, NoRoom, Residency, TenantTerms, Terms},
};
use tenancy::{Digest, TenantId};

const MS: Duration = Duration::from_millis(1);

fn budget(mapped: u64, private: u64) -> Footprint {
    Footprint { mapped_bytes: mapped, private_bytes: private, device_bytes: 0 }
}

fn tenant(name: &str) -> TenantId {
    name.parse().unwrap()
}

fn pooled(name: &str) -> ModelKey {
    ModelKey::pooled(name.parse().unwrap(), "1".parse().unwrap(), Digest::of(name.as_bytes()))
}

fn own(of: &str, name: &str) -> ModelKey {
    let (name, digest) = (name.parse().unwrap(), Digest::of(name.as_bytes()));
    ModelKey::dedicated(tenant(of), name, "1".parse().unwrap(), digest)
}

/// Keeps a model of so many mapped bytes and returns what went.
fn keep(it: &mut Residency<()>, key: ModelKey, bytes: u64) -> Result<Vec<ModelKey>, NoRoom> {
    let gone = it.keep(key, budget(bytes, 0), MS, ())?;
    Ok(gone.into_iter().map(|it| it.key).collect())
}

fn pinned(key: ModelKey) -> (ModelKey, ModelTerms) {
    (key, ModelTerms { pinned: true, weight: 1 })
}

#[test]
fn what_was_used_longest_ago_goes_first_where_all_else_is_alike() {
    let mut models = Residency::new(budget(300, 0));
    for name in ["a", "b", "c"] {
        keep(&mut models, pooled(name), 100).unwrap();
    }
    assert!(models.use_now(&pooled("a")).is_some());
    assert_eq!(keep(&mut models, pooled("d"), 100).unwrap(), [pooled("b")]);
    assert_eq!(keep(&mut models, pooled("e"), 100).unwrap(), [pooled("c")]);
}

#[test]
fn what_is_dear_to_load_stays_longer_and_not_for_ever() {
    let mut models = Residency::new(budget(200, 0));
    models.keep(pooled("dear"), budget(100, 0), 60 * MS, ()).unwrap();
    for name in ["a", "b", "c"] {
        let gone = keep(&mut models, pooled(name), 100).unwrap();
        assert!(!gone.contains(&pooled("dear")));
    }
    let went = (0..1000).find(|n| {
        keep(&mut models, pooled(&format!("m{n}")), 100).unwrap().contains(&pooled("dear"))
    });
    assert!(went.is_some(), "what is used no more never goes");
}

#[test]
fn models_of_a_tier_that_weighs_more_stay_longer() {
    let mut models = Residency::new(budget(200, 0));
    let weighs = ModelTerms { pinned: false, weight: 8 };
    models.set_terms(Terms {
        models: HashMap::from([(own("bridge", "m"), weighs)]),
        ..Terms::default()
    });
    keep(&mut models, own("bridge", "m"), 100).unwrap();
    keep(&mut models, pooled("a"), 100).unwrap();
    assert_eq!(keep(&mut models, pooled("b"), 100).unwrap(), [pooled("a")]);
}

#[test]
fn each_kind_of_memory_has_a_budget_of_its_own() {
    let mut models = Residency::new(budget(1000, 100));
    models.keep(pooled("mapped"), budget(900, 0), MS, ()).unwrap();
    models.keep(pooled("private"), budget(10, 100), MS, ()).unwrap();
    let gone = models.keep(pooled("other"), budget(10, 50), MS, ()).unwrap();
    let keys: Vec<_> = gone.iter().map(|it| &it.key).collect();
    assert_eq!(keys, [&pooled("private")], "what frees none of what is short stays");
    assert_eq!(gone[0].load, MS);
    let refused = models.keep(pooled("large"), budget(0, 101), MS, ()).unwrap_err();
    assert!(matches!(refused, NoRoom::Node { .. }), "{refused}");
    assert_eq!(models.len(), 2);
}

#[test]
fn what_is_pinned_stays_whoever_needs_room() {
    let mut models = Residency::new(budget(200, 0));
    models
        .set_terms(Terms { models: HashMap::from([pinned(own("silo", "m"))]), ..Terms::default() });
    keep(&mut models, own("silo", "m"), 150).unwrap();
    for n in 0..100 {
        keep(&mut models, pooled(&format!("m{n}")), 50).unwrap();
    }
    assert!(models.get(&own("silo", "m")).is_some());
    let refused = keep(&mut models, pooled("large"), 60).unwrap_err();
    assert!(matches!(refused, NoRoom::Kept { .. }), "{refused}");
    assert_eq!(models.len(), 2, "something went for what found no room");
}

#[test]
fn a_tenant_keeps_its_floor_and_gives_what_is_above() {
    let mut models = Residency::new(budget(400, 0));
    let floor = TenantTerms { floor_bytes: 200, ceiling_bytes: None };
    models.set_terms(Terms { tenants: HashMap::from([(tenant("a"), floor)]), ..Terms::default() });
    for name in ["1", "2", "3"] {
        keep(&mut models, own("a", name), 100).unwrap();
    }
    for n in 0..100 {
        keep(&mut models, own("b", &format!("m{n}")), 100).unwrap();
    }
    assert_eq!(models.by_tenant().find(|(id, _)| **id == tenant("a")).unwrap().1, 200);
    // For itself it makes room of what it has.
    keep(&mut models, own("a", "4"), 300).unwrap();
}

#[test]
fn a_tenant_at_its_ceiling_makes_room_of_its_own() {
    let mut models = Residency::new(budget(1000, 0));
    let ceiling = TenantTerms { floor_bytes: 0, ceiling_bytes: Some(200) };
    models
        .set_terms(Terms { tenants: HashMap::from([(tenant("a"), ceiling)]), ..Terms::default() });
    keep(&mut models, own("b", "m"), 100).unwrap();
    keep(&mut models, own("a", "1"), 100).unwrap();
    keep(&mut models, own("a", "2"), 100).unwrap();
    assert_eq!(keep(&mut models, own("a", "3"), 100).unwrap(), [own("a", "1")]);
    let refused = keep(&mut models, own("a", "large"), 201).unwrap_err();
    assert!(matches!(refused, NoRoom::Tenant { ceiling_bytes: 200, .. }), "{refused}");
}

#[test]
fn what_is_pinned_does_not_go_for_its_own_tenants_ceiling() {
    let mut models = Residency::new(budget(1000, 0));
    let ceiling = TenantTerms { floor_bytes: 0, ceiling_bytes: Some(300) };
    models.set_terms(Terms {
        tenants: HashMap::from([(tenant("a"), ceiling)]),
        models: HashMap::from([pinned(own("a", "stays")), pinned(own("a", "stays-too"))]),
    });
    for name in ["stays", "1", "2"] {
        keep(&mut models, own("a", name), 100).unwrap();
    }
    // The pinned one is the one used longest ago.
    assert_eq!(keep(&mut models, own("a", "3"), 100).unwrap(), [own("a", "1")]);
    let gone = keep(&mut models, own("a", "stays-too"), 150).unwrap();
    assert_eq!(gone, [own("a", "2"), own("a", "3")]);

    let refused = keep(&mut models, own("a", "4"), 60).unwrap_err();
    let expected = NoRoom::Pinned { model_bytes: 60, ceiling_bytes: 300, pinned_bytes: 250 };
    assert_eq!(refused, expected);
    assert!(refused.to_string().contains("pinned: raise the ceiling"), "{refused}");
    assert_eq!(models.len(), 2, "something went for what found no room");
    keep(&mut models, own("a", "5"), 50).unwrap();
    // A neighbour has no part in it.
    keep(&mut models, own("b", "m"), 100).unwrap();
}

#[test]
fn a_model_that_finds_no_room_replaces_nothing() {
    let mut models = Residency::new(budget(200, 0));
    let ceiling = TenantTerms { floor_bytes: 0, ceiling_bytes: Some(150) };
    models.set_terms(Terms {
        tenants: HashMap::from([(tenant("a"), ceiling)]),
        models: HashMap::from([pinned(own("b", "stays"))]),
    });
    keep(&mut models, own("b", "stays"), 50).unwrap();
    models.keep(own("a", "m"), budget(100, 0), MS, ()).unwrap();
    for (bytes, why) in [(201, "node"), (160, "tenant")] {
        let refused = keep(&mut models, own("a", "m"), bytes).unwrap_err();
        let is_it = match why {
            "node" => matches!(refused, NoRoom::Node { .. }),
            _ => matches!(refused, NoRoom::Tenant { .. }),
        };
        assert!(is_it, "{refused}");
        assert!(models.get(&own("a", "m")).is_some(), "what was there went for {why}");
        assert_eq!(models.held(), budget(150, 0));
    }
    let refused = keep(&mut models, own("b", "stays"), 201).unwrap_err();
    assert!(matches!(refused, NoRoom::Node { .. }), "{refused}");
    // What is replaced makes room for what replaces it, and is not told as gone.
    assert!(keep(&mut models, own("a", "m"), 150).unwrap().is_empty());
    assert_eq!((models.held(), models.len()), (budget(200, 0), 2));
    let used: Vec<_> = models.by_tenant().map(|(id, bytes)| (id.to_string(), bytes)).collect();
    assert!(used.contains(&("a".to_owned(), 150)), "{used:?}");
}

#[test]
fn a_replacement_that_only_pinned_models_could_make_room_for_is_refused_and_the_old_one_stays() {
    let mut models = Residency::new(budget(300, 0));
    models.set_terms(Terms { models: HashMap::from([pinned(own("a", "m"))]), ..Terms::default() });
    keep(&mut models, own("a", "m"), 200).unwrap();
    keep(&mut models, pooled("b"), 100).unwrap();
    let refused = keep(&mut models, pooled("b"), 101).unwrap_err();
    assert!(matches!(refused, NoRoom::Kept { .. }), "{refused}");
    assert!(models.get(&pooled("b")).is_some());
    // Used longest ago, and worth least: it is replaced all the same, and nothing else goes.
    assert!(keep(&mut models, pooled("b"), 90).unwrap().is_empty());
    assert_eq!((models.held(), models.len()), (budget(290, 0), 2));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn budget_floors_and_sums_hold_after_every_step(
        steps in prop::collection::vec(
            (0..4_usize, 0..6_usize, 0..120_u64, 0..60_u64, 0..40_u32, 0..3_u8), 1..200,
        ),
    ) {
        let mut models: Residency<Footprint> = Residency::new(budget(400, 150));
        let floor = TenantTerms { floor_bytes: 80, ceiling_bytes: Some(200) };
        let stays = own("org_1", "m0");
        models.set_terms(Terms {
            tenants: HashMap::from([(tenant("org_1"), floor)]),
            models: HashMap::from([pinned(stays.clone())]),
        });
        let mut held: HashMap<ModelKey, Footprint> = HashMap::new();
        for (of, name, mapped, private, load, what) in steps {
            let name = format!("m{name}");
            let key = if of == 0 { pooled(&name) } else { own(&format!("org_{of}"), &name) };
            let before: u64 = of_tenant(&held, "org_1");
            if what == 0 {
                models.remove(&key);
                held.remove(&key);
            } else if what == 1 {
                prop_assert_eq!(models.use_now(&key), held.get(&key));
            } else {
                let footprint = budget(mapped, private);
                let was_pinned = held.contains_key(&stays);
                match models.keep(key.clone(), footprint, MS * load, footprint) {
                    Ok(gone) => {
                        held.insert(key.clone(), footprint);
                        for it in &gone {
                            prop_assert!(it.key != key && held.remove(&it.key) == Some(it.value));
                        }
                    }
                    // Nothing changes, and what was there under the key stays.
                    Err(_) => prop_assert_eq!(models.get(&key), held.get(&key)),
                }
                prop_assert!(!was_pinned || held.contains_key(&stays));
                if of != 1 {
                    prop_assert!(of_tenant(&held, "org_1") >= before.min(80));
                }
                prop_assert!(of_tenant(&held, "org_1") <= 200);
            }
            let sum = held.values().fold(Footprint::default(), |sum, it| sum + *it);
            prop_assert_eq!((models.held(), models.len()), (sum, held.len()));
            prop_assert!(sum.fits(&models.budget()));
        }
        models.retain(|_| false);
        prop_assert_eq!(models.held(), Footprint::default());
        prop_assert_eq!(models.by_tenant().count(), 0);
    }
}

fn of_tenant(held: &HashMap<ModelKey, Footprint>, of: &str) -> u64 {
    let of = scheduler::Owner::Tenant(tenant(of));
    held.iter().filter(|(key, _)| *key.owner() == of).map(|(_, it)| it.bytes()).sum()
}
