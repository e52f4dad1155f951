"""A network and exponential smoothings in one model."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import keras
import numpy as np
import pytest
from keras_help import with_random_weights
from small_models import SPEC

from tsattn.models import resolve_options
from tsattn.models.combination import (
    COMBINATION_LAYER,
    combine_with_zero_shot,
    combined_window,
    get_methods,
    get_network,
)
from tsattn.models.defaults import fill_options
from tsattn.models.forecast_model import build_graph
from tsattn.pretrained.zero_shot import forecast_series
from tsattn.timeseries.windows import (
    ATTENTION,
    KEY_STEPS,
    LENGTH,
    OBSERVED,
    PAST,
    PAST_COVARIATES,
    QUANTILES,
    WEIGHTS,
)

LENGTHS = np.array([288, 60, 7, 1], dtype="int32")
WEIGHT = np.linspace(0.9, 0.2, SPEC.horizon)


@pytest.fixture(scope="module")
def network() -> keras.Model:
    entry, options = resolve_options({"name": "seq2seq", "units": 8})
    return with_random_weights(build_graph(entry, fill_options(options, SPEC.season), SPEC).inference())


@pytest.fixture(scope="module")
def model(network: keras.Model) -> keras.Model:
    return combine_with_zero_shot(network, SPEC, (4,), WEIGHT)


@pytest.fixture(scope="module")
def window(model: keras.Model) -> dict[str, np.ndarray]:
    context = model.input[PAST].shape[1]
    rng = np.random.default_rng(0)
    valid = (np.arange(context) < np.minimum(LENGTHS, context)[:, None])[:, :, None]
    past = np.where(valid, 20 + rng.normal(size=(len(LENGTHS), context, 2)), 0).astype("float32")
    return {PAST: past, OBSERVED: np.broadcast_to(valid, past.shape).astype("float32"), LENGTH: LENGTHS}


def test_forecast_is_the_weighted_sum(model: keras.Model, network: keras.Model, window: dict[str, np.ndarray]) -> None:
    assert model.input[PAST].shape[1] == combined_window(SPEC, (4,)).context == 288
    made = {name: np.asarray(value) for name, value in model(window, training=False).items()}
    own = {PAST: np.zeros((4, 10, 2), "float32"), OBSERVED: np.zeros((4, 10, 2), "float32")}
    for row, length in enumerate(LENGTHS):
        for name in own:
            own[name][row, : min(length, 10)] = window[name][row, max(length - 10, 0) : length]
    learned = network({**own, LENGTH: np.minimum(LENGTHS, 10)}, training=False)
    series = [window[PAST][row, :length, channel] for row, length in enumerate(LENGTHS) for channel in range(2)]
    zero_shot = forecast_series(series, SPEC.horizon, (4,), SPEC.levels).quantiles
    zero_shot = zero_shot.reshape(4, 2, SPEC.horizon, -1).transpose(0, 2, 1, 3)
    weight = WEIGHT[None, :, None, None]
    np.testing.assert_allclose(
        made[QUANTILES], weight * np.asarray(learned[QUANTILES]) + (1 - weight) * zero_shot, rtol=1e-4
    )
    np.testing.assert_array_equal(made[ATTENTION], learned[ATTENTION])
    first = np.maximum(LENGTHS - 10, 0)[:, None, None]
    known = np.asarray(learned[KEY_STEPS])
    np.testing.assert_array_equal(made[KEY_STEPS], np.where(known >= 0, known + first, -1))


def test_weights_of_the_methods(model: keras.Model, window: dict[str, np.ndarray]) -> None:
    weights = np.asarray(model(window, training=False)[WEIGHTS])
    methods = get_methods(model, "seq2seq")
    assert methods[0] == "seq2seq" and "theta" in methods and weights.shape == (4, SPEC.horizon, 2, len(methods))
    np.testing.assert_allclose(weights.sum(axis=-1), 1, rtol=1e-5)
    np.testing.assert_allclose(weights[..., 0], np.broadcast_to(WEIGHT[None, :, None], weights.shape[:3]), rtol=1e-5)
    assert get_methods(model, "seq2seq")[1:] == model.get_layer(COMBINATION_LAYER).kinds


def test_it_changes_with_the_network_and_can_be_saved(
    model: keras.Model, network: keras.Model, window: dict[str, np.ndarray], tmp_path: Path
) -> None:
    model.save(tmp_path / "model.keras")
    before = np.asarray(model(window, training=False)[QUANTILES])
    read = keras.models.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(np.asarray(read(window, training=False)[QUANTILES]), before)
    assert [weight.path for weight in get_network(read).weights] and get_network(network) is network
    known = network.get_weights()
    network.set_weights([weight + 0.1 for weight in known])
    assert not np.allclose(np.asarray(model(window, training=False)[QUANTILES]), before)
    network.set_weights(known)


def test_covariates_and_a_longer_network_window() -> None:
    spec = replace(SPEC, context=300, past_covariates=("price", "visits"), future_covariates=("price",))
    entry, options = resolve_options({"name": "seq2seq", "units": 8})
    network = build_graph(entry, fill_options(options, spec.season), spec).inference()
    model = combine_with_zero_shot(network, spec, (4,), WEIGHT)
    assert model.input[PAST].shape[1] == model.input[PAST_COVARIATES].shape[1] == 300
