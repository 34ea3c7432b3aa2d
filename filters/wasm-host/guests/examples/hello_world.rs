//! A background service: greets once, then tells the time and a random number at every tick.

use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher, Hasher};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use log::info;
use proxy_wasm::traits::{Context, RootContext};
use proxy_wasm::types::LogLevel;

proxy_wasm::main! {{
    proxy_wasm::set_log_level(LogLevel::Trace);
    proxy_wasm::set_root_context(|_| Box::new(Greeter));
}}

struct Greeter;

impl Context for Greeter {}

impl RootContext for Greeter {
    fn on_vm_start(&mut self, _configuration_size: usize) -> bool {
        info!("Hello, World!");
        self.set_tick_period(Duration::from_secs(5));
        true
    }

    fn on_tick(&mut self) {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        // The standard library's hasher draws its seed from the host's random bytes.
        let lucky = RandomState::new().build_hasher().finish() % 256;
        info!("It's {} s since the epoch, your lucky number is {lucky}.", now.as_secs());
    }
}
