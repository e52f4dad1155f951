"""Autocorrelation of simulated errors, and the distribution of sums over sample paths."""

from __future__ import annotations

import keras
import numpy as np
import pytest
from keras_help import outputs
from numpy_reference import Array

from tsattn.layers import ForecastDistribution
from tsattn.scoring.calibration import error_autocorrelation

HORIZON = 12


def autoregression(rho: float, windows: int, seed: int = 0) -> Array:
    """Errors of exact forecasts of an autoregression (of a random walk where ``rho`` is 1), [windows, horizon, 1]."""
    noise = np.random.default_rng(seed).normal(size=(windows, HORIZON))
    errors = np.zeros_like(noise)
    for step in range(HORIZON):
        errors[:, step] = rho * errors[:, step - 1] * (step > 0) + noise[:, step]
    return errors[..., None]


def spreads(rho: float) -> Array:
    """The standard deviations of these errors by step, [horizon, 1]."""
    return np.sqrt(np.cumsum(rho ** (2 * np.arange(HORIZON))))[:, None]


@pytest.mark.parametrize("rho", [0.0, 0.6, 1.0])
def test_correlation_of_adjacent_steps(rho: float) -> None:
    errors = autoregression(rho, 4000)
    found = error_autocorrelation(errors, np.broadcast_to(spreads(rho), errors.shape), 4000)
    steps = np.arange(1, HORIZON)
    known = rho * spreads(rho)[:-1, 0] / spreads(rho)[1:, 0]
    assert found[0, 0] == 0
    # The estimate of a step includes its neighbours.
    np.testing.assert_allclose(found[steps, 0], known, atol=0.06 if rho < 1 else 0.15)
    np.testing.assert_allclose(found[4:-4, 0], known[3:-4], atol=0.04)


def test_invariance_to_missing_values_outliers_and_units() -> None:
    errors = autoregression(0.8, 3000)
    spread = np.broadcast_to(spreads(0.8), errors.shape)
    known = error_autocorrelation(errors, spread, 3000)
    rng = np.random.default_rng(1)
    units = np.exp(rng.normal(size=(3000, 1, 1)))
    holes = np.where(rng.random(errors.shape) < 0.3, np.nan, errors * units)
    np.testing.assert_allclose(error_autocorrelation(holes, spread * units, 3000), known, atol=0.04)
    np.testing.assert_allclose(error_autocorrelation(errors**3, spread**3, 3000), known, atol=0.02)


def test_without_windows_or_spread_steps_are_independent() -> None:
    nothing = np.full((3, HORIZON, 2), np.nan)
    assert not error_autocorrelation(nothing, np.ones_like(nothing), 0).any()
    assert not error_autocorrelation(np.ones((3, HORIZON, 2)), np.zeros((3, HORIZON, 2)), 3).any()


def test_a_single_window_estimates_all_steps_together() -> None:
    found = error_autocorrelation(np.sin(np.arange(HORIZON) / 4)[None, :, None], np.ones((1, HORIZON, 1)), 1)
    assert (found[1:] > 0.5).all()


@pytest.mark.parametrize("rho", [0.8, 1.0])
def test_coverage_of_sums_over_a_path(rho: float) -> None:
    past, later = autoregression(rho, 400), autoregression(rho, 4000, seed=1)
    spread = spreads(rho)
    layer = ForecastDistribution("normal", (0.1, 0.5, 0.9))
    parameters = np.concatenate([np.zeros_like(spread), spread], axis=-1)[None, :, None].astype("float32")
    layer(parameters)
    noise = np.random.default_rng(2).normal(size=(1, 4000, HORIZON, 1)).astype("float32")
    coverage = {}
    for name, found in {
        "paths": error_autocorrelation(past, np.broadcast_to(spread, past.shape), 400),
        "independent": np.zeros((HORIZON, 1)),
    }.items():
        layer.fit(found)
        drawn = layer.quantiles_at(keras.ops.convert_to_tensor(parameters), layer.correlate(noise))
        low, high = np.quantile(outputs(drawn)[0].sum(axis=(2, 3))[0], [0.1, 0.9])
        total = later.sum(axis=(1, 2))
        coverage[name] = float(((total >= low) & (total <= high)).mean())
    assert 0.77 < coverage["paths"] < 0.83
    assert coverage["independent"] < 0.6
