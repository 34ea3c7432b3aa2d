//! `TreeEnsembleRegressor` and `TreeEnsembleClassifier` (ONNX-ML), as scikit-learn, XGBoost and
//! LightGBM export them.
//!
//! tract lacks the first. It has the second, and trusts the file: a class or a child that there is
//! not, or a tree with a cycle, is read or followed there without a look. Here a file is checked
//! when it is read (`parse.rs`), and walked with checks after (`trees.rs`); what scores and labels
//! become of the sums is in `finish.rs`.

mod finish;
mod op;
mod parse;
mod trees;

pub(super) use op::{classifier, regressor};
