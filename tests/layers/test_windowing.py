"""HistoryWindow and Patching compared with loops over rows, for every length of history."""

from __future__ import annotations

import keras
import numpy as np
import pytest
from keras_help import outputs
from numpy_reference import Array, patches

from tsattn.layers import HistoryWindow, Patching

CONTEXT = 4


def window(past: Array, length: int) -> tuple[Array, Array, int, int]:
    """Return the outputs of HistoryWindow for one raw history [time, channels]."""
    length = min(length, len(past))
    last = past[max(length - CONTEXT, 0) : length]
    values, observed = np.zeros((CONTEXT, past.shape[1])), np.zeros((CONTEXT, past.shape[1]))
    for step, channel in np.ndindex(*last.shape):
        if np.isfinite(last[step, channel]):
            values[step, channel] = last[step, channel]
            observed[step, channel] = 1
    return values, observed, len(last), length - len(last)


@pytest.mark.parametrize("time", [1, 3, 4, 9])
def test_the_window_is_the_last_valid_steps(time: int) -> None:
    # Lengths from 0 to more than there are steps; NaN and infinities anywhere, in the padding too.
    lengths = np.array([*range(time + 1), time + 5], dtype="int32")
    rng = np.random.default_rng(time)
    past = rng.normal(size=(len(lengths), time, 2)).astype("float32")
    for missing in (np.nan, np.inf, -np.inf):
        past[rng.random(past.shape) < 0.15] = missing
    result = outputs(HistoryWindow(CONTEXT)(past, lengths))
    for row, length in enumerate(lengths):
        for part, known in zip(result, window(past[row], int(length)), strict=True):
            np.testing.assert_array_equal(part[row], np.asarray(known, dtype=part.dtype))


def test_a_batch_without_a_single_step_is_all_padding() -> None:
    result = outputs(HistoryWindow(CONTEXT)(np.zeros((2, 0, 1), "float32"), np.zeros(2, "int32")))
    assert result[0].shape == (2, CONTEXT, 1)
    assert not any(part.any() for part in result)


@pytest.mark.parametrize("padding", [0, 1, 4])
@pytest.mark.parametrize("patch", [1, 2, 3, 5])
def test_patches_of_every_length_of_history(patch: int, padding: int) -> None:
    max_length = 3 * patch
    time = max_length + padding
    lengths = np.arange(1, max_length + 1)
    values = np.random.default_rng(patch).normal(size=(max_length, time, 2)).astype("float32")
    mask = np.arange(time) < lengths[:, None]
    layer = Patching(patch)
    result = outputs(layer(np.where(mask[:, :, None], values, np.nan), mask=mask))[0]
    valid = outputs(layer.compute_mask(values, mask))[0]
    for row, length in enumerate(lengths):
        known = patches(values[row], int(length), patch)
        np.testing.assert_array_equal(result[row], known.reshape(len(known), -1).astype("float32"))
        count = -(-length // patch)
        np.testing.assert_array_equal(valid[row], np.arange(len(known)) < count)
        # The last valid patch ends at the forecast origin, whatever the length.
        np.testing.assert_array_equal(result[row, count - 1, -2:], values[row, length - 1])


def test_patches_without_a_mask() -> None:
    values = np.random.default_rng(0).normal(size=(1, 5, 2)).astype("float32")
    result = outputs(Patching(3)(values))[0]
    np.testing.assert_array_equal(result[0], patches(values[0], 5, 3).reshape(2, 6).astype("float32"))


def test_a_gap_is_read_as_0_and_does_not_end_the_history() -> None:
    values = np.arange(1.0, 7.0, dtype="float32").reshape(1, 6, 1)
    mask = np.array([[True, False, True, True, False, False]])
    result = outputs(Patching(2)(values, mask=mask))[0]
    np.testing.assert_array_equal(result[0, :, :], [[1, 0], [3, 4], [0, 0]])


def test_the_mask_of_patches_is_propagated_to_an_rnn() -> None:
    values, mask = np.random.default_rng(0).normal(size=(2, 6, 1)).astype("float32"), np.arange(6) < [[2], [6]]
    rnn = keras.layers.GRU(3)
    patching, masking = Patching(2), keras.layers.Masking(0.0)
    padded = masking(np.where(mask[:, :, None], values, 0))
    alone = rnn(patching(values[:1, :2]))
    np.testing.assert_allclose(outputs(rnn(patching(padded)))[0][:1], outputs(alone)[0], atol=1e-6)


def test_a_patch_without_steps_is_refused() -> None:
    with pytest.raises(ValueError, match="patch_length must be 1 or more"):
        Patching(0)
