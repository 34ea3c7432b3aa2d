//! `CategoryMapper` of texts to integers (ONNX-ML). The other way around stays tract's.

use std::collections::BTreeMap;

use tract_onnx::{model::ParsingContext, pb::NodeProto, tract_hir::internal::*};

/// What each text stands for.
#[derive(Debug, Clone, Hash, PartialEq, Eq)]
pub(crate) struct Category {
    /// By text.
    pub(crate) codes: BTreeMap<String, i64>,
    pub(crate) otherwise: i64,
}

pub(super) fn build(
    context: &ParsingContext<'_>,
    node: &NodeProto,
) -> TractResult<(Box<dyn InferenceOp>, Vec<String>)> {
    let Some(otherwise) = node.get_attr_opt::<i64>("default_int64")? else {
        let tracts = tract_onnx::onnx().op_register.0.get("CategoryMapper").copied();
        let tracts = tracts.context("expected tract to map integers to texts")?;
        return tracts(context, node);
    };
    let texts: Vec<String> = node.get_attr_vec("cats_strings")?;
    let codes: Vec<i64> = node.get_attr_vec("cats_int64s")?;
    ensure!(texts.len() == codes.len(), "expected as many texts as integers in CategoryMapper");
    // Where a text comes twice, the first counts.
    let codes = texts.into_iter().zip(codes).rev().collect();
    Ok((expand(Mapper(Category { codes, otherwise })), vec![]))
}

#[derive(Debug, Clone, Hash, PartialEq, Eq)]
struct Mapper(Category);

impl Expansion for Mapper {
    fn name(&self) -> StaticName {
        "CategoryMapper".into()
    }

    fn rules<'r, 'p: 'r, 's: 'r>(
        &'s self,
        s: &mut Solver<'r>,
        inputs: &'p [TensorProxy],
        outputs: &'p [TensorProxy],
    ) -> InferenceResult {
        check_input_arity(inputs, 1)?;
        check_output_arity(outputs, 1)?;
        s.equals(&inputs[0].shape, &outputs[0].shape)?;
        s.equals(&inputs[0].datum_type, String::datum_type())?;
        s.equals(&outputs[0].datum_type, i64::datum_type())
    }

    fn wire(
        &self,
        prefix: &str,
        model: &mut TypedModel,
        inputs: &[OutletId],
    ) -> TractResult<TVec<OutletId>> {
        model.wire_node(prefix, self.0.clone(), inputs)
    }
}

impl Op for Category {
    fn name(&self) -> StaticName {
        "Category".into()
    }

    op_as_typed_op!();
}

impl EvalOp for Category {
    op_out_of_plan!();

    fn eval(&self, _: &EvalContext<'_>, inputs: TVec<TValue>) -> TractResult<TVec<TValue>> {
        let input = args_1!(inputs);
        let codes: Vec<i64> = input
            .try_as_plain_ram()?
            .as_slice::<String>()?
            .iter()
            .map(|text| self.codes.get(text).copied().unwrap_or(self.otherwise))
            .collect();
        Ok(tvec!(Tensor::from_shape(input.shape(), &codes)?.into_tvalue()))
    }
}

impl TypedOp for Category {
    as_op!();

    fn output_facts(&self, inputs: &[&TypedFact]) -> TractResult<TVec<TypedFact>> {
        Ok(tvec!(i64::fact(inputs[0].shape.iter())))
    }

    fn axes_mapping(
        &self,
        inputs: &[&TypedFact],
        outputs: &[&TypedFact],
    ) -> TractResult<AxesMapping> {
        AxesMapping::natural(inputs, outputs)
    }

    fn change_axes(
        &self,
        model: &TypedModel,
        node: &TypedNode,
        _: InOut,
        change: &AxisOp,
    ) -> TractResult<Option<AxisChangeConsequence>> {
        Ok(Some(AxisChangeConsequence::new(model, node, None, change)))
    }
}
