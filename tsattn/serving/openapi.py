"""The OpenAPI document of a server and its model."""

from __future__ import annotations

from importlib.metadata import version
from typing import Any
from urllib.parse import quote

from tsattn.serving.engine import Engine
from tsattn.serving.schemas import Schema, components, ref

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
