"""Forecasts of series unlike the training data commute with shift and scale, and such series are recognised."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import pytest
from keras_help import on_tensorflow
from numpy_reference import Array
from small_models import NETWORKS, SPEC, make_graph

from tsattn.models.forecast_model import ForecastGraph
from tsattn.models.training_range import InTrainingRange, TrainingRange, WindowStatistics, get_training_range
from tsattn.timeseries.grid import Grid
from tsattn.timeseries.panel import Panel
from tsattn.timeseries.ragged import RaggedArray
from tsattn.timeseries.windows import LENGTH, OBSERVED, PAST, QUANTILES, WindowSpec

LEVEL, SPREAD = 500.0, 30.0


def panel(series: list[Array]) -> Panel:
    """Daily series of two targets."""
    values = np.concatenate(series).astype("float32")
    lengths = np.array([len(part) for part in series])
    ids = tuple(f"s{number}" for number in range(len(series)))
    starts = np.zeros(len(series), dtype=np.int64)
    return Panel(RaggedArray.from_lengths(values, lengths), ids, ("a", "b"), starts, Grid("D", "2024-01-01"))


def training_series(steps: int = 80) -> Array:
    """Seasons of four steps around a level."""
    rng, step = np.random.default_rng(3), np.arange(steps)[:, None]
    return LEVEL + SPREAD * (np.sin(step * np.pi / 2 + [0, 1]) + rng.normal(0, 0.2, (steps, 2)))


def trained(options: dict[str, Any]) -> ForecastGraph:
    """A network whose statistics are those of the training series."""
    graph = make_graph(options)
    graph.scaling.fit([LEVEL] * 2, [SPREAD] * 2, [SPREAD / LEVEL] * 2)
    if graph.residual.mean_reversion is not None:
        graph.residual.mean_reversion.fit([LEVEL] * 2, [SPREAD] * 2)
    graph.training_range = TrainingRange.of(panel([training_series()]), SPEC, 4)
    return graph


def forecast(model: keras.Model, past: Array) -> Array:
    """Quantiles of windows of one length, NaN where missing."""
    seen = np.isfinite(past)
    batch = {
        PAST: np.where(seen, past, 0).astype("float32"),
        OBSERVED: seen.astype("float32"),
        LENGTH: np.full(len(past), past.shape[1], "int32"),
    }
    return np.asarray(keras.ops.convert_to_numpy(model(batch)[QUANTILES]), dtype="float64")


def windows(count: int = 3) -> Array:
    rng = np.random.default_rng(1)
    past = rng.normal(size=(count, SPEC.context, 2)).astype("float32")
    past[rng.random(past.shape) < 0.1] = np.nan
    past[:, -1] = 0.5
    return past


@pytest.mark.parametrize(
    "name", ["residual_branches", *(pytest.param(x, marks=pytest.mark.slow) for x in ("parallel", "autoregressive"))]
)
def test_the_forecast_commutes_with_scale_and_shift_over_twelve_orders_of_magnitude(name: str) -> None:
    model = trained(NETWORKS[name]).inference()
    past = windows()
    known = forecast(model, past)
    for factor in 10.0 ** np.arange(-6, 7, 2):
        result = forecast(model, past * np.float32(factor))
        np.testing.assert_allclose(result / factor, known, rtol=1e-4, atol=1e-4, err_msg=f"factor {factor}")
    for shift in (-2000.0, -3.0, 100.0, 4096.0):
        moved = (past + np.float32(shift)).astype("float32")
        exact = moved.astype("float64") - shift  # a shift rounds the values themselves
        np.testing.assert_allclose(
            forecast(model, moved) - shift, forecast(model, exact), atol=3e-3, err_msg=f"shift {shift}"
        )


@pytest.mark.parametrize("value", [7.0, 0.0, 1e-10, -3e9, 1e8, 1e30, LEVEL])
@pytest.mark.parametrize("name", ["residual_branches", "parallel"])
def test_a_constant_history_has_a_constant_forecast(name: str, value: float) -> None:
    model = trained(NETWORKS[name]).inference()
    result = forecast(model, np.full((1, SPEC.context, 2), value, "float32"))
    np.testing.assert_array_equal(result, np.float32(value))


def test_windows_of_the_training_data_are_forecast_as_before() -> None:
    graph = trained(NETWORKS["residual_branches"])
    series = training_series()
    past = np.stack([series[first : first + SPEC.context] for first in range(0, 70, 7)]).astype("float32")
    within = forecast(graph.inference(), past)
    graph.training_range = None
    np.testing.assert_array_equal(within, forecast(graph.inference(), past))


def test_the_range_is_that_of_windows_of_the_data() -> None:
    series = training_series()
    known = TrainingRange.of(panel([series[:40], series[40:]]), SPEC, 4)
    for channel in range(2):
        low, high = known.level[channel]
        assert low < series[:, channel].min() and series[:, channel].max() < high
        spreads = [series[first : first + 4, channel].std() for first in range(0, 80, 4)]
        assert known.spread[channel][0] == pytest.approx(min(spreads) / 2, rel=1e-4)
        assert known.spread[channel][1] >= max(spreads) * 1.99


@pytest.mark.parametrize(
    ("past", "inside"),
    [
        (training_series(10), True),
        (training_series(2), True),
        (training_series(10) - 2 * LEVEL, False),
        (training_series(10) * 100, False),
        ((training_series(10) - LEVEL) / 1e4 + LEVEL, False),
        ((training_series(10) - LEVEL) * 100 + LEVEL, False),
        (np.full((10, 2), LEVEL), False),
        (np.full((10, 2), 7.0), False),
    ],
)
def test_level_and_spread_decide(past: Array, inside: bool) -> None:
    graph = trained(NETWORKS["parallel"])
    layer = next(layer for layer in graph.inference().layers if isinstance(layer, InTrainingRange))
    result = keras.ops.convert_to_numpy(layer(past[None].astype("float32"), np.ones((1, *past.shape), "float32")))
    np.testing.assert_array_equal(result, np.full((1, 1, 2), float(inside)))


def test_the_range_is_part_of_the_saved_model(tmp_path: Any) -> None:
    graph = trained(NETWORKS["parallel"])
    model = graph.inference()
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    assert get_training_range(loaded) == graph.training_range
    np.testing.assert_array_equal(forecast(loaded, windows()), forecast(model, windows()))


@pytest.mark.slow
def test_counts_of_a_constant_history_have_a_finite_forecast() -> None:
    graph = trained({"name": "seq2seq", "head": "negative_binomial"})
    for value in (0.0, 7.0, 1e5):
        assert np.isfinite(forecast(graph.inference(), np.full((1, SPEC.context, 2), value, "float32"))).all()


@on_tensorflow
def test_the_served_function_commutes_and_has_no_forecast_without_an_observed_value() -> None:
    import tensorflow as tf

    from tsattn.export.signatures import ServingPreprocessor, build_forecast_function

    preprocessor = ServingPreprocessor(SPEC)
    function = tf.function(build_forecast_function(trained(NETWORKS["parallel"]).inference(), preprocessor))
    past = np.nan_to_num(windows(1))
    rows = [past[0] * np.float32(factor) for factor in (1e-6, 1.0, 1e6)] + [np.full_like(past[0], np.nan)]
    lengths = np.array([SPEC.context] * 4, "int32")
    result = function(tf.constant(np.stack(rows)), tf.constant(lengths))[QUANTILES].numpy()
    for row, factor in ((0, 1e-6), (2, 1e6)):
        np.testing.assert_allclose(result[row] / factor, result[1], rtol=1e-4, atol=1e-4)
    assert np.isfinite(result[:3]).all() and np.isnan(result[3]).all()


def test_one_target_of_the_window() -> None:
    spec = WindowSpec(context=8, horizon=2, targets=("a", "b"), season=1)
    empty = np.full((12, 2), np.nan)
    known = TrainingRange.of(panel([empty]), spec, 4)
    assert known.level[0] == (-np.inf, np.inf), "without values nothing is outside"


def test_each_statistic_that_differs_is_named() -> None:
    """Seasonal positive data next to constants, zeros, other seasons and other levels."""
    spec = WindowSpec(context=48, horizon=2, targets=("a", "b"), season=4)
    step, rng = np.arange(48)[:, None], np.random.default_rng(0)
    known = TrainingRange.of(panel([training_series(400)]), spec, 4)
    usual = training_series(448)[400:]
    sparse = np.where(rng.random((48, 2)) < 0.8, 0.0, usual)
    other_season = LEVEL + SPREAD * np.sin(step * 2 * np.pi / 8 + [0, 1])
    for values, expected in (
        (usual, set()),
        (usual * 100, {"level", "spread"}),
        (usual - LEVEL, {"level"}),
        (np.full((48, 2), LEVEL), {"spread"}),
        (sparse, {"level", "spread", "fraction of zeros", "seasonality"}),
        (other_season, {"seasonality"}),
    ):
        statistics = WindowStatistics.of(values[None], np.ones((1, 48, 2)), 4)
        assert {name for name, found in known.differences(statistics).items() if found.all()} == expected
