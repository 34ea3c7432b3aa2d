//! Many scenarios: finding them, and playing them side by side.

use std::{
    collections::BTreeMap,
    num::NonZero,
    path::{Path, PathBuf},
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use policy_model::{
    diagnostic::{Diagnostics, Origin},
    spec,
};

use crate::{
    Broken, Deployment, Error, Filters, Native, Played, Runner, Scenario, Verification, Wasm,
    deployment::mistake, format::Way, play,
};

/// The file of a folder of scenarios that holds their deployment.
const DEPLOYMENT: &str = "deployment.yaml";

/// Scenarios, each with the deployment that it starts from.
#[derive(Debug, Clone)]
pub struct Suite {
    entries: Vec<(Scenario, Deployment)>,
}

/// What became of one scenario, one way.
#[derive(Debug)]
pub struct Verdict {
    /// Where it is among the suite's scenarios.
    pub index: usize,
    /// The way.
    pub way: Way,
    /// How long it took.
    pub took: Duration,
    /// What came of it.
    pub result: Result<Ending, Error>,
}

/// What came of a scenario that could be played.
#[derive(Debug)]
pub enum Ending {
    /// The promise was kept.
    Kept(Played),
    /// The promise was broken by these requests.
    Broken(Played, Vec<Broken>),
    /// It is not run this way, and says why.
    Skipped(String),
}

impl Suite {
    /// Reads every scenario in `paths`: files, and what is in folders and below.
    ///
    /// In a folder, a YAML file with an `apiVersion` holds resources, and every other one is a
    /// scenario. A scenario starts from `resources` where they are given, else from the nearest
    /// `deployment.yaml` in its folder or above it (no further up than a folder that was given),
    /// else from the one that ships. The checks among a folder's other resources can be named by scenarios, and
    /// by one that is given as a file, those of its folder.
    ///
    /// # Errors
    /// Every mistake in the scenarios and their resources.
    pub fn load(paths: &[PathBuf], resources: Option<&Deployment>) -> Result<Self, Error> {
        let mut mistakes = Vec::new();
        let mut deployments = BTreeMap::new();
        let mut entries = Vec::new();
        for path in paths {
            let found = Found::below(path)?;
            let checks = found.checks().unwrap_or_else(|mut found| {
                mistakes.append(&mut found.0);
                Vec::new()
            });
            for file in &found.scenarios {
                let scenario = match Scenario::read(file) {
                    Ok(scenario) => scenario,
                    Err(mut found) => {
                        mistakes.append(&mut found.0);
                        continue;
                    }
                };
                let base = resources.is_none().then(|| nearest_deployment(file, path)).flatten();
                let key = (path.clone(), base.clone());
                if !deployments.contains_key(&key) {
                    let deployment = match (resources, &base) {
                        (Some(resources), _) => Ok(resources.clone()),
                        (None, Some(base)) => Deployment::read(base),
                        (None, None) => Deployment::shipped(),
                    };
                    match deployment {
                        Ok(found) => {
                            deployments.insert(key.clone(), found.knowing(checks.clone()));
                        }
                        Err(Error::Mistakes(mut found)) => mistakes.append(&mut found.0),
                        Err(other) => return Err(other),
                    }
                }
                entries.extend(deployments.get(&key).map(|it| (scenario, it.clone())));
            }
        }
        if !mistakes.is_empty() {
            return Err(Diagnostics(mistakes).into());
        }
        Ok(Self { entries })
    }

    /// The scenarios, in the order of their files.
    pub fn scenarios(&self) -> impl ExactSizeIterator<Item = &Scenario> {
        self.entries.iter().map(|(scenario, _)| scenario)
    }

    /// The deployment that scenario `index` starts from.
    pub fn deployment(&self, index: usize) -> Option<&Deployment> {
        self.entries.get(index).map(|(_, deployment)| deployment)
    }

    /// Every data plane that any scenario has a node of.
    ///
    /// # Errors
    /// Mistakes in what a scenario is given.
    pub fn data_planes(&self) -> Result<Vec<String>, Error> {
        let mut planes = std::collections::BTreeSet::new();
        for (scenario, deployment) in &self.entries {
            let mut deployment = deployment.with(&scenario.given)?;
            planes.extend(deployment.data_planes().map(str::to_owned));
            for step in &scenario.requests {
                deployment = deployment.with(&step.apply)?;
                planes.extend(deployment.data_planes().map(str::to_owned));
            }
        }
        Ok(planes.into_iter().collect())
    }

    /// Plays every scenario natively, and over `filters` where there are any, on all processors.
    pub fn run(&self, filters: Option<&Filters>) -> Vec<Verdict> {
        let ways = 1 + usize::from(filters.is_some());
        let jobs = self.entries.len() * ways;
        let next = AtomicUsize::new(0);
        let verdicts = Mutex::new(Vec::with_capacity(jobs));
        let work = || {
            let mut native = Native::new(Verification::ByHost);
            let mut wasm = filters.map(Wasm::new);
            loop {
                let job = next.fetch_add(1, Ordering::Relaxed);
                let (index, way) = (job / ways, job % ways);
                if index >= self.entries.len() {
                    break;
                }
                let runner: &mut dyn Runner = match (way, &mut wasm) {
                    (1, Some(wasm)) => wasm,
                    _ => &mut native,
                };
                let verdict = self.run_one(index, runner);
                verdicts.lock().unwrap_or_else(PoisonError::into_inner).push(verdict);
            }
        };
        std::thread::scope(|scope| {
            let others = std::thread::available_parallelism().map_or(0, NonZero::get);
            for _ in 1..others.min(jobs.max(1)) {
                scope.spawn(work);
            }
            work();
        });
        let mut verdicts = verdicts.into_inner().unwrap_or_else(PoisonError::into_inner);
        verdicts.sort_by_key(|verdict| (verdict.index, verdict.way));
        verdicts
    }

    /// Plays scenario `index` over `runner`.
    pub fn run_one(&self, index: usize, runner: &mut dyn Runner) -> Verdict {
        let (began, way) = (Instant::now(), runner.way());
        let result = self.outcome(index, runner);
        Verdict { index, way, took: began.elapsed(), result }
    }

    fn outcome(&self, index: usize, runner: &mut dyn Runner) -> Result<Ending, Error> {
        let Some((scenario, deployment)) = self.entries.get(index) else {
            return Err(Error::Runner(format!("expected a scenario, found no number {index}")));
        };
        if let Some(why) = scenario.skip.get(&runner.way()) {
            return Ok(Ending::Skipped(why.clone()));
        }
        let played = play(deployment, scenario, runner)?;
        let broken = played.check(deployment, scenario)?;
        Ok(if broken.is_empty() { Ending::Kept(played) } else { Ending::Broken(played, broken) })
    }
}

impl Verdict {
    /// What it was decided on, where it was played.
    pub fn played(&self) -> Option<&Played> {
        match &self.result {
            Ok(Ending::Kept(played) | Ending::Broken(played, _)) => Some(played),
            _ => None,
        }
    }

    /// Whether the promise was kept, or this way is skipped.
    pub fn is_good(&self) -> bool {
        matches!(self.result, Ok(Ending::Kept(_) | Ending::Skipped(_)))
    }
}

/// What a path holds.
#[derive(Default)]
struct Found {
    scenarios: Vec<PathBuf>,
    resources: Vec<(PathBuf, String)>,
}

impl Found {
    fn below(path: &Path) -> Result<Self, Error> {
        let mut found = Self::default();
        if path.is_dir() {
            found.add_folder(path)?;
        } else {
            found.add_folder(folder_of(path))?;
            found.scenarios = vec![path.to_owned()];
        }
        Ok(found)
    }

    fn add_folder(&mut self, folder: &Path) -> Result<(), Error> {
        let unreadable = |error: std::io::Error| {
            let origin = Origin { file: folder.display().to_string(), ..Origin::default() };
            Error::Mistakes(mistake(origin, format!("could not be read: {error}")))
        };
        let entries = std::fs::read_dir(folder).map_err(unreadable)?;
        let mut entries = entries
            .map(|entry| entry.map(|entry| entry.path()))
            .collect::<Result<Vec<_>, _>>()
            .map_err(unreadable)?;
        entries.sort();
        for path in entries {
            let is_yaml = path.extension().is_some_and(|it| it == "yaml" || it == "yml");
            if path.is_dir() {
                self.add_folder(&path)?;
            } else if is_yaml && path.file_name().is_some_and(|name| name != DEPLOYMENT) {
                let text = std::fs::read_to_string(&path).map_err(unreadable)?;
                match text.lines().any(|line| line.starts_with("apiVersion:")) {
                    true => self.resources.push((path, text)),
                    false => self.scenarios.push(path),
                }
            }
        }
        Ok(())
    }

    /// The checks among the resources.
    fn checks(&self) -> Result<Vec<spec::Resource>, Diagnostics> {
        let mut checks = Vec::new();
        let mut mistakes = Vec::new();
        for (file, text) in &self.resources {
            match spec::parse(&file.display().to_string(), text) {
                Ok(found) => checks.extend(found),
                Err(mut found) => mistakes.append(&mut found),
            }
        }
        checks.retain(|resource| resource.kind() == spec::Kind::Check);
        if mistakes.is_empty() { Ok(checks) } else { Err(Diagnostics(mistakes)) }
    }
}

/// The folder of a file. A name alone is in the folder where the command runs.
fn folder_of(file: &Path) -> &Path {
    match file.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    }
}

fn nearest_deployment(file: &Path, top: &Path) -> Option<PathBuf> {
    let folders =
        file.ancestors().skip(1).take_while(|folder| file == top || folder.starts_with(top));
    folders.map(|folder| folder.join(DEPLOYMENT)).find(|file| file.is_file())
}
