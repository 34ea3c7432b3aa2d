//! What the cache of models promises.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // tests fail by panicking

use std::{
    sync::{
        Arc, Mutex, Weak,
        atomic::{AtomicUsize, Ordering},
        mpsc,
    },
    time::Duration,
};

use artifact::{Mapped, Store};
use inference::{InferError, Inputs, Model, Outputs, Signature};
use proptest::prelude::*;
use scheduler::{
    CacheError, Loaded, ModelCache, ModelKey, Presence,
    residency::{Footprint, ModelTerms, NoRoom, Terms},
};
use tempfile::TempDir;
use tenancy::Digest;

/// Each artifact of these tests has ten bytes.
const FILE_BYTES: u64 = 10;

#[derive(Default)]
struct Fake {
    private_bytes: u64,
    mapped_bytes: u64,
    signature: Signature,
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
        self.private_bytes
    }

    fn mapped_bytes(&self) -> u64 {
        self.mapped_bytes
    }
}

struct Files {
    _folder: TempDir,
    store: Store,
}

impl Files {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path()).unwrap();
        Self { _folder: folder, store }
    }

    fn map(&self, name: &str) -> Mapped {
        let bytes = format!("{name:>10.10}");
        let digest = Digest::of(bytes.as_bytes());
        self.store.insert(bytes.as_bytes(), &digest, FILE_BYTES).unwrap();
        self.store.map(&digest).unwrap()
    }

    fn loaded(&self, name: &str, private_bytes: u64) -> Loaded {
        let fake = Fake { private_bytes, ..Fake::default() };
        Loaded::new(Arc::new(fake), self.map(name))
    }
}

fn key(name: &str) -> ModelKey {
    ModelKey::pooled(name.parse().unwrap(), "1".parse().unwrap(), Digest::of(name.as_bytes()))
}

type Cache = ModelCache<String>;

/// A cache for so many mapped and so many private bytes, which forgets failures at once. Nothing stays
/// mapped beyond them.
fn cache(mapped_bytes: u64, private_bytes: u64) -> Cache {
    cache_with_cold(mapped_bytes, private_bytes, 0)
}

fn cache_with_cold(mapped_bytes: u64, private_bytes: u64, cold_models: usize) -> Cache {
    let budget = Footprint { mapped_bytes, private_bytes, device_bytes: 0 };
    Cache::with_cold(budget, Duration::ZERO, cold_models)
}

async fn load(cache: &Cache, files: &Files, name: &str, private_bytes: u64) -> Arc<Loaded> {
    let loaded = files.loaded(name, private_bytes);
    cache.get_or_load(&key(name), move || Ok(loaded)).await.unwrap()
}

/// From now on the first of these goes first, and so on: what they are worth differs by more than what one
/// load takes longer than another by chance.
fn go_in_order(cache: &Cache, names: &[&str]) {
    let weight = |at: usize| ModelTerms { weight: 1 << (10 * at), ..ModelTerms::default() };
    let models = names.iter().enumerate().map(|(at, name)| (key(name), weight(at))).collect();
    cache.set_terms(Terms { models, ..Terms::default() });
}

fn is_loaded(cache: &Cache, key: &ModelKey) -> bool {
    matches!(cache.presence(key), Presence::Loaded(_))
}

#[tokio::test]
async fn a_model_is_loaded_once_and_then_found() {
    let (files, cache) = (Files::new(), cache(1000, 1000));
    let first = load(&cache, &files, "a", 5).await;
    let again = cache.get_or_load(&key("a"), || panic!("it is loaded")).await.unwrap();
    assert!(Arc::ptr_eq(&first, &again));
    let stats = cache.stats();
    assert_eq!((stats.loads, stats.hits, stats.models), (1, 1, 1));
    assert_eq!((stats.held.mapped_bytes, stats.held.private_bytes), (FILE_BYTES, 5));
    assert_eq!(stats.budget.mapped_bytes, 1000);
}

#[tokio::test]
async fn what_a_model_maps_beside_its_file_is_of_the_mapped_budget() {
    let (files, cache) = (Files::new(), cache(50, 1000));
    for name in ["a", "b"] {
        let fake = Fake { mapped_bytes: 30, private_bytes: 5, ..Fake::default() };
        let loaded = Loaded::new(Arc::new(fake), files.map(name));
        cache.get_or_load(&key(name), move || Ok(loaded)).await.unwrap();
        let held = cache.stats().held;
        assert_eq!((held.mapped_bytes, held.private_bytes), (FILE_BYTES + 30, 5));
    }
    assert_eq!(cache.stats().evictions, 1);
}

#[tokio::test]
async fn the_least_recently_used_model_goes_first() {
    let files = Files::new();
    let mut left = vec![];
    // A load that takes long by chance is worth more, which is not so time after time.
    for _ in 0..20 {
        let cache = cache(1000, 270);
        for name in ["a", "b", "c"] {
            load(&cache, &files, name, 90).await;
        }
        assert!(cache.get_or_load(&key("a"), || panic!("it is loaded")).await.is_ok());
        load(&cache, &files, "d", 90).await;
        let stats = cache.stats();
        assert_eq!((stats.models, stats.evictions), (3, 1));
        assert_eq!(stats.held.private_bytes, 270);
        left = ["a", "b", "c", "d"].map(|name| is_loaded(&cache, &key(name))).to_vec();
        if left == [true, false, true, true] {
            return;
        }
    }
    panic!("of a, b, c and d there are {left:?}");
}

#[tokio::test]
async fn as_many_models_go_as_the_new_one_needs() {
    let (files, cache) = (Files::new(), cache(1000, 360));
    go_in_order(&cache, &["a", "b", "c"]);
    for name in ["a", "b", "c"] {
        load(&cache, &files, name, 90).await;
    }
    load(&cache, &files, "large", 270).await;
    let stats = cache.stats();
    assert_eq!((stats.models, stats.evictions), (2, 2));
    assert!(is_loaded(&cache, &key("c")));
}

#[tokio::test]
async fn a_model_larger_than_the_budget_is_refused_and_evicts_nobody() {
    let (files, cache) = (Files::new(), cache(1000, 90));
    load(&cache, &files, "a", 90).await;
    let large = files.loaded("large", 91);
    let refused = cache.get_or_load(&key("large"), move || Ok(large)).await.unwrap_err();
    assert!(matches!(refused, CacheError::NoRoom(NoRoom::Node { .. })), "{refused}");
    assert!(is_loaded(&cache, &key("a")));
    assert_eq!(cache.stats().load_errors, 1);
}

#[tokio::test]
async fn a_model_in_use_outlives_its_eviction() {
    let (files, cache) = (Files::new(), cache(1000, 90));
    let in_use = load(&cache, &files, "a", 90).await;
    load(&cache, &files, "b", 90).await;
    assert!(!is_loaded(&cache, &key("a")));
    assert_eq!(&**in_use.artifact(), b"         a");
    assert_eq!(in_use.model().private_bytes(), 90);
    is_held_by(1, &Arc::downgrade(&in_use)).await;
}

/// What goes is let go of after those who wait have their answer.
async fn is_held_by(holders: usize, held: &Weak<Loaded>) {
    for _ in 0..10_000 {
        if held.strong_count() == holders {
            return;
        }
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    assert_eq!(held.strong_count(), holders);
}

/// Sixteen requests for one model, whose load answers when all of them have come.
async fn sixteen_requests(
    cache: &Cache,
    loads: &Arc<AtomicUsize>,
    answer: impl Fn() -> Result<Loaded, String>,
) -> Vec<Result<Arc<Loaded>, CacheError<String>>> {
    let (go, all_have_come) = mpsc::channel::<()>();
    let all_have_come = Arc::new(Mutex::new(all_have_come));
    let requests: Vec<_> = (0..16)
        .map(|_| {
            let (cache, loads) = (cache.clone(), Arc::clone(loads));
            let (answer, all_have_come) = (answer(), Arc::clone(&all_have_come));
            tokio::spawn(async move {
                let load = move || {
                    loads.fetch_add(1, Ordering::SeqCst);
                    let _ = all_have_come.lock().unwrap().recv();
                    answer
                };
                cache.get_or_load(&key("a"), load).await
            })
        })
        .collect();
    let before = cache.stats();
    while cache.stats().joined + cache.stats().loads < before.joined + before.loads + 16 {
        tokio::task::yield_now().await;
        if requests.iter().all(tokio::task::JoinHandle::is_finished) {
            break;
        }
    }
    drop(go);
    let mut outcomes = vec![];
    for request in requests {
        outcomes.push(request.await.unwrap());
    }
    outcomes
}

#[tokio::test]
async fn requests_for_one_model_share_one_load() {
    let (files, cache) = (Files::new(), cache(1000, 1000));
    let loads = Arc::new(AtomicUsize::new(0));
    let models: Vec<_> = sixteen_requests(&cache, &loads, || Ok(files.loaded("a", 1)))
        .await
        .into_iter()
        .map(Result::unwrap)
        .collect();
    assert_eq!(loads.load(Ordering::SeqCst), 1);
    assert!(models.iter().all(|model| Arc::ptr_eq(model, &models[0])));
    let stats = cache.stats();
    assert_eq!((stats.loads, stats.joined, stats.models), (1, 15, 1));
}

#[tokio::test]
async fn a_failing_load_is_told_to_all_who_wait_and_tried_again_later() {
    let (files, cache) = (Files::new(), cache(1000, 1000));
    let loads = Arc::new(AtomicUsize::new(0));
    let outcomes = sixteen_requests(&cache, &loads, || Err("digest mismatch".to_owned())).await;
    assert_eq!(loads.load(Ordering::SeqCst), 1);
    for outcome in outcomes {
        let error = outcome.unwrap_err();
        assert!(matches!(&error, CacheError::Load(said) if **said == "digest mismatch"), "{error}");
    }
    assert_eq!(cache.stats().load_errors, 1);

    load(&cache, &files, "a", 1).await;
    let stats = cache.stats();
    assert_eq!((stats.loads, stats.load_errors, stats.models), (2, 1, 1));
}

#[tokio::test]
async fn a_panicking_load_is_an_error_and_is_tried_again_later() {
    let (files, cache) = (Files::new(), cache(1000, 1000));
    let outcome = cache.get_or_load(&key("a"), || panic!("a loader's mistake")).await;
    assert!(matches!(outcome, Err(CacheError::Abandoned)));
    assert_eq!(cache.stats().load_errors, 1);
    load(&cache, &files, "a", 1).await;
}

#[tokio::test]
async fn a_wave_of_requests_does_not_load_again_and_again_what_failed() {
    let budget = Footprint { mapped_bytes: 1000, private_bytes: 1000, device_bytes: 0 };
    let cache = Cache::new(budget, Duration::from_secs(3600));
    for _ in 0..100 {
        let refused = cache.get_or_load(&key("a"), || Err("no such file".to_owned())).await;
        assert!(matches!(refused, Err(CacheError::Load(said)) if *said == "no such file"));
    }
    assert_eq!((cache.stats().loads, cache.stats().spared), (1, 99));
    assert!(matches!(cache.presence(&key("a")), Presence::Failed(_)));
    // What failed of another assignment is of no interest any more.
    cache.retain(|_| false);
    assert!(matches!(cache.presence(&key("a")), Presence::Absent));
}

#[tokio::test]
async fn a_load_ends_and_is_kept_when_its_first_request_goes_away() {
    let (files, cache) = (Files::new(), cache(1000, 1000));
    let (go, wait) = mpsc::channel::<()>();
    let loaded = files.loaded("a", 1);
    let impatient = {
        let cache = cache.clone();
        tokio::spawn(async move {
            let load = move || {
                let _ = wait.recv();
                Ok(loaded)
            };
            cache.get_or_load(&key("a"), load).await
        })
    };
    while cache.stats().loads == 0 {
        tokio::task::yield_now().await;
    }
    impatient.abort();
    let _ = impatient.await;
    drop(go);
    let model = cache.get_or_load(&key("a"), || panic!("it is being loaded")).await;
    assert!(model.is_ok());
    assert_eq!(cache.stats().loads, 1);
}

#[tokio::test]
async fn a_pooled_model_is_loaded_once_for_all_its_tenants() {
    let one = key("shared");
    let other = key("shared");
    assert_eq!(one, other);
    let (files, cache) = (Files::new(), cache(1000, 1000));
    load(&cache, &files, "shared", 1).await;
    assert!(is_loaded(&cache, &other));
}

#[tokio::test]
async fn a_dedicated_model_is_not_reachable_through_another_tenants_key() {
    let dedicated = |tenant: &str| {
        let (name, version) = ("air-time".parse().unwrap(), "1".parse().unwrap());
        ModelKey::dedicated(tenant.parse().unwrap(), name, version, Digest::of(b"the same bytes"))
    };
    let pooled = ModelKey::pooled(
        "air-time".parse().unwrap(),
        "1".parse().unwrap(),
        Digest::of(b"the same bytes"),
    );
    let (files, cache) = (Files::new(), cache(1000, 1000));
    let loaded = files.loaded("ua", 1);
    let ours = cache.get_or_load(&dedicated("org_ua"), move || Ok(loaded)).await.unwrap();

    assert!(is_loaded(&cache, &dedicated("org_ua")));
    for foreign in [dedicated("org_dl"), dedicated("Org_ua"), pooled] {
        assert!(!is_loaded(&cache, &foreign), "{foreign} reached org_ua's model");
    }
    let loaded = files.loaded("ua", 1);
    let theirs = cache.get_or_load(&dedicated("org_dl"), move || Ok(loaded)).await.unwrap();
    assert!(!Arc::ptr_eq(&ours, &theirs));
}

#[tokio::test]
async fn models_that_are_no_longer_wanted_are_dropped() {
    let (files, cache) = (Files::new(), cache(1000, 1000));
    for name in ["a", "b", "c"] {
        load(&cache, &files, name, 1).await;
    }
    assert_eq!(cache.retain(|key| key.name().as_str() == "b"), 2);
    let stats = cache.stats();
    assert_eq!((stats.models, stats.evictions), (1, 0));
    assert_eq!((stats.held.mapped_bytes, stats.held.private_bytes), (FILE_BYTES, 1));
    assert!(is_loaded(&cache, &key("b")));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    #[test]
    fn the_budget_holds_and_the_sums_are_right_after_every_request(
        requests in prop::collection::vec((0..6_usize, 0..60_u64), 1..40),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(async {
            let (files, cache) = (Files::new(), cache(1000, 90));
            for (name, private_bytes) in requests {
                load(&cache, &files, &format!("m{name}"), private_bytes).await;
                let stats = cache.stats();
                assert!(stats.held.fits(&stats.budget), "{stats:?}");
                assert_eq!(stats.held.mapped_bytes, stats.models * FILE_BYTES);
                assert_eq!(stats.models + stats.evictions, stats.loads);
            }
            assert_eq!(cache.retain(|_| false) as u64 + cache.stats().evictions, cache.stats().loads);
            assert_eq!((cache.stats().held.mapped_bytes, cache.stats().held.private_bytes), (0, 0));
        });
    }
}

#[tokio::test]
async fn a_model_that_went_is_there_again_without_a_load_and_takes_its_room_again() {
    let (files, cache) = (Files::new(), cache_with_cold(2 * FILE_BYTES, 1000, 8));
    go_in_order(&cache, &["a", "b", "c"]);
    let first = load(&cache, &files, "a", 5).await;
    load(&cache, &files, "b", 5).await;
    load(&cache, &files, "c", 5).await;
    let stats = cache.stats();
    assert_eq!((stats.models, stats.cold, stats.evictions), (2, 1, 1));
    assert_eq!(stats.held.mapped_bytes, 2 * FILE_BYTES, "what is cold counts");
    assert!(is_loaded(&cache, &key("a")));

    let again = cache.get_or_load(&key("a"), || panic!("it is mapped")).await.unwrap();
    assert!(Arc::ptr_eq(&first, &again));
    let stats = cache.stats();
    assert_eq!((stats.models, stats.cold, stats.evictions, stats.revivals), (2, 1, 2, 1));
    assert_eq!((stats.held.mapped_bytes, stats.loads), (2 * FILE_BYTES, 3));
    // What went for it is there as well.
    cache.get_or_load(&key("b"), || panic!("it is mapped")).await.unwrap();
}

#[tokio::test]
async fn only_so_many_stay_and_those_that_went_last() {
    let (files, cache) = (Files::new(), cache_with_cold(FILE_BYTES, 1000, 2));
    for name in ["a", "b", "c", "d"] {
        load(&cache, &files, name, 0).await;
    }
    assert_eq!((cache.stats().models, cache.stats().cold), (1, 2));
    assert!(!is_loaded(&cache, &key("a")), "it went first");
    assert!(["b", "c", "d"].iter().all(|name| is_loaded(&cache, &key(name))));
}

#[tokio::test]
async fn memory_of_the_process_is_bounded_with_those_that_stay() {
    let (files, cache) = (Files::new(), cache_with_cold(FILE_BYTES, 100, 8));
    for name in ["a", "b", "c", "d"] {
        load(&cache, &files, name, 30).await;
    }
    // 30 of 100 are held, so that two more have room.
    assert_eq!((cache.stats().models, cache.stats().cold), (1, 2));

    // One that takes much of it goes altogether, whatever room there is.
    let cache = cache_with_cold(FILE_BYTES, 1 << 20, 8);
    load(&cache, &files, "large", 65 << 10).await;
    load(&cache, &files, "a", 30).await;
    assert_eq!((cache.stats().models, cache.stats().cold), (1, 0));
}

#[tokio::test]
async fn what_is_no_file_goes_altogether() {
    let (files, cache) = (Files::new(), cache_with_cold(2 * FILE_BYTES, 1000, 8));
    go_in_order(&cache, &["copy", "a", "b"]);
    let copy = Loaded::new(Arc::new(Fake::default()), Mapped::copied(b"ten bytes.").unwrap());
    let copy = cache.get_or_load(&key("copy"), move || Ok(copy)).await.unwrap();
    let held = Arc::downgrade(&copy);
    drop(copy);
    for name in ["a", "b"] {
        load(&cache, &files, name, 0).await;
    }
    assert_eq!((cache.stats().evictions, cache.stats().cold), (1, 0));
    is_held_by(0, &held).await;
}

#[tokio::test]
async fn what_nobody_wants_is_not_kept_cold() {
    let (files, cache) = (Files::new(), cache_with_cold(FILE_BYTES, 1000, 8));
    let held = Arc::downgrade(&load(&cache, &files, "a", 0).await);
    load(&cache, &files, "b", 0).await;
    assert!(held.upgrade().is_some());
    assert_eq!(cache.retain(|it| *it == key("b")), 1);
    is_held_by(0, &held).await;
    assert!(!is_loaded(&cache, &key("a")));
}

#[tokio::test]
async fn a_model_that_finds_no_room_any_more_is_loaded_and_refused_as_any_other() {
    let (files, cache) = (Files::new(), cache_with_cold(2 * FILE_BYTES, 1000, 8));
    go_in_order(&cache, &["a", "b", "c"]);
    load(&cache, &files, "a", 0).await;
    load(&cache, &files, "b", 0).await;
    load(&cache, &files, "c", 0).await;
    let pinned = |name: &str| (key(name), ModelTerms { pinned: true, weight: 1 });
    let models = [pinned("b"), pinned("c")].into();
    cache.set_terms(Terms { models, ..Terms::default() });
    let loaded = files.loaded("a", 0);
    let refused = cache.get_or_load(&key("a"), move || Ok(loaded)).await.unwrap_err();
    assert!(matches!(refused, CacheError::NoRoom(NoRoom::Kept { .. })), "{refused:?}");
    assert_eq!(cache.stats().cold, 0);
}

/// What the operating system says of the pages of a mapping: how many bytes were read lately.
#[cfg(target_os = "linux")]
fn referenced_kib(mapped: &Mapped) -> u64 {
    let start = format!("{:x}-", mapped.as_ptr() as usize);
    let smaps = std::fs::read_to_string("/proc/self/smaps").unwrap();
    let mut lines = smaps.lines().skip_while(|line| !line.starts_with(&start));
    let line = lines.find_map(|line| line.strip_prefix("Referenced:")).unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn the_pages_of_a_model_that_went_are_given_up_and_can_be_read() {
    let (files, cache) = (Files::new(), cache_with_cold(FILE_BYTES, 1000, 8));
    let first = load(&cache, &files, "a", 0).await;
    assert!(first.artifact().contains(&b'a'));
    assert!(referenced_kib(first.artifact()) > 0);
    load(&cache, &files, "b", 0).await;
    for _ in 0..500 {
        if referenced_kib(first.artifact()) == 0 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(referenced_kib(first.artifact()), 0);
    assert!(first.artifact().contains(&b'a'));
}
