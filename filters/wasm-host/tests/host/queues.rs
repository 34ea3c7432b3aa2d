use wasm_host::{Host, SharedQueues, Vm};

use crate::support::{host, messages, module, on_request, pass, start};

/// Registers the queue `news`, and says each item that it is told of.
const LISTENS: &str = r#"
    (func (export "proxy_on_configure") (param i32 i32) (result i32)
      (drop (call $register_queue <<news>> (i32.const 8))) (i32.const 1))
    (func (export "proxy_on_queue_ready") (param $root i32) (param $queue i32)
      (if (i32.eqz (call $dequeue (local.get $queue) (i32.const 0) (i32.const 4)))
        (then (call $say_given))))"#;

/// Puts an item into the queue `news` of the VMs `listener`.
const TELLS: &str = r#"
    (call $answer <<x-found>> (call $resolve_queue <<listener>> <<news>> (i32.const 8)))
    (call $answer <<x-status>> (call $enqueue (i32.load (i32.const 8)) <<item>>))"#;

fn vm(functions: &str, vm_id: &str, queues: &SharedQueues) -> Vm {
    Host::builder(&module(functions)).vm_id(vm_id).shared_queues(queues).start().unwrap()
}

#[test]
fn one_vm_puts_in_and_the_other_is_told() {
    let queues = SharedQueues::new();
    let listener = vm(LISTENS, "listener", &queues);
    let teller = vm(&on_request(TELLS), "teller", &queues);
    let passed = pass(&teller);
    assert_eq!(passed.get("x-found"), Some([0].as_slice()));
    assert_eq!(passed.get("x-status"), Some([0].as_slice()));
    assert_eq!(queues.len("listener", "news"), Some(1));
    assert_eq!(listener.run_due(), Ok(1));
    assert_eq!(messages(&listener.logs()), ["item"]);
    assert_eq!(queues.len("listener", "news"), Some(0));
    assert_eq!(listener.run_due(), Ok(0));
}

#[test]
fn a_vm_that_tells_itself_is_told_when_its_call_has_returned() {
    let functions = LISTENS.to_owned()
        + &on_request("(drop (call $enqueue (i32.const 1) <<mine>>)) (call $say <<returning>>)");
    let vm = start(&functions);
    pass(&vm);
    assert_eq!(messages(&vm.logs()), ["returning", "mine"]);
}

#[test]
fn a_queue_of_its_own_vm_id_needs_no_vm_id() {
    let functions = LISTENS.to_owned()
        + &on_request(
            "(call $answer <<x-found>> (call $resolve_queue <<>> <<news>> (i32.const 8)))",
        );
    assert_eq!(
        pass(&host(&functions).vm_id("any").start().unwrap()).get("x-found"),
        Some([0].as_slice())
    );
}

#[test]
fn queues_that_are_not_there_and_empty_ones_are_told_apart() {
    let functions = LISTENS.to_owned()
        + &on_request(
            "(call $answer <<x-unknown>> (call $resolve_queue <<>> <<olds>> (i32.const 8)))
             (call $answer <<x-put>> (call $enqueue (i32.const 77) <<x>>))
             (call $answer <<x-take>> (call $dequeue (i32.const 77) (i32.const 0) (i32.const 4)))
             (call $answer <<x-empty>> (call $dequeue (i32.const 1) (i32.const 0) (i32.const 4)))",
        );
    let passed = pass(&start(&functions));
    for name in ["x-unknown", "x-put", "x-take"] {
        assert_eq!(passed.get(name), Some([1].as_slice()), "{name}");
    }
    assert_eq!(passed.get("x-empty"), Some([7].as_slice()));
}

#[test]
fn a_guest_that_tells_itself_without_end_is_held_up() {
    let vm = start(
        r#"(func (export "proxy_on_configure") (param i32 i32) (result i32)
             (drop (call $register_queue <<q>> (i32.const 8)))
             (drop (call $enqueue (i32.load (i32.const 8)) <<first>>)) (i32.const 1))
           (func (export "proxy_on_queue_ready") (param i32) (param $queue i32)
             (drop (call $dequeue (local.get $queue) (i32.const 0) (i32.const 4)))
             (drop (call $enqueue (local.get $queue) <<again>>)))"#,
    );
    assert_eq!(vm.failure(), None);
    assert!(vm.run_due().is_ok());
}
