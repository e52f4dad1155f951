"""Sizes and statistics of a training by rule."""

from __future__ import annotations

import numpy as np
import pytest

from tsattn.config import TrainingConfig
from tsattn.timeseries.grid import Grid
from tsattn.timeseries.panel import Panel
from tsattn.timeseries.ragged import RaggedArray
from tsattn.timeseries.windows import Windows, WindowSpec
from tsattn.training.defaults import (
    default_validation_steps,
    error_scales,
    plan_training,
    scaling_statistics,
    training_windows,
)

SPEC = WindowSpec(48, 12, ("y",), season=12)


def panel(*lengths: int, scale: float = 1.0) -> Panel:
    rng = np.random.default_rng(0)
    values = (scale * rng.normal(10, 2, (sum(lengths), 1))).astype("float32")
    offsets = np.concatenate([[0], np.cumsum(lengths)])
    ids = tuple(f"s{index}" for index in range(len(lengths)))
    return Panel(RaggedArray(values, offsets), ids, ("y",), np.zeros(len(lengths), "int64"), Grid("1", 0))


def test_few_windows_are_made_up_for_by_short_histories() -> None:
    assert len(training_windows(panel(200), SPEC, 12)) == 200 - 12 - 12 + 1
    assert len(training_windows(panel(2000), SPEC, 12)) == 2000 - 12 - 48 + 1


@pytest.mark.parametrize(("length", "channels"), [(40, 1), (2_000, 1), (100_000, 1), (100_000, 7), (2_000, 207)])
def test_a_training_is_neither_endless_nor_empty(length: int, channels: int) -> None:
    windows = Windows.for_training(panel(length), SPEC, 12)
    chosen = plan_training(TrainingConfig(), windows, channels)
    assert chosen.epochs >= 1 and 50 <= chosen.steps_per_epoch <= 200
    assert 1 <= chosen.batch_size * channels <= max(224, channels)
    assert (chosen.epochs - 1) * chosen.steps_per_epoch * chosen.batch_size * channels <= 320_000


def test_short_histories_are_cheaper_and_may_be_trained_on_for_longer() -> None:
    windows = Windows.for_training(panel(100_000), SPEC, 12)
    epochs = [plan_training(TrainingConfig(), windows, 7, segments).epochs for segments in (30, 12, 6, 4)]
    assert epochs[0] == epochs[1] and epochs[2] == 2 * epochs[1] and epochs[3] == 3 * epochs[1] <= 30


def test_what_is_configured_is_taken() -> None:
    windows = Windows.for_training(panel(500), SPEC, 12)
    chosen = plan_training(TrainingConfig(epochs=3, batch_size=5, steps_per_epoch=7), windows, 1)
    assert (chosen.epochs, chosen.batch_size, chosen.steps_per_epoch) == (3, 5, 7)


def test_validation_holds_a_horizon_and_shrinks_with_the_number_of_series() -> None:
    assert default_validation_steps(panel(1000), 12) == 150
    assert default_validation_steps(panel(*[1000] * 100), 12) == 15
    assert default_validation_steps(panel(50), 12) == 12


def test_scaling_statistics_are_those_of_the_typical_series() -> None:
    values = panel(300, 300, 300)
    values.values[:300] *= 1000
    values.values[5] = np.nan
    median, spread, ratio = scaling_statistics(values)
    series = [values.series[index].astype(float) for index in range(3)]
    assert median[0] == pytest.approx(np.median([np.nanmedian(one) for one in series]))
    assert spread[0] == pytest.approx(np.median([np.nanstd(one) for one in series]))
    assert ratio[0] == pytest.approx(np.median([np.nanstd(one) / np.nanmean(np.abs(one)) for one in series]))


def test_scaling_statistics_of_what_does_not_move() -> None:
    constant = panel(20)
    constant.values[:] = 3
    assert scaling_statistics(constant) == ([3.0], [1.0], [0.1])
    constant.values[:] = np.nan
    assert scaling_statistics(constant) == ([0.0], [1.0], [0.1])


def table(*series: list[list[float]]) -> Panel:
    """Series of steps of targets; one may be empty."""
    offsets = np.concatenate([[0], np.cumsum([len(one) for one in series])])
    values = np.concatenate([np.reshape(one, (len(one), 2)) for one in series]).astype("float32")
    ids = tuple(f"s{index}" for index in range(len(series)))
    return Panel(RaggedArray(values, offsets), ids, ("a", "b"), np.zeros(len(series), "int64"), Grid("1", 0))


def test_errors_are_measured_by_the_deviation_of_each_series() -> None:
    nan = np.nan
    made = table(
        [[1, 10], [2, 30], [6, nan]],
        [[5, nan], [5, nan]],  # constant, and nothing known
        [[0, 100], [nan, 200], [4, 600]],
        [],
        [[nan, 7]],  # nothing known, and one value
    )
    first, second = np.std([1, 2, 6]), np.std([10, 30])
    third, fourth = np.std([0, 4]), np.std([100, 200, 600])
    typical = [(first + third) / 2, (second + fourth) / 2]
    scales = error_scales(made)
    assert scales.dtype == np.float32
    np.testing.assert_allclose(scales, [[first, second], typical, [third, fourth], typical, typical], rtol=1e-6)


def test_errors_of_what_never_moves_are_taken_as_they_are() -> None:
    nan = np.nan
    assert error_scales(table([[3, nan]] * 9, [[0.1, nan]] * 7)).tolist() == [[1, 1], [1, 1]]


def test_errors_of_the_nodes_of_a_graph_count_alike() -> None:
    made = table([[1, 10], [2, 30], [6, 20]])
    one, two = np.std([1, 2, 6]), np.std([10, 30, 20])
    np.testing.assert_allclose(error_scales(made, common=True), [[np.sqrt((one**2 + two**2) / 2)] * 2], rtol=1e-6)
