//! The events of a TCP connection, as the guest sees them.

use super::{Machine, number};
use crate::Dialect;
use crate::abi::{Peer, Side};
use crate::contexts::connection::Stretch;
use crate::outcome::ConnectionOutcome;
use crate::settings::{FailurePolicy, Properties};

impl Machine {
    /// A client connects. `None` for the id where there is no plugin.
    pub(crate) fn connect(
        &mut self,
        properties: Properties,
    ) -> (Option<u32>, ConnectionOutcome<()>) {
        let Some(id) = self.open_connection(properties) else {
            return (None, self.connection_without_plugin(()));
        };
        let callback = self.exports.on_new_connection.clone();
        let outcome = match self.maybe(id, "proxy_on_new_connection", callback, id) {
            Err(_) => self.connection_without_plugin(()),
            Ok(action) => {
                let pauses = action.unwrap_or(0) != 0;
                match self.store.data_mut().connection_by_id(id) {
                    Some(connection) if !connection.closed => {
                        let resumed = std::mem::take(&mut connection.downstream.resumed);
                        connection.held = pauses && !resumed;
                        if connection.held {
                            ConnectionOutcome::Paused
                        } else {
                            ConnectionOutcome::Continue(())
                        }
                    }
                    _ => ConnectionOutcome::Closed,
                }
            }
        };
        (Some(id), outcome)
    }

    /// Bytes come from one side.
    pub(crate) fn show_data(
        &mut self,
        id: u32,
        side: Side,
        piece: &[u8],
        end_of_stream: bool,
    ) -> ConnectionOutcome<Vec<u8>> {
        let (name, callback) = match side {
            Side::Downstream => ("proxy_on_downstream_data", &self.exports.on_downstream_data),
            Side::Upstream => ("proxy_on_upstream_data", &self.exports.on_upstream_data),
        };
        let callback = callback.clone();
        let size = match self.store.data_mut().connection_by_id(id) {
            Some(connection) if !connection.closed => {
                let stretch = connection.side(side);
                stretch.data.open(piece);
                stretch.data.bytes.len()
            }
            _ => return ConnectionOutcome::Closed,
        };
        let parameters = (id, number(size), u32::from(end_of_stream));
        let outcome = match self.maybe(id, name, callback, parameters) {
            Err(_) => {
                let passed = self.side(id, side, |stretch| stretch.data.pass());
                self.connection_without_plugin(passed)
            }
            Ok(action) => self.conclude_data(id, side, action.unwrap_or(0) != 0),
        };
        if end_of_stream && side == Side::Upstream && self.settings.dialect == Dialect::Envoy {
            // A network filter sees no more of the backend's end than the last of its bytes.
            self.show_close(id, Side::Upstream, Peer::Unknown);
        }
        outcome
    }

    fn conclude_data(&mut self, id: u32, side: Side, pauses: bool) -> ConnectionOutcome<Vec<u8>> {
        let Some(connection) = self.store.data_mut().connection_by_id(id) else {
            return ConnectionOutcome::Closed;
        };
        if connection.closed {
            return ConnectionOutcome::Closed;
        }
        let stretch = connection.side(side);
        let resumed = std::mem::take(&mut stretch.resumed);
        if pauses && !resumed {
            stretch.data.held = true;
            return ConnectionOutcome::Paused;
        }
        let mut passed = std::mem::take(&mut stretch.released);
        passed.extend_from_slice(&stretch.data.pass());
        if side == Side::Downstream {
            connection.held = false;
        }
        ConnectionOutcome::Continue(passed)
    }

    /// What has become by now of the bytes of one side.
    pub(crate) fn data_now(&mut self, id: u32, side: Side) -> ConnectionOutcome<Vec<u8>> {
        let failed = self.failure().is_some();
        let Some(connection) = self.store.data_mut().connection_by_id(id) else {
            return ConnectionOutcome::Closed;
        };
        if connection.closed {
            return ConnectionOutcome::Closed;
        }
        let waits =
            connection.side(side).data.held || (connection.held && side == Side::Downstream);
        let released = &mut connection.side(side).released;
        if failed {
            let released = std::mem::take(released);
            return self.connection_without_plugin(released);
        }
        if waits {
            return ConnectionOutcome::Paused;
        }
        ConnectionOutcome::Continue(std::mem::take(released))
    }

    /// One side was closed. Once both are, the context goes; in Envoy, once the client's is.
    pub(crate) fn show_close(&mut self, id: u32, side: Side, peer: Peer) {
        let Some(connection) = self.store.data_mut().connection_by_id(id) else {
            return;
        };
        if std::mem::replace(&mut connection.side(side).told_closed, true) {
            return;
        }
        let envoy = self.settings.dialect == Dialect::Envoy;
        // A network filter is on the client's connection; who closed the other one it cannot know.
        let peer = if envoy && side == Side::Upstream { Peer::Unknown } else { peer };
        let (name, callback) = match side {
            Side::Downstream => {
                ("proxy_on_downstream_connection_close", &self.exports.on_downstream_close)
            }
            Side::Upstream => {
                ("proxy_on_upstream_connection_close", &self.exports.on_upstream_close)
            }
        };
        let callback = callback.clone();
        let _ = self.maybe(id, name, callback, (id, peer as u32));
        let other = match side {
            Side::Downstream => Side::Upstream,
            Side::Upstream => Side::Downstream,
        };
        let ends = envoy && side == Side::Downstream;
        if ends || self.side(id, other, |stretch| stretch.told_closed) {
            self.end_connection(id);
        }
    }

    /// The embedder lets go of it: whatever is open is closed by the proxy.
    pub(crate) fn drop_connection(&mut self, id: u32) {
        self.show_close(id, Side::Downstream, Peer::Local);
        self.show_close(id, Side::Upstream, Peer::Local);
        self.settle();
    }

    /// `proxy_continue_stream`, once the guest has returned.
    pub(super) fn flow_on(&mut self, id: u32, side: Side) {
        let Some(connection) = self.store.data_mut().connection_by_id(id) else {
            return;
        };
        let stretch = connection.side(side);
        if !std::mem::take(&mut stretch.resumed) {
            return;
        }
        let held = stretch.data.pass();
        stretch.released.extend_from_slice(&held);
        if side == Side::Downstream {
            connection.held = false;
        }
    }

    /// `proxy_close_stream`, once the guest has returned: the proxy closes the client's connection.
    pub(super) fn close_for_filter(&mut self, id: u32) {
        self.show_close(id, Side::Downstream, Peer::Local);
    }

    fn side<R: Default>(&mut self, id: u32, side: Side, look: impl FnOnce(&mut Stretch) -> R) -> R {
        let connection = self.store.data_mut().connection_by_id(id);
        connection.map_or_else(R::default, |connection| look(connection.side(side)))
    }

    /// What a connection gets that no plugin takes.
    pub(crate) fn connection_without_plugin<T>(&self, untouched: T) -> ConnectionOutcome<T> {
        match self.settings.failure_policy {
            FailurePolicy::Open => ConnectionOutcome::Continue(untouched),
            FailurePolicy::Closed | FailurePolicy::Reload { .. } => ConnectionOutcome::Closed,
        }
    }
}
