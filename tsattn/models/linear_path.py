"""A linear regression of the forecast on the history, beside a network."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

from tsattn.layers.gather import move_back
from tsattn.layers.masking import Tensor

GAIN = 3.0
"""How much larger the steps of a training are for these weights than for others."""


@keras.saving.register_keras_serializable(package="tsattn")
class LinearPath(keras.layers.Layer):
    """Each step of the horizon as a linear function of the scaled history of its channel.

    Of a short history a regression takes most of what there is to know, and takes it from few data where a network
    learns them by heart. The network beside it begins with what is left.

    A step is known by its distance from the end of the history. What is missing, or lies before a short history, counts
    as 0: where windows are centred on it, as the last value (NLinear: Zeng et al. 2023). It begins at 0.

    Args:
        horizon: steps to forecast.

    Call arguments:
        values: `(batch, context, channels)`, scaled, right-padded, 0 where missing.
        length: `(batch,)`, the number of valid steps.

    Output shape:
        `(batch, horizon, channels)`, scaled: what is added to a forecast.

    Reference:
        Zeng, Chen, Zhang and Xu 2023, Are Transformers Effective for Time Series Forecasting?
    """

    def __init__(self, horizon: int, **kwargs: Any) -> None:
        super().__init__(**{"autocast": False, **kwargs})
        self.horizon = horizon

    def build(self, values_shape: Any, *other_shapes: Any) -> None:
        _, context, channels = values_shape
        self.kernel = self.add_weight(
            name="kernel", shape=(channels, context, self.horizon), initializer="zeros", dtype="float32"
        )

    def call(self, values: Tensor, length: Tensor) -> Tensor:
        last = move_back(ops.cast(values, "float32"), values.shape[1] - ops.cast(length, "int32"))
        return ops.einsum("btc,cth->bhc", last, ops.convert_to_tensor(self.kernel) * GAIN)

    def compute_output_spec(self, values: Any, *args: Any, **kwargs: Any) -> Any:
        return keras.KerasTensor((values.shape[0], self.horizon, values.shape[2]), dtype="float32")

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "horizon": self.horizon}
