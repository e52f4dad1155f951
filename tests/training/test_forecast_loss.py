"""The training loss against scikit-learn, and what does not count in it."""

from __future__ import annotations

import keras
import numpy as np
import pytest
from numpy_reference import Array
from sklearn.metrics import mean_pinball_loss

from tsattn.models import resolve_options
from tsattn.models.forecast_model import ForecastGraph, build_graph
from tsattn.timeseries.windows import LENGTH, OBSERVED, PAST, TARGET, TARGET_OBSERVED, TARGET_SCALE, WindowSpec
from tsattn.training.trainer import ForecastLoss, training_model

LEVELS = (0.1, 0.5, 0.9)
SHAPE = (4, 5, 2)


WEIGHT = np.random.default_rng(2).uniform(0.1, 3, (4, 1, 2)).astype("float32")


def loss_of(
    quantiles: Array,
    target: Array,
    observed: Array,
    weight: Array = WEIGHT,
    *,
    training: bool = True,
    squared: bool = False,
) -> float:
    layer = ForecastLoss(LEVELS, squared)
    layer(quantiles[:, None], target, observed, weight, training=training)
    return float(layer.losses[0])


def drawn() -> tuple[Array, Array, Array]:
    rng = np.random.default_rng(0)
    observed = (rng.random(SHAPE) < 0.7).astype("float32")
    return rng.normal(size=(*SHAPE, 3)).astype("float32"), rng.normal(size=SHAPE).astype("float32"), observed


def test_it_is_the_mean_pinball_loss_of_what_was_observed() -> None:
    quantiles, target, observed = drawn()
    seen = observed > 0
    known = np.mean(
        [mean_pinball_loss(target[seen], quantiles[..., i][seen], alpha=level) for i, level in enumerate(LEVELS)]
    )
    assert loss_of(quantiles, target, observed, np.ones_like(WEIGHT)) == pytest.approx(known, rel=1e-5)


def test_in_validation_it_is_the_pinball_loss_of_the_median_alone() -> None:
    quantiles, target, observed = drawn()
    seen = observed > 0
    known = np.mean(np.abs(target - quantiles[..., 1])[seen]) / 2
    assert loss_of(quantiles, target, observed, np.ones_like(WEIGHT), training=False) == pytest.approx(known, rel=1e-5)


def test_the_forecast_may_have_the_squared_error() -> None:
    quantiles, target, observed = drawn()
    by_series = np.broadcast_to(WEIGHT, SHAPE)[observed > 0]
    error = ((target - quantiles[..., 1])[observed > 0] * by_series) ** 2 / 2
    alone = loss_of(quantiles, target, observed, training=False, squared=True)
    assert alone == pytest.approx(error.mean(), rel=1e-5)
    tails = loss_of(quantiles, target, observed) - loss_of(quantiles, target, observed, training=False) / 3
    assert loss_of(quantiles, target, observed, squared=True) == pytest.approx(alone / 3 + tails, rel=1e-5)


def test_members_are_trained_one_by_one_and_validated_together() -> None:
    quantiles, target, observed = drawn()
    others = np.random.default_rng(5).normal(size=quantiles.shape).astype("float32")
    both = np.stack([quantiles, others], axis=1)
    layer = ForecastLoss(LEVELS)
    layer(both, target, observed, WEIGHT, training=True)
    alone = [loss_of(each, target, observed) for each in (quantiles, others)]
    assert float(layer.losses[0]) == pytest.approx(np.mean(alone), rel=1e-5)
    layer(both, target, observed, WEIGHT, training=False)
    together = loss_of((quantiles + others) / 2, target, observed, training=False)
    assert float(layer.losses[0]) == pytest.approx(together, rel=1e-5)


def test_each_window_and_channel_counts_by_its_weight() -> None:
    quantiles, target, observed = drawn()
    total = np.zeros(SHAPE[0])
    for row, step, channel in np.ndindex(*SHAPE):
        if observed[row, step, channel]:
            error = target[row, step, channel] - quantiles[row, step, channel]
            pinball = [level * e if e > 0 else (level - 1) * e for level, e in zip(LEVELS, error, strict=True)]
            total[row] += np.mean(pinball) * WEIGHT[row, 0, channel]
    # The mean is over what was observed, not over the weights: a window of small errors is to count little.
    assert loss_of(quantiles, target, observed) == pytest.approx(total.sum() / observed.sum(), rel=1e-5)
    by_window = keras.ops.convert_to_numpy(
        ForecastLoss(LEVELS)(quantiles[:, None], target, observed, WEIGHT, training=True)
    )
    np.testing.assert_allclose(by_window, total, rtol=1e-5)


def test_missing_targets_do_not_count() -> None:
    quantiles, target, observed = drawn()
    known = loss_of(quantiles, target, observed)
    changed = np.where(observed > 0, target, 1e6).astype("float32")
    assert loss_of(quantiles, changed, observed) == pytest.approx(known, rel=1e-6)
    assert loss_of(quantiles, target, np.zeros(SHAPE, "float32")) == 0


def graph() -> ForecastGraph:
    entry, options = resolve_options({"name": "seq2seq", "units": 4, "patch_length": 2, "dropout": 0.0})
    return build_graph(entry, options, WindowSpec(context=8, horizon=5, targets=("a", "b"), levels=LEVELS))


def batch(factor: float = 1.0) -> dict[str, Array]:
    """Windows of four series with scales of their own."""
    rng = np.random.default_rng(1)
    past, target = (np.float32(factor) * (9 + rng.normal(size=(4, n, 2))).astype("float32") for n in (8, 5))
    observed = np.ones_like(past)
    target_observed = drawn()[2]
    return {
        PAST: past,
        OBSERVED: observed,
        LENGTH: np.full(4, 8, dtype="int32"),
        TARGET: target * target_observed,
        TARGET_OBSERVED: target_observed,
        TARGET_SCALE: np.float32(factor) * WEIGHT[:, 0],
    }


def test_the_loss_is_that_of_the_forecast_over_the_scale_of_its_series() -> None:
    made = graph()
    given = batch()
    model = training_model(made)
    model(given, training=True)
    loss = float(sum(model.losses))
    window = {name: given[name] for name in (PAST, OBSERVED, LENGTH)}
    quantiles = keras.ops.convert_to_numpy(made.inference()(window)["quantiles"])
    scale = given[TARGET_SCALE][:, None]
    seen = given[TARGET_OBSERVED] > 0
    known = np.mean(
        [
            mean_pinball_loss((given[TARGET] / scale)[seen], (quantiles[..., i] / scale)[seen], alpha=level)
            for i, level in enumerate(LEVELS)
        ]
    )
    assert loss == pytest.approx(known, rel=1e-4)


def test_large_series_do_not_dominate() -> None:
    model = training_model(graph())
    losses = []
    for factor in (1.0, 1e4):
        model(batch(factor))
        losses.append(float(sum(model.losses)))
    assert losses[1] == pytest.approx(losses[0], rel=1e-4)


def test_what_was_not_observed_has_no_gradient() -> None:
    import tensorflow as tf

    model, given = training_model(graph()), batch()
    changed = {**given, TARGET: np.where(given[TARGET_OBSERVED] > 0, given[TARGET], 1e4).astype("float32")}
    gradients = []
    for inputs in (given, changed):
        with tf.GradientTape() as tape:
            model(inputs, training=True)
            loss = sum(model.losses)
        gradients.append(tape.gradient(loss, [weight.value for weight in model.trainable_variables]))
    for one, other in zip(*gradients, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-6)
        assert np.isfinite(one).all()


@pytest.mark.parametrize("levels", [(0.1, 0.5, 0.9), (0.5, 0.8, 0.95)])
def test_the_tails_move_neither_the_median_nor_the_features(levels: tuple[float, ...]) -> None:
    import tensorflow as tf

    spec = WindowSpec(context=8, horizon=5, targets=("a", "b"), levels=levels)
    entry, options = resolve_options({"name": "seq2seq", "units": 4, "patch_length": 2, "dropout": 0.0})
    made, given = build_graph(entry, options, spec), batch()
    (scaled,), _ = made.scaled_quantiles()
    model = keras.Model(made.inputs, scaled)
    window, median = {name: given[name] for name in (PAST, OBSERVED, LENGTH)}, levels.index(0.5)
    with tf.GradientTape(persistent=True) as tape:
        quantiles = model(window)
        parts = [tf.reduce_sum(quantiles[..., i]) for i in range(len(levels))]
    for i, part in enumerate(parts):
        moved = {
            weight.path
            for weight in model.trainable_variables
            if (found := tape.gradient(part, weight.value)) is not None and np.abs(found).max() > 0
        }
        if i == median:
            assert any("encoder" in path for path in moved)
        else:
            assert moved
            assert all("head" in path for path in moved)
