//! How stream contexts begin and end: `proxy_on_context_create`, then done, log and delete.

use super::Machine;
use crate::Dialect;
use crate::contexts::connection::ConnectionContext;
use crate::contexts::exchange::StreamContext;
use crate::contexts::{Context, Origin, RootLife, StreamLife};
use crate::settings::Properties;

impl Machine {
    /// Opens an exchange on the current plugin; `None` where there is none. Where the guest traps,
    /// the first phase says so.
    pub(crate) fn open_stream(&mut self, properties: Properties) -> Option<u32> {
        self.open(properties, |origin| Context::Http(Box::new(StreamContext::new(origin))))
    }

    /// Opens a connection on the current plugin.
    pub(super) fn open_connection(&mut self, properties: Properties) -> Option<u32> {
        self.open(properties, |origin| Context::Tcp(Box::new(ConnectionContext::new(origin))))
    }

    fn open(&mut self, given: Properties, make: impl FnOnce(Origin) -> Context) -> Option<u32> {
        let root = self.plugin?;
        let id = self.next_context();
        let origin = Origin::new(root, given, self.settings.clock.now());
        let state = self.store.data_mut();
        state.contexts.insert(id, make(origin));
        if let Some(root) = state.root_by_id(root) {
            root.open_streams += 1;
        }
        let create = self.exports.on_context_create.clone();
        let _ = self.maybe(id, "proxy_on_context_create", create, (id, root));
        Some(id)
    }

    /// The exchange is over. Envoy writes its access log first; the specification last.
    pub(crate) fn close_stream(&mut self, id: u32) {
        if let Some(stream) = self.store.data_mut().stream_by_id(id) {
            stream.logging = true;
        }
        if self.settings.dialect == Dialect::Envoy {
            self.tell_log(id);
            // Envoy deletes a stream's context whatever the guest answers.
            self.tell_done(id);
            self.delete_stream(id);
        } else {
            self.done_log_delete(id);
        }
        self.settle();
    }

    /// The connection is over. The access log comes after done here, in Envoy too.
    pub(super) fn end_connection(&mut self, id: u32) {
        if self.store.data_mut().connection_by_id(id).is_some() {
            if self.settings.dialect == Dialect::Envoy {
                self.tell_done(id);
                self.tell_log(id);
                self.delete_stream(id);
            } else {
                self.done_log_delete(id);
            }
        }
    }

    /// The guest called `proxy_done` for a context that was waiting for it.
    pub(super) fn finish(&mut self, id: u32) {
        let context = self.store.data_mut().contexts.get(&id);
        match context {
            Some(Context::Root(root)) if root.life == RootLife::Done => self.delete_root(id),
            Some(Context::Http(_) | Context::Tcp(_)) => {
                self.tell_log(id);
                self.delete_stream(id);
            }
            _ => {}
        }
    }

    fn done_log_delete(&mut self, id: u32) {
        if self.tell_done(id) {
            self.tell_log(id);
            self.delete_stream(id);
        } else if let Some(context) = self.store.data_mut().contexts.get_mut(&id)
            && let Some(origin) = context.origin_mut()
        {
            origin.life = StreamLife::AwaitingDone;
        }
    }

    // A trap in what follows is kept as the VM's failure; there is nobody left to tell in the stream.

    fn tell_log(&mut self, id: u32) {
        let log = self.exports.on_log.clone();
        let _ = self.maybe(id, "proxy_on_log", log, id);
    }

    /// Whether the guest is done with it.
    fn tell_done(&mut self, id: u32) -> bool {
        let done = self.exports.on_done.clone();
        !matches!(self.maybe(id, "proxy_on_done", done, id), Ok(Some(0)))
    }

    fn delete_stream(&mut self, id: u32) {
        let delete = self.exports.on_delete.clone();
        let _ = self.maybe(id, "proxy_on_delete", delete, id);
        let Some(context) = self.store.data_mut().contexts.remove(&id) else {
            return;
        };
        let Some(origin) = context.origin() else {
            return;
        };
        if let Some(root) = self.store.data_mut().root_by_id(origin.root) {
            root.open_streams = root.open_streams.saturating_sub(1);
        }
        self.retire_if_unused(origin.root);
    }
}
