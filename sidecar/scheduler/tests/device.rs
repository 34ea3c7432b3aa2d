//! Which models are on a device, and that its memory is given and taken as it was declared.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // tests fail by panicking

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use artifact::Mapped;
use inference::{DeviceError, InferError, Inputs, Model, OnDevice, Outputs, Signature};
use scheduler::{
    DeviceCache, Loaded, ModelKey,
    residency::{ModelTerms, TenantTerms, Terms},
};
use tenancy::Digest;

/// For as long as a test runs.
const A_LONG_TIME: Duration = Duration::from_secs(600);

/// A model that takes ten bytes of a device.
#[derive(Default)]
struct Fake {
    signature: Signature,
    is_there: AtomicBool,
    is_unwanted: AtomicBool,
    refuses: AtomicBool,
    brought: AtomicUsize,
}

impl Model for Fake {
    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn max_batch(&self) -> u64 {
        1
    }

    fn infer(&self, _: Inputs) -> Result<Outputs, InferError> {
        Err(InferError::Failed { detail: "these tests infer nothing".into() })
    }

    fn private_bytes(&self) -> u64 {
        0
    }

    fn on_device(&self) -> Option<&dyn OnDevice> {
        Some(self)
    }
}

impl OnDevice for Fake {
    fn bytes(&self) -> u64 {
        10
    }

    fn is_there(&self) -> bool {
        self.is_there.load(Ordering::SeqCst)
    }

    fn is_wanted(&self) -> bool {
        !self.is_unwanted.load(Ordering::SeqCst)
    }

    fn bring(&self) -> Result<(), DeviceError> {
        self.brought.fetch_add(1, Ordering::SeqCst);
        if self.refuses.load(Ordering::SeqCst) {
            return Err(DeviceError::OutOfMemory { bytes: 10, detail: "full".to_owned() });
        }
        self.is_there.store(true, Ordering::SeqCst);
        Ok(())
    }

    fn let_go(&self) {
        self.is_there.store(false, Ordering::SeqCst);
    }
}

/// A model of a tenant, loaded.
struct One {
    key: ModelKey,
    fake: Arc<Fake>,
    loaded: Arc<Loaded>,
}

fn one(tenant: &str, name: &str) -> One {
    let fake = Arc::new(Fake::default());
    let model: Arc<dyn Model> = Arc::clone(&fake) as _;
    let loaded = Arc::new(Loaded::new(model, Mapped::copied(b"file").unwrap()));
    let digest = Digest::of(name.as_bytes());
    let (model, version) = (name.parse().unwrap(), "1".parse().unwrap());
    let key = ModelKey::dedicated(tenant.parse().unwrap(), model, version, digest);
    One { key, fake, loaded }
}

fn bring(cache: &DeviceCache, model: &One) -> bool {
    cache.bring(&model.key, &model.loaded);
    model.fake.is_there()
}

#[tokio::test]
async fn the_one_that_was_used_longest_ago_makes_room() {
    let cache = DeviceCache::new(20, A_LONG_TIME);
    let models = ["a", "b", "c"].map(|name| one("t", name));
    assert!(bring(&cache, &models[0]) && bring(&cache, &models[1]));
    // It is there: nothing is brought for it.
    assert!(bring(&cache, &models[0]));
    assert_eq!(models[0].fake.brought.load(Ordering::SeqCst), 1);
    assert!(bring(&cache, &models[2]));
    let there = models.each_ref().map(|model| model.fake.is_there());
    assert_eq!(there, [true, false, true]);
    let stats = cache.stats();
    assert_eq!((stats.models, stats.held_bytes, stats.evictions), (2, 20, 1));
    assert_eq!(stats.budget_bytes, 20);
}

#[tokio::test]
async fn a_floor_keeps_a_tenants_models_there_and_a_ceiling_bounds_them() {
    let cache = DeviceCache::new(20, A_LONG_TIME);
    let terms = |floor_bytes, ceiling_bytes| TenantTerms { floor_bytes, ceiling_bytes };
    cache.set_terms(Terms {
        tenants: [
            ("kept".parse().unwrap(), terms(10, None)),
            ("bounded".parse().unwrap(), terms(0, Some(10))),
        ]
        .into(),
        ..Terms::default()
    });
    let (kept, first, second) = (one("kept", "a"), one("bounded", "b"), one("bounded", "c"));
    assert!(bring(&cache, &kept) && bring(&cache, &first) && bring(&cache, &second));
    assert!(kept.fake.is_there() && !first.fake.is_there());
    let other = one("other", "d");
    assert!(bring(&cache, &other));
    assert!(kept.fake.is_there() && !second.fake.is_there());
    let another = one("kept", "e");
    assert!(bring(&cache, &another));
    // Its own models may go for each other.
    assert_eq!(cache.stats().held_bytes, 20);
    let bytes = cache.bytes_by_tenant();
    assert!(bytes[&"kept".parse::<tenancy::TenantId>().unwrap()] >= 10);
}

#[tokio::test]
async fn what_finds_no_room_stays_off_and_is_not_tried_at_once_again() {
    let cache = DeviceCache::new(10, A_LONG_TIME);
    let (pinned, other) = (one("t", "a"), one("t", "b"));
    let models = [(pinned.key.clone(), ModelTerms { pinned: true, weight: 1 })].into();
    cache.set_terms(Terms { models, ..Terms::default() });
    assert!(bring(&cache, &pinned));
    assert!(!bring(&cache, &other) && !bring(&cache, &other));
    assert_eq!((cache.stats().no_room, cache.stats().refused), (1, 0));
    assert!(pinned.fake.is_there());

    let cache = DeviceCache::new(10, Duration::ZERO);
    let models = [(pinned.key.clone(), ModelTerms { pinned: true, weight: 1 })].into();
    cache.set_terms(Terms { models, ..Terms::default() });
    pinned.fake.let_go();
    assert!(bring(&cache, &pinned) && !bring(&cache, &other));
    cache.set_terms(Terms::default());
    assert!(bring(&cache, &other) && !pinned.fake.is_there());
}

#[tokio::test]
async fn a_device_that_refuses_a_model_holds_nothing_for_it() {
    let cache = DeviceCache::new(10, A_LONG_TIME);
    let (refused, other) = (one("t", "a"), one("t", "b"));
    refused.fake.refuses.store(true, Ordering::SeqCst);
    assert!(!bring(&cache, &refused));
    assert_eq!((cache.stats().refused, cache.stats().held_bytes), (1, 0));
    assert!(bring(&cache, &other));
}

#[tokio::test]
async fn what_is_wanted_there_no_more_goes_and_what_was_lost_comes_back() {
    let cache = DeviceCache::new(20, A_LONG_TIME);
    let (one, lost) = (one("t", "a"), one("t", "b"));
    assert!(bring(&cache, &one) && bring(&cache, &lost));
    one.fake.is_unwanted.store(true, Ordering::SeqCst);
    lost.fake.is_there.store(false, Ordering::SeqCst);
    assert!(!bring(&cache, &one) && bring(&cache, &lost));
    assert_eq!(cache.stats().models, 1);
}

#[tokio::test]
async fn what_is_unloaded_or_assigned_no_more_takes_nothing_there() {
    let cache = DeviceCache::new(20, A_LONG_TIME);
    let (unloaded, unassigned) = (one("t", "a"), one("t", "b"));
    assert!(bring(&cache, &unloaded) && bring(&cache, &unassigned));
    drop(unloaded);
    assert_eq!(cache.stats().models, 1);
    cache.retain(|key| *key != unassigned.key);
    assert!(!unassigned.fake.is_there());
    assert_eq!((cache.stats().models, cache.stats().held_bytes), (0, 0));
}

#[tokio::test]
async fn many_who_use_it_at_once_bring_it_once() {
    let cache = DeviceCache::new(10, A_LONG_TIME);
    let model = one("t", "a");
    for _ in 0..100 {
        cache.used(&model.key, &model.loaded);
    }
    while !model.fake.is_there() {
        tokio::task::yield_now().await;
    }
    assert_eq!(model.fake.brought.load(Ordering::SeqCst), 1);
}
