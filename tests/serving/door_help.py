"""A forecaster behind the friendlier door, without an export: the graph is called in process."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import httpx
import numpy as np
import tensorflow as tf
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse

from tsattn import Forecaster
from tsattn.export.exporter import describe, reader_of
from tsattn.export.signatures import forecast_function
from tsattn.serving.errors import ServingError
from tsattn.serving.forecast_api import routes
from tsattn.serving.settings import Settings

VERSION = 7


@dataclass
class InProcess:
    """What the door asks of an engine and of a version of a model."""

    forecaster: Forecaster
    version: int = VERSION
    most_rows: int = 0
    settings: Settings = field(default_factory=Settings)

    def __post_init__(self) -> None:
        self._reader = reader_of(self.forecaster)
        self._names = [part.name for part in self._reader.signature()]
        self._forecast = tf.function(
            forecast_function(self.forecaster.model_, self._reader), input_signature=self._reader.signature()
        )
        self.description = describe(self.forecaster, self._reader, "shop")

    def resolve(self, version: int | None = None, label: str | None = None) -> InProcess:
        if version not in (None, 0, self.version):
            raise ServingError(404, f"version {version} is not served")
        return self

    def signature(self, name: str) -> str:
        assert name == "serving_default"
        return name

    async def run(self, servable: InProcess, signature: str, tensors: Mapping[str, Any]) -> dict[str, Any]:
        assert servable is self and sorted(tensors) == sorted(self._names)
        self.most_rows = max(self.most_rows, len(tensors["past"]))
        answer = self._forecast(*(tf.constant(tensors[name]) for name in self._names))
        return {name: value.numpy() for name, value in answer.items()}


async def tell(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, ServingError)
    return JSONResponse({"error": str(error)}, status_code=error.status)


def app_of(engine: Any) -> Starlette:
    """Return an app with the door alone."""
    app = Starlette(routes=routes(), exception_handlers={ServingError: tell})
    app.state.engine = engine
    return app


class Client:
    """Calls an app in process; what it does not catch is raised here."""

    def __init__(self, app: Starlette) -> None:
        self.app = app

    def get(self, path: str, **options: Any) -> httpx.Response:
        return self.ask("GET", path, **options)

    def post(self, path: str, **options: Any) -> httpx.Response:
        return self.ask("POST", path, **options)

    def ask(self, method: str, path: str, **options: Any) -> httpx.Response:
        async def send() -> httpx.Response:
            transport = httpx.ASGITransport(self.app)
            async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
                return await client.request(method, path, **options)

        return asyncio.run(send())


def client_of(forecaster: Forecaster) -> Client:
    """Return a client of a server of a forecaster."""
    return Client(app_of(InProcess(forecaster)))


def fitted(frame: Any, model: str = "seq2seq", horizon: int = 6, **options: Any) -> Forecaster:
    """Return a small network, quickly trained."""
    small = {} if model != "seq2seq" else {"options": {"units": 8}}
    training = {"epochs": 1, "steps_per_epoch": 4, "refit": False}
    return Forecaster(model, horizon, training=training, **small, **options).fit(frame)


def near(answer: Any, known: Any, scale: float) -> None:
    """Check numbers to what an exported graph may differ by."""
    np.testing.assert_allclose(np.asarray(answer, float), np.asarray(known, float), atol=1e-5 * scale, rtol=1e-5)
