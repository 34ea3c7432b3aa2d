//! A load that goes on while a test changes something under it.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use anyhow::{Context as _, Result, ensure};
use devstack::stack::Stack;
use tokio::task::JoinSet;

use super::{caller::Answer, edge::PATIENCE, example::Example, tenant::Tenant};

const CLIENTS_A_TENANT: usize = 2;
/// Keeps the smallest limit of a tenant, 200 requests a second, out of a load of predictions.
const PAUSE: Duration = Duration::from_millis(20);

/// Callers that ask without a pause until they are stopped.
#[derive(Debug)]
pub struct Load {
    stop: Arc<AtomicBool>,
    answered: Arc<AtomicUsize>,
    callers: JoinSet<Outcomes>,
}

/// What became of the requests of a load.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Outcomes {
    /// How many were answered with 200.
    pub served: usize,
    /// What the others got, and how often: status and body, or why there was no answer.
    pub others: BTreeMap<String, usize>,
}

impl Load {
    /// Starts a caller for each of `asks`, which sends one request a call.
    pub fn start<A>(asks: impl IntoIterator<Item = A>) -> Self
    where
        A: AsyncAsk,
    {
        let (stop, answered) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
        let mut callers = JoinSet::new();
        for ask in asks {
            let (stop, answered) = (Arc::clone(&stop), Arc::clone(&answered));
            callers.spawn(async move {
                let mut outcomes = Outcomes::default();
                while !stop.load(Ordering::Relaxed) {
                    outcomes.add(ask.ask().await);
                    answered.fetch_add(1, Ordering::Relaxed);
                }
                outcomes
            });
        }
        Self { stop, answered, callers }
    }

    /// Starts two clients of a tenant, which ask for the example's prediction for `rows` flights and
    /// check the answer.
    ///
    /// # Errors
    /// Where the example cannot be read, or there is no such tenant.
    pub fn of_predictions(stack: &Stack, tenant: &str, rows: usize) -> Result<Self> {
        let example = Example::read()?;
        let clients: Vec<Tenant> =
            (0..CLIENTS_A_TENANT).map(|_| Tenant::of(stack, tenant)).collect::<Result<_>>()?;
        Ok(Self::start(clients.into_iter().map(|client| {
            let example = example.clone();
            move || {
                let (client, example) = (client.clone(), example.clone());
                async move {
                    tokio::time::sleep(PAUSE).await;
                    client.predict(&example, rows).await
                }
            }
        })))
    }

    /// How many requests have been answered so far, or have failed.
    pub fn answered(&self) -> usize {
        self.answered.load(Ordering::Relaxed)
    }

    /// Waits until `more` further requests were answered, so that what was done before was done
    /// under load.
    ///
    /// # Errors
    /// Where they are not, for a long time.
    pub async fn answers(&self, more: usize) -> Result<()> {
        let wanted = self.answered() + more;
        let what = format!("{more} further answers under load");
        devstack::until(&what, PATIENCE, async || Ok((self.answered() >= wanted).then_some(())))
            .await
    }

    /// Stops it, once each caller has its last answer.
    ///
    /// # Errors
    /// Where a caller panicked.
    pub async fn stop(mut self) -> Result<Outcomes> {
        self.stop.store(true, Ordering::Relaxed);
        let mut all = Outcomes::default();
        while let Some(outcomes) = self.callers.join_next().await {
            all.merge(outcomes.context("a caller panicked")?);
        }
        Ok(all)
    }
}

/// Sends one request.
pub trait AsyncAsk: Send + 'static {
    /// Sends it.
    fn ask(&self) -> impl Future<Output = Result<Answer>> + Send;
}

impl<F, R> AsyncAsk for F
where
    F: Fn() -> R + Send + Sync + 'static,
    R: Future<Output = Result<Answer>> + Send,
{
    fn ask(&self) -> impl Future<Output = Result<Answer>> + Send {
        self()
    }
}

impl Outcomes {
    fn add(&mut self, outcome: Result<Answer>) {
        let other = match outcome {
            Ok(answer) if answer.status == 200 => {
                self.served += 1;
                return;
            }
            Ok(answer) => answer.shown(),
            Err(error) => format!("no answer: {error:#}"),
        };
        *self.others.entry(other).or_default() += 1;
    }

    fn merge(&mut self, more: Self) {
        self.served += more.served;
        for (other, count) in more.others {
            *self.others.entry(other).or_default() += count;
        }
    }

    /// Fails where one request was not served, or none was sent.
    ///
    /// # Errors
    /// With what the others got.
    pub fn all_served(&self) -> Result<()> {
        ensure!(self.others.is_empty(), "expected every request served, found {:?}", self.others);
        ensure!(self.served > 0, "expected a load, found no request");
        Ok(())
    }
}
