//! What each example of the SDK does, whoever wrote the filter.

use std::time::Duration;

use wasm_host::{Clock, Headers, Host, HttpResponse, LocalResponse, Module, Outcome, Stream, Vm};

type Check = fn(&Module);

/// The examples, by their names in the SDK.
pub const CHECKS: [(&str, Check); 6] = [
    ("hello_world", hello_world),
    ("http_auth_random", http_auth_random),
    ("http_body", http_body),
    ("http_config", http_config),
    ("http_headers", http_headers),
    ("grpc_auth_random", grpc_auth_random),
];

pub fn start(module: &Module) -> Vm {
    Host::builder(module).start().unwrap()
}

pub fn get(path: &str) -> Headers {
    Headers::from([(":method", "GET"), (":path", path), (":authority", "example.com")])
}

/// A request that the filter has paused.
pub fn paused(vm: &Vm, headers: Headers) -> Stream {
    let mut stream = vm.request(headers);
    let outcome = stream.request_headers(true);
    assert_eq!(outcome, Outcome::Paused, "{:?}", vm.failure());
    stream
}

/// A request that the filter lets pass.
pub fn passed(vm: &Vm, headers: Headers) -> Stream {
    let mut stream = vm.request(headers);
    assert!(stream.request_headers(true).continued().is_some(), "{:?}", vm.failure());
    stream
}

fn answer(outcome: Outcome<impl std::fmt::Debug>) -> LocalResponse {
    match outcome {
        Outcome::LocalResponse(response) => response,
        other => panic!("expected an answer of the filter, found {other:?}"),
    }
}

fn said(vm: &Vm) -> Vec<String> {
    vm.logs().into_iter().filter(|record| !record.canary).map(|record| record.message).collect()
}

fn hello_world(module: &Module) {
    let clock = Clock::at(Duration::from_secs(1_700_000_000));
    let vm = Host::builder(module).clock(&clock).start().unwrap();
    assert_eq!(said(&vm), ["Hello, World!"]);
    assert_eq!(vm.tick_period(), Some(Duration::from_secs(5)));
    vm.advance(Duration::from_secs(14)).unwrap();
    let lines = said(&vm);
    assert_eq!(lines.len(), 3, "{lines:?}");
    assert!(lines[1..].iter().all(|line| line.contains("your lucky number is")), "{lines:?}");
}

fn http_auth_random(module: &Module) {
    for (byte, granted) in [(4_u8, true), (7, false)] {
        let vm = start(module);
        let mut stream = paused(&vm, get("/"));
        let call = vm.next_http_call().unwrap();
        assert_eq!(call.upstream(), "httpbin");
        assert_eq!(call.headers().get_str(":path"), Some("/bytes/1"));
        assert_eq!(call.timeout(), Some(Duration::from_secs(1)));
        call.respond(HttpResponse::new(200).body([byte])).unwrap();
        if granted {
            assert!(stream.request_outcome().continued().is_some());
            let response = stream.response_headers([(":status", "200")], true).continued().unwrap();
            assert_eq!(response.get_str("powered-by"), Some("proxy-wasm"));
        } else {
            let refusal = answer(stream.request_outcome());
            assert_eq!((refusal.status, refusal.body), (403, b"Access forbidden.\n".to_vec()));
            assert_eq!(refusal.headers.get_str("powered-by"), Some("proxy-wasm"));
        }
    }
    // The service that is asked breaks, or takes too long (Envoy's own answer has an even first byte,
    // and the status is not looked at).
    let vm = start(module);
    let mut stream = paused(&vm, get("/"));
    vm.next_http_call().unwrap().fail().unwrap();
    assert_eq!(answer(stream.request_outcome()).status, 403);
    let mut stream = paused(&vm, get("/"));
    vm.advance(Duration::from_secs(1)).unwrap();
    assert_eq!(answer(stream.request_outcome()).status, 403);
}

fn http_body(module: &Module) {
    let vm = start(module);
    let respond = |pieces: [&str; 2]| {
        let mut stream = passed(&vm, get("/"));
        let headers = [(":status", "200"), ("content-length", "12")];
        let headers = stream.response_headers(headers, false).continued().unwrap();
        assert!(!headers.contains("content-length"));
        assert_eq!(stream.response_body(pieces[0], false), Outcome::Paused);
        stream.response_body(pieces[1], true).continued().unwrap()
    };
    assert_eq!(respond(["nothing ", "hidden"]), b"nothing hidden");
    assert_eq!(respond(["the sec", "ret"]), b"Original message body (10 bytes) redacted.\n");
}

fn http_config(module: &Module) {
    let vm = Host::builder(module).configuration("hello").start().unwrap();
    let header = |vm: &Vm| {
        let mut stream = passed(vm, get("/"));
        let response = stream.response_headers([(":status", "200")], true).continued().unwrap();
        response.get_str("custom-header").unwrap().to_owned()
    };
    assert_eq!(header(&vm), "hello");
    assert_eq!(vm.configure("changed"), Ok(true));
    assert_eq!(header(&vm), "changed");
    assert_eq!(vm.contexts(), 1);
}

fn http_headers(module: &Module) {
    let vm = start(module);
    let hello = answer(vm.request(get("/hello")).request_headers(true));
    assert_eq!((hello.status, hello.body), (200, b"Hello, World!\n".to_vec()));
    assert_eq!(hello.headers.get_str("hello"), Some("World"));
    assert_eq!(hello.headers.get_str("powered-by"), Some("proxy-wasm"));
    let before = said(&vm).len();
    let mut stream = passed(&vm, get("/other"));
    let id = stream.context_id().unwrap();
    stream.response_headers([(":status", "204")], true).continued().unwrap();
    drop(stream);
    let lines = &said(&vm)[before..];
    assert!(lines.contains(&format!("#{id} -> :path: /other")), "{lines:?}");
    assert!(lines.contains(&format!("#{id} <- :status: 204")), "{lines:?}");
    assert_eq!(lines.last(), Some(&format!("#{id} completed.")));
}

fn grpc_auth_random(module: &Module) {
    let grpc = |path: &str| {
        let mut headers = get(path);
        headers.set("content-type", "application/grpc");
        headers
    };
    let vm = start(module);
    let refusal = answer(vm.request(get("/")).request_headers(true));
    assert_eq!(refusal.status, 503);
    assert_eq!(refusal.body, b"Service accessible only to gRPC clients.\n");
    drop(passed(&vm, grpc("/grpc.reflection.v1.ServerReflection/Info")));
    assert!(vm.next_grpc_call().is_none());

    let mut stream = paused(&vm, grpc("/a.Service/Method"));
    let call = vm.next_grpc_call().unwrap();
    assert_eq!((call.upstream(), call.service()), ("grpcbin", "grpcbin.GRPCBin"));
    assert_eq!(call.method(), "RandomError");
    call.respond(Vec::new()).unwrap();
    assert!(stream.request_outcome().continued().is_some());

    let mut stream = paused(&vm, grpc("/a.Service/Method"));
    vm.next_grpc_call().unwrap().fail(5, "not found").unwrap();
    let refusal = answer(stream.request_outcome());
    assert_eq!((refusal.status, refusal.body.len()), (200, 0));
    assert_eq!(refusal.headers.get_str("grpc-status"), Some("10"));
    assert_eq!(refusal.headers.get_str("grpc-message"), Some("Aborted by Proxy-Wasm!"));
    assert_eq!(refusal.headers.get_str("powered-by"), Some("proxy-wasm"));
}
