"""Every architecture with covariates: shapes, missing and padded values, training, and context scales."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from typing import Any

import keras
import numpy as np
import pytest
from keras_help import with_random_weights
from small_models import marked

from tsattn.models import resolve_options
from tsattn.models.branches import StaticEmbedding
from tsattn.models.defaults import fill_options
from tsattn.models.forecast_model import build_graph
from tsattn.timeseries.windows import (
    FUTURE_COVARIATES,
    LENGTH,
    OBSERVED,
    PAST,
    PAST_COVARIATES,
    QUANTILES,
    TARGET,
    TARGET_OBSERVED,
    TARGET_SCALE,
    StaticInput,
    WindowSpec,
)
from tsattn.training.trainer import training_model

SPEC = WindowSpec(12, 5, ("a", "b"), 4, past_covariates=("x", "z"), future_covariates=("x",))
STATIC = StaticInput.from_names(("size", "kind", "age"), {"kind": ("mall", "street")})
KINDS: dict[str, dict[str, Any]] = {
    "parallel": {"name": "seq2seq", "units": 4, "context_scales": 1},
    "context_scales": {"name": "seq2seq", "units": 4, "context_scales": 2},
    "without copying": {"name": "seq2seq", "units": 4, "copy_heads": 0},
    "joint": {"name": "seq2seq", "units": 4, "channels": "joint"},
    "step by step": {"name": "seq2seq", "units": 4, "decoder": "autoregressive"},
    "ensemble": {"name": "seq2seq", "units": 4, "ensemble_size": 2},
    "transformer": {"name": "transformer", "units": 4, "heads": 2},
    "transformer step by step": {"name": "transformer", "units": 4, "heads": 2, "decoder": "autoregressive"},
    "pooling": {"name": "attention_pooling", "units": 4},
    "tcn": {"name": "tcn", "units": 4},
    "graph": {"name": "graph_attention", "units": 4, "heads": 2, "adjacency": "both"},
}
FAST = ("parallel", "joint", "step by step", "transformer", "tcn", "graph")
LENGTHS = np.array([12, 7, 1])


def make(kind: str, spec: WindowSpec = SPEC) -> Any:
    entry, options = resolve_options({"dropout": 0.0, **KINDS[kind]})
    return build_graph(entry, fill_options(options, spec.season), spec)


@cache
def model_of(kind: str) -> keras.Model:
    """A model of an architecture with covariates of every kind; no test changes it."""
    graph = make(kind, replace(SPEC, static=STATIC))
    assert graph.static_numbers == ("size", "age")
    model = with_random_weights(graph.inference())
    graph.static_scaling.fit([100.0, 5.0], [20.0, 2.0])
    return model


def static_inputs() -> dict[str, Any]:
    static = {"static_size": [80, 120, np.nan], "static_age": [5, 5, 5], "static_kind": [1, 2, 0]}
    types = {"static_size": "float32", "static_age": "float32", "static_kind": "int32"}
    return {name: np.array(values, types[name]) for name, values in static.items()}


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


@pytest.mark.parametrize("kind", marked(KINDS, FAST))
def test_features_of_padding_are_nothing_and_those_ahead_count(kind: str) -> None:
    model, static = model_of(kind), static_inputs()
    known = quantiles(model, batch() | static)
    assert known.shape == (3, 5, 2, 3) and np.isfinite(known).all()
    assert (np.diff(known, axis=-1) >= 0).all()
    np.testing.assert_allclose(quantiles(model, batch(1e9) | static), known, rtol=1e-5)
    ahead = batch() | static
    ahead[FUTURE_COVARIATES][:, 2] += 1
    moved = np.abs(quantiles(model, ahead) - known).max(axis=(0, 2, 3))
    assert moved[2] > 0.01
    before = batch() | static
    before[PAST_COVARIATES][0, 11, 1] += 1
    moved = np.abs(quantiles(model, before) - known)
    assert moved[0].max() > 1e-4 and moved[1:].max() == 0


@pytest.mark.parametrize("kind", marked(["parallel", "step by step", "pooling"], ["pooling"]))
def test_training_begins_without_an_effect_and_learns_one(kind: str) -> None:
    graph = make(kind)
    model = training_model(graph)
    given = batch()
    # The target is the effect of the feature alone.
    given[TARGET] = (50 + 20 * given[FUTURE_COVARIATES] * np.ones(2)).astype("float32")
    given |= {TARGET_OBSERVED: np.ones((3, 5, 2), "float32"), TARGET_SCALE: np.full((3, 2), 5, "float32")}
    effect = next(layer for layer in model.layers if layer.name == "covariate_effect")
    assert all(np.abs(weight).max() == 0 for weight in effect.get_weights()[2:])
    model.compile(keras.optimizers.Adam(0.02), jit_compile=False)
    model.optimizer.build(model.trainable_variables)
    losses = model.fit(given, batch_size=3, epochs=30, verbose=0).history["loss"]
    assert losses[-1] < 0.7 * losses[0]
    assert np.abs(effect.get_weights()[2]).max() > 0


@pytest.mark.parametrize("kind", marked(KINDS, FAST))
def test_static_covariates_change_the_forecast_of_their_series_alone(kind: str) -> None:
    model, given = model_of(kind), batch() | static_inputs()
    known = quantiles(model, given)
    assert known.shape == (3, 5, 2, 3) and np.isfinite(known).all()
    for name, row, value in (("static_size", 0, 120), ("static_kind", 1, 1), ("static_kind", 2, 2)):
        changed = {**given, name: given[name].copy()}
        changed[name][row] = value
        moved = np.abs(quantiles(model, changed) - known).max(axis=(1, 2, 3))
        assert moved[row] > 1e-4 and np.delete(moved, row).max() == 0
    mean = {**given, "static_size": np.array([80, 120, 100], "float32")}
    np.testing.assert_allclose(quantiles(model, mean), known, rtol=1e-6)


def test_an_embedding_of_categories_learns_what_an_unknown_one_is() -> None:
    layer = StaticEmbedding([3], 4, unknown=0.5, seed=0)
    category = np.full(400, 2, "int32")
    called = keras.ops.convert_to_numpy(layer([category], training=True))
    unknown, known = (keras.ops.convert_to_numpy(layer([np.array([n], "int32")]))[0] for n in (0, 2))
    fraction = np.isclose(called, unknown).all(axis=1).mean()
    assert 0.4 < fraction < 0.6 and (np.isclose(called, unknown) | np.isclose(called, known)).all()
    np.testing.assert_allclose(layer([category])[5], known, rtol=1e-5)
