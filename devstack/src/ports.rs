//! Free TCP ports on 127.0.0.1.

use std::{
    collections::HashSet,
    net::{Ipv4Addr, SocketAddr, TcpListener},
    ops::Range,
    sync::{Mutex, PoisonError},
};

use anyhow::{Result, bail};
use rand::Rng;

/// Below what Linux gives to outgoing connections (32768 and up), so that no connection takes a
/// port between its choice and its use.
const RANGE: Range<u16> = 18_000..32_000;

const TRIES: usize = 500;

static TAKEN: Mutex<Option<HashSet<u16>>> = Mutex::new(None);

/// An address on 127.0.0.1 that nobody listens at. The same one is never given twice by a process.
///
/// # Errors
/// Where none can be found.
pub fn free() -> Result<SocketAddr> {
    for _ in 0..TRIES {
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, rand::rng().random_range(RANGE)));
        if TcpListener::bind(address).is_ok() && take(address.port()) {
            return Ok(address);
        }
    }
    bail!("expected a free port of 127.0.0.1 among {RANGE:?}, found none in {TRIES} tries")
}

fn take(port: u16) -> bool {
    let mut taken = TAKEN.lock().unwrap_or_else(PoisonError::into_inner);
    taken.get_or_insert_default().insert(port)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests fail by panicking")]
mod tests {
    use super::*;

    #[test]
    fn a_port_is_free_and_given_once() {
        let ports: HashSet<SocketAddr> = (0..50).map(|_| free().unwrap()).collect();
        assert_eq!(ports.len(), 50);
        for port in ports {
            TcpListener::bind(port).unwrap();
        }
    }
}
