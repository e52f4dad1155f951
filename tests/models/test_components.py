"""LastStep compared with a loop over rows; the levels that LevelDropout drops."""

from __future__ import annotations

import keras
import numpy as np
from keras_help import outputs

from tsattn.models.components import LastStep, LevelDropout


def test_the_last_step_is_the_last_valid_one() -> None:
    values = np.random.default_rng(0).normal(size=(5, 4, 3)).astype("float32")
    lengths = [4, 1, 3, 2, 0]
    result = outputs(LastStep()(values, mask=np.arange(4) < np.array(lengths)[:, None]))[0]
    for row, length in enumerate(lengths):
        np.testing.assert_array_equal(result[row], values[row, max(length - 1, 0)])


def test_one_level_of_whole_rows_is_dropped() -> None:
    keras.utils.set_random_seed(1)
    inputs = np.random.default_rng(0).normal(size=(400, 3, 2, 4)).astype("float32")
    layer = LevelDropout(level=1, rate=0.25)
    np.testing.assert_array_equal(layer(inputs), inputs)
    dropped = outputs(layer(inputs, training=True))[0]
    np.testing.assert_array_equal(np.delete(dropped, 1, axis=-1), np.delete(inputs, 1, axis=-1))
    ratio = dropped[..., 1] / inputs[..., 1]
    np.testing.assert_allclose(ratio, np.broadcast_to(ratio[:, :1, :1], ratio.shape), rtol=1e-5)
    remains = ratio[:, 0, 0] != 0
    assert 0.68 < remains.mean() < 0.82
    np.testing.assert_allclose(ratio[remains], 1 / 0.75, rtol=1e-5)
