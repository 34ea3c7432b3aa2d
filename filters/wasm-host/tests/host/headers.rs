use wasm_host::{Headers, Outcome};

use crate::support::{get, on_request, pass, start};

const BAD_ARGUMENT: &[u8] = &[2];
const NOT_FOUND: &[u8] = &[1];
const OK: &[u8] = &[0];

#[test]
fn a_guest_reads_the_first_value_of_a_header_whatever_its_case() {
    let vm = start(&on_request(
        r#"(call $answer <<x-status>> (call $get_header (i32.const 0) <<X-TENANT>> (i32.const 0) (i32.const 4)))
           (call $echo <<x-copy>>)"#,
    ));
    let mut headers = get();
    headers.append("x-tenant", [b'a', 0xff]);
    headers.append("x-tenant", "second");
    let passed = vm.request(headers).request_headers(true).continued().unwrap();
    assert_eq!(passed.get("x-status"), Some(OK));
    assert_eq!(passed.get("x-copy"), Some([b'a', 0xff].as_slice()));
}

#[test]
fn a_header_that_is_not_there_is_not_found() {
    let vm = start(&on_request(
        r#"(call $answer <<x-status>> (call $get_header (i32.const 0) <<x-none>> (i32.const 0) (i32.const 4)))"#,
    ));
    assert_eq!(pass(&vm).get("x-status"), Some(NOT_FOUND));
}

#[test]
fn a_guest_adds_replaces_and_removes() {
    let vm = start(&on_request(
        r#"(drop (call $add_header (i32.const 0) <<x-two>> <<2>>))
           (drop (call $set_header (i32.const 0) <<x-one>> <<only>>))
           (drop (call $remove_header (i32.const 0) <<X-Gone>>))"#,
    ));
    let mut headers = get();
    for (name, value) in
        [("x-one", "1"), ("x-one", "1b"), ("x-two", "1"), ("x-gone", "1"), ("x-gone", "2")]
    {
        headers.append(name, value);
    }
    let passed = vm.request(headers).request_headers(true).continued().unwrap();
    assert_eq!(passed.get_all("x-one").collect::<Vec<_>>(), [b"only"]);
    assert_eq!(passed.get_all("x-two").collect::<Vec<_>>(), [b"1", b"2"]);
    assert!(!passed.contains("x-gone"));
}

#[test]
fn a_whole_map_goes_to_the_guest_and_back() {
    let vm = start(&on_request(
        r#"(drop (call $get_headers (i32.const 0) (i32.const 0) (i32.const 4)))
           (drop (call $set_headers (i32.const 0) (i32.load (i32.const 0)) (i32.load (i32.const 4))))"#,
    ));
    assert_eq!(pass(&vm), get());
}

#[test]
fn response_headers_are_out_of_reach_in_the_request() {
    let vm = start(&on_request(
        r#"(call $answer <<x-get>> (call $get_header (i32.const 2) <<:status>> (i32.const 0) (i32.const 4)))
           (call $answer <<x-set>> (call $set_header (i32.const 2) <<a>> <<b>>))
           (call $answer <<x-no-such-map>> (call $set_header (i32.const 99) <<a>> <<b>>))"#,
    ));
    let passed = pass(&vm);
    assert_eq!(passed.get("x-get"), Some(BAD_ARGUMENT));
    assert_eq!(passed.get("x-set"), Some(BAD_ARGUMENT));
    assert_eq!(passed.get("x-no-such-map"), Some(BAD_ARGUMENT));
}

#[test]
fn request_headers_are_out_of_reach_once_they_have_passed() {
    // Envoy takes them away; the guest reports in the response, where it can write.
    let vm = start(
        r#"(func (export "proxy_on_response_headers") (param i32 i32 i32) (result i32)
             (i32.store8 (i32.const 16)
               (call $get_header (i32.const 0) <<:path>> (i32.const 0) (i32.const 4)))
             (drop (call $add_header (i32.const 2) <<x-status>> (i32.const 16) (i32.const 1)))
             (i32.const 0))"#,
    );
    let mut stream = vm.request(get());
    stream.request_headers(true).continued().unwrap();
    let response = stream.response_headers([(":status", "200")], true).continued().unwrap();
    assert_eq!(response.get("x-status"), Some(BAD_ARGUMENT));
}

#[test]
fn pairs_that_cannot_be_read_empty_the_map() {
    let vm = start(&on_request(r#"(drop (call $set_headers (i32.const 0) <<not pairs>>))"#));
    assert_eq!(vm.request(get()).request_headers(true), Outcome::Continue(Headers::new()));
}

#[test]
fn trailers_are_maps_like_headers() {
    let vm = start(
        r#"(func (export "proxy_on_request_trailers") (param i32 i32) (result i32)
             (drop (call $add_header (i32.const 1) <<x-request>> <<1>>)) (i32.const 0))
           (func (export "proxy_on_response_trailers") (param i32 i32) (result i32)
             (drop (call $add_header (i32.const 3) <<x-response>> <<1>>)) (i32.const 0))"#,
    );
    let mut stream = vm.request(get());
    stream.request_headers(false).continued().unwrap();
    let trailers = stream.request_trailers([("a", "b")]).continued().unwrap();
    assert_eq!(trailers, Headers::from([("a", "b"), ("x-request", "1")]));
    stream.response_headers([(":status", "200")], false);
    let trailers = stream.response_trailers(Headers::new()).continued().unwrap();
    assert_eq!(trailers, Headers::from([("x-response", "1")]));
}
