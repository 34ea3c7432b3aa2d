//! Requests that may run as one.

use std::collections::{BTreeMap, BTreeSet};

use super::Ticket;

/// The requests of one kind that wait and may be joined, by tenant.
#[derive(Debug, Default)]
pub(super) struct Company {
    rows: u64,
    by_flow: BTreeMap<usize, BTreeSet<Ticket>>,
}

impl Company {
    /// Rows of all of them.
    pub(super) const fn rows(&self) -> u64 {
        self.rows
    }

    pub(super) fn is_empty(&self) -> bool {
        self.by_flow.is_empty()
    }

    pub(super) fn insert(&mut self, flow: usize, ticket: Ticket, rows: u64) {
        if self.by_flow.entry(flow).or_default().insert(ticket) {
            self.rows += rows;
        }
    }

    pub(super) fn remove(&mut self, flow: usize, ticket: Ticket, rows: u64) {
        let Some(tickets) = self.by_flow.get_mut(&flow) else { return };
        if tickets.remove(&ticket) {
            self.rows = self.rows.saturating_sub(rows);
        }
        if tickets.is_empty() {
            self.by_flow.remove(&flow);
        }
    }

    /// The first request of each tenant.
    pub(super) fn heads(&self) -> impl Iterator<Item = (usize, Ticket)> {
        self.by_flow.iter().filter_map(|(flow, tickets)| Some((*flow, *tickets.first()?)))
    }

    /// All of them.
    pub(super) fn tickets(&self) -> impl Iterator<Item = Ticket> {
        self.by_flow.values().flatten().copied()
    }
}
