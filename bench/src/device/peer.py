"""Models for the bench of a device, and onnxruntime as the peer: an order in JSON on each line that
comes in, an answer on each that goes out.

Times are in milliseconds and are taken here, around the calls alone. Where onnxruntime has a provider for
the card, inputs and outputs stay in the host's memory, as they do for the other side.
"""

import json
import pathlib
import sys
import time

import numpy
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper

onnxruntime.set_default_logger_severity(4)
# The fastest that is there.
PREFERRED = ["CUDAExecutionProvider", "WebGpuExecutionProvider", "CPUExecutionProvider"]
PROVIDERS = [it for it in PREFERRED if it in onnxruntime.get_available_providers()]
sessions = {}


class Graph:
    """Nodes and weights of one input `x` and one output `y`, built up in order."""

    def __init__(self, seed):
        self.random = numpy.random.default_rng(seed)
        self.nodes, self.weights, self.count = [], [], 0

    def weight(self, *shape, scale=None):
        scale = scale or 1 / numpy.sqrt(shape[0])
        return self.constant(self.random.standard_normal(shape, dtype="f4") * numpy.float32(scale))

    def constant(self, numbers):
        self.count += 1
        self.weights.append(numpy_helper.from_array(numpy.asarray(numbers), f"w{self.count}"))
        return f"w{self.count}"

    def do(self, operator, *inputs, **attributes):
        self.count += 1
        self.nodes.append(helper.make_node(operator, list(inputs), [f"v{self.count}"], **attributes))
        return f"v{self.count}"

    def dense(self, value, rows, columns):
        return self.do("Add", self.do("MatMul", value, self.weight(rows, columns)), self.weight(columns, scale=0.1))

    def save(self, path, value, shape_in, shape_out):
        self.nodes.append(helper.make_node("Identity", [value], ["y"]))
        tensor = lambda name, shape: helper.make_tensor_value_info(name, TensorProto.FLOAT, ["N", *shape])
        graph = helper.make_graph(self.nodes, "bench", [tensor("x", shape_in)], [tensor("y", shape_out)], self.weights)
        onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)


def mlp(path, widths, seed):
    graph, value = Graph(seed), "x"
    for at, (rows, columns) in enumerate(zip(widths, widths[1:])):
        value = graph.do("Gemm", value, graph.weight(rows, columns), graph.weight(columns, scale=0.1))
        if at < len(widths) - 2:
            value = graph.do("Relu", value)
    graph.save(path, value, widths[:1], widths[-1:])


def encoder(path, layers, hidden, heads, sequence, seed):
    """A transformer encoder: self-attention and a perceptron in each layer, each with a layer norm behind it."""
    graph, value, width = Graph(seed), "x", hidden // heads
    norm = lambda it: graph.do("LayerNormalization", it, graph.weight(hidden, scale=1), graph.weight(hidden, scale=0.1), axis=-1)
    for _ in range(layers):
        apart = graph.constant(numpy.array([0, sequence, heads, width], "i8"))
        split = lambda it: graph.do("Transpose", graph.do("Reshape", it, apart), perm=[0, 2, 1, 3])
        query, key, values = (split(graph.dense(value, hidden, hidden)) for _ in range(3))
        scores = graph.do("MatMul", query, graph.do("Transpose", key, perm=[0, 1, 3, 2]))
        scores = graph.do("Mul", scores, graph.constant(numpy.float32(1 / numpy.sqrt(width))))
        mixed = graph.do("MatMul", graph.do("Softmax", scores, axis=-1), values)
        mixed = graph.do("Reshape", graph.do("Transpose", mixed, perm=[0, 2, 1, 3]),
                         graph.constant(numpy.array([0, sequence, hidden], "i8")))
        value = norm(graph.do("Add", value, graph.dense(mixed, hidden, hidden)))
        wide = graph.dense(value, hidden, 4 * hidden)
        gate = graph.do("Erf", graph.do("Mul", wide, graph.constant(numpy.float32(numpy.sqrt(0.5)))))
        gate = graph.do("Mul", graph.do("Add", gate, graph.constant(numpy.float32(1))), graph.constant(numpy.float32(0.5)))
        value = norm(graph.do("Add", value, graph.dense(graph.do("Mul", wide, gate), 4 * hidden, hidden)))
    graph.save(path, value, [sequence, hidden], [sequence, hidden])


def product(path, inner, columns, seed):
    graph = Graph(seed)
    graph.save(path, graph.do("MatMul", "x", graph.weight(inner, columns)), [inner], [columns])


MAKERS = {"mlp": mlp, "encoder": encoder, "product": product}


def make(order):
    MAKERS[order["kind"]](order["path"], *order["arguments"])
    return {}


def request(shape):
    """The numbers that the other side makes too."""
    numbers = (numpy.arange(numpy.prod(shape), dtype="i8") * 37 + 11) % 101
    return {"x": (numbers * 0.02 - 1).astype("f4").reshape(shape)}


def open_session(order):
    sessions[order["path"]] = onnxruntime.InferenceSession(order["path"], providers=PROVIDERS)
    return {}


def answer(order):
    """The same request several times, and what it was answered."""
    session, given, times = sessions[order["path"]], request(order["shape"]), []
    for _ in range(order["times"]):
        started = time.perf_counter()
        answered = session.run(None, given)[0]
        times.append((time.perf_counter() - started) * 1e3)
    return {"times_ms": times, "answer": answered.flatten()[:4096].tolist()}


def forget(_):
    sessions.clear()
    return {}


def version(_):
    return {"version": f"{onnxruntime.__version__}, {PROVIDERS[0]}"}


ORDERS = {"make": make, "open": open_session, "answer": answer, "forget": forget, "version": version}
for line in sys.stdin:
    order = json.loads(line)
    print(json.dumps(ORDERS[order["do"]](order)), flush=True)
