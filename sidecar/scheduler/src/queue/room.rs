//! Who makes room for whom.
//!
//! All tenants wait in one room of so many requests and so many bytes. One alone may fill it. Where it
//! is full, what comes goes in the place of those who have more of it than its own tenant would have.
//! Bytes are divided by weight: with `B` of them in all, `W` the weights of those who wait and `w` its
//! own, a tenant that waits with no more than its part, `B * w / W`, is neither refused nor put out for
//! bytes. For if the room is full with such a request, then some other tenant has more than its part,
//! and whoever has the most of all for its weight has.

use std::{collections::BinaryHeap, hash::Hash};

use super::{Queue, Refused, Ticket};

impl<K: Clone + Eq + Hash, T> Queue<K, T> {
    /// Makes room for a request of `bytes` of the tenant at `at`, where it may have it.
    pub(super) fn make_room(&mut self, at: usize, bytes: u64) -> Result<(), Refused> {
        self.may_wait_with_more(at)?;
        let put_out = self.put_out_for_bytes(at, bytes)?;
        if put_out.is_empty() {
            return self.make_room_for_one(at);
        }
        // Whose place there was in bytes there is in requests too.
        let full = Refused::BytesFull { most: self.room.bytes };
        for ticket in put_out {
            self.put_out(ticket, full);
        }
        Ok(())
    }

    fn may_wait_with_more(&self, at: usize) -> Result<(), Refused> {
        let Some(flow) = self.flows.get(at) else { return Ok(()) };
        let most = flow.share.waiting;
        if flow.waiting() >= most as usize { Err(Refused::TenantFull { most }) } else { Ok(()) }
    }

    fn make_room_for_one(&mut self, at: usize) -> Result<(), Refused> {
        if self.waiting.len() < self.room.requests {
            return Ok(());
        }
        let full = Refused::Full { most: self.room.requests };
        let waiting = self.flows.get(at).map_or(0, |flow| flow.waiting());
        let longest = self.flows.iter().max_by_key(|flow| flow.waiting()).ok_or(full)?;
        if longest.waiting() <= waiting + 1 {
            return Err(full);
        }
        let newest = longest.newest(None).ok_or(full)?;
        self.put_out(newest, full);
        Ok(())
    }

    fn put_out(&mut self, ticket: Ticket, refused: Refused) {
        let waiting = self.take(ticket);
        self.refused.extend(waiting.map(|it| (it.request.payload, refused)));
    }

    /// What has to go so that `bytes` more of the tenant at `at` fit: the newest of whoever has the
    /// most for its weight, again and again, and nothing of those that have no more than this tenant
    /// would.
    fn put_out_for_bytes(&self, at: usize, bytes: u64) -> Result<Vec<Ticket>, Refused> {
        let most = self.room.bytes;
        if bytes > most {
            return Err(Refused::TooLarge { bytes, most });
        }
        let mut excess = self.bytes.saturating_add(bytes).saturating_sub(most);
        let mut put_out = vec![];
        let Some(own) = self.flows.get(at) else { return Ok(put_out) };
        if excess == 0 {
            return Ok(put_out);
        }
        let would_have = own.load(own.bytes.saturating_add(bytes));
        let others = self.flows.iter().enumerate().filter(|(other, _)| *other != at);
        let mut others: BinaryHeap<Candidate> = others
            .map(|(other, flow)| Candidate {
                load: flow.load(flow.bytes),
                at: other,
                bytes: flow.bytes,
                end: None,
            })
            .filter(|other| other.load > would_have)
            .collect();
        while excess > 0 {
            let full = Refused::BytesFull { most };
            let most_loaded = others.pop().filter(|it| it.load > would_have).ok_or(full)?;
            let Some(flow) = self.flows.get(most_loaded.at) else { continue };
            let Some(newest) = flow.newest(most_loaded.end) else { continue };
            let freed = self.waiting.get(&newest).map_or(0, |it| it.request.bytes);
            if freed > 0 {
                excess = excess.saturating_sub(freed);
                put_out.push(newest);
            }
            let bytes = most_loaded.bytes.saturating_sub(freed);
            let (load, end) = (flow.load(bytes), Some(newest));
            others.push(Candidate { load, bytes, end, ..most_loaded });
        }
        Ok(put_out)
    }
}

/// A tenant that may have to make room.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Candidate {
    /// What it has for its weight, without what of it goes.
    load: u128,
    at: usize,
    /// What it has, likewise.
    bytes: u64,
    /// What goes of it is this request and later ones.
    end: Option<Ticket>,
}
