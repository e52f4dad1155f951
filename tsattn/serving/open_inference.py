"""Open Inference Protocol, version 2, in JSON."""

from __future__ import annotations

import math
from importlib.metadata import version
from typing import Any

import numpy as np
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import Scope

from tsattn.export.metadata import SERVING
from tsattn.serving.errors import bad_request, quote_value
from tsattn.serving.http import (
    MIN_LARGE_BYTES,
    Endpoint,
    get_engine,
    is_large,
    json_body,
    json_response,
    requested_servable,
    run_in_thread,
    write_json,
)
from tsattn.serving.json_tensors import has_only_numbers, to_array, to_lists
from tsattn.serving.servable import Array, Servable, Signature, TensorInfo, Tensors

DATATYPES = {"float32": "FP32", "int32": "INT32", "int64": "INT64", "string": "BYTES"}
"""Names of the types in the protocol."""

_BINARY_HEADER = b"inference-header-content-length"


async def server(scope: Scope) -> Response:
    """Return the name and version of the server."""
    return json_response({"name": "tsattn", "version": version("tsattn"), "extensions": []})


async def live(scope: Scope) -> Response:
    """Report that the server runs."""
    return json_response({"live": True})


async def ready(scope: Scope) -> Response:
    """Report that a version is loaded; an error otherwise."""
    get_engine(scope).resolve()
    return json_response({"ready": True})


async def model_ready(scope: Scope) -> Response:
    """Report that a version is served; an error otherwise."""
    engine, _ = requested_servable(scope)
    return json_response({"name": engine.name, "ready": True})


async def model(scope: Scope) -> Response:
    """Return the inputs and outputs of a version."""
    engine, servable = requested_servable(scope)
    signature = servable.signature(SERVING)
    return json_response(
        {
            "name": engine.name,
            "versions": [str(number) for number in engine.repository.loaded()],
            "platform": "tensorflow_savedmodel",
            "inputs": [_tensor_metadata(info) for info in signature.inputs.values()],
            "outputs": [_tensor_metadata(info) for info in signature.outputs.values()],
        }
    )


def _tensor_metadata(info: TensorInfo) -> dict[str, Any]:
    shape = [-1 if size is None else size for size in info.shape]
    return {"name": info.name, "datatype": datatype(info), "shape": shape}


def datatype(info: TensorInfo) -> str:
    """Return the name of a tensor's type in the protocol."""
    return DATATYPES.get(info.dtype, info.dtype.upper())


async def infer(scope: Scope) -> Response:
    """Answer an inference request."""
    engine, servable = requested_servable(scope)
    if any(name == _BINARY_HEADER for name, _ in scope["headers"]):
        raise bad_request("expected all tensors in JSON, got binary ones: use binary_data=False")
    request, body = await json_body(scope)
    request_id = request.get("id", "")
    if not isinstance(request_id, str):
        raise bad_request(f"id: expected a string, got {quote_value(request_id)}")
    signature = _requested_signature(request, servable)
    names = _requested_outputs(request, signature)
    is_body_large = len(body) >= MIN_LARGE_BYTES
    tensors = await run_in_thread(is_body_large, _read_tensors, request, signature, has_only_numbers(body))
    outputs = await engine.run(servable, signature, tensors)
    head = {"model_name": engine.name, "model_version": str(servable.version)}
    head |= {"id": request_id} if request_id else {}
    text = await run_in_thread(is_large(outputs), _write_outputs, head, outputs, names, signature)
    return Response(text, media_type="application/json")


def _requested_signature(request: dict[str, Any], servable: Servable) -> Signature:
    parameters = request.get("parameters", {})
    if not isinstance(parameters, dict):
        raise bad_request(f"parameters: expected an object, got {quote_value(parameters)}")
    name = parameters.get("signature_name", SERVING)
    if not isinstance(name, str):
        raise bad_request(f"signature_name: expected a string, got {quote_value(name)}")
    return servable.signature(name or SERVING)


def _requested_outputs(request: dict[str, Any], signature: Signature) -> list[str]:
    outputs = request.get("outputs", [])
    if not isinstance(outputs, list) or not all(isinstance(output, dict) for output in outputs):
        raise bad_request("outputs: expected a list of objects with a name")
    names = [output.get("name") for output in outputs]
    for name in names:
        if not isinstance(name, str) or name not in signature.outputs:
            raise bad_request(f"outputs: expected names of {', '.join(signature.outputs)}, got {quote_value(name)}")
    return list(dict.fromkeys(names)) or list(signature.outputs)


def _read_tensors(request: dict[str, Any], signature: Signature, only_numbers: bool) -> Tensors:
    inputs = request.get("inputs")
    if not isinstance(inputs, list) or not all(isinstance(tensor, dict) for tensor in inputs):
        raise bad_request("inputs: expected a list of objects with name, shape, datatype and data")
    tensors: dict[str, Array] = {}
    for tensor in inputs:
        name = tensor.get("name")
        if not isinstance(name, str) or name in tensors or name not in signature.inputs:
            raise bad_request(f"inputs: expected each of {', '.join(signature.inputs)} once, got {quote_value(name)}")
        tensors[name] = _read_tensor(tensor, signature.inputs[name], only_numbers)
    return tensors


def _read_tensor(tensor: dict[str, Any], info: TensorInfo, only_numbers: bool) -> Array:
    if tensor.get("datatype") != datatype(info):
        found = quote_value(tensor.get("datatype"))
        raise bad_request(f'input "{info.name}": expected the datatype {datatype(info)}, got {found}')
    shape = tensor.get("shape")
    if not isinstance(shape, list) or not all(type(size) is int and 0 <= size < 2**31 for size in shape):
        raise bad_request(f'input "{info.name}": expected a shape of integers, got {quote_value(shape)}')
    if not isinstance(tensor.get("data"), list):
        raise bad_request(f'input "{info.name}": expected the data as a list')
    # The data are flat or nested, independently of the shape.
    flat = TensorInfo(info.name, info.dtype, (None,))
    array = to_array(tensor["data"], flat, only_numbers=only_numbers, shape=shape).reshape(-1)
    if array.size != math.prod(shape):
        raise bad_request(f'input "{info.name}": expected {math.prod(shape)} values for its shape, got {array.size}')
    try:
        return array.reshape(shape)
    except ValueError:
        raise bad_request(
            f'input "{info.name}": expected {info.type_text}, got the shape {quote_value(shape)}'
        ) from None


def _write_outputs(head: dict[str, str], outputs: Tensors, names: list[str], signature: Signature) -> bytes:
    tensors = [
        {
            "name": name,
            "datatype": datatype(signature.outputs[name]),
            "shape": list(outputs[name].shape),
            "data": to_lists(np.ravel(outputs[name])),
        }
        for name in names
    ]
    return write_json({**head, "outputs": tensors})


def routes() -> list[Route]:
    """Return the routes of the protocol."""
    result = [
        Route("/v2", Endpoint("v2_server", server), methods=["GET"]),
        Route("/v2/health/live", Endpoint("v2_live", live), methods=["GET"]),
        Route("/v2/health/ready", Endpoint("v2_ready", ready), methods=["GET"]),
    ]
    for selector in ("", "/versions/{version:digits}"):
        path = "/v2/models/{model:segment}" + selector
        result += [
            Route(path, Endpoint("v2_model", model), methods=["GET"]),
            Route(f"{path}/ready", Endpoint("v2_model_ready", model_ready), methods=["GET"]),
            Route(f"{path}/infer", Endpoint("v2_infer", infer), methods=["POST"]),
        ]
    return result
