//! A background service that watches something over a gRPC stream, and says what it hears.

use log::info;
use proxy_wasm::traits::{Context, RootContext};
use proxy_wasm::types::LogLevel;

proxy_wasm::main! {{
    proxy_wasm::set_log_level(LogLevel::Trace);
    proxy_wasm::set_root_context(|_| Box::new(Watcher { stream: 0 }));
}}

struct Watcher {
    stream: u32,
}

impl RootContext for Watcher {
    fn on_configure(&mut self, _: usize) -> bool {
        let metadata = vec![("x-watcher", b"guest".as_slice())];
        let Ok(stream) = self.open_grpc_stream("directory", "a.Directory", "Watch", metadata)
        else {
            return false;
        };
        self.stream = stream;
        self.send_grpc_stream_message(stream, Some(b"everything"), false);
        true
    }
}

impl Context for Watcher {
    fn on_grpc_stream_initial_metadata(&mut self, _: u32, _: u32) {
        let version = self.get_grpc_stream_initial_metadata_value("x-version").unwrap_or_default();
        info!("version {}", String::from_utf8_lossy(&version));
    }

    fn on_grpc_stream_message(&mut self, stream: u32, size: usize) {
        let message = self.get_grpc_stream_message(0, size).unwrap_or_default();
        info!("heard {}", String::from_utf8_lossy(&message));
        self.send_grpc_stream_message(stream, Some(b"heard"), false);
        if message == b"enough" {
            self.close_grpc_stream(stream);
        }
    }

    fn on_grpc_stream_trailing_metadata(&mut self, _: u32, count: u32) {
        info!("{count} trailers");
    }

    fn on_grpc_stream_close(&mut self, _: u32, status: u32) {
        let (_, message) = self.get_grpc_status();
        info!("closed with {status}: {}", message.unwrap_or_default());
    }
}
