"""Every runtime and client of an exported model returns the forecasts of `predict`, for each model."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import clients
import httpx
import numpy as np
import pandas as pd
import pytest
from keras_help import eager_training
from numpy_reference import Array

from tsattn import Forecaster
from tsattn.export.isolated_process import IsolatedRuntime
from tsattn.export.verification import ReferenceRequest, Verification
from tsattn.models import BASELINES

HORIZON, CONTEXT = 4, 12

MODELS: dict[str, dict[str, Any]] = {
    "seq2seq": {},
    "step by step": {"model": "seq2seq", "options": {"decoder": "autoregressive", "attention": "additive"}},
    "attention_pooling": {},
    "tcn": {},
    "transformer": {"options": {"heads": 2}},
    "graph_attention": {"options": {"heads": 2}},
    "combined": {"model": "seq2seq", "options": {"zero_shot": True}},
    "drift": {},
}
"""All networks, one with the zero-shot forecast, and of the naive baselines that which uses both ends of a history."""

IN_CI = ("drift",)
"""Models that are tried in CI by all programs; the others before a release, but for `combined` with covariates."""

LENGTHS = (1, 2, 5, 11, 12, 13, 30)

pytestmark = [
    pytest.mark.slow,
    # Some of the new series are outside of the range of the training data, where the graph computes something else.
    pytest.mark.filterwarnings("ignore:.*unlike all training data"),
]


@pytest.fixture(autouse=True)
def _verified_here(monkeypatch: pytest.MonkeyPatch) -> None:
    """Skip the check at writing of the other formats: these tests are it, and a process for each is slow."""

    class Unchecked(Verification):
        def __init__(self, runtime: IsolatedRuntime, path: Path) -> None:
            self._runtime = runtime

        def start(self, requests: Sequence[ReferenceRequest]) -> None:
            pass

        def finish(self) -> dict[str, Any]:
            return {"runtime": self._runtime.kind, "largest_difference": 0.0, "rows": 0}

    def verify(runtime: IsolatedRuntime, path: Path) -> Verification:
        return (Verification if runtime.kind == "saved_model" else Unchecked)(runtime, path)

    monkeypatch.setattr("tsattn.export.exporter.Verification", verify)


def shops(lengths: tuple[int, ...], seed: int, ahead: int = 0) -> pd.DataFrame:
    """Two targets of shops with histories of different lengths and gaps; the price is a future covariate."""
    rng = np.random.default_rng(seed)
    parts = []
    for number, length in enumerate(lengths):
        days = pd.date_range("2024-01-05", periods=length + ahead)
        level = 100 * (number + 1)
        values = {name: level * (1 + 0.1 * rng.normal(size=length + ahead)) for name in ("sold", "seen")}
        frame = pd.DataFrame({"unique_id": f"shop {number}", "ds": days, **values})
        for name in values:
            frame.loc[rng.random(len(frame)) < 0.2, name] = np.nan
            frame.loc[length - 1, name] = level
            frame.loc[length:, name] = np.nan
        frame["price"] = rng.normal(10, 1, len(frame))
        frame["visits"] = rng.normal(50, 5, len(frame))
        frame["kind"] = ("mall", "street", "à la gare")[number % 3]
        frame["size"] = float(number)
        parts.append(frame)
    return pd.concat(parts, ignore_index=True)


def fitted(name: str, **given: Any) -> Forecaster:
    options: dict[str, Any] = {"model": name, **MODELS.get(name, {}), **given}
    if not options["model"].startswith(("naive", "seasonal", "drift")):
        options["options"] = {"units": 8, "patch_length": 3, **options.get("options", {})}
        options["training"] = {"epochs": 1, "steps_per_epoch": 2, "refit": False}
    forecaster = Forecaster(horizon=HORIZON, context=CONTEXT, season=3, target=["sold", "seen"], **options)
    data = shops((60, 50, 40), seed=1)
    used = {"unique_id", "ds", "sold", "seen"}
    if given:
        used |= {"price", "visits", "kind", "size"}
    with eager_training():
        return forecaster.fit(data[[column for column in data if column in used]])


def quantiles_of(forecast: pd.DataFrame, series: int) -> Array:
    """A frame of forecasts as [series, horizon, targets, levels]."""
    columns = forecast[["y-lo-80", "y", "y-hi-80"]].to_numpy("float32")
    return np.moveaxis(columns.reshape(series, 2, HORIZON, 3), 1, 2)


def arrays(data: pd.DataFrame, columns: list[str], time: int, fill: float) -> Array:
    """Columns of every series, right-padded to some steps."""
    result = np.full((data["unique_id"].nunique(), time, len(columns)), fill, "float32")
    for row, (_, series) in enumerate(data.groupby("unique_id", sort=False)):
        result[row, : len(series)] = series[columns].to_numpy()
    return result


def scales(past: Array) -> Array:
    """Standard deviation of the context of each history, at least 1/20 of its level, as [batch, 1, 2, 1]."""
    seen = [np.stack([row[:length][-CONTEXT:]]) for row, length in zip(past, LENGTHS, strict=True)]
    spread = np.stack([np.maximum(np.nanstd(x, axis=1), np.nanmean(np.abs(x), axis=1) / 20)[0] for x in seen])
    return spread[:, None, :, None]


def largest(made: dict[str, Array], known: Array, scale: Array) -> float:
    assert made["quantiles"].shape == known.shape
    np.testing.assert_array_equal(made["forecast"], made["quantiles"][..., 1])
    return float((np.abs(made["quantiles"] - known) / scale).max())


def runtimes(forecaster: Forecaster, inputs: dict[str, Array], folder: Path) -> dict[str, dict[str, Array]]:
    """Outputs of the formats without a fixed shape in their runtimes."""
    return {
        "onnxruntime": clients.onnxruntime(forecaster.export(folder / "onnx", "onnx"), inputs),
        "openvino": clients.openvino(forecaster.export(folder / "openvino", "openvino"), inputs),
    }


def litert(forecaster: Forecaster, inputs: dict[str, Array], folder: Path) -> dict[str, Array]:
    """Outputs of LiteRT."""
    return clients.litert(forecaster.export(folder / "litert", "litert", batch=7, time=33), inputs)


def answers_of_a_server(folder: Path, inputs: dict[str, Array]) -> dict[str, dict[str, Array]]:
    """Outputs of a server by protocol; the client kit is called as well."""
    from serving.live_server import running

    made = {}
    with running(folder, grpc_port=0) as served:

        def post(body: str) -> Any:
            answer = served.http.post("/v1/models/shop:predict", content=body)
            assert answer.status_code == 200, answer.text
            return answer.json()

        made["rest, rows"] = clients.rest_by_row(post, inputs)
        made["rest, columns"] = clients.rest_by_column(post, inputs)
        made["grpc"] = clients.grpc(f"127.0.0.1:{served.server.grpc_port}", "shop", inputs)
        url = f"{served.server.url}/v1/models/shop:predict"
        kit = folder / "kit"
        answers = [
            json.loads(clients.run(sys.executable, kit / "client.py", url)),
            json.loads(clients.run("sh", kit / "client.sh", url)),
            httpx.post(url, content=(kit / "request.json").read_text()).json(),
        ]
    assert answers[0] == answers[1] == answers[2]
    return made


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=() if name in IN_CI else pytest.mark.release) for name in MODELS]
)
def test_every_program_gets_what_predict_gives(name: str, tmp_path: Path) -> None:
    forecaster = fitted(name)
    new = shops(LENGTHS, seed=2)
    known = quantiles_of(forecaster.predict(new.drop(columns=["price", "visits", "kind", "size"])), len(LENGTHS))
    past = arrays(new, ["sold", "seen"], 33, fill=1e9)
    inputs = {"past": past, "length": np.array(LENGTHS, "int32")}
    scale = scales(past)

    version = forecaster.export(tmp_path / "shop")
    assert version == tmp_path / "shop" / "1"
    made = {"tensorflow": clients.tensorflow(version, inputs, tmp_path), **runtimes(forecaster, inputs, tmp_path)}
    made["litert"] = litert(forecaster, inputs, tmp_path)
    if name == "drift":
        # The other programs load a SavedModel as the first one does, so one model shows that they pass on the tensors.
        made["c"] = clients.c_program(version, inputs)
        made["saved_model_cli"] = clients.saved_model_cli(version, inputs, tmp_path)
        made |= answers_of_a_server(tmp_path / "shop", inputs)
    differences = {client: largest(answer, known, scale) for client, answer in made.items()}
    assert max(differences.values()) <= 1e-5, differences


@pytest.mark.release
@pytest.mark.parametrize("name", sorted(set(BASELINES) - set(MODELS)))
def test_every_runtime_gets_what_predict_gives_of_the_other_baselines(name: str, tmp_path: Path) -> None:
    forecaster = fitted(name)
    new = shops(LENGTHS, seed=2)[["unique_id", "ds", "sold", "seen"]]
    past = arrays(new, ["sold", "seen"], 33, fill=1e9)
    inputs = {"past": past, "length": np.array(LENGTHS, "int32")}
    made = {**runtimes(forecaster, inputs, tmp_path), "litert": litert(forecaster, inputs, tmp_path)}
    known = quantiles_of(forecaster.predict(new), len(LENGTHS))
    differences = {client: largest(answer, known, scales(past)) for client, answer in made.items()}
    assert max(differences.values()) <= 1e-5, differences


def test_litert_gets_what_predict_gives_of_a_network_with_the_zero_shot_forecast(tmp_path: Path) -> None:
    forecaster = fitted("combined")
    new = shops(LENGTHS, seed=2)[["unique_id", "ds", "sold", "seen"]]
    past = arrays(new, ["sold", "seen"], 33, fill=1e9)
    made = litert(forecaster, {"past": past, "length": np.array(LENGTHS, "int32")}, tmp_path)
    assert largest(made, quantiles_of(forecaster.predict(new), len(LENGTHS)), scales(past)) <= 1e-5


@pytest.mark.skipif(shutil.which("cc") is None, reason="the C program of the kit needs a C compiler")
def test_covariates_of_every_kind_reach_every_program(tmp_path: Path) -> None:
    covariates = {
        "future_covariates": ["price"],
        "past_covariates": ["visits"],
        "static_covariates": ["kind", "size"],
        "calendar": ["day_of_week", "day_of_year"],
        "holidays": "DE",
    }
    forecaster = fitted("combined", **covariates)
    new = shops(LENGTHS, seed=3, ahead=HORIZON)
    known = quantiles_of(forecaster.predict(new), len(LENGTHS))
    left = new.groupby("unique_id").cumcount(ascending=False)
    history, ahead = new[left >= HORIZON], new[left < HORIZON]
    first = history.groupby("unique_id", sort=False)
    past = arrays(history, ["sold", "seen"], 33, fill=np.nan)
    inputs = {
        "past": past,
        "length": np.array(LENGTHS, "int32"),
        "past_covariates": arrays(history, ["price", "visits"], 33, fill=np.nan),
        "future_covariates": arrays(ahead, ["price"], HORIZON, fill=np.nan),
        "last_time": first["ds"].last().to_numpy().astype("datetime64[s]").astype("int64"),
        "static_kind": first["kind"].last().to_numpy(str),
        "static_size": first["size"].last().to_numpy("float32"),
    }
    # Categories as integers, from 1 in the order of tsattn.json; unknown ones are 0.
    numbered = {**inputs, "static_kind": np.array([1, 2, 3, 1, 2, 3, 1], "int32")}
    version = forecaster.export(tmp_path / "shop")
    metadata = json.loads((version / "assets.extra" / "tsattn.json").read_text())
    assert metadata["static"]["static_kind"] == {"name": "kind", "categories": ["mall", "street", "à la gare"]}
    made = {
        "tensorflow": clients.tensorflow(version, inputs, tmp_path),
        "c": clients.c_program(version, inputs),
        **runtimes(forecaster, numbered, tmp_path),
    }
    differences = {client: largest(answer, known, scales(past)) for client, answer in made.items()}
    assert max(differences.values()) <= 1e-5, differences
