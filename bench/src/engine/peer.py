"""onnxruntime as the peer: an order in JSON on each line that comes in, an answer on each that goes out.

Everything runs on one thread. Times are in milliseconds and are taken here, around the calls alone.
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
LEVELS = {
    "off": onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL,
    "basic": onnxruntime.GraphOptimizationLevel.ORT_ENABLE_BASIC,
    "all": onnxruntime.GraphOptimizationLevel.ORT_ENABLE_ALL,
}
sessions = {}


def milliseconds(since):
    return (time.perf_counter() - since) * 1e3


def options(setting):
    it = onnxruntime.SessionOptions()
    it.intra_op_num_threads = it.inter_op_num_threads = 1
    it.graph_optimization_level = LEVELS[setting["optimise"]]
    it.enable_cpu_mem_arena = setting["arena"]
    if not setting["prepack"]:
        it.add_session_config_entry("session.disable_prepacking", "1")
    return it


def session(path, setting):
    return onnxruntime.InferenceSession(path, options(setting), providers=["CPUExecutionProvider"])


def request(width, batch):
    """The numbers that the other side makes too."""
    numbers = (numpy.arange(batch * width, dtype="i8") * 37 + 11) % 101
    return {"x": (numbers * 0.02 - 1).astype("f4").reshape(batch, width)}


def mlp(widths, random):
    """A perceptron of these widths with relus between its layers."""
    nodes, weights, value = [], [], "x"
    for at, (rows, columns) in enumerate(zip(widths, widths[1:])):
        matrix = random.standard_normal((rows, columns), dtype="f4") / numpy.float32(numpy.sqrt(rows))
        weights.append(numpy_helper.from_array(matrix, f"w{at}"))
        weights.append(numpy_helper.from_array(random.standard_normal(columns, dtype="f4"), f"b{at}"))
        is_last = at == len(widths) - 2
        nodes.append(helper.make_node("Gemm", [value, f"w{at}", f"b{at}"], ["y" if is_last else f"h{at}"]))
        if not is_last:
            nodes.append(helper.make_node("Relu", [f"h{at}"], [f"a{at}"]))
            value = f"a{at}"
    tensor = lambda name, width: helper.make_tensor_value_info(name, TensorProto.FLOAT, ["N", width])
    graph = helper.make_graph(nodes, "mlp", [tensor("x", widths[0])], [tensor("y", widths[-1])], weights)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def make(order):
    """Models 0 to `models` - 1, each as one file, with its weights beside it, and in ORT's format."""
    folder = pathlib.Path(order["folder"])
    for number in range(order["models"]):
        model = mlp(order["widths"], numpy.random.default_rng(number))
        single = folder / f"{number}.onnx"
        onnx.save(model, single)
        it = options({"optimise": "basic", "arena": True, "prepack": False})
        it.optimized_model_filepath = str(folder / f"{number}.ort")
        it.add_session_config_entry("session.save_model_format", "ORT")
        onnxruntime.InferenceSession(str(single), it, providers=["CPUExecutionProvider"])
        onnx.save(model, folder / f"{number}.external.onnx", save_as_external_data=True,
                  location=f"{number}.external.bin", size_threshold=0)
    return {}


def first(order):
    """From a path to the first answer. The request is there before."""
    given = request(order["width"], 1)
    started = time.perf_counter()
    it = session(order["path"], order["setting"])
    loaded = milliseconds(started)
    answered = it.run(None, given)[0]
    took = milliseconds(started)
    if order["keep"]:
        sessions[order["path"]] = it
    return {"load_ms": loaded, "first_ms": took, "answer": answered.flatten().tolist()}


def open_session(order):
    sessions[order["name"]] = session(order["path"], order["setting"])
    return {}


def answer(order):
    """The same request several times."""
    it, given, times = sessions[order["name"]], request(order["width"], order["batch"]), []
    for _ in range(order["times"]):
        started = time.perf_counter()
        it.run(None, given)
        times.append(milliseconds(started))
    return {"times_ms": times}


def forget(_):
    sessions.clear()
    return {}


def memory(_):
    lines = pathlib.Path("/proc/self/status").read_text().splitlines()
    status = dict(line.split(":", 1) for line in lines)
    kib = lambda key: int(status[key].split()[0])
    return {"anon_kib": kib("RssAnon"), "file_kib": kib("RssFile")}


def version(_):
    return {"version": onnxruntime.__version__}


ORDERS = {"make": make, "first": first, "open": open_session, "answer": answer, "forget": forget,
          "memory": memory, "version": version}
for line in sys.stdin:
    order = json.loads(line)
    print(json.dumps(ORDERS[order["do"]](order)), flush=True)
