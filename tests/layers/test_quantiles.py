"""SortedQuantiles and CalibratedQuantiles compared with their formulas."""

from __future__ import annotations

import numpy as np
import pytest
from keras_help import outputs
from numpy_reference import sorted_quantiles

from tsattn.errors import ConfigError
from tsattn.layers import CalibratedQuantiles, SortedQuantiles


@pytest.mark.parametrize("median", [0, 1, 2, 4])
def test_quantiles_ascend_and_the_median_is_unchanged(median: int) -> None:
    inputs = 10 * np.random.default_rng(median).normal(size=(50, 3, 5)).astype("float32")
    quantiles = outputs(SortedQuantiles(median)(inputs))[0]
    np.testing.assert_allclose(quantiles, sorted_quantiles(inputs, median), rtol=1e-5, atol=1e-5)
    assert (np.diff(quantiles, axis=-1) >= 0).all()
    np.testing.assert_array_equal(quantiles[..., median], inputs[..., median])


def test_a_single_level_is_unchanged() -> None:
    inputs = np.random.default_rng(0).normal(size=(2, 3, 1)).astype("float32")
    np.testing.assert_array_equal(outputs(SortedQuantiles(0)(inputs))[0], inputs)


def test_calibrated_quantiles_are_scaled_around_the_median_and_do_not_cross() -> None:
    layer = CalibratedQuantiles(median=2)
    quantiles = np.array([[[[1.0, 2, 3, 4, 6]], [[10, 20, 30, 40, 50]]]], "float32")
    np.testing.assert_array_equal(outputs(layer(quantiles))[0], quantiles)
    factors = np.ones((2, 1, 5))
    factors[0, 0] = [2, 0, 9, 2, 0.5]  # the last level would cross its neighbor
    factors[1, 0] = [0.5, 2, 1, 1, 3]
    layer.fit(factors)
    calibrated = outputs(layer(quantiles))[0]
    np.testing.assert_allclose(calibrated[0, :, 0], [[-1, 3, 3, 5, 5], [10, 10, 30, 40, 90]])


def test_quantiles_are_restricted_to_the_support() -> None:
    quantiles = np.array([[[[-2.0, 0.4, 2.6]]]], "float32")
    positive, count = (outputs(CalibratedQuantiles(1, name)(quantiles))[0].ravel() for name in ("positive", "count"))
    assert positive.tolist() == pytest.approx([0, 0.4, 2.6])
    assert count.tolist() == [0, 0, 3]
    with pytest.raises(ConfigError, match="real, positive, count"):
        CalibratedQuantiles(1, "whole")
