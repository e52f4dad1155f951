"""HistoryWindow and LastStep against a loop over rows; SortedQuantiles against its formula; what LevelDropout drops."""

from __future__ import annotations

import keras
import numpy as np
import pytest
from keras_help import outputs
from numpy_reference import Array, sorted_quantiles

from tsattn.errors import ConfigError
from tsattn.layers import CalibratedQuantiles, HistoryWindow, SortedQuantiles
from tsattn.models.components import LastStep, LevelDropout

CONTEXT = 4


def window(past: Array, length: int) -> tuple[Array, Array, int, int]:
    """What a model sees of one raw history [time, channels]."""
    length = min(length, len(past))
    kept = past[max(length - CONTEXT, 0) : length]
    values, observed = np.zeros((CONTEXT, past.shape[1])), np.zeros((CONTEXT, past.shape[1]))
    for step, channel in np.ndindex(*kept.shape):
        if np.isfinite(kept[step, channel]):
            values[step, channel] = kept[step, channel]
            observed[step, channel] = 1
    return values, observed, len(kept), length - len(kept)


@pytest.mark.parametrize("time", [1, 3, 4, 9])
def test_the_window_is_the_last_valid_steps(time: int) -> None:
    # No step, one, some, all, and more steps than there are; NaN and infinities anywhere, in the padding too.
    lengths = np.array([*range(time + 1), time + 5], dtype="int32")
    rng = np.random.default_rng(time)
    past = rng.normal(size=(len(lengths), time, 2)).astype("float32")
    for odd in (np.nan, np.inf, -np.inf):
        past[rng.random(past.shape) < 0.15] = odd
    result = outputs(HistoryWindow(CONTEXT)(past, lengths))
    for row, length in enumerate(lengths):
        for part, known in zip(result, window(past[row], int(length)), strict=True):
            np.testing.assert_array_equal(part[row], np.asarray(known, dtype=part.dtype))


def test_a_batch_without_a_single_step_is_all_padding() -> None:
    values, observed, kept, first = outputs(
        HistoryWindow(CONTEXT)(np.zeros((2, 0, 1), "float32"), np.zeros(2, "int32"))
    )
    assert values.shape == (2, CONTEXT, 1)
    assert not values.any() and not observed.any() and not kept.any() and not first.any()


@pytest.mark.parametrize("median", [0, 1, 2, 4])
def test_quantiles_ascend_and_the_median_passes(median: int) -> None:
    free = 10 * np.random.default_rng(median).normal(size=(50, 3, 5)).astype("float32")
    quantiles = outputs(SortedQuantiles(median)(free))[0]
    np.testing.assert_allclose(quantiles, sorted_quantiles(free, median), rtol=1e-5, atol=1e-5)
    assert (np.diff(quantiles, axis=-1) >= 0).all()
    np.testing.assert_array_equal(quantiles[..., median], free[..., median])


def test_a_single_level_is_left_as_it_is() -> None:
    free = np.random.default_rng(0).normal(size=(2, 3, 1)).astype("float32")
    np.testing.assert_array_equal(outputs(SortedQuantiles(0)(free))[0], free)


def test_the_last_step_is_the_last_valid_one() -> None:
    values = np.random.default_rng(0).normal(size=(5, 4, 3)).astype("float32")
    lengths = [4, 1, 3, 2, 0]
    taken = outputs(LastStep()(values, mask=np.arange(4) < np.array(lengths)[:, None]))[0]
    for row, length in enumerate(lengths):
        np.testing.assert_array_equal(taken[row], values[row, max(length - 1, 0)])


def test_one_level_of_whole_rows_is_dropped() -> None:
    keras.utils.set_random_seed(1)
    given = np.random.default_rng(0).normal(size=(400, 3, 2, 4)).astype("float32")
    layer = LevelDropout(level=1, rate=0.25)
    np.testing.assert_array_equal(layer(given), given)
    dropped = outputs(layer(given, training=True))[0]
    np.testing.assert_array_equal(np.delete(dropped, 1, axis=-1), np.delete(given, 1, axis=-1))
    ratio = dropped[..., 1] / given[..., 1]
    np.testing.assert_allclose(ratio, np.broadcast_to(ratio[:, :1, :1], ratio.shape), rtol=1e-5)
    kept = ratio[:, 0, 0] != 0
    assert 0.68 < kept.mean() < 0.82
    np.testing.assert_allclose(ratio[kept], 1 / 0.75, rtol=1e-5)


def test_calibrated_quantiles_are_moved_from_the_median_and_do_not_cross() -> None:
    layer = CalibratedQuantiles(median=2)
    quantiles = np.array([[[[1.0, 2, 3, 4, 6]], [[10, 20, 30, 40, 50]]]], "float32")
    np.testing.assert_array_equal(outputs(layer(quantiles))[0], quantiles)
    factors = np.ones((2, 1, 5))
    factors[0, 0] = [2, 0, 9, 2, 0.5]  # the last would come to lie below its neighbour
    factors[1, 0] = [0.5, 2, 1, 1, 3]
    layer.fit(factors)
    moved = outputs(layer(quantiles))[0]
    np.testing.assert_allclose(moved[0, :, 0], [[-1, 3, 3, 5, 5], [10, 10, 30, 40, 90]])


def test_quantiles_are_brought_into_the_support() -> None:
    quantiles = np.array([[[[-2.0, 0.4, 2.6]]]], "float32")
    positive, count = (outputs(CalibratedQuantiles(1, name)(quantiles))[0].ravel() for name in ("positive", "count"))
    assert positive.tolist() == pytest.approx([0, 0.4, 2.6])
    assert count.tolist() == [0, 0, 3]
    with pytest.raises(ConfigError, match="real, positive, count"):
        CalibratedQuantiles(1, "whole")
