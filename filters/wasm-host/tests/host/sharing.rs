use wasm_host::{Metrics, SharedData};

use crate::support::{host, module, on_request, pass, start};
use wasm_host::Host;

/// Takes one token: reads a byte, writes it plus one, with the number it read it by.
const TAKE: &str = r#"
    (if (i32.eqz (call $get_shared <<tokens>> (i32.const 0) (i32.const 4) (i32.const 8)))
      (then
        (i32.store8 (i32.const 32)
          (i32.add (i32.const 1) (i32.load8_u (i32.load (i32.const 0)))))
        (call $answer <<x-status>>
          (call $set_shared <<tokens>> (i32.const 32) (i32.const 1) (i32.load (i32.const 8)))))
      (else
        (i32.store8 (i32.const 32) (i32.const 1))
        (call $answer <<x-status>>
          (call $set_shared <<tokens>> (i32.const 32) (i32.const 1) (i32.const 0)))))
    (call $show <<x-tokens>> (i32.const 32) (i32.const 1))"#;

#[test]
fn two_vms_of_one_vm_id_share_data() {
    let shared = SharedData::new();
    let module = module(&on_request(TAKE));
    let start = || Host::builder(&module).vm_id("gate").shared_data(&shared).start().unwrap();
    let (one, two) = (start(), start());
    assert_eq!(pass(&one).get("x-tokens"), Some([1].as_slice()));
    assert_eq!(pass(&two).get("x-tokens"), Some([2].as_slice()));
    assert_eq!(pass(&one).get("x-tokens"), Some([3].as_slice()));
    assert_eq!(shared.get("gate", b"tokens").unwrap().0, [3]);
}

#[test]
fn a_vm_of_another_vm_id_has_its_own_data() {
    let shared = SharedData::new();
    let module = module(&on_request(TAKE));
    let start = |id: &str| Host::builder(&module).vm_id(id).shared_data(&shared).start().unwrap();
    pass(&start("gate"));
    assert_eq!(pass(&start("recheck")).get("x-tokens"), Some([1].as_slice()));
}

#[test]
fn a_write_that_comes_too_late_is_told_so() {
    let shared = SharedData::new();
    shared.set("", b"k", b"first", 0).unwrap();
    let (_, stale) = shared.get("", b"k").unwrap();
    shared.set("", b"k", b"second", stale).unwrap();
    let vm = host(&on_request(&format!(
        "(call $answer <<x-status>> (call $set_shared <<k>> <<third>> (i32.const {stale})))"
    )))
    .shared_data(&shared)
    .start()
    .unwrap();
    assert_eq!(pass(&vm).get("x-status"), Some([8].as_slice()));
    assert_eq!(shared.get("", b"k").unwrap().0, b"second");
}

#[test]
fn many_threads_take_each_token_once() {
    // Each VM tries again until its write wins, so no increment is lost.
    let shared = SharedData::new();
    let retry = r#"(loop $again
        (if (i32.eqz (call $get_shared <<n>> (i32.const 0) (i32.const 4) (i32.const 8)))
          (then
            (i32.store8 (i32.const 32) (i32.add (i32.const 1) (i32.load8_u (i32.load (i32.const 0)))))
            (br_if $again (call $set_shared <<n>> (i32.const 32) (i32.const 1) (i32.load (i32.const 8)))))))"#;
    shared.set("", b"n", &[0], 0).unwrap();
    let module = module(&on_request(retry));
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                let vm = Host::builder(&module).shared_data(&shared).start().unwrap();
                for _ in 0..25 {
                    pass(&vm);
                }
            });
        }
    });
    assert_eq!(shared.get("", b"n").unwrap().0, [100]);
}

/// Defines one metric of each kind at the start, as numbers 1, 2 and 3.
const METRICS: &str = r#"
    (func (export "proxy_on_configure") (param i32 i32) (result i32)
      (drop (call $define_metric (i32.const 0) <<requests>> (i32.const 8)))
      (drop (call $define_metric (i32.const 1) <<open>> (i32.const 8)))
      (drop (call $define_metric (i32.const 2) <<seconds>> (i32.const 8)))
      (i32.const 1))"#;

#[test]
fn counters_grow_gauges_move_and_histograms_sample() {
    let calls = on_request(
        r#"(drop (call $increment_metric (i32.const 1) (i64.const 2)))
           (call $answer <<x-shrink>> (call $increment_metric (i32.const 1) (i64.const -1)))
           (drop (call $record_metric (i32.const 2) (i64.const 10)))
           (drop (call $increment_metric (i32.const 2) (i64.const -3)))
           (drop (call $record_metric (i32.const 3) (i64.const 7)))
           (call $answer <<x-unknown>> (call $record_metric (i32.const 9) (i64.const 7)))
           (drop (call $get_metric (i32.const 2) (i32.const 8)))
           (call $show <<x-open>> (i32.const 8) (i32.const 8))"#,
    );
    let vm = start(&(METRICS.to_owned() + &calls));
    let passed = pass(&vm);
    assert_eq!(vm.metric("requests"), Some(2));
    assert_eq!(vm.metric("open"), Some(7));
    assert_eq!(vm.metric("seconds"), Some(1));
    assert_eq!(vm.metrics().samples("seconds"), Some(vec![7]));
    assert_eq!(vm.metric("nothing"), None);
    assert_eq!(passed.get("x-shrink"), Some([2].as_slice()));
    assert_eq!(passed.get("x-unknown"), Some([1].as_slice()));
    assert_eq!(passed.get("x-open"), Some(7_u64.to_le_bytes().as_slice()));
}

#[test]
fn workers_add_to_the_same_counter() {
    let metrics = Metrics::new();
    let count = on_request("(drop (call $increment_metric (i32.const 1) (i64.const 1)))");
    let module = module(&(METRICS.to_owned() + &count));
    let start = || Host::builder(&module).metrics(&metrics).start().unwrap();
    let (one, two) = (start(), start());
    pass(&one);
    pass(&two);
    assert_eq!(metrics.value("requests"), Some(2));
}
