"""The web application with all HTTP APIs."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Match, Route
from starlette.types import Scope

from tsattn.serving import forecast_api, open_inference, tfserving_rest
from tsattn.serving.engine import Engine
from tsattn.serving.errors import ServingError
from tsattn.serving.http import Endpoint, RequestLimits, error_response, get_engine, json_response
from tsattn.serving.openapi import make_document

METRICS_PATH = "/monitoring/prometheus/metrics"


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
    return json_response(make_document(get_engine(scope)))
