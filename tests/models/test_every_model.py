"""What every model of the package promises, networks and baselines alike, and the same on JAX."""

from __future__ import annotations

import re
from functools import cache
from typing import Any

import keras
import numpy as np
import pytest
from keras_help import outputs
from numpy_reference import Array
from on_jax import Arrays, run_on_jax
from small_models import ALL, NETWORKS, SPEC, Histories, histories, make_graph, make_model, marked, spread, window

from tsattn.models import BASELINES
from tsattn.timeseries.windows import (
    ATTENTION,
    KEY_STEPS,
    LENGTH,
    OBSERVED,
    PAST,
    QUANTILES,
    QUERY_STEPS,
    TARGET,
    TARGET_OBSERVED,
    TARGET_SCALE,
)
from tsattn.training.trainer import training_model

ON_JAX = (
    "parallel",
    "autoregressive",
    "joint",
    "attention_pooling",
    "context_scales",
    "after_the_cell",
    "tcn",
    "graph",
    "transformer",
    "transformer_autoregressive",
    *BASELINES,
)
TRAINED = ("parallel", "after_the_cell", "transformer_autoregressive")
COPYING = (
    "parallel",
    "stepwise",
    "joint",
    "ensemble",
    "context_scales",
    "residual_branches",
    "joint_lookbacks_of_an_ensemble",
    "transformer",
    "tcn",
)
OVER_A_GRAPH = ("graph", "graph_lookbacks", "graph_diffusion")
WITHOUT_ATTENTION = ("no_attention", "joint_tcn_step_by_step", "without_a_graph", *OVER_A_GRAPH)

GIVEN = histories([1, 2, 4, 7, 10, 10])


@pytest.fixture(scope="module")
def on_jax() -> Arrays:
    """Forecasts and trainings on JAX."""
    return run_on_jax(__file__, "figures", {"forecast": np.array(ON_JAX), "trained": np.array(TRAINED)})


def call(model: keras.Model, given: dict[str, Array]) -> dict[str, Array]:
    return dict(zip(sorted(model.output), outputs(model(given)), strict=True))


@cache
def shared_model(name: str) -> keras.Model:
    """A model that no test changes."""
    return make_model(name)


@cache
def forecast(name: str) -> Array:
    """Its quantiles for `GIVEN`."""
    return quantiles(shared_model(name), GIVEN)


def quantiles(model: keras.Model, given: Histories) -> Array:
    return call(model, window(given))[QUANTILES]


def figures(arrays: dict[str, Any]) -> dict[str, Any]:
    """Forecasts of all models, and the losses of a short training of each kind of network."""
    import jax

    given, made = window(GIVEN), {}
    for name in map(str, arrays["forecast"]):
        # Jitted because JAX compiles one operation after the other else, which takes longer.
        made[name] = np.asarray(jax.jit(make_model(name))(given)[QUANTILES])
    return {**made, **{f"loss/{name}": losses(name) for name in map(str, arrays["trained"])}}


def losses(name: str) -> Array:
    """Losses of some steps of training on the same batch."""
    rng = np.random.default_rng(0)
    batch = window(histories([10] * 8))
    batch[TARGET] = (50 + 10 * rng.normal(size=(8, SPEC.horizon, 2))).astype("float32")
    batch[TARGET_OBSERVED] = np.ones_like(batch[TARGET])
    batch[TARGET_SCALE] = np.full((8, 2), 10, dtype="float32")
    model = training_model(make_graph({**NETWORKS[name], "dropout": 0.0}))
    # On JAX it is the jit of the whole step, on TensorFlow XLA, which only takes longer to start.
    model.compile(keras.optimizers.Adam(0.01), jit_compile=keras.backend.backend() == "jax")
    model.optimizer.build(model.trainable_variables)
    return np.array(model.fit(batch, batch_size=8, epochs=8, verbose=0, shuffle=False).history["loss"])


@pytest.mark.parametrize("name", marked(ALL))
def test_padding_and_gaps_never_change_a_forecast(name: str) -> None:
    model, known, scale = shared_model(name), forecast(name), spread(GIVEN)
    assert np.isfinite(known).all()
    # One call for all, side by side in a batch, because most of the time goes into calls.
    contents = (np.nan, np.inf, 1e30, -7.0)
    windows = [window(GIVEN, content=content) for content in contents]
    together = call(model, {key: np.concatenate([each[key] for each in windows]) for key in windows[0]})[QUANTILES]
    for content, result in zip(contents, np.split(together, len(contents)), strict=True):
        assert (np.abs(result - known) / scale).max() <= 1e-5, content


@pytest.mark.parametrize("name", marked(ALL))
def test_a_history_alone_gives_what_it_gives_in_a_batch(name: str) -> None:
    model, known, scale = shared_model(name), forecast(name), spread(GIVEN)
    for row, history in enumerate(GIVEN.rows()):
        alone = quantiles(model, Histories(history[None], GIVEN.length[row : row + 1]))
        assert np.abs((alone[0] - known[row]) / scale[row]).max() <= 1e-5


@pytest.mark.parametrize("name", marked(ALL))
def test_what_lies_before_the_context_is_never_seen(name: str) -> None:
    model, longer = shared_model(name), histories([16, 13])
    cut = Histories(np.stack([row[-SPEC.context :] for row in longer.rows()]), np.array([10, 10], dtype="int32"))
    np.testing.assert_array_equal(quantiles(model, longer), quantiles(model, cut))


@pytest.mark.parametrize("name", marked(ALL))
def test_quantiles_ascend_and_have_the_shape_of_the_contract(name: str) -> None:
    result = forecast(name)
    assert result.shape == (6, SPEC.horizon, 2, len(SPEC.levels))
    assert (np.diff(result, axis=-1) >= 0).all()


@pytest.mark.parametrize("name", marked(ALL))
def test_channels_are_independent_unless_they_are_joint_or_nodes(name: str) -> None:
    model, known = shared_model(name), forecast(name)
    changed = Histories(GIVEN.past.copy(), GIVEN.length)
    changed.past[:, :, 1] = 1000 - 3 * GIVEN.past[::-1, :, 1]
    result = quantiles(model, changed)
    if name.startswith("joint") or name in OVER_A_GRAPH:
        assert not np.allclose(result[:, :, 0], known[:, :, 0])
    else:
        np.testing.assert_allclose(result[:, :, 0], known[:, :, 0], rtol=0, atol=1e-5 * spread(GIVEN)[..., 0, :].max())
    assert not np.allclose(result[-1, :, 1], known[-1, :, 1])


@pytest.mark.parametrize("name", marked(ALL))
def test_a_history_with_nothing_observed_has_a_finite_forecast(name: str) -> None:
    given = window(GIVEN)
    for row in (0, 4):
        given[PAST][row], given[OBSERVED][row] = 0, 0
    given[LENGTH][0] = 0
    result = call(shared_model(name), given)[QUANTILES]
    assert np.isfinite(result).all()
    rest = [1, 2, 3, 5]
    np.testing.assert_allclose(result[rest], forecast(name)[rest], rtol=1e-5)


@pytest.mark.parametrize("name", marked(name for name in NETWORKS if name not in WITHOUT_ATTENTION))
def test_attention_is_returned_with_the_steps_of_its_queries_and_keys(name: str) -> None:
    result = call(shared_model(name), window(GIVEN))
    attention, keys, queries = result[ATTENTION], result[KEY_STEPS], result[QUERY_STEPS]
    heads = 4 if name in COPYING else NETWORKS[name].get("heads", 1)
    assert attention.shape[1:3] == (1 if name.startswith("joint") else 2, heads)
    assert attention.shape[3:] == (queries.shape[1], keys.shape[1])
    if NETWORKS[name].get("alignment") in ("local", "monotonic"):
        assert (attention.sum(-1) < 1 + 1e-5).all()
    else:
        np.testing.assert_allclose(attention.sum(-1), 1, atol=1e-5)
    valid = keys[:, :, 0] >= 0
    assert (attention[np.broadcast_to(~valid[:, None, None, None], attention.shape)] == 0).all()
    for row, length in enumerate(GIVEN.length):
        steps = [step for first, last in keys[row][valid[row]] for step in range(first, last + 1)]
        assert steps == list(range(length)), "the keys cover the history, each step once and in order"
        ahead = [step for first, last in queries[row] for step in range(first, last + 1)]
        assert ahead == list(range(SPEC.horizon))


@pytest.mark.parametrize("name", marked(WITHOUT_ATTENTION))
def test_models_without_attention_return_none(name: str) -> None:
    assert set(shared_model(name).output) == {QUANTILES}


@pytest.mark.parametrize("name", marked(ALL, ["after_the_cell", "graph", *BASELINES]))
def test_a_saved_model_forecasts_the_same(name: str, tmp_path: Any) -> None:
    shared_model(name).save(tmp_path / "model.keras")
    again = keras.saving.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(quantiles(again, GIVEN), forecast(name))


@pytest.mark.slow
def test_jax_forecasts_the_same(on_jax: Arrays) -> None:
    for name in ON_JAX:
        error = np.abs(on_jax[name] - forecast(name)) / spread(GIVEN)
        assert error.max() <= 1e-5, name


@pytest.mark.slow
@pytest.mark.parametrize("name", TRAINED)
def test_jax_trains_like_tensorflow(name: str, on_jax: Arrays) -> None:
    jax_losses, known = on_jax[f"loss/{name}"], losses(name)
    assert jax_losses[-1] < 0.9 * jax_losses[0]
    # The first loss is that of the same weights; rounding grows in the steps that follow.
    np.testing.assert_allclose(jax_losses[0], known[0], rtol=1e-5)
    np.testing.assert_allclose(jax_losses, known, rtol=1e-3)


def by_path(layer: Any) -> dict[str, Any]:
    """Weights by their paths, without the numbers that Keras appends to repeated layer names."""
    return {re.sub(r"_\d+(?=/)", "", weight.path): weight for weight in layer.weights}


def uncalibrated(*models: keras.Model) -> None:
    """Take the calibration away: of levels that it keeps from crossing a mean is not that of the members."""
    for model in models:
        layer = model.get_layer("calibrated_quantiles")
        layer.fit(np.ones(layer.factors.shape))


def test_an_ensemble_forecasts_the_mean_of_its_members() -> None:
    ensemble, single = (make_graph(NETWORKS[name]).inference() for name in ("ensemble", "parallel"))
    uncalibrated(ensemble)
    given, parts = window(GIVEN), []
    for member in range(2):
        known = {**by_path(ensemble), **by_path(ensemble.get_layer(f"member_{member}"))}
        for path, weight in by_path(single).items():
            weight.assign(known[path])
        parts.append(call(single, given))
    together = call(ensemble, given)
    for output in (QUANTILES, ATTENTION):
        mean = np.mean([part[output] for part in parts], axis=0)
        np.testing.assert_allclose(together[output], mean, rtol=1e-5, atol=1e-4)
    assert np.abs(parts[0][QUANTILES] - parts[1][QUANTILES]).max() > 0.1


@pytest.mark.parametrize("name", marked(["context_scales", "pooling_lookbacks", "tcn_pooling"], ["context_scales"]))
def test_context_scales_forecast_the_mean_of_whole_and_shorter_histories(name: str) -> None:
    several = make_model(name)
    alone = make_graph({**NETWORKS[name], "context_scales": 1}).inference()
    uncalibrated(several, alone)
    whole = call(alone, window(GIVEN))
    short = np.minimum(GIVEN.length, SPEC.context // 2)
    recent = [row[len(row) - keep :] for row, keep in zip(GIVEN.rows(), short, strict=True)]
    padded = np.stack([np.pad(row, ((0, SPEC.context - len(row)), (0, 0))) for row in recent])
    half = call(alone, window(Histories(padded, short.astype("int32"))))
    together = call(several, window(GIVEN))
    mean = (whole[QUANTILES] + half[QUANTILES]) / 2
    np.testing.assert_allclose(together[QUANTILES], mean, rtol=1e-5, atol=1e-4)
    assert np.abs(whole[QUANTILES] - half[QUANTILES]).max() > 0.1
    for row, keys in enumerate(whole[KEY_STEPS]):
        count, short_count = (int((steps[:, 0] >= 0).sum()) for steps in (keys, half[KEY_STEPS][row]))
        expected = whole[ATTENTION][row].copy()
        # The shorter history's last key ends where the whole one's does.
        expected[..., count - short_count : count] += half[ATTENTION][row][..., :short_count]
        np.testing.assert_allclose(together[ATTENTION][row], expected / 2, atol=1e-5)
        np.testing.assert_array_equal(together[KEY_STEPS][row], keys)
