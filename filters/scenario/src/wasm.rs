//! Plays scenarios over the WebAssembly that Envoy loads, in wasmtime.

use std::{collections::BTreeMap, path::Path, time::Duration};

use filter_core::{foreign, memory_host};
use wasm_host::{Clock, Engine, Headers, Host, Module, Outcome, SharedData, Status, Vm};

use crate::{
    Deployment, Error, Header, Observed, Prepared, Runner,
    format::{Target, Way},
    native::{WORKERS, no_node, not_begun, route},
    sidecar::Sidecars,
    tables::shadow_counter,
};

/// The filters, compiled. Clones are cheap.
#[derive(Debug, Clone)]
pub struct Filters {
    gate: Module,
    recheck: Module,
}

impl Filters {
    /// Compiles `gate.wasm` and `recheck.wasm` of this folder, which takes seconds, or finds them
    /// compiled in the folder `cache`, where there is one: see [`Engine::cached`] for who may write
    /// there.
    ///
    /// # Errors
    /// Where one cannot be read or is no filter.
    pub fn load(folder: &Path, cache: Option<&Path>) -> Result<Self, Error> {
        let engine = cache.map_or_else(Engine::new, Engine::cached).map_err(wasm)?;
        let load = |name: &str| {
            let file = folder.join(name);
            let bytes = std::fs::read(&file)
                .map_err(|error| Error::Wasm(format!("cannot read {}: {error}", file.display())))?;
            Module::compile(&engine, bytes)
                .map_err(|error| Error::Wasm(format!("{}: {error}", file.display())))
        };
        // Side by side: compiling keeps a processor busy for seconds.
        let (gate, recheck) = std::thread::scope(|scope| {
            let gate = scope.spawn(|| load("gate.wasm"));
            let recheck = load("recheck.wasm");
            (gate.join(), recheck)
        });
        let gate = gate.map_err(|_| Error::Wasm("compiling gate.wasm panicked".to_owned()))?;
        Ok(Self { gate: gate?, recheck: recheck? })
    }
}

/// An ingress of two workers and a node for each data plane. A node is started when it is first
/// reached.
#[derive(Debug)]
pub struct Wasm {
    filters: Filters,
    clock: Clock,
    deployment: Option<Deployment>,
    workers: Vec<Vm>,
    turn: usize,
    nodes: BTreeMap<String, Vm>,
    sidecars: Sidecars,
}

impl Wasm {
    /// A runner in which nothing is in force yet.
    pub fn new(filters: &Filters) -> Self {
        Self {
            filters: filters.clone(),
            clock: Clock::default(),
            deployment: None,
            workers: Vec::new(),
            turn: 0,
            nodes: BTreeMap::new(),
            sidecars: Sidecars::default(),
        }
    }

    fn node(
        &mut self,
        data_plane: &str,
        request: &Prepared,
        headers: Headers,
    ) -> Result<Observed, Error> {
        if !self.nodes.contains_key(data_plane) {
            let vm = self.start_node(data_plane)?;
            self.nodes.insert(data_plane.to_owned(), vm);
        }
        let vm = self.nodes.get(data_plane).ok_or_else(not_begun)?;
        match decide(vm, headers, request)? {
            Decision::Forward(headers) => {
                let now = self.clock.now().as_secs();
                self.sidecars.arrive(data_plane, pairs(&headers), now)
            }
            Decision::Answer(answer) => Ok(answer),
        }
    }

    fn start_node(&self, data_plane: &str) -> Result<Vm, Error> {
        let deployment = self.deployment.as_ref().ok_or_else(not_begun)?;
        let known: Vec<String> = deployment.data_planes().map(str::to_owned).collect();
        if !known.iter().any(|name| name == data_plane) {
            return Err(no_node(data_plane, known.iter()));
        }
        Host::builder(&self.filters.recheck)
            .vm_id("recheck")
            .clock(&self.clock)
            .configuration(deployment.node_table(data_plane)?)
            .start()
            .map_err(wasm)
    }
}

impl Runner for Wasm {
    fn way(&self) -> Way {
        Way::Wasm
    }

    fn begin(&mut self, deployment: &Deployment, at: u64) -> Result<(), Error> {
        *self = Self::new(&self.filters);
        self.clock = Clock::at(Duration::from_secs(at));
        let (shared, table) = (SharedData::new(), deployment.gate_table()?);
        for seed in (0..).take(WORKERS) {
            let vm = Host::builder(&self.filters.gate)
                .vm_id("gate")
                .seed(seed)
                .clock(&self.clock)
                .shared_data(&shared)
                .env(passport::seal::ENVIRONMENT_VARIABLE, deployment.seal_key())
                .foreign_function(foreign::NAME, verify_signature)
                .configuration(table.as_slice())
                .start()
                .map_err(wasm)?;
            self.workers.push(vm);
        }
        self.sidecars.configure(deployment)?;
        self.deployment = Some(deployment.clone());
        Ok(())
    }

    fn push(&mut self, deployment: &Deployment) -> Result<(), Error> {
        let table = deployment.gate_table()?;
        for vm in &self.workers {
            configure(vm, table.clone())?;
        }
        let planes: Vec<&str> = deployment.data_planes().collect();
        self.nodes.retain(|name, _| planes.contains(&name.as_str()));
        for (name, vm) in &self.nodes {
            configure(vm, deployment.node_table(name)?)?;
        }
        self.sidecars.configure(deployment)?;
        self.deployment = Some(deployment.clone());
        Ok(())
    }

    fn now(&self) -> u64 {
        self.clock.now().as_secs()
    }

    fn go_to(&mut self, at: u64) -> Result<(), Error> {
        let at = Duration::from_secs(at);
        match at.checked_sub(self.clock.now()) {
            Some(by) => self.clock.advance(by),
            None => self.clock.set(at),
        }
        Ok(())
    }

    fn send(&mut self, request: &Prepared) -> Result<Observed, Error> {
        let headers = of_pairs(&request.headers);
        if let Target::Node(data_plane) = &request.target {
            return self.node(data_plane, request, headers);
        }
        self.turn += 1;
        let vm = self.workers.get(self.turn % WORKERS).ok_or_else(not_begun)?;
        match decide(vm, headers, request)? {
            Decision::Forward(onward) => {
                let (data_plane, onward) = route(pairs(&onward))?;
                self.node(&data_plane, request, of_pairs(&onward))
            }
            Decision::Answer(answer) => Ok(answer),
        }
    }

    fn shadow_failures(&mut self) -> Result<BTreeMap<String, u64>, Error> {
        let vms: Vec<&Vm> = self.workers.iter().chain(self.nodes.values()).collect();
        let mut failures = BTreeMap::new();
        for (check, tenant) in self.deployment.iter().flat_map(Deployment::checked) {
            let counter = shadow_counter(check, tenant);
            let count: u64 = vms.iter().filter_map(|vm| vm.metric(&counter)).sum();
            *failures.entry(check.to_owned()).or_default() += count;
        }
        self.sidecars.add_shadow_failures(&mut failures);
        Ok(failures)
    }

    fn reached(&mut self) -> Result<u64, Error> {
        Ok(self.sidecars.reached())
    }
}

fn configure(vm: &Vm, table: Vec<u8>) -> Result<(), Error> {
    match vm.configure(table).map_err(wasm)? {
        true => Ok(()),
        false => {
            let last = vm.logs().pop().map(|line| line.message).unwrap_or_default();
            Err(Error::Wasm(format!("the filter refused its table: {last}")))
        }
    }
}

enum Decision {
    Forward(Headers),
    Answer(Observed),
}

fn decide(vm: &Vm, headers: Headers, request: &Prepared) -> Result<Decision, Error> {
    let has_body = request.body_bytes > 0 || request.chunked;
    match vm.request(headers).request_headers(!has_body) {
        Outcome::Continue(headers) => Ok(Decision::Forward(headers)),
        Outcome::LocalResponse(response) => match vm.failure() {
            None => Ok(Decision::Answer(Observed::Denied {
                status: response.status,
                headers: pairs(&response.headers),
                body: response.body,
            })),
            Some(trap) => Err(Error::Wasm(format!("the filter crashed: {trap}"))),
        },
        other => Err(Error::Wasm(format!(
            "expected an answer or a request that goes on, found {other:?}"
        ))),
    }
}

fn of_pairs(pairs: &[Header]) -> Headers {
    pairs.iter().map(|(name, value)| (name.as_str(), value)).collect()
}

fn pairs(headers: &Headers) -> Vec<Header> {
    headers.iter().map(|(name, value)| (name.to_owned(), value.to_vec())).collect()
}

/// Envoy's foreign function.
fn verify_signature(arguments: &[u8]) -> Result<Vec<u8>, Status> {
    foreign::answer(arguments, memory_host::verify_signature).ok_or(Status::BadArgument)
}

fn wasm(error: impl ToString) -> Error {
    Error::Wasm(error.to_string())
}
