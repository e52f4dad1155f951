"""The web application."""

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

from tsattn.serving import open_inference as oip
from tsattn.serving import tfserving_rest as rest
from tsattn.serving.engine import Engine
from tsattn.serving.http import Endpoint, Guard, engine_of, error_response, json_response
from tsattn.serving.openapi import document
from tsattn.serving.settings import Settings

METRICS = "/monitoring/prometheus/metrics"


def create_app(engine: Engine, settings: Settings | None = None) -> Starlette:
    """Return the application that answers for an engine.

    Args:
        engine: with a version loaded.
        settings: the limits; those of the engine if left out.
    """

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        engine.start()
        yield

    settings = settings or engine.settings
    app = Starlette(
        routes=_routes(),
        middleware=[Middleware(Guard, engine=engine, settings=settings)],
        exception_handlers={HTTPException: _http_error},
        lifespan=lifespan,
    )
    app.router.redirect_slashes = False
    app.state.engine, app.state.settings = engine, settings
    return app


def _routes() -> list[BaseRoute]:
    from tsattn.serving import forecast_api as door

    own = [
        Route("/health", Endpoint("health", _health), methods=["GET"]),
        Route(METRICS, Endpoint("metrics", _metrics), methods=["GET"]),
        Route("/openapi.json", Endpoint("openapi", _openapi), methods=["GET"]),
    ]
    return [*rest.routes(), *oip.routes(), *own, *door.routes()]


async def _http_error(request: Request, error: Exception) -> Response:
    """Answer an address that is unknown, or a method that it does not have."""
    assert isinstance(error, HTTPException)
    texts = {404: "there is nothing at this address: see /openapi.json", 405: "expected another method, see Allow"}
    headers = dict(error.headers or {})
    if error.status_code == 405:
        # One route knows its own methods only, and an address may have several.
        matching = [route for route in request.app.routes if route.matches(request.scope)[0] is not Match.NONE]
        headers["Allow"] = ", ".join(sorted({method for route in matching for method in route.methods or ()}))
    return error_response(error.status_code, texts.get(error.status_code, str(error.detail)), headers)


async def _health(scope: Scope) -> Response:
    engine = engine_of(scope)
    return json_response({"status": "ok", "model": engine.name, "versions": engine.repository.loaded()})


async def _metrics(scope: Scope) -> Response:
    return Response(engine_of(scope).metrics.text(), media_type="text/plain; version=0.0.4; charset=utf-8")


async def _openapi(scope: Scope) -> Response:
    return json_response(document(engine_of(scope)))
