"""Distributions against SciPy; calibrated paths against NumPy."""

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

ROWS = 20_000
RNG = np.random.default_rng(0)
LEVELS = (0.001, 0.05, 0.5, 0.9, 0.999)


def between(low: float, high: float, count: int = ROWS) -> Array:
    """Figures drawn evenly by their logarithm."""
    return np.exp(RNG.uniform(np.log(low), np.log(high), count)).astype("float32")


def counts(mean: Array, dispersion: Array) -> Any:
    r = 1 / dispersion.astype("float64")
    return stats.nbinom(r, 1 / (1 + dispersion.astype("float64") * mean))


MEAN, DISPERSION = between(0.05, 1e5), 1 / between(0.05, 1e3)
LOCATION, SCALE = RNG.normal(0, 9, ROWS).astype("float32"), between(1e-3, 1e3)
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
def test_the_likelihood_is_that_of_scipy(name: str) -> None:
    known = FAMILIES[name][1]
    values = known.rvs(random_state=1).astype("float32")
    made = outputs(get_distribution(name).log_likelihood(stacked(name), values))[0]
    expected = (known.logpmf if name == "negative_binomial" else known.logpdf)(values.astype("float64"))
    np.testing.assert_allclose(made, expected, rtol=1e-5, atol=5e-5)


@pytest.mark.parametrize("name", ["normal", "student_t"])
def test_quantiles_are_those_of_scipy(name: str) -> None:
    parameters, known = FAMILIES[name]
    for level in LEVELS:
        score = np.float32(stats.norm.ppf(level))
        made = outputs(get_distribution(name).quantiles(stacked(name), score))[0]
        apart = (made - parameters[0].astype("float64")) / parameters[1]
        expected = (known.ppf(stats.norm.cdf(np.float64(score))) - parameters[0]) / parameters[1]
        # What the location takes of the digits of float32 is no matter of the quantile.
        rounding = 1e-6 * (1 + np.abs(parameters[0]) / parameters[1])
        assert (np.abs(apart - expected) <= 1e-5 * np.abs(expected) + rounding).all()


def test_the_quantiles_of_student_s_t_are_right_to_five_digits_far_out_too() -> None:
    scores = RNG.uniform(-6, 6, ROWS).astype("float32")
    standard = np.stack([np.zeros(ROWS), np.ones(ROWS), INVERSE], axis=-1).astype("float32")
    made = outputs(get_distribution("student_t").quantiles(keras.ops.convert_to_tensor(standard), scores))[0]
    exact = stats.t.isf(stats.norm.sf(np.abs(scores.astype("float64"))), 1 / INVERSE.astype("float64"))
    np.testing.assert_allclose(made, np.sign(scores) * exact, rtol=1e-5)


def test_the_probability_of_counts_is_that_of_scipy() -> None:
    known = FAMILIES["negative_binomial"][1]
    values = known.ppf(RNG.uniform(1e-3, 1 - 1e-3, ROWS))
    made = outputs(cumulative_probability(values.astype("float32"), MEAN, DISPERSION))[0]
    np.testing.assert_allclose(made, known.cdf(values), atol=5e-5)


@pytest.mark.parametrize("level", LEVELS)
def test_quantiles_of_counts_are_those_of_scipy_but_for_a_level_at_a_step(level: float) -> None:
    known = FAMILIES["negative_binomial"][1]
    score = np.float32(stats.norm.ppf(level))
    made = outputs(get_distribution("negative_binomial").quantiles(stacked("negative_binomial"), score))[0]
    assert (made == np.round(made)).all() and (made >= 0).all()
    # Where they differ, the level is reached to within what the probability is right to.
    assert (known.cdf(made - 1) <= level + 5e-5).all()
    assert (known.cdf(made) >= level - 5e-5).all()
    if 0.01 < level < 0.99:
        assert (made != known.ppf(level))[made < 1000].mean() < 1e-3


@pytest.mark.parametrize("mean", [0.3, 20.0])
def test_counts_of_no_dispersion_are_nearly_poisson(mean: float) -> None:
    head = DistributionHead("negative_binomial")
    numbers = np.array([[[[mean, -50.0]]]], "float32")
    parameters = outputs(head(numbers, center=np.zeros((1, 1, 1), "float32"), scale=np.ones((1, 1, 1), "float32")))[0]
    fewest = stats.poisson(parameters[0, 0, 0, 0])
    family = get_distribution("negative_binomial")
    some = np.arange(0, 3 * int(mean) + 4, dtype="float32")
    likelihood = outputs(family.log_likelihood(keras.ops.convert_to_tensor(parameters[0, 0, 0]), some))[0]
    near = np.abs(some - mean) < 3 * np.sqrt(mean)
    np.testing.assert_allclose(likelihood[near], fewest.logpmf(some)[near], atol=0.03)


def test_parameters_follow_the_units_of_the_data() -> None:
    numbers = RNG.normal(size=(5, 4, 2, 3)).astype("float32")
    center = RNG.normal(size=(5, 1, 2)).astype("float32")
    scale = between(0.1, 10, 10).reshape(5, 1, 2)
    for name, size in (("normal", 2), ("student_t", 3)):
        head = DistributionHead(name)
        scaled = outputs(head(numbers[..., :size]))[0]
        made = outputs(head(numbers[..., :size], center=center, scale=scale))[0]
        np.testing.assert_allclose(made[..., 0], numbers[..., 0] * scale + center, rtol=1e-5, atol=1e-5)
        np.testing.assert_allclose(made[..., 1], scaled[..., 1] * scale, rtol=1e-5)
        assert (scaled[..., 1] > 0).all()
        if name == "student_t":
            assert (1 / made[..., 2] > 2).all()
    # Far above 0 the mean of counts is the number brought back, and else it is what is left above 0.
    many = np.stack([np.full((5, 4, 2), 30.0), numbers[..., 1]], axis=-1).astype("float32")
    made = outputs(DistributionHead("negative_binomial")(many, center=0 * center, scale=scale))[0]
    np.testing.assert_allclose(made[..., 0], np.broadcast_to(30 * scale, (5, 4, 2)), rtol=1e-4)
    made = outputs(DistributionHead("negative_binomial")(-many, center=0 * center, scale=scale))[0]
    assert (made[..., 0] > 0).all() and (made[..., 0] < 1e-3).all()


@on_tensorflow
@pytest.mark.parametrize("name", FAMILIES)
def test_extreme_numbers_and_values_have_a_gradient(name: str) -> None:
    import tensorflow as tf

    family = get_distribution(name)
    free = [[a, b, c][: family.size] for a in (-80.0, 0.0, 80.0) for b in (-80.0, 0.0, 80.0) for c in (-80.0, 80.0)]
    numbers = tf.Variable(np.array(free, "float32"))
    for value in (0.0, 1.0, 1e4):
        with tf.GradientTape() as tape:
            parameters = family.parameters(numbers, tf.zeros(len(free)), tf.ones(len(free)))
            likelihood = family.log_likelihood(parameters, tf.fill([len(free)], value))
        assert np.isfinite(likelihood.numpy()).all()
        assert np.isfinite(tape.gradient(likelihood, numbers).numpy()).all()


def test_a_distribution_that_is_not_there_is_told() -> None:
    with pytest.raises(ConfigError, match="normal, student_t, negative_binomial"):
        DistributionHead("gamma")


def distribution(name: str, horizon: int, channels: int = 1) -> ForecastDistribution:
    layer = ForecastDistribution(name, (0.1, 0.5, 0.9))
    layer.build((None, horizon, channels, get_distribution(name).size))
    return layer


def test_scores_go_on_from_step_to_step() -> None:
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


def test_a_horizon_of_one_step_has_paths() -> None:
    noise = RNG.normal(size=(2, 3, 1, 1)).astype("float32")
    np.testing.assert_array_equal(outputs(distribution("normal", 1).correlate(noise))[0], noise)


@pytest.mark.parametrize(("name", "support"), [("normal", "real"), ("student_t", "positive"), ("normal", "count")])
def test_paths_have_the_calibrated_quantiles(name: str, support: str) -> None:
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
