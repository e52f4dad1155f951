"""The combination of exponential smoothings: as a function, as a command, and as a model that is saved and served."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from cli.conftest import DATASETS, tsattn

import tsattn as package
from tsattn import Forecaster
from tsattn.errors import ConfigError, DataError, DataWarning

SEASONAL = "seasonal|pretrained network"
"""Methods that repeat a season."""


def panel() -> pd.DataFrame:
    """Four daily series: two of different length and scale, one with gaps, one of counts that are mostly 0."""
    rng = np.random.default_rng(0)
    parts = []
    for name, steps, scale in (("a", 120, 1.0), ("b", 60, 1e4), ("gaps", 90, 3.0)):
        values = scale * (5 + np.sin(np.arange(steps) * 2 * np.pi / 7) + rng.normal(0, 0.1, steps))
        parts.append(pd.DataFrame({"unique_id": name, "ds": pd.date_range("2024-03-01", periods=steps), "y": values}))
    parts[2].loc[[20, 21, 50, 88], "y"] = np.nan
    counts = rng.poisson(0.3, 90).astype(float)
    parts.append(pd.DataFrame({"unique_id": "n", "ds": pd.date_range("2024-03-01", periods=90), "y": counts}))
    return pd.concat(parts, ignore_index=True)


ragged = pytest.mark.filterwarnings("ignore:series .* end before the others")


def test_every_series_is_forecast_from_its_end() -> None:
    with pytest.warns(
        DataWarning, match="'b' on 2024-04-29 and others on 2024-06-28; each series is forecast from its own"
    ):
        forecast = package.forecast(panel(), 7, levels=(0.01, 0.1, 0.5, 0.9, 0.99))
    assert list(forecast.columns) == ["unique_id", "ds", "y", "y-lo-80", "y-hi-80", "y-lo-98", "y-hi-98"]
    assert list(forecast["unique_id"].unique()) == ["a", "b", "gaps", "n"]
    first = forecast.groupby("unique_id")["ds"].min()
    assert first["a"] == pd.Timestamp("2024-06-29") and first["b"] == pd.Timestamp("2024-04-30")
    ordered = forecast[["y-lo-98", "y-lo-80", "y", "y-hi-80", "y-hi-98"]].to_numpy()
    assert np.isfinite(ordered).all() and (np.diff(ordered, axis=1) >= 0).all()
    known = 5 + np.sin((120 + np.arange(7)) * 2 * np.pi / 7)
    np.testing.assert_allclose(forecast.query("unique_id == 'a'")["y"], known, atol=0.2)


@ragged
def test_a_series_is_forecast_as_if_it_were_alone() -> None:
    frame = panel()
    together = package.forecast(frame, 7).query("unique_id == 'b'")
    alone = package.forecast(frame.query("unique_id == 'b'"), 7)
    np.testing.assert_allclose(together[["y", "y-lo-80"]], alone[["y", "y-lo-80"]], rtol=1e-5)


def test_counts_are_not_forecast_below_0() -> None:
    counts = panel().query("unique_id == 'n'")
    forecast = package.forecast(counts, 7, support="count", levels=(0.05, 0.5, 0.95))
    assert (forecast["y-lo-90"] >= 0).all() and forecast["y"].mean() == pytest.approx(0.3, abs=0.2)


def test_hours_have_a_season_of_a_day_and_one_of_a_week() -> None:
    hours = np.arange(24 * 7 * 5)
    weekend = hours // 24 % 7 >= 5
    values = (
        100 + 10 * np.sin(hours * 2 * np.pi / 24) - 40 * weekend + np.random.default_rng(0).normal(0, 1, len(hours))
    )
    frame = pd.DataFrame({"ds": pd.date_range("2024-01-01", periods=len(hours), freq="h"), "y": values})
    # Five weeks from a Monday: cut on a Friday, two days before the end.
    forecast = package.forecast(frame[:-48], 48)
    assert np.abs(forecast["y"] - values[-48:]).mean() < 3, "the weekend is 40 lower"


@pytest.mark.parametrize(
    ("options", "kind"),
    [({"levels": (0.1, 0.9)}, ConfigError), ({"horizon": 0}, ConfigError), ({"units": 3}, TypeError)],
)
def test_invalid_options(options: dict[str, object], kind: type[Exception]) -> None:
    with pytest.raises(kind, match=next(iter(options))):
        package.forecast(panel(), **options)  # type: ignore[arg-type]


def test_what_a_reader_noticed_is_a_warning() -> None:
    frame = panel().query("unique_id == 'a'")
    frame = pd.concat([frame, frame.tail(1).assign(unique_id="new")])
    with pytest.warns(DataWarning, match="series 'new' has only one value"):
        package.forecast(frame, horizon=3)


def test_a_file_without_values_is_an_error() -> None:
    with pytest.raises(DataError):
        package.forecast(pd.DataFrame({"ds": pd.date_range("2024-01-01", periods=5), "y": np.nan}))


def test_the_command_prints_what_the_function_returns(tmp_path: Path) -> None:
    result = tsattn("forecast", DATASETS / "Airline.csv", "--horizon", 6, "--quantiles", "0.05,0.5,0.95")
    assert result.exit_code == 0, result.output
    assert "Weights of the methods in the forecast: " in result.stderr and "seasonal" in result.stderr
    known = package.forecast(DATASETS / "Airline.csv", 6, levels=(0.05, 0.5, 0.95))
    assert result.stdout == known.to_csv(index=False)
    written = tsattn("forecast", DATASETS / "Airline.csv", "-o", tmp_path / "forecast.parquet")
    assert written.exit_code == 0 and written.stdout == ""
    pd.testing.assert_frame_equal(
        pd.read_parquet(tmp_path / "forecast.parquet"), package.forecast(DATASETS / "Airline.csv"), check_dtype=False
    )
    for quantiles in ("0.1,0.9", "0.1,half"):
        assert tsattn("forecast", DATASETS / "Airline.csv", "--quantiles", quantiles).exit_code == 2


@pytest.fixture(scope="module")
def fitted() -> Forecaster:
    return Forecaster("combination", 7).fit(panel())


@pytest.fixture(scope="module")
def run(fitted: Forecaster, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("combination") / "run"
    fitted.save(path)
    return path


def request() -> dict[str, Any]:
    """Tensors of the panel; what follows a history is ignored."""
    import tensorflow as tf

    rows = [group["y"].to_numpy("float32") for _, group in panel().groupby("unique_id", sort=False)]
    past = np.full((len(rows), 120, 1), 7e7, "float32")
    for row, values in zip(past, rows, strict=True):
        row[: len(values), 0] = values
    return {"past": tf.constant(past), "length": tf.constant([len(row) for row in rows], tf.int32)}


@ragged
def test_the_model_gives_the_same_forecast_in_keras_and_served(fitted: Forecaster, run: Path) -> None:
    import tensorflow as tf

    assert fitted.config_.model == {"name": "combination", "second_season": 0}
    assert "history of each series" in fitted.calibration_.summary()
    known, forecast, columns = package.forecast(panel(), 7), fitted.predict(), ["y", "y-lo-80", "y-hi-80"]
    scale = panel().groupby("unique_id")["y"].std().reindex(known["unique_id"]).to_numpy()[:, None]
    np.testing.assert_allclose(forecast[columns] / scale, known[columns] / scale, atol=1e-5)
    pd.testing.assert_frame_equal(Forecaster.load(run).predict(), forecast)
    served = tf.saved_model.load(run / "saved_model" / "1").signatures["serving_default"]
    answer = served(**request())["forecast"].numpy().ravel()
    np.testing.assert_allclose(answer / scale[:, 0], known["y"] / scale[:, 0], atol=1e-5)


def test_explain_has_the_weights_of_the_summary(fitted: Forecaster, run: Path) -> None:
    weights = fitted.explain().weights
    assert weights is not None
    assert list(weights.columns) == ["unique_id", "ds", "method", "weight"]
    np.testing.assert_allclose(weights.groupby(["unique_id", "ds"])["weight"].sum(), 1, rtol=1e-5)
    assert weights[["unique_id", "ds"]].drop_duplicates().to_numpy().tolist() == (
        fitted.predict()[["unique_id", "ds"]].to_numpy().tolist()
    )
    seasonal = weights[weights["method"].str.contains(SEASONAL)].groupby(["unique_id", "ds"])["weight"].sum()
    assert (seasonal["a"] > 0.9).all(), "the series 'a' repeats its week"
    result = tsattn("explain", run)
    assert result.exit_code == 0, result.output
    mean = weights.groupby("method")["weight"].mean()
    [printed] = [line for line in result.stdout.splitlines() if line.strip().startswith(mean.idxmax())]
    assert f"{mean.max():.0%}" in printed


def test_the_exported_model_returns_the_weights_of_the_methods(run: Path) -> None:
    import tensorflow as tf

    export = run / "saved_model" / "1"
    weights = tf.saved_model.load(export).signatures["weights"](**request())["weights"].numpy()
    np.testing.assert_allclose(weights.sum(-1), 1, atol=1e-5)
    described = json.loads((export / "assets.extra" / "tsattn.json").read_text())["outputs"]["weights"]["weights"]
    methods = described["meaning"].removeprefix("weights of the methods: ").split("; ")
    assert weights.shape == (4, 7, 1, len(methods))
    seasonal = [weight for weight, method in zip(weights[0, 0, 0], methods, strict=True) if re.search(SEASONAL, method)]
    assert sum(seasonal) > 0.9, "the series 'a' repeats its week"
