"""The flights model in MLServer, run by onnxruntime."""

import numpy
import onnxruntime
from mlserver import MLModel
from mlserver.codecs import NumpyCodec, StringCodec
from mlserver.types import InferenceRequest, InferenceResponse


class Flights(MLModel):
    async def load(self) -> bool:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        options.inter_op_num_threads = 1
        path = self.settings.parameters.uri
        self.session = onnxruntime.InferenceSession(path, options, ["CPUExecutionProvider"])
        return True

    async def predict(self, payload: InferenceRequest) -> InferenceResponse:
        feed = {}
        for tensor in payload.inputs:
            if tensor.datatype == "BYTES":
                texts = StringCodec.decode_input(tensor)
                feed[tensor.name] = numpy.array(texts).reshape(tensor.shape)
            else:
                feed[tensor.name] = NumpyCodec.decode_input(tensor)
        [minutes] = self.session.run(["air_time"], feed)
        return InferenceResponse(
            model_name=self.name, outputs=[NumpyCodec.encode_output("air_time", minutes)]
        )
