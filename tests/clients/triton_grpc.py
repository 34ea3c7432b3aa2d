"""tritonclient over gRPC: raw tensors, metadata, statistics, the index, refusals."""

import queue

import numpy
from tritonclient.grpc import InferenceServerClient, InferInput, InferRequestedOutput
from tritonclient.utils import InferenceServerException

from flight import Setting, bearer, refusal

setting = Setting()
client = InferenceServerClient(setting.address)
own = bearer(setting.token)


def inputs(rows):
    for name, datatype, elements in setting.tensors(rows):
        tensor = InferInput(name, list(elements.shape), datatype)
        tensor.set_data_from_numpy(elements)
        yield tensor


def infer(rows, headers=own, model="air-time", outputs=None, **more):
    return client.infer(model, list(inputs(rows)), outputs=outputs, headers=headers, **more)


assert client.is_server_live(headers=own)
assert client.is_server_ready(headers=own)
assert client.is_model_ready("air-time", headers=own)

server = client.get_server_metadata(headers=own)
assert {"binary_tensor_data", "model_repository", "statistics"} <= set(server.extensions), server
model = client.get_model_metadata("air-time", headers=own)
assert model.name == "air-time" and len(model.inputs) == 9, model
assert [(it.name, it.datatype, list(it.shape)) for it in model.outputs] == [
    ("air_time", "FP32", [-1, 1])
], model


def counts():
    [statistics] = client.get_inference_statistics("air-time", headers=own).model_stats
    return statistics.inference_count, statistics.inference_stats.success.count


rows_before, requests_before = counts()
for rows in (1, 32):
    for outputs in (None, [InferRequestedOutput("air_time")]):
        answer = infer(rows, outputs=outputs, request_id="q")
        setting.check(answer.as_numpy("air_time"), rows)
        assert answer.get_response().id == "q"
setting.check(infer(1, model_version=model.versions[0]).as_numpy("air_time"), 1)
setting.check(infer(1, client_timeout=20).as_numpy("air_time"), 1)
# Trailers are read beside one another: many calls at once on one connection.
answers = queue.Queue()
for _ in range(16):
    client.async_infer(
        "air-time",
        list(inputs(1)),
        callback=lambda result, error: answers.put((result, error)),
        headers=own,
    )
for _ in range(16):
    result, error = answers.get(timeout=60)
    assert error is None, error
    setting.check(result.as_numpy("air_time"), 1)
rows, requests = counts()
assert (rows - rows_before, requests - requests_before) == (84, 22), (rows, requests)

index = client.get_model_repository_index(headers=own).models
assert [(it.name, it.state) for it in index] == [("air-time", "READY")], index
theirs = client.get_inference_statistics(headers=bearer(setting.stranger)).model_stats
assert all(it.inference_count == 0 for it in theirs), theirs


def refused(status, ask):
    error = refusal(InferenceServerException, ask)
    assert error.status() == f"StatusCode.{status}", error
    assert error.message(), error


refused("UNAUTHENTICATED", lambda: infer(1, headers=None))
refused("UNAUTHENTICATED", lambda: infer(1, headers=bearer("nonsense")))
refused("NOT_FOUND", lambda: infer(1, model="secret"))
refused("NOT_FOUND", lambda: client.get_model_metadata("air-time", "9", headers=own))
refused("NOT_FOUND", lambda: client.load_model("air-time", headers=own))
refused("UNIMPLEMENTED", lambda: client.get_trace_settings(headers=own))
wrong = InferInput("distance", [1, 1], "FP64")
wrong.set_data_from_numpy(numpy.zeros((1, 1), dtype=numpy.float64))
refused("INVALID_ARGUMENT", lambda: client.infer("air-time", [wrong], headers=own))
for _ in range(20):
    try:
        infer(1, headers=bearer(setting.limited))
    except InferenceServerException as error:
        assert error.status() in ("StatusCode.UNAVAILABLE", "StatusCode.RESOURCE_EXHAUSTED"), error
        break
else:
    raise AssertionError("expected the rate limit to be reached")
client.close()
print("triton_grpc: kept")
