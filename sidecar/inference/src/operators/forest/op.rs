//! Ensembles as operators of tract's graphs.

use std::sync::Arc;

use tract_onnx::{model::ParsingContext, pb::NodeProto, tract_hir::internal::*};

use super::{finish::Finish, parse, trees::Forest};

/// An ensemble. Its input has rows of features; its outputs are the labels, where it has classes,
/// and the scores.
#[derive(Debug, Clone)]
struct Ensemble {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    forest: Forest,
    finish: Finish,
    /// The label of each class: a tensor of integers or texts.
    labels: Option<Arc<Tensor>>,
}

impl PartialEq for Ensemble {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.inner, &other.inner)
    }
}

impl Eq for Ensemble {}

impl std::hash::Hash for Ensemble {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        Arc::as_ptr(&self.inner).addr().hash(state);
    }
}

type Built = TractResult<(Box<dyn InferenceOp>, Vec<String>)>;

pub(in crate::operators) fn regressor(_: &ParsingContext<'_>, node: &NodeProto) -> Built {
    let targets: i64 = node.get_attr_opt("n_targets")?.unwrap_or(1);
    let targets = usize::try_from(targets)?;
    let forest = parse::forest(node, "target", targets)?;
    let finish = parse::finish(node, targets, false)?;
    build(Inner { forest, finish, labels: None })
}

pub(in crate::operators) fn classifier(_: &ParsingContext<'_>, node: &NodeProto) -> Built {
    let ints: Vec<i64> = node.get_attr_opt_vec("classlabels_int64s")?.unwrap_or_default();
    let texts: Vec<String> = node.get_attr_opt_vec("classlabels_strings")?.unwrap_or_default();
    let (classes, labels) = match (ints.len(), texts.len()) {
        (0, 0) => bail!("expected a classifier of trees to name its classes"),
        (classes, 0) => (classes, rctensor1(&ints)),
        (0, classes) => (classes, rctensor1(&texts)),
        _ => bail!("expected classes to be integers or texts, found both"),
    };
    let forest = parse::forest(node, "class", classes)?;
    let finish = parse::finish(node, classes, true)?;
    build(Inner { forest, finish, labels: Some(labels) })
}

fn build(inner: Inner) -> Built {
    Ok((expand(Wired(Ensemble { inner: Arc::new(inner) })), vec![]))
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Wired(Ensemble);

impl Expansion for Wired {
    fn name(&self) -> StaticName {
        "TreeEnsemble".into()
    }

    fn nboutputs(&self) -> TractResult<usize> {
        Ok(1 + usize::from(self.0.inner.labels.is_some()))
    }

    fn rules<'r, 'p: 'r, 's: 'r>(
        &'s self,
        s: &mut Solver<'r>,
        inputs: &'p [TensorProxy],
        outputs: &'p [TensorProxy],
    ) -> InferenceResult {
        let inner = &self.0.inner;
        check_input_arity(inputs, 1)?;
        check_output_arity(outputs, self.nboutputs()?)?;
        s.equals(&inputs[0].rank, 2)?;
        if let Some(labels) = &inner.labels {
            s.equals(&outputs[0].datum_type, labels.datum_type())?;
            s.equals(&outputs[0].rank, 1)?;
            s.equals(&outputs[0].shape[0], &inputs[0].shape[0])?;
        }
        let scores = &outputs[outputs.len() - 1];
        s.equals(&scores.datum_type, f32::datum_type())?;
        s.equals(&scores.rank, 2)?;
        s.equals(&scores.shape[0], &inputs[0].shape[0])?;
        s.equals(&scores.shape[1], inner.forest.sums.to_dim())
    }

    fn wire(
        &self,
        prefix: &str,
        model: &mut TypedModel,
        inputs: &[OutletId],
    ) -> TractResult<TVec<OutletId>> {
        let cast = tract_onnx::tract_core::ops::cast::cast(f32::datum_type());
        let input = model.wire_node(format!("{prefix}.f32"), cast, inputs)?;
        model.wire_node(prefix, self.0.clone(), &input)
    }
}

impl Op for Ensemble {
    fn name(&self) -> StaticName {
        "TreeEnsemble".into()
    }

    op_as_typed_op!();
}

impl EvalOp for Ensemble {
    op_out_of_plan!();

    fn eval(&self, _: &EvalContext<'_>, inputs: TVec<TValue>) -> TractResult<TVec<TValue>> {
        let Inner { forest, finish, labels } = &*self.inner;
        let input = args_1!(inputs);
        let [rows, features] = *input.shape() else { bail!("expected rows of features") };
        ensure!(
            features >= forest.features(),
            "expected at least {} features, found {features}",
            forest.features()
        );
        let numbers = input.try_as_plain_ram()?;
        let numbers = numbers.as_slice::<f32>()?;
        let mut scores = vec![0.0; rows * forest.sums];
        let mut chosen = vec![];
        if forest.sums > 0 {
            for (at, row) in scores.chunks_exact_mut(forest.sums).enumerate() {
                forest.walk(&numbers[at * features..(at + 1) * features], row);
                chosen.push(finish.row(row));
            }
        }
        let scores = Tensor::from_shape(&[rows, forest.sums], &scores)?.into_tvalue();
        let Some(labels) = labels else { return Ok(tvec!(scores)) };
        let named = if labels.datum_type() == i64::datum_type() {
            let of = labels.try_as_plain_ram()?;
            let of = of.as_slice::<i64>()?;
            tensor1(&chosen.iter().map(|at| of[*at]).collect::<Vec<_>>())
        } else {
            let of = labels.try_as_plain_ram()?;
            let of = of.as_slice::<String>()?;
            tensor1(&chosen.iter().map(|at| of[*at].clone()).collect::<Vec<_>>())
        };
        Ok(tvec!(named.into_tvalue(), scores))
    }
}

impl TypedOp for Ensemble {
    as_op!();

    fn output_facts(&self, inputs: &[&TypedFact]) -> TractResult<TVec<TypedFact>> {
        let rows = inputs[0].shape[0].clone();
        let scores = f32::fact([rows.clone(), self.inner.forest.sums.to_dim()]);
        Ok(match &self.inner.labels {
            Some(labels) => tvec!(labels.datum_type().fact([rows]), scores),
            None => tvec!(scores),
        })
    }
}
