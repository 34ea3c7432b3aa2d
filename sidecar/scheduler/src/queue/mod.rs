//! Which request runs next: start-time fair queueing over tenants, with batches.
//!
//! The order is that of Goyal, Vin and Cheng, *Start-time fair queueing* (SIGCOMM 1996), for several
//! processors as Jin, Chase and Kaur have it (SIGMETRICS 2004): each tenant has a start tag in
//! virtual time, which its executions move on by what they cost over its weight, and the smallest
//! tag is next. A request is charged what its kind is known to cost when it is taken, and what it
//! did cost when it ends, so that tenants share execution time and not requests.
//!
//! Everything here is a value: there is no clock, no thread and no lock. Who runs what is asked with
//! [`Queue::next`], and what came of it is told with [`Queue::finish`]. Start there.

mod admission;
mod batching;
mod company;
mod cost;
mod flow;
mod guarantee;
mod request;
mod room;
mod share;
mod tag;
mod tenants;

use std::{
    collections::{BTreeSet, HashMap},
    hash::Hash,
    time::Duration,
};

use tenancy::TenantId;

pub use request::{Batch, Join, Member, Next, Refused, Request, Room, RunId, Ticket, Time};
pub use share::{Priority, Share};

use company::Company;
use cost::Costs;
use flow::Flow;
use guarantee::Guarantees;
use tag::Tag;

/// Which of the waiting requests a processor takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lane {
    /// Any.
    Any,
    /// Those of tenants that are within their part of the processors.
    Guaranteed,
    /// Those of tenants that have used more than their part.
    Spare,
}

/// Requests that wait, by tenant. `K` is the kind of execution, `T` what callers attach.
#[derive(Debug)]
pub struct Queue<K, T> {
    room: Room,
    /// The memory that all requests hold that wait.
    bytes: u64,
    flows: Vec<Flow>,
    by_tenant: HashMap<TenantId, usize>,
    vacant: Vec<usize>,
    waiting: HashMap<Ticket, Waiting<K, T>>,
    running: HashMap<RunId, Run<K>>,
    companies: HashMap<K, Company>,
    /// Requests that wait for company, by when that ends.
    held: BTreeSet<(Time, Ticket)>,
    /// Tenants that may run something, in the order in which they are served.
    ready: BTreeSet<(Tag, usize)>,
    /// The same by their tags, whatever their priority.
    lagging: BTreeSet<(Tag, usize)>,
    /// The start tag of what was taken last: virtual time.
    now: Tag,
    /// The greatest tag of a tenant whose execution ended since the queue was last idle.
    latest: Tag,
    refused: Vec<(T, Refused)>,
    costs: Costs<K>,
    guarantees: Guarantees,
    next_name: u64,
}

#[derive(Debug)]
struct Waiting<K, T> {
    flow: usize,
    request: Request<K, T>,
    arrived: Time,
    /// Until when it waits for company.
    held_until: Option<Time>,
}

#[derive(Debug)]
struct Run<K> {
    kind: K,
    rows: u64,
    parts: Vec<Part>,
}

/// A request's part of an execution.
#[derive(Debug)]
struct Part {
    flow: usize,
    rows: u64,
    charged: Duration,
}

impl<K: Clone + Eq + Hash, T> Queue<K, T> {
    /// An empty queue with `room` for requests, before `processors` processors.
    pub fn new(room: Room, processors: usize) -> Self {
        Self {
            room,
            bytes: 0,
            flows: vec![],
            by_tenant: HashMap::new(),
            vacant: vec![],
            waiting: HashMap::new(),
            running: HashMap::new(),
            companies: HashMap::new(),
            held: BTreeSet::new(),
            ready: BTreeSet::new(),
            lagging: BTreeSet::new(),
            now: Tag::default(),
            latest: Tag::default(),
            refused: vec![],
            costs: Costs::new(),
            guarantees: Guarantees::new(processors),
            next_name: 0,
        }
    }

    /// What a processor that is free at `now` should do.
    ///
    /// Requests whose deadline can no longer be met are passed over; [`Queue::take_refused`] has
    /// them.
    pub fn next(&mut self, now: Time, lane: Lane) -> Next<T> {
        self.end_holding(now);
        self.forget_quiet_tenants(now);
        while let Some(flow) = self.first_of(now, lane) {
            if let Some((lag, _)) = self.lagging.first() {
                self.now = self.now.max(*lag);
            }
            let due = self.flows.get(flow).and_then(|flow| flow.due.first().copied());
            let Some(first) = due.and_then(|ticket| self.take(ticket)) else { break };
            match self.too_late(now, &first.request) {
                Some(refused) => self.refused.push((first.request.payload, refused)),
                None => return Next::Run(self.start(now, lane, first)),
            }
        }
        self.ask_again(now, lane).map_or(Next::Nothing, Next::NotBefore)
    }

    /// Tells that an execution ended, and how long it took.
    pub fn finish(&mut self, id: RunId, took: Duration) {
        let Some(Run { kind, rows, parts }) = self.running.remove(&id) else { return };
        self.costs.measured(&kind, rows, took);
        let mut ended = BTreeSet::new();
        for Part { flow, rows: part, charged } in parts {
            let nanos = took.as_nanos() * u128::from(part) / u128::from(rows.max(1));
            let cost = Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX));
            let is_first = ended.insert(flow);
            self.change(flow, |flow| {
                flow.tag = flow.tag.without(charged, flow.share).after(cost, flow.share);
                flow.credit.give_back(charged);
                flow.credit.take(cost);
                flow.running = flow.running.saturating_sub(u32::from(is_first));
            });
            self.latest = self.latest.max(self.flows.get(flow).map_or(self.latest, |it| it.tag));
        }
        if self.running.is_empty() && self.waiting.is_empty() {
            // Nobody is owed anything for what it did not ask for.
            self.now = self.now.max(self.latest);
            self.latest = Tag::default();
        }
    }

    /// How many requests wait.
    pub fn waiting(&self) -> usize {
        self.waiting.len()
    }

    /// How much memory they hold.
    pub const fn waiting_bytes(&self) -> u64 {
        self.bytes
    }

    /// How many requests of `tenant` wait.
    pub fn waiting_of(&self, tenant: &TenantId) -> usize {
        let flow = self.by_tenant.get(tenant).and_then(|flow| self.flows.get(*flow));
        flow.map_or(0, Flow::waiting)
    }

    /// How many executions run.
    pub fn running(&self) -> usize {
        self.running.len()
    }

    /// What an execution of `kind` and so many rows is known to take.
    pub fn known_cost(&self, kind: &K, rows: u64) -> Option<Duration> {
        self.costs.known(kind, rows)
    }

    /// The tenant that is served next in `lane`.
    fn first_of(&mut self, now: Time, lane: Lane) -> Option<usize> {
        let (flows, guarantees) = (&mut self.flows, &self.guarantees);
        let mut order = self.ready.iter().map(|(_, flow)| *flow);
        order.find(|at| flows.get_mut(*at).is_some_and(|flow| is_in(guarantees, now, lane, flow)))
    }

    /// When something that waits may be taken though nothing else changes.
    fn ask_again(&mut self, now: Time, lane: Lane) -> Option<Time> {
        let held = self.held.first().map(|(at, _)| *at);
        if lane != Lane::Guaranteed {
            return held;
        }
        let (flows, guarantees) = (&mut self.flows, &self.guarantees);
        let ready = self.ready.iter();
        let within = ready
            .filter_map(|(_, at)| flows.get_mut(*at).map(|flow| guarantees.within_from(now, flow)));
        within.chain(held).min()
    }

    /// Changes a tenant and keeps the lists right. One that becomes ready is not behind the others:
    /// nobody saves up for what it did not use.
    fn change(&mut self, at: usize, change: impl FnOnce(&mut Flow)) {
        let Some(flow) = self.flows.get_mut(at) else { return };
        let listed = flow.listed.take();
        if let Some(tag) = listed {
            self.lagging.remove(&(tag, at));
            self.ready.remove(&(tag.ordered(flow.share), at));
        }
        change(flow);
        if flow.is_ready() {
            if listed.is_none() {
                flow.tag = flow.tag.max(self.now);
            }
            flow.listed = Some(flow.tag);
            self.lagging.insert((flow.tag, at));
            self.ready.insert((flow.tag.ordered(flow.share), at));
        }
    }

    fn name(&mut self) -> u64 {
        self.next_name += 1;
        self.next_name
    }
}

fn is_in(guarantees: &Guarantees, now: Time, lane: Lane, flow: &mut Flow) -> bool {
    match lane {
        Lane::Any => true,
        Lane::Guaranteed => guarantees.within_from(now, flow) <= now,
        Lane::Spare => guarantees.within_from(now, flow) > now,
    }
}
