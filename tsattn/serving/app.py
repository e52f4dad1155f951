"""The web application with all HTTP APIs, and its OpenAPI document."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib.metadata import version
from typing import Annotated, Any, Literal, Union
from urllib.parse import quote

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, RootModel, create_model
from pydantic.json_schema import GenerateJsonSchema, models_json_schema
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Match, Route
from starlette.types import Scope

from tsattn.export.metadata import SERVING
from tsattn.serving import forecast_api, open_inference, tfserving_rest
from tsattn.serving.engine import Engine
from tsattn.serving.errors import ServingError
from tsattn.serving.http import Endpoint, RequestLimits, error_response, get_engine, json_response
from tsattn.serving.open_inference import datatype
from tsattn.serving.servable import Servable, TensorInfo

Json = dict[str, Any]

_ERRORS = {
    "400": "The request is not valid.",
    "401": "The token is missing or wrong.",
    "404": "The model or version is unknown.",
    "405": "The path has other methods, see Allow.",
    "408": "The request did not arrive in time.",
    "413": "The request is too large.",
    "415": "The type or compression of the body is not supported.",
    "429": "The queue is full.",
    "500": "The server failed.",
    "503": "The server is overloaded, or no version is loaded.",
    "504": "The model did not answer in time.",
}

_VERSION = {
    "name": "version",
    "in": "path",
    "required": True,
    "description": "Version number; 0 is the latest.",
    "schema": {"type": "integer", "minimum": 0, "maximum": 2**63 - 1},
}

_HISTORY = {
    "name": "history",
    "in": "query",
    "description": "Number of history steps that a JSON response includes.",
    "schema": {"type": "integer", "minimum": 0, "maximum": 10**9},
}


# Types in brackets that are variables; as Any, because mypy accepts only static ones.
_List: Any = list
_Annotated: Any = Annotated
_Literal: Any = Literal
_Union: Any = Union

METRICS_PATH = "/monitoring/prometheus/metrics"


class _Closed(BaseModel):
    model_config = ConfigDict(extra="forbid")


def _open(name: str, /, **fields: Any) -> Any:
    """Return a schema of an object that may have more keys."""
    return create_model(name, __config__=ConfigDict(protected_namespaces=()), **fields)


def _closed(name: str, /, **fields: Any) -> Any:
    """Return a schema of an object without other keys."""
    return create_model(name, __base__=_Closed, **fields)


_version_error = _open("VersionError", error_code=str, error_message=str)
_version_status = _open(
    "VersionStatus",
    version=Annotated[str, Field(pattern="^[0-9]+$")],
    state=Literal["LOADING", "AVAILABLE", "UNLOADING", "END"],
    status=_version_error,
)
_tensor = _open("Tensor", name=str, datatype=str, shape=list[int])
_output_tensor = _open("OutputTensor", name=str, datatype=str, shape=list[int], data=list[Any])
_rows = Annotated[
    list[dict[str, str | float | bool | None]],
    Field(min_length=1, description="Rows such as unique_id, ds, y; GET returns the columns."),
]
_records = _closed("RecordsBody", records=_rows, future=(_rows, []), version=(Annotated[int, Field(ge=0)] | None, None))
_base64 = _closed("Base64", b64=Annotated[str, Field(json_schema_extra={"contentEncoding": "base64"})])

_STATIC_SCHEMAS = (
    _open("Error", error=str),
    _open("Status", model_version_status=_List[_version_status]),
    _open("Metadata", model_spec=Json, metadata=_open("SignatureDefs", signature_def=Json)),
    _open("Inferred", model_name=str, model_version=str, id=(str, ""), outputs=_List[_output_tensor]),
    _open("Model", name=str, versions=list[str], platform=str, inputs=_List[_tensor], outputs=_List[_tensor]),
    _open("Ready", ready=Literal[True]),
    _open("Live", live=Literal[True]),
    _open("Server", name=str, version=str, extensions=list[str]),
    _open("Health", status=str, model=str, versions=list[int]),
    _open("Object"),
    create_model("Records", __base__=RootModel[_Union[_records, _rows]]),
    _open("Forecast", forecast=list[Json]),
)

_MAX_FLOAT = float(2**128 - 2**103)
"""Smallest number that does not round to a finite float32."""


def _sized_list(item: Any, size: int | None = None, min_size: int = 0) -> Any:
    return _Annotated[_List[item], Field(min_length=min_size if size is None else size, max_length=size)]


def _row_type(info: TensorInfo, value: Any) -> Any:
    for size in reversed(info.shape[1:]):
        value = _sized_list(value, size)
    return value


def _value_type(info: TensorInfo) -> Any:
    if info.dtype == "float32":
        return Annotated[float, Field(gt=-_MAX_FLOAT, lt=_MAX_FLOAT)]
    if info.dtype == "string":
        return _Union[str, _base64]
    limits = np.iinfo(info.numpy)
    return Annotated[int, Field(ge=int(limits.min), le=int(limits.max))]


def _model_schemas(servable: Servable) -> list[Any]:
    """Return the schemas with the tensors of the default signature of a version."""
    signature, signature_name = servable.signature(SERVING), (_Literal[tuple(servable.signatures)], SERVING)
    rows = {name: _row_type(info, _value_type(info)) for name, info in signature.inputs.items()}
    outputs = {name: _row_type(info, float) for name, info in signature.outputs.items()}
    instances = _sized_list(_closed("Instance", **rows), min_size=1)
    inputs = _closed("Inputs", **{name: _sized_list(row, min_size=1) for name, row in rows.items()})
    predict = _open(
        "Predict",
        signature_name=signature_name,
        instances=(instances, Field(None, description="One object per row, with lists of equal lengths.")),
        inputs=(inputs, Field(None, description="One list per input, with equal numbers of rows and steps.")),
    )
    predict.model_config["json_schema_extra"] = {"oneOf": [{"required": ["instances"]}, {"required": ["inputs"]}]}
    predicted = (
        _open("Predictions", predictions=_List[_open("Prediction", **outputs)]),
        _open("Outputs", outputs=_open("OutputColumns", **{name: _List[row] for name, row in outputs.items()})),
        _open("OtherPredictions", predictions=list[Any]),
        _open("OtherOutputs", outputs=Json),
    )
    tensors = tuple(
        _open(
            f"Tensor_{name}",
            name=_Literal[name],
            shape=_sized_list(Annotated[int, Field(ge=0)], len(info.shape)),
            datatype=_Literal[datatype(info)],
            data=Annotated[list[Any], Field(description="In row-major order, flat or nested.")],
        )
        for name, info in signature.inputs.items()
    )
    infer = _open(
        "Infer",
        id=(str, ""),
        parameters=(_open("Parameters", signature_name=signature_name), None),
        inputs=_sized_list(_Union[tensors], len(tensors)),
        outputs=(_List[_open("RequestedOutput", name=str)], []),
    )
    return [predict, create_model("Predicted", __base__=RootModel[_Union[predicted]]), infer]


class _Generator(GenerateJsonSchema):
    def field_title_should_be_set(self, schema: Any) -> bool:
        return False

    def default_schema(self, schema: Any) -> Json:
        # Without the placeholders [] and None, which mark optional keys.
        return super().default_schema(schema) if schema.get("default") else self.generate_inner(schema["schema"])


def _components(servable: Servable) -> Json:
    """Return all schemas by name."""
    models = [*_STATIC_SCHEMAS, *_model_schemas(servable)]
    _, schemas = models_json_schema(
        [(model, "validation") for model in models],
        ref_template="#/components/schemas/{model}",
        schema_generator=_Generator,
    )
    definitions: Json = schemas["$defs"]
    return definitions


def _make_document(engine: Engine) -> Json:
    """Return the OpenAPI document of a server and the latest version of its model."""
    document: Json = {
        "openapi": "3.1.0",
        "info": {
            "title": f"{engine.name}: forecasts",
            "version": version("tsattn"),
            "description": "NaN is a valid number both ways, as in TensorFlow Serving: a missing value, no forecast.",
        },
        "paths": _paths(quote(engine.name), sorted(engine.repository.labels)),
        "components": {
            "schemas": _components(engine.resolve()),
            "responses": {code: {"description": text, "content": _content("Error")} for code, text in _ERRORS.items()},
        },
    }
    if engine.settings.token is not None:
        document["components"]["securitySchemes"] = {"token": {"type": "http", "scheme": "bearer"}}
        document["security"] = [{"token": []}]
    return document


def _paths(name: str, labels: list[str]) -> Json:
    label = {**_VERSION, "name": "label", "description": "Version label.", "schema": {"type": "string", "enum": labels}}
    selectors: Json = {"": [], "/versions/{version}": [_VERSION]} | ({"/labels/{label}": [label]} if labels else {})
    paths: Json = {}
    for selector, parameters in selectors.items():
        model = f"/v1/models/{name}{selector}"
        paths[f"{model}:predict"] = _post("Forecast with TensorFlow Serving's API.", "Predicted", "Predict", parameters)
        paths[model] = _get("Status of the versions.", "Status", parameters)
        paths[f"{model}/metadata"] = _get("Signatures of a version.", "Metadata", parameters)
        if "label" not in selector:
            model = f"/v2/models/{name}{selector}"
            paths[model] = _get("Inputs and outputs of a version.", "Model", parameters)
            paths[f"{model}/ready"] = _get("Whether a version is served.", "Ready", parameters)
            paths[f"{model}/infer"] = _post(
                "Forecast with the Open Inference Protocol.", "Inferred", "Infer", parameters
            )
    paths |= {
        "/v2": _get("Name and version of the server.", "Server"),
        "/v2/health/live": _get("Whether the server runs.", "Live", public=True),
        "/v2/health/ready": _get("Whether a version is loaded.", "Ready", public=True),
        "/health": _get("Whether the server runs, and its versions.", "Health", public=True),
        "/monitoring/prometheus/metrics": _get("Metrics for Prometheus.", kind="text/plain"),
        "/openapi.json": _get("This document.", "Object"),
        "/": _get("A web page for forecasts.", kind="text/html"),
        "/docs": _get("This document as a web page.", kind="text/html"),
        "/v1/forecast": _get("Columns that the model expects.", "Object")
        | _post("Forecast from rows of data.", "Forecast", "Records", [_HISTORY]),
    }
    post = paths["/v1/forecast"]["post"]
    post["requestBody"]["content"]["text/csv"] = {"schema": {"type": "string", "minLength": 1}}
    post["responses"]["200"]["content"]["text/csv"] = {"schema": {"type": "string"}}
    return paths


def _content(schema: str) -> Json:
    return {"application/json": {"schema": {"$ref": f"#/components/schemas/{schema}"}}}


def _operation(summary: str, content: Json, parameters: list[Json]) -> Json:
    return {
        "summary": summary,
        "parameters": parameters,
        "responses": {
            "200": {"description": "The response.", "content": content},
            **{code: {"$ref": f"#/components/responses/{code}"} for code in _ERRORS},
        },
    }


def _get(
    summary: str, response: str = "", parameters: list[Json] | None = None, *, kind: str = "", public: bool = False
) -> Json:
    """Return a path with GET, whose response is a schema or text of a kind; a public one needs no token."""
    content = {kind: {"schema": {"type": "string"}}} if kind else _content(response)
    return {"get": _operation(summary, content, parameters or []) | ({"security": []} if public else {})}


def _post(summary: str, response: str, request: str, parameters: list[Json]) -> Json:
    """Return a path with POST, by the names of its schemas."""
    body = {"required": True, "content": _content(request)}
    return {"post": {**_operation(summary, _content(response), parameters), "requestBody": body}}


def create_app(engine: Engine) -> Starlette:
    """Return the application of an engine."""

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        engine.start()
        yield

    app = Starlette(
        routes=_routes(),
        middleware=[Middleware(RequestLimits, engine=engine)],
        exception_handlers={HTTPException: _http_error},
        lifespan=lifespan,
    )
    app.router.redirect_slashes = False
    app.state.engine = engine
    return app


def _routes() -> list[BaseRoute]:
    return [
        *tfserving_rest.routes(),
        *open_inference.routes(),
        Route("/health", Endpoint("health", _health), methods=["GET"]),
        Route(METRICS_PATH, Endpoint("metrics", _metrics), methods=["GET"]),
        Route("/openapi.json", Endpoint("openapi", _openapi), methods=["GET"]),
        *forecast_api.routes(),
    ]


async def _http_error(request: Request, error: Exception) -> Response:
    """Return the response for an unknown path or method."""
    assert isinstance(error, HTTPException)
    texts = {404: "unknown path: see /openapi.json", 405: "expected another method: see the header Allow"}
    headers = dict(error.headers or {})
    if error.status_code == 405:
        # A path can have several routes, each with its own methods.
        found = [(route, *route.matches(request.scope)) for route in request.app.routes]
        matching = [(route, scope) for route, match, scope in found if match is not Match.NONE]
        try:
            for _, scope in matching:
                if "model" in scope["path_params"]:
                    request.app.state.engine.check_name(scope["path_params"]["model"])
        except ServingError as unknown:
            return error_response(unknown.status, str(unknown))
        headers["Allow"] = ", ".join(sorted({method for route, _ in matching for method in route.methods or ()}))
    return error_response(error.status_code, texts.get(error.status_code, str(error.detail)), headers)


async def _health(scope: Scope) -> Response:
    engine = get_engine(scope)
    return json_response({"status": "ok", "model": engine.name, "versions": engine.repository.loaded()})


async def _metrics(scope: Scope) -> Response:
    return Response(get_engine(scope).metrics.render(), media_type="text/plain; version=0.0.4; charset=utf-8")


async def _openapi(scope: Scope) -> Response:
    return json_response(_make_document(get_engine(scope)))
