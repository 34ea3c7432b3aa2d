use wasm_host::{ConnectionOutcome, Dialect, FailurePolicy, Host, Peer, TrapReason};

use crate::support::{host, messages, start};

/// Says what happens to a connection.
const TELLS: &str = r#"
    (func (export "proxy_on_context_create") (param i32) (param $root i32)
      (if (local.get $root) (then (call $say <<create>>))))
    (func (export "proxy_on_new_connection") (param i32) (result i32)
      (drop (call $get_property <<source\0address>> (i32.const 0) (i32.const 4)))
      (call $say_given) (i32.const 0))
    (func (export "proxy_on_downstream_connection_close") (param i32) (param $peer i32)
      (call $say <<downstream closed by>>) (call $say_digit (local.get $peer)))
    (func (export "proxy_on_upstream_connection_close") (param i32) (param $peer i32)
      (call $say <<upstream closed by>>) (call $say_digit (local.get $peer)))
    (func (export "proxy_on_done") (param i32) (result i32) (call $say <<done>>) (i32.const 1))
    (func (export "proxy_on_log") (param i32) (call $say <<log>>))
    (func (export "proxy_on_delete") (param i32) (call $say <<delete>>))"#;

#[test]
fn in_envoy_a_connection_ends_with_the_clients_side() {
    let vm = start(TELLS);
    let mut connection = vm.connection().property(&["source", "address"], "10.0.0.1:4711");
    assert_eq!(connection.open(), ConnectionOutcome::Continue(()));
    assert_eq!(vm.contexts(), 2);
    connection.close_upstream(Peer::Remote);
    assert_eq!(vm.contexts(), 2);
    connection.close_downstream(Peer::Remote);
    assert_eq!(vm.contexts(), 1);
    drop(connection);
    let expected = [
        "create",
        "10.0.0.1:4711",
        "upstream closed by",
        "0",
        "downstream closed by",
        "2",
        "done",
        "log",
        "delete",
    ];
    assert_eq!(messages(&vm.logs()), expected);
}

#[test]
fn by_the_specification_a_connection_ends_with_both_sides() {
    let vm = host(TELLS).dialect(Dialect::Specification).start().unwrap();
    let mut connection = vm.connection();
    connection.open();
    connection.close_downstream(Peer::Remote);
    assert_eq!(vm.contexts(), 2);
    connection.close_upstream(Peer::Local);
    assert_eq!(vm.contexts(), 1);
    let logs = vm.logs();
    let closes = ["downstream closed by", "2", "upstream closed by", "1"];
    assert_eq!(messages(&logs[2..6]), closes);
    assert_eq!(messages(&logs[6..]), ["done", "log", "delete"]);
}

#[test]
fn a_dropped_connection_is_closed_by_the_proxy() {
    let vm = start(TELLS);
    drop(vm.connection());
    assert_eq!(messages(&vm.logs()), [""; 0]);
    let mut connection = vm.connection();
    connection.open();
    drop(connection);
    let logs = vm.logs();
    assert_eq!(messages(&logs[2..]), ["downstream closed by", "1", "done", "log", "delete"]);
    assert_eq!(vm.contexts(), 1);
}

/// Holds the client's bytes until a line is whole, and puts a mark before it; marks the backend's.
const LINES: &str = r#"
    (func (export "proxy_on_downstream_data") (param i32) (param $size i32) (param i32) (result i32)
      (drop (call $get_buffer (i32.const 2) (i32.const 0) (local.get $size) (i32.const 0) (i32.const 4)))
      (if (i32.ne (i32.const 10)
            (i32.load8_u (i32.add (i32.load (i32.const 0)) (i32.sub (local.get $size) (i32.const 1)))))
        (then (return (i32.const 1))))
      (drop (call $set_buffer (i32.const 2) (i32.const 0) (i32.const 0) <<client: >>))
      (i32.const 0))
    (func (export "proxy_on_upstream_data") (param i32 i32 i32) (result i32)
      (drop (call $set_buffer (i32.const 3) (i32.const 0) (i32.const 0) <<backend: >>))
      (i32.const 0))"#;

#[test]
fn bytes_are_held_joined_and_changed() {
    let vm = start(LINES);
    let mut connection = vm.connection();
    connection.open();
    assert_eq!(connection.downstream_data("hel", false), ConnectionOutcome::Paused);
    assert_eq!(connection.downstream_outcome(), ConnectionOutcome::Paused);
    let passed = connection.downstream_data("lo\n", false);
    assert_eq!(passed, ConnectionOutcome::Continue(b"client: hello\n".to_vec()));
    let passed = connection.upstream_data("hi", false);
    assert_eq!(passed, ConnectionOutcome::Continue(b"backend: hi".to_vec()));
}

#[test]
fn the_last_bytes_of_the_backend_tell_of_its_end() {
    let vm = start(TELLS);
    let mut connection = vm.connection();
    connection.open();
    let passed = connection.upstream_data("bye", true).continued().unwrap();
    assert_eq!(passed, b"bye");
    connection.close_upstream(Peer::Remote);
    let logs = vm.logs();
    assert_eq!(messages(&logs[2..]), ["upstream closed by", "0"]);
    drop(connection);
    assert_eq!(vm.contexts(), 1);
}

/// Pauses everything, and continues both sides at a tick.
const HOLDS: &str = r#"
    (global $connection (mut i32) (i32.const 0))
    (func (export "proxy_on_new_connection") (param $id i32) (result i32)
      (global.set $connection (local.get $id)) (i32.const 1))
    (func (export "proxy_on_downstream_data") (param i32 i32 i32) (result i32) (i32.const 1))
    (func (export "proxy_on_upstream_data") (param i32 i32 i32) (result i32) (i32.const 1))
    (func (export "proxy_on_configure") (param i32 i32) (result i32)
      (drop (call $set_tick (i32.const 1))) (i32.const 1))
    (func (export "proxy_on_tick") (param i32)
      (drop (call $act_for (global.get $connection)))
      (call $say_digit (call $continue (i32.const 2)))
      (i32.store8 (i32.const 20) (i32.add (i32.const 48) (call $continue (i32.const 3))))
      (call $say (i32.const 20) (i32.const 1)))"#;

#[test]
fn what_was_paused_goes_on_when_the_filter_says_so() {
    let vm = start(HOLDS);
    let mut connection = vm.connection();
    assert_eq!(connection.open(), ConnectionOutcome::Paused);
    assert_eq!(connection.downstream_data("a", false), ConnectionOutcome::Paused);
    assert_eq!(connection.downstream_data("b", false), ConnectionOutcome::Paused);
    vm.tick().unwrap();
    assert_eq!(connection.downstream_outcome(), ConnectionOutcome::Continue(b"ab".to_vec()));
    assert_eq!(connection.downstream_outcome(), ConnectionOutcome::Continue(Vec::new()));
}

#[test]
fn a_paused_upstream_cannot_be_continued_in_envoy_and_can_by_the_specification() {
    // 48 + 12 is `<`.
    for (dialect, said) in [(Dialect::Envoy, "<"), (Dialect::Specification, "0")] {
        let vm = host(HOLDS).dialect(dialect).start().unwrap();
        let mut connection = vm.connection();
        connection.open();
        assert_eq!(connection.upstream_data("a", false), ConnectionOutcome::Paused);
        vm.tick().unwrap();
        assert_eq!(messages(&vm.logs()), ["0", said]);
        let expected = match dialect {
            Dialect::Envoy => ConnectionOutcome::Paused,
            Dialect::Specification => ConnectionOutcome::Continue(b"a".to_vec()),
        };
        assert_eq!(connection.upstream_outcome(), expected);
    }
}

#[test]
fn a_filter_closes_the_connection() {
    let closes = TELLS.to_owned()
        + r#"(func (export "proxy_on_downstream_data") (param i32 i32 i32) (result i32)
               (drop (call $close (i32.const 2))) (i32.const 1))"#;
    let vm = start(&closes);
    let mut connection = vm.connection();
    connection.open();
    assert_eq!(connection.downstream_data("x", false), ConnectionOutcome::Closed);
    assert_eq!(connection.downstream_data("y", false), ConnectionOutcome::Closed);
    assert_eq!(connection.upstream_data("z", false), ConnectionOutcome::Closed);
    let logs = vm.logs();
    assert_eq!(messages(&logs[2..]), ["downstream closed by", "1", "done", "log", "delete"]);
    drop(connection);
    assert_eq!(vm.contexts(), 1);
}

#[test]
fn a_failed_filter_closes_connections_or_lets_them_be() {
    let traps = r#"(func (export "proxy_on_downstream_data") (param i32 i32 i32) (result i32) unreachable)"#;
    for (policy, expected) in [
        (FailurePolicy::Closed, ConnectionOutcome::Closed),
        (FailurePolicy::Open, ConnectionOutcome::Continue(b"x".to_vec())),
    ] {
        let vm = host(traps).failure_policy(policy).start().unwrap();
        let mut connection = vm.connection();
        connection.open();
        assert_eq!(connection.downstream_data("x", false), expected);
        assert_eq!(vm.failure().unwrap().reason, TrapReason::Unreachable);
    }
}

#[test]
fn connections_and_exchanges_are_of_one_plugin() {
    let module = crate::support::module(TELLS);
    let vm = Host::builder(&module).start().unwrap();
    let mut connection = vm.connection();
    connection.open();
    crate::support::pass(&vm);
    assert_eq!(vm.configure("two"), Ok(true));
    // The old plugin lives for its connection.
    assert_eq!(vm.contexts(), 3);
    drop(connection);
    assert_eq!(vm.contexts(), 1);
}
