"""The combination of exponential smoothings as a model: quantiles of a window without training."""

from __future__ import annotations

from collections.abc import Callable

from tsattn.layers.ops import Tensor, sequence_mask
from tsattn.layers.smoothing_combination import SmoothingCombination
from tsattn.models.options import CombinationOptions
from tsattn.timeseries.window_spec import WindowSpec


def combination(options: CombinationOptions, spec: WindowSpec) -> Callable[[Tensor, Tensor, Tensor], Tensor]:
    """Return the function from ``past``, ``observed`` and ``length`` to quantiles."""
    seasons = options.seasons(spec.season)
    layer = SmoothingCombination(spec.horizon, seasons, spec.levels, spec.context, name="combination")
    return lambda past, observed, length: layer(past, observed, mask=sequence_mask(length, spec.context))
