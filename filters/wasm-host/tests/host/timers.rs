use std::time::Duration;

use wasm_host::{Clock, Host, TrapReason};

use crate::support::{host, messages, module, on_request, pass, start};

const MILLISECONDS: fn(u64) -> Duration = Duration::from_millis;

/// Ticks every 100 ms, and says the second hundredth of the clock's milliseconds.
const TICKS: &str = r#"
    (func (export "proxy_on_configure") (param i32 i32) (result i32)
      (drop (call $set_tick (i32.const 100))) (i32.const 1))
    (func (export "proxy_on_tick") (param i32)
      (drop (call $clock_time (i32.const 1) (i64.const 1) (i32.const 8)))
      (call $say_digit (i32.wrap_i64
        (i64.rem_u (i64.div_u (i64.load (i32.const 8)) (i64.const 100000000)) (i64.const 10)))))"#;

#[test]
fn ticks_fire_each_at_their_own_time() {
    let vm = start(TICKS);
    vm.advance(MILLISECONDS(99)).unwrap();
    assert_eq!(messages(&vm.logs()), [""; 0]);
    vm.advance(MILLISECONDS(251)).unwrap();
    assert_eq!(messages(&vm.logs()), ["1", "2", "3"]);
}

#[test]
fn a_timer_that_is_late_ticks_once() {
    let clock = Clock::default();
    let vm = host(TICKS).clock(&clock).start().unwrap();
    assert_eq!(vm.run_due(), Ok(0));
    clock.advance(MILLISECONDS(450));
    assert_eq!(vm.run_due(), Ok(1));
    clock.advance(MILLISECONDS(99));
    assert_eq!(vm.run_due(), Ok(0));
    clock.advance(MILLISECONDS(1));
    assert_eq!(vm.run_due(), Ok(1));
    assert_eq!(messages(&vm.logs()), ["4", "5"]);
}

#[test]
fn setting_the_wall_clock_fires_nothing() {
    let clock = Clock::default();
    let vm = host(TICKS).clock(&clock).start().unwrap();
    clock.set(Duration::from_secs(4_000_000_000));
    assert_eq!(vm.run_due(), Ok(0));
}

#[test]
fn a_period_that_is_set_again_begins_again_and_zero_stops() {
    let functions = TICKS.to_owned() + &on_request("(drop (call $set_tick (i32.const 100)))");
    let vm = start(&functions);
    vm.advance(MILLISECONDS(60)).unwrap();
    pass(&vm);
    vm.advance(MILLISECONDS(60)).unwrap();
    assert_eq!(messages(&vm.logs()), [""; 0]);
    let stops = TICKS.to_owned() + &on_request("(drop (call $set_tick (i32.const 0)))");
    let vm = start(&stops);
    pass(&vm);
    assert_eq!(vm.tick_period(), None);
    vm.advance(Duration::from_secs(10)).unwrap();
    assert_eq!(messages(&vm.logs()), [""; 0]);
}

#[test]
fn vms_of_one_clock_do_what_is_due_each_for_itself() {
    let clock = Clock::default();
    let module = module(TICKS);
    let start = || Host::builder(&module).clock(&clock).start().unwrap();
    let (one, two) = (start(), start());
    one.advance(MILLISECONDS(100)).unwrap();
    assert_eq!(two.run_due(), Ok(1));
    assert_eq!((one.logs().len(), two.logs().len()), (1, 1));
}

#[test]
fn a_trap_in_a_tick_stops_the_clock_there() {
    let clock = Clock::default();
    let vm = host(
        r#"(func (export "proxy_on_configure") (param i32 i32) (result i32)
             (drop (call $set_tick (i32.const 100))) (i32.const 1))
           (func (export "proxy_on_tick") (param i32) unreachable)"#,
    )
    .clock(&clock)
    .start()
    .unwrap();
    let before = clock.now();
    let trap = vm.advance(Duration::from_secs(60)).unwrap_err();
    assert_eq!(trap.reason, TrapReason::Unreachable);
    assert_eq!(clock.now() - before, MILLISECONDS(100));
}
