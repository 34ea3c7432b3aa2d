//! Where models run: the scheduler's threads, and what each tenant is given of them.

use std::{io, num::NonZero, sync::Arc, thread, time::Instant};

use inference::{InferError, Inputs, Outputs};
use scheduler::{
    ExecuteError, Executed, Execution, Executor, Joins, Kind, Loaded, Threads, execute,
    queue::{Join, Request, Room, Share},
};
use tenancy::TenantId;

use crate::{
    Capacity, Order,
    assignments::{Assignments, Serving},
};

/// How many requests wait on a node before more are refused: what its tenants may wait with together
/// may be more.
const MOST_WAITING: usize = 4096;

/// Under whose name all requests wait where they are served in the order in which they come.
const EVERYBODY: &str = "everybody";

/// Runs models.
pub(crate) struct Compute {
    executor: Executor<Kind, Execution, Result<Outputs, InferError>>,
    /// Who waits in whose stead, where all are served in the order in which they come.
    everybody: Option<TenantId>,
}

impl Compute {
    /// Starts a thread for each processor that this process may use, and as many again for tenants
    /// that use more than their part.
    pub(crate) fn start(capacity: Capacity) -> anyhow::Result<Self> {
        let processors = thread::available_parallelism().map_or(1, NonZero::get);
        let (threads, everybody) = match capacity.order {
            Order::Fair => (Threads::InTwoLanes(processors), None),
            Order::Arrival => (Threads::Alike(processors), Some(EVERYBODY.parse()?)),
        };
        let room = Room { requests: MOST_WAITING, bytes: capacity.waiting_bytes };
        let executor = start(threads, room)?;
        if let Some(everybody) = &everybody {
            let all = u32::MAX;
            let share = Share { concurrency: all, waiting: all, ..Share::default() };
            executor.set_shares([(everybody, share)]);
        }
        Ok(Self { executor, everybody })
    }

    /// Runs `loaded` on `inputs` of so many rows, which fit it, for `tenant`.
    pub(crate) async fn run(
        &self,
        tenant: &TenantId,
        loaded: Arc<Loaded>,
        (inputs, rows): (Inputs, u64),
        serving: &Serving,
        deadline: Option<Instant>,
    ) -> Result<Executed<Result<Outputs, InferError>>, ExecuteError> {
        let join = join(&loaded, serving);
        let execution = Execution { loaded, inputs };
        let request = Request {
            tenant: self.everybody.as_ref().unwrap_or(tenant).clone(),
            kind: execution.kind(),
            rows,
            bytes: execution.inputs.memory_bytes(),
            join,
            deadline: deadline.map(|deadline| self.executor.time(deadline)),
            payload: execution,
        };
        self.executor.run(request).await
    }

    /// Refuses a request of `tenant` that would be refused later, before it costs anything.
    pub(crate) fn admit(&self, tenant: &TenantId) -> Result<(), ExecuteError> {
        let refused = self.executor.refuses(self.everybody.as_ref().unwrap_or(tenant));
        refused.map_or(Ok(()), |refused| Err(refused.into()))
    }

    /// Gives tenants what `assignments` says, whenever it changes; for ever.
    pub(crate) async fn keep(&self, assignments: Arc<Assignments>) {
        if self.everybody.is_some() {
            return;
        }
        let mut changes = assignments.watch();
        loop {
            changes.borrow_and_update();
            let table = assignments.table();
            self.executor.set_shares(table.by_tenant().map(|(tenant, it)| (tenant, it.share)));
            if changes.changed().await.is_err() {
                return;
            }
        }
    }

    /// How many requests wait.
    pub(crate) fn waiting(&self) -> usize {
        self.executor.waiting()
    }

    /// How much memory their inputs take, in bytes.
    pub(crate) fn waiting_bytes(&self) -> u64 {
        self.executor.waiting_bytes()
    }

    /// How many executions run.
    pub(crate) fn running(&self) -> usize {
        self.executor.running()
    }
}

fn start(
    threads: Threads,
    room: Room,
) -> io::Result<Executor<Kind, Execution, Result<Outputs, InferError>>> {
    Executor::start(threads, room, execute)
}

/// How requests for a model are joined, where they may be.
fn join(loaded: &Loaded, serving: &Serving) -> Option<Join> {
    let max_rows = serving.max_batch_rows.min(loaded.model().max_batch());
    let joins = loaded.joins() != Joins::Never && max_rows > 1;
    joins.then_some(Join { max_rows, wait: serving.batch_wait })
}
