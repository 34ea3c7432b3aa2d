//! Which models stay, and which one goes next.
//!
//! The least valuable goes first, by GreedyDual-Size (Cao and Irani, *Cost-aware WWW proxy caching
//! algorithms*, USITS 1997): a model is worth what loading it again would cost for each byte that it
//! takes, times its tier's weight, on top of what the last one that went was worth. So a model that
//! is not used is overtaken in time by whatever is, and of those used alike the cheapest to bring
//! back goes. Where all cost the same this is least recently used.
//!
//! Everything here is a value. Start with [`Residency::keep`].

mod footprint;
mod terms;

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    time::Duration,
};

use tenancy::TenantId;

pub use footprint::Footprint;
pub use terms::{ModelTerms, TenantTerms, Terms};

use crate::{ModelKey, Owner};

/// Loads that take less cost the same: what they take is noise.
const SHORTEST_LOAD: Duration = Duration::from_millis(1);

/// A model that finds no room.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NoRoom {
    /// It alone is larger than all there is.
    #[error(
        "expected a model of at most {budget:?}, the whole model memory of this node, found \
         {model:?}: raise the budget or serve the model elsewhere"
    )]
    Node {
        /// What the model takes.
        model: Footprint,
        /// What there is for all models.
        budget: Footprint,
    },
    /// It alone is larger than what its tenant may take.
    #[error(
        "expected a model of at most {ceiling_bytes} bytes, its tenant's ceiling, found \
         {model_bytes}: raise the ceiling"
    )]
    Tenant {
        /// What the model takes.
        model_bytes: u64,
        /// What its tenant may take.
        ceiling_bytes: u64,
    },
    /// What its tenant may take is taken by pinned models of its own.
    #[error(
        "expected room for a model of {model_bytes} bytes within its tenant's ceiling of \
         {ceiling_bytes}, found {pinned_bytes} of it pinned: raise the ceiling, or pin less"
    )]
    Pinned {
        /// What the model takes.
        model_bytes: u64,
        /// What its tenant may take.
        ceiling_bytes: u64,
        /// What the tenant's pinned models take.
        pinned_bytes: u64,
    },
    /// What would have to go is pinned, or within its tenant's floor.
    #[error(
        "expected room for a model of {model:?}, found all of it pinned or within tenants' floors: \
         raise the budget"
    )]
    Kept {
        /// What the model takes.
        model: Footprint,
    },
}

/// Models by their keys, within a budget.
#[derive(Debug)]
pub struct Residency<V> {
    budget: Footprint,
    held: Footprint,
    of_tenant: HashMap<TenantId, u64>,
    entries: HashMap<ModelKey, Entry<V>>,
    /// The least valuable first; of those worth the same, the one used longest ago.
    order: BTreeMap<(u128, u64), ModelKey>,
    /// What the last model that went was worth.
    level: u128,
    uses: u64,
    terms: Terms,
}

/// A model that went to make room.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Evicted<V> {
    /// Its key.
    pub key: ModelKey,
    /// What was kept under it.
    pub value: V,
    /// How long it took to load.
    pub load: Duration,
}

#[derive(Debug)]
struct Entry<V> {
    value: V,
    footprint: Footprint,
    load: Duration,
    place: (u128, u64),
}

impl<V> Residency<V> {
    /// An empty one.
    pub fn new(budget: Footprint) -> Self {
        Self {
            budget,
            held: Footprint::default(),
            of_tenant: HashMap::new(),
            entries: HashMap::new(),
            order: BTreeMap::new(),
            level: 0,
            uses: 0,
            terms: Terms::default(),
        }
    }

    /// What holds from now on. What is held stays until room is needed.
    pub fn set_terms(&mut self, terms: Terms) {
        self.terms = terms;
    }

    /// The model under `key`, which is used now.
    pub fn use_now(&mut self, key: &ModelKey) -> Option<&V> {
        let entry = self.entries.get(key)?;
        let place = self.worth(key, entry.footprint, entry.load);
        let entry = self.entries.get_mut(key)?;
        let before = std::mem::replace(&mut entry.place, place);
        let listed = self.order.remove(&before);
        self.order.extend(listed.map(|key| (place, key)));
        Some(&entry.value)
    }

    /// The model under `key`, which is not used for that.
    pub fn get(&self, key: &ModelKey) -> Option<&V> {
        self.entries.get(key).map(|entry| &entry.value)
    }

    /// Keeps a model that took `load` to load, in the place of the one under its key, and returns what
    /// else had to go for it: models of its own tenant where that is above its ceiling, and the least
    /// valuable of all where the budget is. What is pinned goes for neither.
    ///
    /// # Errors
    /// [`NoRoom`], and then nothing goes: what was there under the key stays.
    pub fn keep(
        &mut self,
        key: ModelKey,
        footprint: Footprint,
        load: Duration,
        value: V,
    ) -> Result<Vec<Evicted<V>>, NoRoom> {
        let going = self.what_goes_for(&key, footprint)?;
        self.remove(&key);
        let gone = going
            .into_iter()
            .filter_map(|key| {
                let Entry { value, load, place, .. } = self.take(&key)?;
                self.level = self.level.max(place.0);
                Some(Evicted { key, value, load })
            })
            .collect();
        let place = self.worth(&key, footprint, load);
        self.held += footprint;
        if let Owner::Tenant(tenant) = key.owner() {
            match self.of_tenant.get_mut(tenant) {
                Some(bytes) => *bytes += footprint.bytes(),
                None => _ = self.of_tenant.insert(tenant.clone(), footprint.bytes()),
            }
        }
        self.order.insert(place, key.clone());
        self.entries.insert(key, Entry { value, footprint, load, place });
        Ok(gone)
    }

    /// Drops a model.
    pub fn remove(&mut self, key: &ModelKey) -> Option<V> {
        self.take(key).map(|entry| entry.value)
    }

    /// Drops every model whose key `is_wanted` denies, and returns them.
    pub fn retain(&mut self, is_wanted: impl Fn(&ModelKey) -> bool) -> Vec<(ModelKey, V)> {
        let unwanted: Vec<ModelKey> =
            self.entries.keys().filter(|key| !is_wanted(key)).cloned().collect();
        unwanted.into_iter().filter_map(|key| Some((key.clone(), self.remove(&key)?))).collect()
    }

    /// Drops every model that `is_wanted` denies.
    pub fn retain_values(&mut self, is_wanted: impl Fn(&V) -> bool) {
        let unwanted = self.entries.iter().filter(|(_, entry)| !is_wanted(&entry.value));
        let unwanted: Vec<ModelKey> = unwanted.map(|(key, _)| key.clone()).collect();
        for key in unwanted {
            self.remove(&key);
        }
    }

    /// How many models there are.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// What they take together.
    pub const fn held(&self) -> Footprint {
        self.held
    }

    /// What they may take together.
    pub const fn budget(&self) -> Footprint {
        self.budget
    }

    /// What each tenant's own models take, in bytes.
    pub fn by_tenant(&self) -> impl Iterator<Item = (&TenantId, u64)> {
        self.of_tenant.iter().map(|(tenant, bytes)| (tenant, *bytes))
    }

    fn take(&mut self, key: &ModelKey) -> Option<Entry<V>> {
        let entry = self.entries.remove(key)?;
        self.order.remove(&entry.place);
        self.held -= entry.footprint;
        if let Owner::Tenant(tenant) = key.owner()
            && let Some(bytes) = self.of_tenant.get_mut(tenant)
        {
            *bytes = bytes.saturating_sub(entry.footprint.bytes());
            if *bytes == 0 {
                self.of_tenant.remove(tenant);
            }
        }
        Some(entry)
    }

    /// The models that make room for `model`. What is under `key` itself is none of them: it is
    /// replaced, and counted as gone.
    fn what_goes_for(
        &self,
        key: &ModelKey,
        model: Footprint,
    ) -> Result<BTreeSet<ModelKey>, NoRoom> {
        if !model.fits(&self.budget) {
            return Err(NoRoom::Node { model, budget: self.budget });
        }
        let mut going = self.what_goes_for_the_ceiling(key, model)?;
        let mut held = self.held + model;
        let mut of_tenant = HashMap::new();
        for key in going.iter().chain([key]) {
            self.without(key, &mut held, &mut of_tenant);
        }
        for candidate in self.order.values().filter(|it| *it != key) {
            if held.fits(&self.budget) {
                break;
            }
            let Some(entry) = self.entries.get(candidate) else { continue };
            let helps = held.passes_less_without(&entry.footprint, &self.budget);
            if !helps || going.contains(candidate) || !self.may_go(key, candidate, &of_tenant) {
                continue;
            }
            self.without(candidate, &mut held, &mut of_tenant);
            going.insert(candidate.clone());
        }
        if held.fits(&self.budget) { Ok(going) } else { Err(NoRoom::Kept { model }) }
    }

    fn what_goes_for_the_ceiling(
        &self,
        key: &ModelKey,
        model: Footprint,
    ) -> Result<BTreeSet<ModelKey>, NoRoom> {
        let mut going = BTreeSet::new();
        let Owner::Tenant(tenant) = key.owner() else { return Ok(going) };
        let Some(ceiling_bytes) = self.terms.tenant(tenant).ceiling_bytes else { return Ok(going) };
        let model_bytes = model.bytes();
        if model_bytes > ceiling_bytes {
            return Err(NoRoom::Tenant { model_bytes, ceiling_bytes });
        }
        let held = self.of_tenant.get(tenant).copied().unwrap_or_default();
        let mut others_bytes = held.saturating_sub(self.bytes_of(key));
        let fits = |others_bytes: u64| others_bytes.saturating_add(model_bytes) <= ceiling_bytes;
        let may_go = |it: &&ModelKey| {
            it.owner() == key.owner() && *it != key && !self.terms.model(it).pinned
        };
        for candidate in self.order.values().filter(may_go) {
            if fits(others_bytes) {
                break;
            }
            others_bytes = others_bytes.saturating_sub(self.bytes_of(candidate));
            going.insert(candidate.clone());
        }
        if fits(others_bytes) {
            return Ok(going);
        }
        // What is left of the others is pinned.
        Err(NoRoom::Pinned { model_bytes, ceiling_bytes, pinned_bytes: others_bytes })
    }

    /// What the model under `key` takes, in bytes of all kinds.
    fn bytes_of(&self, key: &ModelKey) -> u64 {
        self.entries.get(key).map_or(0, |entry| entry.footprint.bytes())
    }

    /// Whether `candidate` may go for `key`: it is not pinned, and its tenant stays above its floor
    /// or makes room for itself.
    fn may_go(
        &self,
        key: &ModelKey,
        candidate: &ModelKey,
        gone_of_tenant: &HashMap<&TenantId, u64>,
    ) -> bool {
        if self.terms.model(candidate).pinned {
            return false;
        }
        let Owner::Tenant(tenant) = candidate.owner() else { return true };
        if key.owner() == candidate.owner() {
            return true;
        }
        let floor = self.terms.tenant(tenant).floor_bytes;
        let bytes = self.bytes_of(candidate);
        let held = self.of_tenant.get(tenant).copied().unwrap_or_default();
        let gone = gone_of_tenant.get(tenant).copied().unwrap_or_default();
        held.saturating_sub(gone).saturating_sub(bytes) >= floor
    }

    fn without<'a>(
        &'a self,
        key: &ModelKey,
        held: &mut Footprint,
        gone_of_tenant: &mut HashMap<&'a TenantId, u64>,
    ) {
        let Some((key, entry)) = self.entries.get_key_value(key) else { return };
        *held -= entry.footprint;
        if let Owner::Tenant(tenant) = key.owner() {
            *gone_of_tenant.entry(tenant).or_default() += entry.footprint.bytes();
        }
    }

    /// What a model that is used now is worth, and the number of this use.
    fn worth(&mut self, key: &ModelKey, footprint: Footprint, load: Duration) -> (u128, u64) {
        self.uses += 1;
        let load = load.max(SHORTEST_LOAD).as_micros().next_power_of_two();
        let weight = u128::from(self.terms.model(key).weight.max(1));
        let bytes = u128::from(footprint.bytes().max(1));
        (self.level.saturating_add(((load * weight) << 32) / bytes), self.uses)
    }
}
