"""Small models with random weights, exported and served on this machine."""

from __future__ import annotations

import functools
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import numpy as np
from keras_help import with_random_weights
from serving.small_network import build_small_network

from tsattn.data.loader import load
from tsattn.export.formats import write_saved_model
from tsattn.export.metadata import METADATA_FILE, ModelMetadata
from tsattn.export.signatures import ServingPreprocessor, describe_outputs
from tsattn.serving.engine import Engine
from tsattn.serving.repository import Repository
from tsattn.serving.servable import load_servable
from tsattn.serving.server import Server
from tsattn.serving.settings import Settings
from tsattn.timeseries.windows import StaticInput, WindowSpec

DATASETS = Path(__file__).parents[2] / "datasets"

NAME = "shop"

CONTEXT, HORIZON = 12, 4

PLAIN = WindowSpec(context=CONTEXT, horizon=HORIZON, targets=("a",), season=4)

COVERED = WindowSpec(
    context=CONTEXT,
    horizon=HORIZON,
    targets=("a", "b"),
    season=4,
    past_covariates=("heat", "visits"),
    future_covariates=("heat",),
    static=(StaticInput("kind", "static_kind", ("small", "große")), StaticInput("size", "static_size")),
)

SECONDS = 60.0
"""Time limit of waiting in tests."""

Json = dict[str, Any]


def write_version(folder: Path, spec: WindowSpec = PLAIN, shift: float = 0.0) -> Path:
    """Write a SavedModel; another ``shift`` gives other forecasts."""
    model = with_random_weights(build_small_network(spec))
    for weight in model.trainable_variables:
        weight.assign(weight + shift)
    preprocessor = ServingPreprocessor(spec)
    write_saved_model(model, preprocessor, folder)
    _, schema = load(DATASETS / "Airline.csv")
    metadata = ModelMetadata(
        name=NAME,
        model="small",
        context=spec.context,
        horizon=spec.horizon,
        season=spec.season,
        frequency="MS",
        targets=spec.targets,
        levels=spec.levels,
        past_covariates=preprocessor.past_covariates,
        future_covariates=preprocessor.future_covariates,
        static=preprocessor.static,
        inputs=preprocessor.inputs,
        outputs=describe_outputs(spec, attention=True, sample=False),
        data_schema=schema,
    )
    path = folder / "assets.extra" / METADATA_FILE
    path.parent.mkdir(exist_ok=True)
    path.write_text(metadata.to_json(), encoding="utf-8")
    return folder


@dataclass
class Served:
    """A server that runs in a thread."""

    engine: Engine
    server: Server
    http: httpx.Client

    def predict(self, body: Any, which: str = "", call: str = "predict") -> httpx.Response:
        """Call :predict; bytes and text are sent as they are."""
        content = body if isinstance(body, bytes | str) else json.dumps(body)
        return self.http.post(f"/v1/models/{NAME}{which}:{call}", content=content)

    def infer(self, body: Any, **options: Any) -> httpx.Response:
        return self.http.post(f"/v2/models/{NAME}/infer", content=json.dumps(body), **options)

    @property
    def address(self) -> tuple[str, int]:
        return "127.0.0.1", self.server.port


load_shared = functools.cache(load_servable)


@contextmanager
def running(path: Path, **settings: Any) -> Iterator[Served]:
    """Serve a model on a free port."""
    options = Settings(port=0, poll_seconds=settings.pop("poll_seconds", 0), **settings)
    server = Server(options)
    # Servers that do not poll reuse a loaded model.
    repository = Repository(path, options.labels, load_servable if options.poll_seconds else load_shared)
    repository.load()
    engine = Engine(repository, options)
    ready = threading.Event()
    thread = threading.Thread(target=server.run, args=(engine, ready.set), kwargs={"signals": False})
    thread.start()
    try:
        assert ready.wait(SECONDS)
        with httpx.Client(base_url=server.url, timeout=SECONDS) as client:
            yield Served(engine, server, client)
    finally:
        server.stop()
        thread.join(SECONDS)
        assert not thread.is_alive()


def history(steps: int, channels: int = 1, seed: int = 0) -> list[list[float]]:
    """A seasonal series with noise."""
    step = np.arange(steps)[:, None]
    noise = np.random.default_rng(seed).normal(size=(steps, channels))
    return np.round(50 + 10 * np.sin(step * np.pi / 2) + noise, 2).tolist()


def instance(steps: int = 9, seed: int = 0) -> Json:
    """One row of a request for a model of `PLAIN`."""
    return {"past": history(steps, seed=seed), "length": steps}


def columns(steps: int = 9, seed: int = 0) -> Json:
    """The same request in column format."""
    return {name: [value] for name, value in instance(steps, seed).items()}


def wait_for(condition: Any) -> None:
    """Wait until a condition holds, which other threads change."""
    waiting = threading.Event()
    for _ in range(int(SECONDS / 0.01)):
        if condition():
            return
        waiting.wait(0.01)
    raise AssertionError("timeout")
