"""The network of `tsattn.pretrained`: a recurrent encoder, attention over its states and over candidate forecasts."""

from __future__ import annotations

from functools import partial
from typing import Any

import keras
from keras import ops

from tsattn.layers.layer_utils import constructor_config
from tsattn.layers.ops import Tensor
from tsattn.pretrained.features import CANDIDATES, LEVELS, MEDIAN
from tsattn.pretrained.network import read_weights


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
        states = self.embedding(patches)
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
        last = self.state(ops.matmul(last_patch, states))
        query = ops.gelu(self.query(queries) + last[:, :, None])
        keep = attends if started is None else attends * ops.cast(started, attends.dtype)[:, None]
        read = self._attend(states, ops.reshape(query, (batch, -1, self.width)), keep, origins, steps)
        read = ops.reshape(read, (batch, origins, steps, self.width))
        hidden = self.second(self.first(ops.concatenate([read, query, queries], axis=-1)))
        weights = ops.softmax(ops.where(available > 0, self.scores(hidden), -3e38))
        base = ops.sum(weights * candidates, axis=-1, keepdims=True)
        offsets = self.offsets(hidden)
        median = base + offsets[..., MEDIAN : MEDIAN + 1]
        upper = ops.cumsum(ops.softplus(offsets[..., MEDIAN + 1 :]), axis=-1)
        lower = ops.cumsum(ops.softplus(offsets[..., :MEDIAN]), axis=-1)
        return ops.concatenate([median - ops.flip(lower, axis=-1), median, median + upper], axis=-1)

    def _attend(self, states: Tensor, query: Tensor, keep: Tensor, origins: Any, steps: Any) -> Tensor:
        """Return the weighted sum of the states for each query, `(batch, queries, width)`."""
        heads, size = self.heads, self.width // self.heads
        batch = ops.shape(states)[0]
        split = (batch, -1, heads, size)
        keys = ops.transpose(ops.reshape(self.key(states), split), (0, 2, 3, 1))
        values = ops.transpose(ops.reshape(self.value(states), split), (0, 2, 1, 3))
        scores = ops.matmul(ops.transpose(ops.reshape(query, split), (0, 2, 1, 3)), keys) / size**0.5
        scores = ops.reshape(scores, (batch, heads, origins, steps, -1))
        weights = ops.softmax(ops.where(keep[:, None, :, None] > 0, scores, -3e38))
        read = ops.matmul(ops.reshape(weights, (batch, heads, origins * steps, -1)), values)
        return ops.reshape(ops.transpose(read, (0, 2, 1, 3)), (batch, -1, self.width))

    def compute_output_spec(self, patches: Any, queries: Any, *args: Any, **kwargs: Any) -> Any:
        return keras.KerasTensor((*queries.shape[:-1], len(LEVELS)), dtype=self.compute_dtype)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), **constructor_config(self, PretrainedNetwork)}
