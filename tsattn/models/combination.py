"""Forecasts without training as models: quantiles of a window by the pretrained network and exponential smoothings."""

from __future__ import annotations

from collections.abc import Callable

from keras import ops

from tsattn.layers import ZeroShotForecast
from tsattn.layers.ops import Tensor
from tsattn.models.components import SegmentMask
from tsattn.models.options import CombinationOptions
from tsattn.timeseries.window_spec import QUANTILES, WEIGHTS, WindowSpec

COMBINATION_LAYER = "combination"
"""Name of the layer in a model."""

WindowFunction = Callable[[Tensor, Tensor, Tensor], dict[str, Tensor]]
"""Takes ``past``, ``observed`` and ``length`` and returns the outputs of a model."""


def combination(options: CombinationOptions, spec: WindowSpec) -> WindowFunction:
    """Return the function to quantiles and weights of the pretrained network and exponential smoothings."""
    seasons = options.seasons(spec.season)
    layer = ZeroShotForecast(spec.horizon, seasons, spec.levels, spec.context, name=COMBINATION_LAYER)

    def forecast(past: Tensor, observed: Tensor, length: Tensor) -> dict[str, Tensor]:
        # In a layer: tf2onnx takes a constant outside of one for an input of the graph.
        mask = SegmentMask(spec.context, 1)(length)
        quantiles, weights = layer(past, observed, mask=mask, return_weights=True)
        # The same weights at each step.
        by_step = ops.repeat(ops.expand_dims(weights, 1), spec.horizon, axis=1)
        return {QUANTILES: quantiles, WEIGHTS: by_step}

    return forecast
