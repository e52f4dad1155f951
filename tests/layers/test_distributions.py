"""Distributions compared with SciPy, calibrated sample paths with NumPy."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import pytest
from keras_help import on_tensorflow, outputs
from numpy_reference import Array
from scipy import stats

from tsattn.errors import ConfigError
from tsattn.layers import CalibratedQuantiles, DistributionHead, ForecastDistribution
from tsattn.layers.distributions import cumulative_probability, get_distribution

ROWS = 2_000
RNG = np.random.default_rng(0)
LEVELS = (0.001, 0.05, 0.5, 0.9, 0.999)


def log_uniform(low: float, high: float, count: int = ROWS) -> Array:
    return np.exp(RNG.uniform(np.log(low), np.log(high), count)).astype("float32")


def counts(mean: Array, dispersion: Array) -> Any:
    r = 1 / dispersion.astype("float64")
    return stats.nbinom(r, 1 / (1 + dispersion.astype("float64") * mean))


MEAN, DISPERSION = log_uniform(0.05, 1e5), 1 / log_uniform(0.05, 1e3)
LOCATION, SCALE = RNG.normal(0, 9, ROWS).astype("float32"), log_uniform(1e-3, 1e3)
INVERSE = np.append([1e-4, 0.5], RNG.uniform(1e-3, 0.5, ROWS - 2)).astype("float32")
FAMILIES: dict[str, tuple[tuple[Array, ...], Any]] = {
    "normal": ((LOCATION, SCALE), stats.norm(LOCATION.astype("float64"), SCALE)),
    "student_t": (
        (LOCATION, SCALE, INVERSE),
        stats.t(1 / INVERSE.astype("float64"), LOCATION.astype("float64"), SCALE),
    ),
    "negative_binomial": ((MEAN, DISPERSION), counts(MEAN, DISPERSION)),
}


def stacked(name: str) -> Any:
    return keras.ops.convert_to_tensor(np.stack(FAMILIES[name][0], axis=-1))


@pytest.mark.parametrize("name", FAMILIES)
def test_log_likelihood_matches_scipy(name: str) -> None:
    known = FAMILIES[name][1]
    values = known.rvs(random_state=1).astype("float32")
    result = outputs(get_distribution(name).log_likelihood(stacked(name), values))[0]
    expected = (known.logpmf if name == "negative_binomial" else known.logpdf)(values.astype("float64"))
    np.testing.assert_allclose(result, expected, rtol=1e-5, atol=5e-5)


@pytest.mark.parametrize("name", ["normal", "student_t"])
def test_quantiles_match_scipy(name: str) -> None:
    parameters, known = FAMILIES[name]
    for level in LEVELS:
        score = np.float32(stats.norm.ppf(level))
        result = outputs(get_distribution(name).quantiles(stacked(name), score))[0]
        standardized = (result - parameters[0].astype("float64")) / parameters[1]
        expected = (known.ppf(stats.norm.cdf(np.float64(score))) - parameters[0]) / parameters[1]
        # Adding a large location rounds the quantile in float32.
        rounding = 1e-6 * (1 + np.abs(parameters[0]) / parameters[1])
        assert (np.abs(standardized - expected) <= 1e-5 * np.abs(expected) + rounding).all()


def test_student_t_quantiles_are_accurate_in_the_tails() -> None:
    scores = RNG.uniform(-6, 6, ROWS).astype("float32")
    standard = np.stack([np.zeros(ROWS), np.ones(ROWS), INVERSE], axis=-1).astype("float32")
    result = outputs(get_distribution("student_t").quantiles(keras.ops.convert_to_tensor(standard), scores))[0]
    exact = stats.t.isf(stats.norm.sf(np.abs(scores.astype("float64"))), 1 / INVERSE.astype("float64"))
    np.testing.assert_allclose(result, np.sign(scores) * exact, rtol=1e-5)


def test_cumulative_probability_matches_scipy() -> None:
    known = FAMILIES["negative_binomial"][1]
    values = known.ppf(RNG.uniform(1e-3, 1 - 1e-3, ROWS))
    result = outputs(cumulative_probability(values.astype("float32"), MEAN, DISPERSION))[0]
    np.testing.assert_allclose(result, known.cdf(values), atol=5e-5)


def test_count_quantiles_match_scipy_except_at_steps() -> None:
    known = FAMILIES["negative_binomial"][1]
    scores = stats.norm.ppf(LEVELS).astype("float32")[:, None]
    results = outputs(get_distribution("negative_binomial").quantiles(stacked("negative_binomial"), scores))[0]
    assert (results == np.round(results)).all() and (results >= 0).all()
    for level, result in zip(LEVELS, results, strict=True):
        # They differ only where the cumulative probability is within its error of the level.
        assert (known.cdf(result - 1) <= level + 5e-5).all()
        assert (known.cdf(result) >= level - 5e-5).all()
        if 0.01 < level < 0.99:
            assert (result != known.ppf(level))[result < 1000].mean() < 1e-3


@pytest.mark.parametrize("mean", [0.3, 20.0])
def test_counts_without_dispersion_are_nearly_poisson(mean: float) -> None:
    head = DistributionHead("negative_binomial")
    network_outputs = np.array([[[[mean, -50.0]]]], "float32")
    center, scale = np.zeros((1, 1, 1), "float32"), np.ones((1, 1, 1), "float32")
    parameters = outputs(head(network_outputs, center=center, scale=scale))[0]
    poisson = stats.poisson(parameters[0, 0, 0, 0])
    family = get_distribution("negative_binomial")
    values = np.arange(0, 3 * int(mean) + 4, dtype="float32")
    likelihood = outputs(family.log_likelihood(keras.ops.convert_to_tensor(parameters[0, 0, 0]), values))[0]
    near = np.abs(values - mean) < 3 * np.sqrt(mean)
    np.testing.assert_allclose(likelihood[near], poisson.logpmf(values)[near], atol=0.03)


def test_parameters_are_in_the_units_of_the_data() -> None:
    network_outputs = RNG.normal(size=(5, 4, 2, 3)).astype("float32")
    center = RNG.normal(size=(5, 1, 2)).astype("float32")
    scale = log_uniform(0.1, 10, 10).reshape(5, 1, 2)
    for name, size in (("normal", 2), ("student_t", 3)):
        head = DistributionHead(name)
        scaled = outputs(head(network_outputs[..., :size]))[0]
        result = outputs(head(network_outputs[..., :size], center=center, scale=scale))[0]
        np.testing.assert_allclose(result[..., 0], network_outputs[..., 0] * scale + center, rtol=1e-5, atol=1e-5)
        np.testing.assert_allclose(result[..., 1], scaled[..., 1] * scale, rtol=1e-5)
        assert (scaled[..., 1] > 0).all()
        if name == "student_t":
            assert (1 / result[..., 2] > 2).all()
    # The mean of counts is the location if that is far above 0, and small but positive if it is far below.
    large = np.stack([np.full((5, 4, 2), 30.0), network_outputs[..., 1]], axis=-1).astype("float32")
    result = outputs(DistributionHead("negative_binomial")(large, center=0 * center, scale=scale))[0]
    np.testing.assert_allclose(result[..., 0], np.broadcast_to(30 * scale, (5, 4, 2)), rtol=1e-4)
    result = outputs(DistributionHead("negative_binomial")(-large, center=0 * center, scale=scale))[0]
    assert (result[..., 0] > 0).all() and (result[..., 0] < 1e-3).all()


@on_tensorflow
@pytest.mark.parametrize("name", FAMILIES)
def test_extreme_outputs_and_values_have_a_finite_gradient(name: str) -> None:
    import tensorflow as tf

    family = get_distribution(name)
    extremes = [[a, b, c][: family.size] for a in (-80.0, 0.0, 80.0) for b in (-80.0, 0.0, 80.0) for c in (-80.0, 80.0)]
    network_outputs = tf.Variable(np.array(extremes, "float32"))
    for value in (0.0, 1.0, 1e4):
        with tf.GradientTape() as tape:
            parameters = family.parameters(network_outputs, tf.zeros(len(extremes)), tf.ones(len(extremes)))
            likelihood = family.log_likelihood(parameters, tf.fill([len(extremes)], value))
        assert np.isfinite(likelihood.numpy()).all()
        assert np.isfinite(tape.gradient(likelihood, network_outputs).numpy()).all()


def test_an_unknown_distribution_is_refused() -> None:
    with pytest.raises(ConfigError, match="normal, student_t, negative_binomial"):
        DistributionHead("gamma")


def distribution(name: str, horizon: int, channels: int = 1) -> ForecastDistribution:
    layer = ForecastDistribution(name, (0.1, 0.5, 0.9))
    layer.build((None, horizon, channels, get_distribution(name).size))
    return layer


def test_scores_are_correlated_over_the_horizon() -> None:
    layer, horizon = distribution("normal", 6, 2), 6
    rho = np.stack([np.sqrt(np.arange(horizon) / (np.arange(horizon) + 1)), [0, 0.5, -0.5, 0.9, 0, 0.2]], axis=-1)
    layer.fit(rho)
    noise = RNG.normal(size=(2, 20_000, horizon, 2)).astype("float32")
    scores = outputs(layer.correlate(noise))[0]
    steps = np.arange(1, horizon + 1)
    walk = np.sqrt(np.minimum.outer(steps, steps) / np.maximum.outer(steps, steps))
    np.testing.assert_allclose(np.corrcoef(scores[0, :, :, 0].T), walk, atol=0.03)
    products = np.eye(horizon)
    for i in range(horizon):
        for j in range(i + 1, horizon):
            products[i, j] = products[j, i] = np.prod(rho[i + 1 : j + 1, 1])
    np.testing.assert_allclose(np.corrcoef(scores[1, :, :, 1].T), products, atol=0.03)
    np.testing.assert_allclose(scores.std(axis=1), 1, atol=0.03)


def test_paths_of_a_single_step() -> None:
    noise = RNG.normal(size=(2, 3, 1, 1)).astype("float32")
    np.testing.assert_array_equal(outputs(distribution("normal", 1).correlate(noise))[0], noise)


@pytest.mark.parametrize(("name", "support"), [("normal", "real"), ("student_t", "positive"), ("normal", "count")])
def test_quantiles_of_paths_are_the_calibrated_ones(name: str, support: str) -> None:
    levels, horizon = (0.05, 0.2, 0.5, 0.8, 0.95), 3
    layer = ForecastDistribution(name, levels)
    parameters = np.array([[[2.0, 1.5, 0.3]], [[5.0, 3.0, 0.1]], [[40.0, 9.0, 0.4]]], "float32")[None]
    parameters = parameters[..., : get_distribution(name).size]
    quantiles = outputs(layer(parameters))[0]
    calibrated = CalibratedQuantiles(2, support)
    calibrated(quantiles)
    calibrated.fit(np.array([1.4, 0.7, 9.0, 1.2, 2.0]) * np.ones((horizon, 1, 1)))
    expected = outputs(calibrated(quantiles))[0]
    at_levels = np.broadcast_to(stats.norm.ppf(levels)[None, :, None, None], (1, len(levels), horizon, 1))
    noise = RNG.normal(size=(1, 4000, horizon, 1))
    scores = keras.ops.convert_to_tensor(np.concatenate([at_levels, noise], axis=1).astype("float32"))
    drawn = layer.quantiles_at(keras.ops.convert_to_tensor(parameters), scores)
    middle = layer.quantiles_at(keras.ops.convert_to_tensor(parameters), 0 * scores[:, :1])
    paths = outputs(calibrated.calibrate(drawn, middle, scores, levels))[0]
    np.testing.assert_allclose(paths[:, : len(levels)], np.moveaxis(expected, -1, 1), rtol=1e-5, atol=1e-5)
    paths = paths[:, len(levels) :]
    for level, found in zip(levels, np.moveaxis(expected, -1, 0), strict=True):
        below, up_to = (paths < found[:, None]).mean(axis=1), (paths <= found[:, None]).mean(axis=1)
        assert (below <= level + 0.03).all() and (up_to >= level - 0.03).all()
    if support != "real":
        assert paths.min() >= 0
    if support == "count":
        np.testing.assert_array_equal(paths, np.round(paths))
