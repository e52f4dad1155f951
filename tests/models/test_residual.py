"""Residual branches of a network: mean reversion and linear regression."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import pytest
from numpy_reference import Array

from tsattn.models import resolve_options
from tsattn.models.branches import LINEAR_GAIN, MAX_DISTANCE, REVERSION_GAIN, LevelReversion, LinearPath
from tsattn.models.defaults import DataSummary, fill_options
from tsattn.models.forecast_model import build_graph
from tsattn.timeseries.windows import LENGTH, OBSERVED, PAST, TARGET, TARGET_OBSERVED, TARGET_SCALE, WindowSpec
from tsattn.training.trainer import training_model

HORIZON, CHANNELS, SEASON, CONTEXT = 3, 2, 4, 9
LENGTHS = np.array([9, 5, 2, 0], "int32")


def scaled_window(padding: float = 0.0) -> dict[str, Any]:
    """Windows in scaled space, right-padded, some values missing."""
    rng = np.random.default_rng(0)
    valid = np.arange(CONTEXT)[None, :, None] < LENGTHS[:, None, None]
    observed = valid & (rng.random((4, CONTEXT, CHANNELS)) < 0.8)
    return {
        "values": np.where(valid, rng.normal(size=observed.shape) * observed, padding).astype("float32"),
        "observed": observed.astype("float32"),
        "length": LENGTHS,
        "center": rng.normal(50, 3, (4, 1, CHANNELS)).astype("float32"),
        "scale": rng.uniform(1, 3, (4, 1, CHANNELS)).astype("float32"),
    }


def reversion_layer(level: float = 52.0, spread: float = 4.0, history: float = 0.0) -> tuple[LevelReversion, Array]:
    layer = LevelReversion(HORIZON, SEASON)
    layer(**scaled_window())
    weights = np.array([[0.1, 0.2], [0.3, 0.4], [0.5, 0.6]])
    layer.typical_weight.assign(weights / REVERSION_GAIN)
    layer.history_weight.assign(history * weights / REVERSION_GAIN)
    layer.fit([level] * CHANNELS, [spread] * CHANNELS)
    return layer, weights


@pytest.mark.parametrize("history", [0.0, 0.7])
def test_reversion_from_the_last_season_to_the_typical_level_and_the_mean_of_the_history(history: float) -> None:
    layer, weights = reversion_layer(history=history)
    given = scaled_window()
    result = keras.ops.convert_to_numpy(layer(**given))
    for row, length in enumerate(LENGTHS):
        for channel in range(CHANNELS):
            last = slice(max(length - SEASON, 0), length)
            seen = given["observed"][row, last, channel] > 0
            center, scale = given["center"][row, 0, channel], given["scale"][row, 0, channel]
            if not seen.any():
                assert (result[row, :, channel] == 0).all()
                continue
            recent = center + scale * given["values"][row, last, channel][seen].mean()
            away = 52.0 - recent
            fading = 1 - min(abs(away) / (MAX_DISTANCE * 4.0), 1.0) ** 4
            ever = given["observed"][row, :length, channel] > 0
            back = center + scale * given["values"][row, :length, channel][ever].mean() - recent
            added = weights[:, channel] * (fading * away + history * back) / scale
            np.testing.assert_allclose(result[row, :, channel], added, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize(("level", "spread"), [(1000.0, 4.0), (-1000.0, 4.0), (52.0, 0.0)])
def test_levels_outside_the_training_range_do_not_revert(level: float, spread: float) -> None:
    layer, _ = reversion_layer(level, spread)
    assert (keras.ops.convert_to_numpy(layer(**scaled_window())) == 0).all()


@pytest.mark.slow
def test_dropout_halves_the_learned_reversion() -> None:
    """Compare with ridge regression with the variance as penalty, which dropout of .5 amounts to."""
    rng = np.random.default_rng(0)
    recent = rng.normal(0, 1, (4000, 1, 1)).astype("float32")
    rest = {
        "observed": np.ones((4000, 1, 1), "float32"),
        "length": np.ones(4000, "int32"),
        "center": recent,
        "scale": np.ones((4000, 1, 1), "float32"),
    }
    given = {"values": np.zeros((4000, 1, 1), "float32"), **rest}
    inputs = {name: keras.Input(value.shape[1:], dtype=value.dtype, name=name) for name, value in given.items()}
    layer = LevelReversion(1, 1)
    model = keras.Model(inputs, layer(**inputs))
    # No level of these is so far away that it fades.
    layer.fit([0.0], [100.0])
    model.compile(keras.optimizers.Adam(1.2e-3), "mse", jit_compile=False)
    target = (-0.8 * recent + rng.normal(0, 0.1, recent.shape)).astype("float32")
    model.fit(given, target, batch_size=400, epochs=20, verbose=0)
    learned = float(keras.ops.convert_to_numpy(layer.typical_weight)[0, 0]) * REVERSION_GAIN
    assert learned == pytest.approx(0.4, abs=0.05)
    assert np.abs(keras.ops.convert_to_numpy(layer.history_weight)).max() == 0, "one step is its own history"
    model.fit(given, -target, batch_size=400, epochs=20, verbose=0)
    assert float(keras.ops.convert_to_numpy(layer.typical_weight)[0, 0]) >= 0, "no forecast runs away from a level"


def test_a_linear_function_of_the_last_steps() -> None:
    given = scaled_window(padding=7.0)
    layer = LinearPath(HORIZON)
    values, length = given["values"], given["length"]
    assert (keras.ops.convert_to_numpy(layer(values, length)) == 0).all(), "it begins at 0"
    kernel = np.random.default_rng(1).normal(size=(CHANNELS, CONTEXT, HORIZON))
    layer.kernel.assign(kernel / LINEAR_GAIN)
    result = keras.ops.convert_to_numpy(layer(values, length))
    for row, steps in enumerate(LENGTHS):
        for channel in range(CHANNELS):
            # Weights by the distance from the end: a short history uses the last ones.
            known = values[row, :steps, channel] @ kernel[channel, CONTEXT - steps :]
            np.testing.assert_allclose(result[row, :, channel], known, atol=1e-5)


@pytest.mark.parametrize(
    "name", ["attention_pooling", *(pytest.param(x, marks=pytest.mark.slow) for x in ("seq2seq", "graph_attention"))]
)
def test_both_are_trained(name: str) -> None:
    spec = WindowSpec(CONTEXT, HORIZON, ("a", "b"), SEASON)
    entry, options = resolve_options({"name": name, "units": 4, "mean_reversion": True, "linear_residual": True})
    graph = build_graph(entry, options, spec)
    assert graph.residual.mean_reversion is not None and graph.residual.linear is not None
    # Windows around 50 are followed by 60, the typical level.
    graph.residual.mean_reversion.fit([60.0, 60.0], [9.0, 9.0])
    # A weight that begins at 0, its bound, stays there if its gradient is positive.
    layer = graph.residual.mean_reversion
    begin = ((layer.typical_weight, 0.125), (layer.history_weight, 0.125), (graph.residual.linear.kernel, 0.0))
    for weight, value in begin:
        weight.assign(np.full(weight.shape, value))
    rng, model = np.random.default_rng(0), training_model(graph)
    # Tracing would take longer than these three steps.
    model.compile(keras.optimizers.Adam(0.01), run_eagerly=True)
    model.optimizer.build(model.trainable_variables)
    given = scaled_window()
    window = {PAST: given["center"] + given["values"], OBSERVED: given["observed"], LENGTH: given["length"]}
    target = rng.normal(60, 1, (4, HORIZON, CHANNELS)).astype("float32")
    known = {TARGET_OBSERVED: np.ones_like(target), TARGET_SCALE: np.full((4, CHANNELS), 5, "float32")}
    model.fit({**window, TARGET: target, **known}, batch_size=4, epochs=3, verbose=0)
    for weight, value in begin:
        assert np.abs(keras.ops.convert_to_numpy(weight) - value).max() > 0, weight.path


@pytest.mark.parametrize(("horizon", "channels"), [(3, 1), (1, 3)])
def test_a_window_is_forecast_alone_as_among_others(horizon: int, channels: int) -> None:
    """There are as many levels as steps, or as targets: an effect that is added must not be taken for one by level."""
    spec = WindowSpec(CONTEXT, horizon, ("a", "b", "c")[:channels], SEASON)
    entry, options = resolve_options({"name": "attention_pooling", "units": 4, "mean_reversion": True})
    graph = build_graph(entry, options, spec)
    reversion = graph.residual.mean_reversion
    assert reversion is not None
    reversion.fit(np.arange(55.0, 55.0 + channels), [9.0] * channels)
    weights = np.arange(1.0, 1.0 + horizon * channels).reshape(reversion.typical_weight.shape) / 10
    reversion.typical_weight.assign(weights)
    past = np.random.default_rng(0).normal(50, 1, (2, CONTEXT, channels)).astype("float32")
    window = {PAST: past, OBSERVED: np.ones_like(past), LENGTH: np.full(2, CONTEXT, "int32")}
    model = graph.inference()
    both, alone = (
        keras.ops.convert_to_numpy(model({name: part[:rows] for name, part in window.items()})["quantiles"])
        for rows in (2, 1)
    )
    np.testing.assert_allclose(alone, both[:1], rtol=1e-5)


def test_one_series_has_a_level_that_a_short_context_does_not_show_and_several_have_not() -> None:
    options = resolve_options({"name": "seq2seq"})[1]
    asked = resolve_options({"name": "seq2seq", "mean_reversion": True})[1]
    one, several = (DataSummary(60_000, 100.0, 96, 96, series=series) for series in (1, 414))
    assert not fill_options(options, 24, DataSummary(60_000, 100.0, 96, 720)).mean_reversion
    assert fill_options(options, 24, one).mean_reversion and not fill_options(options, 24, several).mean_reversion
    assert fill_options(asked, 24, several).mean_reversion
    with_level = resolve_options({"name": "seq2seq", "scaling": "training"})[1]
    assert not fill_options(with_level, 24, one).mean_reversion


@pytest.mark.parametrize(
    ("context", "values", "linear"), [(96, 8640, True), (96, 1000, False), (720, 100_000, False), (24, 480, True)]
)
def test_a_short_context_that_was_seen_many_times_has_a_regression(context: int, values: int, linear: bool) -> None:
    options = resolve_options({"name": "seq2seq"})[1]
    assert fill_options(options, 24, DataSummary(values, values / 48, 48, context)).linear_residual is linear
    assert not fill_options(options, 24, DataSummary(values, values / 48, 48, context, series=8)).linear_residual
