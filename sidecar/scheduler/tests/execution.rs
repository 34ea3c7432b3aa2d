//! Requests to one model that run as one.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // tests fail by panicking

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use artifact::Mapped;
use inference::{
    DataType, InferError, Inputs, Model, Outputs, Signature, Tensor, TensorData, TensorSpec,
};
use scheduler::{Execution, Joins, Loaded, execute};

/// Doubles each row, or adds up all of them for each: what it does says nothing of its shape.
struct Fake {
    signature: Signature,
    mixes: bool,
    runs: Arc<AtomicUsize>,
}

impl Model for Fake {
    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn max_batch(&self) -> u64 {
        64
    }

    fn infer(&self, inputs: Inputs) -> Result<Outputs, InferError> {
        self.runs.fetch_add(1, Ordering::SeqCst);
        let TensorData::Fp32(rows) = inputs.tensors()[0].data() else { panic!("another datatype") };
        if rows.contains(&13.0) {
            return Err(InferError::Failed { detail: "unlucky".to_owned() });
        }
        assert!(!rows.contains(&666.0), "a backend's mistake");
        let sum: f32 = rows.iter().sum();
        let answers = rows.iter().map(|row| if self.mixes { sum } else { 2.0 * row }).collect();
        let answer = Tensor::new("y", vec![rows.len() as u64], TensorData::Fp32(answers))?;
        // As many rows as it was given, in one tensor.
        Ok(Outputs::of(rows.len() as u64, vec![answer]))
    }

    fn private_bytes(&self) -> u64 {
        0
    }
}

fn loaded(mixes: bool) -> (Arc<Loaded>, Arc<AtomicUsize>) {
    let runs = Arc::new(AtomicUsize::new(0));
    let tensor = |name| vec![TensorSpec::new(name, DataType::Fp32, vec![-1])];
    let signature = Signature { inputs: tensor("x"), outputs: tensor("y"), ..Signature::default() };
    let model = Fake { signature, mixes, runs: Arc::clone(&runs) };
    (Arc::new(Loaded::new(Arc::new(model), Mapped::copied(b"model").unwrap())), runs)
}

fn run(loaded: &Arc<Loaded>, requests: &[&[f32]]) -> Vec<Result<Vec<f32>, InferError>> {
    let executions = requests.iter().map(|rows| {
        let data = TensorData::Fp32(rows.to_vec());
        let tensor = Tensor::new("x", vec![rows.len() as u64], data).unwrap();
        let inputs = Inputs::new(vec![tensor]).unwrap();
        Execution { loaded: Arc::clone(loaded), inputs }
    });
    let answers = execute(executions.collect());
    answers
        .into_iter()
        .zip(requests)
        .map(|(answer, request)| {
            let answer = answer?;
            assert_eq!(answer.batch(), request.len() as u64);
            let TensorData::Fp32(rows) = answer.tensors()[0].data() else { panic!("{answer:?}") };
            Ok(rows.clone())
        })
        .collect()
}

#[test]
fn each_gets_its_own_rows_of_one_execution() {
    let (loaded, runs) = loaded(false);
    assert_eq!(loaded.joins(), Joins::Unknown);
    let first = run(&loaded, &[&[1.0], &[2.0, 3.0]]);
    assert_eq!(first, [Ok(vec![2.0]), Ok(vec![4.0, 6.0])]);
    // It was done both ways, to see that they agree.
    assert_eq!((runs.load(Ordering::SeqCst), loaded.joins()), (3, Joins::Alike));
    let second = run(&loaded, &[&[4.0, 5.0], &[6.0], &[7.0]]);
    assert_eq!(second, [Ok(vec![8.0, 10.0]), Ok(vec![12.0]), Ok(vec![14.0])]);
    assert_eq!(runs.load(Ordering::SeqCst), 4);
}

#[test]
fn a_model_that_mixes_the_rows_of_its_batch_is_found_out_and_never_joined() {
    let (loaded, runs) = loaded(true);
    let alone = [Ok(vec![1.0]), Ok(vec![2.0])];
    assert_eq!(run(&loaded, &[&[1.0], &[2.0]]), alone);
    assert_eq!(loaded.joins(), Joins::Never);
    assert_eq!(run(&loaded, &[&[1.0], &[2.0]]), alone);
    assert_eq!(runs.load(Ordering::SeqCst), 5);
}

#[test]
fn one_that_makes_the_model_fail_fails_nobody_else() {
    let (loaded, _) = loaded(false);
    run(&loaded, &[&[1.0], &[2.0]]);
    assert_eq!(loaded.joins(), Joins::Alike);
    for unlucky in [13.0, 666.0] {
        let answers = run(&loaded, &[&[1.0], &[unlucky], &[2.0]]);
        assert_eq!((&answers[0], &answers[2]), (&Ok(vec![2.0]), &Ok(vec![4.0])));
        assert!(answers[1].is_err());
    }
    assert_eq!(loaded.joins(), Joins::Alike);
}
