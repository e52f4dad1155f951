"""Networks that forecast a distribution, whatever their architecture; and that others are as they were."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import keras
import numpy as np
import pytest
from keras_help import outputs
from numpy_reference import Array
from scipy import stats
from small_models import NETWORKS, SPEC, make_graph

from tsattn.layers import SortedQuantiles
from tsattn.models.forecast_model import DISTRIBUTION_LAYER, architecture_window, can_sample, sample_paths
from tsattn.models.options import NetworkOptions
from tsattn.timeseries.windows import (
    FUTURE_COVARIATES,
    LENGTH,
    OBSERVED,
    PARAMETERS,
    PAST,
    PAST_COVARIATES,
    QUANTILES,
)
from tsattn.training.trainer import ForecastLoss, training_model

HEADS = ("normal", "student_t", "negative_binomial")
MORE = (
    "tcn",
    "joint_lookbacks_of_an_ensemble",
    "parallel",
    "autoregressive",
    "joint_autoregressive",
    "joint_transformer",
    "transformer",
    "attention_pooling",
    "graph",
)


def windows(rows: int = 3) -> dict[str, Array]:
    rng = np.random.default_rng(0)
    length = np.array([10, 7, 1][:rows], "int32")
    seen = (np.arange(10) < length[:, None])[..., None] & (rng.random((rows, 10, 2)) < 0.9)
    past = np.where(seen, rng.poisson(6, (rows, 10, 2)), 0).astype("float32")
    return {PAST: past, OBSERVED: seen.astype("float32"), LENGTH: length}


def spec_of(head: str) -> Any:
    return replace(SPEC, support="count") if head == "negative_binomial" else SPEC


@pytest.mark.parametrize(
    ("name", "head"),
    [
        *(("context_scales", head) for head in HEADS),
        # The location and scale of a normal distribution are those of Student's t.
        *(pytest.param(name, head, marks=pytest.mark.slow) for name in MORE for head in HEADS[1:]),
    ],
)
def test_every_architecture_forecasts_a_distribution(name: str, head: str) -> None:
    model = make_graph({**NETWORKS[name], "head": head}, spec_of(head)).inference()
    for weight in model.get_layer("calibrated_quantiles").weights:
        weight.assign(np.ones(weight.shape))
    made = dict(zip(sorted(model.output), outputs(model(windows())), strict=True))
    quantiles, parameters = made[QUANTILES], made[PARAMETERS].astype("float64")
    assert quantiles.shape == (3, SPEC.horizon, 2, 4) and np.isfinite(quantiles).all()
    assert (np.diff(quantiles, axis=-1) >= 0).all()
    first, second, *third = (parameters[..., i, None] for i in range(parameters.shape[-1]))
    if head == "negative_binomial":
        known = stats.nbinom(1 / second, 1 / (1 + first * second))
        assert (known.cdf(quantiles - 1) <= np.array(SPEC.levels) + 1e-4).all()
        assert (known.cdf(quantiles) >= np.array(SPEC.levels) - 1e-4).all()
    else:
        family = stats.norm if head == "normal" else stats.t(1 / third[0])
        np.testing.assert_allclose(quantiles, first + second * family.ppf(SPEC.levels), rtol=1e-4, atol=1e-4)


def test_quantiles_are_as_they_were() -> None:
    graph = make_graph(NETWORKS["parallel"])
    model = graph.inference()
    assert architecture_window(SPEC, NetworkOptions()) is SPEC
    assert not can_sample(model) and PARAMETERS not in model.output
    assert DISTRIBUTION_LAYER not in {layer.name for layer in model.layers}
    assert any(isinstance(layer, SortedQuantiles) for layer in model.layers)
    assert isinstance(training_model(graph).get_layer("loss"), ForecastLoss)


def test_the_parameters_of_ensemble_members_are_averaged() -> None:
    graph = make_graph({"name": "seq2seq", "head": "normal", "ensemble_size": 2})
    members = keras.Model(graph.inputs, graph.parameters()[0])
    one, other = outputs(members(windows()))
    assert not np.allclose(one, other)
    found = outputs(graph.inference()(windows())[PARAMETERS])[0]
    np.testing.assert_allclose(found, (one + other) / 2, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("head", ["normal", "student_t"])
def test_future_covariates_move_the_location_alone(head: str) -> None:
    spec = replace(SPEC, past_covariates=("x",), future_covariates=("x",))
    # Without copy attention the architecture reads the unchanged history and features only.
    graph = make_graph({"name": "attention_pooling", "patch_length": 3, "head": head}, spec)
    model = graph.inference()
    rng = np.random.default_rng(3)
    given = {**windows(), PAST_COVARIATES: rng.normal(size=(3, 10, 1)), FUTURE_COVARIATES: rng.normal(size=(3, 7, 1))}
    given = {key: x if x.dtype.kind == "i" else x.astype("float32") for key, x in given.items()}
    moved = {**given, FUTURE_COVARIATES: given[FUTURE_COVARIATES] + np.float32(1)}
    before, after = (outputs(model(x)[PARAMETERS])[0] for x in (given, moved))
    assert not np.allclose(before[..., 0], after[..., 0])
    np.testing.assert_allclose(before[..., 1:], after[..., 1:], rtol=1e-5)


@pytest.mark.parametrize("head", ["normal", *(pytest.param(head, marks=pytest.mark.slow) for head in HEADS[1:])])
def test_sample_paths_have_the_quantiles_of_the_model(head: str) -> None:
    model = make_graph({"name": "seq2seq", "head": head}, spec_of(head)).inference()
    model.get_layer("calibrated_quantiles").fit(np.broadcast_to([1.5, 1.0, 0.5, 0.8], (SPEC.horizon, 2, 4)))
    noise = np.random.default_rng(0).normal(size=(3, 1500, SPEC.horizon, 2)).astype("float32")
    drawn = outputs(sample_paths(model, windows(), keras.ops.convert_to_tensor(noise)))[0]
    quantiles = outputs(model(windows())[QUANTILES])[0]
    assert drawn.shape == noise.shape
    for level, found in zip(SPEC.levels, np.moveaxis(quantiles, -1, 0), strict=True):
        assert ((drawn < found[:, None]).mean(axis=1) <= level + 0.05).all()
        assert ((drawn <= found[:, None]).mean(axis=1) >= level - 0.05).all()
    if head == "negative_binomial":
        np.testing.assert_array_equal(drawn, np.round(drawn))
