"""Writes ONNX's own tests of single operators into the folder that is the only argument.

For each test NAME there are NAME.onnx, NAME.json, and its tensors NAME.in0.pb, NAME.out0.pb and so
on. Tests of sequences and optional values are left out: the protocol carries tensors alone.
"""

import json
import pathlib
import sys
import warnings

import numpy
from onnx import numpy_helper
from onnx.backend.test.case.node import collect_testcases

warnings.simplefilter("ignore")
folder = pathlib.Path(sys.argv[1])
for case in collect_testcases(None):
    inputs, outputs = case.data_sets[0]
    if not all(isinstance(it, (numpy.ndarray, numpy.generic)) for it in [*inputs, *outputs]):
        continue
    names = [it.name for it in case.model.graph.input]
    if len(names) != len(inputs):
        continue
    (folder / f"{case.name}.onnx").write_bytes(case.model.SerializeToString())
    for kind, tensors in [("in", inputs), ("out", outputs)]:
        for at, tensor in enumerate(tensors):
            proto = numpy_helper.from_array(numpy.asarray(tensor))
            (folder / f"{case.name}.{kind}{at}.pb").write_bytes(proto.SerializeToString())
    (folder / f"{case.name}.json").write_text(json.dumps({
        "inputs": names, "outputs": len(outputs), "relative": case.rtol, "absolute": case.atol,
    }))
