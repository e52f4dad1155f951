"""TensorFlow Serving's REST API."""

from __future__ import annotations

from typing import Any

from starlette.responses import Response
from starlette.routing import Route
from starlette.types import Scope

from tsattn.export.metadata import SERVING
from tsattn.serving.errors import bad_request, quote_value
from tsattn.serving.http import (
    MIN_LARGE_BYTES,
    Endpoint,
    is_large,
    json_body,
    json_response,
    requested_servable,
    requested_version,
    run_in_thread,
    write_json,
)
from tsattn.serving.json_tensors import has_only_numbers, to_array, to_lists
from tsattn.serving.servable import Servable, Signature, Tensors


async def predict(scope: Scope) -> Response:
    """Answer ``:predict``."""
    engine, servable = requested_servable(scope)
    request, body = await json_body(scope)
    name = request.get("signature_name", SERVING)
    if not isinstance(name, str):
        raise bad_request(f"signature_name: expected a string, got {quote_value(name)}")
    signature = servable.signature(name or SERVING)
    is_body_large = len(body) >= MIN_LARGE_BYTES
    tensors, by_row = await run_in_thread(is_body_large, read_tensors, request, signature, has_only_numbers(body))
    outputs = await engine.run(servable, signature, tensors)
    text = await run_in_thread(is_large(outputs), write_outputs, outputs, by_row)
    return Response(text, media_type="application/json")


def read_tensors(request: dict[str, Any], signature: Signature, only_numbers: bool) -> tuple[Tensors, bool]:
    """Return the inputs of a request, and whether they are in row format."""
    if ("instances" in request) == ("inputs" in request):
        raise bad_request('expected either "instances" or "inputs", got ' + ("both" if "inputs" in request else "none"))
    by_row = "instances" in request
    columns = _from_rows(request["instances"], signature) if by_row else _from_columns(request["inputs"], signature)
    tensors = {
        name: to_array(values, signature.inputs[name], only_numbers=only_numbers)
        for name, values in columns.items()
        if name in signature.inputs
    }
    # Unknown names are passed on without values: `Signature.check` rejects them.
    return {**dict.fromkeys(columns), **tensors}, by_row  # type: ignore[dict-item]


def _from_columns(inputs: Any, signature: Signature) -> dict[str, Any]:
    if isinstance(inputs, dict) and not _is_bytes(inputs):
        return inputs
    return {_single_input(signature, "inputs"): inputs}


def _from_rows(instances: Any, signature: Signature) -> dict[str, Any]:
    if not isinstance(instances, list) or not instances:
        raise bad_request(f'"instances": expected a list with at least one row, got {quote_value(instances)}')
    named = [isinstance(row, dict) and not _is_bytes(row) for row in instances]
    if not any(named):
        return {_single_input(signature, "instances"): instances}
    names = instances[0].keys() if named[0] else signature.inputs.keys()
    if not all(named) or any(row.keys() != names for row in instances):
        raise bad_request('"instances": expected objects with the same keys, got different ones')
    return {name: [row[name] for row in instances] for name in names}


def _is_bytes(value: dict[str, Any]) -> bool:
    return value.keys() == {"b64"}


def _single_input(signature: Signature, key: str) -> str:
    if len(signature.inputs) > 1:
        names = ", ".join(signature.inputs)
        raise bad_request(f'"{key}": expected inputs by name, because the signature has several: {names}')
    return next(iter(signature.inputs))


def write_outputs(outputs: Tensors, by_row: bool) -> bytes:
    """Return outputs as JSON, in row or column format, without the name of a single output."""
    lists = {name: to_lists(value) for name, value in outputs.items()}
    if not by_row:
        return write_json({"outputs": lists if len(lists) > 1 else next(iter(lists.values()))})
    if len(lists) == 1:
        return write_json({"predictions": next(iter(lists.values()))})
    rows = zip(*lists.values(), strict=True)
    return write_json({"predictions": [dict(zip(lists, row, strict=True)) for row in rows]})


async def other_method(scope: Scope) -> Response:
    """Answer ``:classify`` and ``:regress``, which need signatures that forecasters do not have."""
    _, servable = requested_servable(scope)
    request, _ = await json_body(scope)
    name = request.get("signature_name", SERVING)
    signature = servable.signature(name if isinstance(name, str) and name else SERVING)
    method = scope["path"].rpartition(":")[2]
    raise bad_request(
        f'expected a signature with the method "tensorflow/serving/{method}", got "{signature.name}" '
        f'with the method "{signature.method}": use :predict'
    )


async def status(scope: Scope) -> Response:
    """Return the status of one version or of all of them."""
    engine, version, label = requested_version(scope)
    return json_response(
        {
            "model_version_status": [
                {
                    "version": str(one.version),
                    "state": one.state,
                    "status": {"error_code": one.code, "error_message": one.error},
                }
                for one in engine.statuses(version, label)
            ]
        }
    )


async def metadata(scope: Scope) -> Response:
    """Return the signatures of a version."""
    engine, servable = requested_servable(scope)
    return json_response(
        {
            "model_spec": {"name": engine.name, "signature_name": "", "version": str(servable.version)},
            "metadata": {"signature_def": {"signature_def": _definitions_to_json(servable)}},
        }
    )


def _definitions_to_json(servable: Servable) -> dict[str, Any]:
    from google.protobuf.json_format import MessageToDict

    return {
        name: MessageToDict(definition, preserving_proto_field_name=True, always_print_fields_with_no_presence=True)
        for name, definition in servable.definitions.items()
    }


def routes() -> list[Route]:
    """Return the routes of the API."""
    result = []
    for selector in ("", "/versions/{version:digits}", "/labels/{label:segment}"):
        model = "/v1/models/{model:segment}" + selector
        result += [
            Route(f"{model}:predict", Endpoint("predict", predict), methods=["POST"]),
            Route(f"{model}:classify", Endpoint("classify", other_method), methods=["POST"]),
            Route(f"{model}:regress", Endpoint("regress", other_method), methods=["POST"]),
            Route(model, Endpoint("status", status), methods=["GET"]),
            Route(f"{model}/metadata", Endpoint("metadata", metadata), methods=["GET"]),
        ]
    return result
