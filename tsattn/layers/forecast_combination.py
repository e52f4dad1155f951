"""Attention over forecasters: the weighted sum of their forecasts, with weights by step."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
import numpy.typing as npt
from keras import ops

from tsattn.errors import ConfigError
from tsattn.layers.ops import Tensor


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
