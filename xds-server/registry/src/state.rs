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

/// Under which name the journal keeps what ships with a release.
const SHIPPER: &str = "bulkhead";

/// The registry at one entry of its journal.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct State {
    /// The last entry that is part of it; 0 for an empty journal.
    pub seq: u64,
    /// The last entry of the newest change set; 0 where there is none. Entries after it change no
    /// resource.
    pub changed_seq: u64,
    /// Every resource, by kind and name. Their origins are journal entries.
    pub resources: BTreeMap<(Kind, String), Arc<Resource>>,
    /// The resources that shipped with a release, as they shipped.
    pub shipped: BTreeMap<(Kind, String), Arc<Resource>>,
    /// The artifacts that were stored, with their sizes in bytes.
    pub artifacts: BTreeMap<Digest, u64>,
    /// The revision of the gate's table that the journal names last.
    pub revision: Option<String>,
    /// The start of a trial on some proxies that has not ended.
    pub canary: Option<u64>,
    /// What the resources mean.
    pub resolved: Arc<Resolved>,
}

/// What one entry changed a resource from and to.
#[derive(Debug)]
pub(crate) struct Changed {
    pub(crate) before: Option<Arc<Resource>>,
    pub(crate) after: Option<Arc<Resource>>,
}

impl State {
    /// The resource of this kind and name.
    pub fn resource(&self, kind: Kind, name: &str) -> Option<&Arc<Resource>> {
        self.resources.get(&(kind, name.to_owned()))
    }

    /// Whether the resource is there as it shipped, changed by nobody.
    pub fn is_as_shipped(&self, kind: Kind, name: &str) -> bool {
        let key = (kind, name.to_owned());
        let json = |found: &BTreeMap<(Kind, String), Arc<Resource>>| {
            found.get(&key).map(|resource| resource.to_json())
        };
        self.shipped.contains_key(&key) && json(&self.shipped) == json(&self.resources)
    }

    /// Takes one more event, and returns what it changed a resource from and to, where it did.
    /// `resolved` is left as it is: see [`State::resolve`].
    pub(crate) fn fold(
        &mut self,
        seq: u64,
        actor: &str,
        event: Event,
    ) -> Result<Option<Changed>, String> {
        let mut changed = None;
        match event {
            Event::ResourceApplied(event) => {
                let resource = Arc::new(stored::read(seq, event.resource)?);
                let key = (resource.kind(), resource.name().to_owned());
                if actor == SHIPPER {
                    self.shipped.insert(key.clone(), Arc::clone(&resource));
                }
                let before = self.resources.insert(key, Arc::clone(&resource));
                changed = Some(Changed { before, after: Some(resource) });
                self.changed_seq = seq;
            }
            Event::ResourceDeleted(event) => {
                let before = self.resources.remove(&(event.kind, event.name));
                changed = Some(Changed { before, after: None });
                self.changed_seq = seq;
            }
            Event::ChangeSetCommitted(event) => {
                self.changed_seq = seq;
                if event.revision.is_some() {
                    self.revision = event.revision;
                }
            }
            Event::RevisionPublished(event) => self.revision = Some(event.revision),
            Event::CanaryStarted(_) => self.canary = Some(seq),
            Event::CanaryEnded(_) => self.canary = None,
            Event::ArtifactStored(event) => {
                self.artifacts.insert(event.digest, event.bytes);
            }
        }
        self.seq = seq;
        Ok(changed)
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
