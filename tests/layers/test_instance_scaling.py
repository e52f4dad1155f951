"""InstanceScaling compared with a loop over rows and channels; inverse, equivariance and precision."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import pytest
from keras_help import outputs
from numpy_reference import Array, scale_of

from tsattn.errors import ConfigError
from tsattn.layers import InstanceScaling

METHODS = ("last", "standard", "mean_abs")
"""The methods that use the statistics of a window."""

RATIO, MEDIAN, SPREAD = [0.5, 0.2], [7.0, -3.0], [2.0, 4.0]


def fitted(method: str, ratio: list[float] = RATIO) -> InstanceScaling:
    layer = InstanceScaling(method)
    layer.build((None, None, 2))
    layer.fit(MEDIAN, SPREAD, ratio)
    return layer


def gappy() -> tuple[Array, Array]:
    """Return values with NaN in gaps and padding, and an indicator of the observed ones."""
    rng = np.random.default_rng(5)
    values = (3 + rng.normal(size=(6, 9, 2)) * [1, 40]).astype("float32")
    values[rng.random(values.shape) < 0.3] = np.nan
    for row in range(6):
        values[row, row + 3 :] = np.nan
    values[0, 0] = 1, 2
    values[1, :, 1] = np.nan  # a channel without observations
    values[2, 1:, 0] = np.nan  # a single observation
    values[2, 0, 0] = 4
    return values, np.isfinite(values).astype("float32")


@pytest.mark.parametrize("method", METHODS)
def test_each_window_and_channel_is_scaled_independently(method: str) -> None:
    values, observed = gappy()
    scaled, center, scale = outputs(fitted(method)(values, observed))
    assert observed[:, :, 0].any(1).all()
    assert not observed[1, :, 1].any()
    for row, channel in np.ndindex(6, 2):
        series = values[row, :, channel]
        known = (MEDIAN[channel], SPREAD[channel])
        if np.isfinite(series).any():
            known = scale_of(series, method, RATIO[channel])
        np.testing.assert_allclose([center[row, 0, channel], scale[row, 0, channel]], known, rtol=1e-5, atol=1e-6)
        expected = np.where(np.isfinite(series), (series - known[0]) / known[1], 0)
        np.testing.assert_allclose(scaled[row, :, channel], expected, atol=1e-5)


@pytest.mark.parametrize("method", METHODS)
def test_the_inverse_restores_the_values(method: str) -> None:
    values, observed = gappy()
    layer = fitted(method)
    scaled, center, scale = layer(values, observed)
    back = outputs(layer(scaled, center=center, scale=scale, inverse=True))[0]
    seen = observed > 0
    np.testing.assert_allclose(back[seen], values[seen], rtol=1e-5, atol=1e-5)


def test_the_inverse_of_quantiles() -> None:
    layer, quantiles = fitted("last"), np.random.default_rng(0).normal(size=(3, 4, 2, 5)).astype("float32")
    center, scale = np.array([[[1, 2]]] * 3, dtype="float32"), np.array([[[3, 4]]] * 3, dtype="float32")
    result = outputs(layer(quantiles, center=center, scale=scale, inverse=True))[0]
    known = quantiles * np.array([3, 4])[:, None] + np.array([1, 2])[:, None]
    np.testing.assert_allclose(result, known, rtol=1e-5)


def test_a_target_is_scaled_by_the_statistics_of_its_window() -> None:
    layer = fitted("last")
    target = np.array([[[5.0, np.nan]]], dtype="float32")
    center, scale = np.array([[[1, 2]]], dtype="float32"), np.array([[[2, 2]]], dtype="float32")
    observed = np.array([[[1, 0]]], dtype="float32")
    np.testing.assert_allclose(outputs(layer(target, observed, center=center, scale=scale))[0], [[[2, 0]]])


@pytest.mark.parametrize("factor", [1e-3, 250.0, 1e6])
@pytest.mark.parametrize("method", METHODS)
def test_scaled_values_do_not_depend_on_the_unit(method: str, factor: float) -> None:
    values, observed = gappy()
    scaled, center, scale = outputs(fitted(method)(values, observed))
    again, moved_center, moved_scale = outputs(fitted(method)(values * np.float32(factor), observed))
    seen = observed.any(1, keepdims=True)
    np.testing.assert_allclose(again * seen, scaled * seen, rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(moved_scale[seen], scale[seen] * factor, rtol=1e-5)
    np.testing.assert_allclose(moved_center[seen], center[seen] * factor, rtol=1e-4, atol=1e-5 * factor)


@pytest.mark.parametrize("method", ["last", "standard"])
def test_a_constant_offset_changes_the_center_only(method: str) -> None:
    # The prior depends on the level: a tiny ratio gives it a tiny weight.
    values = np.random.default_rng(2).normal(size=(4, 200, 2)).astype("float32")
    tiny = [1e-6, 1e-6]
    scaled, center, scale = outputs(fitted(method, tiny)(values))
    moved, moved_center, moved_scale = outputs(fitted(method, tiny)(values + np.float32(100)))
    np.testing.assert_allclose(moved, scaled, atol=2e-5)  # adding 100 rounds the values themselves to 8e-6
    np.testing.assert_allclose(moved_center, center + 100, rtol=1e-6)
    np.testing.assert_allclose(moved_scale, scale, rtol=1e-5)


@pytest.mark.parametrize("method", ["last", "standard"])
def test_a_spread_of_1_at_a_level_of_a_million_is_precise(method: str) -> None:
    # A naive mean of squares has no correct digit here.
    values = (1e6 + np.random.default_rng(3).normal(size=(1, 5000, 2))).astype("float32")
    scaled, center, scale = outputs(fitted(method, [1e-6, 1e-6])(values))
    for channel in range(2):
        series = values[0, :, channel]
        known = scale_of(series, method, 1e-6)
        # A center of a million is itself rounded to 1/16.
        np.testing.assert_allclose(center[0, 0, channel], known[0], atol=1 / 16)
        np.testing.assert_allclose(scale[0, 0, channel], known[1], rtol=1e-5)
        back = scaled[0, :, channel].astype(float) * scale[0, 0, channel] + center[0, 0, channel]
        np.testing.assert_allclose(back, series, atol=1e-5 * known[1])


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("value", [0.0, 5.0, 1e-12, -3e9])
def test_a_constant_history_has_a_scale(method: str, value: float) -> None:
    values = np.full((1, 4, 2), value, dtype="float32")
    layer = fitted(method)
    scaled, center, scale = outputs(layer(values))
    assert np.isfinite(scaled).all()
    assert np.abs(scaled).max() < 10
    assert (scale > 0).all()
    back = outputs(layer(scaled, center=center, scale=scale, inverse=True))[0]
    np.testing.assert_allclose(back, values, rtol=1e-6)


def test_padding_and_the_content_of_gaps_have_no_effect() -> None:
    values, observed = gappy()
    known: list[Any] = outputs(fitted("standard")(values, observed))
    longer = np.pad(values, [(0, 0), (0, 7), (0, 0)], constant_values=1e30)
    result = outputs(fitted("standard")(longer, np.pad(observed, [(0, 0), (0, 7), (0, 0)])))
    np.testing.assert_allclose(result[0][:, :9], known[0], atol=1e-5)
    np.testing.assert_allclose(result[1], known[1], rtol=1e-6)
    np.testing.assert_allclose(result[2], known[2], rtol=1e-6)


def test_method_training_uses_the_training_statistics_for_every_window() -> None:
    values, observed = gappy()
    scaled, center, scale = outputs(fitted("training")(values, observed))
    np.testing.assert_array_equal(center, np.broadcast_to(np.float32(MEDIAN), (6, 1, 2)))
    np.testing.assert_array_equal(scale, np.broadcast_to(np.float32(SPREAD), (6, 1, 2)))
    expected = np.where(observed > 0, (values - np.array(MEDIAN)) / np.array(SPREAD), 0)
    np.testing.assert_allclose(scaled, expected, rtol=1e-5, atol=1e-6)
    back = outputs(fitted("training")(scaled, center=center, scale=scale, inverse=True))[0]
    np.testing.assert_allclose(back[observed > 0], values[observed > 0], rtol=1e-5, atol=1e-5)


def test_an_unknown_method_is_refused() -> None:
    with pytest.raises(ConfigError, match="last, standard, mean_abs, training"):
        InstanceScaling("minmax")


def test_a_history_of_zeros_takes_the_training_spread() -> None:
    scaling = InstanceScaling("last")
    past = np.zeros((1, 42, 1), "float32")
    scaling(past)
    scaling.fit([3.0], [5.0], [0.2])
    _, center, scale = scaling(past)
    assert float(center[0, 0, 0]) == 0 and float(scale[0, 0, 0]) == 5


@pytest.mark.slow
def test_a_history_of_zeros_has_a_finite_gradient_under_xla() -> None:
    values = np.random.default_rng(0).normal(size=(4, 6, 2)).astype("float32")
    values[0] = 0
    inputs = keras.Input((6, 2))
    # One program for all methods, because XLA takes seconds to compile.
    scaled = [InstanceScaling(method)(keras.layers.Dense(2, use_bias=False)(inputs))[0] for method in METHODS]
    model = keras.Model(inputs, [keras.layers.Dense(1)(each[:, 0]) for each in scaled])
    model.compile("sgd", ["mse"] * len(METHODS), jit_compile=True)
    losses = model.fit(values, [np.ones((4, 1))] * len(METHODS), epochs=2, verbose=0).history["loss"]
    assert np.isfinite(losses).all() and all(np.isfinite(weight).all() for weight in model.get_weights())


@pytest.mark.parametrize("names", [("center",), ("scale",), ()])
def test_missing_statistics_are_refused(names: tuple[str, ...]) -> None:
    statistic = np.ones((4, 1, 2), "float32")
    for values in (np.ones((4, 6, 2), "float32"), keras.Input((6, 2))):
        with pytest.raises(ConfigError, match="center and scale"):
            InstanceScaling()(values, inverse=True, **dict.fromkeys(names, statistic))
