use std::time::Duration;

use wasm_host::{CalloutError, GrpcMessage, GrpcStreamState, Headers};

use crate::support::{host, messages, on_request, pairs, pass, start};

/// Says whatever comes of its calls: the message, or the status and its words.
const HEARS: &str = r#"
    (func (export "proxy_on_grpc_receive_initial_metadata") (param i32 i32 i32)
      (drop (call $get_header (i32.const 4) <<x-first>> (i32.const 0) (i32.const 4)))
      (call $say_given))
    (func (export "proxy_on_grpc_receive") (param i32 i32 i32)
      (drop (call $get_buffer (i32.const 5) (i32.const 0) (i32.const 100) (i32.const 0) (i32.const 4)))
      (call $say_given))
    (func (export "proxy_on_grpc_receive_trailing_metadata") (param i32 i32 i32)
      (drop (call $get_header (i32.const 5) <<x-last>> (i32.const 0) (i32.const 4)))
      (call $say_given))
    (func (export "proxy_on_grpc_close") (param i32 i32) (param $status i32)
      (call $say_digit (local.get $status))
      (drop (call $get_status (i32.const 8) (i32.const 0) (i32.const 4)))
      (call $say_given))"#;

fn calling(then: &str) -> String {
    let metadata = pairs(&[("x-key", "value")]);
    on_request(&format!(
        "(call $answer <<x-status>> (call $grpc_call <<up>> <<a.Service>> <<Method>> <<{metadata}>>
           <<question>> (i32.const 500) (i32.const 8)))
         {then}"
    )) + HEARS
}

fn streaming(then: &str) -> String {
    on_request(&format!(
        "(call $answer <<x-status>> (call $grpc_stream <<up>> <<a.Service>> <<Watch>> <<>> (i32.const 8)))
         {then}"
    )) + HEARS
}

#[test]
fn a_unary_call_is_answered() {
    let vm = start(&calling(""));
    assert_eq!(pass(&vm).get("x-status"), Some([0].as_slice()));
    let call = vm.next_grpc_call().unwrap();
    assert_eq!((call.upstream(), call.service(), call.method()), ("up", "a.Service", "Method"));
    assert_eq!(call.initial_metadata(), &Headers::from([("x-key", "value")]));
    assert_eq!(
        (call.message(), call.timeout()),
        (b"question".as_slice(), Some(Duration::from_millis(500)))
    );
    call.respond("answer").unwrap();
    // Envoy tells of a success by its message alone.
    assert_eq!(messages(&vm.logs()), ["answer"]);
}

#[test]
fn a_unary_call_fails_with_its_status() {
    let vm = start(&calling(""));
    pass(&vm);
    vm.next_grpc_call().unwrap().fail(7, "not you").unwrap();
    assert_eq!(messages(&vm.logs()), ["7", "not you"]);
}

#[test]
fn a_unary_call_times_out_as_unavailable() {
    let vm = start(&calling(""));
    pass(&vm);
    vm.advance(Duration::from_millis(500)).unwrap();
    assert_eq!(messages(&vm.logs()), [">", "upstream request timeout"]);
}

#[test]
fn a_cancelled_call_is_over() {
    let vm = start(&calling(
        "(call $answer <<x-cancel>> (call $grpc_cancel (i32.load (i32.const 8))))
         (call $answer <<x-again>> (call $grpc_cancel (i32.load (i32.const 8))))
         (call $answer <<x-http>> (call $grpc_cancel (i32.const 4)))
         (call $answer <<x-send>> (call $grpc_send (i32.const 5) <<x>> (i32.const 0)))",
    ));
    let passed = pass(&vm);
    assert_eq!(passed.get("x-cancel"), Some([0].as_slice()));
    assert_eq!(passed.get("x-again"), Some([1].as_slice()));
    assert_eq!(passed.get("x-http"), Some([2].as_slice()));
    assert_eq!(passed.get("x-send"), Some([2].as_slice()));
    assert!(vm.next_grpc_call().is_none());
}

#[test]
fn a_call_that_was_handed_out_knows_that_it_was_cancelled() {
    let cancels = calling("")
        + r#"(func (export "proxy_on_tick") (param i32)
            (drop (call $grpc_cancel (i32.load (i32.const 8)))))
        (func (export "proxy_on_configure") (param i32 i32) (result i32)
            (drop (call $set_tick (i32.const 1000))) (i32.const 1))"#;
    let vm = start(&cancels);
    pass(&vm);
    let call = vm.next_grpc_call().unwrap();
    assert!(call.is_outstanding());
    vm.tick().unwrap();
    assert!(!call.is_outstanding());
    assert!(matches!(call.respond("late"), Err(CalloutError::Over { .. })));
    assert_eq!(messages(&vm.logs()), [""; 0]);
}

#[test]
fn both_ends_of_a_stream_talk_and_close() {
    let vm = start(&streaming(
        "(drop (call $grpc_send (i32.load (i32.const 8)) <<one>> (i32.const 0)))
         (drop (call $grpc_send (i32.load (i32.const 8)) <<two>> (i32.const 1)))
         (call $answer <<x-after>> (call $grpc_send (i32.load (i32.const 8)) <<three>> (i32.const 0)))",
    ));
    assert_eq!(pass(&vm).get("x-after"), Some([0].as_slice()));
    let stream = vm.next_grpc_stream().unwrap();
    assert_eq!((stream.service(), stream.method()), ("a.Service", "Watch"));
    let sent =
        |bytes: &str, end_of_stream| Some(GrpcMessage { bytes: bytes.into(), end_of_stream });
    assert_eq!(stream.next_message(), sent("one", false));
    assert_eq!(stream.next_message(), sent("two", true));
    assert_eq!(stream.next_message(), None);
    assert_eq!(stream.state(), GrpcStreamState::ClosedByGuest);
    stream.send_initial_metadata([("x-first", "hello")]).unwrap();
    stream.send("news").unwrap();
    stream.send("more").unwrap();
    stream.send_trailing_metadata([("x-last", "bye")]).unwrap();
    stream.close(0, "done").unwrap();
    assert_eq!(stream.state(), GrpcStreamState::Over);
    assert_eq!(messages(&vm.logs()), ["hello", "news", "more", "bye", "0", "done"]);
    assert!(matches!(stream.send("late"), Err(CalloutError::Over { .. })));
}

#[test]
fn a_stream_that_the_service_closed_is_over_when_the_guest_closes_it() {
    let vm = start(
        &(streaming("")
            + r#"(func (export "proxy_on_tick") (param i32)
                   (call $say_digit (call $grpc_close (i32.const 6))))
                 (func (export "proxy_on_configure") (param i32 i32) (result i32)
                   (drop (call $set_tick (i32.const 1))) (i32.const 1))"#),
    );
    pass(&vm);
    let stream = vm.next_grpc_stream().unwrap();
    stream.close(2, "broke").unwrap();
    assert_eq!(stream.state(), GrpcStreamState::ClosedByService);
    assert!(matches!(stream.send("late"), Err(CalloutError::Over { .. })));
    vm.tick().unwrap();
    assert_eq!(stream.state(), GrpcStreamState::Over);
    vm.tick().unwrap();
    assert_eq!(messages(&vm.logs()), ["2", "broke", "0", "1"]);
}

#[test]
fn upstreams_that_are_not_there_are_told_as_the_abi_says() {
    let vm = host(&calling("")).upstream("other").start().unwrap();
    assert_eq!(pass(&vm).get("x-status"), Some([4].as_slice()));
    let vm = host(&streaming("")).broken_upstream("up").start().unwrap();
    assert_eq!(pass(&vm).get("x-status"), Some([10].as_slice()));
}

#[test]
fn what_was_delivered_can_be_read_only_while_it_is_delivered() {
    let vm = start(&calling(
        "(call $answer <<x-message>> (call $get_buffer (i32.const 5) (i32.const 0) (i32.const 9) (i32.const 0) (i32.const 4)))
         (call $answer <<x-metadata>> (call $get_header (i32.const 4) <<x-first>> (i32.const 0) (i32.const 4)))
         (call $answer <<x-change>> (call $add_header (i32.const 4) <<a>> <<b>>))",
    ));
    pass(&vm);
    vm.next_grpc_call().unwrap().respond("answer").unwrap();
    let passed = pass(&vm);
    assert_eq!(passed.get("x-message"), Some([1].as_slice()));
    assert_eq!(passed.get("x-metadata"), Some([2].as_slice()));
    assert_eq!(passed.get("x-change"), Some([2].as_slice()));
}
