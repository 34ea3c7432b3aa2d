//! Processors that run what the queue says, in time that is a number.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use scheduler::queue::{
    Batch, Join, Lane, Next, Priority, Queue, Request, Room, RunId, Share, Time,
};
use tenancy::TenantId;

pub fn tenant(number: usize) -> TenantId {
    format!("org_{number}").parse().unwrap()
}

/// Room for so many requests, however large they are.
pub const fn room(requests: usize) -> Room {
    Room { requests, bytes: u64::MAX }
}

pub fn share(weight: u32) -> Share {
    Share { weight, priority: Priority::Normal, concurrency: 1000, waiting: 1000 }
}

/// A request of the tests: whose it is, what it will cost, and its number.
#[derive(Debug, Clone, Copy)]
pub struct Asked {
    pub tenant: usize,
    pub cost: Duration,
    pub number: usize,
}

/// An execution as it was begun.
#[derive(Debug, Clone)]
pub struct Begun {
    pub at: Time,
    pub kinds: BTreeSet<&'static str>,
    pub members: Vec<(Asked, u64, Duration)>,
}

pub struct World {
    pub queue: Queue<&'static str, (Asked, &'static str)>,
    pub now: Time,
    pub begun: Vec<Begun>,
    pub refused: Vec<usize>,
    pub served: BTreeMap<usize, Duration>,
    processors: usize,
    /// Executions by when they end.
    running: BTreeSet<(Time, RunId)>,
    costs: BTreeMap<RunId, (Duration, Vec<usize>)>,
    asked: usize,
}

impl World {
    pub fn new(processors: usize) -> Self {
        Self {
            queue: Queue::new(room(100_000), processors),
            now: Duration::ZERO,
            begun: vec![],
            refused: vec![],
            served: BTreeMap::new(),
            processors,
            running: BTreeSet::new(),
            costs: BTreeMap::new(),
            asked: 0,
        }
    }

    pub fn shares(mut self, shares: &[Share]) -> Self {
        for (number, share) in shares.iter().enumerate() {
            self.queue.set_share(self.now, &tenant(number), *share);
        }
        self
    }

    /// Submits a request of one row and returns its number.
    pub fn ask(&mut self, of: usize, kind: &'static str, cost: Duration) -> usize {
        self.ask_with(of, kind, cost, 1, None, None)
    }

    pub fn ask_with(
        &mut self,
        of: usize,
        kind: &'static str,
        cost: Duration,
        rows: u64,
        join: Option<Join>,
        deadline: Option<Time>,
    ) -> usize {
        self.asked += 1;
        let number = self.asked;
        let payload = (Asked { tenant: of, cost, number }, kind);
        let request = Request { tenant: tenant(of), kind, rows, bytes: 0, join, deadline, payload };
        if let Err(((asked, _), _)) = self.queue.submit(self.now, request) {
            self.refused.push(asked.number);
        }
        self.note_refused();
        number
    }

    fn note_refused(&mut self) {
        let refused = self.queue.take_refused();
        self.refused.extend(refused.iter().map(|((asked, _), _)| asked.number));
    }

    /// Lets free processors take what they may.
    pub fn dispatch(&mut self) {
        while self.running.len() < self.processors {
            let next = self.queue.next(self.now, Lane::Any);
            self.note_refused();
            match next {
                Next::Run(batch) => self.begin(batch),
                Next::NotBefore(_) | Next::Nothing => return,
            }
        }
    }

    fn begin(&mut self, batch: Batch<(Asked, &'static str)>) {
        let cost = batch.members.iter().map(|it| it.payload.0.cost).max().unwrap_or_default();
        let members: Vec<_> =
            batch.members.iter().map(|it| (it.payload.0, it.rows, it.waited)).collect();
        let kinds = batch.members.iter().map(|it| it.payload.1).collect();
        let rows: u64 = members.iter().map(|(_, rows, _)| rows).sum();
        for (asked, part, _) in &members {
            *self.served.entry(asked.tenant).or_default() +=
                cost.mul_f64(*part as f64 / rows as f64);
        }
        self.running.insert((self.now + cost, batch.id));
        let tenants = members.iter().map(|(asked, ..)| asked.tenant).collect();
        self.costs.insert(batch.id, (cost, tenants));
        self.begun.push(Begun { at: self.now, kinds, members });
    }

    /// Moves on to the end of the next execution, or where none runs to the next thing that waits
    /// for its time. Whether there was anything.
    pub fn step(&mut self) -> bool {
        self.dispatch();
        if let Some((at, id)) = self.running.pop_first() {
            self.now = self.now.max(at);
            let (cost, _) = self.costs.remove(&id).unwrap();
            self.queue.finish(id, cost);
            return true;
        }
        match self.queue.next(self.now, Lane::Any) {
            Next::NotBefore(at) => {
                self.now = at;
                true
            }
            Next::Run(batch) => {
                self.begin(batch);
                true
            }
            Next::Nothing => false,
        }
    }

    pub fn run(&mut self) {
        while self.step() {}
        self.note_refused();
    }

    pub fn running_of(&self, of: usize) -> usize {
        self.costs.values().filter(|(_, tenants)| tenants.contains(&of)).count()
    }

    pub fn idle(&self) -> usize {
        self.processors - self.running.len()
    }

    pub fn executed(&self) -> Vec<usize> {
        self.begun.iter().flat_map(|it| it.members.iter().map(|(asked, ..)| asked.number)).collect()
    }
}
