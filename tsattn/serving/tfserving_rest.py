"""TensorFlow Serving's REST interface."""

from __future__ import annotations

import base64
import binascii
import contextlib
from collections.abc import Iterator
from typing import Any

import numpy as np
from starlette.convertors import Convertor, register_url_convertor
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import Scope

from tsattn.serving.engine import Engine
from tsattn.serving.errors import NOT_FOUND, ServingError, bad_request, shown
from tsattn.serving.http import LARGE, Endpoint, beside, engine_of, json_body, json_response, write_json
from tsattn.serving.repository import VersionStatus
from tsattn.serving.servable import DEFAULT, Array, Servable, Signature, TensorInfo, Tensors


class _Segment(Convertor[str]):
    """A part of an address before a colon or slash."""

    regex = "[^/:]+"

    def convert(self, value: str) -> str:
        return value

    def to_string(self, value: str) -> str:
        return value


class _Digits(_Segment):
    regex = "[0-9]+"


register_url_convertor("segment", _Segment())
register_url_convertor("digits", _Digits())


def check_model(engine: Engine, scope: Scope) -> tuple[int | None, str | None]:
    """Return the version and label that an address names.

    Raises:
        ServingError: it names another model, or a version that is no number of 64 bits.
    """
    params = scope["path_params"]
    if params["model"] != engine.name:
        raise ServingError(NOT_FOUND, f'expected the model "{engine.name}", got {shown(params["model"])}')
    digits = params.get("version")
    return None if digits is None else version_of(digits), params.get("label")


def version_of(digits: str) -> int:
    """Return a version that a client names.

    Raises:
        ServingError: it is no number of 64 bits.
    """
    if not (digits.isascii() and digits.isdecimal() and len(digits) < 20 and int(digits) < 2**63):
        raise bad_request(f"expected a version of 64 bits, got {shown(digits)}")
    return int(digits)


async def predict(scope: Scope) -> Response:
    """Answer :predict."""
    engine = engine_of(scope)
    servable = engine.resolve(*check_model(engine, scope))
    request, body = await json_body(scope)
    name = request.get("signature_name", DEFAULT)
    if not isinstance(name, str):
        raise bad_request(f"signature_name: expected a text, got {shown(name)}")
    signature = servable.signature(name or DEFAULT)
    tensors, by_row = await beside(len(body) >= LARGE, read_tensors, request, signature, is_plain(body))
    outputs = await engine.run(servable, signature, tensors)
    text = await beside(is_much(outputs), write_outputs, outputs, by_row)
    return Response(text, media_type="application/json")


def read_tensors(request: dict[str, Any], signature: Signature, plain: bool) -> tuple[Tensors, bool]:
    """Return the tensors of a request, and whether they were given by row.

    Raises:
        ServingError: they are not given as they should be.
    """
    if ("instances" in request) == ("inputs" in request):
        raise bad_request('expected either "instances" or "inputs", got ' + ("both" if "inputs" in request else "none"))
    by_row = "instances" in request
    columns = _columns_of_rows(request["instances"], signature) if by_row else _columns(request["inputs"], signature)
    known = {
        name: to_array(values, signature.inputs[name], plain=plain)
        for name, values in columns.items()
        if name in signature.inputs
    }
    # What the signature does not have is refused by its own check.
    return {**dict.fromkeys(columns), **known}, by_row  # type: ignore[dict-item]


def _columns(inputs: Any, signature: Signature) -> dict[str, Any]:
    if isinstance(inputs, dict) and not _is_bytes(inputs):
        return inputs
    return {_only_input(signature, "inputs"): inputs}


def _columns_of_rows(instances: Any, signature: Signature) -> dict[str, Any]:
    if not isinstance(instances, list) or not instances:
        raise bad_request(f'"instances": expected a list with a row at least, got {shown(instances)}')
    named = [isinstance(row, dict) and not _is_bytes(row) for row in instances]
    if not any(named):
        return {_only_input(signature, "instances"): instances}
    names = instances[0].keys() if named[0] else signature.inputs.keys()
    if not all(named) or any(row.keys() != names for row in instances):
        raise bad_request('"instances": expected objects with the same names in each, got different ones')
    return {name: [row[name] for row in instances] for name in names}


def _is_bytes(value: dict[str, Any]) -> bool:
    return value.keys() == {"b64"}


def _only_input(signature: Signature, key: str) -> str:
    if len(signature.inputs) > 1:
        names = ", ".join(signature.inputs)
        raise bad_request(f'"{key}": expected the inputs by name ({names}), for the signature has several')
    return next(iter(signature.inputs))


def is_much(outputs: Tensors) -> bool:
    """Tell whether outputs make a large text."""
    return sum(value.nbytes for value in outputs.values()) >= LARGE


def write_outputs(outputs: Tensors, by_row: bool) -> bytes:
    """Return the answer: what was asked by row is answered by row; the name of a single output is left out."""
    lists = {name: to_lists(value) for name, value in outputs.items()}
    if not by_row:
        return write_json({"outputs": lists if len(lists) > 1 else next(iter(lists.values()))})
    if len(lists) == 1:
        return write_json({"predictions": next(iter(lists.values()))})
    rows = zip(*lists.values(), strict=True)
    return write_json({"predictions": [dict(zip(lists, row, strict=True)) for row in rows]})


async def other_method(scope: Scope) -> Response:
    """Answer :classify and :regress, for which a model needs signatures of its own."""
    engine = engine_of(scope)
    servable = engine.resolve(*check_model(engine, scope))
    request, _ = await json_body(scope)
    name = request.get("signature_name", DEFAULT)
    signature = servable.signature(name if isinstance(name, str) and name else DEFAULT)
    wanted = scope["path"].rpartition(":")[2]
    raise bad_request(
        f'expected a signature of the method "tensorflow/serving/{wanted}", got "{signature.name}", '
        f'whose method is "{signature.method}": ask for :predict'
    )


async def status(scope: Scope) -> Response:
    """Tell the states of the versions, or of one."""
    engine = engine_of(scope)
    found = find_statuses(engine, *check_model(engine, scope))
    return json_response(
        {
            "model_version_status": [
                {
                    "version": str(one.version),
                    "state": one.state,
                    "status": {"error_code": one.code, "error_message": one.error},
                }
                for one in found
            ]
        }
    )


def find_statuses(engine: Engine, version: int | None, label: str | None) -> list[VersionStatus]:
    """Return the states of all versions, or of the one that is named; 0 is the latest that is served.

    Raises:
        ServingError: the one that is named is not known.
    """
    if version is None and label is None:
        return engine.repository.statuses()
    if not version:
        version = engine.resolve(version, label).version
    found = [one for one in engine.repository.statuses() if one.version == version]
    if not found:
        raise ServingError(NOT_FOUND, f'model "{engine.name}": version {version} is not known')
    return found


async def metadata(scope: Scope) -> Response:
    """Tell the signatures of a version."""
    engine = engine_of(scope)
    servable = engine.resolve(*check_model(engine, scope))
    return json_response(
        {
            "model_spec": {"name": engine.name, "signature_name": "", "version": str(servable.version)},
            "metadata": {"signature_def": {"signature_def": definitions_as_json(servable)}},
        }
    )


def definitions_as_json(servable: Servable) -> dict[str, Any]:
    """Return the SignatureDefs of a version as TensorFlow Serving shows them."""
    from google.protobuf.json_format import MessageToDict

    return {
        name: MessageToDict(definition, preserving_proto_field_name=True, always_print_fields_with_no_presence=True)
        for name, definition in servable.definitions.items()
    }


def routes() -> list[Route]:
    """Return the addresses of the interface."""
    made = []
    for which in ("", "/versions/{version:digits}", "/labels/{label:segment}"):
        model = "/v1/models/{model:segment}" + which
        made += [
            Route(f"{model}:predict", Endpoint("predict", predict), methods=["POST"]),
            Route(f"{model}:classify", Endpoint("classify", other_method), methods=["POST"]),
            Route(f"{model}:regress", Endpoint("regress", other_method), methods=["POST"]),
            Route(model, Endpoint("status", status), methods=["GET"]),
            Route(f"{model}/metadata", Endpoint("metadata", metadata), methods=["GET"]),
        ]
    return made


_BOOLS = (b"true", b"false", b"null", b"Infinity")


def is_plain(body: bytes) -> bool:
    """Tell whether a body can hold no bool, null or infinity, so that NumPy may be trusted with its lists."""
    return not any(word in body for word in _BOOLS)


def to_array(value: Any, info: TensorInfo, *, plain: bool) -> Array:
    """Return nested lists as an array in the type of a tensor.

    Args:
        value: what stood in the JSON.
        info: the tensor.
        plain: whether there is no bool, null or infinity in the text, see `is_plain`.

    Raises:
        ServingError: something in it is of another type, or the lists are of different lengths.
    """
    array = _texts(value, info) if info.dtype == "string" else _numbers(value, info, plain)
    missing = len(info.shape) - array.ndim
    if array.size == 0 and missing > 0:
        # Lists cannot tell the axes behind one of length 0.
        array = array.reshape(*array.shape, *((size or 0) for size in info.shape[array.ndim :]))
    return array


def _numbers(value: Any, info: TensorInfo, plain: bool) -> Array:
    if not plain:
        _check_numbers(value, info)
    try:
        array = np.asarray(value)
    except ValueError:
        raise _ragged(info) from None
    except (OverflowError, RecursionError):
        raise bad_request(f'input "{info.name}": expected {info.expected}, got something else') from None
    if array.size == 0:
        return array.astype(info.numpy)
    if array.dtype.kind == "O":
        # Whole numbers beyond 64 bits; where a float is wanted they are numbers like others.
        _check_numbers(value, info)
        array = _wide(array, info)
    if array.dtype.kind == "f" and info.dtype != "float32":
        raise bad_request(f'input "{info.name}": expected whole numbers ({info.dtype}), got {_first_float(value)}')
    if array.dtype.kind not in "iuf":
        _check_numbers(value, info)
    array = array if array.dtype == info.numpy else info.cast(array)
    if plain and array.dtype.kind == "f" and np.isinf(array).any():
        raise bad_request(f'input "{info.name}": got a number that does not fit {info.dtype}')
    return array


def _wide(array: Array, info: TensorInfo) -> Array:
    if info.dtype == "float32":
        with contextlib.suppress(OverflowError):
            return array.astype(np.float64)
    raise bad_request(f'input "{info.name}": expected {info.expected}, got a number that does not fit it')


def _check_numbers(value: Any, info: TensorInfo) -> None:
    """Refuse what NumPy would take for a number: bools, null, texts."""
    for leaf in _leaves(value):
        if type(leaf) is not float and type(leaf) is not int:
            raise bad_request(f'input "{info.name}": expected numbers ({info.dtype}), got {shown(leaf)}')


def _first_float(value: Any) -> Any:
    return next((shown(leaf) for leaf in _leaves(value) if type(leaf) is float), "others")


def _leaves(value: Any) -> Iterator[Any]:
    """Yield what stands in nested lists, in order."""
    stack = [iter((value,))]
    while stack:
        for part in stack[-1]:
            if type(part) is list:
                stack.append(iter(part))
                break
            yield part
        else:
            stack.pop()


def _ragged(info: TensorInfo) -> Exception:
    return bad_request(
        f'input "{info.name}": expected {info.expected}, got lists of different lengths: '
        "pad shorter ones, with NaN where numbers are missing"
    )


def _texts(value: Any, info: TensorInfo) -> Array:
    level, shape = [value], []
    while level and type(level[0]) is list:
        sizes = {len(part) if type(part) is list else -1 for part in level}
        if len(sizes) > 1:
            raise _ragged(info)
        shape.append(len(level[0]))
        level = [leaf for part in level for leaf in part]
    array = np.empty(len(level), dtype=object)
    array[:] = [_text(leaf, info) for leaf in level]
    return array.reshape(shape)


def _text(value: Any, info: TensorInfo) -> str | bytes:
    """Return a text, or bytes that were given as ``{"b64": ...}``."""
    if isinstance(value, str):
        return value
    if isinstance(value, dict) and value.keys() == {"b64"} and isinstance(value["b64"], str):
        try:
            return base64.b64decode(value["b64"], validate=True)
        except (binascii.Error, ValueError):
            raise bad_request(f'input "{info.name}": expected base64, got {shown(value["b64"])}') from None
    raise bad_request(f'input "{info.name}": expected a text, got {shown(value)}')


def to_lists(array: Array) -> Any:
    """Return an array as nested lists of what JSON has; texts that are no UTF-8 become ``{"b64": ...}``."""
    if array.dtype.kind != "O":
        return array.tolist()
    flat = np.empty(array.size, dtype=object)
    flat[:] = [_shown_bytes(value) for value in array.flat]
    return flat.reshape(array.shape).tolist()


def _shown_bytes(value: Any) -> Any:
    if isinstance(value, str):
        return value
    try:
        return bytes(value).decode()
    except UnicodeDecodeError:
        return {"b64": base64.b64encode(bytes(value)).decode("ascii")}
