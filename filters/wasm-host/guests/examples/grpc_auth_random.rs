//! Lets gRPC requests pass or not by the status of a gRPC call; others are refused.

use std::time::Duration;

use log::info;
use proxy_wasm::traits::{Context, HttpContext};
use proxy_wasm::types::{Action, GrpcStatusCode, LogLevel};

proxy_wasm::main! {{
    proxy_wasm::set_log_level(LogLevel::Trace);
    proxy_wasm::set_http_context(|_, _| Box::new(CoinToss));
}}

struct CoinToss;

impl CoinToss {
    fn starts(&self, header: &str, with: &str) -> bool {
        self.get_http_request_header(header).is_some_and(|value| value.starts_with(with))
    }
}

impl HttpContext for CoinToss {
    fn on_http_request_headers(&mut self, _: usize, _: bool) -> Action {
        if !self.starts("content-type", "application/grpc") {
            let headers = vec![("Powered-By", "proxy-wasm")];
            let body = b"Service accessible only to gRPC clients.\n";
            self.send_http_response(503, headers, Some(body));
            return Action::Pause;
        }
        if self.starts(":path", "/grpc.reflection") {
            return Action::Continue;
        }
        let (service, method) = ("grpcbin.GRPCBin", "RandomError");
        let timeout = Duration::from_secs(1);
        if let Err(status) =
            self.dispatch_grpc_call("grpcbin", service, method, vec![], None, timeout)
        {
            info!("cannot ask: {status:?}");
            self.send_grpc_response(GrpcStatusCode::Internal, None, vec![]);
        }
        Action::Pause
    }

    fn on_http_response_headers(&mut self, _: usize, _: bool) -> Action {
        self.set_http_response_header("Powered-By", Some("proxy-wasm"));
        Action::Continue
    }
}

impl Context for CoinToss {
    fn on_grpc_call_response(&mut self, _: u32, status: u32, _: usize) {
        info!("Asked: {status}.");
        if status & 1 == 0 {
            info!("Access granted.");
            self.resume_http_request();
        } else {
            info!("Access forbidden.");
            self.send_grpc_response(
                GrpcStatusCode::Aborted,
                Some("Aborted by Proxy-Wasm!"),
                vec![("Powered-By", b"proxy-wasm".as_slice())],
            );
        }
    }
}
