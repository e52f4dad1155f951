"""From the encoded history to the whole horizon at once: pooling and the direct head."""

from __future__ import annotations

import keras

from tsattn.layers import AttentionPooling
from tsattn.layers.masking import Tensor
from tsattn.models.architecture import Weights
from tsattn.models.components import HorizonSteps, QuantileHead
from tsattn.models.options import NetworkOptions
from tsattn.models.recurrent import Segments
from tsattn.timeseries.window_spec import WindowSpec


class DirectHead:
    """A vector, and what is known of the series, to all steps of the horizon.

    Args:
        options: those of the network.
        spec: the window.
    """

    def __init__(self, options: NetworkOptions, spec: WindowSpec) -> None:
        item = (len(spec.targets) if options.channels == "joint" else 1, len(spec.levels))
        self._one_query = keras.layers.Reshape((1, -1), name="one_query")
        self._join = keras.layers.Concatenate(name="pooled_and_static")
        self._dropout = keras.layers.Dropout(options.dropout, name="dropout")
        self._head = QuantileHead(spec.horizon * item[0] * item[1], item[1], spec.median, name="head")
        self._steps = HorizonSteps(spec.horizon, item, name="horizon_steps")

    def __call__(self, pooled: Tensor, static: Tensor | None) -> Tensor:
        if static is not None:
            pooled = self._join([pooled, static])
        return self._steps(self._one_query(self._head(self._dropout(pooled))))


class PooledSegments:
    """Attention pooling of what was made of the segments of a window, with the weights.

    Args:
        units: size of the projection.
        heads: context vectors.
        segments: the segments.
        horizon: steps to forecast.
    """

    def __init__(self, units: int, heads: int, segments: Segments, horizon: int) -> None:
        self._pooling = AttentionPooling(units, heads, name="pooling")
        self._head_maps = keras.layers.Reshape((heads, 1, segments.count), name="head_maps")
        self._segments = segments
        self._horizon = horizon

    def __call__(self, memory: Tensor, mask: Tensor) -> tuple[Tensor, Weights]:
        pooled, weights = self._pooling(memory, mask=mask, return_attention_scores=True)
        return pooled, Weights(self._head_maps(weights), self._segments.steps, self._horizon)
