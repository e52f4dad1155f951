"""Forecasts without training: the network's NumPy form equals the Keras layer, and the weights follow past errors."""

from dataclasses import replace

import keras
import numpy as np
import pytest

from tsattn.errors import ConfigError
from tsattn.layers import PretrainedForecast, ZeroShotForecast
from tsattn.pretrained.features import LEVELS, MEDIAN, compute_features
from tsattn.pretrained.network import decode, encode, read_weights
from tsattn.pretrained.zero_shot import (
    NETWORK_KIND,
    forecast_series,
    network_layout,
    network_weight,
    past_errors,
    past_layout,
    zero_shot_window,
)
from tsattn.smoothing.forecasts import right_aligned

HORIZON, SEASON = 7, 7
TIME = np.arange(120)
WAVE = np.sin(2 * np.pi * TIME / SEASON)
RNG = np.random.default_rng(0)
SERIES = [
    50 + 0.2 * TIME + 5 * WAVE + RNG.normal(size=120),
    1e4 * (5 + WAVE[:60]) + 100 * RNG.normal(size=60),
    np.where(RNG.random(90) < 0.3, 3.0, 0.0),
    np.where(RNG.random(80) < 0.2, np.nan, 20 + WAVE[:80]),
    np.array([4.0, 5.0, 6.0]),
    np.array([7.0]),
    np.full(30, 3.0),
]


def network_forecast(series, horizon=HORIZON, seasons=(SEASON,), longest=None):
    """Return the quantiles of the network alone, `(series, horizon, levels)`."""
    layout = network_layout(horizon, seasons, longest or max(map(len, series)))
    features = compute_features(np, *right_aligned(series, layout.length), layout)
    return decode(read_weights(), encode(read_weights(), features), features, layout).quantiles[:, 0]


@pytest.fixture(scope="module")
def window():
    """The series as right-padded windows with their masks."""
    length = zero_shot_window(HORIZON, (SEASON,))
    past, mask = np.zeros((len(SERIES), length, 1), "float32"), np.zeros((len(SERIES), length), bool)
    observed = np.zeros_like(past)
    for row, values in enumerate(SERIES):
        past[row, : len(values), 0], mask[row, : len(values)] = np.nan_to_num(values), True
        observed[row, : len(values), 0] = np.isfinite(values)
    return past, observed, mask


def assert_close(quantiles, expected):
    scale = np.array([np.nanmax(np.abs(values)) for values in SERIES])[:, None, None]
    np.testing.assert_allclose(np.asarray(quantiles)[:, :, 0] / scale, expected / scale, atol=1e-5)


def test_the_layer_of_the_network_equals_its_numpy_form(window):
    past, observed, mask = window
    assert_close(PretrainedForecast(HORIZON, (SEASON,), LEVELS)(past, observed, mask=mask), network_forecast(SERIES))


def test_the_layer_of_both_equals_the_numpy_form(window):
    past, observed, mask = window
    layer = ZeroShotForecast(HORIZON, (SEASON,))
    quantiles, weights = layer(past, observed, mask=mask, return_weights=True)
    expected = forecast_series(SERIES, HORIZON, (SEASON,), (0.1, 0.5, 0.9))
    assert_close(quantiles, expected.quantiles)
    assert layer.kinds == tuple(expected.weights)
    for kind, part in zip(layer.kinds, np.asarray(weights)[:, 0].T, strict=True):
        np.testing.assert_allclose(part, expected.weights[kind], atol=1e-3, err_msg=kind)


def test_the_network_can_be_trained_further(window):
    past, observed, mask = window
    inputs = keras.Input(past.shape[1:]), keras.Input(observed.shape[1:]), keras.Input(mask.shape[1:], dtype="bool")
    layer = PretrainedForecast(HORIZON, (SEASON,))
    model = keras.Model(inputs, layer(inputs[0], inputs[1], mask=inputs[2]))
    model.compile("sgd", "mae")
    before = [np.asarray(weight).copy() for weight in layer.trainable_weights]
    model.train_on_batch([past, observed, mask], np.zeros((len(SERIES), HORIZON, 1, 3)))
    changed = [not np.array_equal(old, np.asarray(new)) for old, new in zip(before, layer.weights, strict=True)]
    assert all(changed)


def test_quantiles_ascend_and_are_finite():
    result = forecast_series(SERIES, HORIZON, (SEASON,), LEVELS)
    assert np.isfinite(result.quantiles).all()
    assert (np.diff(result.quantiles, axis=2) >= -1e-9).all()
    np.testing.assert_allclose(sum(result.weights.values()), 1, atol=1e-6)


@pytest.mark.parametrize(("factor", "shift"), [(1e-6, 0), (1e9, 0), (3.0, -1e4)])
def test_the_network_commutes_with_units(factor, shift):
    series = SERIES[:4]
    np.testing.assert_allclose(
        network_forecast([values * factor + shift for values in series]),
        network_forecast(series) * factor + shift,
        rtol=1e-4,
        atol=1e-4 * factor,
    )


@pytest.mark.parametrize("factor", [1e-25, 1e25, 1e36])
def test_large_and_small_values_do_not_overflow(factor: float) -> None:
    long = np.tile(SERIES[0], 16)[None, :, None].astype("float32")
    layer = ZeroShotForecast(HORIZON, (SEASON,))
    np.testing.assert_allclose(np.asarray(layer(long * np.float32(factor))) / factor, layer(long), rtol=1e-4)


@pytest.mark.parametrize("high", [1e6, 1e20, 3e38])
@pytest.mark.parametrize("low", [1e-30, 1e-12, 1.0])
def test_a_range_of_many_orders_of_magnitude_is_forecast_within_reach(low: float, high: float) -> None:
    past = np.where(RNG.random(120) < 0.5, low, high * RNG.random(120))
    forecasts = [
        np.asarray(ZeroShotForecast(HORIZON, (SEASON,))(past[None, :, None].astype("float32")))[:, :, 0],
        forecast_series([past], HORIZON, (SEASON,)).quantiles,
    ]
    for quantiles in forecasts:
        assert np.isfinite(quantiles).all() and np.abs(quantiles).max() < 3 * past.max()


def test_the_network_does_not_depend_on_the_padding():
    np.testing.assert_allclose(network_forecast(SERIES[:2], longest=280), network_forecast(SERIES[:2]), rtol=1e-4)


def test_past_errors_are_those_of_forecasts_from_shorter_series():
    values = SERIES[0][None]
    layout = network_layout(HORIZON, (SEASON,), 120)
    past = past_layout(layout, HORIZON)
    features = compute_features(np, values, np.ones(values.shape, bool), past)
    tried = decode(read_weights(), encode(read_weights(), features), features, past).quantiles
    total, number = past_errors(np, tried[..., MEDIAN], values, np.ones(values.shape, bool), past)
    expected, count = np.zeros(HORIZON), np.zeros(HORIZON)
    for end in past.origin_ends + 1:
        later, patches = SERIES[0][end : end + HORIZON], end // layout.patch
        shorter = replace(layout, patches=patches, origins=(patches - 1,))  # the same phases
        features = compute_features(np, values[:, :end], np.ones((1, end), bool), shorter)
        forecast = decode(read_weights(), encode(read_weights(), features), features, shorter).quantiles
        expected[: len(later)] += np.abs(forecast[0, 0, : len(later), MEDIAN] - later)
        count[: len(later)] += 1
    np.testing.assert_array_equal(number[0], count)
    np.testing.assert_allclose(total[0], expected, rtol=1e-3)


def weight_of(own, other, number=10.0, count=50.0, seasons=()):
    errors = [(np.full((1, 4), error * number), np.full((1, 4), number)) for error in (own, other)]
    return float(
        network_weight(np, np.array([[count]]), *errors, np.ones((1, 1)), 4, network_layout(4, seasons))[0][0, 0]
    )


def test_the_more_accurate_method_has_the_larger_weight():
    assert weight_of(1.0, 4.0) > 0.8 > weight_of(2.0, 2.0) > 0.1 > weight_of(4.0, 1.0)
    assert weight_of(1.0, 4.0, number=1.0) < weight_of(1.0, 4.0)
    assert weight_of(1.0, 4.0, count=2) == 0
    # Without past forecasts, the network has more weight from one and a half seasons on.
    cases = ((50, ()), (12, (12,)), (24, (12,)), (30, (24, 168)), (40, (24, 168)))
    priors = [weight_of(1.0, 4.0, number=0.0, count=count, seasons=seasons) for count, seasons in cases]
    np.testing.assert_allclose(priors, [0.2, 0.2, 0.5, 0.2, 10 / 14], rtol=1e-6)


def test_a_clean_season_is_forecast_by_the_smoothings():
    series = [100 + 10 * WAVE]
    result = forecast_series(series, HORIZON, (SEASON,), (0.1, 0.5, 0.9))
    assert result.weights[NETWORK_KIND][0] < 0.05
    expected = 100 + 10 * np.sin(2 * np.pi * (120 + np.arange(HORIZON)) / SEASON)
    np.testing.assert_allclose(result.quantiles[0, :, 1], expected, atol=0.3)


def test_a_level_out_of_range_is_refused():
    with pytest.raises(ConfigError, match=r"between 0\.01 and 0\.99"):
        forecast_series(SERIES[:1], 3, levels=(0.001, 0.5))


def test_no_series_at_all():
    assert forecast_series([], 3).quantiles.shape == (0, 3, 2)
