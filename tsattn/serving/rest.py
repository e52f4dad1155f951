"""TensorFlow Serving's REST interface."""

from __future__ import annotations

from typing import Any

from starlette.convertors import Convertor, register_url_convertor
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import Scope

from tsattn.serving.arrays import is_plain, to_array, to_lists
from tsattn.serving.engine import Engine
from tsattn.serving.errors import NOT_FOUND, ServingError, bad_request, shown
from tsattn.serving.json_text import write_json
from tsattn.serving.repository import VersionStatus
from tsattn.serving.servable import Servable
from tsattn.serving.signature import DEFAULT, Signature, Tensors
from tsattn.serving.web import LARGE, Endpoint, beside, engine_of, json_body, json_response


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
