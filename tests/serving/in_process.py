"""The forecast API for a forecaster without an export: its model runs in this process."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import httpx
import numpy as np
import pandas as pd
import pytest
import tensorflow as tf
from keras_help import with_random_weights
from serving.small_network import build_small_network
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse

from tsattn import Forecaster
from tsattn.export.exporter import make_metadata, make_preprocessor
from tsattn.export.signatures import build_forecast_function
from tsattn.scoring.metrics import Scores
from tsattn.serving.errors import ServingError
from tsattn.serving.forecast_api import routes
from tsattn.serving.settings import Settings
from tsattn.timeseries.windows import WindowSpec

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
        self._forecast = build_forecast_function(self.forecaster.model_, self._preprocessor)
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


def fit_baseline(frame: Any, horizon: int = 6, **options: Any) -> Forecaster:
    """Return a fitted baseline whose forecasts depend on every step of the window.

    It is not scored on the validation part, which takes most of the time of a fit.
    """
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("tsattn.forecasting.fit.compare", lambda *_: (Scores(*[pd.DataFrame()] * 5, ()), None))
        return Forecaster("seasonal_mean", horizon, **options).fit(frame)


def make_forecaster(frame: Any, horizon: int = 6, **options: Any) -> Forecaster:
    """Return a forecaster with a small network of random weights that takes all covariates."""
    forecaster = fit_baseline(frame, horizon, **options)
    fitted = forecaster.fitted_
    # The spec of a baseline has no covariates.
    spec = WindowSpec.from_schema(fitted.schema, fitted.config, fitted.spec.context)
    forecaster.fitted_ = replace(fitted, model=with_random_weights(build_small_network(spec)), spec=spec)
    return forecaster


def assert_close(answer: Any, known: Any, scale: float) -> None:
    """Compare numbers with the tolerance of an exported graph."""
    np.testing.assert_allclose(np.asarray(answer, float), np.asarray(known, float), atol=1e-5 * scale, rtol=1e-5)
