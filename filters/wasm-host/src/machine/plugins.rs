//! Root contexts: how a plugin begins, is replaced, and goes.

use std::sync::Arc;

use super::{Machine, number};
use crate::Dialect;
use crate::contexts::{Context, RootContext, RootLife};
use crate::error::VmError;

impl Machine {
    /// Gives the guest one configuration in a root context of its own.
    pub(crate) fn start_plugin(&mut self, configuration: &Arc<[u8]>) -> Result<u32, VmError> {
        let id = self.next_context();
        let root = RootContext::new(Arc::clone(configuration));
        self.store.data_mut().contexts.insert(id, Context::Root(root));
        self.set_configuring(id, true);
        let create = self.exports.on_context_create.clone();
        self.maybe(id, "proxy_on_context_create", create, (id, 0))
            .map_err(|trap| self.trapped(trap))?;
        self.set_configuring(id, false);
        let size = number(self.settings.vm_configuration.len());
        let start = self.exports.on_vm_start.clone();
        let started = self
            .maybe(id, "proxy_on_vm_start", start, (id, size))
            .map_err(|trap| self.trapped(trap))?;
        if started == Some(0) {
            let said = self.settings.logs.said();
            return Err(VmError::StartRefused { said });
        }
        self.set_configuring(id, true);
        let configure = self.exports.on_configure.clone();
        let size = number(configuration.len());
        let configured = self
            .maybe(id, "proxy_on_configure", configure, (id, size))
            .map_err(|trap| self.trapped(trap))?;
        self.set_configuring(id, false);
        if configured == Some(0) {
            let said = self.settings.logs.said();
            return Err(VmError::ConfigurationRefused { said });
        }
        self.settle();
        Ok(id)
    }

    /// Makes `new` the plugin that takes streams; the old one goes when its last stream has gone.
    pub(crate) fn replace_plugin(&mut self, new: Option<u32>) {
        let old = std::mem::replace(&mut self.plugin, new);
        if let Some(old) = old {
            if let Some(root) = self.store.data_mut().root_by_id(old) {
                root.life = RootLife::Replaced;
            }
            self.retire_if_unused(old);
        }
        self.settle();
    }

    /// Ends every plugin, whether it has streams or not; whether all were done at once.
    pub(crate) fn shut_down(&mut self) -> bool {
        self.plugin = None;
        let contexts = self.store.data().contexts.iter();
        let roots = contexts.filter_map(|(id, context)| match context {
            Context::Root(root) if root.life != RootLife::AwaitingDone => Some(*id),
            _ => None,
        });
        let mut roots: Vec<u32> = roots.collect();
        roots.sort_unstable();
        for root in roots {
            self.end_root(root);
        }
        self.settle();
        let mut contexts = self.store.data().contexts.values();
        !contexts.any(|context| matches!(context, Context::Root(_)))
    }

    pub(super) fn retire_if_unused(&mut self, id: u32) {
        let unused = self
            .store
            .data_mut()
            .root_by_id(id)
            .is_some_and(|root| root.life == RootLife::Replaced && root.open_streams == 0);
        if unused {
            self.end_root(id);
        }
    }

    fn end_root(&mut self, id: u32) {
        let done = self.exports.on_done.clone();
        match self.maybe(id, "proxy_on_done", done, id) {
            Ok(Some(0)) => {
                if let Some(root) = self.store.data_mut().root_by_id(id) {
                    root.life = RootLife::AwaitingDone;
                }
            }
            _ => self.delete_root(id),
        }
    }

    pub(super) fn delete_root(&mut self, id: u32) {
        if self.settings.dialect == Dialect::Specification {
            let log = self.exports.on_log.clone();
            let _ = self.maybe(id, "proxy_on_log", log, id);
        }
        let delete = self.exports.on_delete.clone();
        let _ = self.maybe(id, "proxy_on_delete", delete, id);
        let state = self.store.data_mut();
        state.contexts.remove(&id);
        state.callouts.cancel_of(id);
    }

    fn set_configuring(&mut self, id: u32, configuring: bool) {
        if let Some(root) = self.store.data_mut().root_by_id(id) {
            root.configuring = configuring;
        }
    }
}
