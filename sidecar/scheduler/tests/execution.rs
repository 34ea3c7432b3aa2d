//! Requests to one model, or to several of a family, that run as one.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // tests fail by panicking

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use artifact::Mapped;
use inference::{
    DataType, InferError, Inputs, Model, Outputs, Part, Signature, Tensor, TensorData, TensorSpec,
};
use scheduler::{Execution, Joins, Loaded, execute};
use tenancy::Digest;

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

/// Adds its own number to each row. Those of one family answer together.
struct Adding {
    signature: Signature,
    own: f32,
    /// What it says of who else it is run with.
    family: Option<Digest>,
    /// Whether it takes the first part's number for all rows.
    mixes: bool,
    joint: Arc<AtomicUsize>,
}

impl Model for Adding {
    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn max_batch(&self) -> u64 {
        64
    }

    fn infer(&self, inputs: Inputs) -> Result<Outputs, InferError> {
        answer(&inputs, &mut std::iter::repeat(self.own))
    }

    fn family(&self) -> Option<Digest> {
        self.family
    }

    fn infer_together(
        &self,
        inputs: &Inputs,
        parts: &[Part<'_>],
        outputs: &mut Outputs,
    ) -> Result<(), InferError> {
        self.joint.fetch_add(1, Ordering::SeqCst);
        assert_eq!(parts.iter().map(|part| part.rows).sum::<u64>(), inputs.batch());
        let own = |part: &Part<'_>| {
            let any: &dyn std::any::Any = part.model;
            let model: &Self = any.downcast_ref().unwrap();
            let own = if model.mixes { 0.0 } else { model.own };
            std::iter::repeat_n(own, part.rows as usize)
        };
        *outputs = answer(inputs, &mut parts.iter().flat_map(own))?;
        Ok(())
    }

    fn private_bytes(&self) -> u64 {
        0
    }
}

fn answer(inputs: &Inputs, own: &mut dyn Iterator<Item = f32>) -> Result<Outputs, InferError> {
    let TensorData::Fp32(rows) = inputs.tensors()[0].data() else { panic!("another datatype") };
    if rows.contains(&13.0) {
        return Err(InferError::Failed { detail: "unlucky".to_owned() });
    }
    let answers = rows.iter().zip(own).map(|(row, own)| row + own).collect();
    let answer = Tensor::new("y", vec![rows.len() as u64], TensorData::Fp32(answers))?;
    Ok(Outputs::of(rows.len() as u64, vec![answer]))
}

fn adding(own: f32, family: Option<&str>, mixes: bool, joint: &Arc<AtomicUsize>) -> Arc<Loaded> {
    let tensor = |name| vec![TensorSpec::new(name, DataType::Fp32, vec![-1])];
    let signature = Signature { inputs: tensor("x"), outputs: tensor("y"), ..Signature::default() };
    let family = family.map(|it| Digest::of(it.as_bytes()));
    let model = Adding { signature, own, family, mixes, joint: Arc::clone(joint) };
    // Files differ where models do: what is seen of one is remembered by its digest.
    static FILES: AtomicUsize = AtomicUsize::new(0);
    let file = FILES.fetch_add(1, Ordering::SeqCst).to_le_bytes();
    Arc::new(Loaded::new(Arc::new(model), Mapped::copied(&file).unwrap()))
}

fn asked(requests: &[(&Arc<Loaded>, &[f32])]) -> Vec<Execution> {
    let execution = |(loaded, rows): &(&Arc<Loaded>, &[f32])| {
        let data = TensorData::Fp32(rows.to_vec());
        let tensor = Tensor::new("x", vec![rows.len() as u64], data).unwrap();
        Execution { loaded: Arc::clone(loaded), inputs: Inputs::new(vec![tensor]).unwrap() }
    };
    requests.iter().map(execution).collect()
}

fn answered(requests: &[(&Arc<Loaded>, &[f32])]) -> Vec<Option<Vec<f32>>> {
    let answers = execute(asked(requests));
    let rows = |answer: Outputs| match answer.tensors()[0].data() {
        TensorData::Fp32(rows) => rows.clone(),
        other => panic!("{other:?}"),
    };
    answers.into_iter().map(|it| it.ok().map(rows)).collect()
}

#[test]
fn requests_of_several_models_of_a_family_run_as_one_and_each_gets_its_own_answer() {
    let joint = Arc::default();
    let [a, b, c] = [10.0, 20.0, 30.0].map(|own| adding(own, Some("one"), false, &joint));
    let requests: &[(&Arc<Loaded>, &[f32])] =
        &[(&a, &[1.0]), (&b, &[2.0, 3.0]), (&c, &[4.0]), (&a, &[5.0])];
    let expected = [Some(vec![11.0]), Some(vec![22.0, 23.0]), Some(vec![34.0]), Some(vec![15.0])];
    // The first time each model is run alone too, to see that they agree.
    assert_eq!(answered(requests), expected);
    assert!([&a, &b, &c].iter().all(|it| it.joins() == Joins::Alike));
    assert_eq!(answered(requests), expected);
    assert_eq!(joint.load(Ordering::SeqCst), 2);
    // A newcomer is compared, and the others are not run again for it.
    let d = adding(40.0, Some("one"), false, &joint);
    assert_eq!(answered(&[(&a, &[1.0]), (&d, &[1.0])]), [Some(vec![11.0]), Some(vec![41.0])]);
    assert_eq!((joint.load(Ordering::SeqCst), d.joins()), (3, Joins::Alike));
}

#[test]
fn an_adapter_that_was_evicted_and_comes_back_is_not_compared_again() {
    let joint = Arc::default();
    let [a, b] = [10.0, 20.0].map(|own| adding(own, Some("one"), false, &joint));
    answered(&[(&a, &[1.0]), (&b, &[1.0])]);
    let again = Arc::new(Loaded::new(Arc::clone(a.model()), a.artifact().clone()));
    assert_eq!((again.joins(), again.id() == a.id()), (Joins::Alike, false));
}

#[test]
fn models_of_one_family_are_of_one_kind_and_others_are_not() {
    let joint = Arc::default();
    let [a, b] = [1.0, 2.0].map(|own| adding(own, Some("one"), false, &joint));
    let other = adding(1.0, Some("another"), false, &joint);
    let [alone, lonely] = [1.0, 2.0].map(|own| adding(own, None, false, &joint));
    let kind = |it: &Arc<Loaded>| asked(&[(it, &[1.0])]).remove(0).kind();
    assert_eq!(kind(&a), kind(&b));
    assert_ne!(kind(&a), kind(&other));
    assert_ne!(kind(&a), kind(&alone));
    assert_ne!(kind(&alone), kind(&lonely));
}

#[test]
fn a_model_that_answers_otherwise_among_its_family_leaves_it_and_the_others_stay() {
    let joint = Arc::default();
    let [a, b] = [10.0, 20.0].map(|own| adding(own, Some("one"), false, &joint));
    let odd = adding(30.0, Some("one"), true, &joint);
    let requests: &[(&Arc<Loaded>, &[f32])] = &[(&odd, &[1.0]), (&a, &[1.0]), (&b, &[1.0])];
    let expected = [Some(vec![31.0]), Some(vec![11.0]), Some(vec![21.0])];
    assert_eq!(answered(requests), expected);
    assert_eq!((odd.joins(), a.joins(), b.joins()), (Joins::Never, Joins::Alike, Joins::Alike));
    let kind = |it: &Arc<Loaded>| asked(&[(it, &[1.0])]).remove(0).kind();
    assert_ne!(kind(&odd), kind(&a));
    // What waited as of the family is answered all the same.
    assert_eq!(answered(requests), expected);
    assert_eq!(joint.load(Ordering::SeqCst), 2);
}

#[test]
fn one_tenants_request_that_fails_fails_no_other_of_the_family() {
    let joint = Arc::default();
    let [a, b] = [10.0, 20.0].map(|own| adding(own, Some("one"), false, &joint));
    answered(&[(&a, &[1.0]), (&b, &[1.0])]);
    let answers = answered(&[(&a, &[1.0]), (&b, &[13.0]), (&b, &[2.0])]);
    assert_eq!(answers, [Some(vec![11.0]), None, Some(vec![22.0])]);
    assert_eq!((a.joins(), b.joins()), (Joins::Alike, Joins::Alike));
}
