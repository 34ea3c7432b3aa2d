//! A sidecar in this process, and a caller on its socket.

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::Arc,
};

use artifact::Mapped;
use inference::{Backend, Inputs, Tensor, TensorData, cpu::CpuBackend};
use model_server::{Capacity, DeviceChoice, Listen, NodeToken, OperatorDigest, Options};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::{sync::Notify, task::JoinHandle};

use crate::plane::{PATIENCE, PLANE, Plane, until};

/// The folder of one node; a sidecar can be started in it again.
pub struct Home {
    pub folder: TempDir,
    pub max_body_bytes: u64,
    pub capacity: Capacity,
    pub seal_artifacts: bool,
    /// Which device it runs models on; none where it is not said.
    pub device: DeviceChoice,
    pub metrics: Option<SocketAddr>,
    pub token: Option<NodeToken>,
    pub operators: Vec<OperatorDigest>,
}

pub struct Sidecar {
    pub socket: PathBuf,
    client: reqwest::Client,
    shutdown: Arc<Notify>,
    task: JoinHandle<anyhow::Result<()>>,
}

/// An answer, read to its end.
#[derive(Debug, Clone, PartialEq)]
pub struct Answered {
    pub status: StatusCode,
    pub body: Value,
}

impl Answered {
    pub fn code(&self) -> &str {
        self.body["code"].as_str().unwrap_or("no code")
    }

    pub fn air_time(&self) -> f32 {
        assert_eq!(self.status, StatusCode::OK, "{}", self.body);
        self.body["outputs"][0]["data"][0].as_f64().unwrap() as f32
    }
}

impl Home {
    pub fn new() -> Self {
        let max_body_bytes = Options::DEFAULT_MAX_BODY_BYTES;
        Self {
            folder: tempfile::tempdir().unwrap(),
            max_body_bytes,
            capacity: Capacity::default(),
            seal_artifacts: false,
            device: DeviceChoice::Off,
            metrics: None,
            token: None,
            operators: vec![],
        }
    }

    pub fn path(&self) -> &Path {
        self.folder.path()
    }

    /// Where the sidecar keeps an artifact.
    pub fn artifact(&self, digest: &tenancy::Digest) -> PathBuf {
        self.path().join("state/artifacts/sha256").join(digest.hex())
    }

    /// Starts a sidecar and waits until it answers.
    pub async fn start(&self, plane: &Plane) -> Sidecar {
        self.start_as(plane, false).await
    }

    /// Starts another sidecar, which takes over from the one that runs.
    pub async fn take_over(&self, plane: &Plane) -> Sidecar {
        self.start_as(plane, true).await
    }

    /// As what a sidecar in this folder is started.
    pub fn options(&self, plane: &Plane, take_over: bool) -> Options {
        Options {
            state_dir: self.path().join("state"),
            listen: Listen::Unix(self.path().join("sidecar.sock")),
            xds: plane.xds(),
            control: plane.control(),
            token: self.token.clone(),
            node_id: "sidecar-1".to_owned(),
            data_plane: PLANE.to_owned(),
            max_body_bytes: self.max_body_bytes,
            capacity: self.capacity,
            device: self.device.clone(),
            seal_artifacts: self.seal_artifacts,
            metrics: self.metrics,
            operators: self.operators.clone(),
            take_over,
        }
    }

    async fn start_as(&self, plane: &Plane, take_over: bool) -> Sidecar {
        // An answer does not say what went wrong on the node: its log does, in the output of the test
        // that fails.
        _ = tracing_subscriber::fmt()
            .with_test_writer()
            .with_max_level(tracing::Level::WARN)
            .try_init();
        let socket = self.path().join("sidecar.sock");
        let options = self.options(plane, take_over);
        let shutdown = Arc::new(Notify::new());
        let asked = Arc::clone(&shutdown);
        let task = tokio::spawn(Box::pin(model_server::serve(options, async move {
            asked.notified().await;
        })));
        until("the socket", || (socket.exists() || task.is_finished()).then_some(())).await;
        if task.is_finished() {
            panic!("expected the sidecar to start: {:?}", task.await);
        }
        let client = plain_client().unix_socket(socket.as_path()).build().unwrap();
        Sidecar { socket, client, shutdown, task }
    }

    /// Starts a sidecar that has taken what the plane assigns.
    pub async fn start_ready(&self, plane: &Plane) -> Sidecar {
        let streams_before: Vec<_> =
            plane.proxies.list().iter().map(|it| it.connected_since).collect();
        let sidecar = self.start(plane).await;
        // One that was stopped just now may still be taken for connected.
        let is_new = |it: &xds::ProxyStatus| {
            it.is_connected() && !streams_before.contains(&it.connected_since)
        };
        until("the sidecar", || plane.proxies.list().iter().any(is_new).then_some(())).await;
        let progress = plane.push().await;
        assert_eq!(progress.accepted, ["sidecar-1"], "{progress:?}");
        sidecar
    }
}

impl Sidecar {
    pub fn request(&self, method: Method, path: &str) -> reqwest::RequestBuilder {
        self.client.request(method, format!("http://sidecar{path}"))
    }

    pub async fn get(&self, path: &str, passport: &str) -> Answered {
        answered(self.request(Method::GET, path).header("x-bulkhead-passport", passport)).await
    }

    pub fn infer(&self, path: &str, passport: &str) -> reqwest::RequestBuilder {
        self.request(Method::POST, path)
            .header("x-bulkhead-passport", passport)
            .body(flight().to_string())
    }

    pub async fn predict(&self, path: &str, passport: &str) -> Answered {
        answered(self.infer(path, passport)).await
    }

    /// Asks it to end.
    pub fn end(&self) {
        self.shutdown.notify_one();
    }

    /// Whether it has ended.
    pub fn has_ended(&self) -> bool {
        self.task.is_finished()
    }

    /// Waits until it has ended.
    pub async fn ended(self) {
        tokio::time::timeout(PATIENCE, self.task).await.unwrap().unwrap().unwrap();
    }

    pub async fn stop(self) {
        self.end();
        self.ended().await;
    }
}

/// A client that needs no certificate authorities, which a machine may be without.
pub fn plain_client() -> reqwest::ClientBuilder {
    reqwest::Client::builder().tls_certs_only([]).no_proxy()
}

pub async fn answered(request: reqwest::RequestBuilder) -> Answered {
    let answer = request.send().await.unwrap();
    let status = answer.status();
    Answered { status, body: answer.json().await.unwrap() }
}

/// A shipped model of the flights example.
pub fn onnx(name: &str) -> Vec<u8> {
    let models = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/flights/models");
    std::fs::read(models.join(format!("{name}.onnx"))).unwrap()
}

/// The same model with one more entry in its `metadata_props` (field 14 of ONNX's `ModelProto`):
/// a repeated field that is appended to a message belongs to it.
pub fn with_metadata(mut onnx: Vec<u8>, key: &str, value: &str) -> Vec<u8> {
    let field = |tag: u8, bytes: &[u8]| [&[tag << 3 | 2, bytes.len() as u8], bytes].concat();
    let entry = [field(1, key.as_bytes()), field(2, value.as_bytes())].concat();
    onnx.extend(field(14, &entry));
    onnx
}

/// The body of a request whose inputs are all behind the JSON, and how long the JSON is.
pub fn flight_in_bytes(outputs: &Value) -> (Vec<u8>, usize) {
    let (mut behind, mut inputs) = (vec![], vec![]);
    for tensor in flight_tensors() {
        let before = behind.len();
        behind.extend(raw(tensor.data()));
        inputs.push(json!({
            "name": tensor.name(), "shape": tensor.shape(), "datatype": tensor.datatype(),
            "parameters": {"binary_data_size": behind.len() - before},
        }));
    }
    let json = json!({"inputs": inputs, "outputs": outputs}).to_string().into_bytes();
    let json_bytes = json.len();
    ([json, behind].concat(), json_bytes)
}

/// The elements that a flight has, as bytes.
pub fn raw(data: &TensorData) -> Vec<u8> {
    match data {
        TensorData::Fp32(values) => values.iter().flat_map(|it| it.to_le_bytes()).collect(),
        TensorData::Int64(values) => values.iter().flat_map(|it| it.to_le_bytes()).collect(),
        TensorData::Bytes(values) => values
            .iter()
            .flat_map(|it| [&(it.len() as u32).to_le_bytes()[..], it].concat())
            .collect(),
        other => panic!("no input of a flight is {other:?}"),
    }
}

fn input(name: &str, datatype: &str, value: Value) -> Value {
    json!({"name": name, "shape": [1, 1], "datatype": datatype, "data": [value]})
}

/// A request for one flight from Newark to Los Angeles.
pub fn flight() -> Value {
    json!({"id": "flight", "inputs": [
        input("carrier", "BYTES", json!("UA")),
        input("origin", "BYTES", json!("EWR")),
        input("dest", "BYTES", json!("LAX")),
        input("distance", "FP32", json!(2454)),
        input("month", "INT64", json!(11)),
        input("day", "INT64", json!(14)),
        input("sched_dep_time", "INT64", json!(1745)),
        input("sched_minutes", "FP32", json!(375)),
        input("dep_delay", "FP32", json!(4)),
    ]})
}

/// A request for the same flight `rows` times.
pub fn flights(rows: usize) -> Value {
    let mut request = flight();
    for input in request["inputs"].as_array_mut().unwrap() {
        input["data"] = json!(vec![input["data"][0].clone(); rows]);
        input["shape"] = json!([rows, 1]);
    }
    request
}

/// The same flight in tensors.
pub fn flight_tensors() -> Vec<Tensor> {
    let tensor = |name: &str, data| Tensor::new(name, vec![1, 1], data).unwrap();
    let text = |name: &str, text: &str| tensor(name, TensorData::Bytes(vec![text.into()]));
    vec![
        text("carrier", "UA"),
        text("origin", "EWR"),
        text("dest", "LAX"),
        tensor("distance", TensorData::Fp32(vec![2454.0])),
        tensor("month", TensorData::Int64(vec![11])),
        tensor("day", TensorData::Int64(vec![14])),
        tensor("sched_dep_time", TensorData::Int64(vec![1745])),
        tensor("sched_minutes", TensorData::Fp32(vec![375.0])),
        tensor("dep_delay", TensorData::Fp32(vec![4.0])),
    ]
}

/// What a model says of that flight, asked without a server.
pub fn expected_air_time(name: &str) -> f32 {
    let inputs = Inputs::new(flight_tensors()).unwrap();
    let model = CpuBackend::default().load(&Mapped::copied(&onnx(name)).unwrap()).unwrap();
    let outputs = model.infer(inputs).unwrap().into_tensors();
    let TensorData::Fp32(values) = outputs[0].data() else { panic!("{outputs:?}") };
    values[0]
}
