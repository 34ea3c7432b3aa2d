//! Queues that VMs share, by name.

use std::collections::{HashMap, VecDeque};
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::Status;

/// All queues together hold no more than this; a guest that wants more is told that the host failed.
const MAX_BYTES: usize = 64 * 1024 * 1024;
/// What one item costs beside its bytes, so that empty items are bounded too.
const ITEM_BYTES: usize = 64;
/// What a VM is to be told of is kept up to here; beyond it, it finds the items when it looks.
const MAX_READY: usize = 65_536;
/// As many queues as anyone has names for.
const MAX_QUEUES: usize = 4096;

/// The queues behind `proxy_register_shared_queue` and its neighbours.
///
/// As in Envoy there is one set of them in the process: give clones of one handle to several VMs. The
/// VM that registered a queue last is told of each item (`proxy_on_queue_ready`): at the end of the
/// call in which it was put there, where the VM told itself; else when that VM does something next, or
/// [`Vm::run_due`](crate::Vm::run_due) is called.
#[derive(Clone, Default)]
pub struct SharedQueues {
    store: Arc<Mutex<Store>>,
}

#[derive(Default)]
struct Store {
    /// By vm id and name.
    ids: HashMap<(Vec<u8>, Vec<u8>), u32>,
    queues: HashMap<u32, Queue>,
    /// What each member is to be told: a root context, and a queue that has something.
    inboxes: HashMap<u64, VecDeque<(u32, u32)>>,
    last_member: u64,
    bytes: usize,
}

#[derive(Default)]
struct Queue {
    items: VecDeque<Vec<u8>>,
    member: u64,
    root: u32,
}

/// One VM's place among those that share queues. It is given up when the VM goes.
pub(crate) struct Membership {
    queues: SharedQueues,
    member: u64,
}

impl SharedQueues {
    /// No queues.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// How many items the queue `name` of VMs of `vm_id` has; `None` where nobody registered it.
    #[must_use]
    pub fn len(&self, vm_id: &str, name: &str) -> Option<usize> {
        let store = self.lock();
        let id = store.ids.get(&(vm_id.into(), name.into()))?;
        store.queues.get(id).map(|queue| queue.items.len())
    }

    pub(crate) fn join(&self) -> Membership {
        let mut store = self.lock();
        store.last_member += 1;
        let member = store.last_member;
        store.inboxes.insert(member, VecDeque::new());
        Membership { queues: self.clone(), member }
    }

    fn lock(&self) -> MutexGuard<'_, Store> {
        self.store.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Membership {
    /// Opens or makes the queue, and asks to be told of its items in this root context.
    pub(crate) fn register(&self, vm_id: &str, name: &[u8], root: u32) -> Result<u32, Status> {
        let mut guard = self.queues.lock();
        let store = &mut *guard;
        let key = (vm_id.into(), name.to_vec());
        let id = match store.ids.get(&key) {
            Some(id) => *id,
            None if store.ids.len() >= MAX_QUEUES => return Err(Status::InternalFailure),
            None => {
                let id = u32::try_from(store.ids.len() + 1).map_err(|_| Status::InternalFailure)?;
                store.ids.insert(key, id);
                id
            }
        };
        let queue = store.queues.entry(id).or_default();
        queue.member = self.member;
        queue.root = root;
        Ok(id)
    }

    pub(crate) fn resolve(&self, vm_id: &[u8], name: &[u8]) -> Result<u32, Status> {
        let key = (vm_id.to_vec(), name.to_vec());
        self.queues.lock().ids.get(&key).copied().ok_or(Status::NotFound)
    }

    pub(crate) fn enqueue(&self, id: u32, item: Vec<u8>) -> Result<(), Status> {
        let mut guard = self.queues.lock();
        let store = &mut *guard;
        let queue = store.queues.get_mut(&id).ok_or(Status::NotFound)?;
        let bytes = store.bytes.saturating_add(item.len()).saturating_add(ITEM_BYTES);
        if bytes > MAX_BYTES {
            return Err(Status::InternalFailure);
        }
        store.bytes = bytes;
        queue.items.push_back(item);
        // A member that is gone is told nothing; what it registered stays.
        if let Some(inbox) = store.inboxes.get_mut(&queue.member)
            && inbox.len() < MAX_READY
        {
            inbox.push_back((queue.root, id));
        }
        Ok(())
    }

    pub(crate) fn dequeue(&self, id: u32) -> Result<Vec<u8>, Status> {
        let mut guard = self.queues.lock();
        let store = &mut *guard;
        let queue = store.queues.get_mut(&id).ok_or(Status::NotFound)?;
        let item = queue.items.pop_front().ok_or(Status::Empty)?;
        store.bytes = store.bytes.saturating_sub(item.len() + ITEM_BYTES);
        Ok(item)
    }

    /// What this VM is to be told next.
    pub(crate) fn next_ready(&self) -> Option<(u32, u32)> {
        self.queues.lock().inboxes.get_mut(&self.member)?.pop_front()
    }

    /// How much this VM is to be told by now.
    pub(crate) fn ready(&self) -> usize {
        self.queues.lock().inboxes.get(&self.member).map_or(0, VecDeque::len)
    }
}

impl Drop for Membership {
    fn drop(&mut self) {
        self.queues.lock().inboxes.remove(&self.member);
    }
}

impl fmt::Debug for Membership {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Membership").field("member", &self.member).finish_non_exhaustive()
    }
}

impl fmt::Debug for SharedQueues {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let store = self.lock();
        let names = store.ids.keys().map(|(vm_id, name)| {
            (
                String::from_utf8_lossy(vm_id).into_owned(),
                String::from_utf8_lossy(name).into_owned(),
            )
        });
        f.debug_list().entries(names).finish()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests fail by panicking")]

    use super::{MAX_BYTES, SharedQueues};
    use crate::Status;

    #[test]
    fn items_come_out_in_the_order_in_which_they_went_in() {
        let queues = SharedQueues::new();
        let member = queues.join();
        let id = member.register("vm", b"q", 1).unwrap();
        member.enqueue(id, b"one".to_vec()).unwrap();
        member.enqueue(id, b"two".to_vec()).unwrap();
        assert_eq!(queues.len("vm", "q"), Some(2));
        assert_eq!(member.dequeue(id), Ok(b"one".to_vec()));
        assert_eq!(member.dequeue(id), Ok(b"two".to_vec()));
        assert_eq!(member.dequeue(id), Err(Status::Empty));
    }

    #[test]
    fn who_registered_last_is_told_and_who_is_gone_is_not() {
        let queues = SharedQueues::new();
        let (first, second) = (queues.join(), queues.join());
        let id = first.register("vm", b"q", 1).unwrap();
        assert_eq!(second.register("vm", b"q", 7), Ok(id));
        first.enqueue(id, vec![]).unwrap();
        assert_eq!(first.next_ready(), None);
        assert_eq!(second.next_ready(), Some((7, id)));
        drop(second);
        assert_eq!(first.enqueue(id, vec![]), Ok(()));
        assert_eq!(first.next_ready(), None);
    }

    #[test]
    fn queues_are_bounded_in_bytes_and_dequeuing_makes_room() {
        let member = SharedQueues::new().join();
        let id = member.register("vm", b"q", 1).unwrap();
        member.enqueue(id, vec![0; MAX_BYTES - 64]).unwrap();
        assert_eq!(member.enqueue(id, vec![]), Err(Status::InternalFailure));
        member.dequeue(id).unwrap();
        assert_eq!(member.enqueue(id, vec![]), Ok(()));
    }
}
