//! A node of the file into trees, checked.

use std::collections::HashMap;

use tract_onnx::{pb::NodeProto, tract_hir::internal::*};

use super::{
    finish::{Binary, Finish, Post},
    trees::{Aggregate, Forest, Node, Test},
};

/// The trees of a node whose leaves' attributes start with `prefix`.
pub(super) fn forest(node: &NodeProto, prefix: &str, sums: usize) -> TractResult<Forest> {
    let ints = |name: &str| -> TractResult<Vec<i64>> { node.get_attr_vec(name) };
    let floats = |name: &str| -> TractResult<Vec<f32>> { node.get_attr_vec(name) };
    let (trees, ids) = (ints("nodes_treeids")?, ints("nodes_nodeids")?);
    let (features, values) = (ints("nodes_featureids")?, floats("nodes_values")?);
    let (yes, no) = (ints("nodes_truenodeids")?, ints("nodes_falsenodeids")?);
    let modes: Vec<String> = node.get_attr_vec("nodes_modes")?;
    let missing: Vec<i64> =
        node.get_attr_opt_vec("nodes_missing_value_tracks_true")?.unwrap_or_default();
    let count = ids.len();
    ensure!(
        count > 0
            && [trees.len(), features.len(), values.len(), yes.len(), no.len(), modes.len()]
                == [count; 6]
            && (missing.is_empty() || missing.len() == count),
        "expected attributes of one length for the nodes of trees"
    );
    let mut places = HashMap::with_capacity(count);
    for (at, key) in trees.iter().copied().zip(ids.iter().copied()).enumerate() {
        ensure!(places.insert(key, at).is_none(), "node {} of tree {} comes twice", key.1, key.0);
    }
    let mut weights = weights(node, prefix, sums, &places)?;
    let mut nodes = Vec::with_capacity(count);
    let mut flat = vec![];
    let columns = izip(&trees, &features, &values, &yes, &no, &modes);
    for (at, (tree, feature, value, yes, no, mode)) in columns.enumerate() {
        let Some(test) = test(mode)? else {
            let first = flat.len();
            flat.append(&mut weights.remove(&at).unwrap_or_default());
            nodes.push(Node::Leaf { first, end: flat.len() });
            continue;
        };
        let child = |id: i64| {
            let place = places.get(&(*tree, id)).copied();
            place.with_context(|| format!("tree {tree} has no node {id}"))
        };
        nodes.push(Node::Branch {
            feature: usize::try_from(*feature)?,
            test,
            value: *value,
            missing: missing.get(at).is_some_and(|it| *it != 0),
            yes: child(*yes)?,
            no: child(*no)?,
        });
    }
    let mut roots: Vec<usize> = vec![];
    let mut seen = std::collections::HashSet::new();
    for (at, tree) in trees.iter().enumerate() {
        if seen.insert(*tree) {
            roots.push(at);
        }
    }
    check_trees(&roots, &nodes)?;
    let aggregate = match node.get_attr_opt::<&str>("aggregate_function")?.unwrap_or("SUM") {
        "SUM" => Aggregate::Sum,
        "AVERAGE" => Aggregate::Average,
        "MIN" => Aggregate::Min,
        "MAX" => Aggregate::Max,
        other => bail!("expected trees to be joined by SUM, AVERAGE, MIN or MAX, found {other}"),
    };
    Ok(Forest { roots, nodes, weights: flat, sums, aggregate })
}

/// Every node is reached at most once, so that no walk goes in circles.
fn check_trees(roots: &[usize], nodes: &[Node]) -> TractResult<()> {
    let mut reached = vec![false; nodes.len()];
    let mut open = roots.to_vec();
    while let Some(at) = open.pop() {
        let Some(mark) = reached.get_mut(at) else { bail!("a tree has no root") };
        ensure!(!*mark, "a node of a tree is reached twice");
        *mark = true;
        if let Some(Node::Branch { yes, no, .. }) = nodes.get(at) {
            open.extend([*yes, *no]);
        }
    }
    Ok(())
}

type Weights = HashMap<usize, Vec<(usize, f32)>>;

/// What each leaf adds, by the place of its node.
fn weights(
    node: &NodeProto,
    prefix: &str,
    sums: usize,
    places: &HashMap<(i64, i64), usize>,
) -> TractResult<Weights> {
    let ints =
        |name: &str| -> TractResult<Vec<i64>> { node.get_attr_vec(&format!("{prefix}_{name}")) };
    let (trees, ids, targets) = (ints("treeids")?, ints("nodeids")?, ints("ids")?);
    let numbers: Vec<f32> = node.get_attr_vec(&format!("{prefix}_weights"))?;
    ensure!(
        [trees.len(), ids.len(), targets.len()] == [numbers.len(); 3],
        "expected attributes of one length for the leaves of trees"
    );
    let mut by_node = Weights::new();
    for (tree, id, target, weight) in izip4(&trees, &ids, &targets, &numbers) {
        let place = places.get(&(*tree, *id)).copied();
        let place = place.with_context(|| format!("tree {tree} has no leaf {id}"))?;
        let target = usize::try_from(*target)?;
        ensure!(target < sums, "expected a class or target below {sums}, found {target}");
        by_node.entry(place).or_default().push((target, *weight));
    }
    Ok(by_node)
}

/// What becomes of the sums; `classes` where they are classes.
pub(super) fn finish(node: &NodeProto, sums: usize, classes: bool) -> TractResult<Finish> {
    let base: Vec<f32> = node.get_attr_opt_vec("base_values")?.unwrap_or_default();
    ensure!(base.len() <= sums.max(1), "expected at most {sums} base values, found {}", base.len());
    let post = match node.get_attr_opt::<&str>("post_transform")?.unwrap_or("NONE") {
        "NONE" => Post::None,
        "LOGISTIC" => Post::Logistic,
        "SOFTMAX" => Post::Softmax,
        "SOFTMAX_ZERO" => Post::SoftmaxZero,
        "PROBIT" => Post::Probit,
        other => bail!("expected a post transform of ONNX-ML, found {other}"),
    };
    // onnxruntime leaves the only target of a regressor as it is but for this one, and it is what
    // exporters check their models by.
    let post = if !classes && sums == 1 && post != Post::Probit { Post::None } else { post };
    let mut binary = None;
    if classes && sums == 2 {
        let ids: Vec<i64> = node.get_attr_vec("class_ids")?;
        let weights: Vec<f32> = node.get_attr_vec("class_weights")?;
        let first = ids.first().copied().unwrap_or(0);
        if ids.iter().all(|id| *id == first) {
            let is_probability = weights.iter().all(|weight| *weight >= 0.0);
            binary = Some(Binary { class: usize::try_from(first)?, is_probability });
        }
    }
    Ok(Finish { base, post, binary })
}

fn test(mode: &str) -> TractResult<Option<Test>> {
    Ok(Some(match mode {
        "LEAF" => return Ok(None),
        "BRANCH_LEQ" => Test::LessEqual,
        "BRANCH_LT" => Test::Less,
        "BRANCH_GTE" => Test::GreaterEqual,
        "BRANCH_GT" => Test::Greater,
        "BRANCH_EQ" => Test::Equal,
        "BRANCH_NEQ" => Test::NotEqual,
        other => bail!("expected a mode of ONNX-ML's trees, found {other}"),
    }))
}

#[allow(clippy::type_complexity, reason = "six columns of one table")]
fn izip<'a>(
    a: &'a [i64],
    b: &'a [i64],
    c: &'a [f32],
    d: &'a [i64],
    e: &'a [i64],
    f: &'a [String],
) -> impl Iterator<Item = (&'a i64, &'a i64, &'a f32, &'a i64, &'a i64, &'a String)> {
    let pairs = a.iter().zip(b).zip(c).zip(d).zip(e).zip(f);
    pairs.map(|(((((a, b), c), d), e), f)| (a, b, c, d, e, f))
}

fn izip4<'a>(
    a: &'a [i64],
    b: &'a [i64],
    c: &'a [i64],
    d: &'a [f32],
) -> impl Iterator<Item = (&'a i64, &'a i64, &'a i64, &'a f32)> {
    a.iter().zip(b).zip(c).zip(d).map(|(((a, b), c), d)| (a, b, c, d))
}
