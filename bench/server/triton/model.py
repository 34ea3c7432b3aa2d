"""The flights model in Triton's Python backend, run by onnxruntime."""

import os

import numpy
import onnxruntime
import triton_python_backend_utils as backend


class TritonPythonModel:
    def initialize(self, args):
        options = onnxruntime.SessionOptions()
        # One thread an instance: there are as many instances as processors.
        options.intra_op_num_threads = 1
        options.inter_op_num_threads = 1
        path = os.path.join(args["model_repository"], args["model_version"], "model.onnx")
        self.session = onnxruntime.InferenceSession(path, options, ["CPUExecutionProvider"])
        self.inputs = [(it.name, it.type == "tensor(string)") for it in self.session.get_inputs()]

    def execute(self, requests):
        return [self.answer(request) for request in requests]

    def answer(self, request):
        feed = {}
        for name, is_text in self.inputs:
            tensor = backend.get_input_tensor_by_name(request, name).as_numpy()
            feed[name] = numpy.char.decode(tensor.astype("S")) if is_text else tensor
        [minutes] = self.session.run(["air_time"], feed)
        return backend.InferenceResponse([backend.Tensor("air_time", minutes)])
