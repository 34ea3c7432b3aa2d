use std::sync::{Arc, Mutex};
use std::time::Duration;

use wasm_host::{Clock, LogLevel, Status, TrapReason};

use crate::support::{get, host, on_request, pass, start};

#[test]
fn the_guests_clocks_show_what_the_test_sets() {
    let clock = Clock::at(Duration::from_secs(1_000));
    let vm = host(&on_request(
        r#"(drop (call $now (i32.const 8)))
           (call $show <<x-proxy>> (i32.const 8) (i32.const 8))
           (drop (call $clock_time (i32.const 0) (i64.const 1) (i32.const 8)))
           (call $show <<x-wasi>> (i32.const 8) (i32.const 8))
           (drop (call $clock_time (i32.const 1) (i64.const 1) (i32.const 8)))
           (call $show <<x-monotonic>> (i32.const 8) (i32.const 8))
           (call $answer <<x-cpu-time>> (call $clock_time (i32.const 2) (i64.const 1) (i32.const 8)))"#,
    ))
    .clock(&clock)
    .start()
    .unwrap();
    clock.advance(Duration::from_nanos(5));
    let passed = pass(&vm);
    let wall = 1_000_000_000_005_u64.to_le_bytes();
    assert_eq!(passed.get("x-proxy"), Some(wall.as_slice()));
    assert_eq!(passed.get("x-wasi"), Some(wall.as_slice()));
    assert_eq!(passed.get("x-monotonic"), Some(5_u64.to_le_bytes().as_slice()));
    assert_eq!(passed.get("x-cpu-time"), Some([58].as_slice()));
    clock.set(Duration::from_secs(1));
    let passed = pass(&vm);
    assert_eq!(passed.get("x-proxy"), Some(1_000_000_000_u64.to_le_bytes().as_slice()));
    assert_eq!(passed.get("x-monotonic"), Some(5_u64.to_le_bytes().as_slice()));
}

#[test]
fn the_guest_reads_its_environment_and_no_other() {
    let vm = host(&on_request(
        r#"(drop (call $environ_sizes (i32.const 64) (i32.const 68)))
           (call $answer <<x-count>> (i32.load (i32.const 64)))
           (drop (call $environ (i32.const 128) (i32.const 256)))
           (call $show <<x-text>> (i32.const 256) (i32.load (i32.const 68)))
           (call $answer <<x-second>> (i32.sub (i32.load (i32.const 132)) (i32.const 256)))"#,
    ))
    .env("KEY", "secret")
    .env("REGION", "")
    .start()
    .unwrap();
    let passed = pass(&vm);
    assert_eq!(passed.get("x-count"), Some([2].as_slice()));
    assert_eq!(passed.get("x-text"), Some(b"KEY=secret\0REGION=\0".as_slice()));
    assert_eq!(passed.get("x-second"), Some([11].as_slice()));
}

#[test]
fn random_bytes_repeat_with_the_seed_and_differ_without() {
    let functions = on_request(
        r#"(drop (call $random (i32.const 64) (i32.const 11)))
           (call $show <<x-random>> (i32.const 64) (i32.const 11))"#,
    );
    let draw = |seed| {
        let vm = host(&functions).seed(seed).start().unwrap();
        let draw = || pass(&vm).get("x-random").unwrap().to_vec();
        (draw(), draw())
    };
    assert_eq!(draw(1), draw(1));
    assert_ne!(draw(1), draw(2));
    let (first, second) = draw(3);
    assert_ne!(first, second);
}

#[test]
fn a_foreign_function_gets_the_guests_bytes_and_answers() {
    let seen = Arc::new(Mutex::new(Vec::new()));
    let sees = Arc::clone(&seen);
    let vm = host(&on_request(
        r#"(call $answer <<x-status>>
             (call $foreign <<verify_signature>> <<signed>> (i32.const 24) (i32.const 28)))
           (call $show <<x-result>> (i32.load (i32.const 24)) (i32.load (i32.const 28)))
           (call $answer <<x-unwanted>>
             (call $foreign <<verify_signature>> <<signed>> (i32.const 0) (i32.const 0)))
           (call $answer <<x-refused>>
             (call $foreign <<refuse>> <<>> (i32.const 24) (i32.const 28)))
           (call $answer <<x-unknown>>
             (call $foreign <<nobody>> <<>> (i32.const 24) (i32.const 28)))"#,
    ))
    .foreign_function("verify_signature", move |bytes| {
        sees.lock().unwrap().push(bytes.to_vec());
        Ok(b"valid".to_vec())
    })
    .foreign_function("refuse", |_| Err(Status::BadArgument))
    .start()
    .unwrap();
    let passed = pass(&vm);
    assert_eq!(passed.get("x-status"), Some([0].as_slice()));
    assert_eq!(passed.get_str("x-result"), Some("valid"));
    assert_eq!(passed.get("x-unwanted"), Some([0].as_slice()));
    assert_eq!(passed.get("x-refused"), Some([2].as_slice()));
    assert_eq!(passed.get("x-unknown"), Some([1].as_slice()));
    assert_eq!(*seen.lock().unwrap(), [b"signed", b"signed"]);
}

#[test]
fn properties_come_from_the_embedder_the_request_and_the_guest() {
    let vm = host(&on_request(
        "(drop (call $get_property <<request\0url_path>> (i32.const 0) (i32.const 4)))
         (call $echo <<x-path>>)
         (drop (call $get_property <<source\0address>> (i32.const 0) (i32.const 4)))
         (call $echo <<x-source>>)
         (drop (call $get_property <<node\0id>> (i32.const 0) (i32.const 4)))
         (call $echo <<x-node>>)
         (drop (call $get_property <<plugin_vm_id>> (i32.const 0) (i32.const 4)))
         (call $echo <<x-vm>>)
         (drop (call $set_property <<tenant>> <<org_ua>>))
         (drop (call $get_property <<tenant>> (i32.const 0) (i32.const 4)))
         (call $echo <<x-tenant>>)
         (call $answer <<x-unknown>> (call $get_property <<xds\0node>> (i32.const 0) (i32.const 4)))",
    ))
    .vm_id("gate")
    .property(&["node", "id"], "node-1")
    .start()
    .unwrap();
    let mut stream = vm.request(get()).property(&["source", "address"], "10.0.0.1:80");
    let passed = stream.request_headers(true).continued().unwrap();
    assert_eq!(passed.get_str("x-path"), Some("/a"));
    assert_eq!(passed.get_str("x-source"), Some("10.0.0.1:80"));
    assert_eq!(passed.get_str("x-node"), Some("node-1"));
    assert_eq!(passed.get_str("x-vm"), Some("gate"));
    assert_eq!(passed.get_str("x-tenant"), Some("org_ua"));
    assert_eq!(passed.get("x-unknown"), Some([1].as_slice()));
}

#[test]
fn what_a_guest_prints_is_in_the_log() {
    let vm = start(&on_request(
        r#"(i32.store (i32.const 64) (i32.const 96)) (i32.store (i32.const 68) (i32.const 3))
           (i32.store (i32.const 72) (i32.const 99)) (i32.store (i32.const 76) (i32.const 1))
           (i32.store (i32.const 96) (i32.const 0x0a636261))
           (drop (call $fd_write (i32.const 2) (i32.const 64) (i32.const 2) (i32.const 8)))
           (call $answer <<x-written>> (i32.load (i32.const 8)))
           (call $answer <<x-file>> (call $fd_write (i32.const 3) (i32.const 64) (i32.const 2) (i32.const 8)))"#,
    ));
    let passed = pass(&vm);
    assert_eq!(passed.get("x-written"), Some([4].as_slice()));
    assert_eq!(passed.get("x-file"), Some([8].as_slice()));
    let logs = vm.logs();
    assert_eq!((logs[0].level, logs[0].message.as_str()), (LogLevel::Error, "abc"));
}

#[test]
fn lines_below_the_log_level_are_not_kept() {
    let vm = host(&on_request(
        "(drop (call $log (i32.const 1) <<debug>>)) (drop (call $log (i32.const 3) <<warn>>))
         (call $answer <<x-no-such-level>> (call $log (i32.const 6) <<six>>))",
    ))
    .log_level(LogLevel::Warn)
    .start()
    .unwrap();
    assert_eq!(pass(&vm).get("x-no-such-level"), Some([2].as_slice()));
    assert_eq!(vm.logs().len(), 1);
}

#[test]
fn a_guest_that_exits_has_failed() {
    let vm = start(&on_request("(call $exit (i32.const 3))"));
    let _ = vm.request(get()).request_headers(true);
    assert_eq!(vm.failure().unwrap().reason, TrapReason::Exit(3));
}
