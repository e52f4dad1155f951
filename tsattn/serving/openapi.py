"""The OpenAPI document of a server and its model."""

from __future__ import annotations

from importlib.metadata import version
from typing import Any
from urllib.parse import quote

import numpy as np

from tsattn.serving.engine import Engine
from tsattn.serving.open_inference import datatype
from tsattn.serving.servable import DEFAULT, Servable, Signature, TensorInfo

_ERRORS = {
    "400": "The request is wrong.",
    "401": "The token is missing or wrong.",
    "404": "There is no such model or version.",
    "405": "The address has other methods, see Allow.",
    "408": "The request did not arrive in time.",
    "413": "The request is too large.",
    "415": "The body is of another type or compressed.",
    "429": "Too many requests wait already.",
    "500": "The server failed.",
    "503": "The server has no room, or no model yet.",
    "504": "The model did not answer in time.",
}

_VERSION = {
    "name": "version",
    "in": "path",
    "required": True,
    "description": "Number of a version; 0 is the latest.",
    "schema": {"type": "integer", "minimum": 0, "maximum": 2**63 - 1},
}


def document(engine: Engine) -> Schema:
    """Return the document of what a server does, with the names and shapes of its latest version."""
    servable, name = engine.resolve(), quote(engine.name)
    paths: Schema = {}
    labels = sorted(engine.repository.labels)
    by_label = [("/labels/{label}", [_label(labels)])] if labels else []
    for which, parameters in (("", []), ("/versions/{version}", [_VERSION]), *by_label):
        paths |= _rest(f"/v1/models/{name}{which}", parameters)
    for which, parameters in (("", []), ("/versions/{version}", [_VERSION])):
        paths |= _protocol(f"/v2/models/{name}{which}", parameters)
    paths |= _server() | _door()
    made: Schema = {
        "openapi": "3.1.0",
        "info": {
            "title": f"{engine.name}: forecasts",
            "version": version("tsattn"),
            "description": "NaN, Infinity and -Infinity are numbers in both directions, as in TensorFlow Serving.",
        },
        "paths": paths,
        "components": {
            "schemas": components(servable),
            "responses": {
                code: {"description": text, "content": {"application/json": {"schema": ref("Error")}}}
                for code, text in _ERRORS.items()
            },
        },
    }
    if engine.settings.token is not None:
        made["components"]["securitySchemes"] = {"token": {"type": "http", "scheme": "bearer"}}
        made["security"] = [{"token": []}]
    return made


def _label(labels: list[str]) -> Schema:
    schema = {"type": "string", "enum": labels}
    return {"name": "label", "in": "path", "required": True, "description": "Label of a version.", "schema": schema}


def _rest(model: str, parameters: list[Schema]) -> Schema:
    return {
        f"{model}:predict": {"post": _call("Forecast as TensorFlow Serving does.", "Predict", "Predicted", parameters)},
        model: {"get": _call("The states of the versions.", None, "Status", parameters)},
        f"{model}/metadata": {"get": _call("The signatures of a version.", None, "Metadata", parameters)},
    }


def _protocol(model: str, parameters: list[Schema]) -> Schema:
    return {
        model: {"get": _call("The inputs and outputs of a version.", None, "Model", parameters)},
        f"{model}/ready": {"get": _call("Whether a version is served.", None, "Ready", parameters)},
        f"{model}/infer": {
            "post": _call("Forecast, by the Open Inference Protocol.", "Infer", "Inferred", parameters),
        },
    }


def _server() -> Schema:
    return {
        "/v2": {"get": _call("What the server is.", None, "Server")},
        "/v2/health/live": {"get": _open(_call("Whether the server runs.", None, "Live"))},
        "/v2/health/ready": {"get": _open(_call("Whether a version is loaded.", None, "Ready"))},
        "/health": {"get": _open(_call("Whether the server runs, and its versions.", None, "Health"))},
        "/monitoring/prometheus/metrics": {"get": _text("What the server counts.", "text/plain")},
        "/openapi.json": {"get": _call("This document.", None, "Object")},
    }


def _door() -> Schema:
    post = _call("Forecast from rows of data.", "Records", "Forecast", [_HISTORY])
    post["requestBody"]["content"]["text/csv"] = {"schema": {"type": "string", "minLength": 1}}
    post["responses"]["200"]["content"]["text/csv"] = {"schema": {"type": "string"}}
    return {
        "/v1/forecast": {"post": post, "get": _call("What rows the model expects.", None, "Object")},
        "/": {"get": _text("A page to try the model.", "text/html")},
    }


_HISTORY = {
    "name": "history",
    "in": "query",
    "description": "Steps of history that are sent back beside a forecast in JSON.",
    "schema": {"type": "integer", "minimum": 0, "maximum": 10**9},
}


def _call(summary: str, given: str | None, made: str, parameters: list[Schema] | None = None) -> Schema:
    """Return an operation by the names of its schemas."""
    operation: Schema = {
        "summary": summary,
        "parameters": list(parameters or ()),
        "responses": {
            "200": {"description": "The answer.", "content": {"application/json": {"schema": ref(made)}}},
            **{code: {"$ref": f"#/components/responses/{code}"} for code in _ERRORS},
        },
    }
    if given is not None:
        operation["requestBody"] = {"required": True, "content": {"application/json": {"schema": ref(given)}}}
    return operation


def _text(summary: str, kind: str) -> Schema:
    operation = _call(summary, None, "Object")
    operation["responses"]["200"]["content"] = {kind: {"schema": {"type": "string"}}}
    return operation


def _open(operation: dict[str, Any]) -> Schema:
    """Return an operation that needs no token."""
    return {**operation, "security": []}


Schema = dict[str, Any]

_FLOAT = float(2**128 - 2**103)
"""What no longer rounds to a finite float32."""
_TEXT: Schema = {"type": "string"}
_OBJECT: Schema = {"type": "object"}


def ref(name: str) -> Schema:
    """Return a reference to a schema by its name."""
    return {"$ref": f"#/components/schemas/{name}"}


def components(servable: Servable) -> Schema:
    """Return the schemas by name, with the tensors of the default signature of a version."""
    signature = servable.signature(DEFAULT)
    return {
        "Error": _object({"error": _TEXT}),
        "Object": _OBJECT,
        **_rest_schemas(signature, list(servable.signatures)),
        **_protocol_schemas(signature, list(servable.signatures)),
        **_server_schemas(),
        **_door_schemas(),
    }


def _object(properties: Schema, *, required: list[str] | None = None, closed: bool = False) -> Schema:
    made: Schema = {
        "type": "object",
        "properties": properties,
        "required": list(properties) if required is None else required,
    }
    return {**made, "additionalProperties": False} if closed else made


def _list(items: Schema, size: int | None = None, least: int = 0) -> Schema:
    made: Schema = {"type": "array", "items": items}
    if size is not None:
        return {**made, "minItems": size, "maxItems": size}
    return {**made, "minItems": least} if least else made


def _value(info: TensorInfo) -> Schema:
    """Return the schema of one value."""
    if info.dtype == "float32":
        return {"type": "number", "exclusiveMinimum": -_FLOAT, "exclusiveMaximum": _FLOAT}
    if info.dtype == "string":
        return {"anyOf": [_TEXT, _object({"b64": {"type": "string", "contentEncoding": "base64"}}, closed=True)]}
    limits = np.iinfo(info.numpy)
    return {"type": "integer", "minimum": int(limits.min), "maximum": int(limits.max)}


def _row(info: TensorInfo, value: Schema) -> Schema:
    """Return the schema of one row of a tensor."""
    for size in reversed(info.shape[1:]):
        value = _list(value, size)
    return value


def _rest_schemas(signature: Signature, names: list[str]) -> Schema:
    rows = {name: _row(info, _value(info)) for name, info in signature.inputs.items()}
    made = {name: _row(info, {"type": "number"}) for name, info in signature.outputs.items()}
    columns = {name: _list(row, least=1) for name, row in rows.items()}
    predict = _object(
        {
            "signature_name": {"type": "string", "enum": names, "default": DEFAULT},
            "instances": {**_list(ref("Instance"), least=1), "description": "A row each; lists of the same lengths."},
            "inputs": {**ref("Inputs"), "description": "A column each; as many rows and steps in each."},
        },
        required=[],
    )
    return {
        "Instance": _object(rows, closed=True),
        "Inputs": _object(columns, closed=True),
        "Predict": {**predict, "oneOf": [{"required": ["instances"]}, {"required": ["inputs"]}]},
        "Predicted": {
            "description": "Of serving_default; other signatures have other outputs.",
            "anyOf": [
                _object({"predictions": _list(_object(made))}),
                _object({"outputs": _object({name: _list(row) for name, row in made.items()})}),
                _object({"predictions": {"type": "array"}}),
                _object({"outputs": _OBJECT}),
            ],
        },
        "Status": _object({"model_version_status": _list(ref("VersionStatus"))}),
        "VersionStatus": _object(
            {
                "version": {"type": "string", "pattern": "^[0-9]+$"},
                "state": {"type": "string", "enum": ["LOADING", "AVAILABLE", "UNLOADING", "END"]},
                "status": _object({"error_code": _TEXT, "error_message": _TEXT}),
            }
        ),
        "Metadata": _object({"model_spec": _OBJECT, "metadata": _object({"signature_def": _OBJECT})}),
    }


def _protocol_schemas(signature: Signature, names: list[str]) -> Schema:
    inputs = [
        _object(
            {
                "name": {"const": name},
                "shape": {**_list({"type": "integer", "minimum": 0}, len(info.shape))},
                "datatype": {"const": datatype(info)},
                "data": {"type": "array", "description": "In row-major order, flat or nested."},
            }
        )
        for name, info in signature.inputs.items()
    ]
    tensor = {"name": _TEXT, "datatype": _TEXT, "shape": _list({"type": "integer"})}
    parameters = _object({"signature_name": {"type": "string", "enum": names}}, required=[])
    return {
        "Infer": _object(
            {
                "id": _TEXT,
                "parameters": parameters,
                "inputs": {**_list({"anyOf": inputs}, len(inputs)), "description": "Each input once."},
                "outputs": _list(_object({"name": _TEXT})),
            },
            required=["inputs"],
        ),
        "Inferred": _object(
            {
                "model_name": _TEXT,
                "model_version": _TEXT,
                "id": _TEXT,
                "outputs": _list(_object({**tensor, "data": {"type": "array"}})),
            },
            required=["model_name", "model_version", "outputs"],
        ),
        "Model": _object(
            {
                "name": _TEXT,
                "versions": _list(_TEXT),
                "platform": _TEXT,
                "inputs": _list(_object(tensor)),
                "outputs": _list(_object(tensor)),
            }
        ),
        "Ready": _object({"ready": {"const": True}}),
    }


def _server_schemas() -> Schema:
    return {
        "Server": _object({"name": _TEXT, "version": _TEXT, "extensions": _list(_TEXT)}),
        "Live": _object({"live": {"const": True}}),
        "Health": _object({"status": _TEXT, "model": _TEXT, "versions": _list({"type": "integer"})}),
    }


def _door_schemas() -> Schema:
    cell = {"type": ["string", "number", "boolean", "null"]}
    record = {"type": "object", "additionalProperties": cell}
    records = {**_list(record, least=1), "description": "Rows such as unique_id, ds, y; GET tells the columns."}
    return {
        "Records": {
            "anyOf": [
                _object(
                    {"records": records, "future": records, "version": {"type": ["integer", "null"], "minimum": 0}},
                    required=["records"],
                    closed=True,
                ),
                records,
            ]
        },
        "Forecast": _object({"forecast": _list(_OBJECT)}),
    }
