//! A TCP filter: holds the client's bytes until a line is whole, numbers the lines, upper-cases what the
//! backend says, and closes the connection at `quit`.

use log::info;
use proxy_wasm::traits::{Context, RootContext, StreamContext};
use proxy_wasm::types::{Action, ContextType, LogLevel, PeerType};

proxy_wasm::main! {{
    proxy_wasm::set_log_level(LogLevel::Trace);
    proxy_wasm::set_root_context(|_| Box::new(Plugin));
}}

struct Plugin;

impl Context for Plugin {}

impl RootContext for Plugin {
    fn get_type(&self) -> Option<ContextType> {
        Some(ContextType::StreamContext)
    }

    fn create_stream_context(&self, _: u32) -> Option<Box<dyn StreamContext>> {
        Some(Box::new(Lines { count: 0 }))
    }
}

struct Lines {
    count: u32,
}

impl Context for Lines {}

impl StreamContext for Lines {
    fn on_new_connection(&mut self) -> Action {
        let source = self.get_property(vec!["source", "address"]).unwrap_or_default();
        info!("connection of {}", String::from_utf8_lossy(&source));
        Action::Continue
    }

    fn on_downstream_data(&mut self, size: usize, _: bool) -> Action {
        let data = self.get_downstream_data(0, size).unwrap_or_default();
        if data.last() != Some(&b'\n') {
            return Action::Pause;
        }
        if data == b"quit\n" {
            self.close_downstream();
            return Action::Pause;
        }
        self.count += 1;
        let line = format!("{}: {}", self.count, String::from_utf8_lossy(&data));
        self.set_downstream_data(0, size, line.as_bytes());
        Action::Continue
    }

    fn on_upstream_data(&mut self, size: usize, _: bool) -> Action {
        let data = self.get_upstream_data(0, size).unwrap_or_default().to_ascii_uppercase();
        self.set_upstream_data(0, size, &data);
        Action::Continue
    }

    fn on_downstream_close(&mut self, peer: PeerType) {
        info!("closed by {peer:?} after {} lines", self.count);
    }

    fn on_upstream_close(&mut self, peer: PeerType) {
        info!("backend closed by {peer:?}");
    }

    fn on_log(&mut self) {
        info!("logged");
    }
}
