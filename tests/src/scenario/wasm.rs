//! Runs scenarios over the WebAssembly that Envoy loads, in wasmtime.

use std::{collections::BTreeMap, path::PathBuf};

use anyhow::{Context as _, Result, bail};
use filter_core::{foreign, memory_host};
use wasm_host::{Clock, Engine, Headers, Host, Module, Outcome, SharedData, Status, Vm};

use super::{Deployment, Header, Observed, Prepared, Runner, Target, native::routed_to};

/// The variable that names the folder of the filters.
const FOLDER: &str = "BULKHEAD_WASM_DIR";

/// Two workers at the ingress, which take turns, and a node for each data plane.
#[derive(Debug)]
pub struct Wasm {
    clock: Clock,
    workers: Vec<Vm>,
    turn: usize,
    nodes: BTreeMap<String, Vm>,
}

impl Wasm {
    /// Starts them.
    ///
    /// # Errors
    /// Where a filter was not built, or refuses its table.
    pub fn start(deployment: &Deployment) -> Result<Self> {
        let engine = Engine::new()?;
        let (clock, shared) = (Clock::default(), SharedData::new());
        let gate = module(&engine, "gate")?;
        let table = deployment.gate_table()?;
        let workers = (0..2).map(|worker| {
            let vm = Host::builder(&gate)
                .vm_id("gate")
                .seed(worker)
                .clock(&clock)
                .shared_data(&shared)
                .env(passport::seal::ENVIRONMENT_VARIABLE, deployment.seal_key())
                .foreign_function(foreign::NAME, verify_signature)
                .configuration(table.as_slice())
                .start()?;
            Ok(vm)
        });
        let workers = workers.collect::<Result<_>>()?;
        let recheck = module(&engine, "recheck")?;
        let nodes = deployment.data_planes().into_iter().map(|data_plane| {
            let vm = Host::builder(&recheck)
                .vm_id("recheck")
                .clock(&clock)
                .configuration(deployment.node_table(&data_plane)?)
                .start()?;
            Ok((data_plane, vm))
        });
        let nodes = nodes.collect::<Result<_>>()?;
        Ok(Self { clock, workers, turn: 0, nodes })
    }

    fn node(&self, data_plane: &str, headers: Headers) -> Result<Observed> {
        let vm = self
            .nodes
            .get(data_plane)
            .with_context(|| format!("no node of data plane `{data_plane}`"))?;
        match decide(vm, headers)? {
            Decision::Forward(headers) => Ok(Observed::Forwarded {
                data_plane: data_plane.to_owned(),
                headers: pairs(&headers),
            }),
            Decision::Answer(answer) => Ok(answer),
        }
    }
}

impl Runner for Wasm {
    fn now(&self) -> u64 {
        self.clock.now().as_secs()
    }

    fn send(&mut self, request: &Prepared) -> Result<Observed> {
        let headers: Headers = request.headers.iter().map(|(n, v)| (n.as_str(), v)).collect();
        if let Target::Node(data_plane) = &request.target {
            return self.node(data_plane, headers);
        }
        self.turn += 1;
        let vm = self.workers.get(self.turn % self.workers.len()).context("no worker")?;
        match decide(vm, headers)? {
            Decision::Forward(onward) => self.node(&routed_to(&pairs(&onward))?, onward),
            Decision::Answer(answer) => Ok(answer),
        }
    }
}

enum Decision {
    Forward(Headers),
    Answer(Observed),
}

fn decide(vm: &Vm, headers: Headers) -> Result<Decision> {
    match vm.request(headers).request_headers(true) {
        Outcome::Continue(headers) => Ok(Decision::Forward(headers)),
        Outcome::LocalResponse(response) => match vm.failure() {
            None => Ok(Decision::Answer(Observed::Denied {
                status: response.status,
                headers: pairs(&response.headers),
                body: response.body,
            })),
            Some(trap) => bail!("the filter crashed: {trap}"),
        },
        other => bail!("expected an answer or a request that goes on, found {other:?}"),
    }
}

fn pairs(headers: &Headers) -> Vec<Header> {
    headers.iter().map(|(name, value)| (name.to_owned(), value.to_vec())).collect()
}

/// Envoy's foreign function.
fn verify_signature(arguments: &[u8]) -> Result<Vec<u8>, Status> {
    foreign::answer(arguments, memory_host::verify_signature).ok_or(Status::BadArgument)
}

fn module(engine: &Engine, filter: &str) -> Result<Module> {
    let file = folder().join(format!("{filter}.wasm"));
    let bytes = std::fs::read(&file).with_context(|| {
        format!("cannot read {}: run `cargo xtask wasm`, or `cargo xtask test`", file.display())
    })?;
    Ok(Module::compile(engine, bytes)?)
}

fn folder() -> PathBuf {
    match std::env::var_os(FOLDER) {
        Some(folder) => PathBuf::from(folder),
        None => PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../target/wasm32-wasip1/release"),
    }
}
