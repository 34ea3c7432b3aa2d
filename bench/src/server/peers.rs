//! The peers, each as its skilled user would run it on this machine for this model.

use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Context, Result};
use devstack::{
    environment, http, ports,
    process::{Child, Launch},
    until,
};
use serde_json::json;

use super::{Addresses, python::Python};

const PYTRITON: &str = "nvidia-pytriton==0.7.0";
const PATIENCE: Duration = Duration::from_secs(120);

/// A server that is stopped when this is dropped.
#[derive(Debug)]
pub(super) struct Peer {
    pub(super) addresses: Addresses,
    _process: Child,
}

/// A real `tritonserver` with its Python backend: an instance a processor, no batching, no metrics.
pub(super) async fn triton(model: &Path, folder: &Path) -> Result<Peer> {
    let files = environment::repository().join("bench/server/triton");
    let python = Python::provide("triton", &files.join("requirements.txt"), Some(PYTRITON))?;
    let packages = PathBuf::from(python.evaluate("sysconfig", "sysconfig.get_paths()['purelib']")?);
    let server = packages.join("pytriton/tritonserver");
    provide_stub(&python, &server)?;
    let repository = folder.join("triton");
    let version = repository.join("air-time/1");
    fs::create_dir_all(&version)?;
    fs::copy(model, version.join("model.onnx"))?;
    fs::copy(files.join("model.py"), version.join("model.py"))?;
    fs::copy(files.join("config.pbtxt"), repository.join("air-time/config.pbtxt"))?;
    let libraries = format!(
        "{}:{}",
        packages.join("nvidia_pytriton.libs").display(),
        python.evaluate("sysconfig", "sysconfig.get_config_var('LIBDIR')")?
    );
    let addresses = Addresses { http: ports::free()?, grpc: ports::free()? };
    let program = server.join("bin/tritonserver");
    executable(&program)?;
    let launch = Launch::new("triton", program, folder)
        .arg(format!("--model-repository={}", repository.display()))
        .arg(format!("--backend-directory={}", server.join("backends").display()))
        .args([format!("--http-port={}", addresses.http.port())])
        .args([format!("--grpc-port={}", addresses.grpc.port())])
        .args(["--http-address=127.0.0.1", "--grpc-address=127.0.0.1", "--allow-metrics=false"])
        .env("LD_LIBRARY_PATH", libraries)
        .env("VIRTUAL_ENV", python.folder.display().to_string())
        .env("PATH", search_path(&python));
    started(launch, addresses).await
}

/// MLServer with a runtime of its own kind, in one process, which is its fastest for a model that
/// answers in less time than a hop between processes takes.
pub(super) async fn mlserver(model: &Path, folder: &Path) -> Result<Peer> {
    let files = environment::repository().join("bench/server/mlserver");
    let python = Python::provide("mlserver", &files.join("requirements.txt"), None)?;
    let addresses = Addresses { http: ports::free()?, grpc: ports::free()? };
    let settings = json!({
        "host": "127.0.0.1",
        "http_port": addresses.http.port(),
        "grpc_port": addresses.grpc.port(),
        "metrics_port": ports::free()?.port(),
        "parallel_workers": 0,
        "debug": false,
    });
    let served = folder.join("mlserver");
    fs::create_dir_all(&served)?;
    fs::copy(files.join("flights.py"), served.join("flights.py"))?;
    fs::write(served.join("settings.json"), settings.to_string())?;
    let parameters = json!({"uri": model, "version": "1"});
    let model_settings = json!({
        "name": "air-time", "implementation": "flights.Flights", "parameters": parameters,
    });
    fs::write(served.join("model-settings.json"), model_settings.to_string())?;
    let launch = Launch::new("mlserver", python.folder.join("bin/mlserver"), folder)
        .arg("start")
        .arg(&served)
        .env("PYTHONPATH", served.display().to_string())
        .env("PATH", search_path(&python));
    started(launch, addresses).await
}

async fn started(launch: Launch, addresses: Addresses) -> Result<Peer> {
    let mut process = Child::spawn(&launch)?;
    let url = format!("http://{}/v2/models/air-time/ready", addresses.http);
    let what = format!("{} to be ready", launch.name);
    let waited = until(&what, PATIENCE, async || {
        anyhow::ensure!(process.is_alive(), "{} ended", launch.name);
        let answer = http::get(&url).await;
        Ok(answer.is_ok_and(|answer| answer.status.is_success()).then_some(()))
    });
    waited.await.with_context(|| format!("its log ends:\n{}", launch.log_tail(20)))?;
    Ok(Peer { addresses, _process: process })
}

/// Puts the backend's half that runs in this Python where the backend looks for it.
fn provide_stub(python: &Python, server: &Path) -> Result<()> {
    const STUB: &str = "triton_python_backend_stub";
    let version = python.evaluate("sys", "'%d.%d' % sys.version_info[:2]")?;
    let from = server.join("python_backend_stubs").join(version).join(STUB);
    let to = server.join("backends/python").join(STUB);
    fs::copy(&from, &to).with_context(|| format!("no stub at {}", from.display()))?;
    executable(&to)
}

fn executable(program: &Path) -> Result<()> {
    fs::set_permissions(program, fs::Permissions::from_mode(0o755))
        .with_context(|| format!("could not make {} executable", program.display()))
}

fn search_path(python: &Python) -> String {
    let inherited = std::env::var("PATH").unwrap_or_default();
    format!("{}:{inherited}", python.folder.join("bin").display())
}
