"""Segments against the formula of the contract, for every length of history."""

from __future__ import annotations

import keras
import numpy as np
import pytest
from keras_help import outputs
from numpy_reference import patches

from tsattn.layers import Patching


@pytest.mark.parametrize("padding", [0, 1, 4])
@pytest.mark.parametrize("patch", [1, 2, 3, 5])
def test_every_length_of_history(patch: int, padding: int) -> None:
    longest = 3 * patch
    time = longest + padding
    lengths = np.arange(1, longest + 1)
    values = np.random.default_rng(patch).normal(size=(longest, time, 2)).astype("float32")
    mask = np.arange(time) < lengths[:, None]
    layer = Patching(patch)
    segments = outputs(layer(np.where(mask[:, :, None], values, np.nan), mask=mask))[0]
    valid = outputs(layer.compute_mask(values, mask))[0]
    for row, length in enumerate(lengths):
        known = patches(values[row], int(length), patch)
        np.testing.assert_array_equal(segments[row], known.reshape(len(known), -1).astype("float32"))
        filled = -(-length // patch)
        np.testing.assert_array_equal(valid[row], np.arange(len(known)) < filled)
        # The last valid segment ends at the forecast origin, whatever the length.
        np.testing.assert_array_equal(segments[row, filled - 1, -2:], values[row, length - 1])


def test_without_a_mask_the_whole_is_the_history() -> None:
    values = np.random.default_rng(0).normal(size=(1, 5, 2)).astype("float32")
    segments = outputs(Patching(3)(values))[0]
    np.testing.assert_array_equal(segments[0], patches(values[0], 5, 3).reshape(2, 6).astype("float32"))


def test_a_gap_is_read_as_0_and_is_no_end() -> None:
    values = np.arange(1.0, 7.0, dtype="float32").reshape(1, 6, 1)
    mask = np.array([[True, False, True, True, False, False]])
    segments = outputs(Patching(2)(values, mask=mask))[0]
    np.testing.assert_array_equal(segments[0, :, :], [[1, 0], [3, 4], [0, 0]])


def test_the_mask_travels_on_to_an_rnn() -> None:
    values, mask = np.random.default_rng(0).normal(size=(2, 6, 1)).astype("float32"), np.arange(6) < [[2], [6]]
    rnn = keras.layers.GRU(3)
    patching, masking = Patching(2), keras.layers.Masking(0.0)
    padded = masking(np.where(mask[:, :, None], values, 0))
    alone = rnn(patching(values[:1, :2]))
    np.testing.assert_allclose(outputs(rnn(patching(padded)))[0][:1], outputs(alone)[0], atol=1e-6)


def test_a_patch_of_no_step_is_refused() -> None:
    with pytest.raises(ValueError, match="patch_length must be at least 1"):
        Patching(0)
