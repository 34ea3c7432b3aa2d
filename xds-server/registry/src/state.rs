//! What the journal amounts to.

use std::{collections::BTreeMap, sync::Arc};

use policy_model::{
    compile::{Compiled, compile},
    diagnostic::Diagnostics,
    resolved::Resolved,
    spec::{Kind, Resource},
};
use tenancy::Digest;

use crate::{event::Event, stored};

/// The registry at one entry of its journal.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct State {
    /// The last entry that is part of it; 0 for an empty journal.
    pub seq: u64,
    /// Every resource, by kind and name. Their origins are journal entries.
    pub resources: BTreeMap<(Kind, String), Arc<Resource>>,
    /// The artifacts that were stored, with their sizes in bytes.
    pub artifacts: BTreeMap<Digest, u64>,
    /// What the resources mean.
    pub resolved: Arc<Resolved>,
}

impl State {
    /// The resource of this kind and name.
    pub fn resource(&self, kind: Kind, name: &str) -> Option<&Arc<Resource>> {
        self.resources.get(&(kind, name.to_owned()))
    }

    /// Takes one more event. `resolved` is left as it is: see [`State::resolve`].
    pub(crate) fn fold(&mut self, seq: u64, event: Event) -> Result<(), String> {
        match event {
            Event::ResourceApplied { resource } => {
                let resource = stored::read(seq, resource)?;
                let key = (resource.kind(), resource.name().to_owned());
                self.resources.insert(key, Arc::new(resource));
            }
            Event::ResourceDeleted { kind, name } => {
                self.resources.remove(&(kind, name));
            }
            Event::ArtifactStored { digest, bytes } => {
                self.artifacts.insert(digest, bytes);
            }
        }
        self.seq = seq;
        Ok(())
    }

    /// Compiles the resources.
    pub(crate) fn resolve(&mut self) -> Result<(), Diagnostics> {
        let resources: Vec<Resource> =
            self.resources.values().map(|resource| resource.as_ref().clone()).collect();
        let Compiled { resolved, .. } = compile(&resources)?;
        self.resolved = Arc::new(resolved);
        Ok(())
    }
}
