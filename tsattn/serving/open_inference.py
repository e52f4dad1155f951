"""The Open Inference Protocol, version 2, in JSON."""

from __future__ import annotations

import math
from importlib.metadata import version
from typing import Any

import numpy as np
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import Scope

from tsattn.serving.errors import bad_request, shown
from tsattn.serving.http import LARGE, Endpoint, beside, engine_of, json_body, json_response, write_json
from tsattn.serving.servable import DEFAULT, Array, Servable, Signature, TensorInfo, Tensors
from tsattn.serving.tfserving_rest import check_model, is_much, is_plain, to_array, to_lists

DATATYPES = {"float32": "FP32", "int32": "INT32", "int64": "INT64", "string": "BYTES"}
"""The protocol's names of the types."""

_BINARY = "inference-header-content-length"


async def server(scope: Scope) -> Response:
    """Tell what the server is."""
    return json_response({"name": "tsattn", "version": version("tsattn"), "extensions": []})


async def live(scope: Scope) -> Response:
    """Tell that the server runs."""
    return json_response({"live": True})


async def ready(scope: Scope) -> Response:
    """Tell that a version is loaded; an error if none is."""
    engine_of(scope).resolve()
    return json_response({"ready": True})


async def model_ready(scope: Scope) -> Response:
    """Tell that a version is served; an error if it is not."""
    engine = engine_of(scope)
    engine.resolve(*check_model(engine, scope))
    return json_response({"name": engine.name, "ready": True})


async def model(scope: Scope) -> Response:
    """Tell the inputs and outputs of a version."""
    engine = engine_of(scope)
    servable = engine.resolve(*check_model(engine, scope))
    signature = servable.signature(DEFAULT)
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
    """Return the protocol's name of a tensor's type."""
    return DATATYPES.get(info.dtype, info.dtype.upper())


async def infer(scope: Scope) -> Response:
    """Answer an inference request."""
    engine = engine_of(scope)
    servable = engine.resolve(*check_model(engine, scope))
    if any(name == _BINARY.encode() for name, _ in scope["headers"]):
        raise bad_request("expected all tensors in JSON, got binary ones: ask with binary_data=False")
    request, body = await json_body(scope)
    identity = request.get("id", "")
    if not isinstance(identity, str):
        raise bad_request(f"id: expected a text, got {shown(identity)}")
    signature = _signature(request, servable)
    wanted = _wanted(request, signature)
    tensors = await beside(len(body) >= LARGE, _read, request, signature, is_plain(body))
    outputs = await engine.run(servable, signature, tensors)
    head = {"model_name": engine.name, "model_version": str(servable.version)} | ({"id": identity} if identity else {})
    text = await beside(is_much(outputs), _write, head, outputs, wanted, signature)
    return Response(text, media_type="application/json")


def _signature(request: dict[str, Any], servable: Servable) -> Signature:
    """Return the signature that a request asks for in its parameters."""
    parameters = request.get("parameters", {})
    if not isinstance(parameters, dict):
        raise bad_request(f"parameters: expected an object, got {shown(parameters)}")
    name = parameters.get("signature_name", DEFAULT)
    if not isinstance(name, str):
        raise bad_request(f"signature_name: expected a text, got {shown(name)}")
    return servable.signature(name or DEFAULT)


def _wanted(request: dict[str, Any], signature: Signature) -> list[str]:
    """Return the names of the outputs that a request asks for."""
    outputs = request.get("outputs", [])
    if not isinstance(outputs, list) or not all(isinstance(output, dict) for output in outputs):
        raise bad_request("outputs: expected a list of objects with a name")
    names = [output.get("name") for output in outputs]
    for name in names:
        if not isinstance(name, str) or name not in signature.outputs:
            raise bad_request(f"outputs: expected names out of {', '.join(signature.outputs)}, got {shown(name)}")
    return list(dict.fromkeys(names)) or list(signature.outputs)


def _read(request: dict[str, Any], signature: Signature, plain: bool) -> Tensors:
    given = request.get("inputs")
    if not isinstance(given, list) or not all(isinstance(tensor, dict) for tensor in given):
        raise bad_request("inputs: expected a list of objects with name, shape, datatype and data")
    tensors: dict[str, Array] = {}
    for tensor in given:
        name = tensor.get("name")
        if not isinstance(name, str) or name in tensors or name not in signature.inputs:
            raise bad_request(f"inputs: expected each of {', '.join(signature.inputs)} once, got {shown(name)}")
        tensors[name] = _tensor(tensor, signature.inputs[name], plain)
    return tensors


def _tensor(tensor: dict[str, Any], info: TensorInfo, plain: bool) -> Array:
    if tensor.get("datatype") != datatype(info):
        came = shown(tensor.get("datatype"))
        raise bad_request(f'input "{info.name}": expected the datatype {datatype(info)}, got {came}')
    shape = tensor.get("shape")
    if not isinstance(shape, list) or not all(type(size) is int and 0 <= size < 2**31 for size in shape):
        raise bad_request(f'input "{info.name}": expected a shape of whole numbers, got {shown(shape)}')
    if not isinstance(tensor.get("data"), list):
        raise bad_request(f'input "{info.name}": expected its data as a list')
    array = _flat(tensor["data"], info, plain)
    if array.size != math.prod(shape):
        raise bad_request(
            f'input "{info.name}": expected {math.prod(shape)} values as its shape says, got {array.size}'
        )
    try:
        return array.reshape(shape)
    except ValueError:
        raise bad_request(f'input "{info.name}": expected {info.expected}, got the shape {shown(shape)}') from None


def _flat(data: list[Any], info: TensorInfo, plain: bool) -> Array:
    """Return data that may be nested or flat, whatever the axes."""
    flat = TensorInfo(info.name, info.dtype, (None,))
    return to_array(data, flat, plain=plain).reshape(-1)


def _write(head: dict[str, str], outputs: Tensors, wanted: list[str], signature: Signature) -> bytes:
    tensors = [
        {
            "name": name,
            "datatype": datatype(signature.outputs[name]),
            "shape": list(outputs[name].shape),
            "data": to_lists(np.ravel(outputs[name])),
        }
        for name in wanted
    ]
    return write_json({**head, "outputs": tensors})


def routes() -> list[Route]:
    """Return the addresses of the protocol."""
    made = [
        Route("/v2", Endpoint("v2_server", server), methods=["GET"]),
        Route("/v2/health/live", Endpoint("v2_live", live), methods=["GET"]),
        Route("/v2/health/ready", Endpoint("v2_ready", ready), methods=["GET"]),
    ]
    for which in ("", "/versions/{version:digits}"):
        path = "/v2/models/{model:segment}" + which
        made += [
            Route(path, Endpoint("v2_model", model), methods=["GET"]),
            Route(f"{path}/ready", Endpoint("v2_model_ready", model_ready), methods=["GET"]),
            Route(f"{path}/infer", Endpoint("v2_infer", infer), methods=["POST"]),
        ]
    return made
