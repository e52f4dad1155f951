"""Paths of what may follow, drawn from a model whose forecast is a distribution."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import keras
from keras import ops

from tsattn.layers.masking import Tensor
from tsattn.models.forecast_model import CALIBRATED, DISTRIBUTION
from tsattn.timeseries.window_spec import PARAMETERS


def has_paths(model: keras.Model) -> bool:
    """Tell whether paths can be drawn from an inference model."""
    return PARAMETERS in model.output


def paths(model: keras.Model, window: Mapping[str, Any], noise: Tensor) -> Tensor:
    """Return paths `(batch, samples, horizon, targets)` in original units.

    At each step they have the distribution whose quantiles the model forecasts, calibrated and brought into the
    support; from step to step they go on as `tsattn.layers.ForecastDistribution` tells. Targets of one series are drawn
    independently.

    Args:
        model: an inference model that has them.
        window: what it takes.
        noise: of the shape of the paths, from the standard normal distribution.
    """
    distribution, calibrated = model.get_layer(DISTRIBUTION), model.get_layer(CALIBRATED)
    parameters = model(window, training=False)[PARAMETERS]
    scores = distribution.scores(noise)
    drawn = distribution.quantiles_at(parameters, scores)
    middle = distribution.quantiles_at(parameters, ops.zeros_like(scores[:, :1]))
    return calibrated.between(drawn, middle, scores, distribution.levels)
