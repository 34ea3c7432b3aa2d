"""tritonclient over HTTP: JSON and binary tensors, metadata, statistics, the index, refusals."""

import numpy
from tritonclient.http import InferenceServerClient, InferInput, InferRequestedOutput
from tritonclient.utils import InferenceServerException

from flight import Setting, bearer, refusal

setting = Setting()
client = InferenceServerClient(setting.address)
own = bearer(setting.token)


def inputs(rows, binary):
    for name, datatype, elements in setting.tensors(rows):
        tensor = InferInput(name, list(elements.shape), datatype)
        tensor.set_data_from_numpy(elements, binary_data=binary)
        yield tensor


def infer(rows, binary_in, binary_out=None, headers=own, model="air-time", **more):
    outputs = None
    if binary_out is not None:
        outputs = [InferRequestedOutput("air_time", binary_data=binary_out)]
    # The client writes its own headers into what it is given.
    headers = dict(headers) if headers else None
    return client.infer(
        model, list(inputs(rows, binary_in)), outputs=outputs, headers=headers, **more
    )


assert client.is_server_live(headers=own)
assert client.is_server_ready(headers=own)
assert client.is_model_ready("air-time", headers=own)
assert not client.is_model_ready("secret", headers=own)

server = client.get_server_metadata(headers=own)
assert {"binary_tensor_data", "model_repository", "statistics"} <= set(server["extensions"]), server
model = client.get_model_metadata("air-time", headers=own)
assert model["name"] == "air-time" and len(model["inputs"]) == 9, model
assert model["outputs"] == [{"name": "air_time", "datatype": "FP32", "shape": [-1, 1]}], model

answered = 0
for rows in (1, 32):
    for binary_in in (False, True):
        for binary_out in (None, False, True):
            answer = infer(rows, binary_in, binary_out, request_id="q")
            setting.check(answer.as_numpy("air_time"), rows)
            assert answer.get_response()["id"] == "q"
            answered += rows
setting.check(infer(1, True, model_version=model["versions"][0]).as_numpy("air_time"), 1)
answered += 1

index = client.get_model_repository_index(headers=own)
assert [(it["name"], it["state"]) for it in index] == [("air-time", "READY")], index
statistics = client.get_inference_statistics("air-time", headers=own)["model_stats"]
assert [it["inference_count"] for it in statistics] == [answered], statistics
assert statistics[0]["inference_stats"]["success"]["count"] == 13, statistics
assert statistics[0]["inference_stats"]["compute_infer"]["ns"] > 0, statistics
theirs = client.get_inference_statistics(headers=bearer(setting.stranger))["model_stats"]
assert all(it["inference_count"] == 0 for it in theirs), theirs


def refused(status, ask):
    error = refusal(InferenceServerException, ask)
    assert error.status() == str(status), error
    assert error.message(), error


refused(401, lambda: infer(1, True, headers=None))
refused(401, lambda: infer(1, True, headers=bearer("nonsense")))
refused(404, lambda: infer(1, True, model="secret"))
refused(404, lambda: client.get_model_metadata("air-time", "9", headers=own))
refused(404, lambda: client.load_model("air-time", headers=own))
refused(404, lambda: client.unload_model("air-time", headers=own))
wrong = InferInput("distance", [1, 1], "FP64")
wrong.set_data_from_numpy(numpy.zeros((1, 1), dtype=numpy.float64))
refused(400, lambda: client.infer("air-time", [wrong], headers=dict(own)))
for _ in range(20):
    try:
        infer(1, True, headers=bearer(setting.limited))
    except InferenceServerException as error:
        assert error.status() == "429", error
        break
else:
    raise AssertionError("expected the rate limit to be reached")
client.close()
print("triton_http: kept")
