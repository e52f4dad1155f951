"""The forecast API for a forecaster without an export: its graph runs in this process."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import httpx
import numpy as np
import tensorflow as tf
from keras_help import with_random_weights
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse

from tsattn import Forecaster
from tsattn.export.exporter import make_metadata, make_preprocessor
from tsattn.export.signatures import build_forecast_function
from tsattn.models import resolve_options
from tsattn.models.forecast_model import build_graph
from tsattn.serving.errors import ServingError
from tsattn.serving.forecast_api import routes
from tsattn.serving.settings import Settings

VERSION = 7


@dataclass
class InProcess:
    """Replaces the engine and the version of a model for the forecast API."""

    forecaster: Forecaster
    version: int = VERSION
    max_rows: int = 0
    settings: Settings = field(default_factory=Settings)

    def __post_init__(self) -> None:
        self._preprocessor = make_preprocessor(self.forecaster.fitted_)
        self._names = [part.name for part in self._preprocessor.signature()]
        self._forecast = tf.function(
            build_forecast_function(self.forecaster.model_, self._preprocessor),
            input_signature=self._preprocessor.signature(),
        )
        self.metadata = make_metadata(self.forecaster.fitted_, self._preprocessor, "shop")

    def resolve(self, version: int | None = None, label: str | None = None) -> InProcess:
        if version not in (None, 0, self.version):
            raise ServingError(404, f"version {version} is not served")
        return self

    def signature(self, name: str) -> str:
        assert name == "serving_default"
        return name

    async def run(self, servable: InProcess, signature: str, tensors: Mapping[str, Any]) -> dict[str, Any]:
        assert servable is self and sorted(tensors) == sorted(self._names)
        self.max_rows = max(self.max_rows, len(tensors["past"]))
        outputs = self._forecast(*(tf.constant(tensors[name]) for name in self._names))
        return {name: value.numpy() for name, value in outputs.items()}


async def handle_error(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, ServingError)
    return JSONResponse({"error": str(error)}, status_code=error.status)


def make_app(engine: Any) -> Starlette:
    """Return an application with the forecast API only."""
    app = Starlette(routes=routes(), exception_handlers={ServingError: handle_error})
    app.state.engine = engine
    return app


class Client:
    """Calls an application in this process; uncaught exceptions are raised here."""

    def __init__(self, app: Starlette) -> None:
        self.app = app

    def get(self, path: str, **options: Any) -> httpx.Response:
        return self.request("GET", path, **options)

    def post(self, path: str, **options: Any) -> httpx.Response:
        return self.request("POST", path, **options)

    def request(self, method: str, path: str, **options: Any) -> httpx.Response:
        async def send() -> httpx.Response:
            transport = httpx.ASGITransport(self.app)
            async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
                return await client.request(method, path, **options)

        return asyncio.run(send())


def make_client(forecaster: Forecaster) -> Client:
    """Return a client for a forecaster."""
    return Client(make_app(InProcess(forecaster)))


def fit_small(frame: Any, model: str = "seq2seq", horizon: int = 6, **options: Any) -> Forecaster:
    """Return a small network after a short training."""
    small = {} if model != "seq2seq" else {"options": {"units": 8}}
    training = {"epochs": 1, "steps_per_epoch": 4, "refit": False}
    return Forecaster(model, horizon, training=training, **small, **options).fit(frame)


def make_forecaster(frame: Any, horizon: int = 6, **options: Any) -> Forecaster:
    """Return a forecaster with a small network of random weights, which needs no training."""
    forecaster = Forecaster("drift", horizon, **options).fit(frame)
    entry, network = resolve_options({"name": "seq2seq", "units": 8, "patch_length": 4})
    model = with_random_weights(build_graph(entry, network, forecaster.spec_).inference())
    forecaster.fitted_ = replace(forecaster.fitted_, model=model)
    return forecaster


def assert_close(answer: Any, known: Any, scale: float) -> None:
    """Compare numbers with the tolerance of an exported graph."""
    np.testing.assert_allclose(np.asarray(answer, float), np.asarray(known, float), atol=1e-5 * scale, rtol=1e-5)
