"""JSON Schemas of the requests and answers of a model, for the OpenAPI document."""

from __future__ import annotations

from typing import Any

import numpy as np

from tsattn.serving.oip import datatype
from tsattn.serving.servable import Servable
from tsattn.serving.signature import DEFAULT, Signature, TensorInfo

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
        **_rest(signature, list(servable.signatures)),
        **_protocol(signature, list(servable.signatures)),
        **_server(),
        **_door(),
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


def _rest(signature: Signature, names: list[str]) -> Schema:
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


def _protocol(signature: Signature, names: list[str]) -> Schema:
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


def _server() -> Schema:
    return {
        "Server": _object({"name": _TEXT, "version": _TEXT, "extensions": _list(_TEXT)}),
        "Live": _object({"live": {"const": True}}),
        "Health": _object({"status": _TEXT, "model": _TEXT, "versions": _list({"type": "integer"})}),
    }


def _door() -> Schema:
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
