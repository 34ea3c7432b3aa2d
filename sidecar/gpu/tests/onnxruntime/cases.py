"""Writes random small models of every family of kernels, and onnxruntime's answers to random inputs.

They go into the folder that is the only argument, in the form that `cases.py` beside the tests of single
operators has: NAME.onnx, NAME.json, NAME.in0.pb, NAME.out0.pb and so on. A name is FAMILY-NUMBER.
`BULKHEAD_SEED` makes the same cases again; the file `seed` says which it was.

Tolerances. What moves, chooses, compares and casts is answered to the bit. Functions of one number are
polynomials here and there: both are within some units in the last place. Sums are the same numbers in
another order, of which Higham and Mary (A new approach to probabilistic rounding error analysis, 2019)
bound the difference by a small multiple of sqrt(n) u sum |terms|, for n terms and the unit roundoff u.
A device may take numbers under 2^-126 for 0: where that makes another answer, none is asked for.

Not asked, since the engine is known to answer otherwise, on a CPU and on a device: Relu and HardSigmoid of
what is not a number, which are a number here; the largest of numbers of which one is none, or which all are
minus infinity, of which a MaxPool of onnxruntime makes the least finite number.
"""

import json
import os
import pathlib
import sys

import numpy
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper

folder = pathlib.Path(sys.argv[1])
seed = int(os.environ.get("BULKHEAD_SEED") or int.from_bytes(os.urandom(4), "little"))
(folder / "seed").write_text(str(seed))
random = numpy.random.default_rng(seed)
onnxruntime.set_default_logger_severity(4)

UNIT = 2.0**-24
LEAST_NORMAL = 2.0**-126
SPECIAL = numpy.array([numpy.nan, numpy.inf, -numpy.inf, 0, -0.0, 3e38, -3e38, 1, -1, 1e-40, -1e-40], "f4")
# How many of them are subnormal.
SUBNORMAL = 2
TYPES = {"f4": TensorProto.FLOAT, "i8": TensorProto.INT64, "i4": TensorProto.INT32, "?": TensorProto.BOOL}


def among(*choices):
    return choices[random.integers(len(choices))]


def upto(most, least=1):
    """A number, of which small ones and those beside powers of two come often."""
    return int(among(least, random.integers(least, most + 1), min(most, 2 ** random.integers(8) + 1), most))


def shape(rank, most=9):
    return [int(random.integers(1, most + 1)) for _ in range(rank)]


def floats(dims, special=0.0, scale=1.0, subnormal=True):
    """Numbers around 0, of which some are none, infinite, huge or subnormal."""
    plain = (random.standard_normal(dims) * scale).astype("f4")
    kinds = len(SPECIAL) - (0 if subnormal else SUBNORMAL)
    return numpy.where(random.random(dims) < special, SPECIAL[random.integers(kinds, size=dims)], plain)


def data(kind, dims, subnormal=True):
    if kind == "f4":
        return floats(dims, 0.2, subnormal=subnormal)
    if kind == "?":
        return random.integers(2, size=dims).astype("?")
    bits = 31 if kind == "i4" else 63
    large = random.integers(-(2**bits), 2**bits - 1, size=dims)
    return numpy.where(random.random(dims) < 0.2, large, random.integers(-9, 9, size=dims)).astype(kind)


class Graph:
    """Nodes in their order, with what they read. The first dimension of every input is open."""

    def __init__(self):
        self.nodes, self.given, self.fixed = [], {}, []

    def input(self, array):
        self.given[f"x{len(self.given)}"] = array
        return f"x{len(self.given) - 1}"

    def constant(self, array):
        self.fixed.append(numpy_helper.from_array(numpy.asarray(array), f"c{len(self.fixed)}"))
        return self.fixed[-1].name

    def do(self, operator, *inputs, **attributes):
        output = f"v{len(self.nodes)}"
        self.nodes.append(helper.make_node(operator, list(inputs), [output], **attributes))
        return output


def describe(name, array):
    kind = helper.np_dtype_to_tensor_dtype(array.dtype)
    return helper.make_tensor_value_info(name, kind, ["N", *array.shape[1:]])


counts = {}


def write(family, graph, value, relative=0.0, absolute=0.0, opset=17):
    counts[family] = counts.get(family, -1) + 1
    name = f"{family}-{counts[family]}"
    inputs = [describe(key, array) for key, array in graph.given.items()]
    output = onnx.ValueInfoProto(name=value)
    parts = helper.make_graph(graph.nodes, name, inputs, [output], graph.fixed)
    model = helper.make_model(parts, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)
    model = onnx.shape_inference.infer_shapes(model, strict_mode=True)
    # Nothing is fused: what is asked for is what each operator answers.
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = onnxruntime.InferenceSession(model.SerializeToString(), options)
    answer = session.run(None, graph.given)[0]
    (folder / f"{name}.onnx").write_bytes(model.SerializeToString())
    for kind, tensors in [("in", graph.given.values()), ("out", [answer])]:
        for at, tensor in enumerate(tensors):
            (folder / f"{name}.{kind}{at}.pb").write_bytes(numpy_helper.from_array(tensor).SerializeToString())
    (folder / f"{name}.json").write_text(json.dumps({
        "inputs": list(graph.given), "outputs": 1, "relative": relative, "absolute": float(absolute),
    }))


def finite(array):
    return numpy.nan_to_num(numpy.asarray(array, "f8"), nan=0.0, posinf=0.0, neginf=0.0)


def sums(terms, magnitudes):
    """How far sums of so many terms are apart, where the magnitudes of the terms add up to these."""
    most = numpy.max(magnitudes, initial=0.0)
    return 8 * numpy.sqrt(max(terms, 1)) * UNIT * most + LEAST_NORMAL


def product():
    graph, inner, columns = Graph(), upto(140), upto(140)
    special = among(0, 0, 0.02)
    x = floats((upto(70), inner), special)
    # What overflows in one order need not in another.
    x = numpy.where(numpy.abs(x) == numpy.float32(3e38), numpy.float32(1), x)
    w = floats((inner, columns))
    bias = floats(among((columns,), (1, columns)))
    bound = sums(inner, numpy.abs(finite(x)) @ numpy.abs(w) + numpy.abs(bias))
    if random.random() < 0.5:
        alpha, transposed = among(1.0, 0.5), int(random.integers(2))
        value = graph.do("Gemm", graph.input(x), graph.constant(w.T if transposed else w), graph.constant(bias),
                         alpha=alpha, transB=transposed)
    else:
        value = graph.do("Add", graph.do("MatMul", graph.input(x), graph.constant(w)), graph.constant(bias))
    if not special and random.random() < 0.5:
        value = graph.do("Relu", value)
    write("product", graph, value, 0.0, bound)


def matmul():
    graph, batch, heads = Graph(), upto(5), upto(3)
    rows, inner, columns = upto(40), upto(40), upto(40)
    left, right = floats((batch, heads, rows, inner)), floats((batch, heads, inner, columns))
    bound = sums(inner, numpy.abs(left) @ numpy.abs(right))
    if random.random() < 0.5:
        turned = numpy.ascontiguousarray(right.swapaxes(2, 3))
        right = graph.do("Transpose", graph.input(turned), perm=[0, 1, 3, 2])
    else:
        right = graph.input(right)
    write("matmul", graph, graph.do("MatMul", graph.input(left), right), 0.0, bound)


def window(most):
    """For each of up to three dimensions: a length, and a window that fits it with its padding."""
    dims = among(1, 2, 2, 3)
    kernel = [int(random.integers(1, 4)) for _ in range(dims)]
    steps = [among(1, 1, 2, 3) for _ in range(dims)]
    gaps = [among(1, 1, 2) for _ in range(dims)]
    # Padding that is not a part of any window's view alone: less than a window is long.
    pads = [int(random.integers(0, size)) for size in kernel * 2]
    lengths = [(size - 1) * gap + upto(most) for size, gap in zip(kernel, gaps)]
    return lengths, {"kernel_shape": kernel, "strides": steps, "dilations": gaps, "pads": pads}


def convolution():
    graph = Graph()
    lengths, shown = window(6)
    groups = among(1, 1, 2, 3, 8)
    per_group, columns = among(1, 1, 2, 5), among(1, 1, 2, 3, 7)
    x = floats((upto(5), groups * per_group, *lengths), among(0, 0, 0.02))
    # What overflows in one order need not in another.
    x = numpy.where(numpy.abs(x) == numpy.float32(3e38), numpy.float32(1), x)
    w = floats((groups * columns, per_group, *shown["kernel_shape"]))
    bias = floats((len(w),)) if random.random() < 0.7 else None
    each = numpy.sum(numpy.abs(w.astype("f8")), axis=tuple(range(1, w.ndim)))
    most = numpy.max(numpy.abs(finite(x)), initial=0.0) * each + (0 if bias is None else numpy.abs(bias))
    operands = [graph.input(x), graph.constant(w)] + ([] if bias is None else [graph.constant(bias)])
    value = graph.do("Conv", *operands, group=groups, **shown)
    if numpy.all(numpy.isfinite(x)) and random.random() < 0.5:
        value = graph.do("Relu", value)
    write("convolution", graph, value, 0.0, sums(w[0].size, most))


def transposed():
    graph = Graph()
    lengths, shown = window(6)
    groups, per_group, columns = among(1, 1, 2, 3), among(1, 2, 5), among(1, 2, 3, 7)
    x, size = floats((upto(5), groups * per_group, *lengths)), shown["kernel_shape"]
    w = floats((groups * per_group, columns, *size))
    bias = floats((groups * columns,)) if random.random() < 0.7 else None
    # No more than a window is long goes, and less than a stride comes.
    reach = [(it - 1) * gap + 1 for it, gap in zip(size, shown["dilations"])]
    whole = [(it - 1) * step + far for it, step, far in zip(lengths, shown["strides"], reach)]
    shown["pads"] = [int(random.integers(0, min(far, (it + 1) // 2))) for far, it in zip(reach * 2, whole * 2)]
    shown["output_padding"] = [int(random.integers(step)) for step in shown["strides"]]
    terms = per_group * int(numpy.prod(size))
    most = numpy.max(numpy.abs(x)) * numpy.max(numpy.abs(w)) * terms + (0 if bias is None else numpy.abs(bias))
    operands = [graph.input(x), graph.constant(w)] + ([] if bias is None else [graph.constant(bias)])
    value = graph.do("ConvTranspose", *operands, group=groups, **shown)
    if random.random() < 0.5:
        value = graph.do("Relu", value)
    write("transposed", graph, value, 0.0, sums(terms, most))


def pool():
    graph = Graph()
    operator = among("MaxPool", "MaxPool", "AveragePool", "AveragePool", "GlobalAveragePool", "GlobalMaxPool")
    lengths, shown = window(6)
    x = floats((upto(5), upto(9), *lengths))
    if "Max" in operator:
        x = numpy.where(random.random(x.shape) < 0.1, among(numpy.float32(numpy.inf), -numpy.float32(3e38)), x)
    terms = int(numpy.prod(lengths if "Global" in operator else shown["kernel_shape"]))
    if "Global" in operator:
        shown = {}
    elif operator == "AveragePool":
        del shown["dilations"]
        shown["count_include_pad"] = int(random.integers(2))
    value = graph.do(operator, graph.input(x), **shown)
    bound = 0.0 if "Max" in operator else sums(terms, numpy.max(numpy.abs(x)))
    write("pool", graph, value, 0.0, bound)


def pad():
    graph, kind, rank = Graph(), among("f4", "f4", "i8", "i4"), int(random.integers(2, 5))
    x = data(kind, [upto(9), *shape(rank - 1, 12)])
    if random.random() < 0.4:
        axis, step = int(random.integers(1, rank)), among(-1, -2, 2, 3)
        first, last = (-1, -(2**31)) if step < 0 else (0, 2**31)
        cut = [graph.constant(numpy.array([it], "i8")) for it in (first, last, axis, step)]
        value = graph.do("Slice", graph.input(x), *cut)
    else:
        mode = among("constant", "reflect", "edge")
        # Nothing is seen in a mirror beyond what is in front of it.
        most = [min(it, 4) if mode == "reflect" else 4 for it in x.shape[1:]]
        pads = [0, *random.integers(0, most), 0, *random.integers(0, most)]
        fill = [graph.constant(data(kind, (1,))[0])] if mode == "constant" else []
        value = graph.do("Pad", graph.input(x), graph.constant(numpy.array(pads, "i8")), *fill, mode=mode)
    write("pad", graph, value)


def recurrent():
    """States stay around 1, and gates pass less of a difference on than they get: what turns differ by adds up
    at the most."""
    graph, operator = Graph(), among("LSTM", "GRU", "RNN")
    gates, direction = {"LSTM": 4, "GRU": 3, "RNN": 1}[operator], among("forward", "reverse", "bidirectional")
    both = 1 + (direction == "bidirectional")
    turns, width, hidden = upto(12), upto(20), upto(20)
    x = floats((upto(9), turns, width))
    scale = 1 / numpy.sqrt(width + hidden)
    weights = [floats((both, gates * hidden, of), 0, scale) for of in (width, hidden)]
    operands = [graph.do("Transpose", graph.input(x), perm=[1, 0, 2]), *map(graph.constant, weights)]
    if random.random() < 0.7:
        operands.append(graph.constant(floats((both, 2 * gates * hidden))))
    named = {"linear_before_reset": int(random.integers(2))} if operator == "GRU" else {}
    value = graph.do(operator, *operands, hidden_size=hidden, direction=direction, **named)
    # Turns, directions, rows and numbers of a state become rows, turns and what is of each.
    value = graph.do("Transpose", value, perm=[2, 0, 1, 3])
    bound = turns * (sums(width + hidden, 4 * scale * numpy.max(numpy.abs(x)) * (width + hidden)) + 64 * UNIT)
    write("recurrent", graph, value, 0.0, bound)


def softmax():
    graph, rank = Graph(), int(random.integers(2, 5))
    operator = among("Softmax", "Softmax", "LogSoftmax")
    x = floats([upto(9), *shape(rank - 1, 40)], 0, among(1, 30, 200))
    axis = int(random.integers(1, rank)) - among(0, rank)
    masked = random.random(x.shape) < among(0, 0.3)
    # A line of which nothing is left is not a number.
    x = numpy.where(masked & (numpy.cumsum(masked, axis) < x.shape[axis]), numpy.float32(-numpy.inf), x)
    x = numpy.where(random.random(x.shape) < among(0, 0, 0.01), numpy.float32(numpy.nan), x)
    value = graph.do(operator, graph.input(x), axis=axis)
    # A power of what is rounded to u of up to 100 is rounded to 100 u.
    write("softmax", graph, value, 100 * UNIT, 100 * UNIT)


def norm():
    graph, rank = Graph(), int(random.integers(2, 4))
    x = floats([upto(9), *shape(rank - 1, 70)])
    width = x.shape[-1]
    scale, bias = graph.constant(floats((width,))), graph.constant(floats((width,)))
    value = graph.do("LayerNormalization", graph.input(x), scale, bias, axis=-1, epsilon=among(1e-5, 1e-3))
    # Of a width of 1 or 2 what is left of a difference is divided by its own size.
    spread = numpy.sqrt(numpy.var(x.astype("f8"), axis=-1) + 1e-5)
    worse = 1 / numpy.min(spread)
    write("norm", graph, value, 1e-5, 64 * UNIT * worse + 1e-5)


REDUCTIONS = ["ReduceSum", "ReduceMean", "ReduceMax", "ReduceMin", "ReduceProd", "ReduceL1", "ReduceL2",
              "ReduceSumSquare", "ReduceLogSumExp"]


def reduction():
    graph, rank, operator = Graph(), int(random.integers(2, 5)), among(*REDUCTIONS)
    chooses = operator in ("ReduceMax", "ReduceMin")
    x = floats([upto(9), *shape(rank - 1, 12)])
    if chooses:
        x = numpy.where(random.random(x.shape) < 0.1, among(numpy.float32(numpy.inf), -numpy.float32(numpy.inf)), x)
    axes = sorted(int(it) for it in random.choice(numpy.arange(1, rank), among(1, rank - 1), replace=False))
    terms = int(numpy.prod([x.shape[it] for it in axes]))
    wide = numpy.abs(x.astype("f8"))
    if chooses:
        bound = 0.0
    elif operator == "ReduceProd":
        bound = terms * UNIT * 8 * numpy.max(numpy.prod(wide, tuple(axes)))
    elif operator == "ReduceLogSumExp":
        bound = sums(terms, 8 + wide)
    elif operator in ("ReduceSumSquare", "ReduceL2"):
        bound = sums(terms, numpy.sum(wide**2, tuple(axes)))
    else:
        bound = sums(terms, numpy.sum(wide, tuple(axes)))
    keep = int(random.integers(2))
    value = graph.do(operator, graph.input(x), graph.constant(numpy.array(axes, "i8")), keepdims=keep)
    write("reduction", graph, value, 0.0, bound, opset=18)


def gather():
    graph, kind = Graph(), among("f4", "i8", "?")
    if random.random() < 0.5:
        table = data(kind, shape(int(random.integers(1, 4)), 12))
        indices = random.integers(-len(table), len(table), size=[upto(9), *shape(among(0, 1, 2))])
        value = graph.do("Gather", graph.constant(table), graph.input(indices.astype("i8")), axis=0)
    else:
        x = data(kind, [upto(9), *shape(int(random.integers(1, 4)), 12)])
        axis = int(random.integers(1, x.ndim))
        indices = random.integers(-x.shape[axis], x.shape[axis], size=shape(among(0, 1, 2)))
        value = graph.do("Gather", graph.input(x), graph.constant(numpy.asarray(indices, "i8")), axis=axis)
    write("gather", graph, value)


def transpose():
    graph, rank = Graph(), int(random.integers(3, 6))
    x = data(among("f4", "i8", "i4", "?"), [upto(9), *shape(rank - 1)])
    perm = [0, *range(2, rank), 1]
    if random.random() < 0.7:
        perm = [0, *(int(it) + 1 for it in random.permutation(rank - 1))]
    write("transpose", graph, graph.do("Transpose", graph.input(x), perm=perm))


def concat():
    graph, kind, rank = Graph(), among("f4", "i8", "i4", "?"), int(random.integers(2, 5))
    dims, axis = [upto(9), *shape(rank - 1)], int(random.integers(1, rank))
    parts = []
    for _ in range(int(random.integers(2, 6))):
        own = list(dims)
        own[axis] = int(random.integers(1, 12))
        if parts and random.random() < 0.4:
            # An empty piece, cut out of another.
            cut = [graph.constant(numpy.array([it], "i8")) for it in (0, 0, axis)]
            parts.append(graph.do("Slice", parts[0], *cut))
        else:
            parts.append(graph.input(data(kind, own)))
    write("concat", graph, graph.do("Concat", *parts, axis=axis))


def cut():
    graph, rank = Graph(), int(random.integers(2, 5))
    x = data(among("f4", "i8", "i4", "?"), [upto(9), *(it + 1 for it in shape(rank - 1, 12))])
    axes = sorted(int(it) for it in random.choice(numpy.arange(1, rank), among(1, rank - 1), replace=False))
    bounds = []
    for axis in axes:
        length = x.shape[axis]
        first = int(random.integers(length))
        last = int(random.integers(first + 1, length + (first > 0)))
        step = 1
        if random.random() < 0.1:
            first, last, step = last - 1, first - 1 - length - (first == 0), -among(1, 2)
        bounds.append((first, last, axis, step))
    arrays = [graph.constant(numpy.array(it, "i8")) for it in zip(*bounds)]
    write("slice", graph, graph.do("Slice", graph.input(x), *arrays))


def move():
    """What changes a shape alone, and then something that shows how elements lie in it."""
    graph, kind = Graph(), among("f4", "i8", "?")
    x = data(kind, [upto(9), *shape(2)])
    given, (rows, columns) = graph.input(x), x.shape[1:]
    which = among("Tile", "Expand", "Expand", "Reshape", "Reshape", "Flatten", "Unsqueeze", "Split")
    if which == "Tile":
        value = graph.do("Tile", given, graph.constant(numpy.array([1, *random.integers(1, 4, size=2)], "i8")))
    elif which == "Expand":
        line = graph.input(data(kind, [x.shape[0], *among((rows, 1), (1, columns), (1, 1))]))
        value = graph.do("Expand", line, graph.constant(numpy.array([1, rows, columns], "i8")))
        value = graph.do("Concat", value, given, axis=among(1, 2))
    elif which == "Reshape":
        value = graph.do("Reshape", given, graph.constant(numpy.array([0, columns, rows], "i8")))
        value = graph.do("Transpose", value, perm=[0, 2, 1])
    elif which == "Flatten":
        value = graph.do("Flatten", graph.do("Transpose", given, perm=[0, 2, 1]), axis=1)
    elif which == "Unsqueeze":
        value = graph.do("Unsqueeze", given, graph.constant(numpy.array([among(1, 2, 3)], "i8")))
        value = graph.do("Transpose", value, perm=[0, *among((2, 3, 1), (3, 1, 2), (3, 2, 1))])
    else:
        halves = [graph.do("Slice", given, *(graph.constant(numpy.array([it], "i8")) for it in (first, last, 1)))
                  for first, last in ((0, rows // 2), (rows // 2, rows))]
        value = graph.do("Concat", *halves[::-1], axis=1)
    write("move", graph, value)


# Each with how far two of them may be apart, in units in the last place, and where it is asked.
FUNCTIONS = {
    "Abs": (0, 9), "Neg": (0, 9), "Floor": (0, 9), "Ceil": (0, 9), "Round": (0, 9), "Sign": (0, 9), "Relu": (0, 9),
    "Sqrt": (2, 9), "Reciprocal": (4, 9), "Exp": (24, 9), "Log": (16, 9), "Erf": (16, 3), "Tanh": (16, 9),
    "Sigmoid": (16, 9), "Sin": (16, 3), "Cos": (16, 3), "Tan": (64, 1), "Atan": (16, 9), "Asin": (32, 0.5),
    "Acos": (16, 0.5), "Sinh": (32, 3), "Cosh": (32, 3), "Asinh": (32, 9), "Softplus": (32, 200), "Elu": (32, 3),
    "LeakyRelu": (2, 9), "HardSigmoid": (4, 9), "HardSwish": (4, 9), "Softsign": (4, 9),
}
# Near 0 they are another for what is taken for 0.
STEEP = ["Floor", "Ceil", "Sign", "Log", "Reciprocal", "Sqrt"]


def function(operator=None):
    operator = operator or among(*FUNCTIONS)
    units, around = FUNCTIONS[operator]
    graph, x = Graph(), floats([upto(70), upto(70)], 0.1, around, operator not in STEEP)
    if operator in ("Relu", "HardSigmoid"):
        x = numpy.nan_to_num(x, nan=-1)
    elif operator == "Softsign":
        # A divisor beyond 2^126 may have a reciprocal of 0.
        x = numpy.clip(x, -1e30, 1e30)
    write("function", graph, graph.do(operator, graph.input(x)), 2 * units * UNIT, units * UNIT + LEAST_NORMAL)


def chain():
    """Sums, differences and products of small whole numbers, which no order of rounding changes, with
    operands of all shapes that are repeated; each step kept small by what follows it."""
    graph, rank = Graph(), int(random.integers(2, 5))
    dims = [upto(9), *shape(rank - 1, 12)]
    whole = lambda of: random.integers(-3, 4, size=of).astype("f4")
    values = [graph.input(whole(dims))]
    for _ in range(int(random.integers(2, 9))):
        if random.random() < 0.5:
            own = [among(1, it) for it in dims[1:]]
            other = among(graph.input(whole([dims[0], *own])), graph.constant(whole([1, *own])))
        else:
            other = among(*values)
        value = graph.do(among("Add", "Sub", "Mul", "Max", "Min"), among(*values), other)
        if random.random() < 0.4:
            value = graph.do(among("Abs", "Neg", "Relu", "Sign"), value)
        # No larger than numbers that are exact whatever is done with two of them.
        value = graph.do("Clip", value, graph.constant(numpy.float32(-40)), graph.constant(numpy.float32(40)))
        values.append(value)
    write("chain", graph, values[-1])


def choice():
    graph, kind, rank = Graph(), among("f4", "f4", "i8", "i4"), int(random.integers(2, 5))
    dims = [upto(9), *shape(rank - 1, 12)]
    some = lambda: graph.input(data(kind, [dims[0], *(among(1, it) for it in dims[1:])], subnormal=False))
    left, right = graph.input(data(kind, dims, subnormal=False)), some()
    compared = graph.do(among("Less", "Greater", "LessOrEqual", "GreaterOrEqual", "Equal"), left, right)
    flags = graph.input(data("?", dims))
    flags = graph.do(among("And", "Or", "Xor"), compared, flags)
    if random.random() < 0.5:
        flags = graph.do("Not", flags)
    value = among(flags, graph.do("Where", flags, left, some()))
    write("choice", graph, value)


def cast():
    graph, kind = Graph(), among("f4", "i8", "i4", "?")
    to = among(*(it for it in TYPES if it != kind))
    dims = [upto(70), upto(30)]
    # What a float beyond integers becomes is nobody's promise.
    x = floats(dims, 0, 1000) if kind == "f4" else data(kind, dims)
    value = graph.do("Cast", graph.input(x), to=TYPES[to])
    write("cast", graph, value)


def empty():
    """Sums over nothing, and what is cut to nothing and joined again."""
    graph, columns = Graph(), upto(20)
    x = graph.input(floats([upto(9), upto(20)]))
    cut = [graph.constant(numpy.array([it], "i8")) for it in (3, 3, 1)]
    nothing = graph.do("Slice", x, *cut)
    which = among("MatMul", "ReduceSum", "Concat")
    if which == "MatMul":
        value = graph.do("MatMul", nothing, graph.constant(floats((0, columns))))
    elif which == "ReduceSum":
        value = graph.do("ReduceSum", nothing, graph.constant(numpy.array([1], "i8")), keepdims=1)
    else:
        value = graph.do("Concat", nothing, graph.do("Neg", nothing), x, axis=1)
    write("empty", graph, value, opset=18)


# Many casts are the CPU's. Of twice as many it is more seldom most of them by chance.
FAMILIES = [product, matmul, convolution, transposed, pool, pad, recurrent, softmax, norm, reduction, gather,
            transpose, concat, cut, move, function, chain, choice, cast, cast, empty]
for operator in FUNCTIONS:
    function(operator)
for family in FAMILIES:
    for _ in range(int(os.environ.get("BULKHEAD_CASES") or 20)):
        family()
