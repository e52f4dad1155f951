"""The pretrained network and exponential smoothings, combined."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
from keras import ops
from keras.initializers import Constant

from tsattn.layers.layer_utils import constructor_config
from tsattn.layers.ops import Tensor
from tsattn.layers.pretrained_forecast import PretrainedForecast
from tsattn.layers.smoothing_combination import SmoothingCombination
from tsattn.pretrained.features import MEDIAN
from tsattn.pretrained.zero_shot import (
    NETWORK_KIND,
    PRIOR,
    mix,
    network_weight,
    past_errors,
    past_layout,
    smoothing_errors,
)
from tsattn.smoothing import SmoothingSpec


@keras.saving.register_keras_serializable(package="tsattn")
class ZeroShotForecast(keras.layers.Layer):
    """Forecasts without training: the weighted sum of `PretrainedForecast` and `SmoothingCombination`.

    `tsattn.forecast` computes the same with NumPy. The network has more weight in the width of the intervals than
    in the median, because its intervals are sharper.

    Args:
        horizon: Steps to forecast.
        seasons: At most two season lengths, shortest first; none without seasonality.
        levels: Ascending quantile levels from 0.01 to 0.99.
        window: Number of last steps that are read, at most; by rule if None.

    Call arguments:
        inputs: `(batch, time, channels)`, in original units.
        observed: `(batch, time, channels)`, 0 where a value is missing. Defaults to all observed.
        mask: `(batch, time)`, False at padding, on either side.
        return_weights: Whether to return the weights as well.
        inputs_mask: Mask that Keras attaches to the inputs; `mask` takes precedence.

    Output shape:
        `(batch, horizon, channels, levels)`, float32. With `return_weights` a tuple of this and
        `(batch, channels, kinds)`, the weights of the methods, in the order of `kinds`.

    Example:
        >>> quantiles = ZeroShotForecast(horizon=12, seasons=(12,))(past)
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
        self.horizon, self.seasons, self.levels, self.window = horizon, tuple(seasons), tuple(levels), window
        spec = SmoothingSpec(horizon, self.seasons)
        own = spec.length if window is None else min(window, spec.length)
        self.network = PretrainedForecast(horizon, seasons, levels, window, dtype=self.dtype_policy, name="network")
        self.smoothing = SmoothingCombination(horizon, seasons, levels, own, dtype=self.dtype_policy, name="smoothing")

    @property
    def kinds(self) -> tuple[str, ...]:
        """Methods in the order of the weights."""
        return (NETWORK_KIND, *self.smoothing.kinds)

    def build(self, inputs_shape: Any) -> None:
        self.network.build(inputs_shape)
        # The weight of the network without any past forecast and without a season, which fine-tuning changes.
        self.prior = self.add_weight(
            name="prior", shape=(), initializer=Constant(PRIOR), dtype="float32", trainable=False, autocast=False
        )

    def call(
        self,
        inputs: Tensor,
        observed: Tensor | None = None,
        mask: Tensor | None = None,
        return_weights: bool = False,
        inputs_mask: Tensor | None = None,
    ) -> Any:
        channels = inputs.shape[2]
        if inputs.shape[0] == 0:
            # Keras has no maximum of an empty tensor.
            shapes = [(0, self.horizon, channels, len(self.levels)), (0, channels, len(self.kinds))]
            empty = tuple(ops.zeros(shape, "float32") for shape in shapes)
            return empty if return_weights else empty[0]
        mask = inputs_mask if mask is None else mask
        result, kernels = self.smoothing.combine(inputs, observed, mask)
        smoothed, kinds = self.smoothing.outputs(result, kernels, channels)
        values, seen = self.network.align(inputs, observed, mask)
        past = past_layout(self.network.layout, self.horizon)
        final, tried = self.network.forecast(values, seen, self.network.layout, past)
        learned = self.network.at_levels(final, channels)
        weights = network_weight(
            ops,
            ops.sum(ops.cast(seen, "float32"), axis=1, keepdims=True),
            past_errors(ops, tried[..., MEDIAN], values, seen, past),
            smoothing_errors(ops, result, kernels, past.steps[0]),
            result.bank.scale,
            self.horizon,
            self.network.layout.season,
            self.prior,
        )
        weight, spread = (ops.reshape(part, (-1, channels, 1)) for part in weights)
        medians = (final[:, -1, :, MEDIAN], result.forecast)
        own, other = (ops.transpose(ops.reshape(part, (-1, channels, self.horizon)), (0, 2, 1)) for part in medians)
        quantiles = mix((own[..., None], learned), (other[..., None], smoothed), (weight[:, None], spread[:, None]))
        if not return_weights:
            return quantiles
        return quantiles, ops.concatenate([weight, (1 - weight) * kinds], axis=-1)

    def compute_mask(self, *args: Any, **kwargs: Any) -> None:
        return None  # the output has the steps of the horizon, all of them valid

    def compute_output_shape(self, inputs_shape: Any, observed_shape: Any = None) -> Any:
        return (inputs_shape[0], self.horizon, inputs_shape[2], len(self.levels))

    def compute_output_spec(
        self, inputs: Any, observed: Any = None, mask: Any = None, return_weights: bool = False, inputs_mask: Any = None
    ) -> Any:
        quantiles = keras.KerasTensor(self.compute_output_shape(inputs.shape), dtype="float32")
        if not return_weights:
            return quantiles
        return quantiles, keras.KerasTensor((inputs.shape[0], inputs.shape[2], len(self.kinds)), dtype="float32")

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), **constructor_config(self, ZeroShotForecast)}
