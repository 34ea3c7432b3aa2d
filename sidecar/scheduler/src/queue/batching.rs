//! Requests that run as one.

use std::{collections::BTreeSet, hash::Hash, time::Duration};

use super::{
    Batch, Join, Lane, Member, Part, Queue, Request, Run, RunId, Ticket, Time, Waiting, is_in,
    tag::Tag,
};

/// An execution that is being put together.
struct Filling<T> {
    members: Vec<Member<T>>,
    parts: Vec<Part>,
    flows: BTreeSet<usize>,
    rows: u64,
    /// How many of them are of tenants that the lane is for.
    rows_in_lane: u64,
}

impl<K: Clone + Eq + Hash, T> Queue<K, T> {
    /// Until when a new request waits for company, where it does. It joins the company of its kind.
    pub(super) fn hold(
        &mut self,
        at: usize,
        ticket: Ticket,
        now: Time,
        request: &Request<K, T>,
    ) -> Option<Time> {
        let Join { max_rows, wait } = request.join?;
        let company = self.companies.entry(request.kind.clone()).or_default();
        company.insert(at, ticket, request.rows);
        if company.rows() < max_rows && !wait.is_zero() {
            return Some(now + wait);
        }
        let complete: Vec<Ticket> = company.tickets().collect();
        complete.into_iter().for_each(|ticket| self.end_hold(ticket));
        None
    }

    /// Lets those run that have waited for company for as long as they may.
    pub(super) fn end_holding(&mut self, now: Time) {
        while let Some((until, _)) = self.held.first()
            && *until <= now
            && let Some((_, ticket)) = self.held.pop_first()
        {
            self.end_hold(ticket);
        }
    }

    fn end_hold(&mut self, ticket: Ticket) {
        let Some(waiting) = self.waiting.get_mut(&ticket) else { return };
        let Some(until) = waiting.held_until.take() else { return };
        let at = waiting.flow;
        self.held.remove(&(until, ticket));
        self.change(at, |flow| {
            flow.held.remove(&ticket);
            flow.due.insert(ticket);
        });
    }

    /// Begins an execution of `first` and of what may run with it: as many rows as fit, in the order
    /// of fairness among their tenants, none of which runs more at once than it may.
    pub(super) fn start(&mut self, now: Time, lane: Lane, first: Waiting<K, T>) -> Batch<T> {
        let (kind, join) = (first.request.kind.clone(), first.request.join);
        let mut filling = Filling {
            members: vec![],
            parts: vec![],
            flows: BTreeSet::new(),
            rows: 0,
            rows_in_lane: 0,
        };
        self.add(now, &mut filling, first);
        filling.rows_in_lane = filling.rows;
        while let Some(join) = join
            && let Some((ticket, is_in_lane)) = self.companion(now, lane, &kind, join, &filling)
            && let Some(waiting) = self.take(ticket)
        {
            match self.too_late(now, &waiting.request) {
                Some(refused) => self.refused.push((waiting.request.payload, refused)),
                None => {
                    filling.rows_in_lane += if is_in_lane { waiting.request.rows } else { 0 };
                    self.add(now, &mut filling, waiting);
                }
            }
        }
        let id = RunId(self.name());
        let Filling { members, parts, rows, .. } = filling;
        self.running.insert(id, Run { kind, rows, parts });
        Batch { id, members }
    }

    fn add(&mut self, now: Time, filling: &mut Filling<T>, waiting: Waiting<K, T>) {
        let Waiting { flow, request, arrived, .. } = waiting;
        let charged = self.costs.charge(&request.kind, request.rows);
        let is_first = filling.flows.insert(flow);
        self.change(flow, |flow| {
            flow.tag = flow.tag.after(charged, flow.share);
            flow.credit.take(charged);
            flow.running += u32::from(is_first);
        });
        filling.rows += request.rows;
        filling.parts.push(Part { flow, rows: request.rows, charged });
        let waited: Duration = now.saturating_sub(arrived);
        let Request { tenant, rows, payload, .. } = request;
        filling.members.push(Member { tenant, rows, waited, payload });
    }

    /// The next request for what is being put together, and whether the lane is for its tenant. Who is
    /// beyond its part rides along where that makes the others wait hardly longer.
    fn companion(
        &mut self,
        now: Time,
        lane: Lane,
        kind: &K,
        join: Join,
        filling: &Filling<T>,
    ) -> Option<(Ticket, bool)> {
        let company = self.companies.get(kind)?;
        let mut best: Option<(Tag, Ticket, bool)> = None;
        for (at, ticket) in company.heads() {
            let Some(waiting) = self.waiting.get(&ticket) else { continue };
            let Some(flow) = self.flows.get_mut(at) else { continue };
            let rows = filling.rows + waiting.request.rows;
            let fits = rows <= join.max_rows;
            let may_run = filling.flows.contains(&at) || flow.may_run();
            let is_in_lane = is_in(&self.guarantees, now, lane, flow);
            let rides = || {
                lane == Lane::Guaranteed && self.costs.are_alike(kind, filling.rows_in_lane, rows)
            };
            if !fits || !may_run || !(is_in_lane || rides()) {
                continue;
            }
            // One that waits for company alone is not listed, and is not behind the others.
            let tag = flow.tag.max(self.now).ordered(flow.share);
            if best.is_none_or(|(least, ..)| tag < least) {
                best = Some((tag, ticket, is_in_lane));
            }
        }
        best.map(|(_, ticket, is_in_lane)| (ticket, is_in_lane))
    }
}
