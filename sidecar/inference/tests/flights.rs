//! The example's own models, on flights that they never saw.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // tests fail by panicking

use std::{
    collections::HashMap,
    fs::{self, File},
    path::{Path, PathBuf},
    sync::Arc,
};

use artifact::{Mapped, Package};
use flate2::read::GzDecoder;
use inference::{
    Backend, DataType, Inputs, Model, Pack, PackOver, Tensor, TensorData, TensorSpec,
    cpu::CpuBackend, pack, pack_over,
};

type Flight = HashMap<String, String>;

const FLIGHTS_A_MODEL: usize = 200;
/// Loose: how good a model is, is for its evaluation to say; this is about running it right.
const MAPE: f64 = 0.2;

fn example() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/flights")
}

fn sample(path: &Path) -> Vec<Flight> {
    let file = GzDecoder::new(File::open(path).unwrap());
    csv::Reader::from_reader(file).deserialize().map(Result::unwrap).collect()
}

fn column(spec: &TensorSpec, flights: &[&Flight]) -> Tensor {
    let cells = flights.iter().map(|flight| flight[&spec.name].as_str());
    let data = match spec.datatype {
        DataType::Bytes => TensorData::Bytes(cells.map(|cell| cell.as_bytes().to_vec()).collect()),
        DataType::Int64 => TensorData::Int64(cells.map(|cell| cell.parse().unwrap()).collect()),
        DataType::Fp32 => TensorData::Fp32(cells.map(|cell| cell.parse().unwrap()).collect()),
        other => panic!("a model of the example takes {other}"),
    };
    let shape =
        spec.shape.iter().map(|dim| if *dim == -1 { flights.len() as u64 } else { *dim as u64 });
    Tensor::new(&spec.name, shape.collect(), data).unwrap()
}

fn minutes(model: &dyn Model, flights: &[&Flight]) -> Vec<f32> {
    let columns = model.signature().inputs.iter().map(|spec| column(spec, flights)).collect();
    let outputs = model.infer(Inputs::new(columns).unwrap()).unwrap();
    assert_eq!(outputs.batch(), flights.len() as u64);
    match outputs.tensors() {
        [only] => match only.data() {
            TensorData::Fp32(minutes) => minutes.clone(),
            other => panic!("expected FP32 minutes, found {}", other.datatype()),
        },
        other => panic!("expected one output, found {other:?}"),
    }
}

/// The model as its package runs it, which it does by a plan.
fn packed(onnx: &[u8]) -> Arc<dyn Model> {
    let options = Pack { with_source: false, ..Pack::default() };
    let packed = pack(onnx, &options).unwrap();
    assert!(matches!(packed.path, inference::Path::Plan { .. }), "{:?}", packed.path);
    CpuBackend::default().load(&Mapped::copied(&packed.bytes).unwrap()).unwrap()
}

#[test]
fn every_model_of_the_example_predicts_flights_that_it_never_saw() {
    let (models, sample_path) = (example().join("models"), example().join("sample.csv.gz"));
    if !models.is_dir() || !sample_path.is_file() {
        eprintln!(
            "SKIPPED: {} has no models or no sample: `cargo xtask train` makes them",
            models.display()
        );
        return;
    }
    let flights = sample(&sample_path);
    let mut files: Vec<PathBuf> = fs::read_dir(&models)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "onnx"))
        .collect();
    files.sort();
    assert!(!files.is_empty(), "no models in {}", models.display());
    for file in files {
        let name = file.file_stem().unwrap().to_str().unwrap().to_uppercase();
        let onnx = fs::read(&file).unwrap();
        let model = CpuBackend::default().load(&Mapped::copied(&onnx).unwrap()).unwrap();
        assert_eq!(model.unoptimised(), None, "{name}");
        let packed = packed(&onnx);

        let own = |flight: &&Flight| name == "POOLED" || flight["carrier"] == name;
        let stride = (flights.iter().filter(own).count() / FLIGHTS_A_MODEL).max(1);
        let some: Vec<&Flight> =
            flights.iter().filter(own).step_by(stride).take(FLIGHTS_A_MODEL).collect();
        if some.is_empty() {
            eprintln!("SKIPPED: the sample has no flight of {name}");
            continue;
        }
        let together = minutes(&*model, &some);
        for (plain, planned) in together.iter().zip(minutes(&*packed, &some)) {
            let near = (plain - planned).abs() <= 1e-5 * plain.abs().max(1.0);
            assert!(near, "{name}: {planned} from the package, {plain} from the file");
        }
        let error: f64 = together
            .iter()
            .zip(&some)
            .map(|(predicted, flight)| {
                let flown: f64 = flight["air_time"].parse().unwrap();
                (f64::from(*predicted) - flown).abs() / flown
            })
            .sum();
        let mape = error / some.len() as f64;
        eprintln!("{name}: MAPE {mape:.3} over {} flights", some.len());
        // A model of a handful of flights is there to fail the promotion gate, and may be bad.
        let thin = some.len() < 50;
        assert!(mape <= MAPE || thin, "{name}: MAPE {mape:.3} over {} flights", some.len());

        for (flight, minutes_together) in some.iter().zip(&together).take(20) {
            let alone = minutes(&*model, &[flight])[0];
            assert!((alone - minutes_together).abs() <= 1e-3 * alone.abs(), "{name}: {flight:?}");
        }
    }
}

#[test]
fn the_adapters_of_the_bridge_tenants_answer_as_the_tuned_models() {
    let models = example().join("models");
    let Ok(tuned) = fs::read_dir(models.join("tuned")) else {
        eprintln!("SKIPPED: no tuned models: `cargo xtask train` makes them");
        return;
    };
    let pooled = fs::read(models.join("pooled.onnx")).unwrap();
    let whole = Pack { with_source: false, ..Pack::default() };
    let base = Mapped::copied(&pack(&pooled, &whole).unwrap().bytes).unwrap();
    let backend = CpuBackend::default();
    let base_model = backend.load(&base).unwrap();
    let base = Package::open(base).unwrap();
    let flights = sample(&example().join("sample.csv.gz"));
    let files: Vec<PathBuf> = tuned.map(|entry| entry.unwrap().path()).collect();
    assert_eq!(files.len(), 6);
    for file in files {
        let name = file.file_stem().unwrap().to_str().unwrap().to_uppercase();
        let onnx = fs::read(&file).unwrap();
        let packed = pack_over(&base, &onnx, &PackOver::default()).unwrap();
        let bytes = packed.bytes.len();
        assert!(bytes < base.file().len() / 2, "{name}: {bytes} bytes");
        let file = Mapped::copied(&packed.bytes).unwrap();
        let adapter = backend.load_over(&file, &base_model).unwrap();
        assert!(adapter.family().is_some() && adapter.family() == base_model.family());
        let own: Vec<&Flight> =
            flights.iter().filter(|it| it["carrier"] == name).take(200).collect();
        let whole = self::packed(&onnx);
        for (own, expected) in minutes(&*adapter, &own).iter().zip(minutes(&*whole, &own)) {
            assert!((own - expected).abs() <= 1e-3 * expected, "{name}: {own} is not {expected}");
        }
    }
}
