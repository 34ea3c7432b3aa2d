"""kserve's clients over REST and gRPC: typed and binary tensors, health, refusals."""

import asyncio

import grpc
import httpx
from kserve import (
    InferenceGRPCClient,
    InferenceRESTClient,
    InferInput,
    InferRequest,
    RESTConfig,
)

from flight import Setting, bearer

setting = Setting()
url = f"http://{setting.address}"
own = bearer(setting.token)


def request(rows, binary, model="air-time"):
    tensors = []
    for name, datatype, elements in setting.tensors(rows):
        tensor = InferInput(name, list(elements.shape), datatype)
        tensor.set_data_from_numpy(elements, binary_data=binary)
        tensors.append(tensor)
    return InferRequest(model, tensors)


async def rest():
    async with InferenceRESTClient(RESTConfig(protocol="v2")) as client:
        assert await client.is_server_live(url, headers=own)
        assert await client.is_server_ready(url, headers=own)
        assert await client.is_model_ready(url, "air-time", headers=own)
        assert not await client.is_model_ready(url, "secret", headers=own)
        for rows in (1, 32):
            for binary in (False, True):
                answer = await client.infer(
                    url, request(rows, binary), model_name="air-time", headers=dict(own)
                )
                setting.check(answer.outputs[0].as_numpy(), rows)
        for model, headers, status in (("air-time", {}, 401), ("secret", own, 404)):
            try:
                await client.infer(
                    url, request(1, True, model), model_name=model, headers=dict(headers)
                )
                raise AssertionError(f"expected {status}, found an answer")
            except httpx.HTTPStatusError as error:
                assert error.response.status_code == status, error
                assert error.response.json()["error"], error


async def calls():
    headers = tuple(own.items())
    async with InferenceGRPCClient(setting.address) as client:
        assert await client.is_server_live(headers=headers)
        assert await client.is_server_ready(headers=headers)
        assert await client.is_model_ready("air-time", headers=headers)
        for rows in (1, 32):
            for binary in (False, True):
                answer = await client.infer(request(rows, binary), headers=headers)
                setting.check(answer.outputs[0].as_numpy(), rows)
        for model, headers, code in (
            ("air-time", (), grpc.StatusCode.UNAUTHENTICATED),
            ("secret", headers, grpc.StatusCode.NOT_FOUND),
        ):
            try:
                await client.infer(request(1, True, model), headers=headers)
                raise AssertionError(f"expected {code}, found an answer")
            except grpc.aio.AioRpcError as error:
                assert error.code() == code, error


asyncio.run(rest())
asyncio.run(calls())
print("kserve_both: kept")
