"""Forecasts of the pretrained network as a layer."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
from keras import ops

from tsattn.layers.layer_utils import check_sequence, constructor_config
from tsattn.layers.ops import Tensor, last_window
from tsattn.layers.pretrained_network import PretrainedNetwork
from tsattn.pretrained.features import History, Layout, compute_features, describe, features_at
from tsattn.pretrained.network import level_weights
from tsattn.pretrained.zero_shot import network_layout


@keras.saving.register_keras_serializable(package="tsattn")
class PretrainedForecast(keras.layers.Layer):
    """Forecasts of a network that was trained on synthetic series, as they are or for fine-tuning.

    Each channel is forecast by itself, on its scale. The weights are those of the package until they are
    trained further.

    Args:
        horizon: Steps to forecast.
        seasons: At most two season lengths, shortest first; none without seasonality.
        levels: Ascending quantile levels from 0.01 to 0.99.
        window: Number of last steps that are read; all that the network can read if None.

    Call arguments:
        inputs: `(batch, time, channels)`, in original units.
        observed: `(batch, time, channels)`, 0 where a value is missing. Defaults to all observed.
        mask: `(batch, time)`, False at padding, on either side.
        inputs_mask: Mask that Keras attaches to the inputs; `mask` takes precedence.

    Output shape:
        `(batch, horizon, channels, levels)`, float32.

    Example:
        >>> quantiles = PretrainedForecast(horizon=12, seasons=(12,))(past)
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
        self.layout = network_layout(horizon, self.seasons, window)
        self.network = PretrainedNetwork(dtype="float32", name="network")

    def build(self, inputs_shape: Any) -> None:
        layout = self.layout
        features = compute_features(np, np.zeros((1, layout.length)), np.ones((1, layout.length), bool), layout)
        self.network.build(features.patches.shape, features.queries.shape)
        self.network.load_pretrained()

    def align(self, inputs: Tensor, observed: Tensor | None, mask: Tensor | None) -> tuple[Tensor, Tensor]:
        """Return the window of each channel, `(batch * channels, window)`, and which values are observed, bool."""
        check_sequence("inputs", inputs.shape)
        return last_window(inputs, observed, mask, self.layout.length)

    def forecast(self, values: Tensor, observed: Tensor, *layouts: Layout) -> list[Tensor]:
        """Return the quantiles of each layout at the levels of the network, `(rows, origins, steps, levels)`.

        Args:
            values: `(rows, window)`, one row per series and channel.
            observed: The same shape, bool.
            *layouts: Origins and steps; the history is read once for all of them.
        """
        history = describe(ops, values, observed, self.layout)
        started = ops.take(history.started, self.layout.ends, axis=1)
        states = self.network.encode(history.patches, started)
        return [self._decode(history, states, layout) for layout in layouts]

    def _decode(self, history: History, states: Tensor, layout: Layout) -> Tensor:
        features = features_at(ops, history, layout)
        one = ops.zeros_like(history.filled[:, :1, None]) + 1.0
        relative = self.network.decode(
            states,
            features.queries,
            features.candidates,
            features.available,
            one * layout.attends[None],
            one * layout.last_patch[None],
            features.started,
        )
        return relative * features.scale[:, :, None, None] + features.centre[:, :, None, None]

    def at_levels(self, quantiles: Tensor, channels: int) -> Tensor:
        """Return the quantiles of the last origin at the levels of the layer, with channels unfolded."""
        mix = ops.convert_to_tensor(level_weights(self.levels), "float32")
        quantiles = ops.reshape(ops.matmul(quantiles[:, -1], mix), (-1, channels, self.horizon, len(self.levels)))
        return ops.transpose(quantiles, (0, 2, 1, 3))

    def call(
        self,
        inputs: Tensor,
        observed: Tensor | None = None,
        mask: Tensor | None = None,
        inputs_mask: Tensor | None = None,
    ) -> Tensor:
        channels = inputs.shape[2]
        if inputs.shape[0] == 0:
            # Keras has no maximum of an empty tensor.
            return ops.zeros((0, self.horizon, channels, len(self.levels)), "float32")
        values, seen = self.align(inputs, observed, inputs_mask if mask is None else mask)
        return self.at_levels(self.forecast(values, seen, self.layout)[0], channels)

    def compute_mask(self, *args: Any, **kwargs: Any) -> None:
        return None  # the output has the steps of the horizon, all of them valid

    def compute_output_shape(self, inputs_shape: Any, observed_shape: Any = None) -> Any:
        return (inputs_shape[0], self.horizon, inputs_shape[2], len(self.levels))

    def compute_output_spec(self, inputs: Any, observed: Any = None, mask: Any = None, inputs_mask: Any = None) -> Any:
        return keras.KerasTensor(self.compute_output_shape(inputs.shape), dtype="float32")

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), **constructor_config(self, PretrainedForecast)}
