//! One TCP connection, driven event by event.

use std::fmt;
use std::sync::{Arc, Mutex};

use crate::abi::Side;
use crate::error::Trap;
use crate::machine::Machine;
use crate::outcome::ConnectionOutcome;
use crate::settings::{Properties, property_path};
use crate::vm::lock;
use crate::{Peer, PropertyValue};

/// A client's connection through a TCP (network) filter, and the connection to the backend behind it.
///
/// [`Connection::open`] shows it to the filter; then come bytes of either side, in any order, and the
/// closes. Once the client's side is closed, or the connection is dropped (which closes it), the guest gets
/// `proxy_on_done`, `proxy_on_log` and `proxy_on_delete`; by the [specification](crate::Dialect), once
/// both sides are.
///
/// ```
/// # use wasm_host::{ConnectionOutcome, Engine, Host, Module, Peer};
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let module = Module::compile(
/// #     &Engine::new()?,
/// #     r#"(module (memory (export "memory") 1) (func (export "proxy_abi_version_0_2_1"))
/// #         (func (export "malloc") (param i32) (result i32) (i32.const 1024)))"#,
/// # )?;
/// let vm = Host::builder(&module).start()?;
/// let mut connection = vm.connection().property(&["source", "address"], "10.0.0.1:4711");
/// assert_eq!(connection.open(), ConnectionOutcome::Continue(()));
/// let passed = connection.downstream_data("hello", false);
/// assert_eq!(passed, ConnectionOutcome::Continue(b"hello".to_vec()));
/// connection.close_upstream(Peer::Remote);
/// connection.close_downstream(Peer::Local);
/// # Ok(())
/// # }
/// ```
pub struct Connection {
    machine: Arc<Mutex<Machine>>,
    properties: Properties,
    /// The guest's context, once it has seen the connection.
    id: Option<u32>,
    closed: bool,
}

impl Connection {
    pub(crate) fn new(machine: Arc<Mutex<Machine>>) -> Self {
        Self { machine, properties: Properties::new(), id: None, closed: false }
    }

    /// A property of this connection, such as `["source", "address"]`. Set it before
    /// [`Connection::open`].
    #[must_use]
    pub fn property(mut self, path: &[&str], value: impl Into<PropertyValue>) -> Self {
        self.properties.insert(property_path(path), value.into().into_bytes());
        self
    }

    /// Shows the new connection to the filter. A second call changes nothing.
    pub fn open(&mut self) -> ConnectionOutcome<()> {
        if self.closed {
            return ConnectionOutcome::Closed;
        }
        if self.id.is_some() {
            return ConnectionOutcome::Continue(());
        }
        let mut machine = lock(&self.machine);
        let (id, outcome) = machine.connect(std::mem::take(&mut self.properties));
        machine.settle();
        drop(machine);
        self.id = id;
        self.remember(outcome)
    }

    /// Bytes of the client. What goes on is what the filter left of them, with those that it had
    /// paused. Before [`Connection::open`] they pass untouched.
    pub fn downstream_data(
        &mut self,
        bytes: impl AsRef<[u8]>,
        end_of_stream: bool,
    ) -> ConnectionOutcome<Vec<u8>> {
        self.data(Side::Downstream, bytes.as_ref(), end_of_stream)
    }

    /// Bytes of the backend; see [`Connection::downstream_data`]. With the last of them, a filter is
    /// told that the upstream was closed, by [`Peer::Unknown`]: it is all that Envoy lets it know.
    pub fn upstream_data(
        &mut self,
        bytes: impl AsRef<[u8]>,
        end_of_stream: bool,
    ) -> ConnectionOutcome<Vec<u8>> {
        self.data(Side::Upstream, bytes.as_ref(), end_of_stream)
    }

    /// What has become by now of the client's bytes (or of the new connection) that the filter paused.
    pub fn downstream_outcome(&mut self) -> ConnectionOutcome<Vec<u8>> {
        self.now(Side::Downstream)
    }

    /// What has become by now of the backend's bytes that the filter paused.
    pub fn upstream_outcome(&mut self) -> ConnectionOutcome<Vec<u8>> {
        self.now(Side::Upstream)
    }

    /// The client's connection is closed: by the client ([`Peer::Remote`]) or the proxy.
    pub fn close_downstream(&mut self, by: Peer) {
        self.close(Side::Downstream, by);
    }

    /// The connection to the backend is closed: by the backend ([`Peer::Remote`]) or the proxy. A guest
    /// in Envoy is told [`Peer::Unknown`] either way.
    pub fn close_upstream(&mut self, by: Peer) {
        self.close(Side::Upstream, by);
    }

    /// Foreign code of the proxy calls the guest back, for this connection: it gets
    /// `proxy_on_foreign_function`.
    ///
    /// # Errors
    /// The guest's trap, now or before.
    pub fn foreign_callback(
        &mut self,
        function: u32,
        arguments: impl Into<Vec<u8>>,
    ) -> Result<(), Trap> {
        self.id.map_or(Ok(()), |id| {
            lock(&self.machine).foreign_callback(id, function, arguments.into())
        })
    }

    fn data(&mut self, side: Side, bytes: &[u8], last: bool) -> ConnectionOutcome<Vec<u8>> {
        if self.closed {
            return ConnectionOutcome::Closed;
        }
        let Some(id) = self.id else {
            return ConnectionOutcome::Continue(bytes.to_vec());
        };
        let mut machine = lock(&self.machine);
        let outcome = machine.show_data(id, side, bytes, last);
        machine.settle();
        drop(machine);
        self.remember(outcome)
    }

    fn now(&mut self, side: Side) -> ConnectionOutcome<Vec<u8>> {
        let Some(id) = self.id.filter(|_| !self.closed) else {
            return ConnectionOutcome::Closed;
        };
        let outcome = lock(&self.machine).data_now(id, side);
        self.remember(outcome)
    }

    fn close(&mut self, side: Side, by: Peer) {
        if let Some(id) = self.id {
            let mut machine = lock(&self.machine);
            machine.show_close(id, side, by);
            machine.settle();
        }
    }

    fn remember<T>(&mut self, outcome: ConnectionOutcome<T>) -> ConnectionOutcome<T> {
        self.closed |= matches!(outcome, ConnectionOutcome::Closed);
        outcome
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        if let Some(id) = self.id.take() {
            lock(&self.machine).drop_connection(id);
        }
    }
}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connection")
            .field("id", &self.id)
            .field("closed", &self.closed)
            .finish_non_exhaustive()
    }
}
