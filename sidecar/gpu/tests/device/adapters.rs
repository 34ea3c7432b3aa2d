//! Models that change a base, alone and together.

use inference::{Inputs, Model, OnDevice, Outputs, Part};

use crate::{
    llvmpipe::{backend, device},
    support::{assert_near, placed},
    tuned::{self, MODELS, Noise, family_by, inputs},
};

fn given(model: &dyn Model, rows: u64, seed: u64) -> Inputs {
    inputs(model, rows, 5, &mut Noise::of(seed))
}

#[test]
fn an_adapter_answers_as_on_the_cpu() {
    let Some(device) = device() else { return };
    for model in MODELS {
        for adapter in family_by(&backend(device), model, 2) {
            for rows in [1, 2, 9, 40] {
                let (given, on_cpu) = (given(&*adapter, rows, rows), placed(&*adapter).on_cpu());
                let expected = on_cpu.infer(given.clone()).unwrap();
                let before = placed(&*adapter).answered_by_device();
                assert_near(&adapter.infer(given).unwrap(), &expected, 1e-4, "an adapter");
                assert_eq!(placed(&*adapter).answered_by_device(), before + 1, "by the CPU");
            }
        }
    }
}

#[test]
fn a_base_and_its_adapters_answer_together_as_each_alone() {
    let Some(device) = device() else { return };
    let mut joined = 0;
    for model in MODELS {
        let models = family_by(&backend(device), model, 6);
        let first = models[0].family();
        if first.is_none() || models.iter().any(|model| model.family() != first) {
            continue;
        }
        let rows: Vec<u64> = (0..models.len() as u64).map(|at| at % 3 + 1).collect();
        let given = given(&*models[0], rows.iter().sum(), 3);
        let parts: Vec<Part<'_>> =
            models.iter().zip(&rows).map(|(it, rows)| Part { model: &**it, rows: *rows }).collect();
        let mut outputs = Outputs::default();
        models[1].infer_together(&given, &parts, &mut outputs).unwrap();
        let (answers, split) = (outputs.split(&rows).unwrap(), given.split(&rows).unwrap());
        for ((model, answer), given) in models.iter().zip(&answers).zip(split) {
            let alone = placed(&**model).on_cpu().infer(given).unwrap();
            assert_near(answer, &alone, 1e-4, "together");
            assert_eq!(placed(&**model).answered_by_device(), 1, "by the CPU");
        }
        joined += 1;
    }
    assert_eq!(joined, MODELS.len(), "models of some structures are not joined");
}

#[test]
fn adapters_take_their_own_bytes_and_keep_their_base() {
    let Some(device) = device() else { return };
    let models = family_by(&backend(device), tuned::mlp, 2);
    let [base, one, other] = &models[..] else { panic!("three models") };
    placed(&**one).bring().unwrap();
    assert!(placed(&**base).is_there(), "an adapter brings its base");
    placed(&**other).bring().unwrap();
    let given = given(&**one, 4, 1);
    let expected = placed(&**one).on_cpu().infer(given.clone()).unwrap();
    placed(&**base).let_go();
    placed(&**other).let_go();
    assert_near(&one.infer(given).unwrap(), &expected, 1e-4, "after its base was let go");
    assert_eq!(placed(&**one).answered_by_device(), 1);
}
