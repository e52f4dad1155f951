"""The combination of exponential smoothings as a model: quantiles of a window without training."""

from __future__ import annotations

from collections.abc import Callable

from keras import ops

from tsattn.layers.ops import Tensor
from tsattn.layers.smoothing_combination import SmoothingCombination
from tsattn.models.components import SegmentMask
from tsattn.models.options import CombinationOptions
from tsattn.timeseries.window_spec import QUANTILES, WEIGHTS, WindowSpec

COMBINATION_LAYER = "combination"
"""Name of the layer in a model."""


def combination(options: CombinationOptions, spec: WindowSpec) -> Callable[[Tensor, Tensor, Tensor], dict[str, Tensor]]:
    """Return the function from ``past``, ``observed`` and ``length`` to quantiles and weights."""
    seasons = options.seasons(spec.season)
    layer = SmoothingCombination(spec.horizon, seasons, spec.levels, spec.context, name=COMBINATION_LAYER)

    def forecast(past: Tensor, observed: Tensor, length: Tensor) -> dict[str, Tensor]:
        # In a layer: tf2onnx takes a constant outside of one for an input of the graph.
        mask = SegmentMask(spec.context, 1)(length)
        quantiles, weights = layer(past, observed, mask=mask, return_weights=True)
        # The same weights at each step.
        by_step = ops.repeat(ops.expand_dims(weights, 1), spec.horizon, axis=1)
        return {QUANTILES: quantiles, WEIGHTS: by_step}

    return forecast
