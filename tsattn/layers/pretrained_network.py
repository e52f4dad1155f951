"""The network of `tsattn.pretrained`: a recurrent encoder, attention over its states and over candidate forecasts."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

import keras
import numpy as np
from keras import ops

from tsattn.layers.layer_utils import check_sequence, constructor_config
from tsattn.layers.ops import Tensor, apply_to_rows, last_window, small_graph_ops, unfold_channels
from tsattn.pretrained.features import (
    CANDIDATES,
    LEVELS,
    MEDIAN,
    History,
    Layout,
    compute_features,
    describe,
    features_at,
)
from tsattn.pretrained.network import level_weights, read_weights
from tsattn.pretrained.zero_shot import network_layout


@keras.saving.register_keras_serializable(package="tsattn")
class PretrainedNetwork(keras.layers.Layer):
    """Quantiles of every step at every forecast origin.

    A GRU reads the patches of a history. At each origin, every step ahead attends to the states that the origin knows,
    and then to the candidate forecasts. The median is the weighted sum of the candidates plus a residual. The levels
    above and below are sums of positive increments, so quantiles cannot cross.

    Args:
        width: Units of every layer.
        heads: Heads of the attention over the states.
        depth: Recurrent layers.

    Call arguments:
        patches: `(batch, patches, features)`.
        queries: `(batch, origins, steps, features)`.
        candidates: `(batch, origins, steps, candidates)`.
        available: The shape of the candidates, 0 where a candidate cannot be computed.
        attends: `(batch, origins, patches)`, 0 where a patch ends after the origin.
        last_patch: The shape of `attends`, 1 at the patch that ends at the origin.
        started: `(batch, patches)`, False before the first observed value. Defaults to all True.

    Output shape:
        `(batch, origins, steps, levels)`, in the units of the candidates.
    """

    def __init__(self, width: int = 128, heads: int = 4, depth: int = 2, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.width, self.heads, self.depth = width, heads, depth
        dense = partial(keras.layers.Dense, dtype=self.dtype_policy)
        self.embedding = dense(width, activation="gelu", name="embedding")
        self.encoder = [
            keras.layers.GRU(
                width, return_sequences=True, use_cudnn=False, dtype=self.dtype_policy, name=f"encoder_{number}"
            )
            for number in range(depth)
        ]
        self.query = dense(width, name="query")
        self.state = dense(width, use_bias=False, name="state")
        self.key = dense(width, use_bias=False, name="key")
        self.value = dense(width, use_bias=False, name="value")
        self.first = dense(width, activation="gelu", name="first")
        self.second = dense(width, activation="gelu", name="second")
        self.scores = dense(len(CANDIDATES), name="scores")
        self.offsets = dense(len(LEVELS), kernel_initializer="zeros", name="offsets")

    def build(self, patches_shape: Any, queries_shape: Any, **shapes: Any) -> None:
        width, features = self.width, queries_shape[-1]
        self.embedding.build(patches_shape)
        for layer in self.encoder:
            layer.build((None, None, width))
        self.query.build((None, features))
        self.first.build((None, 2 * width + features))
        for layer in (self.state, self.key, self.value, self.second, self.scores, self.offsets):
            layer.build((None, width))
        self.built = True

    def named_variables(self) -> dict[str, Any]:
        """Return the weights by the names that `tsattn.pretrained` gives them."""
        return {
            variable.path.split(f"{self.name}/")[-1].replace("gru_cell/", ""): variable
            for variable in self.trainable_variables
        }

    def load_pretrained(self) -> None:
        """Set the weights of the package."""
        weights = read_weights()
        for name, variable in self.named_variables().items():
            variable.assign(weights[name])

    def call(
        self,
        patches: Tensor,
        queries: Tensor,
        candidates: Tensor,
        available: Tensor,
        attends: Tensor,
        last_patch: Tensor,
        started: Tensor | None = None,
    ) -> Tensor:
        states = self.encode(patches, started)
        return self.decode(states, queries, candidates, available, attends, last_patch, started)

    def encode(self, patches: Tensor, started: Tensor | None = None) -> Tensor:
        """Return the states of the encoder, `(batch, patches, width)`."""
        states = apply_to_rows(self.embedding, patches)
        for layer in self.encoder:
            states = layer(states, mask=started)
        return states

    def decode(
        self,
        states: Tensor,
        queries: Tensor,
        candidates: Tensor,
        available: Tensor,
        attends: Tensor,
        last_patch: Tensor,
        started: Tensor | None = None,
    ) -> Tensor:
        """Return the quantiles for the states of the encoder; the other arguments are those of a call."""
        batch, origins, steps = (ops.shape(queries)[axis] for axis in range(3))
        last = apply_to_rows(self.state, ops.matmul(last_patch, states))
        query = ops.gelu(apply_to_rows(self.query, queries) + last[:, :, None])
        keep = attends if started is None else attends * ops.cast(started, attends.dtype)[:, None]
        read = self._attend(states, ops.reshape(query, (batch, -1, self.width)), keep, origins, steps)
        read = ops.reshape(read, (batch, origins, steps, self.width))
        hidden = apply_to_rows(self.second, apply_to_rows(self.first, ops.concatenate([read, query, queries], axis=-1)))
        weights = ops.softmax(ops.where(available > 0, apply_to_rows(self.scores, hidden), -3e38))
        base = ops.sum(weights * candidates, axis=-1, keepdims=True)
        offsets = apply_to_rows(self.offsets, hidden)
        median = base + offsets[..., MEDIAN : MEDIAN + 1]
        upper = ops.cumsum(ops.softplus(offsets[..., MEDIAN + 1 :]), axis=-1)
        lower = ops.cumsum(ops.softplus(offsets[..., :MEDIAN]), axis=-1)
        return ops.concatenate([median - ops.flip(lower, axis=-1), median, median + upper], axis=-1)

    def _attend(self, states: Tensor, query: Tensor, keep: Tensor, origins: Any, steps: Any) -> Tensor:
        """Return the weighted sum of the states for each query, `(batch, queries, width)`."""
        heads, size = self.heads, self.width // self.heads
        batch = ops.shape(states)[0]
        split = (batch, -1, heads, size)
        keys = ops.transpose(ops.reshape(apply_to_rows(self.key, states), split), (0, 2, 3, 1))
        values = ops.transpose(ops.reshape(apply_to_rows(self.value, states), split), (0, 2, 1, 3))
        scores = ops.matmul(ops.transpose(ops.reshape(query, split), (0, 2, 1, 3)), keys) / size**0.5
        scores = ops.reshape(scores, (batch, heads, origins, steps, -1))
        weights = ops.softmax(ops.where(keep[:, None, :, None] > 0, scores, -3e38))
        read = ops.matmul(ops.reshape(weights, (batch, heads, origins * steps, -1)), values)
        return ops.reshape(ops.transpose(read, (0, 2, 1, 3)), (batch, -1, self.width))

    def compute_output_spec(self, patches: Any, queries: Any, *args: Any, **kwargs: Any) -> Any:
        return keras.KerasTensor((*queries.shape[:-1], len(LEVELS)), dtype=self.compute_dtype)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), **constructor_config(self, PretrainedNetwork)}


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

    def forecast(self, values: Tensor, observed: Tensor, *layouts: Layout) -> list[Tensor]:
        """Return the quantiles of each layout at the levels of the network, `(rows, origins, steps, levels)`.

        Args:
            values: `(rows, window)`, one row per series and channel.
            observed: The same shape, bool.
            *layouts: Origins and steps; the history is read once for all of them.
        """
        history = describe(small_graph_ops, values, observed, self.layout)
        started = small_graph_ops.take(history.started, self.layout.ends, axis=1)
        states = self.network.encode(history.patches, started)
        return [self._decode(history, states, layout) for layout in layouts]

    def _decode(self, history: History, states: Tensor, layout: Layout) -> Tensor:
        features = features_at(small_graph_ops, history, layout)
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

    def at_levels(self, quantiles: Tensor) -> Tensor:
        """Return the quantiles of the last origin at the levels of the layer, `(rows, horizon, levels)`."""
        return ops.matmul(quantiles[:, -1], ops.convert_to_tensor(level_weights(self.levels), "float32"))

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
        mask = inputs_mask if mask is None else mask
        check_sequence("inputs", inputs.shape)
        values, seen = last_window(inputs, observed, mask, self.layout.length)
        return unfold_channels(self.at_levels(self.forecast(values, seen, self.layout)[0]), channels)

    def compute_mask(self, *args: Any, **kwargs: Any) -> None:
        return None  # the output has the steps of the horizon, all of them valid

    def compute_output_shape(self, inputs_shape: Any, observed_shape: Any = None) -> Any:
        return (inputs_shape[0], self.horizon, inputs_shape[2], len(self.levels))

    def compute_output_spec(self, inputs: Any, observed: Any = None, mask: Any = None, inputs_mask: Any = None) -> Any:
        return keras.KerasTensor(self.compute_output_shape(inputs.shape), dtype="float32")

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), **constructor_config(self, PretrainedForecast)}
