//! ONNX operators that tract lacks, or takes for something else.
//!
//! Each is an operator of tract's graphs, so that a graph with it types, optimises and runs there,
//! and says what it does, which tract's own do not all, so that it can become a step of a plan.

mod category;
mod forest;

use tract_onnx::Onnx;

pub(crate) use category::Category;

/// tract's ONNX reader with these operators in place of its own.
pub(crate) fn onnx() -> Onnx {
    let mut onnx = tract_onnx::onnx().with_ignore_value_info(true);
    onnx.op_register.insert("CategoryMapper", category::build);
    onnx.op_register.insert("TreeEnsembleClassifier", forest::classifier);
    onnx.op_register.insert("TreeEnsembleRegressor", forest::regressor);
    onnx
}
