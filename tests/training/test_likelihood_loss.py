"""The likelihood that is trained against SciPy, and what does not count in it."""

from __future__ import annotations

from functools import cache

import keras
import numpy as np
import pytest
from keras_help import outputs
from numpy_reference import Array
from scipy import stats

from tsattn.models import resolve_options
from tsattn.models.forecast_model import ForecastGraph, build_graph
from tsattn.timeseries.windows import (
    LENGTH,
    OBSERVED,
    PARAMETERS,
    PAST,
    TARGET,
    TARGET_OBSERVED,
    TARGET_SCALE,
    WindowSpec,
)
from tsattn.training.trainer import LikelihoodLoss, training_model

HEADS = ("normal", "student_t", "negative_binomial")
SCALES = np.array([[2.0, 5.0]] * 4, "float32")


@cache
def graph(head: str, **options: object) -> ForecastGraph:
    support = "count" if head == "negative_binomial" else "real"
    given = {"name": "seq2seq", "units": 4, "patch_length": 2, "dropout": 0.0, "head": head, **options}
    entry, validated = resolve_options(given)
    return build_graph(entry, validated, WindowSpec(context=8, horizon=5, targets=("a", "b"), support=support))


def batch() -> dict[str, Array]:
    rng = np.random.default_rng(1)
    past, target = (rng.poisson(9, (4, n, 2)).astype("float32") for n in (8, 5))
    observed = (rng.random(target.shape) < 0.7).astype("float32")
    return {
        PAST: past,
        OBSERVED: np.ones_like(past),
        LENGTH: np.full(4, 8, dtype="int32"),
        TARGET: target * observed,
        TARGET_OBSERVED: observed,
        TARGET_SCALE: SCALES,
    }


def likelihood(head: str, parameters: Array, target: Array) -> Array:
    """In units of the data."""
    first, second, *third = np.moveaxis(parameters.astype("float64"), -1, 0)
    if head == "normal":
        return np.asarray(stats.norm.logpdf(target, first, second))
    if head == "student_t":
        return np.asarray(stats.t.logpdf(target, 1 / third[0], first, second))
    return np.asarray(stats.nbinom.logpmf(target, 1 / second, 1 / (1 + first * second)))


@pytest.mark.parametrize("head", HEADS)
def test_it_is_the_mean_negative_log_likelihood_of_what_was_observed(head: str) -> None:
    made, given = graph(head), batch()
    model = training_model(made)
    model(given, training=True)
    loss = float(sum(model.losses))
    window = {name: given[name] for name in (PAST, OBSERVED, LENGTH)}
    parameters = outputs(made.inference()(window)[PARAMETERS])[0]
    seen = given[TARGET_OBSERVED] > 0
    known = likelihood(head, parameters, given[TARGET])
    # Densities are per unit of the series.
    units = 0 if head == "negative_binomial" else np.log(SCALES)[:, None]
    assert loss == pytest.approx(-(known + units)[seen].mean(), rel=1e-4)


@pytest.mark.parametrize("head", HEADS)
def test_in_validation_it_is_half_the_absolute_error_of_the_forecast(head: str) -> None:
    made, given = graph(head, ensemble_size=2), batch()
    model = training_model(made)
    model(given, training=False)
    window = {name: given[name] for name in (PAST, OBSERVED, LENGTH)}
    forecast = outputs(made.inference()(window)["quantiles"])[0][..., made.spec.median]
    seen = given[TARGET_OBSERVED] > 0
    error = np.abs(given[TARGET] - forecast) / SCALES[:, None]
    assert float(sum(model.losses)) == pytest.approx(error[seen].mean() / 2, rel=1e-4)


def test_members_are_trained_one_by_one() -> None:
    rng = np.random.default_rng(0)
    target, observed = rng.normal(size=(3, 4, 1)).astype("float32"), np.ones((3, 4, 1), "float32")
    both = np.abs(rng.normal(size=(3, 2, 4, 1, 2))).astype("float32") + 0.1
    losses = []
    for parameters in (both, both[:, :1], both[:, 1:]):
        layer = LikelihoodLoss("normal")
        layer(keras.ops.convert_to_tensor(parameters), target, observed, np.ones((3, 1, 1), "float32"), training=True)
        losses.append(float(layer.losses[0]))
    assert losses[0] == pytest.approx(np.mean(losses[1:]), rel=1e-5)


@pytest.mark.parametrize("head", HEADS)
def test_missing_targets_do_not_count(head: str) -> None:
    model, given, losses = training_model(graph(head)), batch(), []
    for content in (0.0, 1e6):
        target = np.where(given[TARGET_OBSERVED] > 0, given[TARGET], np.float32(content))
        model({**given, TARGET: target}, training=True)
        losses.append(float(sum(model.losses)))
    assert losses[0] == losses[1]


@pytest.mark.parametrize("head", HEADS)
@pytest.mark.parametrize("value", [0.0, 7.0])
def test_constant_windows_have_a_finite_loss_and_gradient(head: str, value: float) -> None:
    import tensorflow as tf

    model, given = training_model(graph(head)), batch()
    given[PAST], given[TARGET] = np.full_like(given[PAST], value), value * given[TARGET_OBSERVED]
    with tf.GradientTape() as tape:
        model(given, training=True)
        loss = sum(model.losses)
    assert np.isfinite(float(loss))
    for gradient in tape.gradient(loss, [weight.value for weight in model.trainable_variables]):
        assert gradient is None or np.isfinite(tf.convert_to_tensor(gradient).numpy()).all()
