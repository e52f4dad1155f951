"""Combinations of forecasts by attention: of exponential smoothings, of these and the pretrained network, of any."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import keras
import numpy as np
import numpy.typing as npt
from keras import ops
from keras.initializers import Constant

from tsattn.errors import ConfigError
from tsattn.layers.layer_utils import check_sequence, constructor_config
from tsattn.layers.ops import Tensor, last_window, small_graph_ops, unfold_channels
from tsattn.layers.pretrained_network import PretrainedForecast
from tsattn.pretrained.features import MEDIAN
from tsattn.pretrained.zero_shot import (
    MAX_VALUE,
    NETWORK_KIND,
    PRIOR,
    mix,
    network_weight,
    past_errors,
    past_layout,
    smoothing_errors,
)
from tsattn.smoothing import (
    Combination,
    SmoothingSpec,
    candidate_kinds,
    combine,
    quantiles,
    smoothing_kernels,
)
from tsattn.smoothing.kernels import Kernels

_LARGE = 1e24
"""Largest value of a history above which sums over its steps, weighted by the step, can exceed float32."""
_DOWN = 2.0**-40


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
        self.length = self._spec.length

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
        check_sequence("inputs", inputs.shape)
        result, kernels = self.combine(*last_window(inputs, observed, mask, self.length))
        bands = unfold_channels(quantiles(small_graph_ops, result, kernels, self.levels), inputs.shape[2])
        return (bands, self.kind_weights(result, inputs.shape[2])) if return_weights else bands

    def combine(self, values: Tensor, observed: Tensor) -> tuple[Combination, Kernels]:
        """Return the combination of each row, and the constant arrays of the specification.

        Args:
            values: `(rows, time)`, one row per series and channel; the last steps are read.
            observed: The same shape, bool.
        """
        kernels, length = float32_kernels(self._spec), self.length
        return combine(small_graph_ops, values[:, -length:], observed[:, -length:], kernels), kernels

    def kind_weights(self, result: Combination, channels: int) -> Tensor:
        """Return the weights of each kind of candidate, `(batch, channels, kinds)`."""
        is_of_kind = np.array([[kind == other for other in self.kinds] for kind in self._candidate_kinds], "float32")
        return ops.reshape(ops.matmul(result.weights, is_of_kind), (-1, channels, len(self.kinds)))

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
        check_sequence("inputs", inputs.shape)
        length = self.network.layout.length
        values, seen = last_window(inputs, observed, mask, max(length, self.smoothing.length))
        largest = ops.max(ops.where(seen, ops.abs(values), 0.0), axis=1, keepdims=True)
        factor = ops.where(largest > _LARGE, _DOWN, 1.0)
        values = values * factor
        result, kernels = self.smoothing.combine(values, seen)
        values, seen = values[:, -length:], seen[:, -length:]
        past = past_layout(self.network.layout, self.horizon)
        final, tried = self.network.forecast(values, seen, self.network.layout, past)
        weight, spread = network_weight(
            small_graph_ops,
            ops.sum(ops.cast(seen, "float32"), axis=1, keepdims=True),
            past_errors(small_graph_ops, tried[..., MEDIAN], values, seen, past),
            smoothing_errors(small_graph_ops, result, kernels, past.steps[0]),
            result.bank.scale,
            self.horizon,
            self.network.layout,
            self.prior,
        )
        mixed = mix(
            (final[:, -1, :, MEDIAN, None], self.network.at_levels(final)),
            (result.forecast[..., None], quantiles(small_graph_ops, result, kernels, self.levels)),
            (weight[:, None], spread[:, None]),
        )
        bands = unfold_channels(ops.clip(mixed / factor[:, :, None], -MAX_VALUE, MAX_VALUE), channels)
        if not return_weights:
            return bands
        weight = ops.reshape(weight, (-1, channels, 1))
        return bands, ops.concatenate([weight, (1 - weight) * self.smoothing.kind_weights(result, channels)], axis=-1)

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


@keras.saving.register_keras_serializable(package="tsattn")
class ForecastCombination(keras.layers.Layer):
    """Combines the forecasts of several forecasters by attention.

    The values are the forecasts. The scores are trainable weights, one per step and forecaster, zeros at first; their
    softmax over the forecasters gives the weights of the sum. Quantiles are averaged level by level (Vincent 1912), so
    ascending ones stay ascending. Forecasts have no padding: masks are not used.

    Call arguments:
        inputs: List of forecasts, each `(batch, horizon, channels, levels)`.
        return_weights: Whether to return the weights as well.

    Raises:
        ConfigError: There is a single forecaster, or the shapes differ.

    Output shape:
        The shape of each input. With `return_weights` a tuple of this and the weights `(horizon, forecasters)`, each
        row with the sum 1.

    Example:
        >>> combined = ForecastCombination()([network(window), SmoothingCombination(horizon=12)(past)])

    References:
        Bates and Granger 1969, The Combination of Forecasts; Lichtendahl et al. 2013, Is It Better to Average
        Probabilities or Quantiles?
    """

    def __init__(self, **kwargs: Any) -> None:
        # Forecasts in original units can overflow in half precision, so Keras must not cast them.
        super().__init__(**{"autocast": False, **kwargs})
        self.supports_masking = True

    def build(self, input_shape: Sequence[Any]) -> None:
        shapes = {tuple(shape[1:]) for shape in input_shape}
        if len(input_shape) < 2 or len(shapes) > 1:
            raise ConfigError(f"expected two or more forecasts of the same shape. Received: {list(input_shape)}")
        self.scores = self.add_weight(
            name="scores",
            shape=(input_shape[0][1], len(input_shape)),
            initializer="zeros",
            dtype="float32",
            autocast=False,
        )

    def call(self, inputs: Sequence[Tensor], return_weights: bool = False) -> Any:
        weights = ops.softmax(ops.convert_to_tensor(self.scores), axis=-1)
        parts = [ops.cast(part, "float32") * weights[:, index, None, None] for index, part in enumerate(inputs)]
        combined = sum(parts[1:], parts[0])
        return (combined, weights) if return_weights else combined

    def fit(self, weights: npt.ArrayLike) -> None:
        """Set the weights, positive `(horizon, forecasters)`."""
        self.scores.assign(ops.log(ops.convert_to_tensor(weights, "float32")))

    def compute_mask(self, *args: Any, **kwargs: Any) -> None:
        return None

    def compute_output_shape(self, inputs_shape: Sequence[Any]) -> Any:
        return tuple(inputs_shape[0])

    def compute_output_spec(self, inputs: Sequence[Any], return_weights: bool = False) -> Any:
        combined = keras.KerasTensor(inputs[0].shape, dtype="float32")
        if not return_weights:
            return combined
        return combined, keras.KerasTensor((inputs[0].shape[1], len(inputs)), dtype="float32")
