"""Sample paths from a model whose output is a distribution."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import keras
from keras import ops

from tsattn.layers.ops import Tensor
from tsattn.models.forecast_model import CALIBRATION_LAYER, DISTRIBUTION_LAYER
from tsattn.timeseries.window_spec import PARAMETERS


def can_sample(model: keras.Model) -> bool:
    """Return whether an inference model can draw sample paths."""
    return PARAMETERS in model.output


def sample_paths(model: keras.Model, window: Mapping[str, Any], noise: Tensor) -> Tensor:
    """Return sample paths `(batch, samples, horizon, targets)` in original units.

    At each step the paths follow the distribution of the calibrated quantiles of the model, restricted to the support.
    `tsattn.layers.ForecastDistribution` describes the dependence between steps. Targets of one series are drawn
    independently.

    Args:
        model: An inference model with a distribution.
        window: Inputs of the model.
        noise: Standard normal noise of the shape of the paths.
    """
    distribution, calibrated = model.get_layer(DISTRIBUTION_LAYER), model.get_layer(CALIBRATION_LAYER)
    parameters = model(window, training=False)[PARAMETERS]
    scores = distribution.correlate(noise)
    drawn = distribution.quantiles_at(parameters, scores)
    middle = distribution.quantiles_at(parameters, ops.zeros_like(scores[:, :1]))
    return calibrated.calibrate(drawn, middle, scores, distribution.levels)
