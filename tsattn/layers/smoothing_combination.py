"""Forecasts without training: a combination of exponential smoothings by attention."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import keras
import numpy as np
from keras import ops

from tsattn.layers.layer_utils import check_sequence, constructor_config
from tsattn.layers.ops import Tensor, last_window
from tsattn.smoothing import Combination, SmoothingSpec, candidate_kinds, combine, quantiles, smoothing_kernels
from tsattn.smoothing.kernels import Kernels


@lru_cache(maxsize=16)
def float32_kernels(spec: SmoothingSpec) -> Kernels:
    """Return the constant arrays in float32, converted once for all calls."""
    return smoothing_kernels(spec).astype("float32")


@keras.saving.register_keras_serializable(package="tsattn")
class SmoothingCombination(keras.layers.Layer):
    """Combination of exponential smoothings with fixed parameters, weighted by attention over their past errors.

    Each channel is forecast by itself. The values of the attention are the forecasts of the candidates: exponential
    smoothings with and without trend and season (Holt 1957; Winters 1960; Gardner 1985) on the scale of the values and
    of their logarithms, Theta (Assimakopoulos and Nikolopoulos 2000), drift, naive and intermittent methods. The scores
    are their errors in the history of the very series, from one-step forecasts and from forecasts over the horizon at
    past origins. The layer has no weights. `tsattn.forecast` computes the same with NumPy.

    Args:
        horizon: Steps to forecast.
        seasons: At most two season lengths, shortest first; none without seasonality.
        levels: Ascending quantile levels from 0.01 to 0.99.
        window: Number of last steps that are read; by rule from horizon and seasons if None.

    Call arguments:
        inputs: `(batch, time, channels)`, in original units.
        observed: `(batch, time, channels)`, 0 where a value is missing. Defaults to all observed.
        mask: `(batch, time)`, False at padding, on either side.
        return_weights: Whether to return the weights as well.
        inputs_mask: Mask that Keras attaches to the inputs; `mask` takes precedence.

    Raises:
        ConfigError: An argument is out of range.

    Output shape:
        `(batch, horizon, channels, levels)`, float32. With `return_weights` a tuple of this and
        `(batch, channels, kinds)`, the weights of the candidates summed by kind, in the order of `kinds`.

    Example:
        >>> smoothing = SmoothingCombination(horizon=12, seasons=(12,))
        >>> quantiles = smoothing(past)
    """

    def __init__(
        self,
        horizon: int,
        seasons: Sequence[int] = (),
        levels: Sequence[float] = (0.1, 0.5, 0.9),
        window: int | None = None,
        **kwargs: Any,
    ) -> None:
        # Values in original units can overflow in half precision, so Keras must not cast them.
        super().__init__(**{"autocast": False, **kwargs})
        self.supports_masking = True
        self.horizon = horizon
        self.seasons = tuple(seasons)
        self.levels = tuple(levels)
        self.window = window
        self._spec = SmoothingSpec(horizon, self.seasons, window)

    def build(self, inputs_shape: Any, observed_shape: Any = None) -> None:
        check_sequence("inputs", inputs_shape)

    @property
    def kinds(self) -> tuple[str, ...]:
        """Kinds of candidates, in the order of the weights."""
        return tuple(dict.fromkeys(self._candidate_kinds))

    @property
    def _candidate_kinds(self) -> tuple[str, ...]:
        return candidate_kinds(smoothing_kernels(self._spec).table)

    def call(
        self,
        inputs: Tensor,
        observed: Tensor | None = None,
        mask: Tensor | None = None,
        return_weights: bool = False,
        inputs_mask: Tensor | None = None,
    ) -> Any:
        mask = inputs_mask if mask is None else mask
        if inputs.shape[0] == 0:
            # Keras has no maximum of an empty tensor.
            shapes = [(0, self.horizon, inputs.shape[2], len(self.levels)), (0, inputs.shape[2], len(self.kinds))]
            empty = tuple(ops.zeros(shape, "float32") for shape in shapes)
            return empty if return_weights else empty[0]
        result, kernels = self.combine(inputs, observed, mask)
        bands, weights = self.outputs(result, kernels, inputs.shape[2])
        return (bands, weights) if return_weights else bands

    def combine(self, inputs: Tensor, observed: Tensor | None, mask: Tensor | None) -> tuple[Combination, Kernels]:
        """Return the combination of each channel, and the constant arrays of the specification."""
        check_sequence("inputs", inputs.shape)
        kernels = float32_kernels(self._spec)
        return combine(ops, *last_window(inputs, observed, mask, self._spec.length), kernels), kernels

    def outputs(self, result: Combination, kernels: Kernels, channels: int) -> tuple[Tensor, Tensor]:
        """Return the quantiles and the weights of a combination, with channels unfolded."""
        bands = ops.reshape(
            quantiles(ops, result, kernels, self.levels), (-1, channels, self.horizon, len(self.levels))
        )
        is_of_kind = np.array([[kind == other for other in self.kinds] for kind in self._candidate_kinds], "float32")
        weights = ops.matmul(result.weights, is_of_kind)
        return ops.transpose(bands, (0, 2, 1, 3)), ops.reshape(weights, (-1, channels, len(self.kinds)))

    def compute_mask(self, *args: Any, **kwargs: Any) -> None:
        return None  # the output has the steps of the horizon, all of them valid

    def compute_output_shape(self, inputs_shape: Any, observed_shape: Any = None) -> Any:
        return (inputs_shape[0], self.horizon, inputs_shape[2], len(self.levels))

    def compute_output_spec(
        self, inputs: Any, observed: Any = None, mask: Any = None, return_weights: bool = False, inputs_mask: Any = None
    ) -> Any:
        bands = keras.KerasTensor(self.compute_output_shape(inputs.shape), dtype="float32")
        if not return_weights:
            return bands
        return bands, keras.KerasTensor((inputs.shape[0], inputs.shape[2], len(self.kinds)), dtype="float32")

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), **constructor_config(self, SmoothingCombination)}
