"""Every architecture with covariates: shapes, what is unknown or padded, training, and the look-backs."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import pytest
from keras_help import with_random_weights

from tsattn.models import resolve_options, rules
from tsattn.models.graph import build_graph
from tsattn.training.objective import training_model
from tsattn.window import (
    FUTURE_COVARIATES,
    LENGTH,
    OBSERVED,
    PAST,
    PAST_COVARIATES,
    QUANTILES,
    TARGET,
    TARGET_OBSERVED,
    TARGET_SCALE,
    WindowSpec,
)

SPEC = WindowSpec(12, 5, ("a", "b"), 4, past_covariates=("x", "z"), future_covariates=("x",))
KINDS: dict[str, dict[str, Any]] = {
    "parallel": {"name": "seq2seq", "units": 4, "lookbacks": 1},
    "lookbacks": {"name": "seq2seq", "units": 4, "lookbacks": 2},
    "without copying": {"name": "seq2seq", "units": 4, "copy_heads": 0},
    "joint": {"name": "seq2seq", "units": 4, "channels": "joint"},
    "step by step": {"name": "seq2seq", "units": 4, "decoder": "autoregressive"},
    "ensemble": {"name": "seq2seq", "units": 4, "members": 2},
    "pooling": {"name": "attention_pooling", "units": 4},
}
LENGTHS = np.array([12, 7, 1])


def make(kind: str) -> Any:
    entry, options = resolve_options({"dropout": 0.0, **KINDS[kind]})
    return build_graph(entry, rules.resolve(options, SPEC.season), SPEC)


def batch(padding: float = np.nan) -> dict[str, Any]:
    rng = np.random.default_rng(0)
    valid = np.arange(12)[None, :, None] < LENGTHS[:, None, None]
    observed = (rng.random((3, 12, 2)) < 0.8) & valid
    past_covariates = np.where(valid, rng.normal(size=(3, 12, 2)), padding)
    past_covariates[0, 3, 0] = np.nan
    return {
        PAST: np.where(observed, rng.normal(50, 5, (3, 12, 2)), 0).astype("float32"),
        OBSERVED: observed.astype("float32"),
        LENGTH: LENGTHS.astype("int32"),
        PAST_COVARIATES: past_covariates.astype("float32"),
        FUTURE_COVARIATES: rng.normal(size=(3, 5, 1)).astype("float32"),
    }


def quantiles(model: keras.Model, given: dict[str, Any]) -> Any:
    return keras.ops.convert_to_numpy(model(given)[QUANTILES])


@pytest.mark.parametrize("kind", KINDS)
def test_features_of_padding_are_nothing_and_those_ahead_count(kind: str) -> None:
    model = with_random_weights(make(kind).inference())
    known = quantiles(model, batch())
    assert known.shape == (3, 5, 2, 3) and np.isfinite(known).all()
    assert (np.diff(known, axis=-1) >= 0).all()
    np.testing.assert_allclose(quantiles(model, batch(1e9)), known, rtol=1e-5)
    ahead = batch()
    ahead[FUTURE_COVARIATES][:, 2] += 1
    moved = np.abs(quantiles(model, ahead) - known).max(axis=(0, 2, 3))
    assert moved[2] > 0.01
    before = batch()
    before[PAST_COVARIATES][0, 11, 1] += 1
    assert np.abs(quantiles(model, before) - known)[0].max() > 1e-4
    assert np.abs(quantiles(model, before) - known)[1:].max() == 0


@pytest.mark.parametrize("kind", ["parallel", "step by step", "pooling"])
def test_training_begins_without_an_effect_and_learns_one(kind: str) -> None:
    graph = make(kind)
    model = training_model(graph)
    given = batch()
    # All of the target is what the feature does.
    given[TARGET] = (50 + 20 * given[FUTURE_COVARIATES] * np.ones(2)).astype("float32")
    given |= {TARGET_OBSERVED: np.ones((3, 5, 2), "float32"), TARGET_SCALE: np.full((3, 2), 5, "float32")}
    effect = next(layer for layer in model.layers if layer.name == "covariate_effect")
    assert all(np.abs(weight).max() == 0 for weight in effect.get_weights()[2:])
    model.compile(keras.optimizers.Adam(0.02), jit_compile=False)
    model.optimizer.build(model.trainable_variables)
    losses = model.fit(given, batch_size=3, epochs=30, verbose=0).history["loss"]
    assert losses[-1] < 0.7 * losses[0]
    assert np.abs(effect.get_weights()[2]).max() > 0
