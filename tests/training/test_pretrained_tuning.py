"""Fine-tuning of the pretrained network on a panel."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from run_files import without_export

from tsattn import Forecaster
from tsattn.layers import PretrainedForecast
from tsattn.pretrained.features import CANDIDATES, compute_features
from tsattn.pretrained.network import read_weights
from tsattn.pretrained.zero_shot import network_layout
from tsattn.training.fine_tuning import BATCH_ROWS, RandomWindows, training_example

HORIZON = 3


def windows(series: list[np.ndarray]) -> RandomWindows:
    return RandomWindows(series, network_layout(HORIZON, (4,)), 5, seed=0)


def test_a_batch_depends_on_seed_epoch_and_number_alone() -> None:
    series = [np.random.default_rng(number).normal(size=30 + number) for number in range(3)]
    first, again, other = windows(series), windows(series), windows(series)
    other.set_epoch(1)
    for batch in (0, 4):
        inputs, targets = first[batch]
        same, same_targets = again[batch]
        assert all(np.array_equal(inputs[name], same[name]) for name in inputs) and np.array_equal(
            targets, same_targets
        )
        assert targets.shape[0] == BATCH_ROWS and not np.array_equal(targets, other[batch][1])


def test_batches_do_not_depend_on_the_unit() -> None:
    series = [np.random.default_rng(number).normal(size=50) for number in range(3)]
    inputs, targets = windows(series)[0]
    other, other_targets = windows([1000 * values for values in series])[0]
    np.testing.assert_allclose(other_targets, targets, atol=1e-3)
    for name in inputs:
        np.testing.assert_allclose(other[name], inputs[name], atol=1e-3)


def test_targets_are_the_values_after_each_origin() -> None:
    layout = network_layout(HORIZON, (4,), 24)
    rng = np.random.default_rng(0)
    series = rng.normal(size=(5, layout.length + HORIZON))
    observed = rng.random(series.shape) < 0.9
    observed[:, -1] = [True, False, True, False, True]
    inputs, targets = training_example(np.where(observed, series, 0), observed, layout)
    parts = compute_features(np, series[:, : layout.length], observed[:, : layout.length], layout)
    value = targets[..., 0] * parts.scale[:, :, None] + parts.centre[:, :, None]
    np.testing.assert_array_equal(targets[:, 0, :, 1] > 0, observed[:, layout.length :])
    counted = targets[:, 0, :, 1] > 0
    np.testing.assert_allclose(value[:, 0][counted], series[:, layout.length :][counted], rtol=1e-4, atol=1e-5)
    assert inputs["candidates"].shape == (5, 1, HORIZON, len(CANDIDATES))


def alternating(series: int = 20, steps: int = 120) -> pd.DataFrame:
    """Series that change their sign at every step, which a network that expects seasons of 7 days does not know."""
    rng = np.random.default_rng(0)
    values = np.zeros((series, steps))
    for step in range(1, steps):
        values[:, step] = rng.normal(size=series) - 0.95 * values[:, step - 1]
    times = np.tile(pd.date_range("2024-01-01", periods=steps), series)
    return pd.DataFrame(
        {"id": np.repeat([f"{number:02d}" for number in range(series)], steps), "ds": times, "y": values.ravel()}
    )


@pytest.fixture(scope="module")
def fine_tuned() -> Forecaster:
    """The default on 2,400 values, with a network that is hardly trained."""
    training = {"epochs": 1, "steps_per_epoch": 40, "learning_rate": 1e-6}
    return Forecaster("seq2seq", HORIZON, season=7, options={"units": 4, "zero_shot": True}, training=training).fit(
        alternating()
    )


def network_weights(forecaster: Forecaster) -> list[np.ndarray]:
    return [np.asarray(value) for value in forecaster.model_.get_layer("combination").network.get_weights()]


@pytest.mark.slow
def test_the_default_fine_tunes_where_that_is_better(fine_tuned: Forecaster) -> None:
    choice = fine_tuned.choice_
    assert choice is not None and choice.fine_tuned and choice.zero_shot_error < 0.9 * choice.initial_error
    assert "fine-tuned pretrained network" in fine_tuned.summary()
    pretrained = PretrainedForecast(HORIZON, (7,))
    pretrained.build((None, None, 1))
    assert not np.allclose(network_weights(fine_tuned)[0], pretrained.get_weights()[0])
    # The next value has the other sign, as in the data.
    forecast = fine_tuned.predict().groupby("id")["y"].first()
    last = alternating().groupby("id")["y"].last()
    assert np.corrcoef(forecast, last)[0, 1] < -0.9


@pytest.mark.slow
def test_a_fine_tuned_network_is_saved_and_trained_further(fine_tuned: Forecaster, tmp_path: Path) -> None:
    with without_export():
        fine_tuned.save(tmp_path / "run")
    loaded = Forecaster.load(tmp_path / "run")
    pd.testing.assert_frame_equal(loaded.predict(), fine_tuned.predict())
    assert loaded.choice_ == fine_tuned.choice_
    training = {"epochs": 1, "steps_per_epoch": 1, "learning_rate": 1e-9, "refit": False}
    further = Forecaster(init_from=tmp_path / "run", training=training).fit(alternating())
    assert further.choice_ is not None
    # Fine-tuning starts where that of the run ended.
    initial = further.choice_.initial_error if further.choice_.fine_tuned else further.choice_.zero_shot_error
    assert fine_tuned.choice_ is not None and initial < 0.9 * fine_tuned.choice_.initial_error


@pytest.mark.slow
def test_the_explanation_is_that_of_the_fine_tuned_network(fine_tuned: Forecaster) -> None:
    weights = fine_tuned.explain().forecasters
    assert weights is not None and np.isfinite(weights["weight"]).all()
    layer = fine_tuned.model_.get_layer("combination").network.network
    assert set(layer.named_variables()) == set(read_weights())
