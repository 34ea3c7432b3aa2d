//! What tenants and models are granted of a node's memory, as the cache takes it.

use scheduler::residency::{ModelTerms, TenantTerms, Terms};

use crate::{assignments::Table, provenance};

/// What they are granted of this process's memory, and of the device's. A model that several tenants
/// share is pinned where one of them is, and weighs as much as the one that weighs most; so does what
/// adapters are made over.
pub(super) fn of(table: &Table) -> (Terms, Terms) {
    let (mut terms, mut device) = (Terms::default(), Terms::default());
    for (tenant, given) in table.by_tenant() {
        let memory = given.memory;
        let (floor_bytes, ceiling_bytes) = (memory.floor_bytes, memory.ceiling_bytes);
        let own = TenantTerms { floor_bytes, ceiling_bytes };
        let on_device = TenantTerms {
            floor_bytes: memory.device_floor_bytes,
            ceiling_bytes: memory.device_ceiling_bytes,
        };
        for (terms, granted) in [(&mut terms, own), (&mut device, on_device)] {
            if granted != TenantTerms::default() {
                terms.tenants.insert(tenant.clone(), granted);
            }
        }
        if !memory.pinned && given.share.weight <= 1 {
            continue;
        }
        for key in given.defaults().flat_map(|assigned| provenance::keys(assigned)) {
            let of_model: &mut ModelTerms = terms.models.entry(key).or_default();
            of_model.pinned |= memory.pinned;
            of_model.weight = of_model.weight.max(given.share.weight);
        }
    }
    // Pinned is a promise of this process's memory: what a device holds is a copy.
    for (key, of_model) in &terms.models {
        device.models.insert(key.clone(), ModelTerms { pinned: false, ..*of_model });
    }
    (terms, device)
}
