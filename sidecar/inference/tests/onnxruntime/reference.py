"""Writes small models, random inputs for every batch from 1 to 64, and onnxruntime's answers.

For each model NAME there are NAME.onnx and NAME.json in the folder that is the only argument.
"""

import json
import pathlib
import sys

import numpy
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper

folder = pathlib.Path(sys.argv[1])
random = numpy.random.default_rng(20261121)


def weights(name, *shape):
    scale = 1 / numpy.sqrt(shape[-2] if len(shape) > 1 else 1)
    return numpy_helper.from_array((random.standard_normal(shape) * scale).astype("f4"), name)


def constant(name, values, kind="i8"):
    return numpy_helper.from_array(numpy.array(values, kind), name)


def floats(name, shape):
    return helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)


def write(name, nodes, inputs, outputs, initializers=(), tolerance=1e-5):
    graph = helper.make_graph(nodes, name, inputs, outputs, list(initializers))
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("ai.onnx.ml", 3)]
    model = helper.make_model(graph, opset_imports=opsets, ir_version=8)
    onnx.checker.check_model(model)
    onnx.save(model, folder / f"{name}.onnx")
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(model.SerializeToString(), options)
    cases = []
    for batch in range(1, 65):
        given = {}
        for it in session.get_inputs():
            shape = [batch if isinstance(dim, str) or dim is None else dim for dim in it.shape]
            given[it.name] = random.standard_normal(shape).astype("f4")
        answers = session.run(None, given)
        tensor = lambda it: {"shape": list(it.shape), "data": it.flatten().tolist()}
        cases.append({
            "inputs": {key: tensor(value) for key, value in given.items()},
            "outputs": [tensor(it) for it in answers],
        })
    (folder / f"{name}.json").write_text(json.dumps({"tolerance": tolerance, "cases": cases}))


node = helper.make_node

write("mlp", [
    node("Gemm", ["x", "w0", "b0"], ["h0"]), node("Relu", ["h0"], ["a0"]),
    node("Gemm", ["a0", "w1", "b1"], ["h1"], transB=1, alpha=0.5), node("Tanh", ["h1"], ["a1"]),
    node("Gemm", ["a1", "w2", "b2"], ["h2"]), node("Softmax", ["h2"], ["y"], axis=-1),
], [floats("x", ["N", 20])], [floats("y", ["N", 5])], [
    weights("w0", 20, 65), weights("b0", 65), weights("w1", 33, 65), weights("b1", 33),
    weights("w2", 33, 5), weights("b2", 5),
])

write("conv", [
    node("Conv", ["x", "w", "b"], ["c"], pads=[1, 1, 1, 1]), node("Relu", ["c"], ["r"]),
    node("MaxPool", ["r"], ["p"], kernel_shape=[2, 2], strides=[2, 2]),
    node("Conv", ["p", "w2", "b2"], ["c2"], group=2), node("Sigmoid", ["c2"], ["s"]),
    node("Flatten", ["s"], ["f"]), node("Gemm", ["f", "w3", "b3"], ["y"]),
], [floats("x", ["N", 2, 8, 8])], [floats("y", ["N", 3])], [
    weights("w", 4, 2, 3, 3), weights("b", 4), weights("w2", 4, 2, 3, 3), weights("b2", 4),
    weights("w3", 16, 3), weights("b3", 3),
])

padded = {"kernel_shape": [3, 3], "pads": [1, 1, 1, 1]}
norms = lambda of: [*(weights(f"{name}{of}", 8) for name in ("scale", "shift", "mean")),
                    numpy_helper.from_array(random.uniform(0.5, 2, 8).astype("f4"), f"variance{of}")]
normed = lambda of, at: node("BatchNormalization", [of, f"scale{at}", f"shift{at}", f"mean{at}",
                                                    f"variance{at}"], [f"n{at}"])
write("images", [
    node("Conv", ["x", "w0"], ["c0"], strides=[2, 2], **padded), normed("c0", 0),
    node("Relu", ["n0"], ["r0"]),
    node("MaxPool", ["r0"], ["p0"], kernel_shape=[3, 3], strides=[1, 2], pads=[0, 1, 1, 0]),
    node("Conv", ["p0", "w1", "b1"], ["c1"], **padded), normed("c1", 1), node("Relu", ["n1"], ["r1"]),
    node("Conv", ["r1", "w2", "b2"], ["c2"], group=8, dilations=[2, 1], pads=[2, 1, 2, 1]),
    node("Add", ["c2", "p0"], ["s2"]), node("Clip", ["s2", "low", "high"], ["r2"]),
    node("Conv", ["r2", "w3", "b3"], ["c3"], strides=[2, 2]), node("Sigmoid", ["c3"], ["s3"]),
    node("AveragePool", ["r2"], ["p3"], kernel_shape=[3, 2], strides=[2, 2], pads=[1, 0, 1, 1]),
    node("Concat", ["s3", "p3"], ["j"], axis=1), node("GlobalAveragePool", ["j"], ["m"]),
    node("Flatten", ["m"], ["f"]), node("Gemm", ["f", "w4", "b4"], ["y"]),
], [floats("x", ["N", 3, 9, 8])], [floats("y", ["N", 3])], [
    weights("w0", 8, 3, 3, 3), weights("w1", 8, 8, 3, 3), weights("b1", 8), *norms(0), *norms(1),
    weights("w2", 8, 1, 3, 3), weights("b2", 8), weights("w3", 6, 8, 1, 1), weights("b3", 6),
    constant("low", 0, "f4"), constant("high", 6, "f4"), weights("w4", 14, 3), weights("b4", 3),
], tolerance=2e-5)

write("signal", [
    node("Conv", ["x", "w0", "b0"], ["c0"], kernel_shape=[7], strides=[2], pads=[3, 3]),
    node("Relu", ["c0"], ["r0"]),
    node("MaxPool", ["r0"], ["p0"], kernel_shape=[2], strides=[2]),
    node("Conv", ["p0", "w1", "b1"], ["c1"], kernel_shape=[3], dilations=[3], group=3),
    node("Slice", ["c1", "first", "last", "axes", "steps"], ["back"]),
    node("Pad", ["back", "around"], ["wide"]), node("Tanh", ["wide"], ["t1"]),
    node("AveragePool", ["t1"], ["p1"], kernel_shape=[3], pads=[1, 1], count_include_pad=1),
    node("Flatten", ["p1"], ["f"]), node("Gemm", ["f", "w2", "b2"], ["y"]),
], [floats("x", ["N", 2, 61])], [floats("y", ["N", 4])], [
    weights("w0", 6, 2, 7), weights("b0", 6), weights("w1", 9, 2, 3), weights("b1", 9),
    constant("first", [-1]), constant("last", [-20]), constant("axes", [2]), constant("steps", [-2]),
    constant("around", [0, 0, 1, 0, 0, 2]), weights("w2", 72, 4), weights("b2", 4),
], tolerance=2e-5)

for name, kind, gates, attributes in [
    ("lstm", "LSTM", 4, {}),
    ("gru", "GRU", 3, {"linear_before_reset": 1}),
    ("gru_reset_first", "GRU", 3, {}),
    ("rnn", "RNN", 1, {}),
]:
    write(name, [
        node("Transpose", ["x"], ["t"], perm=[1, 0, 2]),
        node(kind, ["t", "w", "r", "b"], ["ys", "h"], hidden_size=6, **attributes),
        node("Squeeze", ["h", "zero"], ["last"]), node("Gemm", ["last", "w2", "b2"], ["y"]),
    ], [floats("x", ["N", 7, 3])], [floats("y", ["N", 2])], [
        weights("w", 1, 6 * gates, 3), weights("r", 1, 6 * gates, 6), weights("b", 1, 12 * gates),
        constant("zero", [0]), weights("w2", 6, 2), weights("b2", 2),
    ])

write("lstm_both_ways", [
    node("Transpose", ["x"], ["t"], perm=[1, 0, 2]),
    node("Transpose", ["h"], ["ht"], perm=[1, 0, 2]),
    node("Transpose", ["c"], ["ct"], perm=[1, 0, 2]),
    node("LSTM", ["t", "w", "r", "b", "", "ht", "ct"], ["ys"], hidden_size=6,
         direction="bidirectional"),
    node("Transpose", ["ys"], ["yt"], perm=[2, 0, 1, 3]), node("Reshape", ["yt", "join"], ["j"]),
    node("MatMul", ["j", "w2"], ["m"]), node("Add", ["m", "b2"], ["y"]),
], [floats("x", ["N", 7, 3]), floats("h", ["N", 2, 6]), floats("c", ["N", 2, 6])],
    [floats("y", ["N", 7, 2])], [
    weights("w", 2, 24, 3), weights("r", 2, 24, 6), weights("b", 2, 48),
    constant("join", [0, 7, 12]), weights("w2", 12, 2), weights("b2", 2),
])

body = helper.make_graph([
    node("Add", ["before", "piece"], ["sum"]), node("MatMul", ["sum", "w"], ["p"]),
    node("Tanh", ["p"], ["after"]), node("Identity", ["after"], ["shown"]),
], "body", [floats("before", ["N", 3]), floats("piece", ["N", 3])],
    [floats("after", ["N", 3]), floats("shown", ["N", 3])], [weights("w", 3, 3)])
write("scan", [
    node("Scan", ["h", "x"], ["last", "all"], body=body, num_scan_inputs=1, scan_input_axes=[1],
         scan_output_axes=[1], scan_input_directions=[1], scan_output_directions=[1]),
], [floats("x", ["N", 7, 3]), floats("h", ["N", 3])],
    [floats("all", ["N", 7, 3]), floats("last", ["N", 3])])

heads = lambda of: [node("MatMul", ["x", f"w{of}"], [f"{of}0"]),
                    node("Reshape", [f"{of}0", "split"], [f"{of}1"])]
write("attention", [
    *heads("q"), *heads("k"), *heads("v"),
    node("Transpose", ["q1"], ["q"], perm=[0, 2, 1, 3]),
    node("Transpose", ["k1"], ["k"], perm=[0, 2, 3, 1]),
    node("Transpose", ["v1"], ["v"], perm=[0, 2, 1, 3]),
    node("MatMul", ["q", "k"], ["s"]), node("Mul", ["s", "scale"], ["ss"]),
    node("Softmax", ["ss"], ["p"], axis=-1), node("MatMul", ["p", "v"], ["o"]),
    node("Transpose", ["o"], ["ot"], perm=[0, 2, 1, 3]), node("Reshape", ["ot", "join"], ["j"]),
    node("MatMul", ["j", "wo"], ["m"]), node("Add", ["m", "x"], ["n"]),
    node("LayerNormalization", ["n", "g", "c"], ["y"], axis=-1),
], [floats("x", ["N", 6, 8])], [floats("y", ["N", 6, 8])], [
    *(weights(f"w{of}", 8, 8) for of in "qkvo"), weights("g", 8), weights("c", 8),
    constant("split", [0, 6, 2, 4]), constant("join", [0, 6, 8]), constant("scale", 0.5, "f4"),
])


def trees(count, features, targets, positive=False):
    """Complete trees of depth 2, as attributes of ONNX-ML: nodes, and what leaves add."""
    nodes = {key: [] for key in ("treeids", "nodeids", "featureids", "values", "modes",
                                 "truenodeids", "falsenodeids")}
    leaves = {key: [] for key in ("treeids", "nodeids", "ids", "weights")}
    for tree in range(count):
        for at in range(7):
            is_leaf = at > 2
            for key, value in [
                ("treeids", tree), ("nodeids", at),
                ("featureids", 0 if is_leaf else int(random.integers(features))),
                ("values", 0.0 if is_leaf else float(numpy.float32(random.standard_normal()))),
                ("modes", "LEAF" if is_leaf else ["BRANCH_LEQ", "BRANCH_LT"][tree % 2]),
                ("truenodeids", 0 if is_leaf else 2 * at + 1),
                ("falsenodeids", 0 if is_leaf else 2 * at + 2),
            ]:
                nodes[key].append(value)
            for target in targets if is_leaf else []:
                weight = float(numpy.float32(random.standard_normal()))
                for key, value in [("treeids", tree), ("nodeids", at), ("ids", target),
                                   ("weights", abs(weight) if positive else weight)]:
                    leaves[key].append(value)
    return {f"nodes_{key}": value for key, value in nodes.items()}, leaves


def regressor(name, targets, **attributes):
    nodes, leaves = trees(9, 4, range(targets))
    write(name, [node("TreeEnsembleRegressor", ["x"], ["y"], domain="ai.onnx.ml",
                      n_targets=targets, **nodes, **attributes,
                      **{f"target_{key}": value for key, value in leaves.items()})],
          [floats("x", ["N", 4])], [floats("y", ["N", targets])])


regressor("trees_sum", 1, base_values=[0.25])
regressor("trees_average", 2, aggregate_function="AVERAGE")
regressor("trees_min", 1, aggregate_function="MIN")
regressor("trees_max", 2, aggregate_function="MAX", base_values=[0.5, -0.5])
regressor("trees_logistic", 1, post_transform="LOGISTIC")


def classifier(name, classes, targets, positive=False, **attributes):
    nodes, leaves = trees(9, 4, targets, positive)
    labels = helper.make_tensor_value_info("label", TensorProto.INT64, ["N"])
    write(name, [node("TreeEnsembleClassifier", ["x"], ["label", "scores"], domain="ai.onnx.ml",
                      classlabels_int64s=list(range(10, 10 + classes)), **nodes, **attributes,
                      **{f"class_{key}": value for key, value in leaves.items()})],
          [floats("x", ["N", 4])], [labels, floats("scores", ["N", classes])])


classifier("classes_softmax", 3, range(3), post_transform="SOFTMAX", base_values=[0.1, 0.2, 0.3])
classifier("classes_plain", 4, range(4))
classifier("binary_logistic", 2, [0], post_transform="LOGISTIC", base_values=[0.3])
classifier("binary_margin", 2, [0])
classifier("binary_probability", 2, [0], positive=True)
classifier("binary_second", 2, [1])
