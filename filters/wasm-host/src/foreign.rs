//! Functions that the embedder gives to guests by name.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use crate::Status;

type ForeignFunction = dyn Fn(&[u8]) -> Result<Vec<u8>, Status> + Send + Sync;

/// What `proxy_call_foreign_function` finds. The host does not read arguments or results.
#[derive(Clone, Default)]
pub(crate) struct ForeignFunctions {
    by_name: HashMap<Vec<u8>, Arc<ForeignFunction>>,
}

impl ForeignFunctions {
    pub(crate) fn insert(
        &mut self,
        name: &str,
        function: impl Fn(&[u8]) -> Result<Vec<u8>, Status> + Send + Sync + 'static,
    ) {
        self.by_name.insert(name.as_bytes().to_vec(), Arc::new(function));
    }

    pub(crate) fn find(&self, name: &[u8]) -> Option<Arc<ForeignFunction>> {
        self.by_name.get(name).map(Arc::clone)
    }
}

impl fmt::Debug for ForeignFunctions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set()
            .entries(self.by_name.keys().map(|name| String::from_utf8_lossy(name)))
            .finish()
    }
}
