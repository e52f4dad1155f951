"""Outputs of the cases, for comparison between Keras backends."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
from case_builders import Case, normal
from keras_help import compiled, with_random_weights
from layer_cases import CASES

from tsattn.layers import CopyAttention, ForecastDistribution


def compute(case: Case) -> list[Any]:
    """Return the outputs of a case, with weights that are the same on every backend."""
    return compiled(with_random_weights(case.build()), case.options)(case.inputs)


def compute_all(arrays: dict[str, Any]) -> dict[str, Any]:
    """Return all outputs of all cases by name and position, and quantiles of counts."""
    return {
        **{f"{case.name}/{i}": part for case in CASES for i, part in enumerate(compute(case))},
        "count_quantiles": count_quantiles(),
    }


def count_quantiles() -> np.ndarray[Any, Any]:
    """Return quantiles of negative binomial distributions, `(1, 4, 1, 3)`."""
    layer = ForecastDistribution("negative_binomial", (0.1, 0.5, 0.9))
    parameters = np.array([[0.3, 0.5], [7.0, 2.0], [60.0, 0.05], [3e4, 0.01]], "float32")[None, :, None]
    return np.asarray(keras.ops.convert_to_numpy(layer(parameters)))


def initial_lag_biases() -> np.ndarray[Any, Any]:
    """Return the initial biases `(lags, heads, queries)` of `CopyAttention` for a season of three patches."""
    layer = CopyAttention(lags=7, num_heads=2, period=3)
    layer(normal(1, 4, 2), normal(1, 5, 2), normal(1, 5, 1))
    return np.asarray(keras.ops.convert_to_numpy(layer.lag_bias))
